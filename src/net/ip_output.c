/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way down: RFC 791, RFC 8200, RFC 1122 3.2.1.
 *
 * On an established path net_send() compares the generation, writes the IP and
 * link headers in front of what the transport wrote, and appends the frame to
 * the link's batch. It looks nothing up.
 *
 *  - IPv4 packets of transports have DF set: the transports know the path's
 *    MTU and adapt (RFC 1191). Such packets are atomic, and their ID may be
 *    anything (RFC 6864 4.1). TCP's is 0, which tells nothing and needs no
 *    counter. UDP's is a secret of the flow: an ICMP error that quotes it is
 *    from somebody who has seen the datagram (icmp_input.c). ICMP may be
 *    fragmented on its way, and so may all to where less fits than we believe
 *    (pmtu.c); they have IDs from ident.c.
 *  - What the path does not take is fragmented here (fragment.c), but for TCP,
 *    which makes segments that fit.
 *  - The IPv6 flow label is a keyed hash of the flow (RFC 6437 3), made once
 *    per path. The ID of IPv4 UDP is its lower half.
 *  - A large segment has the length of the whole in its IP header; the device
 *    writes the lengths of the pieces.
 */
#include "net/net_private.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"
#include "wire/wire_tcp.h"
#include "wire/wire_udp.h"

/* @transport begins with both ports. */
uint32_t flow_label(struct net *net, const struct tow_addr *src,
		    const struct tow_addr *dst, const uint8_t *transport,
		    uint8_t protocol)
{
	uint8_t key[37];
	uint64_t hash;

	memcpy(key, src->b, 16);
	memcpy(key + 16, dst->b, 16);
	memcpy(key + 32, transport, 4);
	key[36] = protocol;
	hash = siphash13(&net->private->flow_key, key, sizeof(key));
	return MAX((uint32_t)hash & 0xfffff, 1); /* 0: not chosen yet */
}

uint32_t path_flow_label(struct net *net, struct net_path *path,
			 const struct tow_buf *buf, uint8_t protocol)
{
	if (UNLIKELY(path->flow_label == 0))
		path->flow_label = flow_label(net, &path->src, &path->dst,
					      buf->spans[0].ptr, protocol);
	return path->flow_label;
}

/* Never to be fragmented: with DF. */
static bool is_atomic(const struct net *net, const struct net_path *path,
		      uint8_t protocol)
{
	if (UNLIKELY(net->now_us < net->pmtus_cut_until_us) && !path->whole &&
	    pmtu_cuts(net, &path->dst))
		return false;
	return protocol != NET_ICMP;
}

static uint16_t atomic_id(struct net *net, struct net_path *path,
			  const struct tow_buf *buf, uint8_t protocol)
{
	if (protocol == NET_TCP)
		return 0;
	return (uint16_t)path_flow_label(net, path, buf, protocol);
}

static bool push_ip4(struct net *net, struct net_path *path,
		     struct tow_buf *buf, uint8_t protocol)
{
	uint32_t total = buf->bytes + IP4_BYTES;
	bool atomic = is_atomic(net, path, protocol);
	uint16_t id =
		atomic ? atomic_id(net, path, buf, protocol) : ident4_next(net);
	struct wire_ip4 *ip = (void *)buf_push(buf, IP4_BYTES);

	if (UNLIKELY(!ip))
		return false;
	ip4_build(ip, path->tos, total, id, atomic ? IP4_DF : 0,
		  path->ttl ? path->ttl : net->ttl, protocol, &path->src,
		  &path->dst);
	return true;
}

static bool push_ip6(struct net *net, struct net_path *path,
		     struct tow_buf *buf, uint8_t protocol)
{
	uint32_t payload = buf->bytes;
	uint32_t label = path_flow_label(net, path, buf, protocol);
	struct wire_ip6 *ip = (void *)buf_push(buf, IP6_BYTES);

	if (UNLIKELY(!ip))
		return false;
	ip6_build(ip, path->tos, label, payload, protocol,
		  path->ttl ? path->ttl : path->link->hop_limit, &path->src,
		  &path->dst);
	return true;
}

static uint32_t transport_bytes(const struct tow_buf *buf, uint8_t protocol)
{
	const uint8_t *header = buf->spans[0].ptr;

	switch (protocol) {
	case NET_TCP:
		return wire_tcp_header_bytes(header);
	case NET_UDP:
		return UDP_BYTES;
	default:
		return 8; /* ICMP */
	}
}

/* IP bytes allowed: the path's MTU, or for large segments what IP can say. */
static uint32_t packet_max(const struct net *net, const struct net_path *path,
			   const struct tow_buf *buf, uint8_t protocol, bool v4)
{
	if (buf->gso == TOW_GSO_NONE) /* TCP knows better than what ICMP said */
		return protocol == NET_TCP ? path->mtu
					   : net_path_mtu(net, path);
	return v4 ? IP4_PACKET_MAX : IP6_BYTES + IP6_PAYLOAD_MAX;
}

/* Multicast and broadcast resolve themselves (RFC 1112 6.4, RFC 2464 7). */
static int output_to_group(struct net *net, const struct net_path *path,
			   struct tow_buf *buf, bool v4)
{
	uint8_t mac[ETH_MAC_BYTES];

	if (!v4)
		eth_group6(mac, &path->dst);
	else if (ip4_is_multicast(&path->dst))
		eth_group4(mac, &path->dst);
	else
		eth_broadcast(mac);
	return link_output_to(net, path->link, mac, v4 ? ETH_IP4 : ETH_IP6,
			      buf);
}

/* A packet with its IP header, to wherever the path leads. */
int ip_output(struct net *net, struct net_path *path, struct tow_buf *buf)
{
	bool v4 = net_is_v4(&path->dst);

	if (!net_has_ethernet(path->link) || UNLIKELY(path->link->gone))
		return link_output(net, path->link, buf);
	if (UNLIKELY(path->to_group))
		return output_to_group(net, path, buf, v4);
	return neighbour_output(net, path, buf);
}

/* More than the path takes: in fragments, if it may be. */
static int send_large(struct net *net, struct net_path *path,
		      struct tow_buf *buf, uint8_t protocol)
{
	if (protocol == NET_TCP || buf->gso != TOW_GSO_NONE)
		return net_refuse_output(net, buf, TOW_DROP_IP_MTU,
					 TOW_EMSGSIZE);
	return fragment_send(net, path, buf, protocol, net_path_mtu(net, path));
}

int net_broadcast(struct net *net, struct net_link *link,
		  const struct tow_addr *src, struct tow_buf *buf,
		  uint8_t protocol)
{
	struct net_path path = {
		.link = link,
		.src = *src,
		.dst = tow_addr_v4(255, 255, 255, 255),
		.next_hop = tow_addr_v4(255, 255, 255, 255),
		.mtu = link->mtu,
		.generation = net->generation, /* nothing to look up */
		.to_group = true,
	};

	return net_send(net, &path, buf, protocol);
}

int net_send(struct net *net, struct net_path *path, struct tow_buf *buf,
	     uint8_t protocol)
{
	uint32_t transport, link, network;
	bool v4, pushed;
	int error;

	if (UNLIKELY(path->generation != net->generation)) {
		error = net_path_refresh(net, path);
		if (error)
			return net_refuse_output(net, buf,
						 error == TOW_ENETDOWN
							 ? TOW_DROP_DEV_GONE
							 : TOW_DROP_NO_ROUTE,
						 error);
	}
	v4 = net_is_v4(&path->dst);
	network = v4 ? IP4_BYTES : IP6_BYTES;
	if (UNLIKELY(buf->bytes + network >
		     packet_max(net, path, buf, protocol, v4)))
		return send_large(net, path, buf, protocol);

	transport = transport_bytes(buf, protocol);
	pushed = v4 ? push_ip4(net, path, buf, protocol)
		    : push_ip6(net, path, buf, protocol);
	if (UNLIKELY(!pushed))
		return net_refuse_output(net, buf, TOW_DROP_NO_BUFFERS,
					 TOW_ENOBUFS);

	link = net_has_ethernet(path->link) ? ETH_BYTES : 0;
	buf->csum_start = (uint16_t)(link + network);
	buf->header_bytes = (uint16_t)(link + network + transport);
	return ip_output(net, path, buf);
}
