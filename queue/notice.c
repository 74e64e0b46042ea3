/* SPDX-License-Identifier: MIT */
#include "notice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "lmtp.h"
#include "log.h"
#include "nexthop.h"
#include "report.h"

enum { LARGEST = 1 << 20 };     /* of a message that comes with its report, even where the sender wanted all of it: it would be refused for its size once more */

struct line { char status[16], host[256], text[ENTRY_TEXT]; bool said; };

/* "CODE STATUS HOST TEXT", as smtp-client says it; a code with 99 stands for our own words.  */
static void parse(struct line *l, const char *text, const char *otherwise)
{
	int code = 0, n = 0;
	*l = (struct line){ .status = "", .host = "" };
	if (sscanf(text, "%3d %15s %255s %n", &code, l->status, l->host, &n) < 3 || n == 0) {
		snprintf(l->status, sizeof l->status, "%s", otherwise);
		snprintf(l->text, sizeof l->text, "%s", text);
		*l->host = '\0';
		return;
	}
	l->said = code % 100 != 99;
	snprintf(l->text, sizeof l->text, "%s", l->said ? text : text + n);
	bool given = strcmp(l->status + strcspn(l->status, "."), ".0.0") != 0;        /* by the server; else by smtp-client, for want of one */
	if (l->said) snprintf(l->text, sizeof l->text, "%d %s%s%s", code, given ? l->status : "", given ? " " : "", text + n);
	if (strcmp(l->host, "-") == 0) *l->host = '\0';
}

/* --- handing in --- */

static void to_hop(void *ctx, const char *p, size_t n) { hop_write(ctx, p, n); }

/* Where the report of a message went, or that there is none: who looks for the message finds it beside its failure.  */
static void tell(const struct entry *e, enum event_kind what, const char *rcpt, size_t nrcpt, const struct reply *answer)
{
	struct event event = { .kind = what, .size = e->octets, .nrcpt = (uint32_t)nrcpt };
	snprintf(event.from, sizeof event.from, "%s", e->sender);
	snprintf(event.rcpt, sizeof event.rcpt, "%s", rcpt);
	if (answer) snprintf(event.reply, sizeof event.reply, "%d %s %s", answer->code, answer->status, answer->text);
	log_event(&event);
}

/* Too large for who would get it: a mailbox that is full (5.2.2) is not.  */
static bool for_its_size(const struct reply *r)
{
	return strcmp(r->status, "5.3.4") == 0 || strcmp(r->status, "5.2.3") == 0 || (r->code == 552 && strcmp(r->status, "5.2.2") != 0);
}

/* One report to `to`.  2: taken, 4: not now, 5: never; TOO_LARGE: not this one.  */
enum { TOO_LARGE = 9 };
static int hand_in_one(const struct spool *s, struct report *r, const struct entry *e, const char *to)
{
	static struct hop hop;
	struct nexthop n;
	const struct reply *answer = NULL;
	unsigned ms = (unsigned)s->cf->deliver_timeout;
	clock_start(ms);        /* a process that was forked has no ticks, and without them no wait has an end */
	if (!nexthop_open(&n, s->cf)) {
		log_line(LEVEL_ERROR, "a report cannot be handed in: %s", strerror(errno));
		return 4;
	}
	nexthop_start(&n, s->cf, r->id);
	r->to = to;
	bool whole = false, open = hop_open(&hop, n.helper.fd, n.ours ? HOP_OURS : HOP_LMTP, ms, clock_deadline(4 * ms), s->cf->hostname);
	enum report_needs needs = report_needs(r);
	if (open) {
		hop_mail(&hop, &(struct hop_mail){ .from = "", .smtputf8 = needs == REPORT_SMTPUTF8, .eightbit = needs != REPORT_7BIT, .auth = "", .relay = true });
		hop_rcpt(&hop, to, NULL);
		answer = hop_settle(&hop);
	}
	if (answer && answer->code / 100 == 2) {
		answer = hop_begin(&hop);
		whole = !answer && report_write(r, to_hop, &hop);
		if (whole) answer = hop_commit(&hop);
	}
	int class = answer && (whole || answer->code / 100 != 2) ? answer->code / 100 : 4;
	char text[600], rcpt[4 * PATH_MAX_LEN + 8];
	const char *quote = answer ? "\"" : "";         /* our own words have none */
	if (class == 5 && for_its_size(answer) && r->extent != REPORT_BRIEFEST) class = TOO_LARGE;
	else if (class != 2) log_line(LEVEL_WARNING, "report to=<%s> is not taken: %s%s%s", log_escape(rcpt, sizeof rcpt, to), quote,
		answer ? log_quote(text, sizeof text, answer->text) : hop.why ? hop.why : "the message cannot be read", quote);
	else tell(e, EVENT_REPORTED, to, 1, &hop.reply.reply);      /* some next hops say their id for it */
	nexthop_close(&n, !whole && open);
	return class;
}

/* The same; one that is refused for its size is made shorter.  */
static int hand_in(const struct spool *s, struct report *r, const struct entry *e, const char *to)
{
	int class;
	for (r->extent = REPORT_ALL; (class = hand_in_one(s, r, e, to)) == TOO_LARGE; r->extent++)
		log_line(LEVEL_INFO, "a report is too large to be taken: a shorter one is handed in");
	return class;
}

/* Whether the message was for this address, or came to its recipients by way of it (outgoing.c says so in the lines to be put in front).  */
static bool was_for(const struct entry *e, const char *address)
{
	static const char mark[] = "Delivered-To: ";
	size_t n = strlen(address);
	for (size_t i = 0; i < e->count; i++)
		if (strcasecmp(e->rcpt[i].address, address) == 0) return true;
	for (const char *line = e->head; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *value = line + sizeof mark - 1;
		if (strncmp(line, mark, sizeof mark - 1) == 0 && strncasecmp(value, address, n) == 0 && value[n] == '\n') return true;
	}
	return false;
}

/* One that is put off for ever would wait for ever: after as long again it counts as refused.  */
static int in_time(const struct spool *s, const struct entry *e, int class)
{
	enum { REPORTS = 5 * 86400 };
	return class == 4 && spool_now(s) > e->arrived + (time_t)(s->cf->queue_lifetime / 1000) + REPORTS ? 5 : class;
}

/* A report that cannot go to the sender: to who looks after this host, or to nobody.  */
static int second(const struct spool *s, struct report *r, const struct entry *e)
{
	char here[DOMAIN_MAX + 16];
	snprintf(here, sizeof here, "postmaster@%s", s->cf->hostname);
	const char *to = *s->cf->postmaster ? s->cf->postmaster : here;
	if (s->cf->double_bounce == DOUBLE_DROP) {
		log_line(LEVEL_WARNING, "a report that nobody takes is dropped (double_bounce = drop)");
		return 2;
	}
	if (!*e->sender && was_for(e, to)) {    /* it may be a report of ours: one of it would go the same way, and so on for ever */
		log_line(LEVEL_ERROR, "a report that the postmaster does not get is dropped");
		return 2;
	}
	r->sender = e->sender;
	int class = in_time(s, e, hand_in(s, r, e, to));
	if (class == 5) log_line(LEVEL_ERROR, "a report that nobody takes, not even the postmaster, is dropped");
	return class == 5 ? 2 : class;
}

static enum notice_result hand_in_somewhere(const struct spool *s, struct report *r, const struct entry *e, bool failed)
{
	int class = *e->sender ? in_time(s, e, hand_in(s, r, e, e->sender)) : 5;
	if (class == 5 && failed) class = second(s, r, e);
	return class == 2 ? NOTICE_DONE : class == 5 ? NOTICE_NOBODY : NOTICE_LATER;    /* other reports than of a failure are not worth a second one */
}

/* --- what is reported --- */

static bool wants(const struct entry_rcpt *r, unsigned what) { return r->notify == 0 ? what != NOTIFY_SUCCESS : r->notify & what; }

static bool reportable(const struct entry *e, const struct entry_rcpt *r)
{
	if (r->state == ENTRY_FAILED) return wants(r, NOTIFY_FAILURE);
	return r->state != ENTRY_TODO && r->state != ENTRY_SETTLED && *e->sender && wants(r, NOTIFY_SUCCESS);
}

static enum report_action action_of(enum entry_state state)
{
	return state == ENTRY_FAILED ? REPORT_FAILED : state == ENTRY_RELAYED ? REPORT_RELAYED : state == ENTRY_EXPANDED ? REPORT_EXPANDED : REPORT_DELIVERED;
}

/* Those that failed, and the sender wants no report of it.  */
static void tell_unwanted(const struct entry *e)
{
	const char *first = NULL;
	size_t count = 0;
	for (size_t i = 0; i < e->count; i++) {
		if (e->rcpt[i].state != ENTRY_FAILED || wants(&e->rcpt[i], NOTIFY_FAILURE)) continue;
		if (count++ == 0) first = e->rcpt[i].address;
	}
	if (first) tell(e, EVENT_NOT_REPORTED, first, count, NULL);
}

static void fill(struct report_rcpt *out, struct line *l, const struct entry_rcpt *r, enum report_action action)
{
	const char *otherwise = action == REPORT_FAILED ? "5.0.0" : action == REPORT_DELAYED ? "4.0.0" : "2.0.0";
	parse(l, r->text, otherwise);
	*out = (struct report_rcpt){ .rcpt = r->address, .orcpt = r->orcpt, .action = action, .status = l->status, .host = l->host, .text = l->text, .said = l->said, .last = r->last };
}

static struct report begin(const struct spool *s, const struct entry *e, int message)
{
	struct stat st = { .st_size = 0 };
	if (message >= 0 && fstat(message, &st) != 0) message = -1;
	return (struct report){ .hostname = s->cf->hostname, .id = e->id, .envid = e->envid, .arrived = e->arrived, .now = spool_now(s), .full = e->full, .utf8 = e->utf8,
		.message = message, .size = (uint64_t)st.st_size, .most = LARGEST };
}

enum notice_result notice_final(const struct spool *s, struct entry *e, int fd, int message)
{
	struct report_rcpt *rcpt = calloc(e->count, sizeof *rcpt);
	struct line *lines = calloc(e->count, sizeof *lines);
	struct report r = begin(s, e, message);
	bool failed = false, done = rcpt && lines;
	if (!done) log_line(LEVEL_ERROR, "no report can be made now: %s", strerror(ENOMEM));
	for (size_t i = 0; done && i < e->count; i++) {
		const struct entry_rcpt *one = &e->rcpt[i];
		if (!reportable(e, one)) continue;
		failed |= one->state == ENTRY_FAILED;
		fill(&rcpt[r.count], &lines[r.count], one, action_of(one->state));
		r.count++;
	}
	r.rcpt = rcpt;
	if (done && r.count > 0) done = hand_in_somewhere(s, &r, e, failed) != NOTICE_LATER;
	if (done) tell_unwanted(e);
	for (size_t i = 0; done && i < e->count; i++) {
		enum entry_state state = e->rcpt[i].state;
		char text[ENTRY_TEXT];
		snprintf(text, sizeof text, "%s", e->rcpt[i].text);
		int error = state != ENTRY_TODO && state != ENTRY_SETTLED ? entry_mark(e, fd, i, ENTRY_SETTLED, text, e->rcpt[i].last) : 0;
		if (error) log_line(LEVEL_ERROR, "cannot write down that the sender is told: %s", strerror(error));
		done = !error;
	}
	free(rcpt);
	free(lines);
	return done ? NOTICE_DONE : NOTICE_LATER;
}

enum notice_result notice_delay(const struct spool *s, const struct entry *e, int message, time_t until)
{
	struct report_rcpt *rcpt = calloc(e->count, sizeof *rcpt);
	struct line *lines = calloc(e->count, sizeof *lines);
	struct report r = begin(s, e, message);
	bool done = rcpt && lines;
	if (!done) log_line(LEVEL_ERROR, "no report can be made now: %s", strerror(ENOMEM));
	r.until = until;
	r.full = false;         /* RFC 3461 6.3: of a delay the header is enough */
	for (size_t i = 0; done && i < e->count; i++) {
		if (e->rcpt[i].state != ENTRY_TODO || !wants(&e->rcpt[i], NOTIFY_DELAY)) continue;
		fill(&rcpt[r.count], &lines[r.count], &e->rcpt[i], REPORT_DELAYED);
		r.count++;
	}
	r.rcpt = rcpt;
	enum notice_result result = !done ? NOTICE_LATER : r.count == 0 || !*e->sender ? NOTICE_NOBODY : hand_in_somewhere(s, &r, e, false);
	free(rcpt);
	free(lines);
	return result;
}
