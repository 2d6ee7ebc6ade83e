#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tow relay between clients and targets of the kernel's TCP and UDP.
#
#	client -- tow0 -- tow relay -- tow1 -- target
#	192.0.2.1    .2             198.51.100.2   .1
#	2001:db8::1 ::2           2001:db8:1::2   ::1
#
# With one device the targets are where the clients are.
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

peer=${0%/*}/relay_peer.py
target4=198.51.100.1 target6=2001:db8:1::1
# lib.sh's stop() and end_test() end $served: here that is the relay.
far=(--dev tap --addr 198.51.100.2/24 --peer "$target4/24"
	--addr 2001:db8:1::2/64 --peer "$target6/64")

# Targets and clients that are still there end with the test.
end_test()
{
	local left
	mapfile -t left < <(jobs -p)
	((${#left[@]})) && kill -KILL "${left[@]}" 2>/dev/null
	wait
}

relay()
{
	start_relay --dev tap "${addresses[@]}" --stats "$work/stats.json" "$@"
}

# target NAME ARGUMENTS…: its process in $target, its output in $work/NAME.
target()
{
	: >"$work/$1"
	python3 "$peer" "${@:2}" >"$work/$1" 2>&1 &
	target=$!
	wait_for 10 grep -q ready "$work/$1" ||
		fail "a target did not start: $(<"$work/$1")"
}

expect_live()
{
	kill -USR1 "$served"
	sleep 0.1
	[[ $(stat_of "$work/stats.json" relay.live) == "$1" ]]
}

# Nearly all that went through was passed, not copied.
check_passed()
{
	local passed copied
	passed=$(stat_of "$work/stats.json" ledger.tx.passed_bytes)
	copied=$(($(stat_of "$work/stats.json" ledger.tx.copied_bytes) +
		$(stat_of "$work/stats.json" ledger.rx.copied_bytes)))
	((passed >= $1)) || fail "only $passed of $1 bytes were passed"
	((copied * 100 <= passed)) || fail "$copied bytes were copied"
}

test_large_streams_pass_both_ways_between_two_devices()
{
	local bytes=$((256 << 20))
	target both serve 9000 both "$bytes"
	relay "${far[@]}" "$port" "$target4:9000"
	python3 "$peer" transfer "$tow4" "$port" "$bytes" 1 >&2
	stop
	check_passed $((2 * bytes * 98 / 100))
	[[ $(stat_of "$work/stats.json" relay.done) == 1 ]] ||
		fail 'the connection did not end in the regular way'
}

test_one_device_is_enough()
{
	target both serve 9000 both 16777216
	relay "$port" "$kernel4:9000"
	python3 "$peer" transfer "$tow4" "$port" 16777216 4 >&2
	stop
	check_passed $((4 * 2 * 16777216 * 98 / 100))
}

test_ipv4_clients_reach_an_ipv6_target_and_back()
{
	target both serve 9000 both 8388608
	relay "${far[@]}" "$port" "[$target6]:9000"
	python3 "$peer" transfer "$tow4" "$port" 8388608 2 >&2
	stop
	relay "${far[@]}" "[$tow6]:$port" "$target4:9000"
	python3 "$peer" transfer "$tow6" "$port" 8388608 2 >&2
	stop
}

test_many_connections_at_once()
{
	target both serve 9000 both 300000
	relay "${far[@]}" "$port" "$target4:9000"
	python3 "$peer" transfer "$tow4" "$port" 300000 200 >&2
	wait_for 20 expect_live 0 || fail 'connections were left over'
	stop
	[[ $(stat_of "$work/stats.json" relay.done) == 200 ]] ||
		fail 'not all ended in the regular way'
}

test_clients_above_the_limit_wait_their_turn()
{
	target both serve 9000 both 100000
	relay "${far[@]}" "$port" "$target4:9000" --max-connections 3
	python3 "$peer" transfer "$tow4" "$port" 100000 40 >&2
	stop
	[[ $(stat_of "$work/stats.json" relay.done) == 40 ]] ||
		fail 'not all had their turn'
}

test_copying_gives_the_same_bytes()
{
	target both serve 9000 both 33554432
	relay "${far[@]}" "$port" "$target4:9000" --copy
	python3 "$peer" transfer "$tow4" "$port" 33554432 2 >&2
	stop
	[[ $(stat_of "$work/stats.json" ledger.tx.passed_bytes) == 0 ]] ||
		fail 'something was passed'
}

# RFC 9293 3.6: one direction ends, the other goes on
test_half_close_is_passed_on()
{
	target digest serve 9000 digest
	relay "${far[@]}" "$port" "$target4:9000"
	python3 "$peer" half-close "$tow4" "$port" 3000001 >&2
	python3 "$peer" half-close "$tow6" "$port" 0 >&2
	stop
}

test_reset_of_a_client_resets_the_target()
{
	target tell serve 9000 tell
	relay "${far[@]}" "$port" "$target4:9000"
	python3 "$peer" reset "$tow4" "$port" >&2
	wait_for 5 grep -q reset "$work/tell" ||
		fail "the target saw: $(<"$work/tell")"
	stop
	[[ $(stat_of "$work/stats.json" relay.reset) == 1 ]] || fail 'not counted'
}

test_reset_of_a_target_resets_the_client()
{
	target reset serve 9000 reset
	relay "${far[@]}" "$port" "$target4:9000"
	python3 "$peer" awaits-reset "$tow4" "$port" >&2
	stop
}

# The one that is down is tried, and rests.
test_target_that_is_down_is_left_out()
{
	target both serve 9000 both 1000
	relay "${far[@]}" "$port" "$target4:9001" "[$target6]:9000" \
		"$target4:9000"
	for _ in 1 2 3 4 5 6; do
		python3 "$peer" transfer "$tow4" "$port" 1000 1 >&2
	done
	stop
	failed=$(python3 -c '
import json, sys
print(json.load(open(sys.argv[1]))["relay"]["targets"][sys.argv[2]]["failed"])
' "$work/stats.json" "$target4:9001")
	((failed >= 1 && failed <= 3)) ||
		fail "the target that is down was tried $failed times"
}

test_no_target_at_all_resets_the_client()
{
	relay "${far[@]}" "$port" "$target4:9001"
	python3 "$peer" awaits-reset "$tow4" "$port" >&2
	stop
	[[ $(stat_of "$work/stats.json" relay.refused) == 1 ]] || fail 'not counted'
}

test_target_that_does_not_answer_times_out()
{
	relay "${far[@]}" "$port" "198.51.100.77:9000" --connect-timeout 1
	python3 "$peer" awaits-reset "$tow4" "$port" >&2
	stop
}

test_idle_connections_end()
{
	target tell serve 9000 tell
	relay "${far[@]}" "$port" "$target4:9000" --idle-timeout 1
	exec {fd}<>"/dev/tcp/$tow4/$port"
	wait_for 5 grep -q reset "$work/tell" || fail 'it was let be'
	exec {fd}>&-
	stop
}

# A target that does not read stops the client, and memory has an end.
test_slow_target_stops_the_client()
{
	local before after client
	python3 -c '
import socket, time
s = socket.create_server(("", 9000))
print("ready", flush=True)
c, _ = s.accept()
time.sleep(60)' >"$work/slow" &
	wait_for 10 grep -q ready "$work/slow"
	relay "${far[@]}" "$port" "$target4:9000"
	timeout 20 head -c 2G /dev/zero >"/dev/tcp/$tow4/$port" &
	client=$!
	sleep 3
	kill -USR1 "$served"; sleep 0.2
	before=$(stat_of "$work/stats.json" ledger.tx.passed_bytes)
	sleep 1
	kill -USR1 "$served"; sleep 0.2
	after=$(stat_of "$work/stats.json" ledger.tx.passed_bytes)
	((before > 0 && after - before < 1 << 20)) ||
		fail "from $before to $after bytes, though nobody reads"
	((after < 128 << 20)) || fail "$after bytes were taken"
	[[ $(stat_of "$work/stats.json" exhausted.rx_buffers) == 0 ]] ||
		fail 'the stack ran out of memory'
	kill "$client"
	stop
}

passed_bytes()
{
	kill -USR1 "$served"; sleep 0.2
	stat_of "$work/stats.json" ledger.tx.passed_bytes
}

# One client with many connections to where nobody reads has one share of the
# receive memory; another one goes on.
test_a_client_that_floods_a_slow_target_leaves_memory_to_others()
{
	local flood
	ip addr add 192.0.2.66/32 dev lo
	python3 - <<-'END' >"$work/slow" &
		import socket, threading
		deaf = []
		def answer(c):
		    if c.recv(1) == b'!':
		        deaf.append(c)
		        return
		    while data := c.recv(1 << 16):
		        c.sendall(data)
		    c.close()
		s = socket.socket()
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
		s.bind(("", 9000))
		s.listen(200)
		print("ready", flush=True)
		while True:
		    c, _ = s.accept()
		    threading.Thread(target=answer, args=(c,), daemon=True).start()
	END
	wait_for 10 grep -q ready "$work/slow"
	relay "${far[@]}" "$port" "$target4:9000"
	python3 - "$tow4" "$port" >"$work/flood" <<-'END' &
		import selectors, socket, sys, time
		block = b'!' + bytes((1 << 20) - 1)
		wait = selectors.DefaultSelector()
		for _ in range(40):
		    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10,
		                                 ('192.0.2.66', 0))
		    s.setblocking(False)
		    wait.register(s, selectors.EVENT_WRITE)
		print("ready", flush=True)
		while True:
		    for key, _ in wait.select():
		        try:
		            key.fileobj.send(block)
		        except BlockingIOError:
		            pass
		    time.sleep(0.001)
	END
	flood=$!
	wait_for 20 grep -q ready "$work/flood"
	wait_for 30 stands_still || fail 'it is never full'
	timeout 30 python3 - "$tow4" "$port" <<-'END' || fail 'the other one stands'
		import socket, sys, threading
		total = 64 << 20
		s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
		s.settimeout(20)
		def send():
		    for _ in range(64):
		        s.sendall(bytes(1 << 20))
		    s.shutdown(socket.SHUT_WR)
		threading.Thread(target=send, daemon=True).start()
		got = 0
		while data := s.recv(1 << 20):
		    got += len(data)
		sys.exit(got != total - 1) # the first is not echoed
	END
	[[ $(stat_of "$work/stats.json" exhausted.rx_buffers) == 0 ]] ||
		fail 'the stack ran out of memory'
	kill "$flood"
	stop
}

stands_still()
{
	local before after
	before=$(passed_bytes)
	sleep 1
	after=$(passed_bytes)
	((before > 0 && after - before < 1 << 20))
}

# RFC 9293 3.6, from the other side: the target ends first, the client goes on
test_half_close_by_the_target_is_passed_on()
{
	python3 - <<-'END' >"$work/early" &
		import socket
		s = socket.create_server(("", 9000))
		print("ready", flush=True)
		c, _ = s.accept()
		c.sendall(b'first')
		c.shutdown(socket.SHUT_WR)
		count = 0
		while data := c.recv(1 << 16):
		    count += len(data)
		print("count", count, flush=True)
	END
	wait_for 10 grep -q ready "$work/early"
	relay "${far[@]}" "$port" "$target4:9000"
	python3 - "$tow6" "$port" <<-'END'
		import socket, sys
		s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
		assert s.recv(100) == b'first'
		assert s.recv(100) == b''
		s.sendall(bytes(5000000))
		s.close()
	END
	wait_for 10 grep -qx 'count 5000000' "$work/early" ||
		fail "the target got: $(<"$work/early")"
	stop
	[[ $(stat_of "$work/stats.json" relay.done) == 1 ]] ||
		fail 'it did not end in the regular way'
}

# The table of flows has a limit: newcomers wait for places of the silent.
test_more_clients_than_flows_are_dropped_until_one_is_silent()
{
	target echo udp-echo 9000
	relay "${far[@]}" --udp "$port" "$target4:9000" --max-connections 4
	python3 - "$tow4" "$port" <<-'END'
		import socket, sys, time
		to = (sys.argv[1], int(sys.argv[2]))
		clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		           for _ in range(8)]
		def answered(s):
		    s.settimeout(1)
		    s.sendto(b'x' * 600, to)
		    try:
		        return s.recvfrom(1000)[0] == b'x' * 600
		    except TimeoutError:
		        return False
		assert [answered(s) for s in clients[:4]] == [True] * 4
		assert not answered(clients[4])
		assert answered(clients[0])
		time.sleep(5)
		assert answered(clients[5]), 'no room was made'
		assert answered(clients[6]), 'no room was made'
	END
	expect_live 4 || fail 'more flows than there may be'
	stop
	(($(stat_of "$work/stats.json" relay.dropped_datagrams) >= 1)) ||
		fail 'what was dropped was not counted'
}

# Clients and targets are killed at random; the relay lives on, and forgets.
test_ends_that_are_killed_leave_nothing_behind()
{
	local round first client
	relay "${far[@]}" "$port" "$target4:9000"
	for round in 1 2 3 4 5; do
		target both serve 9000 both 200000000
		first=$target
		python3 "$peer" transfer "$tow4" "$port" 200000000 8 \
			>/dev/null 2>&1 &
		client=$!
		sleep "0.$((RANDOM % 5 + 2))"
		if ((round % 2)); then
			kill -KILL "$first"; sleep 0.1
			kill -KILL "$client" || true # it may have given up
		else
			kill -KILL "$client" || true
			sleep 0.1; kill -KILL "$first"
		fi
		wait "$client" || true
	done
	wait_for 20 expect_live 0 || fail 'connections were left over'
	sleep 1.5 # the target rests
	target both serve 9000 both 1000000
	python3 "$peer" transfer "$tow4" "$port" 1000000 4 >&2
	stop
}

test_connections_under_way_may_end_after_sigterm()
{
	target digest serve 9000 digest
	relay "${far[@]}" "$port" "$target4:9000"
	python3 - "$tow4" "$port" "$work/end" >"$work/said" <<-'END' &
		import os, socket, sys, time
		s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
		s.sendall(b"x")
		while not os.path.exists(sys.argv[3]):
		    time.sleep(0.02)
		s.shutdown(socket.SHUT_WR)
		print(s.recv(100).decode())
	END
	client=$!
	wait_for 10 expect_live 1 || fail 'nobody came'
	(sleep 0.5; : >"$work/end") &
	stop
	wait "$client"
	[[ $(<"$work/said") == $(printf x | sha256sum | cut -d ' ' -f 1) ]] ||
		fail "the client got: $(<"$work/said")"
}

test_datagrams_pass_both_ways()
{
	target echo udp-echo 9000
	relay "${far[@]}" --udp "$port" "$target4:9000"
	for size in 4 100 511 512 1000 1400 1472; do
		python3 "$peer" udp "$tow4" "$port" 50 "$size" >&2
	done
	stop
	(($(stat_of "$work/stats.json" ledger.tx.passed_bytes) >= 400000)) ||
		fail 'the large ones were not passed'
	[[ $(stat_of "$work/stats.json" relay.accepted) == 7 ]] ||
		fail 'not a flow for each client'
}

test_datagrams_cross_from_ipv4_to_ipv6()
{
	target echo udp-echo 9000
	relay "${far[@]}" --udp "$port" "[$target6]:9000"
	python3 "$peer" udp "$tow4" "$port" 50 1200 >&2
	stop
	relay "${far[@]}" --udp --copy "$port" "$target4:9000"
	python3 "$peer" udp "$tow6" "$port" 50 1200 >&2
	stop
}

test_flows_end_when_they_are_silent()
{
	target echo udp-echo 9000
	relay "${far[@]}" --udp "$port" "$target4:9000" --idle-timeout 1
	python3 "$peer" udp "$tow4" "$port" 2 600 >&2
	wait_for 5 expect_live 0 || fail 'the flow is still there'
	stop
}

test_datagrams_find_the_target_that_lives()
{
	target echo udp-echo 9000
	relay "${far[@]}" --udp "$port" "$target4:9001" "$target4:9000"
	python3 "$peer" udp "$tow4" "$port" 20 600 >&2
	python3 "$peer" udp "$tow4" "$port" 20 600 >&2
	stop
}

refused()
{
	local status=0 said
	said=$("$TOW" relay "${@:2}" 2>&1) || status=$?
	((status == 2)) || fail "status $status for ${*:2}"
	[[ $said == *"$1"* ]] || fail "it says: $said"
}

test_bad_arguments_are_told()
{
	refused 'missing LISTEN TARGET' 80
	refused 'LISTEN is a port' x 192.0.2.1:80
	refused 'LISTEN is a port' 0 192.0.2.1:80
	refused 'LISTEN is a port' 99999 192.0.2.1:80
	refused 'a target is an address' 80 192.0.2.1
	refused 'a target is an address' 80 192.0.2.1:80 nowhere:80
	refused 'did you mean --idle-timeout' 80 192.0.2.1:80 --idle-timout 3
	refused '--dev is given twice at most' 80 192.0.2.1:80 --dev tap --dev tap \
		--dev tap
	refused 'out of range' 80 192.0.2.1:80 --connect-timeout 0
}

test_listening_twice_is_refused()
{
	local said
	said=$("$TOW" relay "${addresses[@]}" 192.0.2.99:80 "$kernel4:9000" 2>&1) &&
		fail 'an address that is not ours was taken'
	[[ $said == *'listening on 192.0.2.99:80'* ]] || fail "it says: $said"
}

run_tests "$@"
