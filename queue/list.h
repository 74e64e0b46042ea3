/* What administrators do with the queue.  */
#ifndef LIST_H
#define LIST_H

#include "spool.h"

/* A table for people, or with `json` a JSON object on each line (of a message for a destination), on stdout.  Returns an exit status.  */
int list_all(const struct spool *s, bool json);

/* All of one message's entries, and its header.  */
int list_show(const struct spool *s, const char *id, bool json);

/* Do this to each entry that `what` names: an id, a key, a domain, or "all".  */
enum list_action { LIST_RETRY, LIST_HOLD, LIST_RELEASE, LIST_REMOVE };
int list_change(const struct spool *s, enum list_action action, const char *what);

#endif
