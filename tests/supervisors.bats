#!/usr/bin/env bats
# The same program under every supervisor: where the connection is, who the peer is, where the log goes, the exit status.
# shellcheck disable=SC2030,SC2031,SC2034  # a test is a subshell of its own; HOST, BEFORE and VARIABLES are read by servers.bash
load helper
load servers

# One connection: two messages, a refused recipient, a bad command, QUIT.
transcript() {
	lines 'EHLO client.example.org' 'MAIL FROM:<sender@client.example.org>' 'RCPT TO:<alice@example.test>' 'RCPT TO:<nobody@example.test>' DATA \
		'Subject: one' '' $'gr\xc3\xbc\xdf' '..' '...dots' . \
		WHAT 'MAIL FROM:<>' 'RCPT TO:<alice@example.test>' 'RCPT TO:<bob@example.test>' DATA 'Subject: two' '' two . QUIT
}

replies='220 mx.example.test ESMTP^M$
250-mx.example.test^M$
250-SIZE 52428800^M$
250-PIPELINING^M$
250-8BITMIME^M$
250-SMTPUTF8^M$
250-ENHANCEDSTATUSCODES^M$
250-CHUNKING^M$
250-LIMITS RCPTMAX=1000^M$
250 HELP^M$
250 2.1.0 Sender ok^M$
250 2.1.5 Recipient ok^M$
550 5.1.1 No such mailbox here^M$
354 End data with <CRLF>.<CRLF>^M$
250 2.0.0 Ok, stored with id ID.1^M$
500 5.5.1 Unknown command^M$
250 2.1.0 Sender ok^M$
250 2.1.5 Recipient ok^M$
250 2.1.5 Recipient ok^M$
354 End data with <CRLF>.<CRLF>^M$
250 2.0.0 Ok, stored with id ID.2^M$
221 2.0.0 Bye^M$'

same() { diff -u --label expected --label found <(printf '%s\n' "$1") <(printf '%s\n' "$2"); }

# stored_as PEER: the two messages are where they belong, and say that they came from PEER.
stored_as() {
	local one two
	[ "$(count "$ROOT/example.test/alice")" = 2 ]
	[ "$(count "$ROOT/example.test/bob")" = 1 ]
	one=$(message alice one)
	two=$(message bob two)
	same "Return-Path: <sender@client.example.org>
Delivered-To: alice@example.test
Received: from client.example.org ($1)
	by mx.example.test with ESMTP id ID.1
	for <alice@example.test>;
	DATE" "$(trace "$one" | masked)"
	content "$one" | cmp - <(printf 'Subject: one\n\ngr\xc3\xbc\xdf\n.\n..dots\n')
	same "Return-Path: <>
Delivered-To: bob@example.test
Received: from client.example.org ($1)
	by mx.example.test with ESMTP id ID.2;
	DATE" "$(trace "$two" | masked | grep -v alice@)"
	content "$two" | cmp - <(printf 'Subject: two\n\ntwo\n')
	tmp_empty
}

# logged FILE PEER: what happened stands there, whole.
logged() {
	until_true grep -q ' ended: ' "$1"
	local what
	for what in 'stored: from=<sender@client.example.org> to=<alice@example.test> size=' \
		'stored: from=<> to=<alice@example.test> (+1 more) size=' \
		'recipient refused: from=<sender@client.example.org> to=<nobody@example.test>' \
		'bad command: <WHAT>' 'ended: quit'; do
		[ "$(grep -F "$what" "$1" | grep -c "peer=$2 ")" = 1 ] || { echo "not once in the log: $what"; cat "$1"; return 1; }
	done
}

# whole_session PEER_IN_RECEIVED: the transcript over the socket, with exactly the right replies and files.
whole_session() {
	same "$replies" "$(transcript | tcp | cat -A | masked)"
	stored_as "$1"
}

# by_supervisor SUPERVISOR: one session, the log on standard error.
by_supervisor() {
	serve "$1"
	whole_session "[127.0.0.1]"
	logged "$LOG" 127.0.0.1
	[ ! -s "$BATS_TEST_TMPDIR/stdout" ]
}

by_supervisor_v6() {
	has_ipv6 || skip "no IPv6 on this host"
	HOST=::1
	serve "$1"
	whole_session '[IPv6:::1]'
}

# by_inetd SUPERVISOR: standard error is the connection, so the log goes to syslog.
by_inetd() {
	serve "$1"
	whole_session "${2:-[127.0.0.1]}"
	logged "$SYSLOG" "${3:-127.0.0.1}"
	grep -q '^<22>.*smtp-handler\[[0-9]*\]: id=[0-9a-f]*\.1 stored: ' "$SYSLOG" # 22 is facility mail, priority info
	run ! grep 'smtp-handler\[' "$LOG"
}

by_inetd_v6() {
	has_ipv6 || skip "no IPv6 on this host"
	HOST=::1
	by_inetd "$1" '[IPv6:::1]' ::1
}

many_at_once() {
	local i
	serve "$1"
	for i in {1..30}; do
		{ lines "EHLO c$i.example.org" 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' DATA "Subject: $i" '' "$i" . QUIT | tcp; } \
			>"$BATS_TEST_TMPDIR/out.$i" 3>&- &
	done
	until_true all_there 30
	for i in {1..30}; do
		content "$(message alice "$i")" | cmp - <(printf 'Subject: %s\n\n%s\n' "$i" "$i")
		until_true grep -q '^221 ' "$BATS_TEST_TMPDIR/out.$i"
	done
	tmp_empty
}
all_there() { [ "$(count "$ROOT/example.test/alice")" = "$1" ]; }

@test "systemd-socket-activate --inetd --accept" { by_supervisor systemd_inetd; }
@test "systemd-socket-activate --accept: the connection is descriptor 3" { by_supervisor systemd_fds; }
@test "tcpserver" { by_supervisor tcpserver; }
@test "openbsd-inetd: the log goes to syslog, never to the client" { by_inetd openbsd_inetd; }
@test "inetutils-inetd: the log goes to syslog, never to the client" { by_inetd inetutils_inetd; }
@test "IPv6 client: systemd-socket-activate --inetd --accept" { by_supervisor_v6 systemd_inetd; }
@test "IPv6 client: systemd-socket-activate --accept" { by_supervisor_v6 systemd_fds; }

@test "IPv6 client: openbsd-inetd" { by_inetd_v6 openbsd_inetd; }
@test "IPv6 client: inetutils-inetd" { by_inetd_v6 inetutils_inetd; }

@test "an IPv4 client on an IPv6 socket is named by its IPv4 address" {
	has_ipv6 || skip "no IPv6 on this host"
	HOST=::ffff:127.0.0.1
	serve systemd_inetd
	whole_session '[127.0.0.1]'
}

@test "thirty connections at once: tcpserver" { many_at_once tcpserver; }
@test "thirty connections at once: systemd-socket-activate" { many_at_once systemd_fds; }

@test "a connection ends, the next one is served by a new process" {
	serve tcpserver
	transcript | tcp >/dev/null
	rm -r "$ROOT"/example.test/*/new
	whole_session '[127.0.0.1]'
	until_true twice_ended
	[ "$(grep ' ended: quit' "$LOG" | cut -d'[' -f2 | cut -d']' -f1 | sort -u | wc -l)" = 2 ]
}

twice_ended() { [ "$(grep -c ' ended: quit' "$LOG")" = 2 ]; }

# --- who the peer is ---

@test "tcpserver: on a pipe the peer is TCPREMOTEIP" {
	BEFORE=(/bin/sh -c 'cat | "$@" | cat' sh)
	serve tcpserver
	dial
	transcript >&"$CONN"
	sed -u '/^221/q' <&"$CONN" | cat -A | masked >"$BATS_TEST_TMPDIR/out"
	same "$replies" "$(cat "$BATS_TEST_TMPDIR/out")"
	stored_as '[127.0.0.1]'
	logged "$LOG" 127.0.0.1
}

# peer_of [NAME=VALUE...]: how Received names the peer of a session on a pipe.
peer_of() {
	printf '%s\r\n' 'EHLO client.example.org' 'MAIL FROM:<>' 'RCPT TO:<bob@example.test>' DATA 'Subject: peer' '' . QUIT |
		clean_env "$@" "$HANDLER" "${SETTINGS[@]}" >/dev/null 2>>"$LOG"
	sed -n 's/^Received: from client.example.org (\(.*\))$/\1/p' "$(message bob peer)"
	rm "$ROOT/example.test/bob/new"/*
}

@test "a peer that is no socket is named by REMOTE_ADDR, then TCPREMOTEIP, when they are addresses" {
	[ "$(peer_of REMOTE_ADDR=192.0.2.7)" = '[192.0.2.7]' ]
	[ "$(peer_of TCPREMOTEIP=192.0.2.8)" = '[192.0.2.8]' ]
	[ "$(peer_of REMOTE_ADDR=192.0.2.7 TCPREMOTEIP=192.0.2.8)" = '[192.0.2.7]' ]
	[ "$(peer_of REMOTE_ADDR=2001:db8::1)" = '[IPv6:2001:db8::1]' ]
	[ "$(peer_of REMOTE_ADDR=::ffff:192.0.2.7)" = '[192.0.2.7]' ]
	[ "$(peer_of TCPREMOTEIP=$'1.2.3.4)\nX-Evil: 1')" = local ]
	[ "$(peer_of REMOTE_ADDR=unix)" = local ]
	[ "$(peer_of)" = local ]
}

@test "the address of the socket counts more than the environment" {
	VARIABLES=(REMOTE_ADDR=192.0.2.7 TCPREMOTEIP=192.0.2.8)
	serve systemd_inetd
	whole_session '[127.0.0.1]'
}

# --- descriptors passed by systemd ---

# attended: one session with the handler of the last attend.
attended() {
	whole_session '[127.0.0.1]'
	ended 0
}

@test "LISTEN_FDS: descriptor 3 is the connection, nothing goes to standard output" {
	attend fds --
	attended
	logged "$LOG" 127.0.0.1
	[ ! -s "$BATS_TEST_TMPDIR/stdout" ]
}

@test "LISTEN_FDS for another process (LISTEN_PID is not ours): descriptors 0 and 1" {
	attend inetd LISTEN_FDS=1 LISTEN_PID=1 --
	attended
}

@test "LISTEN_FDS=0, no descriptor passed: descriptors 0 and 1" {
	attend inetd LISTEN_FDS=0 LISTEN_PID=%p --
	attended
}

@test "two descriptors passed: 75, a line in the log, nothing to the client" {
	attend two --
	dial
	closed
	ended 75
	grep -q 'no connection to serve' "$LOG"
}

@test "a listening socket passed (Accept=no): 75 and a line in the log" {
	attend listening --
	ended 75
	grep -q 'no connection to serve.*Accept=yes' "$LOG"
}

@test "LISTEN_FDS=1 but descriptor 3 is not open: 75 and a line in the log" {
	attend inetd LISTEN_FDS=1 LISTEN_PID=%p --
	dial
	closed
	ended 75
	grep -q 'no connection to serve' "$LOG"
}

# --- the environment of a service with Accept=yes ---

invocation=0123456789abcdef0123456789abcdef

# ids: of the replies in `out`, of the stored messages, of the log: all the same, or it says so. Prints it.
ids() {
	local from_reply from_file from_log
	from_reply=$(sed -n 's/^250 2.0.0 Ok, stored with id \([0-9a-f]*\)\.[12].$/\1/p' "$BATS_TEST_TMPDIR/out" | sort -u)
	from_file=$(sed -n 's/.* with ESMTP id \([0-9a-f]*\)\.[12];*$/\1/p' "$ROOT"/example.test/*/new/* | sort -u)
	from_log=$(sed -n 's/.*id=\([0-9a-f]*\)[. ].*/\1/p' "$LOG" | sort -u)
	[ "$from_reply/$from_reply" = "$from_file/$from_log" ] || { echo "reply $from_reply, file $from_file, log $from_log"; return 1; }
	echo "$from_reply"
}

@test "Accept=yes: the id is the invocation id when SYSTEMD_EXEC_PID is our pid" {
	attend inetd REMOTE_ADDR=127.0.0.1 REMOTE_PORT=1 INVOCATION_ID=$invocation SYSTEMD_EXEC_PID=%p --
	transcript | tcp >"$BATS_TEST_TMPDIR/out"
	ended 0
	[ "$(ids)" = $invocation ]
}

@test "the invocation id of our parent's unit is not ours: a random id" {
	local all=() i
	for i in 1 2; do
		attend inetd INVOCATION_ID=$invocation SYSTEMD_EXEC_PID=1 --
		transcript | tcp >"$BATS_TEST_TMPDIR/out"
		ended 0
		all+=("$(ids)")
		[[ ${all[-1]} =~ ^[0-9a-f]{18,}$ ]]
		rm -r "$ROOT"/example.test/*/new "$LOG"
	done
	[ "${all[0]}" != "${all[1]}" ]
}

@test "an invocation id that is none is not used" {
	attend inetd INVOCATION_ID=$'0123456789abcdef0123456789abcde\n' SYSTEMD_EXEC_PID=%p --
	transcript | tcp >"$BATS_TEST_TMPDIR/out"
	ended 0
	[[ $(ids) =~ ^[0-9a-f]{18,}$ ]]
}

@test "JOURNAL_STREAM names standard error: the journal gets fields, or lines with their priority" {
	aside || skip "this host allows no mount namespace"
	attend inetd JOURNAL_STREAM=%j INVOCATION_ID=$invocation SYSTEMD_EXEC_PID=%p --
	attended
	if grep -q libsystemd.so.0 "$HANDLER"; then
		until_true grep -q '^SMTP_REPLY=quit' "$JOURNAL"
		[ "$(od -An -c "$LOG")" = '  \n' ]      # the empty line for journald to see who we are
		[ "$(grep -c '^MESSAGE_ID=8b3a7e1c5d0f4c52a6f1de3b9c704a11' "$JOURNAL")" = 2 ]
		[ "$(grep -c '^MESSAGE_ID=8b3a7e1c5d0f4c52a6f1de3b9c704a13' "$JOURNAL")" = 1 ]
		local field
		for field in "SMTP_ID=$invocation.1" "SMTP_ID=$invocation.2" SMTP_PEER=127.0.0.1 SMTP_FROM=sender@client.example.org SMTP_RCPT=alice@example.test \
			"SMTP_REPLY=250 2.0.0 Ok, stored with id $invocation.1" PRIORITY=6 SYSLOG_IDENTIFIER=smtp-handler; do
			grep -qxF "$field" "$JOURNAL" || { echo "no $field"; return 1; }
		done
	else
		logged "$LOG" 127.0.0.1
		run ! grep -v -e '^<[3-7]>id=' -e '^$' "$LOG"
	fi
	[ ! -s "$SYSLOG" ]
}

@test "JOURNAL_STREAM names another file: plain lines on standard error" {
	attend inetd JOURNAL_STREAM=1:2 --
	attended
	logged "$LOG" 127.0.0.1
	run ! grep -v '^smtp-handler\[[0-9]*\]: ' "$LOG"
}

@test "standard error is the client, without inetd: nothing of the log reaches it" {
	attend inetd-all --
	attended
	[ ! -s "$LOG" ]
}

# --- no network ---

@test "a pipe" {
	transcript | handler >"$BATS_TEST_TMPDIR/out"
	same "$replies" "$(cat -A "$BATS_TEST_TMPDIR/out" | masked)"
	stored_as local
	logged "$LOG" local
}

@test "a pipe with LF line ends" {
	transcript | tr -d '\r' | handler >"$BATS_TEST_TMPDIR/out"
	same "$replies" "$(cat -A "$BATS_TEST_TMPDIR/out" | masked)"
	stored_as local
}

@test "a file, with LF line ends" {
	transcript | tr -d '\r' >"$BATS_TEST_TMPDIR/in"
	handler <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	same "$replies" "$(cat -A "$BATS_TEST_TMPDIR/out" | masked)"
	stored_as local
}

@test "a socketpair" {
	transcript >"$BATS_TEST_TMPDIR/in"
	over_socket whole "$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	same "$replies" "$(cat -A "$BATS_TEST_TMPDIR/out" | masked)"
	stored_as local
}

@test "a socketpair is strict: LF alone ends no line" {
	printf 'EHLO a\r\nNOOP\nNOOP\r\nQUIT\r\n' >"$BATS_TEST_TMPDIR/in"
	over_socket whole "$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	grep -q '^500 5.5.2 ' "$BATS_TEST_TMPDIR/out"
	[ "$(grep -c '^250 2.0.0' "$BATS_TEST_TMPDIR/out")" = 0 ]
}

terminal_script='
import os, pty, sys
lines = sys.stdin.buffer.read().splitlines(keepends=True)
pid, fd = pty.fork()
if pid == 0:
    os.dup2(int(os.environ["LOG_FD"]), 2)
    os.execv(sys.argv[1], sys.argv[1:])
heard = b""
try:
    for line in lines:
        os.write(fd, line)
    while True:
        heard += os.read(fd, 65536)
except OSError:
    pass
sys.stdout.buffer.write(heard)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))'

@test "a terminal" {
	exec {LOG_FD}>>"$LOG"
	transcript | tr -d '\r' | clean_env LOG_FD="$LOG_FD" timeout 30 "$PYTHON" -c "$terminal_script" "$HANDLER" "${SETTINGS[@]}" >"$BATS_TEST_TMPDIR/out"
	exec {LOG_FD}>&-
	grep -q '^250 2.0.0 Ok, stored with id .*\.2' "$BATS_TEST_TMPDIR/out"
	grep -q '^221 2.0.0 Bye' "$BATS_TEST_TMPDIR/out"
	stored_as local
	logged "$LOG" local
}

@test "end of file on a terminal (control-D)" {
	exec {LOG_FD}>>"$LOG"
	printf 'EHLO a\nMAIL FROM:<a@b.example>\n\x04' |
		clean_env LOG_FD="$LOG_FD" timeout 30 "$PYTHON" -c "$terminal_script" "$HANDLER" "${SETTINGS[@]}" >"$BATS_TEST_TMPDIR/out"
	exec {LOG_FD}>&-
	grep -q '^250 2.1.0 ' "$BATS_TEST_TMPDIR/out"
	no_trace
}

@test "no descriptors at all: ends, and touches nothing" {
	clean_env timeout 30 "$HANDLER" "${SETTINGS[@]}" <&- >&- 2>&-
	no_trace
}

# --- exit status ---

# One client: each PIECE is sent, with CRLF behind it, and answered by one reply; one that begins with "-" is not (the rest is sent as it
# is). Then it leaves: by closing, by ending what it sends, or by a reset.
leave_script='
import socket, struct, sys
how, host, port, *pieces = sys.argv[1:]
s = socket.create_connection((host, int(port)), timeout=20)
f = s.makefile("rb")

def reply():
    while True:
        line = f.readline()
        if line[3:4] != b"-":
            return line

reply()
for p in pieces:
    if p.startswith("-"):
        s.sendall(p[1:].encode("unicode_escape").decode("unicode_escape").replace("\\r\\n", "\r\n").encode())
    else:
        s.sendall(p.encode() + b"\r\n")
        if not reply():
            sys.exit("no reply to " + p)
if how == "rst":
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
elif how == "half":
    s.shutdown(socket.SHUT_WR)
    rest = f.read()
    sys.stdout.buffer.write(rest)
f.close()
s.close()'

leave() { "$PYTHON" -c "$leave_script" "$1" "$HOST" "$PORT" "${@:2}"; }

# leave_in_every_state HOW: status 0, nothing delivered, nothing left.
leave_in_every_state() {
	local hello='EHLO client.example.org' from='MAIL FROM:<a@b.example>' to='RCPT TO:<alice@example.test>' i state
	local states=("" "-EHLO cli" "$hello" "$hello|$from" "$hello|$from|$to" "$hello|$from|$to|DATA" "$hello|$from|$to|DATA|-Subject: x\\r\\n\\r\\nhalf a li"
		"$hello|$from|$to|DATA|-Subject: x\\r\\n\\r\\nall but the end\\r\\n." "$hello|$from|$to|-BDAT 10\\r\\nhalf" "$hello|$from|$to|-BDAT 4\\r\\nfour"
		"$hello|-BDAT 1000\\r\\nunwanted")
	for i in "${!states[@]}"; do
		IFS='|' read -ra state <<<"${states[i]}"
		attend inetd --
		[ -z "$(leave "$1" "${state[@]}")" ] || [ "$i" = 9 ] # a chunk that is whole is answered
		ended 0 || { echo "state: ${states[i]}"; return 1; }
		no_trace || { echo "left behind in state: ${states[i]}"; return 1; }
	done
	# after a reset, a reply that could not be written may be how the handler learnt of it
	[ "$(grep -cE ' ended: client (has gone|does not read)' "$LOG")" = ${#states[@]} ]
	run ! grep -E 'killed|failed' "$LOG"
}

@test "status 0 after QUIT, after HTTP, after too many errors" {
	attend inetd --
	leave half 'EHLO a' QUIT
	ended 0
	attend inetd --
	leave half 'GET / HTTP/1.1'
	ended 0
	attend inetd -- -o max_errors=2
	leave half FOO BAR | grep '^421 4.7.0 '
	ended 0
}

@test "status 0 when the client closes, in every state" { leave_in_every_state close; }
@test "status 0 when the client sends no more, in every state" { leave_in_every_state half; }
@test "status 0 when the client resets the connection, in every state" { leave_in_every_state rst; }

@test "status 0 after each timeout, and 421 to the client" {
	attend inetd -- -o command_timeout=200ms
	dial && expect 220 && expect '421 4.4.2 '
	closed
	ended 0
	attend inetd -- -o command_timeout=200ms
	to_rcpt && expect '421 4.4.2 '
	closed
	ended 0
	attend inetd -- -o data_timeout=200ms
	to_data
	send 'Subject: x'
	expect '421 4.4.2 '
	closed
	ended 0
	attend inetd -- -o session_timeout=200ms
	to_rcpt && expect '421 4.4.2 '
	closed
	ended 0
	no_trace
	[ "$(grep -c ' ended: timeout' "$LOG")" = 4 ]
}

deaf_script='
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.sendall(b"EHLO a\r\n")
try:
    while True:
        s.sendall(b"HELP\r\n" * 1000)
except OSError as e:
    print(type(e).__name__)'

@test "status 0 when the client does not read what it asks for" {
	attend inetd -- -o command_timeout=500ms
	"$PYTHON" -c "$deaf_script" "$HOST" "$PORT"
	ended 0
	grep -q ' ended: ' "$LOG"
}

@test "status 64: wrong usage; the client of a socket hears 421" {
	attend inetd -- --no-such-option
	dial
	expect '421 4.3.5 '
	closed
	ended 64
	grep -q 'wrong usage' "$LOG"
	run -64 clean_env "$HANDLER" operand </dev/null
	run -64 clean_env "$HANDLER" -o </dev/null
}

# bad_configuration MODE: the client hears 421, the log has one line.
bad_configuration() {
	printf '# a comment\nmax_size = 10M\nmax_errors = lots\n' >"$BATS_TEST_TMPDIR/bad.conf"
	attend "$1" -- -C "$BATS_TEST_TMPDIR/bad.conf"
	dial
	expect '421 4.3.5 '
	closed
	ended 78
}

@test "status 78: bad configuration, 421 to the client, one line with file, line and reason" {
	bad_configuration inetd
	[ "$(wc -l <"$LOG")" = 1 ]
	grep -q "bad configuration: .*$BATS_TEST_TMPDIR/bad.conf:3: .*max_errors" "$LOG"
	rm "$LOG"
	bad_configuration fds
	[ "$(wc -l <"$LOG")" = 1 ]
	bad_configuration inetd-all
	[ "$(wc -l <"$LOG")" = 1 ]
}

@test "status 78: a configuration file named but missing" {
	attend inetd -- -C "$BATS_TEST_TMPDIR/missing.conf"
	dial
	expect '421 4.3.5 '
	closed
	ended 78
	grep -q "bad configuration: .*missing.conf" "$LOG"
}

@test "bad configuration under inetd: 421 and no more, the line goes to syslog" {
	printf 'max_errors = lots\n' >"$BATS_TEST_TMPDIR/bad.conf"
	serve openbsd_inetd -C "$BATS_TEST_TMPDIR/bad.conf"
	dial
	expect '421 4.3.5 '
	closed
	until_true grep -q "<19>.*bad configuration: .*bad.conf:1: " "$SYSLOG" # facility mail, priority error
}

@test "status 75: the speaker is killed; the client hears no 250, nothing is delivered" {
	attend inetd --
	to_data
	send 'Subject: x' '' half
	keeper && speaker && helper
	kill -KILL "$SPEAKER"
	ended 75
	closed
	until_true gone "$HELPER"
	no_trace
	grep -q 'speaker killed: by signal 9' "$LOG"
}

@test "status 75: the speaker is killed before the first command" {
	attend fds --
	dial && expect 220
	keeper && speaker
	kill -KILL "$SPEAKER"
	ended 75
	closed
	grep -q 'speaker killed: by signal 9' "$LOG"
}

no_fork_script='
import os, resource, socket, sys
ours, theirs = socket.socketpair()
fd = os.open(sys.argv[1], os.O_RDONLY)
pid = os.fork()
if pid == 0:
    os.dup2(theirs.fileno(), 0)
    os.dup2(theirs.fileno(), 1)
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    os.execve(fd, sys.argv[1:], dict(os.environ))
theirs.close()
sys.stdout.buffer.write(ours.makefile("rb").read())
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))'

@test "status 75: no process to be had; the client hears 421" {
	# the leak detector wants a process too
	run -75 clean_env ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" timeout 30 "$PYTHON" -c "$no_fork_script" "$HANDLER" "${SETTINGS[@]}"
	[[ $output == *'421 4.3.0 '* && $output == *'cannot start the speaker'* ]]
}

# --- signals ---

@test "SIGTERM when idle: 421 4.3.2, status 0" {
	attend inetd --
	dial && expect 220
	send 'EHLO client.example.org' && expect 250
	keeper
	kill -TERM "$KEEPER"
	expect '421 4.3.2 '
	closed
	ended 0
	[ "$(grep -c ' ended: told to stop' "$LOG")" = 1 ]
}

@test "SIGINT and SIGHUP end it where it stands, in mid-message too, and nothing is left" {
	local signal
	for signal in INT HUP; do
		attend inetd --
		to_data
		keeper
		send 'half a message'
		kill "-$signal" "$KEEPER"
		closed
		ended $((-$(kill -l $signal)))
	done
	until_true no_trace
}

@test "SIGTERM before the client has said anything" {
	attend fds --
	dial && expect 220
	keeper
	kill -TERM "$KEEPER"
	expect '421 4.3.2 '
	closed
	ended 0
}

# told_to_stop: SIGTERM, and the speaker has taken note: it woke up and waits again.
told_to_stop() {
	local before
	keeper && speaker
	before=$(switches)
	kill -TERM "$KEEPER"
	until_true switched_since "$before"
}
switched_since() { [ "$(switches)" -gt "$1" ]; }
switches() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$SPEAKER/status"; }

@test "SIGTERM in the middle of DATA: the message is finished and stored, then 421" {
	attend inetd --
	to_data
	send 'Subject: x' '' 'before'
	told_to_stop
	send 'after' .
	expect '250 2.0.0 '
	expect '421 4.3.2 '
	closed
	ended 0
	content "$(message alice x)" | cmp - <(printf 'Subject: x\n\nbefore\nafter\n')
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
	tmp_empty
}

@test "SIGTERM between RCPT and DATA, and between chunks: the transaction is finished, then 421" {
	attend inetd --
	to_rcpt
	told_to_stop
	send DATA && expect 354
	send 'Subject: x' '' x . && expect '250 2.0.0 '
	expect '421 4.3.2 '
	closed
	ended 0
	attend inetd --
	to_rcpt
	send 'BDAT 12' 'Subject: y' && expect '250 2.0.0 '
	told_to_stop
	send 'BDAT 5 LAST' '' y && expect '250 2.0.0 '
	expect '421 4.3.2 '
	closed
	ended 0
	content "$(message alice x)" | cmp - <(printf 'Subject: x\n\nx\n')
	content "$(message alice y)" | cmp - <(printf 'Subject: y\n\ny\n')
}

@test "SIGTERM to every process of the session in the middle of DATA: stored or a clean refusal, never half" {
	attend inetd --
	to_data
	send 'Subject: x' '' before
	keeper && speaker && helper
	kill -TERM "$KEEPER" "$SPEAKER" "$HELPER"
	send after .
	if expect 250; then
		content "$(message alice x)" | cmp - <(printf 'Subject: x\n\nbefore\nafter\n')
	else
		no_trace
	fi
	ended 0
	tmp_empty
}

@test "SIGTERM to tcpserver: no new connection, the session in hand goes on" {
	serve tcpserver
	to_data
	kill -TERM "$SERVER"
	until_true gone "$SERVER"
	run ! tcp </dev/null
	send 'Subject: x' '' x .
	expect '250 2.0.0 '
	send QUIT && expect 221
	closed
	message alice x
}

@test "the keeper is killed in the middle of DATA: speaker and helper end, nothing is delivered" {
	attend inetd --
	to_data
	send 'Subject: x' '' half
	keeper && speaker && helper
	kill -KILL "$KEEPER"
	until_true gone "$SPEAKER" "$HELPER"
	closed
	ended -9
	no_trace
}

@test "the keeper is killed while the helper commits nothing yet: after a whole chunk" {
	attend inetd --
	to_rcpt
	send 'BDAT 12' 'Subject: y' && expect '250 2.0.0 '
	keeper && speaker && helper
	kill -KILL "$KEEPER"
	until_true gone "$SPEAKER" "$HELPER"
	closed
	no_trace
}

@test "a session leaves no process behind" {
	attend inetd --
	to_rcpt
	keeper && speaker && helper
	send QUIT && expect 221
	closed
	ended 0
	gone "$KEEPER" "$SPEAKER" "$HELPER"
}
