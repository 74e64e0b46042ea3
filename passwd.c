/* smtp-passwd: who may log in, by a file of names and hashes.  A program of the checkpassword interface, and the tool that writes the file.
 * SPDX-License-Identifier: MIT */
#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <termios.h>
#include <unistd.h>

#include "sasl.h"

#ifndef PASSWD_FILE
#define PASSWD_FILE "/etc/smtp-handler.passwd"
#endif

/* Of the checkpassword interface; 111 is temporary.  */
enum { GOOD = 0, REFUSED = 1, MISUSED = 2, TROUBLE = 111 };
enum { LINE = 1024, ANSWER = 4096 };

static const char usage[] =
	"usage: smtp-passwd file [program [argument]...]\n"
	"       smtp-passwd --set user [file]\n"
	"       smtp-passwd --delete user [file]\n"
	"       smtp-passwd --version | --help\n"
	"\n"
	"The first form reads a name and a password from descriptor 3 (the checkpassword interface) and ends with status 0\n"
	"if the file knows them, 1 if not; or executes the program.  The others change the file (" PASSWD_FILE ").\n"
	"--set asks for the password, or reads it from standard input if that is no terminal.\n"
	"See smtp-passwd(8).\n";

static int trouble(const char *file, const char *what)
{
	fprintf(stderr, "smtp-passwd: %s: %s\n", file, what);
	return TROUBLE;
}

/* --- the file: "user:{CRYPT}hash" lines --- */

/* Cut up a line.  False for a comment and what is no entry.  */
static bool entry(char *line, char **user, char **hash)
{
	line[strcspn(line, "\r\n")] = '\0';
	char *colon = strchr(line, ':');
	if (*line == '#' || !colon || colon == line) return false;
	*colon++ = '\0';
	colon[strcspn(colon, ":")] = '\0';      /* further fields, as others' files have them */
	if (strncasecmp(colon, "{CRYPT}", 7) == 0) colon += 7;
	*user = line;
	*hash = colon;
	return true;
}

/* What crypt(3) can do and nobody can undo in a day.  */
static bool strong(const char *hash)
{
	static const char *const kinds[] = { "$y$", "$gy$", "$7$", "$2a$", "$2b$", "$2x$", "$2y$", "$6$", "$5$" };
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strncmp(hash, kinds[i], strlen(kinds[i])) == 0) return true;
	return false;
}

static bool alike(const char *a, const char *b)
{
	size_t n = strlen(a);
	unsigned char differ = 0;
	if (strlen(b) != n) return false;
	for (size_t i = 0; i < n; i++) differ |= (unsigned char)(a[i] ^ b[i]);
	return differ == 0;
}

/* Open the file, which nobody but its owner may be able to change.  NULL after a message.  */
static FILE *open_file(const char *file)
{
	struct stat st;
	FILE *f = fopen(file, "re");
	if (!f || fstat(fileno(f), &st) != 0) {
		trouble(file, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_mode & (S_IWGRP | S_IWOTH)) {
		trouble(file, "must be a file that only its owner can write to");
	} else {
		return f;
	}
	if (f) fclose(f);
	return NULL;
}

/* Find the hash of the user; else that of somebody, so that an unknown name takes as long.  Both "" if there is none.  False if a line is too long.  */
static bool find(FILE *f, const char *name, char hash[LINE], char other[LINE])
{
	char line[LINE], *user, *this;
	*hash = *other = '\0';
	while (fgets(line, sizeof line, f)) {
		if (strlen(line) == sizeof line - 1 && !strchr(line, '\n')) return false;
		if (!entry(line, &user, &this)) continue;
		if (!*other && strong(this)) strcpy(other, this);
		if (strcasecmp(user, name) != 0) continue;
		strcpy(hash, this);
		return true;
	}
	return true;
}

/* --- the checkpassword interface --- */

/* "name NUL password NUL timestamp NUL" from descriptor 3.  */
static int read_pair(char *buf, size_t size, char **name, char **password)
{
	size_t n = 0;
	ssize_t r;
	while (n < size && (r = read(3, buf + n, size - n)) != 0) {
		if (r > 0) n += (size_t)r;
		else if (errno != EINTR) return trouble("descriptor 3", strerror(errno));
	}
	char *end = buf + n, *a = n < size ? memchr(buf, '\0', n) : NULL, *b = a ? memchr(a + 1, '\0', (size_t)(end - a - 1)) : NULL;
	if (!b) return MISUSED;
	*name = buf;
	*password = a + 1;
	return GOOD;
}

static int check(const char *file, const char *name, const char *password)
{
	/* yescrypt, as --set makes it; for a file with nobody in it */
	static const char nobody[] = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC";
	char hash[LINE], other[LINE];
	void *data = NULL;
	int size = 0;
	FILE *f = open_file(file);
	if (!f) return TROUBLE;
	bool whole = find(f, name, hash, other);
	fclose(f);
	if (!whole) return trouble(file, "a line is too long");
	if (*hash && !strong(hash)) {
		fprintf(stderr, "smtp-passwd: %s: the hash of %.100s is of a weak or unknown kind; set it anew\n", file, sasl_name_valid(name, strlen(name)) ? name : "a user");
		return TROUBLE;
	}
	const char *against = *hash ? hash : *other ? other : nobody;
	const char *got = crypt_ra(password, against, &data, &size);
	bool good = got && *hash && alike(got, hash);
	int result = good ? GOOD : got ? REFUSED : trouble(file, strerror(errno));
	if (data) explicit_bzero(data, (size_t)size);
	free(data);
	return result;
}

static int answer(const char *file, char **program)
{
	char buf[ANSWER], *name, *password;
	alarm(10);
	int result = read_pair(buf, sizeof buf, &name, &password);
	alarm(0);
	if (result == GOOD) result = !sasl_name_valid(name, strlen(name)) || strchr(name, ':') ? REFUSED : check(file, name, password);
	if (result == GOOD && *program) setenv("USER", name, 1);
	explicit_bzero(buf, sizeof buf);
	if (result != GOOD || !*program) return result;
	close(3);
	execvp(*program, program);
	return trouble(*program, strerror(errno));
}

/* --- changing the file --- */

/* One line of the terminal, with echo off, or of standard input.  */
static bool read_password(const char *prompt, char *out, size_t size)
{
	struct termios old, quiet;
	bool tty = isatty(0) && tcgetattr(0, &old) == 0;
	if (tty) {
		fputs(prompt, stderr);
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(0, TCSAFLUSH, &quiet);
	}
	bool got = fgets(out, (int)size, stdin) != NULL;
	if (tty) tcsetattr(0, TCSAFLUSH, &old);
	if (tty) fputs("\n", stderr);
	if (!got) return false;
	bool whole = strchr(out, '\n') || feof(stdin);
	out[strcspn(out, "\r\n")] = '\0';
	return whole && sasl_password_valid(out, strlen(out));
}

/* The new line of the user; false after a message.  */
static bool new_line(const char *user, char *line, size_t size)
{
	char first[SASL_PASSWORD_MAX + 2], second[SASL_PASSWORD_MAX + 2], setting[CRYPT_GENSALT_OUTPUT_SIZE];
	struct crypt_data *data = calloc(1, sizeof *data);
	const char *hash = NULL, *wrong = NULL;
	if (!data || !crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof setting)) wrong = strerror(errno);
	else if (!read_password("New password: ", first, sizeof first)) wrong = "a password has 1 to 1024 octets and no control characters, in UTF-8";
	else if (isatty(0) && (!read_password("Again: ", second, sizeof second) || strcmp(first, second) != 0)) wrong = "these are two passwords";
	else if (!(hash = crypt_rn(first, setting, data, sizeof *data))) wrong = strerror(errno);
	if (!wrong) snprintf(line, size, "%s:{CRYPT}%s\n", user, hash);
	else fprintf(stderr, "smtp-passwd: %s\n", wrong);
	explicit_bzero(first, sizeof first);
	explicit_bzero(second, sizeof second);
	free(data);
	return !wrong;
}

/* Copy all lines but the user's, and put the new one in its place, or behind them.  *found tells whether it was there.  */
static bool rewrite(FILE *from, FILE *to, const char *name, const char *line, bool *found)
{
	char old[LINE], copy[LINE], *user, *hash;
	*found = false;
	while (from && fgets(old, sizeof old, from)) {
		if (!strchr(old, '\n') && strlen(old) == sizeof old - 1) return false;
		strcpy(copy, old);
		if (!entry(copy, &user, &hash) || strcasecmp(user, name) != 0) {
			fputs(old, to);
			if (!strchr(old, '\n')) fputs("\n", to);
		} else {
			if (!*found) fputs(line, to);
			*found = true;
		}
	}
	if (!*found) fputs(line, to);
	return !ferror(to) && fflush(to) == 0 && fsync(fileno(to)) == 0;
}

/* The new file is like the old one; a first one can be read by the processes of smtp-handler, and by nobody else.  */
static bool set_owner(FILE *from, int fd)
{
	struct stat st;
	const struct group *gr = getgrnam("smtp-handler");
	if (from) return fstat(fileno(from), &st) == 0 && (fchown(fd, st.st_uid, st.st_gid) == 0 || geteuid() != 0) && fchmod(fd, st.st_mode & 0777) == 0;
	if (geteuid() == 0 && gr && fchown(fd, 0, gr->gr_gid) != 0) return false;
	return fchmod(fd, 0640) == 0;
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

/* Hold the lock of the file: one beside it, for the file itself is exchanged.  -1 after a message.  */
static int lock(const char *file)
{
	char name[PATH_MAX];
	snprintf(name, sizeof name, "%s.lock", file);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX) == 0) return fd;
	trouble(name, strerror(errno));
	return -1;
}

/* Exchange the file for one with this line for the user; with "" for none.  */
static int change(const char *file, const char *user, const char *line)
{
	char name[PATH_MAX];
	bool found, good = false;
	int held = lock(file);
	if (held < 0) return 1;
	FILE *from = fopen(file, "re");
	if (!from && errno != ENOENT) return trouble(file, strerror(errno)), 1;
	snprintf(name, sizeof name, "%s.new", file);
	unlink(name);           /* of one that was killed: the lock is ours */
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (to) good = set_owner(from, fd) && rewrite(from, to, user, line, &found) && fclose(to) == 0;
	if (good && !*line && !found) {
		fprintf(stderr, "smtp-passwd: %s: there is no user %s\n", file, user);
		unlink(name);
		return 1;
	}
	if (good && rename(name, file) == 0 && sync_directory(file)) return 0;
	trouble(file, errno ? strerror(errno) : "a line is too long");
	unlink(name);
	return 1;
}

static int edit(const char *user, const char *file, bool delete)
{
	char line[LINE] = "";
	umask(077);
	if (!sasl_name_valid(user, strlen(user)) || strpbrk(user, ": \t#")) {
		fprintf(stderr, "smtp-passwd: a user's name is UTF-8 without blanks, colons and #, at most 255 octets\n");
		return 1;
	}
	if (!delete && !new_line(user, line, sizeof line)) return 1;
	return change(file, user, line);
}

int main(int argc, char **argv)
{
	enum { OPT_SET = 256, OPT_DELETE, OPT_HELP, OPT_VERSION };
	static const struct option longs[] = { { "set", required_argument, NULL, OPT_SET }, { "delete", required_argument, NULL, OPT_DELETE },
		{ "help", no_argument, NULL, OPT_HELP }, { "version", no_argument, NULL, OPT_VERSION }, { NULL, 0, NULL, 0 } };
	int opt, what = 0;
	const char *user = NULL;
	while ((opt = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		if (opt == OPT_HELP) return fputs(usage, stdout), 0;
		if (opt == OPT_VERSION) return puts("smtp-passwd " VERSION), 0;
		if (opt == '?' || what) return MISUSED;
		what = opt;
		user = optarg;
	}
	const char *file = optind < argc ? argv[optind++] : what ? PASSWD_FILE : NULL;
	if (!file || (what && optind < argc)) return fputs(usage, stderr), MISUSED;
	return what ? edit(user, file, what == OPT_DELETE) : answer(file, argv + optind);
}
