/* Strict mode and Landlock by their system calls: both are too young for a C library's wrapper.
 * SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_NET_BIND_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP (1ULL << 0)
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (1ULL << 1)
#endif

/* All rights of the first version of Landlock's interface.  */
#define FS_ALL ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define FS_MAILBOX (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR | \
	LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REFER)

struct ruleset { uint64_t fs, net; };   /* the header of Debian 12 does not know the second field yet */

static int make_ruleset(const struct ruleset *rules, size_t size) { return (int)syscall(SYS_landlock_create_ruleset, rules, size, 0); }

/* The descriptor of the rules is left open: nothing can be done with it any more.  */
static void restrict_self(int fd) { syscall(SYS_landlock_restrict_self, fd, 0); }

#if defined __x86_64__ && !defined __ILP32__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined __riscv && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined __powerpc64__ && defined __LITTLE_ENDIAN__
#define ARCHITECTURE AUDIT_ARCH_PPC64LE
#elif defined __s390x__
#define ARCHITECTURE AUDIT_ARCH_S390X
#elif defined __i386__
#define ARCHITECTURE AUDIT_ARCH_I386
#elif defined __arm__
#define ARCHITECTURE AUDIT_ARCH_ARM
#endif

#ifdef ARCHITECTURE
/* Where the first argument's low half is.  */
enum { ARGUMENT = offsetof(struct seccomp_data, args) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0) };

/* glibc on i386 makes all calls on sockets by a single one.  Only those on a socket that is there are let through, by number from send to recvmsg; `allow` and `deny` count from
 * behind this part.  */
#ifdef SYS_socketcall
enum { SOCKETCALL = 4 };
static void socketcall_part(struct sock_filter *c, unsigned allow, unsigned deny)
{
	enum { SEND = 9, RECVMSG = 17 };
	*c++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socketcall, 0, SOCKETCALL - 1);
	*c++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT);
	*c++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SEND, 0, (unsigned char)(deny + 1));
	*c++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, RECVMSG, (unsigned char)deny, (unsigned char)allow);
}
#else
enum { SOCKETCALL = 0 };
static void socketcall_part(struct sock_filter *c, unsigned allow, unsigned deny) { (void)c, (void)allow, (void)deny; }
#endif
#endif

/* Strict mode is refused to a process that has a filter already: in a container, or under SystemCallFilter= of systemd.  Then a filter that
 * leaves the same four calls, 85 microseconds dearer.  False where we do not know the machine's number.  */
static bool strict_filter(void)
{
#ifdef ARCHITECTURE
#ifdef SYS_sigreturn
	enum { OLD_SIGRETURN = SYS_sigreturn };
#else
	enum { OLD_SIGRETURN = SYS_rt_sigreturn };
#endif
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 0, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OLD_SIGRETURN, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
#else
	return false;
#endif
}

/* No new privileges, and no file.  */
static bool no_file(void)
{
	struct ruleset rules = { .fs = FS_ALL };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
	int fd = make_ruleset(&rules, sizeof rules.fs);
	if (fd >= 0) restrict_self(fd);
	return true;
}

void sandbox_read_only(void)
{
	struct ruleset rules = { .fs = FS_ALL & ~(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE) };
	int fd = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? make_ruleset(&rules, sizeof rules.fs) : -1;
	if (fd < 0) return;
	restrict_self(fd);
	close(fd);
}

bool sandbox_speaker(void)
{
	return no_file() && (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0 || strict_filter());
}

/* What is not in the list fails with EPERM: a library that tries something else can go on without.  */
bool sandbox_stream(pid_t child)
{
#ifdef ARCHITECTURE
	static const unsigned short calls[] = {
		SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_recvfrom, SYS_sendto, SYS_recvmsg, SYS_sendmsg, SYS_shutdown, SYS_close, SYS_fcntl, SYS_ppoll,
		SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_futex, SYS_getrandom, SYS_getpid, SYS_gettid,
		SYS_rt_sigreturn, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_restart_syscall, SYS_setsockopt, SYS_wait4, SYS_waitid, SYS_exit, SYS_exit_group,
#ifdef SYS_clock_gettime
		SYS_clock_gettime, SYS_gettimeofday,
#endif
#ifdef SYS_poll
		SYS_poll, SYS_time,
#endif
#if __SIZEOF_LONG__ == 4
		SYS_mmap2, SYS_fcntl64,
#ifdef SYS_sigreturn
		SYS_sigreturn,
#endif
#ifdef SYS_clock_gettime64
		SYS_clock_gettime64, SYS_ppoll_time64, SYS_futex_time64,
#endif
#ifdef SYS_clock_gettime32
		SYS_clock_gettime32,    /* musl's name, and it has no other for the old one */
#endif
#endif
	};
	enum { CALLS = sizeof calls / sizeof *calls, NO_PID = 0x7fffffff };
	struct sock_filter code[4 + CALLS + SOCKETCALL + 5] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_filter *c = code + 4;
	for (unsigned i = 0; i < CALLS; i++) *c++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], (unsigned char)(CALLS - i + SOCKETCALL + 3), 0);
	socketcall_part(c, 4, 3);
	c += SOCKETCALL;
	*c++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 0, 2);
	*c++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT);
	*c++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, child > 0 ? (unsigned)child : NO_PID, 1, 0);
	*c++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	*c++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	return no_file() && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
#else
	(void)child;
	return no_file();
#endif
}

/* What root could still do with its name alone, without a file: a socket of the system trusts uid 0, and so does fork.  No need of it is left; what stays is
 * to act on files as somebody (setfsuid), which Landlock keeps beneath its directory.  85 microseconds, for root only.  */
static void forbid_root(void)
{
#ifdef ARCHITECTURE
	static const unsigned short calls[] = {
		SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_kill, SYS_tkill, SYS_tgkill, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
		SYS_clone, SYS_execve, SYS_execveat, SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_capset,
		SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_bpf, SYS_perf_event_open, SYS_keyctl, SYS_add_key, SYS_request_key,
		SYS_memfd_create, SYS_mq_open, SYS_userfaultfd, SYS_setpriority, SYS_reboot,
#ifdef SYS_fork
		SYS_fork, SYS_vfork,
#endif
#ifdef SYS_setuid32
		SYS_setuid32, SYS_setgid32, SYS_setreuid32, SYS_setregid32, SYS_setresuid32, SYS_setresgid32, SYS_setgroups32,
#endif
#ifdef SYS_clone3
		SYS_clone3,
#endif
#ifdef SYS_pidfd_send_signal
		SYS_pidfd_send_signal, SYS_io_uring_setup,
#endif
#ifdef SYS_pidfd_open
		SYS_pidfd_open,
#endif
	};
	enum { CALLS = sizeof calls / sizeof *calls, X32 = 0x40000000 };
	struct sock_filter code[5 + SOCKETCALL + CALLS + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, SOCKETCALL + CALLS + 1, 0),
	}, *list = code + 5 + SOCKETCALL;
	socketcall_part(code + 5, CALLS, CALLS + 1);
	for (unsigned i = 0; i < CALLS; i++) list[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], (unsigned char)(CALLS - i), 0);
	list[CALLS] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	list[CALLS + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
#endif
}

static bool allow_beneath(int rules, int fd)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = FS_MAILBOX, .parent_fd = fd };
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

void sandbox_beneath(int fd, int other)
{
	static const struct rlimit none = { 0, 0 };
	/* versions 4, 3 and 2 of the interface; the first would forbid the rename from tmp/ to new/ */
	static const struct { struct ruleset rules; size_t size; } most[] = {
		{ { FS_ALL | LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE, LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP }, sizeof (struct ruleset) },
		{ { FS_ALL | LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE, 0 }, sizeof (uint64_t) },
		{ { FS_ALL | LANDLOCK_ACCESS_FS_REFER, 0 }, sizeof (uint64_t) },
	};
	int rules = -1;
	setrlimit(RLIMIT_NPROC, &none);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (size_t i = 0; i < sizeof most / sizeof *most && rules < 0; i++) rules = make_ruleset(&most[i].rules, most[i].size);
	if (rules >= 0 && allow_beneath(rules, fd) && (other < 0 || allow_beneath(rules, other))) restrict_self(rules);
	if (getauxval(AT_EUID) == 0 && geteuid() == 0) forbid_root();  /* a writer is root no more, though it was */
}
