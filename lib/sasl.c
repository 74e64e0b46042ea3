#include "sasl.h"
#include <string.h>
#include "address.h"
static int digit(char c)
{
	static const char t[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(t, c) : NULL;
	return p ? (int)(p - t) : -1;
}
ssize_t base64_decode(char *out, size_t size, const char *in, size_t n)
{
	size_t o = 0;
	if (n % 4) return -1;
	for (size_t i = 0; i < n; i += 4) {
		int pad = 0, v = 0;
		for (int k = 0; k < 4; k++) {
			int d = digit(in[i + (size_t)k]);
			if (in[i + (size_t)k] == '=' && i + 4 == n && k >= 2) { pad++; d = 0; } else if (pad || d < 0) return -1;
			v = v << 6 | d;
		}
		if ((pad == 1 && v & 0xff) || (pad == 2 && v & 0xffff)) return -1;
		for (int k = 0; k < 3 - pad; k++) {
			if (o == size) return -1;
			if (out) out[o] = (char)(v >> (16 - 8 * k));
			o++;
		}
	}
	return (ssize_t)o;
}
bool base64_valid(const char *s) { return base64_decode(NULL, 1 << 20, s, strlen(s)) >= 0; }
bool sasl_name_valid(const char *s, size_t n)
{
	if (n == 0 || n > SASL_NAME_MAX || strlen(s) != n || !utf8_valid(s)) return false;
	for (; *s; s++) if ((unsigned char)*s < ' ' || *s == 0x7f) return false;
	return true;
}
bool sasl_password_valid(const char *s, size_t n) { return n > 0 && n <= SASL_PASSWORD_MAX && strlen(s) == n && utf8_valid(s); }
bool sasl_plain(char *msg, size_t n, const char **user, const char **password)
{
	size_t a = strlen(msg);
	if (a >= n) return false;
	*user = msg + a + 1;
	size_t u = strlen(*user);
	if (a + 1 + u >= n) return false;
	*password = *user + u + 1;
	return (!a || strcmp(msg, *user) == 0) && sasl_name_valid(*user, u) && sasl_password_valid(*password, n - a - u - 2);
}
