/* The client's side of LMTP (RFC 2033), towards the next hop: maildir-deliver or any LMTP server.  Recipients are pipelined, the
 * message streams by BDAT where the next hop has CHUNKING (RFC 3030), else by DATA.  */
#ifndef LMTP_H
#define LMTP_H

#include <stdbool.h>
#include <stddef.h>

#include "dsn.h"
#include "line.h"
#include "reply.h"

enum { HOP_INPUT = 8192, HOP_OUTPUT = 16384, HOP_CHUNK = 65536, HOP_CHUNK_HEAD = 32 };

struct hop {
	struct io io;
	unsigned timeout;       /* milliseconds for one answer */
	bool smtp;              /* one answer for all recipients, and EHLO */
	bool open;              /* greeted, or not heard yet; what it offers is known, or taken for granted */
	bool unheard;           /* LHLO is out, neither it nor the connection answered yet */
	bool chunking, pipelining, smtputf8, eightbit, size, all_or_nothing, xforward, auth, dsn, relay, starttls;
	char name[256], mechanisms[512];        /* of SMTP: what it calls itself, and AUTH */
	unsigned rcpt_max, mail_max;    /* LIMITS RCPTMAX= and MAILMAX= (RFC 9422); 0 if it does not say */
	bool greeted;           /* the connection was greeted with 2xx, which h->reply may not be about any more */
	bool late;              /* it has not answered in time */
	const struct reply *parting;    /* the words of its 421, whose code is 451 here; NULL: none */
	/* the transaction */
	bool mail_due;          /* MAIL is out, and nobody has asked for its answer */
	bool began;             /* MAIL is out */
	bool mail_utf8;         /* and had SMTPUTF8 */
	bool in_data;           /* DATA was answered 354 */
	bool line_start;        /* in DATA: the next octet starts a line */
	unsigned accepted;      /* recipients that will have an answer each */
	bool ended;             /* the end of the message is out: what becomes of it is the next hop's to say */
	unsigned chunks_due;    /* BDATs not answered yet */
	const char *why;        /* why the dialogue has broken, for the log; NULL when that is not the next hop's fault */
	const struct reply *failure;    /* first failure of the transaction; then all else is for nothing */
	size_t chunk_len;
	bool utf8;              /* the next reply may be beyond ASCII */
	struct reply_text mail_reply, reply;
	char in[HOP_INPUT];
	struct reply_text kept; /* a refusal of chunks or message, which later answers must not overwrite */
	char out[HOP_OUTPUT];
	char chunk[HOP_CHUNK_HEAD + HOP_CHUNK];         /* octets of the message, behind room for the BDAT line */
};

/* Read the greeting of the connection `fd` and say LHLO (or EHLO) as `name`; `end` is the deadline of the session.  False if it is no use: h->reply may tell why.  One of
 * ours is not waited for: it will offer what we offer, or the first answer will be a failure.  */
enum hop_kind { HOP_LMTP, HOP_OURS, HOP_SMTP };
bool hop_open(struct hop *h, int fd, enum hop_kind kind, unsigned timeout, uint32_t end, const char *name);

/* Begin anew on `fd` behind STARTTLS, of SMTP: what it offered before counts no more (RFC 3207 4.2).  */
bool hop_again(struct hop *h, int fd, const char *name);

/* Tell one that wants to know (XFORWARD) the client's address, "local" for none, and the session's id: its log can name them then.  */
void hop_forward(struct hop *h, const char *peer, const char *id);

/* MAIL, not flushed; but without PIPELINING its answer is waited for (RFC 2920 3.1).  Parameters that the next hop does not offer are left out.  */
struct hop_mail { const char *from; unsigned long long size; bool smtputf8, eightbit; const char *auth; /* who has logged in, "" for nobody: AUTH= */
	const struct dsn_mail *dsn; bool relay; };
void hop_mail(struct hop *h, const struct hop_mail *mail);
/* RCPT, not flushed; and the answer to the oldest of them.  */
void hop_rcpt(struct hop *h, const char *rcpt, const struct dsn_rcpt *dsn);
const struct reply *hop_settle(struct hop *h);

/* The message: begin, octets with CRLF line ends, commit.  begin and commit return the answer that counts, begin NULL if it is good;
 * commit's is a 2xx only when every recipient's was.  */
const struct reply *hop_begin(struct hop *h);
void hop_write(struct hop *h, const char *p, size_t n);
const struct reply *hop_commit(struct hop *h);

/* Give the transaction up.  When the dialogue cannot go on after it, h->open is false.  */
void hop_abandon(struct hop *h);

/* One command with one reply.  */
const struct reply *hop_command(struct hop *h, const char *line);
/* The same, where a 3xx reply with the code `due` is as good as another.  */
const struct reply *hop_ask(struct hop *h, const char *line, int due);

#endif
