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
#include "resolve.h"
#include "sandbox.h"
#include "session.h"
#include "verify.h"

enum { INPUT = 65536, OUTPUT = 16384, PAGE = 4096, TRACE_ROOM = 8192 };

/* All of the program's state; what every session writes to lies together.  */
static struct deliver {
	_Alignas(PAGE) uint64_t started;       /* milliseconds: the dialogue, then each message */
	bool supervised;        /* smtp-handler started us: it keeps the time limits, and logs what became of a message */
	char peer[PEER_SIZE], id[ID_SIZE];
	struct resolver resolver;
	struct session session;
	_Alignas(PAGE) struct config cf;
	struct delivery delivery;
	char output[OUTPUT], input[INPUT];
	char answer[VERIFY_ROOM];
	struct expander expander;
} deliver;

/* --- LMTP: the backend of the dialogue --- */

static bool is_external(const struct node *n) { return n->kind == NODE_AGENT || n->kind == NODE_PROGRAM || n->kind == NODE_FILE; }

/* A program's or a file's part.  */
static const struct reply *place_external(struct deliver *d, struct node *n, const char *rcpt, const char *sender)
{
	struct external e = { .owner = n->user ? -1 : n->fd, .agent = n->agent };
	struct job *j = &e.job;
	j->kind = n->kind == NODE_AGENT ? JOB_AGENT : n->kind == NODE_PROGRAM ? JOB_PROGRAM : JOB_FILE;
	snprintf(j->command, sizeof j->command, "%s", n->kind == NODE_AGENT ? "" : n->text);
	snprintf(j->user, sizeof j->user, "%s", n->user ? n->local : "");
	snprintf(j->rcpt, sizeof j->rcpt, "%.254s", n->kind == NODE_AGENT && n != d->expander.node ? n->text : rcpt);
	snprintf(j->sender, sizeof j->sender, "%s", sender);
	snprintf(j->local, sizeof j->local, "%s", n->local);
	snprintf(j->domain, sizeof j->domain, "%s", n->domain);
	snprintf(j->detail, sizeof j->detail, "%s", n->detail);
	if (n->user) close(n->fd);
	n->fd = n->agent = -1;
	return delivery_add_job(&d->delivery, &e);
}

/* One of the places that an address leads to.  */
static const struct reply *place(struct deliver *d, struct node *n, const char *rcpt, const char *from, uint64_t size)
{
	char sender[PATH_MAX_LEN + 1];
	int fd = n->fd;
	struct addressee a = { rcpt, n == d->expander.node ? rcpt : n->text, expand_sender(&d->expander, n, from, sender), n->detail, size };
	if (is_external(n)) return place_external(d, n, rcpt, a.sender);
	if (n->kind != NODE_BOX && n->kind != NODE_USER) return NULL;
	n->fd = -1;
	return n->kind == NODE_BOX ? delivery_add(&d->delivery, fd, &a) : delivery_add_user(&d->delivery, n->local, fd, &a);
}

/* A recipient: all that it leads to, or the refusal and nothing.  */
static const struct reply *add_recipient(struct deliver *d, const struct path *rcpt, const char *from, uint64_t size)
{
	struct expander *x = &d->expander;
	struct delivery_mark mark = delivery_mark(&d->delivery);
	const struct reply *r = expand(x, rcpt);
	bool external = mark.jobs > 0;
	for (size_t i = 0; !r && i < x->count; i++) external |= is_external(&x->node[i]);
	if (!r && external && mark.named > 0) r = REPLY(ALONE);
	for (size_t i = 0; !r && i < x->count; i++) r = place(d, &x->node[i], rcpt->text, from, size);
	if (r) delivery_rollback(&d->delivery, mark);
	expand_done(x);
	return r;
}

static const struct reply *deliver_rcpt(struct session *s, const struct path *rcpt)
{
	const struct reply *r = add_recipient(s->ctx, rcpt, s->tx.from.text, s->tx.declared);
	return r ? r : REPLY(RCPT_OK);
}

static const struct reply *deliver_begin(struct session *s)
{
	struct deliver *d = s->ctx;
	d->started = millis();
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

/* "user", "user@domain" or "<user@domain>"; a bare name is one of this host.  */
static bool parse_loosely(const struct config *cf, const char *text, struct path *p)
{
	char line[COMMAND_MAX], *s = line;
	snprintf(line, sizeof line, "%s", text);
	if (*text == '<') return path_parse(p, &s) && *s == '\0';
	if (mailbox_parse(p, text)) return true;
	snprintf(line, sizeof line, "%.256s@%s", text, cf->hostname);
	return !strchr(text, '@') && mailbox_parse(p, line);
}

static const struct reply *deliver_verify(struct session *s, const char *what, bool list)
{
	struct deliver *d = s->ctx;
	struct path p;
	if (!parse_loosely(&d->cf, what, &p) || !*p.text) return REPLY(BAD_RCPT);
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
	.lmtp = true, .forwarded = deliver_forwarded, .rcpt = deliver_rcpt, .begin = deliver_begin, .write = deliver_write, .header = deliver_header,
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
		r = parse_loosely(&d->cf, rcpts[i], &p) && *p.text ? add_recipient(d, &p, sender, 0) : REPLY(BAD_RCPT);
	}
	if (!r) r = mda_message(d);
	delivery_end(&d->delivery);
	return mda_exit(r);
}

/* --make USER@DOMAIN */
static int make(struct deliver *d, const char *address)
{
	struct path p;
	char local[NAME_LOCAL + 1], domain[DOMAIN_MAX + 1];
	if (!mailbox_parse(&p, address) || !*p.domain) {
		fprintf(stderr, "maildir-deliver: %s: not a mailbox address\n", address);
		return EX_USAGE;
	}
	bool named = names_local(local, p.local) && names_domain(domain, p.domain) && !strpbrk(local, d->cf.detail_separator);
	int e = d->resolver.root < 0 ? ENOENT : !named ? EINVAL : resolver_make(&d->resolver, domain, local);
	if (e) fprintf(stderr, "maildir-deliver: cannot make %s: %s\n", address, strerror(e));
	return e == 0 ? EX_OK : e == EINVAL ? EX_USAGE : EX_TEMPFAIL;
}

/* --where ADDRESS...: what would become of mail for each.  */
static int where(struct deliver *d, char **addresses, size_t n)
{
	int status = EX_OK;
	for (size_t i = 0; i < n; i++) {
		struct path p;
		bool good = parse_loosely(&d->cf, addresses[i], &p) && *p.text;
		if (!good) printf("%s: not a mailbox address\n", addresses[i]);
		else good = where_print(&d->expander, &p);
		expand_done(&d->expander);
		if (!good) status = EX_NOUSER;
	}
	return fflush(stdout) == 0 ? status : EX_IOERR;
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
	"Delivers to Maildirs beneath mail_root: as an LMTP server on standard input and output, or one message.\n"
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

/* -f: an address with or without brackets; Postfix says MAILER-DAEMON for none.  NULL if it would break its header.  */
static const char *clean_sender(char *out, size_t size, const char *s)
{
	size_t n = strlen(s);
	if (n >= 2 && s[0] == '<' && s[n - 1] == '>') {
		s++;
		n -= 2;
	}
	if (n >= size) return NULL;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f) return NULL;
	snprintf(out, size, "%.*s", (int)n, s);
	if (strcmp(out, "MAILER-DAEMON") == 0) *out = '\0';
	return out;
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

/* --rebuild-aliases, and what newaliases(1) is for: compile the files, or that of the setting.  */
static int rebuild(const struct config *cf, char **files, size_t n)
{
	int status = EX_OK;
	if (n == 0) return alias_compile(*cf->aliases ? cf->aliases : "/etc/aliases");
	for (size_t i = 0; i < n; i++) {
		int one = alias_compile(files[i]);
		if (one != EX_OK) status = one;
	}
	return status;
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
	if (o->make) return make(d, o->make);
	bool wanted = monitor_wanted(&d->cf, !o->lmtp);
	int monitor = wanted ? monitor_start(&d->cf) : -1;
	if (wanted && monitor < 0) return mda_exit(REPLY(LOCAL_ERROR));         /* without it no user is known, and none shall be refused for that */
	expander_init(&d->expander, &d->cf, &d->resolver, monitor);
	if (d->cf.sandbox && (opened || monitor >= 0)) sandbox_beneath(d->resolver.root);
	int status = EX_OK;
	delivery_init(&d->delivery, &d->cf, monitor, d->cf.max_recipients + 2 * EXPAND_NODES);
	if (o->where) status = where(d, o->rcpts, o->count);
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
	if (o.rebuild && configured) return rebuild(&d->cf, o.rcpts, o.count);
	settle_in(d);
	log_open("maildir-deliver", d->id, d->peer, o.lmtp ? LOG_LINES : LOG_STATUS);
	log_level((enum log_level)d->cf.log_level);
	if (!configured) return bad_config(d, &o);
	const char *from = clean_sender(sender, sizeof sender, o.sender);
	if (!from) return mda_exit(REPLY(BAD_SENDER_ARGUMENT));
	_exit(run(d, &o, from));        /* exit(3) would have nothing to do */
}
