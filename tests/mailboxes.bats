#!/usr/bin/env bats
# maildir-deliver: recipients to mailboxes, the Maildir itself, the MDA form and its exit statuses, the LMTP form.
load helper

mda() { printf 'Subject: x\n\nhi\n' | deliver "$@" 2>>"$LOG"; }

lmtp() { lines "LHLO c" "$@" QUIT | deliver -o strict=yes --lmtp 2>>"$LOG" | tr -d '\r' | sed -e '1d' -e '/^250-mx/,/^250 X-ALL/d' -e '/^221 /d'; }

@test "exit 0: stored, with Return-Path and Delivered-To on top and LF line ends" {
	mda -f sender@b.example -d alice@example.test
	run cat "$(new_files "$ROOT/example.test/alice")"
	[ "$output" = $'Return-Path: <sender@b.example>\nDelivered-To: alice@example.test\nSubject: x\n\nhi' ]
	tmp_empty
}

@test "exit 64: usage" {
	for args in "" "--lmtp -d alice@example.test" "-x" "-d" "extra" "--make" "--make a+b@c.d" "--make alice"; do
		# shellcheck disable=SC2086
		run deliver $args </dev/null
		[ "$status" = 64 ]
	done
}

@test "exit 65: never storable" {
	run deliver -o max_size=65536 -d alice@example.test < <(head -c 200000 /dev/zero)
	[ "$status" = 65 ]
	[[ "$output" == *"5.3.4 "* ]]
	run deliver -d alice@example.test < <(printf 'Delivered-To: alice@example.test\n\nhi\n')
	[ "$status" = 65 ]
	[[ "$output" == *"5.4.6 "* ]]
	no_trace
}

@test "a sender that would break its header is never storable; an odd one is stored as it is" {
	run deliver -f $'a\nb@c.d' -d alice@example.test </dev/null
	[ "$status" = 65 ]
	[[ "$output" == "5.1.7 "* ]]
	mda -f '"a<b"@example.net' -d alice@example.test
	grep -q '^Return-Path: <"a<b"@example.net>$' "$(new_files "$ROOT/example.test/alice")"
}

@test "exit 67: no such mailbox" {
	for rcpt in nobody@example.test alice@foreign.example "../alice@example.test" "a b" "@" ""; do
		run deliver -d "$rcpt" </dev/null
		echo "$rcpt: $status $output"
		[ "$status" = 67 ]
		[[ "${lines[-1]}" == 5.* ]]
	done
}

@test "exit 75: temporary, our own configuration included" {
	run deliver -o mail_root=/nonexistent -d alice@example.test </dev/null
	[ "$status" = 75 ]
	[[ "${lines[-1]}" == "4.3.5 "* ]]
	run deliver -o nonsense=1 -d alice@example.test </dev/null
	[ "$status" = 75 ]
	touch "$ROOT/example.test/alice/tmp"    # not a directory
	run deliver -d alice@example.test </dev/null
	[ "$status" = 75 ]
	[[ "${lines[-1]}" == "4.2.0 "* ]]
}

@test "several recipients: all or none" {
	run mda -d alice@example.test -d nobody@example.test
	[ "$status" = 67 ]
	no_trace
	mda -d alice@example.test -d bob@example.test
	[ "$(count "$ROOT/example.test/alice")$(count "$ROOT/example.test/bob")" = 11 ]
}

@test "the sender: in brackets, empty, and what Postfix says for empty" {
	for from in "<a@b.example>" "<>" "" MAILER-DAEMON; do
		mda -f "$from" -d alice@example.test
	done
	run grep -rh '^Return-Path' "$ROOT/example.test/alice/new"
	[ "$(sort <<<"$output")" = $'Return-Path: <>\nReturn-Path: <>\nReturn-Path: <>\nReturn-Path: <a@b.example>' ]
}

@test "an mbox From line in front is not part of the message; >From in it is" {
	printf 'From a@b Mon Jan  1 00:00:00 2024\nSubject: x\n\n>From here\nFrom there\n' | deliver -d alice@example.test
	run tail -n +3 "$(new_files "$ROOT/example.test/alice")"
	[ "$output" = $'Subject: x\n\n>From here\nFrom there' ]
	printf 'From : a@b\n\nhi\n' | deliver -d bob@example.test
	grep -q '^From : a@b$' "$(new_files "$ROOT/example.test/bob")"
	rm -r "$ROOT/example.test/bob/new"
	printf 'From' | deliver -d bob@example.test
	[ "$(tail -n 1 "$(new_files "$ROOT/example.test/bob")")" = From ]
}

@test "the MDA takes what it is given: CRLF becomes LF, a bare CR and a NUL stay, no final line end is no matter" {
	printf 'Subject: x\r\n\r\na\rb\0c' | deliver -d alice@example.test
	tail -n +3 "$(new_files "$ROOT/example.test/alice")" | cmp - <(printf 'Subject: x\n\na\rb\0c')
}

@test "names are folded, detail is looked past and kept, quotes make no difference" {
	mda -d ALICE+shop@Example.TEST
	mda -d '"alice"@example.test'
	[ "$(count "$ROOT/example.test/alice")" = 2 ]
	grep -q '^Delivered-To: ALICE+shop@Example.TEST$' "$(new_files "$ROOT/example.test/alice" | head -n 1)"
}

@test "several characters may begin the detail; an alias has it as it was written" {
	echo 'anna-maria: alice' >"$ROOT/example.test/.aliases"
	run deliver -o detail_separator=+- --where anna-maria@example.test bob+x@example.test bob-x@example.test
	[ "$status" = 0 ]
	[[ "${lines[0]}" == "anna-maria@example.test: alias, example.test/.aliases line 1:" ]]
	run deliver -o detail_separator=+- --where anna+maria@example.test
	[ "$status" = 67 ]
}

@test "a bare name is a mailbox of this host" {
	mkdir -p "$ROOT/mx.example.test/carol"
	mda -d carol
	[ "$(count "$ROOT/mx.example.test/carol")" = 1 ]
}

@test "a link inside mail_root is an alias, relative or absolute; a domain can be one too" {
	ln -s alice "$ROOT/example.test/relative"
	ln -s "$ROOT/example.test/alice" "$ROOT/example.test/absolute"
	ln -s example.test "$ROOT/alias.test"
	mda -d relative@example.test
	mda -d absolute@example.test
	mda -d alice@alias.test
	[ "$(count "$ROOT/example.test/alice")" = 3 ]
}

@test "two names of one mailbox make one copy, which names both" {
	ln -s alice "$ROOT/example.test/other"
	mda -d alice@example.test -d other@example.test -d bob@example.test -d alice+x@example.test
	[ "$(count "$ROOT/example.test/alice")$(count "$ROOT/example.test/bob")" = 11 ]
	[ "$(grep -c ^Delivered-To "$(new_files "$ROOT/example.test/alice")")" = 3 ]
}

@test "a link that leads out of mail_root is no mailbox" {
	mkdir -p "$BATS_TEST_TMPDIR/outside"
	ln -s "$BATS_TEST_TMPDIR/outside" "$ROOT/example.test/absolute"
	ln -s ../../outside "$ROOT/example.test/relative"
	ln -s loop "$ROOT/example.test/loop"
	ln -s /etc/passwd "$ROOT/example.test/file"
	ln -s "$BATS_TEST_TMPDIR" "$ROOT/out.test"
	for rcpt in absolute@example.test relative@example.test loop@example.test file@example.test; do
		run deliver -d "$rcpt" </dev/null
		echo "$rcpt $status $output"
		[ "$status" = 67 ]
	done
	run deliver -d outside@out.test </dev/null
	[ "$status" = 67 ]
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/outside")" ]
}

@test "tmp, new and cur that are links are refused for now" {
	mkdir "$BATS_TEST_TMPDIR/outside"
	for sub in tmp new; do
		rm -rf "$ROOT/example.test/alice" && mkdir "$ROOT/example.test/alice"
		ln -s "$BATS_TEST_TMPDIR/outside" "$ROOT/example.test/alice/$sub"
		run deliver -d alice@example.test </dev/null
		[ "$status" = 75 ]
	done
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/outside")" ]
}

@test "postmaster: of the domain, else of the host, else of the setting" {
	run mda -d postmaster@example.test
	[ "$status" = 67 ]
	mkdir -p "$ROOT/mx.example.test/postmaster"
	mda -d PostMaster@example.test
	mda -d postmaster
	[ "$(count "$ROOT/mx.example.test/postmaster")" = 2 ]
	mkdir "$ROOT/example.test/postmaster"
	mda -d postmaster@example.test
	[ "$(count "$ROOT/example.test/postmaster")" = 1 ]
	rm -r "$ROOT/mx.example.test" "$ROOT/example.test/postmaster"
	mda -o postmaster=bob@example.test -d postmaster@example.test
	mda -o postmaster=bob@example.test -d postmaster
	[ "$(count "$ROOT/example.test/bob")" = 2 ]
	mda -o postmaster=bob@example.test -d postmaster@mx.example.test
	[ "$(count "$ROOT/example.test/bob")" = 3 ]
	run mda -o postmaster=bob@example.test -d postmaster@foreign.example
	[ "$status" = 67 ]
}

@test "postmaster: of a domain of this host that has no directory, too" {
	mkdir "$ROOT/example.test/postmaster"
	run deliver -o hostname=example.test -o local_domains=example.test,localhost --where postmaster@localhost
	[ "$status" = 0 ]
	[[ "$output" == "postmaster@localhost: the postmaster of this host:"*"mailbox $ROOT/example.test/postmaster" ]]
	run deliver -o hostname=example.test -o local_domains=example.test,localhost --where postmaster@other.test
	[ "$status" = 67 ]
}

@test "catch_all: one Maildir for everyone, made if missing, each recipient named" {
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<one@anywhere.example>" "RCPT TO:<two@else.example>" DATA x . QUIT |
		strict -o "catch_all=$BATS_TEST_TMPDIR/all" >"$BATS_TEST_TMPDIR/out"
	[ "$(grep -c '^250 2.1.5' "$BATS_TEST_TMPDIR/out")" = 2 ]
	[ "$(count "$BATS_TEST_TMPDIR/all")" = 1 ]
	run grep '^Delivered-To' "$(new_files "$BATS_TEST_TMPDIR/all")"
	[ "$output" = $'Delivered-To: one@anywhere.example\nDelivered-To: two@else.example' ]
	[ -d "$BATS_TEST_TMPDIR/all/cur" ]
	deliver -o "catch_all=$BATS_TEST_TMPDIR/all" --make dora@example.test
	[ -d "$ROOT/example.test/dora/new" ]
}

@test "--make" {
	deliver --make Carol@New.Test
	[ -d "$ROOT/new.test/carol/new" ] && [ -d "$ROOT/new.test/carol/cur" ] && [ -d "$ROOT/new.test/carol/tmp" ]
	deliver --make carol@new.test
	mda -d carol@new.test
	for bad in carol carol@ "../x@new.test" "a+b@new.test" '".x"@new.test'; do
		run deliver --make "$bad"
		[ "$status" != 0 ]
	done
	run deliver -o mail_root=/nonexistent --make a@b.test
	[ "$status" = 75 ]
}

@test "as root: --make gives the owner of the domain, and mail is written as the owner of the mailbox" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	chmod 755 "$BATS_TEST_TMPDIR" "$ROOT"
	chown 1234:1235 "$ROOT/example.test"
	chmod 700 "$ROOT/example.test"
	deliver --make carol@example.test
	[ "$(stat -c %u:%g "$ROOT/example.test/carol/new")" = 1234:1235 ]
	mda -d carol@example.test
	[ "$(stat -c %u:%g:%a "$(new_files "$ROOT/example.test/carol")")" = 1234:1235:600 ]
	# two owners in one message
	chown 4321:4322 "$ROOT/example.test/bob"
	mda -d carol@example.test -d bob@example.test
	[ "$(stat -c %u:%g "$(new_files "$ROOT/example.test/bob")")" = 4321:4322 ]
	[ "$(stat -c %u:%g "$ROOT/example.test/bob/tmp")" = 4321:4322 ]
}

@test "as root: the owner of one mailbox cannot touch another recipient's copy of a large message" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	chown 1234:1235 "$ROOT/example.test/alice"
	chown 4321:4322 "$ROOT/example.test/bob"
	"$PYTHON" - "$ROOT" "$DELIVER" "${SETTINGS[@]}" <<'EOF'
import glob, os, subprocess, sys, time
root, command = sys.argv[1], sys.argv[2:]
p = subprocess.Popen(command + ["-d", "alice@example.test", "-d", "bob@example.test"], stdin=subprocess.PIPE)
p.stdin.write(b"Subject: x\n\n" + b"y" * 69 * 1000 + b"\n" + (b"y" * 69 + b"\n") * 2000)
p.stdin.flush()
end = time.monotonic() + 10
while not (files := glob.glob(root + "/example.test/alice/tmp/*")) and time.monotonic() < end:
    os.sched_yield()
with open(files[0], "r+b") as f:        # as alice could
    f.seek(1000)
    f.write(b"altered")
p.stdin.close()
assert p.wait() == 0
EOF
	grep -q altered "$(new_files "$ROOT/example.test/alice")"
	refute grep -q altered "$(new_files "$ROOT/example.test/bob")"
	[ "$(stat -c %u:%g "$(new_files "$ROOT/example.test/bob")")" = 4321:4322 ]
}

@test "as root: no capability is left but to search and to become the owner" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	deliver --lmtp <"$BATS_TEST_TMPDIR/fifo" >"$BATS_TEST_TMPDIR/out" 3>&- &
	exec 9>"$BATS_TEST_TMPDIR/fifo"
	until_true grep -q '^220' "$BATS_TEST_TMPDIR/out"
	pid=$(pgrep -f "^$DELIVER .*mail_root=$ROOT ")
	[ $((0x$(awk '/^CapPrm/{print $2}' "/proc/$pid/status") & ~0xc4)) = 0 ]
	[ "$(awk '/^Groups:/{print $2}' "/proc/$pid/status")" = "" ]
	exec 9>&-
	wait
}

@test "an empty mail_root is temporary: a disk may not be mounted" {
	rm -r "$ROOT/example.test"
	run deliver -d alice@example.test </dev/null
	[ "$status" = 75 ]
	[[ "$output" == "4.3.5 "* ]]
}

@test "a reset while the first octets are read is no end of the message" {
	"$PYTHON" - "$DELIVER" "${SETTINGS[@]}" <<'EOF'
import socket, struct, subprocess, sys
for start in (b"Subj", b"From foo bar", b"Subject: x\n\nhi"):
    l = socket.create_server(("127.0.0.1", 0))
    c = socket.create_connection(l.getsockname())
    a = l.accept()[0]
    p = subprocess.Popen(sys.argv[1:] + ["-d", "alice@example.test"], stdin=a, stderr=subprocess.DEVNULL)
    a.close()
    c.sendall(start)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()
    assert p.wait(20) == 75, start
EOF
	no_trace
}

@test "the name says time, size and virtual size, and our host made fit for a file name" {
	mda -o 'hostname=[IPv6:::1]' -d alice@example.test
	name=$(basename "$(new_files "$ROOT/example.test/alice")")
	[[ "$name" =~ ^[0-9]+\.M[0-9]{6}P[0-9]+Q[0-9]+\.\[IPv6\\072\\072\\0721\],S=([0-9]+),W=([0-9]+)$ ]]
	[ "${BASH_REMATCH[1]}" = "$(stat -c %s "$ROOT/example.test/alice/new/$name")" ]
	[ "${BASH_REMATCH[2]}" = "$(sed 's/$/\r/' "$ROOT/example.test/alice/new/$name" | wc -c)" ]
}

@test "more recipients than there are descriptors, in the MDA form: 75, none gets it" {
	local rcpts=()
	for i in {1..20}; do
		mkdir "$ROOT/example.test/u$i"
		rcpts+=(-d "u$i@example.test")
	done
	run -75 bash -c 'ulimit -n 64; exec "$@"' bash "$DELIVER" "${SETTINGS[@]}" "${rcpts[@]}" </dev/null
	[[ "${lines[-1]}" == "4.5.3 "* ]]
	no_trace
}

@test "a mailbox that cannot be opened is temporary: 451, and the log says why" {
	[ "$(id -u)" = 0 ] || skip "needs another user"
	chown 65534 "$ROOT/example.test/bob"
	chmod 700 "$ROOT/example.test/bob"
	lines "LHLO c" "MAIL FROM:<>" "RCPT TO:<bob@example.test>" QUIT >"$BATS_TEST_TMPDIR/in"
	clean_env setpriv --bounding-set -dac_override,-dac_read_search "$DELIVER" "${SETTINGS[@]}" --lmtp <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>>"$LOG"
	grep -q '^451 4.2.0 ' "$BATS_TEST_TMPDIR/out"
	grep -q 'bob@example.test: cannot open mailbox: Permission denied' "$LOG"
}

@test "two hundred deliveries at once: two hundred messages" {
	for ((i = 0; i < 200; i++)); do printf 'Subject: %d\n\n' $i | deliver -d alice@example.test 3>&- & done
	wait
	[ "$(grep -rh ^Subject "$ROOT/example.test/alice/new" | sort -u | wc -l)" = 200 ]
	tmp_empty
}

@test "stale files of ours older than 36 hours are removed from tmp/, younger and foreign ones are not" {
	mkdir "$ROOT/example.test/alice/tmp"
	cd "$ROOT/example.test/alice/tmp"
	old=$(($(date +%s) - 37 * 3600)) young=$(($(date +%s) - 35 * 3600))
	for t in $old $young; do touch -d "@$t" "$t.M123456P1Q0.mx.example.test"; done
	touch -d "@$old" "$old.1_0.other" notes
	for i in {1..100}; do touch "foreign-file-number-$i"; done
	touch -d "@$old" "$((old - 1)).M123456P1Q0.mx.example.test"
	touch "$old.M1P1Q1.mx.example.test"     # an old name, but written to just now
	for ((i = 0; i < 500 && $(find . -type f | wc -l) > 104; i++)); do mda -d alice@example.test; done     # one delivery in eight looks
	[ "$(find . -type f | wc -l)" = 104 ]
	[ ! -e "$old.M123456P1Q0.mx.example.test" ]
}

@test "LMTP: one reply for each recipient after the data, all equal; HELO and EHLO are unknown" {
	run lmtp "EHLO x" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "RCPT TO:<nobody@example.test>" "RCPT TO:<bob@example.test>" \
		"RCPT TO:<a@foreign.example>" DATA "Subject: x" "" hi .
	[ "$(cut -c1-9 <<<"$output" | tr '\n' ,)" = "500 5.5.1,250 2.1.0,250 2.1.5,550 5.1.1,250 2.1.5,551 5.7.1,354 End d,250 2.0.0,250 2.0.0," ]
	run lmtp "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "RCPT TO:<bob@example.test>" "BDAT 3"$'\r\nab'"BDAT 1 LAST"
	printf '%s\n' "$output"
}

@test "LMTP: BDAT LAST has a reply for each recipient too, an earlier chunk one" {
	{ lines "LHLO c" "MAIL FROM:<>" "RCPT TO:<alice@example.test>" "RCPT TO:<bob@example.test>"; printf 'BDAT 4\r\na\r\nbBDAT 3 LAST\r\nc\r\n'; lines QUIT; } |
		deliver -o strict=yes --lmtp 2>>"$LOG" | tr -d '\r' | tail -n 4 >"$BATS_TEST_TMPDIR/out"
	[ "$(cut -c1-9 "$BATS_TEST_TMPDIR/out" | tr '\n' ,)" = "250 2.0.0,250 2.0.0,250 2.0.0,221 2.0.0," ]
	[ "$(tail -n +3 "$(new_files "$ROOT/example.test/bob")")" = $'a\nbc' ]
}

@test "LMTP: DATA with no recipient taken: 503" {
	run lmtp "MAIL FROM:<a@b.example>" "RCPT TO:<nobody@example.test>" DATA
	[ "${lines[2]:0:4}" = "503 " ]
}

@test "LMTP with a bad configuration: 421, and a line in the log" {
	status=0
	deliver -o nonsense=1 --lmtp </dev/null >"$BATS_TEST_TMPDIR/out" 2>"$LOG" || status=$?
	[ "$status" = 75 ]
	grep -q "unknown setting: nonsense" "$LOG"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = $'421 4.3.5 Server is not configured properly, try again later\r' ]
}

@test "log lines never mix with the replies, nor with the status of the MDA form" {
	# one pipe for both, as Exim has it
	lines "LHLO c" "RCPT TO:<x>" FOO QUIT | deliver --lmtp 2>&1 | cat >"$BATS_TEST_TMPDIR/out"
	[ "$(grep -vcE '^[2-5][0-9][0-9][ -]' "$BATS_TEST_TMPDIR/out")" = 0 ]
	touch "$ROOT/example.test/alice/tmp"
	run deliver -d alice@example.test </dev/null
	[ "${#lines[@]}" = 1 ]
	[[ "$output" == "4.2.0 "* ]]
}
