/* Reports made of any words about any message, against the model of a report (report-model.h): well formed, as many parts and recipients as were
 * told of, and the original in it as it was.
 *
 * The text is words that NULs part: who gets it, envelope id, id, five for each recipient; what is left is the message.
 * SPDX-License-Identifier: MIT */
#include <sys/mman.h>

#include "fuzz.h"
#include "report.h"
#include "report-model.h"

enum { ROOM = 1 << 14, RCPTS = 3 };

static void take(void *ctx, const char *p, size_t n)
{
	(void)ctx;
	EXPECT(n > 0 && n <= FUZZ_OUT - fuzz.said);
	memcpy(fuzz.out + fuzz.said, p, n);
	fuzz.said += n;
}

/* The next word, in memory of exactly its size.  */
static char *word(char **at, const char *end)
{
	size_t n = strnlen(*at, (size_t)(end - *at));
	char *copy = exactly(*at, n + 1);
	copy[n] = '\0';
	*at += *at + n < end ? n + 1 : n;
	return copy;
}

static void compose(struct report *r, char *message, bool there)
{
	static int fd = -1;
	if (fd < 0) fd = memfd_create("message", 0);
	EXPECT(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, message, r->size, 0) == (ssize_t)r->size);
	r->message = there ? fd : -1;
	if (!there) r->size = 0;
	EXPECT(report_write(r, take, NULL));
	const char *flaw = report_flaw(fuzz.out, fuzz.said, r, there ? message : NULL);
	if (flaw) fuzz_fail(__FILE__, __LINE__, flaw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report_rcpt rcpt[RCPTS];
	char *words[3 + 5 * RCPTS], *at = fuzz.text;
	size_t n = 0;
	fuzz_take(data, size, ROOM);
	const char *end = fuzz.text + fuzz.n;
	unsigned flags = control();
	struct report r = { .hostname = "mx.example.test", .arrived = control(), .now = 1767312000, .until = 1767312000 + 3600 * (time_t)control(), .full = flags & 1, .utf8 = flags & 2,
		.most = flags & 4 ? ROOM : 64 * (uint64_t)control(), .count = 1 + (flags >> 3) % RCPTS, .rcpt = rcpt };
	r.to = words[n++] = word(&at, end);
	r.envid = words[n++] = word(&at, end);
	r.id = words[n++] = word(&at, end);
	if (flags & 64) r.sender = r.envid;
	for (size_t i = 0; i < r.count; i++, n += 5) {
		unsigned about = control();
		for (size_t k = 0; k < 5; k++) words[n + k] = word(&at, end);
		rcpt[i] = (struct report_rcpt){ .rcpt = words[n], .orcpt = words[n + 1], .status = words[n + 2], .host = words[n + 3], .text = words[n + 4], .action = about % 5,
			.said = about & 8, .last = about >> 4 };
	}
	r.size = (size_t)(end - at);
	char *message = exactly(at, r.size);
	compose(&r, message, !(flags & 128));
	free(message);
	while (n > 0) free(words[--n]);
	return 0;
}
