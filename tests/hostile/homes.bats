#!/usr/bin/env bats
# Homes of users who mean ill: what they put there leads no mail, and no look of ours, to where they cannot reach themselves.
# shellcheck disable=SC1003,SC2001,SC2016,SC2028,SC2034,SC2086
load ../helper
load ../users
load attack

# refused WHY: alice is put off with a line in the log, at once; bob, in the same message, is served; nothing is elsewhere.
refused() {
	: >"$LOG"
	# shellcheck disable=SC2034
	OPTIONS=(-o log_level=debug)
	run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>" "RCPT TO:<bob@localhost>" DATA "Subject: x" "" "hi" .
	echo "$output"
	cat "$LOG"
	[[ "${lines[1]}" == "451 4.2.0 "* && "${lines[-1]}" == "250 2.0.0 "* ]]
	grep -q "alice.*: .*$1" "$LOG"
	[ "$(cd "$HOST" && find . -name '*.mx.example.test*' -not -path './home/bob/Maildir/new/*' | wc -l)" = 0 ]
}

@test "a home that is a link, a FIFO, a file, missing" {
	rm -r "$HOST/home/alice"
	refused "No such file"
	install -d -o "$(uid alice)" "$HOST/home/real"
	ln -s real "$HOST/home/alice"
	refused "a link, or not a directory"
	rm "$HOST/home/alice"
	mkfifo "$HOST/home/alice"
	chown "$(uid alice)" "$HOST/home/alice"
	refused "a link, or not a directory"
	rm "$HOST/home/alice"
	install -o "$(uid alice)" /dev/null "$HOST/home/alice"
	refused "a link, or not a directory"
	[ -z "$(ls -A "$HOST/home/real")" ]
}

@test "a home of somebody else's, or open to all, or closed to himself" {
	chmod 777 "$HOST/home/alice"
	refused "anybody can write to it"
	chmod 755 "$HOST/home/alice"
	chown "$(uid bob)" "$HOST/home/alice"
	refused "belongs to somebody else"
	chown 0 "$HOST/home/alice"
	refused "belongs to somebody else"
	chown "$(uid alice)" "$HOST/home/alice"
	chmod 0 "$HOST/home/alice"
	refused "Permission denied"
	chmod 500 "$HOST/home/alice"
	refused "Permission denied"     # no Maildir can be made
}

@test "Maildir is a link to /etc, to another user's, to his own, to nothing; a FIFO; a file; root's; another user's" {
	as bob mkdir -p Maildir
	for to in /etc /mnt/home/bob/Maildir ../bob/Maildir own missing . ..; do
		as alice mkdir -p own
		as alice ln -sfn "$to" Maildir
		refused "Maildir: is a link"
	done
	rm "$(box alice)"
	as alice mkfifo Maildir
	refused "Not a directory"
	rm "$(box alice)"
	as alice touch Maildir
	refused "Not a directory"
	rm "$(box alice)"
	install -d -m 777 "$(box alice)"
	refused "belongs to somebody else"
	chown "$(uid bob)" "$(box alice)"
	refused "belongs to somebody else"
	[ -z "$(ls -A "$HOST/home/alice/own")" ]
}

@test "Maildir/tmp, Maildir/new, a folder, are links to /etc, to another user's, to a place open to all; FIFOs; files" {
	as bob mkdir -p Maildir/{tmp,new,cur}
	install -d -m 1777 "$HOST/open"
	for sub in tmp new; do
		for make in "ln -s /etc" "ln -s /mnt/home/bob/Maildir/$sub" "ln -s /mnt/open" "ln -s ../own" mkfifo touch; do
			rm -rf "$(box alice)"
			as alice sh -c 'mkdir -p Maildir/tmp Maildir/new Maildir/cur own; rmdir Maildir/$0; "$@" Maildir/$0' $sub $make
			refused "cannot open mailbox"
		done
	done
	rm -rf "$(box alice)"
	as alice sh -c 'mkdir -p Maildir; ln -s /mnt/open Maildir/.work'
	say "MAIL FROM:<a@b.example>" "RCPT TO:<alice+work@localhost>" DATA "Subject: x" "" "hi" .
	[ "$(count "$(box alice)")" = 1 ]
	[ -z "$(find "$HOST/open" "$HOST/home/alice/own" -mindepth 1)" ]
}

@test "maildirsize: a link to /etc/shadow, a FIFO, a directory, nonsense, 10 MB of it: no matter, and nothing of it is told" {
	OPTIONS=(-o quota=1M)
	local n=0
	for make in 'ln -s /etc/shadow "$0"' 'ln -s /dev/zero "$0"' 'ln -s /mnt/home/bob/Maildir/maildirsize "$0"' 'mkfifo "$0"' 'mkdir "$0"' \
		'head -c 3000 /dev/urandom >"$0"' 'yes "1 1" | head -c 10000000 >"$0"' 'printf "99999999999999999999S\n-99999999999999999999 -5\n" >"$0"' \
		'printf "\0\0\0" >"$0"' 'truncate -s 10G "$0"' 'yes | tr -d "\n" | head -c 10000000 >"$0"'; do
		as alice mkdir -p Maildir
		rm -rf "$(box alice)/maildirsize"
		as alice sh -c "$make" Maildir/maildirsize
		run say "MAIL FROM:<a@b.example>" "RCPT TO:<alice@localhost>" DATA "Subject: x" "" "hi" .
		n=$((n + 1))
		echo "$make: $output"
		[[ "${lines[-1]}" == "250 2.0.0"* ]]
		[ "$(held alice)" = "alice $n" ]
	done
	refute grep -q 'root:' "$LOG"
}

# swap PATH TARGET: in a loop the user exchanges what is at PATH in his home with a link to TARGET, which he cannot read, or all can
# write to, while messages come for him and for bob; and with a second directory of his own.
swap() {
	local enter=$1 target=$2
	attack <<-PYTHON
		path, target, uid, other = "/mnt/home/alice/$enter", "$target", $(uid alice), $(uid bob)
		$(cat "$TESTS/hostile/swap.py")
	PYTHON
}

@test "Maildir and a link to a place of root's" { swap Maildir /mnt/secret; }
@test "Maildir and a link to a place that all can write to" { swap Maildir /mnt/open; }
@test "Maildir and a link to another user's" { swap Maildir /mnt/home/bob/Maildir; }
@test "Maildir and another Maildir of his own" { swap Maildir own; }
@test "Maildir/tmp and a link to a place that all can write to" { swap Maildir/tmp /mnt/open/tmp; }
@test "Maildir/new and a link to a place that all can write to" { swap Maildir/new /mnt/open/new; }
@test "Maildir/new and a link to another user's" { swap Maildir/new /mnt/home/bob/Maildir/new; }
@test "Maildir/new and another directory of his own" { swap Maildir/new own; }
@test "maildirsize and a link to a file of root's" { swap Maildir/maildirsize /mnt/secret/new/canary; }
@test ".forward and a link to a file of root's" { swap .forward /mnt/secret/new/canary; }
