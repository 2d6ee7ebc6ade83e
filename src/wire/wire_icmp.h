/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_ICMP_H
#define WIRE_ICMP_H

/*
 * ICMP (RFC 792, RFC 1122 3.2.2), ICMPv6 (RFC 4443) and the messages of
 * neighbour discovery (RFC 4861 4) with the options that a host reads.
 */
#include "wire/wire_eth.h"

#define ICMP_BYTES 8 /* of every message's header */

enum icmp4_type {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_SOURCE_QUENCH = 4,
	ICMP4_REDIRECT = 5,
	ICMP4_ECHO = 8,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER = 12,
};

enum icmp4_unreachable {
	ICMP4_NET = 0,
	ICMP4_HOST = 1,
	ICMP4_PROTOCOL = 2,
	ICMP4_PORT = 3,
	ICMP4_TOO_BIG = 4, /* "fragmentation needed and DF set" */
	ICMP4_SOURCE_ROUTE = 5,
	ICMP4_NET_UNKNOWN = 6,
	ICMP4_HOST_UNKNOWN = 7,
	ICMP4_HOST_ISOLATED = 8,
	ICMP4_NET_PROHIBITED = 9,
	ICMP4_HOST_PROHIBITED = 10,
	ICMP4_NET_TOS = 11,
	ICMP4_HOST_TOS = 12,
	ICMP4_PROHIBITED = 13,
	ICMP4_PRECEDENCE_VIOLATION = 14,
	ICMP4_PRECEDENCE_CUTOFF = 15,
};

enum icmp6_type {
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER = 4,
	ICMP6_INFORMATIONAL = 128, /* the first type that is not an error */
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_ROUTER_SOLICIT = 133,
	ICMP6_ROUTER_ADVERT = 134,
	ICMP6_NEIGHBOUR_SOLICIT = 135,
	ICMP6_NEIGHBOUR_ADVERT = 136,
	ICMP6_REDIRECT = 137,
};

enum icmp6_unreachable {
	ICMP6_NO_ROUTE = 0,
	ICMP6_PROHIBITED = 1,
	ICMP6_SCOPE = 2,
	ICMP6_ADDRESS = 3,
	ICMP6_PORT = 4,
	ICMP6_POLICY = 5,
	ICMP6_REJECT = 6,
};

enum icmp6_parameter {
	ICMP6_BAD_FIELD = 0,
	ICMP6_BAD_NEXT_HEADER = 1,
	ICMP6_BAD_OPTION = 2,
	ICMP6_INCOMPLETE_CHAIN = 3, /* RFC 7112 */
};

#define ICMP_REASSEMBLY_TIME 1 /* code of time exceeded, in both families */

struct wire_icmp {
	uint8_t type;
	uint8_t code;
	uint8_t checksum[2];
	uint8_t rest[4]; /* identifier and sequence; unused; MTU; pointer */
};
_Static_assert(sizeof(struct wire_icmp) == ICMP_BYTES, "no padding");

/* Neighbour Solicitation and Neighbour Advertisement. */
#define ND_BYTES	24 /* without options */
#define ND_OPTION_BYTES 8  /* a link-layer address on Ethernet */
#define ND_HOP_LIMIT	255

enum nd_option {
	ND_SOURCE_MAC = 1,
	ND_TARGET_MAC = 2,
	ND_PREFIX = 3,
	ND_MTU = 5,
	ND_NONCE = 14, /* RFC 3971 5.3.2 */
	ND_ROUTE = 24, /* RFC 4191 2.3 */
	ND_RDNSS = 25, /* RFC 8106 5.1 */
	ND_DNSSL = 31, /* RFC 8106 5.2 */
};

enum nd_flag {
	ND_ROUTER = 0x80,
	ND_SOLICITED = 0x40,
	ND_OVERRIDE = 0x20,
};

struct wire_nd {
	uint8_t type;
	uint8_t code;
	uint8_t checksum[2];
	uint8_t flags; /* of an advertisement: enum nd_flag */
	uint8_t reserved[3];
	uint8_t target[16];
};
_Static_assert(sizeof(struct wire_nd) == ND_BYTES, "no padding");

struct wire_nd_mac {
	uint8_t type;
	uint8_t units; /* of 8 bytes */
	uint8_t mac[ETH_MAC_BYTES];
};
_Static_assert(sizeof(struct wire_nd_mac) == ND_OPTION_BYTES, "no padding");

#define ND_NONCE_BYTES 6

struct wire_nd_nonce {
	uint8_t type;
	uint8_t units;
	uint8_t nonce[ND_NONCE_BYTES];
};
_Static_assert(sizeof(struct wire_nd_nonce) == ND_OPTION_BYTES, "no padding");

/* RFC 4861 4.1; options follow. */
struct wire_router_solicit {
	uint8_t type;
	uint8_t code;
	uint8_t checksum[2];
	uint8_t reserved[4];
};
_Static_assert(sizeof(struct wire_router_solicit) == 8, "no padding");

/* RFC 4861 4.2, RFC 4191 2.2; options follow. */
struct wire_router_advert {
	uint8_t type;
	uint8_t code;
	uint8_t checksum[2];
	uint8_t hop_limit;
	uint8_t flags; /* with the preference */
	uint8_t lifetime_s[2];
	uint8_t reachable_ms[4];
	uint8_t retrans_ms[4];
};
_Static_assert(sizeof(struct wire_router_advert) == 16, "no padding");

/* RFC 4861 4.6.2. */
enum nd_prefix_flag {
	ND_PREFIX_ON_LINK = 0x80,
	ND_PREFIX_AUTONOMOUS = 0x40,
};

struct wire_nd_prefix {
	uint8_t type;
	uint8_t units; /* 4 */
	uint8_t bits;
	uint8_t flags;
	uint8_t valid_s[4];
	uint8_t preferred_s[4];
	uint8_t reserved[4];
	uint8_t prefix[16];
};
_Static_assert(sizeof(struct wire_nd_prefix) == 32, "no padding");

/* RFC 4861 4.6.4. */
struct wire_nd_mtu {
	uint8_t type;
	uint8_t units; /* 1 */
	uint8_t reserved[2];
	uint8_t mtu[4];
};
_Static_assert(sizeof(struct wire_nd_mtu) == 8, "no padding");

/* RFC 4191 2.3: as much of the prefix as units say. */
struct wire_nd_route {
	uint8_t type;
	uint8_t units; /* 1, 2 or 3 */
	uint8_t bits;
	uint8_t flags; /* the preference */
	uint8_t lifetime_s[4];
	uint8_t prefix[16];
};
_Static_assert(sizeof(struct wire_nd_route) == 24, "no padding");

/* RFC 8106 5.1, 5.2: addresses, or names, follow. */
struct wire_nd_dns {
	uint8_t type;
	uint8_t units;
	uint8_t reserved[2];
	uint8_t lifetime_s[4];
};
_Static_assert(sizeof(struct wire_nd_dns) == 8, "no padding");

/* RFC 4191 2.1: two bits, signed; -2 is reserved, and means 0. */
static inline int8_t nd_preference(uint8_t flags)
{
	switch (flags >> 3 & 3) {
	case 1:
		return 1;
	case 3:
		return -1;
	default:
		return 0;
	}
}

#endif
