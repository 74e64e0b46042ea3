/* SPDX-License-Identifier: MIT */
#include "login.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "keeper.h"
#include "sasl.h"

static bool by_dovecot(const struct session *s) { return config_scheme(s->cf->auth.via, "dovecot:"); }

static bool reach_dovecot(struct login *l, struct session *s)
{
	if (l->dovecot.open) return true;
	int fd = keeper_ask_auth();
	return fd >= 0 && dovecot_open(&l->dovecot, fd, l->process, (unsigned)s->cf->command_timeout, s->io.end);
}

/* Dovecot out of reach is told at AUTH: a client that sees none offered would blame its user.  */
const char *login_mechanisms(struct login *l, struct session *s)
{
	return by_dovecot(s) && reach_dovecot(l, s) ? l->dovecot.mechanisms : "PLAIN LOGIN";
}

/* Decode a response into `clear`, with room for a NUL.  "=" is an initial response of no octets (RFC 4954 4).  NULL, or what is wrong.  */
static const struct reply *decode(struct login *l, const char *response, size_t *n)
{
	ssize_t got = strcmp(response, "=") == 0 ? 0 : base64_decode(l->clear, sizeof l->clear - 1, response, strlen(response));
	if (got < 0) return REPLY(BAD_BASE64);
	l->clear[got] = '\0';
	*n = (size_t)got;
	return NULL;
}

/* Tell the program name and password, and hear what it says.  */
static const struct reply *judge(struct session *s, const char *user, const char *password)
{
	static char pair[SASL_NAME_MAX + SASL_PASSWORD_MAX + 8];
	int fd = keeper_ask_auth();
	if (fd < 0) return REPLY(NO_AUTH);
	size_t user_len = strlen(user) + 1, password_len = strlen(password) + 1;
	memcpy(pair, user, user_len);
	memcpy(pair + user_len, password, password_len);
	memcpy(pair + user_len + password_len, "Y", 2);         /* the timestamp of the interface: of no use with a password */
	struct io io = { .in = fd, .out = fd, .write_ms = (unsigned)s->cf->command_timeout, .end = s->io.end };
	bool told = io_write(&io, pair, user_len + password_len + 2);
	explicit_bzero(pair, sizeof pair);
	enum verdict v = keeper_verdict();
	if (v == VERDICT_YES && told) return REPLY(AUTH_OK);
	return v == VERDICT_NO ? REPLY(AUTH_REFUSED) : REPLY(NO_AUTH);
}

static const struct reply *plain(struct login *l, struct session *s, char *initial)
{
	const char *user, *password;
	const struct reply *r;
	size_t n;
	char *response = initial ? initial : auth_answer(s, "", &r);
	if (!response) return r;
	if ((r = decode(l, response, &n))) return r;
	if (!sasl_plain(l->clear, n, &user, &password)) return REPLY(BAD_SASL);
	snprintf(s->claimed, sizeof s->claimed, "%s", user);
	return judge(s, user, password);
}

/* draft-murchison-sasl-login: old, and still what many send.  */
static const struct reply *by_login(struct login *l, struct session *s, char *initial)
{
	const struct reply *r;
	size_t n;
	char *response = initial ? initial : auth_answer(s, "VXNlcm5hbWU6" /* Username: */, &r);
	if (!response) return r;
	if ((r = decode(l, response, &n))) return r;
	if (!sasl_name_valid(l->clear, n)) return REPLY(BAD_SASL);
	memcpy(s->claimed, l->clear, n + 1);
	if (!(response = auth_answer(s, "UGFzc3dvcmQ6" /* Password: */, &r))) return r;
	if ((r = decode(l, response, &n))) return r;
	return sasl_password_valid(l->clear, n) ? judge(s, s->claimed, l->clear) : REPLY(BAD_SASL);
}

static const struct reply *through_dovecot(struct login *l, struct session *s, const char *mechanism, char *response)
{
	enum { MOST = 20 };     /* rounds of the longest mechanism, and some */
	const char *text;
	const struct reply *r = NULL;
	if (!reach_dovecot(l, s)) return REPLY(NO_AUTH);
	if (response && strcmp(response, "=") == 0) *response = '\0';
	if (response && !base64_valid(response)) return REPLY(BAD_BASE64);
	enum dovecot_answer a = dovecot_begin(&l->dovecot, mechanism, s->secure, s->peer, response, &text);
	for (int i = 0; a == DOVECOT_CONTINUE && i < MOST; i++) {
		if (*text && !base64_valid(text)) break;
		response = auth_answer(s, text, &r);
		if (response && *response && !base64_valid(response)) r = REPLY(BAD_BASE64);
		if (!response || r) {
			l->dovecot.open = false;        /* it waits for more: the next attempt is on a connection of its own */
			return r;
		}
		a = dovecot_respond(&l->dovecot, response, &text);
	}
	if (a == DOVECOT_CONTINUE) l->dovecot.open = false;
	else if (strlen(text) < sizeof s->claimed) strcpy(s->claimed, text);
	if (a == DOVECOT_GOOD) return sasl_name_valid(s->claimed, strlen(s->claimed)) ? REPLY(AUTH_OK) : REPLY(NO_AUTH);
	return a == DOVECOT_REFUSED ? REPLY(AUTH_REFUSED) : REPLY(NO_AUTH);
}

const struct reply *login_run(struct login *l, struct session *s, const char *mechanism, char *initial)
{
	const struct reply *r = by_dovecot(s) ? through_dovecot(l, s, mechanism, initial) :
		strcasecmp(mechanism, "PLAIN") == 0 ? plain(l, s, initial) : by_login(l, s, initial);
	explicit_bzero(l->clear, sizeof l->clear);
	explicit_bzero(l->dovecot.in, l->dovecot.io.head);
	explicit_bzero(l->dovecot.out, sizeof l->dovecot.out);
	return r;
}
