/* Keeper and speaker: the fork, the strict mode, and the few messages of fixed size between them.  The two share one descriptor table, so
 * that the keeper can put a connection where the speaker can use it; hence neither sees end of file when the other dies, and the
 * keeper watches the speaker by pidfd while the kernel ends the speaker with the keeper.
 * SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "identity.h"
#include "nexthop.h"
#include "reply.h"
#include "sandbox.h"
#include "services.h"
#include "session.h"

enum { ASK_HOP = 1, ASK_TIME, DROP_HOP, ASK_TLS, SWITCH, ASK_AUTH, ASK_VERDICT };

/* Speaker to keeper: one of them, told apart by their sizes.  */
union message {
	uint32_t request;
	struct event event;
	struct about about;
};
/* Keeper to speaker, after all requests but DROP_HOP.  */
struct told {
	int32_t fd;             /* -1: there is none to be had */
	uint32_t what;          /* ASK_HOP: it is ours; ASK_VERDICT: the verdict */
	int64_t now;
};

struct keeping {
	const struct keeper *k;
	int channel, pidfd;
	pid_t speaker;
	struct nexthop hop;
	struct helper tls, auth;
	uint64_t started, message, asked;       /* milliseconds: the connection, the transaction in hand, the last password */
};

static int speaker_channel = -1;        /* the speaker's end: set before the fork, the same ever after */

/* --- the speaker's side: read and write only --- */

static bool tell(const void *message, size_t n)
{
	ssize_t w;
	do w = write(speaker_channel, message, n);
	while (w < 0 && errno == EINTR);
	return w >= 0;
}

/* Ask and hear.  After one answer has failed no other is waited for: it might be that to the question before.  */
static struct told ask(uint32_t request)
{
	static bool deaf;
	static const struct told none = { .fd = -1 };
	struct told t;
	ssize_t r = -1;
	deaf = deaf || !tell(&request, sizeof request);
	if (!deaf) {
		do r = read(speaker_channel, &t, sizeof t);
		while (r < 0 && errno == EINTR);
	}
	deaf = r != (ssize_t)sizeof t;
	return deaf ? none : t;
}

int keeper_ask_hop(time_t *now, bool *ours)
{
	struct told t = ask(ASK_HOP);
	*now = (time_t)t.now;
	*ours = t.what;
	return t.fd;
}

time_t keeper_ask_time(void) { return (time_t)ask(ASK_TIME).now; }
void keeper_tell(const struct event *e) { tell(e, sizeof *e); }
void keeper_about(const struct about *about) { tell(about, sizeof *about); }
int keeper_ask_tls(void) { return ask(ASK_TLS).fd; }
bool keeper_switch(void) { return ask(SWITCH).fd == 0; }
int keeper_ask_auth(void) { return ask(ASK_AUTH).fd; }
enum verdict keeper_verdict(void) { return (enum verdict)ask(ASK_VERDICT).what; }
void keeper_drop_hop(void) { tell(&(uint32_t){ DROP_HOP }, sizeof (uint32_t)); }

static unsigned shortest(const struct config *cf)
{
	const unsigned long long limits[] = { cf->command_timeout, cf->data_timeout, cf->deliver_timeout, cf->session_timeout };
	unsigned long long least = *cf->proxy && PROXY_PATIENCE < limits[0] ? PROXY_PATIENCE : limits[0];
	for (size_t i = 1; i < sizeof limits / sizeof *limits; i++)
		if (limits[i] < least) least = limits[i];
	return (unsigned)least;
}

/* Never returns: exit_group is one call too many in strict mode.  */
_Noreturn static void speaker(const struct keeper *k, pid_t keeper)
{
	int status = 2;
	bool less = !k->uid || identity_become(k->uid, k->gid, NULL) == 0;      /* first: it would undo the next line */
	if (less && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == keeper) {
		clock_start(shortest(k->cf));
		if (!k->cf->sandbox || sandbox_speaker()) status = k->speak(k->ctx) ? 0 : 1;
	}
	for (;;) syscall(SYS_exit, status);
}

/* --- the keeper's side --- */

static void answer(const struct keeping *g, int fd, uint32_t what)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	struct told told = { .fd = fd, .what = what, .now = t.tv_sec };
	/* a speaker that asks and does not hear must not hold us up; the end of all answers needs no memory, and it would wait for ever */
	if (send(g->channel, &told, sizeof told, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) shutdown(g->channel, SHUT_WR);
}

static void note(const struct keeping *g, struct event *e)
{
	e->from[sizeof e->from - 1] = e->rcpt[sizeof e->rcpt - 1] = e->reply[sizeof e->reply - 1] = e->helo[sizeof e->helo - 1] = '\0';
	e->millis = millis() - (e->kind == EVENT_ENDED ? g->started : g->message);
	log_event(e);
}

/* The connection of the client is smtp-tls's alone from now on.  */
static bool switch_to_tls(struct keeping *g)
{
	bool done = g->tls.fd > 1 && dup2(g->tls.fd, 0) == 0 && dup2(g->tls.fd, 1) == 1;
	if (done) close(g->tls.fd);
	if (done) g->tls.fd = -1;
	return done;
}

/* Nobody shall learn from the time of a refusal why it is one, nor try many passwords.  */
static enum verdict verdict(struct keeping *g)
{
	enum { PAUSE = 1000 };
	struct pollfd speaker = { .fd = g->pidfd, .events = POLLIN };
	enum verdict v = auth_verdict(&g->auth);
	uint64_t now, until = g->asked + PAUSE;
	while (v != VERDICT_YES && !clock_stop_asked() && (now = millis()) < until && poll(&speaker, 1, (int)(until - now)) <= 0) continue;
	return v;
}

/* Do what the speaker asks, and answer.  */
static void serve(struct keeping *g, uint32_t request)
{
	const struct keeper *k = g->k;
	switch (request) {
	case ASK_HOP:
		nexthop_close(&g->hop, true);
		nexthop_open(&g->hop, k->cf);
		g->message = millis();
		answer(g, g->hop.helper.fd, g->hop.helper.fd >= 0 && g->hop.ours);
		nexthop_start(&g->hop, k->cf, k->id);   /* while the speaker goes on */
		break;
	case ASK_TIME:
		g->message = millis();
		answer(g, -1, 0);
		break;
	case DROP_HOP:
		nexthop_close(&g->hop, true);
		break;
	case ASK_TLS:
		helper_close(&g->tls, true);
		tls_open(&g->tls, k->cf, 0, k->id, k->peer);
		answer(g, g->tls.fd, 0);
		tls_start(&g->tls, k->cf);
		break;
	case SWITCH:
		answer(g, switch_to_tls(g) ? 0 : -1, 0);
		break;
	case ASK_AUTH:
		helper_close(&g->auth, true);
		auth_open(&g->auth, k->cf);
		g->asked = millis();
		answer(g, g->auth.fd, 0);
		auth_start(&g->auth, k->cf, k->peer);
		break;
	case ASK_VERDICT:
		answer(g, -1, verdict(g));
		break;
	default:
		log_line(LEVEL_WARNING, "speaker: unknown request");
	}
}

static void learn_about(const struct keeping *g, struct about *about)
{
	about->peer[sizeof about->peer - 1] = about->user[sizeof about->user - 1] = about->tls[sizeof about->tls - 1] = '\0';
	if (!peer_parse(g->k->peer, about->peer) && strcmp(about->peer, "local") == 0) strcpy(g->k->peer, "local");        /* XCLIENT: not known */
	log_about(about->user, about->tls);
}

/* Take one message of the speaker, which may have `ended` by now.  False when none is there; *last says that no other will come.  */
static bool hear(struct keeping *g, bool ended, bool *last)
{
	union message m;
	ssize_t n = recv(g->channel, &m, sizeof m, MSG_DONTWAIT);
	if (n <= 0) return false;
	if (n == sizeof m.event) {
		*last = m.event.kind == EVENT_ENDED;
		note(g, &m.event);
	} else if (n == sizeof m.about) {
		learn_about(g, &m.about);
	} else if (!ended) {            /* else nobody is there for an answer */
		serve(g, n == sizeof m.request ? m.request : 0);
	}
	return true;
}

/* Serve until the speaker has ended and all that it said was heard.  Returns its wait status.  */
static int watch(struct keeping *g)
{
	enum { GRACE = 60000, AGAIN = 200 };
	uint64_t end = g->started + g->k->cf->session_timeout + GRACE;
	struct pollfd fds[] = { { .fd = g->channel, .events = POLLIN }, { .fd = g->pidfd, .events = POLLIN } };
	int status = 0;
	bool last = false, honest = true;
	for (;;) {
		uint64_t now = millis(), wait = clock_stop_asked() ? AGAIN : now < end ? end - now : 0;
		int n = poll(fds, 2, wait < INT_MAX ? (int)wait : INT_MAX);     /* a signal right before it is seen at the next tick */
		if (now >= end) kill(g->speaker, SIGKILL);      /* it did not keep its own deadline: then it is not ours any more */
		else if (clock_stop_asked()) kill(g->speaker, SIGTERM); /* again and again: a signal right before a read is not seen by it */
		if (n <= 0) continue;
		bool told = fds[0].revents && hear(g, fds[1].revents, &last);
		if (told ? !(last && honest) : !fds[1].revents) continue;
		if (waitpid(g->speaker, &status, 0) == g->speaker) return status;
		honest = false;         /* a tick has come by: it said its last word and did not end */
	}
}

/* Hang up after our last words: input that is still unread would turn the close into a reset, and the client might never see them.  */
static void linger(void)
{
	enum { ROUNDS = 16, WAIT = 500, PIECE = 1 << 20 };
	struct pollfd p = { .fd = 0, .events = POLLIN };
	if (shutdown(1, SHUT_WR) != 0) return;
	for (int i = 0; i < ROUNDS; i++) {
		int n = poll(&p, 1, WAIT);
		if (n == 0 || (n > 0 && recv(0, NULL, PIECE, MSG_TRUNC | MSG_DONTWAIT) <= 0)) return;   /* TCP throws it away unseen */
	}
}

static pid_t fork_sharing(int *pidfd)
{
	struct clone_args args = { .flags = CLONE_FILES | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)pidfd, .exit_signal = SIGCHLD };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0 && errno == ENOSYS) pid = (pid_t)syscall(SYS_clone, args.flags | SIGCHLD, NULL, pidfd, NULL, NULL);  /* old container filters */
	return pid;
}

int keeper_run(const struct keeper *k)
{
	struct keeping g = { .k = k, .hop = { .helper = HELPER_NONE }, .tls = HELPER_NONE, .auth = HELPER_NONE, .started = millis() };
	int pair[2];
	sigset_t none;
	sigemptyset(&none);
	clock_signals();
	sigprocmask(SIG_SETMASK, &none, NULL);  /* whatever our parent blocks */
	pid_t self = gettid();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		log_line(LEVEL_ERROR, "no socket for the speaker: %s", strerror(errno));
		reply_write(1, REPLY(CANNOT_SERVE));
		return EX_TEMPFAIL;
	}
	enum { PATIENCE = 50000 };
	clock_start(PATIENCE);  /* a log that does not take our line, or a program that does not end, is waited for no longer than a tick */
	/* what is needed to start the helper and to signal the speaker */
	if (k->uid) identity_keep(1U << CAP_DAC_READ_SEARCH | 1U << CAP_KILL | 1U << CAP_SETUID | 1U << CAP_SETGID);
	g.channel = pair[0];
	speaker_channel = pair[1];
	g.speaker = fork_sharing(&g.pidfd);
	if (g.speaker == 0) speaker(k, self);
	if (g.speaker < 0) {
		log_line(LEVEL_ERROR, "cannot start the speaker: %s", strerror(errno));
		reply_write(1, REPLY(CANNOT_SERVE));
		return EX_TEMPFAIL;
	}
	int status = watch(&g);
	bool killed = WIFSIGNALED(status), refused = WIFEXITED(status) && WEXITSTATUS(status) == 2;
	if (refused) reply_write(1, REPLY(CANNOT_SERVE));
	if (!killed && status != 0) linger();
	if (syscall(SYS_close_range, 0, 1, 0) != 0) {
		close(0);
		close(1);
	}
	nexthop_close(&g.hop, false);
	helper_close(&g.auth, true);
	helper_close(&g.tls, false);    /* it has our last words in hand */
	if (killed) {
		struct event e = { .kind = EVENT_SPEAKER_KILLED };
		snprintf(e.reply, sizeof e.reply, "by signal %d", WTERMSIG(status));
		log_event(&e);
	}
	if (refused) log_line(LEVEL_ERROR, "the kernel refuses the speaker's sandbox (sandbox = no runs without)");
	return killed || refused ? EX_TEMPFAIL : EX_OK;
}
