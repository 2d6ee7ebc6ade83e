/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the sender does when segments are lost: the retransmission timer of
 * RFC 6298, fast retransmit and NewReno (RFC 5681, 6582), limited transmit
 * (RFC 3042), recovery by SACK (RFC 6675). How losses are found in time is in
 * test_tcp_rack.c and test_tcp_tlp.c.
 */
#include "tcp_flight.h"
#include <stdlib.h>
#include <string.h>

/*
 * --- the timer ---
 *
 * Of a peer without SACK, where it is alone: else a tail loss probe comes
 * before it, see test_tcp_tlp.c.
 */

/* RFC 6298 2.2: RTO = R + 4 * R/2 */
TCP_TEST(first_rto_is_three_times_the_round_trip)
{
	uint64_t waited;

	fly_without_sack(r, 1);
	CHECK_GE(info_of(r).rto_us, 3 * RTT_MS * 1000 - 10000);
	CHECK_LE(info_of(r).rto_us, 3 * RTT_MS * 1000 + 20000);
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, 3 * RTT_MS * 1000 - 10000);
	CHECK_LE(waited, 3 * RTT_MS * 1000 + 30000);
	CHECK(sends(r, ACK, 1, 1, FULL));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_SEGS), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_BYTES), FULL);
}

/* RFC 6298 2.4 with Linux's minimum: never below 200 ms */
TCP_TEST(rto_is_never_below_200_ms)
{
	uint64_t waited;
	uint32_t seq = 1;

	handshake_passive(r);
	for (unsigned i = 0; i < 80; i++) {
		app_send(r, 10, 0);
		advance_ms(r, 2);
		seq += 10;
		ack(r, seq);
	}
	CHECK_LE(info_of(r).srtt_us, 10000u);
	CHECK_GE(info_of(r).rto_us, 200000u);
	CHECK_LE(info_of(r).rto_us, 230000u);
	forget(r);
	app_send(r, 10, 0);
	forget(r);
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, 200000u);
	CHECK_LE(waited, 250000u);
}

/* RFC 6298 2.3, 4: G, our timers' millisecond, when the variation is less */
TCP_TEST(rto_of_a_steady_path_is_a_millisecond_above_the_round_trip)
{
	uint32_t seq = 1;

	handshake_passive(r);
	for (unsigned i = 0; i < 80; i++) {
		app_send(r, 10, 0);
		advance_ms(r, 250);
		seq += 10;
		ack(r, seq);
	}
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_SEGS), 0u);
	CHECK_LE(info_of(r).rttvar_us, 100u);
	CHECK_EQ(info_of(r).rto_us, info_of(r).srtt_us + 1000);
	forget(r);
}

/* RFC 6298 2.3: SRTT <- 7/8 SRTT + 1/8 R' */
TCP_TEST(round_trips_are_smoothed)
{
	handshake_passive(r);
	app_send(r, 10, 0);
	advance_ms(r, 180);
	ack(r, 11);
	CHECK_GE(info_of(r).srtt_us, 108000u);
	CHECK_LE(info_of(r).srtt_us, 112000u);
	/* RTTVAR = 3/4 * 50 + 1/4 * 80 = 57.5 */
	CHECK_GE(info_of(r).rto_us, 335000u);
	CHECK_LE(info_of(r).rto_us, 350000u);
}

/* RFC 6298 5.5 */
TCP_TEST(rto_doubles_with_each_expiry)
{
	uint64_t before, waited;

	fly_without_sack(r, 1);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_MTU_PROBE, 0), 0);
	before = advance_to_segment(r, 10000000);
	forget(r);
	for (unsigned i = 0; i < 5; i++) {
		waited = advance_to_segment(r, 100000000);
		CHECK_GE(waited, 2 * before - 50000);
		CHECK_LE(waited, 2 * before + 50000);
		CHECK(sends(r, ACK, 1, 1, FULL));
		before = waited;
	}
}

/*
 * RFC 6298 5.5, Karn: whose ACK it is nobody knows, and so not how long it took
 */
TCP_TEST(rto_stays_doubled_until_a_round_trip_is_measured)
{
	uint64_t first, waited;

	r->options.offer.ts = false;
	r->options.offer.mss = FULL;
	fly_without_sack(r, 1);
	first = advance_to_segment(r, 10000000);
	ack(r, AT(1));
	CHECK_EQ(info_of(r).backoffs, 0u);
	forget(r);
	app_send(r, FULL, 0);
	forget(r);
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, 2 * first - 50000);
	CHECK_LE(waited, 2 * first + 50000);
	ack(r, AT(2));
	forget(r);
	app_send(r, FULL, 0);
	advance_ms(r, RTT_MS);
	forget(r);
	ack(r, AT(3)); /* sent once */
	app_send(r, FULL, 0);
	forget(r);
	CHECK_LE(advance_to_segment(r, 10000000), first);
}

/* RFC 9293 3.8.3: R2 of at least 100 s; then it is over, and says so */
TCP_TEST(retransmission_gives_up_after_100_seconds_at_the_earliest)
{
	uint64_t begin, waited, longest = 0;

	fly(r, 3);
	begin = r->now_us;
	while (!event_of(r, TOW_EVENT_CLOSED)) {
		waited = advance_to_segment(r, 300000000);
		if (waited != UINT64_MAX && waited > longest)
			longest = waited;
		forget(r);
		CHECK_LE(r->now_us - begin, 3600 * 1000000ull);
	}
	CHECK_EQ(event_of(r, TOW_EVENT_CLOSED)->status, TOW_ETIMEDOUT);
	CHECK_EQ(loans_ended(r, 1), 1u);
	CHECK_EQ(loan_status(r, 1), TOW_ETIMEDOUT);
	CHECK_EQ(app_recv(r, 10), TOW_ETIMEDOUT);
	CHECK_GE(r->now_us - begin, 100 * 1000000ull);
	CHECK_GE(longest, 60 * 1000000ull - 100000); /* RFC 6298 2.5 */
}

/* RFC 6298 5.3: an ACK of new data starts the timer anew */
TCP_TEST(ack_of_new_data_restarts_the_timer)
{
	uint64_t waited;

	fly_without_sack(r, 4);
	advance_ms(r, 200);
	ack(r, AT(1));
	CHECK(sends_nothing(r));
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, (uint64_t)info_of(r).rto_us / 2 - 20000);
	CHECK_GE(waited, 200000u);
	CHECK_EQ(peek(r)->seq, AT(1));
}

/* RFC 6298 5.2 */
TCP_TEST(timer_stops_when_all_is_acknowledged)
{
	fly(r, 4);
	ack(r, AT(4));
	advance_ms(r, 60000);
	CHECK(sends_nothing(r));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
}

/* RFC 6298 3, Karn: no sample of what was sent twice, without timestamps */
TCP_TEST(retransmitted_segment_gives_no_sample_without_timestamps)
{
	uint32_t srtt;

	r->options.offer.ts = false;
	r->options.offer.mss = FULL;
	fly(r, 1);
	srtt = info_of(r).srtt_us;
	advance_ms(r, 350);
	CHECK(sends(r, ACK, 1, 1, FULL));
	advance_ms(r, 5);
	ack(r, AT(1));
	CHECK_EQ(info_of(r).srtt_us, srtt);
}

/* RFC 5681 3.1: the loss window is one segment */
TCP_TEST(timeout_sends_one_segment_and_starts_slowly)
{
	fly_without_sack(r, 30);
	advance_to_segment(r, 10000000);
	CHECK(sends(r, ACK, 1, 1, FULL));
	CHECK(sends_nothing(r));
	CHECK_LE(info_of(r).cwnd_bytes, 2 * FULL);
	ack(r, AT(1));
	CHECK_LE(bytes_sent(r), 3 * FULL);
	CHECK_GE(r->sent_count, 1u);
}

/* RFC 5681 3.1 (4): half of what was in flight */
TCP_TEST(timeout_halves_the_slow_start_threshold)
{
	fly_without_sack(r, 30);
	advance_to_segment(r, 10000000);
	CHECK_GE(info_of(r).ssthresh_bytes, 5 * FULL - 100);
	CHECK_LE(info_of(r).ssthresh_bytes, 5 * FULL + 100);
}

/* RFC 5681 3.1: once for a segment, however often it expires */
TCP_TEST(later_timeouts_of_a_segment_leave_the_threshold)
{
	uint32_t first = 0;

	fly(r, 30);
	while (counter(r, TOW_COUNTER_TCP_RTO) < 4) {
		CHECK_NE(advance_to_segment(r, 100000000), UINT64_MAX);
		forget(r);
		if (counter(r, TOW_COUNTER_TCP_RTO) == 1)
			first = info_of(r).ssthresh_bytes;
	}
	CHECK_GE(first, 7 * FULL);
	CHECK_EQ(info_of(r).ssthresh_bytes, first);
}

/* RFC 5681 3.1 (4): at least two segments, however often it expires */
TCP_TEST(slow_start_threshold_is_at_least_two_segments)
{
	fly(r, 3);
	advance_ms(r, 20000);
	CHECK_GE(info_of(r).ssthresh_bytes, 2 * FULL);
	CHECK_LE(info_of(r).ssthresh_bytes, 3 * FULL);
}

/* RFC 5681 3.1: all lost, all sent again, in order, each once */
TCP_TEST(whole_window_lost_is_sent_again_in_order)
{
	uint32_t sent_to = 1;

	fly_without_sack(r, 10);
	while (sent_to < AT(10)) {
		CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX);
		while (waiting(r)) {
			CHECK_EQ(peek(r)->seq, sent_to);
			sent_to += next(r)->bytes;
		}
		advance_ms(r, RTT_MS);
		while (waiting(r)) {
			CHECK_EQ(peek(r)->seq, sent_to);
			sent_to += next(r)->bytes;
		}
		ack(r, sent_to);
	}
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_BYTES), 10 * FULL);
	CHECK_EQ(loan_status(r, 1), 0);
}

/* --- fast retransmit without SACK --- */

/* RFC 5681 3.2: three duplicates, not two */
TCP_TEST(third_duplicate_ack_sends_the_segment_again)
{
	fly_without_sack(r, 10);
	ack(r, 1);
	ack(r, 1);
	CHECK(sends_nothing(r));
	ack(r, 1);
	CHECK(sends(r, ACK, 1, 1, FULL));
	CHECK(sends_nothing(r));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
}

/* RFC 5681 2: a duplicate has no data and the same window */
TCP_TEST(acks_with_data_or_another_window_are_no_duplicates)
{
	fly_without_sack(r, 10);
	for (unsigned i = 0; i < 6; i++) {
		inject(r, .flags = ACK, .seq = 1 + i * 10, .ack = 1,
		       .bytes = 10);
		CHECK_EQ(times_sent(r, 1), 0u);
	}
	for (unsigned i = 1; i < 6; i++) {
		inject(r, .flags = ACK, .seq = 61, .ack = 1,
		       .window = (1u << 20) - i * 4096);
		CHECK_EQ(times_sent(r, 1), 0u);
	}
}

/* RFC 3042 2: new data for the first two duplicates */
TCP_TEST(first_two_duplicates_send_new_data)
{
	fly_without_sack(r, 30);
	ack(r, 1);
	CHECK(sends(r, ACK, AT(10), 1, FULL));
	CHECK(sends_nothing(r));
	ack(r, 1);
	CHECK(sends(r, ACK, AT(11), 1, FULL));
	CHECK(sends_nothing(r));
	ack(r, 1);
	CHECK(sends(r, ACK, 1, 1, FULL));
}

/* RFC 3042 2: the same with SACK */
TCP_TEST(first_two_sacks_send_new_data)
{
	fly(r, 30);
	sack(r, 1, 1, 2);
	CHECK(sends(r, ACK, AT(10), 1, FULL));
	sack(r, 1, 1, 3);
	CHECK(sends(r, ACK, AT(11), 1, FULL));
	CHECK(sends_nothing(r));
}

/* RFC 5681 3.2 (2), (6): half, and no burst at the end */
TCP_TEST(newreno_halves_and_ends_with_the_full_ack)
{
	fly_without_sack(r, 10);
	for (unsigned i = 0; i < 3; i++)
		ack(r, 1);
	CHECK_EQ(info_of(r).ssthresh_bytes / FULL, 5u);
	ack(r, AT(10));
	CHECK_LE(info_of(r).cwnd_bytes, info_of(r).ssthresh_bytes);
	CHECK_GE(info_of(r).cwnd_bytes, 2 * FULL);
}

/* RFC 5681 3.2 (2): half of the flight, without what limited transmit sent */
TCP_TEST(limited_transmit_does_not_count_for_the_threshold)
{
	fly_without_sack(r, 30);
	for (unsigned i = 0; i < 3; i++)
		ack(r, 1);
	CHECK_EQ(info_of(r).in_flight_bytes, 12 * FULL);
	CHECK_EQ(info_of(r).ssthresh_bytes, 5 * FULL);
	forget(r);
}

/*
 * RFC 5681 3.2 (2), RFC 6675 5 (4.2): nor with SACK, while it may be reordering
 */
TCP_TEST(what_sacks_let_out_does_not_count_for_the_threshold)
{
	fly_newreno(r, 60);
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 2);
	sack(r, 1, 1, 3);
	advance_ms(r, RTT_MS); /* the reordering window is over */
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
	CHECK_EQ(info_of(r).ssthresh_bytes, 5 * FULL);
	forget(r);
}

/* RFC 5681 3.2 (1): a duplicate without new SACKs says nothing */
TCP_TEST(duplicates_without_new_sacks_send_no_new_data)
{
	fly(r, 30);
	for (unsigned i = 0; i < 5; i++)
		ack(r, 1);
	CHECK(sends_nothing(r));
	sack(r, 1, 1, 2);
	CHECK(sends(r, ACK, AT(10), 1, FULL));
	sack(r, 1, 1, 2);
	CHECK(sends_nothing(r));
}

/* RFC 6582 3.2 (3): a partial ACK sends the next hole */
TCP_TEST(partial_ack_sends_the_next_lost_segment)
{
	fly_without_sack(r, 10);
	for (unsigned i = 0; i < 3; i++)
		ack(r, 1);
	forget(r);
	ack(r, AT(4));
	CHECK_EQ(peek(r)->seq, AT(4));
	CHECK_EQ(times_sent(r, AT(4)), 1u);
	ack(r, AT(7));
	CHECK_EQ(peek(r)->seq, AT(7));
	forget(r);
	ack(r, AT(10));
	CHECK_EQ(bytes_sent(r), 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
}

/* RFC 6582 4: duplicates of what was sent before the timeout start nothing */
TCP_TEST(duplicates_after_a_timeout_do_not_start_fast_retransmit)
{
	fly_without_sack(r, 10);
	advance_to_segment(r, 10000000);
	forget(r);
	ack(r, AT(1));
	forget(r);
	for (unsigned i = 0; i < 6; i++)
		ack(r, AT(1));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 0u);
}

/* RFC 5681 3.2 (4), attacks: duplicates inflate at most by what is out */
TCP_TEST(thousand_duplicates_send_no_more_than_was_in_flight)
{
	fly_without_sack(r, 300);
	for (unsigned i = 0; i < 1000; i++)
		ack(r, 1);
	CHECK_LE(bytes_sent(r), 25 * FULL);
	CHECK_LE(info_of(r).in_flight_bytes, 30 * FULL);
}

/* RFC 3042 2: two, also where duplicates may be of what was sent needlessly */
TCP_TEST(duplicates_that_start_nothing_send_two_segments)
{
	fly_without_sack(r, 300);
	for (unsigned i = 0; i < 3; i++)
		ack(r, 1);
	ack(r, AT(12)); /* just what was out when it began: RFC 6582 3.2 (2) */
	CHECK(!info_of(r).recovering);
	forget(r);
	for (unsigned i = 0; i < 100; i++)
		ack(r, AT(12));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
}

/* --- recovery by SACK --- */

/* RFC 6675 5 (2): three SACKed segments, however few ACKs said so */
TCP_TEST(three_sacked_segments_in_one_ack_start_recovery)
{
	fly(r, 10);
	sack(r, 1, 1, 4);
	CHECK_EQ(peek(r)->seq, 1u);
	CHECK_EQ(times_sent(r, 1), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
}

/* RFC 6675 4: what is SACKed stays where it is; holes go, lowest first */
TCP_TEST(holes_are_sent_again_and_nothing_that_was_sacked)
{
	unsigned sent[10] = { 0 };

	fly(r, 10);
	/* 0, 2 and 4 are lost */
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .sacks = 1,
	       .sack = { { AT(1), AT(2) } });
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .sacks = 2,
	       .sack = { { AT(3), AT(4) }, { AT(1), AT(2) } });
	for (uint32_t to = 6; to <= 10; to++)
		inject(r, .flags = ACK, .seq = 1, .ack = 1, .sacks = 3,
		       .sack = { { AT(5), AT(to) },
				 { AT(3), AT(4) },
				 { AT(1), AT(2) } });
	for (uint32_t before = 0; waiting(r);) {
		const struct segment *s = next(r);

		CHECK_EQ(s->bytes, FULL);
		CHECK_GE(s->seq, before);
		before = s->seq;
		sent[(s->seq - 1) / FULL]++;
	}
	for (unsigned i = 0; i < 10; i++)
		CHECK_EQ(sent[i], i == 0 || i == 2 || i == 4);
	ack(r, AT(10));
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
}

/* RFC 6675 5 (4.2): CUBIC's factor is 0.7 (RFC 9438 4.6) */
TCP_TEST(cubic_reduces_to_seven_tenths)
{
	fly(r, 10);
	sack(r, 1, 1, 4);
	CHECK_GE(info_of(r).ssthresh_bytes, 6500u);
	CHECK_LE(info_of(r).ssthresh_bytes, 7500u);
	ack(r, AT(10));
	CHECK_LE(info_of(r).cwnd_bytes, 7500u);
	CHECK_GE(info_of(r).cwnd_bytes, 2 * FULL);
}

/* RFC 6675 5 (C), RFC 6937: what is in the network stays within cwnd */
TCP_TEST(recovery_does_not_send_more_than_the_pipe_takes)
{
	uint32_t sent = 0;

	fly(r, 100);
	/* 0 is lost, the rest arrives one by one */
	for (uint32_t to = 2; to <= 10; to++) {
		sack(r, 1, 1, to);
		while (waiting(r))
			sent += next(r)->bytes;
	}
	/* nine deliveries; at most the hole and 7/10 of the window */
	CHECK_LE(sent, 10 * FULL);
	CHECK_GE(sent, 6 * FULL);
}

/* RFC 2883 5: a block is held against the ACK that it came with, not SND.UNA */
TCP_TEST(block_of_an_overtaken_ack_is_no_dsack)
{
	fly(r, 10);
	ack(r, AT(6));
	sack(r, AT(1), 3, 5);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_SPURIOUS), 0u);
	sack(r, AT(6), 3, 5);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_SPURIOUS), 1u);
	forget(r);
}

/* RFC 6675 5 (A): the end of a recovery does not clear the scoreboard */
TCP_TEST(what_was_sacked_beyond_a_recovery_is_not_sent_again)
{
	unsigned tenth = 0, eleventh = 0;

	fly(r, 60);
	advance_ms(r, RTT_MS);
	for (uint32_t to = 4; to <= 10; to++)
		sack(r, 1, 1, to);
	forget(r);
	advance_ms(r, RTT_MS);
	sack(r, AT(10), 11, 13); /* all up to where it began, and beyond */
	for (unsigned i = 0; i < 4; i++) {
		while (waiting(r)) {
			uint32_t seq = next(r)->seq;

			tenth += seq == AT(10);
			eleventh += seq == AT(11) || seq == AT(12);
		}
		forget(r);
		CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX);
	}
	CHECK_GE(tenth, 1u);
	CHECK_EQ(eleventh, 0u);
}

/* RFC 6675 5: a second loss among the retransmissions needs the timer */
TCP_TEST(lost_retransmission_is_sent_again_by_the_timer)
{
	fly(r, 10);
	sack(r, 1, 1, 10);
	CHECK_EQ(times_sent(r, 1), 1u);
	CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX);
	CHECK_EQ(peek(r)->seq, 1u);
	forget(r);
	advance_ms(r, 100);
	ack(r, AT(10));
	CHECK_EQ(loan_status(r, 1), 0);
}

/* RFC 6675 5.1, RFC 2018 8: the receiver threw away what it had SACKed */
TCP_TEST(reneging_receiver_gets_everything_in_the_end)
{
	uint32_t seen[10] = { 0 }, upto = 0;

	fly(r, 10);
	sack(r, 1, 1, 10);
	forget(r);
	/* It keeps the first when that comes again, and nothing else. */
	for (unsigned i = 0; i < 60 && upto < 10; i++) {
		advance_to_segment(r, 10000000);
		while (waiting(r)) {
			const struct segment *s = next(r);

			if (s->bytes == FULL)
				seen[(s->seq - 1) / FULL]++;
		}
		while (upto < 10 && (seen[upto] || upto == 0))
			upto++;
		ack(r, AT(upto));
	}
	CHECK_EQ(upto, 10u);
	CHECK_EQ(loan_status(r, 1), 0);
}

/* RFC 2018 5, attacks: blocks that cannot be true change nothing */
TCP_TEST(impossible_sack_blocks_are_ignored)
{
	static const uint32_t blocks[][2] = {
		{ 5001, 3001 },		    /* backwards */
		{ 3001, 3001 },		    /* empty */
		{ 20001, 30001 },	    /* never sent */
		{ 9001, 10501 },	    /* partly never sent */
		{ 0xfffff000, 0xfffff800 }, /* long ago */
		{ 0x80000000, 0x80001000 },
		{ 1, 0x7fffffff },
		{ 0x7fffffff, 1 },
	};

	fly(r, 10);
	for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		inject(r, .flags = ACK, .seq = 1, .ack = 1, .sacks = 1,
		       .sack = { { blocks[i][0], blocks[i][1] } });
	forget(r);
	advance_ms(r, 600);
	CHECK_GE(times_sent(r, 1), 1u);
	for (uint32_t at = 1; at < AT(10); at += FULL)
		ack(r, at + FULL);
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_EQ(info_of(r).in_flight_bytes, 0u);
}

/* RFC 2883 5: a D-SACK says that a retransmission was needless */
TCP_TEST(dsack_of_a_retransmission_counts_as_spurious)
{
	fly(r, 1);
	advance_to_segment(r, 10000000);
	forget(r);
	ack(r, AT(1));
	inject(r, .flags = ACK, .seq = 1, .ack = AT(1), .sacks = 1,
	       .sack = { { 1, AT(1) } });
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_SPURIOUS), 1u);
}

/* attacks: SACK panic. Tiny segments, holes everywhere, split ACKs. */
TCP_TEST(sacks_of_every_second_byte_do_no_harm)
{
	r->options.offer.mss = 1;
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 60000, 1, 0), 0);
	for (uint32_t una = 1; una < 300; una++)
		for (uint32_t i = 0; i < 8; i++)
			inject(r, .flags = ACK, .seq = 1, .ack = una,
			       .sacks = 3,
			       .sack = { { una + 2 + 6 * i, una + 3 + 6 * i },
					 { una + 4 + 6 * i, una + 5 + 6 * i },
					 { una + 6 + 6 * i,
					   una + 7 + 6 * i } }),
				forget(r);
	for (unsigned i = 0; i < 3000 && loan_status(r, 1) == 1; i++) {
		uint32_t top = 0;

		advance_to_segment(r, 1000000);
		while (waiting(r)) {
			const struct segment *s = next(r);

			if (s->seq + s->bytes > top)
				top = s->seq + s->bytes;
		}
		forget(r);
		if (top)
			ack(r, top);
	}
	CHECK_EQ(loan_status(r, 1), 0);
}

/* RFC 9293 3.8.1: every ACK in the middle of a segment counts its bytes */
TCP_TEST(ack_in_the_middle_of_a_segment_sends_only_the_rest_again)
{
	fly(r, 1);
	ack(r, 401);
	CHECK_EQ(info_of(r).in_flight_bytes, 600u);
	CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX);
	CHECK(sends(r, ACK, 401, 1, 600));
	ack(r, AT(1));
	CHECK_EQ(loan_status(r, 1), 0);
}

/* A network that loses by a seed, until all has arrived; both directions. */
static void deliver_with_losses(struct rig *r, uint32_t total, uint32_t seed,
				bool with_sack)
{
	uint8_t *got = calloc(total + 2, 1);
	uint32_t edge = 1, high;

	CHECK(got != NULL);
	for (unsigned round = 0; edge <= total; round++) {
		uint32_t newest = 0;

		CHECK_LT(round, 4000u);
		CHECK_NE(advance_to_segment(r, 200000000), UINT64_MAX);
		while (waiting(r)) {
			const struct segment *s = next(r);

			seed = seed * 1664525 + 1013904223;
			if ((seed >> 24) < 60 || !s->bytes)
				continue;
			CHECK_LE(s->seq + s->bytes, total + 1);
			memset(got + s->seq, 1, s->bytes);
			newest = s->seq;
		}
		forget(r);
		while (edge <= total && got[edge])
			edge++;
		if (!newest)
			continue;
		advance_ms(r, 20);
		for (high = newest > edge ? newest : edge;
		     high <= total && got[high]; high++)
			;
		while (newest > edge && got[newest - 1])
			newest--;
		if (with_sack && newest > edge)
			inject(r, .flags = ACK, .seq = 1, .ack = edge,
			       .sacks = 1, .sack = { { newest, high } });
		else
			ack(r, edge);
	}
	CHECK_EQ(loan_status(r, 1), 0);
	free(got);
}

/* RFC 6675: a quarter lost, and the stream still arrives */
TCP_TEST(stream_arrives_through_heavy_loss_with_sack)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 300000, 1, 0), 0);
	deliver_with_losses(r, 300000, 11, true);
}

/* RFC 6582: the same without SACK */
TCP_TEST(stream_arrives_through_heavy_loss_without_sack)
{
	r->options.offer.sack_ok = false;
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 300000, 1, 0), 0);
	deliver_with_losses(r, 300000, 12, false);
}
