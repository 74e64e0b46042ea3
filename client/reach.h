/* A connection to a server.  */
#ifndef REACH_H
#define REACH_H

/* The addresses of `host` (brackets around one of IPv6 or IPv4 are left out), tried in turn, at most half a minute each; of one family only (AF_INET, AF_INET6) or any (AF_UNSPEC);
 * `port` is a number or the name of a service; or "unix:PATH", without a port.  What was reached, and what was not and why, is told by `tell`, in a line.  Returns the
 * socket, or -1 with *status an exit status: EX_NOHOST, EX_UNAVAILABLE, EX_TEMPFAIL (out of time, or names cannot be looked up now), EX_USAGE (no such port).  */
int reach(const char *host, const char *port, int family, void (*tell)(void *ctx, const char *line), void *ctx, int *status);

#endif
