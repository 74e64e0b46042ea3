/* Telling the sender: a report (report.h) of what became of the recipients of an entry, handed in where all mail is (deliver =).  */
#ifndef NOTICE_H
#define NOTICE_H

#include "entry.h"
#include "spool.h"

enum notice_result { NOTICE_DONE, NOTICE_LATER, NOTICE_NOBODY };

/* Report every recipient that is due for it (failed, delivered, relayed), and settle it in the file `fd`; those that nobody wants to hear of are settled
 * without.  NOTICE_LATER: it cannot be handed in now, and is still due; not for ever, though: 5 days
 * after queue_lifetime it is dropped, with a line in the log.  */
enum notice_result notice_final(const struct spool *s, struct entry *e, int fd, int message);

/* Tell the sender that the rest waits still, until when it will be tried.  NOTICE_NOBODY: nobody wants to hear of that, there is no sender, or he takes no mail.  */
enum notice_result notice_delay(const struct spool *s, const struct entry *e, int message, time_t until);

#endif
