/* dns-ask SERVER MS mx DOMAIN [SELF] | dns-ask SERVER MS addresses HOST PORT: what client/dns.c says of it.  For tests.
 * The first line is the result and dns_why, the others are hosts or addresses.  MS may be followed by "xN": N times, a line of hosts for each.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns.h"

static const char *const results[] = { "ok", "none", "null", "later", "self" };
static struct dns d;

static void show(enum dns_result r) { printf("%s%s%s\n", results[r], *dns_why(&d) ? " " : "", dns_why(&d)); }

static void mx(const char *domain, const char *self, bool whole)
{
	static struct dns_hosts hosts;
	enum dns_result r = dns_mx(&d, domain, self, &hosts);
	if (whole) show(r);
	if (whole && hosts.implicit) puts("implicit");
	if (whole && hosts.authentic) puts("authentic");
	for (size_t i = 0; i < hosts.count; i++)
		if (whole) printf("%u %s\n", hosts.host[i].preference, hosts.host[i].name);
		else printf("%s%s", hosts.host[i].name, i + 1 < hosts.count ? " " : "\n");
}

static void addresses(const char *host, const char *port)
{
	static struct dns_addresses found;
	char text[INET6_ADDRSTRLEN];
	show(dns_addresses(&d, host, (unsigned)atoi(port), &found));
	if (found.authentic) puts("authentic");
	for (size_t i = 0; i < found.count; i++) {
		const union ask_address *u = &found.address[i].u;
		bool v6 = u->sa.sa_family == AF_INET6;
		if (found.address[i].len != (v6 ? sizeof u->in6 : sizeof u->in)) puts("a wrong length");
		inet_ntop(u->sa.sa_family, v6 ? (const void *)&u->in6.sin6_addr : (const void *)&u->in.sin_addr, text, sizeof text);
		printf("%s %u\n", text, ntohs(v6 ? u->in6.sin6_port : u->in.sin_port));
	}
}

int main(int argc, char **argv)
{
	if (argc < 5) return 64;
	char *times = strchr(argv[2], 'x');
	if (!dns_open(&d, argv[1], (unsigned)atoi(argv[2]))) {
		printf("not opened: %s\n", dns_why(&d));
		return 1;
	}
	for (int n = times ? atoi(times + 1) : 1; n > 0; n--) {
		if (strcmp(argv[3], "mx") == 0) mx(argv[4], argc > 5 ? argv[5] : "", !times);
		else addresses(argv[4], argc > 5 ? argv[5] : "25");
	}
	dns_close(&d);
	return 0;
}
