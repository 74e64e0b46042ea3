/* What the harnesses share: the input as text and control octets, a client and a clock made of them, and EXPECT.
 *
 * An input is TEXT, or TEXT 0xff 0xfe CONTROL, so that any transcript is a seed as it is.  In TEXT, 0xfd A B stands for the A octets before it
 * once more, B times: large messages from small inputs.  The first two control octets say how the text is cut into pieces (none: not at
 * all), the others are for the harness, which reads 0 when there are no more.
 *
 * The programs are linked with --wrap=read,write: descriptors 0 and 1 are the client, 2 the log, HOP the next hop.  The functions of
 * lib/clock.c are replaced by those below: time passes only when the harness says so.
 * SPDX-License-Identifier: MIT */
#ifndef FUZZ_H
#define FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

enum { FUZZ_TEXT = 1 << 18, FUZZ_OUT = 1 << 22, FUZZ_NEVER = 1 << 30, HOP = 1000 };

static struct {
	char text[FUZZ_TEXT];
	size_t n, at;                   /* the text, and how much of it was read */
	const uint8_t *control;
	size_t controls;
	unsigned cut;
	uint64_t random;
	char out[FUZZ_OUT];             /* what was written to the client */
	size_t said;
	bool full;                      /* that was too much of it, or the client did not take it: nothing can be told from it */
	size_t late_at, stop_at;        /* where in the text minutes pass, a signal comes; none: FUZZ_NEVER */
	size_t deaf_at;                 /* after how much of our output the client is gone */
	bool late, stop;                /* that was */
	unsigned logged;                /* lines */
	uint32_t now;
} fuzz;

/* The start of s, printable.  */
static inline void fuzz_show(const char *what, const char *s, size_t n)
{
	enum { MOST = 3000 };
	fprintf(stderr, "%s, %zu octets:\n", what, n);
	for (size_t i = 0; i < n && i < MOST; i++) fprintf(stderr, s[i] >= ' ' && s[i] < 0x7f && s[i] != '\\' ? "%c" : s[i] == '\n' ? "\\n\n" : "\\x%02x", (unsigned char)s[i]);
	fputc('\n', stderr);
}

#define EXPECT(condition) do if (!(condition)) fuzz_fail(__FILE__, __LINE__, #condition); while (0)
_Noreturn static inline void fuzz_fail(const char *file, int line, const char *what)
{
	fuzz_show("client", fuzz.text, fuzz.n);
	fuzz_show("server", fuzz.out, fuzz.said);
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- pieces --- */

static inline unsigned control(void)
{
	if (fuzz.controls == 0) return 0;
	fuzz.controls--;
	return *fuzz.control++;
}

static inline unsigned dice(unsigned sides)
{
	fuzz.random ^= fuzz.random << 13;
	fuzz.random ^= fuzz.random >> 7;
	fuzz.random ^= fuzz.random << 17;
	return (unsigned)(fuzz.random >> 20) % sides;
}

/* How much of n octets comes at once; at least 1.  */
static inline size_t piece(size_t n)
{
	static const unsigned most[] = { 0, 1, 2, 5, 40, 1500, 5000, 0 };
	unsigned m = most[fuzz.cut % 8];
	if (fuzz.cut % 8 == 7) m = 1 + dice(dice(2) ? 3 : 3000);
	if (m == 0 || n == 0) return n;
	size_t p = 1 + dice(m);
	return p < n ? p : n;
}

static inline void fuzz_cuts(void)
{
	fuzz.cut = control();
	fuzz.random = 0x9e3779b97f4a7c15ULL + control();
}

/* Take an input; `room` is the most text that the harness wants.  */
static inline void fuzz_take(const uint8_t *data, size_t size, size_t room)
{
	const uint8_t *mark = size >= 2 ? memmem(data, size, "\xff\xfe", 2) : NULL;
	const uint8_t *end = mark ? mark : data + size;
	fuzz.n = fuzz.at = fuzz.said = 0;
	fuzz.late_at = fuzz.stop_at = fuzz.deaf_at = FUZZ_NEVER;
	fuzz.full = fuzz.late = fuzz.stop = false;
	fuzz.control = mark ? mark + 2 : end;
	fuzz.controls = (size_t)(data + size - fuzz.control);
	if (room > FUZZ_TEXT) room = FUZZ_TEXT;
	for (const uint8_t *p = data; p < end && fuzz.n < room; p++) {
		size_t back = p + 2 < end ? p[1] : 0, times = back ? p[2] : 0;
		if (*p != 0xfd || back == 0 || back > fuzz.n) {
			fuzz.text[fuzz.n++] = (char)*p;
			continue;
		}
		for (size_t i = 0; i < back * times && fuzz.n < room; i++, fuzz.n++) fuzz.text[fuzz.n] = fuzz.text[fuzz.n - back];
		p += 2;
	}
	fuzz_cuts();
}

/* A copy in memory of exactly its size, so that the sanitizer sees a step past its end.  */
static inline char *exactly(const char *s, size_t n)
{
	char *p = malloc(n ? n : 1);
	if (n > 0) memcpy(p, s, n);
	return p;
}

/* --- the clock --- */

uint32_t clock_deadline(unsigned ms) { return fuzz.now + ms; }
bool clock_passed(uint32_t deadline) { return (int32_t)(fuzz.now - deadline) >= 0; }
bool clock_stop_asked(void) { return fuzz.stop; }
uint64_t millis(void) { return fuzz.now; }
void clock_signals(void) { }
void clock_stop_on(int sig) { (void)sig; }
void clock_start(unsigned shortest) { (void)shortest; }

/* --- the client, the log, and the next hop, where there is one --- */

ssize_t __real_read(int fd, void *buf, size_t n);
ssize_t __real_write(int fd, const void *buf, size_t n);
ssize_t __wrap_read(int fd, void *buf, size_t n);
ssize_t __wrap_write(int fd, const void *buf, size_t n);
static ssize_t (*hop_read)(void *buf, size_t n);
static ssize_t (*hop_wrote)(const void *buf, size_t n);

/* A signal comes: a tick, the last one that was left, or the wish to stop.  */
static inline bool interrupted(int fd)
{
	if (fd == 0 && fuzz.at >= fuzz.late_at && !fuzz.late) {
		fuzz.now += 400000;      /* longer than any limit but that of the session */
		return fuzz.late = true;
	}
	if (fd == 0 && fuzz.at >= fuzz.stop_at && !fuzz.stop) return fuzz.stop = true;
	return fuzz.cut >= 128 && dice(8) == 0;
}

ssize_t __wrap_read(int fd, void *buf, size_t n)
{
	if (fd != 0 && fd != HOP) return __real_read(fd, buf, n);
	EXPECT(n > 0);
	if (interrupted(fd)) {
		errno = EINTR;
		return -1;
	}
	if (fd == HOP) return hop_read(buf, n);
	size_t left = fuzz.n - fuzz.at, p = piece(left < n ? left : n);
	memcpy(buf, fuzz.text + fuzz.at, p);
	fuzz.at += p;
	return (ssize_t)p;
}

/* A line of the log: one line, and nothing in it that could be another or do harm to a terminal (P8).  */
static inline void check_log(const char *s, size_t n)
{
	EXPECT(n > 0 && s[n - 1] == '\n');
	fuzz.logged++;
	for (size_t i = 0; i + 1 < n; i++) EXPECT(s[i] >= ' ' && s[i] < 0x7f);
}

ssize_t __wrap_write(int fd, const void *buf, size_t n)
{
	if (fd == 2) check_log(buf, n);
	if (fd == 2) return (ssize_t)n;
	if (fd != 1 && fd != HOP) return __real_write(fd, buf, n);
	EXPECT(n > 0);
	if (fuzz.cut >= 128 && dice(8) == 0) {
		errno = EINTR;
		return -1;
	}
	if (fd == 1 && fuzz.said >= fuzz.deaf_at) {
		fuzz.full = true;
		errno = EPIPE;
		return -1;
	}
	n = piece(n);
	if (fd == HOP) return hop_wrote(buf, n);
	if (n > FUZZ_OUT - fuzz.said) fuzz.full = true;
	else memcpy(fuzz.out + fuzz.said, buf, n);
	if (!fuzz.full) fuzz.said += n;
	return (ssize_t)n;
}

#endif
