/* The walls around each process.  Where the kernel has no Landlock, that one is missing and nothing else changes.  */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

/* No new privileges, no file right at all, and from then on only read, write, exit and the return from a signal handler
 * (SECCOMP_MODE_STRICT, or a filter that leaves as much).  False if the kernel refuses: then the caller must not go on.  */
bool sandbox_speaker(void);

/* No new privileges, and no file can be written, made or removed from now on; what is open stays so.  For who has to look names up and to connect.  */
void sandbox_read_only(void);

/* No new privileges, no new process, no TCP, and files only beneath these directories (-1: none): read, write, make, remove, and rename between
 * directories.  (So there will be no core file either.)  Root, moreover, can make no socket, signal nobody, run nothing and become nobody.  */
void sandbox_beneath(int fd, int other);

/* For who carries octets between two descriptors that are open, and computes: no file, no socket, no other process but the end of `child` (0: none) and a signal to
 * it.  False if the kernel refuses.  */
bool sandbox_stream(pid_t child);

#endif
