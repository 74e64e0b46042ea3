#!/usr/bin/env bats
# Our quota and Dovecot's are one: each reads the maildirsize that the other wrote, and counts the same.
# shellcheck disable=SC2030,SC2031  # a test is a subshell of its own
load helper
load peers

setup_file() {
	export QUOTA_SHOW=$BATS_FILE_TMPDIR/quota-show
	${CC:-cc} -std=c17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I"$BATS_TEST_DIRNAME/../delivery" -o "$QUOTA_SHOW" "$BATS_TEST_DIRNAME/quota-show.c" "$BATS_TEST_DIRNAME/../delivery/quota.c"
}

setup() {
	BOX=$BATS_TEST_TMPDIR/box
	mkdir -p "$BOX"/{new,cur,tmp} "$BOX/.Trash"/{new,cur,tmp} "$BOX/.A&AOQ-.B"/{new,cur,tmp}
}

# message FILE [SIZE]: a message in this file of the Maildir.
message() { printf '%0*d\n' "$((${2:-4000} - 1))" 0 >"$BOX/$1"; }

# some_messages: 6 of 30000 octets in all, with and without a size in the name, trashed and not.
some_messages() {
	message "new/1.a.host,S=4000,W=4001" 4000
	message "cur/2.a.host,S=5000:2,S" 5000
	message "cur/3.a.host:2,ST" 6000
	message ".Trash/cur/4.a.host,S=3000:2,T" 3000
	message ".A&AOQ-.B/new/5.a.host" 7000
	message ".A&AOQ-.B/cur/6.a.host,S=5000,W=5100:2," 5000
}

# quota_by_imap RULE [COMMAND ARGUMENT...]...: Dovecot's quota of $BOX over IMAP with this rule ("" for none), "OCTETS MESSAGES", octets in units of 1024
# as IMAP counts.  `append N` adds a message of N octets before, `expunge N` the one of this number in the inbox, or says what was refused.
quota_by_imap() {
	local program=$PEERS/dovecot/usr/lib/dovecot/imap rule=$1
	shift
	dovecot_config "mail_location = maildir:$BOX" "protocol imap {" "mail_plugins = quota imap_quota" "}" \
		"plugin {" "quota = maildir:User quota" "${rule:+quota_rule = $rule}" "}"
	clean_env timeout 60 "$PYTHON" - "$(printf '%q ' "${DOVECONF[@]}" -f service=imap -m imap -m ssl -p -e "$program" -c "$DOVECOT/conf")" \
		"$@" 2>>"$DOVECOT/log" <<-'P'
			import imaplib, re, sys
			server = imaplib.IMAP4_stream(sys.argv[1])
			server.select()
			for command, value in zip(sys.argv[2::2], sys.argv[3::2]):
			    if command == "append":
			        answer = server.append("INBOX", None, None, b"x" * (int(value) - 2) + b"\r\n")
			        if answer[0] != "OK":
			            print(answer[0], answer[1][0].decode())
			    else:
			        server.store(value, "+FLAGS", r"\Deleted")
			        server.expunge()
			quota = server.getquotaroot("INBOX")[1][1]
			print(*re.findall(r"(?:STORAGE|MESSAGE) (\d+) \d+", quota[0].decode()))
			server.logout()
		P
}

# ours [OCTETS [SIZE]]: what quota.c says.
ours() { "$QUOTA_SHOW" "$BOX" "$@"; }

file() { printf '%s\n' "$@" | diff "$BOX/maildirsize" -; }

@test "Dovecot and we count the same, and write the same file" {
	needs dovecot
	some_messages
	[ "$(quota_by_imap '*:storage=100K:messages=20')" = "30 6" ]
	file 102400S,20C "30000 6"
	[ "$(ours)" = "30000 6" ]
	rm "$BOX/maildirsize"
	[ "$(ours 102400)" = "30000 6" ]
	file 102400S "30000 6"
}

@test "Dovecot without a limit of its own takes ours from the file, and notes in it what it does" {
	needs dovecot
	some_messages
	ours 102400
	[ "$(quota_by_imap '')" = 30 ]
	file 102400S "30000 6"
	# stored with LF: one octet less
	[ "$(quota_by_imap '' append 2000)" = 32 ]
	file 102400S "30000 6" "1999 1"
	[ "$(ours)" = "31999 7" ]
	[ "$(quota_by_imap '' expunge 1)" = "$(quota_by_imap '')" ]
	[ "$(wc -l <"$BOX/maildirsize")" = 4 ]
	local kept
	kept=$(ours)
	rm "$BOX/maildirsize"
	[ "$(ours 102400)" = "$kept" ]
	dovecot_content
}

@test "Dovecot sees what we add" {
	needs dovecot
	some_messages
	ours 102400 2000
	message "new/7.a.host,S=2000,W=2001" 2000
	file 102400S "30000 6" "2000 1"
	[ "$(quota_by_imap '')" = 32 ]
	[ "$(ours)" = "32000 7" ]
}

@test "A file that is full in several lines is made anew alike" {
	needs dovecot
	some_messages
	printf '%s\n' 40000S,20C "40000 8" "1000 1" >"$BOX/maildirsize"
	[ "$(quota_by_imap '')" = "30 6" ]
	file 40000S,20C "30000 6"
	printf '%s\n' 40000S,20C "40000 8" "1000 1" >"$BOX/maildirsize"
	[ "$(ours)" = "30000 6" ]
	file 40000S,20C "30000 6"
}

@test "A file that is full and old is made anew alike" {
	needs dovecot
	some_messages
	printf '%s\n' 40000S "40001 8" >"$BOX/maildirsize"
	[ "$(quota_by_imap '')" = 40 ]
	[ "$(ours)" = "40001 8" ]
	touch -d '16 minutes ago' "$BOX/maildirsize"
	[ "$(quota_by_imap '')" = 30 ]
	file 40000S "30000 6"
	printf '%s\n' 40000S "40001 8" >"$BOX/maildirsize"
	touch -d '16 minutes ago' "$BOX/maildirsize"
	[ "$(ours)" = "30000 6" ]
	file 40000S "30000 6"
}

@test "Dovecot refuses what goes over the limit that we wrote" {
	needs dovecot
	some_messages
	ours 31000
	run quota_by_imap '' append 2000
	[[ "${lines[0]}" == "NO [OVERQUOTA]"* ]]
	file 31000S "30000 6"
	[ "$(quota_by_imap '' append 900)" = 31 ]
	[ "$(ours)" = "30899 7" ]
}

@test "A limit that Dovecot changes is the one that we go by" {
	needs dovecot
	some_messages
	ours 102400
	quota_by_imap '*:storage=50K'
	file 51200S "30000 6"
}

@test "Mail that maildir-deliver brings is in Dovecot's figure, in the inbox and in a folder; a full mailbox is full for both" {
	needs dovecot
	local mail=$BATS_TEST_TMPDIR/mail size
	mkdir -p "$mail/example.test/alice/.lists"/{new,cur,tmp}
	BOX=$mail/example.test/alice
	# shellcheck disable=SC2034  # read by deliver
	SETTINGS=(-C /dev/null -o "mail_root=$mail" -o hostname=mx.example.test -o local_domains=none -o quota=64k)
	printf '%020000d\n' 0 | deliver -f a@b.example -d alice@example.test
	printf '%030000d\n' 0 | deliver -f a@b.example -d alice+lists@example.test
	size=$(find "$BOX" -path '*/new/*' -printf '%s\n' | awk '{ n += $1 } END { print n }')
	tail -n 1 "$BOX/maildirsize"
	[ "$(awk 'NR > 1 { n += $1 } END { print n }' "$BOX/maildirsize")" = "$size" ]
	[ "$(quota_by_imap '')" = "$(((size + 1023) / 1024))" ]
	# one message of overshoot, then no more
	printf '%030000d\n' 0 | deliver -f a@b.example -d alice@example.test
	run -75 deliver -f a@b.example -d alice@example.test <<<x
	[ "$output" = '4.2.2 Mailbox is full' ]
	[[ "$(quota_by_imap '' append 1000)" == NO*OVERQUOTA* ]]
	[ "$(quota_by_imap '' expunge 1 expunge 1)" = 30 ]
	deliver -f a@b.example -d alice@example.test <<<x
}
