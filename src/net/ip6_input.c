/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPv6 on the way up: RFC 8200 3, RFC 4291 for addresses. Extension headers
 * are ip6_extension.c's, and so are fragments.
 */
#include "net/net_private.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip6.h"

/* Length and version; the buffer ends where the packet does. */
static int check_header(struct tow_buf *buf)
{
	const struct wire_ip6 *ip = (const void *)buf_pull(buf, IP6_BYTES);
	uint32_t payload;

	if (!ip || ip6_version(ip) != 6)
		return TOW_DROP_IP_HEADER;
	payload = wire_get16(ip->payload);
	if (payload > buf->bytes - IP6_BYTES)
		return TOW_DROP_IP_LENGTH;
	buf_trim_back(buf, buf->bytes - IP6_BYTES - payload);
	return NET_PASS;
}

/*
 * RFC 4291 2.5.2, 2.5.3, 2.7: what never is a source. Mapped addresses are how
 * IPv4 looks inside of this stack; from the wire they would be a disguise. The
 * unspecified address is used by neighbour discovery only (RFC 4861 7.1.1),
 * which checks the rest.
 */
static int check_source(const struct net *net, const struct net_frame *frame,
			const struct tow_addr *src, uint8_t next)
{
	if (net_is_v4(src))
		return TOW_DROP_IP_SOURCE;
	if (!frame->link->dev)
		return NET_PASS; /* we sent it */
	if (net_is_any(src))
		return next == NET_ICMP6 ? NET_PASS : TOW_DROP_IP_SOURCE;
	if (ip6_is_multicast(src) || net_is_local(net, src))
		return TOW_DROP_IP_SOURCE;
	return NET_PASS;
}

/* Ours, or of a group that every node, or one with our addresses, is in. */
static int check_destination(const struct net *net,
			     const struct net_frame *frame,
			     struct net_packet *packet)
{
	const struct tow_addr *dst = &packet->dst;
	unsigned link = frame->link->number;

	packet->group = ip6_is_multicast(dst);
	if (packet->group)
		return ip6_is_all_nodes(dst) ||
				       addr_is_solicited_here(net, link, dst) ||
				       net_is_member(net, link, dst)
			       ? NET_PASS
			       : TOW_DROP_IP_DESTINATION;
	if (net_is_v4(dst) || frame->group)
		return TOW_DROP_IP_DESTINATION;
	if (!frame->link->dev)
		return NET_PASS;
	if (addr_is_link_local(dst))
		return addr_find_on(net, link, dst) ? NET_PASS
						    : TOW_DROP_IP_DESTINATION;
	return addr_find(net, dst) ? NET_PASS : TOW_DROP_IP_DESTINATION;
}

static int check(struct net *net, const struct net_frame *frame,
		 struct net_packet *packet)
{
	const struct wire_ip6 *ip;
	int why = check_header(frame->buf);

	if (why != NET_PASS)
		return why;
	ip = frame->buf->spans[0].ptr;
	packet->src = wire_get_addr6(ip->src);
	packet->dst = wire_get_addr6(ip->dst);
	packet->protocol = ip->next;
	packet->ttl = ip->hop_limit;
	packet->tos = ip6_traffic_class(ip);
	packet->network_bytes = 0; /* the packet is whole: see icmp_report() */
	if (addr_is_link_local(&packet->src))
		packet->zone = (uint16_t)(frame->link->number + 1);

	why = check_source(net, frame, &packet->src, ip->next);
	if (why == NET_PASS)
		why = check_destination(net, frame, packet);
	if (why == NET_PASS)
		why = ip6_walk(net, packet);
	return why;
}

enum net_verdict ip6_input(struct net *net, const struct net_frame *frame,
			   struct net_packet *packet, struct net_error *error)
{
	int why;

	packet->link = frame->link;
	packet->buf = frame->buf;
	packet->zone = 0;
	packet->fragmented = false;
	why = check(net, frame, packet);
	if (why == REASSEMBLY_WAITS)
		return NET_DONE;
	if (why != NET_PASS)
		return net_refuse(net, packet->buf, (enum tow_drop)why);
	packet->csum_ok =
		!packet->link->dev ||
		packet->buf->flags & (TOW_BUF_CSUM_OK | TOW_BUF_CSUM_PARTIAL);
	buf_trim_front(packet->buf, packet->network_bytes);

	if (packet->protocol == NET_ICMP6)
		return icmp6_input(net, packet, error);
	return NET_DELIVER;
}
