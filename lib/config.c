/* The configuration reader: a table of settings, one pass over the file, no allocation.
 * SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "address.h"

#ifndef BINDIR
#define BINDIR "/usr/local/bin"
#endif
#ifndef SANDBOX
#define SANDBOX "yes"
#endif

#define FROM_OVERRIDE (~0U)
#define FROM_ENVIRONMENT (~0U - 1)

enum type { TEXT, NAME, ADDRESS, HOP, FOLDER, NUMBER, SIZE, TIME, BOOL, NEWLINE, LEVEL };

static const struct setting {
	const char *name, *value;       /* its default */
	enum type type;
	size_t offset;
	unsigned long long min, max;
} settings[] = {
#define ROW(field, value, type, min, max) { #field, value, type, offsetof(struct config, field), min, max }
	ROW(hostname, "", NAME, 0, 0),
	ROW(mail_root, "/var/vmail", TEXT, 0, 0),
	ROW(catch_all, "", TEXT, 0, 0),
	ROW(deliver, "", HOP, 0, 0),
	ROW(max_size, "50M", SIZE, 65536, 1ULL << 62),
	ROW(max_recipients, "1000", NUMBER, 100, 10000),
	ROW(max_errors, "20", NUMBER, 1, 1000000),
	ROW(command_timeout, "5m", TIME, 100, 86400000),
	ROW(data_timeout, "3m", TIME, 100, 86400000),
	ROW(session_timeout, "1h", TIME, 100, 864000000),
	ROW(deliver_timeout, "5m", TIME, 100, 86400000),
	ROW(bare_newline, "reject", NEWLINE, 0, 0),
	ROW(strict, "no", BOOL, 0, 0),
	ROW(vrfy, "no", BOOL, 0, 0),
	ROW(postmaster, "", ADDRESS, 0, 0),
	ROW(greeting, "ESMTP", TEXT, 0, 0),
	ROW(local_domains, "", TEXT, 0, 0),
	ROW(user_maildir, "Maildir", FOLDER, 0, 0),
	ROW(min_uid, "1000", NUMBER, 1, 4294967294),
	ROW(aliases, "", TEXT, 0, 0),
	ROW(alias_programs, "no", BOOL, 0, 0),
	ROW(alias_user, "nobody", TEXT, 0, 0),
	ROW(agent, "", TEXT, 0, 0),
	ROW(domain_agents, "no", BOOL, 0, 0),
	ROW(quota, "0", SIZE, 0, 1ULL << 62),
	ROW(quota_hard, "no", BOOL, 0, 0),
	ROW(detail_folders, "yes", BOOL, 0, 0),
	ROW(detail_separator, "+", TEXT, 0, 0),
	ROW(run_as, "smtp-handler", TEXT, 0, 0),
	ROW(log_level, "info", LEVEL, 0, 0),
	ROW(sandbox, SANDBOX, BOOL, 0, 0),
#undef ROW
};
enum { SETTINGS = sizeof settings / sizeof *settings };
_Static_assert((int)SETTINGS <= (int)CONFIG_SETTINGS, "config.line is too short");

static const char *const newlines[] = { "reject", "normalize", NULL };          /* NL_STRICT, NL_NORMALIZE */
static const char *const levels[] = { "error", "warning", "info", "debug", NULL };
static const char *const yes_no[] = { "no", "yes", NULL };

static int word(const char *const *words, const char *s)
{
	for (int i = 0; words[i]; i++)
		if (strcasecmp(words[i], s) == 0) return i;
	return -1;
}

struct unit { const char *suffix; unsigned long long factor; };

/* A number with a unit.  */
static bool scaled(const char *s, const struct unit *units, unsigned long long *n)
{
	char digits[24];
	size_t len = strspn(s, "0123456789");
	if (len == 0 || len > 20) return false;
	memcpy(digits, s, len);
	digits[len] = '\0';
	for (; units->suffix; units++)
		if (strcasecmp(units->suffix, s + len) == 0) return number_parse(digits, n) && !__builtin_mul_overflow(*n, units->factor, n);
	return false;
}

static bool scalar(const struct setting *row, const char *s, unsigned long long *field)
{
	unsigned long long n;
	static const struct unit none[] = { { "", 1 }, { NULL, 0 } };
	static const struct unit sizes[] = { { "", 1 }, { "k", 1 << 10 }, { "m", 1 << 20 }, { "g", 1 << 30 }, { NULL, 0 } };
	static const struct unit times[] = { { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };
	if (!scaled(s, row->type == SIZE ? sizes : row->type == TIME ? times : none, &n) || n < row->min || n > row->max) return false;
	*field = n;
	return true;
}

static bool host_and_port(const char *s)
{
	const char *colon = strrchr(s, ':');
	return colon && colon > s && colon[1];
}

/* Set one field.  Returns NULL, or what is expected instead.  */
static const char *set(struct config *cf, const struct setting *row, const char *value)
{
	void *field = (char *)cf + row->offset;
	struct path path;
	int w = 0;
	switch (row->type) {
	case NAME:
		for (const char *c = value; *c; c++)
			if ((unsigned char)*c >= 0x80) return "expected a host name in ASCII";
		if (*value && !domain_valid(value)) return "expected a host name";
		*(const char **)field = value;
		return NULL;
	case ADDRESS:
		if (*value && (!mailbox_parse(&path, value) || !*path.domain)) return "expected a mailbox address";
		*(const char **)field = value;
		return NULL;
	case HOP:
		if (strcmp(value, "unix:") == 0) return "expected a path behind unix:";
		if (strncmp(value, "tcp:", 4) == 0 && !host_and_port(value + 4)) return "expected tcp:HOST:PORT";
		/* fall through */
	case FOLDER:
		if (row->type == FOLDER && (!*value || *value == '/')) return "expected a path without a slash in front";
		/* fall through */
	case TEXT:
		for (const char *c = value; *c; c++)
			if ((unsigned char)*c < ' ' || *c == 0x7f) return "control character in a value";
		*(const char **)field = value;
		return NULL;
	case NUMBER:
	case SIZE:
	case TIME:
		if (scalar(row, value, field)) return NULL;
		return row->type == NUMBER ? "expected a number in range" : row->type == SIZE ? "expected a size in range, such as 50M" :
			"expected a time in range, such as 90s or 5m";
	case BOOL:
		if ((w = word(yes_no, value)) < 0) return "expected yes or no";
		*(bool *)field = w;
		return NULL;
	case NEWLINE:
		if ((w = word(newlines, value)) < 0) return "expected reject or normalize";
		*(int *)field = w;
		return NULL;
	case LEVEL:
		if ((w = word(levels, value)) < 0) return "expected error, warning, info or debug";
		*(int *)field = w;
		return NULL;
	}
	return "unknown type";
}

static char *trim(char *s)
{
	s += strspn(s, " \t\r");
	size_t n = strlen(s);
	while (n > 0 && strchr(" \t\r", s[n - 1])) s[--n] = '\0';
	return s;
}

/* One "name = value"; the text is cut up.  */
static bool assign(struct config *cf, char *text, const char *file, unsigned line)
{
	char where[300] = "-o";
	if (file) snprintf(where, sizeof where, "%.280s:%u", file, line);
	char *value = strchr(text, '=');
	if (!value) {
		snprintf(cf->error, sizeof cf->error, "%s: expected name = value", where);
		return false;
	}
	*value++ = '\0';
	char *name = trim(text);
	value = trim(value);
	for (size_t i = 0; i < SETTINGS; i++) {
		if (strcmp(settings[i].name, name) != 0) continue;
		if (file && cf->line[i] && cf->line[i] != FROM_ENVIRONMENT) {
			snprintf(cf->error, sizeof cf->error, "%s: %s was set on line %u already", where, settings[i].name, cf->line[i]);
			return false;
		}
		const char *wrong = set(cf, &settings[i], value);
		if (wrong) snprintf(cf->error, sizeof cf->error, "%s: %s = %.60s: %s", where, settings[i].name, value, wrong);
		cf->line[i] = file ? line : FROM_OVERRIDE;
		return !wrong;
	}
	snprintf(cf->error, sizeof cf->error, "%s: unknown setting: %.60s", where, name);
	return false;
}

/* Read the whole file into cf->text.  */
static bool slurp(struct config *cf, const char *file)
{
	size_t len = 0;
	int fd = open(file, O_RDONLY);
	if (fd < 0 && errno == ENOENT && !cf->file) return true;
	ssize_t r = fd >= 0 ? pread(fd, cf->text, sizeof cf->text, 0) : -1;
	if (r >= 0) {                           /* a file: that was all of it */
		len = (size_t)r;
	} else if (fd >= 0) {
		while (len < sizeof cf->text && (r = read(fd, cf->text + len, sizeof cf->text - len)) > 0) len += (size_t)r;
	}
	if (r < 0 || len == sizeof cf->text) {
		snprintf(cf->error, sizeof cf->error, "%.280s: %s", file, r < 0 ? strerror(errno) : "too large");
		if (fd >= 0) close(fd);
		return false;
	}
	close(fd);
	cf->text[len] = '\0';
	cf->used = len + 1;
	if (strlen(cf->text) != len) {
		snprintf(cf->error, sizeof cf->error, "%.280s: holds a NUL", file);
		return false;
	}
	return true;
}

static bool read_file(struct config *cf)
{
	const char *file = cf->file ? cf->file : CONFIG_FILE;
	if (!slurp(cf, file)) return false;
	unsigned number = 1;
	for (char *line = cf->text, *next; line; line = next, number++) {
		next = strchr(line, '\n');
		if (next) *next++ = '\0';
		line = trim(line);
		if (*line && *line != '#' && !assign(cf, line, file, number)) return false;
	}
	return true;
}

bool config_option(struct config *cf, int opt, const char *arg)
{
	if (opt == 'C') {
		cf->file = arg;
	} else {
		if (cf->overrides == CONFIG_OVERRIDES) return false;
		cf->override[cf->overrides++] = arg;
	}
	return true;
}

static bool read_overrides(struct config *cf)
{
	for (size_t i = 0; i < cf->overrides; i++) {
		char *copy = cf->text + cf->used;       /* the arguments themselves stay whole: they are handed on to the helper */
		size_t n = strlen(cf->override[i]) + 1;
		if (n > sizeof cf->text - cf->used) {
			snprintf(cf->error, sizeof cf->error, "-o: too long");
			return false;
		}
		memcpy(copy, cf->override[i], n);
		cf->used += n;
		if (!assign(cf, copy, NULL, 0)) return false;
	}
	return true;
}

/* Where a unit wants the mail to go: a default, which the file may change.  */
static bool read_environment(struct config *cf)
{
	const char *deliver = getenv("SMTP_DELIVER");
	for (size_t i = 0; deliver && i < SETTINGS; i++) {
		if (settings[i].offset != offsetof(struct config, deliver)) continue;
		const char *wrong = set(cf, &settings[i], deliver);
		if (wrong) snprintf(cf->error, sizeof cf->error, "$SMTP_DELIVER = %.60s: %s", deliver, wrong);
		cf->line[i] = FROM_ENVIRONMENT;
		return !wrong;
	}
	return true;
}

bool config_load(struct config *cf)
{
	for (size_t i = 0; i < SETTINGS; i++) set(cf, &settings[i], settings[i].value);
	bool good = read_environment(cf) && read_file(cf) && read_overrides(cf);
	if (!*cf->hostname) {
		struct utsname u;
		bool named = uname(&u) == 0 && domain_valid(u.nodename) && strlen(u.nodename) < sizeof cf->nodename;
		strcpy(cf->nodename, named ? u.nodename : "localhost");
		cf->hostname = cf->nodename;
	}
	return good;
}

static void print_value(const struct config *cf, const struct setting *row)
{
	const void *field = (const char *)cf + row->offset;
	unsigned long long n = 0;
	switch (row->type) {
	case TEXT:
	case NAME:
	case HOP:
	case FOLDER:
	case ADDRESS: printf("%s", *(const char *const *)field); return;
	case NUMBER:
	case SIZE: printf("%llu", *(const unsigned long long *)field); return;
	case TIME:
		n = *(const unsigned long long *)field;
		printf("%llu%s", n % 1000 ? n : n / 1000, n % 1000 ? "ms" : "s");
		return;
	case BOOL: printf("%s", yes_no[*(const bool *)field]); return;
	case NEWLINE: printf("%s", newlines[*(const int *)field]); return;
	case LEVEL: printf("%s", levels[*(const int *)field]); return;
	}
}

/* The first place that there is, or the last.  */
static void print_deliver(const struct config *cf)
{
	char buf[512];
	const char *path = config_deliver(cf, 0, buf, sizeof buf);
	for (unsigned i = 1; access(path, X_OK) != 0 && config_deliver(cf, i, buf, sizeof buf); i++) continue;
	printf("%s", path);
}

void config_show(const struct config *cf)
{
	for (size_t i = 0; i < SETTINGS; i++) {
		printf("%s = ", settings[i].name);
		if (settings[i].offset == offsetof(struct config, deliver)) print_deliver(cf);
		else print_value(cf, &settings[i]);
		if (cf->line[i] == 0) printf("\n# default\n");
		else if (cf->line[i] == FROM_OVERRIDE) printf("\n# -o\n");
		else if (cf->line[i] == FROM_ENVIRONMENT) printf("\n# $SMTP_DELIVER\n");
		else printf("\n# %s:%u\n", cf->file ? cf->file : CONFIG_FILE, cf->line[i]);
	}
}

/* The directory that the running program is in, a slash at its end: by the name in execve, which costs nothing to know, or its true one.  */
static size_t own_directory(bool true_name, char *buf, size_t size)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	ssize_t n = true_name || !name ? readlink("/proc/self/exe", buf, size - 1) : snprintf(buf, size, "%s", name);
	while (n > 0 && ((size_t)n >= size || buf[n - 1] != '/')) n--;
	return n > 0 ? (size_t)n : 0;
}

const char *config_deliver(const struct config *cf, unsigned place, char *buf, size_t size)
{
	static const char *const beside[] = { "maildir-deliver", "../bin/maildir-deliver" };
	enum { BESIDE = 4 };    /* two directories, two places each */
	if (*cf->deliver) return place == 0 ? cf->deliver : NULL;
	if (place > BESIDE) return NULL;
	size_t n = place < BESIDE ? own_directory(place / 2, buf, size) : 0;
	snprintf(buf + n, size - n, "%s", place < BESIDE ? beside[place % 2] : BINDIR "/maildir-deliver");
	return buf;
}

const char *config_scheme(const char *value, const char *scheme)
{
	size_t n = strlen(scheme);
	return strncmp(value, scheme, n) == 0 ? value + n : NULL;
}
