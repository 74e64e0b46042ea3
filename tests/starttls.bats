#!/usr/bin/env bats
# STARTTLS as a client meets it: RFC 3207, and what has befallen others there.
# shellcheck disable=SC2030,SC2031,SC2034
load helper
load servers
load tls

setup_file() { certificate mx.example.test; }
setup() {
	setup_mail
	command -v openssl >/dev/null || skip "no openssl here"
	TLS=(-o "tls_certs=$CERTS")
}

received() { cat "$(new_files "$ROOT/example.test/alice" | head -n 1)"; }

@test "a message by STARTTLS; Received and the log tell of it; the offer is gone within TLS" {
	serve systemd_inetd "${TLS[@]}"
	smtp <<-'E'
		s = connect()
		s.ehlo()
		assert s.has_extn("starttls"), s.esmtp_features
		s.starttls(context=tls)
		assert s.sock.version() == "TLSv1.3"
		s.ehlo()
		assert not s.has_extn("starttls"), s.esmtp_features
		assert reply("STARTTLS") == "503 5.5.1 TLS is on already"
		send()
		assert s.quit()[0] == 221
	E
	received | grep -F '(TLS1.3 TLS_AES_128_GCM_SHA256)'
	received | grep -F 'by mx.example.test with ESMTPS id '
	until_true grep -q 'ended: quit peer=127.0.0.1 tls=TLS1.3 TLS_AES' "$LOG"
	tmp_empty
}

@test "TLS 1.2, a message of 10 MiB, octet for octet, and the end is a clean one" {
	serve systemd_inetd "${TLS[@]}"
	out=$(smtp <<-'E'
		import hashlib, random
		tls.maximum_version = ssl.TLSVersion.TLSv1_2
		body = b"".join(random.Random(1).choices([bytes([c]) * 70 + b"\r\n" for c in range(65, 90)], k=10 * 1024 * 1024 // 72))
		raw = socket.create_connection((host, port))
		f = raw.makefile("rwb", 0)
		def say(line=None):
		    if line: f.write(line + b"\r\n")
		    while True:
		        r = f.readline()
		        if r[3:4] != b"-": return r
		say(); say(b"EHLO c"); assert say(b"STARTTLS")[:3] == b"220"
		t = tls.wrap_socket(raw, server_hostname="mx.example.test", suppress_ragged_eofs=False)
		assert t.version() == "TLSv1.2", t.version()
		f = t.makefile("rwb", 0)
		say(b"EHLO c"); say(b"MAIL FROM:<a@b.example>"); say(b"RCPT TO:<alice@example.test>"); say(b"DATA")
		t.sendall(body + b".\r\nQUIT\r\n")
		assert say()[:3] == b"250"
		assert say()[:3] == b"221"
		assert f.read() == b""          # close_notify, or this is an error
		print(hashlib.sha256(body.replace(b"\r\n", b"\n")).hexdigest())
	E
	)
	received | grep -q '(TLS1.2 ECDHE-ECDSA-'
	[ "$(content "$(new_files "$ROOT/example.test/alice")" | sha256sum | cut -d' ' -f1)" = "$out" ]
}

@test "a client whose first guess of a group is not ours says its hello twice" {
	serve systemd_inetd "${TLS[@]}"
	for groups in P-521:P-256 P-521:X25519; do
		run clean_env timeout 20 openssl s_client -quiet -starttls smtp -connect "$HOST:$PORT" -tls1_3 -groups "$groups" -servername mx.example.test < <(printf 'QUIT\r\n')
		[[ $output == *'221 2.0.0 '* ]]
	done
}

@test "a command behind STARTTLS in the same packet is never carried out (CVE-2011-0411)" {
	serve systemd_inetd "${TLS[@]}"
	for injected in 'RSET\r\n' 'MAIL FROM:<evil@b.example>\r\nRCPT TO:<alice@example.test>\r\n' ' ' '\n' '\x16\x03\x01'; do
		out=$(smtp <<-E
			c = socket.create_connection((host, port))
			c.recv(1000)
			c.sendall(b'EHLO c\r\n')
			while b"250 " not in c.recv(4096): pass
			c.sendall(b'STARTTLS\r\n$injected')
			out = b""
			while True:
			    try: r = c.recv(4096)
			    except ConnectionResetError: break
			    if not r: break
			    out += r
			print(out.decode())
		E
		)
		[ "$(tr -d '\r' <<<"$out")" = '501 5.5.1 Nothing may follow STARTTLS before the answer' ]
	done
	no_trace
}

@test "a command between STARTTLS and the handshake is part of a handshake that fails" {
	serve systemd_inetd "${TLS[@]}"
	out=$(smtp <<-'E'
		c = socket.create_connection((host, port))
		f = c.makefile("rwb", 0)
		f.readline()
		f.write(b"EHLO c\r\n")
		while f.readline()[3:4] != b" ": pass
		f.write(b"STARTTLS\r\n")
		print(f.readline().decode().strip())
		f.write(b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n\r\nx\r\n.\r\nQUIT\r\n")
		rest = b""
		try:
		    while (r := f.read(1000)): rest += r
		except ConnectionResetError: pass
		print(b"250" in rest or b"220" in rest)
	E
	)
	[ "$out" = $'220 2.0.0 Ready to start TLS\nFalse' ]
	until_true grep -q 'TLS handshake failed' "$LOG"
	no_trace
}

@test "what was said before TLS is forgotten (P6)" {
	serve systemd_inetd "${TLS[@]}"
	smtp <<-'E'
		s = connect()
		s.ehlo()
		s.docmd("MAIL FROM:<evil@b.example>")
		s.docmd("RCPT TO:<alice@example.test>")
		s.starttls(context=tls)
		assert reply("DATA").startswith("503 "), 1
		assert reply("MAIL FROM:<a@b.example>") == "503 5.5.1 Say hello first"
		assert reply("AUTH PLAIN AGFsaWNlAHNlY3JldA==")[0] == "5"
		s.ehlo()
		assert reply("RCPT TO:<bob@example.test>").startswith("503 "), 2
		assert reply("DATA").startswith("503 "), 3
		send()
		s.quit()
	E
	received | grep -qF 'Return-Path: <a@b.example>'
	[ "$(count "$ROOT/example.test/bob")" = 0 ]
}

@test "tls = required: nothing but EHLO, NOOP, STARTTLS and QUIT before TLS" {
	serve systemd_inetd "${TLS[@]}" -o tls=required -o vrfy=yes
	smtp <<-'E'
		s = connect()
		for verb in "HELO c", "MAIL FROM:<a@b.example>", "RCPT TO:<alice@example.test>", "DATA", "RSET", "VRFY alice@example.test", "HELP":
		    assert reply(verb) == "530 5.7.0 Must issue a STARTTLS command first", verb
		assert reply("NOOP")[:3] == "250"
		s.ehlo()
		assert reply("MAIL FROM:<a@b.example>")[:3] == "530"
		s.send(b"BDAT 5 LAST\r\nRSET\n")
		assert s.getreply()[0] == 503           # and its octets are no command
		assert reply("NOOP")[:3] == "250"
		s.starttls(context=tls)
		s.ehlo()
		send()
		s.quit()
	E
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
}

@test "a certificate that is not there, or no program: 454, a line in the log, and nothing in clear text where TLS is required" {
	for wrong in tls_certs=/nonexistent tls_cert=/nonexistent/cert.pem 'tls=/nonexistent/smtp-tls'; do
		for use in may required; do
			: >"$LOG"
			serve systemd_inetd "${TLS[@]}" -o "$wrong" -o "tls=$use"
			smtp <<-E
				s = connect()
				s.ehlo()
				assert s.has_extn("starttls")
				assert reply("STARTTLS") == "454 4.7.0 TLS is not available now"
				assert reply("MAIL FROM:<a@b.example>")[:3] == ("250" if "$use" == "may" else "530")
				assert reply("RSET")[:3] == ("250" if "$use" == "may" else "530")
				s.quit()
			E
			until_true grep -q /nonexistent "$LOG"
			stop_all
		done
	done
	no_trace
}

@test "TLS that is not to be had is tried once in a connection, however often a client asks" {
	serve systemd_inetd "${TLS[@]}" -o tls_certs=/nonexistent
	smtp <<-'E'
		s = connect()
		for _ in range(3): assert reply("STARTTLS") == "454 4.7.0 TLS is not available now"
		s.quit()
	E
	until_true grep -q 'ended: quit' "$LOG"
	[ "$(grep -c 'tls_certs: ' "$LOG")" = 1 ]
}

@test "STARTTLS is offered where a certificate is configured, and not with tls = no" {
	[ "$(printf 'EHLO c\r\n' | strict | grep -c STARTTLS)" = 0 ]
	[ "$(printf 'EHLO c\r\n' | strict "${TLS[@]}" | grep -c STARTTLS)" = 1 ]
	[ "$(printf 'EHLO c\r\n' | strict -o tls_cert=/x | grep -c STARTTLS)" = 1 ]
	[ "$(printf 'EHLO c\r\nSTARTTLS\r\n' | strict "${TLS[@]}" -o tls=no | grep -c '^502 ')" = 1 ]
}

@test "a renewed certificate counts at the next connection" {
	certificate renewed.example.test
	serve systemd_inetd -o "tls_cert=$CERTS/renewed.example.test/fullchain.pem" -o "tls_key=$CERTS/renewed.example.test/privkey.pem"
	serial() { openssl s_client -starttls smtp -connect "$HOST:$PORT" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
	first=$(serial)
	certificate renewed.example.test
	[ -n "$first" ]
	[ "$first" != "$(serial)" ]
	rm -r "$CERTS/renewed.example.test"
}

@test "tls = unix: one smtp-tls waits, and forks for each; what has changed counts at the next connection" {
	need_program systemd-socket-activate
	certificate second.example.test
	dir=$BATS_TEST_TMPDIR
	cp "$CERTS/mx.example.test/"*.pem "$dir"
	cat "$dir/privkey.pem" >>"$dir/fullchain.pem"
	launch systemd-socket-activate -l "$dir/tls.sock" "$(dirname "$HANDLER")/smtp-tls" -C /dev/null -o "tls_cert=$dir/fullchain.pem" -o "tls_certs=$CERTS" --starttls
	waiting=$SERVER
	until_true [ -S "$dir/tls.sock" ]
	serve systemd_inetd -o tls_cert=/x -o "tls=may unix:$dir/tls.sock"
	subject() { openssl s_client -starttls smtp -connect "$HOST:$PORT" </dev/null 2>/dev/null | openssl x509 -noout -subject; }
	[ "$(subject)" = 'subject=CN = mx.example.test' ]
	openssl s_client -servername second.example.test -starttls smtp -connect "$HOST:$PORT" </dev/null 2>/dev/null | grep -F 'subject=CN = second.example.test'
	if [[ $("$HANDLER" -C /dev/null --show-config | grep '^sandbox') == *yes ]]; then
		launch openssl s_client -ign_eof -quiet -starttls smtp -connect "$HOST:$PORT"
		until_true walled
	fi
	smtp <<-'E'
		many = [connect() for _ in range(5)]
		for s in many: s.starttls(context=tls)
		for s in many:
		    s.ehlo()
		    send()
		    s.quit()
	E
	[ "$(count "$ROOT/example.test/alice")" = 5 ]
	cat "$CERTS/second.example.test/"*.pem >"$dir/new.pem"
	mv "$dir/new.pem" "$dir/fullchain.pem"
	[ "$(subject)" = 'subject=CN = second.example.test' ]
	# broken: 454, and good again at the next
	mv "$dir/fullchain.pem" "$dir/away.pem"
	smtp <<-'E'
		for _ in range(2):
		    s = connect()
		    s.ehlo()
		    assert reply("STARTTLS") == "454 4.7.0 TLS is not available now"
		    s.quit()
	E
	mv "$dir/away.pem" "$dir/fullchain.pem"
	[ "$(subject)" = 'subject=CN = second.example.test' ]
	# the same process all the time
	kill -0 "$waiting"
	rm -r "$CERTS/second.example.test"
}
# walled: the process that serves the connection can do no more than that
walled() { grep -q 'Seccomp:.2' "/proc/$(pgrep -n -x smtp-tls -P "$waiting")/status" && grep -q 'CapEff:.0*$' "/proc/$(pgrep -n -x smtp-tls -P "$waiting")/status"; }

@test "a client that never finishes its handshake is ended, and nothing is left" {
	serve systemd_inetd "${TLS[@]}" -o command_timeout=300ms
	smtp <<-'E'
		c = socket.create_connection((host, port))
		f = c.makefile("rwb", 0)
		f.readline()
		f.write(b"EHLO c\r\n")
		while f.readline()[3:4] != b" ": pass
		f.write(b"STARTTLS\r\n")
		f.readline()
		f.write(b"\x16\x03\x01\x02\x00\x01")
		assert f.read() == b""
	E
	until_true grep -q 'the client takes too long' "$LOG"
	until_true no_children
}
no_children() { [ -z "$(pgrep -P "$SERVER" smtp-)" ]; }

@test "a client that reads nothing and is gone: who waits to tell it more is told so at once" {
	serve systemd_inetd "${TLS[@]}"
	smtp <<-'E'
		import struct
		s = connect()
		s.starttls(context=tls)
		s.sock.settimeout(1)
		try:
		    while True: s.sock.sendall(b"HELP\r\n" * 500)
		except TimeoutError: pass
		s.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		s.close()
	E
	until_true grep -q 'ended: client has gone' "$LOG"
	until_true no_children
}

@test "a client that says no more, and says so by TCP alone, hears what becomes of its message" {
	serve systemd_inetd "${TLS[@]}"
	smtp <<-'E'
		for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
		    tls.maximum_version = version
		    s = connect()
		    s.starttls(context=tls)
		    s.ehlo()
		    assert s.mail("a@b.example")[0] == 250 and s.rcpt("alice@example.test")[0] == 250 and s.docmd("DATA")[0] == 354
		    s.sock.sendall(b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n")
		    socket.socket.shutdown(s.sock, socket.SHUT_WR)
		    assert s.getreply()[0] == 250 and s.getreply()[0] == 221
	E
}

@test "while the handler waits for its next hop, the client's impatience is none of smtp-tls's business" {
	printf '#!/bin/sh\nexec %q %q end hang\n' "$PYTHON" "$TESTS/fake-hop.py" >"$BATS_TEST_TMPDIR/hop"
	chmod +x "$BATS_TEST_TMPDIR/hop"
	serve systemd_inetd "${TLS[@]}" -o command_timeout=1s -o deliver_timeout=3s -o "deliver=$BATS_TEST_TMPDIR/hop"
	smtp <<-'E'
		s = connect()
		s.starttls(context=tls)
		s.ehlo()
		assert s.mail("a@b.example")[0] == 250 and s.rcpt("alice@example.test")[0] == 250 and s.docmd("DATA")[0] == 354
		s.sock.sendall(b"Subject: x\r\n\r\nhello\r\n.\r\n")
		s.sock.settimeout(0.5)
		try:
		    while True: s.sock.sendall(b"NOOP\r\n" * 500)
		except TimeoutError: pass               # nobody takes more, but the client has not gone
		s.sock.settimeout(30)
		assert s.getreply()[0] == 451
	E
}

@test "smtp-tls that is told to stop carries the last words of the handler, as at the end of the host" {
	serve systemd_inetd "${TLS[@]}"
	smtp <<-E
		import os, signal, subprocess
		def child(of, name): return int(subprocess.check_output(["pgrep", "-o", "-P", str(of), name]))
		s = connect()
		s.starttls(context=tls)
		s.ehlo()
		keeper = child($SERVER, "smtp-handler")
		os.kill(child(keeper, "smtp-tls"), signal.SIGTERM)
		assert reply("NOOP")[:3] == "250"
		os.kill(keeper, signal.SIGTERM)
		assert s.getreply()[0] == 421
	E
	until_true no_children
}

@test "handshakes cut or mangled in each message of the client: each process ends, and the next client is served" {
	[ "${HOSTILE:-}" = full ] && rounds=10000 LIMIT=1800 || rounds=200
	serve systemd_inetd "${TLS[@]}"
	smtp <<-E
		import contextlib, random
		r = random.Random(1)
		def said(b, o):
		    try: b.do_handshake()
		    except ssl.SSLWantReadError: pass
		    return o.read()
		def shake(c, n, cut):
		    i, o = ssl.MemoryBIO(), ssl.MemoryBIO()
		    tls.maximum_version = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)[n % 2]
		    b = tls.wrap_bio(i, o, server_hostname="mx.example.test")
		    words = said(b, o)
		    for _ in range(n // 2 % 2):         # its hello, or what follows the server's
		        c.sendall(words)
		        words = b""
		        while not words:
		            i.write(c.recv(65536))
		            words = said(b, o)
		    part = words[:r.randrange(len(words) + 1)]
		    c.sendall(bytes(r.randrange(256) if r.randrange(40) == 0 else x for x in part) if cut == "mangled" else part)
		for n in range($rounds):
		    c = socket.create_connection((host, port), timeout=30)
		    f = c.makefile("rwb", 0)
		    f.readline()
		    f.write(b"EHLO c\r\n")
		    while f.readline()[3:4] != b" ": pass
		    f.write(b"STARTTLS\r\n")
		    f.readline()
		    shake(c, n, "mangled" if n % 3 == 0 else "cut")
		    if n % 5 == 0: c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
		    with contextlib.suppress(OSError):      # it may have given up first
		        if n % 7 > 3: c.shutdown(socket.SHUT_WR)
		    f.close()
		    c.close()
		tls.maximum_version = ssl.TLSVersion.TLSv1_3
		s = connect()
		s.starttls(context=tls)
		s.ehlo()
		send()
		s.quit()
	E
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
	until_true no_children
	refute grep -E 'signal|does not end' "$LOG"
}

@test "a megabyte in records of an octet, and records that say they are larger than any may be" {
	serve systemd_inetd "${TLS[@]}"
	smtp <<-'E'
		import contextlib
		def begin():
		    s = connect()
		    s.ehlo()
		    s.docmd("STARTTLS")
		    return s
		# before the handshake, as handshake and as what it should not be; and within TLS
		def refused(c):
		    with contextlib.suppress(ConnectionError):
		        c.sendall(kind + b"\3\3\xff\xff" + b"x" * (1 << 20))
		    with contextlib.suppress(ConnectionError):
		        while c.recv(65536): pass
		for kind in b"\x16", b"\x17", b"\x15":
		    refused(begin().sock)
		    s = begin()
		    raw = s.sock
		    i, o = ssl.MemoryBIO(), ssl.MemoryBIO()
		    b = tls.wrap_bio(i, o, server_hostname="mx.example.test")
		    while True:
		        try: b.do_handshake()
		        except ssl.SSLWantReadError:
		            raw.sendall(o.read())
		            i.write(raw.recv(65536))
		        else: break
		    raw.sendall(o.read())
		    refused(raw)
		s = connect()
		s.starttls(context=tls)
		s.ehlo()
		s.mail("a@b.example")
		s.rcpt("alice@example.test")
		s.docmd("DATA")
		for octet in b"Subject: octets\r\n\r\n" + (b"x" * 998 + b"\r\n") * 1051 + b".\r\n": s.sock.send(b"%c" % octet)
		assert s.getreply()[0] == 250
		s.quit()
	E
	[ "$(stat -c %s "$ROOT"/example.test/alice/new/*)" -gt $((1 << 20)) ]
	until_true no_children
	refute grep -E 'signal|does not end' "$LOG"
}

# Whether a process has the private key in its memory: prints those that have.
key_scanner='
import re, subprocess, sys
key = subprocess.run(["openssl", "ec", "-in", sys.argv[1], "-noout", "-text"], capture_output=True, text=True).stdout
key = bytes.fromhex("".join(re.search(r"priv:\n((?:\s+[0-9a-f:]+\n)+)", key).group(1).split()).replace(":", ""))[-32:]
for pid in sys.argv[2:]:
    with open("/proc/%s/mem" % pid, "rb", 0) as mem:
        for line in open("/proc/%s/maps" % pid):
            a, b = (int(x, 16) for x in line.split()[0].split("-"))
            if line.split()[1][0] != "r" or "[v" in line: continue
            mem.seek(a)
            try: text = mem.read(b - a)
            except OSError: continue
            if key in text or key[::-1] in text: print(pid)
'

@test "the key is in no process that speaks SMTP" {
	[ "$(id -u)" = 0 ] || skip "only root can look into their memory"
	serve systemd_inetd "${TLS[@]}"
	[[ $("$HANDLER" -C /dev/null --show-config | grep '^sandbox') == *yes ]] || skip "this build has no sandbox, by which the test sees the end of the handshake"
	supervisor=$SERVER
	launch openssl s_client -ign_eof -quiet -starttls smtp -connect "$HOST:$PORT"
	until_true hands_shaken
	run -0 "$PYTHON" -c "$key_scanner" "$CERTS/mx.example.test/privkey.pem" "$keeper" "$(pgrep -P "$keeper" -x smtp-handler)"
	[ "$output" = '' ]
}
hands_shaken() { keeper=$(pgrep -P "$supervisor" -x smtp-handler) && tls_process=$(pgrep -P "$keeper" -x smtp-tls) && grep -q 'Seccomp:.2' "/proc/$tls_process/status"; }
