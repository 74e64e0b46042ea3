/* SPDX-License-Identifier: MIT */
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "beside.h"
#include "helper.h"
#include "log.h"
#include "notice.h"
#include "route.h"

enum { LINE = 1024, OPTIONS = 24, PER_RCPT = 6, RCPTS = 500 /* for one smtp-client: the kernel limits arguments to some 2 MB */ };

time_t work_delay(unsigned attempts)
{
	static const unsigned short minutes[] = { 5, 15, 30 };
	enum { LAST = sizeof minutes / sizeof *minutes - 1 };
	unsigned n = attempts > 0 ? attempts - 1 : 0, random = 0;
	time_t seconds = 60 * minutes[n < LAST ? n : LAST];
	if (getrandom(&random, sizeof random, 0) != sizeof random) random = 0;
	return seconds - seconds / 10 + (time_t)(random % (unsigned)(seconds / 5 + 1));
}

static size_t next_todo(const struct entry *e, size_t i)
{
	while (i < e->count && e->rcpt[i].state != ENTRY_TODO) i++;
	return i;
}

/* --- the client --- */

/* The arguments of smtp-client.  */
struct arguments { char **argv; size_t n; char size[24], (*notify)[DSN_NOTIFY]; };

static void add(struct arguments *a, const char *option, const char *value)
{
	if (value && !*value) return;
	a->argv[a->n++] = (char *)option;
	if (value) a->argv[a->n++] = (char *)value;
}

/* For recipients that are to be sent to, from the one at `first` on; *stop is behind the last.  */
static bool build(const struct spool *s, const struct entry *e, struct arguments *a, size_t first, size_t *stop)
{
	char *config[CONFIG_ARGUMENTS];
	config_arguments(s->cf, config);
	*a = (struct arguments){ .argv = calloc(CONFIG_ARGUMENTS + OPTIONS + PER_RCPT * RCPTS, sizeof *a->argv), .n = 1, .notify = calloc(RCPTS, sizeof *a->notify) };
	if (!a->argv || !a->notify) return false;
	for (char **c = config; *c; c++) a->argv[a->n++] = *c;
	snprintf(a->size, sizeof a->size, "%llu", (unsigned long long)(e->octets + strlen(e->head)));
	add(a, "--send", NULL);
	add(a, "--mx", e->destination);
	a->argv[a->n++] = (char *)"--from";
	a->argv[a->n++] = (char *)e->sender;
	add(a, "--size", a->size);
	add(a, "--prepend", e->head);
	add(a, "--envid", e->envid);
	if (e->full || e->headers) add(a, "--ret", e->full ? "FULL" : "HDRS");
	if (e->eightbit) add(a, "--8bit", NULL);
	if (e->utf8) add(a, "--utf8", NULL);
	size_t i = next_todo(e, first);
	for (size_t n = 0; i < e->count && n < RCPTS; i = next_todo(e, i + 1)) {
		char *notify = a->notify[n++];
		dsn_notify_text(notify, e->rcpt[i].notify);
		if (*notify) add(a, "--notify", notify + sizeof " NOTIFY=" - 1);
		add(a, "--orcpt", e->rcpt[i].orcpt);
		add(a, "--rcpt", e->rcpt[i].address);
	}
	*stop = i;
	return true;
}

/* Start it; the answers come from *from.  vfork: the child has our memory until it is the client.  */
static pid_t start(struct arguments *a, int message, int *from)
{
	int out[2];
	char place[512];
	volatile int failure = 0;
	if (pipe2(out, O_CLOEXEC) != 0) return -1;
	pid_t pid = vfork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);       /* nobody would write down what it comes to */
		if (dup2(message, 0) != 0 || dup2(out[1], 1) != 1) _exit(EX_OSERR);
		for (unsigned i = 0; (a->argv[0] = (char *)beside("smtp-client", i, place, sizeof place)); i++) execv(a->argv[0], a->argv);
		failure = errno;
		_exit(EX_OSFILE);
	}
	if (failure) log_line(LEVEL_ERROR, "cannot execute smtp-client: %s", strerror(failure));
	close(out[1]);
	*from = out[0];
	if (pid < 0) close(out[0]);
	return pid;
}

static void tell(const struct entry_rcpt *r, const char *what, const char *text)
{
	char rcpt[4 * PATH_MAX_LEN + 8], said[4 * ENTRY_TEXT];
	log_line(LEVEL_INFO, "%s: to=<%s> reply=\"%s\"", what, log_escape(rcpt, sizeof rcpt, r->address), log_escape(said, sizeof said, text));
}

/* A line for a recipient: "CODE STATUS HOST TEXT".  Written down before anything else happens.  */
static int take_line(struct entry *e, int fd, size_t i, const char *line, bool dsn, time_t now)
{
	struct entry_rcpt *r = &e->rcpt[i];
	enum entry_state state = ENTRY_TODO;
	if (*line == '2') state = r->notify & NOTIFY_SUCCESS && !dsn ? ENTRY_RELAYED : ENTRY_SETTLED;
	if (*line == '5') state = ENTRY_FAILED;
	int error = entry_mark(e, fd, i, state, line, now);
	tell(r, *line == '2' ? "sent" : *line == '5' ? "failed" : "deferred", line);
	if (error) log_line(LEVEL_ERROR, "cannot write down what became of a recipient: %s", strerror(error));
	return error;
}

/* Nothing is known of some: they will be tried again, and who looks for the reason finds it.  */
static void tell_unheard(size_t heard, size_t asked, int status)
{
	char why[HELPER_WHY];
	if (heard == asked) return;
	helper_why(WIFSIGNALED(status) ? HELPER_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status), why);
	log_line(LEVEL_ERROR, "smtp-client has not said what became of %zu of %zu recipients: %s", asked - heard, asked, why);
}

/* Hear what became of the recipients [i..stop).  Returns how many were heard of; -1 if that cannot be written down, and no more shall be sent.  */
static long hear(const struct spool *s, struct entry *e, int fd, FILE *f, size_t i, size_t stop)
{
	char line[LINE];
	bool dsn = false;
	long heard = 0;
	for (i = next_todo(e, i); fgets(line, sizeof line, f);) {
		line[strcspn(line, "\n")] = '\0';
		if (*line == '#') {
			dsn = strcmp(line, "# dsn") == 0;       /* of the server that was named in the line before */
			continue;
		}
		if (i >= stop || !strchr("245", *line)) break;
		if (take_line(e, fd, i, line, dsn, spool_now(s)) != 0) return -1;
		i = next_todo(e, i + 1);
		heard++;
	}
	return heard;
}

/* Have it sent to as many recipients as one smtp-client takes, from *at on.  Those that nothing is heard of are tried again.  False: no server has answered.  */
static bool attempt_some(const struct spool *s, struct entry *e, int fd, int message, size_t *at)
{
	struct arguments a;
	int from, status = 0;
	size_t first = *at, asked = 0;
	pid_t pid = build(s, e, &a, first, at) ? start(&a, message, &from) : -1;
	FILE *f = pid > 0 ? fdopen(from, "r") : NULL;
	free(a.argv);
	free(a.notify);
	if (!f) {
		log_line(LEVEL_ERROR, "cannot start smtp-client: %s", strerror(errno));
		if (pid > 0) kill(pid, SIGKILL);
		*at = e->count;
		return true;
	}
	for (size_t i = next_todo(e, first); i < *at; i = next_todo(e, i + 1)) asked++;
	long heard = hear(s, e, fd, f, first, *at);
	if (heard < 0) kill(pid, SIGKILL);      /* it would go on, and what it delivers would be delivered again */
	fclose(f);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
	if (heard >= 0) tell_unheard((size_t)heard, asked, status);
	if (heard != (long)asked) *at = e->count;
	return !(WIFEXITED(status) && WEXITSTATUS(status) == EX_UNAVAILABLE);
}

static bool attempt(const struct spool *s, struct entry *e, int fd, int message)
{
	bool answered = true;
	for (size_t at = 0; answered && next_todo(e, at) < e->count;) answered = attempt_some(s, e, fd, message, &at);
	return answered;
}

/* Whether that its server does not answer holds for all entries that the pass takes together: those for one destination, or all for relayhost.  */
static bool holds_for_all(const struct config *cf, const struct entry *e)
{
	struct route by_table, relay;
	char why[256];
	if (!*cf->relayhost) return true;
	return route_find(cf, e->destination, &by_table, why) && route_parse(&relay, cf->relayhost) && strcmp(by_table.host, relay.host) == 0;
}

/* --- time --- */

static void give_up(struct entry *e, int fd, time_t now)
{
	char text[ENTRY_TEXT], last[ENTRY_TEXT];
	for (size_t i = 0; i < e->count; i++) {
		if (e->rcpt[i].state != ENTRY_TODO) continue;
		snprintf(last, sizeof last, "%s", e->rcpt[i].text);
		snprintf(text, sizeof text, "599 4.4.7 - not delivered in time%s%.250s", *last ? "; the last answer: " : "", last);
		if (entry_mark(e, fd, i, ENTRY_FAILED, text, now) != 0) return;
		tell(&e->rcpt[i], "given up", text);
	}
}

/* Warn when it is time for that, and give up when it is time for that.  */
static void look_at_clock(const struct spool *s, struct entry *e, int fd, int message)
{
	time_t now = spool_now(s), age = now - e->arrived, life = (time_t)(s->cf->queue_lifetime / 1000), warn = (time_t)(s->cf->queue_warn / 1000);
	if (!entry_todo(e)) return;
	if (age >= life) {
		give_up(e, fd, now);
	} else if (warn > 0 && age >= warn && !e->warned && notice_delay(s, e, message, e->arrived + life) == NOTICE_DONE) {
		e->warned = true;
		log_line(LEVEL_INFO, "delayed: the sender is told");
	}
}

/* --- an entry --- */

static void put_aside(const struct spool *s, struct entry_id *id, int error)
{
	log_line(LEVEL_ERROR, "%s cannot be read: %s", id->key, error == EBADMSG ? "it is no entry of this version; it is on hold" : strerror(error));
	if (error == EBADMSG) spool_move(s, SPOOL_WAIT, id, SPOOL_HOLD, id->due);
}

/* False if it stays as due as it was: then it must not be taken up again at once.  */
static bool lay_down(const struct spool *s, struct entry_id *id, struct entry *e, int fd, bool attempted, time_t until)
{
	time_t now = spool_now(s), due = until > now ? until : now + work_delay(e->attempts + attempted), end = e->arrived + (time_t)(s->cf->queue_lifetime / 1000);
	e->attempts += attempted;
	if (entry_count(e, fd) != 0) log_line(LEVEL_ERROR, "%s: cannot count an attempt", id->key);
	if (entry_todo(e) && due > end && end > now) due = end;         /* the last one */
	if (spool_move(s, SPOOL_WAIT, id, SPOOL_WAIT, due)) return true;
	log_line(LEVEL_ERROR, "%s cannot be laid down for its next time: %s", id->key, strerror(errno));
	return false;
}

/* One that stays although all is done does no harm, but costs a look in each pass.  */
static bool remove_it(const struct spool *s, const struct entry_id *id)
{
	if (spool_remove(s, SPOOL_WAIT, id)) return true;
	log_line(LEVEL_ERROR, "%s is done, and cannot be removed: %s", id->key, strerror(errno));
	return false;
}

enum work_result work(const struct spool *s, struct entry_id *id, bool attempting, time_t until)
{
	struct entry e;
	int fd = spool_claim(s, SPOOL_WAIT, id), message;
	if (fd < 0 && errno != EWOULDBLOCK && errno != ENOENT) log_line(LEVEL_ERROR, "%s cannot be opened: %s", id->key, strerror(errno));
	if (fd < 0) return WORK_GONE;
	if (!entry_read(&e, fd)) {
		put_aside(s, id, errno);
		entry_free(&e);
		return WORK_GONE;
	}
	log_open("smtp-queue", e.id, "local", LOG_LINES);
	log_level((enum log_level)s->cf->log_level);
	message = spool_message(s, id);
	bool answered = true, attempted = false, laid = true;
	if (message < 0 && entry_todo(&e)) {
		bool gone = errno == ENOENT;
		log_line(LEVEL_ERROR, "the message of %s cannot be opened: %s%s", id->key, strerror(errno), gone ? "; it is on hold" : "");
		if (gone) spool_move(s, SPOOL_WAIT, id, SPOOL_HOLD, id->due);
		entry_free(&e);
		return WORK_GONE;
	}
	if (attempting && entry_todo(&e)) {
		answered = attempt(s, &e, fd, message);
		attempted = true;
	}
	look_at_clock(s, &e, fd, message);
	notice_final(s, &e, fd, message);
	if (!entry_open(&e)) laid = remove_it(s, id);
	else laid = lay_down(s, id, &e, fd, attempted, until);
	bool down = !answered && holds_for_all(s->cf, &e);
	entry_free(&e);
	return !laid ? WORK_GONE : down ? WORK_DOWN : answered ? WORK_DONE : WORK_APART;
}
