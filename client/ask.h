/* One question to the name servers, within a time limit.  glibc builds it and reads /etc/resolv.conf, but does not send it: res_nsend counts in whole
 * seconds, and waits without any limit for a server that accepts TCP and then is silent.  */
#ifndef ASK_H
#define ASK_H

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdbool.h>
#include <stddef.h>

enum { ASK_WHY = 200 };

union ask_address { struct sockaddr sa; struct sockaddr_in in; struct sockaddr_in6 in6; };

struct ask {
	struct __res_state state;
	union ask_address server[MAXNS];
	size_t servers;
	unsigned ms;
	bool trusted;                           /* /etc/resolv.conf says trust-ad */
	/* about the last answer */
	ns_msg message;                         /* parsed by ns_initparse; points into `answer` */
	int rcode;                              /* ns_r_noerror or ns_r_nxdomain */
	bool authentic;                         /* the server has checked it by DNSSEC, and it is one whose word counts */
	size_t n;
	unsigned char answer[NS_MAXMSG];
	char why[ASK_WHY];                      /* what was wrong, printable */
};

/* Begin.  `server` is "ADDRESS", "ADDRESS:PORT", "[IPV6]" or "[IPV6]:PORT", or "" for those of /etc/resolv.conf (no such file: 127.0.0.1, by resolv.conf(5)).  `ms` is
 * the limit for one question with all its tries.  False, with why, for what is no address; then there is nothing to close.  */
bool ask_open(struct ask *a, const char *server, unsigned ms);
void ask_close(struct ask *a);

/* Ask for the records of `type` (ns_t_mx, …) of `name`, which is whole: no search domains, no aliases of the environment.  By UDP with EDNS0 (RFC 6891) from a
 * port of its own, by TCP when the answer is cut; each server up to three times, the next one as soon as one says that it cannot.
 * True for an answer that may be believed: it is to this question, from who was asked, with NOERROR or NXDOMAIN, and its sections are in order
 * (its records are not looked at).  False, with why, for everything else; that is temporary.  */
bool ask(struct ask *a, const char *name, int type);

#endif
