#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ping and ping -6 from the kernel to the stack: ARP, neighbour discovery, ICMP
# of both families, frames of every size the link takes.
#
#	+-------------- network namespace of this script --------------+
#	|                                                              |
#	|  ping --- kernel                          tow serve          |
#	|            192.0.2.1    +-----------+     192.0.2.2          |
#	|            2001:db8::1 -| tow0  tap |---- 2001:db8::2        |
#	|                         +-----------+                        |
#	+--------------------------------------------------------------+
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

# Both families, five each, of a frame that fills the MTU and of an empty one.
ping_both()
{
	local mtu=$1
	needs ping
	ping -n -c 5 -i 0.02 -W 2 -s $((mtu - 28)) -M "do" "$tow4"
	ping -n -c 5 -i 0.02 -W 2 -s 0 "$tow4"
	ping -n -6 -c 5 -i 0.02 -W 2 -s $((mtu - 48)) -M "do" "$tow6"
	ping -n -6 -c 5 -i 0.02 -W 2 -s 0 "$tow6"
}

ping_with()
{
	serve "$work/www" --dev "$1"
	ping_both "$2" >"$work/ping.log" 2>&1 || fail "$(<"$work/ping.log")"
	! grep -q 'wrong data' "$work/ping.log" || fail "$(<"$work/ping.log")"
	stop
}

test_ping_over_a_tap()
{
	ping_with tap 1500
}

test_ping_with_an_mtu_of_9000()
{
	ping_with tap:mtu=9000 9000
}

test_ping_without_offloads()
{
	ping_with tap:offloads=off 1500
}

test_ping_with_an_mtu_of_9000_without_offloads()
{
	ping_with tap:mtu=9000,offloads=off 9000
}

# Half of the echoes get lost on their way back; each that comes is right.
test_ping_over_a_bad_network()
{
	needs ping
	serve "$work/www" --dev "fault:loss=30%,dup=10%,reorder=10%,delay=3ms:tap"
	ping -n -c 50 -i 0.01 -W 1 "$tow4" >"$work/ping.log" 2>&1 || true
	grep -q ' 0% packet loss' "$work/ping.log" && fail "nothing was lost"
	grep -q 'DUP!' "$work/ping.log" || fail "nothing was doubled"
	grep -q 'bytes from' "$work/ping.log" || fail "nothing came"
	stop
}

test_a_capture_of_pings_is_well_formed()
{
	needs ping tshark
	serve "$work/www" --dev "pcap:file=$work/ping.pcapng:tap"
	ping_both 1500 >"$work/ping.log" 2>&1 || fail "$(<"$work/ping.log")"
	stop
	check_capture "$work/ping.pcapng"
	(($(tshark -r "$work/ping.pcapng" -Y 'icmp || icmpv6.type==129' \
		2>/dev/null | wc -l) >= 30)) || fail "pings are missing"
}

# A deleted interface is an error that is said, not a hang or a crash.
test_a_deleted_tap_ends_the_server()
{
	local status=0
	serve "$work/www"
	ip link del tow0
	wait_for 5 server_is_gone || fail "the server goes on without its device"
	wait "$served" || status=$?
	served=
	((status == 1)) || fail "exit status $status"
	grep -qi 'device' "$work/serve.log" || fail "$(<"$work/serve.log")"
}

server_is_gone()
{
	[[ ! -e /proc/$served || $(<"/proc/$served/stat") == *") Z "* ]]
}

run_tests "$@"
