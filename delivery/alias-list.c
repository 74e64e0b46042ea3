/* The members of a right-hand side, an :include: file or a .forward.  Two passes: the first finds where a member ends and copies it without its
 * comments, the second says what it is.  An address must be one by RFC 5321; what is not proved good is bad.
 * SPDX-License-Identifier: MIT */
#include "alias.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "address.h"

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* A line ends here, or the text.  */
static bool at_end(const char *s, bool lines)
{
	if (lines && *s == '\r') s++;
	return *s == '\0' || (lines && *s == '\n');
}

/* Past blanks, commas and comments; what stands before *s is a line end or the start, or *s is a comma.  */
static const char *member_start(const char *s, bool lines)
{
	bool fresh = true;      /* nothing but blanks in this line so far */
	for (;; s++) {
		if (*s && at_end(s, lines)) {
			fresh = true;
		} else if (*s == ',') {
			fresh = false;
		} else if (lines && fresh && *s == '#') {
			while (!at_end(s + 1, lines)) s++;
		} else if (!is_blank(*s)) {
			return s;
		}
	}
}

/* Octets of the character at s; 0 for a control octet and what is no UTF-8.  */
static size_t character(const char *s)
{
	unsigned char c = (unsigned char)*s;
	if (c < 0x80) return c == '\t' || (c >= ' ' && c != 0x7f);
	size_t n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	char one[5] = "";
	for (size_t i = 0; i < n && s[i]; i++) one[i] = s[i];
	return utf8_valid(one) ? n : 0;
}

/* The same with a backslash and what it quotes.  */
static size_t quoted_character(const char *s, bool lines)
{
	size_t n = *s == '\\' && !at_end(s + 1, lines) ? character(s + 1) : 0;
	return *s != '\\' ? character(s) : n ? n + 1 : 0;
}

struct copy { char *to; size_t room; bool bad; };

static void put(struct copy *o, const char *s, size_t n)
{
	if (n > o->room) o->bad = true;
	if (o->bad) return;
	memcpy(o->to, s, n);
	o->to += n;
	o->room -= n;
}

/* Copy a member without comments, up to the comma or end after it.  */
static const char *copy_member(const char *s, bool lines, struct copy *o)
{
	bool quoted = false, comments = *s != '|';      /* brackets are a program's own */
	unsigned depth = 0;
	if (*s == '\\') put(o, s++, 1);                 /* \user: this one quotes nothing */
	while (!at_end(s, lines) && (*s != ',' || quoted || depth > 0)) {
		size_t n = quoted_character(s, lines);
		bool visible = depth == 0;
		if (n == 0) {
			o->bad = true;
			n = 1;
		} else if (*s == '"' && depth == 0) {
			quoted = !quoted;
		} else if (*s == '(' && !quoted && comments) {
			depth++;
			visible = false;
		} else if (*s == ')' && depth > 0 && --depth == 0) {
			put(o, " ", 1);
		}
		if (visible) put(o, s, n);
		s += n;
	}
	o->bad |= quoted || depth > 0;
	return s;
}

/* Take off the first n octets and the blanks around the rest.  */
static void cut(char *text, size_t n)
{
	while (is_blank(text[n])) n++;
	size_t left = strlen(text + n);
	memmove(text, text + n, left + 1);
	while (left > 0 && is_blank(text[left - 1])) text[--left] = '\0';
}

/* The quote that ends the string at s; the NUL if there is none.  */
static char *quote_end(char *s)
{
	for (s++; *s && *s != '"'; s++)
		if (*s == '\\' && s[1]) s++;
	return s;
}

/* Take the quotes off if they are around the whole.  */
static bool unquote(char *text)
{
	const char *end = *text == '"' ? quote_end(text) : NULL;
	if (!end || *end != '"' || end[1]) return false;
	char *to = text;
	for (const char *s = text + 1; s < end;) {
		if (*s == '\\') s++;
		*to++ = *s++;
	}
	*to = '\0';
	return true;
}

/* user, user@domain.  One that could be taken for a file, a program or an :include: later is none.  */
static bool is_address(const char *text)
{
	struct path p;
	char local[LOCAL_MAX + 3];
	if (strchr("|/:", *text)) return false;
	if (mailbox_parse(&p, text)) return *p.local;
	int n = snprintf(local, sizeof local, "%s@x", text);
	return n < (int)sizeof local && mailbox_parse(&p, local) && *p.local;
}

/* Keep the address of "Display Name <address>".  */
static bool unbracket(char *text)
{
	char *s = text;
	for (; *s && *s != '<'; s++) {
		if (*s == '"') s = quote_end(s);
		if (!*s || strchr(">@,;:\\[]()", *s)) return false;
	}
	size_t n = strlen(s);
	if (n == 0 || s[n - 1] != '>') return false;
	s[n - 1] = '\0';
	cut(text, (size_t)(s + 1 - text));
	return true;
}

static enum member_kind special(char *text, bool quoted)
{
	static const char include[] = ":include:";
	enum member_kind kind = MEMBER_FILE;
	if (*text == '|') {
		cut(text, 1);
		if (!quoted) unquote(text);
		return *text ? MEMBER_PROGRAM : MEMBER_BAD;
	}
	if (*text == ':') {
		if (strncasecmp(text, include, sizeof include - 1) != 0) return MEMBER_BAD;
		kind = MEMBER_INCLUDE;
		cut(text, sizeof include - 1);
		if (!quoted) quoted = unquote(text);
	}
	if (*text != '/' || (!quoted && strpbrk(text, " \t\"\\()"))) return MEMBER_BAD;
	return kind;
}

static enum member_kind classify(char *text)
{
	if (strchr("|/:", *text)) return special(text, false);
	if (*text == '"' && text[1] && strchr("|/:", text[1]) && unquote(text)) return special(text, true);
	if (*text == '\\') {
		cut(text, 1);
		return is_address(text) ? MEMBER_LITERAL : MEMBER_BAD;
	}
	return is_address(text) || (unbracket(text) && is_address(text)) ? MEMBER_ADDRESS : MEMBER_BAD;
}

enum member_kind alias_member(const char **s, bool lines, char *text, size_t size)
{
	const char *from, *end = *s;
	struct copy o;
	do {
		from = member_start(end, lines);
		o = (struct copy){ .to = text, .room = size - 1 };
		end = copy_member(from, lines, &o);
		*o.to = '\0';
		cut(text, 0);
	} while (*from && !o.bad && !*text);    /* nothing but a comment */
	enum member_kind kind = !*from ? MEMBER_END : o.bad ? MEMBER_BAD : classify(text);
	if (kind == MEMBER_BAD) {
		while (lines && !at_end(end, lines)) end++;
		size_t n = (size_t)(end - from) < size - 1 ? (size_t)(end - from) : size - 1;
		memcpy(text, from, n);
		text[n] = '\0';
	}
	*s = end;
	return kind;
}
