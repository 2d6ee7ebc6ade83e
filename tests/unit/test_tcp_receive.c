/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receiver: order, windows, acknowledgements, SACK blocks, and the two
 * ways for the program to get its bytes.
 */
#include "tcp_peer.h"
#include <stdlib.h>
#include <string.h>

/* A full segment to the stack: what its own MSS allows beside timestamps. */
static uint32_t full_in(const struct rig *r)
{
	return r->options.family == IPV4 ? 1448 : 1428;
}

/* A segment of @bytes from relative sequence @seq on, and no more said. */
static void data(struct rig *r, uint32_t seq, uint32_t bytes)
{
	inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = bytes);
}

/* The last segment sent; everything is forgotten. */
static struct segment last(struct rig *r)
{
	struct segment s = { 0 };

	while (waiting(r))
		s = *next(r);
	forget(r);
	return s;
}

/* All the ACKs owed come out within this. */
static struct segment ack_of(struct rig *r)
{
	advance_ms(r, 500);
	return last(r);
}

/* RFC 9293 3.10.7.4, seventh; tow/tcp.h */
TCP_TEST(bytes_arrive_in_order_and_end_with_the_fin)
{
	handshake_passive(r);
	CHECK_EQ(app_recv(r, 10), TOW_EAGAIN);
	data(r, 1, 1000);
	CHECK_EQ(app_recv(r, 600), 600);
	CHECK_EQ(app_recv(r, 600), 400);
	CHECK_EQ(app_recv(r, 600), TOW_EAGAIN);
	inject(r, .flags = ACK | FIN, .seq = 1001, .ack = 1, .bytes = 10);
	CHECK_EQ(app_recv(r, 600), 10);
	CHECK_EQ(app_recv(r, 600), 0);
	CHECK_EQ(app_recv(r, 600), 0);
	CHECK_GE(events_of(r, TOW_EVENT_READABLE), 2u);
}

/* RFC 9293 3.8.6.3 allows it, Linux does it: the peer is in slow start */
TCP_TEST(first_sixteen_acks_are_not_delayed)
{
	handshake_passive(r);
	for (uint32_t i = 0; i < 16; i++) {
		data(r, 1 + 100 * i, 100);
		CHECK(sends(r, ACK, 1, 101 + 100 * i, 0));
	}
	data(r, 1601, 100);
	CHECK(sends_nothing(r));
}

/* The same: who answers lets the answer carry the ACK */
TCP_TEST(acks_are_delayed_once_the_program_answers)
{
	handshake_passive(r);
	data(r, 1, 100);
	CHECK(sends(r, ACK, 1, 101, 0));
	app_send(r, 10, 0);
	CHECK(sends(r, ACK, 1, 101, 10));
	inject(r, .flags = ACK, .seq = 101, .ack = 11, .bytes = 100);
	CHECK(sends_nothing(r));
	app_send(r, 10, 0);
	CHECK(sends(r, ACK, 11, 201, 10));
}

/* RFC 9293 3.8.6.3 SHLD-18, MUST-40: delayed, but less than half a second */
TCP_TEST(ack_of_a_lone_segment_is_delayed)
{
	uint64_t waited;
	uint32_t seq;

	handshake_passive(r);
	for (seq = 1; seq < 1 + 17 * full_in(r); seq += full_in(r))
		data(r, seq, full_in(r));
	advance_ms(r, 500);
	forget(r);
	data(r, seq, 100);
	CHECK(sends_nothing(r));
	waited = advance_to_segment(r, 500000);
	CHECK_LE(waited, 100000u);
	CHECK_GE(waited, 1000u);
	CHECK(sends(r, ACK, 1, seq + 100, 0));
}

/* RFC 9293 3.8.6.3 SHLD-19, RFC 5681 4.2 */
TCP_TEST(every_second_full_segment_is_acknowledged_at_once)
{
	handshake_passive(r);
	for (uint32_t i = 0; i < 10; i += 2) {
		data(r, 1 + i * full_in(r), full_in(r));
		forget(r);
		data(r, 1 + (i + 1) * full_in(r), full_in(r));
		CHECK(sends(r, ACK, 1, 1 + (i + 2) * full_in(r), 0));
	}
}

/* RFC 5681 4.2: a receiver never sends more than an ACK per segment */
TCP_TEST(segments_are_acknowledged_at_most_once_each)
{
	handshake_passive(r);
	for (uint32_t i = 0; i < 20; i++)
		data(r, 1 + i * 500, 500);
	advance_ms(r, 500);
	CHECK_LE(waiting(r), 20u);
	CHECK_GE(waiting(r), 3u);
}

/* RFC 9293 3.8.6.3: the ACK rides on data */
TCP_TEST(ack_rides_on_data_that_goes_anyway)
{
	handshake_passive(r);
	data(r, 1, 100);
	forget(r);
	app_send(r, 50, 0);
	CHECK(sends(r, ACK, 1, 101, 50));
	advance_ms(r, 150);
	CHECK(sends_nothing(r));
}

/* RFC 5681 4.2: out of order, at once */
TCP_TEST(segment_after_a_hole_is_answered_at_once)
{
	const struct segment *s;

	handshake_passive(r);
	data(r, 1001, 1000);
	s = peek(r);
	CHECK(sends(r, ACK, 1, 1, 0));
	CHECK_EQ(s->sacks, 1u);
	CHECK_EQ(s->sack[0].left, 1001u);
	CHECK_EQ(s->sack[0].right, 2001u);
	CHECK_EQ(app_recv(r, 10), TOW_EAGAIN);
}

/* RFC 5681 4.2: what fills a hole, wholly or in part, at once */
TCP_TEST(segment_that_fills_a_hole_is_answered_at_once)
{
	handshake_passive(r);
	data(r, 1001, 1000);
	data(r, 3001, 1000);
	forget(r);
	data(r, 1, 500);
	CHECK(sends(r, ACK, 1, 501, 0));
	data(r, 501, 500);
	CHECK(sends(r, ACK, 1, 2001, 0));
	data(r, 2001, 1000);
	CHECK(sends(r, ACK, 1, 4001, 0));
	CHECK_EQ(app_recv(r, 10000), 4000);
}

/* RFC 9293 3.10.7.4, eighth: and it does not wait */
TCP_TEST(fin_is_acknowledged_at_once)
{
	handshake_passive(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1, .bytes = 10);
	CHECK(sends(r, ACK, 1, 12, 0));
}

/* RFC 9293 3.10.7.4: any order gives the same bytes */
TCP_TEST(all_orders_of_five_segments_give_the_same_stream)
{
	uint32_t base = 1;

	handshake_passive(r);
	for (unsigned n = 0; n < 120; n++) {
		unsigned left[5] = { 0, 1, 2, 3, 4 }, code = n;

		for (unsigned size = 5; size; size--) {
			unsigned pick = code % size;

			code /= size;
			data(r, base + left[pick] * 300, 300);
			for (unsigned k = pick; k + 1 < size; k++)
				left[k] = left[k + 1];
		}
		base += 1500;
		CHECK_EQ(app_recv(r, 10000), 1500);
		CHECK_EQ(ack_of(r).ack, base);
	}
}

/* A small generator, the same on each machine. */
static uint32_t chance(uint32_t *state, uint32_t below)
{
	*state = *state * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)*state * below) >> 32);
}

/* RFC 9293 3.10.7.4: overlaps are trimmed, never doubled, never mixed up */
TCP_TEST(random_overlaps_give_the_same_stream)
{
	uint32_t seed = 7, total = 60000;

	handshake_passive(r);
	for (unsigned i = 0; i < 600; i++) {
		uint32_t seq = 1 + chance(&seed, total - 2000);

		data(r, seq, 1 + chance(&seed, 1400));
	}
	for (uint32_t seq = 1; seq < 1 + total; seq += 1000)
		data(r, seq, 1000);
	CHECK_EQ(ack_of(r).ack, total + 1);
	CHECK_EQ(info_of(r).unread_bytes, total);
	CHECK_EQ(app_recv(r, 100000), total);
}

/* RFC 9293 3.10.7.4: old bytes in front of new ones are cut off */
TCP_TEST(segment_that_begins_with_old_bytes_is_trimmed)
{
	handshake_passive(r);
	data(r, 1, 500);
	data(r, 301, 500);
	CHECK_EQ(app_recv(r, 10000), 800);
	inject(r, .flags = FIN | ACK, .seq = 501, .ack = 1, .bytes = 400);
	CHECK_EQ(app_recv(r, 10000), 100);
	CHECK_EQ(app_recv(r, 10000), 0);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSE_WAIT);
}

/* RFC 9293 3.10.7.4: "a segment that runs over the window is trimmed" */
TCP_TEST(bytes_beyond_the_window_are_cut_off)
{
	uint32_t window;

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_RECV_BYTES, 8192), 0);
	handshake_passive(r);
	for (uint32_t seq = 1; seq < 60000; seq += 1000)
		data(r, seq, 1000);
	window = (uint32_t)info_of(r).unread_bytes;
	CHECK_EQ(ack_of(r).ack, window + 1);
	data(r, window + 1, 1000);
	CHECK_EQ(info_of(r).unread_bytes, window);
	CHECK_EQ(app_recv(r, 100000), window);
}

/* RFC 9293 3.8.6, SHLD-14: every advertised edge is kept */
TCP_TEST(window_is_what_is_left_and_its_edge_never_moves_back)
{
	uint32_t seq = 1, edge = 0, seed = 3;

	handshake_passive(r);
	for (unsigned i = 0; i < 400; i++) {
		uint32_t bytes = 1 + chance(&seed, 1400);
		struct segment s;

		if (edge && seq + bytes > edge)
			bytes = edge - seq;
		if (bytes) {
			data(r, seq, bytes);
			seq += bytes;
		}
		s = ack_of(r);
		if (s.flags & ACK) {
			CHECK_GE(s.ack + s.window, edge);
			edge = s.ack + s.window;
			CHECK_EQ(s.ack, seq);
		}
		if (i % 7 == 0)
			app_recv(r, chance(&seed, 9000));
	}
}

/* Bytes until the window is shut; the program reads nothing. */
static uint32_t fill_window(struct rig *r)
{
	uint32_t seq = 1;
	struct segment s = { .window = 1 };

	while (s.window) {
		CHECK_LT(seq, 20000000u);
		data(r, seq,
		     s.window < full_in(r) && seq > 1 ? s.window : full_in(r));
		seq = 1 + (uint32_t)info_of(r).unread_bytes;
		s = ack_of(r);
		CHECK_EQ(s.ack, seq);
	}
	return seq;
}

/* RFC 9293 3.8.6.1: a probe of a shut window is answered, not swallowed */
TCP_TEST(probe_of_a_shut_window_is_answered)
{
	uint32_t seq;
	struct segment s;

	handshake_passive(r);
	seq = fill_window(r);
	data(r, seq, 1);
	s = ack_of(r);
	CHECK_EQ(s.ack, seq);
	CHECK_EQ(s.window, 0u);
	data(r, seq - 1, 0);
	CHECK_EQ(ack_of(r).ack, seq);
	CHECK_EQ(app_recv(r, 1 << 20) + 1, (int64_t)seq);
}

/* RFC 9293 3.10.7.4, first: ACK and RST pass a shut window */
TCP_TEST(shut_window_lets_acks_and_resets_in)
{
	uint32_t seq;

	handshake_passive(r);
	seq = fill_window(r);
	app_send(r, 100, 0);
	inject(r, .flags = ACK, .seq = seq, .ack = 101);
	CHECK_EQ(info_of(r).in_flight_bytes, 0u);
	inject(r, .flags = RST, .seq = seq);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* RFC 9293 3.8.6.2.2: no crumbs; the edge moves by a segment or half */
TCP_TEST(reading_crumbs_does_not_open_the_window)
{
	handshake_passive(r);
	fill_window(r);
	for (unsigned i = 0; i < 20; i++) {
		app_recv(r, 10);
		advance_ms(r, 10);
	}
	CHECK(sends_nothing(r));
}

/* RFC 9293 3.8.6.2.2: reading all says so at once */
TCP_TEST(reading_a_full_buffer_sends_a_window_update)
{
	struct segment s;
	uint32_t seq;

	handshake_passive(r);
	seq = fill_window(r);
	app_recv(r, 1 << 20);
	advance_ms(r, 50);
	s = last(r);
	CHECK_EQ(s.flags, ACK);
	CHECK_EQ(s.ack, seq);
	CHECK_GE(s.window, 2 * full_in(r));
	data(r, seq, 1000);
	CHECK_EQ(app_recv(r, 10000), 1000);
}

/* tow/tcp.h: borrow shows bytes in place, again goes on, return opens */
TCP_TEST(borrowed_bytes_hold_the_window_until_returned)
{
	struct segment s;
	uint32_t seq;
	int64_t first, rest;

	handshake_passive(r);
	data(r, 1, 1000);
	first = app_borrow(r);
	CHECK_EQ(first, 1000);
	CHECK_EQ(app_borrow(r), TOW_EAGAIN);
	data(r, 1001, 500);
	CHECK_EQ(app_borrow(r), 500);
	tow_tcp_return(r->tcp, 1500);
	seq = 1501;
	for (s.window = 1; s.window; s = ack_of(r)) {
		data(r, seq, 1000);
		rest = app_borrow(r);
		if (rest > 0)
			seq += (uint32_t)rest;
		CHECK_LT(seq, 20000000u);
	}
	CHECK_EQ(s.ack, seq);
	tow_tcp_return(r->tcp, seq - 1501);
	poll_until_quiet(r);
	CHECK_GE(ack_of(r).window, 2 * full_in(r));
	CHECK_EQ(tow_tcp_ledger(r->tcp)->rx_lent_bytes, seq - 1u);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->copied_bytes[TOW_COPY_RX_RECV], 0u);
}

/* tow/tcp.h: bytes are returned in other pieces than they were borrowed */
TCP_TEST(borrowed_bytes_are_returned_in_any_pieces)
{
	handshake_passive(r);
	for (uint32_t i = 0; i < 10; i++)
		data(r, 1 + i * 700, 700);
	CHECK_EQ(app_borrow(r), 7000);
	for (uint32_t i = 0; i < 7000; i += 35)
		tow_tcp_return(r->tcp, 35);
	data(r, 7001, 100);
	CHECK_EQ(app_borrow(r), 100);
	tow_tcp_return(r->tcp, 100);
	CHECK_EQ(info_of(r).unread_bytes, 0u);
}

/* tow/tcp.h: spans stay valid when the connection is reset */
TCP_TEST(borrowed_bytes_outlive_a_reset)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n;

	handshake_passive(r);
	data(r, 1, 1000);
	data(r, 1001, 400);
	n = tow_tcp_borrow(r->tcp, spans, TOW_SPANS_MAX);
	CHECK_GE(n, 1);
	inject(r, .flags = RST, .seq = 1401);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	for (uint32_t i = 0, at = 1; i < (uint32_t)n; i++)
		for (size_t k = 0; k < spans[i].len; k++, at++)
			CHECK_EQ(((const uint8_t *)spans[i].ptr)[k],
				 pattern(at));
	tow_tcp_return(r->tcp, 1400);
	CHECK_EQ(app_recv(r, 10), TOW_ECONNRESET);
}

/* tow/tcp.h: few spans at a time, in order, without gaps */
TCP_TEST(borrowing_one_span_at_a_time_gives_the_same_stream)
{
	uint32_t at = 1;
	struct tow_span span;

	handshake_passive(r);
	for (uint32_t i = 0; i < 10; i++)
		data(r, 1 + i * 900, 900);
	while (tow_tcp_borrow(r->tcp, &span, 1) == 1)
		for (size_t k = 0; k < span.len; k++, at++)
			CHECK_EQ(((const uint8_t *)span.ptr)[k], pattern(at));
	CHECK_EQ(at, 9001u);
	tow_tcp_return(r->tcp, 9000);
}

static void check_block(const struct segment *s, unsigned i, uint32_t left,
			uint32_t right)
{
	CHECK_EQ(s->sack[i].left, left);
	CHECK_EQ(s->sack[i].right, right);
}

/* RFC 2018 4: the block with the newest segment first, then by recency */
TCP_TEST(sack_blocks_come_most_recent_first)
{
	struct segment s;

	handshake_passive(r);
	data(r, 2001, 100);
	data(r, 4001, 100);
	data(r, 6001, 100);
	s = last(r);
	CHECK_EQ(s.sacks, 3u); /* all that fit beside timestamps */
	CHECK_EQ(s.sack[0].left, 6001u);
	CHECK_EQ(s.sack[1].left, 4001u);
	CHECK_EQ(s.sack[2].left, 2001u);
	data(r, 8001, 100);
	s = last(r);
	CHECK_EQ(s.sacks, 3u);
	CHECK_EQ(s.sack[0].left, 8001u);
	CHECK_EQ(s.sack[1].left, 6001u);
	CHECK_EQ(s.sack[2].left, 4001u);
	data(r, 2101, 100);
	s = last(r);
	check_block(&s, 0, 2001u, 2201u);
	CHECK_EQ(s.sack[1].left, 8001u);
}

/* RFC 2018 3: four blocks without timestamps */
TCP_TEST(four_sack_blocks_fit_without_timestamps)
{
	struct segment s;

	r->options.offer.ts = false;
	handshake_passive(r);
	for (uint32_t i = 1; i <= 6; i++)
		data(r, 1 + i * 2000, 100);
	s = last(r);
	CHECK_EQ(s.sacks, 4u);
	for (uint32_t i = 0; i < 4; i++)
		CHECK_EQ(s.sack[i].left, 1 + (6 - i) * 2000);
}

/* RFC 2018 4: adjacent blocks are one, and none remains without a hole */
TCP_TEST(sack_blocks_merge_and_go)
{
	struct segment s;

	handshake_passive(r);
	data(r, 1001, 500);
	data(r, 2001, 500);
	forget(r);
	data(r, 1501, 500);
	s = last(r);
	CHECK_EQ(s.sacks, 1u);
	check_block(&s, 0, 1001u, 2501u);
	data(r, 1, 1000);
	s = last(r);
	CHECK_EQ(s.ack, 2501u);
	CHECK_EQ(s.sacks, 0u);
}

/* RFC 2018 4: no SACK without permission */
TCP_TEST(no_sack_is_sent_to_a_peer_that_did_not_permit)
{
	r->options.offer.sack_ok = false;
	handshake_passive(r);
	data(r, 1001, 500);
	CHECK_EQ(last(r).sacks, 0u);
	data(r, 1001, 500);
	CHECK_EQ(last(r).sacks, 0u);
}

/* RFC 2883 4.1.1: a duplicate of what was acknowledged */
TCP_TEST(duplicate_segment_is_reported_by_dsack)
{
	struct segment s;

	handshake_passive(r);
	data(r, 1, 1000);
	data(r, 1001, 1000);
	advance_ms(r, 100);
	forget(r);
	data(r, 1, 1000);
	s = last(r);
	CHECK_EQ(s.ack, 2001u);
	CHECK_EQ(s.sacks, 1u);
	check_block(&s, 0, 1u, 1001u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_DSACK_SENT), 1u);
	data(r, 2001, 100);
	CHECK_EQ(ack_of(r).sacks, 0u); /* RFC 2883 4: each only once */
}

/* RFC 2883 4.1.2, 4.2: a duplicate of what was SACKed, inside its block */
TCP_TEST(duplicate_out_of_order_segment_is_reported_by_dsack)
{
	struct segment s;

	handshake_passive(r);
	data(r, 1001, 1000);
	data(r, 2001, 1000);
	forget(r);
	data(r, 2001, 1000);
	s = last(r);
	CHECK_EQ(s.ack, 1u);
	CHECK_EQ(s.sacks, 2u);
	check_block(&s, 0, 2001u, 3001u);
	check_block(&s, 1, 1001u, 3001u);
}

/* RFC 2883 4 (4): then comes the block that it is in, however old that is */
TCP_TEST(duplicate_in_an_older_block_is_followed_by_that_block)
{
	struct segment s;

	handshake_passive(r);
	data(r, 2001, 100);
	data(r, 4001, 100);
	data(r, 2001, 100);
	s = last(r);
	CHECK_EQ(s.sacks, 3u);
	check_block(&s, 0, 2001u, 2101u);
	check_block(&s, 1, 2001u, 2101u);
	CHECK_EQ(s.sack[2].left, 4001u);
}

/* RFC 2883 4.2.3: of several duplicate parts the first */
TCP_TEST(first_of_two_duplicate_parts_is_reported)
{
	struct segment s;

	handshake_passive(r);
	data(r, 1001, 100);
	data(r, 1201, 100);
	forget(r);
	data(r, 1001, 300);
	s = last(r);
	CHECK_EQ(s.ack, 1u);
	CHECK_EQ(s.sacks, 2u);
	check_block(&s, 0, 1001u, 1101u);
	check_block(&s, 1, 1001u, 1301u);
}

/* RFC 2883 4.2.1: only the duplicate part of a segment */
TCP_TEST(partly_duplicate_segment_reports_its_old_part)
{
	struct segment s;

	handshake_passive(r);
	data(r, 1, 1000);
	advance_ms(r, 100);
	forget(r);
	data(r, 501, 1000);
	s = ack_of(r);
	CHECK_EQ(s.ack, 1501u);
	CHECK_EQ(s.sacks, 1u);
	check_block(&s, 0, 501u, 1001u);
}

/* RFC 9293 3.10.7.4, eighth: a FIN is only as far as the text before it */
TCP_TEST(fin_after_a_hole_waits_for_it)
{
	handshake_passive(r);
	inject(r, .flags = FIN | ACK, .seq = 1001, .ack = 1, .bytes = 500);
	CHECK(sends(r, ACK, 1, 1, 0));
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	data(r, 1, 400);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	forget(r);
	data(r, 401, 600);
	CHECK(sends(r, ACK, 1, 1502, 0));
	CHECK_EQ(state_of(r), TOW_TCP_CLOSE_WAIT);
	CHECK_EQ(app_recv(r, 10000), 1500);
	CHECK_EQ(app_recv(r, 10000), 0);
}

/* RFC 9293 3.10.7.4: a FIN of its own after a hole */
TCP_TEST(bare_fin_after_a_hole_waits_for_it)
{
	handshake_passive(r);
	inject(r, .flags = FIN | ACK, .seq = 501, .ack = 1);
	forget(r);
	data(r, 1, 500);
	CHECK(sends(r, ACK, 1, 502, 0));
	CHECK_EQ(state_of(r), TOW_TCP_CLOSE_WAIT);
	CHECK_EQ(app_recv(r, 10000), 500);
	CHECK_EQ(app_recv(r, 10000), 0);
}

/* RFC 9293 3.10.7.4: nothing comes after a FIN */
TCP_TEST(text_after_the_fin_is_ignored)
{
	handshake_passive(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1, .bytes = 100);
	data(r, 102, 500);
	data(r, 101, 500);
	CHECK_EQ(app_recv(r, 10000), 100);
	CHECK_EQ(app_recv(r, 10000), 0);
	CHECK_EQ(ack_of(r).ack, 102u);
}

/* RFC 9293 3.10.7.4: text behind a FIN that waits behind a hole */
TCP_TEST(text_kept_behind_an_early_fin_is_never_delivered)
{
	handshake_passive(r);
	data(r, 2001, 500);
	inject(r, .flags = FIN | ACK, .seq = 1001, .ack = 1, .bytes = 500);
	data(r, 1, 1000);
	data(r, 1501, 500);
	CHECK_EQ(app_recv(r, 10000), 1500);
	CHECK_EQ(app_recv(r, 10000), 0);
}

/* attacks: SegmentSmack, a window of 1-byte segments in reverse */
TCP_TEST(segment_smack_leaves_the_connection_alive)
{
	handshake_passive(r);
	for (uint32_t seq = 20000; seq >= 2; seq--) {
		inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = 1);
		forget(r);
	}
	for (uint32_t seq = 1; seq <= 20000; seq += 1000)
		data(r, seq, 1000);
	CHECK_EQ(ack_of(r).ack, 20001u);
	CHECK_EQ(app_recv(r, 100000), 20000);
}

/* attacks: SegmentSmack with holes everywhere, beside a second connection */
TCP_TEST(holes_everywhere_do_not_starve_others)
{
	struct rig_options o = r->options;

	o.cfg.rx_chunks = 128;
	o.cfg.rx_bufs = 160;
	rig_reopen(r, &o);
	handshake_passive(r);
	for (uint32_t seq = 3; seq < 60000; seq += 30) {
		inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = 1);
		forget(r);
	}
	CHECK_GT(drops(r, TOW_DROP_TCP_REASSEMBLY), 0u);
	/* A new client can still come in. */
	inject(r, .flags = SYN, .seq = 5, .absolute = true, .sport = 7,
	       .mss = 1000);
	CHECK_EQ(next(r)->flags, SYN | ACK);
	for (uint32_t seq = 1; seq <= 20000; seq += 1000) {
		data(r, seq, 1000);
		while (app_recv(r, 100000) > 0)
			;
	}
	CHECK_GE(r->read, 20000u);
}

/* attacks: urgent pointer games (URGENT/11). The stream is what it was. */
TCP_TEST(urgent_pointers_never_change_the_stream)
{
	static const uint16_t pointers[] = { 0, 1, 50, 100, 101, 65535 };
	uint32_t seq = 1;

	handshake_passive(r);
	for (unsigned i = 0; i < 6; i++) {
		inject(r, .flags = ACK | URG, .seq = seq + 100, .ack = 1,
		       .bytes = 100, .urgent = pointers[5 - i]);
		inject(r, .flags = ACK | URG, .seq = seq, .ack = 1,
		       .bytes = 100, .urgent = pointers[i]);
		inject(r, .flags = ACK | URG, .seq = seq + 200, .ack = 1,
		       .urgent = pointers[i]);
		seq += 200;
		CHECK_EQ(app_recv(r, 10000), 200);
	}
	CHECK_EQ(ack_of(r).ack, seq);
}

/* attacks: urgent pointer games on SYN and SYN-ACK */
TCP_TEST(urgent_pointer_on_a_syn_is_no_copy_length)
{
	listen_here(r, 4);
	inject(r, .flags = SYN | URG, .urgent = 65535, .mss = 1000, .bytes = 3);
	CHECK_EQ(peek(r)->flags, SYN | ACK);
	inject(r, .flags = ACK | URG, .seq = peek(r)->ack, .ack = 1,
	       .urgent = 9);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_LE(app_recv(r, 100), 3);
}

/* RFC 9293 3.1: a wrong checksum is no segment at all */
TCP_TEST(segment_with_a_wrong_checksum_is_dropped)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100,
	       .bad_checksum = true);
	inject(r, .flags = RST, .seq = 1, .bad_checksum = true);
	CHECK_EQ(ack_of(r).flags, 0);
	CHECK_EQ(app_recv(r, 100), TOW_EAGAIN);
	CHECK_EQ(drops(r, TOW_DROP_TCP_CHECKSUM), 2u);
}

/* tow/dev.h: verified by the device, not touched by us; else the reverse */
TCP_TEST(checksum_offload_leaves_received_bytes_untouched)
{
	struct rig_options o = r->options;

	handshake_passive(r);
	data(r, 1, 1400);
	CHECK_GE(tow_tcp_ledger(r->tcp)->rx_touched_bytes, 1000u);
	o.caps = TOW_DEV_RX_CSUM | TOW_DEV_SPLIT;
	o.split = true;
	rig_reopen(r, &o);
	handshake_passive(r);
	data(r, 1, 1400);
	inject(r, .flags = ACK, .seq = 1401, .ack = 1, .bytes = 100,
	       .bad_checksum = true);
	CHECK_EQ(app_borrow(r), 1400);
	tow_tcp_return(r->tcp, 1400);
	CHECK_EQ(drops(r, TOW_DROP_TCP_CHECKSUM), 1u);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->rx_touched_bytes, 0u);
}

/* tow/buf.h: where a driver splits a frame does not matter for being right */
TCP_TEST(header_split_gives_the_same_stream)
{
	struct rig_options o = r->options;

	o.caps = TOW_DEV_SPLIT;
	o.split = true;
	rig_reopen(r, &o);
	handshake_passive(r);
	for (uint32_t seq = 1, bytes = 1; bytes < 1400; bytes += 13) {
		data(r, seq, bytes);
		seq += bytes;
		CHECK_EQ(app_recv(r, 2000), bytes);
	}
}

/* tow/dev.h TOW_DEV_LRO: frames above the MTU are merged segments */
TCP_TEST(large_received_frames_are_taken_whole)
{
	struct rig_options o = r->options;

	o.caps = TOW_DEV_LRO | TOW_DEV_RX_CSUM;
	rig_reopen(r, &o);
	handshake_passive(r);
	data(r, 1, 30000);
	CHECK(sends(r, ACK, 1, 30001, 0));
	CHECK_EQ(app_recv(r, 100000), 30000);
	data(r, 35001, 20000);
	data(r, 30001, 5000);
	CHECK_EQ(app_recv(r, 100000), 25000);
}

/* Design rule 7: a data offset outside of the segment is no header */
TCP_TEST(bad_data_offsets_are_dropped)
{
	static const uint8_t offsets[] = { 1, 2, 3, 4, 9, 15 };

	handshake_passive(r);
	for (unsigned i = 0; i < sizeof(offsets); i++)
		inject(r, .flags = ACK, .seq = 1, .ack = 1, .no_ts = true,
		       .data_offset = offsets[i]);
	CHECK_EQ(ack_of(r).flags, 0);
	CHECK_EQ(drops(r, TOW_DROP_TCP_HEADER), 6u);
	data(r, 1, 10);
	CHECK_EQ(app_recv(r, 100), 10);
}

/* Design: ACK processing never starves because payload buffers ran out */
TCP_TEST(acks_get_through_when_chunks_ran_out)
{
	struct rig_options o = r->options;

	o.cfg.rx_chunks = 16;
	o.cfg.rx_bufs = 64;
	rig_reopen(r, &o);
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 5000, 5, 0), 0);
	for (uint32_t i = 0; i < 60; i++)
		data(r, 1 + i * 1400, 1400);
	inject(r, .flags = ACK, .seq = 1 + (uint32_t)info_of(r).unread_bytes,
	       .ack = 5001);
	CHECK_EQ(loans_ended(r, 5), 1u);
	CHECK_EQ(loan_status(r, 5), 0);
	while (app_recv(r, 100000) > 0)
		;
	data(r, (uint32_t)r->read + 1, 1000);
	CHECK_EQ(app_recv(r, 100000), 1000);
}

/* tow/stack.h: auto-tuning grows the window of a reader that keeps up */
TCP_TEST(window_grows_for_a_fast_reader_up_to_the_limit)
{
	uint32_t seq = 1, widest = 0;

	handshake_passive(r);
	for (unsigned rtt = 0; rtt < 12; rtt++) {
		uint32_t edge = seq + (rtt ? last(r).window : 65000);

		while (seq + 1400 <= edge && seq < 3000000) {
			data(r, seq, 1400);
			seq += 1400;
			app_recv(r, 100000);
			r->event_count = 0;
			if (waiting(r) > 4000)
				last(r);
		}
		data(r, seq, 1);
		seq++;
		app_recv(r, 100000);
		advance_ms(r, 100);
		CHECK_GE(waiting(r), 1u);
		if (r->sent[r->sent_count - 1].window > widest)
			widest = r->sent[r->sent_count - 1].window;
	}
	CHECK_GE(widest, 2 * 65535u);
	CHECK_LE(widest, r->options.cfg.recv_bytes_max);
}

/* tow/tcp.h TOW_TCP_RECV_BYTES fixes the receive buffer */
TCP_TEST(fixed_receive_buffer_does_not_grow)
{
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_RECV_BYTES, 20000), 0);
	handshake_passive(r);
	for (uint32_t i = 0; i < 200; i++) {
		data(r, 1 + i * 1400, 1400);
		CHECK_EQ(app_recv(r, 100000), 1400);
		advance_ms(r, 20);
	}
	while (waiting(r))
		CHECK_LE(next(r)->window, 20000u);
}

/* A reader that borrows, holds on and returns in odd pieces. */
struct reader {
	uint64_t seen, held; /* borrowed in all; not yet returned */
	uint32_t seed;
};

static void borrow_some(struct rig *r, struct reader *a)
{
	struct tow_span spans[4];
	int n = tow_tcp_borrow(r->tcp, spans, 1 + (int)chance(&a->seed, 4));

	for (int i = 0; i < n; i++) {
		const uint8_t *p = spans[i].ptr;

		for (size_t k = 0; k < spans[i].len; k++)
			CHECK_EQ(p[k], pattern((uint32_t)++a->seen));
		a->held += spans[i].len;
	}
}

static void return_some(struct rig *r, struct reader *a)
{
	uint32_t bytes = chance(&a->seed, (uint32_t)a->held + 1);

	tow_tcp_return(r->tcp, bytes);
	a->held -= bytes;
}

static uint32_t odd_bytes(uint32_t *seed)
{
	return chance(seed, 3) ? 1 + chance(seed, 8) : 1 + chance(seed, 1400);
}

/* tow/tcp.h: whatever the sizes, the order and the reader, it is one stream */
TCP_TEST(stream_is_right_for_odd_segments_and_an_odd_reader)
{
	struct reader a = { .seed = 99 };
	struct rig_options o = r->options;
	uint32_t total = 150000, next_byte = 1, edge = 1;

	o.cfg.rx_chunks = 256;
	o.cfg.rx_bufs = 320;
	rig_reopen(r, &o);
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_RECV_BYTES, 40000), 0);
	handshake_passive(r);
	edge += r->sent[r->sent_count - 1].window;
	for (unsigned i = 0; a.seen < total; i++) {
		uint32_t bytes = odd_bytes(&a.seed);
		uint32_t ahead = chance(&a.seed, 3) ? 0 : chance(&a.seed, 9000);
		uint32_t seq = next_byte + ahead;

		CHECK_LT(i, 200000u);
		if (seq + bytes > total + 1)
			seq = next_byte, bytes = total + 1 - next_byte;
		if (seq + bytes > edge && seq < edge)
			bytes = edge - seq;
		if (bytes && seq + bytes <= edge)
			data(r, seq, bytes);
		if (chance(&a.seed, 4) == 0)
			borrow_some(r, &a);
		if (chance(&a.seed, 6) == 0)
			return_some(r, &a);
		if (chance(&a.seed, 50) == 0)
			advance_ms(r, 50);
		while (waiting(r)) {
			const struct segment *s = next(r);

			CHECK_GE(s->ack, next_byte);
			CHECK_GE(s->ack + s->window, edge);
			next_byte = s->ack;
			edge = s->ack + s->window;
		}
		forget(r);
		r->event_count = 0;
	}
	tow_tcp_return(r->tcp, a.held);
	CHECK_EQ(info_of(r).unread_bytes, 0u);
	CHECK_EQ(ack_of(r).flags & RST, 0);
}

/*
 * RFC 9293 3.8.6: what the window promised is kept, also behind a hole. So no
 * more may be promised than the memory will hold.
 */
TCP_TEST(whole_window_is_held_behind_a_hole)
{
	uint32_t full = full_in(r), seq = 1, at, edge;
	int64_t n;

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_RECV_BYTES, 1 << 20), 0);
	handshake_passive(r);
	for (unsigned i = 0; i < 200; i++, seq += full) {
		data(r, seq, full);
		CHECK_EQ(app_recv(r, full), full);
	}
	edge = seq + ack_of(r).window;
	CHECK_GE(edge, seq + 100 * full);
	for (at = seq + full; at + full <= edge; at += full)
		data(r, at, full);
	CHECK_EQ(drops(r, TOW_DROP_TCP_REASSEMBLY), 0u);
	data(r, seq, full);
	for (edge = at, at = seq; (n = app_recv(r, 1 << 20)) > 0;)
		at += (uint32_t)n;
	CHECK_EQ(at, edge);
}

/* As Linux: who asks as soon as it may is answered soon, with no ACK between */
TCP_TEST(answer_to_what_was_queued_before_the_handshake_is_not_acked_at_once)
{
	connect_out(r);
	CHECK(sends(r, SYN, 0, 0, 0));
	CHECK_EQ(tow_tcp_send(r->tcp, r->stream, 100, 0), 100);
	syn_ack_arrives(r);
	CHECK(sends(r, ACK, 1, 1, 100));
	inject(r, .flags = ACK, .seq = 1, .ack = 101, .bytes = 10);
	CHECK(sends_nothing(r));
	CHECK_LE(advance_to_segment(r, 100000), 41000u);
	CHECK(sends(r, ACK, 101, 11, 0));
}

/*
 * tow/stack.h: auto-tuning is ahead of a slow start, which doubles each round
 * trip. What comes in one was sent by the windows that were heard before it.
 */
TCP_TEST(window_is_not_the_limit_of_a_slow_start)
{
	uint32_t full = full_in(r), seq = 1, edge = 65535, burst = 10;

	handshake_passive(r);
	for (unsigned round = 0; round < 6; round++, burst *= 2) {
		for (uint32_t i = 0; i < burst; i++, seq += full) {
			CHECK_LE(seq + full, edge);
			data(r, seq, full);
			CHECK_EQ(app_recv(r, full), full);
			advance_us(r, RTT_MS * 1000 / burst);
		}
		edge = last(r).window + seq;
		r->event_count = 0;
	}
}
