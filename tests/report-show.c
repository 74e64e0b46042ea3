/* report-show NAME=VALUE...: write a report to standard output, and what its transport needs to standard error.  Each rcpt= begins another recipient, whom
 * orcpt= action= status= host= text= said= last= then are about; message= is a file, there or not.  For tests.
 * SPDX-License-Identifier: MIT */
#include "report.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 64 };
static struct report_rcpt rcpt[MOST];
static struct report r = { .hostname = "mx.example.test", .to = "alice@example.test", .id = "0123456789abcdef.1", .envid = "", .arrived = 1767225600, .now = 1767312000,
	.until = 1767657600, .message = -1, .most = 1 << 20, .rcpt = rcpt };

static void set_rcpt(struct report_rcpt *to, const char *name, const char *value)
{
	static const char *const actions[] = { "failed", "delayed", "delivered", "relayed", "expanded" };
	if (strcmp(name, "orcpt") == 0) to->orcpt = value;
	else if (strcmp(name, "status") == 0) to->status = value;
	else if (strcmp(name, "host") == 0) to->host = value;
	else if (strcmp(name, "text") == 0) to->text = value;
	else if (strcmp(name, "said") == 0) to->said = atoi(value);
	else if (strcmp(name, "last") == 0) to->last = atoll(value);
	else if (strcmp(name, "action") != 0) exit(64);
	for (enum report_action a = 0; strcmp(name, "action") == 0 && a <= REPORT_EXPANDED; a++)
		if (strcmp(value, actions[a]) == 0) to->action = a;
}

static void set(const char *name, const char *value)
{
	struct stat st = { 0 };
	if (strcmp(name, "hostname") == 0) r.hostname = value;
	else if (strcmp(name, "to") == 0) r.to = value;
	else if (strcmp(name, "sender") == 0) r.sender = value;
	else if (strcmp(name, "id") == 0) r.id = value;
	else if (strcmp(name, "envid") == 0) r.envid = value;
	else if (strcmp(name, "arrived") == 0) r.arrived = atoll(value);
	else if (strcmp(name, "until") == 0) r.until = atoll(value);
	else if (strcmp(name, "full") == 0) r.full = atoi(value);
	else if (strcmp(name, "utf8") == 0) r.utf8 = atoi(value);
	else if (strcmp(name, "most") == 0) r.most = strtoull(value, NULL, 10);
	else if (strcmp(name, "size") == 0) r.size = strtoull(value, NULL, 10);
	else if (strcmp(name, "message") == 0) r.size = (r.message = open(value, O_RDONLY)) >= 0 && fstat(r.message, &st) == 0 ? (uint64_t)st.st_size : 0;
	else if (strcmp(name, "rcpt") == 0 && r.count < MOST) rcpt[r.count++] = (struct report_rcpt){ .rcpt = value, .orcpt = "", .status = "", .host = "", .text = "" };
	else if (r.count > 0) set_rcpt(&rcpt[r.count - 1], name, value);
	else exit(64);
}

static void to_stdout(void *ctx, const char *p, size_t n)
{
	(void)ctx;
	if (fwrite(p, 1, n, stdout) != n) exit(74);
}

int main(int argc, char **argv)
{
	static const char *const needs[] = { "7BIT", "8BITMIME", "SMTPUTF8" };
	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		if (!value) return 64;
		*value++ = '\0';
		set(argv[i], value);
	}
	fprintf(stderr, "%s\n", needs[report_needs(&r)]);
	if (!report_write(&r, to_stdout, NULL)) return 1;
	return fflush(stdout) == 0 ? 0 : 74;
}
