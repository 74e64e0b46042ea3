/* Aliases come first, then mailboxes, then users, then the catch-all.  Whatever is wrong with somebody's list or file puts the mail off (P9); a member that
 * nobody knows is left out of its list with a line in the log, for the others shall not suffer from it.
 * SPDX-License-Identifier: MIT */
#include "expand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel.h"
#include "log.h"
#include "node.h"
#include "writer.h"

enum { TEXT_ESCAPED = 4 * PATH_MAX_LEN + 8 };

static int open_anywhere(int dir, const char *path) { return openat(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }

void expander_init(struct expander *x, const struct config *cf, const struct resolver *r, int monitor)
{
	x->cf = cf;
	x->resolver = r;
	x->monitor = monitor;
	names_domain(x->host, cf->hostname);
	const char *path = *cf->aliases ? cf->aliases : monitor >= 0 ? "/etc/aliases" : NULL;
	if (!path || strcmp(cf->local_domains, "none") == 0) return;
	int e = alias_open(&x->system, AT_FDCWD, path, open_anywhere);
	x->has_system = e == 0;
	x->broken_system = e != 0 && (e != ENOENT || *cf->aliases);     /* one that is named must be there */
	if (x->broken_system || (e && *cf->aliases)) log_line(LEVEL_ERROR, "%s: %s", path, e == EPERM ? "others than its owner can write to it" : strerror(e));
}

static bool in_list(const char *list, const char *domain)
{
	char one[DOMAIN_MAX + 1], name[DOMAIN_MAX + 1];
	while (*(list += strspn(list, " ,\t"))) {
		size_t n = strcspn(list, " ,\t");
		snprintf(one, sizeof one, "%.*s", (int)n, list);
		if (names_domain(name, one) && strcmp(name, domain) == 0) return true;
		list += n;
	}
	return false;
}

static bool local_domain(const struct expander *x, const char *domain)
{
	const char *list = x->cf->local_domains;
	if (x->monitor < 0 && !x->has_system && !x->broken_system) return false;
	return *list ? in_list(list, domain) : strcmp(domain, x->host) == 0 || strcmp(domain, "localhost") == 0;
}

/* --- members of lists --- */

/* An address in a list of `of`; a bare name is one of the same domain.  */
static struct node *new_address(struct expander *x, const struct node *of, const char *text, bool literal)
{
	char whole[PATH_MAX_LEN + 1];
	struct path p;
	bool bare = !strrchr(text, '@');
	int len = snprintf(whole, sizeof whole, "%s%s%s", text, bare ? "@" : "", bare ? of->domain : "");
	struct node *n = node_new(x, of, whole);
	if (!n) return NULL;
	if (len >= (int)sizeof whole || !mailbox_parse(&p, whole) || node_name(x, n, &p)) {
		node_trouble(n, REPLY(BAD_ALIAS), of->why, "a member is no address");
		return n;
	}
	bool itself = strcmp(n->local, of->local) == 0 && strcmp(n->domain, of->domain) == 0 && (!*n->detail || strcmp(n->detail, of->detail) == 0);
	n->literal = literal;
	n->final = literal || itself;   /* a name that leads to itself, among others, is the mailbox of that name */
	return n;
}

struct source {
	int table;              /* whose owner a program or an included file is read as; -1: only addresses are taken */
	bool lines;             /* the text of a file */
	bool forward;
};

static bool add_member(struct expander *x, struct node *of, enum member_kind kind, const char *text, const struct source *from)
{
	struct node *n;
	if (kind == MEMBER_ADDRESS || kind == MEMBER_LITERAL) {
		n = new_address(x, of, text, kind == MEMBER_LITERAL);
		if (n && from->forward && n->final) n->literal = true;
		return n != NULL;
	}
	n = node_new(x, of, text);
	if (!n) return false;
	strcpy(n->domain, of->domain);  /* of bare names in an included file */
	if (kind == MEMBER_BAD) node_trouble(n, REPLY(BAD_ALIAS), of->why, "a member cannot be read");
	else if (kind == MEMBER_FILE && strcmp(text, "/dev/null") == 0) n->kind = NODE_NULL;
	else if (from->forward) node_trouble(n, REPLY(BAD_ALIAS), of->why, "programs and files are not taken in a .forward");
	else if (kind != MEMBER_INCLUDE && !x->cf->alias_programs) node_trouble(n, REPLY(NO_PROGRAMS), of->why, "alias_programs = no");
	else if (kind != MEMBER_INCLUDE && x->monitor < 0) node_trouble(n, REPLY(BAD_ALIAS), of->why, "there is nobody to run programs");
	else n->kind = kind == MEMBER_INCLUDE ? NODE_INCLUDE : kind == MEMBER_PROGRAM ? NODE_PROGRAM : NODE_FILE;
	if (n->kind == NODE_PROGRAM || n->kind == NODE_FILE || n->kind == NODE_INCLUDE) {
		n->fd = dup(from->table);
		if (n->fd < 0) node_trouble(n, REPLY(LOCAL_ERROR), of->why, strerror(errno));        /* whose it is would not be known */
	}
	return true;
}

static void expand_list(struct expander *x, struct node *of, const char *list, struct source from)
{
	char text[sizeof of->text];
	enum member_kind kind;
	size_t before = x->count;
	bool room = true;
	of->kind = NODE_LIST;
	while (room && !(from.forward && x->count > before + EXPAND_FORWARD) && (kind = alias_member(&list, from.lines, text, sizeof text)) != MEMBER_END) room = add_member(x, of, kind, text, &from);
	if (!room || (from.forward && x->count > before + EXPAND_FORWARD)) node_trouble(of, REPLY(BAD_ALIAS), of->why, "too many or too deep");
	else if (x->count == before) node_trouble(of, REPLY(BAD_ALIAS), of->why, "it is empty");
}

static void include(struct expander *x, struct node *n)
{
	int table = n->fd;
	node_why(n, "included");
	char *text = NULL;
	errno = EPERM;
	if (x->monitor >= 0) text = monitor_include(x->monitor, n->text, table);
	if (!text) node_trouble(n, REPLY(BAD_ALIAS), "include", errno == EBADMSG ? "it holds a NUL" : strerror(errno));
	else expand_list(x, n, text, (struct source){ .table = table, .lines = true });
	free(text);
	if (table >= 0) close(table);
	n->fd = -1;
}

/* --- the rules; each says whether it decided --- */

/* The table of a domain beneath mail_root.  False when it cannot be read; the node says so.  */
static bool open_own(struct expander *x, struct node *n)
{
	char domain[DOMAIN_MAX + 1];
	if (strcmp(x->own_domain, n->domain) == 0) return true;
	if (x->has_own) alias_close(&x->own);
	x->has_own = false;
	*x->own_domain = '\0';
	if (x->resolver->root >= 0 && resolver_domain_path(x->resolver, n->domain, domain)) {
		snprintf(x->own_path, sizeof x->own_path, "%s/.aliases", domain);
		int e = alias_open(&x->own, x->resolver->root, x->own_path, resolver_file);
		bool absent = e == ENOENT || (resolver_absent(e) && resolver_domain(x->resolver, n->domain) != 1);
		if (e && !absent) {     /* a link that leads nowhere was meant to be a table */
			node_trouble(n, REPLY(BAD_ALIAS), x->own_path, e == EPERM ? "others than its owner can write to it" : strerror(e));
			return false;
		}
		x->has_own = e == 0;
	}
	strcpy(x->own_domain, n->domain);
	return true;
}

/* Look a name up in one table; a list gets its members.  */
static bool by_alias(struct expander *x, struct node *n, struct alias_table *t, const char *name)
{
	char owner[NAME_LOCAL + 8];
	const char *value, *ignored;
	unsigned line, at;
	int got = alias_lookup(t, name, &value, &line);
	if (got == 0) return false;
	if (got < 0) {
		node_trouble(n, REPLY(BAD_ALIAS), t->path, errno == EBADMSG ? "this is no alias table" : strerror(errno));
		return true;
	}
	if (line) node_why(n, "alias, %.120s line %u", t->path, line);
	else node_why(n, "alias, %.120s.cdb", t->path);
	size_t first = x->count;
	expand_list(x, n, value, (struct source){ .table = t->text >= 0 ? t->text : t->cdb });
	snprintf(owner, sizeof owner, "owner-%s", name);
	if (n->kind == NODE_LIST && strncmp(name, "owner-", 6) != 0 && strcmp(name, "*") != 0 && alias_lookup(t, owner, &ignored, &at) == 1) {
		n->owned = true;
		for (size_t i = first; i < x->count; i++) x->node[i].list = (uint32_t)(n - x->node);
	}
	return true;
}

static bool by_aliases(struct expander *x, struct node *n, bool local, const char *name)
{
	if (local && x->broken_system) {
		node_refuse(n, REPLY(BAD_ALIAS), "the alias table cannot be read");
		return true;
	}
	if (local && x->has_system && by_alias(x, n, &x->system, name)) return true;
	if (!open_own(x, n)) return true;
	return x->has_own && by_alias(x, n, &x->own, name);
}

/* With its detail, and without.  */
static bool by_name(struct expander *x, struct node *n, bool local)
{
	char whole[2 * NAME_LOCAL + 2], detail[NAME_LOCAL + 1];
	if (n->final) return false;
	if (*n->detail && names_local(detail, n->detail)) {
		snprintf(whole, sizeof whole, "%s%c%s", n->local, n->separator, detail);
		if (by_aliases(x, n, local, whole)) return true;
	}
	return by_aliases(x, n, local, n->local);
}

/* The agent, if one is named for this domain or for all.  */
static void choose_agent(struct expander *x, struct node *n, bool user)
{
	char domain[DOMAIN_MAX + 1], path[DOMAIN_MAX + 16];
	if (x->cf->domain_agents && x->resolver->root >= 0 && resolver_domain_path(x->resolver, n->domain, domain)) {
		snprintf(path, sizeof path, "%s/.agent", domain);
		n->agent = resolver_file(x->resolver->root, path);
		if (n->agent < 0 && errno != ENOENT) node_trouble(n, REPLY(AGENT_TROUBLE), path, strerror(errno));
	}
	if (n->kind == NODE_REFUSED || (n->agent < 0 && !*x->cf->agent)) return;
	struct stat st;
	n->kind = NODE_AGENT;
	n->user = user;
	if (!user && fstat(n->fd, &st) == 0 && st.st_mode & S_ISVTX) node_refuse(n, REPLY(ON_HOLD), "on hold (sticky bit)");
}

static bool by_mailbox(struct expander *x, struct node *n)
{
	if (x->resolver->root < 0) return false;
	n->fd = resolver_mailbox(x->resolver, n->domain, n->local);
	if (n->fd < 0 && resolver_absent(errno)) return false;
	n->kind = NODE_BOX;
	if (n->fd < 0) node_mailbox_trouble(n, errno);
	else choose_agent(x, n, false);
	node_why(n, "mailbox %.60s/%.60s/%.50s", x->cf->mail_root, n->domain, n->local);
	return true;
}

/* What a user's .forward says, if it says anything.  */
static void forward(struct expander *x, struct node *n, const char *list)
{
	char text[sizeof n->text];
	const char *peek = list;
	if (n->literal || alias_member(&peek, true, text, sizeof text) == MEMBER_END) return;
	close(n->fd);
	n->fd = -1;
	node_why(n, ".forward of user %.64s", n->local);
	expand_list(x, n, list, (struct source){ .table = -1, .lines = true, .forward = true });
}

/* What a user's writer found in the home.  */
static void hear_writer(struct expander *x, struct node *n)
{
	char *list;
	n->waiting = false;
	const struct reply *r = writer_greeting(n->fd, &list);
	if (r == REPLY(BAD_ALIAS)) {
		node_trouble(n, r, ".forward", "it holds a NUL");
	} else if (r) {
		n->kind = NODE_REFUSED;         /* the log says more; whose home it is stays as the reason */
		n->reply = r;
	} else if (list) {
		forward(x, n, list);
	}
	free(list);
	if (n->kind == NODE_USER) choose_agent(x, n, true);
}

static bool by_user(struct expander *x, struct node *n)
{
	/* no name of a user; some name services have a meaning of their own for "+" and the like */
	bool named = (*n->local >= 'a' && *n->local <= 'z') || (*n->local >= '0' && *n->local <= '9') || *n->local == '_' || (unsigned char)*n->local >= 0x80;
	if (x->monitor < 0 || !named || strpbrk(n->local, "/:,\" \\") || strlen(n->local) > LOCAL_MAX) return false;
	int e = monitor_user(x->monitor, n->local, &n->fd, n->full_name);
	if (e == ENOENT) return false;
	n->kind = NODE_USER;
	node_why(n, "user %.64s, %.80s in the home", n->local, x->cf->user_maildir);
	if (e == EPERM) return node_refuse(n, REPLY(NO_MAILBOX), "a user who takes no mail (root, below min_uid, nobody) and has no alias"), true;
	if (e) return node_trouble(n, REPLY(LOCAL_ERROR), "cannot look the user up", strerror(e)), true;
	n->waiting = true;      /* he looks around while others are looked up */
	return true;
}

/* RFC 5321 4.5.1: mail for the postmaster of a domain goes to this host's, and his to who the setting names.  */
static bool by_postmaster(struct expander *x, struct node *n, bool local)
{
	if (strcmp(n->local, "postmaster") != 0) return false;
	bool host = strcmp(n->domain, x->host) == 0;
	if (host && !*x->cf->postmaster) return false;
	if (!host && !local && (x->resolver->root < 0 || resolver_domain(x->resolver, n->domain) != 1)) return false;
	char here[DOMAIN_MAX + 16];
	snprintf(here, sizeof here, "postmaster@%s", x->host);
	node_why(n, host ? "the setting postmaster" : "the postmaster of this host");
	if (!new_address(x, n, host ? x->cf->postmaster : here, false)) node_trouble(n, REPLY(BAD_ALIAS), n->why, "too deep");
	return true;
}

static void unknown(struct expander *x, struct node *n, bool local)
{
	bool member = n->parent != (uint32_t)(n - x->node);
	bool out = (x->queue || x->queue_broken) && !local && (member || x->relay || in_list(x->cf->relay_domains, n->domain));
	/* a mail_root that somebody has named, and that is not there: its domains would be taken for those of others.  The default one need not be used.  */
	bool needed = *x->cf->mail_root && !(out && config_default(x->cf, offsetof(struct config, mail_root)));
	if (x->resolver->root < 0 && needed && !local) {
		node_refuse(n, REPLY(MISCONFIGURED), "mail_root cannot be opened");
		return;
	}
	int known = !*x->cf->mail_root && !local ? 0 : local || strcmp(n->domain, x->host) == 0 ? 1 : resolver_domain(x->resolver, n->domain);
	if (known < 0) node_mailbox_trouble(n, errno);
	else if (!known && needed && resolver_empty(x->resolver)) node_trouble(n, REPLY(MISCONFIGURED), x->cf->mail_root, "holds no domain: is it mounted? (If none is wanted, set mail_root to nothing)");
	else if (!known && out && x->queue_broken) node_refuse(n, REPLY(MISCONFIGURED), "another host, and queue_dir cannot be opened");
	else if (!known && out) n->kind = NODE_REMOTE, node_why(n, "another host, by the queue");
	else if (!known) node_refuse(n, member ? REPLY(NO_QUEUE) : REPLY(NOT_LOCAL), "a domain of another host");
	else node_refuse(n, REPLY(NO_MAILBOX), "no alias, mailbox or user of that name");
}

static void route(struct expander *x, struct node *n)
{
	if (n->kind == NODE_REFUSED || n->kind == NODE_NULL) return;
	if (x->count > 1 && node_seen(x, n)) {
		n->kind = NODE_TWICE;
		return;
	}
	if (n->kind == NODE_INCLUDE) {
		include(x, n);
		return;
	}
	if (n->kind == NODE_PROGRAM || n->kind == NODE_FILE) return;
	bool local = local_domain(x, n->domain);
	if (by_name(x, n, local) || by_mailbox(x, n) || (local && by_user(x, n)) || by_postmaster(x, n, local)) return;
	if (!n->final && by_aliases(x, n, local, "*")) return;
	unknown(x, n, local);
}

/* All nodes; then the writers are heard, whose .forward files may bring more.  */
static void route_all(struct expander *x)
{
	size_t routed = 0, heard = 0;
	while (routed < x->count || heard < x->count) {
		if (routed == 1) node_seen(x, &x->node[0]);
		if (routed == EXPAND_FEW) channel_raise_limit();        /* each place that is found holds a descriptor */
		if (routed < x->count) {
			route(x, &x->node[routed++]);
		} else {
			struct node *n = &x->node[heard++];
			if (n->waiting) hear_writer(x, n);
		}
	}
}

/* What the nodes come to.  */
static const struct reply *verdict(const struct expander *x)
{
	char text[TEXT_ESCAPED];
	const struct reply *permanent = NULL;
	size_t places = 0;
	for (size_t i = 0; i < x->count; i++) {
		const struct node *n = &x->node[i];
		if (n->kind == NODE_REFUSED && n->reply->code / 100 == 4) return n->reply;
		if (n->kind == NODE_REFUSED && n->reply == REPLY(NO_QUEUE)) {
			log_line(LEVEL_WARNING, "%s leads to another host, and there is no queue", log_escape(text, sizeof text, x->node[0].text));
			return n->reply;
		}
		if (n->kind == NODE_REFUSED && !permanent) permanent = n->reply;
		places += n->kind != NODE_REFUSED && n->kind != NODE_LIST && n->kind != NODE_TWICE;
	}
	for (size_t i = 0; places > 0 && permanent && i < x->count; i++)
		if (x->node[i].kind == NODE_REFUSED) log_line(LEVEL_WARNING, "%s: a member that is left out: %s", log_escape(text, sizeof text, x->node[i].text), x->node[i].why);
	return places > 0 ? NULL : permanent ? permanent : REPLY(ALIAS_LOOP);
}

const struct reply *expand(struct expander *x, const struct path *rcpt)
{
	expand_done(x);
	struct node *n = node_new(x, NULL, rcpt->text);
	if (!*rcpt->domain) snprintf(n->text, sizeof n->text, "%s@%s", rcpt->text, x->host);
	if (x->resolver->catch_all) {
		n->kind = NODE_BOX;
		n->fd = resolver_catch_all(x->resolver);
		return n->fd < 0 ? node_mailbox_trouble(n, errno) : NULL;
	}
	const struct reply *r = node_name(x, n, rcpt);
	if (r) return node_refuse(n, r, "no mailbox or domain can have this name");
	route_all(x);
	return verdict(x);
}

void expand_done(struct expander *x)
{
	for (size_t i = 0; i < x->count; i++) {
		if (x->node[i].fd >= 0) close(x->node[i].fd);
		if (x->node[i].agent >= 0) close(x->node[i].agent);
	}
	if (x->count > 1) memset(x->seen, 0, sizeof x->seen);
	if (x->has_own) alias_close(&x->own);
	x->has_own = false;
	*x->own_domain = '\0';
	x->count = 0;
}

const char *expand_sender(const struct expander *x, const struct node *n, const char *sender, char buf[PATH_MAX_LEN + 1])
{
	const struct node *list = &x->node[n->list];
	snprintf(buf, PATH_MAX_LEN + 1, "%s", sender);
	if (*sender && list->owned) snprintf(buf, PATH_MAX_LEN + 1, "owner-%.*s@%.180s", 64, list->local, list->domain);
	return buf;
}
