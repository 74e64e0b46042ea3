/* Paths and parameters: the tables are RFC 5321 4.1.2 and 4.1.3 as lib/address.c reads them.
 * SPDX-License-Identifier: MIT */
#include "address.h"

#include "check.h"

#define E_ACUTE "\xc3\xa9"

/* --- paths --- */

static const struct {
	const char *in, *text, *local, *domain;
	bool utf8;
	const char *rest;
} good_paths[] = {
	{ "<a@example.net>", "a@example.net", "a", "example.net", false, "" },
	{ "<>", "", "", "", false, "" },
	{ "<> SIZE=1", "", "", "", false, " SIZE=1" },
	{ "<a@b.c> SIZE=1 BODY=7BIT", "a@b.c", "a", "b.c", false, " SIZE=1 BODY=7BIT" },
	{ "<a@b.c>SIZE=1", "a@b.c", "a", "b.c", false, "SIZE=1" },    /* the caller's to refuse (MAI-07) */
	{ "<a@b.c>>", "a@b.c", "a", "b.c", false, ">" },
	{ "<User@EXAMPLE.Net>", "User@EXAMPLE.Net", "User", "EXAMPLE.Net", false, "" },
	{ "<a@b>", "a@b", "a", "b", false, "" },
	{ "<0@1.2>", "0@1.2", "0", "1.2", false, "" },
	/* PTH-01 dot-string */
	{ "<!#$%&'*+-/=?^_`{|}~@example.net>", "!#$%&'*+-/=?^_`{|}~@example.net", "!#$%&'*+-/=?^_`{|}~", "example.net", false, "" },
	{ "<a.b.c@d.e>", "a.b.c@d.e", "a.b.c", "d.e", false, "" },
	{ "<-@b.c>", "-@b.c", "-", "b.c", false, "" },
	{ "<a+b@c.d>", "a+b@c.d", "a+b", "c.d", false, "" },
	/* PTH-03 to PTH-06 quoted-string: the text keeps its quotes, the local part loses them */
	{ "<\"a b@c>\"@example.net>", "\"a b@c>\"@example.net", "a b@c>", "example.net", false, "" },
	{ "<\"a,<>()[]:;\"@b.c>", "\"a,<>()[]:;\"@b.c", "a,<>()[]:;", "b.c", false, "" },
	{ "<\"a\\\"b\"@example.net>", "\"a\\\"b\"@example.net", "a\"b", "example.net", false, "" },
	{ "<\"a\\\\\"@b.c>", "\"a\\\\\"@b.c", "a\\", "b.c", false, "" },
	{ "<\"\\a\\ \\b\"@b.c>", "\"\\a\\ \\b\"@b.c", "a b", "b.c", false, "" },
	{ "<\"user\"@example.test>", "\"user\"@example.test", "user", "example.test", false, "" },
	{ "<\"\"@example.net>", "\"\"@example.net", "", "example.net", false, "" },
	{ "<\".a..b.\"@c.d>", "\".a..b.\"@c.d", ".a..b.", "c.d", false, "" },
	{ "<\" \"@c.d>", "\" \"@c.d", " ", "c.d", false, "" },
	/* PTH-08 domains */
	{ "<a@b-c.d--e.f1>", "a@b-c.d--e.f1", "a", "b-c.d--e.f1", false, "" },
	{ "<a@xn--bcher-kva.example>", "a@xn--bcher-kva.example", "a", "xn--bcher-kva.example", false, "" },
	{ "<a@_spf.b_c.d>", "a@_spf.b_c.d", "a", "_spf.b_c.d", false, "" },   /* real senders have it; we say so in address.c */
	/* PTH-09, PTH-10 literals */
	{ "<a@[127.0.0.1]>", "a@[127.0.0.1]", "a", "[127.0.0.1]", false, "" },
	{ "<a@[255.255.255.255]>", "a@[255.255.255.255]", "a", "[255.255.255.255]", false, "" },
	{ "<a@[0.0.0.0]>", "a@[0.0.0.0]", "a", "[0.0.0.0]", false, "" },
	{ "<a@[IPv6:::1]>", "a@[IPv6:::1]", "a", "[IPv6:::1]", false, "" },
	{ "<a@[ipV6:::]>", "a@[ipV6:::]", "a", "[ipV6:::]", false, "" },
	{ "<a@[IPv6:2001:db8::1:2]>", "a@[IPv6:2001:db8::1:2]", "a", "[IPv6:2001:db8::1:2]", false, "" },
	{ "<a@[IPv6:1:2:3:4:5:6:7:8]>", "a@[IPv6:1:2:3:4:5:6:7:8]", "a", "[IPv6:1:2:3:4:5:6:7:8]", false, "" },
	{ "<a@[IPv6:::ffff:192.0.2.1]>", "a@[IPv6:::ffff:192.0.2.1]", "a", "[IPv6:::ffff:192.0.2.1]", false, "" },
	{ "<a@[IPv6:1:2:3:4:5:6:192.0.2.1]>", "a@[IPv6:1:2:3:4:5:6:192.0.2.1]", "a", "[IPv6:1:2:3:4:5:6:192.0.2.1]", false, "" },
	{ "<\"]\"@[127.0.0.1]>", "\"]\"@[127.0.0.1]", "]", "[127.0.0.1]", false, "" },
	/* PTH-11 source routes are dropped */
	{ "<@a,@b:user@example.test>", "user@example.test", "user", "example.test", false, "" },
	{ "<@a.example:user@example.test> X", "user@example.test", "user", "example.test", false, " X" },
	{ "<@a:\"@b:c\"@d.e>", "\"@b:c\"@d.e", "@b:c", "d.e", false, "" },
	{ "<@a:postmaster>", "postmaster", "postmaster", "", false, "" },
	/* RCP-05 the postmaster needs no domain */
	{ "<postmaster>", "postmaster", "postmaster", "", false, "" },
	{ "<PostMaster>", "PostMaster", "PostMaster", "", false, "" },
	{ "<POSTMASTER> X=1", "POSTMASTER", "POSTMASTER", "", false, " X=1" },
	{ "<\"Postmaster\">", "\"Postmaster\"", "Postmaster", "", false, "" },
	{ "<postmaster@example.net>", "postmaster@example.net", "postmaster", "example.net", false, "" },
	/* RFC 6531 3.3 */
	{ "<" E_ACUTE "@example.net>", E_ACUTE "@example.net", E_ACUTE, "example.net", true, "" },
	{ "<a@" E_ACUTE ".example>", "a@" E_ACUTE ".example", "a", E_ACUTE ".example", true, "" },
	{ "<\"" E_ACUTE " b\"@c.d>", "\"" E_ACUTE " b\"@c.d", E_ACUTE " b", "c.d", true, "" },
	{ "<\xf0\x9f\x98\x80@b.c>", "\xf0\x9f\x98\x80@b.c", "\xf0\x9f\x98\x80", "b.c", true, "" },
};

static const struct { const char *rule, *in; } bad_paths[] = {
	{ "MAI-04 no bracket", "" },
	{ "MAI-04 no bracket", "a@b.c" },
	{ "MAI-04 no bracket", "a@b.c>" },
	{ "MAI-04 no closing bracket", "<" },
	{ "MAI-04 no closing bracket", "<a@b.c" },
	{ "MAI-04 no closing bracket", "<a@b.c SIZE=1" },
	{ "MAI-04 blank before", " <a@b.c>" },
	{ "MAI-04 blank inside", "< a@b.c>" },
	{ "MAI-04 blank inside", "<a@b.c >" },
	{ "MAI-04 blank inside", "<a @b.c>" },
	{ "MAI-04 blank inside", "<a@ b.c>" },
	{ "MAI-04 blank inside", "< >" },
	{ "MAI-04 two brackets", "<<a@b.c>>" },
	{ "4.1.2 comments are not of SMTP", "<a(x)@b.c>" },
	{ "4.1.2 no display name", "<A B <a@b.c>>" },
	{ "PTH-02 dots", "<a..b@c.d>" },
	{ "PTH-02 dots", "<.a@c.d>" },
	{ "PTH-02 dots", "<a.@c.d>" },
	{ "PTH-02 dots", "<.@c.d>" },
	{ "PTH-07 unclosed", "<\"a@b.c>" },
	{ "PTH-07 unclosed", "<\">" },
	{ "PTH-07 unclosed", "<\"" },
	{ "PTH-07 unclosed", "<\"a\\\"@b.c>" },
	{ "PTH-07 unclosed", "<\"\\" },
	{ "PTH-07 text behind the quote", "<\"a\"b@c.d>" },
	{ "PTH-07 text behind the quote", "<\"a\".b@c.d>" },
	{ "PTH-07 text before the quote", "<a\"b\"@c.d>" },
	{ "PTH-07 text before the quote", "<a.\"b\"@c.d>" },
	{ "PTH-07 control", "<\"\x01\"@b.c>" },
	{ "PTH-07 control", "<\"\\\x01\"@b.c>" },
	{ "PTH-07 tab", "<\"a\tb\"@b.c>" },
	{ "PTH-04 backslash without quotes", "<a\\b@c.d>" },
	{ "PTH-04 backslash before UTF-8", "<\"\\" E_ACUTE "\"@b.c>" },
	{ "PTH-08 empty label", "<a@b..c>" },
	{ "PTH-08 empty label", "<a@.b>" },
	{ "PTH-08 empty label", "<a@b.>" },
	{ "PTH-08 empty label", "<a@.>" },
	{ "PTH-08 hyphen", "<a@-b.c>" },
	{ "PTH-08 hyphen", "<a@b-.c>" },
	{ "PTH-08 hyphen", "<a@b.-c>" },
	{ "PTH-08 hyphen", "<a@b.c->" },
	{ "PTH-08 hyphen", "<a@->" },
	{ "PTH-08 letter", "<a@b#.c>" },
	{ "PTH-08 letter", "<a@b/c>" },
	{ "PTH-08 letter", "<a@\"b\">" },
	{ "PTH-09", "<a@[127.0.0.256]>" },
	{ "PTH-09", "<a@[127.0.0]>" },
	{ "PTH-09", "<a@[127.0.0.1.1]>" },
	{ "PTH-09", "<a@[127.0.0.]>" },
	{ "PTH-09", "<a@[127.0.0.-1]>" },
	{ "PTH-09", "<a@[127.0.0.0x1]>" },
	{ "PTH-09", "<a@[0127.0.0.1]>" },
	{ "PTH-09", "<a@[ 127.0.0.1]>" },
	{ "PTH-09", "<a@[127.0.0.1 ]>" },
	{ "PTH-09", "<a@[]>" },
	{ "PTH-09", "<a@[>" },
	{ "PTH-09", "<a@[127.0.0.1>" },
	{ "PTH-09", "<a@127.0.0.1]>" },
	{ "PTH-09", "<a@[127.0.0.1]x>" },
	{ "PTH-09", "<a@[127.0.0.1].b>" },
	{ "PTH-09", "<a@x[127.0.0.1]>" },
	{ "PTH-10", "<a@[IPv6:1::2::3]>" },
	{ "PTH-10", "<a@[IPv6:1:2:3:4:5:6:7]>" },
	{ "PTH-10", "<a@[IPv6:1:2:3:4:5:6:7:8:9]>" },
	{ "PTH-10", "<a@[IPv6:12345::]>" },
	{ "PTH-10", "<a@[IPv6:g::]>" },
	{ "PTH-10", "<a@[IPv6:]>" },
	{ "PTH-10", "<a@[IPv6:::1%lo]>" },
	{ "PTH-10", "<a@[IPv6:::ffff:192.0.2.256]>" },
	{ "PTH-10 no tag", "<a@[::1]>" },
	{ "PTH-10 unknown tag", "<a@[IPv7:1]>" },
	{ "PTH-10 too long for an address", "<a@[IPv6:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]>" },
	{ "PTH-12", "<@a;b@c.d>" },
	{ "PTH-12", "<@a;@b:c@d.e>" },
	{ "PTH-12", "<@a,b:c@d.e>" },
	{ "PTH-12", "<@a,@b c@d.e>" },
	{ "PTH-12", "<@a, @b:c@d.e>" },
	{ "PTH-12", "<@a,:c@d.e>" },
	{ "PTH-12", "<@:c@d.e>" },
	{ "PTH-12", "<:c@d.e>" },
	{ "PTH-12", "<@a..b:c@d.e>" },
	{ "PTH-12", "<@-a:c@d.e>" },
	{ "PTH-12", "<@a:>" },
	{ "PTH-12", "<@a:@b:c@d.e>" },
	{ "PTH-12", "<@a>" },
	{ "PTH-12", "<@a" },
	{ "PTH-12", "<@a,@" },
	{ "PTH-12 a route is UTF-8 too", "<@\xff:a@b.c>" },
	{ "PTH-12 a route is UTF-8 too", "<@\xc3.x,@b:a@b.c>" },
	{ "PTH-13", "<@b.c>" },
	{ "PTH-13", "<a@>" },
	{ "PTH-13", "<@>" },
	{ "PTH-13", "<a>" },
	{ "PTH-13", "<a@b@c.d>" },
	{ "PTH-13", "<a@@b.c>" },
	{ "RCP-05 nobody else", "<postmaster2>" },
	{ "RCP-05 nobody else", "<postmaste>" },
	{ "RCP-05 nobody else", "<\"\">" },
	{ "RCP-05 nobody else", "<root>" },
	{ "PTH-15 not UTF-8", "<\xff@b.c>" },
	{ "PTH-15 not UTF-8", "<\xe9@b.c>" },
	{ "PTH-15 not UTF-8", "<a@\xe9.c>" },
	{ "PTH-15 not UTF-8", "<\"\xff\"@b.c>" },
	{ "PTH-15 overlong", "<\xc0\xaf@b.c>" },
	{ "PTH-15 overlong", "<\xe0\x80\xaf@b.c>" },
	{ "PTH-15 surrogate", "<\xed\xa0\x80@b.c>" },
	{ "PTH-15 truncated", "<\xe2\x82@b.c>" },
	{ "PTH-15 truncated", "<a@b.\xc3>" },
	{ "PTH-15 truncated", "<\"\xe2\x82\"@b.c>" },
	{ "PTH-16", "<a\x1b" "b@c.d>" },
	{ "PTH-16", "<a\x7f@c.d>" },
	{ "PTH-16", "<a\t@c.d>" },
	{ "PTH-16", "<a@c\x01.d>" },
	{ "PTH-16", "<a@c.d\x7f>" },
	{ "PTH-16", "<a@c.d\r>" },
	{ "PTH-16", "<\"a\x7f\"@c.d>" },
	{ "PTH-16", "<@c\x01:a@c.d>" },
};

/* path_parse on a copy of exact size.  *rest is set into `in`.  */
static bool parse(struct path *p, const char *in, const char **rest)
{
	char *copy = exactly(in, strlen(in) + 1), *s = copy;
	bool ok = path_parse(p, &s);
	*rest = in + strlen(in) - strlen(s);
	free(copy);
	return ok;
}

static void test_good_paths(void)
{
	for (size_t i = 0; i < COUNT(good_paths); i++) {
		struct path p;
		const char *rest, *in = good_paths[i].in;
		if (!check(parse(&p, in, &rest), "%s is a path", show_text(in))) continue;
		check_text(p.text, good_paths[i].text, "%s: mailbox as written", show_text(in));
		check_text(p.local, good_paths[i].local, "%s: local part", show_text(in));
		check_text(p.domain, good_paths[i].domain, "%s: domain", show_text(in));
		check_text(rest, good_paths[i].rest, "%s: what follows", show_text(in));
		check(p.utf8 == good_paths[i].utf8, "%s: needs SMTPUTF8 or not", show_text(in));
	}
}

static void test_bad_paths(void)
{
	for (size_t i = 0; i < COUNT(bad_paths); i++) {
		struct path p;
		const char *rest;
		bool taken = parse(&p, bad_paths[i].in, &rest);
		if (!check(!taken, "%s: %s is refused", bad_paths[i].rule, show_text(bad_paths[i].in)))
			printf("#   got:      \"%s\"\n", show_text(p.text));
	}
}

/* A path that breaks off anywhere is none.  */
static void test_truncated_paths(void)
{
	for (size_t i = 0; i < COUNT(good_paths); i++) {
		char text[128];
		struct path p;
		const char *rest;
		size_t taken = 0, n = strlen(good_paths[i].in) - strlen(good_paths[i].rest);
		for (size_t cut = 0; cut < n; cut++) {
			snprintf(text, sizeof text, "%.*s", (int)cut, good_paths[i].in);
			taken += parse(&p, text, &rest);
		}
		check_number(taken, 0, "no part of %s is a path", show_text(good_paths[i].in));
	}
}

/* PTH-15: an octet over 127 anywhere in the brackets, the route included, needs SMTPUTF8 (RFC 6531 3.3).  */
static void test_utf8_route(void)
{
	struct path p;
	const char *rest;
	bool ok = parse(&p, "<@" E_ACUTE ".example:a@b.c>", &rest);
	check(!ok || p.utf8, "PTH-15 a source route in UTF-8 needs SMTPUTF8");
}

/* --- every octet in every place --- */

static bool one_of(const char *set, int c) { return c != 0 && strchr(set, c) != NULL; }
static bool letter_digit(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
static bool in_atom(int c) { return letter_digit(c) || one_of("!#$%&'*+-/=?^_`{|}~.", c); }
static bool in_quotes(int c) { return c >= ' ' && c <= '~' && c != '"'; }       /* with the backslash, which quotes what follows */
static bool behind_backslash(int c) { return c >= ' ' && c <= '~'; }
static bool in_label(int c) { return letter_digit(c) || one_of("-_.", c); }

static void test_octets(void)
{
	static const struct { const char *before, *after; bool (*taken)(int c); } rows[] = {
		{ "<a", "b@c.d>", in_atom },
		{ "<\"a", "b\"@c.d>", in_quotes },
		{ "<\"a\\", "b\"@c.d>", behind_backslash },
		{ "<a@b", "c.d>", in_label },
		{ "<@b", "c.d:a@e.f>", in_label },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned wrong = 0, last = 0;
		for (int c = 1; c < 256; c++) {
			char in[32];
			struct path p;
			const char *rest;
			snprintf(in, sizeof in, "%s%c%s", rows[i].before, c, rows[i].after);
			bool ok = parse(&p, in, &rest) && *rest == '\0';
			if (ok == rows[i].taken(c)) continue;
			wrong++;
			last = (unsigned)c;
		}
		if (!check(wrong == 0, "each octet between %s and %s", rows[i].before, rows[i].after))
			printf("#   expected: as the grammar says\n#   got:      %u octets otherwise, the last is %u\n", wrong, last);
	}
}

/* --- limits --- */

/* A domain of n octets, in labels of 49 and less.  */
static const char *domain_of(size_t n)
{
	static char text[512];
	for (size_t i = 0; i < n; i++) text[i] = i % 50 == 49 ? '.' : 'd';
	text[n] = '\0';
	return text;
}

static const char *run_of(char c, size_t n)
{
	static char text[512];
	if (n >= sizeof text) abort();
	memset(text, c, n);
	text[n] = '\0';
	return text;
}

static void test_path_limits(void)
{
	static const struct { const char *what, *quote; size_t local, domain; bool ok; } rows[] = {
		{ "MAI-12 local part of 64", "", 64, 11, true },
		{ "MAI-12 local part of 65", "", 65, 11, false },
		{ "MAI-12 local part of 64 with its quotes", "\"", 62, 11, true },
		{ "MAI-12 local part of 65 with its quotes", "\"", 63, 11, false },
		{ "MAI-11 path of 256: 64 + 189", "", 64, 189, true },
		{ "MAI-11 path of 257: 64 + 190", "", 64, 190, false },
		{ "MAI-11 path of 256: 1 + 252", "", 1, 252, true },
		{ "MAI-11 path of 257: 1 + 253", "", 1, 253, false },
		{ "MAI-14 path of 400", "", 64, 333, false },
		{ "MAI-14 local part of 400", "", 400, 5, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char in[2048];
		struct path p;
		const char *rest;
		snprintf(in, sizeof in, "<%s%s%s@%s>", rows[i].quote, run_of('l', rows[i].local), rows[i].quote, domain_of(rows[i].domain));
		bool ok = parse(&p, in, &rest);
		check(ok == rows[i].ok, "%s is %s", rows[i].what, rows[i].ok ? "taken" : "refused");
		if (!ok) continue;
		in[strlen(in) - 1] = '\0';
		check_text(p.text, in + 1, "%s is kept whole", rows[i].what);
		check_text(p.local, run_of('l', rows[i].local), "%s: local part is kept whole", rows[i].what);
		check_text(p.domain, domain_of(rows[i].domain), "%s: domain is kept whole", rows[i].what);
	}
}

static void test_escaped_limit(void)
{
	char in[128] = "<\"", want[64] = "";
	struct path p;
	const char *rest;
	for (int i = 0; i < 31; i++) strcat(in, "\\x");
	strcat(in, "\"@b.c>");
	memset(want, 'x', 31);
	check(parse(&p, in, &rest), "a local part of 64 with 31 backslashes is taken");
	check_text(p.local, want, "31 quoted pairs are 31 octets");
}

static void test_label_limits(void)
{
	char text[600];
	snprintf(text, sizeof text, "%s.c", run_of('l', 63));
	check(domain_valid(text), "MAI-13 label of 63 is taken");
	snprintf(text, sizeof text, "%s.c", run_of('l', 64));
	check(!domain_valid(text), "MAI-13 label of 64 is refused");
	snprintf(text, sizeof text, "c.%s", run_of('l', 63));
	check(domain_valid(text), "MAI-13 last label of 63 is taken");
	snprintf(text, sizeof text, "c.%s", run_of('l', 64));
	check(!domain_valid(text), "MAI-13 last label of 64 is refused");
	check(domain_valid(domain_of(255)), "MAI-13 domain of 255 is taken");
	check(!domain_valid(domain_of(256)), "MAI-13 domain of 256 is refused");
	check(hello_valid(domain_of(255)), "hello of 255 is taken");
	check(!hello_valid(domain_of(256)), "hello of 256 is refused");
}

/* No address is longer than 45 characters; a literal of any length is refused without harm.  */
static void test_literal_limits(void)
{
	unsigned taken = 0;
	for (size_t n = 46; n < 300; n++) {
		char in[600];
		struct path p;
		const char *rest;
		snprintf(in, sizeof in, "<a@[IPv6:%s]>", run_of('0', n));
		taken += parse(&p, in, &rest);
		snprintf(in, sizeof in, "<a@[%s]>", run_of('1', n));
		taken += parse(&p, in, &rest);
	}
	check_number(taken, 0, "PTH-09, PTH-10 literals that are too long");
}

/* A route is read whatever its length, or refused; the mailbox behind it is never cut.  */
static void test_route_limits(void)
{
	for (size_t n = 240; n < 270; n++) {
		char in[1024];
		struct path p;
		const char *rest;
		snprintf(in, sizeof in, "<@%s:user@example.test>", domain_of(n));
		if (!parse(&p, in, &rest)) continue;
		if (n > 255 || strcmp(p.text, "user@example.test") != 0) {
			check(false, "route of %zu", n);
			return;
		}
	}
	check(true, "long routes are taken or refused whole");
}

/* --- the others --- */

static void test_mailboxes(void)
{
	static const struct { const char *in; bool ok; } rows[] = {
		{ "user@example.net", true }, { "postmaster", true }, { "POSTMASTER", true }, { "\"a b\"@c.d", true }, { "a@[127.0.0.1]", true },
		{ "", false }, { "user", false }, { "<a@b.c>", false }, { "a@b.c>", false }, { "a@b.c ", false }, { " a@b.c", false },
		{ "@a:b@c.d", false }, { "a@b.c,d@e.f", false }, { "a@", false }, { "postmaster ", false }, { "postmaster@", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct path p;
		check(mailbox_parse(&p, rows[i].in) == rows[i].ok, "mailbox_parse %s \"%s\"", rows[i].ok ? "takes" : "refuses", rows[i].in);
	}
}

static void test_names(void)
{
	static const struct { const char *in; bool domain, hello; } rows[] = {
		{ "example.net", true, true }, { "localhost", true, true }, { "a", true, true }, { "[127.0.0.1]", true, true },
		{ "[IPv6:::1]", true, true }, { "[IPv6:2001:db8::1]", true, true },
		/* oddly, but harmless in a header */
		{ "my_host", true, true }, { "host.", false, true }, { ".", false, true }, { "-a", false, true }, { "a..b", false, true },
		{ "2001:db8::1", false, true }, { "[::1]", false, true }, { "[]", false, true }, { "[", false, true },
		{ "[127.0.0.256]", false, true }, { "host:25", false, true },
		/* HEL-06 */
		{ "", false, false }, { "a b", false, false }, { " a", false, false }, { "a ", false, false }, { "a)(b", false, false },
		{ "a<b", false, false }, { "a>b", false, false }, { "a@b", false, false }, { "a;b", false, false }, { "a,b", false, false },
		{ "a\"b", false, false }, { "a\\b", false, false }, { "a/b", false, false }, { "a\tb", false, false }, { "a\rb", false, false },
		{ "a\nb", false, false }, { "a\x7f", false, false }, { "a%s", false, false },
		/* RFC 6531 3.7.1: hello stays ASCII, for SMTPUTF8 is not agreed on yet */
		{ E_ACUTE ".example", true, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		check(domain_valid(rows[i].in) == rows[i].domain, "domain_valid %s \"%s\"", rows[i].domain ? "takes" : "refuses", show_text(rows[i].in));
		check(hello_valid(rows[i].in) == rows[i].hello, "hello_valid %s \"%s\"", rows[i].hello ? "takes" : "refuses", show_text(rows[i].in));
	}
}

/* All parameters as "KEY=VALUE|KEY|", then "!" where the syntax breaks.  */
static void param_list(char *out, size_t size, const char *in)
{
	char *copy = exactly(in, strlen(in) + 1), *s = copy, *keyword, *value;
	int got;
	size_t n = 0;
	*out = '\0';
	while ((got = param_next(&s, &keyword, &value)) > 0)
		n += (size_t)snprintf(out + n, size - n, value ? "%s=%s|" : "%s|", keyword, value);
	if (got < 0) snprintf(out + n, size - n, "!");
	free(copy);
}

static void test_params(void)
{
	static const struct { const char *in, *want; } rows[] = {
		{ "", "" }, { " ", "" }, { "   ", "" },
		{ " SIZE=1", "SIZE=1|" }, { "SIZE=1", "SIZE=1|" }, { " SMTPUTF8", "SMTPUTF8|" },
		{ " SIZE=1 BODY=8BITMIME SMTPUTF8", "SIZE=1|BODY=8BITMIME|SMTPUTF8|" },
		{ "  A=b   C  ", "A=b|C|" },
		{ " 8=x 9-=y a-b-c", "8=x|9-=y|a-b-c|" },
		{ " A=!\"#$%&'()*+,-./:;<>?@[\\]^_`{|}~", "A=!\"#$%&'()*+,-./:;<>?@[\\]^_`{|}~|" },
		{ " A=" E_ACUTE, "A=" E_ACUTE "|" },    /* RFC 6531 3.3 */
		{ " A A", "A|A|" },
		/* MAI-09 */
		{ " #$=1", "!" }, { " -A=1", "!" }, { " =1", "!" }, { " A=", "!" }, { " A= B", "!" }, { " A=b=c", "!" }, { " A==b", "!" },
		{ " A_B=1", "!" }, { " A,B", "!" }, { " A\t", "!" }, { " A=b\tc", "!" }, { " A=\x01", "!" }, { " A=b\x7f", "!" }, { "\tA", "!" },
		{ " " E_ACUTE "=1", "!" }, { " A" E_ACUTE, "!" },
		{ " SIZE=1 B=", "SIZE=1|!" }, { " A B, C", "A|!" }, { ">", "!" }, { " >", "!" },
	};
	char got[256];
	for (size_t i = 0; i < COUNT(rows); i++) {
		param_list(got, sizeof got, rows[i].in);
		check_text(got, rows[i].want, "parameters \"%s\"", show_text(rows[i].in));
	}
}

static void test_numbers(void)
{
	static const struct { const char *in; bool ok; unsigned long long want; } rows[] = {
		{ "0", true, 0 }, { "1", true, 1 }, { "007", true, 7 }, { "52428800", true, 52428800 },
		{ "4294967295", true, 4294967295 }, { "4294967296", true, 4294967296 },
		{ "9223372036854775807", true, 9223372036854775807ULL }, { "9223372036854775808", true, 9223372036854775808ULL },
		{ "18446744073709551614", true, ~0ULL - 1 }, { "18446744073709551615", true, ~0ULL },
		{ "18446744073709551616", true, ~0ULL }, { "18446744073709551620", true, ~0ULL }, { "99999999999999999999", true, ~0ULL },
		{ "00000000000000000001", true, 1 },
		{ "", false, 0 }, { "000000000000000000001", false, 0 }, { "100000000000000000000", false, 0 },
		{ "-1", false, 0 }, { "+1", false, 0 }, { " 1", false, 0 }, { "1 ", false, 0 }, { "0x1", false, 0 }, { "1a", false, 0 }, { "a", false, 0 },
		{ "1.5", false, 0 }, { "1\n", false, 0 }, { "9999999999999999999x", false, 0 }, { "1844674407370955162x", false, 0 },
		{ "\xd9\xa1", false, 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned long long n = 5;
		bool ok = number_parse(rows[i].in, &n);
		check(ok == rows[i].ok, "number_parse %s \"%s\"", rows[i].ok ? "takes" : "refuses", show_text(rows[i].in));
		if (ok) check_number(n, rows[i].want, "number \"%s\"", rows[i].in);
	}
}

/* --- UTF-8 --- */

static void test_utf8_table(void)
{
	static const struct { const char *what, *in; bool ok; } rows[] = {
		{ "nothing", "", true }, { "ASCII", "abc\x7f", true }, { "U+0080", "\xc2\x80", true }, { "U+07FF", "\xdf\xbf", true },
		{ "U+0800", "\xe0\xa0\x80", true }, { "U+D7FF", "\xed\x9f\xbf", true }, { "U+E000", "\xee\x80\x80", true }, { "U+FFFF", "\xef\xbf\xbf", true },
		{ "U+10000", "\xf0\x90\x80\x80", true }, { "U+10FFFF", "\xf4\x8f\xbf\xbf", true }, { "several", "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", true },
		{ "overlong NUL", "\xc0\x80", false }, { "overlong /", "\xc0\xaf", false }, { "overlong U+007F", "\xc1\xbf", false },
		{ "overlong /", "\xe0\x80\xaf", false }, { "overlong U+07FF", "\xe0\x9f\xbf", false }, { "overlong /", "\xf0\x80\x80\xaf", false },
		{ "overlong U+FFFF", "\xf0\x8f\xbf\xbf", false },
		{ "surrogate U+D800", "\xed\xa0\x80", false }, { "surrogate U+DFFF", "\xed\xbf\xbf", false },
		{ "a pair of surrogates", "\xed\xa0\xbd\xed\xb8\x80", false },
		{ "U+110000", "\xf4\x90\x80\x80", false }, { "five octets", "\xf8\x88\x80\x80\x80", false }, { "F5", "\xf5\x80\x80\x80", false },
		{ "FE", "\xfe", false }, { "FF", "\xff", false }, { "lone continuation", "\x80", false }, { "continuation behind a letter", "a\xbf", false },
		{ "one of two", "\xc3", false }, { "one of three", "\xe2", false }, { "two of three", "\xe2\x82", false }, { "three of four", "\xf0\x9f\x98", false },
		{ "one of two and a letter", "\xc3" "a", false }, { "two of three and a letter", "\xe2\x82" "a", false },
		{ "three of four and a character", "\xf0\x9f\x98\xc3\xa9", false }, { "Latin-1", "caf\xe9", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *copy = exactly(rows[i].in, strlen(rows[i].in) + 1);
		check(utf8_valid(copy) == rows[i].ok, "UTF-8: %s is %s", rows[i].what, rows[i].ok ? "good" : "bad");
		free(copy);
	}
}

static void encode(char *out, unsigned c)
{
	char *p = out;
	if (c < 0x80) {
		*p++ = (char)c;
	} else if (c < 0x800) {
		*p++ = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		*p++ = (char)(0xe0 | c >> 12);
		*p++ = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		*p++ = (char)(0xf0 | c >> 18);
		*p++ = (char)(0x80 | (c >> 12 & 0x3f));
		*p++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80) *p++ = (char)(0x80 | (c & 0x3f));
	*p = '\0';
}

/* Every character is good; and among the strings of up to three octets just as many are good as there are to be.  */
static void test_utf8_all(void)
{
	unsigned long long wrong = 0, good[4] = { 0 };
	char s[8];
	for (unsigned c = 1; c < 0x110000; c++) {
		encode(s, c);
		if (utf8_valid(s) != (c < 0xd800 || c > 0xdfff)) wrong++;
	}
	check_number(wrong, 0, "UTF-8: each character is good, each surrogate bad");
	for (unsigned c = 1; c < 0x1000000; c++) {
		size_t n = c < 0x100 ? 1 : c < 0x10000 ? 2 : 3;
		for (size_t i = 0; i < n; i++) s[i] = (char)(c >> 8 * (n - 1 - i) & 0xff);
		s[n] = '\0';
		if (strlen(s) == n) good[n] += utf8_valid(s);
	}
	check_number(good[1], 127, "UTF-8: good strings of one octet");
	check_number(good[2], 127 * 127 + 1920, "UTF-8: good strings of two octets");
	check_number(good[3], 127 * 127 * 127 + 2 * 127 * 1920 + 61440, "UTF-8: good strings of three octets");
}

static void test_fold(void)
{
	static const struct { const char *in, *want; } rows[] = {
		{ "", "" }, { "User@EXAMPLE.Net", "user@example.net" }, { "AZaz09", "azaz09" }, { "@[`{", "@[`{" },
		{ "\xc3\x89", "\xc3\x89" }, { "\xc1\xda", "\xc1\xda" },  /* ASCII only */
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[32];
		strcpy(text, rows[i].in);
		fold(text);
		check_text(text, rows[i].want, "fold \"%s\"", show_text(rows[i].in));
	}
}

int main(void)
{
	test_good_paths();
	test_bad_paths();
	test_truncated_paths();
	test_utf8_route();
	test_octets();
	test_path_limits();
	test_escaped_limit();
	test_label_limits();
	test_literal_limits();
	test_route_limits();
	test_mailboxes();
	test_names();
	test_params();
	test_numbers();
	test_utf8_table();
	test_utf8_all();
	test_fold();
	return done();
}
