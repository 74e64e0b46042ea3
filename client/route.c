/* The table of transports, read through: it has few lines.  "DOMAIN WHERE [POLICY]": WHERE is HOST[:PORT], or "mx"; a DOMAIN with a dot in front is all beneath it.
 * SPDX-License-Identifier: MIT */
#include "route.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { LINE = 1024 };

static const char *const policies[] = { "none", "may", "encrypt", "verify" };

bool route_parse(struct route *r, const char *text)
{
	const char *end = *text == '[' ? strchr(text, ']') : strrchr(text, ':');
	bool literal = *text == '[', bare = !literal && end && strchr(text, ':') != end;        /* an IPv6 address without brackets */
	size_t n = literal ? end ? (size_t)(end - text) + 1 : 0 : end && !bare ? (size_t)(end - text) : strlen(text);
	const char *port = text[n] == ':' ? text + n + 1 : "25";
	if (n == 0 || n >= sizeof r->host || (text[n] && text[n] != ':') || !*port || strlen(port) > 5 || port[strspn(port, "0123456789")]) return false;
	if (literal && !memchr(text, ':', n)) text++, n -= 2;   /* "[NAME]", as Postfix has it */
	if (n == 0) return false;
	memcpy(r->host, text, n);
	r->host[n] = '\0';
	strcpy(r->port, port);
	return true;
}

/* Such a name has more than one form, and a line that fits none of them would let mail go as it must not.  */
static bool beyond_ascii(const char *s)
{
	while (*s && (unsigned char)*s < 0x80) s++;
	return *s;
}

bool route_same(const struct route *a, const struct route *b)
{
	return strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0 && a->policy == b->policy && a->authenticate == b->authenticate;
}

static bool matches(const char *pattern, const char *domain)
{
	size_t n = strlen(pattern), d = strlen(domain);
	if (strcmp(pattern, "*") == 0) return true;
	if (*pattern != '.') return strcasecmp(pattern, domain) == 0;
	return d > n && strcasecmp(domain + d - n, pattern) == 0;
}

/* A line that has matched.  */
static bool take(struct route *r, const char *where, const char *policy)
{
	if (strcasecmp(where, "mx") == 0) *r->host = '\0';
	else if (!route_parse(r, where)) return false;
	r->authenticate = false;
	for (int i = 0; policy && i < 4; i++) {
		if (strcasecmp(policies[i], policy) != 0) continue;
		r->policy = (enum tls_policy)i;
		return true;
	}
	return !policy;
}

/* 1: the table has decided; 0: it has not; -1: it cannot be read.  */
static int look_up(const char *file, const char *domain, struct route *r, char why[256])
{
	char line[LINE], *rest, *name, *where, *policy;
	int found = 0;
	FILE *f = fopen(file, "re");
	if (!f) return snprintf(why, 256, "transports = %.200s: %s", file, strerror(errno)), -1;
	for (unsigned n = 1; !found && fgets(line, sizeof line, f); n++) {
		bool whole = strchr(line, '\n') || feof(f);
		if (!(name = strtok_r(line, " \t\r\n", &rest)) || *name == '#') continue;
		where = strtok_r(NULL, " \t\r\n", &rest);
		policy = strtok_r(NULL, " \t\r\n", &rest);
		if (beyond_ascii(name)) {
			found = -1;
			snprintf(why, 256, "%.160s:%u: a domain beyond ASCII has to stand as its A-labels, xn--...", file, n);
			break;
		}
		if (whole && where && !matches(name, domain)) continue;
		found = whole && where && take(r, where, policy) && !strtok_r(NULL, " \t\r\n", &rest) ? 1 : -1;
		if (found < 0) snprintf(why, 256, "%.160s:%u: expected DOMAIN HOST[:PORT] [none|may|encrypt|verify]", file, n);
	}
	if (ferror(f) && !found) found = -1, snprintf(why, 256, "%.200s: cannot be read", file);
	fclose(f);
	return found;
}

bool route_find(const struct config *cf, const char *domain, struct route *r, char why[256])
{
	*r = (struct route){ .port = "25", .policy = (enum tls_policy)cf->tls_policy };
	int found = *cf->transports ? look_up(cf->transports, domain, r, why) : 0;
	if (found) return found > 0;
	if (!*cf->relayhost) return true;
	r->authenticate = *cf->relay_auth;
	if (r->authenticate && r->policy < POLICY_ENCRYPT) r->policy = POLICY_VERIFY;   /* a password is not for whoever answers */
	if (route_parse(r, cf->relayhost)) return true;
	snprintf(why, 256, "relayhost = %.200s: expected HOST:PORT", cf->relayhost);
	return false;
}
