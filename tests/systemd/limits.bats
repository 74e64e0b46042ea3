#!/usr/bin/env bats
# Floods, rude clients and kills: the limits of smtp.socket hold, and it is always alive afterwards.
load helper

# all_well: systemd has nothing failed, and mail arrives.
all_well() {
	soon idle
	systemctl is-active smtp.socket
	[ -z "$(systemctl list-units --all --failed --plain --no-legend)" ]
	deliver_one bob 'all well'
	[ "$(count $ROOT/example.test/bob)" = 1 ]
}

@test "500 connections of one source: MaxConnectionsPerSource of them are served, the others closed at once" {
	[ "$(clients hold 500 1)" = '20 20 20' ]
	all_well
}

@test "1500 connections of 75 sources: MaxConnections are served, no source has more than its share; the socket outlives it" {
	run -0 clients hold 1500 75
	echo "$output"
	read -r greeted most alive <<<"$output"
	[ "$greeted" = 200 ]
	[ "$most" -le 20 ]
	[ "$alive" = 200 ]
	all_well
}

@test "500 rude clients: reset, half a command, in the middle of a message; no failed unit, nothing stored, nothing left behind" {
	[ "$(clients rude 500)" = 500 ]
	soon idle
	nothing_stored
	[ -z "$(failures)" ]
	all_well
}

@test "the keeper is killed: its connection is lost, and no other" {
	to_data
	send 'Subject: one' '' half
	second_session
	send 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' 'BDAT 5' && printf half >&"$CONN"
	expect 250 && expect 250 && expect 250
	keeper
	kill -KILL "$KEEPER"
	closed
	CONN=$FIRST
	send whole . && expect '250 2.0.0 Ok'
	send QUIT && expect '221 ' && closed
	[ "$(count $ROOT/example.test/alice)" = 1 ]
	message alice one
	[[ $(failures) = smtp@*.service ]]
	all_well
}

@test "the speaker is killed: the same, and the log says so" {
	to_data
	send 'Subject: x' '' half
	keeper && speaker
	kill -KILL "$SPEAKER"
	closed
	soon logged 'speaker killed: by signal 9 peer=127.0.0.1'
	soon idle
	nothing_stored
	all_well
}

@test "virtual.conf: the helper is killed: a temporary error for the message in hand, and the connection goes on" {
	virtual
	to_data
	send 'Subject: x' '' half
	keeper && helper
	kill -KILL "$HELPER"
	send whole . && expect 451
	nothing_stored
	send 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' DATA && expect '250 2.1.0' && expect '250 2.1.5' && expect 354
	send 'Subject: y' '' y . && expect '250 2.0.0 Ok'
	send QUIT && expect '221 ' && closed
	message alice y
	soon logged 'next hop failed: the program was ended by signal 9'
	[ -z "$(failures)" ]
	all_well
}
