/* Keeper and speaker: two processes from before the first octet of the network.  The speaker holds the dialogue and can read,
 * write and exit; the keeper does for it what needs more.  */
#ifndef KEEPER_H
#define KEEPER_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "config.h"
#include "log.h"

struct keeper {
	const struct config *cf;
	const char *id;
	uid_t uid;                      /* as root: who the speaker becomes */
	gid_t gid;
	bool (*speak)(void *ctx);       /* the speaker's work; true if the dialogue ended well for the client, false if we hung up */
	void *ctx;
};

/* Fork the speaker, serve it, and see to it that nothing is left when it has ended.  Descriptors 0 and 1 are the client's and are closed on
 * return.  Returns the exit status of the program (smtp-handler(8), EXIT STATUS).  */
int keeper_run(const struct keeper *k);

/* Of the speaker: */

/* A connection to the next hop, put into the shared descriptor table: its number, or -1 if there is none to be had.  One that was
 * had before is closed.  *now is the time of day; *ours says that it is the program of this same build.  */
int keeper_ask_hop(time_t *now, bool *ours);
/* The time of day, 0 if it is not to be had.  */
time_t keeper_ask_time(void);
void keeper_tell(const struct event *e);
/* The next hop does not answer as it should: end it.  */
void keeper_drop_hop(void);

#endif
