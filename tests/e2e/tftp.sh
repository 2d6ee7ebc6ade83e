#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Files by TFTP, with clients that know nothing of us: a request to the known
# port, the transfer on a port of its own.
#
#	curl, atftp, tftp -- kernel -- tow0 -- tow serve --tftp 69 -- files
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

serve_tftp()
{
	serve "$work/www" --tftp 69 --writable --stats "$work/stats.json" "$@"
}

get()
{
	curl -sS -m 60 -o "$work/got" "${@:2}" "tftp://$1"
}

# What the server said, by its access log.
logged()
{
	wait_for 2 grep -qF "$1" "$work/serve.log" ||
		fail "no '$1' in the log: $(<"$work/serve.log")"
}

only()
{
	local found
	found=$(cd "$work/www" && find . -type f | sort | tr '\n' ' ')
	[[ $found == "$1" ]] || fail "files in the directory: $found"
}

# A block that is full and the last, one byte more, one less, and none at all.
test_files_of_all_lengths_go_both_ways()
{
	local n
	mkdir "$work/www"
	serve_tftp
	for n in 0 1 511 512 513 1024 100000; do
		head -c "$n" /dev/urandom >"$work/www/$n"
		: >"$work/got" # curl makes no file of nothing
		get "$tow4/$n"
		same "$work/got" "$work/www/$n"
		: >"$work/got"
		get "[$tow6]/$n"
		same "$work/got" "$work/www/$n"
		curl -sSf -m 20 -T "$work/got" "tftp://$tow4/up$n"
		same "$work/got" "$work/www/up$n"
	done
	stop
}

# RFC 2348, 2349, 7440
test_options_are_agreed()
{
	needs atftp
	make_file "$work/www/file" 3M
	make_file "$work/up" 3M
	serve_tftp
	for options in "blksize 1428" "blksize 65464" "windowsize 1" \
		"windowsize 16" "windowsize 1000" "timeout 5" "tsize"; do
		atftp --get -r file -l "$work/got" --option "$options" \
			"$tow4" 69 >&2
		same "$work/got" "$work/www/file"
		atftp --put -r new -l "$work/up" --option "$options" \
			"$tow4" 69 >&2
		same "$work/up" "$work/www/new"
	done
	atftp --get -r file -l "$work/got" --option "blksize 1468" \
		--option "windowsize 64" --option "tsize" "$tow6" 69 >&2
	same "$work/got" "$work/www/file"
	stop
	only './file ./new '
}

# More than 65535 blocks: their numbers begin again (curl gives up there).
test_block_numbers_wrap_around()
{
	needs atftp
	make_file "$work/www/file" 40M
	serve_tftp
	atftp --get -r file -l "$work/got" --option "windowsize 32" "$tow4" \
		69 >&2
	same "$work/got" "$work/www/file"
	atftp --put -r new -l "$work/got" --option "windowsize 32" "$tow4" \
		69 >&2
	same "$work/www/new" "$work/www/file"
	stop
}

test_another_client_understands_both_modes()
{
	needs tftp
	mkdir "$work/www"
	seq 100000 >"$work/www/text"
	make_file "$work/www/bytes" 1M
	serve_tftp
	cd "$work"
	tftp -4 -m octet "$tow4" -c get bytes
	same bytes www/bytes
	tftp -6 -m netascii "$tow6" -c get text
	same text www/text
	mv bytes bytes2
	tftp -4 -m octet "$tow4" -c put bytes2
	same bytes2 www/bytes
	mv text text2
	tftp -4 -m netascii "$tow4" -c put text2
	same text2 www/text2
	stop
}

# Out of the page cache, and into memory that goes to the disk as it is.
test_nothing_is_copied_but_headers()
{
	needs atftp
	make_file "$work/www/file" 10M
	serve_tftp
	atftp --get -r file -l "$work/got" --option "blksize 1468" \
		--option "windowsize 16" "$tow4" 69 >&2
	atftp --put -r new -l "$work/got" --option "blksize 1468" \
		--option "windowsize 16" "$tow4" 69 >&2
	same "$work/www/new" "$work/www/file"
	stop
	(($(stat_of "$work/stats.json" ledger.tx.lent_bytes) >= 10 << 20)) ||
		fail "not lent: $(<"$work/stats.json")"
	# 4 bytes of each block are copied, and what comes before the device is
	# ready: at the beginning, and after the disk kept all buffers.
	(($(stat_of "$work/stats.json" ledger.rx.placed_bytes) >= (10 << 20) - 100000)) ||
		fail "not placed: $(<"$work/stats.json")"
	(($(stat_of "$work/stats.json" ledger.rx.copied_bytes) < 100000)) ||
		fail "copied: $(<"$work/stats.json")"
}

# atftp ends with an error when an OACK comes twice, as it does in a network
# that loses ACKs or doubles frames, and curl when it does not connect in time:
# who uses them there tries again.
again()
{
	local i
	for i in 1 2 3 4 5; do
		"$@" >&2 && return
	done
	return 1
}

# Its clients wait for seconds before they ask again, so each has a test.
serve_lossy()
{
	make_file "$work/www/file" 200k
	serve_tftp --dev fault:loss=3%,dup=3%,reorder=3%:tap
}

test_a_download_survives_loss_and_reordering()
{
	serve_lossy
	get "$tow4/file" --tftp-blksize 1428
	same "$work/got" "$work/www/file"
	stop
}

# That long for a connection makes it ask for a timeout of 1 s (RFC 2349).
put_with_curl()
{
	curl -sSf -m 60 --connect-timeout 5 --tftp-blksize 1428 \
		-T "$work/www/file" "$1"
}

test_an_upload_survives_loss_and_reordering()
{
	serve_lossy
	again put_with_curl "tftp://[$tow6]/a"
	same "$work/www/file" "$work/www/a"
	stop
}

test_a_download_in_windows_survives_loss_and_reordering()
{
	needs atftp
	serve_lossy
	again atftp --get -r file -l "$work/got" --option "windowsize 8" \
		--option "blksize 1428" "$tow4" 69
	same "$work/got" "$work/www/file"
	stop
}

test_an_upload_in_windows_survives_loss_and_reordering()
{
	needs atftp
	serve_lossy
	again atftp --put -r b -l "$work/www/file" --option "windowsize 8" \
		--option "blksize 1428" "$tow4" 69
	same "$work/www/file" "$work/www/b"
	stop
}

test_what_cannot_be_had_is_refused()
{
	mkdir -p "$work/www/dir"
	echo secret >"$work/secret"
	ln -s "$work/secret" "$work/www/out"
	serve_tftp
	get "$tow4/none" && fail 'a file that is not there'
	logged '"RRQ none TFTP" 404 0'
	get "$tow4/dir" && fail 'a directory'
	logged '"RRQ dir TFTP" 403 0'
	get "$tow4/out" && fail 'a link that leads out'
	logged '"RRQ out TFTP" 403 0'
	get "$tow4/../secret" --path-as-is && fail 'a path that leads out'
	curl -sS -m 10 -T "$work/secret" "tftp://$tow4/none/f" &&
		fail 'a directory that is not there'
	logged '"WRQ none/f TFTP" 404 0'
	curl -sS -m 10 -T "$work/secret" "tftp://$tow4/out/f" &&
		fail 'a directory that leads out'
	stop
	only ''
	serve "$work/www" --tftp 69
	curl -sS -m 10 -T "$work/secret" "tftp://$tow4/f" &&
		fail 'no leave to write'
	logged '"WRQ f TFTP" 403 0'
	stop
	only ''
}

test_an_upload_appears_whole_or_not_at_all()
{
	make_file "$work/up" 1M
	make_file "$work/www/f" 1000
	serve_tftp --max-upload 500K
	curl -sS -m 10 -T "$work/up" "tftp://$tow4/f" && fail 'too large'
	logged '"WRQ f TFTP" 507'
	head -c 400000 "$work/up" >"$work/small"
	python3 - "$tow4" <<-'END' # three blocks, and nothing more
		import socket, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.settimeout(5)
		s.sendto(b'\0\2f\0octet\0', (sys.argv[1], 69))
		for block in range(1, 4):
		    answer, peer = s.recvfrom(600)
		    assert answer == b'\0\4' + (block - 1).to_bytes(2, 'big')
		    s.sendto(b'\0\3' + block.to_bytes(2, 'big') + b'x' * 512, peer)
		assert peer[1] != 69
		s.sendto(b'\0\5\0\0enough\0', peer)
	END
	logged '"WRQ f TFTP" 499 1536'
	[[ $(stat -c %s "$work/www/f") == 1000 ]]
	curl -sSf -m 10 -T "$work/small" "tftp://$tow4/f"
	logged '"WRQ f TFTP" 204 400000'
	same "$work/small" "$work/www/f"
	stop
	only './f '
}

# RFC 1123 4.2.3.1: an ACK that comes twice is not answered twice, nor does a
# duplicate of a block go into the file.
test_duplicates_do_not_multiply()
{
	make_file "$work/www/f" 5000
	serve_tftp
	python3 - "$tow4" "$work/www/f" <<-'END'
		import socket, sys
		data = open(sys.argv[2], 'rb').read()
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.settimeout(0.5)
		s.sendto(b'\0\1f\0octet\0', (sys.argv[1], 69))
		s.sendto(b'\0\1f\0octet\0', (sys.argv[1], 69)) # asked twice
		got = b''
		packets = 0
		while len(got) % 512 == 0:
		    block, peer = s.recvfrom(600)
		    packets += 1
		    got += block[4:]
		    for i in range(3):
		        s.sendto(b'\0\4' + block[2:4], peer)
		assert got == data and packets == 10, packets
		try:
		    s.recvfrom(600)
		    assert False
		except socket.timeout:
		    pass
		s.sendto(b'\0\2g\0octet\0', (sys.argv[1], 69))
		answer, peer = s.recvfrom(600)
		for block in range(1, 11):
		    packet = b'\0\3' + block.to_bytes(2, 'big') + \
		             data[(block - 1) * 512:block * 512]
		    for i in range(3):
		        s.sendto(packet, peer)
		    while answer[2:4] != packet[2:4]:
		        answer, peer = s.recvfrom(600)
	END
	same "$work/www/f" "$work/www/g"
	stop
}

# RFC 1350 6: who has acknowledged the last block is still there when it comes
# again, after the client's own timeout (RFC 2349); the usual one is 5 s.
test_the_last_acknowledgement_may_be_lost()
{
	mkdir "$work/www"
	serve_tftp
	python3 - "$tow4" <<-'END'
		import socket, sys, time
		def upload(name, options):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    s.settimeout(5)
		    s.sendto(b'\0\2' + name + b'\0octet\0' + options,
		             (sys.argv[1], 69))
		    answer, peer = s.recvfrom(600)
		    assert answer[1] in (4, 6), answer
		    s.sendto(b'\0\3\0\1all', peer)
		    assert s.recv(600) == b'\0\4\0\1'
		    return s, peer
		def again(s, peer):
		    s.sendto(b'\0\3\0\1all', peer)
		    assert s.recv(600) == b'\0\4\0\1'
		first = upload(b'a', b'')
		second = upload(b'b', b'timeout\0007\0')
		time.sleep(5.5)
		again(*first)
		time.sleep(2)
		again(*second)
	END
	stop
	only './a ./b '
}

# Nobody waits for an upload that is done but for its last ACK.
test_uploads_that_are_done_leave_their_places_to_others()
{
	local i
	make_file "$work/up" 1000
	mkdir "$work/www"
	serve_tftp --tftp-transfers 4 --tftp-per-client 3
	for i in {1..10}; do
		curl -sSf -m 20 -T "$work/up" "tftp://$tow4/a$i"
		curl -sSf -m 20 -T "$work/up" "tftp://[$tow6]/b$i"
		same "$work/up" "$work/www/a$i"
		same "$work/up" "$work/www/b$i"
	done
	get "$tow4/a10"
	same "$work/got" "$work/up"
	stop
}

test_a_silent_client_is_given_up()
{
	make_file "$work/www/f" 5000
	serve_tftp
	python3 - "$tow4" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.settimeout(15)
		s.sendto(b'\0\1f\0octet\0timeout\0001\0', (sys.argv[1], 69))
		seen = []
		while True:
		    seen.append(s.recv(600))
		    if seen[-1][1] == 5:
		        break
		assert len(seen) == 7 and len(set(seen[:-1])) == 1, seen
	END
	stop
}

test_transfers_have_a_limit()
{
	make_file "$work/www/f" 5000
	serve_tftp --tftp-transfers 4 --tftp-per-client 3
	python3 - "$tow4" <<-'END'
		import socket, sys
		for i in range(5):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    globals()['s%d' % i] = s # keep it
		    s.settimeout(5)
		    s.sendto(b'\0\1f\0octet\0', (sys.argv[1], 69))
		    answer = s.recv(600)
		    assert answer[1] == (3 if i < 3 else 5), (i, answer)
	END
	stop
}

# They keep half of the disk's memory at most, and no client of theirs may ask
# for minutes of patience (RFC 2349: then the option is not agreed to).
test_silent_uploads_leave_room_for_others()
{
	local client
	make_file "$work/up" 3M
	serve_tftp
	python3 - "$tow4" <<-'END' >"$work/answers" &
		import socket, sys, time
		keep = []
		for i in range(32):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    keep.append(s)
		    s.settimeout(5)
		    option = b'timeout\0%d\0' % (255 if i % 2 else 30)
		    s.sendto(b'\0\2f%d\0octet\0' % i + option,
		             (sys.argv[1], 69))
		    print(s.recv(600)[1:], flush=True)
		print('all', flush=True)
		time.sleep(30)
	END
	client=$!
	wait_for 10 grep -q all "$work/answers"
	curl -sSf -m 10 -T "$work/up" "$url4/put"
	same "$work/up" "$work/www/put"
	[[ $(grep -c 'too many files are written' "$work/answers") == 16 &&
		$(grep -c 'timeout' "$work/answers") == 8 ]] ||
		fail "answers: $(<"$work/answers")"
	curl -sSf -m 10 -o "$work/got" "tftp://$tow4/put" # reading needs none
	same "$work/up" "$work/got"
	kill $client
	stop
}

test_many_transfers_at_a_time()
{
	local i clients=()
	make_file "$work/www/f" 1M
	serve_tftp
	for i in {1..8}; do
		curl -sSf -m 60 -o "$work/got$i" "tftp://$tow4/f" &
		clients+=($!)
		curl -sSf -m 60 -T "$work/www/f" "tftp://$tow4/up$i" &
		clients+=($!)
	done
	wait "${clients[@]}"
	for i in {1..8}; do
		same "$work/got$i" "$work/www/f"
		same "$work/www/up$i" "$work/www/f"
	done
	stop
}

run_tests "$@"
