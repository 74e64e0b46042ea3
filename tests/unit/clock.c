/* Ticks and the stop flag, with ticks that the test itself makes: nothing here waits.
 * SPDX-License-Identifier: MIT */
#include "clock.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { NO_TICK_YET = 30000 };   /* the longest tick, and so the one before clock_start: milliseconds */

/* Ticks until the deadline has passed.  */
static unsigned ticks_to(uint32_t deadline)
{
	unsigned n = 0;
	for (; !clock_passed(deadline) && n < 1000; n++) raise(SIGALRM);
	return n;
}

/* A limit has surely passed when as many whole ticks have gone by as cover it, and one more, for the first may have been under way.  */
static void test_deadlines(void)
{
	static const struct { unsigned ms, ticks; } rows[] = {
		{ 0, 1 }, { 1, 2 }, { NO_TICK_YET - 1, 2 }, { NO_TICK_YET, 2 }, { NO_TICK_YET + 1, 3 }, { 5 * NO_TICK_YET, 6 }, { 864000000, 28801 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint32_t deadline = clock_deadline(rows[i].ms);
		if (rows[i].ticks < 1000) check_number(ticks_to(deadline), rows[i].ticks, "%u ms in ticks of %d ms", rows[i].ms, (int)NO_TICK_YET);
		else check_number(deadline - clock_deadline(0) + 1, rows[i].ticks, "%u ms in ticks of %d ms", rows[i].ms, (int)NO_TICK_YET);
	}
	uint32_t passed = clock_deadline(0);
	ticks_to(passed);
	raise(SIGALRM);
	check(clock_passed(passed), "what has passed stays so");
	check(!clock_passed(clock_deadline(0)), "no deadline has passed at once");
}

/* The timer is set to a tenth of the shortest limit, within bounds.  (No tick falls into the test: it is stopped at once.)  */
static void test_timer(void)
{
	static const struct { unsigned shortest, tick; } rows[] = {
		{ 0, 20 }, { 100, 20 }, { 200, 20 }, { 1000, 100 }, { 60000, 6000 }, { 180000, 18000 }, { 300000, 30000 }, { 86400000, 30000 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct itimerval was, off = { .it_value = { 0, 0 } };
		sigset_t alarms, before;
		sigemptyset(&alarms);
		sigaddset(&alarms, SIGALRM);
		sigprocmask(SIG_BLOCK, &alarms, &before);
		clock_start(rows[i].shortest);
		getitimer(ITIMER_REAL, &was);
		setitimer(ITIMER_REAL, &off, NULL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		check_number((unsigned long long)was.it_interval.tv_sec * 1000 + (unsigned long long)was.it_interval.tv_usec / 1000, rows[i].tick,
			"a tick for a limit of %u ms", rows[i].shortest);
		check_number(clock_deadline(10 * rows[i].tick) - clock_deadline(0), 10, "ten ticks of %u ms", rows[i].tick);
	}
}

/* A wait ends with a tick: no SA_RESTART.  */
static void test_interrupt(void)
{
	int fds[2];
	char c;
	if (pipe(fds) != 0) abort();
	clock_start(0);
	check(read(fds[0], &c, 1) < 0, "a tick interrupts a read that waits");
	struct itimerval off = { .it_value = { 0, 0 } };
	setitimer(ITIMER_REAL, &off, NULL);
	close(fds[0]);
	check(write(fds[1], "x", 1) < 0, "a write to a closed pipe is an error and no death");
	close(fds[1]);
}

static void test_stop(void)
{
	static const int asks[] = { SIGTERM, SIGINT, SIGHUP };
	check(!clock_stop_asked(), "nobody has asked to stop");
	raise(SIGALRM);
	raise(SIGPIPE);
	raise(SIGXFSZ);
	check(!clock_stop_asked(), "ALRM, PIPE and XFSZ do not ask to stop");
	for (size_t i = 0; i < COUNT(asks); i++) {      /* there is no way back, hence a process each */
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			if (asks[i] != SIGTERM) clock_stop_on(asks[i]);
			raise(asks[i]);
			_exit(!clock_stop_asked());
		}
		int status = -1;
		while (waitpid(pid, &status, 0) < 0) continue;
		check(status == 0, "signal %d asks to stop", asks[i]);
	}
}

int main(void)
{
	clock_signals();
	test_deadlines();
	test_timer();
	test_interrupt();
	test_stop();
	return done();
}
