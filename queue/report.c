/* The frame of a report, multipart/report (RFC 6522), and its third part, the original.
 * The boundary is 128 random bits: nobody who wrote the message or a reply could know it, so nothing need be searched for it.
 * SPDX-License-Identifier: MIT */
#include "report-parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "trace.h"

/* Of a header that comes alone: a message that never gets to its body is cut here, at a line end.  */
enum { HEADER_MOST = 256 << 10, HEADER_BRIEFEST = 8 << 10 };

/* --- the original --- */

/* Its first `end` octets, in pieces, until take() has enough.  */
static bool read_original(const struct report *r, uint64_t end, bool (*take)(void *ctx, const char *p, size_t n), void *ctx)
{
	char buf[16384];
	for (uint64_t at = 0; at < end;) {
		ssize_t got = pread(r->message, buf, end - at < sizeof buf ? (size_t)(end - at) : sizeof buf, (off_t)at);
		if (got < 0 && errno == EINTR) continue;
		if (got == 0) errno = EIO;
		if (got <= 0) return false;
		if (!take(ctx, buf, (size_t)got)) return true;
		at += (uint64_t)got;
	}
	return true;
}

struct survey {
	struct original o;
	uint64_t most;          /* of a header */
	uint64_t at, line;      /* where the current line starts */
	unsigned char last;     /* the octet before */
};

/* The header ends at the empty line, or where there is too much of it.  */
static bool header_over(struct survey *s, bool newline)
{
	bool empty = s->at == s->line || (s->at == s->line + 1 && s->last == '\r');
	s->o.cut = s->at == s->most;
	if (!s->o.cut && !(newline && empty)) return false;
	s->o.end = s->o.cut && s->line == 0 ? s->at : s->line;
	s->last = '\n';
	return true;
}

static bool survey_octet(struct survey *s, unsigned char c)
{
	bool newline = c == '\n';
	if (!s->o.whole && header_over(s, newline)) return false;
	s->o.high |= c >= 0x80;
	s->o.odd |= c == '\0' || (!newline && (s->last == '\r' || s->at - s->line >= OUT_LONGEST));
	s->at++;
	if (newline) s->line = s->at;
	s->last = c;
	return true;
}

static bool survey_take(void *ctx, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!survey_octet(ctx, (unsigned char)p[i])) return false;
	return true;
}

static bool survey(const struct report *r, struct original *o)
{
	struct survey s = { .o = { .end = r->size }, .most = r->extent == REPORT_BRIEFEST ? HEADER_BRIEFEST : HEADER_MOST };
	bool failed = false;
	for (size_t i = 0; i < r->count; i++) failed |= r->rcpt[i].action == REPORT_FAILED;
	s.o.too_large = failed && r->full && (r->extent != REPORT_ALL || r->size > r->most);
	s.o.whole = failed && r->full && !s.o.too_large;
	bool good = r->message < 0 || read_original(r, r->size, survey_take, &s);
	s.o.odd |= s.last == '\r';
	*o = s.o;
	return good;
}

struct copy {
	struct out *o;
	bool encode, cr;
	char blank;             /* a blank that may be the last of its line, to be encoded then */
};

/* An octet that is no line end.  A line is cut by CRLF and a blank, as others do: that folds a field, and cannot make a boundary.  */
static void copy_plain(struct out *o, unsigned char c)
{
	if (o->column == OUT_LONGEST) out_bytes(o, "\r\n ", 3);
	out_bytes(o, (const char *)&c, 1);
}

/* Quoted-printable (RFC 2045 6.7).  */
static void copy_quoted(struct copy *c, const char *p, size_t n)
{
	if (c->o->column + n > 75) out_bytes(c->o, "=\r\n", 3);
	out_bytes(c->o, p, n);
}

static void copy_escaped(struct copy *c, unsigned char octet)
{
	char code[4];
	snprintf(code, sizeof code, "=%02X", (unsigned)octet);
	copy_quoted(c, code, 3);
}

static void copy_blank(struct copy *c, bool last)
{
	if (c->blank && last) copy_escaped(c, (unsigned char)c->blank);
	else if (c->blank) copy_quoted(c, &c->blank, 1);
	c->blank = '\0';
}

static void copy_octet(struct copy *c, unsigned char octet)
{
	if (!c->encode) {
		copy_plain(c->o, octet == '\r' ? ' ' : octet ? octet : '?');
		return;
	}
	copy_blank(c, false);
	if (octet == ' ' || octet == '\t') c->blank = (char)octet;
	else if (octet < ' ' || octet >= 0x7f || octet == '=') copy_escaped(c, octet);
	else copy_quoted(c, (const char *)&octet, 1);
}

static bool copy_take(void *ctx, const char *p, size_t n)
{
	struct copy *c = ctx;
	for (size_t i = 0; i < n; i++) {
		if (c->cr && p[i] != '\n') copy_octet(c, '\r');
		c->cr = p[i] == '\r';
		if (c->cr) continue;
		if (p[i] != '\n') {
			copy_octet(c, (unsigned char)p[i]);
			continue;
		}
		copy_blank(c, true);
		out_bytes(c->o, "\r\n", 2);
	}
	return true;
}

/* A header with octets that no header can have is encoded (RFC 6522 4); a whole message cannot be (RFC 2046 5.2.1).  */
static bool put_original(struct out *o, const struct report *r, const struct original *original)
{
	struct copy c = { .o = o, .encode = !o->utf8 && !original->whole && (original->high || original->odd) };
	const char *type = o->utf8 ? original->whole ? "message/global" : "message/global-headers" : original->whole ? "message/rfc822" : "text/rfc822-headers";
	out_format(o, "Content-Description: %s\r\nContent-Type: %s\r\n", original->whole ? "The message" : "The header of the message", type);
	if (c.encode) out_format(o, "Content-Transfer-Encoding: quoted-printable\r\n");
	else if (original->high) out_format(o, "Content-Transfer-Encoding: 8bit\r\n");
	out_bytes(o, "\r\n", 2);
	bool good = read_original(r, original->end, copy_take, &c);
	if (c.cr) copy_octet(&c, '\r');
	copy_blank(&c, true);
	return good;
}

/* --- the frame --- */

/* Whether all of it is beyond ASCII: its addressee alone can make it so.  */
static bool is_utf8(const struct report *r) { return r->utf8 || beyond_ascii(r->to) || beyond_ascii(r->hostname); }

static bool is_8bit(const struct report *r, const struct original *o) { return is_utf8(r) || (o->whole && o->high); }

enum report_needs report_needs(const struct report *r)
{
	struct original o;
	if (beyond_ascii(r->to) || beyond_ascii(r->hostname)) return REPORT_SMTPUTF8;
	return !survey(r, &o) || is_8bit(r, &o) ? REPORT_8BITMIME : REPORT_7BIT;
}

static const char *subject(const struct report *r)
{
	static const char *const subjects[] = {
		[REPORT_FAILED] = "Undelivered mail", [REPORT_DELAYED] = "Delayed mail, still being tried",
		[REPORT_DELIVERED] = "Delivered mail", [REPORT_RELAYED] = "Mail passed on", [REPORT_EXPANDED] = "Mail passed on to several addresses",
	};
	if (r->sender) return "Undelivered mail, of which its sender is not told";
	for (size_t i = 1; i < r->count; i++)
		if (r->rcpt[i].action != r->rcpt[0].action) return "Report about your mail";
	return subjects[r->rcpt[0].action];
}

struct names { char boundary[2 * 16 + 1], id[2 * 8 + 1]; };

static bool make_names(struct names *n)
{
	unsigned char raw[24];
	ssize_t got;
	do got = getrandom(raw, sizeof raw, 0);
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof raw) return false;
	for (size_t i = 0; i < 16; i++) snprintf(n->boundary + 2 * i, 3, "%02x", (unsigned)raw[i]);
	for (size_t i = 0; i < 8; i++) snprintf(n->id + 2 * i, 3, "%02x", (unsigned)raw[16 + i]);
	return true;
}

static void put_header(struct out *o, const struct report *r, const struct names *n, bool eightbit)
{
	char date[TRACE_DATE];
	trace_date(date, r->now);
	out_format(o, "From: Mail Delivery System <MAILER-DAEMON@");
	out_clean(o, r->hostname);
	out_format(o, ">\r\nTo: <");
	out_clean(o, r->to);
	out_format(o, ">\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%lld.%s@", subject(r), date, (long long)r->now, n->id);
	out_clean(o, r->hostname);
	out_format(o, ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=%sdelivery-status;\r\n boundary=\"=_%s\"\r\n",
		o->utf8 ? "global-" : "", n->boundary);
	if (eightbit) out_format(o, "Content-Transfer-Encoding: 8bit\r\n");
}

/* The CRLF before a boundary is of the boundary (RFC 2046 5.1.1), so a part ends as it ends.  */
static void put_boundary(struct out *o, const char *boundary, const char *last) { out_format(o, "\r\n--=_%s%s\r\n", boundary, last); }

bool report_write(const struct report *r, void (*write)(void *ctx, const char *p, size_t n), void *ctx)
{
	struct out o = { .write = write, .ctx = ctx, .utf8 = is_utf8(r) };
	struct original original;
	struct names names;
	if (!make_names(&names) || !survey(r, &original)) return false;
	const char *bits = o.utf8 ? "Content-Transfer-Encoding: 8bit\r\n" : "";
	put_header(&o, r, &names, is_8bit(r, &original));
	put_boundary(&o, names.boundary, "");
	out_format(&o, "Content-Description: What happened\r\nContent-Type: text/plain; charset=%s\r\n%s\r\n", o.utf8 ? "utf-8" : "us-ascii", bits);
	report_text(&o, r, &original);
	put_boundary(&o, names.boundary, "");
	out_format(&o, "Content-Description: Delivery report\r\nContent-Type: message/%sdelivery-status\r\n%s\r\n", o.utf8 ? "global-" : "", bits);
	report_status(&o, r);
	bool good = true;
	if (r->message >= 0) {
		put_boundary(&o, names.boundary, "");
		good = put_original(&o, r, &original);
	}
	put_boundary(&o, names.boundary, "--");
	out_flush(&o);
	return good;
}
