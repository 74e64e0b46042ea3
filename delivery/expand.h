/* Where mail for an address goes: aliases, users of the host, mailboxes beneath mail_root, .forward files, lists; breadth-first, each
 * address once.  The result is a list of nodes: the address asked for, then what it led to, in the order in which it was found.  */
#ifndef EXPAND_H
#define EXPAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "alias.h"
#include "config.h"
#include "monitor.h"
#include "names.h"
#include "reply.h"
#include "resolve.h"

enum { EXPAND_NODES = 10000, EXPAND_DEPTH = 20, EXPAND_FORWARD = 100 /* members */, EXPAND_WHY = 200, EXPAND_SEEN = 1 << 15, EXPAND_FEW = 16 };

enum node_kind {
	NODE_LIST,              /* not routed yet, or led to others: its children are the nodes with it as parent */
	NODE_BOX,               /* a mailbox beneath mail_root; fd is its directory */
	NODE_USER,              /* a user of the host; fd is the channel to his writer */
	NODE_AGENT,             /* one of the two, whose mail goes through a program */
	NODE_PROGRAM, NODE_FILE, NODE_INCLUDE,  /* of an alias; text is the command or path; fd is the table */
	NODE_REMOTE,            /* of another host, for the queue; text is the address */
	NODE_NULL,              /* /dev/null: taken, and thrown away */
	NODE_TWICE,             /* was there before */
	NODE_REFUSED            /* reply says why */
};

struct node {
	enum node_kind kind;
	uint32_t parent;        /* index; itself for the first */
	uint32_t depth, list;   /* list: the node of the list that it is a member of, whose owner- alias becomes the sender; 0: none */
	bool final, literal;    /* not to be expanded by aliases; nor by a .forward either */
	bool owned;             /* a list with an owner- alias */
	bool user;              /* an agent's: of the host */
	bool waiting;           /* a user's writer has not been heard */
	char separator;         /* before the detail, as written; NUL: there is none */
	int fd, agent;          /* -1: none; agent is the domain's .agent file */
	const struct reply *reply;
	char text[1024];        /* as written; of an address, user@domain */
	char local[NAME_LOCAL + 1], domain[DOMAIN_MAX + 1], detail[LOCAL_MAX + 1];      /* canonical; local without the detail */
	char full_name[MONITOR_FULL_NAME];
	char why[EXPAND_WHY];   /* for people: by which rule */
};

struct expander {
	const struct config *cf;
	const struct resolver *resolver;
	int monitor;            /* -1: no users of the host, no programs */
	bool queue;             /* there is one: members of lists may be elsewhere */
	bool queue_broken;      /* there should be one, and it cannot be opened: what wants it is put off */
	bool relay;             /* and who sends may have anybody there */
	char host[DOMAIN_MAX + 1];      /* hostname, canonical */
	struct alias_table system;      /* of local_domains */
	bool has_system, broken_system;
	/* of the last domain, while one address is expanded */
	struct alias_table own;
	bool has_own;
	char own_domain[DOMAIN_MAX + 1], own_path[DOMAIN_MAX + 16];
	size_t count;
	uint32_t seen[EXPAND_SEEN];     /* a hash table of indices + 1; untouched while there is one node */
	struct node node[EXPAND_NODES];
};

/* Once, before the sandbox; *x is zero.  A table that cannot be read is a line in the log, and a temporary failure for who needs it.  */
void expander_init(struct expander *x, const struct config *cf, const struct resolver *r, int monitor);

/* Expand one address.  NULL: at least one place was found, and nothing hinders; else why its mail cannot be taken.  In either case x->node tells more.  What is open stays
 * open until expand_done, but for what the caller takes, setting fd to -1.  */
const struct reply *expand(struct expander *x, const struct path *rcpt);
void expand_done(struct expander *x);

/* The sender for a node's mail: that of the message, or the owner of the list that it came by.  Writes to buf.  */
const char *expand_sender(const struct expander *x, const struct node *n, const char *sender, char buf[PATH_MAX_LEN + 1]);

#endif
