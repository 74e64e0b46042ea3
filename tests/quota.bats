#!/usr/bin/env bats
# Quota: the setting and maildirsize, at RCPT and at the end of the message.  (The counting itself: unit/quota.c; beside Dovecot: quota-dovecot.bats.)
# shellcheck disable=SC2034  # OPTIONS, PARAMETERS, BODY: post.bash reads them
load helper
load post

setup() {
	setup_mail
	BOX=$ROOT/example.test/alice
	SIZES=$BOX/maildirsize
	mkdir -p "$BOX"/{new,cur,tmp}
	OPTIONS=(-o quota=10000)
	BODY=$(printf 'x%.0s' {1..900})
}

# fill OCTETS [FOLDER]: a message that has been read.
fill() {
	mkdir -p "$BOX/${2-}"/{new,cur,tmp}
	printf '%0*d\n' $(($1 - 1)) 0 >"$BOX/${2-}/cur/1.M$RANDOM.host,S=$1:2,S"
}

# answers ADDRESS...: what the RCPT of a message for each is answered; the messages stay.
answers() {
	local rcpt
	for rcpt; do post "$rcpt@example.test" | head -n 1 | cut -c1-9; done | paste -sd,
}

used() { awk 'NR > 1 { o += $1; m += $2 } END { print o, m }' "$SIZES"; }

@test "no quota by default: no maildirsize is made, and one without a limit is left alone" {
	OPTIONS=()
	fill 100000
	expect <<<"alice 250 alice"
	[ ! -e "$SIZES" ]
	printf '\n100 1\n' >"$SIZES"
	expect <<<"alice 250 alice"
	[ "$(cat "$SIZES")" = $'\n100 1' ]
}

@test "the setting is for all, maildirsize for one mailbox; messages count too" {
	fill 9100
	[ "$(answers alice alice bob)" = "250 2.1.5,452 4.2.2,250 2.1.5" ]
	[ "$(head -n 1 "$SIZES")" = 10000S ]
	empty_boxes
	fill 900
	for row in "20000S 250" "10001S 250" "10000S 452" "9000S 452" "1C 452" "2C 452" "3C 250" "100000S,2C 452" "2C,100000S 452" "100000S,9C 250" "0S 452" "10000S,0C 452"; do
		read -r limit want <<<"$row"
		printf '%s\n9100 1\n900 1\n' "$limit" >"$SIZES"
		got=$(post alice@example.test | cut -c1-3 | head -n 1)
		empty_boxes
		echo "$limit: $got"
		[ "$got" = "$want" ]
	done
}

@test "RCPT with SIZE: what does not fit is 452 4.2.2, or 552 5.2.2 with quota_hard" {
	fill 5000
	for hard in no yes; do
		OPTIONS=(-o quota=10000 -o "quota_hard=$hard")
		full=$([ $hard = no ] && echo "452 4.2.2" || echo "552 5.2.2")
		PARAMETERS=SIZE=4999
		expect <<<"alice 250 alice"
		rm "$SIZES"
		PARAMETERS=SIZE=5001
		expect <<-END
			alice $full
			bob 250 bob
		END
		PARAMETERS=SIZE=99999999999999999999
		[ "$(post alice@example.test | cut -c1-9 | head -n 1)" != "250 2.1.5" ]
	done
}

@test "one message of overshoot is forgiven at the end; the next is not" {
	fill 9999
	[ "$(answers alice alice)" = "250 2.1.5,452 4.2.2" ]
	size=$(stat -c %s "$(new_files "$BOX")")
	[ "$(used)" = "$((9999 + size)) 2" ]
	rm "$BOX"/cur/*
	fill 5000 .more         # what was deleted or moved is found when the file says full, and is not of this moment
	touch -d '1 hour ago' "$SIZES"
	[ "$(answers alice)" = "250 2.1.5" ]
	[ "$(used)" = "$((5000 + 2 * size)) 3" ]
}

@test "a mailbox that has become full meanwhile holds the message of all up, at the end" {
	echo 'list: bob, alice' >"$ROOT/example.test/.aliases"
	for hard in no yes; do
		fill 1000
		"$PYTHON" - "$SIZES" "$DELIVER" "${SETTINGS[@]}" "${OPTIONS[@]}" -o "quota_hard=$hard" --lmtp <<-'END'
			import subprocess, sys
			sizes, command = sys.argv[1], sys.argv[2:]
			p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
			def ask(*lines):
			    p.stdin.write("".join(l + "\r\n" for l in lines).encode())
			    p.stdin.flush()
			def hear(start):
			    while not (line := p.stdout.readline().decode()).startswith(start):
			        assert line[3] == "-" or line[:3] in ("220", "250"), line
			ask("LHLO c", "MAIL FROM:<>", "RCPT TO:<list@example.test>", "DATA")
			hear("354")
			with open(sizes, "w") as f:
			    f.write("10000S\n10000 5\n")
			ask("x", ".", "QUIT")
			hear("452 4.2.2")	# for the others of the list it is not for good, whatever quota_hard says
			p.communicate()
		END
		[ -z "$(boxes)" ]
		rm -f "$SIZES"
	done
	tmp_empty
}

@test "quota_hard: a full member is no reason to refuse its list for good" {
	echo 'list: bob, alice' >"$ROOT/example.test/.aliases"
	fill 10000
	OPTIONS=(-o quota=10000 -o quota_hard=yes)
	expect <<-END
		alice 552 5.2.2
		list 452 4.2.2
		bob 250 bob
	END
}

@test "maildirsize that is nonsense, a link, a FIFO or a directory is counted anew, and nothing outside is touched" {
	fill 9500
	echo keep >"$BATS_TEST_TMPDIR/outside"
	for what in "rm -f" "mkfifo" "mkdir" "ln -s $BATS_TEST_TMPDIR/outside" "ln -s $BATS_TEST_TMPDIR/none" "ln -s maildirsize" "ln -s /dev/zero" "truncate -s 0" "truncate -s 10G" "cp /bin/sh"; do
		rm -rf "$SIZES" "$BOX"/new/*
		$what "$SIZES"
		got=$(answers alice alice)
		echo "$what: $got"
		[ "$got" = "250 2.1.5,452 4.2.2" ]
	done
	for text in '10000S\n-99999999999999999999 1\n' '10000S\n9223372036854775807 1\n9223372036854775807 1\n' 'x\n' '10000S\nx y\n' '10000S\n0 0' '\0\0\n' '10000S\n0\n' '\n\n\n' '10000S,10000S\n1 1 1\n'; do
		rm -rf "$SIZES" "$BOX"/new/*
		printf "$text" >"$SIZES"
		got=$(answers alice alice)
		echo "$text: $got"
		[ "$got" = "250 2.1.5,452 4.2.2" ]
	done
	[ "$(cat "$BATS_TEST_TMPDIR/outside")" = keep ]
	[ ! -e "$BATS_TEST_TMPDIR/none" ]
	tmp_empty
}

@test "the sizes in the names count, in all folders, trashed ones too; no link is followed" {
	mkdir -p "$BATS_TEST_TMPDIR/outside/cur"
	truncate -s 50000 "$BATS_TEST_TMPDIR/outside/cur/1.a,S=50000:2,S"
	ln -s "$BATS_TEST_TMPDIR/outside" "$BOX/.outside"
	ln -s "$BATS_TEST_TMPDIR/outside/cur/1.a,S=50000:2,S" "$BOX/new/link"   # without a size in its name
	touch "$BOX/cur/1.a,S=4000:2,S" "$BOX/cur/2.a,S=99999999999999999999:2,S"
	rm "$BOX"/cur/2.*
	fill 1000 .work
	fill 2000 .Trash
	printf '%01999d\n' 0 >"$BOX/new/no-size"
	[ "$(answers alice)" = "250 2.1.5" ]
	[ "$(head -n 2 "$SIZES" | tail -n 1)" = "9000 4" ]
	fill 500
	rm "$SIZES"
	[ "$(answers alice alice+work)" = "452 4.2.2,452 4.2.2" ]
}

@test "mail for a folder counts to the inbox's quota" {
	mkdir "$BOX/.work"
	[ "$(answers alice+work)" = "250 2.1.5" ]
	[ ! -e "$BOX/.work/maildirsize" ]
	[ "$(used)" = "$(stat -c %s "$(new_files "$BOX/.work")") 1" ]
	fill 10000
	rm "$SIZES"
	expect <<-END
		alice+work 452 4.2.2
		alice 452 4.2.2
	END
}

@test "what is delivered is noted once for each copy, in a list too" {
	echo 'list: alice, bob, alice' >"$ROOT/example.test/.aliases"
	answers list list
	[ "$(boxes)" = "alice alice bob bob" ]
	for BOX in "$ROOT/example.test"/{alice,bob}; do
		SIZES=$BOX/maildirsize
		[ "$(used)" = "$((2 * $(stat -c %s "$(new_files "$BOX" | head -n 1)"))) 2" ]
	done
}

@test "the MDA form: a full mailbox is 75; 65 when the administrator has said that it is permanent" {
	fill 10000
	run -75 deliver "${OPTIONS[@]}" -d alice@example.test </dev/null
	[[ "$output" == "4.2.2 "* ]]
	run -75 deliver "${OPTIONS[@]}" -d bob@example.test -d alice@example.test </dev/null
	run -65 deliver "${OPTIONS[@]}" -o quota_hard=yes -d alice@example.test </dev/null
	[[ "$output" == "5.2.2 "* ]]
	[ -z "$(boxes)" ]
}

@test "as root: maildirsize is read and written as the owner of the mailbox" {
	needs_root
	fill 1000
	chown -R 1234:1235 "$BOX"
	chmod 700 "$BOX"
	expect <<<"alice 250 alice"
	[ "$(stat -c %u:%g:%a "$SIZES")" = 1234:1235:600 ]
	chown 0:0 "$SIZES"      # not his to read: he cannot be served
	chmod 600 "$SIZES"
	expect <<<"alice 451 4.2.0"
	grep -q 'alice@example.test: cannot open mailbox: Permission denied' "$LOG"
}
