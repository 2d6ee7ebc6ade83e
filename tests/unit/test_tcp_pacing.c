/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pacing and BBR seen from outside: what goes out at one time, and when the
 * next does. The handshake takes 100 ms, so that is the round-trip time.
 */
#include "tcp_flight.h"

#define RATE 100000 /* bytes a second: a burst of two packets each 20 ms */

static void open_with(struct rig *r, enum tow_tcp_option option, int64_t value)
{
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, option, value), 0);
	handshake_passive(r);
	forget(r);
}

/* draft-ietf-ccwg-bbr 4.6.3: two packets at least, and then the others wait */
TCP_TEST(paced_connection_sends_no_burst_beyond_the_quantum)
{
	open_with(r, TOW_TCP_PACING_RATE, RATE);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t us = advance_to_segment(r, 1000000);

		CHECK_GE(us, 19000u);
		CHECK_LE(us, 20001u);
		CHECK_EQ(bytes_sent(r), 2 * FULL);
	}
	/* the initial window is out, and the timer has nothing more to do */
	CHECK_EQ(info_of(r).in_flight_bytes, 10 * FULL);
	advance_us(r, 100000);
	CHECK_EQ(bytes_sent(r), 0u);
}

/* SO_MAX_PACING_RATE: over a second it is the rate that was asked for */
TCP_TEST(paced_connection_keeps_to_its_rate)
{
	uint64_t began_us;
	uint32_t sent = 0, una = 1;

	open_with(r, TOW_TCP_PACING_RATE, RATE);
	CHECK_EQ(app_lend(r, 1000000, 1, 0), 0);
	began_us = r->now_us;
	while (r->now_us < began_us + 2000000) {
		sent += bytes_sent(r);
		una += info_of(r).in_flight_bytes;
		ack(r, una);
		sent += bytes_sent(r);
		advance_us(r, 10000);
	}
	CHECK_GE(sent, 2 * RATE - 2 * FULL);
	CHECK_LE(sent, 2 * RATE + 2 * FULL);
}

/* without a limit of the program's, slow start is paced at twice the window */
TCP_TEST(rate_of_the_window_is_the_limit_below_the_program_s)
{
	open_with(r, TOW_TCP_PACING_RATE, 1 << 30);
	CHECK_EQ(info_of(r).pacing_rate, 2 * 10 * FULL * 1000 / RTT_MS);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
	advance_us(r, 40001);
	CHECK_EQ(bytes_sent(r), 8 * FULL);
}

/* What is sent again is paced, too. */
TCP_TEST(retransmissions_are_paced)
{
	r->options.offer.sack_ok = false; /* no tail loss probe comes first */
	open_with(r, TOW_TCP_PACING_RATE, RATE);
	CHECK_EQ(app_lend(r, 20000, 1, 0), 0);
	advance_ms(r, RTT_MS);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	advance_ms(r, 250);
	CHECK_LE(bytes_sent(r), 2 * FULL);
	CHECK_GE(counter(r, TOW_COUNTER_TCP_RTO), 1u);
}

/* RFC 6298 5.4: a timeout is about the path, not about what we keep back */
TCP_TEST(retransmission_that_pacing_holds_does_not_time_out)
{
	r->options.offer.sack_ok = false;
	open_with(r, TOW_TCP_PACING_RATE, 1000); /* a segment in 1.4 s */
	CHECK_EQ(app_lend(r, 2 * FULL, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
	inject(r, .flags = ACK, .seq = 1, .ack = AT(2), .zero_window = true);
	CHECK_EQ(app_lend(r, 20 * FULL, 2, 0), 0);
	advance_to_segment(r, 10000000);
	CHECK_EQ(bytes_sent(r), 1u); /* the probe; and it is refused */
	inject(r, .flags = ACK, .seq = 1, .ack = AT(2));
	advance_to_segment(r, 10000000);
	CHECK_GE(bytes_sent(r), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
}

/* An option that is taken back leaves nothing behind. */
TCP_TEST(pacing_ends_with_the_option)
{
	open_with(r, TOW_TCP_PACING_RATE, RATE);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_PACING_RATE, 0), 0);
	poll_until_quiet(r);
	CHECK_EQ(bytes_sent(r), 8 * FULL);
	CHECK_EQ(info_of(r).pacing_rate, 0u);
}

/* docs/decisions/0017: who asks is told, who is accepted goes without */
TCP_TEST(connection_without_a_record_is_not_paced)
{
	struct rig_options o = r->options;
	int64_t value;

	o.cfg.paced = 0;
	rig_reopen(r, &o);
	open_with(r, TOW_TCP_CONGESTION, TOW_TCP_BBR);
	CHECK_EQ(tow_tcp_get(r->tcp, TOW_TCP_CONGESTION, &value), 0);
	CHECK_EQ(value, TOW_TCP_CUBIC);
	CHECK_EQ(counter(r, TOW_COUNTER_NO_PACED), 1u);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_PACING_RATE, RATE), TOW_ENOBUFS);
	CHECK_EQ(tow_tcp_get(r->tcp, TOW_TCP_PACING_RATE, &value), 0);
	CHECK_EQ(value, 0);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
}

/*
 * draft-ietf-ccwg-bbr 4.6.2 and 4.6.4.1: the initial window of all controllers,
 * at 2.77 of it in a round trip.
 */
TCP_TEST(bbr_paces_its_initial_window)
{
	uint64_t us;

	open_with(r, TOW_TCP_CONGESTION, TOW_TCP_BBR);
	CHECK_EQ(info_of(r).pacing_rate, 277 * FULL);
	CHECK_EQ(app_lend(r, 200000, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
	us = advance_to_segment(r, 1000000);
	CHECK_GE(us, 7219u);
	CHECK_LE(us, 7222u);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
	advance_ms(r, RTT_MS);
	CHECK_EQ(bytes_sent(r), 6 * FULL);
	CHECK_EQ(info_of(r).in_flight_bytes, 10 * FULL);
}

/* draft-ietf-ccwg-bbr 4.1: ten packets in a round trip are the rate */
TCP_TEST(delivery_rate_is_measured)
{
	open_with(r, TOW_TCP_CONGESTION, TOW_TCP_BBR);
	CHECK_EQ(app_lend(r, 200000, 1, 0), 0);
	advance_ms(r, RTT_MS);
	for (uint32_t i = 1; i <= 10; i++) {
		ack(r, 1 + i * FULL);
		advance_ms(r, 10);
	}
	/* the last was sent after 29 ms, its ACK came after 190 */
	CHECK_GE(info_of(r).delivery_rate, 10 * FULL * 1000 / 200);
	CHECK_LE(info_of(r).delivery_rate, 11 * FULL * 1000 / 160);
}

/* draft-ietf-ccwg-bbr 4.6.4.4: a timeout leaves one packet */
TCP_TEST(bbr_sends_one_packet_after_a_timeout)
{
	r->options.offer.sack_ok = false; /* no tail loss probe comes first */
	open_with(r, TOW_TCP_CONGESTION, TOW_TCP_BBR);
	CHECK_EQ(app_lend(r, 10 * FULL, 1, 0), 0);
	advance_ms(r, RTT_MS);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	while (counter(r, TOW_COUNTER_TCP_RTO) == 0)
		advance_ms(r, 10);
	CHECK_EQ(bytes_sent(r), FULL);
	CHECK_EQ(info_of(r).cwnd_bytes, FULL);
	ack(r, 1 + 10 * FULL); /* all had arrived: RestoreCwnd() */
	CHECK_GE(info_of(r).cwnd_bytes, 10 * FULL);
}

/* draft-ietf-ccwg-bbr 4.6.4.4: the window is the model's, in recovery, too */
TCP_TEST(loss_that_a_timer_finds_leaves_the_window_of_bbr_alone)
{
	uint32_t cwnd;

	open_with(r, TOW_TCP_CONGESTION, TOW_TCP_BBR);
	CHECK_EQ(app_lend(r, 10 * FULL, 1, 0), 0);
	advance_ms(r, RTT_MS);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .sacks = 1,
	       .sack = { { 1 + 2 * FULL, 1 + 4 * FULL } });
	cwnd = info_of(r).cwnd_bytes;
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 0u);
	CHECK_NE(advance_to_segment(r, 1000000), UINT64_MAX);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
	CHECK_EQ(info_of(r).cwnd_bytes, cwnd);
}

/* The answer comes from no connection, which could have a record. */
TCP_TEST(listener_with_bbr_answers_by_cookies)
{
	int64_t value;

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_SYN_COOKIES,
				  TOW_TCP_COOKIES_ALWAYS),
		 0);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_CONGESTION, TOW_TCP_BBR),
		 0);
	handshake_passive(r);
	CHECK_EQ(tow_tcp_get(r->tcp, TOW_TCP_CONGESTION, &value), 0);
	CHECK_EQ(value, TOW_TCP_BBR);
	CHECK_GT(info_of(r).pacing_rate, 0u);
}
