# smtp-handler: make, make check, make lint, make demo, make install.  `make deps` installs what these need on Debian.
# SAN=1 builds with ASan and UBSan into build/san; B=dir names another folder, CC=clang another compiler.
VERSION = 0.1
CC ?= cc
MUSL_CC ?= musl-gcc
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/smtp-handler
CONFIG ?= /etc/smtp-handler.conf
UNITDIR ?= $(or $(shell pkg-config --variable=systemdsystemunitdir systemd 2>/dev/null),/lib/systemd/system)
SYSUSERSDIR ?= /usr/lib/sysusers.d
TMPFILESDIR ?= /usr/lib/tmpfiles.d
CATALOGDIR ?= /usr/lib/systemd/catalog
B ?= build$(if $(SAN),/san)

WARN = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla $(if $(WERROR),-Werror)
HARD = -fstack-protector-strong $(if $(SAN),,-D_FORTIFY_SOURCE=2) -fPIE
SANFLAGS = $(if $(SAN),-fsanitize=address$(,)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DSANDBOX='"no"')
DEFS = -std=c17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -Ilib -Idelivery -Itls -Isubmit -Iqueue -Iclient -I. -DVERSION='"$(VERSION)"' -DBINDIR='"$(BINDIR)"' -DSBINDIR='"$(SBINDIR)"' -DCONFIG_FILE='"$(CONFIG)"'
SYSTEMD = $(shell pkg-config --exists libsystemd 2>/dev/null && echo -DHAVE_SYSTEMD)
, := ,
COMPILE = $(DEFS) $(WARN) $(HARD) $(SANFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c
LINK = -pie -Wl,-z,relro,-z,now,-z,noexecstack $(SANFLAGS) $(LDFLAGS)

STATIC_PROGRAMS = smtp-handler maildir-deliver sendmail smtp-queue
PROGRAMS = $(STATIC_PROGRAMS) smtp-tls smtp-passwd smtp-client
LIB = access address beside clock complete config data dovecot dsn envelope helper identity keeper known line lmtp log login network nexthop order peer proxy receive relay reply sandbox sasl services session setting systemd trace xclient xtext
HANDLER = smtp-handler
DELIVER = deliver maildir $(addprefix delivery/,delivery recipients place mailbox owner resolve expand node senders verify outgoing tools alias alias-list alias-text alias-compile quota names channel monitor writer program) queue/entry
SENDMAIL = sendmail $(addprefix submit/,header recipients sender message submit)
TLS = tls $(addprefix tls/,certificate serve stream walls to-server)
CLIENT_DNS = $(addprefix client/,dns ask)
CLIENT = client $(addprefix client/,dialogue letter reach secure show send transfer route) $(CLIENT_DNS) delivery/names
# Of smtp-queue.
REPORT = $(addprefix queue/,report report-fields report-text)
QUEUE = queue $(addprefix queue/,entry spool pass work notice list visit) $(REPORT) client/route
PASSWD = passwd $(addprefix passwd/,table ask change)
# Of maildir-deliver only: cdb, IDN and Unicode.  The static build takes archives that were made for another C library: delivery/shim.c.
# The archives for the other build as well: to load three libraries is a third of the cost of its start.  A packager may want DELIVER_LIBS="-lcdb -lidn2 -lunistring".
IDN_LIBS ?= -Wl,-Bstatic -lidn2 -lunistring -Wl,-Bdynamic
DELIVER_LIBS ?= -Wl,-Bstatic -lcdb -lidn2 -lunistring -Wl,-Bdynamic
# Of smtp-tls only, and from the archives too: to load the libraries is a third of the cost of its start.
TLS_LIBS ?= -Wl,-Bstatic -lssl -lcrypto -Wl,-Bdynamic
STATIC_LIBS = $(foreach l,cdb idn2 unistring,$(shell $(CC) -print-file-name=lib$(l).a))

all: $(PROGRAMS:%=$B/%) $(if $(SAN),,$(if $(shell command -v $(MUSL_CC)),static))
static: $(STATIC_PROGRAMS:%=$B/static/%) $B/static/smtp-tls $B/static/smtp-passwd $B/static/smtp-client

$B/smtp-handler: $(HANDLER:%=$B/obj/%.o) $B/libsmtp.a
	$(CC) $(LINK) -o $@ $^ -ldl
$B/maildir-deliver: $(DELIVER:%=$B/obj/%.o) $B/libsmtp.a
	$(CC) $(LINK) -o $@ $^ $(DELIVER_LIBS) -ldl
$B/smtp-tls: $(TLS:%=$B/obj/%.o) $B/libsmtp.a
	$(CC) $(LINK) -o $@ $^ $(TLS_LIBS) -ldl
$B/smtp-client: $(CLIENT:%=$B/obj/%.o) $B/libsmtp.a
	$(CC) $(LINK) -o $@ $^ $(IDN_LIBS) -lresolv -ldl
$B/smtp-passwd: $(PASSWD:%=$B/obj/%.o) $B/libsmtp.a
	$(CC) $(LINK) -o $@ $^ -lcrypt -ldl
$B/sendmail: $(SENDMAIL:%=$B/obj/%.o) $B/libsmtp.a
	$(CC) $(LINK) -o $@ $^ -ldl
$B/smtp-queue: $(QUEUE:%=$B/obj/%.o) $B/libsmtp.a
	$(CC) $(LINK) -o $@ $^ -ldl
$B/libsmtp.a: $(LIB:%=$B/obj/lib/%.o)
	rm -f $@; $(AR) rcs $@ $^
# What was built with other settings (another PREFIX, other flags) is built anew.
$B/flags: force
	@mkdir -p $(@D)
	@echo '$(CC) $(COMPILE) $(SYSTEMD) $(LINK) $(SBINDIR) $(MUSL_CC)' | cmp -s - $@ || echo '$(CC) $(COMPILE) $(SYSTEMD) $(LINK) $(SBINDIR) $(MUSL_CC)' >$@
force:

$B/obj/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(CC) $(COMPILE) $(SYSTEMD) -o $@ $<

# Static, with musl: twice as fast to start.  The kernel's headers are not in musl's folder.  Nothing is relocated, so there is nothing to
# make read-only afterwards; few segments mean few page faults.
STATIC_LINK = -static -no-pie -Wl,-z,noexecstack,-z,noseparate-code,-z,norelro $(LDFLAGS)
$B/static/smtp-handler: $(HANDLER:%=$B/static/obj/%.o) $(LIB:%=$B/static/obj/lib/%.o)
	$(MUSL_CC) $(STATIC_LINK) -o $@ $^
$B/static/sendmail: $(SENDMAIL:%=$B/static/obj/%.o) $(LIB:%=$B/static/obj/lib/%.o)
	$(MUSL_CC) $(STATIC_LINK) -o $@ $^
$B/static/smtp-queue: $(QUEUE:%=$B/static/obj/%.o) $(LIB:%=$B/static/obj/lib/%.o)
	$(MUSL_CC) $(STATIC_LINK) -o $@ $^
$B/static/maildir-deliver: $(DELIVER:%=$B/static/obj/%.o) $B/static/obj/delivery/shim.o $(LIB:%=$B/static/obj/lib/%.o)
	$(MUSL_CC) $(STATIC_LINK) -o $@ $^ $(STATIC_LIBS)
# Of what needs libraries that musl has not: the other build's.
$B/static/smtp-tls $B/static/smtp-passwd $B/static/smtp-client: $B/static/%: $B/%
	@mkdir -p $(@D)
	ln -sf ../$(@F) $@
$B/static/obj/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(MUSL_CC) $(COMPILE:-fPIE=-fno-pie) -idirafter /usr/include -idirafter /usr/include/$(shell $(CC) -print-multiarch) -o $@ $<


-include $(wildcard $B/obj/*.d $B/obj/*/*.d $B/static/obj/*.d $B/static/obj/*/*.d)
clean:
	rm -rf build
.PHONY: all static clean force

# --- tests ---
UNIT_TESTS = $(patsubst tests/unit/%.c,$B/unit/%,$(wildcard tests/unit/*.c))
BATS ?= bats

check: all $(UNIT_TESTS) $(if $(SAN),,$B/hook/smtp-handler)
	set -e; for t in $(UNIT_TESTS); do $$t >$$t.log || { grep -v '^ok' $$t.log; exit 1; }; tail -n 1 $$t.log; done
	BUILD=$B $(BATS) $(TESTS)
	$(if $(SAN),,$(if $(shell command -v $(MUSL_CC)),BUILD=$B/static $(BATS) $(TESTS)))
TESTS = tests

UNIT_OBJECTS = $(patsubst %,$B/obj/%.o,$(filter-out deliver,$(DELIVER)) submit/header client/show $(REPORT) $(CLIENT_DNS))
$B/unit/%: tests/unit/%.c tests/unit/check.h $B/flags $(UNIT_OBJECTS) $B/libsmtp.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -c,$(COMPILE)) -o $@ $< $(UNIT_OBJECTS) $B/libsmtp.a $(LINK) $(DELIVER_LIBS) -lresolv -ldl

# A handler whose speaker can be told to break out: tests/sandbox.bats shows that it cannot.
$B/hook/smtp-handler: tests/speaker-hook.c $(HANDLER:%=%.c) $B/flags $B/libsmtp.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -c,$(COMPILE)) -DSPEAKER_HOOK -o $@ tests/speaker-hook.c $(HANDLER:%=%.c) $B/libsmtp.a $(LINK) -ldl

include tests/proof.mk

C_FILES = $(sort $(HANDLER:%=%.c) $(DELIVER:%=%.c) $(TLS:%=%.c) $(SENDMAIL:%=%.c) $(PASSWD:%=%.c) $(QUEUE:%=%.c) $(CLIENT:%=%.c)) $(LIB:%=lib/%.c) $(wildcard bench/*.c tests/faults/*.c)
SHELL_FILES = .ci/run fuzz/run fuzz/mutants bench/in-box $(addprefix tests/,peers demo deps coverage systemd/box) $(wildcard tests/*.ba* tests/*/*.ba*)
# vfork is meant: posix_spawn costs a connection up to 70 system calls more
ANALYZE = -Xclang -analyzer-disable-checker=unix.Vfork,security.insecureAPI.vfork
skip = command -v $(1) >/dev/null || { echo "lint: no $(1), skipped"; exit 0; };
lint: $B/faults/syscalls.h
	$(MAKE) B=build/lint-gcc CC=gcc WERROR=1 all
	$(call skip,clang) $(MAKE) B=build/lint-clang CC=clang WERROR=1 MUSL_CC=none all
	$(call skip,clang) for f in $(C_FILES); do clang --analyze --analyzer-output text -Xclang -analyzer-werror $(ANALYZE) $(DEFS) -I$B/faults $$f || exit 1; done
	$(call skip,cppcheck) cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,performance,portability --suppress=missingIncludeSystem -Ilib -Idelivery -Itls -Isubmit -Iqueue -Iclient -I. $(C_FILES)
	$(call skip,shellcheck) shellcheck -S warning -x -P tests $(SHELL_FILES)
	$(call skip,mandoc) mandoc -T lint -W warning $(wildcard man/*.[1-8])
	$(call skip,systemd-analyze) tests/units-verify
deps:
	tests/deps
demo: all
	tests/demo $B

# --- installation: files only, with DESTDIR; without, also what must be there before the units can start ---
MAN8 = $(addprefix man/,smtp-handler.8 maildir-deliver.8 smtp-tls.8 smtp-passwd.8 sendmail.8 smtp-queue.8)
MAN1 = man/smtp-client.1
MAN7 = $(addprefix man/,smtp-handler-migration.7 smtp-handler-setup.7)
MAN5 = man/smtp-handler.conf.5
UNIT_FILES = smtp.socket smtp@.service submission.socket submission@.service submissions.socket submissions@.service smtp-local.socket smtp-local@.service \
	smtp-tls.socket smtp-tls.service smtp-queue.path smtp-queue.timer smtp-queue.service maildir-deliver.socket maildir-deliver@.service smtp-tcpserver.service
units: $(UNIT_FILES:%=$B/units/%)
$B/units/%: units/%.in $B/flags
	@mkdir -p $(@D)
	sed -e 's|@SBINDIR@|$(SBINDIR)|g' -e 's|@BINDIR@|$(BINDIR)|g' $< >$@
# The services of connections are one but for what they say here.
variant = sed -e 's|profile=mx|profile=$(1)|' -e 's|^Description=.*|Description=$(2)|' $(3) $< >$@
# For key files that are root's: smtp-tls drops it when the certificate is chosen, and the program behind it never has it.
WITH_TLS = -e 's|^ExecStart=|&$(SBINDIR)/smtp-tls |' -e 's|^CapabilityBoundingSet=|AmbientCapabilities=CAP_DAC_READ_SEARCH\n&CAP_DAC_READ_SEARCH|'
$B/units/submission@.service: $B/units/smtp@.service
	$(call variant,submission,Mail submission connection)
$B/units/smtp-local@.service: $B/units/smtp@.service
	$(call variant,local,Mail submission by a program of this host)
$B/units/submissions@.service: $B/units/smtp@.service
	$(call variant,submission,Mail submission connection with TLS,$(WITH_TLS))
$B/units/%: units/%
	@mkdir -p $(@D)
	cp $< $@

D = $(DESTDIR)
install: all units
	install -d $D$(SBINDIR) $D$(BINDIR) $D$(MANDIR)/man8 $D$(MANDIR)/man1 $D$(MANDIR)/man7 $D$(MANDIR)/man5 $D$(UNITDIR) $D$(SYSUSERSDIR) $D$(TMPFILESDIR) $D$(CATALOGDIR) $D$(DOCDIR)
	install -m 755 $B/smtp-handler $B/smtp-tls $B/smtp-passwd $B/sendmail $B/smtp-queue $D$(SBINDIR)/
	install -m 755 $B/maildir-deliver $B/smtp-client $D$(BINDIR)/
	$(if $D,test -e $D$(BINDIR)/newaliases,command -v newaliases) >/dev/null || ln -sf maildir-deliver $D$(BINDIR)/newaliases     # another mail server's stays
	$(if $D,test -e $D$(BINDIR)/mailq,command -v mailq) >/dev/null || ln -sf $(SBINDIR)/sendmail $D$(BINDIR)/mailq
	install -m 644 $(MAN8) $D$(MANDIR)/man8/
	install -m 644 $(MAN1) $D$(MANDIR)/man1/
	install -m 644 $(MAN7) $D$(MANDIR)/man7/
	install -m 644 $(MAN5) $D$(MANDIR)/man5/
	install -m 644 $(UNIT_FILES:%=$B/units/%) $D$(UNITDIR)/
	install -m 644 units/smtp-handler.sysusers $D$(SYSUSERSDIR)/smtp-handler.conf
	install -m 644 units/smtp-handler.tmpfiles $D$(TMPFILESDIR)/smtp-handler.conf
	install -m 644 units/smtp-handler.catalog $D$(CATALOGDIR)/smtp-handler.catalog
	install -m 644 README.md units/inetd.conf units/smtp-handler.conf units/smtp@.service.d/strict.conf units/virtual.conf units/fail2ban-filter.conf $D$(DOCDIR)/
	install -m 644 units/maildir-deliver@.service.d/strict.conf $D$(DOCDIR)/strict-deliver.conf
	$(if $D,,-$(MAKE) --no-print-directory activate)
# What the package of a distribution does after it has put the files there: users, folders, explanations; where there is systemd.
activate:
	if command -v systemd-sysusers >/dev/null; then systemd-sysusers $(SYSUSERSDIR)/smtp-handler.conf; fi
	if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create $(TMPFILESDIR)/smtp-handler.conf; fi
	if command -v journalctl >/dev/null; then journalctl --update-catalog; fi
	if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	for f in /usr/sbin/sendmail /usr/lib/sendmail; do [ -e $$f ] || [ -L $$f ] || ln -s $(SBINDIR)/sendmail $$f; done      # where programs look; another mail server's stays
# The mail that waits stays, and so does the configuration.
# What sockets, the path and the timer start.
STARTED = %@.service smtp-tls.service smtp-queue.service
uninstall:
	$(if $D,,-if [ -d /run/systemd/system ]; then systemctl disable --now $(filter-out $(STARTED),$(UNIT_FILES)); systemctl stop $(patsubst %@.service,'%@*.service',$(filter $(STARTED),$(UNIT_FILES))); fi)
	$(if $D,,-for f in /usr/sbin/sendmail /usr/lib/sendmail; do [ "$$(readlink $$f)" != $(SBINDIR)/sendmail ] || rm -f $$f; done)
	test "$$(readlink $D$(BINDIR)/newaliases)" != maildir-deliver || rm -f $D$(BINDIR)/newaliases
	test "$$(readlink $D$(BINDIR)/mailq)" != $(SBINDIR)/sendmail || rm -f $D$(BINDIR)/mailq
	rm -f $(addprefix $D$(SBINDIR)/,smtp-handler smtp-tls smtp-passwd sendmail smtp-queue) $D$(BINDIR)/maildir-deliver $D$(BINDIR)/smtp-client $(MAN1:man/%=$D$(MANDIR)/man1/%) $(MAN8:man/%=$D$(MANDIR)/man8/%) $(MAN7:man/%=$D$(MANDIR)/man7/%) $(MAN5:man/%=$D$(MANDIR)/man5/%)
	rm -f $(UNIT_FILES:%=$D$(UNITDIR)/%) $D$(SYSUSERSDIR)/smtp-handler.conf $D$(TMPFILESDIR)/smtp-handler.conf
	rm -f $D$(CATALOGDIR)/smtp-handler.catalog $(addprefix $D$(DOCDIR)/,README.md inetd.conf smtp-handler.conf strict.conf virtual.conf fail2ban-filter.conf strict-deliver.conf)
	-rmdir $D$(DOCDIR) 2>/dev/null
	$(if $D,,-if [ -d /run/systemd/system ]; then systemctl daemon-reload; journalctl --update-catalog; fi)
.PHONY: check lint deps demo units install activate uninstall
