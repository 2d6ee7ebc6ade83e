/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_UDP_H
#define TOW_UDP_H

#include <stdbool.h>
#include <stdint.h>
#include <tow/addr.h>
#include <tow/error.h>
#include <tow/ledger.h>
#include <tow/mark.h>
#include <tow/place.h>
#include <tow/span.h>

/*
 * UDP sockets.
 *
 * The same ways as TCP: send copies, lend sends in place and gives the token
 * back when the datagram has left the device; recv copies, borrow shows a
 * datagram where the device put it until it is returned.
 *
 * A message describes one datagram, or with segment_bytes a train of equal
 * ones that the device cuts (USO) or the stack does where it cannot. Calls
 * take arrays of messages, so that one call handles a batch.
 *
 * The third way to receive is a posted buffer: memory of the application, cut
 * into slots of one size, that the datagrams of a connected socket fill one
 * after the other, in place where the device can do that.
 *
 *	datagram  | header |  payload  |    header: the application's own, 0..32
 *	               |         |          bytes, as a block number
 *	               v         v
 *	     record {header}   | slot 0 | slot 1 | slot 2 | ...
 *	                       posted memory: what is ready for the disk
 */
struct tow_stack;
struct tow_udp;

struct tow_udp_message {
	/*
	 * send, lend: where to; an any-address with port 0 is the connected
	 * peer. recv, borrow: where from.
	 */
	struct tow_endpoint peer;
	struct tow_addr local; /* send: source or any; recv: destination */
	const struct tow_span *spans; /* send, lend: the payload */
	int span_count;
	/*
	 * send, lend: 0, or the payload of each datagram of the train; the
	 * whole at most 65507 bytes and 64 datagrams (as UDP_SEGMENT).
	 */
	uint16_t segment_bytes;
	uint64_t token; /* lend: comes back as TOW_EVENT_LOAN; send: with
			 * TOW_UDP_WITH_STAMP, as TOW_EVENT_STAMP */
	size_t bytes;	/* recv, borrow: length of the datagram */

	/*
	 * recv, borrow: how it came, with is 0; so the same message sent back
	 * goes as the socket's others do. send, lend: for this message instead
	 * of the socket's own, those that with names.
	 */
	uint8_t with;  /* enum tow_udp_with */
	uint8_t ttl;   /* or hop limit; sent: 1..255 */
	uint8_t tos;   /* or traffic class; its last two bits are ECN */
	uint16_t link; /* number of the interface; TOW_UDP_LINK_SELF: none */
};

#define TOW_UDP_LINK_SELF UINT16_MAX /* it came from this stack */

/* Which fields of a message count when it is sent, and whether it is stamped. */
enum tow_udp_with {
	TOW_UDP_WITH_TTL = 1 << 0,
	TOW_UDP_WITH_TOS = 1 << 1,
	TOW_UDP_WITH_LINK = 1 << 2,
	TOW_UDP_WITH_STAMP = 1 << 3, /* send: an event says when it left */
};

enum tow_udp_option {
	TOW_UDP_TTL,	   /* of unicast, 1..255; 0: tow_config.ttl */
	TOW_UDP_TOS,	   /* 0..255, with the ECN bits: RFC 8085 3.1.7 */
	TOW_UDP_BROADCAST, /* 0, 1: may send to broadcast addresses */
	/*
	 * 0, 1: sends without a checksum. Over IPv4 that gives up what protects
	 * the payload; over IPv6 it is for tunnels alone (RFC 6935, RFC 6936
	 * 5).
	 */
	TOW_UDP_UNSUMMED_SEND,
	TOW_UDP_UNSUMMED_RECV, /* 0, 1: takes such ones over IPv6, too */
	TOW_UDP_ERRORS,	       /* 0, 1: keeps what tow_udp_errors() gives */
	TOW_UDP_GROUP_TTL,     /* of multicast, 0..255: 1; 0: this stack only */
	TOW_UDP_GROUP_LOOP,    /* 0, 1: multicast is heard here, too: 1 */
	TOW_UDP_GROUP_LINK,    /* interface for multicast; -1: routes decide */
	/*
	 * 1: TOW_EMSGSIZE for what is larger than the path takes. 2: for what
	 * is larger than the link takes; what ICMP says of the path is told,
	 * but does not bind a program that finds out by itself (RFC 8899 4.5).
	 */
	TOW_UDP_DONT_FRAGMENT,
	TOW_UDP_TRAINS, /* 0, 1: a train that arrived together is read as one */
	TOW_UDP_LEND_BYTES, /* true cost on loan at most, 0: see tow/owner.h */
};

/* An ICMP error about a datagram of the socket. */
struct tow_udp_error {
	int error;		  /* what it means: TOW_E* */
	struct tow_endpoint peer; /* where the datagram was to go */
	struct tow_addr local;	  /* its source */
	struct tow_addr offender; /* who says so; ourselves: no neighbour */
	uint32_t mtu;		  /* TOW_EMSGSIZE: what would fit */
	uint8_t type, code;	  /* of ICMP, or ICMPv6 if peer is IPv6 */
};
#define TOW_UDP_ERRORS_MAX 16 /* kept for a socket */

/* Bytes of a datagram that may stay out of its slot. */
#define TOW_UDP_HEADER_MAX 32

/* A datagram that lies in a slot of a posted buffer. */
struct tow_udp_slot {
	uint64_t token;	 /* of the post */
	uint64_t offset; /* of the slot, from the start of the memory */
	uint32_t bytes;	 /* in it; the rest of the slot is zeros */
	bool placed;	 /* by the device; else it was copied, once */
	uint8_t header[TOW_UDP_HEADER_MAX]; /* its first header_bytes */
};

TOW_BEGIN
/*
 * tow_udp_open() - a socket
 * @local: any address or one of the stack's; port 0 is chosen (RFC 6056)
 *
 * Owns:    the caller, until tow_udp_close().
 * Returns: 0, TOW_EADDRINUSE, TOW_EADDRNOTAVAIL, TOW_ENOBUFS.
 */
TOW_API int tow_udp_open(struct tow_stack *stack,
			 const struct tow_endpoint *local,
			 struct tow_udp **out) TOW_MUST_USE;

/*
 * tow_udp_open_shared() - one of several sockets on the same endpoint
 *
 * All of them were opened by this call. Each remote endpoint has one of them,
 * by a hash that others can't foresee, and keeps it while that one is open and
 * not connected: when a socket comes or goes, only the peers of that one move.
 * A datagram to a group goes to all. Nothing is placed on a shared port.
 *
 * Returns: as tow_udp_open(); TOW_EADDRINUSE if somebody does not share.
 */
TOW_API int tow_udp_open_shared(struct tow_stack *stack,
				const struct tow_endpoint *local,
				struct tow_udp **out) TOW_MUST_USE;

/*
 * tow_udp_connect() - a default peer; others' datagrams are no longer taken,
 * and ICMP errors about this peer are reported
 * @peer: NULL dissolves the association
 *
 * Returns: 0, TOW_EINVAL, TOW_EADDRINUSE, TOW_ENETUNREACH, TOW_EBUSY (memory
 *          is posted for the present peer: take it back first).
 */
TOW_API int tow_udp_connect(struct tow_udp *udp,
			    const struct tow_endpoint *peer);

/*
 * tow_udp_send() - send copies of @messages[0..count)
 * tow_udp_lend() - send them in place; each token comes back when the datagram
 *                  and all its pieces have left the device, or were dropped
 *
 * A datagram larger than its path takes leaves in IP fragments. What fits is
 * better: one lost fragment loses all (RFC 8900).
 *
 * The event of a loan says when the message, of a train the last of it, went to
 * the device; so does TOW_EVENT_STAMP for a copy that was sent with
 * TOW_UDP_WITH_STAMP, which takes a record as a loan does. Its status says why
 * the message, or some of it, was dropped in the stack, and then there is no
 * time: a datagram waits here while its next hop is asked for its address, and
 * is dropped when that does not answer. What devices drop, they count.
 *
 * Returns: how many messages were taken, at least 1; the first error when
 *          none was: TOW_EAGAIN (TOW_EVENT_WRITABLE follows), TOW_EMSGSIZE
 *          (above 65507 bytes, or a train whose datagrams do not fit the path),
 *          TOW_ENETUNREACH, TOW_ENOTCONN, TOW_EINVAL, TOW_EACCES (broadcast
 *          without TOW_UDP_BROADCAST), or what an ICMP error about the
 *          connected peer said, once. TOW_UDP_WITH_LINK and a route by another
 *          interface is TOW_ENETUNREACH.
 */
TOW_API int tow_udp_send(struct tow_udp *udp,
			 const struct tow_udp_message *messages,
			 int count) TOW_MUST_USE;
TOW_API int tow_udp_lend(struct tow_udp *udp,
			 const struct tow_udp_message *messages,
			 int count) TOW_MUST_USE;

/*
 * tow_udp_recv() - copy the next datagram out
 * @from: filled in, may be NULL; from->bytes is the datagram's full length,
 *        above @bytes when it was cut off
 *
 * Returns: bytes copied (0 for an empty datagram), TOW_EAGAIN, or what an
 *          ICMP error about the connected peer said, once.
 */
TOW_API int64_t tow_udp_recv(struct tow_udp *udp, void *out, size_t bytes,
			     struct tow_udp_message *from) TOW_MUST_USE;

/*
 * tow_udp_borrow() - look at the next datagram in place
 * @spans: room for @max spans; TOW_SPANS_MAX is always enough
 *
 * Borrowing again goes on to the next datagram; with TOW_UDP_TRAINS to the next
 * train, of which from->segment_bytes says how long each datagram but the last
 * is, and which is returned as that many datagrams. The bytes count against the
 * socket's receive buffer at their true cost until they are returned. Budgets
 * say how much of the stack's memory may be on loan: tow/owner.h.
 *
 * Returns: spans filled (0 for an empty datagram), TOW_EAGAIN, TOW_EMSGSIZE
 *          (@max is too small), TOW_ENOBUFS (no more may be on loan: return
 *          some), or an ICMP error as above.
 */
TOW_API int tow_udp_borrow(struct tow_udp *udp, struct tow_span *spans, int max,
			   struct tow_udp_message *from) TOW_MUST_USE;

/* Give back the @datagrams that were borrowed first. Cannot fail. */
TOW_API void tow_udp_return(struct tow_udp *udp, unsigned datagrams);

/*
 * tow_udp_post() - offer memory for the next datagrams of a connected socket
 * @memory:       written to; what is behind the last whole slot is not touched
 * @slot_bytes:   of each slot
 * @header_bytes: of each datagram that come with the slot's record instead
 * @token:        comes back as TOW_EVENT_POST
 *
 * Slot i gets the i-th datagram that arrived: a lost one leaves no gap, and a
 * short one takes a slot of which the rest is zeros. Those that one poll
 * received may change places. A datagram that is longer than header and slot,
 * or shorter than the header, goes to the ordinary queue, as do those for which
 * no slot is left. Posts queue up. What the peer sent before and was not read
 * is copied in at once, if it fits.
 *
 * A post completes when its last slot is filled (status 0), at unpost and at
 * close (TOW_ECONNABORTED): bytes up to the end of the last datagram, of which
 * placed_bytes were not copied by anybody. What a device may have left behind
 * that is overwritten with zeros.
 *
 * Owns:    the stack, to write to it, until TOW_EVENT_POST, unpost or close.
 * Returns: 0, TOW_EINVAL (no whole slot, @header_bytes too many),
 *          TOW_ENOTCONN, TOW_ENOBUFS (TOW_POSTS_MAX are not done yet).
 * Cost:    one call of the device; copies what was unread.
 * Example: examples/udp-blast.c
 */
TOW_API int tow_udp_post(struct tow_udp *udp, const struct tow_span *memory,
			 uint32_t slot_bytes, uint32_t header_bytes,
			 uint64_t token) TOW_MUST_USE;

/*
 * tow_udp_posted() - which slots were filled, in the order of their arrival
 * @out: room for @max records
 *
 * TOW_EVENT_READABLE says when there are new ones; it comes before the
 * TOW_EVENT_POST of their post. Records stay until they are taken or the
 * socket is closed. A socket whose records nobody takes loses datagrams.
 *
 * Returns: how many were filled in, 0..@max.
 */
TOW_API int tow_udp_posted(struct tow_udp *udp, struct tow_udp_slot *out,
			   int max) TOW_MUST_USE;

/*
 * tow_udp_unpost() - take back all posts; they complete in order
 *
 * The memory is the program's when this returns. Cannot fail.
 */
TOW_API void tow_udp_unpost(struct tow_udp *udp);

/* Whether a device places what is posted, and if not, why. */
TOW_API enum tow_placement tow_udp_placement(const struct tow_udp *udp);

/*
 * tow_udp_pass() - send borrowed datagrams on, from where they arrived
 * @to:        a socket of the same stack, @from itself included
 * @from:      borrow first: the oldest datagrams on loan go
 * @where:     peer, local and what with names count, as in tow_udp_send()
 * @datagrams: 1 up to as many as are on loan
 *
 * Datagrams that arrived as one train go together, and leave as one where the
 * device can cut it. What was passed is no longer on loan, but counts against
 * the receive buffer of @from until no device refers to it. Datagrams shorter
 * than tow_config.lend_bytes_min are copied, because that is cheaper.
 *
 * Owns:    the stack, even when @from or @to is closed before.
 * Returns: 1..@datagrams     how many were taken; call again for the others
 *          TOW_EBUSY         some of the same train were taken by
 *                            tow_udp_recv() meanwhile: return them
 *          TOW_EINVAL        the two belong to different stacks
 *          TOW_EAGAIN, TOW_EMSGSIZE, … as tow_udp_send(); then the datagrams
 *                            stay on loan
 */
TOW_API int tow_udp_pass(struct tow_udp *to, struct tow_udp *from,
			 const struct tow_udp_message *where,
			 unsigned datagrams) TOW_MUST_USE;

/*
 * tow_udp_errors() - take the ICMP errors that were kept, oldest first
 * @out: room for @max
 *
 * With TOW_UDP_ERRORS a socket hears of all errors about its local endpoint,
 * connected or not; TOW_EVENT_ERROR says when there are new ones. They are as
 * easily forged as datagrams. What is more than TOW_UDP_ERRORS_MAX, or more
 * than four a socket of all of the stack's, is dropped: "udp_errors". Calls of
 * a socket that is not connected never fail because of them.
 *
 * Returns: how many were filled in, 0..@max.
 */
TOW_API int tow_udp_errors(struct tow_udp *udp, struct tow_udp_error *out,
			   int max) TOW_MUST_USE;

/*
 * tow_udp_set(), tow_udp_get() - options of a socket
 *
 * Returns: 0, or TOW_EINVAL for a value out of the option's range.
 */
TOW_API int tow_udp_set(struct tow_udp *udp, enum tow_udp_option option,
			int64_t value);
TOW_API int tow_udp_get(const struct tow_udp *udp, enum tow_udp_option option,
			int64_t *value);

TOW_API void tow_udp_close(struct tow_udp *udp);
TOW_API void tow_udp_set_user(struct tow_udp *udp, void *user);
TOW_API struct tow_endpoint tow_udp_local(const struct tow_udp *udp);
TOW_API const struct tow_ledger *tow_udp_ledger(const struct tow_udp *udp);
TOW_END

#endif
