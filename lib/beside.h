/* Where the other programs of this project are.  */
#ifndef BESIDE_H
#define BESIDE_H

#include <stddef.h>

/* The places where the program `name` may be, to be tried in turn, `place` from 0 on: beside the running program (by the name it was started
 * with, then by its true name), in its ../bin or ../sbin, or where it is installed.  NULL when there are no more.  Writes to buf.  */
const char *beside(const char *name, unsigned place, char *buf, size_t size);

#endif
