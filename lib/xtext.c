#include "xtext.h"
#include <stdio.h>
#include <string.h>
bool xtext_decode(char *s)
{
	char *o = s;
	static const char hex[] = "0123456789ABCDEF";
	for (; *s; s++) {
		unsigned c = (unsigned char)*s;
		if (c == '+') {
			const char *a = s[1] ? strchr(hex, s[1]) : NULL, *b = a && s[2] ? strchr(hex, s[2]) : NULL;
			if (!b) return false;
			c = (unsigned)(a - hex) << 4 | (unsigned)(b - hex);
			s += 2;
		} else if (c <= ' ' || c >= 0x7f || c == '=') return false;
		if (c < ' ' || c == 0x7f) return false;
		*o++ = (char)c;
	}
	*o = 0;
	return true;
}
bool xtext_encode(char *out, size_t size, const char *s)
{
	size_t n = 0;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		bool plain = c > ' ' && c < 0x7f && c != '+' && c != '=';
		if (n + (plain ? 1 : 3) >= size) return false;
		n += (size_t)(plain ? snprintf(out + n, size - n, "%c", c) : snprintf(out + n, size - n, "+%02X", c));
	}
	out[n] = 0;
	return true;
}
