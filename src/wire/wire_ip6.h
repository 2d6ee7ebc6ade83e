/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_IP6_H
#define WIRE_IP6_H

/*
 * The IPv6 header and its extension headers (RFC 8200 3, 4), and the kinds of
 * addresses (RFC 4291 2.4).
 */
#include "wire/wire.h"

#define IP6_BYTES	40
#define IP6_MTU_MIN	1280 /* RFC 8200 5 */
#define IP6_PAYLOAD_MAX 65535

enum ip6_next_header {
	IP6_HOP_BY_HOP = 0,
	IP6_ROUTING = 43,
	IP6_FRAGMENT = 44,
	IP6_NO_NEXT = 59,
	IP6_DESTINATION = 60,
};

enum ip6_option {
	IP6_OPTION_PAD1 = 0,
	IP6_OPTION_PADN = 1,
};

/* The two high bits of an option nobody knows say what to do (4.2). */
enum ip6_option_action {
	IP6_ACTION_SKIP,
	IP6_ACTION_DISCARD,
	IP6_ACTION_REPORT,
	IP6_ACTION_REPORT_UNICAST, /* unless it was sent to a group */
};

struct wire_ip6 {
	uint8_t flow[4]; /* version, traffic class, flow label */
	uint8_t payload[2];
	uint8_t next;
	uint8_t hop_limit;
	uint8_t src[16];
	uint8_t dst[16];
};
_Static_assert(sizeof(struct wire_ip6) == IP6_BYTES, "no padding");

/* What all extension headers but Fragment begin with. */
#define IP6_EXTENSION_BYTES 8 /* the shortest one */
struct wire_ip6_extension {
	uint8_t next;
	uint8_t units; /* of 8 bytes, not counting the first */
	uint8_t body[6];
};
_Static_assert(sizeof(struct wire_ip6_extension) == IP6_EXTENSION_BYTES,
	       "no padding");

struct wire_ip6_routing {
	uint8_t next;
	uint8_t units;
	uint8_t type;
	uint8_t segments_left;
	uint8_t data[4];
};
_Static_assert(sizeof(struct wire_ip6_routing) == 8, "no padding");

#define IP6_OFFSET_MASK 0xfff8 /* of a fragment header's offset: bytes */
#define IP6_MORE	1
struct wire_ip6_fragment {
	uint8_t next;
	uint8_t reserved;
	uint8_t offset[2]; /* in units of 8 bytes << 3, and the M flag */
	uint8_t id[4];
};
_Static_assert(sizeof(struct wire_ip6_fragment) == 8, "no padding");

static inline unsigned ip6_version(const struct wire_ip6 *ip)
{
	return ip->flow[0] >> 4;
}

static inline uint8_t ip6_traffic_class(const struct wire_ip6 *ip)
{
	return (uint8_t)(wire_get16(ip->flow) >> 4);
}

static inline unsigned
ip6_extension_bytes(const struct wire_ip6_extension *extension)
{
	return (extension->units + 1u) * 8;
}

/* RFC 6946: a fragment header on a datagram that is whole. */
static inline bool ip6_is_atomic(const struct wire_ip6_fragment *fragment)
{
	return (wire_get16(fragment->offset) & (IP6_OFFSET_MASK | IP6_MORE)) ==
	       0;
}

static inline void ip6_build(struct wire_ip6 *ip, uint8_t traffic_class,
			     uint32_t flow_label, uint32_t payload,
			     uint8_t next, uint8_t hop_limit,
			     const struct tow_addr *src,
			     const struct tow_addr *dst)
{
	wire_put32(ip->flow, 6u << 28 | (uint32_t)traffic_class << 20 |
				     (flow_label & 0xfffff));
	wire_put16(ip->payload, payload);
	ip->next = next;
	ip->hop_limit = hop_limit;
	wire_put_addr6(ip->src, src);
	wire_put_addr6(ip->dst, dst);
}

static inline bool ip6_is_multicast(const struct tow_addr *a)
{
	return a->b[0] == 0xff;
}

/* RFC 4291 2.7: the scope of a group. */
static inline unsigned ip6_group_scope(const struct tow_addr *a)
{
	return a->b[1] & 15;
}

static inline bool ip6_is_link_local(const struct tow_addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static inline bool ip6_is_loopback(const struct tow_addr *a)
{
	static const uint8_t loopback[16] = { [15] = 1 };

	return memcmp(a->b, loopback, 16) == 0;
}

/* Interface- or link-local all-nodes, ff01::1 and ff02::1 (2.7.1). */
static inline bool ip6_is_all_nodes(const struct tow_addr *a)
{
	static const uint8_t tail[14] = { [13] = 1 };

	return a->b[0] == 0xff && (a->b[1] == 1 || a->b[1] == 2) &&
	       memcmp(a->b + 2, tail, 14) == 0;
}

static inline struct tow_addr ip6_all_nodes(void)
{
	struct tow_addr a = { { 0xff, 2, [15] = 1 } };

	return a;
}

static inline struct tow_addr ip6_all_routers(void)
{
	struct tow_addr a = { { 0xff, 2, [15] = 2 } };

	return a;
}

/* ff02::1:ffXX:XXXX of an address (2.7.1). */
static inline struct tow_addr ip6_solicited_node(const struct tow_addr *of)
{
	struct tow_addr a = { { 0xff, 2, [11] = 1, [12] = 0xff, of->b[13],
				of->b[14], of->b[15] } };

	return a;
}

#endif
