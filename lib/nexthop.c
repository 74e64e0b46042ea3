/* How the keeper gets a next hop, and how it gets rid of one.
 * SPDX-License-Identifier: MIT */
#include "nexthop.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

enum { CONNECT_MOST = 30000 /* milliseconds */, PLACE = 512 };

/* Execute the program, from the first place where it is, with its end of the pair as descriptors 0 and 1.  vfork: what counts is how fast
 * it starts; the child has our memory, and what it last tried stays in argv[0].  */
static pid_t execute(const struct config *cf, char *argv[], char *const envp[], int fd, char place[PLACE])
{
	volatile int failure = 0;
	pid_t pid = vfork();
	if (pid == 0) {
		bool ready = dup2(fd, 0) == 0 && dup2(fd, 1) == 1;
		const char *path;
		for (unsigned i = 0; ready && (path = config_deliver(cf, i, place, PLACE)); i++) {
			argv[0] = (char *)path;
			execve(path, argv, envp);
			if (errno != ENOENT) break;
		}
		failure = errno;
		_exit(127);
	}
	if (pid > 0 && failure) {
		waitpid(pid, NULL, 0);
		errno = failure;
		return -1;
	}
	return pid;
}

static int connect_to(int family, const struct sockaddr *addr, socklen_t len, uint64_t ms)
{
	if (ms > CONNECT_MOST) ms = CONNECT_MOST;
	struct timeval limit = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
	uint64_t end = millis() + ms;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  /* holds for connect too */
	int got;
	while ((got = connect(fd, addr, len)) != 0 && errno == EINTR && millis() < end) continue;
	if (got == 0) return fd;
	int why = errno == EINTR || errno == EAGAIN || errno == EINPROGRESS ? ETIMEDOUT : errno;
	close(fd);
	errno = why;
	return -1;
}

static int connect_unix(const char *path, uint64_t ms)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof sun.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(sun.sun_path, path);
	return connect_to(AF_UNIX, (struct sockaddr *)&sun, sizeof sun, ms);
}

/* "HOST:PORT", an IPv6 address in brackets.  */
static int connect_tcp(const char *where, uint64_t ms)
{
	char host[256];
	const char *colon = strrchr(where, ':');
	if (!colon || (size_t)(colon - where) >= sizeof host) {
		errno = EINVAL;
		return -1;
	}
	snprintf(host, sizeof host, "%.*s", (int)(colon - where), where);
	size_t len = strlen(host);
	bool bracket = host[0] == '[' && len > 2 && host[len - 1] == ']';
	if (bracket) host[len - 1] = '\0';
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *a;
	if (getaddrinfo(host + (bracket ? 1 : 0), colon + 1, &hints, &list) != 0) {
		errno = EHOSTUNREACH;
		return -1;
	}
	int fd = -1;
	for (a = list; a && fd < 0; a = a->ai_next) fd = connect_to(a->ai_family, a->ai_addr, a->ai_addrlen, ms);
	int why = errno;
	freeaddrinfo(list);
	errno = why;
	return fd;
}

bool nexthop_open(struct nexthop *n, const struct config *cf)
{
	const char *path = config_scheme(cf->deliver, "unix:"), *tcp = config_scheme(cf->deliver, "tcp:");
	int pair[2] = { -1, -1 };
	*n = (struct nexthop){ .fd = -1, .other = -1, .ours = !*cf->deliver };
	if (path || tcp) {
		n->fd = path ? connect_unix(path, cf->deliver_timeout) : connect_tcp(tcp, cf->deliver_timeout);
		if (n->fd < 0) log_line(LEVEL_ERROR, "cannot connect to %s: %s", cf->deliver, strerror(errno));
		return n->fd >= 0;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) log_line(LEVEL_ERROR, "no socket for the next hop: %s", strerror(errno));
	n->fd = pair[0];
	n->other = pair[1];
	return n->fd >= 0;
}

void nexthop_start(struct nexthop *n, const struct config *cf, const char *id)
{
	char session[80], place[PLACE];
	char *argv[2 * CONFIG_OVERRIDES + 8], *envp[5] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", session, (char *)log_environment() };
	int argc = 0;
	if (n->other < 0) return;
	argv[argc++] = (char *)"maildir-deliver";       /* execute() knows where */
	argv[argc++] = (char *)"--lmtp";
	if (cf->file) {
		argv[argc++] = (char *)"-C";
		argv[argc++] = (char *)cf->file;
	}
	for (size_t i = 0; i < cf->overrides; i++) {
		argv[argc++] = (char *)"-o";
		argv[argc++] = (char *)cf->override[i];
	}
	argv[argc] = NULL;
	snprintf(session, sizeof session, "SMTP_ID=%s", id);
	if (n->ours) envp[3] = (char *)"SMTP_AHEAD=yes";        /* we do not wait for its greeting */
	n->pid = execute(cf, argv, envp, n->other, place);
	if (n->pid < 0) log_line(LEVEL_ERROR, "cannot execute %s: %s", argv[0], strerror(errno));
	if (n->pid < 0) n->pid = 0;
	close(n->other);
	n->other = -1;
}

void nexthop_close(struct nexthop *n, bool at_once)
{
	static const int steps[] = { 0, 0, SIGTERM, SIGKILL };
	int status = 0, sent = 0;
	pid_t got = 0;
	if (n->fd >= 0) close(n->fd);
	for (size_t i = at_once ? 2 : 0; n->pid > 0 && got != n->pid && i < sizeof steps / sizeof *steps; i++) {
		/* the next tick ends a wait that takes too long; after a signal they come faster, and a first wait has a second, as it may be short */
		struct itimerval it = { .it_value.tv_sec = 2, .it_interval.tv_sec = 2 };
		if ((sent = steps[i])) {
			kill(n->pid, sent);
			setitimer(ITIMER_REAL, &it, NULL);
		}
		got = waitpid(n->pid, &status, 0);
	}
	bool by_us = got == n->pid && sent && WIFSIGNALED(status) && WTERMSIG(status) == sent;
	if (n->pid > 0 && !by_us && (got != n->pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
		struct event e = { .kind = EVENT_HOP_FAILED };
		if (got != n->pid) snprintf(e.reply, sizeof e.reply, "the program does not end");
		else if (WIFSIGNALED(status)) snprintf(e.reply, sizeof e.reply, "the program was ended by signal %d", WTERMSIG(status));
		else snprintf(e.reply, sizeof e.reply, "the program ended with status %d", WEXITSTATUS(status));
		log_event(&e);
	}
	*n = (struct nexthop){ .fd = -1, .other = -1 };
}
