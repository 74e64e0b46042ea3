/* A recipient of a delivery.  */
#ifndef PLACE_H
#define PLACE_H

#include <stdint.h>

#include "delivery.h"
#include "expand.h"

/* Add all that an address leads to; or the refusal, and nothing is added.  `from` is the sender, `size` what he says of the message (0: nothing).  What
 * cannot be taken back (agents, programs, files) is taken alone.  */
const struct reply *place_recipient(struct delivery *d, struct expander *x, const struct path *rcpt, const char *from, uint64_t size);

#endif
