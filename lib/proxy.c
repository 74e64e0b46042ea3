/* SPDX-License-Identifier: MIT */
#include "proxy.h"

#include <arpa/inet.h>
#include <string.h>

#include "address.h"

enum { V1_MAX = 107, V2_HEAD = 16, SIGNATURE = 12 };

/* --- version 1: "PROXY TCP4 SOURCE DESTINATION PORT PORT CRLF" --- */

/* The next word, parted by single blanks.  */
static char *next(char **s)
{
	char *word = *s;
	size_t n = strcspn(word, " ");
	*s = word[n] ? word + n + 1 : word + n;
	word[n] = '\0';
	return word;
}

static bool port(const char *s)
{
	unsigned long long n;
	return (s[0] != '0' || !s[1]) && number_parse(s, &n) && n <= 65535;
}

static bool take_v1(char *line, char peer[PEER_SIZE])
{
	unsigned char a[16], b[16];
	next(&line);            /* "PROXY" */
	const char *protocol = next(&line);
	*peer = '\0';
	if (strcmp(protocol, "UNKNOWN") == 0) return true;      /* whatever follows */
	int family = strcmp(protocol, "TCP4") == 0 ? AF_INET : strcmp(protocol, "TCP6") == 0 ? AF_INET6 : AF_UNSPEC;
	const char *from = next(&line), *to = next(&line), *from_port = next(&line), *to_port = next(&line);
	if (family == AF_UNSPEC || *line || inet_pton(family, from, a) != 1 || inet_pton(family, to, b) != 1 || !port(from_port) || !port(to_port)) return false;
	return peer_parse(peer, from);
}

static enum proxy_result version_1(const char *buf, size_t n, struct proxied *p)
{
	char line[V1_MAX + 1];
	size_t most = n < V1_MAX ? n : V1_MAX;
	const char *lf = memchr(buf, '\n', most);
	if (!lf) return n >= V1_MAX || memchr(buf, '\0', n) ? PROXY_BAD : PROXY_MORE;
	size_t length = (size_t)(lf - buf);
	memcpy(line, buf, length);
	if (length == 0 || line[length - 1] != '\r' || memchr(line, '\0', length)) return PROXY_BAD;
	line[length - 1] = '\0';
	p->used = length + 1;
	return line[strcspn(line, "\r")] == '\0' && line[length - 2] != ' ' && take_v1(line, p->peer) ? PROXY_OK : PROXY_BAD;
}

/* --- version 2: binary --- */

static size_t number(const unsigned char *s) { return (size_t)s[0] << 8 | s[1]; }

/* What a proxy adds: each a type, a length, and so many octets.  They must fill the header; what they say is of no use here.  */
static bool additions(const unsigned char *s, size_t n)
{
	enum { HEAD = 3 };
	while (n >= HEAD) {
		size_t length = HEAD + number(s + 1);
		if (length > n) return false;
		s += length;
		n -= length;
	}
	return n == 0;
}

static bool take_addresses(unsigned family, const unsigned char *s, size_t n, char peer[PEER_SIZE])
{
	enum { UNSPEC = 0x00, TCP4 = 0x11, TCP6 = 0x21, UNIX = 0x31 };
	char text[PEER_SIZE];
	size_t size = family == TCP4 ? 12 : family == TCP6 ? 36 : family == UNIX ? 216 : 0;
	if ((family != UNSPEC && size == 0) || n < size) return false;
	if (family == UNSPEC) return true;              /* "must ignore" what there is */
	if (!additions(s + size, n - size)) return false;
	if (family == UNIX) return true;
	return inet_ntop(family == TCP4 ? AF_INET : AF_INET6, s, text, sizeof text) && peer_parse(peer, text);
}

static enum proxy_result version_2(const char *buf, size_t n, struct proxied *p)
{
	enum { LOCAL = 0x20, PROXY = 0x21 };
	const unsigned char *s = (const unsigned char *)buf;
	if (n > SIGNATURE && s[12] != LOCAL && s[12] != PROXY) return PROXY_BAD;
	if (n < V2_HEAD) return PROXY_MORE;
	size_t length = number(s + 14);
	if (V2_HEAD + length > PROXY_MAX) return PROXY_BAD;
	if (n < V2_HEAD + length) return PROXY_MORE;
	p->used = V2_HEAD + length;
	return s[12] == LOCAL || take_addresses(s[13], s + V2_HEAD, length, p->peer) ? PROXY_OK : PROXY_BAD;
}

enum proxy_result proxy_parse(const char *buf, size_t n, struct proxied *p)
{
	static const char name[] = "PROXY ", signature[SIGNATURE + 1] = "\r\n\r\n\0\r\nQUIT\n";
	size_t front = sizeof name - 1;
	*p = (struct proxied){ .used = 0 };
	if (memcmp(buf, name, n < front ? n : front) == 0) return n < front ? PROXY_MORE : version_1(buf, n, p);
	if (memcmp(buf, signature, n < SIGNATURE ? n : SIGNATURE) != 0) return PROXY_BAD;
	return n < SIGNATURE ? PROXY_MORE : version_2(buf, n, p);
}
