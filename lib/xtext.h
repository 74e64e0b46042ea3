/* xtext, the encoding of values in ESMTP parameters and in XCLIENT (RFC 3461 4).  */
#ifndef XTEXT_H
#define XTEXT_H

#include <stdbool.h>
#include <stddef.h>

/* In place.  False if it is not xtext, or stands for a control character.  Octets above 127 are left, as Postfix does.  */
bool xtext_decode(char *s);

/* False if there is no room.  */
bool xtext_encode(char *out, size_t size, const char *s);

#endif
