/* One peer: bytes in, lines out, replies back.  The only place that waits for a peer.  */
#ifndef LINE_H
#define LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum io_result {
	IO_OK,
	IO_TOO_LONG,    /* the line passed the limit; what is left of it will be thrown away */
	IO_BAD_EOL,     /* a bare LF in the line; the rest up to CRLF will be thrown away */
	IO_TIMEOUT,
	IO_STOP,        /* a signal asked to stop while nothing was in hand */
	IO_END,         /* the peer has closed, or cannot be written to */
};

struct io {
	int in, out;                    /* descriptors; the same for a socket */
	char *ibuf, *obuf;              /* the caller's, of these sizes */
	size_t isize, osize;
	size_t head, tail;              /* unread input is ibuf[head..tail) */
	size_t olen;                    /* output not written yet */
	bool strict;                    /* only CRLF ends a line (P4); else LF does too */
	bool dead;                      /* a write failed: nothing more can be said */
	bool stuck;                     /* and that because the peer did not take it in time */
	bool failed;                    /* a read failed: the end that was seen is not the true end */
	bool skip;                      /* the rest of a bad line is still to come */
	unsigned write_ms;              /* limit for the peer to take our output */
	uint32_t end;                   /* deadline of the whole session, for reading and writing */
	uint64_t taken;                 /* octets read so far */
	bool (*before_wait)(void *ctx); /* called before output is flushed and input waited for; false: do not wait; may be NULL */
	void *ctx;
};

/* Read more input behind what is there, after before_wait and a flush (so that replies to a pipelined group leave in
 * one write).  Moves the unread part to the front when there is no room.  Returns IO_OK when something came, IO_TIMEOUT
 * after `deadline` or the end of the session, IO_STOP only if `idle`.  */
enum io_result io_fill(struct io *io, uint32_t deadline, bool idle);

/* The next line, at most `max` octets with its end, NUL-ended in place without its end; valid until the next call.
 * `max` must be less than isize; `ms` is the limit for the whole line to arrive.  *len leaves out the line end.  */
enum io_result io_line(struct io *io, size_t max, unsigned ms, bool idle, char **line, size_t *len);

/* After IO_TOO_LONG, whose start is at ibuf[head]: wait for the rest of that line, which the next io_line would skip too, and throw it away.  */
enum io_result io_skip(struct io *io, uint32_t deadline);

/* Append output, written when the buffer is full or before a wait.  A failure sets io->dead.  */
void io_put(struct io *io, const char *s, size_t n);
void io_puts(struct io *io, const char *s);
void io_flush(struct io *io);

/* Write at once, past the buffer (which must be empty).  False if the peer does not take it.  */
bool io_write(struct io *io, const char *s, size_t n);

#endif
