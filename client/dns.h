/* Where mail for a domain goes (RFC 5321 5.1), and the addresses of a host.  Only DNS is asked, never /etc/hosts.  */
#ifndef DNS_H
#define DNS_H

#include <stdbool.h>
#include <stddef.h>

#include "ask.h"

enum { DNS_HOSTS = 20 /* most MX hosts that are tried */, DNS_ADDRESSES = 16 /* of one host */, DNS_NAME = 256, DNS_WHY = 500 };

enum dns_result {
	DNS_OK,
	DNS_NONE,       /* the name does not exist, or has nothing of that kind: permanent */
	DNS_NULL_MX,    /* RFC 7505: takes no mail, permanent */
	DNS_LATER,      /* SERVFAIL, REFUSED, time-out, nonsense: temporary */
	DNS_SELF,       /* only from dns_mx: the best MX is ourselves, none is better than we are (RFC 5321 5.1): a configuration error */
};

/* About 70 KiB, without pointers of ours: for static storage.  */
struct dns {
	struct ask ask;
	char why[DNS_WHY];
};

/* Begin.  `server` is "ADDRESS", "ADDRESS:PORT" or "[IPV6]:PORT" to ask instead of those of /etc/resolv.conf, "" for those.  `ms` is the limit for one question,
 * all tries included.  False, with dns_why, when that is no address or there is no memory; then there is nothing to close.  */
bool dns_open(struct dns *d, const char *server, unsigned ms);
void dns_close(struct dns *d);

struct dns_host { char name[DNS_NAME]; unsigned preference; };
struct dns_hosts {
	size_t count;
	struct dns_host host[DNS_HOSTS];
	bool implicit;          /* no MX: the domain itself is the host (or the literal is); whether it has an address, dns_addresses tells */
	bool authentic;         /* all of the answer is, by the AD bit of a server on this host or one that /etc/resolv.conf trusts (trust-ad) */
};

/* Where mail for `domain` goes: hosts by preference, equal ones in random order, the best DNS_HOSTS of them, each once.  The domain is ASCII or UTF-8, which
 * becomes A-labels, or an address literal, which is its own host.  CNAMEs are followed as far as the answer leads, RFC 5321 5.1.  No MX is an implicit one, the
 * domain itself; one failed answer is not.  Names in `self`, a list with blanks or commas between, whatever their case, are us: they and all that are not better are dropped.
 * Hosts whose names are not made of letters, digits, - _ . or are numbers are dropped too (P8); when no other is left, that is DNS_LATER.
 * One question.  With any result but DNS_OK there are no hosts in `out`.  */
enum dns_result dns_mx(struct dns *d, const char *domain, const char *self, struct dns_hosts *out);

struct dns_address { union ask_address u; socklen_t len; };
struct dns_addresses {
	size_t count;
	bool authentic;         /* as in dns_hosts, of all that was found */
	struct dns_address address[DNS_ADDRESSES];
};

/* The addresses of a host (AAAA and A), with `port`: IPv6 and IPv4 in turn, IPv6 first.  An address ("192.0.2.1", "2001:db8::1", "[192.0.2.1]", "[IPv6:2001:db8::1]") is its own.
 * What nobody can be connected to by is dropped: unspecified, multicast, IPv4-mapped; and what the DNS says is this host: 127.0.0.0/8, ::1.  Trouble with one kind does not matter when there is the other.
 * Two questions.  With any result but DNS_OK (NONE, LATER) there are no addresses in `out`.  */
enum dns_result dns_addresses(struct dns *d, const char *host, unsigned port, struct dns_addresses *out);

/* What the last of these calls found wrong, in words for a log or a bounce ("mx.example.org: no such name"), printable ASCII; "" after DNS_OK.  Valid until the next call.  */
const char *dns_why(const struct dns *d);

#endif
