/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing was lost after all: F-RTO for timeouts (RFC 5682), timestamps
 * (Eifel, RFC 3522) and D-SACK (RFC 3708) for both, and the window that comes
 * back (RFC 4015).
 */
#include "tcp_flight.h"

static uint64_t undone(struct rig *r)
{
	return counter(r, TOW_COUNTER_TCP_UNDONE);
}

static void lose_the_first(struct rig *r, uint32_t segments, uint32_t *first_ts)
{
	CHECK_EQ(app_lend(r, segments * FULL, 1, 0), 0);
	*first_ts = peek(r)->tsval;
	forget(r);
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 4);
	CHECK_EQ(times_sent(r, 1), 1u);
	CHECK_EQ(info_of(r).ssthresh_bytes, 7 * FULL);
}

/* In fast recovery, of ten segments in flight. @first_ts: of all of them. */
static void begin_recovery(struct rig *r, uint32_t segments, uint32_t *first_ts)
{
	handshake_passive(r);
	lose_the_first(r, segments, first_ts);
}

/* RFC 3522 3.2, RFC 4015 3: the ACK echoes what was sent first */
TCP_TEST(recovery_is_undone_when_the_original_is_acknowledged)
{
	uint32_t first_ts;

	begin_recovery(r, 10, &first_ts);
	advance_ms(r, 10);
	ack_echoing(r, AT(4), first_ts);
	CHECK_EQ(undone(r), 1u);
	CHECK_GE(info_of(r).cwnd_bytes, 10 * FULL);
	CHECK_GE(info_of(r).ssthresh_bytes, 1u << 30);
	CHECK_EQ(bytes_sent(r), 0u);
	ack(r, AT(10));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_SEGS), 1u);
}

/* RFC 3522 3.2: the same when that ACK ends the recovery */
TCP_TEST(recovery_is_undone_at_its_end)
{
	uint32_t first_ts;

	begin_recovery(r, 10, &first_ts);
	ack_echoing(r, AT(10), first_ts);
	CHECK_EQ(undone(r), 1u);
	CHECK_GE(info_of(r).cwnd_bytes, 10 * FULL);
}

/* begin_recovery() with a peer that asked for ECN. */
static void begin_recovery_with_ecn(struct rig *r, uint32_t *first_ts)
{
	const struct offer *o = &r->options.offer;

	listen_here(r, 4);
	inject(r, .flags = SYN | ECE | CWR, .mss = o->mss,
	       .sack_ok = o->sack_ok, .ts = o->ts, .has_wscale = o->wscale >= 0,
	       .wscale = (uint8_t)o->wscale);
	CHECK(sends(r, SYN | ACK | ECE, 0, 1, 0));
	advance_ms(r, RTT_MS);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	lose_the_first(r, 10, first_ts);
}

/* RFC 4015 3.2 (9): nothing was lost, but the same ACK tells of marks */
TCP_TEST(recovery_that_ends_with_an_echo_of_marks_leaves_the_window_reduced)
{
	uint32_t first_ts;

	begin_recovery_with_ecn(r, &first_ts);
	advance_ms(r, 10);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = AT(4), .ts = true,
	       .tsval = r->peer_ts + (uint32_t)(r->now_us / 1000),
	       .tsecr = first_ts);
	CHECK(!info_of(r).recovering);
	CHECK_LE(info_of(r).cwnd_bytes, 7 * FULL);
	CHECK_EQ(info_of(r).ssthresh_bytes, 7 * FULL);
	ack(r, AT(10));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_SEGS), 1u);
}

/* RFC 3168 6.1.2: what marks have reduced since, a late D-SACK does not undo */
TCP_TEST(late_dsack_undoes_no_reduction_for_marks)
{
	uint32_t first_ts, reduced;

	begin_recovery_with_ecn(r, &first_ts);
	advance_ms(r, RTT_MS);
	ack(r, AT(10));
	CHECK_EQ(app_lend(r, 5 * FULL, 2, 0), 0);
	forget(r);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = AT(15));
	reduced = info_of(r).cwnd_bytes;
	CHECK_LT(reduced, 7 * FULL);
	inject(r, .flags = ACK, .seq = 1, .ack = AT(15), .sacks = 1,
	       .sack = { { 1, AT(1) } });
	CHECK_EQ(info_of(r).cwnd_bytes, reduced);
}

/* RFC 3522 3.2: the retransmission was needed */
TCP_TEST(recovery_from_a_true_loss_is_not_undone)
{
	uint32_t first_ts;

	begin_recovery(r, 10, &first_ts);
	advance_ms(r, RTT_MS);
	ack(r, AT(10)); /* echoes the retransmission */
	CHECK_EQ(undone(r), 0u);
	CHECK_EQ(info_of(r).cwnd_bytes, 7 * FULL);
}

/* RFC 3522 3.2: an old echo on an ACK of nothing new proves nothing */
TCP_TEST(duplicate_with_an_old_echo_undoes_nothing)
{
	uint32_t first_ts;

	begin_recovery(r, 10, &first_ts);
	ack_echoing(r, 1, first_ts);
	CHECK_EQ(undone(r), 0u);
}

/* RFC 3708 3: the peer had all that was sent again */
TCP_TEST(dsack_after_a_recovery_undoes_it)
{
	uint32_t first_ts;

	begin_recovery(r, 10, &first_ts);
	advance_ms(r, RTT_MS);
	ack(r, AT(10));
	CHECK_EQ(info_of(r).cwnd_bytes, 7 * FULL);
	inject(r, .flags = ACK, .seq = 1, .ack = AT(10), .sacks = 1,
	       .sack = { { 1, AT(1) } });
	CHECK_EQ(undone(r), 1u);
	CHECK_GE(info_of(r).cwnd_bytes, 10 * FULL);
}

/* RFC 3708 3: nor of a tail probe that was sent since, as needless as it was */
TCP_TEST(dsack_of_a_probe_after_a_recovery_does_not_undo_it)
{
	uint32_t first_ts;

	begin_recovery(r, 10, &first_ts);
	advance_ms(r, RTT_MS);
	ack(r, AT(10)); /* what was lost really was */
	app_send(r, FULL, 0);
	forget(r);
	CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX);
	CHECK(sends(r, ACK, AT(10), 1, FULL));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_TAIL_PROBES), 1u);
	ack(r, AT(11));
	inject(r, .flags = ACK, .seq = 1, .ack = AT(11), .sacks = 1,
	       .sack = { { AT(10), AT(11) } });
	CHECK_EQ(undone(r), 0u);
	CHECK_EQ(info_of(r).ssthresh_bytes, 7 * FULL);
}

/* RFC 3708 3: of one of two does not do */
TCP_TEST(dsack_of_a_part_undoes_nothing)
{
	uint32_t first_ts;

	begin_recovery(r, 10, &first_ts);
	inject(r, .flags = ACK, .seq = 1, .ack = AT(1), .sacks = 1,
	       .sack = { { AT(2), AT(6) } }); /* 1 is a hole, too */
	CHECK_EQ(times_sent(r, AT(1)), 0u);   /* it was SACKed before */
	inject(r, .flags = ACK, .seq = 1, .ack = AT(10), .sacks = 1,
	       .sack = { { 1, AT(0) + 400 } });
	CHECK_EQ(undone(r), 0u);
}

/* RFC 3708 3: nor one of data from before, or never sent */
TCP_TEST(dsack_of_other_data_undoes_nothing)
{
	static const uint32_t blocks[][2] = {
		{ 0xfffffc18, 0 }, /* before the connection */
		{ 0x80000000, 1 },
		{ AT(20), AT(21) },
		{ AT(2), 1 },
	};
	uint32_t first_ts;

	begin_recovery(r, 10, &first_ts);
	for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		inject(r, .flags = ACK, .seq = 1, .ack = 1, .sacks = 1,
		       .sack = { { blocks[i][0], blocks[i][1] } });
	CHECK_EQ(undone(r), 0u);
}

/* RFC 8985 6.2: what was undone was reordering, and RACK remembers it */
TCP_TEST(undone_recovery_is_reordering)
{
	uint32_t first_ts;

	begin_recovery(r, 10, &first_ts);
	ack_echoing(r, AT(4), first_ts);
	ack(r, AT(10));
	CHECK_EQ(app_lend(r, 10 * FULL, 2, 0), 0);
	advance_ms(r, RTT_MS);
	forget(r);
	sack(r, AT(10), 11, 15);
	CHECK(sends_nothing(r));
}

/* --- F-RTO --- */

static void time_goes_by(struct rig *r)
{
	for (unsigned i = 0; counter(r, TOW_COUNTER_TCP_RTO) == 0; i++) {
		forget(r);
		CHECK_LT(i, 5u);
		CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX);
	}
}

/* Thirty queued, ten or eleven out, and the timer expired. */
static void time_out(struct rig *r)
{
	time_goes_by(r);
	CHECK_EQ(times_sent(r, 1), 1u);
	CHECK_EQ(info_of(r).cwnd_bytes, FULL);
}

/* Without SACK or timestamps F-RTO is alone. */
static void time_out_without_options(struct rig *r, uint32_t segments)
{
	r->options.offer.ts = false;
	r->options.offer.mss = FULL;
	fly_without_sack(r, segments);
	time_out(r);
}

/* RFC 5682 2.1: new data on the first ACK, the second is of the originals */
TCP_TEST(late_acks_after_a_timeout_send_nothing_again)
{
	time_out_without_options(r, 30);
	ack(r, AT(1));
	CHECK(sends(r, ACK, AT(10), 1, FULL));
	CHECK(sends(r, ACK, AT(11), 1, FULL));
	CHECK(sends_nothing(r));
	ack(r, AT(3));
	CHECK_EQ(undone(r), 1u);
	CHECK_GE(info_of(r).cwnd_bytes, 10 * FULL);
	while (waiting(r))
		CHECK_GE(next(r)->seq, AT(12));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_SEGS), 1u);
}

/* RFC 5682 2.1: if it expires again, from the beginning */
TCP_TEST(second_timeout_of_a_segment_is_examined_too)
{
	time_out_without_options(r, 30);
	CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 2u);
	CHECK_EQ(times_sent(r, 1), 1u);
	ack(r, AT(1));
	CHECK(sends(r, ACK, AT(10), 1, FULL));
	forget(r);
	ack(r, AT(3));
	CHECK_EQ(undone(r), 1u);
	CHECK_GE(info_of(r).cwnd_bytes, 10 * FULL);
	CHECK_EQ(times_sent(r, AT(3)), 0u);
}

/* RFC 5682 2.1 (3a): duplicates, for the new data: the rest was lost */
TCP_TEST(duplicate_after_the_new_data_sends_the_rest_again)
{
	time_out_without_options(r, 30);
	ack(r, AT(1));
	forget(r);
	ack(r, AT(1));
	CHECK(sends(r, ACK, AT(1), 1, FULL));
	CHECK_EQ(undone(r), 0u);
}

/* RFC 5682 2.1 (2a): a duplicate first */
TCP_TEST(duplicate_after_a_timeout_ends_the_examination)
{
	time_out_without_options(r, 30);
	ack(r, 1);
	ack(r, AT(1));
	CHECK_EQ(times_sent(r, AT(1)), 1u);
	CHECK_EQ(undone(r), 0u);
}

/* RFC 5682 2.1 (2b): nothing new to send, so the next is sent again */
TCP_TEST(timeout_without_new_data_sends_the_rest_again)
{
	time_out_without_options(r, 10);
	ack(r, AT(1));
	CHECK_EQ(times_sent(r, AT(1)), 1u);
}

/* RFC 5682 2.1: the peer had the rest, which proves nothing without SACK */
TCP_TEST(ack_beyond_the_retransmission_is_no_proof_without_sack)
{
	time_out_without_options(r, 30);
	ack(r, AT(5));
	CHECK_EQ(undone(r), 0u);
	CHECK(sends(r, ACK, AT(10), 1, FULL));
}

/* RFC 5682 3.1: with SACK, whatever was sent once and comes now was late */
TCP_TEST(late_ack_with_sack_undoes_the_timeout)
{
	fly(r, 30);
	time_out(r);
	ack(r, AT(3));
	CHECK_EQ(undone(r), 1u);
	CHECK_GE(info_of(r).cwnd_bytes, 10 * FULL);
	while (waiting(r))
		CHECK_GE(next(r)->seq, AT(10));
}

/* RFC 5681 3.1: the window that comes back is of as many segments, not bytes */
TCP_TEST(undo_after_the_mtu_fell_returns_as_many_segments)
{
	uint32_t first_ts, mss;

	r->options.offer.mss = 1460;
	handshake_passive(r);
	mss = info_of(r).mss;
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	first_ts = peek(r)->tsval;
	time_goes_by(r);
	inject_icmp(r, ICMP_TOO_BIG, 1300, 1, 0);
	CHECK_LT(info_of(r).mss, mss);
	ack_echoing(r, 1 + mss, first_ts);
	CHECK_EQ(undone(r), 1u);
	CHECK_GE(info_of(r).cwnd_bytes, 9 * info_of(r).mss);
	CHECK_LE(info_of(r).cwnd_bytes, 10 * info_of(r).mss);
	forget(r);
}

/* RFC 4015 3.2 step 8: a slow moment is not kept in mind, but that there was one */
TCP_TEST(timeout_is_adapted_by_the_first_new_data_after_a_needless_one)
{
	fly(r, 60);
	time_out(r);
	ack(r, AT(3));
	CHECK_EQ(undone(r), 1u);
	ack(r, AT(10)); /* all that was late: so the path seems slow */
	CHECK_GT(info_of(r).srtt_us, 110000u);
	advance_ms(r, 90);
	ack(r, AT(11)); /* new, but perhaps sent before that was known */
	ack(r, AT(20));
	CHECK_EQ(info_of(r).srtt_us, 100000u); /* as before */
	CHECK_GE(info_of(r).rttvar_us, 45000u);
	CHECK_EQ(info_of(r).rto_us,
		 info_of(r).srtt_us + 4 * info_of(r).rttvar_us);
	forget(r);
	advance_ms(r, 60);
	ack(r, AT(22)); /* from then on as ever: an eighth of 150 ms */
	CHECK_EQ(info_of(r).srtt_us, 106250u);
	forget(r);
}

/* RFC 4015 3.2 step 8: if the path has become slower, the new data says so */
TCP_TEST(timeout_is_adapted_to_a_path_that_became_slower)
{
	fly(r, 60);
	time_out(r);
	ack(r, AT(3));
	ack(r, AT(10));
	advance_ms(r, 180);
	ack(r, AT(20));
	CHECK_EQ(info_of(r).srtt_us, 180000u);
	CHECK_EQ(info_of(r).rttvar_us, 90000u);
	CHECK_EQ(info_of(r).rto_us, 540000u);
	forget(r);
}

/* RFC 5682 3.1 (3a): only the new data is SACKed, so the rest was lost */
TCP_TEST(sack_of_the_new_data_sends_the_rest_again)
{
	uint32_t high = 0;

	fly(r, 30);
	time_out(r);
	ack(r, AT(1));
	while (waiting(r)) {
		high = next(r)->seq;
		CHECK_GE(high, AT(10));
	}
	CHECK_GE(high, AT(10));
	advance_ms(r, 10);
	inject(r, .flags = ACK, .seq = 1, .ack = AT(1), .sacks = 1,
	       .sack = { { high, high + FULL } });
	CHECK_EQ(times_sent(r, AT(1)), 1u);
	CHECK_EQ(undone(r), 0u);
	/* RFC 6675 5.1: and what is found lost then is part of that recovery */
	for (uint32_t n = 2; n <= 10; n++) {
		advance_ms(r, 50);
		sack(r, AT(1), n, n + 1);
		forget(r);
	}
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 0u);
}

/* RFC 5682 3.1 (3a): old data that is SACKed together with new data, too */
TCP_TEST(sack_of_old_and_new_data_together_sends_the_rest_again)
{
	fly(r, 30);
	time_out(r);
	ack(r, AT(1));
	CHECK_GE(times_sent(r, AT(11)), 1u);
	advance_ms(r, 10);
	inject(r, .flags = ACK, .seq = 1, .ack = AT(1), .sacks = 2,
	       .sack = { { AT(10), AT(12) }, { AT(5), AT(6) } });
	CHECK_EQ(undone(r), 0u);
	CHECK_EQ(times_sent(r, AT(1)), 1u);
}

/* RFC 5682 2.1, 3.1 (3): what is neither new nor a duplicate is ignored */
TCP_TEST(window_update_does_not_end_the_examination)
{
	r->options.offer.sack_ok = false;
	fly(r, 30);
	time_out(r);
	ack(r, AT(1));
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = AT(1), .window = 500000);
	inject(r, .flags = ACK, .seq = 1, .ack = AT(1), .bytes = 10);
	CHECK_EQ(times_sent(r, AT(1)), 0u);
	inject(r, .flags = ACK, .seq = 11, .ack = AT(3));
	CHECK_EQ(undone(r), 1u);
	forget(r);
}

/* RFC 5682 2.1 (2a): a part of what was sent again is no reason for news */
TCP_TEST(ack_of_a_part_of_the_retransmission_ends_the_examination)
{
	r->options.offer.sack_ok = false;
	fly(r, 30);
	time_out(r);
	ack(r, 1 + FULL / 2);
	CHECK_EQ(times_sent(r, AT(10)), 0u);
	ack(r, AT(1));
	ack(r, AT(3));
	CHECK_EQ(undone(r), 0u);
	forget(r);
}

/* RFC 3522: timestamps prove it on the first ACK, without new data to send */
TCP_TEST(echo_of_the_original_undoes_the_timeout)
{
	uint32_t first_ts;

	r->options.offer.sack_ok = false;
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 10 * FULL, 1, 0), 0);
	first_ts = peek(r)->tsval;
	forget(r);
	time_out(r);
	ack_echoing(r, AT(1), first_ts);
	CHECK_EQ(undone(r), 1u);
	CHECK_EQ(bytes_sent(r), 0u);
	CHECK_GE(info_of(r).cwnd_bytes, 10 * FULL);
}

/* RFC 5682 3.1 step 1: not in the middle of a fast recovery */
TCP_TEST(timeout_in_a_recovery_is_not_examined)
{
	uint32_t first_ts;

	begin_recovery(r, 30, &first_ts);
	time_goes_by(r);
	forget(r);
	ack(r, AT(4));
	CHECK_EQ(undone(r), 0u);
	CHECK_EQ(peek(r)->seq, AT(4));
}

/*
 * RFC 4015 3: what waits to be sent again is on its way since it was sent, and
 * so before what was sent again, which the stream has in front of it. RACK goes
 * by that (each event checks the order).
 */
TCP_TEST(undone_recovery_leaves_the_flight_in_the_order_of_time)
{
	uint32_t first_ts;

	handshake_passive(r);
	CHECK_EQ(app_lend(r, 40 * FULL, 1, 0), 0);
	first_ts = peek(r)->tsval;
	forget(r);
	advance_ms(r, RTT_MS);
	sack(r, 1, 6, 9); /* 0 to 5 are lost, and the half of them go again */
	CHECK_EQ(bytes_sent(r), 3 * FULL);
	advance_ms(r, 5);
	ack_echoing(r, AT(1), first_ts);
	CHECK_EQ(undone(r), 1u);
	forget(r);
	ack(r, AT(10));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_SEGS), 3u);
}
