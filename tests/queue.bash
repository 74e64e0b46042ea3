# Loaded behind helper and servers: a queue, and servers that it sends to.
# shellcheck shell=bash disable=SC2034,SC2154
QUEUE_PROGRAM=$BUILD/smtp-queue
CLIENT=$BUILD/smtp-client
NOBODY=65534

# In place of helper's: root's queue belongs to somebody else, who must get through to it.
setup_queue() {
	setup_mail
	QUEUE=$BATS_TEST_TMPDIR/queue
	mkdir -p "$QUEUE" "$ROOT/example.test/postmaster"
	SETTINGS+=(-o "queue_dir=$QUEUE" -o postmaster=postmaster@example.test -o relay_from=192.0.2.7 -o tls_policy=none -o deliver="$DELIVER")
	owned
}
owned() {
	local d=$BATS_TEST_TMPDIR
	[ "$(id -u)" = 0 ] || return 0
	chown -R "$NOBODY:$NOBODY" "$QUEUE" "$ROOT"
	while [ "$d" != / ] && [ "$d" != /tmp ]; do chmod o+x "$d"; d=${d%/*}; done
}

# lay SENDER RCPT...: a message into the queue, as from a network that may relay; its text is on standard input, or one of ours.  What stands behind a recipient, parted by a
# blank, are parameters.
lay() {
	local from=$1 to
	shift
	{
		echo "EHLO client.example.org"
		echo "MAIL FROM:<${from%% *}>${from#"${from%% *}"}"
		for to in "$@"; do echo "RCPT TO:<${to%% *}>${to#"${to%% *}"}"; done
		echo DATA
		if [ -t 0 ] || [ -n "${PLAIN-1}" ]; then printf 'From: a@b.example\nSubject: for you\n\nhello\n'; else cat; fi
		printf '.\nQUIT\n'
	} | sed 's/$/\r/' | VARS=1 clean_env TCPREMOTEIP=192.0.2.7 timeout 60 "$HANDLER" "${SETTINGS[@]}" "${LAY[@]}" >"$BATS_TEST_TMPDIR/laid" 2>>"$LOG"
	tr -d '\r' <"$BATS_TEST_TMPDIR/laid" | tail -n 2 | head -n 1
}

# queue ARGUMENT...: smtp-queue; `run` logs to $LOG.
queue() { clean_env SMTP_LOG=stderr timeout 120 "$QUEUE_PROGRAM" "${SETTINGS[@]}" "${ROUTE[@]}" "$@" 2>>"$LOG"; }
# relay_to: everything goes to $PORT.
relay_to() { ROUTE=(-o "relayhost=127.0.0.1:$PORT"); }
box() { new_files "$ROOT/example.test/$1"; }
log_has() { grep -qE -- "$1" "$LOG"; }
run_at() { queue --now "$(($(date +%s) + $1))" run; }   # so many seconds from now
waiting() { find "$QUEUE/new" "$QUEUE/wait" "$QUEUE/hold" -type f 2>/dev/null | wc -l; }
queue_empty() { [ -z "$(find "$QUEUE" -path "$QUEUE/host/*" -prune -o -type f -print)" ]; }

# needs_net: skip the test where no network of its own can be made.  in_net ARGUMENT... < SCRIPT: a shell in one, where every port is free; its arguments count from $0 on.
needs_net() {
	IN_NET=(unshare --net)
	[ "$(id -u)" = 0 ] || IN_NET=(unshare --map-root-user --net)
	"${IN_NET[@]}" ip link set lo up 2>/dev/null || skip "no network of its own can be made here"
}
in_net() { clean_env timeout 120 "${IN_NET[@]}" bash -c 'ip link set lo up && . /dev/stdin' "$@"; }

# remote NAME STAGE ACTION [KEYWORD...]: fake-mx.py; its folder is $BATS_TEST_TMPDIR/NAME, its port $PORT.
remote() {
	REMOTE=$BATS_TEST_TMPDIR/$1
	mkdir -p "$REMOTE"
	rm -f "$REMOTE/port"
	launch "$PYTHON" "$TESTS/fake-mx.py" "$REMOTE" "${@:2}"
	until_true [ -s "$REMOTE/port" ]
	PORT=$(<"$REMOTE/port")
}
taken() { find "$REMOTE" -name '[0-9]*' ! -name '*.part' | wc -l; }
