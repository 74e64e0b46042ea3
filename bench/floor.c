/* floor DIR WORKERS COUNT SIZE COPIES: what the disk allows.  WORKERS processes make COUNT deliveries in all, each of COPIES files: write
 * DIR/tmp/N, fsync, rename to DIR/new, and at last fsync of the directory.  With many copies, each goes to a Maildir of its own below DIR, and
 * the writing of all begins before the first is waited for.  Prints how many seconds that took.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX = 1000, BLOCK = 65536 };
static int fds[MAX], dirs[MAX];        /* a file in tmp/ and the directory new/ of each copy */
static int root;

static bool put(int fd, size_t size)
{
	static char block[BLOCK];
	while (size > 0) {
		ssize_t n = write(fd, block, size < BLOCK ? size : BLOCK);
		if (n <= 0) return false;
		size -= (size_t)n;
	}
	return true;
}

static void name(char *to, size_t room, int copy, const char *sub, int worker, int i)
{
	snprintf(to, room, "%d/%s/%d.%d", copy, sub, worker, i);
}

static bool deliver(int worker, int i, size_t size, int copies)
{
	char from[64], to[64];
	for (int c = 0; c < copies; c++) {
		name(from, sizeof from, c, "tmp", worker, i);
		fds[c] = openat(root, from, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fds[c] < 0 || !put(fds[c], size)) return false;
	}
	for (int c = 0; copies > 1 && c < copies; c++) sync_file_range(fds[c], 0, 0, SYNC_FILE_RANGE_WRITE);
	for (int c = 0; c < copies; c++)
		if (fsync(fds[c]) != 0 || close(fds[c]) != 0) return false;
	for (int c = 0; c < copies; c++) {
		name(from, sizeof from, c, "tmp", worker, i);
		name(to, sizeof to, c, "new", worker, i);
		if (renameat(root, from, root, to) != 0) return false;
	}
	for (int c = 0; c < copies; c++)
		if (fsync(dirs[c]) != 0) return false;
	return true;
}

static bool prepare(int copies)
{
	char path[64];
	for (int c = 0; c < copies; c++) {
		for (int k = 0; k < 3; k++) {
			static const char *const subs[] = { "", "/tmp", "/new" };
			snprintf(path, sizeof path, "%d%s", c, subs[k]);
			mkdirat(root, path, 0700);
		}
		dirs[c] = openat(root, path, O_RDONLY | O_DIRECTORY);
		if (dirs[c] < 0) return false;
	}
	return true;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	if (argc != 6) return 64;
	int workers = atoi(argv[2]), count = atoi(argv[3]), copies = atoi(argv[5]), status = 0, failed = 0;
	size_t size = (size_t)atol(argv[4]);
	root = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (root < 0 || copies < 1 || copies > MAX || !prepare(copies)) return perror("floor"), 1;
	double start = now();
	for (int w = 0; w < workers; w++)
		if (fork() == 0) {
			for (int i = w; i < count; i += workers)
				if (!deliver(w, i, size, copies)) perror("floor"), _exit(1);
			_exit(0);
		}
	while (wait(&status) > 0) failed |= status;
	if (failed) return 1;
	printf("%.6f\n", now() - start);
	return 0;
}
