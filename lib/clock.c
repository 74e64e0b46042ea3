/* Ticks and the stop flag: see clock.h.  The two flags are the only state outside the session, for signal handlers have
 * no other place to leave a word.  A signal that falls between a test and the read that follows is not lost: the next
 * tick interrupts that read.
 * SPDX-License-Identifier: MIT */
#include "clock.h"

#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

#define TICK_MIN 20U    /* milliseconds */
#define TICK_MAX 30000U

static volatile sig_atomic_t ticks, stop;
static unsigned tick = TICK_MAX;

static void on_tick(int sig) { (void)sig; ticks++; }
static void on_stop(int sig) { (void)sig; stop = 1; }

static void install(int sig, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler };        /* no SA_RESTART: a wait must end */
	sigaction(sig, &sa, NULL);
}

void clock_signals(void)
{
	static const struct { int sig; void (*handler)(int); } rows[] = {
		{ SIGTERM, on_stop }, { SIGALRM, on_tick }, { SIGPIPE, SIG_IGN }, { SIGXFSZ, SIG_IGN },
		{ SIGCHLD, SIG_DFL },    /* ignored, as a parent may leave it, it would take the status of our children away */
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) install(rows[i].sig, rows[i].handler);
}

void clock_stop_on(int sig) { install(sig, on_stop); }

void clock_start(unsigned shortest)
{
	tick = shortest / 10;
	if (tick < TICK_MIN) tick = TICK_MIN;
	if (tick > TICK_MAX) tick = TICK_MAX;
	struct timeval tv = { .tv_sec = (time_t)(tick / 1000), .tv_usec = (suseconds_t)(tick % 1000) * 1000 };
	struct itimerval it = { .it_interval = tv, .it_value = tv };
	setitimer(ITIMER_REAL, &it, NULL);
}

uint32_t clock_deadline(unsigned ms) { return (uint32_t)ticks + (ms + tick - 1) / tick + 1; }
bool clock_passed(uint32_t deadline) { return (int32_t)((uint32_t)ticks - deadline) >= 0; }
uint64_t millis(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool clock_stop_asked(void) { return stop; }
