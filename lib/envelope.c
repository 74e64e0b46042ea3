/* MAIL and RCPT: the envelope and its parameters (RFC 5321 4.1.1.2, 4.1.1.3; 1870, 6152, 6531).
 * SPDX-License-Identifier: MIT */
#include <string.h>
#include <strings.h>

#include "session.h"
#include "xtext.h"

/* Past "FROM:" or "TO:" and the path; NULL when either is not there.  Blanks before the path are tolerated.  */
static char *path_after(char *arg, const char *word, struct path *path)
{
	size_t n = strlen(word);
	if (strncasecmp(arg, word, n) != 0) return NULL;
	char *s = arg + n + strspn(arg + n, " ");
	if (!path_parse(path, &s) || (*s && *s != ' ')) return NULL;
	return s;
}

static const struct reply *param_size(struct session *s, const char *value)
{
	if (!value || !number_parse(value, &s->tx.declared)) return REPLY(BAD_PARAMETER);
	return s->tx.declared > s->size_max ? REPLY(TOO_BIG) : NULL;
}

static const struct reply *param_body(struct session *s, const char *value)
{
	if (!value) return REPLY(BAD_PARAMETER);
	s->tx.eightbit = strcasecmp(value, "8BITMIME") == 0;
	return s->tx.eightbit || strcasecmp(value, "7BIT") == 0 ? NULL : REPLY(BAD_PARAMETER);
}

static const struct reply *param_smtputf8(struct session *s, const char *value)
{
	s->tx.smtputf8 = true;
	return value ? REPLY(BAD_PARAMETER) : NULL;
}

/* The mail server that talks LMTP to us vouches for its user; what a client of SMTP says here is read, and dropped (RFC 4954 5).  */
static const struct reply *param_auth(struct session *s, const char *value)
{
	if (!s->backend->lmtp && !offers_auth(s) && !*s->user) return REPLY(UNKNOWN_PARAMETER);
	char user[3 * sizeof s->tx.auth];       /* an octet may take three */
	if (!value || strlen(value) >= sizeof user) return REPLY(BAD_PARAMETER);
	strcpy(user, value);
	bool nobody = strcmp(value, "<>") == 0, good = nobody || (xtext_decode(user) && strlen(user) < sizeof s->tx.auth);
	if (good && !nobody && s->backend->lmtp) strcpy(s->tx.auth, user);
	return good ? NULL : REPLY(BAD_PARAMETER);
}

static const struct mail_param {
	const char *keyword;
	const struct reply *(*take)(struct session *s, const char *value);
} mail_params[] = {
	{ "SIZE", param_size },
	{ "BODY", param_body },
	{ "SMTPUTF8", param_smtputf8 },
	{ "AUTH", param_auth },
};
enum { MAIL_PARAMS = sizeof mail_params / sizeof *mail_params };

/* All parameters of MAIL; each at most once.  NULL when they are good.  */
static const struct reply *take_params(struct session *s, char *p)
{
	char *keyword, *value;
	unsigned seen = 0;
	int got;
	while ((got = param_next(&p, &keyword, &value)) > 0) {
		size_t i = 0;
		while (i < MAIL_PARAMS && strcasecmp(mail_params[i].keyword, keyword) != 0) i++;
		if (i == MAIL_PARAMS) return REPLY(UNKNOWN_PARAMETER);
		if (seen & 1U << i) return REPLY(BAD_PARAMETER);
		seen |= 1U << i;
		const struct reply *r = mail_params[i].take(s, value);
		if (r) return r;
	}
	return got < 0 ? REPLY(BAD_PARAMETER) : NULL;
}

const struct reply *verb_mail(struct session *s, char *arg)
{
	char *rest = path_after(arg, "FROM:", &s->tx.from);
	const struct reply *r = rest ? take_params(s, rest) : REPLY(BAD_SENDER);
	if (!r && *s->tx.from.text && !*s->tx.from.domain) r = REPLY(BAD_SENDER);       /* <postmaster> is for RCPT alone */
	if (!r && s->tx.from.utf8 && !s->tx.smtputf8) r = REPLY(UTF8_ADDRESS);
	if (!r && s->backend->sender) r = s->backend->sender(s);
	if (r) {
		reset_transaction(s);
		return r;
	}
	s->tx.open = true;
	return REPLY(SENDER_OK);
}

static const struct reply *offer(struct session *s, const struct path *rcpt)
{
	unsigned long long most = s->cf->max_recipients;
	if (s->rcpt_max && s->rcpt_max < most) most = s->rcpt_max;
	if (s->tx.offered == OFFERED_MAX || s->tx.accepted + s->tx.pending >= most) settle(s);
	if (s->closing) return NULL;
	if (s->tx.accepted >= most) return REPLY(TOO_MANY_RCPT);
	const struct reply *r = s->backend->rcpt(s, rcpt);
	if (r) {
		if (settle(s)) answer_rcpt(s, rcpt->text, r);
	} else {
		strcpy(s->offered[s->tx.offered++], rcpt->text);
		s->tx.pending++;
	}
	return NULL;
}

const struct reply *verb_rcpt(struct session *s, char *arg)
{
	struct path rcpt;
	char *keyword, *value, *rest = path_after(arg, "TO:", &rcpt);
	if (!rest || !*rcpt.text) return REPLY(BAD_RCPT);
	int got = param_next(&rest, &keyword, &value);
	if (got != 0) return got < 0 ? REPLY(BAD_PARAMETER) : REPLY(UNKNOWN_PARAMETER);
	if (rcpt.utf8 && !s->tx.smtputf8) return REPLY(UTF8_ADDRESS);
	return offer(s, &rcpt);
}
