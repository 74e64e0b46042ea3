/* SPDX-License-Identifier: MIT */
#include "complete.h"

#include <string.h>
#include <strings.h>

static void put(struct complete *c, const char *s) { c->write(c->ctx, s, strlen(s)); }

static void add_missing(struct complete *c)
{
	const struct { bool has; const char *name, *value; } rows[] = { { c->has_date, "Date: ", c->date }, { c->has_id, "Message-ID: ", c->id } };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (rows[i].has) continue;
		put(c, rows[i].name);
		put(c, rows[i].value);
		put(c, "\r\n");
	}
	c->over = true;
}

static void release(struct complete *c)
{
	c->write(c->ctx, c->held, c->len);
	c->len = 0;
}

/* held is "name" and the colon, and maybe blanks before it.  */
static bool named(const struct complete *c, const char *name)
{
	size_t n = strlen(name);
	return c->len > n && strncasecmp(c->held, name, n) == 0 && strspn(c->held + n, " \t:") == c->len - n;
}

/* Judge the beginning of a line by the octet that has just come to it.  */
static void judge(struct complete *c)
{
	char last = c->held[c->len - 1];
	bool blank = last == ' ' || last == '\t', graph = last > ' ' && last < 0x7f;
	bool behind_name = c->len > 1 && (c->held[c->len - 2] == ' ' || c->held[c->len - 2] == '\t');
	if ((last == '\r' && c->len == 1) || (last != ':' && graph && !behind_name && c->len < COMPLETE_HELD) || (blank && c->len > 1 && c->len < COMPLETE_HELD)) return;
	if (last == '\n' && c->len == 2 && c->held[0] == '\r') {        /* the empty line */
		add_missing(c);
	} else if ((last == ':' && c->len > 1) || (blank && c->started) || (graph && !behind_name && c->len == COMPLETE_HELD)) {  /* a name that long is none of ours */
		c->has_date |= named(c, "Date");
		c->has_id |= named(c, "Message-ID");
		c->within = true;
	} else {                        /* no header field: the body begins without the empty line */
		add_missing(c);
		put(c, "\r\n");
	}
	c->started = true;
	release(c);
}

void complete_feed(struct complete *c, const char *p, size_t n)
{
	const char *end = p + n;
	while (p < end && !c->over) {
		if (!c->within) {
			c->held[c->len++] = *p++;
			judge(c);
			continue;
		}
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		const char *stop = lf ? lf + 1 : end;
		c->write(c->ctx, p, (size_t)(stop - p));
		c->within = lf == NULL;
		p = stop;
	}
	if (p < end) c->write(c->ctx, p, (size_t)(end - p));
}

void complete_finish(struct complete *c)
{
	bool cut = c->within || c->len > 0;
	if (c->over) return;
	release(c);
	if (cut) put(c, "\r\n");
	add_missing(c);
}
