/* setfsuid(2) rather than seteuid: the owner can send no signal to a process that only opens files as him.
 * SPDX-License-Identifier: MIT */
#include "owner.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_root = -1;        /* not known yet; asked once */

static int root(void)
{
	if (is_root < 0) is_root = geteuid() == 0;
	return is_root;
}

int owner_enter(uid_t uid, gid_t gid)
{
	if (!root() || uid == 0) return 0;
	setfsgid(gid);
	setfsuid(uid);
	return setfsuid((uid_t)-1) == (int)uid && setfsgid((gid_t)-1) == (int)gid ? 0 : EPERM;
}

int owner_leave(int result)
{
	if (root()) {
		setfsuid(0);
		setfsgid(0);
	}
	return result;
}

void owner_only(void)
{
	const __u32 keep = 1U << CAP_DAC_READ_SEARCH | 1U << CAP_SETUID | 1U << CAP_SETGID;
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	if (!root()) return;
	setgroups(0, NULL);
	if (syscall(SYS_capget, &head, caps) != 0) return;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		__u32 kept = i == 0 ? keep & caps[i].permitted : 0;
		caps[i] = (struct __user_cap_data_struct){ .effective = kept, .permitted = kept };
	}
	syscall(SYS_capset, &head, caps);
}
