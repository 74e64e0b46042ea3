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
	if (r->code / 100 == 2) return EX_OK;
	if (r->code / 100 != 5) return EX_TEMPFAIL;
	if (strcmp(r->status, "5.1.1") == 0 || strcmp(r->status, "5.1.3") == 0 || strcmp(r->status, "5.1.6") == 0) return EX_NOUSER;
	if (strcmp(r->status, "5.1.2") == 0) return EX_NOHOST;
	if (strncmp(r->status, "5.7.", 4) == 0) return EX_NOPERM;
	return strncmp(r->status, "5.6.", 4) == 0 || strcmp(r->status, "5.3.4") == 0 ? EX_DATAERR : EX_UNAVAILABLE;
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
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	errno = strlen(cf->submit) < sizeof sun.sun_path ? errno : ENAMETOOLONG;
	if (fd >= 0 && strlen(cf->submit) < sizeof sun.sun_path) {
		strcpy(sun.sun_path, cf->submit);
		if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0) return fd;
	}
	int why = errno;
	if (fd >= 0) close(fd);
	errno = why;
	return -1;
}

/* Hear what becomes of the recipients from *r to `stop`.  */
static void settle(struct sendmail *m, struct recipient **r, const struct recipient *stop)
{
	for (; *r != stop; *r = (*r)->next) {
		if ((*r)->done) continue;
		const struct reply *reply = hop_settle(&m->hop);
		if (reply->code == 452 && strcmp(reply->status, "4.5.3") == 0 && m->hop.accepted > 0) continue;       /* in the next transaction */
		(*r)->done = true;
		if (reply->code / 100 != 2) refused(m, (*r)->address, reply);
		else if (m->verbose) fprintf(stderr, "%s: %d %s %s\n", (*r)->address, reply->code, reply->status, reply->text);
	}
}

/* One message for as many of the recipients as one transaction takes.  Returns how many are left, or 0 if there is no use in going on.  */
static unsigned transact(struct sendmail *m, struct fields have)
{
	unsigned offered = 0, left = 0, before = 0, most = m->hop.rcpt_max ? m->hop.rcpt_max : RCPT_MAX;
	hop_mail(&m->hop, &(struct hop_mail){ m->sender, 0, m->utf8, !m->sevenbit, "" });
	struct recipient *due = m->rcpts, *r;
	for (r = m->rcpts; r; r = r->next) before += !r->done;
	for (r = m->rcpts; r && offered < most; r = r->next) {
		if (r->done) continue;
		hop_rcpt(&m->hop, r->address);
		offered++;
		if (!m->hop.pipelining || offered % PIPELINED == 0) settle(m, &due, r->next);
	}
	settle(m, &due, r);
	for (r = m->rcpts; r; r = r->next) left += !r->done;
	if (m->hop.accepted == 0) {
		hop_abandon(&m->hop);
		return m->hop.open && left < before ? left : 0;
	}
	const struct reply *reply = hop_begin(&m->hop);
	if (!reply) {
		write_message(m, have);
		reply = hop_commit(&m->hop);
	}
	if (reply->code / 100 != 2) refused(m, "", reply);
	if (m->verbose) fprintf(stderr, "%d %s %s\n", reply->code, reply->status, m->hop.reply.text);
	return m->hop.open && reply->code / 100 == 2 && left < before ? left : 0;
}

int submit(struct sendmail *m)
{
	if (!read_message(m)) return m->status;
	struct fields have = look(m);
	if (!m->rcpts) return m->status ? m->status : trouble(m, EX_USAGE, "no recipients", "");
	int fd = connect_socket(&m->cf);
	if (fd < 0) return trouble(m, EX_TEMPFAIL, m->cf.submit, strerror(errno));
	if (!hop_open(&m->hop, fd, HOP_SMTP, (unsigned)m->cf.deliver_timeout, clock_deadline((unsigned)m->cf.session_timeout), m->cf.hostname))
		return trouble(m, EX_TEMPFAIL, m->cf.submit, m->hop.why ? m->hop.why : "does not serve us");
	while (transact(m, have) > 0) continue;
	for (struct recipient *r = m->rcpts; r; r = r->next)
		if (!r->done) trouble(m, EX_TEMPFAIL, r->address, "not sent");
	io_puts(&m->hop.io, "QUIT\r\n");
	io_flush(&m->hop.io);
	return m->status;
}
