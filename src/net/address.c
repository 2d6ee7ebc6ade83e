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

bool net_is_everybody(const struct tow_addr *group)
{
	return net_is_v4(group) ? ip4_is_all_hosts(group)
				: ip6_is_all_nodes(group);
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

/* Keyed, for tables of what is on one link. */
uint64_t net_hash_on(const struct net *net, unsigned link,
		     const struct tow_addr *addr)
{
	uint8_t key[18];

	memcpy(key, addr->b, 16);
	key[16] = (uint8_t)link;
	key[17] = (uint8_t)(link >> 8);
	return siphash13(&net->private->neighbour_key, key, sizeof(key));
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

/* Of an address that is being checked: whoever has it answers there. */
static bool is_solicited_claim(const struct net *net, unsigned link,
			       const struct tow_addr *group)
{
	const struct net_auto *a = &net->private->automatic;
	struct tow_addr wanted;
	uint32_t i;

	for (i = 0; i < a->claim_max; i++) {
		if (a->claims[i].state != CLAIM_CHECKING ||
		    a->claims[i].link != link || net_is_v4(&a->claims[i].addr))
			continue;
		wanted = ip6_solicited_node(&a->claims[i].addr);
		if (net_same(&wanted, group))
			return true;
	}
	return false;
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
	return is_solicited_claim(net, link, group);
}

/*
 * RFC 6724 2.1: the labels of the default policy table. Only those: others
 * would be a program's to choose, and none has asked yet.
 */
static unsigned label_of(const struct tow_addr *addr)
{
	static const struct {
		uint8_t prefix[4], bits, label;
	} policy[] = {
		{ { 0x20, 0x02 }, 16, 2 },  { { 0x20, 0x01 }, 32, 5 },
		{ { 0xfc }, 7, 13 },	    { { 0xfe, 0xc0 }, 10, 11 },
		{ { 0x3f, 0xfe }, 16, 12 },
	};
	struct tow_addr prefix = { { 0 } };
	unsigned i;

	for (i = 0; i < LENGTH(policy); i++) {
		memcpy(prefix.b, policy[i].prefix, sizeof(policy[i].prefix));
		if (addr_prefix_equal(addr, &prefix, policy[i].bits))
			return policy[i].label;
	}
	return 1;
}

/* RFC 6724 3.1. All others of IPv6 are global, unique local ones too. */
static unsigned scope_of(const struct tow_addr *addr)
{
	if (ip6_is_multicast(addr))
		return ip6_group_scope(addr);
	return addr_is_link_local(addr) || addr_is_loopback(addr) ? 2 : 14;
}

/*
 * RFC 6724 5, rule 2: of two scopes that reach the destination the smaller,
 * of two that do not the larger.
 */
static unsigned rank_scope(unsigned own, unsigned dst)
{
	return own >= dst ? 32 - own : own;
}

/*
 * How well an address of ours serves as the source of packets to @dst, in
 * RFC 6724 5's order of rules: 2 scope, 3 not deprecated, 5 the outgoing
 * interface, 6 label, 7 temporary, 8 the longest matching prefix. Rule 1 is
 * the loopback's, and 4 is about mobile nodes.
 */
static int fitness(const struct net_addr *own, unsigned link,
		   const struct tow_addr *dst)
{
	bool v4 = net_is_v4(dst);
	unsigned score = 0;

	if (net_is_v4(&own->addr) != v4)
		return -1;
	if (addr_is_link_local(&own->addr) && own->link != link)
		return -1;
	if (!v4)
		score = rank_scope(scope_of(&own->addr), scope_of(dst));
	score = score << 1 | !own->deprecated;
	score = score << 1 | (own->link == link);
	score = score << 1 | (v4 || label_of(&own->addr) == label_of(dst));
	score = score << 1 | own->temporary;
	score = score << 8 | addr_common_bits(&own->addr, dst);
	return (int)score;
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

struct net_addr *addr_of(struct net *net, unsigned link,
			 const struct tow_addr *addr)
{
	return (struct net_addr *)(uintptr_t)addr_find_on(net, link, addr);
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

/*
 * For one more than those that we have, those that will be ours when their
 * check is over, and the link-local one of each link that may still come.
 */
static bool has_room(const struct net *net)
{
	return net->addr_count + claims_checking(net) +
		       (net->link_max - net->link_count) <
	       net->addr_max;
}

/* May it become ours on that link? @bits count from the front of the 128. */
int addr_check(struct net *net, unsigned link, const struct tow_addr *addr,
	       unsigned bits)
{
	if (bits > 128 || !net_link_at(net, link))
		return TOW_EINVAL;
	if (!may_be_ours(net, addr, bits))
		return TOW_EINVAL;
	if (!net_is_v4(addr) && net->links[link].mtu < IP6_MTU_MIN)
		return TOW_EINVAL;
	if (addr_find_on(net, link, addr) || claim_find(net, link, addr) ||
	    (addr_find(net, addr) && !addr_is_link_local(addr)))
		return TOW_EEXIST;
	return has_room(net) ? 0 : TOW_ENOBUFS;
}

/* It was checked; with @routed its prefix is on the link. */
int addr_add(struct net *net, unsigned link, const struct tow_addr *addr,
	     unsigned bits, bool routed)
{
	static const struct tow_addr on_link;
	struct net_addr *own = &net->addrs[net->addr_count];

	if (net->addr_count == net->addr_max)
		return TOW_ENOBUFS;
	if (routed && route_add(net, link, addr, bits, &on_link, 0) != 0)
		return TOW_ENOBUFS;
	*own = (struct net_addr){
		.addr = *addr,
		.link = (uint16_t)link,
		.prefix_bits = (uint8_t)bits,
		.routed = routed,
	};
	net->addr_count++;
	net->generation++;
	group_solicited(net, link, addr);
	return 0;
}

void addr_remove(struct net *net, struct net_addr *own)
{
	static const struct tow_addr on_link;
	struct net_addr *end = net->addrs + --net->addr_count;
	struct net_addr gone = *own;

	if (own->routed)
		route_remove(net, own->link, &own->addr, own->prefix_bits,
			     &on_link);
	for (; own < end; own++)
		own[0] = own[1];
	net->generation++;
	group_solicited(net, gone.link, &gone.addr);
}

int net_addr_add(struct net *net, unsigned link, const struct tow_addr *addr,
		 unsigned prefix_bits)
{
	unsigned bits = prefix_bits;
	int error;

	if (net_is_v4(addr))
		bits += V4_BITS_BEFORE;
	if (prefix_bits > 128)
		return TOW_EINVAL;
	error = addr_check(net, link, addr, bits);
	if (error)
		return error;
	return addr_add(net, link, addr, bits, !addr_is_link_local(addr));
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
	return addr_add(net, link->number, &addr, 64, false);
}
