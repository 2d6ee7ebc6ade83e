/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPv6 on the way up: RFC 8200 3 and 4, RFC 4291 for addresses, RFC 8504 5.3
 * for what a host may refuse.
 *
 * Extension headers are walked in a loop with three bounds: the packet's end,
 * EXTENSIONS_MAX headers, and the header room, into which all of them must
 * fit. They are only read; the transport's header follows behind them.
 *
 *	| IPv6 header | hop-by-hop | destination | routing | TCP ...
 *	              ^ at: walks towards the transport
 */
#include "net/net_private.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip6.h"

#define EXTENSIONS_MAX 8 /* headers; RFC 8504 5.3 */

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
				       addr_is_solicited_here(net, link, dst)
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

/*
 * The walk over the extension headers.
 */
struct walk {
	struct net *net;
	struct net_packet *packet;
	uint32_t at;	  /* offset of the header being looked at */
	uint32_t next_at; /* offset of the field that announced it */
	uint8_t next;	  /* what it is */
};

/* One header on, only peeking; false at a transport or the end. */
static bool peek_next(const struct tow_buf *buf, uint32_t *at, uint8_t *next)
{
	struct wire_ip6_extension extension;

	if (*next != IP6_HOP_BY_HOP && *next != IP6_DESTINATION &&
	    *next != IP6_ROUTING && *next != IP6_FRAGMENT)
		return false;
	if (tow_buf_read(buf, *at, &extension, sizeof(extension)) <
	    sizeof(extension))
		return false;
	*at += *next == IP6_FRAGMENT ? (uint32_t)sizeof(extension)
				     : ip6_extension_bytes(&extension);
	*next = extension.next;
	return true;
}

/*
 * RFC 4443 2.4 (e.1): never an error about an error, also when a header in
 * front of it is what we cannot take.
 */
static bool leads_to_icmp_error(const struct walk *w)
{
	uint32_t at = w->at;
	uint8_t next = w->next, type;
	unsigned headers;

	for (headers = 0; headers < EXTENSIONS_MAX; headers++)
		if (!peek_next(w->packet->buf, &at, &next))
			break;
	if (next != NET_ICMP6 || tow_buf_read(w->packet->buf, at, &type, 1) < 1)
		return false;
	return type < ICMP6_INFORMATIONAL || type == ICMP6_REDIRECT;
}

/* RFC 4443 3.4: tell the sender which byte we could not take. */
static int refuse(struct walk *w, uint8_t code, uint32_t pointer,
		  bool about_groups, enum tow_drop why)
{
	struct icmp_fault fault = {
		.type = ICMP6_PARAMETER,
		.code = code,
		.about_groups = about_groups,
		.word = pointer,
	};

	if (!leads_to_icmp_error(w))
		icmp_report(w->net, w->packet, &fault);
	return (int)why;
}

/* @bytes of the header at w->at, contiguous; NULL if they are not there. */
static const void *header_at(struct walk *w, uint32_t bytes)
{
	const uint8_t *p = buf_pull(w->packet->buf, w->at + bytes);

	return p ? p + w->at : NULL;
}

static void step(struct walk *w, uint8_t next, uint32_t bytes)
{
	w->next = next;
	w->next_at = w->at; /* each begins with the next one's number */
	w->at += bytes;
}

/* RFC 8200 4.2: an option that we do not know says itself what to do. */
static int unknown_option(struct walk *w, uint8_t type, uint32_t pointer)
{
	switch (type >> 6) {
	case IP6_ACTION_SKIP:
		return NET_PASS;
	case IP6_ACTION_DISCARD:
		return TOW_DROP_IP_EXTENSION;
	case IP6_ACTION_REPORT:
		return refuse(w, ICMP6_BAD_OPTION, pointer, true,
			      TOW_DROP_IP_EXTENSION);
	default:
		return refuse(w, ICMP6_BAD_OPTION, pointer, false,
			      TOW_DROP_IP_EXTENSION);
	}
}

/* The options of a hop-by-hop or destination header, in @p[2..bytes). */
static int check_options(struct walk *w, const uint8_t *p, uint32_t bytes)
{
	uint32_t i = 2, length;
	int why;

	while (i < bytes) {
		if (p[i] == IP6_OPTION_PAD1) {
			i++;
			continue;
		}
		if (bytes - i < 2)
			return TOW_DROP_IP_EXTENSION;
		length = 2u + p[i + 1];
		if (length > bytes - i)
			return TOW_DROP_IP_EXTENSION;
		if (p[i] != IP6_OPTION_PADN) {
			why = unknown_option(w, p[i], w->at + i);
			if (why != NET_PASS)
				return why;
		}
		i += length;
	}
	return NET_PASS;
}

static int walk_options(struct walk *w)
{
	const struct wire_ip6_extension *extension;
	uint32_t bytes;
	int why;

	extension = header_at(w, IP6_EXTENSION_BYTES);
	if (!extension)
		return TOW_DROP_IP_EXTENSION;
	bytes = ip6_extension_bytes(extension);
	extension = header_at(w, bytes);
	if (!extension)
		return TOW_DROP_IP_EXTENSION;
	why = check_options(w, (const uint8_t *)extension, bytes);
	if (why == NET_PASS)
		step(w, extension->next, bytes);
	return why;
}

/*
 * RFC 8200 4.4: one that is used up is skipped, whatever its type. We route
 * for nobody, so of others all types are unknown; type 0 had to be (RFC 5095).
 */
static int walk_routing(struct walk *w)
{
	const struct wire_ip6_routing *routing;
	uint32_t bytes;

	routing = header_at(w, sizeof(*routing));
	if (!routing)
		return TOW_DROP_IP_EXTENSION;
	bytes = (routing->units + 1u) * 8;
	if (!header_at(w, bytes))
		return TOW_DROP_IP_EXTENSION;
	if (routing->segments_left != 0)
		return refuse(w, ICMP6_BAD_FIELD,
			      w->at + (uint32_t)offsetof(
					      struct wire_ip6_routing, type),
			      false, TOW_DROP_IP_EXTENSION);
	step(w, routing->next, bytes);
	return NET_PASS;
}

/* RFC 6946: a fragment that is the whole datagram is no fragment. */
static int walk_fragment(struct walk *w)
{
	const struct wire_ip6_fragment *fragment;

	fragment = header_at(w, sizeof(*fragment));
	if (!fragment)
		return TOW_DROP_IP_EXTENSION;
	if (!ip6_is_atomic(fragment))
		return TOW_DROP_IP_FRAGMENT;
	step(w, fragment->next, sizeof(*fragment));
	return NET_PASS;
}

static bool is_transport(uint8_t next)
{
	return next == NET_TCP || next == NET_UDP || next == NET_ICMP6;
}

/* One header on; RFC 8200 4.1 allows hop-by-hop only in the first place. */
static int walk_one(struct walk *w)
{
	switch (w->next) {
	case IP6_HOP_BY_HOP:
		if (w->at != IP6_BYTES)
			break;
		return walk_options(w);
	case IP6_DESTINATION:
		return walk_options(w);
	case IP6_ROUTING:
		return walk_routing(w);
	case IP6_FRAGMENT:
		return walk_fragment(w);
	case IP6_NO_NEXT:
		return TOW_DROP_IP_PROTOCOL; /* RFC 8200 4.7: nothing to say */
	default:
		break;
	}
	return refuse(w, ICMP6_BAD_NEXT_HEADER, w->next_at, false,
		      TOW_DROP_IP_PROTOCOL);
}

static int walk_extensions(struct net *net, struct net_packet *packet)
{
	struct walk w = {
		.net = net,
		.packet = packet,
		.at = IP6_BYTES,
		.next_at = offsetof(struct wire_ip6, next),
		.next = packet->protocol,
	};
	unsigned headers;
	int why = NET_PASS;

	for (headers = 0; why == NET_PASS && !is_transport(w.next); headers++)
		why = headers < EXTENSIONS_MAX ? walk_one(&w)
					       : TOW_DROP_IP_EXTENSION;
	packet->protocol = w.next;
	packet->network_bytes = (uint16_t)w.at;
	return why;
}

static int check(struct net *net, const struct net_frame *frame,
		 struct net_packet *packet)
{
	const struct wire_ip6 *ip;
	uint32_t network;
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
		why = walk_extensions(net, packet);
	if (why != NET_PASS)
		return why;
	network = packet->network_bytes;
	if (network > frame->buf->bytes)
		return TOW_DROP_IP_LENGTH;
	return NET_PASS;
}

enum net_verdict ip6_input(struct net *net, const struct net_frame *frame,
			   struct net_packet *packet, struct net_error *error)
{
	struct tow_buf *buf = frame->buf;
	int why;

	packet->link = frame->link;
	packet->buf = buf;
	packet->zone = 0;
	why = check(net, frame, packet);
	if (why != NET_PASS)
		return net_refuse(net, buf, (enum tow_drop)why);
	packet->csum_ok = !frame->link->dev ||
			  buf->flags & (TOW_BUF_CSUM_OK | TOW_BUF_CSUM_PARTIAL);
	buf_trim_front(buf, packet->network_bytes);

	if (packet->protocol == NET_ICMP6)
		return icmp6_input(net, packet, error);
	return NET_DELIVER;
}
