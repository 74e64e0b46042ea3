load helper
@test "loop" {
	for i in {1..200}; do
	run clean_env timeout 30 "$HANDLER" "${SETTINGS[@]}" <&- >&- 2>&-
	[ "$status" = 0 ] || { echo "$i: $status <$output>" >&3; }
	done
}
@test "loop2" {
	for i in {1..200}; do
	s=0; clean_env timeout 30 "$HANDLER" "${SETTINGS[@]}" <&- >&- 2>&- || s=$?
	[ "$s" = 0 ] || { echo "$i: $s" >&3; }
	done
}
@test "loop3" {
	for i in {1..200}; do
	s=0; clean_env timeout 30 "$HANDLER" "${SETTINGS[@]}" </dev/null >/dev/null 2>"$LOG" || s=$?
	[ "$s" = 0 ] || { echo "$i: $s" >&3; cat $LOG >&3; }
	done
}
