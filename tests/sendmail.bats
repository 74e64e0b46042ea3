#!/usr/bin/env bats
# sendmail: its options, the message it makes of what it reads, its exit statuses; the programs that use it.
# shellcheck disable=SC2030,SC2031,SC2034
load helper
load servers
load queue

setup() {
	setup_mail
	need_program systemd-socket-activate
	mkdir -p "$ROOT/mx.example.test/root" "$ROOT/mx.example.test/$(id -un)"
	DIR=$BATS_TEST_TMPDIR
	CONF=$DIR/conf
	printf '%s\n' "submit = $DIR/socket" 'hostname = mx.example.test' >"$CONF"
	printf '#!/bin/sh\nexec %s -C %s "$@"\n' "$(dirname "$HANDLER")/sendmail" "$CONF" >"$DIR/sendmail"
	chmod +x "$DIR/sendmail"
	ME=$(id -un)@mx.example.test
}

# listen [OPTION...]: the local socket.
listen() {
	launch systemd-socket-activate --accept --inetd -l "$DIR/socket" "$HANDLER" "${SETTINGS[@]}" -o profile=local "$@"
	until_true [ -S "$DIR/socket" ]
}
sendmail() { clean_env timeout 60 "$DIR/sendmail" "$@"; }

# got BOX: its only message, from the header of the sender's on, without Date and Message-ID.
got() {
	local box=$ROOT/$1
	[ "$(count "$box")" = 1 ] || { echo "$(count "$box") messages in $1"; return 1; }
	sed '1,/^	.*+0000$/d' "$(new_files "$box")" | sed '1,/^$/{/^Date: \|^Message-ID: /d}'
}
sender() { sed -n '1s/^Return-Path: <\(.*\)>$/\1/p' "$(new_files "$ROOT/$1")"; }
alice=example.test/alice bob=example.test/bob

@test "recipients as arguments; the sender is the user; From, Date and Message-ID are added" {
	listen
	printf 'Subject: x\n\nhello\n' | sendmail -F 'A. B' alice@example.test bob@example.test
	[ "$(got $alice)" = $'Subject: x\nFrom: "A. B" <'"$ME"$'>\n\nhello' ]
	[ "$(got $bob)" = "$(got $alice)" ]
	[ "$(sender $alice)" = "$ME" ]
	grep -q '^Date: ' "$(new_files "$ROOT/$alice")"
	grep -q '^Message-ID: <' "$(new_files "$ROOT/$alice")"
}

@test "bare names are this host's; a message without a header has one then" {
	listen
	printf 'no header here\n' | sendmail root
	[ "$(got mx.example.test/root | tail -n 2)" = $'\nno header here' ]
	got mx.example.test/root | grep -q '^From: '
}

@test "-t: To, Cc, Bcc with groups, comments, names, folds; Bcc is not sent; arguments are added; each once" {
	listen
	for box in c d e f g; do mkdir "$ROOT/example.test/$box"; done
	sendmail -t -i g@example.test <<-'E'
		From: "X" <x@y.example>
		To: "Alice, A." <alice@example.test>, team: c@example.test,
		 (a comment, <nobody@example.test>) d@example.test;
		Cc: <e@example.test>, ALICE@EXAMPLE.TEST, alice@example.test
		Bcc: f@example.test
		Subject: x

		body
	E
	for box in alice c d e f g; do
		[ "$(got example.test/$box | grep -c '^Bcc')" = 0 ]
		got example.test/$box | grep -q '^To: "Alice, A." <alice@example.test>, team: c@example.test,$'
	done
}

@test "-t: Resent- fields count alone" {
	listen
	printf 'From: x@y.example\nTo: bob@example.test\nResent-To: alice@example.test\nResent-From: z@y.example\n\nbody\n' | sendmail -t
	[ "$(count "$ROOT/$alice") $(count "$ROOT/$bob")" = '1 0' ]
}

@test "a dot alone ends the message, or with -i does not; other dots are text; CR LF is a line end" {
	listen
	dots=$'\n.a\n..\n. \nend\n.\nafter'
	printf 'From: a@b.example\n%s\n' "$dots" | sendmail alice@example.test
	[ "$(got $alice)" = $'From: a@b.example\n\n.a\n..\n. \nend' ]
	printf 'From: a@b.example\n%s\n' "$dots" | sendmail -oi bob@example.test
	[ "$(got $bob)" = $'From: a@b.example\n'"$dots" ]
	printf 'From: a@b.example\r\n\r\nx\r\n.\r\ny\r\n' | sendmail root
	[ "$(got mx.example.test/root)" = $'From: a@b.example\n\nx' ]
}

@test "-f, -r, the null sender; an mbox line in front; no newline at the end; 5 MB go through a file" {
	listen
	printf 'From someone Thu Jan  1 00:00:00 1970\nFrom: a@b.example\n\nno newline' | sendmail -fx@y.example alice@example.test
	[ "$(sender $alice)" = x@y.example ]
	[ "$(got $alice)" = $'From: a@b.example\n\nno newline' ]
	printf 'From: a@b.example\n\n' | sendmail -r '' bob@example.test
	[ "$(sender $bob)" = '' ]
	{ printf 'From: a@b.example\n\n'; head -c 5000000 /dev/zero | tr '\0' x | fold -w 70; echo; } >"$DIR/big"
	sendmail -f '<>' -i root <"$DIR/big"
	got mx.example.test/root | cmp - "$DIR/big"
}

@test "exit statuses, and what is said: 64, 65, 67, 68, 75, 77, 78" {
	run -75 sendmail alice@example.test < <(echo hello)
	[[ $output == *"$DIR/socket"* ]]
	echo 'nonsense = 1' >"$DIR/bad"
	run -78 clean_env "$(dirname "$HANDLER")/sendmail" -C "$DIR/bad" alice@example.test < <(echo hello)
	echo "info: alice" >"$ROOT/mx.example.test/.aliases"
	listen -o sender_check=yes -o "deliver="
	run -67 sendmail nobody@example.test alice@example.test < <(echo hello)
	[[ $output == *'nobody@example.test: 550 5.1.1 No such mailbox here'* ]]
	[ "$(count "$ROOT/$alice")" = 1 ]
	run -68 sendmail a@far.example < <(echo hello)
	run -77 sendmail -f alice@example.test bob@example.test < <(echo hello)
	run -65 sendmail -t < <(printf 'To: alice@\n\nx\n')
	run -65 sendmail bob@example.test < <(printf 'Subject: x\n\na\0b\n')
	run -64 sendmail < <(echo hello)
	run -64 sendmail -t < <(printf 'Subject: x\n\nx\n')
	run -64 sendmail -f $'x@y\n.example' bob@example.test < <(echo hello)
	run -64 sendmail -bd
	[ "$(count "$ROOT/$bob")" = 0 ]
	tmp_empty
}

@test "more recipients than a transaction takes: in several" {
	for i in $(seq 120); do mkdir "$ROOT/example.test/u$i"; done
	listen -o max_recipients=100
	seq -f 'u%g@example.test' 120 | tr '\n' ',' | sed 's/,$/\n/; s/^/To: /' | cat - <(printf 'From: a@b.example\n\nx\n') | sendmail -t
	[ "$(find "$ROOT/example.test" -path '*/u*/new/*' -type f | wc -l)" = 120 ]
}

@test "one that is killed in mid-message sends nothing" {
	listen
	mkfifo "$DIR/fifo"
	exec {pipe}<>"$DIR/fifo"
	clean_env "$(dirname "$HANDLER")/sendmail" -C "$CONF" alice@example.test <"$DIR/fifo" 3>&- {pipe}>&- &
	local pid=$!
	printf 'From: a@b.example\n\nhalf' >&"$pipe"
	until_true taken
	kill -KILL "$pid"
	run -137 wait "$pid"
	[ "$(count "$ROOT/$alice")" = 0 ]
	tmp_empty
}
# taken: all that is in the pipe was read.
taken() { "$PYTHON" -c 'import array, fcntl, sys, termios; a = array.array("i", [1]); fcntl.ioctl(int(sys.argv[1]), termios.FIONREAD, a); sys.exit(a[0] > 0)' "$pipe"; }

@test "-bs is the dialogue; newaliases and -bv are maildir-deliver's" {
	listen
	printf 'EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n\r\nx\r\n.\r\nQUIT\r\n' | sendmail -bs | grep -q '^250 2.0.0 Ok, stored'
	echo 'x: alice@example.test' >"$DIR/aliases"
	sendmail -bi "$DIR/aliases"
	[ -e "$DIR/aliases.cdb" ]
	printf '%s\n' "mail_root = $ROOT" 'local_domains = none' >>"$CONF"
	sendmail -bv alice@example.test | grep -q '^alice@example.test: '
	sendmail -q
}

@test "options out of a visitor's hand, and a file that he has uploaded, execute nothing" {
	printf '%s\n' 'auth_plaintext = yes' "auth = checkpassword:/usr/bin/touch $DIR/pwned" "deliver = /usr/bin/touch" >>"$CONF"
	run -75 sendmail -t -i -bs < <(printf 'EHLO x\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\nQUIT\r\n')
	[ ! -e "$DIR/pwned" ]
}

# --- programs ---

program() { need_program "$1"; listen; }

@test "cron's way" {
	listen
	printf 'From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> true\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nAuto-Submitted: auto-generated\nX-Cron-Env: <A=b>\n\nGr\xc3\xbc\xc3\x9fe\n' |
		sendmail -i -FCronDaemon -B8BITMIME -oem root
	got mx.example.test/root | grep -q 'Grüße'
	[ "$(got mx.example.test/root | grep -c '^From: ')" = 1 ]
}

@test "s-nail (mail)" {
	program s-nail
	echo hello | clean_env HOME="$DIR" timeout 60 s-nail -n -S mta="$DIR/sendmail" -S v15-compat -s 'a subject' alice@example.test
	got $alice | grep -q '^Subject: a subject'
}

@test "mutt" {
	program mutt
	printf 'set sendmail="%s -oem -oi"\nset copy=no\n' "$DIR/sendmail" >"$DIR/muttrc"
	echo hello | clean_env HOME="$DIR" timeout 60 mutt -F "$DIR/muttrc" -s 'a subject' alice@example.test
	got $alice | grep -q '^Subject: a subject'
}

@test "PHP's mail()" {
	program php
	clean_env timeout 60 php -d "sendmail_path=$DIR/sendmail -t -i" -r 'exit(mail("alice@example.test", "a subject", "hello\n", "From: web@example.test") ? 0 : 1);'
	got $alice | grep -q '^Subject: a subject'
}

@test "git send-email" {
	program git
	if ! [ -x "$(git --exec-path)/git-send-email" ] || ! perl -MMail::Address -e 1 2>/dev/null; then skip "no git send-email here (Debian: git-email)"; fi
	printf 'From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: A <a@example.test>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\nSubject: [PATCH] x\n\n---\n' >"$DIR/0001-x.patch"
	(cd "$DIR" && git init -q . && clean_env HOME="$DIR" timeout 60 git -c user.name=A -c user.email=a@example.test send-email --quiet --confirm=never \
		--smtp-server="$DIR/sendmail" --to alice@example.test --suppress-cc=all 0001-x.patch)
	got $alice | grep -q '^Subject: \[PATCH\] x'
}

@test "-N, -R, -V: what the sender wants to be told, and by which id" {
	setup_queue
	listen
	printf 'Subject: x\n\nhello\n' | sendmail -N success,failure -R hdrs -V 'id 7+8' alice@example.test
	printf 'Subject: y\n\nhello\n' | sendmail alice@example.test
	[ "$(count "$ROOT/$alice")" = 2 ]
	clean_env SMTP_LOG=stderr timeout 60 "$(dirname "$HANDLER")/smtp-queue" "${SETTINGS[@]}" run
	# one report, of the one it was asked for
	[ "$(count "$ROOT/${ME#*@}/${ME%@*}")" = 1 ]
	run cat "$(new_files "$ROOT/${ME#*@}/${ME%@*}")"
	[[ $output == *$'\nOriginal-Envelope-Id: id 7+8\n'*$'\nAction: delivered\n'* ]]
	[[ $output != *hello* ]]
	for wrong in '-N sometimes' '-N never,success' '-R all' "-V $(printf '%0101d' 0)"; do
		# shellcheck disable=SC2086
		run -64 sendmail $wrong alice@example.test </dev/null
	done
	run -0 sendmail -N never alice@example.test <<<hello
}

@test "origin is the domain of senders without one, whom sender_check then knows; recipients without one are here" {
	local me
	me=$(id -un)
	echo 'origin = example.org' >>"$CONF"
	listen -o sender_check=yes -o origin=example.org
	printf 'Subject: x\n\nhello\n' | sendmail alice@example.test "$me"
	[ "$(sender $alice)" = "$me@example.org" ]
	got $alice | grep -qF "<$me@example.org>"
	[ "$(count "$ROOT/mx.example.test/$me")" = 1 ]
	printf 'Subject: x\n\nhello\n' | sendmail -f "$me" bob@example.test
	[ "$(sender $bob)" = "$me@example.org" ]
	# nobody else's, neither there nor here
	for other in somebody "somebody@mx.example.test" "$me@example.net"; do
		run -77 sendmail -f "$other" bob@example.test <<<$'Subject: x\n\nhello'
		[[ $output == *' 5.7.1 '* ]]
	done
	[ "$(count "$ROOT/$bob")" = 1 ]
}
