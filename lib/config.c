/* The configuration reader: a table of settings, one pass over the file, no allocation.
 * SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "address.h"
#include "beside.h"
#include "setting.h"

#define FROM_OVERRIDE (~0U)
#define FROM_ENVIRONMENT (~0U - 1)
#define FROM_PROFILE (~0U - 2)

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
	int i = setting_find(name);
	if (i < 0) {
		snprintf(cf->error, sizeof cf->error, "%s: unknown setting: %.60s", where, name);
		return false;
	}
	if (file && cf->line[i] && cf->line[i] != FROM_ENVIRONMENT) {
		snprintf(cf->error, sizeof cf->error, "%s: %s was set on line %u already", where, name, cf->line[i]);
		return false;
	}
	const char *wrong = setting_set(cf, i, value);
	if (wrong) snprintf(cf->error, sizeof cf->error, "%s: %s = %.60s: %s", where, name, value, wrong);
	cf->line[i] = file ? line : FROM_OVERRIDE;
	return !wrong;
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

static bool is_profile(const char *override)
{
	static const char name[] = "profile";
	override += strspn(override, " \t");
	size_t n = sizeof name - 1;
	return strncmp(override, name, n) == 0 && override[n + strspn(override + n, " \t")] == '=';
}

/* The profile first, then the others, which count more.  */
static bool read_overrides(struct config *cf, bool profile)
{
	for (size_t i = 0; i < cf->overrides; i++) {
		if (is_profile(cf->override[i]) != profile) continue;
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

/* Where a unit wants mail and TLS to go: defaults, which the file may change.  */
static bool read_environment(struct config *cf)
{
	static const struct { const char *name; size_t offset; } rows[] = {
		{ "SMTP_DELIVER", offsetof(struct config, deliver) }, { "SMTP_TLS", offsetof(struct config, tls) },
	};
	for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
		const char *value = getenv(rows[r].name);
		if (!value) continue;
		int i = setting_at(rows[r].offset);
		const char *wrong = setting_set(cf, i, value);
		if (wrong) snprintf(cf->error, sizeof cf->error, "$%s = %.60s: %s", rows[r].name, value, wrong);
		cf->line[i] = FROM_ENVIRONMENT;
		if (wrong) return false;
	}
	return true;
}

/* What a profile stands for.  One that was given by -o counts more than the file, which the units of several profiles read.  */
static void apply_profile(struct config *cf)
{
	static const struct { enum profile profile; size_t offset; const char *value; } rows[] = {
		{ PROFILE_MX, offsetof(struct config, tls), "may" },
		{ PROFILE_MX, offsetof(struct config, auth), "no" },
		{ PROFILE_MX, offsetof(struct config, add_headers), "no" },
		{ PROFILE_SUBMISSION, offsetof(struct config, tls), "required" },
		{ PROFILE_SUBMISSION, offsetof(struct config, auth), "required" },
		{ PROFILE_SUBMISSION, offsetof(struct config, add_headers), "yes" },
		{ PROFILE_LOCAL, offsetof(struct config, tls), "no" },
		{ PROFILE_LOCAL, offsetof(struct config, auth), "no" },
		{ PROFILE_LOCAL, offsetof(struct config, add_headers), "yes" },
	};
	bool given = cf->line[setting_at(offsetof(struct config, profile))] == FROM_OVERRIDE;
	for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
		int i = setting_at(rows[r].offset);
		if (rows[r].profile != (enum profile)cf->profile || (!given && cf->line[i] && cf->line[i] != FROM_ENVIRONMENT)) continue;
		setting_set(cf, i, rows[r].value);
		cf->line[i] = FROM_PROFILE;
	}
}

bool config_load(struct config *cf)
{
	cf->tls.via = cf->auth.via = "";
	for (int i = 0; setting_name(i); i++) setting_set(cf, i, NULL);
	bool good = read_environment(cf) && read_file(cf) && read_overrides(cf, true);
	if (good) apply_profile(cf);
	good = good && read_overrides(cf, false);
	if (!*cf->hostname) {
		struct utsname u;
		bool named = uname(&u) == 0 && domain_valid(u.nodename) && strlen(u.nodename) < sizeof cf->nodename;
		strcpy(cf->nodename, named ? u.nodename : "localhost");
		cf->hostname = cf->nodename;
	}
	return good;
}

/* The first place that there is, or the last.  */
static void print_deliver(const struct config *cf)
{
	char buf[512];
	const char *path = *cf->deliver ? cf->deliver : beside("maildir-deliver", 0, buf, sizeof buf);
	if (!*cf->deliver)
		for (unsigned i = 1; access(path, X_OK) != 0 && beside("maildir-deliver", i, buf, sizeof buf); i++) continue;
	printf("%s", path);
}

void config_show(const struct config *cf)
{
	for (int i = 0; setting_name(i); i++) {
		printf("%s = ", setting_name(i));
		if (i == setting_at(offsetof(struct config, deliver))) print_deliver(cf);
		else setting_print(cf, i);
		if (cf->line[i] == 0) printf("\n# default\n");
		else if (cf->line[i] == FROM_OVERRIDE) printf("\n# -o\n");
		else if (cf->line[i] == FROM_ENVIRONMENT) printf("\n# the environment\n");
		else if (cf->line[i] == FROM_PROFILE) printf("\n# profile = %s\n", setting_profiles[cf->profile]);
		else printf("\n# %s:%u\n", cf->file ? cf->file : CONFIG_FILE, cf->line[i]);
	}
}

bool config_default(const struct config *cf, size_t offset) { return cf->line[setting_at(offset)] == 0; }

const char *config_scheme(const char *value, const char *scheme)
{
	size_t n = strlen(scheme);
	return strncmp(value, scheme, n) == 0 ? value + n : NULL;
}

void config_arguments(const struct config *cf, char *argv[CONFIG_ARGUMENTS])
{
	if (cf->file) {
		*argv++ = (char *)"-C";
		*argv++ = (char *)cf->file;
	}
	for (size_t i = 0; i < cf->overrides; i++) {
		*argv++ = (char *)"-o";
		*argv++ = (char *)cf->override[i];
	}
	*argv = NULL;
}
