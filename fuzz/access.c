/* What tells who a client is: the header of a proxy, XCLIENT, the messages of SASL, xtext.  Each against rules of its own.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <ctype.h>

#include "fuzz.h"
#include "proxy.h"
#include "sasl.h"
#include "xclient.h"
#include "xtext.h"

/* As exactly(), with a NUL behind it.  */
static char *terminated(const char *s, size_t n)
{
	char *p = malloc(n + 1);
	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

static bool is_address(const char *s)
{
	unsigned char a[16];
	return inet_pton(AF_INET, s, a) == 1 || (inet_pton(AF_INET6, s, a) == 1 && strncmp(s, "::ffff:", 7) != 0);
}

static bool printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f) return false;
	return true;
}

/* Every beginning of a header wants more; what is behind it does not matter.  */
static void try_proxy(void)
{
	struct proxied p, q;
	char *text = exactly(fuzz.text, fuzz.n);
	enum proxy_result got = proxy_parse(text, fuzz.n, &p);
	free(text);
	if (got == PROXY_BAD) return;
	size_t used = got == PROXY_OK ? p.used : fuzz.n + 1, n = used > 0 ? dice((unsigned)(used > fuzz.n ? fuzz.n + 1 : used)) : 0;
	EXPECT(got == PROXY_MORE || (p.used > 0 && p.used <= fuzz.n && p.used <= PROXY_MAX && (!*p.peer || is_address(p.peer))));
	EXPECT(got == PROXY_OK || fuzz.n < PROXY_MAX);
	text = exactly(fuzz.text, n);
	EXPECT(proxy_parse(text, n, &q) == PROXY_MORE);
	free(text);
	if (got != PROXY_OK) return;
	text = exactly(fuzz.text, p.used);
	EXPECT(proxy_parse(text, p.used, &q) == PROXY_OK && q.used == p.used && strcmp(p.peer, q.peer) == 0);
	free(text);
}

static void try_xclient(void)
{
	struct xclient x;
	char *text = terminated(fuzz.text, fuzz.n);
	if (strlen(text) == fuzz.n && xclient_parse(text, &x)) {
		EXPECT(!*x.addr || is_address(x.addr));
		EXPECT(!*x.helo || hello_valid(x.helo));
		EXPECT(!*x.login || (printable(x.login) && utf8_valid(x.login)));
	}
	free(text);
}

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

static void try_sasl(void)
{
	static char clear[FUZZ_TEXT], again[FUZZ_TEXT * 2];
	const char *user, *password;
	ssize_t n = base64_decode(clear, sizeof clear, fuzz.text, fuzz.n);
	if (n >= 0) {
		encode((unsigned char *)clear, (size_t)n, again);
		EXPECT(strlen(again) == fuzz.n && memcmp(again, fuzz.text, fuzz.n) == 0);
	}
	encode((unsigned char *)fuzz.text, fuzz.n, again);
	EXPECT(base64_valid(again) && base64_decode(clear, sizeof clear, again, strlen(again)) == (ssize_t)fuzz.n && memcmp(clear, fuzz.text, fuzz.n) == 0);
	char *text = terminated(fuzz.text, fuzz.n);
	if (sasl_plain(text, fuzz.n, &user, &password)) {
		EXPECT(user > text && *user && printable(user) && strlen(user) <= SASL_NAME_MAX && password == user + strlen(user) + 1 && *password);
		EXPECT(password + strlen(password) == text + fuzz.n && (!*text || strcmp(text, user) == 0));
	}
	free(text);
}

static void try_xtext(void)
{
	char *text = terminated(fuzz.text, fuzz.n), again[1024], copy[1024];
	if (strlen(text) < 300 && xtext_decode(text)) {
		EXPECT(printable(text) && strlen(text) <= fuzz.n);
		EXPECT(xtext_encode(again, sizeof again, text));
		strcpy(copy, again);
		EXPECT(xtext_decode(copy) && strcmp(copy, text) == 0);
		size_t room = dice((unsigned)strlen(again) + 1);
		char *small = malloc(room + 1);
		EXPECT(!xtext_encode(small, room, text));
		free(small);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(void) = { try_proxy, try_xclient, try_sasl, try_xtext };
	fuzz_take(data, size, 8192);
	for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) tries[i]();
	return 0;
}
