/* The dot machine, in each mode: fed whole, fed in pieces and the model say the same.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "model.h"

enum { ROOM = 8192 };
struct sink { char *out; size_t n; const struct data *data; };

static void take(void *ctx, const char *s, size_t n)
{
	struct sink *k = ctx;
	EXPECT(n > 0 && !k->data->bad);         /* a message found bad is not written any more */
	EXPECT(n <= ROOM * 2 - k->n);
	memcpy(k->out + k->n, s, n);
	k->n += n;
}

/* Feed all of the text up to the end of data; in pieces if `cut`.  */
static struct message feed(enum newline newline, bool dots, bool lf, bool cut, char *out)
{
	static char *room;
	if (!room) room = malloc(ROOM);
	struct sink k = { .out = out };
	struct data d = { .newline = newline, .dots = dots, .lf = lf, .sink = take, .ctx = &k };
	bool end = false;
	size_t at = 0;
	k.data = &d;
	while (at < fuzz.n && !end) {
		size_t n = cut ? piece(fuzz.n - at) : fuzz.n - at;
		char *part = room + ROOM - n;   /* at the end of its memory, so that the sanitizer sees a step past it */
		memcpy(part, fuzz.text + at, n);
		size_t taken = data_feed(&d, part, n, &end);
		EXPECT(taken <= n && (end || taken == n));
		at += taken;
	}
	if (!dots) data_finish(&d);
	return (struct message){ .out = out, .n = k.n, .bad = d.bad, .end = end, .taken = at, .lines = d.lines, .size = d.size };
}

static void compare(const struct message *got, const struct message *want)
{
	EXPECT(got->bad == want->bad);
	EXPECT(got->end == want->end);
	EXPECT(got->taken == want->taken);
	if (got->bad) return;
	EXPECT(got->n == want->n && memcmp(got->out, want->out, got->n) == 0);
	EXPECT(got->lines == want->lines && got->size == want->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char a[ROOM * 2], b[ROOM * 2], c[ROOM * 2];
	fuzz_take(data, size, ROOM);
	unsigned only = control() % 5;
	if (fuzz.cut % 8 == 0) fuzz.cut++;      /* whole is done anyway */
	for (unsigned how = 0; how < 20; how++) {
		enum newline newline = (enum newline)(how / 4);
		if (fuzz.n > 64 && newline != only) continue;
		bool dots = how & 1, lf = how & 2;
		struct message whole = feed(newline, dots, lf, false, a), cut = feed(newline, dots, lf, true, b);
		struct message want = model_message(newline, dots, lf, fuzz.text, fuzz.n, c);
		compare(&whole, &want);
		compare(&cut, &want);
	}
	return 0;
}
