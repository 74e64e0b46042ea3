/* A text table, entry by entry: for alias.c, which looks up, and alias-compile.c, which takes all.  */
#ifndef ALIAS_TEXT_H
#define ALIAS_TEXT_H

#include <sys/stat.h>

#include "alias.h"

struct text {
	int fd, error;          /* error: errno of a reading that failed */
	unsigned lines;         /* that were read whole */
	unsigned line;          /* where the entry begins */
	const char *broken;     /* what is wrong with it, or NULL */
	bool full;              /* wrong is that its value is too long */
	size_t value_n;
	off_t at;
	size_t i, n;            /* buf[i] to buf[n - 1] are not used up yet */
	char name[ALIAS_NAME];  /* in lower case */
	bool end;               /* the file's: asked for once, not at each look ahead */
	char buf[32768];
};

void text_start(struct text *x, int fd);

/* The next entry; its right-hand side into value[ALIAS_VALUE], unless another name is wanted (`want`, NULL for any): then there is none, nor is it judged.
 * False at the end, or with x->error.  */
bool text_next(struct text *x, const char *want, char *value);

/* UTF-8 without control octets but tab.  */
bool text_plain(const char *s);

/* What is open is a table as far as its status tells: 0, or the errno that alias_open gives.  */
int text_status(int fd, struct stat *st);

#endif
