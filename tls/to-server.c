/* Of the authorities of the system nothing is known here at first, for to read them all costs twenty times a handshake; and to look for one when its name is known would mean to
 * open files, with the server's certificate already in memory.  So who started us, and has seen nothing of the server's, is asked for the certificates of a name by the hash
 * of that, 32 bits, which is how the system's folder names the files.
 * SPDX-License-Identifier: MIT */
#include "to-server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "sandbox.h"
#include "stream.h"

enum {
	CHAIN = 10,             /* certificates of a server that are looked at */
	SESSION = 24 * 3600 * 1000, PATIENCE = 600 * 1000,      /* who started us has limits of its own, and ends us */
};

static struct job {
	const char *host, *ca;
	bool verify, sandbox, ask;
	unsigned long ms;
	SSL_CTX *ctx;
	struct stream stream;
	struct secured found;
} job;

/* --- what we say to who started us --- */

static bool tell(struct news *n) { return send(job.stream.plain, n, sizeof *n, MSG_NOSIGNAL) == sizeof *n; }

static bool hear(void *buf, size_t size)
{
	return recv(job.stream.plain, buf, size, MSG_WAITALL) == (ssize_t)size;
}

/* --- authorities --- */

/* A host name, without the dot at the end that makes it absolute; an address without its brackets (RFC 5321 4.1.3), for no certificate has them.  */
static void bare_name(char out[256], const char *host)
{
	bool literal = *host == '[';
	if (literal) host += strncasecmp(host, "[IPv6:", 6) == 0 ? 6 : 1;
	int n = snprintf(out, 256, "%s", host);
	if (n > 1 && n < 256 && out[n - 1] == (literal ? ']' : '.')) out[n - 1] = '\0';
}

static bool is_address(const char *host)
{
	unsigned char any[16];
	return inet_pton(AF_INET, host, any) == 1 || inet_pton(AF_INET6, host, any) == 1;
}

/* Add the authorities with the name of the issuer of `x`.  */
static void ask_for(X509_STORE *store, X509 *x)
{
	static char text[AUTHORITIES];
	struct news wanted = { .what = NEWS_WANTED, .hash = (uint32_t)X509_NAME_hash_ex(X509_get_issuer_name(x), NULL, NULL, NULL) };
	uint32_t n;
	if (!tell(&wanted) || !hear(&n, sizeof n) || n == 0 || n > sizeof text || !hear(text, n)) return;
	BIO *bio = BIO_new_mem_buf(text, (int)n);
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
	for (int i = 0; j->ask && i < sk_X509_num(sent) && i < CHAIN; i++) ask_for(X509_STORE_CTX_get0_store(x), sk_X509_value(sent, i));
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

/* All of a file, or none as yet.  */
static bool load_authorities(struct job *j)
{
	struct news folder = { .what = NEWS_FOLDER };
	const char *file = *j->ca ? j->ca : getenv(X509_get_default_cert_file_env());
	j->ask = !*j->ca;
	if (j->ask) snprintf(folder.folder, sizeof folder.folder, "%s", authorities_folder());
	if (!tell(&folder)) return false;
	if (!file && !is_hashed(authorities_folder())) file = X509_get_default_cert_file();
	if (!file || SSL_CTX_load_verify_file(j->ctx, file) == 1 || !*j->ca) return true;
	unsigned long e = ERR_peek_error();
	snprintf(j->found.why, sizeof j->found.why, "%.120s: %s", file, ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : tls_reason());
	return false;
}

/* --- the handshake --- */

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
	struct secured *s = &j->found;
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
	struct secured *s = &j->found;
	long result = j->stream.ssl ? SSL_get_verify_result(j->stream.ssl) : X509_V_OK;
	if (*s->why) return;
	if (late) snprintf(s->why, sizeof s->why, "the server takes too long for the handshake");
	else if (j->verify && result != X509_V_OK) snprintf(s->why, sizeof s->why, "the certificate: %s", X509_verify_cert_error_string(result));
	else snprintf(s->why, sizeof s->why, "the handshake: %s", tls_reason());
}

/* --- start --- */

/* Keep the two connections, and no other.  */
static bool take(struct job *j, int raw)
{
	enum { PLAIN, RAW, ALL, OLD_LIMIT = 1024 };
	if (raw < ALL || dup2(raw, RAW) != RAW) return false;   /* 1 was the same as 0 */
	j->stream.raw = RAW;
	j->stream.plain = PLAIN;
	if (syscall(SYS_close_range, ALL, ~0U, 0) != 0)
		for (int fd = ALL; fd < OLD_LIMIT; fd++) close(fd);     /* Linux before 5.9 */
	return true;
}

static bool shake_hands(struct job *j)
{
	bool late = false, good = prepare(j);
	if (good && j->sandbox && !sandbox_stream(0)) {
		snprintf(j->found.why, sizeof j->found.why, "the kernel refuses the sandbox (sandbox = no runs without): %s", strerror(errno));
		good = false;
	}
	good = good && stream_handshake(&j->stream, millis() + j->ms, &late);
	if (good) describe(j);
	else failed(j, late);
	return good;
}

int tls_to_server(int argc, char **argv)
{
	enum { HOST, CA, VERIFY, BARE, MS, FD, ALL };
	static const int none_of_ours[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM };         /* who started us ends in its own time, and us */
	struct job *j = &job;
	struct news over = { .what = NEWS_OVER };
	if (argc != ALL) return fprintf(stderr, "smtp-tls: --to-server is for smtp-client\n"), EX_USAGE;
	*j = (struct job){ .host = argv[HOST], .ca = argv[CA], .verify = strcmp(argv[VERIFY], "verify") == 0, .sandbox = strcmp(argv[BARE], "bare") != 0, .ms = strtoul(argv[MS], NULL, 10) };
	for (size_t i = 0; i < sizeof none_of_ours / sizeof *none_of_ours; i++) signal(none_of_ours[i], SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (!take(j, atoi(argv[FD]))) return EX_USAGE;
	over.good = shake_hands(j);
	over.secured = j->found;
	if (!tell(&over) || !over.good) return EX_UNAVAILABLE;
	j->stream.end = millis() + SESSION;
	j->stream.patience = PATIENCE;
	stream_run(&j->stream);
	return EX_OK;
}
