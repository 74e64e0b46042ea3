/* A change of the file: a new one takes its place, under a lock beside it, for the file itself is exchanged.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "passwd.h"

#define SCHEME "{CRYPT}"

struct change {
	char file[PATH_MAX], lock[PATH_MAX + 8], new[PATH_MAX + 8];     /* file: where a link leads */
	const char *user, *hash;
	bool found;
};

/* The line with another hash: the spelling of the name, further fields and the line end stay.  False if it would be too long.  */
static bool replace(const struct change *c, const struct table_line *l, const struct table_entry *e, FILE *to)
{
	size_t rest = l->len - e->hash_end;
	if (!l->ends || e->name_end + strlen(":" SCHEME) + strlen(c->hash) + rest > TABLE_LINE) return false;
	fwrite(l->text, 1, e->name_end, to);
	fprintf(to, ":" SCHEME "%s", c->hash);
	fwrite(l->text + e->hash_end, 1, rest, to);
	return true;
}

/* Copy, octet for octet, all but the lines of the user: the first gets the new hash, later ones never counted.  NULL, or what went wrong.  */
static const char *copy(struct change *c, FILE *from, FILE *to)
{
	struct table_line l = { .len = 0 };
	struct table_entry e;
	bool ours = false, at_end = true;
	while (from && table_read(from, &l)) {
		if (l.begins) ours = table_entry(&l, &e) && table_is(&l, &e, c->user);
		if (!ours) {
			fwrite(l.text, 1, l.len, to);
			at_end = l.text[l.len - 1] == '\n';
		} else if (l.begins) {
			if (c->hash && !c->found && !replace(c, &l, &e, to)) return "the line of this user is too long";
			c->found = true;
		}
	}
	if (from && ferror(from)) return strerror(errno);
	if (c->hash && !c->found) fprintf(to, "%s%s:" SCHEME "%s\n", at_end ? "" : "\n", c->user, c->hash);
	return ferror(to) || fflush(to) != 0 || fsync(fileno(to)) != 0 ? strerror(errno) : NULL;
}

/* The new file is like the old one; a first one can be read by the processes of smtp-handler, and by nobody else.  */
static bool set_owner(FILE *from, int fd)
{
	struct stat old, new;
	if (from) {
		if (fstat(fileno(from), &old) != 0 || fstat(fd, &new) != 0) return false;
		if ((old.st_uid != new.st_uid || old.st_gid != new.st_gid) && fchown(fd, old.st_uid, old.st_gid) != 0) return false;
		return fchmod(fd, old.st_mode & 0777) == 0;
	}
	const struct group *gr = geteuid() == 0 ? getgrnam("smtp-handler") : NULL;
	return (!gr || fchown(fd, 0, gr->gr_gid) == 0) && fchmod(fd, 0640) == 0;
}

static bool sync_directory(const char *file)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(file, '/');
	snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - file + 1) : 1, slash ? file : ".");
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0) close(fd);
	return good;
}

/* With the lock held.  NULL, or what went wrong.  */
static const char *exchange(struct change *c)
{
	FILE *from = table_open(c->file);
	if (!from && errno != ENOENT) return table_why(errno);
	if (!from && !c->hash) return "there is no such user";
	unlink(c->new);         /* of one that was killed: no other has the lock */
	int fd = open(c->new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
	const char *why = to && set_owner(from, fd) ? copy(c, from, to) : strerror(errno);
	if (to && fclose(to) != 0 && !why) why = strerror(errno);
	if (from) fclose(from);
	if (!why && !c->hash && !c->found) why = "there is no such user";
	if (!why && rename(c->new, c->file) == 0) return sync_directory(c->file) ? NULL : strerror(errno);
	if (!why) why = strerror(errno);
	unlink(c->new);
	return why;
}

bool change_file(const char *file, const char *user, const char *hash)
{
	struct change c = { .user = user, .hash = hash };
	if (!realpath(file, c.file)) {
		if (errno != ENOENT || strlen(file) >= sizeof c.file) return trouble(file, strerror(errno));
		strcpy(c.file, file);
	}
	snprintf(c.lock, sizeof c.lock, "%s.lock", c.file);
	snprintf(c.new, sizeof c.new, "%s.new", c.file);
	int held = open(c.lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (held < 0 || flock(held, LOCK_EX) != 0) return trouble(c.lock, strerror(errno));
	const char *why = exchange(&c);
	close(held);
	return why ? trouble(file, why) : true;
}
