/* smtp-client --send: one message to where its recipients' mail is taken.  */
#ifndef SEND_H
#define SEND_H

#include "config.h"

/* Everything behind the program's own options; `argv[0]` is the program.  Prints a line for each recipient: "CODE STATUS HOST TEXT", in their order; where it
 * is not, "# recipient N" before it says which it is.  Returns an exit status: 0
 * when each has an answer, 69 when no server could be reached, 75 when some have none.  */
int send_main(struct config *cf, int argc, char **argv);

/* For smtp-queue: orders (order.h) come on the socket that is standard input, each with such arguments and a message.  Its lines end with "# end", or, when no server could be
 * reached, "# nobody".  A connection is used again for the next one that goes to the same place.  Returns an exit status at the end of the orders, EX_USAGE at a wrong one.  */
int send_orders(struct config *cf);

#endif
