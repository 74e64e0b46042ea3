#!/usr/bin/env bats
# Real mail servers as destinations of the queue.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
load helper
load servers
load queue
load peers

setup_file() {
	local d=$BATS_FILE_TMPDIR ca
	cd "$d" || return
	for ca in good bad; do
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $ca.key -out $ca.pem -subj "/CN=$ca" -days 2 2>/dev/null
	done
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=server 2>/dev/null
	openssl x509 -req -in server.csr -CA good.pem -CAkey good.key -CAcreateserial -days 2 -out server.pem -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:mx.far.example') 2>/dev/null
	chmod o+r server.key
}

setup() {
	setup_queue
	DIR=$BATS_TEST_TMPDIR
	KEPT=$DIR/kept
	CERT=$BATS_FILE_TMPDIR/server
	SENT=$DIR/sent
	mkdir -m 1777 "$KEPT"
	local d=$BATS_FILE_TMPDIR
	# as the owner of the queue, smtp-client reads the authorities there
	while [ "$(id -u)" = 0 ] && [ "$d" != / ] && [ "$d" != /tmp ]; do chmod o+x "$d"; d=${d%/*}; done
}

box() { new_files "$ROOT/example.test/$1"; }
log_has() { grep -qE -- "$1" "$LOG"; }
report() { "$PYTHON" "$TESTS/show-report.py" "$1"; }

# --- real servers as destinations; each knows ann, joe and grün at far.example ---

# What Postfix delivers with: keep RECIPIENT < message.
write_keep() {
	KEEP=$DIR/keep
	printf '#!/bin/sh\nPATH=%s\nf=$(mktemp "%s/.XXXXXX") && cat >"$f" && chmod 644 "$f" && mv "$f" "%s/$1.$$"\n' "$PATH" "$KEPT" "$KEPT" >"$KEEP"
	chmod 755 "$KEEP"
}

# Dots, empty lines, every octet but NUL and line ends, lines as long as SMTP allows, or LONGER.
write_hard() {
	printf '%s\n' 'From: bob@example.test' 'To: ann@far.example' 'Date: Sun, 1 Mar 2026 12:00:00 +0000' 'Message-ID: <hard@example.test>' 'Subject: hard' 'MIME-Version: 1.0' \
		'Content-Transfer-Encoding: 8bit' ''
	printf '%s\n' . .. ... '.a' 'a.' '' '' 'From here' ' .' "$(printf '%0998d' 0)" ".$(printf '%0900d' 0)" "${@:+$(printf "%0$1d" 0)}"
	LC_ALL=C awk 'BEGIN { for (i = 1; i < 256; i++) if (i != 10 && i != 13) printf "%c", i; print "" }'
	printf '.\n..\n'
}

route_far() {
	printf 'far.example 127.0.0.1:%s\n' "$PORT" >"$DIR/transports"
	chmod 644 "$DIR/transports"
	ROUTE=(-o "transports=$DIR/transports")
}

kept() { find "$KEPT" -name "$1.*" ! -name '*.part'; }
is_kept() { [ -n "$(kept "$1")" ]; }

# same RECIPIENT: what it got is what was sent.
same() {
	until_true is_kept "$1"
	[ "$(kept "$1" | wc -l)" = 1 ]
	LC_ALL=C sed -n '/^From: bob@/,$p' "$(kept "$1")" | cmp - "$SENT"
}

# takes_all [LONGER]: several recipients in one transaction, with all that DSN (RFC 3461) has, octet for octet, and a report of the one that is not known there.
takes_all() {
	route_far
	write_hard "$@" >"$SENT"
	LC_ALL=C sed 's/^\./../' "$SENT" | PLAIN='' lay 'bob@example.test BODY=8BITMIME RET=HDRS ENVID=a+2Bb' 'ann@far.example NOTIFY=FAILURE,DELAY ORCPT=rfc822;ann@far.example' \
		unknown@far.example joe@far.example | grep '^250 '
	run_at 0
	queue_empty || { grep smtp-queue "$LOG"; return 1; }
	[ "$(grep -c 'sent: to=<' "$LOG")" = 2 ] || { cat "$LOG"; return 1; }
	same ann
	same joe
	[ "$(grep -o 'sent: to=<.*' "$LOG" | grep -o 'reply=.*' | sort -u | wc -l)" = 1 ]
	[ "$(box bob | wc -l)" = 1 ]
	run -0 report "$(box bob)"
	[[ $output == *'Final-Recipient: rfc822; unknown@far.example
Action: failed
Status: 5.'*'Diagnostic-Code: smtp; 5'[0-9][0-9]' '* ]]
	rm "$KEPT"/*
}

# post AUTHORITY POLICY: by smtp-client; what it prints is the output.
post() {
	run clean_env SSL_CERT_FILE="$BATS_FILE_TMPDIR/$1.pem" timeout 60 "$CLIENT" "${SETTINGS[@]}" -o tls_policy="$2" --send --to "127.0.0.1:$PORT" -f bob@example.test ann@far.example <<-'E'
		From: bob@example.test
		To: ann@far.example
		Date: Sun, 1 Mar 2026 12:00:00 +0000
		Message-ID: <tls@example.test>

		hello
	E
	echo "$output"
}

# speaks_tls: every policy, with an authority that the certificate is of, and another.
speaks_tls() {
	post bad may
	[[ $output == "# 127.0.0.1 [127.0.0.1]:$PORT TLS1.3 "*' unverified'*$'\n250 '* ]]
	post bad encrypt
	[[ $output == *' TLS1.3 '*' unverified'*$'\n250 '* ]]
	post good verify
	[[ $output == *' TLS1.3 '*' verified'*$'\n250 '* ]]
	post good none
	[[ $output != *TLS* && $output == *$'\n250 '* ]]
	post bad verify
	[[ $output == '499 4.7.5 127.0.0.1 TLS is required (tls_policy) and cannot be had: the certificate: '* && $output != *$'\n250'* ]]
	# the queue keeps what cannot go safely, and sends it when it can
	lay bob@example.test joe@far.example | grep '^250 '
	ROUTE+=(-o tls_policy=verify)
	SSL_CERT_FILE=$BATS_FILE_TMPDIR/bad.pem secure_run 0
	[ "$(waiting)" = 1 ]
	[ -z "$(kept joe)" ]
	SSL_CERT_FILE=$BATS_FILE_TMPDIR/good.pem secure_run 3600
	queue_empty || { cat "$LOG"; return 1; }
	until_true is_kept joe
}
secure_run() { clean_env SMTP_LOG=stderr SSL_CERT_FILE="$SSL_CERT_FILE" timeout 120 "$QUEUE_PROGRAM" "${SETTINGS[@]}" "${ROUTE[@]}" --now "$(($(date +%s) + $1))" run 2>>"$LOG"; }

# takes_utf8: a sender and a recipient that are not ASCII.
takes_utf8() {
	lay 'jürgen@b.example SMTPUTF8' grün@far.example | grep '^250 '
	secure_run 0
	queue_empty || { grep smtp-queue "$LOG"; return 1; }
	until_true is_kept grün
	grep -q hello "$(kept grün)"
}

@test "aiosmtpd takes our mail: octet for octet, several at once, with TLS, internationalized" {
	needs aiosmtpd
	VARIABLES=("PYTHONPATH=$PEERS/aiosmtpd/usr/lib/python3/dist-packages" PYTHONWARNINGS=ignore PYTHONUTF8=1)
	launch "$PYTHON" "$TESTS/aio-mx.py" "$DIR" "$CERT.pem" "$CERT.key"
	until_true [ -e "$DIR/port" ]
	PORT=$(<"$DIR/port")
	export SSL_CERT_FILE=$BATS_FILE_TMPDIR/good.pem
	takes_all
	speaks_tls
	takes_utf8
	grep -qx 'X-From: jürgen@b.example' "$(kept grün)"
}

@test "aiosmtpd refuses a line that is longer than SMTP allows, and the sender hears of it" {
	needs aiosmtpd
	VARIABLES=("PYTHONPATH=$PEERS/aiosmtpd/usr/lib/python3/dist-packages" PYTHONWARNINGS=ignore)
	launch "$PYTHON" "$TESTS/aio-mx.py" "$DIR"
	until_true [ -e "$DIR/port" ]
	PORT=$(<"$DIR/port")
	route_far
	write_hard 5000 >"$SENT"
	LC_ALL=C sed 's/^\./../' "$SENT" | PLAIN='' lay 'bob@example.test BODY=8BITMIME' ann@far.example | grep '^250 '
	run_at 0
	queue_empty || { grep smtp-queue "$LOG"; return 1; }
	[ -z "$(kept ann)" ]
	run -0 report "$(box bob)"
	echo "$output"
	[[ $output == *'Diagnostic-Code: '*'ine too long'* ]]
}

@test "Postfix takes our mail: octet for octet, several at once, with TLS, internationalized" {
	needs postfix
	write_keep
	PORT=$(free_port 127.0.0.1)
	POSTFIX_SERVICES=("127.0.0.1:$PORT inet n - n - - smtpd" 'anvil unix - - n - 1 anvil'
		"keep unix - n n - - pipe user=vmail argv=$KEEP \${user}")
	postfix keep: 'virtual_mailbox_domains = far.example' 'virtual_mailbox_maps = inline:{{ann@far.example = x}, {joe@far.example = x}, {grün@far.example = x}}' \
		'keep_destination_recipient_limit = 1' 'local_recipient_maps =' 'smtpd_relay_restrictions = reject_unauth_destination' 'smtputf8_enable = yes' \
		'smtpd_tls_security_level = may' "smtpd_tls_cert_file = $CERT.pem" "smtpd_tls_key_file = $CERT.key" 'smtpd_peername_lookup = no' 'smtpd_tls_received_header = yes'
	export SSL_CERT_FILE=$BATS_FILE_TMPDIR/good.pem
	takes_all 5000
	[ "$(grep -c 'from=<bob@example.test>.*nrcpt=2' "$POSTFIX/log")" = 1 ]
	speaks_tls
	grep -q 'TLSv1.3' "$(kept joe)"
	# one handshake for several messages
	local met
	met=$(grep -c 'smtpd.*: connect from' "$POSTFIX/log")
	ROUTE+=(-o queue_parallel=1)
	for i in 1 2 3; do lay bob@example.test ann@far.example; done
	SSL_CERT_FILE=$BATS_FILE_TMPDIR/good.pem secure_run 0
	queue_empty || { cat "$LOG"; return 1; }
	[ "$(grep -c 'smtpd.*: connect from' "$POSTFIX/log")" = $((met + 1)) ]
	takes_utf8
	postfix_logged 'from=<jürgen@b.example>'
}

@test "Exim takes our mail: octet for octet, several at once, with TLS, internationalized" {
	write_keep
	PORT=$(free_port 127.0.0.1)
	EXIM_FOR=$'domains = far.example\n  local_parts = ann : joe : grün'
	EXIM_TLS='*'
	EXIM_LINES=("tls_certificate = $CERT.pem" "tls_privatekey = $CERT.key" 'log_selector = +received_recipients +received_sender' 'acl_smtp_rcpt = known' 'dsn_advertise_hosts = *'
		'begin acl' 'known:' '  require verify = recipient' '  accept')
	exim_config pipe "command = $KEEP \$local_part_data" 'message_prefix =' 'message_suffix ='
	exim_listens
	export SSL_CERT_FILE=$BATS_FILE_TMPDIR/good.pem
	takes_all 5000
	grep -q '<= bob@example.test .* for ann@far.example joe@far.example$' "$EXIM/mainlog"
	speaks_tls
	grep -q 'TLS1.3' "$(kept joe)"
	takes_utf8
	grep -q '<= jürgen@b.example .* for grün@far.example$' "$EXIM/mainlog"
}

# handshakes: whether a client that is not ours gets TLS from the server.
handshakes() { timeout 20 openssl s_client -brief -starttls smtp -connect "127.0.0.1:$PORT" </dev/null 2>&1 | grep -q '^CONNECTION ESTABLISHED'; }

# lacks_tls: STARTTLS is offered, and fails whoever says it.
lacks_tls() {
	post good may
	[[ $output == "# 127.0.0.1 [127.0.0.1]:$PORT"$'\n'*$'\n250 '* && $output != *TLS* ]]
	until_true is_kept ann
	post good none
	[[ $output != *TLS* && $output == *$'\n250 '* ]]
	for policy in encrypt verify; do
		post good $policy
		[[ $output == '499 4.7.5 127.0.0.1 TLS is required (tls_policy) and cannot be had: '* && $output != *$'\n250'* ]]
	done
	lay bob@example.test joe@far.example | grep '^250 '
	queue -o tls_policy=encrypt run
	[ "$(waiting)" = 1 ]
	[ -z "$(kept joe)" ]
	ROUTE+=(-o tls_policy=may)
	run_at 3600
	queue_empty || { cat "$LOG"; return 1; }
	until_true is_kept joe
}

@test "OpenSMTPD takes our mail: octet for octet, several at once, also where its TLS fails; internationalized it takes none, and the sender hears of it" {
	write_keep
	install -m 600 "$CERT.key" "$DIR/key"
	PORT=$(free_port 127.0.0.1)
	opensmtpd "pki here cert \"$CERT.pem\"" "pki here key \"$DIR/key\"" "listen on 127.0.0.1 port $PORT tls pki here" \
		'table users { ann = vmail, joe = vmail, "grün" = vmail }' "action keep mda \"$KEEP %{rcpt.user}\" virtual <users>" 'match from any for domain far.example action keep'
	takes_all 5000
	[ "$(grep -c 'smtp message .*nrcpt=2' "$DIR/opensmtpd.out")" = 1 ]
	# With OpenSSL 3, OpenSMTPD 6.8 (Debian 12) ends each handshake as a server with an alert: it cannot sign, for it keeps the key in another process by means that OpenSSL
	# has given up.  There, by policy, our mail goes without TLS or not at all.
	if handshakes; then speaks_tls; else lacks_tls; fi
	lay 'bob@example.test SMTPUTF8' grün@far.example | grep '^250 '
	run_at 0
	queue_empty || { cat "$LOG"; return 1; }
	[ -z "$(kept grün)" ]
	[[ $(box bob | xargs cat) == *$'\nFinal-Recipient: utf-8; grün@far.example\nAction: failed\nStatus: 5.6.7\n'* ]]
}
