#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Uploads to tow serve --writable.
#
#	curl, python -- kernel -- tow0 -- tow serve --writable -- files
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

status_of()
{
	curl -s -m 20 -o /dev/null -w '%{http_code}' --path-as-is "$@"
}

expect()
{
	[[ $1 == "$2" ]] || fail "$3: $1 instead of $2"
}

# Nothing is in the directory but what is named.
only()
{
	local found
	found=$(cd "$work/www" && find . -type f | sort | tr '\n' ' ')
	expect "$found" "$1" 'files in the directory'
}

test_an_upload_appears_whole_and_is_replaced_whole()
{
	make_file "$work/a" 100M
	make_file "$work/b" 1000
	serve "$work/www" --writable --stats "$work/stats.json"
	expect "$(status_of -T "$work/a" "$url4/f")" 201 created
	same "$work/www/f" "$work/a"
	chmod 640 "$work/www/f"
	expect "$(status_of -g -T "$work/b" "$url6/f")" 204 replaced
	same "$work/www/f" "$work/b"
	expect "$(stat -c %a "$work/www/f")" 640 mode
	curl -sSf -m 5 -o "$work/got" "$url4/f"
	same "$work/got" "$work/b"
	stop
	only './f '
	(($(stat_of "$work/stats.json" ledger.rx.placed_bytes) > 99 << 20)) ||
		fail 'the device did not place it'
	(($(stat_of "$work/stats.json" ledger.rx.copied_bytes) < 1 << 20)) ||
		fail 'more than a hundredth was copied'
}

test_a_chunked_upload_of_unknown_length_arrives()
{
	make_file "$work/a" 20M
	serve "$work/www" --writable
	expect "$(status_of -T - "$url4/f" <"$work/a")" 201 created
	same "$work/www/f" "$work/a"
	expect "$(status_of -T /dev/null "$url4/empty")" 201 empty
	[[ -f $work/www/empty && ! -s $work/www/empty ]]
	stop
}

# One byte per chunk, one chunk per segment or all in one: framing in between.
test_tiny_chunks_and_a_pipelined_request_behind()
{
	serve "$work/www" --writable
	python3 - "$tow4" "$port" "$work/www/f" <<-'END'
		import os, socket, sys
		data = os.urandom(20000)
		body = b''.join(b'1;x=y\r\n' + data[i:i + 1] + b'\r\n'
		                for i in range(len(data)))
		with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as s:
		    s.sendall(b'PUT /f HTTP/1.1\r\nHost: a\r\n'
		              b'Transfer-Encoding: chunked\r\n\r\n' + body +
		              b'0\r\nTrailer: x\r\n\r\n'
		              b'GET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
		    got = b''
		    while more := s.recv(65536):
		        got += more
		assert got.startswith(b'HTTP/1.1 201 '), got[:200]
		assert got.endswith(data)
		assert open(sys.argv[3], 'rb').read() == data
	END
	stop
}

test_an_aborted_upload_leaves_nothing()
{
	local i
	make_file "$work/a" 50M
	serve "$work/www" --writable
	for i in 1 2 3; do
		curl -s -m 60 --limit-rate 20M -T "$work/a" "$url4/f" &
		sleep 0.4
		kill -KILL $!
		wait $! 2>/dev/null || true
	done
	sleep 0.3
	only ''
	curl -s -m 60 --limit-rate 20M -T "$work/a" "$url4/f" &
	sleep 0.4
	stop KILL 137
	kill $! 2>/dev/null || true
	only ''
}

# The peer's FIN in the middle of the body is no end of it.
test_a_short_upload_is_not_published()
{
	serve "$work/www" --writable
	python3 - "$tow4" "$port" <<-'END'
		import socket, sys
		for head in (b'Content-Length: 1000\r\n\r\n' + b'x' * 999,
		             b'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'):
		    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as s:
		        s.sendall(b'PUT /f HTTP/1.1\r\nHost: a\r\n' + head)
		        s.shutdown(socket.SHUT_WR)
		        try:
		            assert b' 201 ' not in s.recv(1000)
		        except ConnectionResetError:
		            pass
	END
	stop
	only ''
}

# RFC 9110 10.1.1
test_a_client_that_expects_100_gets_it_or_the_error()
{
	serve "$work/www" --writable --max-upload 1M
	python3 - "$tow4" "$port" <<-'END'
		import socket, sys
		def ask(length):
		    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
		    s.sendall(b'PUT /f HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n'
		              b'Content-Length: %d\r\n\r\n' % length)
		    return s, s.recv(1000)
		s, answer = ask(5)
		assert answer == b'HTTP/1.1 100 Continue\r\n\r\n', answer
		s.sendall(b'hello')
		assert s.recv(1000).startswith(b'HTTP/1.1 201 ')
		s, answer = ask(2 << 20)
		assert answer.startswith(b'HTTP/1.1 413 '), answer
	END
	stop
	only './f '
}

test_uploads_have_limits()
{
	make_file "$work/a" 2M
	serve "$work/www" --writable --max-upload 1M
	expect "$(status_of -T "$work/a" "$url4/f")" 413 announced
	expect "$(status_of -T - "$url4/f" <"$work/a")" 413 chunked
	stop
	only ''
}

test_a_full_disk_is_said_and_leaves_nothing()
{
	mkdir "$work/www"
	mount -t tmpfs -o size=8M none "$work/www"
	make_file "$work/a" 20M
	serve "$work/www" --writable
	expect "$(status_of -T "$work/a" "$url4/f")" 507 announced
	expect "$(status_of -T - "$url4/f" <"$work/a")" 507 chunked
	head -c 4M "$work/a" >"$work/b"
	expect "$(status_of -T "$work/b" "$url4/f")" 201 'one that fits'
	same "$work/www/f" "$work/b"
	stop
	only './f '
	umount -l "$work/www"
}

test_what_cannot_be_put_is_refused()
{
	mkdir -p "$work/www/dir"
	ln -s "$work" "$work/www/out"
	echo x >"$work/a"
	serve "$work/www" --writable
	expect "$(status_of -T "$work/a" "$url4/dir")" 409 'a directory'
	expect "$(status_of -X PUT -d x "$url4/dir/")" 409 'a trailing slash'
	expect "$(status_of -T "$work/a" "$url4/no/f")" 409 'no parent'
	expect "$(status_of -T "$work/a" "$url4/out/f")" 403 'outside'
	expect "$(status_of -X PUT -d x "$url4/../f")" 400 'above'
	expect "$(status_of -T "$work/a" -H 'Content-Range: bytes 0-1/2' \
		"$url4/f")" 400 'a part'
	expect "$(status_of -X PUT "$url4/f")" 411 'no length'
	stop
	only ''
}

# What a client writes must not run with the rights of a program it replaces.
test_a_replaced_file_keeps_its_mode_but_not_set_user_id()
{
	make_file "$work/www/f" 10
	chmod 6751 "$work/www/f"
	echo x >"$work/a"
	serve "$work/www" --writable
	expect "$(status_of -T "$work/a" "$url4/f")" 204 'the upload'
	expect "$(stat -c %a "$work/www/f")" 751 'the mode'
	same "$work/www/f" "$work/a"
	stop
}

# RFC 9110 13.1.1, 13.1.2
test_conditions_prevent_lost_updates()
{
	local tag
	echo one >"$work/a"
	serve "$work/www" --writable
	expect "$(status_of -T "$work/a" -H 'If-Match: *' "$url4/f")" 412 none
	expect "$(status_of -T "$work/a" -H 'If-None-Match: *' "$url4/f")" 201 new
	expect "$(status_of -T "$work/a" -H 'If-None-Match: *' "$url4/f")" 412 old
	tag=$(curl -sI -m 5 "$url4/f" | tr -d '\r' | sed -n 's/^ETag: //p')
	expect "$(status_of -T "$work/a" -H "If-Match: $tag" "$url4/f")" 204 same
	expect "$(status_of -T "$work/a" -H "If-Match: $tag" "$url4/f")" 412 lost
	stop
}

test_a_lossy_link_costs_time_and_nothing_else()
{
	make_file "$work/a" 20M
	serve "$work/www" --writable --dev \
		'fault:loss=1%,reorder=1%,dup=0.5%,corrupt=0.2%,seed=5:tap'
	expect "$(status_of -T "$work/a" "$url4/f")" 201 created
	same "$work/www/f" "$work/a"
	stop
	only './f '
}

test_many_uploads_at_a_time_arrive_whole()
{
	local i clients=()
	make_file "$work/a" 10M
	serve "$work/www" --writable
	for i in {1..16}; do
		curl -sSf -m 60 -o /dev/null -T "$work/a" "$url4/f$i" &
		clients+=($!)
	done
	wait "${clients[@]}"
	for i in {1..16}; do
		same "$work/www/f$i" "$work/a"
	done
	stop
}

run_tests "$@"
