/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_TCP_H
#define TOW_TCP_H

#include <stdbool.h>
#include <stdint.h>
#include <tow/addr.h>
#include <tow/error.h>
#include <tow/ledger.h>
#include <tow/mark.h>
#include <tow/place.h>
#include <tow/span.h>

/*
 * TCP connections.
 *
 * Sending has three ways in and one queue. tow_tcp_send() copies small data
 * once. tow_tcp_lend() queues memory of the program in place; it must not be
 * changed or unmapped until its token comes back as a TOW_EVENT_LOAN.
 * tow_tcp_pass() queues received bytes, from where they lie. Mixed in one
 * stream they stay in order and complete in order.
 *
 *      program's memory    |AAAAAAAAAAAAAAAAAAAA|     lent, token 7
 *                           ^        ^
 *      on the wire     [hdr]+--- [hdr]+---  …         retransmitted from there
 *                                                     until acknowledged
 *
 * Receiving has three ways out. tow_tcp_recv() copies. tow_tcp_borrow() shows
 * the bytes where the device put them, and tow_tcp_return() gives them back, or
 * tow_tcp_pass() sends them on from there. tow_tcp_post() offers memory that
 * the stream then goes into, by the device itself where it can: see
 * tow/place.h.
 *
 * Whoever shares keys with a peer can have all segments signed: tow/auth.h.
 *
 * Nothing is sent or received by these calls themselves: tow_poll() does it.
 * All calls: only the thread that polls the stack. No system call, no lock, no
 * allocation; the cost is O(1) or as said.
 */
struct tow_stack;
struct tow_tcp;
struct tow_listener;

enum tow_tcp_state {
	TOW_TCP_CLOSED,
	TOW_TCP_SYN_SENT,
	TOW_TCP_SYN_RECEIVED,
	TOW_TCP_ESTABLISHED,
	TOW_TCP_FIN_WAIT_1,
	TOW_TCP_FIN_WAIT_2,
	TOW_TCP_CLOSE_WAIT,
	TOW_TCP_CLOSING,
	TOW_TCP_LAST_ACK,
	TOW_TCP_TIME_WAIT,
};

/* Options of a connection; a listener hands its own to what it accepts. */
enum tow_tcp_option {
	TOW_TCP_NODELAY,     /* 0, 1: 1 turns Nagle's algorithm off */
	TOW_TCP_KEEPALIVE_S, /* idle seconds before the first probe, 0 off */
	TOW_TCP_KEEPALIVE_INTERVAL_S,
	TOW_TCP_KEEPALIVE_PROBES,
	TOW_TCP_USER_TIMEOUT_MS, /* unacknowledged that long is fatal, 0 off */
	TOW_TCP_LINGER_S,    /* -1 off; 0: close() resets (RFC 9293 3.9.1) */
	TOW_TCP_SEND_BYTES,  /* queued before TOW_EAGAIN */
	TOW_TCP_RECV_BYTES,  /* fixes the receive buffer, no auto-tuning */
	TOW_TCP_MSS,	     /* upper bound for both directions, >= 88 */
	TOW_TCP_CONGESTION,  /* enum tow_tcp_congestion */
	TOW_TCP_PACING_RATE, /* bytes a second at most, 0 no limit: sent in
			      * bursts at even distances, as with TOW_TCP_BBR */
	TOW_TCP_LEND_BYTES,  /* true cost on loan at most, 0: see tow/owner.h */
	TOW_TCP_RECV_POSTED, /* 0, 1: 1 offers no window but for what is posted
			      */
	TOW_TCP_ECN,	     /* enum tow_tcp_ecn; before the SYN goes out */
	TOW_TCP_CORK,	     /* 0, 1: 1 holds short segments for 200 ms, as
			      * TOW_TCP_MORE with each call does; 0 sends them */
	TOW_TCP_SYN_COOKIES, /* enum tow_tcp_cookies; of a listener */
	TOW_TCP_MTU_PROBE,   /* RFC 8899: 0 off, 1 after a black hole or an
			      * ICMP error (default), 2 from the beginning */
	TOW_TCP_SYN_RETRIES, /* of a SYN, or SYN-ACK; 0: the stack's, 7 and 5 */
	TOW_TCP_TTL,	     /* or hop limit, of packets sent; 0: the stack's */
	TOW_TCP_TOS,	     /* or traffic class; the lowest two bits are ECN's
			      * and stay 0 */
	TOW_TCP_NOTSENT_LOWAT, /* bytes that may wait to be sent the first time
				* before TOW_EAGAIN; 0: TOW_TCP_SEND_BYTES */
	TOW_TCP_USER_TIMEOUT_TELL, /* 0, 1: 1 tells the peer the user timeout,
				    * and heeds the peer's (RFC 5482) */
	TOW_TCP_FAST_OPEN, /* connection: 1 sends data with the SYN; listener:
			    * takes it from so many at a time; 0 off */
	TOW_TCP_FAST_OPEN_HOW, /* enum tow_tcp_fast_open_flag, or-ed; 0 */
};

enum tow_tcp_congestion {
	TOW_TCP_CUBIC,
	TOW_TCP_NEWRENO,
	TOW_TCP_BBR, /* draft-ietf-ccwg-bbr-06; paced */
};

/* Explicit congestion notification, RFC 3168 and 9768. */
enum tow_tcp_ecn {
	TOW_TCP_ECN_OFF,
	TOW_TCP_ECN_ACCEPT,   /* where the peer asks for it: the default */
	TOW_TCP_ECN_ASK,      /* and ask for it */
	TOW_TCP_ECN_ACCURATE, /* AccECN where the peer does it, else classic */
};

/* SYN cookies, RFC 4987: answering without keeping anything. */
enum tow_tcp_cookies {
	TOW_TCP_COOKIES_NEVER,	/* a full backlog drops the oldest half-open */
	TOW_TCP_COOKIES_NEEDED, /* when the backlog is full: the default */
	TOW_TCP_COOKIES_ALWAYS,
};

/* How TOW_TCP_FAST_OPEN is done, where the default does not fit. */
enum tow_tcp_fast_open_flag {
	/*
	 * Of a connection that was just begun: its SYN waits for the first data
	 * (or tow_tcp_shutdown()), if data may go with it. So a program may
	 * connect in one place and write in another.
	 */
	TOW_TCP_FAST_OPEN_WAIT = 1 << 0,
	/*
	 * Without cookies, on either end. Beware: a listener then takes data
	 * from addresses that nobody proved to have, so who spoofs them makes
	 * the program work, and has the answers sent to others. For networks
	 * of one administration that let no spoofed packet in (RFC 7413 5).
	 */
	TOW_TCP_FAST_OPEN_NO_COOKIE = 1 << 1,
	/*
	 * A connection whose destination did not answer the option asks once
	 * by the experimental one of before RFC 7413 (kind 254). Listeners
	 * answer that one where it comes.
	 */
	TOW_TCP_FAST_OPEN_OLD = 1 << 2,
};

enum tow_tcp_flag {
	TOW_TCP_MORE =
		1 << 0, /* more follows soon: do not send a short segment */
	TOW_TCP_EOR = 1 << 1, /* a record ends: no segment has bytes of two */
	TOW_TCP_URGENT = 1 << 2, /* the last byte is urgent (RFC 9293 3.8.5) */
};

struct tow_tcp_info {
	enum tow_tcp_state state;
	uint32_t mss; /* payload bytes per packet we send */
	uint32_t cwnd_bytes;
	uint32_t ssthresh_bytes;
	uint32_t srtt_us; /* 0 before the first measurement */
	uint32_t rttvar_us;
	uint32_t min_rtt_us; /* the same; of the last five minutes */
	uint32_t rto_us;
	uint32_t send_window_bytes;
	uint32_t recv_window_bytes;
	uint32_t in_flight_bytes;
	uint64_t queued_bytes; /* not yet acknowledged, sent or not */
	uint64_t unread_bytes;
	uint64_t received_bytes;	   /* in order, with those */
	uint64_t acked_bytes;		   /* of what was queued */
	uint64_t unsent_bytes;		   /* queued, and never sent */
	uint64_t retransmitted_bytes;	   /* of payload */
	uint32_t retransmits;		   /* segments */
	uint32_t sacked_bytes, lost_bytes; /* of those in flight */
	uint64_t delivery_rate;		   /* bytes a second, 0: not measured */
	uint64_t pacing_rate;		   /* bytes a second, 0: not paced */
	/* How long data was queued, and held up by whom. */
	uint64_t busy_us;
	uint64_t window_limited_us;		 /* the peer's window */
	uint64_t buffer_limited_us;		 /* TOW_TCP_SEND_BYTES */
	uint32_t last_sent_us, last_received_us; /* data, so long ago; 0: never;
						  * at most UINT32_MAX */
	uint32_t mtu;				 /* IP bytes per packet */
	uint16_t peer_mss;		/* as it said, or the default */
	uint16_t own_mss;		/* as we said */
	uint8_t send_scale, recv_scale; /* RFC 7323 */
	uint8_t backoffs;		/* timeouts in a row */
	uint8_t probes;	 /* unanswered: keepalive, closed window */
	int soft_error;	 /* TOW_E*: what ICMP said last, and changed nothing;
			  * 0: nothing since there was progress */
	bool recovering; /* a loss is being repaired */
	bool sack, timestamps, window_scaling;
	bool ecn;		/* both ends agreed on it */
	bool ecn_accurate;	/* it is AccECN, */
	bool ecn_option;	/* and the peer's counts of bytes are read */
	bool fast_open;		/* data came, or went, with the SYN */
	uint32_t ecn_marks_in;	/* segments that came with CE */
	uint32_t ecn_marks_out; /* that the peer counted; without AccECN, round
				 * trips in which it said ECE */
	/*
	 * Payload by the ECN bits of the packets that it came in, with AccECN
	 * and a record for it (tow_config.accecn); sent, as the peer says of
	 * what it received, if it does: else 0.
	 */
	uint64_t ect0_bytes_in, ect1_bytes_in, ce_bytes_in;
	uint64_t ect0_bytes_out, ect1_bytes_out, ce_bytes_out;
	enum tow_placement placement; /* of what is posted */
};

TOW_BEGIN
/*
 * tow_tcp_listen() - accept connections to a port
 * @local:   any address, or one of the stack's; the port must not be 0
 * @backlog: most connections that wait for tow_tcp_accept(), 1..65535
 *
 * Owns:    the caller, until tow_listener_close().
 * Returns: 0, TOW_EADDRINUSE, TOW_EADDRNOTAVAIL, TOW_EINVAL, TOW_ENOBUFS.
 */
TOW_API int tow_tcp_listen(struct tow_stack *stack,
			   const struct tow_endpoint *local, int backlog,
			   struct tow_listener **out) TOW_MUST_USE;

/* Connections that wait are reset; accepted ones go on. */
TOW_API void tow_listener_close(struct tow_listener *listener);
TOW_API void tow_listener_set_user(struct tow_listener *listener, void *user);
TOW_API int tow_listener_set(struct tow_listener *listener,
			     enum tow_tcp_option option, int64_t value);

/*
 * tow_tcp_accept() - take the next connection that waits
 *
 * Owns:    the caller, until tow_tcp_close() or tow_tcp_abort().
 * Returns: 0, TOW_EAGAIN. The connection may be closed or reset by the peer
 *          already; the next call on it says so, once what came was read. One
 *          that was reset and has nothing to read never gets here.
 */
TOW_API int tow_tcp_accept(struct tow_listener *listener,
			   struct tow_tcp **out) TOW_MUST_USE;

/*
 * tow_tcp_connect() - open a connection
 * @local: NULL, or an address and port (0: chosen, RFC 6056) to use
 *
 * TOW_EVENT_CONNECTED or TOW_EVENT_CLOSED follows. Data may be queued at once.
 *
 * Owns:    the caller, until tow_tcp_close() or tow_tcp_abort().
 * Returns: 0, TOW_ENETUNREACH, TOW_EADDRINUSE, TOW_EADDRNOTAVAIL,
 *          TOW_EINVAL (not a unicast address, port 0), TOW_ENOBUFS.
 */
TOW_API int tow_tcp_connect(struct tow_stack *stack,
			    const struct tow_endpoint *local,
			    const struct tow_endpoint *remote,
			    struct tow_tcp **out) TOW_MUST_USE;

/*
 * tow_tcp_fast_open_key() - the key of Fast Open cookies (RFC 7413)
 * @key: secret; servers that share an address share it
 *
 * Cookies by the key before it stay valid, so that keys can be rotated: call
 * it again with the next one. Without this call the stack has keys of its own,
 * a new one each hour.
 *
 * Returns: 0.
 */
TOW_API int tow_tcp_fast_open_key(struct tow_stack *stack,
				  const uint8_t key[16]);

/*
 * tow_listener_fast_open_key() - the same for the cookies of one listener
 *
 * Returns: 0.
 */
TOW_API int tow_listener_fast_open_key(struct tow_listener *listener,
				       const uint8_t key[16]);

/*
 * tow_tcp_fast_open_forget() - drop what is known of all destinations
 *
 * Cookies, MSS, and that some are left alone: of use when the machine moved to
 * another network. Cannot fail.
 */
TOW_API void tow_tcp_fast_open_forget(struct tow_stack *stack);

/*
 * Bytes that would go with the SYN if it went now: 0 where TOW_TCP_FAST_OPEN is
 * off, no cookie is known, Fast Open failed too often, or the SYN is out. With
 * TOW_TCP_FAST_OPEN_WAIT that many are waited for.
 */
TOW_API uint32_t tow_tcp_fast_open_room(const struct tow_tcp *tcp);

/*
 * tow_tcp_send() - queue a copy of some bytes
 *
 * Returns: 1..@bytes        how many were taken
 *          TOW_EAGAIN       the send buffer is full; TOW_EVENT_WRITABLE follows
 *          TOW_EPIPE        after tow_tcp_shutdown()
 *          TOW_ECONNRESET, TOW_ETIMEDOUT, …  why the connection is over
 * Cost:    O(bytes); the copy is counted as "send".
 */
TOW_API int64_t tow_tcp_send(struct tow_tcp *tcp, const void *data,
			     size_t bytes, unsigned flags) TOW_MUST_USE;

/*
 * tow_tcp_lend() - queue the program's own memory, in place
 * @spans: any length and alignment, @count in 1..TOW_SPANS_MAX
 * @token: comes back as TOW_EVENT_LOAN, exactly once, when all bytes are
 *         acknowledged and no device refers to them, or the connection ended
 *
 * All or nothing. A loan of any length is taken when the send buffer has any
 * room at all, so a file is one call. Spans shorter than
 * tow_config.lend_bytes_min are copied, because that is cheaper; the token
 * comes back all the same.
 *
 * Owns:    the stack has a read-only loan until the event, even after
 *          tow_tcp_close(); the program must not write there. After an error
 *          there is no loan.
 * Returns: 0, TOW_EINVAL (no bytes at all, too many spans), TOW_ENOBUFS (more
 *          spans than half of tow_config.loans: this never fits), TOW_EAGAIN,
 *          TOW_EPIPE, TOW_ECONNRESET, …, as tow_tcp_send().
 * Cost:    O(count).
 * Example: examples/file-sender.c
 */
TOW_API int tow_tcp_lend(struct tow_tcp *tcp, const struct tow_span *spans,
			 int count, uint64_t token,
			 unsigned flags) TOW_MUST_USE;

/*
 * tow_tcp_stamp() - ask when what was queued so far leaves, and arrives
 * @token: comes back as TOW_EVENT_STAMP, exactly once, when the last byte that
 *         is queued now was acknowledged, or the connection ended
 *
 * However it was queued: sent, lent or passed. The event says when that byte
 * went to the device first, and when it was acknowledged: tow/event.h. Ask
 * before the next tow_poll(), which may send it. A stamp changes nothing about
 * what is sent, and takes one of tow_config.loans.
 *
 * Returns: 0
 *          TOW_EINVAL   nothing waits to be sent
 *          TOW_ENOBUFS  no record is left (counted as "no_loans")
 *          TOW_EPIPE, TOW_ECONNRESET, …, as tow_tcp_send()
 */
TOW_API int tow_tcp_stamp(struct tow_tcp *tcp, uint64_t token) TOW_MUST_USE;

/*
 * tow_tcp_urgent() - how far is the urgent byte?
 *
 * Urgent data stays in the stream (RFC 6093 4.1). TOW_EVENT_URGENT says that
 * there is a mark, or that it moved ahead. Nothing stops at it: who wants to,
 * reads so many bytes and then the one.
 *
 * Returns: n >= 0      unread bytes before the last urgent one; 0: it is next
 *          TOW_EAGAIN  there is none, or it was read
 */
TOW_API int64_t tow_tcp_urgent(const struct tow_tcp *tcp);

/* Bytes that tow_tcp_send() would take now; 0 when it would say EAGAIN. */
TOW_API uint64_t tow_tcp_send_room(const struct tow_tcp *tcp);

/*
 * tow_tcp_recv() - copy received bytes out
 *
 * Returns: n > 0            bytes copied, counted as "recv"
 *          0                the peer sent FIN and everything was read
 *          TOW_EAGAIN       no unread bytes yet
 *          TOW_EBUSY        borrowed bytes come first: return them
 *          TOW_ECONNRESET   the peer reset the connection (RFC 9293 3.10.7.4)
 *          TOW_ETIMEDOUT    retransmission gave up (RFC 9293 3.8.3)
 */
TOW_API int64_t tow_tcp_recv(struct tow_tcp *tcp, void *out,
			     size_t bytes) TOW_MUST_USE;

/*
 * tow_tcp_borrow() - look at received bytes where the device put them
 * @out:   filled with spans, in stream order, without gaps
 * @max:   room in @out, 1..TOW_SPANS_MAX
 *
 * Nothing is copied: a span points into the receive buffer. Borrowing again
 * without returning goes on after the bytes borrowed before. Bytes on loan
 * count against the receive window at their true cost, so a caller that holds
 * on to a loan closes the window, and the peer stops (RFC 9293 3.8.6). Budgets
 * say how much of the stack's memory may be on loan: tow/owner.h.
 *
 * Owns:    the stack. The caller has a loan, read only, until it returns as
 *          many bytes; the spans stay valid even if the connection ends, until
 *          tow_tcp_close() or tow_tcp_abort(), or the poll after
 *          TOW_EVENT_REVOKE was taken.
 * Returns: n > 0            spans filled in @out
 *          0                the peer sent FIN and everything was borrowed
 *          TOW_ENOBUFS      there are bytes, but no more may be on loan:
 *                           return some of those that are
 *          TOW_EAGAIN, TOW_ECONNRESET, TOW_ETIMEDOUT  as tow_tcp_recv()
 * Cost:    O(n).
 * Example: examples/tcp-sink.c
 */
TOW_API int tow_tcp_borrow(struct tow_tcp *tcp, struct tow_span *out,
			   int max) TOW_MUST_USE;

/*
 * tow_tcp_return() - give borrowed bytes back, the oldest first
 * @bytes: at most as many as are on loan
 *
 * Cannot fail. Opens the receive window again.
 */
TOW_API void tow_tcp_return(struct tow_tcp *tcp, size_t bytes);

/*
 * tow_tcp_pass() - send borrowed bytes on, from where they arrived
 * @to:    a connection of the same stack, @from itself included
 * @from:  borrow first: the oldest bytes on loan go
 * @bytes: at most as many as are on loan
 * @flags: TOW_TCP_MORE, as for tow_tcp_send()
 *
 * Nothing is copied: the send queue of @to refers to the received buffers,
 * headers are new, and a buffer goes back when the peer of @to acknowledged and
 * no device refers to it. In the stream of @to the bytes stand in the order of
 * the calls, between what was sent and lent. Bytes passed are no longer on
 * loan: they can't be returned, and the program must not look at them.
 *
 * Until they have arrived they count against the receive window of @from at
 * their true cost. So a peer of @to that reads slowly stops the peer of @from,
 * and memory does not grow. Few bytes (tow_config.lend_bytes_min) and bytes
 * that the device cannot gather are copied, because that is cheaper.
 *
 * Owns:    the stack, even when @from or @to is closed before.
 * Returns: 1..@bytes        how many were taken
 *          TOW_EAGAIN       the send buffer of @to is full; its
 *                           TOW_EVENT_WRITABLE follows
 *          TOW_EINVAL       the two belong to different stacks
 *          TOW_EPIPE, TOW_ECONNRESET, … of @to, as tow_tcp_send(); then the
 *                           bytes stay on loan
 * Cost:    O(buffers).
 * Example: examples/relay.c
 */
TOW_API int64_t tow_tcp_pass(struct tow_tcp *to, struct tow_tcp *from,
			     size_t bytes, unsigned flags) TOW_MUST_USE;

/*
 * tow_tcp_post() - offer memory for the next bytes of the stream
 * @memory: any length and alignment; it is written to
 * @token:  comes back as TOW_EVENT_POST, exactly once, in the order of posting
 *
 * Bytes that arrived before and were not read are copied in at once. The post
 * completes when it is full, or at the end: with the peer's FIN (status 0,
 * perhaps no bytes), with the connection's failure, or when it is taken back.
 * While anything is posted, tow_tcp_recv() and tow_tcp_borrow() say TOW_EBUSY,
 * and TOW_EVENT_READABLE is only about what does not fit any more.
 *
 * Owns:    the stack may write anywhere in @memory until the event was taken.
 *          After an error there is no post.
 * Returns: 0
 *          TOW_EINVAL       no memory
 *          TOW_EBUSY        bytes are on loan: return them first
 *          TOW_ENOBUFS      TOW_POSTS_MAX are queued, or all of cfg.posts
 *          TOW_ECONNRESET, TOW_ETIMEDOUT, …  why the connection is over
 * Cost:    O(1) and the bytes copied.
 * Example: examples/tcp-place.c
 */
TOW_API int tow_tcp_post(struct tow_tcp *tcp, const struct tow_span *memory,
			 uint64_t token) TOW_MUST_USE;

/*
 * tow_tcp_unpost() - take back all that is posted
 *
 * The posts complete with TOW_ECONNABORTED and what they have; their memory is
 * the program's when the call returns. What had arrived out of order is kept by
 * a copy, or asked for again. Cannot fail.
 */
TOW_API void tow_tcp_unpost(struct tow_tcp *tcp);

/*
 * tow_tcp_shutdown() - send FIN after everything queued (half-close)
 *
 * Receiving goes on.
 *
 * Returns: 0, TOW_EPIPE the second time, or why the connection is over.
 */
TOW_API int tow_tcp_shutdown(struct tow_tcp *tcp);

/*
 * tow_tcp_close() - be done with a connection
 *
 * Queued bytes and FIN are still delivered in the background, but not where the
 * peer never answered our SYN (RFC 9293 3.10.4). Bytes that arrive unread or
 * later make it a reset (RFC 2525 2.17).
 *
 * Owns:    the handle is gone, and so are bytes borrowed from it. Memory posted
 *          to it is the program's again. Loans lent to it end with their events
 *          as ever, and so do posts.
 */
TOW_API void tow_tcp_close(struct tow_tcp *tcp);

/* The same with a RST, now. */
TOW_API void tow_tcp_abort(struct tow_tcp *tcp);

/*
 * tow_tcp_set(), tow_tcp_get() - options of one connection
 *
 * Returns: 0, TOW_EINVAL for a value out of the option's range, TOW_ENOBUFS
 *          when tow_config.paced connections are paced already. What a listener
 *          accepts has CUBIC and no pacing then (counted as "no_paced").
 */
TOW_API int tow_tcp_set(struct tow_tcp *tcp, enum tow_tcp_option option,
			int64_t value);
TOW_API int tow_tcp_get(const struct tow_tcp *tcp, enum tow_tcp_option option,
			int64_t *value);

TOW_API void tow_tcp_set_user(struct tow_tcp *tcp, void *user);
TOW_API void *tow_tcp_user(const struct tow_tcp *tcp);
TOW_API void tow_tcp_info(const struct tow_tcp *tcp, struct tow_tcp_info *out);
TOW_API struct tow_endpoint tow_tcp_local(const struct tow_tcp *tcp);
TOW_API struct tow_endpoint tow_tcp_remote(const struct tow_tcp *tcp);

/*
 * tow_tcp_ledger() - the connection's own ledger, beside the stack's
 *
 * Kept from the first call on, so that connections of which nobody asks need no
 * memory for it. Asked for before anything was sent or read, it has all bytes.
 *
 * Owns:    the connection, until tow_tcp_close() or tow_tcp_abort().
 * Returns: the ledger, which goes on counting; NULL when tow_config.ledgers
 *          connections have one already (counted as "no_ledgers").
 */
TOW_API const struct tow_ledger *tow_tcp_ledger(struct tow_tcp *tcp);
TOW_API const char *tow_tcp_state_name(enum tow_tcp_state state);
TOW_END

#endif
