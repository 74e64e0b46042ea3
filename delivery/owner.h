/* Acting on files as the owner of a mailbox, when we are root; the identity that counts for files and for nothing else.  */
#ifndef OWNER_H
#define OWNER_H

#include <sys/types.h>

/* From here on files are opened, made and written as this user, until the next owner_enter or owner_leave.  Nothing happens unless we are
 * root and the user is not.  0 or errno; then we are ourselves.  */
int owner_enter(uid_t uid, gid_t gid);

/* Back to ourselves.  */
void owner_leave(void);

/* Give up what even root does not need here: other groups, and every capability but to search directories and to become an owner, so
 * that quotas and reserved blocks hold for us as for the owner.  */
void owner_only(void);

#endif
