/* Where mail for a domain is taken: the table of transports, the relay for all, or what the DNS says.  */
#ifndef ROUTE_H
#define ROUTE_H

#include <stdbool.h>

#include "config.h"

struct route {
	char host[256];         /* "" : by the MX records of the domain */
	char port[8];
	enum tls_policy policy;
	bool authenticate;      /* with relay_auth */
};

/* Find it.  False when the table cannot be read: `why` says so, and nothing can be sent now.  */
bool route_find(const struct config *cf, const char *domain, struct route *r, char why[256]);

/* Whether both lead to the same server in the same way.  */
bool route_same(const struct route *a, const struct route *b);

/* "HOST:PORT", "HOST", "[HOST]:PORT", "[IPV6]:PORT" into host and port (25 if there is none).  */
bool route_parse(struct route *r, const char *text);

#endif
