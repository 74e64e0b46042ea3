/* Maildir++ quota.  The user can write to his Maildir, so nothing in it is believed further than it harms himself: what is read is bounded, sums do
 * not wrap, no link is followed, a FIFO does not block.  We count as Dovecot does: all folders and all messages, in the Trash and marked as trashed too, which
 * Courier leaves out; else each would undo the other's counts.
 * SPDX-License-Identifier: MIT */
#include "quota.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char NAME[] = "maildirsize";

enum {
	FILE_MOST = 5120, STALE_SECONDS = 15 * 60,
	ENTRIES_MOST = 2000000,         /* looked at in one count, 1 to 10 seconds: what is behind them is not counted */
	OPEN = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
};

static uint64_t sum(uint64_t a, uint64_t b) { return a > INT64_MAX - b || b > INT64_MAX ? INT64_MAX : a + b; }   /* others read it as signed */
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Digits at *s, which moves behind them; false for none, and for what is past 63 bits.  */
static bool read_digits(const char **s, int64_t *n)
{
	bool ok = is_digit(**s);
	*n = 0;
	for (; is_digit(**s); ++*s) {
		if (!__builtin_mul_overflow(*n, 10, n) && !__builtin_add_overflow(*n, **s - '0', n)) continue;
		*n = INT64_MAX / 10;    /* stays too much whatever comes */
		ok = false;
	}
	return ok;
}

/* --- the file --- */

struct contents { bool sound; unsigned lines; time_t when; };

/* "1000S,10C", both optional and in any order; what is neither is passed over.  False when there is nothing else.  */
static bool read_limits(const char *s, struct quota *q)
{
	bool any = false;
	while (*s) {
		int64_t n;
		bool limit = is_digit(*s);
		if (!read_digits(&s, &n)) n = INT64_MAX;
		limit = limit && (s[0] == 'S' || s[0] == 'C') && (s[1] == ',' || s[1] == '\0');
		if (limit && s[0] == 'S') q->octets = (uint64_t)n;
		if (limit && s[0] == 'C') q->messages = (uint64_t)n;
		any |= limit;
		s += strcspn(s, ",");
		if (*s) s++;
	}
	return any;
}

static bool read_signed(const char **s, int64_t *n)
{
	*s += strspn(*s, " \t");
	bool minus = **s == '-';
	if (minus) ++*s;
	if (!read_digits(s, n)) return false;
	if (minus) *n = -*n;
	return true;
}

/* Add one line of usage.  */
static bool read_usage(const char *s, int64_t *octets, int64_t *messages)
{
	int64_t o, m;
	if (!read_signed(&s, &o) || (*s != ' ' && *s != '\t') || !read_signed(&s, &m)) return false;
	if (s[strspn(s, " \t\r")] != '\0') return false;
	return !__builtin_add_overflow(*octets, o, octets) && !__builtin_add_overflow(*messages, m, messages);
}

/* A line without its end is not looked at, as somebody is writing it; but of a file without any, which somebody made by hand, the limits are.  */
static void parse(char *text, size_t n, struct quota *q, struct contents *c)
{
	int64_t octets = 0, messages = 0;
	char *end = memchr(text, '\n', n);
	if (!end && n > 0 && n <= FILE_MOST) end = text + n;
	if (!end || memchr(text, '\0', (size_t)(end - text))) return;
	*end = '\0';
	c->sound = read_limits(text, q) && n <= FILE_MOST;
	for (char *line = end + 1; c->sound && line < text + n; line = end + 1, c->lines++) {
		end = memchr(line, '\n', (size_t)(text + n - line));
		if (!end) break;
		*end = '\0';
		c->sound = strlen(line) == (size_t)(end - line) && read_usage(line, &octets, &messages);
	}
	c->sound = c->sound && c->lines > 0;
	q->used_octets = octets > 0 ? (uint64_t)octets : 0;
	q->used_messages = messages > 0 ? (uint64_t)messages : 0;
}

/* That something else is there, which no reader of Maildir++ would take for the file.  */
static bool is_other(int e) { return e == ENOENT || e == ELOOP || e == ENXIO || e == EISDIR || e == ENODEV; }

static int read_file(int box, struct quota *q, struct contents *c)
{
	char text[FILE_MOST + 2];
	struct stat st;
	int fd = openat(box, NAME, O_RDONLY | OPEN), e = 0;
	if (fd < 0) return is_other(errno) ? 0 : errno;
	if (fstat(fd, &st) != 0) {
		e = errno;
	} else if (S_ISREG(st.st_mode)) {
		ssize_t n = read(fd, text, FILE_MOST + 1);
		if (n < 0) e = errno;
		else parse(text, (size_t)n, q, c);
		c->when = st.st_mtime;
	}
	close(fd);
	return e;
}

/* Usage in tmp/ under a name that maildir_sweep knows, and from there over the file.  That it is not there is no failure: we know what we counted.  */
static void write_file(int box, const struct quota *q)
{
	static unsigned count;
	char name[100], text[100];
	struct timespec t;
	int n = 0;
	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(name, sizeof name, "%lld.M%06ldP%dQ%u.%s", (long long)t.tv_sec, t.tv_nsec / 1000, (int)getpid(), count++, NAME);
	if (q->octets) n = sprintf(text, "%lluS%s", (unsigned long long)q->octets, q->messages ? "," : "");
	if (q->messages) n += sprintf(text + n, "%lluC", (unsigned long long)q->messages);
	n += sprintf(text + n, "\n%llu %llu\n", (unsigned long long)q->used_octets, (unsigned long long)q->used_messages);
	int tmp = openat(box, "tmp", DIRECTORY);
	if (tmp < 0) return;
	int fd = openat(tmp, name, O_WRONLY | O_CREAT | O_EXCL | OPEN, 0600);
	if (fd >= 0) {
		bool ok = write(fd, text, (size_t)n) == n;
		if (close(fd) != 0 || !ok || renameat(tmp, name, box, NAME) != 0) unlinkat(tmp, name, 0);
	}
	close(tmp);
}

/* --- counting --- */

struct count {
	uint64_t octets, messages;
	struct timespec newest;         /* change of a directory that was counted */
	size_t left;
	bool only_newest;
};

/* *fd is -1, and that no error, for what holds no messages of his that could be counted.  */
static int open_directory(int dir, const char *name, int *fd)
{
	*fd = openat(dir, name, DIRECTORY);
	return *fd >= 0 || errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES || errno == ENAMETOOLONG ? 0 : errno;
}

struct dirent64_raw { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; };

static int for_each(int dir, struct count *c, int (*visit)(int dir, const char *name, struct count *c))
{
	_Alignas(struct dirent64_raw) char buf[16384];
	for (;;) {
		long n = syscall(SYS_getdents64, dir, buf, sizeof buf);
		if (n <= 0) return n == 0 || errno == ENOENT ? 0 : errno;
		for (long at = 0; at < n;) {
			const struct dirent64_raw *d = (const void *)(buf + at);
			if (c->left == 0) return 0;
			c->left--;
			int e = visit(dir, d->name, c);
			if (e) return e;
			at += d->len;
		}
	}
}

/* ,S=<octets> as deliverers write it into a name.  */
static bool size_in_name(const char *name, int64_t *n)
{
	const char *s = strstr(name, ",S=");
	if (!s) return false;
	s += 3;
	return read_digits(&s, n) && (*s == '\0' || *s == ',' || *s == ':');
}

static int count_message(int dir, const char *name, struct count *c)
{
	struct stat st;
	int64_t n;
	if (*name == '.') return 0;
	if (!size_in_name(name, &n)) {
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return 0;
		n = st.st_size;
	}
	c->octets = sum(c->octets, (uint64_t)n);
	c->messages++;
	return 0;
}

static int count_directory(int folder, const char *name, struct count *c)
{
	struct stat st;
	int fd, e = open_directory(folder, name, &fd);
	if (e || fd < 0) return e;
	if (fstat(fd, &st) != 0) {
		e = errno;
	} else {
		const struct timespec t = st.st_mtim;
		if (t.tv_sec > c->newest.tv_sec || (t.tv_sec == c->newest.tv_sec && t.tv_nsec > c->newest.tv_nsec)) c->newest = t;
		if (!c->only_newest) e = for_each(fd, c, count_message);
	}
	close(fd);
	return e;
}

static int count_folder(int folder, struct count *c)
{
	int e = count_directory(folder, "new", c);
	return e ? e : count_directory(folder, "cur", c);
}

static int count_if_folder(int box, const char *name, struct count *c)
{
	if (name[0] != '.' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return 0;
	int fd, e = open_directory(box, name, &fd);
	if (e || fd < 0) return e;
	e = count_folder(fd, c);
	close(fd);
	return e;
}

static int count_all(int box, struct count *c)
{
	c->left = ENTRIES_MOST;
	int e = count_folder(box, c);
	if (e) return e;
	int fd = openat(box, ".", DIRECTORY);   /* with a position of its own */
	if (fd < 0) return errno;
	e = for_each(fd, c, count_if_folder);
	close(fd);
	return e;
}

/* If something came or went meanwhile, it may have been noted in the file that we would replace: then we leave that alone, as Maildir++ asks.  */
static int recompute(int box, struct quota *q)
{
	struct count c = { 0 }, then = { .only_newest = true };
	int e = count_all(box, &c);
	if (e) return e;
	q->used_octets = c.octets;
	q->used_messages = c.messages;
	e = count_all(box, &then);
	if (!e && then.newest.tv_sec == c.newest.tv_sec && then.newest.tv_nsec == c.newest.tv_nsec) write_file(box, q);
	return e;
}

/* --- what others see --- */

static bool doubtful(const struct quota *q, const struct contents *c, uint64_t wanted)
{
	if (!c->sound) return true;
	if (!quota_full(q) && quota_fits(q, wanted)) return false;
	time_t now = time(NULL);
	return c->lines > 1 || c->when < now - STALE_SECONDS || c->when > now + STALE_SECONDS;
}

int quota_read(int box, uint64_t octets, uint64_t wanted, struct quota *q)
{
	struct contents c = { 0 };
	*q = (struct quota){ 0 };
	int e = read_file(box, q, &c);
	if (e) return e;
	if (!q->octets && !q->messages) q->octets = octets < INT64_MAX ? octets : INT64_MAX;
	if (!q->octets && !q->messages) {
		*q = (struct quota){ 0 };
		return 0;
	}
	return doubtful(q, &c, wanted) ? recompute(box, q) : 0;
}

bool quota_full(const struct quota *q) { return (q->octets && q->used_octets >= q->octets) || (q->messages && q->used_messages >= q->messages); }

bool quota_fits(const struct quota *q, uint64_t octets)
{
	if (q->messages && q->used_messages >= q->messages) return false;
	return !q->octets || (q->used_octets <= q->octets && octets <= q->octets - q->used_octets);
}

int quota_add(int box, uint64_t octets, uint64_t messages)
{
	char line[60];
	struct stat st;
	int fd = openat(box, NAME, O_WRONLY | O_APPEND | OPEN), e = 0;
	if (fd < 0) return is_other(errno) ? 0 : errno;
	int n = sprintf(line, "%llu %llu\n", (unsigned long long)octets, (unsigned long long)messages);
	if (fstat(fd, &st) != 0) {
		e = errno;
	} else if (S_ISREG(st.st_mode) && st.st_size <= FILE_MOST) {    /* a longer one is made anew anyway */
		ssize_t done = write(fd, line, (size_t)n);
		if (done != n) e = done < 0 ? errno : ENOSPC;
	}
	close(fd);
	return e;
}
