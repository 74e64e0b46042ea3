/* Strict mode and Landlock by their system calls: both are too young for a C library's wrapper.
 * SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_NET_BIND_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP (1ULL << 0)
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (1ULL << 1)
#endif

/* All rights of the first version of Landlock's interface.  */
#define FS_ALL ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define FS_MAILBOX (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR | \
	LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REFER)

struct ruleset { uint64_t fs, net; };   /* the header of Debian 12 does not know the second field yet */

static void restrict_self(const struct ruleset *rules, size_t size, uint64_t rights, int beneath)
{
	int fd = (int)syscall(SYS_landlock_create_ruleset, rules, size, 0);
	if (fd < 0) return;
	struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = beneath };
	if (beneath < 0 || syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0) syscall(SYS_landlock_restrict_self, fd, 0);
	close(fd);
}

bool sandbox_speaker(void)
{
	struct ruleset rules = { .fs = FS_ALL };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
	restrict_self(&rules, sizeof rules.fs, 0, -1);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0;
}

void sandbox_beneath(int fd)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset rules = { .fs = FS_ALL | LANDLOCK_ACCESS_FS_REFER };
	if (version >= 3) rules.fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (version >= 4) rules.net = LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* the first version would forbid the rename from tmp/ to new/ */
	if (version >= 2) restrict_self(&rules, version >= 4 ? sizeof rules : sizeof rules.fs, FS_MAILBOX, fd);
}
