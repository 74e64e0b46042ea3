/* Who is at the other end, and what the session is called.  */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>

enum { PEER_SIZE = 64, ID_SIZE = 40 };

/* An address as text in the form that peer_find gives.  False if `text` is none.  */
bool peer_parse(char out[PEER_SIZE], const char *text);

/* The peer's address as text, IPv4-mapped addresses as IPv4: of the socket on descriptor 0, else $REMOTE_ADDR (systemd), else
 * $TCPREMOTEIP (UCSPI), else "local".  True if descriptor 0 is a socket.  */
bool peer_find(char out[PEER_SIZE]);

/* systemd's $INVOCATION_ID when it names this very process ($SYSTEMD_EXEC_PID), so that the journal finds the session of a stored
 * message; else made of the time in microseconds and the process, 18 or more hexadecimal digits.  */
void peer_session_id(char out[ID_SIZE]);

#endif
