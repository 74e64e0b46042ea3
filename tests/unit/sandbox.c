/* What root's maildir-deliver can still do behind sandbox_beneath, and what it cannot: each call is tried in a process of its own.
 * SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char folder[] = "/tmp/unit-sandbox.XXXXXX";

/* 0: it worked; else errno.  */
static int outcome(long r) { return r < 0 ? errno : 0; }

static int try_socket(void) { return outcome(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int try_pair(void) { int pair[2]; return outcome(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)); }
static int try_kill(void) { return outcome(kill(getpid(), 0)); }
static int try_fork(void) { pid_t pid = fork(); if (pid == 0) _exit(0); return outcome(pid); }
static int try_exec(void) { return outcome(execl("/bin/true", "true", (char *)NULL)); }
static int try_setuid(void) { return outcome(syscall(SYS_setuid, 65534)); }
static int try_setresgid(void) { return outcome(syscall(SYS_setresgid, 65534, 65534, 65534)); }
static int try_setgroups(void) { return outcome(syscall(SYS_setgroups, 0, NULL)); }
static int try_memfd(void) { return outcome(syscall(SYS_memfd_create, "x", 0)); }
static int try_ptrace(void) { return outcome(syscall(SYS_ptrace, 0, 0, 0, 0)); }
static int try_mount(void) { return outcome(syscall(SYS_mount, "none", folder, "tmpfs", 0, NULL)); }
static int try_reboot(void) { return outcome(syscall(SYS_reboot, 0, 0, 0, NULL)); }
static int try_pidfd(void) { return outcome(syscall(SYS_pidfd_open, getpid(), 0)); }

/* What it needs: files beneath its folder, as somebody, and more descriptors.  */
static int try_file(void)
{
	char path[100];
	snprintf(path, sizeof path, "%s/file", folder);
	return outcome(open(path, O_RDWR | O_CREAT, 0600));
}
static int try_fsuid(void) { setfsuid(65534); return setfsuid((uid_t)-1) == 65534 ? 0 : EPERM; }
static int try_limit(void) { struct rlimit r = { 0 }; return outcome(getrlimit(RLIMIT_NOFILE, &r) != 0 ? -1 : setrlimit(RLIMIT_NOFILE, &r)); }
static int try_map(void) { return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0; }

static const struct {
	const char *name;
	int (*try)(void);
	int expected;
} rows[] = {
	{ "a socket", try_socket, EPERM }, { "a pair of them", try_pair, EPERM }, { "a signal", try_kill, EPERM }, { "a process", try_fork, EPERM },
	{ "a program", try_exec, EPERM }, { "to become a user", try_setuid, EPERM }, { "a group", try_setresgid, EPERM }, { "groups", try_setgroups, EPERM },
	{ "a file of memory", try_memfd, EPERM }, { "ptrace", try_ptrace, EPERM }, { "mount", try_mount, EPERM }, { "reboot", try_reboot, EPERM },
	{ "a pidfd", try_pidfd, EPERM },
	{ "a file beneath", try_file, 0 }, { "to act on files as somebody", try_fsuid, 0 }, { "limits", try_limit, 0 }, { "memory", try_map, 0 },
};

/* The call, in a process that has been shut in.  */
static int in_sandbox(int (*try)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		sandbox_beneath(open(folder, O_PATH | O_DIRECTORY), -1);
		_exit(try());
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void)
{
	char path[100];
	if (geteuid() != 0 || !mkdtemp(folder)) return done();   /* who is not root has nothing to be taken away */
	for (size_t i = 0; i < COUNT(rows); i++) {
		int got = in_sandbox(rows[i].try);
		check(got == rows[i].expected, "%s: %s", rows[i].name, got == 0 ? "works" : got < 0 ? "ends it" : strerror(got));
	}
	snprintf(path, sizeof path, "%s/file", folder);
	unlink(path);
	rmdir(folder);
	return done();
}
