/* Every address is tried, and each has its time, so that one that swallows what it is sent does not hide the others.
 * SPDX-License-Identifier: MIT */
#include "reach.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "helper.h"

enum { PATIENCE = 30000 };

struct teller { void (*tell)(void *ctx, const char *line); void *ctx; };

__attribute__((format(printf, 2, 3))) static void say(const struct teller *t, const char *fmt, ...)
{
	char line[1200];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	t->tell(t->ctx, line);
}

static int reach_path(const char *path, const struct teller *t, int *status)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	bool fits = strlen(path) < sizeof sun.sun_path;
	if (fits) strcpy(sun.sun_path, path);
	errno = ENAMETOOLONG;
	int fd = fits ? helper_connect((const struct sockaddr *)&sun, sizeof sun, "", PATIENCE) : -1;
	*status = errno == ETIMEDOUT ? EX_TEMPFAIL : EX_UNAVAILABLE;
	if (fd >= 0) say(t, "connected to %s", path);
	else say(t, "%s: %s", path, strerror(errno));
	return fd;
}

static int look_up(const char *host, const char *port, int family, struct addrinfo **list, const struct teller *t)
{
	char name[256];
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = family };
	size_t n = strlen(host);
	bool bracket = *host == '[' && n > 2 && host[n - 1] == ']';
	if (n >= sizeof name) return say(t, "the name of the host is too long"), EX_USAGE;
	snprintf(name, sizeof name, "%.*s", (int)(bracket ? n - 2 : n), host + bracket);
	int e = getaddrinfo(name, port, &hints, list);
	if (e == 0) return EX_OK;
	say(t, "%s port %s: %s", host, port, e == EAI_SYSTEM ? strerror(errno) : gai_strerror(e));
	return e == EAI_SERVICE ? EX_USAGE : e == EAI_AGAIN || e == EAI_SYSTEM || e == EAI_MEMORY ? EX_TEMPFAIL : EX_NOHOST;
}

int reach(const char *host, const char *port, int family, void (*tell)(void *ctx, const char *line), void *ctx, int *status)
{
	struct teller t = { tell, ctx };
	const char *path = config_scheme(host, "unix:");
	struct addrinfo *list = NULL;
	int fd = -1;
	if (path) return reach_path(path, &t, status);
	*status = look_up(host, port, family, &list, &t);
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		char where[64] = "?", number[16] = "?";
		getnameinfo(a->ai_addr, a->ai_addrlen, where, sizeof where, number, sizeof number, NI_NUMERICHOST | NI_NUMERICSERV);
		fd = helper_connect(a->ai_addr, a->ai_addrlen, "", PATIENCE);
		if (fd >= 0) say(&t, "connected to %s port %s", where, number);
		else say(&t, "%s port %s: %s", where, number, strerror(errno));
		if (fd < 0 && *status != EX_TEMPFAIL) *status = errno == ETIMEDOUT ? EX_TEMPFAIL : EX_UNAVAILABLE;
	}
	if (list) freeaddrinfo(list);
	if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof (int));
	return fd;
}
