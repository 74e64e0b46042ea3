/* Who is at the other end, and what the session is called.  */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>

enum { PEER_SIZE = 64, ID_SIZE = 40 };

/* The peer's address as text, IPv4-mapped addresses as IPv4: of the socket on descriptor 0, else $REMOTE_ADDR (systemd), else
 * $TCPREMOTEIP (UCSPI), else "local".  */
void peer_find(char out[PEER_SIZE]);

/* systemd's $INVOCATION_ID when it names this very process ($SYSTEMD_EXEC_PID), so that the journal finds the session of a stored
 * message; else random.  */
void peer_session_id(char out[ID_SIZE]);

#endif
