/* One message, from standard input to the socket: the parts of sendmail(8) and what they share.  */
#ifndef SUBMIT_H
#define SUBMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "address.h"
#include "config.h"
#include "data.h"
#include "lmtp.h"

enum { TEXT = 1 << 18 /* most octets of a header */, RCPT_MAX = 10000, NAME_MAX_LEN = 255 /* of a name for people */ };

struct recipient { struct recipient *next; char address[PATH_MAX_LEN + 1]; bool done; };

struct sendmail {
	struct config cf;
	bool from_header, dots, verbose;        /* -t; a single dot ends the message; -v */
	const char *sender_arg, *full_name;
	struct dsn_mail dsn;            /* -R, -V */
	struct dsn_rcpt notify;         /* -N, for each recipient */
	char sender[PATH_MAX_LEN + 1];  /* of the envelope; "" is the null sender */
	char author[PATH_MAX_LEN + 1];  /* for a message without From */
	char name[NAME_MAX_LEN + 1];    /* the author's for people, or "" */
	struct recipient *rcpts, **last;
	unsigned count;
	bool utf8, utf8_header;         /* an address, the header is beyond ASCII */
	bool eightbit;                  /* anything is */
	char text[TEXT + 1];            /* the message, or the beginning of it, as it was read; of that the header */
	size_t have, header;
	unsigned long long size;        /* octets that were read */
	FILE *rest;                     /* what there is no room for, in a file without a name; or NULL */
	int status;
	struct hop hop;
	struct data data;
	unsigned held;                  /* while it is read: a dot, and a CR, at the start of a line, which may be the end */
	bool middle, ended;             /* of a line; of the message */
};

/* What the header has.  */
struct fields { bool from, resent; };

/* Tell of trouble on standard error.  The first that is not temporary becomes the exit status, which is returned.  */
int trouble(struct sendmail *m, int status, const char *what, const char *why);

/* recipients.c: take the addresses of a list, each once.  A bad one is trouble, and left out.  A bare name is one of this `domain`; false if it is no mailbox.  */
void add_list(struct sendmail *m, const char *s, const char *end);
bool qualify(const char *text, const char *domain, struct path *p);

/* sender.c: whose mail it is, by the user table and the arguments; false after a line of trouble.  The field "From: ..." with an LF, which takes at most AUTHOR_FIELD octets.  */
enum { AUTHOR_FIELD = 4096 };
bool clean(const char *s);      /* of control characters, which could break a header or a line */
bool find_sender(struct sendmail *m);
size_t author_field(const struct sendmail *m, char out[AUTHOR_FIELD]);

/* message.c: read all of the message, for who writes it may take hours, and then look at its fields, and with -t take the recipients from them.  False after a line of
 * trouble.  Write it to the connection, from the beginning; false if a part of it cannot be read again.  */
bool read_message(struct sendmail *m);
struct fields look(struct sendmail *m);
bool write_message(struct sendmail *m, struct fields have);

/* submit.c: a connection to the socket, or -1 with errno; all of a submission, which returns the exit status.  */
int connect_socket(const struct config *cf);
int submit(struct sendmail *m);

#endif
