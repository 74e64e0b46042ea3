#!/usr/bin/env bats
# Other mail systems around us: a foreign LMTP server behind smtp-handler, and Postfix and Exim that deliver through maildir-deliver or send
# to smtp-handler.
# shellcheck disable=SC2030,SC2031  # a test is a subshell of its own
load helper
load peers

write_message() {
	MESSAGE=$BATS_TEST_TMPDIR/message
	printf '%s\n' 'From: bob@example.test' 'To: alice@example.test' 'Date: Fri, 1 Aug 2025 12:00:00 +0000' 'Message-ID: <1@example.test>' \
		'Subject: A test' 'MIME-Version: 1.0' 'Content-Type: text/plain; charset=utf-8' 'Content-Transfer-Encoding: 8bit' '' \
		'Grüße, 8 bits.' '.' '..' '.hidden' 'From here on.' '' 'The last line.' >"$MESSAGE"
	BODY=$BATS_TEST_TMPDIR/body
	sed '1,/^$/d' "$MESSAGE" >"$BODY"
}

# has BOX NUMBER: so many messages are in its new/.
has() { [ "$(count "$ROOT/example.test/$1")" = "$2" ]; }

# received BOX SENDER: its only message has our header lines on top, and the body of $MESSAGE.
received() {
	local file
	has "$1" 1
	file=$(new_files "$ROOT/example.test/$1")
	[ "$(sed -n 1,2p "$file")" = "Return-Path: <$2>"$'\n'"Delivered-To: $1@example.test" ]
	[ "$(grep -c '^Return-Path:' "$file")" = 1 ]
	[ "$(grep -c '^Subject: A test$' "$file")" = 1 ]
	sed '1,/^$/d' "$file" | cmp - "$BODY"
}

# bounced_to_bob CODE: the only message of bob is a delivery status notification with this status.
bounced_to_bob() {
	local file
	has bob 1
	file=$(new_files "$ROOT/example.test/bob")
	[ "$(head -n 1 "$file")" = "Return-Path: <>" ]
	grep -q "$1" "$file"
	grep -q 'noone@example.test' "$file"
}

# carol has a mailbox that cannot be used, and later can.
break_carol() {
	mkdir "$ROOT/example.test/carol"
	ln -s nowhere "$ROOT/example.test/carol/new"
}
repair_carol() { rm "$ROOT/example.test/carol/new"; }

# tls_settings: a certificate of ours, in SETTINGS.
tls_settings() {
	installed openssl
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$BATS_TEST_TMPDIR/key.pem" -out "$BATS_TEST_TMPDIR/cert.pem" -subj /CN=mx.example.test -days 2 2>/dev/null
	SETTINGS+=(-o "tls_cert=$BATS_TEST_TMPDIR/cert.pem" -o "tls_key=$BATS_TEST_TMPDIR/key.pem")
}

# --- a foreign LMTP server behind smtp-handler ---

# session COMMAND...: a dialogue with the handler, with Dovecot as its next hop.
session() { lines 'EHLO client.example.net' "$@" QUIT | handler -o "deliver=unix:$DOVECOT/lmtp" | tr -d '\r'; }

dovecot_has() { [ "$(count "$DOVECOT/mail/example.test/$1")" = "$2" ]; }

@test "Dovecot's LMTP as the next hop: a message is stored" {
	dovecot_lmtp alice@example.test bob@example.test
	write_message
	local text
	mapfile -t text < <(sed 's/^\./../' "$MESSAGE")
	run session 'MAIL FROM:<carol@example.net> BODY=8BITMIME' 'RCPT TO:<alice@example.test>' DATA "${text[@]}" .
	[[ "$output" == *$'\n'"250 2.0.0 "* ]]
	dovecot_has alice 1
	local file
	file=$(new_files "$DOVECOT/mail/example.test/alice")
	sed '1,/^$/d' "$file" | cmp - "$BODY"
	grep -q '^Return-Path: <carol@example.net>$' "$file"
	grep -q '^Received: from client.example.net' "$file"
	grep -q '^Subject: A test$' "$file"
	dovecot_content
}

@test "Dovecot's LMTP as the next hop: one recipient in a transaction, 452 4.5.3 for more, which come in the next" {
	dovecot_lmtp alice@example.test bob@example.test
	run session 'MAIL FROM:<carol@example.net>' 'RCPT TO:<alice@example.test>' 'RCPT TO:<bob@example.test>' DATA 'Subject: x' '' hi . \
		'MAIL FROM:<carol@example.net>' 'RCPT TO:<bob@example.test>' DATA 'Subject: x' '' hi .
	[ "$(grep -c '^452 4\.5\.3 ' <<<"$output")" = 1 ]
	[ "$(grep -c '^250 2\.0\.0 ' <<<"$output")" = 2 ]
	dovecot_has alice 1
	dovecot_has bob 1
	dovecot_content
}

@test "Dovecot's LMTP as the next hop: it refuses a recipient in its own words, and the next one is served" {
	dovecot_lmtp alice@example.test
	run session 'MAIL FROM:<carol@example.net>' 'RCPT TO:<noone@example.test>' 'RCPT TO:<alice@example.test>' DATA 'Subject: x' '' hi .
	grep -q "^550 5\.1\.1 <noone@example.test> User doesn't exist" <<<"$output"
	grep -q '^250 2\.0\.0 ' <<<"$output"
	dovecot_has alice 1
}

@test "Dovecot's LMTP as the next hop: a large message, by DATA and by BDAT" {
	dovecot_lmtp alice@example.test
	local big=$BATS_TEST_TMPDIR/big
	{
		lines 'Subject: large' ''
		yes 'Some sixty characters, a line feed, and that again and again' | head -n 40000 | sed 's/$/\r/'
	} >"$big"
	{
		lines 'EHLO client.example.net' 'MAIL FROM:<carol@example.net>' 'RCPT TO:<alice@example.test>' DATA
		cat "$big"
		lines . 'MAIL FROM:<carol@example.net>' 'RCPT TO:<alice@example.test>' 'BDAT 1000'
		head -c 1000 "$big"
		lines "BDAT $(($(stat -c %s "$big") - 1000)) LAST"
		tail -c +1001 "$big"
		lines QUIT
	} >"$BATS_TEST_TMPDIR/session"
	run over_socket whole "$BATS_TEST_TMPDIR/session" -o "deliver=unix:$DOVECOT/lmtp"
	[ "$(grep -c '^250 2\.0\.0 Ok' <<<"$output")" = 2 ]
	dovecot_has alice 2
	local file
	for file in "$DOVECOT"/mail/example.test/alice/new/*; do
		sed '1,/^$/d' "$file" | cmp - <(tr -d '\r' <"$big" | sed '1,/^$/d')
	done
	dovecot_content
}

# --- Postfix ---

# postfix_delivers RELAY: one message delivered, one refused, one that waits and then succeeds.
postfix_delivers() {
	write_message
	break_carol
	postfix_send alice@example.test <"$MESSAGE"
	until_true has alice 1
	received alice bob@example.test
	until_true postfix_logged 'to=<alice@example.test>' 'dsn=2\.0\.0' 'status=sent'

	postfix_send noone@example.test <"$MESSAGE"
	until_true postfix_logged 'to=<noone@example.test>' 'dsn=5\.1\.1' 'status=bounced' 'No such mailbox'
	until_true has bob 1
	bounced_to_bob 'Status: 5\.1\.1'

	postfix_send carol@example.test <"$MESSAGE"
	until_true postfix_logged 'to=<carol@example.test>' 'dsn=4\.2\.0' 'status=deferred' 'Trouble with the mailbox'
	postfix_queue -p | grep -q 'carol@example.test'
	repair_carol
	postfix_queue -f
	until_true has carol 1
	received carol bob@example.test
	until_true postfix_logged 'to=<carol@example.test>' 'dsn=2\.0\.0' 'status=sent'
	run ! grep -E ' (warning|error|fatal|panic): ' "$POSTFIX/log"
	tmp_empty
}

postfix_lmtp() {
	needs postfix
	serve lmtp "$BATS_TEST_TMPDIR/lmtp" "$DELIVER" "${SETTINGS[@]}" --lmtp
	postfix "lmtp:unix:$BATS_TEST_TMPDIR/lmtp"
}

@test "Postfix delivers through maildir-deliver by lmtp(8)" {
	postfix_lmtp
	postfix_delivers
}

@test "Postfix by lmtp(8): a message for several, of whom some are refused or deferred, in one transaction" {
	postfix_lmtp
	write_message
	break_carol
	mkdir "$ROOT/example.test/dave"
	postfix_send alice@example.test dave@example.test carol@example.test noone@example.test <"$MESSAGE"
	until_true has bob 1
	bounced_to_bob 'Status: 5\.1\.1'
	until_true postfix_logged 'to=<carol@example.test>' 'status=deferred'
	received alice bob@example.test
	received dave bob@example.test
	repair_carol
	postfix_queue -f
	until_true has carol 1
	received carol bob@example.test
	has alice 1
	has dave 1
	has bob 1
	[ "$(grep -c ' stored: .*to=<alice@example.test>' "$BATS_TEST_TMPDIR/lmtp.out")" = 1 ]
	tmp_empty
}

@test "Postfix delivers through maildir-deliver by pipe(8)" {
	postfix maildir
	postfix_delivers
}

@test "Postfix sends to smtp-handler by smtp(8)" {
	needs postfix
	serve smtp 127.0.0.1 "$HANDLER" "${SETTINGS[@]}"
	postfix "smtp:[127.0.0.1]:$PORT"
	postfix_delivers
}

# --- Exim ---

# exim_delivers: the same for Exim.
exim_delivers() {
	write_message
	break_carol
	exim_send alice@example.test <"$MESSAGE"
	received alice bob@example.test

	exim_send noone@example.test <"$MESSAGE"
	until_true has bob 1
	bounced_to_bob '5\.1\.1'

	exim_send carol@example.test <"$MESSAGE"
	has carol 0
	grep -q '== carol@example.test R=ours T=maildir_deliver defer' "$EXIM/mainlog"
	exim -bpr | grep -q 'carol@example.test'
	repair_carol
	exim -qff
	received carol bob@example.test
	[ -z "$(exim -bpr)" ]
	run ! grep -i frozen "$EXIM/mainlog"
	[ ! -s "$EXIM/paniclog" ]
	tmp_empty
}

@test "Exim delivers through maildir-deliver by a pipe" {
	# The addresses come in its environment: Exim lets nobody else's text into a command line
	exim_config pipe "command = /bin/sh -c 'exec $DELIVER ${SETTINGS[*]} -f \"\\\$SENDER\" -d \"\\\$RECIPIENT\"'" return_fail_output 'temp_errors = 75' \
		'message_prefix =' 'message_suffix ='
	exim_delivers
}

# exim_starts_lmtp: a transport that starts maildir-deliver, as its manual says.  Here Exim would hand on the environment of the pretence.
exim_starts_lmtp() { exim_config lmtp "command = /usr/bin/env -i TZ=UTC $DELIVER ${SETTINGS[*]} --lmtp" 'batch_max = 100'; }

@test "Exim delivers through maildir-deliver by LMTP, a program that it starts" {
	exim_starts_lmtp
	exim_delivers
}

@test "Exim delivers through maildir-deliver by LMTP, a socket" {
	needs exim
	serve lmtp "$BATS_TEST_TMPDIR/lmtp" "$DELIVER" "${SETTINGS[@]}" --lmtp
	exim_config lmtp "socket = $BATS_TEST_TMPDIR/lmtp" 'batch_max = 100'
	exim_delivers
}

@test "Exim by LMTP: a message for several in one transaction" {
	exim_starts_lmtp
	write_message
	break_carol
	mkdir "$ROOT/example.test/dave"
	exim_send alice@example.test dave@example.test carol@example.test noone@example.test <"$MESSAGE"
	received alice bob@example.test
	received dave bob@example.test
	bounced_to_bob '5\.1\.1'
	repair_carol
	exim -qff
	received carol bob@example.test
	has alice 1
	tmp_empty
}

@test "Exim sends to smtp-handler by SMTP with BDAT" {
	needs exim
	serve smtp 127.0.0.1 "$HANDLER" "${SETTINGS[@]}"
	exim_config smtp 'hosts = 127.0.0.1' "port = $PORT" hosts_override allow_localhost 'hosts_try_chunking = *' 'hosts_avoid_tls = *'
	exim_delivers
	grep -q '=> alice@example.test .* K ' "$EXIM/mainlog"
}

@test "Postfix sends to smtp-handler by TLS" {
	needs postfix
	tls_settings
	serve smtp 127.0.0.1 "$HANDLER" "${SETTINGS[@]}" -o tls=required
	postfix "smtp:[127.0.0.1]:$PORT" 'smtp_tls_security_level = encrypt' 'smtp_tls_loglevel = 1'
	write_message
	postfix_send alice@example.test <"$MESSAGE"
	until_true has alice 1
	received alice bob@example.test
	grep -q '^	(TLS1.3 ' "$(new_files "$ROOT/example.test/alice")"
	until_true postfix_logged 'TLS connection established to 127.0.0.1'
}

@test "Exim sends to smtp-handler by TLS" {
	needs exim
	tls_settings
	serve smtp 127.0.0.1 "$HANDLER" "${SETTINGS[@]}" -o tls=required
	exim_config smtp 'hosts = 127.0.0.1' "port = $PORT" hosts_override allow_localhost 'hosts_require_tls = *' "tls_verify_certificates = $BATS_TEST_TMPDIR/cert.pem" 'tls_verify_cert_hostnames ='
	write_message
	exim_send alice@example.test <"$MESSAGE"
	received alice bob@example.test
	grep -q '^	(TLS1.3 ' "$(new_files "$ROOT/example.test/alice")"
}
