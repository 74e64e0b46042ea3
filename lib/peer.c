/* The peer's address and the session's id.  What the environment says counts only if it parses.
 * SPDX-License-Identifier: MIT */
#include "peer.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static bool v6_text(char out[PEER_SIZE], const struct in6_addr *a)
{
	if (IN6_IS_ADDR_V4MAPPED(a)) return inet_ntop(AF_INET, a->s6_addr + 12, out, PEER_SIZE);
	return inet_ntop(AF_INET6, a, out, PEER_SIZE);
}

static bool from_socket(char out[PEER_SIZE])
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof ss;
	if (getpeername(0, (struct sockaddr *)&ss, &len) != 0) return false;
	if (ss.ss_family == AF_INET) return inet_ntop(AF_INET, &((struct sockaddr_in *)&ss)->sin_addr, out, PEER_SIZE);
	return ss.ss_family == AF_INET6 && v6_text(out, &((struct sockaddr_in6 *)&ss)->sin6_addr);
}

static bool from_environment(char out[PEER_SIZE], const char *name)
{
	struct in_addr v4;
	struct in6_addr v6;
	const char *value = getenv(name);
	if (!value) return false;
	if (inet_pton(AF_INET, value, &v4) == 1) return inet_ntop(AF_INET, &v4, out, PEER_SIZE);
	return inet_pton(AF_INET6, value, &v6) == 1 && v6_text(out, &v6);
}

void peer_find(char out[PEER_SIZE])
{
	if (!from_socket(out) && !from_environment(out, "REMOTE_ADDR") && !from_environment(out, "TCPREMOTEIP")) strcpy(out, "local");
}

void peer_session_id(char out[ID_SIZE])
{
	const char *id = getenv("INVOCATION_ID"), *pid = getenv("SYSTEMD_EXEC_PID");
	if (id && pid && atol(pid) == (long)getpid() && strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32) {
		strcpy(out, id);
		return;
	}
	uint64_t n = 0;
	if (getrandom(&n, sizeof n, GRND_NONBLOCK) != sizeof n) n = (uint64_t)getpid();
	snprintf(out, ID_SIZE, "%016llx", (unsigned long long)n);
}
