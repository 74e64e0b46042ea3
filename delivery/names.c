/* Names beyond ASCII.  A domain goes through UTS #46, not transitional (ß and ς are letters of their own, as registries sell them), and what comes out
 * has to be a domain still: the mapping makes "/" of U+FF0F and "(1)" of U+2474.  IDNA 2008 decides, so there are no emoji.
 * A local part is lower-cased, not case-folded: the names of mailboxes on the disk are spelled as people spell them, and folding makes "ss" of ß
 * and σ of a final ς.  Neither asks the locale.
 * SPDX-License-Identifier: MIT */
#include "names.h"

#include <idn2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unicase.h>
#include <uninorm.h>

static bool plain(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] >= 0x80) return false;
	return true;
}

static bool is_alabel(const char *s) { return strncasecmp(s, "xn--", 4) == 0; }

static bool has_alabel(const char *s)
{
	for (; s; s = strchr(s, '.'), s = s ? s + 1 : NULL)
		if (is_alabel(s)) return true;
	return false;
}

/* Copy what the library gave, which is freed, to out, which has room for `size` with the NUL.  */
static bool take(char *out, size_t size, char *from)
{
	size_t n = from ? strlen(from) : size;
	if (n < size) memcpy(out, from, n + 1);
	free(from);
	return n < size;
}

/* One call of the library; for A-labels it includes that they are what their U-labels give.  */
static bool to_ascii(char out[DOMAIN_MAX + 1], const char *label)
{
	uint8_t *got = NULL;
	int e = idn2_lookup_u8((const uint8_t *)label, &got, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	return take(out, DOMAIN_MAX + 1, e == IDN2_OK ? (char *)got : NULL);
}

/* A full-width "xn--" becomes an A-label that nobody has looked at: so what the mapping gave has to stand once more.  */
static bool map_label(char out[DOMAIN_MAX + 1], const char *label)
{
	char again[DOMAIN_MAX + 1];
	if (!to_ascii(out, label)) return false;
	return plain(label, strlen(label)) || !has_alabel(out) || (to_ascii(again, out) && strcmp(again, out) == 0);
}

/* Labels of letters and digits are passed by: the library refuses some that are in use, "r3---sn" for one.  */
static bool map(char out[DOMAIN_MAX + 1], const char *domain)
{
	char label[DOMAIN_MAX + 1], mapped[DOMAIN_MAX + 1];
	size_t used = 0;
	for (const char *end; domain; domain = *end ? end + 1 : NULL) {
		end = strchrnul(domain, '.');
		size_t n = (size_t)(end - domain);
		if (n > DOMAIN_MAX) return false;
		memcpy(label, domain, n);
		label[n] = '\0';
		if (plain(label, n) && !is_alabel(label)) strcpy(mapped, label);
		else if (!map_label(mapped, label)) return false;
		size_t m = strlen(mapped);
		if (used + m > DOMAIN_MAX) return false;
		memcpy(out + used, mapped, m);
		used += m;
		out[used++] = *end;     /* the dot, or the NUL */
	}
	return true;
}

bool names_domain(char out[DOMAIN_MAX + 1], const char *domain)
{
	size_t n = strlen(domain);
	bool ok;
	if (*domain == '[' || (plain(domain, n) && !has_alabel(domain))) {
		ok = n <= DOMAIN_MAX;
		if (ok) memcpy(out, domain, n + 1);
	} else {
		ok = map(out, domain);
	}
	if (ok) fold(out);
	ok = ok && domain_valid(out) && plain(out, strlen(out));
	if (!ok) *out = '\0';
	return ok;
}

bool names_unicode(char out[DOMAIN_MAX + 1], const char *domain)
{
	char ascii[DOMAIN_MAX + 1], *got = NULL;
	bool ok = has_alabel(domain) && names_domain(ascii, domain) && idn2_to_unicode_8z8z(ascii, &got, 0) == IDN2_OK;
	ok = take(out, DOMAIN_MAX + 1, ok ? got : NULL);
	if (!ok) *out = '\0';
	return ok;
}

bool names_local(char out[NAME_LOCAL + 1], const char *local)
{
	size_t n = strlen(local), m;
	*out = '\0';
	if (plain(local, n)) {
		if (n > NAME_LOCAL) return false;
		memcpy(out, local, n + 1);
		fold(out);
		return true;
	}
	if (!utf8_valid(local)) return false;
	uint8_t *got = u8_tolower((const uint8_t *)local, n, NULL, UNINORM_NFC, NULL, &m);
	bool ok = got && m <= NAME_LOCAL;
	if (ok) {
		memcpy(out, got, m);
		out[m] = '\0';
	}
	free(got);
	return ok;
}
