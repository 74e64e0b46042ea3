#!/usr/bin/env bats
# Names beyond ASCII: each way to write one leads to the same mailbox.
# shellcheck disable=SC2034  # OPTIONS, PARAMETERS, BODY: post.bash reads them
load helper
load post

J=$'j\xc3\xb6rg' JU=$'J\xc3\x96RG' JD=$'jo\xcc\x88rg' JUD=$'JO\xcc\x88RG'        # small, capital, decomposed, both
B=$'b\xc3\xbccher.example' BU=$'B\xc3\x9cCHER.example' BD=$'bu\xcc\x88cher.example' BA=xn--bcher-kva.example

setup() {
	setup_mail
	PARAMETERS=SMTPUTF8
}

all_ways() {
	local name domain
	for name in "$J" "$JU" "$JD" "$JUD"; do
		for domain in "$B" "$BU" "$BD" "$BA" "${BA^^}"; do echo "$name@$domain $*"; done
	done
}

@test "a domain by A-labels or U-labels, in NFC or not, in any case: the same mailbox, whichever way its directory is named" {
	for dir in "$BA" "$B"; do
		mkdir -p "$ROOT/$dir/$J"
		all_ways "250 $dir/$J" | expect
		[ "$(reached "nobody@$BU")" = "550 5.1.1" ]
		rm -r "${ROOT:?}/$dir"
	done
	[ "$(reached "$J@$B")" = "551 5.7.1" ]
}

@test "two ways in one message make one copy" {
	mkdir -p "$ROOT/$BA/$J"
	post "$J@$B" "$JUD@$BA"
	[ "$(boxes)" = "$BA/$J" ]
	run grep ^Delivered-To "$(new_files "$ROOT/$BA/$J")"
	[ "$output" = "Delivered-To: $J@$B"$'\n'"Delivered-To: $JUD@$BA" ]
}

@test "an address beyond ASCII needs SMTPUTF8 on MAIL; an A-label needs nothing" {
	mkdir -p "$ROOT/$BA/$J" "$ROOT/$BA/max"
	PARAMETERS=''
	expect <<-END
		$J@$B 553 5.6.7
		max@$B 553 5.6.7
		max@$BA 250 $BA/max
	END
	lines "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<max@$BU>" "RCPT TO:<max@$BA>" RSET "MAIL FROM:<$J@$B> SMTPUTF8" "RCPT TO:<$JD@$BU>" "RCPT TO:<max@$B>" DATA x . QUIT |
		strict >"$BATS_TEST_TMPDIR/out"
	grep -oE '^(250|553) [25]\.[0-9]\.[0-9]' "$BATS_TEST_TMPDIR/out" | paste -sd, >"$BATS_TEST_TMPDIR/codes"
	[ "$(cat "$BATS_TEST_TMPDIR/codes")" = "250 2.1.0,553 5.6.7,250 2.1.5,250 2.0.0,250 2.1.0,250 2.1.5,250 2.1.5,250 2.0.0" ]
	[ "$(boxes)" = "$BA/$J $BA/max" ]
	[ "$(head -n 1 "$(new_files "$ROOT/$BA/max")")" = "Return-Path: <$J@$B>" ]
}

@test "the MDA form, --make and --where take each way as well" {
	deliver --make "$JU@$BU"
	[ -d "$ROOT/$BA/$J/new" ]
	deliver --make "$JD@$BA"
	[ "$(find "$ROOT" -mindepth 2 -maxdepth 2 -path "$ROOT/*" -not -path '*/example.test/*' | wc -l)" = 1 ]
	deliver -d "$JUD@$BD" </dev/null
	[ "$(boxes)" = "$BA/$J" ]
	deliver --where "$JUD@$B" | grep -q ': mailbox '
}

@test "aliases: names in the table in any way, .aliases in a directory of either name, local_domains too" {
	for dir in "$BA" "$B"; do
		mkdir -p "$ROOT/$dir/max"
		printf '%s\n' "$JUD: max" $'caf\xc3\xa9+\xc3\xa4: max' "liste: $J@$BU, max@$BA" >"$ROOT/$dir/.aliases"
		all_ways "250 $dir/max" | expect
		expect <<-END
			liste@$BA 250 $dir/max
			$(printf 'CAF\xc3\x89+\xc3\x84@%s' "$BA") 250 $dir/max
		END
		deliver --rebuild-aliases "$ROOT/$dir/.aliases"
		: >"$ROOT/$dir/.aliases"
		touch -d @1 "$ROOT/$dir/.aliases"
		all_ways "250 $dir/max" | expect
		rm -r "${ROOT:?}/$dir"
	done
	echo "$J: alice@example.test" >"$BATS_TEST_TMPDIR/aliases"
	for domain in "$BA" "$BU"; do
		OPTIONS=(-o "local_domains=$domain" -o "aliases=$BATS_TEST_TMPDIR/aliases")
		all_ways "250 alice" | expect
	done
}

@test "what is no name is nobody's: other letters, mappings to a slash or a dot, false A-labels" {
	mkdir -p "$ROOT/$BA/$J" "$ROOT/xn--a.example/max" "$ROOT/evil.example/max"
	expect <<-END
		$(printf 'jorg@%s' "$BA") 550 5.1.1
		$(printf 'j\xc3\xb6rg@bucher.example') 551 5.7.1
		$(printf 'max@xn--a.example') 551 5.7.1
		$(printf 'max@evil\xef\xbc\x8fx.example') 551 5.7.1
		$(printf 'max@\xe2\x91\xb4.example') 551 5.7.1
		$(printf '..\xef\xbc\x8fevil.example/max@%s' "$BA") 501 5.1.3
	END
	# what is mapped to a dot is a dot
	[ "$(reached $'max@evil\xe3\x80\x82example')" = "250 evil.example/max" ]
}

@test "VRFY takes such names with SMTPUTF8, and tells none without it" {
	mkdir -p "$ROOT/$BA/$J"
	printf '%s\n' "ascii: $J" "list: $J, ascii" >"$ROOT/$BA/.aliases"
	verify() { lines "EHLO c" "$@" QUIT | strict -o vrfy=yes | tr -d '\r' | sed -e '1d' -e '/^250[- ]mx.example.test/,/^250 HELP/d' -e '/^221 /d'; }
	[ "$(verify "VRFY $JU@$BU SMTPUTF8")" = "250 2.1.5 <$JU@$BU>" ]
	[ "$(verify "VRFY ascii@$BA SMTPUTF8")" = "250 2.1.5 <$J@$BA>" ]
	[ "$(verify "EXPN list@$BA SMTPUTF8" | head -n 1)" = "250-2.1.5 <$J@$BA>" ]
	[ "$(verify "VRFY $J@$B" | cut -c1-9)" = "553 5.6.7" ]
	[ "$(verify "VRFY ascii@$BA" | cut -c1-9)" = "252 2.6.8" ]
	[ "$(verify "EXPN list@$BA" | cut -c1-9)" = "252 2.6.8" ]
}
