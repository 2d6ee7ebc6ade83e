/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Links: where frames leave and come in.
 *
 *	link_output() --> link->tx[ | | | ] --> dev->ops->tx, flush
 *	                  collected per poll    a batch per call
 *
 *	link_output() --> loop queue --> net_loop_take() --> net_receive()
 *
 * Frames are collected and handed to the device in batches: at the end of
 * each poll, and as soon as a batch is full. What a device does not take stays
 * in the batch, and net_send_room() tells the transports to wait. Only a frame
 * that nobody held back meets a full batch, and is dropped.
 *
 * A device that says TOW_ENETDOWN is gone for good: what was collected is
 * given back, and paths are looked up again, by another link or in vain.
 *
 * A packet to ourselves never becomes a frame: the buffer that was sent is the
 * one that is received, with its payload still on loan.
 */
#include "net/net_private.h"

static void link_gone(struct net *net, struct net_link *link)
{
	unsigned i;

	link->gone = true;
	net->generation++;
	for (i = 0; i < link->tx_count; i++)
		net_refuse_output(net, link->tx[i], TOW_DROP_DEV_GONE,
				  TOW_ENETDOWN);
	link->tx_count = 0;
}

void net_link_gone(struct net *net, struct net_link *link)
{
	if (!link->gone)
		link_gone(net, link);
}

static uint64_t bytes_of(struct tow_buf *const *bufs, unsigned n)
{
	uint64_t bytes = 0;

	while (n > 0)
		bytes += bufs[--n]->bytes;
	return bytes;
}

/* Hand what was collected to the device, as much as it takes. */
static void push(struct net *net, struct net_link *link)
{
	unsigned count = link->tx_count, taken;
	struct tow_dev *dev = link->dev;
	uint64_t bytes;
	int result;

	if (count == 0 || link->gone)
		return;
	bytes = bytes_of(link->tx, count);
	dev->now_us = net->now_us;
	result = dev->ops->tx(dev, link->tx, count);
	if (result < 0) {
		link_gone(net, link);
		return;
	}
	taken = (unsigned)result;
	ASSERT(taken <= count);
	link->tx_count = count - taken;
	memmove(link->tx, link->tx + taken,
		link->tx_count * sizeof(link->tx[0]));

	bytes -= bytes_of(link->tx, link->tx_count);
	net->stats.counters[TOW_COUNTER_TX_FRAMES] += taken;
	net->stats.counters[TOW_COUNTER_TX_BYTES] += bytes;
}

void net_flush(struct net *net)
{
	struct net_link *link;

	for (link = net->links; link < net->links + net->link_count; link++) {
		push(net, link);
		if (link->gone || !link->dev->ops->flush)
			continue;
		link->dev->now_us = net->now_us;
		link->dev->ops->flush(link->dev);
	}
}

unsigned net_send_room(const struct net *net, const struct net_path *path)
{
	const struct net_link *link = path->link;

	if (!link->dev)
		return NET_LOOP_FRAMES - net->loop_count;
	if (link->gone)
		return NET_TX_BATCH; /* it fails at once: nobody need wait */
	return NET_TX_BATCH - link->tx_count;
}

bool net_has_room(struct net *net, const struct net_path *path,
		  const struct tow_buf *datagram)
{
	unsigned room = net_send_room(net, path), frames;

	if (room == 0)
		return false;
	frames = MIN(fragment_count(net, path, datagram), NET_TX_BATCH);
	if (LIKELY(frames <= room))
		return true;
	if (path->link->dev)
		push(net, path->link);
	return frames <= net_send_room(net, path);
}

static int loop_output(struct net *net, struct tow_buf *buf)
{
	if (net->loop_count == NET_LOOP_FRAMES)
		return net_refuse_output(net, buf, TOW_DROP_DEV_FULL,
					 TOW_ENOBUFS);
	buf->next = NULL;
	*net->loop_last = buf;
	net->loop_last = &buf->next;
	net->loop_count++;
	return 0;
}

struct tow_buf *net_loop_take(struct net *net)
{
	struct tow_buf *buf = net->loop_first;

	if (!buf)
		return NULL;
	net->loop_first = buf->next;
	if (!net->loop_first)
		net->loop_last = &net->loop_first;
	net->loop_count--;
	buf->next = NULL;
	return buf;
}

/* Queue a frame that is complete, or an IP packet where there is no link. */
int link_output(struct net *net, struct net_link *link, struct tow_buf *buf)
{
	if (!link->dev)
		return loop_output(net, buf);
	if (UNLIKELY(link->gone))
		return net_refuse_output(net, buf, TOW_DROP_DEV_GONE,
					 TOW_ENETDOWN);
	if (UNLIKELY(link->tx_count == NET_TX_BATCH))
		return net_refuse_output(net, buf, TOW_DROP_DEV_FULL,
					 TOW_ENOBUFS);
	link->tx[link->tx_count++] = buf;
	if (link->tx_count == NET_TX_BATCH)
		push(net, link);
	return 0;
}

int link_output_to(struct net *net, struct net_link *link,
		   const uint8_t mac[ETH_MAC_BYTES], uint16_t type,
		   struct tow_buf *buf)
{
	uint8_t *eth = buf_push(buf, ETH_BYTES);

	if (!eth)
		return net_refuse_output(net, buf, TOW_DROP_NO_BUFFERS,
					 TOW_ENOBUFS);
	eth_build(eth, mac, link->dev->mac, type);
	return link_output(net, link, buf);
}

int net_link_add(struct net *net, struct tow_dev *dev)
{
	struct net_link *link;

	if (net->link_count == net->link_max)
		return TOW_ENOBUFS;
	link = &net->links[net->link_count];
	memset(link, 0, sizeof(*link));
	link->dev = dev;
	link->number = (uint16_t)net->link_count;
	link->mtu = link->mtu6 = MIN(dev->mtu, 65535);
	link->hop_limit = net->ttl;
	dev->pool = &net->rx_pool;
	dev->ledger = &net->stats.ledger;
	dev->now_us = net->now_us;
	net->link_count++;
	net->generation++;
	group_queriers_init(net, link);
	addr_add_link_local(net, link);
	return link->number;
}

/*
 * A frame arrives.
 */

/* Ours, or for a group; a device may well hear the others' frames too. */
static bool is_for_us(const struct net_link *link, const struct wire_eth *eth)
{
	return eth_is_unicast(eth->src) &&
	       (eth_is_group(eth->dst) || eth_equal(eth->dst, link->dev->mac));
}

static enum net_verdict receive_ethernet(struct net *net,
					 struct net_frame *frame,
					 struct net_packet *packet,
					 struct net_error *error)
{
	const struct wire_eth *eth;

	eth = (const void *)buf_pull(frame->buf, ETH_BYTES);
	if (!eth)
		return net_refuse(net, frame->buf, TOW_DROP_LINK_SHORT);
	if (!is_for_us(frame->link, eth))
		return net_refuse(net, frame->buf, TOW_DROP_LINK_OTHER);
	frame->group = eth_is_group(eth->dst);
	buf_trim_front(frame->buf, ETH_BYTES);

	switch (wire_get16(eth->type)) {
	case ETH_IP4:
		return ip4_input(net, frame, packet, error);
	case ETH_IP6:
		return ip6_input(net, frame, packet, error);
	case ETH_ARP:
		return arp_input(net, frame);
	default:
		return net_refuse(net, frame->buf, TOW_DROP_LINK_TYPE);
	}
}

/* Without a link header, the version tells what it is. */
static enum net_verdict receive_bare(struct net *net, struct net_frame *frame,
				     struct net_packet *packet,
				     struct net_error *error)
{
	const uint8_t *first = buf_pull(frame->buf, 1);

	if (!first)
		return net_refuse(net, frame->buf, TOW_DROP_LINK_SHORT);
	switch (*first >> 4) {
	case 4:
		return ip4_input(net, frame, packet, error);
	case 6:
		return ip6_input(net, frame, packet, error);
	default:
		return net_refuse(net, frame->buf, TOW_DROP_LINK_TYPE);
	}
}

enum net_verdict net_receive(struct net *net, struct net_link *link,
			     struct tow_buf *buf, struct net_packet *packet,
			     struct net_error *error)
{
	struct net_frame frame = { .link = link, .buf = buf };

	buf->link = link->number;
	if (link->dev) {
		net->stats.counters[TOW_COUNTER_RX_FRAMES]++;
		net->stats.counters[TOW_COUNTER_RX_BYTES] += buf->bytes;
	}
	if (UNLIKELY(buf->flags & TOW_BUF_TRUNCATED))
		return net_refuse(net, buf, TOW_DROP_LINK_TRUNCATED);
	if (net_has_ethernet(link))
		return receive_ethernet(net, &frame, packet, error);
	return receive_bare(net, &frame, packet, error);
}
