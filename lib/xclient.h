#ifndef XCLIENT_H
#define XCLIENT_H
#include <stdbool.h>
#include "address.h"
#include "peer.h"
struct xclient { bool given_addr, given_helo, given_login, given_proto, esmtp; char addr[PEER_SIZE], helo[DOMAIN_MAX + 1], login[256]; };
bool xclient_parse(char *arg, struct xclient *x);
#endif
