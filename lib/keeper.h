/* Keeper and speaker: two processes from before the first octet of the network.  The speaker holds the dialogue and can read,
 * write and exit; the keeper does for it what needs more.  */
#ifndef KEEPER_H
#define KEEPER_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "config.h"
#include "log.h"
#include "peer.h"
#include "services.h"

struct keeper {
	const struct config *cf;
	const char *id;
	char *peer;                     /* of PEER_SIZE; what the speaker learns by PROXY or XCLIENT comes to stand there */
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

/* What the log shall say of the peer from now on.  */
struct about { char peer[PEER_SIZE], user[256], tls[128]; };
void keeper_about(const struct about *about);

/* A connection to smtp-tls, to which the client's connection is handed; -1 if there is none to be had.  */
int keeper_ask_tls(void);
/* Its plain text takes the place of the client: on descriptors 0 and 1.  False if that cannot be.  */
bool keeper_switch(void);

/* A connection to what checks passwords, -1 if there is none to be had; and, of a program, which has been told the name and the password, the verdict.  A refusal
 * is not heard before a second has passed.  */
int keeper_ask_auth(void);
enum verdict keeper_verdict(void);

/* The next hop does not answer as it should: end it.  */
void keeper_drop_hop(void);

#endif
