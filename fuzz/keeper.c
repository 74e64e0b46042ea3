/* The keeper, told anything by a speaker that a stranger has taken over: what it logs is one plain line, what it answers is an answer, and it
 * starts a next hop only when asked to (P8, P10).
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "../lib/keeper.c"

bool sandbox_speaker(void) { return true; }
void sandbox_beneath(int fd) { (void)fd; }
static unsigned opened;
bool nexthop_open(struct nexthop *n, const struct config *cf) { (void)cf; n->fd = 77; return ++opened; }
void nexthop_start(struct nexthop *n, const struct config *cf, const char *id) { (void)n, (void)cf, (void)id; }
void nexthop_close(struct nexthop *n, bool at_once) { (void)at_once; n->fd = -1; }

/* Fill a message with the text over and over, so that nothing in it ends; its kind and length are the control octets'.  */
static size_t message(char *buf, size_t room)
{
	union message m;
	unsigned kind = control(), how = control();
	for (size_t i = 0; i < sizeof m; i++) ((char *)&m)[i] = fuzz.n > 0 ? fuzz.text[i % fuzz.n] : 'x';
	if (kind < 128) m.request = kind % 10;          /* of an event it is the kind */
	memset(buf, 'x', room);
	memcpy(buf, &m, sizeof m);
	size_t n = how < 100 ? sizeof m.event : how < 200 ? sizeof m.request : (how - 200) * 30;
	return n < room ? n : room;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config cf;
	static int pair[2] = { -1, -1 };
	const struct keeper k = { .cf = &cf, .id = "0123456789abcdef" };
	struct keeping g = { .k = &k, .hop = { .fd = -1 } };
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
		EXPECT(serve(&g, false, &last));
		memcpy(&kind, buf, sizeof kind);
		bool event = n >= sizeof(struct event), request = n == sizeof kind && kind >= ASK_HOP && kind <= DROP_HOP;      /* the kernel cuts off what is too long */
		EXPECT(fuzz.logged - lines == (event ? kind < EVENT_KINDS : !request));
		EXPECT(last == (event && kind == EVENT_ENDED));
		bool asks = request && kind != DROP_HOP;
		ssize_t r = recv(pair[1], &t, sizeof t, MSG_DONTWAIT);
		EXPECT(r == (asks ? (ssize_t)sizeof t : -1));
		if (asks) EXPECT(t.fd == (kind == ASK_HOP ? 77 : -1) && t.now > 0);
		EXPECT(opened - before == (request && kind == ASK_HOP));
	}
	return 0;
}
