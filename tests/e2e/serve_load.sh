#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tow serve under load and over bad links: many clients, slow clients, loss.
#
#	curl, python -- kernel -- tow0 [-- fault:] [-- pcap:] -- tow serve
#	              192.0.2.1                               192.0.2.2
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

# All bytes of a file, over and over: fetch URL COUNT PARALLEL
fetch()
{
	local i
	for ((i = 0; i < $2; i++)); do
		echo "url = \"$1?$i\""
		echo "output = \"$work/got.$i\""
	done >"$work/curlrc"
	curl -sfg --no-progress-meter -m 100 --parallel --parallel-immediate --parallel-max "$3" \
		--config "$work/curlrc"
	for ((i = 0; i < $2; i++)); do
		same "$work/got.$i" "$file"
		rm "$work/got.$i"
	done
}

lossy='fault:loss=1%,reorder=1%,dup=0.5%,corrupt=0.2%,seed=7:tap'

test_64_downloads_at_a_time_over_both_families()
{
	file=$work/www/f
	make_file "$file" 10M
	serve "$work/www" --stats "$work/stats.json" --quiet
	fetch "$url4/f" 64 64
	fetch "$url6/f" 64 64
	stop
	(($(stat_of "$work/stats.json" ledger.tx.lent_bytes) ==
		2 * 64 * (10 << 20))) || fail 'not all was lent'
}

test_a_lossy_link_costs_time_and_nothing_else()
{
	file=$work/www/f
	make_file "$file" 20M
	serve "$work/www" --dev "$lossy" --stats "$work/stats.json"
	fetch "$url4/f" 1 1
	fetch "$url6/f" 1 1
	fetch "$url4/f" 16 16
	stop
	(($(stat_of "$work/stats.json" tcp.retrans_segs) > 0)) ||
		fail 'nothing was lost'
	(($(stat_of "$work/stats.json" ledger.tx.lent_bytes) ==
		18 * (20 << 20))) || fail 'not all was lent'
}

test_an_upload_over_a_lossy_link_arrives_whole()
{
	make_file "$work/f" 20M
	serve "$work/www" --dev "$lossy" --writable
	curl -sSf -m 100 -T "$work/f" "$url4/f"
	same "$work/www/f" "$work/f"
	stop
}

test_without_offloads_the_stack_does_the_work()
{
	file=$work/www/f
	make_file "$file" 50M
	serve "$work/www" --dev 'tap:offloads=off' --stats "$work/stats.json" \
		--writable
	fetch "$url4/f" 2 2
	fetch "$url6/f" 2 2
	curl -sSf -m 60 -T "$file" "$url4/up"
	same "$work/www/up" "$file"
	stop
	(($(stat_of "$work/stats.json" ledger.tx.touched_bytes) >=
		4 * (50 << 20))) || fail 'checksums were not made here'
}

test_captures_have_no_malformed_frame()
{
	needs tshark
	file=$work/www/f
	make_file "$file" 3M
	serve "$work/www" --writable --dev \
		"pcap:file=$work/a.pcapng:fault:loss=1%,reorder=1%:tap"
	fetch "$url4/f" 8 8
	fetch "$url6/f" 8 8
	curl -sSf -m 60 -T "$file" "$url4/up"
	curl -s -m 30 "$url4/nothing" >/dev/null
	stop
	check_capture "$work/a.pcapng"
	serve "$work/www" --dev "pcap:file=$work/b.pcapng:tap:offloads=off"
	fetch "$url4/f" 2 2
	fetch "$url6/f" 2 2
	stop
	check_capture "$work/b.pcapng"
}

test_ten_thousand_short_connections()
{
	make_file "$work/www/f" 1000
	serve "$work/www" --stats "$work/stats.json" --quiet
	python3 - "$tow4" "$port" "$work/www/f" <<-'END'
		import socket, sys, threading
		want = open(sys.argv[3], 'rb').read()
		request = b'GET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
		bad = []
		def work(count):
		    for _ in range(count):
		        with socket.create_connection((sys.argv[1], int(sys.argv[2])), 20) as s:
		            s.sendall(request)
		            got = b''
		            while data := s.recv(65536):
		                got += data
		            if not got.endswith(want) or b' 200 OK' not in got[:20]:
		                bad.append(got[:100])
		threads = [threading.Thread(target=work, args=(1250,)) for _ in range(8)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		assert not bad, bad[:3]
	END
	stop
	(($(stat_of "$work/stats.json" tcp.passive_opens) == 10000)) ||
		fail "$(stat_of "$work/stats.json" tcp.passive_opens) connections"
	(($(stat_of "$work/stats.json" tcp.rst_out) == 0)) ||
		fail 'connections were reset'
}

# A client that does not read for a while gets the whole in the end, and holds
# up nobody else meanwhile.
test_a_slow_reader_does_not_hold_up_others()
{
	file=$work/www/f
	make_file "$file" 20M
	serve "$work/www"
	curl -sSf -m 60 --limit-rate 4M -o "$work/slow" "$url4/f" &
	fetch "$url4/f" 16 4
	wait $!
	same "$work/slow" "$file"
	stop
}

test_a_client_that_is_killed_leaves_nothing_behind()
{
	local i
	file=$work/www/f
	make_file "$file" 100M
	serve "$work/www" --stats "$work/stats.json"
	for ((i = 0; i < 10; i++)); do
		curl -sSf -m 60 --limit-rate 10M -o /dev/null "$url4/f" &
		sleep 0.1
		kill -KILL $!
		wait $! 2>/dev/null || true
	done
	fetch "$url4/f" 1 1
	stop
}

# Half a request, half a request line, nothing at all: all are thrown out, and
# others are served meanwhile.
test_silent_clients_are_thrown_out()
{
	make_file "$work/www/f" 100
	serve "$work/www" --max-connections 20
	python3 - "$tow4" "$port" <<-'END'
		import socket, sys, time
		to = (sys.argv[1], int(sys.argv[2]))
		silent = [socket.create_connection(to, 5) for _ in range(18)]
		for i, s in enumerate(silent):
		    s.sendall((b'', b'GET /f', b'GET /f HTTP/1.1\r\nHost: a\r\n')[i % 3])
		for _ in range(30):
		    with socket.create_connection(to, 5) as s:
		        s.sendall(b'GET /f HTTP/1.0\r\n\r\n')
		        assert s.recv(100).startswith(b'HTTP/1.1 200')
		start = time.monotonic()
		for i, s in enumerate(silent):
		    s.settimeout(20)
		    got = s.recv(100)
		    assert got == b'' if i % 3 == 0 else b' 408 ' in got, (i, got)
		assert 5 < time.monotonic() - start < 15
	END
	stop
}

# Idle connections make room for new ones.
test_more_clients_than_places_take_turns()
{
	make_file "$work/www/f" 100
	serve "$work/www" --max-connections 10
	python3 - "$tow4" "$port" <<-'END'
		import socket, sys
		to = (sys.argv[1], int(sys.argv[2]))
		kept = []
		for _ in range(50):
		    s = socket.create_connection(to, 5)
		    s.sendall(b'GET /f HTTP/1.1\r\nHost: a\r\n\r\n')
		    assert s.recv(1000).startswith(b'HTTP/1.1 200')
		    kept.append(s)
	END
	stop
}

test_sigterm_lets_a_download_end()
{
	file=$work/www/f
	make_file "$file" 20M
	serve "$work/www"
	curl -sSf -m 60 --limit-rate 8M -o "$work/got" "$url4/f" &
	sleep 0.5
	stop
	wait $!
	same "$work/got" "$file"
}

# Whoever reads the log has stopped: that holds up neither clients nor the end.
test_sigterm_ends_a_server_whose_log_nobody_reads()
{
	local guard
	make_file "$work/www/f" 10
	mkfifo "$work/log"
	exec 9<>"$work/log"
	"$TOW" serve "$work/www" --port "$port" "${addresses[@]}" \
		>"$work/log" 2>"$work/serve.log" 9<&- &
	served=$!
	wait_for 10 curl -sf -m 1 -o /dev/null "$url4/f"
	timeout 0.5 cat /dev/zero >"$work/log" || true # now it is full
	curl -sf -m 5 -o /dev/null "$url4/f"
	sleep 0.5
	curl -sf -m 5 -o /dev/null "$url4/f"
	(sleep 10 && kill -KILL "$served") &
	guard=$!
	stop
	kill "$guard"
	exec 9<&-
}

test_a_killed_server_can_be_started_again()
{
	file=$work/www/f
	make_file "$file" 10M
	serve "$work/www"
	curl -sSf -m 3 --limit-rate 1M -o /dev/null "$url4/f" &
	sleep 0.3
	stop KILL 137
	kill -KILL $! 2>/dev/null || true
	serve "$work/www"
	fetch "$url4/f" 1 1
	stop
}

test_a_deleted_tap_ends_the_server_with_an_error()
{
	make_file "$work/www/f" 50M
	serve "$work/www" --dev tap:name=tow7
	curl -sSf -m 10 --limit-rate 10M -o /dev/null "$url4/f" &
	sleep 0.3
	ip link delete tow7
	wait_for 5 eval "! kill -0 $served" || fail 'it goes on'
	stop TERM 1 2>/dev/null || stop 0 1
	grep -q 'device is gone' "$work/serve.log" ||
		fail "$(<"$work/serve.log")"
	kill $! 2>/dev/null || true
}

run_tests "$@"
