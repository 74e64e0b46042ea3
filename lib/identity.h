/* Being less than root: becoming a user for good, or keeping a few capabilities.  */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <pwd.h>
#include <stdint.h>
#include <sys/types.h>

/* From here on this process is that user and can be no other: groups (those of `name`, none for NULL), gid, uid, no capability, an empty environment,
 * no new privileges.  Who is not root can only become himself.  0 or errno; then the process must not go on.  */
int identity_become(uid_t uid, gid_t gid, const char *name);

/* As root: no supplementary groups, and no capability but these (bits of the first 32), as far as we have them.  */
void identity_keep(uint32_t capabilities);

/* As root: that user from here on, with these capabilities and no others; they are lost with the next program, or identity_drop.  0 or errno.  */
int identity_keep_as(uid_t uid, gid_t gid, uint32_t capabilities);

/* Have the next program that we execute keep these, as far as we have them.  */
void identity_pass_on(uint32_t capabilities);

/* No capability any more, also for programs that are executed.  0 or errno.  */
int identity_drop(void);

/* A user by /etc/passwd alone: one for a service is in it, and to load a name service would cost more than the rest of a connection.  Static storage; NULL if
 * there is none.  */
const struct passwd *identity_local(const char *name);

#endif
