/* SPDX-License-Identifier: MIT */
#include "proxy.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "address.h"

enum { V1_MAX = 107, V2_HEAD = 16, SIGNATURE = 12 };

/* --- version 1: "PROXY TCP4 SOURCE DESTINATION PORT PORT CRLF" --- */

enum word { PROTOCOL, FROM, TO, FROM_PORT, TO_PORT, WORDS };

static bool port(const char *s)
{
	unsigned long long n;
	return (s[0] != '0' || !s[1]) && number_parse(s, &n) && n <= 65535;
}

/* Whether a word, to which nothing can be added, is good.  */
static bool is_word(enum word i, int family, const char *s)
{
	unsigned char a[16];
	return i >= FROM_PORT ? port(s) : i == PROTOCOL ? family != AF_UNSPEC : inet_pton(family, s, a) == 1;
}

/* Whether a word may become good by what has not come yet; of an address only its characters and length are looked at.  */
static bool begins_word(enum word i, int family, const char *s)
{
	size_t n = strlen(s), most = family == AF_INET ? INET_ADDRSTRLEN : INET6_ADDRSTRLEN;
	if (i >= FROM_PORT) return n == 0 || port(s);
	if (i == PROTOCOL) return strncmp("TCP4", s, n) == 0 || strncmp("TCP6", s, n) == 0 || strncmp("UNKNOWN", s, n) == 0;
	return n < most && strspn(s, family == AF_INET ? "0123456789." : "0123456789abcdefABCDEF:.") == n;
}

/* What stands behind "PROXY ", up to the CR if that has come: `whole`.  */
static bool take_v1(char *s, bool whole, char peer[PEER_SIZE])
{
	const char *from = s;
	int family = AF_UNSPEC;
	for (enum word i = PROTOCOL; i < WORDS; i++) {
		char *word = s;
		size_t n = strcspn(s, " ");
		bool blank = s[n];
		s[n] = '\0';
		s += n + blank;
		if (i == PROTOCOL) family = strcmp(word, "TCP4") == 0 ? AF_INET : strcmp(word, "TCP6") == 0 ? AF_INET6 : AF_UNSPEC;
		if (i == PROTOCOL && (blank || whole) && strcmp(word, "UNKNOWN") == 0) return true;     /* whatever follows */
		if (!(blank || whole ? is_word(i, family, word) : begins_word(i, family, word))) return false;
		if (i == TO_PORT && blank) return false;
		if (i < TO_PORT && !blank) return !whole;
		if (i == FROM) from = word;
	}
	return !whole || peer_parse(peer, from);
}

static enum proxy_result version_1(const char *buf, size_t n, size_t front, struct proxied *p)
{
	char line[V1_MAX + 1];
	size_t most = n < V1_MAX ? n : V1_MAX, length = 0;
	while (length < most && buf[length] && buf[length] != '\r' && buf[length] != '\n') length++;
	bool whole = length < most, ended = length + 1 < most;
	if (length + 2 > V1_MAX || (whole && buf[length] != '\r') || (ended && buf[length + 1] != '\n')) return PROXY_BAD;
	memcpy(line, buf, length);
	line[length] = '\0';
	if (!take_v1(line + front, whole, p->peer)) return PROXY_BAD;
	if (!ended) return PROXY_MORE;
	p->used = length + 2;
	return PROXY_OK;
}

/* --- version 2: binary --- */

enum { UNSPEC = 0x00, TCP4 = 0x11, TCP6 = 0x21, UNIX = 0x31 };

static size_t number(const unsigned char *s) { return (size_t)s[0] << 8 | s[1]; }

/* The octets of two addresses and ports; -1 for a family that is none, or not of streams.  */
static int addresses(unsigned family) { return family == UNSPEC ? 0 : family == TCP4 ? 12 : family == TCP6 ? 36 : family == UNIX ? 216 : -1; }

/* CRC32C of s[0..n), where the four octets at `sum` count as zeros.  Bit by bit: a table would cost more memory than this costs time, once in a connection.  */
static uint32_t crc32c(const unsigned char *s, size_t n, size_t sum)
{
	uint32_t crc = 0xffffffff;
	for (size_t i = 0; i < n; i++) {
		crc ^= i >= sum && i < sum + 4 ? 0 : s[i];
		for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

/* What a proxy adds behind s[at]: each a type, a length, and so many octets.  They must fill the header of `total` octets, of which n are there.  What they say is of no use
 * here, but a checksum over the header must be right.  */
static bool additions(const unsigned char *s, size_t n, size_t at, size_t total)
{
	enum { HEAD = 3, CRC32C = 0x03 };
	size_t sum = 0;
	while (at < total) {
		if (total - at < HEAD) return false;
		if (n < at + HEAD) return true;
		size_t length = number(s + at + 1);
		if (length > total - at - HEAD) return false;
		if (s[at] == CRC32C && (length != 4 || sum > 0)) return false;
		if (s[at] == CRC32C) sum = at + HEAD;
		at += HEAD + length;
	}
	return sum == 0 || n < total || crc32c(s, total, sum) == (uint32_t)(number(s + sum) << 16 | number(s + sum + 2));
}

static enum proxy_result version_2(const char *buf, size_t n, struct proxied *p)
{
	enum { LOCAL = 0x20, PROXY = 0x21 };
	char text[PEER_SIZE];
	const unsigned char *s = (const unsigned char *)buf;
	if (n > 12 && s[12] != LOCAL && s[12] != PROXY) return PROXY_BAD;
	bool speaks = n > 13 && s[12] == PROXY && s[13] != UNSPEC;     /* else what there is "must be ignored" */
	int size = speaks ? addresses(s[13]) : 0;
	if (size < 0 || (n > 14 && V2_HEAD + ((size_t)s[14] << 8) > PROXY_MAX)) return PROXY_BAD;
	if (n < V2_HEAD) return PROXY_MORE;
	size_t total = V2_HEAD + number(s + 14), front = V2_HEAD + (size_t)size;
	if (total > PROXY_MAX || total < front || (speaks && !additions(s, n, front, total))) return PROXY_BAD;
	if (n < total) return PROXY_MORE;
	p->used = total;
	if (!speaks || s[13] == UNIX) return PROXY_OK;
	return inet_ntop(s[13] == TCP4 ? AF_INET : AF_INET6, s + V2_HEAD, text, sizeof text) && peer_parse(p->peer, text) ? PROXY_OK : PROXY_BAD;
}

enum proxy_result proxy_parse(const char *buf, size_t n, struct proxied *p)
{
	static const char name[] = "PROXY ", signature[SIGNATURE + 1] = "\r\n\r\n\0\r\nQUIT\n";
	size_t front = sizeof name - 1;
	*p = (struct proxied){ .used = 0 };
	if (memcmp(buf, name, n < front ? n : front) == 0) return n < front ? PROXY_MORE : version_1(buf, n, front, p);
	if (memcmp(buf, signature, n < SIGNATURE ? n : SIGNATURE) != 0) return PROXY_BAD;
	return n < SIGNATURE ? PROXY_MORE : version_2(buf, n, p);
}
