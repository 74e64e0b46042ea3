/* What tells who a client is: the header of a proxy, XCLIENT, the messages of SASL, xtext, lists of networks.  Each against a model of its own, which reads the whole at
 * leisure; what the models share with the program is UTF-8 and inet_pton.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <ctype.h>
#include <regex.h>

#include "address.h"
#include "fuzz.h"
#include "network.h"
#include "proxy.h"
#include "sasl.h"
#include "xclient.h"
#include "xtext.h"

#define PORT "(0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
static regex_t v1_re, xtext_re, attribute_re, hello_re, digits_re;

static void compile(regex_t *re, const char *text, int flags) { EXPECT(regcomp(re, text, REG_EXTENDED | flags) == 0); }
static bool matches(const regex_t *re, const char *s) { return regexec(re, s, 0, NULL, 0) == 0; }

/* As exactly(), with a NUL behind it.  */
static char *terminated(const char *s, size_t n)
{
	char *p = malloc(n + 1);
	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

static bool printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f) return false;
	return true;
}

static bool is_name(const char *s) { return *s && strlen(s) <= 255 && printable(s) && utf8_valid(s); }

/* 16 octets of an address as the program writes it.  */
static void write_address(const unsigned char a[16], char *out)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (memcmp(a, mapped, sizeof mapped) != 0) inet_ntop(AF_INET6, a, out, PEER_SIZE);
	else sprintf(out, "%d.%d.%d.%d", a[12], a[13], a[14], a[15]);
}

/* An address of the family, or either for AF_UNSPEC, as 16 octets; how many bits of them are not in the text, -1 for none.  */
static int read_address(int family, const char *s, unsigned char a[16])
{
	memset(a, 0, 16);
	if (family != AF_INET && inet_pton(AF_INET6, s, a) == 1) return 0;
	memset(a, 0, 10);
	a[10] = a[11] = 0xff;
	return family != AF_INET6 && inet_pton(AF_INET, s, a + 12) == 1 ? 96 : -1;
}

/* --- the header of a proxy --- */

static bool model_v1(const char *s, size_t n, struct proxied *p)
{
	const char *end = memmem(s, n, "\r\n", 2);
	char line[108], from[108], to[108];
	unsigned char a[16], b[16];
	if (!end || end - s > 105) return false;
	sprintf(line, "%.*s", (int)(end - s), s);
	p->used = (size_t)(end - s) + 2;
	if (strlen(line) != p->used - 2 || !matches(&v1_re, line)) return false;
	if (strncmp(line + 6, "UNKNOWN", 7) == 0) return true;
	sscanf(line + 11, "%s %s", from, to);
	int family = line[9] == '4' ? AF_INET : AF_INET6;
	if (read_address(family, from, a) < 0 || read_address(family, to, b) < 0) return false;
	write_address(a, p->peer);
	return true;
}

static uint32_t crc32c(const unsigned char *s, size_t n)
{
	static uint32_t table[256];
	for (uint32_t i = 0; i < 256 && !table[255]; i++) {
		uint32_t v = i;
		for (int bit = 0; bit < 8; bit++) v = v & 1 ? v >> 1 ^ 0x82f63b78U : v >> 1;
		table[i] = v;
	}
	uint32_t crc = ~0U;
	while (n-- > 0) crc = crc >> 8 ^ table[(crc ^ *s++) & 0xff];
	return ~crc;
}

/* What is behind the addresses, in a copy of the header that may be written to.  With `mend` the checksum is made right.  */
static bool model_additions(unsigned char *head, size_t n, size_t at, bool mend)
{
	unsigned char *sum = NULL, said[4];
	for (; n - at >= 3; at += 3U + (head[at + 1] * 256U + head[at + 2])) {
		if (head[at + 1] * 256U + head[at + 2] > n - at - 3) return false;
		if (head[at] != 3) continue;
		if (sum || head[at + 1] != 0 || head[at + 2] != 4) return false;
		sum = head + at + 3;
	}
	if (at != n || !sum) return at == n;
	memcpy(said, sum, 4);
	memset(sum, 0, 4);
	uint32_t crc = crc32c(head, n);
	bool right = said[0] == crc >> 24 && said[1] == (crc >> 16 & 0xff) && said[2] == (crc >> 8 & 0xff) && said[3] == (crc & 0xff);
	for (int i = 0; i < 4; i++) sum[i] = mend ? (unsigned char)(crc >> (24 - 8 * i)) : said[i];
	return right || mend;
}

static bool model_v2(const unsigned char *s, size_t n, struct proxied *p)
{
	static const unsigned char signature[] = { 13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10 };
	unsigned char head[4096], a[16];
	if (n < 16 || memcmp(s, signature, 12) != 0 || (p->used = 16 + s[14] * 256U + s[15]) > n || p->used > 4096) return false;
	memcpy(head, s, p->used);
	if (head[12] == 0x20) return true;
	if (head[12] != 0x21 || (head[13] != 0 && head[13] != 0x11 && head[13] != 0x21 && head[13] != 0x31)) return false;
	if (head[13] == 0) return true;
	size_t front = 16 + (head[13] == 0x11 ? 12 : head[13] == 0x21 ? 36 : 216);
	if (front > p->used || !model_additions(head, p->used, front, false)) return false;
	if (head[13] == 0x11) sprintf(p->peer, "%d.%d.%d.%d", head[16], head[17], head[18], head[19]);
	memcpy(a, head + 16, 16);
	if (head[13] == 0x21) write_address(a, p->peer);
	return true;
}

static enum proxy_result parse(const char *s, size_t n, struct proxied *p)
{
	char *copy = exactly(s, n);
	enum proxy_result got = proxy_parse(copy, n, p);
	free(copy);
	return got;
}

/* What wants more can become a header of version 1.  An address that was begun may be hopeless all the same.  */
static bool completed_v1(const char *s, size_t n)
{
	static const char *const ends[] = { "", "\n", "\r\n", "0", "1", ".1", "1.1", ".1.1", "1.1.1", ".1.1.1", "1.1.1.1", "::", ":", ":1", "::1", "1::" },
		*const rests[] = { "", " 1.1.1.1 1 1\r\n", " ::1 1 1\r\n", " 1 1\r\n", " 1\r\n", "\r\n" };
	static const char *const fronts[] = { "PROXY UNKNOWN\r\n", "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "PROXY TCP6 ::1 ::1 1 1\r\n" };
	char text[300];
	struct proxied p;
	for (size_t i = 0; i < 3; i++)
		if (n < strlen(fronts[i]) && memcmp(s, fronts[i], n) == 0) return true;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		for (size_t k = 0; k < sizeof rests / sizeof *rests; k++) {
			size_t length = (size_t)sprintf(text, "%.*s%s%s", (int)n, s, ends[i], rests[k]);
			if (length > n && model_v1(text, length, &p)) return true;
		}
	unsigned blanks = 0;
	for (size_t i = 0; i < n; i++) blanks += s[i] == ' ';
	return blanks == 2 || blanks == 3 || (blanks > 3 && n > 100);   /* or there is no room left for it behind two long ones */
}

/* Version 2: additions of the type 4, as long as there is room for.  */
static void complete_v2(const char *s, size_t n)
{
	static const unsigned char front[] = { 13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10, 0x21, 0x11, 0, 12 };
	unsigned char head[PROXY_MAX + 1] = { 0 };
	struct proxied p;
	memcpy(head, front, sizeof front);
	memcpy(head, s, n);
	if (n > 13 && n < 16 && (head[13] == 0x21 || head[13] == 0x31) && head[12] == 0x21) head[15] = head[14] ? 0 : 0xff;
	if (n == 13 && head[12] == 0x20) head[13] = 0;
	size_t total = 16 + head[14] * 256U + head[15], at = 16 + (head[13] == 0x11 ? 12 : head[13] == 0x21 ? 36 : head[13] == 0x31 ? 216 : 0);
	EXPECT(total > n && total <= PROXY_MAX);
	bool speaks = head[12] == 0x21 && head[13] != 0, sum = false;
	while (speaks && at < total) {
		EXPECT(total - at >= 3);
		if (at >= n) head[at] = 4;
		sum |= at < n && head[at] == 3;
		size_t room = total - at - 3;
		if (at + 1 >= n) head[at + 1] = head[at] == 3 ? 0 : (unsigned char)(room >> 8);
		if (at + 2 >= n) head[at + 2] = head[at] == 3 ? 4 : at + 1 < n && head[at + 1] < room >> 8 ? 0 : (unsigned char)room;
		size_t length = head[at + 1] * 256U + head[at + 2];
		if (at + 2 >= n && (length > room || (room - length > 0 && room - length < 3))) return;    /* of two octets that are to come, no length may fit: not looked into */
		at += 3 + length;
	}
	if (sum) return;        /* its octets may be there already, and those that could make it right too */
	EXPECT(parse((char *)head, total, &p) == PROXY_OK && p.used == total);
}

static void try_proxy(void)
{
	struct proxied p, q, want = { 0 };
	size_t n = fuzz.n < 4200 ? fuzz.n : 4200, most = n < 300 ? n : 300, first_bad = SIZE_MAX, ok_at = SIZE_MAX;
	enum proxy_result got = parse(fuzz.text, n, &p);
	bool good = model_v1(fuzz.text, n, &want) || model_v2((unsigned char *)fuzz.text, n, memset(&want, 0, sizeof want));
	EXPECT((got == PROXY_OK) == good);
	if (good) EXPECT(p.used == want.used && strcmp(p.peer, want.peer) == 0);
	for (size_t k = 0; k <= most; k++) {
		enum proxy_result r = parse(fuzz.text, k, &q);
		if (r == PROXY_BAD && first_bad == SIZE_MAX) first_bad = k;
		if (r == PROXY_OK && ok_at == SIZE_MAX) ok_at = k;
		EXPECT(r == (first_bad <= k ? PROXY_BAD : ok_at <= k ? PROXY_OK : PROXY_MORE));
	}
	EXPECT(first_bad == SIZE_MAX || got == PROXY_BAD);
	if (good) EXPECT(ok_at == (p.used <= most ? p.used : SIZE_MAX) && parse(fuzz.text, p.used - 1, &q) == PROXY_MORE && parse(fuzz.text, p.used, &q) == PROXY_OK);
	if (got != PROXY_MORE) return;
	EXPECT(n < PROXY_MAX && (n == 0 || *fuzz.text != 'P' || n < 107));
	if (n > 0 && *fuzz.text == 'P') EXPECT(completed_v1(fuzz.text, n));
	else complete_v2(fuzz.text, n);
}

/* --- XCLIENT and xtext --- */

/* Decode a copy; false if it is not xtext.  */
static bool model_xtext(const char *s, char *out)
{
	if (!matches(&xtext_re, s)) return false;
	for (; *s; s += *s == '+' ? 3 : 1) {
		unsigned c = (unsigned char)*s;
		if (c == '+') sscanf(s + 1, "%2X", &c);
		if (c < 32 || c == 127) return false;
		*out++ = (char)c;
	}
	*out = '\0';
	return true;
}

static void try_xtext(void)
{
	char *text = terminated(fuzz.text, fuzz.n), *want = terminated(fuzz.text, fuzz.n), again[1024], copy[1024];
	bool good = model_xtext(text, want);
	EXPECT(xtext_decode(text) == good);
	if (good) EXPECT(strcmp(text, want) == 0);
	if (good && strlen(text) < 300) {
		EXPECT(xtext_encode(again, sizeof again, text));
		for (const char *s = again; *s; s++) EXPECT(*s > ' ' && *s < 0x7f && *s != '=' && *s != '<');
		strcpy(copy, again);
		EXPECT(xtext_decode(copy) && strcmp(copy, text) == 0);
		size_t room = dice((unsigned)strlen(again) + 1);
		char *small = malloc(room + 1);
		EXPECT(!xtext_encode(small, room, text));
		free(small);
	}
	free(want);
	free(text);
}

static bool model_addr(const char *value, char *out)
{
	unsigned char a[16];
	bool v6 = strncasecmp(value, "IPV6:", 5) == 0;
	if (*value && read_address(v6 ? AF_INET6 : AF_UNSPEC, value + 5 * v6, a) < 0) return false;
	if (*value) write_address(a, out);
	else *out = '\0';
	return true;
}

/* One "NAME=value".  */
static bool model_attribute(const char *word, struct xclient *x)
{
	char value[8200], forgotten[PEER_SIZE];
	if (!matches(&attribute_re, word) || !model_xtext(strchr(word, '=') + 1, value) || !*value) return false;
	if (strcasecmp(value, "[UNAVAILABLE]") == 0 || strcasecmp(value, "[TEMPUNAVAIL]") == 0) *value = '\0';
	switch (toupper(word[0]) << 8 | toupper(word[4])) {
	case 'A' << 8 | '=':
		x->given_addr = true;
		return model_addr(value, x->addr);
	case 'H' << 8 | '=':
		x->given_helo = true;
		return (!*value || matches(&hello_re, value)) && strlen(value) <= 255 && strcpy(x->helo, value);
	case 'L' << 8 | 'N':
		x->given_login = true;
		return (!*value || is_name(value)) && strcpy(x->login, value);
	case 'P' << 8 | 'O':
		x->given_proto = *value;
		x->esmtp = toupper(*value) == 'E';
		return !*value || strcasecmp(value, "SMTP") == 0 || strcasecmp(value, "ESMTP") == 0;
	case 'P' << 8 | '=':
		return !*value || (matches(&digits_re, value) && strlen(value) <= 20 && strtod(value, NULL) <= 65535);
	case 'D' << 8 | 'A':
		return model_addr(value, forgotten);
	case 'D' << 8 | 'P':
		return !*value || (matches(&digits_re, value) && strlen(value) <= 20 && strtod(value, NULL) <= 65535);
	}
	return true;
}

static void try_xclient(void)
{
	struct xclient x, want = { 0 };
	char *text = terminated(fuzz.text, fuzz.n), *copy = terminated(fuzz.text, fuzz.n);
	bool good = text[strspn(text, " ")] != '\0';
	for (char *word = strtok(copy, " "); word && good; word = strtok(NULL, " ")) good = model_attribute(word, &want);
	EXPECT(xclient_parse(text, &x) == good);
	if (good) EXPECT(x.given_addr == want.given_addr && x.given_helo == want.given_helo && x.given_login == want.given_login && x.given_proto == want.given_proto);
	if (good) EXPECT(x.esmtp == want.esmtp && strcmp(x.addr, want.addr) == 0 && strcmp(x.helo, want.helo) == 0 && strcmp(x.login, want.login) == 0);
	free(copy);
	free(text);
}

/* --- SASL --- */

/* base64 by the book: six bits at a time.  */
static void encode(const unsigned char *in, size_t n, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t bit = 0; bit < 8 * n; bit += 6) {
		unsigned v = 0;
		for (size_t i = bit; i < bit + 6; i++) v = v << 1 | (i < 8 * n ? in[i / 8] >> (7 - i % 8) & 1U : 0);
		*out++ = digits[v];
	}
	while (n % 3 != 0) *out++ = '=', n++;
	*out = '\0';
}

/* What can be decoded is what its octets are encoded as; what is encoded can be decoded, into just enough room.  */
static void try_base64(void)
{
	static char clear[FUZZ_TEXT], again[FUZZ_TEXT * 2];
	ssize_t n = base64_decode(clear, sizeof clear, fuzz.text, fuzz.n);
	if (n >= 0) {
		encode((unsigned char *)clear, (size_t)n, again);
		EXPECT(strlen(again) == fuzz.n && memcmp(again, fuzz.text, fuzz.n) == 0);
	}
	encode((unsigned char *)fuzz.text, fuzz.n, again);
	char *whole = exactly(again, strlen(again)), *room = malloc(fuzz.n + 1);
	EXPECT(base64_valid(again) && base64_decode(room, fuzz.n, whole, strlen(again)) == (ssize_t)fuzz.n && memcmp(room, fuzz.text, fuzz.n) == 0);
	if (fuzz.n > 0) EXPECT(base64_decode(room, fuzz.n - 1, whole, strlen(again)) == -1);
	free(room);
	free(whole);
}

static void try_plain(void)
{
	const char *user, *password;
	char *text = terminated(fuzz.text, fuzz.n), *end = text + fuzz.n;
	char *name = memchr(text, '\0', fuzz.n), *word = name ? memchr(name + 1, '\0', (size_t)(end - name - 1)) : NULL;
	bool good = word && !memchr(word + 1, '\0', (size_t)(end - word - 1)) && is_name(name + 1) && (!*text || strcmp(text, name + 1) == 0);
	good = good && word[1] && end - word - 1 <= 1024 && utf8_valid(word + 1);
	EXPECT(sasl_plain(text, fuzz.n, &user, &password) == good);
	if (good) EXPECT(user == name + 1 && password == word + 1);
	EXPECT(sasl_name_valid(text, fuzz.n) == (is_name(text) && strlen(text) == fuzz.n));
	EXPECT(sasl_password_valid(text, fuzz.n) == (*text && strlen(text) == fuzz.n && fuzz.n <= 1024 && utf8_valid(text)));
	free(text);
}

/* --- networks: the address, a line end, the list --- */

/* Whether a network has the address in it; -1 if it is no network.  */
static int model_network(char *word, const unsigned char *a, int front)
{
	unsigned char b[16];
	char *slash = strchr(word, '/');
	if (slash) *slash = '\0';
	int skip = read_address(AF_UNSPEC, word, b), bits = 128;
	if (skip < 0 || strlen(word) > 45 || (slash && !matches(&digits_re, slash + 1))) return -1;
	if (slash && (strtod(slash + 1, NULL) > 128 - skip)) return -1;
	if (slash) bits = skip + (int)strtod(slash + 1, NULL);
	bool in = front >= 0 && (bits >= 96 || memcmp(a, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) != 0);
	for (int i = 0; i < 128; i++) {
		bool one = b[i / 8] >> (7 - i % 8) & 1;
		if (i >= bits && one) return -1;
		if (i < bits && in) in = one == (a[i / 8] >> (7 - i % 8) & 1);
	}
	return in;
}

static void try_networks(void)
{
	char *address = terminated(fuzz.text, fuzz.n), *list = strchr(address, '\n');
	unsigned char a[16] = { 0 };
	bool valid = true, in = false;
	if (list) {
		*list++ = '\0';
		char *copy = terminated(list, strlen(list));
		int front = read_address(AF_UNSPEC, address, a);
		for (char *word = strtok(copy, " \t,"); word && valid; word = strtok(NULL, " \t,")) {
			if (strlen(word) > 63) valid = false;
			int got = valid ? model_network(word, a, front) : -1;
			valid &= got >= 0;
			in |= got > 0;
		}
		EXPECT(networks_valid(list) == valid);
		if (valid) EXPECT(networks_match(list, address) == in);
		free(copy);
	}
	free(address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(void) = { try_proxy, try_xclient, try_base64, try_plain, try_xtext, try_networks };
	if (!v1_re.re_nsub) {
		compile(&v1_re, "^PROXY (UNKNOWN( [^\r\n]*)?|TCP[46] [0-9a-fA-F:.]+ [0-9a-fA-F:.]+ " PORT " " PORT ")$", 0);
		compile(&xtext_re, "^(\\+[0-9A-F]{2}|[!-*,-<>-~\x80-\xff])*$", 0);
		compile(&attribute_re, "^(ADDR|HELO|LOGIN|PROTO|NAME|PORT|DESTADDR|DESTPORT|REVERSE_NAME)=", REG_ICASE);
		compile(&hello_re, "^[]A-Za-z0-9._:[-]+$", 0);
		compile(&digits_re, "^[0-9]+$", 0);
	}
	fuzz_take(data, size, 8192);
	for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) tries[i]();
	return 0;
}
