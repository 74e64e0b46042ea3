/* The text form of a table, read in pieces through a fixed buffer: neither the file nor one line of it has to fit.  pread and not mmap, for the
 * file may be cut while it is read; the descriptor's offset is left alone.
 * SPDX-License-Identifier: MIT */
#include "alias-text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "names.h"

int text_status(int fd, struct stat *st)
{
	if (fstat(fd, st) != 0) return errno;
	if (!S_ISREG(st->st_mode)) return EINVAL;
	return st->st_mode & (S_IWGRP | S_IWOTH) ? EPERM : 0;
}

static bool is_blank(int c) { return c == ' ' || c == '\t'; }
static bool is_control(int c) { return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f; }

bool text_plain(const char *s)
{
	for (const char *c = s; *c; c++)
		if (is_control((unsigned char)*c)) return false;
	return utf8_valid(s);
}

void text_start(struct text *x, int fd)
{
	x->fd = fd;
	x->error = 0;
	x->lines = x->line = 0;
	x->at = 0;
	x->i = x->n = 0;
	x->end = false;
}

/* Octet k of what is to come is in the buffer; false when there is none.  */
static bool fill(struct text *x, size_t k)
{
	memmove(x->buf, x->buf + x->i, x->n - x->i);
	x->n -= x->i;
	x->i = 0;
	while (x->n <= k && !x->error && !x->end) {
		ssize_t got = pread(x->fd, x->buf + x->n, sizeof x->buf - x->n, x->at);
		if (got < 0 && errno == EINTR) continue;
		if (got < 0) x->error = errno;
		x->end = got == 0;
		if (got <= 0) return false;
		x->n += (size_t)got;
		x->at += got;
	}
	return x->n > k;
}

static int peek(struct text *x, size_t k) { return x->i + k < x->n || fill(x, k) ? (unsigned char)x->buf[x->i + k] : -1; }

static bool at_line_end(struct text *x)
{
	int c = peek(x, 0);
	if (c == '\r') c = peek(x, 1) == '\n' ? '\n' : peek(x, 1) < 0 ? -1 : c;
	return c < 0 || c == '\n';
}

static void skip_blanks(struct text *x)
{
	while (is_blank(peek(x, 0))) x->i++;
}

static void store(struct text *x, char *value, const char *s, size_t n)
{
	size_t room = ALIAS_VALUE - x->value_n;
	x->full |= n > room;
	if (n > room) n = room;
	memcpy(value + x->value_n, s, n);
	x->value_n += n;
}

/* The rest of the line; value may be NULL.  */
static void take_line(struct text *x, char *value)
{
	size_t before = x->value_n;
	const char *lf;
	do {
		const char *s = x->buf + x->i;
		lf = memchr(s, '\n', x->n - x->i);
		size_t n = lf ? (size_t)(lf - s) : x->n - x->i;
		if (value) store(x, value, s, n);
		x->i += n;
	} while (!lf && fill(x, 0));
	if (lf) x->i++, x->lines++;
	if (value && x->value_n > before && value[x->value_n - 1] == '\r') x->value_n--;
}

enum start { START_NEW, START_CONTINUED, START_NONE };

/* Past the lines that say nothing, to the first octet of one that does, and its indentation.  */
static enum start line_start(struct text *x)
{
	for (;;) {
		bool indented = is_blank(peek(x, 0));
		skip_blanks(x);
		int c = peek(x, 0);
		if (c < 0) return START_NONE;
		if (c != '#' && !at_line_end(x)) return indented ? START_CONTINUED : START_NEW;
		take_line(x, NULL);
	}
}

/* The next octet of a name, or -1 where it ends.  */
static int name_octet(struct text *x, bool quoted)
{
	int c = peek(x, 0);
	if (at_line_end(x)) {
		x->broken = quoted ? "the quote does not end" : "no colon";
	} else if (quoted && c == '\\') {
		x->i++;
		c = peek(x, 0);
		if (at_line_end(x)) x->broken = "the quote does not end";
	} else if (quoted ? c == '"' : is_blank(c) || c == ':') {
		return -1;
	} else if (!quoted && c && strchr("\"(),;<>\\", c)) {
		x->broken = "a name with this in it needs quotes";
	}
	if (!x->broken && is_control(c)) x->broken = "a control octet";
	if (x->broken) return -1;
	x->i++;
	return c;
}

/* As an address is, before it is looked up.  */
static void canonical_name(struct text *x)
{
	char name[NAME_LOCAL + 1];
	if (!utf8_valid(x->name)) x->broken = "the name is no UTF-8";
	else if (!names_local(name, x->name) || strlen(name) >= ALIAS_NAME) x->broken = "the name is too long";
	else strcpy(x->name, name);
}

static void read_name(struct text *x)
{
	size_t n = 0;
	bool quoted = peek(x, 0) == '"';
	if (quoted) x->i++;
	for (int c; (c = name_octet(x, quoted)) >= 0;) {
		if (n == ALIAS_NAME - 1) {
			x->broken = "the name is too long";
			break;
		}
		x->name[n++] = (char)c;
	}
	x->name[n] = '\0';
	if (x->broken) return;
	if (quoted) x->i++;
	skip_blanks(x);
	if (peek(x, 0) != ':') x->broken = "no colon after the name";
	else if (n == 0) x->broken = "no name";
	else x->i++;
	if (!x->broken) canonical_name(x);
}

static void judge_value(struct text *x, char *value)
{
	while (x->value_n > 0 && is_blank(value[x->value_n - 1])) x->value_n--;
	x->full |= x->value_n >= ALIAS_VALUE;
	if (x->full) {
		x->broken = "the value is too long";
		return;
	}
	value[x->value_n] = '\0';
	if (x->value_n == 0) x->broken = "no value";
	else if (strlen(value) != x->value_n || !text_plain(value)) x->broken = "control octets, or no UTF-8";
}

bool text_next(struct text *x, const char *want, char *value)
{
	x->broken = NULL;
	x->full = false;
	x->value_n = 0;
	x->name[0] = '\0';
	enum start start = line_start(x);
	x->line = x->lines + 1;
	if (start == START_NONE) return false;
	if (start == START_CONTINUED) x->broken = "it continues nothing";
	else read_name(x);
	skip_blanks(x);
	if (x->broken || (want && strcmp(want, x->name) != 0)) value = NULL;
	for (;;) {
		take_line(x, value);
		if (line_start(x) != START_CONTINUED) break;
		if (value && x->value_n > 0) store(x, value, " ", 1);
	}
	if (value) judge_value(x, value);
	return x->error == 0;
}
