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

/* The mail server that talks LMTP to us has decided that this client may send to other hosts.  */
static const struct reply *param_relay(struct session *s, const char *value)
{
	if (!s->backend->lmtp) return REPLY(UNKNOWN_PARAMETER);
	s->tx.relay = true;
	return value ? REPLY(BAD_PARAMETER) : NULL;
}

static const struct reply *param_ret(struct session *s, const char *value)
{
	if (!s->offers_dsn) return REPLY(UNKNOWN_PARAMETER);
	return value && dsn_ret(&s->tx.dsn, value) ? NULL : REPLY(BAD_PARAMETER);
}

static const struct reply *param_envid(struct session *s, const char *value)
{
	if (!s->offers_dsn) return REPLY(UNKNOWN_PARAMETER);
	return value && dsn_envid(&s->tx.dsn, value) ? NULL : REPLY(BAD_PARAMETER);
}

static const struct reply *param_notify(struct session *s, const char *value)
{
	return value && dsn_notify(&s->dsn, value) ? NULL : REPLY(BAD_PARAMETER);
}

static const struct reply *param_orcpt(struct session *s, const char *value)
{
	return value && dsn_orcpt(&s->dsn, value, s->tx.smtputf8) ? NULL : REPLY(BAD_PARAMETER);
}

struct param {
	const char *keyword;
	const struct reply *(*take)(struct session *s, const char *value);
};
static const struct param rcpt_params[] = { { "NOTIFY", param_notify }, { "ORCPT", param_orcpt }, { NULL, NULL } };
static const struct param mail_params[] = {
	{ "SIZE", param_size }, { "BODY", param_body }, { "SMTPUTF8", param_smtputf8 }, { "AUTH", param_auth }, { "RET", param_ret }, { "ENVID", param_envid },
	{ "X-RELAY", param_relay }, { NULL, NULL },
};

/* All parameters of a command; each at most once.  NULL when they are good.  */
static const struct reply *take_params(struct session *s, const struct param *params, char *p)
{
	char *keyword, *value;
	unsigned seen = 0;
	int got;
	while ((got = param_next(&p, &keyword, &value)) > 0) {
		size_t i = 0;
		while (params[i].keyword && strcasecmp(params[i].keyword, keyword) != 0) i++;
		if (!params[i].keyword) return REPLY(UNKNOWN_PARAMETER);
		if (seen & 1U << i) return REPLY(BAD_PARAMETER);
		seen |= 1U << i;
		const struct reply *r = params[i].take(s, value);
		if (r) return r;
	}
	return got < 0 ? REPLY(BAD_PARAMETER) : NULL;
}

const struct reply *verb_mail(struct session *s, char *arg)
{
	char *rest = path_after(arg, "FROM:", &s->tx.from);
	const struct reply *r = rest ? take_params(s, mail_params, rest) : REPLY(BAD_SENDER);
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
	char *rest = path_after(arg, "TO:", &rcpt);
	if (!rest || !*rcpt.text) return REPLY(BAD_RCPT);
	s->dsn = (struct dsn_rcpt){ 0 };
	const struct reply *r = take_params(s, s->offers_dsn ? rcpt_params : rcpt_params + 2, rest);
	if (r) return r;
	if (rcpt.utf8 && !s->tx.smtputf8) return REPLY(UTF8_ADDRESS);
	return offer(s, &rcpt);
}
