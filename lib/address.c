/* The address parser.  Each rule may only refuse; success is the last line of a function (see OpenSMTPD, CVE-2020-7247).
 * Input is one NUL-ended line without control octets above the grammar's own checks.
 * SPDX-License-Identifier: MIT */
#include "address.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static bool is_alpha(unsigned char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
static bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
static bool is_alnum(unsigned char c) { return is_alpha(c) || is_digit(c); }
static bool is_high(unsigned char c) { return c >= 0x80; }
static bool is_graph(unsigned char c) { return c > ' ' && c < 0x7f; }

static bool is_atext(unsigned char c)
{
	return is_alnum(c) || is_high(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

bool utf8_valid(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	while (*p) {
		unsigned n = *p < 0x80 ? 0 : *p >= 0xc2 && *p < 0xe0 ? 1 : *p >= 0xe0 && *p < 0xf0 ? 2 : *p >= 0xf0 && *p < 0xf5 ? 3 : 9;
		if (n == 9) return false;
		/* overlong forms, surrogates and what is past U+10FFFF show in the second octet */
		if (*p == 0xe0 && p[1] < 0xa0) return false;
		if (*p == 0xed && p[1] > 0x9f) return false;
		if (*p == 0xf0 && p[1] < 0x90) return false;
		if (*p == 0xf4 && p[1] > 0x8f) return false;
		for (p++; n > 0; n--, p++)
			if ((*p & 0xc0) != 0x80) return false;
	}
	return true;
}

void fold(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z') *s = (char)(*s | 0x20);
}

/* The end of the dot-string at s, or NULL.  */
static const char *dot_string(const char *s, char *out, const char *out_end)
{
	bool atom = false;
	for (; is_atext((unsigned char)*s) || *s == '.'; s++) {
		if (*s == '.' && !atom) return NULL;
		atom = *s != '.';
		if (out == out_end) return NULL;
		*out++ = *s;
	}
	*out = '\0';
	return atom ? s : NULL;
}

static const char *quoted_string(const char *s, char *out, const char *out_end)
{
	for (s++; *s != '"'; s++) {
		if (*s == '\\') {
			s++;
			if (is_high((unsigned char)*s)) return NULL;
		}
		if (*s != ' ' && !is_graph((unsigned char)*s) && !is_high((unsigned char)*s)) return NULL;
		if (out == out_end) return NULL;
		*out++ = *s;
	}
	*out = '\0';
	return s + 1;
}

static bool literal_valid(const char *s, size_t n)
{
	char text[64];
	unsigned char addr[16];
	if (n < 2 || n - 2 >= sizeof text || s[n - 1] != ']') return false;
	memcpy(text, s + 1, n - 2);
	text[n - 2] = '\0';
	if (strncasecmp(text, "IPv6:", 5) == 0) return inet_pton(AF_INET6, text + 5, addr) == 1;
	return inet_pton(AF_INET, text, addr) == 1;
}

/* Letters, digits and hyphens in labels of 1 to 63; U-labels; an underscore, which real senders have in theirs.  */
static bool labels_valid(const char *s, size_t n)
{
	size_t label = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c == '.') {
			if (label == 0 || s[i - 1] == '-') return false;
			label = 0;
			continue;
		}
		if (!is_alnum(c) && !is_high(c) && c != '_' && !(c == '-' && label > 0)) return false;
		if (++label > LABEL_MAX) return false;
	}
	return label > 0 && s[n - 1] != '-';
}

/* The end of the domain or literal at s, or NULL.  */
static const char *domain_end(const char *s)
{
	size_t n = *s == '[' ? strcspn(s, "]") + 1 : strcspn(s, "<>,:;@()[]\"\\ ");
	if (n == 0 || n > DOMAIN_MAX || strnlen(s, n) < n) return NULL;
	if (!(*s == '[' ? literal_valid(s, n) : labels_valid(s, n))) return NULL;
	return s + n;
}

bool domain_valid(const char *s)
{
	const char *end = domain_end(s);
	return end && *end == '\0';
}

bool hello_valid(const char *s)
{
	size_t n = strlen(s);
	if (n == 0 || n > DOMAIN_MAX) return false;
	for (; *s; s++)
		if (!is_alnum((unsigned char)*s) && !strchr(".-_:[]", *s)) return false;
	return true;
}

/* A mailbox at s: local part, "@", domain.  Returns its end, or NULL.  */
static const char *mailbox(struct path *p, const char *s)
{
	const char *start = s, *local_end = p->local + LOCAL_MAX;
	s = *s == '"' ? quoted_string(s, p->local, local_end) : dot_string(s, p->local, local_end);
	if (!s || s - start > LOCAL_MAX) return NULL;
	p->domain[0] = '\0';
	if (*s == '@') {
		const char *domain = s + 1;
		s = domain_end(domain);
		if (!s) return NULL;
		memcpy(p->domain, domain, (size_t)(s - domain));
		p->domain[s - domain] = '\0';
	} else if (strcasecmp(p->local, "postmaster") != 0) {
		return NULL;            /* RFC 5321 4.5.1: only the postmaster needs no domain */
	}
	size_t n = (size_t)(s - start);
	if (n > PATH_MAX_LEN) return NULL;
	memcpy(p->text, start, n);
	p->text[n] = '\0';
	if (!utf8_valid(p->text)) return NULL;
	p->utf8 = false;
	for (size_t i = 0; i < n; i++) p->utf8 |= is_high((unsigned char)p->text[i]);
	return s;
}

/* Past "@one,@two:", which has no meaning any more; the place itself when there is none, NULL when it is broken.  */
static const char *source_route(const char *s)
{
	if (*s != '@') return s;
	for (;;) {
		const char *domain = s + 1;
		s = domain_end(domain);
		if (!s) return NULL;
		for (; domain < s; domain++)
			if (is_high((unsigned char)*domain)) return NULL;       /* nobody needs it: RFC 6531 has no routes of its own */
		if (*s == ':') return s + 1;
		if (s[0] != ',' || s[1] != '@') return NULL;
		s++;
	}
}

bool path_parse(struct path *p, char **s)
{
	const char *c = *s;
	memset(p, 0, sizeof *p);
	if (*c++ != '<') return false;
	if (*c != '>') {
		const char *end = source_route(c);
		if (!end || end - c > PATH_MAX_LEN) return false;
		c = mailbox(p, end);
		if (!c || *c != '>') return false;
	}
	*s += c + 1 - *s;
	return true;
}

bool mailbox_parse(struct path *p, const char *text)
{
	memset(p, 0, sizeof *p);
	const char *end = mailbox(p, text);
	return end && *end == '\0';
}

int param_next(char **s, char **keyword, char **value)
{
	char *p = *s;
	while (*p == ' ') p++;
	if (*p == '\0') return 0;
	*keyword = p;
	if (!is_alnum((unsigned char)*p)) return -1;
	while (is_alnum((unsigned char)*p) || *p == '-') p++;
	*value = NULL;
	if (*p == '=') {
		*p++ = '\0';
		*value = p;
		while ((is_graph((unsigned char)*p) && *p != '=') || is_high((unsigned char)*p)) p++;
		if (p == *value) return -1;
	}
	if (*p != ' ' && *p != '\0') return -1;
	if (*p == ' ') *p++ = '\0';
	*s = p;
	return 1;
}

bool number_parse(const char *s, unsigned long long *n)
{
	*n = 0;
	size_t digits = strlen(s);
	if (digits == 0 || digits > 20) return false;
	for (; *s; s++) {
		if (!is_digit((unsigned char)*s)) return false;
		if (__builtin_mul_overflow(*n, 10ULL, n) || __builtin_add_overflow(*n, (unsigned long long)(*s - '0'), n)) {
			for (; *s; s++)
				if (!is_digit((unsigned char)*s)) return false;
			*n = ~0ULL;
			return true;
		}
	}
	return true;
}
