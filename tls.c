/* smtp-tls: TLS on one side, plain text on the other.  The key is here, and neither a word of SMTP nor a file of mail.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "certificate.h"
#include "clock.h"
#include "config.h"
#include "identity.h"
#include "log.h"
#include "network.h"
#include "peer.h"
#include "proxy.h"
#include "serve.h"
#include "stream.h"
#include "systemd.h"
#include "to-server.h"
#include "walls.h"

/* What a handshake has found out, in words fit for a line or an environment: "-" for none.  */
struct found { char version[8], cipher[64], name[72], client[72]; };

static struct tls {
	struct config cf;
	char id[ID_SIZE], peer[PEER_SIZE];
	struct chooser chooser;
	struct stream stream;
	pid_t child;
	bool failed;            /* to raise the walls */
	bool serving;           /* the context was made before the connection came */
	SSL_CTX *context;
} tls;

static const char usage[] =
	"usage: smtp-tls [-C file] [-o name=value]... program [argument]...\n"
	"       smtp-tls [-C file] [-o name=value]... --starttls\n"
	"       smtp-tls [--show-config | --version | --help]\n"
	"\n"
	"The first form speaks TLS with the client on standard input and output, and executes the program with the\n"
	"plain text on its own; for port 465.  The second is started by smtp-handler, or by smtp-tls.socket.  (There is\n"
	"a third, --to-server, for smtp-client.)\n"
	"  -C file         read this configuration instead of " CONFIG_FILE "\n"
	"  -o name=value   override a setting\n"
	"  --show-config   print what is in force, and where each value came from\n"
	"See smtp-tls(8) and smtp-handler.conf(5).\n";

/* --- the handshake --- */

static void on_chosen(void *ctx)
{
	struct tls *t = ctx;
	t->failed = !walls_last(t->cf.sandbox, t->child);
}

/* Copy what a client has said of itself, if it is there.  */
static void word(char out[72], const char *s)
{
	size_t n = 0;
	for (; s && *s && n < 64; s++) out[n++] = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-", *s) ? *s : '?';
	if (n == 0) out[n++] = '-';
	out[n] = '\0';
}

/* The name in a certificate of the client that our authorities have signed: its common name.  */
static void client_name(const SSL *ssl, char out[72])
{
	char name[72] = "";
	X509 *x = SSL_get_verify_result(ssl) == X509_V_OK ? SSL_get1_peer_certificate(ssl) : NULL;
	if (x) X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof name);
	X509_free(x);
	word(out, name);
}

/* From the certificate to the end of the handshake.  `ready` is called in between.  */
static bool shake_hands(struct tls *t, SSL_CTX *ctx, struct found *f)
{
	enum { MOST = 60000 };
	unsigned long long limit = t->cf.command_timeout < MOST ? t->cf.command_timeout : MOST;
	bool late = false;
	t->stream.ssl = SSL_new(ctx);
	if (t->stream.ssl) SSL_set_accept_state(t->stream.ssl);
	bool good = t->stream.ssl && SSL_set_fd(t->stream.ssl, t->stream.raw) == 1 && stream_handshake(&t->stream, millis() + limit, &late) && !t->failed;
	if (!good) {
		log_line(t->failed ? LEVEL_ERROR : LEVEL_INFO, "TLS handshake failed: %s peer=%s", late ? "the client takes too long" : tls_reason(), t->peer);
		return false;
	}
	const char *version = SSL_get_version(t->stream.ssl);
	snprintf(f->version, sizeof f->version, "TLS%.4s", strncmp(version, "TLSv", 4) == 0 ? version + 4 : "?");
	snprintf(f->cipher, sizeof f->cipher, "%s", SSL_get_cipher_name(t->stream.ssl));
	word(f->name, t->chooser.name);
	client_name(t->stream.ssl, f->client);
	return true;
}

static SSL_CTX *prepare(struct tls *t)
{
	if (!walls_first()) return NULL;
	t->chooser = (struct chooser){ .cf = &t->cf, .chosen = on_chosen, .ctx = t };
	return certificate_context(&t->chooser);
}

static void begin_limits(struct tls *t)
{
	enum { GRACE = 60000 };
	t->stream.end = millis() + t->cf.session_timeout + GRACE;
	t->stream.patience = (unsigned)t->cf.command_timeout;
}

/* The key is of no use any more.  */
static void forget_key(struct tls *t, SSL_CTX *ctx)
{
	SSL_certs_clear(t->stream.ssl);
	SSL_CTX_free(ctx);
}

static void carry(struct tls *t)
{
	stream_run(&t->stream);
	log_line(LEVEL_DEBUG, "TLS connection ended peer=%s", t->peer);
}

/* --- STARTTLS --- */

/* "ID PEER", and with it the client's connection.  */
static bool take_order(struct tls *t)
{
	char text[128];
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof (int))]; } control;
	struct iovec text_is = { text, sizeof text - 1 };
	struct msghdr m = { .msg_iov = &text_is, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct timeval limit = { .tv_sec = 30 };
	struct stat st;
	setsockopt(0, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	ssize_t n = recvmsg(0, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof (int))) return false;
	memcpy(&t->stream.raw, CMSG_DATA(c), sizeof t->stream.raw);
	text[n] = '\0';
	char *space = strchr(text, ' '), *end = space ? strchr(space, '\n') : NULL;
	if (!end || end[1] || strlen(text) != (size_t)n || fstat(t->stream.raw, &st) != 0 || !S_ISSOCK(st.st_mode)) return false;
	*space++ = *end = '\0';
	if (strlen(text) >= ID_SIZE || text[strspn(text, "0123456789abcdef")]) return false;
	strcpy(t->id, text);
	return peer_parse(t->peer, space) || (strcmp(space, "local") == 0 && strcpy(t->peer, space));
}

/* The connection to the handler is descriptor 0; without a certificate it is closed, and the handler tells the client.  */
static int starttls(void *arg)
{
	struct tls *t = arg;
	struct found f;
	char line[256];
	if (!take_order(t)) {
		log_line(LEVEL_ERROR, "--starttls is for smtp-handler: it hands over the connection of a client");
		return EX_USAGE;
	}
	if (!t->context && !t->serving) t->context = prepare(t);
	if (!t->context) return EX_OK;
	begin_limits(t);
	t->stream.plain = 0;
	if (send(0, "R", 1, MSG_NOSIGNAL) != 1 || !shake_hands(t, t->context, &f)) return EX_OK;
	forget_key(t, t->context);
	signal(SIGTERM, SIG_IGN);       /* when the host goes down smtp-handler is told too, and has last words to say, by us */
	int n = snprintf(line, sizeof line, "%s %s %s %s\n", f.version, f.cipher, f.name, f.client);
	if (send(0, line, (size_t)n, MSG_NOSIGNAL) == n) carry(t);
	return EX_OK;
}

/* --starttls with a listening socket: be ready for one connection after the other.  */
static int serve_starttls(struct tls *t, char **argv)
{
	enum { IDLE = 30000 };
	struct certificate_files files;
	t->serving = true;
	t->context = prepare(t);
	if (t->context) certificate_warm(t->context, &t->chooser);
	certificate_files(&t->cf, &files);
	const char *const watched[] = { t->cf.file ? t->cf.file : CONFIG_FILE, (const char *)getauxval(AT_EXECFN), files.cert, files.key, *t->cf.tls_client_ca ? t->cf.tls_client_ca : "/", NULL };
	return serve(starttls, t, watched, t->context != NULL, IDLE, argv);
}

/* --- a program behind us --- */

static pid_t volatile child_pid;

static void pass_on(int sig) { if (child_pid > 0) kill(child_pid, sig); }

static void set(const char *name, const char *value)
{
	if (value && strcmp(value, "-") != 0) setenv(name, value, 1);
	else unsetenv(name);
}

/* The child: wait for the handshake, and be the program.  It was made before there was a key.  */
_Noreturn static void program(struct tls *t, char **argv, int plain, int news, bool session)
{
	struct found f;
	char pid[16], protocol[16];
	if (read(news, &f, sizeof f) != sizeof f) _exit(EX_OK);
	identity_drop();
	snprintf(protocol, sizeof protocol, "TLSv%.4s", f.version + 3);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	set("SSL_PROTOCOL", protocol);
	set("SSL_CIPHER", f.cipher);
	set("SSL_TLS_SNI_SERVERNAME", f.name);
	set("SSL_PEER", f.client);
	set("REMOTE_ADDR", strcmp(t->peer, "local") != 0 ? t->peer : NULL);
	set("TCPREMOTEIP", strcmp(t->peer, "local") != 0 ? t->peer : NULL);
	if (session) set("SYSTEMD_EXEC_PID", pid);      /* the invocation's id is that of this session */
	signal(SIGPIPE, SIG_DFL);
	if (dup2(plain, 0) == 0 && dup2(plain, 1) == 1) execvp(argv[0], argv);
	log_line(LEVEL_ERROR, "cannot execute %s: %s", argv[0], strerror(errno));
	_exit(EX_TEMPFAIL);
}

/* The header of a proxy comes before TLS, and not an octet behind it may be taken away.  */
static bool take_proxy(struct tls *t)
{
	enum { PATIENCE = 5000, AGAIN = 20 };
	char head[PROXY_MAX];
	struct proxied p;
	uint64_t end = millis() + PATIENCE;
	struct pollfd raw = { .fd = t->stream.raw, .events = POLLIN };
	for (size_t seen = 0; millis() < end;) {
		ssize_t n = poll(&raw, 1, PATIENCE) > 0 ? recv(t->stream.raw, head, sizeof head, MSG_PEEK) : 0;
		enum proxy_result got = n > 0 ? proxy_parse(head, (size_t)n, &p) : PROXY_BAD;
		if (got == PROXY_OK) {
			if (*p.peer) strcpy(t->peer, p.peer);
			return recv(t->stream.raw, head, p.used, 0) == (ssize_t)p.used;
		}
		if (got == PROXY_BAD || (size_t)n == sizeof head) break;
		if ((size_t)n == seen) poll(NULL, 0, AGAIN);    /* what is there stays, and is no news */
		seen = (size_t)n;
	}
	log_line(LEVEL_WARNING, "no proxy header from a proxy peer=%s", t->peer);
	return false;
}

/* End as the program did.  */
static int ended(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR) return EX_TEMPFAIL;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_TEMPFAIL;
}

static int chain(struct tls *t, char **argv, bool session)
{
	int plain[2], news[2];
	struct found f = { 0 };
	t->stream.raw = 0;
	if (*t->cf.proxy && networks_match(t->cf.proxy, t->peer) && !take_proxy(t)) return EX_OK;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain) != 0 || pipe2(news, O_CLOEXEC) != 0 || (t->child = fork()) < 0) {
		log_line(LEVEL_ERROR, "cannot start a program: %s", strerror(errno));
		return EX_TEMPFAIL;
	}
	if (t->child == 0) {
		close(plain[0]);
		close(news[1]);
		program(t, argv, plain[1], news[0], session);
	}
	close(plain[1]);
	close(news[0]);
	close(1);               /* the client would wait for its close */
	t->stream.plain = plain[0];
	child_pid = t->child;
	signal(SIGTERM, pass_on);
	SSL_CTX *ctx = prepare(t);
	if (!ctx) return EX_TEMPFAIL;
	begin_limits(t);
	if (!shake_hands(t, ctx, &f)) return EX_OK;
	forget_key(t, ctx);
	if (write(news[1], &f, sizeof f) != sizeof f) return EX_TEMPFAIL;
	close(news[1]);
	carry(t);
	close(plain[0]);
	return ended(t->child);
}

/* --- start --- */

/* Returns -1 to go on, else the exit status.  */
static int options(struct config *cf, int argc, char **argv, bool *order)
{
	enum { OPT_STARTTLS = OPT_OWN };
	static const struct option longs[] = { CONFIG_LONG, { "starttls", no_argument, NULL, OPT_STARTTLS }, { NULL, 0, NULL, 0 } };
	int opt;
	bool show = false;
	while ((opt = getopt_long(argc, argv, CONFIG_SHORT, longs, NULL)) != -1) {
		if (opt == OPT_VERSION) return puts("smtp-tls " VERSION), EX_OK;
		if (opt == OPT_HELP) return fputs(usage, stdout), EX_OK;
		if (opt == OPT_SHOW_CONFIG) show = true;
		else if (opt == OPT_STARTTLS) *order = true;
		else if (opt == '?' || !config_option(cf, opt, optarg)) return EX_USAGE;
	}
	if (show) {
		if (config_load(cf)) return config_show(cf), EX_OK;
		fprintf(stderr, "smtp-tls: %s\n", cf->error);
		return EX_CONFIG;
	}
	if (*order == (optind < argc)) return fprintf(stderr, "smtp-tls: expected --starttls or a program; see smtp-tls --help\n"), EX_USAGE;
	return -1;
}

int main(int argc, char **argv)
{
	struct tls *t = &tls;
	bool order = false;
	if (argc > 1 && strcmp(argv[1], "--to-server") == 0) return tls_to_server(argc - 2, argv + 2);
	int status = options(&t->cf, argc, argv, &order), passed = status < 0 && !order ? systemd_connection() : -1;
	if (status >= 0) return status;
	if (passed >= 0 && (dup2(passed, 0) != 0 || dup2(passed, 1) != 1 || close(passed) != 0)) return EX_TEMPFAIL;
	const char *invocation = getenv("INVOCATION_ID");
	peer_find(t->peer);
	peer_session_id(t->id);
	bool session = invocation && strcmp(invocation, t->id) == 0;
	if (!session) *t->id = '\0';    /* the program's will be another one */
	log_open("smtp-tls", t->id, t->peer, LOG_LINES);
	bool configured = config_load(&t->cf);
	log_level((enum log_level)t->cf.log_level);
	if (!configured) {
		log_line(LEVEL_ERROR, "bad configuration: %s", t->cf.error);
		return EX_CONFIG;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	if (order && serve_passed()) return serve_starttls(t, argv);
	return order ? starttls(t) : chain(t, argv + optind, session);
}
