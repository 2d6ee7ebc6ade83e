/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Congestion control seen from outside: how much is sent, and when. RFC 5681,
 * RFC 6928 (ten segments), RFC 9438 (CUBIC).
 */
#include "tcp_peer.h"

static void ack(struct rig *r, uint32_t ack)
{
	inject(r, .flags = ACK, .seq = 1, .ack = ack);
}

static void use_newreno(struct rig *r)
{
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_CONGESTION,
				  TOW_TCP_NEWRENO),
		 0);
}

/* What goes out at once from a program with much to send. */
static uint32_t first_flight(struct rig *r, uint16_t mss, uint32_t mtu)
{
	struct rig_options o = r->options;

	o.mtu = mtu;
	o.offer.mss = mss;
	o.offer.ts = false;
	rig_reopen(r, &o);
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 200000, 1, 0), 0);
	return bytes_sent(r);
}

/* RFC 6928 2: min(10 * MSS, max(2 * MSS, 14600)) */
TCP_TEST(initial_window_is_ten_segments)
{
	CHECK_EQ(first_flight(r, 1000, 1500), 10000u);
	CHECK_EQ(first_flight(r, 536, 1500), 5360u);
	CHECK_EQ(first_flight(r, 1400, 1500), 14000u);
	CHECK_EQ(first_flight(r, 8900, 9000), 2 * 8900u);
}

/*
 * One round trip: everything in flight is acknowledged, an ACK for every
 * @step segments. Returns what was sent for it.
 */
static uint32_t round_trip(struct rig *r, uint32_t *una, uint32_t step)
{
	uint32_t flight = info_of(r).in_flight_bytes, sent = 0;

	advance_ms(r, RTT_MS);
	sent += bytes_sent(r);
	while (flight) {
		uint32_t bytes = step * FULL < flight ? step * FULL : flight;

		*una += bytes;
		flight -= bytes;
		ack(r, *una);
		sent += bytes_sent(r);
		forget(r);
	}
	return sent;
}

/* RFC 5681 3.1 (2): slow start doubles when each segment is acknowledged */
TCP_TEST(slow_start_doubles_each_round_trip)
{
	uint32_t una = 1;

	handshake_passive(r);
	CHECK_EQ(app_lend(r, 2000000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	CHECK_EQ(round_trip(r, &una, 1), 20 * FULL);
	CHECK_EQ(round_trip(r, &una, 1), 40 * FULL);
	CHECK_EQ(round_trip(r, &una, 1), 80 * FULL);
}

/* RFC 5681 3.1, RFC 3465 2.2: not more than two segments for one ACK */
TCP_TEST(delayed_acks_do_not_make_slow_start_faster)
{
	uint32_t una = 1;

	handshake_passive(r);
	CHECK_EQ(app_lend(r, 2000000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	CHECK_LE(round_trip(r, &una, 2), 20 * FULL);
	CHECK_GE(info_of(r).cwnd_bytes, 15 * FULL);
}

/* attacks: ACK splitting (Savage). Bytes count, not ACKs (RFC 5681 3.1). */
TCP_TEST(split_acks_do_not_make_slow_start_faster)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 2000000, 1, 0), 0);
	forget(r);
	for (uint32_t una = 2; una <= 1 + FULL; una++)
		ack(r, una);
	CHECK_LE(info_of(r).cwnd_bytes, 11 * FULL);
	CHECK_LE(bytes_sent(r), 2 * FULL);
}

/* attacks: optimistic ACKs. What was not sent cannot be acknowledged. */
TCP_TEST(optimistic_acks_are_challenged_and_gain_nothing)
{
	uint32_t cwnd;

	handshake_passive(r);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	forget(r);
	cwnd = info_of(r).cwnd_bytes;
	for (unsigned i = 0; i < 50; i++)
		ack(r, 10002 + i * 1000);
	CHECK_EQ(info_of(r).cwnd_bytes, cwnd);
	CHECK_EQ(bytes_sent(r), 0u);
	CHECK_GE(drops(r, TOW_DROP_TCP_ACK), 50u);
	CHECK_EQ(info_of(r).in_flight_bytes, 10 * FULL);
}

/* In congestion avoidance with a window of @segments. */
static void avoid(struct rig *r, uint32_t *una)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 3000000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	for (unsigned i = 0; i < 2; i++)
		round_trip(r, una, 1);
	/* 40 in flight; the first is lost */
	for (unsigned i = 0; i < 3; i++)
		inject(r, .flags = ACK, .seq = 1, .ack = *una, .sacks = 1,
		       .sack = { { *una + FULL, *una + (4 + i) * FULL } });
	advance_ms(r, RTT_MS);
	bytes_sent(r);
	*una += 40 * FULL;
	ack(r, *una);
	bytes_sent(r);
	forget(r);
}

/* RFC 5681 3.1 (3): one segment each round trip */
TCP_TEST(newreno_grows_by_a_segment_each_round_trip_in_avoidance)
{
	uint32_t una = 1, before;

	use_newreno(r);
	avoid(r, &una);
	/* RFC 6582 3.2 (3): slow start may lead back to the threshold */
	for (unsigned i = 0; i < 6; i++)
		round_trip(r, &una, 1);
	CHECK_GE(info_of(r).cwnd_bytes, info_of(r).ssthresh_bytes);
	CHECK_LE(info_of(r).cwnd_bytes, info_of(r).ssthresh_bytes + 8 * FULL);
	for (unsigned i = 0; i < 5; i++) {
		before = info_of(r).cwnd_bytes;
		round_trip(r, &una, 1);
		CHECK_GE(info_of(r).cwnd_bytes, before);
		CHECK_LE(info_of(r).cwnd_bytes, before + FULL + FULL / 4);
	}
}

/* RFC 9438 4.2: back to W_max after K, concave before, convex after */
TCP_TEST(cubic_returns_to_its_old_window_and_goes_on)
{
	uint32_t una = 1, lowest;
	unsigned rtts = 0;

	avoid(r, &una);
	lowest = info_of(r).cwnd_bytes;
	CHECK_LE(lowest, 29 * FULL);
	/* W_max 40, K = cbrt(40 * 0.3 / 0.4) = 3.1 s */
	while (info_of(r).cwnd_bytes < 39 * FULL) {
		round_trip(r, &una, 1);
		CHECK_LT(rtts++, 60u);
	}
	CHECK_GE(rtts, 10u);
	for (rtts = 0; rtts < 15; rtts++)
		round_trip(r, &una, 1);
	CHECK_GE(info_of(r).cwnd_bytes, 40 * FULL);
	CHECK_LE(info_of(r).cwnd_bytes, 80 * FULL);
}

/* RFC 5681 4.1: after an idle RTO no burst of an old window */
TCP_TEST(sending_after_an_idle_time_begins_with_the_initial_window)
{
	uint32_t una = 1;

	handshake_passive(r);
	CHECK_EQ(app_lend(r, 150000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	while (info_of(r).in_flight_bytes)
		round_trip(r, &una, 1);
	CHECK_EQ(una, 150001u);
	CHECK_GE(info_of(r).cwnd_bytes, 30 * FULL);
	advance_ms(r, 30000);
	CHECK_EQ(app_lend(r, 150000, 2, 0), 0);
	CHECK_LE(bytes_sent(r), 10 * FULL);
}

/* RFC 9293 3.8.6: the peer's window is a limit beside cwnd */
TCP_TEST(no_more_is_sent_than_the_window_takes)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .window = 3584);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	CHECK_LE(bytes_sent(r), 3584u);
	CHECK_GE(info_of(r).in_flight_bytes, 3000u);
}

/* RFC 9293 3.10.7.4 fifth: only newer segments update the window */
TCP_TEST(old_segments_do_not_update_the_window)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100,
	       .window = 64000);
	CHECK_EQ(info_of(r).send_window_bytes, 64000u);
	/* before the window: not acceptable, WL1 is newer */
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100,
	       .window = 1280);
	CHECK_EQ(info_of(r).send_window_bytes, 64000u);
	inject(r, .flags = ACK, .seq = 101, .ack = 1, .window = 1280);
	CHECK_EQ(info_of(r).send_window_bytes, 1280u);
}

/* RFC 9293 3.8.6: a peer that takes its window back gets no new data */
TCP_TEST(shrunk_window_stops_the_sender_without_harm)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 30000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	inject(r, .flags = ACK, .seq = 1, .ack = 1001, .window = 2048);
	CHECK_EQ(bytes_sent(r), 0u);
	for (uint32_t una = 2001; una <= 10001; una += FULL)
		inject(r, .flags = ACK, .seq = 1, .ack = una, .window = 2048);
	CHECK_LE(bytes_sent(r), 2048u);
	inject(r, .flags = ACK, .seq = 1,
	       .ack = 10001 + info_of(r).in_flight_bytes);
	CHECK_GE(bytes_sent(r), 5 * FULL);
}

/*
 * RFC 9293 3.10.7.4: an ACK before RCV.NXT is not looked at, nor one beyond the
 * window. Who told the window, the peer or a box on the way, is not known.
 */
TCP_TEST(acks_behind_a_shrunk_window_are_tried_at_both_places)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 10 * FULL, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100,
	       .window = 2048);
	CHECK_EQ(app_recv(r, 1000), 100);
	advance_ms(r, 50);
	CHECK(sends(r, ACK, 2049, 101, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100,
	       .window = 2048);
	CHECK(sends(r, ACK, 2049, 101, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100,
	       .window = 2048);
	CHECK(sends(r, ACK, 1 + 10 * FULL, 101, 0));
	inject(r, .flags = ACK, .seq = 101, .ack = 1, .bytes = 100,
	       .window = 2048);
	advance_ms(r, 50);
	CHECK(sends(r, ACK, 2049, 201, 0));
}

/* RFC 5681 4.1: idle means that no data was sent; ACKs are none */
TCP_TEST(acks_in_between_do_not_keep_an_old_window_alive)
{
	uint32_t una = 1;

	handshake_passive(r);
	CHECK_EQ(app_lend(r, 150000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	while (info_of(r).in_flight_bytes)
		round_trip(r, &una, 1);
	CHECK_GE(info_of(r).cwnd_bytes, 30 * FULL);
	for (uint32_t i = 0; i < 100; i++) {
		inject(r, .flags = ACK, .seq = 1 + i * 100, .ack = una,
		       .bytes = 100);
		app_recv(r, 1000);
		advance_ms(r, 100);
	}
	forget(r);
	CHECK_EQ(app_lend(r, 150000, 2, 0), 0);
	CHECK_LE(bytes_sent(r), 10 * FULL);
}
