/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Neighbour discovery, as far as a host with static addresses needs it:
 * solicitations and advertisements of neighbours, RFC 4861 4.3, 4.4, 7.1, 7.2.
 *
 * The hop limit of 255, which no router lets pass, proves that a message comes
 * from this link; with the other checks of 7.1 it keeps everybody else out.
 * Router discovery and redirects are not spoken: such messages are ignored.
 */
#include "base/csum.h"
#include "net/net_private.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip6.h"

#define OPTIONS_MAX 128 /* bytes; what we look for comes in the first few */

/*
 * Building.
 */

static struct tow_buf *build(struct net *net, const struct net_link *link,
			     uint8_t type, uint8_t flags,
			     const struct tow_addr *target, uint8_t option)
{
	struct tow_buf *buf = tow_buf_take(&net->tx_pool);
	struct wire_nd_mac *mac;
	struct wire_nd *nd;
	uint8_t *at;

	if (!buf) {
		net_drop(net, TOW_DROP_NO_BUFFERS);
		return NULL;
	}
	at = buf_push(buf, ND_BYTES + ND_OPTION_BYTES);
	ASSERT(at);
	nd = (void *)at;
	memset(nd, 0, sizeof(*nd));
	nd->type = type;
	nd->flags = flags;
	wire_put_addr6(nd->target, target);
	mac = (void *)(at + ND_BYTES);
	mac->type = option;
	mac->units = 1;
	memcpy(mac->mac, link->dev->mac, ETH_MAC_BYTES);
	return buf;
}

static void put_checksum(struct tow_buf *buf, const struct tow_addr *src,
			 const struct tow_addr *dst)
{
	uint8_t *at = buf_pull(buf, ND_BYTES);
	struct wire_nd *nd = (void *)at;
	uint64_t touched = 0;
	uint32_t sum;

	sum = csum_add(csum_pseudo(src, dst, NET_ICMP6, buf->bytes),
		       buf_csum(buf, 0, &touched));
	wire_put_sum(nd->checksum, csum_finish(sum));
}

/* Straight to a station or a group: asking must not need to be asked. */
static void send(struct net *net, struct net_link *link, struct tow_buf *buf,
		 const struct tow_addr *src, const struct tow_addr *dst,
		 const uint8_t *mac)
{
	uint32_t payload = buf->bytes;
	uint8_t group[ETH_MAC_BYTES];
	struct wire_ip6 *ip;

	put_checksum(buf, src, dst);
	ip = (void *)buf_push(buf, IP6_BYTES);
	ASSERT(ip);
	ip6_build(ip, 0, 0, payload, NET_ICMP6, ND_HOP_LIMIT, src, dst);
	if (!mac) {
		eth_group6(group, dst);
		mac = group;
	}
	net_count(net, TOW_COUNTER_ICMP_OUT);
	link_output_to(net, link, mac, ETH_IP6, buf);
}

/* Ask for @target: its solicited-node group, or only @mac (7.2.2, 7.3.3). */
void nd_solicit(struct net *net, struct net_link *link,
		const struct tow_addr *target, const uint8_t *mac)
{
	const struct net_addr *own = addr_choose(net, link->number, target);
	struct tow_addr dst = mac ? *target : ip6_solicited_node(target);
	struct tow_buf *buf;

	if (!own || own->link != link->number)
		return; /* no address of this link to ask with */
	buf = build(net, link, ICMP6_NEIGHBOUR_SOLICIT, 0, target,
		    ND_SOURCE_MAC);
	if (buf)
		send(net, link, buf, &own->addr, &dst, mac);
}

/*
 * Answer a solicitation (7.2.4). One from the unspecified address is a test
 * whether the address is taken (RFC 4862 5.4): everybody is told.
 */
static void advertise(struct net *net, const struct net_packet *packet,
		      const struct tow_addr *target, const uint8_t *mac)
{
	bool test = net_is_any(&packet->src);
	struct tow_addr dst = test ? ip6_all_nodes() : packet->src;
	uint8_t flags = ND_OVERRIDE | (test ? 0 : ND_SOLICITED);
	struct net_link *link = packet->link;
	struct net_path path;
	struct tow_buf *buf;

	buf = build(net, link, ICMP6_NEIGHBOUR_ADVERT, flags, target,
		    ND_TARGET_MAC);
	if (!buf)
		return;
	if (test || mac) {
		send(net, link, buf, target, &dst, mac);
		return;
	}
	/* It did not say where it is: resolve it like anybody else */
	if (net_path_find(net, target, &dst, packet->zone, &path)) {
		net_refuse(net, buf, TOW_DROP_NO_ROUTE);
		return;
	}
	put_checksum(buf, target, &dst);
	path.ttl = ND_HOP_LIMIT;
	net_count(net, TOW_COUNTER_ICMP_OUT);
	net_send(net, &path, buf, NET_ICMP6);
}

/*
 * Reading.
 */

struct message {
	const struct wire_nd *nd;
	struct tow_addr target;
	const uint8_t *mac; /* from the option that was looked for, or NULL */
};

/* All options have a length other than 0 (7.1.1, 7.1.2). */
static bool read_options(const uint8_t *p, uint32_t bytes, uint8_t wanted,
			 struct message *m)
{
	const struct wire_nd_mac *option;
	uint32_t length;

	for (; bytes > 0; p += length, bytes -= length) {
		if (bytes < ND_OPTION_BYTES)
			return false;
		option = (const void *)p;
		length = option->units * 8u;
		if (length == 0 || length > bytes)
			return false;
		if (option->type == wanted && !m->mac)
			m->mac = option->mac;
	}
	return !m->mac || eth_is_unicast(m->mac);
}

/* The checks that both messages have in common (7.1.1, 7.1.2). */
static bool read_message(struct net_packet *packet, uint8_t wanted,
			 struct message *m)
{
	uint32_t bytes = packet->buf->bytes;
	const uint8_t *p;

	if (packet->ttl != ND_HOP_LIMIT || bytes < ND_BYTES ||
	    bytes > ND_BYTES + OPTIONS_MAX)
		return false;
	p = buf_pull(packet->buf, bytes);
	if (!p)
		return false;
	m->nd = (const void *)p;
	m->mac = NULL;
	m->target = wire_get_addr6(m->nd->target);
	if (m->nd->code != 0 || ip6_is_multicast(&m->target) ||
	    net_is_v4(&m->target))
		return false;
	return read_options(p + ND_BYTES, bytes - ND_BYTES, wanted, m);
}

static bool is_solicited_node_group(const struct tow_addr *dst)
{
	struct tow_addr group = ip6_solicited_node(dst);

	return net_same(&group, dst);
}

static enum net_verdict solicited(struct net *net, struct net_packet *packet)
{
	struct tow_buf *buf = packet->buf;
	struct message m;

	if (!read_message(packet, ND_SOURCE_MAC, &m))
		return net_refuse(net, buf, TOW_DROP_ND_BAD);
	if (net_is_any(&packet->src) &&
	    (!is_solicited_node_group(&packet->dst) || m.mac))
		return net_refuse(net, buf, TOW_DROP_ND_BAD);

	if (addr_find_on(net, packet->link->number, &m.target)) {
		if (m.mac)
			neighbour_heard(net, packet->link->number, &packet->src,
					m.mac);
		advertise(net, packet, &m.target, m.mac);
	}
	tow_buf_give(buf);
	return NET_DONE;
}

static enum net_verdict advertised(struct net *net, struct net_packet *packet)
{
	struct tow_buf *buf = packet->buf;
	struct neighbour_news news;
	struct neighbour *n;
	struct message m;

	if (!read_message(packet, ND_TARGET_MAC, &m) ||
	    (packet->group && m.nd->flags & ND_SOLICITED))
		return net_refuse(net, buf, TOW_DROP_ND_BAD);

	n = neighbour_find(net, packet->link->number, &m.target);
	if (n) {
		news.mac = m.mac;
		/* Claiming to answer is not enough: there must be a question */
		news.solicited = m.nd->flags & ND_SOLICITED && n->asking;
		news.override = m.nd->flags & ND_OVERRIDE;
		neighbour_answered(net, n, &news);
	}
	tow_buf_give(buf);
	return NET_DONE;
}

/* @packet is ICMPv6 with a good checksum, of one of the types 133 to 137. */
enum net_verdict nd_input(struct net *net, struct net_packet *packet)
{
	const uint8_t *type = buf_pull(packet->buf, 1);

	if (!net_has_ethernet(packet->link))
		return net_refuse(net, packet->buf, TOW_DROP_ND_BAD);
	switch (*type) {
	case ICMP6_NEIGHBOUR_SOLICIT:
		return solicited(net, packet);
	case ICMP6_NEIGHBOUR_ADVERT:
		return advertised(net, packet);
	default:
		return net_refuse(net, packet->buf, TOW_DROP_ICMP_IGNORED);
	}
}
