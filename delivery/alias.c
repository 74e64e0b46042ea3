/* Looking a name up in a table.  Nothing in a file is trusted but that its owner may say where his mail goes: each read is of a size known before,
 * and a compiled table, which is random access into what may be nonsense, gets as many steps as an honest one could need and no more.
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
#include <unistd.h>

#include "alias-text.h"

static int open_table(int dir, const char *path, int (*open_at)(int dir, const char *path), struct stat *st, int *fd)
{
	*fd = open_at(dir, path);
	if (*fd < 0) return errno;
	int e = text_status(*fd, st);
	if (e) {
		close(*fd);
		*fd = -1;
	}
	return e;
}

static void close_one(int *fd)
{
	if (*fd >= 0) close(*fd);
	*fd = -1;
}

static bool is_fresh(const struct stat *cdb, const struct stat *text)
{
	if (cdb->st_uid != text->st_uid && cdb->st_uid != 0) return false;      /* who may write beside the text could pass off his own */
	const struct timespec *c = &cdb->st_mtim, *t = &text->st_mtim;
	return c->tv_sec > t->tv_sec || (c->tv_sec == t->tv_sec && c->tv_nsec >= t->tv_nsec);
}

int alias_open(struct alias_table *t, int dir, const char *path, int (*open_at)(int dir, const char *path))
{
	char name[PATH_MAX];
	struct stat text = { 0 }, cdb = { 0 };
	*t = (struct alias_table){ .text = -1, .cdb = -1, .path = path };
	if (snprintf(name, sizeof name, "%s.cdb", path) >= (int)sizeof name) return ENAMETOOLONG;
	int e = open_table(dir, path, open_at, &text, &t->text);
	if (e && (e != ENOENT || dir != AT_FDCWD)) return e;
	int e_cdb = open_table(dir, name, open_at, &cdb, &t->cdb);
	if (e) {
		if (!e_cdb) t->owner = cdb.st_uid;
		return e_cdb;
	}
	t->owner = text.st_uid;
	close_one(t->cdb >= 0 && is_fresh(&cdb, &text) ? &t->text : &t->cdb);
	return 0;
}

void alias_close(struct alias_table *t)
{
	close_one(&t->text);
	close_one(&t->cdb);
	free(t->value);
	t->value = NULL;
}

static int find_in_text(struct alias_table *t, const char *name, unsigned *line)
{
	struct text x;
	text_start(&x, t->text);
	while (text_next(&x, name, t->value)) {
		if (strcmp(x.name, name) != 0 || (x.broken && !x.full)) continue;
		*line = x.line;
		if (!x.full) return 1;
		errno = E2BIG;
		return -1;
	}
	errno = x.error;
	return x.error ? -1 : 0;
}

/* --- compiled: 256 pairs of position and slots; records of key length, value length, key, value; tables of slots of hash and position --- */

enum { CDB_PROBES = 4096 };     /* tables are half empty: a hundred in a row is much */

/* All n octets; where the file ends before, it is no table.  */
static bool read_at(int fd, void *to, size_t n, uint64_t at)
{
	for (char *o = to; n > 0;) {
		ssize_t got = pread(fd, o, n, (off_t)at);
		if (got < 0 && errno == EINTR) continue;
		if (got == 0) errno = EBADMSG;
		if (got <= 0) return false;
		o += got;
		n -= (size_t)got;
		at += (uint64_t)got;
	}
	return true;
}

static bool read_pair(int fd, uint64_t at, uint32_t pair[2])
{
	unsigned char octets[8];
	if (!read_at(fd, octets, sizeof octets, at)) return false;
	pair[0] = cdb_unpack(octets);
	pair[1] = cdb_unpack(octets + 4);
	return true;
}

static int bad_table(void)
{
	errno = EBADMSG;
	return -1;
}

/* Take the value of the record at `at`, if its key is the name.  */
static int take_record(struct alias_table *t, uint32_t at, const char *name, uint32_t n)
{
	char key[ALIAS_NAME];
	uint32_t length[2];
	if (!read_pair(t->cdb, at, length)) return -1;
	if (length[0] != n) return 0;
	if (!read_at(t->cdb, key, n, (uint64_t)at + 8)) return -1;
	if (memcmp(key, name, n) != 0) return 0;
	if (length[1] == 0 || length[1] >= ALIAS_VALUE) return bad_table();
	if (!read_at(t->cdb, t->value, length[1], (uint64_t)at + 8 + n)) return -1;
	t->value[length[1]] = '\0';
	return strlen(t->value) == length[1] && text_plain(t->value) ? 1 : bad_table();
}

/* cdb_seek of the library takes the end of the file for EIO, lets positions wrap around, and walks as far as the file says.  */
static int find_in_cdb(struct alias_table *t, const char *name)
{
	uint32_t n = (uint32_t)strlen(name), hash = cdb_hash(name, n), table[2], slot[2];
	if (!read_pair(t->cdb, (hash & 255) * 8, table)) return -1;
	uint32_t slots = table[1], at = slots ? (hash >> 8) % slots : 0;
	for (uint32_t i = 0; i < slots; i++) {
		if (i == CDB_PROBES) return bad_table();
		if (!read_pair(t->cdb, table[0] + (uint64_t)at * 8, slot)) return -1;
		if (slot[1] == 0) return 0;
		int found = slot[0] == hash ? take_record(t, slot[1], name, n) : 0;
		if (found) return found;
		if (++at == slots) at = 0;
	}
	return 0;
}

int alias_lookup(struct alias_table *t, const char *name, const char **value, unsigned *line)
{
	size_t n = strlen(name);
	*value = NULL;
	*line = 0;
	if (n == 0 || n >= ALIAS_NAME || !text_plain(name)) return 0;
	if (!t->value) t->value = malloc(ALIAS_VALUE);
	if (!t->value) return -1;
	int found = t->cdb >= 0 ? find_in_cdb(t, name) : find_in_text(t, name, line);
	if (found == 1) *value = t->value;
	return found;
}
