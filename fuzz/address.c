/* The address and parameter parser against the grammar itself (RFC 5321 4.1.2, 4.1.3, 6531), as regular expressions with the limits beside.
 * MAIL and RCPT are run with their parameters on a session of their own.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <regex.h>

#include "fuzz.h"
#include "session.h"

#define ATEXT "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]"
#define QTEXT "[] !#-[^-~\x80-\xff]"
#define LOCAL "(" ATEXT "+(\\." ATEXT "+)*|\"(" QTEXT "|\\\\[ -~])*\")"
#define LABEL "[A-Za-z0-9_\x80-\xff]([A-Za-z0-9_\x80-\xff-]*[A-Za-z0-9_\x80-\xff])?"
#define DOMAIN "(" LABEL "(\\." LABEL ")*|\\[[^]]*\\])"
#define MAILBOX LOCAL "(@" DOMAIN ")?"
enum { R_LOCAL = 1, R_DOMAIN_AT = 4, R_DOMAIN = 5, GROUPS = 12 };       /* the groups of MAILBOX */

static regex_t mailbox_re, domain_re, route_re, param_re, number_re, hello_re;

static void compile(regex_t *re, const char *text) { EXPECT(regcomp(re, text, REG_EXTENDED) == 0); }

static bool high(const char *s, size_t n)
{
	bool any = false;
	for (size_t i = 0; i < n; i++) any |= (unsigned char)s[i] >= 0x80;
	return any;
}

/* UTF-8 by decoding and encoding again.  */
static bool utf8(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + n;
	while (p < end) {
		unsigned len = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0, least[] = { 0, 0, 0x80, 0x800, 0x10000 };
		if (len == 0 || (size_t)(end - p) < len) return false;
		uint32_t c = len == 1 ? *p : *p & (0x7fU >> len);
		for (unsigned i = 1; i < len; i++) {
			if (p[i] >> 6 != 2) return false;
			c = c << 6 | (p[i] & 0x3f);
		}
		if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return false;
		p += len;
	}
	return true;
}

/* What the expression cannot say of a domain: lengths, and what is in brackets.  */
static bool domain_fits(const char *s, size_t n)
{
	char text[300];
	unsigned char addr[16];
	if (n > 255) return false;
	snprintf(text, sizeof text, "%.*s", (int)n, s);
	if (*text == '[') {
		text[n - 1] = '\0';
		return n < 66 && (strncasecmp(text, "[IPv6:", 6) == 0 ? inet_pton(AF_INET6, text + 6, addr) : inet_pton(AF_INET, text + 1, addr)) == 1;
	}
	for (char *label = strtok(text, "."); label; label = strtok(NULL, "."))
		if (strlen(label) > 63) return false;
	return true;
}

struct want { bool good; size_t text, text_n, domain_n; char local[300]; };

/* The mailbox s[0..n), which the expression has matched.  */
static struct want fits(const char *s, size_t n, const regmatch_t *m)
{
	struct want w = { .text_n = n };
	size_t local_n = (size_t)m[R_LOCAL].rm_eo, o = 0;
	if (n > 254 || local_n > 64 || !utf8(s, n)) return w;
	for (size_t i = 0; i < local_n; i++) {
		if (s[0] == '"' && (i == 0 || i == local_n - 1)) continue;
		if (s[0] == '"' && s[i] == '\\') i++;
		w.local[o++] = s[i];
	}
	if (m[R_DOMAIN].rm_so < 0) {
		w.good = strcasecmp(w.local, "postmaster") == 0;
		return w;
	}
	w.domain_n = (size_t)(m[R_DOMAIN].rm_eo - m[R_DOMAIN].rm_so);
	w.good = domain_fits(s + m[R_DOMAIN].rm_so, w.domain_n);
	return w;
}

/* The length of the source route at s; 0 when there is none or it is broken.  */
static size_t route(const char *s)
{
	regmatch_t m[1];
	if (*s != '@' || regexec(&route_re, s, 1, m, 0) != 0) return 0;
	for (const char *d = s; *d == '@' || *d == ',';) {
		d += strspn(d, ",@");
		size_t n = *d == '[' ? strcspn(d, "]") + 1 : strcspn(d, ",:");
		if (!domain_fits(d, n) || high(d, n)) return 0;
		d += n;
	}
	return (size_t)m[0].rm_eo;
}

static void check_found(const struct path *p, const char *s, const struct want *w)
{
	EXPECT(strlen(p->text) == w->text_n && memcmp(p->text, s, w->text_n) == 0);
	EXPECT(strcmp(p->local, w->local) == 0);
	EXPECT(strlen(p->domain) == w->domain_n && memcmp(p->domain, s + w->text_n - w->domain_n, w->domain_n) == 0);
	EXPECT(p->utf8 == high(s, w->text_n));
}

static void check_mailbox(const char *s)
{
	struct path p;
	regmatch_t m[GROUPS];
	struct want w = { 0 };
	if (regexec(&mailbox_re, s, GROUPS, m, 0) == 0 && s[m[0].rm_eo] == '\0') w = fits(s, (size_t)m[0].rm_eo, m);
	EXPECT(mailbox_parse(&p, s) == w.good);
	if (w.good) check_found(&p, s, &w);
}

static void check_path(char *s)
{
	struct path p;
	regmatch_t m[GROUPS];
	struct want w = { 0 };
	char *end = s;
	size_t skip = 1 + (s[0] == '<' ? route(s + 1) : 0), whole = 0;
	bool empty = strncmp(s, "<>", 2) == 0;
	if (*s == '<' && !empty && skip - 1 <= 254 && regexec(&mailbox_re, s + skip, GROUPS, m, 0) == 0 && s[skip + (size_t)m[0].rm_eo] == '>') {
		w = fits(s + skip, (size_t)m[0].rm_eo, m);
		whole = skip + (size_t)m[0].rm_eo + 1;
	}
	bool good = path_parse(&p, &end);
	EXPECT(good == (w.good || empty));
	EXPECT(end == s + (!good ? 0 : empty ? 2 : whole));
	if (w.good) check_found(&p, s + skip, &w);
	if (good && empty) EXPECT(!*p.text && !*p.local && !*p.domain && !p.utf8);
}

static void check_small(const char *s)
{
	regmatch_t m[1];
	unsigned long long n, want;
	bool number = regexec(&number_re, s, 0, NULL, 0) == 0;
	size_t len = strlen(s);
	errno = 0;
	want = strtoull(s, NULL, 10);
	EXPECT(number_parse(s, &n) == number && (!number || n == want));
	EXPECT(utf8_valid(s) == utf8(s, len));
	EXPECT(hello_valid(s) == (len <= 255 && regexec(&hello_re, s, 0, NULL, 0) == 0));
	bool domain = regexec(&domain_re, s, 1, m, 0) == 0 && s[m[0].rm_eo] == '\0';
	EXPECT(domain_valid(s) == (domain && domain_fits(s, len)));
}

/* --- MAIL and RCPT --- */

static unsigned offers;
static const struct reply *offer(struct session *s, const struct path *rcpt) { (void)s; offers += *rcpt->text != '\0'; return REPLY(RCPT_OK); }
static void tell(struct session *s, const struct event *e) { (void)s, (void)e; }
static void abandon(struct session *s) { (void)s; }
static const struct backend backend = { .rcpt = offer, .tell = tell, .abandon = abandon };
static struct config cf = { .max_recipients = 100 };
static struct session session;
static char out[4096];

static struct session *fresh(void)
{
	memset(&session.tx, 0, sizeof session.tx);
	session.cf = &cf;
	session.backend = &backend;
	session.size_max = 1000000;
	session.io = (struct io){ .in = 0, .out = 1, .obuf = out, .osize = sizeof out };
	return &session;
}

/* The code that the parameters of MAIL deserve, 0 for none; *utf8 is set by SMTPUTF8.  */
static int judge(char *s, bool *smtputf8)
{
	unsigned seen = 0;
	for (char *word = strtok(s, " "); word; word = strtok(NULL, " ")) {
		if (regexec(&param_re, word, 0, NULL, 0) != 0) return 501;
		char *value = strchr(word, '=');
		if (value) *value++ = '\0';
		unsigned which = !strcasecmp(word, "SIZE") ? 1 : !strcasecmp(word, "BODY") ? 2 : !strcasecmp(word, "SMTPUTF8") ? 4 : 0;
		if (!which) return 555;
		if (seen & which || (which == 4) == (value != NULL)) return 501;
		seen |= which;
		if (which == 1 && regexec(&number_re, value, 0, NULL, 0) != 0) return 501;
		if (which == 1 && strtoull(value, NULL, 10) > 1000000) return 552;
		if (which == 2 && strcasecmp(value, "8BITMIME") && strcasecmp(value, "7BIT")) return 501;
	}
	*smtputf8 = seen & 4;
	return 0;
}

static void check_mail(const char *path, size_t n, const struct path *p, const char *params)
{
	char line[3000], rest[1500];
	bool smtputf8 = false;
	snprintf(rest, sizeof rest, "%s", params);
	int want = judge(rest, &smtputf8);
	if (!want && *p->text && !*p->domain) want = 501;
	if (!want && p->utf8 && !smtputf8) want = 553;
	snprintf(line, sizeof line, "From: %.*s%s", (int)n, path, params);
	struct session *s = fresh();
	const struct reply *r = verb_mail(s, line);
	EXPECT(r->code == (want ? want : 250) && s->tx.open == !want);
	EXPECT(want ? !*s->tx.from.text && !s->tx.smtputf8 && !s->tx.declared : !strcmp(s->tx.from.text, p->text) && s->tx.smtputf8 == smtputf8);
}

static void check_rcpt(const char *path, size_t n, const struct path *p, const char *params, bool smtputf8)
{
	char line[3000];
	const char *word = params + strspn(params, " ");
	char first[1500];
	snprintf(first, sizeof first, "%.*s", (int)strcspn(word, " "), word);
	bool syntax = !*first || regexec(&param_re, first, 0, NULL, 0) == 0;
	snprintf(line, sizeof line, "to:%.*s%s", (int)n, path, params);
	struct session *s = fresh();
	s->tx.open = true;
	s->tx.smtputf8 = smtputf8;
	offers = 0;
	const struct reply *r = verb_rcpt(s, line);
	int want = !*p->text || !syntax ? 501 : *first ? 555 : p->utf8 && !smtputf8 ? 553 : 0;
	EXPECT(want ? r && r->code == want && offers == 0 : !r && offers == 1 && s->tx.accepted == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!mailbox_re.re_nsub) {
		compile(&mailbox_re, "^" MAILBOX);
		compile(&domain_re, "^" DOMAIN);
		compile(&route_re, "^@" DOMAIN "(,@" DOMAIN ")*:");
		compile(&param_re, "^[A-Za-z0-9][A-Za-z0-9-]*(=[!-<>-~\x80-\xff]+)?$");
		compile(&number_re, "^[0-9]{1,20}$");
		compile(&hello_re, "^[]A-Za-z0-9._:[-]+$");
	}
	fuzz_take(data, size, 1000);
	char *s = exactly(fuzz.text, fuzz.n + 1), *end = s;
	s[fuzz.n] = '\0';
	for (char *c = s; *c; c++)      /* the dialogue lets no control octets through */
		if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' ';
	struct path p;
	check_small(s);
	check_mailbox(s);
	check_path(s);
	if (path_parse(&p, &end) && (*end == ' ' || !*end)) {
		check_mail(s, (size_t)(end - s), &p, end);
		check_rcpt(s, (size_t)(end - s), &p, end, control() & 1);
	}
	free(s);
	return 0;
}
