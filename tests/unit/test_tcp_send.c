/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When the sender sends: Nagle and its exceptions, silly windows, windows that
 * are shut, keepalive, the user timeout, and what the send calls return.
 */
#include "tcp_peer.h"
#include <string.h>

static void ack(struct rig *r, uint32_t ack)
{
	inject(r, .flags = ACK, .seq = 1, .ack = ack);
}

/* RFC 9293 3.7.4 SHLD-7: a short segment waits for the ACK of what is out */
TCP_TEST(short_segment_waits_while_data_is_unacknowledged)
{
	handshake_passive(r);
	app_send(r, 10, 0);
	CHECK(sends(r, ACK, 1, 1, 10));
	app_send(r, 10, 0);
	app_send(r, 15, 0);
	CHECK(sends_nothing(r));
	advance_ms(r, 100);
	CHECK(sends_nothing(r));
	ack(r, 11);
	CHECK(sends(r, ACK, 11, 1, 25));
}

/* RFC 9293 3.7.4: a full segment does not wait */
TCP_TEST(full_segments_do_not_wait_for_nagle)
{
	handshake_passive(r);
	app_send(r, 10, 0);
	forget(r);
	app_send(r, FULL + 10, 0);
	CHECK(sends(r, ACK, 11, 1, FULL));
	CHECK(sends_nothing(r));
	ack(r, 11 + FULL);
	CHECK(sends(r, ACK, 11 + FULL, 1, 10));
}

/* RFC 9293 3.7.4 MUST-17: it can be turned off, and that sends what waits */
TCP_TEST(nodelay_turns_nagle_off)
{
	handshake_passive(r);
	app_send(r, 10, 0);
	app_send(r, 10, 0);
	forget(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_NODELAY, 1), 0);
	poll_until_quiet(r);
	CHECK(sends(r, ACK, 11, 1, 10));
	app_send(r, 10, 0);
	CHECK(sends(r, ACK, 21, 1, 10));
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_NODELAY, 2), TOW_EINVAL);
}

/* RFC 9293 3.7.4: FIN goes with the last short segment, Nagle or not */
TCP_TEST(fin_takes_the_short_segment_along)
{
	handshake_passive(r);
	app_send(r, 10, 0);
	app_send(r, 10, 0);
	forget(r);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(sends(r, FIN | ACK, 11, 1, 10));
	CHECK_EQ(tow_tcp_send(r->tcp, "x", 1, 0), TOW_EPIPE);
}

/* tow/tcp.h TOW_TCP_MORE: short segments wait for more, but not for ever */
TCP_TEST(more_holds_a_short_segment_back)
{
	handshake_passive(r);
	app_send(r, 10, TOW_TCP_MORE);
	CHECK(sends_nothing(r));
	app_send(r, FULL, TOW_TCP_MORE);
	CHECK(sends(r, ACK, 1, 1, FULL));
	CHECK(sends_nothing(r));
	app_send(r, 5, 0);
	ack(r, 1 + FULL);
	CHECK(sends(r, ACK, 1 + FULL, 1, 15));
}

/* tow/tcp.h TOW_TCP_MORE: a program that never sends more is not stuck */
TCP_TEST(more_without_more_goes_out_in_the_end)
{
	handshake_passive(r);
	app_send(r, 10, TOW_TCP_MORE);
	CHECK_LE(advance_to_segment(r, 1000000), 1000000u);
	CHECK(peek(r)->push);
	CHECK(sends(r, ACK, 1, 1, 10));
}

/* RFC 9293 3.9.1.2: PSH on the last segment of a write */
TCP_TEST(last_segment_of_a_write_is_pushed)
{
	handshake_passive(r);
	app_send(r, 3 * FULL, 0);
	CHECK_EQ(waiting(r), 3u);
	CHECK(!next(r)->push);
	CHECK(!next(r)->push);
	CHECK(next(r)->push);
	ack(r, 1 + 3 * FULL);
	app_send(r, 10, 0);
	CHECK(next(r)->push);
}

/* As Linux: a peer that merges packets hands on what it has at a burst's end */
TCP_TEST(last_full_segment_of_a_burst_is_pushed_and_a_bare_fin_is_not)
{
	handshake_passive(r);
	app_send(r, 20 * FULL, 0); /* ten may go, half of them in one burst */
	CHECK_EQ(waiting(r), 10u);
	for (unsigned i = 1; i <= 10; i++)
		CHECK_EQ(next(r)->push, i % 5 == 0);
	ack(r, 1 + 10 * FULL);
	forget(r);
	ack(r, 1 + 20 * FULL);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(!peek(r)->push);
	CHECK(sends(r, FIN | ACK, 1 + 20 * FULL, 1, 0));
}

/* tow/tcp.h TOW_TCP_CORK: short segments wait until it is 0 again */
TCP_TEST(cork_holds_short_segments_until_it_is_pulled)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_CORK, 1), 0);
	app_send(r, 40, 0);
	advance_ms(r, 50);
	app_send(r, 40, 0);
	CHECK(sends_nothing(r));
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_CORK, 0), 0);
	poll_until_quiet(r);
	CHECK(sends(r, ACK, 1, 1, 80));
}

/* The same: full segments go, and what is short goes after 200 ms at most */
TCP_TEST(cork_lets_full_segments_go_and_the_rest_in_the_end)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_CORK, 1), 0);
	app_send(r, FULL + 40, 0);
	CHECK(sends(r, ACK, 1, 1, FULL));
	ack(r, 1 + FULL);
	CHECK(sends_nothing(r));
	/* deadlines are whole milliseconds, rounded up */
	CHECK_LE(advance_to_segment(r, 1000000), 201000u);
	CHECK(sends(r, ACK, 1 + FULL, 1, 40));
}

/* tow/tcp.h TOW_TCP_NODELAY: to set it sends what waits, corked or not */
TCP_TEST(setting_nodelay_sends_what_a_cork_holds)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_CORK, 1), 0);
	app_send(r, 40, 0);
	CHECK(sends_nothing(r));
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_NODELAY, 1), 0);
	poll_until_quiet(r);
	CHECK(sends(r, ACK, 1, 1, 40));
}

/* The same of TOW_TCP_MORE; but the program did not say that it is all */
TCP_TEST(setting_nodelay_sends_what_more_holds_and_does_not_push_it)
{
	handshake_passive(r);
	app_send(r, 40, TOW_TCP_MORE);
	CHECK(sends_nothing(r));
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_NODELAY, 1), 0);
	poll_until_quiet(r);
	CHECK(!peek(r)->push);
	CHECK(sends(r, ACK, 1, 1, 40));
}

/* tow/tcp.h: tow_tcp_send takes what fits, then says EAGAIN, then WRITABLE */
TCP_TEST(full_send_buffer_says_again_and_then_writable)
{
	uint32_t taken = 0, una;

	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_SEND_BYTES, 16384), 0);
	for (;;) {
		uint64_t room = tow_tcp_send_room(r->tcp);
		int64_t n = tow_tcp_send(r->tcp, r->stream + taken, 5000, 0);

		if (n < 0) {
			CHECK_EQ(n, TOW_EAGAIN);
			CHECK_EQ(room, 0u);
			break;
		}
		CHECK_GE((uint64_t)n, room < 5000 ? room : 5000);
		taken += (uint32_t)n;
		poll_until_quiet(r);
		CHECK_LE(taken, 16384u);
	}
	CHECK_EQ(taken, 16384u);
	CHECK_EQ(events_of(r, TOW_EVENT_WRITABLE), 0u);
	for (una = 1; una < 1 + taken;) {
		una += info_of(r).in_flight_bytes;
		ack(r, una);
	}
	CHECK_EQ(events_of(r, TOW_EVENT_WRITABLE), 1u);
	CHECK_EQ(info_of(r).queued_bytes, 0u);
	CHECK_EQ(tow_tcp_send(r->tcp, r->stream + taken, 1, 0), 1);
}

/* tow/tcp.h: sends are copies: the program's memory is free at once */
TCP_TEST(sent_bytes_are_copied_and_counted)
{
	uint8_t mine[100];

	handshake_passive(r);
	memcpy(mine, r->stream, sizeof(mine));
	CHECK_EQ(tow_tcp_send(r->tcp, mine, sizeof(mine), 0), 100);
	memset(mine, 0, sizeof(mine));
	poll_until_quiet(r);
	CHECK(sends(r, ACK, 1, 1, 100));
	advance_ms(r, 400);
	CHECK(sends(r, ACK, 1, 1, 100));
	CHECK_EQ(tow_tcp_ledger(r->tcp)->copied_bytes[TOW_COPY_TX_SEND], 100u);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->tx_lent_bytes, 0u);
}

/* --- silly windows --- */

/* RFC 9293 3.8.6.2.1: a sliver of window is not filled at once */
TCP_TEST(sliver_of_a_window_is_not_filled)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .window = 8192);
	CHECK_EQ(app_lend(r, 50000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 8 * FULL);
	/* the edge moves by 384 bytes, less than a segment and than half */
	inject(r, .flags = ACK, .seq = 1, .ack = 1001, .window = 7424);
	CHECK(sends_nothing(r));
	inject(r, .flags = ACK, .seq = 1, .ack = 2001, .window = 7424);
	CHECK_EQ(bytes_sent(r), FULL);
}

/* RFC 9293 3.8.6.2.1 (4): override after 0.1 to 1 s or by the persist timer */
TCP_TEST(window_that_stays_small_is_used_after_a_while)
{
	uint64_t waited;

	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .window = 8192);
	CHECK_EQ(app_lend(r, 50000, 1, 0), 0);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 8001, .window = 384);
	CHECK(sends_nothing(r));
	waited = advance_to_segment(r, 5000000);
	CHECK_GE(waited, 100000u);
	CHECK_LE(waited, 2000000u);
	CHECK_EQ(peek(r)->seq, 8001u);
	CHECK_GE(peek(r)->bytes, 1u);
	CHECK_LE(peek(r)->bytes, 384u);
}

/* --- shut windows --- */

/* The window is shut on 50000 bytes with nothing in flight. */
static void shut(struct rig *r)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 50000, 1, 0), 0);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 10001, .zero_window = true);
	CHECK(sends_nothing(r));
}

/* RFC 9293 3.8.6.1 MUST-36, SHLD-29, SHLD-30 */
TCP_TEST(shut_window_is_probed_with_backoff)
{
	uint64_t before = 0, waited;

	shut(r);
	for (unsigned i = 0; i < 6; i++) {
		waited = advance_to_segment(r, 200000000);
		CHECK_NE(waited, UINT64_MAX);
		if (i == 0) {
			CHECK_GE(waited, 200000u);
			CHECK_LE(waited, 1000000u);
		} else {
			CHECK_GE(waited, before * 2 - 100000);
			CHECK_LE(waited, before * 2 + 100000);
		}
		before = waited;
		CHECK(peek(r)->seq == 10001 || peek(r)->seq == 10000);
		CHECK_LE(next(r)->bytes, FULL);
		CHECK(sends_nothing(r));
		inject(r, .flags = ACK, .seq = 1, .ack = 10001,
		       .zero_window = true);
		forget(r);
	}
	CHECK_GE(counter(r, TOW_COUNTER_TCP_PROBES), 6u);
}

/* RFC 9293 3.8.6.1 MUST-37: a peer that answers may keep it shut for ever */
TCP_TEST(probed_window_may_stay_shut_for_hours)
{
	shut(r);
	for (uint64_t end = r->now_us + 3 * 3600 * 1000000ull;
	     r->now_us < end;) {
		CHECK_LE(advance_to_segment(r, 130000000), 130000000u);
		forget(r);
		inject(r, .flags = ACK, .seq = 1, .ack = 10001,
		       .zero_window = true);
	}
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	ack(r, 10001);
	CHECK_GE(bytes_sent(r), FULL);
}

/* RFC 9293 3.8.3: probes that nobody answers end as a timeout */
TCP_TEST(probes_without_an_answer_give_up)
{
	shut(r);
	advance_ms(r, 2 * 3600 * 1000);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(loan_status(r, 1), TOW_ETIMEDOUT);
}

/* RFC 9293 3.8.6: a window update is enough */
TCP_TEST(window_update_starts_the_sender_at_once)
{
	shut(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 10001, .window = 4096);
	CHECK_GE(bytes_sent(r), 4 * FULL);
	advance_ms(r, 150);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_PROBES), 0u);
}

/* RFC 9293 3.8.6.1: the byte of a probe that was taken is not sent again */
TCP_TEST(probe_that_was_taken_moves_on)
{
	uint32_t next_byte;

	shut(r);
	advance_to_segment(r, 5000000);
	next_byte = peek(r)->seq + peek(r)->bytes;
	forget(r);
	if (next_byte <= 10001)
		next_byte = 10001; /* a probe without text */
	ack(r, next_byte);
	CHECK_EQ(peek(r)->seq, next_byte);
}

/* attacks: Sockstress. close() does not pin memory for a peer that stalls. */
TCP_TEST(closed_connection_with_a_shut_window_ends)
{
	shut(r);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	for (uint64_t end = r->now_us + 2 * 3600 * 1000000ull;
	     r->now_us < end && loan_status(r, 1) == 1;) {
		advance_to_segment(r, 130000000);
		forget(r);
		inject(r, .flags = ACK, .seq = 1, .ack = 10001,
		       .zero_window = true);
	}
	CHECK_EQ(loans_ended(r, 1), 1u);
	CHECK_NE(loan_status(r, 1), 0);
}

/* attacks: Sockstress. Nor for one that opens it now and then, but takes none
 */
TCP_TEST(closed_connection_with_a_flapping_window_ends)
{
	shut(r);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	for (unsigned i = 0; i < 40000 && loan_status(r, 1) == 1; i++) {
		advance_ms(r, 50);
		inject(r, .flags = ACK, .seq = 1, .ack = 10001,
		       .zero_window = i % 2, .window = 128);
		forget(r);
		r->sent_count = r->sent_taken = 0;
	}
	CHECK_EQ(loans_ended(r, 1), 1u);
	CHECK_NE(loan_status(r, 1), 0);
}

/* RFC 9293 3.8.6.1: FIN waits with the data behind a shut window */
TCP_TEST(fin_behind_a_shut_window_follows_the_data)
{
	handshake_passive(r);
	app_send(r, 1000, 0);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1001, .zero_window = true);
	app_send(r, 500, 0);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(sends_nothing(r));
	ack(r, 1001);
	CHECK(sends(r, FIN | ACK, 1001, 1, 500));
}

/* RFC 9293 3.8.6: a lone FIN needs no window (RFC 9293 3.4: it takes none) */
TCP_TEST(lone_fin_is_sent_or_probed_through_a_shut_window)
{
	handshake_passive(r);
	app_send(r, 1000, 0);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1001, .zero_window = true);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK_NE(advance_to_segment(r, 5000000), UINT64_MAX);
	while (waiting(r) && !(peek(r)->flags & FIN)) {
		next(r);
		if (!waiting(r))
			ack(r, 1001);
	}
	CHECK(sends(r, FIN | ACK, 1001, 1, 0));
}

/* --- keepalive and the user timeout --- */

/* RFC 9293 3.8.4 MUST-25: off unless asked for */
TCP_TEST(idle_connection_is_silent_by_default)
{
	handshake_passive(r);
	advance_ms(r, 24 * 3600 * 1000);
	CHECK(sends_nothing(r));
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
}

static void keep_alive(struct rig *r)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_INTERVAL_S, 5), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_PROBES, 3), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_S, 60), 0);
}

/* RFC 9293 3.8.4: SEG.SEQ = SND.NXT - 1; an answer is all it wants */
TCP_TEST(keepalive_probes_an_idle_connection)
{
	keep_alive(r);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t waited = advance_to_segment(r, 70000000);

		CHECK_GE(waited, 59000000u);
		CHECK_LE(waited, 62000000u);
		CHECK_EQ(peek(r)->seq, 0u);
		CHECK_LE(next(r)->bytes, 1u);
		ack(r, 1);
	}
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_KEEPALIVES), 3u);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
}

/* RFC 9293 3.8.4: no answer to so many probes ends it */
TCP_TEST(keepalive_gives_up_after_the_last_probe)
{
	keep_alive(r);
	advance_ms(r, 74500);
	CHECK_EQ(waiting(r), 3u);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	advance_ms(r, 2000);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(event_of(r, TOW_EVENT_CLOSED)->status, TOW_ETIMEDOUT);
	CHECK_EQ(app_recv(r, 10), TOW_ETIMEDOUT);
}

/* RFC 9293 3.8.4: traffic puts it off */
TCP_TEST(traffic_puts_keepalive_off)
{
	keep_alive(r);
	for (uint32_t i = 0; i < 10; i++) {
		advance_ms(r, 40000);
		inject(r, .flags = ACK, .seq = 1 + 10 * i, .ack = 1,
		       .bytes = 10);
	}
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_KEEPALIVES), 0u);
}

/* RFC 9293 3.8.4: a peer that restarted answers the probe with a reset */
TCP_TEST(keepalive_answered_by_a_reset_closes)
{
	keep_alive(r);
	advance_to_segment(r, 70000000);
	inject(r, .flags = RST, .seq = 1);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(app_recv(r, 10), TOW_ECONNRESET);
}

/* RFC 9293 3.9.1.1, 3.8.3: data unacknowledged for so long is fatal */
TCP_TEST(user_timeout_ends_a_connection_that_is_not_acknowledged)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 5000), 0);
	CHECK_EQ(app_lend(r, 3000, 1, 0), 0);
	advance_ms(r, 4800);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	advance_ms(r, 1200);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(loan_status(r, 1), TOW_ETIMEDOUT);
}

/* RFC 5482 2: it counts from what is unacknowledged, not from the start */
TCP_TEST(user_timeout_does_not_end_a_connection_that_moves)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 1000), 0);
	for (uint32_t i = 1; i < 20; i++) {
		app_send(r, 100, 0);
		advance_ms(r, 600);
		ack(r, 1 + 100 * i);
		advance_ms(r, 5000);
	}
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
}

/* attacks: Sockstress. The user timeout ends a shut window as well. */
TCP_TEST(user_timeout_ends_a_window_that_stays_shut)
{
	shut(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 10000), 0);
	for (unsigned i = 0; i < 30 && state_of(r) == TOW_TCP_ESTABLISHED;
	     i++) {
		advance_ms(r, 1000);
		forget(r);
		inject(r, .flags = ACK, .seq = 1, .ack = 10001,
		       .zero_window = true);
	}
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(loan_status(r, 1), TOW_ETIMEDOUT);
}

/* tow/tcp.h: options out of range are refused and read back when in */
TCP_TEST(options_are_checked_and_read_back)
{
	static const struct {
		enum tow_tcp_option option;
		int64_t good, bad;
	} cases[] = {
		{ TOW_TCP_NODELAY, 1, -1 },
		{ TOW_TCP_KEEPALIVE_S, 100, -1 },
		{ TOW_TCP_KEEPALIVE_INTERVAL_S, 7, -1 },
		{ TOW_TCP_KEEPALIVE_PROBES, 4, -1 },
		{ TOW_TCP_USER_TIMEOUT_MS, 5000, -1 },
		{ TOW_TCP_LINGER_S, 0, -2 },
		{ TOW_TCP_SEND_BYTES, 65536, 0 },
		{ TOW_TCP_RECV_BYTES, 65536, 0 },
		{ TOW_TCP_MSS, 500, 87 },
		{ TOW_TCP_CONGESTION, TOW_TCP_NEWRENO, 99 },
	};

	handshake_passive(r);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t value = -99;

		CHECK_EQ(tow_tcp_set(r->tcp, cases[i].option, cases[i].bad),
			 TOW_EINVAL);
		CHECK_EQ(tow_tcp_set(r->tcp, cases[i].option, cases[i].good),
			 0);
		CHECK_EQ(tow_tcp_get(r->tcp, cases[i].option, &value), 0);
		CHECK_EQ(value, cases[i].good);
	}
	CHECK_EQ(tow_tcp_set(r->tcp, (enum tow_tcp_option)99, 1), TOW_EINVAL);
}

/* tow/tcp.h TOW_TCP_MSS: an upper bound for both directions */
TCP_TEST(mss_option_bounds_what_is_sent_and_announced)
{
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_MSS, 600), 0);
	inject(r, .flags = SYN, .mss = 1000);
	CHECK_EQ(peek(r)->mss, 600);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	forget(r);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	app_send(r, 3000, 0);
	while (waiting(r))
		CHECK_LE(next(r)->bytes, 600u);
}

/* RFC 9293 3.8.6.1: what a shut window refused goes first when it opens */
TCP_TEST(refused_probe_goes_first_when_the_window_opens)
{
	uint32_t cwnd;

	shut(r);
	cwnd = info_of(r).cwnd_bytes;
	for (unsigned i = 0; i < 3; i++) {
		CHECK_NE(advance_to_segment(r, 10000000), UINT64_MAX);
		forget(r);
		inject(r, .flags = ACK, .seq = 1, .ack = 10001,
		       .zero_window = true);
		forget(r);
	}
	ack(r, 10001);
	CHECK_EQ(peek(r)->seq, 10001u);
	CHECK_GE(bytes_sent(r), 5 * FULL);
	CHECK_GE(info_of(r).cwnd_bytes, cwnd); /* and was no loss */
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 0u);
}

/* RFC 9293 3.8.4: only acceptable segments show that the peer lives */
TCP_TEST(forged_segments_do_not_answer_keepalive_probes)
{
	keep_alive(r);
	for (unsigned i = 0; i < 80; i++) {
		advance_ms(r, 1000);
		inject(r, .flags = ACK, .seq = 0x20000000 + i, .ack = 1);
		inject(r, .flags = RST, .seq = 0x20000000 + i);
	}
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* tow/tcp.h: a listener hands its options to what it accepts */
TCP_TEST(accepted_connection_has_the_options_of_its_listener)
{
	int64_t value;

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_NODELAY, 1), 0);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_KEEPALIVE_S, 77), 0);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_NODELAY, 7), TOW_EINVAL);
	handshake_passive(r);
	CHECK_EQ(tow_tcp_get(r->tcp, TOW_TCP_NODELAY, &value), 0);
	CHECK_EQ(value, 1);
	CHECK_EQ(tow_tcp_get(r->tcp, TOW_TCP_KEEPALIVE_S, &value), 0);
	CHECK_EQ(value, 77);
	app_send(r, 10, 0);
	app_send(r, 10, 0);
	CHECK_EQ(waiting(r), 2u);
	advance_us(r, 10);
	forget(r);
	ack(r, 21);
	CHECK_GE(advance_to_segment(r, 80000000), 76000000u);
	CHECK_EQ(peek(r)->seq, 20u);
}
