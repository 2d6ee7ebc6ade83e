#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Placement on a tap: the kernel sends a file by a client that knows nothing of
# it, to a program that posts memory; the device puts the bytes there.
#
#	curl -- kernel -- tow0 [fault] -- tow serve --writable -- file
#	                   | queue 0: all else
#	                   | queue n: one flow, read into posted memory
#
# What is asserted is the ledger's: which share of the bytes was placed, and
# why others were copied.
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

needs_steering()
{
	((EUID == 0)) || skip "steering by BPF takes root"
}

receive()
{
	serve "$work/www" --writable --ftp 21 --stats "$work/stats.json" "$@"
}

rx()
{
	stat_of "$work/stats.json" "ledger.rx.$1"
}

# How the bytes came, in hundredths of a percent: at_most PART OF_10000
at_most()
{
	local placed copied part
	placed=$(rx placed_bytes) copied=$(rx copied_bytes) part=$(rx "$1")
	echo "# placed $placed, copied $copied" >&2
	((part * 10000 <= (placed + copied) * $2)) ||
		fail "more than $2 of 10000 are $1: $(<"$work/stats.json")"
}

# Nothing but the login, the request's head and what came before the post.
test_an_upload_on_a_clean_link_is_placed()
{
	needs_steering
	make_file "$work/a" 200M
	receive
	curl -sSf -m 60 -T "$work/a" "ftp://$tow4/ftp"
	curl -sSf -m 60 -T "$work/a" "$url4/put"
	curl -sSf -m 60 -g -T "$work/a" "$url6/put6"
	stop
	same "$work/a" "$work/www/ftp"
	same "$work/a" "$work/www/put"
	same "$work/a" "$work/www/put6"
	at_most copied_bytes 100
	(($(rx lent_bytes) < 1 << 20)) || fail "lent: $(<"$work/stats.json")"
}

# A frame that is lost costs the copy of what came behind the hole, and of what
# the device put where the lost bytes belong; then the hint is right again.
test_an_upload_with_loss_and_reordering_is_whole_and_mostly_placed()
{
	local placed
	needs_steering
	make_file "$work/a" 100M
	receive --dev fault:loss=1%,reorder=1%,seed=5:tap
	curl -sSf -m 60 -T "$work/a" "ftp://$tow4/ftp"
	curl -sSf -m 60 -T "$work/a" "$url4/put"
	stop
	same "$work/a" "$work/www/ftp"
	same "$work/a" "$work/www/put"
	placed=$(rx placed_bytes)
	((placed * 100 >= (200 << 20) * 85)) ||
		fail "less than 85 of 100 are placed: $(<"$work/stats.json")"
	at_most copied_bytes 1500
	(($(stat_of "$work/stats.json" place.misses) > 100)) ||
		fail "what was lost? $(<"$work/stats.json")"
	(($(rx copied_bytes.hole) > 0)) || fail "no hole was filled"
}

# Another program has a queue of the same tap: frames may go to it, so no flow
# is anybody's alone. When it has gone, the next flow is placed again.
test_the_hint_goes_off_while_somebody_else_has_a_queue_of_the_tap()
{
	local other
	needs_steering
	make_file "$work/a" 20M
	receive
	python3 - >"$work/other.log" 2>&1 <<-'END' &
		import fcntl, os, struct, time
		tap, no_pi, vnet, queues = 2, 0x1000, 0x4000, 0x100
		fd = os.open('/dev/net/tun', os.O_RDWR)
		fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'tow0',
		            tap | no_pi | vnet | queues)) # TUNSETIFF
		print('it has one', flush=True)
		time.sleep(60)
	END
	other=$!
	wait_for 10 grep -q 'it has one' "$work/other.log" ||
		skip "no second queue: $(<"$work/other.log")"
	curl -sSf -m 60 -T "$work/a" "ftp://$tow4/shared"
	kill $other
	wait $other || true
	curl -sSf -m 60 -T "$work/a" "ftp://$tow4/alone"
	stop
	same "$work/a" "$work/www/shared"
	same "$work/a" "$work/www/alone"
	(($(stat_of "$work/stats.json" place.shared) > 0)) ||
		fail "nobody noticed: $(<"$work/stats.json")"
	(($(rx copied_bytes.unplaced) >= 19 << 20)) ||
		fail "placed nonetheless: $(<"$work/stats.json")"
	(($(rx placed_bytes) >= 19 << 20)) ||
		fail "it did not come back: $(<"$work/stats.json")"
}

run_tests "$@"
