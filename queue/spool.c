/* SPDX-License-Identifier: MIT */
#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "identity.h"
#include "log.h"

enum { DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, STALE = 36 * 3600 };

static const char *const places[SPOOL_PLACES] = { "new", "wait", "hold" };

static int complain(const char *what, const char *why, int status)
{
	fprintf(stderr, "smtp-queue: %s: %s\n", what, why);
	return status;
}

/* Whose the queue is, he works on it: what talks to the network must not be root.  */
static int become_owner(const char *path, const struct stat *st)
{
	if (geteuid() != 0) return geteuid() == st->st_uid ? EX_OK : complain(path, "belongs to somebody else", EX_NOPERM);
	if (st->st_uid == 0) return complain(path, "belongs to root, and what talks to other hosts must not be root: give it to a user of its own (chown)", EX_CONFIG);
	const struct passwd *pw = getpwuid(st->st_uid);
	/* where lines go is to be found as before, and whom smtp-client trusts */
	static const char *const kept[] = { "SMTP_LOG", "JOURNAL_STREAM", "SSL_CERT_FILE", "SSL_CERT_DIR" };
	enum { KEPT = sizeof kept / sizeof *kept };
	char value[KEPT][PATH_MAX] = { 0 };
	for (int i = 0; i < KEPT; i++)
		if (getenv(kept[i])) snprintf(value[i], sizeof value[i], "%s", getenv(kept[i]));
	int e = identity_become(st->st_uid, st->st_gid, pw ? pw->pw_name : NULL);
	if (e) return complain("cannot become the owner of the queue", strerror(e), EX_OSERR);
	for (int i = 0; i < KEPT; i++)
		if (*value[i]) setenv(kept[i], value[i], 1);
	return EX_OK;
}

bool spool_open(struct spool *s, const struct config *cf, int *status)
{
	struct stat st;
	*s = (struct spool){ .cf = cf, .queue = -1, .message = -1, .host = -1 };
	*status = EX_OK;
	if (!*cf->queue_dir) return false;
	s->queue = open(cf->queue_dir, DIRECTORY);
	if (s->queue < 0 && errno == ENOENT) return false;
	if (s->queue < 0 || fstat(s->queue, &st) != 0) return *status = complain(cf->queue_dir, entry_dir_error(cf->queue_dir, errno), errno == EACCES ? EX_NOPERM : EX_OSERR), false;
	if ((*status = become_owner(cf->queue_dir, &st)) != EX_OK) return false;
	bool good = (s->message = entry_folder(s->queue, "message")) >= 0 && (s->host = entry_folder(s->queue, "host")) >= 0;
	for (int i = 0; good && i < SPOOL_PLACES; i++) good = (s->place[i] = entry_folder(s->queue, places[i])) >= 0;
	if (!good) *status = complain(cf->queue_dir, strerror(errno), EX_OSERR);
	return good;
}

time_t spool_now(const struct spool *s) { return s->now ? s->now : time(NULL); }

static int by_time(const void *x, const void *y)
{
	const struct entry_id *a = x, *b = y;
	return a->due != b->due ? a->due < b->due ? -1 : 1 : strcmp(a->key, b->key);
}

static DIR *list(int fd)
{
	int again = openat(fd, ".", DIRECTORY);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	if (!d && again >= 0) close(again);
	return d;
}

static bool add(struct spool_names *n, size_t *room, const struct entry_id *id)
{
	if (n->count == *room) {
		*room = *room ? 2 * *room : 256;
		struct entry_id *more = realloc(n->id, *room * sizeof *more);
		if (!more) return false;
		n->id = more;
	}
	n->id[n->count++] = *id;
	return true;
}

/* What is no entry must not stay among the new ones: the service manager would start a pass for it as soon as one has ended.  */
static void put_aside(const struct spool *s, const char *name)
{
	char text[4 * NAME_MAX + 8];
	if (renameat(s->place[SPOOL_NEW], name, s->place[SPOOL_HOLD], name) == 0) log_line(LEVEL_ERROR, "new/%s is no entry; it is on hold", log_escape(text, sizeof text, name));
}

bool spool_read(const struct spool *s, enum spool_place place, struct spool_names *n)
{
	size_t room = 0;
	struct entry_id id;
	bool good = true;
	DIR *d = list(s->place[place]);
	*n = (struct spool_names){ 0 };
	if (!d) return false;
	for (struct dirent *e; good && (errno = 0, e = readdir(d));) {
		if (entry_parse_name(&id, e->d_name)) good = add(n, &room, &id);
		else if (place == SPOOL_NEW && *e->d_name != '.') put_aside(s, e->d_name);
	}
	good = good && errno == 0;      /* half a list would let spool_sweep take messages for forgotten ones */
	closedir(d);
	if (!good) spool_free(n);
	if (n->count > 0) qsort(n->id, n->count, sizeof *n->id, by_time);
	return good;
}

struct timespec spool_changed(const struct spool *s, enum spool_place place)
{
	struct stat st;
	return fstat(s->place[place], &st) == 0 ? st.st_mtim : (struct timespec){ 0 };
}

void spool_free(struct spool_names *n)
{
	free(n->id);
	*n = (struct spool_names){ 0 };
}

static void name_of(char name[ENTRY_NAME], const struct entry_id *id) { entry_name(name, id->due, id->key, id->hash); }

int spool_claim(const struct spool *s, enum spool_place place, const struct entry_id *id)
{
	char name[ENTRY_NAME];
	struct stat held, there;
	name_of(name, id);
	int fd = openat(s->place[place], name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) return -1;
	errno = ENOENT;         /* another file has the name by now: this one is gone */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 && fstatat(s->place[place], name, &there, AT_SYMLINK_NOFOLLOW) == 0 && held.st_ino == there.st_ino) return fd;
	int e = errno;
	close(fd);
	errno = e;
	return -1;
}

bool spool_move(const struct spool *s, enum spool_place from, struct entry_id *id, enum spool_place to, time_t due)
{
	char old[ENTRY_NAME], new[ENTRY_NAME];
	struct entry_id moved = *id;
	moved.due = due;
	name_of(old, id);
	name_of(new, &moved);
	bool hold = from == SPOOL_HOLD || to == SPOOL_HOLD;
	if (hold) flock(s->queue, LOCK_SH);     /* spool_sweep, which looks into one place after the other, must not miss it */
	bool good = renameat(s->place[from], old, s->place[to], new) == 0;
	int e = errno;
	if (hold) flock(s->queue, LOCK_UN);
	errno = e;
	if (good) *id = moved;
	return good;
}

bool spool_remove(const struct spool *s, enum spool_place place, const struct entry_id *id)
{
	char name[ENTRY_NAME];
	name_of(name, id);
	if (unlinkat(s->place[place], name, 0) != 0) return false;
	unlinkat(s->message, id->key, 0);       /* the last link takes the message with it */
	return true;
}

int spool_message(const struct spool *s, const struct entry_id *id) { return openat(s->message, id->key, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); }

/* --- what a crash has left --- */

static int by_key(const void *x, const void *y) { return strcmp(((const struct entry_id *)x)->key, ((const struct entry_id *)y)->key); }

static bool stale(int dir, const char *name, time_t now)
{
	struct stat st;
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_mtime < now - STALE && st.st_ctime < now - STALE;
}

static bool known(const struct spool_names all[SPOOL_PLACES], const char *key)
{
	struct entry_id id = { 0 };
	snprintf(id.key, sizeof id.key, "%.*s", ENTRY_KEY - 1, key);
	for (int i = 0; i < SPOOL_PLACES; i++)
		if (all[i].count > 0 && bsearch(&id, all[i].id, all[i].count, sizeof id, by_key)) return true;
	return false;
}

static void sweep(int dir, const struct spool_names *all, time_t now)
{
	DIR *d = dir >= 0 ? list(dir) : NULL;
	for (struct dirent *e; d && (e = readdir(d));)
		if (*e->d_name != '.' && !(all && known(all, e->d_name)) && stale(dir, e->d_name, now)) unlinkat(dir, e->d_name, 0);
	if (d) closedir(d);
}

void spool_sweep(const struct spool *s)
{
	struct spool_names all[SPOOL_PLACES];
	struct timespec before[SPOOL_PLACES];
	bool whole = flock(s->queue, LOCK_EX | LOCK_NB) == 0;
	int tmp = openat(s->queue, "tmp", DIRECTORY);
	/* in this order: an entry goes from new to wait meanwhile, never back, and none to or from hold */
	for (int i = 0; i < SPOOL_PLACES; i++) {
		before[i] = spool_changed(s, (enum spool_place)i);
		whole &= spool_read(s, (enum spool_place)i, &all[i]);
		if (all[i].count > 0) qsort(all[i].id, all[i].count, sizeof *all[i].id, by_key);
	}
	for (int i = 0; i < SPOOL_PLACES; i++) {
		struct timespec after = spool_changed(s, (enum spool_place)i);
		whole &= after.tv_sec == before[i].tv_sec && after.tv_nsec == before[i].tv_nsec;       /* else another time */
	}
	if (whole) sweep(s->message, all, time(NULL));
	flock(s->queue, LOCK_UN);
	sweep(tmp, NULL, time(NULL));
	sweep(s->host, NULL, time(NULL));       /* of those that nobody writes to any more */
	for (int i = 0; i < SPOOL_PLACES; i++) spool_free(&all[i]);
	if (tmp >= 0) close(tmp);
}
