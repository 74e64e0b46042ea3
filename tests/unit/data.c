/* The dot machine: tables that say what each sequence means in each newline mode, fed whole and in pieces; then a model of it,
 * written the plain way, against which all short and many random messages are compared.
 * SPDX-License-Identifier: MIT */
#include "data.h"

#include "check.h"

enum { MODES = 5, TABLED = 4, SMALL = 256 };
static const char *const mode_names[MODES] = { "strict", "normalize", "lenient", "local", "submit" };

/* What came of feeding a message.  */
struct result {
	char *out;
	size_t n, room;
	bool bad, end, late;    /* late: the sink was called after the message was found bad */
	size_t taken;
	unsigned long long size, lines;
	const struct data *data;
};

static void take(void *ctx, const char *s, size_t n)
{
	struct result *r = ctx;
	if (r->data->bad || n == 0) r->late = true;
	if (n > r->room - r->n) abort();
	memcpy(r->out + r->n, s, n);
	r->n += n;
}

struct setup { enum newline newline; bool dots, lf; };

/* Feed s, cut before each octet whose bit is set in `cuts` (the bits repeat).  */
static struct result feed(struct setup how, const char *s, size_t n, uint64_t cuts, char *out, size_t room)
{
	struct result r = { .out = out, .room = room };
	struct data d = { .newline = how.newline, .dots = how.dots, .lf = how.lf, .sink = take, .ctx = &r };
	r.data = &d;
	while (r.taken < n && !r.end) {
		size_t piece = 1;
		while (r.taken + piece < n && !(cuts >> (r.taken + piece) % 64 & 1)) piece++;
		char *copy = exactly(s + r.taken, piece);
		size_t took = data_feed(&d, copy, piece, &r.end);
		free(copy);
		if (took > piece || (took < piece && !r.end)) {
			r.late = true;
			break;
		}
		r.taken += took;
	}
	if (!how.dots) data_finish(&d);         /* a message that came by DATA ends with its dot, or it is none */
	r.bad = d.bad;
	r.size = d.size;
	r.lines = d.lines;
	r.data = NULL;
	return r;
}

/* --- the model: one octet at a time, the whole input in sight --- */

struct model { struct result *r; struct setup how; size_t good; };

static void put(struct model *m, char c)
{
	m->r->out[m->r->n++] = c;
	m->r->size++;
}

static void put_eol(struct model *m)
{
	if (!m->how.lf) m->r->out[m->r->n++] = '\r';
	m->r->out[m->r->n++] = '\n';
	m->r->size += 2;
	m->r->lines++;
}

/* A CR, LF or NUL that should not be there.  What was put out before is good still.  */
static void put_bad(struct model *m)
{
	if (!m->r->bad) m->good = m->r->n;
	m->r->bad = true;
}

static bool starts(const char *s, size_t n, const char *with)
{
	return n >= strlen(with) && memcmp(s, with, strlen(with)) == 0;
}

/* The same as feed.  Of a bad message only out[0..n) before the first fault is told.  */
static struct result model(struct setup how, const char *s, size_t n, char *out)
{
	struct result r = { .out = out };
	struct model m = { .r = &r, .how = how };
	bool line_start = true, local = how.newline == NL_LOCAL, spaces = how.newline == NL_SUBMIT, lf_ends = how.newline == NL_LENIENT || local || spaces;
	size_t i = 0;
	while (i < n) {
		const char *p = s + i;
		size_t left = n - i;
		if (how.dots && line_start && *p == '.') {
			r.end = starts(p, left, ".\r\n") || (lf_ends && starts(p, left, ".\n"));
			if (r.end) {
				i += p[1] == '\n' ? 2 : 3;
				break;
			}
			line_start = false;
			i++;
			continue;
		}
		if (starts(p, left, "\r\n")) {
			put_eol(&m);
			line_start = true;
			i += 2;
			continue;
		}
		if (*p == '\r' && left == 1 && how.dots) {      /* what it is will be known with the next octet */
			i++;
			break;
		}
		line_start = false;
		if (*p == '\n' && how.newline != NL_STRICT) {
			put_eol(&m);
			line_start = lf_ends;
		} else if (*p == '\r' && spaces) {
			put(&m, ' ');
		} else if (*p == '\n' || (!local && (*p == '\r' || *p == '\0'))) {
			put_bad(&m);
		} else {
			put(&m, *p);
		}
		i++;
	}
	r.taken = i;
	if (r.bad) r.n = m.good;
	return r;
}

/* Whether what the machine found is what the model found.  */
static bool agrees(const struct result *got, const struct result *want)
{
	if (got->late || got->bad != want->bad || got->end != want->end || got->taken != want->taken) return false;
	if (got->bad) return got->n <= want->n && memcmp(got->out, want->out, got->n) == 0;
	return got->n == want->n && memcmp(got->out, want->out, got->n) == 0 && got->size == want->size && got->lines == want->lines;
}

/* The cuts may not show.  How much of a bad message got out before its fault may differ; nobody will see it.  */
static bool same(const struct result *a, const struct result *b)
{
	return !a->late && !b->late && a->bad == b->bad && a->end == b->end && a->taken == b->taken && a->size == b->size && a->lines == b->lines &&
		(a->bad || (a->n == b->n && memcmp(a->out, b->out, a->n) == 0));
}

static void show_result(const char *name, const struct result *r)
{
	printf("#   %s %s%s, taken %zu, size %llu, lines %llu, \"%s\"\n", name, r->bad ? "bad" : "good", r->end ? ", end" : "", r->taken, r->size,
		r->lines, show(r->out, r->n));
}

static void complain(struct setup how, const char *in, size_t n, uint64_t cuts, const struct result *got, const struct result *want)
{
	printf("#   input:    \"%s\" %s, dots %d, lf %d, cuts %#llx\n", show(in, n), mode_names[how.newline], how.dots, how.lf, (unsigned long long)cuts);
	show_result("expected:", want);
	show_result("got:     ", got);
}

/* --- the tables --- */

/* What is to come: out with LF line ends (NULL: the message is bad), and how many octets are taken up to the end of data (0: no
 * end; WHOLE: all of the row's).  */
struct want { const char *out; size_t n, end; };
#define WHOLE ((size_t)-1)
#define OUT(text, end) { text, sizeof text - 1, end }
#define BAD(end) { NULL, 0, end }
#define ALL(text, end) { OUT(text, end), OUT(text, end), OUT(text, end), OUT(text, end) }
#define BAD_LOCAL(text, end) { BAD(end), BAD(end), BAD(end), OUT(text, end) }           /* bad, but for a local file */

struct row { const char *what, *in; size_t n; struct want want[TABLED]; };

static const struct row data_rows[] = {
	/* strict, normalize, lenient, local */
	{ "one line", BYTES("a\r\n.\r\n"), ALL("a\n", WHOLE) },
	{ "two lines", BYTES("a\r\nb\r\n.\r\n"), ALL("a\nb\n", WHOLE) },
	{ "empty message", BYTES(".\r\n"), ALL("", WHOLE) },
	{ "one empty line", BYTES("\r\n.\r\n"), ALL("\n", WHOLE) },
	{ "empty line at the end", BYTES("a\r\n\r\n.\r\n"), ALL("a\n\n", WHOLE) },
	{ "what follows is not taken", BYTES("a\r\n.\r\nQUIT\r\n"), ALL("a\n", 6) },
	{ "what follows is not taken, be it a dot", BYTES("a\r\n.\r\n.\r\n"), ALL("a\n", 6) },
	{ "what follows an empty message is not taken", BYTES(".\r\n.\r\n"), ALL("", 3) },
	{ "8-bit, controls, blanks", BYTES("\xff\x80\x01\x7f\t \r\n.\r\n"), ALL("\xff\x80\x01\x7f\t \n", WHOLE) },
	/* no end yet */
	{ "nothing", BYTES(""), ALL("", 0) },
	{ "no line end", BYTES("a"), ALL("a", 0) },
	{ "a line", BYTES("a\r\n"), ALL("a\n", 0) },
	{ "a pending CR", BYTES("a\r"), ALL("a", 0) },
	{ "a pending dot", BYTES("a\r\n."), ALL("a\n", 0) },
	{ "a pending dot CR", BYTES("a\r\n.\r"), ALL("a\n", 0) },
	{ "a dot in mid-line", BYTES("a.\r\n"), ALL("a.\n", 0) },
	{ "a blank before the dot", BYTES("a\r\n .\r\n"), ALL("a\n .\n", 0) },
	/* transparency (RFC 5321 4.5.2) */
	{ "..", BYTES("..\r\n.\r\n"), ALL(".\n", WHOLE) },
	{ "...", BYTES("...\r\n.\r\n"), ALL("..\n", WHOLE) },
	{ ".. in a later line", BYTES("a\r\n..\r\n.\r\n"), ALL("a\n.\n", WHOLE) },
	{ ".x", BYTES(".x\r\n.\r\n"), ALL("x\n", WHOLE) },
	{ "..x", BYTES("..x\r\n.\r\n"), ALL(".x\n", WHOLE) },
	{ ".x in a later line", BYTES("a\r\n.x\r\n.\r\n"), ALL("a\nx\n", WHOLE) },
	{ "dot blank", BYTES(". \r\n.\r\n"), ALL(" \n", WHOLE) },
	{ "a dot at the end of a line", BYTES("a.\r\n.\r\n"), ALL("a.\n", WHOLE) },
	{ "dots in mid-line", BYTES("a..b\r\n.\r\n"), ALL("a..b\n", WHOLE) },
	/* smuggling: only CRLF.CRLF ends data (SMG rows, P4) */
	{ "LF.LF", BYTES("a\n.\nb\r\n.\r\n"), { BAD(WHOLE), OUT("a\n.\nb\n", WHOLE), OUT("a\n", 4), OUT("a\n", 4) } },
	{ "LF.CRLF", BYTES("a\n.\r\nb\r\n.\r\n"), { BAD(WHOLE), OUT("a\n.\nb\n", WHOLE), OUT("a\n", 5), OUT("a\n", 5) } },
	{ "CRLF.LF", BYTES("a\r\n.\nb\r\n.\r\n"), { BAD(WHOLE), OUT("a\n\nb\n", WHOLE), OUT("a\n", 5), OUT("a\n", 5) } },
	{ "LF.CR", BYTES("a\n.\rb\r\n.\r\n"), BAD_LOCAL("a\n\rb\n", WHOLE) },
	{ "CR.LF", BYTES("a\r.\nb\r\n.\r\n"), BAD_LOCAL("a\r.\nb\n", WHOLE) },
	{ "CR.CR", BYTES("a\r.\rb\r\n.\r\n"), BAD_LOCAL("a\r.\rb\n", WHOLE) },
	{ "CR.CRLF", BYTES("a\r.\r\nb\r\n.\r\n"), BAD_LOCAL("a\r.\nb\n", WHOLE) },
	{ "CRLF.CR", BYTES("a\r\n.\rb\r\n.\r\n"), BAD_LOCAL("a\n\rb\n", WHOLE) },
	{ "CRLF.CRCRLF", BYTES("a\r\n.\r\r\nb\r\n.\r\n"), BAD_LOCAL("a\n\r\nb\n", WHOLE) },
	{ "CRCRLF.CRCRLF", BYTES("a\r\r\n.\r\r\nb\r\n.\r\n"), BAD_LOCAL("a\r\n\r\nb\n", WHOLE) },
	{ "CRLF.CR.CRLF", BYTES("a\r\n.\r.\r\nb\r\n.\r\n"), BAD_LOCAL("a\n\r.\nb\n", WHOLE) },
	{ "LFCR.CRLF", BYTES("a\n\r.\r\nb\r\n.\r\n"), BAD_LOCAL("a\n\r.\nb\n", WHOLE) },
	{ "LFLF.LF", BYTES("a\n\n.\nb\r\n.\r\n"), { BAD(WHOLE), OUT("a\n\n.\nb\n", WHOLE), OUT("a\n\n", 5), OUT("a\n\n", 5) } },
	{ "CRLF.NUL.CRLF", BYTES("a\r\n.\0.\r\nb\r\n.\r\n"), BAD_LOCAL("a\n\0.\nb\n", WHOLE) },
	{ "CRLF.NULCRLF", BYTES("a\r\n.\0\r\nb\r\n.\r\n"), BAD_LOCAL("a\n\0\nb\n", WHOLE) },
	{ "CRLFNUL.CRLF", BYTES("a\r\n\0.\r\nb\r\n.\r\n"), BAD_LOCAL("a\n\0.\nb\n", WHOLE) },
	{ "CRLF.CRNULLF", BYTES("a\r\n.\r\0\nb\r\n.\r\n"), BAD_LOCAL("a\n\r\0\nb\n", WHOLE) },
	{ "CRNULLF.CRLF", BYTES("a\r\0\n.x\r\n.\r\n"), BAD_LOCAL("a\r\0\nx\n", WHOLE) },
	{ "LF before a dotted line", BYTES("a\n..b\r\n.\r\n"), { BAD(WHOLE), OUT("a\n..b\n", WHOLE), OUT("a\n.b\n", WHOLE), OUT("a\n.b\n", WHOLE) } },
	{ "CRCRLF.CRLF does end, for it holds CRLF.CRLF", BYTES("a\r\r\n.\r\n"), BAD_LOCAL("a\r\n", WHOLE) },
	{ "LFCRLF.CRLF does end", BYTES("a\n\r\n.\r\n"), { BAD(WHOLE), OUT("a\n\n", WHOLE), OUT("a\n\n", WHOLE), OUT("a\n\n", WHOLE) } },
	/* the same directly after the 354, where a line starts (SMG-09) */
	{ "at once .LF", BYTES(".\nb\r\n.\r\n"), { BAD(WHOLE), OUT("\nb\n", WHOLE), OUT("", 2), OUT("", 2) } },
	{ "at once .CR", BYTES(".\rb\r\n.\r\n"), BAD_LOCAL("\rb\n", WHOLE) },
	{ "at once .CRCRLF", BYTES(".\r\r\nb\r\n.\r\n"), BAD_LOCAL("\r\nb\n", WHOLE) },
	{ "at once LF.LF", BYTES("\n.\nb\r\n.\r\n"), { BAD(WHOLE), OUT("\n.\nb\n", WHOLE), OUT("\n", 3), OUT("\n", 3) } },
	{ "at once LF.CRLF", BYTES("\n.\r\nb\r\n.\r\n"), { BAD(WHOLE), OUT("\n.\nb\n", WHOLE), OUT("\n", 4), OUT("\n", 4) } },
	{ "at once CR.CRLF", BYTES("\r.\r\nb\r\n.\r\n"), BAD_LOCAL("\r.\nb\n", WHOLE) },
	{ "at once CR.CR", BYTES("\r.\rb\r\n.\r\n"), BAD_LOCAL("\r.\rb\n", WHOLE) },
	{ "at once NUL.CRLF", BYTES("\0.\r\nb\r\n.\r\n"), BAD_LOCAL("\0.\nb\n", WHOLE) },
	{ "at once .NULCRLF", BYTES(".\0\r\nb\r\n.\r\n"), BAD_LOCAL("\0\nb\n", WHOLE) },
	{ "at once CRCRLF.CRLF", BYTES("\r\r\n.\r\n"), BAD_LOCAL("\r\n", WHOLE) },
	/* bare octets without a dot */
	{ "LF", BYTES("a\nb\r\n.\r\n"), { BAD(WHOLE), OUT("a\nb\n", WHOLE), OUT("a\nb\n", WHOLE), OUT("a\nb\n", WHOLE) } },
	{ "LF first", BYTES("\na\r\n.\r\n"), { BAD(WHOLE), OUT("\na\n", WHOLE), OUT("\na\n", WHOLE), OUT("\na\n", WHOLE) } },
	{ "CR", BYTES("a\rb\r\n.\r\n"), BAD_LOCAL("a\rb\n", WHOLE) },
	{ "CR CR LF", BYTES("a\r\r\nb\r\n.\r\n"), BAD_LOCAL("a\r\nb\n", WHOLE) },
	{ "CR CR CR LF", BYTES("a\r\r\r\n.\r\n"), BAD_LOCAL("a\r\r\n", WHOLE) },
	{ "LF CR", BYTES("a\n\rb\r\n.\r\n"), BAD_LOCAL("a\n\rb\n", WHOLE) },
	{ "NUL", BYTES("a\0b\r\n.\r\n"), BAD_LOCAL("a\0b\n", WHOLE) },
	{ "NUL last", BYTES("a\0\r\n.\r\n"), BAD_LOCAL("a\0\n", WHOLE) },
	{ "a fault stays one", BYTES("a\rb\r\nc\r\n..d\r\n\r\n.\r\n"), BAD_LOCAL("a\rb\nc\n.d\n\n", WHOLE) },
	{ "a fault, and no end yet", BYTES("a\rb\r\n.\r"), BAD_LOCAL("a\rb\n", 0) },
	/* transcripts */
	{ "LF throughout", BYTES("a\n..b\n\n.\nQUIT\n"), { BAD(0), OUT("a\n..b\n\n.\nQUIT\n", 0), OUT("a\n.b\n\n", 9), OUT("a\n.b\n\n", 9) } },
	{ "LF and CRLF", BYTES("a\nb\r\n.\nc\n"), { BAD(0), OUT("a\nb\n\nc\n", 0), OUT("a\nb\n", 7), OUT("a\nb\n", 7) } },
};

/* BDAT and local files: every octet counts, and the end is told by other means.  */
static const struct row chunk_rows[] = {
	{ "nothing", BYTES(""), ALL("", 0) },
	{ "one line", BYTES("a\r\n"), ALL("a\n", 0) },
	{ "no line end", BYTES("a\r\nb"), ALL("a\nb", 0) },
	{ "a dot is a dot", BYTES(".\r\n"), ALL(".\n", 0) },
	{ "dots stay", BYTES("..x\r\n.x\r\n"), ALL("..x\n.x\n", 0) },
	{ "CRLF.CRLF is text", BYTES("a\r\n.\r\nb\r\n"), ALL("a\n.\nb\n", 0) },
	{ "CR last", BYTES("a\r"), BAD_LOCAL("a\r", 0) },
	{ "CR alone", BYTES("\r"), BAD_LOCAL("\r", 0) },
	{ "CR behind a line", BYTES("a\r\n\r"), BAD_LOCAL("a\n\r", 0) },
	{ "CR in mid-line", BYTES("a\rb\r\n"), BAD_LOCAL("a\rb\n", 0) },
	{ "CR CR LF", BYTES("a\r\r\n"), BAD_LOCAL("a\r\n", 0) },
	{ "dot CR", BYTES(".\r"), BAD_LOCAL(".\r", 0) },
	{ "dot CR x", BYTES(".\rx\r\n"), BAD_LOCAL(".\rx\n", 0) },
	{ "LF", BYTES("a\nb"), { BAD(0), OUT("a\nb", 0), OUT("a\nb", 0), OUT("a\nb", 0) } },
	{ "LF last", BYTES("a\n"), { BAD(0), OUT("a\n", 0), OUT("a\n", 0), OUT("a\n", 0) } },
	{ "LF.LF", BYTES("a\n.\nb\n"), { BAD(0), OUT("a\n.\nb\n", 0), OUT("a\n.\nb\n", 0), OUT("a\n.\nb\n", 0) } },
	{ "NUL", BYTES("a\0b\r\n"), BAD_LOCAL("a\0b\n", 0) },
	{ "NUL alone", BYTES("\0"), BAD_LOCAL("\0", 0) },
	{ "8-bit, controls, blanks", BYTES("\xff\x80\x01\x7f\t \r\n"), ALL("\xff\x80\x01\x7f\t \n", 0) },
};

/* A row's expectation as a result: its line ends as they are asked for, size and lines counted.  The last mode is as the one before it, but for CR and NUL.  */
static struct result wanted(const struct row *row, struct setup how, char *out)
{
	bool submit = how.newline == NL_SUBMIT;
	const struct want *w = &row->want[submit ? NL_LOCAL : how.newline];
	struct result r = { .out = out, .bad = !w->out, .end = w->end != 0, .taken = w->end == 0 || w->end == WHOLE ? row->n : w->end };
	for (size_t i = 0; i < w->n; i++) {
		bool lf = w->out[i] == '\n';
		if (lf && !how.lf) out[r.n++] = '\r';
		out[r.n++] = submit && w->out[i] == '\r' ? ' ' : w->out[i];
		r.bad |= submit && w->out[i] == '\0';
		r.lines += lf;
		r.size += lf ? 2 : 1;
	}
	return r;
}

/* One row in one setup: whole, by octets, in two pieces at each place; and the model is of the same mind.  */
static void test_row(const struct row *row, struct setup how)
{
	char want_out[SMALL], whole_out[SMALL], out[SMALL];
	struct result want = wanted(row, how, want_out), whole = feed(how, row->in, row->n, 0, whole_out, SMALL), r = whole;
	want.n = want.bad ? whole.n : want.n;   /* what of a bad message got out is for the model to judge */
	if (want.bad) memcpy(want_out, whole_out, whole.n);
	const char *how_name = how.dots ? "DATA" : "BDAT", *eol = how.lf ? "LF" : "CRLF";
	bool good = check(agrees(&whole, &want), "%s %s to %s: %s", how_name, mode_names[how.newline], eol, row->what);
	if (!good) complain(how, row->in, row->n, 0, &whole, &want);
	uint64_t cuts = 0;
	bool uncut = true;
	for (size_t i = 0; i < row->n && uncut; i++) {
		cuts = i == 0 ? ~0ULL : 1ULL << i;
		r = feed(how, row->in, row->n, cuts, out, SMALL);
		uncut = same(&r, &whole);
	}
	check(uncut, "%s %s to %s: %s, in pieces", how_name, mode_names[how.newline], eol, row->what);
	if (!uncut) complain(how, row->in, row->n, cuts, &r, &whole);
	r = model(how, row->in, row->n, out);
	good = check(agrees(&whole, &r), "%s %s to %s: %s, says the model", how_name, mode_names[how.newline], eol, row->what);
	if (!good) complain(how, row->in, row->n, 0, &whole, &r);
}

static void test_rows(const struct row *rows, size_t n, bool dots)
{
	for (size_t i = 0; i < n; i++)
		for (int mode = 0; mode < MODES; mode++)
			for (int lf = 0; lf < 2; lf++) test_row(&rows[i], (struct setup){ (enum newline)mode, dots, lf });
}

/* --- against the model --- */

static bool compare(struct setup how, const char *in, size_t n, uint64_t cuts)
{
	char got_out[SMALL], want_out[SMALL];
	struct result got = feed(how, in, n, cuts, got_out, SMALL), want = model(how, in, n, want_out);
	if (agrees(&got, &want)) return true;
	complain(how, in, n, cuts, &got, &want);
	return false;
}

static const char alphabet[] = { '\r', '\n', '.', 'a', '\0' };

/* Every message of up to 6 of the octets that matter.  */
static void test_all_short(struct setup how)
{
	enum { LONGEST = 6 };
	char in[LONGEST];
	bool good = true;
	for (size_t n = 0, all = 1; n <= LONGEST && good; n++, all *= sizeof alphabet) {
		for (size_t number = 0; number < all && good; number++) {
			for (size_t i = 0, rest = number; i < n; i++, rest /= sizeof alphabet) in[i] = alphabet[rest % sizeof alphabet];
			good = compare(how, in, n, 0) && compare(how, in, n, ~0ULL);
		}
	}
	check(good, "every message of up to 6 octets, %s, dots %d, lf %d", mode_names[how.newline], how.dots, how.lf);
}

/* Longer ones, cut at random.  NUL is rare and CRLF often comes as one, or hardly a message would be good.  */
static void test_random(void)
{
	enum { TIMES = 200000, LONGEST = 60 };
	uint64_t seed = 5321;
	unsigned good = 0, ended = 0;
	for (unsigned i = 0; i < TIMES; i++) {
		char in[LONGEST + 2], out[SMALL];
		size_t n = 0, length = random_next(&seed) % LONGEST;
		unsigned faults = (unsigned)(random_next(&seed) % 3);
		while (n < length) {
			uint64_t dice = random_next(&seed) % 24;
			if (dice < 8) {
				in[n++] = '\r';
				in[n++] = '\n';
			} else if (dice < 14) {
				in[n++] = '.';
			} else if (dice < 20 || faults == 0) {
				in[n++] = 'a';
			} else {
				in[n++] = alphabet[dice == 20 ? 4 : random_next(&seed) % (faults == 1 ? 1 : 4)];
			}
		}
		uint64_t bits = random_next(&seed);
		struct setup how = { (enum newline)(bits % MODES), bits >> 20 & 1, bits >> 21 & 1 };
		if (!compare(how, in, n, random_next(&seed) & random_next(&seed))) {
			check(false, "random message %u", i);
			return;
		}
		struct result r = model(how, in, n, out);
		good += !r.bad;
		ended += r.end;
	}
	check(good > TIMES / 4 && good < TIMES && ended > TIMES / 8, "%u random messages, of them %u good and %u ended", (unsigned)TIMES, good, ended);
}

/* --- the rest --- */

/* A message of a megabyte with long and short lines, in pieces as a socket gives them.  */
static void test_large(bool lf)
{
	enum { LARGE = 1 << 20, ROOM = LARGE * 2 };
	char *in = malloc(ROOM), *out = malloc(ROOM), *want_out = malloc(ROOM);
	if (!in || !out || !want_out) abort();
	uint64_t seed = 1;
	size_t n = 0;
	while (n < LARGE) {
		size_t line = random_next(&seed) % 5 ? random_next(&seed) % 80 : random_next(&seed) % 5000;
		if (random_next(&seed) % 7 == 0) in[n++] = '.';
		for (size_t i = 0; i < line; i++) in[n++] = (char)('a' + i % 26);
		memcpy(in + n, "x\r\n", 3);
		n += 3;
	}
	memcpy(in + n, ".\r\n", 3);
	n += 3;
	struct setup how = { NL_STRICT, true, lf };
	struct result want = model(how, in, n, want_out);
	for (unsigned i = 0; i < 4; i++) {
		struct result got = feed(how, in, n, i == 0 ? 0 : i == 1 ? ~0ULL : random_next(&seed) << 16, out, ROOM);
		check(agrees(&got, &want) && got.end, "a megabyte, lf %d, cut in way %u", lf, i);
	}
	free(in);
	free(out);
	free(want_out);
}

/* The end of one message is the start of another, for who goes on with the same state.  */
static void test_again(void)
{
	static const char in[] = "a\r\n.\r\n.b\r\n.\r\n";
	char text[SMALL];
	struct result r = { .out = text, .room = SMALL };
	struct data d = { .dots = true, .lf = true, .sink = take, .ctx = &r };
	r.data = &d;
	size_t first = data_feed(&d, in, sizeof in - 1, &r.end), second = data_feed(&d, in + first, sizeof in - 1 - first, &r.end);
	check_number(first, 6, "the end of a first message");
	check_number(second, 7, "the end of a second");
	check_bytes(r.out, r.n, BYTES("a\nb\n"), "both of them");
}

int main(void)
{
	test_rows(data_rows, COUNT(data_rows), true);
	test_rows(chunk_rows, COUNT(chunk_rows), false);
	for (unsigned i = 0; i < 4 * MODES; i++) test_all_short((struct setup){ (enum newline)(i % MODES), i / MODES & 1, i / MODES & 2 });
	test_random();
	test_large(false);
	test_large(true);
	test_again();
	return done();
}
