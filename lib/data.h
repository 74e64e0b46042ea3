/* The end-of-data machine: the octets of DATA or of a BDAT chunk in, the message out to a sink.  No I/O of its own.  */
#ifndef DATA_H
#define DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum newline {
	NL_STRICT,      /* a network: a bare CR, a bare LF or a NUL makes the message bad */
	NL_NORMALIZE,   /* a bare LF is stored as a line end, yet ends no data and starts no dotted line */
	NL_LENIENT,     /* a transcript: LF is as good as CRLF */
	NL_LOCAL,       /* a local file: as LENIENT, and every octet is taken */
	NL_SUBMIT,      /* the text of a program that sends mail: as LENIENT, and a bare CR becomes a space */
};

struct data {
	enum newline newline;
	bool dots;              /* DATA: take dots off and end at CRLF.CRLF; else BDAT or a file: all octets count */
	bool lf;                /* hand line ends on as LF, else as CRLF */
	void (*sink)(void *ctx, const char *s, size_t n);
	void *ctx;
	/* what was found */
	enum data_state { DATA_LINE, DATA_MIDDLE, DATA_CR, DATA_DOT, DATA_DOT_CR } state;
	bool bad;               /* bare CR, bare LF or NUL seen: the sink gets no more */
	uint64_t size;          /* octets of the message with CRLF line ends (RFC 1870 5) */
	uint64_t lines;
};

/* Feed n octets.  Returns how many were taken: all, or up to the end of data, which sets *end.  */
size_t data_feed(struct data *d, const char *s, size_t n, bool *end);

/* The last octet has been fed and no dot will come (BDAT LAST, end of a file): settle a pending CR.  */
void data_finish(struct data *d);

#endif
