/* The log.  No library is touched for a line on fd 2; libsystemd is loaded when there is a line for the journal.
 * SPDX-License-Identifier: MIT */
#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "systemd.h"

static struct {
	const char *program, *id, *peer;
	char user[256], about[512];     /* escaped; about is " user=<...> tls=..." */
	enum log_level level;
	bool fields, copied;            /* copied: to syslog as well */
	enum place { TO_STDERR, TO_JOURNAL, TO_SYSLOG, PLACES } to;
} log_state;

static const char *const environment[PLACES] = { "SMTP_LOG=stderr", "SMTP_LOG=journal", "SMTP_LOG=syslog" };

static const int priority[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

static char *escape(char *out, size_t size, const char *in, const char *marks)
{
	char *o = out, *end = out + size - 5;
	for (; *in && o < end; in++) {
		unsigned char c = (unsigned char)*in;
		if (c < ' ' || c >= 0x7f || strchr(marks, c)) o += sprintf(o, "\\x%02x", c);
		else *o++ = (char)c;
	}
	*o = '\0';
	return out;
}

char *log_escape(char *out, size_t size, const char *in) { return escape(out, size, in, "\\<>"); }
char *log_quote(char *out, size_t size, const char *in) { return escape(out, size, in, "\\<>\""); }

static bool same_file(const struct stat *a, const struct stat *b) { return a->st_dev == b->st_dev && a->st_ino == b->st_ino; }

/* Whether $JOURNAL_STREAM names this very descriptor (systemd.exec(5)).  */
static bool is_journal(const struct stat *st)
{
	const char *s = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	return s && sscanf(s, "%llu:%llu", &dev, &ino) == 2 && dev == st->st_dev && ino == st->st_ino;
}

/* Whether fd 2 is where the peer is: then a line there would be taken for a reply.  */
static bool is_peer(const struct stat *err)
{
	struct stat st;
	if (!S_ISSOCK(err->st_mode) && !S_ISFIFO(err->st_mode)) return false;
	for (int fd = 0; fd <= 1; fd++)
		if (fstat(fd, &st) == 0 && same_file(&st, err)) return true;
	return false;
}

static void to_syslog(const char *program, bool silence_stderr)
{
	log_state.to = TO_SYSLOG;
	openlog(program, LOG_PID | LOG_NDELAY, LOG_MAIL);       /* now: later the sandbox may forbid it */
	if (!silence_stderr) return;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0) close(2);
	else if (dup2(null, 2) == 2) close(null);
}

/* The empty line is not stored, but has journald look now which unit we are: it cannot see that in our last words any more, when it comes to
 * read them after our end.  */
static void to_journal(void)
{
	log_state.to = TO_JOURNAL;
	if (log_state.fields && write(2, "\n", 1) < 0) return;
}

void log_open(const char *program, const char *id, const char *peer, enum log_use use)
{
	struct stat err = { 0 };
	const char *wish = getenv("SMTP_LOG");
	log_state.program = program;
	log_state.level = LEVEL_DEBUG;
	log_state.id = id;
	log_state.peer = peer;
	log_state.fields = use == LOG_FIELDS || use == LOG_PASS;
	for (enum place i = 0; wish && i < PLACES; i++) {
		if (strcmp(wish, strchr(environment[i], '=') + 1) != 0) continue;
		if (i == TO_SYSLOG) to_syslog(program, use != LOG_STATUS);
		else log_state.to = i;
		return;
	}
	if (fstat(2, &err) != 0) open("/dev/null", O_WRONLY);   /* takes the lowest number that is free */
	else if (is_journal(&err)) to_journal();
	else if (use != LOG_STATUS && is_peer(&err)) to_syslog(program, true);
	else if (use == LOG_STATUS && !isatty(2)) to_syslog(program, false);
	else if (use == LOG_PASS && isatty(2)) openlog(program, LOG_PID | LOG_NDELAY, LOG_MAIL), log_state.copied = true;
	if (use == LOG_PASS && log_state.to == TO_JOURNAL) systemd_load();
}

void log_level(enum log_level level) { log_state.level = level; }
void log_about(const char *user, const char *tls)
{
	char what[160];
	log_escape(log_state.user, sizeof log_state.user, user);
	log_escape(what, sizeof what, tls);
	snprintf(log_state.about, sizeof log_state.about, "%s%s%s%s%s", *user ? " user=<" : "", log_state.user, *user ? ">" : "", *tls ? " tls=" : "", what);
}

const char *log_environment(void) { return environment[log_state.to]; }

/* A line begins with what tells where it is from; the text stands behind that.  */
enum { LINE = 2300 };
static size_t prefix(char line[LINE], enum log_level level)
{
	int n = 0;
	if (log_state.to == TO_JOURNAL) n = snprintf(line, LINE, "<%d>", priority[level]);
	else if (log_state.to == TO_STDERR) n = snprintf(line, LINE, "%.200s[%d]: ", log_state.program, (int)gettid());
	return (size_t)n;
}

/* Send a finished line, whose text begins at `text`; `fields` for the journal are optional.  */
static void put(enum log_level level, char line[LINE], const char *text, const struct systemd_field *fields, size_t n)
{
	if (log_state.to == TO_SYSLOG) {
		syslog(priority[level], "%s", text);
		return;
	}
	if (log_state.to == TO_JOURNAL && log_state.fields && n > 0 && systemd_journal(priority[level], text, fields, n)) return;
	if (log_state.copied) syslog(priority[level], "%s", text);
	size_t len = strlen(line);
	line[len] = '\n';       /* instead of the NUL */
	if (write(2, line, len + 1) < 0) return;        /* there is nowhere to say it */
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[LINE];
	if (level > log_state.level) return;
	size_t n = prefix(line, level), start = n;
	if (log_state.id && *log_state.id) n += (size_t)snprintf(line + n, LINE - n, "id=%.64s ", log_state.id);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line + n, LINE - n, fmt, ap);
	va_end(ap);
	put(level, line, line + start, NULL, 0);
}

static const struct kind { enum log_level level; const char *message_id, *what; } kinds[EVENT_KINDS] = {
	[EVENT_STORED] = { LEVEL_INFO, "8b3a7e1c5d0f4c52a6f1de3b9c704a11", "stored" },
	[EVENT_NOT_STORED] = { LEVEL_WARNING, "8b3a7e1c5d0f4c52a6f1de3b9c704a12", "not stored" },
	[EVENT_RCPT_REFUSED] = { LEVEL_INFO, "8b3a7e1c5d0f4c52a6f1de3b9c704a13", "recipient refused" },
	[EVENT_ENDED] = { LEVEL_INFO, "8b3a7e1c5d0f4c52a6f1de3b9c704a14", "ended" },
	[EVENT_HOP_FAILED] = { LEVEL_ERROR, "8b3a7e1c5d0f4c52a6f1de3b9c704a15", "next hop failed" },
	[EVENT_SPEAKER_KILLED] = { LEVEL_ERROR, "8b3a7e1c5d0f4c52a6f1de3b9c704a16", "speaker killed" },
	[EVENT_BAD_CONFIG] = { LEVEL_ERROR, "8b3a7e1c5d0f4c52a6f1de3b9c704a17", "bad configuration" },
	[EVENT_BAD_COMMAND] = { LEVEL_INFO, "8b3a7e1c5d0f4c52a6f1de3b9c704a18", "bad command" },
	[EVENT_AUTH_FAILED] = { LEVEL_WARNING, "8b3a7e1c5d0f4c52a6f1de3b9c704a19", "authentication failed" },
	[EVENT_SENT] = { LEVEL_INFO, "8b3a7e1c5d0f4c52a6f1de3b9c704a1a", "sent" },
	[EVENT_DEFERRED] = { LEVEL_INFO, "8b3a7e1c5d0f4c52a6f1de3b9c704a1b", "deferred" },
	[EVENT_FAILED] = { LEVEL_INFO, "8b3a7e1c5d0f4c52a6f1de3b9c704a1c", "failed" },
	[EVENT_GIVEN_UP] = { LEVEL_INFO, "8b3a7e1c5d0f4c52a6f1de3b9c704a1d", "given up" },
	[EVENT_REPORTED] = { LEVEL_INFO, "8b3a7e1c5d0f4c52a6f1de3b9c704a1e", "reported" },
	[EVENT_NOT_REPORTED] = { LEVEL_INFO, "8b3a7e1c5d0f4c52a6f1de3b9c704a1f", "not reported" },
};

/* The line for people, the values escaped by now.  */
static void event_text(char *text, size_t size, const struct event *e, const char *id)
{
	const char *what = kinds[e->kind].what, *peer = log_state.peer, *about = log_state.about;
	char more[32] = "";
	if (e->nrcpt > 1) snprintf(more, sizeof more, " (+%u more)", e->nrcpt - 1);
	unsigned long long size_octets = e->size, ms = e->millis;
	switch (e->kind) {
	case EVENT_STORED:
	case EVENT_NOT_STORED:
		snprintf(text, size, "id=%s %s: from=<%s> to=<%s>%s size=%llu peer=%s%s helo=<%s> time=%llu.%03llus reply=\"%s\"", id, what, e->from, e->rcpt,
			more, size_octets, peer, about, e->helo, ms / 1000, ms % 1000, e->reply);
		return;
	case EVENT_RCPT_REFUSED:
		snprintf(text, size, "id=%s %s: from=<%s> to=<%s> peer=%s%s helo=<%s> reply=\"%s\"", id, what, e->from, e->rcpt, peer, about, e->helo, e->reply);
		return;
	case EVENT_BAD_COMMAND:
		snprintf(text, size, "id=%s %s: <%s> peer=%s%s helo=<%s> reply=\"%s\"", id, what, e->rcpt, peer, about, e->helo, e->reply);
		return;
	case EVENT_AUTH_FAILED:         /* the peer in front of all that a client can choose: units/fail2ban-filter.conf */
		snprintf(text, size, "id=%s %s: peer=%s user=<%s> mechanism=%s reply=\"%s\"", id, what, peer, e->from, e->rcpt, e->reply);
		return;
	case EVENT_ENDED:
		snprintf(text, size, "id=%s %s: %s peer=%s%s helo=<%s> messages=%u recipients=%u errors=%u octets=%llu time=%llu.%03llus", id, what, e->reply, peer,
			about, e->helo, e->message, e->nrcpt, e->errors, size_octets, ms / 1000, ms % 1000);
		return;
	case EVENT_SENT:
	case EVENT_DEFERRED:
	case EVENT_FAILED:
	case EVENT_GIVEN_UP:
	case EVENT_REPORTED:
		snprintf(text, size, "id=%s %s: to=<%s> reply=\"%s\"", id, what, e->rcpt, e->reply);
		return;
	case EVENT_NOT_REPORTED:
		snprintf(text, size, "id=%s %s: to=<%s>%s, for the sender does not want it (NOTIFY=)", id, what, e->rcpt, more);
		return;
	default:
		snprintf(text, size, "id=%s %s: %s peer=%s", id, what, e->reply, peer);
	}
}

void log_event(const struct event *raw)
{
	if (raw->kind >= EVENT_KINDS || kinds[raw->kind].level > log_state.level) return;
	struct event e = *raw;
	char id[64], size[24], line[LINE];
	const char *session = log_state.id ? log_state.id : "";
	log_escape(e.from, sizeof e.from, raw->from);
	log_escape(e.rcpt, sizeof e.rcpt, raw->rcpt);
	log_quote(e.reply, sizeof e.reply, raw->reply);
	log_escape(e.helo, sizeof e.helo, raw->helo);
	snprintf(id, sizeof id, e.message && e.kind != EVENT_ENDED ? "%s.%u" : "%s", session, e.message);
	snprintf(size, sizeof size, "%llu", (unsigned long long)e.size);
	char *text = line + prefix(line, kinds[e.kind].level);
	event_text(text, (size_t)(line + LINE - text), &e, id);
	struct systemd_field fields[] = {
		{ "MESSAGE_ID", kinds[e.kind].message_id }, { "SMTP_ID", id }, { "SMTP_PEER", log_state.peer }, { "SMTP_FROM", e.from },
		{ "SMTP_RCPT", e.rcpt }, { "SMTP_SIZE", size }, { "SMTP_REPLY", e.reply }, { "SMTP_USER", log_state.user }, { "SYSLOG_IDENTIFIER", log_state.program },
		{ "SYSLOG_FACILITY", "2" },     /* mail: what the lines have, too */
	};
	put(kinds[e.kind].level, line, text, fields, sizeof fields / sizeof *fields);
}
