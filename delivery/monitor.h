/* The process beside maildir-deliver that is not in its sandbox, and so may become a user of the host.  It does a few things for it and checks
 * each; it reads nothing but these requests.  */
#ifndef MONITOR_H
#define MONITOR_H

#include <stdbool.h>

#include "address.h"
#include "config.h"
#include "names.h"
#include "reply.h"

/* Whether there is work for it: only root can become a user, but anybody can deliver one message to himself; and only without a sandbox another
 * program can be run.  */
bool monitor_wanted(const struct config *cf, bool one_message);

/* Fork it.  Returns our end of the channel, -1 after a line in the log.  */
int monitor_start(const struct config *cf);

/* See it end, after all that it has started; for at most `ms` milliseconds.  */
void monitor_end(int monitor, unsigned ms);

/* Look up a user of the host and start a writer (writer.h) for him.  0 and the channel to it and his full name; or ENOENT: there is no such user, EPERM: there is,
 * but he takes no mail (root, below min_uid, nobody), or another errno for what may pass.  */
enum { MONITOR_FULL_NAME = 128 };
int monitor_user(int monitor, const char *name, int *writer, char full_name[MONITOR_FULL_NAME]);

/* The text of an :include: file (channel_receive_file), read as the owner of the alias table `table`, for root's as alias_user.  NULL with errno.  */
char *monitor_include(int monitor, const char *path, int table);

/* A new file without a name, for a message on its way to a program.  -1 with errno.  */
int monitor_spool(int monitor);

/* What is to be done with a message by another program, or a file that is no Maildir.  */
struct job {
	enum job_kind { JOB_AGENT, JOB_PROGRAM, JOB_FILE } kind;
	uint32_t share;                 /* of the time limit: the one half, third... */
	char command[1024];             /* of a program or file; an agent's is the monitor's to know */
	char user[LOCAL_MAX + 1];            /* JOB_AGENT for a user of the host; "" for a mailbox beneath mail_root */
	char rcpt[PATH_MAX_LEN + 1], sender[PATH_MAX_LEN + 1];
	char local[NAME_LOCAL + 1], domain[DOMAIN_MAX + 1], detail[LOCAL_MAX + 1];
};

/* Do it: a program is executed without a shell, `message` its standard input.  `owner` is what says as whom: the mailbox directory, for a program or file the alias
 * table; -1 for a user.  `agent` is the domain's .agent file, -1 for the setting.  NULL when it ended well; else what it means.  */
const struct reply *monitor_run(int monitor, const struct job *job, int message, int owner, int agent);

#endif
