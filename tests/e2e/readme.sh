#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The first program of README.md does what README.md says.
#
#	curl --- kernel 192.0.2.1 --- tow0 --- 192.0.2.2 the program
. "${0%/*}/lib.sh"
enter_namespaces "$@"

BUILD=${BUILD:-${TOW%/tow}}

# The first block of C in it that is a whole program.
program_text()
{
	awk '/^```c$/ { text = ""; inside = 1; next }
		/^```$/ && inside { inside = 0; if (text ~ /int main/) {
			printf "%s", text; exit } }
		inside { text = text $0 "\n" }' README.md
}

# With the compiler and the sanitizers that the library was built with.
build_program()
{
	local cc rest sanitize=()
	read -r cc rest <"$BUILD/flags"
	needs "$cc"
	[[ $rest = *-fsanitize=address* ]] &&
		sanitize=(-fsanitize=address,undefined)
	program_text >"$work/first.c"
	"$cc" -std=gnu11 -Wall -Wextra -Werror "${sanitize[@]}" -Iinclude \
		-o "$work/first" "$work/first.c" "$BUILD/libtow.a" -luring -lcrypto -lpthread
}

test_the_first_program_serves_a_file()
{
	needs curl
	build_program
	head -c 3M /dev/urandom >"$work/file"
	"$work/first" "$work/file" >"$work/serve.log" 2>&1 &
	served=$!
	wait_for 10 curl -sf -m 1 -o /dev/null "http://$tow4/" ||
		fail "it did not start"
	for ((i = 0; i < 3; i++)); do
		curl -sf -m 10 -o "$work/copy" "http://$tow4/"
		cmp "$work/file" "$work/copy"
	done
	stop INT
}

run_tests "$@"
