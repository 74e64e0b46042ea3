/* The configuration reader: a file is good if and only if each line alone is, as -o, and none comes twice; the error names the first bad line;
 * whatever was read, all values are in their ranges; and what --show-config prints, read as a file, prints the same.
 * SPDX-License-Identifier: MIT */
#include <sys/mman.h>

#include "address.h"
#include "config.h"
#include "fuzz.h"

enum { ROOM = CONFIG_SIZE + 100 };
static char path[64];
static int file = -1;

static void write_file(const char *s, size_t n)
{
	EXPECT(ftruncate(file, 0) == 0 && pwrite(file, s, n, 0) == (ssize_t)n);
}

static bool load(struct config *cf, const char *from, const char *override)
{
	memset(cf, 0, offsetof(struct config, text));
	cf->file = from;
	if (override) EXPECT(config_option(cf, 'o', override));
	return config_load(cf);
}

static bool one_of(unsigned long long n, unsigned long long min, unsigned long long max) { return n >= min && n <= max; }

/* The ranges that smtp-handler.conf(5) promises; they hold when the file was bad too.  */
static void check_values(const struct config *cf)
{
	const char *texts[] = { cf->hostname, cf->mail_root, cf->catch_all, cf->deliver, cf->postmaster, cf->greeting };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		EXPECT(texts[i]);
		for (const char *c = texts[i]; *c; c++) EXPECT((unsigned char)*c >= ' ' && *c != 0x7f);
	}
	EXPECT(domain_valid(cf->hostname));
	EXPECT(one_of(cf->max_size, 65536, 1ULL << 62) && one_of(cf->max_recipients, 100, 10000) && one_of(cf->max_errors, 1, 1000000));
	EXPECT(one_of(cf->command_timeout, 100, 86400000) && one_of(cf->data_timeout, 100, 86400000));
	EXPECT(one_of(cf->session_timeout, 100, 864000000) && one_of(cf->deliver_timeout, 100, 86400000));
	EXPECT(one_of((unsigned)cf->bare_newline, 0, 1) && one_of((unsigned)cf->log_level, 0, 3));
}

/* Names that were set so far.  */
static bool twice(const char *line)
{
	static char names[CONFIG_SETTINGS][32];
	static size_t n;
	if (!line) return n = 0;
	char name[32];
	size_t len = strcspn(line, " \t\r=");
	snprintf(name, sizeof name, "%.*s", (int)len, line);
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0) return true;
	EXPECT(n < CONFIG_SETTINGS);
	strcpy(names[n++], name);
	return false;
}

/* The number of the first bad line, 0 if all are good.  */
static unsigned first_bad(void)
{
	static struct config cf;
	unsigned number = 0;
	twice(NULL);
	for (size_t at = 0; at <= fuzz.n;) {
		const char *lf = memchr(fuzz.text + at, '\n', fuzz.n - at);
		size_t end = lf ? (size_t)(lf - fuzz.text) : fuzz.n;
		number++;
		while (at < end && strchr(" \t\r", fuzz.text[at])) at++;
		if (at < end && fuzz.text[at] != '#') {
			char *line = strndup(fuzz.text + at, end - at);
			bool good = load(&cf, "/dev/null", line) && !twice(line);
			check_values(&cf);
			free(line);
			if (!good) return number;
		}
		at = end + 1;
	}
	return 0;
}

static char *shown(const struct config *cf)
{
	char *text = NULL;
	size_t n = 0;
	FILE *old = stdout;
	stdout = open_memstream(&text, &n);
	EXPECT(stdout);
	config_show(cf);
	fclose(stdout);
	stdout = old;
	return text;
}

/* Without its comments, which say where a value is from.  */
static char *values(char *text)
{
	char *o = text;
	for (char *line = text, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		size_t n = next ? (size_t)(++next - line) : strlen(line);
		if (*line != '#') memmove(o, line, n), o += n;
	}
	*o = '\0';
	return text;
}

static void check_round(const struct config *cf)
{
	static struct config again;
	char *one = shown(cf);
	write_file(one, strlen(one));
	EXPECT(load(&again, path, NULL));
	char *two = shown(&again);
	EXPECT(strcmp(values(one), values(two)) == 0);
	free(one);
	free(two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config cf;
	char where[100];
	if (file < 0) {
		file = memfd_create("config", 0);
		snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	}
	fuzz_take(data, size, ROOM);
	write_file(fuzz.text, fuzz.n);
	bool good = load(&cf, path, NULL), whole = fuzz.n < CONFIG_SIZE && !memchr(fuzz.text, '\0', fuzz.n);
	check_values(&cf);
	EXPECT(good == !*cf.error);
	if (!whole) {
		EXPECT(!good);
		return 0;
	}
	unsigned bad = first_bad();
	EXPECT(good == !bad);
	snprintf(where, sizeof where, "%s:%u: ", path, bad);
	if (bad) EXPECT(strncmp(cf.error, where, strlen(where)) == 0);
	if (good && fuzz.n < CONFIG_SIZE / 2) check_round(&cf);
	return 0;
}
