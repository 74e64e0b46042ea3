/* maildir-deliver: from a recipient to a place on the disk.  Two fronts for one delivery: an LMTP server on descriptors 0 and 1, and the
 * form that other mail systems call, one message on standard input (an MDA).  Never talks to the network.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "config.h"
#include "delivery.h"
#include "expand.h"
#include "log.h"
#include "monitor.h"
#include "owner.h"
#include "peer.h"
#include "place.h"
#include "resolve.h"
#include "sandbox.h"
#include "senders.h"
#include "session.h"
#include "tools.h"
#include "verify.h"

enum { INPUT = 65536, OUTPUT = 16384, PAGE = 4096, TRACE_ROOM = 8192 };

/* All of the program's state; what every session writes to lies together.  */
static struct deliver {
	_Alignas(PAGE) uint64_t started;       /* milliseconds: the dialogue, then each message */
	bool supervised;        /* smtp-handler started us: it keeps the time limits, and logs what became of a message */
	char peer[PEER_SIZE], id[ID_SIZE], message_id[ID_SIZE + 16];
	struct resolver resolver;
	struct session session;
	_Alignas(PAGE) struct config cf;
	struct delivery delivery;
	char output[OUTPUT], input[INPUT];
	struct senders senders;
	char answer[VERIFY_ROOM];
	struct expander expander;
} deliver;

/* --- LMTP: the backend of the dialogue --- */

static const struct reply *deliver_sender(struct session *s)
{
	struct deliver *d = s->ctx;
	return d->cf.sender_check && *s->tx.auth ? senders_allow(&d->senders, &d->expander, s->tx.auth, &s->tx.from) : NULL;
}

static const struct reply *deliver_rcpt(struct session *s, const struct path *rcpt)
{
	struct deliver *d = s->ctx;
	d->expander.relay = s->tx.relay;
	const struct reply *r = place_recipient(&d->delivery, &d->expander, &(struct asked){ rcpt, s->tx.from.text, s->tx.declared, &s->dsn });
	if (r == REPLY(MISCONFIGURED)) outgoing_miss(&d->delivery.outgoing, &d->cf);
	return r ? r : REPLY(RCPT_OK);
}

static const struct reply *deliver_begin(struct session *s)
{
	struct deliver *d = s->ctx;
	d->started = millis();
	snprintf(d->message_id, sizeof d->message_id, "%s.%u", d->id, s->messages);
	d->delivery.outgoing.id = d->message_id;
	d->delivery.outgoing.dsn = s->tx.dsn;
	d->delivery.outgoing.eightbit = s->tx.eightbit;
	d->delivery.outgoing.utf8 = s->tx.smtputf8;
	delivery_begin(&d->delivery);
	return NULL;
}

static void deliver_write(struct session *s, const char *p, size_t n)
{
	struct deliver *d = s->ctx;
	delivery_write(&d->delivery, p, n);
}

static void deliver_header(struct session *s, const char *line)
{
	struct deliver *d = s->ctx;
	delivery_header(&d->delivery, line);
}

static const struct reply *deliver_commit(struct session *s)
{
	struct deliver *d = s->ctx;
	return delivery_commit(&d->delivery, s->tx.data.lines);
}

static void deliver_abandon(struct session *s)
{
	struct deliver *d = s->ctx;
	delivery_end(&d->delivery);
}

static const struct reply *deliver_verify(struct session *s, const char *what, bool list)
{
	struct deliver *d = s->ctx;
	struct path p;
	if (!tools_parse(&d->cf, what, &p) || !*p.text) return REPLY(BAD_RCPT);
	d->expander.relay = false;
	const struct reply *r = verify(&d->expander, &p, list, d->answer, sizeof d->answer);
	expand_done(&d->expander);
	return r;
}

static void deliver_tell(struct session *s, const struct event *e)
{
	struct deliver *d = s->ctx;
	struct event timed = *e;
	timed.millis = millis() - d->started;
	if (!d->supervised) log_event(&timed);
}

/* The same id in every log; both are what the log has, too.  */
static void deliver_forwarded(struct session *s, const char *peer, const char *id)
{
	struct deliver *d = s->ctx;
	if (peer && strlen(peer) < sizeof d->peer) strcpy(d->peer, peer);
	if (id && strlen(id) < sizeof d->id) strcpy(d->id, id);
}

static const struct backend backend = {
	.lmtp = true, .forwarded = deliver_forwarded, .sender = deliver_sender, .rcpt = deliver_rcpt, .begin = deliver_begin, .write = deliver_write, .header = deliver_header,
	.commit = deliver_commit, .abandon = deliver_abandon, .verify = deliver_verify, .tell = deliver_tell,
};

/* Strict on a pipe too: it is another mail system that talks LMTP, and not a transcript.  */
static struct io input(struct deliver *d)
{
	return (struct io){ .in = 0, .out = 1, .ibuf = d->input, .isize = sizeof d->input, .obuf = d->output, .osize = sizeof d->output,
		.strict = true, .end = clock_deadline((unsigned)d->cf.session_timeout) };
}

static int lmtp(struct deliver *d)
{
	struct session *s = &d->session;
	s->cf = &d->cf;
	s->backend = &backend;
	s->ctx = d;
	s->peer = d->peer;
	s->id = d->id;
	s->size_max = d->cf.max_size + TRACE_ROOM;      /* a message of the greatest size, and the trace header before it */
	s->rcpt_max = (unsigned)d->cf.max_recipients;
	s->offers_dsn = true;
	s->io = input(d);
	s->silent = getenv("SMTP_AHEAD") != NULL;
	d->started = millis();
	session_run(s);
	return EX_OK;
}

/* --- the MDA form --- */

/* RFC 3463 codes to sysexits, so that only what will never succeed is permanent (P9).  Says why, in the form of Postfix pipe(8).  */
static int mda_exit(const struct reply *r)
{
	if (r->code / 100 == 2) return EX_OK;
	fprintf(stderr, "%s %s\n", r->status, r->text);
	if (r->code / 100 == 4) return EX_TEMPFAIL;
	return r->code == 550 || r->code == 551 || r->code == 501 ? EX_NOUSER : EX_DATAERR;
}

struct mda {
	struct deliver *d;
	struct header header;
	const struct data *data;
	bool too_big;
};

static void mda_header(void *ctx, const char *line)
{
	struct mda *m = ctx;
	delivery_header(&m->d->delivery, line);
}

static void mda_take(void *ctx, const char *p, size_t n)
{
	struct mda *m = ctx;
	m->too_big |= m->data->size > m->d->cf.max_size + TRACE_ROOM;
	if (m->too_big) return;
	header_feed(&m->header, p, n);
	delivery_write(&m->d->delivery, p, n);
}

/* An mbox separator that some callers put in front is not part of the message; "From :" is a header field, of the obsolete form.  */
static enum io_result skip_from_line(struct io *io, uint32_t deadline)
{
	static const char from[] = "From ";
	enum io_result got = IO_OK;
	char *lf = NULL;
	while (got == IO_OK && io->tail < sizeof from - 1) got = io_fill(io, deadline, true);
	if (io->tail < sizeof from - 1 || memcmp(io->ibuf, from, sizeof from - 1) != 0) return got;
	while (!(lf = memchr(io->ibuf, '\n', io->tail)) && got == IO_OK && io->tail < io->isize) got = io_fill(io, deadline, true);
	size_t blanks = sizeof from - 1;
	while (lf && (io->ibuf[blanks] == ' ' || io->ibuf[blanks] == '\t')) blanks++;
	if (lf && io->ibuf[blanks] != ':') io->head = (size_t)(lf + 1 - io->ibuf);
	return got;
}

static const struct reply *mda_message(struct deliver *d)
{
	struct io io = input(d);
	struct mda m = { .d = d, .header = { .line = mda_header, .ctx = &m } };
	struct data data = { .newline = NL_LOCAL, .lf = true, .sink = mda_take, .ctx = &m };
	uint32_t deadline = clock_deadline((unsigned)d->cf.session_timeout);
	enum io_result got;
	bool end;
	m.data = &data;
	d->delivery.outgoing.id = d->id;
	d->delivery.outgoing.eightbit = true;   /* who calls us does not say */
	delivery_begin(&d->delivery);
	got = skip_from_line(&io, deadline);
	for (;;) {
		data_feed(&data, io.ibuf + io.head, io.tail - io.head, &end);
		io.head = io.tail;
		if (got != IO_OK) break;
		got = io_fill(&io, deadline, true);
	}
	if (got != IO_END || io.failed) return REPLY(LOCAL_ERROR);      /* told to stop, too slow, or not readable */
	data_finish(&data);
	if (m.too_big) return REPLY(TOO_BIG);
	return delivery_commit(&d->delivery, data.lines);
}

static int mda(struct deliver *d, const char *sender, char **rcpts, size_t n)
{
	const struct reply *r = NULL;
	for (size_t i = 0; i < n && !r; i++) {
		struct path p;
		bool good = tools_parse(&d->cf, rcpts[i], &p) && *p.text;
		r = good ? place_recipient(&d->delivery, &d->expander, &(struct asked){ &p, sender, 0, &(struct dsn_rcpt){ 0 } }) : REPLY(BAD_RCPT);
	}
	if (!r) r = mda_message(d);
	delivery_end(&d->delivery);
	return mda_exit(r);
}

/* --- start --- */

static const char usage[] =
	"usage: maildir-deliver [-C file] [-o name=value]... --lmtp\n"
	"       maildir-deliver [-C file] [-o name=value]... [-f sender] -d recipient [-d recipient]... < message\n"
	"       maildir-deliver [-C file] [-o name=value]... --make user@domain\n"
	"       maildir-deliver [-C file] [-o name=value]... --where address...\n"
	"       maildir-deliver [-C file] [-o name=value]... --rebuild-aliases [file]...\n"
	"       newaliases [-C file] [-o name=value]... [file]...\n"
	"       maildir-deliver [--show-config | --version | --help]\n"
	"\n"
	"Delivers to Maildirs beneath mail_root and of the users of this host: as an LMTP server on standard input and output, or one message.\n"
	"See maildir-deliver(8) and smtp-handler.conf(5).\n";

struct options {
	bool lmtp, show, where, rebuild;
	const char *make, *sender;
	char **rcpts;           /* or addresses, or files */
	size_t count;
};

static int wrong_usage(void)
{
	fputs("maildir-deliver: wrong usage; see maildir-deliver --help\n", stderr);
	return EX_USAGE;
}

/* A link of that name does what administrators know it for.  */
static bool is_newaliases(const char *program)
{
	const char *slash = strrchr(program, '/');
	return strcmp(slash ? slash + 1 : program, "newaliases") == 0;
}

/* The options.  Returns -1 to go on, else the exit status.  */
static int options(struct options *o, struct config *cf, int argc, char **argv)
{
	enum { OPT_LMTP = OPT_OWN, OPT_MAKE, OPT_WHERE, OPT_REBUILD };
	static const struct option longs[] = {
		CONFIG_LONG, { "lmtp", no_argument, NULL, OPT_LMTP }, { "make", required_argument, NULL, OPT_MAKE },
		{ "where", no_argument, NULL, OPT_WHERE }, { "rebuild-aliases", no_argument, NULL, OPT_REBUILD }, { NULL, 0, NULL, 0 },
	};
	int opt;
	opterr = 0;
	o->sender = "";
	o->rebuild = argc > 0 && is_newaliases(argv[0]);
	o->rcpts = argv;        /* what was read of argv is free to hold them */
	while ((opt = getopt_long(argc, argv, CONFIG_SHORT "f:d:", longs, NULL)) != -1) {
		if (opt == OPT_VERSION) return puts("maildir-deliver " VERSION), EX_OK;
		if (opt == OPT_HELP) return fputs(usage, stdout), EX_OK;
		if (opt == OPT_SHOW_CONFIG) o->show = true;
		else if (opt == OPT_LMTP) o->lmtp = true;
		else if (opt == OPT_MAKE) o->make = optarg;
		else if (opt == OPT_WHERE) o->where = true;
		else if (opt == OPT_REBUILD) o->rebuild = true;
		else if (opt == 'f') o->sender = optarg;
		else if (opt == 'd') o->rcpts[o->count++] = optarg;
		else if (opt == '?' || !config_option(cf, opt, optarg)) return wrong_usage();
	}
	if (o->lmtp + (o->make != NULL) + (o->count > 0) + o->show + o->where + o->rebuild != 1) return wrong_usage();
	if ((o->where && optind == argc) || (!o->where && !o->rebuild && optind < argc)) return wrong_usage();
	if (o->where || o->rebuild) {
		o->rcpts = argv + optind;
		o->count = (size_t)(argc - optind);
	}
	return -1;
}

/* For smtp-handler we need no limits of our own: it keeps them, and when it ends in whatever way, we read end of file and leave nothing
 * behind.  So no signal that may come to all of its processes shall end us first.  (SIGPIPE and SIGXFSZ it ignores, and so do we.)  */
static void be_supervised(struct deliver *d, const char *id)
{
	sigset_t stop;
	strcpy(d->id, id);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGHUP);
	sigprocmask(SIG_BLOCK, &stop, NULL);
}

static void be_alone(struct deliver *d)
{
	peer_session_id(d->id);
	peer_find(d->peer);
	clock_signals();
	clock_stop_on(SIGINT);
	clock_stop_on(SIGHUP);
	clock_start((unsigned)(d->cf.command_timeout < d->cf.data_timeout ? d->cf.command_timeout : d->cf.data_timeout));
}

/* Who we are for the log; what we need no more is dropped.  */
static void settle_in(struct deliver *d)
{
	const char *id = getenv("SMTP_ID");
	d->supervised = id && strlen(id) < sizeof d->id && strspn(id, "0123456789abcdef") == strlen(id);
	if (d->supervised) be_supervised(d, id);
	else be_alone(d);
	owner_only();
}

static int bad_config(const struct deliver *d, const struct options *o)
{
	if (o->show || o->make || o->where || o->rebuild) return fprintf(stderr, "maildir-deliver: %s\n", d->cf.error), EX_CONFIG;
	log_line(LEVEL_ERROR, "%s", d->cf.error);
	if (o->lmtp) reply_write(1, REPLY(BAD_CONFIG));
	else fputs("4.3.5 bad configuration\n", stderr);
	return EX_TEMPFAIL;
}

/* The work, with what it needs around it: the monitor before the sandbox, the tables before the sandbox.  */
static int run(struct deliver *d, const struct options *o, const char *from)
{
	bool opened = resolver_open(&d->resolver, &d->cf, !o->make);
	if (o->make) return tools_make(&d->resolver, o->make);
	bool wanted = monitor_wanted(&d->cf, !o->lmtp);
	int monitor = wanted ? monitor_start(&d->cf) : -1;
	if (wanted && monitor < 0) return mda_exit(REPLY(LOCAL_ERROR));         /* without it no user is known, and none shall be refused for that */
	expander_init(&d->expander, &d->cf, &d->resolver, monitor);
	senders_init(&d->senders, &d->cf);
	delivery_init(&d->delivery, &d->cf, monitor, (size_t)d->cf.max_recipients + 2 * EXPAND_NODES);
	outgoing_open(&d->delivery.outgoing, &d->cf);
	d->expander.queue = d->delivery.outgoing.queue >= 0;
	d->expander.queue_broken = d->delivery.outgoing.error != 0;
	if (d->cf.sandbox && (opened || monitor >= 0)) sandbox_beneath(d->resolver.root, d->delivery.outgoing.queue);
	int status = EX_OK;
	d->expander.relay = o->where;   /* who asks is the administrator */
	if (o->where) status = tools_where(&d->expander, o->rcpts, o->count);
	else status = o->lmtp ? lmtp(d) : mda(d, from, o->rcpts, o->count);
	monitor_end(monitor, (unsigned)(d->cf.deliver_timeout / 8) + 1000);
	return status;
}

int main(int argc, char **argv)
{
	struct deliver *d = &deliver;
	struct options o = { 0 };
	char sender[256];
	int status = options(&o, &d->cf, argc, argv);
	if (status >= 0) return status;
	bool configured = config_load(&d->cf);
	if (o.show && configured) return config_show(&d->cf), EX_OK;
	if (o.rebuild && configured) return tools_rebuild(&d->cf, o.rcpts, o.count);
	settle_in(d);
	log_open("maildir-deliver", d->id, d->peer, o.lmtp ? LOG_LINES : LOG_STATUS);
	log_level((enum log_level)d->cf.log_level);
	if (!configured) return bad_config(d, &o);
	const char *from = tools_sender(sender, sizeof sender, o.sender);
	if (!from) return mda_exit(REPLY(BAD_SENDER_ARGUMENT));
	_exit(run(d, &o, from));        /* exit(3) would have nothing to do */
}
