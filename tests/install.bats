#!/usr/bin/env bats
# make install and uninstall, the units, the manual.
load helper

@test "install puts everything below DESTDIR, uninstall takes it all away; what is installed works" {
	cd "$TESTS/.."
	local where=(B="$BATS_TEST_TMPDIR/build" DESTDIR="$BATS_TEST_TMPDIR/root" PREFIX=/usr UNITDIR=/lib/systemd/system MUSL_CC=none)
	make -s "${where[@]}" install >/dev/null
	cd "$BATS_TEST_TMPDIR/root"
	for f in usr/sbin/smtp-handler usr/bin/maildir-deliver usr/bin/smtp-client usr/share/man/man1/smtp-client.1 usr/share/man/man8/smtp-handler.8 usr/share/man/man8/maildir-deliver.8 \
		usr/share/man/man7/smtp-handler-migration.7 usr/share/man/man5/smtp-handler.conf.5 lib/systemd/system/smtp.socket lib/systemd/system/smtp@.service \
		usr/lib/sysusers.d/smtp-handler.conf usr/lib/tmpfiles.d/smtp-handler.conf usr/lib/systemd/catalog/smtp-handler.catalog; do
		echo "$f"
		[ -s "$f" ]
	done
	refute grep -r '@[A-Z]*DIR@' lib
	grep -q '^ExecStart=/usr/sbin/smtp-handler' lib/systemd/system/smtp@.service
	printf '%s\n' "EHLO c" "MAIL FROM:<>" "RCPT TO:<alice@example.test>" DATA x . QUIT | clean_env usr/sbin/smtp-handler "${SETTINGS[@]}" >/dev/null 2>>"$LOG"
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
	[ "$(readlink usr/bin/newaliases)" = maildir-deliver ]
	cd "$TESTS/.."
	make -s "${where[@]}" uninstall >/dev/null
	[ -z "$(find "$BATS_TEST_TMPDIR/root" -type f -o -type l)" ]
	# that of another mail server stays as it is
	echo "another's" >"$BATS_TEST_TMPDIR/root/usr/bin/newaliases"
	make -s "${where[@]}" install >/dev/null
	make -s "${where[@]}" uninstall >/dev/null
	[ "$(cat "$BATS_TEST_TMPDIR/root/usr/bin/newaliases")" = "another's" ]
}

@test "the program is hardened" {
	command -v readelf >/dev/null || skip "no readelf"
	[ ! -e "$BUILD/../libsmtp.a" ] || skip "a static program"
	for program in "$HANDLER" "$DELIVER" "$BUILD/smtp-client"; do
		readelf -h "$program" | grep -q 'Type: *DYN'
		readelf -lW "$program" | grep -q GNU_RELRO
		readelf -d "$program" | grep -q BIND_NOW
		readelf -lW "$program" | grep 'GNU_STACK' | grep -qv 'RWE'
	done
}

@test "systemd has nothing to say against the units" {
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	"$TESTS/units-verify"
}

@test "the catalog explains every kind of event" {
	for id in $(grep -o '8b3a7e1c5d0f4c52a6f1de3b9c704a[0-9a-f][0-9a-f]' "$TESTS/../lib/log.c"); do
		grep -q "^-- $id" "$TESTS/../units/smtp-handler.catalog"
	done
}

@test "the manual is clean" {
	command -v mandoc >/dev/null || skip "no mandoc"
	mandoc -T lint -W warning "$TESTS"/../man/*.[1-8]
}
