/* Addresses and networks of peers, as settings name them: "192.0.2.1 198.51.100.0/24 2001:db8::/32".  */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>

/* Whether every word of the list is an address, or an address with a prefix length that leaves no bit behind it set.  An empty list is valid.  */
bool networks_valid(const char *list);

/* Whether the address, as text, lies in one of the networks of a valid list.  An IPv4-mapped address is its IPv4 address, and in no
 * network of IPv6, not even in ::/0; what is no address, such as "local", is in no network.  */
bool networks_match(const char *list, const char *address);

#endif
