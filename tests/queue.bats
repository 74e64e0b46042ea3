#!/usr/bin/env bats
# Mail to other hosts: what may leave, how it waits, how it goes, and what the sender hears of it.
# shellcheck disable=SC2030,SC2031,SC2034,SC2154
load helper
load servers
load queue

setup() { setup_queue; REPORTS=$BATS_TEST_TMPDIR/reports; }

# --- what may leave ---

@test "who may send where: a stranger, a network that may relay; a list with members elsewhere; a domain that is relayed for all" {
	printf 'team: bob@example.test, joe@far.example\nmoved: joe@far.example\n' >"$ROOT/example.test/.aliases"
	chmod 644 "$ROOT/example.test/.aliases"
	owned
	say_as() { lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<$2>" QUIT | clean_env TCPREMOTEIP="$1" timeout 60 "$HANDLER" "${SETTINGS[@]}" -o relay_domains="backup.example" 2>>"$LOG" | tr -d '\r' | tail -n 2 | head -n 1; }
	[ "$(say_as 192.0.2.1 joe@far.example)" = '550 5.7.1 Mail for that domain is not taken here' ]
	[ "$(say_as 192.0.2.7 joe@far.example)" = '250 2.1.5 Recipient ok' ]
	[ "$(say_as 192.0.2.1 moved@example.test)" = '250 2.1.5 Recipient ok' ]
	[ "$(say_as 192.0.2.1 team@example.test)" = '250 2.1.5 Recipient ok' ]
	[ "$(say_as 192.0.2.1 anybody@backup.example)" = '250 2.1.5 Recipient ok' ]
	[ "$(say_as 192.0.2.7 nobody@example.test)" = '550 5.1.1 No such mailbox here' ]
	queue_empty
	SETTINGS+=(-o queue_dir=)
	[ "$(say_as 192.0.2.7 joe@far.example)" = '550 5.1.2 Leads to another host, and no mail is sent from here' ]
	[ "$(say_as 192.0.2.1 moved@example.test)" = '550 5.1.2 Leads to another host, and no mail is sent from here' ]
	# one that is there and cannot be opened is for the administrator to mend, and no reason to lose mail (P9)
	: >"$BATS_TEST_TMPDIR/no-folder"
	SETTINGS+=(-o "queue_dir=$BATS_TEST_TMPDIR/no-folder")
	[ "$(say_as 192.0.2.7 joe@far.example)" = '451 4.3.5 Mail system is not configured properly, try again later' ]
	[ "$(say_as 192.0.2.1 moved@example.test)" = '451 4.3.5 Mail system is not configured properly, try again later' ]
	[ "$(say_as 192.0.2.1 joe@far.example)" = '550 5.7.1 Mail for that domain is not taken here' ]
	[ "$(say_as 192.0.2.7 bob@example.test)" = '250 2.1.5 Recipient ok' ]
}

@test "DSN is offered where there is a queue, and its parameters are looked at" {
	run -0 handler < <(printf 'EHLO c\nQUIT\n')
	[[ $output == *'250-DSN'* ]]
	run -0 handler -o queue_dir= < <(printf 'EHLO c\nMAIL FROM:<a@b.example> RET=HDRS\nMAIL FROM:<a@b.example>\nRCPT TO:<bob@example.test> NOTIFY=NEVER\nQUIT\n')
	[[ $output != *DSN* ]]
	[ "$(grep -c '^555 5.5.4' <<<"$output")" = 2 ]
	OPTIONS=()
	run -0 say 'MAIL FROM:<a@b.example> RET=SOME' 'MAIL FROM:<a@b.example> ENVID=a=b' 'MAIL FROM:<a@b.example> ENVID=a+0Ab' 'MAIL FROM:<a@b.example> RET=FULL RET=FULL' \
		"MAIL FROM:<a@b.example> ENVID=$(printf 'x%.0s' {1..101})" 'MAIL FROM:<a@b.example> RET=full ENVID=QQ314159+2B' \
		'RCPT TO:<bob@example.test> NOTIFY=NEVER,DELAY' 'RCPT TO:<bob@example.test> NOTIFY=' 'RCPT TO:<bob@example.test> NOTIFY=SUCCESS,SUCCESS' 'RCPT TO:<bob@example.test> ORCPT=bob' \
		'RCPT TO:<bob@example.test> ORCPT=rfc822;a+4' 'RCPT TO:<bob@example.test> NOTIFY=SUCCESS,delay ORCPT=rfc822;Bob+40example.test'
	[ "$output" = '501 5.5.4 Bad parameter
501 5.5.4 Bad parameter
501 5.5.4 Bad parameter
501 5.5.4 Bad parameter
501 5.5.4 Bad parameter
250 2.1.0 Sender ok
501 5.5.4 Bad parameter
501 5.5.4 Bad parameter
501 5.5.4 Bad parameter
501 5.5.4 Bad parameter
501 5.5.4 Bad parameter
250 2.1.5 Recipient ok' ]
}

@test "X-RELAY is for maildir-deliver alone: no client of SMTP can say it" {
	OPTIONS=()
	run -0 say 'MAIL FROM:<a@b.example> X-RELAY'
	[ "$output" = '555 5.5.4 Unknown parameter' ]
}

# --- on its way ---

@test "one message here and there: a copy in the mailbox and an entry for each destination, one file of the message" {
	[[ $(lay a@b.example bob@example.test joe@far.example ann@FAR.example ann@near.example) == '250 2.0.0 Ok, stored with id '* ]]
	[ "$(box bob | wc -l)" = 1 ]
	[ "$(find "$QUEUE/new" -type f | wc -l)" = 2 ]
	[ "$(find "$QUEUE/message" -type f -printf '%i\n' | sort -u | wc -l)" = 1 ]
	[ -z "$(find "$QUEUE/tmp" -type f)" ]
	remote mx never close
	relay_to
	queue run
	queue_empty
	[ "$(taken)" = 2 ]
	[ "$(sed '/^\r$/q' "$REMOTE/1" | grep -c '^Received: ')" = 1 ]
	grep -q $'^hello\r$' "$REMOTE/1"
	grep -q '^RCPT TO:<ann@FAR.example>' "$REMOTE/heard"
	log_has 'sent: to=<joe@far.example> reply="250 2.0.0 127.0.0.1 taken, id 4711"'
}

@test "a message refused for one who has no room leaves nothing in the queue either" {
	lay a@b.example bob@example.test joe@far.example
	[ "$(waiting)" = 1 ]
	rm -r "${QUEUE:?}"/*
	chmod 500 "$ROOT/example.test/bob/tmp"
	[[ $(lay a@b.example joe@far.example bob@example.test) == '45'* ]]
	queue_empty
}

@test "what is dotted, long, without an end, or 8-bit arrives octet for octet, by BDAT and by DATA" {
	printf '.\n..\n.x\n\n%s\nümläut\nlast' "$(printf 'y%.0s' {1..5000})" >"$BATS_TEST_TMPDIR/body"
	for keywords in 'CHUNKING 8BITMIME PIPELINING' 'SIZE' none; do
		rm -rf "$BATS_TEST_TMPDIR/mx"
		# shellcheck disable=SC2086
		remote mx never close $keywords
		clean_env timeout 60 "$CLIENT" "${SETTINGS[@]}" --send --to "127.0.0.1:$PORT" -f a@b.example joe@far.example <"$BATS_TEST_TMPDIR/body" >"$BATS_TEST_TMPDIR/out"
		grep -q '^250 2.0.0 127.0.0.1 taken, id 4711$' "$BATS_TEST_TMPDIR/out"
		tr -d '\r' <"$REMOTE/1" >"$BATS_TEST_TMPDIR/got"
		diff "$BATS_TEST_TMPDIR/got" <(cat "$BATS_TEST_TMPDIR/body"; echo)
		refute grep -q $'[^\r]$' "$REMOTE/1"
	done
}

@test "each stage refuses, now or for ever; hangs; closes; talks nonsense: nobody gets it twice, and nothing is lost" {
	for stage in greeting EHLO MAIL RCPT DATA BDAT end; do
		for action in '450 4.7.1 not now' '554 5.7.1 never' '421 4.3.2 closing' close reset nonsense hang; do
			case $stage/$action in EHLO/4[25]* | EHLO/reset | RCPT/[5crh]* | BDAT/4* | BDAT/[rh]* | MAIL/[rnh]*) continue ;; esac       # as for another stage
			keywords=(PIPELINING 8BITMIME)
			[ "$stage" != BDAT ] || keywords+=(CHUNKING)
			rm -rf "$BATS_TEST_TMPDIR/mx" "${QUEUE:?}"/* "$ROOT/example.test/bob/new" "$ROOT/example.test/bob/tmp"
			mkdir -p "$BATS_TEST_TMPDIR/mx"
			: >"$BATS_TEST_TMPDIR/mx/once"
			remote mx "$stage" "$action" "${keywords[@]}"
			relay_to
			head -c 200000 /dev/zero | tr '\0' x | fold -w 70 | sed '' >"$BATS_TEST_TMPDIR/big"; echo >>"$BATS_TEST_TMPDIR/big"
			PLAIN='' lay bob@example.test joe@far.example <"$BATS_TEST_TMPDIR/big" | grep -q '^250 '
			ROUTE+=(-o command_timeout=500ms -o data_timeout=500ms)
			for at in 0 4000 9000 15000; do [ "$(waiting)" = 0 ] || run_at "$at"; done
			what="$stage $action: $(taken) taken, $(box bob | wc -l) reports"
			case $stage/$action in
			greeting/554* | EHLO/554*) [ "$(taken) $(box bob | wc -l)" = "1 0" ] || { echo "$what"; cat "$LOG"; queue list; return 1; } ;;
			*/554*) [ "$(taken) $(box bob | wc -l)" = "0 1" ] || { echo "$what"; tail -20 "$LOG"; queue list; return 1; } ;;
			*) [ "$(taken) $(box bob | wc -l)" = "1 0" ] || { echo "$what"; cat "$LOG"; queue list; return 1; } ;;
			esac
			queue_empty || { echo "$what: something is left"; find "$QUEUE" -type f; return 1; }
			stop_all
		done
	done
}

@test "the connection is reset after the whole message: it may have been delivered, and the log and the list say so; it is sent once more" {
	mkdir -p "$BATS_TEST_TMPDIR/mx"
	: >"$BATS_TEST_TMPDIR/mx/once"
	remote mx end take
	relay_to
	lay a@b.example joe@far.example
	run_at 0
	[ "$(taken)" = 1 ]
	run -0 queue list
	[[ $output == *'no answer to the whole message: it may have been delivered, and will be sent again'* ]]
	run_at 1000
	[ "$(taken)" = 2 ]
	queue_empty
}

# --- in time ---

report() { "$PYTHON" "$TESTS/show-report.py" "$1"; }
one_report() { [ "$(box bob | wc -l)" = "${1-1}" ] && report "$(box bob | tail -n 1)"; }

@test "five days of a host that never answers: tries ever more seldom, a warning after hours, a report in the end; time travels" {
	PORT=$(free_port 127.0.0.1)
	relay_to
	lay 'bob@example.test RET=HDRS ENVID=abc+2B1' 'joe@far.example ORCPT=rfc822;joe@far.example'
	at=0
	while [ "$(waiting)" != 0 ] && [ "$at" -lt 500000 ]; do
		run_at "$at"
		at=$((at + 600))
		[ "$at" -lt 20000 ] || at=$((at + 10000))
	done
	queue_empty
	[ "$(box bob | wc -l)" = 2 ]
	run -0 report "$(box bob | head -n 1)"
	[[ $output == *'Action: delayed'*'Status: 4.4.1'*'Will-Retry-Until: '* ]]
	run -0 one_report 2
	[[ $output == *'multipart/report delivery-status'*'part text/plain
part message/delivery-status
part text/rfc822-headers'*'Original-Envelope-Id: abc+1'*'Original-Recipient: rfc822;'*'joe@far.example'*'Final-Recipient: rfc822; joe@far.example'*'Action: failed'*'Status: 4.4.7'* ]]
	[ "$(grep -c 'deferred: to=<joe@far.example>' "$LOG")" -gt 20 ]
	log_has 'given up: to=<joe@far.example>'
}

@test "a host that comes up only after an hour gets its mail, all that has waited" {
	remote mx never close
	up=$PORT
	PORT=$(free_port 127.0.0.1)
	relay_to
	for i in 1 2 3 4 5; do lay a@b.example "joe$i@far.example"; done
	for at in 0 300 700 1300 2000; do run_at "$at"; done
	[ "$(waiting)" = 5 ]
	# it is not asked for each message anew: a few times a round
	[ "$(grep -c deferred "$LOG")" -lt 20 ]
	PORT=$up
	relay_to
	run_at 5600
	[ "$(taken)" = 5 ]
	queue_empty
}

# --- what the sender hears ---

@test "one report for all that failed in an attempt, none for those that wait; the others are not held up" {
	remote mx never close
	relay_to
	lay bob@example.test unknown@far.example joe@far.example later@far.example
	run_at 0
	[ "$(taken) $(waiting)" = '1 1' ]
	run -0 one_report
	[[ $output == *'Final-Recipient: rfc822; unknown@far.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; '*'Diagnostic-Code: smtp; 550 '*'no such user'* ]]
	[[ $output != *later@* && $output != *joe@* ]]
	run -0 queue list
	[[ $output == *'    later@far.example
        450 4.2.1 127.0.0.1 not now'* ]]
	[[ $output != *joe@* ]]
}

# How many greetings and messages the server has heard.
greeted() { grep -c ^EHLO "$REMOTE/heard"; }

@test "several messages for one place go over one connection, by relay or not, and one that is refused harms no other" {
	remote mx never close
	for i in 1 2 3 4 5 6; do lay bob@example.test "joe@far$((i % 2)).example" "ann@far.example"; done
	lay bob@example.test unknown@far1.example
	ROUTE=(-o "transports=$BATS_TEST_TMPDIR/transports" -o queue_parallel=1)
	printf '.example 127.0.0.1:%s\n* 127.0.0.1:1\n' "$PORT" >"$BATS_TEST_TMPDIR/transports"
	chmod 644 "$BATS_TEST_TMPDIR/transports"
	run_at 0
	[ "$(taken) $(waiting)" = '12 0' ]
	# three places, the first time five at most
	[ "$(greeted)" = 4 ]
	run -0 one_report
	for i in 1 2 3 4 5 6; do lay bob@example.test "joe@far$i.example"; done
	relay_to
	ROUTE+=(-o queue_parallel=1)
	run_at 0
	[ "$(taken) $(waiting) $(greeted)" = '18 0 6' ]
}

@test "a server that has had enough, by 4xx, 5xx or 421 or without a word, gets the rest over another connection" {
	for action in '450 4.3.2 too many messages' '503 5.5.1 one more than I take' '421 4.7.0 bye' close reset nonsense; do
		rm -rf "$BATS_TEST_TMPDIR/mx"
		remote mx MAIL3 "$action"
		relay_to
		ROUTE+=(-o queue_parallel=1)
		for i in 1 2 3 4 5; do lay bob@example.test joe@far.example; done
		run_at 0
		[ "$(taken) $(waiting) $(greeted)" = '5 0 3' ] || { echo "$action: $(taken) taken, $(waiting) wait, $(greeted) connections"; return 1; }
		stop_all
	done
	# what is refused over a connection of its own is refused for good
	rm -rf "$BATS_TEST_TMPDIR/mx"
	remote mx MAIL '550 5.7.1 not you'
	relay_to
	ROUTE+=(-o queue_parallel=1)
	lay bob@example.test joe@far.example
	run_at 0
	[ "$(taken) $(waiting) $(greeted)" = '0 0 1' ]
	run -0 one_report
	echo "$output"
	[[ $output == *'550 5.7.1 not you'* ]]
}

@test "a server that refuses with a bare 500 is quoted, like any other" {
	remote mx RCPT '500 I do not know that'
	relay_to
	lay bob@example.test joe@far.example
	run_at 0
	run -0 one_report
	[[ $output == *'Status: 5.0.0
Remote-MTA: dns; '*'Diagnostic-Code: smtp; 500 I do not know that'* ]]
}

@test "NOTIFY: NEVER is silence; SUCCESS is told by the next server, or by us where that cannot; of a local mailbox, too" {
	remote mx never close PIPELINING DSN
	relay_to
	lay bob@example.test 'unknown@far.example NOTIFY=NEVER' 'joe@far.example NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;j'
	run_at 0
	queue_empty
	[ -z "$(box bob)" ]
	grep -q '^RCPT TO:<joe@far.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;j' "$REMOTE/heard"
	stop_all
	rm -r "$REMOTE"
	remote mx never close PIPELINING
	relay_to
	lay bob@example.test 'joe@far.example NOTIFY=SUCCESS' 'postmaster@example.test NOTIFY=SUCCESS' 'ann@far.example NOTIFY=FAILURE'
	run_at 0
	queue_empty
	refute grep -q NOTIFY "$REMOTE/heard"
	[ "$(box bob | wc -l)" = 2 ]
	for f in $(box bob); do report "$f"; done >"$BATS_TEST_TMPDIR/reports"
	[ "$(grep -E '^(Final-Recipient|Action)' "$BATS_TEST_TMPDIR/reports" | paste - - | sort)" = $'Final-Recipient: rfc822; joe@far.example\tAction: relayed
Final-Recipient: rfc822; postmaster@example.test\tAction: delivered' ]
}

@test "the case of a local part makes another recipient, that of a domain does not; one named twice gets one copy, with all that was wished of either" {
	remote mx never close
	relay_to
	mkdir "$ROOT/example.test/held"
	printf 'held-too: joe@far.example, held@example.test\n' >"$ROOT/example.test/.aliases"
	owned
	chmod +t "$ROOT/example.test/held"
	lay bob@example.test Smith@far.example smith@FAR.example smith@far.example \
		'ann@far.example NOTIFY=NEVER ORCPT=rfc822;a1' 'ann@far.example NOTIFY=SUCCESS ORCPT=rfc822;a2' 'ann@far.example NOTIFY=FAILURE' \
		'eve@far.example NOTIFY=NEVER' 'eve@far.example NOTIFY=NEVER' 'joe@far.example NOTIFY=NEVER' 'held-too@example.test NOTIFY=SUCCESS'
	[ "$(grep -c '^4' "$BATS_TEST_TMPDIR/laid")" = 1 ]
	run_at 0
	queue_empty
	[ "$(grep ^RCPT "$REMOTE/heard" | tr -d '\r')" = 'RCPT TO:<Smith@far.example>
RCPT TO:<smith@FAR.example>
RCPT TO:<ann@far.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a1
RCPT TO:<eve@far.example> NOTIFY=NEVER
RCPT TO:<joe@far.example> NOTIFY=NEVER' ]
	[ "$(taken)" = 1 ]
}

# in_aliases LINE...: the aliases of example.test.  told: what bob has been told, "Action of", sorted, and in $REPORTS in full; his mail is gone then.  asked ADDRESS: the
# parameters of its RCPT.
in_aliases() {
	printf '%s\n' "$@" >"$ROOT/example.test/.aliases"
	chmod 644 "$ROOT/example.test/.aliases"
	owned
}
told() {
	local f
	for f in $(box bob); do report "$f" && rm "$f"; done >"$REPORTS"
	grep -E '^(Final-Recipient|Action)' "$REPORTS" | paste - - | sed 's/.*; \(.*\)\tAction: \(.*\)/\2 \1/' | sort
}
asked() { grep "^RCPT TO:<$1>" "$REMOTE/heard" | tr -d '\r' | sed 's/[^>]*>//'; }

@test "a list with an owner is where the mail has arrived, whoever its members are; what the sender said for himself goes no further (RFC 3461 5.2.7.1)" {
	remote mx never close PIPELINING DSN
	relay_to
	in_aliases 'list: far@far.example' 'owner-list: postmaster' 'both: ann, far@far.example' 'owner-both: postmaster' 'one: list'
	mkdir "$ROOT/example.test/ann"
	owned
	local list
	for list in list both one; do
		lay 'bob@example.test RET=FULL ENVID=q1' "$list@example.test NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x"
		run_at 0
		queue_empty
		[ "$(told)" = "delivered $list@example.test" ]
		grep -q '^Original-Envelope-Id: q1' "$REPORTS"
		[ "$(grep '^MAIL' "$REMOTE/heard" | tr -d '\r' | sed 's/ SIZE=[0-9]*//')" = "MAIL FROM:<owner-${list/one/list}@example.test>" ]
		grep -q '^RCPT TO:<far@far.example>.$' "$REMOTE/heard"
		rm "$REMOTE/heard"
	done
	# a list among others is one of several
	in_aliases 'list: far@far.example' 'owner-list: postmaster' 'more: list, eve@far.example'
	lay 'bob@example.test RET=FULL ENVID=q1' 'more@example.test NOTIFY=SUCCESS,FAILURE'
	run_at 0
	[ "$(told)" = 'expanded more@example.test' ]
	[ -z "$(asked far@far.example)" ]
	[[ $(asked eve@far.example) == ' NOTIFY=FAILURE'* ]]
	[ "$(grep '^MAIL' "$REMOTE/heard" | tr -d '\r' | sed 's/ SIZE=[0-9]*//' | sort)" = 'MAIL FROM:<bob@example.test> RET=FULL ENVID=q1
MAIL FROM:<owner-list@example.test>' ]
}

@test "an alias of several is answered once with \"expanded\", and its members are not asked for success; an alias of one passes all on (RFC 3461 5.2.7.2, 5.2.7.3)" {
	remote mx never close PIPELINING DSN
	relay_to
	in_aliases 'many: far1@far.example, far2@far.example' 'mixed: ann, far3@far.example' 'ours: ann, postmaster' 'one: far4@far.example' 'two: one' 'twice: far5@far.example, also' \
		'also: far5@far.example' 'left: far6@far.example, nobody@example.test' 'here: ann'
	mkdir "$ROOT/example.test/ann"
	owned
	lay 'bob@example.test ENVID=q1' 'many@example.test NOTIFY=SUCCESS ORCPT=rfc822;m' 'mixed@example.test NOTIFY=SUCCESS,FAILURE' 'ours@example.test NOTIFY=SUCCESS,DELAY' \
		'two@example.test NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o' 'twice@example.test NOTIFY=SUCCESS' 'left@example.test NOTIFY=SUCCESS' 'here@example.test NOTIFY=SUCCESS'
	run_at 0
	queue_empty
	[ "$(told)" = 'delivered here@example.test
expanded many@example.test
expanded mixed@example.test
expanded ours@example.test' ]
	[ "$(grep -c '^Status: 2' "$REPORTS")" = 4 ]
	[ "$(asked far1@far.example)" = ' NOTIFY=NEVER ORCPT=rfc822;m' ]
	[ "$(asked far2@far.example)" = ' NOTIFY=NEVER ORCPT=rfc822;m' ]
	[[ $(asked far3@far.example) == ' NOTIFY=FAILURE'* ]]
	[ "$(asked far4@far.example)" = ' NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o' ]
	[[ $(asked far5@far.example) == ' NOTIFY=SUCCESS'* ]]
	[[ $(asked far6@far.example) == ' NOTIFY=SUCCESS'* ]]
	[ "$(grep '^MAIL' "$REMOTE/heard" | tr -d '\r' | sed 's/ SIZE=[0-9]*//')" = 'MAIL FROM:<bob@example.test> ENVID=q1' ]
	# nobody has asked
	lay bob@example.test many@example.test 'mixed@example.test NOTIFY=FAILURE'
	run_at 0
	[ -z "$(told)" ]
	# nobody is told for the null sender
	lay '' 'many@example.test NOTIFY=SUCCESS'
	run_at 0
	queue_empty
	[ -z "$(box postmaster | xargs -r grep -l expanded)" ]
}

@test "who has written to an alias is told of it, not only of the address behind; a list with an owner tells its owner of the member alone" {
	remote mx '<far@' '550 5.1.1 no such user'
	relay_to
	mkdir "$ROOT/example.test/ann"
	in_aliases 'one+x: far@far.example' "grün: far@far.example" 'list: far@far.example' 'owner-list: ann'
	lay 'bob@example.test SMTPUTF8' One+x@example.test
	lay 'bob@example.test SMTPUTF8' "grün@example.test"
	lay 'bob@example.test SMTPUTF8' 'one+x@example.test ORCPT=rfc822;mine@b.example' far@far.example
	lay 'bob@example.test SMTPUTF8' list@example.test
	run_at 0
	queue_empty
	[ "$(grep '^RCPT TO:<far@' "$REMOTE/heard" | tr -d '\r' | LC_ALL=C sort)" = 'RCPT TO:<far@far.example>
RCPT TO:<far@far.example> ORCPT=rfc822;One+2Bx@example.test
RCPT TO:<far@far.example> ORCPT=rfc822;mine@b.example
RCPT TO:<far@far.example> ORCPT=utf-8;gr\x{FC}n@example.test' ]
	for f in $(box bob); do cat "$f"; done >"$BATS_TEST_TMPDIR/all"
	[ "$(grep '^Original-Recipient: ' "$BATS_TEST_TMPDIR/all" | tr -d '\r' | LC_ALL=C sort)" = "Original-Recipient: rfc822; One+x@example.test
Original-Recipient: rfc822; mine@b.example
Original-Recipient: utf-8; grün@example.test" ]
	[ "$(grep -c 'where mail for .* goes' "$BATS_TEST_TMPDIR/all")" = 3 ]
	grep -q 'where mail for One+x@example.test goes' "$BATS_TEST_TMPDIR/all"
	refute grep -q Original-Recipient "$(box ann)"
	grep -q '^Final-Recipient: rfc822; far@far.example' "$(box ann)"
}

@test "ORCPT beyond ASCII is for a transaction with SMTPUTF8; without, it goes out in seven bits (RFC 6533 3)" {
	local to='<joe@far.example>'
	run -0 say 'MAIL FROM:<a@b.example>' "RCPT TO:<bob@example.test> ORCPT=utf-8;grün@far.example" "RCPT TO:<bob@example.test> ORCPT=rfc822;grün@far.example" \
		'RCPT TO:<bob@example.test> ORCPT=utf-8;gr\x{FC}n@far.example' RSET "MAIL FROM:<a@b.example> ENVID=grün" 'MAIL FROM:<a@b.example> SMTPUTF8' \
		"RCPT TO:<bob@example.test> ORCPT=utf-8;grün@far.example" "RCPT TO:<bob@example.test> ORCPT=rfc822;grün@far.example"
	[ "$(cut -d ' ' -f 1,2 <<<"$output" | paste -sd ,)" = '250 2.1.0,501 5.5.4,501 5.5.4,250 2.1.5,250 2.0.0,501 5.5.4,250 2.1.0,250 2.1.5,501 5.5.4' ]
	remote mx never close
	post() { clean_env timeout 60 "$CLIENT" -C /dev/null -o hostname=c.example -o tls_policy=none --send --to "127.0.0.1:$PORT" -f a@b.example "$@" < <(printf 'Subject: x\n\nhello\n'); }
	post --orcpt "utf-8;grün+\\x{FC}@far.example" joe@far.example
	post --utf8 --orcpt "utf-8;grün@far.example" joe@far.example
	[ "$(grep '^RCPT' "$REMOTE/heard" | tr -d '\r')" = "RCPT TO:$to ORCPT=utf-8;gr\\x{FC}n\\x{2B}\\x{FC}@far.example
RCPT TO:$to ORCPT=utf-8;grün@far.example" ]
	stop_all
	# and through the queue as it came
	remote mx never close
	relay_to
	lay 'bob@example.test SMTPUTF8' "joe@far.example ORCPT=utf-8;grün@far.example"
	lay bob@example.test 'joe@far.example ORCPT=utf-8;gr\x{FC}n@far.example'
	run_at 0
	queue_empty
	[ "$(grep '^RCPT' "$REMOTE/heard" | tr -d '\r' | tail -n 2 | LC_ALL=C sort)" = "RCPT TO:$to ORCPT=utf-8;gr\\x{FC}n@far.example
RCPT TO:$to ORCPT=utf-8;grün@far.example" ]
}

@test "never a report of a report: one that cannot be delivered goes to postmaster, or is dropped" {
	remote mx never close
	relay_to
	lay '' unknown@far.example
	run_at 0
	queue_empty
	[ "$(box postmaster | wc -l)" = 1 ]
	grep -q '^Return-Path: <>' "$(box postmaster)"
	lay nobody@example.test unknown@far.example
	run_at 0
	[ "$(box postmaster | wc -l)" = 2 ]
	ROUTE+=(-o double_bounce=drop)
	lay '' unknown@far.example
	run_at 0
	queue_empty
	[ "$(box postmaster | wc -l)" = 2 ]
	log_has 'a report that nobody takes is dropped'
}

@test "a report that cannot be handed in now is still due, and comes later, once" {
	remote mx never close
	relay_to
	lay bob@example.test unknown@far.example
	ROUTE+=(-o deliver=/nonexistent)
	run_at 0
	[ "$(waiting) $(box bob | wc -l)" = '1 0' ]
	run -0 queue list
	[[ $output == *'unknown@far.example (failed, to be reported)'* ]]
	ROUTE+=(-o "deliver=$DELIVER")
	run_at 3600
	[ "$(box bob | wc -l)" = 1 ]
	queue_empty
	[ "$(grep -c 'RCPT TO:<unknown' "$REMOTE/heard")" = 1 ]
}

@test "a report that is put off for ever is dropped in the end, with a line in the log" {
	remote mx never close
	relay_to
	lay bob@example.test unknown@far.example
	ROUTE+=(-o deliver=/nonexistent)
	run_at 0
	run_at $((9 * 86400))
	[ "$(waiting)" = 1 ]
	run_at $((11 * 86400))
	queue_empty
	log_has 'a report that nobody takes, not even the postmaster, is dropped'
}

@test "more recipients than one smtp-client takes as arguments" {
	remote mx never close
	relay_to
	mapfile -t many < <(seq -f 'joe%g@far.example' 700)
	[[ $(lay bob@example.test "${many[@]}" unknown@far.example) == '250 '* ]]
	run_at 0
	queue_empty
	[ "$(grep -c '^RCPT TO' "$REMOTE/heard")" = 701 ]
	[ "$(grep -o 'joe[0-9]*@' "$REMOTE/heard" | sort -u | wc -l)" = 700 ]
	[ "$(taken)" = 7 ]
}

# --- the administrator ---

@test "list, show, hold, release, retry, remove; JSON" {
	PORT=$(free_port 127.0.0.1)
	relay_to
	lay bob@example.test joe@far.example
	lay bob@example.test ann@near.example
	run -0 queue list
	[[ $output == *'2 entries' ]]
	id=$(queue --json list | "$PYTHON" -c 'import json, sys; print([e["id"] for e in map(json.loads, sys.stdin) if e["destination"] == "far.example"][0])')
	run -0 queue show "$id"
	[[ $output == *joe@far.example*'Subject: for you'* ]]
	# by the session, and by one destination of it
	run -0 queue show "${id%.*}"
	[[ $output == *joe@far.example*'Subject: for you'* && $output != *ann@* ]]
	run -0 queue show "$id-1"
	[[ $output == *joe@far.example*'Subject: for you'* ]]
	run -66 queue show "${id%?}"
	run -66 queue show 123abc.1
	run -0 queue hold "$id"
	[ "$output" = '1 held' ]
	run_at 0
	run -0 queue --json list
	[[ $(grep far.example <<<"$output") == *'"place":"held"'*'"attempts":0'* ]]
	[[ $(grep near.example <<<"$output") == *'"place":"waits"'*'"attempts":1'*'499 4.4.1'* ]]
	run -66 queue release near.example
	run -0 queue release far.example
	[ "$output" = '1 released' ]
	# not while it is worked on
	exec {held}<"$(find "$QUEUE" -name "*.$id-*" -path '*/wait/*')"
	flock "$held"
	run -75 queue remove "$id"
	[[ ! $output && $(tail -n 1 "$LOG") == "smtp-queue: $id-1 is being worked on now" ]]
	exec {held}<&-
	run -0 queue remove all
	[ "$output" = '2 removed' ]
	queue_empty
	run -0 queue list
	[[ $output == *'Mail queue is empty' ]]
	run -64 queue
	run -64 queue remove
	lay bob@example.test joe@far.example
	run_at 0
	[ "$(waiting)" = 1 ]
	remote mx never close
	relay_to
	run -0 queue retry far.example
	[ "$(taken)" = 1 ]
	queue_empty
}

@test "retry of a message that no pass has seen yet sends it" {
	remote mx never close
	relay_to
	lay a@b.example joe@far.example
	id=$(lay a@b.example ann@near.example)
	queue hold far.example
	run -0 queue retry "${id##* }"
	[ "$output $(taken) $(waiting)" = '1 to be tried now 1 1' ]
	run -66 queue retry far.example
}

@test "queue_dir is a symbolic link: mail is put off, and why is in the log" {
	mv "$QUEUE" "$QUEUE.disk"
	ln -s "$QUEUE.disk" "$QUEUE"
	lay a@b.example joe@far.example
	grep -q '^451 ' "$BATS_TEST_TMPDIR/laid"
	log_has "maildir-deliver.* queue_dir = $QUEUE: it is a symbolic link; name the directory itself"
	run -71 queue list
	log_has "^smtp-queue: $QUEUE: it is a symbolic link"
	SETTINGS+=(-o "queue_dir=$QUEUE.disk")
	lay a@b.example joe@far.example
	[ "$(find "$QUEUE.disk/new" -type f | wc -l)" = 1 ]
}

@test "--now with what is no time is wrong usage" {
	for now in tomorrow '' 0 -1 1e9 123456789012; do run -64 queue --now "$now" list; done
}

@test "a file that is no entry, and an entry without its message, are put on hold, and the rest goes on" {
	remote mx never close
	relay_to
	lay a@b.example joe@far.example
	lay a@b.example joe@near.example
	lay a@b.example joe@there.example
	mapfile -t entries < <(cd "$QUEUE/new" && ls)
	echo nonsense >"$QUEUE/new/${entries[0]}"
	key=${entries[1]#*.}
	rm "$QUEUE/message/${key%.*}"
	owned
	run_at 0
	[ "$(taken) $(find "$QUEUE/hold" -type f | wc -l)" = '1 2' ]
	log_has 'is no entry of this version; it is on hold'
	log_has 'the message of .* cannot be opened: .*; it is on hold'
}

@test "two passes at once: each message once; and one does not spin while the other works" {
	remote mx never close
	relay_to
	for i in {1..20}; do lay a@b.example "joe$i@far$((i % 5)).example"; done >/dev/null
	passes=()
	for i in 1 2 3; do queue run 3>&- & passes+=($!); done
	wait "${passes[@]}"
	[ "$(taken)" = 20 ]
	queue_empty
	# one entry that another process works on
	lay a@b.example joe@far.example
	mkfifo "$BATS_TEST_TMPDIR/go"
	flock -x "$QUEUE"/new/* sh -c "echo >'$BATS_TEST_TMPDIR/held'; read -r x <'$BATS_TEST_TMPDIR/go'" 3>&- &
	holder=$!
	until_true [ -e "$BATS_TEST_TMPDIR/held" ]
	queue run
	[ "$(waiting)" = 1 ]
	echo >"$BATS_TEST_TMPDIR/go"
	wait "$holder"
	queue run
	[ "$(taken)" = 21 ]
}

@test "kill -9 of a pass at any time: nothing is lost, and no more is sent twice than was in flight" {
	remote mx never close
	relay_to
	for i in {1..30}; do lay a@b.example "joe$i@far$((i % 7)).example"; done >/dev/null
	kills=0
	while [ "$(waiting)" != 0 ] && [ "$kills" -lt 40 ]; do
		launch env SMTP_LOG=stderr "$QUEUE_PROGRAM" "${SETTINGS[@]}" "${ROUTE[@]}" -o queue_parallel=2 run
		mapfile -t all < <(family "$SERVER")
		read -rt "0.0$((RANDOM % 9 + 1))" <> <(:) || true
		mapfile -t all < <(family "$SERVER")
		kill -KILL -- "-$SERVER" "${all[@]}" 2>/dev/null || true
		wait "$SERVER" 2>/dev/null || true
		kills=$((kills + 1))
	done
	queue run
	queue_empty || [ "$(waiting)" = 0 ]
	"$PYTHON" - "$REMOTE/heard" "$kills" <<-'E'
		import re, sys
		got = re.findall(r"RCPT TO:<(joe\d+)@", open(sys.argv[1]).read())
		assert set(got) == {"joe%d" % i for i in range(1, 31)}, sorted(got)
		assert len(got) - 30 <= 2 * int(sys.argv[2]), (len(got), sys.argv[2])
	E
}

@test "the line for cron, as the manual has it: a pass as long as there is none" {
	line=$(grep -h '^\* \* \* \* \* root ' "$TESTS/../man/smtp-queue.8")
	[ "$line" = "$(grep -h '^\* \* \* \* \* root ' "$TESTS/../man/smtp-handler-setup.7")" ]
	printf '#!/bin/sh\necho "$@" >>"%s/begun"\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/smtp-queue"
	chmod 755 "$BATS_TEST_TMPDIR/smtp-queue"
	line=${line#* root } line=${line//\/usr\/local\/sbin/$BATS_TEST_TMPDIR} line=${line//\/run\//$BATS_TEST_TMPDIR/}
	exec {lock}>"$BATS_TEST_TMPDIR/smtp-queue.lock"
	flock "$lock"
	run -1 sh -c "$line"
	[ -z "$output" ]
	[ ! -e "$BATS_TEST_TMPDIR/begun" ]
	exec {lock}>&-
	run -0 sh -c "$line"
	[ "$(<"$BATS_TEST_TMPDIR/begun")" = run ]
}

@test "the log leads from what failed to its report: to whom it went, that the sender wants none, or that there is nobody" {
	remote mx MAIL '550 5.7.1 not from you'
	relay_to
	mkdir -p "$ROOT/example.test/alice"
	owned
	id_of() { local said; said=$(lay "$@"); echo "${said##* }"; }
	told() { sed -n "s/^smtp-queue.*: id=$1 \(reported\|not reported\|.*dropped\)/\1/p" "$LOG"; }
	failed=$(id_of alice@example.test joe@far.example)
	never=$(id_of alice@example.test 'joe@far.example NOTIFY=NEVER' 'ann@far.example NOTIFY=DELAY')
	some=$(id_of alice@example.test joe@far.example 'ann@far.example NOTIFY=NEVER')
	null=$(id_of '' joe@far.example)
	run_at 0
	[ "$(told "$failed")" = 'reported: to=<alice@example.test> reply="250 2.0.0 Ok"' ]
	[ "$(told "$never")" = 'not reported: to=<joe@far.example> (+1 more), for the sender does not want it (NOTIFY=)' ]
	[ "$(told "$some")" = 'reported: to=<alice@example.test> reply="250 2.0.0 Ok"
not reported: to=<ann@far.example>, for the sender does not want it (NOTIFY=)' ]
	[ "$(told "$null")" = 'reported: to=<postmaster@example.test> reply="250 2.0.0 Ok"' ]
	[ "$(box alice | wc -l)" = 2 ]
	queue_empty
}

@test "nobody is told of a delay who does not want it, takes no mail, or without a sender, and the log does not say so" {
	ROUTE=(-o relayhost=127.0.0.1:1)
	lay postmaster@example.test 'joe@far.example NOTIFY=NEVER'
	lay '' joe@far.example
	lay nobody@example.test joe@far.example
	run_at 0
	run_at 86400
	[ -z "$(box postmaster)" ]
	log_has 'report to=<nobody@example.test> is not taken'
	refute log_has 'the sender is told'
	lay postmaster@example.test joe@far.example
	run_at 86400
	[ "$(box postmaster | wc -l)" = 1 ]
	log_has 'the sender is told'
}

@test "a report that is too large for who gets it is made shorter: the header alone, then the first recipients alone; a header without an end is cut" {
	remote mx MAIL '550 5.7.1 not from you'
	relay_to
	mkdir -p "$ROOT/example.test/alice"
	owned
	SETTINGS+=(-o max_size=64K)
	rcpts=()
	for i in {1..200}; do rcpts+=("a-very-long-name-of-a-recipient-in-a-list-$i@far.example"); done
	lay alice@example.test "${rcpts[@]}"
	run_at 0
	queue_empty
	"$PYTHON" "$TESTS/show-report.py" "$(box alice)" >"$BATS_TEST_TMPDIR/report"
	grep -q '^and, without details, since a report' "$(box alice)"
	[ "$(grep -c '^  <a-very-long-name-of-a-recipient-in-a-list-[0-9]*@far.example>' "$(box alice)")" = 200 ]
	[ "$(grep -c '^Final-Recipient: rfc822; a-very-long' "$BATS_TEST_TMPDIR/report")" = 200 ]
	[ "$(grep -c '^Action: failed' "$BATS_TEST_TMPDIR/report")" = 200 ]
	[ "$(grep -c '^Remote-MTA:' "$BATS_TEST_TMPDIR/report")" = 10 ]
	log_has 'reported: to=<alice@example.test>'
	rm "$(box alice)"
	rcpts=()
	for i in {1..500}; do rcpts+=("a-very-long-name-of-a-recipient-in-a-list-$i@far.example"); done
	{ for i in {1..400}; do printf 'X-%s: %0100d\n' "$i" 0; done; printf '\nhello\n'; } >"$BATS_TEST_TMPDIR/message"
	PLAIN='' lay alice@example.test "${rcpts[@]}" <"$BATS_TEST_TMPDIR/message"
	run_at 0
	queue_empty
	"$PYTHON" "$TESTS/show-report.py" "$(box alice)" >"$BATS_TEST_TMPDIR/report"
	grep -q '^and 490 more, who are not named' "$(box alice)"
	grep -q '^That header is long; it was cut' "$(box alice)"
	[ "$(grep -c '^Action: failed' "$BATS_TEST_TMPDIR/report")" = 10 ]
	[ "$(grep -c 'too large to be taken: a shorter one' "$LOG")" = 3 ]
	[ -z "$(box postmaster)" ]
}
