/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams on the way up: RFC 768, RFC 8200 8.1, RFC 1122 4.1.
 *
 * The checksum is verified before anything else is believed, and before
 * somebody is told that the port is closed.
 */
#include "base/csum.h"
#include "udp/udp_private.h"

#define SMALL_SHARE 8 /* of what a buffer costs: less payload is little */
#define MUCH_SHARE  8 /* of what a socket may have: more is much */
#define FEW_SHARE   4 /* of the receive memory: not for who has much of it, */
#define LAST_SHARE  8 /* and not for UDP at all */

enum { UDP_PASS = -1 }; /* else an enum tow_drop */

static void drop(struct udp_host *udp, struct net_packet *packet,
		 enum tow_drop why)
{
	net_drop(udp->net, why);
	tow_buf_give(packet->buf);
}

/* RFC 768: the length counts from the header on; what is behind is padding. */
static int check_length(const struct wire_udp *header, struct tow_buf *buf)
{
	uint32_t length = wire_get16(header->length);

	if (length < UDP_BYTES || length > buf->bytes)
		return TOW_DROP_UDP_LENGTH;
	buf_trim_back(buf, buf->bytes - length);
	return UDP_PASS;
}

/* RFC 768: zero means that the sender made none. */
static bool is_unsummed(const struct wire_udp *header)
{
	return wire_get_sum(header->checksum) == 0;
}

/*
 * RFC 8200 8.1: not in IPv6, where nothing else protects the addresses, but for
 * a socket that wants them. Who has no socket for it must not answer, either.
 */
bool udp_may_be_unsummed(const struct tow_udp *s,
			 const struct net_packet *packet)
{
	return tow_addr_is_v4(&packet->src) || (s && s->options.unsummed_recv);
}

static int check_sum(const struct wire_udp *header,
		     const struct net_packet *packet, uint64_t *touched)
{
	uint32_t sum;

	if (packet->csum_ok || is_unsummed(header))
		return UDP_PASS;
	sum = csum_pseudo(&packet->src, &packet->dst, NET_UDP,
			  packet->buf->bytes);
	sum = csum_add(sum, buf_csum(packet->buf, 0, touched));
	return csum_finish(sum) == 0 ? UDP_PASS : TOW_DROP_UDP_CHECKSUM;
}

/* A port of 0 is no port to answer to, and none to be bound to. */
static int check(const struct wire_udp *header, struct net_packet *packet,
		 uint64_t *touched)
{
	int why;

	if (!header)
		return TOW_DROP_UDP_LENGTH;
	why = check_length(header, packet->buf);
	if (why == UDP_PASS)
		why = check_sum(header, packet, touched);
	if (why == UDP_PASS && wire_get16(header->dst_port) == 0)
		why = TOW_DROP_UDP_PORT;
	return why;
}

static struct tow_udp *find_socket(struct udp_host *udp,
				   const struct net_packet *packet,
				   const struct wire_udp *header)
{
	struct tow_endpoint local = {
		.addr = packet->dst,
		.port = wire_get16(header->dst_port),
		.zone = packet->zone,
	};
	struct tow_endpoint remote = {
		.addr = packet->src,
		.port = wire_get16(header->src_port),
		.zone = packet->zone,
	};

	return udp_find(udp, &local, &remote);
}

/* What is left of a kind of memory to who has some of it. */
static uint64_t left_to_all(uint32_t left, uint32_t total)
{
	uint32_t reserve = total / FEW_SHARE;

	return left > reserve ? left - reserve : 0;
}

/*
 * True cost against the socket's limit, and against what is left to all: a
 * socket that nobody reads leaves as much to the others as it has.
 */
static uint64_t cost_max(const struct udp_host *udp)
{
	const struct tow_pool *pool = &udp->net->rx_pool;
	uint64_t left = left_to_all(pool->chunks_left, pool->chunks_total);

	return MIN(left << pool->chunk_shift, udp->private->recv_max);
}

/* A chunk for each of many small datagrams is too much. */
static void make_small(struct tow_udp *s, struct tow_buf *buf)
{
	if (buf->bytes < buf_cost(buf) / SMALL_SHARE &&
	    s->rx_cost > cost_max(s->host) / MUCH_SHARE)
		(void)buf_compact(buf, udp_ledgers(s), TOW_COPY_RX_COMPACT);
}

/* One datagram always fits, up to the last of the memory. */
static bool has_room(const struct udp_host *udp, const struct tow_udp *s,
		     uint32_t cost)
{
	const struct tow_pool *pool = &udp->net->rx_pool;

	if (pool->bufs_left < pool->bufs_total / LAST_SHARE ||
	    pool->chunks_left < pool->chunks_total / LAST_SHARE)
		return false;
	return s->rx_cost == 0 ||
	       (s->rx_bufs < left_to_all(pool->bufs_left, pool->bufs_total) &&
		(uint64_t)s->rx_cost + cost <= cost_max(udp));
}

/* To the queue that recv and borrow read; what it costs is limited. */
void udp_enqueue(struct tow_udp *s, struct tow_buf *buf)
{
	make_small(s, buf);
	if (!has_room(s->host, s, buf_cost(buf))) {
		net_drop(s->host->net, TOW_DROP_UDP_FULL);
		tow_buf_give(buf);
		return;
	}
	udp_charge(s, buf);
	s->host->net->stats.counters[TOW_COUNTER_UDP_IN] +=
		udp_arrival_of(buf)->unread;
	udp_queue_append(&s->unread, buf);
	udp_notify(s, UDP_READABLE);
}

/* The header is off. Takes the buffer. */
void udp_deliver(struct tow_udp *s, const struct net_packet *packet,
		 uint16_t src_port)
{
	struct udp_arrival *arrival;
	struct tow_buf *buf = packet->buf;

	if (buf->gso_bytes == 0)
		buf->gso = TOW_GSO_NONE;
	arrival = udp_arrival_of(buf);
	arrival->src = packet->src;
	arrival->dst = packet->dst;
	arrival->src_port = src_port;
	arrival->ttl = packet->ttl;
	arrival->tos = packet->tos;
	arrival->offset = 0;
	arrival->borrowed = 0;
	arrival->summed = packet->touched_bytes > 0;
	arrival->mixed = 0;
	arrival->unread = udp_datagrams(buf);

	if (udp_has_posts(s) || buf->place)
		udp_land(s, buf);
	else
		udp_enqueue(s, buf);
}

static void to_group(struct udp_host *udp, struct net_packet *packet,
		     const struct wire_udp *header)
{
	struct udp_ports ports = {
		.group = net_group_of(udp->net, packet->link->number,
				      &packet->dst),
		.src = wire_get16(header->src_port),
		.dst = wire_get16(header->dst_port),
		.unsummed = is_unsummed(header),
	};

	buf_trim_front(packet->buf, UDP_BYTES);
	udp_group_input(udp, packet, &ports);
}

void udp_input(struct udp_host *udp, struct net_packet *packet)
{
	struct tow_buf *buf = packet->buf;
	const struct wire_udp *header;
	uint64_t touched = 0;
	struct tow_udp *s;
	uint16_t src_port;
	int why;

	header = (const void *)buf_pull(buf, UDP_BYTES);
	why = check(header, packet, &touched);
	udp->net->stats.ledger.rx_touched_bytes += touched;
	packet->touched_bytes = touched;
	if (why != UDP_PASS) {
		drop(udp, packet, (enum tow_drop)why);
		return;
	}
	if (UNLIKELY(packet->group)) {
		to_group(udp, packet, header);
		return;
	}
	s = find_socket(udp, packet, header);
	if (is_unsummed(header) && !udp_may_be_unsummed(s, packet)) {
		drop(udp, packet, TOW_DROP_UDP_CHECKSUM);
		return;
	}
	if (!s) {
		net_unreachable(udp->net, packet, NET_UNREACHABLE_PORT);
		drop(udp, packet, TOW_DROP_UDP_PORT);
		return;
	}
	s->ledger.rx_touched_bytes += touched;
	src_port = wire_get16(header->src_port);
	buf_trim_front(buf, UDP_BYTES);
	udp_deliver(s, packet, src_port);
}
