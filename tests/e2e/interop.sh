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
#	interop_peer.py -- kernel -- tow0 [-- fault:] [-- pcap:] -- interop_end
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
	[[ -z ${listening:-} ]] || kill "$listening" 2>/dev/null
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

# start_listening COMMAND…: until it is ready; its process in $listening
start_listening()
{
	"$@" >"$work/listen.log" 2>&1 &
	listening=$!
	wait_for 10 grep -q ready "$work/listen.log" ||
		fail "nobody listens: $(<"$work/listen.log")"
}

end=${TOW%/*}/e2e/interop_end peer=${0%/*}/interop_peer.py

# There and back, each way of opening, each connection $times times:
# ends BYTES DEVICE OPTIONS-OF-END… -- OPTIONS-OF-PEER…
# What each end said of its connections is in $work/{passive,active}.{end,peer}.
ends()
{
	local bytes=$1 dev=$2 of_end=()
	shift 2
	while [[ $1 != -- ]]; do
		of_end+=("$1")
		shift
	done
	shift
	of_end+=("${addresses[@]}" --dev "$dev" --times "$times")
	make_file "$work/file" "$bytes"
	start_listening timeout 60 "$end" "${of_end[@]}" listen 7
	timeout 60 "$peer" connect "$tow4" 7 "$work/file" "$work/got" "$times" \
		"$@" >"$work/active.peer"
	same "$work/got" "$work/file"
	wait "$listening"
	mv "$work/listen.log" "$work/passive.end"
	start_listening timeout 60 "$peer" listen 8 "$times" "$@"
	timeout 60 "$end" "${of_end[@]}" connect "$kernel4" 8 "$work/file" \
		"$work/got" >"$work/active.end"
	same "$work/got" "$work/file"
	wait "$listening"
	mv "$work/listen.log" "$work/passive.peer"
	listening=
}

# said FILE WORD: the last connection's line has it
said()
{
	[[ " $(tail -n 1 "$work/$1") " = *" $2 "* ]] ||
		fail "$1 has no $2: $(<"$work/$1")"
}

# said_once FILE WORD: one of the connections has it
said_once()
{
	grep -qw -- "$2" "$work/$1" ||
		fail "$1 never has $2: $(<"$work/$1")"
}

# counted FILE NAME: more than none of it, by one of the connections
counted()
{
	grep -q "$2=[1-9]" "$work/$1" ||
		fail "$1 counts no $2: $(<"$work/$1")"
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

# Who asks: once we, once the kernel. A router between marks in both directions,
# and loses some, too. A SYN that it loses is sent again without ECN, by either
# (RFC 3168 6.1.1.1); not six of six. agrees_on_ecn PERCENT HOW
agrees_on_ecn()
{
	local file times=6
	ends 200k "fault:mark=3%,loss=$1%,delay=200us,seed=5:tap" --ecn "$2" --
	for file in {active,passive}.{end,peer}; do
		said_once "$file" ecn=1
		[[ $1 != 0 ]] || said "$file" ecn=1
		counted "$file" marks_out
	done
	for file in {active,passive}.end; do
		counted "$file" marks_in
	done
}

test_marks_of_a_router_in_both_directions()
{
	local loss
	kernel tcp_ecn=1
	for loss in 0 0.1 1 5; do
		agrees_on_ecn "$loss" ask
	done
	said active.end accurate=0
	said passive.end accurate=0
}

# RFC 9768 3.1.2: a kernel that knows only classic marks (it refuses the setting
# for others) answers in classic ECN, and so must we.
test_accurate_marks_or_classic_ones_as_the_kernel_knows()
{
	local loss accurate=1
	kernel tcp_ecn=1
	{ echo 3 >/proc/sys/net/ipv4/tcp_ecn; } 2>/dev/null || accurate=0
	echo "the kernel knows accurate marks: $accurate" >&2
	for loss in 0 0.1 1 5; do
		agrees_on_ecn "$loss" accurate
		said_once active.end "accurate=$accurate"
		said_once passive.end "accurate=$accurate"
	done
}

# RFC 7413: the first connection gets a cookie, those behind it use it.
test_data_on_the_syn_in_both_directions()
{
	local loss times=2
	kernel tcp_fastopen=3
	for loss in 0 0.1 1 5; do
		times=2
		ends 50k "fault:loss=$loss%,seed=6:tap" --fast-open -- fast-open
		[[ $loss = 0 ]] || continue
		said active.peer fast_open=1
		said passive.end fast_open=1
		said active.end fast_open=1
		said passive.peer fast_open=1
	done
}

# Of both ends and neither: what is not agreed on is not used.
test_kernel_that_leaves_out_options_one_by_one()
{
	local loss times=1
	kernel tcp_timestamps=0 tcp_sack=0 tcp_window_scaling=0
	for loss in 0 0.1 1 5; do
		kernel tcp_timestamps=1
		ends 100k "fault:loss=$loss%,seed=7:tap" --
		said active.end 'sack=0 timestamps=1 scaling=0'
		said passive.end 'sack=0 timestamps=1 scaling=0'
		kernel tcp_timestamps=0 tcp_sack=1
		ends 100k "fault:loss=$loss%,seed=8:tap" --
		said active.end 'sack=1 timestamps=0 scaling=0'
		said passive.end 'sack=1 timestamps=0 scaling=0'
		kernel tcp_sack=0 tcp_window_scaling=1
		ends 100k "fault:loss=$loss%,seed=9:tap" --
		said active.end 'sack=0 timestamps=0 scaling=1'
		said passive.end 'sack=0 timestamps=0 scaling=1'
		kernel tcp_window_scaling=0
	done
}

# RFC 9293 3.7.1: what the peer says that it takes, and no more
test_kernel_with_a_small_mss()
{
	local loss times=1
	ip tuntap add tow0 mode tap vnet_hdr
	ip link set tow0 up
	ip addr add "$kernel4/24" dev tow0
	ip route replace 192.0.2.0/24 dev tow0 advmss 256
	for loss in 0 0.1 1 5; do
		ends 50k "fault:loss=$loss%,seed=10:tap:name=tow0" --
		said active.end mss=256
		said passive.end mss=256
	done
	ip link del tow0
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
