/* address: which of this machine's addresses a server announces, in which order, and under which
 * incarnation.
 *
 * Not for: learning that addresses changed (peal/net.h), telling the ring (announce.c). */
#ifndef PEALD_ADDRESS_H
#define PEALD_ADDRESS_H

#include "peal/net.h"
#include "peal/wire.h"

enum { ADDRESSES_MAX = WIRE_CONTACT_ADDRESSES_MAX };

/* What a server announces: the address it would have tried first is the first. */
struct addresses {
    struct net_addr v[ADDRESSES_MAX];
    size_t n;
};

bool addresses_eq(const struct addresses *a, const struct addresses *b);
/* Appends it, unless it is there already or the list is full. */
void addresses_add(struct addresses *l, const struct net_addr *a);

/* For a server that listens on a wildcard address: the addresses that others should be told, out of
 * the n that this machine has, with the listener's port. IPv4 first, then, where it is listened to,
 * IPv6 of more than link-local scope, for which at least one place is left, unless it is passing
 * (net_addrs); each in the system's
 * order: so a server that was on the move ends with the addresses that it would take if it started
 * now. Without any of them one that is passing, or that the machine gave itself (RFC 3927), will
 * do; without
 * that *l stays as it is, and loopback is what is left when that is empty. */
void address_choose(const struct net_addr *listen, const struct net_addr have[], size_t n,
                    struct addresses *l);

/* Whether the machine has the address, whatever its port; loopback ones always. */
bool address_is_there(const struct net_addr *a, const struct net_addr have[], size_t n);

enum { ADDRESS_WHY_MAX = 512 };

/* The next incarnation: the present time, but at least one more than the last one, which the file
 * at path remembers, so that a clock that went back does no harm. Durable when this returns 0.
 * PEAL_E_IO, PEAL_E_MALFORMED: the file cannot be read or written; *out is the time, and why says
 * what is wrong. */
PEAL_MUST int incarnation_next(const char *path, uint64_t wall_ms, uint64_t *out,
                               char why[static ADDRESS_WHY_MAX]);

#endif
