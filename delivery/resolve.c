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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "maildir.h"
#include "names.h"
#include "owner.h"

bool resolver_open(struct resolver *r, const struct config *cf, bool catch_all)
{
	catch_all = catch_all && *cf->catch_all;
	const char *path = catch_all ? cf->catch_all : cf->mail_root;
	*r = (struct resolver){ .cf = cf, .catch_all = catch_all };
	if (catch_all && mkdir(path, 0700) != 0 && errno != EEXIST) log_line(LEVEL_ERROR, "cannot make %s: %s", path, strerror(errno));
	r->root = -1;
	if (!*path) return false;       /* there are to be none */
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

/* Beneath `root`.  Where ".." is in a link the kernel wants to be asked again (EAGAIN) when anything anywhere is renamed or mounted meanwhile.  */
static int beneath(int root, const char *path, unsigned long long flags)
{
	enum { TRIES = 100 };
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	int fd = -1;
	for (int i = 0; i < TRIES && fd < 0 && (i == 0 || errno == EAGAIN); i++) fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
	return fd;
}

static int open_beneath(int root, const char *path, unsigned long long flags) { return beneath(root, path, flags | O_DIRECTORY); }

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

bool resolver_absent(int e) { return e == ENOENT || e == ENOTDIR || e == ELOOP || e == EXDEV || e == ENAMETOOLONG; }

static int open_by_name(const struct resolver *r, const char *domain, const char *local)
{
	char path[DOMAIN_MAX + NAME_LOCAL + 2];
	if (!name_valid(domain) || !name_valid(local)) {
		errno = ENOENT;
		return -1;
	}
	snprintf(path, sizeof path, "%s/%s", domain, local);
	int fd = open_beneath(r->root, path, O_RDONLY);
	return fd < 0 && errno == EXDEV ? open_absolute_link(r, path) : fd;
}

int resolver_mailbox(const struct resolver *r, const char *domain, const char *local)
{
	char unicode[DOMAIN_MAX + 1];
	owner_leave();  /* a mailbox is looked up by ourselves */
	int fd = open_by_name(r, domain, local);
	return fd < 0 && errno == ENOENT && names_unicode(unicode, domain) ? open_by_name(r, unicode, local) : fd;
}

int resolver_catch_all(const struct resolver *r)
{
	owner_leave();
	return openat(r->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int domain_exists(const struct resolver *r, const char *domain)
{
	if (!name_valid(domain)) return 0;
	int fd = open_beneath(r->root, domain, O_PATH);
	if (fd < 0) return resolver_absent(errno) ? 0 : -1;
	close(fd);
	return 1;
}

int resolver_domain(const struct resolver *r, const char *domain)
{
	char unicode[DOMAIN_MAX + 1];
	owner_leave();
	int known = domain_exists(r, domain);
	return known == 0 && names_unicode(unicode, domain) ? domain_exists(r, unicode) : known;
}

bool resolver_domain_path(const struct resolver *r, const char *domain, char path[DOMAIN_MAX + 1])
{
	owner_leave();
	snprintf(path, DOMAIN_MAX + 1, "%s", domain);
	if (!names_unicode(path, domain)) snprintf(path, DOMAIN_MAX + 1, "%s", domain);
	else if (domain_exists(r, path) != 1) snprintf(path, DOMAIN_MAX + 1, "%s", domain);
	return name_valid(path);
}

/* What is said of a domain is said by its owner, or by root: a link of his must not lead to what others have written.  */
static bool may_say(const struct stat *dir, const struct stat *file, bool within)
{
	return dir->st_uid == 0 || file->st_uid == dir->st_uid || (file->st_uid == 0 && within);
}

/* The file that is open was meant by who may say something of the domain in whose directory the path begins.  0 or errno.  */
static int check_author(int root, const char *path, int fd)
{
	char domain[DOMAIN_MAX + 1];
	const char *name = strrchr(path, '/') + 1;
	struct stat dir, file;
	snprintf(domain, sizeof domain, "%.*s", (int)(name - 1 - path), path);
	int in = open_beneath(root, domain, O_PATH);
	if (in < 0) return errno;
	int again = beneath(in, name, O_PATH);
	int e = fstat(in, &dir) != 0 || fstat(fd, &file) != 0 ? errno : may_say(&dir, &file, again >= 0) ? 0 : EACCES;
	if (again >= 0) close(again);
	close(in);
	return e;
}

int resolver_file(int root, const char *path)
{
	int fd = beneath(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	int e = fd < 0 ? errno : check_author(root, path, fd);
	if (!e) return fd;
	if (fd >= 0) close(fd);
	errno = e;
	return -1;
}

bool resolver_empty(const struct resolver *r)
{
	int fd = openat(r->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(8) char buf[512];
	long n = fd >= 0 ? syscall(SYS_getdents64, fd, buf, sizeof buf) : 0;
	if (fd >= 0) close(fd);
	return n <= 48;         /* "." and ".." */
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

int resolver_make(const struct resolver *r, const char *domain, const char *local)
{
	struct maildir m;
	if (!name_valid(local) || !name_valid(domain)) return EINVAL;
	int box = resolver_mailbox(r, domain, local);
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
	if (!e) maildir_close(&m);
	return e;
}
