#!/usr/bin/env bats
# The dialogue by transcripts: fixtures/NAME.in is sent over a socket, NAME.out is what must come back and NAME.mail what must be stored.
# Each is replayed whole, one octet at a time, and cut at every CRLF, and the result may not differ.
load helper

# group PREFIX MODE: replay every fixture of that name; all of them, even when one fails.
group() {
	local file name failed=0 n=0
	for file in "$FIXTURES/$1"*.in; do
		name=${file##*/}
		replay "${name%.in}" "$2" || failed=1
		n=$((n + 1))
	done
	[ "$n" -gt 0 ] && [ "$failed" = 0 ]
}

@test "hello: whole" { group hello- whole; }
@test "hello: octet by octet" { group hello- bytes; }
@test "hello: line by line" { group hello- lines; }

@test "order of commands, unknown verbs: whole" { group order- whole; }
@test "order of commands, unknown verbs: octet by octet" { group order- bytes; }
@test "order of commands, unknown verbs: line by line" { group order- lines; }

@test "MAIL, its paths and parameters: whole" { group mail- whole; }
@test "MAIL, its paths and parameters: octet by octet" { group mail- bytes; }
@test "MAIL, its paths and parameters: line by line" { group mail- lines; }

@test "RCPT: whole" { group rcpt- whole; }
@test "RCPT: octet by octet" { group rcpt- bytes; }
@test "RCPT: line by line" { group rcpt- lines; }

@test "DATA: whole" { group data- whole; }
@test "DATA: octet by octet" { group data- bytes; }
@test "DATA: line by line" { group data- lines; }

@test "BDAT: whole" { group bdat- whole; }
@test "BDAT: octet by octet" { group bdat- bytes; }
@test "BDAT: line by line" { group bdat- lines; }

@test "P6, nothing remains of a transaction: whole" { group reset- whole; }
@test "P6, nothing remains of a transaction: octet by octet" { group reset- bytes; }
@test "P6, nothing remains of a transaction: line by line" { group reset- lines; }

@test "limits and errors: whole" { group limit- whole; }
@test "limits and errors: octet by octet" { group limit- bytes; }
@test "limits and errors: line by line" { group limit- lines; }

@test "SMTPUTF8: whole" { group utf8- whole; }
@test "SMTPUTF8: octet by octet" { group utf8- bytes; }
@test "SMTPUTF8: line by line" { group utf8- lines; }

@test "trace headers and loops: whole" { group trace- whole; }
@test "trace headers and loops: octet by octet" { group trace- bytes; }
@test "trace headers and loops: line by line" { group trace- lines; }

@test "bare_newline = normalize: whole" { group newline- whole; }
@test "bare_newline = normalize: octet by octet" { group newline- bytes; }
@test "bare_newline = normalize: line by line" { group newline- lines; }

@test "pipelined groups: whole" { group pipeline- whole; }
@test "pipelined groups: octet by octet" { group pipeline- bytes; }
@test "pipelined groups: line by line" { group pipeline- lines; }

@test "incidents of other servers, CVEs: whole" { group cve- whole; }
@test "incidents of other servers, CVEs: octet by octet" { group cve- bytes; }
@test "incidents of other servers, CVEs: line by line" { group cve- lines; }

@test "incidents of other servers without a CVE: whole" { group incident- whole; }
@test "incidents of other servers without a CVE: octet by octet" { group incident- bytes; }
@test "incidents of other servers without a CVE: line by line" { group incident- lines; }

@test "one message, the example of the documentation" {
	replay one-message whole && replay one-message bytes && replay one-message lines
}

@test "no fixture is left out: each belongs to a group above and has its replies" {
	local file name
	for file in "$FIXTURES"/*.in; do
		name=${file##*/} name=${name%.in}
		[ -f "$FIXTURES/$name.out" ] || { echo "$name.out is missing"; return 1; }
		[ "$name" = one-message ] || grep -q "group ${name%%-*}- bytes" "$BATS_TEST_FILENAME" || { echo "$name is in no group"; return 1; }
	done
}

@test "fixtures have true CRLF where they mean it: every one is cut into several pieces" {
	local file
	for file in "$FIXTURES"/*.in; do
		[ ! -s "$file" ] || grep -q $'\r$' "$file" || { echo "$file has no CRLF"; return 1; }
	done
}

# The form of replies, over all fixtures: RFC 5321 4.2, RFC 2034 3 and 4.
@test "every line of every reply has the form of RFC 5321 4.2 and at most 512 octets" {
	run -1 grep -hEv '^[2-5][0-5][0-9][ -].*\^M\$$' "$FIXTURES"/*.out
	run -1 grep -hE '^.{513}' "$FIXTURES"/*.out
	run -1 grep -hE '\^M.*\^M' "$FIXTURES"/*.out
}

@test "the lines of one reply have one code, with a hyphen on all but the last" {
	cat "$FIXTURES"/*.out | awk '
		{ code = substr($0, 1, 3) }
		more && code != last { print "code changes: " $0; bad = 1 }
		{ more = substr($0, 4, 1) == "-"; last = code }
		END { exit bad || more }'
}

@test "every reply but greeting, hello and 354 has an enhanced code, of the class of the reply" {
	local without='^(220 |354 |250[ -](mx\.)?[Ee]xample\.[Tt]est|250[ -](SIZE [0-9]+|PIPELINING|8BITMIME|SMTPUTF8|ENHANCEDSTATUSCODES|CHUNKING|LIMITS RCPTMAX=[0-9]+|HELP)\^M)'
	cat "$FIXTURES"/*.out | grep -Ev "$without" | sort -u >"$BATS_TEST_TMPDIR/replies"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/replies")" -gt 30 ]
	run -1 grep -Ev '^([245])[0-9]{2}[ -]\1\.[0-9]{1,3}\.[0-9]{1,3} ' "$BATS_TEST_TMPDIR/replies"
}

@test "the comparison can fail: a wrong reply" {
	run -1 replay wrong/reply whole
	[[ $output == *'-250 2.1.5 Recipient ok'* && $output == *'+550 5.1.1'* ]]
}

@test "the comparison can fail: a wrong message" {
	run -1 replay wrong/mail whole
	[[ $output == *$'\n-ho$\n+hi$'* ]]
}

@test "the comparison can fail: a message that should not be there" {
	run -1 replay wrong/nothing-stored whole
	[[ $output == *'+== example.test/alice'* ]]
}

@test "the comparison can fail: the group says so" {
	run -1 group wrong/ whole
}
