/* Names in their one form for comparison, beyond ASCII too (RFC 5890, 6530): by libidn2 and libunistring.  */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>

#include "address.h"

enum { NAME_LOCAL = 4 * LOCAL_MAX };    /* folding may lengthen it */

/* A domain in lower case and A-labels (xn--).  Plain ASCII takes no library.  False, and "" in out, for what no domain can be:
 * a broken A-label, code points that IDNA does not allow, too long.  Address literals are lower-cased.  */
bool names_domain(char out[DOMAIN_MAX + 1], const char *domain);

/* The same domain in U-labels, UTF-8, from its A-labels; false when there are none in it, or it does not fit.  */
bool names_unicode(char out[DOMAIN_MAX + 1], const char *domain);

/* A local part (without quotes, as struct path has it) in NFC and lower case.  False when it is no UTF-8 or too long.  */
bool names_local(char out[NAME_LOCAL + 1], const char *local);

#endif
