# Loaded behind helper and servers: two hosts, a.example and b.example, and a name server, each in a network namespace of its own, with wires between every two of them.
# A host has its own /etc, laid over the machine's, and with it its own resolv.conf and smtp-handler.conf: programs are run as a user of it would, without options.
# All of it is gone with its processes, which end with the test.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
NSD=$PEERS/nsd/usr/sbin/nsd
A=$BATS_TEST_TMPDIR/a
B=$BATS_TEST_TMPDIR/b
NAMES=$BATS_TEST_TMPDIR/names
BOB=65534       # the uid of the only user of each host, whose the queue is: root's it must not be
[ "$(id -u)" = 0 ] || BOB=$(id -u)

# A script, for the directory, which ends as the host of the name server.  In the middle lies 192.0.2.53; 203.0.113.1 has no way.
network_script='
	set -e
	for host in a b; do
		mkfifo "$1/$host/pid"
		unshare --net --mount --propagation private sh -ec "
			mount -t overlay overlay -o lowerdir=$1/$host/etc:/etc /etc
			echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
			ip link set lo up
			echo \$\$ >$1/$host/pid
			exec sleep infinity" || kill $$ &
		read -r pid <"$1/$host/pid"
		eval "$host=$pid"
	done
	echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
	ip -batch - <<-E
		link set lo up
		link add to_a type veth peer name dns netns $a
		link add to_b type veth peer name dns netns $b
		address add 192.0.2.53 peer 192.0.2.1 dev to_a
		address add 192.0.2.53 peer 192.0.2.2 dev to_b
		link set to_a up
		link set to_b up
	E
	nsenter -t $a -n ip -batch - <<-E
		link add wire type veth peer name wire netns $b
		address add 192.0.2.1 peer 192.0.2.53 dev dns
		address add 198.51.100.1/24 dev wire
		address add 198.51.100.10/24 dev wire
		address add 2001:db8::1/64 dev wire nodad
		link set dns up
		link set wire up
		route add unreachable 203.0.113.1
	E
	nsenter -t $b -n ip -batch - <<-E
		address add 192.0.2.2 peer 192.0.2.53 dev dns
		address add 198.51.100.2/24 dev wire
		address add 198.51.100.3/24 dev wire
		address add 198.51.100.4/24 dev wire
		address add 198.51.100.5/24 dev wire
		address add 2001:db8::2/64 dev wire nodad
		link set dns up
		link set wire up
	E
	echo "$$ $a $b" >"$1/pids~"
	mv "$1/pids~" "$1/pids"
	exec sleep infinity'

# host_files DIRECTORY HOSTNAME USER@DOMAIN: what is in its /etc, its mailboxes and its queue.
host_files() {
	local dir=$1 user=${3%@*}
	mkdir -p "$dir"/{etc/ssl/certs,bin,queue} "$dir/mail/${3#*@}"/{"$user",postmaster}
	echo 'nameserver 192.0.2.53' >"$dir/etc/resolv.conf"
	echo '127.0.0.1 localhost' >"$dir/etc/hosts"
	printf 'root:x:0:0::/root:/bin/sh\n%s:x:%d:%d:%s,,:/nonexistent:/bin/sh\n' "$user" "$BOB" "$BOB" "${user^}" >"$dir/etc/passwd"
	ln -s "$BUILD/smtp-queue" "$BUILD/sendmail" "$dir/bin"
	ln -s sendmail "$dir/bin/mailq"
	cat >"$dir/etc/smtp-handler.conf" <<-E
		hostname = $2
		local_domains = none
		mail_root = $dir/mail
		queue_dir = $dir/queue
		submit = $dir/submit.sock
		postmaster = postmaster@${3#*@}
	E
}

# network < RECORDS: the hosts, and nsd with these records in the zone "example."; broken.example is a zone of it that it cannot load.
network() {
	local enter=(unshare --net --mount --propagation private) d
	[ -x "$NSD" ] || skip "nsd is not unpacked: tests/peers does that"
	need_program systemd-socket-activate
	need_program ip
	[ "$(id -u)" = 0 ] || enter=(unshare --map-current-user --keep-caps --net --mount --propagation private)
	host_files "$A" a.example bob@a.example
	host_files "$B" mx.b.example ann@b.example
	possess
	mkdir "$NAMES"
	{ printf '$ORIGIN example.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n'; cat; } >"$NAMES/zone"
	LOG=$BATS_TEST_TMPDIR/network.log
	launch "${enter[@]}" sh -c "$network_script" sh "$BATS_TEST_TMPDIR"
	until_true wired_or_not
	[ -e "$BATS_TEST_TMPDIR/pids" ] || skip "no networks of our own here: $(head -n 1 "$LOG")"
	read -r PID_dns PID_a PID_b <"$BATS_TEST_TMPDIR/pids"
	start_nsd
}
wired_or_not() { [ -e "$BATS_TEST_TMPDIR/pids" ] || gone "$SERVER"; }

# possess: whose what is there is.
possess() {
	local d=$BATS_TEST_TMPDIR
	[ "$(id -u)" = 0 ] || return 0
	chown -R "$BOB:$BOB" "$A/mail" "$A/queue" "$B/mail" "$B/queue"
	while [ "$d" != / ] && [ "$d" != /tmp ]; do chmod o+x "$d"; d=${d%/*}; done
}

# enter HOST: the beginning of a command line, in ENTER.
enter() {
	local pid=PID_$1
	ENTER=(nsenter -t "${!pid}" -n -m)
	[ "$(id -u)" = 0 ] || ENTER+=(-U --preserve-credentials)
	ENTER+=(--)
}

# on HOST COMMAND...: by its administrator.
on() {
	local host=$1 ENTER
	shift
	enter "$host"
	clean_env PATH="$BATS_TEST_TMPDIR/$host/bin:$PATH" SMTP_LOG=stderr timeout 120 "${ENTER[@]}" "$@"
}

# as_user HOST COMMAND...: by its user.
as_user() {
	local user=()
	[ "$(id -u)" != 0 ] || user=(setpriv --reuid "$BOB" --regid "$BOB" --clear-groups)
	on "$1" "${user[@]}" "${@:2}"
}

# --- what runs there ---

# run_on HOST NAME COMMAND...: until the test ends or `end NAME`; what it prints goes to NAME.log.
run_on() {
	local LOG=$BATS_TEST_TMPDIR/$2.log ENTER ASIDE
	enter "$1"
	ASIDE=("${ENTER[@]}")
	launch "${@:3}"
	printf -v "RUNS_$2" %s "$SERVER"
}
end() {
	local pid=RUNS_$1 all
	mapfile -t all < <(family "${!pid}")
	kill -KILL -- "-${!pid}" "${all[@]}" 2>/dev/null || true
	wait "${!pid}" 2>/dev/null || true
}

start_nsd() {
	cat >"$NAMES/nsd.conf" <<-E
		server:
		  ip-address: 192.0.2.53
		  server-count: 1
		  username: ""
		  zonesdir: "$NAMES"
		  database: ""
		  pidfile: ""
		  xfrdfile: "$NAMES/xfrd"
		  zonelistfile: "$NAMES/zones"
		  xfrdir: "$NAMES"
		  logfile: "$NAMES/log"
		remote-control:
		  control-enable: no
		zone:
		  name: example
		  zonefile: zone
		zone:
		  name: broken.example
		  zonefile: missing
	E
	VARIABLES=("LD_LIBRARY_PATH=$(printf '%s:' "$PEERS"/nsd/usr/lib/*-linux-gnu*)")
	run_on dns nsd "$NSD" -d -c "$NAMES/nsd.conf"
	VARIABLES=()
	until_true grep -qs "nsd started" "$NAMES/log" || { cat "$NAMES/log" "$BATS_TEST_TMPDIR/nsd.log"; return 1; }
}

# listen HOST NAME ADDRESS... [-- OPTION...]: smtp-handler for each connection to port 25 of these addresses.
listen() {
	local host=$1 name=$2 at=()
	shift 2
	while [ $# -gt 0 ] && [ "$1" != -- ]; do at+=(-l "$1:25"); shift; done
	run_on "$host" "$name" systemd-socket-activate --inetd --accept "${at[@]}" ${ASAN_OPTIONS:+-E "ASAN_OPTIONS=$ASAN_OPTIONS"} -- "$HANDLER" -o profile=mx "${@:2}"
	until_true grep -q "^Listening on ${at[-1]//[\[\]]/.}" "$BATS_TEST_TMPDIR/$name.log"
}

# listen_all: both hosts take mail, and that of their own programs.
listen_all() {
	local host
	listen a smtp_a 198.51.100.1 '[2001:db8::1]'
	listen b smtp_b 198.51.100.2 '[2001:db8::2]'
	submission
}
submission() {
	local host
	for host in a b; do
		run_on $host submit_$host systemd-socket-activate --inetd --accept -l "$BATS_TEST_TMPDIR/$host/submit.sock" ${ASAN_OPTIONS:+-E "ASAN_OPTIONS=$ASAN_OPTIONS"} -- "$HANDLER" -o profile=local
		until_true grep -q '^Listening on' "$BATS_TEST_TMPDIR/submit_$host.log"
		chmod 666 "$BATS_TEST_TMPDIR/$host/submit.sock"
	done
}

# set_on HOST LINE...: more of its configuration.
set_on() { printf '%s\n' "${@:2}" >>"$BATS_TEST_TMPDIR/$1/etc/smtp-handler.conf"; }

# change HOST SCRIPT: of sed, for that file, which must stay the one that was laid over the machine's.
change() {
	local file=$BATS_TEST_TMPDIR/$1/etc/smtp-handler.conf text
	text=$(sed "$2" "$file")
	printf '%s\n' "$text" >"$file"
}

# pass HOST [SECONDS]: a pass over its queue, so many seconds from now.
pass() { on "$1" smtp-queue --now "$(($(date +%s) + ${2:-0}))" run 2>>"$BATS_TEST_TMPDIR/$1/log"; }

# bob RECIPIENT...: he sends what is on standard input.
bob() { as_user a sendmail -i "$@"; }
short() { bob "$@" <<<$'Subject: short\n\nhello'; }

box() { new_files "$BATS_TEST_TMPDIR/$1/mail/${3:-$1.example}/$2"; }      # HOST USER [DOMAIN]
boxes() { box "$@" | wc -l; }
waiting() { find "$BATS_TEST_TMPDIR/$1"/queue/{new,wait,hold} -type f 2>/dev/null | wc -l; }
empty() { [ -z "$(find "$BATS_TEST_TMPDIR/$1/queue" -path '*/queue/host/*' -prune -o -type f -print)" ] || { on "$1" mailq; cat "$BATS_TEST_TMPDIR/$1/log"; return 1; }; }
log_has() { grep -qE -- "$2" "$BATS_TEST_TMPDIR/$1/log" || { echo "not in the log of $1: $2"; cat "$BATS_TEST_TMPDIR/$1/log"; return 1; }; }
