/* SPDX-License-Identifier: MIT */
#include "visit.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* --- keys that were seen: twice as many slots as there are --- */

static bool keys_add(struct keys *k, uint64_t hash)     /* false: it is there */
{
	size_t i = hash & (k->room - 1);
	if (hash == 0) hash = 1;        /* 0: a free slot */
	for (; k->slot[i]; i = (i + 1) & (k->room - 1))
		if (k->slot[i] == hash) return false;
	k->slot[i] = hash;
	return ++k->count;
}

static bool keys_has(const struct keys *k, uint64_t hash)
{
	if (hash == 0) hash = 1;
	for (size_t i = hash & (k->room - 1); k->slot[i]; i = (i + 1) & (k->room - 1))
		if (k->slot[i] == hash) return true;
	return false;
}

/* Room for so many more.  */
static bool keys_reserve(struct keys *k, size_t more)
{
	struct keys larger = { .room = 64 };
	while (larger.room < 2 * (k->count + more)) larger.room *= 2;
	if (larger.room <= k->room) return true;
	if (!(larger.slot = calloc(larger.room, sizeof *larger.slot))) return false;
	for (size_t i = 0; i < k->room; i++)
		if (k->slot[i]) keys_add(&larger, k->slot[i]);
	free(k->slot);
	*k = larger;
	return true;
}

/* --- rounds --- */

/* The names of all places, in the order in which entries go through them, so that none is overlooked; *moved: but for those that get another name meanwhile.  */
static bool read_places(const struct spool *s, struct spool_names names[SPOOL_PLACES], bool *moved)
{
	struct timespec before[SPOOL_PLACES], now;
	bool good = true;
	*moved = false;
	for (int p = 0; p < SPOOL_PLACES; p++) {
		before[p] = spool_changed(s, (enum spool_place)p);
		names[p] = (struct spool_names){ 0 };
	}
	clock_gettime(CLOCK_REALTIME, &now);
	for (int p = 0; good && p < SPOOL_PLACES; p++) good = spool_read(s, (enum spool_place)p, &names[p]);
	for (int p = 0; p < SPOOL_PLACES; p++) {
		struct timespec after = spool_changed(s, (enum spool_place)p);
		/* the times of folders have the grain of a tick: what was changed just before may have been since, too */
		*moved |= after.tv_sec != before[p].tv_sec || after.tv_nsec != before[p].tv_nsec || now.tv_sec - after.tv_sec <= 1;
	}
	return good;
}

static bool add_busy(struct visit *v, const struct entry_id *id)
{
	struct entry_id *more = realloc(v->busy.id, (v->busy.count + 1) * sizeof *more);
	if (!more) return false;
	v->busy.id = more;
	more[v->busy.count++] = *id;
	return true;
}

static bool visit_one(const struct spool *s, struct visit *v, enum spool_place place, struct entry_id *id)
{
	uint64_t hash = entry_hash(id->key);
	if (keys_has(&v->seen, hash)) return true;
	enum outcome outcome = v->each(s, place, id, v->ctx);
	v->done += outcome == DONE;
	v->failed += outcome == FAILED;
	v->vanished += outcome == VANISHED;
	if (outcome == BUSY) return add_busy(v, id);
	if (outcome != VANISHED) keys_add(&v->seen, hash);
	return true;
}

static bool visit_round(const struct spool *s, struct visit *v, bool *moved)
{
	struct spool_names names[SPOOL_PLACES];
	size_t count = 0;
	v->vanished = v->busy.count = 0;
	bool good = read_places(s, names, moved);
	for (int p = 0; p < SPOOL_PLACES; p++) count += names[p].count;
	good = good && keys_reserve(&v->seen, count);
	for (int p = SPOOL_PLACES - 1; good && p >= 0; p--)
		for (size_t i = 0; good && i < names[p].count; i++) good = visit_one(s, v, (enum spool_place)p, &names[p].id[i]);
	for (int p = 0; p < SPOOL_PLACES; p++) spool_free(&names[p]);
	return good;
}

bool visit(const struct spool *s, struct visit *v)
{
	enum { ROUNDS = 10 };
	bool good = true, again = true, moved;
	for (int round = 0; good && again && round < ROUNDS; round++) {
		size_t before = v->done;
		good = visit_round(s, v, &moved);
		again = v->vanished > 0 || (moved && (round == 0 || v->done > before));
	}
	int error = errno;
	free(v->seen.slot);
	v->seen = (struct keys){ 0 };
	errno = error;
	return good;
}
