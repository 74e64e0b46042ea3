/* What of a server's octets a person gets to see: each row whole and in pieces of every size, and what must never come out whatever goes in.
 * SPDX-License-Identifier: MIT */
#include "show.h"

#include "check.h"

static const struct { const char *in; size_t n; const char *out; } rows[] = {
	{ BYTES(""), "" },
	{ BYTES("250 ok\r\n"), "250 ok\n" },
	{ BYTES("a\tb ~"), "a\tb ~" },
	/* ends of lines */
	{ BYTES("a\nb"), "a\\x0a\nb" },
	{ BYTES("a\rb"), "a\\x0db" },
	{ BYTES("\r\r\n\n\r"), "\\x0d\n\\x0a\n\\x0d" },
	{ BYTES("\r\xc3\xa9\r"), "\\x0d\xc3\xa9\\x0d" },
	/* controls, and what we write ourselves */
	{ BYTES("\0\x07\x1b[2J\x7f"), "\\x00\\x07\\x1b[2J\\x7f" },
	{ BYTES("\\x1b"), "\\x5cx1b" },
	{ BYTES("\x9b" "31m"), "\\x9b31m" },
	{ BYTES("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0"), "\\xc2\\x80\\xc2\\x9b\\xc2\\x9f\xc2\xa0" },
	/* UTF-8: the first and the last of each length, and what is none (RFC 3629) */
	{ BYTES("\xc3\xbc\xe2\x82\xac\xf0\x9f\x93\xa7"), "\xc3\xbc\xe2\x82\xac\xf0\x9f\x93\xa7" },
	{ BYTES("\xdf\xbf\xe0\xa0\x80\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), "\xdf\xbf\xe0\xa0\x80\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" },
	{ BYTES("\xc0\x80\xc1\xbf"), "\\xc0\\x80\\xc1\\xbf" },
	{ BYTES("\xe0\x9f\xbf\xf0\x8f\xbf\xbf"), "\\xe0\\x9f\\xbf\\xf0\\x8f\\xbf\\xbf" },
	{ BYTES("\xed\x9f\xbf\xed\xa0\x80\xed\xbf\xbf\xee\x80\x80"), "\xed\x9f\xbf\\xed\\xa0\\x80\\xed\\xbf\\xbf\xee\x80\x80" },
	{ BYTES("\xf4\x90\x80\x80\xf5\x80\xff\xfe"), "\\xf4\\x90\\x80\\x80\\xf5\\x80\\xff\\xfe" },
	{ BYTES("\xc3"), "\\xc3" },
	{ BYTES("\xe2\x82" "a"), "\\xe2\\x82a" },
	{ BYTES("\xf0\x9f\x93\r\n"), "\\xf0\\x9f\\x93\n" },
	{ BYTES("\xc3\xc3\xa9\xa9"), "\\xc3\xc3\xa9\\xa9" },
	{ BYTES("\xe2\x1b"), "\\xe2\\x1b" },
	/* what turns the direction, or ends a line in other eyes */
	{ BYTES("\xe2\x80\x8d\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\x90"), "\xe2\x80\x8d\\xe2\\x80\\x8e\\xe2\\x80\\x8f\xe2\x80\x90" },
	{ BYTES("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xae\xe2\x80\xaf"), "\xe2\x80\xa7\\xe2\\x80\\xa8\\xe2\\x80\\xae\xe2\x80\xaf" },
	{ BYTES("\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa"), "\xe2\x81\xa5\\xe2\\x81\\xa6\\xe2\\x81\\xa9\xe2\x81\xaa" },
	{ BYTES("\xd8\x9c\xef\xbb\xbf"), "\\xd8\\x9c\\xef\\xbb\\xbf" },
};

/* In pieces of `size`, each into no more room than was promised.  */
static size_t in_pieces(char *out, const char *in, size_t n, size_t size)
{
	struct shown s = { .n = 0 };
	size_t m = 0;
	for (size_t at = 0;; at += size) {
		size_t some = at >= n ? 0 : n - at < size ? n - at : size, room = SHOW_GROWTH * some + SHOW_MORE;
		char *exact = malloc(room);     /* for the sanitizer */
		size_t got = exact ? show_octets(&s, exact, in + (some ? at : 0), some) : 0;
		if (!exact || got > room) abort();
		memcpy(out + m, exact, got);
		m += got;
		free(exact);
		if (some == 0) return m;
	}
}

static bool harmless(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i], next = i + 1 < n ? (unsigned char)s[i + 1] : 0;
		if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f || (c == 0xc2 && next < 0xa0) || c == 0xc0 || c == 0xc1 || c > 0xf4) return false;
	}
	return true;
}

/* Octets that matter, in any order.  */
static void mixtures(void)
{
	enum { ROUNDS = 20000, MOST = 24 };
	static const unsigned char kinds[] = "\r\n\\a\x1b\x7f\x80\x9b\xa8\xbf\xc0\xc2\xc3\xd8\xe0\xe2\xed\xef\xf0\xf4\xff";
	uint64_t seed = 1;
	unsigned bad = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		char in[MOST], whole[MOST * SHOW_GROWTH + 3 * SHOW_MORE], pieces[sizeof whole + MOST * SHOW_MORE];
		size_t n = round % MOST + 1;
		for (size_t i = 0; i < n; i++) {
			in[i] = (char)kinds[random_next(&seed) % (sizeof kinds - 1)];
		}
		size_t m = in_pieces(whole, in, n, MOST), k = in_pieces(pieces, in, n, 1 + random_next(&seed) % 3);
		bad += !harmless(whole, m) || m != k || memcmp(whole, pieces, m) != 0;
	}
	check_number(bad, 0, "mixtures of what matters are harmless, and the same in pieces");
}

int main(void)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		char out[400];
		for (size_t size = 1; size <= rows[i].n + 1; size++) {
			size_t m = in_pieces(out, rows[i].in, rows[i].n, size);
			check_bytes(out, m, rows[i].out, strlen(rows[i].out), "row %zu in pieces of %zu", i, size);
		}
	}
	mixtures();
	return done();
}
