/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses: ours, and what kind any address is.
 *
 * A host has a handful of addresses, so they are an array that is walked; the
 * packet path walks it once, for the destination.
 *
 * We are a weak host (RFC 1122 3.3.4.2): a packet to any of our addresses is
 * ours, whichever link it came in by. Exceptions are those that have a meaning
 * on their link only (link-local, RFC 4291 2.5.6) or on none (loopback).
 */
#include "net/net_private.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"

#define V4_BITS_BEFORE 96 /* of a mapped address */

unsigned addr_common_bits(const struct tow_addr *a, const struct tow_addr *b)
{
	unsigned i, bits;
	uint8_t diff;

	for (i = 0; i < 16 && a->b[i] == b->b[i]; i++)
		;
	bits = i * 8;
	if (i < 16)
		for (diff = a->b[i] ^ b->b[i]; !(diff & 0x80); diff <<= 1)
			bits++;
	return bits;
}

bool addr_prefix_equal(const struct tow_addr *a, const struct tow_addr *b,
		       unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a->b, b->b, whole) != 0)
		return false;
	return rest == 0 || (a->b[whole] ^ b->b[whole]) >> (8 - rest) == 0;
}

bool addr_is_loopback(const struct tow_addr *addr)
{
	if (net_is_v4(addr))
		return ip4_is_loopback(addr);
	return ip6_is_loopback(addr);
}

bool addr_is_link_local(const struct tow_addr *addr)
{
	return ip6_is_link_local(addr);
}

/* All ones behind the prefix (RFC 922 7); /31 and /32 have none (RFC 3021). */
static bool is_last_of(const struct net_addr *own, const struct tow_addr *addr)
{
	unsigned bit;

	if (own->prefix_bits < V4_BITS_BEFORE || own->prefix_bits > 126)
		return false;
	if (!addr_prefix_equal(&own->addr, addr, own->prefix_bits))
		return false;
	for (bit = own->prefix_bits; bit < 128; bit++)
		if (!(addr->b[bit / 8] & 0x80 >> bit % 8))
			return false;
	return true;
}

bool addr_is_subnet_broadcast(const struct net *net,
			      const struct tow_addr *addr)
{
	uint32_t i;

	for (i = 0; i < net->addr_count; i++)
		if (net_is_v4(&net->addrs[i].addr) &&
		    is_last_of(&net->addrs[i], addr))
			return true;
	return false;
}

/* Multicast, or broadcast on all or one of our networks. */
bool addr_is_group(const struct net *net, const struct tow_addr *addr)
{
	if (!net_is_v4(addr))
		return ip6_is_multicast(addr);
	return ip4_is_multicast(addr) || ip4_is_broadcast(addr) ||
	       addr_is_subnet_broadcast(net, addr);
}

bool net_is_multicast(const struct tow_addr *addr)
{
	return net_is_v4(addr) ? ip4_is_multicast(addr)
			       : ip6_is_multicast(addr);
}

bool net_is_unicast(const struct net *net, const struct tow_addr *addr)
{
	if (!net_is_v4(addr))
		return !net_is_any(addr) && !ip6_is_multicast(addr);
	return !ip4_is_this_network(addr) && !ip4_is_multicast(addr) &&
	       !ip4_is_reserved(addr) && !addr_is_subnet_broadcast(net, addr);
}

const struct net_addr *addr_find(const struct net *net,
				 const struct tow_addr *addr)
{
	uint32_t i;

	for (i = 0; i < net->addr_count; i++)
		if (net_same(&net->addrs[i].addr, addr))
			return &net->addrs[i];
	return NULL;
}

const struct net_addr *addr_find_on(const struct net *net, unsigned link,
				    const struct tow_addr *addr)
{
	uint32_t i;

	for (i = 0; i < net->addr_count; i++)
		if (net->addrs[i].link == link &&
		    net_same(&net->addrs[i].addr, addr))
			return &net->addrs[i];
	return NULL;
}

bool net_is_local(const struct net *net, const struct tow_addr *addr)
{
	return addr_is_loopback(addr) || addr_find(net, addr);
}

/* Is it the solicited-node group of an address on this link (RFC 4291 2.7)? */
bool addr_is_solicited_here(const struct net *net, unsigned link,
			    const struct tow_addr *group)
{
	struct tow_addr own;
	uint32_t i;

	for (i = 0; i < net->addr_count; i++) {
		if (net->addrs[i].link != link ||
		    net_is_v4(&net->addrs[i].addr))
			continue;
		own = ip6_solicited_node(&net->addrs[i].addr);
		if (net_same(&own, group))
			return true;
	}
	return false;
}

/*
 * How well an address of ours serves as the source of packets to @dst, in
 * RFC 6724 5's order of rules: 2 scope, 5 the outgoing interface, 8 the
 * longest matching prefix. Rules 3, 4, 6 and 7 are about addresses that
 * we do not have (deprecated, mobile, labelled, temporary).
 */
static int fitness(const struct net_addr *own, unsigned link,
		   const struct tow_addr *dst)
{
	bool local_dst = addr_is_link_local(dst) ||
			 (ip6_is_multicast(dst) && ip6_group_scope(dst) <= 2);
	int score = 0;

	if (net_is_v4(&own->addr) != net_is_v4(dst))
		return -1;
	if (addr_is_link_local(&own->addr) && own->link != link)
		return -1;
	if (!net_is_v4(dst) && addr_is_link_local(&own->addr) == local_dst)
		score += 1024;
	if (own->link == link)
		score += 512;
	return score + (int)addr_common_bits(&own->addr, dst);
}

/* The best source of ours for packets that leave by @link, or NULL. */
const struct net_addr *addr_choose(const struct net *net, unsigned link,
				   const struct tow_addr *dst)
{
	const struct net_addr *best = NULL;
	int score, best_score = -1;
	uint32_t i;

	for (i = 0; i < net->addr_count; i++) {
		score = fitness(&net->addrs[i], link, dst);
		if (score > best_score) {
			best = &net->addrs[i];
			best_score = score;
		}
	}
	return best;
}

static bool add(struct net *net, unsigned link, const struct tow_addr *addr,
		unsigned bits)
{
	struct net_addr *own = &net->addrs[net->addr_count];

	if (net->addr_count == net->addr_max)
		return false;
	own->addr = *addr;
	own->link = (uint16_t)link;
	own->prefix_bits = (uint8_t)bits;
	net->addr_count++;
	net->generation++;
	return true;
}

/* Could a host have it? 0/8, loopback, groups and the ends of a net: no. */
static bool may_be_ours(const struct net *net, const struct tow_addr *addr,
			unsigned bits)
{
	struct net_addr own = { .addr = *addr, .prefix_bits = (uint8_t)bits };
	unsigned bit;

	if (!net_is_unicast(net, addr) || addr_is_loopback(addr))
		return false;
	if (!net_is_v4(addr) || bits > 126)
		return true;
	for (bit = bits; bit < 128; bit++)
		if (addr->b[bit / 8] & 0x80 >> bit % 8)
			return !is_last_of(&own, addr);
	return false; /* all zero: RFC 1122 3.2.1.3 (b) */
}

int net_addr_add(struct net *net, unsigned link, const struct tow_addr *addr,
		 unsigned prefix_bits)
{
	static const struct tow_addr on_link;
	unsigned bits = prefix_bits;

	if (net_is_v4(addr))
		bits += V4_BITS_BEFORE;
	if (prefix_bits > 128 || bits > 128 || !net_link_at(net, link))
		return TOW_EINVAL;
	if (!may_be_ours(net, addr, bits))
		return TOW_EINVAL;
	if (!net_is_v4(addr) && net->links[link].mtu < IP6_MTU_MIN)
		return TOW_EINVAL;
	if (addr_find_on(net, link, addr) ||
	    (addr_find(net, addr) && !addr_is_link_local(addr)))
		return TOW_EEXIST;
	/* Each link that may still come needs one for its link-local address */
	if (net->addr_count + (net->link_max - net->link_count) >=
	    net->addr_max)
		return TOW_ENOBUFS;
	if (!add(net, link, addr, bits))
		return TOW_ENOBUFS;
	if (addr_is_link_local(addr))
		return 0;
	return route_add(net, link, addr, bits, &on_link);
}

/*
 * The interface identifier: from the station address (RFC 4291 A), or where
 * there is none a hash that stays the same as long as the secret does.
 */
static void make_interface_id(struct net *net, const struct net_link *link,
			      uint8_t id[8])
{
	const uint8_t *mac = link->dev->mac;
	uint64_t hash;

	if (net_has_ethernet(link) && eth_is_unicast(mac)) {
		memcpy(id, mac, 3);
		id[0] ^= 2;
		id[3] = 0xff;
		id[4] = 0xfe;
		memcpy(id + 5, mac + 3, 3);
		return;
	}
	hash = siphash24(&net->key, &link->number, sizeof(link->number));
	wire_put32(id, (uint32_t)(hash >> 32));
	wire_put32(id + 4, (uint32_t)hash);
}

/* RFC 4291 2.5.6, 2.8: an IPv6 host has one on each interface. */
int addr_add_link_local(struct net *net, struct net_link *link)
{
	struct tow_addr addr = { { 0xfe, 0x80 } };

	if (link->mtu < IP6_MTU_MIN)
		return TOW_EINVAL; /* no IPv6 there (RFC 8200 5) */
	make_interface_id(net, link, addr.b + 8);
	return add(net, link->number, &addr, 64) ? 0 : TOW_ENOBUFS;
}
