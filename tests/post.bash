# For tests of recipients: one message to some, and what became of it.
# shellcheck shell=bash disable=SC2154

# post ADDRESS...: one message from $FROM by LMTP; the replies to each RCPT, then those to the data, LF line ends.
post() {
	{
		lines "LHLO c" "MAIL FROM:<${FROM-sender@b.example}>${PARAMETERS:+ $PARAMETERS}"
		[ $# = 0 ] || printf 'RCPT TO:<%s>\r\n' "$@"
		lines DATA "Subject: x" "" "${BODY-hi}" . QUIT
	} | deliver -o strict=yes "${OPTIONS[@]}" --lmtp 2>>"$LOG" | tr -d '\r' | sed -e '1d' -e '/^250-mx/,/^250 X-ALL/d' -e '/^250 2.1.0/d' -e '/^354 /d' -e '/^221 /d'
}

# boxes: the Maildirs that have new messages, one word for each message, in order; those of example.test without the domain.
boxes() { find "$ROOT" -path '*/new/*' -type f -printf '%h\n' | sed -e "s|^$ROOT/||" -e 's|^example.test/||' -e 's|/new$||' | LC_ALL=C sort | tr '\n' ' ' | sed 's/ $//'; }

empty_boxes() { find "$ROOT" -path '*/new/*' -type f -delete; }

# reached ADDRESS: "250" and the boxes that a message for it is in, or code and status of the refusal; then all are empty.
reached() {
	post "$1" >"$BATS_TEST_TMPDIR/replies"
	local first
	first=$(head -n 1 "$BATS_TEST_TMPDIR/replies")
	if [ "${first:0:3}" = 250 ]; then echo "$(sed -n '2s/ .*//p' "$BATS_TEST_TMPDIR/replies") $(boxes)"; else echo "${first:0:9}"; fi
	empty_boxes
}

# expect < "ADDRESS RESULT..." a line each; a bare name is one of example.test.
expect() {
	local name want got
	while read -r name want; do
		[[ $name == *@* ]] || name=$name@example.test
		got=$(reached "${name//_/ }")
		echo "$name: $got, expected $want"
		[ "$got" = "$want" ] || return 1
	done
}

# others_may_pass: a user who is not us can get to what is in our temporary folder.
others_may_pass() {
	local dir=$BATS_TEST_TMPDIR
	while [[ "$dir" == "$BATS_RUN_TMPDIR"* ]]; do
		chmod o+x "$dir"
		dir=${dir%/*}
	done
}

needs_root() { [ "$(id -u)" = 0 ] || skip "needs root"; }
