/* Date and Message-ID, where they are missing; however the message is cut.
 * SPDX-License-Identifier: MIT */
#include "complete.h"

#include "check.h"

static char out[4096];
static size_t length;

static void take(void *ctx, const char *p, size_t n)
{
	(void)ctx;
	memcpy(out + length, p, n);
	length += n;
}

/* Feed in pieces of `piece` octets, which never part CR and LF.  */
static const char *run(const char *in, size_t piece)
{
	struct complete c = { .write = take, .date = "D", .id = "<I>" };
	size_t n = strlen(in);
	length = 0;
	for (size_t at = 0; at < n;) {
		size_t end = at + piece < n ? at + piece : n;
		if (end < n && in[end] == '\n' && in[end - 1] == '\r') end++;
		complete_feed(&c, in + at, end - at);
		at = end;
	}
	complete_finish(&c);
	out[length] = '\0';
	return out;
}

#define BOTH "Date: D\r\nMessage-ID: <I>\r\n"
#define LONG "Xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

int main(void)
{
	static const struct { const char *in, *want; } rows[] = {
		{ "Subject: x\r\n\r\nhi\r\n", "Subject: x\r\n" BOTH "\r\nhi\r\n" },
		{ "Date: 1\r\nMessage-ID: <2>\r\n\r\nhi\r\n", "Date: 1\r\nMessage-ID: <2>\r\n\r\nhi\r\n" },
		{ "DATE: 1\r\n\r\n", "DATE: 1\r\nMessage-ID: <I>\r\n\r\n" }, { "message-id: <2>\r\n\r\n", "message-id: <2>\r\nDate: D\r\n\r\n" },
		{ "Date : 1\r\nMessage-ID\t:\r\n <2>\r\n\r\n", "Date : 1\r\nMessage-ID\t:\r\n <2>\r\n\r\n" },
		{ "X-Date: 1\r\nDated: 2\r\nDat: 3\r\nMessage-ID-X: 4\r\n\r\n", "X-Date: 1\r\nDated: 2\r\nDat: 3\r\nMessage-ID-X: 4\r\n" BOTH "\r\n" },
		{ "Subject: x\r\n Date: folded\r\n\tMessage-ID: too\r\n\r\n", "Subject: x\r\n Date: folded\r\n\tMessage-ID: too\r\n" BOTH "\r\n" },
		{ "\r\nhi\r\n", BOTH "\r\nhi\r\n" }, { "\r\nDate: in the body\r\n", BOTH "\r\nDate: in the body\r\n" }, { "", BOTH },
		{ "hi there\r\nyou\r\n", BOTH "\r\nhi there\r\nyou\r\n" }, { "Subject: x\r\nhi\r\n", "Subject: x\r\n" BOTH "\r\nhi\r\n" }, { " folded\r\n", BOTH "\r\n folded\r\n" },
		{ ": x\r\n\r\n", BOTH "\r\n: x\r\n\r\n" }, { "Subject: x\r\n", "Subject: x\r\n" BOTH }, { "Subject: x", "Subject: x\r\n" BOTH }, { "Date", "Date\r\n" BOTH },
		{ "Date: 1\r\nMessage-ID: <2>\r\n", "Date: 1\r\nMessage-ID: <2>\r\n" }, { "\xc3\xa9: x\r\n\r\n", BOTH "\r\n\xc3\xa9: x\r\n\r\n" },
		{ LONG ": y\r\n\r\n", LONG ": y\r\n" BOTH "\r\n" }, { "A: \r\n\r\n", "A: \r\n" BOTH "\r\n" }, { "A:\r\nB:\r\n\r\nx", "A:\r\nB:\r\n" BOTH "\r\nx" },
	};
	for (size_t i = 0; i < COUNT(rows); i++)
		for (size_t piece = 1; piece < 40; piece += piece < 4 ? 1 : 35)
			check_text(run(rows[i].in, piece), rows[i].want, "%s in pieces of %zu", show_text(rows[i].in), piece);
	return done();
}
