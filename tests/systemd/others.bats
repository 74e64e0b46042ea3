#!/usr/bin/env bats
# The other ways to run it: smtp-tcpserver.service in place of smtp.socket; what happens at the socket between the two programs.
load helper

@test "tcpserver: takes the port over from smtp.socket, and gives it back" {
	tcpserver
	state smtp.socket inactive
	deliver_one alice one
	systemctl start smtp.socket
	state smtp-tcpserver.service inactive
	deliver_one alice two
}

@test "tcpserver: mail arrives; its id finds it in the journal; the client hears no log" {
	tcpserver
	setting 'log_level = debug'
	deliver_one alice one
	refute grep -v '^[2-5][0-9][0-9][ -]' "$BATS_TEST_TMPDIR/said"
	local id
	id=$(sed -nE 's/^250 2.0.0 Ok, stored with id ([0-9a-f]{16,32}\.1)\r$/\1/p' "$BATS_TEST_TMPDIR/said")
	[ -n "$id" ]
	trace "$(message alice one)" | grep -F "id $id"
	entries -o json "SMTP_ID=$id" | grep '"MESSAGE_ID":"8b3a7e1c5d0f4c52a6f1de3b9c704a11"' | grep '"SMTP_RCPT":"alice@example.test"'
}

@test "tcpserver: a new program and setting at the next connection, a stop and a start, rude clients: an old session lives on" {
	tcpserver
	to_data
	send 'Subject: old' '' half
	sed 's/Unknown command/UNKNOWN COMMAND/' /tmp/build/smtp-handler >"$BATS_TEST_TMPDIR/new"
	program "$BATS_TEST_TMPDIR/new"
	second_session
	send 'EHLO c' WHAT && expect 250 && expect '500 5.5.1 UNKNOWN COMMAND'
	first_session
	systemctl stop smtp-tcpserver.service
	run ! tcp </dev/null
	tcpserver
	[ "$(clients rude 200)" = 200 ]
	deliver_one bob new
	send whole . && expect '250 2.0.0 Ok'
	send QUIT && expect '221 ' && closed
	message alice old
	[ "$(find $ROOT -type f | wc -l)" = 2 ]
	state smtp-tcpserver.service active
}

# helper_unit: sets $HELPER, the maildir-deliver of the one connection, and $UNIT.
helper_unit() {
	HELPER=$(pgrep -o -f '^/usr/bin/maildir-deliver --lmtp')
	UNIT=$(unit_of "$HELPER")
	[[ $UNIT = maildir-deliver@*.service ]]
}

@test "the socket between: mail arrives by a unit of its own, in one copy each" {
	to_rcpt
	helper_unit
	[ "$(stat -c %U "/proc/$HELPER")" = root ]
	send 'RCPT TO:<bob@example.test>' DATA && expect '250 2.1.5' && expect 354
	send 'Subject: x' '' x . && expect '250 2.0.0 Ok'
	send 'RCPT TO:<bob@example.test>' QUIT && expect 503 && expect '221 ' && closed
	[ "$(count $ROOT/example.test/alice) $(count $ROOT/example.test/bob)" = '1 1' ]
	soon idle
	[ -z "$(failures)" ]
}

@test "the socket between: with strict.conf on both sides" {
	strict_conf smtp@.service maildir-deliver@.service
	deliver_one alice x
	soon idle
	[ -z "$(failures)" ]
}

@test "the socket between: rude clients leave nothing behind on either side" {
	[ "$(clients rude 200)" = 200 ]
	soon idle
	nothing_stored
	[ -z "$(failures)" ]
	deliver_one alice x
}

@test "the socket between: maildir-deliver is killed, or its socket gone: a temporary error, and the connection goes on" {
	to_data
	send 'Subject: x' '' half
	helper_unit
	kill -KILL "$HELPER"
	send whole . && expect 451
	systemctl stop maildir-deliver.socket
	send 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' && expect '250 2.1.0' && expect 451
	nothing_stored
	systemctl start maildir-deliver.socket
	send RSET 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' DATA && expect 250 && expect '250 2.1.0' && expect '250 2.1.5' && expect 354
	send 'Subject: x' '' x . && expect '250 2.0.0 Ok'
	send QUIT && expect '221 ' && closed
	[ "$(count $ROOT/example.test/alice)" = 1 ]
	soon logged 'cannot connect to unix:/run/smtp-handler/deliver.sock'
}

@test "the socket between: maildir-deliver is stopped in the middle of a message: it finishes that" {
	to_data
	send 'Subject: x' '' half
	helper_unit
	systemctl stop --no-block "$UNIT"
	soon state "$UNIT" deactivating
	send whole . && expect '250 2.0.0 Ok'
	send QUIT && expect '221 ' && closed
	message alice x
}
