/* The question for a new password.  Whatever ends or stops us meanwhile, the terminal echoes again afterwards.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "passwd.h"

enum asked { ASKED, ASK_FAILED, ASK_TOO_LONG, ASK_SIGNAL };

/* One line, by octets, so that no buffer holds more of it than `out`.  `signals` may be -1.  */
static enum asked read_line(int fd, int signals, char out[PASSWORD_MAX + 1])
{
	size_t n = 0;
	bool fits = true;
	memset(out, '\0', PASSWORD_MAX + 1);
	for (;;) {
		char c;
		struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
		if (poll(p, 2, -1) < 0 && errno != EINTR) return ASK_FAILED;
		if (p[1].revents) return ASK_SIGNAL;
		if (!p[0].revents) continue;
		ssize_t r = read(fd, &c, 1);
		if (r < 0 && errno != EINTR) return ASK_FAILED;
		if (r < 0) continue;
		if (r == 0 || c == '\n') break;
		if (n < PASSWORD_MAX) out[n++] = c;
		else if (c != '\r') fits = false;
	}
	if (n > 0 && out[n - 1] == '\r') out[--n] = '\0';
	if (memchr(out, '\0', n)) return ASK_FAILED;
	return fits ? ASKED : ASK_TOO_LONG;
}

static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0) return;          /* then the answer will fail too */
}

/* Ask once.  A signal comes to our notice as an event; when the terminal is as it was, we send it to ourselves, for it to do what it does.  Who was stopped and goes
 * on is asked anew.  */
static enum asked prompt(int tty, const char *text, char out[PASSWORD_MAX + 1])
{
	struct termios old, quiet;
	sigset_t held, before;
	enum asked result;
	sigemptyset(&held);
	for (size_t i = 0; i < 5; i++) sigaddset(&held, (const int[]){ SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP }[i]);
	do {
		struct signalfd_siginfo info = { 0 };
		if (tcgetattr(tty, &old) != 0) return ASK_FAILED;
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
		sigprocmask(SIG_BLOCK, &held, &before);
		int signals = signalfd(-1, &held, SFD_CLOEXEC);
		result = signals >= 0 && tcsetattr(tty, TCSAFLUSH, &quiet) == 0 ? ASKED : ASK_FAILED;
		if (result == ASKED) {
			say(tty, text);
			result = read_line(tty, signals, out);
			tcsetattr(tty, TCSAFLUSH, &old);
			say(tty, "\n");
		}
		if (result == ASK_SIGNAL && read(signals, &info, sizeof info) == sizeof info) raise((int)info.ssi_signo);
		if (signals >= 0) close(signals);
		sigprocmask(SIG_SETMASK, &before, NULL);
	} while (result == ASK_SIGNAL);
	return result;
}

/* NULL if it can be a password, else why not.  */
static const char *wrong(enum asked a, const char *s)
{
	if (a == ASK_TOO_LONG) return "a password has at most 511 octets";
	if (a != ASKED || !sasl_password_valid(s, strlen(s))) return *s ? "a password is text in UTF-8" : "no password, nothing changed";
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f) return "a password has no control characters";
	return NULL;
}

bool ask_password(char out[PASSWORD_MAX + 1])
{
	char again[PASSWORD_MAX + 1] = "";
	*out = '\0';
	int tty = isatty(0) ? open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
	if (isatty(0) && tty < 0) return trouble("/dev/tty", strerror(errno));
	enum asked a = tty >= 0 ? prompt(tty, "New password: ", out) : read_line(0, -1, out);
	const char *why = wrong(a, out);
	if (!why && tty >= 0 && (prompt(tty, "Again: ", again) != ASKED || strcmp(out, again) != 0)) why = "these are two passwords, nothing changed";
	explicit_bzero(again, sizeof again);
	if (tty >= 0) close(tty);
	if (why) fprintf(stderr, "smtp-passwd: %s\n", why);
	return !why;
}
