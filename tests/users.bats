#!/usr/bin/env bats
# Users of the host: where their mail goes, who writes it, all or nothing between them.
# shellcheck disable=SC1003,SC2001,SC2016,SC2028,SC2034,SC2086
load helper
load users

@test "mail for user@hostname and user@localhost goes to ~user/Maildir, made as the user's with mode 0700" {
	run mail "<alice@mx.example.test>"
	[[ "${lines[-1]}" == "250 2.0.0 "* ]]
	mail "<alice@localhost>"
	[ "$(held alice)" = "alice 2" ]
	run stat -c "%U%u %a" "$(box alice)" "$(box alice)"/{tmp,new,cur}
	[ "$(sort -u <<<"$output")" = "UNKNOWN$(uid alice) 700" ]
	[ "$(stat -c %u:%g:%a "$(box alice)"/new/* | sort -u)" = "$(uid alice):$(uid alice):600" ]
	grep -q '^Delivered-To: alice@mx.example.test$' "$(box alice)"/new/*
}

@test "user_maildir names the place; local_domains the domains" {
	OPTIONS=(-o user_maildir=.mail -o "local_domains=host.example, other.example")
	run mail "<alice@host.example>"
	[[ "${lines[-1]}" == "250 "* ]]
	run mail "<alice@mx.example.test>"
	[[ "${lines[0]}" == "550 "* ]]
	[ "$(count "$(box alice .mail)")" = 1 ]
	[ ! -e "$(box alice)" ]
}

@test "unknown users are 550; upper case, quotes and detail make no difference" {
	run mail "<nobody-here@localhost>" "<alice/../bob@localhost>" '<".."@localhost>' '<"../bob"@localhost>'
	[ "$(grep -c "^550 5.1.1" <<<"$output")" = 3 ]
	mail "<ALICE@LocalHost>"
	mail '<"alice"@localhost>'
	mail "<Alice+shop@MX.example.TEST>"
	[ "$(held alice)" = "alice 3" ]
}

@test "root, nobody and users below min_uid take no mail, but through an alias" {
	echo "nobody:x:65534:65534:nobody:/nonexistent:/bin/sh" >>"$HOST/etc/passwd"
	user low 999
	run mail "<root@localhost>" "<nobody@localhost>" "<low@localhost>" "<smtp-handler@localhost>"
	[ "$(grep -c "^550 5.1.1" <<<"$output")" = 3 ]
	[[ "${lines[3]}" == "451 4.2.0 "* ]]    # its home, /, is root's
	printf 'root: alice\nnobody: alice\nlow: bob\n' >"$HOST/etc/aliases"
	mail "<root@localhost>"
	mail "<nobody@localhost>"
	mail "<low@localhost>"
	[ "$(held alice bob)" = $'alice 2\nbob 1' ]
	OPTIONS=(-o "min_uid=$(($(uid alice) + 1))")
	run mail "<alice@localhost>" "<bob@localhost>"
	[[ "${lines[0]}" == "550 "* && "${lines[1]}" == "250 "* ]]
	OPTIONS=(-o min_uid=999)
	: >"$HOST/etc/aliases"
	mail "<low@localhost>"
	[ "$(count "$(box low)")" = 1 ]
}

@test "who writes is the user for good: uid, gid and groups, no capability, no way back, an own environment, nothing open" {
	echo "extra:x:$((FIRST + 8)):alice" >>"$HOST/etc/group"
	session
	tell "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>"
	hear "250 2.1.5"
	writer=$(processes_of "$(uid alice)")
	grep -qE "^Gid:(\s$(uid alice)){4}$" "/proc/$writer/status"
	run sed -n 's/^Groups:\s*//p' "/proc/$writer/status"
	[ "$(tr ' ' '\n' <<<"$output" | grep . | sort -u | xargs)" = "$(uid alice) $((FIRST + 8))" ]
	[ "$(grep -cE '^Cap(Inh|Prm|Eff|Amb):\s0+$' "/proc/$writer/status")" = 4 ]
	grep -qE '^NoNewPrivs:\s1$' "/proc/$writer/status"
	[ "$(tr '\0' '\n' <"/proc/$writer/environ" | sed 's/=.*//' | grep -vxE 'PATH|SMTP_ID|SMTP_AHEAD|SMTP_LOG|ASAN_OPTIONS' | grep -c .)" = 0 ]
	for fd in "/proc/$writer/fd/"*; do readlink "$fd"; done | sed 's/[0-9]*//g' | sort | uniq -c | sort >"$BATS_TEST_TMPDIR/open"
	cat "$BATS_TEST_TMPDIR/open"
	refute grep /mail "$BATS_TEST_TMPDIR/open"
	[ "$(grep -c 'socket:' "$BATS_TEST_TMPDIR/open")" = 1 ] && grep -qE ' 1 socket:' "$BATS_TEST_TMPDIR/open"
	hang_up
	[ -z "$(processes_of "$(uid alice)")" ]
}

@test "nothing in a home is opened, made, looked at or renamed by a process that is not its user" {
	command -v strace >/dev/null || skip "no strace"
	[[ ! $BUILD =~ san ]] || skip "sanitizers bring files of their own"
	echo bob | forward alice
	OPTIONS=()
	on_host strace -fyqq -s 0 -e trace=%file,setresuid,getdents64,fsync -o "$BATS_TEST_TMPDIR/trace" "$DELIVER" "${SETTINGS[@]}" \
		-d alice@localhost -d carol@localhost <<<$'Subject: x\n\nhi' 2>>"$LOG"
	[ "$(held bob carol)" = $'bob 1\ncarol 1' ]
	[ "$(grep -c setresuid "$BATS_TEST_TMPDIR/trace")" = 3 ]
	grep -q 'openat(.*/mnt/home/carol.*Maildir' "$BATS_TEST_TMPDIR/trace" || grep -q 'openat2(.*/mnt/home/carol' "$BATS_TEST_TMPDIR/trace"
	run awk '/setresuid\([1-9].* = 0/ { became[$1] = 1 } /\/mnt\/home/ && !became[$1]' "$BATS_TEST_TMPDIR/trace"
	[ -z "$output" ]
}

@test "the user himself delivers without root: maildir-deliver -d" {
	[ "$(stat -c %a "$DELIVER")" = 755 ]
	cp "$DELIVER" "$HOST/deliver"
	chmod 755 "$BATS_TEST_TMPDIR"/host/deliver
	me() { clean_env setpriv --reuid "$(uid alice)" --regid "$(uid alice)" --clear-groups /mnt/deliver "${SETTINGS[@]}" "$@" <<<$'Subject: x\n\nhi' 2>>"$LOG"; }
	me -d alice
	[ "$(held alice)" = "alice 1" ]
	run me -d bob
	[ "$status" = 75 ]
	[ ! -e "$(box bob)" ]
}

@test "several users and a virtual mailbox in one message" {
	run mail "<alice@localhost>" "<virtual@example.test>" "<bob@mx.example.test>" "<carol@localhost>"
	[[ "${lines[-1]}" == "250 "* ]]
	[ "$(held alice bob carol)" = $'alice 1\nbob 1\ncarol 1' ]
	[ "$(count "$ROOT/example.test/virtual")" = 1 ]
	[ "$(cat "$(box alice)"/new/* | sed 1,2d | sha256sum)" = "$(sed 1,2d "$ROOT"/example.test/virtual/new/* | sha256sum)" ]
}

@test "one user many times, by names, details and aliases: one copy that names all" {
	printf 'al: alice\nall: al, alice+x, bob, alice@localhost\n' >"$HOST/etc/aliases"
	run mail "<alice@localhost>" "<alice@mx.example.test>" "<al@localhost>" "<alice+y@localhost>" "<all@localhost>"
	[[ "${lines[-1]}" == "250 "* ]]
	[ "$(held alice bob)" = $'alice 1\nbob 1' ]
	for name in alice@localhost alice@mx.example.test al@localhost alice+y@localhost all@localhost; do
		[ "$(grep -cFx "Delivered-To: $name" "$(box alice)"/new/*)" = 1 ]
	done
}

@test "+detail is a folder of the user's, when there is one" {
	mail "<alice+work@localhost>"
	as alice mkdir Maildir/.work
	mail "<alice+work@localhost>"
	[ "$(held alice)$(count "$(box alice)/.work")" = "alice 11" ]
	[ "$(stat -c %u "$(box alice)/.work/new")" = "$(uid alice)" ]
}

# all_but COMMAND...: after it a message to three users and a virtual mailbox is refused for now, and nobody has it.
refused_for_all() {
	session
	tell "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>" "RCPT TO:<bob@localhost>" "RCPT TO:<virtual@example.test>" "RCPT TO:<carol@localhost>" NOOP
	hear "250 2.0.0"
	"$@"
	tell DATA "Subject: x" "" hi .
	hear "$WANTED"
	hang_up
	tail -n 3 "$LOG"
	no_mail
}

@test "one is over his quota by then: nobody gets it" {
	as bob sh -c 'mkdir -p Maildir && printf "1000S\n10 1\n" >Maildir/maildirsize'
	full() { as bob sh -c 'printf "1000S\n2000 1\n" >Maildir/maildirsize'; }
	WANTED="452 4.2.2" refused_for_all full
}

@test "one is over his quota from the start: he hears it, the others get it" {
	as bob sh -c 'mkdir -p Maildir && printf "100S\n200 1\n" >Maildir/maildirsize'
	run mail "<alice@localhost>" "<bob@localhost>" "<carol@localhost>"
	[[ "${lines[1]}" == "452 4.2.2 "* && "${lines[-1]}" == "250 "* ]]
	[ "$(held alice bob carol)" = $'alice 1\nbob 0\ncarol 1' ]
}

@test "tmp/ of one cannot be written to: nobody gets it" {
	WANTED="451 4.2.0" refused_for_all as bob chmod 500 Maildir/tmp
}

@test "new/ of one cannot be written to: what the others had by then is taken back" {
	WANTED="451 4.2.0" refused_for_all as bob chmod 500 Maildir/new
}

@test "new/ of the virtual mailbox cannot be written to: no user gets it" {
	chown -R "$(uid carol)" "$ROOT/example.test/virtual"
	WANTED="451 4.2.0" refused_for_all chmod 500 "$ROOT/example.test/virtual/new"
}

@test "the writer of one is killed while the message comes: nobody gets it, and the next message is stored" {
	kill_writer() { kill -KILL "$(processes_of "$(uid bob)")"; }
	WANTED="451 4.3.0" refused_for_all kill_writer
	grep -q 'user bob: his writer does not answer' "$LOG"
	run mail "<alice@localhost>" "<bob@localhost>"
	[ "$(held alice bob)" = $'alice 1\nbob 1' ]
}

@test "the writer of one is killed right before it publishes: the others take theirs back" {
	command -v strace >/dev/null || skip "no strace"
	as bob mkdir -p Maildir/{tmp,new,cur}
	run on_host strace -fqq -o /dev/null -P /mnt/home/bob/Maildir/new -e trace=renameat2,linkat -e inject=renameat2,linkat:error=EIO:signal=KILL \
		"$DELIVER" "${SETTINGS[@]}" -d alice@localhost -d bob@localhost -d carol@localhost -d virtual@example.test <<<$'Subject: x\n\nhi'
	echo "$output"
	[ "$status" = 75 ]
	find "$(box bob)/tmp" -type f -delete   # of what SIGKILL leaves, readers and we clear away
	no_mail
}

@test "the disk of one is full: nobody gets it, nothing is left" {
	# shellcheck disable=SC2016
	echo "mount -t tmpfs -o size=256k,mode=755,uid=$(uid bob),gid=$(uid bob) none /mnt/home/bob" >"$HOST/mounts"
	# shellcheck disable=SC2016
	run on_host sh -c 'head -c 1000000 /dev/zero | tr "\0" x | "$0" "$@"; echo "status $?"; find /mnt/home /mnt/mail -type f' \
		"$DELIVER" "${SETTINGS[@]}" -d alice@localhost -d bob@localhost -d carol@localhost
	[ "${lines[-1]}" = "status 75" ]
	grep -qx "4.3.1 .*" <<<"$output"
}

@test "5 MiB to three users: octet for octet" {
	for n in {1..80000}; do echo "$n some sixty octets of text, so that it is a message of 5 MiB ...."; done >"$BATS_TEST_TMPDIR/text"
	[ "$(stat -c %s "$BATS_TEST_TMPDIR/text")" -gt 5242880 ]
	{ printf '%s\n' "EHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<"{alice,bob,carol}"@localhost>" DATA "Subject: x" ""; cat "$BATS_TEST_TMPDIR/text"; echo .; } >"$BATS_TEST_TMPDIR/in"
	handler <"$BATS_TEST_TMPDIR/in" >/dev/null
	for name in alice bob carol; do
		sed '1,/^$/d' "$(box $name)"/new/* | cmp - "$BATS_TEST_TMPDIR/text"
		[[ $(basename "$(box $name)"/new/*) == *,S=$(stat -c %s "$(box $name)"/new/*),W=* ]]
	done
}

@test "a sticky home, or Maildir, holds mail" {
	chmod +t "$HOST/home/alice"
	as bob mkdir -m 1700 Maildir
	run mail "<alice@localhost>" "<bob@localhost>"
	[ "$(grep -c "^450 4.2.1" <<<"$output")" = 2 ]
	chmod -t "$HOST/home/alice" "$(box bob)"
	mail "<alice@localhost>" "<bob@localhost>"
	[ "$(held alice bob)" = $'alice 1\nbob 1' ]
}

@test "many messages in one connection, to this one and that; no process is left over meanwhile" {
	session
	for n in {1..20}; do
		tell "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>" "RCPT TO:<bob@localhost>" "RCPT TO:<unknown@localhost>" DATA "Subject: $n" "" hi .
		hear "250 2.0.0 Ok, stored"
		tell "MAIL FROM:<a@b.example>" "RCPT TO:<carol@localhost>" RSET
		hear "250 2.1.5"
	done
	tell NOOP
	hear "250 2.0.0"
	for name in alice bob carol; do until_true test -z "$(processes_of "$(uid $name)")"; done
	hang_up
	[ "$(held alice bob carol)" = $'alice 20\nbob 20\ncarol 0' ]
}

@test "the client is gone in mid-data: nothing in any home" {
	session
	tell "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>" "RCPT TO:<bob@localhost>" DATA
	hear "354"
	tell "Subject: x" "" "$(head -c 200000 /dev/zero | tr '\0' x)" hi
	hang_up
	until_true no_mail
	[ -d "$(box alice)/new" ]
}

@test "the helper is killed in mid-data: nothing in any home" {
	session
	tell "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>" "RCPT TO:<bob@localhost>" DATA
	hear "354"
	tell "Subject: x" "" "$(head -c 200000 /dev/zero | tr '\0' x)"
	writer=$(processes_of "$(uid alice)")
	monitor=$(awk '/^PPid/ { print $2 }' "/proc/$writer/status")
	helper=$(awk '/^PPid/ { print $2 }' "/proc/$monitor/status")
	[[ $(readlink "/proc/$helper/exe") == */maildir-deliver ]]
	kill -KILL "$helper"
	tell .
	hear "451"
	hang_up
	for name in alice bob; do until_true test ! -e "/proc/$writer"; done
	until_true no_mail
}

@test "the monitor is killed: what has begun is stored, a user after it is put off" {
	session
	tell "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>"
	hear "250 2.1.5"
	kill -KILL "$(awk '/^PPid/ { print $2 }' "/proc/$(processes_of "$(uid alice)")/status")"
	tell "RCPT TO:<bob@localhost>"
	hear "451 4.3.0"
	tell DATA "Subject: x" "" hi .
	hear "250 2.0.0 Ok, stored"
	hang_up
	[ "$(held alice bob)" = $'alice 1\nbob 0' ]
}

@test "the handler started as root: the speaker is run_as, with no group and no capability, and mail gets through" {
	session
	tell "MAIL FROM:<a@b.example>"
	hear "250 2.1.0"
	speaker=$(processes_of $((FIRST + 9)))
	grep -qE "^Gid:(\s$((FIRST + 9))){4}$" "/proc/$speaker/status"
	grep -qE '^Groups:\s*$' "/proc/$speaker/status"
	[ "$(grep -cE '^Cap(Inh|Prm|Eff|Amb):\s0+$' "/proc/$speaker/status")" = 4 ]
	tell "RCPT TO:<alice@localhost>" DATA hi .
	hear "250 2.0.0 Ok, stored"
	hang_up
}

@test "run_as: another user; nobody where the default one is missing; one that is missing or root is 421 and status 78" {
	session -o run_as=carol
	[ -n "$(processes_of "$(uid carol)")" ]
	hang_up
	sed -i /^smtp-handler/d "$HOST/etc/passwd"
	session
	[ -n "$(processes_of 65534)" ]
	hang_up
	for wrong in missing root; do
		run handler -o run_as=$wrong </dev/null
		[ "$status" = 78 ]
		[[ "$output" == "421 4.3.5 "* ]]
	done
	grep -q "run_as: there is no user missing" "$LOG"
}
