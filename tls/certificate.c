/* Certificates are read anew for each connection: one that was renewed counts at the next.  Choices are those of Mozilla's "intermediate" list.
 * SPDX-License-Identifier: MIT */
#include "certificate.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "address.h"
#include "log.h"
#include "stream.h"

enum { PATH_SIZE = 1024 };

#define CIPHERS "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"
/* in the order of that list; the first is also the fastest */
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:prime256v1:secp384r1"

/* What the file is missing, in words.  */
static const char *load_reason(void)
{
	unsigned long e = ERR_peek_error();
	return ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : tls_reason();
}

/* A relative path is a credential of systemd's.  */
static bool place(char out[PATH_SIZE], const char *path)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	if (*path != '/' && !directory) return false;
	return snprintf(out, PATH_SIZE, "%s%s%s", *path == '/' ? "" : directory, *path == '/' ? "" : "/", path) < PATH_SIZE;
}

/* As certbot lays them out.  */
static bool pair_of(const struct config *cf, const char *name, struct certificate_files *p)
{
	int n = snprintf(p->cert, PATH_SIZE, "%s/%s/fullchain.pem", cf->tls_certs, name);
	int m = snprintf(p->key, PATH_SIZE, "%s/%s/privkey.pem", cf->tls_certs, name);
	return n < PATH_SIZE && m < PATH_SIZE;
}

static bool pair_exists(const struct config *cf, const char *name, struct certificate_files *p)
{
	struct stat st;
	return pair_of(cf, name, p) && stat(p->cert, &st) == 0;         /* access(2) would not count our capability */
}

/* The first directory, in alphabetical order, that holds a certificate.  */
static bool first_pair(const struct config *cf, struct certificate_files *p)
{
	char first[256] = "";
	struct certificate_files try;
	DIR *d = opendir(cf->tls_certs);
	for (struct dirent *e; d && (e = readdir(d));)
		if (*e->d_name != '.' && (!*first || strcmp(e->d_name, first) < 0) && pair_exists(cf, e->d_name, &try)) {
			snprintf(first, sizeof first, "%s", e->d_name);
			*p = try;
		}
	if (d) closedir(d);
	return *first;
}

/* Where the default certificate is.  False after a line in the log.  */
static bool default_pair(const struct config *cf, struct certificate_files *p)
{
	if (*cf->tls_cert) {
		if (place(p->cert, cf->tls_cert) && place(p->key, *cf->tls_key ? cf->tls_key : cf->tls_cert)) return true;
		log_line(LEVEL_ERROR, "tls_cert, tls_key: a path without a slash in front is a credential of systemd (LoadCredential=), and there are none");
		return false;
	}
	if (!*cf->tls_certs) {
		log_line(LEVEL_ERROR, "no certificate is configured: tls_certs or tls_cert");
		return false;
	}
	if (pair_exists(cf, cf->hostname, p) || first_pair(cf, p)) return true;
	log_line(LEVEL_ERROR, "tls_certs: no directory of %s holds a fullchain.pem that can be read", cf->tls_certs);
	return false;
}

static void warn_of_age(const SSL *ssl, const SSL_CTX *ctx, const char *file)
{
	const X509 *x = ssl ? SSL_get_certificate(ssl) : SSL_CTX_get0_certificate(ctx);
	if (x && X509_cmp_current_time(X509_get0_notAfter(x)) < 0) log_line(LEVEL_WARNING, "%s: the certificate has expired", file);
}

/* Into the connection, or the context if that is NULL.  */
static bool load(SSL *ssl, SSL_CTX *ctx, const struct certificate_files *p)
{
	const char *file = p->cert;
	ERR_clear_error();
	int good = ssl ? SSL_use_certificate_chain_file(ssl, p->cert) : SSL_CTX_use_certificate_chain_file(ctx, p->cert);
	if (good == 1) {
		file = p->key;
		good = ssl ? SSL_use_PrivateKey_file(ssl, p->key, SSL_FILETYPE_PEM) : SSL_CTX_use_PrivateKey_file(ctx, p->key, SSL_FILETYPE_PEM);
	}
	if (good == 1) warn_of_age(ssl, ctx, p->cert);
	else log_line(LEVEL_ERROR, "cannot use the %s %s: %s", file == p->key ? "key" : "certificate", file, load_reason());
	ERR_clear_error();
	return good == 1;
}

/* --- the callbacks of a handshake --- */

/* Only what proves to be a host name can be the name of a directory (P8).  */
static bool host_name(char out[256], const char *name)
{
	size_t n = name ? strlen(name) : 0;
	if (n == 0 || n > 253 || *name == '.' || *name == '-' || strstr(name, "..")) return false;
	for (size_t i = 0; i <= n; i++) out[i] = name[i];
	fold(out);
	return out[strspn(out, "abcdefghijklmnopqrstuvwxyz0123456789-.")] == '\0';
}

/* The certificate of the name, or one of the domain above it that is good for it.  */
static void choose(SSL *ssl, const struct chooser *c)
{
	struct certificate_files p = { .cert = "" };
	const char *parent = strchr(c->name, '.');
	if (pair_exists(c->cf, c->name, &p)) {
		load(ssl, NULL, &p);
		return;
	}
	if (!parent || !strchr(parent + 1, '.') || !pair_exists(c->cf, parent + 1, &p)) return;
	FILE *f = fopen(p.cert, "re");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	if (x && X509_check_host(x, c->name, 0, 0, NULL) == 1) load(ssl, NULL, &p);
	X509_free(x);
	if (f) fclose(f);
	ERR_clear_error();
}

static int on_name(SSL *ssl, int *alert, void *arg)
{
	struct chooser *c = arg;
	(void)alert;
	if (c->warming) return SSL_TLSEXT_ERR_NOACK;    /* no client, and nothing is given up */
	if (c->over) return *c->name ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;       /* the second ClientHello, after a HelloRetryRequest */
	c->over = true;
	bool named = host_name(c->name, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
	if (!named) *c->name = '\0';
	if (named && *c->cf->tls_certs) choose(ssl, c);
	if (c->chosen) c->chosen(c->ctx);
	return named ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* A client that speaks HTTP or FTP and was led to us names its own protocol: ALPACA.  */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned inlen, void *arg)
{
	static const unsigned char smtp[] = "\4smtp";
	unsigned char *selected;
	(void)ssl, (void)arg;
	if (SSL_select_next_proto(&selected, outlen, smtp, sizeof smtp - 1, in, inlen) != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = selected;
	return SSL_TLSEXT_ERR_OK;
}

/* A client without a certificate, or with one that we do not know, is as good as any; it just has no name.  */
static int on_client(int good, X509_STORE_CTX *store)
{
	(void)good, (void)store;
	return 1;
}

static bool ask_client(SSL_CTX *ctx, const char *file)
{
	if (!*file) return true;
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
	if (!names || SSL_CTX_load_verify_locations(ctx, file, NULL) != 1) {
		log_line(LEVEL_ERROR, "tls_client_ca: %s: %s", file, load_reason());
		return false;
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, on_client);
	return true;
}

static bool settings(SSL_CTX *ctx, const struct config *cf)
{
	SSL_CTX_set_min_proto_version(ctx, cf->tls_min == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
	/* No tickets and no cache: each connection is a process of its own, so a session could not be resumed.  */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* Who ends without close_notify is answered all the same: SMTP knows its own ends, and a 250 that is not heard makes a second copy.  */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_dh_auto(ctx, 1);
	if (SSL_CTX_set_cipher_list(ctx, *cf->tls_ciphers ? cf->tls_ciphers : CIPHERS) != 1) {
		log_line(LEVEL_ERROR, "tls_ciphers = %s: %s", cf->tls_ciphers, tls_reason());
		return false;
	}
	SSL_CTX_set_ciphersuites(ctx, CIPHERS_1_3);
	if (SSL_CTX_set1_groups_list(ctx, *cf->tls_groups ? cf->tls_groups : GROUPS) != 1) {
		log_line(LEVEL_ERROR, "tls_groups = %s: %s", cf->tls_groups, tls_reason());
		return false;
	}
	return true;
}

SSL_CTX *certificate_context(struct chooser *chooser)
{
	struct certificate_files p;
	/* openssl.cnf could change what is promised above, and costs a millisecond */
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
	if (!default_pair(chooser->cf, &p)) return NULL;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx) {
		log_line(LEVEL_ERROR, "OpenSSL: %s", tls_reason());
		return NULL;
	}
	if (!settings(ctx, chooser->cf) || !ask_client(ctx, chooser->cf->tls_client_ca) || !load(NULL, ctx, &p)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, chooser);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	return ctx;
}

void certificate_files(const struct config *cf, struct certificate_files *files)
{
	if (!default_pair(cf, files)) *files->cert = *files->key = '\0';
}

/* Carry what one side has said to the other.  */
static void exchange(SSL *a, SSL *b)
{
	enum { ROUNDS = 10 };
	for (int i = 0; i < ROUNDS && SSL_do_handshake(a) != 1; i++) SSL_do_handshake(b);
	SSL_do_handshake(b);
}

void certificate_warm(SSL_CTX *ctx, struct chooser *chooser)
{
	chooser->warming = true;
	BIO *ours = NULL, *theirs = NULL;
	SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
	SSL *client = client_ctx ? SSL_new(client_ctx) : NULL, *server = SSL_new(ctx);
	if (client && server && BIO_new_bio_pair(&ours, 0, &theirs, 0) == 1) {
		SSL_set_bio(server, ours, ours);
		SSL_set_bio(client, theirs, theirs);
		SSL_set_accept_state(server);
		SSL_set_connect_state(client);
		exchange(client, server);
	}
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(client_ctx);
	ERR_clear_error();
	chooser->warming = false;
}
