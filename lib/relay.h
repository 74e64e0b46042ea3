/* A dialogue between standard input and output and a connection.  */
#ifndef RELAY_H
#define RELAY_H

#include <stddef.h>

/* What is done to the octets of one direction on their way.  `change` makes of the `n` octets at `in` those that go on, at `out`, where there is room for RELAY_GROWTH
 * times as many and RELAY_MORE, and returns how many these are.  At the end it is called once more, with n = 0.  NULL: nothing is done.  */
enum { RELAY_GROWTH = 5, RELAY_MORE = 64 };
struct relay_change {
	size_t (*change)(void *ctx, char *out, const char *in, size_t n);
	void *ctx;
};

/* Carry standard input to the connected socket `fd`, and what comes back to standard output, until the other side closes.  The end of the input shuts the socket for
 * writing; from then on each answer may take `patience` milliseconds (-1: any time).  An input that cannot be sent any more is given up, as there may still be an answer.
 * Returns 0, or why it did not end so: EPIPE when nobody reads standard output, ETIMEDOUT, the error of the connection (ECONNRESET).  */
int relay(int fd, const struct relay_change *up, const struct relay_change *down, int patience);

#endif
