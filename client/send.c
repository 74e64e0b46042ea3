/* SPDX-License-Identifier: MIT */
#include "send.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "dns.h"
#include "helper.h"
#include "log.h"
#include "names.h"
#include "order.h"
#include "route.h"
#include "sandbox.h"
#include "transfer.h"

enum { CONNECT = 30000, MOST_ADDRESSES = 10, MOST_RCPTS = 10000 };

static struct sending {
	struct letter letter;
	const char *to, *mx;            /* --to, --mx */
	char place[DNS_NAME];           /* by whose MX the server was found; "" if it has a name of its own */
	size_t printed;                 /* the one behind the last that was */
	bool reports;                   /* of the last that was printed */
	struct dns dns;
	struct peer_at peer;
	bool reached;                   /* a server has answered */
	bool put_off;                   /* one has, and has put some off: they are for one more host, and then for another day */
	uint64_t end;                   /* after this time no other address is tried, but for one: each may take its own for every answer */
	unsigned late;                  /* how many were to be tried after it */
	char why[LETTER_TEXT];          /* of those that nobody has said anything of */
} sending;

/* --- output --- */

/* What nobody hears will be sent again: so no more is.  */
static void flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout)) return;
	fprintf(stderr, "smtp-client: cannot tell what became of a recipient: %s\n", strerror(errno));
	exit(EX_IOERR);
}

/* As soon as they are known, for what is not told might be sent again; who reads them counts lines, and hears when that is not enough.  In between, whether the server that
 * has taken it will report.  */
static void print_known(struct letter *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct letter_rcpt *r = &l->rcpt[i];
		if (!r->done || r->told) continue;
		r->told = true;
		if (r->reports != sending.reports) puts(r->reports ? "# dsn" : "# no dsn");
		sending.reports = r->reports;
		if (i != sending.printed) printf("# recipient %zu\n", i + 1);
		sending.printed = i + 1;
		puts(r->result);
	}
	flush();
}

static void print_rest(struct sending *s)
{
	struct letter *l = &s->letter;
	for (size_t i = 0; i < l->count; i++) {
		if (l->rcpt[i].done) continue;
		if (!*l->rcpt[i].result) strcpy(l->rcpt[i].result, s->why);
		l->rcpt[i].done = true;
	}
	print_known(l);
}

/* One thing is to be said of all.  */
static int all(struct sending *s, int code, const char *status, const char *text, int exit_status)
{
	letter_say(s->why, code, status, "", text);
	print_rest(s);
	return exit_status;
}

/* --- servers --- */

static int connect_to(const struct config *cf, const struct sockaddr *sa, socklen_t len)
{
	struct timeval none = { 0 };
	int fd = helper_connect(sa, len, cf->bind_address, cf->command_timeout);
	if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);       /* the dialogue has limits of its own */
	return fd;
}

/* One address of a server.  True if there is no use in another.  */
static bool try_address(struct sending *s, const struct sockaddr *sa, socklen_t len)
{
	char *address = s->peer.address, text[200];
	if (s->end && millis() > s->end && s->late++ > 0) return true;
	if (!s->end) s->end = millis() + s->letter.cf->command_timeout;
	if (getnameinfo(sa, len, address, sizeof s->peer.address, NULL, 0, NI_NUMERICHOST) != 0) strcpy(address, "?");
	s->peer.plain = false;  /* whatever another address was not able to do */
	for (int round = 0; round < 2; round++) {
		int fd = connect_to(s->letter.cf, sa, len);
		if (fd < 0) {
			snprintf(text, sizeof text, "cannot connect to %s port %s: %s", address, s->peer.route.port, strerror(errno));
			letter_say(s->why, OUR_LATER, "4.4.1", s->peer.name, text);
			return false;
		}
		*s->peer.why = '\0';
		enum transfer_result r = transfer(&s->letter, &s->peer, fd);
		if (*s->peer.why) strcpy(s->why, s->peer.why);
		/* a relay that cannot be logged in to can be so for no other message either, and guessing again with each of them would have us locked out */
		bool no_use = (strncmp(s->why, "499 4.4.", 8) == 0 && !s->peer.answered) || (s->peer.route.authenticate && strncmp(s->why, "499 4.7.", 8) == 0);
		s->reached |= r == TRANSFER_DONE || !no_use;
		s->put_off |= r == TRANSFER_NEXT && s->peer.more && letter_put_off(&s->letter);
		if (r != TRANSFER_PLAIN) return letter_done(&s->letter);
		s->peer.plain = true;   /* RFC 7435: better than nothing */
	}
	return false;
}

/* Each address of a server that DNS names.  */
static bool try_dns(struct sending *s, const char *host, unsigned *left)
{
	struct dns_addresses found;
	enum dns_result r = dns_addresses(&s->dns, host, (unsigned)atoi(s->peer.route.port), &found);
	s->peer.name = host;
	if (r != DNS_OK) letter_say(s->why, r == DNS_LATER ? OUR_LATER : OUR_NEVER, r == DNS_LATER ? "4.4.3" : "5.4.4", "", dns_why(&s->dns));
	for (size_t i = 0; r == DNS_OK && i < found.count && *left > 0; i++, --*left)
		if (try_address(s, &found.address[i].u.sa, found.address[i].len)) return true;
		else if (s->peer.more && (s->put_off || millis() > s->end)) break;      /* another address is the same host */
	return false;
}

/* A server that an administrator has named: as other programs of this host look it up.  */
static void try_named(struct sending *s)
{
	char name[sizeof s->peer.route.host];
	const char *host = s->peer.route.host;
	size_t n = strlen(host);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	bool literal = *host == '[';
	snprintf(name, sizeof name, "%.*s", (int)(literal ? n - 2 : n), host + literal);
	if (strncasecmp(name, "IPv6:", 5) == 0) memmove(name, name + 5, strlen(name + 5) + 1);
	s->peer.name = host;
	s->peer.self_allowed = true;
	if (literal) hints.ai_flags = AI_NUMERICHOST;
	int e = getaddrinfo(name, s->peer.route.port, &hints, &list);
	if (e) letter_say(s->why, OUR_LATER, "4.4.3", host, gai_strerror(e));
	unsigned left = MOST_ADDRESSES;
	for (struct addrinfo *a = list; a && left-- > 0; a = a->ai_next)
		if (try_address(s, a->ai_addr, a->ai_addrlen)) break;
	if (list) freeaddrinfo(list);
}

static int try_mx(struct sending *s)
{
	static struct dns_hosts hosts;
	char self[1024], before[LETTER_TEXT];
	const struct config *cf = s->letter.cf;
	unsigned left = MOST_ADDRESSES;
	snprintf(self, sizeof self, "%s %s", cf->hostname, cf->helo_name);
	if (*s->mx == '[') {
		if (!try_dns(s, s->place, &left)) print_rest(s);        /* the same as s->mx, which is the order's: the connection may outlive that */
		return s->reached ? EX_OK : EX_UNAVAILABLE;
	}
	switch (dns_mx(&s->dns, s->mx, self, &hosts)) {
	case DNS_NONE: return all(s, OUR_NEVER, "5.1.2", dns_why(&s->dns), EX_OK);
	case DNS_NULL_MX: return all(s, OUR_NEVER, "5.1.10", "the domain takes no mail (null MX)", EX_OK);
	case DNS_SELF: return all(s, OUR_NEVER, "5.4.6", "the mail exchanger of the domain is this host, which does not know the domain: a mail loop", EX_OK);
	case DNS_LATER: return all(s, OUR_LATER, "4.4.3", dns_why(&s->dns), EX_UNAVAILABLE);
	case DNS_OK: break;
	}
	bool permanent = true;
	for (size_t i = 0; i < hosts.count && left > 0 && !letter_done(&s->letter); i++) {
		strcpy(before, s->why);
		*s->why = '\0';
		s->peer.more = i + 1 < hosts.count && !s->put_off;      /* RFC 5321 5.1; it would put off most of what comes to it, so one more is enough */
		bool over = try_dns(s, hosts.host[i].name, &left);
		permanent &= *s->why == '5';
		if (!*s->why) strcpy(s->why, before);   /* the time was over, and this one is not to blame */
		if (over) break;
	}
	if (!permanent && *s->why == '5') letter_say(s->why, OUR_LATER, "4.4.1", "", "no mail exchanger of the domain can be reached now");
	print_rest(s);
	return s->reached || permanent ? EX_OK : EX_UNAVAILABLE;
}

static int by_dns(struct sending *s)
{
	const struct config *cf = s->letter.cf;
	if (!dns_open(&s->dns, cf->dns, cf->command_timeout < CONNECT ? (unsigned)cf->command_timeout : CONNECT)) return all(s, OUR_LATER, "4.4.3", dns_why(&s->dns), EX_UNAVAILABLE);
	int status = try_mx(s);
	dns_close(&s->dns);
	return status;
}

/* --- start --- */

static const struct option longs[] = {
	{ "to", required_argument, NULL, 't' }, { "mx", required_argument, NULL, 'm' }, { "from", required_argument, NULL, 'f' }, { "rcpt", required_argument, NULL, 'r' },
	{ "notify", required_argument, NULL, 'N' }, { "orcpt", required_argument, NULL, 'O' }, { "ret", required_argument, NULL, 'R' }, { "envid", required_argument, NULL, 'V' },
	{ "size", required_argument, NULL, 's' }, { "prepend", required_argument, NULL, 'p' }, { "8bit", no_argument, NULL, '8' }, { "utf8", no_argument, NULL, 'u' },
	{ NULL, 0, NULL, 0 },
};

static bool add_rcpt(struct letter *l, const char *address, struct dsn_rcpt *dsn)
{
	struct path p;
	if (!mailbox_parse(&p, address) || !*p.domain || l->count == MOST_RCPTS) return false;
	l->utf8 |= p.utf8;
	l->rcpt[l->count].address = address;
	l->rcpt[l->count++].dsn = *dsn;
	*dsn = (struct dsn_rcpt){ 0 };
	return true;
}

/* NULL, or which argument is wrong.  */
static const char *options(struct sending *s, int argc, char **argv)
{
	struct letter *l = &s->letter;
	struct dsn_rcpt dsn = { 0 };
	struct path from;
	int opt;
	bool good = true;
	unsigned long long size;
	while (good && (opt = getopt_long(argc, argv, "-f:", longs, NULL)) != -1) {
		switch (opt) {
		case 't': s->to = optarg; break;
		case 'm': s->mx = optarg; break;
		case 'f': l->from = strcmp(optarg, "<>") == 0 ? "" : optarg; break;
		case 'N': good = dsn_notify(&dsn, optarg); break;
		case 'O': good = dsn_orcpt(&dsn, optarg, true); break;
		case 'R': good = dsn_ret(&l->dsn, optarg); break;
		case 'V': good = dsn_envid(&l->dsn, optarg); break;
		case 's': good = number_parse(optarg, &size); l->size = size; break;
		case 'p': l->prepend = optarg; break;
		case '8': l->eightbit = true; break;
		case 'u': l->utf8 = true; break;
		case 'r':
		case 1: good = add_rcpt(l, optarg, &dsn); break;
		default: return "see smtp-client --help";
		}
	}
	if (!good) return optarg;
	while (optind < argc)
		if (!add_rcpt(l, argv[optind++], &dsn)) return argv[optind - 1];
	if (!l->from || (*l->from && !mailbox_parse(&from, l->from))) return "expected -f SENDER";
	if (*l->from) l->utf8 |= from.utf8;
	if (l->count == 0) return "no recipients";
	return !!s->to + !!s->mx == 1 ? NULL : "expected --to HOST:PORT or --mx DOMAIN";
}

/* The message can be read again and again: for another server.  */
static bool take_message(struct letter *l)
{
	struct stat st;
	char buf[65536];
	ssize_t n;
	if (fstat(0, &st) == 0 && S_ISREG(st.st_mode)) return l->message = 0, true;
	FILE *f = tmpfile();
	if (!f) return false;
	while ((n = read(0, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0 && fwrite(buf, 1, (size_t)n, f) != (size_t)n) return false;
	l->message = fileno(f);
	return n == 0 && fflush(f) == 0;
}

/* Where it goes.  Who was reached for the letter before is still there, if that is the same place.  */
static int send_letter(struct sending *s)
{
	char why[256], domain[DOMAIN_MAX + 1];
	const struct config *cf = s->letter.cf;
	struct route route = { .policy = (enum tls_policy)cf->tls_policy };
	if (s->to && !route_parse(&route, s->to)) return fprintf(stderr, "smtp-client: --to %s: expected HOST:PORT\n", s->to), EX_USAGE;
	if (s->mx && !names_domain(domain, s->mx)) snprintf(domain, sizeof domain, "%s", s->mx);        /* what it is not, DNS will say */
	if (!s->to && !route_find(cf, domain, &route, why)) {
		log_line(LEVEL_ERROR, "%s", why);
		return all(s, OUR_LATER, "4.3.5", why, EX_TEMPFAIL);
	}
	const char *place = *route.host || !s->mx ? "" : s->mx;
	if (strcmp(s->place, place) == 0 && route_same(&s->peer.route, &route) && transfer_again(&s->letter) == TRANSFER_DONE) return EX_OK;
	transfer_end();
	snprintf(s->place, sizeof s->place, "%s", place);
	s->peer = (struct peer_at){ .route = route };
	if (!s->to && !*route.host) return by_dns(s);
	try_named(s);
	print_rest(s);
	return s->reached ? EX_OK : EX_UNAVAILABLE;
}

/* Read the arguments of a letter.  */
static bool begin_letter(struct sending *s, const struct config *cf, int argc, char **argv)
{
	s->letter = (struct letter){ .cf = cf, .prepend = "", .told = print_known, .message = -1, .rcpt = calloc((size_t)argc + 1, sizeof *s->letter.rcpt) };
	s->to = s->mx = NULL;
	s->printed = 0;
	s->reports = false;
	s->end = s->late = 0;
	s->reached = s->put_off = false;
	*s->why = '\0';
	optind = 0;             /* of getopt: begin anew */
	const char *wrong = s->letter.rcpt ? options(s, argc, argv) : "no memory";
	if (wrong) fprintf(stderr, "smtp-client: --send: %s\n", wrong);
	return !wrong;
}

static void start(const struct config *cf)
{
	log_open("smtp-client", "", "local", LOG_STATUS);
	log_level((enum log_level)cf->log_level);
	clock_signals();
	clock_start((unsigned)(cf->command_timeout < cf->data_timeout ? cf->command_timeout : cf->data_timeout));
	if (cf->sandbox) sandbox_read_only();
}

int send_main(struct config *cf, int argc, char **argv)
{
	struct sending *s = &sending;
	if (!config_load(cf)) return fprintf(stderr, "smtp-client: %s\n", cf->error), EX_CONFIG;
	if (!begin_letter(s, cf, argc, argv)) return EX_USAGE;
	if (!take_message(&s->letter)) return fprintf(stderr, "smtp-client: the message cannot be read: %s\n", strerror(errno)), EX_TEMPFAIL;
	start(cf);
	int status = send_letter(s);
	transfer_end();
	return status;
}

int send_orders(struct config *cf)
{
	struct sending *s = &sending;
	struct order o;
	int status = EX_OK;
	if (!config_load(cf)) return fprintf(stderr, "smtp-client: %s\n", cf->error), EX_CONFIG;
	prctl(PR_SET_PDEATHSIG, SIGKILL);       /* nobody would write down what it comes to */
	signal(SIGINT, SIG_IGN);                /* from a terminal it comes to all of us: who gives the orders stops, and what is under way is finished */
	start(cf);
	while (status != EX_USAGE && order_receive(0, &o)) {
		status = begin_letter(s, cf, o.argc, o.argv) ? EX_OK : EX_USAGE;
		s->letter.message = o.file;
		if (status == EX_OK) status = send_letter(s);
		if (status != EX_USAGE) puts(status == EX_UNAVAILABLE ? "# nobody" : "# end");
		flush();
		free(s->letter.rcpt);
		order_free(&o);
	}
	transfer_end();
	return status == EX_USAGE ? EX_USAGE : EX_OK;
}
