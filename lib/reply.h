/* Replies: the constant ones in one table, and those of a next hop once they have proved to be replies.  */
#ifndef REPLY_H
#define REPLY_H

#include "line.h"

/* One reply.  `text` may have several lines, parted by LF; every line goes out with code and status.  status "" means that
 * this reply has no enhanced code (RFC 2034 3: greeting and hello).  */
struct reply {
	int code;
	const char *status;     /* RFC 3463 */
	const char *text;
};

/* name, code, enhanced code, text */
#define REPLIES(X) \
	X(FLUSHED, 250, "2.0.0", "Ok") \
	X(SENDER_OK, 250, "2.1.0", "Sender ok") \
	X(RCPT_OK, 250, "2.1.5", "Recipient ok") \
	X(CHUNK_OK, 250, "2.0.0", "Chunk ok") \
	X(BYE, 221, "2.0.0", "Bye") \
	X(TLS_READY, 220, "2.0.0", "Ready to start TLS") \
	X(AUTH_OK, 235, "2.7.0", "Authentication successful") \
	X(GO_AHEAD, 354, "", "End data with <CRLF>.<CRLF>") \
	X(IS_A_LIST, 252, "2.1.5", "This is a list, EXPN tells its members") \
	X(UTF8_ANSWER, 252, "2.6.8", "The answer cannot be told without SMTPUTF8") \
	X(LONG_LIST, 252, "2.1.5", "This list is too long to be told") \
	X(CANNOT_VRFY, 252, "2.0.0", "Send some mail and see") \
	X(TIMEOUT, 421, "4.4.2", "Timeout") \
	X(STOPPING, 421, "4.3.2", "Shutting down, try again soon") \
	X(TOO_MANY_ERRORS, 421, "4.7.0", "Too many errors") \
	X(TOO_MANY_REFUSED, 421, "4.7.0", "Too many refused recipients") \
	X(TOO_MANY_AUTH, 421, "4.7.0", "Too many failed authentications") \
	X(NOT_PROXY, 421, "4.7.0", "A proxy header is not taken from here") \
	X(BAD_PROXY, 421, "4.7.0", "Expected a proxy header") \
	X(NOT_HTTP, 421, "4.7.0", "This is a mail server") \
	X(CANNOT_SERVE, 421, "4.3.0", "Cannot serve now, try again later") \
	X(BAD_CONFIG, 421, "4.3.5", "Server is not configured properly, try again later") \
	X(LOCAL_ERROR, 451, "4.3.0", "Local trouble, try again later") \
	X(MISCONFIGURED, 451, "4.3.5", "Mail system is not configured properly, try again later") \
	X(MAILBOX_TROUBLE, 451, "4.2.0", "Trouble with the mailbox, try again later") \
	X(ON_HOLD, 450, "4.2.1", "Mailbox is being worked on, try again later") \
	X(BAD_ALIAS, 451, "4.2.4", "Trouble with an alias or forwarding, try again later") \
	X(HOME_TROUBLE, 451, "4.2.0", "Trouble with the home directory, try again later") \
	X(AGENT_TROUBLE, 451, "4.3.0", "Trouble with the delivery program, try again later") \
	X(ALONE, 452, "4.5.3", "Send this recipient in another transaction") \
	X(DISK_FULL, 452, "4.3.1", "No space left, try again later") \
	X(NO_TLS, 454, "4.7.0", "TLS is not available now") \
	X(NO_AUTH, 454, "4.7.0", "Authentication is not available now") \
	X(QUOTA, 452, "4.2.2", "Mailbox is full") \
	X(TOO_MANY_RCPT, 452, "4.5.3", "Too many recipients, send the rest in another transaction") \
	X(UNKNOWN_VERB, 500, "5.5.1", "Unknown command") \
	X(LINE_TOO_LONG, 500, "5.5.6", "Line too long") \
	X(BARE_LF_LINE, 500, "5.5.2", "A line ends with CRLF, not with a bare LF") \
	X(CONTROL_IN_LINE, 500, "5.5.2", "Control characters in a command") \
	X(NO_ARGUMENT, 501, "5.5.4", "This command takes no argument") \
	X(WANTS_ARGUMENT, 501, "5.5.4", "This command wants an argument") \
	X(BAD_HELLO, 501, "5.5.4", "This is no host name or address literal") \
	X(BAD_SENDER, 501, "5.1.7", "Bad sender syntax, expected MAIL FROM:<address>") \
	X(BAD_RCPT, 501, "5.1.3", "Bad recipient syntax, expected RCPT TO:<address>") \
	X(BAD_SENDER_ARGUMENT, 553, "5.1.7", "This sender cannot stand in a header") \
	X(NOT_YOURS, 553, "5.7.1", "This sender address is not yours") \
	X(BAD_PARAMETER, 501, "5.5.4", "Bad parameter") \
	X(BAD_CHUNK, 501, "5.5.4", "Expected BDAT size [LAST]") \
	X(BEHIND_STARTTLS, 501, "5.5.1", "Nothing may follow STARTTLS before the answer") \
	X(AUTH_CANCELLED, 501, "5.7.0", "Authentication cancelled") \
	X(BAD_BASE64, 501, "5.5.2", "This is not base64") \
	X(BAD_SASL, 501, "5.5.2", "Malformed authentication message") \
	X(NOT_IMPLEMENTED, 502, "5.5.1", "Command not implemented") \
	X(NO_EXPN, 502, "5.5.1", "EXPN is turned off") \
	X(WANTS_HELLO, 503, "5.5.1", "Say hello first") \
	X(WANTS_MAIL, 503, "5.5.1", "Need MAIL first") \
	X(WANTS_RCPT, 503, "5.5.1", "Need a valid RCPT first") \
	X(SECOND_MAIL, 503, "5.5.1", "Sender already given") \
	X(IN_CHUNKS, 503, "5.5.1", "Message has begun with BDAT, go on with BDAT or RSET") \
	X(TLS_ALREADY, 503, "5.5.1", "TLS is on already") \
	X(AUTH_ALREADY, 503, "5.5.1", "Already authenticated") \
	X(AUTH_INSIDE, 503, "5.5.1", "Not within a transaction") \
	X(NO_MECHANISM, 504, "5.5.4", "No such authentication mechanism here") \
	X(TLS_FIRST, 530, "5.7.0", "Must issue a STARTTLS command first") \
	X(AUTH_FIRST, 530, "5.7.0", "Authentication required") \
	X(AUTH_REFUSED, 535, "5.7.8", "Authentication failed") \
	X(AUTH_WANTS_TLS, 538, "5.7.11", "Encryption is required for this") \
	X(NO_MAILBOX, 550, "5.1.1", "No such mailbox here") \
	X(NO_QUEUE, 550, "5.1.2", "Leads to another host, and no mail is sent from here") \
	X(NO_PROGRAMS, 550, "5.7.1", "Leads to a program or file, which is not allowed here") \
	X(AGENT_NO_USER, 550, "5.1.1", "The delivery program knows no such mailbox") \
	X(AGENT_DENIED, 550, "5.7.1", "Refused by the mailbox") \
	X(AGENT_DATA, 554, "5.6.0", "The delivery program cannot store this message") \
	X(ALIAS_LOOP, 554, "5.4.6", "Alias or forwarding loop") \
	X(NOT_A_LIST, 550, "5.1.1", "This is a mailbox, not a list") \
	X(RELAY_DENIED, 550, "5.7.1", "Mail for that domain is not taken here") \
	X(NO_SMTPUTF8, 550, "5.6.7", "The next hop does not take internationalized mail") \
	X(NOT_LOCAL, 551, "5.7.1", "That domain is not local here") \
	X(QUOTA_HARD, 552, "5.2.2", "Mailbox is full") \
	X(TOO_BIG, 552, "5.3.4", "Message is larger than the limit") \
	X(UTF8_ADDRESS, 553, "5.6.7", "An address like this needs SMTPUTF8") \
	X(BAD_NEWLINE, 554, "5.6.0", "Message holds a bare CR, a bare LF or a NUL") \
	X(LOOP, 554, "5.4.6", "Mail loop: too many hops") \
	X(DELIVERED_BEFORE, 554, "5.4.6", "Mail loop: was delivered to this mailbox before") \
	X(UNKNOWN_PARAMETER, 555, "5.5.4", "Unknown parameter")

enum {
#define X(name, code, status, text) R_##name,
	REPLIES(X)
#undef X
	REPLY_COUNT
};
extern const struct reply reply_table[REPLY_COUNT];
#define REPLY(name) (&reply_table[R_##name])

/* A reply read from a next hop, with room of its own; longer texts are cut.  */
struct reply_text {
	struct reply reply;
	char status[12], text[2048];
};

/* Read one reply, of any number of lines, of which each must be "CODE[ -]text" (RFC 5321 4.2); where their codes differ the last one's counts,
 * and of a line of more than 4096 octets its start.  Control octets become "?", and if not `utf8` those beyond ASCII.  Its enhanced code is taken off the text, or made
 * from the class.  Anything else is IO_BAD_EOL.  */
enum io_result reply_read(struct io *io, unsigned ms, bool utf8, struct reply_text *r);

/* Put a reply out, a line for each line of its text, none longer than 512 octets.  */
void reply_put(struct io *io, const struct reply *r);

/* Write a reply past all buffers, for a process that has no dialogue.  Best effort.  */
void reply_write(int fd, const struct reply *r);

#endif
