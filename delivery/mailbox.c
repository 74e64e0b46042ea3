/* Hold, folder, quota: everything as the owner of the mailbox.
 * SPDX-License-Identifier: MIT */
#include "mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "owner.h"

static int inbox_of(const struct mailbox *b, const struct maildir *m) { return b->inbox >= 0 ? b->inbox : m->box; }

/* A detail that may be a folder's name: ASCII, since others are encoded there in a way of their own; no part of it empty.  */
static bool folder_name(const char *detail)
{
	size_t n = strlen(detail);
	if (n == 0 || detail[0] == '.' || detail[n - 1] == '.' || strstr(detail, "..")) return false;
	for (; *detail; detail++)
		if (*detail <= ' ' || *detail >= 0x7f || *detail == '/') return false;
	return true;
}

/* The folder, as written or in lower case; -1 when there is none, or the mail is for the inbox.  */
static int open_folder(const struct config *cf, int box, const char *detail)
{
	enum { FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
	char name[LOCAL_MAX + 2] = ".";
	struct stat st;
	if (!*detail || !cf->detail_folders || !folder_name(detail)) return -1;
	if (fstat(box, &st) != 0 || owner_enter(st.st_uid, st.st_gid) != 0) return -1;
	snprintf(name + 1, sizeof name - 1, "%s", detail);
	int fd = openat(box, name, FLAGS);
	fold(name);
	return fd < 0 && errno == ENOENT ? openat(box, name, FLAGS) : fd;
}

static const struct reply *trouble(const char *rcpt, int e)
{
	char text[4 * PATH_MAX_LEN + 8];
	log_line(LEVEL_ERROR, "%s: cannot open mailbox: %s", log_escape(text, sizeof text, rcpt), strerror(e));
	return e == ENOSPC ? REPLY(DISK_FULL) : e == EDQUOT ? REPLY(QUOTA) : e == EMFILE || e == ENFILE || e == ENOMEM ? REPLY(LOCAL_ERROR) : REPLY(MAILBOX_TROUBLE);
}

/* Room for a message of that size?  */
static const struct reply *check_quota(const struct config *cf, struct mailbox *b, const struct maildir *m, const struct addressee *a)
{
	struct quota q;
	int e = owner_enter(m->uid, m->gid);
	if (!e) e = quota_read(inbox_of(b, m), cf->quota, a->size, &q);
	if (e) return trouble(a->rcpt, e);
	b->limited = q.octets > 0 || q.messages > 0;
	if (!b->limited || (!quota_full(&q) && quota_fits(&q, a->size))) return NULL;
	return cf->quota_hard ? REPLY(QUOTA_HARD) : REPLY(QUOTA);
}

const struct reply *mailbox_open(const struct config *cf, struct mailbox *b, struct maildir *m, int box, const struct addressee *a)
{
	struct stat st = { 0 };
	int folder = open_folder(cf, box, a->detail);
	*b = (struct mailbox){ .inbox = folder >= 0 ? box : -1 };
	int e = maildir_open(m, folder >= 0 ? folder : box);
	const struct reply *r = e ? trouble(a->rcpt, e) : NULL;
	if (!r) r = (folder >= 0 && fstat(box, &st) == 0 ? st.st_mode : m->mode) & S_ISVTX ? REPLY(ON_HOLD) : check_quota(cf, b, m, a);
	if (!r) return NULL;
	if (!e) maildir_close(m);
	mailbox_close(b);
	return r;
}

void mailbox_close(struct mailbox *b)
{
	if (b->inbox >= 0) close(b->inbox);
	b->inbox = -1;
}

bool mailbox_full(const struct config *cf, const struct mailbox *b, const struct maildir *m)
{
	struct quota q;
	return b->limited && owner_enter(m->uid, m->gid) == 0 && quota_read(inbox_of(b, m), cf->quota, 0, &q) == 0 && quota_full(&q);
}

void mailbox_count(const struct mailbox *b, const struct maildir *m, uint64_t octets)
{
	if (b->limited && owner_enter(m->uid, m->gid) == 0) quota_add(inbox_of(b, m), octets, 1);
}
