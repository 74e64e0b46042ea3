#!/usr/bin/env bats
# P10: what code in the speaker can do.  The program here is the handler with a hook that tries what the sandbox forbids.
load helper

HOOK=$BUILD/hook/smtp-handler
[ -x "$HOOK" ] || HOOK=$BUILD/../hook/smtp-handler

try() {
	[ -x "$HOOK" ] || skip "no test build of the handler here"
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "VRFY $1" DATA x . QUIT >"$BATS_TEST_TMPDIR/in"
	HANDLER=$HOOK over_socket whole "$BATS_TEST_TMPDIR/in" -o "deliver=$DELIVER" -o vrfy=yes "${@:2}" >"$BATS_TEST_TMPDIR/out"
}

@test "each forbidden call ends the speaker; the client is cut off, nothing is delivered, the log says so, status 75" {
	for what in open create socket execve mmap kill killgroup ptrace fork sendmsg clock exit_group; do
		status=0
		try $what || status=$?
		echo "$what: $status"
		[ $status = 75 ]
		refute grep -q '^354' "$BATS_TEST_TMPDIR/out"
		[ "$(grep -c 'speaker killed: by signal' "$LOG")" = 1 ]
		: >"$LOG"
	done
	[ ! -e /tmp/escaped ]
	no_trace
}

@test "under a filter of the supervisor the speaker has one of its own that allows as little" {
	[ -x "$HOOK" ] || skip "no test build of the handler here"
	cat >"$BATS_TEST_TMPDIR/filtered.py" <<'EOF'
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000)      # allow everything, but be a filter
buf = ctypes.create_string_buffer(code)
prog = struct.pack("HxxxxxxP", 1, ctypes.addressof(buf))
libc.prctl(38, 1, 0, 0, 0)
if libc.prctl(22, 2, ctypes.create_string_buffer(prog), 0, 0) != 0:
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
EOF
	"$PYTHON" "$BATS_TEST_TMPDIR/filtered.py" /bin/true || skip "no seccomp filter here"
	for what in open socket execve exit_group; do
		lines "EHLO c" "VRFY $what" QUIT >"$BATS_TEST_TMPDIR/in"
		run clean_env "$PYTHON" "$BATS_TEST_TMPDIR/filtered.py" "$HOOK" "${SETTINGS[@]}" -o "deliver=$DELIVER" -o vrfy=yes <"$BATS_TEST_TMPDIR/in"
		[ "$status" = 75 ]
	done
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA x . QUIT >"$BATS_TEST_TMPDIR/in"
	clean_env "$PYTHON" "$BATS_TEST_TMPDIR/filtered.py" "$HOOK" "${SETTINGS[@]}" -o "deliver=$DELIVER" <"$BATS_TEST_TMPDIR/in" >/dev/null 2>>"$LOG"
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
}

@test "a kernel that refuses the speaker's sandbox: 421, a line in the log, status 75, no dialogue" {
	cat >"$BATS_TEST_TMPDIR/refused.py" <<'EOF'
import ctypes, errno, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
NR = {"x86_64": 157, "aarch64": 167}.get(os.uname().machine) or sys.exit(77)       # prctl
LOAD, EQUAL, RETURN, ALLOW = 0x20, 0x15, 0x06, 0x7fff0000
rows = [(LOAD, 0, 0, 0), (EQUAL, 0, 3, NR), (LOAD, 0, 0, 16), (EQUAL, 0, 1, 22), (RETURN, 0, 0, 0x50000 | errno.EPERM), (RETURN, 0, 0, ALLOW)]
code = b"".join(struct.pack("HBBI", *r) for r in rows)
buf = ctypes.create_string_buffer(code)
libc.prctl(38, 1, 0, 0, 0)
if libc.prctl(22, 2, ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rows), ctypes.addressof(buf))), 0, 0) != 0:
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
EOF
	"$PYTHON" "$BATS_TEST_TMPDIR/refused.py" /bin/true || skip "no seccomp filter here"
	clean_env "$HANDLER" -C /dev/null --show-config | grep -q '^sandbox = yes' || skip "sanitizers run without the sandbox"
	lines "EHLO c" QUIT >"$BATS_TEST_TMPDIR/in"
	local status=0
	clean_env "$PYTHON" "$BATS_TEST_TMPDIR/refused.py" "$HANDLER" "${SETTINGS[@]}" <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>>"$LOG" || status=$?
	[ "$status" = 75 ]
	[[ "$(cat "$BATS_TEST_TMPDIR/out")" == "421 4.3.0 "*$'\r' ]]
	grep -q "the kernel refuses the speaker's sandbox" "$LOG"
}

@test "nonsense from a speaker that was taken over: the keeper lives, the log keeps its form, and the session goes on" {
	try nonsense
	grep -q '^250 2.0.0 Ok, stored' "$BATS_TEST_TMPDIR/out"
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
	[ "$(grep -c 'speaker: unknown request' "$LOG")" -ge 3 ]
	grep -q 'stored: from=<A*> to=<A*> ' "$LOG"
	[ "$(LC_ALL=C grep -c '[^ -~]' "$LOG")" = 0 ]
	[ "$(grep -cvE '^(smtp-handler|maildir-deliver)\[[0-9]+\]: ' "$LOG")" = 0 ]
	grep -q 'ended: quit' "$LOG"
}

@test "a speaker that says its last word and lives on is served on, a little later" {
	[ -x "$HOOK" ] || skip "no test build of the handler here"
	lines "EHLO c" "VRFY last-word" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA x . QUIT >"$BATS_TEST_TMPDIR/in"
	SECONDS=0
	HANDLER=$HOOK over_socket whole "$BATS_TEST_TMPDIR/in" -o "deliver=$DELIVER" -o vrfy=yes >"$BATS_TEST_TMPDIR/out"
	[ "$SECONDS" -lt 20 ]
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
	grep -q 'ended: quit' "$LOG"
}

@test "a speaker that was taken over asks, hears no answer and ends: the keeper soon ends too" {
	local what
	# the second asks for a connection that no one ever takes
	"$PYTHON" -c 'import signal, socket, sys
l = socket.socket(socket.AF_UNIX); l.bind(sys.argv[1]); l.listen(0)
c = [socket.socket(socket.AF_UNIX) for _ in range(2)]
for s in c: s.setblocking(False); s.connect_ex(sys.argv[1])
open(sys.argv[1] + ".ready", "w"); signal.alarm(120); signal.pause()' "$BATS_TEST_TMPDIR/full" 3>&- &
	local listener=$!
	until_true [ -e "$BATS_TEST_TMPDIR/full.ready" ]
	for what in "flood-time deliver=$DELIVER" "flood-hop deliver=unix:$BATS_TEST_TMPDIR/full"; do
		SECONDS=0
		try "${what%% *}" -o "${what#* }" -o command_timeout=1s -o deliver_timeout=2s
		echo "$what: $SECONDS s"
		[ "$SECONDS" -lt 20 ]
	done
	kill "$listener"
	no_trace
}

@test "a speaker that is let alone lives in strict mode, with no new privileges" {
	clean_env "$HANDLER" -C /dev/null --show-config | grep -q '^sandbox = yes' || skip "sanitizers run without the sandbox"
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	handler <"$BATS_TEST_TMPDIR/fifo" >"$BATS_TEST_TMPDIR/out" 3>&- &
	exec 9>"$BATS_TEST_TMPDIR/fifo"
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" >&9
	until_true grep -q '^250 2.1.5' "$BATS_TEST_TMPDIR/out"
	keeper=$(pgrep -of "^$HANDLER .*mail_root=$ROOT ")
	speaker=$(pgrep -P "$keeper" -f "^$HANDLER")
	helper=$(pgrep -P "$keeper" -f "^$DELIVER")
	grep -E '^(Seccomp|NoNewPrivs):' "/proc/$speaker/status"
	[ "$(awk '/^Seccomp:/{print $2}' "/proc/$speaker/status")" != 0 ]
	[ "$(awk '/^NoNewPrivs:/{print $2}' "/proc/$speaker/status")" = 1 ]
	[ "$(awk '/^NoNewPrivs:/{print $2}' "/proc/$helper/status")" = 1 ]
	# the helper has the client's connection in none of its descriptors
	[ -z "$(find "/proc/$helper/fd" -lname "$BATS_TEST_TMPDIR/fifo")" ]
	exec 9>&-
}

@test "the helper can write beneath its mailboxes only" {
	command -v strace >/dev/null || skip "no strace"
	run strace -f -e trace=landlock_restrict_self -o "$BATS_TEST_TMPDIR/trace" "$DELIVER" "${SETTINGS[@]}" -o sandbox=yes -d alice@example.test </dev/null
	grep -q 'landlock_restrict_self.* = 0' "$BATS_TEST_TMPDIR/trace" || skip "no Landlock in this kernel"
	# a link inside new/ that leads elsewhere is not followed, and could not be written through
	ln -s "$BATS_TEST_TMPDIR" "$ROOT/example.test/bob/tmp"
	run deliver -d bob@example.test </dev/null
	[ "$status" = 75 ]
	[ -z "$(find "$BATS_TEST_TMPDIR" -maxdepth 1 -name '*.M*')" ]
}

@test "maildir-deliver as root has a filter, its writers have Landlock; as another user it has no need of one" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	clean_env "$DELIVER" -C /dev/null --show-config | grep -q "^sandbox = yes" || skip "sanitizers run without the sandbox"
	mkfifo "$BATS_TEST_TMPDIR/in"
	exec 7<>"$BATS_TEST_TMPDIR/in"
	lines "LHLO c" >&7
	deliver --lmtp <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>>"$LOG" 3>&- 7>&- &
	until_true grep -q '^250 X-ALL' "$BATS_TEST_TMPDIR/out"
	local main
	main=$(pgrep -of "^$DELIVER .*mail_root=$ROOT .*--lmtp")
	[ "$(awk '$1 == "Seccomp:" { print $2 }' "/proc/$main/status")" = 2 ]
	[ "$(awk '$1 == "Seccomp:" { print $2 }' "/proc/$(pgrep -P "$main")/status")" = 0 ]
	lines QUIT >&7
	exec 7>&-
	wait $!
}
