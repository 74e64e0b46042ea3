/* SPDX-License-Identifier: MIT */
#include "dsn.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "xtext.h"

static const struct { const char *word; unsigned bit; } words[] = {
	{ "NEVER", NOTIFY_NEVER }, { "SUCCESS", NOTIFY_SUCCESS }, { "FAILURE", NOTIFY_FAILURE }, { "DELAY", NOTIFY_DELAY },
};
enum { WORDS = sizeof words / sizeof *words };

bool dsn_ret(struct dsn_mail *d, const char *value)
{
	d->ret = strcasecmp(value, "FULL") == 0 ? 'F' : strcasecmp(value, "HDRS") == 0 ? 'H' : '\0';
	return d->ret;
}

/* xtext, of printable octets once it is decoded: what is inside will stand in a header.  */
static bool is_xtext(const char *value, size_t most)
{
	char copy[DSN_ORCPT + 1];
	size_t n = strlen(value);
	if (n == 0 || n > most) return false;
	strcpy(copy, value);
	return xtext_decode(copy);
}

bool dsn_envid(struct dsn_mail *d, const char *value)
{
	if (!is_xtext(value, DSN_ENVID)) return false;
	strcpy(d->envid, value);
	return true;
}

bool dsn_notify(struct dsn_rcpt *d, const char *value)
{
	unsigned notify = 0;
	for (;;) {
		size_t n = strcspn(value, ","), i = 0;
		while (i < WORDS && (strlen(words[i].word) != n || strncasecmp(words[i].word, value, n) != 0)) i++;
		if (i == WORDS || notify & words[i].bit) return false;
		notify |= words[i].bit;
		if (!value[n]) break;
		value += n + 1;
	}
	d->notify = notify;
	return !(notify & NOTIFY_NEVER) || notify == NOTIFY_NEVER;
}

/* An atom, and an address in xtext; or "utf-8;" and one in the encoding of RFC 6533, or as it is.  */
bool dsn_orcpt(struct dsn_rcpt *d, const char *value)
{
	static const char atom[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-!#$%&'*/?^_`{|}~.";
	size_t type = strspn(value, atom), n = strlen(value);
	if (type == 0 || value[type] != ';' || !value[type + 1] || n > DSN_ORCPT) return false;
	bool utf8 = strncasecmp(value, "utf-8;", 6) == 0;
	if (utf8 ? !utf8_valid(value) : !is_xtext(value + type + 1, DSN_ORCPT)) return false;
	strcpy(d->orcpt, value);
	return true;
}

unsigned dsn_notify_both(unsigned a, unsigned b)
{
	enum { DEFAULT = NOTIFY_FAILURE | NOTIFY_DELAY };
	if (a == b) return a;
	return ((a ? a : DEFAULT) | (b ? b : DEFAULT)) & ~(unsigned)NOTIFY_NEVER;
}

void dsn_notify_text(char out[DSN_NOTIFY], unsigned notify)
{
	size_t n = 0;
	*out = '\0';
	for (int i = 0; i < WORDS; i++)
		if (notify & words[i].bit) n += (size_t)snprintf(out + n, DSN_NOTIFY - n, "%s%s", n ? "," : " NOTIFY=", words[i].word);
}
