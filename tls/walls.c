/* The key files may be root's.  So the one capability that reads them stays while the first message of the handshake, which names the certificate, is parsed; all
 * the rest of the connection is behind the last walls.
 * SPDX-License-Identifier: MIT */
#include "walls.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "identity.h"
#include "log.h"
#include "sandbox.h"

bool walls_first(void)
{
	enum { NOBODY = 65534 };
	if (geteuid() == 0) {
		const struct passwd *pw = identity_local("smtp-tls");
		int e = identity_keep_as(pw && pw->pw_uid ? pw->pw_uid : NOBODY, pw && pw->pw_gid ? pw->pw_gid : NOBODY, 1U << CAP_DAC_READ_SEARCH);
		if (e) {
			log_line(LEVEL_ERROR, "cannot become another user than root: %s", strerror(e));
			return false;
		}
	}
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) return true;
	log_line(LEVEL_ERROR, "no_new_privs: %s", strerror(errno));
	return false;
}

bool walls_last(bool sandbox, pid_t child)
{
	int e = identity_drop();
	if (!e && (!sandbox || sandbox_stream(child))) return true;
	log_line(LEVEL_ERROR, "the kernel refuses the sandbox (sandbox = no runs without): %s", strerror(e ? e : errno));
	return false;
}
