/* What a report must be whatever is told in it, by the book and without the code of queue/: fuzz/report.c and tests/unit/report.c.
 * SPDX-License-Identifier: MIT */
#ifndef REPORT_MODEL_H
#define REPORT_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "report.h"

struct span { const char *s; size_t n; };

/* A line without its CRLF, taken off the front.  */
static inline struct span model_next(struct span *from)
{
	const char *end = memmem(from->s, from->n, "\r\n", 2);
	struct span got = { from->s, end ? (size_t)(end - from->s) : from->n };
	size_t used = end ? got.n + 2 : got.n;
	from->s += used;
	from->n -= used;
	return got;
}

static inline bool span_is(struct span a, const char *text) { return a.n == strlen(text) && memcmp(a.s, text, a.n) == 0; }
static inline bool span_starts(struct span a, const char *text) { return a.n >= strlen(text) && memcmp(a.s, text, strlen(text)) == 0; }

/* Of one block of fields, to the empty line or the end: each line is a field with one of the names (";Name;Name;") or goes on with something
 * visible, none comes twice, and those in `must` do come.  */
static inline const char *fields_flaw(struct span *from, const char *names, const char *must)
{
	char seen[2048] = ";", name[80];
	while (from->n > 0) {
		struct span line = model_next(from);
		const char *colon = memchr(line.s, ':', line.n);
		if (line.n == 0) break;
		if (*line.s == ' ' || *line.s == '\t') {
			size_t visible = 0;
			for (size_t i = 0; i < line.n; i++) visible += (unsigned char)line.s[i] > ' ';
			if (!seen[1] || visible == 0) return "a line that continues nothing, or with nothing";
			continue;
		}
		if (!colon || (size_t)(colon - line.s) > 60) return "a line that is no field";
		snprintf(name, sizeof name, ";%.*s;", (int)(colon - line.s), line.s);
		if (!strstr(names, name)) return "a field that nobody knows";
		if (strstr(seen, name)) return "a field twice";
		strcat(seen, name + 1);
	}
	for (char *copy = strdup(must), *rest = copy, *one; (one = strsep(&rest, ";")) || (free(copy), false);) {
		snprintf(name, sizeof name, ";%s;", one);
		if (*one && !strstr(seen, name)) {
			free(copy);
			return "a field is missing";
		}
	}
	return NULL;
}

/* What holds for each octet of it.  */
static inline const char *octets_flaw(struct span all, enum report_needs needs)
{
	size_t line = 0;
	if (all.n < 2 || memcmp(all.s + all.n - 2, "\r\n", 2) != 0) return "the last line has no end";
	for (size_t i = 0; i < all.n; i++) {
		char c = all.s[i];
		if (c == '\0') return "NUL";
		if (c == '\n' && (i == 0 || all.s[i - 1] != '\r')) return "LF without CR";
		if (c == '\r' && (i + 1 == all.n || all.s[i + 1] != '\n')) return "CR without LF";
		if ((unsigned char)c >= 0x80 && needs == REPORT_7BIT) return "eight bits where it was to have seven";
		if (c == '\n') line = 0;
		else if (c != '\r' && ++line > 998) return "a line of more than 998 octets";
	}
	return NULL;
}

/* Text of ours with foreign words in it.  */
static inline const char *text_flaw(struct span part, bool utf8)
{
	char *copy = strndup(part.s, part.n);
	bool valid = utf8_valid(copy), high = false, control = false;
	for (char *c = copy; *c; c++) {
		high |= (unsigned char)*c >= 0x80;
		control |= ((unsigned char)*c < ' ' && !strchr("\r\n", *c)) || *c == 0x7f || strncmp(c, "\xc2\x85", 2) == 0 || strncmp(c, "\xe2\x80\xa8", 3) == 0;
	}
	free(copy);
	return !valid ? "not UTF-8" : high && !utf8 ? "not ASCII" : control ? "a control character" : NULL;
}

/* Cut the body at its boundaries, of which there are just as many as parts, and the last.  */
static inline const char *parts_flaw(struct span body, struct span *parts, size_t count, const char *boundary)
{
	char mark[80];
	size_t length = (size_t)snprintf(mark, sizeof mark, "\r\n--%s", boundary);
	for (size_t i = 0; i <= count; i++) {
		const char *at = memmem(body.s, body.n, mark, length);
		if (!at) return "a part is missing";
		if (i > 0) parts[i - 1] = (struct span){ body.s, (size_t)(at - body.s) };
		else if (at != body.s) return "there is something in front of the parts";
		size_t used = (size_t)(at - body.s) + length;
		body.s += used;
		body.n -= used;
		if (!span_starts(body, i == count ? "--\r\n" : "\r\n")) return "a part too many, or one too few";
		body.s += i == count ? 4 : 2;
		body.n -= i == count ? 4 : 2;
	}
	return body.n > 0 ? "something comes behind the last boundary" : NULL;
}

/* The fields of a part, taken off its front; whether it is encoded.  */
static inline const char *part_flaw(struct span *part, const char *type, bool *eightbit, bool *quoted)
{
	struct span all = *part;
	const char *flaw = fields_flaw(part, ";Content-Description;Content-Type;Content-Transfer-Encoding;", "Content-Type");
	char want[100];
	snprintf(want, sizeof want, "\r\nContent-Type: %s\r\n", type);
	if (flaw) return flaw;
	all.n = (size_t)(part->s - all.s);
	*eightbit = memmem(all.s, all.n, "\r\nContent-Transfer-Encoding: 8bit\r\n", 35) != NULL;
	*quoted = memmem(all.s, all.n, "\r\nContent-Transfer-Encoding: quoted-printable\r\n", 47) != NULL;
	if (!memmem(all.s, all.n, want, strlen(want))) return "a part is of another type";
	for (size_t i = 0; i < part->n && !*eightbit; i++)
		if ((unsigned char)part->s[i] >= 0x80) return "a part has octets above 127, and does not say so";
	return NULL;
}

static inline const char *status_flaw(struct span part, const struct report *r)
{
	const char *flaw = fields_flaw(&part, ";Original-Envelope-Id;Reporting-MTA;X-Smtp-Handler-Id;Arrival-Date;", "Reporting-MTA");
	for (size_t i = 0; i < r->count && !flaw; i++) {
		if (part.n == 0) return "a recipient is missing";
		flaw = fields_flaw(&part, ";Original-Recipient;Final-Recipient;Action;Status;Remote-MTA;Diagnostic-Code;Last-Attempt-Date;Will-Retry-Until;",
			"Final-Recipient;Action;Status");
	}
	return flaw ? flaw : part.n > 0 ? "a recipient too many" : NULL;
}

/* --- the original --- */

/* What of it is to be told, with line ends as mail has them.  */
static inline struct span model_original(const char *message, size_t n, bool whole, bool carried, char *out)
{
	char *to = out;
	size_t column = 0;
	for (size_t i = 0; i < n; i++) {
		char c = message[i];
		bool ends = i + 1 < n && message[i + 1] == '\n', start = i == 0 || message[i - 1] == '\n';
		if (!whole && start && (c == '\n' || (c == '\r' && ends))) break;
		if (c == '\r' && ends) continue;
		if (c == '\n') {
			*to++ = '\r', *to++ = '\n';
			column = 0;
			continue;
		}
		if (carried && column == 998) {
			memcpy(to, "\r\n ", 3);
			to += 3;
			column = 1;
		}
		*to++ = !carried ? c : c == '\r' ? ' ' : c ? c : '?';
		column++;
	}
	return (struct span){ out, (size_t)(to - out) };
}

static inline const char *unquote(struct span *part, char *out)
{
	char *to = out, hex[3] = "";
	struct span left = *part;
	while (left.n > 0) {
		bool last = !memmem(left.s, left.n, "\r\n", 2), soft = false;
		struct span line = model_next(&left);
		if (line.n > 76) return "an encoded line is too long";
		if (line.n > 0 && strchr(" \t", line.s[line.n - 1])) return "an encoded line ends with a blank";
		for (size_t i = 0; i < line.n; i++) {
			soft = line.s[i] == '=' && i + 1 == line.n;
			if (soft) break;
			if (line.s[i] != '=') {
				*to++ = line.s[i];
				continue;
			}
			if (i + 2 >= line.n || strspn(memcpy(hex, line.s + i + 1, 2), "0123456789ABCDEF") != 2) return "wrongly encoded";
			*to++ = (char)strtol(hex, NULL, 16);
			i += 2;
		}
		if (!soft && !last) *to++ = '\r', *to++ = '\n';
	}
	*part = (struct span){ out, (size_t)(to - out) };
	return NULL;
}

/* --- all of it --- */

/* What is wrong with the report, whose original is `message` (NULL: none) with a header of less than 256 KiB; NULL if nothing is.  */
static inline const char *report_flaw(const char *s, size_t n, const struct report *r, const char *message)
{
	enum report_needs needs = report_needs(r);
	struct span all = { s, n }, head = all, parts[3];
	bool utf8 = r->utf8 || needs == REPORT_SMTPUTF8, failed = false, eightbit, quoted;
	for (size_t i = 0; i < r->count; i++) failed |= r->rcpt[i].action == REPORT_FAILED;
	bool whole = failed && r->full && r->size <= r->most;
	char boundary[40], *copy = malloc(3 * r->size + 16), *decoded = malloc(n + 1);
	const char *third = utf8 ? whole ? "message/global" : "message/global-headers" : whole ? "message/rfc822" : "text/rfc822-headers";
	const char *flaw = octets_flaw(all, needs);
	if (!flaw) flaw = fields_flaw(&head, ";From;To;Subject;Date;Message-ID;Auto-Submitted;MIME-Version;Content-Type;Content-Transfer-Encoding;",
		"From;To;Subject;Date;Message-ID;Auto-Submitted;MIME-Version;Content-Type");
	const char *at = memmem(all.s, all.n, " boundary=\"", 11);
	if (!flaw && (!at || at > head.s || sscanf(at + 11, "%39[=_0-9a-f]", boundary) != 1 || strlen(boundary) != 34)) flaw = "no boundary";
	all.n = (size_t)(head.s - all.s);
	if (!flaw) flaw = text_flaw(all, needs == REPORT_SMTPUTF8);
	if (!flaw && (needs == REPORT_7BIT) == (memmem(all.s, all.n, "\r\nContent-Transfer-Encoding: 8bit\r\n", 35) != NULL)) flaw = "the header says another number of bits";
	head.s -= 2, head.n += 2;         /* the CRLF of a boundary: the empty line is the first one's */
	if (!flaw) flaw = parts_flaw(head, parts, message ? 3 : 2, boundary);
	if (!flaw) flaw = part_flaw(&parts[0], utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", &eightbit, &quoted);
	if (!flaw) flaw = text_flaw(parts[0], utf8);
	if (!flaw) flaw = part_flaw(&parts[1], utf8 ? "message/global-delivery-status" : "message/delivery-status", &eightbit, &quoted);
	if (!flaw) flaw = text_flaw(parts[1], utf8);
	if (!flaw) flaw = status_flaw(parts[1], r);
	if (!flaw && message) flaw = part_flaw(&parts[2], third, &eightbit, &quoted);
	if (!flaw && message && quoted) flaw = unquote(&parts[2], decoded);
	if (!flaw && message) {
		struct span want = model_original(message, r->size, whole, !quoted, copy);
		if (want.n != parts[2].n || memcmp(want.s, parts[2].s, want.n) != 0) flaw = "the original is another";
	}
	free(copy);
	free(decoded);
	return flaw;
}

#endif
