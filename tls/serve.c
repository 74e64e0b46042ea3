/* To start OpenSSL costs several times a handshake.  This process has paid for it and, as it never reads an octet of a client, can be forked from again and again.  What
 * was read is looked at before each connection: so a new certificate, configuration or program counts at the next one, here too.
 * SPDX-License-Identifier: MIT */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "identity.h"
#include "log.h"

enum { LISTEN = 3, FILES = 8, MOST = 1000 /* connections before a new start: a new layout of the memory for who tries to guess it */ };

struct serving {
	struct stat seen[FILES];
	unsigned children, served;
	bool stale;
};

bool serve_passed(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	int listening = 0;
	socklen_t len = sizeof listening;
	if (!pid || !n || atol(pid) != (long)getpid() || strcmp(n, "1") != 0) return false;
	return getsockopt(LISTEN, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

static void look(const char *const files[], struct stat seen[FILES])
{
	memset(seen, 0, FILES * sizeof *seen);
	for (size_t i = 0; i < FILES && files[i]; i++)
		if (stat(files[i], &seen[i]) != 0) seen[i].st_ino = 0;
}

static bool changed(const struct serving *s, const char *const files[])
{
	struct stat now[FILES];
	look(files, now);
	for (size_t i = 0; i < FILES; i++) {
		const struct stat *a = &s->seen[i], *b = &now[i];
		if (a->st_ino != b->st_ino || a->st_dev != b->st_dev || a->st_size != b->st_size || a->st_ctim.tv_sec != b->st_ctim.tv_sec || a->st_ctim.tv_nsec != b->st_ctim.tv_nsec)
			return true;
	}
	return false;
}

/* Children that have ended.  One that was killed may have been somebody's try.  */
static void reap(struct serving *s)
{
	int status;
	while (s->children > 0 && waitpid(-1, &status, WNOHANG) > 0) {
		s->children--;
		if (!WIFSIGNALED(status)) continue;
		log_line(LEVEL_ERROR, "a process was ended by signal %d", WTERMSIG(status));
		s->stale = true;
	}
}

static void take(struct serving *s, int (*one)(void *ctx), void *ctx)
{
	int fd = accept4(LISTEN, NULL, NULL, SOCK_CLOEXEC);
	pid_t pid = fd >= 0 ? fork() : -1;
	if (pid == 0) {
		close(LISTEN);
		_exit(dup2(fd, 0) == 0 ? one(ctx) : EX_OSERR);
	}
	if (fd >= 0 && pid < 0) log_line(LEVEL_ERROR, "cannot start a process for a connection: %s", strerror(errno));
	if (pid > 0) s->children++;
	if (fd >= 0) close(fd);
}

static void on_child(int sig) { (void)sig; }

int serve(int (*one)(void *ctx), void *ctx, const char *const files[], bool ready, unsigned idle, char *const argv[])
{
	struct serving s = { .children = 0 };
	struct pollfd p = { .fd = LISTEN, .events = POLLIN };
	const char *program = (const char *)getauxval(AT_EXECFN);
	struct sigaction wake = { .sa_handler = on_child };    /* a child that has ended ends the wait */
	sigaction(SIGCHLD, &wake, NULL);
	look(files, s.seen);
	for (;;) {
		int n = poll(&p, 1, (int)idle);
		if (n < 0 && errno != EINTR) return EX_OSERR;
		reap(&s);
		if (n == 0 && s.children == 0) return EX_OK;
		if (n <= 0) continue;
		if (s.stale || changed(&s, files)) {
			identity_pass_on(1U << CAP_DAC_READ_SEARCH);    /* root's key files: we are not root any more */
			execv(program, argv);
			log_line(LEVEL_ERROR, "cannot start anew: %s: %s", program, strerror(errno));
		}
		take(&s, one, ctx);
		s.stale = !ready || ++s.served >= MOST;
	}
}
