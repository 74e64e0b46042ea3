/* The header of a submitted message and its address lists, against models written the plain way: a header as lines that are judged one by one; of any list, that
 * what comes out is what stands there outside comments, in order; of a list made of known members, that they are found.
 * SPDX-License-Identifier: MIT */
#include "submit/header.c"

#include <ctype.h>

#include "address.h"
#include "fuzz.h"

enum { ROOM = 1500, ADDRESS = 255 };

/* --- fields --- */

static size_t line_length(const char *s, size_t n)
{
	const char *lf = memchr(s, '\n', n);
	return lf ? (size_t)(lf + 1 - s) : n;
}

/* Octets of the name if this line begins a field, else 0.  */
static size_t field_name(const char *s, size_t n)
{
	size_t name = 0, blanks = 0;
	while (name < n && isgraph((unsigned char)s[name]) && s[name] != ':') name++;
	while (name + blanks < n && (s[name + blanks] == ' ' || s[name + blanks] == '\t')) blanks++;
	return name + blanks < n && s[name + blanks] == ':' ? name : 0;
}

static void check_fields(const char *in, size_t n)
{
	const char *s = in;
	struct field f;
	size_t at = 0;
	while (field_next(&s, in + n, &f)) {
		size_t name = field_name(in + at, line_length(in + at, n - at));
		EXPECT(name > 0 && name == f.name && f.start == in + at);
		EXPECT(f.value > f.start + name && f.value[-1] == ':' && f.value <= f.end && f.end == s);
		do at += line_length(in + at, n - at);
		while (at < n && (in[at] == ' ' || in[at] == '\t'));
		EXPECT(s == in + at);
	}
	EXPECT(s == in + at && (at == n || field_name(in + at, line_length(in + at, n - at)) == 0));
}

/* --- lists --- */

/* Which octets of a list stand in comments.  */
static void find_comments(const char *in, size_t n, bool *comment)
{
	char close = 0;
	unsigned depth = 0;
	for (size_t i = 0; i < n; i++) {
		char c = in[i];
		bool pair = (close || depth) && c == '\\' && i + 1 < n;
		comment[i] = depth > 0 || (!close && c == '(');
		if (pair) {
			comment[i + 1] = comment[i];
			i++;
		} else if (close) {
			if (c == close) close = 0;
		} else if (c == '(' || (depth && c == ')')) {
			depth += c == '(' ? 1U : -1U;
		} else if (!depth && (c == '"' || c == '[')) {
			close = c == '"' ? '"' : ']';
		}
	}
}

/* What comes out are the last octets of its member in[0..n), but for what may follow an address.  Between two of them there is nothing, a line end in quotes, or, at a
 * dot or an at sign, blanks and comments.  From behind, for a name in front of a bracket may have the same octets.  */
static void check_octets(const char *text, size_t len, const char *in, size_t n, const bool *comment)
{
	for (size_t i = len; i-- > 0;) {
		bool joint = i + 1 == len || strchr(".@", text[i]) || strchr(".@", text[i + 1]);
		const char *between = i + 1 == len ? " \t\r\n>,;" : joint ? " \t\r\n" : "\r\n";
		while (n > 0 && ((comment[n - 1] && joint) || (!comment[n - 1] && in[n - 1] != text[i] && strchr(between, in[n - 1])))) n--;
		EXPECT(n > 0 && !comment[n - 1] && in[n - 1] == text[i]);
		n--;
		EXPECT((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
	}
}

/* Whatever the list: what comes out is made of octets of the list, in their order, none of a comment; of members that are plain addresses each is there once, in order.  */
static void check_list(const char *in, size_t n)
{
	static bool comment[ROOM];
	static char copy[ROOM], text[ADDRESS + 8];
	const char *s = in, *last = in;
	enum address_kind kind;
	unsigned found = 0;
	find_comments(in, n, comment);
	while (memset(text, 'x', sizeof text), (kind = address_next(&s, in + n, text, ADDRESS + 1)) != ADDRESS_END) {
		size_t len = strlen(text), at = (size_t)(last - in), end = (size_t)(s - in);
		EXPECT(len <= ADDRESS && s > last && s <= in + n);
		found++;
		last = s;
		if (kind == ADDRESS_BAD) continue;
		EXPECT(len > 0);
		check_octets(text, len, in + at, end - at, comment + at);
		/* read again it is the same, so nothing in it means more than it did */
		const char *again = text;
		memcpy(copy, text, len + 1);
		char other[ADDRESS + 1];
		struct path p;
		if (!mailbox_parse(&p, copy)) continue;
		EXPECT(address_next(&again, text + len, other, sizeof other) == ADDRESS_GOOD && strcmp(other, copy) == 0);
	}
	EXPECT(s == in + n && found <= n);
}

/* A list of plain parts: the member is known before it is written.  */
static void check_made(void)
{
	static const char *const before[] = { "", " ", "Alice <", "\"x, <y>\" <", "(a, (b)) ", "\r\n ", "G: ", "<@r.example:", "=?utf-8?q?=2C?= <", "J\xc3\xbc <" };
	static const char *const after[] = { "", " ", ">", ">", " (c;)", "\r\n\t", ";", ">", ">", " > " };
	static const char *const members[] = { "a@b.example", "root", "\"a, b\"@c.example", "a.b+c@[192.0.2.1]", "\"\\\"\"@d.example", "j\xc3\xbc@\xc3\xbc.example" };
	char list[ROOM], text[ADDRESS + 1];
	unsigned chosen[8], count = control() % 9;
	size_t n = 0;
	for (unsigned i = 0; i < count; i++) {
		unsigned how = control() % 10;
		chosen[i] = control() % 6;
		n += (size_t)sprintf(list + n, "%s%s%s%s", before[how], members[chosen[i]], after[how], i + 1 < count || how & 1 ? "," : "");
	}
	char *in = exactly(list, n);
	const char *s = in;
	for (unsigned i = 0; i < count; i++) EXPECT(address_next(&s, in + n, text, sizeof text) == ADDRESS_GOOD && strcmp(text, members[chosen[i]]) == 0);
	EXPECT(address_next(&s, in + n, text, sizeof text) == ADDRESS_END && s == in + n);
	free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_take(data, size, ROOM);
	char *in = exactly(fuzz.text, fuzz.n);
	check_fields(in, fuzz.n);
	check_list(in, fuzz.n);
	free(in);
	check_made();
	return 0;
}
