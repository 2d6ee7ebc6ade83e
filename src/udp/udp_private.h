/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef UDP_PRIVATE_H
#define UDP_PRIVATE_H

/*
 * UDP inside. Each file has one object:
 *
 *	udp_host.c    memory and start, the cache of paths
 *	udp_table.c   which socket a datagram is for; ports
 *	udp_api.c     the life of a socket: open, connect, close
 *	udp_send.c    datagrams from the application's spans
 *	udp_output.c  the queue to the network layer, and the end of loans
 *	udp_input.c   datagrams from the network layer, ICMP errors
 *	udp_recv.c    the receive queue: recv, borrow, return
 *	udp_event.c   what happened
 */
#include <tow/udp.h>
#include "base/list.h"
#include "buf/copy.h"
#include "net/net.h"
#include "udp/udp_host.h"
#include "wire/wire_udp.h"

#define UDP_PATHS 64 /* remembered, by flow; a power of two */

enum udp_pending {
	UDP_READABLE = 1 << 0,
	UDP_WRITABLE = 1 << 1,
	UDP_ERROR = 1 << 2,
};

/* What a message needs besides a buffer. */
enum udp_want {
	UDP_WANTS_CHUNKS = 1 << 0,
	UDP_WANTS_LOAN = 1 << 1,
};

/* What tow_udp_lend() took, until the event was taken. */
struct udp_loan {
	struct udp_loan *next; /* free, or done */
	struct tow_udp *socket;
	const struct net_link *link; /* where it went */
	uint64_t token;
	uint32_t frames; /* that still refer to it */
	int status;	 /* TOW_E*, when one of them failed */
};

struct udp_queue {
	struct tow_buf *first, *last;
};

struct tow_udp {
	struct udp_host *host;
	struct list bound_node;	    /* in the bucket of bound; always */
	struct list connected_node; /* in the bucket of local and remote */
	struct list ready_node, sending_node, blocked_node;
	struct tow_udp *next_free;
	void *user;

	struct tow_endpoint bound;  /* as opened */
	struct tow_endpoint local;  /* the same, until connected */
	struct tow_endpoint remote; /* while connected */
	bool open;		    /* not in the free list */
	bool closed; /* by the application; what was sent must still leave */
	bool connected;
	uint8_t wants;	 /* enum udp_want: by the last call */
	uint8_t pending; /* enum udp_pending */

	int error;	  /* an ICMP error that was not told yet, for a call */
	int event_status; /* and for the event */
	uint32_t mtu;	  /* to the peer, from ICMP; 0: the path's */
	uint64_t mtu_until_us;

	struct udp_queue tx;
	uint32_t tx_cost; /* queued here, or lent and not returned */
	uint32_t loans;	  /* not done yet */
	struct udp_loan *done, **done_tail;

	struct udp_queue unread; /* the first may be read in part (GRO) */
	struct udp_queue lent;	 /* read to their end, and borrowed from */
	uint32_t rx_cost;	 /* of both queues */
	uint32_t borrowed;	 /* datagrams */

	struct tow_ledger ledger;
};

/* Where a queued datagram goes; in buf->notes. The source is decided. */
struct udp_way {
	struct tow_addr src, dst;
	uint16_t src_port, dst_port;
	uint16_t zone;
};

/* Where a received one came from; in buf->notes. */
struct udp_arrival {
	struct tow_addr src, dst;
	uint32_t offset; /* of the first unread byte */
	uint16_t src_port, zone;
	uint16_t unread;   /* datagrams: more than one, if the device merged */
	uint16_t borrowed; /* datagrams */
};

#define UDP_NOTES_BYTES sizeof(((struct tow_buf *)0)->notes)
_Static_assert(sizeof(struct udp_way) <= UDP_NOTES_BYTES, "fits the notes");
_Static_assert(sizeof(struct udp_arrival) <= UDP_NOTES_BYTES, "fits the notes");

static inline struct udp_way *udp_way_of(struct tow_buf *buf)
{
	return (struct udp_way *)buf->notes;
}

static inline struct udp_arrival *udp_arrival_of(struct tow_buf *buf)
{
	return (struct udp_arrival *)buf->notes;
}

struct udp_path {
	struct udp_way way; /* what was asked for */
	struct net_path path;
};

struct udp_private {
	struct sip_key table_key;
	struct list *bound, *connected; /* buckets */
	uint32_t bucket_mask;
	struct tow_udp *free;
	uint32_t connected_count;
	struct udp_loan *loan_free;
	uint32_t loans_out; /* under way, or with an event not taken */
	uint32_t send_max;  /* cfg->send_bytes: true cost of one socket */
	uint32_t recv_max;  /* cfg->recv_bytes_max: the same, no auto-tuning */
	uint32_t lend_bytes_min;
	struct udp_path paths[UDP_PATHS];
};

static inline void udp_queue_append(struct udp_queue *queue,
				    struct tow_buf *buf)
{
	buf->next = NULL;
	if (queue->first)
		queue->last->next = buf;
	else
		queue->first = buf;
	queue->last = buf;
}

static inline struct tow_buf *udp_queue_take(struct udp_queue *queue)
{
	struct tow_buf *buf = queue->first;

	if (buf) {
		queue->first = buf->next;
		buf->next = NULL;
	}
	return buf;
}

static inline struct ledgers udp_ledgers(struct tow_udp *s)
{
	struct ledgers both = { &s->ledger, &s->host->net->stats.ledger };

	return both;
}

/* --- udp_host.c */
int udp_path_find(struct udp_host *udp, const struct udp_way *way,
		  struct net_path **out);

/* --- udp_table.c */
struct tow_udp *udp_find_bound(struct udp_host *udp,
			       const struct tow_endpoint *local);
struct tow_udp *udp_find_connected(struct udp_host *udp,
				   const struct tow_endpoint *local,
				   const struct tow_endpoint *remote);
struct tow_udp *udp_find(struct udp_host *udp, const struct tow_endpoint *local,
			 const struct tow_endpoint *remote);
void udp_table_bind(struct tow_udp *s);
void udp_table_connect(struct tow_udp *s);
void udp_table_disconnect(struct tow_udp *s);
uint16_t udp_choose_port(struct udp_host *udp, const struct tow_addr *local);

/* --- udp_api.c */
void udp_free_if_done(struct tow_udp *s);

/* --- udp_send.c, udp_output.c */
bool udp_has_room(const struct tow_udp *s);
void udp_queue(struct tow_udp *s, struct tow_buf *buf);
void udp_loan_done(struct udp_loan *loan);

/* --- udp_recv.c */
void udp_drop_received(struct tow_udp *s);

/* --- udp_event.c */
void udp_notify(struct tow_udp *s, enum udp_pending what);
void udp_notify_loan(struct tow_udp *s);

#endif
