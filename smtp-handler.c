/* smtp-handler: one SMTP connection on descriptors 0 and 1, for whatever supervisor started us.  Parses, applies policy, adds the trace
 * header, and passes the message on to the next hop by LMTP while it arrives; it opens no mailbox, looks no user up, holds no key.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "complete.h"
#include "config.h"
#include "identity.h"
#include "keeper.h"
#include "known.h"
#include "lmtp.h"
#include "log.h"
#include "login.h"
#include "network.h"
#include "peer.h"
#include "session.h"
#include "systemd.h"
#include "trace.h"

enum { INPUT = 65536, OUTPUT = 16384, PAGE = 4096 };

/* All of the program's state.  Static: the speaker can allocate nothing.  A page that is not touched costs nothing, so what every session
 * writes to lies together in front, and the buffers, of which most use the beginning alone, behind.  */
static struct handler {
	_Alignas(PAGE) bool connected;         /* the keeper has a connection for us */
	bool unreachable;       /* not in this transaction: do not try again for each recipient */
	time_t date;            /* when the transaction began */
	char peer[PEER_SIZE], id[ID_SIZE];
	struct session session;
	_Alignas(PAGE) struct config cf;
	struct hop hop;
	struct complete complete;
	char completed[TRACE_DATE + DOMAIN_MAX + ID_SIZE + 32];         /* what it may have to add */
	struct login login;
	char output[OUTPUT], input[INPUT];
} handler;

/* --- the backend of the dialogue: the next hop --- */

/* The next hop is of no use any more: say why in the log, and have the keeper end it.  */
static void drop_hop(struct session *s)
{
	struct handler *h = s->ctx;
	struct event e = { .kind = EVENT_HOP_FAILED };
	if (h->hop.why) {
		snprintf(e.reply, sizeof e.reply, "%s", h->hop.why);
		keeper_tell(&e);
	}
	keeper_drop_hop();
	h->connected = false;
}

static bool connect_hop(struct session *s)
{
	struct handler *h = s->ctx;
	bool ours;
	int fd = keeper_ask_hop(&h->date, &ours);
	h->connected = fd >= 0;
	if (fd < 0) return false;
	if (!hop_open(&h->hop, fd, ours ? HOP_OURS : HOP_LMTP, (unsigned)s->cf->deliver_timeout, s->io.end, s->cf->hostname)) {
		drop_hop(s);
		return false;
	}
	hop_forward(&h->hop, s->peer, s->id);
	s->rcpt_max = !h->hop.all_or_nothing ? 1 : h->hop.rcpt_max ? h->hop.rcpt_max : (unsigned)s->cf->max_recipients;     /* so that one reply is true for all */
	return true;
}

/* Who may send to other hosts: a user, and the networks that are named.  */
static bool may_relay(const struct session *s) { return *s->user || networks_match(s->cf->relay_from, s->peer); }

/* What the sender said goes to the next hop with the first recipient.  */
static const struct reply *begin_transaction(struct session *s)
{
	struct handler *h = s->ctx;
	if (h->unreachable) return REPLY(LOCAL_ERROR);
	if (h->hop.open) {
		h->date = keeper_ask_time();
		if (!h->date) return REPLY(LOCAL_ERROR);
	} else if (!connect_hop(s)) {
		h->unreachable = true;
		return REPLY(LOCAL_ERROR);
	}
	if (s->tx.smtputf8 && !h->hop.smtputf8) return REPLY(NO_SMTPUTF8);
	if (s->cf->sender_check && *s->user && !h->hop.auth) return REPLY(MISCONFIGURED);       /* it could not check */
	hop_mail(&h->hop, &(struct hop_mail){ s->tx.from.text, s->tx.declared, s->tx.smtputf8, s->tx.eightbit, s->user, &s->tx.dsn, may_relay(s) });
	return NULL;
}

static const struct reply *handler_settle(struct session *s)
{
	struct handler *h = s->ctx;
	const struct reply *r = hop_settle(&h->hop);
	return r->code != 551 ? r : may_relay(s) ? REPLY(NO_QUEUE) : REPLY(RELAY_DENIED);
}

static const struct reply *handler_rcpt(struct session *s, const struct path *rcpt)
{
	struct handler *h = s->ctx;
	const struct reply *r = h->connected && h->hop.began ? NULL : begin_transaction(s);
	if (r) return r;
	if (!h->hop.open) return REPLY(LOCAL_ERROR);
	hop_rcpt(&h->hop, rcpt->text, &s->dsn);
	return h->hop.pipelining ? NULL : handler_settle(s);
}

static void to_hop(void *ctx, const char *p, size_t n) { hop_write(ctx, p, n); }

/* What is added to the header of a submitted message, where it has none of that.  */
static void begin_completion(struct handler *h, const char *id)
{
	char *date = h->completed, *message_id = h->completed + TRACE_DATE;
	trace_date(date, h->date);
	snprintf(message_id, sizeof h->completed - TRACE_DATE, "<%s@%s>", id, h->cf.hostname);
	h->complete = (struct complete){ .write = to_hop, .ctx = &h->hop, .date = date, .id = message_id };
}

static const struct reply *handler_begin(struct session *s)
{
	struct handler *h = s->ctx;
	char id[ID_SIZE + 16], with[16], header[TRACE_RECEIVED];
	const struct reply *r = hop_begin(&h->hop);
	if (r) return r;
	snprintf(id, sizeof id, "%s.%u", s->id, s->messages);
	/* RFC 3848, RFC 6531 */
	snprintf(with, sizeof with, "%s%s%s", s->tx.smtputf8 ? "UTF8SMTP" : s->extended ? "ESMTP" : "SMTP", s->extended && s->secure ? "S" : "",
		s->extended && *s->user && h->cf.profile != PROFILE_LOCAL ? "A" : "");
	struct received received = { .helo = s->helo, .peer = s->peer, .hostname = s->cf->hostname, .id = id, .date = h->date, .with = with, .tls = s->tls,
		.rcpt = s->tx.accepted == 1 ? s->tx.first_rcpt : NULL };
	hop_write(&h->hop, header, trace_received(header, &received));
	if (s->cf->add_headers) begin_completion(h, id);
	return NULL;
}

static void handler_write(struct session *s, const char *p, size_t n)
{
	struct handler *h = s->ctx;
	if (s->cf->add_headers) complete_feed(&h->complete, p, n);
	else hop_write(&h->hop, p, n);
}

static const struct reply *handler_commit(struct session *s)
{
	struct handler *h = s->ctx;
	if (s->cf->add_headers) complete_finish(&h->complete);
	const struct reply *r = hop_commit(&h->hop);
	if (r->code / 100 != 2) return r;
	snprintf(s->text, sizeof s->text, "Ok, stored with id %s.%u", s->id, s->messages);
	return made_reply(s, 250, "2.0.0");
}

static void handler_abandon(struct session *s)
{
	struct handler *h = s->ctx;
	if (!s->closing) hop_abandon(&h->hop);  /* else the keeper will close the connection, and that ends everything */
	h->unreachable = false;
	if (h->connected && !h->hop.open) drop_hop(s);
}

#ifdef SPEAKER_HOOK
void speaker_hook(const char *what);
#endif

static const struct reply *handler_verify(struct session *s, const char *what, bool list)
{
	struct handler *h = s->ctx;
	char line[COMMAND_MAX];
#ifdef SPEAKER_HOOK
	speaker_hook(what);     /* tests/speaker-hook.c: try what the sandbox forbids */
#endif
	/* a hop that broke in mid-transaction is not reached anew before that is over: its recipients were the old one's */
	if (!h->hop.open && (h->hop.began || !connect_hop(s))) return REPLY(LOCAL_ERROR);
	bool ascii = true;
	for (const char *c = what; *c; c++) ascii &= (unsigned char)*c < 0x80;
	if (!ascii && !h->hop.smtputf8) return REPLY(NO_SMTPUTF8);
	h->hop.utf8 = s->verify_utf8 && h->hop.smtputf8;
	snprintf(line, sizeof line, "%s %.4000s%s", list ? "EXPN" : "VRFY", what, h->hop.utf8 ? " SMTPUTF8" : "");
	const struct reply *r = hop_command(&h->hop, line);
	h->hop.utf8 = false;
	return r;
}

static void handler_tell(struct session *s, const struct event *e)
{
	(void)s;
	keeper_tell(e);
}

/* smtp-tls says in one octet that it has its certificate.  */
static bool handler_tls_ready(struct session *s)
{
	struct handler *h = s->ctx;
	char ready = '\0';
	int fd = keeper_ask_tls();
	if (fd < 0) return false;
	struct io io = { .in = fd, .out = fd, .ibuf = &ready, .isize = 1, .end = s->io.end };
	return io_fill(&io, clock_deadline((unsigned)h->cf.command_timeout), false) == IO_OK && ready == 'R';
}

static bool handler_tls_switch(struct session *s)
{
	(void)s;
	return keeper_switch();
}

/* The next hop was told of another peer, so it is not used again.  */
static void handler_about(struct session *s)
{
	struct handler *h = s->ctx;
	struct about about = { 0 };
	snprintf(about.peer, sizeof about.peer, "%s", s->peer);
	snprintf(about.user, sizeof about.user, "%s", s->user);
	snprintf(about.tls, sizeof about.tls, "%s", s->tls);
	keeper_about(&about);
	if (h->connected) keeper_drop_hop();
	h->connected = h->hop.open = false;
}

static const char *handler_mechanisms(struct session *s) { return login_mechanisms(&((struct handler *)s->ctx)->login, s); }

static const struct reply *handler_login(struct session *s, const char *mechanism, char *initial)
{
	return login_run(&((struct handler *)s->ctx)->login, s, mechanism, initial);
}

static const struct backend backend = {
	.rcpt = handler_rcpt, .settle = handler_settle, .begin = handler_begin, .write = handler_write, .commit = handler_commit,
	.abandon = handler_abandon, .verify = handler_verify, .tell = handler_tell, .tls_ready = handler_tls_ready, .tls_switch = handler_tls_switch,
	.mechanisms = handler_mechanisms, .login = handler_login, .about = handler_about,
};

/* The speaker's work.  */
static bool speak(void *ctx)
{
	struct handler *h = ctx;
	session_run(&h->session);
	if (h->connected && h->hop.open && !h->hop.began && !h->hop.all_or_nothing) {   /* a stranger is told goodbye; ours understands silence */
		io_puts(&h->hop.io, "QUIT\r\n");
		io_flush(&h->hop.io);
	}
	return !h->session.hung_up;
}

/* --- start --- */

static const char usage[] =
	"usage: smtp-handler [-C file] [-o name=value]... [--show-config | --version | --help]\n"
	"\n"
	"Speaks SMTP on standard input and output, one connection, and delivers through maildir-deliver.\n"
	"A supervisor starts it (systemd, inetd, tcpserver); or pipe a transcript into it.\n"
	"  -C file         read this configuration instead of " CONFIG_FILE "\n"
	"  -o name=value   override a setting\n"
	"  --show-config   print what is in force, and where each value came from\n"
	"See smtp-handler(8) and smtp-handler.conf(5).\n";

/* Bring the connection to descriptors 0 and 1, and let nothing else through to us or to the programs we start.  */
static bool take_connection(void)
{
	int passed = systemd_connection();
	bool good = passed != -2 && (passed < 0 || (dup2(passed, 0) == 0 && dup2(passed, 1) == 1));
	for (int fd = 0; fd <= 1; fd++) {
		int flags = fcntl(fd, F_GETFL);
		if (flags < 0 && open("/dev/null", O_RDWR) != fd) return false;
		/* the speaker cannot wait for a descriptor that does not wait */
		if (flags >= 0 && flags & O_NONBLOCK) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	}
	return (syscall(SYS_close_range, 3, ~0U, 0) == 0 || errno == ENOSYS) && good;
}

static int wrong_usage(const char *what)
{
	char text[256], peer[PEER_SIZE];
	if (!take_connection() || !peer_find(peer)) {   /* descriptor 0 is no socket: a person at a shell */
		fprintf(stderr, "smtp-handler: wrong usage: %s; see smtp-handler --help\n", log_escape(text, sizeof text, what));
		return EX_USAGE;
	}
	reply_write(1, REPLY(BAD_CONFIG));
	log_open("smtp-handler", "", peer, LOG_LINES);
	log_line(LEVEL_ERROR, "wrong usage: %s; see smtp-handler --help", log_escape(text, sizeof text, what));
	return EX_USAGE;
}

/* The options.  Returns -1 to go on, else the exit status.  */
static int options(struct config *cf, int argc, char **argv)
{
	static const struct option longs[] = { CONFIG_LONG, { NULL, 0, NULL, 0 } };
	int opt;
	bool show = false;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, CONFIG_SHORT, longs, NULL)) != -1) {
		if (opt == OPT_VERSION) return puts("smtp-handler " VERSION), EX_OK;
		if (opt == OPT_HELP) return fputs(usage, stdout), EX_OK;
		if (opt == OPT_SHOW_CONFIG) show = true;
		else if (opt == '?' || !config_option(cf, opt, optarg)) return wrong_usage(argv[optind > argc ? argc - 1 : optind - 1]);  /* musl goes past a missing argument */
	}
	if (optind < argc) return wrong_usage(argv[optind]);
	if (!show) return -1;
	if (config_load(cf)) return config_show(cf), EX_OK;
	fprintf(stderr, "smtp-handler: %s\n", cf->error);
	return EX_CONFIG;
}

/* Field by field: the session is zero by now, and to write all of it would touch pages that most connections never need.  */
static void prepare(struct handler *h, bool is_socket)
{
	struct session *s = &h->session;
	bool network = is_socket || strcmp(h->peer, "local") != 0;      /* a TLS program may hand the network on by a pipe */
	bool program = !config_scheme(h->cf.deliver, "unix:") && !config_scheme(h->cf.deliver, "tcp:");
	s->cf = &h->cf;
	s->backend = &backend;
	s->ctx = h;
	s->peer = h->peer;
	s->id = h->id;
	s->size_max = h->cf.max_size;
	s->offers_dsn = *h->cf.queue_dir && access(h->cf.queue_dir, F_OK) == 0;
	s->rcpt_max = program ? (unsigned)h->cf.max_recipients : 0;
	s->io = (struct io){ .in = 0, .out = 1, .ibuf = h->input, .isize = sizeof h->input, .obuf = h->output, .osize = sizeof h->output,
		.strict = h->cf.strict || network };
}

/* Whom the speaker becomes, when we are root; nobody stands in for the default user on a host that was never set up.  */
static bool find_speaker(const struct config *cf, uid_t *uid, gid_t *gid)
{
	enum { NOBODY = 65534 };
	if (getauxval(AT_EUID) != 0) return true;       /* asks the kernel nothing */
	const struct passwd *pw = identity_local(cf->run_as);
	if (!pw && strcmp(cf->run_as, "smtp-handler") != 0) log_line(LEVEL_ERROR, "run_as: there is no user %.100s", cf->run_as);
	if (pw && pw->pw_uid == 0) log_line(LEVEL_ERROR, "run_as: root is what it is there to avoid");
	*uid = pw ? pw->pw_uid : NOBODY;
	*gid = pw ? pw->pw_gid : NOBODY;
	return pw ? pw->pw_uid != 0 : strcmp(cf->run_as, "smtp-handler") == 0;
}

int main(int argc, char **argv)
{
	struct handler *h = &handler;
	int status = options(&h->cf, argc, argv);
	if (status >= 0) return status;
	h->login.process = (unsigned)gettid();
	bool connected = take_connection(), is_socket = peer_find(h->peer);
	peer_session_id(h->id);
	log_open("smtp-handler", h->id, h->peer, LOG_FIELDS);
	bool configured = config_load(&h->cf);
	log_level((enum log_level)h->cf.log_level);
	if (!configured) {
		struct event e = { .kind = EVENT_BAD_CONFIG };
		snprintf(e.reply, sizeof e.reply, "%.500s", h->cf.error);
		log_event(&e);
		reply_write(1, REPLY(BAD_CONFIG));
		return EX_CONFIG;
	}
	if (!connected) {
		log_line(LEVEL_ERROR, "no connection to serve: descriptors 0 and 1, or one passed by systemd (Accept=yes)");
		return EX_TEMPFAIL;
	}
	struct keeper keeper = { .cf = &h->cf, .id = h->id, .peer = h->peer, .speak = speak, .ctx = h };
	if (!find_speaker(&h->cf, &keeper.uid, &keeper.gid)) return reply_write(1, REPLY(BAD_CONFIG)), EX_CONFIG;
	prepare(h, is_socket);
	const char *unknown = known_peer(&h->session);
	if (unknown) {
		log_line(LEVEL_ERROR, "%s", unknown);
		reply_write(1, REPLY(CANNOT_SERVE));
		return EX_TEMPFAIL;
	}
	_exit(keeper_run(&keeper));     /* nothing was left to do for exit(3) */
}
