#!/usr/bin/env bats
# Mail to other hosts, when something is wrong or somebody means harm: a pass ends, nothing goes round, nothing is taken away from others.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
load helper
load servers
load queue

setup() { setup_queue; }

# soon COMMAND...: it ends within seconds, whatever its status.
soon() { clean_env SMTP_LOG=stderr timeout -k 1 "${SECONDS_MOST-5}" "$QUEUE_PROGRAM" "${SETTINGS[@]}" "${ROUTE[@]}" "$@" 2>>"$LOG"; }

# preload C-SOURCE: put in front of smtp-queue's processes by `broken`.
preload() {
	ldd "$QUEUE_PROGRAM" 2>/dev/null | grep -q libc.so && ! grep -q __asan_init "$QUEUE_PROGRAM" || skip "no library can be put in front of this program"
	echo "$1" >"$BATS_TEST_TMPDIR/broken.c"
	cc -shared -fPIC -o "$BATS_TEST_TMPDIR/broken.so" "$BATS_TEST_TMPDIR/broken.c"
	chmod 755 "$BATS_TEST_TMPDIR/broken.so"
}
broken() { clean_env SMTP_LOG=stderr LD_PRELOAD="$BATS_TEST_TMPDIR/broken.so" timeout 60 "$QUEUE_PROGRAM" "${SETTINGS[@]}" "${ROUTE[@]}" "$@" 2>>"$LOG"; }
held() { find "$QUEUE/hold" -type f | wc -l; }

# begin_pass: smtp-queue in the background, as $SERVER; `over` waits for its end.
begin_pass() { launch env SMTP_LOG=stderr "$QUEUE_PROGRAM" "${SETTINGS[@]}" "${ROUTE[@]}" run; }
over() { until_true gone "$SERVER"; }
go() { : >"$REMOTE/go"; }
heard() { [ -e "$REMOTE/heard" ] && [ "$(grep -cE "$1" "$REMOTE/heard")" -ge "$2" ]; }
worker() { pgrep -P "$SERVER" >/dev/null; }

locked() { local e; e=$(find "$QUEUE/wait" -type f) && [ -n "$e" ] && ! flock -n "$e" true 2>/dev/null; }      # one waits, and is worked on

# --- a pass ends ---

@test "an entry that another pass works on is left to it: this one does the rest, and ends" {
	remote mx never close
	relay_to
	lay a@b.example joe@far.example
	soon --now "$(date +%s)" hold all
	soon --now "$(date +%s)" release all
	entry=$(find "$QUEUE/wait" -type f)
	exec 8<"$entry"
	flock 8
	lay a@b.example joe@near.example
	run -0 soon run
	[ "$(taken) $(waiting)" = '1 1' ]
	exec 8<&-
	run -0 soon run
	[ "$(taken)" = 2 ]
	queue_empty
}

@test "an entry that cannot be opened is left alone, with a word in the log, and the pass ends" {
	[ "$(id -u)" = 0 ] || skip "only root can make a file that the owner of the queue cannot read"
	remote mx never close
	relay_to
	lay a@b.example joe@far.example
	entry=$(find "$QUEUE/new" -type f)
	chown root: "$entry"
	chmod 600 "$entry"
	lay a@b.example joe@near.example
	run -0 soon run
	[ "$(taken) $(waiting)" = '1 1' ]
	log_has 'cannot be opened: Permission denied'
	[ "$(grep -c 'Permission denied' "$LOG")" -le 3 ]
}

@test "no process can be started: the pass ends, says so once, and nothing is lost" {
	[ "$(id -u)" = 0 ] || skip "only root can have a limit for somebody else"
	remote mx never close
	relay_to
	for i in 1 2 3; do lay a@b.example "joe@far$i.example"; done
	run -75 prlimit --nproc=1 env -i ASAN_OPTIONS=detect_leaks=0 SMTP_LOG=stderr PATH="$PATH" timeout -k 1 5 "$QUEUE_PROGRAM" "${SETTINGS[@]}" "${ROUTE[@]}" run
	[ "$(grep -c 'cannot start a process' <<<"$output")" = 1 ]
	[ "$(waiting)" = 3 ]
	run -0 soon run
	queue_empty
}

@test "what is new cannot be moved: the pass ends" {
	remote mx never close
	relay_to
	lay a@b.example joe@far.example
	chmod 500 "$QUEUE/new"
	run -75 soon run
	log_has 'Permission denied'
	chmod 700 "$QUEUE/new"
	run -0 soon run
	[ "$(taken)" = 1 ]
}

# --- nothing goes round ---

@test "a report that the postmaster's host refuses makes no other report" {
	remote mx RCPT '550 5.1.1 not here'
	relay_to
	SETTINGS+=(-o postmaster=chief@far.example)
	LAY=()
	lay '' unknown@near.example
	run -0 soon run
	queue_empty
	[ "$(grep -c 'RCPT TO:<chief@far.example>' "$REMOTE/heard")" = 1 ]
	log_has 'dropped'
	# by an alias, with somebody here who gets it each time
	printf 'postmaster: bob@example.test, chief@far.example\n' >"$ROOT/example.test/.aliases"
	chmod 644 "$ROOT/example.test/.aliases"
	rmdir "$ROOT/example.test/postmaster"
	owned
	SETTINGS+=(-o postmaster=postmaster@example.test)
	lay '' unknown@near.example
	run -0 soon run
	queue_empty
	[ "$(box bob | wc -l)" = 1 ]
}

# --- nothing is waited for without end ---

@test "who takes reports says nothing: the pass does not wait for ever, and the report is still due" {
	remote mx never close
	relay_to
	lay bob@example.test unknown@far.example
	"$PYTHON" -c '
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(5)
time.sleep(60)' "$BATS_TEST_TMPDIR/deaf" 3>&- &
	DEAF=$!
	until_true [ -S "$BATS_TEST_TMPDIR/deaf" ]
	chmod 777 "$BATS_TEST_TMPDIR/deaf"
	ROUTE+=(-o "deliver=unix:$BATS_TEST_TMPDIR/deaf" -o deliver_timeout=300ms)
	run -0 soon run
	kill "$DEAF"
	[ "$(waiting)" = 1 ]
	log_has 'report to=<bob@example.test> is not taken: it does not answer in time'
}

# --- nothing of others is taken away ---

@test "the same id once more, while a part of the first message still waits: the second has a name of its own, and the first stays whole" {
	remote mx RCPT '450 4.2.0 later'
	relay_to
	lmtp() {
		printf '%s\r\n' 'LHLO c' 'XFORWARD IDENT=abc123' 'MAIL FROM:<a@b.example> X-RELAY' 'RCPT TO:<joe@far.example>' 'RCPT TO:<joe@near.example>' DATA "Subject: $1" '' hello . QUIT |
			clean_env "$DELIVER" "${SETTINGS[@]}" --lmtp 2>>"$LOG" | tr -d '\r'
	}
	lmtp first
	[ "$(find "$QUEUE/new" -name '*.abc123.*' | wc -l)" = 2 ]
	# one of the two has gone
	first=$(find "$QUEUE/new" -name '*.abc123.*-1.*')
	rm "$first" "$QUEUE"/message/abc123.*-1
	lmtp second >"$BATS_TEST_TMPDIR/answers"
	[ "$(find "$QUEUE/new" -type f | wc -l)" = "$(find "$QUEUE/message" -type f | wc -l)" ]
	[ "$(grep -l 'Subject: first' "$QUEUE"/message/* | wc -l)" = 1 ]
	[ "$(grep -c '^250 2.0.0' "$BATS_TEST_TMPDIR/answers")" = 3 ]        # XFORWARD, and for each recipient
	[ 2 = "$(grep -l 'Subject: second' "$QUEUE"/message/* | wc -l)" ]
}

# --- what gets another name meanwhile ---

# moving TIMES: with `broken`, each entry that waits is given another time when it is about to be opened, so many times each.
moving() {
	preload "$(printf '#define TIMES %d\n' "$1")"'
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int openat(int dir, const char *name, int flags, ...)
{
	static struct { char rest[200]; int times; } seen[8];
	char to[300];
	va_list l;
	va_start(l, flags);
	int mode = flags & O_CREAT ? va_arg(l, int) : 0;
	va_end(l);
	for (int i = 0; i < 8 && strlen(name) > 30 && name[10] == 46; i++) {
		if (*seen[i].rest && strcmp(seen[i].rest, name + 10) != 0) continue;
		strcpy(seen[i].rest, name + 10);
		snprintf(to, sizeof to, "%010ld%s", atol(name) + 1, name + 10);
		if (seen[i].times++ < TIMES) renameat(dir, name, dir, to);
		break;
	}
	return (int)syscall(SYS_openat, dir, name, flags, mode);
}
int openat64(int dir, const char *name, int flags, ...)
{
	va_list l;
	va_start(l, flags);
	int mode = flags & O_CREAT ? va_arg(l, int) : 0;
	va_end(l);
	return openat(dir, name, flags, mode);
}'
}
two_wait() {
	PORT=$(free_port 127.0.0.1)
	relay_to
	lay a@b.example joe@far.example
	lay a@b.example ann@near.example
	run_at 0
	[ "$(find "$QUEUE/wait" -type f | wc -l)" = 2 ]
}

@test "what is given another time while a command works is found under its new name: none is missed, and what is said was done" {
	two_wait
	moving 2
	run -0 broken --json list
	[ "${#lines[@]}" = 2 ]
	run -0 broken show "$(find "$QUEUE/wait" -name '*' -type f | sed -n '1s/.*\/[0-9]*\.//; 1s/\.[^.]*$//p')"
	[[ $output == *@far.example* || $output == *@near.example* ]]
	run -0 broken hold near.example
	[ "$output $(held)" = '1 held 1' ]
	run -0 broken hold all
	[ "$output $(held)" = '1 held 2' ]
	run -0 broken release all
	[ "$output $(held)" = '2 released 0' ]
	run -0 broken remove far.example
	[ "$output $(waiting) $(find "$QUEUE/message" -type f | wc -l)" = '1 removed 1 1' ]
	run -0 broken remove all
	[ "$output $(waiting)" = '1 removed 0' ]
	queue_empty
}

@test "what always has another name when it is about to be changed: that is told, and no message is taken from an entry that stays" {
	two_wait
	moving 1000
	run -75 broken remove all
	[ -z "$output" ]
	log_has 'the queue changes all the time'
	run -75 broken hold far.example
	[ "$(waiting) $(held) $(find "$QUEUE/message" -type f | wc -l)" = '2 0 2' ]
}

@test "an entry that is not seen at all, since it is renamed while its folder is read, is looked for again" {
	two_wait
	entry=$(find "$QUEUE/wait" -type f | head -n 1)
	# the folder is opened to be read: the first time the entry is away
	preload "
#define _GNU_SOURCE
#include <dlfcn.h>
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>
DIR *fdopendir(int fd)
{
	static int times;
	if (access(\"$entry\", F_OK) == 0 && times == 0) times = 1, rename(\"$entry\", \"$QUEUE/tmp/away\");
	else if (times++ == 3) rename(\"$QUEUE/tmp/away\", \"$entry\");
	return ((DIR *(*)(int))dlsym(RTLD_NEXT, \"fdopendir\"))(fd);
}"
	run -0 broken hold all
	[ "$output $(held)" = '2 held 2' ]
}

@test "some of what is to be changed is being worked on: the rest is, and the exit status says that it is not all" {
	two_wait
	exec {one}<"$(find "$QUEUE/wait" -type f | head -n 1)"
	flock "$one"
	run -75 queue hold all
	[ "$output $(held)" = '1 held 1' ]
	[ "$(grep -c 'is being worked on now' "$LOG")" = 1 ]
	exec {one}<&-
	run -0 queue hold all
	[ "$output $(held)" = '1 held 2' ]
}

@test "a pass that finds a host down leaves alone what another one works on: that gives it its time" {
	remote mx greeting hold
	relay_to
	lay a@b.example joe@far.example
	begin_pass
	until_true locked
	lay a@b.example ann@far.example
	lay a@b.example sue@far.example
	ROUTE=(-o relayhost=127.0.0.1:1)
	run -0 soon run
	[ "$(find "$QUEUE/wait" -type f | wc -l)" = 3 ]
	go
	over
	[ "$(waiting)" = 3 ]
	refute log_has 'cannot be laid down'
}

# --- what is no entry ---

@test "a file with a strange name among the new ones is put aside: the path unit would start a pass after the other for it" {
	mkdir -p "$QUEUE/new"
	echo x >"$QUEUE/new/strange"
	owned
	run -0 soon run
	[ -z "$(ls "$QUEUE/new")" ]
	[ -e "$QUEUE/hold/strange" ]
	log_has 'strange.* is on hold'
}

@test "an entry that is cut between two recipients is put on hold, not taken for a whole one with fewer" {
	remote mx never close
	relay_to
	lay a@b.example joe@far.example ann@far.example bob@far.example
	entry=$(find "$QUEUE/new" -type f)
	truncate -s "$(grep -abo '[0-9]*:rann@' "$entry" | cut -d: -f1)" "$entry"
	run -0 soon run
	[ "$(taken) $(find "$QUEUE/hold" -type f | wc -l)" = '0 1' ]
	log_has 'is no entry of this version; it is on hold'
}

@test "what is on hold since it cannot be read is in the list and can be shown; a FIFO among the entries keeps nobody" {
	remote mx never close
	relay_to
	lay a@b.example joe@far.example
	truncate -s 100 "$QUEUE"/new/*
	run -0 soon run
	[ "$(held)" = 1 ]
	entry=$(find "$QUEUE/hold" -type f)
	key=${entry##*/} key=${key#*.} key=${key%.*}
	mkfifo "$QUEUE/wait/1999999999.abc-1.0123456789abcdef" "$QUEUE/message/abc-1"
	owned
	run -0 soon list
	[[ $output == *"$key"*held*'cannot be read: it is no entry of this version'* ]]
	[[ $output == *abc-1*waits*'cannot be read: it is no entry'*'2 entries' ]]
	run -0 soon show "$key"
	[[ $output == *"$key"*held*'cannot be read: it is no entry'*'Subject: for you'* ]]
	run -0 soon show abc-1
	soon --json list | "$PYTHON" -c '
import json, sys
all = {e["key"]: e for e in map(json.loads, sys.stdin)}
e = all[sys.argv[1]]
assert len(all) == 2 and e["place"] == "held" and e["id"] + "-1" == e["key"] and e["error"].startswith("cannot be read"), all' "$key"
	run -0 soon remove "$key"
	[ "$(held)" = 0 ]
}

# --- clocks ---

@test "the clock was months ahead when a message came, and is right again: it does not wait for that time, nor its host" {
	PORT=$(free_port 127.0.0.1)
	relay_to
	lay a@b.example joe@far.example
	queue --now "$(($(date +%s) + 90 * 86400))" -o queue_lifetime=100d -o queue_warn=0 run
	[ "$(waiting)" = 1 ]
	remote mx never close
	relay_to
	run -0 soon run
	[ "$(taken)" = 1 ]
	queue_empty
}

# ahead ENTRY: it came while the clock was a year ahead, and so did all messages.
ahead() {
	local entry=$1 came
	came=$(grep -ao '11:a[0-9]*' "$entry")
	sed -i "s/$came/11:a$((${came#11:a} + 365 * 86400))/" "$entry"
	touch -d '+365 days' "$QUEUE"/message/*
	owned
}

@test "the clock was a year ahead when a message came: its days are counted from when that is seen; also where its host is down" {
	mkdir -p "$ROOT/example.test/alice"
	for down in '' yes; do
		if [ "$down" ]; then
			PORT=$(free_port 127.0.0.1)
			lay bob@example.test first@far.example          # which is tried, and the others wait for it
		else
			remote mx RCPT '450 4.2.1 not now'
		fi
		relay_to
		lay alice@example.test joe@far.example
		ahead "$(grep -la joe@ "$QUEUE"/new/*)"
		for day in 0 1 2 4; do run_at $((day * 86400)); done
		[ "$(grep -la joe@ "$QUEUE"/wait/* | wc -l)" = 1 ]
		run_at $((6 * 86400))
		[ "$(waiting)" = 0 ]
		grep -q '^Action: failed' "$ROOT"/example.test/alice/new/*
		rm "$ROOT"/example.test/alice/new/*
	done
}

@test "the clock is behind for a while, as before a host has asked for the time: nobody's days are over when it is right again" {
	remote mx RCPT '450 4.2.1 not now'
	relay_to
	lay a@b.example joe@far.example
	queue --now 1000000000 run
	run_at 3600
	[ "$(waiting)" = 1 ]
	refute log_has 'given up'
}

# --- what a crash has left ---

@test "messages without an entry go after 36 hours; not while another pass gives entries other names, of which some are then not seen" {
	ldd "$QUEUE_PROGRAM" 2>/dev/null | grep -q libc.so && ! grep -q __asan_init "$QUEUE_PROGRAM" || skip "no library can be put in front of this program"
	PORT=$(free_port 127.0.0.1)
	relay_to
	lay a@b.example joe@far.example
	soon hold all
	[ "$(waiting)" = 1 ]
	cat >"$BATS_TEST_TMPDIR/rename" <<'END'
import os, sys, time
q, n, old, new = sys.argv[1], 2000, int(time.time()) + 1800, int(time.time()) + 1801
for i in range(n):
    for name in ("wait/%d.ab%x-1.0123456789abcdef" % (old, i), "message/ab%x-1" % i):
        open(os.path.join(q, name), "w").close()
        os.utime(os.path.join(q, name), (1, 1))
os.system("chown -R --reference=%s %s/wait %s/message" % ((q,) * 3))
open(q + "/../ready", "w").close()
w = q + "/wait/"
while True:
    for i in range(0, n, 3):
        os.rename(w + "%d.ab%x-1.0123456789abcdef" % (old, i), w + "%d.ab%x-1.0123456789abcdef" % (new, i))
    old, new = new, old
END
	"$PYTHON" "$BATS_TEST_TMPDIR/rename" "$QUEUE" 3>&- &
	RENAMER=$!
	until_true [ -e "$BATS_TEST_TMPDIR/ready" ]
	cat >"$BATS_TEST_TMPDIR/later.c" <<'END'
#include <time.h>
time_t time(time_t *t) { time_t now = (time_t)4000000000; if (t) *t = now; return now; }
#if __SIZEOF_LONG__ == 4
long long __time64(long long *t) { long long now = 4000000000; if (t) *t = now; return now; }
#endif
END
	cc -shared -fPIC -o "$BATS_TEST_TMPDIR/later.so" "$BATS_TEST_TMPDIR/later.c"
	chmod 755 "$BATS_TEST_TMPDIR/later.so"
	sweep() { clean_env SMTP_LOG=stderr LD_PRELOAD="$BATS_TEST_TMPDIR/later.so" timeout 10 "$QUEUE_PROGRAM" "${SETTINGS[@]}" "${ROUTE[@]}" --now "$(date +%s)" run 2>>"$LOG"; }
	for i in 1 2 3 4 5 6 7 8; do sweep || true; done
	kill "$RENAMER"
	wait "$RENAMER" || true
	left=$(find "$QUEUE/message" -name 'ab*' | wc -l)
	kept=$(find "$QUEUE/hold" "$QUEUE/wait" -name '*.ab*' | wc -l)
	[ "$left" -ge "$kept" ] || { echo "$left messages of $kept entries"; return 1; }
	touch "$QUEUE/message/ffff.1-1" "$QUEUE/host/0123456789abcdef"
	owned
	sweep
	[ ! -e "$QUEUE/message/ffff.1-1" ]
	[ ! -e "$QUEUE/host/0123456789abcdef" ]
	[ "$(find "$QUEUE/message" -name 'ab*' | wc -l)" = "$left" ]
}

# --- one process and one connection for many ---

@test "an address in brackets as the domain: every message over the same connection has the host's name in its reply" {
	[ "$(id -u)" = 0 ] || skip "the queue belongs to somebody else than its network"
	needs_net
	local long
	long=$(printf 'a%.0s' {1..60})
	for n in 30 2 4 1; do
		mapfile -t to < <(seq -f 'joe%g@[127.0.0.1]' "$n")
		lay "${long:0:$((n * 2))}@b.example" "${to[@]}"
	done
	mkdir "$BATS_TEST_TMPDIR/mx"
	in_net "$BATS_TEST_TMPDIR/mx" "$PYTHON" "$TESTS/fake-mx.py" "$QUEUE_PROGRAM" "${SETTINGS[@]}" -o queue_parallel=1 run <<-'E' 2>>"$LOG"
		MX_PORT=25 "$1" "$2" "$0" never close &
		until [ -s "$0/port" ]; do :; done
		shift 2
		SMTP_LOG=stderr "$@"
		kill $!
	E
	[ "$(grep -c ^EHLO "$BATS_TEST_TMPDIR/mx/heard")" = 1 ]
	[ "$(grep -c 'sent: to=.* reply="250 2.0.0 \[127.0.0.1\] taken, id 4711"' "$LOG")" = 37 ] || { grep smtp-queue "$LOG"; return 1; }
	queue_empty
}

# at_third hold|hang [TIME]: a server that says nothing to the third message of its first connection, until `go`, or for so long.
at_third() {
	mkdir -p "$BATS_TEST_TMPDIR/mx"
	: >"$BATS_TEST_TMPDIR/mx/once"
	remote mx MAIL3 "$1"
	ROUTE=(-o "transports=$BATS_TEST_TMPDIR/transports" -o queue_parallel=1 -o "command_timeout=${2-60s}")
	printf '* 127.0.0.1:%s\n' "$PORT" >"$BATS_TEST_TMPDIR/transports"
	chmod 644 "$BATS_TEST_TMPDIR/transports"
}

@test "TERM to the pass alone, as the service manager sends it, or INT to all, as a terminal does: what is under way is finished, and no other message is begun" {
	for how in TERM INT; do
		rm -rf "$BATS_TEST_TMPDIR/mx"
		# the pass tells its processes, and nobody sees when: so that has time
		if [ "$how" = TERM ]; then at_third hang 12s; else at_third hold; fi
		for i in 1 2 3 4 5; do lay a@b.example joe@far.example; done >/dev/null
		begin_pass
		until_true heard ^MAIL 3
		if [ "$how" = TERM ]; then kill -TERM "$SERVER"; else kill -INT -- "-$SERVER"; fi
		go
		over
		[ "$(taken) $(waiting)" = '3 2' ] || { echo "$how: $(taken) taken, $(waiting) wait"; grep smtp-queue "$LOG"; return 1; }
		refute log_has 'has not said'
		run -0 soon run
		[ "$(taken)" = 5 ]
		queue_empty
		stop_all
	done
}

@test "a process that is killed in the midst of its messages: the rest goes in the same pass, each by itself; and that has an end" {
	at_third hold
	for i in 1 2 3 4 5; do lay a@b.example "joe$i@far.example"; done >/dev/null
	begin_pass
	until_true heard ^MAIL 3
	pkill -KILL -P "$SERVER"
	over
	[ "$(taken) $(waiting)" = '5 0' ] || { echo "$(taken) taken, $(waiting) wait"; grep smtp-queue "$LOG"; return 1; }
	[ "$(grep -c 'was ended by signal 9' "$LOG")" = 1 ]
}

@test "that a host is down is kept in mind also when all its messages were under way, and something else came in meanwhile" {
	remote up never close
	up=$PORT
	remote down greeting hang
	local down=$SERVER
	printf 'far.example 127.0.0.1:%s\nnear.example 127.0.0.1:%s\n' "$PORT" "$up" >"$BATS_TEST_TMPDIR/transports"
	chmod 644 "$BATS_TEST_TMPDIR/transports"
	ROUTE=(-o "transports=$BATS_TEST_TMPDIR/transports" -o command_timeout=20s)
	lay a@b.example joe@far.example
	begin_pass
	until_true worker
	lay a@b.example ann@near.example
	REMOTE=$BATS_TEST_TMPDIR/up
	until_true [ -e "$REMOTE/1" ]
	kill -KILL "$down"
	over
	[ "$(waiting) $(grep -c deferred "$LOG")" = '1 1' ]
	[ "$(find "$QUEUE/host" -type f | wc -l)" = 1 ]
}

seen() { [ -z "$(ls "$QUEUE/new")" ]; }

no_sync='#include <errno.h>
int fdatasync(int fd) { (void)fd; errno = EIO; return -1; }'

@test "what a server has said cannot be written down: nothing more is sent in this pass" {
	preload "$no_sync"
	remote mx never close
	relay_to
	ROUTE+=(-o queue_parallel=1)
	for i in 1 2 3 4 5; do lay a@b.example joe@far.example; done
	run -75 broken run
	# a crash would have it sent again, and with it whatever else was sent meanwhile; without one its entry, of which nothing is left, goes
	[ "$(taken) $(waiting) $(held)" = '1 4 0' ]
	[ "$(grep -c 'cannot write down what became of a recipient: Input/output error' "$LOG")" = 1 ]
	run_at 0
	[ "$(taken) $(waiting)" = '5 0' ]
}

@test "a host that closes, or says 421, in the midst of one message has answered: it is not left alone, and the other messages go" {
	local large
	for large in '' yes; do
		rm -rf "$BATS_TEST_TMPDIR/mx"
		if [ "$large" ]; then remote mx BDAT close; else remote mx '<bad@' '421 4.7.0 too much for this one'; fi
		relay_to
		if [ "$large" ]; then
			{ printf 'Subject: x\n\n'; yes 0123456789012345678901234567890123456789 | head -n 20000; } | PLAIN='' lay a@b.example bad@far.example
		else
			lay a@b.example bad@far.example
		fi
		for i in 1 2 3; do lay a@b.example "joe$i@far.example"; done
		run_at 0
		queue list
		[ "$(taken) $(waiting)" = '3 1' ]
		[ -z "$(find "$QUEUE/host" -type f)" ]
		[ "$large" ] || log_has 'reply="421 4.7.0 127.0.0.1 too much for this one"'
		queue remove all
		stop_all
	done
}

@test "what a server has said cannot be written down, and something is still to be done: the entry is on hold, and not sent again with each pass" {
	preload "$no_sync"
	remote mx never close
	relay_to
	ROUTE+=(-o queue_parallel=1)
	lay a@b.example joe@far.example ann@far.example
	lay a@b.example bob@near.example sue@near.example
	run -75 broken run
	[ "$(taken) $(waiting) $(held)" = '1 2 1' ]
	key=$(find "$QUEUE/hold" -type f | sed 's/.*\/[0-9]*\.//; s/\.[^.]*$//')
	log_has "$key is on hold: .* smtp-queue show, and release or remove it"
	for i in 1 2 3; do run_at $((i * 2400)); done
	[ "$(taken) $(waiting) $(held)" = '2 1 1' ]
	run -0 queue release "$key"
	run_at 0
	[ "$(taken) $(waiting)" = '3 0' ]
}

@test "it cannot be put on hold either: that is told" {
	preload "$no_sync
#include <stdio.h>
int renameat(int a, const char *b, int c, const char *d) { (void)a, (void)b, (void)c, (void)d; errno = EIO; return -1; }"
	remote mx never close
	relay_to
	lay a@b.example joe@far.example ann@far.example
	queue hold all
	queue release all
	run -75 broken run
	[ "$(taken) $(waiting) $(held)" = '1 1 0' ]
	log_has 'may be sent again with each pass, for it cannot be put on hold either: Input/output error'
}

@test "there is no room for what a server will say, as on a full disk that copies what is written: nothing is sent before there is" {
	preload '#include <errno.h>
#include <sys/types.h>
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { (void)fd, (void)b, (void)n, (void)o; errno = ENOSPC; return -1; }
ssize_t pwrite64(int fd, const void *b, size_t n, off_t o) { return pwrite(fd, b, n, o); }'
	remote mx never close
	relay_to
	lay a@b.example joe@far.example ann@far.example
	for i in 0 1 2; do run -75 broken --now "$(($(date +%s) + i * 2400))" run; done
	[ "$(taken) $(waiting) $(held)" = '0 1 0' ]
	[ "$(grep -c 'waits, for what became of it could not be written down: No space left' "$LOG")" = 3 ]
	run_at 0
	[ "$(taken) $(waiting)" = '1 0' ]
}

@test "a process has no descriptor left for an smtp-client: that is no attempt, and says nothing about the host" {
	preload '#include <errno.h>
int socketpair(int a, int b, int c, int d[2]) { (void)a, (void)b, (void)c, (void)d; errno = EMFILE; return -1; }'
	remote mx never close
	relay_to
	lay a@b.example joe@far.example
	lay a@b.example ann@far.example
	run -0 broken run
	log_has 'no socket for a program: Too many open files'
	[ "$(queue --json list | grep -c '"attempts":0')" = 2 ]
	[ -z "$(ls "$QUEUE/host")" ]
	run_at 600
	[ "$(taken) $(waiting)" = '2 0' ]
}

@test "each destination has its turn, also when something new comes in all the time" {
	at_third hold
	for to in joe@far.example ann@near.example; do lay a@b.example "$to"; done >/dev/null
	# who is first has more than one process takes at first
	first=$(for f in "$QUEUE"/new/*; do echo "${f##*.} $(grep -aoE '(joe@far|ann@near)\.example' "$f")"; done | sort | sed -n '1s/.* //p')
	for i in 1 2 3 4 5 6; do lay a@b.example "$first"; done >/dev/null
	begin_pass
	until_true heard ^MAIL 3
	lay a@b.example "$first"
	until_true seen
	[ "$(taken)" = 2 ]
	go
	over
	[ "$(taken)" = 9 ]
	[ "$(grep ^RCPT "$REMOTE/heard" | grep -vn "$first" | cut -d: -f1)" = 6 ] || { echo "$first"; grep ^RCPT "$REMOTE/heard"; return 1; }
}

@test "a slow host does not keep a process for all its messages while others wait" {
	at_third hang 10s
	for to in joe@far.example ann@near.example; do for i in 1 2 3 4 5; do lay a@b.example "$to"; done; done >/dev/null
	begin_pass
	over
	[ "$(taken) $(waiting)" = '10 0' ]
	# the third of the first took too long
	run -0 uniq -c <(grep ^RCPT "$REMOTE/heard" | tr -d '\r')
	echo "$output"
	[[ ${lines[0]} == *' 3 '* && ${lines[1]} == *' 5 '* && ${lines[2]} == *' 2 '* ]]
}

@test "a message that hangs does not keep those that were to go behind it, where the destination has another place" {
	mkdir -p "$BATS_TEST_TMPDIR/mx"
	: >"$BATS_TEST_TMPDIR/mx/once"
	remote mx '<joe9@' hold
	relay_to
	ROUTE+=(-o queue_parallel=2 -o command_timeout=20s)
	for i in {1..20}; do lay a@b.example "joe$i@far.example"; done >/dev/null
	begin_pass
	until_true heard '^RCPT.*joe9@' 1
	one_more() { lay a@b.example ann@far.example >/dev/null; for i in {1..8} {10..20}; do heard "^RCPT.*joe$i@" 1 || return 1; done; }
	until_true one_more
	[ ! -e "$REMOTE/go" ]
	go
	over
	[ "$(waiting) $(grep -cE '^RCPT.*joe[0-9]+@' "$REMOTE/heard")" = '0 21' ] || { grep ^RCPT "$REMOTE/heard"; return 1; }
}

@test "with relayhost, a host of its own for a domain (transports) that does not answer is not taken for the relay, whose messages are sent, though they have an address in common; and it is asked once for several" {
	remote relay never close
	relay_to
	remote bad greeting hang
	printf 'bad.example 127.0.0.1:%s\n' "$PORT" >"$BATS_TEST_TMPDIR/transports"
	chmod 644 "$BATS_TEST_TMPDIR/transports"
	ROUTE+=(-o "transports=$BATS_TEST_TMPDIR/transports" -o queue_parallel=1 -o command_timeout=1s)
	for to in joe@bad.example ann@bad.example sue@bad.example joe@far.example; do lay a@b.example "$to"; done >/dev/null
	run -0 soon run
	REMOTE=$BATS_TEST_TMPDIR/relay
	[ "$(taken) $(waiting) $(grep -c deferred "$LOG")" = '1 3 1' ] || { grep smtp-queue "$LOG"; return 1; }
	log_has 'deferred: to=<joe@bad.example>'
	[ -z "$(ls "$QUEUE/host")" ]
	run -0 queue list
	[ "$(grep -c 'not tried yet' <<<"$output")" = 2 ]
}

@test "an entry that smtp-client does not take, or that it is killed with, waits; the others of the same process are sent, each under its own id" {
	at_third hold
	for i in 1 2 3 4 5; do lay a@b.example "joe$i@far.example"; done >/dev/null
	sed -i 's/joe4@/joe4 /' "$(grep -la joe4@ "$QUEUE"/new/*)"
	owned
	begin_pass
	until_true heard ^MAIL 3
	pkill -KILL -P "$(pgrep -P "$SERVER")"
	over
	[ "$(taken) $(waiting)" = '3 2' ] || { echo "$(taken) taken, $(waiting) wait"; grep smtp-queue "$LOG"; return 1; }
	log_has 'has not said what became of 1 of 1 recipients: the program ended with status 64'
	log_has 'has not said what became of 1 of 1 recipients: the program was ended by signal 9'
	for i in 1 2 3 4 5; do [ "$(grep -c "joe$i@" "$LOG")" -ge 1 ]; done
	[ -z "$(grep -o 'smtp-queue.*id=.*' "$LOG" | grep -o ' id=[^ ]*' | sort | uniq -d)" ]
}

@test "what a server says cannot make fields, or the line of another message, in the log" {
	remote mx RCPT '550 5.1.1 x" peer=192.0.2.99 id=6612cce7f9658030d8.1 sent: to=<joe@b.example> reply="250'
	relay_to
	lay bob@example.test joe@far.example
	queue run
	log_has 'failed: to=<joe@far.example> reply="550 5.1.1 127.0.0.1 x\\x22 peer=192.0.2.99 [^"]*reply=\\x22250"$'
	queue_empty
}
