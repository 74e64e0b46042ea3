/* The dialogues of AUTH: by a name and a password, which a program judges, or passed through to Dovecot.  For the speaker.  */
#ifndef LOGIN_H
#define LOGIN_H

#include "dovecot.h"
#include "session.h"

struct login {
	struct dovecot dovecot;
	unsigned process;               /* the keeper's number: it names us to Dovecot */
	char clear[AUTH_MAX];           /* what was base64 */
};

/* As backend->mechanisms and backend->login (session.h).  */
const char *login_mechanisms(struct login *l, struct session *s);
const struct reply *login_run(struct login *l, struct session *s, const char *mechanism, char *initial);

#endif
