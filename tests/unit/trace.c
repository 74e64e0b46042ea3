/* Trace headers: dates against known ones and against the C library, Received as text, the header watcher cut anywhere.
 * SPDX-License-Identifier: MIT */
#include "trace.h"

#include "check.h"

/* --- dates --- */

static void test_dates(void)
{
	static const struct { long long t; const char *want; } rows[] = {
		{ 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
		{ 1, "Thu, 1 Jan 1970 00:00:01 +0000" },
		{ 86399, "Thu, 1 Jan 1970 23:59:59 +0000" },
		{ 86400, "Fri, 2 Jan 1970 00:00:00 +0000" },
		{ 5097599, "Sat, 28 Feb 1970 23:59:59 +0000" },
		{ 5097600, "Sun, 1 Mar 1970 00:00:00 +0000" },
		{ 31535999, "Thu, 31 Dec 1970 23:59:59 +0000" },
		{ 31536000, "Fri, 1 Jan 1971 00:00:00 +0000" },
		{ 68169600, "Tue, 29 Feb 1972 00:00:00 +0000" },
		{ 946684799, "Fri, 31 Dec 1999 23:59:59 +0000" },
		{ 946684800, "Sat, 1 Jan 2000 00:00:00 +0000" },
		{ 951782400, "Tue, 29 Feb 2000 00:00:00 +0000" },
		{ 951868800, "Wed, 1 Mar 2000 00:00:00 +0000" },
		{ 978307199, "Sun, 31 Dec 2000 23:59:59 +0000" },
		{ 1000000000, "Sun, 9 Sep 2001 01:46:40 +0000" },
		{ 1234567890, "Fri, 13 Feb 2009 23:31:30 +0000" },
		{ 1704067200, "Mon, 1 Jan 2024 00:00:00 +0000" },
		{ 1709164800, "Thu, 29 Feb 2024 00:00:00 +0000" },
		{ 1709251199, "Thu, 29 Feb 2024 23:59:59 +0000" },
		{ 1709251200, "Fri, 1 Mar 2024 00:00:00 +0000" },
		{ 1735689599, "Tue, 31 Dec 2024 23:59:59 +0000" },
		{ 2147483647, "Tue, 19 Jan 2038 03:14:07 +0000" },
		{ 2147483648, "Tue, 19 Jan 2038 03:14:08 +0000" },
		{ 4107542399, "Sun, 28 Feb 2100 23:59:59 +0000" },
		{ 4107542400, "Mon, 1 Mar 2100 00:00:00 +0000" },
		{ 4294967296, "Sun, 7 Feb 2106 06:28:16 +0000" },
		{ 13574563200, "Tue, 29 Feb 2400 00:00:00 +0000" },
		{ 253402300799, "Fri, 31 Dec 9999 23:59:59 +0000" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char got[TRACE_DATE];
		time_t t = (time_t)rows[i].t;
		if (t != rows[i].t) continue;   /* 32 bits */
		trace_date(got, t);
		check_text(got, rows[i].want, "date of %lld", rows[i].t);
	}
}

/* The C library's opinion.  */
static bool date_agrees(time_t t)
{
	char got[TRACE_DATE], want[2 * TRACE_DATE], weekday[8], rest[32];
	struct tm tm;
	if (!gmtime_r(&t, &tm)) abort();
	strftime(weekday, sizeof weekday, "%a", &tm);
	strftime(rest, sizeof rest, "%b %Y %H:%M:%S", &tm);
	snprintf(want, sizeof want, "%s, %d %s +0000", weekday, tm.tm_mday, rest);
	trace_date(got, t);
	if (strcmp(got, want) == 0) return true;
	printf("#   at %lld\n#   expected: \"%s\"\n#   got:      \"%s\"\n", (long long)t, want, got);
	return false;
}

static void test_dates_against_library(void)
{
	enum { TIMES = 100000, DAYS = 2 * 146097 };
	long long last = sizeof(time_t) > 4 ? 253402300799 : 2147483647;
	uint64_t seed = 1970;
	bool good = true;
	for (long i = 0; i < TIMES && good; i++) {
		uint64_t range = (uint64_t)last + 1;
		good = date_agrees((time_t)(random_next(&seed) % (i % 2 ? range : range / 60 + 1)));
	}
	check(good, "%d random times", (int)TIMES);
	good = true;
	for (long long day = 0; day < DAYS && good && day * 86400 + 86399 <= last; day++)
		good = date_agrees((time_t)(day * 86400)) && date_agrees((time_t)(day * 86400 + 86399));
	check(good, "the first and the last second of each day of 800 years");
	char text[TRACE_DATE + 1];
	memset(text, '#', sizeof text);
	trace_date(text, (time_t)(sizeof(time_t) > 4 ? INT64_MAX : INT32_MAX));
	check(text[TRACE_DATE] == '#' && memchr(text, '\0', TRACE_DATE), "the last of all times stays within TRACE_DATE");
}

/* --- Received --- */

static void test_received(void)
{
	static const struct { const char *what; struct received in; const char *want; } rows[] = {
		{ "TRC-01 IPv4, one recipient", { "client.example.org", "192.0.2.1", "mx.example.net", "ESMTP", "abc.1", "user@example.net", 1704067200, NULL },
			"Received: from client.example.org ([192.0.2.1])\r\n\tby mx.example.net with ESMTP id abc.1\r\n\tfor <user@example.net>;\r\n"
			"\tMon, 1 Jan 2024 00:00:00 +0000\r\n" },
		{ "TRC-02 IPv6", { "[IPv6:2001:db8::1]", "2001:db8::1", "mx.example.net", "SMTP", "abc.2", "user@example.net", 0, NULL },
			"Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n\tby mx.example.net with SMTP id abc.2\r\n\tfor <user@example.net>;\r\n"
			"\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
		{ "TRC-04 no FOR", { "a", "::1", "b", "UTF8SMTP", "i.65535", NULL, 0, NULL },
			"Received: from a ([IPv6:::1])\r\n\tby b with UTF8SMTP id i.65535;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
		{ "local peer", { "a", "local", "b", "LMTP", "i", "\"a b\"@c", 0, NULL },
			"Received: from a (local)\r\n\tby b with LMTP id i\r\n\tfor <\"a b\"@c>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
		{ "local peer, no FOR", { "a", "local", "b", "ESMTP", "i", NULL, 0, NULL },
			"Received: from a (local)\r\n\tby b with ESMTP id i;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
		{ "TLS", { "a", "192.0.2.1", "b", "ESMTPSA", "i", NULL, 0, "TLS1.3 TLS_AES_256_GCM_SHA384" },
			"Received: from a ([192.0.2.1])\r\n\t(TLS1.3 TLS_AES_256_GCM_SHA384)\r\n\tby b with ESMTPSA id i;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
		{ "no TLS", { "a", "local", "b", "ESMTP", "i", NULL, 0, "" },
			"Received: from a (local)\r\n\tby b with ESMTP id i;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
		{ "a literal as name", { "[192.0.2.1]", "192.0.2.1", "[192.0.2.2]", "ESMTP", "i", NULL, 0, NULL },
			"Received: from [192.0.2.1] ([192.0.2.1])\r\n\tby [192.0.2.2] with ESMTP id i;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
		{ "no format string (P8)", { "%s", "1.2.3.4", "%n", "%d", "%%", "%s@%n", 0, NULL },
			"Received: from %s ([1.2.3.4])\r\n\tby %n with %d id %%\r\n\tfor <%s@%n>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char got[TRACE_RECEIVED];
		size_t n = trace_received(got, &rows[i].in);
		check_text(got, rows[i].want, "%s", rows[i].what);
		check_number(n, strlen(got), "%s: length", rows[i].what);
	}
}

/* TRC-05: with everything at its longest, lines are within RFC 5322 2.1.1, folded, and nothing is lost or overrun.  */
static void test_received_limits(void)
{
	enum { LONGEST_LINE = 1000, DOMAIN = 255, PATH = 254 };
	static char name[DOMAIN + 1], path[PATH + 1], got[TRACE_RECEIVED + 1];
	static const char tls[] = "TLS1.2 ECDHE-ECDSA-CHACHA20-POLY1305 c=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	memset(name, 'n', DOMAIN);
	memset(path, 'p', PATH);
	struct received r = { name, "2001:db8:1111:2222:3333:4444:255.255.255.255", name, "UTF8LMTPSA", "0123456789abcdef0123456789abcdef.4294967295", path, 253402300799, tls };
	memset(got, '#', sizeof got);
	size_t n = trace_received(got, &r), names = 0, paths = 0, longest = 0;
	check(n < TRACE_RECEIVED && got[n] == '\0' && got[TRACE_RECEIVED] == '#', "the longest Received fits");
	for (size_t i = 0; i < n; i++) {
		names += got[i] == 'n';
		paths += got[i] == 'p';
	}
	check(strstr(got, r.id) && strstr(got, r.peer) && names == 2 * DOMAIN && paths == PATH, "nothing of it is cut");
	bool folded = true;
	char *line = got, *end;
	while ((end = strstr(line, "\r\n"))) {
		if ((size_t)(end + 2 - line) > longest) longest = (size_t)(end + 2 - line);
		line = end + 2;
		folded &= *line == '\t' || *line == '\0';
	}
	check(folded && *line == '\0', "each line but the first begins with a tab, the last ends with CRLF");
	check(longest <= LONGEST_LINE, "no line has more than 998 octets");
	memset(got, '#', sizeof got);
	static char huge[5000];
	memset(huge, 'h', sizeof huge - 1);
	n = trace_received(got, &(struct received){ huge, huge, huge, huge, huge, huge, 0, huge });
	check(n < TRACE_RECEIVED && got[n] == '\0' && got[TRACE_RECEIVED] == '#', "what is longer than can be is cut, not overrun");
}

/* --- the header watcher --- */

struct seen { char text[8192]; size_t n, lines; };

/* Each line is noted with a "|" behind it.  */
static void note(void *ctx, const char *s)
{
	struct seen *seen = ctx;
	seen->n += (size_t)snprintf(seen->text + seen->n, sizeof seen->text - seen->n, "%s|", s);
	seen->lines++;
}

/* Feed the text, cut before each octet whose bit is set in `cuts` (the bits repeat).  */
static bool feed(struct seen *seen, const char *s, size_t n, uint64_t cuts)
{
	struct header h = { .line = note, .ctx = seen };
	seen->n = seen->lines = 0;
	seen->text[0] = '\0';
	for (size_t at = 0; at < n;) {
		size_t piece = 1;
		while (at + piece < n && !(cuts >> (at + piece) % 64 & 1)) piece++;
		char *copy = exactly(s + at, piece);
		header_feed(&h, copy, piece);
		free(copy);
		at += piece;
	}
	return h.over;
}

static void test_header(void)
{
	static const struct { const char *what, *in, *want; bool over; } rows[] = {
		{ "CRLF", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "A: 1|B: 2|", true },
		{ "LF", "A: 1\nB: 2\n\nbody\n", "A: 1|B: 2|", true },
		{ "mixed", "A: 1\nB: 2\r\nC: 3\n\r\nbody\n", "A: 1|B: 2|C: 3|", true },
		{ "TRC-14 what is in the body does not count", "A: 1\r\n\r\nReceived: x\r\n\r\nReceived: y\r\n", "A: 1|", true },
		{ "no header", "\r\nReceived: x\r\n", "", true },
		{ "no header, LF", "\nReceived: x\n", "", true },
		{ "folded", "A: 1\r\n\t2\r\n 3\r\nB: 4\r\n\r\n", "A: 1|\t2| 3|B: 4|", true },
		{ "a line of a blank is not empty", "A: 1\r\n \r\nB: 2\r\n\r\n", "A: 1| |B: 2|", true },
		{ "no end yet", "A: 1\r\nB: 2\r\n", "A: 1|B: 2|", false },
		{ "a line that has not ended", "A: 1\r\nB: 2", "A: 1|", false },
		{ "a CR that may end the header", "A: 1\r\n\r", "A: 1|", false },
		{ "nothing", "", "", false },
		{ "a CR in mid-line stays", "A: 1\r2\r\n\r\n", "A: 1\r2|", true },
		{ "one CR is the line end's", "A: 1\r\r\n\r\n", "A: 1\r|", true },
		{ "8-bit", "A: \xff\xc3\xa9\r\n\r\n", "A: \xff\xc3\xa9|", true },
	};
	struct seen seen;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n = strlen(rows[i].in);
		bool over = feed(&seen, rows[i].in, n, 0);
		check_text(seen.text, rows[i].want, "header: %s", rows[i].what);
		check(over == rows[i].over, "header: %s: %s", rows[i].what, rows[i].over ? "over" : "not over");
		uint64_t cuts = ~0ULL;
		over = feed(&seen, rows[i].in, n, cuts);
		for (size_t at = 1; at < n && over == rows[i].over && strcmp(seen.text, rows[i].want) == 0; at++) over = feed(&seen, rows[i].in, n, 1ULL << at);
		check_text(seen.text, rows[i].want, "header: %s, cut anywhere", rows[i].what);
		check(over == rows[i].over, "header: %s, cut anywhere: %s", rows[i].what, rows[i].over ? "over" : "not over");
	}
}

/* Lines about as long as the buffer, and far longer: their start, and the next line whole.  */
static void test_long_headers(void)
{
	enum { ROOM = sizeof ((struct header *)0)->text - 1 };
	static const size_t lengths[] = { ROOM - 2, ROOM - 1, ROOM, ROOM + 1, ROOM + 2, 2 * ROOM, 5 * ROOM };
	static char in[6 * ROOM], want[2 * ROOM];
	struct seen seen;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		for (int crlf = 0; crlf < 2; crlf++) {
			size_t n = lengths[i];
			memset(in, 'x', n);
			n += (size_t)sprintf(in + n, crlf ? "\r\nB: 2\r\n\r\nbody\r\n" : "\nB: 2\n\nbody\n");
			snprintf(want, sizeof want, "%.*s|B: 2|", (int)(lengths[i] < ROOM ? lengths[i] : ROOM), in);
			bool good = true;
			for (unsigned way = 0; way < 66 && good; way++)
				good = feed(&seen, in, n, way == 0 ? 0 : way == 1 ? ~0ULL : 1ULL << (way - 2)) && strcmp(seen.text, want) == 0;
			if (!check(good, "header: a line of %zu with %s", lengths[i], crlf ? "CRLF" : "LF")) printf("#   got:      %zu octets in %zu lines\n", seen.n, seen.lines);
		}
	}
}

int main(void)
{
	test_dates();
	test_dates_against_library();
	test_received();
	test_received_limits();
	test_header();
	test_long_headers();
	return done();
}
