/* The dialogue with the server: as many transactions as the recipients need.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "submit.h"

enum { PIPELINED = 50 };        /* answers that may wait in the socket */

/* The gravest trouble so far is the exit status; temporary trouble counts less than what has to be mended.  */
int trouble(struct sendmail *m, int status, const char *what, const char *why)
{
	fprintf(stderr, "sendmail: %s%s%s\n", what, *what && *why ? ": " : "", why);
	if (m->status == EX_OK || m->status == EX_TEMPFAIL) m->status = status;
	return m->status;
}

static int reply_status(const struct reply *r)
{
	static const struct { const char *status; int exit; } rows[] = {
		{ "5.1.1", EX_NOUSER }, { "5.1.3", EX_NOUSER }, { "5.1.6", EX_NOUSER }, { "5.1.2", EX_NOHOST },
		{ "5.7.", EX_NOPERM }, { "5.6.", EX_DATAERR }, { "", EX_UNAVAILABLE },
	};
	size_t i = 0;
	if (r->code / 100 != 5) return r->code / 100 == 2 ? EX_OK : EX_TEMPFAIL;
	while (strncmp(r->status, rows[i].status, strlen(rows[i].status)) != 0) i++;
	return rows[i].exit;
}

/* -v: the dialogue, as it would look without pipelining.  */
static void said(const struct sendmail *m, const char *verb, const char *address)
{
	if (m->verbose && address) fprintf(stderr, ">>> %s:<%s>\n", verb, address);
	else if (m->verbose) fprintf(stderr, ">>> %s\n", verb);
}

static void heard(const struct sendmail *m, const struct reply *r)
{
	for (const char *line = r->text; m->verbose && line; line = strchr(line, '\n'), line += line != NULL)
		fprintf(stderr, "<<< %d%c%s%s%.*s\n", r->code, strchr(line, '\n') ? '-' : ' ', r->status, *r->status ? " " : "", (int)strcspn(line, "\n"), line);
}

static void refused(struct sendmail *m, const char *what, const struct reply *r)
{
	char text[600];
	snprintf(text, sizeof text, "%d %s %.*s", r->code, r->status, (int)strcspn(r->text, "\n"), r->text);
	trouble(m, reply_status(r), what, text);
}

int connect_socket(const struct config *cf)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	if (strlen(cf->submit) >= sizeof sun.sun_path) return errno = ENAMETOOLONG, -1;
	strcpy(sun.sun_path, cf->submit);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), got = -1, why;
	uint32_t deadline = clock_deadline((unsigned)cf->deliver_timeout);
	while (fd >= 0 && (got = connect(fd, (struct sockaddr *)&sun, sizeof sun)) != 0 && errno == EINTR && !clock_passed(deadline)) continue;
	if (fd >= 0 && got == 0) return fd;
	why = errno;
	if (fd >= 0) close(fd);
	errno = why;
	return -1;
}

/* Hear what becomes of the recipients from *r to `stop`.  A sender that is refused is told once.  */
static void settle(struct sendmail *m, struct recipient **r, const struct recipient *stop)
{
	for (; *r != stop; *r = (*r)->next) {
		if ((*r)->done) continue;
		bool first = m->hop.mail_due;
		const struct reply *reply = hop_settle(&m->hop), *sender = &m->hop.mail_reply.reply;
		if (first && m->hop.open) {
			said(m, "MAIL FROM", m->sender);
			heard(m, sender);
			if (sender->code / 100 != 2) refused(m, m->sender, sender);
		}
		if (reply == sender) continue;
		said(m, "RCPT TO", (*r)->address);
		heard(m, reply);
		if (reply->code == 452 && strcmp(reply->status, "4.5.3") == 0 && m->hop.accepted > 0) continue;       /* in the next transaction */
		if (!m->hop.open && reply->code / 100 != 5) continue;   /* nobody has said anything of this one */
		(*r)->done = true;
		if (reply->code / 100 != 2) refused(m, (*r)->address, reply);
	}
}

static unsigned undone(const struct sendmail *m)
{
	unsigned n = 0;
	for (const struct recipient *r = m->rcpts; r; r = r->next) n += !r->done;
	return n;
}

/* The message, for those who were taken.  Until its last word it can be given up.  */
static bool transfer(struct sendmail *m, struct fields have)
{
	const struct reply *reply = hop_begin(&m->hop);
	if (!reply) {
		bool whole = write_message(m, have);
		if (!whole || clock_stop_asked()) {
			m->hop.open = false;
			return trouble(m, EX_TEMPFAIL, "not sent", whole ? "stopped by a signal" : "the copy of the message cannot be read"), false;
		}
		reply = hop_commit(&m->hop);
	}
	said(m, "(the message)", NULL);
	heard(m, reply->code / 100 == 2 ? &m->hop.reply.reply : reply);
	if (reply->code / 100 == 2) return true;
	refused(m, "the message", reply);
	return false;
}

/* One message for as many of the recipients as one transaction takes.  False if there is no use in another.  */
static bool transact(struct sendmail *m, struct fields have)
{
	unsigned offered = 0, before = undone(m), most = m->hop.rcpt_max ? m->hop.rcpt_max : RCPT_MAX;
	bool utf8 = m->utf8 || m->utf8_header;
	hop_mail(&m->hop, &(struct hop_mail){ m->sender, m->size, utf8, m->eightbit || utf8, .auth = "", .dsn = &m->dsn });
	struct recipient *due = m->rcpts, *r;
	for (r = m->rcpts; r && offered < most; r = r->next) {
		if (r->done) continue;
		hop_rcpt(&m->hop, r->address, &m->notify);
		offered++;
		if (!m->hop.pipelining || offered % PIPELINED == 0) settle(m, &due, r->next);
	}
	settle(m, &due, r);
	bool taken = m->hop.accepted > 0;
	if (taken && !transfer(m, have)) return false;
	if (!taken) hop_abandon(&m->hop);
	unsigned left = undone(m);
	return m->hop.open && left > 0 && left < before;
}

static bool greet(struct sendmail *m, int fd)
{
	/* the server waits deliver_timeout for those behind it, and shall be the first to lose its patience */
	if (hop_open(&m->hop, fd, HOP_SMTP, 2 * (unsigned)m->cf.deliver_timeout, clock_deadline((unsigned)m->cf.session_timeout), m->cf.hostname)) {
		said(m, "EHLO", NULL);
		heard(m, &(struct reply){ 250, "", m->hop.reply.text });
		if (!m->utf8 || m->hop.smtputf8) return true;
		trouble(m, EX_UNAVAILABLE, m->cf.submit, "it takes no addresses beyond ASCII");
		return false;
	}
	trouble(m, EX_TEMPFAIL, m->cf.submit, m->hop.why ? m->hop.why : "it does not serve us");
	return false;
}

int submit(struct sendmail *m)
{
	char what[200];
	if (!read_message(m)) return m->status;
	struct fields have = look(m);
	if (!m->rcpts) return m->status ? m->status : trouble(m, EX_USAGE, m->from_header ? "no recipients, neither in the header nor as arguments" : "no recipients: name them, or use -t", "");
	snprintf(what, sizeof what, "no mail system is running here: %s", m->cf.submit);
	int fd = connect_socket(&m->cf);
	if (fd < 0) return trouble(m, EX_TEMPFAIL, what, strerror(errno));
	if (!greet(m, fd)) return m->status;
	while (transact(m, have)) continue;
	if (!m->hop.open && m->hop.why) trouble(m, EX_TEMPFAIL, m->cf.submit, m->hop.why);
	for (struct recipient *r = m->rcpts; r; r = r->next)
		if (!r->done) trouble(m, EX_TEMPFAIL, r->address, "not sent");
	if (!m->hop.open) return m->status;     /* it may stand in the middle of a message, which QUIT must not end */
	said(m, "QUIT", NULL);
	io_puts(&m->hop.io, "QUIT\r\n");
	io_flush(&m->hop.io);
	return m->status;
}
