/* Received headers and the header watcher.  Pure functions: no I/O, no locale, no time zone.
 * SPDX-License-Identifier: MIT */
#include "trace.h"

#include <stdio.h>
#include <string.h>

void trace_date(char *out, time_t t)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	long long s = t > 0 ? (long long)t : 0, day = s / 86400;
	/* years from March, so that the leap day comes last: 146097 days are 400 years (Hinnant's civil_from_days) */
	long long z = day + 719468, era = z / 146097, doe = z % 146097;
	long long yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	long long mp = (5 * doy + 2) / 153, mday = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 2 : mp - 10;
	long long year = yoe + era * 400 + (month <= 1);
	snprintf(out, TRACE_DATE, "%.3s, %lld %.3s %lld %02lld:%02lld:%02lld +0000", days + (day + 4) % 7 * 3, mday, months + month * 3, year,
		s / 3600 % 24, s / 60 % 60, s % 60);
}

size_t trace_received(char *out, const struct received *r)
{
	char date[TRACE_DATE];
	const char *tls = r->tls ? r->tls : "";
	bool address = strpbrk(r->peer, ".:") != NULL;  /* else it is "local" */
	const char *open = !address ? "" : strchr(r->peer, ':') ? "[IPv6:" : "[";
	trace_date(date, r->date);
	int n = snprintf(out, TRACE_RECEIVED, "Received: from %.255s (%s%.64s%s)%s%.120s%s\r\n\tby %.255s with %.16s id %.64s%s%.254s%s;\r\n\t%s\r\n", r->helo, open, r->peer, address ? "]" : "",
		*tls ? "\r\n\t(" : "", tls, *tls ? ")" : "", r->hostname, r->with, r->id, r->rcpt ? "\r\n\tfor <" : "", r->rcpt ? r->rcpt : "", r->rcpt ? ">" : "", date);
	return (size_t)n;
}

void header_feed(struct header *h, const char *s, size_t n)
{
	while (n > 0 && !h->over) {
		const char *lf = memchr(s, '\n', n);
		size_t piece = lf ? (size_t)(lf - s) : n, room = sizeof h->text - 1 - h->len;
		size_t kept = piece < room ? piece : room;
		memcpy(h->text + h->len, s, kept);
		h->len += kept;
		if (!lf) return;
		if (h->len > 0 && h->text[h->len - 1] == '\r') h->len--;
		h->text[h->len] = '\0';
		if (h->len == 0) h->over = true;
		else h->line(h->ctx, h->text);
		h->len = 0;
		n -= piece + 1;
		s = lf + 1;
	}
}
