/* SPDX-License-Identifier: MIT */
#include "pass.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "work.h"

enum { PER_DESTINATION = 2, LOOK_NEW = 1, LOOK_ALL = 60 };

/* A destination, with its entries in all.id[next..end), the oldest first.  */
struct destination {
	uint64_t hash;
	size_t next, end;
	unsigned running;
	time_t down;            /* until when it is left alone; 0: it is not */
	bool known_down;        /* there is a file that says so */
	bool answered;          /* in this pass */
	bool alone;             /* a process of several of its entries was killed: from now on each entry has its own */
};

struct worker { pid_t pid; uint64_t hash, since; struct entry_id *ids; size_t n; };

struct pass {
	const struct spool *s;
	struct spool_names all;
	struct destination *to;
	size_t count, turn;     /* destinations; whose turn it is */
	struct worker *worker;
	size_t running, parallel, per;
	uint64_t looked_new;    /* when */
	bool exhausted;         /* no more processes can be had */
	bool moved;             /* something was done since the queue was last read: it is worth another look */
	bool unwritten;         /* something sent was not written down: no more is begun */
	bool stopping;          /* the workers were told */
	int stuck;              /* errno, if something new cannot be moved */
	bool one_hop;           /* all goes to relayhost: it has one limit, and is up or down for all */
};

static uint64_t destination_of(const struct pass *p, const struct entry_id *id) { return p->one_hop ? 0 : id->hash; }

/* --- destinations that are down: a file each, whose times say since and until when --- */

static void host_name(char name[24], uint64_t hash) { snprintf(name, 24, "%016" PRIx64, hash); }

static void read_down(const struct pass *p, struct destination *d)
{
	char name[24];
	struct stat st;
	host_name(name, d->hash);
	if (fstatat(p->s->host, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return;
	d->known_down = true;
	time_t now = spool_now(p->s);
	if (st.st_mtime > now && st.st_mtime <= now + SPOOL_AHEAD) d->down = st.st_mtime;     /* else the clock was wrong then */
}

/* It has not answered: leave it alone, longer each time.  */
static void set_down(const struct pass *p, struct destination *d)
{
	char name[24];
	struct stat st = { 0 };
	time_t now = spool_now(p->s);
	unsigned attempts = 1;
	host_name(name, d->hash);
	int fd = openat(p->s->host, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (d->known_down && fd >= 0 && fstat(fd, &st) == 0) attempts = st.st_mtime - st.st_atime < 8 * 60 ? 2 : 3;
	d->down = now + work_delay(attempts);
	d->known_down = true;
	if (fd < 0) return;
	futimens(fd, (struct timespec[]){ { .tv_sec = now }, { .tv_sec = d->down } });
	close(fd);
}

static void set_up(const struct pass *p, struct destination *d)
{
	char name[24];
	host_name(name, d->hash);
	if (d->known_down) unlinkat(p->s->host, name, 0);
	d->known_down = false;
	d->down = 0;
}

/* --- what is due --- */

static int by_destination(const void *x, const void *y)
{
	const struct entry_id *a = x, *b = y;
	if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
	return a->due != b->due ? a->due < b->due ? -1 : 1 : strcmp(a->key, b->key);
}

/* What has come in is seen now, and waits with the others.  True if there was any; what cannot be moved is none, or the pass would never end.  */
static bool take_in(struct pass *p)
{
	struct spool_names new;
	if (!spool_read(p->s, SPOOL_NEW, &new)) return false;
	size_t n = 0;
	for (size_t i = 0; i < new.count; i++) {
		if (spool_move(p->s, SPOOL_NEW, &new.id[i], SPOOL_WAIT, new.id[i].due)) n++;
		else if (errno != ENOENT) p->stuck = errno;
	}
	spool_free(&new);
	return n > 0;
}

/* Once a second is enough, but before the end: a directory that much has passed through stays long, and when something is new all that waits is read again.  */
static bool look_new(struct pass *p, bool at_once)
{
	uint64_t now = millis();
	if (!at_once && now - p->looked_new < LOOK_NEW * 1000) return false;
	p->looked_new = now;
	return take_in(p);
}

static struct destination *find_in(struct destination *to, size_t count, uint64_t hash)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (to[middle].hash < hash) low = middle + 1;
		else high = middle;
	}
	return low < count && to[low].hash == hash ? &to[low] : NULL;
}

static struct destination *find(const struct pass *p, uint64_t hash) { return find_in(p->to, p->count, hash); }

/* Not if that takes long: it may hang in one message, which it has claimed, and the others are free for who has time.  */
static bool is_running(const struct pass *p, const struct entry_id *id)
{
	uint64_t late = millis() - p->s->cf->command_timeout / 10;
	for (size_t i = 0; i < p->running; i++) {
		const struct worker *w = &p->worker[i];
		for (size_t k = 0; w->hash == destination_of(p, id) && w->since >= late && k < w->n; k++)
			if (w->ids[k].hash == id->hash && strcmp(w->ids[k].key, id->key) == 0) return true;
	}
	return false;
}

/* At p->to[at], behind those of lower hashes.  */
static void insert(struct pass *p, size_t at, struct destination d, const struct destination *was)
{
	memmove(&p->to[at + 1], &p->to[at], (p->count++ - at) * sizeof *p->to);
	d.answered = was && was->answered;
	d.alone = was && was->alone;
	read_down(p, &d);
	p->to[at] = d;
}

/* Destinations of the entries that are left in p->all, which is sorted by them, and those whose last are under way; `old` are those of before.  */
static bool group(struct pass *p, struct destination *old, size_t old_count)
{
	uint64_t turn = old_count ? old[p->turn % old_count].hash : 0;
	p->to = calloc(p->all.count + p->running + 1, sizeof *p->to);
	p->count = p->turn = 0;
	if (!p->to) return false;
	for (size_t i = 0; i < p->all.count; i++) {
		struct destination *d = p->count ? &p->to[p->count - 1] : NULL;
		uint64_t hash = destination_of(p, &p->all.id[i]);
		if (!d || d->hash != hash) insert(p, p->count, (struct destination){ .hash = hash, .next = i }, find_in(old, old_count, hash));
		p->to[p->count - 1].end = i + 1;
	}
	for (size_t i = 0; i < p->running; i++) {
		uint64_t hash = p->worker[i].hash;
		size_t at = 0;
		while (at < p->count && p->to[at].hash < hash) at++;
		if (at == p->count || p->to[at].hash != hash) insert(p, at, (struct destination){ .hash = hash }, find_in(old, old_count, hash));
		p->to[at].running++;
	}
	while (p->turn < p->count && p->to[p->turn].hash < turn) p->turn++;     /* where new mail comes in all the time, the others have their turn too */
	return true;
}

/* Read anew what is due.  */
static bool look(struct pass *p)
{
	size_t old_count = p->count;
	struct destination *old = p->to;
	time_t now = spool_now(p->s);
	p->moved = false;
	spool_free(&p->all);
	take_in(p);
	if (!spool_read(p->s, SPOOL_WAIT, &p->all)) return false;       /* and p->to is as it was, for who frees it */
	size_t found = p->all.count;
	p->all.count = 0;
	for (size_t i = 0; i < found; i++) {
		time_t due = p->all.id[i].due;
		bool waits = due > now && due <= now + SPOOL_AHEAD;   /* for what is later the clock was wrong, and who knows how long it would wait */
		if (!waits && !is_running(p, &p->all.id[i])) p->all.id[p->all.count++] = p->all.id[i];
	}
	if (p->all.count > 0 && !p->one_hop) qsort(p->all.id, p->all.count, sizeof *p->all.id, by_destination);
	bool good = group(p, old, old_count);
	free(old);
	return good;
}

/* --- workers --- */

/* How many entries one process takes after each other, over one connection if the server likes that: an equal part, few as long as the server is not known to answer.  */
static size_t portion(const struct pass *p, const struct destination *d)
{
	enum { FIRST = 5, MOST = 100 };
	size_t left = d->end - d->next, places = p->per > d->running ? p->per - d->running : 1, part = (left + places - 1) / places, most = d->answered ? MOST : FIRST;
	return d->down || d->alone ? 1 : part < most ? part : most;
}

/* For the next entries of the destination; when it is down, only to look at the time of one.  */
static bool start(struct pass *p, struct destination *d)
{
	sigset_t none;
	size_t n = portion(p, d);
	struct entry_id *ids = calloc(n, sizeof *ids);
	if (ids) memcpy(ids, &p->all.id[d->next], n * sizeof *ids);
	pid_t pid = ids ? fork() : -1;
	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		_exit((int)work(p->s, ids, n, !d->down, d->down));
	}
	if (pid < 0) {
		if (!p->exhausted) log_line(LEVEL_ERROR, "cannot start a process for an entry: %s (with queue_parallel = %llu)", strerror(errno), p->s->cf->queue_parallel);
		p->exhausted = true;
		free(ids);
		return false;
	}
	p->worker[p->running++] = (struct worker){ pid, d->hash, millis(), ids, n };
	d->running++;
	d->next += n;
	return true;
}

/* The destination is down: its entries wait until it is tried again, but for those that are old enough for their senders to be told.  */
static bool postpone(const struct pass *p, const struct destination *d, struct entry_id *id)
{
	struct stat st;
	time_t now = spool_now(p->s);
	bool there = fstatat(p->s->message, id->key, &st, AT_SYMLINK_NOFOLLOW) == 0;
	time_t age = there ? now - st.st_mtime : 0;
	bool old = age >= (time_t)(p->s->cf->queue_lifetime / 1000) || age < -SPOOL_AHEAD /* it has to be found out how old */, warn = p->s->cf->queue_warn && age >= (time_t)(p->s->cf->queue_warn / 1000);
	int fd = old ? -1 : spool_claim(p->s, SPOOL_WAIT, id);
	if (old) return false;
	if (fd < 0) return errno == EWOULDBLOCK || errno == ENOENT;     /* who works on it gives it its time; what cannot be opened, a process says so */
	if (warn) {
		struct entry e;
		warn = entry_read(&e, fd) && !e.warned;
		entry_free(&e);
	}
	if (!warn) spool_move(p->s, SPOOL_WAIT, id, SPOOL_WAIT, d->down);
	close(fd);
	return !warn;
}

/* Whether another process may be given to it.  A server that does not answer can hold one for minutes: so one that has not answered yet gets a single one, and all of
 * these together not all that there are, and those that were down before a few.  */
struct silence { size_t all, down; };
static struct silence count_silent(const struct pass *p)
{
	struct silence n = { 0 };
	for (size_t i = 0; i < p->running; i++) {
		const struct destination *d = find(p, p->worker[i].hash);
		n.all += !d || !d->answered;
		n.down += d && d->known_down && !d->answered;
	}
	return n;
}

static bool may_run(const struct pass *p, const struct destination *d, struct silence n)
{
	if (d->answered) return d->running < p->per;
	return d->running == 0 && n.all <= p->parallel * 3 / 4 && (!d->known_down || n.down <= p->parallel / 4);
}

/* The next entry of some destination that may be worked on, begun.  False: there is none now.  */
static bool start_next(struct pass *p)
{
	struct silence silent = count_silent(p);
	for (size_t i = 0; i < p->count; i++) {
		struct destination *d = &p->to[(p->turn + i) % p->count];
		while (d->next < d->end && d->down && postpone(p, d, &p->all.id[d->next])) d->next++;
		if (d->next == d->end || !may_run(p, d, silent)) continue;
		p->turn = (p->turn + i + 1) % p->count;
		return start(p, d);
	}
	return false;
}

static void ended(struct pass *p, pid_t pid, int status)
{
	for (size_t i = 0; i < p->running; i++) {
		if (p->worker[i].pid != pid) continue;
		struct destination *d = find(p, p->worker[i].hash);
		bool several = p->worker[i].n > 1, killed = WIFSIGNALED(status);
		free(p->worker[i].ids);
		p->worker[i] = p->worker[--p->running];
		p->moved |= killed ? several : WEXITSTATUS(status) != WORK_GONE;
		p->unwritten |= !killed && WEXITSTATUS(status) == WORK_UNWRITTEN;
		if (killed) log_line(LEVEL_ERROR, "the process of an entry was ended by signal %d", WTERMSIG(status));
		if (!d) return;
		d->running--;
		d->alone |= killed;     /* what has killed it shall not keep the others waiting for ever */
		if (WIFEXITED(status) && WEXITSTATUS(status) == WORK_DOWN && !d->down) {
			d->answered = false;
			set_down(p, d);
		}
		if (WIFEXITED(status) && WEXITSTATUS(status) == WORK_DONE) d->answered = true;
		if (d->answered && !d->down) set_up(p, d);
		return;
	}
}

/* Whether no more is to be begun.  */
static bool ending(const struct pass *p) { return p->unwritten || clock_stop_asked(); }

/* A signal to stop may come to us alone; each finishes the message that it has in hand.  */
static void stop_workers(struct pass *p)
{
	for (size_t i = 0; !p->stopping && i < p->running; i++) kill(p->worker[i].pid, SIGTERM);
	p->stopping = true;
}

/* Wait for a process to end, a second at most.  */
static void wait_a_second(struct pass *p, const sigset_t *child)
{
	int status;
	pid_t pid;
	if ((pid = waitpid(-1, &status, WNOHANG)) == 0) {
		sigtimedwait(child, NULL, &(struct timespec){ .tv_sec = LOOK_NEW });
		pid = waitpid(-1, &status, WNOHANG);
	}
	for (; pid > 0; pid = waitpid(-1, &status, WNOHANG)) ended(p, pid, status);
}

bool pass_run(const struct spool *s)
{
	struct pass p = { .s = s, .parallel = (size_t)s->cf->queue_parallel, .one_hop = *s->cf->relayhost };
	sigset_t child;
	p.per = p.one_hop || p.parallel < PER_DESTINATION ? p.parallel : PER_DESTINATION;
	p.worker = calloc(p.parallel, sizeof *p.worker);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	signal(SIGCHLD, SIG_DFL);
	bool good = p.worker && look(&p);
	for (uint64_t looked = millis(); good;) {
		while (p.running < p.parallel && !ending(&p) && start_next(&p)) continue;
		bool idle = p.running == 0;     /* and nothing can be started */
		if (idle && (p.exhausted || ending(&p))) break;
		if (ending(&p)) stop_workers(&p);
		if (!idle) wait_a_second(&p, &child);
		bool new = look_new(&p, idle);
		if (idle && !new && !p.moved) break;
		if (!idle && !new && millis() - looked <= LOOK_ALL * 1000) continue;
		good = look(&p);
		looked = millis();
	}
	if (p.stuck) log_line(LEVEL_ERROR, "queue_dir = %s: what is new cannot be moved: %s", s->cf->queue_dir, strerror(p.stuck));
	if (!good) log_line(LEVEL_ERROR, "queue_dir = %s: %s", s->cf->queue_dir, strerror(errno));
	free(p.to);
	free(p.worker);
	spool_free(&p.all);
	return good && !p.exhausted && !p.stuck && !p.unwritten;    /* what is left is the next pass's */
}
