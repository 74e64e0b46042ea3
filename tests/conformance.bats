#!/usr/bin/env bats
# What the standards ask for and no other file shows; conformance.md lists every requirement with the test that shows it.
# A test has OPTIONS of its own:
# shellcheck disable=SC2030,SC2031
load helper

MESSAGE=("MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA "Subject: x" "" hi .)
IN=$BATS_TEST_TMPDIR/in OUT=$BATS_TEST_TMPDIR/out

# octets N: a message of so many, in lines of 64 with CRLF; N is at least 200.
octets() {
	printf 'Subject: x\r\n\r\n'
	yes "$(printf '%062d\r' 0)" | head -n $((($1 - 100) / 64))
	printf '%0*d\r\n' $((($1 - 100) % 64 + 84)) 0
}

# codes FILE: the codes of all replies, in one line.
codes() { tr -d '\r' <"$1" | grep '^[0-9]* ' | cut -c 1-3 | tr '\n' ' '; }
stored() { find "$ROOT" -path "$ROOT/*/new/*" -type f | wc -l; }

# --- sizes ---

@test "DAT-13, SIZ-05: too big in DATA, though declared small: all of it read, one 552 behind the dot, nothing stored; the next is taken" {
	{
		lines "EHLO c" "MAIL FROM:<a@b.example> SIZE=1" "RCPT TO:<alice@example.test>" DATA
		octets 70000
		lines . "${MESSAGE[@]}" QUIT
	} >"$IN"
	for mode in whole lines; do
		rm -rf "$ROOT/example.test/alice/new"
		over_socket $mode "$IN" -o max_size=65536 >"$OUT"
		[ "$(codes "$OUT")" = "220 250 250 250 354 552 250 250 354 250 221 " ]
		grep -q '^552 5\.3\.4 ' "$OUT"
		[ "$(stored)" = 1 ]
	done
}

@test "SIZ-06: a message of exactly the limit is taken, one octet more is not; dots that are taken off do not count" {
	for size in 65536 65537; do
		{
			lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA
			octets $((size - 30)) | sed '3s/^0/../'         # a dot in the place of an octet, and the one that is taken off
			lines 0123456789 0123456789012345 . "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "BDAT $size LAST"
			octets $size
			lines QUIT
		} >"$IN"
		over_socket whole "$IN" -o max_size=65536 >"$OUT.$size"
	done
	[ "$(codes "$OUT.65536")" = "220 250 250 250 354 250 250 250 250 221 " ]
	[ "$(codes "$OUT.65537")" = "220 250 250 250 354 552 250 250 552 221 " ]
	[ "$(stored)" = 2 ]
}

# --- trace ---

# hops N: N Received lines in a message.
hops() { lines "EHLO c" "${MESSAGE[@]:0:3}"; yes $'Received: from a by b; x\r' | head -n "$1"; lines "Subject: x" "" . QUIT; }

@test "TRC-13: 99 Received lines, with ours a hundred, are taken; a hundred are not" {
	hops 100 >"$IN"
	over_socket whole "$IN" >"$OUT"
	grep -q '^554 5\.4\.6 ' "$OUT"
	[ "$(stored)" = 0 ]
	hops 99 >"$IN"
	over_socket whole "$IN" >"$OUT"
	[ "$(codes "$OUT")" = "220 250 250 250 354 250 221 " ]
	[ "$(grep -c '^Received:' "$(new_files "$ROOT/example.test/alice")")" = 100 ]
}

@test "TRC-01, TRC-02, TRC-03: Received has the name given, the address, our name, and a date with numeric zone" {
	local file
	for peer in 192.0.2.1 2001:db8::25; do
		lines "EHLO client.example.org" "${MESSAGE[@]}" QUIT | clean_env REMOTE_ADDR=$peer timeout 30 "$HANDLER" "${SETTINGS[@]}" >"$OUT" 2>>"$LOG"
	done
	[ "$(new_files "$ROOT/example.test/alice" | xargs cat | masked | grep -A 3 '^Received: ' | tr -d '\t' | tr '\n' '|')" = "$(printf '%s|' \
		"Received: from client.example.org ([192.0.2.1])" "by mx.example.test with ESMTP id ID.1" "for <alice@example.test>;" DATE -- \
		"Received: from client.example.org ([IPv6:2001:db8::25])" "by mx.example.test with ESMTP id ID.1" "for <alice@example.test>;" DATE)" ]
	for file in $(new_files "$ROOT/example.test/alice"); do
		grep -qE $'^\t(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} \+0000$' "$file"
		[ "$(date -d "$(grep -E '^	.* \+0000$' "$file")" +%s)" -gt $(($(date +%s) - 600)) ]
	done
}

@test "TRC-05: with the longest names the trace has no line over 998 octets and is still one header" {
	local label name local_part file
	label=$(printf '%063d' 0)
	name=$label.$label.$label.${label:0:61}
	local_part=$(printf '%062d' 0)
	mkdir -p "$ROOT/${label}.${label}.${label:0:61}/x$local_part"
	OPTIONS=(-o "hostname=mx.$label.$label.$label")
	lines "EHLO $name" "MAIL FROM:<$local_part@$label.$label.$label>" "RCPT TO:<x$local_part@$label.$label.${label:0:61}>" DATA "Subject: x" "" . QUIT >"$IN"
	over_socket whole "$IN" "${OPTIONS[@]}" >"$OUT"
	[ "$(stored)" = 1 ]
	file=$(find "$ROOT" -path '*/new/*' -type f)
	[ "$(awk 'length > 998' "$file" | wc -l)" = 0 ]
	[ "$(sed '/^$/q' "$file" | grep -cE '^(Return-Path|Delivered-To|Received|Subject): ')" = 4 ]
	[ "$(sed '/^$/q' "$file" | grep -cvE '^([A-Z][A-Za-z-]+: |	|$)')" = 0 ]
}

# --- BDAT: a message with a hole is none ---

@test "CHK-08: a chunk was refused for want of a recipient: a later recipient and a last chunk do not make a message of the rest" {
	for last in "BDAT 6 LAST" "BDAT 0 LAST"; do
		lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<nobody@example.test>" "BDAT 6" head "RCPT TO:<alice@example.test>" "$last" >"$IN"
		[ "$last" = "BDAT 0 LAST" ] || lines tail >>"$IN"
		lines NOOP QUIT >>"$IN"
		over_socket whole "$IN" >"$OUT"
		codes "$OUT"
		[ "$(stored)" = 0 ]
		[[ "$(codes "$OUT")" =~ ^220\ 250\ 250\ 550\ 503\ (250|503)\ 503\ 250\ 221 ]]
	done
}

@test "CHK-08, CHK-11: a BDAT that is none among the chunks: what follows until RSET does not make a message without it" {
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "BDAT 6" head "BDAT x" "BDAT 6 LAST" tail NOOP QUIT >"$IN"
	over_socket whole "$IN" >"$OUT"
	codes "$OUT"
	[ "$(stored)" = 0 ]
	[ "$(codes "$OUT")" = "220 250 250 250 250 501 503 250 221 " ]
}

@test "CHK-09, VFY-05: VRFY and EXPN between chunks have answers of their own, and the message stays whole" {
	{
		lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "BDAT 200000"
		octets 200000
		lines "VRFY nobody@example.test" "EXPN nobody@example.test" "BDAT 5 LAST" end "VRFY bob@example.test" QUIT
	} >"$IN"
	over_socket whole "$IN" -o vrfy=yes >"$OUT"
	cat "$OUT"
	[[ "$(codes "$OUT")" =~ ^220\ 250\ 250\ 250\ 250\ (550|252|503)\ (550|252|502|503)\ 250\ 250\ 221 ]]
	[ "$(stored)" = 1 ]
	[ "$(tail -n 1 "$(new_files "$ROOT/example.test/alice")")" = end ]
}

@test "VRFY between chunks, to a next hop without CHUNKING: never a line of the message" {
	printf '#!/bin/bash\nFAKE_LOG=%q exec %q %q never die PIPELINING X-ALL-OR-NOTHING\n' "$BATS_TEST_TMPDIR/fake.log" "$PYTHON" "$TESTS/fake-hop.py" >"$BATS_TEST_TMPDIR/hop"
	chmod +x "$BATS_TEST_TMPDIR/hop"
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "BDAT 6" head "VRFY bob" "BDAT 6 LAST" tail QUIT >"$IN"
	over_socket whole "$IN" -o vrfy=yes -o deliver_timeout=5s -o "deliver=$BATS_TEST_TMPDIR/hop" >"$OUT"
	codes "$OUT"
	[ "$(sed -n '/^DATA/,/^\.\r/p' "$BATS_TEST_TMPDIR/fake.log" | grep -c '^VRFY')" = 0 ]
	[[ "$(codes "$OUT")" == "220 250 250 250 250 "*" 250 221 " ]]
}

# chunk_hop LAST: a next hop that refuses the first chunk with 452, takes the others, and at the last one does LAST (python).
chunk_hop() {
	cat >"$BATS_TEST_TMPDIR/hop" <<END
#!$PYTHON
import sys
i, o = sys.stdin.buffer, sys.stdout.buffer
def say(s):
    o.write(s + b"\r\n"); o.flush()
say(b"220 hop")
answers = [b"452 4.3.1 no room"]
for line in i:
    words = line.split()
    if words[0] == b"LHLO":
        say(b"250-hop\r\n250-PIPELINING\r\n250-X-ALL-OR-NOTHING\r\n250 CHUNKING")
    elif words[0] == b"BDAT":
        i.read(int(words[1]))
        if len(words) > 2:
            $1
        else:
            say(answers.pop() if answers else b"250 2.0.0 go on")
    else:
        say(b"250 2.0.0 ok")
END
	chmod +x "$BATS_TEST_TMPDIR/hop"
}

@test "CHK-08: a chunk that the next hop refused is not forgotten when it takes later ones: its 4xx, never a 250" {
	{ lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA; octets 200000; lines . NOOP QUIT; } >"$IN"
	for last in 'sys.exit(1)' 'say(b"554 5.5.1 no message")' 'say(b"503 5.5.1 no message")'; do
		chunk_hop "$last"
		over_socket whole "$IN" -o "deliver=$BATS_TEST_TMPDIR/hop" >"$OUT"
		echo "$last"
		codes "$OUT"
		[[ "$(codes "$OUT")" =~ ^220\ 250\ 250\ 250\ 354\ 45[12]\ 250\ 221 ]]
	done
}

# --- mailboxes ---

@test "an alias is a recipient like any other; two names of one mailbox make one copy that names both" {
	ln -s alice "$ROOT/example.test/info"
	ln -s ../example.test/bob "$ROOT/example.test/sales"
	ln -s example.test "$ROOT/alias.test"
	mkdir "$BATS_TEST_TMPDIR/outside"
	ln -s "$BATS_TEST_TMPDIR/outside" "$ROOT/example.test/out"
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<info@example.test>" "RCPT TO:<alice@alias.test>" "RCPT TO:<Sales+x@ALIAS.test>" "RCPT TO:<out@example.test>" DATA "Subject: x" "" .
	[ "$(printf '%.9s,' "${lines[@]}")" = "250 2.1.0,250 2.1.5,250 2.1.5,250 2.1.5,550 5.1.1,354 End d,250 2.0.0," ]
	[ "$(count "$ROOT/example.test/alice")$(count "$ROOT/example.test/bob")" = 11 ]
	[ "$(grep '^Delivered-To' "$(new_files "$ROOT/example.test/alice")" | tr '\n' ,)" = "Delivered-To: info@example.test,Delivered-To: alice@alias.test," ]
	grep -q '^Delivered-To: Sales+x@ALIAS.test$' "$(new_files "$ROOT/example.test/bob")"
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/outside")" ]
}

@test "RCP-13: a mailbox that is in trouble is refused for now, at RCPT; the other recipient is served" {
	touch "$ROOT/example.test/bob/tmp"
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<bob@example.test>" "${MESSAGE[@]:1}"
	[ "$(printf '%.9s,' "${lines[@]}")" = "250 2.1.0,451 4.2.0,250 2.1.5,354 End d,250 2.0.0," ]
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
}

@test "MDR-04: names in new/ have no colon and no flags" {
	run say "${MESSAGE[@]}" "${MESSAGE[@]}"
	[ "$(find "$ROOT/example.test/alice/new" -type f | wc -l)" = 2 ]
	[ "$(find "$ROOT/example.test/alice/new" -name '*:*' | wc -l)" = 0 ]
}

@test "MDR-05: the file is created with O_EXCL and O_NOFOLLOW, and never put over another" {
	command -v strace >/dev/null || skip "no strace"
	clean_env ASAN_OPTIONS=detect_leaks=0 strace -f -e trace=openat,renameat2,rename,link,linkat -o "$BATS_TEST_TMPDIR/trace" "$DELIVER" "${SETTINGS[@]}" -d alice@example.test <<<"Subject: x" 2>>"$LOG"
	grep -E 'openat\([0-9]+, "[0-9]+\.M' "$BATS_TEST_TMPDIR/trace" | grep -q 'O_CREAT|O_EXCL|.*O_NOFOLLOW'
	grep -qE 'renameat2\(.*RENAME_NOREPLACE\) = 0' "$BATS_TEST_TMPDIR/trace"
	[ "$(grep -cE '(renameat2|rename|link|linkat)\(' "$BATS_TEST_TMPDIR/trace")" = 1 ]
}

@test "MDR-13, MDR-15, MDR-19: a detail's folder; a full mailbox is 452 4.2.2, or 552 5.2.2, what SIZE declares counts; the other is served" {
	mkdir "$ROOT/example.test/alice/.work"
	echo 1000S >"$ROOT/example.test/bob/maildirsize"
	run say "MAIL FROM:<> SIZE=1001" "RCPT TO:<bob@example.test>" RSET "MAIL FROM:<>" "RCPT TO:<bob@example.test>" "RCPT TO:<alice+Work@example.test>" "BDAT 2000 LAST" "$(printf '%01998d' 0)"
	[ "$(printf '%.9s,' "${lines[@]}")" = "250 2.1.0,452 4.2.2,250 2.0.0,250 2.1.0,250 2.1.5,250 2.1.5,250 2.0.0," ]
	[ "$(count "$ROOT/example.test/alice/.work")$(count "$ROOT/example.test/bob")" = 11 ]
	OPTIONS=(-o quota_hard=yes)
	run say "MAIL FROM:<>" "RCPT TO:<bob@example.test>" "RCPT TO:<alice@example.test>"
	[ "$(printf '%.9s,' "${lines[@]}")" = "250 2.1.0,552 5.2.2,250 2.1.5," ]
}

@test "VFY-01, VFY-04: EXPN tells who is on a list, a line each; VRFY that it is one; and who is alone behind an alias" {
	printf '%s\n' 'team: alice, bob' 'boss: alice' >"$ROOT/example.test/.aliases"
	OPTIONS=(-o vrfy=yes)
	run say "EXPN team@example.test" "VRFY team@example.test" "VRFY boss@example.test" "EXPN alice@example.test"
	[ "${lines[0]}" = "250-2.1.5 <alice@example.test>" ]
	[ "${lines[1]}" = "250 2.1.5 <bob@example.test>" ]
	[ "$(printf '%.9s,' "${lines[@]:2}")" = "252 2.1.5,250 2.1.5,550 5.1.1," ]
	[ "${lines[3]}" = "250 2.1.5 <alice@example.test>" ]
}

@test "UTF-03: a domain beyond ASCII has two names and one mailbox; letters with marks are found in either case" {
	mkdir -p "$ROOT/xn--bcher-kva.example/jörg"
	run say "MAIL FROM:<a@b.example> SMTPUTF8" "RCPT TO:<JÖRG@BÜCHER.example>" "RCPT TO:<jörg@xn--bcher-kva.example>" DATA "Subject: x" "" .
	[ "$(printf '%.9s,' "${lines[@]}")" = "250 2.1.0,250 2.1.5,250 2.1.5,354 End d,250 2.0.0," ]
	[ "$(count "$ROOT/xn--bcher-kva.example/jörg")" = 1 ]
}

# --- the conversation ---

# talk <<python: a client over a socket; say(line...) sends, hear() returns what has come when a whole line has, p is the process.
talk() {
	cat >"$BATS_TEST_TMPDIR/client.py"
	clean_env "$PYTHON" - "$BATS_TEST_TMPDIR/client.py" "$HANDLER" "${SETTINGS[@]}" 2>>"$LOG" <<'END'
import socket, subprocess, sys
s, theirs = socket.socketpair()
s.settimeout(20)
p = subprocess.Popen(sys.argv[2:], stdin=theirs, stdout=theirs)
theirs.close()
def say(*lines):
    s.sendall(b"".join(l + b"\r\n" for l in lines))
def hear():
    got = b""
    while not got.endswith(b"\r\n"):
        piece = s.recv(65536)
        assert piece, got
        got += piece
    return got
exec(open(sys.argv[1]).read())
END
}

@test "PIP-03, PIP-05: each command alone has its answer at once, without more input" {
	talk <<'END'
assert hear().startswith(b"220 ")
for line, answer in ((b"EHLO c", b"250-"), (b"NOOP", b"250 "), (b"MAIL FROM:<a@b.example>", b"250 "), (b"RCPT TO:<no@example.test>", b"550 "), (b"RCPT TO:<alice@example.test>", b"250 "),
                     (b"VRFY x", b"252 "), (b"EXPN x", b"502 "), (b"TURN", b"502 "), (b"DATA", b"354 "), (b".", b"250 "), (b"RSET", b"250 "), (b"FOO", b"500 "), (b"QUIT", b"221 ")):
    say(line)
    got = hear()
    assert got.startswith(answer), (line, got)
assert s.recv(10) == b""
assert p.wait(20) == 0
END
}

@test "PIP-03: the answers to a group come at once when the input is empty, all of them" {
	talk <<'END'
hear()
say(b"EHLO c")
hear()
say(b"MAIL FROM:<a@b.example>", b"RCPT TO:<alice@example.test>", b"RCPT TO:<no@example.test>", b"RCPT TO:<bob@example.test>")
got = b""
while got.count(b"\r\n") < 4:
    got += hear()
assert [l[:3] for l in got.split(b"\r\n")[:-1]] == [b"250", b"250", b"550", b"250"], got
say(b"QUIT")
hear()
assert p.wait(20) == 0
END
}

@test "PIP-04: a pipelined group is read with one read and answered with one write" {
	command -v strace >/dev/null || skip "no strace"
	lines "EHLO c" RSET "MAIL FROM:<a@b.example>" "RCPT TO:<no@example.test>" "RCPT TO:<alice@example.test>" "RCPT TO:<bob@example.test>" DATA "Subject: x" "" . NOOP QUIT >"$IN"
	# a file for each process: in one for all, a call that has to wait is cut in two
	clean_env ASAN_OPTIONS=detect_leaks=0 strace -ff -s 4000 -e trace=read,write -o "$BATS_TEST_TMPDIR/trace" \
		"$PYTHON" "$TESTS/replay.py" whole "$IN" "$HANDLER" "${SETTINGS[@]}" -o sandbox=no >"$OUT" 2>>"$LOG"
	speaker=$(grep -l '^read(0, "EHLO' "$BATS_TEST_TMPDIR"/trace.*)
	[ "$(grep -c '^read(0, "' "$speaker")" = 1 ]
	[ "$(grep -c '^write(1, "' "$speaker")" = 2 ]           # the greeting, and all the rest
	grep -q '^write(1, "250-mx.*250 2.1.0 .*550 5.1.1 .*250 2.1.5 .*250 2.1.5 .*354 .*stored.*221 2.0.0' "$speaker"
}

@test "DAT-07: the processes are killed when the 250 is out: the message is there" {
	talk <<'END'
import os, signal
hear()
say(b"EHLO c", b"MAIL FROM:<a@b.example>", b"RCPT TO:<alice@example.test>", b"DATA", b"Subject: x", b"", b".")
got = b""
while b"stored with id" not in got:
    got += hear()
kids = subprocess.run(["pgrep", "-P", str(p.pid)], stdout=subprocess.PIPE).stdout.split()
for pid in [p.pid] + [int(k) for k in kids]:
    os.kill(pid, signal.SIGKILL)
p.wait(20)
END
	[ "$(stored)" = 1 ]
	tmp_empty
}

@test "SES-12: the client is gone behind the dot without waiting for the answer: the message was complete, it is stored" {
	lines "EHLO c" "${MESSAGE[@]}" >"$IN"
	over_socket whole "$IN" >"$OUT"
	[ "$(codes "$OUT")" = "220 250 250 250 354 250 " ]
	[ "$(stored)" = 1 ]
}

@test "SES-03: with a bad configuration the client hears one 421 and the end of file, whatever it says" {
	lines "EHLO c" "${MESSAGE[@]}" QUIT >"$IN"
	run -78 over_socket whole "$IN" -o max_size=nonsense
	[[ "$output" =~ ^421\ 4\.3\.5\ [^$'\n']*$ ]]
}

@test "LIM-06, LIM-08: five minutes for a command by default, and an answer well within the client's ten" {
	run deliver --show-config
	[[ "$output" == *"command_timeout = 300s"* && "$output" == *"data_timeout = 180s"* && "$output" == *"deliver_timeout = 300s"* && "$output" == *"session_timeout = 3600s"* ]]
}

@test "LMT-05: LHLO offers PIPELINING, ENHANCEDSTATUSCODES, 8BITMIME and the rest; not what is SMTP's" {
	lines "LHLO c" QUIT >"$IN"
	HANDLER=$DELIVER over_socket bytes "$IN" --lmtp >"$OUT"
	[ "$(tr -d '\r' <"$OUT" | tr '\n' ,)" = "220 mx.example.test LMTP,250-mx.example.test,250-SIZE 52436992,250-PIPELINING,250-8BITMIME,250-SMTPUTF8,250-ENHANCEDSTATUSCODES,250-CHUNKING,250-LIMITS RCPTMAX=1000,250-DSN,250-XFORWARD ADDR IDENT,250-AUTH,250-X-RELAY,250 X-ALL-OR-NOTHING,221 2.0.0 Bye," ]
}

@test "LMT-01: HELO and EHLO are unknown in LMTP, LHLO in SMTP" {
	lines "EHLO c" "HELO c" "LHLO c" "MAIL FROM:<>" QUIT >"$IN"
	HANDLER=$DELIVER over_socket lines "$IN" --lmtp >"$OUT"
	[ "$(codes "$OUT")" = "220 500 500 250 250 221 " ]
	lines "LHLO c" "MAIL FROM:<>" QUIT >"$IN"
	over_socket lines "$IN" >"$OUT"
	[ "$(codes "$OUT")" = "220 500 503 221 " ]
}

# --- the list ---

LIST=$BATS_TEST_DIRNAME/conformance.md

@test "conformance.md: each row has an id of its own, a section, words, a status, and if met a test, if not, what happens instead" {
	grep -E '^\| [A-Z]{3}-[0-9]{2} ' "$LIST" >"$OUT"
	[ "$(wc -l <"$OUT")" = 381 ]
	[ "$(cut -d' ' -f2 "$OUT" | sort -u | wc -l)" = 381 ]
	[ "$(awk -F' [|] ' 'NF != 5' "$OUT" | wc -l)" = 0 ]
	[ "$(awk -F' [|] ' '$4 !~ /^(met|untested|left|not kept|not offered)$/' "$OUT" | wc -l)" = 0 ]
	[ "$(awk -F' [|] ' '$4 == "met" && $5 !~ /\x60/' "$OUT" | wc -l)" = 0 ]
	[ "$(awk -F' [|] ' '$4 ~ /^(left|not kept)$/ && length($5) < 5' "$OUT" | wc -l)" = 0 ]
}

@test "conformance.md: every test, table and fixture it names exists" {
	local file name missing=0
	while IFS=: read -r file name; do
		grep -qF "@test \"$name" "$BATS_TEST_DIRNAME/$file" || { echo "$file has no test: $name"; missing=1; }
	done < <(grep -E '^\| [A-Z]{3}-' "$LIST" | tr '`' '\n' | grep -E '^[a-z-]+\.bats: ' | sed 's/: /:/' | sort -u)
	while read -r name; do
		[ -f "$FIXTURES/$name.in" ] || { echo "no fixture $name"; missing=1; }
	done < <(grep -E '^\| [A-Z]{3}-' "$LIST" | tr '`' '\n' | grep -xE '[a-z0-9]+(-[a-z0-9]+)+' | sort -u)
	while read -r name; do
		[ -f "$BATS_TEST_DIRNAME/$name" ] || { echo "no table $name"; missing=1; }
	done < <(grep -E '^\| [A-Z]{3}-' "$LIST" | tr '`' '\n' | grep -xE 'unit/[a-z-]+\.c' | sort -u)
	[ "$missing" = 0 ]
}
