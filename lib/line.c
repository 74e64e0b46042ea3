/* The bounded line reader and the output buffer.  Reads and writes only, so it works in strict mode; waits are bounded
 * by the ticks of clock.h.  Replies leave only when the reader would wait (notqmail's way to make pipelining free).
 * SPDX-License-Identifier: MIT */
#include "line.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

bool io_write(struct io *io, const char *s, size_t n)
{
	uint32_t deadline = clock_deadline(io->write_ms);
	while (n > 0 && !io->dead) {
		ssize_t w = write(io->out, s, n);
		if (w < 0 && errno != EINTR) {
			io->dead = true;
		} else if (w > 0) {
			s += w;
			n -= (size_t)w;
		}
		if (n > 0 && (clock_passed(deadline) || clock_passed(io->end))) io->dead = io->stuck = true;
	}
	return !io->dead;
}

void io_flush(struct io *io)
{
	if (io->olen > 0) io_write(io, io->obuf, io->olen);
	io->olen = 0;
}

void io_put(struct io *io, const char *s, size_t n)
{
	if (n > io->osize - io->olen) io_flush(io);
	while (n > io->osize) {
		io_write(io, s, io->osize);
		s += io->osize;
		n -= io->osize;
	}
	memcpy(io->obuf + io->olen, s, n);
	io->olen += n;
}

void io_puts(struct io *io, const char *s) { io_put(io, s, strlen(s)); }

enum io_result io_fill(struct io *io, uint32_t deadline, bool idle)
{
	bool wait = !io->before_wait || io->before_wait(io->ctx);
	io_flush(io);
	if (!wait) return IO_END;
	if (io->head == io->tail) io->head = io->tail = 0;
	if (io->tail == io->isize && io->head > 0) {
		memmove(io->ibuf, io->ibuf + io->head, io->tail - io->head);
		io->tail -= io->head;
		io->head = 0;
	}
	for (;;) {
		if (io->dead) return IO_END;
		if (clock_passed(deadline) || clock_passed(io->end)) return IO_TIMEOUT;
		if (idle && clock_stop_asked()) return IO_STOP;
		ssize_t r = read(io->in, io->ibuf + io->tail, io->isize - io->tail);
		if (r > 0) {
			io->tail += (size_t)r;
			io->taken += (uint64_t)r;
			return IO_OK;
		}
		if (r < 0 && errno == EINTR) continue;
		io->failed = r < 0;
		return IO_END;
	}
}

/* Throw away the rest of a line that was refused.  True when its end has come by.  */
static bool skip_line(struct io *io)
{
	while (io->head < io->tail) {
		char *from = io->ibuf + io->head, *lf = memchr(from, '\n', io->tail - io->head);
		if (!lf) {
			/* keep a last CR in sight: its LF may be next */
			bool cr = io->ibuf[io->tail - 1] == '\r';
			io->head = io->tail - (cr ? 1 : 0);
			return false;
		}
		io->head = (size_t)(lf + 1 - io->ibuf);
		if (!io->strict || (lf > from && lf[-1] == '\r')) return true;
	}
	return false;
}

enum io_result io_skip(struct io *io, uint32_t deadline)
{
	while (io->skip && !skip_line(io)) {
		enum io_result r = io_fill(io, deadline, false);
		if (r != IO_OK) return r;
	}
	io->skip = false;
	return IO_OK;
}

enum io_result io_line(struct io *io, size_t max, unsigned ms, bool idle, char **line, size_t *len)
{
	uint32_t deadline = clock_deadline(ms);
	size_t seen = 0;        /* octets of this line already searched */
	for (;;) {
		if (io->skip && skip_line(io)) io->skip = false;
		if (!io->skip) {
			char *from = io->ibuf + io->head;
			size_t n = io->tail - io->head;
			char *lf = n > seen ? memchr(from + seen, '\n', n - seen) : NULL;
			size_t whole = lf ? (size_t)(lf - from) + 1 : n;
			if (whole > max) {
				io->skip = true;
				return IO_TOO_LONG;
			}
			if (lf) {
				bool cr = lf > from && lf[-1] == '\r';
				if (!cr && io->strict) {
					io->head += whole;      /* no line end for us: skip on to a true one */
					io->skip = true;
					return IO_BAD_EOL;
				}
				io->head += whole;
				*len = whole - (cr ? 2 : 1);
				from[*len] = '\0';
				*line = from;
				return IO_OK;
			}
			seen = n;
		}
		enum io_result r = io_fill(io, deadline, idle);
		if (r != IO_OK) return r;
	}
}
