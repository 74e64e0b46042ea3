#!/usr/bin/env bats
# What a fresh Debian does after "make install" and "systemctl enable --now smtp.socket": mail for the users of this host, with no configuration at all.
load helper

setup() {
	rm -f /etc/smtp-handler.conf /etc/aliases /home/carol/.forward
	find /home/carol/Maildir -type f -delete 2>/dev/null || true
	systemctl start "$SOCKET"
	# shellcheck disable=SC2034  # read by entries
	SINCE=@$EPOCHREALTIME
}

# to RCPT... : a message for them; prints the replies to RCPT and the message.
to() {
	local rcpts=()
	for rcpt; do rcpts+=("RCPT TO:<$rcpt>"); done
	lines 'EHLO c' 'MAIL FROM:<a@b.example>' "${rcpts[@]}" DATA 'Subject: x' '' hello . QUIT | tcp | sed -n '/^250 2.1.0/,/^221/p' | tr -d '\r' | grep -v '^250 2.1.0\|^354\|^221'
}
letters() { find "/home/$1/Maildir/new" -type f 2>/dev/null; }

@test "carol@HOST and carol@localhost: into ~carol/Maildir, as carol" {
	run -0 to "carol@$(hostname)" carol@localhost
	echo "$output"
	[ "$(letters carol | wc -l)" = 1 ]
	[ "$(stat -c '%U:%G %a' "$(letters carol)")" = 'carol:carol 600' ]
	[ "$(stat -c '%U:%G %a' /home/carol/Maildir /home/carol/Maildir/new | sort -u)" = 'carol:carol 700' ]
	soon idle
	[ -z "$(failures)" ]
	refute logged 'Killing process'
}

@test "root and unknown users are refused; an alias brings root's mail to carol" {
	run to root@localhost nobody@localhost nosuch@localhost
	[ "$(grep -c '^550 5.1.1' <<<"$output")" = 3 ]
	echo 'root: carol' >/etc/aliases
	run to root@localhost
	[ "${lines[0]}" = '250 2.1.5 Recipient ok' ]
	[ "$(letters carol | wc -l)" = 1 ]
}

@test "VRFY, EXPN and --where tell of it" {
	echo 'hostname = mx.example.test' >/etc/smtp-handler.conf
	setting 'vrfy = yes'
	printf 'staff: carol, alice@example.test\n' >/etc/aliases
	run -0 sh -c 'printf "EHLO c\r\nVRFY carol\r\nVRFY staff\r\nEXPN staff\r\nQUIT\r\n" | "$@"' sh bash -c 'exec 9<>/dev/tcp/127.0.0.1/25; cat >&9; cat <&9'
	grep -F '250 2.1.5 Carol Doe <carol@mx.example.test>' <<<"$output"
	grep -F '252 2.1.5' <<<"$output"
	grep -F '250-2.1.5 Carol Doe <carol@mx.example.test>' <<<"$output"
	grep -F '250 2.1.5 <alice@example.test>' <<<"$output"
	run -0 maildir-deliver --where staff
	grep -F 'alias, /etc/aliases line 1' <<<"$output"
	grep -F 'carol@mx.example.test: user carol' <<<"$output"
}

@test "strict.conf and strict-deliver.conf: the same" {
	strict_conf smtp@.service maildir-deliver@.service
	run -0 to carol@localhost
	[ "$(letters carol | wc -l)" = 1 ]
	soon idle
	[ -z "$(failures)" ]
}

@test "a stop in mid-message, and a killed maildir-deliver, leave nothing in the home" {
	dial && expect 220
	send 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<carol@localhost>' DATA 'Subject: x' '' half
	expect 250 && expect '250 2.1.0' && expect '250 2.1.5' && expect 354
	keeper && helper
	kill -KILL "$HELPER"
	send whole . && expect 451
	send QUIT && expect '221 ' && closed
	soon idle
	[ -z "$(find /home/carol/Maildir -type f)" ]
}
