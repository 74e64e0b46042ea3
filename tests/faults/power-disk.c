/* power-disk IMAGE LOG MOUNTPOINT: a disk that remembers.  A FUSE file system of one file, mounted on the file MOUNTPOINT, which serves IMAGE
 * and notes in LOG when each write and each flush came and when it was answered.  A loop device on MOUNTPOINT is then a disk with a
 * volatile cache, and LOG tells what a power cut may leave of it.  Speaks the kernel's protocol itself: it must see which requests were
 * under way at the same time, and no library shows that.  To be started where no mount is shared with others (tests/faults/power).
 * SPDX-License-Identifier: MIT */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* A record of the log.  WRITE, when it comes: where on the disk; its octets follow.  DONE, when a write is answered: where its record is.
 * FLUSH, when it is answered: how long the log was when it came, so that each write DONE before that place is safe now.  */
struct record { uint32_t kind, length; uint64_t where; };
enum { WRITE = 'W', DONE = 'D', FLUSH = 'F' };

/* A request under way: each takes a time of its own, so that they overlap and overtake one another as on a disk.  */
struct request { uint64_t unique, due, where; uint32_t kind, size; };
enum { MICROSECONDS = 3000 };

enum { MOST = 1 << 20, PAGES = MOST / 4096, UNDER_WAY = 256 };

static int fuse, image, record;
static uint64_t logged;         /* octets of the log */
static struct request under_way[UNDER_WAY];
static unsigned count;
static _Alignas(8) char request[MOST + 65536], data[MOST];

static void reply(const struct fuse_in_header *in, int error, const void *p, size_t n)
{
	struct fuse_out_header out = { .len = (uint32_t)(sizeof out + n), .error = -error, .unique = in->unique };
	struct iovec v[] = { { &out, sizeof out }, { (void *)p, n } };
	if (writev(fuse, v, 2) < 0 && errno != ENOENT) err(1, "reply");
}

static void note(uint32_t kind, const void *p, uint32_t n, uint64_t where)
{
	struct record r = { kind, n, where };
	struct iovec v[] = { { &r, sizeof r }, { (void *)p, n } };
	if (writev(record, v, 2) != (ssize_t)(sizeof r + n)) err(1, "log");
	logged += sizeof r + n;
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void answer_later(const struct fuse_in_header *in, uint32_t kind, uint32_t size, uint64_t where)
{
	if (count == UNDER_WAY) errx(1, "the kernel sends more at a time than it may");
	under_way[count++] = (struct request){ in->unique, now() + (uint64_t)rand() % MICROSECONDS, where, kind, size };
}

static void answer(const struct request *r)
{
	const struct fuse_in_header in = { .unique = r->unique };
	const struct fuse_write_out out = { .size = r->size };
	note(r->kind, NULL, 0, r->where);
	reply(&in, 0, &out, r->kind == DONE ? sizeof out : 0);
}

/* Answer what is due.  Returns the microseconds until more is; 0 for nothing under way.  */
static uint64_t answer_due(void)
{
	uint64_t t = now(), next = 0;
	unsigned left = 0;
	for (unsigned i = 0; i < count; i++) {
		struct request r = under_way[i];
		if (r.due <= t) {
			answer(&r);
			continue;
		}
		if (!next || r.due - t < next) next = r.due - t;
		under_way[left++] = r;
	}
	count = left;
	return next;
}

static void do_write(const struct fuse_in_header *in, const struct fuse_write_in *w)
{
	if (pwrite(image, w + 1, w->size, (off_t)w->offset) != (ssize_t)w->size) err(1, "image");
	uint64_t where = logged;
	note(WRITE, w + 1, w->size, w->offset);
	answer_later(in, DONE, w->size, where);
}

static void do_read(const struct fuse_in_header *in, const struct fuse_read_in *r)
{
	ssize_t n = pread(image, data, r->size < MOST ? r->size : MOST, (off_t)r->offset);
	if (n < 0) err(1, "image");
	reply(in, 0, data, (size_t)n);
}

static void do_init(const struct fuse_in_header *in, const struct fuse_init_in *i)
{
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = MOST, .max_pages = PAGES,
		.max_background = UNDER_WAY / 2, .congestion_threshold = UNDER_WAY / 2, .flags = i->flags & (FUSE_ASYNC_DIO | FUSE_BIG_WRITES | FUSE_MAX_PAGES) };
	if (i->minor < out.minor) out.minor = i->minor;
	reply(in, 0, &out, sizeof out);
}

static void do_getattr(const struct fuse_in_header *in)
{
	struct stat st;
	if (fstat(image, &st) != 0) err(1, "image");
	struct fuse_attr_out out = { .attr_valid = 3600, .attr = { .ino = FUSE_ROOT_ID, .size = (uint64_t)st.st_size, .blocks = (uint64_t)st.st_size / 512,
		.mode = S_IFREG | 0600, .nlink = 1, .blksize = 4096 } };
	reply(in, 0, &out, sizeof out);
}

/* False at the end.  */
static bool serve(const struct fuse_in_header *in)
{
	const void *body = in + 1;
	switch (in->opcode) {
	case FUSE_WRITE: do_write(in, body); break;
	case FUSE_FSYNC: answer_later(in, FLUSH, 0, logged); break;
	case FUSE_READ: do_read(in, body); break;
	case FUSE_INIT: do_init(in, body); break;
	case FUSE_GETATTR: do_getattr(in); break;
	case FUSE_OPEN: reply(in, 0, &(struct fuse_open_out){ .open_flags = FOPEN_DIRECT_IO }, sizeof(struct fuse_open_out)); break;
	case FUSE_FLUSH: case FUSE_RELEASE: reply(in, 0, NULL, 0); break;
	case FUSE_FORGET: case FUSE_BATCH_FORGET: case FUSE_INTERRUPT: break;
	case FUSE_DESTROY: reply(in, 0, NULL, 0); return false;
	default: reply(in, ENOSYS, NULL, 0);    /* no discard either: the disk has what was written */
	}
	return true;
}

/* Everything that waits is read before anything is answered: a flush that the kernel sent before it knew of the end of a write is no promise
 * for that write.  */
static void run(void)
{
	struct pollfd p = { .fd = fuse, .events = POLLIN };
	uint64_t wait = 0;
	bool more = true;
	while (more) {
		struct timespec t = { .tv_nsec = (long)wait * 1000 };
		if (ppoll(&p, 1, count > 0 ? &t : NULL, NULL) == 0) {
			wait = answer_due();
			continue;
		}
		wait = 0;
		ssize_t n = read(fuse, request, sizeof request);
		if (n >= (ssize_t)sizeof(struct fuse_in_header)) more = serve((const void *)request);
		else if (errno == ENODEV) more = false;         /* unmounted */
		else if (errno != EAGAIN && errno != EINTR && errno != ENOENT) err(1, "/dev/fuse");
	}
}

int main(int argc, char **argv)
{
	char options[100];
	if (argc != 4) errx(64, "usage: power-disk IMAGE LOG MOUNTPOINT");
	image = open(argv[1], O_RDWR | O_CLOEXEC);
	record = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (image < 0 || record < 0) err(1, "%s, %s", argv[1], argv[2]);
	fuse = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fuse < 0) err(77, "/dev/fuse");
	snprintf(options, sizeof options, "fd=%d,rootmode=%o,user_id=0,group_id=0", fuse, S_IFREG);
	if (mount("power-disk", argv[3], "fuse", MS_NOSUID | MS_NODEV, options) != 0) err(77, "mount of a FUSE file system");
	/* we are the disk, and must never wait for ourselves: not for memory, and not at our end for the unmount of what others mount on us */
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	if (unshare(CLONE_NEWNS) != 0 || umount2(argv[3], MNT_DETACH) != 0) err(1, "leaving the mount");
	puts("ready");
	fflush(stdout);
	run();
	return 0;
}
