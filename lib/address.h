/* Paths, mailboxes and parameters of MAIL and RCPT (RFC 5321 4.1.2, 4.1.3).  Reject first: what is not proved good is bad.  */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

enum {
	LOCAL_MAX = 64,         /* RFC 5321 4.5.3.1.1, counted as written */
	DOMAIN_MAX = 255,       /* 4.5.3.1.2 */
	PATH_MAX_LEN = 254,     /* 4.5.3.1.3: 256 with the brackets */
	LABEL_MAX = 63,
};

struct path {
	char text[PATH_MAX_LEN + 1];    /* the mailbox as it was written, without brackets and source route; "" is <> */
	char local[LOCAL_MAX + 1];      /* its local part with the quotes taken off */
	char domain[DOMAIN_MAX + 1];    /* "" for <> and <postmaster> */
	bool utf8;                      /* octets above 127 are in it: SMTPUTF8 is needed */
};

/* Parse "<path>" at *s; on success *s stands behind the ">".  Source routes are read and dropped (RFC 5321 C).  Octets above
 * 127 must be UTF-8.  False when it breaks the grammar or a limit; then *p is of no use.  */
bool path_parse(struct path *p, char **s);

/* Parse a mailbox without brackets that fills the whole of `text` (a setting, an argument).  "postmaster" needs no domain.  */
bool mailbox_parse(struct path *p, const char *text);

/* A domain or an address literal that fills the whole of `s`.  */
bool domain_valid(const char *s);

/* The argument of HELO and EHLO: an address literal, or a name of letters, digits and . - _ : [ ], for clients name themselves
 * oddly (RFC 5321 4.1.4: no reason to refuse) and none of those can break out of a header.  */
bool hello_valid(const char *s);

/* The next "keyword[=value]" of an esmtp parameter list at *s; both point into the line, which is cut up.  Returns 1,
 * 0 at the end, -1 for bad syntax.  *value is NULL when there is no "=".  */
int param_next(char **s, char **keyword, char **value);

/* Decimal digits only, 1 to 20 of them (RFC 1870 3).  A value past 64 bits is taken as the largest.  */
bool number_parse(const char *s, unsigned long long *n);

bool utf8_valid(const char *s);

/* Lower-case ASCII letters in place.  */
void fold(char *s);

#endif
