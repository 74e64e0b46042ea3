/* What smtp-tls gives up, and when.  */
#ifndef WALLS_H
#define WALLS_H

#include <stdbool.h>
#include <sys/types.h>

/* Before anything is read from the network: no core dump and no debugger, no new privileges; as root, the user smtp-tls (nobody, where there is none).  The right to
 * read files that are root's is kept, if we have it.  False after a line in the log.  */
bool walls_first(void);

/* Once the certificate is chosen: no right at all.  `child` is the program that we started, 0 for none.  False after a line in the log.  */
bool walls_last(bool sandbox, pid_t child);

#endif
