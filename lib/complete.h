/* Date: and Message-ID: for a message that has none, as a submission server may add them (RFC 6409 8).  All other octets pass as they are.  */
#ifndef COMPLETE_H
#define COMPLETE_H

#include <stdbool.h>
#include <stddef.h>

enum { COMPLETE_HELD = 100 };   /* no name of a header field that concerns us, and few of all, are longer */

struct complete {
	void (*write)(void *ctx, const char *p, size_t n);
	void *ctx;
	const char *date, *id;          /* the values: "Thu, 26 Nov 2026 ...", "<id@host>"; to live until the header is over */
	bool over;                      /* the header is */
	bool within;                    /* a line whose name is known, or that goes on with the one before */
	bool started, has_date, has_id;
	size_t len;
	char held[COMPLETE_HELD];       /* the beginning of a line */
};

/* Feed octets with CRLF line ends, which no two calls part; they and what is missing go to c->write.  The caller has zeroed c and set the first four.  */
void complete_feed(struct complete *c, const char *p, size_t n);

/* The message is over: if all of it was header, what is missing comes here.  */
void complete_finish(struct complete *c);

#endif
