# Loaded behind helper: real supervisors that start smtp-handler for each connection to $HOST:$PORT, one played by hand for what no real
# one does on demand, and a client in bash. Everything started ends at teardown, by its pid.
# shellcheck shell=bash disable=SC2016,SC2034
HOST=127.0.0.1
PEERS=$(realpath -m "${PEERS:-$TESTS/../build/peers}")
STARTED=()
ASIDE=()
VARIABLES=()
BEFORE=()
CONN=

teardown() {
	hang_up
	stop_all
}

# --- processes ---

# launch COMMAND...: in the background, in a process group of its own and a clean environment; its pid is $SERVER.
launch() {
	(
		cd /
		[ -z "$CONN" ] || exec {CONN}>&-
		exec env -i PATH="$PATH" LC_ALL=C TZ=UTC ${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} "${VARIABLES[@]}" setsid "${ASIDE[@]}" "$@"
	) </dev/null >>"$BATS_TEST_TMPDIR/stdout" 2>>"$LOG" 3>&- 4>&- &
	SERVER=$!
	STARTED+=("$SERVER")
}

# family PID: it and what descends from it.
family() {
	local child
	echo "$1"
	for child in $(pgrep -P "$1"); do family "$child"; done
}

stop_all() {
	local pid all
	for pid in "${STARTED[@]}"; do
		mapfile -t all < <(family "$pid")
		kill -KILL -- "-$pid" "${all[@]}" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	STARTED=()
}

# gone PID...: none of them runs any more (what a zombie does not).
gone() {
	local pid state
	for pid in "$@"; do
		state=$(ps -o stat= -p "$pid") || continue
		[ "${state:0:1}" = Z ] || return 1
	done
}

# --- a mount namespace with a /dev/log and a /run of its own ---

aside_script='
	set -e
	for device in null zero full random urandom; do
		: >"$1/dev/$device"
		mount --bind "/dev/$device" "$1/dev/$device"
	done
	mount --rbind "$1/dev" /dev
	mount --rbind "$1/run" /run
	[ -d "$1" ]
	shift
	exec "$@"'

logs_script='
import os, select, socket, sys
os.chdir(sys.argv[1])
files = {}
for name, text in ("syslog", "syslog.txt"), ("run/systemd/journal/socket", "journal.txt"):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(name)
    files[s] = open(text, "ab", buffering=0)
open("listening", "w").close()
while True:
    for s in select.select(list(files), [], [])[0]:
        files[s].write(s.recv(65536) + b"\n")'

# aside: from now on what is launched sees a syslog and a journal that write to $SYSLOG and $JOURNAL. False where that cannot be.
aside() {
	local dir=$BATS_TEST_TMPDIR/aside
	mkdir -p "$dir/dev" "$dir/run/systemd/journal"
	ln -s "$dir/syslog" "$dir/dev/log"
	SYSLOG=$dir/syslog.txt JOURNAL=$dir/journal.txt
	local enter=(unshare --mount --propagation private)
	[ "$(id -u)" = 0 ] || enter=(unshare --map-current-user --keep-caps --mount --propagation private)
	enter+=(sh -c "$aside_script" sh "$dir")
	"${enter[@]}" true 2>/dev/null || return 1
	launch "$PYTHON" -c "$logs_script" "$dir"
	until_true [ -e "$dir/listening" ]
	ASIDE=("${enter[@]}")
}

# --- real supervisors ---

free_port() {
	"$PYTHON" -c '
import socket, sys
host = sys.argv[1]
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
s.bind((host, 0))
print(s.getsockname()[1])' "$1"
}

has_ipv6() { free_port ::1 >/dev/null 2>&1; }

# The inodes of the sockets that listen on $PORT.
listeners() { awk -v port="$(printf ':%04X$' "$PORT")" '$4 == "0A" && $2 ~ port { print $10 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null; }

listens() {
	local inode
	for inode in $(listeners); do
		[ -z "$(find "/proc/$SERVER/fd" -lname "socket:\\[$inode\\]" 2>/dev/null)" ] || return 0
	done
	return 1
}

# $SERVER has the port, or will not get it.
decided() { listens || gone "$SERVER" || [ -n "$(listeners)" ]; }

# serve SUPERVISOR [OPTION...]: start it; OPTION... are the handler's. Skips the test where it cannot be had.
serve() {
	local supervisor=$1 i
	shift
	command -v "need_$supervisor" >/dev/null || { echo "no supervisor $supervisor"; return 1; }
	"need_$supervisor"
	COMMAND=("${BEFORE[@]}" "$HANDLER" "${SETTINGS[@]}" "$@")
	for i in 1 2 3 4 5; do
		PORT=$(free_port "$HOST")
		"start_$supervisor"
		until_true decided
		listens && return 0
		kill -KILL "$SERVER" 2>/dev/null || true
	done
	echo "$supervisor does not listen; its log:"
	cat "$LOG"
	return 1
}

# The address for those who take HOST:PORT.
address() { if [[ $HOST == *:* ]]; then echo "[$HOST]:$PORT"; else echo "$HOST:$PORT"; fi; }

need_program() { command -v "$1" >/dev/null || skip "no $1 here"; }

need_systemd_inetd() { need_program systemd-socket-activate; }
start_systemd_inetd() { activate --inetd; }
need_systemd_fds() { need_program systemd-socket-activate; }
start_systemd_fds() { activate; }
activate() {
	local variables=() v
	for v in ${ASAN_OPTIONS:+"ASAN_OPTIONS=$ASAN_OPTIONS"} "${VARIABLES[@]}"; do variables+=(-E "$v"); done
	launch systemd-socket-activate --accept "$@" -l "$(address)" "${variables[@]}" -- "${COMMAND[@]}"
}

need_tcpserver() { need_program tcpserver; }
start_tcpserver() { launch tcpserver -DHR -l 0 -c 100 -b 1024 "$HOST" "$PORT" "${COMMAND[@]}"; }

# need_peer PACKAGE FILE: and where its libraries are. It and what it starts would write to /run and to the syslog of this host.
need_peer() {
	local libs
	PEER=$PEERS/$1/$2
	[ -x "$PEER" ] || skip "$1 is not unpacked: tests/peers does that"
	mapfile -t libs < <(find "$PEERS/$1/lib" "$PEERS/$1/usr/lib" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u)
	VARIABLES+=("LD_LIBRARY_PATH=$(IFS=:; echo "${libs[*]}")")
	[ ${#ASIDE[@]} -gt 0 ] || aside || skip "$1 writes to /run, and this host allows no mount namespace"
}

inetd_conf() {
	local protocol=tcp
	[[ $HOST != *:* ]] || protocol=tcp6
	printf '%s\tstream\t%s\tnowait\t%s\t%s\t%s\n' "$HOST:$PORT" $protocol "$(id -un)" "${COMMAND[0]}" "${COMMAND[*]}" >"$BATS_TEST_TMPDIR/inetd.conf"
}

need_openbsd_inetd() { need_peer openbsd-inetd usr/sbin/inetd; }
start_openbsd_inetd() {
	inetd_conf
	launch "$PEER" -i "$BATS_TEST_TMPDIR/inetd.conf"
}

need_inetutils_inetd() { need_peer inetutils-inetd usr/sbin/inetutils-inetd; }
start_inetutils_inetd() {
	inetd_conf
	launch "$PEER" -d -p "$BATS_TEST_TMPDIR/inetd.conf"
}

# --- the supervisor played by hand ---

by_hand_script='
"""MODE HOST DIRECTORY [NAME=VALUE...] -- COMMAND...: start COMMAND for the first connection; in DIRECTORY, write its port, pid and status.
In a VALUE, %p becomes its pid and %j the device and inode of its standard error."""
import ctypes, fcntl, os, signal, socket, sys
mode, host, directory, *words = sys.argv[1:]
variables, command = words[:words.index("--")], words[words.index("--") + 1:]

def put(name, value):
    with open(os.path.join(directory, name + "~"), "w") as f:
        f.write(str(value))
    os.rename(f.name, f.name[:-1])

def pass_on(fd, *places):
    for place in places:
        os.dup2(fd, place)

def child():
    if mode == "inetd":
        pass_on(fd, 0, 1)
    elif mode == "inetd-all":
        pass_on(fd, 0, 1, 2)
    else:
        pass_on(fd, *((3, 4) if mode == "two" else (3,)))
    err = os.fstat(2)
    for v in variables:
        name, value = v.split("=", 1)
        os.environ[name] = value.replace("%p", str(os.getpid())).replace("%j", "%d:%d" % (err.st_dev, err.st_ino))
    for ignored in (signal.SIGPIPE, signal.SIGINT, signal.SIGHUP):  # by Python; by a shell that runs the tests in the background, or nohup
        signal.signal(ignored, signal.SIG_DFL)
    os.execv(command[0], command)

ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what it leaves behind is still our descendant
sock = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
put("port", sock.getsockname()[1])
if mode != "listening":
    listener = sock
    sock = listener.accept()[0]
    listener.close()
fd = fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 100)
pid = os.fork()
if pid == 0:
    try:
        child()
    finally:
        os._exit(111)
put("pid", pid)
os.close(fd)
sock.close()
put("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
try:
    while True:
        os.wait()
except ChildProcessError:
    pass'

# attend MODE [NAME=VALUE...] -- [OPTION...]: serve one connection. MODE: inetd (descriptors 0 1), inetd-all (0 1 2), fds (3, as systemd
# passes it, with LISTEN_FDS), two (the same twice), listening (a listening socket). OPTION... are the handler's.
attend() {
	local mode=$1 variables=()
	shift
	case $mode in
	fds | listening) variables=(LISTEN_PID=%p LISTEN_FDS=1) ;;
	two) variables=(LISTEN_PID=%p LISTEN_FDS=2) ;;
	esac
	while [ "$1" != -- ]; do variables+=("$1"); shift; done
	shift
	DONE=$(mktemp -d "$BATS_TEST_TMPDIR/done.XXXXXX")
	launch "$PYTHON" -c "$by_hand_script" "$mode" "$HOST" "$DONE" "${variables[@]}" -- "$HANDLER" "${SETTINGS[@]}" "$@"
	until_true [ -e "$DONE/port" ]
	PORT=$(cat "$DONE/port")
}

# keeper: sets $KEEPER. speaker: sets $SPEAKER. helper: sets $HELPER, for which a recipient must have been named.
keeper() {
	until_true [ -e "$DONE/pid" ]
	KEEPER=$(cat "$DONE/pid")
}
speaker() { SPEAKER=$(pgrep -P "$KEEPER" -x smtp-handler); }
helper() { HELPER=$(pgrep -P "$KEEPER" -x maildir-deliver); }

# ended STATUS: the handler of the last attend ends with it.
ended() {
	until_true [ -e "$DONE/status" ]
	[ "$(cat "$DONE/status")" = "$1" ] || { echo "exit status $(cat "$DONE/status"), not $1; log:"; cat "$LOG"; return 1; }
}

# --- a client ---

# tcp < TRANSCRIPT: send all, print all that comes.
tcp() {
	timeout 30 bash -c 'exec 9<>"/dev/tcp/$0/$1" || exit; cat >&9; exec cat <&9' "$HOST" "$PORT" 3>&-
}

dial() { exec {CONN}<>"/dev/tcp/$HOST/$PORT"; }
hang_up() {
	[ -z "$CONN" ] || exec {CONN}>&-
	CONN=
}
send() { lines "$@" >&"$CONN"; }

# expect CODE: the next reply, whole, begins with it.
expect() {
	local line
	while IFS= read -rt 20 -u "$CONN" line; do
		[[ $line != [0-9][0-9][0-9]-* ]] || continue
		[[ $line == "$1"* && $line == *$'\r' ]] && return 0
		echo "expected $1, heard: $line"
		return 1
	done
	echo "expected $1, heard nothing; log:"
	cat "$LOG"
	return 1
}

# closed: the server says no more and closes; so do we.
closed() {
	local rest
	rest=$(timeout 20 cat <&"$CONN" 2>/dev/null) || [ $? != 124 ] || { echo "not closed"; return 1; }
	[ -z "$rest" ] || { echo "one more: $rest"; return 1; }
	hang_up
}

# to_rcpt: a dialogue up to the first recipient. to_data: up to the 354.
to_rcpt() {
	dial
	expect 220
	send 'EHLO client.example.org' 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>'
	expect 250 && expect '250 2.1.0' && expect '250 2.1.5'
}
to_data() {
	to_rcpt
	send DATA
	expect 354
}

# --- what was stored ---

# trace FILE: the header lines that we put on top. content FILE: the message below them, as it was sent.
trace_lines() { LC_ALL=C awk '/^Received:/ { seen = 1; next } seen && !/^\t/ { print NR - 1; exit }' "$1"; }
trace() { head -n "$(trace_lines "$1")" "$1"; }
content() { tail -n "+$(($(trace_lines "$1") + 1))" "$1"; }

# message BOX SUBJECT: the file in $ROOT/example.test/BOX/new with that subject.
message() { LC_ALL=C grep -alx "Subject: $2" "$ROOT/example.test/$1/new"/*; }
