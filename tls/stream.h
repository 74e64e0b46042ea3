/* TLS on one side, plain text on the other, until both have ended.  */
#ifndef STREAM_H
#define STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

struct stream {
	SSL *ssl;
	int raw, plain;         /* descriptors: the client's connection, and the program's */
	uint64_t end;           /* of the session, by millis() */
	unsigned patience;      /* milliseconds that the client may take for what we have for it */
};

/* Shake hands by `deadline` (millis()).  False when it has failed: tls_reason() tells why, *late that it was the time.  */
bool stream_handshake(struct stream *s, uint64_t deadline, bool *late);

/* Carry octets both ways.  A side that has said its last word is told to the other; ends when both have, or when the plain side is gone and its words are
 * through, or a time limit has passed.  */
void stream_run(struct stream *s);

#endif
