/* SPDX-License-Identifier: MIT */
#include "sasl.h"

#include <string.h>

#include "address.h"

static int sextet(char c)
{
	if (c >= 'A' && c <= 'Z') return c - 'A';
	if (c >= 'a' && c <= 'z') return c - 'a' + 26;
	if (c >= '0' && c <= '9') return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four, the `last` perhaps padded: its octets are the upper three of *v, and their number is returned; -1 for none.  */
static int group(const char *in, bool last, unsigned *v)
{
	int padding = !last || in[3] != '=' ? 0 : in[2] == '=' ? 2 : 1;
	*v = 0;
	for (int i = 0; i < 4; i++) {
		int d = i < 4 - padding ? sextet(in[i]) : 0;
		if (d < 0) return -1;
		*v = *v << 6 | (unsigned)d;
	}
	*v <<= 8;
	int octets = 3 - padding;
	return *v & 0xffffffffU >> 8 * octets ? -1 : octets;    /* bits that would be lost */
}

ssize_t base64_decode(char *out, size_t size, const char *in, size_t n)
{
	size_t length = 0;
	unsigned v;
	if (n % 4 != 0) return -1;
	for (size_t i = 0; i < n; i += 4) {
		int octets = group(in + i, i + 4 == n, &v);
		if (octets < 0 || (size_t)octets > size - length) return -1;
		for (int k = 0; k < octets; k++, length++)
			if (out) out[length] = (char)(v >> (24 - 8 * k) & 0xff);
	}
	return (ssize_t)length;
}

bool base64_valid(const char *s)
{
	size_t n = strlen(s);
	return base64_decode(NULL, n, s, n) >= 0;
}

bool sasl_name_valid(const char *s, size_t n)
{
	if (n == 0 || n > SASL_NAME_MAX || strlen(s) != n || !utf8_valid(s)) return false;
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f) return false;
	return true;
}

bool sasl_password_valid(const char *s, size_t n) { return n > 0 && n <= SASL_PASSWORD_MAX && strlen(s) == n && utf8_valid(s); }

bool sasl_plain(char *msg, size_t n, const char **user, const char **password)
{
	size_t authzid = strlen(msg);
	if (authzid >= n) return false;
	*user = msg + authzid + 1;
	size_t name = strlen(*user), before = authzid + 1 + name;
	if (before >= n) return false;
	*password = *user + name + 1;
	if (authzid > 0 && strcmp(msg, *user) != 0) return false;
	return sasl_name_valid(*user, name) && sasl_password_valid(*password, n - before - 1);
}
