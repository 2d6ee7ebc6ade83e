/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TCP_HOST_H
#define TCP_HOST_H

/*
 * What the stack sees of TCP: tables made once at open, an input, an output,
 * timers, and events to collect.
 */
#include <tow/event.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include "net/net.h"
#include "wire/wire_tcp.h"

#define TCP_FAST_PEERS 64 /* destinations whose cookie is kept */

struct auth;
struct auth_key;
struct loan;
union ledger_record;
struct post;
struct posts;
struct sent;

/* Of Fast Open cookies. */
struct fast_keys {
	struct sip_key keys[2]; /* this one, and the one before */
	uint64_t us;		/* since when */
	bool given;		/* by the program: it does not age */
};

struct tcp_host {
	struct net *net;
	struct tow_config cfg;
	struct sip_key table_key, isn_key, timestamp_key;
	struct cookies {
		struct sip_key keys[2]; /* of this period, and the last */
		uint64_t period;
	} cookies;
	struct fast_open {
		struct fast_keys keys;
		uint8_t failures; /* of SYNs with data, or after, in a row */
		uint8_t pauses;	  /* of all destinations, in a row */
		uint64_t paused_until_us;
		struct fast_peer {
			struct tow_addr addr;
			uint16_t zone;
			uint16_t mss;	      /* as its last SYN-ACK said */
			uint8_t losses;	      /* that it paused for, in a row */
			uint8_t cookie_bytes; /* 0: none */
			uint8_t cookie[TCP_COOKIE_BYTES_MAX];
			bool is_254;	   /* the cookie came by that option */
			uint8_t no_cookie; /* enum: what was not answered */
			uint64_t used_us;  /* 0: the entry is free */
			uint64_t paused_until_us;
		} peers[TCP_FAST_PEERS];
	} fast_open;

	/*
	 * Objects come from arrays; the free ones are chained, those never
	 * used yet lie behind *_used, so that opening touches no memory.
	 */
	struct tow_tcp *connections, *connection_free;
	uint32_t connections_used, connections_live;
	struct tow_listener *listeners;
	uint32_t listeners_made;
	struct loan *loans, *loan_free;
	uint32_t loans_used, loans_live;
	struct sent *sents, *sent_free;
	uint32_t sents_used, sents_live;
	struct rate_mark *marks; /* one for each of sents; NULL: none paced */
	struct post *posts, *post_free;
	uint32_t posts_used, posts_live;
	struct posts *post_queues; /* as many as posts */
	uint32_t post_queues_used;
	union ledger_record *ledgers, *ledger_free;
	uint32_t ledgers_used;
	struct paced *paced, *paced_free;
	uint32_t paced_used;
	struct auth_key *auth_keys, *auth_key_free;
	struct auth *auths, *auth_free; /* as many */
	uint32_t auth_keys_used, auths_used;
	struct ecn_bytes *ecn_bytes, *ecn_bytes_free;
	uint32_t ecn_bytes_used;
	struct list idle_queues; /* empty: nobody's, then longest so first */

	struct tow_tcp **buckets; /* chains by table hash of both endpoints */
	uint32_t bucket_mask;

	struct list ready;	     /* connections with events */
	struct list listening_ready; /* listeners with events */
	struct list output;	     /* connections with something to send */
	struct list orphans;	     /* closed by the program; see orphan.c */
	uint32_t orphan_count;
	struct list leaving; /* TIME-WAIT, orphaned FIN-WAIT-2; oldest first */
	struct list starved; /* told EAGAIN for want of the stack's memory */
	bool events_by_call; /* a call, not the poll, made one: to be taken */
	struct list placing; /* connections whose hint has to be renewed */
};

size_t tcp_need(const struct tow_config *cfg);
void tcp_init(struct tcp_host *host, struct net *net,
	      const struct tow_config *cfg, void *memory);

/* A packet with protocol 6. Takes packet->buf. */
void tcp_input(struct tcp_host *host, struct net_packet *packet);
void tcp_error(struct tcp_host *host, const struct net_error *error);

/* Send what is owed and allowed. Returns how many segments. */
int tcp_output_all(struct tcp_host *host);

/* A timer with TIMER_TCP is due. */
void tcp_timer(struct tcp_host *host, struct timer *timer);

/* A timer with TIMER_PACING is due. */
void tcp_pacing_timer(struct timer *timer);

/* A sent buffer of ours (BUF_OWNER_TCP) came back from its device. */
void tcp_sent(struct tcp_host *host, struct tow_buf *buf);

/* A device is gone: connections through it end with TOW_ENETDOWN. */
void tcp_link_gone(struct tcp_host *host, const struct net_link *link);

/* Renew the hints for placement that are out of date. */
void tcp_place_all(struct tcp_host *host);

/* A received frame left bytes in memory that was posted to TCP: see place.c. */
bool tcp_placed(struct tcp_host *host, const struct tow_buf *buf,
		struct net_flow *flow);

/* The stack is about to be closed: wipe the keys that are left. */
void auth_close(struct tcp_host *host);

/* An owner is about to be closed: listeners forget it. */
void tcp_owner_gone(struct tcp_host *host, const struct tow_owner *owner);

int tcp_events(struct tcp_host *host, struct tow_event *out, int max);
bool tcp_idle(const struct tcp_host *host);

/* Something will go on as soon as the stack is polled again. */
bool tcp_waits(const struct tcp_host *host);

/* The stack inside of which this lives; src/stack defines it. */
struct tcp_host *stack_tcp(struct tow_stack *stack);

#endif
