/* Reports: what is told of a recipient, as fields and for people; reports made of whatever could break one, against the model of a report;
 * messages that cannot be read.
 * SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "fuzz/report-model.h"

enum { ROOM = 1 << 22 };
static struct { char s[ROOM]; size_t n; unsigned pieces; } got;

static void take(void *ctx, const char *p, size_t n)
{
	(void)ctx;
	if (n > ROOM - 1 - got.n) abort();
	memcpy(got.s + got.n, p, n);
	got.n += n;
	got.s[got.n] = '\0';
	got.pieces++;
}

static bool compose(const struct report *r)
{
	got.n = got.pieces = 0;
	return report_write(r, take, NULL);
}

static int file_of(const char *s, size_t n)
{
	static int fd = -1;
	if (fd < 0) fd = memfd_create("message", 0);
	if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, s, n, 0) != (ssize_t)n) abort();
	return fd;
}

static struct report plain(const struct report_rcpt *rcpt, size_t count)
{
	return (struct report){ .hostname = "mx.example.test", .to = "alice@example.test", .id = "1a2b", .envid = "", .arrived = 1767225600, .now = 1767312000,
		.until = 1767657600, .message = -1, .most = 100000, .count = count, .rcpt = rcpt };
}

/* --- what is told --- */

#define WORDS "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff ggggggggg"

static void test_told(void)
{
	static const struct { bool utf8; struct report_rcpt rcpt; const char *want; } rows[] = {
		/* addresses */
		{ false, { .rcpt = "b@x.org" }, "\r\n\r\nFinal-Recipient: rfc822; b@x.org\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n--" },
		{ false, { .rcpt = "b@x.org", .orcpt = "rfc822;a+2Bc+40d@y.org" }, "\r\n\r\nOriginal-Recipient: rfc822; a+c@d@y.org\r\nFinal-" },
		{ false, { .rcpt = "b@x.org", .orcpt = "rfc822;a+2B" }, "      where mail for a+ goes\r\n" },
		{ false, { .rcpt = "b@x.org", .orcpt = "RFC822;b@x.org" }, "  <b@x.org>\r\n      Reach" },
		{ false, { .rcpt = "b@x.org", .orcpt = "rfc822;a+0D+0AStatus:+202.0.0" }, "Original-Recipient: rfc822; a+0D+0AStatus:+202.0.0\r\nFinal-" },
		{ false, { .rcpt = "b@x.org", .orcpt = "rfc822;a+4" }, "Original-Recipient: rfc822; a+4\r\n" },
		{ false, { .rcpt = "b@x.org", .orcpt = "x\r\nAction;b" }, "\r\n\r\nFinal-Recipient: " },
		{ false, { .rcpt = "b@x.org", .orcpt = "no type" }, "\r\n\r\nFinal-Recipient: " },
		{ false, { .rcpt = "b@x.org", .orcpt = "rfc822;" }, "\r\n\r\nFinal-Recipient: " },
		{ false, { .rcpt = "b@x.org", .orcpt = "x400;/C=no/" }, "Original-Recipient: x400; /C=no/\r\n" },
		{ true, { .rcpt = "b@x.org", .orcpt = "utf-8;gr\\x{FC}n\\x{2B}@x.org" }, "Original-Recipient: utf-8; gr\u00fcn+@x.org\r\n" },
		{ true, { .rcpt = "b@x.org", .orcpt = "utf-8;gr\u00fcn@x.org" }, "Original-Recipient: utf-8; gr\u00fcn@x.org\r\n" },
		{ true, { .rcpt = "b@x.org", .orcpt = "utf-8;a\\x{A}@x.org" }, "Original-Recipient: utf-8; a\\x{A}@x.org\r\n" },
		{ true, { .rcpt = "b@x.org", .orcpt = "utf-8;a\\x{D800}" }, "Original-Recipient: utf-8; a\\x{D800}\r\n" },
		{ true, { .rcpt = "b@x.org", .orcpt = "utf-8;a\\x{110000}" }, "Original-Recipient: utf-8; a\\x{110000}\r\n" },
		{ true, { .rcpt = "b@x.org", .orcpt = "utf-8;a\\x{1F600}\\x{20AC}" }, "Original-Recipient: utf-8; a\U0001f600\u20ac\r\n" },
		{ true, { .rcpt = "b@x.org", .orcpt = "utf-8;a\\x{" }, "Original-Recipient: utf-8; a\\x{\r\n" },
		{ false, { .rcpt = "b@x.org", .orcpt = "utf-8;gr\u00fcn+\\x{20AC}@x.org" }, "Original-Recipient: utf-8; gr\\x{FC}n\\x{2B}\\x{20AC}@x.org\r\n" },
		{ true, { .rcpt = "gr\u00fcn@x.org" }, "\r\nFinal-Recipient: utf-8; gr\u00fcn@x.org\r\n" },
		{ false, { .rcpt = "gr\u00fcn@x.org" }, "\r\nFinal-Recipient: utf-8; gr\\x{FC}n@x.org\r\n" },
		{ false, { .rcpt = "gr\u00fcn@x.org" }, "\r\n  <gr?n@x.org>\r\n" },
		{ false, { .rcpt = "\"a  b\"@x.org" }, "\r\nFinal-Recipient: rfc822; \"a  b\"@x.org\r\n" },
		{ false, { .rcpt = "b@x.org\r\nStatus: 2.0.0" }, "\r\nFinal-Recipient: rfc822; b@x.org??Status: 2.0.0\r\n" },
		/* codes */
		{ false, { .rcpt = "b@x.org", .status = "5.1.1" }, "\r\nStatus: 5.1.1\r\n" },
		{ false, { .rcpt = "b@x.org", .status = "4.4.7", .action = REPORT_DELAYED }, "\r\nAction: delayed\r\nStatus: 4.4.7\r\nWill-Retry-Until: Tue, 6 Jan 2026 00:00:00 +0000\r\n" },
		{ false, { .rcpt = "b@x.org", .status = "2.1.5", .action = REPORT_RELAYED }, "\r\nAction: relayed\r\nStatus: 2.1.5\r\n\r\n--" },
		{ false, { .rcpt = "b@x.org", .action = REPORT_EXPANDED }, "\r\nAction: expanded\r\nStatus: 2.0.0\r\n\r\n--" },
		{ false, { .rcpt = "b@x.org", .action = REPORT_EXPANDED }, "  <b@x.org>\r\n\r\nYou are not told when" },
		{ false, { .rcpt = "b@x.org", .status = "2.1.5\r\n", .action = REPORT_DELIVERED }, "\r\nAction: delivered\r\nStatus: 2.0.0\r\n\r\n--" },
		{ false, { .rcpt = "b@x.org", .status = "5.1.1000" }, "\r\nStatus: 5.0.0\r\n" },
		{ false, { .rcpt = "b@x.org", .status = "5.1." }, "\r\nStatus: 5.0.0\r\n" },
		{ false, { .rcpt = "b@x.org", .status = "3.1.1" }, "\r\nStatus: 5.0.0\r\n" },
		{ false, { .rcpt = "b@x.org", .status = "5.999.999" }, "\r\nStatus: 5.999.999\r\n" },
		/* who said what */
		{ false, { .rcpt = "b@x.org", .host = "mx.x.org", .text = "550 no\n550 never", .said = true, .last = 1 },
			"\r\nRemote-MTA: dns; mx.x.org\r\nDiagnostic-Code: smtp; 550 no\r\n 550 never\r\nLast-Attempt-Date: Thu, 1 Jan 1970 00:00:01 +0000\r\n" },
		{ false, { .rcpt = "b@x.org", .host = "mx.x.org", .text = "550 no\n550 never", .said = true }, "      The server mx.x.org said:\r\n          550 no\r\n          550 never\r\n" },
		{ false, { .rcpt = "b@x.org", .text = "550 no", .said = true }, "      The server there said:\r\n          550 no\r\n" },
		{ false, { .rcpt = "b@x.org", .text = "no route" }, "\r\nDiagnostic-Code: x-smtp-handler; no route\r\n" },
		{ false, { .rcpt = "b@x.org", .text = "no route" }, "  <b@x.org>\r\n      no route\r\n" },
		{ false, { .rcpt = "b@x.org", .text = " \r\n\t\n", .said = true }, "\r\nStatus: 5.0.0\r\n\r\n--" },
		{ false, { .rcpt = "b@x.org", .host = "\r\nA: b" }, "\r\nRemote-MTA: dns; ??A: b\r\n" },
		{ false, { .rcpt = "b@x.org", .host = " \t " }, "\r\nStatus: 5.0.0\r\n\r\n--" },
		{ false, { .rcpt = "b@x.org", .text = "550 " WORDS " hhhhhhhhh", .said = true }, "\r\nDiagnostic-Code: smtp; 550 aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee\r\n fffffffff ggggggggg hhhhhhhhh\r\n" },
		{ false, { .rcpt = "b@x.org", .text = "550 no\n\n \nFinal-Recipient: evil", .said = true }, "\r\nDiagnostic-Code: smtp; 550 no\r\n Final-Recipient: evil\r\n\r\n--" },
		{ false, { .rcpt = "b@x.org", .text = "550 \x1b[31m gr\u00fcn \xff \x7f", .said = true }, "Diagnostic-Code: smtp; 550 ?[31m gr?n ? ?\r\n" },
		{ true, { .rcpt = "b@x.org", .text = "550 gr\u00fcn \xff \xc3 \xed\xa0\x80 \xc2\x85 \u2028 \u202e \U0001f600", .said = true }, "Diagnostic-Code: smtp; 550 gr\u00fcn ? ? ??? ? ? ? \U0001f600\r\n" },
		/* what it means */
		{ false, { .rcpt = "b@x.org", .status = "5.1.1" }, "      There is no such mailbox.\r\n      Check how" },
		{ false, { .rcpt = "b@x.org", .status = "5.1.10" }, "      The domain of this address takes no mail at all.\r\n" },
		{ false, { .rcpt = "b@x.org", .status = "5.1.11" }, "      There is something wrong with this address.\r\n" },
		{ false, { .rcpt = "b@x.org", .status = "5.7.26" }, "      The mail server there refused the message by a rule" },
		{ false, { .rcpt = "b@x.org", .status = "5.5.0" }, "  <b@x.org>\r\n      Reach the recipient" },
		{ false, { .rcpt = "b@x.org", .status = "4.2.2", .action = REPORT_DELAYED }, "      The mailbox is full.\r\n\r\nYou need not do anything" },
		{ false, { .rcpt = "b@x.org", .action = REPORT_DELAYED }, "another 4 days, until Tue, 6 Jan 2026 00:00:00 +0000. Should" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct report_rcpt rcpt = rows[i].rcpt;
		const char **texts[] = { &rcpt.orcpt, &rcpt.status, &rcpt.host, &rcpt.text };
		for (size_t t = 0; t < COUNT(texts); t++)
			if (!*texts[t]) *texts[t] = "";
		struct report r = plain(&rcpt, 1);
		r.utf8 = rows[i].utf8;
		check(compose(&r) && strstr(got.s, rows[i].want), "%s", show_text(rows[i].want));
		const char *flaw = report_flaw(got.s, got.n, &r, NULL);
		if (!check(!flaw, "and the whole: %s", flaw ? flaw : "well formed")) fwrite(got.s, 1, got.n, stderr);
	}
}

static void test_header(void)
{
	static const struct { enum report_action a, b; const char *want; } subjects[] = {
		{ REPORT_FAILED, REPORT_FAILED, "\r\nSubject: Undelivered mail\r\n" }, { REPORT_DELAYED, REPORT_DELAYED, "\r\nSubject: Delayed mail, still being tried\r\n" },
		{ REPORT_DELIVERED, REPORT_DELIVERED, "\r\nSubject: Delivered mail\r\n" }, { REPORT_RELAYED, REPORT_RELAYED, "\r\nSubject: Mail passed on\r\n" },
		{ REPORT_EXPANDED, REPORT_EXPANDED, "\r\nSubject: Mail passed on to several addresses\r\n" },
		{ REPORT_FAILED, REPORT_DELAYED, "\r\nSubject: Report about your mail\r\n" },
	};
	static const struct { const char *envid, *want; } ids[] = {
		{ "QQ+2B+20x", "\r\nOriginal-Envelope-Id: QQ+ x\r\nReporting-MTA: dns; mx.example.test\r\nX-Smtp-Handler-Id: 1a2b\r\nArrival-Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\n" },
		{ "", "\r\n\r\nReporting-MTA: " }, { "+0AAction:x", "\r\n\r\nOriginal-Envelope-Id: +0AAction:x\r\nReporting-MTA: " },
		{ "a\r\nb", "\r\n\r\nOriginal-Envelope-Id: a??b\r\nReporting-MTA: " },
	};
	struct report_rcpt two[2] = { { .rcpt = "b@x.org", .orcpt = "", .status = "", .host = "", .text = "" }, { .rcpt = "c@x.org", .orcpt = "", .status = "", .host = "", .text = "" } };
	struct report r = plain(two, 2);
	for (size_t i = 0; i < COUNT(subjects); i++) {
		two[0].action = subjects[i].a;
		two[1].action = subjects[i].b;
		check(compose(&r) && strstr(got.s, subjects[i].want), "%s", show_text(subjects[i].want));
	}
	for (size_t i = 0; i < COUNT(ids); i++) {
		r.envid = ids[i].envid;
		check(compose(&r) && strstr(got.s, ids[i].want), "envelope id %s", show_text(ids[i].want));
	}
	char first[200];
	snprintf(first, sizeof first, "%s", strstr(got.s, "Message-ID: "));
	check(compose(&r) && memcmp(first, strstr(got.s, "Message-ID: "), 60) != 0, "another report has another Message-ID");
}

/* --- what comes with it --- */

static void test_original(void)
{
	static const struct { const char *s; size_t n; bool full, utf8, delayed; uint64_t most; enum report_needs needs; const char *want; } rows[] = {
		{ BYTES("A: b\n\nx\n"), false, false, false, 100, REPORT_7BIT, "Content-Type: text/rfc822-headers\r\n\r\nA: b\r\n\r\n--" },
		{ BYTES("A: b\n\nx\n"), true, false, false, 100, REPORT_7BIT, "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nx\r\n\r\n--" },
		{ BYTES("A: b\n\nx\n"), true, false, true, 100, REPORT_7BIT, "Content-Type: text/rfc822-headers\r\n\r\nA: b\r\n\r\n--" },
		{ BYTES("A: b\n\nx\n"), true, false, false, 8, REPORT_7BIT, "Content-Type: message/rfc822\r\n" },
		{ BYTES("A: b\n\nx\n"), true, false, false, 7, REPORT_7BIT, "Content-Type: text/rfc822-headers\r\n\r\nA: b\r\n\r\n--" },
		{ BYTES("A: b\n\nx\n"), true, false, false, 7, REPORT_7BIT, "The message has more than 7 octets" },
		{ BYTES("A: b\n\nx\n"), true, false, true, 7, REPORT_7BIT, "\r\nThe header of the message comes with this report.\r\n" },
		{ BYTES("A: b\r"), false, false, false, 100, REPORT_7BIT, "quoted-printable\r\n\r\nA: b=0D\r\n--" },
		{ BYTES("A: b\n\nx"), true, false, false, 100, REPORT_7BIT, "\r\n\r\nA: b\r\n\r\nx\r\n--" },
		{ BYTES("A: b"), false, false, false, 100, REPORT_7BIT, "\r\n\r\nA: b\r\n--" },
		{ BYTES("A: b\n"), true, false, false, 100, REPORT_7BIT, "\r\n\r\nA: b\r\n\r\n--" },
		{ BYTES(""), false, false, false, 100, REPORT_7BIT, "text/rfc822-headers\r\n\r\n\r\n--" },
		{ BYTES(""), true, false, false, 100, REPORT_7BIT, "message/rfc822\r\n\r\n\r\n--" },
		{ BYTES("\nx\n"), false, false, false, 100, REPORT_7BIT, "text/rfc822-headers\r\n\r\n\r\n--" },
		{ BYTES("\nx\n"), true, false, false, 100, REPORT_7BIT, "message/rfc822\r\n\r\n\r\nx\r\n\r\n--" },
		{ BYTES("A: b\r\n\r\nx\r\n"), false, false, false, 100, REPORT_7BIT, "text/rfc822-headers\r\n\r\nA: b\r\n\r\n--" },
		{ BYTES("A: \xfc =\t\n\nx\n"), false, false, false, 100, REPORT_7BIT, "quoted-printable\r\n\r\nA: =FC =3D=09\r\n\r\n--" },
		{ BYTES("A: b\n\n\xfc\n"), false, false, false, 100, REPORT_7BIT, "Content-Type: text/rfc822-headers\r\n\r\nA: b\r\n\r\n--" },
		{ BYTES("A: \xfc\n\nx\n"), true, false, false, 100, REPORT_8BITMIME, "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nA: \xfc\r\n\r\nx\r\n\r\n--" },
		{ BYTES("A: b\n\n\xc3\xbc\n"), true, true, false, 100, REPORT_8BITMIME, "message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\nA: b\r\n\r\n\xc3\xbc\r\n" },
		{ BYTES("A: \xc3\xbc\n\nx\n"), false, true, false, 100, REPORT_8BITMIME, "message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\nA: \xc3\xbc\r\n\r\n--" },
		{ BYTES("A: b\n\nx\n"), true, true, false, 100, REPORT_8BITMIME, "message/global\r\n\r\nA: b\r\n" },
		{ BYTES("A: \0\r \n"), false, false, false, 100, REPORT_7BIT, "quoted-printable\r\n\r\nA: =00=0D=20\r\n\r\n--" },
		{ BYTES("A: b\n\n\0 \r \r"), true, false, false, 100, REPORT_7BIT, "\r\n\r\nA: b\r\n\r\n?    \r\n--" },
	};
	struct report_rcpt rcpt = { .rcpt = "b@x.org", .orcpt = "", .status = "", .host = "", .text = "" };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct report r = plain(&rcpt, 1);
		rcpt.action = rows[i].delayed ? REPORT_DELAYED : REPORT_FAILED;
		r.message = file_of(rows[i].s, rows[i].n);
		r.size = rows[i].n;
		r.full = rows[i].full;
		r.utf8 = rows[i].utf8;
		r.most = rows[i].most;
		bool good = compose(&r);
		const char *want = rows[i].want;
		good = check(good && memmem(got.s, got.n, want, strlen(want)), "%s in the report about %s", show_text(want), show(rows[i].s, rows[i].n));
		if (!good) fwrite(got.s, 1, got.n, stderr);
		check_number(report_needs(&r), rows[i].needs, "what it needs");
		const char *flaw = report_flaw(got.s, got.n, &r, rows[i].s);
		if (!check(!flaw, "and the whole: %s", flaw ? flaw : "well formed")) fwrite(got.s, 1, got.n, stderr);
	}
}

/* A reply without end: most of it is left out, of a word without end a line is made here and there.  */
static void test_long_reply(void)
{
	static char text[100001];
	struct report_rcpt rcpt = { .rcpt = "b@x.org", .orcpt = "", .status = "", .host = "", .text = text, .said = true };
	struct report r = plain(&rcpt, 1);
	for (unsigned lines = 0; lines < 3; lines++) {
		for (size_t i = 0; i < sizeof text - 1; i++) text[i] = lines == 1 && i % 50 == 49 ? '\n' : lines == 2 && i % 10 == 9 ? ' ' : 'x';
		const char *flaw = compose(&r) ? report_flaw(got.s, got.n, &r, NULL) : "failed";
		check(!flaw, "a reply of %zu octets: %s", sizeof text - 1, flaw ? flaw : "well formed");
		check(strstr(got.s, "\r\n [...]\r\n") && got.n < 12000, "it is cut (%zu octets)", got.n);
	}
}

/* Lines about as long as they may be, whole and alone, and a header that never ends.  */
static void test_long(void)
{
	enum { MOST = 600000 };
	static char message[MOST];
	struct report_rcpt rcpt = { .rcpt = "b@x.org", .orcpt = "", .status = "", .host = "", .text = "" };
	struct report r = plain(&rcpt, 1);
	r.most = MOST;
	for (size_t length = 990; length < 2010; length += length == 1003 ? 985 : 1)
		for (unsigned full = 0; full < 2; full++) {
			memcpy(message, "A: b\nB: ", 8);
			memset(message + 8, 'x', 2 * length);
			message[5 + length] = '\n';
			message[6 + 2 * length] = '\n';
			r.size = 7 + 2 * length;
			message[6 + length] = ' ';
			r.full = full;
			r.message = file_of(message, r.size);
			bool good = compose(&r);
			const char *flaw = report_flaw(got.s, got.n, &r, message);
			check(good && !flaw, "lines of %zu octets%s: %s", length, full ? ", whole" : "", flaw ? flaw : "well formed");
			check((strstr(got.s, "quoted-printable") != NULL) == (!full && length > 998), "and encoded if need be");
		}
	r.full = false;
	for (unsigned lines = 0; lines < 2; lines++) {
		memset(message, 'x', MOST);
		for (size_t i = 99; lines && i < MOST; i += 100) message[i] = '\n';
		r.message = file_of(message, r.size = MOST);
		check(compose(&r) && strstr(got.s, "it was cut.\r\n") && got.n < 300000 && got.n > 260000, "of a header without end the start (%zu octets)", got.n);
	}
}

/* --- anything --- */

static const char *anything(uint64_t *seed, char *out, size_t room)
{
	static const char *const bits[] = { "\r", "\n", "\r\n", "\n\n", "\n--=_", "--", "=_0", " ", "\t", "      ", "\nStatus: 2.0.0", "\nFinal-Recipient: rfc822; e", ":", ";",
		"+", "+0D+0A", "+2B", "\\x{", "\\x{FC}", "\\x{A}", "}", "utf-8;", "rfc822;", "@", ".", "<", ">", "\"", "=", "=?", "\x01", "\x1b", "\x7f", "\x80", "\xc3",
		"\xc3\xbc", "\xe2\x80\xa8", "\xf0\x9f\x98\x80", "\xff", "5.1.1", "550 ", "word word word word word word word word word ", "From: a\n", "Subject: ",
		"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789" };
	size_t n = 0;
	unsigned longest = 1U << random_next(seed) % 8;
	for (uint64_t count = random_next(seed) % longest; count > 0; count--) {
		const char *bit = bits[random_next(seed) % COUNT(bits)];
		for (unsigned times = random_next(seed) % 20 ? 1 : 12; times > 0; times--)
			if (n + strlen(bit) < room) memcpy(out + n, bit, strlen(bit)), n += strlen(bit);
	}
	out[n] = '\0';
	return out;
}

static void test_anything(void)
{
	enum { TIMES = 20000, RCPTS = 3, TEXTS = 5, SIZE = 6000 };
	static char texts[RCPTS][TEXTS][SIZE], to[SIZE], id[SIZE], envid[SIZE], message[SIZE];
	struct report_rcpt rcpt[RCPTS];
	uint64_t seed = 42;
	unsigned bad = 0, failed = 0;
	for (unsigned i = 0; i < TIMES && bad < 5; i++) {
		struct report r = plain(rcpt, 1 + random_next(&seed) % RCPTS);
		for (size_t k = 0; k < r.count; k++) {
			char (*t)[SIZE] = texts[k];
			rcpt[k] = (struct report_rcpt){ .rcpt = anything(&seed, t[0], SIZE), .orcpt = anything(&seed, t[1], SIZE), .action = random_next(&seed) % 5,
				.status = anything(&seed, t[2], SIZE), .host = anything(&seed, t[3], SIZE), .text = anything(&seed, t[4], SIZE), .said = random_next(&seed) % 2,
				.last = (time_t)(random_next(&seed) % 2) };
		}
		r.to = anything(&seed, to, SIZE);
		r.id = anything(&seed, id, SIZE);
		r.envid = anything(&seed, envid, SIZE);
		r.size = strlen(anything(&seed, message, SIZE));
		for (char *c = message; (c = strchr(c, '\x01'));) *c = '\0', c++;
		r.sender = random_next(&seed) % 4 ? NULL : r.envid;
		r.full = random_next(&seed) % 2;
		r.utf8 = random_next(&seed) % 2;
		r.most = random_next(&seed) % SIZE;
		r.message = random_next(&seed) % 8 ? file_of(message, r.size) : -1;
		if (r.message < 0) r.size = 0;
		if (!compose(&r)) failed++;
		const char *flaw = report_flaw(got.s, got.n, &r, r.message < 0 ? NULL : message);
		if (!flaw) continue;
		bad++;
		check(false, "report %u: %s", i, flaw);
		fwrite(got.s, 1, got.n, stderr);
	}
	check_number(bad + failed, 0, "reports of anything are well formed");
}

/* --- trouble --- */

static void test_unreadable(void)
{
	struct report_rcpt rcpt = { .rcpt = "b@x.org", .orcpt = "", .status = "", .host = "", .text = "" };
	struct report r = plain(&rcpt, 1);
	r.full = true;
	r.message = file_of(BYTES("A: b\n\nx\n"));
	r.size = 9;
	errno = 0;
	check(!compose(&r) && errno == EIO, "a message shorter than it should be");
	r.size = 7;
	check(compose(&r) && strstr(got.s, "\r\n\r\nx\r\n--"), "one longer than that: no more than its size");
	r.message = open("/dev/null", O_WRONLY);
	check(!compose(&r) && errno == EBADF, "one that cannot be read");
	close(r.message);
}

int main(void)
{
	test_told();
	test_header();
	test_original();
	test_long();
	test_long_reply();
	test_anything();
	test_unreadable();
	return done();
}
