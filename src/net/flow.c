/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Of which flow is a frame, before anybody has checked it? Only where it lies
 * depends on the answer, never whether it is accepted: see net_frame_is_of().
 */
#include "net/net_private.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"

#define PORTS_BYTES 4 /* what TCP and UDP begin with */

/* Both return the header's length, or 0 for a packet of something else. */
static size_t match_ip4(const uint8_t *ip, size_t bytes,
			const struct net_flow *flow)
{
	const struct wire_ip4 *h = (const void *)ip;
	struct tow_addr src, dst;

	if (bytes < IP4_BYTES || ip4_version(h) != 4 ||
	    ip4_header_bytes(h) < IP4_BYTES || h->protocol != flow->protocol ||
	    ip4_is_fragment(h))
		return 0;
	src = wire_get_addr4(h->src);
	dst = wire_get_addr4(h->dst);
	return tow_addr_equal(&src, &flow->remote) &&
			       tow_addr_equal(&dst, &flow->local)
		       ? ip4_header_bytes(h)
		       : 0;
}

static size_t match_ip6(const uint8_t *ip, size_t bytes,
			const struct net_flow *flow)
{
	const struct wire_ip6 *h = (const void *)ip;
	struct tow_addr src, dst;

	if (bytes < IP6_BYTES || h->flow[0] >> 4 != 6 ||
	    h->next != flow->protocol)
		return 0;
	src = wire_get_addr6(h->src);
	dst = wire_get_addr6(h->dst);
	return tow_addr_equal(&src, &flow->remote) &&
			       tow_addr_equal(&dst, &flow->local)
		       ? IP6_BYTES
		       : 0;
}

static bool match_type(const uint8_t *frame, bool v4)
{
	const struct wire_eth *eth = (const void *)frame;

	return wire_get16(eth->type) == (v4 ? ETH_IP4 : ETH_IP6);
}

bool net_frame_is_of(const struct net_link *link, const struct tow_buf *buf,
		     const struct net_flow *flow)
{
	bool v4 = tow_addr_is_v4(&flow->local);
	size_t at = net_has_ethernet(link) ? ETH_BYTES : 0, ip_bytes;
	uint8_t frame[ETH_BYTES + IP4_BYTES_MAX + PORTS_BYTES];
	size_t bytes = tow_buf_read(buf, 0, frame, sizeof(frame));

	if (bytes < at || (at && !match_type(frame, v4)))
		return false;
	ip_bytes = v4 ? match_ip4(frame + at, bytes - at, flow)
		      : match_ip6(frame + at, bytes - at, flow);
	at += ip_bytes;
	return ip_bytes && bytes >= at + PORTS_BYTES &&
	       wire_get16(frame + at) == flow->remote_port &&
	       wire_get16(frame + at + 2) == flow->local_port;
}
