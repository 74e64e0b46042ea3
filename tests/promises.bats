#!/usr/bin/env bats
# The promises P1-P10, each with the test that would show it broken.
load helper

MESSAGE=("MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA "Subject: x" "" hi .)

STRACE=()
traced() {      # traced FILE OPTION...: the handler under strace; sandbox off, for a process in strict mode cannot be traced usefully
	local file=$1
	shift
	command -v strace >/dev/null || skip "no strace"
	clean_env ASAN_OPTIONS=detect_leaks=0 strace -f -y -s 1000 "${STRACE[@]}" -o "$BATS_TEST_TMPDIR/trace" "$HANDLER" "${SETTINGS[@]}" -o sandbox=no "$@" <"$file" 2>>"$LOG"
}

# order PATTERN...: the calls of the trace come in this order.
order() {
	local from=1 at pattern
	for pattern in "$@"; do
		at=$(tail -n "+$from" "$BATS_TEST_TMPDIR/trace" | grep -nE -m 1 "$pattern" | cut -d: -f1)
		[ -n "$at" ] || { echo "not found behind line $from: $pattern"; return 1; }
		from=$((from + at))
	done
}

@test "P1: file synced and closed, renamed, directory synced, and only then the 250" {
	lines "EHLO c" "${MESSAGE[@]}" QUIT >"$BATS_TEST_TMPDIR/in"
	traced "$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	grep -q '^250 2.0.0 Ok' "$BATS_TEST_TMPDIR/out"
	order 'write.*/alice/tmp/' 'fsync\([0-9]+</[^>]*/alice/tmp/' 'close\([0-9]+</[^>]*/alice/tmp/' 'rename.*alice/new' 'fsync\([0-9]+</[^>]*/alice/new>' \
		'write\(1[^0-9].*250 2.0.0 Ok\\r' 'read.*250 2.0.0 Ok' 'write\(1[^0-9].*Ok, stored with id'
}

@test "P1, P2: with three recipients every file is synced before the first rename, every directory after the last, then the 250" {
	mkdir "$ROOT/example.test/carol"
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "RCPT TO:<bob@example.test>" "RCPT TO:<carol@example.test>" DATA x . QUIT \
		>"$BATS_TEST_TMPDIR/in"
	traced "$BATS_TEST_TMPDIR/in" >/dev/null
	run awk '/fsync\(.*example.test\/[a-z]+\/tmp\//{f++; if (r) bad=1} /renameat2\(/ && !/unfinished/{r++; if (f<3) bad=1} /fsync\(.*\/new>/{d++; if (r<3) bad=1}
		/Ok, stored with id/ && /write/{if (d<3) bad=1; ok=1} END{print f, r, d, ok, bad+0}' "$BATS_TEST_TMPDIR/trace"
	[ "$output" = "3 3 3 1 0" ]
}

@test "P1, P2: for two hosts message and entries are synced before the links, those before the first entry is in new/, that after the last, then the 250" {
	mkdir "$BATS_TEST_TMPDIR/queue"
	SETTINGS+=(-o "queue_dir=$BATS_TEST_TMPDIR/queue" -o relay_from=192.0.2.7)
	STRACE=(-E TCPREMOTEIP=192.0.2.7)
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<joe@far.example>" "RCPT TO:<ann@near.example>" DATA x . QUIT >"$BATS_TEST_TMPDIR/in"
	traced "$BATS_TEST_TMPDIR/in" >/dev/null
	run awk '/fsync\(.*queue\/tmp\//{f++; if (l) bad=1} /linkat\(.*queue\/message>/ && !/unlinkat/{l++; if (f<3) bad=1} /fsync\(.*queue\/message>/{m++; if (l<2 || r) bad=1}
		/renameat\(.*"new\//{r++; if (m<1) bad=1} /fsync\(.*queue\/new>/{n++; if (r<2) bad=1} /Ok, stored with id/ && /write/{if (n<1) bad=1; ok=1} /fsync\(.*\/queue>/{q++}
		END{print f, l, m, r, n, ok, q, bad+0}' "$BATS_TEST_TMPDIR/trace"
	[ "$output" = "3 2 1 2 1 1 3 0" ]       # the last but one: each folder that was made
}

# to_forty: a message to forty mailboxes.
to_forty() {
	local rcpts=()
	for i in {1..40}; do
		mkdir "$ROOT/example.test/u$i"
		rcpts+=("RCPT TO:<u$i@example.test>")
	done
	lines "EHLO c" "MAIL FROM:<a@b.example>" "${rcpts[@]}" DATA x . QUIT >"$BATS_TEST_TMPDIR/in"
}

@test "P1, P2: with forty recipients the file system is synced between the last write and the first rename, and after the last, then the 250" {
	to_forty
	traced "$BATS_TEST_TMPDIR/in" >/dev/null
	run awk '/writev\(.*\/u[0-9]+\/tmp\//{w++; if (s) bad=1} /syncfs\(.*\/new>.* = 0$/{s++; if (w<40 || (s==1 && r) || (s==2 && r<40)) bad=1}
		/renameat2\(/{r++; if (s!=1) bad=1} /Ok, stored with id/ && /write/{if (s<2) bad=1; ok=1} END{print w, s, r, ok, bad+0}' "$BATS_TEST_TMPDIR/trace"
	[ "$output" = "40 2 40 1 0" ]
}

@test "P1, P2: when that sync fails nobody gets it, and the client hears 4xx" {
	to_forty
	for when in 1 2; do
		STRACE=(-e "inject=syncfs:error=EIO:when=$when")
		traced "$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
		grep -q '^4.. 4' "$BATS_TEST_TMPDIR/out"
		no_trace
	done
}

@test "P1: where renameat2 is not to be had, by a link; synced all the same, and tmp/ is empty" {
	lines "EHLO c" "${MESSAGE[@]}" QUIT >"$BATS_TEST_TMPDIR/in"
	for error in ENOSYS EINVAL EPERM; do
		STRACE=(-e "inject=renameat2:error=$error")
		traced "$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
		grep -q '^250 2.0.0 Ok, stored' "$BATS_TEST_TMPDIR/out"
		order 'fsync\([0-9]+</[^>]*/alice/tmp/' 'linkat\(.*alice/new' 'unlinkat\(.*alice/tmp' 'fsync\([0-9]+</[^>]*/alice/new>' 'write.*Ok, stored with id'
		tmp_empty
	done
	[ "$(count "$ROOT/example.test/alice")" = 3 ]
}

@test "P2: 100 recipients, all get it" {
	local rcpts=()
	for i in {1..100}; do
		mkdir "$ROOT/example.test/u$i"
		rcpts+=("RCPT TO:<u$i@example.test>")
	done
	lines "EHLO c" "MAIL FROM:<a@b.example>" "${rcpts[@]}" DATA "Subject: x" "" hi . QUIT | strict >"$BATS_TEST_TMPDIR/out"
	grep -q '^250 2.0.0 Ok' "$BATS_TEST_TMPDIR/out"
	[ "$(find "$ROOT" -path "$ROOT/*/*/new/*" | wc -l)" = 100 ]
	tmp_empty
}

@test "P2: 100 recipients, one mailbox made unwritable: none gets it, 4xx" {
	[ "$(id -u)" = 0 ] || skip "needs another user"
	local rcpts=()
	for i in {1..100}; do
		mkdir -p "$ROOT/example.test/u$i"/{tmp,new,cur}
		rcpts+=("RCPT TO:<u$i@example.test>")
	done
	chown -R nobody "$ROOT"
	chmod 755 "$BATS_TEST_TMPDIR"
	chmod 500 "$ROOT/example.test/u77/tmp"
	lines "EHLO c" "MAIL FROM:<a@b.example>" "${rcpts[@]}" DATA "Subject: x" "" hi . QUIT |
		strict >"$BATS_TEST_TMPDIR/out"         # as root, which writes as the owner
	grep -q '^451 4.2.0' "$BATS_TEST_TMPDIR/out"
	grep -q 'u77@example.test: cannot create a file in tmp: Permission denied' "$LOG"
	no_trace
	# new/ unwritable shows only when the others are published already: those are taken back
	chmod 700 "$ROOT/example.test/u77/tmp"
	chmod 500 "$ROOT/example.test/u77/new"
	lines "EHLO c" "MAIL FROM:<a@b.example>" "${rcpts[@]}" DATA "Subject: x" "" hi . QUIT | strict >"$BATS_TEST_TMPDIR/out"
	grep -q '^451 4.2.0' "$BATS_TEST_TMPDIR/out"
	no_trace
}

@test "P2: a large message is streamed once and copied by the kernel" {
	{ lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "RCPT TO:<bob@example.test>" DATA "Subject: x" ""
	  yes "$(printf '%070d\r' 0)" | head -n 5000
	  lines . QUIT; } >"$BATS_TEST_TMPDIR/in"
	traced "$BATS_TEST_TMPDIR/in" >/dev/null
	grep -q 'copy_file_range(' "$BATS_TEST_TMPDIR/trace"
	cmp <(tail -n +4 "$(new_files "$ROOT/example.test/alice")") <(tail -n +4 "$(new_files "$ROOT/example.test/bob")")
	[ "$(grep -c '^0*$' "$(new_files "$ROOT/example.test/bob")")" = 5001 ]
}

@test "P3: the connection ends at any octet: nothing is delivered, nothing is left" {
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA "Subject: x" "" hi >"$BATS_TEST_TMPDIR/whole"
	printf .\\r >>"$BATS_TEST_TMPDIR/whole"
	size=$(stat -c %s "$BATS_TEST_TMPDIR/whole")
	for ((i = 0; i <= size; i += 3)); do
		head -c "$i" "$BATS_TEST_TMPDIR/whole" | strict >/dev/null
	done
	strict <"$BATS_TEST_TMPDIR/whole" >/dev/null
	no_trace
	grep -q 'client has gone' "$LOG"
}

# holding STAGE: a session that waits in the data of a large message; its pids in KEEPER, SPEAKER and HELPER.
holding() {
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	handler <"$BATS_TEST_TMPDIR/fifo" >"$BATS_TEST_TMPDIR/out" 3>&- &
	exec 9>"$BATS_TEST_TMPDIR/fifo"
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA "Subject: x" "" >&9
	yes "$(printf '%070d\r' 0)" | head -n 5000 >&9
	until_true refute tmp_empty
	HELPER=$(pgrep -of "^$DELIVER .*mail_root=$ROOT ")
	KEEPER=$(pgrep -of "^$HANDLER .*mail_root=$ROOT ")
	SPEAKER=$(pgrep -P "$KEEPER" -f "^$HANDLER")
}

gone() { ! kill -0 "$1" 2>/dev/null; }

@test "P3: the speaker killed in mid-data: nothing delivered, nothing left, status 75" {
	holding
	kill -9 "$SPEAKER"
	until_true gone "$KEEPER"
	exec 9>&-
	no_trace
	grep -q 'speaker killed: by signal 9' "$LOG"
}

@test "P3: the keeper killed in mid-data: the others end by themselves, nothing delivered, nothing left" {
	holding
	kill -9 "$KEEPER"
	until_true gone "$SPEAKER"
	until_true gone "$HELPER"
	exec 9>&-
	no_trace
}

@test "P3: the helper told to end in mid-data finishes what it has in hand; killed, it leaves the client a 451" {
	holding
	kill -9 "$HELPER"
	yes "$(printf '%070d\r' 0)" | head -n 5000 >&9
	lines . NOOP QUIT >&9
	exec 9>&-
	until_true gone "$KEEPER"
	grep -q '^451 4.3.0' "$BATS_TEST_TMPDIR/out"
	[ "$(count "$ROOT/example.test/alice")" = 0 ]
	grep -q 'next hop failed: the program was ended by signal 9' "$LOG"
}

@test "P3: disk full: 452, nothing delivered, nothing left; the next message is taken" {
	[ "$(id -u)" = 0 ] || skip "needs root for a small file system"
	mount -t tmpfs -o size=1m tmpfs "$ROOT" 2>/dev/null || skip "cannot mount"
	mkdir -p "$ROOT/example.test/alice"
	{ lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA
	  yes "$(printf '%070d\r' 0)" | head -n 50000
	  lines . "${MESSAGE[@]}" QUIT; } | strict >"$BATS_TEST_TMPDIR/out"
	left=$(find "$ROOT" -path "$ROOT/*/*/tmp/*" | wc -l) stored=$(count "$ROOT/example.test/alice")
	umount "$ROOT"
	grep -q '^452 4.3.1' "$BATS_TEST_TMPDIR/out"
	[ "$left $stored" = "0 1" ]
}

@test "P5: every octet but CR, LF and NUL, in lines of any length, arrives as it was sent" {
	"$PYTHON" - "$BATS_TEST_TMPDIR" <<'EOF'
import random, sys
random.seed(5)
octets = bytes(b for b in range(1, 256) if b not in (10, 13))
body = b"Subject: x\n\n" + b"".join(bytes(random.choices(octets, k=random.choice((0, 1, 2, 70, 998, 5000, 200000)))) + b"\n" for _ in range(60)) + b".\n..\n.x\n"
open(sys.argv[1] + "/body", "wb").write(body)
wire = b"\r\n".join(b"." + l if l[:1] == b"." else l for l in body.split(b"\n"))
head = b"EHLO c\r\nMAIL FROM:<a@b.example> BODY=8BITMIME\r\nRCPT TO:<alice@example.test>\r\n"
open(sys.argv[1] + "/in", "wb").write(head + b"DATA\r\n" + wire + b".\r\nQUIT\r\n")
crlf = body.replace(b"\n", b"\r\n")
chunks, rest = b"", crlf
while rest:
    n = random.choice((1, 2, 1000, 65536, 100000))
    piece, rest = rest[:n], rest[n:]
    chunks += b"BDAT %d\r\n" % len(piece) + piece
open(sys.argv[1] + "/bdat", "wb").write(head + chunks + b"BDAT 0 LAST\r\nQUIT\r\n")
EOF
	over_socket whole "$BATS_TEST_TMPDIR/in" >/dev/null
	tail -n +7 "$(new_files "$ROOT/example.test/alice")" | cmp - "$BATS_TEST_TMPDIR/body"
	rm -r "$ROOT/example.test/alice/new"
	over_socket whole "$BATS_TEST_TMPDIR/bdat" >/dev/null
	tail -n +7 "$(new_files "$ROOT/example.test/alice")" | cmp - "$BATS_TEST_TMPDIR/body"
}

@test "P6: no residue after RSET, EHLO, a refused message, a failed chunk" {
	OPTIONS=(-o max_size=65536)
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" RSET "RCPT TO:<alice@example.test>" "DATA"
	[ "${lines[3]:0:3}${lines[4]:0:3}" = 503503 ]
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA $'x\ry' . DATA
	[ "${lines[3]:0:3}${lines[4]:0:3}" = 554503 ]
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "BDAT 70000"$'\r\n'"$(printf '%069998d' 0)" DATA
	[ "${lines[2]:0:3}${lines[3]:0:3}" = 552503 ]
	no_trace
}

@test "P7: peak memory does not depend on the size of the message" {
	[ ! -e "$BUILD/libsmtp.a" ] || ! nm "$HANDLER" 2>/dev/null | grep -q __asan || skip "sanitizers have memory of their own"
	peak() {        # of the speaker and the helper, in KiB, with all their static buffers in use
		mkfifo "$BATS_TEST_TMPDIR/fifo.$1"
		handler <"$BATS_TEST_TMPDIR/fifo.$1" >"$BATS_TEST_TMPDIR/out" 3>&- &
		exec 9>"$BATS_TEST_TMPDIR/fifo.$1"
		{ lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA; yes "$(printf '%070d\r' 0)" | head -n "$1"; lines . NOOP; } >&9
		until_true grep -q '^250 2.0.0 Ok.$' "$BATS_TEST_TMPDIR/out"
		local keeper
		keeper=$(pgrep -of "^$HANDLER .*mail_root=$ROOT ")
		for pid in "$keeper" $(pgrep -P "$keeper"); do awk '/^VmHWM/{print $2}' "/proc/$pid/status"; done >"$BATS_TEST_TMPDIR/peak.$1"
		exec 9>&-
		until_true gone "$keeper"
	}
	peak 2000       # 144 KiB; later there may be larger reads into the same buffers, 170 KiB in all
	peak 600000     # 43 MiB
	paste "$BATS_TEST_TMPDIR/peak.2000" "$BATS_TEST_TMPDIR/peak.600000"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/peak.2000")" = 3 ]
	paste "$BATS_TEST_TMPDIR/peak.2000" "$BATS_TEST_TMPDIR/peak.600000" | awk '{if ($2 > $1 + 256) exit 1}'
}

@test "P7: 50000 commands, and a line of 10 MB, in the same memory" {
	{ lines "EHLO c"; yes $'RSET\r' | head -n 50000; head -c 10000000 /dev/zero | tr '\0' x; lines "" NOOP QUIT; } >"$BATS_TEST_TMPDIR/in"
	over_socket whole "$BATS_TEST_TMPDIR/in" | tr -d '\r' >"$BATS_TEST_TMPDIR/out"
	[ "$(grep -c '^250 2.0.0 Ok$' "$BATS_TEST_TMPDIR/out")" = 50001 ]
	[ "$(grep -c '^500 5.5.6' "$BATS_TEST_TMPDIR/out")" = 1 ]
}

@test "P8: what a client says is escaped in the log and names no file" {
	# shellcheck disable=SC2016
	run say $'MAIL FROM:<"a\\\\b>c"@b.example>' 'RCPT TO:<"../../../../tmp/x"@example.test>' 'RCPT TO:<"a/b"@example.test>' 'RCPT TO:<".hidden"@example.test>' \
		'RCPT TO:<`id`@example.test>' 'RCPT TO:<$(id)@example.test>' $'XX\xff\x01'
	[ "$(grep -c '^550 5.1.1' <<<"$output")" = 4 ]
	grep -qF 'from=<"a\x5c\x5cb\x3ec"@b.example>' "$LOG"
	grep -qF 'bad command: <XX\xff\x01>' "$LOG"
	[ "$(LC_ALL=C grep -c '[^ -~]' "$LOG")" = 0 ]
}

@test "P9: with any number of descriptors: stored, or 4xx" {
	lines "EHLO c" "${MESSAGE[@]}" QUIT >"$BATS_TEST_TMPDIR/in"
	local n status seen=
	for n in {3..20}; do
		status=0
		clean_env bash -c 'ulimit -n "$1"; shift; exec "$@"' bash "$n" "$HANDLER" "${SETTINGS[@]}" <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>>"$LOG" 3>&- || status=$?
		seen+="$n: $status $(grep -oE '^(250 2.0.0 Ok, stored|4[0-9][0-9]) ' "$BATS_TEST_TMPDIR/out" | tr '\n' ' '); "
		case "${seen##*: }" in
		"75 421"* | "78 421"* | "0 45"*)        # 78: the configuration could not be opened
			[ "$(count "$ROOT/example.test/alice")" = 0 ] ;;
		"0 250"*) [ "$(count "$ROOT/example.test/alice")" = 1 ] && rm "$ROOT/example.test/alice/new"/* ;;
		127*) echo "$seen"; [ "$n" -lt 4 ] ;;         # not even its library could be loaded
		*) echo "$seen"; cat "$LOG"; return 1 ;;
		esac
		tmp_empty
	done
	echo "$seen"
	[[ $seen == *"75 421"*"0 451"*"0 250"* ]]
	grep -q 'no socket for the speaker: ' "$LOG"
	grep -q 'no socket for a program: ' "$LOG"
}

@test "P9: whatever ends the helper, the answer is 4xx" {
	for end in "exit 1" "exit 65" "exit 67" "exit 77" "exit 78" "kill -9 \$\$" "kill -SEGV \$\$"; do
		printf '#!/bin/bash\nulimit -c 0\n%s\n' "$end" >"$BATS_TEST_TMPDIR/hop"
		chmod +x "$BATS_TEST_TMPDIR/hop"
		# shellcheck disable=SC2034
		OPTIONS=(-o "deliver=$BATS_TEST_TMPDIR/hop")
		run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>"
		[ "${lines[1]:0:4}" = "451 " ]
	done
}
