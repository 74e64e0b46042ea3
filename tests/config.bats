#!/usr/bin/env bats
# The configuration, the options, and what is said about mistakes in them.
load helper

with() { printf '%s\n' "$@" >"$BATS_TEST_TMPDIR/conf"; }
show() { clean_env "$HANDLER" -C "$BATS_TEST_TMPDIR/conf" --show-config; }

@test "--version, --help" {
	for program in "$HANDLER" "$DELIVER"; do
		run clean_env "$program" --version
		[ "$status" = 0 ]
		[[ "$output" =~ ^(smtp-handler|maildir-deliver)\ [0-9] ]]
		run clean_env "$program" --help
		[ "$status" = 0 ]
		[[ "$output" == usage:* ]]
		run clean_env "$program" --no-such-option
		[ "$status" = 64 ]
	done
}

@test "--show-config: every value and where it is from" {
	with '# comment' '' 'hostname = mx.example.test' '  max_size=10M ' 'vrfy = YES'
	run clean_env "$HANDLER" -C "$BATS_TEST_TMPDIR/conf" -o max_errors=5 --show-config
	[ "$status" = 0 ]
	[[ "$output" == *$'hostname = mx.example.test\n# '"$BATS_TEST_TMPDIR/conf:3"* ]]
	[[ "$output" == *$'max_size = 10485760\n# '"$BATS_TEST_TMPDIR/conf:4"* ]]
	[[ "$output" == *$'vrfy = yes\n# '"$BATS_TEST_TMPDIR/conf:5"* ]]
	[[ "$output" == *$'max_errors = 5\n# -o'* ]]
	[[ "$output" == *$'mail_root = /var/vmail\n# default'* ]]
	[[ "$output" == *"deliver = $DELIVER"* ]]
	run clean_env "$DELIVER" -C "$BATS_TEST_TMPDIR/conf" --show-config
	[ "$status" = 0 ]
}

@test "what --show-config prints is a configuration" {
	with 'hostname = mx.example.test' 'data_timeout = 1500ms' 'postmaster = root@example.test'
	show >"$BATS_TEST_TMPDIR/one"
	cp "$BATS_TEST_TMPDIR/one" "$BATS_TEST_TMPDIR/conf"
	show >"$BATS_TEST_TMPDIR/two"
	diff <(grep -v '^#' "$BATS_TEST_TMPDIR/one") <(grep -v '^#' "$BATS_TEST_TMPDIR/two")
}

@test "the manual, the example and the program know the same settings" {
	: >"$BATS_TEST_TMPDIR/conf"
	show | sed -n 's/^\([a-z_]*\) = .*/\1/p' | sort >"$BATS_TEST_TMPDIR/program"
	sed -n 's/^\.It Sy \([a-z_]*\).*/\1/p; s/^\.It Cm \([a-z_]*\).*/\1/p' "$TESTS/../man/smtp-handler.conf.5" | sort >"$BATS_TEST_TMPDIR/man"
	sed -n 's/^#\([a-z_]*\) =.*/\1/p' "$TESTS/../units/smtp-handler.conf" | sort >"$BATS_TEST_TMPDIR/example"
	diff "$BATS_TEST_TMPDIR/program" "$BATS_TEST_TMPDIR/man"
	diff "$BATS_TEST_TMPDIR/program" "$BATS_TEST_TMPDIR/example"
	# and the example, with its comment signs taken off where they stand before a setting with a value, is valid
	sed -n 's/^#\([a-z_]* = .\)/\1/p' "$TESTS/../units/smtp-handler.conf" >"$BATS_TEST_TMPDIR/conf"
	show >/dev/null
}

@test "a bad configuration: 421 for the client, one line with file, line and reason, status 78" {
	local bad=('nonsense = 1' 'max_size = lots' 'max_size = 99999999999999999999G' 'vrfy = maybe' 'hostname = a b' 'just words' 'max_recipients = 99'
		'bare_newline = accept' 'command_timeout = 5 years' 'postmaster = root' 'log_level = 3' '= x' 'greeting = '$'\001' 'deliver = unix:' 'deliver = tcp:host' 'deliver = tcp::25')
	for line in "${bad[@]}"; do
		with '# one' "$line"
		: >"$LOG"
		status=0
		echo "EHLO c" | clean_env "$HANDLER" -C "$BATS_TEST_TMPDIR/conf" >"$BATS_TEST_TMPDIR/out" 2>"$LOG" || status=$?
		echo "$line: $status $(cat "$LOG")"
		[ "$status" = 78 ]
		[ "$(cat "$BATS_TEST_TMPDIR/out")" = $'421 4.3.5 Server is not configured properly, try again later\r' ]
		[ "$(wc -l <"$LOG")" = 1 ]
		grep -q "$BATS_TEST_TMPDIR/conf:2: " "$LOG"
	done
}

@test "a setting given twice in the file is a mistake; -o overrides" {
	with 'vrfy = yes' 'vrfy = no'
	run show
	[ "$status" = 78 ]
	[[ "$output" == *"conf:2: vrfy was set on line 1 already"* ]]
	run clean_env "$HANDLER" -C /dev/null -o vrfy=yes -o vrfy=no --show-config
	[[ "$output" == *$'vrfy = no\n# -o'* ]]
	run clean_env "$HANDLER" -C /dev/null -o vrfy --show-config
	[ "$status" = 78 ]
	[[ "$output" == *"-o: expected name = value"* ]]
}

@test "a file that cannot be read is a mistake when it was asked for" {
	run clean_env "$HANDLER" -C /nonexistent/conf --show-config
	[ "$status" = 78 ]
	[[ "$output" == *"/nonexistent/conf: No such file"* ]]
	run clean_env "$HANDLER" -C / --show-config
	[ "$status" = 78 ]
}

@test "a new value counts at the next connection; the helper has it too" {
	with "mail_root = $ROOT" 'hostname = one.example.test'
	run clean_env "$HANDLER" -C "$BATS_TEST_TMPDIR/conf" <<<QUIT
	[[ "$output" == "220 one.example.test"* ]]
	with "mail_root = $ROOT" 'hostname = two.example.test'
	printf 'EHLO c\nMAIL FROM:<>\nRCPT TO:<alice@example.test>\nDATA\nx\n.\nQUIT\n' | clean_env "$HANDLER" -C "$BATS_TEST_TMPDIR/conf" 2>"$LOG" >/dev/null
	[[ "$(new_files "$ROOT/example.test/alice")" == *.two.example.test,* ]]
}

@test "log_level" {
	handler -o log_level=error <<<$'FOO\nQUIT'
	[ ! -s "$LOG" ]
	handler -o log_level=info <<<$'FOO\nQUIT'
	grep -q 'bad command: <FOO>' "$LOG"
}
