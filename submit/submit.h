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

enum { TEXT = 1 << 18 /* most octets of a header */, RCPT_MAX = 10000 };

struct recipient { struct recipient *next; char address[PATH_MAX_LEN + 1]; bool done; };

struct sendmail {
	struct config cf;
	bool from_header, dots, verbose, sevenbit;      /* -t; a single dot ends the message */
	const char *sender_arg, *full_name;
	char sender[PATH_MAX_LEN + 1], login[64], gecos[256];
	struct recipient *rcpts, **last;
	unsigned count;
	bool utf8;                      /* an address is beyond ASCII */
	char text[TEXT];                /* the message, or the beginning of it, as it was read; of that the header */
	size_t have, header;
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

/* recipients.c: take an address as a person writes it; all of a list.  A bad one is trouble, and left out.  */
void add_recipient(struct sendmail *m, const char *text);
void add_list(struct sendmail *m, const char *s, const char *end);
bool qualify(const struct sendmail *m, const char *text, struct path *p);

/* message.c: read all of the message, for who writes it may take hours, and then look at its fields, and with -t take the recipients from them.  False after a line of
 * trouble.  Write it to the connection, from the beginning.  */
bool read_message(struct sendmail *m);
struct fields look(struct sendmail *m);
void write_message(struct sendmail *m, struct fields have);

/* submit.c: a connection to the socket, or -1 with errno; all of a submission, which returns the exit status.  */
int connect_socket(const struct config *cf);
int submit(struct sendmail *m);

#endif
