/* The Maildir.  A message is created in tmp/ with O_EXCL, synced, and renamed into new/ without ever replacing a file (rename rather than
 * link and unlink: one call less, and a power cut leaves nothing in tmp/).  Everything goes through directory descriptors; no link is followed.
 * SPDX-License-Identifier: MIT */
#include "maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "owner.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

enum { STALE_SECONDS = 36 * 3600, DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

static int subdirectory(int box, const char *name, bool *made)
{
	int fd = openat(box, name, DIRECTORY);
	if (fd >= 0 || errno != ENOENT) return fd;
	if (mkdirat(box, name, 0700) != 0 && errno != EEXIST) return -1;
	*made = true;
	return openat(box, name, DIRECTORY);
}

static int open_subdirectories(struct maildir *m, int box)
{
	bool made = false;
	int e = owner_enter(m->uid, m->gid);
	if (e) return e;
	m->tmp = subdirectory(box, "tmp", &made);
	if (m->tmp < 0) return errno;
	m->new = openat(box, "new", DIRECTORY);
	if (m->new < 0 && errno == ENOENT) {
		if (mkdirat(box, "cur", 0700) != 0 && errno != EEXIST) return errno;    /* readers need it; not asked for when new is there */
		m->new = subdirectory(box, "new", &made);
	}
	if (m->new < 0) return errno;
	return made && fsync(box) != 0 ? errno : 0;
}

int maildir_open(struct maildir *m, int box)
{
	struct stat st;
	*m = (struct maildir){ .box = box, .tmp = -1, .new = -1 };
	int e = fstat(box, &st) == 0 ? 0 : errno;
	if (!e) {
		m->dev = st.st_dev;
		m->ino = st.st_ino;
		m->uid = st.st_uid;
		m->gid = st.st_gid;
		m->mode = st.st_mode;
		e = open_subdirectories(m, box);
	}
	if (e) maildir_close(m);
	return e;
}

void maildir_close(struct maildir *m)
{
	if (m->new >= 0) close(m->new);
	if (m->tmp >= 0) close(m->tmp);
	close(m->box);
}

/* SECONDS.M<microseconds>P<pid>Q<count>.HOST; in HOST, / and : are \057 and \072.  */
static void make_name(char *name, const char *host)
{
	static unsigned count;
	enum { HOST_MOST = 120 };
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	int n = snprintf(name, MAILDIR_NAME, "%lld.M%06ldP%dQ%u.", (long long)t.tv_sec, t.tv_nsec / 1000, (int)gettid(), count++);
	char *o = name + n, *end = o + HOST_MOST;
	for (; *host && o < end; host++) {
		if (*host == '/' || *host == ':' || *host == ',') o += sprintf(o, "\\%03o", (unsigned)*host);
		else *o++ = *host;
	}
	*o = '\0';
}

int maildir_create(const struct maildir *m, struct maildir_file *f, const char *host)
{
	enum { TRIES = 10 };
	int e = owner_enter(m->uid, m->gid);
	if (e) return e;
	f->fd = -1;
	for (int i = 0; i < TRIES && f->fd < 0; i++) {
		make_name(f->name, host);
		f->fd = openat(m->tmp, f->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		e = f->fd < 0 ? errno : 0;
		if (e && e != EEXIST) break;
	}
	if (!e) f->where = MAILDIR_IN_TMP;
	return e;
}

int maildir_settle(struct maildir_file *f, bool sync)
{
	int e = !sync || fsync(f->fd) == 0 ? 0 : errno;
	if (close(f->fd) != 0 && !e) e = errno;
	f->fd = -1;
	return e;
}

/* Rename without replacing; where a file system or a container does not let us, by a link, which tells the true error.  */
static int move(const struct maildir *m, const char *name, const char *published)
{
	if (syscall(SYS_renameat2, m->tmp, name, m->new, published, RENAME_NOREPLACE) == 0) return 0;
	if (errno == EEXIST) return errno;
	if (linkat(m->tmp, name, m->new, published, 0) != 0) return errno;
	unlinkat(m->tmp, name, 0);
	return 0;
}

int maildir_publish(const struct maildir *m, struct maildir_file *f, uint64_t size, uint64_t vsize)
{
	char published[sizeof f->name];
	int e = owner_enter(m->uid, m->gid);
	snprintf(published, sizeof published, "%.200s,S=%llu,W=%llu", f->name, (unsigned long long)size, (unsigned long long)vsize);
	if (!e) e = move(m, f->name, published);
	if (e) return e;
	strcpy(f->name, published);
	f->where = MAILDIR_IN_NEW;
	return 0;
}

int maildir_sync_all(const struct maildir *m) { return syncfs(m->new) == 0 ? 0 : errno; }
int maildir_sync(const struct maildir *m) { return fsync(m->new) == 0 ? 0 : errno; }

void maildir_retract(const struct maildir *m, struct maildir_file *f)
{
	if (f->fd >= 0) close(f->fd);
	f->fd = -1;
	if (f->where != MAILDIR_NONE && owner_enter(m->uid, m->gid) == 0) unlinkat(f->where == MAILDIR_IN_TMP ? m->tmp : m->new, f->name, 0);
	f->where = MAILDIR_NONE;
}

/* Whether the name is of the form that make_name gives; then its time.  */
static bool is_ours(const char *name, long long *when)
{
	char *end;
	*when = strtoll(name, &end, 10);
	if (end == name || end[0] != '.' || end[1] != 'M') return false;
	end += 2 + strspn(end + 2, "0123456789");
	if (*end++ != 'P') return false;
	end += strspn(end, "0123456789");
	return *end == 'Q';
}

struct dirent64_raw { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; };

bool maildir_sweep_due(const struct maildir_file *f)
{
	enum { SELDOM = 8 };
	const char *micros = strstr(f->name, ".M");
	return micros && strtol(micros + 2, NULL, 10) % SELDOM == 0;
}

void maildir_sweep(const struct maildir *m, time_t now)
{
	_Alignas(struct dirent64_raw) char buf[2048];
	enum { BLOCKS = 16, ALMOST_FULL = sizeof buf - 300 };   /* a junk heap must not slow each delivery down */
	long n = ALMOST_FULL + 1;
	if (owner_enter(m->uid, m->gid) != 0) n = 0;
	for (int block = 0; block < BLOCKS && n > ALMOST_FULL; block++) {
		n = syscall(SYS_getdents64, m->tmp, buf, sizeof buf);
		for (long at = 0; at < n;) {
			const struct dirent64_raw *d = (const void *)(buf + at);
			struct stat st;
			long long when;
			if (is_ours(d->name, &when) && when < now - STALE_SECONDS && fstatat(m->tmp, d->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			    S_ISREG(st.st_mode) && st.st_mtime < now - STALE_SECONDS) unlinkat(m->tmp, d->name, 0);
			at += d->len;
		}
	}
}
