/* Starting programs and reaching sockets, for the keeper.
 * SPDX-License-Identifier: MIT */
#include "helper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "beside.h"
#include "clock.h"
#include "config.h"
#include "log.h"

enum { CONNECT_MOST = 30000 /* milliseconds */, PLACE = 512 };

/* In the child: the descriptors of the new program.  */
static bool arrange(int fd, int at)
{
	if (at == 0) return dup2(fd, 0) == 0 && dup2(fd, 1) == 1;
	if (fd == at ? fcntl(fd, F_SETFD, 0) != 0 : dup2(fd, at) != at) return false;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	return null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1;
}

/* vfork: what counts is how fast it starts; the child has our memory, and what it last tried stays in argv[0].  */
static pid_t execute(char *argv[], char *const envp[], int fd, int at, char place[PLACE])
{
	volatile int failure = 0;
	const char *name = argv[0];
	pid_t pid = vfork();
	if (pid == 0) {
		bool ready = arrange(fd, at);
		for (unsigned i = 0; ready; i++) {
			const char *path = strchr(name, '/') ? i == 0 ? name : NULL : beside(name, i, place, PLACE);
			if (!path) break;
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

static bool bind_to(int fd, int family, const char *from)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	if (family == AF_INET && inet_pton(AF_INET, from, &in.sin_addr) == 1) return bind(fd, (struct sockaddr *)&in, sizeof in) == 0;
	if (family == AF_INET6 && inet_pton(AF_INET6, from, &in6.sin6_addr) == 1) return bind(fd, (struct sockaddr *)&in6, sizeof in6) == 0;
	errno = EAFNOSUPPORT;
	return false;
}

int helper_connect(const struct sockaddr *addr, socklen_t len, const char *from, uint64_t ms)
{
	if (ms > CONNECT_MOST) ms = CONNECT_MOST;
	struct timeval limit = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
	uint64_t end = millis() + ms;
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  /* holds for connect too */
	int got = -1;
	if (!*from || bind_to(fd, addr->sa_family, from))
		while ((got = connect(fd, addr, len)) != 0 && errno == EINTR && millis() < end) continue;
	if (got == 0) return fd;
	int why = errno == EINTR || errno == EAGAIN || errno == EINPROGRESS || errno == EALREADY ? ETIMEDOUT : errno;
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
	return helper_connect((struct sockaddr *)&sun, sizeof sun, "", ms);
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
	for (a = list; a && fd < 0; a = a->ai_next) fd = helper_connect(a->ai_addr, a->ai_addrlen, "", ms);
	int why = errno;
	freeaddrinfo(list);
	errno = why;
	return fd;
}

bool helper_is_socket(const char *where) { return config_scheme(where, "unix:") || config_scheme(where, "tcp:"); }

bool helper_open(struct helper *h, const char *where, uint64_t ms)
{
	const char *path = config_scheme(where, "unix:"), *tcp = config_scheme(where, "tcp:");
	int pair[2] = { -1, -1 };
	*h = HELPER_NONE;
	if (path || tcp) {
		h->fd = path ? connect_unix(path, ms) : connect_tcp(tcp, ms);
		if (h->fd < 0) log_line(LEVEL_ERROR, "cannot connect to %s: %s", where, strerror(errno));
		return h->fd >= 0;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) log_line(LEVEL_ERROR, "no socket for a program: %s", strerror(errno));
	h->fd = pair[0];
	h->other = pair[1];
	return h->fd >= 0;
}

void helper_start(struct helper *h, char *argv[], char *const envp[], int at)
{
	char place[PLACE];
	if (h->other < 0) return;
	h->pid = execute(argv, envp, h->other, at, place);
	if (h->pid < 0) log_line(LEVEL_ERROR, "cannot execute %s: %s", argv[0], strerror(errno));
	if (h->pid < 0) h->pid = 0;
	close(h->other);
	h->other = -1;
}

int helper_close(struct helper *h, bool at_once)
{
	static const int steps[] = { 0, 0, SIGTERM, SIGKILL };
	int status = 0, sent = 0;
	struct itimerval before;
	pid_t pid = h->pid, got = 0;
	if (h->fd >= 0) close(h->fd);
	if (h->other >= 0) close(h->other);
	*h = HELPER_NONE;
	if (pid <= 0) return 0;
	for (size_t i = at_once ? 2 : 0; got != pid && i < sizeof steps / sizeof *steps; i++) {
		/* the next tick ends a wait that takes too long; after a signal they come faster, and a first wait has a second, as it may be short */
		struct itimerval it = { .it_value.tv_sec = 2, .it_interval.tv_sec = 2 };
		if ((sent = steps[i])) {
			kill(pid, sent);
			setitimer(ITIMER_REAL, &it, sent == SIGTERM ? &before : NULL);
		}
		got = waitpid(pid, &status, 0);
	}
	if (sent) setitimer(ITIMER_REAL, &before, NULL);        /* who comes next has the time that it would have had */
	if (got != pid) return HELPER_STUCK;
	if (WIFEXITED(status)) return WEXITSTATUS(status);
	return WIFSIGNALED(status) && WTERMSIG(status) == sent ? HELPER_ENDED : HELPER_SIGNAL + WTERMSIG(status);
}

void helper_why(int status, char why[HELPER_WHY])
{
	if (status == HELPER_STUCK) snprintf(why, HELPER_WHY, "the program does not end");
	else if (status == HELPER_ENDED) snprintf(why, HELPER_WHY, "the program did not end, and was ended");
	else if (status >= HELPER_SIGNAL) snprintf(why, HELPER_WHY, "the program was ended by signal %d", status - HELPER_SIGNAL);
	else snprintf(why, HELPER_WHY, "the program ended with status %d", status);
}
