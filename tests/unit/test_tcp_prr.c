/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Proportional Rate Reduction, RFC 9937: how much is sent in fast recovery.
 */
#include "tcp_flight.h"

/* RFC 9937 6.2: ceil(delivered * ssthresh / RecoverFS), at each ACK */
TCP_TEST(each_ack_sends_its_part_and_no_more)
{
	uint32_t sent = 0;

	fly_newreno(r, 100);
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 2);
	sack(r, 1, 1, 3);
	CHECK_EQ(bytes_sent(r), 2 * FULL); /* RFC 3042 */
	/* twelve are out; ten of them are RecoverFS, and what is halved: the
	 * other two do not count (RFC 5681 3.2 (2)) */
	for (uint32_t delivered = 1; delivered <= 9; delivered++) {
		uint32_t pipe = 12 - 2 - delivered - 1 + sent / FULL;

		sack(r, 1, 1, 3 + delivered);
		sent += bytes_sent(r);
		CHECK_EQ(info_of(r).ssthresh_bytes, 5 * FULL);
		if (pipe > 5)
			CHECK_EQ(sent / FULL, (delivered * 5 + 9) / 10);
		CHECK_LE(sent, delivered * FULL);
	}
}

/* RFC 9937 6.2, CRB: many are lost at once, and what is sent is what arrived */
TCP_TEST(heavy_loss_makes_no_burst)
{
	fly(r, 100);
	advance_ms(r, RTT_MS);
	sack(r, 1, 8, 9);
	sack(r, 1, 8, 10);
	forget(r);
	sack(r, 1, 8, 11); /* eight of twelve are lost */
	CHECK_EQ(bytes_sent(r), FULL);
	sack(r, 1, 8, 12);
	CHECK_EQ(bytes_sent(r), FULL);
}

/* RFC 9937 6.2, SSRB: an ACK that advances, and finds no more lost, sends two
 */
TCP_TEST(safe_ack_sends_one_segment_more)
{
	fly(r, 100);
	advance_ms(r, RTT_MS);
	sack(r, 1, 6, 10); /* 0 to 5 are lost */
	CHECK_EQ(bytes_sent(r), 4 * FULL);
	advance_ms(r, RTT_MS);
	sack(r, AT(1), 6, 10);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
}

/* RFC 9937 6.2: but not beyond ssthresh */
TCP_TEST(recovery_ends_with_the_window_at_ssthresh)
{
	uint32_t una = 1;

	fly(r, 100);
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 4);
	forget(r);
	for (unsigned n = 5; n <= 10; n++) {
		sack(r, 1, 1, n);
		CHECK_LE(bytes_sent(r), FULL);
	}
	CHECK_LE(info_of(r).cwnd_bytes, 7 * FULL);
	una = AT(10);
	advance_ms(r, RTT_MS);
	ack(r, una);
	CHECK_EQ(info_of(r).cwnd_bytes, 7 * FULL);
	CHECK_LE(bytes_sent(r), 2 * FULL);
	CHECK_LE(info_of(r).in_flight_bytes, 7 * FULL);
}

/* RFC 9937 6.2: the fast retransmit goes out, whatever the sums say */
TCP_TEST(first_retransmission_is_never_held_back)
{
	fly_newreno(r, 10);
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 4);
	CHECK(sends(r, ACK, 1, 1, FULL));
}

/* RFC 9937 6.1: without SACK a duplicate stands for a segment */
TCP_TEST(duplicates_without_sack_send_their_part)
{
	uint32_t sent = 0;

	fly_without_sack(r, 100);
	advance_ms(r, RTT_MS);
	ack(r, 1);
	ack(r, 1);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
	for (uint32_t n = 1; n <= 9; n++) {
		ack(r, 1);
		sent += bytes_sent(r);
		CHECK_LE(sent, n * FULL);
	}
	CHECK_GE(sent, 5 * FULL);
}

/* RFC 9937 6.2, Savage: no more is delivered than RecoverFS */
TCP_TEST(duplicates_beyond_the_flight_deliver_nothing)
{
	fly_without_sack(r, 300);
	advance_ms(r, RTT_MS);
	/* Two more go out, then half of RecoverFS, which is ten; and one more
	 * for the twelfth, as if nothing had been lost. */
	for (unsigned i = 0; i < 100; i++)
		ack(r, 1);
	CHECK_EQ(info_of(r).ssthresh_bytes, 5 * FULL);
	CHECK_LE(bytes_sent(r), (2 + 5 + 1) * FULL);
}

/*
 * RFC 9937 6.2, RFC 6582 3.2 step 3: when all of RecoverFS was delivered, each
 * partial ACK still sends the next hole, and what arrives is answered
 */
TCP_TEST(partial_acks_send_holes_after_all_of_the_flight_was_told)
{
	fly_without_sack(r, 300);
	advance_ms(r, RTT_MS);
	/* 0, 2, 4, 6 and 8 are lost; each round trip repairs one */
	for (unsigned i = 0; i < 5; i++)
		ack(r, 1);
	CHECK_EQ(times_sent(r, AT(0)), 1u);
	for (uint32_t n = 2; n <= 8; n += 2) {
		advance_ms(r, RTT_MS);
		ack(r, AT(n));
		CHECK_EQ(times_sent(r, AT(n)), 1u);
		for (unsigned i = 0; i < 4; i++)
			ack(r, AT(n));
		forget(r);
	}
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
}

/*
 * RFC 5681 3.1, RFC 3042: two that were overtaken are not counted again by the
 * ACK that covers them, so it is one segment by which the window grows
 */
TCP_TEST(window_grows_once_by_what_duplicates_told_without_sack)
{
	fly_without_sack(r, 100);
	advance_ms(r, RTT_MS);
	ack(r, 1);
	ack(r, 1);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
	ack(r, AT(3));
	CHECK_EQ(info_of(r).cwnd_bytes, 11 * FULL);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
}

/* RFC 9937 6.2: what a timer finds lost is bounded like the rest */
TCP_TEST(losses_that_a_timer_finds_make_no_burst)
{
	fly(r, 10);
	advance_ms(r, RTT_MS);
	sack(r, 1, 9, 10); /* 0 to 8 are lost, but that is not sure yet */
	CHECK(sends_nothing(r));
	CHECK_NE(advance_to_segment(r, 1000000), UINT64_MAX);
	CHECK_EQ(bytes_sent(r), FULL);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
	advance_ms(r, RTT_MS);
	sack(r, AT(1), 9, 10);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
}
