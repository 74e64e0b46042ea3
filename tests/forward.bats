#!/usr/bin/env bats
# .forward in the home of a user of the host.
# shellcheck disable=SC1003,SC2001,SC2016,SC2028,SC2034,SC2086
load helper
load users

# One message for a user, whose reply it prints; for a refused recipient that of RCPT.
to() { mail "<${1-alice}@localhost>" | grep -vE '^(354|503|500) ' | grep -v '^250 2.1' ; }
# All the while the user's own mailbox gets nothing, and the reply is that.
put_off() {
	run to
	echo "$output"
	[[ "$output" == "${1-451 4.2.0}"* ]]
	[ "$(held alice bob)" = $'alice 0\nbob 0' ]
}

@test "addresses: each on a line, or with commas; comments; the user himself gets nothing then" {
	printf '# to my friends\nbob\n\ncarol@mx.example.test, virtual@example.test\n' | forward alice
	[[ "$(to)" == "250 "* ]]
	[ "$(held alice bob carol)" = $'alice 0\nbob 1\ncarol 1' ]
	[ "$(count "$ROOT/example.test/virtual")" = 1 ]
	[ "$(stat -c %u "$(box bob)"/new/*)" = "$(uid bob)" ]
	grep -qx 'Delivered-To: alice@localhost' "$(box bob)"/new/*
	[ ! -e "$(box alice)" ]
}

@test "his own name keeps a copy, with a backslash or without, as the only one or among others" {
	for text in 'alice' '\alice' 'bob, alice' '\alice, bob' 'alice@localhost' 'ALICE@mx.example.test'; do
		echo "$text" | forward alice
		run to
		echo "$text: $output"
		[[ "$output" == "250 "* ]]
	done
	[ "$(held alice bob)" = $'alice 6\nbob 2' ]
}

@test "a backslash before another's name passes his .forward by" {
	echo carol | forward bob
	echo '\bob' | forward alice
	to
	[ "$(held bob carol)" = $'bob 1\ncarol 0' ]
}

@test "one of another host is 550 5.1.2, whoever else is named" {
	echo 'bob, someone@elsewhere.example' | forward alice
	put_off "550 5.1.2"
	[ "$(grep -c "leads to another host" "$LOG")" = 1 ]
}

@test "two users who forward to each other: no loop without end, no mail lost silently; with a copy kept, one for each" {
	echo bob | forward alice
	echo alice | forward bob
	put_off "554 5.4.6"
	echo '\alice, bob' | forward alice
	echo '\bob, alice' | forward bob
	to
	to bob
	[ "$(held alice bob)" = $'alice 2\nbob 2' ]
}

@test "programs, files and :include: are refused for now, and the log says so; /dev/null is a place" {
	for text in '|/bin/sh -c "touch /mnt/home/alice/ran"' '"|/bin/touch /mnt/home/alice/ran"' '/mnt/home/alice/mbox' '"/mnt/home/alice/mbox"' \
		':include:/etc/passwd' ':include:/mnt/home/bob/secret' 'bob, |/bin/false'; do
		: >"$LOG"
		echo "$text" | forward alice
		put_off "451 4.2"
		grep -q 'forward' "$LOG"
	done
	[ ! -e "$HOST/home/alice/ran" ] && [ ! -e "$HOST/home/alice/mbox" ]
	OPTIONS=(-o alias_programs=yes)
	echo '|/bin/touch /mnt/home/alice/ran' | forward alice
	put_off "451 4.2"
	[ ! -e "$HOST/home/alice/ran" ]
	echo '/dev/null' | forward alice
	run to
	[[ "$output" == "250 "* ]]
	[ "$(held alice)" = "alice 0" ]
}

@test "empty, blank, or of comments only: no forward" {
	for text in '' '\n' ' \t\n\n' '# away\n#bob\n' '#'; do
		# shellcheck disable=SC2059
		printf "$text" | forward alice
		to
	done
	[ "$(held alice)" = "alice 5" ]
}

@test "one that somebody else could have written is not followed: owner, group, others" {
	echo bob | forward alice
	for change in "chown $(uid bob)" "chmod 620" "chmod 602" "chmod 666"; do
		chown "$(uid alice):$(uid alice)" "$HOST/home/alice/.forward"
		chmod 644 "$HOST/home/alice/.forward"
		$change "$HOST/home/alice/.forward"
		put_off
	done
	[ "$(grep -c "user alice: /mnt/home/alice: .forward: " "$LOG")" = 4 ]
}

@test "root's is followed; one that the user cannot read puts off" {
	echo bob >"$HOST/home/alice/.forward"
	chmod 600 "$HOST/home/alice/.forward"
	put_off
	chmod 644 "$HOST/home/alice/.forward"
	to
	[ "$(held alice bob)" = $'alice 0\nbob 1' ]
}

@test "a link, a FIFO, a directory, a socket, a device: put off, and at once" {
	local i=0
	for make in "ln -s other" "ln -s /etc/shadow" "ln -s /dev/zero" mkfifo mkdir; do
		rm -rf "$HOST/home/alice/.forward"
		as alice sh -c 'echo bob >other; umask 022; exec "$@" .forward' sh $make
		put_off
		i=$((i + 1))
		[ "$(grep -c "user alice: /mnt/home/alice: .forward: " "$LOG")" = $i ]
	done
	rm -r "$HOST/home/alice/.forward"
	mknod -m 644 "$HOST/home/alice/.forward" c 1 5
	put_off
}

@test "10 GB, NUL, more than 64 KiB, lines without end: put off, and at once" {
	as alice sh -c 'echo bob >.forward; truncate -s 10G .forward'
	put_off
	as alice truncate -s 0 .forward
	printf 'bob\0\n' | forward alice
	put_off "451 4.2"
	grep -q "alice@localhost: .forward: it holds a NUL" "$LOG"
	yes bob | head -c 65537 | forward alice
	put_off
	head -c 60000 /dev/zero | tr '\0' x | forward alice
	put_off "451 4.2"
	yes bob | head -c 60000 | forward alice
	run to
	[[ "$output" == [24]5[01]" "* ]]
	[ "$(count "$(box bob)")" -le 1 ]
}

@test "what is not UTF-8, and what is no address, puts off; UTF-8 is a name" {
	for text in '\377\376@localhost' 'bob@local\200host' 'a b c' '@' 'bob@' '<bob' '"bob' '\\' '%%s%%n'; do
		# shellcheck disable=SC2059
		printf "$text\n" | forward alice
		run to
		echo "$text: $output"
		[[ "$output" == "451 4.2"* || "$output" == "550 5.1.1"* ]]
		[ "$(held alice bob)" = $'alice 0\nbob 0' ]
	done
	LC_ALL=C refute grep -q '[^ -~	]' "$LOG"
}

@test "a chain of forwards has an end" {
	for n in {1..40}; do
		user "u$n" "$((FIRST + 5000 + n))"
		echo "u$((n + 1))" | forward "u$n"
	done
	run to u1
	[[ "$output" == "451 4.2.4 "* ]]
	echo bob | forward u5
	run to u1
	[ "$(held bob)" = "bob 1" ]
	[ -z "$(find "$HOST/home" -path '*/u*/Maildir/new/*')" ]
}

@test "the MDA form follows it too, as the user alone" {
	printf 'bob\n' | forward alice
	run deliver -d alice@localhost <<<$'Subject: x\n\nhi'
	[ "$status" = 0 ]
	[ "$(held alice bob)" = $'alice 0\nbob 1' ]
}
