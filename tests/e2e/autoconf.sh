#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Addresses from a DHCP server and a router: dnsmasq is both.
#
#	+-------------- network namespace of this script --------------+
#	|                                                              |
#	|  curl, dnsmasq --- kernel                 tow serve          |
#	|            192.0.2.1    +-----------+     by DHCP, by router |
#	|            2001:db8::1 -| tow0  tap |---- advertisements     |
#	|                         +-----------+                        |
#	+--------------------------------------------------------------+
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
PATH=$PATH:/usr/sbin:/sbin
enter_namespaces "$@"

peers=(--peer "$kernel4/24" --peer "$kernel6/64")

helpers=()

# What a test leaves running ends with it.
end_test()
{
	# shellcheck disable=SC2086 # nothing is no process
	[[ -z ${served:-}${helpers[*]-} ]] ||
		kill -TERM ${served:-} "${helpers[@]}" 2>/dev/null || true
	wait
}

# Begins before dnsmasq has its interface, so both wait for each other.
start()
{
	needs dnsmasq curl
	make_file "$work/www/page" 100k
	"$TOW" serve "$work/www" "${peers[@]}" "$@" >"$work/serve.log" 2>&1 &
	served=$!
	wait_for 5 ip addr show dev tow0 || fail "$(<"$work/serve.log")"
}

dnsmasq_serves()
{
	wait_for 5 has_address6 || fail "tow0 has no address"
	dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 \
		--interface=tow0 --bind-interfaces --user=root --pid-file= \
		--dhcp-leasefile="$work/leases" --dhcp-authoritative \
		--log-dhcp --log-facility="$work/dnsmasq.log" "$@" &
	helpers+=($!)
}

has_address4()
{
	ip -4 addr show dev tow0 | grep -q "$kernel4"
}

has_address6()
{
	ip -6 addr show dev tow0 | grep -q "$kernel6"
}

ready()
{
	wait_for 20 has_said 'http://' || fail "no address: $(<"$work/serve.log")"
	kill -0 "$served" 2>/dev/null || fail "$(<"$work/serve.log")"
}

# The URL that the server printed, of an address with that beginning.
url_of()
{
	grep -o "http://[^ ]*" "$work/serve.log" | grep -F "$1" | head -n 1
}

# The addresses of the DHCP messages of that type that were on the wire.
addresses_of()
{
	tshark -r "$work/dhcp.pcapng" -Y "dhcp.option.dhcp == $1" \
		-T fields -e "$2" 2>/dev/null | sort -u
}

# What was acknowledged was released. It is not dnsmasq that is asked: it hears
# nothing by an interface that is gone when it comes to it.
check_released()
{
	local had released
	needs tshark
	had=$(addresses_of 5 dhcp.ip.your)
	released=$(addresses_of 7 dhcp.ip.client)
	[[ $had && $had = "$released" ]] ||
		fail "had '$had', released '$released': $(<"$work/dnsmasq.log")"
}

test_address_by_dhcp_is_served_and_released()
{
	local url
	start --addr dhcp --dev "pcap:file=$work/dhcp.pcapng:tap"
	kill -USR1 "$served" # no reason not to wait for an address
	dnsmasq_serves --dhcp-range=192.0.2.100,192.0.2.150,255.255.255.0,120
	ready
	url=$(url_of 192.0.2.1)
	[[ $url ]] || fail "$(<"$work/serve.log")"
	curl -sS -o "$work/page" "${url}page"
	same "$work/page" "$work/www/page"
	stop
	check_released
	check_capture "$work/dhcp.pcapng"
}

test_address_by_router_advertisements_is_served()
{
	local url
	start --addr auto --dev "pcap:file=$work/auto.pcapng:tap"
	dnsmasq_serves --enable-ra --dhcp-range=2001:db8::,ra-only,64 \
		--dhcp-option='option6:dns-server,[2001:db8::53],[fe80::]' \
		--dhcp-option=option6:domain-search,lan.example,corp.example
	ready
	grep -q 'DNS servers here: 2001:db8::53 fe80::.*%tow0$' \
		"$work/serve.log" || fail "$(<"$work/serve.log")"
	grep -q 'DNS domains here: lan.example corp.example$' \
		"$work/serve.log" || fail "$(<"$work/serve.log")"
	url=$(url_of '[2001:db8:')
	[[ $url ]] || fail "$(<"$work/serve.log")"
	curl -gsS -o "$work/page" "${url}page"
	same "$work/page" "$work/www/page"
	stop
	check_capture "$work/auto.pcapng"
}

test_both_words_give_both_addresses()
{
	start --addr dhcp --addr auto
	dnsmasq_serves --enable-ra --dhcp-range=2001:db8::,ra-only,64 \
		--dhcp-range=192.0.2.100,192.0.2.150,255.255.255.0,120 \
		--dhcp-option=option:dns-server,192.0.2.53 \
		--dhcp-option='option6:dns-server,[2001:db8::53]'
	ready
	grep -q 'DNS servers here: 192.0.2.53 2001:db8::53$' \
		"$work/serve.log" || fail "$(<"$work/serve.log")"
	curl -sS -o "$work/page4" "$(url_of 192.0.2.1)page"
	curl -gsS -o "$work/page6" "$(url_of '[2001:db8:')page"
	same "$work/page4" "$work/www/page"
	same "$work/page6" "$work/www/page"
	stop
}

# The only address that there is belongs to the kernel, which says so by ARP.
test_address_that_the_kernel_has_is_declined()
{
	start --addr dhcp
	wait_for 5 has_address4 || fail 'tow0 has no address'
	ip addr add 192.0.2.100/24 dev tow0 # the second: dnsmasq gives it away
	dnsmasq_serves --no-ping \
		--dhcp-range=192.0.2.100,192.0.2.100,255.255.255.0,120
	wait_for 15 grep -q 'DHCPDECLINE(tow0) 192.0.2.100' \
		"$work/dnsmasq.log" || fail "$(<"$work/dnsmasq.log")"
	kill -TERM "$served"
	wait "$served" || true
	served=
	grep -q 'before there was an address' "$work/serve.log" ||
		fail "$(<"$work/serve.log")"
}

# What is wrong shows when there is an address already, which has to go back.
serves_a_lease_and_has_it_back()
{
	dnsmasq_serves --dhcp-range=192.0.2.100,192.0.2.150,255.255.255.0,120
	wait "$served" && fail "it went on: $(<"$work/serve.log")"
	served=
	grep -q "$1" "$work/serve.log" || fail "$(<"$work/serve.log")"
	check_released
}

test_lease_is_released_when_a_gateway_is_wrong()
{
	start --addr dhcp --gw nowhere --dev "pcap:file=$work/dhcp.pcapng:tap"
	serves_a_lease_and_has_it_back "gw wants an address, not 'nowhere'"
}

test_lease_is_released_when_relay_cannot_listen()
{
	needs dnsmasq
	"$TOW" relay --dev "pcap:file=$work/dhcp.pcapng:tap" "${peers[@]}" \
		--addr dhcp 192.0.2.99:80 "$kernel4:80" >"$work/serve.log" 2>&1 &
	served=$!
	wait_for 5 ip addr show dev tow0 || fail "$(<"$work/serve.log")"
	serves_a_lease_and_has_it_back 'listening on 192.0.2.99:80'
}

# It was found to be nobody else's, and is answered for.
lease_is_held()
{
	local address
	read -r _ _ address _ <"$work/leases" && ping -c 1 -W 1 "$address"
}

test_lease_is_released_when_the_router_is_not_waited_for()
{
	start --addr dhcp --addr auto --dev "pcap:file=$work/dhcp.pcapng:tap"
	(wait_for 20 lease_is_held && kill -TERM "$served") &
	serves_a_lease_and_has_it_back 'before there was an address'
}

test_get_takes_its_addresses_from_both()
{
	needs dnsmasq python3
	make_file "$work/www/page" 100k
	"$TOW" get --addr dhcp --addr auto "${peers[@]}" -o "$work/page" \
		"http://[$kernel6]:8000/page" >"$work/get.log" 2>&1 &
	local got=$!
	wait_for 5 ip addr show dev tow0 || fail "$(<"$work/get.log")"
	dnsmasq_serves --enable-ra --dhcp-range=2001:db8::,ra-only,64 \
		--dhcp-range=192.0.2.100,192.0.2.150,255.255.255.0,120
	python3 -m http.server 8000 --bind "$kernel6" \
		--directory "$work/www" >"$work/http.log" 2>&1 &
	helpers+=($!)
	wait "$got" || fail "$(<"$work/get.log")"
	same "$work/page" "$work/www/page"
}

# In half a minute, and it says what was missing.
test_without_a_server_it_says_so()
{
	local status=0
	"$TOW" serve "$work" "${peers[@]}" --addr dhcp --addr auto \
		>"$work/serve.log" 2>&1 || status=$?
	((status == 1)) || fail "exit status $status"
	grep -q 'no address by DHCP.*no server answered' "$work/serve.log" ||
		fail "$(<"$work/serve.log")"
	grep -q 'no IPv6 address.*no router' "$work/serve.log" ||
		fail "$(<"$work/serve.log")"
}

run_tests "$@"
