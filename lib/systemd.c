/* The seam to libsystemd, loaded by dlopen(3) as systemd's own programs do with their libraries.
 * SPDX-License-Identifier: MIT */
#include "systemd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <dlfcn.h>
#include <systemd/sd-daemon.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#endif

/* Where libsystemd is not there: the protocol itself is two variables and a convention (sd_listen_fds(3), NOTES).  */
static int plain_passed_descriptors(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	return pid && fds && atol(pid) == (long)gettid() ? atoi(fds) : 0;
}

static bool plain_connected_stream(int fd)
{
	int value = 0;
	socklen_t len = sizeof value;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len) != 0 || value != SOCK_STREAM) return false;
	len = sizeof value;
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && !value;
}

#ifdef HAVE_SYSTEMD
/* The address of a libsystemd function; `target` is a function pointer of its type.  */
static bool load(const char *name, void *target)
{
	static void *library;
	if (!library) library = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
	void *f = library ? dlsym(library, name) : NULL;
	*(void **)target = f;           /* POSIX lets a function pointer be stored this way */
	return f;
}

void systemd_load(void)
{
	__typeof__(&sd_journal_sendv) sendv;
	load("sd_journal_sendv", &sendv);
}

static int passed_descriptors(void)
{
	__typeof__(&sd_listen_fds) listen_fds;
	return load("sd_listen_fds", &listen_fds) ? listen_fds(1) : plain_passed_descriptors();
}

static bool connected_stream(int fd)
{
	__typeof__(&sd_is_socket) is_socket;
	return load("sd_is_socket", &is_socket) ? is_socket(fd, AF_UNSPEC, SOCK_STREAM, 0) > 0 : plain_connected_stream(fd);
}

bool systemd_journal(int priority, const char *text, const struct systemd_field *fields, size_t n)
{
	__typeof__(&sd_journal_sendv) sendv;
	enum { MOST = 16, ROOM = 4096 };
	static char buf[ROOM];
	struct iovec iov[MOST];
	size_t used = 0, count = 0;
	if (!load("sd_journal_sendv", &sendv)) return false;
	for (size_t i = 0; i < n + 2 && i < MOST; i++) {
		char *s = buf + used;
		size_t room = sizeof buf - used;
		int len = i == 0 ? snprintf(s, room, "MESSAGE=%s", text) : i == 1 ? snprintf(s, room, "PRIORITY=%d", priority) :
			snprintf(s, room, "%s=%s", fields[i - 2].name, fields[i - 2].value);
		if (len < 0 || (size_t)len >= room) return false;
		iov[count++] = (struct iovec){ .iov_base = s, .iov_len = (size_t)len };
		used += (size_t)len;
	}
	return sendv(iov, (int)count) == 0;
}
#else
static int passed_descriptors(void) { return plain_passed_descriptors(); }
static bool connected_stream(int fd) { return plain_connected_stream(fd); }
void systemd_load(void) { }

bool systemd_journal(int priority, const char *text, const struct systemd_field *fields, size_t n)
{
	(void)priority, (void)text, (void)fields, (void)n;
	return false;
}
#endif

int systemd_connection(void)
{
	enum { FIRST = 3 };     /* SD_LISTEN_FDS_START */
	const char *count = getenv("LISTEN_FDS");
	if (!count || strcmp(count, "0") == 0) return -1;
	int n = passed_descriptors();
	if (n == 0) return -1;
	return n == 1 && connected_stream(FIRST) ? FIRST : -2;
}
