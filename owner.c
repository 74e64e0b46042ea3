/* setfsuid(2) rather than seteuid: the owner can send no signal to a process that only opens files as him.
 * SPDX-License-Identifier: MIT */
#include "owner.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Who we are for files.  The identity is kept from one call to the next: most messages have one owner.  */
static uid_t fsuid;
static gid_t fsgid;

static bool root(void) { return getauxval(AT_EUID) == 0; }     /* asks the kernel nothing */

void owner_leave(void)
{
	if (fsuid == 0) return;
	setfsuid(0);
	setfsgid(0);
	fsuid = fsgid = 0;
}

int owner_enter(uid_t uid, gid_t gid)
{
	if (!root() || (uid == fsuid && (gid == fsgid || uid == 0))) return 0;
	owner_leave();
	if (uid == 0) return 0;
	setfsgid(gid);
	setfsuid(uid);
	fsuid = uid;
	fsgid = gid;
	if (setfsuid((uid_t)-1) == (int)uid && setfsgid((gid_t)-1) == (int)gid) return 0;
	owner_leave();
	return EPERM;
}

void owner_only(void)
{
	const __u32 keep = 1U << CAP_DAC_READ_SEARCH | 1U << CAP_SETUID | 1U << CAP_SETGID;
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	if (!root()) return;
	syscall(SYS_setgroups, 0, NULL);        /* musl's own tells threads, which we have none of, in six calls */
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) caps[i] = (struct __user_cap_data_struct){ .effective = i == 0 ? keep : 0, .permitted = i == 0 ? keep : 0 };
	if (syscall(SYS_capset, &head, caps) == 0 || syscall(SYS_capget, &head, caps) != 0) return;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {    /* we do not have them all */
		__u32 kept = i == 0 ? keep & caps[i].permitted : 0;
		caps[i] = (struct __user_cap_data_struct){ .effective = kept, .permitted = kept };
	}
	syscall(SYS_capset, &head, caps);
}
