/* One message to N Maildirs: all or none (P2), nothing before the end (P3), durable when it is said so (P1).  */
#ifndef DELIVERY_H
#define DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maildir.h"
#include "reply.h"

enum { DELIVERY_BODY = 65536 };

struct recipient;

struct delivery {
	const char *host;       /* our name, in file names */
	size_t most;            /* copies that the descriptor limit allows */
	size_t room;            /* recipients that there is room for */
	struct recipient *all;
	/* the transaction */
	size_t count, named;    /* all[0..count) have a mailbox, each with one copy; all[0..named) have a name */
	bool left_open;         /* all[0]'s mailbox, of the last transaction */
	char sender[256];
	bool spilled;           /* the body did not fit into memory: it is in the first copy's file, the end of it still here */
	bool apart;             /* the mailboxes have several owners: a copy must not come out of another's file */
	bool looped;            /* the message says that it has been here */
	unsigned marks;         /* Delivered-To lines looked at */
	int error;              /* errno of the first failure */
	uint64_t written;       /* octets of the body in the first copy's file */
	uint64_t size, lines;   /* of the body, with LF line ends */
	size_t body_len;
	char body[DELIVERY_BODY];
};

/* Once: `host` is our name, `room` the greatest number of recipients.  False without the memory for them.  */
bool delivery_init(struct delivery *d, const char *host, size_t room);

/* A mailbox (its directory, taken over) for `rcpt`.  A second name of the same mailbox makes no second copy.  NULL, or the refusal.  */
const struct reply *delivery_add(struct delivery *d, int box, const char *rcpt);

/* The message, with LF line ends.  Failures are kept for delivery_commit.  */
void delivery_begin(struct delivery *d, const char *sender);
void delivery_write(struct delivery *d, const char *p, size_t n);

/* One line of its header: a Delivered-To of a mailbox of ours is a loop.  */
void delivery_header(struct delivery *d, const char *line);

/* Make all copies durable and visible, or none.  The reply is for every recipient.  */
const struct reply *delivery_commit(struct delivery *d, uint64_t lines);

/* Forget everything; what is not committed is removed.  A single mailbox is closed when the next transaction begins: mostly none does.  */
void delivery_end(struct delivery *d);

#endif
