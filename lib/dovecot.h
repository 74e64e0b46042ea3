/* The client of Dovecot's authentication socket (doc/auth-protocol.txt of Dovecot, version 1.x; "auth-client"): Dovecot knows the mechanisms and the users, we
 * pass the messages of SASL through.  Reads and writes only.  */
#ifndef DOVECOT_H
#define DOVECOT_H

#include <stdbool.h>

#include "line.h"

struct dovecot {
	struct io io;
	bool open;
	unsigned timeout;       /* milliseconds for an answer */
	unsigned request;       /* the number of the last one */
	char mechanisms[200];   /* parted by blanks */
	char in[16384], out[2048];
};

/* The greetings of both sides over `fd`.  `process` is a number that no other client of the socket has now; `end` the deadline of the session.  False when it
 * does not talk as it should.  */
bool dovecot_open(struct dovecot *d, int fd, unsigned process, unsigned timeout, uint32_t end);

enum dovecot_answer { DOVECOT_TROUBLE, DOVECOT_GOOD, DOVECOT_REFUSED, DOVECOT_CONTINUE };

/* Begin with a mechanism and the initial response in base64, or NULL; go on with a response.  After DOVECOT_CONTINUE, *text is the challenge in base64; after
 * DOVECOT_GOOD the name of the user, after DOVECOT_REFUSED the name as far as known, "" for none.  *text lives in d.  DOVECOT_TROUBLE closes d.  */
enum dovecot_answer dovecot_begin(struct dovecot *d, const char *mechanism, bool secured, const char *peer, const char *initial, const char **text);
enum dovecot_answer dovecot_respond(struct dovecot *d, const char *response, const char **text);

#endif
