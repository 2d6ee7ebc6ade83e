/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IGMP, the host's part: RFC 3376, with RFC 2236 and RFC 1112 for routers that
 * speak no newer. When something is said is group_report.c's; here are the
 * messages.
 *
 * Queries are believed from this link only, as far as that can be told: they
 * carry the Router Alert option, which routers do not forward unseen (RFC 3376
 * 9.1). Those of version 1 had none, but they go to all hosts with a TTL of 1
 * (RFC 1112 I), and no router forwards that.
 */
#include "base/csum.h"
#include "net/group.h"

/* RFC 3376 4: TTL 1, Internetwork Control, Router Alert (RFC 2113). */
static void push_header(struct tow_buf *buf, const struct tow_addr *src,
			const struct tow_addr *dst)
{
	static const uint8_t alert[IP4_ALERT_BYTES] = { IP4_ALERT,
							IP4_ALERT_BYTES };
	uint32_t header = IP4_BYTES + IP4_ALERT_BYTES;
	struct wire_ip4 *ip = (void *)buf_push(buf, header);

	ASSERT(ip);
	ip4_build(ip, IGMP_TOS, buf->bytes, 0, IP4_DF, IGMP_HOP_LIMIT, NET_IGMP,
		  src, dst);
	memcpy((uint8_t *)ip + IP4_BYTES, alert, sizeof(alert));
	ip->version_ihl = (uint8_t)(4 << 4 | header / 4);
	wire_put16(ip->checksum, 0);
	wire_put_sum(ip->checksum, csum_finish(csum_bytes(0, ip, header)));
}

void igmp_output(struct net *net, struct net_link *link,
		 const struct tow_addr *dst, struct tow_buf *buf)
{
	const struct net_addr *own = addr_choose(net, link->number, dst);
	struct tow_addr none = tow_addr_v4(0, 0, 0, 0);
	uint8_t mac[ETH_MAC_BYTES];
	struct wire_igmp *igmp;
	uint64_t touched = 0;

	igmp = (void *)buf_pull(buf, IGMP_BYTES);
	ASSERT(igmp);
	wire_put_sum(igmp->checksum, csum_finish(buf_csum(buf, 0, &touched)));
	push_header(buf, own && own->link == link->number ? &own->addr : &none,
		    dst);
	eth_group4(mac, dst);
	if (net_has_ethernet(link))
		link_output_to(net, link, mac, ETH_IP4, buf);
	else
		link_output(net, link, buf);
}

static bool has_alert(const struct net_packet *packet)
{
	const uint8_t *end = packet->buf->spans[0].ptr;
	const uint8_t *p = end - packet->network_bytes + IP4_BYTES;

	/* ip4_input.c has checked the lengths */
	while (p < end && *p != IP4_OPTION_END && *p != IP4_ALERT)
		p += *p == IP4_OPTION_NOP ? 1 : p[1];
	return p < end && *p == IP4_ALERT;
}

/* What version 3 has beyond; false if the sources are not all there. */
static bool read_query3(const struct net_packet *packet,
			const struct wire_igmp *igmp, struct group_query *query)
{
	uint32_t count = wire_get16(igmp->sources), i;
	uint8_t source[4];
	struct tow_addr addr;

	query->version = 3;
	query->max_ms = igmp_code(igmp->max_response) * 100;
	query->robustness = igmp->qrv & GROUP_QRV_MASK;
	query->interval_s = igmp_code(igmp->qqic);
	if (count * 4 > packet->buf->bytes - IGMP_QUERY_BYTES)
		return false;
	for (i = 0; i < count; i++) {
		tow_buf_read(packet->buf, IGMP_QUERY_BYTES + i * 4, source, 4);
		addr = wire_get_addr4(source);
		if (!sources_add(&query->sources, &addr)) {
			query->sources.count = 0;
			break;
		}
	}
	return true;
}

/* RFC 3376 7.1: the length tells the version. */
static bool read_query(const struct net_packet *packet,
		       const struct wire_igmp *igmp, struct group_query *query)
{
	struct tow_addr none = tow_addr_v4(0, 0, 0, 0);

	memset(query, 0, sizeof(*query));
	query->group = wire_get_addr4(igmp->group);
	if (net_same(&query->group, &none))
		query->group = tow_addr_any();
	else if (!net_is_multicast(&query->group))
		return false;
	if (packet->buf->bytes >= IGMP_QUERY_BYTES)
		return read_query3(packet, igmp, query);
	query->version = igmp->max_response ? 2 : 1;
	query->max_ms = igmp->max_response ? igmp->max_response * 100u : 10000;
	return packet->buf->bytes == IGMP_BYTES;
}

/* RFC 3376 9.1: hosts should ignore these. */
static bool is_credible(const struct net_packet *packet,
			const struct group_query *query)
{
	if (query->version == 1)
		return ip4_is_all_hosts(&packet->dst) &&
		       packet->ttl == IGMP_HOP_LIMIT;
	if (!has_alert(packet))
		return false;
	return !net_is_any(&query->group) || !packet->group ||
	       ip4_is_all_hosts(&packet->dst);
}

static enum net_verdict query_input(struct net *net, struct net_packet *packet,
				    const struct wire_igmp *igmp)
{
	struct group_query query;

	if (!read_query(packet, igmp, &query) || !is_credible(packet, &query))
		return net_refuse(net, packet->buf, TOW_DROP_GROUP_BAD);
	group_asked(net, packet->link, true, &query);
	tow_buf_give(packet->buf);
	return NET_DONE;
}

static enum net_verdict report_input(struct net *net, struct net_packet *packet,
				     const struct wire_igmp *igmp)
{
	struct tow_addr group = wire_get_addr4(igmp->group);

	if (!net_same(&group, &packet->dst))
		return net_refuse(net, packet->buf, TOW_DROP_GROUP_BAD);
	group_overheard(net, packet->link, &group);
	tow_buf_give(packet->buf);
	return NET_DONE;
}

enum net_verdict igmp_input(struct net *net, struct net_packet *packet)
{
	struct tow_buf *buf = packet->buf;
	const struct wire_igmp *igmp;
	uint64_t touched = 0;

	igmp = (const void *)buf_pull(buf, MIN(buf->bytes, IGMP_QUERY_BYTES));
	if (!packet->link->dev || !igmp || buf->bytes < IGMP_BYTES ||
	    csum_finish(buf_csum(buf, 0, &touched)) != 0)
		return net_refuse(net, buf, TOW_DROP_GROUP_BAD);
	switch (igmp->type) {
	case IGMP_QUERY:
		return query_input(net, packet, igmp);
	case IGMP_REPORT_V1:
	case IGMP_REPORT_V2:
		return report_input(net, packet, igmp);
	default:
		return net_refuse(net, buf, TOW_DROP_GROUP_IGNORED);
	}
}
