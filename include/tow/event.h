/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_EVENT_H
#define TOW_EVENT_H

#include <stdint.h>
#include <tow/mark.h>

struct tow_stack;

/*
 * Event: what happened, as a list to be read after tow_poll().
 *
 * No callback ever runs inside the stack: tow_poll() does the work, then the
 * program takes the events and calls whatever it likes, including closing the
 * very object an event is about.
 *
 * Readiness (ACCEPT, READABLE, WRITABLE) is edge-like: reported when the
 * condition begins, or begins anew because more arrived; a program should go
 * on until TOW_EAGAIN. LOAN and STAMP come exactly once for each token. An event
 * for a closed handle is not reported, except LOAN, STAMP and POST, which then
 * have a NULL object.
 * But of events that were taken by one call, a later one may be about a handle
 * that the program closed at an earlier one, READABLE and CLOSED for instance:
 * take them one by one, or keep in what user points to, until all of them were
 * looked at, that the handle is gone.
 *
 * Nothing is ever lost for want of room: events live in the objects they are
 * about, and tow_events() collects them.
 */
enum tow_event_type {
	TOW_EVENT_ACCEPT = 1, /* listener: a connection waits */
	TOW_EVENT_CONNECTED,  /* tcp: our connect succeeded */
	TOW_EVENT_READABLE, /* tcp, udp: bytes, a datagram, or the peer's FIN */
	TOW_EVENT_WRITABLE, /* tcp, udp: room again after TOW_EAGAIN */
	TOW_EVENT_CLOSED,   /* tcp: over; status is 0 or why it failed */
	TOW_EVENT_ERROR,    /* udp: status is what an ICMP error says */
	TOW_EVENT_LOAN,	    /* tcp, udp: the memory behind token is yours */
	TOW_EVENT_DEVICE,   /* stack: a device is gone; token is its number */
	TOW_EVENT_POST,	    /* tcp, udp: a posted buffer is yours again */
	TOW_EVENT_REVOKE,   /* tcp, udp: borrow again; see tow/owner.h */
	TOW_EVENT_ADDRESS,  /* stack: a link's addresses are others, or its
			     * servers of names; token is its number; see
			     * tow/autoconf.h */
	TOW_EVENT_URGENT,   /* tcp: a mark in the stream: tow_tcp_urgent() */
	TOW_EVENT_STAMP,    /* tcp, udp: when something left, and arrived:
			     * tow_tcp_stamp(), TOW_UDP_WITH_STAMP */
};

struct tow_event {
	enum tow_event_type type;
	/*
	 * LOAN, STAMP of tcp: 0 acknowledged by the peer; TOW_ECONNRESET,
	 * TOW_ETIMEDOUT, TOW_ENETDOWN, TOW_ECONNABORTED (we aborted): how many
	 * of the bytes arrived is unknown.
	 * LOAN, STAMP of udp: 0 all of it went to the device; else something
	 * of the message was dropped before: TOW_EHOSTUNREACH (the next hop
	 * does not answer), TOW_ENOBUFS (too much waits for its answer, or
	 * memory is short), TOW_ENETDOWN, TOW_ENETUNREACH, TOW_EADDRNOTAVAIL
	 * (routes, addresses are others now), TOW_EMSGSIZE (the path is
	 * smaller now).
	 * POST: 0; or why it came back before it was full, bytes holds all the
	 * same.
	 */
	int status;
	void *object;	/* struct tow_listener, tow_tcp or tow_udp */
	void *user;	/* what tow_*_set_user() left there, also when closed */
	uint64_t token; /* LOAN, STAMP, POST: as given to lend, stamp, post */

	/*
	 * LOAN, STAMP: when the poll began in which the last byte went to the
	 * device first, or began to wait for the next hop's address, which
	 * then came; and for tcp, when the one began that took its
	 * acknowledgement, or its last frame from the device if that came
	 * later. 0: it did not happen.
	 */
	uint64_t sent_us, acked_us;

	/*
	 * POST: how many of the buffer's first bytes are the stream's, and how
	 * they got there. What the device did not place was copied once, for
	 * the reasons in the mask: 1 << enum tow_copy.
	 */
	uint64_t bytes;
	uint64_t placed_bytes;
	uint32_t copied_why;
};

TOW_BEGIN
/*
 * tow_events() - take what happened since the last call
 * @out: room for @max events
 *
 * Returns: how many were filled, 0..@max; when it is @max, there may be more.
 * Threads: only the one that polls the stack.
 * Cost:    O(events), independent of the number of connections.
 */
TOW_API int tow_events(struct tow_stack *stack, struct tow_event *out,
		       int max) TOW_MUST_USE;
TOW_END

#endif
