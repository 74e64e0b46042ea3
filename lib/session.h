/* The server's side of a dialogue, SMTP or LMTP: one engine, two users.  What a recipient is and where a message goes is the
 * backend's: the next hop for smtp-handler, the mailboxes for maildir-deliver.  */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "config.h"
#include "data.h"
#include "dsn.h"
#include "line.h"
#include "log.h"
#include "peer.h"
#include "reply.h"
#include "trace.h"

struct session;

/* What the engine asks of its user.  Replies are constant or live in the backend until its next call.  */
struct backend {
	bool lmtp;
	/* Offer a recipient, in s->tx.  NULL: the answer comes from settle, in the order of the calls.  */
	const struct reply *(*rcpt)(struct session *s, const struct path *rcpt);
	const struct reply *(*settle)(struct session *s);
	/* The message begins: NULL, or why it cannot.  Then its octets; a failure is kept for commit.  */
	const struct reply *(*begin)(struct session *s);
	void (*write)(struct session *s, const char *p, size_t n);
	/* One header line of the message, for who wants to look.  May be NULL.  */
	void (*header)(struct session *s, const char *line);
	/* All octets are there: make it so, for every recipient or for none, and answer for all.  */
	const struct reply *(*commit)(struct session *s);
	/* The transaction is over: leave nothing of one that was not committed.  */
	void (*abandon)(struct session *s);
	/* VRFY, or EXPN if `list`.  */
	const struct reply *(*verify)(struct session *s, const char *what, bool list);
	void (*tell)(struct session *s, const struct event *e);
	/* Of SMTP only.  A TLS program stands ready behind the connection; and its plain text takes the place of the client.  */
	bool (*tls_ready)(struct session *s);
	bool (*tls_switch)(struct session *s);
	/* The SASL mechanisms there are, parted by blanks; and the dialogue of one, with the initial response or NULL: 235, or why not; NULL if the session is over.
	 * Leaves the user's name, or who said to be it, in s->claimed.  */
	const char *(*mechanisms)(struct session *s);
	const struct reply *(*login)(struct session *s, const char *mechanism, char *initial);
	/* s->peer, s->user or s->tls has changed.  */
	void (*about)(struct session *s);
	/* Of LMTP only, may be NULL: MAIL was taken, its sender and user are in s->tx.  NULL, or why it cannot be.  */
	const struct reply *(*sender)(struct session *s);
	/* XFORWARD (LMTP): where the mail server that talks to us has the message from, and by which id its log knows it; NULL for what was not said.  */
	void (*forwarded)(struct session *s, const char *peer, const char *id);
};

/* One mail transaction.  All of it is wiped in one place, reset_transaction (P6).  */
struct transaction {
	bool open;              /* MAIL was taken */
	bool chunks;            /* a BDAT was taken */
	bool begun;             /* backend->begin was called */
	bool too_big;
	bool smtputf8, eightbit;
	bool relay;             /* of LMTP: who sends may have anybody elsewhere */
	struct dsn_mail dsn;
	struct path from;
	char auth[256];         /* AUTH= of the MAIL command, decoded; "" for none */
	unsigned long long declared;    /* SIZE=, 0 if not given */
	unsigned accepted, pending;     /* recipients: with a 250, and not answered yet */
	unsigned offered;       /* since there were none to be answered: s->offered[offered - pending] is next */
	char first_rcpt[PATH_MAX_LEN + 1];
	unsigned hops;
	struct data data;
	struct header header;
};

enum { OFFERED_MAX = 64 };     /* recipients waiting for the backend's answer */

struct session {
	const struct config *cf;
	const struct backend *backend;
	void *ctx;              /* the backend's */
	struct io io;
	char *peer;             /* address for Received and logs; of PEER_SIZE */
	const char *id;         /* of the session; a message is ID.N */
	char helo[DOMAIN_MAX + 1];
	bool extended;          /* EHLO or LHLO */
	bool verify_utf8;       /* the answer to this VRFY or EXPN may be beyond ASCII */
	bool closing;
	bool proxied;           /* the peer is a proxy: its header comes before all else */
	bool secure;            /* within TLS */
	bool no_tls;            /* it is not to be had: each attempt is a process, and a line in the log */
	bool discreet;          /* what cannot be understood may be a password: not for the log */
	unsigned auth_failures;
	bool offers_dsn;        /* there is a queue, to report from */
	struct dsn_rcpt dsn;    /* of the recipient in hand */
	bool silent;            /* the peer speaks first: what it says is read before it is greeted */
	bool hung_up;           /* we ended it, not the peer */
	unsigned rcpt_max;      /* most recipients of a transaction; 0: not known yet */
	unsigned long long size_max;
	unsigned messages, recipients, refused, errors;
	const char *ended;      /* why, for the log */
	struct transaction tx;
	struct reply made;      /* of made_reply */
	char text[1024];
	char tls[128];          /* "TLS1.3 CIPHER", for Received and logs */
	char user[256];         /* who has logged in, "" for nobody; and who last said to be that */
	char claimed[256];
	char offered[OFFERED_MAX][PATH_MAX_LEN + 1];
};

enum {
	COMMAND_MAX = 4096,     /* octets of a command line; RFC 5321 4.5.3.1.4 wants 512, extensions more */
	AUTH_MAX = 12288 + 2,   /* of a line with a SASL message (RFC 4954 4) */
	PROXY_PATIENCE = 5000,  /* milliseconds for the header of a proxy */
};

/* Greet, and answer until the peer or we end it.  The caller has filled cf, backend, ctx, io's descriptors, buffers and strictness,
 * peer, id, rcpt_max and size_max.  */
void session_run(struct session *s);

/* A reply with s->text, which the caller fills; there is one at a time.  */
const struct reply *made_reply(struct session *s, int code, const char *status);

/* For the parts of the engine: */
void say(struct session *s, const struct reply *r);     /* after what is still to be settled */
void session_close(struct session *s, const struct reply *r, const char *why);
void session_lost(struct session *s, enum io_result why);
void reset_transaction(struct session *s);
void session_tell(struct session *s, enum event_kind kind, const char *rcpt, const struct reply *r);
void session_gone(struct session *s, const char *why);  /* the client is out of reach: nothing more is said */
const struct reply *greeting(struct session *s);
bool settle(struct session *s);                         /* false: the session is closing */
void answer_rcpt(struct session *s, const char *rcpt, const struct reply *r);

const struct reply *verb_mail(struct session *s, char *arg);
const struct reply *verb_rcpt(struct session *s, char *arg);
const struct reply *verb_data(struct session *s, char *arg);
const struct reply *verb_bdat(struct session *s, char *arg);

/* access.c */
bool offers_tls(const struct session *s);
bool offers_auth(const struct session *s);
bool offers_xclient(const struct session *s);
const struct reply *who_first(const struct session *s, bool needs_tls, bool needs_user);       /* NULL, or that TLS or a login must come before */
char *auth_answer(struct session *s, const char *challenge, const struct reply **r);
const struct reply *verb_starttls(struct session *s, char *arg);
const struct reply *verb_auth(struct session *s, char *arg);
const struct reply *verb_xclient(struct session *s, char *arg);

enum state { ST_START = 1, ST_GREETED = 2, ST_MAIL = 4, ST_RCPT = 8, ST_CHUNKS = 16 };
enum state session_state(const struct session *s);
const struct reply *wrong_order(enum state state, bool is_mail);

#endif
