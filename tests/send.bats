#!/usr/bin/env bats
# smtp-client --send: TLS by policy, the password of a relay, what it prints.
# shellcheck disable=SC2030,SC2031,SC2034,SC2154
load helper
load servers
load tls
load queue

setup_file() { accounts; }
setup() {
	setup_mail
	SETTINGS+=(-o "tls_certs=$CERTS" -o "auth=may file:$PASSWORDS")
	SECRET=$BATS_TEST_TMPDIR/secret
	TABLE=$BATS_TEST_TMPDIR/transports
}

# send OPTION... -- ARGUMENT...: smtp-client with a message; sets $output.
send() {
	local options=()
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	shift
	run clean_env SSL_CERT_FILE="${AUTHORITY-/dev/null}" timeout 60 "$CLIENT" -C /dev/null -o hostname=client.example.org "${options[@]}" --send "$@" < <(printf 'Subject: x\n\nhello\n')
}
stored() { [ "$(count "$ROOT/example.test/alice")" = "$1" ] && new_files "$ROOT/example.test/alice" | xargs cat; }

@test "TLS by policy: may takes any certificate, verify a good one alone, none no TLS; encrypt wants TLS" {
	serve systemd_inetd
	send -- --to "127.0.0.1:$PORT" -f a@b.example alice@example.test
	[ "$status" = 0 ]
	[[ ${lines[0]} == "# 127.0.0.1 [127.0.0.1]:$PORT TLS1.3 TLS_"*' unverified' ]]
	[[ ${lines[-1]} == '250 2.0.0 127.0.0.1 Ok, stored with id '* ]]
	send -o tls_policy=none -- --to "127.0.0.1:$PORT" -f a@b.example alice@example.test
	[ "${lines[0]}" = "# 127.0.0.1 [127.0.0.1]:$PORT" ]
	[ "$(stored 2 | grep -c 'with ESMTPS id')" = 1 ]
	send -o tls_policy=verify -- --to "127.0.0.1:$PORT" -f a@b.example alice@example.test
	[ "$status" = 69 ] || [ "$status" = 0 ]
	[[ ${lines[-1]} == '499 4.7.5 127.0.0.1 TLS is required (tls_policy) and cannot be had: '* ]]
	stored 2 >/dev/null
	# a name that the certificate is good for, and an authority that has signed it
	AUTHORITY=$CERTS/mx.example.test/fullchain.pem
	echo "example.test 127.0.0.1:$PORT verify" >"$TABLE"
	send -o "transports=$TABLE" -- --mx example.test -f a@b.example alice@example.test
	[[ ${lines[-1]} == '499 4.7.5 '* ]]
	stored 2 >/dev/null
}

@test "a server without TLS: may goes on without, encrypt does not" {
	serve systemd_inetd -o tls=no
	send -- --to "127.0.0.1:$PORT" -f a@b.example alice@example.test
	[[ ${lines[-1]} == '250 2.0.0 '* ]]
	send -o tls_policy=encrypt -- --to "127.0.0.1:$PORT" -f a@b.example alice@example.test
	[[ ${lines[-1]} == '499 4.7.5 127.0.0.1 TLS is required (tls_policy) and cannot be had: the server does not offer it' ]]
	stored 1 >/dev/null
}

@test "TLS that fails is done without where it may be" {
	SETTINGS+=(-o "tls_cert=$CERTS/mx.example.test/fullchain.pem" -o "tls_key=/nonexistent")
	serve systemd_inetd
	send -- --to "127.0.0.1:$PORT" -f a@b.example alice@example.test
	[[ ${lines[-1]} == '250 2.0.0 '* ]]
	stored 1 >/dev/null
}

@test "a relay wants a password: PLAIN within TLS; a wrong one waits, and is nowhere in the log" {
	serve systemd_inetd -o profile=submission
	echo 'alice@example.test:secret' >"$SECRET"
	echo "* 127.0.0.1:$PORT encrypt" >"$TABLE"
	relay=(-o "relayhost=127.0.0.1:$PORT" -o "relay_auth=$SECRET")
	# not to whoever answers: the certificate must be good, unless a line says that it need not
	send "${relay[@]}" -- --mx example.test -f a@b.example alice@example.test
	[[ ${lines[-1]} == '499 4.7.5 '* ]]
	send -o tls_policy=encrypt "${relay[@]}" -- --mx example.test -f a@b.example alice@example.test
	[[ ${lines[-1]} == '250 2.0.0 '* ]]
	[ "$(stored 1 | grep -c 'with ESMTPSA id')" = 1 ]
	echo 'alice@example.test:wrong' >"$SECRET"
	send -o tls_policy=encrypt "${relay[@]}" -- --mx example.test -f a@b.example alice@example.test
	[[ ${lines[-1]} == '499 4.7.8 127.0.0.1 relay_auth is refused: 535 '* ]]
	[ "$status" = 69 ]      # for the queue: with nothing else, either
	refute grep -q 'wrong' "$LOG"
	# as Postfix writes a host; whose password it is and why it is not read stand there
	echo 'no password' >"$SECRET"
	send -o tls_policy=encrypt -o "relayhost=[localhost]:$PORT" -o "relay_auth=$SECRET" -- --mx example.test -f a@b.example alice@example.test
	[[ ${lines[-1]} == "499 4.7.0 localhost relay_auth = $SECRET: expected user:password in its first line" ]]
	send "${relay[@]}" -- --mx example.test -f a@b.example alice@example.test
	[[ ${lines[-1]} == '499 4.7.5 127.0.0.1 TLS is required (relay_auth) '* ]]
}

@test "standard descriptors that are closed are neither the message nor the connection" {
	remote mx never close
	to() { clean_env timeout 60 "$CLIENT" -C /dev/null -o hostname=c.example -o tls_policy=none --send --to "127.0.0.1:$PORT" -f a@b.example joe@far.example; }
	local status=0
	to <&- >"$BATS_TEST_TMPDIR/said" 2>&1 || status=$?
	[ "$status" = 75 ]
	grep -q '^smtp-client: the message cannot be read: ' "$BATS_TEST_TMPDIR/said"
	[ ! -e "$REMOTE/heard" ]
	status=0
	to < <(printf 'Subject: x\n\nhello\n') >&- || status=$?
	[ "$status" = 74 ]      # nobody hears what became of it
	refute grep '^[#2]' "$REMOTE/heard"
	[ "$(taken)" = 1 ]
}

@test "a relay that offers no AUTH is not told the password" {
	SETTINGS+=(-o auth=no)
	serve systemd_inetd
	echo 'alice@example.test:secret' >"$SECRET"
	send -o tls_policy=encrypt -o "relayhost=127.0.0.1:$PORT" -o "relay_auth=$SECRET" -- --mx example.test -f a@b.example alice@example.test
	[ "${lines[-1]}" = '499 4.7.0 127.0.0.1 the server does not take relay_auth: it offers neither AUTH PLAIN nor LOGIN' ]
}

@test "wrong usage is 64, with a word why; an address that begins with a dash is an address" {
	send -- --to 127.0.0.1:1
	[ "$status" = 64 ]
	send -- --to 127.0.0.1:1 --mx x.example -f a@b.example c@d.example
	[ "$status" = 64 ]
	send -- -f a@b.example c@d.example
	[ "$status" = 64 ]
	send -- --to 127.0.0.1:1 -f a@b.example 'no address'
	[ "$status" = 64 ]
	send -- --to 127.0.0.1:1 --notify SOMETIMES -f a@b.example c@d.example
	[ "$status" = 64 ]
	remote mx never close
	send -o tls_policy=none -- --to "127.0.0.1:$PORT" -f a@b.example --rcpt -x@far.example
	[[ ${lines[-1]} == '250 2.0.0 '* ]]
	grep -q '^RCPT TO:<-x@far.example>' "$REMOTE/heard"
}

@test "10 MB of a reply, an endless one, and escape sequences: bounded, and one clean line" {
	for action in big endless; do
		rm -rf "$BATS_TEST_TMPDIR/mx"
		remote mx RCPT "$action"
		send -o tls_policy=none -o command_timeout=2s -- --to "127.0.0.1:$PORT" -f a@b.example joe@far.example
		[ "${#lines[@]}" -le 4 ]
		[ "${#lines[-1]}" -lt 700 ]
		[[ ${lines[-1]} == [24]* ]]
		refute grep -q $'\033' <<<"$output"
		stop_all
	done
}

@test "control characters of a reply beyond ASCII are blanks as others are" {
	remote mx RCPT $'550 5.1.1 caf\xc3\xa9 \xc2\x9b31m\xc2\x85\xc2\xa0.'
	send -o tls_policy=none -- --to "127.0.0.1:$PORT" -f a@b.example --utf8 joe@far.example
	[ "${lines[-1]}" = $'550 5.1.1 127.0.0.1 caf\xc3\xa9  31m \xc2\xa0.' ]
}

@test "without PIPELINING a command at a time: after a sender that is refused nothing is said of the recipients" {
	for keywords in 8BITMIME none; do
		for action in '450 4.7.1 not now' '550 5.7.1 never' close; do
			rm -rf "$BATS_TEST_TMPDIR/mx"
			remote mx MAIL "$action" "$keywords"
			send -o tls_policy=none -- --to "127.0.0.1:$PORT" -f a@b.example joe@far.example ann@far.example
			case $action in
			close) [ "$(grep -cx '499 4.4.2 127.0.0.1 it has closed the connection' <<<"$output")" = 2 ] ;;
			*) [ "$(grep -cx "${action:0:10}127.0.0.1 ${action:10}" <<<"$output")" = 2 ] ;;
			esac
			refute grep -q ^RCPT "$REMOTE/heard"
			stop_all
		done
	done
}

@test "too many recipients, by 452 or by RFC 821's 552: in another transaction; a full mailbox is one" {
	local answer
	for answer in '452 4.5.3 too many' '452 too many' '552 too many' '552 5.5.3 too many' '552 5.2.2 full'; do
		rm -rf "$BATS_TEST_TMPDIR/mx"
		remote mx RCPT2 "$answer"
		send -o tls_policy=none -- --to "127.0.0.1:$PORT" -f a@b.example joe@far.example jane@far.example
		[ "$(grep -c '^250 2.0.0 ' <<<"$output")" = "$([[ $answer == *full ]] && echo 1 || echo 2)" ]
		[[ $answer != *full ]] || [ "${lines[-1]}" = '552 5.2.2 127.0.0.1 full' ]
		stop_all
	done
}

@test "what a server says before it closes counts: a 5xx to MAIL, whatever became of RCPT; one in the midst of the text; the words of a 421" {
	local stage answer want
	while IFS='|' read -r stage answer want; do
		rm -rf "$BATS_TEST_TMPDIR/mx"
		remote mx "$stage" "$answer" PIPELINING
		run clean_env timeout 60 "$CLIENT" -C /dev/null -o hostname=c.example -o tls_policy=none --send --to "127.0.0.1:$PORT" -f a@b.example joe@far.example ann@far.example < <(
			echo; yes 0123456789012345678901234567890123456789012345678901234567890 | head -n 200000)
		echo "$stage: $output"
		[ "$(grep -cxF "$want" <<<"$output")" = 2 ]
		stop_all
	done <<-'E'
		MAIL|550 5.7.1 blocked for spam!close|550 5.7.1 127.0.0.1 blocked for spam
		MAIL|421 4.7.0 too much from you|421 4.7.0 127.0.0.1 too much from you
		RCPT|421 4.7.0 deferred due to complaints|421 4.7.0 127.0.0.1 deferred due to complaints
		text|552 5.3.4 too big for us!close|552 5.3.4 127.0.0.1 too big for us
		EHLO|521 5.7.1 blocked by a list!close|421 4.7.1 127.0.0.1 blocked by a list
		greeting|521 5.3.2 no mail here!close|521 5.3.2 127.0.0.1 no mail here
		greeting|220-teaser\n554 5.7.1 blocked!close|454 4.7.1 127.0.0.1 teaser blocked
	E
}

@test "a 2xx whose line is very long, or whose codes differ, is one: the message is not sent again" {
	for answer in long '250-2.0.0 ok\n251 2.0.0 fine'; do
		rm -rf "$BATS_TEST_TMPDIR/mx"
		remote mx end "$answer"
		send -o tls_policy=none -- --to "127.0.0.1:$PORT" -f a@b.example joe@far.example
		echo "$output"
		[[ ${lines[-1]} == 25[01]' 2.0.0 127.0.0.1 '* ]]
		stop_all
	done
}

@test "chunks wait for each other where PIPELINING is not offered; HELO offers nothing; LIMITS in any order and case, MAILMAX too" {
	remote mx never close CHUNKING
	run clean_env timeout 60 "$CLIENT" -C /dev/null -o hostname=c.example -o tls_policy=none --send --to "127.0.0.1:$PORT" -f a@b.example joe@far.example < <(yes 01234567890 | head -n 50000)
	[[ ${lines[-1]} == '250 2.0.0 127.0.0.1 taken'* ]]
	[ "$(grep -c ^BDAT "$REMOTE/heard")" -gt 5 ]
	rm -rf "$REMOTE"
	remote mx EHLO,HELO $'502 what?!then 250-hello\\n250-CHUNKING\\n250 DSN'
	send -o tls_policy=none -- --to "127.0.0.1:$PORT" -f a@b.example --notify SUCCESS joe@far.example
	[[ ${lines[-1]} == '250 2.0.0 127.0.0.1 taken'* ]]
	refute grep -qE 'BDAT|NOTIFY' "$REMOTE/heard"
	rm -rf "$REMOTE"
	remote mx never close PIPELINING 'limits MAILMAX=2 rcptmax=2'
	send -o tls_policy=none -- --to "127.0.0.1:$PORT" -f a@b.example {1..5}@far.example
	[ "$(grep -c '^MAIL' "$REMOTE/heard") $(grep -c '^250 2.0.0' <<<"$output") $(grep -c '^499 4.4.2' <<<"$output")" = '2 4 1' ]
}

@test "who was taken is told at once, also when one before him has to wait: and the number says who it is" {
	remote mx '<b@' '452 too many!then hold' PIPELINING
	printf 'Subject: x\n\nhello\n' >"$BATS_TEST_TMPDIR/message"
	clean_env timeout 60 "$CLIENT" -C /dev/null -o hostname=c.example -o tls_policy=none --send --to "127.0.0.1:$PORT" -f a@b.example a@far.example b@far.example c@far.example d@far.example \
		<"$BATS_TEST_TMPDIR/message" >"$BATS_TEST_TMPDIR/said" 3>&- &
	local client=$!
	all_others() { [ "$(grep -c '^250 2.0.0' "$BATS_TEST_TMPDIR/said")" = 3 ]; }
	until_true all_others
	: >"$REMOTE/go"
	wait "$client"
	cat "$BATS_TEST_TMPDIR/said"
	[ "$(sed -n 's/^# recipient/&/p;s/^\([0-9]* [0-9.]*\) .*/\1/p' "$BATS_TEST_TMPDIR/said" | paste -sd,)" = '250 2.0.0,# recipient 3,250 2.0.0,250 2.0.0,# recipient 2,499 4.4.2' ]
}

@test "SMTPUTF8 was asked for, and nothing in the envelope or the header needs it: a server without it gets the message" {
	local text
	remote mx never close 8BITMIME
	for text in 'Subject: x\n\ncaf\xc3\xa9\n' 'Subject: caf\xc3\xa9\n\nx\n'; do
		run clean_env timeout 60 "$CLIENT" -C /dev/null -o hostname=c.example -o tls_policy=none --send --utf8 --to "127.0.0.1:$PORT" -f a@b.example joe@far.example < <(printf "$text")
		echo "$output"
		[[ $text == Subject:\ x* && ${lines[-1]} == 250* || $text != Subject:\ x* && ${lines[-1]} == '599 5.6.7 '* ]]
	done
	refute grep -q SMTPUTF8 "$REMOTE/heard"
}

@test "the best mail exchanger puts a message off, says nothing, or takes no mail at all: the next one is asked, one more and not all; a failure is one" {
	needs_net
	for i in 1 2 3; do printf '%s\n' "far.example MX $i mx$i.far.example" "mx$i.far.example A 192.0.2.$i" "mx.pair.example A 192.0.2.$i"; done >"$BATS_TEST_TMPDIR/zone"
	echo 'pair.example MX 1 mx.pair.example' >>"$BATS_TEST_TMPDIR/zone"
	run in_net "$BATS_TEST_TMPDIR" "$BUILD" "$PYTHON" "$TESTS" <<-'E'
		dir=$0 build=$1 python=$2 tests=$3
		for i in 1 2 3; do ip addr add 192.0.2.$i dev lo; done
		"$python" "$tests/dns-server.py" "$dir/zone" --port-file "$dir/dns" & all=$!
		# three NAME STAGE ACTION [ACTION of the second]: the third takes all
		three() {
			stage=never
			[ $# -lt 4 ] || stage=$2
			mkdir -p "$dir/$1".{1,2,3}
			MX_HOST=192.0.2.1 MX_PORT=25 "$python" "$tests/fake-mx.py" "$dir/$1.1" "$2" "$3" & a=$!
			MX_HOST=192.0.2.2 MX_PORT=25 "$python" "$tests/fake-mx.py" "$dir/$1.2" "$stage" "${4-close}" & b=$!
			MX_HOST=192.0.2.3 MX_PORT=25 "$python" "$tests/fake-mx.py" "$dir/$1.3" never close & c=$!
			until [ -e "$dir/$1.1/port" ] && [ -e "$dir/$1.2/port" ] && [ -e "$dir/$1.3/port" ]; do :; done
			printf 'Subject: x

hello
' | timeout 60 "$build/smtp-client" -C /dev/null -o hostname=client.example.org -o tls_policy=none -o "dns=127.0.0.1:$(cat "$dir/dns")" 				${limit:+-o command_timeout=$limit} --send --mx "${domain-far.example}" -f a@b.example joe@far.example ann@far.example | sed "s/^/$1 /"
			kill $a $b $c
			wait $a $b $c
		}
		until [ -s "$dir/dns" ]; do :; done
		three mail MAIL '452 4.3.1 disk full'
		three rcpt RCPT2 '450 4.2.1 not now'
		three end end '451 4.3.0 not now'
		three out greeting '521 5.3.2 no mail here!close'
		three both '<joe@' '450 4.7.1 greylisted' '450 4.7.1 greylisted, too'
		three never '<joe@' '550 5.1.1 no such user'
		limit=4s
		three hang greeting hang
		domain=pair.example
		three pair greeting hang
		kill $all
	E
	echo "$output"
	[ "$(grep -c '^hang 250 2.0.0 mx2.far.example taken' <<<"$output") $(grep -c '^pair 250 2.0.0 mx.pair.example taken' <<<"$output")" = '2 2' ]
	for name in mail end out; do [ "$(grep -c "^$name 250 2.0.0 mx2.far.example taken" <<<"$output")" = 2 ]; done
	[ "$(grep -c '^rcpt 250 2.0.0 mx1.far.example taken' <<<"$output") $(grep -c '^rcpt 250 2.0.0 mx2.far.example taken' <<<"$output")" = '1 1' ]
	[ "$(grep -c '^both 450 4.7.1 mx2.far.example greylisted, too' <<<"$output") $(grep -c '^both 250 2.0.0 mx1' <<<"$output")" = '1 1' ]
	[ "$(grep -c '^never 550 5.1.1 mx1.far.example no such user' <<<"$output") $(grep -c '^never 250 2.0.0 mx1' <<<"$output")" = '1 1' ]
	[ "$(grep -c '^MAIL' "$BATS_TEST_TMPDIR/rcpt.2/heard")" = 1 ]
	[ ! -e "$BATS_TEST_TMPDIR/both.3/heard" ]
	[ ! -e "$BATS_TEST_TMPDIR/never.2/heard" ]
}

@test "a greeting that breaks off is no greeting: neither its 521 nor its 554 counts" {
	for code in 521 554; do
		rm -rf "$BATS_TEST_TMPDIR/mx"
		remote mx greeting "$code-go away\\nwhat?"
		send -o tls_policy=none -- --to "127.0.0.1:$PORT" -f a@b.example joe@far.example
		[ "$status" = 69 ]
		[ "$output" = '499 4.4.2 127.0.0.1 it talks nonsense' ]
		stop_all
	done
}

@test "a file with CR LF where lines end is sent as it is; a bare CR never leaves (P4), a NUL is for nobody to send" {
	for keywords in CHUNKING SIZE; do
		rm -rf "$BATS_TEST_TMPDIR/mx"
		remote mx never close "$keywords"
		to() { run clean_env timeout 60 "$CLIENT" -C /dev/null -o hostname=c.example -o tls_policy=none --send --to "127.0.0.1:$PORT" -f a@b.example joe@far.example; }
		to < <(printf 'Subject: x\r\n\r\nhello\r\n')
		[ "$(cat -A "$REMOTE/1")" = 'Subject: x^M$
^M$
hello^M$' ]
		to < <(printf 'Subject: x\n\na\r.\rb\n\r.\r\n.\n\r')
		[ "$(cat -A "$REMOTE/2")" = 'Subject: x^M$
^M$
a . b^M$
 .^M$
.^M$
 ^M$' ]
		to < <(printf 'Subject: x\n\na\0b\n')
		[[ ${lines[-1]} == '599 5.6.0 127.0.0.1 '* ]]
		[ ! -e "$REMOTE/3" ]
		stop_all
	done
}

@test "port 465 is TLS from the first octet, whatever the policy, with a relay's password or without" {
	needs_net
	command -v systemd-socket-activate >/dev/null || skip "systemd-socket-activate is not installed"
	printf 'alice@example.test:secret\n' >"$SECRET"
	chmod 644 "$SECRET"
	run in_net "$BATS_TEST_TMPDIR" "$BUILD" "$CERTS/mx.example.test/fullchain.pem" "$SECRET" "${SETTINGS[@]}" <<-'E'
		dir=$0 build=$1 authority=$2 secret=$3
		shift 3
		systemd-socket-activate --inetd --accept -l 127.0.0.1:465 "$build/smtp-tls" "$@" "$build/smtp-handler" "$@" 2>"$dir/server" &
		server=$!
		until grep -q '^Listening' "$dir/server" || ! kill -0 $server; do :; done
		printf 'Subject: x\n\nhello\n' >"$dir/message"
		send() { SSL_CERT_FILE=$authority timeout 60 "$build/smtp-client" -C /dev/null -o hostname=client.example.org "$@" <"$dir/message"; }
		for policy in may none encrypt; do send -o tls_policy=$policy --send --to 127.0.0.1:465 -f a@b.example alice@example.test; done
		send -o tls_policy=verify --send --to 127.0.0.1:465 -f a@b.example alice@example.test
		send -o tls_policy=encrypt -o relayhost=127.0.0.1:465 -o "relay_auth=$secret" --send --mx example.test -f a@b.example alice@example.test
		kill $server
	E
	echo "$output"
	[ "$(grep -c '^# 127.0.0.1 \[127.0.0.1\]:465 TLS1.3 TLS_.* unverified' <<<"$output")" = 4 ]
	[ "$(grep -c '^250 2.0.0 127.0.0.1 Ok, stored' <<<"$output")" = 4 ]
	[ "$(grep -c '^499 4.7.5 127.0.0.1 TLS is required (tls_policy) and cannot be had: the certificate: ' <<<"$output")" = 1 ]
	[ "$(stored 4 | grep -c 'with ESMTPS id')" = 3 ]
	[ "$(stored 4 | grep -c 'with ESMTPSA id')" = 1 ]
}

@test "a host of many addresses, or many hosts, each silent: no other one is begun when a whole answer's time has passed, and the reason is told" {
	needs_net
	local i zone=$BATS_TEST_TMPDIR/zone
	for i in 1 2 3 4 5; do echo "mx.tarpit.example A 192.0.2.$i"; done >"$zone"
	echo 'tarpit.example MX 10 mx.tarpit.example' >>"$zone"
	for i in 1 2; do echo "mx$i.many.example A 192.0.2.$i"; echo "many.example MX $i mx$i.many.example"; done >>"$zone"
	run in_net "$BATS_TEST_TMPDIR" "$BUILD" "$PYTHON" "$TESTS" <<-'E'
		for i in 1 2 3 4 5; do ip addr add 192.0.2.$i dev lo; done
		"$2" "$3/dns-server.py" "$0/zone" --port-file "$0/dns" &
		dns=$!
		# it takes connections, and says nothing
		"$2" -c 'import socket, sys
s = socket.create_server(("", 25))
open(sys.argv[1], "w").close()
kept = []
while True:
    c, who = s.accept()
    kept.append(c)
    print("met at", c.getsockname()[0], flush=True)' "$0/met" &
		pit=$!
		until [ -s "$0/dns" ] && [ -e "$0/met" ]; do :; done
		printf 'Subject: x\n\nhello\n' | timeout 60 "$1/smtp-client" -C /dev/null -o "dns=127.0.0.1:$(cat "$0/dns")" -o command_timeout=700ms --send --mx tarpit.example -f a@b.example c@tarpit.example
		echo "status $?"
		printf 'Subject: x\n\nhello\n' | timeout 60 "$1/smtp-client" -C /dev/null -o "dns=127.0.0.1:$(cat "$0/dns")" -o command_timeout=700ms --send --mx many.example -f a@b.example c@many.example
		kill $dns $pit
	E
	echo "$output"
	[[ $output == *'499 4.4.2 mx.tarpit.example '*'status 69'* ]]
	grep -q '^499 4.4.2 mx[12].many.example it does not answer in time$' <<<"$output"
	[ "$(grep -c '^met at' <<<"$output")" -ge 2 ]
	[ "$(grep -c '^met at' <<<"$output")" -le 4 ]
}

@test "one address whose TLS fails does not make another go without" {
	needs_net
	command -v systemd-socket-activate >/dev/null || skip "systemd-socket-activate is not installed"
	printf '%s\n' 'mx.two.example A 192.0.2.1' 'mx.two.example A 192.0.2.2' 'two.example MX 10 mx.two.example' >"$BATS_TEST_TMPDIR/zone"
	run in_net "$BATS_TEST_TMPDIR" "$BUILD" "$PYTHON" "$TESTS" "${SETTINGS[@]}" <<-'E'
		dir=$0 build=$1 python=$2 tests=$3
		shift 3
		for i in 1 2; do ip addr add 192.0.2.$i dev lo; done
		"$python" "$tests/dns-server.py" "$dir/zone" --port-file "$dir/dns" &
		dns=$!
		# it offers TLS, and has none
		"$python" -c 'import socket, sys
s = socket.create_server(("192.0.2.1", 25))
open(sys.argv[1], "w").close()
while True:
    c = s.accept()[0]
    f = c.makefile("rb")
    for reply in b"220 x", b"250-x\r\n250 STARTTLS", b"220 go on", b"":
        c.sendall(reply + b"\r\n")
        if not f.readline().startswith((b"EHLO", b"STARTTLS")): break
    f.close()
    c.close()' "$dir/ready" &
		bad=$!
		systemd-socket-activate --inetd --accept -l 192.0.2.2:25 "$build/smtp-handler" "$@" 2>"$dir/server" &
		good=$!
		until [ -s "$dir/dns" ] && [ -e "$dir/ready" ] && grep -q '^Listening' "$dir/server"; do :; done
		printf 'Subject: x\n\nhello\n' | timeout 60 "$build/smtp-client" -C /dev/null -o hostname=client.example.org -o "dns=127.0.0.1:$(cat "$dir/dns")" --send --mx two.example -f a@b.example alice@example.test
		kill $dns $bad $good
	E
	echo "$output"
	grep -q '^# mx.two.example \[192.0.2.2\]:25 TLS' <<<"$output"
	[ "$(stored 1 | grep -c 'with ESMTPS id')" = 1 ]
}

@test "a server with our name is we, and the mail a loop; but a name without a dot is that of many" {
	needs_net
	run in_net "$BATS_TEST_TMPDIR" "$BUILD" "$PYTHON" <<-'E'
		"$2" -c 'import socket, sys
s = socket.create_server(("127.0.0.1", 25))
open(sys.argv[1], "w").close()
while True:
    c = s.accept()[0]
    f = c.makefile("rb")
    c.sendall(b"220 x\r\n")
    for line in f:
        c.sendall(b"250 " + line[5:] if line.startswith(b"EHLO") else b"354 go on\r\n" if line.startswith(b"DATA") else b"250 ok\r\n" if b" " in line or line == b".\r\n" else b"")' "$0/ready" &
		server=$!
		until [ -e "$0/ready" ]; do :; done
		for name in mx.example.org mail; do
			printf 'Subject:\n' | timeout 60 "$1/smtp-client" -C /dev/null -o hostname=$name -o tls_policy=none --send --mx '[127.0.0.1]' -f a@b.example 'c@[127.0.0.1]'
		done
		kill $server
	E
	echo "$output"
	[ "$(grep -v '^#' <<<"$output" | cut -d' ' -f1-3)" = '599 5.4.6 [127.0.0.1]
250 2.0.0 [127.0.0.1]' ]
}

@test "a line of transports holds for every form of its domain, or puts mail off" {
	remote mx never close
	printf 'xn--caf-dma.example 127.0.0.1:%s\n' "$PORT" >"$TABLE"
	for domain in xn--caf-dma.example $'caf\xc3\xa9.example' $'CAF\xc3\x89.example'; do
		send -o tls_policy=none -o "transports=$TABLE" -o dns=127.0.0.1:1 -o command_timeout=1s -- --mx "$domain" -f a@b.example joe@far.example
		[[ ${lines[-1]} == '250 2.0.0 127.0.0.1 '* ]]
	done
	printf 'caf\xc3\xa9.example 127.0.0.1 verify\n' >"$TABLE"
	send -o "transports=$TABLE" -o dns=127.0.0.1:1 -o command_timeout=1s -- --mx xn--caf-dma.example -f a@b.example joe@far.example
	[ "$status" = 75 ]
	[[ ${lines[-1]} == '499 4.3.5 - '*'A-labels'* ]]
}

@test "smtp-tls cannot be started: mail is put off, and does not go in plain text for a fault of ours" {
	serve systemd_inetd
	mkdir "$BATS_TEST_TMPDIR/bin"
	cp "$CLIENT" "$BATS_TEST_TMPDIR/bin"
	cp /bin/false "$BATS_TEST_TMPDIR/bin/smtp-tls"
	chmod 000 "$BATS_TEST_TMPDIR/bin/smtp-tls"
	[ "$(id -u)" != 0 ] || echo 'no program' >"$BATS_TEST_TMPDIR/bin/smtp-tls"
	CLIENT=$BATS_TEST_TMPDIR/bin/smtp-client
	send -- --to "127.0.0.1:$PORT" -f a@b.example alice@example.test
	[ "$status" = 69 ] || [ "$status" = 0 ]
	[ "${lines[-1]}" = '499 4.3.0 127.0.0.1 cannot start smtp-tls' ]
	stored 0
}
