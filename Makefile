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
DEFS = -std=c17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Ilib -I. -DVERSION='"$(VERSION)"' -DBINDIR='"$(BINDIR)"' -DCONFIG_FILE='"$(CONFIG)"'
SYSTEMD = $(shell pkg-config --exists libsystemd 2>/dev/null && echo -DHAVE_SYSTEMD)
, := ,
COMPILE = $(DEFS) $(WARN) $(HARD) $(SANFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -c
LINK = -pie -Wl,-z,relro,-z,now,-z,noexecstack $(SANFLAGS) $(LDFLAGS)

PROGRAMS = smtp-handler maildir-deliver
LIB = address clock config data envelope keeper line lmtp log nexthop peer receive reply sandbox session systemd trace
HANDLER = smtp-handler
DELIVER = deliver delivery maildir owner resolve

all: $(PROGRAMS:%=$B/%) $(if $(SAN),,$(if $(shell command -v $(MUSL_CC)),static))
static: $(PROGRAMS:%=$B/static/%)

$B/smtp-handler: $(HANDLER:%=$B/obj/%.o) $B/libsmtp.a
	$(CC) $(LINK) -o $@ $^ -ldl
$B/maildir-deliver: $(DELIVER:%=$B/obj/%.o) $B/libsmtp.a
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

# Static, with musl: twice as fast to start.  The kernel's headers are not in musl's folder.
$B/static/smtp-handler: $(HANDLER:%=$B/static/obj/%.o) $(LIB:%=$B/static/obj/lib/%.o)
	$(MUSL_CC) -static -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS) -o $@ $^
$B/static/maildir-deliver: $(DELIVER:%=$B/static/obj/%.o) $(LIB:%=$B/static/obj/lib/%.o)
	$(MUSL_CC) -static -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS) -o $@ $^
$B/static/obj/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(MUSL_CC) $(filter-out -fPIE,$(COMPILE)) -idirafter /usr/include -idirafter /usr/include/$(shell $(CC) -print-multiarch) -o $@ $<


-include $(wildcard $B/obj/*.d $B/obj/lib/*.d $B/static/obj/*.d $B/static/obj/lib/*.d)
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

$B/unit/%: tests/unit/%.c tests/unit/check.h $B/flags $B/libsmtp.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -c,$(COMPILE)) -o $@ $< $B/libsmtp.a $(LINK) -ldl

# A handler whose speaker can be told to break out: tests/sandbox.bats shows that it cannot.
$B/hook/smtp-handler: tests/speaker-hook.c $(HANDLER:%=%.c) $B/flags $B/libsmtp.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -c,$(COMPILE)) -DSPEAKER_HOOK -o $@ tests/speaker-hook.c $(HANDLER:%=%.c) $B/libsmtp.a $(LINK) -ldl

# Each system call of a delivery fails in turn: a sample, or FULL=1 all.  faults-table writes the tables of tests/faults/README.md anew.
check-faults: all $B/faults/inject
	BUILD=$B tests/faults/run $(if $(FULL),--full)
faults-table: all $B/faults/inject
	BUILD=$B tests/faults/run --full --table tests/faults/README.md
$B/faults/inject: tests/faults/inject.c $B/faults/names.h
	$(CC) $(filter-out -MMD -c,$(COMPILE)) -I$(@D) -o $@ $< $(LINK)
$B/faults/names.h: $B/flags
	@mkdir -p $(@D)
	echo '#include <sys/syscall.h>' | $(CC) -E -dM - | sed -n 's/^#define __NR_\([a-z0-9_]*\) [0-9]*$$/[__NR_\1] = "\1",/p' >$@
# In a throw-away container with a real systemd, which takes root.
check-systemd:
	tests/systemd/box $(BATS) /src/tests/systemd || { [ $$? = 77 ] && echo 'check-systemd: SKIPPED, for the reason above'; }
# What a power cut leaves, on ext4, xfs and btrfs; needs root, FUSE and loop devices.  CUTS=750 is the long form: tests/faults/POWER.md.
check-power: all $B/power-disk $B/power-lie.so
	tests/faults/power --build $B $(if $(CUTS),--cuts $(CUTS)) || [ $$? = 77 ]
$B/power-disk: tests/faults/power-disk.c $B/flags
	$(CC) $(filter-out -MMD -c,$(COMPILE)) -o $@ $< $(LINK)
$B/power-lie.so: tests/faults/power-lie.c $B/flags
	$(CC) $(filter-out -MMD -c -fPIE,$(COMPILE)) -fPIC -shared -o $@ $<
# --- fuzzing (fuzz/README.md): make fuzz SECONDS=60 [FUZZ="data line"] ---
FUZZERS = $(patsubst fuzz/%.c,%,$(wildcard fuzz/*.c))
FUZZ ?= $(FUZZERS) binary
SECONDS ?= 10
FUZZ_BUILD = $(MAKE) --no-print-directory SAN=1 B=build/fuzz CC=clang SYSTEMD= CFLAGS='-O1 -g -fsanitize=fuzzer-no-link'
# The client, the log and the next hop are the harness's; its clock too, so lib/clock.c and lib/keeper.c are not linked.
$B/fuzz-%: fuzz/%.c $(wildcard fuzz/*.h) $(HANDLER:%=%.c) deliver.c $(patsubst %,$B/obj/%.o,$(filter-out deliver,$(DELIVER))) $B/libsmtp.a
	$(CC) $(filter-out -MMD -c,$(COMPILE)) -o $@ $< $(if $(filter deliver,$*),$(filter %.o,$^)) $B/libsmtp.a $(LINK) -fsanitize=fuzzer -Wl,--wrap=read,--wrap=write -ldl
fuzzers: $(FUZZERS:%=$B/fuzz-%) $(PROGRAMS:%=$B/%)
fuzz:
	$(FUZZ_BUILD) fuzzers
	fuzz/run $(SECONDS) $(FUZZ)
.PHONY: fuzz fuzzers
# The programs beside other mail servers, and the machine's own limits; see bench/README.md.  QUICK=1 is the short form.
# Ours beside other mail servers and the floor of the machine; QUICK=1 is the short form; BENCH_ARGS: see bench/run --help.
BENCH = $(patsubst %,$B/bench/%,floor connect devlog true)
bench: all $(BENCH)
	tests/peers $B/peers
	bench/run --build $B $(if $(QUICK),--quick) $(BENCH_ARGS)
$B/bench/true: bench/true.c $B/flags
	@mkdir -p $(@D)
	$(MUSL_CC) -static -O2 -o $@ $<
$B/bench/%: bench/%.c $B/flags
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -c,$(COMPILE)) -o $@ $< $(LINK)

C_FILES = $(HANDLER:%=%.c) $(DELIVER:%=%.c) $(LIB:%=lib/%.c)
SHELL_FILES = .ci/run tests/peers tests/demo tests/deps $(wildcard tests/*.bash tests/*.bats tests/systemd/*.ba*) tests/systemd/box
SHELL_FILES = .ci/run fuzz/run fuzz/mutants tests/peers tests/demo tests/deps $(wildcard tests/*.bash tests/*.bats)
C_FILES = $(HANDLER:%=%.c) $(DELIVER:%=%.c) $(LIB:%=lib/%.c) $(wildcard bench/*.c)
SHELL_FILES = .ci/run tests/peers tests/demo tests/deps bench/in-box $(wildcard tests/*.bash tests/*.bats)
# vfork is meant: posix_spawn costs a connection up to 70 system calls more
ANALYZE = -Xclang -analyzer-disable-checker=unix.Vfork,security.insecureAPI.vfork
skip = command -v $(1) >/dev/null || { echo "lint: no $(1), skipped"; exit 0; };
lint:
	$(MAKE) B=build/lint-gcc CC=gcc WERROR=1 all
	$(call skip,clang) $(MAKE) B=build/lint-clang CC=clang WERROR=1 MUSL_CC=none all
	$(call skip,clang) for f in $(C_FILES); do clang --analyze --analyzer-output text -Xclang -analyzer-werror $(ANALYZE) $(DEFS) $$f || exit 1; done
	$(call skip,cppcheck) cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,performance,portability --suppress=missingIncludeSystem -Ilib -I. $(C_FILES)
	$(call skip,shellcheck) shellcheck -S warning -x -P tests $(SHELL_FILES)
	$(call skip,mandoc) mandoc -T lint -W warning $(wildcard man/*.[1-8])
	$(call skip,systemd-analyze) tests/units-verify
deps:
	tests/deps
demo: all
	tests/demo $B

# --- installation: files only; the README says what an administrator does next ---
MAN8 = man/smtp-handler.8 man/maildir-deliver.8
MAN5 = man/smtp-handler.conf.5
UNIT_FILES = smtp.socket smtp@.service maildir-deliver.socket maildir-deliver@.service smtp-tcpserver.service
units: $(UNIT_FILES:%=$B/units/%)
$B/units/%: units/%.in $B/flags
	@mkdir -p $(@D)
	sed -e 's|@SBINDIR@|$(SBINDIR)|g' -e 's|@BINDIR@|$(BINDIR)|g' $< >$@
$B/units/%.socket: units/%.socket
	@mkdir -p $(@D)
	cp $< $@

D = $(DESTDIR)
install: all units
	install -d $D$(SBINDIR) $D$(BINDIR) $D$(MANDIR)/man8 $D$(MANDIR)/man5 $D$(UNITDIR) $D$(SYSUSERSDIR) $D$(TMPFILESDIR) $D$(CATALOGDIR) $D$(DOCDIR)
	install -m 755 $B/smtp-handler $D$(SBINDIR)/
	install -m 755 $B/maildir-deliver $D$(BINDIR)/
	install -m 644 $(MAN8) $D$(MANDIR)/man8/
	install -m 644 $(MAN5) $D$(MANDIR)/man5/
	install -m 644 $(UNIT_FILES:%=$B/units/%) $D$(UNITDIR)/
	install -m 644 units/smtp-handler.sysusers $D$(SYSUSERSDIR)/smtp-handler.conf
	install -m 644 units/smtp-handler.tmpfiles $D$(TMPFILESDIR)/smtp-handler.conf
	install -m 644 units/smtp-handler.catalog $D$(CATALOGDIR)/smtp-handler.catalog
	install -m 644 README.md units/inetd.conf units/smtp-handler.conf units/smtp@.service.d/strict.conf $D$(DOCDIR)/
uninstall:
	rm -f $D$(SBINDIR)/smtp-handler $D$(BINDIR)/maildir-deliver $(MAN8:man/%=$D$(MANDIR)/man8/%) $(MAN5:man/%=$D$(MANDIR)/man5/%)
	rm -f $(UNIT_FILES:%=$D$(UNITDIR)/%) $D$(SYSUSERSDIR)/smtp-handler.conf $D$(TMPFILESDIR)/smtp-handler.conf
	rm -f $D$(CATALOGDIR)/smtp-handler.catalog $(addprefix $D$(DOCDIR)/,README.md inetd.conf smtp-handler.conf strict.conf)
	-rmdir $D$(DOCDIR) 2>/dev/null
.PHONY: check check-faults faults-table lint deps demo units install uninstall
.PHONY: check check-systemd lint deps demo units install uninstall
.PHONY: check check-power lint deps demo units install uninstall
.PHONY: check lint deps demo bench units install uninstall
