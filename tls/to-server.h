/* TLS towards a server, for smtp-client: `smtp-tls --to-server HOST AUTHORITIES verify|any sandbox|bare MILLISECONDS DESCRIPTOR`.  The last is the connection to the server; what starts it is
 * on descriptor 0, a stream: first what is below, then the plain text.  */
#ifndef TO_SERVER_H
#define TO_SERVER_H

#include <stdint.h>

/* What the handshake has found.  */
struct secured {
	char version[8], cipher[64];            /* "TLS1.3" */
	unsigned char verified;                 /* truth: the certificate is good for the host, by the authorities */
	char why[200];                          /* why it is not, or why there is no TLS at all */
	char subject[200], issuer[200];         /* of the certificate, escaped; "" when there was none to be seen */
	char until[32];                         /* when it ends, as "2027-01-31 23:59:59" UTC */
};

/* From smtp-tls: one NEWS_FOLDER, before it has read anything of the server, or NEWS_OVER; a NEWS_WANTED for each name of authorities, which is answered by a uint32_t and so
 * many octets (AUTHORITIES at most) of certificates in PEM; one NEWS_OVER.  */
enum { AUTHORITIES = 65536 };
struct news {
	enum { NEWS_FOLDER = 1, NEWS_WANTED, NEWS_OVER } what;
	unsigned char good;                     /* truth, NEWS_OVER: TLS is spoken; the plain text follows */
	uint32_t hash;                          /* NEWS_WANTED: of the name, as the files of the folder are named */
	char folder[256];                       /* NEWS_FOLDER: where OpenSSL's authorities are, parted by colons; "" if none will be wanted */
	struct secured secured;                 /* NEWS_OVER */
};

/* The program, from HOST on.  Returns the exit status.  */
int tls_to_server(int argc, char **argv);

#endif
