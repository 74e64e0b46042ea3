/* A library for LD_PRELOAD which makes of maildir-deliver a worse program: fsync does nothing for files (POWER_LIE=file) or for directories
 * (POWER_LIE=directory), or syncfs nothing (POWER_LIE=many).  tests/faults/power must notice.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int lies_about(int fd)
{
	const char *what = getenv("POWER_LIE");
	struct stat st;
	return what && fstat(fd, &st) == 0 && strcmp(what, S_ISDIR(st.st_mode) ? "directory" : "file") == 0;
}

int fsync(int fd) { return lies_about(fd) ? 0 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return lies_about(fd) ? 0 : (int)syscall(SYS_fdatasync, fd); }
int sync_file_range(int fd, off_t from, off_t n, unsigned flags) { return lies_about(fd) ? 0 : (int)syscall(SYS_sync_file_range, fd, from, n, flags); }

int syncfs(int fd)
{
	const char *what = getenv("POWER_LIE");
	return what && strcmp(what, "many") == 0 ? 0 : (int)syscall(SYS_syncfs, fd);
}
