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
		{ "PROTO=[UNAVAILABLE]", "-", "-", "-", "-" }, { "ADDR=192.0.2.1 ADDR=[UNAVAILABLE]", "", "-", "-", "-" }, { "ADDR=[UNAVAILABLE] ADDR=192.0.2.1", "192.0.2.1", "-", "-", "-" },
		{ "LOGIN=a LOGIN=[UNAVAILABLE] HELO=b HELO=[TEMPUNAVAIL]", "-", "", "", "-" }, { "PROTO=ESMTP PROTO=SMTP", "-", "-", "-", "SMTP" },
		{ "PORT=0 DESTPORT=65535 DESTADDR=IPV6:::1", "-", "-", "-", "-" }, { "PORT=[UNAVAILABLE] DESTPORT=[TEMPUNAVAIL] DESTADDR=[UNAVAILABLE]", "-", "-", "-", "-" },
		{ "ADDR=+31+39+32.0.2.1", "192.0.2.1", "-", "-", "-" }, { "LOGIN=caf+C3+A9", "-", "-", "caf\xc3\xa9", "-" }, { "LOGIN=[UNAVAILABLE]x", "-", "-", "[UNAVAILABLE]x", "-" },
	};
	static const char *const bad[] = {
		"", " ", "ADDR", "ADDR=", "=x", "ADDR=x", "ADDR=192.0.2.1.5", "ADDR=IPV6:x", "WHO=x", "PROTO=LMTP", "LOGIN=a+0Ab", "LOGIN=a+zz", "HELO=a+20b", "HELO=<x>", "ADDR=192.0.2.1 X",
		"NAME=a=b", "LOGIN=\xff", "ADDR=IPV6:192.0.2.1", "ADDR=IPV6:", "ADDR=IPV6:[::1]", "ADDR=[192.0.2.1]", "ADDR=192.0.2.1,PORT=1", "ADDR =192.0.2.1", "ADDR= 192.0.2.1",
		"PORT=x", "PORT=65536", "PORT=-1", "PORT=+2B1", "DESTPORT=25x", "DESTPORT=99999999999999999999", "DESTADDR=x", "DESTADDR=IPV6:1", "HELO=+00", "LOGIN=a+7Fb", "LOGIN=+C3", "LOGIN=+ED+A0+80",
		"NAME", "REVERSE_NAME=+0D+0A", "NAME=x\tADDR=192.0.2.1", "NAM=x", "NAMES=x", "HELO=[UNAVAILABLE]x,", "ADDR=::1 ADDR=x",
	};
	struct xclient x;
	char arg[512];
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
	for (int more = 0; more < 2; more++) {
		int name = 255 + more;
		snprintf(arg, sizeof arg, "LOGIN=+41%0*d", name - 1, 0);
		check(xclient_parse(arg, &x) == !more, "a LOGIN of %d octets", name);
		snprintf(arg, sizeof arg, "HELO=+41%0*d", name - 1, 0);
		check(xclient_parse(arg, &x) == !more && (more || strlen(x.helo) == 255), "a HELO of %d octets", name);
	}
	return done();
}
