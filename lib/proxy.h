#ifndef PROXY_H
#define PROXY_H
#include <stddef.h>
#include "peer.h"
enum proxy_result { PROXY_MORE, PROXY_BAD, PROXY_OK };
enum { PROXY_MAX = 4096 };
struct proxied { char peer[PEER_SIZE]; size_t used; };
enum proxy_result proxy_parse(const char *buf, size_t n, struct proxied *p);
#endif
