/* SPDX-License-Identifier: MIT */
#include "header.h"

#include <string.h>
#include <strings.h>

/* --- fields --- */

static const char *line_end(const char *s, const char *end)
{
	const char *lf = memchr(s, '\n', (size_t)(end - s));
	return lf ? lf + 1 : end;
}

bool field_next(const char **s, const char *end, struct field *f)
{
	const char *at = *s;
	while (at < end && *at > ' ' && *at < 0x7f && *at != ':') at++;
	size_t name = (size_t)(at - *s);
	while (at < end && (*at == ' ' || *at == '\t')) at++;
	if (name == 0 || at == end || *at != ':') return false;
	*f = (struct field){ .start = *s, .name = name, .value = at + 1 };
	f->end = line_end(at, end);
	while (f->end < end && (*f->end == ' ' || *f->end == '\t')) f->end = line_end(f->end, end);
	*s = f->end;
	return true;
}

bool field_is(const struct field *f, const char *name) { return f->name == strlen(name) && strncasecmp(f->start, name, f->name) == 0; }

/* --- addresses --- */

struct scan {
	const char *at, *end;
	char *text;
	size_t size, n;
	bool bad;               /* too long, or not to be read */
	bool parted;            /* a blank or comment since the last octet of the address */
	bool angle;             /* the address stood in brackets */
};

static void add(struct scan *c, char octet)
{
	if (c->n + 1 < c->size) c->text[c->n++] = octet;
	else c->bad = true;
	c->bad |= (unsigned char)octet < ' ' || octet == 0x7f;
}

/* Past a comment, nested as it may be; without a stack.  */
static void skip_comment(struct scan *c)
{
	unsigned depth = 0;
	for (; c->at < c->end; c->at++) {
		if (*c->at == '\\' && c->at + 1 < c->end) c->at++;
		else if (*c->at == '(') depth++;
		else if (*c->at == ')' && --depth == 0) break;
	}
	c->bad |= c->at == c->end;
	if (c->at < c->end) c->at++;
}

/* A quoted string or a domain literal, as it is.  A fold in it is its blank.  */
static void copy_quoted(struct scan *c, char close)
{
	add(c, *c->at++);
	while (c->at < c->end && *c->at != close) {
		if (*c->at == '\\' && c->at + 1 < c->end) add(c, *c->at++);
		if (*c->at != '\r' && *c->at != '\n') add(c, *c->at);
		c->at++;
	}
	c->bad |= c->at == c->end;
	if (c->at < c->end) add(c, *c->at++);
}

/* An octet of a word, or of what joins words.  Two words in a row are no address.  */
static void add_word(struct scan *c)
{
	char last = c->n > 0 ? c->text[c->n - 1] : '@';
	bool joint = *c->at == '@' || *c->at == '.' || last == '@' || last == '.';
	if (c->parted && !joint) c->bad = true;
	c->parted = false;
	if (*c->at == '"') copy_quoted(c, '"');
	else if (*c->at == '[') copy_quoted(c, ']');
	else add(c, *c->at++);
}

/* What was read so far was a name for people.  */
static void restart(struct scan *c)
{
	c->n = 0;
	c->bad = c->parted = false;
	c->at++;
}

/* "<@one,@two:user@domain>": the route means nothing any more.  The bracket is the next octet.  */
static void read_angle(struct scan *c)
{
	restart(c);
	c->angle = true;
	while (c->at < c->end && *c->at != '>') {
		if (*c->at == '(') skip_comment(c);
		else if (*c->at == ' ' || *c->at == '\t' || *c->at == '\r' || *c->at == '\n') c->at++, c->parted = c->n > 0;
		else if (*c->at == ':' && c->n > 0 && c->text[0] == '@') restart(c);
		else if (*c->at == '<') c->bad = true, c->at++;
		else add_word(c);
	}
	c->bad |= c->at == c->end;
	if (c->at < c->end) c->at++;
}

/* Something behind the bracket.  What is in quotes stays in them, or a comma there would part it and make an address of it.  */
static void read_excess(struct scan *c)
{
	if (*c->at == '"' || *c->at == '[') copy_quoted(c, *c->at == '"' ? '"' : ']');
	else c->at++;
	c->bad = true;
}

/* One member, up to its comma or the end of its group.  */
static void read_member(struct scan *c)
{
	while (c->at < c->end && *c->at != ',' && *c->at != ';') {
		char o = *c->at;
		if (o == '(') skip_comment(c), c->parted = c->n > 0;
		else if (o == ' ' || o == '\t' || o == '\r' || o == '\n') c->at++, c->parted = c->n > 0;
		else if (o == '<' && !c->angle) read_angle(c);
		else if (o == ':' && !c->angle) restart(c);     /* the name of a group */
		else if (c->angle) read_excess(c);
		else add_word(c);
	}
	if (c->at < c->end) c->at++;
}

enum address_kind address_next(const char **s, const char *end, char *text, size_t size)
{
	while (*s < end) {
		struct scan c = { .at = *s, .end = end, .text = text, .size = size };
		read_member(&c);
		*s = c.at;
		text[c.n] = '\0';
		if (c.bad) return ADDRESS_BAD;
		if (c.n > 0) return ADDRESS_GOOD;
	}
	return ADDRESS_END;
}
