/* What lies beneath mail_root: mail_root/DOMAIN/LOCAL is a mailbox (maildir-deliver(8)).  */
#ifndef RESOLVE_H
#define RESOLVE_H

#include <stdbool.h>

#include "address.h"
#include "config.h"

struct resolver {
	const struct config *cf;
	int root;               /* mail_root, or the catch_all Maildir; -1 when it cannot be opened */
	bool catch_all;
};

/* Open mail_root, or, when it is set and `catch_all`, that Maildir, which is made if missing.  False after a line in the log.  */
bool resolver_open(struct resolver *r, const struct config *cf, bool catch_all);

/* Names are canonical (names.h); a domain's directory may be named by its A-labels or its U-labels.  */

/* The mailbox DOMAIN/LOCAL as an open directory, or -1 with errno; resolver_absent tells "there is none" from trouble.  */
int resolver_mailbox(const struct resolver *r, const char *domain, const char *local);
bool resolver_absent(int error);

/* The Maildir that takes all mail.  */
int resolver_catch_all(const struct resolver *r);

/* Whether the directory DOMAIN exists; -1 if that cannot be told.  */
int resolver_domain(const struct resolver *r, const char *domain);

/* No domain at all: more likely a disk that is not mounted than a host without mail.  */
bool resolver_empty(const struct resolver *r);

/* Open a file beneath mail_root for reading, whose path is given from there.  A link may not lead out; a FIFO is not waited for.  For alias_open, too.  */
int resolver_file(int root, const char *path);

/* The directory of a domain as a path beneath mail_root ("DOMAIN", by whichever of its names there is one).  False when there is none.  */
bool resolver_domain_path(const struct resolver *r, const char *domain, char path[DOMAIN_MAX + 1]);

/* Make a mailbox, owned like its domain's directory (that like mail_root).  One that is there is no error.  0 or errno,
 * EINVAL for a name that cannot be one.  */
int resolver_make(const struct resolver *r, const char *domain, const char *local);

#endif
