/* Quota of a mailbox, Maildir++: the file maildirsize, as Courier and Dovecot read and keep it.  */
#ifndef QUOTA_H
#define QUOTA_H

#include <stdbool.h>
#include <stdint.h>

struct quota {
	uint64_t octets, messages;              /* the limits; 0: none */
	uint64_t used_octets, used_messages;    /* as far as there is a limit */
};

/* The quota and the usage of the Maildir in the directory `box` (an open directory of the inbox, not of a folder).  The limits are those in its maildirsize;
 * where that has none or is not there, `octets` (0: no quota; then nothing is counted or made).  Usage is recomputed, from the S= of the names (else by
 * fstatat), over new/ and cur/ of the inbox and of all folders, and the file made anew, as Maildir++ asks: when the file is missing, broken, without usage
 * (as an administrator makes it), over 5120 octets, or says that the mailbox is full and is older than 15 minutes or has more than one line of usage.  The
 * caller has taken on the identity of the mailbox's owner.  No link is followed; what is no regular file, or full of nonsense, is bounded work and no
 * failure: it is replaced if that is possible, and if nothing was delivered while it was counted.  0, or errno: a file that may not be read (EACCES) is
 * one.  */
int quota_read(int box, uint64_t octets, uint64_t wanted, struct quota *q);

/* No more fits: the mailbox is at its limit or over it.  */
bool quota_full(const struct quota *q);

/* A message of `octets` fits into it.  */
bool quota_fits(const struct quota *q, uint64_t octets);

/* Note in maildirsize what was added: one line, appended in one write, if the file is there.  0, or errno.  */
int quota_add(int box, uint64_t octets, uint64_t messages);

#endif
