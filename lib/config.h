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

enum { CONFIG_OVERRIDES = 64, CONFIG_SETTINGS = 48, CONFIG_SIZE = 65536 };

enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };

struct config {
	/* strings are never NULL; "" is not set */
	const char *hostname, *mail_root, *catch_all, *deliver, *postmaster, *greeting, *run_as;
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

/* Read $SMTP_DELIVER, the file and the overrides over the defaults.  False with cf->error set; then cf holds defaults and is still fit to
 * answer with.  */
bool config_load(struct config *cf);

/* Print "name = value" lines on stdout, each with its source as a comment.  */
void config_show(const struct config *cf);

/* The places where the program to execute for deliver may be, to be tried in turn, from 0 on: the setting; else maildir-deliver beside
 * the running program (by the name it was started with, then by its true name), in its ../bin, or where it is installed.  NULL when
 * there are no more.  Writes to buf.  */
const char *config_deliver(const struct config *cf, unsigned place, char *buf, size_t size);

/* What a setting means when it names a socket rather than a program: the rest behind "unix:" or "tcp:", else NULL.  */
const char *config_scheme(const char *value, const char *scheme);

#endif
