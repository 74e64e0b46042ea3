#!/usr/bin/env bats
# Mail for a mailbox or a user given to another program: agent, domain_agents.
# shellcheck disable=SC1003,SC2001,SC2016,SC2028,SC2034,SC2086
load helper
load users
load peers

# agent: the program /mnt/agent, which keeps what it is called with; AGENT is its setting.
agent() {
	install -d -m 1777 "$HOST/got"
	cat >"$HOST/agent" <<-'E'
		#!/bin/sh
		umask 022
		printf '%s\n' "$@" >/mnt/got/args
		env | sort >/mnt/got/env
		{ id -u; id -g; id -G; pwd; grep -E '^(Cap(Prm|Eff)|NoNewPrivs)' /proc/self/status; ls -l /proc/self/fd; } >/mnt/got/self
		cat >/mnt/got/message
		exit "$(cat /mnt/status 2>/dev/null || echo 0)"
	E
	chmod 755 "$HOST/agent"
	OPTIONS=(-o "agent=/mnt/agent -u %u -d %d -s<%s> -r%r 100%% \"two words\"" "$@")
	chown "$(uid carol):$(uid carol)" "$ROOT/example.test/virtual"
}
# The reply that counts: of the data, or the refusal.
to() { mail "$@" | grep -vE '^(354|50.|250 2\.1)'; }
got() { cat "$HOST/got/$1"; }
nothing_ran() { [ ! -e "$HOST/got/args" ]; }

@test "for a mailbox beneath mail_root: as its owner, with the message on standard input" {
	agent
	run to "<Virtual+x@Example.test>"
	[[ "$output" == "250 "* ]]
	[ "$(got args)" = $'-u\nvirtual\n-d\nexample.test\n-s<a@b.example>\n-rVirtual+x@Example.test\n100%\ntwo words' ]
	[ "$(got self | head -n 4)" = "$(printf '%d\n%d\n%d\n/mnt/mail/example.test/virtual' "$(uid carol)" "$(uid carol)" "$(uid carol)")" ]
	[ "$(got message | grep -v -e ^Received: -e "^	")" = $'Return-Path: <a@b.example>\nDelivered-To: Virtual+x@Example.test\nSubject: x\n\nhi' ]
	[ "$(count "$ROOT/example.test/virtual")" = 0 ]
}

@test "for a user: as him, with his groups, in his home, no capability, a clean environment, nothing of ours open" {
	echo "extra:x:$((FIRST + 8)):alice" >>"$HOST/etc/group"
	agent
	run to "<alice+more@localhost>"
	[[ "$output" == "250 "* ]]
	[ "$(got self | head -n 2 | uniq)" = "$(uid alice)" ]
	[ "$(got self | sed -n 3p | tr ' ' '\n' | sort -u | xargs)" = "$(uid alice) $((FIRST + 8))" ]
	[ "$(got self | sed -n 4p)" = /mnt/home/alice ]
	[ "$(got self | grep -cE '^Cap...:\s0+$|^NoNewPrivs:\s1$')" = 3 ]
	[ "$(got self | grep -c ' -> ')" = 4 ]          # 0, 1, 2, and the folder that ls reads
	refute grep -q 'socket:' "$HOST/got/self"
	[ "$(got env | grep -v '^PWD=')" = "$(printf '%s\n' EXTENSION=more HOME=/mnt/home/alice LOGNAME=alice \
		PATH=/usr/local/bin:/usr/bin:/bin RECIPIENT=alice+more@localhost SENDER=a@b.example USER=alice)" ]
	[ "$(held alice)" = "alice 0" ]
}

@test "domain_agents: the file .agent of a domain, else the setting; not one that others can write to" {
	agent -o domain_agents=yes
	OPTIONS[1]="agent="
	mkdir -p "$ROOT/other.test/virtual"
	chown "$(uid carol):$(uid carol)" "$ROOT/other.test/virtual"
	echo "/mnt/agent domain %u" >"$ROOT/example.test/.agent"
	to "<virtual@example.test>"
	[ "$(got args)" = $'domain\nvirtual' ]
	to "<virtual@other.test>"
	[ "$(count "$ROOT/other.test/virtual")" = 1 ]
	rm "$HOST/got/args"
	for bad in "chmod 666" "chmod 620" "truncate -s 0"; do
		$bad "$ROOT/example.test/.agent"
		run to "<virtual@example.test>"
		[[ "$output" == "451 4.3.0"* ]]
		nothing_ran
		rm "$ROOT/example.test/.agent"
		echo "/mnt/agent domain %u" >"$ROOT/example.test/.agent"
	done
	OPTIONS=()      # not asked for, not used
	to "<virtual@example.test>"
	nothing_ran
	[ "$(count "$ROOT/example.test/virtual")" = 1 ]
}

@test "an alias that leads to one mailbox by two ways runs its agent once" {
	agent
	printf '#!/bin/sh\necho run >>/mnt/got/runs\n' >"$HOST/agent"
	echo 'list: virtual, \virtual' >"$ROOT/example.test/.aliases"
	run to "<list@example.test>"
	[[ "$output" == "250 "* ]]
	[ "$(got runs)" = run ]
}

@test "a recipient of an agent is taken alone" {
	agent -o domain_agents=yes
	OPTIONS[1]="agent="
	echo "/mnt/agent" >"$ROOT/example.test/.agent"
	run mail "<virtual@example.test>" "<alice@localhost>" "<bob@localhost>"
	[ "$(grep -c '^452 4.5.3' <<<"$output")" = 2 ]
	[ "$(held alice bob)" = $'alice 0\nbob 0' ]
	run mail "<alice@localhost>" "<virtual@example.test>" "<bob@localhost>"
	[ "$(grep -c '^452 4.5.3' <<<"$output")" = 1 ]
	[ "$(held alice bob)" = $'alice 1\nbob 1' ]
}

@test "nothing of the envelope can be an option, a word more, a command or a format" {
	agent
	for user in '-rf' '$(id)' '`id`' 'a b' "%s%n" ';id' '--' "o'neill"; do
		mkdir -p "$ROOT/example.test/$user"
		chown "$(uid carol):$(uid carol)" "$ROOT/example.test/$user"
	done
	OPTIONS[1]="agent=/mnt/agent %u"
	for user in -rf --; do
		run to "<$user@example.test>"
		echo "$user: $output"
		[[ "$output" == [45]5* ]]
		nothing_ran
	done
	for user in '$(id)' '`id`' "%s%n" "o'neill"; do
		run to "<$user@example.test>"
		echo "$user: $output"
		[[ "$output" != "250 "* ]] || [ "$(got args)" = "$user" ]
	done
	rm -f "$HOST/got/args"
	OPTIONS[1]="agent=/mnt/agent %s"
	run say 'MAIL FROM:<-oX@b.example>' 'RCPT TO:<virtual@example.test>' DATA "Subject: x" "" hi .
	[[ "${lines[-1]}" == "451 4.3.0"* ]]
	nothing_ran
	OPTIONS[1]="agent=/mnt/agent -f %s <%s>"
	run say 'MAIL FROM:<"a b; id \" -x"@b.example>' 'RCPT TO:<virtual@example.test>' DATA "Subject: x" "" hi .
	echo "$output"
	[ "$(got args | wc -l)" = 3 ]
	rm -f "$HOST/got/args"
	OPTIONS[1]="agent=/mnt/agent -f \"%s\""
	run say 'MAIL FROM:<-oX@b.example>' 'RCPT TO:<virtual@example.test>' DATA "Subject: x" "" hi .
	[ "$(got args)" = $'-f\n-oX@b.example' ]        # quotes say that it may begin with one
	run say 'MAIL FROM:<>' 'RCPT TO:<virtual@example.test>' DATA "Subject: x" "" hi .
	[ "$(got args)" = $'-f\n' ] || [ "$(got args | wc -l)" = 2 ]
}

@test "each exit status: only 65, 67 and 77 are for good; a signal, a missing program, one of no use, put off" {
	agent
	for row in 0:250 1:451 64:451 65:554 66:451 67:550 69:451 70:451 71:451 73:451 74:451 75:451 76:451 77:550 78:451 100:451 111:451 127:451 255:451; do
		echo "${row%:*}" >"$HOST/status"
		run to "<virtual@example.test>"
		echo "$row: $output"
		[[ "$output" == "${row#*:} "* ]]
	done
	for command in /mnt/missing /mnt /mnt/status "/mnt/agent %x" "/mnt/agent \"open" "agent" '/bin/sh -c "kill -KILL $$"' '/bin/sh -c "kill -TERM $$"'; do
		OPTIONS[1]="agent=$command"
		run to "<virtual@example.test>"
		echo "$command: $output"
		[[ "$output" == "451 4.3.0 "* ]]
	done
	grep -q "was ended by signal 9" "$LOG"
}

@test "one that takes too long is ended with all that it started, one that does not read is no matter" {
	agent -o deliver_timeout=2s
	OPTIONS[1]='agent=/bin/sh -c "sleep 1000 & echo $! >/mnt/got/pid; wait"'
	run to "<virtual@example.test>"
	[[ "$output" == "451 "* ]]
	until_true test ! -e "/proc/$(got pid)"
	OPTIONS[1]="agent=/bin/true"
	run to "<virtual@example.test>"
	[[ "$output" == "250 "* ]]
}

@test "root's mailbox has no agent: it would run as root" {
	agent
	chown 0:0 "$ROOT/example.test/virtual"
	run to "<virtual@example.test>"
	[[ "$output" == "451 4.3.0 "* ]]
	nothing_ran
}

@test "a sticky mailbox or home holds mail for an agent too; a .forward comes before it" {
	agent
	chmod +t "$ROOT/example.test/virtual" "$HOST/home/alice"
	run mail "<virtual@example.test>" "<alice@localhost>"
	[ "$(grep -c '^450 4.2.1' <<<"$output")" = 2 ]
	nothing_ran
	chmod -t "$HOST/home/alice"
	echo bob | forward alice
	to "<alice@localhost>"
	grep -qx "USER=bob" "$HOST/got/env"
}

@test "dovecot-lda delivers for a user and for a mailbox, as who owns it" {
	needs dovecot
	dovecot_config "mail_location = maildir:~/Maildir" "postmaster_address = postmaster@example.test"
	local tree
	tree=$(realpath "$PEERS/dovecot")
	cp "$DOVECOT/conf" "$HOST/dovecot.conf"
	sed -i -e '/^mail_[ug]id/d' -e "s|^log_path.*|log_path = /dev/stderr|" -e "s|$DOVECOT|/mnt/got|" -e "s|$tree|/mnt/dovecot|" "$HOST/dovecot.conf"
	echo daemon:x:1:1::/:/bin/false >>"$HOST/etc/passwd"
	echo daemon:x:1: >>"$HOST/etc/group"
	mkdir "$HOST/dovecot"
	echo "mount --bind '$tree' /mnt/dovecot" >"$HOST/mounts"
	agent
	cat >"$HOST/lda" <<-E
		#!/bin/sh
		exec env DOVECOT_PRESERVE_ENVS="USER HOME LD_LIBRARY_PATH" LD_LIBRARY_PATH=$(sed "s|$tree|/mnt/dovecot|g" <<<"${WRAP[0]#*=}") \
			/mnt/dovecot/usr/bin/doveconf -c /mnt/dovecot.conf -f service=lda -m lda -p -e \
			/mnt/dovecot/usr/lib/dovecot/dovecot-lda -c /mnt/dovecot.conf "\$@"
	E
	chmod 755 "$HOST/lda" "$HOST/dovecot.conf"
	OPTIONS[1]="agent=/mnt/lda -e -f %s -a %r"
	to "<alice@localhost>"
	to "<virtual@example.test>"
	cat "$LOG"
	[ "$(held alice)$(count "$ROOT/example.test/virtual/Maildir")" = "alice 11" ]
	[ "$(stat -c %u "$(box alice)"/new/* "$ROOT"/example.test/virtual/Maildir/new/* | xargs)" = "$(uid alice) $(uid carol)" ]
}
