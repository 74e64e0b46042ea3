/* For whom a delivery is: the mailboxes, users and programs, each once, and taking back those of a recipient that is refused in the end.
 * SPDX-License-Identifier: MIT */
#include "delivery.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "log.h"
#include "parts.h"
#include "writer.h"

enum { DESCRIPTORS_PER_COPY = 4, DESCRIPTORS_ELSE = 24, SURELY = 64 };

void delivery_init(struct delivery *d, const struct config *cf, int monitor, size_t room)
{
	/* a process has one delivery; a page that is not used costs nothing, and a mapping would be a call more */
	static struct recipient all[DELIVERY_ROOM];
	static struct user user[DELIVERY_ROOM];
	static struct external job[DELIVERY_JOBS];
	d->cf = cf;
	d->monitor = monitor;
	d->spool = -1;
	d->room = room < DELIVERY_ROOM ? room : DELIVERY_ROOM;
	d->most = (SURELY - DESCRIPTORS_ELSE) / DESCRIPTORS_PER_COPY;
	d->all = all;
	d->user = user;
	d->job = job;
	outgoing_none(&d->outgoing);
}

static void raise_limit(struct delivery *d)
{
	size_t n = channel_raise_limit();
	if (n > SURELY) d->most = (n - DESCRIPTORS_ELSE) / DESCRIPTORS_PER_COPY;
}

/* The copy for this directory, whatever it was called before; NULL if there is none yet.  */
static struct copy *find_copy(const struct delivery *d, const struct maildir *box)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->all[i].copy.box.dev == box->dev && d->all[i].copy.box.ino == box->ino) return &d->all[i].copy;
	return NULL;
}

static struct name *new_name(struct delivery *d, const char *rcpt, size_t user)
{
	struct name *n = &d->all[d->named++].name;
	n->next = NULL;
	n->user = user;
	snprintf(n->rcpt, sizeof n->rcpt, "%s", rcpt);
	return n;
}

/* One more name at the end of a list, if it is not in it.  */
static void append_name(struct delivery *d, struct name **last, const char *rcpt)
{
	for (; *last; last = &(*last)->next)
		if (strcasecmp((*last)->rcpt, rcpt) == 0) return;
	*last = new_name(d, rcpt, 0);
}

void copy_close(struct copy *c)
{
	maildir_close(&c->box);
	mailbox_close(&c->mailbox);
}

static void close_left_open(struct delivery *d)
{
	if (d->left_open) copy_close(&d->all[0].copy);
	d->left_open = false;
}

const struct reply *delivery_add(struct delivery *d, int box, const struct addressee *a)
{
	struct copy new = { .file.fd = -1 };
	close_left_open(d);
	const struct reply *r = mailbox_open(d->cf, &new.mailbox, &new.box, box, a);
	if (r) return r;
	struct copy *c = find_copy(d, &new.box);
	if (!c && d->count == d->most) raise_limit(d);
	bool full = d->named + 2 > d->room || (!c && d->count >= d->most);
	if (c || full) copy_close(&new);
	if (full) return REPLY(TOO_MANY_RCPT);
	if (!c) {
		c = &d->all[d->count++].copy;
		*c = new;
		snprintf(c->sender, sizeof c->sender, "%s", a->sender);
	}
	append_name(d, &c->names, a->rcpt);
	append_name(d, &c->names, a->final);
	return NULL;
}

static const struct reply *hear(struct user *u)
{
	u->due = false;
	const struct reply *r = writer_answer(u->writer);
	/* an answer that comes late would be taken for that to the next question: better none at all */
	if (r == REPLY(LOCAL_ERROR)) shutdown(u->writer, SHUT_RDWR);
	user_blame(u, r);
	return r;
}

void user_blame(const struct user *u, const struct reply *r)
{
	char name[4 * LOCAL_MAX + 8];
	if (r == REPLY(LOCAL_ERROR)) log_line(LEVEL_ERROR, "user %s: his writer does not answer", log_escape(name, sizeof name, u->name));
}

const struct reply *delivery_settle(struct delivery *d)
{
	const struct reply *first = NULL;
	for (size_t i = 0; i < d->users; i++) {
		const struct reply *r = d->user[i].due ? hear(&d->user[i]) : NULL;
		if (!first) first = r;
	}
	return first;
}

/* One who is in the transaction already: another name or folder of his.  Only what his writer took has a name here, so that it can be taken back.  */
static const struct reply *add_known(struct user *u, const struct addressee *a)
{
	const struct reply *r = u->due ? hear(u) : NULL;
	if (r) return r;
	return writer_add(u->writer, a) ? hear(u) : REPLY(LOCAL_ERROR);
}

const struct reply *delivery_add_user(struct delivery *d, const char *name, int writer, const struct addressee *a)
{
	size_t i = 0;
	close_left_open(d);
	while (i < d->users && strcmp(d->user[i].name, name) != 0) i++;
	struct user *u = &d->user[i];
	bool known = i < d->users;
	const struct reply *r = d->named + 2 > d->room ? REPLY(TOO_MANY_RCPT) : known ? add_known(u, a) : writer_add(writer, a) ? NULL : REPLY(LOCAL_ERROR);
	if (known || r) close(writer);
	if (r) return r;
	if (!known) {
		u->writer = writer;
		u->due = true;
		snprintf(u->name, sizeof u->name, "%s", name);
		d->users++;
	}
	new_name(d, a->rcpt, i + 1);
	new_name(d, a->final, 0);
	return NULL;
}

void external_close(const struct external *e)
{
	if (e->owner >= 0) close(e->owner);
	if (e->agent >= 0) close(e->agent);
}

/* The same agent for the same mailbox, or the same program, by another way.  */
static bool same_job(const struct job *a, const struct job *b)
{
	return a->kind == b->kind && strcmp(a->command, b->command) == 0 && strcmp(a->user, b->user) == 0 && strcmp(a->local, b->local) == 0 &&
		strcmp(a->domain, b->domain) == 0 && strcmp(a->detail, b->detail) == 0;
}

const struct reply *delivery_add_job(struct delivery *d, const struct external *e)
{
	close_left_open(d);
	for (size_t i = 0; i < d->jobs; i++)
		if (same_job(&d->job[i].job, &e->job)) return external_close(e), NULL;
	bool full = d->named == d->room || d->jobs == DELIVERY_JOBS;
	if (full) external_close(e);
	if (full) return REPLY(TOO_MANY_RCPT);
	d->job[d->jobs++] = *e;
	new_name(d, e->job.rcpt, 0);
	return NULL;
}

const struct reply *delivery_add_remote(struct delivery *d, const struct remote *r)
{
	if (d->named == d->room) return REPLY(TOO_MANY_RCPT);
	const struct reply *full = outgoing_add(&d->outgoing, r);
	if (!full && *r->origin) new_name(d, r->origin, 0);
	return full;
}

struct delivery_mark delivery_mark(const struct delivery *d) { return (struct delivery_mark){ d->count, d->named, d->users, d->jobs, d->outgoing.count }; }

static void cut_names(struct delivery *d, struct name **n, size_t named)
{
	while (*n && *n < &d->all[named].name) n = &(*n)->next;
	*n = NULL;
}

void delivery_rollback(struct delivery *d, struct delivery_mark to)
{
	for (size_t i = to.count; i < d->count; i++) copy_close(&d->all[i].copy);
	for (size_t i = to.users; i < d->users; i++) close(d->user[i].writer);
	for (size_t i = to.jobs; i < d->jobs; i++) external_close(&d->job[i]);
	for (size_t i = to.named; i < d->named; i++) {
		size_t user = d->all[i].name.user;
		if (user > 0 && user <= to.users) writer_undo(d->user[user - 1].writer);
	}
	for (size_t i = 0; i < to.count && to.named < d->named; i++) cut_names(d, &d->all[i].copy.names, to.named);
	d->count = to.count;
	d->named = to.named;
	d->users = to.users;
	d->jobs = to.jobs;
	d->outgoing.count = to.remotes;
}
