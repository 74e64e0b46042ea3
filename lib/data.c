/* The dot machine (RFC 5321 4.5.2) and its brother for BDAT.  P4: only CRLF.CRLF ends data, and a bare CR or LF never
 * becomes a line start.  What is good goes to the sink in spans as long as the input allows; octets that do not belong to the
 * message (a dot, and the CR where LF is wanted) are cut out between spans.
 * SPDX-License-Identifier: MIT */
#include "data.h"

#include <string.h>

/* The first octet that is NUL, LF, CR or another control below them, or stop.  One pass, 16 octets at a time; memchr would take three, and
 * musl's takes its time.  */
static const char *skip_text(const char *p, const char *stop)
{
	typedef unsigned char block __attribute__((vector_size(16)));
	typedef unsigned long long half __attribute__((vector_size(16)));
	for (block b; stop - p >= (ptrdiff_t)sizeof b; p += sizeof b) {
		memcpy(&b, p, sizeof b);
		half low = (half)(b <= '\r');
		if (low[0] | low[1]) break;
	}
	while (p < stop && (unsigned char)*p > '\r') p++;
	return p;
}

static void emit(struct data *d, const char *from, const char *to)
{
	size_t n = (size_t)(to - from);
	if (n == 0) return;
	d->size += n;
	if (!d->bad) d->sink(d->ctx, from, n);
}

/* Hand on a line end that is not in the input as it is wanted.  */
static void emit_eol(struct data *d)
{
	d->lines++;
	d->size += 2;
	if (!d->bad) d->sink(d->ctx, d->lf ? "\n" : "\r\n", d->lf ? 1 : 2);
}

static void bare_cr(struct data *d)
{
	static const char cr[] = "\r", space[] = " ";
	if (d->newline == NL_LOCAL) emit(d, cr, cr + 1);
	else if (d->newline == NL_SUBMIT) emit(d, space, space + 1);
	else d->bad = true;
}

/* A LF without CR, in mid-line.  */
static void bare_lf(struct data *d)
{
	if (d->newline == NL_STRICT) d->bad = true;
	else emit_eol(d);
	d->state = d->newline >= NL_LENIENT ? DATA_LINE : DATA_MIDDLE;
}

/* Text up to the next line end, [from, p) being accepted and not yet emitted.  Returns the new p; *from moves when a
 * span was cut.  */
static const char *middle(struct data *d, const char **from, const char *p, const char *stop)
{
	const char *cr = skip_text(p, stop);
	if (cr == stop) return stop;
	if (*cr == '\n') {
		emit(d, *from, cr);
		bare_lf(d);
		return *from = cr + 1;
	}
	if (*cr != '\r') {
		d->bad |= *cr == '\0' && d->newline != NL_LOCAL;
		return cr + 1;
	}
	if (cr + 1 < stop && cr[1] == '\n') {           /* the usual case: the CRLF stays within the span */
		d->lines++;
		d->state = DATA_LINE;
		if (d->lf) {
			emit(d, *from, cr);
			*from = cr + 1;
			d->size++;
		}
		return cr + 2;
	}
	emit(d, *from, cr);
	d->state = DATA_CR;
	return *from = cr + 1;
}

size_t data_feed(struct data *d, const char *s, size_t n, bool *end)
{
	const char *p = s, *from = s, *stop = s + n;
	*end = false;
	while (p < stop) {
		switch (d->state) {
		case DATA_LINE:
			d->state = DATA_MIDDLE;
			if (!d->dots || *p != '.') break;
			emit(d, from, p);
			from = ++p;
			d->state = DATA_DOT;
			break;
		case DATA_MIDDLE:
			p = middle(d, &from, p, stop);
			break;
		case DATA_CR:
			d->state = DATA_MIDDLE;
			if (*p != '\n') {
				bare_cr(d);
				break;
			}
			emit_eol(d);
			d->state = DATA_LINE;
			from = ++p;
			break;
		case DATA_DOT:
			d->state = DATA_MIDDLE;
			if (*p == '\r') {
				d->state = DATA_DOT_CR;
				from = ++p;
			} else if (*p == '\n' && d->newline >= NL_LENIENT) {
				*end = true;
			}
			break;
		case DATA_DOT_CR:
			d->state = DATA_MIDDLE;
			if (*p == '\n') *end = true;
			else bare_cr(d);
			break;
		}
		if (*end) {
			d->state = DATA_LINE;
			return (size_t)(p + 1 - s);
		}
	}
	emit(d, from, p);
	return n;
}

void data_finish(struct data *d)
{
	if (d->state == DATA_CR) bare_cr(d);
	d->state = DATA_LINE;
}
