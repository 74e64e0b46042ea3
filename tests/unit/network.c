/* Networks of peers.
 * SPDX-License-Identifier: MIT */
#include "network.h"

#include "check.h"

static void test_valid(void)
{
	static const struct { const char *list; bool want; } rows[] = {
		{ "", true }, { "  ", true }, { "192.0.2.1", true }, { "192.0.2.1/32", true }, { "192.0.2.0/24", true }, { "0.0.0.0/0", true }, { "::/0", true },
		{ "::1", true }, { "2001:db8::/32", true }, { "2001:db8::1/128", true }, { "192.0.2.1, ::1\t10.0.0.0/8", true }, { "192.0.2.128/25", true },
		{ "192.0.2.1/24", false }, { "192.0.2.0/33", false }, { "192.0.2.0/", false }, { "192.0.2.0/-1", false }, { "192.0.2.0/+8", false }, { "192.0.2.0/8x", false },
		{ "2001:db8::1/32", false }, { "::/129", false }, { "192.0.2", false }, { "localhost", false }, { "192.0.2.1 x", false }, { "/8", false }, { "192.0.2.0/24/8", false },
		{ "1111111111111111111111111111111111111111111111111111111111111111111111", false }, { "192.0.2.0/99999999999999999999", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) check(networks_valid(rows[i].list) == rows[i].want, "\"%s\" is %svalid", rows[i].list, rows[i].want ? "" : "not ");
}

static void test_match(void)
{
	static const struct { const char *list, *address; bool want; } rows[] = {
		{ "192.0.2.1", "192.0.2.1", true }, { "192.0.2.1", "192.0.2.2", false }, { "192.0.2.0/24", "192.0.2.255", true }, { "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.128/25", "192.0.2.127", false }, { "192.0.2.128/25", "192.0.2.128", true }, { "0.0.0.0/0", "203.0.113.9", true }, { "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true }, { "2001:db8::/33", "2001:db8:7fff::1", true }, { "2001:db8::/33", "2001:db8:8000::1", false }, { "::1", "::1", true },
		{ "192.0.2.1", "::ffff:192.0.2.1", true }, { "::ffff:192.0.2.0/120", "192.0.2.77", true }, { "10.0.0.0/8 192.0.2.1", "192.0.2.1", true },
		{ "10.0.0.0/8,192.0.2.1", "192.0.2.1", true }, { "", "192.0.2.1", false }, { "0.0.0.0/0 ::/0", "local", false }, { "0.0.0.0/0", "", false },
		{ "0.0.0.0/0", "192.0.2.1:25", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++)
		check(networks_match(rows[i].list, rows[i].address) == rows[i].want, "%s is %sin \"%s\"", rows[i].address, rows[i].want ? "" : "not ", rows[i].list);
}

int main(void)
{
	test_valid();
	test_match();
	return done();
}
