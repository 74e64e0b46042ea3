# Loaded by every test file.  A test has its own mailboxes, its own log, and an environment of its own; it touches nothing else.
# shellcheck shell=bash disable=SC2034
bats_require_minimum_version 1.5.0
TESTS=$(realpath "${BASH_SOURCE[0]%/*}")
BUILD=$(realpath "${BUILD:-$TESTS/../build}")
HANDLER=$BUILD/smtp-handler
DELIVER=$BUILD/maildir-deliver
FIXTURES=$TESTS/fixtures
PYTHON=$(command -v /usr/bin/python3 || command -v python3)

setup_mail() {
	ROOT=$BATS_TEST_TMPDIR/mail
	LOG=$BATS_TEST_TMPDIR/log
	mkdir -p "$ROOT/example.test/alice" "$ROOT/example.test/bob"
	SETTINGS=(-C /dev/null -o "mail_root=$ROOT" -o hostname=mx.example.test -o local_domains=none -o queue_dir=)
}
setup() { setup_mail; }

# The environment of a program under test.
clean_env() { env -i PATH="$PATH" LC_ALL=C TZ=UTC ${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} "$@"; }

# handler [OPTION...] < transcript: one session on a pipe, where LF alone is a line end; the log goes to $LOG.
handler() { clean_env timeout 120 "$HANDLER" "${SETTINGS[@]}" "$@" 2>>"$LOG"; }

# strict [OPTION...] < transcript: the same as strict as a socket.
strict() { handler -o strict=yes "$@"; }

# deliver [OPTION...]: maildir-deliver.
deliver() { clean_env timeout 120 "$DELIVER" "${SETTINGS[@]}" "$@"; }

# lines LINE...: each with CRLF.
lines() { printf '%s\r\n' "$@"; }

# over_socket whole|bytes|lines FILE [OPTION...]: one session on a socket.
over_socket() {
	local mode=$1 file=$2
	shift 2
	clean_env "$PYTHON" "$TESTS/replay.py" "$mode" "$file" "$HANDLER" "${SETTINGS[@]}" "$@" 2>>"$LOG"
}

# say LINE...: the dialogue EHLO, LINE..., QUIT over a socket; prints the replies to LINE... with LF line ends.
say() {
	lines "EHLO client.example.org" "$@" QUIT >"$BATS_TEST_TMPDIR/say"
	over_socket whole "$BATS_TEST_TMPDIR/say" "${OPTIONS[@]}" | tr -d '\r' | sed -e '1d' -e '/^250[- ]mx.example.test/,/^250 HELP/d' -e '/^221 /d'
}

# new_files MAILBOX: the messages in new/.
new_files() { find "$1/new" -type f 2>/dev/null | sort; }
count() { new_files "$1" | wc -l; }

# no_trace: nothing in any new/ and nothing in any tmp/.
no_trace() { [ -z "$(find "$ROOT" -path "$ROOT/*/*/new/*" -o -path "$ROOT/*/*/tmp/*")" ]; }
tmp_empty() { [ -z "$(find "$ROOT" -path "$ROOT/*/*/tmp/*")" ]; }

# masked: ids and dates, which differ each time, as words.
masked() {
	sed -E -e 's/[0-9a-f]{16,32}\.([0-9]+)/ID.\1/' \
		-e 's/(Sun|Mon|Tue|Wed|Thu|Fri|Sat), [0-9]+ [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} \+0000/DATE/'
}

# delivered: every message in every mailbox, in the order of arrival, as cat -A shows it.
delivered() {
	local box file
	for box in "$ROOT"/*/*/; do
		for file in $(new_files "$box"); do
			box=${box%/}
			echo "== ${box#"$ROOT"/}"
			cat -A "$file" | masked
		done
	done
}

# replay NAME MODE: run a fixture and compare; NAME.args holds more options, a line each; prints the difference.
replay() {
	local name=$1 mode=$2 args=()
	rm -rf "$ROOT"
	mkdir -p "$ROOT/example.test/alice" "$ROOT/example.test/bob" "$ROOT/example.test/postmaster" "$ROOT/other.test/carol"
	[ ! -f "$FIXTURES/$name.args" ] || mapfile -t args <"$FIXTURES/$name.args"
	over_socket "$mode" "$FIXTURES/$name.in" "${args[@]}" >"$BATS_TEST_TMPDIR/raw" || { echo "$name ($mode): status $?"; return 1; }
	cat -A "$BATS_TEST_TMPDIR/raw" | masked >"$BATS_TEST_TMPDIR/out"
	delivered >"$BATS_TEST_TMPDIR/mail.out"
	diff -u --label "$name.out" --label "$name, $mode" "$FIXTURES/$name.out" "$BATS_TEST_TMPDIR/out" || return 1
	touch "$BATS_TEST_TMPDIR/none"
	local want=$FIXTURES/$name.mail
	[ -f "$want" ] || want=$BATS_TEST_TMPDIR/none
	diff -u --label "$name.mail" --label "$name, $mode, delivered" "$want" "$BATS_TEST_TMPDIR/mail.out" || return 1
	tmp_empty || { echo "$name ($mode): something is left in tmp/"; return 1; }
}

# refute COMMAND...: it fails.  (A bare ! would not fail a test.)
refute() { ! "$@"; }

# until_true COMMAND...: wait for a condition, at most half a minute.
until_true() {
	local i
	for ((i = 0; i < 3000; i++)); do
		"$@" && return 0
		read -rt 0.01 <> <(:) || true
	done
	echo "never true: $*"
	return 1
}
