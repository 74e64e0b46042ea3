/* Maildir++ quota: what is read from maildirsize, when it is counted anew and what is counted, and what an owner who means harm may put there.
 * SPDX-License-Identifier: MIT */
#include "quota.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static char root[] = "/tmp/quota-unit.XXXXXX";
static int box;

/* --- a Maildir --- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	return at->level > 0 ? remove(path) : 0;
}

static void must(bool ok, const char *what)
{
	if (ok) return;
	perror(what);
	exit(2);
}

static void make_folder(const char *name)
{
	char path[100];
	static const char *parts[] = { "", "/new", "/cur", "/tmp" };
	for (size_t i = 0; i < COUNT(parts); i++) {
		snprintf(path, sizeof path, "%s%s", name, parts[i]);
		must(mkdirat(box, path, 0700) == 0 || errno == EEXIST, path);
	}
}

static void put(const char *name, const char *text, size_t n)
{
	int fd = openat(box, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	must(fd >= 0 && write(fd, text, n) == (ssize_t)n && close(fd) == 0, name);
}

/* An empty Maildir.  */
static void fresh(void)
{
	must(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0, "nftw");
	make_folder(".");
}

/* With two messages of 30 octets in all, in inbox and folder.  */
static void with_mail(void)
{
	fresh();
	make_folder(".Trash");
	put("new/1", "ten octets", 10);
	put(".Trash/cur/2,S=20:2,ST", "", 0);
}

static void age(long seconds)
{
	int fd = openat(box, "maildirsize", O_WRONLY);
	struct timespec t[2] = { { .tv_sec = time(NULL) - seconds }, { .tv_sec = time(NULL) - seconds } };
	must(fd >= 0 && futimens(fd, t) == 0 && close(fd) == 0, "age");
}

/* The text of maildirsize; "-" when it is no file.  */
static const char *file(void)
{
	static char text[6000];
	struct stat st;
	if (fstatat(box, "maildirsize", &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return "-";
	int fd = openat(box, "maildirsize", O_RDONLY | O_NOFOLLOW);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	must(n >= 0 && close(fd) == 0, "maildirsize");
	text[n] = '\0';
	return text;
}

static unsigned left_in_tmp(void)
{
	int fd = openat(box, "tmp", O_RDONLY | O_DIRECTORY);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	unsigned n = 0;
	must(d != NULL, "tmp");
	for (const struct dirent *e; (e = readdir(d)) != NULL;) n += strstr(e->d_name, "maildirsize") != NULL;
	closedir(d);
	return n;
}

#define U(n) ((unsigned long long)(n))
static void expect(uint64_t octets, const char *want, const char *want_file, const char *what)
{
	struct quota q;
	char got[200];
	alarm(20);
	int e = quota_read(box, octets, 0, &q);
	alarm(0);
	snprintf(got, sizeof got, "%d: %lluS %lluC, %llu %llu", e, U(q.octets), U(q.messages), U(q.used_octets), U(q.used_messages));
	check_text(got, want, "%s", what);
	if (want_file) check_text(file(), want_file, "file of: %s", what);
	check_number(left_in_tmp(), 0, "nothing left in tmp/: %s", what);
}

/* --- what is read; counted anew, it is 30 octets in 2 messages --- */

#define BIG "9223372036854775807"
#define NEW(limits) limits "\n30 2\n"

static const struct { const char *what; long long octets; const char *text, *want, *file; } rows[] = {
	{ "both limits", 0, "1000S,10C\n5 1\n", "0: 1000S 10C, 5 1", NULL },
	{ "in the other order", 0, "10C,1000S\n5 1\n", "0: 1000S 10C, 5 1", NULL },
	{ "octets only", 0, "1000S\n5 1\n", "0: 1000S 0C, 5 1", NULL },
	{ "messages only", 0, "10C\n5 1\n", "0: 0S 10C, 5 1", NULL },
	{ "one of them is none", 0, "0S,10C\n5 1\n", "0: 0S 10C, 5 1", NULL },
	{ "both are none", 0, "0S,0C\n5 1\n", "0: 0S 0C, 0 0", NULL },
	{ "none, but by setting", 700, "0S\n5 1\n", "0: 700S 0C, 5 1", NULL },
	{ "the file's limit counts before the setting", 700, "1000S\n5 1\n", "0: 1000S 0C, 5 1", NULL },
	{ "also a limit of messages only", 700, "10C\n5 1\n", "0: 0S 10C, 5 1", NULL },
	{ "what is no limit is passed over", 0, "x,1000S,10X,5CC,S,-7S, 3S,10C,\n5 1\n", "0: 1000S 10C, 5 1", NULL },
	{ "a limit past 64 bits is the largest", 0, "99999999999999999999999999S\n5 1\n", "0: " BIG "S 0C, 5 1", NULL },
	{ "a limit past 63 bits", 0, "18446744073709551615S,9223372036854775808C\n5 1\n", "0: " BIG "S " BIG "C, 5 1", NULL },
	{ "the largest limit", 0, BIG "S\n5 1\n", "0: " BIG "S 0C, 5 1", NULL },
	{ "several lines", 0, "1000S\n5 1\n7 2\n100 1\n", "0: 1000S 0C, 112 4", NULL },
	{ "with negative ones", 0, "1000S\n50 3\n-7 -1\n", "0: 1000S 0C, 43 2", NULL },
	{ "a negative sum", 0, "1000S\n50 3\n-70 -4\n", "0: 1000S 0C, 0 0", NULL },
	{ "the sums turn negative on the way only", 0, "1000S\n-50 -3\n70 4\n", "0: 1000S 0C, 20 1", NULL },
	{ "padding", 0, "1000S\n   50    3  \n\t1\t1\r\n", "0: 1000S 0C, 51 4", NULL },
	{ "a line that is being written", 0, "1000S\n50 3\n12", "0: 1000S 0C, 50 3", NULL },
	{ "the largest usage", 0, BIG "S\n" BIG " " BIG "\n-8 -8\n", "0: " BIG "S 0C, 9223372036854775799 9223372036854775799", NULL },
	/* broken: counted anew */
	{ "no usage", 0, "1000S\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "not even a line end", 0, "1000S,10C", "0: 1000S 10C, 30 2", NEW("1000S,10C") },
	{ "usage that is being written", 0, "1000S\n12 1", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "only one number", 0, "1000S\n12\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "three numbers", 0, "1000S\n12 1 1\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "numbers not parted", 0, "1000S\n12-1\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "a word", 0, "1000S,10C\n12 1\nfoo\n", "0: 1000S 10C, 30 2", NEW("1000S,10C") },
	{ "an empty line", 0, "10C\n12 1\n\n", "0: 0S 10C, 30 2", NEW("10C") },
	{ "two signs", 0, "1000S\n--12 1\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "a plus", 0, "1000S\n+12 1\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "hexadecimal", 0, "1000S\n0x12 1\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "octets past 64 bits", 0, "1000S\n99999999999999999999 1\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "octets past 63 bits", 0, "1000S\n9223372036854775808 1\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "messages past 64 bits", 0, "1000S\n1 -99999999999999999999999999999999999999999\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "a sum past 63 bits", 0, "1000S\n" BIG " 1\n1 1\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "a sum of messages past 63 bits", 0, "1000S\n1 -" BIG "\n1 -2\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "no limits in the first line", 700, "foo\n12 1\n", "0: 700S 0C, 30 2", NEW("700S") },
	{ "an empty first line", 700, "\n12 1\n", "0: 700S 0C, 30 2", NEW("700S") },
	{ "usage instead of limits", 700, "12 1\n12 1\n", "0: 700S 0C, 30 2", NEW("700S") },
	{ "an empty file", 700, "", "0: 700S 0C, 30 2", NEW("700S") },
	{ "a setting past 63 bits", -1, "", "0: " BIG "S 0C, 30 2", NEW(BIG "S") },
	/* broken, but there is no quota */
	{ "an empty file without a quota", 0, "", "0: 0S 0C, 0 0", "" },
	{ "nonsense without a quota", 0, "foo\nbar\n", "0: 0S 0C, 0 0", "foo\nbar\n" },
	/* full */
	{ "full, one line, new", 0, "1000S\n1000 3\n", "0: 1000S 0C, 1000 3", NULL },
	{ "over it", 0, "1000S\n1001 3\n", "0: 1000S 0C, 1001 3", NULL },
	{ "full of messages", 0, "1000S,3C\n5 3\n", "0: 1000S 3C, 5 3", NULL },
	{ "full, two lines", 0, "1000S\n990 3\n10 1\n", "0: 1000S 0C, 30 2", NEW("1000S") },
	{ "full of messages, two lines", 0, "3C\n5 2\n5 1\n", "0: 0S 3C, 30 2", NEW("3C") },
	{ "full by the setting, two lines", 20, "0S\n15 2\n5 1\n", "0: 20S 0C, 30 2", NEW("20S") },
};

static void test_read(void)
{
	with_mail();
	for (size_t i = 0; i < COUNT(rows); i++) {
		put("maildirsize", rows[i].text, strlen(rows[i].text));
		expect((uint64_t)rows[i].octets, rows[i].want, rows[i].file ? rows[i].file : rows[i].text, rows[i].what);
	}
}

static void test_age(void)
{
	static const struct { const char *text; long seconds; const char *want; } ages[] = {
		{ "1000S\n1000 3\n", 14 * 60, "0: 1000S 0C, 1000 3" },
		{ "1000S\n1000 3\n", 16 * 60, "0: 1000S 0C, 30 2" },
		{ "1000S\n1000 3\n", 10000000, "0: 1000S 0C, 30 2" },
		{ "1000S\n1000 3\n", -16 * 60, "0: 1000S 0C, 30 2" },    /* from the future */
		{ "1000S\n999 3\n", 10000000, "0: 1000S 0C, 999 3" },
		{ "3C\n999 3\n", 16 * 60, "0: 0S 3C, 30 2" },
		{ "20S\n999 3\n", 16 * 60, "0: 20S 0C, 30 2" },  /* and still full */
	};
	with_mail();
	for (size_t i = 0; i < COUNT(ages); i++) {
		put("maildirsize", ages[i].text, strlen(ages[i].text));
		age(ages[i].seconds);
		expect(0, ages[i].want, NULL, "age");
	}
	put("maildirsize", BYTES("20S\n999 3\n"));
	age(16 * 60);
	expect(0, "0: 20S 0C, 30 2", "20S\n30 2\n", "full, old, and full indeed");
	put("new/more", BYTES("12345"));
	expect(0, "0: 20S 0C, 30 2", "20S\n30 2\n", "then believed for as long again");
}

static void test_size(void)
{
	char text[12000];
	with_mail();
	strcpy(text, "1000S,,\n");
	while (strlen(text) < 5120) strcat(text, "0 0\n");
	strcpy(text + 5120 - 4, "7 1\n");
	put("maildirsize", text, 5120);
	expect(0, "0: 1000S 0C, 7 1", NULL, "5120 octets are read");
	strcpy(text + 5120 - 4, "37 1\n");
	put("maildirsize", text, 5121);
	expect(0, "0: 1000S 0C, 30 2", NEW("1000S"), "5121 are too many");
	memset(text, '1', sizeof text);
	text[6000] = 'S';
	text[6001] = '\n';
	put("maildirsize", text, sizeof text);
	expect(0, "0: 0S 0C, 0 0", NULL, "a first line without an end");
	expect(700, "0: 700S 0C, 30 2", NEW("700S"), "a first line without an end, and a setting");
}

/* --- the file that is missing, and what is no file --- */

static void test_missing(void)
{
	with_mail();
	expect(0, "0: 0S 0C, 0 0", "-", "no quota");
	expect(1000, "0: 1000S 0C, 30 2", NEW("1000S"), "made from the setting");
	expect(5, "0: 1000S 0C, 30 2", NEW("1000S"), "which then counts");
	struct stat st;
	check(fstatat(box, "maildirsize", &st, 0) == 0 && (st.st_mode & 07777) == 0600, "its mode");
	must(unlinkat(box, "maildirsize", 0) == 0, "unlink");
	expect(10, "0: 10S 0C, 30 2", NEW("10S"), "a mailbox that is full from the start");
	fresh();
	expect(10, "0: 10S 0C, 0 0", "10S\n0 0\n", "an empty one");
	fresh();
	must(unlinkat(box, "new", AT_REMOVEDIR) == 0 && unlinkat(box, "cur", AT_REMOVEDIR) == 0, "rmdir");
	expect(10, "0: 10S 0C, 0 0", "10S\n0 0\n", "without new and cur");
}

static char outside[sizeof root + 10];   /* a file, or a directory */

static void make_link(void) { must(symlinkat(outside, box, "maildirsize") == 0, "symlink"); }
static void make_loop(void) { must(symlinkat("maildirsize", box, "maildirsize") == 0, "symlink"); }
static void make_fifo(void) { must(mkfifoat(box, "maildirsize", 0600) == 0, "mkfifo"); }
static void make_directory(void) { must(mkdirat(box, "maildirsize", 0700) == 0, "mkdir"); }
static void make_socket(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof a.sun_path, "%s/maildirsize", root);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && close(fd) == 0, "bind");
}
static void make_nonsense(void)
{
	static char text[10 << 20];
	uint64_t seed = 1;
	for (size_t i = 0; i < sizeof text; i++) text[i] = (char)random_next(&seed);
	put("maildirsize", text, sizeof text);
}
static void make_binary(void) { put("maildirsize", BYTES("1000\0S\n5 1\n")); }
static void make_hole(void)
{
	put("maildirsize", "", 0);
	int fd = openat(box, "maildirsize", O_WRONLY);
	must(fd >= 0 && ftruncate(fd, 1LL << 40) == 0 && close(fd) == 0, "ftruncate");
}

static const struct { const char *what; void (*make)(void); bool replaced; } hostile[] = {
	{ "a link to another file", make_link, true },
	{ "a link to itself", make_loop, true },
	{ "a FIFO", make_fifo, true },
	{ "a directory", make_directory, false },
	{ "a socket", make_socket, true },
	{ "10 MB of nonsense", make_nonsense, true },
	{ "binary", make_binary, true },
	{ "a terabyte of nothing", make_hole, true },
};

static void test_hostile(void)
{
	char text[100];
	int fd = open(outside, O_RDWR | O_CREAT | O_EXCL, 0600);
	must(fd >= 0 && write(fd, "1000S\n5 1\n", 10) == 10, outside);
	for (size_t i = 0; i < COUNT(hostile); i++) {
		struct stat before, after;
		with_mail();
		hostile[i].make();
		must(fstatat(box, "maildirsize", &before, AT_SYMLINK_NOFOLLOW) == 0, "stat");
		expect(0, "0: 0S 0C, 0 0", NULL, hostile[i].what);
		check_number((unsigned)quota_add(box, 1, 1), 0, "nothing is added to %s", hostile[i].what);
		must(fstatat(box, "maildirsize", &after, AT_SYMLINK_NOFOLLOW) == 0, "stat");
		check(before.st_ino == after.st_ino, "left alone without a quota: %s", hostile[i].what);
		expect(1000, "0: 1000S 0C, 30 2", hostile[i].replaced ? NEW("1000S") : "-", hostile[i].what);
	}
	ssize_t n = pread(fd, text, sizeof text, 0);
	check_bytes(text, n > 0 ? (size_t)n : 0, BYTES("1000S\n5 1\n"), "the file that was linked to is as it was");
	unlink(outside);
	close(fd);
}

static void test_no_room(void)
{
	with_mail();
	must(unlinkat(box, "tmp", AT_REMOVEDIR) == 0, "rmdir");
	struct quota q;
	check_number((unsigned)quota_read(box, 1000, 0, &q), 0, "without tmp/");
	check(q.used_octets == 30 && q.used_messages == 2, "it counts");
	check_text(file(), "-", "and makes nothing");
	must(symlinkat(".Trash/tmp", box, "tmp") == 0, "symlink");
	check_number((unsigned)quota_read(box, 1000, 0, &q), 0, "tmp/ is a link");
	check_text(file(), "-", "which is not followed");
}

/* --- what is counted --- */

static const struct { const char *what, *name, *text; unsigned octets, messages; } names[] = {
	{ "S= is believed", "new/1,S=77", "x", 77, 1 },
	{ "with W=", "new/1,S=77,W=80", "x", 77, 1 },
	{ "behind W=", "new/1,W=80,S=77", "x", 77, 1 },
	{ "with flags", "cur/1,S=77,W=80:2,S", "x", 77, 1 },
	{ "trashed", "cur/1,S=77:2,T", "x", 77, 1 },
	{ "S=0", "cur/1,S=0:2,", "x", 0, 1 },
	{ "the flag S is no size", "cur/1:2,S", "xyz", 3, 1 },
	{ "without a size", "cur/1", "xyz", 3, 1 },
	{ "no number", "cur/1,S=:2,", "xyz", 3, 1 },
	{ "not only a number", "cur/1,S=7x:2,", "xyz", 3, 1 },
	{ "a negative one", "cur/1,S=-7", "xyz", 3, 1 },
	{ "a size past 64 bits", "cur/1,S=99999999999999999999:2,", "xyz", 3, 1 },
	{ "a size past 63 bits", "cur/1,S=9223372036854775808:2,", "xyz", 3, 1 },
	{ "a folder", ".A.B/cur/1", "xyz", 3, 1 },
	{ "a folder's new", ".A.B/new/1,S=5", "xyz", 5, 1 },
	{ "a folder whose name begins with dots", "..C/new/1,S=5", "xyz", 5, 1 },
	{ "a hidden file", "new/.1,S=5", "xyz", 0, 0 },
	{ "what is being delivered", "tmp/1,S=5", "xyz", 0, 0 },
	{ "no folder", "D/new/1,S=5", "xyz", 0, 0 },
	{ "a folder in a folder", ".A.B/.E/new/1,S=5", "xyz", 0, 0 },
	{ "a file in a folder", ".A.B/1,S=5", "xyz", 0, 0 },
	{ "a file of the inbox", "1,S=5", "xyz", 0, 0 },
	{ "a file with a folder's name", ".1,S=5", "xyz", 0, 0 },
};

static void test_names(void)
{
	char want[100];
	for (size_t i = 0; i < COUNT(names); i++) {
		fresh();
		make_folder(".A.B");
		make_folder("..C");
		make_folder("D");
		make_folder(".A.B/.E");
		put(names[i].name, names[i].text, strlen(names[i].text));
		snprintf(want, sizeof want, "0: 1000S 0C, %u %u", names[i].octets, names[i].messages);
		expect(1000, want, NULL, names[i].what);
	}
	fresh();
	put("new/1,S=" BIG, "", 0);
	put("new/2,S=" BIG, "", 0);
	put("new/3,S=5", "", 0);
	expect(1000, "0: 1000S 0C, " BIG " 3", "1000S\n" BIG " 3\n", "sizes that lie and overflow");
	expect(1000, "0: 1000S 0C, " BIG " 3", NULL, "and are read again");
}

static void test_counted(void)
{
	char path[100];
	static const char *dirs[] = { "", "/new", "/cur" };
	for (size_t i = 0; i < COUNT(dirs); i++) {
		snprintf(path, sizeof path, "%s%s", outside, dirs[i]);
		must(mkdir(path, 0700) == 0, path);
	}
	snprintf(path, sizeof path, "%s/new/1,S=500", outside);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	must(fd >= 0 && close(fd) == 0, path);
	with_mail();
	must(symlinkat(outside, box, ".Linked") == 0 && symlinkat(path, box, "new/3") == 0 && mkdirat(box, "new/4", 0700) == 0, "symlinkat");
	must(mkfifoat(box, "new/5", 0600) == 0 && mkdirat(box, ".Empty", 0700) == 0 && mkfifoat(box, ".fifo", 0600) == 0, "mkfifoat");
	make_folder(".Half");
	must(unlinkat(box, ".Half/new", AT_REMOVEDIR) == 0 && symlinkat("../new", box, ".Half/new") == 0, "symlinkat");
	put(".Half/cur/6", "123", 3);
	expect(1000, "0: 1000S 0C, 33 3", "1000S\n33 3\n", "links, directories and FIFOs; a folder that is a link; one without new/; one with a link for it");
	must(nftw(outside, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 && rmdir(outside) == 0, "nftw");
}

static void test_many(void)
{
	char name[200];
	struct quota q;
	fresh();
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "cur/%0*u,S=%u:2,", 10 + (int)(i % 80), i, i);
		put(name, "", 0);
		snprintf(name, sizeof name, ".folder-%u", i);
		make_folder(name);
		snprintf(name, sizeof name, ".folder-%u/new/%u", i, i);
		put(name, "12345", 5);
	}
	expect(1000000, "0: 1000000S 0C, 46350 600", NULL, "more than one block of names");
	int other = open(root, O_RDONLY | O_DIRECTORY);
	must(unlinkat(box, "maildirsize", 0) == 0, "unlink");
	check(quota_read(other, 1000000, 0, &q) == 0 && q.used_messages == 600, "by a descriptor");
	must(unlinkat(box, "maildirsize", 0) == 0, "unlink");
	check(quota_read(other, 1000000, 0, &q) == 0 && q.used_messages == 600, "by it again: its position does not matter");
	close(other);
}

/* --- limits and additions --- */

static void test_fits(void)
{
	static const struct { struct quota q; uint64_t octets; bool full, fits; } fits[] = {
		{ { 0, 0, 0, 0 }, UINT64_MAX, false, true },
		{ { 0, 0, 500, 500 }, 1, false, true },
		{ { 100, 0, 0, 0 }, 0, false, true },
		{ { 100, 0, 0, 0 }, 100, false, true },
		{ { 100, 0, 0, 0 }, 101, false, false },
		{ { 100, 0, 0, 0 }, UINT64_MAX, false, false },
		{ { 100, 0, 99, 7 }, 1, false, true },
		{ { 100, 0, 99, 7 }, 2, false, false },
		{ { 100, 0, 100, 7 }, 0, true, true },
		{ { 100, 0, 100, 7 }, 1, true, false },
		{ { 100, 0, 101, 7 }, 0, true, false },
		{ { 100, 0, UINT64_MAX, 7 }, UINT64_MAX, true, false },
		{ { 0, 7, 100, 6 }, UINT64_MAX, false, true },
		{ { 0, 7, 100, 7 }, 0, true, false },
		{ { 0, 7, 100, 8 }, 0, true, false },
		{ { 1000, 7, 100, 7 }, 1, true, false },
		{ { UINT64_MAX, 0, 1, 0 }, UINT64_MAX, false, false },
		{ { UINT64_MAX, 0, 1, 0 }, UINT64_MAX - 1, false, true },
	};
	for (size_t i = 0; i < COUNT(fits); i++) {
		check(quota_full(&fits[i].q) == fits[i].full, "full %zu", i);
		check(quota_fits(&fits[i].q, fits[i].octets) == fits[i].fits, "fits %zu", i);
	}
}

static void test_add(void)
{
	fresh();
	check_number((unsigned)quota_add(box, 7, 1), 0, "nothing to add to");
	check_text(file(), "-", "nothing is made");
	put("maildirsize", BYTES("1000S\n5 1\n"));
	check_number((unsigned)quota_add(box, 7, 1), 0, "a message");
	check_number((unsigned)quota_add(box, 5000000000, 3), 0, "three");
	check_text(file(), "1000S\n5 1\n7 1\n5000000000 3\n", "two lines");
	put("maildirsize", BYTES("1000S\n5 1\n"));
	expect(0, "0: 1000S 0C, 5 1", NULL, "read");
	for (unsigned i = 0; i < 20; i++) quota_add(box, 10, 1);
	expect(0, "0: 1000S 0C, 205 21", NULL, "all are counted");
	for (unsigned i = 0; i < 2000; i++) quota_add(box, 0, 1);
	struct stat st;
	check(fstatat(box, "maildirsize", &st, 0) == 0 && st.st_size > 5120 && st.st_size < 5140, "the file does not grow for ever");
	put("new/1", "ten octets", 10);
	expect(0, "0: 1000S 0C, 10 1", "1000S\n10 1\n", "too long, it is made anew");
	check_number((unsigned)quota_add(-1, 0, 0), EBADF, "an error is told");
	struct quota q;
	check_number((unsigned)quota_read(-1, 5, 0, &q), EBADF, "and of reading");
}

/* Many at once: no line is lost, no file left.  */
static void test_together(void)
{
	enum { PROCESSES = 8, EACH = 20 };
	fresh();
	put("maildirsize", BYTES("100000S\n0 0\n"));
	for (unsigned i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();
		must(pid >= 0, "fork");
		for (unsigned k = 0; pid == 0 && k < EACH; k++) quota_add(box, 3, 1);
		if (pid == 0) _exit(0);
	}
	while (wait(NULL) > 0) continue;
	expect(0, "0: 100000S 0C, 480 160", NULL, "lines of eight processes");
	must(unlinkat(box, "maildirsize", 0) == 0, "unlink");
	put("new/1", "ten octets", 10);
	for (unsigned i = 0; i < PROCESSES; i++) {
		struct quota q;
		pid_t pid = fork();
		must(pid >= 0, "fork");
		if (pid == 0) _exit(quota_read(box, 1000, 0, &q) == 0 && q.used_octets == 10 ? 0 : 1);
	}
	int status, bad = 0;
	while (wait(&status) > 0) bad += status != 0;
	check_number((unsigned)bad, 0, "eight count at once");
	expect(0, "0: 1000S 0C, 10 1", "1000S\n10 1\n", "what they wrote");
}

int main(void)
{
	must(mkdtemp(root) != NULL, root);
	box = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(box >= 0, root);
	snprintf(outside, sizeof outside, "%s-outside", root);
	test_read();
	test_age();
	test_size();
	test_missing();
	test_hostile();
	test_no_room();
	test_names();
	test_counted();
	test_many();
	test_fits();
	test_add();
	test_together();
	must(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 && rmdir(root) == 0, "nftw");
	return done();
}
