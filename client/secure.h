/* TLS for who reaches a server: an octet of it is parsed by another program only, which can do nothing else.  */
#ifndef SECURE_H
#define SECURE_H

#include <stdbool.h>
#include <sys/types.h>

#include "to-server.h"

/* Speak TLS (1.2 at least) with `host`, the name for SNI (not an address) and in the certificate, on the connected socket `fd`.  smtp-tls is started, carries octets
 * between it and the descriptor that is returned, where they are plain, and ends with either side and with us, or after a day; `fd` is closed here in any case.  *child is its
 * process, for secure_end; 0: none.
 *   ca       the file of the authorities; "" for those of the system ($SSL_CERT_FILE, $SSL_CERT_DIR as for OpenSSL)
 *   verify   a certificate that is not good ends the handshake; without, any will do, and old kinds of keys too
 *   sandbox  the setting of that name
 *   ms       for the handshake
 * All of *s is printable ASCII.  The ends of both sides are passed on: shutdown(SHUT_WR) of what is returned is a close_notify.  -1 with s->why; -2 when the
 * server is not to blame: smtp-tls cannot be started.  */
int secure_start(int fd, const char *host, const char *ca, bool verify, bool sandbox, unsigned ms, struct secured *s, pid_t *child);

/* After the descriptor was closed: see the process end, by a signal if it takes longer than some seconds.  */
void secure_end(pid_t child);

#endif
