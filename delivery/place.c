/* From an address to what is to be delivered: expand.c finds the places, delivery.c takes them.
 * SPDX-License-Identifier: MIT */
#include "place.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_external(const struct node *n) { return n->kind == NODE_AGENT || n->kind == NODE_PROGRAM || n->kind == NODE_FILE; }

/* A program's or a file's part.  */
static const struct reply *place_external(struct delivery *d, const struct expander *x, struct node *n, const struct addressee *a)
{
	struct external e = { .owner = n->user ? -1 : n->fd, .agent = n->agent };
	struct job *j = &e.job;
	bool agent = n->kind == NODE_AGENT;     /* a program has no address: its recipient is the one that led to it */
	j->kind = agent ? JOB_AGENT : n->kind == NODE_PROGRAM ? JOB_PROGRAM : JOB_FILE;
	snprintf(j->command, sizeof j->command, "%s", agent ? "" : n->text);
	snprintf(j->user, sizeof j->user, "%.*s", (int)sizeof j->user - 1, n->user ? n->local : "");
	snprintf(j->rcpt, sizeof j->rcpt, "%s", agent ? a->final : a->rcpt);
	snprintf(j->sender, sizeof j->sender, "%s", a->sender);
	snprintf(j->local, sizeof j->local, "%.*s", (int)sizeof j->local - 1, n->local);
	snprintf(j->domain, sizeof j->domain, "%s", n->domain);
	snprintf(j->detail, sizeof j->detail, "%s", agent ? n->detail : x->node[0].detail);
	if (n->user) close(n->fd);
	n->fd = n->agent = -1;
	return delivery_add_job(d, &e);
}

/* What a recipient has come to, for who wants to hear of success (RFC 3461 5.2.7).  A list with an owner is one place, whoever its members are: what becomes of its mail
 * then is for the owner.  */
enum fate { FATE_HERE, FATE_ELSEWHERE, FATE_SEVERAL };

static bool is_member(const struct expander *x, const struct node *n) { return x->node[n->list].owned && n != &x->node[n->list]; }

static enum fate fate(const struct expander *x)
{
	size_t places = 0;
	bool elsewhere = false;
	for (size_t i = 0; i < x->count; i++) {
		const struct node *n = &x->node[i];
		if (is_member(x, n)) continue;
		places += n->owned || (n->kind != NODE_LIST && n->kind != NODE_TWICE && n->kind != NODE_REFUSED);
		elsewhere |= n->kind == NODE_REMOTE;
	}
	return places > 1 ? FATE_SEVERAL : elsewhere ? FATE_ELSEWHERE : FATE_HERE;
}

/* Elsewhere.  A list of ours answers for its members, so what the sender wanted to hear of the list is not asked of them.  */
static const struct reply *place_remote(struct delivery *d, const struct expander *x, const struct node *n, const struct addressee *a, const struct asked *asked)
{
	struct remote r;
	bool itself = a->final == a->rcpt, passed = !is_member(x, n);
	memset(&r, 0, offsetof(struct remote, dsn));
	r.dsn = passed ? *asked->dsn : (struct dsn_rcpt){ 0 };
	r.owner = strcmp(a->sender, asked->from) != 0;
	snprintf(r.address, sizeof r.address, "%.*s", (int)sizeof r.address - 1, n->text);
	snprintf(r.sender, sizeof r.sender, "%s", a->sender);
	snprintf(r.origin, sizeof r.origin, "%s", itself ? "" : a->rcpt);
	snprintf(r.destination, sizeof r.destination, "%s", n->domain);
	return delivery_add_remote(d, &r);
}

/* The sender wants to hear that it has arrived, or has gone to several.  */
static const struct reply *place_report(struct delivery *d, const struct asked *asked, bool expanded)
{
	struct remote r = { .dsn = *asked->dsn, .expanded = expanded };
	snprintf(r.address, sizeof r.address, "%s", asked->rcpt->text);
	snprintf(r.sender, sizeof r.sender, "%s", asked->from);
	return delivery_add_remote(d, &r);
}

/* What the places of an address are asked for, of what the sender has asked: one report of success is enough (RFC 3461 5.2.7.3 (c)); and who gets one about an address that
 * he has never heard of is told the one that he wrote to (5.2.1 (d)).  */
static struct dsn_rcpt passed_on(const struct expander *x, const struct asked *a, enum fate f)
{
	struct dsn_rcpt dsn = *a->dsn;
	if (x->count > 1 && !*dsn.orcpt) dsn_orcpt_from(&dsn, a->rcpt->text);
	if (f == FATE_SEVERAL) dsn.notify = dsn.notify == NOTIFY_SUCCESS ? NOTIFY_NEVER : dsn.notify & ~(unsigned)NOTIFY_SUCCESS;
	return dsn;
}

/* One of the places that an address leads to.  */
static const struct reply *place(struct delivery *d, const struct expander *x, struct node *n, const struct asked *asked)
{
	char sender[PATH_MAX_LEN + 1];
	int fd = n->fd;
	const char *rcpt = asked->rcpt->text;
	struct addressee a = { rcpt, n == x->node ? rcpt : n->text, expand_sender(x, n, asked->from, sender), n->detail, asked->size };
	if (is_external(n)) return place_external(d, x, n, &a);
	if (n->kind == NODE_REMOTE) return place_remote(d, x, n, &a, asked);
	if (n->kind != NODE_BOX && n->kind != NODE_USER) return NULL;
	n->fd = -1;
	return n->kind == NODE_BOX ? delivery_add(d, fd, &a) : delivery_add_user(d, n->local, fd, &a);
}

const struct reply *place_recipient(struct delivery *d, struct expander *x, const struct asked *a)
{
	struct delivery_mark mark = delivery_mark(d);
	const struct reply *r = expand(x, a->rcpt);
	enum fate f = fate(x);
	struct dsn_rcpt dsn = passed_on(x, a, f);
	bool external = mark.jobs > 0;
	for (size_t i = 0; !r && i < x->count; i++) external |= is_external(&x->node[i]);
	if (!r && external && (mark.named > 0 || mark.remotes > 0)) r = REPLY(ALONE);
	for (size_t i = 0; !r && i < x->count; i++) r = place(d, x, &x->node[i], &(struct asked){ a->rcpt, a->from, a->size, &dsn });
	if (!r && f != FATE_ELSEWHERE && x->queue && *a->from && a->dsn->notify & NOTIFY_SUCCESS) r = place_report(d, a, f == FATE_SEVERAL);
	if (!r) r = delivery_settle(d);
	if (r == REPLY(QUOTA_HARD) && x->count > 1) r = REPLY(QUOTA);  /* one full mailbox is no reason to refuse its list for good */
	if (r) delivery_rollback(d, mark);
	expand_done(x);
	return r;
}
