/* An order: arguments and an open file, from smtp-queue to an smtp-client that it started, one after the other over a Unix socket.  As execve's, but again and again, and
 * without its limit.  */
#ifndef ORDER_H
#define ORDER_H

#include <stdbool.h>

enum { ORDER_ARGUMENTS = 1 << 17, ORDER_OCTETS = 1 << 25 };    /* most of one: an entry of the queue has fewer */

struct order {
	int argc, file;
	char **argv;            /* argv[argc] is NULL; points into the same memory, which is order_free's */
};

/* Send one: arguments up to NULL, argv[0] too, and the descriptor `file`.  False with errno if the other side does not take it.  */
bool order_send(int fd, char *const argv[], int file);

/* Receive one.  False at the end of the connection, or if what comes is none.  To be freed, and its file closed, with order_free.  */
bool order_receive(int fd, struct order *o);
void order_free(struct order *o);

#endif
