#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ./demo, the first thing that anybody runs, goes well.
#
#	./demo -- namespaces of its own inside of ours, see there
. "${0%/*}/lib.sh"
enter_namespaces "$@"

test_the_demo_builds_and_goes_well()
{
	needs curl python3 setpriv sha256sum
	grep -q fsanitize "${TOW%/*}/flags" && skip 'it builds without sanitizers'
	BUILD=${TOW%/*} DEMO_MIB=16 TMPDIR=$work ./demo >"$work/out" 2>&1 || {
		cat "$work/out"
		fail 'it failed'
	}
	[[ $(grep -c 'load: the same$' "$work/out") = 3 ]]
	grep -q '^All went well' "$work/out"
	[[ -z $(find "$work" -name 'tow-demo.*') ]]
}

run_tests "$@"
