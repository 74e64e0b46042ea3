#!/usr/bin/env bats
# Two hosts that exchange mail: a network, port 25, MX records of a real name server, /etc/resolv.conf, configuration in its file.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
load helper
load servers
load network

setup_file() {
	local d=$BATS_FILE_TMPDIR ca
	cd "$d" || return
	for ca in known stranger; do
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $ca.key -out $ca.pem -subj "/CN=$ca" -days 2 2>/dev/null
	done
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout mx.key -out mx.csr -subj /CN=mx.b.example 2>/dev/null
	openssl x509 -req -in mx.csr -CA known.pem -CAkey known.key -CAcreateserial -days 2 -out mx.pem -extfile <(echo subjectAltName=DNS:mx.b.example) 2>/dev/null
}

setup() {
	DIR=$BATS_TEST_TMPDIR
	authority
	network < <(records; wide)
}

# An authority that host a trusts, as other programs there do.
authority() {
	mkdir -p "$A/etc/ssl/certs"
	cp "$BATS_FILE_TMPDIR/known.pem" "$A/etc/ssl/certs/$(openssl x509 -hash -noout -in "$BATS_FILE_TMPDIR/known.pem").0"
}

# An answer that needs TCP.
wide() {
	echo "wide MX 0 mx.b"
	for i in {1..60}; do echo "wide MX $i a-host-with-a-long-name-of-which-there-are-many-number-$i"; done
}

records() {
	cat <<-'E'
		a		MX	10 a
		a		A	198.51.100.1
		a		AAAA	2001:db8::1
		b		MX	10 mx.b
		mx.b		A	198.51.100.2
		mx.b		AAAA	2001:db8::2
		mx1		A	198.51.100.3
		mx2		A	198.51.100.4
		closed		A	198.51.100.5	; nothing listens there
		away		A	203.0.113.1	; no way leads there

		order		MX	10 away
		order		MX	20 closed
		order		MX	30 nothing
		order		MX	40 mx1
		order		MX	50 mx2
		*.equal		MX	10 mx1
		*.equal		MX	10 mx2
		four		A	198.51.100.2
		six		AAAA	2001:db8::2
		alias		CNAME	b
		indirect	MX	10 way
		way		CNAME	mx.b
		*.wild		MX	10 mx.b

		null		MX	0 .
		nothing		TXT	"neither MX nor address"
		empty		MX	10 nothing
		empty		MX	20 nowhere
		own		MX	10 a
		own		MX	20 mx.b
		ours		MX	10 other
		other		A	198.51.100.1
		dead		MX	10 away
	E
}

# Every octet but NUL and line ends, dots, lines as long as SMTP allows.
hard() {
	printf '%s\n' 'From: Bob <bob@a.example>' 'To: ann@b.example' 'Date: Sun, 1 Mar 2026 12:00:00 +0000' 'Message-ID: <hard@a.example>' 'Subject: hard' 'MIME-Version: 1.0' \
		'Content-Transfer-Encoding: 8bit' '' . .. ... '.a' 'a.' '' '' 'From here' ' .' "$(printf '%0998d' 0)"
	LC_ALL=C awk 'BEGIN { for (i = 1; i < 256; i++) if (i != 10 && i != 13) printf "%c", i; print "" }'
	printf '.\n..\n'
}

# mailbox DOMAIN...: ann's on host b.
mailbox() {
	local domain
	for domain in "$@"; do mkdir -p "$B/mail/$domain/ann"; done
	possess
}

# says FILE: the report as Python's email reads it, in $output.
says() { run -0 "$PYTHON" "$TESTS/show-report.py" "$1"; }

@test "mail goes both ways: each octet arrives, and who was on the way is told; mailq shows it, and sendmail -q takes it away" {
	listen_all
	run -0 on a mailq
	[[ $output == *$'\nMail queue is empty' ]]
	hard >"$DIR/hard"
	bob ann@b.example <"$DIR/hard"
	[ "$(boxes b ann)" = 0 ]
	run -0 on a mailq
	[[ $output == *' bob@a.example'*$'\n    ann@b.example\n1 entries' ]]
	on a sendmail -q
	empty a
	[ "$(boxes b ann)" = 1 ]
	LC_ALL=C sed -n '/^From: Bob/,$p' "$(box b ann)" | cmp - "$DIR/hard"
	run -0 sed '/^From: Bob/,$d' "$(box b ann)"
	[ "$(masked <<<"$output")" = 'Return-Path: <bob@a.example>
Delivered-To: ann@b.example
Received: from a.example ([IPv6:2001:db8::1])
	by mx.b.example with ESMTP id ID.1
	for <ann@b.example>;
	DATE
Received: from a.example (local)
	by a.example with ESMTP id ID.1
	for <ann@b.example>;
	DATE' ]
	# and back
	as_user b sendmail -f ann@b.example bob@a.example <<<$'Subject: Re: hard\n\nThank you.'
	on b smtp-queue run
	empty b
	run -0 cat "$(box a bob)"
	[[ $output == $'Return-Path: <ann@b.example>\nDelivered-To: bob@a.example\nReceived: from mx.b.example ([IPv6:2001:db8::2])\n\tby a.example with ESMTP id '*'Subject: Re: hard'*$'\n\nThank you.' ]]
}

@test "of several mail exchangers the best that can be reached takes it" {
	mailbox order.example
	submission
	other mx1
	other mx2
	for _ in {1..6}; do short ann@order.example; done
	pass a
	empty a
	[ "$(by mx1 order.example)" = 6 ]
	end mx1
	short ann@order.example
	pass a
	empty a
	[ "$(by mx1 order.example) $(by mx2 order.example)" = '6 1' ]
	end mx2
	short ann@order.example
	pass a
	[ "$(waiting a)" = 1 ]
	log_has a 'deferred: to=<ann@order.example> reply="499 4.4.1 mx2.example cannot connect to 198.51.100.4 port 25: Connection refused'
	[ "$(boxes b ann order.example)" = 7 ]
}
# other NAME: one more mail exchanger on host b, which has its mailboxes.
other() {
	sed "s/^hostname = .*/hostname = $1.example/" "$B/etc/smtp-handler.conf" >"$B/$1.conf"
	listen b "$1" "198.51.100.$((${1#mx} + 2))" -- -C "$B/$1.conf"
}
# by NAME DOMAIN: how many of the messages for ann there, a pattern, came by this host.
by() { find "$B/mail" -path "$B/mail/$2/ann/new/*" -exec grep -lx "	by $1.example with ESMTP id .*" {} + | wc -l; }

@test "of two that are as good each gets some; one that is down costs nothing" {
	local first second
	mailbox {1..26}.equal.example
	submission
	other mx1
	other mx2
	short ann@{1..20}.equal.example
	pass a
	empty a
	first=$(by mx1 '*.equal.example') second=$(by mx2 '*.equal.example')
	[ $((first + second)) = 20 ]
	[ "$first" -gt 0 ]
	[ "$second" -gt 0 ]
	end mx1
	short ann@{21..26}.equal.example
	pass a
	empty a
	[ "$(by mx1 '*.equal.example') $(by mx2 '*.equal.example')" = "$first $((second + 6))" ]
}

@test "a domain without MX is its own host, by IPv4 or by IPv6 alone; aliases of domains and of hosts, wildcards and answers by TCP" {
	local domain
	mailbox {four,six,alias,indirect,x.y.wild,wide}.example
	listen_all
	short ann@four.example ann@six.example ann@{alias,indirect,x.y.wild,wide}.example
	[ "$(waiting a)" = 6 ]
	pass a
	empty a
	grep -qx 'Received: from a.example (\[198.51.100.1\])' "$(box b ann four.example)"
	grep -qx 'Received: from a.example (\[IPv6:2001:db8::1\])' "$(box b ann six.example)"
	for domain in alias indirect x.y.wild wide; do [ "$(boxes b ann "$domain.example")" = 1 ]; done
}

@test "domains that take no mail, do not exist, have no host, or lead back here are reported at once" {
	listen_all
	short ann@null.example ann@nowhere.example ann@nothing.example ann@empty.example ann@own.example ann@ours.example
	pass a
	empty a
	[ "$(boxes a bob)" = 6 ]
	bounced ann@null.example 5.1.10 'the domain takes no mail (null MX)'
	bounced ann@nowhere.example 5.1.2 'nowhere.example: no such name'
	bounced ann@nothing.example 5.4.4 'nothing.example: has no address'
	bounced ann@empty.example 5.4.4 'nowhere.example: no such name'
	bounced ann@own.example 5.4.6 'a mail loop'
	bounced ann@ours.example 5.4.6 'a mail loop'
	[ -z "$(find "$B/mail" -type f)" ]
}
# bounced RECIPIENT STATUS WORDS: one of bob's reports says so.
bounced() {
	local file
	file=$(box a bob | xargs grep -l "^Final-Recipient: rfc822; $1")
	says "$file"
	[[ $output == 'multipart/report delivery-status '*'bob@a.example'*"Final-Recipient: rfc822; $1"$'\n'"Action: failed"$'\n'"Status: $2"$'\n'*"Diagnostic-Code: "*"$3"* ]] || { echo "$output"; return 1; }
}

@test "what the other host refuses, and what it cannot pass on, is reported across the network, with its words" {
	listen_all
	short nobody@b.example
	pass a
	empty a
	bounced nobody@b.example 5.1.1 '550 5.1.1 No such mailbox here'
	grep -qx 'Remote-MTA: dns; mx.b.example' "$(box a bob)"
	printf 'team: bob@a.example, joe@nowhere.example\n' >"$A/mail/a.example/.aliases"
	possess
	as_user b sendmail -f ann@b.example team@a.example <<<$'Subject: all\n\nhello'
	on b smtp-queue run
	empty b
	pass a
	empty a
	[ "$(boxes a bob) $(boxes b ann)" = '2 1' ]
	says "$(box b ann)"
	[[ $output == 'multipart/report delivery-status ann@b.example auto-replied <>'*'Reporting-MTA: dns; a.example'*'Final-Recipient: rfc822; joe@nowhere.example
Action: failed
Status: 5.1.2'* ]]
}

@test "a name server that cannot tell, does not answer, or is not there: the mail waits, and goes when it tells" {
	listen_all
	mailbox broken.example slow.example
	short ann@broken.example
	pass a
	[ "$(waiting a)" = 1 ]
	log_has a 'deferred: to=<ann@broken.example> reply="499 4.4.3 .*SERVFAIL'
	# mended
	printf '$ORIGIN broken.example.\n$TTL 60\n@ SOA ns.example. hostmaster.example. 1 3600 600 86400 60\n@ NS ns.example.\n@ MX 10 mx.b.example.\n' >"$NAMES/missing"
	end nsd
	short ann@b.example
	pass a 4000
	log_has a 'deferred: to=<ann@b.example> reply="499 4.4.3 .*name server 192.0.2.53 cannot be reached'
	[ "$(waiting a)" = 2 ]
	start_nsd
	pass a 9000
	empty a
	[ "$(boxes b ann) $(boxes b ann broken.example)" = '1 1' ]
}

@test "a zone that is slow, and a name server of several that is not there" {
	listen_all
	mailbox slow.example
	printf '%s\n' 'slow.example DROP' 'mx.b.example A 198.51.100.2' >"$NAMES/slow"
	run_on dns slow "$PYTHON" "$TESTS/dns-server.py" "$NAMES/slow" --host 192.0.2.53 --port-file "$NAMES/port"
	until_true [ -e "$NAMES/port" ]
	set_on a "dns = 192.0.2.53:$(<"$NAMES/port")" 'command_timeout = 1s'
	short ann@slow.example
	pass a
	[ "$(waiting a)" = 1 ]
	log_has a 'deferred: to=<ann@slow.example> reply="499 4.4.3 .*name server 192.0.2.53 does not answer'
	change a '/^command_timeout/d'
	printf '%s\n' 'slow.example MX 10 mx.b.example' 'slow.example DELAY 300' 'mx.b.example A 198.51.100.2' >"$NAMES/slow"
	pass a 4000
	empty a
	[ "$(boxes b ann slow.example)" = 1 ]
	# nothing listens for questions there
	change a '/^dns/d'
	printf 'nameserver 198.51.100.2\nnameserver 192.0.2.53\n' >"$A/etc/resolv.conf"
	short ann@b.example
	pass a
	empty a
	[ "$(boxes b ann)" = 1 ]
}

@test "STARTTLS: with any certificate by default; by tls_policy only with one of an authority that the host trusts, for the name that the DNS gives" {
	local d=$BATS_FILE_TMPDIR
	chmod o+rx "$d"
	chmod o+r "$d"/*.key
	set_on b "tls_cert = $d/stranger.pem" "tls_key = $d/stranger.key"
	listen_all
	short ann@b.example
	pass a
	empty a
	run -0 cat "$(box b ann)"
	[[ $output == *$'])\n\t(TLS1.3 '*$')\n\tby mx.b.example with ESMTPS id '* ]]
	# the host that sends is as strict as it is told
	set_on a 'tls_policy = verify'
	short ann@b.example
	pass a
	[ "$(waiting a)" = 1 ]
	log_has a 'deferred: to=<ann@b.example> reply="499 4.7.5 mx.b.example TLS is required'
	change b 's,/stranger,/mx,'
	pass a 4000
	empty a
	[ "$(boxes b ann)" = 2 ]
}

@test "helo_name and bind_address are what the other host sees" {
	mailbox four.example six.example
	listen_all
	set_on a 'helo_name = out.a.example' 'bind_address = 198.51.100.10'
	short ann@b.example ann@six.example
	pass a
	grep -qx 'Received: from out.a.example (\[198.51.100.10\])' "$(box b ann)"
	[ "$(waiting a)" = 1 ]
	log_has a 'deferred: to=<ann@six.example>'
	change a 's/^bind_address.*/bind_address = 2001:db8::1/'
	short ann@four.example
	pass a 4000
	grep -qx 'Received: from out.a.example (\[IPv6:2001:db8::1\])' "$(box b ann six.example)"
	[ "$(boxes b ann four.example)" = 0 ]
	log_has a 'deferred: to=<ann@four.example>'
}

@test "a host that comes up after an hour gets its mail, and nobody was bothered" {
	local now tries
	submission
	short ann@b.example
	for ((now = 0; now < 3600; now += 300)); do pass a $now; done
	tries=$(grep -c 'deferred: to=<ann@b.example>' "$A/log")
	[ "$tries" -ge 3 ]     # at once, after 5 minutes, 15, 30
	[ "$tries" -le 4 ]
	[ "$(waiting a)" = 1 ]
	[ "$(boxes b ann)" = 0 ]
	listen b smtp_b 198.51.100.2 '[2001:db8::2]'
	for ((; now < 3600 + 2300; now += 300)); do pass a $now; done
	empty a
	[ "$(boxes b ann)" = 1 ]
	[ "$(boxes a bob)" = 0 ]
	[ "$(grep -c 'sent: to=<ann@b.example>' "$A/log")" = 1 ]
}

@test "mail to one that never comes up: a warning after four hours, and back after five days, as Python's email and mutt show it" {
	local day
	submission
	bob ann@b.example <<<$'Subject: The plan\n\nhello'
	for at in 0 7200 13000; do pass a $at; done
	[ "$(boxes a bob)" = 0 ]
	pass a 15000
	[ "$(boxes a bob)" = 1 ]
	says "$(box a bob)"
	[[ $output == 'multipart/report delivery-status '*'Final-Recipient: rfc822; ann@b.example
Action: delayed
Status: 4.4.1'* ]]
	mv "$(box a bob)" "$DIR/warning"
	for day in 1 2 3 4; do pass a $((day * 86400)); done
	[ "$(boxes a bob) $(waiting a)" = '0 1' ]
	pass a 432100
	empty a
	[ "$(boxes a bob)" = 1 ]
	says "$(box a bob)"
	[[ $output == 'multipart/report delivery-status '*'Final-Recipient: rfc822; ann@b.example
Action: failed
Status: 4.4.7
Diagnostic-Code: x-smtp-handler; not delivered in time; '*' Connection refused'* ]]
	log_has a 'given up: to=<ann@b.example>'
	need_program mutt
	need_program script
	id -un >/dev/null || skip "mutt wants a user with a name"
	mutt_shows "$DIR/warning" 'Subject: Delayed mail' 'Action: delayed' 'Subject: The plan'
	mutt_shows "$(box a bob)" 'Subject: Undelivered mail' 'Action: failed' 'Subject: The plan'
}
# mutt_shows FILE LINE...: such lines are among those that mutt makes of it.
mutt_shows() {
	local box=$DIR/box line
	rm -rf "$box"
	mkdir -p "$box"/{new,cur,tmp}
	cp "$1" "$box/new/1.a.host"
	cat >"$DIR/muttrc" <<-E
		set folder="$DIR" spoolfile="$box" record="" postponed="" mbox="" tmpdir="$DIR" header_cache=""
		set mbox_type=Maildir wait_key=no pipe_decode=yes sleep_time=0 quit=yes delete=no move=no charset=utf-8
		push "<display-message><pipe-message>cat >$DIR/mutt.out<enter><exit><quit>"
	E
	clean_env HOME="$DIR" TERM=vt100 timeout 60 script -qec "mutt -n -F $DIR/muttrc -f $box" /dev/null </dev/null >"$DIR/mutt.tty" 2>&1
	for line in "${@:2}"; do grep -q "^$line" "$DIR/mutt.out" || { echo "mutt does not show: $line"; cat "$DIR/mutt.out"; return 1; }; done
	run ! grep -q 'No matching mailcap\|is unsupported' "$DIR/mutt.out"
}
