#!/usr/bin/env bats
# AUTH (RFC 4954): by a checkpassword program, by smtp-passwd, by Dovecot.
# shellcheck disable=SC2030,SC2031,SC2034
load helper
load servers
load tls

setup_file() { certificate mx.example.test; }
setup() {
	setup_mail
	command -v openssl >/dev/null || skip "no openssl here"
	PROGRAM=$BATS_TEST_TMPDIR/check
	cat >"$PROGRAM" <<-E
		#!$PYTHON
		import os, sys, time
		got = b""
		while (r := os.read(3, 512)): got += r
		open("$BATS_TEST_TMPDIR/asked", "ab").write(b"%r %r %r\n" % (got, sys.argv[1:], sorted(os.environ)))
		name, password = got.split(b"\0")[:2]
		if name in (b"alice", b"alice@example.test") and password == b"secret": os.execv(sys.argv[1], sys.argv[1:])
		if name == b"slow": time.sleep(600)
		if name == b"killed": os.kill(os.getpid(), 9)
		sys.exit(111 if name == b"trouble" else 1)
	E
	chmod +x "$PROGRAM"
	TLS=(-o "tls_certs=$CERTS")
	CLEAR=(-o auth_plaintext=yes -o "auth=checkpassword:$PROGRAM")
}

b64() { printf "$@" | base64 -w0; }
plain() { b64 '\0%s\0%s' "$1" "$2"; }
# ask LINE...: the replies, in clear text.
ask() {
	local OPTIONS=("${CLEAR[@]}")
	say "$@"
}

@test "offered within TLS, or with auth_plaintext = yes; HELO gets none" {
	[ "$(printf 'EHLO c\r\n' | strict "${CLEAR[@]}" | grep '^250.AUTH' | tr -d '\r')" = '250-AUTH PLAIN LOGIN' ]
	[ -z "$(printf 'EHLO c\r\n' | strict -o "auth=checkpassword:$PROGRAM" | grep AUTH)" ]
	[ -z "$(printf 'EHLO c\r\n' | strict "${CLEAR[@]}" -o profile=mx | grep AUTH)" ]
	run -0 strict "${CLEAR[@]}" < <(printf 'HELO c\r\nAUTH PLAIN %s\r\n' "$(plain alice secret)")
	[[ ${lines[2]} == '503 5.5.1 '* ]]
	run -0 strict -o "auth=checkpassword:$PROGRAM" < <(printf 'EHLO c\r\nAUTH PLAIN %s\r\n' "$(plain alice secret)")
	[[ $output == *'538 5.7.11 '* ]]
	[ ! -e "$BATS_TEST_TMPDIR/asked" ]
	run -0 strict < <(printf 'EHLO c\r\nAUTH PLAIN %s\r\n' "$(plain alice secret)")
	[[ $output == *'502 5.5.1 '* ]]
}

@test "PLAIN and LOGIN, with and without an initial response, over TLS and in clear text" {
	ok='235 2.7.0 Authentication successful'
	[ "$(ask "AUTH PLAIN $(plain alice secret)")" = "$ok" ]
	[ "$(ask "auth plain $(b64 'alice\0alice\0secret')")" = "$ok" ]
	[ "$(ask 'AUTH PLAIN' "$(plain alice secret)")" = $'334 \n'"$ok" ]
	[ "$(ask 'AUTH LOGIN' "$(b64 alice)" "$(b64 secret)")" = $'334 VXNlcm5hbWU6\n334 UGFzc3dvcmQ6\n'"$ok" ]
	[ "$(ask "AUTH LOGIN $(b64 alice)" "$(b64 secret)")" = $'334 UGFzc3dvcmQ6\n'"$ok" ]
	serve systemd_inetd "${TLS[@]}" -o auth=required -o "auth=checkpassword:$PROGRAM"
	smtp <<-'E'
		for initial in True, False:
		    s = connect()
		    s.starttls(context=tls)
		    s.ehlo()
		    assert s.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
		    assert reply("MAIL FROM:<a@b.example>") == "530 5.7.0 Authentication required"
		    s.login("alice", "secret", initial_response_ok=initial)
		    send()
		    s.quit()
	E
	[ "$(count "$ROOT/example.test/alice")" = 2 ]
	grep -rqF 'with ESMTPSA id' "$ROOT/example.test/alice/new"
	grep -q 'stored: .* user=<alice> tls=TLS1.3' "$LOG"
}

@test "what the program is told, and how: on descriptor 3 alone" {
	ask "AUTH PLAIN $(plain alice secret)" >/dev/null
	grep -F "b'alice\\x00secret\\x00Y\\x00'" "$BATS_TEST_TMPDIR/asked"
	grep -F "['/bin/true']" "$BATS_TEST_TMPDIR/asked"
	refute grep -E "secret.*secret" "$BATS_TEST_TMPDIR/asked"
	grep -F "'TCPREMOTEIP'" "$BATS_TEST_TMPDIR/asked"
}

@test "wrong, unknown, trouble, killed: 535 and 454; three refusals end the connection" {
	for user in alice nobody; do
		[ "$(ask "AUTH PLAIN $(plain $user wrong)")" = '535 5.7.8 Authentication failed' ]
	done
	for user in trouble killed; do
		[ "$(ask "AUTH PLAIN $(plain $user secret)" NOOP)" = $'454 4.7.0 Authentication is not available now\n250 2.0.0 Ok' ]
	done
	CLEAR=(-o auth_plaintext=yes -o auth=checkpassword:/nonexistent/program)
	[ "$(ask "AUTH PLAIN $(plain alice secret)")" = '454 4.7.0 Authentication is not available now' ]
	CLEAR=(-o auth_plaintext=yes -o "auth=checkpassword:$PROGRAM")
	[ "$(ask "AUTH PLAIN $(plain alice a)" "AUTH PLAIN $(plain bob b)" "AUTH PLAIN $(plain alice c)" NOOP)" = \
		$'535 5.7.8 Authentication failed\n535 5.7.8 Authentication failed\n421 4.7.0 Too many failed authentications' ]
	[ "$(grep -c 'authentication failed: peer=local user=<alice> mechanism=PLAIN reply="535 5.7.8' "$LOG")" = 3 ]
}

@test "a refusal is not heard before a second has passed, whatever the program takes" {
	start=$(date +%s%N)
	ask "AUTH PLAIN $(plain nobody x)" >/dev/null
	[ $(($(date +%s%N) - start)) -ge 1000000000 ]
}

@test "cancelled, broken base64, malformed messages, lines that are too long" {
	[ "$(ask 'AUTH LOGIN' '*' NOOP)" = $'334 VXNlcm5hbWU6\n501 5.7.0 Authentication cancelled\n250 2.0.0 Ok' ]
	[ "$(ask 'AUTH PLAIN' '*')" = $'334 \n501 5.7.0 Authentication cancelled' ]
	for bad in '!' 'YQ=' 'YQ' 'YR==' 'Y Q=' '===='; do
		[ "$(ask 'AUTH PLAIN' "$bad" NOOP)" = $'334 \n501 5.5.2 This is not base64\n250 2.0.0 Ok' ]
	done
	for bad in 'alice' 'alice\0secret' '\0alice\0' '\0\0secret' '\0alice\0sec\0ret' 'bob\0alice\0secret' '\0al\nice\0secret' '\0\377\0x'; do
		[ "$(ask "AUTH PLAIN $(b64 "$bad")")" = '501 5.5.2 Malformed authentication message' ]
	done
	[ "$(ask 'AUTH PLAIN =')" = '501 5.5.2 Malformed authentication message' ]
	long=$(head -c 13000 /dev/zero | tr '\0' A)
	[ "$(ask 'AUTH PLAIN' "$long" NOOP)" = $'334 \n500 5.5.6 Line too long\n250 2.0.0 Ok' ]
	[ "$(ask "NOOP ${long:0:5000}" NOOP)" = $'500 5.5.6 Line too long\n250 2.0.0 Ok' ]
	[ "$(ask "AUTH PLAIN ${long:0:12000}")" = '501 5.5.2 Malformed authentication message' ]
	[ "$(ask AUTH 'AUTH CRAM-MD5' 'AUTH PLAI')" = $'501 5.5.4 This command wants an argument\n504 5.5.4 No such authentication mechanism here\n504 5.5.4 No such authentication mechanism here' ]
	[ ! -e "$BATS_TEST_TMPDIR/asked" ]
}

@test "once only, and not within a transaction; EHLO leaves it, AUTH= of the client is dropped" {
	[ "$(ask "AUTH PLAIN $(plain alice secret)" "AUTH PLAIN $(plain alice secret)")" = $'235 2.7.0 Authentication successful\n503 5.5.1 Already authenticated' ]
	[ "$(ask 'MAIL FROM:<a@b.example>' "AUTH PLAIN $(plain alice secret)")" = $'250 2.1.0 Sender ok\n503 5.5.1 Not within a transaction' ]
	[ "$(ask 'MAIL FROM:<a@b.example> AUTH=bob' RSET 'MAIL FROM:<a@b.example> AUTH=<>' RSET 'MAIL FROM:<a@b.example> AUTH=a+0Ab' 'MAIL FROM:<a@b.example> AUTH=+zz')" = \
		$'250 2.1.0 Sender ok\n250 2.0.0 Ok\n250 2.1.0 Sender ok\n250 2.0.0 Ok\n501 5.5.4 Bad parameter\n501 5.5.4 Bad parameter' ]
}

@test "a password never comes to the log, whatever goes wrong" {
	p=$(b64 'hunter2secret')
	ask 'AUTH LOGIN' "$(b64 alice)" "$p" "$p" "AUTH PLAIN $p" "AUTH LOGIN" '*' "$p" "AUTH $p" NOOP >/dev/null
	ask " AUTH PLAIN $p" $'\t'"AUTH PLAIN $p" >/dev/null
	CLEAR=(-o "auth=checkpassword:$PROGRAM")
	ask 'AUTH LOGIN' "$(b64 alice)" "$p" >/dev/null
	say 'AUTH LOGIN' "$(b64 alice)" "$p" >/dev/null
	refute grep -F "$p" "$LOG"
	refute grep -F hunter2 "$LOG"
	grep -q 'bad command: <(not shown)>' "$LOG"
}

@test "smtp-passwd: names and hashes in a file" {
	passwords=$BATS_TEST_TMPDIR/passwd
	tool=$(dirname "$HANDLER")/smtp-passwd
	echo secret | "$tool" --set alice@example.test "$passwords"
	CLEAR=(-o auth_plaintext=yes -o "auth=file:$passwords")
	[ "$(ask "AUTH PLAIN $(plain alice@example.test secret)")" = '235 2.7.0 Authentication successful' ]
	[ "$(ask "AUTH PLAIN $(plain alice@example.test wrong)")" = '535 5.7.8 Authentication failed' ]
	[ "$(ask "AUTH PLAIN $(plain bob secret)")" = '535 5.7.8 Authentication failed' ]
	CLEAR=(-o auth_plaintext=yes -o "auth=file:$passwords.none")
	[ "$(ask "AUTH PLAIN $(plain bob secret)")" = '454 4.7.0 Authentication is not available now' ]
	grep -q 'smtp-passwd: .*none: No such file' "$LOG"
}

@test "the user goes to maildir-deliver, which checks the sender if sender_check = yes" {
	CLEAR+=(-o sender_check=yes -o "sender_table=$BATS_TEST_TMPDIR/table")
	printf 'sales@example.test: bob, alice@example.test\n@lists.test: alice@example.test\n' >"$BATS_TEST_TMPDIR/table"
	echo 'info: alice' >"$ROOT/example.test/.aliases"
	sent() { ask "AUTH PLAIN $(plain alice@example.test secret)" "MAIL FROM:<$1>" 'RCPT TO:<bob@example.test>' | tail -n 1; }
	for mine in alice@example.test alice+x@example.test info@example.test sales@example.test SALES@Example.Test x@lists.test ''; do
		[ "$(sent "$mine")" = '250 2.1.5 Recipient ok' ]
	done
	for other in bob@example.test nobody@example.test a@b.example; do
		[ "$(sent "$other")" = '553 5.7.1 This sender address is not yours' ]
	done
	# who has not logged in is not asked
	OPTIONS=(-o sender_check=yes)
	[ "$(say 'MAIL FROM:<bob@example.test>' 'RCPT TO:<bob@example.test>' | tail -n 1)" = '250 2.1.5 Recipient ok' ]
	CLEAR+=(-o "sender_table=/nonexistent")
	[ "$(sent a@b.example)" = '451 4.3.5 Mail system is not configured properly, try again later' ]
}

@test "a name that reads like nobody's in AUTH= is checked like any other" {
	printf '#!/bin/sh\ncat <&3 >/dev/null\n' >"$PROGRAM"
	run -0 strict "${CLEAR[@]}" -o sender_check=yes < <(printf '%s\r\n' 'EHLO c' "AUTH PLAIN $(plain '<>' secret)" 'MAIL FROM:<alice@example.test>' 'RCPT TO:<alice@example.test>' QUIT)
	[[ $output == *'235 '*'553 5.7.1 '* ]]
}

@test "a user whose name is long and not ASCII can send" {
	printf '#!/bin/sh\ncat <&3 >/dev/null\n' >"$PROGRAM"
	printf -v name 'ü%.0s' {1..127}
	run -0 strict "${CLEAR[@]}" < <(printf '%s\r\n' 'EHLO c' "AUTH PLAIN $(plain "$name" secret)" 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' QUIT)
	[[ $output == *'235 '*'250 2.1.5 '* ]]
}

@test "a foreign domain: 550 5.7.1 for strangers, 550 5.1.2 for users as long as nothing is sent" {
	[ "$(ask 'MAIL FROM:<a@b.example>' 'RCPT TO:<x@far.example>' | tail -n 1)" = '550 5.7.1 Mail for that domain is not taken here' ]
	[ "$(ask "AUTH PLAIN $(plain alice secret)" 'MAIL FROM:<a@b.example>' 'RCPT TO:<x@far.example>' | tail -n 1)" = '550 5.1.2 Leads to another host, and no mail is sent from here' ]
}
