#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# tow serve --ftp, to unmodified clients: sessions, listings, downloads.
#
#	curl, lftp, tnftp, wget, python -- kernel -- tow0 -- tow serve -- files
#	     | control: port 21                    |
#	     | data:    a port of the range        |
# shellcheck source=tests/e2e/lib.sh
. "${0%/*}/lib.sh"
enter_namespaces "$@"

ftp4="ftp://$tow4" ftp6="ftp://[$tow6]"

expect()
{
	[[ $1 == "$2" ]] || fail "$3: '$1' instead of '$2'"
}

serve_ftp()
{
	serve "$work/www" --ftp 21 "$@"
}

# Says lines to the server and prints its replies: say ADDRESS LINE...
say()
{
	python3 - "$@" <<-'END'
		import socket, sys
		with socket.create_connection((sys.argv[1], 21), 10) as s:
		    s.sendall(b''.join(line.encode('latin1') + b'\r\n'
		                       for line in sys.argv[2:]) + b'QUIT\r\n')
		    got = b''
		    while more := s.recv(65536):
		        got += more
		sys.stdout.buffer.write(got.replace(b'\r', b''))
	END
}

# The codes alone, in one line.
codes()
{
	say "$@" | sed -n 's/^\([0-9][0-9][0-9]\) .*/\1/p' | tr '\n' ' '
}

in_lftp()
{
	LC_ALL=C.UTF-8 HOME=$work lftp -c "set net:max-retries 2; set net:timeout 10; set xfer:clobber yes; $1"
}

in_tnftp()
{
	(cd "$work" && HOME=$work tnftp -n -i "$@" 2>&1)
}

test_every_client_downloads_whole_files_by_both_families()
{
	local url
	needs curl lftp tnftp wget
	make_file "$work/www/dir/f" 30M
	serve_ftp --stats "$work/stats.json"
	for url in "$ftp4" "$ftp6"; do
		curl -sSf -m 20 -o "$work/curl" "$url/dir/f"
		same "$work/curl" "$work/www/dir/f"
		in_lftp "open $url; get dir/f -o $work/lftp"
		same "$work/lftp" "$work/www/dir/f"
		wget -q -T 10 -O "$work/wget" "$url/dir/f"
		same "$work/wget" "$work/www/dir/f"
	done
	curl -sSf -m 20 --disable-epsv -o "$work/curl" "$ftp4/dir/f"
	same "$work/curl" "$work/www/dir/f"
	printf 'user anonymous x\nbinary\nget dir/f tnftp\nquit\n' |
		in_tnftp "$tow4" >/dev/null
	same "$work/tnftp" "$work/www/dir/f"
	stop
	expect "$(stat_of "$work/stats.json" ledger.tx.lent_bytes)" \
		$((8 * (30 << 20))) 'bytes lent'
	(($(stat_of "$work/stats.json" ledger.tx.copied_bytes) < 20000)) ||
		fail 'files were copied'
	expect "$(stat_of "$work/stats.json" ftp.downloads)" 8 downloads
	grep -q '"RETR /dir/f FTP" 226 31457280$' "$work/serve.log"
}

test_small_and_empty_files_and_many_of_them()
{
	local i
	needs curl lftp
	mkdir -p "$work/www/d"
	: >"$work/www/d/empty"
	for i in {1..300}; do
		echo "file $i" >"$work/www/d/f$i"
	done
	serve_ftp
	curl -sSf -m 5 -o "$work/empty" "$ftp4/d/empty"
	[[ -f $work/empty && ! -s $work/empty ]]
	in_lftp "open $ftp4; mirror -P 8 d $work/copy" >/dev/null
	diff -r "$work/www/d" "$work/copy"
	stop
}

test_downloads_are_resumed()
{
	needs curl lftp wget
	make_file "$work/www/f" 10M
	serve_ftp
	for client in curl lftp wget; do
		head -c 3M "$work/www/f" >"$work/$client"
	done
	curl -sSf -m 20 -C - -o "$work/curl" "$ftp4/f"
	in_lftp "open $ftp4; get -c f -o $work/lftp"
	wget -q -c -T 10 -O "$work/wget" "$ftp4/f"
	for client in curl lftp wget; do
		same "$work/$client" "$work/www/f"
	done
	curl -sSf -m 5 -r 1000-1999 -o "$work/part" "$ftp4/f"
	cmp "$work/part" <(tail -c +1001 "$work/www/f" | head -c 1000)
	stop
	expect "$(grep -c 'RETR /f FTP" 226 7340032' "$work/serve.log")" 3 resumed
}

test_a_file_in_pieces_at_a_time()
{
	needs lftp
	make_file "$work/www/f" 50M
	serve_ftp
	in_lftp "open $ftp4; pget -n 8 f -o $work/got" >/dev/null
	same "$work/got" "$work/www/f"
	stop
}

# RFC 3659 5.4: an offset behind the end is none
test_a_restart_behind_the_end_is_refused()
{
	echo hello >"$work/www-f" && mkdir "$work/www" && mv "$work/www-f" "$work/www/f"
	serve_ftp
	expect "$(codes "$tow4" 'USER ftp' 'PASS x' 'REST 7' 'PASV' 'RETR f')" \
		'220 331 230 350 227 554 221 ' codes
	expect "$(codes "$tow4" 'USER ftp' 'PASS x' 'REST x' 'REST 1 2' 'REST 9223372036854775808')" \
		'220 331 230 501 501 501 221 ' codes
	stop
}

odd_names=(' leading' 'trailing ' 'a"b' "a'b" '-rf' 'a%20b' 'über' '☃' '*?[x]' 'a\b'
	'a;b=c' $'bell\a' $'latin1\xe4' '...' '#x' 'a:b')

test_odd_names_are_listed_and_fetched()
{
	local name
	needs lftp
	mkdir -p "$work/www"
	for name in "${odd_names[@]}"; do
		echo "this is $name" >"$work/www/$name"
	done
	serve_ftp
	python3 -W ignore - "$tow4" "$work/www" <<-'END'
		import ftplib, os, sys
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10, encoding='latin1')
		there = {os.fsencode(n).decode('latin1') for n in os.listdir(sys.argv[2])
		         if not n.startswith('.')}
		assert set(ftp.nlst()) == there, set(ftp.nlst()) ^ there
		assert {n for n, facts in ftp.mlsd()} == there
		lines = []
		ftp.dir(lines.append)
		assert {line[59:] for line in lines} == there, lines
		for name in there | {'...'}:
		    got = []
		    ftp.retrbinary('RETR ' + name, got.append)
		    path = os.path.join(sys.argv[2].encode(), name.encode('latin1'))
		    assert b''.join(got) == open(path, 'rb').read(), name
		    assert ftp.size(name) == os.path.getsize(path)
		ftp.quit()
	END
	# lftp leaves out hidden names, and what is not UTF-8 it would convert.
	rm "$work/www/..." "$work/www/"latin1*
	in_lftp "open $ftp4; mirror . $work/copy" >/dev/null
	diff -r "$work/www" "$work/copy"
	stop
}

# A name with a line end in it makes no line of its own, on either connection.
test_a_name_with_line_ends_forges_nothing()
{
	mkdir -p "$work/www/"$'x\r\n226 forged'
	echo x >"$work/www/"$'y\r\nforged'
	serve_ftp
	python3 - "$tow4" <<-'END'
		import ftplib, sys
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10, encoding='latin1')
		lines = []
		ftp.dir(lines.append)
		assert len(lines) == 2 and all('??' in line for line in lines), lines
		assert not [n for n in ftp.nlst() if n.startswith(('forged', '226'))]
		s = ftp.sock
		s.sendall(b'CWD x\r\0\n226 forged\r\n')
		assert ftp.getresp  # a LF alone ends a line: two commands
		assert s.recv(1000).startswith(b'550 ')
	END
	stop
}

test_hidden_names_are_listed_when_asked_for()
{
	mkdir -p "$work/www/.dir"
	echo x >"$work/www/.hidden"
	echo x >"$work/www/seen"
	serve_ftp
	expect "$(curl -sS -m 5 -l "$ftp4/" | tr -d '\r')" seen 'NLST'
	expect "$(curl -sS -m 5 "$ftp4/" | grep -c hidden)" 0 LIST
	python3 - "$tow4" <<-'END'
		import ftplib, sys
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10)
		assert sorted(ftp.nlst('-a')) == ['.dir', '.hidden', 'seen']
		assert sorted(ftp.nlst('.h*')) == ['.hidden']
		assert ftp.nlst('s*') == ['seen']
		assert ftp.nlst('/s*') == ['/seen']
		assert ftp.nlst('/seen') == ['/seen']
		assert ftp.nlst('nothing*') == []
		assert ftp.size('.hidden') == 2
		for command in ('NLST gone', 'LIST gone', 'MLSD seen'):
		    try:
		        ftp.retrlines(command)
		        raise SystemExit(command + ' did not fail')
		    except ftplib.error_perm as error:
		        assert str(error).startswith('550'), error
	END
	stop
}

test_facts_and_times_are_right()
{
	make_file "$work/www/f" 12345
	touch -d '2001-02-03 04:05:06 UTC' "$work/www/f"
	serve_ftp
	say "$tow4" 'USER ftp' 'PASS x' 'SIZE f' 'MDTM f' 'OPTS MLST size;modify;' \
		'MLST f' 'SIZE /' 'STAT f' >"$work/said"
	grep -qx '213 12345' "$work/said"
	grep -qx '213 20010203040506' "$work/said"
	grep -qx '200 MLST OPTS size;modify;' "$work/said"
	grep -qx ' size=12345;modify=20010203040506; /f' "$work/said"
	grep -qx '550 Is a directory.' "$work/said"
	grep -q '^ -rw.* 12345 Feb  3  2001 f$' "$work/said"
	stop
}

test_moving_about()
{
	mkdir -p "$work/www/a/b"
	ln -s a/b "$work/www/link"
	serve_ftp
	say "$tow4" 'USER ftp' 'PASS x' PWD 'CWD a' 'CWD b' PWD CDUP XPWD 'CWD /link' \
		PWD XCUP PWD 'CWD ../../../..' PWD 'CWD nowhere' >"$work/said"
	expect "$(sed -n 's/^257 "\(.*\)"/\1/p' "$work/said" | tr '\n' ' ')" \
		'/ /a/b /a /link / / ' 'working directories'
	grep -qx '550 No such file or directory.' "$work/said"
	stop
}

# The kernel keeps lookups below the directory; names above it are below it.
test_nothing_outside_of_the_directory_is_reached()
{
	mkdir -p "$work/www/dir" "$work/secret"
	echo secret >"$work/secret/f"
	echo secret >"$work/f"
	ln -s ../secret "$work/www/up"
	ln -s "$work/secret" "$work/www/absolute"
	ln -s ../f "$work/www/file"
	ln -s dir "$work/www/inside"
	echo inside >"$work/www/dir/f"
	mkfifo "$work/www/fifo"
	serve_ftp
	for path in ../f ../../etc/passwd /../secret/f up/f absolute/f file fifo dir; do
		! curl -sS -m 5 --path-as-is -o "$work/got" "$ftp4/$path" \
			2>"$work/err" || fail "$path was sent"
		! grep -q secret "$work/got" 2>/dev/null
	done
	expect "$(codes "$tow4" 'USER ftp' 'PASS x' 'CWD up' 'CWD absolute' \
		'CWD up/..' 'SIZE file' 'MDTM up/f' 'MLST file' 'CWD inside')" \
		'220 331 230 550 550 250 550 550 550 250 221 ' codes
	expect "$(curl -sS -m 5 "$ftp4/inside/f")" inside 'a link that stays inside'
	expect "$(curl -sS -m 5 -l "$ftp4/" | tr -d '\r' | sort | tr '\n' ' ')" \
		'dir inside ' 'names'
	stop
}

test_without_writable_nothing_is_written()
{
	echo x >"$work/x"
	mkdir -p "$work/www/d"
	echo f >"$work/www/f"
	serve_ftp
	expect "$(codes "$tow4" 'USER ftp' 'PASS x' PASV 'STOR g' 'APPE f' 'DELE f' \
		'MKD e' 'RMD d' 'RNFR f' 'RNTO g')" \
		'220 331 230 227 550 550 550 550 550 550 550 221 ' codes
	stop
	expect "$(find "$work/www" | sort | sed "s|$work||" | tr '\n' ' ')" \
		'/www /www/d /www/f ' files
}

# RFC 2577 3: no bounce; RFC 2428: EPSV ALL
test_active_mode_and_others_are_refused()
{
	serve_ftp
	expect "$(codes "$tow4" 'USER ftp' 'PASS x' 'PORT 192,0,2,1,0,25' \
		'EPRT |1|192.0.2.1|25|' 'SITE CHMOD 777 x' 'AUTH TLS' STOU REIN \
		'RETR f' 'EPSV 2' 'EPSV 3' 'EPSV ALL' PASV 'EPSV 1')" \
		'220 331 230 502 502 502 502 502 502 425 522 522 200 501 229 221 ' codes
	expect "$(codes "$tow6" 'USER ftp' 'PASS x' PASV 'EPSV 1' 'EPSV 2')" \
		'220 331 230 501 522 229 221 ' codes
	stop
}

# All commands in one segment, and one byte in each.
test_pipelined_and_dribbled_commands()
{
	make_file "$work/www/f" 1000
	serve_ftp
	expect "$(codes "$tow4" 'user ftp' 'pass x' 'type i' 'SIZE f' 'noop' 'XPWD' \
		'TYPE E' 'MODE B' 'STRU R' 'MODE S' 'STRU F' 'ALLO 5 R 7' 'nonsense' \
		'HELP' 'HELP RETR' 'SYST' 'OPTS UTF8 ON' 'STAT' 'CWD')" \
		'220 331 230 200 213 200 257 504 504 504 200 200 200 500 214 214 215 200 211 501 221 ' codes
	python3 - "$tow4" <<-'END'
		import socket, sys, time
		s = socket.create_connection((sys.argv[1], 21), 10)
		s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		for byte in b'USER ftp\r\nPASS x\r\n\xff\xfb\x18SIZE f\r\nQUIT\r\n':
		    s.send(bytes([byte]))
		    time.sleep(0.002)
		got = b''
		while more := s.recv(4096):
		    got += more
		assert b'\xff\xfe\x18' in got and b'213 1000\r\n' in got, got
	END
	stop
}

test_long_lines_and_nuls_are_refused()
{
	serve_ftp
	python3 - "$tow4" <<-'END'
		import socket, sys
		s = socket.create_connection((sys.argv[1], 21), 10)
		s.sendall(b'USER ' + b'a' * 1000000 + b'\r\nNO\0OP\r\nNOOP\r\nQUIT\r\n')
		got = b''
		while more := s.recv(4096):
		    got += more
		codes = [line[:3] for line in got.split(b'\r\n') if line]
		assert codes == [b'220', b'500', b'501', b'200', b'221'], got
	END
	stop
}

# A command behind a transfer waits for it; STAT and ABOR do not.
test_commands_during_a_transfer()
{
	make_file "$work/www/f" 60M
	serve_ftp
	python3 - "$tow4" <<-'END'
		import ftplib, socket, sys, time
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10)
		ftp.voidcmd('TYPE I')

		# The client takes a little of it, and asks how it goes.
		data = ftp.transfercmd('RETR f')
		data.recv(1000)
		ftp.putcmd('STAT')
		assert 'RETR: ' in ftp.getmultiline()
		ftp.putcmd('SIZE f')	# waits its turn
		ftp.sock.settimeout(0.5)
		try:
		    raise SystemExit('too early: ' + ftp.getline())
		except TimeoutError:
		    pass
		ftp = None

		# RFC 959 4.1.3
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10)
		ftp.voidcmd('TYPE I')
		data = ftp.transfercmd('RETR f')
		data.recv(1000)
		ftp.sock.sendall(b'\xff\xf4')
		ftp.sock.send(b'\xff', socket.MSG_OOB)
		ftp.sock.sendall(b'\xf2ABOR\r\n')
		assert ftp.getline().startswith('426')
		assert ftp.getline().startswith('226')
		assert ftp.size('f') == 60 << 20	# the session goes on
		ftp.putcmd('ABOR')
		assert ftp.getline().startswith('226')

		# Pipelined: two transfers and QUIT, as the connections come.
		port = ftplib.parse229(ftp.sendcmd('EPSV'), ftp.sock.getpeername())[1]
		ftp.sock.sendall(b'RETR f\r\nSIZE f\r\nQUIT\r\n')
		data = socket.create_connection((sys.argv[1], port), 10)
		got = 0
		while more := data.recv(1 << 20):
		    got += len(more)
		assert got == 60 << 20
		said = [ftp.getline()[:3] for _ in range(4)]
		assert said == ['150', '226', '213', '221'], said
	END
	stop
}

# RFC 2577 4: a data connection is its control connection's client's alone.
test_a_stranger_gets_no_data_connection()
{
	make_file "$work/www/f" 1000
	ip addr replace 192.0.2.77/32 dev lo
	serve_ftp
	python3 - "$tow4" <<-'END'
		import ftplib, socket, sys
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10)
		ftp.voidcmd('TYPE I')
		port = ftplib.parse229(ftp.sendcmd('EPSV'), ftp.sock.getpeername())[1]
		ftp.putcmd('RETR f')
		assert ftp.getline().startswith('150')
		try:
		    stranger = socket.create_connection((sys.argv[1], port), 10,
		                                        ('192.0.2.77', 0))
		    assert stranger.recv(1000) == b'', 'a stranger got the file'
		except ConnectionResetError:
		    pass
		data = socket.create_connection((sys.argv[1], port), 10)
		assert len(data.recv(2000)) == 1000
		assert ftp.getline().startswith('226')
		try: # one connection, then the port is closed
		    socket.create_connection((sys.argv[1], port), 10)
		    raise SystemExit('the port is still open')
		except ConnectionRefusedError:
		    pass
	END
	stop
}

test_data_connections_have_ports_of_the_range()
{
	serve_ftp --ftp-ports 50000-50003
	python3 - "$tow4" <<-'END'
		import ftplib, sys
		ports = set()
		ftps = [ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10) for _ in range(4)]
		for ftp in ftps:
		    ports.add(ftplib.parse227(ftp.sendcmd('PASV'))[1])
		assert ports == {50000, 50001, 50002, 50003}, ports
		fifth = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10)
		try:
		    fifth.sendcmd('PASV')
		    raise SystemExit('a fifth port')
		except ftplib.error_temp as error:
		    assert str(error).startswith('425'), error
		ftps[0].sendcmd('PASV') # one's own is given back first
	END
	stop
}

make_users()
{
	python3 -W ignore - >"$work/users" <<-'END'
		import crypt
		print('# who may come')
		print('ann:' + crypt.crypt('secret', crypt.METHOD_SHA512))
		print('bob:' + crypt.crypt('other', crypt.METHOD_BLOWFISH))
	END
}

test_who_is_in_the_file_logs_in_and_nobody_else()
{
	make_users
	make_file "$work/www/f" 1000
	serve_ftp --ftp-users "$work/users"
	curl -sSf -m 5 -o "$work/got" "ftp://ann:secret@$tow4/f"
	same "$work/got" "$work/www/f"
	expect "$(codes "$tow4" 'USER bob' 'PASS other' PWD)" '220 331 230 257 221 ' bob
	expect "$(codes "$tow4" 'USER bob' 'PASS wrong' 'USER bob' 'PASS other')" \
		'220 331 530 331 230 221 ' 'the second try'
	expect "$(codes "$tow4" 'USER anonymous' 'PASS x' PWD 'RETR f')" \
		'220 331 530 530 530 221 ' anonymous
	expect "$(codes "$tow4" 'PASS secret' PWD 'USER ann' 'PASS secret' 'USER bob' 'PASS x')" \
		'220 503 530 331 230 530 202 221 ' 'out of turn'
	stop
	grep -q -- '- - .*"USER /*bob FTP" 530 0$' "$work/serve.log" ||
		fail 'no refused login in the log'
	grep -q -- '- ann .*"RETR /f FTP" 226 1000$' "$work/serve.log"
}

test_without_a_file_of_users_there_is_anonymous_alone()
{
	serve_ftp
	expect "$(codes "$tow4" 'USER bob' 'PASS x' PWD 'USER anonymous' 'PASS x' PWD)" \
		'220 331 530 530 331 230 257 221 ' 'no file'
	stop
}

# Three wrong ones are the end, and take 1 + 2 + 3 seconds; names that there
# are not take as long as others.
test_wrong_passwords_cost_time()
{
	make_users
	serve_ftp --ftp-users "$work/users"
	python3 - "$tow4" <<-'END'
		import socket, sys, threading, time
		took = {}
		def guess(user, password):
		    s = socket.create_connection((sys.argv[1], 21), 20)
		    start = time.time()
		    for _ in range(4):
		        s.sendall(b'USER %s\r\nPASS %s\r\n' % (user, password))
		    got = b''
		    try:
		        while more := s.recv(4096):
		            got += more
		    except ConnectionResetError:
		        pass
		    assert got.count(b'530 ') == 3, got
		    took[user] = time.time() - start
		guesses = [threading.Thread(target=guess, args=pair) for pair in (
		           (b'ann', b'x'), (b'nobody', b'x'), (b'bob', b'x' * 600))]
		for thread in guesses:
		    thread.start()
		for thread in guesses:
		    thread.join()
		assert len(took) == 3 and min(took.values()) >= 6, took
		assert max(took.values()) - min(took.values()) < 2, took
	END
	stop
}

test_a_bad_file_of_users_ends_the_start()
{
	local status=0
	echo 'ann:plain' >"$work/users"
	"$TOW" serve "$work" --ftp 21 --ftp-users "$work/users" "${addresses[@]}" \
		>"$work/out" 2>&1 || status=$?
	expect "$status" 1 status
	grep -q 'users:1: this is no hash of crypt(3)' "$work/out"
	status=0
	"$TOW" serve "$work" --ftp 21 --ftp-ports 5-4 "${addresses[@]}" \
		>"$work/out" 2>&1 || status=$?
	expect "$status" 2 status
}

test_sessions_have_limits()
{
	serve_ftp --ftp-per-client 2 --ftp-sessions 3 --ftp-idle 2
	ip addr replace 192.0.2.77/32 dev lo
	python3 - "$tow4" "$tow6" <<-'END'
		import socket, sys, time
		def come(address, source=None):
		    s = socket.create_connection((address, 21), 10,
		                                 source and (source, 0))
		    return s, s.recv(1000)
		one, hello = come(sys.argv[1])
		assert hello.startswith(b'220 ')
		two, hello = come(sys.argv[1])
		assert hello.startswith(b'220 ')
		three, hello = come(sys.argv[1])
		assert hello.startswith(b'421 '), hello
		other, hello = come(sys.argv[2])
		assert hello.startswith(b'220 '), hello
		four, hello = come(sys.argv[1], '192.0.2.77')
		assert hello.startswith(b'421 '), hello
		start = time.time()
		assert one.recv(1000).startswith(b'421 ')
		assert 1 < time.time() - start < 5
		assert one.recv(1000) == b''
		one.close()
		time.sleep(0.5)
		five, hello = come(sys.argv[1])
		assert hello.startswith(b'220 '), hello
	END
	stop
}

# An idle session is told; a transfer that is under way may end.
test_sigterm_lets_transfers_end()
{
	make_file "$work/www/f" 60M
	serve_ftp
	python3 - "$tow4" "$served" <<-'END'
		import ftplib, os, signal, sys
		idle = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10)
		ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10)
		ftp.voidcmd('TYPE I')
		data = ftp.transfercmd('RETR f')
		got = len(data.recv(1000))
		os.kill(int(sys.argv[2]), signal.SIGTERM)
		assert idle.getline().startswith('421')
		while more := data.recv(1 << 20):
		    got += len(more)
		assert got == 60 << 20, got
		data.close()
		assert ftp.getline().startswith('226')
		assert ftp.getline().startswith('421')
	END
	wait "$served" || fail "the server exited with $?"
	served=
}

# A session that ends in mid-transfer, however, and a data connection, leave
# nothing on loan: the server would wait for it when it ends.
test_clients_that_vanish_leave_nothing()
{
	local i start
	make_file "$work/www/f" 60M
	serve_ftp --stats "$work/stats.json"
	for i in 1 2 3; do
		curl -s -m 60 --limit-rate 4M -o "$work/part$i" "$ftp4/f" &
		wait_for 10 test -s "$work/part$i"
		kill -KILL $!
		wait $! 2>/dev/null || true
	done
	python3 - "$tow4" <<-'END'
		import ftplib, socket, struct, sys
		for which in ('control', 'data'):
		    for hard in (False, True):
		        ftp = ftplib.FTP(sys.argv[1], 'ftp', 'x', timeout=10)
		        ftp.voidcmd('TYPE I')
		        data = ftp.transfercmd('RETR f')
		        data.recv(1000)
		        gone = ftp.sock if which == 'control' else data
		        if hard:
		            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
		                            struct.pack('ii', 1, 0))
		        if which == 'control':
		            ftp.file.close()
		        gone.close()
		        if which == 'data':
		            assert ftp.getline().startswith('426')
		            assert ftp.size('f') == 60 << 20
	END
	start=$SECONDS
	stop
	((SECONDS - start < 5)) || fail 'it waited for somebody'
	expect "$(stat_of "$work/stats.json" ftp.broken_off)" 7 'broken off'
}

test_a_truncated_file_ends_its_transfer()
{
	make_file "$work/www/f" 60M
	cp "$work/www/f" "$work/before"
	serve_ftp
	curl -s -m 60 --limit-rate 8M -o "$work/got" "$ftp4/f" &
	wait_for 10 test -s "$work/got"
	truncate -s 1M "$work/www/f"
	! wait $! || fail 'curl believes that it was the whole'
	cmp -n "$(stat -c %s "$work/got")" "$work/got" "$work/before" >&2 ||
		fail 'bytes that are not the file'\''s'
	curl -sSf -m 5 -o "$work/got" "$ftp4/f"
	stop
	grep -q '"RETR /f FTP" 426' "$work/serve.log"
}

test_http_and_ftp_serve_at_the_same_time()
{
	local i clients=()
	make_file "$work/www/f" 20M
	serve_ftp
	for i in {1..6}; do
		curl -sSf -m 60 -o "$work/got.$i" "$url4/f" &
		clients+=($!)
		curl -sSf -m 60 -o "$work/got.ftp.$i" "$ftp6/f" &
		clients+=($!)
	done
	wait "${clients[@]}"
	for i in {1..6}; do
		same "$work/got.$i" "$work/www/f"
		same "$work/got.ftp.$i" "$work/www/f"
	done
	stop
}

test_downloads_over_a_bad_link_arrive_whole()
{
	needs lftp
	make_file "$work/www/f" 20M
	serve_ftp --dev fault:loss=1%,reorder=3,dup=1%,seed=7:tap
	in_lftp "open $ftp4; get f -o $work/got; pget -n 4 f -o $work/pget" >/dev/null
	same "$work/got" "$work/www/f"
	same "$work/pget" "$work/www/f"
	stop
}

run_tests "$@"
