/* Reaching the next hop, for the keeper: start a program, or connect a socket.  */
#ifndef NEXTHOP_H
#define NEXTHOP_H

#include "config.h"
#include "helper.h"

struct nexthop {
	struct helper helper;
	bool ours;      /* the maildir-deliver that belongs to us: it is talked to before it has greeted */
};

/* A connection; of a program, one that can be written to before it runs.  False after a line in the log.  */
bool nexthop_open(struct nexthop *n, const struct config *cf);

/* Start the program, if it is one; `id` goes to its environment as SMTP_ID.  If it cannot be, there is a line in the log, and end of file on the
 * connection.  */
void nexthop_start(struct nexthop *n, const struct config *cf, const char *id);

/* Close the connection and see the program end: by itself, for it reads end of file; else, after some seconds or `at_once`, by signals.
 * A program that did not end with status 0 is an event for the log.  */
void nexthop_close(struct nexthop *n, bool at_once);

#endif
