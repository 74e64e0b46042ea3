/* power-disk IMAGE LOG MOUNTPOINT: a disk that remembers.  A FUSE file system of one file, mounted on the file MOUNTPOINT, which serves IMAGE
 * and writes every write and every flush to LOG, in the order in which it did them.  A loop device on MOUNTPOINT is then a disk with a
 * volatile cache, and LOG tells what a power cut may leave of it.  Speaks the kernel's protocol itself: it must see which requests were
 * under way at the same time, and no library shows that.
 * SPDX-License-Identifier: MIT */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* A record of the log.  A write: where on the disk; its octets follow.  A flush: everything in front of this place of the log is safe.  */
struct record { uint32_t kind, length; uint64_t where; };
enum { WRITE = 'W', FLUSH = 'F' };

enum { MOST = 1 << 20, PAGES = MOST / 4096, BATCH = 256 };

static int fuse, image, record;
static uint64_t logged, answered;       /* octets of the log; those of them whose writes the kernel knows to be done */
static struct fuse_out_header waiting[BATCH];
static struct fuse_write_out sizes[BATCH];
static unsigned batch;
static _Alignas(8) char request[MOST + 65536], data[MOST];

static void reply(const struct fuse_in_header *in, int error, const void *p, size_t n)
{
	struct fuse_out_header out = { .len = (uint32_t)(sizeof out + n), .error = -error, .unique = in->unique };
	struct iovec v[] = { { &out, sizeof out }, { (void *)p, n } };
	if (writev(fuse, v, 2) < 0 && errno != ENOENT) err(1, "reply");
}

/* A write or a flush is logged at once, and answered together with all that were under way with it.  */
static void later(const struct fuse_in_header *in, uint32_t size)
{
	waiting[batch] = (struct fuse_out_header){ .len = sizeof *waiting + (size ? sizeof *sizes : 0), .unique = in->unique };
	sizes[batch++].size = size;
}

static void answer_batch(void)
{
	for (unsigned i = 0; i < batch; i++) {
		struct iovec v[] = { { &waiting[i], sizeof *waiting }, { &sizes[i], waiting[i].len - sizeof *waiting } };
		if (writev(fuse, v, 2) < 0 && errno != ENOENT) err(1, "reply");
	}
	batch = 0;
	answered = logged;
}

static void note(uint32_t kind, const void *p, uint32_t n, uint64_t where)
{
	struct record r = { kind, n, where };
	struct iovec v[] = { { &r, sizeof r }, { (void *)p, n } };
	if (writev(record, v, 2) != (ssize_t)(sizeof r + n)) err(1, "log");
	logged += sizeof r + n;
}

static void do_write(const struct fuse_in_header *in, const struct fuse_write_in *w)
{
	if (pwrite(image, w + 1, w->size, (off_t)w->offset) != (ssize_t)w->size) err(1, "image");
	note(WRITE, w + 1, w->size, w->offset);
	later(in, w->size);
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
		.max_background = BATCH / 2, .congestion_threshold = BATCH / 2, .flags = i->flags & (FUSE_ASYNC_DIO | FUSE_BIG_WRITES | FUSE_MAX_PAGES) };
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
	case FUSE_FSYNC: note(FLUSH, NULL, 0, answered); later(in, 0); break;
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

/* Read all that comes until nothing more does for a while, then answer it: what is in one batch was under way at the same time, so a flush in
 * it is no promise for a write in it.  The while is that of a disk; without it hardly any two requests would meet.  */
static void run(void)
{
	enum { WHILE = 1 };     /* milliseconds */
	struct pollfd p = { .fd = fuse, .events = POLLIN };
	bool more = true;
	while (more) {
		if (batch == BATCH || poll(&p, 1, batch > 0 ? WHILE : -1) == 0) {
			answer_batch();
			continue;
		}
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
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);   /* we are the disk: never wait for ourselves */
	puts("ready");
	fflush(stdout);
	run();
	return 0;
}
