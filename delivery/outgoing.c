/* One file for the message, and one for each destination and sender.  All are written and synced in tmp/; then the message gets its links, then each entry is moved
 * into new/, where the next pass finds it: so there is no entry without its message.
 * SPDX-License-Identifier: MIT */
#include "outgoing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "entry.h"
#include "log.h"
#include "owner.h"

enum { DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, BUFFER = 8192 };

void outgoing_none(struct outgoing *o)
{
	static struct remote all[OUTGOING_MOST];
	*o = (struct outgoing){ .queue = -1, .tmp = -1, .message = -1, .fd = -1, .all = all };
}

void outgoing_open(struct outgoing *o, const struct config *cf)
{
	struct stat st;
	if (!*cf->queue_dir) return;
	o->queue = open(cf->queue_dir, DIRECTORY);
	if (o->queue >= 0 && fstat(o->queue, &st) == 0) {
		o->uid = st.st_uid;
		o->gid = st.st_gid;
	} else if (errno != ENOENT) {
		o->error = errno;
	}
}

void outgoing_miss(const struct outgoing *o, const struct config *cf)
{
	if (o->error) log_line(LEVEL_ERROR, "queue_dir = %s: %s: this program cannot send to other hosts", cf->queue_dir, entry_dir_error(cf->queue_dir, o->error));
}

/* Only the host there knows whether the case of a local part means anything (RFC 5321 2.4).  */
static bool same_address(const char *a, const char *b)
{
	if (strcasecmp(a, b) != 0) return false;
	const char *at = strrchr(a, '@');
	return !at || memcmp(a, b, (size_t)(at - a)) == 0;
}

static bool same_copy(const struct remote *a, const struct remote *b)
{
	return same_address(a->address, b->address) && strcmp(a->sender, b->sender) == 0 && strcmp(a->destination, b->destination) == 0;
}

const struct reply *outgoing_add(struct outgoing *o, const struct remote *r)
{
	struct remote *first = NULL;
	for (size_t i = 0; !first && i < o->count; i++)
		if (same_copy(&o->all[i], r)) first = &o->all[i];
	if (first && first->dsn.notify == r->dsn.notify) return NULL;
	if (o->count == OUTGOING_MOST) return REPLY(TOO_MANY_RCPT);
	o->all[o->count] = *r;
	o->all[o->count++].first = first;
	return NULL;
}

static void key_of(char key[ENTRY_KEY], const struct outgoing *o, size_t k) { snprintf(key, ENTRY_KEY, "%s-%zu", o->base, k); }

/* Whether an older message of this session, or of another that was told the same id, still waits under one of the names to be.  */
static bool is_used(const struct outgoing *o)
{
	enum { MOST = 100 };    /* beyond, the link will tell, and the message is put off */
	char key[ENTRY_KEY];
	struct stat st;
	for (size_t k = 1; k <= o->count && k <= MOST; k++) {
		key_of(key, o, k);
		if (fstatat(o->message, key, &st, AT_SYMLINK_NOFOLLOW) == 0) return true;
	}
	return false;
}

/* The message's file, under a name that no other has: that of all its entries begins with it.  */
static int create(struct outgoing *o)
{
	enum { TRIES = 100 };
	int e = owner_enter(o->uid, o->gid);
	if (e) return e;
	o->tmp = entry_folder(o->queue, "tmp");
	o->message = o->tmp >= 0 ? entry_folder(o->queue, "message") : -1;
	if (o->message < 0) return errno;
	for (int i = 0; i < TRIES; i++) {
		if (i == 0) snprintf(o->base, sizeof o->base, "%.50s", o->id);
		else snprintf(o->base, sizeof o->base, "%.50s.%d", o->id, i);
		if (is_used(o)) continue;
		o->fd = openat(o->tmp, o->base, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (o->fd >= 0 || errno != EEXIST) return o->fd >= 0 ? 0 : errno;
	}
	return EEXIST;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EINTR) continue;
		if (w <= 0) return w < 0 ? errno : EIO;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int outgoing_write(struct outgoing *o, const char *p, size_t n)
{
	int e = o->fd < 0 ? create(o) : owner_enter(o->uid, o->gid);
	return e ? e : write_all(o->fd, p, n);
}

/* --- entries --- */

struct out { int fd, error; size_t n; char buf[BUFFER]; };

static void flush(struct out *f)
{
	if (!f->error && f->n > 0) f->error = write_all(f->fd, f->buf, f->n);
	f->n = 0;
}

static void put(void *ctx, const char *p, size_t n)
{
	struct out *f = ctx;
	while (n > 0) {
		size_t piece = n < BUFFER - f->n ? n : BUFFER - f->n;
		memcpy(f->buf + f->n, p, piece);
		f->n += piece;
		p += piece;
		n -= piece;
		if (f->n == BUFFER) flush(f);
	}
}

static int by_group(const void *x, const void *y)
{
	const struct remote *a = *(const struct remote *const *)x, *b = *(const struct remote *const *)y;
	int d = strcmp(a->destination, b->destination);
	return d ? d : strcmp(a->sender, b->sender);
}

static int by_order(const void *x, const void *y)
{
	const struct remote *a = *(const struct remote *const *)x, *b = *(const struct remote *const *)y;
	int d = by_group(x, y);
	return d ? d : (a > b) - (a < b);       /* one array: as they were added */
}

/* Delivered-To for the addresses here that led to these, each once: who gets the message back knows it again.  */
static void head_of(char head[ENTRY_HEAD + 1], struct remote *const *r, size_t n)
{
	size_t len = 0;
	*head = '\0';
	for (size_t i = 0; i < n; i++) {
		bool twice = !*r[i]->origin;
		for (size_t k = 0; k < i && !twice; k++) twice = strcasecmp(r[k]->origin, r[i]->origin) == 0;
		if (!twice && ENTRY_HEAD - len > sizeof r[i]->origin + 16) len += (size_t)sprintf(head + len, "Delivered-To: %s\n", r[i]->origin);
	}
}

/* A report of what was delivered here goes nowhere, but has to have a name.  */
static const char *goes_to(const struct remote *r) { return *r->destination ? r->destination : "localhost"; }

static enum entry_state state_of(const struct remote *r) { return *r->destination ? ENTRY_TODO : r->expanded ? ENTRY_EXPANDED : ENTRY_DELIVERED; }

/* One that was named twice is one recipient.  */
static size_t count_once(struct remote *const *r, size_t n)
{
	size_t once = 0;
	for (size_t i = 0; i < n; i++) once += !r[i]->first;
	return once;
}

static void entry_file(char out[ENTRY_NAME], const struct outgoing *o, size_t k, time_t now, const char *destination)
{
	char key[ENTRY_KEY];
	snprintf(key, sizeof key, "%s-%zu", o->base, k);
	entry_name(out, now, key, entry_hash(destination));
}

/* The entry for the recipients r[0..n), which go to one place for one sender.  */
static int write_entry(struct outgoing *o, struct remote *const *r, size_t n, uint64_t octets, time_t now, char name[ENTRY_NAME])
{
	char head[ENTRY_HEAD + 1];
	struct out f = { .n = 0 };
	struct entry_sink sink = { put, &f };
	entry_file(name, o, ++o->entries, now, goes_to(r[0]));
	head_of(head, r, n);
	f.fd = openat(o->tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f.fd < 0) return errno;
	const struct dsn_mail none = { 0 }, *dsn = r[0]->owner ? &none : &o->dsn;
	entry_compose(&sink, &(struct entry){ .id = o->base, .sender = r[0]->sender, .destination = goes_to(r[0]), .envid = dsn->envid, .head = head, .arrived = now, .octets = octets,
		.count = count_once(r, n), .full = dsn->ret == 'F', .headers = dsn->ret == 'H', .eightbit = o->eightbit, .utf8 = o->utf8 });
	for (size_t i = 0; i < n; i++)
		if (!r[i]->first) entry_compose_rcpt(&sink, &(struct entry_rcpt){ .address = r[i]->address, .orcpt = r[i]->dsn.orcpt, .notify = r[i]->dsn.notify, .state = state_of(r[i]), .text = NULL });
	flush(&f);
	int e = f.error ? f.error : fsync(f.fd) == 0 ? 0 : errno;
	if (close(f.fd) != 0 && !e) e = errno;
	return e;
}

/* Call `each` for every group, in an order that is the same each time.  */
struct group { struct remote **r; size_t n; time_t now; uint64_t octets; };
static int for_groups(struct outgoing *o, int (*each)(struct outgoing *o, const struct group *g), uint64_t octets)
{
	static struct remote *sorted[OUTGOING_MOST];
	struct stat st;
	int e = fstat(o->fd, &st) == 0 ? 0 : errno;
	for (size_t i = 0; i < o->count; i++) sorted[i] = &o->all[i];
	qsort(sorted, o->count, sizeof *sorted, by_order);
	for (size_t i = 0, n; !e && i < o->count; i += n) {
		for (n = 1; i + n < o->count && by_group(&sorted[i], &sorted[i + n]) == 0; n++) continue;
		e = each(o, &(struct group){ sorted + i, n, st.st_mtim.tv_sec, octets });
	}
	return e;
}

static int stage_group(struct outgoing *o, const struct group *g)
{
	char name[ENTRY_NAME];
	return write_entry(o, g->r, g->n, g->octets, g->now, name);
}

/* Whoever was named more than once gets one copy, with all that was wished of any; not before all recipients are known, for one may be taken back.  */
static void join_wishes(struct outgoing *o)
{
	for (size_t i = 0; i < o->count; i++)
		if (o->all[i].first) o->all[i].first->dsn.notify = dsn_notify_both(o->all[i].first->dsn.notify, o->all[i].dsn.notify);
}

int outgoing_stage(struct outgoing *o, uint64_t octets)
{
	int e = o->fd < 0 ? create(o) : owner_enter(o->uid, o->gid);
	join_wishes(o);
	if (!e && fsync(o->fd) != 0) e = errno;
	return e ? e : for_groups(o, stage_group, octets);
}

/* --- publishing --- */

static int publish_group(struct outgoing *o, const struct group *g)
{
	char name[ENTRY_NAME], to[ENTRY_NAME + 8];
	entry_file(name, o, o->published + 1, g->now, goes_to(g->r[0]));
	snprintf(to, sizeof to, "new/%s", name);
	if (renameat(o->tmp, name, o->queue, to) != 0) return errno;
	o->published++;
	return 0;
}

int outgoing_publish(struct outgoing *o)
{
	char key[ENTRY_KEY];
	int e = owner_enter(o->uid, o->gid), new = e ? -1 : entry_folder(o->queue, "new");
	if (!e && new < 0) e = errno;
	while (!e && o->linked < o->entries) {
		key_of(key, o, o->linked + 1);
		if (linkat(o->tmp, o->base, o->message, key, 0) == 0) o->linked++;
		else e = errno;
	}
	if (!e && fsync(o->message) != 0) e = errno;
	if (!e) e = for_groups(o, publish_group, 0);
	if (!e && fsync(new) != 0) e = errno;
	if (new >= 0) close(new);
	return e;
}

void outgoing_keep(struct outgoing *o) { o->kept = o->published > 0; }

static int retract_group(struct outgoing *o, const struct group *g)
{
	char name[ENTRY_NAME], key[ENTRY_KEY], in_new[ENTRY_NAME + 8];
	size_t k = ++o->retracted;
	entry_file(name, o, k, g->now, goes_to(g->r[0]));
	snprintf(in_new, sizeof in_new, "new/%s", name);
	unlinkat(o->tmp, name, 0);
	if (k <= o->published) unlinkat(o->queue, in_new, 0);
	key_of(key, o, k);
	if (k <= o->linked) unlinkat(o->message, key, 0);
	return 0;
}

void outgoing_end(struct outgoing *o)
{
	if (o->fd >= 0 && owner_enter(o->uid, o->gid) == 0) {
		if (!o->kept) for_groups(o, retract_group, 0);
		unlinkat(o->tmp, o->base, 0);
	}
	if (o->fd >= 0) close(o->fd);
	if (o->tmp >= 0) close(o->tmp);
	if (o->message >= 0) close(o->message);
	o->fd = o->tmp = o->message = -1;
	o->count = o->entries = o->linked = o->published = o->retracted = 0;
	o->kept = false;
	o->dsn = (struct dsn_mail){ 0 };
}
