/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TCP_ACCECN_H
#define TCP_ACCECN_H

/*
 * What tests of AccECN (RFC 9768) have in common: a connection that has it.
 */
#include "tcp_peer.h"

enum { NOT_ECT = 0, ECT1 = 1, ECT0 = 2, CE = 3 };

/* The three flags of @s as one number. */
static inline unsigned ace(const struct segment *s)
{
	return (s->ae ? 4u : 0) | (s->flags & CWR ? 2u : 0) |
	       (s->flags & ECE ? 1u : 0);
}

/* The same on a segment that is injected. */
#define ACE(n) .ae = (n)&4, .flags = ACK | ((n)&2 ? CWR : 0) | ((n)&1 ? ECE : 0)

static inline void listen_for_accurate(struct rig *r)
{
	r->expects_ae = true;
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_ECN,
				  TOW_TCP_ECN_ACCURATE),
		 0);
}

static inline void accept_accurate(struct rig *r, unsigned third)
{
	listen_for_accurate(r);
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL);
	CHECK_EQ(ace(peek(r)), 2u);
	CHECK_EQ(next(r)->flags, SYN | ACK | CWR);
	inject(r, ACE(third), .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(info_of(r).ecn_accurate);
}

static inline void ask_for_accurate(struct rig *r)
{
	struct tow_endpoint local = { r->us, r->our_port, 0 };
	struct tow_endpoint remote = { r->peer, r->peer_port, 0 };

	r->expects_ae = true;
	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_ECN, TOW_TCP_ECN_ACCURATE), 0);
	poll_until_quiet(r);
	CHECK_EQ(ace(peek(r)), 7u);
	CHECK_EQ(next(r)->flags, SYN | ECE | CWR);
}

#endif
