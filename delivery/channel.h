/* Messages between the processes of maildir-deliver: whole ones, over a socket pair that keeps their borders, with descriptors where needed.  */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { CHANNEL_PIECE = 32768, CHANNEL_MOST = CHANNEL_PIECE + 8, CHANNEL_FDS = 3 };  /* octets, that surely fit into a socket's buffer, and descriptors of a message */

/* A pair of ends; the first waits at most `ms` milliseconds for the other (0: as long as it takes).  False with errno.  */
bool channel_pair(int pair[2], unsigned ms);

/* Send one message: n octets, and the descriptors in fds up to the first that is negative (NULL: none).  False when it does not get through.  */
bool channel_send(int channel, const void *message, size_t n, const int fds[CHANNEL_FDS]);

/* Receive one message of at most n octets.  Its length, 0 at the end, -1 for a failure or a time limit.  Descriptors go to fds, -1 where
 * there is none; those that nobody asked for (NULL) are closed.  */
ssize_t channel_receive(int channel, void *message, size_t n, int fds[CHANNEL_FDS]);

/* Send what the regular file `fd` holds, or an error, an errno.  */
bool channel_send_file(int channel, int fd, int error);

/* Receive it: text with a NUL, in memory for the caller to free.  NULL with errno; EFBIG for more than `most` octets.  */
char *channel_receive_file(int channel, size_t most);

/* As many descriptors as we may have, at the latest when there are many.  The number of them.  */
size_t channel_raise_limit(void);

#endif
