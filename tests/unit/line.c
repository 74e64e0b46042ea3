/* The line reader and the output buffer, through a socket pair.  Input comes in pieces: the reader's own before_wait writes the next
 * one, so each cut is where the test wants it, and nothing waits.  Time passes by ticks that the test raises.
 * SPDX-License-Identifier: MIT */
#include "line.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"

enum { TICK = 30000, LONG = 100 * TICK };       /* milliseconds: a tick before clock_start, and far more than any test sees */

/* The peer: what it will say, and where it takes breath.  */
struct peer {
	int fd;
	const char *in;
	size_t n, at;
	uint64_t cuts;          /* a cut before octet i where bit i is set; the bits repeat */
	unsigned ticks;         /* this many pass before each piece */
	unsigned fills;
	bool open_end;          /* does not close when all is said */
};

static void say_all(int fd, const char *s, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, s, n);
		if (w <= 0) abort();
		s += w;
		n -= (size_t)w;
	}
}

static bool next_piece(void *ctx)
{
	struct peer *p = ctx;
	p->fills++;
	for (unsigned i = 0; i < p->ticks; i++) raise(SIGALRM);
	if (p->at == p->n) {
		if (!p->open_end) shutdown(p->fd, SHUT_WR);
		return true;
	}
	size_t piece = 1;
	while (p->at + piece < p->n && !(p->cuts >> (p->at + piece) % 64 & 1)) piece++;
	say_all(p->fd, p->in + p->at, piece);
	p->at += piece;
	return true;
}

static char input[70000], output[8192];

/* An io whose peer is *p.  */
static struct io open_io(struct peer *p, int type)
{
	int fds[2];
	if (socketpair(AF_UNIX, type, 0, fds) != 0) abort();
	p->fd = fds[1];
	return (struct io){ .in = fds[0], .out = fds[0], .ibuf = input, .obuf = output, .isize = sizeof input, .osize = sizeof output,
		.write_ms = LONG, .end = clock_deadline(LONG), .before_wait = next_piece, .ctx = p };
}

static void close_io(struct io *io, struct peer *p)
{
	close(io->in);
	if (p->fd >= 0) close(p->fd);
}

static const char *result_name(enum io_result r)
{
	static const char *const names[] = { "!ok", "!long", "!lf", "!time", "!stop", "!end" };
	return names[r];
}

/* --- the tables of lines: "[line]" for each, or "!" and why there is none --- */

struct row { const char *what, *in; size_t n, max; const char *want; };

static const struct row strict_rows[] = {
	{ "a line", BYTES("NOOP\r\n"), 512, "[NOOP]!end" },
	{ "an empty line", BYTES("\r\n"), 512, "[]!end" },
	{ "nothing", BYTES(""), 512, "!end" },
	{ "pipelined lines", BYTES("EHLO a\r\nMAIL\r\n\r\nQUIT\r\n"), 512, "[EHLO a][MAIL][][QUIT]!end" },
	{ "blanks stay", BYTES(" NOOP \t\r\n"), 512, "[ NOOP \\t]!end" },
	{ "the end in mid-line", BYTES("NOOP\r\nQUI"), 512, "[NOOP]!end" },
	{ "the end behind a CR", BYTES("NOOP\r\nQUIT\r"), 512, "[NOOP]!end" },
	{ "a NUL", BYTES("QUIT\0x\r\n"), 512, "[QUIT\\x00x]!end" },       /* LIM-04: the caller sees all of it */
	{ "a bare CR", BYTES("NO\rOP\r\nQUIT\r\n"), 512, "[NO\\rOP][QUIT]!end" },
	{ "CR CR LF", BYTES("NOOP\r\r\nQUIT\r\n"), 512, "[NOOP\\r][QUIT]!end" },
	{ "CR only", BYTES("\r\r\r\n"), 512, "[\\r\\r]!end" },
	/* a bare LF: told at once, and what follows up to a true line end is no command (SES-09) */
	{ "a bare LF", BYTES("NOOP\nRSET\r\nQUIT\r\n"), 512, "!lf[QUIT]!end" },
	{ "a bare LF first", BYTES("\nRSET\r\nQUIT\r\n"), 512, "!lf[QUIT]!end" },
	{ "a bare LF, then CRLF", BYTES("NOOP\n\r\nQUIT\r\n"), 512, "!lf[QUIT]!end" },
	{ "several bare LFs", BYTES("NOOP\nRSET\n\nDATA\r\nQUIT\r\n"), 512, "!lf[QUIT]!end" },
	{ "bare LFs, no CRLF", BYTES("NOOP\nRSET\nQUIT\n"), 512, "!lf!end" },
	{ "LF CR LF", BYTES("NOOP\n\r\n"), 512, "!lf!end" },
	{ "LF CR x CR LF", BYTES("NOOP\n\rx\r\nQUIT\r\n"), 512, "!lf[QUIT]!end" },
	{ "a bare LF twice", BYTES("A\nB\r\nC\nD\r\nE\r\n"), 512, "!lf!lf[E]!end" },
	{ "NUL LF", BYTES("A\0\nB\r\nC\r\n"), 512, "!lf[C]!end" },
	/* too long: the limit counts the line end */
	{ "the limit", BYTES("12345678\r\nA\r\n"), 10, "[12345678][A]!end" },
	{ "one over", BYTES("123456789\r\nA\r\n"), 10, "!long[A]!end" },
	{ "CR is octet 10", BYTES("123456789\r\n"), 10, "!long!end" },
	{ "CR is octet 11", BYTES("1234567890\r\nA\r\n"), 10, "!long[A]!end" },
	{ "far over", BYTES("123456789012345678901234567890123456789\r\nA\r\n"), 10, "!long[A]!end" },
	{ "over twice", BYTES("12345678901\r\n12345678901\r\nA\r\n"), 10, "!long!long[A]!end" },
	{ "over, with no end", BYTES("12345678901234567890"), 10, "!long!end" },
	{ "over, then a CR and no end", BYTES("12345678901234567890\r"), 10, "!long!end" },
	{ "over, bare CRs in the rest", BYTES("1234567890\r1\r\r2\r\r\nA\r\n"), 10, "!long[A]!end" },
	{ "over, bare LFs in the rest", BYTES("12345678901\nRSET\n\nDATA\r\nA\r\n"), 10, "!long[A]!end" },
	{ "over, LF CRLF in the rest", BYTES("12345678901\n\r\nA\r\n"), 10, "!long[A]!end" },
	{ "a bare LF at the limit", BYTES("123456789\nRSET\r\nA\r\n"), 10, "!lf[A]!end" },
	{ "a bare LF one over", BYTES("1234567890\nRSET\r\nA\r\n"), 10, "!long[A]!end" },
	{ "a bare LF, and a long rest", BYTES("1\n1234567890123456789012345\r\nA\r\n"), 10, "!lf[A]!end" },
	{ "the rest looks like lines", BYTES("12345678901 QUIT\r\nA\r\nQUIT\r\n"), 10, "!long[A][QUIT]!end" },
};

static const struct row lenient_rows[] = {
	{ "a line", BYTES("NOOP\r\n"), 512, "[NOOP]!end" },
	{ "LF ends a line", BYTES("NOOP\nRSET\r\n\n\r\nQUIT\n"), 512, "[NOOP][RSET][][][QUIT]!end" },
	{ "the end in mid-line", BYTES("NOOP\nQUIT"), 512, "[NOOP]!end" },
	{ "a bare CR", BYTES("NO\rOP\nA\r\r\n"), 512, "[NO\\rOP][A\\r]!end" },
	{ "the limit with LF", BYTES("123456789\nA\n"), 10, "[123456789][A]!end" },
	{ "one over with LF", BYTES("1234567890\nA\n"), 10, "!long[A]!end" },
	{ "the limit with CRLF", BYTES("12345678\r\nA\n"), 10, "[12345678][A]!end" },
	{ "one over with CRLF", BYTES("123456789\r\nA\n"), 10, "!long[A]!end" },
	{ "far over", BYTES("123456789012345678901234567890\nA\nB\n"), 10, "!long[A][B]!end" },
	{ "over, CRs in the rest", BYTES("12345678901\r2\r\nA\n"), 10, "!long[A]!end" },
};

/* All that io_line says of a row, in the cut and with the buffer given.  */
static const char *read_all(const struct row *row, bool strict, uint64_t cuts, size_t isize)
{
	static char text[1024];
	struct peer peer = { .in = row->in, .n = row->n, .cuts = cuts };
	struct io io = open_io(&peer, SOCK_STREAM);
	char *small = malloc(isize);
	if (!small) abort();
	io.ibuf = small;
	io.isize = isize;
	io.strict = strict;
	size_t used = 0;
	enum io_result got;
	do {
		char *line;
		size_t len;
		got = io_line(&io, row->max, LONG, false, &line, &len);
		if (got == IO_OK && line[len] != '\0') used += (size_t)sprintf(text + used, "no NUL behind: ");
		used += (size_t)(got == IO_OK ? snprintf(text + used, sizeof text - used, "[%s]", show(line, len)) :
			snprintf(text + used, sizeof text - used, "%s", result_name(got)));
	} while (got != IO_END && used < sizeof text / 2);
	if (io.failed || io.dead || io.taken != row->n) snprintf(text + used, sizeof text - used, " failed %d dead %d taken %d", io.failed, io.dead, (int)io.taken);
	close_io(&io, &peer);
	free(small);
	return text;
}

static void test_rows(const struct row *rows, size_t n, bool strict)
{
	for (const struct row *row = rows; row < rows + n; row++) {
		const char *mode = strict ? "strict" : "lenient";
		check_text(read_all(row, strict, 0, 4096), row->want, "%s: %s", mode, row->what);
		check_text(read_all(row, strict, ~0ULL, 4096), row->want, "%s: %s, octet by octet", mode, row->what);
		check_text(read_all(row, strict, 0, row->max + 1), row->want, "%s: %s, the smallest buffer", mode, row->what);
		check_text(read_all(row, strict, ~0ULL, row->max + 1), row->want, "%s: %s, octet by octet into the smallest buffer", mode, row->what);
		uint64_t cut = 0;
		for (size_t i = 1; i < row->n && !cut; i++)
			if (strcmp(read_all(row, strict, 1ULL << i, row->max + 1), row->want) != 0) cut = 1ULL << i;
		check_text(read_all(row, strict, cut, row->max + 1), row->want, "%s: %s, cut anywhere", mode, row->what);
	}
}

/* LIM-02, LIM-03: a megabyte without a line end takes no more than the buffer.  */
static void test_endless_line(void)
{
	enum { MEGABYTE = 1 << 20 };
	char *in = malloc(MEGABYTE + 16), *line;
	if (!in) abort();
	memset(in, 'x', MEGABYTE);
	for (size_t i = 0; i < MEGABYTE; i += 1000) in[i] = i % 3000 ? '\n' : '\r';
	memcpy(in + MEGABYTE, "x\r\nNOOP\r\n", 9);
	struct peer peer = { .in = in, .n = MEGABYTE + 9, .cuts = 1 };
	struct io io = open_io(&peer, SOCK_STREAM);
	size_t len;
	io.strict = true;
	io.isize = 513;
	check(io_line(&io, 512, LONG, false, &line, &len) == IO_TOO_LONG, "a megabyte is too long");
	check(io_line(&io, 512, LONG, false, &line, &len) == IO_OK && strcmp(line, "NOOP") == 0, "and the next line is in step");
	check_number(io.taken, MEGABYTE + 9, "octets taken");
	close_io(&io, &peer);
	free(in);
}

/* Many lines through a small buffer, cut at random.  */
static void test_many_lines(void)
{
	enum { LINES = 5000 };
	static char in[LINES * 24];
	uint64_t seed = 7;
	size_t n = 0;
	for (int i = 0; i < LINES; i++) n += (size_t)sprintf(in + n, "line %d%.*s\r\n", i, (int)(random_next(&seed) % 8), "--------");
	struct peer peer = { .in = in, .n = n, .cuts = random_next(&seed) };
	struct io io = open_io(&peer, SOCK_STREAM);
	io.strict = true;
	io.isize = 25;
	int good = 0;
	char *line, want[16];
	size_t len;
	while (io_line(&io, 24, LONG, false, &line, &len) == IO_OK) {
		size_t m = (size_t)sprintf(want, "line %d", good);
		if (strncmp(line, want, m) != 0 || strlen(line) != len || strspn(line + m, "-") != len - m) break;
		good++;
	}
	check_number((unsigned)good, LINES, "lines through a small buffer");
	close_io(&io, &peer);
}

/* --- waiting --- */

/* A pipelined group is read without a wait, and its answers leave in one write.  */
static void test_pipelining(void)
{
	struct peer peer = { .in = "A\r\nB\r\nC\r\n", .n = 9 };
	struct io io = open_io(&peer, SOCK_SEQPACKET);
	char *line, got[64];
	size_t len;
	for (int i = 0; i < 3; i++) {
		check(io_line(&io, 512, LONG, false, &line, &len) == IO_OK, "pipelined line %d", i);
		io_puts(&io, "250 Ok\r\n");
	}
	check_number(peer.fills, 1, "one read for three lines");
	check(recv(peer.fd, got, sizeof got, MSG_DONTWAIT) < 0, "no answer leaves before a wait");
	check(io_line(&io, 512, LONG, false, &line, &len) == IO_END, "then the end");
	ssize_t n = recv(peer.fd, got, sizeof got, MSG_DONTWAIT);
	check_bytes(got, n > 0 ? (size_t)n : 0, BYTES("250 Ok\r\n250 Ok\r\n250 Ok\r\n"), "the answers leave in one write");
	close_io(&io, &peer);
}

static bool refuse_to_wait(void *ctx)
{
	struct io *io = ctx;
	io_puts(io, "221 Bye\r\n");
	return false;
}

static void test_no_wait(void)
{
	struct peer peer = { .in = "" };
	struct io io = open_io(&peer, SOCK_STREAM);
	char *line, got[64];
	size_t len;
	io.before_wait = refuse_to_wait;
	io.ctx = &io;
	check(io_line(&io, 512, LONG, false, &line, &len) == IO_END, "before_wait can say not to wait");
	ssize_t n = recv(peer.fd, got, sizeof got, MSG_DONTWAIT);
	check_bytes(got, n > 0 ? (size_t)n : 0, BYTES("221 Bye\r\n"), "what it said leaves still");
	close_io(&io, &peer);
}

/* One octet a tick: a limit for the line is not a limit for a read.  */
static void test_slow_lines(void)
{
	static const struct { const char *what, *in; unsigned line, session; const char *want; } rows[] = {
		{ "a line within its limit", "ABC\r\n", 5, 100, "[ABC]!end" },
		{ "each line has its own", "ABC\r\nDEF\r\nGHI\r\n", 5, 100, "[ABC][DEF][GHI]!end" },
		{ "a line past its limit", "ABCDEFGH\r\n", 5, 100, "!time" },
		{ "the rest of a line past its limit", "ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\nA\r\n", 14, 100, "!long!time" },
		{ "the session past its limit", "ABC\r\nDEF\r\nGHI\r\n", 10, 12, "[ABC][DEF]!time" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[128] = "", *line;
		size_t len;
		struct peer peer = { .in = rows[i].in, .n = strlen(rows[i].in), .cuts = ~0ULL, .ticks = 1 };
		struct io io = open_io(&peer, SOCK_STREAM);
		io.strict = true;
		io.end = clock_deadline(rows[i].session * TICK);
		enum io_result got;
		do {
			got = io_line(&io, 12, rows[i].line * TICK, false, &line, &len);
			snprintf(text + strlen(text), sizeof text - strlen(text), got == IO_OK ? "[%s]" : "%s", got == IO_OK ? line : result_name(got));
		} while (got == IO_OK || got == IO_TOO_LONG);
		check_text(text, rows[i].want, "%s", rows[i].what);
		close_io(&io, &peer);
	}
}

static void test_ends(void)
{
	struct peer peer = { .in = "NOOP", .n = 4 };
	struct io io = open_io(&peer, SOCK_STREAM);
	char *line;
	size_t len;
	check(io_line(&io, 512, LONG, false, &line, &len) == IO_END && !io.failed && !io.dead, "an end is no failure");
	check(io_line(&io, 512, LONG, false, &line, &len) == IO_END, "and stays");
	close(io.in);
	io.in = -1;
	check(io_line(&io, 512, LONG, false, &line, &len) == IO_END && io.failed, "a read that fails is told from an end");
	close(peer.fd);
}

/* --- output --- */

static size_t hear(int fd, char *to, size_t room)
{
	size_t n = 0;
	ssize_t r;
	while (n < room && (r = recv(fd, to + n, room - n, MSG_DONTWAIT)) > 0) n += (size_t)r;
	return n;
}

/* Three pieces of any length through a buffer of 8: all octets in their order, and the buffer is never overrun.  */
static void test_put(void)
{
	enum { SIZE = 8, MOST = 20 };
	struct peer peer = { .in = "" };
	struct io io = open_io(&peer, SOCK_STREAM);
	io.obuf = malloc(SIZE);
	if (!io.obuf) abort();
	io.osize = SIZE;
	char all[3 * MOST], got[4 * MOST];
	for (size_t i = 0; i < sizeof all; i++) all[i] = (char)('0' + i);
	unsigned wrong = 0;
	for (size_t a = 0; a <= MOST; a++) {
		for (size_t b = 0; b <= MOST; b++) {
			for (size_t c = 0; c <= MOST; c++) {
				io_put(&io, all, a);
				io_put(&io, all + a, b);
				io_put(&io, all + a + b, c);
				if (io.olen > SIZE) wrong++;
				io_flush(&io);
				size_t n = hear(peer.fd, got, sizeof got);
				if (n != a + b + c || memcmp(got, all, n) != 0 || io.olen != 0 || io.dead) wrong++;
			}
		}
	}
	check_number(wrong, 0, "three pieces of up to %d octets through a buffer of %d", (int)MOST, (int)SIZE);
	io_puts(&io, "1234567");
	check_number(hear(peer.fd, got, sizeof got), 0, "less than the buffer waits");
	io_puts(&io, "89");
	io_flush(&io);
	size_t n = hear(peer.fd, got, sizeof got);
	check_bytes(got, n, BYTES("123456789"), "io_puts over the end of the buffer");
	check(io_write(&io, "at once", 7), "io_write");
	n = hear(peer.fd, got, sizeof got);
	check_bytes(got, n, BYTES("at once"), "io_write goes past the buffer");
	free(io.obuf);
	io.obuf = output;
	close_io(&io, &peer);
}

static void test_dead_peer(void)
{
	struct peer peer = { .in = "" };
	struct io io = open_io(&peer, SOCK_STREAM);
	char *line;
	size_t len;
	close(peer.fd);
	peer.fd = -1;
	io.before_wait = NULL;
	io_puts(&io, "250 Ok\r\n");
	check(!io.dead, "a buffered answer fails not yet");
	io_flush(&io);
	check(io.dead && io.olen == 0, "a peer that has gone makes us dumb");
	check(!io_write(&io, "x", 1), "io_write says so");
	io.osize = 4;
	io_puts(&io, "far more than the buffer holds");
	check(io.dead && io.olen <= io.osize, "more of it does no harm");
	check(io_line(&io, 512, LONG, false, &line, &len) == IO_END, "and the dialogue has ended");
	close_io(&io, &peer);
}

/* --- with the true timer: a tick of 20 ms --- */

static void test_timer(void)
{
	enum { MUCH = 1 << 23 };
	struct peer peer = { .in = "" };
	struct io io = open_io(&peer, SOCK_STREAM);
	char *line, *much = calloc(1, MUCH);
	size_t len;
	if (!much) abort();
	clock_start(200);
	io.before_wait = NULL;
	io.end = clock_deadline(3600000);
	check(io_line(&io, 512, 40, false, &line, &len) == IO_TIMEOUT, "a peer that is silent");
	say_all(peer.fd, "NOO", 3);
	check(io_line(&io, 512, 40, false, &line, &len) == IO_TIMEOUT, "a peer that falls silent in mid-line");
	say_all(peer.fd, "P\r\n", 3);
	check(io_line(&io, 512, 10000, false, &line, &len) == IO_OK && strcmp(line, "NOOP") == 0, "nothing of the line was lost");
	io.end = clock_deadline(40);
	check(io_line(&io, 512, 3600000, false, &line, &len) == IO_TIMEOUT, "a session that is over");
	io.end = clock_deadline(3600000);
	io.write_ms = 40;
	check(!io_write(&io, much, MUCH) && io.dead, "a peer that does not read");
	struct itimerval off = { .it_value = { 0, 0 } };
	setitimer(ITIMER_REAL, &off, NULL);
	free(much);
	close_io(&io, &peer);
}

/* Last, for there is no way back: asked to stop, while idle only.  */
static void test_stop(void)
{
	struct peer peer = { .in = "A\r\nB\r\nC", .n = 7, .open_end = true };
	struct io io = open_io(&peer, SOCK_STREAM);
	char *line;
	size_t len;
	check(io_line(&io, 512, 10 * TICK, true, &line, &len) == IO_OK, "a line before the signal");
	raise(SIGTERM);
	check(io_line(&io, 512, 10 * TICK, true, &line, &len) == IO_OK && strcmp(line, "B") == 0, "a line that is there already is still taken");
	peer.in = "D\r\nE\r\n";
	peer.at = 0;
	peer.n = 6;
	check(io_line(&io, 512, 10 * TICK, true, &line, &len) == IO_STOP, "idle, a line that has begun is not waited for");
	check(io_line(&io, 512, 10 * TICK, false, &line, &len) == IO_OK && strcmp(line, "CD") == 0, "and nothing of it is lost");
	check(io_line(&io, 512, 10 * TICK, false, &line, &len) == IO_OK && strcmp(line, "E") == 0, "with a transaction in hand it goes on");
	check(io_line(&io, 512, 10 * TICK, true, &line, &len) == IO_STOP, "idle, it stops");
	peer.open_end = false;
	check(io_line(&io, 512, 10 * TICK, false, &line, &len) == IO_END, "with a transaction in hand it waits, here for the end");
	close_io(&io, &peer);
}

int main(void)
{
	clock_signals();
	test_rows(strict_rows, COUNT(strict_rows), true);
	test_rows(lenient_rows, COUNT(lenient_rows), false);
	test_endless_line();
	test_many_lines();
	test_pipelining();
	test_no_wait();
	test_slow_lines();
	test_ends();
	test_put();
	test_dead_peer();
	test_timer();
	test_stop();
	return done();
}
