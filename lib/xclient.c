/* SPDX-License-Identifier: MIT */
#include "xclient.h"

#include <string.h>
#include <strings.h>

#include "sasl.h"
#include "xtext.h"

/* With the prefix it is IPv6, as Postfix has it.  Without, some write IPv6 too.  */
static bool address(char out[PEER_SIZE], const char *value)
{
	static const char v6[] = "IPV6:";
	size_t n = sizeof v6 - 1;
	if (strncasecmp(value, v6, n) != 0) return peer_parse(out, value);
	return strchr(value + n, ':') && peer_parse(out, value + n);
}

static bool take_addr(struct xclient *x, const char *value)
{
	x->given_addr = true;
	*x->addr = '\0';        /* the last one counts */
	return !*value || address(x->addr, value);
}

static bool take_helo(struct xclient *x, const char *value)
{
	x->given_helo = true;
	if (*value && (strlen(value) > DOMAIN_MAX || !hello_valid(value))) return false;
	strcpy(x->helo, value);
	return true;
}

static bool take_login(struct xclient *x, const char *value)
{
	x->given_login = true;
	if (*value && !sasl_name_valid(value, strlen(value))) return false;
	strcpy(x->login, value);
	return true;
}

static bool take_proto(struct xclient *x, const char *value)
{
	x->given_proto = *value;
	x->esmtp = strcasecmp(value, "ESMTP") == 0;
	return x->esmtp || !*value || strcasecmp(value, "SMTP") == 0;
}

/* Of no use to us, but a mistake in them may be one in the others too.  */
static bool forget_addr(struct xclient *x, const char *value)
{
	char out[PEER_SIZE];
	(void)x;
	return !*value || address(out, value);
}

static bool forget_port(struct xclient *x, const char *value)
{
	unsigned long long n;
	(void)x;
	return !*value || (number_parse(value, &n) && n <= 65535);
}

static bool forget(struct xclient *x, const char *value)
{
	(void)x, (void)value;
	return true;
}

static const struct attribute { const char *name; bool (*take)(struct xclient *x, const char *value); } attributes[] = {
	{ "ADDR", take_addr }, { "HELO", take_helo }, { "LOGIN", take_login }, { "PROTO", take_proto }, { "NAME", forget }, { "PORT", forget_port },
	{ "DESTADDR", forget_addr }, { "DESTPORT", forget_port }, { "REVERSE_NAME", forget },
};
enum { ATTRIBUTES = sizeof attributes / sizeof *attributes };

bool xclient_parse(char *arg, struct xclient *x)
{
	char *rest = arg;
	*x = (struct xclient){ .given_addr = false };
	if (!*(rest += strspn(rest, " "))) return false;
	while (*rest) {
		char *name = rest;
		rest += strcspn(rest, " ");
		if (*rest) *rest++ = '\0';
		rest += strspn(rest, " ");
		char *value = strchr(name, '=');
		if (!value || !value[1]) return false;
		*value++ = '\0';
		size_t i = 0;
		while (i < ATTRIBUTES && strcasecmp(attributes[i].name, name) != 0) i++;
		if (i == ATTRIBUTES || !xtext_decode(value)) return false;
		bool unknown = strcasecmp(value, "[UNAVAILABLE]") == 0 || strcasecmp(value, "[TEMPUNAVAIL]") == 0;
		if (!attributes[i].take(x, unknown ? "" : value)) return false;
	}
	return true;
}
