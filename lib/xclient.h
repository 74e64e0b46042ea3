/* The attributes of XCLIENT: what a mail server or filter before us knows of its client (Postfix, XCLIENT_README).  */
#ifndef XCLIENT_H
#define XCLIENT_H

#include <stdbool.h>

#include "address.h"
#include "peer.h"

struct xclient {
	bool given_addr, given_helo, given_login, given_proto;
	bool esmtp;                     /* PROTO */
	char addr[PEER_SIZE];           /* each "" if it is said to be not known */
	char helo[DOMAIN_MAX + 1];
	char login[256];
};

/* The argument of the command, which is cut up.  NAME, PORT, DESTADDR, DESTPORT and REVERSE_NAME are read and forgotten.  False for anything that is not as
 * documented.  */
bool xclient_parse(char *arg, struct xclient *x);

#endif
