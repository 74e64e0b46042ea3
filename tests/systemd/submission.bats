#!/usr/bin/env bats
# TLS, passwords and the programs of the host, as a fresh Debian has them after "make install": the units, a certificate as certbot leaves it, a file of passwords.
load helper

CERTS=/etc/tls-test/live
SAID=$BATS_TEST_TMPDIR/said

setup_file() {
	local name
	for name in mx.example.test other.example.test; do
		mkdir -p $CERTS/$name /etc/tls-test/archive/$name
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /etc/tls-test/archive/$name/privkey1.pem \
			-out /etc/tls-test/archive/$name/fullchain1.pem -subj "/CN=$name" -addext "subjectAltName=DNS:$name" -days 2 2>/dev/null
		ln -sf ../../archive/$name/fullchain1.pem $CERTS/$name/fullchain.pem
		ln -sf ../../archive/$name/privkey1.pem $CERTS/$name/privkey.pem
	done
	chmod -R go= /etc/tls-test
	echo secret | smtp-passwd --set carol
	systemctl enable --now smtp.socket submission.socket submissions.socket smtp-local.socket
}
teardown_file() {
	systemctl disable --now submission.socket submissions.socket smtp-local.socket smtp-tls.socket
	rm -rf /etc/tls-test /etc/smtp-handler.passwd*
}

setup() {
	printf '%s\n' 'hostname = mx.example.test' 'local_domains = mx.example.test localhost' "tls_certs = $CERTS" 'auth = file:/etc/smtp-handler.passwd' >/etc/smtp-handler.conf
	find $ROOT/*/*/{new,tmp,cur} /home/carol/Maildir -type f -delete 2>/dev/null || true
	systemctl start smtp.socket submission.socket submissions.socket smtp-local.socket
	# shellcheck disable=SC2034  # read by entries
	SINCE=@$EPOCHREALTIME
}

# carol_has WORDS: her newest message holds them.
carol_has() { grep -rqF -e "$1" /home/carol/Maildir/new; }
all_idle() { soon idle; soon nobody_served; [ -z "$(failures)" ]; }
# but for the one that waits for connections
nobody_served() { [ "$(pgrep -c -x smtp-tls)" -le 1 ]; }
swaks_to() { swaks --server 127.0.0.1 --from a@b.example --helo c.example --to carol@localhost --timeout 20 "$@" >"$SAID" 2>&1 || { cat "$SAID"; return 1; }; }

# waiting: the process that waits for STARTTLS.  serving: the others.
waiting() { systemctl show -P MainPID smtp-tls.service; }
serving() { pgrep -x smtp-tls | grep -vx "$(waiting)"; }
# walled: smtp-tls is behind its last walls.
walled() { tls=$(serving) && grep -q 'Seccomp:.2$' "/proc/$tls/status" 2>/dev/null; }
# without_capabilities PID: it has none, and can get none.
without_capabilities() { [ "$(grep -c '^Cap\(Eff\|Prm\|Amb\|Inh\):.0000000000000000$' "/proc/$1/status")" = 4 ] && grep -q 'NoNewPrivs:.1$' "/proc/$1/status"; }

@test "25: STARTTLS, by a process that is another user and has no capability left" {
	swaks_to --port 25 --tls --header 'Subject: by starttls'
	carol_has '(TLS1.3 TLS_AES_128_GCM_SHA256)'
	carol_has 'with ESMTPS id'
	refute grep -q 'AUTH' "$SAID"
	all_idle
	exec {hold}<> <(:)
	openssl s_client -quiet -starttls smtp -connect 127.0.0.1:25 <&$hold >"$SAID" 2>/dev/null &
	local client=$! tls
	soon walled || { kill $client; false; }
	[ "$(stat -c %U "/proc/$tls")" = smtp-tls ] || [ "$(awk '/^Uid:/ { print $2 }' "/proc/$tls/status")" = "$(id -u smtp-tls)" ]
	run without_capabilities "$tls"
	kill $client
	[ "$status" = 0 ]
	exec {hold}>&-
	all_idle
}

@test "25: the certificate of the name that is asked for, and of the host for other names" {
	for name in mx.example.test other.example.test; do
		openssl s_client -starttls smtp -servername $name -connect 127.0.0.1:25 </dev/null 2>/dev/null | grep -F "subject=CN = $name"
	done
	openssl s_client -starttls smtp -servername nosuch.example.test -connect 127.0.0.1:25 </dev/null 2>/dev/null | grep -F 'subject=CN = mx.example.test'
	openssl s_client -starttls smtp -noservername -connect 127.0.0.1:25 </dev/null 2>/dev/null | grep -F 'subject=CN = mx.example.test'
	all_idle
}

@test "25: a renewed certificate, and a changed setting, count at the next connection" {
	subject() { openssl s_client -starttls smtp -connect 127.0.0.1:25 </dev/null 2>/dev/null | openssl x509 -noout -subject -serial; }
	local first pid
	first=$(subject)
	pid=$(pgrep -o -x smtp-tls)
	[ "$(subject)" = "$first" ]
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /etc/tls-test/archive/mx.example.test/privkey2.pem \
		-out /etc/tls-test/archive/mx.example.test/fullchain2.pem -subj /CN=mx.example.test -days 2 2>/dev/null
	ln -sf ../../archive/mx.example.test/privkey2.pem $CERTS/mx.example.test/privkey.pem
	ln -sf ../../archive/mx.example.test/fullchain2.pem $CERTS/mx.example.test/fullchain.pem
	second=$(subject)
	[ "${first#*serial}" != "${second#*serial}" ]
	[[ $second == *serial* ]]
	setting "tls_cert = $CERTS/other.example.test/fullchain.pem" "tls_key = $CERTS/other.example.test/privkey.pem"
	subject | grep -F 'CN = other.example.test'
	# and it was the same process all the time
	[ "$(pgrep -o -x smtp-tls)" = "$pid" ]
	all_idle
}

@test "25: a certificate that cannot be read is 454, a line that names it, and the mail still comes" {
	setting "tls_cert = $CERTS/none.pem"
	swaks_to --port 25 --tls-optional
	grep -F '454 4.7.0' "$SAID"
	carol_has 'with ESMTP id'
	logged "$CERTS/none.pem: No such file"  || entries -o cat | grep -F "$CERTS/none.pem: No such file"
	all_idle
}

@test "25: STARTTLS with strict.conf" {
	strict_conf smtp@.service
	swaks_to --port 25 --tls
	carol_has 'with ESMTPS id'
	all_idle
}

@test "the key as a credential of systemd's, without any capability" {
	systemd-run -q -p User=smtp-tls -p "LoadCredential=x:$CERTS/mx.example.test/privkey.pem" --wait --pipe sh -c 'cat "$CREDENTIALS_DIRECTORY/x"' >/dev/null 2>&1 ||
		skip "here systemd cannot give a credential to a user (no ACL in /run)"
	dropin smtp-tls.service "LoadCredential=fullchain.pem:$CERTS/other.example.test/fullchain.pem" "LoadCredential=privkey.pem:$CERTS/other.example.test/privkey.pem" \
		AmbientCapabilities= CapabilityBoundingSet=
	systemctl stop smtp-tls.service
	setting 'tls_cert = fullchain.pem' 'tls_key = privkey.pem'
	sed -i '/^tls_certs/d' /etc/smtp-handler.conf
	openssl s_client -starttls smtp -connect 127.0.0.1:25 </dev/null 2>/dev/null | openssl x509 -noout -subject | grep -F 'CN = other.example.test'
	systemctl stop smtp-tls.service
	all_idle
}

@test "587: TLS and a password, or nothing" {
	run swaks_to --port 587
	grep -F '530 5.7.0 Must issue a STARTTLS' "$SAID"
	run swaks_to --port 587 --tls
	grep -F '530 5.7.0 Authentication required' "$SAID"
	run swaks_to --port 587 --tls --auth PLAIN --auth-user carol --auth-password wrong
	grep -F '535 5.7.8' "$SAID"
	soon logged 'authentication failed: peer=127.0.0.1 user=<carol> mechanism=PLAIN'
	for mechanism in PLAIN LOGIN; do
		swaks_to --port 587 --tls --auth $mechanism --auth-user carol --auth-password secret --header "Subject: by $mechanism"
		carol_has "Subject: by $mechanism"
	done
	carol_has 'with ESMTPSA id'
	all_idle
}

@test "465: TLS from the first octet; the session's id is the invocation's" {
	swaks_to --port 465 --tls-on-connect --auth PLAIN --auth-user carol --auth-password secret
	carol_has '([127.0.0.1])'
	carol_has 'with ESMTPSA id'
	local id
	id=$(sed -n 's/.*with ESMTPSA id \([0-9a-f]*\)\.1$/\1/p' /home/carol/Maildir/new/*)
	soon session_ended "$id"
	all_idle
}

@test "465: the program behind TLS has no capability, and not the key" {
	exec {hold}<> <(:)
	openssl s_client -quiet -connect 127.0.0.1:465 <&$hold >"$SAID" 2>/dev/null &
	local client=$! keeper
	soon pgrep -x smtp-handler
	for keeper in $(pgrep -x smtp-handler) $(serving); do
		without_capabilities "$keeper" || echo "$keeper" >>"$SAID.bad"
	done
	kill $client
	exec {hold}>&-
	[ ! -e "$SAID.bad" ]
	all_idle
}

@test "sendmail: carol's program sends as carol; root's mail gets a date and an id" {
	printf 'To: carol@localhost\nSubject: from carol\n\nhello\n' | su carol -c '/usr/sbin/sendmail -t'
	carol_has 'Return-Path: <carol@mx.example.test>'
	carol_has 'Message-ID: <'
	soon logged 'peer=local user=<carol>'
	echo hello | sendmail carol
	carol_has 'Return-Path: <root@mx.example.test>'
	systemctl stop smtp-local.socket
	run -75 sh -c 'echo hello | sendmail carol'
	all_idle
}

@test "no process that speaks SMTP can read the key or the passwords" {
	refute su -s /bin/sh smtp-handler -c "cat $CERTS/mx.example.test/privkey.pem" 2>/dev/null
	refute su -s /bin/sh smtp-tls -c 'cat /etc/smtp-handler.passwd' 2>/dev/null
	[ "$(stat -c '%U:%G %a' /etc/smtp-handler.passwd)" = 'root:smtp-handler 640' ]
}
