/* One message into one Maildir, durably, in steps, so that many Maildirs can be done together.
 * Format: https://cr.yp.to/proto/maildir.html and Maildir++ names; errors are errno values, 0 is success.  */
#ifndef MAILDIR_H
#define MAILDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct maildir {
	int box, tmp, new;      /* directories */
	dev_t dev;              /* with ino: which directory this is, whatever it was called */
	ino_t ino;
	uid_t uid;              /* whose it is: as root we write as he (owner.h) */
	gid_t gid;
	mode_t mode;
};

enum { MAILDIR_NAME = 200 };

struct maildir_file {
	int fd;                 /* -1: closed, or none */
	enum { MAILDIR_NONE, MAILDIR_IN_TMP, MAILDIR_IN_NEW } where;
	char name[MAILDIR_NAME + 50];
};

/* Open the Maildir in the directory `box`, whose descriptor is taken over.  tmp, new and cur are made if missing; links in
 * their place are refused.  */
int maildir_open(struct maildir *m, int box);
void maildir_close(struct maildir *m);

/* A new file in tmp/, open for reading and writing.  `host` is our name; it is made fit for a file name.  */
int maildir_create(const struct maildir *m, struct maildir_file *f, const char *host);

/* The descriptor is closed, and with `sync` what was written is on the disk; else it is after maildir_sync_all.  */
int maildir_settle(struct maildir_file *f, bool sync);

/* From tmp/ to new/, never over another file, with ,S=size,W=vsize behind the name (vsize counts line ends as two).  Durable after
 * maildir_sync.  */
int maildir_publish(const struct maildir *m, struct maildir_file *f, uint64_t size, uint64_t vsize);
int maildir_sync(const struct maildir *m);

/* Everything on its file system is on the disk, files and directories.  Says what went wrong with any of it since the Maildir was opened.  */
int maildir_sync_all(const struct maildir *m);

/* Remove the file, wherever it got to.  */
void maildir_retract(const struct maildir *m, struct maildir_file *f);

/* Remove what a crash left in tmp/ under a name of ours more than 36 hours ago; a few at a time.  One delivery in eight,
 * by the microsecond in its name, is enough for that.  */
bool maildir_sweep_due(const struct maildir_file *f);
void maildir_sweep(const struct maildir *m, time_t now);

#endif
