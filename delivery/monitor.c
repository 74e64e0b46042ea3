/* Each request is answered by a process of its own that has become somebody before it touches what is his.  What the asker says is not believed: a user is looked
 * up here, an agent's command is the configuration's, and the owner of a table or a mailbox is that of the descriptor.
 * SPDX-License-Identifier: MIT */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

#include "alias.h"
#include "channel.h"
#include "clock.h"
#include "identity.h"
#include "log.h"
#include "program.h"
#include "writer.h"

enum request_kind { ASK_USER = 1, ASK_INCLUDE, ASK_SPOOL, ASK_RUN };

struct request {
	uint32_t kind;
	char name[1024];        /* a user, a path */
	struct job job;
};
struct found {
	int32_t error;
	char full_name[MONITOR_FULL_NAME];
};

enum { FD_MESSAGE, FD_OWNER, FD_AGENT, NOBODY = 65534 };

bool monitor_wanted(const struct config *cf, bool one_message) { return one_message || getauxval(AT_EUID) == 0 || *cf->agent || cf->domain_agents || cf->alias_programs; }

/* --- the other side --- */

/* The entry of a user who may have mail.  NULL with errno: ENOENT, EPERM, or what the name service said.  */
static const struct passwd *find_user(const struct config *cf, const char *name)
{
	errno = 0;
	const struct passwd *pw = getpwnam(name);
	if (!pw) {
		/* no error at all is what "not found" is; ENOENT is what services say whose server is down (nslcd) */
		errno = errno == 0 || errno == ESRCH ? ENOENT : errno == ENOENT || errno == EPERM ? EIO : errno;
		return NULL;
	}
	if (pw->pw_uid != 0 && pw->pw_uid != NOBODY && pw->pw_uid >= cf->min_uid) return pw;
	errno = EPERM;
	return NULL;
}

/* In a child: all descriptors but `keep` (which gets the number 3), `more` (4) and those of the log are closed.  */
static void keep_only(int keep[2])
{
	closelog();
	int first = fcntl(keep[0], F_DUPFD, 10), second = keep[1] >= 0 ? fcntl(keep[1], F_DUPFD, 10) : -1;
	dup2(first, 3);
	if (second >= 0) dup2(second, 4);
	int rest = second >= 0 ? 5 : 4;
	if (syscall(SYS_close_range, rest, ~0U, 0) != 0)        /* an old kernel: by hand, and we have few */
		while (rest < 1024) close(rest++);
	close(0);       /* /dev/null, or what came to have that number where there was none */
	close(1);
	keep[0] = 3;
	keep[1] = second >= 0 ? 4 : -1;
}

/* A child with a channel; the parent gets the other end, -1 with errno if there can be none.  */
static pid_t fork_with(const struct config *cf, int *ours, int *its)
{
	int pair[2];
	if (!channel_pair(pair, (unsigned)(cf->deliver_timeout - cf->deliver_timeout / 8))) return -1;
	pid_t pid = fork();
	int e = errno;
	*ours = pair[0];
	*its = pair[1];
	if (pid == 0) {
		signal(SIGCHLD, SIG_DFL);
		signal(SIGHUP, SIG_IGN);
		setpgid(0, 0);  /* with its parent gone, the kernel sends SIGHUP and SIGCONT to one that its user has stopped: then it sees that it is over */
		return 0;
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		*ours = -1;
	}
	errno = e;
	return pid;
}

/* Who asked waits for this: if it cannot be told, our end must tell.  */
static void tell(int channel, const struct found *f, int fd)
{
	if (!channel_send(channel, f, sizeof *f, (int[]){ fd, -1, -1 })) _exit(EX_OSERR);
	if (fd >= 0) close(fd);
}

static void serve_user(const struct config *cf, int channel, struct request *q)
{
	struct found f = { 0 };
	int ours = -1, its;
	const struct passwd *pw = find_user(cf, q->name);
	if (!pw) f.error = errno;
	else if (fork_with(cf, &ours, &its) == 0) {
		keep_only((int[]){ its, -1 });
		writer_run(cf, pw, 3);
	} else if (ours < 0) f.error = errno;
	else snprintf(f.full_name, sizeof f.full_name, "%.*s", (int)strcspn(pw->pw_gecos ? pw->pw_gecos : "", ","), pw->pw_gecos ? pw->pw_gecos : "");
	tell(channel, &f, ours);
}

/* Who only knows where a file is (O_PATH) has not opened it, and must not have it opened by us.  */
static bool is_opened(int fd, struct stat *st)
{
	int flags = fcntl(fd, F_GETFL);
	return flags >= 0 && !(flags & O_PATH) && fstat(fd, st) == 0;
}

/* Become the owner of the alias table, for root's the one of the setting.  0 or errno.  */
static int become_owner(const struct config *cf, int table)
{
	struct stat st;
	const struct passwd *pw;
	if (!is_opened(table, &st) || !S_ISREG(st.st_mode)) return EBADF;
	errno = 0;
	if (st.st_uid == 0) pw = getpwnam(cf->alias_user);
	else pw = getpwuid(st.st_uid);
	if (pw) return identity_become(pw->pw_uid, pw->pw_gid, pw->pw_name);
	return st.st_uid == 0 ? EPERM : identity_become(st.st_uid, st.st_gid, NULL);
}

_Noreturn static void send_include(const struct config *cf, const char *path, int table, int channel)
{
	struct stat st = { 0 };
	int e = become_owner(cf, table), fd = e ? -1 : open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (!e && (fd < 0 || fstat(fd, &st) != 0)) e = errno;
	if (!e) e = !S_ISREG(st.st_mode) ? EINVAL : st.st_size > ALIAS_LIST_MAX ? EFBIG : 0;
	channel_send_file(channel, fd, e);
	_exit(EX_OK);
}

/* A child does the rest; its end of the channel goes to who asks.  */
static void serve_include(const struct config *cf, int channel, struct request *q, int table)
{
	struct found f = { 0 };
	int ours = -1, its;
	if (fork_with(cf, &ours, &its) == 0) {
		int keep[] = { its, table };
		keep_only(keep);
		send_include(cf, q->name, keep[1], keep[0]);
	}
	if (ours < 0) f.error = errno ? errno : EIO;
	tell(channel, &f, ours);
}

static void serve_spool(int channel)
{
	struct found f = { 0 };
	char path[] = "/var/tmp/maildir-deliver.XXXXXX";
	int fd = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd < 0 && (fd = mkostemp(path, O_CLOEXEC)) >= 0) unlink(path);
	if (fd < 0) f.error = errno;
	tell(channel, &f, fd);
}

/* The command of a domain, which only root or the owner himself may choose, or of the setting.  */
static const char *agent_command(const struct config *cf, int agent, uid_t owner, char *room, size_t size)
{
	struct stat st;
	if (agent < 0 || !cf->domain_agents) return cf->agent;
	ssize_t n = fstat(agent, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & (S_IWGRP | S_IWOTH)) && (st.st_uid == 0 || st.st_uid == owner) ? pread(agent, room, size - 1, 0) : -1;
	if (n < 0) return "";
	room[n] = '\0';
	room[strcspn(room, "\r\n")] = '\0';
	return room;
}

/* For a mailbox: as its owner, or as the user.  */
static const struct reply *run_agent(const struct config *cf, struct job *j, const int fds[CHANNEL_FDS], unsigned ms)
{
	char room[PROGRAM_ROOM], own[1024], home[1024], *argv[PROGRAM_WORDS];
	struct stat st = { 0 };
	const struct passwd *pw = *j->user ? find_user(cf, j->user) : NULL;
	int e = *j->user ? errno : is_opened(fds[FD_OWNER], &st) ? 0 : EBADF;
	const char *command = agent_command(cf, fds[FD_AGENT], pw ? pw->pw_uid : st.st_uid, own, sizeof own);
	if (*j->user) e = pw ? identity_become(pw->pw_uid, pw->pw_gid, pw->pw_name) : e;
	else if (!e) e = identity_become(st.st_uid, st.st_gid, NULL);
	if (pw) snprintf(home, sizeof home, "%s", pw->pw_dir);
	else snprintf(home, sizeof home, "%s/%s/%s", cf->mail_root, j->domain, j->local);
	if (!e && program_words(j, command, true, room, argv)) return program_run(j, argv, fds[FD_MESSAGE], home, ms);
	log_line(LEVEL_ERROR, "cannot run an agent: %s", e ? strerror(e) : "its command is not fit for this address");
	return REPLY(AGENT_TROUBLE);
}

static const struct reply *run_job(const struct config *cf, struct job *j, const int fds[CHANNEL_FDS])
{
	char room[PROGRAM_ROOM], *argv[PROGRAM_WORDS];
	unsigned ms = (unsigned)((cf->deliver_timeout - cf->deliver_timeout / 4) / (j->share ? j->share : 1));
	if (j->kind == JOB_AGENT) return run_agent(cf, j, fds, ms);
	int e = cf->alias_programs ? become_owner(cf, fds[FD_OWNER]) : EPERM;
	const struct passwd *pw = e ? NULL : getpwuid(geteuid());
	snprintf(j->user, sizeof j->user, "%s", pw ? pw->pw_name : "");
	if (!e && j->kind == JOB_FILE) return program_append(j, fds[FD_MESSAGE], ms);
	if (!e && program_words(j, j->command, false, room, argv)) return program_run(j, argv, fds[FD_MESSAGE], "/", ms);
	log_line(LEVEL_ERROR, "cannot run a program of an alias: %s", e ? strerror(e) : "its command cannot be read");
	return REPLY(AGENT_TROUBLE);
}

/* The message again, by a descriptor that its reader cannot write to: another program may come after him.  */
static int read_only(int message)
{
	char path[40];
	struct stat st;
	int fd = -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", message);
	errno = EBADF;
	if (is_opened(message, &st) && S_ISREG(st.st_mode) && st.st_nlink == 0) fd = open(path, O_RDONLY | O_CLOEXEC);   /* the file of serve_spool has no name */
	if (fd < 0) log_line(LEVEL_ERROR, "cannot read a message for a program: %s", strerror(errno));
	return fd;
}

static void terminate(char *s, size_t size) { s[size - 1] = '\0'; }

static void serve_run(const struct config *cf, int channel, struct request *q, int fds[CHANNEL_FDS])
{
	struct found f = { 0 };
	struct job *j = &q->job;
	int ours = -1, its;
	terminate(j->command, sizeof j->command);
	terminate(j->user, sizeof j->user);
	terminate(j->rcpt, sizeof j->rcpt);
	terminate(j->sender, sizeof j->sender);
	terminate(j->local, sizeof j->local);
	terminate(j->domain, sizeof j->domain);
	terminate(j->detail, sizeof j->detail);
	if (fork_with(cf, &ours, &its) == 0) {
		fds[FD_MESSAGE] = read_only(fds[FD_MESSAGE]);
		const struct reply *r = fds[FD_MESSAGE] < 0 ? REPLY(AGENT_TROUBLE) : run_job(cf, j, fds);
		int32_t row = (int32_t)((r ? r : REPLY(FLUSHED)) - reply_table);
		channel_send(its, &row, sizeof row, NULL);
		_exit(EX_OK);
	}
	if (ours < 0) f.error = errno ? errno : EIO;
	tell(channel, &f, ours);
}

/* Until the other end is closed.  */
_Noreturn static void serve(const struct config *cf, int channel)
{
	static struct request q;
	int fds[CHANNEL_FDS];
	ssize_t n;
	while ((n = channel_receive(channel, &q, sizeof q, fds)) > 0) {
		terminate(q.name, sizeof q.name);
		if (n != sizeof q) q.kind = 0;
		if (q.kind == ASK_USER) serve_user(cf, channel, &q);
		else if (q.kind == ASK_INCLUDE) serve_include(cf, channel, &q, fds[0]);
		else if (q.kind == ASK_SPOOL) serve_spool(channel);
		else if (q.kind == ASK_RUN) serve_run(cf, channel, &q, fds);
		else _exit(EX_SOFTWARE);
		for (int i = 0; i < CHANNEL_FDS; i++)
			if (fds[i] >= 0) close(fds[i]);
	}
	if (n < 0) shutdown(channel, SHUT_WR);  /* who waits for an answer need not wait for what follows */
	/* until nobody is left who still does something; but users can stop what runs as them */
	struct itimerval limit = { .it_value = { (time_t)(cf->deliver_timeout / 8 / 1000), (suseconds_t)(cf->deliver_timeout / 8 % 1000 * 1000) } };
	signal(SIGALRM, SIG_DFL);
	setitimer(ITIMER_REAL, &limit, NULL);
	while (wait(NULL) >= 0 || errno == EINTR) continue;
	_exit(EX_OK);
}

void monitor_end(int monitor, unsigned ms)
{
	struct pollfd p = { .fd = monitor };
	uint64_t end = millis() + ms;
	if (monitor < 0) return;
	shutdown(monitor, SHUT_WR);
	while (poll(&p, 1, (int)ms) < 0 && millis() < end) continue;
	close(monitor);
}

int monitor_start(const struct config *cf)
{
	int pair[2];
	pid_t pid = channel_pair(pair, (unsigned)(cf->deliver_timeout - cf->deliver_timeout / 8)) ? fork() : -1;
	if (pid < 0) {
		log_line(LEVEL_ERROR, "cannot start the monitor: %s", strerror(errno));
		return -1;
	}
	if (pid > 0) {
		close(pair[1]);
		return pair[0];
	}
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* the client's: its end must be seen by who serves it */
	if (null < 0 || dup2(null, 0) < 0) close(0);
	if (null < 0 || dup2(null, 1) < 0) close(1);
	if (null > 2) close(null);
	close(pair[0]);
	signal(SIGCHLD, SIG_IGN);
	serve(cf, pair[1]);
}

/* --- our side --- */

/* After one answer has failed or came too late no other is waited for: it might be that to the question before, and so another user's writer.  */
static int ask(int monitor, const struct request *q, const int fds[CHANNEL_FDS], struct found *f, int *fd)
{
	static bool deaf;
	int got[CHANNEL_FDS] = { -1, -1, -1 };
	*fd = -1;
	if (deaf || !channel_send(monitor, q, sizeof *q, fds)) return EIO;
	deaf = channel_receive(monitor, f, sizeof *f, got) != sizeof *f;
	if (deaf) return EIO;
	*fd = got[0];
	f->full_name[sizeof f->full_name - 1] = '\0';
	return f->error ? f->error : *fd < 0 ? EIO : 0;
}

int monitor_user(int monitor, const char *name, int *writer, char full_name[MONITOR_FULL_NAME])
{
	struct request q = { .kind = ASK_USER };
	struct found f = { 0 };
	snprintf(q.name, sizeof q.name, "%s", name);
	int e = ask(monitor, &q, NULL, &f, writer);
	if (!e) snprintf(full_name, MONITOR_FULL_NAME, "%s", f.full_name);
	return e;
}

char *monitor_include(int monitor, const char *path, int table)
{
	struct request q = { .kind = ASK_INCLUDE };
	struct found f = { 0 };
	int channel, e;
	snprintf(q.name, sizeof q.name, "%s", path);
	errno = ask(monitor, &q, (int[]){ table, -1, -1 }, &f, &channel);
	if (errno) return NULL;
	char *text = channel_receive_file(channel, ALIAS_LIST_MAX);
	e = errno;
	close(channel);
	errno = e;
	return text;
}

int monitor_spool(int monitor)
{
	struct request q = { .kind = ASK_SPOOL };
	struct found f = { 0 };
	int fd;
	errno = ask(monitor, &q, NULL, &f, &fd);
	return fd;
}

const struct reply *monitor_run(int monitor, const struct job *job, int message, int owner, int agent)
{
	struct request q = { .kind = ASK_RUN, .job = *job };
	struct found f = { 0 };
	int channel;
	if (owner < 0 && !*job->user) return REPLY(AGENT_TROUBLE);
	/* the order is fixed; what is not needed is filled with what is there */
	const int fds[CHANNEL_FDS] = { message, owner >= 0 ? owner : message, agent };
	if (ask(monitor, &q, fds, &f, &channel) != 0) return REPLY(AGENT_TROUBLE);
	const struct reply *r = writer_answer(channel);
	close(channel);
	return r == REPLY(LOCAL_ERROR) ? REPLY(AGENT_TROUBLE) : r;
}
