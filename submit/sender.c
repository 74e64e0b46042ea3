/* Who sends: the user that the kernel and the user table know, or whom -f and -F name.  The environment is not asked.
 * SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "header.h"
#include "log.h"
#include "submit.h"

bool clean(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f) return false;
	return true;
}

/* The name in a user's entry: what is before the comma, where "&" stands for the login name (passwd(5)).  What cannot stand in a header is no name.  */
static void take_name(char *out, const struct passwd *pw)
{
	size_t n = 0;
	for (const char *c = pw->pw_gecos ? pw->pw_gecos : ""; *c && *c != ',' && n < NAME_MAX_LEN; c++) {
		if (*c != '&') {
			out[n++] = *c;
			continue;
		}
		for (const char *l = pw->pw_name; *l && n < NAME_MAX_LEN; l++) out[n++] = l == pw->pw_name ? (char)toupper((unsigned char)*l) : *l;
	}
	out[n] = '\0';
	if (!clean(out) || !utf8_valid(out)) *out = '\0';
}

/* The domain of senders that have none.  */
static const char *origin(const struct sendmail *m) { return *m->cf.origin ? m->cf.origin : m->cf.hostname; }

/* -f: one address, however it is written; "" and "<>" are the null sender.  */
static bool take_sender(struct sendmail *m)
{
	char text[PATH_MAX_LEN + 2], more[PATH_MAX_LEN + 2];
	const char *s = m->sender_arg, *end = s + strlen(s);
	struct path p;
	if (!*s || strcmp(s, "<>") == 0) return true;
	if (address_next(&s, end, text, sizeof text) != ADDRESS_GOOD || address_next(&s, end, more, sizeof more) != ADDRESS_END || !qualify(text, origin(m), &p)) return false;
	m->utf8 = p.utf8;
	strcpy(m->sender, p.text);
	strcpy(m->author, p.text);
	*m->name = '\0';                /* the user's name does not belong to another address */
	return true;
}

bool find_sender(struct sendmail *m)
{
	struct path p;
	char login[300], escaped[600];
	const struct passwd *pw = getpwuid(getuid());
	if (pw && strlen(pw->pw_name) < sizeof login) snprintf(login, sizeof login, "%s", pw->pw_name);
	else snprintf(login, sizeof login, "%u", (unsigned)getuid());
	if (pw) take_name(m->name, pw);
	bool known = qualify(login, origin(m), &p);
	if (known) strcpy(m->author, p.text);
	if (!m->sender_arg && !known) return trouble(m, EX_USAGE, log_escape(escaped, sizeof escaped, login), "no address can be made of this user's name, -f is needed"), false;
	if (!m->sender_arg) {
		strcpy(m->sender, p.text);
		m->utf8 = p.utf8;
	} else if (!take_sender(m)) {
		return trouble(m, EX_USAGE, log_escape(escaped, sizeof escaped, m->sender_arg), "the sender is no address"), false;
	}
	if (!*m->author) strcpy(m->author, "MAILER-DAEMON");    /* no sender, and no user's name either */
	if (!m->full_name) return true;
	if (strlen(m->full_name) > NAME_MAX_LEN || !utf8_valid(m->full_name)) return trouble(m, EX_USAGE, "-F", "the name is too long, or not UTF-8"), false;
	strcpy(m->name, m->full_name);
	return true;
}

/* Beyond ASCII: encoded words that a line of 76 octets has room for, no character in two of them (RFC 2047 2, 5).  */
static char *encode_name(char *out, const char *name)
{
	static const char begin[] = "=?UTF-8?Q?";
	size_t line = 0;
	for (const unsigned char *c = (const unsigned char *)name; *c;) {
		size_t octets = 1;
		while ((c[octets] & 0xc0) == 0x80) octets++;
		if (line == 0 || line + 3 * octets > 55) {
			out += sprintf(out, "%s%s", line == 0 ? "" : "?=\n ", begin);
			line = 0;
		}
		for (; octets > 0; octets--, c++) {
			bool plain = *c < 0x80 && (isalnum(*c) || strchr("!*+-/", *c));
			int n = *c == ' ' ? sprintf(out, "_") : plain ? sprintf(out, "%c", *c) : sprintf(out, "=%02X", *c);
			out += n;
			line += (size_t)n;
		}
	}
	return out + sprintf(out, "?=");
}

/* A phrase, in quotes if it must be.  */
static char *quote_name(char *out, const char *name)
{
	bool quotes = name[strcspn(name, "()<>[]:;@\\,.\"")] != '\0';
	if (quotes) *out++ = '"';
	for (; *name; name++) {
		if (*name == '"' || *name == '\\') *out++ = '\\';
		*out++ = *name;
	}
	if (quotes) *out++ = '"';
	return out;
}

size_t author_field(const struct sendmail *m, char out[AUTHOR_FIELD])
{
	char *s = out + sprintf(out, "From: ");
	bool ascii = true;
	for (const char *c = m->name; *c; c++) ascii &= (unsigned char)*c < 0x80;
	if (*m->name) s = ascii ? quote_name(s, m->name) : encode_name(s, m->name);
	s += sprintf(s, !*m->name ? "<%s>\n" : ascii ? " <%s>\n" : "\n <%s>\n", m->author);
	return (size_t)(s - out);
}
