/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RACK, RFC 8985: a segment is lost when one that was sent later has arrived
 * and the reordering window is over. The shortest round trip is RTT_MS here, so
 * the window is a quarter of that, at first.
 */
#include "tcp_flight.h"

#define WINDOW_MS (RTT_MS / 4)

/* A flight of ten, of which segment 0 comes last, but soon: nothing is lost. */
static void see_reordering(struct rig *r)
{
	fly(r, 10);
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 2);
	advance_ms(r, WINDOW_MS - 5);
	ack(r, AT(2));
	ack(r, AT(10));
	CHECK(sends_nothing(r));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_SEGS), 0u);
}

/* Another flight of @segments, a round trip ago. */
static void fly_again(struct rig *r, uint32_t segments)
{
	CHECK_EQ(app_lend(r, segments * FULL, 2, 0), 0);
	advance_ms(r, RTT_MS);
	forget(r);
}

/* How long after a lone SACK of segment 11 segment 10 is sent again. */
static uint64_t wait_for_segment_10(struct rig *r)
{
	uint64_t waited;

	sack(r, AT(10), 11, 12);
	CHECK(sends_nothing(r));
	waited = advance_to_segment(r, 10000000);
	CHECK_EQ(peek(r)->seq, AT(10));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
	return waited;
}

/* RFC 8985 6.2: one SACKed segment is enough, after the window */
TCP_TEST(lone_sack_shows_a_loss_when_the_reordering_window_is_over)
{
	uint64_t waited;

	fly(r, 10);
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 2);
	CHECK(sends_nothing(r));
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, (WINDOW_MS - 2) * 1000);
	CHECK_LE(waited, (WINDOW_MS + 5) * 1000);
	CHECK(sends(r, ACK, 1, 1, FULL));
	CHECK(sends_nothing(r));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
}

/* RFC 8985 6.2 step 4: what comes within the window was only overtaken */
TCP_TEST(reordering_within_the_window_sends_nothing_again)
{
	see_reordering(r);
	advance_ms(r, 1000);
	CHECK(sends_nothing(r));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 0u);
}

/* RFC 8985 6.2 step 4: while nothing was reordered, three SACKs are enough */
TCP_TEST(three_sacks_end_the_window_until_reordering_was_seen)
{
	fly(r, 10);
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 4);
	CHECK(sends(r, ACK, 1, 1, FULL));
}

/* RFC 8985 6.2 step 4: then three are not; RACK's reordering tolerance */
TCP_TEST(three_sacks_do_not_end_the_window_once_reordering_was_seen)
{
	uint64_t waited;

	see_reordering(r);
	fly_again(r, 10);
	for (uint32_t to = 12; to <= 20; to++)
		sack(r, AT(10), 11, to);
	CHECK(sends_nothing(r));
	waited = advance_to_segment(r, 10000000);
	CHECK_LE(waited, (WINDOW_MS + 5) * 1000);
	CHECK_EQ(peek(r)->seq, AT(10));
}

/* RFC 8985 6.2 step 4: it may be reordered by any number of segments */
TCP_TEST(segment_that_nine_overtook_within_the_window_is_not_sent_again)
{
	see_reordering(r);
	fly_again(r, 10);
	for (uint32_t to = 12; to <= 20; to++) {
		sack(r, AT(10), 11, to);
		advance_ms(r, 2);
	}
	ack(r, AT(20));
	advance_ms(r, 1000);
	CHECK(sends_nothing(r));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_SEGS), 0u);
}

/* RFC 8985 6.2 step 4: a quarter more for a round with D-SACKs, once */
TCP_TEST(dsack_widens_the_window_once_a_round)
{
	uint64_t waited;

	see_reordering(r);
	fly_again(r, 10);
	for (unsigned i = 0; i < 3; i++)
		inject(r, .flags = ACK, .seq = 1, .ack = AT(10), .sacks = 1,
		       .sack = { { AT(5), AT(6) } });
	waited = wait_for_segment_10(r);
	CHECK_GE(waited, (2 * WINDOW_MS - 2) * 1000);
	CHECK_LE(waited, (2 * WINDOW_MS + 5) * 1000);
}

/* RFC 8985 6.2 step 4: min(reo_wnd_mult * min_RTT / 4, SRTT) */
TCP_TEST(window_is_never_longer_than_the_round_trip)
{
	uint64_t waited;

	see_reordering(r);
	for (uint32_t i = 0; i < 12; i++) {
		app_send(r, 10, 0);
		inject(r, .flags = ACK, .seq = 1, .ack = AT(10) + 10 * i,
		       .sacks = 1, .sack = { { AT(5), AT(6) } });
		advance_ms(r, RTT_MS);
		ack(r, AT(10) + 10 * (i + 1));
	}
	forget(r);
	CHECK_EQ(app_lend(r, 2 * FULL, 2, 0), 0);
	advance_ms(r, RTT_MS);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = AT(10) + 120, .sacks = 1,
	       .sack = { { AT(11) + 120, AT(12) + 120 } });
	CHECK(sends_nothing(r));
	waited = advance_to_segment(r, 10000000);
	CHECK_EQ(peek(r)->seq, AT(10) + 120);
	CHECK_GE(waited, (RTT_MS - 10) * 1000);
	CHECK_LE(waited, (RTT_MS + 10) * 1000);
}

/* RFC 8985 6.2 step 4: 16 recoveries without a D-SACK, and it is narrow again
 */
TCP_TEST(window_is_narrow_again_after_sixteen_recoveries)
{
	uint32_t una = AT(10);
	uint64_t waited = 0;

	see_reordering(r);
	app_send(r, FULL, 0);
	inject(r, .flags = ACK, .seq = 1, .ack = una, .sacks = 1,
	       .sack = { { AT(5), AT(6) } });
	advance_ms(r, RTT_MS);
	una += FULL;
	ack(r, una);
	for (unsigned i = 0; i < 17; i++) {
		app_send(r, 2 * FULL, 0);
		advance_ms(r, RTT_MS);
		forget(r);
		inject(r, .flags = ACK, .seq = 1, .ack = una, .sacks = 1,
		       .sack = { { una + FULL, una + 2 * FULL } });
		waited = advance_to_segment(r, 10000000);
		CHECK_EQ(peek(r)->seq, una);
		CHECK_EQ(waited > (2 * WINDOW_MS - 5) * 1000, i < 16);
		advance_ms(r, RTT_MS);
		una += 2 * FULL;
		ack(r, una);
	}
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
}

/* Bytes in two round trips a minute, for so long, which take so many ms. */
static void go_on(struct rig *r, uint32_t *una, unsigned minutes, unsigned ms)
{
	for (unsigned i = 0; i < 2 * minutes; i++) {
		app_send(r, 10, 0);
		advance_ms(r, ms);
		*una += 10;
		ack(r, *una);
		advance_ms(r, 30000 - ms);
	}
	forget(r);
}

/* RFC 8985 6.2 step 1: a path that became longer has a longer window */
TCP_TEST(shortest_round_trip_is_forgotten_after_five_minutes)
{
	uint32_t una = 1;

	handshake_passive(r);
	go_on(r, &una, 1, RTT_MS);
	go_on(r, &una, 2, 2 * RTT_MS);
	CHECK_EQ(info_of(r).min_rtt_us, RTT_MS * 1000);
	go_on(r, &una, 5, 2 * RTT_MS);
	CHECK_EQ(info_of(r).min_rtt_us, 2 * RTT_MS * 1000);
	go_on(r, &una, 1, RTT_MS / 2);
	CHECK_EQ(info_of(r).min_rtt_us, RTT_MS * 1000 / 2);
}

/* RFC 8985 6.2 step 1: "recent" is by the clock, not by what was sent */
TCP_TEST(shortest_round_trip_is_forgotten_in_a_pause)
{
	uint32_t una = 1;

	handshake_passive(r);
	go_on(r, &una, 1, RTT_MS);
	advance_ms(r, 10 * 60000);
	go_on(r, &una, 1, 2 * RTT_MS);
	CHECK_EQ(info_of(r).min_rtt_us, 2 * RTT_MS * 1000);
}

/* RFC 8985 6.2: what was sent after a retransmission shows that it is lost */
TCP_TEST(lost_retransmission_is_found_without_the_timer)
{
	fly(r, 30);
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 4);
	CHECK(sends(r, ACK, 1, 1, FULL));
	for (uint32_t to = 5; to <= 10; to++) {
		advance_ms(r, 1);
		sack(r, 1, 1, to);
	}
	CHECK_EQ(times_sent(r, AT(10)), 1u); /* new data, after it */
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 11);
	CHECK_EQ(times_sent(r, 1), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
}

/* RFC 8985 6.2 step 2: an ACK of the original says nothing about what was sent
 * again, so what was sent in between is not lost by it */
TCP_TEST(ack_of_the_original_is_not_taken_for_that_of_the_retransmission)
{
	uint32_t first_ts;

	handshake_passive(r);
	app_send(r, FULL, 0);
	first_ts = peek(r)->tsval;
	forget(r);
	CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX); /* a probe */
	app_send(r, 3 * FULL, 0);
	forget(r);
	advance_ms(r, 1);
	ack_echoing(r, AT(1), first_ts);
	advance_ms(r, WINDOW_MS + 5);
	CHECK(sends_nothing(r));
}

/* RFC 8985 6.3: what was sent a moment before the timeout is not lost */
TCP_TEST(timeout_spares_what_was_sent_a_moment_ago)
{
	unsigned young = 0;

	r->options.offer.ts = false; /* no echo makes the round trip short */
	r->options.offer.mss = FULL;
	fly(r, 5);
	advance_ms(r, 2 * RTT_MS + 10); /* a probe, which restarts the timer */
	advance_ms(r, 240);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_TAIL_PROBES), 1u);
	forget(r);
	app_send(r, FULL, 0);
	CHECK(sends(r, ACK, AT(5), 1, FULL));
	CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 1u);
	CHECK(sends(r, ACK, 1, 1, FULL));
	for (uint32_t n = 1; n <= 5; n++) {
		advance_ms(r, 5);
		ack(r, AT(n));
		young += times_sent(r, AT(5));
	}
	CHECK_EQ(young, 0u);
}

/* RFC 2018 8, attacks: whatever is SACKed, all arrives in the end */
TCP_TEST(sacks_in_any_order_and_no_ack_do_no_harm)
{
	uint32_t seed = 7;

	fly(r, 60);
	for (unsigned i = 0; i < 400; i++) {
		uint32_t from;

		seed = seed * 1664525 + 1013904223;
		from = 1 + (seed >> 16) % 30;
		sack(r, 1, from, from + 1 + (seed >> 8) % 5);
		if (i % 7 == 0)
			advance_ms(r, 3);
		forget(r);
	}
	for (unsigned i = 0; i < 200 && loan_status(r, 1) == 1; i++) {
		ack(r, AT(info_of(r).in_flight_bytes ? i / 2 : i));
		advance_ms(r, 400);
		forget(r);
	}
	ack(r, AT(60));
	CHECK_EQ(loan_status(r, 1), 0);
}
