/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controllers by themselves: a connection that is nothing but a window,
 * acknowledged as a test likes. What they do on the wire is in
 * test_tcp_congestion.c.
 */
#include "tcp/tcp_private.h"
#include "test.h"

#define MSS 1000u

struct bench {
	struct net net;
	struct tcp_host host;
	struct tow_tcp t;
};

/* A window of @segments, all of it in flight. */
static void begin(struct bench *b, enum tow_tcp_congestion which,
		  uint32_t segments)
{
	memset(b, 0, sizeof(*b));
	b->net.now_us = 1000000;
	b->host.net = &b->net;
	b->t.host = &b->host;
	b->t.snd.mss = MSS;
	b->t.set.congestion = (uint8_t)which;
	b->t.rtt.srtt_us = 100000;
	congestion_init(&b->t);
	b->t.cc.cwnd = segments * MSS;
	b->t.snd.nxt = seq_add(b->t.snd.una, b->t.cc.cwnd);
	b->t.cc.limited = true;
}

static void lose(struct bench *b)
{
	b->t.cc.ssthresh = congestion_ops(&b->t)->threshold(&b->t);
	b->t.cc.cwnd = b->t.cc.ssthresh;
}

/* RFC 8511 3.1: less than for a loss, 0.8 and 0.85 of what was in flight */
TEST(mark_reduces_the_window_by_less_than_a_loss)
{
	struct bench b;

	begin(&b, TOW_TCP_NEWRENO, 100);
	congestion_on_ecn(&b.t);
	CHECK_EQ(b.t.cc.cwnd, 80 * MSS);
	CHECK_EQ(b.t.cc.ssthresh, 80 * MSS);
	begin(&b, TOW_TCP_NEWRENO, 100);
	lose(&b);
	CHECK_EQ(b.t.cc.cwnd, 50 * MSS);
	begin(&b, TOW_TCP_CUBIC, 100);
	congestion_on_ecn(&b.t);
	CHECK_EQ(b.t.cc.cwnd, 85 * MSS);
	CHECK_EQ(b.t.cc.ssthresh, 85 * MSS);
	begin(&b, TOW_TCP_CUBIC, 100);
	lose(&b);
	CHECK_EQ(b.t.cc.cwnd, 70 * MSS);
}

/* RFC 9438 4.9.2: the window is what it was, and so is its way up */
TEST(undone_loss_leaves_no_trace)
{
	struct bench b;

	begin(&b, TOW_TCP_CUBIC, 100);
	lose(&b);
	b.t.cc.cwnd = 90 * MSS; /* on the way back to 100 */
	b.t.snd.nxt = seq_add(b.t.snd.una, b.t.cc.cwnd);
	lose(&b);
	CHECK_EQ(b.t.cc.cubic.w_max, 76500u); /* fast convergence */
	congestion_undo(&b.t, 90 * MSS, 70 * MSS);
	CHECK_EQ(b.t.cc.cwnd, 90 * MSS);
	CHECK_EQ(b.t.cc.ssthresh, 70 * MSS);
	CHECK_EQ(b.t.cc.cubic.w_max, 100 * MSS);
}
