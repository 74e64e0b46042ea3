/* Being less than root: becoming a user for good, or keeping a few capabilities.  */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stdint.h>
#include <sys/types.h>

/* From here on this process is that user and can be no other: groups (those of `name`, none for NULL), gid, uid, no capability, an empty environment,
 * no new privileges.  Who is not root can only become himself.  0 or errno; then the process must not go on.  */
int identity_become(uid_t uid, gid_t gid, const char *name);

/* As root: no supplementary groups, and no capability but these (bits of the first 32), as far as we have them.  */
void identity_keep(uint32_t capabilities);

#endif
