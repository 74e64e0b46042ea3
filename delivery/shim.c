/* For the static build: libunistring.a was compiled with glibc's fortified functions, of which musl has none.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

void *__memmove_chk(void *to, const void *from, size_t n, size_t room);
void *__memmove_chk(void *to, const void *from, size_t n, size_t room)
{
	if (n > room) abort();
	return memmove(to, from, n);
}
