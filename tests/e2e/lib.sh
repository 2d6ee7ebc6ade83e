# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the end-to-end scripts share. A script draws its topology on top, and
# goes like this:
#
#	. "${0%/*}/lib.sh"
#	enter_namespaces "$@"
#	test_a_page_is_served() { serve "$work/www"; curl … "$url4"; stop; }
#	run_tests "$@"
#
# enter_namespaces starts the script again in network, mount and PID namespaces
# of its own: whatever it makes there, interfaces, addresses, processes, goes
# with it, however it ends. As another user than root it does so rootless.
#
# Each function named test_* is a test: it runs in a subshell under set -e with
# an empty folder $work, and has failed when a command in it did. Its name is
# what is printed, as `ok NAME`, `not ok NAME` or `skip NAME reason`. Words on
# the command line pick tests whose names have one of them in it, =NAME the one
# of that name; --list names all. Tests run next to each other, each by itself
# (scripts/run-tests), so none relies on another's leavings, and none on being
# quick: where it needs something to have happened it waits until it has.
#
# TOW   the command under test; KEEP=1 keeps $work of a test that failed
set -u

TOW=${TOW:-build/release/tow}
[[ $TOW = /* ]] || TOW=$PWD/$TOW
export LC_ALL=C

# Addresses from the ranges for documentation (RFC 5737, RFC 3849).
tow4=192.0.2.2 kernel4=192.0.2.1
tow6=2001:db8::2 kernel6=2001:db8::1
port=80
# shellcheck disable=SC2034 # for the scripts
url4="http://$tow4:$port" url6="http://[$tow6]:$port"
addresses=(--addr "$tow4/24" --peer "$kernel4/24" --addr "$tow6/64"
	--peer "$kernel6/64")

# The names of the tests that the words pick; without words, of all.
chosen()
{
	local name word
	while read -r name; do
		for word in "${@:-}"; do
			[[ $word = "=$name" || $word != =* && $name = *$word* ]] || continue
			echo "$name"
			break
		done
	done < <(sed -n 's/^test_\([a-z0-9_]*\)().*/\1/p' "$0")
}

# skip_all REASON WORD…
skip_all()
{
	local name
	while read -r name; do
		echo "skip $name $1"
	done < <(chosen "${@:2}")
	exit 0
}

enter_namespaces()
{
	local user=()
	if [[ ${1:-} = --list ]]; then
		chosen
		exit 0
	fi
	if [[ -n ${TOW_E2E_INSIDE:-} ]]; then
		trap 'exit 143' INT TERM # else process 1 ignores them
		ip link set lo up
		return
	fi
	[[ -x $TOW ]] || skip_all "$TOW is not built" "$@"
	[[ -r /dev/net/tun && -w /dev/net/tun ]] ||
		skip_all "/dev/net/tun cannot be opened" "$@"
	((EUID)) && user=(--user --map-root-user)
	unshare "${user[@]}" --net true 2>/dev/null ||
		skip_all "no permission for a network namespace" "$@"
	TOW_E2E_INSIDE=1 exec unshare "${user[@]}" --net --mount --pid --fork \
		--kill-child --mount-proc "$BASH" "$0" "$@"
}

# What went wrong, for people; ends the test.
fail()
{
	echo "# $*"
	exit 1
}

# Ends the test: it cannot be done here.
skip()
{
	echo "$*" >"$work/.skipped"
	exit 77
}

needs()
{
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null ||
			skip "$command is not installed"
	done
}

# Waits until a command succeeds: wait_for SECONDS COMMAND…
wait_for()
{
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || return 1
		sleep 0.02
	done
}

# So many TCP connections of the kernel, of those that the filter of ss takes:
# connections NUMBER FILTER…
connections()
{
	(($(ss -Htn state established "${@:2}" | wc -l) >= $1))
}

# Starts `tow …`, waits until it prints a word. Its output is in $work/serve.log,
# its process in $served: start_until WORD COMMAND…
start_until()
{
	: >"$work/serve.log" # what another printed before is not ours
	"$TOW" "${@:2}" >"$work/serve.log" 2>&1 &
	served=$!
	wait_for 10 has_said "$1" ||
		fail "the $2 command did not start: $(<"$work/serve.log")"
	kill -0 "$served" 2>/dev/null ||
		fail "the $2 command ended: $(<"$work/serve.log")"
}

has_said()
{
	grep -q "$1" "$work/serve.log" || ! kill -0 "$served"
}

# serve DIR OPTIONS…: with $addresses
serve()
{
	mkdir -p "$1"
	start_until 'http://' serve "$1" --port "$port" "${addresses[@]}" "${@:2}"
}

start_relay()
{
	start_until '^Relaying' relay "$@"
}

# Ends the server by SIGTERM, or another signal; it must exit with 0, or else
# with the given status: stop [SIGNAL [STATUS]]
stop()
{
	local status=0
	kill -"${1:-TERM}" "$served"
	wait "$served" || status=$?
	served=
	((status == ${2:-0})) ||
		fail "the server exited with $status: $(tail -n 30 "$work/serve.log")"
}

# A file of so many random bytes: make_file PATH BYTES (k, M, G as for head)
make_file()
{
	mkdir -p "${1%/*}"
	head -c "$2" /dev/urandom >"$1"
}

same()
{
	cmp -- "$1" "$2" >&2 || fail "$1 and $2 differ"
}

# The number at a dotted path in the JSON of --stats: stat_of FILE ledger.tx…
stat_of()
{
	python3 - "$1" "$2" <<-'END'
		import json, sys
		value = json.load(open(sys.argv[1]))
		for key in sys.argv[2].split('.'):
		    value = value[key]
		print(sum(value.values()) if isinstance(value, dict) else value)
	END
}

# No frame of a capture is malformed or has a bad checksum. Payload is data, and
# streams are not put together: a file may begin with anything, a retransmission
# that is cut otherwise than the first time is good TCP, and a client's port may
# be one that tshark knows a protocol for. UDP's are so from 69 on, behind DHCP.
# The kernel writes a checksum that comes out as 0 as 0xffff, as for UDP, which
# is the same number.
check_capture()
{
	local bad
	[[ -s $1 ]] || fail "$1 is empty"
	bad=$(tshark -r "$1" -o ip.check_checksum:TRUE \
		-o tcp.desegment_tcp_streams:FALSE \
		-d tcp.port==0-65535,data -d udp.port==69-65535,data \
		-o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE \
		-Y '_ws.malformed || ip.checksum.status==0 || (tcp.checksum.status==0 && !(tcp.checksum==0xffff && (ip.src=='$kernel4' || ipv6.src=='$kernel6'))) || udp.checksum.status==0 || icmp.checksum.status==0 || icmpv6.checksum.status==0' \
		2>&1 | grep -v 'Running as user' | head -n 5)
	[[ -z $bad ]] || fail "bad frames in $1: $bad"
}

end_test()
{
	[[ -z ${served:-} ]] || kill -KILL "$served" 2>/dev/null
	wait
}

run_one()
{
	local name=$1 status
	work=$(mktemp -d)
	(
		set -e
		trap end_test EXIT
		"test_$name"
	) </dev/null
	status=$?
	case $status in
	0)	echo "ok $name" ;;
	77)	echo "skip $name $(<"$work/.skipped")" ;;
	*)	echo "not ok $name" ;;
	esac
	((status && status != 77)) && [[ ${KEEP:-} ]] && {
		echo "# kept $work"
		return
	}
	rm -rf "$work"
}

# All tests of the script, or those that the words pick.
run_tests()
{
	local name names
	mapfile -t names < <(chosen "$@")
	for name in ${names[@]+"${names[@]}"}; do
		run_one "$name"
	done
}
