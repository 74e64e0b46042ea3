/* SPDX-License-Identifier: MIT */
#include "letter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void letter_say(char out[LETTER_TEXT], int code, const char *status, const char *host, const char *text)
{
	size_t n = (size_t)snprintf(out, LETTER_TEXT, "%d %s %s ", code, *status ? status : code / 100 == 2 ? "2.0.0" : code / 100 == 5 ? "5.0.0" : "4.0.0", *host ? host : "-");
	for (; *text && n < LETTER_TEXT - 1; text++) {
		bool c1 = (text[0] & 0xff) == 0xc2 && (text[1] & 0xe0) == 0x80;     /* U+0080 to U+009F: with 8 bits a terminal obeys too */
		text += c1;
		out[n++] = c1 || (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
	}
	out[n] = '\0';
}

bool letter_done(const struct letter *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (!l->rcpt[i].done) return false;
	return true;
}

size_t letter_settled(const struct letter *l)
{
	size_t n = 0;
	for (size_t i = 0; i < l->count; i++) n += l->rcpt[i].done || l->rcpt[i].put_off;
	return n;
}

bool letter_put_off(const struct letter *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->rcpt[i].put_off) return true;
	return false;
}

static bool beyond(const char *s)
{
	while (*s && (unsigned char)*s < 0x80) s++;
	return *s;
}

bool letter_beyond_ascii(const struct letter *l)
{
	char buf[4096], last = '\n';
	off_t at = 0;
	bool found = beyond(l->from) || beyond(l->prepend);
	for (size_t i = 0; i < l->count; i++) found |= beyond(l->rcpt[i].address);
	while (!found) {
		ssize_t n = pread(l->message, buf, sizeof buf, at);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) break;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] == '\r') continue;
			if (buf[i] == '\n' && last == '\n') return false;       /* the header ends here */
			if ((unsigned char)buf[i] >= 0x80) return true;
			last = buf[i];
		}
		at += n;
	}
	return found;
}
