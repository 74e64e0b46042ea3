/* Asking name servers.  Whoever sends an answer is hostile until it has the number and the question that we sent; an answer from elsewhere does not
 * even arrive, for the sockets are connected.
 * SPDX-License-Identifier: MIT */
#include "ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum {
	TRIES = 3,              /* of each server; each has twice the time of the one before */
	QUESTION = 600,         /* header, a name of 255 octets, OPT */
	OPT = 11,
	UDP_SIZE = 1232,        /* what we say we take: not fragmented on any way (dnsflagday.net/2020) */
};

/* The bits of a header's third and fourth octet (RFC 1035 4.1.1, RFC 4035 3.2).  */
enum { QR = 0x80, AA = 0x04, TC = 0x02, /* and of the fourth */ RA = 0x80, AD = 0x20, RCODE = 0x0f };

/* What became of asking one server once.  */
enum turn { GOOD, LATE, BAD /* it answered that it cannot, or cannot be reached: not to be asked again */, PLAIN /* it does not know EDNS0 */ };

struct question {
	unsigned char wire[2 + QUESTION], *text;        /* TCP wants the length in front of the text */
	size_t n;
};

__attribute__((format(printf, 2, 3)))
static bool wrong(struct ask *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(a->why, sizeof a->why, fmt, ap);
	va_end(ap);
	return false;
}

/* wrong(), with the server's address in front.  */
static enum turn server_wrong(struct ask *a, const union ask_address *s, enum turn turn, const char *what)
{
	char text[INET6_ADDRSTRLEN] = "?";
	bool v6 = s->sa.sa_family == AF_INET6;
	inet_ntop(s->sa.sa_family, v6 ? (const void *)&s->in6.sin6_addr : (const void *)&s->in.sin_addr, text, sizeof text);
	wrong(a, "name server %s %s", text, what);
	return turn;
}

static enum turn unreachable(struct ask *a, const union ask_address *s, int error)
{
	char what[120];
	snprintf(what, sizeof what, "cannot be reached: %s", strerror(error));
	return server_wrong(a, s, BAD, what);
}

/* --- which servers --- */

static bool parse_port(const char *s, in_port_t *port)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || n == 0 || n > 65535) return false;
	*port = htons((in_port_t)n);
	return true;
}

static bool parse_server(union ask_address *out, const char *server)
{
	char text[INET6_ADDRSTRLEN + 1];
	const char *from = server + (*server == '['), *end = *server == '[' ? strchr(server, ']') : server + strcspn(server, ":");
	bool v6 = *server == '[' || (*end == ':' && strchr(end + 1, ':'));
	if (*server != '[' && v6) end += strlen(end);
	if (!end || (size_t)(end - from) >= sizeof text) return false;
	memcpy(text, from, (size_t)(end - from));
	text[end - from] = '\0';
	end += *end == ']';
	in_port_t port = htons(NS_DEFAULTPORT);
	if (*end && (*end != ':' || !parse_port(end + 1, &port))) return false;
	memset(out, 0, sizeof *out);
	if (v6) out->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port };
	else out->in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
	return inet_pton(v6 ? AF_INET6 : AF_INET, text, v6 ? (void *)&out->in6.sin6_addr : (void *)&out->in.sin_addr) == 1;
}

bool ask_open(struct ask *a, const char *server, unsigned ms)
{
	union ask_address given;
	memset(a, 0, sizeof *a);
	if (*server && !parse_server(&given, server)) return wrong(a, "the name server that is set is no address");
	if (res_ninit(&a->state) != 0) return wrong(a, "the resolver: %s", strerror(errno ? errno : ENOMEM));
	a->ms = ms;
	a->trusted = a->state.options & RES_TRUSTAD;
	a->state.options |= RES_TRUSTAD;        /* asks for the bit; who is believed is another question */
	if (*server) a->server[a->servers++] = given;
	for (int i = 0; !*server && i < a->state.nscount && i < MAXNS; i++) {
		union ask_address *s = &a->server[a->servers];
		if (a->state.nsaddr_list[i].sin_family == AF_INET) s->in = a->state.nsaddr_list[i];
		else if (a->state._u._ext.nsaddrs[i]) s->in6 = *a->state._u._ext.nsaddrs[i];
		else continue;
		a->servers++;
	}
	return true;
}

void ask_close(struct ask *a) { res_nclose(&a->state); }

static bool loopback(const union ask_address *s)
{
	if (s->sa.sa_family == AF_INET) return ntohl(s->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&s->in6.sin6_addr);
}

/* --- the question --- */

static bool prepare(struct ask *a, struct question *q, const char *name, int type, bool edns)
{
	q->text = q->wire + 2;
	int n = res_nmkquery(&a->state, ns_o_query, name, ns_c_in, type, NULL, 0, NULL, q->text, QUESTION - OPT);
	if (n < NS_HFIXEDSZ) return wrong(a, "not a name that can be asked for");
	q->n = (size_t)n;
	if (getrandom(q->text, 2, 0) != 2) return wrong(a, "no random numbers");       /* glibc's come from the clock */
	if (edns) {
		static const unsigned char opt[OPT] = { 0, 0, ns_t_opt, UDP_SIZE >> 8, UDP_SIZE & 0xff };
		memcpy(q->text + q->n, opt, OPT);
		q->n += OPT;
		q->text[11] = 1;        /* additional records */
	}
	ns_put16((unsigned)q->n, q->wire);
	return true;
}

/* Whether what came is an answer to the question.  Who does not understand a question need not repeat it.  */
static bool answers(const struct ask *a, const struct question *q)
{
	char asked[NS_MAXDNAME], told[NS_MAXDNAME];
	const unsigned char *m = a->answer, *eom = a->answer + a->n;
	if (a->n < NS_HFIXEDSZ || memcmp(m, q->text, 2) != 0 || !(m[2] & QR)) return false;
	int rcode = m[3] & RCODE, questions = m[4] << 8 | m[5];
	if (questions == 0) return rcode == ns_r_formerr || rcode == ns_r_notimpl;
	int n = dn_expand(q->text, q->text + q->n, q->text + NS_HFIXEDSZ, asked, sizeof asked);
	int t = dn_expand(m, eom, m + NS_HFIXEDSZ, told, sizeof told);
	if (questions != 1 || t < 0 || eom - (m + NS_HFIXEDSZ + t) < NS_QFIXEDSZ) return false;
	return strcasecmp(asked, told) == 0 && memcmp(q->text + NS_HFIXEDSZ + n, m + NS_HFIXEDSZ + t, NS_QFIXEDSZ) == 0;
}

/* --- the ways --- */

/* Wait until the socket is ready; false when the time is over.  */
static bool ready(int fd, short events, uint64_t until)
{
	for (;;) {
		uint64_t now = millis();
		struct pollfd p = { .fd = fd, .events = events };
		if (now >= until) return false;
		int r = poll(&p, 1, (int)(until - now));
		if (r > 0) return true;
		if (r < 0 && errno != EINTR) return false;
	}
}

/* A socket connected to the server, or being connected; -1 with errno.  */
static int reach(const union ask_address *s, int type)
{
	int fd = socket(s->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) return -1;
	if (connect(fd, &s->sa, s->sa.sa_family == AF_INET6 ? sizeof s->in6 : sizeof s->in) == 0 || errno == EINPROGRESS) return fd;
	int e = errno;
	close(fd);
	errno = e;
	return -1;
}

static enum turn by_udp(struct ask *a, const union ask_address *s, const struct question *q, uint64_t until)
{
	int fd = reach(s, SOCK_DGRAM);
	if (fd < 0) return unreachable(a, s, errno);
	ssize_t n = send(fd, q->text, q->n, MSG_NOSIGNAL);
	while (n >= 0 && ready(fd, POLLIN, until)) {
		n = recv(fd, a->answer, sizeof a->answer, 0);
		if (n < 0 && (errno == EINTR || errno == EAGAIN)) n = 0;
		if (n < 0) break;
		a->n = (size_t)n;
		if (!answers(a, q)) continue;
		close(fd);
		return GOOD;
	}
	int e = errno;
	close(fd);
	return n < 0 ? unreachable(a, s, e) : server_wrong(a, s, LATE, "does not answer");
}

/* Move n octets.  1, 0 when the time is over, -1 with errno.  */
static int transfer(int fd, unsigned char *p, size_t n, bool out, uint64_t until)
{
	while (n > 0) {
		if (!ready(fd, out ? POLLOUT : POLLIN, until)) return 0;
		ssize_t r = out ? send(fd, p, n, MSG_NOSIGNAL) : recv(fd, p, n, 0);
		if (r < 0 && (errno == EINTR || errno == EAGAIN)) continue;
		if (r == 0) errno = ECONNRESET;
		if (r <= 0) return -1;
		p += r;
		n -= (size_t)r;
	}
	return 1;
}

static enum turn by_tcp(struct ask *a, const union ask_address *s, struct question *q, uint64_t until)
{
	unsigned char length[2];
	int fd = reach(s, SOCK_STREAM);
	if (fd < 0) return unreachable(a, s, errno);
	int r = transfer(fd, q->wire, 2 + q->n, true, until);
	if (r > 0) r = transfer(fd, length, sizeof length, false, until);
	if (r > 0) {
		a->n = ns_get16(length);
		r = transfer(fd, a->answer, a->n, false, until);
	}
	int e = errno;
	close(fd);
	if (r == 0) return server_wrong(a, s, LATE, "does not answer over TCP");
	if (r < 0) return unreachable(a, s, e);
	return answers(a, q) ? GOOD : server_wrong(a, s, BAD, "answers with nonsense");
}

/* --- what the answer says --- */

static enum turn judge(struct ask *a, const union ask_address *s, bool edns)
{
	static const char *const refusals[] = { [ns_r_formerr] = "does not understand the question (FORMERR)", [ns_r_servfail] = "could not find out (SERVFAIL)",
		[ns_r_notimpl] = "does not do this (NOTIMP)", [ns_r_refused] = "does not answer us (REFUSED)" };
	const unsigned char *h = a->answer;
	a->rcode = h[3] & RCODE;
	if (edns && (a->rcode == ns_r_formerr || a->rcode == ns_r_notimpl)) return PLAIN;
	if (a->rcode != ns_r_noerror && a->rcode != ns_r_nxdomain)
		return server_wrong(a, s, BAD, a->rcode <= ns_r_refused ? refusals[a->rcode] : "answers with an unknown error");
	if (h[2] & TC || ns_initparse(a->answer, (int)a->n, &a->message) != 0) return server_wrong(a, s, BAD, "answers with nonsense");
	/* one that only knows where to ask further has said nothing about the name */
	if (!(h[2] & AA) && !(h[3] & RA)) return server_wrong(a, s, BAD, "does not look up names for others");
	a->authentic = h[3] & AD && (a->trusted || loopback(s));
	return GOOD;
}

/* Ask one server until `until`.  An answer that was cut is asked for by TCP in half of what is left up to `end`, so that another server has its turn.  */
static enum turn ask_one(struct ask *a, const union ask_address *s, const char *name, int type, uint64_t until, uint64_t end)
{
	struct question q;
	for (int edns = 1; edns >= 0; edns--) {
		if (!prepare(a, &q, name, type, edns)) return BAD;
		enum turn t = by_udp(a, s, &q, until);
		if (t == GOOD && a->answer[2] & TC) {
			uint64_t now = millis();
			t = by_tcp(a, s, &q, now < end ? now + (end - now + 1) / 2 : end);
		}
		if (t == GOOD) t = judge(a, s, edns);
		if (t != PLAIN) return t;
	}
	return BAD;
}

/* What of `left` milliseconds the server `i` has in this round: the rounds have weights of 1, 2 and 4.  */
static uint64_t share(const struct ask *a, const bool failed[MAXNS], unsigned round, size_t i, uint64_t left)
{
	uint64_t own = 1U << round, weights = own;
	for (unsigned r = round; r < TRIES; r++)
		for (size_t s = r == round ? i + 1 : 0; s < a->servers; s++)
			if (!failed[s]) weights += 1U << r;
	return (left * own + weights - 1) / weights;
}

bool ask(struct ask *a, const char *name, int type)
{
	bool failed[MAXNS] = { false };
	uint64_t end = millis() + a->ms;
	wrong(a, "no name server");
	for (unsigned round = 0; round < TRIES; round++)
		for (size_t i = 0; i < a->servers; i++) {
			uint64_t now = millis();
			if (failed[i] || now >= end) continue;
			enum turn t = ask_one(a, &a->server[i], name, type, now + share(a, failed, round, i, end - now), end);
			if (t == GOOD) return true;
			failed[i] = t == BAD;
		}
	return false;
}
