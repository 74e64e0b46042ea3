#!/usr/bin/env bats
# Programs and files behind aliases: run without a shell, as somebody; every way in which they end.
load helper
load post

setup() {
	setup_mail
	others_may_pass
	T=$ROOT/example.test/.aliases
	P=$BATS_TEST_TMPDIR/program
	W=$BATS_TEST_TMPDIR/written
	OPTIONS=(-o alias_programs=yes)
	mkdir -m 777 "$W"
	chmod 777 "$W"
	[ "$(id -u)" != 0 ] || ME=nobody
}

table() { cat >"$T"; }

# program < script: an executable for everybody.
program() {
	{ echo "#!/bin/sh"; cat; } >"$P"
	chmod 755 "$P"
}

logged() { grep -qF -- "$1" "$LOG" || { tail -n 5 "$LOG"; return 1; }; }

@test "no shell: words are cut, and nothing else is done with them; the message is on standard input" {
	program <<<'printf "<%s>\n" "$@" >'"$W/arguments; cat >$W/message"
	printf '%s\n' "one: \"|$P a;b | c  \$HOME \`id\` > x & * '1 2' %u\"" \
		"two: |\"$P one,word (two) # three\", alice" "three: |$P \\\\x \"y z\" -f" | table
	[ "$(post one@example.test | cut -c1-3 | tr '\n' ' ')" = "250 250 " ]
	run cat "$W/arguments"
	[ "$output" = $'<a;b>\n<|>\n<c>\n<$HOME>\n<`id`>\n<>>\n<x>\n<&>\n<*>\n<\'1>\n<2\'>\n<%u>' ]
	run cat "$W/message"
	[ "$output" = $'Return-Path: <sender@b.example>\nDelivered-To: one@example.test\nSubject: x\n\nhi' ]
	[ "$(reached two@example.test)" = "250 alice" ]
	run cat "$W/arguments"
	[ "$output" = $'<one,word>\n<(two)>\n<#>\n<three>' ]
}

@test "the environment is ours, the sender's octets are data in it" {
	program <<<"env >$W/env; ls -l /proc/self/fd/ >$W/fds; pwd >$W/pwd; umask >$W/umask"
	table <<<"one: \"|$P\""
	FROM='"$(id);`x`"@b.example' post one+x@example.test
	sort "$W/env" | grep -v '^_=' >"$W/sorted"
	diff - "$W/sorted" <<-END
		EXTENSION=x
		HOME=/
		LOGNAME=$(id -un ${ME:+"$ME"})
		PATH=/usr/local/bin:/usr/bin:/bin
		PWD=/
		RECIPIENT=one+x@example.test
		SENDER="\$(id);\`x\`"@b.example
		USER=$(id -un ${ME:+"$ME"})
	END
	[ "$(cat "$W/pwd" "$W/umask")" = $'/\n0077' ]
	[ "$(grep -c ' [0-9]* -> ' "$W/fds")" = 4 ]     # 0, 1, 2, and the one that ls reads
}

@test "a program cannot alter what the next one gets" {
	needs_root      # else it is the same user
	program <<<"{ echo altered >&0; echo altered >>/proc/self/fd/0; } 2>/dev/null; cat >$W/message.\$1"
	printf 'list: "|%s 1", "|%s 2", %s\n' "$P" "$P" "$W/mbox" | table
	post list@example.test
	[ "$(cat "$W/message.1")" = $'Return-Path: <sender@b.example>\nDelivered-To: list@example.test\nSubject: x\n\nhi' ]
	cmp "$W/message.1" "$W/message.2"
	[ "$(tail -n +2 "$W/mbox" | head -n 5)" = "$(cat "$W/message.2")" ]
}

@test "as root: a program runs as alias_user, or as the owner of the table, and can do no more than he" {
	needs_root
	program <<<"rm -f $W/id; { id -u; id -g; id -G; grep -E '^(Cap(Prm|Eff|Inh|Amb)|NoNewPrivs)' /proc/self/status | tr -d '\t'; } >$W/id"
	table <<<"one: \"|$P\""
	nothing=$'CapInh:0000000000000000\nCapPrm:0000000000000000\nCapEff:0000000000000000\nCapAmb:0000000000000000\nNoNewPrivs:1'
	[ "$(sort -u <<<"$nothing" | wc -l)" = 5 ]
	for row in "0:0 65534 $(id -g nobody) $(id -G nobody)" "1234:1235 1234 1235 1235"; do
		read -r owner uid gid gids <<<"$row"
		chown "$owner" "$T"
		[ "$(reached one@example.test)" = "250 " ]
		[ "$(cat "$W/id")" = "$uid"$'\n'"$gid"$'\n'"$gids"$'\n'"$nothing" ]
		rm -f "$W/id"
	done
	for user in root no-such-user; do
		chown 0:0 "$T"
		OPTIONS=(-o alias_programs=yes -o "alias_user=$user")
		[ "$(post one@example.test | cut -c1-9 | tr '\n' ' ')" = "250 2.1.5 451 4.3.0 " ]
	done
	[ ! -e "$W/id" ]
}

@test "how a program ends: 0 is delivered; 65, 67 and 77 are permanent; all else is temporary, and nobody else has it" {
	table <<<"one: \"|$P\", alice"
	while IFS=: read -r status want; do
		program <<<"cat >/dev/null; $status"
		got=$(post one@example.test | cut -c1-9 | tail -n 1)
		echo "$status: $got"
		[ "$got" = "$want" ]
		[ "$(boxes)" = "$([ "$want" != "250 2.0.0" ] || echo alice)" ]
		empty_boxes
	done <<-END
		exit 0:250 2.0.0
		exit 65:554 5.6.0
		exit 67:550 5.1.1
		exit 77:550 5.7.1
		exit 1:451 4.3.0
		exit 64:451 4.3.0
		exit 69:451 4.3.0
		exit 73:451 4.3.0
		exit 75:451 4.3.0
		exit 78:451 4.3.0
		exit 127:451 4.3.0
		exit 255:451 4.3.0
		kill -9 \$\$:451 4.3.0
		kill -15 \$\$:451 4.3.0
		kill -1 \$\$:451 4.3.0
	END
	logged "one@example.test: $P ended with status 255"
	logged "one@example.test: $P was ended by signal 9"
	refute grep "cannot keep" "$LOG"
	program <<<"exit 0"     # reads nothing
	[ "$(reached one@example.test)" = "250 alice" ]
	tmp_empty
}

@test "a program that cannot be run is temporary" {
	program <<<"exit 0"
	chmod 644 "$P"
	echo x >"$W/no-program"
	chmod 755 "$W/no-program"
	for command in "$P" /nonexistent /etc "$W/no-program" relative 'true'; do
		table <<<"one: \"|$command\", alice"
		got=$(post one@example.test | cut -c1-9 | tail -n 1)
		echo "$command: $got"
		[ "$got" = "451 4.3.0" ]
	done
	[ -z "$(boxes)" ]
	table <<<"one: \"|/bin/true $(printf 'x %.0s' {1..300})\""
	[ "$(post one@example.test | cut -c1-9 | tail -n 1)" = "451 4.3.0" ]
}

@test "a program that never ends is ended, with its children" {
	program <<-END
		tail -f /dev/null &
		echo \$! >$W/child
		echo \$\$ >$W/pid
		trap '' TERM HUP INT
		tail -f /dev/null &
		wait
	END
	table <<<"one: \"|$P\", alice"
	OPTIONS+=(-o deliver_timeout=1s)
	[ "$(post one@example.test | cut -c1-9 | tr '\n' ' ')" = "250 2.1.5 451 4.3.0 " ]
	logged "$P takes longer"
	[ -z "$(boxes)" ]
	for pid in $(cat "$W/pid" "$W/child"); do until_true refute kill -0 "$pid"; done
}

@test "such a recipient is alone in its transaction, whichever comes first" {
	program <<<"cat >>$W/message"
	printf '%s\n' "one: \"|$P\"" "list: alice, one, /dev/null" | table
	for row in "one,bob 250,452,250" "bob,one 250,452,250" "one,one 250,452,250" "list,one 250,452,250" "alice,list,bob 250,452,250,250,250"; do
		rcpts=${row%% *} want=${row##* }
		mapfile -td, rcpts < <(printf %s "$rcpts")
		got=$(post "${rcpts[@]/%/@example.test}" | cut -c1-3 | paste -sd,)
		echo "$row: $got"
		[ "$got" = "$want" ]
	done
	lines "EHLO c" "MAIL FROM:<>" "RCPT TO:<bob@example.test>" "RCPT TO:<one@example.test>" DATA x . "MAIL FROM:<>" "RCPT TO:<one@example.test>" DATA y . QUIT |
		strict "${OPTIONS[@]}" | grep -E '^(250 2.[01].[05]|452 4.5.3) ' | cut -c1-9 >"$W/replies"
	[ "$(paste -sd, "$W/replies")" = "250 2.1.0,250 2.1.5,452 4.5.3,250 2.0.0,250 2.1.0,250 2.1.5,250 2.0.0" ]
	[ "$(tail -n 1 "$W/message")" = y ]
	run -75 deliver "${OPTIONS[@]}" -d one@example.test -d bob@example.test </dev/null
	[[ "$output" == "4.5.3 "* ]]
}

@test "a list of many programs: 16 are run, 17 are too many" {
	program <<<"echo x >>$W/ran"
	for n in 16 17; do
		{ printf 'one: alice'; for ((i = 0; i < n; i++)); do printf ', "|%s %d"' "$P" $i; done; echo; } | table
		post one@example.test | cut -c1-9 >"$W/replies"
		[ "$(head -n 1 "$W/replies")" = "$([ $n = 17 ] && echo "452 4.5.3" || echo "250 2.1.5")" ]
	done
	[ "$(wc -l <"$W/ran")" = 16 ]
	[ "$(boxes)" = alice ]
}

@test "what a program says is not said to the client, nor is it the status of the MDA form" {
	program <<<"echo '250 2.0.0 out'; echo '250 2.0.0 err' >&2; exit 75"
	table <<<"one: \"|$P\""
	lines "LHLO c" "MAIL FROM:<>" "RCPT TO:<one@example.test>" DATA "" hi . QUIT | deliver "${OPTIONS[@]}" --lmtp 2>&1 | cat >"$W/out"
	refute grep -E 'out|err' "$W/out"
	run -75 deliver "${OPTIONS[@]}" -d one@example.test </dev/null   # even when the message is empty
	echo "$output"
	[[ "${lines[-1]}" == "4.3.0 "* ]]
}

@test "the MDA form: exit statuses go through" {
	table <<<"one: \"|$P\""
	for row in "0 0" "65 65" "67 67" "77 67" "75 75" "1 75"; do
		read -r status want <<<"$row"
		program <<<"exit $status"
		run deliver "${OPTIONS[@]}" -d one@example.test <<<""
		echo "$row: $status $output"
		[ "$status" = "$want" ]
	done
}

@test "a large message gets through to a program" {
	program <<<"wc -c >$W/size"
	table <<<"one: \"|$P\", alice"
	BODY=$(yes "$(printf 'x%.0s' {1..99})"$'\r' | head -n 5000)
	BODY+=$'\n'
	post one@example.test >/dev/null
	[ "$(boxes)" = alice ]
	[ "$(cat "$W/size")" -gt 500000 ]
}

# --- /file ---

@test "a file is an mbox: a From_ line before, an empty line behind, lines that look like one quoted" {
	table <<<"file: $W/mbox"
	BODY=$'From here\r\n>From there\r\nfrom\r\n>>From x\r\n From' post file@example.test
	FROM='' post file@example.test
	sed -E 's/^(From [^ ]+) [A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} [0-9]{4}$/\1 DATE/' "$W/mbox" >"$W/masked"
	diff - "$W/masked" <<-'END'
		From sender@b.example DATE
		Return-Path: <sender@b.example>
		Delivered-To: file@example.test
		Subject: x

		>From here
		>>From there
		from
		>>>From x
		 From

		From MAILER-DAEMON DATE
		Return-Path: <>
		Delivered-To: file@example.test
		Subject: x

		hi

	END
	[ "$(stat -c %a:%U "$W/mbox")" = "600:$(id -un ${ME:+"$ME"})" ]
	"$PYTHON" -c "import mailbox; assert len(mailbox.mbox('$W/mbox')) == 2"
}

@test "a file that is a link, a FIFO, a directory, a device, or another's: temporary, with a line in the log" {
	mkfifo -m 666 "$W/fifo"
	mkdir -m 777 "$W/directory"
	ln -s target "$W/link"
	ln -s /dev/null "$W/null"
	for file in fifo directory link null missing/file; do
		table <<<"file: $W/$file, alice"
		got=$(post file@example.test | cut -c1-9 | tail -n 1)
		echo "$file: $got"
		[ "$got" = "451 4.3.0" ]
		logged "$W/$file: "
	done
	[ ! -e "$W/target" ]
	[ -z "$(boxes)" ]
	[ "$(id -u)" = 0 ] || return 0
	touch "$W/roots"
	for file in "$W/roots" /etc/passwd /dev/full; do
		table <<<"file: $file"
		[ "$(post file@example.test | cut -c1-9 | tail -n 1)" = "451 4.3.0" ]
	done
	[ ! -s "$W/roots" ]
	refute grep Return-Path /etc/passwd
}

@test "twenty deliveries to one mbox at once: twenty messages, none in another" {
	table <<<"file: $W/mbox"
	for ((i = 0; i < 20; i++)); do BODY="number $i"$'\r\n'"$(printf 'x%.0s' {1..9000})" post file@example.test 3>&- >/dev/null & done
	wait
	"$PYTHON" - "$W/mbox" <<-'END'
		import mailbox, sys
		texts = sorted(m.get_payload() for m in mailbox.mbox(sys.argv[1]))
		assert len(texts) == 20 and len(set(texts)) == 20 and all(t.count("x") == 9000 for t in texts)
	END
}

@test "an mbox that somebody else keeps locked is a temporary failure, and nobody stays to write to it later" {
	table <<<"file: $W/mbox"
	touch "$W/mbox"
	chmod 666 "$W/mbox"
	"$PYTHON" - "$W" "$DELIVER" "${SETTINGS[@]}" "${OPTIONS[@]}" <<-'END'
		import fcntl, os, subprocess, sys
		out = sys.argv[1] + "/out"
		with open(sys.argv[1] + "/mbox", "r+") as mbox:
		    fcntl.lockf(mbox, fcntl.LOCK_EX)
		    r, w = os.pipe()        # at its end when the last of the processes is gone
		    p = subprocess.Popen(sys.argv[2:] + ["-o", "deliver_timeout=1s", "-d", "file@example.test"], stdin=subprocess.DEVNULL, stderr=w)
		    os.close(w)
		    assert p.wait(30) == 75
		    with os.fdopen(r) as f:
		        text = f.read()
		        assert text.startswith("4.3.0 "), text
	END
	[ ! -s "$W/mbox" ]
}

@test "a full disk: the mbox is cut back to what it was" {
	needs_root
	unshare --mount --propagation private mount -t tmpfs none /mnt 2>/dev/null || skip "cannot mount here"
	table <<<"file: $W/mbox, alice"
	cat >"$BATS_TEST_TMPDIR/inside" <<-'END'
		mount -t tmpfs -o size=64k,mode=777 none "$W"
		post file@example.test
		empty_boxes
		cp "$W/mbox" "$BATS_TEST_TMPDIR/before"
		BODY=$(yes "$(printf 'x%.0s' {1..99})"$'\r' | head -n 1000)$'\n'
		post file@example.test | cut -c1-9 | tail -n 1
		cmp "$W/mbox" "$BATS_TEST_TMPDIR/before" && boxes
	END
	run unshare --mount --propagation private bash -c "$(declare -p T W ROOT LOG SETTINGS OPTIONS BATS_TEST_TMPDIR DELIVER); $(declare -f lines clean_env deliver post boxes empty_boxes); . '$BATS_TEST_TMPDIR/inside'"
	echo "$output"
	[ "${lines[-1]}" = "452 4.3.1" ]
}
