/* What the keeper starts or reaches for the speaker besides a next hop: TLS, and what checks passwords.  */
#ifndef SERVICES_H
#define SERVICES_H

#include <stdbool.h>

#include "config.h"
#include "helper.h"

/* A connection to smtp-tls (smtp-tls(8), --starttls), which is handed the client's connection, descriptor `client`, and told what its log shall call it.
 * It answers with one octet when it is ready.  False after a line in the log.  tls_start then starts it, if it is a program.  */
bool tls_open(struct helper *h, const struct config *cf, int client, const char *id, const char *peer);
void tls_start(struct helper *h, const struct config *cf);

/* A connection to what `auth` names: Dovecot's socket, or a program of the checkpassword interface, which reads the name and the password from it.  */
bool auth_open(struct helper *h, const struct config *cf);
void auth_start(struct helper *h, const struct config *cf, const char *peer);

/* The program has been told everything: what it says.  It has some seconds.  */
enum verdict { VERDICT_TEMPORARY, VERDICT_YES, VERDICT_NO };
enum verdict auth_verdict(struct helper *h);

#endif
