/* What a person says and what the server says pass by here, and are changed as little as can be: a line that ends with LF gets the CR that SMTP wants, and what a terminal
 * would obey is shown in codes.
 * SPDX-License-Identifier: MIT */
#include "dialogue.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "reach.h"
#include "secure.h"

enum {
	LINE = 4096, LINES = 200,       /* of a reply that we read ourselves */
	REPLY = 300 * 1000,             /* milliseconds for each, and twice that behind the end of the input: it may be one to a message (RFC 5321 4.5.3.2) */
	HANDSHAKE = 60 * 1000,
};

/* The time limits are those, or shorter ones if the configuration says so.  */
static unsigned limit(const struct dialogue *d, unsigned most) { return d->cf->command_timeout < most ? (unsigned)d->cf->command_timeout : most; }

static void tell(void *ctx, const char *line)
{
	struct dialogue *d = ctx;
	fprintf(stderr, "smtp-client: %s\n", line);
	transcript_note(&d->transcript, line);
}

static int give_up(struct dialogue *d, int status, const char *what, const char *why)
{
	char line[400];
	snprintf(line, sizeof line, "%s%s%s", what, *why ? ": " : "", why);
	tell(d, line);
	return status;
}

/* --- both ways --- */

static size_t to_server(void *ctx, char *out, const char *in, size_t n)
{
	struct dialogue *d = ctx;
	size_t m = 0;
	for (size_t i = 0; i < n; i++) {
		if (in[i] == '\n' && !d->cr && !d->crlf) out[m++] = '\r';
		out[m++] = in[i];
		d->cr = in[i] == '\r';
	}
	transcript_add(&d->transcript, CLIENT_SIDE, out, m);
	return m;
}

static size_t from_server(void *ctx, char *out, const char *in, size_t n)
{
	struct dialogue *d = ctx;
	transcript_add(&d->transcript, SERVER_SIDE, in, n);
	if (d->terminal) return show_octets(&d->shown, out, in, n);
	memcpy(out, in, n);
	return n;
}

/* --- STARTTLS --- */

struct answer { char buf[LINE]; size_t have, line; bool offers; /* STARTTLS */ };

/* Read until there is a whole line at the beginning of the buffer.  */
static bool next_line(struct dialogue *d, struct answer *a, uint64_t end)
{
	const char *lf;
	a->have -= a->line;
	memmove(a->buf, a->buf + a->line, a->have);
	a->line = 0;
	while (!(lf = memchr(a->buf, '\n', a->have))) {
		struct pollfd p = { .fd = d->fd, .events = POLLIN };
		uint64_t now = millis();
		int ready = now < end ? poll(&p, 1, (int)(end - now)) : 0;
		if (ready < 0 && errno == EINTR) continue;
		ssize_t n = ready > 0 && a->have < sizeof a->buf ? read(d->fd, a->buf + a->have, sizeof a->buf - a->have) : 0;
		if (n <= 0) return give_up(d, 0, a->have == sizeof a->buf ? "the server's line is too long" : ready > 0 ? "the server has closed the connection" : "the server does not answer", "");
		a->have += (size_t)n;
	}
	a->line = (size_t)(lf - a->buf) + 1;
	return true;
}

static bool put_out(const char *s, size_t n)
{
	while (n > 0) {
		ssize_t w = write(1, s, n);
		if (w < 0 && errno != EINTR) return false;
		if (w > 0) s += w, n -= (size_t)w;
	}
	return true;
}

static bool is_keyword(const char *s, size_t n, const char *word)
{
	size_t len = strlen(word);
	return n >= len && strncasecmp(s, word, len) == 0 && (n == len || strchr(" \r\n", s[len]));
}

/* Hear and show a reply.  Its code; after a word on standard error 0 when there is none, -1 when it is no reply.  */
static int hear(struct dialogue *d, struct answer *a)
{
	char out[LINE * SHOW_GROWTH + SHOW_MORE];
	uint64_t end = millis() + limit(d, REPLY);
	for (unsigned i = 0; i < LINES; i++) {
		if (!next_line(d, a, end)) return 0;
		if (!put_out(out, from_server(d, out, a->buf, a->line))) return 0;
		const char *s = a->buf;
		bool digits = a->line > 4 && isdigit((unsigned char)s[0]) && isdigit((unsigned char)s[1]) && isdigit((unsigned char)s[2]);
		if (!digits || !strchr("- \r\n", s[3])) break;
		if (is_keyword(s + 4, a->line - 4, "STARTTLS")) a->offers = true;
		if (s[3] != '-') return (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
	}
	return give_up(d, -1, "this is no reply of SMTP", "");
}

static int ask(struct dialogue *d, struct answer *a, const char *command, const char *argument)
{
	char line[300], sent[sizeof line * RELAY_GROWTH + RELAY_MORE];
	int n = snprintf(line, sizeof line, "%s%s%s\n", command, *argument ? " " : "", argument);
	bool raw = d->crlf;
	fprintf(stderr, ">>> %s", line);
	d->crlf = false;
	size_t m = to_server(d, sent, line, (size_t)n);
	d->crlf = raw;
	if (send(d->fd, sent, m, MSG_NOSIGNAL) != (ssize_t)m) return give_up(d, 0, "the server has closed the connection", "");
	return hear(d, a);
}

/* What a refusal means.  */
static int refused(struct dialogue *d, int code, const char *what)
{
	if (code <= 0) return code < 0 ? EX_PROTOCOL : EX_TEMPFAIL;
	return give_up(d, code / 100 == 4 ? EX_TEMPFAIL : EX_UNAVAILABLE, what, "");
}

static int begin_tls(struct dialogue *d);

static int starttls(struct dialogue *d)
{
	struct answer a = { .have = 0 };
	int code = hear(d, &a);
	if (code / 100 != 2) return refused(d, code, "the server does not serve us");
	a.offers = false;
	if ((code = ask(d, &a, "EHLO", d->cf->hostname)) / 100 != 2) return refused(d, code, "the server refuses EHLO, and STARTTLS with it");
	if (!a.offers) return give_up(d, EX_UNAVAILABLE, "the server does not offer STARTTLS", "");
	if ((code = ask(d, &a, "STARTTLS", "")) != 220) return refused(d, code, "the server refuses STARTTLS");
	/* what stands here may have been put there by somebody between us, and must not be taken for words from within TLS (CVE-2011-0411) */
	if (a.have != a.line) return give_up(d, EX_PROTOCOL, "the server has said more, in plain text, behind its answer to STARTTLS", "");
	return begin_tls(d);
}

/* --- TLS --- */

static int begin_tls(struct dialogue *d)
{
	struct secured s;
	char line[700];
	const char *host = config_scheme(d->host, "unix:") ? "localhost" : d->host;
	d->fd = secure_start(d->fd, host, d->ca, d->verify, d->cf->sandbox, limit(d, HANDSHAKE), &s, &d->tls_process);
	if (d->fd < 0) return give_up(d, EX_PROTOCOL, "no TLS", s.why);
	snprintf(line, sizeof line, "%s %s", s.version, s.cipher);
	tell(d, line);
	snprintf(line, sizeof line, "certificate: %s, by %s, until %s", s.subject, s.issuer, s.until);
	tell(d, line);
	snprintf(line, sizeof line, "the certificate is %sgood for %.200s%s%s", s.verified ? "" : "NOT ", host, s.verified ? "" : ": ", s.why);
	tell(d, line);
	return EX_OK;
}

/* --- all of it --- */

static int carry(struct dialogue *d)
{
	struct relay_change up = { to_server, d }, down = { from_server, d };
	int why = relay(d->fd, &up, &down, 2 * (int)limit(d, REPLY));
	if (why == 0) return EX_OK;
	if (why == EPIPE) return EX_IOERR;      /* there is nobody to tell */
	return give_up(d, why == ETIMEDOUT ? EX_TEMPFAIL : EX_IOERR, "the connection", strerror(why));
}

int dialogue(struct dialogue *d)
{
	int status;
	d->terminal = isatty(1);
	if (d->log && transcript_open(&d->transcript, d->log) != 0) return give_up(d, EX_CANTCREAT, d->log, strerror(errno));
	d->fd = reach(d->host, d->port, d->family, tell, d, &status);
	if (d->fd >= 0) status = d->tls ? begin_tls(d) : d->starttls ? starttls(d) : EX_OK;
	if (d->fd >= 0 && status == EX_OK) status = carry(d);
	if (d->fd >= 0) close(d->fd);
	if (d->tls_process > 0) secure_end(d->tls_process);
	if (transcript_close(&d->transcript) == 0) return status;
	fprintf(stderr, "smtp-client: %s: %s\n", d->log, strerror(errno));
	return status == EX_OK ? EX_IOERR : status;
}
