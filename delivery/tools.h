/* What administrators call maildir-deliver for.  Each returns an exit status.  */
#ifndef TOOLS_H
#define TOOLS_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "expand.h"
#include "resolve.h"

/* An address as people write it: "user", "user@domain" or "<user@domain>"; a bare name is one of this host.  */
bool tools_parse(const struct config *cf, const char *text, struct path *p);

/* -f: an address with or without brackets, "" for none (MAILER-DAEMON, as Postfix says it), copied to `out`.  NULL if it would break its header.  */
const char *tools_sender(char *out, size_t size, const char *s);

/* --make USER@DOMAIN.  */
int tools_make(const struct resolver *r, const char *address);

/* --where ADDRESS...: what would become of mail for each.  */
int tools_where(struct expander *x, char **addresses, size_t n);

/* --rebuild-aliases, and what newaliases(1) is for: compile the files, or that of the setting.  */
int tools_rebuild(const struct config *cf, char **files, size_t n);

#endif
