#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# With the kernel's TCP: both directions, both ways of opening, whatever the
# kernel has or is told to do without, over links that lose packets.
#
#	curl           -- kernel -- tow0 [-- fault:] [-- pcap:] -- tow serve
#	http.server    -- kernel -- tow0 [-- fault:]            -- tow get
#	        192.0.2.1, 2001:db8::1                  192.0.2.2, 2001:db8::2
#
# What arrives is compared byte for byte. Goodput is asserted generously, for a
# busy machine: what is too slow here hangs in timeouts.
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

# The kernel's settings, for one test: kernel tcp_sack=0 …
was=()
kernel()
{
	local setting file
	for setting; do
		file=/proc/sys/net/ipv4/${setting%%=*}
		was+=("$file=$(<"$file")")
		echo "${setting#*=}" >"$file" ||
			skip "the kernel refuses $setting"
	done
}

end_test()
{
	local setting
	for setting in ${was[@]+"${was[@]}"}; do
		echo "${setting#*=}" >"${setting%%=*}"
	done
	[[ -z ${served:-} ]] || kill -KILL "$served" 2>/dev/null
	[[ -z ${python:-} ]] || kill "$python" 2>/dev/null
	wait
}

# Both directions of one server: it sends, then it receives. exchange URL
exchange()
{
	curl -sSfg -m 30 -o "$work/got" "$1/file"
	same "$work/got" "$work/www/file"
	curl -sSfg -m 30 -T "$work/www/file" "$1/put"
	same "$work/www/put" "$work/www/file"
	rm "$work/www/put" "$work/got"
}

# exchange_all BYTES OPTIONS-OF-SERVE…: over both families
exchange_all()
{
	make_file "$work/www/file" "$1"
	serve "$work/www" --writable --stats "$work/stats.json" "${@:2}"
	exchange "$url4"
	exchange "$url6"
	stop
}

start_python()
{
	python3 -m http.server -d "$work/www" -b :: 8000 \
		>"$work/python.log" 2>&1 &
	python=$!
	wait_for 10 curl -s -o /dev/null http://127.0.0.1:8000/
}

stop_python()
{
	kill "$python"
	wait "$python" || :
	python=
}

# The stack opens, the kernel sends: get_all BYTES OPTIONS-OF-GET…
get_all()
{
	local host
	make_file "$work/www/file" "$1"
	start_python
	for host in "$kernel4" "[$kernel6]"; do
		"$TOW" get "${addresses[@]}" "${@:2}" -q -o "$work/got" \
			"http://$host:8000/file"
		same "$work/got" "$work/www/file"
	done
	stop_python
}

# at_least KB-A-SECOND BYTES SECONDS-BEFORE
at_least()
{
	local took_us=$(($(date +%s%6N) - $3))
	local rate=$(($2 * 1000 / (took_us ? took_us : 1)))
	echo "# $rate kB/s" >&2
	((rate >= $1)) || fail "$rate kB/s, not $1"
}

test_both_directions_and_both_ways_of_opening()
{
	exchange_all 20M
	get_all 20M
}

test_kernel_without_timestamps()
{
	kernel tcp_timestamps=0
	exchange_all 10M
	get_all 10M
}

test_kernel_without_sack()
{
	kernel tcp_sack=0
	exchange_all 10M --dev fault:loss=0.2%,reorder=0.5%,seed=3:tap
	get_all 10M --dev fault:loss=0.2%,reorder=0.5%,seed=3:tap
}

test_kernel_without_window_scaling()
{
	kernel tcp_window_scaling=0
	exchange_all 10M
	get_all 10M
}

test_kernel_without_any_option()
{
	kernel tcp_window_scaling=0 tcp_sack=0 tcp_timestamps=0
	exchange_all 10M --dev fault:loss=0.1%,seed=4:tap
}

test_kernel_with_small_windows()
{
	kernel 'tcp_rmem=4096 16384 16384' 'tcp_wmem=4096 16384 16384'
	exchange_all 5M
}

test_kernel_that_paces()
{
	kernel tcp_congestion_control=bbr
	exchange_all 10M
	get_all 10M
}

test_kernel_that_probes_the_mtu()
{
	kernel tcp_mtu_probing=2 tcp_base_mss=536
	exchange_all 10M
}

test_jumbo_frames()
{
	exchange_all 20M --dev tap:mtu=9000
	get_all 20M --dev tap:mtu=9000
}

test_packets_as_small_as_ipv6_allows()
{
	exchange_all 10M --dev tap:mtu=1280
}

# RFC 3168 6.1.1: the kernel asks, and the SYN-ACK says ECE without CWR.
test_kernel_that_asks_for_ecn()
{
	needs tshark
	kernel tcp_ecn=1
	make_file "$work/www/file" 10M
	serve "$work/www" --writable --dev "pcap:file=$work/x.pcapng:tap"
	exchange "$url4"
	exchange "$url6"
	stop
	check_capture "$work/x.pcapng"
	(($(tshark -r "$work/x.pcapng" -Y 'tcp.flags.syn==1 &&
		tcp.flags.ack==1 && tcp.flags.ece==1 && tcp.flags.cwr==0' \
		2>/dev/null | wc -l) == 4)) || fail 'the server did not agree'
	(($(tshark -r "$work/x.pcapng" -Y "(ip.src==$tow4 &&
		ip.dsfield.ecn==2) || (ipv6.src==$tow6 && ipv6.tclass.ecn==2)" \
		2>/dev/null | wc -l) > 10)) || fail 'nothing was ECN-capable'
}

# lossy PERCENT BYTES KB-A-SECOND: a way of 2 ms each
lossy()
{
	local dev="fault:loss=$1%,delay=1ms,seed=11:tap" bytes from
	make_file "$work/www/file" "$2"
	bytes=$(stat -c %s "$work/www/file")
	serve "$work/www" --writable --stats "$work/stats.json" --dev "$dev"
	from=$(date +%s%6N)
	curl -sSf -m 40 -o "$work/got" "$url4/file"
	at_least "$3" "$bytes" "$from"
	same "$work/got" "$work/www/file"
	from=$(date +%s%6N)
	curl -sSfg -m 40 -T "$work/www/file" "$url6/put"
	at_least "$3" "$bytes" "$from"
	same "$work/www/put" "$work/www/file"
	stop
	(($(stat_of "$work/stats.json" tcp.retrans_segs) > 0)) ||
		fail 'nothing was lost'
}

test_one_packet_of_1000_is_lost()
{
	lossy 0.1 16M 500
}

test_one_packet_of_100_is_lost()
{
	lossy 1 6M 150
}

test_one_packet_of_20_is_lost()
{
	lossy 5 1M 10
}

run_tests "$@"
