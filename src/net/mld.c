/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multicast Listener Discovery, the listener's part: RFC 3810, with RFC 2710
 * for routers that speak no newer. When something is said is group_report.c's;
 * here are the messages, which are ICMPv6's.
 *
 * What is not from this link is not believed: a link-local source, hop limit 1
 * and the Router Alert option (RFC 3810 6.2).
 */
#include "base/csum.h"
#include "net/group.h"

/* RFC 3810 5: hop limit 1, and Router Alert (RFC 2711) with value 0: MLD. */
static void push_header(struct tow_buf *buf, const struct tow_addr *src,
			const struct tow_addr *dst)
{
	static const uint8_t alert[IP6_ALERT_BYTES] = {
		NET_ICMP6, 0, IP6_ALERT, 2, 0, 0, IP6_OPTION_PADN, 0
	};
	uint32_t payload = buf->bytes + IP6_ALERT_BYTES;
	uint8_t *p = buf_push(buf, IP6_BYTES + IP6_ALERT_BYTES);

	ASSERT(p);
	ip6_build((void *)p, 0, 0, payload, IP6_HOP_BY_HOP, IGMP_HOP_LIMIT, src,
		  dst);
	memcpy(p + IP6_BYTES, alert, sizeof(alert));
}

/* RFC 3810 5.2.13: the link-local address, or none. */
static struct tow_addr source_on(const struct net *net,
				 const struct net_link *link)
{
	struct tow_addr all = ip6_all_nodes();
	const struct net_addr *own = addr_choose(net, link->number, &all);

	if (own && own->link == link->number && addr_is_link_local(&own->addr))
		return own->addr;
	return tow_addr_any();
}

void mld_output(struct net *net, struct net_link *link,
		const struct tow_addr *dst, struct tow_buf *buf)
{
	struct tow_addr src = source_on(net, link);
	uint8_t mac[ETH_MAC_BYTES];
	struct wire_mld *mld;
	uint64_t touched = 0;
	uint32_t sum;

	mld = (void *)buf_pull(buf, ICMP_BYTES);
	ASSERT(mld);
	sum = csum_pseudo(&src, dst, NET_ICMP6, buf->bytes);
	sum = csum_add(sum, buf_csum(buf, 0, &touched));
	wire_put_sum(mld->checksum, csum_finish(sum));
	push_header(buf, &src, dst);
	eth_group6(mac, dst);
	if (net_has_ethernet(link))
		link_output_to(net, link, mac, ETH_IP6, buf);
	else
		link_output(net, link, buf);
}

/* In the hop-by-hop header, whose lengths were checked. */
static bool has_alert(const struct net_packet *packet)
{
	const uint8_t *end = packet->buf->spans[0].ptr;
	const uint8_t *ip = end - packet->network_bytes;
	const uint8_t *p = ip + IP6_BYTES;

	if (((const struct wire_ip6 *)ip)->next != IP6_HOP_BY_HOP)
		return false;
	end = p + ip6_extension_bytes((const void *)p);
	for (p += 2; p < end && *p != IP6_ALERT;)
		p += *p == IP6_OPTION_PAD1 ? 1 : 2 + p[1];
	return end - p >= 4 && p[1] == 2 && p[2] == 0 && p[3] == 0;
}

/* RFC 3810 6.2: else it is silently discarded. */
static bool is_from_link(const struct net_packet *packet)
{
	return addr_is_link_local(&packet->src) &&
	       packet->ttl == IGMP_HOP_LIMIT && has_alert(packet);
}

static bool read_query2(const struct net_packet *packet,
			const struct wire_mld *mld, struct group_query *query)
{
	uint32_t count = wire_get16(mld->sources), i;
	struct tow_addr source;
	uint8_t bytes[16];

	query->version = 3;
	query->max_ms = mld_code(wire_get16(mld->max_response));
	query->robustness = mld->qrv & GROUP_QRV_MASK;
	query->interval_s = igmp_code(mld->qqic);
	if (count * 16 > packet->buf->bytes - MLD_QUERY_BYTES)
		return false;
	for (i = 0; i < count; i++) {
		tow_buf_read(packet->buf, MLD_QUERY_BYTES + i * 16, bytes, 16);
		source = wire_get_addr6(bytes);
		if (!sources_add(&query->sources, &source)) {
			query->sources.count = 0;
			break;
		}
	}
	return true;
}

/* RFC 3810 8.1: the length tells the version. */
static bool read_query(const struct net_packet *packet,
		       const struct wire_mld *mld, struct group_query *query)
{
	memset(query, 0, sizeof(*query));
	query->group = wire_get_addr6(mld->group);
	if (!net_is_any(&query->group) && !ip6_is_multicast(&query->group))
		return false;
	if (packet->buf->bytes >= MLD_QUERY_BYTES)
		return read_query2(packet, mld, query);
	query->version = 2;
	query->max_ms = wire_get16(mld->max_response);
	return packet->buf->bytes == MLD_BYTES;
}

static bool heed(struct net *net, const struct net_packet *packet,
		 const struct wire_mld *mld)
{
	struct group_query query;
	struct tow_addr group;

	if (mld->type == MLD_QUERY) {
		if (!read_query(packet, mld, &query))
			return false;
		group_asked(net, packet->link, false, &query);
		return true;
	}
	group = wire_get_addr6(mld->group);
	if (!net_same(&group, &packet->dst))
		return false;
	group_overheard(net, packet->link, &group);
	return true;
}

enum net_verdict mld_input(struct net *net, struct net_packet *packet)
{
	struct tow_buf *buf = packet->buf;
	const struct wire_mld *mld;

	mld = (const void *)buf_pull(buf, MIN(buf->bytes, MLD_QUERY_BYTES));
	if (mld && mld->type != MLD_QUERY && mld->type != MLD_REPORT_V1)
		return net_refuse(net, buf, TOW_DROP_GROUP_IGNORED);
	if (!packet->link->dev || !mld || buf->bytes < MLD_BYTES ||
	    !is_from_link(packet) || !heed(net, packet, mld))
		return net_refuse(net, buf, TOW_DROP_GROUP_BAD);
	tow_buf_give(buf);
	return NET_DONE;
}
