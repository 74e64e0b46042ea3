/* Replies: what of a next hop's words is a reply, and what leaves as one.
 * SPDX-License-Identifier: MIT */
#include "reply.h"

#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"

enum { LONG = 3600000, LINE_MAX_OCTETS = 512, READ_MAX = 4096 };        /* READ_MAX: the longest line that reply_read takes */

/* --- reading --- */

static char buffer[8192];

/* An io that reads `in` from a file, so nothing waits.  */
static struct io open_io(FILE **file, const char *in, size_t n)
{
	*file = tmpfile();
	if (!*file || fwrite(in, 1, n, *file) != n || fflush(*file) != 0) abort();
	lseek(fileno(*file), 0, SEEK_SET);
	return (struct io){ .in = fileno(*file), .out = -1, .ibuf = buffer, .isize = sizeof buffer, .write_ms = LONG, .end = clock_deadline(LONG) };
}

static const struct {
	const char *in;
	size_t n;
	enum io_result result;
	int code;
	const char *status, *text;
} read_rows[] = {
#define READ(in, code, status, text) { BYTES(in), IO_OK, code, status, text }
#define REFUSED(in, result) { BYTES(in), result, 0, NULL, NULL }
	READ("250 Ok\r\n", 250, "2.0.0", "Ok"),
	READ("250 2.1.5 Recipient ok\r\n", 250, "2.1.5", "Recipient ok"),
	READ("450 Wait\r\n", 450, "4.0.0", "Wait"),
	READ("550 5.1.1 No such mailbox\r\n", 550, "5.1.1", "No such mailbox"),
	READ("200 x\r\n", 200, "2.0.0", "x"),
	READ("559 x\r\n", 559, "5.0.0", "x"),
	/* no text: RFC 5321 4.2 */
	READ("250\r\n", 250, "2.0.0", ""),
	READ("250 \r\n", 250, "2.0.0", ""),
	READ("550 5.1.1\r\n", 550, "5.1.1", ""),
	READ("550 5.1.1 \r\n", 550, "5.1.1", ""),
	READ("250-\r\n250\r\n", 250, "2.0.0", "\n"),
	/* many lines: RFC 5321 4.2.1 */
	READ("250-one\r\n250 two\r\n", 250, "2.0.0", "one\ntwo"),
	READ("250-host\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 HELP\r\n", 250, "2.0.0", "host\nSIZE 1000\n8BITMIME\nHELP"),
	READ("550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three\r\n", 550, "5.7.1", "one\ntwo\nthree"),
	READ("550-5.7.1 one\r\n550 two\r\n", 550, "5.7.1", "one\ntwo"),
	READ("550-5.7.1 one\r\n550 5.1.1 two\r\n", 550, "5.7.1", "one\ntwo"),
	READ("550-\r\n550-\r\n550 x\r\n", 550, "5.0.0", "\n\nx"),
	READ("214-a\r\n214-  b\r\n214  c\r\n", 214, "2.0.0", "a\n  b\n c"),
	READ("250-a\r\n250 b\r\n550 c\r\n", 250, "2.0.0", "a\nb"),
	/* enhanced codes: RFC 2034 4, RFC 3463 2 */
	READ("550 5.999.999 x\r\n", 550, "5.999.999", "x"),
	READ("550 5.0.0 x\r\n", 550, "5.0.0", "x"),
	READ("550 5.1.1  x\r\n", 550, "5.1.1", " x"),
	READ("250 5.1.1 x\r\n", 250, "2.0.0", "5.1.1 x"),       /* another class: not of this reply */
	READ("550 4.1.1 x\r\n", 550, "5.0.0", "4.1.1 x"),
	READ("550 5.1.1x\r\n", 550, "5.0.0", "5.1.1x"),
	READ("550 5.1.1: x\r\n", 550, "5.0.0", "5.1.1: x"),
	READ("550 5.1234.1 x\r\n", 550, "5.0.0", "5.1234.1 x"),
	READ("550 5.1.1234 x\r\n", 550, "5.0.0", "5.1.1234 x"),
	READ("550 5..1 x\r\n", 550, "5.0.0", "5..1 x"),
	READ("550 5.1. x\r\n", 550, "5.0.0", "5.1. x"),
	READ("550 5.1 x\r\n", 550, "5.0.0", "5.1 x"),
	READ("550 5 x\r\n", 550, "5.0.0", "5 x"),
	READ("550 55.1.1 x\r\n", 550, "5.0.0", "55.1.1 x"),
	READ("550 5.1.1.1 x\r\n", 550, "5.0.0", "5.1.1.1 x"),
	READ("550  5.1.1 x\r\n", 550, "5.0.0", " 5.1.1 x"),
	READ("550 x 5.1.1\r\n", 550, "5.0.0", "x 5.1.1"),
	/* control octets and those over 126 may not get out again (P8) */
	READ("250 a\tb\x01\x1b[2J\x7f\r\n", 250, "2.0.0", "a?b??[2J?"),
	READ("250 caf\xc3\xa9\r\n", 250, "2.0.0", "caf??"),
	READ("250 a\rb\r\n", 250, "2.0.0", "a?b"),
	READ("250 a\r\r\n", 250, "2.0.0", "a?"),
	READ("250-a\x01\r\n250 b\x02\r\n", 250, "2.0.0", "a?\nb?"),
	READ("250 a\0b\r\n", 250, "2.0.0", "a?b"),
	/* LF alone: a next hop is no stranger from the network, its io is lenient */
	READ("250-a\n250 b\n", 250, "2.0.0", "a\nb"),
	/* what is none */
	REFUSED("hello\r\n", IO_BAD_EOL),
	REFUSED("\r\n", IO_BAD_EOL),
	REFUSED("25\r\n", IO_BAD_EOL),
	REFUSED("25 x\r\n", IO_BAD_EOL),
	REFUSED("2500 x\r\n", IO_BAD_EOL),
	REFUSED("250x\r\n", IO_BAD_EOL),
	REFUSED("250_x\r\n", IO_BAD_EOL),
	REFUSED("250\tx\r\n", IO_BAD_EOL),
	REFUSED("250\0x\r\n", IO_BAD_EOL),
	REFUSED(" 250 x\r\n", IO_BAD_EOL),
	REFUSED("+250 x\r\n", IO_BAD_EOL),
	REFUSED("-50 x\r\n", IO_BAD_EOL),
	REFUSED("2x0 x\r\n", IO_BAD_EOL),
	REFUSED("25\xb2 x\r\n", IO_BAD_EOL),
	REFUSED("050 x\r\n", IO_BAD_EOL),
	REFUSED("150 x\r\n", IO_BAD_EOL),
	REFUSED("650 x\r\n", IO_BAD_EOL),
	REFUSED("950 x\r\n", IO_BAD_EOL),
	/* the codes of one reply are the same; if they are not, the last one counts */
	READ("250-2.1.0 a\r\n251 2.1.5 b\r\n", 251, "2.1.5", "a\nb"),
	READ("250-2.1.0 a\r\n550 b\r\n", 550, "5.0.0", "a\nb"),
	READ("550-5.1.1 a\r\n250 b\r\n", 250, "2.0.0", "a\nb"),
	READ("220-teaser\r\n521 5.7.1 blocked\r\n", 521, "5.7.1", "teaser\nblocked"),
	READ("250-2.1.0 a\r\n250-2.1.1 b\r\n251-c\r\n250 2.1.2 d\r\n", 250, "2.1.2", "a\nb\nc\nd"),
	REFUSED("250-a\r\nb\r\n", IO_BAD_EOL),
	REFUSED("250-a\r\n\r\n", IO_BAD_EOL),
	/* the end in the midst */
	REFUSED("", IO_END),
	REFUSED("250 Ok", IO_END),
	REFUSED("250 Ok\r", IO_END),
	REFUSED("250-a\r\n", IO_END),
	REFUSED("250-a\r\n250", IO_END),
};

static void test_read(void)
{
	for (size_t i = 0; i < COUNT(read_rows); i++) {
		FILE *file;
		struct io io = open_io(&file, read_rows[i].in, read_rows[i].n);
		struct reply_text *r = malloc(sizeof *r);
		if (!r) abort();
		const char *in = show(read_rows[i].in, read_rows[i].n);
		enum io_result got = reply_read(&io, LONG, false, r);
		check_number(got, read_rows[i].result, "\"%s\" is %s", in, read_rows[i].text ? "a reply" : "none");
		if (got == IO_OK && read_rows[i].text) {
			check_number((unsigned)r->reply.code, (unsigned)read_rows[i].code, "\"%s\": code", in);
			check_text(r->reply.status, read_rows[i].status, "\"%s\": enhanced code", in);
			check_text(r->reply.text, read_rows[i].text, "\"%s\": text", in);
		}
		free(r);
		fclose(file);
	}
}

/* With SMTPUTF8 all of a line is UTF-8, or nothing of it is; a NUL does not hide what stands behind it.  */
static void test_read_utf8(void)
{
	static const char in[] = "250 caf\xc3\xa9\r\n250 caf\xc3\r\n250 a\0caf\xc3\xa9\xff\x9b\r\n";
	static const char *const want[] = { "caf\xc3\xa9", "caf?", "a?caf????" };
	FILE *file;
	struct io io = open_io(&file, in, sizeof in - 1);
	struct reply_text r;
	for (size_t i = 0; i < COUNT(want); i++) {
		check(reply_read(&io, LONG, true, &r) == IO_OK, "line %zu", i);
		check_text(r.text, want[i], "its text");
	}
	fclose(file);
}

/* What began as a reply and did not end has said nothing: the one before it still stands.  */
static void test_read_half(void)
{
	static const char *const ins[] = { "220 host\r\n521-no\r\n", "220 host\r\n521-no\r\nnonsense\r\n" };
	for (size_t i = 0; i < COUNT(ins); i++) {
		FILE *file;
		struct io io = open_io(&file, ins[i], strlen(ins[i]));
		struct reply_text r = { .reply = { 0 } };
		check(reply_read(&io, LONG, false, &r) == IO_OK && r.reply.code == 220, "the first");
		check(reply_read(&io, LONG, false, &r) != IO_OK && r.reply.code == 220, "half of one counts for nothing");
		fclose(file);
	}
}

/* One reply after the other.  */
static void test_read_in_step(void)
{
	static const char in[] = "220 host\r\n250-one\r\n250 two\r\n354 Go\r\n550 5.1.1 No\r\n";
	static const struct { int code; const char *text; } want[] = { { 220, "host" }, { 250, "one\ntwo" }, { 354, "Go" }, { 550, "No" } };
	FILE *file;
	struct io io = open_io(&file, in, sizeof in - 1);
	struct reply_text r;
	for (size_t i = 0; i < COUNT(want); i++) {
		check(reply_read(&io, LONG, false, &r) == IO_OK && r.reply.code == want[i].code, "reply %d in its turn", want[i].code);
		check_text(r.text, want[i].text, "its text");
	}
	check(reply_read(&io, LONG, false, &r) == IO_END, "then the end");
	fclose(file);
}

/* Lines as long as they may be, and longer; texts that are cut.  */
static void test_read_limits(void)
{
	static char in[80000];
	struct reply_text r;
	FILE *file;
	memset(&r, 1, sizeof r);        /* no NUL that helps by chance */
	static const size_t lengths[] = { READ_MAX - 1, READ_MAX, READ_MAX + 1, 2 * READ_MAX - 1, 2 * READ_MAX, 2 * READ_MAX + 1, 70000 };
	for (size_t k = 0; k < COUNT(lengths); k++) {
		size_t n = lengths[k];
		memset(in, 'x', n);
		memcpy(in, "250 ", 4);
		memcpy(in + n - 2, "\r\n250 y\r\n", 9);
		struct io io = open_io(&file, in, n + 7);
		check(reply_read(&io, LONG, false, &r) == IO_OK && r.reply.code == 250, "a line of %zu", n);
		check(strlen(r.text) == sizeof r.text - 1 && strspn(r.text, "x") == sizeof r.text - 1, "its text is cut to what there is room for");
		check(reply_read(&io, LONG, false, &r) == IO_OK && strcmp(r.text, "y") == 0, "the next one is in step");
		fclose(file);
	}
	size_t used = 0;
	for (int i = 0; i < 400; i++) used += (size_t)sprintf(in + used, "250%c%03d xxxxxxx\r\n", i == 399 ? ' ' : '-', i);
	used += (size_t)sprintf(in + used, "251 y\r\n");
	struct io io = open_io(&file, in, used);
	check(reply_read(&io, LONG, false, &r) == IO_OK && r.reply.code == 250, "400 lines");
	check(strlen(r.text) == sizeof r.text - 1 && strncmp(r.text, "000 xxxxxxx\n001 xxxxxxx\n", 24) == 0, "the text of the first of them is there");
	check(reply_read(&io, LONG, false, &r) == IO_OK && r.reply.code == 251, "the next one is in step");
	fclose(file);
}

/* A reply that does not end is none, sooner or later (P7).  */
static void test_read_endless(void)
{
	enum { LINES = 100000, EACH = 6 };
	char *in = malloc(LINES * EACH);
	struct reply_text r;
	FILE *file;
	if (!in) abort();
	for (size_t i = 0; i < LINES; i++) memcpy(in + i * EACH, "250-\r\n", EACH);
	struct io io = open_io(&file, in, LINES * EACH);
	check(reply_read(&io, LONG, false, &r) == IO_BAD_EOL, "a reply of %d lines", (int)LINES);
	fclose(file);
	free(in);
}

/* --- writing --- */

/* What reply_put puts out.  */
static const char *put(const struct reply *r, size_t *n)
{
	static char text[16384];
	struct io io = { .in = -1, .out = -1, .obuf = text, .osize = sizeof text };
	reply_put(&io, r);
	*n = io.olen;
	text[io.olen] = '\0';
	return text;
}

static void test_put(void)
{
	static const struct { struct reply reply; const char *want; } rows[] = {
		{ { 250, "2.0.0", "Ok" }, "250 2.0.0 Ok\r\n" },
		{ { 220, "", "mx.example.net ESMTP" }, "220 mx.example.net ESMTP\r\n" },
		{ { 250, "", "mx\nSIZE 1\nHELP" }, "250-mx\r\n250-SIZE 1\r\n250 HELP\r\n" },
		{ { 214, "2.0.0", "a\nb" }, "214-2.0.0 a\r\n214 2.0.0 b\r\n" },
		{ { 550, "5.1.1", "" }, "550 5.1.1 \r\n" },
		{ { 250, "", "" }, "250 \r\n" },
		{ { 250, "", "a\n" }, "250-a\r\n250 \r\n" },
		{ { 250, "", "\na" }, "250-\r\n250 a\r\n" },
		{ { 250, "2.0.0", "100% %s %n" }, "250 2.0.0 100% %s %n\r\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n;
		const char *got = put(&rows[i].reply, &n);
		check_bytes(got, n, rows[i].want, strlen(rows[i].want), "reply_put \"%s\"", show_text(rows[i].want));
	}
}

/* RFC 5321 4.5.3.1.5: 512 octets with CRLF.  What fits is not cut, what does not is.  */
static void test_put_limit(void)
{
	static const struct { const char *status, *before, *after; size_t overhead; } rows[] = {
		{ "", "", "", 6 }, { "2.0.0", "", "", 12 }, { "2.0.0", "first\n", "", 12 }, { "", "", "\nlast", 6 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t line = LINE_MAX_OCTETS - 2; line <= LINE_MAX_OCTETS + 2; line++) {
			char text[800], longest[600];
			size_t n, most = 0, letters = 0;
			memset(longest, 'x', sizeof longest);
			snprintf(text, sizeof text, "%s%.*s%s", rows[i].before, (int)(line - rows[i].overhead), longest, rows[i].after);
			struct reply r = { 250, rows[i].status, text };
			const char *got = put(&r, &n), *p = got;
			for (const char *end; (end = strstr(p, "\r\n")); p = end + 2)
				if ((size_t)(end + 2 - p) > most) most = (size_t)(end + 2 - p);
			for (const char *c = got; *c; c++) letters += *c == 'x';
			check(*p == '\0' && most <= LINE_MAX_OCTETS, "row %zu: a line of %zu goes out with no more than 512", i, line);
			if (line <= LINE_MAX_OCTETS) check_number(letters, line - rows[i].overhead, "row %zu: a line of %zu is not cut", i, line);
		}
	}
}

/* --- the table --- */

static bool status_fits(const struct reply *r)
{
	unsigned class, subject, detail;
	char text[16];
	if (!*r->status) return r->code / 100 == 3;
	if (sscanf(r->status, "%1u.%3u.%3u", &class, &subject, &detail) != 3) return false;
	snprintf(text, sizeof text, "%u.%u.%u", class, subject, detail);
	return strcmp(text, r->status) == 0 && (int)class == r->code / 100;
}

static void test_table(void)
{
	for (size_t i = 0; i < REPLY_COUNT; i++) {
		const struct reply *r = &reply_table[i];
		bool printable = *r->text != '\0';
		for (const char *c = r->text; *c; c++) printable &= *c >= ' ' && *c <= '~';
		check(r->code >= 200 && r->code < 560 && r->code / 10 % 10 <= 5, "%d %s: a code (RFC 5321 4.2)", r->code, r->text);
		check(status_fits(r), "%d %s %s: an enhanced code of the class (RFC 3463 2)", r->code, r->status, r->text);
		check(printable, "%d %s: printable", r->code, r->text);
		size_t n;
		const char *wire = put(r, &n);
		struct reply_text back;
		FILE *file;
		struct io io = open_io(&file, wire, n);
		bool ok = n <= LINE_MAX_OCTETS && reply_read(&io, LONG, false, &back) == IO_OK && back.reply.code == r->code && strcmp(back.text, r->text) == 0 &&
			(!*r->status || strcmp(back.status, r->status) == 0);
		check(ok, "%d %s: is read as it was put", r->code, r->text);
		fclose(file);
	}
}

/* What reply_write writes, in a process of its own.  */
static size_t written(const struct reply *r, char *to, size_t room)
{
	int fds[2];
	fflush(stdout);
	if (pipe(fds) != 0) abort();
	pid_t pid = fork();
	if (pid == 0) {
		close(fds[0]);
		reply_write(fds[1], r);
		_exit(0);
	}
	close(fds[1]);
	size_t n = 0;
	ssize_t got;
	while (n < room && (got = read(fds[0], to + n, room - n)) > 0) n += (size_t)got;
	close(fds[0]);
	while (waitpid(pid, NULL, 0) < 0) continue;
	return n;
}

/* Without a dialogue the words are the same.  */
static void test_write(void)
{
	char got[2048], text[700] = "";
	for (size_t i = 0; i < REPLY_COUNT; i++) {
		size_t n, m = written(&reply_table[i], got, sizeof got);
		const char *want = put(&reply_table[i], &n);
		check_bytes(got, m, want, n, "reply_write %d %s", reply_table[i].code, reply_table[i].text);
	}
	memset(text, 'x', sizeof text - 1);
	struct reply r = { 421, "4.3.0", text };
	size_t n = written(&r, got, sizeof got);
	bool ok = n > 2 && n <= LINE_MAX_OCTETS && memcmp(got + n - 2, "\r\n", 2) == 0 && memchr(got, '\0', n) == NULL;
	if (!check(ok, "reply_write of a long text stays within 512 octets, of its own buffer too")) printf("#   got:      %zu octets\n", n);
}

int main(void)
{
	test_read();
	test_read_utf8();
	test_read_half();
	test_read_in_step();
	test_read_limits();
	test_read_endless();
	test_put();
	test_put_limit();
	test_table();
	test_write();
	return done();
}
