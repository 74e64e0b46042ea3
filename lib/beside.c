/* Programs find each other without a setting: in the build directory, where they are installed, and in a package's folders.
 * SPDX-License-Identifier: MIT */
#include "beside.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

#ifndef BINDIR
#define BINDIR "/usr/local/bin"
#endif
#ifndef SBINDIR
#define SBINDIR "/usr/local/sbin"
#endif

/* The directory that the running program is in, a slash at its end: by the name in execve, which costs nothing to know, or its true one.  */
static size_t own_directory(bool true_name, char *buf, size_t size)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	ssize_t n = true_name || !name ? readlink("/proc/self/exe", buf, size - 1) : snprintf(buf, size, "%s", name);
	while (n > 0 && ((size_t)n >= size || buf[n - 1] != '/')) n--;
	return n > 0 ? (size_t)n : 0;
}

const char *beside(const char *name, unsigned place, char *buf, size_t size)
{
	static const char *const near[] = { "", "../bin/", "../sbin/" }, *const installed[] = { BINDIR "/", SBINDIR "/" };
	enum { NEAR = 3, OWN = 2 * NEAR };      /* of both directories */
	if (place >= OWN + 2) return NULL;
	size_t n = place < OWN ? own_directory(place / NEAR, buf, size) : 0;
	snprintf(buf + n, size - n, "%s%s", place < OWN ? near[place % NEAR] : installed[place - OWN], name);
	return buf;
}
