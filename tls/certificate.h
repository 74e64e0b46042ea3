/* The TLS context of one connection, and which certificate it shows.  */
#ifndef CERTIFICATE_H
#define CERTIFICATE_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "config.h"

/* What the callbacks of a handshake need; lives as long as the context.  */
struct chooser {
	const struct config *cf;
	void (*chosen)(void *ctx);      /* called once the certificate is chosen, before more of the handshake is parsed: no file is needed from then on; may be NULL */
	void *ctx;
	bool warming;                   /* the handshake is with ourselves */
	char name[256];                 /* of SNI, lower-cased, "" if there was none or none that is a host name */
	bool over;                      /* the choice was made */
};

/* A server's context by the settings (smtp-handler.conf(5), tls_...), with the default certificate loaded.  NULL after a line in the log.  */
SSL_CTX *certificate_context(struct chooser *chooser);

/* Do what OpenSSL puts off to the first handshake: one with ourselves, in memory.  */
void certificate_warm(SSL_CTX *ctx, struct chooser *chooser);

/* The files of the default certificate; "" for none.  */
struct certificate_files { char cert[1024], key[1024]; };
void certificate_files(const struct config *cf, struct certificate_files *files);

#endif
