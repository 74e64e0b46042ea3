/* The recipients of the envelope, from the arguments and, with -t, from the header.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "header.h"
#include "log.h"
#include "submit.h"

bool qualify(const char *text, const char *domain, struct path *p)
{
	char whole[2 * PATH_MAX_LEN];
	if (mailbox_parse(p, text) && *p->domain) return true;
	return snprintf(whole, sizeof whole, "%s@%s", text, domain) < (int)sizeof whole && mailbox_parse(p, whole);
}

/* A domain has no case (RFC 5321 2.4).  */
static bool same(const char *a, const char *b)
{
	const char *at = strrchr(a, '@');
	size_t n = (size_t)(at - a);
	return strncmp(a, b, n) == 0 && strcasecmp(a + n, b + n) == 0;
}

static void add_recipient(struct sendmail *m, const struct path *p)
{
	for (struct recipient *r = m->rcpts; r; r = r->next)
		if (same(r->address, p->text)) return;
	struct recipient *r = m->count < RCPT_MAX ? calloc(1, sizeof *r) : NULL;
	if (!r) {
		trouble(m, EX_UNAVAILABLE, p->text, "too many recipients");
		return;
	}
	strcpy(r->address, p->text);
	m->utf8 |= p->utf8;
	m->count++;
	*m->last = r;
	m->last = &r->next;
}

void add_list(struct sendmail *m, const char *s, const char *end)
{
	char text[PATH_MAX_LEN + 2], shown[600];
	enum address_kind kind;
	struct path p;
	for (const char *from = s; (kind = address_next(&s, end, text, sizeof text)) != ADDRESS_END; from = s) {
		if (kind == ADDRESS_GOOD && qualify(text, m->cf.hostname, &p)) {
			add_recipient(m, &p);
			continue;
		}
		while (from < s && (*from == ' ' || *from == '\t' || *from == '\r' || *from == '\n')) from++;
		snprintf(text, sizeof text, "%.*s", (int)strcspn(from, "\r\n") < (int)(s - from) ? (int)strcspn(from, "\r\n") : (int)(s - from), from);
		trouble(m, EX_DATAERR, log_escape(shown, sizeof shown, text), "this is no address");
	}
}
