#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Whole files through every shape of the tap and through the wrappers: what
# arrives is what was sent, and a capture of it is well-formed.
#
#	+-------------- network namespace of this script --------------+
#	|                                                              |
#	|  curl --- kernel                          tow serve          |
#	|            192.0.2.1    +-----------+     192.0.2.2          |
#	|            2001:db8::1 -| tow0  tap |---- 2001:db8::2        |
#	|                         +-----------+   [pcap] [fault]       |
#	+--------------------------------------------------------------+
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

download()
{
	curl -sS --fail --max-time 60 -o "$work/got" "$1/file" ||
		fail "curl $1: $?"
	same "$work/www/file" "$work/got"
}

# Down over both families, through the given device: transfer DEVICE BYTES
transfer()
{
	needs curl
	make_file "$work/www/file" "$2"
	serve "$work/www" --dev "$1" --stats "$work/stats"
	download "$url4"
	download "$url6"
	stop
}

test_a_file_through_a_tap_is_lent()
{
	transfer tap 100M
	(($(stat_of "$work/stats" ledger.tx.lent_bytes) >= 200 << 20)) ||
		fail "not lent: $(<"$work/stats")"
	(($(stat_of "$work/stats" ledger.tx.touched_bytes) < 1 << 20)) ||
		fail "touched: $(<"$work/stats")"
}

test_a_file_through_a_tap_with_an_mtu_of_9000()
{
	transfer tap:mtu=9000 50M
}

test_a_file_through_a_tap_with_the_least_mtu_for_ipv6()
{
	transfer tap:mtu=1280 20M
}

test_a_file_through_a_tap_without_offloads()
{
	transfer tap:offloads=off 20M
	(($(stat_of "$work/stats" ledger.tx.touched_bytes) >= 40 << 20)) ||
		fail "who summed the payload? $(<"$work/stats")"
}

test_a_file_through_a_tap_without_offloads_with_an_mtu_of_9000()
{
	transfer tap:mtu=9000,offloads=off 20M
}

test_a_file_through_loss_and_reordering()
{
	transfer fault:loss=1%,reorder=3%:tap 5M
	(($(stat_of "$work/stats" ledger.tx.lent_bytes) >= 10 << 20)) ||
		fail "not lent: $(<"$work/stats")"
}

test_a_file_through_every_fault()
{
	transfer "fault:loss=1%,dup=1%,corrupt=1%,reorder=1%,delay=1ms,jitter=1ms:tap" 2M
}

test_a_file_through_faults_without_offloads()
{
	transfer "fault:loss=1%,corrupt=1%,reorder=1%:tap:offloads=off" 2M
}

# Two captures around a bad network: before it and behind it.
test_captures_of_transfers_are_well_formed()
{
	needs tshark
	transfer "pcap:file=$work/near.pcapng:fault:loss=1%,dup=1%:pcap:file=$work/far.pcapng:tap" 2M
	check_capture "$work/near.pcapng"
	check_capture "$work/far.pcapng"
	rm "$work"/*.pcapng
	transfer "pcap:file=$work/large.pcapng:tap" 5M
	check_capture "$work/large.pcapng"
	rm "$work"/*.pcapng
	transfer "pcap:file=$work/plain.pcapng:tap:offloads=off" 2M
	check_capture "$work/plain.pcapng"
}

# The capture stops, the transfer does not.
test_a_full_disk_under_a_capture_does_not_hurt()
{
	mkdir "$work/small"
	mount -t tmpfs -o size=128k none "$work/small"
	transfer "pcap:file=$work/small/x.pcapng:tap" 5M
	umount "$work/small"
	(($(grep -c 'the capture ends here' "$work/serve.log") == 1)) ||
		fail "$(<"$work/serve.log")"
}

# Down and up again is a cable that was pulled: the transfer goes on.
test_a_link_that_goes_down_for_a_moment_is_survived()
{
	needs curl
	make_file "$work/www/file" 20M
	serve "$work/www" --dev tap
	curl -sS --fail --max-time 60 --limit-rate 20M -o "$work/got" \
		"$url4/file" &
	sleep 0.3
	ip link set tow0 down
	sleep 0.2
	ip link set tow0 up
	wait $! || fail "curl: $?"
	same "$work/www/file" "$work/got"
	stop
}

run_tests "$@"
