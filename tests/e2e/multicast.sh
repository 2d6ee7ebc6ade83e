#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Multicast between the kernel and the stack, both ways and of both families,
# and what each of them tells routers.
#
#	+-------------- network namespace of this script --------------+
#	|                                                              |
#	|  python --- kernel                        udp-group          |
#	|             192.0.2.1    +-----------+    192.0.2.2          |
#	|             fe80::...   -| tow0  tap |--- fe80::...          |
#	|                          +-----------+                       |
#	|             groups 239.1.2.3, ff15::7777, port 7777          |
#	+--------------------------------------------------------------+
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

GROUP=${TOW%/*}/examples/udp-group

start_member()
{
	[[ -x $GROUP ]] || skip "$GROUP is not built"
	needs python3 tshark ping
	"$GROUP" "pcap:file=$work/group.pcapng:tap" "$tow4/24" "$kernel4/24" \
		>"$work/member.log" 2>&1 &
	member=$!
	wait_for 10 ip -o -4 addr show dev tow0 || fail "$(<"$work/member.log")"
	wait_for 10 link_local_is_ready || fail "no link-local address"
}

link_local_is_ready()
{
	ip -o -6 addr show dev tow0 scope link | grep -qv tentative
}

# The capture is written out when the next frame comes.
stop_member()
{
	ping -n -c 2 -i 0.1 "$tow4" >"$work/ping.log" || true
	kill "$member"
	wait "$member" || true
	check_capture "$work/group.pcapng"
}

packets()
{
	tshark -r "$work/group.pcapng" -Y "$1" -T fields -e frame.number \
		2>/dev/null | wc -l
}

member_said()
{
	grep -q "$1" "$work/member.log"
}

# Says $3 to the group $2 of family $1, and waits for an answer in the group.
ask_group()
{
	python3 - "$@" <<-'PYTHON'
	import socket, struct, sys
	family = socket.AF_INET if sys.argv[1] == "4" else socket.AF_INET6
	group, text = sys.argv[2], sys.argv[3].encode()
	link = socket.if_nametoindex("tow0")
	s = socket.socket(family, socket.SOCK_DGRAM)
	s.bind(("", 7777))
	if family == socket.AF_INET:
	    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
	                 struct.pack("=4s4si", socket.inet_aton(group),
	                             b"\0" * 4, link))
	    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
	                 struct.pack("=4s4si", b"\0" * 4, b"\0" * 4, link))
	    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
	    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 3)
	    s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x2a)
	    to = (group, 7777)
	else:
	    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
	                 socket.inet_pton(family, group) +
	                 struct.pack("=i", link))
	    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
	    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 3)
	    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 0x2a)
	    to = (group, 7777, 0, link)
	s.settimeout(1)
	for _ in range(10):
	    s.sendto(text, to)
	    try:
	        answer, peer = s.recvfrom(2000)
	    except TimeoutError:
	        continue
	    assert answer == b"heard: " + text, answer
	    print(peer[0])
	    break
	else:
	    sys.exit("no answer")
	PYTHON
}

test_multicast_goes_both_ways_over_ip4()
{
	start_member
	[[ $(ask_group 4 239.1.2.3 hello) = "$tow4" ]] || fail "no answer"
	wait_for 2 member_said "192.0.2.1:7777 to 239.1.2.3, ttl 3, tos 42, \
interface 0: 5 bytes" || fail "$(<"$work/member.log")"
	stop_member
}

test_multicast_goes_both_ways_over_ip6()
{
	start_member
	[[ $(ask_group 6 ff15::7777 hello) = fe80::* ]] || fail "no answer"
	wait_for 2 member_said "to ff15::7777, ttl 3, tos 42" ||
		fail "$(<"$work/member.log")"
	stop_member
}

# RFC 3376 4.2, RFC 3810 5.2: as tshark reads it, twice each.
test_multicast_membership_is_told_by_igmp_and_mld()
{
	local mine
	start_member
	sleep 2.5
	stop_member
	mine="igmp.type == 0x22 && ip.src == $tow4 && ip.dst == 224.0.0.22 &&
		ip.ttl == 1 && igmp.maddr == 239.1.2.3 && igmp.record_type == 4"
	(($(packets "$mine") == 2)) || fail "IGMPv3: $(packets "$mine")"
	mine="icmpv6.type == 143 && ipv6.dst == ff02::16 && ipv6.hlim == 1 &&
		icmpv6.mldr.mar.multicast_address == ff15::7777"
	(($(packets "$mine") == 2)) || fail "MLDv2: $(packets "$mine")"
	mine='(igmp && igmp.checksum.status == 0) ||
		(icmpv6 && icmpv6.checksum.status == 0)'
	(($(packets "$mine") == 0)) || fail "a wrong checksum"
}

# What a bridge asks, as a switch would, in each version it speaks.
ask_by_bridge()
{
	local version=$1
	ip link add br0 type bridge mcast_snooping 1 mcast_querier 1 \
		mcast_igmp_version "$version" mcast_query_interval 200 \
		mcast_query_response_interval 50 mcast_startup_query_interval 50 \
		mcast_query_use_ifaddr 1 || skip "no bridge with a querier"
	ip addr flush dev tow0
	ip link set tow0 master br0
	ip addr add "$kernel4/24" dev br0
	ip link set br0 up
}

is_listed()
{
	bridge mdb show dev br0 | grep -q "port tow0 grp 239.1.2.3"
}

is_answered()
{
	(($(packets "$1 && igmp.maddr == 239.1.2.3") > 0))
}

test_multicast_queries_of_a_bridge_are_answered()
{
	local version reports
	needs bridge
	for version in 3 2; do
		start_member
		sleep 2.5 # what it says by itself is over
		ask_by_bridge "$version"
		wait_for 15 is_listed || fail "IGMPv$version: the bridge does not \
know: $(bridge mdb show dev br0)"
		reports='igmp.type == 0x22 && igmp.record_type == 2'
		((version == 3)) || reports='igmp.type == 0x16'
		wait_for 15 is_answered "$reports" ||
			fail "IGMPv$version was not answered"
		ip link del br0
		stop_member
	done
}

run_tests "$@"
