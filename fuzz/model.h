/* What lines and messages are, in the plainest words: over the whole input, without state, without pieces.  Independent of lib/.
 * SPDX-License-Identifier: MIT */
#ifndef MODEL_H
#define MODEL_H

#include "data.h"
#include "line.h"

/* The place of `what` in s[at..n), or n.  */
static inline size_t model_find(const char *s, size_t at, size_t n, const char *what)
{
	const char *p = at < n ? memmem(s + at, n - at, what, strlen(what)) : NULL;
	return p ? (size_t)(p - s) : n;
}

/* The command line at *at: its text is s[*from..*from + *len).  Of a line that is refused, all is skipped up to a true line end.  */
static inline enum io_result model_line(const char *s, size_t n, size_t max, bool strict, size_t *at, size_t *from, size_t *len)
{
	const char *eol = strict ? "\r\n" : "\n";
	size_t start = *at, lf = model_find(s, start, n, "\n");
	if ((lf == n ? n : lf + 1) - start > max) {
		size_t e = model_find(s, start, n, eol);
		*at = e == n ? n : e + strlen(eol);
		return IO_TOO_LONG;
	}
	if (lf == n) return IO_END;
	bool cr = lf > start && s[lf - 1] == '\r';
	if (strict && !cr) {
		size_t e = model_find(s, lf + 1, n, eol);
		*at = e == n ? n : e + 2;
		return IO_BAD_EOL;
	}
	*from = start;
	*len = lf - start - (cr ? 1 : 0);
	*at = lf + 1;
	return IO_OK;
}

struct message {
	char *out;              /* the caller's; room for twice the input */
	size_t n;
	bool bad, end;
	size_t taken, lines, size;
};

static inline void model_eol(struct message *m, bool lf)
{
	if (!lf) m->out[m->n++] = '\r';
	m->out[m->n++] = '\n';
	m->lines++;
	m->size += 2;
}

/* The octets of one line, without its dot and its end.  */
static inline void model_text(struct message *m, enum newline newline, bool lf, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool wrong = s[i] == '\r' || s[i] == '\n' || s[i] == '\0';
		if (s[i] == '\n' && newline == NL_NORMALIZE) {
			model_eol(m, lf);
		} else if (s[i] == '\r' && newline == NL_SUBMIT) {
			m->out[m->n++] = ' ';
			m->size++;
		} else if (wrong && newline != NL_LOCAL) {
			m->bad = true;
		} else {
			m->out[m->n++] = s[i];
			m->size++;
		}
	}
}

/* A message, by DATA (`dots`) or by chunks.  A line ends at CRLF, in the two modes for what does not come from a network at LF with or
 * without CR; DATA ends at the first line that is a dot; a dot at the start of a line is dropped.  What then is left of CR, LF and
 * NUL within lines is bad.  */
static inline struct message model_message(enum newline newline, bool dots, bool lf, const char *s, size_t n, char *out)
{
	struct message m = { .out = out };
	bool lenient = newline >= NL_LENIENT;
	for (size_t at = 0; at < n;) {
		size_t e = model_find(s, at, n, lenient ? "\n" : "\r\n"), next = e == n ? n : e + (lenient ? 1 : 2), text_end = e;
		if (lenient && e < n && e > at && s[e - 1] == '\r') text_end--;
		m.taken = next;
		if (dots && e < n && text_end == at + 1 && s[at] == '.') {
			m.end = true;
			return m;
		}
		if (e == n && dots && s[n - 1] == '\r') text_end--;     /* what that is will be known with the next octet */
		if (dots && s[at] == '.') at++;
		if (text_end > at) model_text(&m, newline, lf, s + at, text_end - at);
		if (e < n) model_eol(&m, lf);
		at = next;
	}
	return m;
}

#endif
