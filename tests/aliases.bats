#!/usr/bin/env bats
# Alias tables: what leads where, in which order, and what becomes of trouble.  (Programs and files: programs.bats.)
load helper
load post

setup() {
	setup_mail
	T=$ROOT/example.test/.aliases
	mkdir "$ROOT/example.test/carol"
}

table() { cat >"$T"; }

# logged TEXT: it is in the log.
logged() { grep -qF -- "$1" "$LOG" || { tail -n 5 "$LOG"; return 1; }; }

FORMS='# a comment, and an empty line

one: alice
two:alice,bob
three :	alice ,
	bob,
# a comment between

    carol
UPPER: Alice
"quoted name": alice
"odd:name,": bob
comment: alice (the first), Bob B. <bob@example.test>
angles: <alice@example.test>
literal: \alice
trailing: alice,, bob,
chain: two
bare: other-domain@example.test
other-domain: bob
one: carol
last: bob'

@test "the forms of a table: comments, continuation, quoted names, lists, angles; of the domain, and of the host" {
	for where in own system; do
		T=$BATS_TEST_TMPDIR/aliases OPTIONS=(-o local_domains=example.test -o "aliases=$BATS_TEST_TMPDIR/aliases")
		[ "$where" = system ] || T=$ROOT/example.test/.aliases OPTIONS=()
		table <<<"$FORMS"
		expect <<-END
			one 250 alice
			ONE 250 alice
			two 250 alice bob
			three 250 alice bob carol
			upper 250 alice
			"quoted_name" 250 alice
			"odd:name," 250 bob
			comment 250 alice bob
			angles 250 alice
			literal 250 alice
			trailing 250 alice bob
			chain 250 alice bob
			bare 250 bob
			last 250 bob
			alice 250 alice
			none-of-these 550 5.1.1
		END
		rm "$T"
	done
}

@test "the table of the host is for local_domains only, and comes before that of the domain" {
	mkdir -p "$ROOT/other.test/alice"
	OPTIONS=(-o local_domains=example.test -o "aliases=$BATS_TEST_TMPDIR/aliases")
	echo "list: alice" >"$BATS_TEST_TMPDIR/aliases"
	printf 'list: bob\nown: bob\n' | table
	expect <<-END
		list 250 alice
		own 250 bob
		list@other.test 550 5.1.1
	END
	OPTIONS+=(-o local_domains=other.test)
	expect <<-END
		list 250 bob
		list@other.test 250 other.test/alice
	END
}

@test "a table of the host that was named and is not there: temporary, with a line in the log" {
	OPTIONS=(-o local_domains=example.test -o "aliases=$BATS_TEST_TMPDIR/none")
	expect <<<"alice 451 4.2.4"
	logged "$BATS_TEST_TMPDIR/none: No such file"
}

@test "an alias before the mailbox, itself is the mailbox, the catch-all last, a detail of its own first" {
	table <<-END
		alice: alice, bob
		bob: carol
		carol: \carol, \bob
		list: alice
		list+x: carol
		list+Deep: bob
		postmaster: list
		*: carol
	END
	expect <<-END
		alice 250 alice bob carol
		bob 250 bob carol
		carol 250 bob carol
		list 250 alice bob carol
		list+x 250 bob carol
		LIST+X 250 bob carol
		list+deep 250 bob carol
		list+other 250 alice bob carol
		postmaster 250 alice bob carol
		anybody 250 bob carol
		any+detail 250 bob carol
	END
	printf '*: *, bob\n' | table
	expect <<<"anybody 250 bob"
}

@test "each mailbox once, however many ways lead to it, with the address and what it led to on top" {
	ln -s alice "$ROOT/example.test/link"
	ln -s example.test "$ROOT/alias.test"
	table <<-END
		list: alice, ALICE, Alice@Example.TEST, link, alice@alias.test, inner, inner, bob
		inner: alice, list, bob
	END
	expect <<<"list 250 alice bob"
	post list@example.test alice@example.test inner@example.test
	[ "$(boxes)" = "alice bob" ]
	run grep -h ^Delivered-To "$(new_files "$ROOT/example.test/bob")"
	[ "$output" = $'Delivered-To: list@example.test\nDelivered-To: bob@example.test\nDelivered-To: inner@example.test' ]
}

@test "a loop is 554 5.4.6; one beside other members does no harm" {
	table <<-END
		self: self
		a: b
		b: c
		c: a
		some: a, alice
		back: forth
		forth: back, bob
	END
	expect <<-END
		self 550 5.1.1
		a 554 5.4.6
		c 554 5.4.6
		some 250 alice
		back 250 bob
		forth 250 bob
	END
}

@test "twenty levels, ten thousand addresses: more is a temporary failure, with a line in the log" {
	{
		for i in {1..20}; do echo "d$i: d$((i + 1))"; done
		echo "d21: alice"
		printf 'many: alice'
		printf ', alice+%d' {1..9997}
		printf '\nmore: many, bob, carol, bob+1\n'
	} | table
	expect <<-END
		d2 250 alice
		d1 451 4.2.4
		many 250 alice
		more 451 4.2.4
	END
	logged "d21@example.test: "
	logged "many@example.test: "
	logged "too many or too deep"
}

@test "owner-LIST is the sender of a list's mail; the null sender stays" {
	table <<-END
		list: alice, inner
		owner-list: carol
		inner: bob
		owner-inner: carol
		plain: list
		sub: carol
		none: carol
	END
	sender() { sed -n '1s/^Return-Path: //p' "$(new_files "$ROOT/example.test/$1")"; }
	post plain@example.test none@example.test
	[ "$(sender alice) $(sender bob) $(sender carol)" = "<owner-list@example.test> <owner-inner@example.test> <sender@b.example>" ]
	empty_boxes
	FROM='' post list@example.test
	[ "$(sender alice) $(sender bob)" = "<> <>" ]
	empty_boxes
	post owner-list@example.test
	[ "$(sender carol)" = "<sender@b.example>" ]
}

@test "a member of another host: 550 5.1.2, with a line in the log; whoever nobody knows is left out, with another" {
	table <<-END
		away: alice, someone@elsewhere.example
		part: alice, nobody-here, bob
		nobody: nobody-here
	END
	expect <<-END
		away 550 5.1.2
		part 250 alice bob
		nobody 550 5.1.1
	END
	logged "away@example.test leads to another host, and there is no queue"
	logged "nobody-here@example.test: a member that is left out"
}

@test "programs and files are refused, with a line in the log; /dev/null is taken" {
	table <<-END
		program: "|/bin/cat"
		file: /tmp/some-file
		part: alice, |/bin/cat
		null: /dev/null
		both: /dev/null, alice
	END
	expect <<-END
		program 550 5.7.1
		file 550 5.7.1
		part 250 alice
		both 250 alice
	END
	logged "alias_programs = no"
	[ "$(post null@example.test | cut -c1-9)" = $'250 2.1.5\n250 2.0.0' ]
	[ -z "$(boxes)" ]
}

@test "a broken member puts the whole list off, with a line in the log" {
	i=0
	for member in 'a b' '"open' '<alice' 'a@b@c' '|' ':include:' ':include:relative' ':fail:' '"|/bin/cat" x' '\' "$(printf 'x%.0s' {1..300})" '()' 'alice (comment'; do
		printf 'list: alice, %s\n' "$member" | table
		got=$(reached list@example.test)
		echo "$member: $got"
		[ "$got" = "451 4.2.4" ] || [ "$member $got" = "() 250 alice" ]
		i=$((i + 1))
	done
	[ "$(grep -c 'list@example.test\|cannot be read\|no address' "$LOG")" -ge $((i - 1)) ]
}

@test "broken lines are passed over; what they say nothing of stays" {
	printf 'no colon\n  \talice\n\xff\xfe: alice\nbad: \xff\xfe\nnul: a\0b\ncontrol: a\x01\n: alice\n"open: alice\nempty:\ngood: bob\nlong: bob%s\nlast: alice\n' \
		"$(printf ', bob%.0s' {1..200000})" >"$T"
	expect <<-END
		bad 550 5.1.1
		nul 550 5.1.1
		control 550 5.1.1
		empty 550 5.1.1
		good 250 bob
		last 250 alice
		alice 250 alice
	END
}

@test "a value that is longer than a mebibyte is a temporary failure, for its name only" {
	{
		printf 'long: '
		head -c 1100000 /dev/zero | tr '\0' ,
		printf 'bob\nname%s: alice\nlast: alice\n' "$(printf 'x%.0s' {1..300})"
	} | table
	expect <<-END
		long 451 4.2.4
		last 250 alice
	END
}

@test "random octets are no table, and no harm" {
	for seed in 1 2 3; do
		"$PYTHON" -c "import random, sys; sys.stdout.buffer.write(random.Random($seed).randbytes(100000))" >"$T"
		expect <<-END
			alice 250 alice
			list 550 5.1.1
		END
	done
}

@test "a table that others can write to, or that is no file or cannot be reached: temporary, with a line in the log" {
	OPTIONS=(-o local_domains=example.test -o "aliases=$BATS_TEST_TMPDIR/aliases")
	mkdir -p "$ROOT/other.test/alice"
	for what in others group fifo directory; do
		for T in "$ROOT/example.test/.aliases" "$BATS_TEST_TMPDIR/aliases"; do
			rm -rf "$BATS_TEST_TMPDIR/aliases"
			[ "$T" = "$BATS_TEST_TMPDIR/aliases" ] || : >"$BATS_TEST_TMPDIR/aliases"
			case $what in
			others | group) echo "list: alice" | table && chmod "${what:0:1}+w" "$T" ;;
			fifo) mkfifo "$T" ;;
			directory) mkdir "$T" ;;
			esac
			expect <<-END
				list 451 4.2.4
				alice 451 4.2.4
				alice@other.test 250 other.test/alice
			END
			logged "$T: " || logged "example.test/.aliases: "
			rm -r "$T" "$LOG"
		done
	done
	T=$ROOT/example.test/.aliases
	for to in "$BATS_TEST_TMPDIR/aliases" ../../aliases .aliases; do
		echo "list: alice" >"$BATS_TEST_TMPDIR/aliases"
		ln -sf "$to" "$T"
		OPTIONS=()
		expect <<<"alice 451 4.2.4"
		logged "example.test/.aliases: "
		rm "$LOG"
	done
	echo "list: alice" >"$ROOT/other.test/.aliases"
	ln -sf ../other.test/.aliases "$T"
	expect <<<"list 250 alice"
}

# --- all or nothing ---

@test "trouble with one member puts the recipient off, and takes nothing from who was there before" {
	mkdir -m 1700 "$ROOT/example.test/held"
	table <<-END
		first: held, alice, bob
		last: alice, bob, held
		deep: alice, last
		broken: alice, bob, ()(
	END
	for list in first last deep broken; do
		code=450
		[ $list != broken ] || code=451
		[ "$(post alice@example.test $list@example.test | cut -c1-3 | tr '\n' ' ')" = "250 $code 250 " ]
		[ "$(boxes)" = alice ]
		[ "$(grep -c ^Delivered-To "$(new_files "$ROOT/example.test/alice")")" = 1 ]
		empty_boxes
		[ "$(post $list@example.test bob@example.test | cut -c1-3 | tr '\n' ' ')" = "$code 250 250 " ]
		[ "$(boxes)" = bob ]
		empty_boxes
	done
	tmp_empty
}

@test "a member whose mailbox fails at the end: nobody has the message" {
	needs_root
	table <<<"list: alice, bob, carol"
	(ulimit -f 1 && BODY=$(printf 'x%.0s' {1..5000}) post list@example.test carol@example.test) >"$BATS_TEST_TMPDIR/replies"
	[ "$(cut -c1-3 "$BATS_TEST_TMPDIR/replies" | tr '\n' ' ')" = "250 250 452 452 " ]
	[ -z "$(boxes)" ]
	tmp_empty
}

@test "a list of a thousand members, by one RCPT: all of them, or none" {
	[ "$(ulimit -Hn)" -ge 4200 ] || skip "needs 4200 descriptors"
	mapfile -t names < <(seq -f u%g 1000)
	(cd "$ROOT/example.test" && mkdir "${names[@]}")
	{ printf 'list: alice'; printf ', %s' "${names[@]}"; } | table
	(ulimit -Sn 256 && post list@example.test bob@example.test) >"$BATS_TEST_TMPDIR/replies"
	[ "$(cut -c1-3 "$BATS_TEST_TMPDIR/replies" | tr '\n' ' ')" = "250 250 250 250 " ]
	[ "$(boxes | wc -w)" = 1002 ]
	empty_boxes
	chmod +t "$ROOT/example.test/u777"
	expect <<<"list 450 4.2.1"
	chmod -t "$ROOT/example.test/u777"
	rm -r "$ROOT/example.test/u777/tmp"
	touch "$ROOT/example.test/u777/tmp"
	expect <<<"list 451 4.2.0"
	no_trace || [ "$(find "$ROOT" -path "*/tmp/*")" = "" ]
	rm "$ROOT/example.test/u777/tmp"
	expect <<<"list 250 alice $(printf '%s\n' "${names[@]}" | LC_ALL=C sort | tr '\n' ' ' | sed 's/ $//')"
}

# --- :include: ---

include_setup() {
	needs_root
	others_may_pass
	L=$BATS_TEST_TMPDIR/list
	table <<<"list: :include:$L"
}

@test "an included file: one address a line, or several, with comments and lists inside" {
	include_setup
	printf '# members\nalice\n  bob (b), <carol@example.test>\r\n# :include:/nonexistent\n' >"$L"
	expect <<<"list 250 alice bob carol"
	printf ':include:%s.2\nbob\n' "$L" >"$L"
	printf 'alice, :include:%s\n' "$L" >"$L.2"
	expect <<<"list 250 alice bob"
	printf ':include:%s\n' "$L" >"$L"
	expect <<<"list 554 5.4.6"
	for i in {1..25}; do printf ':include:%s.%d\n' "$L" $((i + 1)) >"$L.$i"; done
	printf ':include:%s.1\n' "$L" >"$L"
	expect <<<"list 451 4.2.4"
}

@test "an included file is read as alias_user, or as the owner of the table" {
	include_setup
	echo alice >"$L"
	chmod 600 "$L"
	expect <<<"list 451 4.2.4"
	logged "include: Permission denied"
	chown nobody "$L"
	expect <<<"list 250 alice"
	chown 1234:1235 "$T" "$L"
	expect <<<"list 250 alice"
	chown 4321 "$L"
	expect <<<"list 451 4.2.4"
	chown 0:0 "$T"
	table <<<"list: :include:/etc/shadow"
	expect <<<"list 451 4.2.4"
	OPTIONS=(-o alias_user=root)
	expect <<<"list 451 4.2.4"
	OPTIONS=(-o alias_user=no-such-user)
	expect <<<"list 451 4.2.4"
}

@test "an included file that is none, or too much, is a temporary failure and holds nothing up" {
	include_setup
	for what in "mkfifo $L" "mkdir $L" "ln -s /dev/zero $L" "ln -s list $L" "ln -s /nonexistent $L" "truncate -s 10G $L" "truncate -s 1048577 $L" "truncate -s 100 $L"; do
		$what
		got=$(reached list@example.test)
		echo "$what: $got"
		[ "$got" = "451 4.2.4" ]
		logged "$L: include: "
		rm -r "$L" "$LOG"
	done
	echo alice >"$L.real"
	ln -s list.real "$L"    # as alias_user there is nothing to be gained by a link
	expect <<<"list 250 alice"
	: >"$L.real"
	expect <<<"list 451 4.2.4"
	{ yes '#' | head -c 1048570; echo; echo bob; } >"$L.real"
	[ "$(stat -c %s "$L.real")" = 1048575 ]
	expect <<<"list 250 bob"
}

@test "without root, LMTP reads no included files, the MDA form reads one's own" {
	[ "$(id -u)" != 0 ] || skip "not as root"
	printf 'list: :include:%s\n' "$BATS_TEST_TMPDIR/list" | table
	echo alice >"$BATS_TEST_TMPDIR/list"
	expect <<<"list 451 4.2.4"
	deliver -d list@example.test <<<""
	[ "$(boxes)" = alice ]
}

# --- the compiled table ---

@test "--rebuild-aliases: the compiled table is used when it is not older than the text" {
	printf 'list: alice\nquoted: "alice", bob\n' | table
	deliver --rebuild-aliases "$T"
	[ ! "$T.cdb" -nt "$T" ] && [ ! "$T.cdb" -ot "$T" ]
	touch -r "$T" "$BATS_TEST_TMPDIR/time"
	echo "list: bob" | table
	expect <<<"list 250 bob"
	touch -r "$BATS_TEST_TMPDIR/time" "$T"
	expect <<-END
		list 250 alice
		quoted 250 alice bob
		LIST 250 alice
		unknown 550 5.1.1
	END
	rm "$T"
	expect <<<"list 550 5.1.1"      # a domain's counts beside its text only; the host's alone, too
	mv "$T.cdb" "$BATS_TEST_TMPDIR/host.cdb"
	OPTIONS=(-o "local_domains=example.test" -o "aliases=$BATS_TEST_TMPDIR/host")
	expect <<<"list 250 alice"
}

@test "--rebuild-aliases: what is wrong is told, and then nothing is replaced" {
	echo "list: alice" | table
	echo "other: bob" >"$T.2"
	deliver --rebuild-aliases "$T" "$T.2"
	[ -s "$T.2.cdb" ]
	printf 'list: bob\nbroken\nlist2: bob, <x\n' | table
	run -65 deliver --rebuild-aliases "$T"
	[ "$output" = "$T:2: no colon"$'\n'"$T:3: cannot be read: \\x3cx" ]
	run -66 deliver --rebuild-aliases "$T.none"
	run -77 deliver --rebuild-aliases "$(chmod o+w "$T" && echo "$T")"
	chmod o-w "$T"
	touch -d @1 "$T"
	expect <<<"list 250 alice"
	[ "$(find "$ROOT/example.test" -name '*.tmp')" = "" ]
}

@test "newaliases is the same for the table of the setting" {
	local program=$BATS_TEST_TMPDIR/newaliases
	ln -s "$DELIVER" "$program"
	echo "list: alice" | table
	clean_env "$program" -C /dev/null -o "aliases=$T"
	[ -s "$T.cdb" ]
	rm "$T.cdb"
	echo "aliases = $T" >"$BATS_TEST_TMPDIR/conf"
	(cd "$BATS_TEST_TMPDIR" && PATH=.:$PATH clean_env newaliases -C conf)
	[ -s "$T.cdb" ]
	clean_env "$program" -C /dev/null "$T"
	run -64 clean_env "$program" -C /dev/null -d alice@example.test
	run -78 clean_env "$program" -C /dev/null -o nonsense=1
	run -66 clean_env "$program" -C /dev/null -o "aliases=$T.none"
}

@test "a compiled table that is cut or nonsense is a temporary failure, for who needs it" {
	printf 'list: alice\nother: bob\n' | table
	deliver --rebuild-aliases "$T"
	mv "$T.cdb" "$T.good"
	echo 'list: bob' >"$T"
	touch -d @1 "$T"
	size=$(stat -c %s "$T.good")
	for n in 0 1 7 8 2047 2048 2049 $((size - 20)) $((size - 1)) "$size"; do
		head -c "$n" "$T.good" >"$T.cdb"
		got=$(reached list@example.test)
		echo "$n of $size: $got"
		[ "$got" = "451 4.2.4" ] || [ "$n $got" = "$size 250 alice" ] || { [ "$n" -ge 2049 ] && [ "$got" = "250 alice" ]; }
	done
	for seed in {1..20}; do
		"$PYTHON" -c "import random, sys; sys.stdout.buffer.write(random.Random($seed).randbytes(5000))" >"$T.cdb"
		expect <<<"list 451 4.2.4"
	done
	logged "this is no alias table"
	mkdir -p "$ROOT/other.test/alice"
	expect <<<"alice@other.test 250 other.test/alice"
}
