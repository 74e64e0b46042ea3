#!/usr/bin/env bats
# Delivery reports as those read them who get them: Python's email package (structure, fields, no defect in any part) and mutt.  The form of each octet: unit/report.c.
# shellcheck disable=SC2030,SC2031  # a test is a subshell of its own
load helper
load peers

setup_file() {
	local top=$BATS_TEST_DIRNAME/..
	export REPORT_SHOW=$BATS_FILE_TMPDIR/report-show
	${CC:-cc} -std=c17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I"$top/queue" -I"$top/lib" -o "$REPORT_SHOW" \
		"$top/tests/report-show.c" "$top"/queue/report*.c "$top/lib/trace.c" "$top/lib/xtext.c"
}

setup() {
	REPORT=$BATS_TEST_TMPDIR/report
	MESSAGE=$BATS_TEST_TMPDIR/message
	printf '%s\n' 'From: Alice <alice@example.test>' 'To: bob@example.org' 'Subject: The plan' 'Message-ID: <1@example.test>' '' 'Hello.' >"$MESSAGE"
}

# report NEEDS NAME=VALUE...: a report on $MESSAGE in $REPORT, which needs this of its transport.
report() {
	local needs=$1
	shift
	"$REPORT_SHOW" message="$MESSAGE" "$@" >"$REPORT" 2>"$BATS_TEST_TMPDIR/needs"
	[ "$(<"$BATS_TEST_TMPDIR/needs")" = "$needs" ]
}

# read_it < PROGRAM: after what holds for any report: `msg` is it, `text` its first part, `fields` those of its second, one dictionary for the message and one
# for each recipient (names in small letters), `third` its third part, `raw` its octets.
read_it() {
	clean_env PYTHONIOENCODING=utf-8 "$PYTHON" - "$REPORT" "$(cat)" <<-'E'
		import email, email.policy, re, sys
		raw = open(sys.argv[1], "rb").read()
		assert not re.search(rb"[^\r]\n|\r[^\n]|\0", raw) and max(map(len, raw.split(b"\r\n"))) <= 998
		msg = email.message_from_bytes(raw, policy=email.policy.default)
		def no_defects(part):
		    assert not part.defects, (part.get_content_type(), part.defects)
		    for name, value in part.items():
		        # Python knows of UTF-8 in a header, but not that it may be there
		        bad = [d for d in value.defects if raw.isascii() or type(d).__name__ not in ("NonASCIILocalPartDefect", "UndecodableBytesDefect")]
		        assert not bad, (name, value, bad)
		    if part.is_multipart():
		        for one in part.iter_parts() if part.get_content_maintype() == "multipart" else part.get_payload(): no_defects(one)
		parts = list(msg.iter_parts())
		no_defects(msg)
		assert msg.get_content_type() == "multipart/report" and msg["Auto-Submitted"] == "auto-replied" and msg["MIME-Version"] == "1.0"
		assert msg.get_param("report-type") == parts[1].get_content_subtype()
		assert len(parts) in (2, 3) and parts[0].get_content_type() == "text/plain"
		assert msg["From"].addresses[0].addr_spec == "MAILER-DAEMON@mx.example.test" and len(msg["To"].addresses) == 1
		assert re.fullmatch(r"<\S+@mx.example.test>", msg["Message-ID"]) and msg["Date"].datetime.timestamp() == 1767312000
		text = parts[0].get_content().replace("\r\n", "\n")
		third = parts[2] if len(parts) == 3 else None
		if parts[1].get_content_type() == "message/delivery-status":
		    groups = parts[1].get_payload()
		else:       # Python knows nothing of message/global-delivery-status: it takes it for a message, whose body are the recipients
		    assert parts[1].get_content_type() == "message/global-delivery-status"
		    first, = parts[1].get_payload()
		    body = raw.split(b"--" + msg.get_boundary().encode())[2].split(b"\r\n\r\n", 2)[2]
		    groups = [first] + [email.message_from_bytes(group, policy=email.policy.default) for group in body.strip().split(b"\r\n\r\n")]
		fields = [{name.lower(): str(v) for name, v in group.items()} for group in groups]
		for group in groups: assert len(set(map(str.lower, group.keys()))) == len(group.keys()) and not group.defects
		exec(sys.argv[2])
	E
}

@test "failed: text, fields and the header" {
	report 7BIT envid=QQ+2B314 rcpt=bob@example.org orcpt='rfc822;b+2Bo+3Db@example.net' status=5.1.1 host=mx.example.org said=1 last=1767311000 \
		text=$'550-5.1.1 <bob@example.org>: no such user\n550 5.1.1 see https://example.org/help'
	read_it <<-'E'
		assert msg["Subject"] == "Undelivered mail" and msg["To"].addresses[0].addr_spec == "alice@example.test"
		assert parts[0].get_content_charset() == "us-ascii" and raw.isascii()
		assert fields == [
		    {"original-envelope-id": "QQ+314", "reporting-mta": "dns; mx.example.test", "x-smtp-handler-id": "0123456789abcdef.1", "arrival-date": "Thu, 1 Jan 2026 00:00:00 +0000"},
		    {"original-recipient": "rfc822; b+o=b@example.net", "final-recipient": "rfc822; bob@example.org", "action": "failed", "status": "5.1.1", "remote-mta": "dns; mx.example.org",
		     "diagnostic-code": "smtp; 550-5.1.1 <bob@example.org>: no such user 550 5.1.1 see https://example.org/help", "last-attempt-date": "Thu, 1 Jan 2026 23:43:20 +0000"}]
		assert third.get_content_type() == "text/rfc822-headers"
		assert email.message_from_string(third.get_content())["Subject"] == "The plan" and "Hello" not in third.get_content()
		for words in ("could not be delivered", "<bob@example.org>", "where mail for b+o=b@example.net goes", "There is no such mailbox.", "mx.example.org said:",
		        "550-5.1.1 <bob@example.org>: no such user\n", "not tried again"): assert words in text, words
	E
}

@test "delayed: nothing need be done, and until when it is tried" {
	report 7BIT full=1 rcpt=bob@example.org action=delayed status=4.4.1 text='mx.example.org does not answer'
	read_it <<-'E'
		assert msg["Subject"] == "Delayed mail, still being tried"
		assert fields[1]["will-retry-until"] == "Tue, 6 Jan 2026 00:00:00 +0000" and fields[1]["diagnostic-code"] == "x-smtp-handler; mx.example.org does not answer"
		assert "remote-mta" not in fields[1] and "original-envelope-id" not in fields[0]
		assert third.get_content_type() == "text/rfc822-headers"
		words = " ".join(text.split())
		assert "You need not do anything" in words and "another 4 days, until Tue, 6 Jan 2026" in words
	E
}

@test "delivered, relayed, and all at once" {
	report 7BIT rcpt=bob@example.org action=delivered status=2.1.5
	read_it <<<'assert msg["Subject"] == "Delivered mail" and fields[1]["action"] == "delivered" and "was delivered to" in text and "will-retry-until" not in fields[1]'
	report 7BIT rcpt=bob@example.org action=relayed status=2.1.9
	read_it <<<'assert msg["Subject"] == "Mail passed on" and fields[1]["action"] == "relayed" and "does not report" in text'
	report 7BIT rcpt=team@example.org action=expanded
	read_it <<<'assert msg["Subject"] == "Mail passed on to several addresses" and fields[1]["action"] == "expanded" and fields[1]["status"] == "2.0.0" and "<team@example.org>" in text'
	report 7BIT rcpt=a@b.test action=relayed rcpt=c@d.test action=failed rcpt=e@f.test action=delayed rcpt=g@h.test action=delivered rcpt=i@j.test action=failed
	read_it <<-'E'
		assert msg["Subject"] == "Report about your mail"
		assert [f["action"] for f in fields[1:]] == ["relayed", "failed", "delayed", "delivered", "failed"]
		at = [text.index(a) for a in ("<c@d.test>", "<i@j.test>", "<e@f.test>", "<g@h.test>", "<a@b.test>")]
		assert at == sorted(at)
	E
}

@test "a report that its sender does not take goes to the postmaster, and says why" {
	report 7BIT to=postmaster@example.test sender=gone@example.net rcpt=bob@example.org status=5.1.1
	read_it <<-'E'
		assert msg["Subject"] == "Undelivered mail, of which its sender is not told" and msg["To"].addresses[0].addr_spec == "postmaster@example.test"
		assert "<gone@example.net>" in text and "you look after the mail" in text and "The message could not be delivered to" in text
		assert "Your message" not in text and "that you sent" not in text and "Check how" not in text
		assert fields[1]["final-recipient"] == "rfc822; bob@example.org"
	E
	report 7BIT to=postmaster@example.test sender= rcpt=bob@example.org status=5.1.1
	read_it <<<'assert "has no sender who could be told" in " ".join(text.split()) and "<>" not in text'
}

@test "RET=FULL: the whole message, octet for octet" {
	report 7BIT full=1 rcpt=bob@example.org
	read_it <<-'E'
		assert third.get_content_type() == "message/rfc822" and third.get_content().get_content() == "Hello.\r\n"
		assert "The message comes with this report." in text
	E
	sed 's/$/\r/' "$MESSAGE" >"$BATS_TEST_TMPDIR/want"
	sed -n '/^Content-Type: message.rfc822/,$p' "$REPORT" | tail -n +3 | head -n 6 | cmp - "$BATS_TEST_TMPDIR/want"
}

@test "RET=FULL: over the limit the header alone, and it says so" {
	report 7BIT full=1 most=50 rcpt=bob@example.org
	read_it <<<'assert third.get_content_type() == "text/rfc822-headers" and "has more than 50 octets" in " ".join(text.split())'
	# just not over it
	report 7BIT full=1 most="$(stat -c %s "$MESSAGE")" rcpt=bob@example.org
	read_it <<<'assert third.get_content_type() == "message/rfc822"'
}

@test "RET=FULL: eight bits are declared, on the part and on the whole" {
	printf '%s\n' 'From: a@example.test' 'MIME-Version: 1.0' 'Content-Type: text/plain; charset=utf-8' 'Content-Transfer-Encoding: 8bit' '' 'Grüße' >"$MESSAGE"
	report 8BITMIME full=1 rcpt=bob@example.org
	read_it <<-'E'
		assert msg["Content-Transfer-Encoding"] == "8bit" and third["Content-Transfer-Encoding"] == "8bit" and parts[0]["Content-Transfer-Encoding"] is None
		assert third.get_content_type() == "message/rfc822" and third.get_content().get_content() == "Grüße\r\n"
	E
	# its header has none: seven bits are enough for that
	report 7BIT rcpt=bob@example.org
	read_it <<<'assert msg["Content-Transfer-Encoding"] is None and raw.isascii()'
}

@test "a header with octets beyond ASCII comes encoded" {
	printf '%s\n' 'From: a@example.test' 'Subject: Grüße = Gruß ' '' x >"$MESSAGE"
	report 7BIT rcpt=bob@example.org
	read_it <<-'E'
		assert third["Content-Transfer-Encoding"] == "quoted-printable" and raw.isascii()
		assert third.get_payload(decode=True).decode() == "From: a@example.test\r\nSubject: Grüße = Gruß \r\n"
	E
}

@test "beyond ASCII: the forms of RFC 6533" {
	printf '%s\n' 'From: Jörg <jörg@example.test>' 'Subject: Grüße' '' 'Guten Tag.' >"$MESSAGE"
	local about=(utf8=1 rcpt=grün@example.org orcpt='utf-8;gr\x{FC}n@example.net' status=5.1.1 host=mx.example.org said=1 text='550 5.1.1 kein Empfänger')
	report SMTPUTF8 to=jörg@example.test "${about[@]}"
	read_it <<-'E'
		assert b"\r\nTo: <j\xc3\xb6rg@example.test>\r\n" in raw
		assert parts[1].get_content_type() == "message/global-delivery-status" and third.get_content_type() == "message/global-headers"
		assert parts[0].get_content_charset() == "utf-8" and "kein Empfänger" in text and "<grün@example.org>" in text and "grün@example.net goes" in text
		for part in [msg] + parts: assert part["Content-Transfer-Encoding"] == "8bit"
		lines = raw.decode().split("\r\n")
		for line in ("Original-Recipient: utf-8; grün@example.net",
		        "Final-Recipient: utf-8; grün@example.org", "Diagnostic-Code: smtp; 550 5.1.1 kein Empfänger", "Subject: Grüße"): assert line in lines
		assert len(fields) == 2 and fields[1]["status"] == "5.1.1"
		assert "Guten Tag." not in lines
	E
	report SMTPUTF8 to=jörg@example.test full=1 "${about[@]}"
	read_it <<<'assert third.get_content_type() == "message/global" and "Guten Tag." in raw.decode().split("\r\n")'
	# to somebody whose address is ASCII eight bits are enough
	report 8BITMIME "${about[@]}"
	read_it <<<'assert raw.split(b"\r\n\r\n")[0].isascii() and parts[1].get_content_type() == "message/global-delivery-status"'
	# and without utf8 seven are, for all but the message
	report 7BIT "${about[@]}" utf8=0
	read_it <<-'E'
		assert fields[1]["final-recipient"] == r"utf-8; gr\x{FC}n@example.org" and fields[1]["original-recipient"] == r"utf-8; gr\x{FC}n@example.net"
		assert fields[1]["diagnostic-code"] == "smtp; 550 5.1.1 kein Empf?nger" and raw.isascii()
	E
}

@test "nothing foreign makes a field, a part or a header" {
	local evil=$'\r\nSubject: evil\r\n\r\n--=_0\r\n\n--boundary\nContent-Type: text/html\n\n<b>\r\nFinal-Recipient: rfc822; evil@example.org\n\nStatus: 2.0.0'
	report 7BIT to="alice@example.test$evil" envid="x$evil" id="1$evil" rcpt="bob@example.org$evil" orcpt="rfc822;b$evil" status="5.1.1$evil" \
		host="mx.example.org$evil" said=1 text="550 no$evil" \
		rcpt=carl@example.org orcpt='rfc822;c+0D+0AStatus:+202.0.0' text="$evil"
	# what stands for a control character makes the address one that no reader likes; more than that it does not
	sed -i 's/^To: <.*/To: <alice@example.test>\r/' "$REPORT"
	read_it <<-'E'
		assert len(parts) == 3 and len(msg.get_all("Subject")) == 1 and msg["Subject"] == "Undelivered mail"
		assert len(fields) == 3 and fields[1]["status"] == "5.0.0" and fields[2]["status"] == "5.0.0"
		assert fields[2]["original-recipient"] == "rfc822; c+0D+0AStatus:+202.0.0" and fields[2]["final-recipient"] == "rfc822; carl@example.org"
		assert "evil@example.org" in fields[1]["diagnostic-code"] and fields[1]["final-recipient"].startswith("rfc822; bob@example.org??Subject: evil")
	E
}

@test "a reply of 2000 octets, with blanks and without" {
	local words
	printf -v words 'word%.0s ' {1..400}
	report 7BIT rcpt=bob@example.org said=1 text="550 $words" rcpt=carl@example.org said=1 text="550 ${words// /}"
	read_it <<-'E'
		assert fields[1]["diagnostic-code"].split() == ["smtp;", "550"] + 400 * ["word"]
		assert "".join(fields[2]["diagnostic-code"].split()) == "smtp;550" + 400 * "word"
		long = [line for line in raw.split(b"\r\n") if len(line) > 78]
		assert all(b"wordword" in line for line in long), long
	E
}

@test "messages that are hardly any: empty, header alone, no last newline, NUL, endless lines" {
	local full
	for full in 0 1; do
		: >"$MESSAGE"
		report 7BIT full=$full rcpt=bob@example.org
		read_it <<<'assert len(parts) == 3'
		printf 'Subject: x' >"$MESSAGE"
		report 7BIT full=$full rcpt=bob@example.org
		read_it <<<'assert b"\r\n\r\nSubject: x\r\n--" in raw'
		printf 'Subject: x\n\ny' >"$MESSAGE"
		report 7BIT full=$full rcpt=bob@example.org
		read_it <<<'assert (b"\r\n\r\ny\r\n--" in raw) == ('$full' == 1)'
		printf 'Subject: x\0y\n\nz\0\rz\n' >"$MESSAGE"
		report 7BIT full=$full rcpt=bob@example.org
		read_it <<<'assert (b"\r\n\r\nz? z\r\n\r\n--" in raw) == ('$full' == 1)'
		printf 'Subject: %05000d\n\n%05000d\n' 0 0 >"$MESSAGE"
		report 7BIT full=$full rcpt=bob@example.org
		read_it <<<'assert len(parts) == 3'
	done
}

@test "a message that is gone, or cannot be read" {
	rm "$MESSAGE"
	report 7BIT rcpt=bob@example.org
	read_it <<<'assert len(parts) == 2 and "not here any more" in text'
	echo x >"$MESSAGE"
	run ! "$REPORT_SHOW" message="$MESSAGE" size=100 rcpt=bob@example.org
}

@test "a report that is none would be noticed" {
	report 7BIT rcpt=bob@example.org
	sed -i 's/^Action: /\r\n&/' "$REPORT"
	run ! read_it <<<'assert len(fields) == 2'
	report 7BIT rcpt=bob@example.org
	sed -i 's/^\(--=_.*\)--\r$/\1/' "$REPORT"
	run ! read_it <<<'pass'
}

@test "mutt shows it" {
	installed mutt script
	local dir=$BATS_TEST_TMPDIR box=$BATS_TEST_TMPDIR/box
	mkdir -p "$box"/{new,cur,tmp}
	report 7BIT full=1 rcpt=bob@example.org status=5.1.1 host=mx.example.org said=1 text='550 5.1.1 no such user'
	tr -d '\r' <"$REPORT" >"$box/new/1.a.host"
	cat >"$dir/muttrc" <<-E
		set folder="$dir" spoolfile="$box" record="" postponed="" mbox="" tmpdir="$dir" header_cache=""
		set mbox_type=Maildir wait_key=no pipe_decode=yes sleep_time=0 quit=yes delete=no move=no charset=utf-8
		push "<display-message><pipe-message>cat >$dir/mutt.out<enter><exit><quit>"
	E
	clean_env HOME="$dir" TERM=vt100 timeout 60 script -qec "mutt -n -F $dir/muttrc -f $box" /dev/null </dev/null >"$dir/mutt.tty" 2>&1
	grep -q '^Subject: Undelivered mail' "$dir/mutt.out"
	grep -q 'There is no such mailbox' "$dir/mutt.out"
	grep -q '^Final-Recipient: rfc822; bob@example.org' "$dir/mutt.out"
	grep -q '^Subject: The plan' "$dir/mutt.out"
	grep -q '^Hello' "$dir/mutt.out"
	run ! grep -q 'No matching mailcap\|is unsupported' "$dir/mutt.out"
}
