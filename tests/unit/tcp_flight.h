/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TCP_FLIGHT_H
#define TCP_FLIGHT_H

/*
 * What tests of loss and recovery have in common: a flight of full segments.
 *
 * Full segments are 1000 bytes, so segment n begins at 1 + 1000 * n, and the
 * initial window is ten of them. The round trip of the handshake is RTT_MS.
 */
#include "tcp_peer.h"

#define AT(n) (1 + FULL * (n)) /* the first byte of segment n */

static inline void ack(struct rig *r, uint32_t ack)
{
	inject(r, .flags = ACK, .seq = 1, .ack = ack);
}

/* An ACK that echoes the timestamp of an earlier segment. */
static inline void ack_echoing(struct rig *r, uint32_t ack, uint32_t tsecr)
{
	inject(r, .flags = ACK, .seq = 1, .ack = ack, .ts = true,
	       .tsval = r->peer_ts + (uint32_t)(r->now_us / 1000),
	       .tsecr = tsecr);
}

/* A duplicate ACK that reports segments [from, to) as received. */
static inline void sack(struct rig *r, uint32_t ack, uint32_t from, uint32_t to)
{
	inject(r, .flags = ACK, .seq = 1, .ack = ack, .sacks = 1,
	       .sack = { { AT(from), AT(to) } });
}

/* ESTABLISHED with so many full segments queued; the first ten are out. */
static inline void fly(struct rig *r, uint32_t segments)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, segments * FULL, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), segments < 10 ? segments * FULL : 10 * FULL);
}

/* The same with NewReno, which halves its window. */
static inline void fly_newreno(struct rig *r, uint32_t segments)
{
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_CONGESTION,
				  TOW_TCP_NEWRENO),
		 0);
	fly(r, segments);
}

/* And with a peer that knows no SACK. */
static inline void fly_without_sack(struct rig *r, uint32_t segments)
{
	r->options.offer.sack_ok = false;
	fly_newreno(r, segments);
}

/* How often byte @seq was sent among what waits; forgets it all. */
static inline unsigned times_sent(struct rig *r, uint32_t seq)
{
	unsigned n = 0;

	while (waiting(r)) {
		const struct segment *s = next(r);

		n += s->seq <= seq && seq < s->seq + s->bytes;
	}
	return n;
}

#endif
