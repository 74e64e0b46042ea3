#!/usr/bin/env bats
# Mail from users and from programs of this host: the profiles, what is added to a header, the local socket; and the clients that people use, with TLS and a password.
# shellcheck disable=SC2030,SC2031,SC2034
load helper
load servers
load tls

setup_file() { accounts; }
setup() {
	setup_mail
	command -v openssl >/dev/null || skip "no openssl here"
	SETTINGS+=(-o "tls_certs=$CERTS" -o "auth=file:$PASSWORDS")
}

only() { [ "$(count "$ROOT/example.test/bob")" = 1 ] && new_files "$ROOT/example.test/bob"; }
client() { clean_env HOME="$BATS_TEST_TMPDIR" timeout 60 "$@"; }
submitted() { grep -q '^	by mx.example.test with ESMTPSA id' "$(only)" && until_true grep -q 'stored: .* user=<alice@example.test> tls=TLS1' "$LOG"; }
implicit() { BEFORE=("$(dirname "$HANDLER")/smtp-tls" "${SETTINGS[@]}"); }
hello() { printf 'From: alice@example.test\r\nSubject: x\r\n\r\nhello\r\n'; }

# --- profiles ---

in_force() { "$HANDLER" "${SETTINGS[@]}" "${@:2}" --show-config | sed -n "s/^$1 = //p"; }

@test "a profile by -o counts more than the file, and less than what -o says itself; one in the file counts less than the file" {
	conf=$BATS_TEST_TMPDIR/conf
	printf '%s\n' 'tls = no' 'auth = may file:/x' 'add_headers = no' >"$conf"
	SETTINGS=(-C "$conf")
	[ "$(in_force tls) $(in_force auth) $(in_force add_headers)" = 'no may file:/x no' ]
	[ "$(in_force tls -o profile=submission)" = required ]
	[ "$(in_force auth -o profile=submission)" = 'required file:/x' ]
	[ "$(in_force add_headers -o profile=submission)" = yes ]
	[ "$(in_force tls -o tls=may -o profile=submission)" = may ]
	[ "$(in_force auth -o profile=submission -o auth=may)" = 'may file:/x' ]
	[ "$(in_force auth -o profile=mx)" = 'no file:/x' ]
	[ "$(in_force tls -o profile=local) $(in_force auth -o profile=local) $(in_force add_headers -o profile=local)" = 'no no file:/x yes' ]
	printf '%s\n' 'profile = submission' 'tls = may' >"$conf"
	[ "$(in_force tls)" = may ]
	[ "$(in_force auth)" = required ]
	run -78 "$HANDLER" "${SETTINGS[@]}" -o profile=relay --show-config
	[[ $output == *'expected mx, submission or local'* ]]
}

@test "submission: nothing without TLS, nothing without a password, Date and Message-ID where they are missing" {
	serve systemd_inetd -o profile=submission
	smtp <<-'E'
		s = connect()
		s.ehlo()
		assert reply("MAIL FROM:<a@b.example>") == "530 5.7.0 Must issue a STARTTLS command first"
		assert reply("AUTH PLAIN AGFsaWNlAHNlY3JldA==").startswith("530 ")
		s.starttls(context=tls)
		s.ehlo()
		assert reply("MAIL FROM:<a@b.example>") == "530 5.7.0 Authentication required"
		assert reply("VRFY bob").startswith("530 ") and reply("EXPN bob").startswith("530 ") and reply("RCPT TO:<bob@example.test>").startswith("530 ")
		assert reply("RSET")[:3] == reply("NOOP")[:3] == reply("HELP")[:3].replace("214", "250") == "250"
		s.login("alice@example.test", "secret")
		send("bob@example.test", "Subject: x\r\n\r\nhello\r\n", "alice@example.test")
		s.quit()
	E
	submitted
	grep -Eq '^Date: [A-Z][a-z]{2}, [0-9]+ [A-Z][a-z]{2} 20[0-9]{2} [0-9:]{8} \+0000$' "$(only)"
	id=$(sed -n 's/.*with ESMTPSA id \([0-9a-f.]*\)$/\1/p' "$(only)")
	grep -qx "Message-ID: <$id@mx.example.test>" "$(only)"
	[ "$(sed '1,/^$/d' "$(only)")" = hello ]
}

@test "local: the kernel says who it is; no password, no TLS; a user who may not be root is not" {
	cat >"$BATS_TEST_TMPDIR/conf" <<-E
		submit = $BATS_TEST_TMPDIR/socket
		hostname = mx.example.test
	E
	need_program systemd-socket-activate
	launch systemd-socket-activate --accept --inetd -l "$BATS_TEST_TMPDIR/socket" "$HANDLER" "${SETTINGS[@]}" -o profile=local
	until_true [ -S "$BATS_TEST_TMPDIR/socket" ]
	me=$(id -un)
	hello | clean_env "$(dirname "$HANDLER")/sendmail" -C "$BATS_TEST_TMPDIR/conf" bob@example.test
	grep -q '^	by mx.example.test with ESMTP id' "$(only)"
	until_true grep -q "stored: .* peer=local user=<$me> " "$LOG"
	grep -q '^Message-ID: ' "$(only)"
	printf 'EHLO c\r\nSTARTTLS\r\nAUTH PLAIN x\r\nQUIT\r\n' | clean_env "$(dirname "$HANDLER")/sendmail" -C "$BATS_TEST_TMPDIR/conf" -bs | grep -c '^502 ' | grep -x 2
	[ "$(id -u)" = 0 ] || return 0
	chmod 755 "$BATS_TEST_TMPDIR" "${BATS_TEST_TMPDIR%/*}" "${BATS_TEST_TMPDIR%/*/*}" 2>/dev/null || true
	chmod 666 "$BATS_TEST_TMPDIR/socket"
	"$PYTHON" - "$BATS_TEST_TMPDIR/socket" <<-'E'
		import os, socket, sys
		fd = os.open(os.path.dirname(sys.argv[1]), os.O_RDONLY)
		os.fchdir(fd)
		os.setgid(65534); os.setuid(65534)
		s = socket.socket(socket.AF_UNIX)
		s.connect(os.path.basename(sys.argv[1]))
		f = s.makefile("rwb", 0)
		f.readline(); f.write(b"EHLO c\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n\r\nx\r\n.\r\nQUIT\r\n"); f.read()
	E
	until_true grep -q "stored: .* peer=local user=<nobody> " "$LOG"
}

@test "local on a connection that is no local process's: 421" {
	serve systemd_inetd -o profile=local
	[ "$(tcp </dev/null | tr -d '\r')" = '421 4.3.0 Cannot serve now, try again later' ]
	grep -q 'profile = local, and the client is no process of this host' "$LOG"
}

# --- clients ---

@test "curl, msmtp and swaks: STARTTLS and a password" {
	serve systemd_inetd -o profile=submission
	hello >"$BATS_TEST_TMPDIR/in"
	local each
	for each in curl msmtp swaks; do
		if ! command -v $each >/dev/null; then continue; fi
		rm -rf "$ROOT/example.test/bob/new"
		: >"$LOG"
		case $each in
		curl) client curl -sS --ssl-reqd --insecure --user alice@example.test:secret "smtp://$HOST:$PORT/c.example" --mail-from alice@example.test --mail-rcpt bob@example.test \
			--upload-file "$BATS_TEST_TMPDIR/in" ;;
		msmtp) client msmtp --host=$HOST --port="$PORT" --domain=c.example --tls=on --tls-certcheck=off --auth=on --user=alice@example.test --passwordeval='echo secret' \
			--from=alice@example.test bob@example.test <"$BATS_TEST_TMPDIR/in" ;;
		swaks) client swaks --server "$HOST:$PORT" --helo c.example --tls --auth LOGIN --auth-user alice@example.test --auth-password secret --from alice@example.test --to bob@example.test ;;
		esac >"$BATS_TEST_TMPDIR/said" 2>&1 || { cat "$BATS_TEST_TMPDIR/said"; grep -q 'Net::SSLeay' "$BATS_TEST_TMPDIR/said" || return 1; continue; }
		submitted || { echo "by $each"; return 1; }
	done
}

@test "curl, msmtp and swaks: TLS from the first octet" {
	implicit
	serve systemd_inetd -o profile=submission
	hello >"$BATS_TEST_TMPDIR/in"
	local each
	for each in curl msmtp swaks; do
		if ! command -v $each >/dev/null; then continue; fi
		rm -rf "$ROOT/example.test/bob/new"
		: >"$LOG"
		case $each in
		curl) client curl -sS --insecure --user alice@example.test:secret "smtps://$HOST:$PORT/c.example" --mail-from alice@example.test --mail-rcpt bob@example.test \
			--upload-file "$BATS_TEST_TMPDIR/in" ;;
		msmtp) client msmtp --host=$HOST --port="$PORT" --domain=c.example --tls=on --tls-starttls=off --tls-certcheck=off --auth=on --user=alice@example.test --passwordeval='echo secret' \
			--from=alice@example.test bob@example.test <"$BATS_TEST_TMPDIR/in" ;;
		swaks) client swaks --server "$HOST:$PORT" --helo c.example --tls-on-connect --auth PLAIN --auth-user alice@example.test --auth-password secret --from alice@example.test --to bob@example.test ;;
		esac >"$BATS_TEST_TMPDIR/said" 2>&1 || { cat "$BATS_TEST_TMPDIR/said"; grep -q 'Net::SSLeay' "$BATS_TEST_TMPDIR/said" || return 1; continue; }
		submitted || { echo "by $each"; return 1; }
	done
}

@test "a client that sends as much as it may at once, as Thunderbird does" {
	serve systemd_inetd -o profile=submission
	smtp <<-'E'
		s = connect()
		s.starttls(context=tls)
		s.ehlo()
		assert s.has_extn("pipelining")
		s.login("alice@example.test", "secret")
		s.send(b"MAIL FROM:<alice@example.test> BODY=8BITMIME SIZE=20\r\nRCPT TO:<bob@example.test>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\n")
		assert [s.getreply()[0] for _ in range(4)] == [250, 250, 550, 354]
		s.send(b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n")
		assert [s.getreply()[0] for _ in range(2)] == [250, 221]
	E
	submitted
}
