/* A table as text becomes a constant database, whole and durable or not at all.  It gets the time that the text had when reading began: a text that
 * is edited meanwhile is newer, and used instead.
 * SPDX-License-Identifier: MIT */
#include "alias.h"

#include <cdb.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "alias-text.h"
#include "log.h"

enum { COMPLAINTS = 100 };      /* a file that is no table at all says enough with these */

struct job {
	const char *path;
	int in, out;
	unsigned wrong;
	struct stat st;         /* of the text, before it was read */
	struct cdb_make make;
	struct text text;
	uint64_t *seen;         /* a bit for each hash cut to 32 - seen_shift bits */
	unsigned seen_shift;
	char final[PATH_MAX], temporary[PATH_MAX];
};

static int trouble(const char *path, int e, int status)
{
	fprintf(stderr, "%s: %s\n", path, strerror(e));
	return status;
}

static void complain(struct job *j, const char *reason, const char *what)
{
	char shown[200];
	if (j->wrong++ >= COMPLAINTS) return;
	fprintf(stderr, "%s:%u: %s%s%s\n", j->path, j->text.line, reason, *what ? ": " : "", log_escape(shown, sizeof shown, what));
}

/* A text that was written within this tick of the kernel's clock may be written again with the same time: let it pass.  */
static int wait_for_tick(struct job *j)
{
	enum { TICK = 20000000, TRIES = 4 };
	int e = 0;
	for (int i = 0; i < TRIES; i++) {
		struct timespec now, tick = { .tv_nsec = TICK };
		e = text_status(j->in, &j->st);
		clock_gettime(CLOCK_REALTIME, &now);
		long long age = (now.tv_sec - j->st.st_mtim.tv_sec) * 1000000000LL + (now.tv_nsec - j->st.st_mtim.tv_nsec);
		if (e || age < 0 || age > TICK) break;
		nanosleep(&tick, NULL);
	}
	return e;
}

static int open_text(struct job *j)
{
	j->in = open(j->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (j->in < 0) return trouble(j->path, errno, EX_NOINPUT);
	int e = wait_for_tick(j);
	if (e == EPERM) fprintf(stderr, "%s: others than its owner can write to it\n", j->path);
	else if (e == EINVAL) fprintf(stderr, "%s: not a regular file\n", j->path);
	else if (e) trouble(j->path, e, 0);
	return e == EPERM ? EX_NOPERM : e ? EX_NOINPUT : 0;
}

static int open_temporary(struct job *j)
{
	enum { TRIES = 10 };    /* one of our number may have been killed here before */
	if (snprintf(j->final, sizeof j->final, "%s.cdb", j->path) >= (int)sizeof j->final - 32) return trouble(j->path, ENAMETOOLONG, EX_CANTCREAT);
	for (int i = 0; i < TRIES && j->out < 0; i++) {
		snprintf(j->temporary, sizeof j->temporary, "%.*s.%d.%d.tmp", PATH_MAX - 32, j->final, (int)getpid(), i);
		j->out = open(j->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (j->out < 0 && errno != EEXIST) break;
	}
	return j->out < 0 ? trouble(j->temporary, errno, EX_CANTCREAT) : 0;
}

static void judge_members(struct job *j, const char *value)
{
	char text[ALIAS_MEMBER];
	enum member_kind kind;
	unsigned n = 0;
	while ((kind = alias_member(&value, false, text, sizeof text)) != MEMBER_END) {
		n++;
		if (kind == MEMBER_BAD) complain(j, "cannot be read", text);
	}
	if (n == 0) complain(j, "no value", "");
}

/* Some bits for each name that so long a text can hold, 64 MiB at most, touched as names come.  */
static bool make_seen(struct job *j)
{
	j->seen_shift = 20;
	while (j->seen_shift > 3 && j->st.st_size * 8 >> (32 - j->seen_shift) > 0) j->seen_shift--;
	j->seen = calloc(1ULL << (32 - j->seen_shift - 6), sizeof *j->seen);
	return j->seen;
}

/* May the name have been before?  Most cannot, and the library need not search all it has.  */
static bool is_seen(struct job *j, const char *name)
{
	uint32_t hash = cdb_hash(name, (unsigned)strlen(name)) * 2654435761U >> j->seen_shift;
	uint64_t bit = 1ULL << (hash & 63), *word = &j->seen[hash >> 6];
	bool seen = *word & bit;
	*word |= bit;
	return seen;
}

static int put_all(struct job *j, char *value)
{
	struct text *x = &j->text;
	text_start(x, j->in);
	while (text_next(x, NULL, value)) {
		if (x->broken) complain(j, x->broken, "");
		else judge_members(j, value);
		if (j->wrong) continue;
		enum cdb_put_mode mode = is_seen(j, x->name) ? CDB_PUT_INSERT : CDB_PUT_ADD;
		int had = cdb_make_put(&j->make, x->name, (unsigned)strlen(x->name), value, (unsigned)x->value_n, mode);
		if (had < 0) return trouble(j->temporary, errno, EX_IOERR);
		if (had > 0) fprintf(stderr, "%s:%u: the name was there before, and that counts\n", j->path, x->line);
	}
	if (x->error) return trouble(j->path, x->error, EX_IOERR);
	return j->wrong ? EX_DATAERR : 0;
}

static int write_cdb(struct job *j)
{
	char *value = malloc(ALIAS_VALUE);
	if (!value || !make_seen(j) || cdb_make_start(&j->make, j->out) != 0) {
		free(value);
		return trouble(j->temporary, errno, EX_OSERR);
	}
	int status = put_all(j, value);
	free(value);
	if (cdb_make_finish(&j->make) != 0 && !status) status = trouble(j->temporary, errno, EX_IOERR);  /* else it frees what it holds */
	return status;
}

/* Owner, mode and time as the text has them.  A group that cannot be given may not read.  */
static int take_on(struct job *j)
{
	mode_t mode = j->st.st_mode & 0755;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, j->st.st_mtim };
	if (fchown(j->out, j->st.st_uid, j->st.st_gid) != 0) {
		if (j->st.st_uid != geteuid() && geteuid() != 0) {
			fprintf(stderr, "%s: of another owner, who would not use what we make\n", j->path);
			return EX_NOPERM;
		}
		mode &= 0705;
	}
	if (fchmod(j->out, mode) != 0 || futimens(j->out, times) != 0 || fsync(j->out) != 0) return trouble(j->temporary, errno, EX_IOERR);
	return 0;
}

static int sync_directory(const struct job *j)
{
	char name[PATH_MAX];
	strcpy(name, j->final);
	char *slash = strrchr(name, '/');
	strcpy(slash ? slash + 1 : name, ".");
	int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int status = fd < 0 || fsync(fd) != 0 ? trouble(name, errno, EX_IOERR) : 0;
	if (fd >= 0) close(fd);
	return status;
}

static int publish(struct job *j)
{
	int status = take_on(j);
	if (close(j->out) != 0 && !status) status = trouble(j->temporary, errno, EX_IOERR);
	j->out = -1;
	if (!status && rename(j->temporary, j->final) != 0) status = trouble(j->final, errno, EX_CANTCREAT);
	if (!status) return sync_directory(j);
	unlink(j->temporary);
	return status;
}

int alias_compile(const char *path)
{
	struct job *j = calloc(1, sizeof *j);
	if (!j) return trouble(path, errno, EX_OSERR);
	j->path = path;
	j->in = j->out = -1;
	int status = open_text(j);
	if (!status) status = open_temporary(j);
	if (!status) status = write_cdb(j);
	if (!status) status = publish(j);
	if (j->out >= 0) {
		close(j->out);
		unlink(j->temporary);
	}
	if (j->in >= 0) close(j->in);
	free(j->seen);
	free(j);
	return status;
}
