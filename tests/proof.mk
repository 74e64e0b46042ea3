# The long proofs, and the numbers.  Each has a short form, which CI runs, and a full one.

# In a throw-away container with a real systemd, which takes root (tests/systemd).
check-systemd:
	tests/systemd/box $(BATS) /src/tests/systemd || { [ $$? = 77 ] && echo 'check-systemd: SKIPPED, for the reason above'; }

# Each system call of a delivery, and of a pass over the queue, fails in turn: a sample, or FULL=1 all.  faults-table writes the tables of tests/faults/README.md anew.
check-faults: all $B/faults/inject
	BUILD=$B tests/faults/run $(if $(FULL),--full) || [ $$? = 77 ]
faults-table: all $B/faults/inject
	BUILD=$B tests/faults/run --full --table tests/faults/README.md
$B/faults/inject: tests/faults/inject.c $B/faults/syscalls.h
	$(CC) $(filter-out -MMD -MP -c,$(COMPILE)) -I$(@D) -o $@ $< $(LINK)
$B/faults/syscalls.h: $B/flags
	@mkdir -p $(@D)
	echo '#include <sys/syscall.h>' | $(CC) -E -dM - | sed -n 's/^#define __NR_\([a-z0-9_]*\) [0-9]*$$/[__NR_\1] = "\1",/p' >$@

# Hostile clients, full disks, races.  HOSTILE=full runs the long forms, and the static programs too.
check-hostile: all $(if $(SAN),,$B/hook/smtp-handler)
	BUILD=$B $(BATS) tests/hostile
	$(if $(filter full,$(HOSTILE)),$(if $(SAN),,$(if $(shell command -v $(MUSL_CC)),BUILD=$B/static $(BATS) tests/hostile)))

# Line and branch coverage under SUITES (default: check check-hostile), by clang into build/coverage.
coverage:
	tests/coverage || [ $$? = 77 ]

# What a power cut leaves, on ext4, xfs and btrfs; needs root, FUSE and loop devices.  CUTS=750 is the full form: tests/faults/POWER.md.
check-power: all $B/power-disk $B/power-lie.so
	tests/faults/power --build $B $(if $(CUTS),--cuts $(CUTS)) || [ $$? = 77 ]
$B/power-disk: tests/faults/power-disk.c $B/flags
	$(CC) $(filter-out -MMD -MP -c,$(COMPILE)) -o $@ $< $(LINK)
$B/power-lie.so: tests/faults/power-lie.c $B/flags
	$(CC) $(filter-out -MMD -MP -c -fPIE,$(COMPILE)) -fPIC -shared -o $@ $<

# fuzz/README.md: make fuzz SECONDS=60 [FUZZ="data line"].
FUZZERS = $(patsubst fuzz/%.c,%,$(wildcard fuzz/*.c))
FUZZ ?= $(FUZZERS) binary
SECONDS ?= 10
FUZZ_BUILD = $(MAKE) --no-print-directory SAN=1 B=build/fuzz CC=clang SYSTEMD= CFLAGS='-O1 -g -fsanitize=fuzzer-no-link'
# The client, the log and the next hop are the harness's; its clock too, so lib/clock.c and lib/keeper.c are not linked.
$B/fuzz-%: fuzz/%.c $(wildcard fuzz/*.h) $(HANDLER:%=%.c) $(CLIENT_DNS:%=%.c) deliver.c submit/header.c $(patsubst %,$B/obj/%.o,$(filter-out deliver,$(DELIVER)) $(REPORT)) $B/libsmtp.a
	$(CC) $(filter-out -MMD -MP -c,$(COMPILE)) -o $@ $< $(if $(filter deliver alias report dns,$*),$(filter %.o,$^)) $B/libsmtp.a $(LINK) -fsanitize=fuzzer -Wl,--wrap=read,--wrap=write $(DELIVER_LIBS) -lresolv -ldl
fuzzers: $(FUZZERS:%=$B/fuzz-%) $(PROGRAMS:%=$B/%)
fuzz:
	$(FUZZ_BUILD) fuzzers
	fuzz/run $(SECONDS) $(FUZZ)

# Ours beside other mail servers and the floor of the machine; QUICK=1 is the short form; BENCH_ARGS: see bench/run --help.
BENCH = $(patsubst %,$B/bench/%,floor connect devlog true)
bench: all $(BENCH)
	tests/peers $B/peers
	bench/run --build $B $(if $(QUICK),--quick) $(BENCH_ARGS)
# What a recipient costs, with up to a million mailboxes and aliases, and a list of 1000: four minutes, 6 GB of disk; BENCH_ARGS: see bench/lookup --help.
bench-lookup: all
	bench/lookup --build $B --results bench/results $(BENCH_ARGS) || [ $$? = 77 ]
# How fast a queue goes out, beside Postfix: ten minutes; BENCH_ARGS: see bench/outgoing --help.
bench-outgoing: all $(patsubst %,$B/bench/%,sink devlog)
	tests/peers $B/peers
	bench/outgoing --build $B --results bench/results $(BENCH_ARGS) || [ $$? = 77 ]
$B/bench/true: bench/true.c $B/flags
	@mkdir -p $(@D)
	$(MUSL_CC) -static -O2 -o $@ $<
$B/bench/connect: LDLIBS = -lssl -lcrypto
$B/bench/%: bench/%.c $B/flags
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -c,$(COMPILE)) -o $@ $< $(LINK) $(LDLIBS)

.PHONY: check-hostile coverage check-systemd check-faults faults-table check-power fuzz fuzzers bench bench-lookup bench-outgoing
