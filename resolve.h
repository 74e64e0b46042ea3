/* Recipient to mailbox directory: mail_root/DOMAIN/LOCAL (maildir-deliver(8)).  */
#ifndef RESOLVE_H
#define RESOLVE_H

#include <stdbool.h>

#include "address.h"
#include "config.h"
#include "reply.h"

struct resolver {
	const struct config *cf;
	int root;               /* mail_root, or the catch_all Maildir; -1 when it cannot be opened */
	bool catch_all;
};

/* Open mail_root, or, when it is set and `catch_all`, that Maildir, which is made if missing.  False after a line in the log.  */
bool resolver_open(struct resolver *r, const struct config *cf, bool catch_all);

/* The mailbox of a recipient, an open directory in *box; or why there is none.  551 says that the domain is not ours.  */
const struct reply *resolve(const struct resolver *r, const struct path *rcpt, int *box);

/* Make a mailbox, owned like its domain's directory (that like mail_root).  One that is there is no error.  0 or errno,
 * EINVAL for a name that cannot be one.  */
int resolver_make(const struct resolver *r, const struct path *mailbox);

#endif
