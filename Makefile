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
DEFS = -std=c17 -D_GNU_SOURCE -Ilib -I. -DVERSION='"$(VERSION)"' -DBINDIR='"$(BINDIR)"' -DCONFIG_FILE='"$(CONFIG)"'
SYSTEMD = $(shell pkg-config --exists libsystemd 2>/dev/null && echo -DHAVE_SYSTEMD)
, := ,
COMPILE = $(DEFS) $(WARN) $(HARD) $(SANFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -c
LINK = -pie -Wl,-z,relro,-z,now,-z,noexecstack $(SANFLAGS) $(LDFLAGS)

PROGRAMS = smtp-handler maildir-deliver
LIB = address clock config data envelope keeper line lmtp log nexthop peer receive reply sandbox session systemd trace
HANDLER = smtp-handler
DELIVER = deliver delivery maildir resolve
UNITS = units/smtp.socket units/maildir-deliver.socket $(wildcard units/*.service.in)

all: $(PROGRAMS:%=$B/%) $(if $(SAN),,$(if $(shell command -v $(MUSL_CC)),static))
static: $(PROGRAMS:%=$B/static/%)

$B/smtp-handler: $(HANDLER:%=$B/obj/%.o) $B/libsmtp.a
	$(CC) $(LINK) -o $@ $^ -ldl
$B/maildir-deliver: $(DELIVER:%=$B/obj/%.o) $B/libsmtp.a
	$(CC) $(LINK) -o $@ $^ -ldl
$B/libsmtp.a: $(LIB:%=$B/obj/lib/%.o)
	rm -f $@; $(AR) rcs $@ $^
$B/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(COMPILE) $(SYSTEMD) -o $@ $<

# Static, with musl: twice as fast to start.  The kernel's headers are not in musl's folder.
$B/static/smtp-handler: $(HANDLER:%=$B/static/obj/%.o) $(LIB:%=$B/static/obj/lib/%.o)
	$(MUSL_CC) -static -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS) -o $@ $^
$B/static/maildir-deliver: $(DELIVER:%=$B/static/obj/%.o) $(LIB:%=$B/static/obj/lib/%.o)
	$(MUSL_CC) -static -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS) -o $@ $^
$B/static/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(MUSL_CC) $(filter-out -fPIE,$(COMPILE)) -idirafter /usr/include -idirafter /usr/include/$(shell $(CC) -print-multiarch) -o $@ $<

clean:
	rm -rf build

-include $(wildcard $B/obj/*.d $B/obj/lib/*.d $B/static/obj/*.d $B/static/obj/lib/*.d)
.PHONY: all static clean
