/* SPDX-License-Identifier: MIT */
#include "node.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

enum { TEXT_ESCAPED = 4 * PATH_MAX_LEN + 8 };

void node_why(struct node *n, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(n->why, sizeof n->why, format, ap);
	va_end(ap);
}

const struct reply *node_refuse(struct node *n, const struct reply *r, const char *why)
{
	n->kind = NODE_REFUSED;
	n->reply = r;
	snprintf(n->why, sizeof n->why, "%s", why);
	return r;
}

const struct reply *node_trouble(struct node *n, const struct reply *r, const char *what, const char *why)
{
	char text[TEXT_ESCAPED], more[TEXT_ESCAPED];
	log_line(LEVEL_ERROR, "%s: %s: %s", log_escape(text, sizeof text, n->text), log_escape(more, sizeof more, what), why);
	return node_refuse(n, r, why);
}

const struct reply *node_mailbox_trouble(struct node *n, int e) { return node_trouble(n, REPLY(MAILBOX_TROUBLE), "cannot open mailbox", strerror(e)); }

static bool same_place(const struct node *a, const struct node *b)
{
	return a->literal == b->literal && a->final == b->final && strcmp(a->local, b->local) == 0 && strcmp(a->domain, b->domain) == 0 &&
		a->separator == b->separator && strcmp(a->detail, b->detail) == 0 && (*a->local || strcmp(a->text, b->text) == 0);
}

bool node_seen(struct expander *x, const struct node *n)
{
	uint32_t hash = 2166136261U;
	for (const char *c = *n->local ? n->local : n->text; *c; c++) hash = (hash ^ (unsigned char)*c) * 16777619U;
	for (;; hash++) {
		uint32_t *slot = &x->seen[hash % EXPAND_SEEN];
		if (*slot == 0) *slot = (uint32_t)(n - x->node) + 1;
		else if (!same_place(&x->node[*slot - 1], n)) continue;
		else return true;
		return false;
	}
}

const struct reply *node_name(const struct expander *x, struct node *n, const struct path *p)
{
	char *cut;
	if (!*p->domain) strcpy(n->domain, x->host);
	else if (!names_domain(n->domain, p->domain)) return REPLY(NOT_LOCAL);
	if (!names_local(n->local, p->local)) return REPLY(NO_MAILBOX);
	cut = *n->local ? n->local + 1 + strcspn(n->local + 1, x->cf->detail_separator) : n->local;
	const char *written = *p->local ? p->local + 1 + strcspn(p->local + 1, x->cf->detail_separator) : "";
	if (*cut && *written) snprintf(n->detail, sizeof n->detail, "%s", written + 1);
	n->separator = *cut;
	*cut = '\0';
	return NULL;
}

struct node *node_new(struct expander *x, const struct node *parent, const char *text)
{
	if (x->count == EXPAND_NODES || (parent && parent->depth == EXPAND_DEPTH)) return NULL;
	struct node *n = &x->node[x->count];
	memset(n, 0, offsetof(struct node, text));
	n->parent = parent ? (uint32_t)(parent - x->node) : 0;
	n->depth = parent ? parent->depth + 1 : 0;
	n->list = parent ? parent->owned ? n->parent : parent->list : 0;
	n->fd = n->agent = -1;
	n->local[0] = n->domain[0] = n->detail[0] = n->full_name[0] = n->why[0] = '\0';
	snprintf(n->text, sizeof n->text, "%s", text);
	x->count++;
	return n;
}
