#!/usr/bin/env bats
# What an address leads to, for mail (VRFY, EXPN) and for people (--where); nothing is delivered, nothing made.
load helper
load post

setup() {
	setup_mail
	others_may_pass
	mkdir "$ROOT/example.test/postmaster" "$ROOT/mx.example.test"
	mkdir -m 1700 "$ROOT/example.test/held"
	echo "carol@example.test" >"$BATS_TEST_TMPDIR/include"
	cat >"$ROOT/example.test/.aliases" <<-END
		one: alice
		chain: one
		list: alice, bob, nobody-here
		nested: list, alice
		away: someone@elsewhere.example
		aways: alice, someone@elsewhere.example
		program: "|/bin/cat"
		null: /dev/null
		loop: loop2
		loop2: loop
		broken: alice, ()(
		included: bob, :include:$BATS_TEST_TMPDIR/include
	END
	mkdir "$ROOT/example.test/carol"
}

# ask LINE...: the replies to the lines, through smtp-handler.
ask() { lines "EHLO c" "$@" QUIT | strict -o vrfy=yes | tr -d '\r' | sed -e '1d' -e '/^250[- ]mx.example.test/,/^250 HELP/d' -e '/^221 /d'; }

# asks < "WHAT REPLY" a line each.
asks() {
	local what want got
	while read -r what want; do
		got=$(ask "$VERB $what" | paste -sd'|')
		echo "$VERB $what: $got"
		[ "$got" = "$want" ] || return 1
	done
}

@test "VRFY: a mailbox, or what one address leads to; a list is 252; who is not here, 550" {
	VERB=VRFY
	asks <<-END
		alice@example.test 250 2.1.5 <alice@example.test>
		<Alice+x@Example.TEST> 250 2.1.5 <Alice+x@Example.TEST>
		one@example.test 250 2.1.5 <alice@example.test>
		list@example.test 252 2.1.5 This is a list, EXPN tells its members
		null@example.test 252 2.1.5 This is a list, EXPN tells its members
		nobody@example.test 550 5.1.1 No such mailbox here
		alice@foreign.example 551 5.7.1 That domain is not local here
		away@example.test 250 2.1.5 <someone@elsewhere.example>
		program@example.test 550 5.7.1 Leads to a program or file, which is not allowed here
		loop@example.test 554 5.4.6 Alias or forwarding loop
		broken@example.test 451 4.2.4 Trouble with an alias or forwarding, try again later
		alice 550 5.1.1 No such mailbox here
		postmaster 550 5.1.1 No such mailbox here
		a@b@c 501 5.1.3 Bad recipient syntax, expected RCPT TO:<address>
		<> 501 5.1.3 Bad recipient syntax, expected RCPT TO:<address>
	END
	mkdir "$ROOT/mx.example.test/alice" "$ROOT/mx.example.test/postmaster"
	asks <<-END
		alice 250 2.1.5 <alice@mx.example.test>
		<Postmaster> 250 2.1.5 <Postmaster@mx.example.test>
	END
	[ ! -e "$ROOT/mx.example.test/alice/new" ]
	no_trace
}

@test "EXPN: the members that mail would reach, a line each; a mailbox is no list" {
	VERB=EXPN
	asks <<-END
		list@example.test 250-2.1.5 <alice@example.test>|250 2.1.5 <bob@example.test>
		one@example.test 250 2.1.5 <alice@example.test>
		chain@example.test 250 2.1.5 <one@example.test>
		aways@example.test 250-2.1.5 <alice@example.test>|250 2.1.5 <someone@elsewhere.example>
		alice@example.test 550 5.1.1 This is a mailbox, not a list
		nobody@example.test 550 5.1.1 No such mailbox here
		null@example.test 252 2.1.5 This is a list, EXPN tells its members
		broken@example.test 451 4.2.4 Trouble with an alias or forwarding, try again later
	END
	needs_root
	[ "$(ask "VRFY included@example.test" | cut -c1-9)" = "252 2.1.5" ]
	asks <<<"included@example.test 250-2.1.5 <bob@example.test>|250 2.1.5 <carol@example.test>"
}

@test "EXPN of a list that is too long to be told is 252, and the session goes on" {
	{ printf 'long: alice'; printf ', alice+%d' {1..3000}; } >"$ROOT/example.test/.aliases"
	[ "$(ask "EXPN long@example.test" "VRFY long@example.test" "VRFY alice@example.test" | cut -c1-9 | paste -sd,)" = "252 2.1.5,252 2.1.5,250 2.1.5" ]
}

@test "vrfy = no, the default, tells nothing and starts nothing" {
	[ "$(lines "EHLO c" "VRFY alice@example.test" "VRFY nobody@example.test" "EXPN list@example.test" QUIT | strict -o deliver=/nonexistent | grep -oE '^(252|502|550) [25].[0-9].[0-9]' | paste -sd,)" = "252 2.0.0,252 2.0.0,502 5.5.1" ]
}

@test "VRFY and EXPN in the midst of a transaction leave it alone" {
	lines "EHLO c" "MAIL FROM:<>" "RCPT TO:<bob@example.test>" "VRFY alice@example.test" "EXPN list@example.test" "VRFY nobody@example.test" DATA x . QUIT |
		strict -o vrfy=yes | grep -oE '^[2-5][0-9]{2}[- ][245]\.[0-9]\.[0-9]' | paste -sd, >"$BATS_TEST_TMPDIR/out"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = "250 2.1.0,250 2.1.5,250 2.1.5,250-2.1.5,250 2.1.5,550 5.1.1,250 2.0.0,221 2.0.0" ]
	[ "$(boxes)" = bob ]
}

# where [ADDRESS...]: its output, the temporary folder as *.
where() { deliver "${OPTIONS[@]}" --where "$@" 2>>"$LOG" | sed "s|$BATS_TEST_TMPDIR|*|g"; }

@test "--where: each rule, and why not" {
	run where alice@example.test one@example.test nobody@example.test a@foreign.example bob+x@example.test held@example.test null@example.test
	diff - <(echo "$output") <<-'END'
		alice@example.test: mailbox */mail/example.test/alice
		one@example.test: alias, example.test/.aliases line 1:
		    alice@example.test: mailbox */mail/example.test/alice
		nobody@example.test: 550 5.1.1 No such mailbox here: no alias, mailbox or user of that name
		a@foreign.example: 551 5.7.1 That domain is not local here: a domain of another host
		bob+x@example.test: mailbox */mail/example.test/bob, folder x if it exists
		held@example.test: mailbox */mail/example.test/held, on hold (sticky bit)
		null@example.test: alias, example.test/.aliases line 8:
		    /dev/null: thrown away
	END
	run where nested@example.test aways@example.test program@example.test loop@example.test
	diff - <(echo "$output") <<-'END'
		nested@example.test: alias, example.test/.aliases line 4:
		    list@example.test: alias, example.test/.aliases line 3:
		        alice@example.test: was there before
		        bob@example.test: mailbox */mail/example.test/bob
		        nobody-here@example.test: 550 5.1.1 No such mailbox here: no alias, mailbox or user of that name
		    alice@example.test: mailbox */mail/example.test/alice
		aways@example.test: alias, example.test/.aliases line 6:
		    alice@example.test: mailbox */mail/example.test/alice
		    someone@elsewhere.example: 550 5.1.2 Leads to another host, and no mail is sent from here: a domain of another host
		550 5.1.2 Leads to another host, and no mail is sent from here
		program@example.test: alias, example.test/.aliases line 7:
		    /bin/cat: 550 5.7.1 Leads to a program or file, which is not allowed here: alias_programs = no
		550 5.7.1 Leads to a program or file, which is not allowed here
		loop@example.test: alias, example.test/.aliases line 9:
		    loop2@example.test: alias, example.test/.aliases line 10:
		        loop@example.test: was there before
		554 5.4.6 Alias or forwarding loop
	END
	no_trace
}

@test "--where: programs, files, included files, the tables of the host and compiled, agents, postmaster, catch-all" {
	needs_root      # for the included file
	sed -i /broken/d "$ROOT/example.test/.aliases"
	deliver --rebuild-aliases "$ROOT/example.test/.aliases"
	printf 'sys: "|/bin/cat", /tmp/file, bob\n*: alice\n' >"$BATS_TEST_TMPDIR/aliases"
	OPTIONS=(-o alias_programs=yes -o local_domains=example.test -o "aliases=$BATS_TEST_TMPDIR/aliases")
	run where sys@example.test one@example.test included@example.test postmaster@mx.example.test nobody-here@example.test
	diff - <(echo "$output") <<-'END'
		sys@example.test: alias, */aliases line 1:
		    /bin/cat: a program
		    /tmp/file: a file
		    bob@example.test: mailbox */mail/example.test/bob
		one@example.test: alias, example.test/.aliases.cdb:
		    alice@example.test: mailbox */mail/example.test/alice
		included@example.test: alias, example.test/.aliases.cdb:
		    bob@example.test: mailbox */mail/example.test/bob
		    */include: included:
		        carol@example.test: mailbox */mail/example.test/carol
		postmaster@mx.example.test: 550 5.1.1 No such mailbox here: no alias, mailbox or user of that name
		nobody-here@example.test: alias, */aliases line 2:
		    alice@example.test: mailbox */mail/example.test/alice
	END
	OPTIONS=(-o agent=/bin/true -o postmaster=bob@example.test)
	run where alice@example.test postmaster@mx.example.test
	diff - <(echo "$output") <<-'END'
		alice@example.test: by the agent, mailbox */mail/example.test/alice
		postmaster@mx.example.test: the setting postmaster:
		    bob@example.test: by the agent, mailbox */mail/example.test/bob
	END
}

@test "--where: the exit status is 0 when all can be delivered, 67 when one cannot, 75 when one cannot now, 64 without an address" {
	for row in "0 alice@example.test" "0 alice@example.test list@example.test" "67 nobody@example.test" "67 nobody@example.test alice@example.test" \
		"75 broken@example.test" "67 broken@example.test nobody@example.test" "67 away@example.test" "67 a@b@c" "64"; do
		read -r want args <<<"$row"
		# shellcheck disable=SC2086
		run deliver --where $args
		echo "$row: $status $output"
		[ "$status" = "$want" ]
	done
	run -67 deliver --where "a b@c" ""
	[ "$output" = $'a b@c: not a mailbox address\n: not a mailbox address' ]
	run -78 deliver -o nonsense=1 --where alice@example.test
}
