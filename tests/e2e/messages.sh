#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What somebody is told who gets it wrong: on stderr, with a status that is not
# 0, what was wrong by its name, and what to do. Nothing is sent here.
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

# says STATUS WORDS ARGUMENTS…: `tow ARGUMENTS` fails so, with WORDS in it.
says()
{
	local status=0
	timeout 20 "$TOW" "${@:3}" >"$work/out" 2>"$work/err" || status=$?
	((status == $1)) ||
		fail "tow ${*:3} exits with $status: $(<"$work/err")"
	grep -qF -e "$2" "$work/err" ||
		fail "tow ${*:3} says: $(<"$work/err")"
	[[ ! -s $work/out ]] || fail "tow ${*:3} prints: $(<"$work/out")"
}

serve_says()
{
	mkdir -p "$work/www"
	says "$1" "$2" serve "$work/www" "${@:3}"
}

test_commands_that_are_none()
{
	says 2 'usage: tow COMMAND'
	says 2 "did you mean 'tow serve'?" srve
	says 2 'see `tow help`' none
	says 2 'did you mean --version?' --versoin
	says 2 "'get'" help serve get
	says 2 'no arguments' version x
	says 2 'missing DIR' serve
	says 2 "one word too many: 'b'" serve a b
	says 2 'did you mean --port?' serve a --prot 80
}

test_what_cannot_be_served()
{
	says 1 "$work/none: No such file" serve "$work/none"
	touch "$work/file"
	says 1 "$work/file: Not a directory" serve "$work/file"
}

test_addresses()
{
	serve_says 1 '--addr wants the length of the prefix too, as in 10.0.0.2/24' \
		--addr 10.0.0.2
	serve_says 1 '--peer wants the length of the prefix too, as in 10.0.0.1/24' \
		--addr 10.0.0.2/24 --peer 10.0.0.1
	serve_says 1 '--addr: "10.0.0.2/33" is not an address with prefix' \
		--addr 10.0.0.2/33
	serve_says 1 '--peer: "bogus/24" is not an address with prefix' \
		--addr 10.0.0.2/24 --peer bogus/24
	serve_says 1 '--addr: 224.0.0.1/24 cannot be' --addr 224.0.0.1/24
	serve_says 1 'each end needs an address of its own' \
		--addr 10.0.0.2/24 --peer 10.0.0.2/24
	serve_says 1 '--peer needs an --addr' --peer 10.0.0.1/24
	serve_says 1 "--gw wants an address, not 'nowhere'" --gw nowhere
}

test_ports()
{
	serve_says 2 '--port 70000 is out of range' --port 70000
	serve_says 1 'listening on port 80 for ftp: address already in use' \
		--ftp 80
	grep -q -e '--port, --ftp' "$work/err" || fail "$(<"$work/err")"
	serve_says 2 '--ftp-ports is about --ftp, which is not there' \
		--ftp-ports 50000-50010
	serve_says 2 '--ftp-users is about --ftp, which is not there' \
		--ftp-users "$work/users"
}

test_files()
{
	mkdir "$work/dir"
	serve_says 1 "--stats $work/none/s: No such file" --stats "$work/none/s"
	serve_says 1 "--stats $work/dir: Is a directory" --stats "$work/dir"
	serve_says 1 "--ftp-users: $work/none: No such file" \
		--ftp 21 --ftp-users "$work/none"
	says 6 "$work/none/f.part: No such file" get -o "$work/none/f" \
		http://10.98.0.1/f
}

# Root may write anywhere; so this is somebody else.
test_a_folder_that_may_not_be_written()
{
	needs setpriv
	((EUID == 0)) && setpriv --reuid=65534 true 2>/dev/null ||
		skip 'there is nobody else here'
	chmod 755 "$work"
	mkdir -p "$work/www"
	! setpriv --reuid=65534 --regid=65534 --clear-groups "$TOW" serve \
		"$work/www" --stats "$work/s" 2>"$work/err" || fail 'it serves'
	grep -q "stats $work/s: Permission denied" "$work/err" ||
		fail "it says: $(<"$work/err")"
}

test_devices()
{
	local link="shm:path=$work/none/link"
	serve_says 1 'did you mean "tap"?' --dev tpa
	serve_says 1 'did you mean "mtu"?' --dev tap:mut=1500
	serve_says 1 'lo exists and is not a tap' --dev tap:name=lo
	serve_says 1 "listening at $work/none/link: No such file" \
		--dev "$link" --addr 10.0.0.2/24
	serve_says 1 "listening at $work/none/link: No such file" \
		--dev "$link,role=listen" --addr 10.0.0.2/24
	serve_says 1 "nobody listens at $work/none/link: start the other end" \
		--dev "$link,role=connect" --addr 10.0.0.2/24
	touch "$work/file"
	serve_says 1 "$work/file exists, and is in use by another end, or no socket; choose another path" \
		--dev "shm:path=$work/file,role=listen" --addr 10.0.0.2/24
}

test_simulations()
{
	says 2 "wants A..B, as in 1..1000, not '5..1'" sim --seeds 5..1
	says 2 "no profile 'lossi'; did you mean 'lossy'?" sim --profile lossi
	says 2 "no profile 'nothing'; see" sim --profile nothing
	says 2 '--pcap wants a single seed' sim --seeds 1..2 --pcap "$work/p"
	says 1 "--pcap $work/none/p: No such file" \
		sim --seeds 1..1 --pcap "$work/none/p"
}

test_targets_of_a_relay()
{
	local target
	for target in nowhere:80 192.0.2.1 192.0.2.1:0 0.0.0.0:80; do
		says 2 "not '$target'" relay 8080 "$target"
	done
	for target in 224.0.0.1:80 255.255.255.255:80 '[ff02::1]:80'; do
		says 2 "connections have one host as their target, not '$target'" \
			relay 8080 "$target"
	done
}

test_downloads_from_nowhere()
{
	says 2 '-C continues a file, and stdout is none' \
		get -C -o - http://192.0.2.1/f
	says 2 'like http://192.0.2.1:8000/file' get http://
	says 2 'like http://192.0.2.1:8000/file' get http://192.0.2.1:99999/f
	says 2 'is not an http:// URL' get ftp://192.0.2.1/f
	says 3 'connecting to 10.98.0.1: the peer refused' \
		get -q -o "$work/f" http://10.98.0.1/f
	says 3 'connecting to 192.0.2.1: no route to that network; --gw' \
		get -q -o "$work/f" http://192.0.2.1/f
}

# The stack has a loopback of its own, and the command is alone there.
test_servers_of_this_machine_are_not_on_loopback()
{
	local host
	for host in 127.0.0.1 '[::1]' localhost; do
		says 3 "1 is this command's own" get -q -o "$work/f" \
			"http://$host:8000/f"
		grep -q "kernel's end of the tap" "$work/err" ||
			fail "$(<"$work/err")"
	done
	for host in 127.0.0.1 '[::1]'; do
		says 2 "$host:80 is this command's own" relay 8080 "$host:80"
	done
}

run_tests "$@"
