/* A process that waits beside the connections: it has OpenSSL and the certificate ready, and forks for each.  It is started by the first connection and ends when there
 * is none for a while.  */
#ifndef SERVE_H
#define SERVE_H

#include <stdbool.h>

/* Whether a listening socket was passed on descriptor 3 (sd_listen_fds(3), Accept=no).  */
bool serve_passed(void);

/* Serve it: `one` is called in a process of its own for each connection, which is its descriptor 0, and returns the exit status.  `files` are what was read at start, NULL
 * behind them: when one of them is another one than then, or a child was ended by a signal, the program executes itself anew before it takes the next connection.  `ready`
 * says that there is a certificate; if not, that happens at every connection.  Returns when there was no connection for `idle` milliseconds and none is left.  */
int serve(int (*one)(void *ctx), void *ctx, const char *const files[], bool ready, unsigned idle, char *const argv[]);

#endif
