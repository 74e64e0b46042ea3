#!/usr/bin/env bats
# Who the client is, when a proxy or another mail server stands before us: PROXY (versions 1 and 2), XCLIENT.
# shellcheck disable=SC2030,SC2031,SC2034,SC2120
load helper
load servers
load tls

setup() { setup_mail; }

# session: what is on standard input, octet for octet, over TCP; prints what comes back with LF line ends.
session() { tcp | tr -d '\r'; }
mail() { lines 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' DATA 'Subject: x' '' x . QUIT; }
received() { grep -rh -A3 '^Received:' "$ROOT/example.test/alice/new"; }

@test "version 1: its address is what Received, the log and XCLIENT's list see" {
	serve systemd_inetd -o 'proxy=127.0.0.0/8' -o xclient=203.0.113.9
	run -0 session < <(printf 'PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n'; mail)
	[ "${lines[0]}" = '220 mx.example.test ESMTP' ]
	[[ $output == *'250-XCLIENT '* ]]
	[[ $output == *'250 2.0.0 Ok, stored'* ]]
	received | grep -F '([203.0.113.9])'
	until_true grep -q 'ended: quit peer=203.0.113.9 ' "$LOG"
	refute grep -q 'peer=127.0.0.1' "$LOG"
}

@test "version 2: IPv6; LOCAL and UNKNOWN leave the proxy's own address" {
	serve systemd_inetd -o proxy=127.0.0.1
	{ printf '\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x01\0\0\x19'; mail; } | session >/dev/null
	received | grep -F '([IPv6:2001:db8::9])'
	{ printf '\r\n\r\n\0\r\nQUIT\n\x20\0\0\0'; lines 'NOOP' QUIT; } | session | grep -q '^250'
	{ printf 'PROXY UNKNOWN\r\n'; lines 'NOOP' QUIT; } | session | grep -q '^250'
	until_true grep -q 'ended: quit peer=127.0.0.1 ' "$LOG"
}

@test "a proxy that sends no header, a broken one, half of one, or none in time, is not served" {
	serve systemd_inetd -o proxy=127.0.0.1
	for head in 'EHLO c\r\n' 'PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n' 'PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\n' '\r\n\r\n\0\r\nQUIT\n\x21\x12\0\0'; do
		run -0 session < <(printf "$head")
		[ "$output" = '421 4.7.0 Expected a proxy header' ]
	done
	start=$SECONDS
	smtp <<-'E'
		c = socket.create_connection((host, port))
		c.sendall(b"PROXY TCP4 203.0")
		assert c.recv(100).startswith(b"421 4.7.0 "), 1
	E
	[ $((SECONDS - start)) -lt 20 ]
	until_true grep -q 'ended: no proxy header from a proxy peer=127.0.0.1' "$LOG"
	no_trace
}

@test "a header from who is no proxy ends the connection, and the log says what to do" {
	serve systemd_inetd -o proxy=192.0.2.0/24
	run -0 session < <(printf 'PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n'; mail)
	[ "$output" = $'220 mx.example.test ESMTP\n421 4.7.0 A proxy header is not taken from here' ]
	until_true grep -q 'a proxy that is not named in proxy =' "$LOG"
	no_trace
}

@test "XCLIENT: what it says is what counts, and the session begins anew" {
	serve systemd_inetd -o xclient=127.0.0.1
	run -0 session < <(lines 'EHLO c' 'XCLIENT NAME=spam.example ADDR=203.0.113.9 PORT=1 PROTO=ESMTP HELO=helo.example' 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' DATA '' x . QUIT)
	[ "$(grep -c '^220 mx.example.test' <<<"$output")" = 2 ]
	received | grep -F 'from helo.example ([203.0.113.9])'
	until_true grep -q 'stored: .* peer=203.0.113.9 helo=<helo.example>' "$LOG"
	# and who it is now may not
	session < <(lines 'EHLO c' 'XCLIENT ADDR=203.0.113.9' 'EHLO d' 'XCLIENT ADDR=127.0.0.1' QUIT) >"$BATS_TEST_TMPDIR/out"
	grep -q '^502 ' "$BATS_TEST_TMPDIR/out"
	run -0 session < <(lines 'EHLO c' 'XCLIENT WHO=x' 'XCLIENT ADDR=x' 'XCLIENT' 'MAIL FROM:<a@b.example>' 'XCLIENT ADDR=203.0.113.9' QUIT)
	echo "$output"
	[ "$(grep -c '^50[13] ' <<<"$output")" = 4 ]
}

@test "XCLIENT LOGIN: a user whom the server before us knows" {
	serve systemd_inetd -o xclient=127.0.0.1 -o auth=required
	run -0 session < <(lines 'EHLO c' 'MAIL FROM:<a@b.example>' 'XCLIENT LOGIN=alice+40example.test' 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' DATA '' x . QUIT)
	[[ $output == *'530 5.7.0 Authentication required'* ]]
	[[ $output == *'250 2.0.0 Ok, stored'* ]]
	received | grep -F 'with ESMTPA id'
	until_true grep -q 'user=<alice@example.test>' "$LOG"
	# a stranger is not offered it
	stop_all
	serve systemd_inetd
	run -0 session < <(lines 'EHLO c' 'XCLIENT LOGIN=alice' QUIT)
	[[ $output != *XCLIENT* ]]
	[[ $output == *'502 5.5.1 '* ]]
}

@test "a real HAProxy before us, version 1 and 2, with and without a checksum; and its health check" {
	[ -x "$PEERS/haproxy/usr/sbin/haproxy" ] || skip "no haproxy in $PEERS: tests/peers could not unpack it"
	lib=$(dirname "$PEERS"/wrap/usr/lib/*/libuid_wrapper.so)
	VARIABLES=("LD_LIBRARY_PATH=$PEERS/haproxy/usr/lib/${lib##*/}:$PEERS/haproxy/lib/${lib##*/}")
	serve systemd_inetd -o proxy=127.0.0.1
	ours=$PORT
	for version in send-proxy send-proxy-v2 'send-proxy-v2 proxy-v2-options crc32c,unique-id'; do
		front=$(free_port "$HOST")
		cat >"$BATS_TEST_TMPDIR/haproxy.cfg" <<-E
			global
			    maxconn 100
			defaults
			    mode tcp
			    timeout connect 5s
			    timeout client 30s
			    timeout server 30s
			frontend f
			    bind 127.0.0.1:$front
			    default_backend b
			backend b
			    source 127.0.0.1
			    option smtpchk HELO check.example
			    server s 127.0.0.1:$ours check inter 1s $version
		E
		launch "$PEERS/haproxy/usr/sbin/haproxy" -db -f "$BATS_TEST_TMPDIR/haproxy.cfg"
		PORT=$front
		until_true reachable
		smtp <<-'E'
			s = smtplib.SMTP(host, port, local_hostname="c.example", timeout=30, source_address=("127.0.0.77", 0))
			send()
			s.quit()
		E
		until_true grep -q 'stored: .* peer=127.0.0.77 ' "$LOG"
		until_true grep -q 'ended: quit peer=127.0.0.1 ' "$LOG"         # the check, which the proxy makes for itself
		kill "$SERVER"
		wait "$SERVER" || true
		: >"$LOG"
	done
	received | grep -cF '([127.0.0.77])' | grep -x 3
}
reachable() { exec 5<>"/dev/tcp/$HOST/$PORT" && exec 5>&-; } 2>/dev/null

@test "implicit TLS: the header comes before it, smtp-tls takes it and hands the address on" {
	command -v openssl >/dev/null || skip "no openssl here"
	certificate mx.example.test
	BEFORE=("$(dirname "$HANDLER")/smtp-tls" "${SETTINGS[@]}" -o "tls_certs=$CERTS" -o proxy=127.0.0.1)
	serve systemd_inetd -o proxy=127.0.0.1
	smtp <<-'E'
		c = socket.create_connection((host, port))
		c.sendall(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 465\r\n")
		t = tls.wrap_socket(c, server_hostname="mx.example.test")
		f = t.makefile("rwb", 0)
		def say(line=None):
		    if line: f.write(line + b"\r\n")
		    while (r := f.readline())[3:4] == b"-": pass
		    return r
		say(); say(b"EHLO c"); say(b"MAIL FROM:<a@b.example>"); say(b"RCPT TO:<alice@example.test>"); say(b"DATA")
		assert say(b"Subject: x\r\n\r\nx\r\n.")[:3] == b"250"
		assert say(b"QUIT")[:3] == b"221"
		c = socket.create_connection((host, port))
		try:
		    tls.wrap_socket(c, server_hostname="mx.example.test")
		    raise SystemExit("served without a header")
		except (ssl.SSLError, ConnectionError): pass
	E
	received | grep -F '([203.0.113.9])'
	received | grep -F '(TLS1.3 '
	until_true grep -q 'no proxy header from a proxy peer=127.0.0.1' "$LOG"
}
