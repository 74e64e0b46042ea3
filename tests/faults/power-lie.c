/* A library for LD_PRELOAD which makes of a program a worse one: fsync does nothing for files (POWER_LIE=file) or for directories
 * (POWER_LIE=directory), or syncfs nothing (POWER_LIE=many).  tests/faults/power must notice.  And with POWER_LATER=SECONDS it is so much later.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char lie[16];
static time_t later;

/* At once: smtp-queue clears its environment.  */
__attribute__((constructor)) static void start(void)
{
	const char *what = getenv("POWER_LIE"), *seconds = getenv("POWER_LATER");
	if (what) strncpy(lie, what, sizeof lie - 1);
	if (seconds) later = atol(seconds);
}

static int lies_about(int fd)
{
	struct stat st;
	return *lie && fstat(fd, &st) == 0 && strcmp(lie, S_ISDIR(st.st_mode) ? "directory" : "file") == 0;
}

int fsync(int fd) { return lies_about(fd) ? 0 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return lies_about(fd) ? 0 : (int)syscall(SYS_fdatasync, fd); }
int sync_file_range(int fd, off_t from, off_t n, unsigned flags) { return lies_about(fd) ? 0 : (int)syscall(SYS_sync_file_range, fd, from, n, flags); }
int syncfs(int fd) { return strcmp(lie, "many") == 0 ? 0 : (int)syscall(SYS_syncfs, fd); }

time_t time(time_t *out)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += later;
	if (out) *out = now.tv_sec;
	return now.tv_sec;
}
