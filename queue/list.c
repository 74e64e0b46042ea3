/* SPDX-License-Identifier: MIT */
#include "list.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "visit.h"

enum { ESCAPED = 4 * ENTRY_TEXT + 8 };

static const char *const place_words[SPOOL_PLACES] = { "new", "waits", "held" };

/* An entry for reading alone.  */
static bool open_entry(const struct spool *s, enum spool_place place, const struct entry_id *id, struct entry *e)
{
	char name[ENTRY_NAME];
	entry_name(name, id->due, id->key, id->hash);
	int fd = openat(s->place[place], name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);         /* a FIFO would wait for who writes */
	bool good = fd >= 0 && entry_read(e, fd);
	int error = errno;
	if (fd >= 0 && !good) entry_free(e);
	if (fd >= 0) close(fd);
	errno = error;
	return good;
}

/* --- JSON --- */

/* A string; what is not UTF-8 in it becomes U+FFFD by octets, so that the output is always JSON.  */
static void json_string(const char *name, const char *text)
{
	bool utf8 = utf8_valid(text);
	printf("\"%s\":\"", name);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\') printf("\\%c", *c);
		else if (*c < ' ' || *c == 0x7f) printf("\\u%04x", *c);
		else if (*c >= 0x80 && !utf8) printf("\\ufffd");
		else putchar(*c);
	}
	putchar('"');
}

static const char *state_word(enum entry_state state)
{
	switch (state) {
	case ENTRY_TODO: return "to be sent";
	case ENTRY_FAILED: return "failed, to be reported";
	case ENTRY_DELIVERED:
	case ENTRY_EXPANDED:
	case ENTRY_RELAYED: return "sent, to be reported";
	case ENTRY_SETTLED: return "done";
	}
	return "?";
}

static void print_json(const struct entry *e, const struct entry_id *id, enum spool_place place)
{
	putchar('{');
	json_string("id", e->id);
	putchar(',');
	json_string("key", id->key);
	putchar(',');
	json_string("place", place_words[place]);
	putchar(',');
	json_string("sender", e->sender);
	putchar(',');
	json_string("destination", e->destination);
	printf(",\"size\":%llu,\"arrived\":%lld,\"due\":%lld,\"attempts\":%u,\"recipients\":[", (unsigned long long)e->octets, (long long)e->arrived, (long long)id->due, e->attempts);
	for (size_t i = 0; i < e->count; i++) {
		printf("%s{", i ? "," : "");
		json_string("address", e->rcpt[i].address);
		putchar(',');
		json_string("state", state_word(e->rcpt[i].state));
		putchar(',');
		json_string("last", e->rcpt[i].text);
		putchar('}');
	}
	puts("]}");
}

/* --- for people --- */

static const char *when(char out[32], time_t t, time_t now)
{
	struct tm tm;
	if (t <= now) return "now";
	localtime_r(&t, &tm);
	strftime(out, 32, t - now < 86400 ? "%H:%M" : "%a %H:%M", &tm);
	return out;
}

static const char *age_text(char out[32], time_t seconds)
{
	long long s = seconds > 0 ? (long long)seconds : 0;
	if (s < 3600) snprintf(out, 32, "%lldm", s / 60);
	else if (s < 2 * 86400) snprintf(out, 32, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else snprintf(out, 32, "%lldd%02lldh", s / 86400, s / 3600 % 24);
	return out;
}

/* For people: nothing of ours stands in angle brackets here that theirs could be taken for.  */
static const char *shown(char *out, size_t size, const char *in)
{
	char *to = log_escape(out, size, in);
	for (const char *c = out; *c; to++) {
		bool bracket = strncmp(c, "\\x3c", 4) == 0 || strncmp(c, "\\x3e", 4) == 0;
		*to = bracket ? c[3] == 'c' ? '<' : '>' : *c;
		c += bracket ? 4 : 1;
	}
	*to = '\0';
	return out;
}

static void print_line(const struct spool *s, const struct entry *e, const struct entry_id *id, enum spool_place place)
{
	char due[32], age[32], text[ESCAPED];
	time_t now = spool_now(s);
	const char *next = place == SPOOL_HOLD ? "held" : place == SPOOL_NEW ? "new" : when(due, id->due, now);
	printf("%-26s %9llu %8s %10s %3u  %s\n", e->id, (unsigned long long)e->octets, age_text(age, now - e->arrived), next, e->attempts, *e->sender ? shown(text, sizeof text, e->sender) : "<>");
	for (size_t i = 0; i < e->count; i++) {
		if (e->rcpt[i].state == ENTRY_SETTLED) continue;
		printf("    %s", shown(text, sizeof text, e->rcpt[i].address));
		if (e->rcpt[i].state != ENTRY_TODO) printf(" (%s)", state_word(e->rcpt[i].state));
		printf("\n");
		if (*e->rcpt[i].text) printf("        %s\n", shown(text, sizeof text, e->rcpt[i].text));
		else if (place == SPOOL_WAIT && e->attempts == 0 && id->due > now) puts("        not tried yet: the host did not answer when it was tried with other mail");
	}
}

/* What cannot be read is told of by its name.  */
static void print_unreadable(const struct entry_id *id, enum spool_place place, bool json, int error)
{
	char why[160], number[ENTRY_KEY];
	snprintf(why, sizeof why, "cannot be read: %s", error == EBADMSG ? "it is no entry of this version" : strerror(error));
	snprintf(number, sizeof number, "%.*s", (int)(strrchr(id->key, '-') ? strrchr(id->key, '-') - id->key : (ptrdiff_t)strlen(id->key)), id->key);
	if (!json) {
		printf("%-26s %9s %8s %10s %3s  %s\n", id->key, "?", "?", place_words[place], "?", why);
		return;
	}
	putchar('{');
	json_string("id", number);
	putchar(',');
	json_string("key", id->key);
	putchar(',');
	json_string("place", place_words[place]);
	printf(",\"due\":%lld,", (long long)id->due);
	json_string("error", why);
	puts("}");
}

static int finish(int status) { return fflush(stdout) == 0 ? status : EX_IOERR; }

/* What may be an id, and whether the entry is meant by it: a key, that without its number, which is the message, or the session in which that came.  */
static bool is_key(const char *s) { return *s && strlen(s) < ENTRY_KEY && s[strspn(s, "0123456789abcdef.-")] == '\0'; }
static bool is_named(const struct entry_id *id, const char *what)
{
	size_t n = strlen(what);
	return is_key(what) && strncmp(id->key, what, n) == 0 && strchr(strchr(what, '.') ? "-" : ".-", id->key[n]);
}

/* What a command is about.  */
struct wanted {
	const char *what;               /* NULL: all */
	enum list_action action;
	bool json;
	char key[ENTRY_KEY];            /* of the last that was printed */
};

static int visit_all(const struct spool *s, struct visit *v)
{
	if (visit(s, v)) return EX_OK;
	fprintf(stderr, "smtp-queue: %s: %s\n", s->cf->queue_dir, strerror(errno));
	return EX_OSERR;
}

static enum outcome print(const struct spool *s, enum spool_place place, struct entry_id *id, void *ctx)
{
	struct wanted *w = ctx;
	struct entry e;
	if (w->what && !is_named(id, w->what)) return NOT_MEANT;
	bool good = open_entry(s, place, id, &e);
	if (!good && errno == ENOENT) return VANISHED;
	strcpy(w->key, id->key);
	if (!good) print_unreadable(id, place, w->json, errno);
	else if (w->json) print_json(&e, id, place);
	else print_line(s, &e, id, place);
	if (good) entry_free(&e);
	return DONE;
}

int list_all(const struct spool *s, bool json)
{
	struct visit v = { .each = print, .ctx = &(struct wanted){ .json = json } };
	if (!json) printf("%-26s %9s %8s %10s %3s  %s\n", "ID", "OCTETS", "AGE", "NEXT TRY", "N", "SENDER, RECIPIENTS, LAST ANSWER");
	int status = visit_all(s, &v);
	if (!json && v.done == 0 && status == EX_OK) puts("Mail queue is empty");
	else if (!json && status == EX_OK) printf("%zu entries\n", v.done);
	return finish(status);
}

/* The header of the message, for people: escaped, line by line.  */
static void print_header(const struct spool *s, const char *key)
{
	char line[1024], text[4 * sizeof line + 8];
	int fd = openat(s->message, key, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (f) putchar('\n');
	while (f && fgets(line, sizeof line, f) && *line != '\n') {
		line[strcspn(line, "\n")] = '\0';
		for (char *c = line; *c == '\t'; c++) *c = ' ';
		puts(shown(text, sizeof text, line));
	}
	if (f) fclose(f);
}

int list_show(const struct spool *s, const char *id, bool json)
{
	struct wanted w = { .what = id, .json = json };
	struct visit v = { .each = print, .ctx = &w };
	int status = is_key(id) ? visit_all(s, &v) : EX_OK;
	if (status == EX_OK && v.done == 0) return fprintf(stderr, "smtp-queue: %s: no such message in the queue\n", id), EX_NOINPUT;
	if (!json && v.done > 0) print_header(s, w.key);
	return finish(status);
}

/* --- changes --- */

/* Whether the entry is meant: by an id or a domain, whose hash its name has.  */
static enum outcome meant(const struct spool *s, enum spool_place place, const struct entry_id *id, const char *what)
{
	struct entry e;
	char domain[DOMAIN_MAX + 1];
	if (strcmp(what, "all") == 0 || is_named(id, what)) return DONE;
	if (strlen(what) >= sizeof domain) return NOT_MEANT;
	for (size_t i = 0; (domain[i] = (char)tolower((unsigned char)what[i])); i++) continue;
	if (entry_hash(domain) != id->hash) return NOT_MEANT;
	if (!open_entry(s, place, id, &e)) return errno == ENOENT ? VANISHED : NOT_MEANT;
	bool same = strcasecmp(e.destination, what) == 0;
	entry_free(&e);
	return same ? DONE : NOT_MEANT;
}

static bool apply(const struct spool *s, enum spool_place place, struct entry_id *id, enum list_action action)
{
	char name[24];
	snprintf(name, sizeof name, "%016llx", *s->cf->relayhost ? 0ULL : (unsigned long long)id->hash);        /* as pass.c counts destinations */
	switch (action) {
	case LIST_RETRY: unlinkat(s->host, name, 0); /* fall through */
	case LIST_RELEASE: return spool_move(s, place, id, SPOOL_WAIT, spool_now(s));
	case LIST_HOLD: return spool_move(s, place, id, SPOOL_HOLD, id->due);
	case LIST_REMOVE: return spool_remove(s, place, id);
	}
	return false;
}

static enum outcome change(const struct spool *s, enum spool_place place, struct entry_id *id, void *ctx)
{
	struct wanted *w = ctx;
	if (w->action == LIST_REMOVE ? false : w->action == LIST_RELEASE ? place != SPOOL_HOLD : place == SPOOL_HOLD) return NOT_MEANT;
	enum outcome outcome = meant(s, place, id, w->what);
	if (outcome != DONE) return outcome;
	int fd = spool_claim(s, place, id), error = errno;      /* not while it is being sent */
	if (fd >= 0) {
		error = apply(s, place, id, w->action) ? 0 : errno;
		close(fd);
	}
	if (!error) return DONE;
	if (error == EWOULDBLOCK || error == ENOENT) return error == ENOENT ? VANISHED : BUSY;
	fprintf(stderr, "smtp-queue: %s: %s\n", id->key, strerror(error));
	return FAILED;
}

int list_change(const struct spool *s, enum list_action action, const char *what)
{
	static const char *const done[] = { "to be tried now", "held", "released", "removed" };
	struct visit v = { .each = change, .ctx = &(struct wanted){ .what = what, .action = action } };
	int status = visit_all(s, &v);
	for (size_t i = 0; i < v.busy.count; i++) fprintf(stderr, "smtp-queue: %s is being worked on now\n", v.busy.id[i].key);
	if (v.vanished > 0) fputs("smtp-queue: the queue changes all the time, and something may have been missed: say it again\n", stderr);
	if (status == EX_OK && v.failed) status = EX_OSERR;
	if (status == EX_OK && (v.busy.count > 0 || v.vanished > 0)) status = EX_TEMPFAIL;
	spool_free(&v.busy);
	if (status == EX_OK && v.done == 0 && strcmp(what, "all") != 0) return fprintf(stderr, "smtp-queue: %s: nothing in the queue that this could be done to\n", what), EX_NOINPUT;
	if (status == EX_OK || v.done > 0) printf("%zu %s\n", v.done, done[action]);
	return finish(status);
}
