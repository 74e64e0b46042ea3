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

static bool is_ascii(const char *s)
{
	while (*s && (unsigned char)*s < 0x80) s++;
	return !*s;
}

/* xtext, of printable octets once it is decoded: what is inside will stand in a header.  */
static bool is_xtext(const char *value, size_t most)
{
	char copy[DSN_ORCPT + 1];
	size_t n = strlen(value);
	if (n == 0 || n > most || !is_ascii(value)) return false;
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
bool dsn_orcpt(struct dsn_rcpt *d, const char *value, bool utf8)
{
	static const char atom[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-!#$%&'*/?^_`{|}~.";
	size_t type = strspn(value, atom), n = strlen(value);
	if (type == 0 || value[type] != ';' || !value[type + 1] || n > DSN_ORCPT) return false;
	bool wide = strncasecmp(value, "utf-8;", 6) == 0;
	if (wide ? !utf8_valid(value) || (!utf8 && !is_ascii(value)) : !is_xtext(value + type + 1, DSN_ORCPT)) return false;
	strcpy(d->orcpt, value);
	return true;
}

/* The octets of "\x{HEX}" at s; 0 if it is no such thing.  */
static size_t embedded(const char *s)
{
	if (strncmp(s, "\\x{", 3) != 0) return 0;
	size_t digits = strspn(s + 3, "0123456789ABCDEFabcdef");
	return digits >= 2 && digits <= 6 && s[3 + digits] == '}' ? digits + 4 : 0;
}

/* The next character of valid UTF-8 in seven bits: as it is, or as \x{HEX} (RFC 6533 3: QCHAR, EmbeddedUnicodeChar).  */
enum { ENCODED = sizeof "\\x{10FFFF}" };
static size_t encode(char out[ENCODED], const char **s)
{
	const unsigned char *u = (const unsigned char *)*s;
	unsigned n = *u < 0x80 ? 1 : *u < 0xe0 ? 2 : *u < 0xf0 ? 3 : 4, point = n == 1 ? *u : *u & (0xffU >> (n + 1));
	for (unsigned i = 1; i < n; i++) point = point << 6 | (u[i] & 0x3f);
	*s += n;
	if (point > 0x7e || point <= ' ' || strchr("\\+=", (int)point)) return (size_t)snprintf(out, ENCODED, "\\x{%02X}", point);
	*out = (char)point;
	return 1;
}

/* "utf-8;" and an address; of one that is `encoded` what has the form of \x{HEX} stays as it is.  */
static bool utf8_orcpt(char out[DSN_ORCPT + 1], const char *s, bool encoded)
{
	size_t n = (size_t)sprintf(out, "utf-8;");
	while (*s) {
		char one[ENCODED];
		size_t done = encoded ? embedded(s) : 0, length = done ? done : encode(one, &s);
		if (n + length > DSN_ORCPT) return false;
		memcpy(out + n, done ? s : one, length);
		n += length;
		s += done;
	}
	out[n] = '\0';
	return true;
}

bool dsn_orcpt_ascii(char out[DSN_ORCPT + 1], const char *orcpt)
{
	if (is_ascii(orcpt)) return strcpy(out, orcpt), true;
	return utf8_orcpt(out, strchr(orcpt, ';') + 1, true);
}

void dsn_orcpt_from(struct dsn_rcpt *d, const char *address)
{
	static const char type[] = "rfc822;";
	size_t n = sizeof type - 1;
	strcpy(d->orcpt, type);
	if (!(is_ascii(address) ? xtext_encode(d->orcpt + n, sizeof d->orcpt - n, address) : utf8_orcpt(d->orcpt, address, false))) *d->orcpt = '\0';
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
