#!/usr/bin/env bats
# The next hop: both forms, and every way in which it can fail.  Each failure is the right 4xx, and the dialogue goes on.
load helper

# fake STAGE ACTION [KEYWORD...]: a next hop program that misbehaves there.
fake() {
	FAKE=$BATS_TEST_TMPDIR/hop
	{
		echo '#!/bin/bash'
		printf 'FAKE_LOG=%q exec %q %q' "$BATS_TEST_TMPDIR/fake.log" "$PYTHON" "$TESTS/fake-hop.py"
		printf ' %q' "$@"
		echo
	} >"$FAKE"
	chmod +x "$FAKE"
	OPTIONS=(-o "deliver=$FAKE" "${MORE[@]}")
}

MESSAGE=("MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA "Subject: x" "" "hi" .)

# expect REPLY...: what the last `say` printed, where a reply may be a pattern.
expect() {
	local i
	[ "${#lines[@]}" = $# ] || { printf 'got %s\n' "${lines[@]}"; return 1; }
	for ((i = 0; i < $#; i++)); do
		# shellcheck disable=SC2053
		[[ "${lines[i]}" == ${*:i+1:1} ]] || { echo "line $i: ${lines[i]}"; return 1; }
	done
}

SENDER="250 2.1.0*" NEXT=("250 2.1.0*" "451 4.3.0*" "503 5.5.1*")

@test "a helper that behaves" {
	fake never die
	run say "${MESSAGE[@]}"
	expect "$SENDER" "250 2.1.5*" "354 *" "250 2.0.0 Ok, stored with id *"
	grep -q '^Received: from client.example.org' "$BATS_TEST_TMPDIR/fake.log"
}

@test "absent: 451, and the log says what is missing" {
	OPTIONS=(-o deliver=/nonexistent/program)
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA NOOP
	expect "${NEXT[@]}" "250 2.0.0*"
	grep -q "cannot execute /nonexistent/program: No such file" "$LOG"
}

@test "not executable: 451, and the log says so" {
	touch "$BATS_TEST_TMPDIR/file"
	OPTIONS=(-o "deliver=$BATS_TEST_TMPDIR/file")
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA
	expect "${NEXT[@]}"
	grep -q "cannot execute $BATS_TEST_TMPDIR/file: Permission denied" "$LOG"
}

@test "a helper that is not started again for each recipient of a transaction that failed" {
	fake greeting die
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<a@example.test>" "RCPT TO:<b@example.test>" "RCPT TO:<c@example.test>"
	expect "$SENDER" "451 4.3.0*" "451 4.3.0*" "451 4.3.0*"
	[ "$(grep -c 'ended with status 3' "$LOG")" = 1 ]
}

@test "dies, is killed, talks nonsense at each stage before the data: 451 and the dialogue goes on" {
	for stage in greeting LHLO MAIL RCPT; do
		for action in die kill nonsense; do
			fake $stage $action
			run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA NOOP
			echo "$stage $action"
			expect "${NEXT[@]}" "250 2.0.0*"
		done
	done
}

@test "dies, is killed, talks nonsense at each stage of the data: 451, and the next transaction is tried anew" {
	for keywords in "PIPELINING CHUNKING X-ALL-OR-NOTHING" "PIPELINING X-ALL-OR-NOTHING"; do
		for stage in DATA end; do
			for action in die kill nonsense; do
				[ "$stage $keywords" != "DATA PIPELINING CHUNKING X-ALL-OR-NOTHING" ] || continue
				# shellcheck disable=SC2086
				fake $stage $action $keywords
				run say "${MESSAGE[@]}" "${MESSAGE[@]:0:2}"
				echo "$stage $action $keywords"
				if [ $stage = DATA ]; then
					# no 354: the text is then read as commands, and none of it is one
					[[ "${lines[2]}" == "451 4.3.0"* ]]
				else
					expect "$SENDER" "250 2.1.5*" "354 *" "451 4.3.0*" "$SENDER" "250 2.1.5*"
				fi
			done
		done
	done
}

@test "a line that is too long is a reply, cut; where the codes of one differ, the last one counts" {
	fake end long
	run say "${MESSAGE[@]}" NOOP
	expect "$SENDER" "250 2.1.5*" "354 *" "250 2.0.0*" "250 2.0.0*"
	fake end mismatch
	run say "${MESSAGE[@]}" NOOP
	expect "$SENDER" "250 2.1.5*" "354 *" "550-5.0.0 one" "550 5.0.0 two" "250 2.0.0*"
}

@test "dies in the middle of a long message: the rest is read, then 451" {
	fake BDAT die
	{ lines "EHLO client.example.org" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA
	  yes "$(printf '%070d\r' 0)" | head -n 20000
	  lines . NOOP QUIT; } >"$BATS_TEST_TMPDIR/in"
	over_socket whole "$BATS_TEST_TMPDIR/in" "${OPTIONS[@]}" | tr -d '\r' | tail -n 4 >"$BATS_TEST_TMPDIR/out"
	grep -q '^354' "$BATS_TEST_TMPDIR/out"
	grep -q '^451 4.3.0' "$BATS_TEST_TMPDIR/out"
	[ "$(grep -c '^250 2.0.0' "$BATS_TEST_TMPDIR/out")" = 1 ]
}

@test "hangs at each stage: 451 after deliver_timeout" {
	MORE=(-o deliver_timeout=300ms)
	for stage in greeting LHLO MAIL RCPT; do
		fake $stage hang
		run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA NOOP
		echo $stage
		expect "${NEXT[@]}" "250 2.0.0*"
	done
	fake end hang
	run say "${MESSAGE[@]}" NOOP
	expect "$SENDER" "250 2.1.5*" "354 *" "451 4.3.0*" "250 2.0.0*"
}

@test "a reply without end: 451, and not for ever" {
	fake RCPT endless
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" NOOP
	expect "$SENDER" "451 4.3.0*" "250 2.0.0*"
}

@test "the helper's code and text are the client's, several lines and all" {
	fake RCPT '452 4.2.2 Full'
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>"
	expect "$SENDER" "452 4.2.2 Full"
	fake RCPT '550-5.1.1 One\n550 5.1.1 Two'
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>"
	expect "$SENDER" "550-5.1.1 One" "550 5.1.1 Two"
	fake end '554 5.6.0 Never'
	run say "${MESSAGE[@]}"
	expect "$SENDER" "250 *" "354 *" "554 5.6.0 Never"
}

@test "a reply without enhanced code gets one, control octets are masked" {
	fake RCPT "$(printf '550 no \033[31m such')"
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>"
	expect "$SENDER" "550 5.0.0 no \?\[31m such"
}

@test "551 is 550 5.7.1 for a stranger" {
	fake RCPT '551 5.1.6 not mine'
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>"
	expect "$SENDER" "550 5.7.1*"
}

@test "the sender refused by the helper: its answer is the recipient's" {
	fake MAIL '550 5.7.1 I do not like you'
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA
	expect "$SENDER" "550 5.7.1 I do not like you" "503*"
}

@test "421 from the helper does not end the client's connection" {
	fake RCPT '421 4.3.2 going down'
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" NOOP
	expect "$SENDER" "451 4.3.2 going down" "250 2.0.0*"
}

@test "answers that differ after the data: 451, for a copy too many is better than none" {
	fake end2 '452 4.2.2 full'
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<a@example.test>" "RCPT TO:<b@example.test>" DATA x .
	expect "$SENDER" "250 *" "250 *" "354 *" "451 4.3.0*"
}

@test "a foreign next hop takes one recipient a transaction, and is told goodbye" {
	fake never die PIPELINING ENHANCEDSTATUSCODES 8BITMIME
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<a@example.test>" "RCPT TO:<b@example.test>" DATA "..x" .
	expect "$SENDER" "250 *" "452 4.5.3*" "354 *" "250 2.0.0*"
	until_true grep -q '^QUIT' "$BATS_TEST_TMPDIR/fake.log"
	grep -q '^\.\.x' "$BATS_TEST_TMPDIR/fake.log"
}

@test "what the helper says of its limit on recipients counts" {
	fake never die PIPELINING CHUNKING X-ALL-OR-NOTHING "LIMITS RCPTMAX=2"
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<a@example.test>" "RCPT TO:<b@example.test>" "RCPT TO:<c@example.test>" DATA x .
	expect "$SENDER" "250 *" "250 *" "452 4.5.3*" "354 *" "250 2.0.0*"
}

@test "a hundred temporary refusals do not end the connection" {
	fake RCPT '451 4.2.0 not now'
	many=()
	for i in {1..120}; do many+=("MAIL FROM:<a@b.example>" "RCPT TO:<a@example.test>" RSET); done
	run say "${many[@]}" NOOP
	[ "${lines[-1]}" = "250 2.0.0 Ok" ]
	[ "$(grep -c '^451 4.2.0' <<<"$output")" = 120 ]
}

@test "few descriptors: what does not fit in one transaction is put off, and goes in the next" {
	ulimit -n 128
	for i in {1..50}; do mkdir "$ROOT/example.test/u$i"; done
	rcpts=()
	for i in {1..50}; do rcpts+=("RCPT TO:<u$i@example.test>"); done
	OPTIONS=()
	run say "MAIL FROM:<a@b.example>" "${rcpts[@]}" DATA x . "MAIL FROM:<a@b.example>" "${rcpts[@]:26}" DATA x .
	[ "$(grep -c '^250 2.1.5' <<<"$output")" = 50 ]
	[ "$(grep -c '^452 4.5.3' <<<"$output")" = 24 ]
	[ "$(find "$ROOT" -path "$ROOT/*/*/new/*" | wc -l)" = 50 ]
}

@test "without PIPELINING each recipient is asked by itself" {
	fake never die CHUNKING X-ALL-OR-NOTHING
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<a@example.test>" "RCPT TO:<b@example.test>" DATA x .
	expect "$SENDER" "250 *" "250 *" "354 *" "250 2.0.0*"
}

@test "SMTPUTF8 to a next hop that does not have it: 550 5.6.7" {
	fake never die PIPELINING CHUNKING X-ALL-OR-NOTHING
	run say "MAIL FROM:<é@b.example> SMTPUTF8" "RCPT TO:<alice@example.test>"
	expect "$SENDER" "550 5.6.7*"
}

@test "a reply too many after a message: not taken for the answer to the next, which is put off" {
	fake end '250 2.0.0 stored\n250 2.0.0 more'
	run say "${MESSAGE[@]}" "${MESSAGE[@]:0:2}" RSET "${MESSAGE[@]}"
	expect "$SENDER" "250 2.1.5*" "354 *" "250 2.0.0 Ok, stored*" "$SENDER" "451 4.3.0*" "250 2.0.0*" "$SENDER" "250 2.1.5*" "354 *" "250 2.0.0 Ok, stored*"
	grep -q 'next hop failed: it talks out of turn' "$LOG"
}

@test "a reply too many before a message: none of it goes where a command is awaited, and no answer is taken for one to it" {
	local keywords action
	for keywords in CHUNKING 8BITMIME; do
		for action in "RCPT 250 2.1.5 ok\n250 2.0.0 stored" "RCPT 250 2.1.5 ok\n354 go on" "DATA 354 go on\n250 2.0.0 stored" "greeting 220 hop\n220 LMTP"; do
			[ "$keywords ${action%% *}" != "CHUNKING DATA" ] || continue
			rm -f "$BATS_TEST_TMPDIR/fake.log"
			fake "${action%% *}" "${action#* }" PIPELINING "$keywords"
			run say "${MESSAGE[@]:0:3}" NOOP
			echo "$keywords $action"
			if [ "${action%% *}" = greeting ]; then expect "${NEXT[@]}" "250 2.0.0*"
			else expect "$SENDER" "250 2.1.5*" "451 4.3.0*" "250 2.0.0*"; fi
			grep -q 'next hop failed: it talks out of turn' "$LOG"
			refute grep -q -e Received -e BDAT "$BATS_TEST_TMPDIR/fake.log"
			: >"$LOG"
		done
	done
}

@test "a reply too many to a chunk is not taken for the answer to the message: 451" {
	fake BDAT '250 2.0.0 chunk\n250 2.0.0 stored'
	{ lines "EHLO client.example.org" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA
	  yes "$(printf '%070d\r' 0)" | head -n 1500
	  lines . QUIT; } >"$BATS_TEST_TMPDIR/in"
	run over_socket whole "$BATS_TEST_TMPDIR/in" "${OPTIONS[@]}"
	[[ "$output" == *"451 4.3.0"* ]]
	grep -q 'next hop failed: it talks out of turn' "$LOG"
	refute grep -q '^BDAT.*LAST' "$BATS_TEST_TMPDIR/fake.log"
}

@test "a 2xx instead of 354 is nonsense: 451" {
	fake DATA '250 2.0.0 what' PIPELINING X-ALL-OR-NOTHING
	run say "${MESSAGE[@]:0:3}" NOOP
	expect "$SENDER" "250 2.1.5*" "451 4.3.0*" "250 2.0.0*"
	grep -q 'next hop failed: it talks nonsense' "$LOG"
}

@test "parameters go on to a next hop that offers them, and only then" {
	fake never die PIPELINING X-ALL-OR-NOTHING SIZE 8BITMIME SMTPUTF8
	run say "MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME SMTPUTF8" "RCPT TO:<alice@example.test>"
	grep -q '^MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME SMTPUTF8' "$BATS_TEST_TMPDIR/fake.log"
	fake never die PIPELINING X-ALL-OR-NOTHING
	run say "MAIL FROM:<c@b.example> SIZE=100 BODY=8BITMIME" "RCPT TO:<alice@example.test>"
	grep -q $'^MAIL FROM:<c@b.example>\r' "$BATS_TEST_TMPDIR/fake.log"
}

@test "a transaction given up is given up at the next hop too (P6)" {
	fake never die
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<a@example.test>" RSET "MAIL FROM:<b@b.example>" "RCPT TO:<b@example.test>" DATA x .
	expect "$SENDER" "250 *" "250 2.0.0*" "$SENDER" "250 *" "354 *" "250 2.0.0*"
	[ "$(tr -d '\r' <"$BATS_TEST_TMPDIR/fake.log" | grep -cx RSET)" = 1 ]
}

# accept_once COMMAND...: a unix socket served once by COMMAND, its address in $SOCKET.
accept_once() {
	SOCKET=$BATS_TEST_TMPDIR/hop.sock
	"$PYTHON" -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX if sys.argv[1] != "tcp" else socket.AF_INET)
s.bind(sys.argv[2] if sys.argv[1] != "tcp" else ("127.0.0.1", 0))
s.listen()
open(sys.argv[2] + ".ready", "w").write(str(s.getsockname()[1] if sys.argv[1] == "tcp" else ""))
c = s.accept()[0]
s.close()
os.dup2(c.fileno(), 0); os.dup2(c.fileno(), 1)
os.execv(sys.argv[3], sys.argv[3:])' "$1" "$SOCKET" "${@:2}" 3>&- 2>>"$LOG" &
	SERVER=$!
	until_true test -e "$SOCKET.ready"
}

teardown() { [ -z "${SERVER:-}" ] || kill "$SERVER" 2>/dev/null || true; }

@test "deliver = unix: reaches maildir-deliver under a user of its own" {
	accept_once unix "$DELIVER" "${SETTINGS[@]}" --lmtp
	OPTIONS=(-o "deliver=unix:$SOCKET")
	lines "EHLO c" "${MESSAGE[@]}" "${MESSAGE[@]}" QUIT >"$BATS_TEST_TMPDIR/in"
	over_socket whole "$BATS_TEST_TMPDIR/in" "${OPTIONS[@]}" >/dev/null
	[ "$(count "$ROOT/example.test/alice")" = 2 ]
}

@test "deliver = tcp:HOST:PORT" {
	accept_once tcp "$DELIVER" "${SETTINGS[@]}" --lmtp
	lines "EHLO c" "${MESSAGE[@]}" QUIT >"$BATS_TEST_TMPDIR/in"
	over_socket whole "$BATS_TEST_TMPDIR/in" -o "deliver=tcp:127.0.0.1:$(cat "$SOCKET.ready")" >/dev/null
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
}

@test "what cannot be reached: 451 and a log line" {
	local long
	long=$(printf '%0300d' 0)
	for deliver in unix:/nonexistent/socket "unix:/$long" tcp:127.0.0.1:1 tcp:127.0.0.1:no-service "tcp:$long:25"; do
		OPTIONS=(-o "deliver=$deliver")
		run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" NOOP
		[[ "${lines[1]}" == "451 4.3.0"* ]]
		grep -q "cannot connect to $deliver" "$LOG"
	done
}

@test "a next hop whose backlog is full: 451 in time" {
	"$PYTHON" - "$BATS_TEST_TMPDIR/sock" "$HANDLER" "${SETTINGS[@]}" -o "deliver=unix:$BATS_TEST_TMPDIR/sock" -o deliver_timeout=500ms 2>>"$LOG" <<'EOF'
import socket, subprocess, sys, time
l = socket.socket(socket.AF_UNIX)
l.bind(sys.argv[1])
l.listen(0)
full = []
while True:
    c = socket.socket(socket.AF_UNIX)
    c.setblocking(False)
    full.append(c)
    try:
        c.connect(sys.argv[1])
    except BlockingIOError:
        break
t = time.monotonic()
p = subprocess.run(sys.argv[2:], input=b"EHLO c\nMAIL FROM:<a@b.example>\nRCPT TO:<alice@example.test>\nQUIT\n", stdout=subprocess.PIPE, timeout=60)
assert b"451 4.3.0" in p.stdout and time.monotonic() - t < 10, p
EOF
	grep -qE "cannot connect to unix:$BATS_TEST_TMPDIR/sock: (Connection|Operation) timed out" "$LOG"
}

@test "a helper that dies in mid-transaction is not replaced before it is over: no false 250" {
	# the helper dies when it is asked; VRFY would reach a new one
	cat >"$BATS_TEST_TMPDIR/hop" <<EOF
#!/bin/bash
if [ ! -e "$BATS_TEST_TMPDIR/first" ]; then
	touch "$BATS_TEST_TMPDIR/first"
	exec "$PYTHON" "$TESTS/fake-hop.py" VRFY die
fi
exec "$DELIVER" "\$@"
EOF
	chmod +x "$BATS_TEST_TMPDIR/hop"
	OPTIONS=(-o "deliver=$BATS_TEST_TMPDIR/hop" -o vrfy=yes)
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "VRFY alice@example.test" "VRFY alice@example.test" DATA \
		"MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA x .
	expect "$SENDER" "250 *" "451 4.3.0*" "451 4.3.0*" "451 4.3.0*" "$SENDER" "250 *" "354 *" "250 2.0.0 Ok, stored*"
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
}

@test "a reply that comes line by line for ever ends with deliver_timeout" {
	MORE=(-o deliver_timeout=500ms)
	fake RCPT drip
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" NOOP
	expect "$SENDER" "451 4.3.0*" "250 2.0.0*"
	grep -q 'next hop failed: it does not answer in time' "$LOG"
}

@test "3xx where none is due is nonsense, not the client's" {
	for stage in MAIL RCPT; do
		fake $stage '354 go on'
		run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA
		expect "${NEXT[@]}"
	done
	fake DATA '334 what' PIPELINING X-ALL-OR-NOTHING
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA
	expect "$SENDER" "250 *" "451 4.3.0*"
}

@test "a client's bad message to a next hop without CHUNKING: the hop is given up and reached anew, and not blamed" {
	fake never die PIPELINING X-ALL-OR-NOTHING
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA $'x\ry' . "${MESSAGE[@]}"
	expect "$SENDER" "250 *" "354 *" "554 5.6.0*" "$SENDER" "250 *" "354 *" "250 2.0.0*"
	refute grep -q 'next hop failed' "$LOG"
}

@test "a message too large for the helper alone, to two recipients: its refusal comes at once" {
	printf '#!/bin/bash\nexec %q "$@" -o max_size=65536\n' "$DELIVER" >"$BATS_TEST_TMPDIR/hop"
	chmod +x "$BATS_TEST_TMPDIR/hop"
	{ lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "RCPT TO:<bob@example.test>" DATA
	  yes "$(printf '%070d\r' 0)" | head -n 3000
	  lines . QUIT; } >"$BATS_TEST_TMPDIR/in"
	run over_socket whole "$BATS_TEST_TMPDIR/in" -o "deliver=$BATS_TEST_TMPDIR/hop"
	[[ "$output" == *"552 5.3.4"* ]]
	refute grep -q 'next hop failed' "$LOG"
}

@test "a parent that ignores SIGCHLD or blocks signals changes nothing" {
	lines "EHLO c" "${MESSAGE[@]}" QUIT >"$BATS_TEST_TMPDIR/in"
	bash -c 'trap "" CHLD; exec "$@"' x "$HANDLER" "${SETTINGS[@]}" <"$BATS_TEST_TMPDIR/in" 2>>"$LOG" >/dev/null
	refute grep -q 'next hop failed' "$LOG"
	"$PYTHON" -c 'import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
os.execv(sys.argv[1], sys.argv[1:])' "$HANDLER" "${SETTINGS[@]}" <"$BATS_TEST_TMPDIR/in" 2>>"$LOG" >/dev/null
	[ "$(count "$ROOT/example.test/alice")" = 2 ]
}

@test "deliver = unix: RCPTMAX is not announced before it is known" {
	lines "EHLO c" QUIT >"$BATS_TEST_TMPDIR/in"
	run over_socket whole "$BATS_TEST_TMPDIR/in" -o deliver=unix:/nonexistent
	[[ "$output" != *LIMITS* ]]
}

@test "VRFY and EXPN are asked of the helper when allowed" {
	OPTIONS=(-o vrfy=yes)
	run say "VRFY alice@example.test" "VRFY <bob@example.test>" "VRFY nobody@example.test" "EXPN alice@example.test" "VRFY a@foreign.example"
	expect "250 2.1.5 <alice@example.test>" "250 2.1.5 <bob@example.test>" "550 5.1.1*" "550 5.1.1*" "551 5.7.1*"
	OPTIONS=()
	run say "VRFY alice@example.test" "EXPN alice@example.test"
	expect "252 2.0.0*" "502 5.5.1*"
}

@test "after too many refused recipients, a message that was sent along is not passed on" {
	local i refused=()
	for ((i = 0; i < 100; i++)); do refused+=("RCPT TO:<nobody$i@example.test>"); done
	fake RCPT2 "550 5.1.1 no"
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "${refused[@]}" DATA "Subject: x" "" "hi" .
	[ "${lines[-1]}" = "421 4.7.0 Too many refused recipients" ]
	refute grep -q -e BDAT -e DATA "$BATS_TEST_TMPDIR/fake.log"
}
