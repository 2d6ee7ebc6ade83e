/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Neighbour discovery: solicitations and advertisements of neighbours, RFC
 * 4861 4.3, 4.4, 7.1, 7.2, and of duplicate address detection, RFC 4862 5.4.
 *
 * The hop limit of 255, which no router lets pass, proves that a message comes
 * from this link; with the other checks of 7.1 it keeps everybody else out.
 * A message with a fragment header is none (RFC 6980).
 * What routers say is in router.c. Redirects are ignored on purpose.
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
	struct wire_icmp *icmp = (void *)buf_pull(buf, ICMP_BYTES);
	uint64_t touched = 0;
	uint32_t sum;

	sum = csum_add(csum_pseudo(src, dst, NET_ICMP6, buf->bytes),
		       buf_csum(buf, 0, &touched));
	wire_put_sum(icmp->checksum, csum_finish(sum));
}

/*
 * Straight to a station or a group: asking must not need to be asked. The
 * message's checksum is filled in here; the buffer is taken.
 */
void nd_send(struct net *net, struct net_link *link, struct tow_buf *buf,
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

/*
 * 7.2.2: the address that the packet comes from, if it is one of this link. The
 * target learns where it is, and will answer the packet to it.
 */
static const struct net_addr *asking_address(struct net *net,
					     const struct net_link *link,
					     const struct tow_addr *target,
					     const struct tow_buf *prompt)
{
	const struct net_addr *own = NULL;
	const struct wire_ip6 *ip;
	struct tow_addr src;

	if (prompt && prompt->spans[0].len >= IP6_BYTES) {
		ip = prompt->spans[0].ptr;
		src = wire_get_addr6(ip->src);
		own = addr_find_on(net, link->number, &src);
	}
	return own ? own : addr_choose(net, link->number, target);
}

/*
 * Ask for @target: its solicited-node group, or only @mac (7.2.2, 7.3.3).
 * @prompt: the IPv6 packet that waits for it, or NULL
 */
void nd_solicit(struct net *net, struct net_link *link,
		const struct tow_addr *target, const uint8_t *mac,
		const struct tow_buf *prompt)
{
	const struct net_addr *own = asking_address(net, link, target, prompt);
	struct tow_addr dst = mac ? *target : ip6_solicited_node(target);
	struct tow_buf *buf;

	if (!own || own->link != link->number)
		return; /* no address of this link to ask with */
	buf = build(net, link, ICMP6_NEIGHBOUR_SOLICIT, 0, target,
		    ND_SOURCE_MAC);
	if (buf)
		nd_send(net, link, buf, &own->addr, &dst, mac);
}

/*
 * Does somebody have @target (RFC 4862 5.4.2)? From nobody, and so without our
 * station; the nonce tells the question from one that came back (RFC 7527).
 */
void nd_probe(struct net *net, struct net_link *link,
	      const struct tow_addr *target,
	      const uint8_t nonce[ND_NONCE_BYTES])
{
	struct tow_addr nobody = tow_addr_any();
	struct tow_addr group = ip6_solicited_node(target);
	struct wire_nd_nonce *option;
	struct tow_buf *buf;

	buf = build(net, link, ICMP6_NEIGHBOUR_SOLICIT, 0, target, ND_NONCE);
	if (!buf)
		return;
	option = (void *)(buf_pull(buf, ND_BYTES + ND_OPTION_BYTES) + ND_BYTES);
	memcpy(option->nonce, nonce, ND_NONCE_BYTES);
	nd_send(net, link, buf, &nobody, &group, NULL);
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
		nd_send(net, link, buf, target, &dst, mac);
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
	const uint8_t *mac;   /* from the option that was looked for, or NULL */
	const uint8_t *nonce; /* or NULL */
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
		if (option->type == ND_NONCE && option->units == 1)
			m->nonce = option->mac; /* at the same place */
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
	m->nonce = NULL;
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

/*
 * RFC 4862 5.4.3: about an address that is not ours yet nothing is answered,
 * and only another node's test of it means something. Returns: it was so.
 */
static bool solicited_claim(struct net *net, const struct net_packet *packet,
			    const struct message *m)
{
	struct claim *c = claim_find(net, packet->link->number, &m->target);

	if (!c || c->state != CLAIM_CHECKING)
		return false;
	if (net_is_any(&packet->src))
		claim_heard_solicit(net, c, m->nonce);
	return true;
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

	if (!solicited_claim(net, packet, &m) &&
	    addr_find_on(net, packet->link->number, &m.target)) {
		if (m.mac)
			neighbour_heard(net, packet->link->number, &packet->src,
					m.mac);
		advertise(net, packet, &m.target, m.mac);
	}
	tow_buf_give(buf);
	return NET_DONE;
}

/*
 * RFC 4862 5.4.4: somebody has the address that we check, or even one that is
 * ours. Returns: it was so.
 */
static bool advertised_ours(struct net *net, const struct net_packet *packet,
			    const struct message *m)
{
	unsigned link = packet->link->number;
	struct claim *c = claim_find(net, link, &m->target);

	if (c && c->state == CLAIM_CHECKING) {
		claim_conflict(net, c);
		auto_schedule(net);
		return true;
	}
	if (!addr_find_on(net, link, &m->target))
		return false;
	net_count(net, TOW_COUNTER_ADDR_CONFLICTS);
	return true;
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

	if (advertised_ours(net, packet, &m))
		return net_refuse(net, buf, TOW_DROP_ADDR_CONFLICT);
	n = neighbour_find(net, packet->link->number, &m.target);
	if (n) {
		news.mac = m.mac;
		/* Claiming to answer is not enough: there must be a question */
		news.solicited = m.nd->flags & ND_SOLICITED && n->asking;
		news.override = m.nd->flags & ND_OVERRIDE;
		if (neighbour_answered(net, n, &news) &&
		    !(m.nd->flags & ND_ROUTER))
			router_is_host(net, packet->link->number, &m.target);
	}
	tow_buf_give(buf);
	return NET_DONE;
}

/* @packet is ICMPv6 with a good checksum, of one of the types 133 to 137. */
enum net_verdict nd_input(struct net *net, struct net_packet *packet)
{
	const uint8_t *type = buf_pull(packet->buf, 1);

	/* RFC 6980 5: guards in switches do not look into fragments */
	if (packet->fragmented || !net_has_ethernet(packet->link))
		return net_refuse(net, packet->buf, TOW_DROP_ND_BAD);
	switch (*type) {
	case ICMP6_NEIGHBOUR_SOLICIT:
		return solicited(net, packet);
	case ICMP6_NEIGHBOUR_ADVERT:
		return advertised(net, packet);
	case ICMP6_ROUTER_ADVERT:
		return router_input(net, packet);
	default:
		return net_refuse(net, packet->buf, TOW_DROP_ICMP_IGNORED);
	}
}
