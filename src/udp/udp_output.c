/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queues to the network layer, and the end of loans.
 *
 *	send, lend --> s->tx --- udp_output() --> net_send() ... device
 *	                                                           |
 *	event LOAN <-- s->done <----------------- udp_sent() <-----+
 *
 * Sockets take turns of a few frames, so that none of them keeps the device
 * to itself. A socket whose device is full keeps its place for the next poll; it
 * is full when not all fragments of the next datagram find room.
 */
#include "udp/udp_private.h"

#define TURN_FRAMES   32  /* of one socket, */
#define OUTPUT_FRAMES 512 /* and of all, in one poll */
#define RESERVE_SHARE 8	  /* of the transmit buffers; left to others */

/* Is there reason to believe that a message like the last would be taken? */
bool udp_has_room(const struct tow_udp *s)
{
	const struct tow_pool *pool = &s->host->net->tx_pool;
	const struct udp_private *private = s->host->private;

	if (s->wants & UDP_WANTS_CHUNKS &&
	    pool->chunks_left <= pool->chunks_total / RESERVE_SHARE)
		return false;
	if (s->wants & UDP_WANTS_LOAN && !private->loan_free)
		return false;
	return s->tx_cost < private->send_max &&
	       pool->bufs_left > pool->bufs_total / RESERVE_SHARE;
}

void udp_queue(struct tow_udp *s, struct tow_buf *buf)
{
	udp_queue_append(&s->tx, buf);
	if (list_empty(&s->sending_node))
		list_append(&s->host->sending, &s->sending_node);
}

/* Loans end in the order in which their last frames come back. */
void udp_loan_done(struct udp_loan *loan)
{
	struct tow_udp *s = loan->socket;

	if (loan->link->gone)
		loan->status = TOW_ENETDOWN;
	loan->next = NULL;
	*s->done_tail = loan;
	s->done_tail = &loan->next;
	s->loans--;
	udp_notify_end(s);
}

/* A frame of it never reached a device: then the message did not leave. */
static void fail(struct udp_loan *loan, int error)
{
	loan->status = error;
	loan->sent_us = 0;
}

/*
 * What net_send() said of a frame did not mean much: it may have waited for its
 * neighbour in vain. buf->error knows, whatever became of it.
 */
void udp_sent(struct udp_host *udp, struct tow_buf *buf)
{
	struct udp_loan *loan = buf->lender;

	(void)udp;
	loan->socket->tx_cost -= buf->loan_bytes;
	if (UNLIKELY(buf->error))
		fail(loan, buf->error);
	ASSERT(loan->frames > 0);
	if (--loan->frames > 0)
		return;
	if (loan->passed)
		udp_pass_done(loan);
	else
		udp_loan_done(loan);
}

/* The path may lead to another device now, which cannot do what is asked. */
static bool fits_device(const struct net_path *path, const struct tow_buf *buf)
{
	uint32_t caps = net_path_caps(path);

	if (buf->gso != TOW_GSO_NONE && !(caps & TOW_DEV_USO))
		return false;
	return !(buf->flags & TOW_BUF_CSUM_PARTIAL) || caps & TOW_DEV_TX_CSUM;
}

/* Does it go without fragments? Of the length that the UDP header says. */
bool udp_fits_path(const struct net *net, const struct net_path *path,
		   uint32_t datagram_bytes)
{
	uint32_t ip_bytes = tow_addr_is_v4(&path->dst) ? 20 : 40;

	return ip_bytes + datagram_bytes <= net_path_mtu(net, path);
}

/* The path may have become smaller since. */
static bool fits_path(const struct net *net, const struct net_path *path,
		      struct tow_buf *buf)
{
	uint32_t bytes = buf->bytes;

	if (buf->gso != TOW_GSO_NONE)
		bytes = buf->gso_bytes + UDP_BYTES;
	return LIKELY(!udp_way_of(buf)->whole) ||
	       udp_fits_path(net, path, bytes);
}

/* Copied payload counts until here, lent payload until it comes back. */
static void send_one(struct tow_udp *s, struct net_path *path)
{
	struct tow_buf *buf = udp_queue_take(&s->tx);
	struct udp_loan *loan = buf->lender;

	if (!loan)
		s->tx_cost -= buf->loan_bytes;
	path->ttl = udp_way_of(buf)->ttl;
	path->tos = udp_way_of(buf)->tos;
	path->whole = udp_way_of(buf)->whole;
	net_count(s->host->net, TOW_COUNTER_UDP_OUT);
	if (UNLIKELY(path->to_group))
		udp_group_loop(s, path, buf);
	if (UNLIKELY(udp_way_of(buf)->stays)) {
		tow_buf_give(buf);
		return;
	}
	if (loan && !loan->status)
		loan->sent_us = s->host->net->now_us; /* unless udp_sent() */
	(void)net_send(s->host->net, path, buf, NET_UDP);
}

static void drop_one(struct tow_udp *s, enum tow_drop why, int error)
{
	struct tow_buf *buf = udp_queue_take(&s->tx);
	struct udp_loan *loan = buf->lender;

	if (loan)
		fail(loan, error);
	else
		s->tx_cost -= buf->loan_bytes;
	net_drop(s->host->net, why);
	tow_buf_give(buf);
}

/* One frame of a socket on its way; false when its device takes no more. */
static bool output_one(struct tow_udp *s)
{
	struct tow_buf *buf = s->tx.first;
	struct net_path *path;
	int error = udp_path_find(s->host, udp_way_of(buf), &path);

	if (error) {
		drop_one(s, TOW_DROP_NO_ROUTE, error);
		return true;
	}
	if (!fits_device(path, buf)) {
		drop_one(s, TOW_DROP_DEV_GONE, TOW_ENETDOWN);
		return true;
	}
	if (!fits_path(s->host->net, path, buf)) {
		drop_one(s, TOW_DROP_IP_MTU, TOW_EMSGSIZE);
		return true;
	}
	if (!net_has_room(s->host->net, path, buf))
		return false;
	send_one(s, path);
	return true;
}

/* How many frames went in this turn. */
static int take_turn(struct tow_udp *s)
{
	int n = 0;

	while (s->tx.first && n < TURN_FRAMES && output_one(s))
		n++;
	if (!s->tx.first) {
		list_remove(&s->sending_node);
		udp_free_if_done(s);
	}
	return n;
}

/* EAGAIN was said; half of the limit being free is worth an event. */
static bool may_wake(const struct tow_udp *s)
{
	return udp_has_room(s) && s->tx_cost <= s->host->private->send_max / 2;
}

static void wake_writers(struct udp_host *udp)
{
	struct tow_udp *s;

	LIST_EACH (node, &udp->blocked) {
		s = CONTAINER(node, struct tow_udp, blocked_node);
		if (!may_wake(s))
			continue;
		list_remove(&s->blocked_node);
		udp_notify(s, UDP_WRITABLE);
	}
}

/* Memory came back after udp_output(), or outside of a poll. */
bool udp_waits(const struct udp_host *udp)
{
	LIST_EACH (node, &udp->blocked) {
		if (may_wake(CONTAINER(node, struct tow_udp, blocked_node)))
			return true;
	}
	return false;
}

int udp_output(struct udp_host *udp)
{
	int total = 0, round;

	do {
		round = 0;
		LIST_EACH (node, &udp->sending)
			round += take_turn(
				CONTAINER(node, struct tow_udp, sending_node));
		total += round;
	} while (round > 0 && total < OUTPUT_FRAMES);
	if (!list_empty(&udp->blocked))
		wake_writers(udp);
	return total;
}
