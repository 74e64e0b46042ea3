/* What is known of the client before it has said a word.  */
#ifndef KNOWN_H
#define KNOWN_H

#include "session.h"

/* Fill s->secure and s->tls (a program such as smtp-tls stands before us: $SSL_PROTOCOL, $SSL_CIPHER, $SSL_PEER), s->user (profile = local: whose process it is), and
 * s->proxied (the peer must send a PROXY header).  s->cf and s->peer are set.  NULL, or why the client cannot be served, for the log.  */
const char *known_peer(struct session *s);

#endif
