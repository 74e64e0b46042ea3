/* inject [-t] [-r ROLE] [-f ROLE:CALL:ORDINAL[+]:FAULT]... -o REPORT COMMAND...: run a command and let one system call of one of its processes fail.
 *
 * As strace -f -e inject=, but: a process is named by its role (the first is the keeper, or as -r says; what it forks is a speaker, what it
 * vforks a helper; what that forks is a monitor, and what that forks a writer; what a pass forks is a worker, and what that forks a client, if it has none, else a helper), so an ordinal means the same call in each run; it works in a process under seccomp; a short count is true, the kernel
 * does the shortened call; and it is many times faster, for after the fault nothing is stopped any more.
 * FAULT: the name of an error; "short", half of the count; "kill", SIGKILL before the call is done.  ORDINAL counts from 1; with "+" the
 * fault holds from there on.  A ROLE with * behind it is that of all processes whose role begins so.  With -t the report lists every call: "call ROLE NAME ORDINAL KIND ARGUMENT...", KIND being what the first
 * argument would be as a descriptor: f file, s stream, q message socket, - else.  Always: "hit FAULT", and "end ROLE exit|signal NUMBER".
 * SPDX-License-Identifier: MIT */
#ifndef __x86_64__
#include <stdio.h>
int main(void) { return fputs("inject: knows the registers of x86-64 only\n", stderr), 77; }
#else
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAULTS = 4, PROCESSES = 64, CALLS = 1024, SHORT = -1, KILL = -2, CROWD = 3, SKIP = 77 };

static const char *const names[CALLS] = {
	[CALLS - 1] = NULL,
#if __has_include("syscalls.h")    /* the makefile writes it; lint does without */
#include "syscalls.h"
#endif
};

struct fault {
	const char *text;
	char role[16];
	long nr;
	unsigned ordinal;
	bool on, spent;         /* on: it holds from there on */
	int what;
};

struct process {
	pid_t pid;
	char role[16];          /* empty: its parent's event is still to come, and it waits */
	bool begun, counted, held;
	pid_t client;           /* of a worker */
	struct user_regs_struct entry;
	struct fault *fault;    /* in the call that it is in */
	unsigned ordinal[CALLS];
};

static struct fault faults[FAULTS];
static struct process processes[PROCESSES];
static int fault_count, process_count, started[6];
static bool listing;
static FILE *report;

static struct process *find(pid_t pid)
{
	for (int i = 0; i < process_count; i++)
		if (processes[i].pid == pid) return &processes[i];
	if (process_count == PROCESSES) {
		fputs("inject: no end of processes\n", stderr);
		exit(CROWD);
	}
	processes[process_count].pid = pid;
	return &processes[process_count++];
}

/* --- the faults --- */

static int parse_what(const char *s)
{
	if (strcmp(s, "short") == 0) return SHORT;
	if (strcmp(s, "kill") == 0) return KILL;
	for (int e = 1; e < 200; e++)
		if (strerrorname_np(e) && strcmp(strerrorname_np(e), s) == 0) return e;
	return 0;
}

static bool parse_fault(const char *text)
{
	struct fault *f = &faults[fault_count];
	char call[40], number[16], what[24];
	if (fault_count == FAULTS || sscanf(text, "%15[^:]:%39[^:]:%15[^:]:%23s", f->role, call, number, what) != 4) return false;
	f->text = text;
	f->nr = -1;
	for (long nr = 0; nr < CALLS; nr++)
		if (names[nr] && strcmp(names[nr], call) == 0) f->nr = nr;
	f->ordinal = (unsigned)atoi(number);
	f->on = strchr(number, '+') != NULL;
	f->what = parse_what(what);
	fault_count++;
	return f->nr >= 0 && f->ordinal > 0 && f->what != 0;
}

static bool meant(const struct fault *f, const struct process *p)
{
	size_t n = strcspn(f->role, "*");
	return f->role[n] ? strncmp(f->role, p->role, n) == 0 : strcmp(f->role, p->role) == 0;
}

static struct fault *due(const struct process *p, long nr)
{
	for (struct fault *f = faults; f < faults + fault_count; f++) {
		unsigned n = p->ordinal[nr];
		if (!f->spent && f->nr == nr && (f->on ? n >= f->ordinal : n == f->ordinal) && meant(f, p)) return f;
	}
	return NULL;
}

/* Let the kernel do half of the call.  A vector becomes its first half-filled buffer.  */
static void shorten(struct process *p)
{
	struct user_regs_struct r = p->entry;
	unsigned long long *count = &r.rdx;
	if (r.orig_rax == SYS_sendfile) count = &r.r10;
	if (r.orig_rax == SYS_copy_file_range) count = &r.r8;
	if (r.orig_rax == SYS_writev) {
		struct iovec v, local = { &v, sizeof v }, remote = { (void *)r.rsi, sizeof v };
		if (process_vm_readv(p->pid, &local, 1, &remote, 1, 0) != sizeof v) return;
		r.orig_rax = SYS_write;
		r.rsi = (unsigned long long)v.iov_base;
		r.rdx = v.iov_len;
	}
	*count = *count > 1 ? *count / 2 : *count;
	ptrace(PTRACE_SETREGS, p->pid, NULL, &r);
}

/* These tell failure by changing nothing.  */
static bool is_silent(unsigned long long nr) { return nr == SYS_brk || nr == SYS_setfsuid || nr == SYS_setfsgid; }

/* In place of the call one that does nothing and that seccomp's strict mode allows.  But close(2) closes, whatever it says.  */
static void avert(struct process *p)
{
	struct user_regs_struct r = p->entry;
	if (r.orig_rax == SYS_close) return;
	r.rdi = r.orig_rax == SYS_brk ? 0 : (unsigned long long)-1;
	if (!is_silent(r.orig_rax)) r.orig_rax = SYS_read;
	ptrace(PTRACE_SETREGS, p->pid, NULL, &r);
}

static void begin_fault(struct process *p, struct fault *f)
{
	fprintf(report, "hit %s\n", f->text);
	f->spent = !f->on;
	if (f->what == KILL) {
		kill(p->pid, SIGKILL);
		return;
	}
	p->fault = f;
	if (f->what == SHORT) shorten(p);
	else avert(p);
}

static void end_fault(struct process *p)
{
	struct user_regs_struct now, r = p->entry;
	ptrace(PTRACE_GETREGS, p->pid, NULL, &now);
	bool real = p->fault->what == SHORT || is_silent(p->entry.orig_rax);
	r.rax = real ? now.rax : (unsigned long long)-p->fault->what;
	r.orig_rax = (unsigned long long)-1;    /* nothing to restart */
	ptrace(PTRACE_SETREGS, p->pid, NULL, &r);
	p->fault = NULL;
}

/* --- the processes --- */

static char kind(pid_t pid, int fd)
{
	struct stat st;
	int type = 0, pidfd = (int)syscall(SYS_pidfd_open, pid, 0), mine = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	socklen_t len = sizeof type;
	if (mine < 0 && errno != EBADF) {
		perror("inject: cannot look at the descriptors of a process here");
		exit(SKIP);
	}
	char k = mine < 0 || fstat(mine, &st) != 0 ? '-' : S_ISREG(st.st_mode) ? 'f' : '-';
	if (mine >= 0 && getsockopt(mine, SOL_SOCKET, SO_TYPE, &type, &len) == 0) k = type == SOCK_STREAM ? 's' : 'q';
	if (mine >= 0) close(mine);
	close(pidfd);
	return k;
}

static void on_call(struct process *p)
{
	struct user_regs_struct *r = &p->entry;
	struct __ptrace_syscall_info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, p->pid, sizeof info, &info) <= 0) return;
	if (info.op == PTRACE_SYSCALL_INFO_EXIT && p->fault) end_fault(p);
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr >= CALLS || ptrace(PTRACE_GETREGS, p->pid, NULL, r) != 0) return;
	long nr = (long)info.entry.nr;
	p->ordinal[nr]++;
	if (listing) fprintf(report, "call %s %s %u %c %llu %llu %llu %llu %llu %llu\n", p->role, names[nr] ? names[nr] : "unknown", p->ordinal[nr],
		kind(p->pid, (int)r->rdi), r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9);
	struct fault *f = due(p, nr);
	if (f) begin_fault(p, f);
}

/* Stop at its calls no longer than there is need.  */
static void go_on(struct process *p, int sig)
{
	bool stop = listing || p->fault;
	for (int i = 0; i < fault_count; i++) stop |= !faults[i].spent && meant(&faults[i], p);
	ptrace(stop && p->counted ? PTRACE_SYSCALL : PTRACE_CONT, p->pid, NULL, (long)sig);
}

static void on_child(struct process *parent, bool vforked)
{
	unsigned long pid;
	if (ptrace(PTRACE_GETEVENTMSG, parent->pid, NULL, &pid) != 0) return;
	struct process *p = find((pid_t)pid);
	static const char *const roles[] = { "helper", "speaker", "monitor", "writer", "worker", "client" };
	static const struct { const char *parent; int role; } forked[] = { { "helper", 2 }, { "monitor", 3 }, { "pass", 4 } };
	int role = vforked ? 0 : 1;
	if (strncmp(parent->role, "worker", 6) == 0 && !parent->client) {
		parent->client = p->pid;
		role = 5;
	}
	for (size_t i = 0; i < sizeof forked / sizeof *forked && !vforked; i++)
		if (strncmp(parent->role, forked[i].parent, strlen(forked[i].parent)) == 0) role = forked[i].role;
	int n = ++started[role];
	snprintf(p->role, sizeof p->role, n > 1 ? "%s%d" : "%s", roles[role], n);
	p->counted = true;
	if (p->held) go_on(p, 0);
}

static void on_stop(struct process *p, int status)
{
	int sig = WSTOPSIG(status), event = status >> 16, pass = 0;
	if (!p->begun) {
		p->begun = true;
		p->held = !*p->role;
		if (p->held) return;
	} else if (sig == (SIGTRAP | 0x80)) {
		on_call(p);
	} else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
		on_child(p, event == PTRACE_EVENT_VFORK);
	} else if (event == PTRACE_EVENT_EXEC) {
		p->counted = true;
	} else if (!event) {
		pass = sig;
	}
	go_on(p, pass);
}

static void on_end(const struct process *p, int status)
{
	fprintf(report, "end %s %s %d\n", p->role, WIFEXITED(status) ? "exit" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	for (int i = 0; i < process_count; i++)
		if (processes[i].client == p->pid) processes[i].client = 0;
}

static pid_t start(char **argv)
{
	pid_t pid = fork();
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(SKIP);
		raise(SIGSTOP);
		execv(argv[0], argv);
		_exit(126);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD |
	    PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) != 0) {
		perror("inject: cannot trace a process here");
		exit(SKIP);
	}
	return pid;
}

int main(int argc, char **argv)
{
	const char *first = "keeper";
	int opt, status;
	while ((opt = getopt(argc, argv, "+tr:f:o:")) != -1) {
		if (opt == 't') listing = true;
		else if (opt == 'r') first = optarg;
		else if (opt == 'o') report = fopen(optarg, "we");
		if (opt == '?' || (opt == 'f' && !parse_fault(optarg))) {
			fprintf(stderr, "inject: wrong usage: %s\n", opt == 'f' ? optarg : argv[optind - 1]);
			return 64;
		}
	}
	if (!report || optind == argc) return 64;
	struct process *p = find(start(argv + optind));
	snprintf(p->role, sizeof p->role, "%s", first);
	p->begun = true;
	go_on(p, 0);
	close(0);
	close(1);
	for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
		if (pid <= 0) continue;
		p = find(pid);
		if (WIFSTOPPED(status)) on_stop(p, status);
		else on_end(p, status);
	}
	return fclose(report) != 0;
}
#endif
