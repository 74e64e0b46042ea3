/* The order matters: groups while we still may, the uid last, and then proof that there is no way back.
 * SPDX-License-Identifier: MIT */
#include "identity.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An ambient capability would survive the change between two ordinary users.  */
int identity_drop(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, none) == 0 ? 0 : errno;
}

static int change(uid_t uid, gid_t gid, const char *name)
{
	uid_t r, e, s;
	if ((name ? initgroups(name, gid) : setgroups(0, NULL)) != 0) return errno;
	if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) return errno;
	if (getresuid(&r, &e, &s) != 0 || r != uid || e != uid || s != uid) return EPERM;
	return setuid(0) == 0 ? EPERM : 0;
}

void identity_keep(uint32_t capabilities)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { { .effective = capabilities, .permitted = capabilities } };
	syscall(SYS_setgroups, 0, NULL);        /* musl's own tells threads, which we have none of, in six calls */
	if (syscall(SYS_capset, &head, caps) == 0 || syscall(SYS_capget, &head, caps) != 0) return;
	capabilities &= caps[0].permitted;      /* we do not have them all */
	caps[0] = (struct __user_cap_data_struct){ .effective = capabilities, .permitted = capabilities };
	caps[1] = (struct __user_cap_data_struct){ 0 };
	syscall(SYS_capset, &head, caps);
}

int identity_become(uid_t uid, gid_t gid, const char *name)
{
	int e = uid == 0 || gid == 0 ? EPERM : geteuid() == 0 ? change(uid, gid, name) : uid == geteuid() && uid == getuid() ? 0 : EPERM;
	if (!e) e = identity_drop();
	if (!e && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || clearenv() != 0)) e = EPERM;
	umask(077);
	return e;
}

int identity_keep_as(uid_t uid, gid_t gid, uint32_t capabilities)
{
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return errno;
	int e = change(uid, gid, NULL);
	if (!e) identity_keep(capabilities);
	return e;
}

void identity_pass_on(uint32_t capabilities)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	if (syscall(SYS_capget, &head, caps) != 0) return;
	caps[0].inheritable |= caps[0].permitted & capabilities;
	if (syscall(SYS_capset, &head, caps) != 0) return;
	for (unsigned long c = 0; c < 32; c++)
		if (caps[0].inheritable & capabilities & 1U << c) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0);
}

const struct passwd *identity_local(const char *name)
{
	FILE *f = fopen("/etc/passwd", "re");
	const struct passwd *pw = NULL;
	while (f && (pw = fgetpwent(f)) && strcmp(pw->pw_name, name) != 0) continue;
	if (f) fclose(f);
	return pw;
}
