/* Entries of the queue: what is composed is read, what is marked stays, nonsense is refused; names.
 * SPDX-License-Identifier: MIT */
#include "entry.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

struct buffer { char text[20000]; size_t n; };

static void put(void *ctx, const char *p, size_t n)
{
	struct buffer *b = ctx;
	if (n > sizeof b->text - b->n) abort();
	memcpy(b->text + b->n, p, n);
	b->n += n;
}

static void compose(struct buffer *b)
{
	struct entry_sink sink = { put, b };
	b->n = 0;
	entry_compose(&sink, &(struct entry){ .id = "66aa.1", .sender = "a@b.example", .destination = "far.example", .envid = "x+2By", .head = "Delivered-To: c@d.example\n",
		.arrived = 1700000000, .octets = 1234567890123, .full = true, .eightbit = true, .count = 2 });
	entry_compose_rcpt(&sink, &(struct entry_rcpt){ .address = "joe@far.example", .orcpt = "rfc822;joe", .notify = NOTIFY_SUCCESS | NOTIFY_DELAY, .state = ENTRY_TODO });
	entry_compose_rcpt(&sink, &(struct entry_rcpt){ .address = "ann@far.example", .orcpt = "", .state = ENTRY_DELIVERED });
}

static int file_of(const char *p, size_t n)
{
	int fd = memfd_create("entry", 0);
	if (fd < 0 || write(fd, p, n) != (ssize_t)n) abort();
	return fd;
}

static void test_round(void)
{
	static struct buffer b;
	struct entry e;
	compose(&b);
	int fd = file_of(b.text, b.n);
	check(entry_read(&e, fd), "what was composed is read");
	check_text(e.id, "66aa.1", "id");
	check_text(e.sender, "a@b.example", "sender");
	check_text(e.destination, "far.example", "destination");
	check_text(e.envid, "x+2By", "envid");
	check_text(e.head, "Delivered-To: c@d.example\n", "head");
	check_number((unsigned long long)e.arrived, 1700000000, "arrived");
	check_number(e.octets, 1234567890123, "octets");
	check(e.full && !e.headers && e.eightbit && !e.utf8 && !e.warned && e.attempts == 0, "flags");
	check_number(e.count, 2, "recipients");
	check_text(e.rcpt[0].orcpt, "rfc822;joe", "orcpt");
	check_number(e.rcpt[0].notify, NOTIFY_SUCCESS | NOTIFY_DELAY, "notify");
	check(e.rcpt[0].state == ENTRY_TODO && e.rcpt[1].state == ENTRY_DELIVERED && entry_todo(&e) && entry_open(&e), "states");
	char longest[2 * ENTRY_TEXT];
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	check_number((unsigned)entry_mark(&e, fd, 0, ENTRY_SETTLED, longest, 1700000300), 0, "a mark");
	check(!entry_todo(&e) && entry_open(&e), "nothing is to be sent any more, but told");
	check_number((unsigned)entry_mark(&e, fd, 1, ENTRY_SETTLED, "250 2.0.0 mx ok", 1700000301), 0, "another");
	check(!entry_open(&e), "nothing is left");
	e.attempts = 7;
	e.warned = true;
	e.seen = 1700000500;
	check_number((unsigned)entry_count(&e, fd), 0, "an attempt is counted");
	entry_free(&e);
	check(entry_read(&e, fd), "what was marked is read");
	check(e.attempts == 7 && e.warned && e.seen == 1700000500 && e.rcpt[0].state == ENTRY_SETTLED && e.rcpt[1].state == ENTRY_SETTLED, "and says so");
	check_number(strlen(e.rcpt[0].text), ENTRY_TEXT - 1, "a long text is cut");
	check_text(e.rcpt[1].text, "250 2.0.0 mx ok", "a short one is whole");
	check_number((unsigned long long)e.rcpt[1].last, 1700000301, "with its time");
	entry_free(&e);
	close(fd);
}

/* Cut at every octet, and every octet another one: never a crash, never more recipients than there are; one that is cut is no entry.  */
static void test_nonsense(void)
{
	static struct buffer b;
	static const char others[] = "\0:,9A\n";
	unsigned wrong = 0;
	compose(&b);
	for (size_t n = 0; n < b.n; n++) {
		struct entry e;
		char *copy = exactly(b.text, n);
		int fd = file_of(copy, n);
		bool read = entry_read(&e, fd);
		wrong += read;
		entry_free(&e);
		close(fd);
		free(copy);
	}
	check_number(wrong, 0, "an entry that is cut is none, not one of fewer recipients either");
	for (size_t at = 0; at < b.n; at++)
		for (size_t k = 0; k < sizeof others - 1; k++) {
			struct entry e;
			char was = b.text[at];
			b.text[at] = others[k];
			int fd = file_of(b.text, b.n);
			if (entry_read(&e, fd) && e.count != 2) wrong++;
			entry_free(&e);
			close(fd);
			b.text[at] = was;
		}
	check_number(wrong, 0, "one with a wrong octet has as many recipients as there are");
}

static void test_names(void)
{
	char name[ENTRY_NAME];
	struct entry_id id;
	entry_name(name, 1700000000, "66aa.1-2", 0xdb3f053403ad937aULL);
	check_text(name, "1700000000.66aa.1-2.db3f053403ad937a", "a name");
	check(entry_parse_name(&id, name) && id.due == 1700000000 && id.hash == 0xdb3f053403ad937aULL, "is read");
	check_text(id.key, "66aa.1-2", "with its key");
	static const char *const bad[] = { "", ".", "..", "1700000000..db3f053403ad937a", "1700000000.66aa.1-2.db3f053403ad937", "1700000000.66aa.1-2.db3f053403ad937g", "170000000.66aa.1-2.db3f053403ad937a",
		"1700000000.66/a.db3f053403ad937a", "1700000000.zz.db3f053403ad937a", "17000000x0.66aa.1-2.db3f053403ad937a", "1700000000-66aa.1-2.db3f053403ad937a", "1700000000.66aa.1-2-db3f053403ad937a" };
	for (size_t i = 0; i < COUNT(bad); i++) check(!entry_parse_name(&id, bad[i]), "\"%s\" is no name", bad[i]);
	char longest[200] = "1700000000.";
	memset(longest + 11, 'a', ENTRY_KEY);
	strcpy(longest + 11 + ENTRY_KEY, ".db3f053403ad937a");
	check(!entry_parse_name(&id, longest), "a key that is too long");
	check(entry_hash("far.example") != entry_hash("near.example"), "hashes differ");
}

int main(void)
{
	test_round();
	test_nonsense();
	test_names();
	return done();
}
