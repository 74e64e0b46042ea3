/* Code that an attacker would like to run in the speaker: VRFY NAME in the test build tries NAME.  If the kernel lets it, the outcome is
 * left where the test sees it: the process goes on and answers.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* To the keeper, of each length and each kind that has no answer: what no speaker of ours would say.  */
enum { CHANNEL = 4, ASK_HOP = 1, ASK_TIME };    /* the first descriptors after 0, 1 and 2 are the pair */
static void nonsense(void)
{
	enum { MOST = 2048 };
	static const uint32_t kinds[] = { EVENT_STORED, EVENT_NOT_STORED, EVENT_BAD_COMMAND, EVENT_KINDS, 99, ~0U };
	static const int lengths[] = { 0, 1, 3, 5, 8, 100, sizeof(struct event) - 1, sizeof(struct event), sizeof(struct event) + 1, MOST };
	static union { uint32_t words[MOST / 4]; char octets[MOST]; } message;
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
			for (int with = 0; with < 2; with++) {
				memset(&message, with ? 0xff : 'A', sizeof message);
				message.words[0] = kinds[k];
				if (write(CHANNEL, &message, (size_t)lengths[n]) < 0) return;
			}
		}
	}
	if (write(CHANNEL, &(uint32_t){ ~0U }, sizeof (uint32_t)) < 0) return;
}

/* Say that it has ended, and live on.  */
static void last_word(void)
{
	static const struct event e = { .kind = EVENT_ENDED };
	if (write(CHANNEL, &e, sizeof e) < 0) return;
}

/* Ask and ask, hear no answer, and end.  */
static void flood(uint32_t kind)
{
	enum { TIMES = 5000, PATIENCE = 5 };
	const uint32_t ask = kind;
	for (int i = 0, full = 0; i < TIMES && full < PATIENCE; i++)
		if (write(CHANNEL, &ask, sizeof ask) < 0) full++;
	syscall(SYS_exit, 0);
}

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
	else if (strcmp(what, "nonsense") == 0) nonsense();
	else if (strcmp(what, "last-word") == 0) last_word();
	else if (strcmp(what, "flood-time") == 0) flood(ASK_TIME);
	else if (strcmp(what, "flood-hop") == 0) flood(ASK_HOP);
	else if (strcmp(what, "spin") == 0) for (;;) continue;
}
