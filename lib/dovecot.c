/* SPDX-License-Identifier: MIT */
#include "dovecot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 14000 };          /* a challenge of RFC 4954's length, and what stands around it */

static enum dovecot_answer trouble(struct dovecot *d)
{
	d->open = false;
	return DOVECOT_TROUBLE;
}

/* The next line, cut into its first field and the rest behind the tab.  NULL when there is none.  */
static char *read_line(struct dovecot *d, char **rest)
{
	char *line;
	size_t n;
	if (io_line(&d->io, LINE, d->timeout, false, &line, &n) != IO_OK || strlen(line) != n) return NULL;
	*rest = line + strcspn(line, "\t");
	if (**rest) *(*rest)++ = '\0';
	return line;
}

/* The next of the fields parted by tabs, NULL at the end.  */
static char *next_field(char **rest)
{
	char *field = *rest;
	if (!*field) return NULL;
	*rest += strcspn(*rest, "\t");
	if (**rest) *(*rest)++ = '\0';
	return field;
}

/* "NAME parameter...".  Who is anonymous cannot be let in, and a certificate of the client is not known to Dovecot.  */
static void take_mechanism(struct dovecot *d, char *rest)
{
	const char *name = next_field(&rest), *parameter;
	size_t used = strlen(d->mechanisms);
	bool fit = name && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == strlen(name) && strcmp(name, "EXTERNAL") != 0;
	while ((parameter = next_field(&rest))) fit = fit && strcmp(parameter, "anonymous") != 0 && strcmp(parameter, "private") != 0;
	if (fit && used + strlen(name) + 2 < sizeof d->mechanisms) snprintf(d->mechanisms + used, sizeof d->mechanisms - used, "%s%s", used > 0 ? " " : "", name);
}

bool dovecot_open(struct dovecot *d, int fd, unsigned process, unsigned timeout, uint32_t end)
{
	enum { MOST_LINES = 100 };
	char *word, *rest, hello[64];
	d->io = (struct io){ .in = fd, .out = fd, .ibuf = d->in, .isize = sizeof d->in, .obuf = d->out, .osize = sizeof d->out, .write_ms = timeout, .end = end };
	d->timeout = timeout;
	d->request = 0;
	*d->mechanisms = '\0';
	snprintf(hello, sizeof hello, "VERSION\t1\t1\nCPID\t%u\n", process);
	io_puts(&d->io, hello);
	d->open = false;
	for (int i = 0; i < MOST_LINES && (word = read_line(d, &rest)); i++) {
		if (strcmp(word, "VERSION") == 0 && strcmp(next_field(&rest) ? word + sizeof "VERSION" : "", "1") != 0) return false;
		if (strcmp(word, "MECH") == 0) take_mechanism(d, rest);
		if (strcmp(word, "DONE") == 0) return d->open = *d->mechanisms != '\0';
	}
	return false;
}

/* The value of "user=..." among the fields, cut to what a name may be; "" if there is none.  */
static const char *find_user(char *rest, bool *temporary)
{
	const char *field, *user = "";
	while ((field = next_field(&rest))) {
		if (strncmp(field, "user=", 5) == 0) user = field + 5;
		if (strcmp(field, "temp") == 0) *temporary = true;
	}
	return user;
}

/* Wait for the answer to the request in hand.  */
static enum dovecot_answer answer(struct dovecot *d, const char **text)
{
	enum { MOST_LINES = 100 };
	char *word, *rest, *id;
	bool temporary = false;
	*text = "";
	for (int i = 0; i < MOST_LINES && (word = read_line(d, &rest)); i++) {
		bool good = strcmp(word, "OK") == 0, refused = strcmp(word, "FAIL") == 0, go_on = strcmp(word, "CONT") == 0;
		if (!good && !refused && !go_on) continue;      /* news that do not concern us */
		id = next_field(&rest);
		if (!id || strtoul(id, NULL, 10) != d->request) continue;
		if (go_on) {
			*text = rest;
			return DOVECOT_CONTINUE;
		}
		*text = find_user(rest, &temporary);
		if (good && !**text) return trouble(d);
		if (good) return DOVECOT_GOOD;
		return temporary ? DOVECOT_TROUBLE : DOVECOT_REFUSED;
	}
	return trouble(d);
}

enum dovecot_answer dovecot_begin(struct dovecot *d, const char *mechanism, bool secured, const char *peer, const char *initial, const char **text)
{
	char head[256];
	snprintf(head, sizeof head, "AUTH\t%u\t%.30s\tservice=smtp%s\trip=%.64s", ++d->request, mechanism, secured ? "\tsecured" : "", peer);
	io_puts(&d->io, head);
	if (initial) {          /* the last parameter, as the protocol wants it */
		io_puts(&d->io, "\tresp=");
		io_puts(&d->io, initial);
	}
	io_puts(&d->io, "\n");
	return answer(d, text);
}

enum dovecot_answer dovecot_respond(struct dovecot *d, const char *response, const char **text)
{
	char head[40];
	snprintf(head, sizeof head, "CONT\t%u\t", d->request);
	io_puts(&d->io, head);
	io_puts(&d->io, response);
	io_puts(&d->io, "\n");
	return answer(d, text);
}
