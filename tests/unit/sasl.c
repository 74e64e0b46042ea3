/* base64, PLAIN, and xtext.
 * SPDX-License-Identifier: MIT */
#include "sasl.h"

#include "check.h"
#include "xtext.h"

static void test_base64(void)
{
	static const struct { const char *in, *out; ssize_t n; } rows[] = {
		{ "", "", 0 }, { "Zg==", "f", 1 }, { "Zm8=", "fo", 2 }, { "Zm9v", "foo", 3 }, { "Zm9vYg==", "foob", 4 }, { "Zm9vYmE=", "fooba", 5 }, { "Zm9vYmFy", "foobar", 6 },
		{ "+/+/", "\xfb\xff\xbf", 3 }, { "AAAA", "\0\0\0", 3 },
		{ "Z", NULL, -1 }, { "Zg", NULL, -1 }, { "Zg=", NULL, -1 }, { "Zg===", NULL, -1 }, { "Zh==", NULL, -1 }, { "Zm9=", NULL, -1 }, { "Z===", NULL, -1 }, { "====", NULL, -1 },
		{ "Zg==Zg==", NULL, -1 }, { "Zm=v", NULL, -1 }, { "Zm9v Zm9v", NULL, -1 }, { "Zm9v\n", NULL, -1 }, { "Zm9-", NULL, -1 }, { "Zm9_", NULL, -1 }, { "\xc3\xa9gg", NULL, -1 },
	};
	char out[64];
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n = strlen(rows[i].in);
		ssize_t got = base64_decode(out, sizeof out, rows[i].in, n);
		check(got == rows[i].n && (got < 0 || memcmp(out, rows[i].out, (size_t)got) == 0), "base64 \"%s\"", show_text(rows[i].in));
		check(base64_valid(rows[i].in) == (rows[i].n >= 0), "and base64_valid agrees");
		if (rows[i].n > 0) check(base64_decode(out, (size_t)rows[i].n - 1, rows[i].in, n) == -1 && base64_decode(out, (size_t)rows[i].n, rows[i].in, n) == rows[i].n, "and the room is kept to");
	}
}

/* Every octet in every place, and every last digit before the padding.  */
static void test_digits(void)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned wrong = 0;
	char out[3];
	for (int c = 0; c < 256; c++) {
		const char *digit = c ? strchr(digits, c) : NULL;
		unsigned v = digit ? (unsigned)(digit - digits) : 0;
		for (unsigned place = 0; place < 4; place++) {
			char in[4] = { 'A', 'A', 'A', 'A' };
			in[place] = (char)c;
			bool padded = c == '=' && place == 3;
			wrong += base64_decode(out, sizeof out, in, sizeof in) != (digit ? 3 : padded ? 2 : -1);
			uint32_t want = v << (18 - 6 * place);
			if (digit) wrong += ((uint32_t)(unsigned char)out[0] << 16 | (uint32_t)(unsigned char)out[1] << 8 | (unsigned char)out[2]) != want;
		}
		char one[4] = { 'A', (char)c, '=', '=' }, two[4] = { 'A', 'A', (char)c, '=' };
		wrong += base64_decode(out, sizeof out, one, sizeof one) != (digit && v % 16 == 0 ? 1 : -1);
		wrong += base64_decode(out, sizeof out, two, sizeof two) != (digit && v % 4 == 0 ? 2 : c == '=' ? 1 : -1);
	}
	check_number(wrong, 0, "an octet that was read wrongly");
}

static void test_plain(void)
{
	static const struct { const char *msg; size_t n; const char *user, *password; } rows[] = {
		{ BYTES("\0alice\0secret"), "alice", "secret" }, { BYTES("alice\0alice\0secret"), "alice", "secret" }, { BYTES("\0a\0b"), "a", "b" },
		{ BYTES("\0\xc3\xa9\0p\xc3\xa4ss"), "\xc3\xa9", "p\xc3\xa4ss" }, { BYTES("\0a b\0c d"), "a b", "c d" }, { BYTES("\0a\0\t"), "a", "\t" },
		{ BYTES(""), NULL, NULL }, { BYTES("\0"), NULL, NULL }, { BYTES("\0alice"), NULL, NULL }, { BYTES("\0alice\0"), NULL, NULL }, { BYTES("\0\0secret"), NULL, NULL },
		{ BYTES("bob\0alice\0secret"), NULL, NULL }, { BYTES("Alice\0alice\0secret"), NULL, NULL }, { BYTES("\0alice\0sec\0ret"), NULL, NULL }, { BYTES("\0alice\0secret\0"), NULL, NULL },
		{ BYTES("\0al\nice\0secret"), NULL, NULL }, { BYTES("\0al\x7fice\0secret"), NULL, NULL }, { BYTES("\0\xff\0x"), NULL, NULL }, { BYTES("\0x\0\xff"), NULL, NULL },
		{ BYTES("alice"), NULL, NULL }, { BYTES("\0\0"), NULL, NULL }, { BYTES("\0a\0\0"), NULL, NULL }, { BYTES("a\0\0x"), NULL, NULL }, { BYTES("a\0aa\0x"), NULL, NULL }, { BYTES("aa\0a\0x"), NULL, NULL },
		{ BYTES("\0\xc3\0\xa9x"), NULL, NULL }, { BYTES("\0x\0\xed\xa0\x80"), NULL, NULL }, { BYTES("\0\xc2\x85\0x"), "\xc2\x85", "x" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char msg[64] = "";
		const char *user = NULL, *password = NULL;
		memcpy(msg, rows[i].msg, rows[i].n);
		bool got = sasl_plain(msg, rows[i].n, &user, &password), good = got && rows[i].user && strcmp(user, rows[i].user) == 0 && strcmp(password, rows[i].password) == 0;
		check(rows[i].user ? good : !got, "PLAIN %s", show(rows[i].msg, rows[i].n));
	}
	char msg[SASL_PASSWORD_MAX + SASL_NAME_MAX + 16];
	for (int more = 0; more < 4; more++) {
		const char *user, *password;
		size_t name = SASL_NAME_MAX + (size_t)(more & 1), word = SASL_PASSWORD_MAX + (size_t)(more >> 1), n = name + word + 2;
		memset(msg, 'x', sizeof msg);
		msg[0] = msg[name + 1] = msg[n] = '\0';
		check(sasl_plain(msg, n, &user, &password) == (more == 0), "a name of %zu and a password of %zu octets", name, word);
	}
}

static void test_xtext(void)
{
	static const struct { const char *in, *out; } rows[] = {
		{ "", "" }, { "alice@example.org", "alice@example.org" }, { "a+2Bb", "a+b" }, { "a+20b", "a b" }, { "+3D", "=" }, { "\xc3\xa9", "\xc3\xa9" }, { "+C3+A9", "\xc3\xa9" },
		{ "+", NULL }, { "+2", NULL }, { "+2b", NULL }, { "+GG", NULL }, { "a=b", NULL }, { "a b", NULL }, { "+0A", NULL }, { "+00", NULL }, { "+7F", NULL }, { "a\tb", NULL }, { "\x7f", NULL },
		{ "a+", NULL }, { "a+0", NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char s[64];
		strcpy(s, rows[i].in);
		bool got = xtext_decode(s);
		check(rows[i].out ? got && strcmp(s, rows[i].out) == 0 : !got, "xtext \"%s\"", show_text(rows[i].in));
	}
	static const char *const texts[] = { "", "a", "a+b=c d", "caf\xc3\xa9", "~!\"#" };
	for (size_t i = 0; i < COUNT(texts); i++) {
		char s[64];
		check(xtext_encode(s, sizeof s, texts[i]) && xtext_decode(s) && strcmp(s, texts[i]) == 0, "there and back: \"%s\"", show_text(texts[i]));
		size_t n = 0;
		while (!xtext_encode(s, n, texts[i])) n++;
		check(strlen(s) == n - 1, "and it fits exactly");
	}
}

/* Every octet as it is and as +XX.  */
static void test_octets(void)
{
	unsigned wrong = 0;
	for (int c = 1; c < 256; c++) {
		bool control = c < ' ' || c == 0x7f, plain = !control && c != ' ' && c != '+' && c != '=';
		char s[8] = { (char)c };
		wrong += xtext_decode(s) != plain || (plain && (s[0] != (char)c || s[1]));
		snprintf(s, sizeof s, "+%02Xz", (unsigned)c);
		wrong += xtext_decode(s) == control || (!control && (s[0] != (char)c || strcmp(s + 1, "z") != 0));
		snprintf(s, sizeof s, "+%02x", (unsigned)c);
		if (s[1] > '9' || s[2] > '9') wrong += xtext_decode(s);
	}
	check_number(wrong, 0, "an octet that was read wrongly");
}

int main(void)
{
	test_base64();
	test_digits();
	test_plain();
	test_xtext();
	test_octets();
	return done();
}
