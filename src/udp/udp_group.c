/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams to groups: RFC 1122 4.1.3, RFC 3376 2.
 *
 *	from a device        --> udp_group_input() --+
 *	sent by ourselves    --> udp_group_loop() ---+--> each socket that
 *	                                                  wants it
 *
 * Multicast goes to the sockets that listen to the group on the interface, and
 * to its sender; broadcast, and what every host is in, to all on the port. The
 * last socket has the buffer that arrived, the others have copies: a buffer has
 * one queue to be in, and each socket pays for what it holds.
 *
 * What we send to a group never becomes a frame for ourselves: a copy is handed
 * up while the original goes down.
 */
#include "buf/refuge.h"
#include "udp/udp_private.h"
#include "wire/wire_ip4.h"

int tow_udp_listen(struct tow_udp *udp, int link, const struct tow_addr *group,
		   enum tow_filter mode, const struct tow_addr *sources,
		   int count)
{
	ASSERT(udp->open && !udp->closed);
	if (link < 0 || count < 0 ||
	    (mode != TOW_FILTER_INCLUDE && mode != TOW_FILTER_EXCLUDE))
		return TOW_EINVAL;
	return net_listen(udp->host->net, udp, (unsigned)link, group, mode,
			  sources, (unsigned)count);
}

int tow_udp_join(struct tow_udp *udp, int link, const struct tow_addr *group)
{
	return tow_udp_listen(udp, link, group, TOW_FILTER_EXCLUDE, NULL, 0);
}

void tow_udp_leave(struct tow_udp *udp, int link, const struct tow_addr *group)
{
	(void)tow_udp_listen(udp, link, group, TOW_FILTER_INCLUDE, NULL, 0);
}

/* --------------------------------------------------------------- who wants it
 */

static bool listens(const struct tow_udp *s, const struct net_packet *packet,
		    const struct net_group *group)
{
	enum net_heard heard;

	if (!net_is_multicast(&packet->dst))
		return true;
	heard = net_hears(group, s, &packet->src);
	if (heard == NET_NO_MEMBER)
		return net_is_everybody(&packet->dst);
	return heard == NET_HEARS;
}

static bool wants(const struct tow_udp *s, const struct net_packet *packet,
		  const struct udp_ports *ports)
{
	struct tow_endpoint from = {
		.addr = packet->src,
		.port = ports->src,
		.zone = packet->zone,
	};

	if (s->bound.port != ports->dst ||
	    !(tow_addr_is_any(&s->bound.addr) ||
	      tow_addr_equal(&s->bound.addr, &packet->dst)))
		return false;
	if (s->connected && !udp_same_endpoint(&s->remote, &from))
		return false;
	if (ports->unsummed && !udp_may_be_unsummed(s, packet))
		return false;
	return listens(s, packet, ports->group);
}

/* -------------------------------------------------------------------- copies
 */

/* The payload from @offset on, in memory for what is received; or NULL. */
static struct tow_buf *copy(struct tow_udp *s, const struct tow_buf *buf,
			    uint32_t offset)
{
	struct net *net = s->host->net;
	struct tow_buf *to = refuge_take(&net->rx_pool, buf->bytes - offset);

	if (!to) {
		net_drop(net, TOW_DROP_NO_BUFFERS);
		return NULL;
	}
	refuge_pour(to, buf, offset, udp_ledgers(s), TOW_COPY_RX_GROUP);
	to->link = buf->link;
	to->gso = buf->gso;
	to->gso_bytes = buf->gso_bytes;
	return to;
}

static void give_copy(struct tow_udp *s, const struct net_packet *packet,
		      const struct udp_ports *ports)
{
	struct net_packet own = *packet;

	own.touched_bytes = 0; /* the header is not there */
	own.buf = copy(s, packet->buf, 0);
	if (own.buf)
		udp_deliver(s, &own, ports->src);
}

/* To all in a bucket that want it, but for the last: that one is returned. */
static struct tow_udp *spread(struct list *bucket, struct tow_udp *last,
			      const struct net_packet *packet,
			      const struct udp_ports *ports)
{
	struct tow_udp *s;

	LIST_EACH (node, bucket) {
		s = CONTAINER(node, struct tow_udp, bound_node);
		if (s == last || !wants(s, packet, ports))
			continue;
		if (last)
			give_copy(last, packet, ports);
		last = s;
	}
	return last;
}

/*
 * A datagram to a group, its header taken off. Takes the buffer. The two kinds
 * of sockets may lie in one bucket, which then is walked once.
 */
void udp_group_input(struct udp_host *udp, struct net_packet *packet,
		     const struct udp_ports *ports)
{
	struct tow_endpoint group = { .addr = packet->dst, .port = ports->dst };
	struct tow_endpoint any = { .port = ports->dst };
	struct list *exact = udp_bound_bucket(udp, &group);
	struct list *wild = udp_bound_bucket(udp, &any);
	struct tow_udp *last = spread(exact, NULL, packet, ports);

	if (wild != exact)
		last = spread(wild, last, packet, ports);
	if (last) {
		last->ledger.rx_touched_bytes += packet->touched_bytes;
		udp_deliver(last, packet, ports->src);
		return;
	}
	net_drop(udp->net, net_is_multicast(&packet->dst) &&
					   !net_is_everybody(&packet->dst)
				   ? TOW_DROP_UDP_GROUP
				   : TOW_DROP_UDP_PORT);
	tow_buf_give(packet->buf);
}

/* ------------------------------------------------------------------ loopback
 */

/* RFC 1112 6.1: a frame on its way to a group that is ours, too. */
void udp_group_loop(struct tow_udp *s, const struct net_path *path,
		    const struct tow_buf *buf)
{
	const struct udp_way *way =
		udp_way_of((struct tow_buf *)(uintptr_t)buf);
	struct net *net = s->host->net;
	struct udp_ports ports = {
		.group = net_group_of(net, path->link->number, &way->dst),
		.src = way->src_port,
		.dst = way->dst_port,
	};
	struct net_packet packet = {
		.link = path->link,
		.src = way->src,
		.dst = way->dst,
		.protocol = NET_UDP,
		.ttl = way->ttl,
		.tos = way->tos,
		.csum_ok = true,
		.group = true,
	};

	if (!s->options.group_loop || !net_is_multicast(&way->dst) ||
	    !(net_is_everybody(&way->dst) ||
	      net_is_member(net, path->link->number, &way->dst)))
		return;
	packet.buf = copy(s, buf, UDP_BYTES);
	if (!packet.buf)
		return;
	packet.buf->link = path->link->number;
	if (ip6_is_link_local(&way->src))
		packet.zone = (uint16_t)(path->link->number + 1);
	udp_group_input(s->host, &packet, &ports);
}
