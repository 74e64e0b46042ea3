/* The line reader and the output buffer: whatever the pieces, the lines are those of the model, and what was put is what was written.
 * Each result is written out as a line of its own, so that one comparison at the end shows order, loss and doubling.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "model.h"

enum { ROOM = 8192 };
static char want[FUZZ_OUT];
static size_t wanted;

/* A result as octets: its kind and, of a line, length and text.  Returns how many.  */
static size_t describe(char *to, enum io_result got, const char *line, size_t len)
{
	size_t n = (size_t)sprintf(to, "%d ", (int)got);
	if (got == IO_OK) {
		n += (size_t)sprintf(to + n, "%zu ", len);
		memcpy(to + n, line, len);
		n += len;
	}
	return n;
}

static void expect_lines(size_t max, bool strict)
{
	size_t at = 0, from = 0, len = 0;
	enum io_result got;
	wanted = 0;
	do {
		got = model_line(fuzz.text, fuzz.n, max, strict, &at, &from, &len);
		wanted += describe(want + wanted, got, fuzz.text + from, len);
	} while (got != IO_END);
}

static unsigned waits;
static bool count_wait(void *ctx)
{
	(void)ctx;
	waits++;
	return true;
}

static void run(size_t max, size_t isize, size_t osize, bool strict)
{
	static char text[ROOM + 64];
	struct io io = { .in = 0, .out = 1, .ibuf = malloc(isize), .isize = isize, .obuf = malloc(osize), .osize = osize, .strict = strict,
		.write_ms = 1000, .end = clock_deadline(1000000), .before_wait = count_wait };
	enum io_result got;
	char *line = NULL;
	size_t len = 0;
	fuzz.at = fuzz.said = 0;
	waits = 0;
	do {
		got = io_line(&io, max, 1000, false, &line, &len);
		EXPECT(io.head <= io.tail && io.tail <= io.isize && io.olen <= io.osize);
		if (got == IO_OK) EXPECT(line >= io.ibuf && line + len < io.ibuf + isize && line[len] == '\0');
		io_put(&io, text, describe(text, got, line, len));
		if (waits == 0) EXPECT(io.taken == 0);  /* nothing was read without telling */
	} while (got != IO_END);
	io_flush(&io);
	EXPECT(io.taken == fuzz.n && !io.dead && !io.failed);
	EXPECT(fuzz.said == wanted && memcmp(fuzz.out, want, wanted) == 0);
	free(io.ibuf);
	free(io.obuf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_take(data, size, ROOM);
	size_t max = 1 + control(), isize = max + 1 + control() % 64, osize = 1 + control();
	for (int strict = 0; strict < 2; strict++) {
		expect_lines(max, strict);
		run(max, isize, osize, strict);
	}
	return 0;
}
