/* quota-show MAILDIR [OCTETS [SIZE]]: what quota.c says of a Maildir, "OCTETS MESSAGES", the usage; with SIZE a message of that size is added.  For tests.
 * SPDX-License-Identifier: MIT */
#include "quota.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct quota q;
	int box = argc > 1 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
	if (box < 0 || quota_read(box, argc > 2 ? strtoull(argv[2], NULL, 10) : 0, 0, &q) != 0) return 1;
	if (argc > 3 && quota_add(box, strtoull(argv[3], NULL, 10), 1) != 0) return 1;
	printf("%llu %llu\n", (unsigned long long)q.used_octets, (unsigned long long)q.used_messages);
	return 0;
}
