/* The attributes of XCLIENT.
 * SPDX-License-Identifier: MIT */
#include "xclient.h"

#include "check.h"

int main(void)
{
	/* "-" stands for not given */
	static const struct { const char *arg, *addr, *helo, *login, *proto; } good[] = {
		{ "ADDR=192.0.2.1", "192.0.2.1", "-", "-", "-" }, { "addr=192.0.2.1 helo=c.example", "192.0.2.1", "c.example", "-", "-" },
		{ "ADDR=IPV6:2001:db8::1", "2001:db8::1", "-", "-", "-" }, { "ADDR=ipv6:::ffff:192.0.2.1", "192.0.2.1", "-", "-", "-" }, { "ADDR=2001:DB8::1", "2001:db8::1", "-", "-", "-" },
		{ "ADDR=[UNAVAILABLE]", "", "-", "-", "-" }, { "ADDR=[tempunavail] LOGIN=[UNAVAILABLE]", "", "-", "", "-" },
		{ "NAME=c.example ADDR=192.0.2.1 PORT=1 PROTO=ESMTP HELO=c LOGIN=alice@example.org DESTADDR=192.0.2.9 DESTPORT=25 REVERSE_NAME=[UNAVAILABLE]", "192.0.2.1", "c", "alice@example.org", "ESMTP" },
		{ "PROTO=smtp", "-", "-", "-", "SMTP" }, { "LOGIN=a+2Bb+20c", "-", "-", "a+b c", "-" }, { "HELO=[192.0.2.1]", "-", "[192.0.2.1]", "-", "-" }, { "  NAME=x  ", "-", "-", "-", "-" },
		{ "PROTO=[UNAVAILABLE]", "-", "-", "-", "-" },
	};
	static const char *const bad[] = {
		"", " ", "ADDR", "ADDR=", "=x", "ADDR=x", "ADDR=192.0.2.1.5", "ADDR=IPV6:x", "WHO=x", "PROTO=LMTP", "LOGIN=a+0Ab", "LOGIN=a+zz", "HELO=a+20b", "HELO=<x>", "ADDR=192.0.2.1 X",
		"NAME=a=b", "LOGIN=\xff",
	};
	struct xclient x;
	char arg[256];
	for (size_t i = 0; i < COUNT(good); i++) {
		strcpy(arg, good[i].arg);
		bool got = xclient_parse(arg, &x);
		check(got && strcmp(x.given_addr ? x.addr : "-", good[i].addr) == 0 && strcmp(x.given_helo ? x.helo : "-", good[i].helo) == 0 &&
			strcmp(x.given_login ? x.login : "-", good[i].login) == 0 && strcmp(x.given_proto ? x.esmtp ? "ESMTP" : "SMTP" : "-", good[i].proto) == 0, "XCLIENT %s", good[i].arg);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		strcpy(arg, bad[i]);
		check(!xclient_parse(arg, &x), "not XCLIENT %s", show_text(bad[i]));
	}
	return done();
}
