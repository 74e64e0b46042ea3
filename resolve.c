/* The file system is the user table.  A name from outside is folded, checked against an allowlist, and only then looked up, beneath
 * mail_root and nowhere else: the kernel resolves links and refuses those that lead out.
 * SPDX-License-Identifier: MIT */
#include "resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "maildir.h"
#include "owner.h"

bool resolver_open(struct resolver *r, const struct config *cf, bool catch_all)
{
	catch_all = catch_all && *cf->catch_all;
	const char *path = catch_all ? cf->catch_all : cf->mail_root;
	*r = (struct resolver){ .cf = cf, .catch_all = catch_all };
	if (catch_all && mkdir(path, 0700) != 0 && errno != EEXIST) log_line(LEVEL_ERROR, "cannot make %s: %s", path, strerror(errno));
	r->root = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->root < 0) log_line(LEVEL_ERROR, "cannot open %s: %s", path, strerror(errno));
	return r->root >= 0;
}

/* A name that may stand in a path: what remains of it is what was asked for, or nothing.  */
static bool name_valid(const char *s)
{
	if (*s == '\0' || *s == '.') return false;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!alnum && c < 0x80 && !strchr(".-_!#$%&'*+=?^`{|}~", c)) return false;
	}
	return true;
}

static int open_beneath(int root, const char *path, unsigned long long flags)
{
	struct open_how how = { .flags = flags | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* A link may be absolute and yet lead to a place inside mail_root: then open that place from there.  */
static int open_absolute_link(const struct resolver *r, const char *path)
{
	char root[PATH_MAX], whole[PATH_MAX + 400], real[PATH_MAX];
	if (!realpath(r->cf->mail_root, root)) return -1;
	snprintf(whole, sizeof whole, "%s/%s", root, path);
	if (!realpath(whole, real)) return -1;
	size_t n = strlen(root);
	if (strncmp(real, root, n) != 0 || real[n] != '/') {
		errno = EXDEV;
		return -1;
	}
	return open_beneath(r->root, real + n + 1, O_RDONLY);
}

/* Open DOMAIN/LOCAL.  -1 with errno; ENOENT for names that cannot be.  */
static int open_mailbox(const struct resolver *r, const char *domain, const char *local)
{
	char path[DOMAIN_MAX + LOCAL_MAX + 2];
	if (!name_valid(domain) || !name_valid(local)) {
		errno = ENOENT;
		return -1;
	}
	snprintf(path, sizeof path, "%s/%s", domain, local);
	int fd = open_beneath(r->root, path, O_RDONLY);
	return fd < 0 && errno == EXDEV ? open_absolute_link(r, path) : fd;
}

static bool is_absent(int e) { return e == ENOENT || e == ENOTDIR || e == ELOOP || e == EXDEV || e == ENAMETOOLONG; }

/* DOMAIN exists.  -1 if that cannot be told.  */
static int domain_exists(const struct resolver *r, const char *domain)
{
	if (!name_valid(domain)) return 0;
	int fd = open_beneath(r->root, domain, O_PATH);
	if (fd < 0) return is_absent(errno) ? 0 : -1;
	close(fd);
	return 1;
}

/* The names under which a mailbox is looked up.  */
static void fold_mailbox(const struct path *p, char local[LOCAL_MAX + 1], char domain[DOMAIN_MAX + 1])
{
	strcpy(local, p->local);
	strcpy(domain, p->domain);
	fold(local);
	fold(domain);
	char *plus = strchr(local + (*local ? 1 : 0), '+');
	if (plus) *plus = '\0';
}

/* An empty mail_root is more likely a disk that is not mounted than a host without mail.  */
static bool no_domain_at_all(const struct resolver *r)
{
	int fd = openat(r->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(8) char buf[512];
	long n = fd >= 0 ? syscall(SYS_getdents64, fd, buf, sizeof buf) : 0;
	if (fd >= 0) close(fd);
	return n <= 48;         /* "." and ".." */
}

/* RFC 5321 4.5.1: mail for the postmaster of the domain, else of this host, else for who the setting names.  */
static int open_postmaster(const struct resolver *r)
{
	struct path p;
	char host[DOMAIN_MAX + 1], local[LOCAL_MAX + 1], domain[DOMAIN_MAX + 1];
	snprintf(host, sizeof host, "%s", r->cf->hostname);
	fold(host);
	int fd = open_mailbox(r, host, "postmaster");
	if (fd >= 0 || !is_absent(errno) || !mailbox_parse(&p, r->cf->postmaster)) return fd;
	fold_mailbox(&p, local, domain);
	return open_mailbox(r, domain, local);
}

static const struct reply *trouble(const char *what, int e)
{
	char text[600];
	log_line(LEVEL_ERROR, "%s: cannot open mailbox: %s", log_escape(text, sizeof text, what), strerror(e));
	return REPLY(MAILBOX_TROUBLE);
}

const struct reply *resolve(const struct resolver *r, const struct path *rcpt, int *box)
{
	char local[LOCAL_MAX + 1], domain[DOMAIN_MAX + 1];
	owner_leave();  /* a mailbox is looked up by ourselves */
	if (r->root < 0) return REPLY(MISCONFIGURED);
	if (r->catch_all) {
		*box = openat(r->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return *box < 0 ? trouble(rcpt->text, errno) : NULL;
	}
	fold_mailbox(rcpt, local, domain);
	bool postmaster = strcmp(local, "postmaster") == 0;
	*box = open_mailbox(r, domain, local);
	if (*box >= 0) return NULL;
	if (!is_absent(errno)) return trouble(rcpt->text, errno);
	int known = *domain && !(postmaster && strcasecmp(domain, r->cf->hostname) == 0) ? domain_exists(r, domain) : 1;
	if (known < 0) return trouble(rcpt->text, errno);
	if (!known && no_domain_at_all(r)) {
		log_line(LEVEL_ERROR, "%s holds no domain: is it mounted?", r->cf->mail_root);
		return REPLY(MISCONFIGURED);
	}
	if (!known) return REPLY(NOT_LOCAL);
	if (!postmaster) return REPLY(NO_MAILBOX);
	*box = open_postmaster(r);
	if (*box >= 0) return NULL;
	return is_absent(errno) ? REPLY(NO_MAILBOX) : trouble(rcpt->text, errno);
}

/* Make the directory `name` in `parent` if it is missing, as the owner of the parent and so owned like it, and open it.  */
static int make_directory(int parent, const char *name)
{
	struct stat st;
	if (fstat(parent, &st) != 0) return -1;
	int e = owner_enter(st.st_uid, st.st_gid);
	if (!e && mkdirat(parent, name, 0700) != 0 && errno != EEXIST) e = errno;
	int fd = e ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!e && fd < 0) e = errno;
	owner_leave();
	errno = e;
	return fd;
}

int resolver_make(const struct resolver *r, const struct path *mailbox)
{
	char local[LOCAL_MAX + 1], domain[DOMAIN_MAX + 1];
	struct maildir m;
	fold_mailbox(mailbox, local, domain);
	if (!name_valid(local) || !name_valid(domain) || strchr(mailbox->local, '+')) return EINVAL;
	int box = open_mailbox(r, domain, local);
	if (box < 0) {
		int root = openat(r->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int in_domain = root >= 0 ? make_directory(root, domain) : -1;
		if (in_domain >= 0) box = make_directory(in_domain, local);
		int e = box < 0 || fsync(in_domain) != 0 || fsync(root) != 0 ? errno : 0;
		if (in_domain >= 0) close(in_domain);
		if (root >= 0) close(root);
		if (e) return e;
	}
	int e = maildir_open(&m, box);  /* makes tmp, new and cur */
	maildir_close(&m);
	return e;
}
