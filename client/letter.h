/* A message on its way: envelope, text, and what has been said of each recipient.  */
#ifndef LETTER_H
#define LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "dsn.h"

enum { LETTER_TEXT = 600 };

struct letter_rcpt {
	const char *address;
	struct dsn_rcpt dsn;
	bool done;              /* there is no use in another host */
	bool put_off;           /* by this host, and another may take it: `result` is what it has said */
	bool told;              /* for `told` */
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

/* Whether there is no use in another host for any recipient; and how many are done, or put off by this one.  */
bool letter_done(const struct letter *l);
size_t letter_settled(const struct letter *l);
bool letter_put_off(const struct letter *l);

/* Whether it is for servers with SMTPUTF8 alone (RFC 6531 3.2), as an address or its header, which is read, is beyond ASCII.  That the sender has asked for it is no reason.  */
bool letter_beyond_ascii(const struct letter *l);

/* Write "CODE STATUS HOST TEXT" into `out`, one line without control characters.  Our own words have a code that is no server's (RFC 5321 4.2.1).  */
enum { OUR_LATER = 499, OUR_NEVER = 599 };
void letter_say(char out[LETTER_TEXT], int code, const char *status, const char *host, const char *text);

#endif
