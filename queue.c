/* smtp-queue: one pass over the outgoing queue, and what an administrator does with it.  Never stays: the service manager starts it when something is new, and when it is time.
 * SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "config.h"
#include "list.h"
#include "log.h"
#include "pass.h"
#include "spool.h"

static struct { struct config cf; struct spool spool; } queue;

static const char usage[] =
	"usage: smtp-queue [-C file] [-o name=value]... [--now time] run\n"
	"       smtp-queue [--json] list\n"
	"       smtp-queue [--json] show id\n"
	"       smtp-queue retry [id | domain]\n"
	"       smtp-queue hold | release | remove id | domain | all\n"
	"       smtp-queue [--show-config | --version | --help]\n"
	"\n"
	"The queue of mail to other hosts.\n"
	"  run        send what is due, report what failed, and end\n"
	"  list       what waits, for whom, until when, and why\n"
	"  show       one message: its recipients, its header\n"
	"  retry      make it due now, and run\n"
	"  hold       leave it alone until it is released\n"
	"  remove     forget it; nobody is told\n"
	"  --json     for programs: an object on each line\n"
	"  --now      take this for the time, in seconds since 1970 (for tests)\n"
	"See smtp-queue(8) and smtp-handler.conf(5).\n";

static int wrong_usage(void)
{
	fputs("smtp-queue: wrong usage; see smtp-queue --help\n", stderr);
	return EX_USAGE;
}

static int run(const struct spool *s)
{
	log_level((enum log_level)s->cf->log_level);
	clock_signals();
	clock_stop_on(SIGINT);
	clock_start(20000);     /* ticks further apart than the pass waits for a process: musl begins that wait anew after each */
	spool_sweep(s);
	return pass_run(s) ? EX_OK : EX_TEMPFAIL;
}

struct options { bool json; time_t now; };

/* The command behind the options.  */
static int command(const struct spool *s, const struct options *o, int argc, char **argv)
{
	static const struct { const char *name; enum list_action action; } changes[] = {
		{ "retry", LIST_RETRY }, { "hold", LIST_HOLD }, { "release", LIST_RELEASE }, { "remove", LIST_REMOVE },
	};
	if (strcmp(argv[0], "run") == 0 && argc == 1) return run(s);
	if (strcmp(argv[0], "list") == 0 && argc == 1) return list_all(s, o->json);
	if (strcmp(argv[0], "show") == 0 && argc == 2) return list_show(s, argv[1], o->json);
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		if (strcmp(argv[0], changes[i].name) != 0) continue;
		bool retry = changes[i].action == LIST_RETRY;
		if (argc > 2 || (argc == 1 && !retry)) break;
		int status = list_change(s, changes[i].action, argc == 2 ? argv[1] : "all");
		if (!retry || (status != EX_OK && status != EX_TEMPFAIL)) return status;        /* what another pass works on is tried anyway */
		int pass = run(s);
		return pass == EX_OK ? status : pass;
	}
	return wrong_usage();
}

/* A pass that is started by hand or by cron runs as the queue's owner too, who could deliver to nobody: its reports go where those of the service go, if somebody
 * listens there.  */
static void find_deliver(struct config *cf)
{
	static const char socket[] = "unix:/run/smtp-handler/deliver.sock";
	if (!*cf->deliver && access(socket + 5, W_OK) == 0) cf->deliver = socket;
}

/* Without a queue there is nothing to do, and nothing wrong.  */
static int no_queue(int status, const char *what)
{
	if (status == EX_OK && strcmp(what, "run") != 0) fprintf(stderr, "smtp-queue: there is no queue: %s\n", *queue.cf.queue_dir ? queue.cf.queue_dir : "queue_dir is set to nothing");
	return status;
}

static bool set_now(struct options *o, const char *text)
{
	enum { DIGITS = 10 };   /* as many as the names of entries have room for */
	unsigned long long n;
	if (strlen(text) > DIGITS || !number_parse(text, &n) || n == 0) return false;
	o->now = (time_t)n;
	return true;
}

/* Returns -1 to go on, else the exit status.  */
static int options(struct options *o, int argc, char **argv)
{
	enum { OPT_JSON = OPT_OWN, OPT_NOW };
	static const struct option longs[] = { CONFIG_LONG, { "json", no_argument, NULL, OPT_JSON }, { "now", required_argument, NULL, OPT_NOW }, { NULL, 0, NULL, 0 } };
	bool show = false;
	int opt;
	while ((opt = getopt_long(argc, argv, CONFIG_SHORT, longs, NULL)) != -1) {
		if (opt == OPT_VERSION) return puts("smtp-queue " VERSION), EX_OK;
		if (opt == OPT_HELP) return fputs(usage, stdout), EX_OK;
		if (opt == OPT_SHOW_CONFIG) show = true;
		else if (opt == OPT_JSON) o->json = true;
		else if (opt == OPT_NOW && set_now(o, optarg)) continue;
		else if (opt == '?' || opt == OPT_NOW || !config_option(&queue.cf, opt, optarg)) return wrong_usage();
	}
	if (!config_load(&queue.cf)) return fprintf(stderr, "smtp-queue: %s\n", queue.cf.error), EX_CONFIG;
	if (show) return config_show(&queue.cf), EX_OK;
	return optind == argc ? wrong_usage() : -1;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	int status = options(&o, argc, argv);
	if (status >= 0) return status;
	if (!spool_open(&queue.spool, &queue.cf, &status)) return no_queue(status, argv[optind]);
	queue.spool.now = o.now;
	find_deliver(&queue.cf);
	log_open("smtp-queue", "", "local", LOG_PASS);
	return command(&queue.spool, &o, argc - optind, argv + optind);
}
