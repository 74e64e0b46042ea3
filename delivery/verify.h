/* What would become of mail for an address, told to others: VRFY, EXPN, --where.  Nothing is delivered and nothing made.  */
#ifndef VERIFY_H
#define VERIFY_H

#include "expand.h"

enum { VERIFY_ROOM = 8192 };

/* The answer to VRFY, or to EXPN if `list`, in the forms of RFC 5321 3.5.  Its text lies in `room`.  The caller ends with expand_done.  */
const struct reply *verify(struct expander *x, const struct path *p, bool list, char *room, size_t size);

/* For people, on standard output: each step and its rule.  NULL if mail would be taken, else the refusal.  */
const struct reply *where_print(struct expander *x, const struct path *p);

#endif
