/* What the unit tests share: each check prints one line of TAP, a failed one also what was expected and what was got.
 * SPDX-License-Identifier: MIT */
#ifndef CHECK_H
#define CHECK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof (a) / sizeof *(a))
#define BYTES(literal) (literal), sizeof (literal) - 1  /* with its length, so that it may hold NULs */

static struct { unsigned done, failed; } checks;

/* A printable copy, in C's notation.  The last few stay valid.  */
static inline const char *show(const char *s, size_t n)
{
	enum { RING = 4, ROOM = 600 };
	static char ring[RING][ROOM + 8];
	static unsigned turn;
	static const char special[] = "\r\n\t\"\\", letters[] = "rnt\"\\";
	char *out = ring[turn++ % RING], *to = out;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		const char *known = c ? strchr(special, c) : NULL;
		if (to - out > ROOM - 8) {
			strcpy(to, "...");
			return out;
		}
		if (known) to += sprintf(to, "\\%c", letters[known - special]);
		else if (c < ' ' || c >= 0x7f) to += sprintf(to, "\\x%02x", (unsigned)c);
		else *to++ = (char)c;
	}
	*to = '\0';
	return out;
}

static inline const char *show_text(const char *s) { return show(s, strlen(s)); }

__attribute__((format(printf, 2, 0)))
static inline bool report(bool ok, const char *what, va_list ap)
{
	printf("%s %u - ", ok ? "ok" : "not ok", ++checks.done);
	vprintf(what, ap);
	putchar('\n');
	if (!ok) checks.failed++;
	return ok;
}

__attribute__((format(printf, 2, 3)))
static inline bool check(bool ok, const char *what, ...)
{
	va_list ap;
	va_start(ap, what);
	report(ok, what, ap);
	va_end(ap);
	return ok;
}

__attribute__((format(printf, 3, 4)))
static inline bool check_number(unsigned long long got, unsigned long long want, const char *what, ...)
{
	va_list ap;
	va_start(ap, what);
	bool ok = report(got == want, what, ap);
	va_end(ap);
	if (!ok) printf("#   expected: %llu\n#   got:      %llu\n", want, got);
	return ok;
}

__attribute__((format(printf, 5, 6)))
static inline bool check_bytes(const char *got, size_t n, const char *want, size_t m, const char *what, ...)
{
	va_list ap;
	va_start(ap, what);
	bool ok = report(n == m && memcmp(got, want, n) == 0, what, ap);
	va_end(ap);
	if (!ok) printf("#   expected: %zu \"%s\"\n#   got:      %zu \"%s\"\n", m, show(want, m), n, show(got, n));
	return ok;
}

#define check_text(got, want, ...) check_bytes((got), strlen(got), (want), strlen(want), __VA_ARGS__)

/* The plan, and the exit status of the program.  */
static inline int done(void)
{
	printf("1..%u\n", checks.done);
	return checks.failed > 0;
}

/* xorshift64*: the same numbers in every run.  */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 0x2545f4914f6cdd1dULL) >> 16;
}

/* A copy in memory of exactly its size, so that the address sanitizer sees a read past its end.  */
static inline char *exactly(const char *s, size_t n)
{
	char *p = malloc(n ? n : 1);
	if (!p) abort();
	if (n > 0) memcpy(p, s, n);
	return p;
}

#endif
