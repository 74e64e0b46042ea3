/* SPDX-License-Identifier: MIT */
#include "entry.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The letters in front of the fields.  The first and the last that are not a recipient's have a fixed place in the order; unknown ones are an error: a newer version wrote them.  */
static const char magic[] = "smtp-queue 2";
enum { COUNTS = 32, STATE = 1 + 12 + ENTRY_TEXT };

/* --- composing --- */

static void field(const struct entry_sink *s, char letter, const char *text, size_t n)
{
	char head[32];
	s->write(s->ctx, head, (size_t)sprintf(head, "%zu:%c", n + 1, letter));
	s->write(s->ctx, text, n);
	s->write(s->ctx, ",\n", 2);
}

static void text_field(const struct entry_sink *s, char letter, const char *text)
{
	if (*text) field(s, letter, text, strlen(text));
}

static void number_field(const struct entry_sink *s, char letter, unsigned long long n)
{
	char text[24];
	field(s, letter, text, (size_t)snprintf(text, sizeof text, "%llu", n));
}

static void counts(char out[COUNTS + 1], const struct entry *e) { snprintf(out, COUNTS + 1, "%010u %c %012lld%*s", e->attempts, e->warned ? 'W' : '-', (long long)e->seen, COUNTS - 25, ""); }

void entry_compose(const struct entry_sink *s, const struct entry *e)
{
	char text[COUNTS + 1], flags[8];
	field(s, 'v', magic, sizeof magic - 1);
	text_field(s, 'i', e->id);
	number_field(s, 'a', (unsigned long long)e->arrived);
	number_field(s, 's', e->octets);
	field(s, 'f', e->sender, strlen(e->sender));
	text_field(s, 'd', e->destination);
	text_field(s, 'e', e->envid);
	text_field(s, 'h', e->head);
	snprintf(flags, sizeof flags, "%s%s%s%s", e->full ? "F" : "", e->headers ? "H" : "", e->eightbit ? "8" : "", e->utf8 ? "U" : "");
	text_field(s, 'b', flags);
	number_field(s, 'm', e->count);
	counts(text, e);
	field(s, 'c', text, COUNTS);
}

static void state_text(char out[STATE + 1], enum entry_state state, time_t last, const char *text)
{
	memset(out, 0, STATE + 1);
	snprintf(out, STATE, "%c%012lld%s", (char)state, (long long)last, text);
}

void entry_compose_rcpt(const struct entry_sink *s, const struct entry_rcpt *r)
{
	char state[STATE + 1], notify[16];
	state_text(state, r->state, r->last, r->text ? r->text : "");
	text_field(s, 'r', r->address);
	text_field(s, 'o', r->orcpt);
	if (r->notify) field(s, 'n', notify, (size_t)snprintf(notify, sizeof notify, "%u", r->notify));
	field(s, 't', state, STATE);
}

/* --- reading --- */

static bool slurp(struct entry *e, int fd)
{
	struct stat st;
	if (fstat(fd, &st) != 0) return false;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > ENTRY_LARGEST) return errno = EBADMSG, false;
	e->file = malloc((size_t)st.st_size + 1);
	if (!e->file) return false;
	while (e->size < (size_t)st.st_size) {
		ssize_t n = pread(fd, e->file + e->size, (size_t)st.st_size - e->size, (off_t)e->size);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return errno = n < 0 ? errno : EBADMSG, false;
		e->size += (size_t)n;
	}
	e->file[e->size] = '\0';
	return true;
}

static bool number(const char *s, unsigned long long most, unsigned long long *n) { return number_parse(s, n) && *n <= most; }

/* One field of the message.  */
static bool take(struct entry *e, char letter, char *value, size_t n)
{
	unsigned long long x = 0;
	switch (letter) {
	case 'v': return strcmp(value, magic) == 0;
	case 'i': return e->id = value, true;
	case 'f': return e->sender = value, n <= PATH_MAX_LEN;
	case 'd': return e->destination = value, true;
	case 'e': return e->envid = value, n <= DSN_ENVID;
	case 'h': return e->head = value, n <= ENTRY_HEAD;
	case 'a': return number(value, 1ULL << 40, &x) && (e->arrived = (time_t)x, true);
	case 's': return number(value, 1ULL << 62, &x) && (e->octets = x, true);
	case 'm': return number(value, ENTRY_RECIPIENTS, &x) && (e->members = (size_t)x, true);
	case 'b':
		e->full = strchr(value, 'F');
		e->headers = strchr(value, 'H');
		e->eightbit = strchr(value, '8');
		e->utf8 = strchr(value, 'U');
		return true;
	case 'c':
		if (n != COUNTS) return false;
		e->attempts = (unsigned)strtoul(value, NULL, 10);
		e->warned = strchr(value, 'W');
		e->seen = (time_t)strtoll(value + 12, NULL, 10);
		e->counts_at = value - e->file;
		return true;
	default: return false;
	}
}

/* One of the recipient in hand, which `t` completes.  */
static bool take_rcpt(struct entry *e, struct entry_rcpt *r, char letter, char *value, size_t n)
{
	unsigned long long x;
	char when[13];
	switch (letter) {
	case 'r': return !r->address && (r->address = value, n <= PATH_MAX_LEN);
	case 'o': return r->orcpt = value, n <= DSN_ORCPT;
	case 'n': return number(value, 15, &x) && (r->notify = (unsigned)x, true);
	case 't': break;
	default: return false;
	}
	if (n != STATE || !r->address || !strchr("TFDRES", *value)) return false;
	snprintf(when, sizeof when, "%.12s", value + 1);
	r->state = (enum entry_state)*value;
	r->last = (time_t)strtoll(when, NULL, 10);
	r->text = value + 13;
	r->at = value - e->file;
	e->count++;
	return true;
}

/* The next netstring at *at; NULL at the end, or with errno when it is none.  */
static char *next_field(const struct entry *e, size_t *at, size_t *len)
{
	errno = 0;
	if (*at == e->size) return NULL;
	char *s = e->file + *at;
	size_t digits = strspn(s, "0123456789");
	errno = EBADMSG;
	if (digits == 0 || digits > 8 || s[digits] != ':') return NULL;
	size_t n = strtoul(s, NULL, 10), start = *at + digits + 1;
	if (n == 0 || n + 2 > e->size - start || e->file[start + n] != ',' || e->file[start + n + 1] != '\n') return NULL;
	*at = start + n + 2;
	*len = n - 1;
	e->file[start + n] = '\0';
	errno = 0;
	return e->file + start;
}

static size_t count_rcpts(const struct entry *e)
{
	size_t at = 0, len, n = 0;
	for (char *f; (f = next_field(e, &at, &len));) {
		n += *f == 't';
		f[len + 1] = ',';
	}
	return errno ? 0 : n;
}

bool entry_read(struct entry *e, int fd)
{
	*e = (struct entry){ .id = "", .sender = NULL, .envid = "", .head = "" };
	if (!slurp(e, fd)) return false;
	size_t n = count_rcpts(e), at = 0, len;
	if (n == 0 || n > ENTRY_RECIPIENTS) return errno = EBADMSG, false;
	e->rcpt = calloc(n + 1, sizeof *e->rcpt);
	if (!e->rcpt) return false;
	bool good = true;
	for (char *f; good && (f = next_field(e, &at, &len));) {
		struct entry_rcpt *r = &e->rcpt[e->count];
		if (!r->orcpt) r->orcpt = "";
		good = strchr("ront", *f) ? take_rcpt(e, r, *f, f + 1, len) : take(e, *f, f + 1, len);
	}
	if (!good || errno || !e->sender || !e->destination || !e->counts_at || e->count != e->members) return errno = EBADMSG, false;
	return true;
}

void entry_free(struct entry *e)
{
	free(e->rcpt);
	free(e->file);
	e->rcpt = NULL;
	e->file = NULL;
}

/* --- changing --- */

static int write_at(int fd, const char *p, size_t n, off_t at)
{
	ssize_t w;
	while ((w = pwrite(fd, p, n, at)) < 0 && errno == EINTR) continue;
	return w == (ssize_t)n ? 0 : w < 0 ? errno : ENOSPC;
}

int entry_mark(struct entry *e, int fd, size_t i, enum entry_state state, const char *text, time_t now)
{
	struct entry_rcpt *r = &e->rcpt[i];
	char out[STATE + 1];
	state_text(out, state, now, text);
	r->state = state;
	r->last = now;
	memcpy(r->text, out + 13, ENTRY_TEXT);
	r->text[ENTRY_TEXT - 1] = '\0';
	int error = write_at(fd, out, STATE, r->at);
	if (!error && fdatasync(fd) != 0) error = errno;
	e->unwritten |= error != 0;
	return error;
}

int entry_count(struct entry *e, int fd)
{
	char text[COUNTS + 1];
	counts(text, e);
	return write_at(fd, text, COUNTS, e->counts_at);
}

bool entry_todo(const struct entry *e)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->rcpt[i].state == ENTRY_TODO) return true;
	return false;
}

bool entry_open(const struct entry *e)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->rcpt[i].state != ENTRY_SETTLED) return true;
	return false;
}

int entry_folder(int queue, const char *name)
{
	enum { DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
	int fd = openat(queue, name, DIRECTORY);
	if (fd >= 0 || errno != ENOENT) return fd;
	if (mkdirat(queue, name, 0700) != 0 && errno != EEXIST) return -1;
	if (fsync(queue) != 0) return -1;
	return openat(queue, name, DIRECTORY);
}

const char *entry_dir_error(const char *path, int error)
{
	struct stat st;
	bool link = error == ENOTDIR && lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
	return link ? "it is a symbolic link; name the directory itself, or mount it there" : strerror(error);
}

/* --- names --- */

/* FNV-1a.  Two destinations of one hash would only share the limits of one.  */
uint64_t entry_hash(const char *destination)
{
	uint64_t h = 14695981039346656037ULL;
	for (; *destination; destination++) h = (h ^ (unsigned char)*destination) * 1099511628211ULL;
	return h;
}

void entry_name(char out[ENTRY_NAME], time_t due, const char *key, uint64_t hash)
{
	snprintf(out, ENTRY_NAME, "%010lld.%.*s.%016" PRIx64, (long long)due, ENTRY_KEY - 1, key, hash);
}

bool entry_parse_name(struct entry_id *id, const char *name)
{
	enum { DUE = 10, HASH = 16 };
	size_t n = strlen(name);
	if (n < DUE + HASH + 3 || n - DUE - HASH - 2 >= ENTRY_KEY || name[DUE] != '.' || name[n - HASH - 1] != '.') return false;
	if (strspn(name, "0123456789") != DUE || strspn(name + n - HASH, "0123456789abcdef") != HASH) return false;
	id->due = (time_t)strtoll(name, NULL, 10);
	id->hash = strtoull(name + n - HASH, NULL, 16);
	snprintf(id->key, sizeof id->key, "%.*s", (int)(n - DUE - HASH - 2), name + DUE + 1);
	return id->key[strspn(id->key, "0123456789abcdef.-")] == '\0';
}
