/* One message to N Maildirs: all or none (P2), nothing before the end (P3), durable when it is said so (P1).  */
#ifndef DELIVERY_H
#define DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "config.h"
#include "maildir.h"
#include "monitor.h"
#include "outgoing.h"
#include "reply.h"

enum { DELIVERY_BODY = 65536, DELIVERY_JOBS = 16, DELIVERY_ROOM = 20000 };

struct recipient;

/* Whom a copy is for.  */
struct addressee {
	const char *rcpt;       /* the recipient as the sender wrote it: the first Delivered-To line */
	const char *final;      /* what it led to: the second one, if it is another */
	const char *sender;     /* of its Return-Path; "" for none */
	const char *detail;     /* the folder, "" for the inbox */
	uint64_t size;          /* what the sender says of the message, 0 if he did not */
};

/* Something that is not a Maildir, and cannot be taken back.  */
struct external {
	struct job job;
	int owner, agent;       /* monitor_run */
};

struct delivery {
	const struct config *cf;
	int monitor;            /* -1: none */
	size_t most;            /* copies that the descriptor limit allows */
	size_t room;            /* recipients that there is room for */
	struct recipient *all;
	/* the transaction */
	size_t count, named;    /* all[0..count) have a mailbox, each with one copy; all[0..named) have a name */
	bool left_open;         /* all[0]'s mailbox, of the last transaction */
	size_t users, jobs;
	struct user *user;      /* room for as many as there are recipients */
	struct external *job;
	struct outgoing outgoing;
	int spool;              /* the message for the jobs; -1: not made yet */
	bool spilled;           /* the body did not fit into memory: it is in the first copy's file, the end of it still here */
	bool apart;             /* the mailboxes have several owners: a copy must not come out of another's file */
	bool looped;            /* the message says that it has been here */
	unsigned marks;         /* Delivered-To lines looked at */
	int error;              /* errno of the first failure */
	uint64_t ended;         /* milliseconds: when the end of the message was there */
	const struct reply *failure;    /* the same, where it was somebody else's */
	uint64_t written;       /* octets of the body in the first copy's file */
	uint64_t size, lines;   /* of the body, with LF line ends */
	size_t body_len;
	char body[DELIVERY_BODY];
};

/* Once in a process: `room` is the greatest number of recipients, DELIVERY_ROOM at most; there may be a monitor.  */
void delivery_init(struct delivery *d, const struct config *cf, int monitor, size_t room);

/* A mailbox (its directory, taken over) for a recipient: a folder of it, its quota, and whether it is on hold are looked at.  A second name of the same
 * mailbox makes no second copy.  NULL, or the refusal.  */
const struct reply *delivery_add(struct delivery *d, int box, const struct addressee *a);

/* A user of the host, by the channel to his writer, which is taken over.  NULL may be followed by a refusal of delivery_settle, which is due then.  */
const struct reply *delivery_add_user(struct delivery *d, const char *name, int writer, const struct addressee *a);

/* A program or a file; the descriptors are taken over.  */
const struct reply *delivery_add_job(struct delivery *d, const struct external *e);

/* Somebody elsewhere, or a report.  Where `origin` is not "", it is a name here: a message that carries it is a loop.  */
const struct reply *delivery_add_remote(struct delivery *d, const struct remote *r);

/* The answers that are due.  NULL, or the first refusal.  */
const struct reply *delivery_settle(struct delivery *d);

/* What was added since: one recipient may stand for many, and is refused as a whole.  */
struct delivery_mark { size_t count, named, users, jobs, remotes; };
struct delivery_mark delivery_mark(const struct delivery *d);
void delivery_rollback(struct delivery *d, struct delivery_mark mark);

/* The message, with LF line ends.  Failures are kept for delivery_commit.  */
void delivery_begin(struct delivery *d);
void delivery_write(struct delivery *d, const char *p, size_t n);

/* One line of its header: a Delivered-To of a mailbox of ours is a loop.  */
void delivery_header(struct delivery *d, const char *line);

/* Make all copies durable and visible, or none.  The reply is for every recipient.  */
const struct reply *delivery_commit(struct delivery *d, uint64_t lines);

/* The same in steps, for who is told to by somebody else (writer.h): all written and synced; all published; all to stay.  NULL or true, or what failed.  */
const struct reply *delivery_stage(struct delivery *d, uint64_t lines);
const struct reply *delivery_publish(struct delivery *d);
bool delivery_keep(struct delivery *d);

/* Forget everything; what is not committed is removed.  A single mailbox is closed when the next transaction begins: mostly none does.  */
void delivery_end(struct delivery *d);

#endif
