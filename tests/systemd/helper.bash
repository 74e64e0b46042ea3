# Loaded by every file here, which runs in the box: the installed project under the real systemd.  A test finds the default units, the
# configuration below, and empty mailboxes of alice and bob.
# shellcheck shell=bash disable=SC2034,SC2154
grep -qsz '^container=box$' /proc/1/environ || exit 1    # see setup_suite.bash
load ../helper
load ../servers

PORT=25
LOG=/dev/null
ROOT=/var/vmail
SOCKET=smtp.socket
HOOK=/tmp/build/hook/smtp-handler
DROPINS=/etc/systemd/system
NEXT=$BATS_TEST_TMPDIR/next

setup() {
	printf '%s\n' 'hostname = mx.example.test' >/etc/smtp-handler.conf
	find $ROOT/*/*/{new,tmp,cur} -type f -delete 2>/dev/null || true
	systemctl start "$SOCKET"
	SINCE=@$EPOCHREALTIME
}

# What a test changed is put back, whatever became of it.
teardown() {
	hang_up
	local dropins
	dropins=$(ls -d $DROPINS/*.d 2>/dev/null || true)
	[ -z "$dropins" ] || { rm -r $dropins; systemctl daemon-reload; }
	[ ! -e "$NEXT" ] || install -m 755 /tmp/build/smtp-handler /usr/sbin/smtp-handler
	soon idle
}

# setting NAME=VALUE...: one more line each in the configuration.
setting() { printf '%s\n' "$@" >>/etc/smtp-handler.conf; }

# dropin UNIT LINE...: more for [Service] of it.
dropin() {
	mkdir -p "$DROPINS/$1.d"
	printf '%s\n' '[Service]' "${@:2}" >"$DROPINS/$1.d/test.conf"
	systemctl daemon-reload
}

# strict_conf UNIT...: as the manual says.
strict_conf() {
	local unit file
	unshare --user true 2>/dev/null || skip "no user namespace can be made here (a chroot?), and PrivateUsers= is one"
	for unit in "$@"; do
		case $unit in smtp@*) file=strict.conf ;; *) file=strict-deliver.conf ;; esac
		install -D -m 644 "/usr/share/doc/smtp-handler/$file" "$DROPINS/$unit.d/strict.conf"
	done
	systemctl daemon-reload
}

# virtual: as for a host without users who get mail: smtp-handler starts maildir-deliver itself.
virtual() {
	install -D -m 644 /usr/share/doc/smtp-handler/virtual.conf $DROPINS/smtp@.service.d/virtual.conf
	systemctl daemon-reload
}

# program FILE: a new binary, put there as make install does.
program() {
	touch "$NEXT"
	install -m 755 "$1" /usr/sbin/smtp-handler
}

# soon COMMAND...: wait for a condition that is dear to ask for, at most 20 seconds.  (until_true counts the questions, not the seconds.)
soon() {
	local end=$((SECONDS + 20))
	until "$@"; do
		[ $SECONDS -lt $end ] || { echo "never true: $*"; return 1; }
		read -rt 0.05 <> <(:) || true
	done
}

# --- units and processes ---

# instances: the connections that systemd serves.  idle: none.
instances() { systemctl list-units --all --plain --no-legend 'smtp@*' 'maildir-deliver@*' | awk '{ print $1 }'; }
idle() { [ -z "$(instances)" ] && [ -z "$(pgrep -f '^/usr/(sbin/smtp-handler|bin/maildir-deliver)')" ]; }

# keeper: sets $KEEPER, that of the newest connection.
keeper() { KEEPER=$(pgrep -n -P "${PARENT:-1}" -x smtp-handler); }

# helper: sets $HELPER, for which a recipient must have been named: of that keeper, or of the socket.
helper() { HELPER=$(pgrep -o -P "$KEEPER" -x maildir-deliver || pgrep -o -P 1 -x maildir-deliver); }

# unit_of PID: the unit that it belongs to.
unit_of() { sed -n 's|^0::.*/||p' "/proc/$1/cgroup"; }

# tcpserver: smtp-tcpserver.service has the port, and will start the handlers.
tcpserver() {
	command -v tcpserver >/dev/null || skip "no tcpserver here (Debian: ucspi-tcp)"
	systemctl start smtp-tcpserver.service
	soon greets
	PARENT=$(systemctl show -P MainPID smtp-tcpserver.service)
}
greets() { lines QUIT | tcp 2>/dev/null | grep -q '^220 '; }

# --- the journal ---

# entries ARGUMENT...: what came since the test began.  (By time: systemd 252's --after-cursor loses the first entry of a filter.)
entries() {
	journalctl --sync
	journalctl -q --no-pager --since="$SINCE" "$@"
}
# logged WORDS: a line of ours says so.  (By facility: by unit, journalctl takes minutes.)
logged() { entries -o cat SYSLOG_FACILITY=2 | grep -qF -e "$1"; }
# session_ended ID: its last line is there.
session_ended() { [ -n "$(entries -o cat "_SYSTEMD_INVOCATION_ID=$1" MESSAGE_ID=8b3a7e1c5d0f4c52a6f1de3b9c704a14)" ]; }
# state UNIT WORD: its ActiveState is that.
state() { [ "$(systemctl show -P ActiveState "$1")" = "$2" ]; }
# failures: the units of connections that systemd calls failed.  They do not stay (CollectMode=), so the journal tells.
failures() { entries -o cat --output-fields=UNIT MESSAGE_ID=d9b373ed55a64feb8242e02dbe79a49c; }

# --- mail ---

# clients: see client.py.
clients() { "$PYTHON" "$TESTS/systemd/client.py" "$@"; }

# deliver_one BOX SUBJECT: a whole session on a connection of its own; the message is there.
deliver_one() {
	lines 'EHLO client.example.org' 'MAIL FROM:<a@b.example>' "RCPT TO:<$1@example.test>" DATA "Subject: $2" '' "$2" . QUIT | tcp >"$BATS_TEST_TMPDIR/said"
	grep -q '^250 2.0.0 Ok, stored' "$BATS_TEST_TMPDIR/said" || { cat "$BATS_TEST_TMPDIR/said"; return 1; }
	message "$1" "$2" >/dev/null
}

# second_session: like dial, on a connection beside the first, which becomes $FIRST.
second_session() {
	FIRST=$CONN
	dial && expect 220
}
# first_session: the second is ended, and the first goes on.
first_session() {
	send QUIT && expect '221 ' && closed
	CONN=$FIRST
}

# nothing_stored: no message anywhere, nothing half done.
nothing_stored() { [ -z "$(find $ROOT -type f)" ]; }
