/* One user's copies.  The child is the same delivery as the main process's, on the Maildirs of one home: it stages when it is told to, publishes
 * when it is told to, and takes back what it has published if it is not told to keep it.
 * SPDX-License-Identifier: MIT */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "channel.h"
#include "clock.h"
#include "identity.h"
#include "log.h"
#include "sandbox.h"

enum order { ADD = 'A', UNDO = 'U', DATA = 'D', STAGE = 'C', PUBLISH = 'P', KEEP = 'K' };

struct order_add {
	char order;
	uint64_t size;
	char rcpt[PATH_MAX_LEN + 1], final[PATH_MAX_LEN + 1], sender[PATH_MAX_LEN + 1], detail[LOCAL_MAX + 1];
};
struct order_stage {
	char order;
	uint64_t lines;
};
union order_any {
	char order, text[CHANNEL_MOST];
	struct order_add add;
	struct order_stage stage;
};

enum { WRITER_NAMES = 1000 };

static struct writer {
	const struct config *cf;
	const struct passwd *user;
	int channel, home;
	size_t added;
	struct delivery_mark before[WRITER_NAMES];
	struct delivery delivery;
	union order_any order;
} writer;

/* A reply travels as its row in the table.  */
static bool answer(const struct writer *w, const struct reply *r)
{
	int32_t row = (int32_t)((r ? r : REPLY(FLUSHED)) - reply_table);
	return channel_send(w->channel, &row, sizeof row, NULL);
}

static const struct reply *trouble(const struct writer *w, const char *what, const char *why)
{
	char home[1024];
	log_line(LEVEL_ERROR, "user %s: %s: %s: %s", w->user->pw_name, log_escape(home, sizeof home, w->user->pw_dir), what, why);
	return REPLY(HOME_TROUBLE);
}

/* The home, as the user: whoever else could put something there, could have mail written to where he wants it.  */
static const struct reply *open_home(struct writer *w)
{
	struct stat st;
	w->home = open(w->user->pw_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->home < 0 && (errno == ELOOP || errno == ENOTDIR)) return trouble(w, "home", "a link, or not a directory");
	if (w->home < 0 || fstat(w->home, &st) != 0) return trouble(w, "home", strerror(errno));
	if (st.st_uid != w->user->pw_uid) return trouble(w, "home", "belongs to somebody else");
	if (st.st_mode & S_IWOTH) return trouble(w, "home", "anybody can write to it");
	return st.st_mode & S_ISVTX ? REPLY(ON_HOLD) : NULL;
}

/* The .forward, -1 if there is none.  */
static const struct reply *open_forward(const struct writer *w, int *fd)
{
	struct stat st;
	*fd = openat(w->home, ".forward", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (*fd < 0) return errno == ENOENT ? NULL : trouble(w, ".forward", errno == ELOOP ? "is a link" : strerror(errno));
	const char *why = fstat(*fd, &st) != 0 ? strerror(errno) : !S_ISREG(st.st_mode) ? "is no regular file" :
		st.st_uid != w->user->pw_uid && st.st_uid != 0 ? "belongs to somebody else" :
		st.st_mode & (S_IWGRP | S_IWOTH) ? "others can write to it" : st.st_size > FORWARD_MOST ? "is too large" : NULL;
	return why ? trouble(w, ".forward", why) : NULL;
}

static int open_beneath(int dir, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

/* The inbox, which is made if it is missing.  */
static const struct reply *open_inbox(const struct writer *w, int *box)
{
	struct stat st;
	const char *path = w->cf->user_maildir;
	*box = open_beneath(w->home, path);
	if (*box < 0 && errno == ENOENT && (mkdirat(w->home, path, 0700) == 0 || errno == EEXIST)) {
		*box = open_beneath(w->home, path);
		if (*box >= 0 && fsync(w->home) != 0) return trouble(w, path, strerror(errno));
	}
	if (*box < 0 || fstat(*box, &st) != 0) return trouble(w, path, errno == ELOOP ? "is a link" : strerror(errno));
	return st.st_uid == w->user->pw_uid ? NULL : trouble(w, path, "belongs to somebody else");
}

static const struct reply *add(struct writer *w, struct order_add *o)
{
	int box = -1;
	o->rcpt[sizeof o->rcpt - 1] = o->final[sizeof o->final - 1] = o->sender[sizeof o->sender - 1] = o->detail[sizeof o->detail - 1] = '\0';
	if (w->added == WRITER_NAMES) return REPLY(TOO_MANY_RCPT);
	const struct reply *r = open_inbox(w, &box);
	if (r && box >= 0) close(box);
	if (r) return r;
	w->before[w->added] = delivery_mark(&w->delivery);
	r = delivery_add(&w->delivery, box, &(struct addressee){ o->rcpt, o->final, o->sender, o->detail, o->size });
	if (!r) w->added++;
	return r;
}

/* Whether what is published stays.  The word waits in the channel, also when the other side has gone meanwhile, however late we come; only its end without the word
 * says that nothing stays.  While the kernel cannot tell, it is asked again; if it never can, a copy too many is better than none.  */
static bool told_to_keep(const struct writer *w)
{
	enum { TRIES = 1000, PAUSE = 10 };
	char order = 0;
	for (int i = 0; i < TRIES; i++) {
		ssize_t n = channel_receive(w->channel, &order, sizeof order, NULL);
		if (n >= 0) return n == 1 && order == KEEP;
		poll(NULL, 0, PAUSE);
	}
	return true;
}

static void publish(struct writer *w)
{
	const struct reply *r = delivery_publish(&w->delivery);
	if (answer(w, r) && !r && told_to_keep(w)) delivery_keep(&w->delivery);
}

/* Serve one order.  False when that was the last.  */
static bool serve(struct writer *w, size_t n, bool *begun)
{
	struct delivery *d = &w->delivery;
	union order_any *o = &w->order;
	switch (o->order) {
	case ADD:
		return n == sizeof o->add && !*begun && answer(w, add(w, &o->add));
	case UNDO:
		if (*begun || w->added == 0) return false;
		delivery_rollback(d, w->before[--w->added]);
		return true;
	case DATA:
		if (!*begun) delivery_begin(d);
		*begun = true;
		delivery_write(d, o->text + 1, n - 1);
		return true;
	case STAGE:
		if (!*begun) delivery_begin(d);
		*begun = true;
		return n == sizeof o->stage && answer(w, delivery_stage(d, o->stage.lines));
	case PUBLISH:
		publish(w);
		return false;
	default:
		return false;
	}
}

_Noreturn void writer_run(const struct config *cf, const struct passwd *user, int channel)
{
	struct writer *w = &writer;
	int forward = -1, e = identity_become(user->pw_uid, user->pw_gid, user->pw_name);
	bool begun = false;
	ssize_t n;
	w->cf = cf;
	w->user = user;
	w->channel = channel;
	const struct reply *r = e ? trouble(w, "cannot become him", strerror(e)) : open_home(w);
	if (!r) r = open_forward(w, &forward);
	if (!r && cf->sandbox) sandbox_beneath(w->home, -1);
	if (!r) delivery_init(&w->delivery, cf, -1, WRITER_NAMES);
	if (!answer(w, r) || r || !channel_send_file(channel, forward, forward < 0 ? ENOENT : 0)) _exit(EX_OK);
	if (forward >= 0) close(forward);
	while ((n = channel_receive(channel, &w->order, sizeof w->order, NULL)) > 0 && serve(w, (size_t)n, &begun)) continue;
	delivery_end(&w->delivery);
	_exit(EX_OK);
}

/* --- the other end --- */

const struct reply *writer_answer(int channel)
{
	int32_t row = -1;
	if (channel_receive(channel, &row, sizeof row, NULL) != sizeof row || row < 0 || row >= REPLY_COUNT) return REPLY(LOCAL_ERROR);
	return reply_table[row].code / 100 == 2 ? NULL : &reply_table[row];
}

void writer_limit(int channel, unsigned ms)
{
	struct timeval limit = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
	setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

const struct reply *writer_greeting(int channel, char **forward)
{
	*forward = NULL;
	const struct reply *r = writer_answer(channel);
	if (r) return r;
	*forward = channel_receive_file(channel, FORWARD_MOST);
	return *forward || errno == ENOENT ? NULL : errno == EBADMSG ? REPLY(BAD_ALIAS) : REPLY(LOCAL_ERROR);
}

bool writer_add(int channel, const struct addressee *a)
{
	struct order_add o = { .order = ADD, .size = a->size };
	snprintf(o.rcpt, sizeof o.rcpt, "%s", a->rcpt);
	snprintf(o.final, sizeof o.final, "%s", a->final);
	snprintf(o.sender, sizeof o.sender, "%s", a->sender);
	snprintf(o.detail, sizeof o.detail, "%s", a->detail);
	return channel_send(channel, &o, sizeof o, NULL);
}

bool writer_write(int channel, const char *p, size_t n)
{
	enum { PIECE = CHANNEL_PIECE };
	static char message[PIECE + 1];
	message[0] = DATA;
	while (n > 0) {
		size_t piece = n < PIECE ? n : PIECE;
		memcpy(message + 1, p, piece);
		if (!channel_send(channel, message, piece + 1, NULL)) return false;
		p += piece;
		n -= piece;
	}
	return true;
}

bool writer_stage(int channel, uint64_t lines)
{
	return channel_send(channel, &(struct order_stage){ .order = STAGE, .lines = lines }, sizeof (struct order_stage), NULL);
}

bool writer_publish(int channel) { return channel_send(channel, &(char){ PUBLISH }, 1, NULL); }
void writer_undo(int channel) { channel_send(channel, &(char){ UNDO }, 1, NULL); }

/* One who has gone cannot take anything back.  */
bool writer_keep(int channel)
{
	enum { TRIES = 100, PAUSE = 10 };
	for (int i = 0; i < TRIES; i++) {
		if (channel_send(channel, &(char){ KEEP }, 1, NULL) || errno == EPIPE || errno == ECONNRESET) return true;
		poll(NULL, 0, PAUSE);
	}
	return false;
}
