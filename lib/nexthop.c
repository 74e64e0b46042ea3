/* How the keeper gets a next hop, and how it gets rid of one.
 * SPDX-License-Identifier: MIT */
#include "nexthop.h"

#include <stdio.h>

#include "log.h"

bool nexthop_open(struct nexthop *n, const struct config *cf)
{
	n->ours = !*cf->deliver;
	return helper_open(&n->helper, cf->deliver, cf->deliver_timeout);
}

void nexthop_start(struct nexthop *n, const struct config *cf, const char *id)
{
	char session[80];
	char *argv[CONFIG_ARGUMENTS + 4], *envp[5] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", session, (char *)log_environment() };
	argv[0] = *cf->deliver ? (char *)cf->deliver : (char *)"maildir-deliver";
	argv[1] = (char *)"--lmtp";
	config_arguments(cf, argv + 2);
	snprintf(session, sizeof session, "SMTP_ID=%s", id);
	if (n->ours) envp[3] = (char *)"SMTP_AHEAD=yes";        /* we do not wait for its greeting */
	helper_start(&n->helper, argv, envp, 0);
}

void nexthop_close(struct nexthop *n, bool at_once)
{
	char why[HELPER_WHY];
	struct event e = { .kind = EVENT_HOP_FAILED };
	int status = helper_close(&n->helper, at_once);
	if (status == 0 || status == HELPER_ENDED) return;
	helper_why(status, why);
	snprintf(e.reply, sizeof e.reply, "%s", why);
	log_event(&e);
}
