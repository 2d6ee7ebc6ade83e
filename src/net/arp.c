/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ARP: RFC 826, with the checks of RFC 1122 2.3.2 and RFC 5227.
 *
 * We answer for the addresses of the link that the question came in by, and
 * for no others. A probe (RFC 5227 2.1.1, sender 0.0.0.0) is answered, but
 * nothing is learned from it. What is said by somebody with an address of ours
 * is a conflict: see claim.c.
 */
#include "net/net_private.h"
#include "wire/wire_arp.h"
#include "wire/wire_ip4.h"

static void send_arp(struct net *net, struct net_link *link, uint16_t operation,
		     const struct tow_addr *sender, const uint8_t *target_mac,
		     const struct tow_addr *target, const uint8_t *to)
{
	struct tow_buf *buf = tow_buf_take(&net->tx_pool);
	struct wire_arp *arp;

	if (!buf) {
		net_drop(net, TOW_DROP_NO_BUFFERS);
		return;
	}
	arp = (void *)buf_push(buf, ARP_BYTES);
	ASSERT(arp);
	arp_build(arp, operation);
	memcpy(arp->sender_mac, link->dev->mac, ETH_MAC_BYTES);
	wire_put_addr4(arp->sender, sender);
	memcpy(arp->target_mac, target_mac, ETH_MAC_BYTES);
	wire_put_addr4(arp->target, target);
	link_output_to(net, link, to, ETH_ARP, buf);
}

/* Ask who has @target: everybody, or only the one that had it (@mac). */
void arp_solicit(struct net *net, struct net_link *link,
		 const struct tow_addr *target, const uint8_t *mac)
{
	static const uint8_t unknown[ETH_MAC_BYTES];
	const struct net_addr *own = addr_choose(net, link->number, target);
	uint8_t everybody[ETH_MAC_BYTES];

	if (!own || own->link != link->number)
		return; /* no address of this link to ask with */
	eth_broadcast(everybody);
	send_arp(net, link, ARP_REQUEST, &own->addr, mac ? mac : unknown,
		 target, mac ? mac : everybody);
}

/* Does somebody have @target? From nobody (RFC 5227 2.1.1). */
void arp_probe(struct net *net, struct net_link *link,
	       const struct tow_addr *target)
{
	static const uint8_t unknown[ETH_MAC_BYTES];
	struct tow_addr nobody = tow_addr_v4(0, 0, 0, 0);
	uint8_t everybody[ETH_MAC_BYTES];

	eth_broadcast(everybody);
	send_arp(net, link, ARP_REQUEST, &nobody, unknown, target, everybody);
}

/* We have @own: a request for it from itself (RFC 5227 2.3). */
void arp_announce(struct net *net, struct net_link *link,
		  const struct tow_addr *own)
{
	static const uint8_t unknown[ETH_MAC_BYTES];
	uint8_t everybody[ETH_MAC_BYTES];

	eth_broadcast(everybody);
	send_arp(net, link, ARP_REQUEST, own, unknown, own, everybody);
}

static void answer(struct net *net, struct net_link *link,
		   const struct wire_arp *arp, const struct tow_addr *own,
		   const struct tow_addr *sender)
{
	send_arp(net, link, ARP_REPLY, own, arp->sender_mac, sender,
		 arp->sender_mac);
}

/* A host can have it: not a group, not 0.0.0.0 but in a probe. */
static bool is_plausible_sender(const struct net *net,
				const struct net_link *link,
				const struct wire_arp *arp,
				const struct tow_addr *sender, bool probe)
{
	if (!eth_is_unicast(arp->sender_mac) ||
	    eth_equal(arp->sender_mac, link->dev->mac))
		return false;
	return probe ||
	       (net_is_unicast(net, sender) && !addr_is_loopback(sender));
}

/*
 * RFC 5227 2.1.1, 2.4: is it about an address of ours, or that we are about to
 * take? Nothing is learned from such a packet.
 */
static bool conflicts(struct net *net, const struct net_link *link,
		      const struct tow_addr *sender,
		      const struct tow_addr *target, bool probe)
{
	if (claim_heard_arp(net, link->number, sender, target, probe))
		return true;
	if (probe || !addr_find(net, sender))
		return false;
	addr_conflict(net, link->number, sender);
	return true;
}

static void learn(struct net *net, struct net_link *link,
		  const struct wire_arp *arp, const struct tow_addr *sender,
		  bool to_us)
{
	struct neighbour_news news = {
		.mac = arp->sender_mac,
		.solicited = to_us,
		.override = true,
	};
	struct neighbour *n;

	if (wire_get16(arp->operation) == ARP_REQUEST && to_us) {
		neighbour_heard(net, link->number, sender, arp->sender_mac);
		return;
	}
	n = neighbour_find(net, link->number, sender);
	if (!n)
		return; /* nobody asked for it */
	/* An answer is one only while the question is open */
	if (wire_get16(arp->operation) != ARP_REPLY || !n->asking)
		news.solicited = false;
	neighbour_answered(net, n, &news);
}

enum net_verdict arp_input(struct net *net, const struct net_frame *frame)
{
	struct tow_buf *buf = frame->buf;
	const struct wire_arp *arp;
	struct tow_addr sender, target;
	bool probe, to_us;

	arp = (const void *)buf_pull(buf, ARP_BYTES);
	if (!arp || !arp_is_understood(arp))
		return net_refuse(net, buf, TOW_DROP_ARP_BAD);
	sender = wire_get_addr4(arp->sender);
	target = wire_get_addr4(arp->target);
	probe = wire_get32(arp->sender) == 0 &&
		wire_get16(arp->operation) == ARP_REQUEST;
	if (!is_plausible_sender(net, frame->link, arp, &sender, probe))
		return net_refuse(net, buf, TOW_DROP_ARP_BAD);
	if (conflicts(net, frame->link, &sender, &target, probe))
		return net_refuse(net, buf, TOW_DROP_ADDR_CONFLICT);

	to_us = addr_find_on(net, frame->link->number, &target);
	if (!probe)
		learn(net, frame->link, arp, &sender, to_us);
	if (to_us && wire_get16(arp->operation) == ARP_REQUEST)
		answer(net, frame->link, arp, &target, &sender);
	tow_buf_give(buf);
	return NET_DONE;
}
