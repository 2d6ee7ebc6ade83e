/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_ETH_H
#define WIRE_ETH_H

/*
 * Ethernet II frames (RFC 894, RFC 2464), and the addresses that groups have
 * there (RFC 1112 6.4, RFC 2464 7).
 */
#include "wire/wire.h"

#define ETH_BYTES     14
#define ETH_MAC_BYTES 6

enum eth_type {
	ETH_IP4 = 0x0800,
	ETH_ARP = 0x0806,
	ETH_IP6 = 0x86dd,
};

struct wire_eth {
	uint8_t dst[ETH_MAC_BYTES];
	uint8_t src[ETH_MAC_BYTES];
	uint8_t type[2];
};
_Static_assert(sizeof(struct wire_eth) == ETH_BYTES, "no padding");

/* Multicast and broadcast addresses have the first bit on the wire set. */
static inline bool eth_is_group(const uint8_t mac[ETH_MAC_BYTES])
{
	return mac[0] & 1;
}

static inline bool eth_is_zero(const uint8_t mac[ETH_MAC_BYTES])
{
	return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

/* Could it be the address of one station? */
static inline bool eth_is_unicast(const uint8_t mac[ETH_MAC_BYTES])
{
	return !eth_is_group(mac) && !eth_is_zero(mac);
}

static inline bool eth_equal(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, ETH_MAC_BYTES) == 0;
}

static inline void eth_broadcast(uint8_t mac[ETH_MAC_BYTES])
{
	memset(mac, 0xff, ETH_MAC_BYTES);
}

/* RFC 1112 6.4: 01-00-5e and the low 23 bits of the group. */
static inline void eth_group4(uint8_t mac[ETH_MAC_BYTES],
			      const struct tow_addr *group)
{
	mac[0] = 0x01;
	mac[1] = 0x00;
	mac[2] = 0x5e;
	mac[3] = group->b[13] & 0x7f;
	mac[4] = group->b[14];
	mac[5] = group->b[15];
}

/* RFC 2464 7: 33-33 and the low 32 bits of the group. */
static inline void eth_group6(uint8_t mac[ETH_MAC_BYTES],
			      const struct tow_addr *group)
{
	mac[0] = 0x33;
	mac[1] = 0x33;
	memcpy(mac + 2, group->b + 12, 4);
}

static inline void eth_build(uint8_t *p, const uint8_t dst[ETH_MAC_BYTES],
			     const uint8_t src[ETH_MAC_BYTES], uint16_t type)
{
	struct wire_eth *eth = (struct wire_eth *)p;

	memcpy(eth->dst, dst, ETH_MAC_BYTES);
	memcpy(eth->src, src, ETH_MAC_BYTES);
	wire_put16(eth->type, type);
}

#endif
