/* Sequenced packets: one write is one read.
 * SPDX-License-Identifier: MIT */
#include "channel.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

bool channel_pair(int pair[2], unsigned ms)
{
	struct timeval limit = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return false;
	if (ms > 0) {
		setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	}
	return true;
}

/* Room for the descriptors of a message, aligned as the macros want it.  */
union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(CHANNEL_FDS * sizeof (int))];
};

bool channel_send(int channel, const void *message, size_t n, const int fds[CHANNEL_FDS])
{
	union control control = { 0 };
	struct iovec v = { (void *)(uintptr_t)message, n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	unsigned count = 0;
	while (fds && count < CHANNEL_FDS && fds[count] >= 0) count++;
	if (count > 0) {
		m.msg_control = &control;
		m.msg_controllen = (unsigned)CMSG_SPACE(count * sizeof (int));
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = (unsigned)CMSG_LEN(count * sizeof (int)) };
		memcpy(CMSG_DATA(&control.head), fds, count * sizeof (int));
	}
	ssize_t w;
	do w = sendmsg(channel, &m, MSG_NOSIGNAL);
	while (w < 0 && errno == EINTR);
	return w == (ssize_t)n;
}

/* What came along, into fds or closed.  We send one header, so there is one.  */
static void take_descriptors(struct msghdr *m, int fds[CHANNEL_FDS])
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(m);
	for (int i = 0; fds && i < CHANNEL_FDS; i++) fds[i] = -1;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) return;
	size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof (int);
	for (size_t i = 0; i < count; i++) {
		int fd;
		memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
		if (fds && i < CHANNEL_FDS) fds[i] = fd;
		else close(fd);
	}
}

ssize_t channel_receive(int channel, void *message, size_t n, int fds[CHANNEL_FDS])
{
	union control control;
	struct iovec v = { message, n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t r;
	do r = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r >= 0) take_descriptors(&m, fds);
	return r >= 0 && m.msg_flags & MSG_TRUNC ? -1 : r;
}

/* A file goes as its size or an error, then its octets in pieces.  */
struct file_head {
	int32_t error;
	uint32_t size;
};

bool channel_send_file(int channel, int fd, int error)
{
	char piece[CHANNEL_PIECE];
	off_t size = error ? 0 : lseek(fd, 0, SEEK_END);
	if (size < 0) error = errno;
	if (size > INT32_MAX) error = EFBIG;
	struct file_head head = { .error = error, .size = error ? 0 : (uint32_t)size };
	if (!channel_send(channel, &head, sizeof head, NULL)) return false;
	for (off_t at = 0; at < (off_t)head.size;) {
		ssize_t n = pread(fd, piece, sizeof piece, at);
		if (n <= 0 || !channel_send(channel, piece, (size_t)n, NULL)) return false;
		at += n;
	}
	return true;
}

char *channel_receive_file(int channel, size_t most)
{
	struct file_head head = { 0 };
	size_t n = 0;
	errno = EIO;
	if (channel_receive(channel, &head, sizeof head, NULL) != sizeof head) return NULL;
	errno = head.error ? head.error : head.size > most ? EFBIG : 0;
	char *text = errno ? NULL : malloc((size_t)head.size + 1);
	if (!text) return NULL;
	while (n < head.size) {
		ssize_t r = channel_receive(channel, text + n, head.size - n, NULL);
		if (r <= 0) {
			free(text);
			errno = EIO;
			return NULL;
		}
		n += (size_t)r;
	}
	text[n] = '\0';
	if (strlen(text) == n) return text;
	free(text);
	errno = EBADMSG;
	return NULL;
}

size_t channel_raise_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		getrlimit(RLIMIT_NOFILE, &limit);
	}
	return (size_t)limit.rlim_cur;
}
