#!/usr/bin/env bats
# Who owns what: users and owners of domains against each other and against the limits.
# shellcheck disable=SC2016,SC2034
load helper
load users

the_writer() { w=$(processes_of "$(uid alice)"); [ -n "$w" ]; }

@test "a user who stops his writer: the MDA form ends in time" {
	mkfifo "$BATS_TEST_TMPDIR/in"
	on_host env -i PATH="$PATH" timeout -k 1 25 "$DELIVER" "${SETTINGS[@]}" -o deliver_timeout=1s -d alice@localhost <"$BATS_TEST_TMPDIR/in" 2>>"$LOG" 3>&- &
	pid=$!
	exec 7>"$BATS_TEST_TMPDIR/in"
	until_true the_writer
	as alice kill -STOP "$w"
	printf 'Subject: x\n\nhi\n' >&7
	exec 7>&-
	start=$(date +%s)
	rc=0; wait $pid || rc=$?
	echo "rc=$rc after $(( $(date +%s) - start ))"
	[ "$rc" = 75 ]
	gone() { [ -z "$(processes_of "$(uid alice)")" ]; }
	until_true gone
}

@test "a user who stops his writer: by LMTP, no process is left" {
	mkfifo "$BATS_TEST_TMPDIR/in"
	exec 7<>"$BATS_TEST_TMPDIR/in"
	on_host env -i PATH="$PATH" setsid "$DELIVER" "${SETTINGS[@]}" -o deliver_timeout=1s --lmtp <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>>"$LOG" 3>&- 7>&- &
	lines "LHLO x" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>" >&7
	until_true the_writer
	until_true grep -q "2.1.5" "$BATS_TEST_TMPDIR/out"
	as alice kill -STOP "$w"
	lines DATA "Subject: x" "" hi . QUIT >&7
	until_true grep -q "^221" "$BATS_TEST_TMPDIR/out"
	until_true none_left
}
none_left() { ! pgrep -f "^$DELIVER .*mail_root=$ROOT .*--lmtp"; }

@test "a late answer of a writer is not that to the next question: 250 only for what is stored" {
	session -o deliver_timeout=2s
	tell "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>"
	hear "250 2.1.5"
	w=$(processes_of "$(uid alice)")
	kill -STOP "$w"
	tell "RCPT TO:<alice+x@localhost>"
	hear "451"
	kill -CONT "$w"
	# new/ cannot be renamed into
	chattr +i "$(box alice)/new" 2>/dev/null || mount_ro=1
	tell DATA; hear 354
	tell "Subject: x" "" hi .
	read -rt 20 line <&"${RUN[0]}"; echo "after data: $line"
	tell QUIT
	hang_up || true
	chattr -i "$(box alice)/new" || true
	held alice
	tail -5 "$LOG"
	[[ $line != 250* ]] || [ "$(held alice)" = "alice 1" ]
}

@test "a domain's .agent does not run as the owner of another domain's mailbox" {
	install -d -m 1777 "$HOST/got"
	# alice owns a.test, carol owns c.test and what is in it, closed to others
	install -d -m 755 -o "$(uid alice)" -g "$(uid alice)" "$ROOT/a.test"
	install -d -m 700 -o "$(uid carol)" -g "$(uid carol)" "$ROOT/c.test" "$ROOT/c.test/box"
	(cd "$ROOT/a.test" && setpriv --reuid "$(uid alice)" --regid "$(uid alice)" --clear-groups sh -c 'umask 022; ln -s ../c.test/box x; echo "/bin/sh -c \"id -u >/mnt/got/x; cp /bin/sh /mnt/got/sh; chmod 4755 /mnt/got/sh\"" >.agent')
	OPTIONS=(-o domain_agents=yes)
	mail "<x@a.test>" | tail -1
	echo "ran as $(cat "$HOST/got/x") alice is $(uid alice) carol is $(uid carol)"; ls -l "$HOST/got"
	[ "$(cat "$HOST/got/x" 2>/dev/null)" != "$(uid carol)" ]
}

@test "a domain's .aliases is not a file of another owner" {
	install -d -m 755 -o "$(uid alice)" -g "$(uid alice)" "$ROOT/a.test"
	install -d -m 700 -o "$(uid carol)" -g "$(uid carol)" "$ROOT/c.test"
	printf 'board: secret.person@elsewhere.example, carol@c.test\n' >"$ROOT/c.test/.aliases"
	chown "$(uid carol)" "$ROOT/c.test/.aliases"; chmod 600 "$ROOT/c.test/.aliases"
	(cd "$ROOT/a.test" && setpriv --reuid "$(uid alice)" --regid "$(uid alice)" --clear-groups ln -s ../c.test/.aliases .aliases)
	OPTIONS=(-o vrfy=yes)
	run say "EXPN board@a.test"
	echo "$output"
	refute grep -q secret <<<"$output"
}

@test "what came by mail is not run as its owner by another's .aliases link" {
	install -d -m 1777 "$HOST/got"
	install -d -m 755 -o "$(uid alice)" -g "$(uid alice)" "$ROOT/a.test"
	install -d -m 700 -o "$(uid carol)" -g "$(uid carol)" "$ROOT/c.test" "$ROOT/c.test/box"
	lines "EHLO x" "MAIL FROM:<a@b.example>" "RCPT TO:<box@c.test>" DATA 'hook: "|/bin/sh -c \"id -u >/mnt/got/x\""' "Subject: x" "" hi . QUIT | handler >/dev/null
	name=$(basename "$(new_files "$ROOT/c.test/box")")
	(cd "$ROOT/a.test" && setpriv --reuid "$(uid alice)" --regid "$(uid alice)" --clear-groups ln -s "../c.test/box/new/$name" .aliases)
	OPTIONS=(-o alias_programs=yes)
	mail "<hook@a.test>" | tail -1
	echo "ran as $(cat "$HOST/got/x") alice is $(uid alice) carol is $(uid carol)"; tail -3 "$LOG"
	[ "$(cat "$HOST/got/x" 2>/dev/null)" != "$(uid carol)" ]
}

finished() { ! pgrep -f '^/bin/sh /mnt/prog'; }

@test "an alias that leads to two slow programs: no 451 after both have run" {
	install -d -m 1777 "$HOST/got"
	printf '#!/bin/sh\nsleep 1.3; echo run >>/mnt/got/$1\n' >"$HOST/prog"; chmod 755 "$HOST/prog"
	echo "nobody:x:65534:65534:nobody:/nonexistent:/bin/sh" >>"$HOST/etc/passwd"
	printf 'list: "|/mnt/prog one", "|/mnt/prog two"\n' >"$HOST/etc/aliases"
	OPTIONS=(-o alias_programs=yes -o deliver_timeout=2s)
	run mail "<list@localhost>"
	r=${lines[-1]}
	until_true finished
	echo "$r"; wc -l "$HOST"/got/* || true; tail -4 "$LOG"
	[[ $r == 250* ]] || [ ! -e "$HOST/got/one" ] || [ "$(cat "$HOST"/got/* | wc -l)" -lt 2 ]
}

traced() { ! grep -q '^TracerPid:[[:space:]]*0$' "/proc/$w/status"; }
alice_is_gone() { [ -z "$(processes_of "$(uid alice)")" ]; }

@test "a writer that is slow to hear the last word keeps what was answered with 250" {
	command -v strace >/dev/null || skip "no strace"
	session -o deliver_timeout=2s
	tell "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>"
	hear "250 2.1.5"
	w=$(processes_of "$(uid alice)")
	# it stops for two seconds right behind its answer that all is published; an eighth of the limit is how long it is waited for
	strace -qq -p "$w" -o "$BATS_TEST_TMPDIR/trace" -e trace=sendmsg -e inject=sendmsg:delay_exit=2000000:when=2 3>&- &
	until_true traced
	tell DATA; hear 354
	tell "Subject: x" "" hi .
	hear "250 2.0.0"
	tell QUIT
	hang_up
	until_true alice_is_gone
	[ "$(held alice)" = "alice 1" ]
}

@test "a user who is slow at both steps: all or nothing with a mailbox beside him" {
	command -v strace >/dev/null || skip "no strace"
	session -o deliver_timeout=4s
	tell "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>" "RCPT TO:<virtual@example.test>"
	hear "250 2.1.5"; hear "250 2.1.5"
	w=$(processes_of "$(uid alice)")
	strace -qq -p "$w" -o "$BATS_TEST_TMPDIR/trace" -e trace=fsync,renameat2 -e inject=fsync:delay_exit=1400000:when=1 -e inject=renameat2:delay_exit=3200000 3>&- &
	until_true traced
	tell DATA; hear 354
	tell "Subject: x" "" hi .
	read -rt 20 line <&"${RUN[0]}"; echo "after data: $line"
	tell QUIT || true
	hang_up || true
	until_true alice_is_gone
	held alice; count "$ROOT/example.test/virtual"; tail -5 "$LOG"
	[[ $line == 250* ]] || [ "$(count "$ROOT/example.test/virtual")" = 0 ]
}

@test "an agent that stops itself is ended after the limit" {
	printf '#!/bin/sh\nkill -STOP $$\n' >"$HOST/agent"; chmod 755 "$HOST/agent"
	on_host env -i PATH="$PATH" timeout -k 1 20 "$DELIVER" "${SETTINGS[@]}" -o deliver_timeout=1s -o agent=/mnt/agent -d alice@localhost <<<$'Subject: x\n\nhi' 2>>"$LOG" 3>&- && rc=0 || rc=$?
	tail -3 "$LOG"; echo "rc=$rc"
	left=$(processes_of "$(uid alice)"); for p in $left; do kill -9 "$p"; done
	[ "$rc" = 75 ] && [ -z "$left" ]
}

@test "a program without its table's descriptor does not run as somebody else" {
	install -d -m 1777 "$HOST/got"
	printf '#!/bin/sh\nid -u >/mnt/got/$1\n' >"$HOST/prog"; chmod 755 "$HOST/prog"
	echo "nobody:x:65534:65534:nobody:/nonexistent:/bin/sh" >>"$HOST/etc/passwd"
	install -d -m 755 -o "$(uid alice)" -g "$(uid alice)" "$ROOT/a.test"
	{ printf 'list: '; for ((i = 0; i < 80; i++)); do printf '"|/mnt/prog one", '; done; printf 'last\n'
		printf 'last: "|/mnt/prog two"\n'; } >"$ROOT/a.test/.aliases"
	chown "$(uid alice)" "$ROOT/a.test/.aliases"; chmod 644 "$ROOT/a.test/.aliases"
	on_host env -i PATH="$PATH" prlimit --nofile=64:64 "$DELIVER" "${SETTINGS[@]}" -o alias_programs=yes -d list@a.test <<<$'Subject: x\n\nhi' 2>>"$LOG" 3>&- && rc=0 || rc=$?
	echo "rc=$rc"; grep . "$HOST"/got/* || true; tail -3 "$LOG"; echo "alice $(uid alice)"
	refute grep -rq 65534 "$HOST/got"
}

@test "a name service whose server is down says ENOENT: that is no proof that there is no such user" {
	[[ ! $BUILD =~ static|san ]] || skip "name services are for the dynamic build"
	cat >"$BATS_TEST_TMPDIR/down.c" <<-'E'
		#include <errno.h>
		#include <nss.h>
		#include <pwd.h>
		enum nss_status _nss_down_getpwnam_r(const char *name, struct passwd *p, char *room, size_t size, int *e)
		{
			(void)name, (void)p, (void)room, (void)size;
			*e = ENOENT;
			return NSS_STATUS_UNAVAIL;
		}
	E
	cc -shared -fPIC -o "$HOST/libnss_down.so.2" "$BATS_TEST_TMPDIR/down.c"
	try() { on_host env -i PATH="$PATH" LD_LIBRARY_PATH=/mnt timeout 20 "$DELIVER" "${SETTINGS[@]}" -d "$1" <<<$'Subject: x\n\nhi' 2>>"$LOG"; }
	for services in files "files systemd" "files not-installed"; do
		printf 'passwd: %s\ngroup: files\n' "$services" >"$HOST/etc/nsswitch.conf"
		run -67 try ldap-user@localhost
	done
	printf 'passwd: files down\ngroup: files\n' >"$HOST/etc/nsswitch.conf"
	run -75 try ldap-user@localhost
	try alice@localhost
}
