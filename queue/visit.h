/* All entries of the queue, each once, while passes and other commands give them other names.  */
#ifndef VISIT_H
#define VISIT_H

#include "spool.h"

/* What came of a visit to an entry.  */
enum outcome {
	NOT_MEANT,
	DONE,
	VANISHED,               /* it has another name by now, or is no more */
	BUSY,                   /* somebody works on it */
	FAILED,                 /* it cannot be done, and that was told */
};

/* Keys, by their hashes.  */
struct keys { uint64_t *slot; size_t room, count; };

/* `each` is called for each entry once, but again for those that VANISHED or are BUSY.  */
struct visit {
	enum outcome (*each)(const struct spool *s, enum spool_place place, struct entry_id *id, void *ctx);
	void *ctx;
	/* what has come of it */
	size_t done, failed, vanished;  /* vanished, and not found again */
	struct spool_names busy;        /* to be freed with spool_free */
	struct keys seen;               /* visit's own */
};

/* Until all were seen, or as often as is reasonable.  False with errno: a folder cannot be read, or there is no memory.  */
bool visit(const struct spool *s, struct visit *v);

#endif
