/* sendmail: how the programs of this host send mail.  Without any privilege: what it reads it submits by SMTP on a Unix socket, where smtp-handler takes the name of the
 * user from the kernel.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sysexits.h>
#include <unistd.h>

#include "beside.h"
#include "clock.h"
#include "relay.h"
#include "submit.h"
#include "xtext.h"

static struct sendmail sendmail;

static const char usage[] =
	"usage: sendmail [-i] [-t] [-f sender] [-F name] [-N when] [-R what] [-V id] [-v] [recipient]... < message\n"
	"       sendmail -bs | -bi | -bv address... | -q | --help | --version\n"
	"\n"
	"Submits a message to the mail system of this host.\n"
	"  -t         recipients from To, Cc and Bcc, and those named here\n"
	"  -i, -oi    a line with a single dot does not end the message\n"
	"  -f, -r     the sender (default: the user's name)\n"
	"  -F         the sender's name for people, for a message without From\n"
	"  -N         when to report to the sender: never, or some of success,failure,delay\n"
	"  -R         what comes back with a report of failure: full, or hdrs\n"
	"  -V         an id by which the sender knows the message in a report\n"
	"  -v         tell what the server says\n"
	"  -bs        speak SMTP with it; -bi rebuild the alias table; -bv where mail would go\n"
	"Other options of sendmail are taken and have no effect.  See sendmail(8).\n";

/* --- other programs of ours --- */

/* Execute another program of ours with these arguments.  */
static int become(const char *name, char *argv[])
{
	char place[512];
	for (unsigned i = 0; (argv[0] = (char *)beside(name, i, place, sizeof place)); i++) execv(argv[0], argv);
	fprintf(stderr, "sendmail: cannot execute %s: %s\n", name, strerror(errno));
	return EX_TEMPFAIL;
}

/* Arguments of another program, in front of what is left of ours.  */
static int become_with(struct sendmail *m, const char *name, const char *option, char **rest, int n)
{
	char **argv = calloc((size_t)n + 6, sizeof *argv);
	int argc = 1;
	if (!argv) return EX_OSERR;
	if (m->cf.file) {
		argv[argc++] = (char *)"-C";
		argv[argc++] = (char *)m->cf.file;
	}
	if (option) argv[argc++] = (char *)option;
	if (n > 0) argv[argc++] = (char *)"--";
	for (int i = 0; i < n; i++) argv[argc++] = rest[i];
	int status = become(name, argv);
	free(argv);
	return status;
}

/* -bs: with whom listens on the socket, else with a server of our own.  That one executes what its configuration names: not one out of a visitor's hand, when a web
 * page passes his words on as options.  */
static int dialogue(struct sendmail *m)
{
	int fd = connect_socket(&m->cf);
	if (fd < 0 && m->cf.file) return trouble(m, EX_TEMPFAIL, m->cf.submit, strerror(errno));
	if (fd < 0) return become_with(m, "smtp-handler", NULL, NULL, 0);
	const struct relay_change as_it_is = { 0 };
	int why = relay(fd, &as_it_is, &as_it_is, -1);
	return why == 0 || why == ECONNRESET /* a client may say more than the server waits for */ ? EX_OK : EX_TEMPFAIL;
}

/* --- start --- */

static const char *program_name(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');
	return slash ? slash + 1 : argv0;
}

/* "-oi", "-O IgnoreDots": the only ones of sendmail's own settings that mean something here.  */
static bool ignores_dots(char opt, const char *value)
{
	static const char word[] = "IgnoreDots";
	if (opt == 'o') return strcasecmp(value, "i") == 0 || strcasecmp(value, "itrue") == 0;
	size_t n = sizeof word - 1;
	return strncasecmp(value, word, n) == 0 && (value[n] == '\0' || (value[n] == '=' && strchr("tTyY", value[n + 1])));
}

/* The options of sendmail(8) and Postfix.  Returns the mode, a letter of -b; 'h' and 'V' for help and version; 0 for a wrong one.  */
static char options(struct sendmail *m, int argc, char **argv)
{
	static const struct option longs[] = { { "help", no_argument, NULL, 1 }, { "version", no_argument, NULL, 2 }, { NULL, 0, NULL, 0 } };
	const char *called = program_name(argv[0]);
	char mode = strcmp(called, "newaliases") == 0 ? 'i' : strcmp(called, "mailq") == 0 ? 'p' : 'm';
	char envid[3 * DSN_ENVID + 1];
	bool good = true;
	int opt;
	m->dots = true;
	while ((opt = getopt_long(argc, argv, "+A:B:C:DF:GIL:N:O:R:UV:X:b:cd::e:f:h:imno:p:q::r:tv", longs, NULL)) != -1) {
		switch (opt) {
		case 1: return 'h';
		case 2: return 'V';
		case 'C': m->cf.file = optarg; break;
		case 'D': mode = 'd'; break;
		case 'N': good = dsn_notify(&m->notify, optarg); break;
		case 'R': good = dsn_ret(&m->dsn, optarg); break;
		case 'V': good = xtext_encode(envid, sizeof envid, optarg) && dsn_envid(&m->dsn, envid); break;
		case 'F': m->full_name = optarg; break;
		case 'I': mode = 'i'; break;
		case 'b': mode = *optarg && !optarg[1] && strchr("Ddimpsv", *optarg) ? *optarg : 0; break;
		case 'f':
		case 'r': m->sender_arg = optarg; break;
		case 'i': m->dots = false; break;
		case 'o':
		case 'O': m->dots &= !ignores_dots((char)opt, optarg); break;
		case 'q': mode = mode == 'm' ? 'q' : mode; break;
		case 't': m->from_header = true; break;
		case 'v': m->verbose = true; break;
		case '?': mode = 0; break;
		default: break;         /* of no use to us, and no reason to fail */
		}
		if (!mode || !good) return 0;
	}
	return mode;
}

/* What would otherwise be opened at the place of standard error would get our words.  Nothing can be read from what stands for a closed input.  */
static void hold_descriptors(void)
{
	int fd;
	do fd = open("/dev/null", O_WRONLY);
	while (fd >= 0 && fd <= 2);
	if (fd > 2) close(fd);
}

/* What no program has a reason to say, and a web page that passes its visitor's words on may be made to say.  */
static bool arguments_clean(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (!clean(argv[i])) return false;
	return true;
}

static int send_message(struct sendmail *m, char **rcpts, int n)
{
	clock_signals();
	clock_stop_on(SIGINT);
	clock_start((unsigned)m->cf.deliver_timeout);
	if (!find_sender(m)) return m->status;
	m->last = &m->rcpts;
	for (int i = 0; i < n; i++) add_list(m, rcpts[i], rcpts[i] + strlen(rcpts[i]));
	return submit(m);
}

static int complain(int status, const char *why)
{
	fprintf(stderr, "sendmail: %s\n", why);
	return status;
}

int main(int argc, char **argv)
{
	struct sendmail *m = &sendmail;
	hold_descriptors();
	if (argc < 1 || getauxval(AT_SECURE)) return complain(EX_USAGE, "needs no privileges, and must not be made set-user-id or set-group-id");
	if (!arguments_clean(argc, argv)) return complain(EX_USAGE, "control characters in an argument");
	char mode = options(m, argc, argv), **rest = argv + optind;
	int n = argc - optind;
	if (mode == 'h') return fputs(usage, stdout), EX_OK;
	if (mode == 'V') return puts("sendmail (smtp-handler) " VERSION), EX_OK;
	if (!mode) return complain(EX_USAGE, "wrong usage; see sendmail --help");
	if (mode == 'd' || mode == 'D') return complain(EX_USAGE, "is no daemon: the service manager waits for mail, see smtp-handler(8)");
	if (mode == 'v' && n == 0) return complain(EX_USAGE, "-bv: no addresses");
	if (!config_load(&m->cf)) return complain(EX_CONFIG, m->cf.error);
	switch (mode) {
	case 'i': return become_with(m, "maildir-deliver", "--rebuild-aliases", rest, n);
	case 'v': return become_with(m, "maildir-deliver", "--where", rest, n);
	case 's': return dialogue(m);
	case 'q': return become_with(m, "smtp-queue", "run", NULL, 0);
	case 'p': return become_with(m, "smtp-queue", "list", NULL, 0);
	default: return send_message(m, rest, n);
	}
}
