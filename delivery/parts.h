/* Of delivery.c and recipients.c alone: what a delivery is made of.  */
#ifndef PARTS_H
#define PARTS_H

#include "delivery.h"
#include "mailbox.h"

/* One name of a mailbox.  */
struct name {
	struct name *next;      /* of the same mailbox */
	size_t user;            /* d->user[user - 1]; 0: no user of the host */
	char rcpt[PATH_MAX_LEN + 1];
};

/* One mailbox.  */
struct copy {
	struct maildir box;
	struct maildir_file file;
	struct mailbox mailbox;
	struct name *names;
	char sender[PATH_MAX_LEN + 1];
	size_t head_len, head_lines;    /* Return-Path and Delivered-To */
};

/* Room for one of each, which need not belong together: a mailbox may have several names.  */
struct recipient {
	struct copy copy;
	struct name name;
};

/* A user of the host.  */
struct user {
	int writer;
	bool due;               /* his writer has not answered to his first recipient */
	char name[LOCAL_MAX + 1];
};

void copy_close(struct copy *c);
/* Say in the log whose writer has failed, if that is what the answer means.  */
void user_blame(const struct user *u, const struct reply *r);
void external_close(const struct external *e);

#endif
