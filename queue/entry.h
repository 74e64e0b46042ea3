/* An entry of the queue: the envelope of one message for one destination, in a file of netstrings; and the names that files in the queue have.
 *
 * queue_dir holds
 *   tmp/            what is being written
 *   message/KEY     the message, with LF line ends; one file, with a link for each of its entries
 *   new/NAME        entries that no pass has seen yet
 *   wait/NAME       entries with a next time
 *   hold/NAME       entries that are left alone
 *   host/HASH       a destination that does not answer, until the time of the file
 * KEY is ID-N, NAME is DUE.KEY.HASH: when it is due, which message, and a hash of where it goes, so that a pass opens nothing that it does not need.
 * An entry is changed in place alone: what a recipient has come to is one small write within its record.  */
#ifndef ENTRY_H
#define ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "address.h"
#include "dsn.h"

enum {
	ENTRY_NAME = 160,       /* room for a name */
	ENTRY_KEY = 100,
	ENTRY_TEXT = 320,       /* room for what is said of a recipient: "CODE STATUS HOST TEXT", cut */
	ENTRY_HEAD = 4096,      /* of header lines to put in front */
	ENTRY_RECIPIENTS = 10000,
	ENTRY_LARGEST = 16 << 20,
};

/* Of a recipient.  The first has something to be sent, the next four something to be reported to the sender.  */
enum entry_state {
	ENTRY_TODO = 'T', ENTRY_FAILED = 'F', ENTRY_DELIVERED = 'D', ENTRY_RELAYED = 'R', ENTRY_EXPANDED = 'E', ENTRY_SETTLED = 'S'
};

struct entry_rcpt {
	const char *address, *orcpt;    /* orcpt as it came, "" for none */
	unsigned notify;                /* dsn.h */
	enum entry_state state;
	time_t last;                    /* when the state or the text were last written; 0: never */
	char *text;                     /* of ENTRY_TEXT; "" if nothing was tried yet */
	off_t at;                       /* of the state in the file */
};

struct entry {
	char *file;                     /* all of it; what follows points into it */
	size_t size;
	const char *id;                 /* of the message */
	const char *sender, *destination;       /* destination: a domain or address literal, as the address has it, lower case */
	const char *envid, *head;       /* ENVID= as it came; header lines with LF to put in front */
	time_t arrived, seen;           /* seen: 0; or, where the clock was ahead when it arrived, when that was first noticed */
	uint64_t octets;                /* of the message, as SIZE= counts them */
	bool full, headers;             /* RET= */
	bool eightbit, utf8;
	bool warned;                    /* the sender was told of the delay */
	bool unwritten;                 /* an entry_mark has failed: the file tells less than the rest of this */
	unsigned attempts;
	off_t counts_at;
	size_t count, members;          /* recipients that there are, and that its head tells of: cut between two of them, it would else be taken for a whole one */
	struct entry_rcpt *rcpt;
};

/* Composing: a piece at a time, to `write`, which keeps its own errors.  */
struct entry_sink { void (*write)(void *ctx, const char *p, size_t n); void *ctx; };
void entry_compose(const struct entry_sink *s, const struct entry *e);         /* all but the recipients, of which there will be e->count */
void entry_compose_rcpt(const struct entry_sink *s, const struct entry_rcpt *r);

/* Read the file `fd`, whole.  False: it is no entry (errno EBADMSG), or cannot be read.  entry_free in either case.  */
bool entry_read(struct entry *e, int fd);
void entry_free(struct entry *e);

/* Write what a recipient has come to, and say so on the disk.  0 or errno.  */
int entry_mark(struct entry *e, int fd, size_t i, enum entry_state state, const char *text, time_t now);
/* Another attempt was made, the sender was warned.  Not synced: the next mark does that, or nothing is lost.  */
int entry_count(struct entry *e, int fd);

/* Whether anything is still to be sent, or to be told.  */
bool entry_todo(const struct entry *e);
bool entry_open(const struct entry *e);

/* A folder of the queue, made if it is missing; -1 with errno.  */
int entry_folder(int queue, const char *name);

/* For people: why queue_dir cannot be opened.  That is never done through a symbolic link, for whoever could lay one there would have mail written where he says, by root.  */
const char *entry_dir_error(const char *path, int error);

/* The hash of a destination, in lower case; and names.  */
uint64_t entry_hash(const char *destination);
void entry_name(char out[ENTRY_NAME], time_t due, const char *key, uint64_t hash);
struct entry_id { time_t due; char key[ENTRY_KEY]; uint64_t hash; };
bool entry_parse_name(struct entry_id *id, const char *name);

#endif
