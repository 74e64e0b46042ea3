/* Alias tables.  The input as a text: each name in it has the same value wherever the reader's buffer ends, and in the cdb made of it; as a list:
 * members come in bounded steps, are what they may be, and each line has its own; as a cdb, and as damage to a good one: look-ups end.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/stat.h>

#include "address.h"
#include "alias-text.h"
#include "fuzz.h"

enum { ROOM = 1 << 16, NAMES = 64 };
static char folder[100], text_path[120], cdb_path[130], names[NAMES][ALIAS_NAME];
static size_t named;

static int open_at(int dir, const char *name) { return openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }

static void write_file(const char *name, size_t pad, const char *s, size_t n)
{
	static char room[ROOM + FUZZ_TEXT];
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };  /* old, or alias_compile would wait for the clock */
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	memset(room, '#', pad);
	if (pad > 0) room[pad - 1] = '\n';
	memcpy(room + pad, s, n);
	EXPECT(fd >= 0 && __real_write(fd, room, pad + n) == (ssize_t)(pad + n) && futimens(fd, times) == 0);
	close(fd);
}

/* A value that is plain text is 1, else 0 or -1 with an error that may be.  */
static int look_up(struct alias_table *t, const char *name, char **value, unsigned *line)
{
	const char *v;
	int found = alias_lookup(t, name, &v, line);
	EXPECT(found >= 0 || errno == EBADMSG || errno == E2BIG);
	EXPECT((found == 1) == (v != NULL) && found <= 1);
	if (v) {
		EXPECT(*v && strlen(v) < ALIAS_VALUE && utf8_valid(v));
		for (const char *c = v; *c; c++) EXPECT((*c < 0 || *c >= ' ' || *c == '\t') && *c != 0x7f);
	}
	*value = v ? strdup(v) : NULL;
	return found;
}

static void add_name(const char *s, size_t n)
{
	if (named == NAMES || n >= ALIAS_NAME) return;
	memcpy(names[named], s, n);
	names[named][n] = '\0';
	fold(names[named++]);
}

/* The names that the reader sees, and whatever stands before a colon.  */
static void find_names(void)
{
	static struct text x;
	static char value[ALIAS_VALUE];
	named = 0;
	add_name("a", 1);
	int fd = open(text_path, O_RDONLY);
	text_start(&x, fd);
	while (named < NAMES / 2 && text_next(&x, NULL, value)) add_name(x.name, strlen(x.name));
	close(fd);
	for (size_t at = 0; at < fuzz.n && named < NAMES; at++) {
		const char *s = fuzz.text + at, *lf = memchr(s, '\n', fuzz.n - at);
		size_t n = lf ? (size_t)(lf - s) : fuzz.n - at;
		const char *colon = memchr(s, ':', n);
		if (colon) add_name(s, (size_t)(colon - s));
		at += n;
	}
}

static bool compile(void)
{
	static FILE *nowhere;
	FILE *old = stderr;
	if (!nowhere) nowhere = fopen("/dev/null", "w");
	stderr = nowhere;
	int status = alias_compile(text_path);
	stderr = old;
	EXPECT(status == 0 || status == 65);
	EXPECT((access(cdb_path, F_OK) == 0) == (status == 0));
	return status == 0;
}

static struct answer { char *value; int found; unsigned line; } first[NAMES], second[NAMES];

static void look_up_all(struct answer *answers)
{
	struct alias_table t;
	EXPECT(alias_open(&t, AT_FDCWD, text_path, open_at) == 0);
	for (size_t i = 0; i < named; i++) {
		free(answers[i].value);
		answers[i].found = look_up(&t, names[i], &answers[i].value, &answers[i].line);
	}
	alias_close(&t);
}

static void check_same(bool lines)
{
	look_up_all(second);
	for (size_t i = 0; i < named; i++) {
		EXPECT(first[i].found == second[i].found && !first[i].value == !second[i].value);
		if (first[i].value) EXPECT(strcmp(first[i].value, second[i].value) == 0 && second[i].line == (lines ? first[i].line + 1 : 0));
	}
}

static void check_forms(size_t pad)
{
	unlink(cdb_path);
	write_file(text_path, 0, fuzz.text, fuzz.n);
	find_names();
	look_up_all(first);
	for (size_t i = 0; i < named; i++) EXPECT(!first[i].value || (!strchr(" \t", *first[i].value) && !strchr(" \t", first[i].value[strlen(first[i].value) - 1])));
	write_file(text_path, pad, fuzz.text, fuzz.n);
	if (pad > 0) check_same(true);
	if (compile()) check_same(false);
}

/* What is there of a cdb, with octets changed as the control octets say; and the input as one.  */
static void check_damage(void)
{
	struct stat st;
	unlink(text_path);
	int fd = open(cdb_path, O_RDWR);
	if (fd >= 0) {
		EXPECT(fstat(fd, &st) == 0);
		while (fuzz.controls > 1) {
			unsigned where = control() << 8;
			where |= control();
			char octet = (char)control();
			EXPECT(pwrite(fd, &octet, 1, (off_t)(where % (size_t)st.st_size)) == 1);
		}
		close(fd);
		look_up_all(second);
	}
	write_file(cdb_path, 0, fuzz.text, fuzz.n);
	look_up_all(second);
	unlink(cdb_path);
}

/* All members of a list, as kinds and texts.  */
static void list_members(const char *list, bool lines, size_t size, FILE *out)
{
	char *text = malloc(size);
	size_t steps = strlen(list) + 1;
	for (enum member_kind kind; ; steps--) {
		const char *before = list;
		kind = alias_member(&list, lines, text, size);
		EXPECT(steps > 0 && memchr(text, '\0', size));
		if (kind == MEMBER_END) break;
		EXPECT(list > before);
		fprintf(out, "%d %s\n", (int)kind, text);
		if (kind == MEMBER_BAD) continue;
		EXPECT(utf8_valid(text) && *text);
		for (const char *c = text; *c; c++) EXPECT((*c < 0 || *c >= ' ' || *c == '\t') && *c != 0x7f);
		if (kind == MEMBER_FILE || kind == MEMBER_INCLUDE) EXPECT(*text == '/');
		if (kind != MEMBER_ADDRESS && kind != MEMBER_LITERAL) continue;
		EXPECT(!strchr("/|:\\ <#", *text) || (*text == '#'));
		if (kind == MEMBER_LITERAL && *text == '"') continue;   /* without its backslash a quoted "|x" would be a program */
		char again[300];
		const char *s = text;
		EXPECT(alias_member(&s, false, again, sizeof again) == MEMBER_ADDRESS && strcmp(again, text) == 0 && !*s);
	}
	EXPECT(!*list && !*text);
	free(text);
}

static void check_members(size_t size)
{
	char *whole = NULL, *parts = NULL;
	size_t n = 0, m = 0;
	FILE *one = open_memstream(&whole, &n), *two = open_memstream(&parts, &m);
	char *list = malloc(fuzz.n + 1);
	memcpy(list, fuzz.text, fuzz.n);
	list[fuzz.n] = '\0';
	list_members(list, true, size, one);
	for (char *s = list, *lf; s; s = lf) {
		lf = strchr(s, '\n');
		if (lf) *lf++ = '\0';
		char *line = strdup(s);
		list_members(line, true, size, two);
		free(line);
	}
	fclose(one);
	fclose(two);
	EXPECT(n == m && memcmp(whole, parts, n) == 0);
	free(whole);
	free(parts);
	memcpy(list, fuzz.text, fuzz.n);
	one = fopen("/dev/null", "w");
	list_members(list, false, size, one);
	fclose(one);
	free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!*folder) {
		const char *tmp = getenv("TMPDIR");
		snprintf(folder, sizeof folder, "%.60s/fuzz-alias-XXXXXX", tmp ? tmp : "/tmp");
		EXPECT(mkdtemp(folder));
		snprintf(text_path, sizeof text_path, "%s/table", folder);
		snprintf(cdb_path, sizeof cdb_path, "%s.cdb", text_path);
	}
	fuzz_take(data, size, ROOM);
	size_t room = control(), pad = control() * 129;
	check_members(room ? room : ALIAS_MEMBER);
	check_forms(pad);
	check_damage();
	return 0;
}
