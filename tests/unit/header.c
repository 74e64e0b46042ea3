/* The header of a submitted message: where fields begin and end, and which addresses are in a list.
 * SPDX-License-Identifier: MIT */
#include "header.h"

#include "check.h"

/* --- fields --- */

/* A header, and its fields as "name|value|" with line ends shown as they are; then what is behind it.  */
static const struct { const char *what, *in, *fields, *rest; } headers[] = {
	{ "nothing", "", "", "" },
	{ "one", "To: a\n\nbody\n", "To| a\n|", "\nbody\n" },
	{ "CR LF", "To: a\r\nCc: b\r\n\r\nbody", "To| a\r\n|Cc| b\r\n|", "\r\nbody" },
	{ "no body", "To: a\n", "To| a\n|", "" },
	{ "no line end", "To: a", "To| a|", "" },
	{ "folded", "To: a,\n b,\n\tc\nCc: d\n\n", "To| a,\n b,\n\tc\n|Cc| d\n|", "\n" },
	{ "folded to a blank line", "To: a\n \nCc: d\n\n", "To| a\n \n|Cc| d\n|", "\n" },
	{ "nothing in it", "To:\nCc: \n\n", "To|\n|Cc| \n|", "\n" },
	{ "a blank before the colon (RFC 5322 4.5)", "To : a\nCc\t: b\n\n", "To| a\n|Cc| b\n|", "\n" },
	{ "no header at all", "hello\n", "", "hello\n" },
	{ "begins with a blank", " To: a\n", "", " To: a\n" },
	{ "begins with an empty line", "\nTo: a\n", "", "\nTo: a\n" },
	{ "ends with a line that is no field", "To: a\nhello you: there\n", "To| a\n|", "hello you: there\n" },
	{ "a colon without a name", ": a\n", "", ": a\n" },
	{ "a name beyond ASCII", "T\xc3\xb6: a\n", "", "T\xc3\xb6: a\n" },
	{ "a CR in the name", "T\ro: a\n", "", "T\ro: a\n" },
	{ "a name and no more", "To", "", "To" },
	{ "the line of an mbox", "From me at once\n", "", "From me at once\n" },
	{ "a bare CR is no line end", "To: a\rBcc: b\n\n", "To| a\rBcc: b\n|", "\n" },
	{ "CR CR LF is no empty line", "To: a\n\r\r\nx", "To| a\n|", "\r\r\nx" },
};

static void test_headers(void)
{
	for (size_t i = 0; i < COUNT(headers); i++) {
		size_t n = strlen(headers[i].in), got_n = 0;
		char *in = exactly(headers[i].in, n), got[400];
		const char *s = in, *last = in;
		struct field f;
		bool joined = true;
		while (field_next(&s, in + n, &f)) {
			joined &= f.start == last && f.end == s;
			last = s;
			got_n += (size_t)snprintf(got + got_n, sizeof got - got_n, "%.*s|%.*s|", (int)f.name, f.start, (int)(f.end - f.value), f.value);
		}
		check(joined && s == last, "%s: nothing between the fields", headers[i].what);
		check_bytes(got, got_n, headers[i].fields, strlen(headers[i].fields), "%s: the fields", headers[i].what);
		check_bytes(s, (size_t)(in + n - s), headers[i].rest, strlen(headers[i].rest), "%s: what is behind", headers[i].what);
		free(in);
	}
}

static void test_names(void)
{
	const char *s = "bCC : x\n";
	struct field f;
	check(field_next(&s, s + strlen(s), &f) && field_is(&f, "Bcc"), "a name has no case");
	check(!field_is(&f, "Bc") && !field_is(&f, "Bccc") && !field_is(&f, ""), "and no other length");
}

/* --- addresses --- */

/* A list, and its addresses, each with a blank behind it; one that is none is "!".  */
static const struct { const char *in, *want; } lists[] = {
	{ "", "" },
	{ " \r\n\t", "" },
	{ ",,;,", "" },
	{ "a@b.example", "a@b.example " },
	{ "root", "root " },
	{ "a@b.example, c@d.example", "a@b.example c@d.example " },
	{ "a@b.example,c@d.example,", "a@b.example c@d.example " },
	{ "a@b.example,\r\n c@d.example\r\n", "a@b.example c@d.example " },
	{ "a@b.example\n\t,\n\tc@d.example", "a@b.example c@d.example " },
	/* names for people */
	{ "<a@b.example>", "a@b.example " },
	{ "Alice <a@b.example>", "a@b.example " },
	{ "Alice B. Carroll <a@b.example>, bob", "a@b.example bob " },
	{ "\"Carroll, Alice\" <a@b.example>", "a@b.example " },
	{ "\"a@evil.example\" <a@b.example>", "a@b.example " },
	{ "\"<a@evil.example>\" <a@b.example>", "a@b.example " },
	{ "\"a \\\" <x@y>, \\\\\" <a@b.example>", "a@b.example " },
	{ "c@evil.example <a@b.example>", "a@b.example " },
	{ "J\xc3\xbcrgen <j@b.example>", "j@b.example " },
	{ "=?UTF-8?Q?J=C3=BCrgen=2C?= <j@b.example>", "j@b.example " },
	{ "[list] <a@b.example>", "a@b.example " },
	{ "Very Long Name Very Long Name Very Long Name Very Long Name <a@b.example>", "a@b.example " },
	{ "< a@b.example >", "a@b.example " },
	{ "Alice\r\n <a@b.example>", "a@b.example " },
	/* comments */
	{ "a@b.example (Alice)", "a@b.example " },
	{ "(Alice) a@b.example", "a@b.example " },
	{ "(x, <c@d>, \"y) a@b.example", "a@b.example " },
	{ "a(1)@(2)b(3).(4)example(5)", "a@b.example " },
	{ "(one (two (three)) \\) ( \\( )) a@b.example", "a@b.example " },
	{ "Alice <(1)a@(2)b.example(3)>(4)", "a@b.example " },
	{ "()", "" },
	{ "a@b.example, (nobody), c@d.example", "a@b.example c@d.example " },
	{ "a@b.example (\r\n folded)", "a@b.example " },
	/* blanks where they may be (RFC 5322 3.4.1, 4.4) */
	{ "a @ b . example", "a@b.example " },
	{ "a\r\n @b.example", "a@b.example " },
	{ "Alice <a . b @ c . example>", "a.b@c.example " },
	/* quoted local parts */
	{ "\"a b\"@c.example", "\"a b\"@c.example " },
	{ "\"a,b\"@c.example, d", "\"a,b\"@c.example d " },
	{ "\"a\\\"b\"@c.example", "\"a\\\"b\"@c.example " },
	{ "x.\"a b\"@c.example", "x.\"a b\"@c.example " },
	{ "\"a@b\"@c.example", "\"a@b\"@c.example " },
	{ "\"a\r\n b\"@c.example", "\"a b\"@c.example " },
	{ "Alice <\"a>b\"@c.example>", "\"a>b\"@c.example " },
	/* literals, UTF-8 */
	{ "a@[192.0.2.1]", "a@[192.0.2.1] " },
	{ "a@[IPv6:2001:db8::1], b", "a@[IPv6:2001:db8::1] b " },
	{ "j\xc3\xbcrgen@b\xc3\xbc" "cher.example", "j\xc3\xbcrgen@b\xc3\xbc" "cher.example " },
	/* groups */
	{ "undisclosed-recipients:;", "" },
	{ "undisclosed recipients: ;, a@b.example", "a@b.example " },
	{ "Friends: a@b.example, Bob <c@d.example>; , e", "a@b.example c@d.example e " },
	{ "Friends:a@b.example;e", "a@b.example e " },
	{ "\"A: B\": a@b.example;", "a@b.example " },
	{ "Friends (a:b;) : a@b.example;", "a@b.example " },
	{ "Friends: a@b.example", "a@b.example " },          /* never closed */
	{ "a; b; c", "a b c " },                             /* as other programs write it */
	/* routes (RFC 5322 4.4) */
	{ "<@one.example,@two.example:a@b.example>", "a@b.example " },
	{ "Alice <@one.example:a@b.example>, c", "a@b.example c " },
	/* the null sender leads nowhere */
	{ "<>", "" },
	{ "Nobody <>, a", "a " },
	/* what is none */
	{ "a b", "! " },
	{ "a b@c.example, d", "! d " },
	{ "a@b.example c@d.example", "! " },
	{ "<a@b.example> <c@d.example>", "! " },
	{ "<a@b.example> c", "! " },
	{ "<a@b.example> \"x, c@d.example, y\", e", "! e " },
	{ "<a@b.example> [x, c@d.example, y], e", "! e " },
	{ "<a@b.example", "! " },
	{ "<a b@c.example>, d", "! d " },
	{ "<<a@b.example>>, d", "! d " },
	{ "a@b.example (", "! " },
	{ "a@b.example (((((((((((((", "! " },
	{ "a@b.example )", "! " },
	{ "a)b@c.example", "a)b@c.example " },               /* for who reads the address to refuse */
	{ "\"a@b.example", "! " },
	{ "\"", "! " },
	{ "a@[192.0.2.1", "! " },
	{ "\"a\\", "! " },
	{ "a\x01@b.example, c", "! c " },
	{ "a\x7f@b.example, c", "! c " },
	{ "\"a\x01\"@b.example, c", "! c " },
};

static void test_lists(void)
{
	for (size_t i = 0; i < COUNT(lists); i++) {
		size_t n = strlen(lists[i].in), got_n = 0;
		char *in = exactly(lists[i].in, n), got[400] = "", text[256];
		const char *s = in;
		for (enum address_kind kind; (kind = address_next(&s, in + n, text, sizeof text)) != ADDRESS_END;)
			got_n += (size_t)snprintf(got + got_n, sizeof got - got_n, "%s ", kind == ADDRESS_GOOD ? text : "!");
		check_text(got, lists[i].want, "\"%s\"", show_text(lists[i].in));
		check(s == in + n, "\"%s\" is read to its end", show_text(lists[i].in));
		free(in);
	}
}

/* The room for an address is kept, and one that fills it is good.  */
static void test_room(void)
{
	char in[64], text[16];
	for (size_t n = 1; n < 40; n++) {
		memset(in, 'a', n);
		memcpy(in + n, ",b", 2);
		char *copy = exactly(in, n + 2);
		const char *s = copy;
		memset(text, 'x', sizeof text);
		enum address_kind first = address_next(&s, copy + n + 2, text, 10);
		check(first == (n < 10 ? ADDRESS_GOOD : ADDRESS_BAD), "an address of %zu in room for 9", n);
		check(strlen(text) == (n < 10 ? n : 9) && text[10] == 'x', "an address of %zu keeps within it", n);
		check(address_next(&s, copy + n + 2, text, 10) == ADDRESS_GOOD && strcmp(text, "b") == 0, "the one behind an address of %zu", n);
		free(copy);
	}
}

/* Deep and wide, in one pass and no stack.  */
static void test_large(void)
{
	enum { LARGE = 1 << 18 };
	char *in = calloc(1, LARGE), text[256];
	if (!in) abort();
	memset(in, '(', LARGE / 2);
	memset(in + LARGE / 2, ')', LARGE / 2);
	in[0] = ' ';
	in[LARGE - 1] = 'a';
	const char *s = in;
	check(address_next(&s, in + LARGE, text, sizeof text) == ADDRESS_GOOD && strcmp(text, "a") == 0, "a hundred thousand comments in each other");
	memset(in, ',', LARGE);
	s = in;
	check(address_next(&s, in + LARGE, text, sizeof text) == ADDRESS_END, "a list of nobody");
	unsigned count = 0;
	for (size_t i = 0; i < LARGE; i += 2) in[i] = 'a';
	for (s = in; address_next(&s, in + LARGE, text, sizeof text) == ADDRESS_GOOD;) count++;
	check_number(count, LARGE / 2, "a list of a hundred thousand");
	free(in);
}

int main(void)
{
	test_headers();
	test_names();
	test_lists();
	test_room();
	test_large();
	return done();
}
