/* SPDX-License-Identifier: MIT */
#include "xtext.h"

#include <stdio.h>
#include <string.h>

/* Capitals only, says the RFC.  */
static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

bool xtext_decode(char *s)
{
	char *out = s;
	while (*s) {
		int c = (unsigned char)*s++;
		if (c <= ' ' || c == 0x7f || c == '=') return false;
		if (c == '+') {
			int high = hex(s[0]), low = high < 0 ? -1 : hex(s[1]);
			if (low < 0) return false;
			c = high << 4 | low;
			s += 2;
		}
		if (c < ' ' || c == 0x7f) return false;
		*out++ = (char)c;
	}
	*out = '\0';
	return true;
}

bool xtext_encode(char *out, size_t size, const char *s)
{
	size_t n = 0;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		bool plain = c > ' ' && c < 0x7f && c != '+' && c != '=' && c != '<';     /* AUTH=<> stands for nobody */
		size_t length = plain ? 1 : 3;
		if (n + length >= size) return false;
		if (plain) out[n] = (char)c;
		else snprintf(out + n, size - n, "+%02X", c);
		n += length;
	}
	if (n >= size) return false;
	out[n] = '\0';
	return true;
}
