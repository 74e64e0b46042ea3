/* One pass over the queue: all that is due, by processes that run beside each other, and what comes in meanwhile.  */
#ifndef PASS_H
#define PASS_H

#include "spool.h"

/* Returns when nothing is due any more.  False after a line in the log.  */
bool pass_run(const struct spool *s);

#endif
