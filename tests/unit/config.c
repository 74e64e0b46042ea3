/* The configuration reader.  Files are in memory, reached as /proc/self/fd/N; what a setting has become is asked of config_show, so
 * that is tested on the way.
 * SPDX-License-Identifier: MIT */
#include "config.h"

#include <sys/mman.h>
#include <unistd.h>

#include "address.h"
#include "beside.h"
#include "check.h"

static struct config cf;
static char file_name[64];      /* of the file that load_file made */

static void fresh(void) { memset(&cf, 0, sizeof cf); }

/* Load a file with this text, and the overrides that cf has already.  */
static bool load_file(const char *text, size_t n)
{
	int fd = memfd_create("config", 0);
	for (size_t at = 0; at < n;) {
		ssize_t w = write(fd, text + at, n - at);
		if (w <= 0) abort();
		at += (size_t)w;
	}
	snprintf(file_name, sizeof file_name, "/proc/self/fd/%d", fd);
	config_option(&cf, 'C', file_name);
	bool good = config_load(&cf);
	close(fd);
	return good;
}

static bool load_text(const char *text) { return load_file(text, strlen(text)); }

/* What config_show prints.  */
static const char *shown(void)
{
	static char text[16384];
	FILE *file = tmpfile();
	fflush(stdout);
	int out = dup(1);
	if (!file || out < 0 || dup2(fileno(file), 1) < 0) abort();
	config_show(&cf);
	fflush(stdout);
	if (dup2(out, 1) < 0) abort();
	close(out);
	rewind(file);
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	return text;
}

/* The lines of one setting in it: "value" and where from, as "value # source".  */
static const char *shown_one(const char *name)
{
	static char line[1024];
	char start[64];
	const char *all = shown(), *at = all;
	snprintf(start, sizeof start, "%s = ", name);
	while (strncmp(at, start, strlen(start)) != 0) {
		at = strchr(at, '\n');
		if (!at) return "not shown";
		at++;
	}
	at += strlen(start);
	size_t value = strcspn(at, "\n"), source = at[value] ? strcspn(at + value + 1, "\n") : 0;
	snprintf(line, sizeof line, "%.*s %.*s", (int)value, at, (int)source, at + value + 1);
	return line;
}

/* --- values --- */

static const char *const no_file = "# nothing\n";

static void test_defaults(void)
{
	static const struct { const char *name, *want; } rows[] = {
		{ "mail_root", "/var/vmail # default" }, { "catch_all", " # default" }, { "max_size", "52428800 # default" },
		{ "max_recipients", "1000 # default" }, { "max_errors", "20 # default" }, { "command_timeout", "300s # default" },
		{ "data_timeout", "180s # default" }, { "session_timeout", "3600s # default" }, { "deliver_timeout", "300s # default" },
		{ "bare_newline", "reject # default" }, { "strict", "no # default" }, { "vrfy", "no # default" }, { "postmaster", " # default" },
		{ "greeting", "ESMTP # default" }, { "log_level", "info # default" },
	};
	fresh();
	check(load_text(no_file), "a file of nothing is good");
	for (size_t i = 0; i < COUNT(rows); i++) check_text(shown_one(rows[i].name), rows[i].want, "default of %s", rows[i].name);
	check(domain_valid(cf.hostname), "hostname is one by default");
	check_text(cf.deliver, "", "deliver is not set by default");
	fresh();
	check(load_text(""), "an empty file is good");
}

/* A good file, field by field.  */
static void test_good_file(void)
{
	static const char text[] =
		"# a comment\n"
		"\n"
		"hostname = mx.example.net\n"
		"  mail_root=/srv/mail  \r\n"
		"\tcatch_all\t=\t/srv/all mail\t\n"
		"deliver = unix:/run/deliver.sock\n"
		"max_size = 64K\n"
		"   # an indented comment = x\n"
		"max_recipients = 100\n"
		"max_errors = 7\n"
		"command_timeout = 90\n"
		"data_timeout = 1500ms\n"
		"session_timeout = 2d\n"
		"deliver_timeout = 10s\n"
		"bare_newline = normalize\n"
		"strict = yes\n"
		"vrfy = YES\n"
		"postmaster = admin@example.net\n"
		"greeting = ESMTP = ready # so it is\n"
		"log_level = debug\n"
		"\r\n"
		"sandbox = no";
	fresh();
	if (!check(load_text(text), "a good file")) printf("#   got:      %s\n", cf.error);
	check_text(cf.hostname, "mx.example.net", "hostname");
	check_text(cf.mail_root, "/srv/mail", "mail_root, without the blanks around");
	check_text(cf.catch_all, "/srv/all mail", "catch_all, with the blank inside");
	check_text(cf.deliver, "unix:/run/deliver.sock", "deliver");
	check_number(cf.max_size, 65536, "max_size");
	check_number(cf.max_recipients, 100, "max_recipients");
	check_number(cf.max_errors, 7, "max_errors");
	check_number(cf.command_timeout, 90000, "command_timeout");
	check_number(cf.data_timeout, 1500, "data_timeout");
	check_number(cf.session_timeout, 172800000, "session_timeout");
	check_number(cf.deliver_timeout, 10000, "deliver_timeout");
	check(cf.bare_newline == NL_NORMALIZE, "bare_newline");
	check(cf.strict && cf.vrfy && !cf.sandbox, "strict, vrfy, sandbox");
	check_text(cf.postmaster, "admin@example.net", "postmaster");
	check_text(cf.greeting, "ESMTP = ready # so it is", "greeting: only the first = and no # inside counts");
	check(cf.log_level == LEVEL_DEBUG, "log_level");
	char want[128];
	snprintf(want, sizeof want, "65536 # %s:7", file_name);
	check_text(shown_one("max_size"), want, "shown with the line that it is from");
	snprintf(want, sizeof want, "1500ms # %s:12", file_name);
	check_text(shown_one("data_timeout"), want, "a time that is not of whole seconds");
	snprintf(want, sizeof want, "no # %s:22", file_name);
	check_text(shown_one("sandbox"), want, "a last line without an end");
}

/* Each type's values: what it is shown as, or NULL for a refusal.  */
static void test_values(void)
{
	static const struct { const char *name, *value, *want; } rows[] = {
		{ "max_size", "65536", "65536" }, { "max_size", "64k", "65536" }, { "max_size", "64K", "65536" }, { "max_size", "1m", "1048576" },
		{ "max_size", "1M", "1048576" }, { "max_size", "2g", "2147483648" }, { "max_size", "4G", "4294967296" }, { "max_size", "0065536", "65536" },
		{ "max_size", "4611686018427387904", "4611686018427387904" }, { "max_size", "4294967296g", "4611686018427387904" },
		{ "max_size", "65535", NULL }, { "max_size", "63k", NULL }, { "max_size", "0", NULL }, { "max_size", "4611686018427387905", NULL },
		{ "max_size", "4294967297g", NULL }, { "max_size", "18446744073709551615", NULL }, { "max_size", "18446744073709551616", NULL },
		{ "max_size", "17179869184g", NULL }, { "max_size", "99999999999999999999", NULL }, { "max_size", "99999999999999999999g", NULL },
		{ "max_size", "000000000000000065536", NULL }, { "max_size", "", NULL }, { "max_size", "k", NULL }, { "max_size", "-65536", NULL },
		{ "max_size", "+65536", NULL }, { "max_size", "0x100000", NULL }, { "max_size", "1.5m", NULL }, { "max_size", "1 m", NULL },
		{ "max_size", "1mb", NULL }, { "max_size", "1mk", NULL }, { "max_size", "1t", NULL }, { "max_size", "100000 # comment", NULL },
		{ "max_recipients", "100", "100" }, { "max_recipients", "10000", "10000" }, { "max_recipients", "99", NULL },
		{ "max_recipients", "10001", NULL }, { "max_recipients", "1k", NULL }, { "max_recipients", "100s", NULL }, { "max_recipients", "", NULL },
		{ "max_errors", "1", "1" }, { "max_errors", "0", NULL }, { "max_errors", "-1", NULL }, { "max_errors", "1000001", NULL },
		{ "max_errors", "18446744073709551617", NULL },
		{ "command_timeout", "100ms", "100ms" }, { "command_timeout", "1000ms", "1s" }, { "command_timeout", "1", "1s" }, { "command_timeout", "90S", "90s" },
		{ "command_timeout", "5m", "300s" }, { "command_timeout", "24h", "86400s" }, { "command_timeout", "1d", "86400s" },
		{ "command_timeout", "99ms", NULL }, { "command_timeout", "0", NULL }, { "command_timeout", "86401s", NULL }, { "command_timeout", "2d", NULL },
		{ "command_timeout", "1w", NULL }, { "command_timeout", "5 m", NULL }, { "command_timeout", "", NULL }, { "command_timeout", "s", NULL },
		{ "command_timeout", "infinity", NULL }, { "command_timeout", "18446744073709551615d", NULL }, { "command_timeout", "213503982335d", NULL },
		{ "session_timeout", "10d", "864000s" }, { "session_timeout", "864001s", NULL },
		{ "strict", "yes", "yes" }, { "strict", "no", "no" }, { "strict", "Yes", "yes" }, { "strict", "true", NULL }, { "strict", "1", NULL },
		{ "strict", "y", NULL }, { "strict", "", NULL }, { "strict", "yes no", NULL },
		{ "bare_newline", "reject", "reject" }, { "bare_newline", "Normalize", "normalize" }, { "bare_newline", "lenient", NULL },
		{ "bare_newline", "local", NULL }, { "bare_newline", "yes", NULL }, { "bare_newline", "", NULL },
		{ "log_level", "error", "error" }, { "log_level", "warning", "warning" }, { "log_level", "info", "info" }, { "log_level", "DEBUG", "debug" },
		{ "log_level", "notice", NULL }, { "log_level", "7", NULL }, { "log_level", "", NULL },
		{ "postmaster", "user@example.net", "user@example.net" }, { "postmaster", "\"a b\"@example.net", "\"a b\"@example.net" }, { "postmaster", "", "" },
		{ "postmaster", "postmaster", NULL }, { "postmaster", "user", NULL }, { "postmaster", "<user@example.net>", NULL }, { "postmaster", "a@b c", NULL },
		{ "postmaster", "@example.net", NULL }, { "postmaster", "a@b,c@d", NULL }, { "postmaster", "a\x01@b", NULL },
		{ "hostname", "mx.example.net", "mx.example.net" }, { "hostname", "localhost", "localhost" }, { "hostname", "[192.0.2.1]", "[192.0.2.1]" },
		{ "hostname", "mx example", NULL }, { "hostname", "mx..example", NULL }, { "hostname", "-mx", NULL }, { "hostname", "mx\x1b", NULL },
		{ "hostname", "mx\r\nX", NULL }, { "hostname", "mx.example.net.", NULL },
		{ "mail_root", "/srv/a b", "/srv/a b" }, { "mail_root", "/srv/caf\xc3\xa9", "/srv/caf\xc3\xa9" }, { "mail_root", "  /srv/x  ", "/srv/x" },
		{ "mail_root", "/srv\x01", NULL }, { "mail_root", "/srv\x7f", NULL }, { "mail_root", "/a\tb", NULL }, { "mail_root", "/a\rb", NULL }, { "mail_root", "/a\nb", NULL },
		{ "greeting", "ESMTP a = b", "ESMTP a = b" }, { "greeting", "", "" }, { "greeting", "%s", "%s" }, { "greeting", "ESMTP\x1b[2J", NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char option[128], want[128];
		snprintf(option, sizeof option, "%s=%s", rows[i].name, rows[i].value);
		fresh();
		config_option(&cf, 'o', option);
		bool good = load_text(no_file);
		if (!check(good == !!rows[i].want, "%s is %s", show_text(option), rows[i].want ? "taken" : "refused")) continue;
		if (rows[i].want) {
			snprintf(want, sizeof want, "%s # -o", rows[i].want);
			check_text(shown_one(rows[i].name), want, "%s is shown", show_text(option));
		} else {
			check(strncmp(cf.error, "-o: ", 4) == 0 && strstr(cf.error, rows[i].name), "%s: the error names it: %s", show_text(option), show_text(cf.error));
			fresh();
			load_text(no_file);
			snprintf(want, sizeof want, "%s", shown_one(rows[i].name));
			fresh();
			config_option(&cf, 'o', option);
			load_text(no_file);
			want[strlen(want) - strlen("# default")] = '\0';
			check(strncmp(shown_one(rows[i].name), want, strlen(want)) == 0, "%s: the default stays, to answer with", show_text(option));
		}
	}
}

/* --- files that are wrong --- */

static void test_bad_files(void)
{
	static const struct { const char *what, *text; unsigned line; const char *word; } rows[] = {
		{ "an unknown name", "colour = red\n", 1, "colour" },
		{ "an unknown name further down", "# x\n\nmax_errors = 5\ncolour = red\nmax_size = 1M\n", 4, "colour" },
		{ "names are told by case", "Hostname = a\n", 1, "Hostname" },
		{ "part of a name", "host = a\n", 1, "host" },
		{ "more than a name", "hostname x = a\n", 1, "hostname x" },
		{ "no name", " = a\n", 1, "" },
		{ "no =", "hostname\n", 1, "name = value" },
		{ "no =, in a last line without an end", "strict = yes\nhostname", 2, "name = value" },
		{ "a section", "[smtp]\n", 1, "name = value" },
		{ "a bad number", "strict = no\nmax_errors = many\n", 2, "max_errors" },
		{ "a bad size", "max_size = big\n", 1, "max_size" },
		{ "a bad time", "\r\n\r\ncommand_timeout = soon\r\n", 3, "command_timeout" },
		{ "a bad word", "bare_newline = eat\n", 1, "bare_newline" },
		{ "a bad level", "log_level = loud\n", 1, "log_level" },
		{ "a bad yes or no", "vrfy = maybe\n", 1, "vrfy" },
		{ "a bad name of the host", "hostname = a b\n", 1, "hostname" },
		{ "a bad address", "postmaster = root\n", 1, "postmaster" },
		{ "a control character", "greeting = a\x01\n", 1, "greeting" },
		{ "twice", "vrfy = yes\n# x\nvrfy = no\n", 3, "vrfy" },
		{ "twice the same", "vrfy = yes\nvrfy = yes\n", 2, "line 1" },
		{ "a byte order mark", "\xef\xbb\xbfvrfy = yes\n", 1, "vrfy" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		fresh();
		char want[128];
		check(!load_text(rows[i].text), "%s is refused", rows[i].what);
		snprintf(want, sizeof want, "%s:%u: ", file_name, rows[i].line);
		bool named = strncmp(cf.error, want, strlen(want)) == 0 && strstr(cf.error + strlen(want), rows[i].word);
		if (!check(named, "%s: file, line and reason", rows[i].what)) printf("#   expected: %s...%s\n#   got:      %s\n", want, rows[i].word, show_text(cf.error));
		check(domain_valid(cf.hostname) && cf.greeting && cf.deliver && cf.mail_root && cf.postmaster && cf.catch_all, "%s: fit to answer with", rows[i].what);
	}
}

static void test_size_of_file(void)
{
	static char text[CONFIG_SIZE + 10];
	memset(text, '#', sizeof text);
	fresh();
	check(load_file(text, CONFIG_SIZE - 1), "a file of %d octets", CONFIG_SIZE - 1);
	for (size_t n = CONFIG_SIZE; n < CONFIG_SIZE + 3; n++) {
		fresh();
		check(!load_file(text, n) && strncmp(cf.error, file_name, strlen(file_name)) == 0 && strstr(cf.error, "large"), "a file of %zu octets is too large", n);
	}
	for (size_t at = 0; at < 12; at += 11) {
		char with_nul[] = "vrfy = yes\n#";
		with_nul[at] = '\0';
		fresh();
		check(!load_file(with_nul, sizeof with_nul - 1) && strstr(cf.error, "NUL"), "a NUL at %zu is refused", at);
	}
	char *line = text;
	line += sprintf(line, "greeting = ");
	memset(line, 'g', 20000);
	strcpy(line + 20000, "\n");
	fresh();
	check(load_text(text) && strlen(cf.greeting) == 20000, "a long line is kept whole");
	memcpy(text, "colour  =  ", 11);
	fresh();
	check(!load_text(text) && strlen(cf.error) < sizeof cf.error && strstr(cf.error, "colour"), "a long line that is wrong");
	memset(text, 'n', 20000);
	memcpy(text + 20000, "=x\n", 4);
	fresh();
	check(!load_text(text) && strlen(cf.error) < sizeof cf.error, "a long name");
}

static void test_missing_files(void)
{
	static char long_name[2000];
	static const char missing[] = "no-such-directory/no-such-file";
	fresh();
	config_option(&cf, 'C', missing);
	check(!config_load(&cf) && strncmp(cf.error, missing, strlen(missing)) == 0, "a -C file that is missing: %s", cf.error);
	check(cf.max_size == 52428800 && domain_valid(cf.hostname), "the defaults are there to answer with");
	fresh();
	config_option(&cf, 'C', "/");
	check(!config_load(&cf) && strncmp(cf.error, "/: ", 3) == 0, "a directory for a file: %s", cf.error);
	fresh();
	memset(long_name, 'n', sizeof long_name - 1);
	config_option(&cf, 'C', long_name);
	check(!config_load(&cf) && strlen(cf.error) < sizeof cf.error, "a file name that is too long");
	fresh();
	if (access(CONFIG_FILE, F_OK) == 0) check(true, "the default file # SKIP it is there");
	else check(config_load(&cf) && cf.max_size == 52428800, "the default file may be missing");
}

/* --- overrides --- */

static void test_overrides(void)
{
	static const char text[] = "max_errors = 5\nvrfy = no\n";
	char option[] = " max_errors = 6 ";
	fresh();
	config_option(&cf, 'o', option);
	config_option(&cf, 'o', "vrfy=yes");
	config_option(&cf, 'o', "greeting=a=b");
	config_option(&cf, 'o', "max_errors=7");
	check(load_text(text), "overrides");
	check_number(cf.max_errors, 7, "the last override wins");
	check(cf.vrfy, "an override wins over the file");
	check_text(cf.greeting, "a=b", "an override with = in its value");
	check_text(option, " max_errors = 6 ", "the argument itself stays whole");
	check_text(shown_one("max_errors"), "7 # -o", "shown as an override");
	static const struct { const char *option, *word; } bad[] = {
		{ "colour=red", "colour" }, { "vrfy", "name = value" }, { "", "name = value" }, { "=", "" }, { "vrfy=perhaps", "vrfy" }, { "Vrfy=yes", "Vrfy" },
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		fresh();
		config_option(&cf, 'o', bad[i].option);
		check(!load_text(text) && strncmp(cf.error, "-o: ", 4) == 0 && strstr(cf.error, bad[i].word), "-o \"%s\" is refused: %s", bad[i].option, cf.error);
	}
	fresh();
	config_option(&cf, 'o', "vrfy=yes");
	check(!load_text("vrfy = perhaps\n"), "an override does not mend the file");
}

static void test_many_overrides(void)
{
	static char large[2][CONFIG_SIZE];
	fresh();
	size_t taken = 0;
	while (taken < 1000 && config_option(&cf, 'o', "max_errors=9")) taken++;
	check_number(taken, CONFIG_OVERRIDES, "overrides that are taken");
	check(load_text(no_file) && cf.max_errors == 9, "and read");
	for (size_t i = 0; i < COUNT(large); i++) snprintf(large[i], sizeof large[i], "greeting=%0*d", CONFIG_SIZE - 100, 0);
	fresh();
	config_option(&cf, 'o', large[0]);
	check(load_text(no_file) && strlen(cf.greeting) == CONFIG_SIZE - 100, "a large override is kept whole");
	fresh();
	for (size_t i = 0; i < COUNT(large); i++) config_option(&cf, 'o', large[i]);
	check(!load_text(no_file) && strncmp(cf.error, "-o: ", 4) == 0, "more than there is room for: %s", cf.error);
}

/* --- the next hop --- */

static void test_deliver(void)
{
	static const struct { const char *value, *scheme, *want; } rows[] = {
		{ "unix:/run/x", "unix:", "/run/x" }, { "tcp:host:24", "tcp:", "host:24" }, { "tcp:[::1]:24", "tcp:", "[::1]:24" }, { "unix:", "unix:", "" },
		{ "/bin/x", "unix:", NULL }, { "tcp:host:24", "unix:", NULL }, { "unix", "unix:", NULL }, { "", "tcp:", NULL }, { "/unix:x", "unix:", NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *got = config_scheme(rows[i].value, rows[i].scheme);
		check(rows[i].want ? got && strcmp(got, rows[i].want) == 0 : !got, "config_scheme of \"%s\", %s", rows[i].value, rows[i].scheme);
	}
	char program[512];
	unsigned places = 0;
	for (const char *got; (got = beside("maildir-deliver", places, program, sizeof program)); places++) {
		size_t n = strlen(got), m = strlen("/maildir-deliver");
		check(n > m && strcmp(got + n - m, "/maildir-deliver") == 0, "place %u of a program: %s", places, got);
	}
	check(places == 8, "there are %u places", places);
}

int main(void)
{
	test_defaults();
	test_good_file();
	test_values();
	test_bad_files();
	test_size_of_file();
	test_missing_files();
	test_overrides();
	test_many_overrides();
	test_deliver();
	return done();
}
