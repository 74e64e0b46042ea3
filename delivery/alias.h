/* Alias tables in the form of sendmail and Postfix (aliases(5)): as text, or compiled to a constant database (cdb) beside it.  */
#ifndef ALIAS_H
#define ALIAS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	ALIAS_NAME = 256,       /* octets of a name, with the NUL; a longer one is no name */
	ALIAS_VALUE = 1 << 20,  /* octets of a right-hand side, with the NUL: some 30 000 addresses */
	ALIAS_LIST_MAX = 1 << 20,       /* octets of an :include: file or a .forward */
	ALIAS_MEMBER = 4096,    /* room for a member; alias_compile refuses what does not fit */
};

struct alias_table {
	int text, cdb;          /* descriptors; -1 where there is none, or it is not to be used */
	uid_t owner;            /* of the text, or of the cdb when there is no text */
	const char *path;       /* for messages; the caller's, kept and not copied */
	char *value;            /* room for one right-hand side, made at the first look-up */
};

/* Open the table at `path` beneath the directory `dir` (or AT_FDCWD), where `open_at` opens for reading: openat(2), or what keeps the search
 * inside a directory; with O_NONBLOCK, O_NOCTTY and O_CLOEXEC, for what is there may be a FIFO or a terminal.  PATH.cdb is used when it is not older
 * than the text, to the nanosecond, and is owned like it or by root; or, with AT_FDCWD, when there is no text
 * (a domain's is used beside its text only: who removes the text means it, and most domains have neither, at one call less).  One that is not fit for use beside a text is passed over.
 * 0, ENOENT when there is neither, or another errno: EINVAL for what is no regular file, EPERM for one that others than its owner can write to.
 * Nothing stays open unless 0.  */
int alias_open(struct alias_table *t, int dir, const char *path, int (*open_at)(int dir, const char *path));
void alias_close(struct alias_table *t);

/* Look up a name in lower case.  1 and *value, the right-hand side in one line, without blanks around it and with one where lines were joined, which
 * stays until the next look-up or alias_close; *line is where it begins in the text, 0 when it comes from the cdb.  0: no such name.  -1 with errno:
 * EBADMSG for a compiled table that is no table, E2BIG for a value that is too long, else what reading said.  Names in the table may be quoted and are
 * compared as names_local makes them, without regard to case; of two equal ones the first counts.  A line that is broken is passed over, with those that
 * continue it (alias_compile tells of it); members are not judged.  Memory does not grow with the table.  */
int alias_lookup(struct alias_table *t, const char *name, const char **value, unsigned *line);

/* A member of a right-hand side, of an :include: file or of a .forward.  */
enum member_kind {
	MEMBER_END,
	MEMBER_ADDRESS,         /* text is an address as written, "user" or "user@domain", without comments, brackets or a display name */
	MEMBER_LITERAL,         /* \user, \user@domain: not to be expanded any more; text without the backslash */
	MEMBER_INCLUDE,         /* :include:/path */
	MEMBER_PROGRAM,         /* |program arguments, "|program arguments" or |"program arguments"; text without the bar and these quotes */
	MEMBER_FILE,            /* /path; in it blanks, quotes and brackets only if it was quoted */
	MEMBER_BAD              /* text is what could not be read, cut to fit */
};
/* The next member at *s, which moves on.  `lines`: the list is that of a file: line ends (LF, CR LF) part members too, and # begins a comment where nothing
 * but blanks is before it in its line; a broken member ends at the line end, else at the next comma outside quotes and brackets.  `text` gets at most
 * size - 1 octets; what is longer is MEMBER_BAD.  But for MEMBER_BAD, text is UTF-8 without control octets.  A file that holds a NUL is for the
 * caller to refuse: the list ends there.  */
enum member_kind alias_member(const char **s, bool lines, char *text, size_t size);

/* Compile `path` to PATH.cdb, which takes its place at once (rename) when all is written and synced, with the mode and, if possible, the owner of the
 * text, and its time.  What is wrong with the text is told on standard error, "FILE:LINE: reason", and then nothing is replaced.  0, or a sysexits(3) status.  */
int alias_compile(const char *path);

#endif
