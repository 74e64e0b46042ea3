/* SPDX-License-Identifier: MIT */
#include "network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 64, BITS = 128, MAPPED = 96 /* bits before the IPv4 address in a mapped one */ };

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

/* All addresses are IPv6 ones here, IPv4 as mapped ones.  Returns the bits in front that are not the IPv4 address: 0 for IPv6; -1 for no address.  */
static int address(const char *text, unsigned char a[16])
{
	memcpy(a, mapped, sizeof mapped);
	if (inet_pton(AF_INET, text, a + sizeof mapped) == 1) return MAPPED;
	return inet_pton(AF_INET6, text, a) == 1 ? 0 : -1;
}

/* Whether the first `bits` are alike.  */
static bool alike(const unsigned char *a, const unsigned char *b, int bits)
{
	int whole = bits / 8, rest = bits % 8;
	return memcmp(a, b, (size_t)whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

/* Read the next word of the list.  1 for a network, 0 at the end, -1 if it is none.  */
static int next(const char **list, unsigned char a[16], int *bits)
{
	char word[TEXT], *end;
	*list += strspn(*list, " \t,");
	size_t n = strcspn(*list, " \t,");
	if (n == 0) return 0;
	if (n >= sizeof word) return -1;
	memcpy(word, *list, n);
	word[n] = '\0';
	*list += n;
	char *slash = strchr(word, '/');
	if (slash) *slash++ = '\0';
	int front = address(word, a);
	if (front < 0) return -1;
	*bits = BITS;
	if (!slash) return 1;
	long length = strtol(slash, &end, 10);
	if (strspn(slash, "0123456789") == 0 || *end || length < 0 || length > BITS - front) return -1;
	*bits = (int)length + front;
	return 1;
}

bool networks_valid(const char *list)
{
	unsigned char a[16], zero[16] = { 0 };
	int bits, got;
	while ((got = next(&list, a, &bits)) > 0) {
		if (bits == BITS) continue;
		a[bits / 8] = (unsigned char)(a[bits / 8] & 0xff >> bits % 8);
		if (memcmp(a + bits / 8, zero, (size_t)(16 - bits / 8)) != 0) return false;
	}
	return got == 0;
}

bool networks_match(const char *list, const char *text)
{
	unsigned char a[16], b[16];
	int bits;
	if (address(text, a) < 0) return false;
	int least = memcmp(a, mapped, sizeof mapped) == 0 ? MAPPED : 0;        /* a network of IPv6, such as ::/0, has no IPv4 in it */
	while (next(&list, b, &bits) > 0)
		if (bits >= least && alike(a, b, bits)) return true;
	return false;
}
