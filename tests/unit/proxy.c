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
	{ BYTES("PROXY UNKNOWN  \r\n"), "" },
	{ BYTES("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"), "" },        /* 107 octets */
	{ BYTES(SIGNATURE "\x21\x11\0\x0c" V4), "192.0.2.1" },
	{ BYTES(SIGNATURE "\x21\x11\0\x10" V4 "\x04\0\x01x"), "192.0.2.1" },
	{ BYTES(SIGNATURE "\x21\x11\0\x0f" V4 "\x04\0\0"), "192.0.2.1" },
	{ BYTES(SIGNATURE "\x21\x21\0\x24" V6), "2001:db8::1" },
	{ BYTES(SIGNATURE "\x21\x21\0\x24" MAPPED), "192.0.2.7" },
	{ BYTES(SIGNATURE "\x20\0\0\0"), "" },
	{ BYTES(SIGNATURE "\x20\x11\0\x0c" V4), "" },
	{ BYTES(SIGNATURE "\x21\0\0\0"), "" },
	{ BYTES(SIGNATURE "\x21\0\0\3abc"), "" },
	{ BYTES(SIGNATURE "\x20\x12\0\3abc"), "" },
	{ BYTES(SIGNATURE "\x21\x31\0\xd8" ZERO_216), "" },
	/* with a checksum */
	{ BYTES(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\xf8\xf5\xa7\x48"), "192.0.2.1" },
	{ BYTES(SIGNATURE "\x21\x11\0\x1a" V4 "\x04\0\x01x\x03\0\x04\x93\x97\x68\x8a\x04\0\0"), "192.0.2.1" },
	{ BYTES(SIGNATURE "\x21\x21\0\x2b" V6 "\x03\0\x04\x4d\xaa\x4b\x3b"), "2001:db8::1" },
	{ BYTES(SIGNATURE "\x21\x31\0\xdf" ZERO_216 "\x03\0\x04\x40\xe4\xe1\x6f"), "" },
};

static const struct { const char *text; size_t n; } bad[] = {
	{ BYTES("EHLO client.example.org\r\n") }, { BYTES("PROXYTCP4 ") }, { BYTES("proxy TCP4 192.0.2.1 192.0.2.2 1 25\r\n") }, { BYTES("\x16\x03\x01") },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r25\r\n") },
	{ BYTES("PROXY  TCP4 192.0.2.1 192.0.2.2 1 25\r\n") }, { BYTES("PROXY TCP4  192.0.2.1 192.0.2.2 1 25\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25 \r\n") },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25 9\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 01 25\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 -1 25\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2x\r\n") },
	{ BYTES("PROXY TCP4 ::1 ::2 1 25\r\n") }, { BYTES("PROXY TCP6 192.0.2.1 192.0.2.2 1 25\r\n") }, { BYTES("PROXY TCP4 192.0.2 192.0.2.2 1 25\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.1 x 1 25\r\n") }, { BYTES("PROXY TCP5 192.0.2.1 192.0.2.2 1 25\r\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\0\r\n") }, { BYTES("PROXY \r\n") },
	{ BYTES("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n") },
	{ BYTES(SIGNATURE "\x11\x11\0\x0c" V4) }, { BYTES(SIGNATURE "\x22\x11\0\x0c" V4) }, { BYTES(SIGNATURE "\x21\x12\0\x0c" V4) }, { BYTES(SIGNATURE "\x21\x22\0\x24" V6) },
	{ BYTES(SIGNATURE "\x21\x11\0\x0b" V4) }, { BYTES(SIGNATURE "\x21\x21\0\x23" V6) }, { BYTES(SIGNATURE "\x21\x31\0\x0c" V4) }, { BYTES(SIGNATURE "\x21\x41\0\x0c" V4) },
	{ BYTES(SIGNATURE "\x21\x11\0\x0e" V4 "\x04\0") }, { BYTES(SIGNATURE "\x21\x11\0\x0f" V4 "\x04\0\1") }, { BYTES(SIGNATURE "\x21\x11\x0f\xf1" V4) },
	{ BYTES("\r\n\r\n\0\r\nQUIT\r") },
	{ BYTES(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\xf8\xf5\xa7\x49") }, { BYTES(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\x48\xa7\xf5\xf8") },
	{ BYTES(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\0\0\0\0") },
	{ BYTES(SIGNATURE "\x21\x11\0\x12" V4 "\x03\0\x03\0\0\0") }, { BYTES(SIGNATURE "\x21\x11\0\x0f" V4 "\x03\0\0") },
	{ BYTES(SIGNATURE "\x21\x11\0\x1a" V4 "\x03\0\x04\xf8\xf5\xa7\x48\x03\0\x04\xf8\xf5\xa7\x48") },
};

/* It is the last octet that ends all hope.  */
static const struct { const char *text; size_t n; } hopeless[] = {
	{ BYTES("E") }, { BYTES("PROXYT") }, { BYTES("PROXY  ") }, { BYTES("PROXY X") }, { BYTES("PROXY TCP5") }, { BYTES("PROXY TCP ") }, { BYTES("PROXY TCP44") }, { BYTES("PROXY UNKNOWNS") },
	{ BYTES("PROXY\r") }, { BYTES("PROXY \r") }, { BYTES("PROXY \n") }, { BYTES("PROXY TCP4\r") }, { BYTES("PROXY TCP4  ") }, { BYTES("PROXY TCP4 a") }, { BYTES("PROXY TCP4 :") }, { BYTES("PROXY TCP6 g") },
	{ BYTES("PROXY TCP6 1 ") }, { BYTES("PROXY TCP4 1.2.3 ") }, { BYTES("PROXY TCP4 256.1.1.1 ") }, { BYTES("PROXY TCP4 192.168.100.1000") }, { BYTES("PROXY TCP4 01.1.1.1 ") },
	{ BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555") }, { BYTES("PROXY TCP4 192.0.2.1\r") }, { BYTES("PROXY TCP4 192.0.2.1 \r") },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.2  ") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 x") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 +") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 00") },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 65536") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25 ") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 \r") },
	{ BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 655350") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\n") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\0") }, { BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\r") },
	{ BYTES("PROXY UNKNOWN \n") }, { BYTES("PROXY UNKNOWN \0") }, { BYTES("PROXY UNKNOWN \rx") },
	{ BYTES("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") },     /* no room for CRLF in 107 */
	{ BYTES("\r\r") }, { BYTES("\r\n\r\n\1") }, { BYTES(SIGNATURE "\x11") }, { BYTES(SIGNATURE "\x31") }, { BYTES(SIGNATURE "\x22") }, { BYTES(SIGNATURE "\x2f") },
	{ BYTES(SIGNATURE "\x21\x01") }, { BYTES(SIGNATURE "\x21\x10") }, { BYTES(SIGNATURE "\x21\x12") }, { BYTES(SIGNATURE "\x21\x22") }, { BYTES(SIGNATURE "\x21\x32") }, { BYTES(SIGNATURE "\x21\x41") },
	{ BYTES(SIGNATURE "\x21\x11\x10") }, { BYTES(SIGNATURE "\x20\0\xff") }, { BYTES(SIGNATURE "\x20\0\x0f\xf1") }, { BYTES(SIGNATURE "\x21\x11\0\x0b") }, { BYTES(SIGNATURE "\x21\x21\0\x23") },
	{ BYTES(SIGNATURE "\x21\x31\0\xd7") }, { BYTES(SIGNATURE "\x21\x11\0\x0d") }, { BYTES(SIGNATURE "\x21\x11\0\x0e") },
	{ BYTES(SIGNATURE "\x21\x11\0\x0f" V4 "\x04\0\1") }, { BYTES(SIGNATURE "\x21\x11\0\x14" V4 "\x04\0\2xx\x04\0\1") }, { BYTES(SIGNATURE "\x21\x11\0\x14" V4 "\x04\0\3") },
	{ BYTES(SIGNATURE "\x21\x11\0\x20" V4 "\x03\0\x05") }, { BYTES(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\xf8\xf5\xa7\x47") },
};

/* Of n octets that end where the memory does.  */
static enum proxy_result parse(const char *text, size_t n, struct proxied *p)
{
	char *copy = exactly(text, n);
	enum proxy_result got = proxy_parse(copy, n, p);
	free(copy);
	return got;
}

static void test_good(const struct row *row)
{
	char text[512];
	struct proxied p;
	memcpy(text, row->text, row->n);
	bool more = true;
	for (size_t n = 0; n < row->n; n++) more &= parse(text, n, &p) == PROXY_MORE;
	check(more, "each beginning of %s wants more", show(row->text, row->n));
	check(parse(text, row->n, &p) == PROXY_OK && p.used == row->n && strcmp(p.peer, row->peer) == 0, "%s is from \"%s\"", show(row->text, row->n), row->peer);
	for (int fill = 0; fill < 256; fill += 51) {
		memset(text + row->n, fill, sizeof text - row->n);
		check(parse(text, sizeof text, &p) == PROXY_OK && p.used == row->n && strcmp(p.peer, row->peer) == 0, "and what is behind it is not looked at");
	}
}

/* A bit that changes anywhere in a header with a checksum is seen, but for those that make another kind of addition of the checksum.  */
static void test_checksum(void)
{
	static const char sound[] = SIGNATURE "\x21\x11\0\x1a" V4 "\x04\0\x01x\x03\0\x04\x93\x97\x68\x8a\x04\0\0";
	enum { KIND = 16 + 12 + 4 };
	struct proxied p;
	unsigned taken = 0;
	char text[sizeof sound];
	for (size_t bit = 8 * 16; bit < 8 * (sizeof sound - 1); bit++) {
		memcpy(text, sound, sizeof text);
		text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
		if (bit / 8 != KIND) taken += parse(text, sizeof sound - 1, &p) == PROXY_OK;
	}
	check_number(taken, 0, "a bit that changed");
}

int main(void)
{
	struct proxied p;
	for (size_t i = 0; i < COUNT(good); i++) test_good(&good[i]);
	for (size_t i = 0; i < COUNT(bad); i++) check(parse(bad[i].text, bad[i].n, &p) == PROXY_BAD, "%s is none", show(bad[i].text, bad[i].n));
	for (size_t i = 0; i < COUNT(hopeless); i++) {
		bool before = parse(hopeless[i].text, hopeless[i].n - 1, &p) == PROXY_MORE;
		check(before && parse(hopeless[i].text, hopeless[i].n, &p) == PROXY_BAD, "%s cannot become one, but could before", show(hopeless[i].text, hopeless[i].n));
	}
	test_checksum();
	char big[PROXY_MAX + 16];
	memcpy(big, SIGNATURE "\x21\0\x0f\xf0", 16);
	memset(big + 16, 0, sizeof big - 16);
	check(proxy_parse(big, sizeof big, &p) == PROXY_OK && p.used == PROXY_MAX, "the longest header");
	check(proxy_parse(big, PROXY_MAX - 1, &p) == PROXY_MORE, "and all of it is waited for");
	return done();
}
