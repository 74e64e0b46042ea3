/* TLS on one side, plain text on the other, until both have ended.  */
#ifndef STREAM_H
#define STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

struct stream {
	SSL *ssl;
	int raw, plain;         /* descriptors: the peer's connection, and that of the program on this side */
	uint64_t end;           /* of the session, by millis() */
	unsigned patience;      /* milliseconds that the peer may take for what we have for it */
};

/* The last reason that OpenSSL gives, as text.  */
const char *tls_reason(void);

/* Shake hands by `deadline` (millis()), as the side that SSL_set_accept_state or SSL_set_connect_state has made of `ssl`.  False when it has
 * failed: tls_reason() tells why, *late that it was the time.  */
bool stream_handshake(struct stream *s, uint64_t deadline, bool *late);

/* Carry octets both ways.  A side that has said its last word is told to the other; ends when both have, or when the plain side is gone and its words are
 * through, or a time limit has passed.  */
void stream_run(struct stream *s);

#endif
