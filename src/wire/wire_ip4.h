/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_IP4_H
#define WIRE_IP4_H

/*
 * The IPv4 header (RFC 791 3.1), its options, and the kinds of addresses
 * (RFC 1122 3.2.1.3, RFC 6890).
 */
#include "base/csum.h"
#include "wire/wire.h"

#define IP4_BYTES	20 /* without options */
#define IP4_BYTES_MAX	60
#define IP4_PACKET_MAX	65535
#define IP4_OPTIONS_MAX (IP4_BYTES_MAX - IP4_BYTES)

#define IP4_DF		0x4000
#define IP4_MF		0x2000
#define IP4_OFFSET_MASK 0x1fff

enum ip4_option {
	IP4_OPTION_END = 0,
	IP4_OPTION_NOP = 1,
	IP4_OPTION_LSRR = 131, /* loose source and record route */
	IP4_OPTION_SSRR = 137, /* strict source and record route */
};

struct wire_ip4 {
	uint8_t version_ihl;
	uint8_t tos;
	uint8_t total[2]; /* bytes, with this header */
	uint8_t id[2];
	uint8_t fragment[2]; /* flags, and offset in units of 8 bytes */
	uint8_t ttl;
	uint8_t protocol;
	uint8_t checksum[2];
	uint8_t src[4];
	uint8_t dst[4];
};
_Static_assert(sizeof(struct wire_ip4) == IP4_BYTES, "no padding");

static inline unsigned ip4_version(const struct wire_ip4 *ip)
{
	return ip->version_ihl >> 4;
}

static inline unsigned ip4_header_bytes(const struct wire_ip4 *ip)
{
	return (ip->version_ihl & 15u) * 4;
}

/* More of this datagram is in other packets. */
static inline bool ip4_is_fragment(const struct wire_ip4 *ip)
{
	return wire_get16(ip->fragment) & (IP4_MF | IP4_OFFSET_MASK);
}

/* A header without options; @total and below as the fields of RFC 791. */
static inline void ip4_build(struct wire_ip4 *ip, uint8_t tos, uint32_t total,
			     uint16_t id, uint16_t fragment, uint8_t ttl,
			     uint8_t protocol, const struct tow_addr *src,
			     const struct tow_addr *dst)
{
	ip->version_ihl = 4 << 4 | IP4_BYTES / 4;
	ip->tos = tos;
	wire_put16(ip->total, total);
	wire_put16(ip->id, id);
	wire_put16(ip->fragment, fragment);
	ip->ttl = ttl;
	ip->protocol = protocol;
	wire_put16(ip->checksum, 0);
	wire_put_addr4(ip->src, src);
	wire_put_addr4(ip->dst, dst);
	wire_put_sum(ip->checksum, csum_finish(csum_bytes(0, ip, IP4_BYTES)));
}

/*
 * The four bytes of a mapped address. The callers know that it is one.
 */
static inline bool ip4_is_loopback(const struct tow_addr *a)
{
	return a->b[12] == 127;
}

static inline bool ip4_is_multicast(const struct tow_addr *a)
{
	return (a->b[12] & 0xf0) == 0xe0;
}

/* 240.0.0.0/4, and with it 255.255.255.255. */
static inline bool ip4_is_reserved(const struct tow_addr *a)
{
	return (a->b[12] & 0xf0) == 0xf0;
}

/* 0.0.0.0/8: "this host on this network", never a destination. */
static inline bool ip4_is_this_network(const struct tow_addr *a)
{
	return a->b[12] == 0;
}

static inline bool ip4_is_broadcast(const struct tow_addr *a)
{
	return (a->b[12] & a->b[13] & a->b[14] & a->b[15]) == 0xff;
}

/* 224.0.0.1, which every host has joined (RFC 1112 4). */
static inline bool ip4_is_all_hosts(const struct tow_addr *a)
{
	return a->b[12] == 224 && a->b[13] == 0 && a->b[14] == 0 &&
	       a->b[15] == 1;
}

#endif
