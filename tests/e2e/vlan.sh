#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# One VLAN of the network behind a tap, with the kernel's VLAN interface, or where
# the kernel has none a switch that takes the tags off; and a bridge of the kernel
# that listens in on who wants which groups.
#
#	curl -- tow0.5 --------------- tow0 -- [pcap:] -- vlan:id=5 -- tow serve
#	curl -- plain5 -- switch ID 5 -- tow0 -- ...
#	   192.0.2.1, 2001:db8::1                     192.0.2.2, 2001:db8::2
#
#	curl -- bridge -- tow0 -- tow serve
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

ours=(--addr "$tow4/24" --addr "$tow6/64")

# As serve() of lib.sh, but the kernel's addresses are not at the tap.
serve_without_peers()
{
	addresses=("${ours[@]}")
	serve "$@"
	ip link set tow0 up
}

# The interface of a VLAN of tow0, in $vlan: kernel_has ID
kernel_has()
{
	vlan=tow0.$1
	ip link add link tow0 name "$vlan" type vlan id "$1" 2>/dev/null ||
		start_switch "$1"
	ip addr add "$kernel4/24" dev "$vlan"
	ip addr add "$kernel6/64" dev "$vlan" nodad
	ip link set "$vlan" up
}

start_switch()
{
	vlan=plain$1
	needs python3
	: >"$work/switch.log"
	python3 "${0%/*}/vlan_switch.py" tow0 "$1" "$vlan" >"$work/switch.log" 2>&1 &
	switch=$!
	wait_for 30 grep -q ready "$work/switch.log" ||
		fail "no switch: $(<"$work/switch.log")"
	ip link set "$vlan" mtu "$(ip -o link show tow0 | grep -o 'mtu [0-9]*' |
		cut -d ' ' -f 2)"
}

kernel_has_no_more()
{
	[[ -z ${switch:-} ]] || {
		kill "$switch"
		wait "$switch" || :
		switch=
	}
	ip link del "$vlan" 2>/dev/null || :
}

end_test()
{
	local left
	mapfile -t left < <(jobs -p)
	((${#left[@]})) && kill -KILL "${left[@]}" 2>/dev/null
	wait
}

exchange()
{
	local url
	for url in "$url4" "$url6"; do
		curl -sSfg -m 30 -o "$work/got" "$url/file"
		same "$work/got" "$work/www/file"
		curl -sSfg -m 30 -T "$work/www/file" "$url/put"
		same "$work/www/put" "$work/www/file"
		rm "$work/www/put" "$work/got"
	done
}

# over DEV: one transfer in each direction and family
over()
{
	make_file "$work/www/file" 5M
	serve_without_peers "$work/www" --writable --dev "$1"
	kernel_has 5
	exchange
}

test_transfers_over_a_vlan()
{
	needs tshark
	over "vlan:id=5:pcap:file=$work/x.pcapng:tap"
	stop
	check_capture "$work/x.pcapng"
	(($(tshark -r "$work/x.pcapng" -Y 'vlan.id==5 && tcp' 2>/dev/null |
		wc -l) > 1000)) || fail 'there are no tags'
	[[ -z $(tshark -r "$work/x.pcapng" -Y 'tcp && !vlan' 2>/dev/null) ]] ||
		fail 'there are frames without a tag'
}

test_transfers_over_a_vlan_without_offloads()
{
	over vlan:id=5:tap:offloads=off
	stop
}

test_jumbo_frames_over_a_vlan()
{
	needs ping tshark
	over "vlan:id=5:pcap:file=$work/x.pcapng:tap:mtu=9000"
	ping -n -c 3 -i 0.05 -W 5 -s 8972 -M "do" "$tow4" >&2
	ping -n -6 -c 3 -i 0.05 -W 5 -s 20000 "$tow6" >&2
	stop
	check_capture "$work/x.pcapng"
	(($(tshark -r "$work/x.pcapng" -Y "vlan.id==5 && tcp.len > 8000" \
		2>/dev/null | wc -l) > 100)) || fail 'no frame is large'
}

# Another VLAN's frames, and such without a tag, are not answered.
test_other_vlans_do_not_reach_it()
{
	needs ping
	serve_without_peers "$work/www" --dev vlan:id=5:tap
	kernel_has 6
	! ping -n -c 2 -i 0.05 -W 1 "$tow4" >"$work/ping.log" 2>&1 ||
		fail 'it is in VLAN 6'
	kernel_has_no_more
	ip addr add "$kernel4/24" dev tow0
	! ping -n -c 2 -i 0.05 -W 1 "$tow4" >"$work/ping.log" 2>&1 ||
		fail 'it answers without a tag'
	ip addr del "$kernel4/24" dev tow0
	kernel_has 5
	ping -n -c 2 -i 0.05 -W 5 "$tow4" >&2
	stop
}

has_group()
{
	bridge mdb show dev bridge | grep tow0 | grep -q "$1"
}

# RFC 4541 3: neighbour solicitations go where their group was asked for.
test_bridge_that_snoops_lets_solicitations_through()
{
	needs bridge curl
	make_file "$work/www/file" 100k
	serve_without_peers "$work/www"
	ip link add bridge type bridge mcast_snooping 1 mcast_querier 1 \
		mcast_startup_query_interval 100 mcast_query_interval 400 \
		mcast_query_response_interval 100 2>/dev/null ||
		skip 'the kernel has no snooping bridge'
	ip addr add "$kernel6/64" dev bridge nodad
	ip link set tow0 master bridge
	ip link set bridge up
	wait_for 20 has_group ff02::1:ff00:2 ||
		fail "not in the bridge's table: $(bridge mdb show)"
	sleep 5 # the bridge believes that it knows all listeners
	ip -6 neigh flush dev bridge
	curl -sSfg -m 10 -o "$work/got" "$url6/file"
	same "$work/got" "$work/www/file"
	stop
}

run_tests "$@"
