# Foreign mail programs, run from where tests/peers unpacked them, after `load helper`.  Each has its configuration, queue, log and sockets
# beneath the test's directory and its own idea of who it is; none asks the DNS or can send a message anywhere.  All are ended with the test.
# shellcheck shell=bash disable=SC2154
PEERS=$(realpath -m "${PEERS:-$BATS_TEST_DIRNAME/../build/peers}")
DOVECOT=$BATS_TEST_TMPDIR/dovecot
POSTFIX=$BATS_TEST_TMPDIR/postfix
EXIM=$BATS_TEST_TMPDIR/exim
OPENSMTPD=$BATS_TEST_TMPDIR/opensmtpd

teardown() { stop_all; }

# needs TREE...: skip the test where tests/peers could not unpack them.
needs() {
	local tree
	for tree in "$@" wrap; do
		if ! [ -f "$PEERS/stamp" ] || ! [ -d "$PEERS/$tree" ]; then skip "no $tree in $PEERS: tests/peers could not unpack it"; fi
	done
}

# installed COMMAND...: skip the test where they are not.
installed() {
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null || skip "$command is not installed"
	done
}

# --- processes ---

# start NAME PROGRAM...: in the background until the test ends; what it prints goes to NAME.out.  A program, no function: it is ended by its pid.
start() {
	local name=$1
	shift
	"$@" </dev/null >"$BATS_TEST_TMPDIR/$name.out" 2>&1 3>&- &
	STARTED+=($!)
}

ended() { ! kill -0 "$1" 2>/dev/null; }

# The last one first.
stop_all() {
	local i pid
	for ((i = ${#STARTED[@]} - 1; i >= 0; i--)); do
		pid=${STARTED[i]}
		kill "$pid" 2>/dev/null || continue
		until_true ended "$pid" || kill -KILL "$pid"
	done
	STARTED=()
}

# serve NAME ADDRESS COMMAND...: the command for each connection to this address (a path, or 127.0.0.1, where PORT becomes its port).
serve() {
	local name=$1 address=$2 at=$2 tries
	shift 2
	installed systemd-socket-activate
	for ((tries = 0; tries < 5; tries++)); do
		if [[ $address != /* ]]; then
			PORT=$(clean_env "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
			at=$address:$PORT
		fi
		start "$name" env -i "PATH=$PATH" LC_ALL=C TZ=UTC systemd-socket-activate --inetd --accept -l "$at" \
			${ASAN_OPTIONS:+-E "ASAN_OPTIONS=$ASAN_OPTIONS"} "$@"
		until_true listening_or_ended "$name" "${STARTED[-1]}"
		ended "${STARTED[-1]}" || return 0
	done
	return 1
}
listening_or_ended() { grep -q '^Listening on' "$BATS_TEST_TMPDIR/$1.out" || ended "$2"; }

# A mail server wants to be root and several users besides.  uid_wrapper lets it believe that it is, and nss_wrapper that these users exist:
# so it needs no right that the tests do not have, and can reach their directory.  What it starts for a delivery gets a clean environment.
# pretend TREE [NAME=VALUE...] sets RUN, the beginning of a command line, and WRAP, the environment that has to survive within the server.
pretend() {
	local tree=$1 lib
	shift
	lib=$(dirname "$PEERS"/wrap/usr/lib/*/libuid_wrapper.so)
	tree=$PEERS/$tree/usr/lib/$tree:$PEERS/$tree/usr/lib/${lib##*/}:$PEERS/$tree/lib/${lib##*/}
	WRAP=("LD_LIBRARY_PATH=$tree:$PEERS/dovecot/usr/lib/dovecot/modules/old-stats"
		"LD_PRELOAD=$lib/libuid_wrapper.so:$lib/libnss_wrapper.so" "$@")
	RUN=(env -i "PATH=$PATH" LC_ALL=C TZ=UTC "HOME=$BATS_TEST_TMPDIR" "${WRAP[@]}")
}

# pretend_root TREE: the server is root, and its users exist.
pretend_root() {
	local users=$BATS_TEST_TMPDIR/users uid=64001 gid=64001
	# what the server gives to this user must be possible for us
	[ "$(id -u)" = 0 ] || { uid=$(id -u) gid=$(id -g); }
	mkdir -p "$users"
	printf '%s::/:/bin/false\n' root:x:0:0 "postfix:x:$uid:$gid" Debian-exim:x:64002:64002 vmail:x:64003:64003 >"$users/passwd"
	printf '%s:\n' root:x:0 "postfix:x:$gid" Debian-exim:x:64002 vmail:x:64003 postdrop:x:64004 >"$users/group"
	pretend "$1" UID_WRAPPER=1 UID_WRAPPER_ROOT=1 "NSS_WRAPPER_PASSWD=$users/passwd" "NSS_WRAPPER_GROUP=$users/group"
}

# --- Dovecot ---

# dovecot_config [LINE...]: $DOVECOT/conf.  Its programs read it through doveconf, which we must call where it is: DOVECONF MODULE.
dovecot_config() {
	needs dovecot
	local tree=$PEERS/dovecot/usr owner group
	owner=$(id -un) || skip "this user has no name"
	if [ "$owner" = root ]; then
		owner=daemon
		pretend dovecot UID_WRAPPER=1 UID_WRAPPER_ROOT=1
	else
		pretend dovecot
	fi
	group=$(id -gn "$owner")
	DOVECONF=("${RUN[@]}" "USER=$owner" "DOVECOT_PRESERVE_ENVS=USER HOME ${WRAP[*]%%=*}" "$tree/bin/doveconf" -c "$DOVECOT/conf")
	mkdir -p "$DOVECOT/run"
	ln -sfn "$tree/lib/dovecot/modules" "$DOVECOT/run/modules"
	cat >"$DOVECOT/conf" <<-E
		base_dir = $DOVECOT/run
		state_dir = $DOVECOT/run
		libexec_dir = $tree/lib/dovecot
		mail_plugin_dir = $tree/lib/dovecot/modules
		log_path = $DOVECOT/log
		mail_temp_dir = $DOVECOT
		hostname = dovecot.example.test
		listen = 127.0.0.1
		ssl = no
		default_internal_user = $owner
		default_login_user = $owner
		default_internal_group = $group
		import_environment = ${WRAP[*]%%=*}
		mail_uid = $owner
		mail_gid = $group
		first_valid_uid = 1
		$(printf '%s\n' "$@")
	E
}

# imap MAILDIR [seen]: what a mail client sees there through Dovecot's IMAP: "SIZE OCTETS FLAGS SUBJECT" of each message, as Dovecot declares its
# size and as its text arrives, which is left in imap.1, imap.2...; then each is marked as read if asked.
imap() {
	dovecot_config "mail_location = maildir:$1"
	local program=$PEERS/dovecot/usr/lib/dovecot/imap
	clean_env timeout 60 "$PYTHON" - "$(printf '%q ' "${DOVECONF[@]}" -f service=imap -m imap -m ssl -p -e "$program" -c "$DOVECOT/conf")" \
		"$BATS_TEST_TMPDIR/imap." "${2:-}" 2>>"$DOVECOT/log" <<-'E'
			import email, imaplib, sys
			server = imaplib.IMAP4_stream(sys.argv[1])
			server.select()
			for number in server.search(None, "ALL")[1][0].split():
			    (head, text), tail = server.fetch(number, "(FLAGS RFC822.SIZE BODY.PEEK[])")[1]
			    flags = " ".join(f.decode() for f in imaplib.ParseFlags(head))
			    size = head.decode().split("RFC822.SIZE ")[1].split()[0]
			    print(size, len(text), f"({flags})", email.message_from_bytes(text)["Subject"])
			    with open(sys.argv[2] + number.decode(), "wb") as copy:
			        copy.write(text)
			    if sys.argv[3]:
			        server.store(number, "+FLAGS", r"\Seen")
			server.logout()
	E
}

# imap_idle BOX COMMAND...: a client waits in IDLE; COMMAND; prints what the server then says by itself, up to EXISTS.
imap_idle() {
	dovecot_config "mail_location = maildir:$1" "mailbox_idle_check_interval = 1s"
	local program=$PEERS/dovecot/usr/lib/dovecot/imap
	shift
	clean_env timeout 60 "$PYTHON" - "$(printf '%q ' "${DOVECONF[@]}" -f service=imap -m imap -m ssl -p -e "$program" -c "$DOVECOT/conf")" "$@" 2>>"$DOVECOT/log" <<-'E'
		import imaplib, subprocess, sys
		server = imaplib.IMAP4_stream(sys.argv[1])
		server.select()
		server.send(b"x IDLE\r\n")
		assert server.readline().startswith(b"+")
		subprocess.run(sys.argv[2:], check=True, stdin=sys.stdin)
		while True:
		    line = server.readline()
		    assert line, "the server has gone"
		    print(line.decode().strip())
		    if b"EXISTS" in line:
		        break
		server.send(b"DONE\r\n")
	E
}

dovecot_content() { [ -f "$DOVECOT/log" ] && ! grep -E 'Error|Warning|Fatal|Panic' "$DOVECOT/log"; }

# dovecot_lmtp USER@DOMAIN...: a Dovecot with these users listens for LMTP at $DOVECOT/lmtp and delivers to $DOVECOT/mail/DOMAIN/USER.
dovecot_lmtp() {
	local user users=$DOVECOT/users
	dovecot_config "protocols = lmtp" "mail_location = maildir:$DOVECOT/mail/%d/%n" \
		"userdb {" "driver = passwd-file" "args = $users" "default_fields = home=/nonexistent" "}" \
		"passdb {" "driver = passwd-file" "args = $users" "}" \
		"service anvil {" "chroot =" "}" "service stats {" "chroot =" "}" \
		"service lmtp {" "unix_listener $DOVECOT/lmtp {" "mode = 0600" "}" "}"
	for user in "$@"; do echo "$user::::::"; done >"$users"
	start dovecot "${DOVECONF[@]}" -m master -p -e "$PEERS/dovecot/usr/sbin/dovecot" -c "$DOVECOT/conf" -F
	until_true test -S "$DOVECOT/lmtp"
}

# dovecot_auth USER:PASSWORD...: a Dovecot that knows these users listens for those who check passwords at $DOVECOT/auth.
dovecot_auth() {
	local user users=$DOVECOT/users
	dovecot_config "protocols =" "auth_mechanisms = plain login scram-sha-256 anonymous" "auth_failure_delay = 0" "auth_verbose = yes" \
		"userdb {" "driver = passwd-file" "args = $users" "default_fields = home=/nonexistent" "}" \
		"passdb {" "driver = passwd-file" "args = scheme=PLAIN $users" "}" \
		"service anvil {" "chroot =" "unix_listener anvil-auth-penalty {" "mode = 0" "}" "}" "service stats {" "chroot =" "}" "service auth-worker {" "user = \$default_internal_user" "}" \
		"service auth {" "user = \$default_internal_user" "unix_listener $DOVECOT/auth {" "mode = 0666" "}" "}"
	for user in "$@"; do echo "$user::::::"; done >"$users"
	chmod 644 "$users"
	start dovecot "${DOVECONF[@]}" -m master -p -e "$PEERS/dovecot/usr/sbin/dovecot" -c "$DOVECOT/conf" -F
	until_true test -S "$DOVECOT/auth"
}

# --- Postfix ---

# postfix TRANSPORT [LINE...]: (LINE... are more of main.cf, $POSTFIX_SERVICES of master.cf) a Postfix that gives all mail for example.test to this transport, and bounces all other.  `maildir` is maildir-deliver
# by pipe(8), as its manual says.
postfix() {
	needs postfix
	local tree=$PEERS/postfix/usr
	pretend_root postfix
	mkdir -p "$POSTFIX"/{conf,data} "$POSTFIX"/queue/{incoming,active,deferred,bounce,defer,flush,hold,corrupt,saved,trace,maildrop,public,private,pid}
	cat >"$POSTFIX/conf/main.cf" <<-E
		compatibility_level = 3.6
		queue_directory = $POSTFIX/queue
		data_directory = $POSTFIX/data
		command_directory = $tree/sbin
		daemon_directory = $tree/lib/postfix/sbin
		shlib_directory = $tree/lib/postfix
		meta_directory = $POSTFIX/conf
		mail_owner = postfix
		setgid_group = postdrop
		default_privs = vmail
		import_environment = MAIL_CONFIG TZ LC_ALL ${WRAP[*]}
		export_environment = MAIL_CONFIG TZ LC_ALL ${WRAP[*]%%=*}
		maillog_file = $POSTFIX/log
		maillog_file_prefixes = $POSTFIX
		myhostname = postfix.example.test
		inet_interfaces = 127.0.0.1
		inet_protocols = ipv4
		disable_dns_lookups = yes
		smtp_host_lookup = native
		mydestination =
		alias_maps =
		alias_database =
		local_transport = error:5.7.1 no mail leaves the test
		default_transport = error:5.7.1 no mail leaves the test
		virtual_mailbox_domains = example.test
		virtual_transport = $1
		maildir_destination_recipient_limit = 1
		$(printf '%s\n' "${@:2}")
	E
	cat >"$POSTFIX/conf/master.cf" <<-E
		postlog    unix-dgram n - n - 1 postlogd
		pickup     unix n - n 60  1 pickup
		cleanup    unix n - n -   0 cleanup
		qmgr       unix n - n 300 1 qmgr
		flush      unix n - n -   0 flush
		showq      unix n - n -   - showq
		rewrite    unix - - n -   - trivial-rewrite
		bounce     unix - - n -   0 bounce
		defer      unix - - n -   0 bounce
		trace      unix - - n -   0 bounce
		error      unix - - n -   - error
		retry      unix - - n -   - error
		scache     unix - - n -   1 scache
		tlsmgr     unix - - n 1000? 1 tlsmgr
		lmtp       unix - - n -   - lmtp
		smtp       unix - - n -   - smtp
		maildir    unix - n n -   - pipe -o export_environment=TZ
		  flags=q user=vmail null_sender=
		  argv=$DELIVER ${SETTINGS[*]} -f \${sender} -d \${recipient}
	E
	printf '%s\n' "${POSTFIX_SERVICES[@]}" >>"$POSTFIX/conf/master.cf"
	# it would read a file again and again that has just changed
	touch -d '1 minute ago' "$POSTFIX"/conf/*
	start postfix "${RUN[@]}" "$tree/lib/postfix/sbin/master" -c "$POSTFIX/conf"
	until_true test -S "$POSTFIX/queue/public/pickup"
}

# postfix_send RECIPIENT... < message: from bob.
postfix_send() { timeout 30 "${RUN[@]}" "$PEERS/postfix/usr/sbin/sendmail" -C "$POSTFIX/conf" -i -f bob@example.test "$@"; }
postfix_queue() { timeout 30 "${RUN[@]}" "$PEERS/postfix/usr/sbin/postqueue" -c "$POSTFIX/conf" "$@"; }

# postfix_logged TEXT...: whether a line of its log has all of them in this order.
postfix_logged() {
	local text pattern=
	for text in "$@"; do pattern+=".*$text"; done
	grep -q -- "$pattern" "$POSTFIX/log"
}

# --- Exim ---

# exim_config TRANSPORT [LINE...]: all mail for example.test goes through this transport, all other is bounced.  (EXIM_FOR: another condition than that domain; EXIM_LINES:
# more of the main section, and sections behind it; EXIM_TLS: to whom TLS is offered.)  It trusts only a configuration that belongs to root, and root's files belong to us only if we are.
exim_config() {
	needs exim
	[ "$(id -u)" = 0 ] || skip "Exim takes a configuration from root only"
	pretend_root exim
	mkdir -p "$EXIM/spool"
	local names=("${WRAP[@]%%=*}") driver=$1 keep
	shift
	keep=$(printf '%s : ' "${names[@]}")
	cat >"$EXIM/conf" <<-E
		exim_path = $PEERS/exim/usr/sbin/exim4
		spool_directory = $EXIM/spool
		log_file_path = $EXIM/%slog
		process_log_path = $EXIM/process
		keep_environment = $keep TZ
		deliver_drop_privilege = true
		never_users =
		trusted_users = root
		primary_hostname = exim.example.test
		qualify_domain = example.test
		host_lookup =
		rfc1413_hosts =
		tls_advertise_hosts = $EXIM_TLS
		$(printf '%s\n' "${EXIM_LINES[@]}")
		begin routers
		ours:
		  driver = accept
		  ${EXIM_FOR:-domains = example.test}
		  transport = maildir_deliver
		others:
		  driver = redirect
		  allow_fail
		  data = :fail: no mail leaves the test
		begin transports
		maildir_deliver:
		  driver = $driver
		$(printf '  %s\n' "$@")
		begin retry
		* * F,1h,1m
	E
}

exim() { timeout 60 "${RUN[@]}" "$PEERS/exim/usr/sbin/exim4" -C "$EXIM/conf" "$@"; }

# exim_send RECIPIENT... < message: from bob, and wait for the first attempt.
exim_send() { exim -odi -oi -f bob@example.test "$@"; }

# exim_listens: on $PORT of 127.0.0.1.
exim_listens() {
	start exim "${RUN[@]}" "$PEERS/exim/usr/sbin/exim4" -C "$EXIM/conf" -bdf -oX "127.0.0.1.$PORT" -oP "$EXIM/pid"
	until_true grep -qs 'daemon started' "$EXIM/mainlog"
}

# --- OpenSMTPD ---

# opensmtpd LINE...: with this configuration, in a mount namespace with what it was compiled to find: its users, its queue, a resolver that asks nobody.
opensmtpd() {
	needs opensmtpd
	[ "$(id -u)" = 0 ] || skip "OpenSMTPD needs root, for the users that its processes become"
	local tree=$PEERS/opensmtpd libs enter
	mkdir -p "$OPENSMTPD/etc"
	printf '%s::/:/bin/false\n' root:x:0:0 vmail:x:64003:64003 opensmtpd:x:64005:64005 opensmtpq:x:64006:64006 >"$OPENSMTPD/etc/passwd"
	printf '%s:\n' root:x:0 vmail:x:64003 opensmtpd:x:64005 opensmtpq:x:64006 >"$OPENSMTPD/etc/group"
	printf '%s: files\n' passwd group hosts >"$OPENSMTPD/etc/nsswitch.conf"
	printf 'nameserver 127.0.0.1\nlookup file\n' >"$OPENSMTPD/etc/resolv.conf"
	echo '127.0.0.1 localhost' >"$OPENSMTPD/etc/hosts"
	echo opensmtpd.example.test >"$OPENSMTPD/etc/mailname"
	printf '%s\n' "$@" >"$OPENSMTPD/conf"
	chmod 600 "$OPENSMTPD/conf"
	libs=$(find "$tree" -name '*.so*' -printf '%h\n' | sort -u | paste -sd :)
	enter=(unshare --mount --propagation private sh -ec '
		for dir in /var/spool /var/lib /run; do mount -t tmpfs -o mode=755 tmpfs $dir; done
		mkdir -p /var/lib/opensmtpd/empty
		mkdir -m 711 /var/spool/smtpd
		mount --bind "$1/usr/libexec" /usr/libexec
		mount --bind "$0/etc" /etc
		[ -f "$0/conf" ] && [ -x "$1/usr/sbin/smtpd" ]
		shift
		exec "$@"' "$OPENSMTPD" "$tree")
	"${enter[@]}" true 2>/dev/null || skip "no mount namespace here, or this tree lies below /var/lib, /var/spool, /run, /etc"
	start opensmtpd "${enter[@]}" env -i "PATH=$PATH" LC_ALL=C TZ=UTC ${libs:+"LD_LIBRARY_PATH=$libs"} "$tree/usr/sbin/smtpd" -d -f "$OPENSMTPD/conf"
	until_true reachable_or_ended "${STARTED[-1]}"
	reachable || { cat "$BATS_TEST_TMPDIR/opensmtpd.out"; return 1; }
}
reachable() { (exec 9<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }
reachable_or_ended() { reachable || ended "$1"; }
