/* Handing a message to a program, or to a file that is no Maildir, as a process that has become its user for good.  */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "monitor.h"

/* Cut a command into words, at blanks outside double quotes, and put in what %u (local part) %d (domain) %s (sender) %r (recipient as written) and %%
 * stand for, if `expand`.  The words lie in `room`; argv ends with NULL.  False for too many, too long, an unknown %, a word that begins with "-" only since
 * it was put in, or a program without a path from the root.  */
enum { PROGRAM_WORDS = 64, PROGRAM_ROOM = 8192 };
bool program_words(const struct job *job, const char *command, bool expand, char room[PROGRAM_ROOM], char *argv[PROGRAM_WORDS]);

/* Execute it without a shell and wait, at most `ms` milliseconds; it is ended then, with all that it has started.  `home` is its directory.  What its exit
 * status means: EX_OK is NULL; EX_DATAERR, EX_NOUSER and EX_NOPERM are permanent, everything else is temporary (P9).  */
const struct reply *program_run(const struct job *job, char *const argv[], int message, const char *home, unsigned ms);

/* Append the message to the mbox file job->command (made with mode 0600), locked by fcntl(2) within `ms` milliseconds, with a From_ line and ">" before
 * lines that look like one; synced, or cut back to what it was.  */
const struct reply *program_append(const struct job *job, int message, unsigned ms);

#endif
