#!/usr/bin/env bats
# What we deliver is read by the mail readers that people have: Dovecot's IMAP, mutt, Python.
# shellcheck disable=SC2030,SC2031  # a test is a subshell of its own
load helper
load peers

# write_message END: a message with everything that a store could damage, in $MESSAGE with LF: dots, "From ", 8 bits, a long line, any END.
write_message() {
	MESSAGE=$BATS_TEST_TMPDIR/message
	{
		printf '%s\n' 'From: Carol <carol@example.net>' 'To: alice@example.test' 'Subject: The =?utf-8?q?gr=C3=BCne?= test' \
			'Message-ID: <1@example.net>' 'MIME-Version: 1.0' 'Content-Type: text/plain; charset=utf-8' 'Content-Transfer-Encoding: 8bit' ''
		printf '%s\n' 'Grüße, 8 bits.' '.' '..' '.hidden' 'From here on.' '' '  indented	tabbed  '
		printf '%02000d\n' 0
		printf 'The last line.%s' "$1"
	} >"$MESSAGE"
}

# stored BOX: the only message in new/ as FILE, whose name declares its true sizes S= and W= (on the disk, and with CRLF).
stored() {
	run new_files "$ROOT/example.test/$1"
	[ "${#lines[@]}" = 1 ]
	FILE=${lines[0]}
	S=$(stat -c %s "$FILE") W=$(sed 's/$/\r/' "$FILE" | wc -c)
	# sed ends a last line with CR even if no LF follows
	[ -z "$(tail -c 1 "$FILE")" ] || W=$((W - 1))
	[[ "$FILE" == *",S=$S,W=$W" ]]
	KEPT=$BATS_TEST_TMPDIR/kept
	cp "$FILE" "$KEPT"
}

# ends_with_message FILE: what we were given ends it.
ends_with_message() { tail -c "$(stat -c %s "$MESSAGE")" "$1" | cmp - "$MESSAGE"; }

by_mda() { deliver -f carol@example.net -d alice@example.test <"$MESSAGE"; }
by_smtp() {
	{
		lines 'EHLO client.example.net' 'MAIL FROM:<carol@example.net> BODY=8BITMIME' 'RCPT TO:<alice@example.test>' DATA
		sed -e 's/^\./../' -e 's/$/\r/' "$MESSAGE"
		lines . QUIT
	} | handler
}

check_dovecot() {
	local box=$ROOT/example.test/alice
	stored alice
	run imap "$box" seen
	[ "$status" = 0 ]
	[ "${#lines[@]}" = 1 ]
	[ "${lines[0]}" = "$W $W (\\Recent) The =?utf-8?q?gr=C3=BCne?= test" ]
	tr -d '\r' <"$BATS_TEST_TMPDIR/imap.1" | cmp - "$KEPT"
	ends_with_message "$KEPT"
	dovecot_content
	[ -f "$box/cur/${FILE##*/}:2,S" ]
	run imap "$box"
	[ "${lines[0]}" = "$W $W (\\Seen) The =?utf-8?q?gr=C3=BCne?= test" ]
}

@test "Dovecot IMAP: a message from the MDA form" {
	needs dovecot
	write_message $'\n'
	by_mda
	check_dovecot
}

@test "Dovecot IMAP: a message from SMTP" {
	needs dovecot
	write_message $'\n'
	by_smtp
	check_dovecot
}

@test "Dovecot IMAP: a message without a final newline, from the MDA form" {
	needs dovecot
	write_message ''
	by_mda
	stored alice
	run imap "$ROOT/example.test/alice"
	[[ "${lines[0]}" == "$W $W "* ]]
	tr -d '\r' <"$BATS_TEST_TMPDIR/imap.1" >"$BATS_TEST_TMPDIR/read"
	cmp "$BATS_TEST_TMPDIR/read" "$KEPT"
	dovecot_content
}

@test "Dovecot IMAP: a copy for each of two recipients, many messages in one mailbox" {
	needs dovecot
	local i
	write_message $'\n'
	for i in 1 2 3 4 5; do deliver -f carol@example.net -d alice@example.test -d bob@example.test <"$MESSAGE"; done
	for i in alice bob; do
		run imap "$ROOT/example.test/$i" seen
		[ "${#lines[@]}" = 5 ]
		[ "$(sort -u <<<"$output" | wc -l)" = 1 ]
		dovecot_content
	done
}

@test "Dovecot IMAP: a client that waits in IDLE hears of new mail" {
	needs dovecot
	mkdir -p "$ROOT/example.test/alice"/{new,cur,tmp}
	run imap_idle "$ROOT/example.test/alice" "$DELIVER" "${SETTINGS[@]}" -f a@b.example -d alice@example.test
	[[ "${lines[0]}" == '* 1 EXISTS' ]]
	dovecot_content
}

@test "Dovecot IMAP: wrong sizes in a name would be noticed" {
	needs dovecot
	local box=$ROOT/example.test/alice
	write_message $'\n'
	by_mda
	stored alice
	mv "$FILE" "${FILE%,S=*},S=$((S + 5)),W=$((W + 5))"
	run imap "$box"
	[ "$status" != 0 ]
	grep -q 'Cached message size larger than expected' "$DOVECOT/log"
	run ! dovecot_content
}

# mutt MAILDIR: read the message in batch mode, on a terminal of script(1); it goes to mutt.out.
mutt() {
	installed mutt script
	local dir=$BATS_TEST_TMPDIR
	cat >"$dir/muttrc" <<-E
		set folder="$dir" spoolfile="$dir" record="" postponed="" mbox="" tmpdir="$dir" header_cache=""
		set mbox_type=Maildir wait_key=no pipe_decode=no sleep_time=0 quit=yes delete=no move=no
		push "<display-message><pipe-message>cat >$dir/mutt.out<enter><exit><quit>"
	E
	clean_env HOME="$dir" TERM=vt100 timeout 60 script -qec "mutt -n -F $dir/muttrc -f $1" /dev/null </dev/null >"$dir/mutt.tty" 2>&1
}

check_mutt() {
	stored alice
	mutt "$ROOT/example.test/alice"
	cmp "$BATS_TEST_TMPDIR/mutt.out" "$KEPT"
	ends_with_message "$KEPT"
	[ -f "$ROOT/example.test/alice/cur/${FILE##*/}:2,S" ]
}

@test "mutt: a message from the MDA form" {
	write_message $'\n'
	by_mda
	check_mutt
}

@test "mutt: a message from SMTP" {
	write_message $'\n'
	by_smtp
	check_mutt
}

# python_mailbox MAILDIR: the standard library reads the message and moves it to cur/.
python_mailbox() {
	clean_env "$PYTHON" - "$1" "$BATS_TEST_TMPDIR/python.out" <<-'E'
		import mailbox, sys
		box = mailbox.Maildir(sys.argv[1], create=False)
		(key, message), = box.items()
		print(message.get_subdir(), message["Subject"], message["Delivered-To"], message["Return-Path"], sep="|")
		open(sys.argv[2], "wb").write(box.get_bytes(key))
		message.set_subdir("cur")
		message.add_flag("S")
		box[key] = message
		again = mailbox.Maildir(sys.argv[1], create=False).get(key)
		print(again.get_subdir(), again.get_flags(), again["Subject"], sep="|")
	E
}

check_python() {
	stored alice
	run python_mailbox "$ROOT/example.test/alice"
	[ "$status" = 0 ]
	[ "${lines[0]}" = "new|The =?utf-8?q?gr=C3=BCne?= test|alice@example.test|<carol@example.net>" ]
	[ "${lines[1]}" = "cur|S|The =?utf-8?q?gr=C3=BCne?= test" ]
	cmp "$BATS_TEST_TMPDIR/python.out" "$KEPT"
	ends_with_message "$KEPT"
}

@test "Python's mailbox: a message from the MDA form" {
	write_message $'\n'
	by_mda
	check_python
}

@test "Python's mailbox: a message from SMTP" {
	write_message $'\n'
	by_smtp
	check_python
}
