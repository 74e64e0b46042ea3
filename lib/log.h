/* One line for each thing a tired administrator should know, to wherever the supervisor wants logs.  */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

/* What a session tells about itself.  The keeper gets this from the speaker: fixed size, trusted in nothing.  */
enum event_kind {
	EVENT_STORED,           /* a message was answered with 250 */
	EVENT_NOT_STORED,       /* a message was refused or put off after its data */
	EVENT_RCPT_REFUSED,
	EVENT_ENDED,            /* the connection; nrcpt are its recipients, message its messages, size its octets */
	EVENT_HOP_FAILED,
	EVENT_SPEAKER_KILLED,
	EVENT_BAD_CONFIG,
	EVENT_BAD_COMMAND,      /* rcpt is the line */
	EVENT_AUTH_FAILED,      /* from is the user, rcpt the mechanism */
	EVENT_SENT,             /* to another host: what became of rcpt, in an attempt; reply is "CODE STATUS HOST TEXT" */
	EVENT_DEFERRED,
	EVENT_FAILED,
	EVENT_GIVEN_UP,
	EVENT_REPORTED,         /* of the message to rcpt, its sender or who looks after the mail here; reply is the answer */
	EVENT_NOT_REPORTED,     /* that it failed for rcpt (and others, nrcpt of them), by the sender's own wish */
	EVENT_KINDS
};
struct event {
	uint32_t kind;
	uint32_t message;       /* the number of the message in the connection, 0 outside one */
	uint32_t nrcpt, errors;
	uint64_t size, millis;  /* millis: how long it took */
	char from[256], rcpt[256], reply[512], helo[256];
};

/* Find out where lines go: where $SMTP_LOG says (stderr, journal, syslog); to the journal when fd 2 is its stream (JOURNAL_STREAM); to
 * syslog when fd 2 is the peer, as 0 or 1 is (inetd, Exim), which then is closed there; else to fd 2, which is opened if it is not.  With LOG_STATUS, what stands on fd 2 is read by the
 * program that called us, and lines go there only if it is a terminal, or $SMTP_LOG says stderr.  LOG_FIELDS gives the journal structured
 * entries, by libsystemd; the others give it lines.  LOG_PASS is LOG_FIELDS, with libsystemd loaded at once, for all processes that are forked; and lines that go to a terminal
 * go to syslog too, where they are looked for later.  `id` and `peer` stand in every line;
 * both are kept, not copied.  Everything is logged until log_level says otherwise.  */
enum log_use { LOG_LINES, LOG_FIELDS, LOG_STATUS, LOG_PASS };
void log_open(const char *program, const char *id, const char *peer, enum log_use use);
void log_level(enum log_level level);

/* What became known of the peer in the course of the session, "" for what did not: stands in the lines of events from then on.  */
void log_about(const char *user, const char *tls);

/* "SMTP_LOG=...", what a child's environment needs to log to the same place without looking for it.  */
const char *log_environment(void);

/* One line.  Arguments from outside go through log_escape first.  */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *fmt, ...);

/* One line for people; in the journal also fields for programs.  */
void log_event(const struct event *e);

/* Copy with all but printable ASCII, and \ < >, as \xHH (P8).  Returns out.  */
char *log_escape(char *out, size_t size, const char *in);
/* The same for what stands between quotes, "..." (what a server said, above all): they, too, are escaped, so that nothing in it looks like the end of it.  */
char *log_quote(char *out, size_t size, const char *in);

#endif
