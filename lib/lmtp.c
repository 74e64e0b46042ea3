/* The LMTP client, and SMTP's for sendmail(8).  The next hop is trusted no more than a stranger: what it says counts only if it is a reply, in time; anything else
 * ends the dialogue with it and is 4xx for whoever waits (P9).
 * SPDX-License-Identifier: MIT */
#include "lmtp.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "xtext.h"

enum { CHUNKS_DUE_MAX = 16 };   /* answers to BDAT that may wait in the socket: few enough to fit */

/* The dialogue has broken: the connection is of no use any more.  */
static const struct reply *broken(struct hop *h)
{
	h->open = false;
	if (!h->failure) h->failure = REPLY(LOCAL_ERROR);
	return h->failure;
}

/* Nothing is due before what is said next.  A reply that nobody asked for would shift all that follow: a refusal be taken for a promise, or text
 * be sent where a command is awaited.  Only what has come along with the last answer is seen; to ask for more would be a system call.  */
static bool in_step(struct hop *h)
{
	if (h->io.head == h->io.tail) return true;
	h->why = "it talks out of turn";
	broken(h);
	return false;
}

static void hear_hello(struct hop *h);

/* Read one reply, or one with the 3xx code that is due, if it is not 0.  A 421, or none, ends the dialogue; the session with the client goes on, so 421
 * becomes 451.  */
static const struct reply *answer_or(struct hop *h, struct reply_text *r, int due)
{
	if (h->unheard) hear_hello(h);
	if (!h->open) return broken(h);
	enum io_result got = reply_read(&h->io, h->timeout, h->utf8, r);
	bool unfit = got == IO_OK && r->reply.code / 100 == 3 && r->reply.code != due;
	if (got != IO_OK || unfit) {
		h->late = got == IO_TIMEOUT;
		h->why = got == IO_TIMEOUT ? "it does not answer in time" : got == IO_END ? "it has closed the connection" : "it talks nonsense";
		return broken(h);
	}
	if (r->reply.code == 421) {
		h->open = false;
		h->why = "it ends the connection with 421";
		r->reply.code = 451;
		h->parting = &r->reply;
	}
	return &r->reply;
}

static const struct reply *answer(struct hop *h, struct reply_text *r) { return answer_or(h, r, 0); }

static const struct reply *copy(struct reply_text *to, const struct reply_text *from)
{
	*to = *from;
	to->reply.status = to->status;
	to->reply.text = to->text;
	return &to->reply;
}

/* The reply just read, in a place where it stays.  */
static const struct reply *keep(struct hop *h) { return copy(&h->kept, &h->reply); }

static bool good(const struct reply *r) { return r->code / 100 == 2; }

static bool keyword(const char *line, const char *word)
{
	size_t n = strlen(word);
	return strncasecmp(line, word, n) == 0 && (line[n] == '\0' || line[n] == ' ' || line[n] == '\n');
}

static void learn(struct hop *h, const char *text)
{
	const struct { const char *word; bool *flag; } rows[] = {
		{ "CHUNKING", &h->chunking }, { "PIPELINING", &h->pipelining }, { "SMTPUTF8", &h->smtputf8 }, { "8BITMIME", &h->eightbit },
		{ "SIZE", &h->size }, { "X-ALL-OR-NOTHING", &h->all_or_nothing }, { "XFORWARD", &h->xforward },
		{ "AUTH", &h->auth }, { "DSN", &h->dsn }, { "X-RELAY", &h->relay }, { "STARTTLS", &h->starttls },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		*rows[i].flag = false;
		for (const char *line = strchr(text, '\n'); line; line = strchr(line, '\n')) *rows[i].flag |= keyword(++line, rows[i].word);
	}
}

/* The rest of the line "KEYWORD ...".  */
static void learn_words(char *out, size_t size, const char *text, const char *word)
{
	*out = '\0';
	for (const char *line = strchr(text, '\n'); line; line = strchr(line, '\n'))
		if (keyword(++line, word)) snprintf(out, size, "%.*s", (int)strcspn(line, "\n"), line);
}

/* "LIMITS NAME=n NAME=n" (RFC 9422 3); 0 if that is not among them.  */
static unsigned learn_limit(const char *text, const char *name)
{
	char words[256];
	unsigned long long n = 0;
	learn_words(words, sizeof words, text, "LIMITS");
	for (const char *s = words; *(s += strcspn(s, " ")) && *++s;)
		if (strncasecmp(s, name, strlen(name)) == 0 && s[strlen(name)] == '=') n = strtoull(s + strlen(name) + 1, NULL, 10);
	return n < UINT_MAX ? (unsigned)n : 0;
}

/* LHLO, or EHLO, or HELO where that is refused (RFC 5321 4.1.1.1).  */
static bool hello(struct hop *h, const char *name)
{
	static const char *const verbs[] = { "LHLO ", "EHLO ", "HELO " };
	int v = h->smtp;
	for (;; v++) {
		io_puts(&h->io, verbs[v]);
		io_puts(&h->io, name);
		io_puts(&h->io, "\r\n");
		const struct reply *r = answer(h, &h->reply);
		if (h->failure && v == 2) copy(&h->reply, &h->kept);      /* one that has closed after its refusal: that is its reason */
		if (!h->open || (h->smtp && r->code / 100 != 2 && r->code / 100 != 5)) return h->open = false;
		if (good(r)) break;
		if (!h->smtp || v == 2) return h->open = false;
		keep(h);
	}
	h->why = NULL;
	const char *offers = v < 2 ? h->reply.text : "";        /* HELO has no extensions, whatever its answer looks like */
	learn(h, offers);
	h->rcpt_max = learn_limit(offers, "RCPTMAX");
	h->mail_max = learn_limit(offers, "MAILMAX");
	learn_words(h->mechanisms, sizeof h->mechanisms, offers, "AUTH");
	snprintf(h->name, sizeof h->name, "%.*s", (int)strcspn(h->reply.text, " \n"), h->reply.text);
	return h->open;
}

/* The answers to connection and LHLO of a next hop of ours, to which more has gone out by now.  */
static void hear_hello(struct hop *h)
{
	h->unheard = false;
	h->why = "it refuses us";
	h->open = good(answer(h, &h->reply)) && good(answer(h, &h->reply));
	if (!h->open) return;
	learn(h, h->reply.text);
	h->open = h->chunking && h->pipelining && h->smtputf8 && h->eightbit && h->size && h->all_or_nothing && h->auth && h->dsn && h->relay;
	h->why = h->open ? NULL : "it is not of this version";
}

bool hop_open(struct hop *h, int fd, enum hop_kind kind, unsigned timeout, uint32_t end, const char *name)
{
	bool ours = kind == HOP_OURS;
	h->smtp = kind == HOP_SMTP;
	h->io = (struct io){ .in = fd, .out = fd, .ibuf = h->in, .isize = sizeof h->in, .obuf = h->out, .osize = sizeof h->out, .strict = false,
		.write_ms = timeout, .end = end };
	h->timeout = timeout;
	h->failure = NULL;
	h->began = h->mail_due = h->in_data = false;
	h->accepted = h->chunks_due = 0;
	h->open = true;
	h->unheard = ours;
	h->chunking = h->pipelining = h->smtputf8 = h->eightbit = h->size = h->all_or_nothing = h->auth = h->dsn = h->relay = ours;
	h->xforward = false;
	h->rcpt_max = h->mail_max = 0;
	h->greeted = h->late = false;
	h->parting = NULL;
	h->why = ours ? NULL : "it refuses us";
	if (!ours && !(good(answer(h, &h->reply)) && in_step(h))) return h->open = false;
	h->greeted = true;
	if (!ours) return hello(h, name);
	io_puts(&h->io, "LHLO ");
	io_puts(&h->io, name);
	io_puts(&h->io, "\r\n");
	return true;
}

bool hop_again(struct hop *h, int fd, const char *name)
{
	h->io.in = h->io.out = fd;
	h->io.head = h->io.tail = h->io.olen = 0;
	h->io.dead = h->io.failed = false;
	h->why = "it refuses us";
	return hello(h, name);
}

void hop_forward(struct hop *h, const char *peer, const char *id)
{
	char line[160];
	bool known = strcmp(peer, "local") != 0;
	if (!h->xforward || !h->open) return;
	snprintf(line, sizeof line, "XFORWARD IDENT=%.64s%s%.64s", id, known ? " ADDR=" : "", known ? peer : "");
	hop_command(h, line);
}

void hop_mail(struct hop *h, const struct hop_mail *mail)
{
	char size[40] = "", auth[3 * 256];
	in_step(h);
	if (h->size && mail->size) snprintf(size, sizeof size, " SIZE=%llu", mail->size);
	io_puts(&h->io, "MAIL FROM:<");
	io_puts(&h->io, mail->from);
	io_puts(&h->io, ">");
	io_puts(&h->io, size);
	if (h->eightbit && mail->eightbit) io_puts(&h->io, " BODY=8BITMIME");
	if (h->smtputf8 && mail->smtputf8) io_puts(&h->io, " SMTPUTF8");
	if (h->auth && *mail->auth && xtext_encode(auth, sizeof auth, mail->auth)) {
		io_puts(&h->io, " AUTH=");
		io_puts(&h->io, auth);
	}
	if (h->relay && mail->relay) io_puts(&h->io, " X-RELAY");
	if (h->dsn && mail->dsn && mail->dsn->ret) io_puts(&h->io, mail->dsn->ret == 'F' ? " RET=FULL" : " RET=HDRS");
	if (h->dsn && mail->dsn && *mail->dsn->envid) {
		io_puts(&h->io, " ENVID=");
		io_puts(&h->io, mail->dsn->envid);
	}
	io_puts(&h->io, "\r\n");
	h->began = h->mail_due = true;
	h->mail_utf8 = h->smtputf8 && mail->smtputf8;
	h->mail_reply.reply.code = 250;
	h->failure = h->open ? NULL : REPLY(LOCAL_ERROR);
	h->accepted = 0;
	h->ended = false;
	h->chunk_len = 0;
	if (!h->pipelining) answer(h, &h->mail_reply);  /* OpenSMTPD, for one, leaves whoever says more */
}

/* Known before RCPT, which then is not said, and has no answer.  */
static bool sender_refused(const struct hop *h) { return !h->pipelining && !good(&h->mail_reply.reply); }

void hop_rcpt(struct hop *h, const char *rcpt, const struct dsn_rcpt *dsn)
{
	char notify[DSN_NOTIFY] = "", ascii[DSN_ORCPT + 1];
	if (sender_refused(h)) return;
	const char *orcpt = !h->dsn || !dsn ? "" : h->mail_utf8 ? dsn->orcpt : dsn_orcpt_ascii(ascii, dsn->orcpt) ? ascii : "";
	if (h->dsn && dsn) dsn_notify_text(notify, dsn->notify);
	io_puts(&h->io, "RCPT TO:<");
	io_puts(&h->io, rcpt);
	io_puts(&h->io, ">");
	io_puts(&h->io, notify);
	if (*orcpt) {
		io_puts(&h->io, " ORCPT=");
		io_puts(&h->io, orcpt);
	}
	io_puts(&h->io, "\r\n");
}

const struct reply *hop_settle(struct hop *h)
{
	if (h->mail_due && h->pipelining) answer(h, &h->mail_reply);
	h->mail_due = false;
	const struct reply *r = sender_refused(h) ? &h->mail_reply.reply : answer(h, &h->reply);
	if (h->mail_reply.reply.code >= 400) return &h->mail_reply.reply;       /* the sender was refused; RCPT then was out of order, and who closes need not answer it */
	if (h->failure) return h->failure;
	if (good(r)) h->accepted++;
	return r;
}

const struct reply *hop_begin(struct hop *h)
{
	if (h->failure || !h->open || !in_step(h)) return broken(h);
	h->chunk_len = 0;
	h->line_start = true;
	if (h->chunking) return NULL;
	io_puts(&h->io, "DATA\r\n");
	const struct reply *r = answer_or(h, &h->reply, 354);
	h->in_data = r->code == 354;
	if (h->in_data) return in_step(h) ? NULL : h->failure;
	if (!good(r)) return r;
	h->why = "it talks nonsense";
	return broken(h);
}

/* Read answers to chunks until `most` are due.  The first refusal is kept: the next hop has dropped the transaction.  */
static void chunk_answers(struct hop *h, unsigned most)
{
	for (; h->chunks_due > most; h->chunks_due--) {
		const struct reply *r = answer(h, &h->reply);
		if (!good(r) && !h->failure) h->failure = keep(h);
	}
}

/* Send what is in the chunk buffer, its BDAT line right in front of it.  */
static void send_chunk(struct hop *h, bool last)
{
	char head[HOP_CHUNK_HEAD];
	int n = snprintf(head, sizeof head, "BDAT %zu%s\r\n", h->chunk_len, last ? " LAST" : "");
	char *start = h->chunk + HOP_CHUNK_HEAD - n;
	memcpy(start, head, (size_t)n);
	io_write(&h->io, start, (size_t)n + h->chunk_len);
	h->chunk_len = 0;
	if (last) return;
	h->chunks_due++;
	chunk_answers(h, h->pipelining ? CHUNKS_DUE_MAX : 0);
}

/* To a next hop without CHUNKING: dot-stuffed (RFC 5321 4.5.2).  */
static void write_dots(struct hop *h, const char *p, size_t n)
{
	while (n > 0) {
		if (h->line_start && *p == '.') io_put(&h->io, ".", 1);
		const char *lf = memchr(p, '\n', n);
		size_t piece = lf ? (size_t)(lf - p) + 1 : n;
		io_put(&h->io, p, piece);
		h->line_start = lf != NULL;
		p += piece;
		n -= piece;
	}
}

/* It takes no more of the message.  If it has said why before it closed, that counts.  */
static void message_refused(struct hop *h)
{
	const struct reply *r;
	h->late = h->io.stuck;
	h->why = "it does not take the message";
	if (!h->smtp) {         /* it is not known that it has closed: it might wait for the rest, and we for it */
		broken(h);
		return;
	}
	h->io.dead = false;
	h->io.olen = 0;
	do r = h->late ? broken(h) : answer(h, &h->reply);
	while (good(r));
	h->open = false;
	h->why = "it does not take the message";
	if (r->code / 100 > 3 && r != h->failure) h->failure = keep(h);
	else broken(h);
}

void hop_write(struct hop *h, const char *p, size_t n)
{
	if (h->failure) return;
	if (h->io.dead) {
		message_refused(h);
		return;
	}
	if (!h->chunking) {
		write_dots(h, p, n);
		return;
	}
	while (n > 0 && !h->failure) {
		size_t room = HOP_CHUNK - h->chunk_len, piece = n < room ? n : room;
		memcpy(h->chunk + HOP_CHUNK_HEAD + h->chunk_len, p, piece);
		h->chunk_len += piece;
		p += piece;
		n -= piece;
		if (h->chunk_len == HOP_CHUNK) send_chunk(h, false);
	}
}

const struct reply *hop_commit(struct hop *h)
{
	if (h->failure) return h->failure;
	if (h->accepted == 0) return broken(h); /* whatever led here: nobody would get it */
	if (h->chunking) {
		chunk_answers(h, 0);            /* after a refused chunk the last one has a single answer, and is for nothing */
		if (h->failure) return h->failure;
	}
	if (!in_step(h)) return h->failure;
	h->ended = true;
	if (h->chunking) send_chunk(h, true);
	else io_puts(&h->io, h->line_start ? ".\r\n" : "\r\n.\r\n");
	unsigned taken = 0, answers = h->smtp ? 1 : h->accepted;
	const struct reply *bad = NULL;
	for (unsigned i = 0; i < answers && h->open; i++) {
		const struct reply *r = answer(h, &h->reply);
		if (good(r)) taken++;
		else if (!bad) bad = h->failure ? h->failure : keep(h);
	}
	if (h->failure) return h->failure;
	h->began = h->in_data = false;
	if (taken == answers) return REPLY(FLUSHED);
	/* Unlike answers from one that promised to answer alike: the sender shall try again, for a copy too many is better than none.  */
	return taken > 0 || !bad ? REPLY(LOCAL_ERROR) : bad;
}

void hop_abandon(struct hop *h)
{
	if (!h->began) return;
	h->began = false;
	if (h->in_data) h->open = false;        /* nothing but the end of the connection ends DATA without a message */
	h->in_data = false;
	if (!h->open) return;
	h->failure = NULL;
	chunk_answers(h, 0);
	if (h->open && !good(hop_command(h, "RSET"))) broken(h);
}

const struct reply *hop_ask(struct hop *h, const char *line, int due)
{
	if (!h->open || !in_step(h)) return broken(h);
	io_puts(&h->io, line);
	io_puts(&h->io, "\r\n");
	return answer_or(h, &h->reply, due);
}

const struct reply *hop_command(struct hop *h, const char *line) { return hop_ask(h, line, 0); }
