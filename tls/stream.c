/* One buffer each way, one poll.  An SSL_read may want to write, and an SSL_write to read: then that direction waits for the other readiness.
 * SPDX-License-Identifier: MIT */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum { BUFFER = 65536 };        /* some records of TLS, so that one call passes them on */

struct way {
	char data[BUFFER];
	size_t head, tail;
	bool ended;             /* no more comes in */
	bool closed;            /* and that was passed on */
	short wants;            /* of the TLS connection, before this way can go on; 0: it can be tried */
	uint64_t moved;         /* when it last took something */
};

static bool empty(const struct way *w) { return w->head == w->tail; }

static int left(uint64_t deadline)
{
	uint64_t now = millis();
	return now >= deadline ? 0 : deadline - now < INT_MAX ? (int)(deadline - now) : INT_MAX;
}

/* What SSL waits for after a call that did nothing; 0: there is no hope.  */
static short wanted(SSL *ssl, int result)
{
	int e = SSL_get_error(ssl, result);
	return e == SSL_ERROR_WANT_READ ? POLLIN : e == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;
}

const char *tls_reason(void)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(e);
	return e == 0 ? "the connection was closed" : reason ? reason : "unknown error";
}

/* A client's last word of the handshake and its first command are two writes, of which the second waits for the first to be confirmed (Nagle): with nothing of ours to send
 * that would be in 40 ms.  Not TCP: then this does nothing.  */
static void confirm(int fd) { setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 }, sizeof (int)); }

static void nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

bool stream_handshake(struct stream *s, uint64_t deadline, bool *late)
{
	int r;
	*late = false;
	nonblocking(s->raw);
	setsockopt(s->raw, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof (int));        /* what is written is whole */
	while (ERR_clear_error(), (r = SSL_do_handshake(s->ssl)) != 1) {
		struct pollfd p[2] = { { .fd = s->raw, .events = wanted(s->ssl, r) }, { .fd = s->plain } };
		if (!p->events) return false;
		int ms = left(deadline);
		if (ms == 0 || poll(p, 2, ms) == 0) return *late = true, false;
		if (p[1].revents) return false;         /* the program is gone */
	}
	confirm(s->raw);
	SSL_set_read_ahead(s->ssl, 1);  /* head and body of a record by one call */
	return true;
}

/* From the peer: decrypt into the buffer, as much as is there and fits; a record has up to 16 KiB.  */
static void read_tls(struct stream *s, struct way *in)
{
	int n;
	in->head = in->tail = 0;
	do {
		ERR_clear_error();
		n = SSL_read(s->ssl, in->data + in->tail, (int)(BUFFER - in->tail));
		if (n > 0) in->tail += (size_t)n;
	} while (n > 0 && in->tail < BUFFER);
	in->wants = 0;
	if (in->tail > 0) in->moved = millis();
	if (n <= 0 && !(in->wants = wanted(s->ssl, n))) in->ended = true;       /* with close_notify or without: SMTP knows its own ends */
}

/* To the peer.  */
static void write_tls(struct stream *s, struct way *out)
{
	ERR_clear_error();
	int n = SSL_write(s->ssl, out->data + out->head, (int)(out->tail - out->head));
	out->wants = 0;
	if (n > 0) {
		out->head += (size_t)n;
		out->moved = millis();
	} else if (!(out->wants = wanted(s->ssl, n))) {
		out->ended = out->closed = true;
		out->head = out->tail;  /* nobody will have it */
		shutdown(s->plain, SHUT_RD);    /* and who waits to say more waits for nobody */
	}
}

static void read_plain(const struct stream *s, struct way *out)
{
	ssize_t n = read(s->plain, out->data, BUFFER);
	if (n > 0) {
		out->head = 0;
		out->tail = (size_t)n;
		out->moved = millis();
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		out->ended = true;
	}
}

static void write_plain(const struct stream *s, struct way *in)
{
	ssize_t n = send(s->plain, in->data + in->head, in->tail - in->head, MSG_NOSIGNAL);
	if (n > 0) {
		in->head += (size_t)n;
		in->moved = millis();
	} else if (errno != EAGAIN && errno != EINTR) {
		in->ended = in->closed = true;
		in->head = in->tail;
	}
}

/* Pass the end of one side on to the other.  The close_notify is sent when there is room for it, else there is nothing more to wait for.  */
static void pass_ends(const struct stream *s, struct way *in, struct way *out)
{
	if (in->ended && empty(in) && !in->closed) {
		shutdown(s->plain, SHUT_WR);
		in->closed = true;
	}
	if (!out->ended || !empty(out) || out->closed) return;
	SSL_shutdown(s->ssl);
	shutdown(s->raw, SHUT_WR);
	out->closed = true;
}

/* What has to be waited for.  A descriptor without it is left out: the end of the other side would be told again and again; but when our last words are out,
 * the end of the program is what is waited for.  */
static void plan(const struct stream *s, const struct way *in, const struct way *out, struct pollfd fds[2])
{
	short raw = 0, plain = 0;
	if (!in->ended && empty(in)) raw = (short)(raw | (in->wants ? in->wants : POLLIN));
	if (!empty(out)) raw = (short)(raw | (out->wants ? out->wants : POLLOUT));
	if (!empty(in)) plain |= POLLOUT;
	if (!out->ended && empty(out)) plain |= POLLIN;
	fds[0] = (struct pollfd){ .fd = raw ? s->raw : -1, .events = raw };
	fds[1] = (struct pollfd){ .fd = plain || out->closed ? s->plain : -1, .events = plain };
}

/* When the client, who has something to take, has taken nothing for too long.  The program may wait for others, and has its own deadlines.  */
static uint64_t stall(const struct stream *s, const struct way *out)
{
	uint64_t end = s->end;
	if (!empty(out) && out->moved + s->patience < end) end = out->moved + s->patience;
	return end;
}

/* After our last words: what the client still sends would turn the close into a reset, and they might be lost.  */
static void linger(const struct stream *s)
{
	enum { ROUNDS = 16, WAIT = 500, PIECE = 1 << 20 };
	struct pollfd p = { .fd = s->raw, .events = POLLIN };
	for (int i = 0; i < ROUNDS; i++)
		if (poll(&p, 1, WAIT) <= 0 || recv(s->raw, NULL, PIECE, MSG_TRUNC | MSG_DONTWAIT) <= 0) return;
}

/* Do what can be done now.  */
static void step(struct stream *s, struct way *in, struct way *out, short raw, short plain)
{
	if (!in->ended && empty(in) && raw) read_tls(s, in);
	if (!empty(in)) write_plain(s, in);
	if (!out->ended && empty(out) && plain) read_plain(s, out);
	if (!empty(out)) write_tls(s, out);
	pass_ends(s, in, out);
}

void stream_run(struct stream *s)
{
	static struct way in, out;
	struct pollfd fds[2];
	nonblocking(s->plain);
	in.moved = out.moved = millis();
	while (!out.closed || !in.closed) {
		plan(s, &in, &out, fds);
		bool decrypted = !in.ended && empty(&in) && !in.wants && SSL_has_pending(s->ssl);       /* no poll tells of that */
		int ms = left(stall(s, &out));
		if (ms == 0) break;
		int n = poll(fds, 2, decrypted ? 0 : ms);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 || (out.closed && fds[1].revents & (POLLHUP | POLLERR))) break;        /* the program is gone altogether */
		step(s, &in, &out, decrypted ? POLLIN : fds[0].revents, fds[1].revents);
	}
	linger(s);
}
