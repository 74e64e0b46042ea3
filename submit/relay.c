/* -bs: a dialogue between standard input and output and the socket, which nobody here reads.  Each direction has a buffer of its own and none waits for the other, so
 * that a client which sends all its commands before it reads, and a server which answers each at once, do not wait for each other through us.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "submit.h"

struct flow { int from, to; size_t at, n; bool ended; char buf[16384]; };

static void fill(struct flow *f)
{
	ssize_t n = read(f->from, f->buf, sizeof f->buf);
	if (n < 0 && errno == EINTR) return;
	f->ended = n <= 0;
	f->at = 0;
	f->n = n > 0 ? (size_t)n : 0;
}

/* Write what is taken without waiting.  A pipe that is ready takes PIPE_BUF octets.  False when nobody reads any more.  */
static bool drain(struct flow *f)
{
	ssize_t n = send(f->to, f->buf + f->at, f->n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == ENOTSOCK) n = write(f->to, f->buf + f->at, f->n < PIPE_BUF ? f->n : PIPE_BUF);
	if (n < 0) return errno == EINTR || errno == EAGAIN;
	f->at += (size_t)n;
	f->n -= (size_t)n;
	return true;
}

static struct pollfd due(const struct flow *f)
{
	if (f->n > 0) return (struct pollfd){ .fd = f->to, .events = POLLOUT };
	return (struct pollfd){ .fd = f->ended ? -1 : f->from, .events = POLLIN };
}

int relay(int fd)
{
	static struct flow up, down;
	bool shut = false;
	up = (struct flow){ .from = 0, .to = fd };
	down = (struct flow){ .from = fd, .to = 1 };
	while (!down.ended || down.n > 0) {
		struct pollfd fds[] = { due(&up), due(&down) };
		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR) continue;
			return EX_TEMPFAIL;
		}
		if (fds[1].revents && !(down.n > 0 ? drain(&down) : (fill(&down), true))) return EX_TEMPFAIL;
		if (fds[0].revents && up.n == 0) fill(&up);
		else if (fds[0].revents && !drain(&up)) up.n = 0, up.ended = true;
		if (up.ended && up.n == 0 && !shut) shut = shutdown(fd, SHUT_WR) == 0 || errno != EINTR;
	}
	return EX_OK;
}
