/* Parameters of delivery status notifications (RFC 3461 4).
 * SPDX-License-Identifier: MIT */
#include "dsn.h"

#include "check.h"

static void test_notify(void)
{
	enum { BAD = -1, N = NOTIFY_NEVER, S = NOTIFY_SUCCESS, F = NOTIFY_FAILURE, D = NOTIFY_DELAY };
	static const struct { const char *value; int want; } rows[] = {
		{ "NEVER", N }, { "never", N }, { "SUCCESS", S }, { "FAILURE", F }, { "DELAY", D }, { "SUCCESS,FAILURE,DELAY", S | F | D }, { "delay,Success", S | D },
		{ "", BAD }, { ",", BAD }, { "SUCCESS,", BAD }, { ",SUCCESS", BAD }, { "NEVER,SUCCESS", BAD }, { "SUCCESS,NEVER", BAD }, { "NEVER,NEVER", BAD }, { "DELAY,DELAY", BAD },
		{ "SUCCESS FAILURE", BAD }, { "SUCCESSFAILURE", BAD }, { "SUCC", BAD }, { "SUCCESS;FAILURE", BAD },
	};
	char text[DSN_NOTIFY];
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dsn_rcpt d = { 0 };
		bool good = dsn_notify(&d, rows[i].value);
		check_number(good ? d.notify : 99, rows[i].want == BAD ? 99 : (unsigned)rows[i].want, "NOTIFY=%s", rows[i].value);
	}
	dsn_notify_text(text, 0);
	check_text(text, "", "none was given");
	dsn_notify_text(text, N);
	check_text(text, " NOTIFY=NEVER", "never");
	dsn_notify_text(text, S | F | D);
	check_text(text, " NOTIFY=SUCCESS,FAILURE,DELAY", "all, which is the longest");
	static const unsigned both[][3] = { { 0, 0, 0 }, { N, N, N }, { N, S, S }, { S, F, S | F }, { 0, N, F | D }, { 0, S, S | F | D }, { F, 0, F | D }, { F, F, F } };
	for (size_t i = 0; i < COUNT(both); i++) {
		check_number(dsn_notify_both(both[i][0], both[i][1]), both[i][2], "%u and %u", both[i][0], both[i][1]);
		check_number(dsn_notify_both(both[i][1], both[i][0]), both[i][2], "%u and %u", both[i][1], both[i][0]);
	}
}

static void test_values(void)
{
	static char x100[101], x101[102], o500[501], o501[502];
	memset(x100, 'x', 100);
	memset(x101, 'x', 101);
	memset(o500, 'x', 500);
	memset(o501, 'x', 501);
	memcpy(o500, "rfc822;", 7);
	memcpy(o501, "rfc822;", 7);
	const struct { const char *value; bool envid, orcpt; } rows[] = {
		{ "QQ314159", true, false }, { "a+2Bb", true, false }, { "a+2bb", false, false }, { "a+2", false, false }, { "", false, false }, { "a=b", false, false },
		{ "a+0D+0Ab", false, false }, { "a+00b", false, false }, { x100, true, false }, { x101, false, false },
		{ "rfc822;bob@example.test", true, true }, { "RFC822;Bob+2Bx@example.test", true, true }, { "rfc822;", true, false }, { ";bob", true, false }, { "rfc822", true, false },
		{ "rfc 822;x", false, false }, { "rfc822;a+0Ab", false, false }, { "utf-8;b\xc3\xbc@example.test", true, true }, { "utf-8;b\xc3@example.test", true, false },
		{ "utf-8;b\\x{FC}@example.test", true, true }, { "x400;/o=x", false, false }, { o500, false, true }, { o501, false, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dsn_mail m = { 0 };
		struct dsn_rcpt r = { 0 };
		check(dsn_envid(&m, rows[i].value) == rows[i].envid, "ENVID=%s is %s", show_text(rows[i].value), rows[i].envid ? "good" : "bad");
		check_text(m.envid, rows[i].envid ? rows[i].value : "", "and kept only then");
		check(dsn_orcpt(&r, rows[i].value) == rows[i].orcpt, "ORCPT=%s is %s", show_text(rows[i].value), rows[i].orcpt ? "good" : "bad");
		check_text(r.orcpt, rows[i].orcpt ? rows[i].value : "", "and kept only then");
	}
	struct dsn_mail m = { 0 };
	check(dsn_ret(&m, "full") && m.ret == 'F', "RET=full");
	check(dsn_ret(&m, "HDRS") && m.ret == 'H', "RET=HDRS");
	check(!dsn_ret(&m, "BODY") && !dsn_ret(&m, ""), "RET= something else");
}

int main(void)
{
	test_notify();
	test_values();
	return done();
}
