/* The parts of smtp-passwd: the file, the question for a password, and the change of a line.  */
#ifndef PASSWD_H
#define PASSWD_H

#include <crypt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "sasl.h"

enum { PASSWORD_MAX = CRYPT_MAX_PASSPHRASE_SIZE - 1 };  /* octets: crypt(3) takes no more */

/* One line about what went wrong, to standard error; where $SMTP_LOG names another place, there.  Returns false.  `what` is of ours or escaped.  */
bool trouble(const char *file, const char *what);

/* What can be in the file at all: UTF-8 of 1 to 255 octets without blanks, colons and control characters; '#' begins a comment.  */
bool user_valid(const char *user);

/* --- the file: "user:{CRYPT}hash[:more]" lines --- */

enum { TABLE_LINE = 1024 };     /* octets, the LF among them */

/* A piece of a line: all of it, if that is not too long.  */
struct table_line {
	char text[TABLE_LINE];
	size_t len;             /* 1 to TABLE_LINE */
	bool begins, ends;      /* it is the first piece, the last */
};

/* The fields of a line, as places in its text.  */
struct table_entry {
	size_t name_end;        /* the name begins the line */
	size_t hash, hash_end;
};

enum table_state { TABLE_GOOD, TABLE_LOCKED, TABLE_WEAK, TABLE_MALFORMED };

/* Open the file, which nobody but its owner may be able to change.  NULL with errno set: EPERM if others can, EINVAL if it is no regular file.  */
FILE *table_open(const char *file);

/* In words, what errno says after table_open and reading.  */
const char *table_why(int error);

/* The next piece, of any octets.  False at the end, and at an error (ferror).  */
bool table_read(FILE *f, struct table_line *l);

/* Where the fields are.  False for a comment, an empty line, and a piece that does not begin a line.  */
bool table_entry(const struct table_line *l, struct table_entry *e);

/* Whether it is the entry of this user: octet for octet, but for the case of ASCII letters.  */
bool table_is(const struct table_line *l, const struct table_entry *e, const char *user);

/* Copy the hash without {CRYPT} or another of Dovecot's names for what crypt(3) knows.  If it is not good, hash is "".  */
enum table_state table_hash(const struct table_line *l, const struct table_entry *e, char hash[CRYPT_OUTPUT_SIZE]);

/* What is wrong with such an entry, in words.  */
const char *table_flaw(enum table_state s);

/* --- what the administrator does --- */

/* Ask the terminal twice, with echo off, or read one line from standard input if that is no terminal.  False after a message.  The caller wipes `out`.  */
bool ask_password(char out[PASSWORD_MAX + 1]);

/* Give the user this hash, or with NULL take the user out; the file is made if need be, and changes at one instant, or not at all.  False after a message.  */
bool change_file(const char *file, const char *user, const char *hash);

#endif
