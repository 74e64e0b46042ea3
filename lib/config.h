/* The configuration: one file of "name = value" lines for all programs, overridden by -o name=value.  */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "data.h"

#ifndef CONFIG_FILE
#define CONFIG_FILE "/etc/smtp-handler.conf"
#endif
#ifndef VERSION
#define VERSION "0"
#endif

enum { CONFIG_OVERRIDES = 64, CONFIG_SETTINGS = 64, CONFIG_SIZE = 65536 };

enum tls_version { TLS_1_2, TLS_1_3 };
enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };

/* "no | may | required", and by what: two settings under one name, of which a value may give one and leave the other (tls, auth).  */
enum use { USE_NO, USE_MAY, USE_REQUIRED };
struct access {
	int use;                /* enum use */
	const char *via;        /* tls: "", a program, or unix:PATH; auth: "", file:PATH, checkpassword:PROGRAM ARGUMENTS or dovecot:PATH */
};

enum tls_policy { POLICY_NONE, POLICY_MAY, POLICY_ENCRYPT, POLICY_VERIFY };
enum double_bounce { DOUBLE_POSTMASTER, DOUBLE_DROP };
enum profile { PROFILE_NONE, PROFILE_MX, PROFILE_SUBMISSION, PROFILE_LOCAL };

struct config {
	/* strings are never NULL; "" is not set */
	const char *hostname, *mail_root, *catch_all, *deliver, *postmaster, *greeting, *run_as;
	const char *tls_cert, *tls_key, *tls_certs, *tls_ciphers, *tls_groups, *tls_client_ca;
	const char *proxy, *xclient, *sender_table, *submit, *origin;
	const char *queue_dir, *relayhost, *relay_auth, *relay_from, *relay_domains, *transports, *helo_name, *bind_address, *dns;
	unsigned long long queue_parallel, queue_lifetime, queue_warn;         /* milliseconds */
	int tls_policy, double_bounce;          /* enum tls_policy, enum double_bounce */
	struct access tls, auth;
	int tls_min, profile;                   /* enum tls_version, enum profile */
	bool auth_plaintext, sender_check, add_headers;
	const char *local_domains, *user_maildir, *aliases, *alias_user, *agent, *detail_separator;
	unsigned long long min_uid, quota;
	unsigned long long max_size;
	unsigned long long max_recipients, max_errors;
	unsigned long long command_timeout, data_timeout, session_timeout, deliver_timeout;    /* milliseconds */
	int bare_newline, log_level;            /* enum newline, enum log_level */
	bool strict, vrfy, sandbox;
	bool alias_programs, domain_agents, quota_hard, detail_folders;

	const char *file;                       /* -C, or NULL for the default, which need not exist */
	const char *override[CONFIG_OVERRIDES]; /* -o */
	size_t overrides;

	char error[512];                        /* why config_load failed: "FILE:LINE: reason" */
	unsigned line[CONFIG_SETTINGS];         /* where each setting is from: a line, 0 default, or config.c's FROM_... */
	char expected[80];                      /* for error */
	char nodename[256];
	size_t used;
	char text[CONFIG_SIZE];                 /* the file and copies of the overrides, which the strings point into */
};

/* The short and long options that all programs have, for getopt_long.  */
#define CONFIG_SHORT "+C:o:"
enum { OPT_SHOW_CONFIG = 256, OPT_VERSION, OPT_HELP, OPT_OWN };
#define CONFIG_LONG \
	{ "show-config", no_argument, NULL, OPT_SHOW_CONFIG }, \
	{ "version", no_argument, NULL, OPT_VERSION }, \
	{ "help", no_argument, NULL, OPT_HELP }

/* Take in the option -C or -o.  False when there are too many.  */
bool config_option(struct config *cf, int opt, const char *arg);

/* Read $SMTP_DELIVER and $SMTP_TLS, the file, the profile and the overrides over the defaults.  False with cf->error set; then cf holds defaults and is still fit to
 * answer with.  */
bool config_load(struct config *cf);

/* Print "name = value" lines on stdout, each with its source as a comment.  */
void config_show(const struct config *cf);

/* "-C FILE" and every "-o name=value" as they were given, for the argv of a program of ours, NULL behind them.  */
enum { CONFIG_ARGUMENTS = 2 * CONFIG_OVERRIDES + 3 };
void config_arguments(const struct config *cf, char *argv[CONFIG_ARGUMENTS]);

/* Whether the setting at this offset of struct config was left as it is by default.  */
bool config_default(const struct config *cf, size_t offset);

/* What a setting means when it names a socket rather than a program: the rest behind "unix:" or "tcp:", else NULL.  */
const char *config_scheme(const char *value, const char *scheme);

#endif
