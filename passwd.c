/* smtp-passwd: who may log in, by a file of names and hashes.  A program of the checkpassword interface, and the tool that writes the file.
 * SPDX-License-Identifier: MIT */
#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "passwd/passwd.h"

#ifndef PASSWD_FILE
#define PASSWD_FILE "/etc/smtp-handler.passwd"
#endif

/* Of the checkpassword interface; 111 is temporary.  */
enum { GOOD = 0, REFUSED = 1, MISUSED = 2, TROUBLE = 111 };
enum { ANSWER = 4096, PATIENCE = 10 /* seconds for descriptor 3 */, WORK = 20 /* for the rest; for a lock */, MEMORY = 512 << 20 };

static const char usage[] =
	"usage: smtp-passwd file [program [argument]...]\n"
	"       smtp-passwd --set user [file]\n"
	"       smtp-passwd --delete user [file]\n"
	"       smtp-passwd --list [file]\n"
	"       smtp-passwd --version | --help\n"
	"\n"
	"The first form reads a name and a password from descriptor 3 (the checkpassword interface) and ends with status 0\n"
	"if the file knows them, 1 if not; or executes the program.  The others change or show the file (" PASSWD_FILE ").\n"
	"--set asks for the password, or reads it from standard input if that is no terminal.\n"
	"See smtp-passwd(8).\n";

/* What smtp-handler logs to another place goes there from us as well: its descriptor 2 may be its client, or nothing.  */
bool trouble(const char *file, const char *what)
{
	const char *place = getenv("SMTP_LOG");
	if (place && strcmp(place, "stderr") != 0) {
		log_open("smtp-passwd", NULL, "", LOG_LINES);
		log_line(LEVEL_ERROR, "%s: %s", file, what);
	} else {
		fprintf(stderr, "smtp-passwd: %s: %s\n", file, what);
	}
	return false;
}

static void too_late(int sig)
{
	static const char text[] = "smtp-passwd: this took too long\n";
	(void)sig;
	if (write(2, text, sizeof text - 1) > 0) _exit(TROUBLE);
	_exit(TROUBLE);
}

/* --- the checkpassword interface --- */

/* "name NUL password NUL timestamp NUL" from descriptor 3, and perhaps more behind it.  All three, or it is not the whole of what was to come.  */
static int read_pair(char buf[ANSWER + 1], char **name, char **password)
{
	size_t n = 0;
	ssize_t r;
	while (n <= ANSWER && (r = read(3, buf + n, ANSWER + 1 - n)) != 0) {
		if (r > 0) {
			n += (size_t)r;
		} else if (errno != EINTR) {
			int why = errno;
			trouble("descriptor 3", strerror(why));
			return why == EBADF ? MISUSED : TROUBLE;
		}
	}
	char *end = n <= ANSWER ? buf + n : buf, *at = buf, *field[3];
	for (int i = 0; i < 3; i++) {
		char *nul = memchr(at, '\0', (size_t)(end - at));
		if (!nul) return trouble("descriptor 3", "this is not what the checkpassword interface says"), MISUSED;
		field[i] = at;
		at = nul + 1;
	}
	*name = field[0];
	*password = field[1];
	return GOOD;
}

/* What the file has for a user.  */
struct found {
	bool known;
	enum table_state state;
	char name[SASL_NAME_MAX + 1];   /* as the file spells it */
	char hash[CRYPT_OUTPUT_SIZE];   /* if state is TABLE_GOOD */
	char other[CRYPT_OUTPUT_SIZE];  /* of another user; "" if there is none */
	uint64_t least;                 /* the lot that `other` drew */
};

/* FNV-1a, and a last stir, for the upper bits count.  */
static uint64_t lot(const char *name, const char *hash)
{
	uint64_t v = 0xcbf29ce484222325U;
	for (; *name; name++) v = (v ^ (unsigned char)*name) * 0x100000001b3U;
	for (; *hash; hash++) v = (v ^ (unsigned char)*hash) * 0x100000001b3U;
	v = (v ^ v >> 32) * 0xd6e8feb86659fd93U;
	return v ^ v >> 32;
}

/* Read the whole file, wherever the user is, so that this takes as long for every name.  An unknown name gets the hash of a user, drawn by name and (as they
 * are secret) the hashes: always the same one, and every kind of hash, as costly as it is, as often as users have it.  */
static bool find(FILE *f, const char *name, struct found *found)
{
	char hash[CRYPT_OUTPUT_SIZE];
	struct table_line l = { .len = 0 };
	struct table_entry e;
	while (table_read(f, &l)) {
		if (!table_entry(&l, &e)) continue;
		enum table_state s = table_hash(&l, &e, hash);
		uint64_t v = s == TABLE_GOOD ? lot(name, hash) : 0;
		if (s == TABLE_GOOD && (!*found->other || v < found->least)) {
			found->least = v;
			strcpy(found->other, hash);
		}
		if (found->known || !table_is(&l, &e, name)) continue;
		found->known = true;
		found->state = s;
		memcpy(found->name, l.text, e.name_end);
		strcpy(found->hash, hash);
	}
	return !ferror(f);
}

static bool alike(const char *a, const char *b)
{
	size_t n = strlen(a);
	unsigned char differ = 0;
	for (size_t i = 0; i < n; i++) differ |= (unsigned char)(a[i] ^ b[i]);
	return differ == 0;
}

/* crypt(3), within bounds: a hash may ask for any amount of memory.  Sanitizers need more than that.  */
static const char *digest(const char *password, const char *setting, struct crypt_data *data)
{
	struct rlimit before, within;
	if (getrlimit(RLIMIT_AS, &before) != 0) return NULL;
	within = before;
#ifndef SANDBOX
	if (within.rlim_cur > MEMORY) within.rlim_cur = MEMORY;
#endif
	setrlimit(RLIMIT_AS, &within);
	const char *got = crypt_rn(password, setting, data, sizeof *data);
	setrlimit(RLIMIT_AS, &before);
	return got;
}

/* Compare; who is unknown is refused after the same work.  */
static int compare(const char *file, const struct found *found, const char *password)
{
	/* yescrypt, as --set makes it: for a file with nobody in it, and for a hash of another that crypt(3) does not take */
	static const char nobody[] = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC";
	static struct crypt_data data;
	bool real = found->known && found->state == TABLE_GOOD;
	const char *got = digest(password, real ? found->hash : *found->other ? found->other : nobody, &data), *flaw = NULL;
	if (!got && !real) got = digest(password, nobody, &data);
	if (real && !got) flaw = "crypt(3) cannot take the hash, or needs more than 512 MB for it";
	else if (real && strlen(got) != strlen(found->hash)) flaw = "the hash is not whole";
	else if (found->known && !real && found->state != TABLE_LOCKED) flaw = table_flaw(found->state);
	int result = flaw ? TROUBLE : real && alike(got, found->hash) ? GOOD : REFUSED;
	explicit_bzero(&data, sizeof data);
	if (flaw) {
		char name[SASL_NAME_MAX * 4 + 8], text[sizeof name + 100];
		log_escape(name, sizeof name, found->name);
		snprintf(text, sizeof text, "%s, of <%s>; set it anew", flaw, name);
		trouble(file, text);
	}
	return result;
}

/* Name and password against the file; on success the name as it is spelt there.  */
static int check(const char *file, const char *name, const char *password, char spelt[SASL_NAME_MAX + 1])
{
	static struct found found;
	FILE *f = table_open(file);
	if (!f) return trouble(file, table_why(errno)), TROUBLE;
	if (!user_valid(name) || !*password || strlen(password) > PASSWORD_MAX) return REFUSED;         /* these can be nobody's */
	bool whole = find(f, name, &found);
	if (!whole) trouble(file, strerror(errno));
	fclose(f);
	int result = whole ? compare(file, &found, password) : TROUBLE;
	strcpy(spelt, found.name);
	explicit_bzero(&found, sizeof found);
	return result;
}

static int answer(const char *file, char **program)
{
	static char buf[ANSWER + 1];
	char *name, *password, spelt[SASL_NAME_MAX + 1] = "";
	alarm(PATIENCE);
	int result = read_pair(buf, &name, &password);
	alarm(WORK);
	close(3);
	if (result == GOOD) result = check(file, name, password, spelt);
	explicit_bzero(buf, sizeof buf);
	alarm(0);
	if (result != GOOD || !*program) return result;
	if (setenv("USER", spelt, 1) == 0) execvp(*program, program);
	return trouble(*program, strerror(errno)), TROUBLE;
}

/* --- the tool --- */

static int set(const char *file, const char *user)
{
	static struct crypt_data data;
	char password[PASSWORD_MAX + 1], setting[CRYPT_GENSALT_OUTPUT_SIZE], hash[CRYPT_OUTPUT_SIZE] = "";
	if (!ask_password(password)) return 1;
	const char *made = crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof setting) ? crypt_rn(password, setting, &data, sizeof data) : NULL;
	explicit_bzero(password, sizeof password);
	if (!made) return trouble("crypt(3)", strerror(errno)), 1;
	strcpy(hash, made);
	explicit_bzero(&data, sizeof data);
	alarm(WORK);
	return change_file(file, user, hash) ? 0 : 1;
}

/* The names; what cannot be used is said of on standard error, with the line.  */
static int list(const char *file)
{
	char name[SASL_NAME_MAX + 1], hash[CRYPT_OUTPUT_SIZE];
	struct table_line l = { .len = 0 };
	struct table_entry e;
	int result = 0;
	FILE *f = table_open(file);
	if (!f) return trouble(file, table_why(errno)), 1;
	for (unsigned long number = 0; table_read(f, &l);) {
		number += l.begins;
		if (!table_entry(&l, &e)) continue;
		enum table_state s = table_hash(&l, &e, hash);
		snprintf(name, sizeof name, "%.*s", (int)(e.name_end < sizeof name ? e.name_end : 0), l.text);
		if (!user_valid(name)) s = TABLE_MALFORMED;
		else puts(name);
		if (s == TABLE_GOOD || s == TABLE_LOCKED) continue;
		fprintf(stderr, "smtp-passwd: %s:%lu: %s\n", file, number, table_flaw(s));
		result = 1;
	}
	if (ferror(f)) result = 1, trouble(file, strerror(errno));
	return fflush(stdout) == 0 ? result : (trouble("standard output", strerror(errno)), 1);
}

static int edit(int what, const char *file, const char *user)
{
	umask(077);
	if (!user_valid(user)) {
		fprintf(stderr, "smtp-passwd: the name of a user is UTF-8 without blanks and colons and with no # in front, at most %d octets\n", SASL_NAME_MAX);
		return 1;
	}
	if (what == 's') return set(file, user);
	alarm(WORK);
	return change_file(file, user, NULL) ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "set", required_argument, NULL, 's' }, { "delete", required_argument, NULL, 'd' },
		{ "list", no_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { NULL, 0, NULL, 0 } };
	int opt, what = 0;
	const char *user = NULL;
	signal(SIGALRM, too_late);
	while ((opt = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		if (opt == 'h') return fputs(usage, stdout), 0;
		if (opt == 'v') return puts("smtp-passwd " VERSION), 0;
		if (opt == '?' || what) return fputs(usage, stderr), MISUSED;
		what = opt;
		user = optarg;
	}
	const char *file = optind < argc ? argv[optind++] : what ? PASSWD_FILE : NULL;
	if (!file || (what && optind < argc)) return fputs(usage, stderr), MISUSED;
	if (what == 'l') return list(file);
	return what ? edit(what, file, user) : answer(file, argv + optind);
}
