/* Programs that the keeper starts: what remains when one had to be ended.
 * SPDX-License-Identifier: MIT */
#include "helper.h"

#include <sys/time.h>

#include "check.h"
#include "clock.h"

/* The ticks come faster while a program is being ended, and then as before: the next one has its full time.  */
static void test_clock_after_end(void)
{
	enum { TICK = 7 /* seconds */ };
	char path[] = "PATH=/usr/bin:/bin", sleeper[] = "/bin/sleep", seconds[] = "600", *argv[] = { sleeper, seconds, NULL }, *envp[] = { path, NULL };
	struct helper h = HELPER_NONE;
	struct itimerval it;
	clock_signals();
	clock_start(TICK * 10000);
	check(helper_open(&h, "", 1000), "a pair for a program");
	helper_start(&h, argv, envp, 0);
	check_number((unsigned)helper_close(&h, true), HELPER_ENDED, "a program that does not end is ended");
	getitimer(ITIMER_REAL, &it);
	check_number((unsigned)it.it_interval.tv_sec, TICK, "seconds of a tick, as before");
	check(it.it_value.tv_sec || it.it_value.tv_usec, "the clock runs");
}

int main(void)
{
	test_clock_after_end();
	return done();
}
