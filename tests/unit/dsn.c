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
		{ "rfc 822;x", false, false }, { "rfc822;a+0Ab", false, false }, { "utf-8;b\xc3\xbc@example.test", false, true }, { "utf-8;b\xc3@example.test", false, false },
		{ "utf-8;b\\x{FC}@example.test", true, true }, { "rfc822;b\xc3\xbc@example.test", false, false }, { "b\xc3\xbc", false, false }, { "x400;/o=x", false, false }, { o500, false, true }, { o501, false, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dsn_mail m = { 0 };
		struct dsn_rcpt r = { 0 };
		check(dsn_envid(&m, rows[i].value) == rows[i].envid, "ENVID=%s is %s", show_text(rows[i].value), rows[i].envid ? "good" : "bad");
		check_text(m.envid, rows[i].envid ? rows[i].value : "", "and kept only then");
		check(dsn_orcpt(&r, rows[i].value, true) == rows[i].orcpt, "ORCPT=%s is %s", show_text(rows[i].value), rows[i].orcpt ? "good" : "bad");
		check_text(r.orcpt, rows[i].orcpt ? rows[i].value : "", "and kept only then");
	}
	struct dsn_mail m = { 0 };
	check(dsn_ret(&m, "full") && m.ret == 'F', "RET=full");
	check(dsn_ret(&m, "HDRS") && m.ret == 'H', "RET=HDRS");
	check(!dsn_orcpt(&(struct dsn_rcpt){ 0 }, "utf-8;b\xc3\xbc@example.test", false), "octets above 127 need SMTPUTF8");
	check(!dsn_ret(&m, "BODY") && !dsn_ret(&m, ""), "RET= something else");
}

/* In seven bits (RFC 6533 3).  */
static void test_ascii(void)
{
	static const struct { const char *orcpt, *want; } rows[] = {
		{ "rfc822;bob+2Bx@example.test", "rfc822;bob+2Bx@example.test" }, { "utf-8;b\\x{FC}@example.test", "utf-8;b\\x{FC}@example.test" },
		{ "utf-8;b\u00fc@\u4f8b.example", "utf-8;b\\x{FC}@\\x{4F8B}.example" }, { "UTF-8;\U0001f600\\x{FC}@x", "utf-8;\\x{1F600}\\x{FC}@x" },
		{ "utf-8;\u00e9+\\y\\x{FC\\x{1234567}\\x{}", "utf-8;\\x{E9}\\x{2B}\\x{5C}y\\x{5C}x{FC\\x{5C}x{1234567}\\x{5C}x{}" },
	};
	static const struct { const char *address, *want; } from[] = {
		{ "bob@example.test", "rfc822;bob@example.test" }, { "b+o=b@example.test", "rfc822;b+2Bo+3Db@example.test" }, { "\"a b\\\\\"@example.test", "rfc822;\"a+20b\\\\\"@example.test" },
		{ "postmaster", "rfc822;postmaster" }, { "b\u00fc+x=\\x{FC}@example.test", "utf-8;b\\x{FC}\\x{2B}x\\x{3D}\\x{5C}x{FC}@example.test" },
		{ "\"\u00fc y\"@example.test", "utf-8;\"\\x{FC}\\x{20}y\"@example.test" },
	};
	char out[DSN_ORCPT + 1], wide[DSN_ORCPT + 1], most[DSN_ORCPT + 1];
	struct dsn_rcpt d = { 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		check(dsn_orcpt_ascii(out, rows[i].orcpt), "there is room for %s", show_text(rows[i].orcpt));
		check_text(out, rows[i].want, "in seven bits");
	}
	for (size_t i = 0; i < COUNT(from); i++) {
		dsn_orcpt_from(&d, from[i].address);
		check_text(d.orcpt, from[i].want, "for %s", show_text(from[i].address));
		check(dsn_orcpt(&d, from[i].want, false), "which is good");
	}
	strcpy(wide, "utf-8;");
	strcpy(most, "utf-8;");
	for (size_t i = 0; i < 82; i++) strcat(wide, "\u00fc");
	for (size_t i = 0; i < 82; i++) strcat(most, "\\x{FC}");
	strcat(wide, "xy");
	strcat(most, "xy");
	check(strlen(most) == DSN_ORCPT && dsn_orcpt_ascii(out, wide) && strcmp(out, most) == 0, "500 octets");
	dsn_orcpt_from(&d, wide + 6);
	check_text(d.orcpt, most, "of an address, too");
	strcat(wide, "z");
	check(!dsn_orcpt_ascii(out, wide), "but not 501");
	dsn_orcpt_from(&d, wide + 6);
	check_text(d.orcpt, "", "of an address, too");
	memset(wide, '+', 200);
	wide[200] = '\0';
	dsn_orcpt_from(&d, wide);
	check_text(d.orcpt, "", "nor as xtext");
}

int main(void)
{
	test_notify();
	test_values();
	test_ascii();
	return done();
}
