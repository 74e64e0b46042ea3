/* The header of the PROXY protocol, versions 1 and 2 (HAProxy, doc/proxy-protocol.txt), which tells whom a proxy has connected.  Pure functions.  */
#ifndef PROXY_H
#define PROXY_H

#include <stddef.h>

#include "peer.h"

enum proxy_result {
	PROXY_MORE,     /* the beginning of one, so far */
	PROXY_BAD,
	PROXY_OK,
};
enum { PROXY_MAX = 4096 };      /* octets: version 1 has 107 at most, version 2 16 and whatever a proxy adds */

struct proxied {
	char peer[PEER_SIZE];   /* as peer_find gives it; "" where the proxy speaks for itself, or cannot tell: the connection's own stays */
	size_t used;            /* octets of the header */
};

/* The header at the beginning of the n octets at `buf`; what is behind it is not looked at.  PROXY_BAD as soon as it cannot become one, but for an address of version 1,
 * which is read when its blank has come, and the checksum that a version 2 may have (CRC32C), when the last octet has.  *p is of use with PROXY_OK only.  */
enum proxy_result proxy_parse(const char *buf, size_t n, struct proxied *p);

#endif
