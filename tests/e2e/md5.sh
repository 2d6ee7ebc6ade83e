#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# TCP MD5 signatures (RFC 2385) with the kernel's TCP, both ways of opening.
#
#	md5_peer.py get URL    -- kernel -- tow0 -- tow serve --tcp-md5
#	md5_peer.py serve PORT -- kernel -- tow0 -- tow get --tcp-md5
#	     192.0.2.1, 2001:db8::1          192.0.2.2, 2001:db8::2
#
# TCP-AO has no peer here: Debian's kernels are built without it. Its packets
# are held against RFC 9235 by tests/unit/test_rfc9235.c, and by hand against a
# newer Linux by tests/interop-vm/run.
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

peer=$PWD/tests/e2e/md5_peer.py

kernel_signs()
{
	python3 "$peer" can 2>/dev/null || skip 'the kernel has no TCP_MD5SIG'
}

make_keys()
{
	printf 'a secret of ours\n' >"$work/key"
	printf 'another\n' >"$work/wrong"
	chmod 600 "$work/key" "$work/wrong"
	keys=(--tcp-md5 "$kernel4=$work/key" --tcp-md5 "$kernel6/64=$work/key")
}

# What the kernel's program gets: peer_gets KEYFILE HOST PATH
peer_gets()
{
	timeout 20 python3 "$peer" get "$1" "$2" "$port" "$3" >"$work/got"
}

start_peer()
{
	python3 "$peer" serve "$1" 8000 "$work/www/file" &
	python=$!
	wait_for 10 bash -c 'ss -Hltn "sport = :8000" | grep -q .'
}

# The command reads its keys before it makes a device: warned_of MODE COMMAND…
warned_of()
{
	chmod "$1" "$work/key"
	! "$TOW" "${@:2}" --tcp-md5 "$kernel4=$work/key" --dev none \
		>"$work/log" 2>&1 || fail "there is a device 'none'"
	grep -q "$work/key" "$work/log"
}

test_a_key_that_others_can_read_is_warned_of()
{
	local command mode
	make_keys
	mkdir "$work/www"
	for command in "serve $work/www" "get -o $work/got $url4/file"; do
		for mode in 604 640 644 602 660; do
			# shellcheck disable=SC2086 # words
			warned_of $mode $command ||
				fail "no warning of $mode: $(<"$work/log")"
			grep -q "warning.* mode 0$mode.*chmod 600 $work/key" \
				"$work/log" || fail "$(<"$work/log")"
			grep -q 'no device "none"' "$work/log" ||
				fail "it did not go on: $(<"$work/log")"
		done
		for mode in 600 400; do
			# shellcheck disable=SC2086
			! warned_of $mode $command || fail "$(<"$work/log")"
		done
	done
}

test_md5_with_linux_as_client()
{
	local host
	kernel_signs
	make_keys
	make_file "$work/www/file" 8M
	serve "$work/www" "${keys[@]}" --dev "pcap:file=$work/a.pcap:tap" \
		--stats "$work/stats.json"
	for host in "$tow4" "$tow6"; do
		peer_gets "$work/key" "$host" /file
		same "$work/got" "$work/www/file"
	done
	stop
	(($(stat_of "$work/stats.json" tcp.signed_in) > 500)) ||
		fail 'nothing was signed'
	(($(stat_of "$work/stats.json" drops.tcp_auth_bad) == 0)) ||
		fail 'a signature was wrong'
	check_capture "$work/a.pcap"
}

test_md5_with_linux_as_server()
{
	local host
	kernel_signs
	make_keys
	make_file "$work/www/file" 8M
	start_peer "$work/key"
	for host in "$kernel4" "[$kernel6]"; do
		"$TOW" get "${addresses[@]}" "${keys[@]}" -q -o "$work/got" \
			--stats "$work/stats.json" "http://$host:8000/file"
		same "$work/got" "$work/www/file"
		(($(stat_of "$work/stats.json" drops.tcp_auth_bad) == 0)) ||
			fail 'a signature was wrong'
	done
	kill "$python"
}

test_md5_with_losses()
{
	kernel_signs
	make_keys
	make_file "$work/www/file" 4M
	serve "$work/www" "${keys[@]}" --dev "fault:loss=1%,reorder=2%:tap"
	peer_gets "$work/key" "$tow4" /file
	same "$work/got" "$work/www/file"
	stop
}

test_who_has_no_key_gets_no_answer()
{
	kernel_signs
	make_keys
	make_file "$work/www/file" 1k
	serve "$work/www" "${keys[@]}" --stats "$work/stats.json"
	! curl -sS -m 3 -o "$work/got" "$url4/file" 2>"$work/curl.log" ||
		fail 'curl got the file without a key'
	grep -qi 'timed out' "$work/curl.log" ||
		fail "curl heard something: $(<"$work/curl.log")"
	! timeout 3 python3 "$peer" get "$work/wrong" "$tow4" "$port" /file \
		>"$work/got" || fail 'the wrong key is as good'
	stop
	(($(stat_of "$work/stats.json" drops.tcp_auth_missing) > 0)) ||
		fail 'no unsigned segment was dropped'
	(($(stat_of "$work/stats.json" drops.tcp_auth_bad) > 0)) ||
		fail 'no wrongly signed segment was dropped'
}

test_ftp_without_a_key_gets_no_answer()
{
	make_keys
	make_file "$work/www/file" 1k
	serve "$work/www" "${keys[@]}" --ftp 21 --stats "$work/stats.json"
	! curl -sS -m 3 -o "$work/got" "ftp://$tow4/file" 2>"$work/curl.log" ||
		fail 'curl got the file without a key'
	grep -qi 'timed out' "$work/curl.log" ||
		fail "curl heard something: $(<"$work/curl.log")"
	stop
	(($(stat_of "$work/stats.json" drops.tcp_auth_missing) > 0)) ||
		fail 'no unsigned segment was dropped'
}

test_bad_keys_are_said()
{
	local option
	: >"$work/empty"
	printf 'a\r\n' >"$work/dos"
	for option in nonsense "$kernel4=$work/absent" "$kernel4=$work/empty" \
		"1.2.3=$work/empty" "$kernel4=$work" "$kernel4=$work/dos"; do
		! "$TOW" get "${addresses[@]}" --tcp-md5 "$option" \
			http://192.0.2.1/ 2>"$work/log" || fail "$option is taken"
		grep -q -- "--tcp-md5 $option: " "$work/log" ||
			fail "it says $(<"$work/log")"
	done
	make_keys
	! "$TOW" get "${addresses[@]}" "${keys[@]}" "${keys[@]}" \
		http://192.0.2.1/ 2>"$work/log" || fail 'a second key is taken'
	grep -q 'there is a key for it already' "$work/log" ||
		fail "it says $(<"$work/log")"
}

end_test()
{
	[[ -z ${served:-} ]] || kill -KILL "$served" 2>/dev/null
	[[ -z ${python:-} ]] || kill "$python" 2>/dev/null
	wait
}

run_tests "$@"
