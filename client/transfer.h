/* One message to one server, for as many of its recipients as it takes: the sending side of SMTP (RFC 5321), over lib/lmtp.h.  */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "dsn.h"
#include "lmtp.h"
#include "route.h"

enum { LETTER_TEXT = 600 };

struct letter_rcpt {
	const char *address;
	struct dsn_rcpt dsn;
	bool done;              /* there is no use in another host */
	bool reports;           /* the host has taken it, and offers DSN */
	char result[LETTER_TEXT];       /* "CODE STATUS HOST TEXT"; "" if nobody has said anything */
};

struct letter {
	const struct config *cf;
	const char *from, *prepend;     /* prepend: header lines with LF to put in front */
	struct dsn_mail dsn;
	uint64_t size;          /* 0: not known */
	bool eightbit, utf8;
	int message;            /* LF line ends; read by pread from offset 0 */
	size_t count;
	struct letter_rcpt *rcpt;
	void (*told)(struct letter *l);         /* some recipients are done */
};

/* Whether there is no use in another host for any recipient.  */
bool letter_done(const struct letter *l);

/* How far it came.  */
enum transfer_result {
	TRANSFER_DONE,          /* every recipient has an answer that counts */
	TRANSFER_NEXT,          /* this server cannot be used: try another, for those that are not done */
	TRANSFER_PLAIN,         /* TLS failed, and is not required: try the same without */
};

struct peer_at {
	const char *name;       /* of the host */
	char address[64];       /* where it was reached */
	struct route route;
	bool plain;             /* no TLS this time */
	bool self_allowed;      /* it was named by an administrator: it may be we */
	char why[LETTER_TEXT];  /* "CODE STATUS HOST TEXT": why NEXT */
};

/* Over the connected socket `fd`.  With TRANSFER_DONE the connection may be left open, and *p belongs to it.  */
enum transfer_result transfer(struct letter *l, struct peer_at *p, int fd);

/* Another message over the connection that was left open.  TRANSFER_NEXT if there is none, or it is of no use any more; then there is none.  */
enum transfer_result transfer_again(struct letter *l);

/* Say QUIT on a connection that was left open, and close it.  */
void transfer_end(void);

/* Write "CODE STATUS HOST TEXT" into `out`, one line without control characters.  Our own words have a code that is no server's (RFC 5321 4.2.1).  */
enum { OUR_LATER = 499, OUR_NEVER = 599 };
void transfer_say(char out[LETTER_TEXT], int code, const char *status, const char *host, const char *text);

#endif
