/* The reply table, and reading and writing of replies.
 * SPDX-License-Identifier: MIT */
#include "reply.h"

#include "address.h"
#include "clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { REPLY_LINE = 512, REPLY_LINES = 10000, READ_LINE = 4096 };

const struct reply reply_table[REPLY_COUNT] = {
#define X(name, code, status, text) [R_##name] = { code, status, text },
	REPLIES(X)
#undef X
};

/* One line of a reply with CRLF into `line`, which holds REPLY_LINE octets and a NUL.  Returns its length; what does not fit is cut.  */
static size_t format(char *line, const struct reply *r, char separator, const char *text, int n)
{
	int len = snprintf(line, REPLY_LINE - 1, "%03d%c%s%s%.*s", r->code, separator, r->status, *r->status ? " " : "", n, text);
	if (len > REPLY_LINE - 2) len = REPLY_LINE - 2;
	memcpy(line + len, "\r\n", 2);
	return (size_t)len + 2;
}

void reply_put(struct io *io, const struct reply *r)
{
	const char *text = r->text;
	for (;;) {
		const char *lf = strchr(text, '\n');
		int n = (int)(lf ? (size_t)(lf - text) : strlen(text));
		char line[REPLY_LINE + 1];
		io_put(io, line, format(line, r, lf ? '-' : ' ', text, n));
		if (!lf) return;
		text = lf + 1;
	}
}

void reply_write(int fd, const struct reply *r)
{
	char line[REPLY_LINE + 1];
	if (write(fd, line, format(line, r, ' ', r->text, REPLY_LINE)) < 0) return;     /* whoever does not listen need not know */
}

static bool digits(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < '0' || s[i] > '9') return false;
	return n > 0;
}

/* The length of "c.s.d " at the start of text if its class is that of the code, else 0 (RFC 2034 4, RFC 3463 2).  */
static size_t status_length(const char *text, char class)
{
	if (text[0] != class || text[1] != '.') return 0;
	size_t subject = strspn(text + 2, "0123456789");
	if (subject < 1 || subject > 3 || text[2 + subject] != '.') return 0;
	size_t detail = strspn(text + 3 + subject, "0123456789"), n = 3 + subject + detail;
	if ((text[2] == '0' && subject > 1) || (text[3 + subject] == '0' && detail > 1)) return 0;
	if (detail < 1 || detail > 3 || (text[n] != ' ' && text[n] != '\0')) return 0;
	return n;
}

/* Append one line's text to the reply; its enhanced code counts in the first of those with the same code.  */
static void append(struct reply_text *r, const char *text, char class, bool first, bool counts)
{
	size_t n = status_length(text, class);
	if (counts) snprintf(r->status, sizeof r->status, "%c.0.0", class);
	if (counts && n > 0) {
		memcpy(r->status, text, n);
		r->status[n] = '\0';
	}
	text += n + (n > 0 && text[n] == ' ' ? 1 : 0);
	size_t used = strlen(r->text), room = sizeof r->text - used;
	if (room < 2) return;
	snprintf(r->text + used, room, "%s%s", first ? "" : "\n", text);
}

enum io_result reply_read(struct io *io, unsigned ms, bool utf8, struct reply_text *r)
{
	char code[4] = "";
	uint32_t deadline = clock_deadline(ms);         /* for all of its lines */
	r->text[0] = '\0';
	for (int lines = 0; lines < REPLY_LINES; lines++) {
		char *s;
		size_t n;
		enum io_result got = io_line(io, READ_LINE, ms, false, &s, &n);
		if (got != IO_OK && got != IO_TOO_LONG) return got;
		if (got == IO_TOO_LONG) {       /* a reply all the same: who took it for none would send the message again, and again */
			s = io->ibuf + io->head;
			s[n = READ_LINE - 1] = '\0';
		}
		if (clock_passed(deadline)) return IO_TIMEOUT;
		bool high = utf8 && strlen(s) == n && utf8_valid(s);
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)s[i] < ' ' || s[i] == 0x7f || ((unsigned char)s[i] >= 0x80 && !high)) s[i] = '?';
		if (n < 3 || !digits(s, 3) || s[1] > '5' || s[0] < '2' || s[0] > '5' || (n > 3 && s[3] != ' ' && s[3] != '-')) return IO_BAD_EOL;
		bool other = memcmp(code, s, 3) != 0, last = n == 3 || s[3] == ' ';     /* the last line's code is what it means */
		memcpy(code, s, 3);
		append(r, n > 4 ? s + 4 : "", s[0], lines == 0, other);
		if (got == IO_TOO_LONG && (got = io_skip(io, deadline)) != IO_OK) return got;
		if (last) {
			/* only now: one that broke off has said nothing */
			r->reply = (struct reply){ (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0'), r->status, r->text };
			return IO_OK;
		}
	}
	return IO_BAD_EOL;
}
