/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "header.h"
#include "log.h"
#include "submit.h"

/* A bare name is one of this host.  False if it is no mailbox.  */
bool qualify(const struct sendmail *m, const char *text, struct path *p)
{
	char whole[2 * PATH_MAX_LEN];
	if (mailbox_parse(p, text) && *p->domain) return true;
	return snprintf(whole, sizeof whole, "%s@%s", text, m->cf.hostname) < (int)sizeof whole && mailbox_parse(p, whole);
}

void add_recipient(struct sendmail *m, const char *text)
{
	struct path p;
	if (!qualify(m, text, &p)) {
		trouble(m, EX_DATAERR, "this is no address", log_escape((char[400]){ 0 }, 400, text));
		return;
	}
	for (struct recipient *r = m->rcpts; r; r = r->next)
		if (strcmp(r->address, p.text) == 0) return;
	struct recipient *r = m->count < RCPT_MAX ? calloc(1, sizeof *r) : NULL;
	if (!r) {
		trouble(m, EX_UNAVAILABLE, p.text, "too many recipients");
		return;
	}
	strcpy(r->address, p.text);
	m->utf8 |= p.utf8;
	m->count++;
	*m->last = r;
	m->last = &r->next;
}

void add_list(struct sendmail *m, const char *s, const char *end)
{
	char text[PATH_MAX_LEN + 2];
	enum address_kind kind;
	while ((kind = address_next(&s, end, text, sizeof text)) != ADDRESS_END) {
		if (kind == ADDRESS_GOOD) add_recipient(m, text);
		else trouble(m, EX_DATAERR, "an address that cannot be read", log_escape((char[600]){ 0 }, 600, text));
	}
}
