/* Whether a user may send as an address (sender_check = yes).  */
#ifndef SENDERS_H
#define SENDERS_H

#include "alias.h"
#include "expand.h"

struct senders {
	const struct config *cf;
	struct alias_table table;       /* sender_table */
	bool has_table, broken_table;
};

/* Before the sandbox.  A table that cannot be read is a line in the log, and a temporary failure for who needs it.  */
void senders_init(struct senders *s, const struct config *cf);

/* NULL if the user may: mail to the address would come to the user's own mailbox and nowhere else, or the table names the user for the address, or for "@domain".
 * The null sender is anyone's.  Else why not.  */
const struct reply *senders_allow(struct senders *s, struct expander *x, const char *user, const struct path *from);

#endif
