/* The output of a report, where foreign octets lose what they could do harm with, and its second part: message/delivery-status (RFC 3464),
 * or message/global-delivery-status (RFC 6533).
 * SPDX-License-Identifier: MIT */
#include "report-parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "trace.h"
#include "xtext.h"

void out_flush(struct out *o)
{
	if (o->n > 0) o->write(o->ctx, o->buf, o->n);
	o->n = 0;
}

void out_bytes(struct out *o, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (o->n == sizeof o->buf) out_flush(o);
		o->buf[o->n++] = p[i];
		o->column = p[i] == '\n' ? 0 : o->column + 1;
	}
}

void out_format(struct out *o, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n > 0) out_bytes(o, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* --- characters --- */

/* The octets of the UTF-8 sequence at s and its code point; 0 if it is none (RFC 3629 4).  The NUL at the end of s ends a sequence, too.  */
static size_t sequence(const char *s, uint32_t *point)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;
	*point = n == 1 ? u[0] : u[0] & (0xffU >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80) return 0;
		*point = *point << 6 | (u[i] & 0x3f);
	}
	bool bad = (n == 3 && *point < 0x800) || (n == 4 && *point < 0x10000) || (*point >= 0xd800 && *point < 0xe000) || *point > 0x10ffff;
	return bad ? 0 : n;
}

/* What ends lines or turns them round, for some reader: C0, DEL, C1, the separators, bidirectional overrides.  */
static bool is_control(uint32_t p)
{
	return p < ' ' || (p >= 0x7f && p < 0xa0) || p == 0x2028 || p == 0x2029 || (p >= 0x202a && p <= 0x202e) || (p >= 0x2066 && p <= 0x2069);
}

/* Write the character at s, or "?" for it; returns its octets in s, at least 1.  */
static size_t clean_one(struct out *o, const char *s)
{
	uint32_t point;
	size_t n = sequence(s, &point);
	if (n == 0 || is_control(point) || (n > 1 && !o->utf8)) out_bytes(o, "?", 1);
	else out_bytes(o, s, n);
	return n ? n : 1;
}

void out_clean(struct out *o, const char *s)
{
	for (const char *end = s + strnlen(s, OUT_WORD); s < end;) s += clean_one(o, s);
}

/* --- words --- */

static size_t word_length(const char *s, const char *end)
{
	size_t n = 0, most = (size_t)(end - s);
	if (most > OUT_WORD) most = OUT_WORD;
	while (n < most && !strchr(" \t\r\n\f\v", s[n])) n++;
	return n;
}

void out_words(struct out *o, const char *indent, const char *s)
{
	size_t all = strnlen(s, OUT_TEXT + 1), margin = strlen(indent) - 2;
	const char *end = s + (all > OUT_TEXT ? OUT_TEXT : all);
	bool fresh = o->column == 0 || o->column == margin, next = false;
	while (s < end) {
		size_t n = word_length(s, end);
		if (n == 0) {
			next |= *s++ == '\n';
			continue;
		}
		if (!fresh && (next || o->column + 1 + n > OUT_WIDTH)) {
			out_bytes(o, indent, margin + 2);
			fresh = true;
		}
		if (!fresh) out_bytes(o, " ", 1);
		for (const char *stop = s + n; s < stop;) s += clean_one(o, s);
		fresh = next = false;
	}
	if (all > OUT_TEXT) out_format(o, "%s[...]", indent);
}

/* --- addresses --- */

/* The code point of "\x{HEX}" at *s, which then is behind it; 0 if it is no such thing, or stands for a control character.  */
static uint32_t embedded(const char **s)
{
	uint32_t p = 0;
	const char *c = *s + 3;
	if (strncmp(*s, "\\x{", 3) != 0) return 0;
	for (; *c && *c != '}' && c < *s + 9; c++) {
		const char *digits = "0123456789ABCDEF", *d = strchr(digits, *c & ~(*c >= 'a' && *c <= 'f' ? 0x20 : 0));
		if (!d) return 0;
		p = p << 4 | (uint32_t)(d - digits);
	}
	if (*c != '}' || is_control(p) || (p >= 0xd800 && p < 0xe000) || p > 0x10ffff) return 0;
	*s = c + 1;
	return p;
}

static size_t encode(char *out, uint32_t p)
{
	size_t n = p < 0x80 ? 1 : p < 0x800 ? 2 : p < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	for (size_t i = n; i-- > 1; p >>= 6) out[i] = (char)(0x80 | (p & 0x3f));
	out[0] = (char)(lead[n] | p);
	return n;
}

/* utf-8-addr-xtext and -unitext (RFC 6533 3), in place.  */
static bool unitext_decode(char *s)
{
	const char *in = s;
	while (*in) {
		if (*in != '\\') {
			*s++ = *in++;
			continue;
		}
		uint32_t p = embedded(&in);
		if (p == 0) return false;
		s += encode(s, p);
	}
	*s = '\0';
	return true;
}

bool report_orcpt(char out[ORCPT_MAX], bool *utf8, const char *orcpt)
{
	const char *value = strchr(orcpt, ';');
	if (!value || strlen(value) > ORCPT_MAX) return false;
	*utf8 = strncasecmp(orcpt, "utf-8;", 6) == 0;
	strcpy(out, value + 1);
	if (!(*utf8 ? unitext_decode(out) : xtext_decode(out))) strcpy(out, value + 1);         /* told as it came */
	return *out != '\0';
}

bool beyond_ascii(const char *s)
{
	while (*s && (unsigned char)*s < 0x80) s++;
	return *s != '\0';
}

/* An address of the type "utf-8" where only ASCII may stand: as utf-8-addr-xtext (RFC 6533 3).  */
static void put_unitext(struct out *o, const char *s)
{
	while (*s && o->column < OUT_WORD) {
		uint32_t p;
		size_t n = sequence(s, &p);
		if (n == 0 || is_control(p)) out_bytes(o, "?", 1);
		else if (n > 1 || strchr("\\+= ", *s)) out_format(o, "\\x{%X}", (unsigned)p);
		else out_bytes(o, s, 1);
		s += n ? n : 1;
	}
}

/* A foreign word behind the name of a field, or behind a type; on a line of its own if it is long.  It begins with what is no blank: a line of
 * nothing else would end the fields, for some.  */
static void put_word(struct out *o, bool unitext, const char *s)
{
	s += strspn(s, " \t");
	if (o->column + 1 + strlen(s) > OUT_WIDTH) out_bytes(o, "\r\n", 2);
	out_bytes(o, " ", 1);
	if (unitext) put_unitext(o, s);
	else out_clean(o, s);
	out_bytes(o, "\r\n", 2);
}

/* --- fields --- */

static void put_date(struct out *o, const char *name, time_t t)
{
	char date[TRACE_DATE];
	if (t <= 0) return;
	trace_date(date, t);
	out_format(o, "%s: %s\r\n", name, date);
}

static void put_token(struct out *o, const char *name, const char *s)
{
	if (!s[strspn(s, " \t")]) return;
	out_format(o, "%s", name);
	put_word(o, false, s);
}

/* The type is an atom (RFC 3464 2.1.2); one that is not is hardly worth a field.  */
static void put_original_recipient(struct out *o, const char *orcpt)
{
	char address[ORCPT_MAX];
	bool utf8;
	size_t n = strspn(orcpt, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
	if (n == 0 || n > 32 || orcpt[n] != ';' || !report_orcpt(address, &utf8, orcpt)) return;
	out_format(o, "Original-Recipient: %.*s;", (int)n, orcpt);
	put_word(o, utf8 && !o->utf8, address);
}

/* An envelope id that does not decode is told as it came: who gave it may know it again.  */
static void put_envid(struct out *o, const char *envid)
{
	char id[ORCPT_MAX];
	snprintf(id, sizeof id, "%s", envid);
	put_token(o, "Original-Envelope-Id:", xtext_decode(id) ? id : envid);
}

static bool status_valid(const char *s)
{
	int n = 0;
	unsigned class, subject, detail;
	size_t digits = strspn(s, "0123456789."), len = strlen(s);
	return digits == len && len <= 9 && sscanf(s, "%1u.%3u.%3u%n", &class, &subject, &detail, &n) == 3 && (size_t)n == len && (class == 2 || class == 4 || class == 5);
}

static void put_recipient(struct out *o, const struct report *r, const struct report_rcpt *rcpt, bool short_form)
{
	static const struct { const char *name, *status; } actions[] = {
		[REPORT_FAILED] = { "failed", "5.0.0" }, [REPORT_DELAYED] = { "delayed", "4.0.0" },
		[REPORT_DELIVERED] = { "delivered", "2.0.0" }, [REPORT_RELAYED] = { "relayed", "2.0.0" },
		[REPORT_EXPANDED] = { "expanded", "2.0.0" },
	};
	if (!short_form) put_original_recipient(o, rcpt->orcpt);
	bool high = beyond_ascii(rcpt->rcpt);
	out_format(o, "Final-Recipient: %s;", high ? "utf-8" : "rfc822");
	put_word(o, high && !o->utf8, rcpt->rcpt);
	out_format(o, "Action: %s\r\n", actions[rcpt->action].name);
	out_format(o, "Status: %s\r\n", status_valid(rcpt->status) ? rcpt->status : actions[rcpt->action].status);
	if (short_form) return;
	put_token(o, "Remote-MTA: dns;", rcpt->host);
	if (rcpt->text[strspn(rcpt->text, " \t\r\n\f\v")]) {
		out_format(o, "Diagnostic-Code: %s;", rcpt->said ? "smtp" : "x-smtp-handler");
		out_words(o, "\r\n ", rcpt->text);
		out_bytes(o, "\r\n", 2);
	}
	put_date(o, "Last-Attempt-Date", rcpt->last);
	if (rcpt->action == REPORT_DELAYED) put_date(o, "Will-Retry-Until", r->until);
}

void report_status(struct out *o, const struct report *r)
{
	put_envid(o, r->envid);
	put_token(o, "Reporting-MTA: dns;", r->hostname);
	put_token(o, "X-Smtp-Handler-Id:", r->id);      /* what an administrator looks for in the log */
	put_date(o, "Arrival-Date", r->arrived);
	for (size_t i = 0; i < r->count && (i < REPORT_IN_FULL || r->extent != REPORT_BRIEFEST); i++) {
		out_bytes(o, "\r\n", 2);
		put_recipient(o, r, &r->rcpt[i], i >= REPORT_IN_FULL && r->extent != REPORT_ALL);
	}
}
