/* SPDX-License-Identifier: MIT */
#include "work.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "clock.h"
#include "helper.h"
#include "log.h"
#include "notice.h"
#include "order.h"
#include "route.h"

enum { OPTIONS = 24, PER_RCPT = 6, LINES = 4096 /* octets: one is shorter */ };

/* The smtp-client of this process: it keeps its connection for the entries that follow.  */
struct client {
	struct helper h;
	char buf[LINES];
	size_t at, have;        /* what was read and not looked at yet */
	char id[ENTRY_KEY];     /* of the message, for the log */
	bool unwritten;         /* what it said could not be written down */
};

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

/* Whether there is one; *fresh: it was started now.  */
static bool client_start(const struct spool *s, struct client *c, bool *fresh)
{
	char *argv[CONFIG_ARGUMENTS + 4] = { (char *)"smtp-client" };
	size_t n = 1;
	*fresh = c->h.fd < 0;
	if (!*fresh) return true;
	config_arguments(s->cf, argv + n);
	while (argv[n]) n++;
	argv[n] = (char *)"--orders";
	c->at = c->have = 0;
	if (!helper_open(&c->h, "", 0)) return false;
	helper_start(&c->h, argv, environ, 0);
	if (c->h.pid > 0) return true;
	helper_close(&c->h, true);
	return false;
}

/* At once: it would go on, and what it delivers would be delivered again.  Returns how it ended, as helper_close.  */
static int client_end(struct client *c, bool at_once)
{
	enum { PATIENCE = 20000 };
	if (c->h.fd < 0) return 0;
	if (at_once) kill(c->h.pid, SIGKILL);
	clock_start(PATIENCE);
	return helper_close(&c->h, false);
}

/* The next line that it says, until the call after; NULL at the end, or when it takes longer than all its own limits together: for a name server that glibc waits for without
 * one.  */
static char *client_line(struct client *c, const struct config *cf)
{
	enum { MOST = 24 * 3600 * 1000 };
	uint64_t limit = cf->session_timeout + 12 * cf->command_timeout, until = millis() + (limit < MOST ? limit : MOST);
	for (;;) {
		char *line = c->buf + c->at, *end = memchr(line, '\n', c->have - c->at);
		if (end) {
			*end = '\0';
			c->at = (size_t)(end - c->buf) + 1;
			return line;
		}
		memmove(c->buf, line, c->have -= c->at);
		c->at = 0;
		uint64_t now = millis();
		int ready = now < until ? poll(&(struct pollfd){ .fd = c->h.fd, .events = POLLIN }, 1, (int)(until - now)) : 0;
		ssize_t n = ready > 0 && c->have < sizeof c->buf ? read(c->h.fd, c->buf + c->have, sizeof c->buf - c->have) : ready;
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return NULL;
		c->have += (size_t)n;
	}
}

/* The arguments of an order.  */
struct arguments { char **argv; size_t n; char size[24], (*notify)[DSN_NOTIFY]; };

static void add(struct arguments *a, const char *option, const char *value)
{
	if (value && !*value) return;
	a->argv[a->n++] = (char *)option;
	if (value) a->argv[a->n++] = (char *)value;
}

/* For all recipients that are to be sent to.  */
static bool build(const struct entry *e, struct arguments *a, size_t todo)
{
	*a = (struct arguments){ .argv = calloc(OPTIONS + PER_RCPT * todo, sizeof *a->argv), .notify = calloc(todo + 1, sizeof *a->notify) };
	if (!a->argv || !a->notify) return false;
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
	for (size_t n = 0, i = next_todo(e, 0); i < e->count; i = next_todo(e, i + 1)) {
		char *notify = a->notify[n++];
		dsn_notify_text(notify, e->rcpt[i].notify);
		if (*notify) add(a, "--notify", notify + sizeof " NOTIFY=" - 1);
		add(a, "--orcpt", e->rcpt[i].orcpt);
		add(a, "--rcpt", e->rcpt[i].address);
	}
	return true;
}

/* One that was idle may have ended meanwhile: then another gets the order.  */
static bool give_order(const struct spool *s, struct client *c, const struct arguments *a, int message)
{
	bool fresh;
	while (client_start(s, c, &fresh)) {
		if (order_send(c->h.fd, a->argv, message)) return true;
		if (fresh) log_line(LEVEL_ERROR, "smtp-client takes no order: %s", strerror(errno));
		client_end(c, true);
		if (fresh) break;
	}
	return false;
}

static void tell(const struct entry *e, const struct entry_rcpt *r, enum event_kind what, const char *text)
{
	struct event event = { .kind = what, .size = e->octets };
	snprintf(event.from, sizeof event.from, "%s", e->sender);
	snprintf(event.rcpt, sizeof event.rcpt, "%s", r->address);
	snprintf(event.reply, sizeof event.reply, "%s", text);
	log_event(&event);
}

/* A line for a recipient: "CODE STATUS HOST TEXT".  Written down before anything else happens.  */
static int take_line(struct entry *e, int fd, size_t i, const char *line, bool dsn, time_t now)
{
	struct entry_rcpt *r = &e->rcpt[i];
	enum entry_state state = ENTRY_TODO;
	if (*line == '2') state = r->notify & NOTIFY_SUCCESS && !dsn ? ENTRY_RELAYED : ENTRY_SETTLED;
	if (*line == '5') state = ENTRY_FAILED;
	int error = entry_mark(e, fd, i, state, line, now);
	tell(e, r, *line == '2' ? EVENT_SENT : *line == '5' ? EVENT_FAILED : EVENT_DEFERRED, line);
	if (error) log_line(LEVEL_ERROR, "cannot write down what became of a recipient: %s", strerror(error));
	return error;
}

/* Nothing is known of some: they will be tried again, and who looks for the reason finds it.  */
static void tell_unheard(size_t heard, size_t asked, int status)
{
	char why[HELPER_WHY];
	helper_why(status, why);
	log_line(LEVEL_ERROR, "smtp-client has not said what became of %zu of %zu recipients: %s", asked - heard, asked, why);
}

/* How an order ended.  */
enum over { OVER_END, OVER_NOBODY /* no server has answered */, OVER_LOST /* the client has ended, or talks nonsense */, OVER_STOP /* what it said cannot be written down */ };

/* Hear what becomes of the recipients that the client was given, todo[0..n); *heard of them were heard of.  */
static enum over hear(const struct spool *s, struct client *c, struct entry *e, int fd, const size_t todo[], size_t n, size_t *heard)
{
	static const char behind[] = "# recipient ";
	bool dsn = false;
	size_t i = 0;
	for (char *line; (line = client_line(c, s->cf));) {
		if (strcmp(line, "# end") == 0) return OVER_END;
		if (strcmp(line, "# nobody") == 0) return OVER_NOBODY;
		if (strcmp(line, "# dsn") == 0) dsn = true;     /* those that follow were taken by a server that reports */
		if (strcmp(line, "# no dsn") == 0) dsn = false;
		if (strncmp(line, behind, sizeof behind - 1) == 0) i = strtoul(line + sizeof behind - 1, NULL, 10) - 1;        /* the next line is about that one */
		if (*line == '#') continue;
		if (i >= n || !*line || !strchr("245", *line)) break;
		if (take_line(e, fd, todo[i++], line, dsn, spool_now(s)) != 0) return OVER_STOP;
		++*heard;
	}
	return OVER_LOST;
}

/* Have it sent to all who wait.  Those that nothing is heard of are tried again.  */
enum attempt { ATTEMPT_ANSWERED, ATTEMPT_NOBODY /* no server has answered */, ATTEMPT_NONE /* for want of a process, a socket, memory; which was told */ };
static enum attempt attempt(const struct spool *s, struct client *c, struct entry *e, int fd, int message)
{
	struct arguments a = { .n = 0 };
	size_t asked = 0, heard = 0, *todo = calloc(e->count, sizeof *todo);
	for (size_t i = next_todo(e, 0); todo && i < e->count; i = next_todo(e, i + 1)) todo[asked++] = i;
	bool given = todo && build(e, &a, asked) && give_order(s, c, &a, message);
	free(a.argv);
	free(a.notify);
	enum over over = given ? hear(s, c, e, fd, todo, asked, &heard) : OVER_END;
	free(todo);
	if (!given) return ATTEMPT_NONE;
	int status = over == OVER_LOST || over == OVER_STOP ? client_end(c, true) : 0;
	c->unwritten = over == OVER_STOP;
	if (over == OVER_LOST) tell_unheard(heard, asked, status);
	return over == OVER_NOBODY ? ATTEMPT_NOBODY : ATTEMPT_ANSWERED;
}

/* Whether that its server does not answer holds for all entries that the pass takes together: those for one destination, or all for relayhost.  */
static bool holds_for_all(const struct config *cf, const struct entry *e)
{
	struct route by_table, relay;
	char why[256];
	if (!*cf->relayhost) return true;
	if (!route_find(cf, e->destination, &by_table, why) || !route_parse(&relay, cf->relayhost)) return false;
	return strcmp(by_table.host, relay.host) == 0 && strcmp(by_table.port, relay.port) == 0;
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
		tell(e, &e->rcpt[i], EVENT_GIVEN_UP, text);
	}
}

/* Warn when it is time for that, and give up when it is time for that.  */
static void look_at_clock(const struct spool *s, struct entry *e, int fd, int message)
{
	time_t now = spool_now(s), age = now - e->arrived, life = (time_t)(s->cf->queue_lifetime / 1000), warn = (time_t)(s->cf->queue_warn / 1000);
	if (!entry_todo(e)) return;
	if (age >= life) {
		give_up(e, fd, now);
	} else if (warn > 0 && age >= warn && !e->warned) {
		enum notice_result told = notice_delay(s, e, message, e->arrived + life);
		e->warned = told != NOTICE_LATER;
		if (told == NOTICE_DONE) log_line(LEVEL_INFO, "delayed: the sender is told");
	}
}

/* --- an entry --- */

static void put_aside(const struct spool *s, struct entry_id *id, int error)
{
	log_line(LEVEL_ERROR, "%s cannot be read: %s", id->key, error == EBADMSG ? "it is no entry of this version; it is on hold" : strerror(error));
	if (error == EBADMSG) spool_move(s, SPOOL_WAIT, id, SPOOL_HOLD, id->due);
}

/* What was said cannot be written down: in its place the entry would be sent again with every pass, for ever.  */
static bool hold_unwritten(const struct spool *s, struct entry_id *id)
{
	bool held = spool_move(s, SPOOL_WAIT, id, SPOOL_HOLD, id->due);
	if (held) log_line(LEVEL_ERROR, "%s is on hold: it may have been sent in part, and that could not be written down; see to the disk, then smtp-queue show, and release or remove it", id->key);
	else log_line(LEVEL_ERROR, "%s may be sent again with each pass, for it cannot be put on hold either: %s; see to the disk", id->key, strerror(errno));
	return held;
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
	if (spool_remove(s, SPOOL_WAIT, id) || errno == ENOENT) return true;
	log_line(LEVEL_ERROR, "%s is done, and cannot be removed: %s", id->key, strerror(errno));
	return false;
}

/* The message of an entry that has to be sent is not there.  */
static void no_message(const struct spool *s, struct entry_id *id, int error)
{
	log_line(LEVEL_ERROR, "the message of %s cannot be opened: %s%s", id->key, strerror(error), error == ENOENT ? "; it is on hold" : "");
	if (error == ENOENT) spool_move(s, SPOOL_WAIT, id, SPOOL_HOLD, id->due);
}

/* The clock was ahead when it came, and its time would never be over: it counts from now on.  Not if our clock is behind now: when that is right again, so is the arrival.  */
static void look_at_arrival(struct entry *e, time_t now)
{
	if (e->arrived <= now + SPOOL_AHEAD) return;
	if (e->seen == 0 || e->seen > now) e->seen = now;
	e->arrived = e->seen;           /* here alone; what stands in the file stays */
}

/* Where there is no room for what will be said, as on a full disk that copies what is written: it is known before anything is sent.  */
static bool can_write(struct client *c, struct entry *e, int fd, const struct entry_id *id)
{
	int error = entry_count(e, fd);
	if (error) log_line(LEVEL_ERROR, "%s waits, for what became of it could not be written down: %s", id->key, strerror(error));
	c->unwritten |= error != 0;
	return !error;
}

/* False if it stays as due as it was.  */
static bool put_away(const struct spool *s, struct entry_id *id, struct entry *e, int fd, bool attempted, time_t until)
{
	bool open = entry_open(e);
	if (!open && remove_it(s, id)) return true;
	if (e->unwritten) return hold_unwritten(s, id);
	return open && lay_down(s, id, e, fd, attempted, until);
}

static enum work_result work_on(const struct spool *s, struct client *c, struct entry_id *id, struct entry *e, int fd, int message, bool attempting, time_t until)
{
	bool trying = attempting && entry_todo(e);
	look_at_arrival(e, spool_now(s));
	snprintf(c->id, sizeof c->id, "%s", e->id);
	enum attempt came = trying ? attempt(s, c, e, fd, message) : ATTEMPT_ANSWERED;
	if (!e->unwritten) look_at_clock(s, e, fd, message);
	if (!e->unwritten || !entry_todo(e)) notice_final(s, e, fd, message);
	c->unwritten |= e->unwritten;
	bool laid = put_away(s, id, e, fd, trying && came != ATTEMPT_NONE, until), down = came == ATTEMPT_NOBODY && holds_for_all(s->cf, e);
	*c->id = '\0';
	return !laid || came == ATTEMPT_NONE ? WORK_GONE : down ? WORK_DOWN : came == ATTEMPT_ANSWERED ? WORK_DONE : WORK_APART;
}

static enum work_result one(const struct spool *s, struct client *c, struct entry_id *id, bool attempting, time_t until)
{
	struct entry e;
	enum work_result result = WORK_GONE;
	int fd = spool_claim(s, SPOOL_WAIT, id), message = -1;
	if (fd < 0 && errno != EWOULDBLOCK && errno != ENOENT) log_line(LEVEL_ERROR, "%s cannot be opened: %s", id->key, strerror(errno));
	if (fd < 0) return WORK_GONE;
	if (!entry_read(&e, fd)) put_aside(s, id, errno);
	else if ((message = spool_message(s, id)) < 0 && entry_todo(&e)) no_message(s, id, errno);
	else if (can_write(c, &e, fd, id)) result = work_on(s, c, id, &e, fd, message, attempting, until);
	entry_free(&e);
	if (message >= 0) close(message);
	close(fd);
	return result;
}

enum work_result work(const struct spool *s, struct entry_id *ids, size_t n, bool attempting, time_t until)
{
	struct client c = { .h = HELPER_NONE };
	enum work_result all = WORK_GONE;
	log_open("smtp-queue", c.id, "local", LOG_PASS);
	log_level((enum log_level)s->cf->log_level);
	uint64_t end = millis() + s->cf->command_timeout;       /* the rest of a slow host is another process's, when the other destinations have had their turn */
	const struct entry_id *apart = NULL;                    /* its destination, which is one of several here, was not reached */
	for (size_t i = 0; i < n && all != WORK_DOWN && !c.unwritten && !clock_stop_asked(); i++) {
		bool again = apart && apart->hash == ids[i].hash;
		if (i > 0 && !again && millis() >= end) break;
		enum work_result r = one(s, &c, &ids[i], attempting && !again, until);
		if (again && r == WORK_DONE) r = WORK_APART;
		if (r == WORK_APART) apart = &ids[i];
		if (r == WORK_DOWN || all == WORK_GONE || r == WORK_DONE) all = r;
	}
	client_end(&c, false);
	return c.unwritten ? WORK_UNWRITTEN : all;
}
