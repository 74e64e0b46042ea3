/* SPDX-License-Identifier: MIT */
#include "known.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "network.h"
#include "sasl.h"

/* The user of the process at the other end of a Unix socket: by name, or by number where there is none.  */
static bool local_process(char *user, size_t size)
{
	struct ucred c;
	socklen_t n = sizeof c;
	if (getsockopt(0, SOL_SOCKET, SO_PEERCRED, &c, &n) != 0 || c.pid == 0) return false;
	const struct passwd *pw = getpwuid(c.uid);
	if (pw && sasl_name_valid(pw->pw_name, strlen(pw->pw_name))) snprintf(user, size, "%s", pw->pw_name);
	else snprintf(user, size, "%u", (unsigned)c.uid);
	return true;
}

/* In the words of smtp-tls's own line (smtp-tls(8)).  */
static bool take_environment(struct session *s)
{
	const char *protocol = getenv("SSL_PROTOCOL"), *cipher = getenv("SSL_CIPHER"), *client = getenv("SSL_PEER");
	if (!protocol) return true;
	s->secure = true;
	if (strncmp(protocol, "TLSv", 4) == 0) protocol += 4;
	snprintf(s->tls, sizeof s->tls, "TLS%.8s %.48s%s%.48s", protocol, cipher ? cipher : "", client ? " client=" : "", client ? client : "");
	for (const char *c = s->tls; *c; c++)
		if (*c < ' ' || *c >= 0x7f || strchr("()\\<>\"", *c)) return false;
	return true;
}

const char *known_peer(struct session *s)
{
	if (!take_environment(s)) return "what $SSL_PROTOCOL, $SSL_CIPHER and $SSL_PEER say of TLS cannot stand in a header";
	s->proxied = !s->secure && *s->cf->proxy && networks_match(s->cf->proxy, s->peer);
	if (s->cf->profile == PROFILE_LOCAL && !local_process(s->user, sizeof s->user)) return "profile = local, and the client is no process of this host";
	if (s->secure || *s->user) log_about(s->user, s->tls);
	return NULL;
}
