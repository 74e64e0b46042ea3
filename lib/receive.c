/* DATA and BDAT: the message passes through the dot machine to the backend.  The first fault is kept, the rest is read to the true end
 * of data and thrown away, and then there is one answer, the gravest.
 * SPDX-License-Identifier: MIT */
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "session.h"

static void watch_header(void *ctx, const char *line)
{
	struct session *s = ctx;
	if (strncasecmp(line, "Received:", 9) == 0) s->tx.hops++;
	if (s->backend->header) s->backend->header(s, line);
}

/* The sink of the dot machine.  */
static void take(void *ctx, const char *p, size_t n)
{
	struct session *s = ctx;
	if (s->tx.data.size > s->size_max) s->tx.too_big = true;
	if (s->tx.too_big) return;
	if (!s->tx.header.over) header_feed(&s->tx.header, p, n);
	s->backend->write(s, p, n);
}

/* The message begins, with DATA or the first BDAT.  */
static const struct reply *begin(struct session *s, bool dots)
{
	enum newline socket_newline = s->cf->bare_newline ? NL_NORMALIZE : NL_STRICT;
	s->tx.data = (struct data){ .newline = s->io.strict ? socket_newline : NL_LENIENT, .dots = dots, .lf = s->backend->lmtp, .sink = take, .ctx = s };
	s->tx.header = (struct header){ .line = watch_header, .ctx = s };
	s->tx.begun = true;
	s->messages++;
	return s->backend->begin(s);
}

/* What is wrong with the message so far, the gravest first; NULL for nothing.  */
static const struct reply *fault(const struct session *s)
{
	if (s->tx.data.bad) return REPLY(BAD_NEWLINE);
	if (s->tx.hops + (s->backend->lmtp ? 0 : 1) > TRACE_HOPS) return REPLY(LOOP);   /* in LMTP, ours is among them by now */
	return s->tx.too_big ? REPLY(TOO_BIG) : NULL;
}

/* One reply; or in LMTP, behind the data, one for each recipient (RFC 2033 4.2).  Then nothing is left of the transaction.  */
static void conclude(struct session *s, const struct reply *r, bool each)
{
	unsigned n = each && s->backend->lmtp ? s->tx.accepted : 1;
	for (unsigned i = 0; i < n; i++) say(s, r);
	session_tell(s, r->code / 100 == 2 ? EVENT_STORED : EVENT_NOT_STORED, s->tx.first_rcpt, r);
	reset_transaction(s);
}

/* The end of data.  */
static void finish(struct session *s)
{
	data_finish(&s->tx.data);
	const struct reply *wrong = fault(s);
	conclude(s, wrong ? wrong : s->backend->commit(s), true);
}

/* Wait for more of a message.  False when the session is over; nothing then remains of the message.  */
static bool more(struct session *s)
{
	enum io_result got = io_fill(&s->io, clock_deadline((unsigned)s->cf->data_timeout), false);
	if (got == IO_OK) return true;
	session_lost(s, got);
	if (s->tx.begun) session_tell(s, EVENT_NOT_STORED, s->tx.first_rcpt, &(struct reply){ 421, "4.4.2", s->ended });
	return false;
}

const struct reply *verb_data(struct session *s, char *arg)
{
	(void)arg;
	const struct reply *wrong = begin(s, true);
	if (wrong) {
		conclude(s, wrong, false);
		return NULL;
	}
	say(s, REPLY(GO_AHEAD));
	for (bool end = false; !end;) {
		if (s->io.head == s->io.tail && !more(s)) return NULL;
		s->io.head += data_feed(&s->tx.data, s->io.ibuf + s->io.head, s->io.tail - s->io.head, &end);
	}
	finish(s);
	return NULL;
}

/* Read away `n` octets of a chunk, into the message if `keep`.  False when the session is over.  */
static bool read_chunk(struct session *s, unsigned long long n, bool keep)
{
	bool end;
	while (n > 0) {
		if (s->io.head == s->io.tail && !more(s)) return false;
		size_t have = s->io.tail - s->io.head;
		if (have > n) have = (size_t)n;
		if (keep) data_feed(&s->tx.data, s->io.ibuf + s->io.head, have, &end);
		s->io.head += have;
		n -= have;
	}
	return true;
}

/* "octets [LAST]".  A number too large to be read away is left as the largest.  */
static bool chunk_parse(char *arg, unsigned long long *n, bool *last)
{
	char *word = arg + strcspn(arg, " ");
	if (*word) *word++ = '\0';
	word += strspn(word, " ");
	*last = strcasecmp(word, "LAST") == 0;
	return number_parse(arg, n) && (*last || !*word);
}

/* A chunk that is not taken ends the transaction: what is taken later must not make a message with a hole in it.  */
static const struct reply *refuse_chunk(struct session *s, const struct reply *r)
{
	reset_transaction(s);
	return r;
}

const struct reply *verb_bdat(struct session *s, char *arg)
{
	unsigned long long n;
	bool last;
	if (!chunk_parse(arg, &n, &last)) return refuse_chunk(s, REPLY(BAD_CHUNK));
	if (n == ~0ULL) {
		session_close(s, REPLY(TOO_BIG), "a chunk without end");
		return NULL;
	}
	enum state state = session_state(s);
	if (!(state & (ST_RCPT | ST_CHUNKS))) return read_chunk(s, n, false) ? refuse_chunk(s, wrong_order(state, false)) : NULL;
	const struct reply *wrong = s->tx.begun ? NULL : begin(s, false);
	s->tx.chunks = true;
	if (n > s->size_max || s->tx.data.size > s->size_max - n) s->tx.too_big = true; /* known before its first octet */
	if (!read_chunk(s, n, !wrong)) return NULL;
	if (!wrong) wrong = fault(s);
	if (last && !wrong) finish(s);
	else if (wrong) conclude(s, wrong, last);
	else return REPLY(CHUNK_OK);
	return NULL;
}
