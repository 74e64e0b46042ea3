/* What leaves this host: laid down in the queue (queue/entry.h) in the steps of the delivery that it is a part of.  */
#ifndef OUTGOING_H
#define OUTGOING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "address.h"
#include "config.h"
#include "dsn.h"
#include "reply.h"

enum { OUTGOING_MOST = 10000 };

/* One recipient elsewhere; or one of ours, of whose mail the sender wants to hear that it has arrived, or has gone to several (`destination` "").  */
struct remote {
	char address[PATH_MAX_LEN + 1], sender[PATH_MAX_LEN + 1];
	char origin[PATH_MAX_LEN + 1];          /* the address here that led to it; "" if it was asked for itself */
	char destination[DOMAIN_MAX + 1];       /* lower case */
	bool owner;                             /* `sender` is the owner of a list: what the sender of the message said for himself, RET= and ENVID=, is not his */
	bool expanded;                          /* of a report: to several */
	struct remote *first;                   /* NULL; or the same once more with another NOTIFY=, which that one gets in the end (outgoing_stage) */
	struct dsn_rcpt dsn;
};

struct outgoing {
	int queue;              /* -1: there is none */
	int error;              /* why one that is there cannot be opened: said to who misses it (outgoing_miss), and not for each connection; 0: nothing is wrong */
	uid_t uid;
	gid_t gid;
	struct remote *all;
	/* the transaction */
	size_t count;
	const char *id;         /* of the message, in the log */
	struct dsn_mail dsn;
	bool eightbit, utf8;
	int tmp, message;       /* directories; -1 */
	int fd;                 /* the message in tmp/ */
	char base[64];          /* its name there, and the beginning of all others */
	size_t entries, linked, published, retracted;   /* of this message; what it has not made itself is another's, though it have the same name */
	bool kept;
};

/* Once in a process: there is no queue.  Then, before the sandbox, open queue_dir, if there is one.  */
void outgoing_none(struct outgoing *o);
void outgoing_open(struct outgoing *o, const struct config *cf);

/* A recipient is put off for want of a queue: say why, if it is there.  */
void outgoing_miss(const struct outgoing *o, const struct config *cf);

/* One more, `first` aside; a second one for the same address and sender adds nothing but its NOTIFY=.  NULL, or why not.  */
const struct reply *outgoing_add(struct outgoing *o, const struct remote *r);

/* The message as it comes, with LF line ends; made when its first octets are there.  All return 0 or errno.  */
int outgoing_write(struct outgoing *o, const char *p, size_t n);

/* All that is needed is on the disk, and nobody sees it; `octets` counts the message as SIZE= does.  */
int outgoing_stage(struct outgoing *o, uint64_t octets);
/* The queue has it, durably.  */
int outgoing_publish(struct outgoing *o);

/* Forget all; what was not published, or is not to stay after all, is removed.  */
void outgoing_keep(struct outgoing *o);
void outgoing_end(struct outgoing *o);

#endif
