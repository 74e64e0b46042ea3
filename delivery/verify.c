/* SPDX-License-Identifier: MIT */
#include "verify.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"

/* "Full Name <user@domain>", or the address alone: a name that needs quotes is left out.  */
static int told(char *buf, size_t size, const struct node *n)
{
	bool plain = *n->full_name && !strpbrk(n->full_name, "\"(),:;<>@[\\]");
	for (const char *c = n->full_name; *c; c++) plain &= *c >= ' ' && *c < 0x7f;
	return plain ? snprintf(buf, size, "%s <%s>", n->full_name, n->text) : snprintf(buf, size, "<%s>", n->text);
}

static const struct reply *made(struct reply *r, const char *text)
{
	*r = (struct reply){ .code = 250, .status = "2.1.5", .text = text };
	return r;
}

static bool is_child(const struct expander *x, size_t i, const struct node *of)
{
	const struct node *n = &x->node[i];
	return n->depth == of->depth + 1 && n->parent == (size_t)(of - x->node);
}

/* The members of a list, those of a file that it includes among them; a line each.  False when they do not fit.  */
static bool members(const struct expander *x, const struct node *list, char *room, size_t size)
{
	size_t used = 0;
	*room = '\0';
	for (size_t i = 1; i < x->count; i++) {
		const struct node *n = &x->node[i], *parent = &x->node[n->parent];
		bool included = parent->parent == (size_t)(list - x->node) && strcmp(parent->why, "included") == 0;
		if (!is_child(x, i, list) && !included) continue;
		if (!strchr(n->text, '@') || (n->kind == NODE_REFUSED && n->reply != REPLY(NO_QUEUE))) continue;   /* files, programs, and who is left out */
		char one[PATH_MAX_LEN + MONITOR_FULL_NAME + 8];
		int len = told(one, sizeof one, n);
		if ((size_t)len + 2 > size - used) return false;
		used += (size_t)snprintf(room + used, size - used, "%s%s", used ? "\n" : "", one);
	}
	return true;
}

const struct reply *verify(struct expander *x, const struct path *p, bool list, char *room, size_t size)
{
	static struct reply reply;
	const struct reply *r = expand(x, p);
	const struct node *n = &x->node[0];
	size_t children = 0;
	if (r && !(r == REPLY(NO_QUEUE) && n->kind == NODE_LIST)) return r;
	for (size_t i = 1; i < x->count; i++) children += is_child(x, i, n);
	if (list && n->kind != NODE_LIST) return REPLY(NOT_A_LIST);
	if (list) return !members(x, n, room, size) ? REPLY(LONG_LIST) : *room ? made(&reply, room) : REPLY(IS_A_LIST);
	if (n->kind == NODE_LIST && (children != 1 || !strchr(x->node[1].text, '@'))) return REPLY(IS_A_LIST);
	told(room, size, n->kind == NODE_LIST ? &x->node[1] : n);
	return made(&reply, room);
}

static bool is_held(const struct node *n)
{
	struct stat st;
	return n->kind == NODE_BOX && n->fd >= 0 && fstat(n->fd, &st) == 0 && st.st_mode & S_ISVTX;
}

/* A node and what is beneath it; never deeper than EXPAND_DEPTH.  */
static void print_tree(const struct expander *x, size_t i)
{
	char text[4 * PATH_MAX_LEN + 8], why[4 * EXPAND_WHY + 8];
	const struct node *n = &x->node[i];
	bool list = n->kind == NODE_LIST;
	printf("%*s%s: ", (int)n->depth * 4, "", log_escape(text, sizeof text, n->text));
	if (n->kind == NODE_REFUSED) printf("%d %s %s: ", n->reply->code, n->reply->status, n->reply->text);
	if (n->kind == NODE_TWICE) printf("was there before");
	else if (n->kind == NODE_NULL) printf("thrown away");
	else if (n->kind == NODE_PROGRAM) printf("a program");
	else if (n->kind == NODE_FILE) printf("a file");
	else printf("%s%s", n->kind == NODE_AGENT ? "by the agent, " : "", log_escape(why, sizeof why, n->why));
	if (*n->detail && !list) printf(", folder %s if it exists", log_escape(text, sizeof text, n->detail));
	if (is_held(n)) printf(", on hold (sticky bit)");
	printf(list ? ":\n" : "\n");
	for (size_t child = i + 1; list && child < x->count; child++)
		if (x->node[child].parent == i) print_tree(x, child);
}

const struct reply *where_print(struct expander *x, const struct path *p)
{
	const struct reply *r = expand(x, p);
	print_tree(x, 0);
	if (r && x->count > 1) printf("%d %s %s\n", r->code, r->status, r->text);
	return r;
}
