/* Stage all, publish all.  The body comes once: a small one waits in memory and is written to every copy, a large one streams into the
 * first copy's file and the kernel copies it from there.  Then every file is synced, then all are renamed, then every directory is synced.
 * SPDX-License-Identifier: MIT */
#include "delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "owner.h"

/* One name of a mailbox.  */
struct name {
	struct name *next;      /* of the same mailbox */
	char rcpt[PATH_MAX_LEN + 1];
};

/* One mailbox.  */
struct copy {
	struct maildir box;
	struct maildir_file file;
	struct name *names;
	size_t head_len, head_lines;    /* Return-Path and Delivered-To */
};

/* Room for one of each, which need not belong together: a mailbox may have several names.  */
struct recipient {
	struct copy copy;
	struct name name;
};

enum { DESCRIPTORS_PER_COPY = 4, DESCRIPTORS_ELSE = 24, SURELY = 64, MARKS_MOST = 200 };

static const char mark[] = "Delivered-To:";

/* One mapping, of which a page that is not used costs nothing.  */
bool delivery_init(struct delivery *d, const char *host, size_t room)
{
	d->host = host;
	d->room = room;
	d->most = (SURELY - DESCRIPTORS_ELSE) / DESCRIPTORS_PER_COPY;
	d->all = mmap(NULL, room * sizeof *d->all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return d->all != MAP_FAILED;
}

/* As many descriptors as we may have.  */
static void raise_limit(struct delivery *d)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur > SURELY) d->most = (size_t)(limit.rlim_cur - DESCRIPTORS_ELSE) / DESCRIPTORS_PER_COPY;
}

static const struct { int error; const struct reply *reply; } replies[] = {
	{ ENOSPC, REPLY(DISK_FULL) }, { EDQUOT, REPLY(QUOTA) }, { EFBIG, REPLY(DISK_FULL) },
	{ EMFILE, REPLY(LOCAL_ERROR) }, { ENFILE, REPLY(LOCAL_ERROR) }, { ENOMEM, REPLY(LOCAL_ERROR) },
};

static const struct reply *reply_for(int error)
{
	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
		if (replies[i].error == error) return replies[i].reply;
	return REPLY(MAILBOX_TROUBLE);
}

/* Note the first failure, and say it in the log.  */
static void fail(struct delivery *d, const struct copy *c, const char *what, int error)
{
	char text[4 * PATH_MAX_LEN + 8];
	if (d->error) return;
	d->error = error;
	log_line(LEVEL_ERROR, "%s: %s: %s", log_escape(text, sizeof text, c->names->rcpt), what, strerror(error));
}

/* The copy for this directory, whatever it was called before; NULL if there is none yet.  */
static struct copy *find_copy(const struct delivery *d, const struct maildir *box)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->all[i].copy.box.dev == box->dev && d->all[i].copy.box.ino == box->ino) return &d->all[i].copy;
	return NULL;
}

const struct reply *delivery_add(struct delivery *d, int box, const char *rcpt)
{
	struct maildir m;
	if (d->left_open) maildir_close(&d->all[0].copy.box);
	d->left_open = false;
	int e = maildir_open(&m, box);
	if (e) {
		char text[4 * PATH_MAX_LEN + 8];
		log_line(LEVEL_ERROR, "%s: cannot open mailbox: %s", log_escape(text, sizeof text, rcpt), strerror(e));
		return reply_for(e);
	}
	struct copy *c = find_copy(d, &m);
	if (!c && d->count == d->most) raise_limit(d);
	bool full = d->named == d->room || (!c && d->count >= d->most);
	if (c || full) maildir_close(&m);
	if (full) return REPLY(TOO_MANY_RCPT);
	if (!c) {
		c = &d->all[d->count++].copy;
		*c = (struct copy){ .box = m, .file.fd = -1 };
	}
	struct name *n = &d->all[d->named++].name, **last = &c->names;
	while (*last) last = &(*last)->next;
	*last = n;
	n->next = NULL;
	snprintf(n->rcpt, sizeof n->rcpt, "%s", rcpt);
	return NULL;
}

void delivery_begin(struct delivery *d, const char *sender)
{
	snprintf(d->sender, sizeof d->sender, "%s", sender);
	d->error = 0;
	d->spilled = d->looped = d->apart = false;
	d->size = d->lines = d->written = 0;
	d->body_len = 0;
	d->marks = 0;
	for (size_t i = 0; i < d->count; i++) d->apart |= d->all[i].copy.box.uid != d->all[0].copy.box.uid;
}

/* Write all of the vector; it is used up.  */
static int write_all(int fd, struct iovec *v, int n)
{
	while (n > 0) {
		ssize_t w = writev(fd, v, n);
		if (w < 0 && errno == EINTR) continue;
		if (w < 0) return errno;
		if (w == 0) return EIO;
		while (n > 0 && (size_t)w >= v->iov_len) {
			w -= (ssize_t)v->iov_len;
			v++;
			n--;
		}
		if (n > 0) {
			v->iov_base = (char *)v->iov_base + w;
			v->iov_len -= (size_t)w;
		}
	}
	return 0;
}

/* The lines on top, and what is in memory behind them: in one call, unless a mailbox has many names.  */
static int write_new(const struct delivery *d, struct copy *c)
{
	char head[4096];
	size_t n = (size_t)snprintf(head, sizeof head, "Return-Path: <%s>\n", d->sender);
	c->head_len = 0;
	c->head_lines = 1;
	for (const struct name *name = c->names; name; name = name->next) {
		if (sizeof head - n < sizeof mark + sizeof name->rcpt + 2) {
			int e = write_all(c->file.fd, &(struct iovec){ head, n }, 1);
			if (e) return e;
			c->head_len += n;
			n = 0;
		}
		n += (size_t)sprintf(head + n, "%s %s\n", mark, name->rcpt);
		c->head_lines++;
	}
	c->head_len += n;
	return write_all(c->file.fd, (struct iovec[]){ { head, n }, { (void *)d->body, d->body_len } }, 2);
}

/* Write what is in memory behind what the file has.  */
static void write_copy(struct delivery *d, struct copy *c)
{
	bool new = c->file.where == MAILDIR_NONE;
	int e = new ? maildir_create(&c->box, &c->file, d->host) : owner_enter(c->box.uid, c->box.gid);
	if (e) {
		fail(d, c, "cannot create a file in tmp", e);
		return;
	}
	e = new ? write_new(d, c) : write_all(c->file.fd, &(struct iovec){ d->body, d->body_len }, 1);
	if (e) fail(d, c, "cannot write", e);
}

static void spill(struct delivery *d)
{
	for (size_t i = 0; i < (d->apart ? d->count : 1) && !d->error; i++) write_copy(d, &d->all[i].copy);
	d->spilled = true;
	d->written += d->body_len;
	d->body_len = 0;
}

void delivery_write(struct delivery *d, const char *p, size_t n)
{
	d->size += n;
	while (n > 0 && !d->error) {
		size_t room = sizeof d->body - d->body_len, piece = n < room ? n : room;
		memcpy(d->body + d->body_len, p, piece);
		d->body_len += piece;
		p += piece;
		n -= piece;
		if (d->body_len == sizeof d->body) spill(d);
	}
}

void delivery_header(struct delivery *d, const char *line)
{
	if (strncasecmp(line, mark, sizeof mark - 1) != 0 || d->marks++ >= MARKS_MOST) return;
	const char *value = line + sizeof mark - 1;
	value += strspn(value, " \t");
	size_t n = strlen(value);
	while (n > 0 && strchr(" \t", value[n - 1])) n--;
	for (size_t i = 0; i < d->named; i++)
		if (strncasecmp(d->all[i].name.rcpt, value, n) == 0 && d->all[i].name.rcpt[n] == '\0') d->looped = true;
}

static int copy_by_hand(int from, loff_t at, int to, uint64_t n, char *buf, size_t size)
{
	while (n > 0) {
		ssize_t r = pread(from, buf, n < size ? (size_t)n : size, at);
		if (r < 0 && errno == EINTR) continue;
		if (r <= 0) return r == 0 ? EIO : errno;
		int e = write_all(to, &(struct iovec){ buf, (size_t)r }, 1);
		if (e) return e;
		at += r;
		n -= (uint64_t)r;
	}
	return 0;
}

/* The body from the first copy's file to another's, without taking it through memory where the kernel can.  */
static int copy_body(struct delivery *d, const struct copy *first, const struct copy *to)
{
	loff_t at = (loff_t)first->head_len;
	uint64_t left = d->written;
	while (left > 0) {
		ssize_t n = copy_file_range(first->file.fd, &at, to->file.fd, NULL, left < 1U << 30 ? (size_t)left : 1U << 30, 0);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return copy_by_hand(first->file.fd, at, to->file.fd, left, d->body, sizeof d->body);        /* it finds the true error */
		left -= (uint64_t)n;
	}
	return 0;
}

static void stage(struct delivery *d)
{
	struct copy *first = &d->all[0].copy;
	if (d->spilled && d->body_len > 0) spill(d);
	for (size_t i = d->spilled ? 1 : 0; i < d->count && !d->error && !(d->spilled && d->apart); i++) {
		struct copy *c = &d->all[i].copy;
		write_copy(d, c);
		if (d->error || !d->spilled) continue;
		int e = owner_enter(c->box.uid, c->box.gid);
		if (!e) e = copy_body(d, first, c);
		if (e) fail(d, c, "cannot copy", e);
	}
	if (d->count > 1) /* all disks at work before the first wait: 2.7 times faster than one fsync after the other */
		for (size_t i = 0; i < d->count && !d->error; i++) sync_file_range(d->all[i].copy.file.fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	for (size_t i = 0; i < d->count && !d->error; i++) {
		int e = maildir_settle(&d->all[i].copy.file);
		if (e) fail(d, &d->all[i].copy, "cannot sync the file", e);
	}
}

static void publish(struct delivery *d, uint64_t lines)
{
	for (size_t i = 0; i < d->count && !d->error; i++) {
		struct copy *c = &d->all[i].copy;
		uint64_t size = c->head_len + d->size;
		int e = maildir_publish(&c->box, &c->file, size, size + c->head_lines + lines);
		if (e) fail(d, c, "cannot rename into new", e);
	}
	for (size_t i = 0; i < d->count && !d->error; i++) {
		int e = maildir_sync(&d->all[i].copy.box);
		if (e) fail(d, &d->all[i].copy, "cannot sync new", e);
	}
}

const struct reply *delivery_commit(struct delivery *d, uint64_t lines)
{
	if (d->looped) return REPLY(DELIVERED_BEFORE);
	if (!d->error) stage(d);
	if (!d->error) publish(d, lines);
	if (d->error) return reply_for(d->error);
	time_t now = time(NULL);
	for (size_t i = 0; i < d->count; i++) {
		log_line(LEVEL_DEBUG, "stored as %s", d->all[i].copy.file.name);
		d->all[i].copy.file.where = MAILDIR_NONE;         /* not ours to remove any more */
		maildir_sweep(&d->all[i].copy.box, now);
	}
	return REPLY(FLUSHED);
}

void delivery_end(struct delivery *d)
{
	for (size_t i = 0; i < d->count; i++) {
		maildir_retract(&d->all[i].copy.box, &d->all[i].copy.file);
		if (d->count > 1) maildir_close(&d->all[i].copy.box);
	}
	if (d->count > 0) d->left_open = d->count == 1;
	d->count = d->named = 0;
}
