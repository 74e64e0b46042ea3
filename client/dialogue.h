/* The dialogue of a person with a server.  */
#ifndef DIALOGUE_H
#define DIALOGUE_H

#include <stdbool.h>
#include <sys/types.h>

#include "config.h"
#include "relay.h"
#include "show.h"

struct dialogue {
	const struct config *cf;
	const char *host, *port, *log, *ca;     /* log: NULL for none; ca: "" for the authorities of the system */
	int family;                             /* AF_UNSPEC for any */
	bool tls, starttls;                     /* TLS from the first octet, or after we have asked for it */
	bool verify;
	bool crlf;                              /* the input has CR LF where a line ends, and is sent as it is */

	int fd;
	pid_t tls_process;                      /* 0: none */
	bool terminal;                          /* is standard output */
	bool cr;                                /* was the last octet of the input */
	struct shown shown;
	struct transcript transcript;
};

/* Connect, and carry standard input to the server and its words to standard output until it closes.  What there is to tell of the connection goes to standard error.
 * Returns the exit status: EX_OK when it ended in order, else that of reach(), EX_PROTOCOL for TLS, EX_UNAVAILABLE or EX_TEMPFAIL when STARTTLS is refused or nothing is
 * answered, EX_IOERR for a connection that breaks or a standard output that nobody reads, EX_CANTCREAT for the transcript.  */
int dialogue(struct dialogue *d);

#endif
