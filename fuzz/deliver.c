/* maildir-deliver whole: its LMTP dialogue and its MDA form, on real Maildirs in a temporary folder.  Besides what dialogue.h checks: a message
 * answered 2xx lies in each of its mailboxes once, octet for octet, and nothing else lies anywhere (P2, P3, P5).
 * SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

int deliver_main(int argc, char **argv);
static int tell_caller(const char *format, ...);
#define main deliver_main
#define fprintf(stream, ...) tell_caller(__VA_ARGS__)
#include "../deliver.c"
#undef main
#undef fprintf
#include "dialogue.h"

#include <dirent.h>
#include <fcntl.h>

enum { ALICE, BOB, DAVE, BOXES, NO_BOX = -1, NO_DOMAIN = -2, STORED = 8192 };
static const char *const boxes[BOXES] = { "example.test/alice", "example.test/bob", "other.test/dave" };
static char root[256];
static struct { char *text; size_t n; int box; } stored[STORED];
static size_t stored_n;

/* What the MDA form says on standard error: one line, "4.2.2 text".  */
static int tell_caller(const char *format, ...)
{
	char line[1024];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	EXPECT(n > 6 && (line[0] == '4' || line[0] == '5') && line[1] == '.');
	check_log(line, (size_t)n);
	return n;
}

/* --- the model of the mailboxes --- */

static int box_of(const char *rcpt)
{
	struct path p;
	EXPECT(mailbox_parse(&p, rcpt));
	bool domain = !*p.domain || !strcasecmp(p.domain, "example.test") || !strcasecmp(p.domain, "other.test");
	bool host = !strcasecmp(p.domain, "mx.example.test");
	char *plus = *p.local ? strchr(p.local + 1, '+') : NULL;
	if (plus) *plus = '\0';
	if (!strcasecmp(p.local, "postmaster") && (domain || host)) return BOB;
	if (!domain) return NO_DOMAIN;
	if (!strcasecmp(p.domain, "other.test")) return strcasecmp(p.local, "dave") ? NO_BOX : DAVE;
	if (!strcasecmp(p.local, "alice") || !strcasecmp(p.local, "carol")) return ALICE;       /* a link */
	return strcasecmp(p.local, "bob") ? NO_BOX : BOB;
}

static void check_rcpt(const struct mailing *m, const char *rcpt, const struct said *r)
{
	int box = box_of(rcpt);
	if (m->rcpts == RCPTS) EXPECT(r->code == 452);
	else EXPECT(r->code == (box >= 0 ? 250 : box == NO_BOX ? 550 : 551));
}

/* One more Delivered-To line, if there is none like it.  */
static size_t name_line(char *text, size_t n, const char *rcpt)
{
	char line[PATH_MAX_LEN + 32];
	snprintf(line, sizeof line, "\nDelivered-To: %s\n", rcpt);
	text[n] = '\0';
	return strcasestr(text, line) ? n : n + (size_t)sprintf(text + n, "%s", line + 1);
}

/* One copy for each mailbox, with each of the names by which it was called; postmaster's is Bob's, who is named too.  */
static void expect_stored(const struct mailing *m, const struct said *r)
{
	if (r) EXPECT(r->code == 250);
	for (int box = 0; box < BOXES; box++) {
		char *text = malloc(2000 + (size_t)m->rcpts * 600 + m->text.n);
		size_t n = (size_t)sprintf(text, "Return-Path: <%s>\n", m->sender), none = n;
		for (unsigned i = 0; i < m->rcpts; i++)
			if (box_of(m->rcpt[i]) == box) {
				n = name_line(text, n, m->rcpt[i]);
				if (strncasecmp(m->rcpt[i], "bob", 3) != 0 && box == BOB) n = name_line(text, n, "bob@example.test");
			}
		if (n == none) {
			free(text);
			continue;
		}
		memcpy(text + n, m->text.out, m->text.n);
		EXPECT(stored_n < STORED);
		stored[stored_n].text = text;
		stored[stored_n].n = n + m->text.n;
		stored[stored_n++].box = box;
	}
}

static void check_refused(const struct mailing *m, const struct said *r)
{
	EXPECT(!m->sure);
	EXPECT(r->code / 100 == 5);
}

/* A file in new/ is one of those that were promised; its name tells its sizes.  */
static void check_file(int box, int dir, const char *name)
{
	static char text[FUZZ_TEXT];
	unsigned long long size, vsize;
	int fd = openat(dir, name, O_RDONLY);
	EXPECT(fd >= 0);
	ssize_t n = __real_read(fd, text, sizeof text);
	close(fd);
	const char *sizes = strstr(name, ",S=");
	EXPECT(sizes && sscanf(sizes, ",S=%llu,W=%llu", &size, &vsize) == 2 && size == (size_t)n);
	for (ssize_t i = 0; i < n; i++) size += text[i] == '\n';
	EXPECT(size == vsize);
	size_t i = 0;
	while (i < stored_n && !(stored[i].text && stored[i].box == box && stored[i].n == (size_t)n && memcmp(stored[i].text, text, (size_t)n) == 0)) i++;
	EXPECT(i < stored_n || fuzz.full);
	if (i < stored_n) {
		free(stored[i].text);
		stored[i].text = NULL;
	}
	unlinkat(dir, name, 0);
}

static void check_boxes(void)
{
	for (int i = 0; i < BOXES * 2; i++) {
		char path[400];
		snprintf(path, sizeof path, "%s/%s/%s", root, boxes[i / 2], i % 2 ? "new" : "tmp");
		DIR *dir = opendir(path);
		EXPECT(dir);
		for (struct dirent *e; (e = readdir(dir));) {
			if (*e->d_name == '.') continue;
			EXPECT(i % 2);          /* nothing stays in tmp/ */
			check_file(i / 2, dirfd(dir), e->d_name);
		}
		closedir(dir);
	}
	for (size_t i = 0; i < stored_n; i++) EXPECT(!stored[i].text);
	stored_n = 0;
}

/* --- the two forms --- */

static void lmtp_session(unsigned flags)
{
	struct deliver *d = &deliver;
	memset(&d->session, 0, sizeof d->session);
	dialogue.lmtp = dialogue.strict = dialogue.reliable = true;
	dialogue.vrfy = d->cf.vrfy = flags & 1;
	dialogue.normalize = flags & 2;
	d->cf.bare_newline = dialogue.normalize;
	d->supervised = flags & 4;
	if (flags & 8) setenv("SMTP_AHEAD", "1", 1);
	else unsetenv("SMTP_AHEAD");
	dialogue.max_errors = d->cf.max_errors;
	dialogue.size_max = (size_t)d->cf.max_size + TRACE_ROOM;
	dialogue.rcpt = check_rcpt;
	dialogue.stored = expect_stored;
	dialogue.refused = check_refused;
	EXPECT(lmtp(d) == EX_OK);
	EXPECT(d->delivery.count == 0 && !d->session.tx.open);
	dialogue_check(&dialogue);
}

/* The message without the mbox separator in front, if it is one.  */
static size_t separator(void)
{
	if (fuzz.n < 5 || memcmp(fuzz.text, "From ", 5) != 0) return 0;
	size_t lf = model_find(fuzz.text, 0, fuzz.n < INPUT ? fuzz.n : INPUT, "\n"), blanks = 5;
	while (blanks < lf && (fuzz.text[blanks] == ' ' || fuzz.text[blanks] == '\t')) blanks++;
	return lf < fuzz.n && lf < INPUT && fuzz.text[blanks] != ':' ? lf + 1 : 0;
}

static void mda_message_in(unsigned flags)
{
	static char out[FUZZ_TEXT * 2];
	static char *const rcpts[] = { "alice@example.test", "<Bob@example.test>", "carol+x@example.test", "dave@other.test", "nobody@example.test" };
	struct mailing *m = &dialogue.m;
	struct deliver *d = &deliver;
	unsigned first = flags % 5, n = 1 + flags / 5 % (5 - first);
	char *chosen[5];
	memcpy(chosen, rcpts + first, n * sizeof *chosen);
	strcpy(m->sender, "s@example.org");
	for (m->rcpts = 0; m->rcpts < n; m->rcpts++) sprintf(m->rcpt[m->rcpts], "%.*s", (int)strcspn(rcpts[first + m->rcpts] + (first + m->rcpts == 1), ">"), rcpts[first + m->rcpts] + (first + m->rcpts == 1));
	size_t skip = separator();
	m->text = model_message(NL_LOCAL, false, true, fuzz.text + skip, fuzz.n - skip, out);
	int status = mda(d, m->sender, chosen, n);
	bool known = first + n < 5, big = m->text.size > d->cf.max_size + TRACE_ROOM, loop = has_word(fuzz.text, fuzz.n, "Delivered-To:");
	if (fuzz.stop) EXPECT(status == EX_TEMPFAIL || (!known && status == EX_NOUSER));
	else if (!known) EXPECT(status == EX_NOUSER);
	else if (big) EXPECT(status == EX_DATAERR);
	else EXPECT(status == EX_OK || (loop && status == EX_DATAERR));
	if (status == EX_OK) expect_stored(m, NULL);
}

static void make_boxes(void)
{
	char path[400];
	const char *tmp = getenv("TMPDIR");
	snprintf(root, sizeof root, "%s/fuzz-deliver.XXXXXX", tmp ? tmp : "/tmp");
	EXPECT(mkdtemp(root));
	struct resolver r = { .cf = &deliver.cf, .root = open(root, O_PATH | O_DIRECTORY) };
	static const char *const names[BOXES] = { "alice@example.test", "bob@example.test", "dave@other.test" };
	for (int i = 0; i < BOXES; i++) {
		struct path p;
		EXPECT(mailbox_parse(&p, names[i]) && resolver_make(&r, p.domain, p.local) == 0);
	}
	close(r.root);
	snprintf(path, sizeof path, "%s/example.test/carol", root);
	EXPECT(symlink("alice", path) == 0);
}

static void remove_boxes(void)
{
	char command[400];
	snprintf(command, sizeof command, "rm -rf '%s'", root);
	if (system(command) != 0) return;
}

static void start(void)
{
	static char mail_root[300];
	struct deliver *d = &deliver;
	static const char *const settings[] = { mail_root, "hostname=mx.example.test", "postmaster=bob@example.test", "max_size=65536", "max_recipients=100", "max_errors=50" };
	make_boxes();
	atexit(remove_boxes);
	snprintf(mail_root, sizeof mail_root, "mail_root=%s", root);
	d->cf.file = "/dev/null";
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) EXPECT(config_option(&d->cf, 'o', settings[i]));
	EXPECT(config_load(&d->cf));
	strcpy(d->peer, "local");
	strcpy(d->id, "0123456789abcdef");
	setenv("SMTP_LOG", "stderr", 1);
	log_open("maildir-deliver", d->id, d->peer, LOG_LINES);
	EXPECT(resolver_open(&d->resolver, &d->cf, true));
	expander_init(&d->expander, &d->cf, &d->resolver, -1);
	delivery_init(&d->delivery, &d->cf, -1, d->cf.max_recipients + 2 * EXPAND_NODES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!*root) start();
	fuzz_take(data, size, 100000);
	unsigned flags = control(), when = control();
	if ((when & 3) == 1) fuzz.late_at = fuzz.n * (when / 4) / 64;
	if ((when & 3) == 3) fuzz.deaf_at = when * 8;
	else if (when & 2) fuzz.stop_at = fuzz.n * (when / 4) / 64;
	if (flags & 64) mda_message_in(flags % 64);
	else lmtp_session(flags);
	check_boxes();
	return 0;
}
