# Loaded behind helper.  HOSTILE=full runs the long forms.
# shellcheck shell=bash

# attack [COMMAND...] <<python: a script that has all of common.py; COMMAND, if any, runs it (to enter a namespace).
# Exit status 77 of the script skips the test; lines that it tells go to the test's output.
attack() {
	local status=0
	{ echo 'from common import *'; cat; } >"$BATS_TEST_TMPDIR/attack.py"
	clean_env HOSTILE="${HOSTILE-}" PYTHONPATH="$TESTS/hostile" PYTHONDONTWRITEBYTECODE=1 "$@" \
		"$PYTHON" "$BATS_TEST_TMPDIR/attack.py" "$HANDLER" "$DELIVER" "$LOG" "${SETTINGS[@]}" \
		>"$BATS_TEST_TMPDIR/told" || status=$?
	sed "s/^/# /" "$BATS_TEST_TMPDIR/told" >&3
	[ $status != 77 ] || skip "$(tail -n 1 "$BATS_TEST_TMPDIR/told")"
	[ $status = 0 ] || { tail -n 20 "$LOG"; return 1; }
}
