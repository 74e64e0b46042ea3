/* Of the server nothing is parsed here, and of what smtp-tls says no more than must be.
 * SPDX-License-Identifier: MIT */
#include "secure.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "helper.h"

enum {
	MOST_ASKED = 11,        /* for a folder, and the certificates of a server */
	SAME_HASH = 10,         /* files for one hash */
	GRACE = 2000,           /* milliseconds for a process to tell that its time is over, or to end */
};

static ssize_t read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd >= 0 ? read(fd, buf, size) : -1;
	if (fd >= 0) close(fd);
	return n;
}

/* The certificates of the authorities whose name has this hash.  There is room for them: it has read what we sent before, or we need not wait for it.  */
static bool answer(int fd, const char *folder, uint32_t hash)
{
	static char text[sizeof (uint32_t) + AUTHORITIES];
	char path[1024];
	size_t have = sizeof (uint32_t);
	for (const char *dir = folder, *end; *dir; dir = end + (*end == ':')) {
		end = strchrnul(dir, ':');
		for (unsigned i = 0; i < SAME_HASH && have < sizeof text; i++) {
			snprintf(path, sizeof path, "%.*s/%08x.%u", (int)(end - dir), dir, hash, i);
			ssize_t n = read_file(path, text + have, sizeof text - have);
			if (n < 0) break;
			have += (size_t)n;
			if (have < sizeof text) text[have++] = '\n';    /* the last line of a file may have no end */
		}
	}
	memcpy(text, &(uint32_t){ (uint32_t)(have - sizeof (uint32_t)) }, sizeof (uint32_t));
	return send(fd, text, have, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)have;
}

static void printable(char *s, size_t size)
{
	s[size - 1] = '\0';
	for (; *s; s++)
		if (*s < ' ' || *s > '~') *s = '?';
}

/* It has parsed what the server has sent: not even its words are trusted.  */
static void take_over(struct secured *to, const struct secured *from)
{
	*to = *from;
	printable(to->version, sizeof to->version);
	printable(to->cipher, sizeof to->cipher);
	printable(to->why, sizeof to->why);
	printable(to->subject, sizeof to->subject);
	printable(to->issuer, sizeof to->issuer);
	printable(to->until, sizeof to->until);
}

/* All of it, until `end`.  */
static bool take(int fd, struct news *n, uint64_t end)
{
	size_t have = 0;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	for (uint64_t now; have < sizeof *n && (now = millis()) < end;) {
		int ready = poll(&p, 1, (int)(end - now));
		ssize_t got = ready > 0 ? recv(fd, (char *)n + have, sizeof *n - have, 0) : ready;
		if (got > 0) have += (size_t)got;
		else if (got == 0 || errno != EINTR) return false;
	}
	return have == sizeof *n;
}

/* Until the last word; false when there will be none.  Only what was said first was said by who had read nothing of the server.  */
static bool attend(int fd, unsigned ms, struct news *n)
{
	uint64_t end = millis() + ms + GRACE;
	char folder[sizeof n->folder] = "";
	for (unsigned asked = 0; asked <= MOST_ASKED && take(fd, n, end); asked++) {
		if (n->what == NEWS_OVER) return true;
		if (asked == 0 && n->what == NEWS_FOLDER) memcpy(folder, n->folder, sizeof folder - 1);
		else if (n->what != NEWS_WANTED || !answer(fd, folder, n->hash)) return false;
	}
	return false;
}

static int start(int fd, const char *host, const char *ca, bool verify, bool sandbox, unsigned ms, pid_t *child)
{
	char number[16], limit[16];
	char *argv[] = { (char *)"smtp-tls", (char *)"--to-server", (char *)host, (char *)ca, (char *)(verify ? "verify" : "any"), (char *)(sandbox ? "sandbox" : "bare"), limit, number, NULL };
	struct helper h;
	int raw = fcntl(fd, F_DUPFD, STDERR_FILENO + 1);        /* inherited */
	snprintf(number, sizeof number, "%d", raw);
	snprintf(limit, sizeof limit, "%u", ms);
	if (raw < 0) return -1;
	if (helper_open(&h, "", 0)) helper_start(&h, argv, environ, 0);
	close(raw);
	*child = h.pid;
	return h.fd;
}

int secure_start(int fd, const char *host, const char *ca, bool verify, bool sandbox, unsigned ms, struct secured *s, pid_t *child)
{
	struct news n = { .good = false };
	*s = (struct secured){ .verified = false };
	*child = 0;
	int plain = start(fd, host, ca, verify, sandbox, ms, child);
	bool done = *child > 0 && attend(plain, ms, &n);
	close(fd);
	if (done) take_over(s, &n.secured);
	if (done && n.good) return plain;
	if (!done || !*s->why) snprintf(s->why, sizeof s->why, *child > 0 ? "smtp-tls has failed" : "cannot start smtp-tls");
	if (plain >= 0) close(plain);
	if (*child > 0) {
		kill(*child, SIGKILL);
		waitpid(*child, NULL, 0);
	}
	bool started = *child > 0;
	*child = 0;
	return started ? -1 : -2;
}

void secure_end(pid_t child)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, child, 0), .events = POLLIN };
	uint64_t end = millis() + GRACE, now;
	while (p.fd >= 0 && (now = millis()) < end && poll(&p, 1, (int)(end - now)) < 0 && errno == EINTR) continue;
	if (p.fd >= 0) close(p.fd);
	kill(child, SIGKILL);   /* a zombie does not mind */
	waitpid(child, NULL, 0);
}
