/* Code that an attacker would like to run in the speaker: VRFY NAME in the test build tries NAME.  If the kernel lets it, the outcome is
 * left where the test sees it: the process goes on and answers.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void speaker_hook(const char *what);
void speaker_hook(const char *what)
{
	char *const none[] = { NULL };
	if (strcmp(what, "open") == 0) open("/etc/passwd", O_RDONLY);
	else if (strcmp(what, "create") == 0) open("/tmp/escaped", O_CREAT | O_WRONLY, 0600);
	else if (strcmp(what, "socket") == 0) socket(AF_INET, SOCK_STREAM, 0);
	else if (strcmp(what, "execve") == 0) execve("/bin/true", none, none);
	else if (strcmp(what, "mmap") == 0) mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else if (strcmp(what, "kill") == 0) kill(getppid(), SIGKILL);
	else if (strcmp(what, "killgroup") == 0) syscall(SYS_kill, -1, 0);
	else if (strcmp(what, "ptrace") == 0) ptrace(PTRACE_ATTACH, 1, NULL, NULL);
	else if (strcmp(what, "fork") == 0) syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	else if (strcmp(what, "sendmsg") == 0) syscall(SYS_sendmsg, 1, NULL, 0);
	else if (strcmp(what, "clock") == 0) syscall(SYS_clock_gettime, CLOCK_REALTIME, NULL);
	else if (strcmp(what, "exit_group") == 0) _exit(0);
}
