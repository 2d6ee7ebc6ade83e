#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tow serve --ftp --writable: uploads and changes by unmodified clients.
#
#	curl, lftp, tnftp, python -- kernel -- tow0 -- tow serve -- files
#	     | control: port 21                  |
#	     | data:    a port of the range      |
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

ftp4="ftp://$tow4" ftp6="ftp://[$tow6]"

expect()
{
	[[ $1 == "$2" ]] || fail "$3: '$1' instead of '$2'"
}

serve_ftp()
{
	serve "$work/www" --ftp 21 --writable --stats "$work/stats.json" "$@"
}

in_lftp()
{
	LC_ALL=C.UTF-8 HOME=$work lftp -c "set net:max-retries 2; set net:timeout 20; set cmd:fail-exit yes; $1"
}

# Nothing is in the directory but the files that are named.
only()
{
	local found
	found=$(cd "$work/www" && find . -type f | sort | tr '\n' ' ')
	expect "$found" "$1" 'files in the directory'
}

test_every_client_uploads_whole_files_by_both_families()
{
	local family
	needs curl lftp tnftp
	make_file "$work/a" 30M
	serve_ftp
	for family in 4 6; do
		url=ftp$family
		curl -sSf -m 20 -T "$work/a" "${!url}/curl$family"
		in_lftp "open ${!url}; put $work/a -o lftp$family"
	done
	curl -sSf -m 20 --disable-epsv -T "$work/a" "$ftp4/pasv"
	printf 'user anonymous x\nbinary\nput a tnftp\nquit\n' |
		(cd "$work" && HOME=$work tnftp -n -i "$tow4" >/dev/null 2>&1)
	stop
	only './curl4 ./curl6 ./lftp4 ./lftp6 ./pasv ./tnftp '
	for file in "$work"/www/*; do
		same "$file" "$work/a"
	done
	expect "$(stat_of "$work/stats.json" ftp.uploads)" 6 uploads
	expect "$(stat_of "$work/stats.json" ftp.received_bytes)" \
		$((6 * (30 << 20))) 'bytes received'
	expect "$(stat_of "$work/stats.json" ledger.rx.copied_bytes.recv)" 0 \
		'bytes copied by recv'
	grep -q '"STOR /curl4 FTP" 226 31457280$' "$work/serve.log"
}

test_an_upload_replaces_whole_files_and_keeps_their_mode()
{
	needs curl
	make_file "$work/a" 5M
	make_file "$work/www/f" 9M
	chmod 6751 "$work/www/f"
	serve_ftp
	curl -sSf -m 20 -T "$work/a" "$ftp4/f"
	same "$work/www/f" "$work/a"
	expect "$(stat -c %a "$work/www/f")" 751 mode
	: >"$work/empty"
	curl -sSf -m 20 -T "$work/empty" "$ftp4/empty"
	[[ -f $work/www/empty && ! -s $work/www/empty ]]
	stop
	only './empty ./f '
}

test_uploads_are_resumed()
{
	needs curl lftp
	make_file "$work/a" 10M
	make_file "$work/www/x" 1
	for file in curl lftp rest append; do
		head -c 3000001 "$work/a" >"$work/www/$file"
	done
	rm "$work/www/x"
	serve_ftp
	curl -sSf -m 20 -C - -T "$work/a" "$ftp4/curl"
	in_lftp "open $ftp4; put -c $work/a -o lftp"
	tail -c +3000002 "$work/a" >"$work/tail"
	curl -sSf -m 20 -a -T "$work/tail" "$ftp4/append"
	# REST in the middle of what is there: what follows is replaced.
	python3 - "$tow4" "$work/a" <<-'END'
		import ftplib, sys
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=20)
		file = open(sys.argv[2], 'rb')
		file.seek(1000)
		ftp.storbinary('STOR rest', file, rest=1000)
		try:
		    ftp.storbinary('STOR rest', file, rest=1 << 40)
		    raise SystemExit('behind the end')
		except ftplib.error_perm as error:
		    assert str(error).startswith('554'), error
		ftp.storbinary('APPE new', open(sys.argv[2], 'rb'))
	END
	stop
	for file in curl lftp rest append new; do
		same "$work/www/$file" "$work/a"
	done
	only './append ./curl ./lftp ./new ./rest '
}

# Both ends have a part of some files, the whole of others, and none of the rest.
test_mirrors_are_continued()
{
	local i
	needs lftp
	mkdir -p "$work/a/sub" "$work/www/up/sub" "$work/www/down" "$work/got"
	for i in {1..12}; do
		head -c "$((i * 500000 + 1))" /dev/urandom >"$work/a/sub/f$i"
	done
	touch -d 2020-01-01 "$work/a/sub"/* # older than the parts of them
	cp -rp "$work/a/sub" "$work/www/down/"
	mkdir "$work/got/sub"
	for i in 2 5 9; do
		head -c "$((i * 100000))" "$work/a/sub/f$i" >"$work/www/up/sub/f$i"
		head -c "$((i * 100000))" "$work/a/sub/f$i" >"$work/got/sub/f$i"
	done
	cp "$work/a/sub/f7" "$work/www/up/sub/"
	serve_ftp
	in_lftp "open $ftp4; mirror -R --continue -P 4 $work/a up" >/dev/null
	in_lftp "open $ftp6; mirror --continue -P 4 down $work/got" >/dev/null
	stop
	diff -r "$work/a" "$work/www/up"
	diff -r "$work/a" "$work/got"
	# What was there was not sent again.
	expect "$(grep -c '"\(STOR\|APPE\) /up/sub/f9 FTP" 226 3600001$' "$work/serve.log")" \
		1 'continued upload'
	expect "$(grep -c '"RETR /down/sub/f9 FTP" 226 3600001$' "$work/serve.log")" \
		1 'continued download'
}

# tnftp's \`reget\` and \`append\`, and lftp's \`reget\`
test_what_is_continued_by_hand()
{
	needs lftp tnftp
	make_file "$work/www/f" 5M
	head -c 1000001 "$work/www/f" >"$work/one"
	cp "$work/one" "$work/two"
	cp "$work/one" "$work/www/three"
	tail -c +1000002 "$work/www/f" >"$work/rest"
	serve_ftp
	in_lftp "open $ftp4; reget f -o $work/one; reput $work/www/f -o four" >/dev/null
	printf 'user anonymous x\nbinary\nreget f two\nappend rest three\nquit\n' |
		(cd "$work" && HOME=$work tnftp -n -i "$tow4" >/dev/null 2>&1)
	stop
	same "$work/one" "$work/www/f"
	same "$work/two" "$work/www/f"
	same "$work/www/three" "$work/www/f"
	same "$work/www/four" "$work/www/f"
	expect "$(grep -c '"RETR /f FTP" 226 4242879$' "$work/serve.log")" 2 resumed
}

# What does not come to its end changes nothing, not even a file continued.
test_a_broken_upload_leaves_nothing()
{
	make_file "$work/www/old" 100000
	cp "$work/www/old" "$work/old"
	serve_ftp
	python3 - "$tow4" <<-'END'
		import ftplib, socket, struct, sys, time
		def begin(command, rest=None):
		    ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10)
		    ftp.voidcmd('TYPE I')
		    data = ftp.transfercmd(command, rest)
		    data.sendall(b'x' * 3000000)
		    return ftp, data
		def reset(s):
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
		                 struct.pack('ii', 1, 0))
		    s.close()
		for command, rest in (('STOR new', None), ('STOR old', None),
		                      ('APPE old', None), ('STOR old', 5000)):
		    ftp, data = begin(command, rest)	# RFC 959 4.1.3
		    ftp.sock.sendall(b'\xff\xf4')
		    ftp.sock.send(b'\xff', socket.MSG_OOB)
		    ftp.sock.sendall(b'\xf2ABOR\r\n')
		    assert ftp.getline().startswith('426')
		    assert ftp.getline().startswith('226')
		    assert ftp.size('old') == 100000
		    ftp, data = begin(command, rest)
		    reset(data)
		    assert ftp.getline().startswith('426')
		    assert ftp.size('old') == 100000
		    ftp, data = begin(command, rest)
		    ftp.file.close()
		    reset(ftp.sock)
		    ftp, data = begin(command, rest)
		    ftp.file.close()
		    ftp.sock.close()	# and then the data, as a killed client does
		    data.close()
		    ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10)
		    ftp.putcmd('STOR new')	# no data connection at all
		    assert ftp.getline().startswith('425')
		time.sleep(0.5)
	END
	only './old '
	same "$work/www/old" "$work/old"
	stop
	only './old '
	same "$work/www/old" "$work/old"
}

test_killed_clients_and_a_killed_server_leave_nothing()
{
	local i
	needs curl lftp
	make_file "$work/a" 50M
	serve_ftp
	for i in 1 2 3; do
		curl -s -m 60 --limit-rate 20M -T "$work/a" "$ftp4/f" &
		sleep 0.4
		kill -KILL $!
		wait $! 2>/dev/null || true
	done
	HOME=$work lftp -c "set net:limit-rate 8M; open $ftp4; put $work/a -o f" &
	sleep 0.6
	kill -KILL $!
	wait $! 2>/dev/null || true
	sleep 0.3
	only ''
	stop
	serve_ftp
	curl -s -m 60 --limit-rate 20M -T "$work/a" "$ftp4/f" &
	sleep 0.4
	stop KILL 137
	kill $! 2>/dev/null || true
	only ''
}

test_a_full_disk_is_said_and_leaves_nothing()
{
	needs curl lftp
	mkdir "$work/www"
	mount -t tmpfs -o size=8M none "$work/www"
	make_file "$work/a" 20M
	head -c 4M "$work/a" >"$work/b"
	serve_ftp
	! curl -sS -m 20 -T "$work/a" "$ftp4/f" 2>/dev/null || fail stored
	only ''
	python3 - "$tow4" <<-'END'
		import ftplib, sys
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=20)
		ftp.voidcmd('TYPE I')
		data = ftp.transfercmd('STOR f')
		try:
		    while True:
		        data.sendall(b'x' * 100000)
		except ConnectionError:
		    pass
		assert ftp.getline().startswith('452')
		ftp.voidcmd('ALLO %d' % (20 << 20))
		ftp.makepasv()
		try:
		    print(ftp.sendcmd('STOR f'))
		    raise SystemExit('room that there is not')
		except ftplib.error_temp as error:
		    assert str(error).startswith('452'), error
	END
	curl -sSf -m 20 -T "$work/b" "$ftp4/f"
	same "$work/www/f" "$work/b"
	stop
	only './f '
	umount -l "$work/www"
}

test_uploads_have_limits()
{
	mkdir "$work/www"
	head -c 1000001 /dev/urandom >"$work/b"
	head -c 1000000 "$work/b" >"$work/c"
	serve_ftp --max-upload 1000000
	! curl -sS -m 20 -T "$work/b" "$ftp4/f" 2>/dev/null || fail stored
	only ''
	curl -sSf -m 20 -T "$work/c" "$ftp4/f"
	same "$work/www/f" "$work/c"
	stop
	only './f '
}

test_many_uploads_at_a_time_arrive_whole()
{
	local i clients=()
	needs curl lftp
	make_file "$work/a" 10M
	mkdir "$work/many"
	for i in {1..60}; do
		head -c $((i * 777)) "$work/a" >"$work/many/f$i"
	done
	serve_ftp
	for i in {1..12}; do
		curl -sSf -m 60 -T "$work/a" "$ftp4/f$i" &
		clients+=($!)
	done
	in_lftp "open $ftp6; mirror -R -P 6 $work/many many" >/dev/null
	wait "${clients[@]}"
	stop
	for i in {1..12}; do
		same "$work/www/f$i" "$work/a"
	done
	diff -r "$work/many" "$work/www/many"
}

test_directories_and_names_are_changed()
{
	needs lftp
	echo hello >"$work/a"
	mkdir -p "$work/www"
	serve_ftp
	in_lftp "open $ftp4; mkdir -p one/two; cd one/two; put $work/a -o 'a \"b\" ü'
		mv 'a \"b\" ü' ../c; cd ..; rmdir two; mkdir x; put $work/a -o d; rm d
		mv x y" >/dev/null
	expect "$(cat "$work/www/one/c")" hello 'the renamed file'
	expect "$(ls "$work/www/one" | tr '\n' ' ')" 'c y ' names
	python3 - "$tow4" <<-'END'
		import ftplib, io, sys
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=20)
		assert ftp.mkd('quo"ted') == '/quo"ted'
		def refused(code, *commands):
		    for command in commands:
		        reply = ftp.sendcmd if command.startswith('RNFR') else ftp.voidcmd
		        try:
		            reply(command)
		            raise SystemExit(command + ' did not fail')
		        except (ftplib.error_perm, ftplib.error_reply) as error:
		            assert str(error).startswith(code), (command, error)
		refused('550', 'MKD one', 'RMD one', 'DELE one', 'DELE nothing', 'MKD /',
		        'RMD /', 'DELE ..', 'MKD no/where', 'RNFR nothing', 'RMD one/c')
		refused('503', 'RNTO x')
		ftp.sendcmd('RNFR one/c')
		ftp.voidcmd('NOOP')
		refused('503', 'RNTO x') # RNFR must be right before
		ftp.storbinary('STOR d', io.BytesIO(b'new'))
		ftp.rename('d', 'one/c') # replaces, as rename(2)
		assert ftp.size('one/c') == 3
	END
	stop
	grep -q '"RNTO /one/c FTP" 250' "$work/serve.log"
	grep -q '"MKD /one FTP" 550' "$work/serve.log"
}

test_nothing_outside_of_the_directory_is_changed()
{
	mkdir -p "$work/www" "$work/out/dir"
	echo out >"$work/out/f"
	ln -s ../out "$work/www/out"
	ln -s ../out/f "$work/www/file"
	serve_ftp
	python3 - "$tow4" <<-'END'
		import ftplib, io, sys
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=20)
		def refused(call, *args):
		    try:
		        call(*args)
		        raise SystemExit('%s was done' % (args,))
		    except (ftplib.error_perm, ftplib.error_temp):
		        pass
		for name in ('out/new', 'out/f', 'file', 'out', 'file/', 'new/', '..', '.'):
		    refused(ftp.storbinary, 'STOR ' + name, io.BytesIO(b'bad'))
		    refused(ftp.storbinary, 'APPE ' + name, io.BytesIO(b'bad'))
		refused(ftp.mkd, 'out/new')
		refused(ftp.rmd, 'out/dir')
		refused(ftp.delete, 'out/f')
		refused(ftp.rename, 'out/f', 'f')
		ftp.storbinary('STOR mine', io.BytesIO(b'mine'))
		refused(ftp.rename, 'mine', 'out/f')
		refused(ftp.rename, 'mine', 'out/new')
		ftp.storbinary('STOR ../../above', io.BytesIO(b'below'))
	END
	stop
	expect "$(cat "$work/out/f")" out 'the file outside'
	expect "$(find "$work/out" | wc -l)" 3 'names outside'
	[[ -L $work/www/out && -L $work/www/file ]]
	expect "$(cat "$work/www/above")" below 'the name above the root'
	[[ ! -e $work/above ]]
}

test_users_write_and_anonymous_reads()
{
	python3 -W ignore - >"$work/users" <<-'END'
		import crypt
		print('anonymous:')
		print('ann:' + crypt.crypt('secret', crypt.METHOD_SHA512))
	END
	echo x >"$work/a"
	serve_ftp --ftp-users "$work/users"
	curl -sSf -m 5 -T "$work/a" "ftp://ann:secret@$tow4/f"
	! curl -sS -m 5 -T "$work/a" "$ftp4/g" 2>/dev/null || fail 'anonymous wrote'
	curl -sSf -m 5 -o "$work/got" "$ftp4/f"
	same "$work/got" "$work/a"
	stop
	only './f '
}

# The transfer is still told about, and nothing is lost, while HTTP does the same.
test_uploads_by_http_and_ftp_at_a_time()
{
	local i clients=()
	make_file "$work/a" 8M
	serve_ftp
	for i in {1..6}; do
		curl -sSf -m 60 -o /dev/null -T "$work/a" "$url4/h$i" &
		clients+=($!)
		curl -sSf -m 60 -T "$work/a" "$ftp6/f$i" &
		clients+=($!)
	done
	wait "${clients[@]}"
	stop
	for i in {1..6}; do
		same "$work/www/h$i" "$work/a"
		same "$work/www/f$i" "$work/a"
	done
}

test_sigterm_lets_an_upload_end()
{
	make_file "$work/a" 20M
	serve_ftp
	curl -sSf -m 60 --limit-rate 10M -T "$work/a" "$ftp4/f" &
	client=$!
	wait_for 10 connections 2 dst "$tow4" || fail 'no data connection'
	sleep 0.3
	stop
	wait "$client" || fail "curl ended with $?"
	same "$work/www/f" "$work/a"
}

test_uploads_over_a_bad_link_arrive_whole()
{
	needs lftp
	make_file "$work/a" 30M
	serve_ftp --dev fault:loss=1%,reorder=3,dup=1%,seed=9:tap
	in_lftp "open $ftp4; put $work/a -o f; open $ftp6; put $work/a -o g"
	stop
	same "$work/www/f" "$work/a"
	same "$work/www/g" "$work/a"
	expect "$(sha256sum <"$work/www/f")" "$(sha256sum <"$work/a")" SHA-256
}

run_tests "$@"
