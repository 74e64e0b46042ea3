/* connect PORT SESSIONS COUNT eof|smtp: make COUNT connections to 127.0.0.1, SESSIONS at a time, and print how many seconds that took.
 * eof: connect and wait for the end.  smtp: connect, hear the greeting, EHLO, QUIT, wait for the end.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Read one reply, whole; its last line has a space behind the code.  */
static bool reply(int s, char code)
{
	char buf[4096];
	size_t have = 0;
	for (;;) {
		ssize_t n = read(s, buf + have, sizeof buf - 1 - have);
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

static bool say(int s, const char *line) { return write(s, line, strlen(line)) == (ssize_t)strlen(line); }

static bool connection(int port, bool smtp)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char rest[512];
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (s < 0) return false;
	bool ok = connect(s, (struct sockaddr *)&a, sizeof a) == 0;
	if (ok && smtp) ok = reply(s, '2') && say(s, "EHLO client.example.org\r\n") && reply(s, '2') && say(s, "QUIT\r\n") && reply(s, '2');
	while (ok) {
		ssize_t n = read(s, rest, sizeof rest);
		if (n <= 0) break;
	}
	close(s);
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
	bool smtp = strcmp(argv[4], "smtp") == 0;
	double start = now();
	for (int i = 0; i < sessions; i++)
		if (fork() == 0) {
			for (int n = i; n < count; n += sessions)
				if (!connection(port, smtp)) _exit(1);
			_exit(0);
		}
	while (wait(&status) > 0) failed |= status;
	if (failed) return fprintf(stderr, "connect: a connection failed\n"), 1;
	printf("%.6f\n", now() - start);
	return 0;
}
