/* TLS for who reaches a server: an octet of it is parsed by another process only, which can do nothing else.  */
#ifndef SECURE_H
#define SECURE_H

#include <stdbool.h>
#include <sys/types.h>

/* What the handshake has found.  All of it is printable ASCII; names out of a certificate are escaped.  */
struct secured {
	char version[8], cipher[64];            /* "TLS1.3" */
	bool verified;                          /* the certificate is good for the host, by the authorities */
	char why[200];                          /* why it is not, or why there is no TLS at all */
	char subject[200], issuer[200];         /* of the certificate; "" when there was none to be seen */
	char until[32];                         /* when it ends, as "2027-01-31 23:59:59" UTC */
};

/* Speak TLS (1.2 at least) with `host`, the name for SNI (not an address) and in the certificate, on the connected socket `fd`.  A process is forked that carries octets
 * between it and the descriptor that is returned, where they are plain; `fd` is closed here in any case.  That process has a copy of our memory: a password that is not
 * there yet is not there.  It has an hour, ends with either side and with us; *child is its id, for secure_end.
 *   ca       the file of the authorities; "" for those of the system ($SSL_CERT_FILE, $SSL_CERT_DIR as for OpenSSL)
 *   verify   a certificate that is not good ends the handshake; without, any will do, and old kinds of keys too
 *   sandbox  the setting of that name
 *   ms       for the handshake
 * The ends of both sides are passed on: shutdown(SHUT_WR) of what is returned is a close_notify.  -1 with s->why.  */
int secure_start(int fd, const char *host, const char *ca, bool verify, bool sandbox, unsigned ms, struct secured *s, pid_t *child);

/* After the descriptor was closed: see the process end, by a signal if it takes longer than some seconds.  */
void secure_end(pid_t child);

#endif
