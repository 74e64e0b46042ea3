/* The messages of SASL that we read ourselves: base64 (RFC 4648), PLAIN (RFC 4616), and what a name and a password may be.  Pure functions.  */
#ifndef SASL_H
#define SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SASL_NAME_MAX = 255, SASL_PASSWORD_MAX = 1024 };         /* octets */

/* Decode the `n` octets at `in`: whole groups of four, padded, no other octet, and no bit set that would be lost.  Returns the length, -1 if it breaks a rule or
 * does not fit into `size`.  `out` may be NULL, to look only.  */
ssize_t base64_decode(char *out, size_t size, const char *in, size_t n);
bool base64_valid(const char *s);

/* A decoded response of PLAIN, `n` octets and a NUL behind them: "[authzid] NUL authcid NUL password".  To act for another (an authzid of another name) is not for
 * mail.  *user and *password point into msg.  */
bool sasl_plain(char *msg, size_t n, const char **user, const char **password);

/* UTF-8 of 1 to the most octets; a name without control characters.  `n` octets and a NUL behind them, none among them.  */
bool sasl_name_valid(const char *s, size_t n);
bool sasl_password_valid(const char *s, size_t n);

#endif
