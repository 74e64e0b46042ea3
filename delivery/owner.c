/* setfsuid(2) rather than seteuid: the owner can send no signal to a process that only opens files as him.
 * SPDX-License-Identifier: MIT */
#include "owner.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "identity.h"

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
	if (root()) identity_keep(1U << CAP_DAC_READ_SEARCH | 1U << CAP_SETUID | 1U << CAP_SETGID);
}
