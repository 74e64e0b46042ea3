/* SPDX-License-Identifier: MIT */
#include "order.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct head { uint32_t count, octets; };        /* of the arguments, a NUL behind each */

union control { struct cmsghdr head; char room[CMSG_SPACE(sizeof (int))]; };

static bool put(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR) continue;
		if (sent < 0) return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

bool order_send(int fd, char *const argv[], int file)
{
	struct head h = { 0, 0 };
	union control control = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof (int)) } };
	struct iovec head_is = { &h, sizeof h };
	struct msghdr m = { .msg_iov = &head_is, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t sent;
	for (; argv[h.count]; h.count++) h.octets += (uint32_t)strlen(argv[h.count]) + 1;
	memcpy(CMSG_DATA(&control.head), &file, sizeof file);
	char *text = malloc(h.octets + 1), *end = text;
	for (uint32_t i = 0; text && i < h.count; i++) end = stpcpy(end, argv[i]) + 1;
	do sent = text ? sendmsg(fd, &m, MSG_NOSIGNAL) : -1;
	while (text && sent < 0 && errno == EINTR);
	bool good = sent == sizeof h && put(fd, text, h.octets);
	free(text);
	return good;
}

static bool get(int fd, char *p, size_t n)
{
	while (n > 0) {
		ssize_t got = recv(fd, p, n, 0);
		if (got < 0 && errno == EINTR) continue;
		if (got <= 0) return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

/* The head, and the file that comes with it.  */
static bool begin(int fd, struct head *h, int *file)
{
	union control control;
	struct iovec head_is = { h, sizeof *h };
	struct msghdr m = { .msg_iov = &head_is, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t got;
	do got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	struct cmsghdr *c = got > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof (int))) return false;
	memcpy(file, CMSG_DATA(c), sizeof *file);
	return get(fd, (char *)h + got, sizeof *h - (size_t)got);
}

bool order_receive(int fd, struct order *o)
{
	struct head h = { 0, 0 };
	*o = (struct order){ .file = -1 };
	if (!begin(fd, &h, &o->file) || h.count > ORDER_ARGUMENTS || h.octets > ORDER_OCTETS) return order_free(o), false;
	o->argv = malloc((h.count + 1) * sizeof *o->argv + h.octets + 1);
	if (!o->argv) return order_free(o), false;
	char *text = (char *)(o->argv + h.count + 1), *end = text + h.octets;
	if (!get(fd, text, h.octets)) return order_free(o), false;
	*end = '\0';
	for (; (uint32_t)o->argc < h.count && text < end; text += strlen(text) + 1) o->argv[o->argc++] = text;
	o->argv[o->argc] = NULL;
	if ((uint32_t)o->argc == h.count && text == end) return true;
	return order_free(o), false;
}

void order_free(struct order *o)
{
	if (o->file >= 0) close(o->file);
	free(o->argv);
	*o = (struct order){ .file = -1 };
}
