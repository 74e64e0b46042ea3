/* The peer's address and the session's id.  What the environment says counts only if it parses.
 * SPDX-License-Identifier: MIT */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static bool v6_text(char out[PEER_SIZE], const struct in6_addr *a)
{
	if (IN6_IS_ADDR_V4MAPPED(a)) return inet_ntop(AF_INET, a->s6_addr + 12, out, PEER_SIZE);
	return inet_ntop(AF_INET6, a, out, PEER_SIZE);
}

static bool from_socket(char out[PEER_SIZE], bool *is_socket)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof ss;
	bool known = getpeername(0, (struct sockaddr *)&ss, &len) == 0;
	*is_socket = known || errno != ENOTSOCK;
	if (!known) return false;
	if (ss.ss_family == AF_INET) return inet_ntop(AF_INET, &((struct sockaddr_in *)&ss)->sin_addr, out, PEER_SIZE);
	return ss.ss_family == AF_INET6 && v6_text(out, &((struct sockaddr_in6 *)&ss)->sin6_addr);
}

bool peer_parse(char out[PEER_SIZE], const char *text)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, text, &v4) == 1) return inet_ntop(AF_INET, &v4, out, PEER_SIZE);
	return inet_pton(AF_INET6, text, &v6) == 1 && v6_text(out, &v6);
}

static bool from_environment(char out[PEER_SIZE], const char *name)
{
	const char *value = getenv(name);
	return value && peer_parse(out, value);
}

bool peer_find(char out[PEER_SIZE])
{
	bool is_socket;
	if (!from_socket(out, &is_socket) && !from_environment(out, "REMOTE_ADDR") && !from_environment(out, "TCPREMOTEIP")) strcpy(out, "local");
	return is_socket;
}

void peer_session_id(char out[ID_SIZE])
{
	const char *id = getenv("INVOCATION_ID"), *pid = getenv("SYSTEMD_EXEC_PID");
	if (id && pid && atol(pid) == (long)gettid() && strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32) {
		strcpy(out, id);
		return;
	}
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(out, ID_SIZE, "%013llx%05x", (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000, (unsigned)gettid());
}
