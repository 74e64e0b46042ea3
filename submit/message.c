/* The text of a message: LF or CR LF on the way in, CR LF on the way out, a bare CR as a space; not an octet else is changed, but Bcc left out
 * and From put in where there is none.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "header.h"
#include "submit.h"

static bool keep(struct sendmail *m, const char *p, size_t n)
{
	size_t room = TEXT - m->have, piece = n < room ? n : room;
	m->size += n;
	memcpy(m->text + m->have, p, piece);
	m->have += piece;
	if (piece == n) return true;
	if (!m->rest) m->rest = tmpfile();
	return m->rest && fwrite(p + piece, 1, n - piece, m->rest) == n - piece;
}

/* Keep what is before the end: that of the input or, without -i, a line with a dot and nothing else.  */
static bool take(struct sendmail *m, const char *p, size_t n)
{
	bool good = true;
	if (!m->dots) return keep(m, p, n);
	while (n > 0 && good) {
		if (!m->middle) {
			bool dot = m->held == 0 && *p == '.', cr = m->held == 1 && *p == '\r';
			m->ended = m->held > 0 && *p == '\n';
			if (m->ended) return true;
			if (dot || cr) {
				m->held++;
				p++, n--;
				continue;
			}
			good = keep(m, ".\r", m->held);
			m->held = 0;
		}
		const char *lf = memchr(p, '\n', n);
		size_t piece = lf ? (size_t)(lf + 1 - p) : n;
		good = good && keep(m, p, piece);
		m->middle = !lf;
		p += piece, n -= piece;
	}
	return good;
}

/* Where fields begin: behind the line that an mbox has in front.  */
static const char *first_field(const struct sendmail *m)
{
	const char *lf = m->have > 5 && memcmp(m->text, "From ", 5) == 0 ? memchr(m->text, '\n', m->have) : NULL;
	return lf ? lf + 1 : m->text;
}

/* What can be sent is known of each octet, wherever it stands.  */
static bool look_at(struct sendmail *m, const char *p, size_t n)
{
	unsigned char all = 0;
	for (size_t i = 0; i < n; i++) all |= (unsigned char)p[i];
	m->eightbit |= all >= 0x80;
	return !memchr(p, '\0', n);
}

static bool no_room(struct sendmail *m) { return trouble(m, EX_TEMPFAIL, "no room for a copy of the message", strerror(errno)), false; }

/* Find the end of the header, of which all must be there.  */
static bool find_header(struct sendmail *m)
{
	const char *s = first_field(m);
	struct field f;
	while (field_next(&s, m->text + m->have, &f)) continue;
	m->header = (size_t)(s - m->text);
	if (m->rest && m->header == m->have) return trouble(m, EX_DATAERR, "the header is too large", ""), false;
	char behind = m->text[m->header];
	m->text[m->header] = '\0';
	for (s = first_field(m); *s; s++) m->utf8_header |= (unsigned char)*s >= 0x80;
	m->utf8_header &= utf8_valid(first_field(m));   /* in any other charset it is for whoever reads it to guess */
	m->text[m->header] = behind;
	return true;
}

bool read_message(struct sendmail *m)
{
	static char piece[1 << 16];
	ssize_t n;
	while (!m->ended && (n = read(0, piece, sizeof piece)) != 0) {
		if (n < 0 && errno == EINTR && !clock_stop_asked()) continue;
		if (n < 0) return trouble(m, EX_TEMPFAIL, "standard input", strerror(errno)), false;
		if (!look_at(m, piece, (size_t)n)) return trouble(m, EX_DATAERR, "the message holds a NUL", ""), false;
		if (!take(m, piece, (size_t)n)) return no_room(m);
	}
	if (!m->ended && !keep(m, ".\r", m->held)) return no_room(m);
	if (m->rest && fflush(m->rest) != 0) return no_room(m);
	return find_header(m);
}

static bool is_recipient(const struct field *f, bool resent)
{
	static const char *const names[] = { "To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc" };
	for (size_t i = resent ? 3 : 0; i < (resent ? 6U : 3U); i++)
		if (field_is(f, names[i])) return true;
	return false;
}

struct fields look(struct sendmail *m)
{
	struct fields have = { false, false };
	const char *s = first_field(m), *end = m->text + m->header;
	struct field f;
	while (field_next(&s, end, &f)) {
		have.from |= field_is(&f, "From");
		have.resent |= f.name > 7 && strncasecmp(f.start, "Resent-", 7) == 0;
	}
	for (s = first_field(m); m->from_header && field_next(&s, end, &f);)
		if (is_recipient(&f, have.resent)) add_list(m, f.value, f.end);
	return have;
}

static void to_hop(void *ctx, const char *p, size_t n) { hop_write(ctx, p, n); }

static void feed(struct sendmail *m, const char *p, size_t n)
{
	bool end;
	data_feed(&m->data, p, n, &end);
}

static void write_header(struct sendmail *m, struct fields have)
{
	char author[AUTHOR_FIELD];
	const char *s = first_field(m), *end = m->text + m->header;
	struct field f;
	while (field_next(&s, end, &f))
		if (!field_is(&f, "Bcc") && !field_is(&f, "Resent-Bcc")) feed(m, f.start, (size_t)(f.end - f.start));
	if (m->data.state != DATA_LINE) feed(m, "\n", 1);       /* the last line of a message that is a header only */
	if (!have.from) feed(m, author, author_field(m, author));
}

bool write_message(struct sendmail *m, struct fields have)
{
	static char piece[1 << 16];
	size_t n = m->have - m->header;
	const char *rest = m->text + m->header;
	m->data = (struct data){ .newline = NL_SUBMIT, .sink = to_hop, .ctx = &m->hop };
	write_header(m, have);
	if (!(n > 0 && *rest == '\n') && !(n > 1 && rest[0] == '\r' && rest[1] == '\n')) feed(m, "\n", 1);
	feed(m, rest, n);
	if (m->rest) rewind(m->rest);
	while (m->rest && (n = fread(piece, 1, sizeof piece, m->rest)) > 0) feed(m, piece, n);
	if (m->data.state != DATA_LINE) feed(m, "\n", 1);
	data_finish(&m->data);
	return !m->rest || !ferror(m->rest);
}
