/* A peer of the keeper: a program that it starts on one end of a socket pair, or a socket that it connects to.  */
#ifndef HELPER_H
#define HELPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct helper {
	int fd;         /* our end; -1: none */
	int other;      /* of a program that helper_start will start: its end; else -1 */
	pid_t pid;      /* 0: not a program of ours */
};
#define HELPER_NONE (struct helper){ .fd = -1, .other = -1 }

/* Connect to "unix:PATH" or "tcp:HOST:PORT" within `ms` milliseconds (at most half a minute), or make the pair for a program, if `where` is neither.  The
 * program's end can be written to before the program runs.  False after a line in the log.  */
bool helper_open(struct helper *h, const char *where, uint64_t ms);

/* A socket that is connected to an address within `ms` milliseconds (at most half a minute); -1 with errno.  `from` is the address of this host to do that from, as text,
 * "" for any: EAFNOSUPPORT if it is of another kind.  The socket keeps the time limit for writing (SO_SNDTIMEO).  */
int helper_connect(const struct sockaddr *addr, socklen_t len, const char *from, uint64_t ms);

/* Whether it is such a place, and not a program.  */
bool helper_is_socket(const char *where);

/* Start the program argv[0], if the helper is one: by its path, or, a name without a slash, from where beside() finds it.  Its end of the pair becomes
 * descriptor `at`: 0 stands for 0 and 1; with another number, 0 and 1 are /dev/null.  If it cannot be started there is a line in the log, and end of
 * file on the connection.  argv[0] is changed.  */
void helper_start(struct helper *h, char *argv[], char *const envp[], int at);

/* Close the connection and see the program end: by itself, for it reads end of file; else, after some seconds or `at_once`, by signals.  Then there is no
 * helper.  Returns the exit status of the program (0 if there was none), or 256 + the signal that ended it, or one of these.  */
enum { HELPER_SIGNAL = 256, HELPER_ENDED = 1000 /* by a signal of ours */, HELPER_STUCK };
int helper_close(struct helper *h, bool at_once);

/* What such a status means, in words: "the program ended with status 1".  */
enum { HELPER_WHY = 64 };
void helper_why(int status, char why[HELPER_WHY]);

#endif
