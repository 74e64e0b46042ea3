#!/usr/bin/env bats
# P10 under the real units: what code in the speaker can do.  tests/speaker-hook.c is in the handler here: VRFY NAME tries NAME.
load helper

forbidden='open create socket execve mmap kill killgroup ptrace fork sendmsg clock exit_group'

# try NAME: a session in which the speaker does that before a message; the replies are in $SAID.
try() {
	SAID=$BATS_TEST_TMPDIR/said
	lines 'EHLO c' "VRFY $1" 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' DATA "Subject: $1" '' x . QUIT | tcp >"$SAID"
}

# died_at_once: no reply was sent before it died, but to EHLO, when that came alone.
died_at_once() {
	head -n 1 "$SAID" | cmp - <(lines '220 mx.example.test ESMTP')
	refute grep -E '^(250 2\.|25[2-9]|[345])' "$SAID"
}

# speaker_is_caged: each forbidden call ends it, and costs the connection alone; without one of them it serves.
speaker_is_caged() {
	local what said=0
	program "$HOOK"
	setting 'vrfy = yes'
	for what in $forbidden; do
		try "$what"
		echo "$what:" && cat "$SAID"
		died_at_once
		said=$((said + 1))
		soon killed_speakers $said
	done
	refute ls /tmp/escaped /tmp/systemd-private-*/tmp/escaped
	nothing_stored
	try alice@example.test
	message alice alice@example.test
}
killed_speakers() { [ "$(entries -o cat MESSAGE_ID=8b3a7e1c5d0f4c52a6f1de3b9c704a16 | grep -c 'speaker killed: by signal \(9\|31\) ')" = "$1" ]; }

# field PID NAME: of /proc/PID/status.
field() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"; }

# bare_processes SECCOMP USER: in a session, keeper, speaker and helper are USER without capabilities; the speaker has that seccomp mode.
bare_processes() {
	local pid
	to_data
	keeper && speaker && helper
	[ "$(field "$SPEAKER" Seccomp)" = "$1" ]
	for pid in $KEEPER $SPEAKER $HELPER; do
		[ "$(field "$pid" Uid)" = "$(id -u "$2")" ]
		[ "$(field "$pid" NoNewPrivs)" = 1 ]
		[ "$(field "$pid" CapEff)$(field "$pid" CapPrm)$(field "$pid" CapInh)$(field "$pid" CapAmb)" = "$(printf '%064d' 0)" ]
	done
	send 'Subject: x' '' x . QUIT && expect '250 2.0.0 Ok' && expect '221 ' && closed
}

# walls_of PID: it lives in namespaces of its own, on a read-only root.
walls_of() {
	local ns
	for ns in mnt net ipc user; do [ "$(readlink "/proc/$1/ns/$ns")" != "$(readlink /proc/1/ns/$ns)" ]; done
	awk '$5 == "/" && $6 ~ /^ro/ { n++ } $5 == "/var/vmail" && $6 ~ /^rw/ && $6 ~ /noexec/ { n++ } END { exit n != 2 }' "/proc/$1/mountinfo"
}

# landlocked: the helper of a session can put Landlock on itself; nothing in the unit forbids it.
landlocked() {
	command -v strace >/dev/null || skip "no strace"
	local trace=$BATS_TEST_TMPDIR/trace
	dial && expect 220
	keeper
	strace -f -qq -e trace=/landlock -e signal=none -o "$trace" -p "$KEEPER" 3>&- &
	soon traced "$KEEPER"
	send 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' QUIT && expect 250 && expect 250 && expect 250 && expect '221 ' && closed
	wait $!
	cat "$trace"
	refute grep -E 'landlock_create_ruleset.*(ENOSYS|EOPNOTSUPP)' "$trace" || skip "no Landlock in this kernel"
	grep 'landlock_restrict_self(.* = 0$' "$trace"
}
traced() { [ "$(field "$1" TracerPid)" != 0 ]; }

# exposure UNIT: what systemd-analyze makes of it.
exposure() { systemd-analyze security --no-pager "$1" | sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p'; }

@test "the hook does what it says where there is no sandbox" {
	program "$HOOK"
	setting 'vrfy = yes' 'sandbox = no'
	try create
	rm /tmp/escaped
	message alice create
	try exit_group
	died_at_once
	[ -z "$(entries MESSAGE_ID=8b3a7e1c5d0f4c52a6f1de3b9c704a16)" ]
}

@test "the default unit: the speaker reads, writes and exits; the kernel ends it for anything else" {
	speaker_is_caged
}

@test "virtual.conf: strict mode, user vmail, no capability" {
	virtual
	bare_processes 1 vmail
}

@test "the default units: keeper and speaker are smtp-handler without a capability; maildir-deliver has three" {
	local pid
	to_data
	keeper && speaker && helper
	[ "$(field "$SPEAKER" Seccomp)" = 1 ]
	for pid in $KEEPER $SPEAKER; do
		[ "$(field "$pid" Uid)" = "$(id -u smtp-handler)" ]
		[ "$(field "$pid" NoNewPrivs) $(field "$pid" CapEff)" = '1 0000000000000000' ]
	done
	[ "$(field "$HELPER" NoNewPrivs) $(field "$HELPER" CapPrm) $(field "$HELPER" CapBnd)" = '1 00000000000000c4 00000000000000c4' ]
	send 'Subject: x' '' x . QUIT && expect '250 2.0.0 Ok' && expect '221 ' && closed
}

@test "strict.conf: the speaker reads, writes and exits; the kernel ends it for anything else" {
	strict_conf smtp@.service
	speaker_is_caged
}

@test "every unit lets the helper put Landlock on itself" {
	virtual
	landlocked
	tcpserver
	landlocked
	systemctl start smtp.socket
	# shellcheck disable=SC2034  # read by keeper
	PARENT=1
	strict_conf smtp@.service
	landlocked
}

@test "strict.conf: what systemd builds is there, for maildir-deliver too when virtual.conf has it started there" {
	strict_conf smtp@.service
	virtual
	to_rcpt
	keeper && helper
	walls_of "$KEEPER"
	walls_of "$HELPER"
	send QUIT && expect '221 ' && closed
}

@test "strict.conf: a filter as narrow, user vmail, no capability; systemd-analyze security says 1.0 or better" {
	strict_conf smtp@.service
	virtual
	bare_processes 2 vmail
	local strict
	strict=$(exposure smtp@1.service)
	echo "# systemd-analyze security: $strict with strict.conf" >&3
	awk -v e="$strict" 'BEGIN { exit !(e != "" && e <= 1.0) }'
	run -0 systemd-analyze verify smtp@1.service
	[ -z "$output" ]
}

@test "tcpserver: the same cage, and the same processes" {
	tcpserver
	speaker_is_caged
	bare_processes 2 vmail
	echo "# systemd-analyze security: $(exposure smtp-tcpserver.service) with tcpserver" >&3
}

@test "the default unit's exposure, of which the manual says what it leaves out" {
	echo "# systemd-analyze security: $(exposure smtp@1.service) by default" >&3
	echo "# systemd-analyze security: maildir-deliver@ $(exposure maildir-deliver@1.service) by default" >&3
	strict_conf maildir-deliver@.service
	echo "# systemd-analyze security: maildir-deliver@ $(exposure maildir-deliver@1.service) with strict-deliver.conf" >&3
	grep -A 9 '^.Ql systemd-analyze security' /usr/share/man/man8/smtp-handler.8
}
