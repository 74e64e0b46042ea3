#!/usr/bin/env bats
# Programs that people send mail with, over a real loopback socket; each test looks at what was stored.
# shellcheck disable=SC2030,SC2031  # a test is a subshell of its own
load helper
load servers

# listen [OPTION...]: the handler, for every connection.
listen() {
	if command -v tcpserver >/dev/null; then serve tcpserver "$@"; else serve systemd_inetd "$@"; fi
}

# client COMMAND...: with a home, a language and nothing else; what it says goes to `said`.
client() {
	clean_env LC_ALL=C.UTF-8 HOME="$BATS_TEST_TMPDIR" timeout 60 "$@" >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- ||
		{ echo "status $? of $1:"; cat "$BATS_TEST_TMPDIR/said" "$LOG"; return 1; }
}

# python ARGUMENT... < SCRIPT: with `s`, a connection of smtplib that has said EHLO, and `argv`.
python() {
	{
		printf '%s\n' 'import smtplib, sys' 'from email.message import EmailMessage' 'argv = sys.argv[2:]' \
			's = smtplib.SMTP("127.0.0.1", int(sys.argv[1]), local_hostname="client.example.org", timeout=30)' 's.ehlo()'
		cat
	} >"$BATS_TEST_TMPDIR/script.py"
	client "$PYTHON" "$BATS_TEST_TMPDIR/script.py" "$PORT" "$@"
}

has() { command -v "$1" >/dev/null || skip "no $1 here"; }

# only BOX: the one message there.
only() {
	[ "$(count "$ROOT/example.test/$1")" = 1 ] || { echo "$1: $(count "$ROOT/example.test/$1") messages"; return 1; }
	new_files "$ROOT/example.test/$1"
}

two_ended() { [ "$(grep -c ' ended: ' "$LOG")" = 2 ]; }

# holds FILE PATTERN...: each is a whole line of it.
holds() {
	local file=$1 pattern
	shift
	for pattern in "$@"; do
		LC_ALL=C grep -aqxE "$pattern" "$file" || { echo "no line $pattern in:"; cat -A "$file"; return 1; }
	done
}

# body FILE: what is behind the first empty line.
body() { LC_ALL=C sed '1,/^$/d' "$1"; }

# The trace header of a message of sender@client.example.org to one or more.
from_client() {
	holds "$1" 'Return-Path: <sender@client\.example\.org>' 'Received: from client\.example\.org \(\[127\.0\.0\.1\]\)' \
		'	by mx\.example\.test with ESMTP id [0-9a-f]{18,}\.1;?'
}

# hard_message: LF line ends; dots at every place, long and empty lines, every octet but NUL, CR and LF.
hard_message() {
	printf 'From: sender@client.example.org\nDate: Sun, 1 Mar 2026 12:00:00 +0000\nMessage-ID: <hard@client.example.org>\nSubject: hard\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\n'
	printf '%s\n' . .. ... '.a' 'a.' '' '' 'From here' ' .' "$(printf '%01500d' 0)" ".$(printf '%01500d' 0)"
	LC_ALL=C awk 'BEGIN { for (i = 1; i < 256; i++) if (i != 10 && i != 13) printf "%c", i; print "" }'
	printf '.\n..\n'
}

@test "swaks: plain" {
	has swaks
	listen
	client swaks --server 127.0.0.1 --port "$PORT" --ehlo client.example.org --from sender@client.example.org --to alice@example.test \
		--h-Subject plain --body 'Hello.'
	grep -q '^<-  250 2.0.0 Ok, stored' "$BATS_TEST_TMPDIR/said"
	from_client "$(only alice)"
	holds "$(only alice)" 'Delivered-To: alice@example\.test' '	for <alice@example\.test>;' 'Subject: plain'
	[ "$(body "$(only alice)" | sed '/^$/d')" = Hello. ]
	tmp_empty
}

@test "swaks: a message with every octet and every dot" {
	has swaks
	listen
	hard_message >"$BATS_TEST_TMPDIR/hard"
	client swaks --server 127.0.0.1 --port "$PORT" --ehlo client.example.org --from sender@client.example.org --to alice@example.test \
		--data "@$BATS_TEST_TMPDIR/hard"
	from_client "$(only alice)"
	# swaks puts an empty line at the end of what it sends
	content "$(only alice)" | cmp - <(cat "$BATS_TEST_TMPDIR/hard" && echo) || content "$(only alice)" | cmp - "$BATS_TEST_TMPDIR/hard"
}

@test "swaks: several recipients, pipelined" {
	has swaks
	listen
	client swaks --server 127.0.0.1 --port "$PORT" --ehlo client.example.org --from sender@client.example.org \
		--to alice@example.test,bob@example.test --h-Subject piped --body 'Hello.' --pipeline
	grep -q '^ -> RCPT TO:<bob@example.test>' "$BATS_TEST_TMPDIR/said"
	from_client "$(only alice)"
	from_client "$(only bob)"
	cmp <(content "$(only alice)") <(content "$(only bob)")
	holds "$(only bob)" 'Delivered-To: bob@example\.test' 'Subject: piped'
	run ! grep -a 'for <' "$(only bob)"
}

@test "swaks: a recipient that does not exist is refused, with swaks' own status for that" {
	has swaks
	listen
	run -24 clean_env HOME="$BATS_TEST_TMPDIR" timeout 30 swaks --server 127.0.0.1 --port "$PORT" --from sender@client.example.org --to nobody@example.test
	[[ $output == *'<** 550 5.1.1 No such mailbox here'* ]]
	no_trace
}

@test "curl: a message to two recipients" {
	has curl
	listen
	printf 'From: sender@client.example.org\r\nSubject: curl\r\n\r\n.\r\nHello.\r\n' >"$BATS_TEST_TMPDIR/in"
	client curl -sS "smtp://127.0.0.1:$PORT/client.example.org" --mail-from sender@client.example.org \
		--mail-rcpt alice@example.test --mail-rcpt bob@example.test --upload-file "$BATS_TEST_TMPDIR/in"
	local box
	for box in alice bob; do
		from_client "$(only $box)"
		content "$(only $box)" | cmp - <(tr -d '\r' <"$BATS_TEST_TMPDIR/in")
	done
}

@test "curl --crlf: a message with every octet and every dot, from a file with LF line ends" {
	has curl
	listen
	hard_message >"$BATS_TEST_TMPDIR/hard"
	client curl -sS --crlf "smtp://127.0.0.1:$PORT/client.example.org" --mail-from sender@client.example.org --mail-rcpt alice@example.test \
		--upload-file "$BATS_TEST_TMPDIR/hard"
	content "$(only alice)" | cmp - "$BATS_TEST_TMPDIR/hard"
}

@test "curl: 5 MB, octet for octet" {
	has curl
	listen
	"$PYTHON" -c '
import random, sys
r, out, size = random.Random(1), sys.stdout.buffer, 0
out.write(b"Subject: large\r\n\r\n")
octets = bytes(i for i in range(1, 256) if i not in (10, 13)) + b"." * 40
while size < 5000000:
    line = bytes(r.choices(octets, k=r.choice((0, 1, 2, 60, 70, 998, 20000))))
    size += out.write(line + b"\r\n")' >"$BATS_TEST_TMPDIR/in"
	client curl -sS "smtp://127.0.0.1:$PORT/client.example.org" --mail-from sender@client.example.org \
		--mail-rcpt alice@example.test --mail-rcpt bob@example.test --upload-file "$BATS_TEST_TMPDIR/in"
	local box
	for box in alice bob; do
		from_client "$(only $box)"
		content "$(only $box)" | cmp - <(tr -d '\r' <"$BATS_TEST_TMPDIR/in")
		[ "$(only $box | sed 's/.*,S=\([0-9]*\),.*/\1/')" = "$(stat -c %s "$(only $box)")" ]
	done
}

@test "curl: larger than max_size, refused before and behind the data" {
	has curl
	listen -o max_size=100K
	head -c 200000 /dev/zero | tr '\0' x >"$BATS_TEST_TMPDIR/in"
	local send=(curl -sS --crlf "smtp://127.0.0.1:$PORT/client.example.org" --mail-from sender@client.example.org --mail-rcpt alice@example.test)
	run ! client "${send[@]}" --upload-file "$BATS_TEST_TMPDIR/in"   # it says SIZE=
	run ! client "${send[@]}" --upload-file - <"$BATS_TEST_TMPDIR/in" # it does not
	until_true two_ended
	grep -q 'not stored: .*552 5.3.4' "$LOG"
	no_trace
}

@test "curl: an internationalized sender and recipient" {
	has curl
	curl --version | grep -q IDN || skip "this curl has no IDN"
	mkdir "$ROOT/example.test/grün"
	listen
	printf 'Subject: gr\xc3\xbcn\r\n\r\nHello.\r\n' >"$BATS_TEST_TMPDIR/in"
	client curl -sS "smtp://127.0.0.1:$PORT/client.example.org" --mail-from jürgen@client.example.org --mail-rcpt grün@example.test \
		--upload-file "$BATS_TEST_TMPDIR/in"
	holds "$(only grün)" 'Return-Path: <jürgen@client\.example\.org>' 'Delivered-To: grün@example\.test' '	by mx\.example\.test with UTF8SMTP id .*'
	content "$(only grün)" | cmp - <(tr -d '\r' <"$BATS_TEST_TMPDIR/in")
}

@test "msmtp" {
	has msmtp
	listen
	hard_message >"$BATS_TEST_TMPDIR/hard"
	client msmtp --host=127.0.0.1 --port="$PORT" --domain=client.example.org --auth=off --tls=off --from=sender@client.example.org \
		alice@example.test bob@example.test <"$BATS_TEST_TMPDIR/hard"
	local box
	for box in alice bob; do
		from_client "$(only $box)"
		content "$(only $box)" | cmp - "$BATS_TEST_TMPDIR/hard"
	done
	tmp_empty
}

@test "msmtp: a refused recipient is its error, and nothing is stored" {
	has msmtp
	listen
	hard_message >"$BATS_TEST_TMPDIR/hard"
	run ! client msmtp --host=127.0.0.1 --port="$PORT" --domain=client.example.org --auth=off --tls=off --from=sender@client.example.org \
		alice@example.test nobody@example.test <"$BATS_TEST_TMPDIR/hard"
	[[ $output == *'550 5.1.1 No such mailbox here'* ]]
	no_trace
}

@test "Python smtplib: send_message" {
	listen
	python <<-'EOF'
		m = EmailMessage()
		m["From"], m["To"], m["Subject"] = "sender@client.example.org", "alice@example.test, nobody@example.test", "smtplib"
		m.set_content("Hällo.\n.\n", cte="8bit")
		print(s.send_message(m))
		s.quit()
	EOF
	grep -q "'nobody@example.test': (550, b'5.1.1 No such mailbox here')" "$BATS_TEST_TMPDIR/said"
	from_client "$(only alice)"
	[ "$(body "$(only alice)")" = $'Hällo.\n.' ]
}

@test "Python smtplib: an internationalized message" {
	mkdir "$ROOT/example.test/grün"
	listen
	python <<-'EOF'
		m = EmailMessage()
		m["From"], m["To"], m["Subject"] = "jürgen@client.example.org", "grün@example.test", "schön"
		m.set_content("Hällo.\n", cte="8bit")
		print(s.send_message(m))
		s.quit()
	EOF
	holds "$(only grün)" 'Return-Path: <jürgen@client\.example\.org>' 'Delivered-To: grün@example\.test' '	by mx\.example\.test with UTF8SMTP id .*' \
		'	for <grün@example\.test>;' 'Subject: schön' 'To: grün@example\.test'
	[ "$(body "$(only grün)")" = Hällo. ]
}

@test "Python smtplib: a hundred recipients, one message for each" {
	local i
	for i in {1..100}; do mkdir "$ROOT/example.test/user$i"; done
	listen
	python <<-'EOF'
		everyone = ["user%d@example.test" % i for i in range(1, 101)]
		print(s.sendmail("sender@client.example.org", everyone, "Subject: all\r\n\r\nHello, all.\r\n"))
		s.quit()
	EOF
	grep -qx '{}' "$BATS_TEST_TMPDIR/said"
	local files=("$ROOT"/example.test/user*/new/*)
	[ ${#files[@]} = 100 ]
	cmp <(grep -H ^Delivered-To: "${files[@]}" | sed 's|.*/\(user[0-9]*\)/new/.*:Delivered-To: |\1 |' | sort) \
		<(for i in {1..100}; do echo "user$i user$i@example.test"; done | sort)
	content "${files[0]}" | cmp - <(printf 'Subject: all\n\nHello, all.\n')
	cmp <(grep -hv ^Delivered-To: "${files[@]}") <(for i in {1..100}; do grep -v ^Delivered-To: "${files[0]}"; done)
	tmp_empty
}

@test "Python smtplib: three messages on one connection, with a reset between" {
	listen
	python <<-'EOF'
		for i in "one", "two", "three":
		    print(s.sendmail("sender@client.example.org", ["alice@example.test"], "Subject: %s\r\n\r\n%s\r\n" % (i, i)))
		    s.mail("stray@client.example.org")
		    s.rcpt("bob@example.test")
		    s.rset()
		s.quit()
	EOF
	[ "$(count "$ROOT/example.test/alice")" = 3 ]
	[ "$(count "$ROOT/example.test/bob")" = 0 ]
	local i
	for i in one two three; do
		holds "$(message alice $i)" 'Return-Path: <sender@client\.example\.org>'
		content "$(message alice $i)" | cmp - <(printf 'Subject: %s\n\n%s\n' $i $i)
	done
}

@test "BDAT by hand: chunks cut anywhere, all pipelined, octet for octet" {
	listen
	hard_message >"$BATS_TEST_TMPDIR/hard"
	python "$BATS_TEST_TMPDIR/hard" <<-'EOF'
		data = open(argv[0], "rb").read().replace(b"\n", b"\r\n")
		cuts = [0, 1, 2, 2, 77, data.index(b"\r\n.\r\n") + 1, data.index(b"\r\n.\r\n") + 3, 1000, len(data) - 3, len(data)]
		chunks = [data[a:b] for a, b in zip(cuts, cuts[1:])]
		assert b"".join(chunks) == data and s.has_extn("chunking")
		s.sock.sendall(b"MAIL FROM:<sender@client.example.org> BODY=8BITMIME\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\n" +
		               b"".join(b"BDAT %d\r\n%s" % (len(c), c) for c in chunks) + b"BDAT 0 LAST\r\n")
		for i in range(3 + len(chunks) + 1):
		    code, text = s.getreply()
		    assert code == 250, (i, code, text)
		print(text)
		s.quit()
	EOF
	grep -q 'Ok, stored with id' "$BATS_TEST_TMPDIR/said"
	local box
	for box in alice bob; do
		from_client "$(only $box)"
		content "$(only $box)" | cmp - "$BATS_TEST_TMPDIR/hard"
	done
	tmp_empty
}

@test "BDAT by hand: one chunk of 5 MB, and a second message by DATA behind it" {
	listen
	python <<-'EOF'
		text = b"Subject: large\r\n\r\n" + b"0123456789012345678901234567890123456789012345678901234567890123456789\r\n" * 70000
		s.sock.sendall(b"MAIL FROM:<sender@client.example.org> SIZE=%d\r\nRCPT TO:<alice@example.test>\r\nBDAT %d LAST\r\n%s" % (len(text), len(text), text))
		print([s.getreply()[0] for i in range(3)])
		print(s.sendmail("sender@client.example.org", ["bob@example.test"], "Subject: small\r\n\r\nsmall\r\n"))
		s.quit()
	EOF
	grep -qx '\[250, 250, 250\]' "$BATS_TEST_TMPDIR/said"
	content "$(only alice)" | cmp - <(printf 'Subject: large\n\n'; yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -n 70000)
	content "$(only bob)" | cmp - <(printf 'Subject: small\n\nsmall\n')
}

@test "BDAT by hand: the client breaks off within a chunk, and behind one: nothing is stored" {
	listen
	python <<-'EOF'
		s.sock.sendall(b"MAIL FROM:<sender@client.example.org>\r\nRCPT TO:<alice@example.test>\r\nBDAT 1000\r\nSubject: half\r\n\r\n")
		print(s.getreply()[0], s.getreply()[0])
		s.close()
		s = smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=30)
		s.ehlo()
		s.sock.sendall(b"MAIL FROM:<sender@client.example.org>\r\nRCPT TO:<alice@example.test>\r\nBDAT 15\r\nSubject: half\r\n")
		print(s.getreply()[0], s.getreply()[0], s.getreply()[0])
		s.close()
	EOF
	until_true two_ended
	no_trace
}
