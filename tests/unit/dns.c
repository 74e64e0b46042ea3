/* Answers that no honest name server gives, octet by octet, to client/dns.c.  A child sends what stands in memory that both see, with the number and the
 * question of whoever asks.  tests/dns.bats has the honest ones.
 * SPDX-License-Identifier: MIT */
#include "dns.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { HEAD = 12, QUESTION_AT = 12, BODY = 24 /* behind the question for a.test */, ENOUGH = 20000, SHORT = 12 /* milliseconds */ };

/* What the child sends.  Octets 0 and 1 are the asker's, and 12 to 23 if `question` says so.  */
static struct shared { size_t n; bool question, number; unsigned char text[2000]; } *shared;
static struct dns d;

static void serve(int fd)
{
	unsigned char in[1000], out[sizeof shared->text];
	struct sockaddr_in from;
	for (;;) {
		socklen_t len = sizeof from;
		ssize_t n = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &len);
		if (n < BODY) continue;
		memcpy(out, shared->text, shared->n);
		if (shared->number) memcpy(out, in, 2);
		if (shared->question) memcpy(out + QUESTION_AT, in + QUESTION_AT, BODY - QUESTION_AT);
		sendto(fd, out, shared->n, 0, (struct sockaddr *)&from, len);
	}
}

static pid_t start(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof in;
	char server[40];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fd < 0 || shared == MAP_FAILED || bind(fd, (struct sockaddr *)&in, len) != 0 || getsockname(fd, (struct sockaddr *)&in, &len) != 0) abort();
	pid_t pid = fork();
	if (pid < 0) abort();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(fd);
	}
	close(fd);
	snprintf(server, sizeof server, "127.0.0.1:%d", ntohs(in.sin_port));
	check(dns_open(&d, server, ENOUGH), "a server at %s", server);
	return pid;
}

/* --- answers by hand --- */

#define Q "\xc0\x0c"                            /* the name that is asked for */
#define TEST "\xc0\x0e"                         /* "test" in it */
#define CLASS_TTL "\0\1\0\0\0\x3c"
#define MX(length) "\0\x0f" CLASS_TTL "\0" length
#define GOOD Q MX("\7") "\0\x0a\2mx" TEST       /* its data is at 36, the host at 38 */
#define OTHER "\1b" TEST                        /* "b.test" */
#define NAME(length) "\0\5" CLASS_TTL "\0" length
enum { AA_RA = 0x8480, RA_ONLY = 0x8080, NEITHER = 0x8000 };

struct row { const char *what; unsigned flags, answers, authority; const char *body; size_t n; enum dns_result want; const char *says; /* the first host, or words of dns_why */ };

static const struct row rows[] = {
	{ "a good one", AA_RA, 1, 0, BYTES(GOOD), DNS_OK, "mx.test" },
	{ "a good one, not the server's own", RA_ONLY, 1, 0, BYTES(GOOD), DNS_OK, "mx.test" },
	{ "a good one from who does not look up for others, and is no authority", NEITHER, 1, 0, BYTES(GOOD), DNS_LATER, "does not look up" },
	{ "nothing", AA_RA, 0, 0, BYTES(""), DNS_OK, "a.test" },
	{ "nothing, from who knows nothing", NEITHER, 0, 0, BYTES(""), DNS_LATER, "does not look up" },
	{ "no such name", AA_RA | 3, 0, 0, BYTES(""), DNS_NONE, "no such name" },
	{ "no such name, from who cannot know", NEITHER | 3, 0, 0, BYTES(""), DNS_LATER, "does not look up" },
	{ "no such name, and a record of it", AA_RA | 3, 1, 0, BYTES(GOOD), DNS_NONE, "no such name" },
	{ "an error of updates", AA_RA | 6, 1, 0, BYTES(GOOD), DNS_LATER, "unknown error" },
	{ "an error that has no name", AA_RA | 15, 1, 0, BYTES(GOOD), DNS_LATER, "unknown error" },
	{ "one record and nothing behind the count", AA_RA, 1, 0, BYTES(""), DNS_LATER, "answers with nonsense" },
	{ "two records and one is there", AA_RA, 2, 0, BYTES(GOOD), DNS_LATER, "answers with nonsense" },
	{ "65535 records and one is there", AA_RA, 65535, 0, BYTES(GOOD), DNS_LATER, "answers with nonsense" },
	{ "no records and one is there", AA_RA, 0, 0, BYTES(GOOD), DNS_LATER, "answers with nonsense" },
	{ "octets behind the last record", AA_RA, 1, 0, BYTES(GOOD "x"), DNS_LATER, "answers with nonsense" },
	{ "data that ends behind the message", AA_RA, 1, 0, BYTES(Q MX("\x8") "\0\x0a\2mx" TEST), DNS_LATER, "answers with nonsense" },
	{ "a record in the wrong section", AA_RA, 0, 1, BYTES(GOOD), DNS_OK, "a.test" },
	{ "a record of another name", AA_RA, 1, 0, BYTES(OTHER MX("\7") "\0\x0a\2mx" TEST), DNS_OK, "a.test" },
	{ "a record of another name, and ours", AA_RA, 2, 0, BYTES(OTHER MX("\7") "\0\1\2no" TEST GOOD), DNS_OK, "mx.test" },
	{ "a record of a name below", AA_RA, 1, 0, BYTES("\1x" Q MX("\7") "\0\x0a\2mx" TEST), DNS_OK, "a.test" },
	{ "a name with a dot in a label", AA_RA, 1, 0, BYTES("\6a.test\0" MX("\7") "\0\x0a\2mx" TEST), DNS_OK, "a.test" },
	{ "a record of another class", AA_RA, 1, 0, BYTES(Q "\0\x0f\0\3\0\0\0\x3c\0\7\0\x0a\2mx" TEST), DNS_OK, "a.test" },
	{ "a record of another type", AA_RA, 1, 0, BYTES(Q "\0\x10" CLASS_TTL "\0\7\0\x0a\2mx" TEST), DNS_OK, "a.test" },
	{ "a name that points at itself", AA_RA, 1, 0, BYTES("\xc0\x18" MX("\7") "\0\x0a\2mx" TEST), DNS_LATER, "the answer is nonsense" },
	{ "a name that points behind the end", AA_RA, 1, 0, BYTES("\xff\xff" MX("\7") "\0\x0a\2mx" TEST), DNS_LATER, "the answer is nonsense" },
	{ "a name that points into the header", AA_RA, 1, 0, BYTES("\xc0\x02" MX("\7") "\0\x0a\2mx" TEST), DNS_LATER, "the answer is nonsense" },
	{ "a label with bits that have no meaning", AA_RA, 1, 0, BYTES("\x41" MX("\7") "\0\x0a\2mx" TEST), DNS_LATER, "answers with nonsense" },
	{ "a broken record behind a good one", AA_RA, 2, 0, BYTES(GOOD "\xff\xff" MX("\7") "\0\x0a\2mx" TEST), DNS_OK, "mx.test" },
	{ "a host that points at itself", AA_RA, 1, 0, BYTES(Q MX("\4") "\0\x0a\xc0\x26"), DNS_LATER, "no MX" },
	{ "a host that points at its own record", AA_RA, 1, 0, BYTES(Q MX("\7") "\0\x0a\2mx\xc0\x26"), DNS_LATER, "no MX" },
	{ "a host that points behind the end", AA_RA, 1, 0, BYTES(Q MX("\4") "\0\x0a\xff\xff"), DNS_LATER, "no MX" },
	{ "a host that points forward", AA_RA, 1, 0, BYTES(Q MX("\x8") "\0\x0a\xc0\x28\2mx\0"), DNS_LATER, "no MX" },
	{ "a host with bits that have no meaning", AA_RA, 1, 0, BYTES(Q MX("\4") "\0\x0a\x80\x0c"), DNS_LATER, "no MX" },
	{ "a host that does not end", AA_RA, 1, 0, BYTES(Q MX("\5") "\0\x0a\2mx"), DNS_LATER, "no MX" },
	{ "a host that ends behind its data", AA_RA, 2, 0, BYTES(Q MX("\5") "\0\x0a\2mx\0\0\x0f" CLASS_TTL "\0\1x"), DNS_LATER, "no MX" },
	{ "a host that ends before its data", AA_RA, 1, 0, BYTES(Q MX("\x8") "\0\x0a\2mx" TEST "x"), DNS_LATER, "no MX" },
	{ "no data", AA_RA, 1, 0, BYTES(Q MX("\0")), DNS_LATER, "no MX" },
	{ "data of one octet", AA_RA, 1, 0, BYTES(Q MX("\1") "\0"), DNS_LATER, "no MX" },
	{ "data without a host", AA_RA, 1, 0, BYTES(Q MX("\2") "\0\x0a"), DNS_LATER, "no MX" },
	{ "a bad host and a good one", AA_RA, 2, 0, BYTES(Q MX("\2") "\0\x0a" GOOD), DNS_OK, "mx.test" },
	{ "a host with NUL", AA_RA, 1, 0, BYTES(Q MX("\x8") "\0\x0a\3m\0x" TEST), DNS_LATER, "no MX" },
	{ "a host with a line end", AA_RA, 1, 0, BYTES(Q MX("\x8") "\0\x0a\3m\nx" TEST), DNS_LATER, "no MX" },
	{ "a host with a dot in a label", AA_RA, 1, 0, BYTES(Q MX("\x8") "\0\x0a\3m.x" TEST), DNS_LATER, "no MX" },
	{ "the root as host", AA_RA, 1, 0, BYTES(Q MX("\3") "\0\0\0"), DNS_NULL_MX, "null MX" },
	{ "the root as host, and bad ones", AA_RA, 2, 0, BYTES(Q MX("\3") "\0\0\0" Q MX("\2") "\0\1"), DNS_LATER, "no MX" },
	{ "an alias of nothing", AA_RA, 1, 0, BYTES(Q NAME("\0")), DNS_LATER, "of what is no name" },
	{ "an alias of the root", AA_RA, 1, 0, BYTES(Q NAME("\1") "\0"), DNS_LATER, "of what is no name" },
	{ "an alias of itself", AA_RA, 1, 0, BYTES(Q NAME("\2") Q), DNS_LATER, "a loop of them" },
	{ "an alias of what is no name", AA_RA, 1, 0, BYTES(Q NAME("\5") "\2a " TEST), DNS_LATER, "of what is no name" },
	{ "an alias with the record behind it", AA_RA, 2, 0, BYTES(Q NAME("\4") OTHER "\xc0\x24" MX("\7") "\0\x0a\2mx" TEST), DNS_OK, "mx.test" },
	{ "an alias with the record before it", AA_RA, 2, 0, BYTES(OTHER MX("\7") "\0\x0a\2mx" TEST Q NAME("\4") OTHER), DNS_OK, "mx.test" },
	{ "an alias without a record", AA_RA, 1, 0, BYTES(Q NAME("\4") OTHER), DNS_OK, "a.test" },
	{ "an alias and a record of the same name", AA_RA, 2, 0, BYTES(Q NAME("\4") OTHER GOOD), DNS_OK, "mx.test" },
};

static void put(unsigned flags, unsigned questions, unsigned answers, unsigned authority, const char *body, size_t n)
{
	unsigned char *t = shared->text;
	memset(t, 0, BODY);
	ns_put16(flags, t + 2);
	ns_put16(questions, t + 4);
	ns_put16(answers, t + 6);
	ns_put16(authority, t + 8);
	memcpy(t + BODY, body, n);
	shared->n = BODY + n;
	shared->question = shared->number = true;
}

static struct dns_hosts hosts;
static struct dns_addresses found;

/* What holds whatever comes.  */
static bool sane(enum dns_result r)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	bool ok = (r == DNS_OK) == (hosts.count > 0) && (r == DNS_OK) == !*dns_why(&d) && hosts.count <= DNS_HOSTS;
	for (size_t i = 0; i < hosts.count; i++) {
		ok &= *hosts.host[i].name && strspn(hosts.host[i].name, letters) == strlen(hosts.host[i].name);
		ok &= i == 0 || hosts.host[i - 1].preference <= hosts.host[i].preference;
	}
	for (const char *w = dns_why(&d); *w; w++) ok &= *w >= ' ' && *w < 0x7f;
	return ok;
}

static void test_rows(void)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *w = &rows[i];
		put(w->flags, 1, w->answers, w->authority, w->body, w->n);
		enum dns_result r = dns_mx(&d, "a.test", "", &hosts);
		check_number(r, w->want, "%s (%s)", w->what, dns_why(&d));
		check(sane(r), "%s: nothing bad gets through", w->what);
		if (r == DNS_OK) check_text(hosts.host[0].name, w->says, "%s: the host", w->what);
		else check(strstr(dns_why(&d), w->says) != NULL, "%s: \"%s\"", w->what, w->says);
	}
}

/* What is not an answer to the question is waited past, in vain here.  */
static void test_others(void)
{
	static const struct { const char *what; unsigned flags, questions; size_t cut; bool number, question; } others[] = {
		{ "a question", AA_RA & 0x7fff, 1, 0, true, true }, { "no question in it", AA_RA, 0, 0, true, true }, { "two questions", AA_RA, 2, 0, true, true },
		{ "another number", AA_RA, 1, 0, false, true }, { "another question", AA_RA, 1, 0, true, false }, { "no such name, to another question", AA_RA | 3, 1, 0, true, false },
		{ "a header cut", AA_RA, 1, HEAD - 1, true, false }, { "a header alone", AA_RA, 1, HEAD, true, false }, { "half a question", AA_RA, 1, BODY - 1, true, true },
	};
	d.ask.ms = 3 * SHORT;
	for (size_t i = 0; i < COUNT(others); i++) {
		put(others[i].flags, others[i].questions, 1, 0, BYTES(GOOD));
		if (others[i].cut) shared->n = others[i].cut;
		shared->number = others[i].number;
		shared->question = others[i].question;
		check_number(dns_mx(&d, "a.test", "", &hosts), DNS_LATER, "%s is no answer", others[i].what);
		check(strstr(dns_why(&d), "does not answer") != NULL, "%s: as if nothing had come", others[i].what);
	}
	d.ask.ms = ENOUGH;
	put(AA_RA | 0x200, 1, 1, 0, BYTES(GOOD));
	check_number(dns_mx(&d, "a.test", "", &hosts), DNS_LATER, "cut, and there is nobody at TCP");
}

/* A name of 255 octets is the longest; by pointers a longer one takes few octets.  */
static void test_long(void)
{
	for (size_t last = 59; last <= 63; last++) {
		char body[400], *p = body;
		memcpy(p, Q MX("\0") "\0\x0a", 14);
		p += 14;
		for (int k = 0; k < 4; k++) {
			size_t n = k < 3 ? 63 : last;
			*p++ = (char)n;
			memset(p, 'a' + k, n);
			p += n;
		}
		*p++ = '\0';
		ns_put16((unsigned)(p - body - 12), (unsigned char *)body + 10);
		put(AA_RA, 1, 1, 0, body, (size_t)(p - body));
		enum dns_result r = dns_mx(&d, "a.test", "", &hosts);
		size_t octets = 3 * 64 + last + 2;
		check_number(r, octets <= 255 ? DNS_OK : DNS_LATER, "a host of %zu octets", octets);
		if (r == DNS_OK) check_number(strlen(hosts.host[0].name), octets - 2, "%zu octets as text", octets);
	}
}

static void test_addresses(void)
{
	put(AA_RA, 1, 3, 0, BYTES(Q "\0\1" CLASS_TTL "\0\3\xc0\0\2" Q "\0\1" CLASS_TTL "\0\4\xc0\0\2\x07" Q "\0\x1c" CLASS_TTL "\0\4\xc0\0\2\x08"));
	check_number(dns_addresses(&d, "a.test", 25, &found), DNS_OK, "an A of three octets, one of four, an AAAA of four");
	check(found.count == 1 && found.address[0].u.in.sin_addr.s_addr == inet_addr("192.0.2.7"), "the one of four is taken");
}

/* Each cut and many changes of an answer with all in it: a cut one is never taken, and nothing bad gets through; what is read past an end the sanitizers see.  */
static void test_mangled(void)
{
	static const char body[] = OTHER MX("\7") "\0\1\2no" TEST Q NAME("\4") OTHER "\xc0\x18" MX("\7") "\0\x0a\2m1" TEST "\xc0\x18" MX("\4") "\0\x14\xc0\x18";
	unsigned char whole[sizeof body + BODY];
	uint64_t seed = 1;
	size_t n = BODY + sizeof body - 1, wrong = 0, insane = 0;
	d.ask.ms = SHORT;
	put(AA_RA, 1, 4, 0, body, sizeof body - 1);
	memcpy(whole, shared->text, n);
	for (shared->n = 2; shared->n < n; shared->n++) {
		shared->question = shared->n >= BODY;
		enum dns_result r = dns_mx(&d, "a.test", "", &hosts);
		wrong += r != DNS_LATER;
		insane += !sane(r);
	}
	check_number(wrong, 0, "%zu cuts: none is taken", n - 2);
	shared->question = true;
	for (unsigned i = 0; i < 4000; i++) {
		memcpy(shared->text, whole, n);
		for (uint64_t k = random_next(&seed) % 4 + 1; k > 0; k--) {
			unsigned char *at = &shared->text[BODY + random_next(&seed) % (n - BODY)];
			*at = (unsigned char)(k == 1 ? random_next(&seed) : *at ^ 1U << random_next(&seed) % 8);
		}
		if (i % 8 == 0) shared->text[7] = (unsigned char)random_next(&seed);
		insane += !sane(dns_mx(&d, "a.test", "", &hosts));
	}
	check_number(insane, 0, "4000 changes: nothing bad gets through");
	d.ask.ms = ENOUGH;
	put(AA_RA, 1, 1, 0, BYTES(GOOD));
	check_number(dns_mx(&d, "a.test", "", &hosts), DNS_OK, "and afterwards all is well");
}

int main(void)
{
	static struct dns system;
	pid_t child = start();
	test_rows();
	test_others();
	test_long();
	test_addresses();
	test_mangled();
	dns_close(&d);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	check(dns_open(&system, "", 1000) && system.ask.servers > 0, "the servers of this host");
	dns_close(&system);
	return done();
}
