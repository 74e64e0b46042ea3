/* One octet after the other, for a character may come in two pieces.
 * SPDX-License-Identifier: MIT */
#include "show.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- escapes --- */

static char *escape(char *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	const char code[] = { '\\', 'x', hex[c >> 4], hex[c & 15] };
	return (char *)memcpy(out, code, sizeof code) + sizeof code;
}

/* How many octets the character has that begins with this one; 0: none does (RFC 3629).  */
static size_t length(unsigned char c) { return c < 0xc2 || c > 0xf4 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4; }

/* Whether a whole character may be shown: not the longer form of a shorter one, no surrogate, no control, nothing that turns the direction of the line or ends it.  */
static bool visible(const unsigned char *s, size_t n)
{
	static const struct { uint32_t first, last; } not[] = {
		{ 0x80, 0x9f }, { 0x61c, 0x61c }, { 0x200e, 0x200f }, { 0x2028, 0x202e }, { 0x2066, 0x2069 }, { 0xd800, 0xdfff }, { 0xfeff, 0xfeff }, { 0x110000, UINT32_MAX },
	};
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = s[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) c = c << 6 | (s[i] & 0x3fU);
	for (size_t i = 0; i < sizeof not / sizeof *not; i++)
		if (c >= not[i].first && c <= not[i].last) return false;
	return c >= least[n];
}

/* What is held, in codes or as it is.  */
static char *release(struct shown *s, char *out, bool coded)
{
	for (size_t i = 0; i < s->n; i++) {
		if (coded) out = escape(out, s->held[i]);
		else *out++ = (char)s->held[i];
	}
	s->n = 0;
	return out;
}

static char *first(struct shown *s, char *out, unsigned char c)
{
	if (c == '\r' || length(c) > 0) s->held[s->n++] = c;
	else if (c == '\n') out = escape(out, c), *out++ = '\n';
	else if (c == '\t' || (c >= ' ' && c < 0x7f && c != '\\')) *out++ = (char)c;
	else out = escape(out, c);
	return out;
}

size_t show_octets(struct shown *s, char *out, const char *in, size_t n)
{
	char *o = out;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)in[i];
		if (s->n == 0) {
			o = first(s, o, c);
		} else if (s->held[0] == '\r' && c == '\n') {
			s->n = 0;
			*o++ = '\n';
		} else if (s->held[0] != '\r' && (c & 0xc0) == 0x80) {
			s->held[s->n++] = c;
			if (s->n == length(s->held[0])) o = release(s, o, !visible(s->held, s->n));
		} else {
			o = release(s, o, true);
			o = first(s, o, c);
		}
	}
	if (n == 0) o = release(s, o, true);
	return (size_t)(o - out);
}

/* --- the transcript --- */

int transcript_open(struct transcript *t, const char *path)
{
	enum { OURS = 0600 };
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, OURS), why;
	if (fd < 0) return -1;
	errno = EPERM;
	bool good = fstat(fd, &st) == 0 && (!S_ISREG(st.st_mode) || (st.st_uid == geteuid() && fchmod(fd, OURS) == 0 && ftruncate(fd, 0) == 0));
	if (good && (t->file = fdopen(fd, "w"))) return 0;
	why = errno;
	close(fd);
	errno = why;
	return -1;
}

static void put_line(struct transcript *t, enum side side, bool whole)
{
	struct said *s = &t->said[side];
	fprintf(t->file, "%c%c ", side == CLIENT_SIDE ? 'C' : 'S', s->more ? '+' : ':');
	fwrite(s->line, 1, s->n, t->file);
	putc('\n', t->file);
	s->n = 0;
	s->more = !whole;
}

void transcript_add(struct transcript *t, enum side side, const char *in, size_t n)
{
	enum { PIECE = 512 };
	char out[PIECE * SHOW_GROWTH + SHOW_MORE];
	struct said *s = &t->said[side];
	size_t some;
	if (!t->file) return;
	do {
		some = n < PIECE ? n : PIECE;
		size_t m = show_octets(&s->shown, out, in, some);
		for (size_t i = 0; i < m; i++) {
			if (out[i] == '\n') {
				put_line(t, side, true);
				continue;
			}
			if (s->n == SHOW_LINE) put_line(t, side, false);
			s->line[s->n++] = out[i];
		}
		in += some;
		n -= some;
	} while (n > 0);
	if (some == 0 && s->n > 0) put_line(t, side, true);
	fflush(t->file);
}

void transcript_note(struct transcript *t, const char *text)
{
	if (t->file) fprintf(t->file, "*: %s\n", text);
}

int transcript_close(struct transcript *t)
{
	if (!t->file) return 0;
	bool good = !ferror(t->file);
	return fclose(t->file) == 0 && good ? 0 : -1;
}
