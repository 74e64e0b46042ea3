/* sendmail: how the programs of this host send mail.  Without any privilege: what it reads it submits by SMTP on a Unix socket, where smtp-handler takes the name of the
 * user from the kernel.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "beside.h"
#include "clock.h"
#include "submit.h"

static struct sendmail sendmail;

static const char usage[] =
	"usage: sendmail [-i] [-t] [-f sender] [-F name] [-v] [recipient]... < message\n"
	"       sendmail -bs | -bi | -bv address... | -q | --help | --version\n"
	"\n"
	"Submits a message to the mail system of this host.\n"
	"  -t         recipients from To, Cc and Bcc, and those named here\n"
	"  -i, -oi    a line with a single dot does not end the message\n"
	"  -f, -r     the sender (default: the user's name)\n"
	"  -F         the user's name for people, for a message without From\n"
	"  -v         tell what the server says\n"
	"  -bs        speak SMTP with it; -bi rebuild the alias table; -bv where mail would go\n"
	"Other options of sendmail are taken and have no effect.  See sendmail(8).\n";

/* --- -bs: the dialogue itself --- */

/* Carry what is there from one descriptor to the other.  False at its end.  */
static bool carry(int from, int to)
{
	char buf[16384];
	ssize_t n = read(from, buf, sizeof buf);
	if (n < 0 && errno == EINTR) return true;
	for (ssize_t done = 0; done < n;) {
		ssize_t w = write(to, buf + done, (size_t)(n - done));
		if (w < 0 && errno != EINTR) return false;
		if (w > 0) done += w;
	}
	return n > 0;
}

static int relay(int fd)
{
	struct pollfd fds[] = { { .fd = 0, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR) return EX_OSERR;
		if (fds[1].revents && !carry(fd, 1)) return EX_OK;
		if (fds[0].revents && !carry(0, fd)) {
			shutdown(fd, SHUT_WR);
			fds[0].fd = -1;
		}
	}
}

/* Execute another program of ours with these arguments.  */
static int become(const char *name, char *argv[])
{
	char place[512];
	for (unsigned i = 0; (argv[0] = (char *)beside(name, i, place, sizeof place)); i++) execv(argv[0], argv);
	fprintf(stderr, "sendmail: cannot execute %s: %s\n", name, strerror(errno));
	return EX_UNAVAILABLE;
}

/* Arguments of another program, in front of what is left of ours.  */
static int become_with(struct sendmail *m, const char *name, const char *option, char **rest, int n)
{
	char **argv = calloc((size_t)n + 5, sizeof *argv);
	int argc = 1;
	if (!argv) return EX_OSERR;
	if (m->cf.file) {
		argv[argc++] = (char *)"-C";
		argv[argc++] = (char *)m->cf.file;
	}
	if (option) argv[argc++] = (char *)option;
	for (int i = 0; i < n; i++) argv[argc++] = rest[i];
	return become(name, argv);
}

static int dialogue(struct sendmail *m)
{
	int fd = connect_socket(&m->cf);
	return fd >= 0 ? relay(fd) : become_with(m, "smtp-handler", NULL, NULL, 0);
}

/* --- start --- */

/* Whose mail it is.  */
static bool find_sender(struct sendmail *m)
{
	struct path p;
	const struct passwd *pw = getpwuid(getuid());
	const char *arg = m->sender_arg;
	if (pw) {
		snprintf(m->login, sizeof m->login, "%s", pw->pw_name);
		snprintf(m->gecos, sizeof m->gecos, "%.*s", (int)strcspn(pw->pw_gecos, ","), pw->pw_gecos);
		if (!utf8_valid(m->gecos)) *m->gecos = '\0';
	} else {
		snprintf(m->login, sizeof m->login, "%u", (unsigned)getuid());
	}
	if (arg && (!*arg || strcmp(arg, "<>") == 0)) return true;
	size_t n = arg ? strlen(arg) : 0;
	char bare[PATH_MAX_LEN + 1];
	if (n > 2 && *arg == '<' && arg[n - 1] == '>' && n - 2 < sizeof bare) {
		snprintf(bare, sizeof bare, "%.*s", (int)(n - 2), arg + 1);
		arg = bare;
	}
	if (!qualify(m, arg ? arg : m->login, &p)) return trouble(m, EX_USAGE, "-f", "this is no address"), false;
	m->utf8 = p.utf8;
	strcpy(m->sender, p.text);
	return true;
}

static const char *program_name(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');
	return slash ? slash + 1 : argv0;
}

/* The options of sendmail(8) and Postfix.  Returns the mode, a letter of -b; 'h' and 'V' for help and version; 0 for a wrong one.  */
static char options(struct sendmail *m, int argc, char **argv)
{
	static const struct option longs[] = { { "help", no_argument, NULL, 1 }, { "version", no_argument, NULL, 2 }, { NULL, 0, NULL, 0 } };
	const char *called = program_name(argv[0]);
	char mode = strcmp(called, "newaliases") == 0 ? 'i' : strcmp(called, "mailq") == 0 ? 'p' : 'm';
	int opt;
	m->dots = true;
	while ((opt = getopt_long(argc, argv, "+A:B:C:F:GIL:N:O:R:UV:X:b:cd::e:f:h:imno:p:q::r:tv", longs, NULL)) != -1) {
		switch (opt) {
		case 1: return 'h';
		case 2: return 'V';
		case 'B': m->sevenbit = strcasecmp(optarg, "7BIT") == 0; break;
		case 'C': m->cf.file = optarg; break;
		case 'F': m->full_name = optarg; break;
		case 'I': mode = 'i'; break;
		case 'b': mode = *optarg && !optarg[1] ? *optarg : 0; break;
		case 'f':
		case 'r': m->sender_arg = optarg; break;
		case 'i': m->dots = false; break;
		case 'o': if (strcmp(optarg, "i") == 0) m->dots = false; break;
		case 'O': if (strncasecmp(optarg, "IgnoreDots=t", 12) == 0 || strcasecmp(optarg, "IgnoreDots") == 0) m->dots = false; break;
		case 'q': mode = 'q'; break;
		case 't': m->from_header = true; break;
		case 'v': m->verbose = true; break;
		case '?': return 0;
		default: break;         /* of no use to us, and no reason to fail */
		}
	}
	return mode;
}

/* What could break a header or a line.  */
static bool clean(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f) return false;
	return true;
}

static int send_message(struct sendmail *m, char **rcpts, int n)
{
	if (!clean(m->sender_arg) || !clean(m->full_name) || (m->full_name && !utf8_valid(m->full_name))) return trouble(m, EX_USAGE, "control characters in an argument", "");
	if (!find_sender(m)) return m->status;
	m->last = &m->rcpts;
	for (int i = 0; i < n; i++) add_list(m, rcpts[i], rcpts[i] + strlen(rcpts[i]));
	return submit(m);
}

int main(int argc, char **argv)
{
	struct sendmail *m = &sendmail;
	char mode = options(m, argc, argv);
	if (mode == 'h') return fputs(usage, stdout), EX_OK;
	if (mode == 'V') return puts("sendmail (smtp-handler) " VERSION), EX_OK;
	if (!mode || !strchr("imqspv", mode)) return fputs("sendmail: wrong usage; see sendmail --help\n", stderr), EX_USAGE;
	if (!config_load(&m->cf)) return fprintf(stderr, "sendmail: %s\n", m->cf.error), EX_CONFIG;
	clock_signals();
	clock_stop_on(SIGINT);
	clock_start((unsigned)m->cf.deliver_timeout);
	switch (mode) {
	case 'i': return become_with(m, "maildir-deliver", "--rebuild-aliases", argv + optind, argc - optind);
	case 'v': return become_with(m, "maildir-deliver", "--where", argv + optind, argc - optind);
	case 's': return dialogue(m);
	case 'q': return EX_OK;         /* nothing waits here */
	case 'p': return puts("No mail waits here: what is submitted is delivered at once, or refused."), EX_OK;
	default: return send_message(m, argv + optind, argc - optind);
	}
}
