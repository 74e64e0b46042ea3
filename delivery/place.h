/* A recipient of a delivery.  */
#ifndef PLACE_H
#define PLACE_H

#include <stdint.h>

#include "delivery.h"
#include "expand.h"

/* What is said of a recipient, and of its message.  */
struct asked {
	const struct path *rcpt;
	const char *from;               /* the sender */
	uint64_t size;                  /* of the message, as he says; 0: nothing */
	const struct dsn_rcpt *dsn;
};

/* Add all that an address leads to; or the refusal, and nothing is added.  What cannot be taken back (agents, programs, files) is taken alone.  */
const struct reply *place_recipient(struct delivery *d, struct expander *x, const struct asked *a);

#endif
