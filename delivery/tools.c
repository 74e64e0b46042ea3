/* What administrators call maildir-deliver for.
 * SPDX-License-Identifier: MIT */
#include "tools.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "alias.h"
#include "names.h"
#include "verify.h"

bool tools_parse(const struct config *cf, const char *text, struct path *p)
{
	char line[2 * PATH_MAX_LEN + 8], *s = line;
	snprintf(line, sizeof line, "%s", text);
	if (*text == '<') return path_parse(p, &s) && *s == '\0';
	if (mailbox_parse(p, text)) return true;
	snprintf(line, sizeof line, "%.256s@%s", text, cf->hostname);
	return !strchr(text, '@') && mailbox_parse(p, line);
}

const char *tools_sender(char *out, size_t size, const char *s)
{
	size_t n = strlen(s);
	if (n >= 2 && s[0] == '<' && s[n - 1] == '>') {
		s++;
		n -= 2;
	}
	if (n >= size) return NULL;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f) return NULL;
	snprintf(out, size, "%.*s", (int)n, s);
	if (strcmp(out, "MAILER-DAEMON") == 0) *out = '\0';
	return out;
}

int tools_make(const struct resolver *r, const char *address)
{
	struct path p;
	char local[NAME_LOCAL + 1], domain[DOMAIN_MAX + 1];
	if (!mailbox_parse(&p, address) || !*p.domain) {
		fprintf(stderr, "maildir-deliver: %s: not a mailbox address\n", address);
		return EX_USAGE;
	}
	bool named = names_local(local, p.local) && names_domain(domain, p.domain) && !strpbrk(local, r->cf->detail_separator);
	int e = r->root < 0 ? ENOENT : !named ? EINVAL : resolver_make(r, domain, local);
	if (e) fprintf(stderr, "maildir-deliver: cannot make %s: %s\n", address, strerror(e));
	return e == 0 ? EX_OK : e == EINVAL ? EX_USAGE : EX_TEMPFAIL;
}

int tools_where(struct expander *x, char **addresses, size_t n)
{
	int status = EX_OK;
	for (size_t i = 0; i < n; i++) {
		struct path p;
		bool good = tools_parse(x->cf, addresses[i], &p) && *p.text;
		if (!good) printf("%s: not a mailbox address\n", addresses[i]);
		const struct reply *r = good ? where_print(x, &p) : REPLY(BAD_RCPT);
		expand_done(x);
		if (r && status != EX_NOUSER) status = r->code / 100 == 4 ? EX_TEMPFAIL : EX_NOUSER;
	}
	return fflush(stdout) == 0 ? status : EX_IOERR;
}

int tools_rebuild(const struct config *cf, char **files, size_t n)
{
	int status = EX_OK;
	if (n == 0) return alias_compile(*cf->aliases ? cf->aliases : "/etc/aliases");
	for (size_t i = 0; i < n; i++) {
		int one = alias_compile(files[i]);
		if (one != EX_OK) status = one;
	}
	return status;
}
