#!/usr/bin/env bats
# What the default unit's settings cost: systemd puts them on anew for each connection.
load helper

median() { sort -n | sed -n "$((($1 + 1) / 2))p"; }

# faster: the rates of the default unit are at least 80 % of the bare unit's.
faster() {
	local n bare default
	n=$(wc -l <"$BATS_TEST_TMPDIR/bare")
	[ "$n" -ge 5 ] || return 1
	bare=$(median "$n" <"$BATS_TEST_TMPDIR/bare")
	default=$(median "$n" <"$BATS_TEST_TMPDIR/default")
	FOUND="$default by default, $bare with User= alone: $(awk "BEGIN { printf \"%.2f\", $default / $bare }")"
	awk "BEGIN { exit !($default >= 0.8 * $bare) }"
}

@test "the default unit serves at least 80 % of the connections a second of a unit with nothing but User=" {
	local i FOUND
	printf '%s\n' '[Socket]' ListenStream=26 Accept=yes Backlog=1024 NoDelay=yes MaxConnections=200 TriggerLimitIntervalSec=0 >/run/systemd/system/bare.socket
	printf '%s\n' '[Service]' ExecStart=/usr/sbin/smtp-handler StandardInput=socket StandardError=journal User=vmail >/run/systemd/system/bare@.service
	systemctl daemon-reload
	systemctl start bare.socket
	# Five rounds in turn, and up to ten more where other work on the machine disturbs.
	for ((i = 0; i < 15; i++)); do
		clients rate 80 26 >>"$BATS_TEST_TMPDIR/bare"
		clients rate 80 25 >>"$BATS_TEST_TMPDIR/default"
		faster && break
	done
	systemctl stop bare.socket
	echo "# connections/s: $FOUND" >&3
	paste "$BATS_TEST_TMPDIR/bare" "$BATS_TEST_TMPDIR/default"
	faster
}
