# Loaded behind helper and servers: a DNS server of the test's own.
# shellcheck shell=bash disable=SC2034

# start_dns [OPTION...] < ZONE: tests/dns-server.py with that zone, which may be changed later, in $ZONE; $DNS is its ADDRESS:PORT, and its questions stand in $ASKED.
start_dns() {
	local dir
	dir=$(mktemp -d "$BATS_TEST_TMPDIR/dns.XXXXXX")
	ZONE=$dir/zone ASKED=$dir/asked
	cat >"$ZONE"
	launch "$PYTHON" "$TESTS/dns-server.py" "$ZONE" --port-file "$dir/port" --log "$ASKED" "$@"
	until_true [ -e "$dir/port" ]
	DNS=127.0.0.1:$(cat "$dir/port")
}
