#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tow serve against curl, wget and raw requests of the kernel's TCP.
#
#	curl, wget, bash -- kernel -- tow0 -- tow serve
#	                 192.0.2.1      192.0.2.2
#	               2001:db8::1    2001:db8::2
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

# Sends its standard input as it is, prints the answer.
raw()
{
	local fd
	exec {fd}<>"/dev/tcp/$tow4/$port"
	cat >&"$fd"
	timeout 10 cat <&"$fd"
	exec {fd}>&-
}

status_of()
{
	curl -s -m 10 -o /dev/null -w '%{http_code}' --path-as-is "$@"
}

expect()
{
	[[ $1 == "$2" ]] || fail "$3: $1 instead of $2"
}

test_a_large_file_leaves_without_a_copy()
{
	make_file "$work/www/big" 256M
	serve "$work/www" --stats "$work/stats.json"
	curl -sf -m 60 -o "$work/got4" "$url4/big"
	same "$work/got4" "$work/www/big"
	curl -sf -m 60 -g -o "$work/got6" "$url6/big"
	same "$work/got6" "$work/www/big"
	stop
	expect "$(stat_of "$work/stats.json" ledger.tx.lent_bytes)" \
		$((2 * 256 << 20)) 'bytes lent'
	expect "$(stat_of "$work/stats.json" ledger.tx.touched_bytes)" 0 \
		'bytes touched'
	(($(stat_of "$work/stats.json" ledger.tx.copied_bytes) < 2000)) ||
		fail 'more than heads was copied'
}

test_copying_gives_the_same_bytes()
{
	make_file "$work/www/big" 64M
	serve "$work/www" --copy --stats "$work/stats.json"
	curl -sf -m 60 -o "$work/got" "$url4/big"
	same "$work/got" "$work/www/big"
	stop
	expect "$(stat_of "$work/stats.json" ledger.tx.lent_bytes)" 0 \
		'bytes lent'
}

test_sizes_around_the_borders_arrive_whole()
{
	local size
	for size in 0 1 511 512 513 1447 1448 1449 4095 4096 4097 65535 65536 \
		65537 2097151 2097152 2097153 4194305; do
		make_file "$work/www/$size" "$size"
	done
	serve "$work/www"
	for size in "$work"/www/*; do
		curl -sf -m 20 -o "$work/got" "$url4/${size##*/}"
		same "$work/got" "$size"
	done
	stop
}

test_wget_mirrors_a_tree_by_its_listings()
{
	needs wget
	make_file "$work/www/a b & c/d é.bin" 10k
	make_file "$work/www/a b & c/e+f#g" 20k
	make_file "$work/www/top \"quoted\" <x>" 5
	mkdir "$work/www/empty"
	serve "$work/www"
	mkdir "$work/copy"
	wget -q -e robots=off -m -np -nH -P "$work/copy" --restrict-file-names=nocontrol \
		--reject 'index.html*' "$url4/"
	same "$work/copy/a b & c/d é.bin" "$work/www/a b & c/d é.bin"
	same "$work/copy/a b & c/e+f#g" "$work/www/a b & c/e+f#g"
	same "$work/copy/top \"quoted\" <x>" "$work/www/top \"quoted\" <x>"
	stop
}

test_wget_continues_where_it_was_cut_off()
{
	needs wget
	make_file "$work/www/big" 8M
	head -c 3000000 "$work/www/big" >"$work/big"
	serve "$work/www"
	(cd "$work" && wget -q -c "$url4/big")
	same "$work/big" "$work/www/big"
	stop
}

# RFC 9110 14
test_ranges_are_exact()
{
	make_file "$work/www/f" 5000000
	serve "$work/www"
	curl -sf -m 10 -r 1999990-3000009 -o "$work/got" "$url4/f"
	tail -c +1999991 "$work/www/f" | head -c 1000020 >"$work/want"
	same "$work/got" "$work/want"
	curl -sf -m 10 -r -7 -o "$work/got" "$url4/f"
	tail -c 7 "$work/www/f" >"$work/want"
	same "$work/got" "$work/want"
	expect "$(status_of -r 0-9 "$url4/f")" 206 'one range'
	expect "$(status_of -r 5000000- "$url4/f")" 416 'behind the end'
	expect "$(status_of -r 0-,0- "$url4/f")" 200 'greedy ranges'
	stop
}

# RFC 9110 14.6, taken apart by a parser of MIME
test_several_ranges_are_multipart()
{
	make_file "$work/www/f" 100000
	serve "$work/www"
	curl -sf -m 10 -r 0-0,500-999,-1 -D "$work/head" -o "$work/body" \
		"$url4/f"
	python3 - "$work" <<-'END'
		import email, email.policy, sys
		work = sys.argv[1]
		head = open(work + '/head', 'rb').read().split(b'\r\n', 1)[1]
		body = open(work + '/body', 'rb').read()
		data = open(work + '/www/f', 'rb').read()
		policy = email.policy.HTTP
		kind = email.message_from_bytes(head, policy=policy)
		assert int(kind['Content-Length']) == len(body)
		boundary = kind.get_boundary().encode()
		parts = body.split(b'\r\n--' + boundary)
		assert parts[0] == b'' and parts[-1] == b'--\r\n', parts
		want = [(0, 1), (500, 1000), (99999, 100000)]
		assert len(parts) == len(want) + 2
		for part, (a, b) in zip(parts[1:], want):
		    h, content = part.split(b'\r\n\r\n', 1)
		    assert b'bytes %d-%d/100000' % (a, b - 1) in h, h
		    assert content == data[a:b]
	END
	stop
}

# RFC 9110 13
test_conditions_spare_a_transfer()
{
	local tag date
	make_file "$work/www/f" 1000
	touch -d '2001-02-03 04:05:06 UTC' "$work/www/f"
	serve "$work/www"
	tag=$(curl -sI -m 5 "$url4/f" | tr -d '\r' | sed -n 's/^ETag: //p')
	date='Sat, 03 Feb 2001 04:05:06 GMT'
	expect "$(status_of -H "If-None-Match: $tag" "$url4/f")" 304 tag
	expect "$(status_of -H "If-None-Match: \"x\"" "$url4/f")" 200 'other tag'
	expect "$(status_of -H "If-Modified-Since: $date" "$url4/f")" 304 date
	expect "$(status_of -H "If-Match: \"x\"" "$url4/f")" 412 'no match'
	expect "$(status_of -H "If-Range: $tag" -r 0-9 "$url4/f")" 206 range
	expect "$(status_of -H "If-Range: \"x\"" -r 0-9 "$url4/f")" 200 stale
	echo more >>"$work/www/f"
	expect "$(status_of -H "If-None-Match: $tag" "$url4/f")" 200 changed
	stop
}

test_a_directory_shows_its_index_or_a_listing()
{
	mkdir -p "$work/www/with" "$work/www/without"
	echo '<h1>index</h1>' >"$work/www/with/index.html"
	touch "$work/www/without/visible" "$work/www/without/.hidden"
	serve "$work/www"
	curl -sf -m 5 "$url4/with/" | grep -q '<h1>index</h1>'
	curl -sf -m 5 "$url4/without/" >"$work/page"
	grep -q 'href="./visible"' "$work/page"
	! grep -q hidden "$work/page" || fail 'a hidden file is shown'
	curl -s -m 5 -I "$url4/with" | grep -q $'^Location: /with/\r$'
	expect "$(curl -sL -m 5 -o /dev/null -w '%{http_code}' "$url4/with")" \
		200 redirect
	stop
}

test_nothing_outside_the_directory_is_served()
{
	mkdir -p "$work/www/in"
	echo secret >"$work/secret"
	echo public >"$work/www/in/public"
	ln -s ../secret "$work/www/up"
	ln -s "$work/secret" "$work/www/absolute"
	ln -s /proc/self/root "$work/www/magic"
	ln -s in/public "$work/www/inside"
	ln -s loop "$work/www/loop"
	mkfifo "$work/www/fifo"
	serve "$work/www"
	expect "$(status_of "$url4/../secret")" 400 'dots'
	expect "$(status_of "$url4/in/../../secret")" 400 'dots within'
	expect "$(status_of "$url4/%2e%2e/secret")" 400 'encoded dots'
	expect "$(status_of "$url4/..%2fsecret")" 404 'encoded slash'
	expect "$(status_of "$url4//etc/passwd")" 404 'two slashes'
	expect "$(status_of "$url4/up")" 403 'link up'
	expect "$(status_of "$url4/absolute")" 403 'absolute link'
	expect "$(status_of "$url4/magic/etc/passwd")" 403 'magic link'
	expect "$(status_of "$url4/loop")" 403 'link to itself'
	expect "$(status_of "$url4/fifo")" 403 'fifo'
	expect "$(status_of "$url4/in%00")" 400 'NUL'
	expect "$(curl -sf -m 5 "$url4/inside")" public 'link inside'
	stop
}

# A listing tells neither that a file outside is there nor how long it is.
test_a_listing_shows_only_what_can_be_had()
{
	mkdir -p "$work/www/in/deeper"
	echo secret >"$work/www/../secret"
	echo public >"$work/www/public"
	ln -s ../../secret "$work/www/in/up"
	ln -s /etc/passwd "$work/www/in/absolute"
	ln -s nowhere "$work/www/in/dangling"
	ln -s ../public "$work/www/in/beside"
	ln -s deeper "$work/www/in/folder"
	mkfifo "$work/www/in/fifo"
	serve "$work/www"
	expect "$(curl -sf -m 5 "$url4/in/" | grep -o 'href="\./[^"]*"' |
		tr '\n' ' ')" \
		'href="./deeper/" href="./folder/" href="./beside" ' names
	stop
}

test_pipelined_requests_are_answered_in_order()
{
	local i
	for i in 1 2 3; do
		echo "file $i" >"$work/www-$i"
		mkdir -p "$work/www"
		mv "$work/www-$i" "$work/www/$i"
	done
	serve "$work/www"
	for i in 1 2 3; do
		printf 'GET /%s HTTP/1.1\r\nHost: a\r\n' "$i"
		((i < 3)) || printf 'Connection: close\r\n'
		printf '\r\n'
	done | raw | grep -a '^file' >"$work/got"
	printf 'file 1\nfile 2\nfile 3\n' >"$work/want"
	same "$work/got" "$work/want"
	stop
}

test_a_thousand_pipelined_requests_are_answered()
{
	local i
	make_file "$work/www/f" 3000
	serve "$work/www"
	for ((i = 0; i < 1000; i++)); do
		printf 'GET /f HTTP/1.1\r\nHost: a\r\n\r\n'
	done >"$work/requests"
	printf 'GET /f HTTP/1.0\r\n\r\n' >>"$work/requests"
	raw <"$work/requests" | grep -ao 'HTTP/1.1 200 OK' | wc -l \
		>"$work/count"
	expect "$(<"$work/count")" 1001 answers
	stop
}

test_nonsense_is_answered_with_its_status()
{
	mkdir -p "$work/www"
	serve "$work/www"
	expect "$(printf 'BREW / HTTP/1.1\r\n\r\n' | raw | head -c 12)" \
		'HTTP/1.1 501' method
	expect "$(printf 'GET / HTTP/1.1\r\n\r\n' | raw | head -c 12)" \
		'HTTP/1.1 400' 'no Host'
	expect "$(printf 'GET / HTTP/3.0\r\nHost: a\r\n\r\n' | raw |
		head -c 12)" 'HTTP/1.1 505' version
	expect "$(status_of "$url4/$(printf 'a%.0s' {1..9000})")" 414 target
	expect "$(status_of -H "X: $(printf 'a%.0s' {1..17000})" "$url4/")" \
		431 head
	expect "$(status_of -X POST -d x "$url4/")" 405 POST
	expect "$(status_of -T /etc/hostname "$url4/x")" 405 'PUT'
	expect "$(status_of -H 'Expect: magic' "$url4/")" 417 Expect
	expect "$(status_of "$url4/")" 200 'and it goes on'
	stop
}

test_head_announces_what_get_would_send()
{
	make_file "$work/www/f" 12345
	serve "$work/www"
	curl -sI -m 5 "$url4/f" | grep -q $'^Content-Length: 12345\r$'
	stop
}

test_the_access_log_has_a_line_per_response()
{
	make_file "$work/www/f" 100
	serve "$work/www"
	curl -sf -m 5 -o /dev/null "$url4/f"
	status_of "$url4/no%22pe" >/dev/null
	stop
	grep -qE '^192\.0\.2\.1 - - \[[^]]+\] "GET /f HTTP/1\.1" 200 100$' \
		"$work/serve.log" || fail "$(<"$work/serve.log")"
	grep -qF '"GET /no%22pe HTTP/1.1" 404 ' "$work/serve.log"
}

test_statistics_are_written_on_sigusr1()
{
	make_file "$work/www/f" 100
	serve "$work/www" --stats "$work/stats.json"
	curl -sf -m 5 -o /dev/null "$url4/f"
	kill -USR1 "$served"
	wait_for 5 test -s "$work/stats.json"
	expect "$(stat_of "$work/stats.json" tcp.passive_opens)" 1 opens
	stat_of "$work/stats.json" ledger.rx.lent_bytes >/dev/null
	stat_of "$work/stats.json" ledger.rx.copied_bytes >/dev/null
	stat_of "$work/stats.json" drops >/dev/null
	stop
}

test_a_fifo_for_statistics_holds_nothing_up()
{
	mkdir -p "$work/www"
	echo x >"$work/www/f"
	mkfifo "$work/stats"
	serve "$work/www" --stats "$work/stats"
	kill -USR1 "$served"
	wait_for 5 grep -q 'No such device or address' "$work/serve.log"
	expect "$(curl -sf -m 5 "$url4/f")" x 'without a reader'
	cat "$work/stats" >"$work/json" &
	sleep 0.2
	kill -USR1 "$served"
	wait $!
	stat_of "$work/json" ledger.tx.lent_bytes >"$work/number"
	stop
}

# refused STATUS WORDS OPTION...
refused()
{
	local status=$1 words=$2 got=0
	shift 2
	timeout 5 "$TOW" serve "$work" "$@" >"$work/out" 2>&1 || got=$?
	[[ $got = "$status" ]] && grep -qF -- "$words" "$work/out" ||
		fail "$*: $got, $(cat "$work/out")"
}

test_options_are_explained_and_corrected()
{
	"$TOW" help | grep -q serve
	"$TOW" help serve | grep -q -- --writable
	"$TOW" --version | grep -qE '^tow [0-9]+\.[0-9]+\.[0-9]+$'
	"$TOW" serve --writeable . 2>&1 | grep -q 'did you mean --writable'
	"$TOW" sreve 2>&1 | grep -q "did you mean 'tow serve'"
	! "$TOW" serve --port 0 . 2>/dev/null || fail 'port 0 was taken'
	! "$TOW" serve "$work/nowhere" 2>/dev/null || fail 'no directory'
	! "$TOW" serve "$work" --dev tpa 2>/dev/null || fail 'no device'
	refused 2 '--ftp-users is about --ftp' --ftp-users /dev/null
	refused 1 '--addr and --peer are the same' \
		--addr 10.0.0.2/24 --peer 10.0.0.2/24
	refused 1 '10.0.0.0/24 cannot be the address of a station' \
		--addr 10.0.0.0/24
	refused 1 '10.0.0.255/24 cannot be the address of a station' \
		--addr 10.0.0.255/24
}

run_tests "$@"
