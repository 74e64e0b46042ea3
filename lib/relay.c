/* Each direction has a buffer of its own and none waits for the other, so that a client which sends all its commands before it reads, and a server which answers each at
 * once, do not wait for each other through us.
 * SPDX-License-Identifier: MIT */
#include "relay.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 4096, BUFFER = RELAY_GROWTH * PIECE + RELAY_MORE };

struct flow {
	int from, to;
	const struct relay_change *change;
	size_t at, n;           /* what is to be written: buf[at..at+n) */
	bool ended;
	int why;                /* errno of the read that failed */
	char buf[BUFFER];
};

static void fill(struct flow *f)
{
	char piece[PIECE];
	bool changed = f->change->change != NULL;
	ssize_t n = read(f->from, changed ? piece : f->buf, changed ? sizeof piece : sizeof f->buf);
	if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
	f->ended = n <= 0;
	f->why = n < 0 ? errno : 0;
	f->at = 0;
	f->n = n > 0 ? (size_t)n : 0;
	if (changed) f->n = f->change->change(f->change->ctx, f->buf, piece, f->n);
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

int relay(int fd, const struct relay_change *way_up, const struct relay_change *way_down, int patience)
{
	static struct flow up, down;
	bool shut = false;
	up = (struct flow){ .from = 0, .to = fd, .change = way_up };
	down = (struct flow){ .from = fd, .to = 1, .change = way_down };
	while (!down.ended || down.n > 0) {
		struct pollfd fds[] = { due(&up), due(&down) };
		int ready = poll(fds, 2, shut && down.n == 0 ? patience : -1);
		if (ready < 0 && errno == EINTR) continue;
		if (ready <= 0) return ready == 0 ? ETIMEDOUT : errno;
		if (fds[1].revents && !(down.n > 0 ? drain(&down) : (fill(&down), true))) return EPIPE;
		if (fds[0].revents && up.n == 0) fill(&up);
		else if (fds[0].revents && !drain(&up)) up.n = 0, up.ended = true;
		if (up.ended && up.n == 0 && !shut) shut = shutdown(fd, SHUT_WR) == 0 || errno != EINTR;
	}
	return down.why;
}
