/* Foreign octets for the eyes of a person: on a terminal, which would obey them, and in the transcript of a dialogue.  */
#ifndef SHOW_H
#define SHOW_H

#include <stddef.h>
#include <stdio.h>

/* What cannot be judged before more has come: a CR, the beginning of a character.  */
struct shown { unsigned char held[4]; size_t n; };

/* Printable ASCII, tabs and UTF-8 stay; controls of both sets, what turns the direction of writing, what is not UTF-8, and \ become \xHH; CR LF becomes LF.  An LF without
 * a CR is shown as \x0a, and is an end of line too.  Needs SHOW_GROWTH times `n` octets and SHOW_MORE at `out`; returns how many it has written.  n = 0: the end,
 * nothing is held any more.  */
enum { SHOW_GROWTH = 5, SHOW_MORE = 16 };
size_t show_octets(struct shown *s, char *out, const char *in, size_t n);

/* Both sides of a dialogue, line by line, "C: " and "S: " in front; a line of more than SHOW_LINE octets goes on with "C+ ", "S+ ".  */
enum { SHOW_LINE = 1000 };
enum side { CLIENT_SIDE, SERVER_SIDE, SIDES };
struct transcript {
	FILE *file;             /* NULL: none is written */
	struct said { struct shown shown; char line[SHOW_LINE]; size_t n; int more; } said[SIDES];
};

/* Begin a new file, that only we can read: passwords may go by.  No link is followed, and no file of somebody else's taken.  -1 with errno.  */
int transcript_open(struct transcript *t, const char *path);

/* What a side has said, in pieces of any size; n = 0: it says no more.  A line of our own.  */
void transcript_add(struct transcript *t, enum side side, const char *s, size_t n);
void transcript_note(struct transcript *t, const char *text);

/* -1 with errno when not all could be written.  */
int transcript_close(struct transcript *t);

#endif
