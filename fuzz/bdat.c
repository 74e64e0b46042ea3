/* The BDAT reader: the text is a message; sent as one chunk, as many with commands between, and, where that is possible, by DATA with its dots
 * doubled, it is the same message, or refused each time.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "dialogue.h"

enum { ROOM = 30000, MESSAGES = 3 };
static struct config cf;
static struct session session;
static char input[5000], output[700], message[ROOM], got[ROOM * 2];
static size_t message_n, got_n;
static unsigned commits, stored, abandons;
static bool good;               /* what is expected of each */
static char want[ROOM * 2];
static size_t want_n;

/* --- a backend that only looks --- */

static const struct reply *rcpt(struct session *s, const struct path *p) { (void)s, (void)p; return REPLY(RCPT_OK); }
static const struct reply *verify(struct session *s, const char *what, bool list) { (void)s, (void)what, (void)list; return REPLY(NO_MAILBOX); }
static void tell(struct session *s, const struct event *e) { (void)s, (void)e; }
static void abandon(struct session *s) { (void)s; abandons++; }

static const struct reply *begin(struct session *s)
{
	(void)s;
	got_n = 0;
	return NULL;
}

static void take(struct session *s, const char *p, size_t n)
{
	EXPECT(!s->tx.data.bad && n > 0 && n <= sizeof got - got_n);
	memcpy(got + got_n, p, n);
	got_n += n;
}

static const struct reply *commit(struct session *s)
{
	EXPECT(good && got_n == want_n && memcmp(got, want, got_n) == 0);
	EXPECT(s->tx.data.lines <= got_n);
	commits++;
	return REPLY(FLUSHED);
}

static void is_stored(const struct mailing *m, const struct said *r)
{
	EXPECT(r->code == 250 && m->text.n == want_n && memcmp(m->text.out, want, want_n) == 0);
	stored++;
}

static void is_refused(const struct mailing *m, const struct said *r)
{
	EXPECT(!m->sure && r->code == 554);
}

/* --- what the client says --- */

static void say_octets(const char *s, size_t n)
{
	EXPECT(n <= FUZZ_TEXT - fuzz.n);
	memcpy(fuzz.text + fuzz.n, s, n);
	fuzz.n += n;
}

static void say_line(const char *s)
{
	say_octets(s, strlen(s));
	say_octets("\r\n", 2);
}

static void envelope(void)
{
	say_line("MAIL FROM:<a@b.example>");
	say_line("RCPT TO:<c@d.example>");
	say_line("RCPT TO:<e@d.example>");
}

/* In chunks of at most `most` octets, the last one empty if that is asked for.  */
static void say_chunks(size_t most, bool empty)
{
	static const char *const between[] = { "NOOP", "noop x", "VRFY x", "HELP", "DATA x" };
	char line[40];
	for (size_t at = 0, last = 0; !last;) {
		size_t n = most ? dice((unsigned)most + 1) : message_n;
		if (n > message_n - at) n = message_n - at;
		last = at + n == message_n && (!empty || n == 0);
		sprintf(line, "BDAT %zu%s", n, last ? " LAST" : "");
		say_line(line);
		say_octets(message + at, n);
		at += n;
		if (!last && !dice(4)) say_line(between[dice(5)]);
	}
}

static bool say_data(void)
{
	if (!good || (message_n > 0 && (message_n < 2 || memcmp(message + message_n - 2, "\r\n", 2) != 0))) return false;
	envelope();
	say_line("DATA");
	for (size_t i = 0; i < message_n; i++) {
		bool line = i == 0 || (i > 1 && message[i - 2] == '\r' && message[i - 1] == '\n');       /* a bare LF starts none, though it becomes a line end */
		if (message[i] == '.' && line) say_octets(".", 1);
		say_octets(message + i, 1);
	}
	say_line(".");
	return true;
}

static void run(bool lmtp, bool normalize)
{
	const struct backend backend = { .lmtp = lmtp, .rcpt = rcpt, .begin = begin, .write = take, .commit = commit, .abandon = abandon, .verify = verify, .tell = tell };
	memset(&session, 0, sizeof session);
	cf.bare_newline = normalize;
	session.cf = &cf;
	session.backend = &backend;
	session.size_max = 1000000;
	session.rcpt_max = RCPTS;
	session.io = (struct io){ .in = 0, .out = 1, .ibuf = input, .isize = sizeof input, .obuf = output, .osize = sizeof output, .strict = true };
	dialogue.lmtp = lmtp;
	dialogue.strict = dialogue.reliable = true;
	dialogue.normalize = normalize;
	dialogue.size_max = dialogue.max_errors = 1000000;
	dialogue.stored = is_stored;
	dialogue.refused = is_refused;
	commits = stored = abandons = 0;
	session_run(&session);
	dialogue_check(&dialogue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!cf.hostname) {     /* no string of it is NULL */
		cf.file = "/dev/null";
		EXPECT(config_load(&cf));
		cf.hostname = "mx.example.test";
		cf.max_recipients = RCPTS;
		cf.max_errors = 1000000;
	}
	fuzz_take(data, size, ROOM / 4);
	size_t flags = control(), most = 1 + control() + fuzz.n / 64;
	bool lmtp = flags & 1, normalize = flags & 2;
	message_n = fuzz.n;
	memcpy(message, fuzz.text, message_n);
	struct message m = model_message(normalize ? NL_NORMALIZE : NL_STRICT, false, lmtp, message, message_n, want);
	if (message_n > 0 && message[message_n - 1] == '\r') EXPECT(m.bad);
	good = !m.bad;
	want_n = m.n;
	fuzz.n = 0;
	say_line(lmtp ? "LHLO x" : "EHLO x");
	envelope();
	say_chunks(0, false);
	envelope();
	say_chunks(most, flags & 4);
	unsigned all = 2 + say_data();
	say_line("QUIT");
	run(lmtp, normalize);
	if (fuzz.full || (good && has_word(message, message_n, "Received:"))) return 0; /* too many of those are a loop */
	EXPECT(stored == (good ? all : 0) && commits == stored && abandons == all);
	return 0;
}
