#!/usr/bin/env bats
# smtp-passwd: the file, the checkpassword interface, the tool; the filter for fail2ban.
load helper

setup() {
	setup_mail
	PASSWD=$BUILD/smtp-passwd
	FILE=$BATS_TEST_TMPDIR/passwd
	command -v openssl >/dev/null || skip "no openssl here"
}

passwd() { clean_env timeout 60 "$PASSWD" "$@"; }
# set_password NAME PASSWORD
set_password() { passwd --set "$1" "$FILE" <<<"$2"; }
# check NAME PASSWORD [PROGRAM ARGUMENT...]
check() { printf '%s\0%s\0Y\0' "$1" "$2" | passwd "$FILE" "${@:3}" 3<&0; }
# raw FORMAT: these octets on descriptor 3.
# shellcheck disable=SC2059
raw() { printf "$1" | passwd "$FILE" 3<&0; }
# entries LINE...: the file.
entries() { printf '%s\n' "$@" >"$FILE" && chmod 600 "$FILE"; }
# hash PASSWORD [SALT]: a cheap one.
hash() { openssl passwd -5 -salt "${2:-salt}" "$1"; }
# checks STATUS NAME PASSWORD: nothing is said.
checks() {
	run -"$1" check "$2" "$3"
	[ -z "$output" ]
}
# troubles NAME TEXT: 111, and one line of which this is a part.
troubles() {
	run -111 check "$1" secret
	[ ${#lines[@]} = 1 ]
	[[ $output == "smtp-passwd: $FILE: "*"$2"* ]]
}
# cost TIMES NAME...: what it takes to refuse each, in microseconds of the processor, on a line.
cost() {
	clean_env "$PYTHON" - "$PASSWD" "$FILE" "$@" <<-'E'
		import os, resource, sys
		program, file, times, names = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
		def used():
		    r = resource.getrusage(resource.RUSAGE_CHILDREN)
		    return int(1e6 * (r.ru_utime + r.ru_stime))
		sums = dict.fromkeys(names, 0)
		for _ in range(times):
		    for name in names:
		        before = used()
		        r, w = os.pipe()
		        os.write(w, name.encode() + b"\0wrong\0Y\0")
		        pid = os.fork()
		        if pid == 0:
		            os.dup2(r, 3) if r != 3 else os.set_inheritable(3, True)
		            os.close(w)
		            os.execv(program, [program, file])
		        os.close(r), os.close(w)
		        assert os.waitpid(pid, 0)[1] == 1 << 8
		        sums[name] += used() - before
		print(*sums.values())
	E
}
# terminal: Python, with a terminal for smtp-passwd --set alice; run(), then hear(text), echo(), keys(text), end().
terminal() {
	clean_env timeout 60 "$PYTHON" - "$PASSWD" --set alice "$FILE" <<E
import os, pty, select, signal, sys, termios, time
heard = b""
def run(argv=sys.argv[1:]):
    global pid, tty
    pid, tty = pty.fork()
    if pid == 0: os.execvp(argv[0], argv)
def hear(text):
    global heard
    while text not in heard:
        assert select.select([tty], [], [], 30)[0], heard
        try: got = os.read(tty, 1024)
        except OSError: got = b""
        assert got, (heard, text)
        heard += got
    before, heard = heard.split(text, 1)
    return before
def echo(): return bool(termios.tcgetattr(tty)[3] & termios.ECHO)
def keys(text): os.write(tty, text)
def end():
    global heard
    while True:
        try: got = os.read(tty, 1024)
        except OSError: break
        if not got: break
        heard += got
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
$(cat)
E
}

@test "set and check: good, wrong, unknown; the case of a name does not matter" {
	set_password Alice@example.test secret
	set_password bob 'other word'
	[ "$(stat -c %a "$FILE")" = 640 ]
	grep -qE '^Alice@example\.test:\{CRYPT\}\$y\$[^:]+$' "$FILE"
	checks 0 Alice@example.test secret
	checks 0 aLICE@EXAMPLE.test secret
	checks 0 bob 'other word'
	checks 1 alice@example.test 'other word'
	checks 1 alice@example.test Secret
	checks 1 alice secret
	checks 1 Alice@example.test.x secret
	checks 1 carol secret
	set_password alice@Example.test new
	[ "$(passwd --list "$FILE")" = $'Alice@example.test\nbob' ]
	checks 0 alice@example.test new
	checks 1 alice@example.test secret
	passwd --delete ALICE@example.test "$FILE"
	[ "$(passwd --list "$FILE")" = bob ]
	checks 1 alice@example.test new
	run -1 passwd --delete alice@example.test "$FILE"
	[[ $output == *'there is no such user' ]]
	checks 0 bob 'other word'
	[ ! -e "$FILE.new" ]
}

@test "the checkpassword interface: the program gets USER, no descriptor 3, and what it says counts" {
	set_password Alice secret
	# shellcheck disable=SC2016
	[ "$(check aliCE secret sh -c 'echo "$USER $*"; [ ! -e /proc/self/fd/3 ] || echo open' sh a 'b c')" = 'Alice a b c' ]
	run -7 check alice secret sh -c 'exit 7'
	run -1 check alice wrong sh -c 'echo started'
	[ -z "$output" ]
	run -111 check alice secret "$BATS_TEST_TMPDIR/none"
	[[ $output == *'none: No such file or directory' ]]
	# more behind the timestamp, as the interface allows; octet by octet; 4096 in all
	raw 'alice\0secret\0Y\0more\0and more'
	for o in a l i c e '\0' s e c r e t '\0' Y '\0'; do printf '%b' "$o"; done | passwd "$FILE" 3<&0
	raw "alice\0secret\0$(head -c 4082 /dev/zero | tr '\0' Y)\0"
	run -2 raw "alice\0secret\0$(head -c 4083 /dev/zero | tr '\0' Y)\0"
}

@test "what is not the interface is wrong use; nothing is accepted of a message cut short" {
	set_password alice secret
	for cut in '' alice 'alice\0' 'alice\0secret' 'alice\0secret\0' 'alice\0secret\0Y'; do
		run -2 raw "$cut"
		[ "$output" = "smtp-passwd: descriptor 3: this is not what the checkpassword interface says" ]
	done
	run -2 passwd "$FILE" 3<&-
	run -2 passwd
	for wrong in --nonsense --set '--set alice --list' "--list $FILE more" "--delete a $FILE b"; do
		# shellcheck disable=SC2086
		run -2 passwd $wrong 3<&-
	done
	[[ $(passwd --version) == 'smtp-passwd '* ]]
	[[ $(passwd --help) == 'usage: smtp-passwd file '* ]]
}

@test "names and passwords that nobody can have are refused" {
	entries "alice:$(hash secret)" "a b:$(hash secret)" "#c:$(hash secret)" ":$(hash secret)"
	for name in '' 'a b' '#c' "alice:$(hash secret)" $'alice\n' $'al\tice' $'\377' "$(head -c 256 /dev/zero | tr '\0' a)" 'alice\'; do
		checks 1 "$name" secret
	done
	checks 1 alice ''
	checks 1 alice "$(head -c 512 /dev/zero | tr '\0' a)"
	checks 1 alice "$(head -c 3000 /dev/zero | tr '\0' a)"
	checks 0 alice secret
}

@test "long passwords and names, and those beyond ASCII" {
	long=$(head -c 511 /dev/zero | tr '\0' x)
	name=$(head -c 255 /dev/zero | tr '\0' n)
	set_password "$name" "$long"
	checks 0 "$name" "$long"
	checks 1 "$name" "${long%x}y"
	checks 1 "$name" "${long%x}"
	set_password jürgen 'pässwörd €'
	checks 0 jürgen 'pässwörd €'
	checks 1 jÜrgen 'pässwörd €'
	cp "$FILE" "$FILE.before"
	run -1 set_password alice "${long}x"
	[ "$output" = 'smtp-passwd: a password has at most 511 octets' ]
	for bad in '' $'a\tb' $'a\033b' $'a\177' $'\377\376'; do
		run -1 set_password alice "$bad"
		[[ $output == 'smtp-passwd: '* ]]
	done
	run -1 passwd --set alice "$FILE" < <(printf 'sec\0ret\n')
	run -1 passwd --set alice "$FILE" </dev/null
	for bad in '' 'a b' 'a:b' $'a\tb' $'a\nb' '#a' "${name}n" $'\377'; do
		run -1 set_password "$bad" secret
		[[ $output == 'smtp-passwd: the name of a user is '* ]]
	done
	cmp "$FILE" "$FILE.before"
	printf 'no newline' | passwd --set alice "$FILE"
	checks 0 alice 'no newline'
	printf 'CRLF\r\n' | passwd --set alice "$FILE"
	checks 0 alice CRLF
}

@test "the file: comments, CRLF, no last newline, further fields, prefixes, the first of two" {
	h=$(hash secret)
	printf '%s\n' '# alice:x' '' "#bob:$h" "carol:$h:1000:1000::/home/carol::" "dave:{crypt}$h" "erin:{SHA256-CRYPT}$h" "carol:$(hash other)" >"$FILE"
	printf 'frank:%s\r\ngrace:{CRYPT}%s:\r\n' "$h" "$h" >>"$FILE"
	printf 'last:%s' "$h" >>"$FILE"
	chmod 600 "$FILE"
	for name in carol dave erin frank grace last; do checks 0 $name secret; done
	for name in alice bob '#bob'; do checks 1 "$name" secret; done
	checks 1 carol other
	[ "$(passwd --list "$FILE" | tr '\n' ' ')" = 'carol dave erin carol frank grace last ' ]
	printf 'only:%s\r' "$h" >"$FILE"
	checks 0 only secret
}

@test "strong hashes of others: OpenSSL, mkpasswd, and each kind of libxcrypt" {
	# shellcheck disable=SC2016
	entries "sha512:$(openssl passwd -6 secret)" "sha256:$(openssl passwd -5 secret)" 'bcrypt:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW' \
		'openwall:{BLF-CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
	for name in sha512 sha256 bcrypt; do checks 0 $name secret; done
	checks 1 sha512 secreT
	checks 0 openwall 'U*U'
	checks 1 openwall 'U*V'
	for method in yescrypt gost-yescrypt scrypt bcrypt bcrypt-a sha512crypt; do
		command -v mkpasswd >/dev/null || break
		entries "alice:$(mkpasswd -m $method secret)"
		checks 0 alice secret
		checks 1 alice wrong
	done
	# shellcheck disable=SC2016
	for kind in '$y$' '$gy$' '$7$' '$2b$' '$2a$' '$2y$' '$6$' '$5$'; do
		h=$("$PYTHON" - "$kind" <<-'E'
			import ctypes, sys
			c = ctypes.CDLL("libcrypt.so.1")
			c.crypt.restype = c.crypt_gensalt.restype = ctypes.c_char_p
			print(c.crypt(b"secret", c.crypt_gensalt(sys.argv[1].encode(), 0, None, 0)).decode())
		E
		)
		[[ $h == "$kind"* ]]
		entries "alice:{CRYPT}$h"
		checks 0 alice secret
		checks 1 alice wrong
	done
}

@test "weak, broken and greedy hashes: 111 and a line, for their user only; the locked are refused" {
	h=$(hash secret)
	# shellcheck disable=SC2016
	entries "good:$h" 'des:abNANd1rDfiNc' "md5:$(openssl passwd -1 secret)" 'plain:secret' 'plain2:{PLAIN}secret' 'ssha:{SSHA}x' 'x:$2x$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e' \
		'broken:$y$garbage$x' "short:${h%?}" "long:${h}x" 'setting:$5$salt' 'none' 'empty:' 'empty2:{CRYPT}' 'greedy:$y$jFT$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC' \
		"locked:!$h" "locked2:{CRYPT}*$h" "locked3:!{CRYPT}$h" 'locked4:*' "toolong:$h:$(head -c 1000 /dev/zero | tr '\0' x)"
	printf 'nul:%s:x\0y\n' "$h" >>"$FILE"
	for name in des md5 plain plain2 ssha x; do troubles $name "the hash is of a weak or unknown kind, of <$name>"; done
	for name in short long setting; do troubles $name "the hash is not whole, of <$name>"; done
	for name in none empty empty2 toolong nul; do troubles $name "the line is malformed, of <$name>"; done
	troubles broken 'crypt(3) cannot take the hash'
	[ "${BUILD%/san}" != "$BUILD" ] || troubles greedy 'needs more than 512 MB'
	for name in locked locked2 locked3 locked4 nobody; do checks 1 $name secret; done
	checks 0 good secret
	run -1 --separate-stderr passwd --list "$FILE"
	[ "${lines[0]}" = good ]
	[ ${#lines[@]} = 21 ]
	# shellcheck disable=SC2154
	[ "${stderr_lines[0]}" = "smtp-passwd: $FILE:2: the hash is of a weak or unknown kind" ] && [[ $stderr != *secret* && $stderr != *locked* ]]
}

@test "a file that is missing, no file, unreadable or writable to others: 111" {
	troubles alice 'No such file or directory'
	mkdir "$FILE"
	troubles alice 'this is no file'
	rmdir "$FILE"
	mkfifo "$FILE"
	troubles alice 'this is no file'
	rm "$FILE"
	entries "alice:$(hash secret)"
	for mode in 620 602 666; do
		chmod $mode "$FILE"
		troubles alice 'others than its owner can write to it'
		run -1 set_password alice new
		run -1 passwd --list "$FILE"
	done
	chmod 640 "$FILE"
	checks 0 alice secret
	chmod 0 "$FILE"
	if [ "$(id -u)" != 0 ]; then
		troubles alice 'Permission denied'
	else
		printf 'alice\0secret\0Y\0' >"$BATS_TEST_TMPDIR/in"
		run -111 clean_env setpriv --bounding-set -all --inh-caps -all --reuid 0 "$PASSWD" "$FILE" 3<"$BATS_TEST_TMPDIR/in"
		[[ $output == *': Permission denied' ]]
	fi
}

@test "trouble goes where smtp-handler logs" {
	run -111 clean_env SMTP_LOG=journal "$PASSWD" "$FILE" 3< <(printf 'a\0b\0Y\0')
	[ "$output" = "<3>$FILE: No such file or directory" ]
	run -111 clean_env SMTP_LOG=syslog "$PASSWD" "$FILE" 3< <(printf 'a\0b\0Y\0')
	[ -z "$output" ]
}

@test "an unknown user costs what a user costs, wherever he is in the file" {
	set_password alice secret
	read -r known unknown < <(cost 5 alice nobody)
	echo "$known $unknown"
	((known < 2 * unknown && unknown < 2 * known))
	: >"$FILE"
	read -r none < <(cost 5 nobody)
	((known < 2 * none && none < 2 * known))
	# the file costs more than the hash here: that of the first one, the last one and nobody
	h=$(hash secret)
	{ echo "first:$h"; awk -v "h=$h" 'BEGIN { for (i = 0; i < 100000; i++) print "user" i ":" h }'; echo "last:$h"; } >"$FILE"
	read -r first last nobody < <(cost 5 first last nobody)
	echo "$first $last $nobody"
	((first < 2 * last && last < 2 * first && first < 2 * nobody && nobody < 2 * first))
	checks 0 user99999 secret
}

@test "unknown users draw hashes of every kind that there is, each always the same" {
	# shellcheck disable=SC2016
	y='$y$jCT$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC'
	# shellcheck disable=SC2016
	entries 'broken:$y$garbage$x' "cheap:$(hash a s1)" "cheap2:$(hash a s2)" "costly:$y" "costly2:${y/F5J/F6J}"
	read -r cheap costly < <(cost 1 cheap costly)
	read -ra once < <(cost 1 u{1..12})
	read -ra again < <(cost 1 u{1..12})
	echo "$cheap $costly: ${once[*]} / ${again[*]}"
	many=0
	for i in {0..11}; do
		((once[i] < 3 * again[i] && again[i] < 3 * once[i]))
		((once[i] < costly / 3)) || many=$((many + 1))
	done
	((costly > 5 * cheap && many > 0 && many < 12))
}

@test "--set leaves all other lines as they are, and the further fields of its own" {
	{
		printf '# comment: \377\0 \t\r\n\n\r\nother:{PLAIN}x\r\n:\n::\nAlice:%s:1000:1000::/home::x=y\r\nlong' "$(hash secret)"
		head -c 5000 /dev/zero | tr '\0' ':'
		printf '\nalice:second\nalicex:x\nbob'
	} >"$FILE"
	chmod 600 "$FILE"
	cp "$FILE" "$FILE.before"
	set_password alice new
	checks 0 alice new
	clean_env "$PYTHON" - "$FILE" <<-'E'
		import re, sys
		before, after = open(sys.argv[1] + ".before", "rb").read(), open(sys.argv[1], "rb").read()
		old, new = (re.search(rb"\nAlice:([^:]*):", text)[1] for text in (before, after))
		assert new.startswith(b"{CRYPT}$y$")
		assert after == before.replace(old, new).replace(b"alice:second\n", b""), after
	E
	set_password carol new
	[ "$(tail -n 2 "$FILE" | head -n 1)" = bob ]
	checks 0 carol new
	passwd --delete carol "$FILE"
	passwd --delete alice "$FILE"
	cmp "$FILE" <(sed -e '/^Alice:/d' -e '/^alice:/d' "$FILE.before"; echo)
	# a line of the user's own that is too long is for a person to mend
	echo "alice:$(hash secret):$(head -c 2000 /dev/zero | tr '\0' x)" >>"$FILE"
	cp "$FILE" "$FILE.before"
	run -1 set_password alice new
	[[ $output == *'the line of this user is too long' ]]
	cmp "$FILE" "$FILE.before"
	passwd --delete alice "$FILE"
	[ "$(tail -n 1 "$FILE")" = bob ]
}

@test "owner, mode and a link stay; a first file is the group's of smtp-handler" {
	entries "alice:$(hash secret)"
	chmod 440 "$FILE"
	mkdir "$BATS_TEST_TMPDIR/etc"
	ln -s ../passwd "$BATS_TEST_TMPDIR/etc/link"
	passwd --set bob "$BATS_TEST_TMPDIR/etc/link" <<<new
	[ "$(readlink "$BATS_TEST_TMPDIR/etc/link")" = ../passwd ]
	[ "$(stat -c %a "$FILE")" = 440 ]
	checks 0 bob new
	run -1 passwd --set bob "$BATS_TEST_TMPDIR/none/passwd" <<<new
	[[ $output == *'none/passwd'*': No such file or directory' ]]
	[ "$(id -u)" = 0 ] || skip "needs root for the rest"
	chown 12345:12346 "$FILE"
	set_password bob newer
	[ "$(stat -c '%u %g %a' "$FILE")" = '12345 12346 440' ]
	rm "$FILE"
	{ grep -v '^smtp-handler:' /etc/group; echo smtp-handler:x:12347:; } >"$BATS_TEST_TMPDIR/group"
	# shellcheck disable=SC2016
	aside=(unshare --mount --propagation private sh -c 'mount --bind "$0" /etc/group && exec "$@"' "$BATS_TEST_TMPDIR/group")
	"${aside[@]}" true 2>/dev/null || skip "cannot mount here"
	clean_env "${aside[@]}" "$PASSWD" --set bob "$FILE" <<<new
	[ "$(stat -c '%u %g %a' "$FILE")" = '0 12347 640' ]
}

@test "twenty changes at a time: none is lost" {
	set_password user0 secret0
	pids=()
	for i in {1..20}; do
		passwd --set "user$i" "$FILE" <<<"secret$i" 3>&- &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
	[ "$(passwd --list "$FILE" | sort -V | tr '\n' ' ')" = "$(printf 'user%d ' {0..20})" ]
	for i in 0 1 20; do checks 0 "user$i" "secret$i"; done
}

# traced OPTION...: strace around --set alice, with the password "new".
traced() { clean_env ASAN_OPTIONS=detect_leaks=0 strace -qq -o "$BATS_TEST_TMPDIR/trace" "$@" "$PASSWD" --set alice "$FILE" <<<new; }

@test "durable, and whole at every instant: kill -9 leaves the old file or the new one" {
	strace -o /dev/null true 2>/dev/null || skip "strace cannot trace here"
	set_password alice old
	cp -p "$FILE" "$FILE.before"
	traced -e 'trace=fsync,/^rename'
	[ "$(grep -oE '^[a-z]+' "$BATS_TEST_TMPDIR/trace" | tr '\n' ' ')" = 'fsync rename fsync ' ]
	checks 0 alice new
	for call in flock unlink fchmod write fsync rename; do
		cp -p "$FILE.before" "$FILE"
		run traced -e "inject=/^$call:signal=KILL"
		echo "$call: $status"
		[ "$status" = 137 ]
		cmp "$FILE" "$FILE.before"
	done
	[ -e "$FILE.new" ]      # what a killed one has left is in nobody's way
	run -137 traced -e inject=fsync:signal=KILL:when=2
	checks 0 alice new
	set_password alice newer
	checks 0 alice newer
	[ ! -e "$FILE.new" ]
}

@test "a full disk and the like: the old file stays, and the exit status says so" {
	strace -o /dev/null true 2>/dev/null || skip "strace cannot trace here"
	set_password alice old
	cp -p "$FILE" "$FILE.before"
	for fault in write:error=ENOSPC fsync:error=EIO rename:error=EACCES fchmod:error=EPERM flock:error=ENOLCK; do
		run traced -e "inject=/^$fault:when=1"
		echo "$fault: $status $output"
		[ "$status" = 1 ]
		[[ $output == "smtp-passwd: $FILE"* ]]
		cmp "$FILE" "$FILE.before"
		[ ! -e "$FILE.new" ]
	done
}

@test "the terminal: asked twice with echo off; two passwords or none change nothing" {
	terminal <<-'E'
		run()
		assert hear(b"New password: ") == b"" and not echo()
		keys(b"secret\n")
		hear(b"Again: ")
		assert not echo()
		keys(b"secret\n")
		assert end() == 0 and b"secret" not in heard
		for first, second, says in (b"one\n", b"two\n", b"these are two passwords"), (b"\n", None, b"no password"), (b"\x04", None, b"no password"), (b"x" * 600 + b"\n", None, b"at most 511"):
		    run()
		    hear(b"New password: ")
		    keys(first)
		    if second:
		        hear(b"Again: ")
		        keys(second)
		    hear(says)
		    assert end() == 1
	E
	checks 0 alice secret
}

@test "the terminal echoes again after ^C, ^\\, TERM, HUP, and while we are stopped" {
	terminal <<-'E'
		for prompt in 1, 2:
		    for key, number in (b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT), (None, signal.SIGTERM), (None, signal.SIGHUP):
		        run(["sh", "-c", "ulimit -c 0; trap : INT QUIT; \"$@\"; echo status $?; stty -a", "sh", *sys.argv[1:]])
		        hear(b"New password: ")
		        if prompt == 2:
		            keys(b"secret\n")
		            hear(b"Again: ")
		        assert not echo()
		        child = int(open("/proc/%d/task/%d/children" % (pid, pid)).read().split()[0])
		        keys(key) if key else os.kill(child, number)
		        hear(b"status %d" % (128 + number))
		        hear(b" echo ")
		        end()
		run(["bash", "-mc", "\"$@\"; stty -a; echo stopped; fg >/dev/null", "bash", *sys.argv[1:]])
		hear(b"New password: ")
		keys(b"secr\x1a")
		assert b" echo " in hear(b"\nstopped")
		hear(b"New password: ")
		assert not echo()
		keys(b"secret\n")
		hear(b"Again: ")
		keys(b"secret\n")
		assert end() == 0
	E
	checks 0 alice secret
}

@test "fail2ban: the filter finds who guesses, and nothing that a client can write" {
	command -v fail2ban-regex >/dev/null || skip "no fail2ban-regex here"
	common=/etc/fail2ban/filter.d/common.conf
	[ -r $common ] || skip "fail2ban has no filters here"
	mkdir -p "$BATS_TEST_TMPDIR/f2b/filter.d"
	cp "$TESTS/../units/fail2ban-filter.conf" "$BATS_TEST_TMPDIR/f2b/filter.d/smtp-handler.conf"
	cp $common "$BATS_TEST_TMPDIR/f2b/filter.d/"
	banned() { fail2ban-regex -c "$BATS_TEST_TMPDIR/f2b" -o '<ip> <F-USER>' "$1" "${2:-smtp-handler}" | sort; }
	session() { # ADDRESS LINE...: in the background, for a refusal takes a second
		lines "${@:2}" | clean_env "REMOTE_ADDR=$1" timeout 60 "$HANDLER" "${SETTINGS[@]}" -o strict=yes -o auth_plaintext=yes -o "auth=file:$FILE" 2>>"$LOG" >/dev/null 3>&- &
		pids+=($!)
	}
	pids=()
	plain() { printf '\0%s\0%s' "$1" "$2" | base64 -w0; }
	entries "alice:$(hash secret)"
	fake='authentication failed: peer=198.51.100.9 user=<alice> mechanism=PLAIN reply="535 5.7.8 Authentication failed"'
	full="smtp-handler[1]: id=0123abcd $fake"
	session 192.0.2.1 'EHLO c' "AUTH PLAIN $(plain alice wrong)" QUIT
	session 2001:db8::2 'EHLO c' "AUTH LOGIN $(printf bob | base64)" "$(printf wrong | base64)" QUIT
	session 192.0.2.3 'EHLO c' "AUTH PLAIN $(plain alice secret)" QUIT
	for evil in "$fake" "$full" "x> mechanism=PLAIN reply=\"535 \" id=1 $fake"; do
		session 192.0.2.4 'EHLO c' "AUTH PLAIN $(plain "$evil" wrong)" QUIT
		session 192.0.2.5 "EHLO $evil" "HELO $evil" "$evil" "AUTH $evil" "MAIL FROM:<\"$evil\"@b.example>" "MAIL FROM:<a@b.example> $evil" 'EHLO c' \
			'MAIL FROM:<a@b.example>' "RCPT TO:<\"$evil\"@example.test>" "RCPT TO:<x@[$evil]>" "VRFY $evil" DATA QUIT
	done
	session nowhere 'EHLO c' "AUTH PLAIN $(plain alice wrong)" QUIT
	for pid in "${pids[@]}"; do wait "$pid"; done
	pids=()
	mv "$FILE" "$FILE.away"
	session 192.0.2.6 'EHLO c' "AUTH PLAIN $(plain alice wrong)" QUIT
	wait "${pids[@]}"
	cat "$LOG"
	[ "$(grep -c 'authentication failed: ' "$LOG")" -gt 10 ]
	want=$(printf '%s\n' '192.0.2.1 alice' '2001:db8::2 bob')
	for prefix in 'Nov 26 08:00:00 mx ' '2026-11-26T08:00:00.123456+00:00 mx ' '@4000000067457f2c1a2b3c4d ' ''; do
		sed "s/^/$prefix/" "$LOG" >"$BATS_TEST_TMPDIR/dated"
		banned "$BATS_TEST_TMPDIR/dated" >"$BATS_TEST_TMPDIR/banned"
		cat "$BATS_TEST_TMPDIR/banned"
		[ "$(grep -v '^192\.0\.2\.4 ' "$BATS_TEST_TMPDIR/banned")" = "$want" ]
		[ "$(grep -c '^192\.0\.2\.4 ' "$BATS_TEST_TMPDIR/banned")" = 3 ]
	done
	sed 's/^/2026-11-26T08:00:00.123456 mx /' "$LOG" >"$BATS_TEST_TMPDIR/dated"
	[ "$(banned "$BATS_TEST_TMPDIR/dated" 'smtp-handler[logtype=journal]' | grep -v '^192\.0\.2\.4 ')" = "$want" ]
}
