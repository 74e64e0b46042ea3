/* The first part of a report, for people who run no mail system: what happened to which address, what was said there, what they can do.
 * SPDX-License-Identifier: MIT */
#include "report-parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "trace.h"

#define MARGIN "\r\n      "
#define QUOTE "\r\n          "

/* What an enhanced code means (RFC 3463, 5248, 7505), its class aside, and what can be done.  The first row that fits; one that ends in a dot
 * fits all behind it.  */
static const struct meaning { const char *code, *what, *advice; } meanings[] = {
	{ "1.1", "There is no such mailbox.", "Check how the address is written, above all the part before the @." },
	{ "1.2", "There is no such mail domain.", "Check how the address is written, above all the part behind the @." },
	{ "1.3", "This is not written as an address has to be.", "Check how the address is written." },
	{ "1.6", "The mailbox has moved.", "Ask the recipient for the new address." },
	{ "1.7", "Your own address was not accepted there.", "Check which address your mail program sends from, and ask those who run your mail." },
	{ "1.8", "Your own address was not accepted there.", "Check which address your mail program sends from, and ask those who run your mail." },
	{ "1.10", "The domain of this address takes no mail at all.", "Ask the recipient for another address." },
	{ "1.", "There is something wrong with this address.", "Check how the address is written." },
	{ "2.1", "The mailbox is closed.", "Reach the recipient in another way." },
	{ "2.2", "The mailbox is full.", "Tell the recipient in another way, and send the message again later." },
	{ "2.3", "The message is too large for this mailbox.", "Send less at once, or put large files where they can be fetched and send a link." },
	{ "3.4", "The message is too large for the server there.", "Send less at once, or put large files where they can be fetched and send a link." },
	{ "4.6", "The message went round in a circle between mail servers.", "Show this report to those who run the mail of the recipient." },
	{ "4.7", "It was tried for as long as we try, without success.",
		"Check the part behind the @. If it is right, send the message again later, or reach the recipient in another way." },
	{ "4.", "The mail server for this address could not be reached.",
		"Check the part behind the @. If it is right, send the message again later, or reach the recipient in another way." },
	{ "6.7", "The mail server there cannot handle letters beyond ASCII in addresses.", "Ask the recipient for an address in plain ASCII." },
	{ "6.", "The mail server there cannot handle what is in the message.", "Send it in another form, as plain text for example." },
	{ "7.", "The mail server there refused the message by a rule, perhaps because it took it for unwanted mail.",
		"Reach the recipient in another way, and show this report to those who run the mail there." },
	{ "", "", "Reach the recipient in another way, or show this report to those who run your mail." },
};

static const struct meaning *meaning_of(const char *status)
{
	const char *dot = strchr(status, '.'), *code = dot ? dot + 1 : "";
	const struct meaning *m = meanings;
	for (; *m->code; m++) {
		size_t n = strlen(m->code);
		if (strncmp(code, m->code, n) == 0 && (m->code[n - 1] == '.' || !code[n])) break;
	}
	return m;
}

__attribute__((format(printf, 2, 3)))
static void paragraph(struct out *o, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	out_words(o, "\r\n", text);
	out_bytes(o, "\r\n\r\n", 4);
}

/* A line with a margin, of our words and, in between, foreign ones.  */
static void line(struct out *o, const char *indent, const char *before, const char *s, const char *after)
{
	out_bytes(o, indent + 2, strlen(indent) - 2);
	out_words(o, indent, before);
	out_words(o, indent, s);
	out_bytes(o, after, strlen(after));
	out_bytes(o, "\r\n", 2);
}

static void put_recipient(struct out *o, const struct report_rcpt *rcpt, bool advise)
{
	char first[ORCPT_MAX];
	bool utf8, trouble = rcpt->action == REPORT_FAILED || rcpt->action == REPORT_DELAYED, words = rcpt->text[strspn(rcpt->text, " \t\r\n\f\v")] != '\0';
	const struct meaning *m = meaning_of(rcpt->status);
	out_bytes(o, "  <", 3);
	out_clean(o, rcpt->rcpt);
	out_bytes(o, ">\r\n", 3);
	if (report_orcpt(first, &utf8, rcpt->orcpt) && strcmp(first, rcpt->rcpt) != 0) line(o, MARGIN, "where mail for", first, " goes");
	if (trouble && *m->what) line(o, MARGIN, m->what, "", "");
	if (words && rcpt->said) {
		if (*rcpt->host) line(o, MARGIN, "The server", rcpt->host, " said:");
		else line(o, MARGIN, "The server there said:", "", "");
	}
	if (words) line(o, rcpt->said ? QUOTE : MARGIN, "", rcpt->text, "");
	if (rcpt->action == REPORT_FAILED && advise) line(o, MARGIN, m->advice, "", "");
	out_bytes(o, "\r\n", 2);
}

/* One of so many that there is room for the address alone, or not even that.  */
static void put_short(struct out *o, const struct report *r, const struct report_rcpt *rcpt, bool first)
{
	if (r->extent == REPORT_BRIEFEST) return;
	if (first) paragraph(o, "and, without details, since a report with all of them was too large to be taken,");
	out_bytes(o, "  <", 3);
	out_clean(o, rcpt->rcpt);
	out_bytes(o, ">\r\n", 3);
}

static void put_patience(struct out *o, const struct report *r)
{
	char date[TRACE_DATE], left[64] = "";
	long long hours = r->until > r->now ? ((long long)r->until - (long long)r->now + 1800) / 3600 : 0;
	trace_date(date, r->until);
	if (hours >= 48) snprintf(left, sizeof left, " for another %lld days, until ", hours / 24);
	else if (hours > 0) snprintf(left, sizeof left, " for another %lld hour%s, until ", hours, hours == 1 ? "" : "s");
	paragraph(o, "You need not do anything, and please do not send it again: we go on trying%s%s. Should that be in vain, you will be told.", left, *left ? date : "");
}

static void put_group(struct out *o, const struct report *r, enum report_action action)
{
	static const struct { const char *head, *foot; } words[] = {
		[REPORT_FAILED] = { "could not be delivered to", "That is final: it is not tried again." },
		[REPORT_DELAYED] = { "could not be delivered yet to", "" },
		[REPORT_DELIVERED] = { "was delivered to", "Whether anybody reads it is not told to us." },
		[REPORT_RELAYED] = { "was taken by a mail server that does not report when it is delivered, for", "You will hear of it again only if it fails." },
		[REPORT_EXPANDED] = { "has come here, and was passed on to all the addresses behind", "You are not told when it is delivered to each of them." },
	};
	bool any = false;
	size_t more = 0;
	for (size_t i = 0; i < r->count; i++) {
		if (r->rcpt[i].action != action) continue;
		if (!any) paragraph(o, "%s %s", r->sender ? "The message" : "Your message", words[action].head);
		any = true;
		if (r->extent == REPORT_ALL || i < REPORT_IN_FULL) put_recipient(o, &r->rcpt[i], !r->sender);
		else put_short(o, r, &r->rcpt[i], more++ == 0);
	}
	if (more > 0 && r->extent == REPORT_BRIEFEST) paragraph(o, "and %zu more, who are not named, since a report of all was too large to be taken.", more);
	else if (more > 0) out_bytes(o, "\r\n", 2);
	if (any && action == REPORT_DELAYED) put_patience(o, r);
	else if (any) paragraph(o, "%s", words[action].foot);
}

static void put_attached(struct out *o, const struct report *r, const struct original *original)
{
	if (r->message < 0) paragraph(o, "The message itself is not here any more, so it does not come with this report.");
	else if (original->whole) paragraph(o, "The message comes with this report.");
	else if (original->too_large && r->extent != REPORT_ALL) paragraph(o, "A report with the whole message was too large to be taken; its header comes with this one.");
	else if (original->too_large) paragraph(o, "The message has more than %llu octets, so that it does not come with this report, but only its header.",
		(unsigned long long)r->most);
	else paragraph(o, "The header of the message comes with this report.");
	if (r->message >= 0 && original->cut) paragraph(o, r->extent == REPORT_BRIEFEST ? "That header is long; it was cut." : "That header has no end; it was cut.");
}

/* Why it comes to somebody who did not send the message.  */
static void put_sender(struct out *o, const char *sender)
{
	if (!*sender) {
		paragraph(o, "You get this because you look after the mail here. The message has no sender who could be told; it may be a report itself.");
		return;
	}
	paragraph(o, "You get this because you look after the mail here: a report to the sender was not taken. The sender is");
	out_format(o, "  <");
	out_clean(o, sender);
	out_format(o, ">\r\n\r\n");
}

void report_text(struct out *o, const struct report *r, const struct original *original)
{
	char date[TRACE_DATE];
	trace_date(date, r->arrived);
	const char *about = r->arrived <= 0 ? "" : r->sender ? " It writes about a message that came here on " : " It writes about the message that you sent, which came here on ";
	paragraph(o, "This is the mail system of %.255s.%s%s%s", r->hostname, about, *about ? date : "", *about ? "." : "");
	if (r->sender) put_sender(o, r->sender);
	for (enum report_action action = REPORT_FAILED; action <= REPORT_EXPANDED; action++) put_group(o, r, action);
	put_attached(o, r, original);
	line(o, "\r\n", "For who runs a mail system: details are in the next part of this report; in our log the message is", r->id, ".");
}
