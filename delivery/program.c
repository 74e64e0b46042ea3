/* No shell anywhere: words are cut here, and what comes from the envelope is a part of one word, never a word more or an option.
 * SPDX-License-Identifier: MIT */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

static const char *value_of(const struct job *j, char letter)
{
	switch (letter) {
	case 'u': return j->local;
	case 'd': return j->domain;
	case 's': return j->sender;
	case 'r': return j->rcpt;
	case '%': return "%";
	default: return NULL;
	}
}

struct words {
	char *next, *end;       /* room that is left */
	bool full;
};

static void put(struct words *w, const char *s, size_t n)
{
	w->full |= (size_t)(w->end - w->next) <= n;
	if (w->full) return;
	memcpy(w->next, s, n);
	w->next += n;
}

/* One word at *s.  False for what cannot be.  */
static bool one_word(const struct job *j, const char **s, bool expand, struct words *w)
{
	const char *c = *s, *start = w->next, *first = *s;
	bool quoted = false;
	for (; *c && (quoted || (*c != ' ' && *c != '\t')); c++) {
		const char *value = NULL;
		if (*c == '"') {
			quoted = !quoted;
		} else if (*c == '%' && expand) {
			value = value_of(j, *++c);
			if (!value) return false;
			put(w, value, strlen(value));
		} else {
			put(w, c, 1);
		}
	}
	put(w, "", 1);
	*s = c;
	return !w->full && !quoted && (*start != '-' || *first == '-' || *first == '"');
}

bool program_words(const struct job *job, const char *command, bool expand, char room[PROGRAM_ROOM], char *argv[PROGRAM_WORDS])
{
	struct words w = { .next = room, .end = room + PROGRAM_ROOM };
	size_t n = 0;
	for (const char *s = command + strspn(command, " \t"); *s; s += strspn(s, " \t")) {
		if (n == PROGRAM_WORDS - 1) return false;
		argv[n++] = w.next;
		if (!one_word(job, &s, expand, &w)) return false;
	}
	argv[n] = NULL;
	return n > 0 && argv[0][0] == '/';
}

static const struct { int status; const struct reply *reply; } meanings[] = {
	{ EX_DATAERR, REPLY(AGENT_DATA) }, { EX_NOUSER, REPLY(AGENT_NO_USER) }, { EX_NOPERM, REPLY(AGENT_DENIED) },
};

static const struct reply *meaning(const struct job *j, const char *program, int status)
{
	char name[1024], rcpt[4 * PATH_MAX_LEN + 8];
	if (WIFEXITED(status) && WEXITSTATUS(status) == EX_OK) return NULL;
	log_escape(name, sizeof name, program);
	log_escape(rcpt, sizeof rcpt, j->rcpt);
	if (WIFSIGNALED(status)) log_line(LEVEL_ERROR, "%s: %s was ended by signal %d", rcpt, name, WTERMSIG(status));
	else log_line(LEVEL_WARNING, "%s: %s ended with status %d", rcpt, name, WEXITSTATUS(status));
	for (size_t i = 0; WIFEXITED(status) && i < sizeof meanings / sizeof *meanings; i++)
		if (meanings[i].status == WEXITSTATUS(status)) return meanings[i].reply;
	return REPLY(AGENT_TROUBLE);
}

/* In the child: nothing of ours but the message and the log.  */
_Noreturn static void execute(const struct job *j, char *const argv[], int message, const char *home)
{
	char vars[8][PATH_MAX_LEN + 512];
	char *envp[] = { vars[0], vars[1], vars[2], vars[3], vars[4], vars[5], vars[6], NULL };
	sigset_t none;
	sigemptyset(&none);
	snprintf(vars[0], sizeof vars[0], "PATH=/usr/local/bin:/usr/bin:/bin");
	snprintf(vars[1], sizeof vars[1], "HOME=%.500s", home);
	snprintf(vars[2], sizeof vars[2], "USER=%.500s", *j->user ? j->user : j->local);
	snprintf(vars[3], sizeof vars[3], "LOGNAME=%.500s", *j->user ? j->user : j->local);
	snprintf(vars[4], sizeof vars[4], "SENDER=%s", j->sender);
	snprintf(vars[5], sizeof vars[5], "RECIPIENT=%s", j->rcpt);
	snprintf(vars[6], sizeof vars[6], "EXTENSION=%s", j->detail);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), log = fcntl(2, F_DUPFD_CLOEXEC, 3);
	setsid();       /* so that all of it can be ended together */
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int sig = 1; sig < 32; sig++) signal(sig, SIG_DFL);
	syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);  /* what our caller left open is not for others */
	if (chdir(home) != 0 && chdir("/") != 0) _exit(EX_TEMPFAIL);
	/* our log is not for others to write to */
	if (lseek(message, 0, SEEK_SET) == 0 && dup2(message, 0) == 0 && null >= 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2) execve(argv[0], argv, envp);
	int why = errno;
	if (log >= 0) dup2(log, 2);
	errno = why;
	log_line(LEVEL_ERROR, "cannot execute %.500s: %s", argv[0], strerror(errno));
	_exit(EX_TEMPFAIL);
}

const struct reply *program_run(const struct job *job, char *const argv[], int message, const char *home, unsigned ms)
{
	struct timespec limit = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
	sigset_t child, all;
	int status = 0;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigfillset(&all);       /* else a signal to stop would end the wait, and the limit with it */
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP }, NULL);     /* one that stops has not ended */
	sigprocmask(SIG_BLOCK, &all, NULL);
	pid_t pid = fork();
	if (pid == 0) execute(job, argv, message, home);
	if (pid < 0) return REPLY(AGENT_TROUBLE);
	if (sigtimedwait(&child, NULL, &limit) < 0 && errno == EAGAIN) {
		log_line(LEVEL_ERROR, "%.500s takes longer than %u seconds: ended", argv[0], ms / 1000);
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
	}
	return waitpid(pid, &status, 0) == pid ? meaning(job, argv[0], status) : REPLY(AGENT_TROUBLE);
}

/* --- mbox --- */

/* The start of a line: one that looks like a separator is quoted (RFC 4155, "mboxrd").  Returns the next octet.  */
static int copy_line_start(FILE *in, FILE *out)
{
	static const char from[] = "From ";
	size_t marks = 0, same = 0;
	int c = getc(in);
	for (; c == '>'; c = getc(in)) marks++;
	for (; same < sizeof from - 1 && c == from[same]; c = getc(in)) same++;
	if (same == sizeof from - 1) putc('>', out);
	for (; marks > 0; marks--) putc('>', out);
	fwrite(from, 1, same, out);
	return c;
}

static bool copy_quoted(FILE *in, FILE *out)
{
	int c = copy_line_start(in, out), last = '\n';
	while (c != EOF) {
		putc(c, out);
		last = c;
		c = c == '\n' ? copy_line_start(in, out) : getc(in);
	}
	if (last != '\n') putc('\n', out);
	putc('\n', out);
	return !ferror(in);
}

/* Append to a file that is open and locked; 0 or errno.  */
static int append(const struct job *j, int fd, int message)
{
	char date[64];
	time_t now = time(NULL);
	struct tm tm;
	FILE *in = fdopen(dup(message), "r"), *out = fdopen(dup(fd), "a");
	int e = in && out && gmtime_r(&now, &tm) ? 0 : ENOMEM;
	if (!e) {
		rewind(in);
		strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &tm);
		fprintf(out, "From %s %s\n", *j->sender && !strpbrk(j->sender, " \t") ? j->sender : "MAILER-DAEMON", date);
		if (!copy_quoted(in, out)) e = EIO;
	}
	if (in) fclose(in);
	errno = 0;
	if (out && fclose(out) != 0 && !e) e = errno ? errno : EIO;
	return !e && fsync(fd) != 0 ? errno : e;
}

/* 0 or errno.  Who waited for ever would write when nobody waits for him any more.  */
static int lock_file(int fd, unsigned ms)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int r;
	clock_signals();
	clock_start(ms);
	uint32_t deadline = clock_deadline(ms);
	do r = fcntl(fd, F_SETLKW, &lock);
	while (r != 0 && errno == EINTR && !clock_passed(deadline));
	int e = r == 0 ? 0 : errno == EINTR ? EBUSY : errno;
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	return e;
}

const struct reply *program_append(const struct job *job, int message, unsigned ms)
{
	struct stat st;
	char name[1024];
	int fd = open(job->command, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	int e = fd < 0 || fstat(fd, &st) != 0 ? errno : !S_ISREG(st.st_mode) ? EINVAL : lock_file(fd, ms);
	if (!e && fstat(fd, &st) != 0) e = errno;       /* the size that counts is the one behind the lock */
	if (!e) {
		e = append(job, fd, message);
		if (e && ftruncate(fd, st.st_size) != 0) log_line(LEVEL_ERROR, "half a message remains at the end of an mbox");
	}
	if (fd >= 0) close(fd);
	if (!e) return NULL;
	log_line(LEVEL_ERROR, "%s: %s", log_escape(name, sizeof name, job->command), strerror(e));
	return e == ENOSPC || e == EDQUOT ? REPLY(DISK_FULL) : REPLY(AGENT_TROUBLE);
}
