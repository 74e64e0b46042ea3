#!/usr/bin/env bats
# Mail arrives, and the journal tells all of it; upgrades and stops disturb no session.
load helper

# stored_id FILE: the session's id in its Received: field.
stored_id() { trace "$1" | sed -nE 's/.* id ([0-9a-f]{32})\.[0-9]+;?$/\1/p'; }

@test "systemd says that all is well with the units" {
	systemctl is-enabled smtp.socket
	systemctl is-active smtp.socket
	run systemd-analyze --man=no verify /lib/systemd/system/{smtp.socket,smtp@.service,maildir-deliver.socket,maildir-deliver@.service,smtp-tcpserver.service}
	echo "$output"
	[ "$status" = 0 ]
	[ -z "$output" ]
}

@test "curl and swaks: the message is there; its id finds the whole session in the journal, with fields and explanations" {
	printf 'Subject: by curl\r\n\r\nhello\r\n' >"$BATS_TEST_TMPDIR/message"
	curl -sS 'smtp://[::1]/client.example.org' --mail-from a@b.example --mail-rcpt alice@example.test --upload-file "$BATS_TEST_TMPDIR/message"
	swaks --server 127.0.0.1 --helo client.example.org --from a@b.example --to nobody@example.test,bob@example.test --header 'Subject: by swaks' >"$BATS_TEST_TMPDIR/swaks"
	content "$(message alice 'by curl')" | cmp - <(printf 'Subject: by curl\n\nhello\n')
	[ "$(stat -c '%U %a' "$(message alice 'by curl')")" = 'vmail 600' ]
	trace "$(message alice 'by curl')" | grep -F 'from client.example.org ([IPv6:::1])'
	trace "$(message bob 'by swaks')" | grep -F 'from client.example.org ([127.0.0.1])'
	local id
	id=$(stored_id "$(message bob 'by swaks')")
	soon session_ended "$id"
	entries -o json "_SYSTEMD_INVOCATION_ID=$id" | "$PYTHON" -c '
import json, sys
entries = {e["MESSAGE_ID"][-2:]: e for e in map(json.loads, sys.stdin)}
print(json.dumps(entries, indent=1))
assert sorted(entries) == ["11", "13", "14"]
id, (stored, refused, ended) = sys.argv[1], (entries[k] for k in ("11", "13", "14"))
want = {"SMTP_ID": id + ".1", "SMTP_PEER": "127.0.0.1", "SMTP_FROM": "a@b.example", "SMTP_RCPT": "bob@example.test", "SYSLOG_IDENTIFIER": "smtp-handler", "PRIORITY": "6",
    "SMTP_REPLY": "250 2.0.0 Ok, stored with id " + id + ".1", "_UID": sys.argv[2], "_COMM": "smtp-handler"}
for name in want:
    assert stored[name] == want[name], name
assert int(stored["SMTP_SIZE"]) > 50
assert refused["SMTP_RCPT"] == "nobody@example.test" and refused["SMTP_REPLY"].startswith("550 5.1.1 ")
assert ended["SMTP_ID"] == id and "quit" in ended["MESSAGE"]
assert all(e["_SYSTEMD_INVOCATION_ID"] == id and e["_SYSTEMD_UNIT"].startswith("smtp@") for e in entries.values())
' "$id" "$(id -u smtp-handler)"
	entries -x "_SYSTEMD_INVOCATION_ID=$id" | tr '\n' ' ' | tr -s ' ░' ' ' >"$BATS_TEST_TMPDIR/explained"
	cat "$BATS_TEST_TMPDIR/explained"
	grep -F "Subject: Message $id.1 was stored" "$BATS_TEST_TMPDIR/explained"
	grep -F 'for <bob@example.test> (and for its other' "$BATS_TEST_TMPDIR/explained"
	grep -F 'Subject: Recipient <nobody@example.test> was refused' "$BATS_TEST_TMPDIR/explained"
	grep -F 'The connection from 127.0.0.1 has ended' "$BATS_TEST_TMPDIR/explained"
	[ "$(entries -o cat SMTP_RCPT=alice@example.test | wc -l)" = 1 ]
	[ -z "$(failures)" ]
}

@test "the client hears the dialogue and not a word of the log, however much goes wrong" {
	setting 'log_level = debug' 'deliver = /nonexistent'
	lines 'EHLO client.example.org' WHAT 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' DATA QUIT | tcp >"$BATS_TEST_TMPDIR/said"
	diff -u <(lines '220 mx.example.test ESMTP' 250-mx.example.test '250-SIZE 52428800' 250-PIPELINING 250-8BITMIME 250-SMTPUTF8 250-ENHANCEDSTATUSCODES \
		250-CHUNKING '250-LIMITS RCPTMAX=1000' 250-DSN '250 HELP' '500 5.5.1 Unknown command' '250 2.1.0 Sender ok' '451 4.3.0 Local trouble, try again later' \
		'503 5.5.1 Need a valid RCPT first' '221 2.0.0 Bye') "$BATS_TEST_TMPDIR/said"
	soon logged 'cannot execute /nonexistent'
	soon logged 'ended: quit'
	setting 'no such line'
	tcp </dev/null | diff -u <(lines '421 4.3.5 Server is not configured properly, try again later') -
	soon logged smtp-handler.conf:4
}

@test "the last entry of a session is found by the id, too, when journald reads it after the session's end" {
	local journald id FAILED=
	journald=$(systemctl show -P MainPID systemd-journald.service)
	dial && expect 220
	keeper
	id=$(systemctl show -P InvocationID "$(unit_of "$KEEPER")")
	journalctl --sync
	kill -STOP "$journald"
	send QUIT && expect '221 ' && closed && soon idle || FAILED=yes
	kill -CONT "$journald"
	[ -z "$FAILED" ]
	session_ended "$id"
}

@test "what maildir-deliver has to say bears the id of the session, and the client's address" {
	chmod 0 $ROOT/example.test/alice/new
	to_trouble() {
		dial && expect 220
		send 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>'
		expect 250 && expect '250 2.1.0' && expect '451 4.2.0'
	}
	to_trouble || { chmod 700 $ROOT/example.test/alice/new; return 1; }
	chmod 700 $ROOT/example.test/alice/new
	keeper
	local id
	id=$(systemctl show -P InvocationID "$(unit_of "$KEEPER")")
	soon logged "id=$id alice@example.test: cannot open mailbox: Permission denied"
	soon logged "id=$id recipient refused: from=<a@b.example> to=<alice@example.test> peer=127.0.0.1"
	send QUIT && expect '221 ' && closed
	soon logged "id=$id ended: client has gone peer=127.0.0.1"
}

# --- upgrades ---

@test "a new program and a new setting count at the next connection; an old session delivers as if nothing had been" {
	to_data
	send 'Subject: old' '' half
	keeper
	local old=$KEEPER
	sed 's/Unknown command/UNKNOWN COMMAND/' /tmp/build/smtp-handler >"$BATS_TEST_TMPDIR/new"
	program "$BATS_TEST_TMPDIR/new"
	setting 'greeting = new words' 'max_size = 1M'
	second_session
	send 'EHLO c' WHAT && expect 250 && expect '500 5.5.1 UNKNOWN COMMAND'
	lines QUIT | tcp | grep -F '220 mx.example.test new words'
	deliver_one bob new
	first_session
	[ "$(readlink "/proc/$old/exe")" = '/usr/sbin/smtp-handler (deleted)' ]
	send whole . && expect '250 2.0.0 Ok'
	content "$(message alice old)" | cmp - <(printf 'Subject: old\n\nhalf\nwhole\n')
	send WHAT 'MAIL FROM:<a@b.example> SIZE=2000000' 'RCPT TO:<bob@example.test>' DATA
	expect '500 5.5.1 Unknown command' && expect '250 2.1.0' && expect '250 2.1.5' && expect 354
	send 'Subject: second' '' x . && expect '250 2.0.0 Ok'
	send QUIT && expect '221 ' && closed
	message bob second
	[ -z "$(failures)" ]
}

@test "changed units, a reload and a new maildir-deliver do not disturb a session either" {
	to_data
	send 'Subject: old' '' half
	dropin smtp@.service 'Environment=NEW=1' 'TimeoutStopSec=30s'
	systemctl daemon-reexec
	install -m 755 /tmp/build/maildir-deliver /usr/bin/maildir-deliver
	second_session
	keeper
	tr '\0' '\n' <"/proc/$KEEPER/environ" | grep -x NEW=1
	first_session
	send whole . && expect '250 2.0.0 Ok'
	send QUIT && expect '221 ' && closed
	message alice old
	[ -z "$(failures)" ]
}

# --- stops ---

@test "the socket is stopped: no new connection, the session in hand goes on" {
	to_data
	systemctl stop smtp.socket
	run ! tcp </dev/null
	send 'Subject: x' '' x . && expect '250 2.0.0 Ok'
	send QUIT && expect '221 ' && closed
	message alice x
	[ -z "$(failures)" ]
}

@test "an instance is stopped in the middle of a message: the helper finishes it, and the client hears of it" {
	to_data
	send 'Subject: x' '' half
	keeper
	local unit
	unit=$(unit_of "$KEEPER")
	systemctl stop --no-block "$unit"
	soon state "$unit" deactivating
	send whole . && expect '250 2.0.0 Ok' && expect '421 4.3.2'
	closed
	content "$(message alice x)" | cmp - <(printf 'Subject: x\n\nhalf\nwhole\n')
	soon idle
	[ -z "$(failures)" ]
}

@test "an idle instance is stopped: 421 at once" {
	dial && expect 220
	keeper
	systemctl stop "$(unit_of "$KEEPER")"
	expect '421 4.3.2' && closed
	[ -z "$(failures)" ]
}

@test "a client that never ends its message does not hold up a stop: it is killed in the end, and nothing is left" {
	dropin smtp@.service TimeoutStopSec=1s
	to_data
	send 'Subject: x' '' half
	keeper
	systemctl stop "$(unit_of "$KEEPER")"
	closed
	soon idle
	nothing_stored
}
