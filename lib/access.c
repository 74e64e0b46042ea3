/* STARTTLS, AUTH and XCLIENT: the verbs that change who the client is (RFC 3207, RFC 4954; Postfix's XCLIENT_README), and what may be said before it
 * is known.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "network.h"
#include "session.h"
#include "xclient.h"

bool offers_tls(const struct session *s)
{
	const struct config *cf = s->cf;
	if (s->backend->lmtp || s->secure || cf->tls.use == USE_NO) return false;
	return cf->tls.use == USE_REQUIRED || *cf->tls_cert || *cf->tls_certs;
}

bool offers_auth(const struct session *s)
{
	const struct config *cf = s->cf;
	return !s->backend->lmtp && cf->auth.use != USE_NO && *cf->auth.via && (s->secure || cf->auth_plaintext);
}

bool offers_xclient(const struct session *s) { return !s->backend->lmtp && *s->cf->xclient && networks_match(s->cf->xclient, s->peer); }

const struct reply *who_first(const struct session *s, bool needs_tls, bool needs_user)
{
	if (s->backend->lmtp) return NULL;
	if (needs_tls && !s->secure && s->cf->tls.use == USE_REQUIRED) return REPLY(TLS_FIRST);
	if (needs_user && !*s->user && s->cf->auth.use == USE_REQUIRED) return REPLY(AUTH_FIRST);
	return NULL;
}

/* All that was learnt from a client that may have been another one (P6).  */
static void forget(struct session *s)
{
	reset_transaction(s);
	*s->helo = '\0';
	s->extended = false;
	*s->user = '\0';
}

/* What smtp-tls says of the handshake: "PROTOCOL CIPHER SNI CLIENT", "-" for none.  */
static bool take_tls(struct session *s, const char *line)
{
	char version[8], cipher[48], sni[80], client[80];
	if (sscanf(line, "%7s %47s %79s %79s", version, cipher, sni, client) != 4) return false;
	bool named = strcmp(client, "-") != 0;
	snprintf(s->tls, sizeof s->tls, "%s %s%s%.60s", version, cipher, named ? " client=" : "", named ? client : "");
	return s->tls[strcspn(s->tls, "()\\<>\"")] == '\0';
}

const struct reply *verb_starttls(struct session *s, char *arg)
{
	enum { LINE = 512 };
	char *line;
	size_t n;
	(void)arg;
	if (s->secure) return REPLY(TLS_ALREADY);
	if (s->io.head != s->io.tail) {         /* it would come to stand behind the handshake as if it had been encrypted (CVE-2011-0411) */
		session_close(s, REPLY(BEHIND_STARTTLS), "commands behind STARTTLS");
		return NULL;
	}
	s->no_tls = s->no_tls || !s->backend->tls_ready(s);
	if (s->no_tls) return REPLY(NO_TLS);
	say(s, REPLY(TLS_READY));
	io_flush(&s->io);
	forget(s);
	if (s->io.dead || !s->backend->tls_switch(s)) {
		session_lost(s, IO_END);
		return NULL;
	}
	bool strict = s->io.strict;
	s->io.strict = false;
	enum io_result got = io_line(&s->io, LINE, (unsigned)s->cf->command_timeout, false, &line, &n);
	s->io.strict = strict;
	s->secure = got == IO_OK && take_tls(s, line);
	if (s->secure) s->backend->about(s);
	else session_gone(s, "TLS handshake failed");
	return NULL;
}

/* Send a challenge, in base64, and read the answer; NULL with the reply in *r, or with none when the session is over.  */
char *auth_answer(struct session *s, const char *challenge, const struct reply **r)
{
	char *line;
	size_t n;
	*r = NULL;
	io_puts(&s->io, "334 ");
	io_puts(&s->io, challenge);
	io_puts(&s->io, "\r\n");
	enum io_result got = io_line(&s->io, AUTH_MAX, (unsigned)s->cf->command_timeout, true, &line, &n);
	if (got == IO_OK && strcmp(line, "*") != 0) return line;
	if (got == IO_OK) *r = REPLY(AUTH_CANCELLED);
	else if (got == IO_TOO_LONG) *r = REPLY(LINE_TOO_LONG);
	else if (got == IO_BAD_EOL) *r = REPLY(BARE_LF_LINE);
	else session_lost(s, got);
	return NULL;
}

static const struct reply *auth_failed(struct session *s, const char *mechanism, const struct reply *r)
{
	enum { MOST = 3 };
	struct event e = { .kind = EVENT_AUTH_FAILED };
	snprintf(e.from, sizeof e.from, "%s", s->claimed);
	snprintf(e.rcpt, sizeof e.rcpt, "%.30s", mechanism);
	snprintf(e.reply, sizeof e.reply, "%d %s %s", r->code, r->status, r->text);
	s->backend->tell(s, &e);
	if (++s->auth_failures < MOST) return r;
	session_close(s, REPLY(TOO_MANY_AUTH), "too many failed authentications");
	return NULL;
}

/* Whether a list of words has this one.  */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (; *list; list += strcspn(list, " "), list += strspn(list, " "))
		if (strncasecmp(list, word, n) == 0 && (list[n] == ' ' || !list[n])) return n > 0;
	return false;
}

const struct reply *verb_auth(struct session *s, char *arg)
{
	char mechanism[32];
	if (*s->user) return REPLY(AUTH_ALREADY);
	if (!s->extended) return REPLY(WANTS_HELLO);
	if (s->tx.open) return REPLY(AUTH_INSIDE);
	if (!offers_auth(s)) return REPLY(AUTH_WANTS_TLS);
	char *initial = arg + strcspn(arg, " ");
	snprintf(mechanism, sizeof mechanism, "%.*s", (int)(initial - arg < 31 ? initial - arg : 31), arg);
	initial += strspn(initial, " ");
	if (!has_word(s->backend->mechanisms(s), mechanism)) return REPLY(NO_MECHANISM);
	s->discreet = true;
	*s->claimed = '\0';
	const struct reply *r = s->backend->login(s, mechanism, *initial ? initial : NULL);
	explicit_bzero(s->io.ibuf, s->io.head); /* a password was there */
	if (!r) return NULL;
	if (r->code == 535) return auth_failed(s, mechanism, r);
	if (r->code != 235) return r;
	s->discreet = false;
	snprintf(s->user, sizeof s->user, "%s", s->claimed);
	s->backend->about(s);
	return r;
}

/* The session begins anew, with what the server before us has found out.  */
const struct reply *verb_xclient(struct session *s, char *arg)
{
	struct xclient x;
	if (s->tx.open) return REPLY(SECOND_MAIL);
	if (!xclient_parse(arg, &x)) return REPLY(BAD_PARAMETER);
	forget(s);
	if (x.given_addr) snprintf(s->peer, PEER_SIZE, "%s", *x.addr ? x.addr : "local");
	if (x.given_helo) snprintf(s->helo, sizeof s->helo, "%s", x.helo);
	if (x.given_proto) s->extended = x.esmtp;
	if (x.given_login) snprintf(s->user, sizeof s->user, "%s", x.login);
	s->backend->about(s);
	return greeting(s);
}
