#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What is larger than the MTU, with the kernel's fragments: pings, and datagrams
# through a relay to an echo of the kernel, whose answers come the same way. Each
# datagram goes through both stacks twice, once in either direction.
#
#	client, ping -- tow0 -- tow relay -- tow1 -- echo
#	   192.0.2.1    .2             198.51.100.2   .1
#	   2001:db8::1 ::2           2001:db8:1::2   ::1
#
# For one test the echo is behind a link that takes less than the others:
#
#	... tow relay -- tow1 -- kernel -- veth, MTU 1300 -- echo
#	                  routes 203.0.113.1, 2001:db8:2::1   ::2, .2
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

peer=${0%/*}/relay_peer.py
target4=198.51.100.1 target6=2001:db8:1::1
behind4=203.0.113.2 behind6=2001:db8:2::2
far=(--addr 198.51.100.2/24 --peer "$target4/24"
	--addr 2001:db8:1::2/64 --peer "$target6/64")

end_test()
{
	local left
	mapfile -t left < <(jobs -p)
	((${#left[@]})) && kill -KILL "${left[@]}" 2>/dev/null
	wait
}

# echo_here COMMAND…: the target, started by that
start_echo()
{
	"$@" python3 "$peer" udp-echo 9000 >"$work/echo.log" 2>&1 &
	wait_for 30 grep -q ready "$work/echo.log" ||
		fail "no echo: $(<"$work/echo.log")"
}

# relay DEV OTHER-DEV TARGET OPTIONS…
relay()
{
	start_relay --dev "$1" "${addresses[@]}" --dev "$2" "${far[@]}" \
		"${@:4}" --stats "$work/stats.json" --udp "$port" "$3"
}

# At least so many fragments were made, and so many datagrams put together.
check_counted()
{
	local out whole
	out=$(stat_of "$work/stats.json" fragments.out)
	whole=$(stat_of "$work/stats.json" reassembled.reassembled)
	((out >= $1)) || fail "only $out fragments were sent"
	((whole >= $2)) || fail "only $whole datagrams were put together"
}

# datagrams DEV OTHER-DEV WHOLE4 WHOLE6: both families at both ends, of all kinds
# of sizes; of IPv4 and then of IPv6 so many have to be put together at least
datagrams()
{
	local size
	start_echo
	relay "$1" "$2" "$target4:9000"
	for size in 1472 1473 1480 3000 20000 65507; do
		python3 "$peer" udp "$tow4" "$port" 10 "$size" >&2
	done
	stop
	check_counted 200 "$3"
	relay "$1" "$2" "[$target6]:9000"
	for size in 1452 1453 3000 20000 65507; do
		python3 "$peer" udp "$tow6" "$port" 10 "$size" >&2
	done
	python3 "$peer" udp "$tow4" "$port" 10 20000 >&2 # changes the family
	stop
	check_counted 200 "$4"
}

test_datagrams_in_fragments_in_both_directions()
{
	datagrams tap tap 100 100
}

test_datagrams_in_fragments_without_offloads()
{
	datagrams tap:offloads=off tap:offloads=off 100 100
}

test_datagrams_in_fragments_of_different_sizes()
{
	# Up to 3000 bytes come whole from the far end.
	datagrams tap:mtu=1280 tap:mtu=9000 80 90
}

# Those that come out of order are put together all the same.
test_datagrams_in_fragments_over_a_bad_network()
{
	datagrams "fault:reorder=10%,dup=5%,delay=1ms,seed=5:tap" tap 100 100
}

test_large_pings_are_answered()
{
	local size
	needs ping
	serve "$work/www" --stats "$work/stats.json"
	for size in 1473 20000 65000; do
		ping -n -c 5 -i 0.05 -W 5 -s "$size" "$tow4"
		ping -n -6 -c 5 -i 0.05 -W 5 -s "$size" "$tow6"
	done >"$work/ping.log" 2>&1 || fail "$(<"$work/ping.log")"
	! grep -Eq 'wrong data|[1-9]% packet loss' "$work/ping.log" ||
		fail "$(<"$work/ping.log")"
	stop
	check_counted 100 30
}

test_a_capture_of_fragments_is_well_formed()
{
	needs ping tshark
	serve "$work/www" --dev "pcap:file=$work/x.pcapng:tap"
	ping -n -c 3 -i 0.05 -W 5 -s 20000 "$tow4" >&2
	ping -n -6 -c 3 -i 0.05 -W 5 -s 20000 "$tow6" >&2
	stop
	check_capture "$work/x.pcapng"
	(($(tshark -r "$work/x.pcapng" -Y "(ip.src==$tow4 && ip.fragments &&
		icmp.type==0) || (ipv6.src==$tow6 && ipv6.fragments &&
		icmpv6.type==129)" 2>/dev/null | wc -l) == 6)) ||
		fail 'answers are missing'
}

is_apart()
{
	[[ $(readlink "/proc/$1/ns/net") != "$(readlink /proc/self/ns/net)" ]]
}

# RFC 1191, RFC 8201: the router says what fits; what is sent again arrives.
test_smaller_path_is_learned_from_the_router()
{
	local house gw
	unshare --net sleep 1000 &
	house=$!
	wait_for 10 is_apart "$house"
	ip link add near mtu 1300 type veth peer name there mtu 1300 netns "$house" ||
		skip 'no veth'
	ip addr add 203.0.113.1/24 dev near
	ip addr add 2001:db8:2::1/64 dev near nodad
	ip link set near up
	nsenter -t "$house" -n ip addr add "$behind4/24" dev there
	nsenter -t "$house" -n ip addr add "$behind6/64" dev there nodad
	nsenter -t "$house" -n ip link set there up
	nsenter -t "$house" -n ip route add default via 203.0.113.1
	nsenter -t "$house" -n ip route add default via 2001:db8:2::1
	echo 1 >/proc/sys/net/ipv4/ip_forward
	echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
	start_echo nsenter -t "$house" -n
	for target in "$behind4:9000" "[$behind6]:9000"; do
		gw=$target4
		[[ $target = *]* ]] && gw=$target6
		relay tap tap "$target" --gw "$gw"
		python3 "$peer" udp "$tow4" "$port" 10 1400 >&2
		stop
		check_counted 10 0
	done
}

run_tests "$@"
