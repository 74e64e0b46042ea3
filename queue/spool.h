/* The directory of the queue, for who works on it: opened as its owner; what stands in it is entry.h's.  */
#ifndef SPOOL_H
#define SPOOL_H

#include <stdbool.h>
#include <time.h>

#include "config.h"
#include "entry.h"

enum spool_place { SPOOL_NEW, SPOOL_WAIT, SPOOL_HOLD, SPOOL_PLACES };

struct spool {
	const struct config *cf;
	int queue, place[SPOOL_PLACES], message, host;         /* directories */
	time_t now;             /* 0: the clock's; else for ever this (--now) */
};

enum { SPOOL_AHEAD = 3600 };    /* seconds: nothing is put off for longer; what has a later time got it from a clock that was wrong */

/* Open it, and become its owner for good if we are root.  True, or false with a line for people on standard error and *status what to exit with: EX_OK where there is no
 * queue at all.  */
bool spool_open(struct spool *s, const struct config *cf, int *status);

time_t spool_now(const struct spool *s);

/* The names of a place, sorted by time; to be freed with spool_free.  False: it cannot be read, whole.  */
struct spool_names { size_t count; struct entry_id *id; };
bool spool_read(const struct spool *s, enum spool_place place, struct spool_names *n);
void spool_free(struct spool_names *n);

/* An entry, locked for as long as the descriptor is open in any process.  -1: it is gone, or somebody works on it (EWOULDBLOCK).  */
int spool_claim(const struct spool *s, enum spool_place place, const struct entry_id *id);

/* When the folder of a place was last changed.  A file that is renamed while its folder is read may not be seen at all.  */
struct timespec spool_changed(const struct spool *s, enum spool_place place);

/* Move it to another place, or another time.  Whoever does that to what waits has claimed it.  False with errno; ENOENT: it is gone, or has another name by now.  */
bool spool_move(const struct spool *s, enum spool_place from, struct entry_id *id, enum spool_place to, time_t due);

/* Remove it, and its link to the message.  False with errno, and the message is there: ENOENT, for the entry may have another name by now.  */
bool spool_remove(const struct spool *s, enum spool_place place, const struct entry_id *id);

/* The message of an entry, for reading; -1.  */
int spool_message(const struct spool *s, const struct entry_id *id);

/* Remove what a crash has left more than 36 hours ago: files in tmp/, messages without an entry; and what is known of hosts that nobody has tried since.  Before there are any child processes.  */
void spool_sweep(const struct spool *s);

#endif
