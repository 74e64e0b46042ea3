/* Deadlines and the wish to stop, for a process that may make no call but read, write and exit.
 *
 * A process in strict mode can neither poll nor ask the time, but it may return from a signal handler.  An interval
 * timer, set before, counts ticks and interrupts a read or write that waits; so one mechanism bounds a whole command
 * line as well as one block, on a socket as on a pipe, and costs a connection one wake-up in TICK_MAX.  */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Install the handlers: TERM asks to stop, ALRM counts a tick, PIPE and XFSZ are ignored.  Before a fork. */
void clock_signals(void);

/* This signal, too, asks to stop.  */
void clock_stop_on(int sig);

/* Start the timer of this process (a fork does not inherit it).  `shortest` is the shortest limit that will be used,
 * in milliseconds; a limit is kept to about a tenth of it. */
void clock_start(unsigned shortest);

/* The tick at which `ms` milliseconds have surely passed.  */
uint32_t clock_deadline(unsigned ms);
bool clock_passed(uint32_t deadline);

/* Milliseconds of a clock that only goes forward.  Not for the speaker.  */
uint64_t millis(void);

/* Whether a signal asked this process to stop.  */
bool clock_stop_asked(void);

#endif
