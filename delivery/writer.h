/* Delivery to a user of the host: a process that has become the user, for good, and the two sides of what is said to it.  It lives for one
 * transaction.  What it is told last decides: without writer_keep nothing remains, however it ends.  */
#ifndef WRITER_H
#define WRITER_H

#include <pwd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "delivery.h"
#include "reply.h"

enum { FORWARD_MOST = 65536 };  /* octets of a .forward */

/* The process itself, forked by the monitor: becomes the user, looks at the home, says what it found, and serves its end of the
 * channel.  Nothing of the home is touched before.  */
_Noreturn void writer_run(const struct config *cf, const struct passwd *user, int channel);

/* The other end: what it found.  NULL, or why mail cannot be delivered to the user now.  *forward is his .forward, for the caller to free;
 * NULL where there is none.  */
const struct reply *writer_greeting(int channel, char **forward);

/* A recipient that is this user; false if it cannot be told.  The answer is writer_answer's.  */
bool writer_add(int channel, const struct addressee *a);

/* Take the last recipient back.  */
void writer_undo(int channel);

/* The message; then the end of it, and whether all is written and synced.  False or a refusal: it failed, and nothing is left.  */
bool writer_write(int channel, const char *p, size_t n);
bool writer_stage(int channel, uint64_t lines);
bool writer_publish(int channel);
/* How long to wait for the next answer: milliseconds, not 0.  */
void writer_limit(int channel, unsigned ms);
/* The answer to any of these.  NULL: it is done.  */
const struct reply *writer_answer(int channel);

/* What was published stays, whenever the process comes to hear of it.  False: it could not be told, and takes its copies back.  */
bool writer_keep(int channel);

#endif
