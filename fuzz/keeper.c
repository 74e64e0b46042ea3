/* The keeper, told anything by a speaker that a stranger has taken over: what it logs is one plain line, what it answers is an answer, and it
 * starts a next hop only when asked to (P8, P10).
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "../lib/keeper.c"

bool sandbox_speaker(void) { return true; }
void sandbox_beneath(int fd, int other) { (void)fd, (void)other; }
static unsigned opened;
enum { HOP_FD = 1077, TLS_FD, AUTH_FD };        /* not open: nothing can be put in the place of 0 and 1 */
bool nexthop_open(struct nexthop *n, const struct config *cf) { (void)cf; n->helper.fd = HOP_FD; return ++opened; }
void nexthop_start(struct nexthop *n, const struct config *cf, const char *id) { (void)n, (void)cf, (void)id; }
void nexthop_close(struct nexthop *n, bool at_once) { (void)at_once; n->helper.fd = -1; }
int helper_close(struct helper *h, bool at_once) { (void)at_once; *h = HELPER_NONE; return 0; }
bool tls_open(struct helper *h, const struct config *cf, int client, const char *id, const char *peer)
{
	(void)cf, (void)id;
	EXPECT(client == 0 && (strcmp(peer, "local") == 0 || strchr(peer, '.') || strchr(peer, ':')));
	h->fd = TLS_FD;
	return ++opened;
}
void tls_start(struct helper *h, const struct config *cf) { (void)h, (void)cf; }
bool auth_open(struct helper *h, const struct config *cf) { (void)cf; h->fd = AUTH_FD; return ++opened; }
void auth_start(struct helper *h, const struct config *cf, const char *peer) { (void)h, (void)cf, (void)peer; }
enum verdict auth_verdict(struct helper *h) { h->fd = -1; return VERDICT_YES; }

/* Fill a message with the text over and over, so that nothing in it ends; its kind and length are the control octets'.  */
static size_t message(char *buf, size_t room)
{
	union message m;
	unsigned kind = control(), how = control();
	for (size_t i = 0; i < sizeof m; i++) ((char *)&m)[i] = fuzz.n > 0 ? fuzz.text[i % fuzz.n] : 'x';
	if (kind < 128) m.request = kind % 10;          /* of an event it is the kind */
	memset(buf, 'x', room);
	memcpy(buf, &m, sizeof m);
	size_t n = how < 80 ? sizeof m.event : how < 180 ? sizeof m.request : how < 210 ? sizeof m.about : (how - 210) * 40;
	return n < room ? n : room;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config cf;
	static int pair[2] = { -1, -1 };
	static char peer[PEER_SIZE] = "local";
	const struct keeper k = { .cf = &cf, .id = "0123456789abcdef", .peer = peer };
	struct keeping g = { .k = &k, .hop = { .helper = HELPER_NONE }, .tls = HELPER_NONE, .auth = HELPER_NONE };
	if (pair[0] < 0) {
		EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
		setenv("SMTP_LOG", "stderr", 1);
		log_open("smtp-handler", k.id, "192.0.2.1", LOG_FIELDS);
	}
	fuzz_take(data, size, 2000);
	opened = 0;
	g.channel = pair[0];
	for (int i = 0; i < 4; i++) {
		char buf[sizeof(union message) + 100];
		struct told t;
		uint32_t kind;
		bool last = false;
		unsigned before = opened, lines = fuzz.logged;
		size_t n = message(buf, sizeof buf);
		if (n == 0) continue;
		EXPECT(send(pair[1], buf, n, 0) == (ssize_t)n);
		EXPECT(hear(&g, false, &last));
		memcpy(&kind, buf, sizeof kind);
		bool event = n >= sizeof(struct event), about = n == sizeof(struct about);      /* the kernel cuts off what is too long */
		bool request = n == sizeof kind && kind >= ASK_HOP && kind <= ASK_VERDICT;
		EXPECT(fuzz.logged - lines == (event ? kind < EVENT_KINDS : !request && !about));
		EXPECT(last == (event && kind == EVENT_ENDED));
		bool asks = request && kind != DROP_HOP;
		ssize_t r = recv(pair[1], &t, sizeof t, MSG_DONTWAIT);
		EXPECT(r == (asks ? (ssize_t)sizeof t : -1));
		if (asks) EXPECT(t.fd == (kind == ASK_HOP ? HOP_FD : kind == ASK_TLS ? TLS_FD : kind == ASK_AUTH ? AUTH_FD : -1) && t.now > 0);
		if (asks && kind == ASK_VERDICT) EXPECT(t.what == VERDICT_YES);
		EXPECT(opened - before == (request && (kind == ASK_HOP || kind == ASK_TLS || kind == ASK_AUTH)));
	}
	return 0;
}
