/* Of expand.c: the nodes, and what is said of one that leads nowhere.  */
#ifndef NODE_H
#define NODE_H

#include "expand.h"

/* A new node beneath `parent`; NULL when there are too many, or it is too deep.  */
struct node *node_new(struct expander *x, const struct node *parent, const char *text);

/* Its names in their canonical forms, the detail cut off.  NULL, or the refusal of what can be no mailbox, or none of ours.  */
const struct reply *node_name(const struct expander *x, struct node *n, const struct path *p);

/* Whether an equal node was there; if not, it is now.  */
bool node_seen(struct expander *x, const struct node *n);

/* By which rule it is what it is, for people.  */
__attribute__((format(printf, 2, 3))) void node_why(struct node *n, const char *format, ...);

/* Refuse; and refuse and say so to the administrator, who alone can mend it.  All return the reply.  */
const struct reply *node_refuse(struct node *n, const struct reply *r, const char *why);
const struct reply *node_trouble(struct node *n, const struct reply *r, const char *what, const char *why);
const struct reply *node_mailbox_trouble(struct node *n, int error);

#endif
