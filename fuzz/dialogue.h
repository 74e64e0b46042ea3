/* A reference model of a server's dialogue, SMTP or LMTP.  After a session it goes through all that the client said, command by command,
 * with the replies beside: each command has its reply (so their numbers agree and none is out of turn), the state alone decides what is out
 * of order, nothing is left of a transaction that is over (P6), and a message that was answered 2xx had its 354, its end of data
 * and no bare CR, LF or NUL (P4).  What it cannot know, whether a recipient is wanted, it takes from the reply.
 * SPDX-License-Identifier: MIT */
#ifndef DIALOGUE_H
#define DIALOGUE_H

#include <strings.h>

#include "address.h"
#include "fuzz.h"
#include "model.h"
#include "session.h"

enum { RCPTS = 100, REFUSED = 100 };

/* A message as the client gave it.  */
struct mailing {
	char sender[256], rcpt[RCPTS][256], helo[256];
	unsigned rcpts, number; /* number: of the message in the session */
	bool sure;              /* nothing in it can be a loop: there is no reason of its own to refuse it */
	struct message text;
};

/* One reply of the server.  */
struct said { int code; const char *text; size_t n; };

static struct dialogue {
	/* the harness's */
	bool lmtp, strict, normalize, vrfy;
	size_t size_max, max_errors;
	bool reliable;          /* the backend had no trouble of its own: a chunk is refused for its octets only */
	void (*stored)(const struct mailing *m, const struct said *r);          /* the reply was 2xx */
	void (*refused)(const struct mailing *m, const struct said *r);
	void (*rcpt)(const struct mailing *m, const char *rcpt, const struct said *r);          /* the backend's answer to RCPT */
	/* the model's */
	size_t at, out;         /* where we are in what the client and the server said */
	bool closed, mail, smtputf8, chunks, begun;
	size_t errors, refusals;
	struct mailing m;
	char chunk[FUZZ_TEXT];
	size_t chunk_n;
} dialogue;

/* --- replies --- */

static inline bool known_code(int code)
{
	for (size_t i = 0; i < REPLY_COUNT; i++)
		if (reply_table[i].code == code) return true;
	return code == 220 || code == 214;
}

/* One line of a reply at s; returns its length with CRLF.  */
static inline size_t reply_line(const char *s, size_t n)
{
	size_t len = model_find(s, 0, n, "\r\n");
	EXPECT(len < n && len >= 4 && len + 2 <= 512);
	for (size_t i = 0; i < len; i++) EXPECT(s[i] >= ' ' && s[i] < 0x7f);
	EXPECT(s[0] >= '2' && s[0] <= '5' && s[1] >= '0' && s[1] <= '5' && s[2] >= '0' && s[2] <= '9' && (s[3] == ' ' || s[3] == '-'));
	return len + 2;
}

/* The next reply; 421 is the last one.  */
static inline struct said hear(struct dialogue *d)
{
	const char *s = fuzz.out + d->out;
	size_t n = 0;
	EXPECT(d->out < fuzz.said);
	do {
		size_t start = n;
		n += reply_line(s + n, fuzz.said - d->out - n);
		EXPECT(memcmp(s, s + start, 3) == 0);
		if (s[start + 3] == ' ') break;
	} while (true);
	struct said r = { (s[0] - '0') * 100 + (s[1] - '0') * 10 + s[2] - '0', s, n };
	d->out += n;
	if (d->lmtp) EXPECT(known_code(r.code));
	EXPECT(r.code / 100 != 3 || r.code == 354);
	if (r.code == 421) d->closed = true;
	if (r.code == 421) EXPECT(d->out == fuzz.said);
	return r;
}

/* RFC 2034: each reply but greeting, hello and 354 has an enhanced code, of the same class.  */
static inline struct said hear_enhanced(struct dialogue *d)
{
	struct said r = hear(d);
	if (r.code != 354) EXPECT(r.text[4] == r.text[0] && r.text[5] == '.' && r.text[6] >= '0' && r.text[6] <= '9');
	return r;
}

/* The reply to a command that is `code`, or any if that is 0; errors are counted.  False when the session is over.  */
static inline bool answered(struct dialogue *d, int code)
{
	struct said r = hear_enhanced(d);
	if (d->closed) EXPECT(code == 421 || fuzz.late || fuzz.stop);
	if (d->closed) return false;
	EXPECT(r.code != 354);
	if (code) EXPECT(r.code == code);
	if (((r.code >= 500 && r.code <= 504) || r.code == 555) && ++d->errors >= d->max_errors) {
		EXPECT(hear(d).code == 421);
		return false;
	}
	return r.code / 100 == 2;
}

/* --- the transaction --- */

static inline void forget(struct dialogue *d)
{
	d->mail = d->smtputf8 = d->chunks = d->begun = false;
	d->m.rcpts = 0;
	d->m.sender[0] = '\0';
	d->chunk_n = 0;
}

static inline bool has_word(const char *s, size_t n, const char *word)
{
	for (size_t i = 0; i + strlen(word) <= n; i++)
		if (strncasecmp(s + i, word, strlen(word)) == 0) return true;
	return false;
}

static inline enum newline newline_mode(const struct dialogue *d)
{
	return !d->strict ? NL_LENIENT : d->normalize ? NL_NORMALIZE : NL_STRICT;
}

static inline bool sure(const struct dialogue *d, const struct message *t, const char *s, size_t n)
{
	return !t->bad && t->size <= d->size_max && !has_word(s, n, "Received:") && !has_word(s, n, "Delivered-To:");
}

/* Chunks and DATA: all octets are there; the answer, or answers, and what must be true then.  */
static inline void conclude(struct dialogue *d, bool dots, const char *s, size_t n)
{
	static char out[FUZZ_TEXT * 2];
	struct message *t = &d->m.text;
	*t = model_message(newline_mode(d), dots, d->lmtp, s, n, out);
	d->m.sure = sure(d, t, s, n);
	struct said r = { 0, "", 0 };
	for (unsigned i = 0; i < (d->lmtp ? d->m.rcpts : 1); i++) {
		struct said one = hear_enhanced(d);
		if (d->closed) EXPECT(fuzz.late || fuzz.stop);
		if (d->closed) return;
		EXPECT(one.code != 354);
		if (i > 0) EXPECT(one.code == r.code);  /* alike for all (P2) */
		r = one;
	}
	if (t->bad) EXPECT(dots || d->reliable ? r.code == 554 : r.code / 100 >= 4);
	if (r.code / 100 == 2) EXPECT(!t->bad && t->size <= d->size_max && d->m.rcpts > 0);
	(r.code / 100 == 2 ? d->stored : d->refused)(&d->m, &r);
	forget(d);
}

static inline void model_data(struct dialogue *d, char *arg)
{
	if (*arg) {
		answered(d, 501);
		return;
	}
	if (d->m.rcpts == 0 || d->chunks) {
		answered(d, 503);
		return;
	}
	struct said r = hear_enhanced(d);
	if (d->closed) return;
	d->m.number++;
	if (r.code != 354) {
		EXPECT(r.code / 100 >= 4);
		forget(d);
		return;
	}
	static char out[FUZZ_TEXT * 2];
	const char *s = fuzz.text + d->at;
	struct message t = model_message(newline_mode(d), true, d->lmtp, s, fuzz.n - d->at, out);
	d->at += t.taken;
	if (t.end) conclude(d, true, s, t.taken);
}

static inline bool model_chunk(char *arg, unsigned long long *n, bool *last)
{
	size_t digits = strspn(arg, "0123456789");
	const char *rest = arg + digits;
	rest += strspn(rest, " ");
	*last = strcasecmp(rest, "LAST") == 0 && arg[digits] == ' ';
	errno = 0;
	*n = strtoull(arg, NULL, 10);
	return digits > 0 && digits <= 20 && (*last || !arg[digits] || !*rest);
}

/* One chunk of a transaction is there.  */
static inline void take_chunk(struct dialogue *d, const char *s, size_t n, bool last)
{
	static char out[FUZZ_TEXT * 2];
	if (!d->begun) d->m.number++;
	d->begun = d->chunks = true;
	EXPECT(n <= sizeof d->chunk - d->chunk_n);
	memcpy(d->chunk + d->chunk_n, s, n);
	d->chunk_n += n;
	if (last) {
		conclude(d, false, d->chunk, d->chunk_n);
		return;
	}
	size_t settled = d->chunk_n - (d->chunk_n > 0 && d->chunk[d->chunk_n - 1] == '\r' ? 1 : 0);
	struct message t = model_message(newline_mode(d), false, d->lmtp, d->chunk, settled, out);
	struct said r = hear_enhanced(d);
	if (d->closed) return;
	if (t.bad) EXPECT(d->reliable ? r.code == 554 : r.code / 100 >= 4);
	if (t.size > d->size_max) EXPECT(r.code / 100 >= 4);
	if (r.code == 250) return;
	EXPECT(r.code / 100 >= 4);
	d->m.sure = sure(d, &t, d->chunk, d->chunk_n);
	d->refused(&d->m, &r);
	forget(d);
}

static inline void model_bdat(struct dialogue *d, char *arg)
{
	unsigned long long n;
	bool last, good = model_chunk(arg, &n, &last);
	if (!good) {
		answered(d, 501);
		forget(d);
		return;
	}
	if (n == ~0ULL) {
		struct said r = hear_enhanced(d);
		EXPECT(r.code == 552 || (d->closed && (fuzz.late || fuzz.stop)));       /* the line may not have come in time */
		EXPECT(d->out == fuzz.said);
		d->closed = true;
		return;
	}
	const char *s = fuzz.text + d->at;
	bool whole = n <= fuzz.n - d->at;
	d->at += whole ? (size_t)n : fuzz.n - d->at;
	if (!whole) return;
	if (d->m.rcpts == 0) {
		answered(d, 503);
		forget(d);
		return;
	}
	take_chunk(d, s, (size_t)n, last);
}

/* --- the envelope: that the parser is right is the business of another harness --- */

static inline char *after(char *arg, const char *word, struct path *p)
{
	if (strncasecmp(arg, word, strlen(word)) != 0) return NULL;
	arg += strlen(word);
	while (*arg == ' ') arg++;
	return path_parse(p, &arg) && (*arg == ' ' || !*arg) ? arg : NULL;
}

static inline void model_mail(struct dialogue *d, char *arg)
{
	struct path p;
	if (!*arg || !*d->m.helo || d->mail) {
		answered(d, *arg ? 503 : 501);
		return;
	}
	char *rest = after(arg, "FROM:", &p);
	if (!rest || (*p.text && !*p.domain && !*rest)) {
		answered(d, 501);
		return;
	}
	if (!answered(d, *rest ? 0 : p.utf8 ? 553 : 250)) return;
	d->smtputf8 = has_word(rest, strlen(rest), " SMTPUTF8");
	EXPECT(d->smtputf8 || !p.utf8);
	EXPECT(*p.domain || !*p.text);
	d->mail = true;
	strcpy(d->m.sender, p.text);
}

/* The parameters of RCPT: 0, or the code that refuses them.  Only LMTP has any here: those of DSN.  */
static inline int model_rcpt_params(const struct dialogue *d, char *rest)
{
	struct dsn_rcpt dsn = { 0 };
	char *keyword, *value;
	bool notify = false, orcpt = false;
	int more;
	while ((more = param_next(&rest, &keyword, &value)) > 0) {
		bool *seen = strcasecmp(keyword, "NOTIFY") == 0 ? &notify : strcasecmp(keyword, "ORCPT") == 0 ? &orcpt : NULL;
		if (!d->lmtp || !seen) return 555;
		if (*seen || !value || !(seen == &notify ? dsn_notify(&dsn, value) : dsn_orcpt(&dsn, value, d->smtputf8))) return 501;
		*seen = true;
	}
	return more < 0 ? 501 : 0;
}

static inline void model_rcpt(struct dialogue *d, char *arg)
{
	struct path p;
	if (!*arg || !d->mail || d->chunks) {
		answered(d, *arg ? 503 : 501);
		return;
	}
	char *rest = after(arg, "TO:", &p);
	int refused = rest && *p.text ? model_rcpt_params(d, rest) : 501;
	if (refused || (p.utf8 && !d->smtputf8)) {
		answered(d, refused ? refused : 553);
		return;
	}
	struct said r = hear_enhanced(d);
	if (d->closed) EXPECT(fuzz.late || fuzz.stop);
	if (d->closed) return;
	EXPECT(r.code != 354);
	if (d->rcpt) d->rcpt(&d->m, p.text, &r);
	if (r.code / 100 == 2) {
		EXPECT(d->m.rcpts < RCPTS);
		strcpy(d->m.rcpt[d->m.rcpts++], p.text);
	} else if (r.code / 100 == 5 && ++d->refusals == REFUSED) {
		EXPECT(hear(d).code == 421);
	}
}

/* --- the other verbs --- */

static inline void model_hello(struct dialogue *d, char *arg)
{
	size_t n = strlen(arg);
	bool good = n > 0 && n <= 255;
	for (char *c = arg; *c; c++)
		good &= (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr(".-_:[]", *c);
	if (!good) {
		answered(d, 501);
		return;
	}
	struct said r = hear(d);
	if (d->closed) return;
	EXPECT(r.code == 250);
	forget(d);
	strcpy(d->m.helo, arg);
}

static inline void model_none(struct dialogue *d, char *arg, int code)
{
	if (*arg) {
		answered(d, 501);
		return;
	}
	answered(d, code);
	if (code == 250 && !d->closed) forget(d);
	if (code == 221) EXPECT(d->out == fuzz.said);
	if (code == 221) d->closed = true;
}

static inline void model_verify(struct dialogue *d, char *arg, bool list)
{
	if (!*arg || !utf8_valid(arg)) answered(d, 501);
	else if (!d->vrfy) answered(d, list ? 502 : 252);
	else answered(d, 0);
}

static inline bool in_list(const char *verb, const char *list)
{
	char word[16];
	snprintf(word, sizeof word, " %.12s ", verb);
	return strlen(verb) <= 12 && *verb && strcasestr(list, word);
}

static inline void model_command(struct dialogue *d, const char *s, size_t len)
{
	static char line[COMMAND_MAX + 1], none[] = "";
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t')) len--;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] >= ' ' && s[i] != 0x7f) continue;
		answered(d, 500);
		return;
	}
	memcpy(line, s, len);
	line[len] = '\0';
	char *arg = strchr(line, ' ');
	if (arg) *arg++ = '\0';
	else arg = none;
	while (*arg == ' ') arg++;
	if (in_list(line, d->lmtp ? " LHLO " : " EHLO HELO ")) model_hello(d, arg);
	else if (in_list(line, " MAIL ")) model_mail(d, arg);
	else if (in_list(line, " RCPT ")) model_rcpt(d, arg);
	else if (in_list(line, " DATA ")) model_data(d, arg);
	else if (in_list(line, " BDAT ")) model_bdat(d, arg);
	else if (in_list(line, " RSET ")) model_none(d, arg, 250);
	else if (in_list(line, " QUIT ")) model_none(d, arg, 221);
	else if (in_list(line, " NOOP ")) answered(d, 250);
	else if (in_list(line, " HELP ")) answered(d, 0);
	else if (in_list(line, " VRFY ")) model_verify(d, arg, false);
	else if (in_list(line, " EXPN ")) model_verify(d, arg, true);
	else if (d->lmtp && in_list(line, " XFORWARD ")) answered(d, 0);
	else if (in_list(line, " GET POST CONNECT HEAD PUT OPTIONS DELETE PATCH TRACE ") || (!d->lmtp && in_list(line, " PROXY "))) answered(d, 421);
	else if (!d->lmtp && in_list(line, " STARTTLS AUTH ETRN ATRN TURN SEND SOML SAML BURL XCLIENT ")) answered(d, 502);
	else answered(d, 500);
}

/* A session has ended: go through it.  */
static inline void dialogue_check(struct dialogue *d)
{
	if (fuzz.full) return;
	d->at = d->out = d->errors = d->refusals = d->m.number = 0;
	d->closed = false;
	d->m.helo[0] = '\0';
	forget(d);
	EXPECT(hear(d).code == 220);
	while (!d->closed) {
		size_t from = 0, len = 0;
		enum io_result got = model_line(fuzz.text, fuzz.n, COMMAND_MAX, d->strict, &d->at, &from, &len);
		if (got == IO_END) break;
		if (got == IO_OK) model_command(d, fuzz.text + from, len);
		else answered(d, 500);
		if (!d->closed && (fuzz.late || fuzz.stop) && d->out == fuzz.said) break;
	}
	if (!d->closed && (fuzz.late || fuzz.stop) && d->out < fuzz.said) EXPECT(hear(d).code == 421);
	EXPECT(d->out == fuzz.said);
}

#endif
