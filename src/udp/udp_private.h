/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef UDP_PRIVATE_H
#define UDP_PRIVATE_H

/*
 * UDP inside. Each file has one object:
 *
 *	udp_host.c    memory and start, the cache of paths
 *	udp_table.c   which socket a datagram is for; ports
 *	udp_api.c     the life of a socket: open, connect, close
 *	udp_option.c  what a socket was told by tow_udp_set()
 *	udp_send.c    datagrams from the application's spans
 *	udp_output.c  the queue to the network layer, and the end of loans
 *	udp_input.c   datagrams from the network layer
 *	udp_group.c   datagrams to groups
 *	udp_error.c   ICMP errors from there
 *	udp_recv.c    the receive queue: recv, borrow, return
 *	udp_revoke.c  moving what was lent to its owner's refuge
 *	udp_post.c    posted buffers and the records of their slots
 *	udp_land.c    from a received buffer into slots
 *	udp_place.c   the hint to the device
 *	udp_pass.c    received datagrams that go out again
 *	udp_event.c   what happened
 */
#include <tow/udp.h>
#include "base/list.h"
#include "buf/copy.h"
#include "net/net.h"
#include "udp/udp_host.h"
#include "wire/wire_ip6.h"
#include "wire/wire_udp.h"

#define UDP_PATHS 64 /* remembered, by flow; a power of two */

enum udp_pending {
	UDP_READABLE = 1 << 0,
	UDP_WRITABLE = 1 << 1,
	UDP_ERROR = 1 << 2,
	UDP_REVOKE = 1 << 3,
};

/* What a message needs besides a buffer. */
enum udp_want {
	UDP_WANTS_CHUNKS = 1 << 0,
	UDP_WANTS_LOAN = 1 << 1,
};

/*
 * What tow_udp_lend() took, or a copy that is stamped, until the event was
 * taken; or what tow_udp_pass() took, until no device refers to it.
 */
struct udp_loan {
	struct udp_loan *next; /* free, or done */
	struct tow_udp *socket;
	const struct net_link *link; /* where it went */
	uint64_t token;
	uint32_t frames; /* that still refer to it */
	int status;	 /* TOW_E*, when one of them failed */
	uint64_t
		sent_us; /* when the last of them went to the device; 0: none */
	bool stamp;	 /* the program's memory was copied */

	struct tow_buf *passed; /* received: the payload is there; or NULL */
	struct tow_udp *from;	/* who received it, and pays until the end */
};

struct udp_queue {
	struct tow_buf *first, *last;
};

/* Memory of the application, cut into slots; until its event was taken. */
struct udp_post {
	uint8_t *memory;
	uint64_t start; /* position of the first slot, see struct udp_landing */
	uint64_t bytes; /* of all slots */
	uint64_t filled; /* of those that have a datagram */
	uint64_t end;	 /* of the last of these datagrams */
	uint64_t token, placed_bytes;
	uint32_t slot_bytes, header_bytes;
	uint32_t copied_why;
	int status; /* when it is complete */
};

/* A slot that was filled, until the program took it. */
struct udp_record {
	struct udp_record *next;
	struct tow_udp_slot slot;
};

/*
 * What the device was told. It is at @next, as far as we know: what it wrote
 * and we did not look at yet lies from there on, never before.
 */
struct udp_hint {
	struct net_link *link; /* that was told; NULL: none */
	uint64_t token;
	uint64_t next, end; /* positions */
	bool rests;	    /* the device waits for a word from us */
	struct hint_trial trial;
	uint8_t state;	     /* enum tow_placement: now */
	uint32_t ports_seen; /* host's ports_changed when last looked at */
	bool shared;	     /* somebody else has the port, too */
};

/*
 * Posts of a socket: a ring. Slots of all posts ever made have one position,
 * in bytes, so that before and behind can be told across posts.
 *
 *	posts    done, event owed | filled in part | empty ...
 *	         first             active                       end
 */
struct udp_landing {
	struct udp_post posts[TOW_POSTS_MAX];
	uint32_t first, active, end; /* counted on; modulo TOW_POSTS_MAX */
	uint64_t position;	     /* where the next post begins */
	uint64_t dirty; /* up to here a device wrote, right or wrong */
	struct udp_record *records, **records_tail;
	uint32_t record_count;
	struct udp_queue strays; /* not placed, while a device may write */
	struct udp_hint hint;
};

/* An ICMP error, until the program took it. */
struct udp_fault {
	struct udp_fault *next;
	struct tow_udp_error error;
};

/* What tow_udp_set() said. */
struct udp_options {
	uint8_t ttl, tos, group_ttl;
	bool broadcast, unsummed_send, unsummed_recv, errors, trains;
	bool group_loop;
	uint8_t dont_fragment;
	uint16_t group_zone; /* number of the interface, and one; 0: none */
};

/* Of a received datagram's header; it has a sum or not. */
struct udp_ports {
	const struct net_group *group; /* that somebody listens to, or NULL */
	uint16_t src, dst;
	bool unsummed;
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
	bool shared;	     /* opened by tow_udp_open_shared() */
	uint64_t share_seed; /* its place among those that share */
	struct udp_options options;
	uint8_t wants;	 /* enum udp_want: by the last call */
	uint8_t pending; /* enum udp_pending */

	int error;	  /* an ICMP error that was not told yet, for a call */
	int event_status; /* and for the event */
	struct udp_fault *faults, **faults_tail;
	uint32_t fault_count;

	struct udp_queue tx;
	uint32_t tx_cost; /* queued here, or lent and not returned */
	uint32_t loans;	  /* not done yet */
	struct udp_loan *done, **done_tail;

	struct udp_queue unread; /* the first may be read in part (GRO) */
	struct udp_queue lent;	 /* read to their end, and borrowed from */
	uint32_t rx_cost;	 /* of both queues, and of what was passed */
	uint32_t rx_bufs;	 /* so many they are */
	uint32_t borrowed;	 /* datagrams */
	uint32_t passed;	 /* loans of others to which it gave buffers */
	struct borrower borrower;

	struct udp_landing landing;
	struct list landing_node; /* to be looked at by udp_place_all() */

	struct tow_ledger ledger;
};

/* Where a queued datagram goes; in buf->notes. The source is decided. */
struct udp_way {
	struct tow_addr src, dst;
	uint16_t src_port, dst_port;
	uint16_t zone;
	uint8_t ttl, tos; /* ttl 0: the stack's */
	bool stays;	  /* sent to a group with TTL 0: for ourselves only */
	bool whole;	  /* not to be fragmented */
	bool searched;	  /* nor to be bound by what ICMP said of its path */
};

/* Where a received one came from; in buf->notes. */
struct udp_arrival {
	struct tow_addr src, dst;
	uint32_t offset; /* of the first unread byte */
	uint16_t src_port;
	uint8_t ttl, tos;
	uint16_t unread;   /* datagrams: more than one, if the device merged */
	uint16_t borrowed; /* datagrams */
	uint32_t lent_at : 30; /* first of those: UDP_TICK_US, it wraps */
	uint32_t mixed : 1;    /* others were received after the first of those
				*/
	uint32_t summed : 1;   /* the checksum was verified in software */
};

/* Payload on its way out that lies in a received buffer. */
struct udp_received {
	struct tow_buf *buf;
	struct tow_udp *from;
	bool must_copy; /* it lies in the owner's refuge */
	bool sum_known;
	uint32_t sum; /* of the payload */
};

#define UDP_TICK_US    1024
#define UDP_TICKS_MASK 0x3fffffffu /* of lent_at */

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

/* Where its source is, if that is link-local: as in struct net_packet. */
static inline uint16_t udp_zone_of(struct tow_buf *buf)
{
	return ip6_is_link_local(&udp_arrival_of(buf)->src)
		       ? (uint16_t)(buf->link + 1)
		       : 0;
}

/* How many datagrams the buffer holds, the header taken off. */
static inline uint16_t udp_datagrams(const struct tow_buf *buf)
{
	if (buf->gso != TOW_GSO_UDP || buf->bytes == 0)
		return 1;
	return (uint16_t)((buf->bytes + buf->gso_bytes - 1u) / buf->gso_bytes);
}

/* It lies in plain memory, and is not on loan as far as budgets go. */
static inline bool udp_is_moved(const struct tow_udp *s,
				const struct tow_buf *buf)
{
	return UNLIKELY(s->borrower.moved > 0) &&
	       buf->pool == borrower_refuge(&s->borrower);
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
	struct udp_fault *fault_free;
	struct udp_record *record_free;
	uint32_t records_left;
	uint32_t generation;	/* of the last hint */
	uint32_t ports_changed; /* when sockets come and go */
	uint32_t send_max;	/* cfg->send_bytes: true cost of one socket */
	uint32_t recv_max; /* cfg->recv_bytes_max: the same, no auto-tuning */
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

/* Length of the next datagram in a received buffer that has one. */
static inline uint32_t udp_next_bytes(struct tow_buf *buf)
{
	uint32_t left = buf->bytes - udp_arrival_of(buf)->offset;

	if (buf->gso == TOW_GSO_UDP)
		return MIN(left, buf->gso_bytes);
	return left;
}

static inline bool udp_has_posts(const struct tow_udp *s)
{
	return s->landing.active != s->landing.end;
}

static inline struct udp_post *udp_post_at(struct tow_udp *s, uint32_t i)
{
	return &s->landing.posts[i % TOW_POSTS_MAX];
}

/* Where the next datagram goes. */
static inline uint64_t udp_cursor(struct tow_udp *s)
{
	const struct udp_post *post = udp_post_at(s, s->landing.active);

	return udp_has_posts(s) ? post->start + post->filled
				: s->landing.position;
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
bool udp_same_endpoint(const struct tow_endpoint *a,
		       const struct tow_endpoint *b);
struct list *udp_bound_bucket(struct udp_host *udp,
			      const struct tow_endpoint *local);
struct tow_udp *udp_find_bound(struct udp_host *udp,
			       const struct tow_endpoint *local);
struct tow_udp *udp_find_connected(struct udp_host *udp,
				   const struct tow_endpoint *local,
				   const struct tow_endpoint *remote);
struct tow_udp *udp_find(struct udp_host *udp, const struct tow_endpoint *local,
			 const struct tow_endpoint *remote);
void udp_table_bind(struct tow_udp *s);
void udp_table_unbind(struct tow_udp *s);
bool udp_port_is_shared(const struct tow_udp *s);
void udp_table_connect(struct tow_udp *s);
void udp_table_disconnect(struct tow_udp *s);
uint16_t udp_choose_port(struct udp_host *udp, const struct tow_addr *local);

/* --- udp_api.c */
void udp_free_if_done(struct tow_udp *s);

/* --- udp_group.c */
void udp_group_input(struct udp_host *udp, struct net_packet *packet,
		     const struct udp_ports *ports);
void udp_group_loop(struct tow_udp *s, const struct net_path *path,
		    const struct tow_buf *buf);

/* --- udp_error.c */
void udp_faults_drop(struct tow_udp *s);

/* --- udp_send.c, udp_output.c */
bool udp_has_room(const struct tow_udp *s);
bool udp_fits_path(const struct net *net, const struct net_path *path,
		   uint32_t datagram_bytes);
void udp_queue(struct tow_udp *s, struct tow_buf *buf);
void udp_loan_done(struct udp_loan *loan);

int udp_send_received(struct tow_udp *s, const struct tow_udp_message *m,
		      const struct udp_received *received);
void udp_wait_for_room(struct tow_udp *s);

/* --- udp_recv.c */
int udp_spans(const struct tow_buf *buf, uint32_t offset, uint32_t bytes,
	      struct tow_span *out, int max);
struct tow_buf *udp_oldest_borrowed(const struct tow_udp *s);
void udp_let_go(struct tow_udp *s, struct tow_buf *buf, unsigned datagrams);
void udp_drop_received(struct tow_udp *s);
void udp_charge(struct tow_udp *s, const struct tow_buf *buf);
void udp_unref(struct tow_udp *s, struct tow_buf *buf);
void udp_give(struct tow_udp *s, struct tow_buf *buf);
void udp_uncount_lent(struct tow_udp *s, uint64_t bytes);

/* --- udp_revoke.c */
extern const struct borrower_ops udp_borrower_ops;
bool udp_move_first(struct tow_udp *s);

/* --- udp_input.c */
bool udp_may_be_unsummed(const struct tow_udp *s,
			 const struct net_packet *packet);
void udp_deliver(struct tow_udp *s, const struct net_packet *packet,
		 uint16_t src_port);
void udp_enqueue(struct tow_udp *s, struct tow_buf *buf);

/* --- udp_post.c */
struct udp_record *udp_record_take(struct tow_udp *s);
void udp_record_append(struct tow_udp *s, struct udp_record *record);
void udp_post_complete(struct tow_udp *s, int status);
void udp_posts_close(struct tow_udp *s);

/* --- udp_land.c */
void udp_land(struct tow_udp *s, struct tow_buf *buf);
void udp_land_early(struct tow_udp *s);
void udp_land_strays(struct tow_udp *s);

/* --- udp_place.c */
void udp_place(struct tow_udp *s);
void udp_place_later(struct tow_udp *s);
void udp_place_withdraw(struct tow_udp *s);
bool udp_place_check(struct tow_udp *s, struct tow_buf *buf);
/* --- udp_pass.c */
void udp_pass_done(struct udp_loan *loan);

/* --- udp_event.c */
void udp_notify(struct tow_udp *s, enum udp_pending what);
void udp_notify_end(struct tow_udp *s);

#endif
