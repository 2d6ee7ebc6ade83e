/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_ARP_H
#define WIRE_ARP_H

/*
 * ARP for IPv4 over Ethernet (RFC 826).
 */
#include "wire/wire_eth.h"

#define ARP_BYTES    28
#define ARP_ETHERNET 1

enum arp_operation {
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
};

struct wire_arp {
	uint8_t hardware[2];
	uint8_t protocol[2];
	uint8_t hardware_bytes;
	uint8_t protocol_bytes;
	uint8_t operation[2];
	uint8_t sender_mac[ETH_MAC_BYTES];
	uint8_t sender[4];
	uint8_t target_mac[ETH_MAC_BYTES];
	uint8_t target[4];
};
_Static_assert(sizeof(struct wire_arp) == ARP_BYTES, "no padding");

/* Is it about IPv4 over Ethernet, and one of the two operations? */
static inline bool arp_is_understood(const struct wire_arp *arp)
{
	uint16_t operation = wire_get16(arp->operation);

	return wire_get16(arp->hardware) == ARP_ETHERNET &&
	       wire_get16(arp->protocol) == ETH_IP4 &&
	       arp->hardware_bytes == ETH_MAC_BYTES &&
	       arp->protocol_bytes == 4 &&
	       (operation == ARP_REQUEST || operation == ARP_REPLY);
}

static inline void arp_build(struct wire_arp *arp, uint16_t operation)
{
	wire_put16(arp->hardware, ARP_ETHERNET);
	wire_put16(arp->protocol, ETH_IP4);
	arp->hardware_bytes = ETH_MAC_BYTES;
	arp->protocol_bytes = 4;
	wire_put16(arp->operation, operation);
}

#endif
