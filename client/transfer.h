/* One message to one server, for as many of its recipients as it takes: the sending side of SMTP (RFC 5321), over lib/lmtp.h.  */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <stdbool.h>

#include "letter.h"
#include "route.h"

/* How far it came.  */
enum transfer_result {
	TRANSFER_DONE,          /* every recipient has an answer that counts */
	TRANSFER_NEXT,          /* this server cannot be used, or has put some off: try another, for those that are not done */
	TRANSFER_PLAIN,         /* TLS failed, and is not required: try the same without */
};

struct peer_at {
	const char *name;       /* of the host */
	char address[64];       /* where it was reached */
	struct route route;
	bool plain;             /* no TLS this time */
	bool self_allowed;      /* it was named by an administrator: it may be we */
	bool more;              /* there is another host, for those whom this one puts off */
	bool answered;          /* it has told what it offers, and was late with no answer since */
	char why[LETTER_TEXT];  /* "CODE STATUS HOST TEXT": why NEXT; "" if each that is not done was put off */
};

/* Over the connected socket `fd`.  With TRANSFER_DONE the connection may be left open, and *p belongs to it.  */
enum transfer_result transfer(struct letter *l, struct peer_at *p, int fd);

/* Another message over the connection that was left open.  TRANSFER_NEXT if there is none, or it is of no use any more; then there is none.  */
enum transfer_result transfer_again(struct letter *l);

/* Say QUIT on a connection that was left open, and close it.  */
void transfer_end(void);

#endif
