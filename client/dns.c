/* What DNS says about mail.  All that comes in answers is hostile: records are read by the library's bounds, names pass an allowlist before anybody else sees them,
 * and nothing grows with what is sent.  Temporary is what is not proven permanent (P9).
 * SPDX-License-Identifier: MIT */
#include "dns.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "log.h"
#include "names.h"

enum {
	NAME_MAX_LEN = 253,     /* RFC 1035 2.3.4: 255 octets, as text without the last dot */
	CHAIN = 8,              /* CNAMEs in a row */
};

__attribute__((format(printf, 3, 4)))
static enum dns_result because(struct dns *d, enum dns_result r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(d->why, sizeof d->why, fmt, ap);
	va_end(ap);
	return r;
}

bool dns_open(struct dns *d, const char *server, unsigned ms)
{
	*d->why = '\0';
	if (ask_open(&d->ask, server, ms)) return true;
	because(d, DNS_LATER, "%s", d->ask.why);
	return false;
}

void dns_close(struct dns *d) { ask_close(&d->ask); }

const char *dns_why(const struct dns *d) { return d->why; }

/* --- names --- */

/* Whether it is a name that we let through: for the log, for a HELO, for the next question.  A last label of digits is an address gone astray (RFC 3696 2).  */
static bool harmless(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
	size_t n = strlen(name);
	return n > 0 && n <= NAME_MAX_LEN && strspn(name, letters) == n && strspn(last, "0123456789") < strlen(last);
}

/* `name` in lower case and A-labels.  False, with why, for what is no domain.  */
static bool canonical(struct dns *d, const char *name, char out[DNS_NAME])
{
	char shown[3 * DNS_NAME / 2];
	_Static_assert(DNS_NAME == DOMAIN_MAX + 1, "they hold the same");
	if (names_domain(out, name) && (*out == '[' || strlen(out) <= NAME_MAX_LEN)) return true;
	because(d, DNS_NONE, "%s: not a domain name", *name ? log_escape(shown, sizeof shown, name) : "\"\"");
	return false;
}

/* Whether the name is in a list with blanks or commas between.  */
static bool in_list(const char *list, const char *name)
{
	static const char between[] = " \t,";
	for (const char *s = list + strspn(list, between); *s; s += strspn(s, between)) {
		size_t n = strcspn(s, between);
		if (n == strlen(name) && strncasecmp(s, name, n) == 0) return true;
		s += n;
	}
	return false;
}

/* --- answers --- */

/* The next record of `name` and `type` in the answer, from number *i on, which is moved behind it.  1, 0 when there is none any more, -1 when a record is broken.  */
static int next_record(struct dns *d, const char *name, int type, int *i, ns_rr *rr)
{
	while (*i < ns_msg_count(d->ask.message, ns_s_an)) {
		if (ns_parserr(&d->ask.message, ns_s_an, (*i)++, rr) != 0) return -1;
		if (rr->type == type && rr->rr_class == ns_c_in && strcasecmp(ns_rr_name(*rr), name) == 0) return 1;
	}
	return 0;
}

/* Read the name at `at` in the data of a record; it has to fill the data.  */
static bool name_in(struct dns *d, const ns_rr *rr, size_t at, char out[NS_MAXDNAME])
{
	if (ns_rr_rdlen(*rr) <= at) return false;
	int n = dn_expand(ns_msg_base(d->ask.message), ns_msg_end(d->ask.message), ns_rr_rdata(*rr) + at, out, NS_MAXDNAME);
	return n > 0 && at + (size_t)n == ns_rr_rdlen(*rr);
}

/* Ask, and follow the CNAMEs of the answer; `name` becomes the one that has the records.  DNS_OK if there are any.  Afterwards no record of the answer is broken.  */
static enum dns_result look_up(struct dns *d, char name[DNS_NAME], int type)
{
	char asked[DNS_NAME], next[NS_MAXDNAME];
	ns_rr rr;
	strcpy(asked, name);
	if (!ask(&d->ask, name, type)) return because(d, DNS_LATER, "%s: %s", asked, d->ask.why);
	if (d->ask.rcode == ns_r_nxdomain) return because(d, DNS_NONE, "%s: no such name", asked);
	for (int hop = 0; hop <= CHAIN; hop++) {
		int i = 0, got = next_record(d, name, type, &i, &rr);
		if (got > 0) return DNS_OK;
		i = 0;
		if (got == 0) got = next_record(d, name, ns_t_cname, &i, &rr);
		if (got < 0) return because(d, DNS_LATER, "%s: the answer is nonsense", asked);
		if (got == 0) return because(d, DNS_NONE, "%s: has no %s", asked, type == ns_t_mx ? "MX" : "address");
		if (!name_in(d, &rr, 0, next) || !harmless(next)) return because(d, DNS_LATER, "%s: an alias (CNAME) of what is no name", asked);
		strcpy(name, next);
	}
	return because(d, DNS_LATER, "%s: too many aliases (CNAME), or a loop of them", asked);
}

/* --- MX --- */

/* The hosts while they are collected: sorted by preference and, among equals, a random key.  */
struct ranking { struct dns_hosts *out; uint32_t key[DNS_HOSTS]; };

static void cut_at(struct ranking *r, size_t i)
{
	struct dns_hosts *o = r->out;
	o->count--;
	memmove(&o->host[i], &o->host[i + 1], (o->count - i) * sizeof *o->host);
	memmove(&r->key[i], &r->key[i + 1], (o->count - i) * sizeof *r->key);
}

static void rank(struct ranking *r, const char *name, unsigned preference)
{
	struct dns_hosts *o = r->out;
	uint32_t key = 0;
	size_t i;
	for (i = 0; i < o->count && strcasecmp(o->host[i].name, name) != 0; i++);
	if (i < o->count) {     /* twice: its best counts */
		if (o->host[i].preference <= preference) return;
		cut_at(r, i);
	}
	if (getrandom(&key, sizeof key, 0) < 0) key = 0;
	for (i = 0; i < o->count && (o->host[i].preference < preference || (o->host[i].preference == preference && r->key[i] <= key)); i++);
	if (i == DNS_HOSTS) return;
	if (o->count == DNS_HOSTS) o->count--;
	memmove(&o->host[i + 1], &o->host[i], (o->count - i) * sizeof *o->host);
	memmove(&r->key[i + 1], &r->key[i], (o->count - i) * sizeof *r->key);
	strcpy(o->host[i].name, name);
	o->host[i].preference = preference;
	r->key[i] = key;
	o->count++;
}

/* Collect the MX of `name` that are better than we are.  */
static enum dns_result collect(struct dns *d, const char *domain, const char *name, const char *self, struct dns_hosts *out)
{
	enum { NOT_IN = 65536 };
	struct ranking ranking = { .out = out };
	char host[NS_MAXDNAME];
	unsigned ours = NOT_IN, bad = 0, null = 0;
	ns_rr rr;
	for (int i = 0; next_record(d, name, ns_t_mx, &i, &rr) > 0; ) {
		if (!name_in(d, &rr, NS_INT16SZ, host)) {
			bad++;
			continue;
		}
		unsigned preference = ns_get16(ns_rr_rdata(rr));
		if (!*host || strcmp(host, ".") == 0) null++;
		else if (!harmless(host)) bad++;
		else if (!in_list(self, host)) rank(&ranking, host, preference);
		else if (preference < ours) ours = preference;
	}
	while (out->count > 0 && out->host[out->count - 1].preference >= ours) out->count--;
	if (out->count > 0) return DNS_OK;
	if (ours != NOT_IN) return because(d, DNS_SELF, "%s: the best MX is this host, which does not take its mail", domain);
	if (bad == 0 && null > 0) return because(d, DNS_NULL_MX, "%s: takes no mail (null MX)", domain);
	return because(d, DNS_LATER, "%s: no MX with a name that can be used", domain);
}

enum dns_result dns_mx(struct dns *d, const char *domain, const char *self, struct dns_hosts *out)
{
	char asked[DNS_NAME], name[DNS_NAME];
	memset(out, 0, sizeof *out);
	*d->why = '\0';
	if (!canonical(d, domain, asked)) return DNS_NONE;
	strcpy(name, asked);
	if (*asked != '[') {
		enum dns_result r = look_up(d, name, ns_t_mx);
		if (r == DNS_LATER || (r == DNS_NONE && d->ask.rcode == ns_r_nxdomain)) return r;
		out->authentic = d->ask.authentic;
		if (r == DNS_OK) return collect(d, asked, name, self, out);
	}
	if (in_list(self, asked) || in_list(self, name)) return because(d, DNS_SELF, "%s: is this host, which does not take its mail", asked);
	*d->why = '\0';
	out->implicit = true;
	strcpy(out->host[out->count++].name, asked);
	return DNS_OK;
}

/* --- addresses --- */

/* From the octets of an A or AAAA.  False for what nobody can be connected to by.  */
static bool make_address(struct dns_address *a, int family, const void *octets, unsigned port)
{
	memset(a, 0, sizeof *a);
	if (family == AF_INET) {
		a->u.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((in_port_t)port) };
		memcpy(&a->u.in.sin_addr, octets, sizeof a->u.in.sin_addr);
		a->len = sizeof a->u.in;
		unsigned first = ntohl(a->u.in.sin_addr.s_addr) >> 24;
		return first != 0 && first < 224;
	}
	a->u.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((in_port_t)port) };
	memcpy(&a->u.in6.sin6_addr, octets, sizeof a->u.in6.sin6_addr);
	a->len = sizeof a->u.in6;
	const struct in6_addr *in6 = &a->u.in6.sin6_addr;
	return !IN6_IS_ADDR_UNSPECIFIED(in6) && !IN6_IS_ADDR_MULTICAST(in6) && !IN6_IS_ADDR_V4MAPPED(in6);
}

/* This host is no place that the DNS can name: what trusts it would be talked to in the name of a stranger.  */
static bool is_loopback(const struct dns_address *a)
{
	if (a->u.sa.sa_family == AF_INET) return ntohl(a->u.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&a->u.in6.sin6_addr);
}

/* Whether `host` is an address, in brackets or not; then `family` is 0 if it is a broken one.  */
static bool literal(const char *host, int *family, unsigned char octets[16])
{
	char text[DNS_NAME];
	bool brackets = *host == '[';
	size_t n = strlen(host) - brackets;
	*family = 0;
	if (n >= sizeof text) return brackets;
	memcpy(text, host + brackets, n + 1);
	if (brackets) text[strcspn(text, "]")] = '\0';
	bool tagged = brackets && strncasecmp(text, "IPv6:", 5) == 0;
	if (!tagged && inet_pton(AF_INET, text, octets) == 1) *family = AF_INET;
	else if (inet_pton(AF_INET6, text + (tagged ? 5 : 0), octets) == 1) *family = AF_INET6;
	return brackets || *family;
}

/* Ask for one kind.  */
static enum dns_result find_addresses(struct dns *d, const char *host, int family, unsigned port, struct dns_addresses *out)
{
	char name[DNS_NAME];
	int i = 0, type = family == AF_INET ? ns_t_a : ns_t_aaaa;
	ns_rr rr;
	out->count = 0;
	strcpy(name, host);
	enum dns_result r = look_up(d, name, type);
	if (r != DNS_OK) return r;
	out->authentic = d->ask.authentic;
	while (out->count < DNS_ADDRESSES && next_record(d, name, type, &i, &rr) > 0) {
		if (ns_rr_rdlen(rr) != (family == AF_INET ? NS_INADDRSZ : NS_IN6ADDRSZ)) continue;
		struct dns_address *a = &out->address[out->count];
		if (make_address(a, family, ns_rr_rdata(rr), port) && !is_loopback(a)) out->count++;
	}
	return out->count > 0 ? DNS_OK : because(d, DNS_NONE, "%s: has no address that can be used", host);
}

static enum dns_result one_address(struct dns *d, const char *host, int family, const unsigned char *octets, unsigned port, struct dns_addresses *out)
{
	char shown[DNS_NAME];
	if (!family || !make_address(&out->address[0], family, octets, port))
		return because(d, DNS_NONE, "%s: not an address that can be used", log_escape(shown, sizeof shown, host));
	out->count = 1;
	return DNS_OK;
}

enum dns_result dns_addresses(struct dns *d, const char *host, unsigned port, struct dns_addresses *out)
{
	static const int families[2] = { AF_INET6, AF_INET };
	struct dns_addresses found[2];
	enum dns_result r[2];
	unsigned char octets[16];
	char name[DNS_NAME], why[DNS_WHY] = "";
	int family;
	memset(out, 0, sizeof *out);
	*d->why = '\0';
	if (literal(host, &family, octets)) return one_address(d, host, family, octets, port, out);
	if (!canonical(d, host, name)) return DNS_NONE;
	for (int k = 0; k < 2; k++) {
		r[k] = find_addresses(d, name, families[k], port, &found[k]);
		if (r[k] == DNS_LATER) strcpy(why, d->why);
	}
	if (r[0] != DNS_OK && r[1] != DNS_OK) {
		if (*why) strcpy(d->why, why);  /* it decides */
		return *why ? DNS_LATER : DNS_NONE;
	}
	*d->why = '\0';
	out->authentic = (r[0] != DNS_OK || found[0].authentic) && (r[1] != DNS_OK || found[1].authentic);
	for (size_t i = 0; i < DNS_ADDRESSES; i++)
		for (int k = 0; k < 2; k++)
			if (r[k] == DNS_OK && i < found[k].count && out->count < DNS_ADDRESSES) out->address[out->count++] = found[k].address[i];
	return DNS_OK;
}
