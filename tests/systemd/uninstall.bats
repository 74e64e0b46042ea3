#!/usr/bin/env bats
# The last of the files: make uninstall leaves nothing.
load helper
load setup_suite

setup() { :; }
teardown() { :; }

@test "what was installed goes away without a trace; the mail and the administrator's files stay" {
	systemctl enable --now smtp.socket smtp-local.socket submission.socket submissions.socket smtp-queue.path smtp-queue.timer
	make -s -C /src B=/tmp/build PREFIX=/usr MUSL_CC=none uninstall
	systemctl list-units --all --no-legend 'smtp*' 'maildir-deliver*' 'submission*'
	[ -z "$(systemctl list-units --all --no-legend 'smtp*' 'maildir-deliver*' 'submission*')" ]
	files | diff /tmp/files.before - | grep '^[<>]' >"$BATS_TEST_TMPDIR/left"
	cat "$BATS_TEST_TMPDIR/left"
	[ -z "$(grep -vx -e '> /etc/smtp-handler.conf' -e '> /var/vmail.*' -e '> /var/spool/smtp-handler.*' -e '> /var/lib/systemd/timers.*' -e '> /etc/sub[ug]id-' -e '> /var/lib/systemd/linger' "$BATS_TEST_TMPDIR/left")" ]
	grep -x '> /var/vmail/example.test/alice/new' "$BATS_TEST_TMPDIR/left"
	[ -z "$(systemctl list-unit-files --no-legend 'smtp*' 'maildir-deliver*')" ]
}
