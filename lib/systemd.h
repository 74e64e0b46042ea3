/* What systemd gives and takes, through libsystemd, which is loaded when it is needed and not before (it costs more than the rest of
 * a connection).  A build without libsystemd does without the structured journal entries.  */
#ifndef SYSTEMD_H
#define SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>

/* The connection that the service manager passed as a descriptor (sd_listen_fds(3)): its number; -1 if there is none; -2 if
 * what was passed is not one connected stream socket.  */
int systemd_connection(void);

struct systemd_field { const char *name, *value; };

/* Load it now, for all processes that will be forked.  */
void systemd_load(void);

/* One entry with MESSAGE=text, PRIORITY= and the fields.  False when it could not be sent: then say it another way.  */
bool systemd_journal(int priority, const char *text, const struct systemd_field *fields, size_t n);

#endif
