/* What else is to be looked at before mail goes into a Maildir: is it on hold, is there a folder for it, is there room.  */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "delivery.h"
#include "maildir.h"
#include "quota.h"
#include "reply.h"

struct mailbox {
	int inbox;              /* where the quota is kept, when the mail goes to a folder; else -1 */
	bool limited;           /* there is a quota */
};

/* Open the Maildir in the directory `box`, which is taken over, or its folder for the addressee's detail.  NULL, or why not now.  */
const struct reply *mailbox_open(const struct config *cf, struct mailbox *b, struct maildir *m, int box, const struct addressee *a);
void mailbox_close(struct mailbox *b);

/* It is full without the message in hand.  */
bool mailbox_full(const struct config *cf, const struct mailbox *b, const struct maildir *m);

/* A message of so many octets has come in.  */
void mailbox_count(const struct mailbox *b, const struct maildir *m, uint64_t octets);

#endif
