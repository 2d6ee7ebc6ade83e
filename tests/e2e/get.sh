#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tow get against Python's and our own small servers on the kernel's TCP.
#
#	tow get -- tow0 -- kernel -- python3 -m http.server, scripted answers
#	     192.0.2.2   192.0.2.1 :8000
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

from4=http://$kernel4:8000
from6="http://[$kernel6]:8000"

# The server listens on all addresses, also those that are not there yet.
start_python()
{
	mkdir -p "$work/www"
	python3 -m http.server -d "$work/www" -b :: 8000 \
		>"$work/python.log" 2>&1 &
	python=$!
	wait_for 10 curl -s -o /dev/null http://127.0.0.1:8000/
}

# A server that gives the same answer to every connection, then closes.
start_answer()
{
	printf '%b' "$1" >"$work/answer"
	python3 - "$work/answer" "${2:-close}" <<-'END' &
		import socket, sys, time
		answer = open(sys.argv[1], 'rb').read()
		s = socket.create_server(('', 8000))
		while True:
		    c, _ = s.accept()
		    c.recv(65536)
		    c.sendall(answer)
		    if sys.argv[2] == 'reset':
		        time.sleep(0.2)
		        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
		                     b'\1\0\0\0\0\0\0\0')
		    c.close()
	END
	python=$!
	wait_for 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8000'
}

get()
{
	(cd "$work" && "$TOW" get "${addresses[@]}" "$@" 2>"$work/get.log")
}

# get_fails STATUS WORD ARGUMENT…: it exits so and says a word about it
get_fails()
{
	local status=0
	get "${@:3}" || status=$?
	((status == $1)) || fail "status $status: $(<"$work/get.log")"
	grep -q -- "$2" "$work/get.log" || fail "it says $(<"$work/get.log")"
}

end()
{
	kill "$python"
	wait "$python" 2>/dev/null || true
}

test_a_large_file_arrives_without_a_copy()
{
	make_file "$work/www/big" 100M
	start_python
	get --stats "$work/stats.json" "$from4/big"
	same "$work/big" "$work/www/big"
	[[ ! -e $work/big.part && ! -e $work/big.part.tag ]]
	(($(stat_of "$work/stats.json" ledger.rx.placed_bytes) > 98 << 20)) ||
		fail 'the device did not place it'
	(($(stat_of "$work/stats.json" ledger.rx.copied_bytes) < 1 << 20)) ||
		fail 'more than a hundredth was copied'
	get --stats "$work/stats.json" -o - "$from6/big" >"$work/stdout"
	same "$work/stdout" "$work/www/big"
	(($(stat_of "$work/stats.json" ledger.rx.lent_bytes) > 99 << 20)) ||
		fail 'it was not borrowed'
	end
}

test_a_lossy_link_costs_time_and_nothing_else()
{
	make_file "$work/www/f" 20M
	start_python
	get --dev 'fault:loss=1%,reorder=1%,dup=0.5%,corrupt=0.2%,seed=3:tap' \
		-o got "$from4/f"
	same "$work/got" "$work/www/f"
	end
}

test_it_talks_to_tow_serve_through_the_kernel()
{
	make_file "$work/www/f" 20M
	serve "$work/www" --gw "$kernel4"
	echo 1 >/proc/sys/net/ipv4/ip_forward
	(cd "$work" && "$TOW" get --addr 198.51.100.2/24 --peer 198.51.100.1/24 \
		--gw 198.51.100.1 -q -o got "$url4/f")
	same "$work/got" "$work/www/f"
	stop
}

test_a_download_is_continued_where_it_was_cut_off()
{
	make_file "$work/www/f" 3000000
	serve_parts
	get_fails 5 'C continues' -q "$from4/f"
	[[ -s $work/f.part && -s $work/f.part.tag && ! -e $work/f ]]
	get -q -C "$from4/f"
	same "$work/f" "$work/www/f"
	[[ ! -e $work/f.part && ! -e $work/f.part.tag ]]
	end
}

# What was written when it was killed is good as far as it goes.
test_a_killed_download_is_continued()
{
	make_file "$work/www/f" 3000000
	serve_parts hold
	(cd "$work" && exec "$TOW" get "${addresses[@]}" -q "$from4/f") &
	wait_for 10 test -s "$work/f.part"
	kill -KILL $!
	wait $! 2>/dev/null || true
	[[ ! -e $work/f && -s $work/f.part && -s $work/f.part.tag ]]
	cmp -n "$(stat -c %s "$work/f.part")" "$work/f.part" "$work/www/f"
	end
	serve_parts
	get -q -C "$from4/f" || get -q -C "$from4/f"
	same "$work/f" "$work/www/f"
	end
}

# If the file changed in between, the old part is worth nothing.
test_a_changed_file_is_begun_anew()
{
	make_file "$work/www/f" 3000000
	serve_parts
	get_fails 5 'C continues' -q "$from4/f"
	make_file "$work/www/f" 3000000
	get_fails 5 'C continues' -q -C "$from4/f"
	get -q -C "$from4/f"
	same "$work/f" "$work/www/f"
	end
}

# A server that cuts the rest short, or takes it from another version of the
# file, must not make a file of it.
test_a_rest_that_does_not_fit_is_refused()
{
	make_file "$work/www/f" 10
	begin_part() { printf 12345 >"$work/f.part"; echo '"x"' >"$work/f.part.tag"; }
	begin_part
	start_answer 'HTTP/1.1 206 OK\r\nETag: "x"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 2\r\n\r\n67'
	get_fails 5 'ended after 7 B of 10 B' -q -C "$from4/f"
	[[ ! -e $work/f && $(<"$work/f.part") == 1234567 ]]
	end
	begin_part
	start_answer 'HTTP/1.1 206 OK\r\nETag: "y"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n67890'
	get_fails 5 'another version' -q -C "$from4/f"
	[[ ! -e $work/f && ! -e $work/f.part ]]
	end
	begin_part
	start_answer 'HTTP/1.1 206 OK\r\nETag: "x"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n67890'
	get -q -C "$from4/f"
	[[ $(<"$work/f") == 1234567890 ]]
	end
}

# A server with ranges and entity tags that hangs up after 2,000,000 bytes, or
# with "hold" does not.
serve_parts()
{
	python3 - "$work/www/f" "${1:-}" <<-'END' &
		import hashlib, socket, sys, time
		s = socket.create_server(('', 8000))
		while True:
		    c, _ = s.accept()
		    request = c.recv(65536).decode()
		    if not request:
		        continue
		    data = open(sys.argv[1], 'rb').read()
		    tag = '"%s"' % hashlib.md5(data).hexdigest()
		    first = 0
		    if 'Range: bytes=' in request and 'If-Range: ' + tag in request:
		        first = int(request.split('Range: bytes=')[1].split('-')[0])
		    head = 'HTTP/1.1 %s\r\nETag: %s\r\nContent-Length: %d\r\n' % (
		        '206 Partial Content' if first else '200 OK', tag,
		        len(data) - first)
		    if first:
		        head += 'Content-Range: bytes %d-%d/%d\r\n' % (
		            first, len(data) - 1, len(data))
		    c.sendall(head.encode() + b'\r\n' + data[first:first + 2000000])
		    if sys.argv[2]:
		        time.sleep(60)
		    c.close()
	END
	python=$!
	wait_for 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8000'
}

test_redirects_are_followed()
{
	mkdir -p "$work/www/dir"
	echo index >"$work/www/dir/index.html"
	start_python
	get -q -o got "$from4/dir"
	same "$work/got" "$work/www/dir/index.html"
	end
	start_answer 'HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n'
	get_fails 4 'too many redirects' "$from4/"
	end
	start_answer 'HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\n\r\n'
	get_fails 4 'not an http' "$from4/"
	end
}

test_bodies_of_every_framing_arrive()
{
	start_answer 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'
	get -q -o got "$from4/f"
	[[ $(<"$work/got") == abcde ]]
	end
	start_answer 'HTTP/1.0 200 OK\r\n\r\nuntil the end'
	get -q -o got "$from4/f"
	[[ $(<"$work/got") == 'until the end' ]]
	end
	start_answer 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
	get -q -o got "$from4/f"
	[[ $(<"$work/got") == ok ]]
	end
}

test_every_failure_has_its_status_and_says_why()
{
	get_fails 3 'refused' "$from4/f"
	start_python
	get_fails 4 '404' "$from4/none"
	[[ ! -e $work/none && ! -e $work/none.part ]]
	get_fails 1 'tap' --dev tap:name=lo "$from4/f"
	get_fails 2 'did you mean --stats' --stat x "$from4/f"
	get_fails 2 'http' https://example.org/
	get_fails 3 'looking up' http://nowhere.invalid/
	get_fails 6 'No such file' -o no/such/dir "$from4/"
	end
	start_answer 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort'
	get_fails 5 'after 5 B of 100 B' "$from4/f"
	end
	start_answer 'SSH-2.0-OpenSSH\r\n'
	get_fails 5 'not HTTP' "$from4/f"
	end
	start_answer ''
	get_fails 5 'without an answer' "$from4/f"
	end
	start_answer 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort' reset
	get_fails 5 'reset' "$from4/f"
	end
}

test_a_full_disk_is_said()
{
	make_file "$work/www/f" 20M
	mkdir "$work/small"
	mount -t tmpfs -o size=4M none "$work/small"
	start_python
	get_fails 6 'No space left' -o small/f "$from4/f"
	end
	umount -l "$work/small"
}

test_an_interrupt_ends_it_cleanly()
{
	make_file "$work/www/f" 1000
	start_answer 'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 100\r\n\r\nshort'
	kill -STOP "$python"
	(cd "$work" && exec "$TOW" get "${addresses[@]}" "$from4/f") \
		2>"$work/get.log" &
	wait_for 10 connections 1 sport = :8000 || fail 'it does not connect'
	kill -INT $!
	status=0
	wait $! || status=$?
	((status == 130)) || fail "status $status"
	grep -q interrupted "$work/get.log"
	kill -CONT "$python"
	end
}

run_tests "$@"
