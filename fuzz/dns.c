/* What a name server sends, against a reader of its own (RFC 1035 4.1), which counts all records first.  client/ask.c and client/dns.c are here whole, and the
 * sockets are the harness's: a datagram is the text with the number of whoever asks and, if the input does not say otherwise, his question; the same comes by TCP,
 * in pieces, or ends.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <ctype.h>
#include <strings.h>

#include "fuzz.h"

static int fuzz_socket(int family, int type, int protocol);
static int fuzz_connect(int fd, const struct sockaddr *sa, socklen_t n);
static ssize_t fuzz_send(int fd, const void *buf, size_t n, int flags);
static ssize_t fuzz_recv(int fd, void *buf, size_t n, int flags);
static int fuzz_poll(struct pollfd *p, nfds_t n, int ms);
static int fuzz_close(int fd);
#define socket fuzz_socket
#define connect fuzz_connect
#define send fuzz_send
#define recv fuzz_recv
#define poll fuzz_poll
#define close fuzz_close
#include "client/ask.c"
#include "client/dns.c"
#undef socket
#undef connect
#undef send
#undef recv
#undef poll
#undef close

enum { UDP_FD = 900, TCP_FD = 901, MOST = 4000, QUESTION_N = 12, ASKED_MS = 1000 };

static struct {
	unsigned char text[MOST], stream[MOST + 2];
	size_t n, stream_n, stream_at;
	bool question;                  /* each answer has the asker's */
	bool sent, broken;              /* a datagram waits; TCP ends in the middle */
	unsigned open;
} net;

static int fuzz_socket(int family, int type, int protocol)
{
	(void)family, (void)protocol;
	EXPECT(net.open == 0);
	net.open++;
	return (type & 0xf) == SOCK_DGRAM ? UDP_FD : TCP_FD;
}

static int fuzz_connect(int fd, const struct sockaddr *sa, socklen_t n)
{
	(void)sa, (void)n;
	if (fd == UDP_FD) return 0;
	errno = EINPROGRESS;
	return -1;
}

static ssize_t fuzz_send(int fd, const void *buf, size_t n, int flags)
{
	const unsigned char *q = (const unsigned char *)buf + (fd == TCP_FD ? 2 : 0);
	(void)flags;
	EXPECT(n > 12 && n < 600);
	if (net.n >= 2) memcpy(net.text, q, 2);
	if (net.question) memcpy(net.text + 12, q + 12, QUESTION_N);
	net.sent = fd == UDP_FD;
	ns_put16((unsigned)net.n, net.stream);
	memcpy(net.stream + 2, net.text, net.n);
	if (net.stream_n > 4) net.stream[4] &= (unsigned char)~2;      /* not cut any more */
	net.stream_at = 0;
	net.stream_n = net.broken ? net.n / 2 : net.n + 2;
	return (ssize_t)n;
}

static ssize_t fuzz_recv(int fd, void *buf, size_t n, int flags)
{
	(void)flags;
	if (fuzz.cut >= 128 && dice(8) == 0) {
		errno = EINTR;
		return -1;
	}
	size_t left = fd == UDP_FD ? net.n : net.stream_n - net.stream_at, p = fd == UDP_FD ? left : piece(left < n ? left : n);
	memcpy(buf, fd == UDP_FD ? net.text : net.stream + net.stream_at, p);
	if (fd == UDP_FD) net.sent = false;
	else net.stream_at += p;
	return (ssize_t)p;
}

static int fuzz_poll(struct pollfd *p, nfds_t n, int ms)
{
	EXPECT(n == 1 && ms > 0 && ms <= ASKED_MS && (p->fd == UDP_FD || p->fd == TCP_FD));
	if (p->fd == TCP_FD || net.sent) return 1;
	fuzz.now += (unsigned)ms;
	return 0;
}

static int fuzz_close(int fd)
{
	EXPECT((fd == UDP_FD || fd == TCP_FD) && net.open == 1);
	net.open--;
	return 0;
}

/* --- the model --- */

struct name { unsigned char wire[256]; size_t n; };
struct record { struct name owner; unsigned type, klass; size_t data, length; };
static struct record record[MOST];
static size_t records;
static bool torn;       /* behind the last of them */

/* The name at *at, in lower case; *at moves behind it.  What goes round in circles has been everywhere.  */
static bool model_name(size_t *at, struct name *out)
{
	size_t i = *at, seen = 0, end = 0;
	out->n = 0;
	for (;;) {
		if (i >= net.n) return false;
		unsigned c = net.text[i++];
		if (c >= 0xc0) {
			if (i >= net.n) return false;
			if (!end) end = i + 1;
			i = (c & 0x3f) << 8 | net.text[i];
			seen += 2;
			if (i >= net.n || seen >= net.n) return false;
			continue;
		}
		if (c > 63 || out->n + c + 1 > 255 || i + c > net.n) return false;
		out->wire[out->n++] = (unsigned char)c;
		for (unsigned k = 0; k < c; k++) out->wire[out->n++] = (unsigned char)tolower(net.text[i++]);
		if (c == 0) break;
		seen += c + 1;
	}
	*at = end ? end : i;
	return true;
}

/* Whether the sections are in order; the answers go to `record`.  */
static bool model_message(void)
{
	size_t at = 12;
	records = 0;
	torn = false;
	for (unsigned section = 0; section < 4; section++)
		for (unsigned left = ns_get16(net.text + 4 + 2 * section); left > 0; left--) {
			size_t name = at;
			while (at < net.n && net.text[at] && net.text[at] < 0x40) at += net.text[at] + 1U;
			if (at >= net.n || (net.text[at] >= 0x40 && net.text[at] < 0xc0)) return false;
			at += net.text[at] ? 2 : 1;
			if (at + (section ? 10 : 4) > net.n) return false;
			struct record *r = &record[records];
			r->type = ns_get16(net.text + at);
			r->klass = ns_get16(net.text + at + 2);
			r->length = section ? ns_get16(net.text + at + 8) : 0;
			r->data = at + 10;
			at += section ? 10 + r->length : 4;
			if (at > net.n) return false;
			if (section != 1 || torn) continue;
			if (model_name(&name, &r->owner)) records++;
			else torn = true;
		}
	return at == net.n;
}

/* The name in a record's data, as text; false when it does not fill it or is none that may go on.  */
static bool model_text(const struct record *r, size_t skip, struct name *name, char out[256], bool *root)
{
	size_t at = r->data + skip, o = 0;
	*root = false;
	if (r->length <= skip || !model_name(&at, name) || at != r->data + r->length) return false;
	*root = name->n == 1;
	bool digits = true;
	for (size_t i = 0; name->wire[i]; i += name->wire[i] + 1U) {
		digits = true;
		for (unsigned k = 1; k <= name->wire[i]; k++) {
			unsigned char c = name->wire[i + k];
			if (c >= 0x80 || !(islower(c) || isdigit(c) || c == '-' || c == '_')) return false;
			digits &= isdigit(c) != 0;
			out[o++] = (char)c;
		}
		out[o++] = '.';
	}
	if (o == 0 || digits) return false;
	out[o - 1] = '\0';
	return true;
}

static const struct record *model_find(const struct name *name, unsigned type)
{
	for (size_t i = 0; i < records; i++)
		if (record[i].type == type && record[i].klass == 1 && record[i].owner.n == name->n && memcmp(record[i].owner.wire, name->wire, name->n) == 0) return &record[i];
	return NULL;
}

struct mx { char name[256]; unsigned preference; };
static struct mx best[MOST];

static bool is_us(const char *name) { return strcmp(name, "us.test") == 0 || strcmp(name, "x.us.test") == 0; }

/* The hosts of `name` in `best`, each once, those that are not better than we are left out.  */
static enum dns_result model_collect(const struct name *name, size_t *count)
{
	unsigned ours = 65536, bad = 0, nothing = 0;
	size_t n = 0, kept = 0, k;
	for (size_t i = 0; i < records; i++) {
		struct name host;
		char text[256];
		bool root;
		if (record[i].type != 15 || record[i].klass != 1 || record[i].owner.n != name->n || memcmp(record[i].owner.wire, name->wire, name->n) != 0) continue;
		bool good = model_text(&record[i], 2, &host, text, &root);
		unsigned preference = record[i].length > 1 ? ns_get16(net.text + record[i].data) : 0;
		if (root) nothing++;
		else if (!good) bad++;
		else if (is_us(text)) ours = preference < ours ? preference : ours;
		else {
			for (k = 0; k < n && strcmp(best[k].name, text) != 0; k++);
			if (k == n) best[n++].preference = 65536;
			strcpy(best[k].name, text);
			if (preference < best[k].preference) best[k].preference = preference;
		}
	}
	for (k = 0; k < n; k++)
		if (best[k].preference < ours) best[kept++] = best[k];
	*count = kept;
	return kept ? DNS_OK : ours < 65536 ? DNS_SELF : nothing && !bad ? DNS_NULL_MX : DNS_LATER;
}

/* What the text means; *count is 0 with DNS_OK for an implicit MX.  */
static enum dns_result model_mx(size_t *count)
{
	static const unsigned char asked[QUESTION_N] = "\1a\4test\0\0\17\0\1";
	struct name name = { .n = 8 };
	memcpy(name.wire, asked, 8);
	*count = 0;
	unsigned rcode = net.n > 3 ? net.text[3] & 15 : 0;
	size_t at = 12;
	struct name question;
	if (net.n < 12 || !(net.text[2] & 0x80) || ns_get16(net.text + 4) != 1 || !model_name(&at, &question) || at + 4 > net.n) return DNS_LATER;
	if (question.n != 8 || memcmp(question.wire, asked, 8) != 0 || memcmp(net.text + at, asked + 8, 4) != 0) return DNS_LATER;
	if ((rcode != 0 && rcode != 3) || !model_message() || (!(net.text[2] & 4) && !(net.text[3] & 0x80))) return DNS_LATER;
	if (rcode == 3) return DNS_NONE;
	char text[256] = "a.test";
	for (unsigned hop = 0; hop < 9; hop++) {
		bool root;
		if (model_find(&name, 15)) return model_collect(&name, count);
		if (torn) return DNS_LATER;
		const struct record *alias = model_find(&name, 5);
		if (!alias) return is_us(text) ? DNS_SELF : DNS_OK;
		if (!model_text(alias, 0, &name, text, &root)) return DNS_LATER;
	}
	return DNS_LATER;
}

/* --- */

static struct dns dns;

static void check_why(enum dns_result r)
{
	EXPECT((r == DNS_OK) == !*dns_why(&dns));
	for (const char *s = dns_why(&dns); *s; s++) EXPECT(*s >= ' ' && *s < 0x7f);
}

static void check_mx(bool modelled)
{
	static struct dns_hosts hosts;
	size_t count, k;
	enum dns_result r = dns_mx(&dns, "a.test", "x.us.test, US.test ", &hosts), want = model_mx(&count);
	check_why(r);
	EXPECT((r == DNS_OK) == (hosts.count > 0) && hosts.count <= DNS_HOSTS);
	if (!modelled) return;
	EXPECT(r == want && hosts.implicit == (r == DNS_OK && count == 0));
	if (r != DNS_OK || count == 0) return;
	EXPECT(hosts.count == (count < DNS_HOSTS ? count : DNS_HOSTS));
	size_t better = 0;
	for (size_t i = 0; i < hosts.count; i++) {
		for (k = 0; k < count && strcasecmp(best[k].name, hosts.host[i].name) != 0; k++);
		EXPECT(k < count && best[k].preference == hosts.host[i].preference);
		EXPECT(i == 0 || hosts.host[i].preference >= hosts.host[i - 1].preference);
		for (k = 0; k < i; k++) EXPECT(strcasecmp(hosts.host[k].name, hosts.host[i].name) != 0);
	}
	for (k = 0; k < count; k++) better += best[k].preference < hosts.host[hosts.count - 1].preference;
	EXPECT(better < hosts.count);   /* none is left out for a worse one */
}

static void check_addresses(void)
{
	static struct dns_addresses found;
	enum dns_result r = dns_addresses(&dns, "a.test", 25, &found);
	check_why(r);
	EXPECT(r == DNS_OK || r == DNS_NONE || r == DNS_LATER);
	EXPECT((r == DNS_OK) == (found.count > 0) && found.count <= DNS_ADDRESSES);
	for (size_t i = 0; i < found.count; i++)
		EXPECT(found.address[i].u.sa.sa_family == AF_INET ? found.address[i].len == sizeof (struct sockaddr_in) : found.address[i].len == sizeof (struct sockaddr_in6));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!dns.ask.ms) EXPECT(dns_open(&dns, "127.0.0.1", ASKED_MS));
	fuzz_take(data, size, MOST);
	fuzz.now = 0;   /* it has 32 bits */
	unsigned how = control();
	net.n = fuzz.n;
	memcpy(net.text, fuzz.text, fuzz.n);
	net.question = !(how & 1) && net.n >= 12 + QUESTION_N;
	net.broken = how & 2;
	check_mx(net.n < 3 || !(net.text[2] & 2));
	check_addresses();
	return 0;
}
