# After `load helper`: a host with users of its own.  In a mount namespace that each command has for itself, $HOST lies on /mnt, and its etc/ in
# the place of the machine's accounts; so nothing of these changes, and what was delivered is seen from outside, beneath $HOST/home.
# shellcheck shell=bash disable=SC2034
HOST=$BATS_TEST_TMPDIR/host
FIRST=$((10000 + BASHPID % 5000 * 10)) # uids that nobody else's process has

setup() {
	ROOT=$HOST/mail
	LOG=$BATS_TEST_TMPDIR/log
	[ "$(id -u)" = 0 ] || skip "needs root to become users"
	case $BUILD/$TESTS/ in *:/mnt/*|/mnt/*) skip "this tree lies below /mnt, which the tests use" ;; esac
	mkdir -p "$ROOT/example.test/virtual" "$HOST/etc" "$HOST/home"
	printf 'passwd: files\ngroup: files\n' >"$HOST/etc/nsswitch.conf"
	printf '%s:x:%d:%d:%s:%s:/bin/sh\n' root 0 0 root /root smtp-handler $((FIRST + 9)) $((FIRST + 9)) SMTP / >"$HOST/etc/passwd"
	printf '%s:x:%d:\n' root 0 smtp-handler $((FIRST + 9)) >"$HOST/etc/group"
	: >"$HOST/etc/aliases"
	user alice $((FIRST + 1))
	user bob $((FIRST + 2))
	user carol $((FIRST + 3))
	on_host true 2>/dev/null || skip "cannot mount here"
	SETTINGS=(-C /dev/null -o mail_root=/mnt/mail -o hostname=mx.example.test -o aliases=/mnt/etc/aliases -o queue_dir=)
}

# user NAME UID [HOME]: an account; its home is made, unless one is given.
user() {
	printf '%s:x:%d:%d:%s,,:%s:/bin/sh\n' "$1" "$2" "$2" "$1" "${3:-/mnt/home/$1}" >>"$HOST/etc/passwd"
	printf '%s:x:%d:\n' "$1" "$2" >>"$HOST/etc/group"
	[ -n "${3-}" ] || install -d -m 755 -o "$2" -g "$2" "$HOST/home/$1"
}
uid() { awk -F : -v "name=$1" '$1 == name { print $3 }' "$HOST/etc/passwd"; }

# as NAME COMMAND...: the user does something to his files, which lie in the current directory.
as() {
	local name=$1
	shift
	(cd "$HOST/home/$name" && setpriv --reuid "$(uid "$name")" --regid "$(uid "$name")" --clear-groups "$@")
}

# on_host COMMAND...: there.  What $HOST/mounts says is mounted besides.
on_host() {
	# shellcheck disable=SC2016
	unshare --mount --propagation private sh -ec 'mount --bind "$0" /mnt
		for file in passwd group nsswitch.conf; do mount --bind /mnt/etc/$file /etc/$file; done
		[ ! -d /run/nscd ] || mount -t tmpfs none /run/nscd
		[ ! -f /mnt/mounts ] || . /mnt/mounts
		exec "$@"' "$HOST" "$@"
}

# Every program under test runs there.
clean_env() { on_host env -i PATH="$PATH" LC_ALL=C TZ=UTC ${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} "$@"; }

box() { echo "$HOST/home/$1/${2:-Maildir}"; }
forward() { as "$1" sh -c 'umask 022; cat >.forward'; }

# The messages of each user.
held() {
	local name
	for name in "${@:-alice}"; do echo "$name $(count "$(box "$name")")"; done
}
# No message anywhere in a home, and nothing in any tmp/.
no_mail() { [ -z "$(cd "$HOST" && find home mail -path '*/new/*' -o -path '*/cur/*' -o -path '*/tmp/*')" ]; }

# mail RCPT...: one message; the replies from that to DATA on are the last lines.
mail() { say "MAIL FROM:<a@b.example>" "${@/#/RCPT TO:}" DATA "Subject: x" "" "hi" . | sed 1d; }

# A session to talk with: session [OPTION...], then tell LINE... and hear WORD, the end of what is awaited.
session() {
	coproc RUN { handler "$@" 3>&-; }
	RUNNING=("${RUN[@]}" "$RUN_PID")        # bash forgets them when the session ends
	tell "EHLO c.example"
	hear "250 HELP"
}
tell() { printf '%s\n' "$@" >&"${RUN[1]}"; }
hear() {
	local line
	while read -rt 30 line <&"${RUN[0]}"; do
		[[ $line != *"$1"* ]] || return 0
		[[ $line == 250* ]] || echo "heard: $line"
	done
	echo "never heard: $1"
	return 1
}
# hang_up: the client is gone; until all is over.
hang_up() {
	eval "exec ${RUNNING[1]}>&- ${RUNNING[0]}<&-"
	wait "${RUNNING[2]}"
}

# The processes with this uid, real, effective, saved and of the file system.
processes_of() { grep -lE "^Uid:(\s$1){4}\$" /proc/[0-9]*/status 2>/dev/null | cut -d / -f 3; }
