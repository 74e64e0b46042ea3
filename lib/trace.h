/* Trace headers: writing Received, and watching those of a message that passes (RFC 5321 4.4, 6.3).  */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum { TRACE_HOPS = 100 /* most Received lines, ours among them */, TRACE_DATE = 48, TRACE_RECEIVED = 2048 };

/* RFC 5322 3.3, in UTC.  (gmtime would open the time zone file, which the speaker may not.)  Writes at most TRACE_DATE octets.  */
void trace_date(char *out, time_t t);

struct received {
	const char *helo, *peer, *hostname, *with, *id;
	const char *rcpt;       /* the only recipient, or NULL */
	time_t date;
	const char *tls;        /* what stands in a comment behind the peer; "" or NULL for nothing */
};
/* The folded header with CRLF line ends.  Returns its length, less than TRACE_RECEIVED.  */
size_t trace_received(char *out, const struct received *r);

/* Calls `line` for each line of the header of the message that is fed, in pieces of any size, with LF or CRLF; folded lines come
 * as they are, with their leading blank; of a line longer than the buffer the start.  Stops at the empty line.  */
struct header {
	void (*line)(void *ctx, const char *s);
	void *ctx;
	bool over;
	size_t len;
	char text[1024];
};
void header_feed(struct header *h, const char *s, size_t n);

#endif
