/* SPDX-License-Identifier: MIT */
#include "setting.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "network.h"

#ifndef SANDBOX
#define SANDBOX "yes"
#endif

enum type { TEXT, NAME, ADDRESS, HOP, FOLDER, NETWORKS, NUMBER, SIZE, TIME, BOOL, TLS, AUTH, WORDS };

static const char *const newlines[] = { "reject", "normalize", NULL };          /* NL_STRICT, NL_NORMALIZE */
static const char *const levels[] = { "error", "warning", "info", "debug", NULL };
static const char *const yes_no[] = { "no", "yes", NULL };
static const char *const uses[] = { "no", "may", "required", NULL };
static const char *const versions[] = { "1.2", "1.3", NULL };
static const char *const policies[] = { "none", "may", "encrypt", "verify", NULL };
static const char *const doubles[] = { "postmaster", "drop", NULL };
const char *const setting_profiles[] = { "", "mx", "submission", "local", NULL };

static const struct setting {
	const char *name, *value;       /* its default */
	enum type type;
	size_t offset;
	unsigned long long min, max;
	const char *const *words;       /* of WORDS, in the order of its enum */
} settings[] = {
#define ROW(field, value, type, min, max) { #field, value, type, offsetof(struct config, field), min, max, NULL }
#define CHOICE(field, value, words) { #field, value, WORDS, offsetof(struct config, field), 0, 0, words }
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
	CHOICE(bare_newline, "reject", newlines),
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
	CHOICE(log_level, "info", levels),
	CHOICE(profile, "", setting_profiles),
	ROW(tls, "may", TLS, 0, 0),
	ROW(tls_cert, "", TEXT, 0, 0),
	ROW(tls_key, "", TEXT, 0, 0),
	ROW(tls_certs, "", TEXT, 0, 0),
	CHOICE(tls_min, "1.2", versions),
	ROW(tls_ciphers, "", TEXT, 0, 0),
	ROW(tls_groups, "", TEXT, 0, 0),
	ROW(tls_client_ca, "", TEXT, 0, 0),
	ROW(auth, "may", AUTH, 0, 0),
	ROW(auth_plaintext, "no", BOOL, 0, 0),
	ROW(sender_check, "no", BOOL, 0, 0),
	ROW(sender_table, "", TEXT, 0, 0),
	ROW(add_headers, "no", BOOL, 0, 0),
	ROW(proxy, "", NETWORKS, 0, 0),
	ROW(xclient, "", NETWORKS, 0, 0),
	ROW(submit, "/run/smtp-handler/submit.sock", TEXT, 0, 0),
	ROW(origin, "", NAME, 0, 0),
	ROW(queue_dir, "/var/spool/smtp-handler", TEXT, 0, 0),
	ROW(queue_parallel, "20", NUMBER, 1, 1000),
	ROW(queue_lifetime, "5d", TIME, 0, 8640000000),
	ROW(queue_warn, "4h", TIME, 0, 8640000000),
	ROW(relay_from, "", NETWORKS, 0, 0),
	ROW(relay_domains, "", TEXT, 0, 0),
	ROW(relayhost, "", TEXT, 0, 0),
	ROW(relay_auth, "", TEXT, 0, 0),
	ROW(transports, "", TEXT, 0, 0),
	CHOICE(tls_policy, "may", policies),
	ROW(helo_name, "", NAME, 0, 0),
	ROW(bind_address, "", TEXT, 0, 0),
	ROW(dns, "", TEXT, 0, 0),
	CHOICE(double_bounce, "postmaster", doubles),
	ROW(sandbox, SANDBOX, BOOL, 0, 0),
#undef CHOICE
#undef ROW
};
enum { SETTINGS = sizeof settings / sizeof *settings };
_Static_assert((int)SETTINGS <= (int)CONFIG_SETTINGS, "config.line is too short");

int setting_find(const char *name)
{
	for (int i = 0; i < SETTINGS; i++)
		if (strcmp(settings[i].name, name) == 0) return i;
	return -1;
}

int setting_at(size_t offset)
{
	for (int i = 0; i < SETTINGS; i++)
		if (settings[i].offset == offset) return i;
	return -1;
}

const char *setting_name(int i) { return i < SETTINGS ? settings[i].name : NULL; }

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

/* "[no | may | required] [BY WHAT]": what is not named stays as it was.  */
static const char *set_access(struct access *a, enum type type, const char *value)
{
	char first[16];
	size_t n = strcspn(value, " \t");
	snprintf(first, sizeof first, "%.*s", (int)(n < sizeof first ? n : sizeof first - 1), value);
	int use = word(uses, first);
	const char *via = use < 0 ? value : value + n + strspn(value + n, " \t");
	bool known = type == TLS ? config_scheme(via, "unix:/") || *via == '/' :
		config_scheme(via, "file:/") || config_scheme(via, "checkpassword:/") || config_scheme(via, "dovecot:/");
	if (*via && !known) return type == TLS ? "expected no, may or required, or a program, or unix:PATH" :
		"expected no, may or required, or file:PATH, checkpassword:PROGRAM or dovecot:PATH";
	if (use >= 0) a->use = use;
	if (*via) a->via = via;
	return NULL;
}

static const char *control(const char *value)
{
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f) return "control character in a value";
	return NULL;
}

/* "expected this, that or other".  */
static const char *expected(struct config *cf, const char *const *words)
{
	size_t n = 0, size = sizeof cf->expected;
	*cf->expected = '\0';
	for (; *words; words++) {
		if (!**words) continue;
		n += (size_t)snprintf(cf->expected + n, size - n, "%s%s", n == 0 ? "expected " : words[1] ? ", " : " or ", *words);
	}
	return cf->expected;
}

const char *setting_set(struct config *cf, int index, const char *value)
{
	const struct setting *row = &settings[index];
	if (!value) value = row->value;
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
	case NETWORKS:
		if (row->type == NETWORKS && !networks_valid(value)) return "expected addresses or networks, such as 192.0.2.1 2001:db8::/32";
		/* fall through */
	case TEXT:
		if (control(value)) return control(value);
		*(const char **)field = value;
		return NULL;
	case TLS:
	case AUTH:
		return control(value) ? control(value) : set_access(field, row->type, value);
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
	case WORDS:
		if ((w = word(row->words, value)) < 0) return expected(cf, row->words);
		*(int *)field = w;
		return NULL;
	}
	return "unknown type";
}

void setting_print(const struct config *cf, int i)
{
	const struct setting *row = &settings[i];
	const void *field = (const char *)cf + row->offset;
	const struct access *access = field;
	unsigned long long n = 0;
	switch (row->type) {
	case TEXT:
	case NAME:
	case HOP:
	case FOLDER:
	case NETWORKS:
	case ADDRESS: printf("%s", *(const char *const *)field); return;
	case NUMBER:
	case SIZE: printf("%llu", *(const unsigned long long *)field); return;
	case TIME:
		n = *(const unsigned long long *)field;
		printf("%llu%s", n % 1000 ? n : n / 1000, n % 1000 ? "ms" : "s");
		return;
	case BOOL: printf("%s", yes_no[*(const bool *)field]); return;
	case TLS:
	case AUTH:
		printf("%s%s%s", uses[access->use], *access->via ? " " : "", access->via);
		return;
	case WORDS: printf("%s", row->words[*(const int *)field]); return;
	}
}
