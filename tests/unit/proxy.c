/* The PROXY protocol: good headers, each rule broken once, and every beginning of a good one.
 * SPDX-License-Identifier: MIT */
#include "proxy.h"

#include "check.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\x01\x00\x00\x19"          /* 192.0.2.1 to 198.51.100.2 */
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02" "\x01\x00\x00\x19"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07" "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x08" "\x01\x00\x00\x19"
#define ZERO_216 ZERO_54 ZERO_54 ZERO_54 ZERO_54
#define ZERO_54 ZERO_18 ZERO_18 ZERO_18
#define ZERO_18 "\0\0\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0\0"

static const struct row { const char *text; size_t n; const char *peer; } good[] = {
	{ BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 256 25\r\n"), "192.0.2.1" },
	{ BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255" },
	{ BYTES("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0" },
	{ BYTES("PROXY TCP6 2001:db8::1 2001:DB8::2 1 25\r\n"), "2001:db8::1" },
	{ BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 25\r\n"), "192.0.2.1" },
	{ BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ BYTES("PROXY UNKNOWN\r\n"), "" },
	{ BYTES("PROXY UNKNOWN ffff::1 whatever it says 1\r\n"), "" },
	{ BYTES(SIGNATURE "\x21\x11\0\x0c" V4), "192.0.2.1" },
	{ BYTES(SIGNATURE "\x21\x11\0\x10" V4 "\x04\0\x01x"), "192.0.2.1" },
	{ BYTES(SIGNATURE "\x21\x11\0\x0f" V4 "\x04\0\0"), "192.0.2.1" },
	{ BYTES(SIGNATURE "\x21\x21\0\x24" V6), "2001:db8::1" },
	{ BYTES(SIGNATURE "\x21\x21\0\x24" MAPPED), "192.0.2.7" },
	{ BYTES(SIGNATURE "\x20\0\0\0"), "" },
	{ BYTES(SIGNATURE "\x20\x11\0\x0c" V4), "" },
	{ BYTES(SIGNATURE "\x21\0\0\0"), "" },
	{ BYTES(SIGNATURE "\x21\0\0\3abc"), "" },
	{ BYTES(SIGNATURE "\x21\x31\0\xd8" ZERO_216), "" },
};

static const struct { const char *text; size_t n; } bad[] = {
	{ BYTES("EHLO client.example.org\r\n") }, { BYTES("PROXYTCP4 ") }, { BYTES("proxy TCP4 192.0.2.1 192.0.2.2 1 25\r\n") }, { BYTES("\x16\x03\x01") },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r25\r\n") },
	{ BYTES("PROXY  TCP4 192.0.2.1 192.0.2.2 1 25\r\n") }, { BYTES("PROXY TCP4  192.0.2.1 192.0.2.2 1 25\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25 \r\n") },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25 9\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 01 25\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 -1 25\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2x\r\n") },
	{ BYTES("PROXY TCP4 ::1 ::2 1 25\r\n") }, { BYTES("PROXY TCP6 192.0.2.1 192.0.2.2 1 25\r\n") }, { BYTES("PROXY TCP4 192.0.2 192.0.2.2 1 25\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.1 x 1 25\r\n") }, { BYTES("PROXY TCP5 192.0.2.1 192.0.2.2 1 25\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\0\r\n") }, { BYTES("PROXY \r\n") },
	{ BYTES("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n") },
	{ BYTES(SIGNATURE "\x11\x11\0\x0c" V4) }, { BYTES(SIGNATURE "\x22\x11\0\x0c" V4) }, { BYTES(SIGNATURE "\x21\x12\0\x0c" V4) }, { BYTES(SIGNATURE "\x21\x22\0\x24" V6) },
	{ BYTES(SIGNATURE "\x21\x11\0\x0b" V4) }, { BYTES(SIGNATURE "\x21\x21\0\x23" V6) }, { BYTES(SIGNATURE "\x21\x31\0\x0c" V4) }, { BYTES(SIGNATURE "\x21\x41\0\x0c" V4) },
	{ BYTES(SIGNATURE "\x21\x11\0\x0e" V4 "\x04\0") }, { BYTES(SIGNATURE "\x21\x11\0\x0f" V4 "\x04\0\1") }, { BYTES(SIGNATURE "\x21\x11\x0f\xf1" V4) },
	{ BYTES("\r\n\r\n\0\r\nQUIT\r") },
};

static void test_good(const struct row *row)
{
	char text[512];
	struct proxied p;
	memcpy(text, row->text, row->n);
	bool more = true;
	for (size_t n = 0; n < row->n; n++) more &= proxy_parse(text, n, &p) == PROXY_MORE;
	check(more, "each beginning of %s wants more", show(row->text, row->n));
	check(proxy_parse(text, row->n, &p) == PROXY_OK && p.used == row->n && strcmp(p.peer, row->peer) == 0, "%s is from \"%s\"", show(row->text, row->n), row->peer);
	memset(text + row->n, 'x', sizeof text - row->n);
	check(proxy_parse(text, sizeof text, &p) == PROXY_OK && p.used == row->n, "and what is behind it is not looked at");
}

int main(void)
{
	struct proxied p;
	for (size_t i = 0; i < COUNT(good); i++) test_good(&good[i]);
	for (size_t i = 0; i < COUNT(bad); i++) check(proxy_parse(bad[i].text, bad[i].n, &p) == PROXY_BAD, "%s is none", show(bad[i].text, bad[i].n));
	char big[PROXY_MAX + 16];
	memcpy(big, SIGNATURE "\x21\0\x0f\xf0", 16);
	memset(big + 16, 0, sizeof big - 16);
	check(proxy_parse(big, sizeof big, &p) == PROXY_OK && p.used == PROXY_MAX, "the longest header");
	return done();
}
