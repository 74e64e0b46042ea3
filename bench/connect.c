/* connect PORT SESSIONS COUNT eof|smtp|tls|bulk: make COUNT connections to 127.0.0.1, SESSIONS at a time, and print how many seconds that took.
 * eof: connect and wait for the end.  smtp: connect, hear the greeting, EHLO, QUIT, wait for the end.  tls: the same,
 * with STARTTLS, a handshake and another EHLO between.  bulk: each of the COUNT is a message of 10 MiB to bench@example.test over TLS, SESSIONS connections in all.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct peer { int fd; SSL *tls; };

static ssize_t get(struct peer *p, char *buf, size_t n) { return p->tls ? SSL_read(p->tls, buf, (int)n) : read(p->fd, buf, n); }
static bool put(struct peer *p, const char *s, size_t n) { return (p->tls ? SSL_write(p->tls, s, (int)n) : write(p->fd, s, n)) == (ssize_t)n; }

/* Read one reply, whole; its last line has a space behind the code.  */
static bool reply(struct peer *p, char code)
{
	char buf[4096];
	size_t have = 0;
	for (;;) {
		ssize_t n = get(p, buf + have, sizeof buf - 1 - have);
		if (n <= 0) return false;
		have += (size_t)n;
		buf[have] = '\0';
		if (buf[have - 1] != '\n') continue;
		buf[have - 1] = '\0';
		char *last = strrchr(buf, '\n');
		last = last ? last + 1 : buf;
		if (strlen(last) >= 4 && last[3] == ' ') return *last == code;
		buf[have - 1] = '\n';
	}
}

static bool ask(struct peer *p, const char *line, char code)
{
	if (put(p, line, strlen(line)) && reply(p, code)) return true;
	fprintf(stderr, "connect: no good answer to %s", line);
	return false;
}

static bool handshake(struct peer *p)
{
	static SSL_CTX *ctx;
	if (!ctx) ctx = SSL_CTX_new(TLS_client_method());       /* verifies nothing, resumes nothing */
	if (!ctx || !ask(p, "STARTTLS\r\n", '2')) return false;
	SSL *tls = SSL_new(ctx);
	if (!tls || SSL_set_fd(tls, p->fd) != 1 || SSL_connect(tls) != 1) {
		ERR_print_errors_fp(stderr);
		return false;
	}
	p->tls = tls;
	return ask(p, "EHLO client.example.org\r\n", '2');
}

static bool message(struct peer *p)
{
	enum { PIECE = 1 << 16, PIECES = 160 };
	static char piece[PIECE];
	if (!*piece) for (size_t i = 0; i < PIECE; i++) piece[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
	bool ok = ask(p, "MAIL FROM:<sender@example.org>\r\n", '2') && ask(p, "RCPT TO:<bench@example.test>\r\n", '2') && ask(p, "DATA\r\n", '3');
	for (int i = 0; ok && i < PIECES; i++) ok = put(p, piece, PIECE);
	return ok && ask(p, ".\r\n", '2');
}

enum mode { END, SMTP, TLS, BULK };

static bool connection(int port, enum mode mode, int messages)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char rest[512];
	struct peer p = { .fd = socket(AF_INET, SOCK_STREAM, 0) };
	if (p.fd < 0) return false;
	bool ok = connect(p.fd, (struct sockaddr *)&a, sizeof a) == 0;
	if (ok && mode != END) ok = reply(&p, '2') && ask(&p, "EHLO client.example.org\r\n", '2') && (mode == SMTP || handshake(&p));
	for (int i = 0; ok && i < messages; i++) ok = message(&p);
	if (ok && mode != END) ok = ask(&p, "QUIT\r\n", '2');
	while (ok && get(&p, rest, sizeof rest) > 0) continue;
	SSL_free(p.tls);
	close(p.fd);
	return ok;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	if (argc != 5) return 64;
	int port = atoi(argv[1]), sessions = atoi(argv[2]), count = atoi(argv[3]), status = 0, failed = 0;
	enum mode mode = strcmp(argv[4], "smtp") == 0 ? SMTP : strcmp(argv[4], "tls") == 0 ? TLS : strcmp(argv[4], "bulk") == 0 ? BULK : END;
	double start = now();
	for (int i = 0; i < sessions; i++)
		if (fork() == 0) {
			if (mode == BULK) _exit(!connection(port, mode, (count + sessions - 1) / sessions));
			for (int n = i; n < count; n += sessions)
				if (!connection(port, mode, 0)) _exit(1);
			_exit(0);
		}
	while (wait(&status) > 0) failed |= status;
	if (failed) return fprintf(stderr, "connect: a connection failed\n"), 1;
	printf("%.6f\n", now() - start);
	return 0;
}
