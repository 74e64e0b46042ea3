/* Delivery status notifications: what became of a message, told to who sent it (RFC 3461-3464, RFC 6522; RFC 6533 beyond ASCII).
 * Everything foreign in one (replies, addresses, ORCPT, ENVID, the message) is hostile: none of it can make a field, a part or a line.  */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum report_action { REPORT_FAILED, REPORT_DELAYED, REPORT_DELIVERED, REPORT_RELAYED, REPORT_EXPANDED };

struct report_rcpt {
	const char *rcpt;       /* the address mail was for (Final-Recipient), no brackets */
	const char *orcpt;      /* ORCPT= as it came, "rfc822;xtext" or "utf-8;..."; "" for none */
	enum report_action action;
	const char *status;     /* "5.1.1": enhanced code; anything else is told as X.0.0 */
	const char *host;       /* the remote MTA that said it; "" if nobody did (DNS trouble, time-out) */
	const char *text;       /* a reply of the remote ("550 5.1.1 no such user", lines parted by LF), or our own words; "" for nothing */
	bool said;              /* text is a reply of the remote: Diagnostic-Code: smtp; else x-smtp-handler */
	time_t last;            /* last attempt; 0 unknown */
};

struct report {
	const char *hostname;   /* ours: Reporting-MTA: dns; */
	const char *to;         /* the sender of the original, to whom this goes; never "" */
	const char *sender;     /* NULL: `to`.  Else who could not be told, "" for nobody: this goes to who looks after the mail here, and says so */
	const char *id;         /* of the message in our queue and logs */
	const char *envid;      /* ENVID= as it came (xtext); "" for none */
	time_t arrived, now, until;     /* until: when we give up (delayed ones tell it); 0 unknown */
	bool full;              /* RET=FULL: the whole message comes with it if it failed for anybody, else its header alone (RFC 3461 4.3) */
	bool utf8;              /* addresses or header beyond ASCII: message/global-delivery-status, message/global(-headers), utf-8 typed addresses */
	int message;            /* the original, LF line ends, read by pread from offset 0; -1: not there any more, and the third part is left out */
	uint64_t size, most;    /* its octets; over `most` the header alone comes even with RET=FULL, and it says so */
	enum report_extent { REPORT_ALL, REPORT_BRIEF, REPORT_BRIEFEST } extent;
	size_t count;           /* at least 1 */
	const struct report_rcpt *rcpt;
};

/* How much of it, for who takes no large mail: BRIEF leaves out the message but for its header, and of more than REPORT_IN_FULL recipients all but address, action and
 * status; BRIEFEST leaves those out but for their number, and of the header all behind its first 8 KiB.  */
enum { REPORT_IN_FULL = 10 };

/* Compose it, CRLF line ends, in pieces to write(), whose errors are the caller's to keep in ctx.  Nothing is allocated; the message is read
 * twice.  The same report is another one each time (Message-ID, boundary).  Of the message in it only what mail cannot carry is changed: NUL
 * is "?", a bare CR a space, and lines are cut at 998 octets.
 * False, with errno, if the message could not be read, or ends within what is told of it (EIO), or there are no random numbers;
 * what was written then is of no use.  */
bool report_write(const struct report *r, void (*write)(void *ctx, const char *p, size_t n), void *ctx);

/* What its transport must be able to do, to be said in MAIL: nothing, BODY=8BITMIME, or SMTPUTF8 too, which takes an address beyond ASCII of
 * who gets it: what is inside of message/global needs eight bits and no more (RFC 6533 lets it be encoded even for seven).  The message is read
 * for it; that it cannot be is for report_write() to tell.  */
enum report_needs { REPORT_7BIT, REPORT_8BITMIME, REPORT_SMTPUTF8 };
enum report_needs report_needs(const struct report *r);

#endif
