/* Orders: they arrive as they were sent, one after the other, with their file; what is cut, too long or without a file is none.
 * SPDX-License-Identifier: MIT */
#include "order.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { MANY = 60000, LONG = 200 };

static bool same(const struct order *o, char *const argv[])
{
	int i = 0;
	for (; argv[i]; i++)
		if (i >= o->argc || strcmp(o->argv[i], argv[i]) != 0) return false;
	return i == o->argc && !o->argv[i];
}

static bool same_file(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void test_arrive(void)
{
	char *one[] = { "--send", "", "a b", "\xc3\xbc", "", NULL }, *none[] = { NULL };
	static char *many[MANY + 1], text[LONG + 1];
	memset(text, 'x', LONG);
	for (int i = 0; i < MANY; i++) many[i] = text;
	char **orders[] = { one, none, many, one };
	int pair[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "a pair");
	pid_t child = fork();
	if (child == 0) {
		close(pair[0]);
		for (size_t i = 0; i < COUNT(orders); i++)
			if (!order_send(pair[1], orders[i], null)) _exit(1);
		_exit(0);
	}
	close(pair[1]);
	struct order o;
	for (size_t i = 0; i < COUNT(orders); i++) {
		check(order_receive(pair[0], &o) && same(&o, orders[i]), "order %zu arrives as it was sent", i);
		check(same_file(o.file, null) && fcntl(o.file, F_GETFD) == FD_CLOEXEC, "with its file, which no other program gets");
		order_free(&o);
	}
	check(!order_receive(pair[0], &o) && o.file < 0 && !o.argv, "the end");
	int status;
	check(waitpid(child, &status, 0) == child && status == 0, "all were sent");
	close(pair[0]);
	close(null);
}

/* The head, by hand, with a file or without.  */
static void send_raw(int fd, uint32_t count, uint32_t octets, const char *text, size_t n, int file)
{
	uint32_t head[2] = { count, octets };
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof (int))]; } control = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof (int)) } };
	struct iovec parts[] = { { head, sizeof head }, { (char *)text, n } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2, .msg_control = file >= 0 ? &control : NULL, .msg_controllen = file >= 0 ? sizeof control : 0 };
	memcpy(CMSG_DATA(&control.head), &file, sizeof file);
	check(sendmsg(fd, &m, MSG_NOSIGNAL) > 0, "sent");
}

static void test_refused(void)
{
	static const struct { const char *what, *text; size_t n; uint32_t count, octets; bool file; } rows[] = {
		{ "without a file", "a\0b\0", 4, 2, 4, false },
		{ "fewer arguments than promised", "a\0b\0", 4, 3, 4, true },
		{ "more arguments than promised", "a\0b\0", 4, 1, 4, true },
		{ "the last without an end", "a\0b", 3, 2, 3, true },
		{ "cut", "a\0", 2, 2, 4, true },
		{ "too many", "a\0", 2, ORDER_ARGUMENTS + 1, 2, true },
		{ "too long", "a\0", 2, 1, ORDER_OCTETS + 1, true },
	};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < COUNT(rows); i++) {
		int pair[2];
		struct order o;
		check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "a pair");
		send_raw(pair[1], rows[i].count, rows[i].octets, rows[i].text, rows[i].n, rows[i].file ? null : -1);
		close(pair[1]);
		check(!order_receive(pair[0], &o) && o.file < 0 && !o.argv, "%s", rows[i].what);
		close(pair[0]);
	}
	close(null);
}

int main(void)
{
	test_arrive();
	test_refused();
	return done();
}
