/* Stage all, publish all.  The body comes once: a small one waits in memory and is written to every copy, a large one streams into the
 * first copy's file and the kernel copies it from there.  Then every file is synced, then all are renamed, then every directory is synced.
 * SPDX-License-Identifier: MIT */
#include "delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "owner.h"
#include "parts.h"
#include "writer.h"

enum { MARKS_MOST = 200 };

static const char mark[] = "Delivered-To:";

static const struct { int error; const struct reply *reply; } replies[] = {
	{ ENOSPC, REPLY(DISK_FULL) }, { EDQUOT, REPLY(QUOTA) }, { EFBIG, REPLY(DISK_FULL) },
	{ EMFILE, REPLY(LOCAL_ERROR) }, { ENFILE, REPLY(LOCAL_ERROR) }, { ENOMEM, REPLY(LOCAL_ERROR) },
};

static const struct reply *reply_for(const struct delivery *d, int error)
{
	if (error == EDQUOT && d->cf->quota_hard) return REPLY(QUOTA_HARD);
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

void delivery_begin(struct delivery *d)
{
	d->error = 0;
	d->failure = NULL;
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
	size_t n = (size_t)snprintf(head, sizeof head, "Return-Path: <%s>\n", c->sender);
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
	int e = new ? maildir_create(&c->box, &c->file, d->cf->hostname) : owner_enter(c->box.uid, c->box.gid);
	if (e) {
		fail(d, c, "cannot create a file in tmp", e);
		return;
	}
	e = new ? write_new(d, c) : write_all(c->file.fd, &(struct iovec){ d->body, d->body_len }, 1);
	if (e) fail(d, c, "cannot write", e);
}

/* It was not ours to do, and did not get done.  */
static void fail_elsewhere(struct delivery *d, const struct reply *r)
{
	if (!d->error) d->failure = r ? r : REPLY(LOCAL_ERROR);
	if (!d->error) d->error = EIO;
}

/* The file from which programs will read the message: made when its first octets are there.  */
static void write_spool(struct delivery *d)
{
	char head[2 * PATH_MAX_LEN + 64];
	int e = 0;
	if (d->spool < 0) {
		const struct job *j = &d->job[0].job;
		d->spool = monitor_spool(d->monitor);
		int n = snprintf(head, sizeof head, "Return-Path: <%s>\n%s %s\n", j->sender, mark, j->rcpt);
		e = d->spool < 0 ? errno : write_all(d->spool, &(struct iovec){ head, (size_t)n }, 1);
	}
	if (!e && d->body_len > 0) e = write_all(d->spool, &(struct iovec){ d->body, d->body_len }, 1);
	if (!e) return;
	log_line(LEVEL_ERROR, "cannot keep a message for a program: %s", strerror(e));
	if (!d->error) d->error = e;
}

static void fail_writer(struct delivery *d, const struct user *u)
{
	user_blame(u, REPLY(LOCAL_ERROR));
	fail_elsewhere(d, NULL);
}

static void fail_queue(struct delivery *d, int error)
{
	if (!error || d->error) return;
	d->error = error;
	log_line(LEVEL_ERROR, "queue_dir = %s: %s", d->cf->queue_dir, strerror(error));
}

/* What is in memory goes to everybody who is not ours.  */
static void write_elsewhere(struct delivery *d)
{
	if (d->outgoing.count > 0 && !d->error) fail_queue(d, outgoing_write(&d->outgoing, d->body, d->body_len));
	for (size_t i = 0; i < d->users && !d->error; i++)
		if (!writer_write(d->user[i].writer, d->body, d->body_len)) fail_writer(d, &d->user[i]);
	if (d->jobs > 0 && !d->error) write_spool(d);
}

static void spill(struct delivery *d)
{
	for (size_t i = 0; i < (d->apart || d->count == 0 ? d->count : 1) && !d->error; i++) write_copy(d, &d->all[i].copy);
	write_elsewhere(d);
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

/* Somebody is over his quota before this message.  (One more than fits is forgiven: what holds up one holds up all.)  */
static void check_quota(struct delivery *d)
{
	for (size_t i = 0; i < d->count && !d->error; i++) {
		const struct copy *c = &d->all[i].copy;
		if (mailbox_full(d->cf, &c->mailbox, &c->box)) fail(d, c, "quota", EDQUOT);
	}
}

/* Each fsync waits for the disk's own cache.  With many copies that is most of the time, so then each file system is synced once, whatever else there is
 * to be written on it: 1000 files in a thirtieth of the time of 1000 fsyncs.  */
static bool many(const struct delivery *d)
{
	enum { MANY = 32 };
	return d->count >= MANY;
}

static void sync_file_systems(struct delivery *d, const char *what)
{
	for (size_t i = 0; i < d->count && !d->error; i++) {
		const struct copy *c = &d->all[i].copy;
		if (i > 0 && c->box.dev == d->all[i - 1].copy.box.dev) continue;
		int e = maildir_sync_all(&c->box);
		if (e) fail(d, c, what, e);
	}
}

static void stage_ours(struct delivery *d)
{
	struct copy *first = &d->all[0].copy;
	for (size_t i = d->spilled ? 1 : 0; i < d->count && !d->error && !(d->spilled && d->apart); i++) {
		struct copy *c = &d->all[i].copy;
		write_copy(d, c);
		if (d->error || !d->spilled) continue;
		int e = owner_enter(c->box.uid, c->box.gid);
		if (!e) e = copy_body(d, first, c);
		if (e) fail(d, c, "cannot copy", e);
	}
	if (d->count > 1 && !many(d))   /* all disks at work before the first wait: 2.7 times faster than one fsync after the other */
		for (size_t i = 0; i < d->count && !d->error; i++) sync_file_range(d->all[i].copy.file.fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	for (size_t i = 0; i < d->count && !d->error; i++) {
		int e = maildir_settle(&d->all[i].copy.file, !many(d));
		if (e) fail(d, &d->all[i].copy, "cannot sync the file", e);
	}
	if (many(d)) sync_file_systems(d, "cannot sync the files");
}

/* Everybody's at once; then every answer is read.  All of it in one time limit, for who gave us the message waits no longer, and with its 451 nothing may stay.  */
static void all_writers(struct delivery *d, bool publish)
{
	size_t asked = 0;
	uint64_t end = d->ended + d->cf->deliver_timeout * (publish ? 7 : 4) / 8;
	while (asked < d->users && !d->error) {
		int w = d->user[asked].writer;
		if (publish ? writer_publish(w) : writer_stage(w, d->lines)) asked++;
		else fail_writer(d, &d->user[asked]);
	}
	for (size_t i = 0; i < asked; i++) {
		uint64_t now = millis();
		writer_limit(d->user[i].writer, now < end ? (unsigned)(end - now) : 1);
		const struct reply *r = writer_answer(d->user[i].writer);
		user_blame(&d->user[i], r);
		if (r) fail_elsewhere(d, r);
	}
}

static const struct reply *outcome(const struct delivery *d) { return !d->error ? NULL : d->failure ? d->failure : reply_for(d, d->error); }

const struct reply *delivery_stage(struct delivery *d, uint64_t lines)
{
	d->lines = lines;
	d->ended = millis();
	if (!d->error) check_quota(d);
	if (d->spilled && d->body_len > 0) spill(d);
	else if (!d->spilled && !d->error) write_elsewhere(d);
	if (!d->error) stage_ours(d);
	if (!d->error && d->outgoing.count > 0) fail_queue(d, outgoing_stage(&d->outgoing, d->size + d->lines));
	if (!d->error) all_writers(d, false);
	return outcome(d);
}

/* Programs cannot take back: they come when everything else can be done.  */
static void run_jobs(struct delivery *d)
{
	for (size_t i = 0; i < d->jobs && !d->error; i++) {
		struct external *e = &d->job[i];
		e->job.share = (uint32_t)d->jobs;       /* one after the other, in one time limit */
		const struct reply *r = monitor_run(d->monitor, &e->job, d->spool, e->owner, e->agent);
		if (r) fail_elsewhere(d, r);
	}
}

static void publish_ours(struct delivery *d)
{
	for (size_t i = 0; i < d->count && !d->error; i++) {
		struct copy *c = &d->all[i].copy;
		uint64_t size = c->head_len + d->size;
		int e = maildir_publish(&c->box, &c->file, size, size + c->head_lines + d->lines);
		if (e) fail(d, c, "cannot rename into new", e);
	}
	if (many(d)) sync_file_systems(d, "cannot sync new");
	for (size_t i = 0; i < d->count && !d->error && !many(d); i++) {
		int e = maildir_sync(&d->all[i].copy.box);
		if (e) fail(d, &d->all[i].copy, "cannot sync new", e);
	}
}

const struct reply *delivery_publish(struct delivery *d)
{
	if (!d->error) publish_ours(d);
	if (!d->error) all_writers(d, true);
	if (!d->error && d->outgoing.count > 0) fail_queue(d, outgoing_publish(&d->outgoing));  /* last: a pass may take it at once */
	return outcome(d);
}

bool delivery_keep(struct delivery *d)
{
	time_t now = time(NULL);
	outgoing_keep(&d->outgoing);    /* the others are asked for what they do not refuse */
	for (size_t i = 0; i < d->users; i++)
		if (!writer_keep(d->user[i].writer)) return false;
	for (size_t i = 0; i < d->count; i++) {
		struct copy *c = &d->all[i].copy;
		log_line(LEVEL_DEBUG, "stored as %s", c->file.name);
		c->file.where = MAILDIR_NONE;         /* not ours to remove any more */
		mailbox_count(&c->mailbox, &c->box, c->head_len + d->size);
		if (maildir_sweep_due(&c->file)) maildir_sweep(&c->box, now);
	}
	return true;
}

const struct reply *delivery_commit(struct delivery *d, uint64_t lines)
{
	if (d->looped) return REPLY(DELIVERED_BEFORE);
	const struct reply *r = delivery_stage(d, lines);
	if (!r) run_jobs(d);
	if (!r) r = delivery_publish(d);
	if (!r && !delivery_keep(d)) r = REPLY(LOCAL_ERROR);
	/* the sender shall try again for those who have room, and hear then who has none */
	if (r == REPLY(QUOTA_HARD) && d->count + d->users > 1) r = REPLY(QUOTA);
	return r ? r : REPLY(FLUSHED);
}

void delivery_end(struct delivery *d)
{
	for (size_t i = 0; i < d->count; i++) {
		maildir_retract(&d->all[i].copy.box, &d->all[i].copy.file);
		if (d->count > 1) copy_close(&d->all[i].copy);
	}
	for (size_t i = 0; i < d->users; i++) close(d->user[i].writer);
	for (size_t i = 0; i < d->jobs; i++) external_close(&d->job[i]);
	if (d->spool >= 0) close(d->spool);
	d->spool = -1;
	outgoing_end(&d->outgoing);
	if (d->count > 0) d->left_open = d->count == 1;
	d->count = d->named = d->users = d->jobs = 0;
}
