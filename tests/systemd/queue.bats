#!/usr/bin/env bats
# Outgoing mail under systemd: the path unit, the timer, the pass, whose the queue is, and reports by the socket.
load helper

QUEUE=/var/spool/smtp-handler

setup_file() { systemctl enable --now smtp.socket smtp-local.socket smtp-queue.path smtp-queue.timer; }
teardown_file() {
	systemctl disable --now smtp-local.socket smtp-queue.path smtp-queue.timer
	rm -f /etc/smtp-transports
}

# shellcheck disable=SC2034  # LOG is of launch
setup() {
	LOG=$BATS_TEST_TMPDIR/log    # of launch
	printf '%s\n' 'hostname = mx.example.test' 'local_domains = mx.example.test localhost' 'tls_policy = none' "transports = /etc/smtp-transports" >/etc/smtp-handler.conf
	: >/etc/smtp-transports
	find $QUEUE /home/carol/Maildir -type f -delete 2>/dev/null || true
	systemctl start smtp.socket smtp-local.socket smtp-queue.path smtp-queue.timer
	# shellcheck disable=SC2034  # read by entries
	SINCE=@$EPOCHREALTIME
}
teardown() {
	stop_all
	soon idle
	soon resting
}

resting() { [[ $(systemctl show -P ActiveState smtp-queue.service) =~ ^(inactive|failed)$ ]]; }

# remote ARGUMENT...: tests/fake-mx.py is the host of far.example.
remote() {
	REMOTE=$BATS_TEST_TMPDIR/mx
	mkdir -p "$REMOTE"
	launch "$PYTHON" "$TESTS/fake-mx.py" "$REMOTE" "$@"
	soon [ -s "$REMOTE/port" ]
	echo "far.example 127.0.0.1:$(<"$REMOTE/port")" >/etc/smtp-transports
}
taken() { [ "$(find "$REMOTE" -name '[0-9]*' ! -name '*.part' | wc -l)" = "$1" ]; }
as_carol() { setpriv --reuid carol --regid carol --init-groups env -i PATH="$PATH" HOME=/home/carol "$@"; }
passes() { entries -u smtp-queue.service -o cat | grep -c '^Starting' || true; }
entries_left() { [ "$(find $QUEUE/new $QUEUE/wait $QUEUE/hold -type f | wc -l)" = "$1" ]; }

@test "a program's mail for another host is sent at once; nobody but smtp-queue can look into the queue" {
	remote never close
	printf 'Subject: out\n\nhello\n' | as_carol sendmail joe@far.example
	soon taken 1
	grep -q '^Subject: out' "$REMOTE/1"
	grep -q '^MAIL FROM:<carol@mx.example.test>' "$REMOTE/heard"
	soon entries_left 0
	[ "$(stat -c '%U %a' $QUEUE)" = 'smtp-queue 700' ]
	[ -z "$(find $QUEUE ! -user smtp-queue)" ]
	run as_carol smtp-queue list
	[ "$status" -ne 0 ]
	run setpriv --reuid smtp-handler --regid smtp-handler --clear-groups ls $QUEUE
	[ "$status" -ne 0 ]
	[ -z "$(failures)" ]
}

@test "a refused one comes back as a report, by the socket, into the home of the sender" {
	remote never close
	printf 'Subject: out\n\nhello\n' | as_carol sendmail unknown@far.example
	soon grep -rq '^Subject: Undelivered' /home/carol/Maildir/new
	"$PYTHON" "$TESTS/show-report.py" /home/carol/Maildir/new/* | grep -q '^Status: 5.1.1'
	soon entries_left 0
	[[ $(entries -o cat SMTP_RCPT=carol@mx.example.test -t smtp-queue) == *' reported: to=<carol@mx.example.test> reply="250 2.0.0 '* ]]
	[[ $(entries -x -t smtp-queue) == *'<carol@mx.example.test> gets a report of message'* ]]
}

@test "what waits does not start a pass again and again; a start of the service tries what is due; mailq shows it" {
	remote RCPT '450 4.2.0 not now'
	printf 'Subject: out\n\nhello\n' | as_carol sendmail joe@far.example
	soon entries_left 1
	soon resting
	before=$(passes)
	printf 'Subject: more\n\nhello\n' | as_carol sendmail ann@far.example
	soon entries_left 2
	soon resting
	systemctl start smtp-queue.service
	[ "$(passes)" -le $((before + 2)) ]
	[[ $(mailq) == *joe@far.example*'450 4.2.0'* ]]
	systemctl is-active --quiet smtp-queue.path
	[ "$(systemctl show -P NextElapseUSecRealtime smtp-queue.timer)" != '' ]
}

@test "one id and one address lead through the journal to what became of the message, with an explanation" {
	remote RCPT '450 4.2.0 <joe>: not now'
	printf 'Subject: out\n\nhello\n' | as_carol sendmail joe@far.example
	soon told SMTP_RCPT=joe@far.example
	soon resting
	id=$(smtp-queue --json list | sed 's/.*"id":"\([^"]*\)".*/\1/')
	[[ $(entries -o cat "SMTP_ID=$id") == *' stored: '*' deferred: to=<joe@far.example> reply="450 4.2.0 '* ]]
	[[ $(entries -x -t smtp-queue) == *"for <joe@far.example> waits"*'smtp-queue retry'* ]]
	[[ $(entries -o cat -u smtp-queue.service) == *' deferred: '* ]]
	[[ $(smtp-queue list) == *'450 4.2.0 127.0.0.1 <joe>: not now'* ]]
}
told() { [ -n "$(entries -t smtp-queue "$@")" ]; }

@test "a pass by hand hands its reports in where the service does, and what it says on a terminal is in the log too" {
	remote RCPT '450 4.2.0 not now'
	printf 'Subject: out\n\nhello\n' | as_carol sendmail joe@far.example
	soon told SMTP_RCPT=joe@far.example
	soon resting
	systemctl stop smtp-queue.path smtp-queue.timer
	stop_all
	rm "$BATS_TEST_TMPDIR/mx/port"
	remote RCPT '550 5.1.1 moved away'
	script -qec 'smtp-queue retry' /dev/null </dev/null >"$BATS_TEST_TMPDIR/terminal"
	grep -q 'failed: to=' "$BATS_TEST_TMPDIR/terminal"
	soon grep -rq '^Subject: Undelivered' /home/carol/Maildir/new
	soon entries_left 0
	[[ $(entries -o cat -t smtp-queue) == *' failed: to='* ]]
}

@test "a burst of mail fails no unit" {
	remote never close
	for i in {1..60}; do printf 'Subject: %d\n\nhello\n' "$i" | as_carol sendmail "joe$i@far.example"; done
	soon taken 60
	soon entries_left 0
	systemctl is-active --quiet smtp-queue.path
	[ -z "$(failures)" ]
}

@test "a pass that fails with something in new/ is not started again and again; path and timer stay; a stop does not wait, and mended mail goes at once" {
	remote never close
	systemctl stop smtp-queue.path
	printf 'Subject: out\n\nhello\n' | as_carol sendmail joe@far.example
	echo 'nonsense = 1' >>/etc/smtp-handler.conf
	systemctl start smtp-queue.path
	pausing() { [ "$(systemctl show -P SubState smtp-queue.service)" = auto-restart ]; }
	soon pausing
	touch $QUEUE/new/more
	chown smtp-queue: $QUEUE/new/more
	rm $QUEUE/new/more
	pausing
	[ "$(passes)" = 1 ]
	state smtp-queue.path active
	state smtp-queue.timer active
	systemctl stop smtp-queue.path
	timeout 20 systemctl stop smtp-queue.service
	state smtp-queue.service inactive
	systemctl start smtp-queue.path
	soon pausing
	[ "$(passes)" = 2 ]
	sed -i /nonsense/d /etc/smtp-handler.conf
	timeout 20 systemctl restart smtp-queue.service
	taken 1
	soon entries_left 0
	state smtp-queue.path active
}

@test "the pass ends before the network does, and begins when it is there; one process without memory does not end it; the queue's folders are there before" {
	[[ " $(systemctl show -P After smtp-queue.service) " == *' network-online.target '* ]]
	[[ " $(systemctl show -P After smtp-queue.service) " == *' network.target '* ]]
	[[ " $(systemctl show -P Wants smtp-queue.service) " == *' network-online.target '* ]]
	[ "$(systemctl show -P OOMPolicy smtp-queue.service)" = continue ]
	systemctl stop smtp-queue.path
	remote never close
	mv $QUEUE $QUEUE.before
	systemd-tmpfiles --create smtp-handler.conf
	find $QUEUE -printf '%P %u %g %m\n' | sort >"$BATS_TEST_TMPDIR/made"
	rmdir $QUEUE/*
	printf 'Subject: out\n\nhello\n' | as_carol sendmail joe@far.example
	systemctl start smtp-queue.service
	taken 1
	find $QUEUE -printf '%P %u %g %m\n' | sort | diff - "$BATS_TEST_TMPDIR/made"
	rm -r $QUEUE
	mv $QUEUE.before $QUEUE
}

@test "the walls of the service: rated well, and it can write to the queue alone" {
	[ "$(systemd-analyze security --no-pager smtp-queue.service | awk '/Overall exposure/ { print ($(NF-2) < 3.0) }')" = 1 ]
}

@test "TLS goes through the walls of the unit: encrypt, and verify with an authority that the host trusts" {
	local d=$BATS_TEST_TMPDIR port
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$d/key" -out "$d/cert" -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2 2>/dev/null
	mkdir -p "$d/far"
	printf '%s\n' 'hostname = mx.far.example' "catch_all = $d/far" "tls_cert = $d/cert" "tls_key = $d/key" >"$d/conf"
	port=$(free_port 127.0.0.1)
	launch systemd-socket-activate --inetd --accept -l "127.0.0.1:$port" smtp-handler -C "$d/conf"
	echo "far.example localhost:$port encrypt" >/etc/smtp-transports
	printf 'Subject: out\n\nhello\n' | as_carol sendmail joe@far.example
	arrived() { [ "$(find "$d/far" -path '*/new/*' -type f | wc -l)" = "$1" ]; }
	soon arrived 1
	grep -rq 'with ESMTPS id' "$d/far"
	soon entries_left 0
	echo "far.example localhost:$port verify" >/etc/smtp-transports
	printf 'Subject: out\n\nhello\n' | as_carol sendmail joe@far.example
	unverified() { smtp-queue list | grep -q 'TLS is required (tls_policy) and cannot be had: the certificate: self-signed'; }
	soon unverified
	arrived 1
	cp "$d/cert" "/etc/ssl/certs/$(openssl x509 -hash -noout -in "$d/cert").0"
	smtp-queue retry far.example
	soon arrived 2
	soon entries_left 0
	rm "/etc/ssl/certs/$(openssl x509 -hash -noout -in "$d/cert").0"
}
