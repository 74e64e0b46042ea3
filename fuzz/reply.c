/* The LMTP reply reader against the shape of a reply (RFC 5321 4.2); and what it took, written out and read again, is the same: nothing of a
 * next hop reaches a client but replies.
 * SPDX-License-Identifier: MIT */
#include <regex.h>

#include "fuzz.h"
#include "model.h"
#include "reply.h"

enum { ROOM = 8192, MOST = 64, LINES = 10000 };
static struct { enum io_result got; int code; char status[12]; char *text; } want[MOST];
static size_t wanted;
static regex_t line_re, status_re;

/* The text of one line behind its code, its enhanced code taken off.  */
static size_t text_of(const char *line, char *status, bool counts, const char **text)
{
	regmatch_t m[2];
	*text = strlen(line) > 4 ? line + 4 : "";
	if (regexec(&status_re, *text, 2, m, 0) != 0 || **text != *line) return strlen(*text);
	if (counts) snprintf(status, 12, "%.*s", (int)m[1].rm_eo, *text);
	*text += m[0].rm_eo;
	return strlen(*text);
}

/* The next reply of the input, by the book.  */
static enum io_result model_reply(size_t *at, int *code, char *status, char *out)
{
	static char line[ROOM];
	char last[4] = "";
	size_t n = 0;
	for (int lines = 0; lines < LINES; lines++) {
		size_t from, len;
		const char *text;
		bool ended = false;
		size_t start = *at;
		enum io_result got = model_line(fuzz.text, fuzz.n, 4096, false, at, &from, &len);
		if (got == IO_TOO_LONG) {
			from = start;
			len = 4095;
			ended = model_find(fuzz.text, start, fuzz.n, "\n") == fuzz.n;
		} else if (got != IO_OK) {
			return got;
		}
		memcpy(line, fuzz.text + from, len);
		line[len] = '\0';
		for (size_t i = 0; i < len; i++)
			if (line[i] < ' ' || line[i] == 0x7f) line[i] = '?';    /* char is signed: this is for octets above 127 too */
		if (regexec(&line_re, line, 0, NULL, 0) != 0) return IO_BAD_EOL;
		bool counts = memcmp(last, line, 3) != 0;
		memcpy(last, line, 3);
		if (counts) sprintf(status, "%c.0.0", *line);
		size_t text_n = text_of(line, status, counts, &text), room = 2047 - n;
		n += (size_t)snprintf(out + n, room + 1, "%s%.*s", lines == 0 ? "" : room > 0 ? "\n" : "", (int)text_n, text);
		if (n > 2047) n = 2047;
		*code = atoi(last);
		if (ended) return IO_END;
		if (line[3] != '-') return IO_OK;
	}
	return IO_BAD_EOL;
}

/* Write it as a client would hear it: each line short, printable, with the code; read again, it is the same as far as lines were not cut.  */
static void check_echo(const struct reply_text *r)
{
	static char in[8192];
	static struct reply_text again;
	char buf[256];
	struct io io = { .in = 0, .out = 1, .ibuf = in, .isize = sizeof in, .obuf = buf, .osize = sizeof buf, .write_ms = 1000,
		.end = clock_deadline(100000) };
	size_t n = fuzz.n, at = fuzz.at, longest = 0;
	static char kept[ROOM];
	fuzz.said = 0;
	reply_put(&io, &r->reply);
	io_flush(&io);
	for (size_t i = 0, line = 0; i < fuzz.said; i++) {
		char c = fuzz.out[i];
		if (c == '\n') {
			EXPECT(i > 0 && fuzz.out[i - 1] == '\r' && i + 1 - line <= 512 && i - line > 4);
			EXPECT(atoi(fuzz.out + line) == r->reply.code && fuzz.out[line + 3] == (i + 1 == fuzz.said ? ' ' : '-'));
			if (i + 1 - line > longest) longest = i + 1 - line;
			line = i + 1;
		} else {
			EXPECT((c >= ' ' && c < 0x7f) || (c == '\r' && fuzz.out[i + 1] == '\n'));
		}
	}
	EXPECT(fuzz.said > 0 && fuzz.out[fuzz.said - 1] == '\n');
	memcpy(kept, fuzz.text, n);
	memcpy(fuzz.text, fuzz.out, fuzz.said);
	fuzz.n = fuzz.said;
	fuzz.at = 0;
	EXPECT(reply_read(&io, 1000, false, &again) == IO_OK && again.reply.code == r->reply.code && strcmp(again.status, r->status) == 0);
	if (longest < 512) EXPECT(strcmp(again.text, r->text) == 0);
	memcpy(fuzz.text, kept, n);
	fuzz.n = n;
	fuzz.at = at;
}

static void run(size_t isize)
{
	static struct reply_text r;
	char buf[64];
	struct io io = { .in = 0, .out = 1, .ibuf = malloc(isize), .isize = isize, .obuf = buf, .osize = sizeof buf, .write_ms = 1000,
		.end = clock_deadline(100000) };
	for (size_t i = 0; i < wanted; i++) {
		enum io_result got = reply_read(&io, 1000, false, &r);
		EXPECT(got == want[i].got);
		if (got != IO_OK) continue;
		EXPECT(r.reply.code == want[i].code && r.reply.code >= 200 && r.reply.code < 560);
		EXPECT(strcmp(r.reply.status, want[i].status) == 0 && strcmp(r.reply.text, want[i].text) == 0);
		check_echo(&r);
	}
	free(io.ibuf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[2048];
	if (!line_re.re_nsub) {
		EXPECT(regcomp(&line_re, "^[2-5][0-5][0-9]([ -]|$)", REG_EXTENDED | REG_NOSUB) == 0);
		EXPECT(regcomp(&status_re, "^([2-5]\\.(0|[1-9][0-9]{0,2})\\.(0|[1-9][0-9]{0,2}))( |$)", REG_EXTENDED) == 0);
	}
	fuzz_take(data, size, ROOM);
	size_t at = 0;
	for (wanted = 0; wanted < MOST;) {
		text[0] = '\0';
		want[wanted].got = model_reply(&at, &want[wanted].code, want[wanted].status, text);
		want[wanted].text = strdup(text);
		if (want[wanted++].got == IO_END) break;
	}
	run(4097 + control());
	while (wanted > 0) free(want[--wanted].text);
	return 0;
}
