/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPv4 on the way up: RFC 791, RFC 1122 3.2.1, RFC 1812 5.3.7 for addresses
 * that cannot be sources.
 *
 * ip4_input() is a chain of checks in the order of the text. Each lets the
 * packet through or names the reason why not; nothing is answered before all
 * have passed.
 */
#include "net/net_private.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"

/*
 * RFC 1122 3.2.1.1, 3.2.1.2 and lengths. On success the header with its
 * options is contiguous, and the buffer ends where the packet does: Ethernet
 * pads short frames.
 */
static int check_header(struct tow_buf *buf)
{
	const struct wire_ip4 *ip = (const void *)buf_pull(buf, IP4_BYTES);
	uint32_t header, total;

	if (!ip || ip4_version(ip) != 4)
		return TOW_DROP_IP_HEADER;
	header = ip4_header_bytes(ip);
	total = wire_get16(ip->total);
	if (header < IP4_BYTES)
		return TOW_DROP_IP_HEADER;
	if (total < header || total > buf->bytes)
		return TOW_DROP_IP_LENGTH;
	if (!buf_pull(buf, header))
		return TOW_DROP_IP_HEADER;
	if (csum_finish(csum_bytes(0, ip, header)) != 0)
		return TOW_DROP_IP_CHECKSUM;
	buf_trim_back(buf, buf->bytes - total);
	return NET_PASS;
}

/*
 * RFC 1122 3.2.1.3: what never is a source. One of our own addresses on the
 * wire is a lie, too, and the LAND attack (CVE-1999-0016) in particular.
 */
static int check_source(const struct net *net, const struct net_frame *frame,
			const struct net_packet *packet)
{
	const struct tow_addr *src = &packet->src;

	if (!frame->link->dev)
		return NET_PASS; /* we sent it */
	if (packet->protocol == NET_IGMP && tow_addr_is_any(src))
		return NET_PASS; /* a switch may have none: RFC 4541 2.1.1 */
	if (!net_is_unicast(net, src) || net_is_local(net, src))
		return TOW_DROP_IP_SOURCE;
	return NET_PASS;
}

/* RFC 1122 3.2.1.3 and 3.3.6: ours, or of a group that we belong to. */
static int check_destination(const struct net *net,
			     const struct net_frame *frame,
			     struct net_packet *packet)
{
	const struct tow_addr *dst = &packet->dst;

	packet->group = addr_is_group(net, dst);
	if (packet->group)
		return !ip4_is_multicast(dst) || ip4_is_all_hosts(dst) ||
				       net_is_member(net, frame->link->number,
						     dst)
			       ? NET_PASS
			       : TOW_DROP_IP_DESTINATION;
	if (frame->group) /* a unicast packet in a broadcast frame */
		return TOW_DROP_IP_DESTINATION;
	if (!frame->link->dev)
		return NET_PASS;
	return addr_find(net, dst) ? NET_PASS : TOW_DROP_IP_DESTINATION;
}

/*
 * RFC 791 3.1, options: each but two has a length, which includes type and
 * length. None means anything to us; source routes are refused (RFC 1122
 * 3.2.1.8 (c), RFC 7126 4.3, 4.4).
 */
static int check_options(const uint8_t *p, uint32_t bytes)
{
	uint32_t length;

	for (; bytes > 0 && *p != IP4_OPTION_END;
	     p += length, bytes -= length) {
		if (*p == IP4_OPTION_NOP) {
			length = 1;
			continue;
		}
		if (*p == IP4_OPTION_LSRR || *p == IP4_OPTION_SSRR)
			return TOW_DROP_IP_OPTIONS;
		length = bytes > 1 ? p[1] : 0;
		if (length < 2 || length > bytes)
			return TOW_DROP_IP_OPTIONS;
	}
	return NET_PASS;
}

static int check(struct net *net, const struct net_frame *frame,
		 struct net_packet *packet)
{
	const struct wire_ip4 *ip;
	int why = check_header(frame->buf);

	if (why != NET_PASS)
		return why;
	ip = frame->buf->spans[0].ptr;
	packet->src = wire_get_addr4(ip->src);
	packet->dst = wire_get_addr4(ip->dst);
	packet->protocol = ip->protocol;
	packet->ttl = ip->ttl;
	packet->tos = ip->tos;
	packet->network_bytes = (uint16_t)ip4_header_bytes(ip);

	why = check_source(net, frame, packet);
	if (why == NET_PASS)
		why = check_destination(net, frame, packet);
	if (why == NET_PASS)
		why = check_options((const uint8_t *)ip + IP4_BYTES,
				    packet->network_bytes - IP4_BYTES);
	return why;
}

/*
 * A fragment (RFC 791 3.2): all but the last have whole units of 8 bytes. What
 * would end behind the largest datagram is the "ping of death" (CVE-1999-0128).
 */
static int check_fragment(const struct fragment *f)
{
	if (f->bytes == 0 || (f->more && f->bytes % 8 != 0))
		return TOW_DROP_IP_FRAGMENT;
	if (f->header_bytes + f->offset + f->bytes > IP4_PACKET_MAX)
		return TOW_DROP_IP_LENGTH;
	return NET_PASS;
}

/* The header is fragment zero's: let it say what is true of the whole. */
static int finish_whole(struct net_packet *packet)
{
	uint32_t header = packet->network_bytes;
	struct wire_ip4 *ip = (void *)buf_push(packet->buf, header);

	ASSERT(ip);
	if (packet->buf->bytes > IP4_PACKET_MAX)
		return TOW_DROP_IP_LENGTH; /* its options are longer */
	ip->tos = packet->tos;
	wire_put16(ip->total, packet->buf->bytes);
	wire_put16(ip->fragment, 0);
	wire_put16(ip->checksum, 0);
	wire_put_sum(ip->checksum, csum_finish(csum_bytes(0, ip, header)));
	return NET_PASS;
}

/* NET_PASS: the datagram is whole, and lies in packet->buf. */
static int reassemble(struct net *net, struct net_packet *packet)
{
	const struct wire_ip4 *ip = packet->buf->spans[0].ptr;
	uint32_t field = wire_get16(ip->fragment);
	struct fragment f = {
		.id = wire_get16(ip->id),
		.offset = (field & IP4_OFFSET_MASK) * 8,
		.bytes = packet->buf->bytes - packet->network_bytes,
		.header_bytes = packet->network_bytes,
		.more = field & IP4_MF,
	};
	int why = check_fragment(&f);

	if (why == NET_PASS)
		why = reassembly_add(net, packet, &f);
	if (why == NET_PASS)
		why = finish_whole(packet);
	return why;
}

enum net_verdict ip4_input(struct net *net, const struct net_frame *frame,
			   struct net_packet *packet, struct net_error *error)
{
	struct tow_buf *buf;
	int why;

	packet->link = frame->link;
	packet->buf = frame->buf;
	packet->zone = 0;
	why = check(net, frame, packet);
	if (why == NET_PASS && ip4_is_fragment(packet->buf->spans[0].ptr))
		why = reassemble(net, packet);
	if (why == REASSEMBLY_WAITS)
		return NET_DONE;
	buf = packet->buf;
	if (why != NET_PASS)
		return net_refuse(net, buf, (enum tow_drop)why);
	packet->csum_ok = !packet->link->dev ||
			  buf->flags & (TOW_BUF_CSUM_OK | TOW_BUF_CSUM_PARTIAL);
	buf_trim_front(buf, packet->network_bytes);

	switch (packet->protocol) {
	case NET_TCP:
	case NET_UDP:
		return NET_DELIVER;
	case NET_IGMP:
		return igmp_input(net, packet);
	case NET_ICMP:
		return icmp4_input(net, packet, error);
	default:
		net_unreachable(net, packet, NET_UNREACHABLE_PROTOCOL);
		return net_refuse(net, buf, TOW_DROP_IP_PROTOCOL);
	}
}
