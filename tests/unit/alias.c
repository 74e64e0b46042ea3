/* Alias tables: each rule as text and, where it compiles, as cdb; members; sizes at their limits; files that are not what they should be.
 * SPDX-License-Identifier: MIT */
#include "alias.h"

#include <cdb.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static char folder[64], path[100], cdb_path[110], said[8192];

static int open_at(int dir, const char *name) { return openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }

static void write_file(const char *name, const char *s, size_t n, time_t when)
{
	struct timespec times[2] = { { .tv_sec = when }, { .tv_sec = when } };
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, s, n) != (ssize_t)n || fchmod(fd, 0644) != 0 || futimens(fd, times) != 0) abort();
	close(fd);
}

/* A text alone, old enough that nobody waits for the clock.  */
static void make_text(const char *s, size_t n)
{
	unlink(cdb_path);
	write_file(path, s, n, 1000);
}

/* alias_compile; what it says goes into `said`, without the path.  */
static int compile(void)
{
	FILE *file = tmpfile();
	int err = dup(2);
	char line[600];
	if (!file || err < 0 || dup2(fileno(file), 2) < 0) abort();
	int status = alias_compile(path);
	if (dup2(err, 2) < 0) abort();
	close(err);
	rewind(file);
	said[0] = '\0';
	while (fgets(line, sizeof line, file)) {
		size_t skip = strncmp(line, path, strlen(path)) == 0 ? strlen(path) : 0;
		if (strlen(said) + strlen(line) < sizeof said) strcat(said, line + skip);
	}
	fclose(file);
	return status;
}

static const char *error_name(int e)
{
	static const struct { int e; const char *name; } names[] = { { ENOENT, "ENOENT" }, { EPERM, "EPERM" }, { EINVAL, "EINVAL" }, { EBADMSG, "EBADMSG" }, { E2BIG, "E2BIG" } };
	for (size_t i = 0; i < COUNT(names); i++)
		if (names[i].e == e) return names[i].name;
	return strerror(e);
}

/* Open, look up, close.  The value, or "(none)", or the name of the error.  */
static const char *look_up(const char *name, unsigned *line)
{
	static char value[ALIAS_VALUE + 10];
	struct alias_table t;
	const char *v;
	int e = alias_open(&t, AT_FDCWD, path, open_at);
	*line = 0;
	if (e) return error_name(e);
	int found = alias_lookup(&t, name, &v, line);
	e = errno;
	if (found == 1) strcpy(value, v);
	alias_close(&t);
	return found == 1 ? value : found == 0 ? "(none)" : error_name(e);
}

static const char *find(const char *name)
{
	unsigned line;
	return look_up(name, &line);
}

/* --- tables --- */

static const struct row { const char *text, *name, *want; unsigned line; const char *wrong; } rows[] = {
	{ "a: b\n", "a", "b", 1, "" },
	{ "a: b", "a", "b", 1, "" },
	{ "a:b\n", "a", "b", 1, "" },
	{ "a \t:\t b \t\n", "a", "b", 1, "" },
	{ "a: b\r\nc: d\r\n", "a", "b", 1, "" },
	{ "a: b\r\nc: d\r", "c", "d", 2, "" },
	{ "# x\n\n  \t\n \t# y: z\n#a: no\na: b, c\n", "a", "b, c", 6, "" },
	{ "a: b\n", "b", "(none)", 0, "" },
	{ "", "b", "(none)", 0, "" },
	{ "\n\r\n#", "b", "(none)", 0, "" },
	{ "Post-Master: b\n", "post-master", "b", 1, "" },
	{ "post-master: b\n", "Post-Master", "(none)", 0, "" },
	{ "Gr\xc3\xbc\xc3\x9f: \xc3\xa4@b\n", "gr\xc3\xbc\xc3\x9f", "\xc3\xa4@b", 1, "" },
	{ "\xc3\x84: b\n", "\xc3\xa4", "b", 1, "" },
	{ "\"a\": b\n", "a", "b", 1, "" },
	{ "\"A b:\\\"c\\\\d\\e\" : b\n", "a b:\"c\\de", "b", 1, "" },
	{ "\"#a\": b\n", "#a", "b", 1, "" },
	{ "a@[1.2.3.4]: b\n@d.example: c\n", "a@[1.2.3.4]", "b", 1, "" },
	{ "a@[1.2.3.4]: b\n@d.example: c\n", "@d.example", "c", 2, "" },
	{ "a: b\na: c\n", "a", "b", 1, ":2: the name was there before, and that counts\n" },
	{ "A: b\n\"a\": c\n", "a", "b", 1, ":2: the name was there before, and that counts\n" },
	{ "ab: b\na: c\n", "a", "c", 2, "" },
	{ "a: b,\n  c\n\td\n", "a", "b, c d", 1, ":1: cannot be read: c d\n" },
	{ "a: b,\n\t c ,\r\n  \r\n# x\n  # y\n\n d\nb: x\n", "a", "b, c , d", 1, "" },
	{ "a: b,\n\t c ,\r\n  \r\n# x\n  # y\n\n d\nb: x\n", "b", "x", 8, "" },
	{ "a:\n  b\n", "a", "b", 1, "" },
	{ "a:\n  b:c\n", "a", "b:c", 1, ":1: cannot be read: b:c\n" },
	{ "a: \"|p x,\n y\"\n", "a", "\"|p x, y\"", 1, "" },
	{ "a: :include:/x/y\n", "a", ":include:/x/y", 1, "" },
	{ "a: b # c\n", "a", "b # c", 1, ":1: cannot be read: b # c\n" },
	/* broken lines are passed over, with what continues them */
	{ "a\nb: c\n", "a", "(none)", 0, ":1: no colon\n" },
	{ "a\nb: c\n", "b", "c", 2, ":1: no colon\n" },
	{ "a b: c\na: d\n", "a", "d", 2, ":1: no colon after the name\n" },
	{ "a:\nb: c\n", "a", "(none)", 0, ":1: no value\n" },
	{ "a: \t\r\n \nb: c\n", "a", "(none)", 0, ":1: no value\n" },
	{ "a: ,(x)\n", "a", ",(x)", 1, ":1: no value\n" },
	{ ": c\n\"\": d\nb: c\n", "b", "c", 3, ":1: no name\n:2: no name\n" },
	{ " a: c\nb: c\n", "a", "(none)", 0, ":1: it continues nothing\n" },
	{ " a: c\n x\nb: c\n", "b", "c", 3, ":1: it continues nothing\n" },
	{ "\"a: c\nb: c\n", "b", "c", 2, ":1: the quote does not end\n" },
	{ "\"a\\\nb: c\n", "b", "c", 2, ":1: the quote does not end\n" },
	{ "\"a\"b: c\nb: c\n", "b", "c", 2, ":1: no colon after the name\n" },
	{ "a(x): c\na,b: c\na\\b: c\na\"b: c\n<a>: c\na: d\n", "a", "d", 6, ":1: a name with this in it needs quotes\n:2: a name with this in it needs quotes\n"
		":3: a name with this in it needs quotes\n:4: a name with this in it needs quotes\n:5: a name with this in it needs quotes\n" },
	{ "a\x01: c\nb: c\n", "b", "c", 2, ":1: a control octet\n" },
	{ "\r: c\nb: c\n", "b", "c", 2, ":1: a control octet\n" },
	{ "\"\\\x7f\": c\nb: c\n", "b", "c", 2, ":1: a control octet\n" },
	{ "\xff: c\nb: c\n", "\xff", "(none)", 0, ":1: the name is no UTF-8\n" },
	{ "a: \xff\na: c\n", "a", "c", 2, ":1: control octets, or no UTF-8\n" },
	{ "a: \xed\xa0\x80\na: c\n", "a", "c", 2, ":1: control octets, or no UTF-8\n" },
	{ "a: \xc3\n \xa4\na: c\n", "a", "c", 3, ":1: control octets, or no UTF-8\n" },
	{ "a: b\rc\na: c\n", "a", "c", 2, ":1: control octets, or no UTF-8\n" },
	{ "a: b\r\r\na: c\n", "a", "c", 2, ":1: control octets, or no UTF-8\n" },
	{ "a: b,\n c\x1b\n d\na: c\n", "a", "c", 4, ":1: control octets, or no UTF-8\n" },
	{ "a: b\tc\n", "a", "b\tc", 1, ":1: cannot be read: b\\x09c\n" },
};

static void test_row(const struct row *r, const char *text, size_t n)
{
	unsigned line;
	make_text(text, n);
	const char *what = show(text, n), *got = look_up(r->name, &line);
	check_text(got, r->want, "text: %s", what);
	check_number(line, r->line, "its line: %s", what);
	int status = compile();
	bool good = !*r->wrong || strstr(r->wrong, "before");
	check_number((unsigned)status, good ? 0 : EX_DATAERR, "compile: %s", what);
	check_text(said, r->wrong, "says: %s", what);
	check((access(cdb_path, F_OK) == 0) == good, "is there only if it is good: %s", what);
	if (good) check_text(look_up(r->name, &line), r->want, "cdb: %s", what);
	check_number(line, good ? 0 : r->line, "line in cdb: %s", what);
}

static void test_tables(void)
{
	static const struct row nul = { "", "a", "c", 2, ":1: control octets, or no UTF-8\n" }, nul_name = { "", "a", "c", 2, ":1: a control octet\n" };
	for (size_t i = 0; i < COUNT(rows); i++) test_row(&rows[i], rows[i].text, strlen(rows[i].text));
	test_row(&nul, BYTES("a: b\0c\na: c\n"));
	test_row(&nul_name, BYTES("a\0: b\na: c\n"));
	make_text(BYTES("a: b\n"));
	check_text(find(""), "(none)", "no name at all");
	check_text(find("a\n"), "(none)", "a name with a control octet");
	check_text(find("\xc3"), "(none)", "a name that is no UTF-8");
}

/* --- members --- */

static const struct { const char *list, *want; bool lines; } lists[] = {
	{ "", "", false },
	{ " , ,\t,", "", false },
	{ "a", "A a", false },
	{ "a,b@c, d ", "A a;A b@c;A d", false },
	{ "A.B+c@D.example", "A A.B+c@D.example", false },
	{ "\"a, b\"@c, d", "A \"a, b\"@c;A d", false },
	{ "\"a \\\" b\", d", "A \"a \\\" b\";A d", false },
	{ "<a@b>, < a@b >", "A a@b;A a@b", false },
	{ "A. B <a@b>,\"C, <x> D\" <c>", "A a@b;A c", false },
	{ "\xc3\x84 \xc3\x96 <\xc3\xa4@\xc3\xb6.example>", "A \xc3\xa4@\xc3\xb6.example", false },
	{ "a (b, c), (x (y) \\) \") d, (none), e(f)", "A a;A d;A e", false },
	{ "A (x) <a@b> (y)", "A a@b", false },
	{ "\\a, \\a@b, \\\"a b\"@c", "L a;L a@b;L \"a b\"@c", false },
	{ ":include:/x/y,\":include:/x y, z\", :INCLUDE: /x , :include:\"/x y\"", "I /x/y;I /x y, z;I /x;I /x y", false },
	{ "|p a b , \"|p 'a, b' \\\"c\\\\\\\"\"", "P p a b;P p 'a, b' \"c\\\"", false },
	{ "|\"p a, b\", |p \"a, b\" c, | p (x), |p a\\,b", "P p a, b;P p \"a, b\" c;P p (x);P p a\\,b", false },
	{ "/x/y, \"/x y, z\", /x (c), \"/\xc3\xa4\"", "F /x/y;F /x y, z;F /x;F /\xc3\xa4", false },
	{ "/dev/null,postmaster", "F /dev/null;A postmaster", false },
	{ "a#b, #c", "A a#b;A #c", false },
	/* bad */
	{ "a b, c", "B a b;A c", false },
	{ "a\"b, c", "B a\"b, c", false },
	{ "\"a, b", "B \"a, b", false },
	{ "(a, b", "B (a, b", false },
	{ "a), b", "B a);A b", false },
	{ "a\\,b, c", "B a\\,b;A c", false },
	{ "a\\", "B a\\", false },
	{ "\\, a", "B \\;A a", false },
	{ "\\|p, \\/x", "B \\|p;B \\/x", false },
	{ "|, \"|\", |\"\"", "B |;B \"|\";B |\"\"", false },
	{ "\"\", \"\"@b, a", "B \"\";B \"\"@b;A a", false },
	{ "<>, <, a>, <a@b, <a>b, <a><b>", "B <>;B <;B a>;B <a@b;B <a>b;B <a><b>", false },
	{ "<|p>, </x>, <:include:/x>, x <\\a>", "B <|p>;B </x>;B <:include:/x>;B x <\\a>", false },
	{ "a@b <c@d>, g: h; i", "B a@b <c@d>;B g: h; i", false },
	{ "a@, @b, a@@b, a..b@c, .a@b, a@b..c, a@-b", "B a@;B @b;B a@@b;B a..b@c;B .a@b;B a@b..c;B a@-b", false },
	{ "<@x:a@b>", "B <@x:a@b>", false },
	{ ":include:, :include:x, :x, :include:/a b", "B :include:;B :include:x;B :x;B :include:/a b", false },
	{ "/a b, /a\"b\"", "B /a b;B /a\"b\"", false },
	{ "a\x01, b", "B a\x01;A b", false },
	{ "a, (\x7f) b, c", "A a;B (\x7f) b;A c", false },
	{ "\xc3, \xe2\x82, \xc3\xa4, \xc0\xaf, \x80", "B \xc3;B \xe2\x82;A \xc3\xa4;B \xc0\xaf;B \x80", false },
	{ "|p \xff, \"/\xed\xa0\x80\"", "B |p \xff;B \"/\xed\xa0\x80\"", false },
	{ "a\nb", "B a\nb", false },
	{ "a\r\n", "B a\r\n", false },
	/* of a file */
	{ "a\nb, c\r\n\r\n# d, e\n  # f\n \tg,\r", "A a;A b;A c;A g", true },
	{ "#", "", true },
	{ "#\n\n#x", "", true },
	{ "a, #b\n#c", "A a;A #b", true },
	{ "\"a\nb\"\nc", "B \"a;B b\";A c", true },
	{ "a b, c\nd", "B a b, c;A d", true },
	{ "x, a b, c\r\nd", "A x;B a b, c;A d", true },
	{ "(a\nb)\nc", "B (a;B b);A c", true },
	{ "a\\\nb", "B a\\;A b", true },
	{ "\\\nb", "B \\;A b", true },
	{ "a\rb, c\nd", "B a\rb, c;A d", true },
	{ "\\eric, \"|/usr/bin/vacation eric\"\n", "L eric;P /usr/bin/vacation eric", true },
};

static const char *members(const char *list, bool lines, size_t size)
{
	static char out[4096];
	char text[ALIAS_MEMBER];
	enum member_kind kind;
	size_t n = 0, steps = strlen(list) + 1;
	out[0] = '\0';
	while ((kind = alias_member(&list, lines, text, size)) != MEMBER_END && steps-- > 0)
		n += (size_t)snprintf(out + n, sizeof out - n, "%s%c %s", n ? ";" : "", "EALIPFB"[kind], text);
	return out;
}

static void test_members(void)
{
	for (size_t i = 0; i < COUNT(lists); i++) {
		char *list = exactly(lists[i].list, strlen(lists[i].list) + 1);
		check_text(members(list, lists[i].lines, ALIAS_MEMBER), lists[i].want, "members: %s", show_text(list));
		free(list);
	}
	check_text(members("abcd, abcde, \"|abc\", x", false, 5), "A abcd;B abcd;B \"|ab;A x", "what does not fit is cut and bad");
	check_text(members("(abcdefg)ab, x", false, 5), "A ab;A x", "a comment takes no room");
	check_text(members("a", false, 1), "B ", "no room at all");
}

/* --- sizes --- */

static char big[3 * ALIAS_VALUE];

static size_t fill(char *to, char c, size_t n)
{
	memset(to, c, n);
	return n;
}

static void test_names_at_the_limit(void)
{
	char name[ALIAS_NAME + 1] = "";
	for (int longer = 0; longer < 2; longer++) {
		fill(name, 'n', ALIAS_NAME - 1 + (size_t)longer);
		make_text(big, (size_t)sprintf(big, "\"%s\": a\n%s: b\nx: c\n", name, name));
		check_text(find(name), longer ? "(none)" : "a", "a name of %zu octets", strlen(name));
		check_text(find("x"), "c", "what is behind it");
		check_number((unsigned)compile(), longer ? EX_DATAERR : 0, "compile");
		if (!longer) check_text(find(name), "a", "a name of %zu octets in the cdb", strlen(name));
		else check_text(said, ":1: the name is too long\n:2: the name is too long\n", "says");
	}
}

/* A value of n octets of which the last is an x, and what follows it.  */
static size_t big_value(size_t n, const char *end)
{
	size_t at = (size_t)sprintf(big, "v: ");
	while (at < n + 2) at += fill(big + at, at % 50 ? 'a' : ',', 1);
	big[at++] = 'x';
	return at + (size_t)sprintf(big + at, "%s", end);
}

static void test_values_at_the_limit(void)
{
	static const char *const ends[] = { "\n", "\r\n", " \t  \n", "", "\r", "\n  \n#\n", "  y\n" };
	for (size_t i = 0; i < COUNT(ends); i++) {
		for (unsigned longer = 0; longer < 3; longer++) {
			size_t n = ALIAS_VALUE - 1 + longer;
			make_text(big, big_value(n, ends[i]));
			const char *got = find("v");
			bool right = longer || i == 6 ? strcmp(got, "E2BIG") == 0 : strlen(got) == n && memcmp(got, big + 3, n) == 0;
			if (i == 2 && !longer) right |= strcmp(got, "E2BIG") == 0;      /* blanks behind it may count */
			check(right, "a value of %zu octets, then %s", n, show_text(ends[i]));
		}
	}
	make_text(big, big_value(ALIAS_VALUE - 1, "\nb: c\n"));
	check_number((unsigned)compile(), 0, "the longest value compiles");
	check(strlen(find("v")) == ALIAS_VALUE - 1 && memcmp(find("v"), big + 3, ALIAS_VALUE - 1) == 0, "and is found");
	check_text(find("b"), "c", "and what is behind it");
	make_text(big, big_value(ALIAS_VALUE - 2, "\n y\nb: c\n"));
	check_text(find("v"), "E2BIG", "too long by its continuation");
	check_text(find("b"), "c", "what is behind it is found");
	check_number((unsigned)compile(), EX_DATAERR, "does not compile");
	check_text(said, ":1: the value is too long\n", "says");
}

/* The border of the buffer goes through each octet of an entry, its line ends and its continuation.  */
static void test_borders(void)
{
	static const char entry[] = "\r\n\"n\\a\" : v,\r\n \t# x\r\n \tw\r\n#\r\nz: y\r\n";
	enum { BUFFER = 32768 };
	unsigned wrong = 0;
	for (size_t pad = BUFFER - sizeof entry - 4; pad < BUFFER + 4; pad++) {
		big[0] = '#';
		fill(big + 1, 'c', pad - 1);
		memcpy(big + pad, entry, sizeof entry - 1);
		make_text(big, pad + sizeof entry - 1);
		unsigned line;
		wrong += strcmp(look_up("na", &line), "v, w") != 0 || line != 2;
		wrong += strcmp(look_up("z", &line), "y") != 0 || line != 6;
	}
	check_number(wrong, 0, "entries across the border of the buffer");
}

/* --- files --- */

static void at(const char *name, time_t sec, long nsec)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = sec, .tv_nsec = nsec } };
	if (utimensat(AT_FDCWD, name, times, 0) != 0) abort();
}

static void test_choice(void)
{
	make_text(BYTES("a: cdb\n"));
	at(path, 1000, 123456789);
	check_number((unsigned)compile(), 0, "compile");
	struct stat st;
	check(stat(cdb_path, &st) == 0 && st.st_mtim.tv_sec == 1000 && st.st_mtim.tv_nsec == 123456789, "the cdb has the time of the text");
	write_file(path, BYTES("a: text\n"), 1000);
	static const struct { time_t sec; long nsec; const char *want; } times[] = {
		{ 1000, 123456789, "cdb" }, { 1000, 123456790, "text" }, { 1000, 123456788, "cdb" }, { 1001, 0, "text" }, { 999, 999999999, "cdb" },
	};
	for (size_t i = 0; i < COUNT(times); i++) {
		at(path, times[i].sec, times[i].nsec);
		check_text(find("a"), times[i].want, "a text of %lld.%09ld", (long long)times[i].sec, times[i].nsec);
	}
	chmod(cdb_path, 0664);
	check_text(find("a"), "text", "a cdb that a group can write to is passed over");
	chmod(cdb_path, 0644);
	check_text(find("a"), "cdb", "else it is used");
	if (geteuid() == 0 && chown(cdb_path, 1, 0) == 0) {
		check_text(find("a"), "text", "not one of another owner");
		check(chown(cdb_path, 0, 0) == 0 && chown(path, 1, 0) == 0, "the text is a user's");
		check_text(find("a"), "cdb", "root's is used for all");
		struct alias_table t;
		check(alias_open(&t, AT_FDCWD, path, open_at) == 0 && t.owner == 1 && t.text < 0 && t.cdb >= 0, "the owner is the text's");
		alias_close(&t);
	}
	unlink(path);
	check_text(find("a"), "cdb", "a cdb alone");
	struct alias_table t;
	int root = open("/", O_RDONLY);
	check_number((unsigned)alias_open(&t, root, path, open_at), ENOENT, "a cdb alone beneath a directory");
	close(root);
	chmod(cdb_path, 0666);
	check_text(find("a"), "EPERM", "which all can write to");
	unlink(cdb_path);
	check_text(find("a"), "ENOENT", "neither");
}

static void test_status(void)
{
	make_text(BYTES("a: b\n"));
	static const struct { mode_t mode; const char *want; } modes[] = { { 0600, "b" }, { 0755, "b" }, { 0664, "EPERM" }, { 0646, "EPERM" } };
	for (size_t i = 0; i < COUNT(modes); i++) {
		chmod(path, modes[i].mode);
		check_text(find("a"), modes[i].want, "mode %o", (unsigned)modes[i].mode);
		check((compile() == EX_NOPERM) == (modes[i].want[0] == 'E'), "compile");
		struct stat st;
		if (modes[i].want[0] != 'E') check(stat(cdb_path, &st) == 0 && (st.st_mode & 07777) == modes[i].mode, "the cdb has the mode");
	}
	unlink(path);
	unlink(cdb_path);
	check_number((unsigned)compile(), EX_NOINPUT, "compile nothing");
	check(mkfifo(path, 0600) == 0, "a FIFO");
	check_text(find("a"), "EINVAL", "does not hang");
	check_number((unsigned)compile(), EX_NOINPUT, "nor compiles");
	unlink(path);
	check(mkdir(path, 0700) == 0, "a directory");
	check_text(find("a"), "EINVAL", "is no table");
	rmdir(path);
	make_text(BYTES("a: b\n"));
	check(mkdir(cdb_path, 0700) == 0, "a directory instead of a cdb");
	check_text(find("a"), "b", "is passed over");
	check_number((unsigned)compile(), EX_CANTCREAT, "is not replaced");
	rmdir(cdb_path);
}

static void test_nothing_replaced(void)
{
	make_text(BYTES("a: b\n"));
	check_number((unsigned)compile(), 0, "compile");
	write_file(path, BYTES("a: c\n???\n"), 900);
	check_number((unsigned)compile(), EX_DATAERR, "a broken one does not");
	check_text(find("a"), "b", "the old one is there");
	write_file(path, BYTES("a: d\n"), time(NULL) + 1000);
	check_number((unsigned)compile(), 0, "one from the future does");
	check_text(find("a"), "d", "and replaces it");
	for (size_t i = 0; i < 300; i++) memcpy(big + 2 * i, "?\n", 2);
	write_file(path, big, 600, 900);
	compile();
	size_t n = 0;
	for (const char *s = said; (s = strchr(s, '\n')); s++) n++;
	check_number(n, 100, "complaints have an end");
	unlink(path);
	unlink(cdb_path);
	check(rmdir(folder) == 0 && mkdir(folder, 0700) == 0, "no other file is left");
}

/* Text that is written while it is compiled, and just before: what is compiled is never taken for what was written later.  */
static void test_race(void)
{
	unsigned stale = 0;
	char text[40], want[20];
	for (unsigned i = 0; i < 20; i++) {
		for (unsigned late = 0; late < 2; late++) {
			sprintf(want, "n%u", 2 * i + late);
			int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644), n = sprintf(text, "a: %s\n", want);
			if (fd < 0 || write(fd, text, (size_t)n) != n) abort();
			close(fd);
			if (!late) stale += compile() != 0;
			stale += strcmp(find("a"), want) != 0;
		}
	}
	check_number(stale, 0, "nothing stale after a quick edit");
}

/* --- compiled tables that are not what they say --- */

static bool is_sane(const char *got) { return strcmp(got, "EBADMSG") == 0 || strcmp(got, "(none)") == 0; }

static size_t read_cdb(char *to)
{
	int fd = open(cdb_path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, to, sizeof big);
	if (n < 0) abort();
	close(fd);
	return (size_t)n;
}

static void test_damage(void)
{
	static char copy[sizeof big];
	make_text(BYTES("alpha: one, two\nbeta: three\ngamma: \"|four five\"\n"));
	check_number((unsigned)compile(), 0, "compile");
	size_t n = read_cdb(big), wrong = 0;
	unlink(path);
	for (size_t i = 0; i < n; i += i < 2048 ? 7 : 1) {
		write_file(cdb_path, big, i, 1);
		const char *got = find("alpha");
		wrong += !is_sane(got) && strcmp(got, "one, two") != 0;
	}
	check_number(wrong, 0, "cut at each place");
	for (size_t i = 2048; i < n; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(copy, big, n);
			copy[i] = (char)(copy[i] ^ (1 << bit));
			write_file(cdb_path, copy, n, 1);
			const char *got = find("beta");
			wrong += !is_sane(got) && strlen(got) > n;
		}
	}
	check_number(wrong, 0, "each bit turned");
	uint64_t state = 1;
	for (unsigned round = 0; round < 500; round++) {
		for (size_t i = 0; i < 6000; i++) copy[i] = (char)(random_next(&state) % (round % 2 ? 4 : 256));
		write_file(cdb_path, copy, 6000, 1);
		wrong += !is_sane(find("gamma"));
	}
	check_number(wrong, 0, "random octets");
}

/* A record for "a" as it is told, in a file whose slots all lead to it.  */
static const char *find_record(uint32_t key, uint32_t value, const char *octets, size_t n, uint32_t slots, bool match)
{
	unsigned char *p = (unsigned char *)big;
	memset(big, 0, sizeof big);
	for (size_t i = 0; i < 256; i++) cdb_pack(4096, p + 8 * i), cdb_pack(slots, p + 8 * i + 4);
	cdb_pack(key, p + 2048);
	cdb_pack(value, p + 2052);
	memcpy(big + 2056, octets, n);
	for (size_t i = 0; i < slots && i < 100000; i++) {
		cdb_pack(cdb_hash("a", 1) + !match, p + 4096 + 8 * i);
		cdb_pack(2048, p + 4096 + 8 * i + 4);
	}
	write_file(cdb_path, big, 4096 + 8 * (slots < 100000 ? slots : 100000), 1);
	return find("a");
}

static void test_lies(void)
{
	unlink(path);
	check_text(find_record(1, 1, "ab", 2, 1, true), "b", "an honest one");
	check_text(find_record(1, 2, "a\xc3\xa4", 3, 2, true), "\xc3\xa4", "with UTF-8");
	check_text(find_record(1, 1, "a\xc3", 2, 1, true), "EBADMSG", "with no UTF-8");
	check_text(find_record(1, 2, "ab\n", 3, 1, true), "EBADMSG", "with a line end");
	check_text(find_record(1, 2, "ab", 3, 1, true), "EBADMSG", "with a NUL");
	check_text(find_record(1, 0, "a", 1, 1, true), "EBADMSG", "with no value");
	check_text(find_record(1, ALIAS_VALUE, "ab", 2, 1, true), "EBADMSG", "with too long a value");
	check_text(find_record(1, ~0U, "ab", 2, 1, true), "EBADMSG", "with one longer than any file");
	check_text(find_record(1, 100000, "ab", 2, 1, true), "EBADMSG", "with one longer than the file");
	check_text(find_record(~0U, 1, "ab", 2, 1, true), "(none)", "with a longer key");
	check_text(find_record(2, 1, "ab", 2, 4000, true), "(none)", "all slots lead to another name");
	check_text(find_record(1, 1, "bb", 2, 5000, true), "EBADMSG", "more of them than an honest one has");
	check_text(find_record(1, 1, "ab", 2, 4000, false), "(none)", "all slots are of another hash");
	check_text(find_record(1, 1, "ab", 2, ~0U, false), "EBADMSG", "slots past the end");
	find_record(1, 3 * ALIAS_VALUE, "ab", 2, 1, true);
	check(truncate(cdb_path, 4 * ALIAS_VALUE) == 0, "a longer file");
	check_text(find("a"), "EBADMSG", "with too long a value that is there");
	clock_t start = clock();
	check(truncate(cdb_path, 1LL << 40) == 0, "a file of 1 TiB");
	check(is_sane(find("a")) && clock() - start < 2 * CLOCKS_PER_SEC, "takes no time");
	unlink(cdb_path);
}

/* --- both forms say the same --- */

static void test_random(void)
{
	static const char *const parts[] = { "a", "B", "c.d", "\"", "\\", ":", ": ", " ", "\n", "\n", "\n ", "\r\n", "#", ",", "@", "(", ")", "<x>", "|", "/f", "\xc3\xa4", "\xc3", "x: y" };
	static const char *const names[] = { "a", "ab", "c.d", "x", "\xc3\xa4", "aa", "b", "bc.d" };
	uint64_t state = 7;
	unsigned compiled = 0, wrong = 0;
	for (unsigned round = 0; round < 3000; round++) {
		char text[400] = "", before[8][400];
		for (unsigned i = 0, n = (unsigned)random_next(&state) % 12; i < n; i++) strcat(text, parts[random_next(&state) % COUNT(parts)]);
		strcat(text, "\n");
		if (round % 2) strcat(text, "b: c\nAB: \"|d, e\"\n");
		make_text(text, strlen(text));
		for (size_t i = 0; i < COUNT(names); i++) snprintf(before[i], 400, "%s", find(names[i]));
		if (compile() != 0) continue;
		compiled++;
		for (size_t i = 0; i < COUNT(names); i++) wrong += strcmp(before[i], find(names[i])) != 0;
	}
	check(compiled > 100, "some of the random texts compile (%u)", compiled);
	check_number(wrong, 0, "the cdb says what the text says");
}

int main(void)
{
	snprintf(folder, sizeof folder, "%s/alias-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");   /* much is synced */
	if (!mkdtemp(folder)) abort();
	snprintf(path, sizeof path, "%s/table", folder);
	snprintf(cdb_path, sizeof cdb_path, "%s.cdb", path);
	test_tables();
	test_members();
	test_names_at_the_limit();
	test_values_at_the_limit();
	test_borders();
	test_choice();
	test_status();
	test_race();
	unlink(path);
	unlink(cdb_path);
	test_nothing_replaced();
	test_damage();
	test_lies();
	test_random();
	unlink(path);
	unlink(cdb_path);
	rmdir(folder);
	return done();
}
