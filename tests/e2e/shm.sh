#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tow serve and tow get in two processes, with memory between them and no
# kernel's network at all.
#
#	tow get -------- shm, $work/link -------- tow serve
#	192.0.2.1                                 192.0.2.2
#	2001:db8::1                               2001:db8::2
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

expect()
{
	[[ $1 == "$2" ]] || fail "$3: $1 instead of $2"
}

# A server that listens at $work/link: serve_shm OPTIONS-OF-THE-DEVICE …
serve_shm()
{
	local addresses=(--addr "$tow4/24" --addr "$tow6/64")
	serve "$work/www" --dev "shm:path=$work/link,role=listen$1" "${@:2}"
	wait_for 5 test -S "$work/link" || fail 'there is no socket'
}

get_shm()
{
	"$TOW" get --dev "shm:path=$work/link,role=connect" \
		--addr "$kernel4/24" --addr "$kernel6/64" "$@" 2>"$work/get.log"
}

sum_of()
{
	sha256sum <"$1"
}

test_a_file_crosses_and_the_next_client_may_come()
{
	make_file "$work/www/big" 200M
	make_file "$work/www/small" 100
	serve_shm ,stay=on --stats "$work/stats.json"
	get_shm -o "$work/got" --stats "$work/get.json" "$url4/big"
	expect "$(sum_of "$work/got")" "$(sum_of "$work/www/big")" sum
	get_shm -o "$work/got6" "$url6/big"
	expect "$(sum_of "$work/got6")" "$(sum_of "$work/www/big")" sum
	get_shm -o "$work/got" "$url4/small"
	same "$work/got" "$work/www/small"
	stop
	[[ ! -e $work/link ]] || fail 'the socket is still there'
	# Files lie in no arena: the sender copied them, once.
	(($(stat_of "$work/stats.json" ledger.tx.copied_bytes.shape) >=
		2 * 200 << 20)) || fail 'less was copied than was sent'
	expect "$(stat_of "$work/stats.json" ledger.tx.touched_bytes)" 0 \
		'bytes touched'
	expect "$(stat_of "$work/get.json" ledger.rx.copied_bytes.recv)" 0 \
		'bytes copied by recv'
}

test_packets_of_1500_bytes_lost_and_reordered()
{
	make_file "$work/www/f" 20M
	serve_shm ,mtu=1500,stay=on
	"$TOW" get --dev "fault:loss=1%,reorder=1%:shm:path=$work/link,mtu=1500" \
		--addr "$kernel4/24" -o "$work/got" "$url4/f"
	same "$work/got" "$work/www/f"
	stop
}

test_a_capture_of_a_link_is_clean()
{
	needs tshark
	make_file "$work/www/f" 1M
	serve_shm ,stay=on
	"$TOW" get --dev \
		"pcap:file=$work/f.pcapng:shm:path=$work/link" \
		--addr "$kernel4/24" -o "$work/got" "$url4/f"
	same "$work/got" "$work/www/f"
	stop
	[[ $(tshark -r "$work/f.pcapng" -Y http.response 2>/dev/null |
		wc -l) -ge 1 ]] || fail 'no answer is in the capture'
}

test_without_a_server_it_says_what_to_do()
{
	local status=0
	get_shm "$url4/f" || status=$?
	((status)) || fail 'it succeeded'
	grep -q 'start the other end first' "$work/get.log" ||
		fail "it says $(<"$work/get.log")"
}

# The client dies in mid-transfer; the server has its memory back and serves on.
test_a_client_killed_in_mid_transfer_costs_the_server_nothing()
{
	local client
	make_file "$work/www/big" 500M
	make_file "$work/www/small" 5M
	serve_shm ,stay=on
	for _ in 1 2 3; do
		get_shm -o "$work/part" "$url4/big" &
		client=$!
		sleep 0.1
		kill -KILL $client 2>/dev/null || true
		wait $client || true
		rm -f "$work"/part*
	done
	get_shm -o "$work/got" "$url4/small"
	same "$work/got" "$work/www/small"
	stop
}

test_a_server_killed_in_mid_transfer_ends_the_client()
{
	local client status=0
	make_file "$work/www/big" 1G
	serve_shm ''
	get_shm -o "$work/got" "$url4/big" &
	client=$!
	sleep 0.2
	kill -KILL "$served"
	wait "$served" || true
	served=
	wait_for 5 test ! -d "/proc/$client/fd" ||
		fail 'the client did not notice'
	wait $client || status=$?
	((status)) || [[ $(sum_of "$work/got") == $(sum_of "$work/www/big") ]] ||
		fail 'it says that it has it all'
}

# $1 says the words that follow, and nothing of an interface.
says()
{
	grep -q "${@:2}" "$1" || fail "it says: $(<"$1")"
	! grep -qE 'interface|--peer needs' "$1" || fail "it says: $(<"$1")"
}

# In the background, as $client.
begin_download()
{
	make_file "$work/www/big" 1G
	serve_shm ''
	get_shm -o "$work/got" "$url4/big" &
	client=$!
	wait_for 5 test -s "$work/got.part" || fail 'it did not begin'
}

test_a_client_killed_ends_a_server_that_does_not_stay()
{
	local client
	begin_download
	kill -KILL $client
	wait $client || true
	wait_for 5 eval "! kill -0 $served" || fail 'it goes on'
	wait "$served" && fail 'it exited with 0'
	served=
	says "$work/serve.log" "device is gone: shm:path=$work/link.*other end"
}

test_a_server_killed_is_not_an_interface_to_the_client()
{
	local client
	begin_download
	kill -KILL "$served"
	wait "$served" || true
	served=
	wait $client && fail 'it exited with 0'
	says "$work/get.log" "device is gone: shm:path=$work/link.*other end"
}

test_addresses_are_asked_for_as_the_link_wants_them()
{
	local status=0
	mkdir "$work/www"
	"$TOW" serve "$work/www" --dev "shm:path=$work/link,role=listen" \
		2>"$work/log" || status=$?
	expect $status 1 status
	says "$work/log" "shm:path=$work/link,role=listen needs an --addr"
	status=0
	"$TOW" serve "$work/www" --dev "shm:path=$work/link,role=listen" \
		--addr "$tow4/24" --peer "$kernel4/24" 2>"$work/log" || status=$?
	expect $status 1 status
	says "$work/log" -e '--peer is for the kernel.s end of a tap'
}

test_the_name_of_a_killed_server_is_taken_over()
{
	make_file "$work/www/f" 1000
	serve_shm ,stay=on
	kill -KILL "$served"
	wait "$served" || true
	[[ -S $work/link ]] || fail 'the socket should be left'
	serve_shm ,stay=on
	get_shm -o "$work/got" "$url4/f"
	same "$work/got" "$work/www/f"
	stop
}

# Rubbish at the socket, as anybody who may open it can send.
test_rubbish_at_the_socket_does_not_keep_the_next_out()
{
	make_file "$work/www/f" 100000
	serve_shm ,stay=on
	python3 - "$work/link" <<-'END'
		import array, os, socket, sys
		def meet():
		    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		    s.connect(sys.argv[1])
		    return s
		meet().send(b'GET / HTTP/1.0')
		r, w = os.pipe()
		for kind in (r, os.open('/dev/zero', os.O_RDONLY)):
		    fds = array.array('i', [kind, kind])
		    hello = (0x6d6873776f74).to_bytes(8, 'little') + \
		        (1).to_bytes(4, 'little') + (256).to_bytes(4, 'little') + \
		        (1 << 26).to_bytes(8, 'little')
		    meet().sendmsg([hello], [(socket.SOL_SOCKET,
		                              socket.SCM_RIGHTS, fds)])
		meet()
	END
	get_shm -o "$work/got" "$url4/f"
	same "$work/got" "$work/www/f"
	stop
}

run_tests "$@"
