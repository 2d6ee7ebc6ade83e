#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tow serve while its files change under it: truncated, replaced, removed, cold.
#
#	curl -- kernel -- tow0 -- tow serve -- files that somebody changes
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

# A slow download of /f begins; waits until some of it has arrived.
begin_download()
{
	curl -s -m 60 --limit-rate 8M -o "$work/got" "$url4/f" &
	client=$!
	wait_for 10 test -s "$work/got"
}

# It must fail (18: short, 56: reset), and soon; what arrived must be a prefix
# of the file as it was.
check_cut_off()
{
	local status=0 start=$SECONDS
	wait "$client" || status=$?
	((status == 18 || status == 56)) || fail "curl ended with $status"
	((SECONDS - start < 10)) || fail 'it took too long'
	cmp -n "$(stat -c %s "$work/got")" "$work/got" "$work/before" >&2 ||
		fail 'bytes that are not the file'\''s'
}

# The server is well: it answers, and it does not spin.
check_server()
{
	local before after
	curl -sSf -m 5 -o /dev/null "$url4/other"
	before=$(awk '{print $14 + $15}' "/proc/$served/stat")
	sleep 1
	after=$(awk '{print $14 + $15}' "/proc/$served/stat")
	((after - before < 30)) || fail "it spins: $((after - before)) ticks"
}

prepare()
{
	make_file "$work/www/f" 60M
	cp "$work/www/f" "$work/before"
	echo other >"$work/www/other"
	serve "$work/www" "$@"
}

truncate_under_way()
{
	prepare "$@"
	begin_download
	truncate -s 1M "$work/www/f"
	check_cut_off
	check_server
	stop
}

test_a_file_truncated_in_flight_ends_that_response()
{
	truncate_under_way
}

# The checksum is made here, so it is our own read that goes past the end.
test_truncated_in_flight_with_checksums_in_software()
{
	truncate_under_way --dev tap:offloads=off
}

test_truncated_in_flight_while_copying()
{
	truncate_under_way --copy
}

# What is queued already ends within the page that the new end lies in. The
# rest of that page reads as zeros, without a signal.
truncated_just_ahead()
{
	prepare "$@"
	python3 - "$tow4" "$port" "$work" <<-'END'
		import os, socket, sys
		folder = sys.argv[3]
		before = open(folder + '/before', 'rb').read()
		for end in range(400 * 1024 + 100, 400 * 1024 + 4000, 700):
		    open(folder + '/www/f', 'wb').write(before)
		    s = socket.socket()
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
		    s.settimeout(10)
		    s.connect((sys.argv[1], int(sys.argv[2])))
		    s.sendall(b'GET /f HTTP/1.1\r\nHost: x\r\n\r\n')
		    got = s.recv(1000)
		    os.truncate(folder + '/www/f', end)
		    try:
		        while more := s.recv(1 << 20):
		            got += more
		    except ConnectionResetError:
		        pass
		    got = got.split(b'\r\n\r\n', 1)[1]
		    assert len(got) <= end, 'bytes behind the end'
		    assert before.startswith(got), 'other bytes'
	END
	check_server
	stop
}

test_truncated_just_ahead_of_what_is_sent()
{
	truncated_just_ahead
}

test_truncated_just_ahead_with_checksums_in_software()
{
	truncated_just_ahead --dev tap:offloads=off
}

test_truncated_just_ahead_while_copying()
{
	truncated_just_ahead --copy
}

test_truncated_to_nothing_in_flight()
{
	prepare
	begin_download
	: >"$work/www/f"
	check_cut_off
	check_server
	stop
}

# Truncated in the middle of a page: the rest of that page reads as zeros.
test_truncated_within_the_last_page()
{
	prepare
	begin_download
	truncate -s $(((60 << 20) - 100)) "$work/www/f"
	check_cut_off
	check_server
	stop
}

test_many_downloads_of_a_truncated_file_all_end()
{
	local i clients=()
	prepare --dev tap:offloads=off
	for i in {1..8}; do
		curl -s -m 60 --limit-rate 4M -o "$work/got.$i" "$url4/f" &
		clients+=($!)
	done
	sleep 1
	truncate -s 100 "$work/www/f"
	for i in "${clients[@]}"; do
		! wait "$i" || fail 'a download claims to be whole'
	done
	check_server
	stop
}

test_a_replaced_file_is_sent_to_its_end()
{
	prepare
	begin_download
	make_file "$work/new" 10M
	mv "$work/new" "$work/www/f"
	wait "$client"
	same "$work/got" "$work/before"
	curl -sSf -m 20 -o "$work/got" "$url4/f"
	same "$work/got" "$work/www/f"
	stop
}

test_a_removed_file_is_sent_to_its_end()
{
	prepare
	begin_download
	rm "$work/www/f"
	wait "$client"
	same "$work/got" "$work/before"
	[[ $(curl -s -m 5 -o /dev/null -w '%{http_code}' "$url4/f") == 404 ]]
	stop
}

# What a log does: it grows while it is read.
test_a_growing_file_is_sent_as_it_was()
{
	prepare
	begin_download
	head -c 100000 /dev/zero >>"$work/www/f"
	wait "$client"
	same "$work/got" "$work/before"
	stop
}

# Pages that are not in memory are read by a worker.
test_a_cold_file_arrives_whole()
{
	prepare --stats "$work/stats.json"
	sync "$work/www/f"
	dd if="$work/www/f" of=/dev/null iflag=nocache count=0 status=none
	python3 - "$work/www/f" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
	END
	curl -sSf -m 60 -o "$work/got" "$url4/f"
	same "$work/got" "$work/before"
	stop
	(($(stat_of "$work/stats.json" ledger.tx.lent_bytes) == 60 << 20))
}

# An idle file is unmapped after some seconds, and so its space comes back.
test_a_removed_file_gives_its_space_back()
{
	prepare
	curl -sSf -m 60 -o /dev/null "$url4/f"
	rm "$work/www/f"
	wait_for 15 eval "! ls -l /proc/$served/fd | grep -q 'www/f (deleted)'" ||
		fail 'the removed file is still open'
	stop
}

run_tests "$@"
