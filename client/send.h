/* smtp-client --send: one message to where its recipients' mail is taken.  */
#ifndef SEND_H
#define SEND_H

#include "config.h"

/* Everything behind the program's own options; `argv[0]` is the program.  Prints a line for each recipient, in their order: "CODE STATUS HOST TEXT".  Returns an exit status: 0
 * when each has an answer, 69 when no server could be reached, 75 when some have none.  */
int send_main(struct config *cf, int argc, char **argv);

#endif
