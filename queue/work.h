/* Entries of the queue: try to deliver each, tell its sender, and lay it down for the next time.  In a process of its own.  */
#ifndef WORK_H
#define WORK_H

#include "spool.h"

/* What the pass learns from the exit status.  */
enum work_result {
	WORK_DONE,              /* the destination has answered, whatever it said, for one of them at least */
	WORK_DOWN,              /* it did not */
	WORK_APART,             /* nor did one that this entry alone has */
	WORK_GONE,              /* nothing could be done: somebody else works on them, or they are no more */
	WORK_UNWRITTEN,         /* what became of a recipient could not be written down: whatever else is sent may be sent again and again */
};

/* `n` entries for one place, one after the other, over one connection if the server there likes that.  Those behind one that finds it down, behind a signal to stop or WORK_UNWRITTEN, or that
 * cannot be begun within command_timeout, are left as they are.  With `attempt` false nothing is sent: the destination is known to be down, and only time is looked at.  `until`
 * is when it will be tried again (0: by the entry's own attempts).  */
enum work_result work(const struct spool *s, struct entry_id *ids, size_t n, bool attempt, time_t until);

/* Seconds from the attempt with this number (from 1) to the next, spread by a tenth.  */
time_t work_delay(unsigned attempts);

#endif
