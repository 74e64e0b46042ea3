/* sink FILE PORT ADDRESS...: a server that takes all mail, keeps none and counts it, with one process and little time: what is measured is who sends.
 * FILE, which is mapped, holds an array of 64-bit numbers: messages in all, the CLOCK_MONOTONIC nanoseconds of the last one, connections, refusals to talk (of more
 * than MOST connections), and from the 16th on the messages of the address of that number.
 * It offers what is common, and answers all that a packet holds with one.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 4096 /* descriptors */, ADDRESSES = 1000, LINE = 2048, FIRST = 16 };
enum { TOTAL, LAST, CONNECTIONS, REFUSED };

struct session { int address; bool open, data; unsigned at, n; char line[LINE]; };
static struct session *sessions[MOST];
static int listening[MOST];     /* the number of the address, from 1 */
static volatile uint64_t *counts;

static void taken(int address)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	counts[LAST] = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	counts[FIRST + address]++;
	counts[TOTAL]++;
}

/* The answer to a line; NULL: none.  */
static const char *answer(struct session *s)
{
	static const struct { const char *verb, *text; } known[] = {
		{ "EHLO", "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n" }, { "HELO", "250 sink.example\r\n" },
		{ "MAIL", "250 2.1.0 Ok\r\n" }, { "RCPT", "250 2.1.5 Ok\r\n" }, { "RSET", "250 2.0.0 Ok\r\n" }, { "NOOP", "250 2.0.0 Ok\r\n" },
		{ "DATA", "354 Go on\r\n" }, { "QUIT", "221 2.0.0 Bye\r\n" },
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (strncasecmp(s->line, known[i].verb, 4) != 0) continue;
		s->data = *known[i].verb == 'D';
		s->open = *known[i].verb != 'Q';
		return known[i].text;
	}
	return "500 5.5.1 What?\r\n";
}

/* Octets of a message: only how it ends counts.  Returns how many were used.  */
static size_t swallow(struct session *s, const char *p, size_t n)
{
	static const char end[] = "\r\n.\r\n";
	for (size_t i = 0; i < n; i++) {
		if (p[i] != end[s->at]) s->at = p[i] == '\r';
		else if (++s->at == sizeof end - 1) return s->data = false, i + 1;
	}
	return n;
}

static void converse(struct session *s, int fd)
{
	char in[65536], out[65536];
	size_t n = 0;
	ssize_t got = recv(fd, in, sizeof in, 0);
	if (got <= 0) s->open = got < 0 && errno == EAGAIN;
	for (const char *p = in, *end = in + (got > 0 ? got : 0); p < end && s->open && n < sizeof out - 1024;) {
		const char *text = NULL;
		if (s->data) {
			p += swallow(s, p, (size_t)(end - p));
			if (s->data) break;
			taken(s->address);
			text = "250 2.0.0 Ok\r\n";
			s->n = 0;
		} else if (*p++ == '\n') {
			s->line[s->n] = '\0';
			text = answer(s);
			s->n = 0;
			s->at = 2;      /* a dot may follow at once */
		} else if (s->n < LINE - 1) {
			s->line[s->n++] = p[-1];
		}
		if (text) n += (size_t)sprintf(out + n, "%s", text);
	}
	if (n > 0 && send(fd, out, n, MSG_NOSIGNAL) != (ssize_t)n) s->open = false;
}

static void meet(int epoll, int fd, int address)
{
	static const char greeting[] = "220 sink.example ESMTP\r\n";
	if (fd >= MOST || !(sessions[fd] = calloc(1, sizeof *sessions[fd]))) {
		counts[REFUSED]++;
		close(fd);
		return;
	}
	*sessions[fd] = (struct session){ .address = address, .open = true };
	counts[CONNECTIONS]++;
	if (send(fd, greeting, sizeof greeting - 1, MSG_NOSIGNAL) < 0) perror("send");
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.fd = fd });
}

static bool listen_on(int epoll, const char *address, const char *port, int number)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	if (fd < 0 || fd >= MOST || inet_pton(AF_INET, address, &in.sin_addr) != 1) return false;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	listening[fd] = number + 1;
	return bind(fd, (struct sockaddr *)&in, sizeof in) == 0 && listen(fd, 128) == 0 &&
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.fd = fd }) == 0;
}

int main(int argc, char **argv)
{
	struct epoll_event ready[64];
	size_t size = (FIRST + ADDRESSES) * sizeof *counts;
	if (argc < 4 || argc - 3 > ADDRESSES) return 64;
	int epoll = epoll_create1(0), file = open(argv[1], O_RDWR | O_CREAT, 0644);
	void *map = file >= 0 && ftruncate(file, (off_t)size) == 0 ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
	bool good = map != MAP_FAILED;
	counts = map;
	for (int i = 3; good && i < argc; i++) good = listen_on(epoll, argv[i], argv[2], i - 3);
	if (!good) {
		perror("sink");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, ready, 64, -1);
		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;
			if (listening[fd]) {
				int new = accept(fd, NULL, NULL);
				if (new >= 0) meet(epoll, new, listening[fd] - 1);
				continue;
			}
			converse(sessions[fd], fd);
			if (sessions[fd]->open) continue;
			free(sessions[fd]);
			sessions[fd] = NULL;
			close(fd);
		}
	}
}
