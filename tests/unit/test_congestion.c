/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controllers by themselves: a connection that is nothing but a window,
 * acknowledged as a test likes. What they do on the wire is in
 * test_tcp_congestion.c.
 */
#include <math.h>
#include <stdio.h>
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
	b->t.cc.ssthresh =
		congestion_ops(&b->t)->threshold(&b->t, tcp_in_flight(&b->t));
	b->t.cc.cwnd = b->t.cc.ssthresh;
}

/* The whole window is acknowledged, by @acks acknowledgements. */
static void round_trip(struct bench *b, uint32_t rtt_us, unsigned acks)
{
	uint32_t flight = tcp_in_flight(&b->t);

	for (unsigned i = 0; i < acks; i++) {
		b->t.snd.una = seq_add(b->t.snd.una, flight / acks);
		b->net.now_us += rtt_us / acks;
		congestion_on_ack(&b->t, flight / acks, rtt_us);
		b->t.snd.nxt = seq_add(b->t.snd.una, b->t.cc.cwnd);
	}
}

/* RFC 9406 4.2: no growth of the round-trip time, no reason to leave */
TEST(hystart_leaves_slow_start_alone_while_the_round_trip_time_is_steady)
{
	struct bench b;

	begin(&b, TOW_TCP_CUBIC, 10);
	for (unsigned i = 0; i < 8; i++)
		round_trip(&b, i % 2 ? 100000 : 103000, 10);
	CHECK_EQ(b.t.cc.cwnd, 2560 * MSS);
	CHECK_EQ(b.t.cc.ssthresh, UINT32_MAX);
}

/* RFC 9406 4.2, 4.3: a quarter of the growth for five rounds, then none */
TEST(hystart_exits_slow_start_when_the_round_trip_time_grows)
{
	struct bench b;
	uint32_t cwnd;

	begin(&b, TOW_TCP_CUBIC, 10);
	for (unsigned i = 0; i < 3; i++)
		round_trip(&b, 100000, 10);
	CHECK_EQ(b.t.cc.cwnd, 80 * MSS);
	/* above by more than an eighth; the round began with the old one */
	round_trip(&b, 113000, 10);
	CHECK_EQ(b.t.cc.cwnd, 160 * MSS);
	round_trip(&b, 113000, 10);
	CHECK_LE(b.t.cc.cwnd, 300 * MSS);
	for (unsigned i = 0; i < 3; i++) {
		cwnd = b.t.cc.cwnd;
		round_trip(&b, 113000, 10);
		CHECK_EQ(b.t.cc.ssthresh, UINT32_MAX);
		CHECK_GE(b.t.cc.cwnd, cwnd + cwnd / 5);
		CHECK_LE(b.t.cc.cwnd, cwnd + cwnd / 3);
	}
	cwnd = b.t.cc.cwnd;
	round_trip(&b, 113000, 10);
	round_trip(&b, 113000, 10);
	CHECK_LT(b.t.cc.ssthresh, UINT32_MAX);
	CHECK_LE(b.t.cc.cwnd, cwnd + cwnd / 3);
}

/* RFC 9406 4.2: fewer than N_RTT_SAMPLE measurements prove nothing */
TEST(hystart_wants_eight_samples_of_a_round)
{
	struct bench b;

	begin(&b, TOW_TCP_CUBIC, 10);
	for (unsigned i = 0; i < 6; i++)
		round_trip(&b, i < 3 ? 100000 : 150000, 5);
	CHECK_GE(b.t.cc.cwnd, 600 * MSS);
}

/* RFC 9406 4.2: the round-trip time fell again, so it was jitter */
TEST(hystart_resumes_slow_start_when_the_round_trip_time_falls)
{
	struct bench b;
	uint32_t cwnd;

	begin(&b, TOW_TCP_CUBIC, 10);
	for (unsigned i = 0; i < 3; i++)
		round_trip(&b, 100000, 10);
	round_trip(&b, 120000, 10);
	round_trip(&b, 120000, 10);
	round_trip(&b, 100000, 10);
	cwnd = b.t.cc.cwnd;
	round_trip(&b, 100000, 10);
	CHECK_GE(b.t.cc.cwnd, cwnd + cwnd * 9 / 10);
	CHECK_EQ(b.t.cc.ssthresh, UINT32_MAX);
}

/* RFC 9406 4.3: it is for the first slow start only */
TEST(hystart_is_off_after_a_loss)
{
	struct bench b;

	begin(&b, TOW_TCP_CUBIC, 100);
	lose(&b);
	b.t.cc.cwnd = 10 * MSS;
	b.t.snd.nxt = seq_add(b.t.snd.una, b.t.cc.cwnd);
	round_trip(&b, 100000, 10);
	round_trip(&b, 200000, 10);
	CHECK_EQ(b.t.cc.cwnd, 40 * MSS);
	CHECK_EQ(b.t.cc.ssthresh, 70 * MSS);
}

/*
 * RFC 9438 4.2 in floating point: cwnd_epoch and W_max in segments, t in
 * seconds; returns segments.
 */
static double w_cubic(double cwnd_epoch, double w_max, double t)
{
	double k = cbrt((w_max - cwnd_epoch) / 0.4);

	return 0.4 * (t - k) * (t - k) * (t - k) + w_max;
}

/*
 * RFC 9438 4.2, 4.4, 4.5: from 70 % of the old window up to it, flat there, and
 * on. With a window of thousands and a long round trip Reno is far below.
 */
TEST(cubic_follows_its_curve)
{
	struct bench b;
	uint64_t epoch_us;
	double worst = 0;

	begin(&b, TOW_TCP_CUBIC, 5000);
	lose(&b);
	CHECK_EQ(b.t.cc.cwnd, 3500 * MSS);
	b.t.snd.nxt = seq_add(b.t.snd.una, b.t.cc.cwnd);
	epoch_us = b.net.now_us + 1000; /* the first acknowledgement */
	for (unsigned i = 0; i < 250; i++) {
		double t, want, is, off;

		round_trip(&b, 100000, 100);
		/* the window reached is the one for an RTT ahead, 4.2 */
		t = (double)(b.net.now_us - epoch_us) / 1e6;
		want = w_cubic(3500, 5000, t);
		is = (double)b.t.cc.cwnd / MSS;
		off = fabs(is - want) / want;
		worst = off > worst ? off : worst;
	}
	printf("# after 25 s at most %.3f %% off the curve\n", worst * 100);
	CHECK_LE(worst, 0.01);
	CHECK_GE(b.t.cc.cwnd, 5000 * MSS);
}

/* RFC 9438 4.2, 5.8: time in which the application sent little does not count
 */
TEST(cubic_does_not_age_while_the_application_is_the_limit)
{
	struct bench a, b;

	begin(&a, TOW_TCP_CUBIC, 5000);
	lose(&a);
	a.t.snd.nxt = seq_add(a.t.snd.una, a.t.cc.cwnd);
	b = a;
	b.host.net = &b.net;
	b.t.host = &b.host;
	for (unsigned i = 0; i < 20; i++) {
		round_trip(&a, 100000, 100);
		round_trip(&b, 100000, 100);
	}
	b.t.cc.limited = false;
	for (unsigned i = 0; i < 300; i++) { /* half a minute of crumbs */
		b.net.now_us += 100000;
		congestion_on_ack(&b.t, MSS, 100000);
	}
	CHECK_EQ(b.t.cc.cwnd, a.t.cc.cwnd);
	b.t.cc.limited = true;
	round_trip(&a, 100000, 100);
	round_trip(&b, 100000, 100);
	CHECK_LE(b.t.cc.cwnd, a.t.cc.cwnd + MSS);
	CHECK_GE(b.t.cc.cwnd, a.t.cc.cwnd - 10 * MSS);
}

/* RFC 9438 4.8: after a timeout K is 0, and W_max the window of then */
TEST(cubic_begins_a_new_curve_after_a_timeout)
{
	struct bench b;

	begin(&b, TOW_TCP_CUBIC, 100);
	lose(&b);
	b.t.cc.cwnd = MSS; /* the timeout's */
	congestion_ops(&b.t)->restart(&b.t);
	b.t.cc.cwnd = 70 * MSS; /* slow start is over */
	b.t.snd.nxt = seq_add(b.t.snd.una, b.t.cc.cwnd);
	round_trip(&b, 100000, 1);
	CHECK_EQ(b.t.cc.cubic.k_ms, 0u);
	CHECK_EQ(b.t.cc.cubic.w_max, 70 * MSS);
}

/* RFC 9438 4.3: where Reno would be faster, the window is what Reno's is */
TEST(cubic_is_not_slower_than_reno_on_a_short_path)
{
	struct bench b;
	double w_est = 35;

	begin(&b, TOW_TCP_CUBIC, 50);
	b.t.rtt.srtt_us = 1000;
	lose(&b);
	b.t.snd.nxt = seq_add(b.t.snd.una, b.t.cc.cwnd);
	for (unsigned i = 0; i < 60; i++) {
		double alpha = w_est < 50 ? 3 * 0.3 / 1.7 : 1;

		round_trip(&b, 1000, 1);
		w_est += alpha;
		CHECK_LE(fabs((double)b.t.cc.cwnd / MSS - w_est), 1.0);
	}
	CHECK_GE(b.t.cc.cwnd, 75 * MSS);
}

/* RFC 9438 4.7: who has less than before gives up more */
TEST(cubic_remembers_less_when_the_window_shrinks)
{
	struct bench b;

	begin(&b, TOW_TCP_CUBIC, 100);
	lose(&b);
	CHECK_EQ(b.t.cc.cubic.w_max, 100 * MSS);
	lose(&b);
	CHECK_EQ(b.t.cc.cubic.w_max, 70 * MSS * 85 / 100);
}

/* RFC 7323 2.3: the largest window is a gibibyte; nothing overflows on the way
 */
TEST(window_grows_to_a_gibibyte_and_no_further)
{
	const enum tow_tcp_congestion all[] = { TOW_TCP_CUBIC,
						TOW_TCP_NEWRENO };

	for (unsigned i = 0; i < LENGTH(all); i++) {
		struct bench b;

		begin(&b, all[i], 10);
		for (unsigned n = 0; n < 30; n++)
			round_trip(&b, 100000, 10);
		CHECK_EQ(b.t.cc.cwnd, 1u << 30);
		lose(&b);
		b.t.snd.nxt = seq_add(b.t.snd.una, b.t.cc.cwnd);
		CHECK_GE(b.t.cc.cwnd, 1u << 29);
		for (unsigned n = 0; n < 3000; n++)
			round_trip(&b, 100000, 2);
		CHECK_GE(b.t.cc.cwnd, 1u << 29);
		CHECK_LE(b.t.cc.cwnd, 1u << 30);
	}
}

/* RFC 8511 3.1: less than for a loss, 0.8 and 0.85 of what was in flight */
TEST(mark_reduces_the_window_by_less_than_a_loss)
{
	struct bench b;

	begin(&b, TOW_TCP_NEWRENO, 100);
	congestion_on_ecn(&b.t, tcp_in_flight(&b.t));
	CHECK_EQ(b.t.cc.cwnd, 80 * MSS);
	CHECK_EQ(b.t.cc.ssthresh, 80 * MSS);
	begin(&b, TOW_TCP_NEWRENO, 100);
	lose(&b);
	CHECK_EQ(b.t.cc.cwnd, 50 * MSS);
	begin(&b, TOW_TCP_CUBIC, 100);
	congestion_on_ecn(&b.t, tcp_in_flight(&b.t));
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

/* RFC 9438 4.9.2: unless it has become larger than that since */
TEST(loss_that_is_undone_late_changes_nothing)
{
	struct bench b;

	begin(&b, TOW_TCP_CUBIC, 100);
	lose(&b);
	b.t.cc.cwnd = 120 * MSS;
	congestion_undo(&b.t, 100 * MSS, UINT32_MAX);
	CHECK_EQ(b.t.cc.cwnd, 120 * MSS);
	CHECK_EQ(b.t.cc.ssthresh, 70 * MSS);
	CHECK_EQ(b.t.cc.cubic.w_max, 100 * MSS);
}

/* RFC 3168 6.1.2: also if none came for more than half of all numbers */
TEST(mark_counts_however_long_ago_the_last_one_was)
{
	struct ack_news news = { .acked_bytes = MSS };
	struct wire_tcp seg = { .flags = TH_ACK };
	struct bench b;
	struct tow_tcp *t = &b.t;

	begin(&b, TOW_TCP_CUBIC, 100);
	t->ecn.on = true;
	for (unsigned i = 0; i < 6; i++) {
		t->snd.una = seq_add(t->snd.una, 1u << 29);
		t->snd.nxt = seq_add(t->snd.una, t->cc.cwnd);
		seg.acknowledgement = t->snd.una.n;
		ecn_on_ack(t, &seg, &news);
	}
	CHECK_EQ(t->cc.cwnd, 100 * MSS);
	seg.flags |= TH_ECE;
	ecn_on_ack(t, &seg, &news);
	CHECK_EQ(t->ecn.marks_out, 1u);
	CHECK_LT(t->cc.cwnd, 100 * MSS);
	ecn_on_ack(t, &seg, &news); /* once in a round trip */
	CHECK_EQ(t->ecn.marks_out, 1u);
}
