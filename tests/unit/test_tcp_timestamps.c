/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timestamps: RFC 7323 3 (echo), 4 (round-trip times), 5 (PAWS).
 */
#include "tcp_peer.h"

/* A segment with this timestamp, echoing what the stack sent last. */
#define stamped(r, val, ...)                                            \
	inject(r, .ts = true, .tsval = (val), .tsecr = (r)->last_tsval, \
	       .flags = ACK, .ack = 1, __VA_ARGS__)

static struct segment last(struct rig *r)
{
	struct segment s = { 0 };

	while (waiting(r))
		s = *next(r);
	forget(r);
	return s;
}

static struct segment ack_of(struct rig *r)
{
	advance_ms(r, 500);
	return last(r);
}

/* What the handshake's last ACK had, and more. */
static uint32_t now_ts(const struct rig *r)
{
	return r->peer_ts + (uint32_t)(r->now_us / 1000) + 1;
}

/* RFC 7323 3.2: on each segment but RST once both have offered */
TCP_TEST(every_segment_has_timestamps_once_negotiated)
{
	handshake_passive(r);
	app_send(r, 5000, 0);
	inject(r, .flags = ACK, .seq = 1, .ack = 1001, .bytes = 100);
	inject(r, .flags = ACK, .seq = 1001, .ack = 1001, .bytes = 100);
	tow_tcp_shutdown(r->tcp);
	advance_ms(r, 2000);
	CHECK_GE(waiting(r), 8u);
	while (waiting(r)) {
		CHECK(peek(r)->ts);
		/* RFC 7323 appendix A: aligned by two NOPs */
		CHECK_MEM(peek(r)->options, ((uint8_t[]){ 1, 1, 8, 10 }), 4);
		CHECK_NE(next(r)->tsecr, 0u);
	}
}

/* RFC 7323 3.2: never on a connection that did not negotiate */
TCP_TEST(no_segment_has_timestamps_when_the_peer_did_not_offer)
{
	r->options.offer.ts = false;
	handshake_passive(r);
	app_send(r, 5000, 0);
	inject(r, .flags = ACK, .seq = 1, .ack = 1001, .bytes = 100, .ts = true,
	       .tsval = 5, .tsecr = 5);
	advance_ms(r, 500);
	while (waiting(r))
		CHECK(!next(r)->ts);
	CHECK_EQ(app_recv(r, 1000), 100); /* ignored, not refused */
}

/* RFC 7323 3.2: TSval moves with a clock of 1 ms to 1 s a tick (5.4) */
TCP_TEST(timestamp_clock_ticks_between_1_ms_and_1_s)
{
	uint32_t first, second;

	handshake_passive(r);
	app_send(r, 10, 0);
	first = last(r).tsval;
	inject(r, .flags = ACK, .seq = 1, .ack = 11);
	advance_ms(r, 10000);
	app_send(r, 10, 0);
	second = last(r).tsval;
	CHECK_GE(second - first, 10u);
	CHECK_LE(second - first, 10001u);
}

/* RFC 7323 3.2: without ACK there is no echo, whatever TSecr says */
TCP_TEST(echo_of_a_segment_without_ack_is_ignored)
{
	put_in_state(r, AT_SYN_SENT);
	inject(r, .flags = SYN, .mss = 1000, .ts = true, .tsval = 77,
	       .tsecr = r->last_tsval + 100000); /* which we never sent */
	CHECK_EQ(peek(r)->tsecr, 77u);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(state_of(r), TOW_TCP_SYN_RECEIVED);
	CHECK_EQ(info_of(r).srtt_us, 0u);
}

/* RFC 7323 4.3 (2): echoed is the segment at the left edge of the window */
TCP_TEST(echo_is_of_the_segment_that_the_delayed_ack_began_with)
{
	uint32_t t, seq;

	handshake_passive(r);
	for (seq = 1; seq < 1601; seq += 100) /* these are not delayed */
		stamped(r, now_ts(r), .seq = seq, .bytes = 100);
	forget(r);
	t = now_ts(r);
	stamped(r, t, .seq = seq, .bytes = 100);
	advance_ms(r, 2);
	stamped(r, t + 2, .seq = seq + 100, .bytes = 100);
	CHECK_EQ(ack_of(r).tsecr, t);
	t = now_ts(r);
	stamped(r, t, .seq = seq + 200, .bytes = 100);
	CHECK_EQ(ack_of(r).tsecr, t);
}

/* RFC 7323 4.3 (2) example 2: what comes after a hole is not echoed */
TCP_TEST(echo_is_not_of_a_segment_after_a_hole)
{
	uint32_t t;

	handshake_passive(r);
	t = now_ts(r);
	stamped(r, t, .seq = 1, .bytes = 1000);
	CHECK_EQ(ack_of(r).tsecr, t);
	stamped(r, t + 600, .seq = 2001, .bytes = 1000);
	CHECK_EQ(last(r).tsecr, t);
	stamped(r, t + 602, .seq = 3001, .bytes = 1000);
	CHECK_EQ(last(r).tsecr, t);
	/* What fills the hole is echoed. */
	stamped(r, t + 604, .seq = 1001, .bytes = 1000);
	CHECK_EQ(last(r).tsecr, t + 604);
	/* 5.3: those behind it are older now, but were looked at before. */
	CHECK_EQ(app_recv(r, 10000), 4000);
}

/* RFC 7323 5.3 R1: older than TS.Recent is answered and dropped */
TCP_TEST(segment_with_an_old_timestamp_is_dropped_with_an_ack)
{
	uint32_t t;

	handshake_passive(r);
	t = now_ts(r) + 1000;
	stamped(r, t, .seq = 1, .bytes = 100);
	ack_of(r);
	stamped(r, t - 1, .seq = 101, .bytes = 100);
	CHECK(sends(r, ACK, 1, 101, 0));
	CHECK_EQ(drops(r, TOW_DROP_TCP_PAWS), 1u);
	CHECK_EQ(app_recv(r, 1000), 100);
	stamped(r, t, .seq = 101, .bytes = 100); /* equal is not older */
	CHECK_EQ(app_recv(r, 1000), 100);
}

/* RFC 7323 5.3: PAWS comes before the check of the sequence number */
TCP_TEST(segment_that_is_old_and_out_of_the_window_is_old)
{
	uint32_t t;

	handshake_passive(r);
	t = now_ts(r) + 1000;
	stamped(r, t, .seq = 1, .bytes = 100);
	ack_of(r);
	stamped(r, t - 1, .seq = 0x20000000, .bytes = 100);
	CHECK(sends(r, ACK, 1, 101, 0));
	CHECK_EQ(drops(r, TOW_DROP_TCP_PAWS), 1u);
	CHECK_EQ(drops(r, TOW_DROP_TCP_SEQUENCE), 0u);
}

/* RFC 7323 5.3: a RST is taken whatever its timestamp */
TCP_TEST(reset_is_not_subject_to_paws)
{
	handshake_passive(r);
	stamped(r, now_ts(r) + 1000, .seq = 1, .bytes = 100);
	inject(r, .flags = RST, .seq = 101, .ts = true, .tsval = 1);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* RFC 7323 3.2: RSTs need no timestamp */
TCP_TEST(reset_without_timestamps_is_taken)
{
	handshake_passive(r);
	inject(r, .flags = RST, .seq = 1, .no_ts = true);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* RFC 7323 5.5: after 24 days of silence TS.Recent counts no more */
TCP_TEST(paws_forgets_after_24_days)
{
	uint32_t t;

	handshake_passive(r);
	t = now_ts(r);
	stamped(r, t, .seq = 1, .bytes = 100);
	ack_of(r);
	advance_ms(r, 25ull * 24 * 3600 * 1000);
	stamped(r, t - 5, .seq = 101, .bytes = 100);
	CHECK_EQ(app_recv(r, 1000), 200);
	CHECK_EQ(ack_of(r).tsecr, t - 5); /* R3: TS.Recent is of this one */
	stamped(r, t - 6, .seq = 201, .bytes = 100);
	CHECK_EQ(app_recv(r, 1000), TOW_EAGAIN);
	forget(r);
}

/* attacks: PAWS poisoning. Not acceptable, so TS.Recent stays (5.3 R1, R3). */
TCP_TEST(unacceptable_segments_do_not_move_ts_recent)
{
	uint32_t t;

	handshake_passive(r);
	t = now_ts(r);
	/* beyond the window, before it, after a hole, no ACK, ACK too new */
	stamped(r, t + 0x40000000, .seq = 0x10000000, .bytes = 100);
	stamped(r, t + 0x40000000, .seq = (uint32_t)-5000, .bytes = 100);
	stamped(r, t + 0x40000000, .seq = 5001, .bytes = 100);
	inject(r, .flags = 0, .seq = 1, .bytes = 100, .ts = true,
	       .tsval = t + 0x40000000);
	inject(r, .flags = ACK, .seq = 1, .ack = 90000, .bytes = 100,
	       .ts = true, .tsval = t + 0x40000000);
	inject(r, .flags = SYN, .seq = 1, .ts = true, .tsval = t + 0x40000000);
	inject(r, .flags = RST, .seq = 9, .ts = true, .tsval = t + 0x40000000);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100, .ts = true,
	       .tsval = t + 0x40000000, .bad_checksum = true);
	stamped(r, t, .seq = 1, .bytes = 100);
	CHECK_EQ(app_recv(r, 1000), 100);
	CHECK_EQ(ack_of(r).tsecr, t);
}

/*
 * RFC 7323 4.1: an echo counts milliseconds. On a path of less it says 0, which
 * is no round trip; the shortest is known better.
 */
TCP_TEST(echo_in_the_same_millisecond_does_not_shorten_the_shortest_round_trip)
{
	uint32_t shortest;

	handshake_passive(r);
	app_send(r, 10, 0);
	advance_us(r, 300);
	inject(r, .flags = ACK, .seq = 1, .ack = 11);
	shortest = info_of(r).min_rtt_us;
	CHECK_GE(shortest, 300u);
	CHECK_LE(shortest, 400u);
	app_send(r, 10, 0);
	forget(r);
	CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX);
	inject(r, .flags = ACK, .seq = 1, .ack = 21, .ts = true,
	       .tsval = now_ts(r), .tsecr = last(r).tsval);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK_EQ(info_of(r).in_flight_bytes, 0u);
	CHECK_EQ(info_of(r).min_rtt_us, shortest);
}

/*
 * The same: and the echo of 39.97 ms may be 40, which is no lower bound. Samples
 * of the rate that took less were thrown away by it, and BBR stood still.
 */
TCP_TEST(echo_is_never_the_shortest_round_trip)
{
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_CONGESTION, TOW_TCP_BBR),
		 0);
	await_syn_ack(r);
	CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX); /* again */
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	app_send(r, 4000, 0);
	advance_us(r, 30990 - r->now_us % 1000);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .sacks = 1,
	       .sack = { { 1001, 4001 } });
	forget(r);
	advance_us(r, 39970);
	inject(r, .flags = ACK, .seq = 1, .ack = 4001);
	CHECK_EQ(info_of(r).srtt_us, 40000u);
	CHECK_EQ(info_of(r).min_rtt_us, 0u);
	CHECK_LE(info_of(r).delivery_rate, 25100u);
	app_send(r, 1000, 0);
	advance_us(r, 39970);
	inject(r, .flags = ACK, .seq = 1, .ack = 5001);
	CHECK_EQ(info_of(r).min_rtt_us, 39970u);
}

/*
 * RFC 6298 3: a sample of a segment sent twice is right only by the echo. With
 * the first one's, the round trip was a second; or there is no sample.
 */
TCP_TEST(ack_of_a_retransmission_gives_the_echoed_sample_or_none)
{
	uint32_t first;

	handshake_passive(r);
	app_send(r, 100, 0);
	first = last(r).tsval;
	advance_ms(r, 1000); /* several retransmissions */
	CHECK_GE(waiting(r), 1u);
	inject(r, .flags = ACK, .seq = 1, .ack = 101, .ts = true,
	       .tsval = now_ts(r), .tsecr = first);
	CHECK(info_of(r).srtt_us == RTT_MS * 1000 ||
	      info_of(r).srtt_us / 1000 == (7 * RTT_MS + 1000) / 8);
}

/* RFC 7323 4.1, RFC 2883: the ACK of the first was lost, this is the second's
 */
TCP_TEST(echo_beside_a_dsack_measures_no_round_trip)
{
	uint32_t first, before;

	handshake_passive(r);
	before = info_of(r).srtt_us;
	app_send(r, 100, 0);
	first = last(r).tsval;
	advance_ms(r, 1000);
	CHECK_GE(waiting(r), 1u);
	inject(r, .flags = ACK, .seq = 1, .ack = 101, .ts = true,
	       .tsval = now_ts(r), .tsecr = first, .sacks = 1,
	       .sack = { { 1, 101 } });
	CHECK_EQ(info_of(r).in_flight_bytes, 0u);
	CHECK_EQ(info_of(r).srtt_us, before);
}

/* attacks: an echo of the future is no round trip of 2^32 ms */
TCP_TEST(absurd_echoes_do_not_break_the_rto)
{
	static const uint32_t off[] = { 1, 100000, 0x7fffffff, 0x80000000,
					0xfffffff0 };
	uint32_t ack = 1;

	handshake_passive(r);
	for (unsigned i = 0; i < 5; i++) {
		app_send(r, 100, 0);
		ack += 100;
		inject(r, .flags = ACK, .seq = 1, .ack = ack, .ts = true,
		       .tsval = now_ts(r), .tsecr = r->last_tsval + off[i]);
		CHECK_GE(info_of(r).rto_us, 200000u);
		CHECK_LE(info_of(r).rto_us, 120000000u);
	}
	CHECK_EQ(info_of(r).in_flight_bytes, 0u);
}

/* RFC 7323 5.2: sequence numbers may wrap many times within a TS clock */
TCP_TEST(old_duplicate_of_a_wrapped_sequence_is_refused)
{
	uint32_t t, seq = 1;

	handshake_passive(r);
	t = now_ts(r);
	for (unsigned i = 0; i < 50; i++) {
		stamped(r, t + i, .seq = seq, .bytes = 1000);
		seq += 1000;
		CHECK_EQ(app_recv(r, 10000), 1000);
		advance_ms(r, 1);
	}
	ack_of(r);
	stamped(r, t + 10, .seq = seq, .bytes = 1000);
	CHECK_EQ(app_recv(r, 10000), TOW_EAGAIN);
}

/* RFC 7323 3.2: dropped in silence, and the connection is not aborted */
TCP_TEST(segment_without_timestamps_is_dropped_in_silence)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10, .no_ts = true);
	CHECK(sends_nothing(r));
	CHECK_EQ(drops(r, TOW_DROP_TCP_PAWS), 1u);
	CHECK_EQ(app_recv(r, 100), TOW_EAGAIN);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	CHECK_EQ(app_recv(r, 100), 10);
}

/* RFC 7323 3.2, 5.2 */
TCP_TEST(reset_that_we_send_has_timestamps)
{
	handshake_passive(r);
	tow_tcp_abort(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	CHECK(peek(r)->flags & RST);
	CHECK(peek(r)->ts);
}

/* RFC 7323 5.2: the RST for a segment echoes it; whose clock would TSval be? */
TCP_TEST(reset_for_a_segment_echoes_its_timestamp)
{
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .ts = true, .tsval = 4711);
	CHECK(peek(r)->flags & RST);
	CHECK(peek(r)->ts);
	CHECK_EQ(peek(r)->tsval, 0u);
	CHECK_EQ(peek(r)->tsecr, 4711u);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .no_ts = true);
	CHECK(peek(r)->flags & RST);
	CHECK(!peek(r)->ts);
}
