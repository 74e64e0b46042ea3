/* The process that speaks TLS.  Of the authorities of the system it knows none at first, for to read them all costs twenty times a handshake; and to look for one when its
 * name is known it would have to open files, with the server's certificate already in its memory.  So it asks its parent, which has seen nothing of the server's, for the
 * certificates of a name by the hash of that, 32 bits, which is how the system's folder names the files.
 * SPDX-License-Identifier: MIT */
#include "secure.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "sandbox.h"
#include "stream.h"

enum {
	AUTHORITIES = 65536,    /* octets of certificates of one name */
	CHAIN = 10,             /* certificates of a server that are looked at */
	SAME_HASH = 10,         /* files for one hash */
	GRACE = 2000,           /* milliseconds for a process to tell that its time is over, or to end */
	SESSION = 3600 * 1000, PATIENCE = 600 * 1000,
};

/* From the child: a question, or the last word.  */
struct message { bool done, good; uint32_t hash; struct secured s; };

struct job {
	const char *host, *ca;
	bool verify, sandbox, ask;
	unsigned ms;
	int news;
	SSL_CTX *ctx;
	struct stream stream;
	struct message m;
};

/* --- the child --- */

/* A host name, without the dot at the end that makes it absolute.  */
static void bare_name(char out[256], const char *host)
{
	int n = snprintf(out, 256, "%s", host);
	if (n > 1 && n < 256 && out[n - 1] == '.') out[n - 1] = '\0';
}

static bool is_address(const char *host)
{
	unsigned char any[16];
	return inet_pton(AF_INET, host, any) == 1 || inet_pton(AF_INET6, host, any) == 1;
}

/* Add the authorities with the name of the issuer of `x`.  */
static void ask_for(struct job *j, X509_STORE *store, X509 *x)
{
	static char text[AUTHORITIES];
	j->m.hash = (uint32_t)X509_NAME_hash_ex(X509_get_issuer_name(x), NULL, NULL, NULL);
	ssize_t n = send(j->news, &j->m, sizeof j->m, MSG_NOSIGNAL) == sizeof j->m ? recv(j->news, text, sizeof text, 0) : -1;
	BIO *bio = n > 0 ? BIO_new_mem_buf(text, (int)n) : NULL;
	for (X509 *root; bio && (root = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)); X509_free(root)) X509_STORE_add_cert(store, root);
	BIO_free(bio);
	ERR_clear_error();
}

/* OpenSSL has the server's certificates.  A key that is too weak to be trusted is good enough to go on without trust.  */
static int on_chain(X509_STORE_CTX *x, void *arg)
{
	enum { LEVEL = 2 };
	struct job *j = arg;
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(x);
	for (int i = 0; j->ask && i < sk_X509_num(sent) && i < CHAIN; i++) ask_for(j, X509_STORE_CTX_get0_store(x), sk_X509_value(sent, i));
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(x), LEVEL);
	int good = X509_verify_cert(x);
	if (good < 0 && X509_STORE_CTX_get_error(x) == X509_V_OK) X509_STORE_CTX_set_error(x, X509_V_ERR_UNSPECIFIED);
	return good == 1;
}

/* The folder of authorities, or false if none is made for looking up by hash.  */
static bool is_hashed(const char *dir)
{
	bool found = false;
	DIR *d = opendir(dir);
	for (struct dirent *e; d && !found && (e = readdir(d));) found = strspn(e->d_name, "0123456789abcdef") == 8 && strcmp(e->d_name + 8, ".0") == 0;
	if (d) closedir(d);
	return found;
}

static const char *authorities_folder(void)
{
	const char *dir = getenv(X509_get_default_cert_dir_env());
	return dir ? dir : X509_get_default_cert_dir();
}

static bool load_authorities(struct job *j)
{
	const char *file = *j->ca ? j->ca : getenv(X509_get_default_cert_file_env());
	j->ask = !*j->ca;
	if (!file && !is_hashed(authorities_folder())) file = X509_get_default_cert_file();
	if (!file || SSL_CTX_load_verify_file(j->ctx, file) == 1 || !*j->ca) return true;
	unsigned long e = ERR_peek_error();
	snprintf(j->m.s.why, sizeof j->m.s.why, "%.120s: %s", file, ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : tls_reason());
	return false;
}

static bool prepare(struct job *j)
{
	char name[256];
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
	j->ctx = SSL_CTX_new(TLS_client_method());
	if (!j->ctx) return false;
	SSL_CTX_set_min_proto_version(j->ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(j->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(j->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_cipher_list(j->ctx, j->verify ? "DEFAULT:!aNULL:@SECLEVEL=2" : "DEFAULT:!aNULL:@SECLEVEL=1");
	SSL_CTX_set_verify(j->ctx, j->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_cert_verify_callback(j->ctx, on_chain, j);
	if (!load_authorities(j) || !(j->stream.ssl = SSL_new(j->ctx)) || SSL_set_fd(j->stream.ssl, j->stream.raw) != 1) return false;
	X509_VERIFY_PARAM *p = SSL_get0_param(j->stream.ssl);
	bare_name(name, j->host);
	X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (is_address(name) ? X509_VERIFY_PARAM_set1_ip_asc(p, name) != 1 : X509_VERIFY_PARAM_set1_host(p, name, 0) != 1 || SSL_set_tlsext_host_name(j->stream.ssl, name) != 1)
		return false;
	SSL_set_connect_state(j->stream.ssl);
	return true;
}

static void name_of(char *out, size_t size, const X509_NAME *name)
{
	char text[256] = "";
	BIO *bio = BIO_new(BIO_s_mem());
	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
		int n = BIO_read(bio, text, sizeof text - 1);
		text[n > 0 ? n : 0] = '\0';
	}
	BIO_free(bio);
	log_escape(out, size, text);
}

static void describe(struct job *j)
{
	struct secured *s = &j->m.s;
	struct tm tm;
	const char *version = SSL_get_version(j->stream.ssl);
	long result = SSL_get_verify_result(j->stream.ssl);
	X509 *x = SSL_get1_peer_certificate(j->stream.ssl);
	snprintf(s->version, sizeof s->version, "TLS%.4s", strncmp(version, "TLSv", 4) == 0 ? version + 4 : "?");
	snprintf(s->cipher, sizeof s->cipher, "%s", SSL_get_cipher_name(j->stream.ssl));
	s->verified = x && result == X509_V_OK;
	if (!s->verified) snprintf(s->why, sizeof s->why, "%s", x ? X509_verify_cert_error_string(result) : "the server has no certificate");
	if (!x) return;
	name_of(s->subject, sizeof s->subject, X509_get_subject_name(x));
	name_of(s->issuer, sizeof s->issuer, X509_get_issuer_name(x));
	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1) strftime(s->until, sizeof s->until, "%Y-%m-%d %H:%M:%S", &tm);
	X509_free(x);
}

static void failed(struct job *j, bool late)
{
	struct secured *s = &j->m.s;
	long result = j->stream.ssl ? SSL_get_verify_result(j->stream.ssl) : X509_V_OK;
	if (*s->why) return;
	if (late) snprintf(s->why, sizeof s->why, "the server takes too long for the handshake");
	else if (j->verify && result != X509_V_OK) snprintf(s->why, sizeof s->why, "the certificate: %s", X509_verify_cert_error_string(result));
	else snprintf(s->why, sizeof s->why, "the handshake: %s", tls_reason());
}

/* Keep three descriptors, and no other.  */
static bool take(struct job *j, int raw, int plain, int news)
{
	enum { RAW, PLAIN, NEWS, ALL, OLD_LIMIT = 1024 };
	int fds[ALL] = { raw, plain, news };
	for (int i = 0; i < ALL; i++)
		if ((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, ALL)) < 0) return false;
	for (int i = 0; i < ALL; i++)
		if (dup2(fds[i], i) != i) return false;
	j->stream.raw = RAW;
	j->stream.plain = PLAIN;
	j->news = NEWS;
	if (syscall(SYS_close_range, ALL, ~0U, 0) != 0)
		for (int fd = ALL; fd < OLD_LIMIT; fd++) close(fd);     /* Linux before 5.9 */
	return true;
}

_Noreturn static void speak(struct job *j, pid_t parent)
{
	static const int none_of_ours[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM };         /* our parent ends in its own time, and us */
	bool late = false;
	for (size_t i = 0; i < sizeof none_of_ours / sizeof *none_of_ours; i++) signal(none_of_ours[i], SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (getppid() != parent) _exit(1);
	bool good = prepare(j);
	if (good && j->sandbox && !sandbox_stream(0)) {
		snprintf(j->m.s.why, sizeof j->m.s.why, "the kernel refuses the sandbox (sandbox = no runs without): %s", strerror(errno));
		good = false;
	}
	good = good && stream_handshake(&j->stream, millis() + j->ms, &late);
	if (good) describe(j);
	else failed(j, late);
	j->m.good = good;
	j->m.done = true;
	if (send(j->news, &j->m, sizeof j->m, MSG_NOSIGNAL) != sizeof j->m || !good) _exit(1);
	close(j->news);
	j->stream.end = millis() + SESSION;
	j->stream.patience = PATIENCE;
	stream_run(&j->stream);
	_exit(0);
}

/* --- the parent --- */

static ssize_t read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd >= 0 ? read(fd, buf, size) : -1;
	if (fd >= 0) close(fd);
	return n;
}

/* The certificates of the authorities whose name has this hash.  An answer of one octet says that there are none.  */
static bool answer(int news, uint32_t hash)
{
	static char text[AUTHORITIES];
	char path[1024];
	size_t have = 0;
	for (const char *dir = authorities_folder(), *end; *dir; dir = end + (*end == ':')) {
		end = strchrnul(dir, ':');
		for (unsigned i = 0; i < SAME_HASH && have < sizeof text; i++) {
			snprintf(path, sizeof path, "%.*s/%08x.%u", (int)(end - dir), dir, hash, i);
			ssize_t n = read_file(path, text + have, sizeof text - have);
			if (n < 0) break;
			have += (size_t)n;
		}
	}
	if (have == 0) text[have++] = '\n';
	return send(news, text, have, MSG_NOSIGNAL) == (ssize_t)have;
}

static void printable(char *s, size_t size)
{
	s[size - 1] = '\0';
	for (; *s; s++)
		if (*s < ' ' || *s > '~') *s = '?';
}

/* It has parsed what the server has sent: not even its words are trusted.  */
static void take_over(struct secured *to, const struct secured *from)
{
	*to = *from;
	printable(to->version, sizeof to->version);
	printable(to->cipher, sizeof to->cipher);
	printable(to->why, sizeof to->why);
	printable(to->subject, sizeof to->subject);
	printable(to->issuer, sizeof to->issuer);
	printable(to->until, sizeof to->until);
}

/* Until the last word of the child; false when there will be none.  */
static bool attend(int news, unsigned ms, struct message *m)
{
	uint64_t end = millis() + ms + GRACE, now;
	struct pollfd p = { .fd = news, .events = POLLIN };
	for (unsigned asked = 0; asked <= CHAIN && (now = millis()) < end;) {
		int ready = poll(&p, 1, (int)(end - now));
		if (ready < 0 && errno == EINTR) continue;
		if (ready <= 0 || recv(news, m, sizeof *m, 0) != sizeof *m) return false;
		if (m->done) return true;
		if (!answer(news, m->hash)) return false;
		asked++;
	}
	return false;
}

static int fail(int fd, struct secured *s, const char *what)
{
	snprintf(s->why, sizeof s->why, "%s: %s", what, strerror(errno));
	close(fd);
	return -1;
}

int secure_start(int fd, const char *host, const char *ca, bool verify, bool sandbox, unsigned ms, struct secured *s, pid_t *child)
{
	static struct job job;
	struct message m;
	int plain[2], news[2];
	pid_t parent = getpid();
	*s = (struct secured){ .verified = false };
	job = (struct job){ .host = host, .ca = ca, .verify = verify, .sandbox = sandbox, .ms = ms };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain) != 0) return fail(fd, s, "no socket for TLS");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, news) != 0) {
		close(plain[0]);
		close(plain[1]);
		return fail(fd, s, "no socket for TLS");
	}
	*child = fork();
	if (*child == 0) {
		if (!take(&job, fd, plain[1], news[1])) _exit(1);
		speak(&job, parent);
	}
	int why = errno;
	close(plain[1]);
	close(news[1]);
	bool done = *child > 0 && attend(news[0], ms, &m);
	close(news[0]);
	if (done) take_over(s, &m.s);
	if (done && m.good) return close(fd), plain[0];
	if (*child > 0) {
		kill(*child, SIGKILL);
		waitpid(*child, NULL, 0);
		if (!done || !*s->why) snprintf(s->why, sizeof s->why, "the process that speaks TLS has failed");
		close(fd);
	} else {
		errno = why;
		fail(fd, s, "cannot start a process for TLS");
	}
	close(plain[0]);
	return -1;
}

void secure_end(pid_t child)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, child, 0), .events = POLLIN };
	uint64_t end = millis() + GRACE, now;
	while (p.fd >= 0 && (now = millis()) < end && poll(&p, 1, (int)(end - now)) < 0 && errno == EINTR) continue;
	if (p.fd >= 0) close(p.fd);
	kill(child, SIGKILL);   /* a zombie does not mind */
	waitpid(child, NULL, 0);
}
