/* What the files of a report share: its output, its fields, its first two parts.  */
#ifndef REPORT_PARTS_H
#define REPORT_PARTS_H

#include "report.h"

enum {
	OUT_WIDTH = 78,         /* RFC 5322 2.1.1: lines should not be longer */
	OUT_LONGEST = 998,      /* and must not */
	OUT_WORD = 900,         /* what has no blank is cut here, so that all in front of it has room in its line */
	OUT_TEXT = 4000,        /* most octets of a reply that are told */
};

struct out {
	void (*write)(void *ctx, const char *p, size_t n);
	void *ctx;
	bool utf8;              /* octets above 127 may stand in it; else they are "?" */
	size_t n, column;       /* column: octets in the current line */
	char buf[4096];
};

/* Octets of ours as they are; line ends are CRLF.  */
void out_bytes(struct out *o, const char *p, size_t n);
__attribute__((format(printf, 2, 3))) void out_format(struct out *o, const char *fmt, ...);     /* at most 1000 octets */
void out_flush(struct out *o);

/* Foreign text without any change of its blanks, as one word: a control character, or an octet that is not UTF-8, is "?".  */
void out_clean(struct out *o, const char *s);

bool beyond_ascii(const char *s);

/* Text as words, wrapped at OUT_WIDTH; `indent` (CRLF and blanks) starts each new line, and so does an LF in the text.  */
void out_words(struct out *o, const char *indent, const char *s);

/* Of ORCPT= ("rfc822;bob+40example.org") the address without its encoding; false for none, or another form.  *utf8: its type is "utf-8".  */
enum { ORCPT_MAX = 1024 };
bool report_orcpt(char out[ORCPT_MAX], bool *utf8, const char *orcpt);

/* What comes with a report of the original, as far as it is to be told.  */
struct original {
	bool whole;             /* all of it; else the header */
	bool too_large;         /* the whole was asked for */
	bool cut;               /* of a header without an end the start */
	bool high, odd;         /* octets above 127; what only an encoding can carry (NUL, bare CR, lines too long) */
	uint64_t end;           /* where it ends */
};

void report_text(struct out *o, const struct report *r, const struct original *original);       /* part 1, for people */
void report_status(struct out *o, const struct report *r);                                      /* part 2, for programs */

#endif
