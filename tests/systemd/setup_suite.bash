# Run once, in the box, before all files: build from the tree, note what files there are, install as the README says.
# shellcheck shell=bash

# files: all that a package could have brought, but for what a running system writes by itself.
files() { find /boot /etc /opt /usr /srv /var -xdev \( -path /var/log -o -path /var/tmp -o -path /var/cache \) -prune -o -print | sort; }

setup_suite() {
	grep -qsz '^container=box$' /proc/1/environ || { echo "these tests change the system that they run on: make check-systemd runs them in a box"; return 1; }
	cd /src || return
	make -sj2 B=/tmp/build PREFIX=/usr MUSL_CC=none all units /tmp/build/hook/smtp-handler
	files >/tmp/files.before
	make -s B=/tmp/build PREFIX=/usr MUSL_CC=none install
	systemctl enable --now smtp.socket
	useradd --create-home --comment 'Carol Doe' carol
	maildir-deliver --make alice@example.test
	maildir-deliver --make bob@example.test
}
