/* smtp-client: SMTP towards a server; a dialogue of a person with it, or one message.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "dialogue.h"
#include "send.h"

static struct client { struct config cf; struct dialogue dialogue; } client;

static const char usage[] =
	"usage: smtp-client [--tls | --starttls] [--verify] [--ca file] [--crlf] [--log file] [-4 | -6] host [port]\n"
	"       smtp-client --send --to host[:port] | --mx domain -f sender [option]... recipient... < message\n"
	"       smtp-client [--show-config | --version | --help]\n"
	"\n"
	"The first form connects to a server, sends it the lines of standard input, and shows what it answers.\n"
	"The second sends one message; see smtp-client(1).\n"
	"  --tls           TLS from the first octet; the default port then is 465 instead of 25\n"
	"  --starttls      say EHLO and STARTTLS first, and go on within TLS\n"
	"  --verify        end if the certificate is not good for the host, instead of telling so only\n"
	"  --ca file       the certificates of authorities, instead of the system's\n"
	"  --crlf          send the octets as they are, instead of CR LF for LF\n"
	"  --log file      write what both sides say to a new file, in which control characters are codes\n"
	"  -4, -6          IPv4, or IPv6, only\n"
	"  -C file, -o name=value   as for smtp-handler: hostname, sandbox\n"
	"A host may be unix:PATH too.\n";

static int complain(int status, const char *why)
{
	fprintf(stderr, "smtp-client: %s\n", why);
	return status;
}

/* Returns -1 to go on, else the exit status.  */
static int options(struct client *c, int argc, char **argv)
{
	enum { OPT_TLS = OPT_OWN, OPT_STARTTLS, OPT_VERIFY, OPT_CA, OPT_CRLF, OPT_LOG, OPT_SEND, OPT_ORDERS };
	static const struct option longs[] = {
		CONFIG_LONG, { "tls", no_argument, NULL, OPT_TLS }, { "starttls", no_argument, NULL, OPT_STARTTLS }, { "verify", no_argument, NULL, OPT_VERIFY },
		{ "ca", required_argument, NULL, OPT_CA }, { "crlf", no_argument, NULL, OPT_CRLF }, { "log", required_argument, NULL, OPT_LOG },
		{ "send", no_argument, NULL, OPT_SEND }, { "orders", no_argument, NULL, OPT_ORDERS }, { NULL, 0, NULL, 0 },
	};
	struct dialogue *d = &c->dialogue;
	bool show = false;
	int opt, at;
	while ((opt = getopt_long(argc, argv, CONFIG_SHORT "46", longs, NULL)) != -1) {
		switch (opt) {
		case OPT_VERSION: return puts("smtp-client " VERSION), EX_OK;
		case OPT_HELP: return fputs(usage, stdout), EX_OK;
		case OPT_SHOW_CONFIG: show = true; break;
		case OPT_SEND:
			at = optind - 1;
			optind = 0;
			return send_main(&c->cf, argc - at, argv + at);
		case OPT_ORDERS: return send_orders(&c->cf);    /* smtp-queue's */
		case OPT_TLS: d->tls = true; break;
		case OPT_STARTTLS: d->starttls = true; break;
		case OPT_VERIFY: d->verify = true; break;
		case OPT_CA: d->ca = optarg; break;
		case OPT_CRLF: d->crlf = true; break;
		case OPT_LOG: d->log = optarg; break;
		case '4': d->family = AF_INET; break;
		case '6': d->family = AF_INET6; break;
		default:
			if (opt == '?' || !config_option(&c->cf, opt, optarg)) return EX_USAGE;
		}
	}
	if (!config_load(&c->cf)) return complain(EX_CONFIG, c->cf.error);
	if (show) return config_show(&c->cf), EX_OK;
	return -1;
}

static int arguments(struct dialogue *d, char **rest, int n)
{
	if (n < 1 || n > 2) return complain(EX_USAGE, "expected a host, and perhaps a port; see smtp-client --help");
	if (d->tls && d->starttls) return complain(EX_USAGE, "--tls and --starttls exclude each other");
	if (!d->tls && !d->starttls && (d->verify || *d->ca)) return complain(EX_USAGE, "--verify and --ca are for --tls and --starttls");
	if (config_scheme(rest[0], "unix:") && n > 1) return complain(EX_USAGE, "a socket of this host has no port");
	d->host = rest[0];
	d->port = n > 1 ? rest[1] : d->tls ? "465" : "25";
	return -1;
}

/* A standard descriptor that is closed would be given to the next file or connection, and our words be sent to the server.  What stands in its place cannot be used.  */
static bool hold_places(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) return false;
	return true;
}

int main(int argc, char **argv)
{
	struct client *c = &client;
	if (!hold_places()) return EX_OSFILE;
	c->dialogue = (struct dialogue){ .cf = &c->cf, .ca = "", .family = AF_UNSPEC, .fd = -1 };
	int status = options(c, argc, argv);
	if (status < 0) status = arguments(&c->dialogue, argv + optind, argc - optind);
	if (status >= 0) return status;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	return dialogue(&c->dialogue);
}
