/* Names beyond ASCII: the tables are what RFC 5890 to 5892 and UTS #46 say of them, and what must never come out.
 * SPDX-License-Identifier: MIT */
#include "names.h"

#include <locale.h>
#include <uninorm.h>
#include <unistr.h>

#include "check.h"

#define TEN(s) s s s s s s s s s s
#define LABEL_63 TEN("abcdef") "xyz"
#define UE "\xc3\xbc"           /* ü */
#define UE_CAPITAL "\xc3\x9c"
#define DIAERESIS "\xcc\x88"
#define SS "\xc3\x9f"           /* ß */
#define SMALL_SIGMA "\xcf\x83"
#define FINAL_SIGMA "\xcf\x82"
#define SIGMA "\xce\xa3"

/* --- domains --- */

static const struct { const char *in, *ascii, *unicode; } domains[] = {
	/* ASCII */
	{ "example.net", "example.net", NULL },
	{ "EXAMPLE.Net", "example.net", NULL },
	{ "a", "a", NULL },
	{ "_dmarc.Example.net", "_dmarc.example.net", NULL },
	{ "R3---sn-a--b.example", "r3---sn-a--b.example", NULL },
	{ "xn.example", "xn.example", NULL },
	{ "axn--b.example", "axn--b.example", NULL },
	{ LABEL_63 ".example", LABEL_63 ".example", NULL },
	{ LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63, LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63, NULL },   /* 255 octets */
	/* literals */
	{ "[127.0.0.1]", "[127.0.0.1]", NULL },
	{ "[IPv6:2001:DB8::A]", "[ipv6:2001:db8::a]", NULL },
	/* U-labels, composed or not, in any case */
	{ "B" UE_CAPITAL "CHER.example", "xn--bcher-kva.example", "b" UE "cher.example" },
	{ "b" UE "cher.example", "xn--bcher-kva.example", "b" UE "cher.example" },
	{ "bu" DIAERESIS "cher.EXAMPLE", "xn--bcher-kva.example", "b" UE "cher.example" },
	{ "BU" DIAERESIS "CHER.example", "xn--bcher-kva.example", "b" UE "cher.example" },
	{ UE, "xn--tda", UE },
	{ "_dmarc." UE ".example", "_dmarc.xn--tda.example", "_dmarc." UE ".example" },
	{ "r3---sn." UE ".example", "r3---sn.xn--tda.example", "r3---sn." UE ".example" },
	/* A-labels */
	{ "xn--bcher-kva.example", "xn--bcher-kva.example", "b" UE "cher.example" },
	{ "XN--BCHER-KVA.Example", "xn--bcher-kva.example", "b" UE "cher.example" },
	{ "a.xn--tda", "a.xn--tda", "a." UE },
	{ "xn--BCHER-kva.M" UE_CAPITAL "NCHEN.example", "xn--bcher-kva.xn--mnchen-3ya.example", "b" UE "cher.m" UE "nchen.example" },
	{ "r3---sn.xn--tda.example", "r3---sn.xn--tda.example", "r3---sn." UE ".example" },
	{ "xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai", "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80.\xd1\x80\xd1\x84" },
	{ "xn--WGBH1C", "xn--wgbh1c", "\xd9\x85\xd8\xb5\xd8\xb1" },     /* from right to left */
	{ "\xd9\x85\xd8\xb5\xd8\xb1", "xn--wgbh1c", "\xd9\x85\xd8\xb5\xd8\xb1" },
	{ "xn--mgba3gch31f060k", "xn--mgba3gch31f060k", "\xd9\x86\xd8\xa7\xd9\x85\xd9\x87\xe2\x80\x8c\xd8\xa7\xdb\x8c" },      /* a ZWNJ where it may be */
	/* not transitional */
	{ "fa" SS ".de", "xn--fa-hia.de", "fa" SS ".de" },
	{ FINAL_SIGMA ".gr", "xn--3xa.gr", FINAL_SIGMA ".gr" },
	{ "fass.de", "fass.de", NULL },
	/* no language: the Turkish letters are letters like others */
	{ "I." UE, "i.xn--tda", "i." UE },
	{ "\xc4\xb0.example", "xn--i-9bb.example", "i\xcc\x87.example" },
	{ "\xc4\xb1.example", "xn--cfa.example", "\xc4\xb1.example" },
	/* what UTS #46 maps: full width, other dots, soft hyphens */
	{ "\xef\xbc\xa5\xef\xbd\x98.com", "ex.com", NULL },
	{ "ex\xef\xbc\x8e" "com", "ex.com", NULL },
	{ "a\xe3\x80\x82" "b", "a.b", NULL },
	{ UE "\xe3\x80\x82" UE "\xef\xbd\xa1" "example", "xn--tda.xn--tda.example", UE "." UE ".example" },
	{ "a\xc2\xad" UE ".de", "xn--a-eha.de", "a" UE ".de" },
	{ "\xef\xbd\x98n--bcher-kva.de", "xn--bcher-kva.de", "b" UE "cher.de" },
};

static const struct { const char *what, *in; } bad_domains[] = {
	{ "nothing", "" },
	{ "no label", "." },
	{ "a dot at the end", "example.net." },
	{ "two dots", "a..b" },
	{ "a space", "a b" },
	{ "a slash", "a/b" },
	{ "a literal that is none", "[1.2.3]" },
	{ "a literal cut short", "[127.0.0.1" },
	{ "a literal with more", "[127.0.0.1]." UE },
	{ "a label of 64", LABEL_63 "a.example" },
	{ "256 octets", LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63 "a" },
	{ "much more", TEN(LABEL_63 ".") "a" },
	{ "much more of a literal", "[IPv6:" TEN(LABEL_63 ".") "]" },
	{ "an A-label of nothing", "xn--.example" },
	{ "an A-label of ASCII", "xn--abc-.example" },
	{ "an A-label that decodes to what may not be", "xn--abc.example" },
	{ "an A-label cut short", "xn--bcher-kv.example" },
	{ "an A-label that is no Punycode", "xn--0.pt" },
	{ "an A-label with a hyphen in front of none", "a.xn---" },
	{ "an A-label of an upper-case letter", "xn--bcher-kva.xn--wca" },
	{ "an A-label of a letter that is mapped", "xn--a-ecp.ru" },
	{ "an A-label of two scripts in both directions", "xn--0ca24w.de" },
	{ "an A-label that overflows", "xn--99999999999999999999999999" },
	{ "an A-label with a U-label in it", "xn--b" UE "cher.de" },
	{ "the second A-label", "xn--bcher-kva.xn--0" },
	{ "a full-width A-label that is broken", "\xef\xbd\x98n--0.pt" },
	{ "a broken A-label behind another dot", "xn--tda\xe3\x80\x82\xef\xbd\x98n--0" },
	{ "no UTF-8", "\xff.de" },
	{ "UTF-8 cut short", "a\xc3" },
	{ "a surrogate", "\xed\xa0\x80.de" },
	{ "an overlong slash", "a\xc0\xaf" "b" },
	{ "a full-width slash", "a\xef\xbc\x8f" "b.example" },
	{ "full-width dots", "\xef\xbc\x8e\xef\xbc\x8e/a" },
	{ "only another dot", "\xe3\x80\x82" },
	{ "another dot at the end", UE "\xe3\x80\x82" },
	{ "no label before", "." UE },
	{ "no label between", UE ".." UE },
	{ "a label that is mapped to nothing", "\xc2\xad.de" },
	{ "parentheses", "\xe2\x91\xb4.de" },
	{ "a full-width space", "a\xe3\x80\x80" "b.de" },
	{ "an ASCII sign", UE "$.de" },
	{ "a sign in another label", UE ".a$b" },
	{ "an ASCII control", UE "\n.de" },
	{ "a control", "\xc2\x85.de" },
	{ "a hyphen in front", "-" UE ".de" },
	{ "a hyphen at the end", UE "-.de" },
	{ "hyphens in third and fourth place", "ab--" UE ".de" },
	{ "a combining mark in front", "\xcc\x81" "a.de" },
	{ "a joiner where none may be", "a\xe2\x80\x8d" "b.de" },
	{ "both directions", "\xd7\x90" "1a.com" },
	{ "an emoji", "\xf0\x9f\x92\xa9.la" },
	{ "an emoji as an A-label", "xn--ls8h.la" },
	{ "private use", "\xee\x80\x80.de" },
	{ "a code point without a character", "\xef\xbf\xbf.de" },
	{ "a U-label too long as an A-label", TEN(UE) TEN(UE) TEN(UE) TEN(UE) TEN(UE) TEN(UE) ".de" },
	{ "a domain too long with A-labels", TEN(UE UE UE UE UE "a.") TEN(UE UE UE UE UE "a.") "de" },
};

static void test_domains(void)
{
	char out[DOMAIN_MAX + 1], again[DOMAIN_MAX + 1];
	for (size_t i = 0; i < COUNT(domains); i++) {
		char *in = exactly(domains[i].in, strlen(domains[i].in) + 1);
		bool ok = names_domain(out, in);
		check(ok, "domain %zu", i);
		check_text(out, domains[i].ascii, "A-labels of domain %zu", i);
		check(names_domain(again, out) && strcmp(again, out) == 0, "domain %zu stays", i);
		ok = names_unicode(again, out);
		check(ok == (domains[i].unicode != NULL), "U-labels in domain %zu", i);
		check_text(again, ok ? domains[i].unicode : "", "U-labels of domain %zu", i);
		if (ok) check(names_domain(out, again) && strcmp(out, domains[i].ascii) == 0, "and back from domain %zu", i);
		free(in);
	}
	for (size_t i = 0; i < COUNT(bad_domains); i++) {
		char *in = exactly(bad_domains[i].in, strlen(bad_domains[i].in) + 1);
		strcpy(out, "old");
		strcpy(again, "old");
		check(!names_domain(out, in), "no domain: %s", bad_domains[i].what);
		check_text(out, "", "left of it: %s", bad_domains[i].what);
		check(!names_unicode(again, in) && *again == '\0', "no U-labels: %s", bad_domains[i].what);
		free(in);
	}
}

static void test_unicode(void)
{
	char out[DOMAIN_MAX + 1];
	check(names_unicode(out, "XN--TDA.XN--BCHER-kva"), "A-labels in upper case");
	check_text(out, UE ".b" UE "cher", "their U-labels");
	check(!names_unicode(out, UE ".de") && *out == '\0', "U-labels are no A-labels");
	static const char long_label[] = "xn--chqaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	char four[DOMAIN_MAX + 1];
	snprintf(four, sizeof four, "%s.%s.%s.%s", long_label, long_label, long_label, long_label);
	check(names_domain(out, four), "as long as A-labels can be");
	check(!names_unicode(out, four) && *out == '\0', "but too long as U-labels");
}

/* --- local parts --- */

static const struct { const char *in, *want; } locals[] = {
	{ "", "" },
	{ "Alice", "alice" },
	{ "A.B+c \"@/", "a.b+c \"@/" },
	{ "J\xc3\xb6rg", "j\xc3\xb6rg" },
	{ "J\xc3\x96RG", "j\xc3\xb6rg" },
	{ "Jo" DIAERESIS "rg", "j\xc3\xb6rg" },
	{ "JO" DIAERESIS "RG", "j\xc3\xb6rg" },
	{ "STRA" SS "E", "stra" SS "e" },
	{ "STRA\xe1\xba\x9e" "E", "stra" SS "e" },
	{ "STRASSE", "strasse" },
	/* no language */
	{ "\xc4\xb1I", "\xc4\xb1i" },
	{ "\xc4\xb0", "i\xcc\x87" },
	{ "I\xcc\x87", "i\xcc\x87" },
	/* a final sigma is one in both cases */
	{ "\xce\x9f\xce\x94\xce\x9f" SIGMA, "\xce\xbf\xce\xb4\xce\xbf" FINAL_SIGMA },
	{ SIGMA "\xce\x91", SMALL_SIGMA "\xce\xb1" },
	{ "\xce\x91" SIGMA "+x", "\xce\xb1" FINAL_SIGMA "+x" },
	/* canonical forms, not those of compatibility */
	{ "\xe2\x84\xaa" "elvin", "kelvin" },
	{ "\xe2\x84\xab", "\xc3\xa5" },
	{ "\xef\xbc\xa1", "\xef\xbd\x81" },
	{ "\xef\xac\x81", "\xef\xac\x81" },
	{ "\xe3\x81\x8b\xe3\x82\x99", "\xe3\x81\x8c" },
	{ "a\xcc\x81\xcc\xa7", "\xc3\xa1\xcc\xa7" },
	{ "\xf0\x90\x90\x80", "\xf0\x90\x90\xa8" },
	{ "\xf0\x9f\x92\xa9", "\xf0\x9f\x92\xa9" },
	/* Hangul */
	{ "\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80" },
};

static void test_locals(void)
{
	char out[NAME_LOCAL + 1], again[NAME_LOCAL + 1];
	for (size_t i = 0; i < COUNT(locals); i++) {
		char *in = exactly(locals[i].in, strlen(locals[i].in) + 1);
		check(names_local(out, in), "local part %zu", i);
		check_text(out, locals[i].want, "form of local part %zu", i);
		check(names_local(again, out) && strcmp(again, out) == 0, "local part %zu stays", i);
		free(in);
	}
	static const char *bad[] = { "\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe3\x81" };
	for (size_t i = 0; i < COUNT(bad); i++) {
		strcpy(out, "old");
		check(!names_local(out, bad[i]) && *out == '\0', "no UTF-8: %zu", i);
	}
}

static void test_local_room(void)
{
	static const struct { const char *unit; unsigned n; bool fits; } rows[] = {
		{ "A", NAME_LOCAL, true }, { "A", NAME_LOCAL + 1, false }, { "A", 2000, false },
		{ UE_CAPITAL, NAME_LOCAL / 2, true }, { UE_CAPITAL, NAME_LOCAL / 2 + 1, false }, { UE_CAPITAL, 1000, false },
		{ "U" DIAERESIS, NAME_LOCAL / 2, true }, { "U" DIAERESIS, NAME_LOCAL / 2 + 1, false },  /* 3 octets become 2 */
		{ "\xc4\xb0", NAME_LOCAL / 3, true }, { "\xc4\xb0", NAME_LOCAL / 3 + 1, false },        /* 2 octets become 3 */
		{ "\xc8\xba", LOCAL_MAX / 2, true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char in[5000] = "", *out = malloc(NAME_LOCAL + 1);
		if (!out) abort();
		for (unsigned k = 0; k < rows[i].n; k++) strcat(in, rows[i].unit);
		bool ok = names_local(out, in);
		check(ok == rows[i].fits && (ok || *out == '\0'), "room for local part %zu", i);
		free(out);
	}
}

/* --- every code point --- */

static bool every_local_stays(uint32_t c)
{
	uint8_t text[8], form[64];
	char out[NAME_LOCAL + 1], of_form[NAME_LOCAL + 1], again[NAME_LOCAL + 1];
	size_t m = sizeof form - 1;
	int n = u8_uctomb(text, c, 6);
	if (n <= 0) return true;
	text[n] = '\0';
	if (u8_normalize(UNINORM_NFD, text, (size_t)n, form, &m) != form) return false;
	form[m] = '\0';
	if (!names_local(out, (char *)text) || !names_local(of_form, (char *)form) || !names_local(again, out)) return false;
	return strcmp(out, of_form) == 0 && strcmp(out, again) == 0 && (c < 0x80 || !strpbrk(out, "/@\"\\ "));
}

static bool every_domain_is_one(uint32_t c)
{
	uint8_t text[16] = "a";
	char out[DOMAIN_MAX + 1], again[DOMAIN_MAX + 1];
	int n = u8_uctomb(text + 1, c, 6);
	if (n <= 0) return true;
	strcpy((char *)text + 1 + n, "b.de");
	if (!names_domain(out, (char *)text)) return *out == '\0';
	return domain_valid(out) && !strchr(out, '/') && names_domain(again, out) && strcmp(out, again) == 0;
}

static void test_every(uint32_t end, bool (*stays)(uint32_t), const char *what)
{
	unsigned long long wrong = 0;
	for (uint32_t c = 1; c < end; c++) {
		if (stays(c)) continue;
		if (wrong++ < 10) printf("# U+%04X\n", (unsigned)c);
	}
	check_number(wrong, 0, "%s", what);
}

int main(void)
{
	setlocale(LC_ALL, "tr_TR.UTF-8");       /* whether it is there or not: nothing may depend on it */
	test_domains();
	test_unicode();
	test_locals();
	test_local_room();
	test_every(0x1f000, every_local_stays, "each character as a local part: one form, composed or not, which stays");
	test_every(0x3400, every_domain_is_one, "each character in a domain: a domain, or none");
	return done();
}
