/* The dialogue: the table of verbs, the loop that reads a command and answers it, and the verbs that need no transaction.
 * SPDX-License-Identifier: MIT */
#include "session.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "proxy.h"

enum state session_state(const struct session *s)
{
	if (!*s->helo) return ST_START;
	if (!s->tx.open) return ST_GREETED;
	if (s->tx.chunks) return ST_CHUNKS;
	return s->tx.accepted ? ST_RCPT : ST_MAIL;
}

const struct reply *wrong_order(enum state state, bool is_mail)
{
	if (state == ST_START) return REPLY(WANTS_HELLO);
	if (state == ST_CHUNKS) return REPLY(IN_CHUNKS);
	if (is_mail) return REPLY(SECOND_MAIL);
	return state == ST_GREETED ? REPLY(WANTS_MAIL) : REPLY(WANTS_RCPT);
}

void reset_transaction(struct session *s)
{
	if (s->tx.open) s->backend->abandon(s);
	memset(&s->tx, 0, sizeof s->tx);
}

void session_tell(struct session *s, enum event_kind kind, const char *rcpt, const struct reply *r)
{
	struct event e = { .kind = kind, .message = kind == EVENT_ENDED || s->tx.begun ? s->messages : 0, .nrcpt = s->tx.accepted, .errors = s->errors, .size = s->tx.data.size };
	snprintf(e.from, sizeof e.from, "%s", s->tx.from.text);
	snprintf(e.rcpt, sizeof e.rcpt, "%.255s", rcpt);
	snprintf(e.helo, sizeof e.helo, "%s", s->helo);
	if (kind == EVENT_ENDED) {
		e.nrcpt = s->recipients;
		e.size = s->io.taken;
		snprintf(e.reply, sizeof e.reply, "%s", s->ended);
	} else {
		snprintf(e.reply, sizeof e.reply, "%d %s %.*s", r->code, r->status, (int)strcspn(r->text, "\n"), r->text);
	}
	s->backend->tell(s, &e);
}

/* Pass the backend's answer on, and take note of it.  */
void answer_rcpt(struct session *s, const char *rcpt, const struct reply *r)
{
	enum { MOST_REFUSED = 100 };
	reply_put(&s->io, r);
	if (r->code / 100 == 2) {
		if (s->tx.accepted++ == 0) strcpy(s->tx.first_rcpt, rcpt);
		s->recipients++;
		return;
	}
	session_tell(s, EVENT_RCPT_REFUSED, rcpt, r);
	if (r->code / 100 == 5 && ++s->refused == MOST_REFUSED) session_close(s, REPLY(TOO_MANY_REFUSED), "too many refused recipients");
}

bool settle(struct session *s)
{
	while (s->tx.pending > 0 && !s->closing) {
		const char *rcpt = s->offered[s->tx.offered - s->tx.pending--];
		answer_rcpt(s, rcpt, s->backend->settle(s));
	}
	s->tx.offered = 0;
	return !s->closing;
}

static bool settle_before_wait(void *ctx) { return settle(ctx); }

void say(struct session *s, const struct reply *r)
{
	if (settle(s)) reply_put(&s->io, r);
}

void session_close(struct session *s, const struct reply *r, const char *why)
{
	if (s->closing) return;
	reply_put(&s->io, r);
	s->closing = true;
	s->hung_up = r->code != 221;
	s->ended = why;
}

void session_lost(struct session *s, enum io_result why)
{
	if (why == IO_TIMEOUT) session_close(s, REPLY(TIMEOUT), "timeout");
	else if (why == IO_STOP) session_close(s, REPLY(STOPPING), "told to stop");
	else if (!s->closing) s->ended = s->io.stuck ? "client does not read" : "client has gone";
	s->closing = true;
}

void session_gone(struct session *s, const char *why)
{
	s->ended = why;
	s->closing = true;
}

const struct reply *made_reply(struct session *s, int code, const char *status)
{
	s->made = (struct reply){ .code = code, .status = status, .text = s->text };
	return &s->made;
}

/* HELO, EHLO and LHLO.  */
static const struct reply *hello(struct session *s, const char *name, bool extended)
{
	if (!hello_valid(name)) return REPLY(BAD_HELLO);
	reset_transaction(s);
	strcpy(s->helo, name);
	s->extended = extended;
	size_t room = sizeof s->text, n = (size_t)snprintf(s->text, room, "%s", s->cf->hostname);
	if (!extended) return made_reply(s, 250, "");
	n += (size_t)snprintf(s->text + n, room - n, "\nSIZE %llu\nPIPELINING\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nCHUNKING\n", s->size_max);
	if (s->rcpt_max) n += (size_t)snprintf(s->text + n, room - n, "LIMITS RCPTMAX=%u\n", s->rcpt_max);
	if (offers_tls(s)) n += (size_t)snprintf(s->text + n, room - n, "STARTTLS\n");
	if (offers_auth(s)) n += (size_t)snprintf(s->text + n, room - n, "AUTH %.300s\n", s->backend->mechanisms(s));
	if (offers_xclient(s)) n += (size_t)snprintf(s->text + n, room - n, "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT REVERSE_NAME\n");
	if (s->offers_dsn) n += (size_t)snprintf(s->text + n, room - n, "DSN\n");
	snprintf(s->text + n, room - n, s->backend->lmtp ? "XFORWARD ADDR IDENT\nAUTH\nX-RELAY\nX-ALL-OR-NOTHING" : "HELP");
	return made_reply(s, 250, "");
}

static const struct reply *verb_helo(struct session *s, char *arg) { return hello(s, arg, false); }
static const struct reply *verb_ehlo(struct session *s, char *arg) { return hello(s, arg, true); }

static const struct reply *verb_rset(struct session *s, char *arg)
{
	(void)arg;
	settle(s);
	reset_transaction(s);
	return REPLY(FLUSHED);
}

static const struct reply *verb_noop(struct session *s, char *arg)
{
	(void)s, (void)arg;
	return REPLY(FLUSHED);
}

static const struct reply *verb_quit(struct session *s, char *arg)
{
	(void)arg;
	settle(s);
	session_close(s, REPLY(BYE), "quit");
	return NULL;
}

static const struct reply *verb_http(struct session *s, char *arg)
{
	(void)arg;
	settle(s);
	session_tell(s, EVENT_BAD_COMMAND, "HTTP", REPLY(NOT_HTTP));
	session_close(s, REPLY(NOT_HTTP), "an HTTP client");
	return NULL;
}

static bool is_ascii(const char *s)
{
	while (*s && (unsigned char)*s < 0x80) s++;
	return *s == '\0';
}

/* VRFY and EXPN: "what [SMTPUTF8]" (RFC 6531 3.7.4.2).  */
static const struct reply *verify(struct session *s, char *arg, bool list)
{
	static const char word[] = " SMTPUTF8";
	size_t n = strlen(arg), w = sizeof word - 1;
	bool utf8 = n > w && strcasecmp(arg + n - w, word) == 0;
	if (utf8) arg[n - w] = '\0';
	if (!utf8_valid(arg)) return REPLY(BAD_RCPT);
	if (!s->cf->vrfy) return list ? REPLY(NO_EXPN) : REPLY(CANNOT_VRFY);
	if (!utf8 && !is_ascii(arg)) return REPLY(UTF8_ADDRESS);
	settle(s);
	if (s->tx.chunks) return REPLY(CANNOT_VRFY);    /* the line to the next hop belongs to the message */
	s->verify_utf8 = utf8;
	const struct reply *r = s->backend->verify(s, arg, list);
	return utf8 || is_ascii(r->text) ? r : REPLY(UTF8_ANSWER);
}

static const struct reply *verb_vrfy(struct session *s, char *arg) { return verify(s, arg, false); }
static const struct reply *verb_expn(struct session *s, char *arg) { return verify(s, arg, true); }

/* "XFORWARD ATTRIBUTE=value...", as Postfix documents it; what we have no use for is taken and forgotten.  */
static const struct reply *verb_xforward(struct session *s, char *arg)
{
	char *keyword, *value, *peer = NULL, *id = NULL;
	int got;
	while ((got = param_next(&arg, &keyword, &value)) > 0) {
		if (!value) return REPLY(BAD_PARAMETER);
		if (strcasecmp(keyword, "ADDR") == 0) peer = value;
		if (strcasecmp(keyword, "IDENT") == 0) id = value;
	}
	if (got < 0 || (id && (!*id || id[strspn(id, "0123456789abcdef")])) || (peer && peer[strspn(peer, "0123456789abcdefABCDEF:.")])) return REPLY(BAD_PARAMETER);
	s->backend->forwarded(s, peer, id);
	return REPLY(FLUSHED);
}

/* A proxy where none is known: the administrator wants to know it, and what follows is not what the client meant to say to us.  */
static const struct reply *verb_proxy(struct session *s, char *arg)
{
	(void)arg;
	settle(s);
	session_tell(s, EVENT_BAD_COMMAND, "PROXY", REPLY(NOT_PROXY));
	session_close(s, REPLY(NOT_PROXY), "a proxy that is not named in proxy =");
	return NULL;
}

static const struct reply *verb_help(struct session *s, char *arg);

/* TLS, USER: not before there is TLS, or a user, where these are required.  */
enum { SMTP = 1, LMTP = 2, BOTH = 3, TLS = 4, USER = 8, ALL = BOTH | TLS | USER, ANY = ST_START | ST_GREETED | ST_MAIL | ST_RCPT | ST_CHUNKS };
enum argument { ARG_NONE, ARG_MAY, ARG_MUST };

/* The one place where verbs are named.  A row without a function is known but not implemented.  */
static const struct verb {
	const char *name;
	const struct reply *(*run)(struct session *s, char *arg);
	unsigned use, states;
	enum argument argument;
	const char *help;
} verbs[] = {
	{ "HELO", verb_helo, SMTP | TLS, ANY, ARG_MUST, "HELO hostname" },
	{ "EHLO", verb_ehlo, SMTP, ANY, ARG_MUST, "EHLO hostname" },
	{ "LHLO", verb_ehlo, LMTP, ANY, ARG_MUST, "LHLO hostname" },
	{ "MAIL", verb_mail, ALL, ST_GREETED, ARG_MUST, "MAIL FROM:<sender> [SIZE=octets] [BODY=8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=id]" },
	{ "RCPT", verb_rcpt, ALL, ST_MAIL | ST_RCPT, ARG_MUST, "RCPT TO:<recipient> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;address]" },
	{ "DATA", verb_data, ALL, ST_RCPT, ARG_NONE, "DATA" },
	{ "BDAT", verb_bdat, BOTH, ANY, ARG_MAY, "BDAT octets [LAST]" },        /* swallows its octets, then looks at the state */
	{ "RSET", verb_rset, BOTH | TLS, ANY, ARG_NONE, "RSET" },
	{ "NOOP", verb_noop, BOTH, ANY, ARG_MAY, "NOOP" },
	{ "HELP", verb_help, BOTH | TLS, ANY, ARG_MAY, "HELP [command]" },
	{ "VRFY", verb_vrfy, ALL, ANY, ARG_MUST, "VRFY mailbox" },
	{ "EXPN", verb_expn, ALL, ANY, ARG_MUST, "EXPN list" },
	{ "STARTTLS", verb_starttls, SMTP, ANY, ARG_NONE, "STARTTLS" },
	{ "AUTH", verb_auth, SMTP | TLS, ANY, ARG_MUST, "AUTH mechanism [initial-response]" },
	{ "XCLIENT", verb_xclient, SMTP | TLS, ANY, ARG_MUST, NULL },
	{ "QUIT", verb_quit, BOTH, ANY, ARG_NONE, "QUIT" },
	{ "XFORWARD", verb_xforward, LMTP, ST_GREETED, ARG_MUST, NULL },
#define UNIMPLEMENTED(name) { name, NULL, SMTP, ANY, ARG_MAY, NULL }
	UNIMPLEMENTED("ETRN"), UNIMPLEMENTED("ATRN"), UNIMPLEMENTED("TURN"),
	UNIMPLEMENTED("SEND"), UNIMPLEMENTED("SOML"), UNIMPLEMENTED("SAML"), UNIMPLEMENTED("BURL"),
	{ "PROXY", verb_proxy, SMTP, ANY, ARG_MAY, NULL },
#define HTTP(name) { name, verb_http, BOTH, ANY, ARG_MAY, NULL }
	HTTP("GET"), HTTP("POST"), HTTP("CONNECT"), HTTP("HEAD"), HTTP("PUT"), HTTP("OPTIONS"), HTTP("DELETE"), HTTP("PATCH"), HTTP("TRACE"),
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static unsigned protocol(const struct session *s) { return s->backend->lmtp ? LMTP : SMTP; }

/* The row of the verb that is the first `n` octets of s, in the session's protocol; NULL if there is none.  */
static const struct verb *find_verb(const struct session *s, const char *name, size_t n)
{
	for (const struct verb *v = verbs; v < verbs + VERBS; v++)
		if (strlen(v->name) == n && strncasecmp(v->name, name, n) == 0 && v->use & protocol(s)) return v;
	return NULL;
}

/* What the configuration does not provide for is as good as not implemented.  */
static bool available(const struct session *s, const struct verb *v)
{
	if (v->run == verb_starttls) return s->secure || offers_tls(s);
	if (v->run == verb_auth) return s->cf->auth.use != USE_NO && *s->cf->auth.via;
	return v->run != verb_xclient || offers_xclient(s);
}

static const struct reply *verb_help(struct session *s, char *arg)
{
	const struct verb *one = find_verb(s, arg, strlen(arg));
	size_t n = 0;
	*s->text = '\0';
	for (const struct verb *v = verbs; v < verbs + VERBS; v++) {
		if (!v->help || !(v->use & protocol(s)) || !available(s, v) || (one && one != v)) continue;
		n += (size_t)snprintf(s->text + n, sizeof s->text - n, "%s%s", n > 0 ? "\n" : "", v->help);
	}
	return *s->text ? made_reply(s, 214, "2.0.0") : REPLY(NOT_IMPLEMENTED);
}

/* Answer one command line.  */
static const struct reply *command(struct session *s, char *line, size_t len)
{
	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t')) line[--len] = '\0';  /* RFC 5321 4.1.1: tolerate trailing blanks */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) return REPLY(CONTROL_IN_LINE);
	size_t n = strcspn(line, " ");
	const struct verb *v = find_verb(s, line, n);
	char *arg = line + n + strspn(line + n, " ");
	if (!v) return REPLY(UNKNOWN_VERB);
	if (!v->run || !available(s, v)) return REPLY(NOT_IMPLEMENTED);
	if (len > COMMAND_MAX - 2 && v->run != verb_auth) return REPLY(LINE_TOO_LONG);
	if (v->argument == ARG_NONE && *arg) return REPLY(NO_ARGUMENT);
	if (v->argument == ARG_MUST && !*arg) return REPLY(WANTS_ARGUMENT);
	if (v->run != verb_rcpt && !settle(s)) return NULL;     /* whether a recipient was taken decides the state, or ends the session */
	const struct reply *first = who_first(s, v->use & TLS, v->use & USER);
	if (first) return first;
	enum state state = session_state(s);
	if (!(v->states & state)) return wrong_order(state, v->run == verb_mail);
	return v->run(s, arg);
}

/* Syntax, order, unknown: what counts against max_errors.  */
static bool is_error(const struct reply *r) { return (r->code >= 500 && r->code <= 504) || r->code == 530 || r->code == 538 || r->code == 555; }

/* Say the answer to a command line; `line` is the start of it, for the log.  */
static void respond(struct session *s, const struct reply *r, const char *line)
{
	say(s, r);
	if (!is_error(r) || s->closing) return;
	session_tell(s, EVENT_BAD_COMMAND, s->discreet ? "(not shown)" : line, r);
	if (++s->errors >= s->cf->max_errors) session_close(s, REPLY(TOO_MANY_ERRORS), "too many errors");
}

/* Read one command line and answer it.  */
static void next_command(struct session *s)
{
	char *line, start[256];
	size_t len;
	size_t max = offers_auth(s) && !*s->user ? AUTH_MAX : COMMAND_MAX;
	enum io_result got = clock_stop_asked() && !s->tx.open ? IO_STOP :
		io_line(&s->io, max, (unsigned)s->cf->command_timeout, !s->tx.open, &line, &len);
	if (s->closing) return;
	if (got == IO_TOO_LONG) {
		respond(s, REPLY(LINE_TOO_LONG), "");
	} else if (got == IO_BAD_EOL) {
		respond(s, REPLY(BARE_LF_LINE), "");
	} else if (got != IO_OK) {
		session_lost(s, got);
	} else {
		snprintf(start, sizeof start, "%.*s", (int)(len < 255 ? len : 255), line);      /* the verbs cut the line up */
		s->discreet |= strncasecmp(start + strspn(start, " \t"), "AUTH", 4) == 0;
		const struct reply *r = command(s, line, len);
		if (r && !s->closing) respond(s, r, start);
	}
}

const struct reply *greeting(struct session *s)
{
	snprintf(s->text, sizeof s->text, "%s %.200s", s->cf->hostname, s->backend->lmtp ? "LMTP" : s->cf->greeting);
	return made_reply(s, 220, "");
}

/* The header of the PROXY protocol, from a peer that must send one.  */
static void take_proxy(struct session *s)
{
	uint32_t deadline = clock_deadline(PROXY_PATIENCE);
	struct proxied p;
	enum proxy_result got;
	while ((got = proxy_parse(s->io.ibuf + s->io.head, s->io.tail - s->io.head, &p)) == PROXY_MORE && io_fill(&s->io, deadline, true) == IO_OK) continue;
	if (got != PROXY_OK) {
		session_close(s, REPLY(BAD_PROXY), "no proxy header from a proxy");
		return;
	}
	s->io.head += p.used;
	if (!*p.peer) return;
	snprintf(s->peer, PEER_SIZE, "%s", p.peer);
	s->backend->about(s);
}

void session_run(struct session *s)
{
	s->io.before_wait = settle_before_wait;
	s->io.ctx = s;
	s->io.write_ms = (unsigned)s->cf->command_timeout;
	s->io.end = clock_deadline((unsigned)s->cf->session_timeout);
	if (s->silent) io_fill(&s->io, s->io.end, true);
	if (s->proxied) take_proxy(s);
	if (!s->closing) reply_put(&s->io, greeting(s));
	while (!s->closing) next_command(s);
	reset_transaction(s);
	io_flush(&s->io);
	session_tell(s, EVENT_ENDED, "", NULL);
}
