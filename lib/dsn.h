/* The parameters of delivery status notifications, in MAIL and RCPT (RFC 3461 4).  */
#ifndef DSN_H
#define DSN_H

#include <stdbool.h>

enum { DSN_ENVID = 100, DSN_ORCPT = 500 };      /* octets, as they are written */

/* NOTIFY=; none of them: it was not given.  */
enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

struct dsn_mail {
	char ret;               /* 'F' (FULL), 'H' (HDRS), NUL */
	char envid[DSN_ENVID + 1];      /* xtext, as it came */
};

struct dsn_rcpt {
	unsigned notify;
	char orcpt[DSN_ORCPT + 1];      /* "type;address", as it came; "" for none */
};

/* Each takes one value; false if it breaks the grammar or a limit.  */
bool dsn_ret(struct dsn_mail *d, const char *value);
bool dsn_envid(struct dsn_mail *d, const char *value);
bool dsn_notify(struct dsn_rcpt *d, const char *value);
bool dsn_orcpt(struct dsn_rcpt *d, const char *value, bool utf8);      /* utf8: in a transaction with SMTPUTF8, where "utf-8;" may have octets above 127 (RFC 6533 3) */

/* The same in seven bits, each character above 127 as \x{HEX} (utf-8-addr-xtext); false if there is no room for it.  */
bool dsn_orcpt_ascii(char out[DSN_ORCPT + 1], const char *orcpt);
/* ORCPT= for an address (valid UTF-8) that mail was for, in seven bits; none if there is no room for it.  */
void dsn_orcpt_from(struct dsn_rcpt *d, const char *address);

/* What two wish together: all that either does; NEVER only if both do.  0 stands for failures and delays.  */
unsigned dsn_notify_both(unsigned a, unsigned b);

/* " NOTIFY=..." for a command; "" if none was given.  */
enum { DSN_NOTIFY = 40 };
void dsn_notify_text(char out[DSN_NOTIFY], unsigned notify);

#endif
