/* smtp-handler's speaker whole, between a client and a next hop, both made of the input.  The next hop is a model of an LMTP server that
 * understands what it is told, and answers as the control octets say: well, with any refusal, late, never, twice, or with nonsense.  Besides
 * what dialogue.h checks: the client hears 2xx for a message if and only if the next hop said 2xx for each of its recipients,
 * and then the next hop has the very message; no 5xx that nobody meant (P9); no wait for an answer that is not due.
 * SPDX-License-Identifier: MIT */
int handler_main(int argc, char **argv);
#define main handler_main
#include "../smtp-handler.c"
#undef main
#include "dialogue.h"

enum { RECORDS = 8192, HOP_LINE = 5000 };

/* The next hop.  */
static struct {
	/* the connection */
	char in[FUZZ_TEXT * 3], out[1 << 16];
	size_t n, said, at;
	bool closed, silent;    /* it says no more: end of file, or no end */
	bool chunking, smtputf8, eightbit, size;
	bool ours;              /* the handler takes for granted what it offers, and does not wait for its greeting */
	/* the transaction */
	bool mail, data, failed;
	char sender[HOP_LINE];
	char rcpt[RCPTS + 1][256];
	unsigned rcpts;
	char text[FUZZ_TEXT * 2];
	size_t text_n;
	/* the session */
	bool naughty;           /* not all answers were good */
	bool evil;              /* it said what is no answer, or one too many: what belongs to what is not known any more */
	bool raved;             /* what is no answer */
	bool permanent;         /* it said 5xx */
} peer;

/* Messages that the next hop has taken in whole, by their number in the client's session.  */
static struct { unsigned number, rcpts; bool good, claimed; char *sender, *text, *rcpt; size_t n; } record[RECORDS];
static size_t records;

/* --- its answers --- */

static void hop_say(const char *s, size_t n)
{
	if (peer.closed || peer.silent || n > sizeof peer.out - peer.said) return;
	memcpy(peer.out + peer.said, s, n);
	peer.said += n;
}

static int hop_line(int code, const char *text)
{
	char line[HOP_LINE];
	if (code / 100 == 5) peer.permanent = true;
	hop_say(line, (size_t)snprintf(line, sizeof line, "%d%s%s\r\n", code, *text ? " " : "", text));
	return code;
}

/* What the control octets say, up to LF.  */
static void hop_rave(void)
{
	char c = ' ';
	while (fuzz.controls > 0 && c != '\n') hop_say((c = (char)control(), &c), 1);
	hop_say("\r\n", 2);
	peer.evil = peer.raved = true;
}

/* One answer; `good` is the code of a good one.  Returns the code, 0 if there was none.  */
static int hop_answer(int good)
{
	static char longest[3000];
	unsigned how = peer.data && good != 354 ? 0 : control();
	if (how == 0) return hop_line(good, good == 220 ? "hop LMTP" : "2.0.0 good");
	peer.naughty = true;
	switch (how % 16) {
	case 1: return hop_line(451, "4.3.0 later");
	case 2: return hop_line(550, "5.1.1 no");
	case 3: hop_line(421, "4.3.2 ending"); peer.closed = true; return 0;
	case 4: return hop_line(551, "not mine");
	case 5: return hop_line(452, "4.5.3 too many");
	case 6: hop_say("250-2.0.0 one\r\n", good == 250 ? 15 : 0); return hop_line(good, "2.0.0 two");
	case 7: return hop_line(554, "5.9999.1 odd \x01\x80 text");
	case 8: return hop_line(good, "");
	case 9: peer.closed = true; return 0;
	case 10: peer.silent = true; return 0;
	case 11: memset(longest, 'x', sizeof longest - 1); return hop_line(good, longest);
	case 12: peer.evil |= good == 354; return hop_line(good == 354 ? 250 : 354, "3.0.0 crossed");
	case 13: hop_rave(); return 0;
	case 14: peer.evil = true; hop_line(good, "twice"); return hop_line(good, "twice");
	case 15: return hop_line(good, "5.1.1 of another class");
	default: return hop_line(good, "2.0.0 good");
	}
}

static bool good(int code) { return code / 100 == 2; }

/* --- what it is told --- */

static void hop_forget(void)
{
	peer.mail = peer.data = peer.failed = false;
	peer.rcpts = 0;
	peer.text_n = 0;
}

/* A whole message: an answer for each recipient (RFC 2033).  */
static void hop_take(const char *s, size_t n)
{
	bool all = true;
	peer.data = false;
	EXPECT(records < RECORDS);
	record[records].text = exactly(s, n);
	record[records].n = n;
	record[records].sender = strdup(peer.sender);
	record[records].rcpts = peer.rcpts;
	record[records].rcpt = exactly(peer.rcpt[0], peer.rcpts * sizeof *peer.rcpt);
	record[records].number = handler.session.messages;
	for (unsigned i = 0; i < peer.rcpts; i++) all &= good(hop_answer(250));
	record[records].claimed = false;
	record[records++].good = all;
	hop_forget();
}

static void hop_lhlo(void)
{
	unsigned without = control();
	if (peer.ours && without) peer.naughty = true;  /* "not of this version" */
	char text[400];
	peer.chunking = !(without & 1);
	peer.smtputf8 = !(without & 4);
	peer.eightbit = !(without & 8);
	peer.size = !(without & 16);
	snprintf(text, sizeof text, "250-hop\r\n%s%s%s%s%s%s%s%s", peer.ours ? "250-AUTH\r\n250-DSN\r\n250-X-RELAY\r\n" : "",
		peer.chunking ? "250-CHUNKING\r\n" : "", without & 2 ? "" : "250-PIPELINING\r\n",
		peer.smtputf8 ? "250-SMTPUTF8\r\n" : "", peer.eightbit ? "250-8BITMIME\r\n" : "", peer.size ? "250-SIZE 1000\r\n" : "",
		without & 32 ? "" : "250-X-ALL-OR-NOTHING\r\n", without & 64 ? "250-LIMITS RCPTMAX=3\r\n" : "");
	hop_say(text, strlen(text));
	hop_answer(250);
}

/* MAIL and RCPT: the address in brackets, and behind it nothing that was not offered.  */
static void hop_envelope(char *line, bool mail)
{
	char *path = strchr(line, '<') + 1, *end = strrchr(path, '>');
	struct path p;
	EXPECT(end);
	EXPECT(mail || !end[1]);
	if (strstr(end, " SIZE=")) EXPECT(peer.size || peer.ours);
	if (strstr(end, " BODY=8BITMIME")) EXPECT(peer.eightbit || peer.ours);
	if (strstr(end, " SMTPUTF8")) EXPECT(peer.smtputf8 || peer.ours);
	*end = '\0';
	EXPECT((mail && !*path) || mailbox_parse(&p, path));
	if (mail) {
		EXPECT(!peer.mail || peer.evil);
		peer.mail = good(hop_answer(250));
		strcpy(peer.sender, path);
	} else if (!peer.mail) {
		hop_say("503 5.5.1 no sender\r\n", 21);         /* and that is not the answer that counts */
	} else if (good(hop_answer(250))) {
		EXPECT(peer.rcpts < RCPTS || peer.evil);
		if (peer.rcpts < RCPTS) strcpy(peer.rcpt[peer.rcpts++], path);
	}
}

static void hop_chunk(const char *s, size_t n, bool last)
{
	if (peer.failed || peer.rcpts == 0) {
		EXPECT(!last || peer.evil);     /* what was refused is not ended as if it were whole */
		hop_line(503, "5.5.1 gone");
		return;
	}
	EXPECT(n <= sizeof peer.text - peer.text_n);
	memcpy(peer.text + peer.text_n, s, n);
	peer.text_n += n;
	if (last) hop_take(peer.text, peer.text_n);
	else if (!good(hop_answer(250))) peer.failed = true;
}

/* One command line.  Returns how many of the octets behind it belong to it, or -1 if they are not all there.  */
static ssize_t hop_command_line(char *line, const char *behind, size_t left)
{
	char last[8] = "";
	size_t n = 0;
	for (char *c = line; *c; c++) EXPECT((unsigned char)*c >= ' ' && *c != 0x7f);   /* nothing that the client said breaks a line */
	if (strncmp(line, "LHLO ", 5) == 0) hop_lhlo();
	else if (strncmp(line, "MAIL FROM:<", 11) == 0) hop_envelope(line, true);
	else if (strncmp(line, "RCPT TO:<", 9) == 0) hop_envelope(line, false);
	else if (strcmp(line, "RSET") == 0) hop_forget(), hop_answer(250);
	else if (strcmp(line, "QUIT") == 0) hop_answer(221), peer.closed = true;
	else if (strncmp(line, "VRFY ", 5) == 0 || strncmp(line, "EXPN ", 5) == 0) hop_answer(250);
	else if (strcmp(line, "DATA") == 0) {
		EXPECT((peer.rcpts > 0 && !peer.chunking) || peer.evil);
		peer.data = hop_answer(354) == 354;
	} else if (strncmp(line, "Received: ", 10) == 0) {
		/* Message text, to one that is out of step.  An answer too many is noticed if it comes along with another.  */
		EXPECT(peer.evil && (peer.raved || fuzz.cut % 8 != 0));
		peer.closed = true;
	} else {
		EXPECT(sscanf(line, "BDAT %zu %7s", &n, last) >= 1 && (!*last || strcmp(last, "LAST") == 0) && (peer.chunking || peer.evil));
		if (n > left) return -1;
		hop_chunk(behind, n, *last);
	}
	return (ssize_t)n;
}

/* The end of the message in peer.in, 0 if it is not there yet.  P4: whatever gets here is good.  */
static size_t hop_data(void)
{
	struct message t = model_message(NL_STRICT, true, false, peer.in, peer.n, peer.text);
	EXPECT(!t.bad);
	if (!t.end) return 0;
	hop_take(peer.text, t.n);
	return t.taken;
}

static void hop_listen(void)
{
	static char line[HOP_LINE];
	while (!peer.closed && peer.n > 0) {
		size_t taken;
		if (peer.data) {
			if (peer.n < 3 || memcmp(peer.in + peer.n - 3, ".\r\n", 3) != 0) return;        /* nothing follows an end of data at once */
			taken = hop_data();
			if (taken == 0) return;
		} else {
			size_t lf = model_find(peer.in, 0, peer.n, "\n");
			if (lf == peer.n) return;
			EXPECT(lf > 0 && lf < HOP_LINE && peer.in[lf - 1] == '\r');
			snprintf(line, sizeof line, "%.*s", (int)lf - 1, peer.in);
			EXPECT(strlen(line) == lf - 1);
			ssize_t more = hop_command_line(line, peer.in + lf + 1, peer.n - lf - 1);
			if (more < 0) return;
			taken = lf + 1 + (size_t)more;
		}
		memmove(peer.in, peer.in + taken, peer.n - taken);
		peer.n -= taken;
	}
}

static ssize_t hop_takes(const void *buf, size_t n)
{
	if (peer.closed && dice(2)) {
		errno = EPIPE;
		return -1;
	}
	if (peer.closed) return (ssize_t)n;
	EXPECT(n <= sizeof peer.in - peer.n);
	memcpy(peer.in + peer.n, buf, n);
	peer.n += n;
	hop_listen();
	return (ssize_t)n;
}

static ssize_t hop_gives(void *buf, size_t n)
{
	size_t left = peer.said - peer.at, p = piece(left < n ? left : n);
	if (left == 0 && peer.closed) return 0;
	if (left == 0) {
		EXPECT(peer.silent || peer.evil);       /* it waits for an answer that is not due */
		fuzz.now += 100000;
		fuzz.late = true;
		errno = EINTR;
		return -1;
	}
	memcpy(buf, peer.out + peer.at, p);
	peer.at += p;
	if (peer.at == peer.said) peer.at = peer.said = 0;
	return (ssize_t)p;
}

/* --- the keeper --- */

static void hop_hang_up(void)
{
	if (peer.data && !peer.closed && peer.n > 0) EXPECT(!model_message(NL_STRICT, true, false, peer.in, peer.n, peer.text).bad);
	peer.n = peer.said = peer.at = 0;
	peer.closed = peer.silent = false;
	hop_forget();
}

int keeper_ask_hop(time_t *now, bool *ours)
{
	unsigned how = control() % 16;
	*now = 1700000000;
	hop_hang_up();
	*ours = peer.ours = how == 2;
	if (how == 1) {
		peer.naughty = true;
		return -1;
	}
	hop_answer(220);
	return HOP;
}

time_t keeper_ask_time(void) { return 1700000000; }
/* no TLS and no passwords here: STARTTLS and AUTH are not offered */
int keeper_ask_tls(void) { return -1; }
bool keeper_switch(void) { return false; }
int keeper_ask_auth(void) { return -1; }
enum verdict keeper_verdict(void) { return VERDICT_TEMPORARY; }
void keeper_about(const struct about *about) { (void)about; }
void keeper_tell(const struct event *e) { log_event(e); }
void keeper_drop_hop(void) { hop_hang_up(); }
int keeper_run(const struct keeper *k) { return k->speak(k->ctx); }

/* --- what must be true in the end --- */

static bool has(const char *s, size_t n, const char *what) { return model_find(s, 0, n, what) < n; }

/* The trace header in front of what was stored, and all behind it as the client sent it.  */
static void check_stored(const struct mailing *m, const char *s, size_t n, bool added_eol)
{
	char id[64], helo[300], rcpt[300];
	size_t head = model_find(s, 0, n, "\r\n");
	while (head + 2 < n && s[head + 2] == '\t') head = model_find(s, head + 2, n, "\r\n");
	EXPECT(head < n);
	head += 2;
	snprintf(id, sizeof id, " id %s.%u", handler.id, m->number);
	snprintf(helo, sizeof helo, "Received: from %s (", m->helo);
	snprintf(rcpt, sizeof rcpt, "\r\n\tfor <%s>;\r\n", m->rcpt[0]);
	EXPECT(n > strlen(helo) && memcmp(s, helo, strlen(helo)) == 0);
	EXPECT(has(s, head, id));
	EXPECT(m->rcpts == 1 ? has(s, head, rcpt) : !has(s, head, "for <"));
	size_t rest = n - head - (added_eol ? 2 : 0);
	EXPECT(rest == m->text.n && memcmp(s + head, m->text.out, rest) == 0);
}

static void check_accepted(const struct mailing *m, const struct said *r)
{
	char id[64];
	snprintf(id, sizeof id, "stored with id %s.%u\r\n", handler.id, m->number);
	EXPECT(r->code == 250 && has(r->text, r->n, id));
	size_t i = 0;
	while (i < records && record[i].number != m->number) i++;
	EXPECT(i < records);
	record[i].claimed = true;
	if (peer.evil) return;
	EXPECT(record[i].good && record[i].rcpts == m->rcpts && strcmp(record[i].sender, m->sender) == 0);
	for (unsigned k = 0; k < m->rcpts; k++) EXPECT(strcmp(record[i].rcpt + k * sizeof *peer.rcpt, m->rcpt[k]) == 0);
	bool eol = m->text.n == 0 || m->text.out[m->text.n - 1] == '\n';
	check_stored(m, record[i].text, record[i].n, !eol && !peer.chunking);
}

static void check_refused(const struct mailing *m, const struct said *r)
{
	if (peer.evil) return;
	for (size_t i = 0; i < records; i++) EXPECT(record[i].number != m->number || !record[i].good);
	if (m->sure && r->code / 100 == 5) EXPECT(peer.permanent);
	if (m->sure) EXPECT(peer.naughty || fuzz.late);
}

static void check_rcpt(const struct mailing *m, const char *rcpt, const struct said *r)
{
	(void)rcpt;
	bool own = r->code == 452 && m->rcpts > 0, unfit = r->code == 550 && has(r->text, r->n, "5.6.7");
	if (r->code / 100 == 5) EXPECT(peer.permanent || unfit || peer.evil);
	if (!peer.naughty) EXPECT(r->code == 250 || own || unfit);
	EXPECT(r->code != 551 || peer.evil);
}

static void start(struct handler *h)
{
	static const char *const settings[] = { "hostname=mx.example.test", "queue_dir=", "max_size=140000", "max_recipients=100", "max_errors=50", "deliver_timeout=60s" };
	h->cf.file = "/dev/null";
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) EXPECT(config_option(&h->cf, 'o', settings[i]));
	EXPECT(config_load(&h->cf));
	strcpy(h->id, "0123456789abcdef");
	setenv("SMTP_LOG", "stderr", 1);
	log_open("smtp-handler", h->id, "192.0.2.1", LOG_LINES);
	hop_read = hop_gives;
	hop_wrote = hop_takes;
	dialogue.max_errors = h->cf.max_errors;
	dialogue.size_max = (size_t)h->cf.max_size;
	dialogue.rcpt = check_rcpt;
	dialogue.stored = check_accepted;
	dialogue.refused = check_refused;
}

/* As main does it.  */
static void run(struct handler *h, unsigned flags)
{
	memset(&h->session, 0, sizeof h->session);
	memset(&h->hop, 0, offsetof(struct hop, in));
	h->connected = h->unreachable = false;
	dialogue.vrfy = h->cf.vrfy = flags & 1;
	dialogue.normalize = flags & 2;
	h->cf.bare_newline = dialogue.normalize;
	dialogue.strict = !(flags & 4);
	strcpy(h->peer, flags & 4 ? "local" : "192.0.2.1");
	h->cf.deliver = flags & 8 ? "unix:/somewhere" : "";
	prepare(h, !(flags & 4));
	h->session.io.strict = dialogue.strict;         /* whatever our own descriptor 0 is */
	if (flags & 16) h->session.io.isize = COMMAND_MAX + 1 + flags / 32;
	bool well = keeper_run(&(struct keeper){ .cf = &h->cf, .id = h->id, .speak = speak, .ctx = h });
	EXPECT(h->session.closing && well == !h->session.hung_up && !h->session.tx.open);
	EXPECT(!h->session.io.stuck || fuzz.late);
	fuzz.full |= h->session.io.stuck;       /* after the end of the session a client has no time to take its replies piece by piece */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handler *h = &handler;
	if (!*h->id) start(h);
	fuzz_take(data, size, 150000);
	unsigned flags = control(), when = control();
	if ((when & 3) == 1) fuzz.late_at = fuzz.n * (when / 4) / 64;
	if ((when & 3) == 3) fuzz.deaf_at = when * 8;
	else if (when & 2) fuzz.stop_at = fuzz.n * (when / 4) / 64;
	hop_hang_up();
	peer.naughty = peer.evil = peer.raved = peer.permanent = false;
	run(h, flags);
	dialogue.reliable = !peer.naughty && !fuzz.late;
	dialogue_check(&dialogue);
	for (; records > 0; records--) {
		/* the client was told of each that is stored, or it sends it once more */
		EXPECT(!record[records - 1].good || record[records - 1].claimed || peer.evil || fuzz.full || fuzz.late || fuzz.stop);
		free(record[records - 1].text);
		free(record[records - 1].sender);
		free(record[records - 1].rcpt);
	}
	return 0;
}
