/* The file of names and hashes, which may be long, and broken by hand.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "passwd.h"

bool user_valid(const char *user) { return sasl_name_valid(user, strlen(user)) && *user != '#' && !strpbrk(user, ": "); }

FILE *table_open(const char *file)
{
	struct stat st;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), why = 0;     /* a pipe of that name does not hold us */
	if (fd < 0) return NULL;
	if (fstat(fd, &st) != 0) why = errno;
	else if (!S_ISREG(st.st_mode)) why = EINVAL;
	else if (st.st_mode & (S_IWGRP | S_IWOTH)) why = EPERM;
	FILE *f = why ? NULL : fdopen(fd, "r");
	if (f) return f;
	if (!why) why = errno;
	close(fd);
	errno = why;
	return NULL;
}

const char *table_why(int error)
{
	if (error == EINVAL) return "this is no file";
	return error == EPERM ? "others than its owner can write to it; see chmod(1)" : strerror(error);
}

bool table_read(FILE *f, struct table_line *l)
{
	int c = EOF;
	l->begins = l->len == 0 || l->ends;
	l->len = 0;
	while (l->len < TABLE_LINE && c != '\n' && (c = getc_unlocked(f)) != EOF) l->text[l->len++] = (char)c;
	if (c != '\n' && c != EOF && (c = getc_unlocked(f)) != EOF) {   /* full: is the end here all the same? */
		ungetc(c, f);
		l->ends = false;
	} else {
		l->ends = true;
	}
	return l->len > 0 && !ferror(f);
}

/* The end of the text, without its line end.  */
static size_t text_end(const struct table_line *l)
{
	size_t n = l->len;
	if (n > 0 && l->text[n - 1] == '\n') n--;
	if (n > 0 && l->ends && l->text[n - 1] == '\r') n--;
	return n;
}

static size_t colon(const struct table_line *l, size_t from, size_t end)
{
	const char *c = memchr(l->text + from, ':', end - from);
	return c ? (size_t)(c - l->text) : end;
}

bool table_entry(const struct table_line *l, struct table_entry *e)
{
	size_t end = text_end(l);
	if (!l->begins || end == 0 || *l->text == '#') return false;
	e->name_end = colon(l, 0, end);
	e->hash = e->name_end < end ? e->name_end + 1 : end;
	e->hash_end = colon(l, e->hash, end);
	return true;
}

bool table_is(const struct table_line *l, const struct table_entry *e, const char *user)
{
	return e->name_end == strlen(user) && strncasecmp(l->text, user, e->name_end) == 0;
}

/* What nobody can undo in a day.  */
static bool strong(const char *hash)
{
	static const char *const kinds[] = { "$y$", "$gy$", "$7$", "$2a$", "$2b$", "$2y$", "$6$", "$5$" };
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strncmp(hash, kinds[i], strlen(kinds[i])) == 0) return true;
	return false;
}

enum table_state table_hash(const struct table_line *l, const struct table_entry *e, char hash[CRYPT_OUTPUT_SIZE])
{
	static const char *const schemes[] = { "{CRYPT}", "{BLF-CRYPT}", "{SHA512-CRYPT}", "{SHA256-CRYPT}" };
	size_t n = e->hash_end - e->hash, skip = 0;
	*hash = '\0';
	if (!l->ends || n == 0 || n >= CRYPT_OUTPUT_SIZE || memchr(l->text, '\0', l->len)) return TABLE_MALFORMED;
	memcpy(hash, l->text + e->hash, n);
	hash[n] = '\0';
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
		if (strncasecmp(hash, schemes[i], strlen(schemes[i])) == 0) skip = strlen(schemes[i]);
	memmove(hash, hash + skip, n - skip + 1);
	if (strong(hash)) return TABLE_GOOD;
	enum table_state s = *hash == '!' || *hash == '*' ? TABLE_LOCKED : *hash ? TABLE_WEAK : TABLE_MALFORMED;
	*hash = '\0';
	return s;
}

const char *table_flaw(enum table_state s)
{
	if (s == TABLE_WEAK) return "the hash is of a weak or unknown kind";
	return s == TABLE_LOCKED ? "the user is locked" : "the line is malformed";
}
