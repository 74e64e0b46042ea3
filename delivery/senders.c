/* SPDX-License-Identifier: MIT */
#include "senders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "log.h"
#include "tools.h"

static int open_for_reading(int dir, const char *path) { return openat(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }

void senders_init(struct senders *s, const struct config *cf)
{
	s->cf = cf;
	if (!cf->sender_check || !*cf->sender_table) return;
	int e = alias_open(&s->table, AT_FDCWD, cf->sender_table, open_for_reading);
	s->has_table = e == 0;
	s->broken_table = e != 0;
	if (e) log_line(LEVEL_ERROR, "sender_table: %s: %s", cf->sender_table, strerror(e));
}

/* Where mail goes, in a form that can be compared.  */
struct place {
	enum node_kind kind;            /* NODE_BOX, NODE_USER, NODE_AGENT; else it is no single place */
	dev_t dev;
	ino_t ino;
	char local[NAME_LOCAL + 1], domain[DOMAIN_MAX + 1];
};

/* The one place that an address leads to.  NULL, or the refusal.  */
static const struct reply *find_place(struct expander *x, const struct path *p, struct place *place)
{
	const struct reply *r = expand(x, p);
	const struct node *only = NULL;
	struct stat st;
	size_t places = 0;
	*place = (struct place){ .kind = NODE_NULL };
	for (size_t i = 0; !r && i < x->count; i++) {
		if (x->node[i].kind == NODE_LIST || x->node[i].kind == NODE_TWICE) continue;
		only = &x->node[i];
		places++;
	}
	if (places == 1 && (only->kind == NODE_USER || only->kind == NODE_AGENT || (only->kind == NODE_BOX && fstat(only->fd, &st) == 0))) {
		place->kind = only->kind;
		strcpy(place->local, only->local);
		strcpy(place->domain, only->kind == NODE_USER ? "" : only->domain);     /* a user is one by all names of the host */
		if (only->kind == NODE_BOX) {
			place->dev = st.st_dev;
			place->ino = st.st_ino;
			*place->local = *place->domain = '\0';  /* one mailbox may have many names */
		}
	}
	expand_done(x);
	return r;
}

static bool same(const struct place *a, const struct place *b)
{
	return a->kind != NODE_NULL && a->kind == b->kind && a->dev == b->dev && a->ino == b->ino && strcmp(a->local, b->local) == 0 && strcmp(a->domain, b->domain) == 0;
}

/* A bare name is one of this host.  */
static bool same_user(const struct config *cf, const char *a, const char *b)
{
	struct path p, q;
	if (strcasecmp(a, b) == 0) return true;
	return tools_parse(cf, a, &p) && tools_parse(cf, b, &q) && strcasecmp(p.text, q.text) == 0;
}

/* Whether the table names the user behind this key: 1, 0, or -1 for trouble.  */
static int granted(struct senders *s, const char *key, const char *user)
{
	char name[ALIAS_NAME], member[ALIAS_MEMBER];
	const char *value;
	unsigned line;
	enum member_kind kind;
	if (snprintf(name, sizeof name, "%s", key) >= (int)sizeof name) return 0;
	fold(name);
	int got = alias_lookup(&s->table, name, &value, &line);
	if (got <= 0) return got;
	while ((kind = alias_member(&value, false, member, sizeof member)) != MEMBER_END)
		if (kind == MEMBER_ADDRESS && same_user(s->cf, member, user)) return 1;
	return 0;
}

static const struct reply *by_table(struct senders *s, const char *user, const struct path *from)
{
	char key[DOMAIN_MAX + 2];
	if (s->broken_table) return REPLY(MISCONFIGURED);
	if (!s->has_table) return REPLY(NOT_YOURS);
	int got = granted(s, from->text, user);
	snprintf(key, sizeof key, "@%s", from->domain);
	if (got == 0) got = granted(s, key, user);
	if (got < 0) log_line(LEVEL_ERROR, "sender_table: %s: %s", s->cf->sender_table, strerror(errno));
	return got > 0 ? NULL : got < 0 ? REPLY(MISCONFIGURED) : REPLY(NOT_YOURS);
}

const struct reply *senders_allow(struct senders *s, struct expander *x, const char *user, const struct path *from)
{
	struct path p;
	struct place own, his;
	if (!*from->text) return NULL;
	const struct reply *r = by_table(s, user, from), *trouble = NULL;
	if (r != REPLY(NOT_YOURS)) return r;
	if (!tools_parse(s->cf, user, &p)) return r;
	bool ours = *s->cf->origin && strcasecmp(p.domain, s->cf->hostname) == 0 && strcasecmp(from->domain, s->cf->origin) == 0;
	if (ours && strcmp(p.local, from->local) == 0) return NULL;     /* as sendmail has him send */
	trouble = find_place(x, &p, &own);
	if (!trouble) trouble = find_place(x, from, &his);
	if (trouble) return trouble->code / 100 == 4 ? trouble : r;
	return same(&own, &his) ? NULL : r;
}
