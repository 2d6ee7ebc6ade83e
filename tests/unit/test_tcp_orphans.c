/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks that open connections and then only wait, and what ends them. Each
 * test says which row of the list of attacks it is about.
 */
#include "tcp_peer.h"

static struct tow_tcp *another(struct rig *r)
{
	struct tow_tcp *t = NULL;

	r->peer_port++;
	r->options.wrap = false; /* the clock must not move on */
	syn_arrives(r);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	(void)!tow_tcp_accept(r->listener, &t);
	return t;
}

static void small_table(struct rig *r, uint32_t tcp_max, uint32_t orphan_max)
{
	struct rig_options o = r->options;

	o.cfg.tcp_max = tcp_max;
	o.cfg.orphan_max = orphan_max;
	rig_reopen(r, &o);
	listen_here(r, 100);
}

/* attacks: exhaustion by half-dead connections, orphans. Only so many. */
TCP_TEST(exhaustion_by_orphans_ends_with_the_one_that_got_nowhere)
{
	small_table(r, 64, 8);
	for (unsigned i = 0; i < 20; i++) {
		struct tow_tcp *t = another(r);

		CHECK(t);
		CHECK_EQ(tow_tcp_send(t, r->stream, 1000, 0), 1000);
		tow_tcp_close(t);
		poll_until_quiet(r);
	}
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_ORPHANS_RESET), 12u);
}

/* The same: in a table that is full they make room for who comes */
TCP_TEST(exhaustion_by_orphans_leaves_room_for_new_connections)
{
	struct tow_tcp *t;

	small_table(r, 16, 16);
	for (unsigned i = 0; i < 16; i++) {
		t = another(r);
		CHECK(t);
		CHECK_EQ(tow_tcp_send(t, r->stream, 1000, 0), 1000);
		tow_tcp_close(t);
		poll_until_quiet(r);
	}
	advance_ms(r, 11000);
	t = another(r);
	CHECK(t);
	r->tcp = t;
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_ORPHANS_RESET), 1u);
}

/* The same: who takes what is sent is not the one to go */
TCP_TEST(orphan_that_makes_progress_is_not_the_one_to_go)
{
	struct tow_tcp *t;
	uint32_t iss;
	uint16_t port;

	small_table(r, 64, 2);
	t = another(r);
	port = r->peer_port;
	iss = r->our_iss;
	CHECK_EQ(tow_tcp_lend(t, &(struct tow_span){ r->stream, 50000 }, 1, 7,
			      0),
		 0);
	tow_tcp_close(t);
	tow_tcp_close(another(r));
	poll_until_quiet(r);
	r->our_iss = iss;
	inject(r, .flags = ACK, .seq = 1, .ack = 1001, .sport = port);
	tow_tcp_close(another(r));
	poll_until_quiet(r);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_ORPHANS_RESET), 1u);
	CHECK_EQ(loan_status(r, 7), 1);
}

/* attacks: Sockstress. Window 0 for ever after close() pins nothing. */
TCP_TEST(sockstress_window_zero_for_ever_does_not_pin_an_orphan)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 10001, .zero_window = true);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	for (unsigned i = 0; i < 1000 && loan_status(r, 1) == 1; i++) {
		if (waiting(r)) {
			forget(r);
			inject(r, .flags = ACK, .seq = 1, .ack = 10001,
			       .zero_window = true);
		}
		advance_ms(r, 1000);
	}
	CHECK_EQ(loan_status(r, 1), TOW_ETIMEDOUT);
}

/* The same while the program has it: its user timeout ends it */
TCP_TEST(sockstress_window_zero_ends_by_the_user_timeout)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 30000), 0);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 10001, .zero_window = true);
	for (unsigned i = 0; i < 40 && loan_status(r, 1) == 1; i++) {
		inject(r, .flags = ACK, .seq = 1, .ack = 10001,
		       .zero_window = true);
		advance_ms(r, 1000);
	}
	CHECK_EQ(loan_status(r, 1), TOW_ETIMEDOUT);
}

/* attacks: half-dead connections (Naptha). Silence is found out about. */
TCP_TEST(naptha_established_and_silent_ends_by_keepalive)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_S, 60), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_INTERVAL_S, 10), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_PROBES, 3), 0);
	advance_ms(r, 95000);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(event_of(r, TOW_EVENT_CLOSED)->status, TOW_ETIMEDOUT);
}

/* The same in CLOSE-WAIT, and in FIN-WAIT-2 of a program that still reads */
TCP_TEST(naptha_half_closed_and_silent_ends_by_keepalive)
{
	static const enum place places[] = { AT_CLOSE_WAIT, AT_FIN_WAIT_2 };

	for (unsigned i = 0; i < 2; i++) {
		struct rig_options o = r->options;

		rig_reopen(r, &o);
		put_in_state(r, places[i]);
		CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_S, 60), 0);
		CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_PROBES, 2), 0);
		advance_ms(r, 60000 + 2 * 75000 + 1000);
		CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	}
}

/* attacks: SegmentSmack. A window of single bytes, the last ones first. */
TCP_TEST(segment_smack_single_bytes_in_reverse_order_are_bounded)
{
	struct rig_options o = r->options;

	o.split = true;
	o.cfg.rx_chunks = 256;
	rig_reopen(r, &o);
	handshake_passive(r);
	for (uint32_t i = 2000; i > 1; i--)
		inject(r, .flags = ACK, .seq = 1 + i, .ack = 1, .bytes = 1);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK_EQ(drops(r, TOW_DROP_LINK_TRUNCATED), 0u);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = FULL);
	CHECK_GE(app_recv(r, 5000), (int64_t)FULL);
}

/* attacks: SACK panic (CVE-2019-11477). MSS 1 counts as 48, and 48 works. */
TCP_TEST(sack_panic_with_the_smallest_mss_overflows_nothing)
{
	static const uint16_t sizes[] = { 1, 48 };

	for (unsigned i = 0; i < 2; i++) {
		struct rig_options o = r->options;

		o.offer.mss = sizes[i];
		o.offer.ts = false;
		rig_reopen(r, &o);
		handshake_passive(r);
		CHECK_EQ(info_of(r).mss, 48u);
		CHECK_EQ(app_lend(r, 1000000, 1, 0), 0);
		for (uint32_t una = 1; una < 5000; una += 48) {
			uint32_t at = una + 96;

			inject(r, .flags = ACK, .seq = 1, .ack = una,
			       .sacks = 3,
			       .sack = { { at, at + 48 },
					 { at + 96, at + 97 },
					 { at + 144, at + 192 } });
			forget(r);
		}
		CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
		CHECK_EQ(loan_status(r, 1), 1);
	}
}

/* attacks: Savage, spoofed duplicate ACKs. A thousand send no more than the
 * few that can be true. */
TCP_TEST(savage_a_thousand_duplicate_acks_inflate_nothing)
{
	r->options.offer.sack_ok = false;
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 1000000, 1, 0), 0);
	forget(r);
	for (unsigned i = 0; i < 1000; i++)
		inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_LE(bytes_sent(r), 12 * FULL);
	forget(r);
}

/* attacks: urgent pointer games. Numbers change nothing but the mark. */
TCP_TEST(urgent_pointer_games_leave_the_length_of_the_stream)
{
	static const uint16_t pointers[] = { 0, 1, 50, 100, 101, 65535 };

	handshake_passive(r);
	for (uint32_t i = 0; i < 6; i++) {
		uint32_t seq = 1 + 100 * (5 - i);

		inject(r, .flags = ACK | URG, .seq = seq, .ack = 1,
		       .bytes = 100, .urgent = pointers[i]);
	}
	CHECK_EQ(app_recv(r, 1000), 600);
	CHECK_EQ(app_recv(r, 1000), TOW_EAGAIN);
}
