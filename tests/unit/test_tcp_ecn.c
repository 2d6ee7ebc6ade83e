/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Explicit congestion notification: agreement by SYN, marks that are echoed,
 * echoes that are answered.
 */
#include "tcp_accecn.h"

/* A peer that asked for ECN, accepted. */
static void accept_with_ecn(struct rig *r)
{
	listen_here(r, 4);
	inject(r, .flags = SYN | ECE | CWR, .mss = FULL);
	CHECK(sends(r, SYN | ACK | ECE, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(info_of(r).ecn);
}

/* A connection of ours that asks for ECN; the SYN is not taken. */
static void ask_for_ecn(struct rig *r)
{
	struct tow_endpoint local = { r->us, r->our_port, 0 };
	struct tow_endpoint remote = { r->peer, r->peer_port, 0 };

	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_ECN, TOW_TCP_ECN_ASK), 0);
	poll_until_quiet(r);
}

/* Two full segments from @seq on, so that an ACK is due at once. */
static void two_segments(struct rig *r, uint32_t seq, uint32_t ack)
{
	inject(r, .flags = ACK, .seq = seq, .ack = ack, .bytes = FULL,
	       .tos = ECT0, .later = true);
	inject(r, .flags = ACK, .seq = seq + FULL, .ack = ack, .bytes = FULL,
	       .tos = ECT0);
}

/* RFC 3168 6.1.1 */
TCP_TEST(ecn_setup_syn_is_accepted)
{
	accept_with_ecn(r);
}

/* RFC 3168 6.1.1: a SYN with one of the flags only does not ask */
TCP_TEST(syn_with_half_of_the_flags_is_not_an_ecn_setup)
{
	listen_here(r, 4);
	inject(r, .flags = SYN | ECE);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	r->peer_port++;
	inject(r, .flags = SYN | CWR);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
}

/* tow/tcp.h TOW_TCP_ECN_OFF */
TCP_TEST(ecn_setup_syn_is_declined_where_it_is_off)
{
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_ECN, TOW_TCP_ECN_OFF),
		 0);
	inject(r, .flags = SYN | ECE | CWR, .mss = FULL);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 9, .tos = CE);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(peek(r)->flags, ACK);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
}

/* RFC 3168 6.1.1: by default we do not ask, as Linux */
TCP_TEST(ecn_is_not_asked_for_unless_the_program_says_so)
{
	connect_out(r);
	CHECK(sends(r, SYN, 0, 0, 0));
}

/* RFC 3168 6.1.1: CWR and ECE on the SYN, neither is ECN-capable itself */
TCP_TEST(ecn_is_agreed_on_by_an_active_open)
{
	ask_for_ecn(r);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
	CHECK(sends(r, SYN | ECE | CWR, 0, 0, 0));
	inject(r, .flags = SYN | ACK | ECE, .ack = 1, .mss = FULL);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
	CHECK(sends(r, ACK, 1, 1, 0));
	CHECK(info_of(r).ecn);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(peek(r)->tos, ECT0);
}

/* RFC 3168 6.1.1.1: a SYN-ACK that only reflects our flags does not agree */
TCP_TEST(reflected_ecn_flags_are_no_agreement)
{
	ask_for_ecn(r);
	forget(r);
	inject(r, .flags = SYN | ACK | ECE | CWR, .ack = 1, .mss = FULL);
	CHECK(!info_of(r).ecn);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK(sends(r, ACK, 1, 1, 0));
	CHECK_EQ(peek(r)->tos, NOT_ECT);
}

/* RFC 3168 6.1.1.1: the peer need not do it */
TCP_TEST(peer_without_ecn_gets_none)
{
	ask_for_ecn(r);
	forget(r);
	inject(r, .flags = SYN | ACK, .ack = 1, .mss = FULL);
	CHECK(!info_of(r).ecn);
}

/* RFC 3168 6.1.1.1: something may drop ECN-setup SYNs */
TCP_TEST(lost_ecn_setup_syn_is_sent_again_without)
{
	ask_for_ecn(r);
	CHECK(sends(r, SYN | ECE | CWR, 0, 0, 0));
	advance_ms(r, 1100);
	CHECK(sends(r, SYN, 0, 0, 0));
	inject(r, .flags = SYN | ACK | ECE, .ack = 1, .mss = FULL);
	CHECK(!info_of(r).ecn); /* it was not asked by the last one */
}

/* RFC 3168 6.1.1: two that ask each other at once both answer with ECE */
TCP_TEST(ecn_is_agreed_on_in_a_simultaneous_open)
{
	ask_for_ecn(r);
	CHECK(sends(r, SYN | ECE | CWR, 0, 0, 0));
	inject(r, .flags = SYN | ECE | CWR, .mss = FULL);
	CHECK(sends(r, SYN | ACK | ECE, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK(info_of(r).ecn);
}

/* RFC 3168 6.1.3: ECE from the first mark until CWR, on each ACK */
TCP_TEST(mark_is_echoed_until_the_peer_says_cwr)
{
	accept_with_ecn(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = FULL, .tos = CE);
	CHECK(sends(r, ACK | ECE, 1, 1001, 0)); /* at once */
	two_segments(r, 1001, 1);
	CHECK(sends(r, ACK | ECE, 1, 3001, 0));
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK(sends(r, ACK | ECE, 1, 3001, 10)); /* data says it too */
	inject(r, .flags = ACK | CWR, .seq = 3001, .ack = 11, .bytes = FULL,
	       .tos = ECT0);
	CHECK(sends(r, ACK, 11, 4001, 0)); /* at once */
	CHECK_EQ(info_of(r).ecn_marks_in, 1u);
}

/* RFC 3168 6.1.3: a mark on the segment with CWR is newer than the CWR */
TCP_TEST(mark_on_the_segment_with_cwr_is_echoed)
{
	accept_with_ecn(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = FULL, .tos = CE);
	CHECK(sends(r, ACK | ECE, 1, 1001, 0));
	inject(r, .flags = ACK | CWR, .seq = 1001, .ack = 1, .bytes = FULL,
	       .tos = CE);
	CHECK(sends(r, ACK | ECE, 1, 2001, 0));
}

/* RFC 3168 6.1.4, 6.1.5: what is not in the window, or no data, is not heard */
TCP_TEST(marks_on_bare_acks_and_outside_the_window_are_ignored)
{
	accept_with_ecn(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .tos = CE);
	inject(r, .flags = ACK, .seq = 0x40000000, .ack = 1, .bytes = 10,
	       .tos = CE);
	forget(r);
	two_segments(r, 1, 1);
	CHECK(sends(r, ACK, 1, 2001, 0));
	CHECK_EQ(info_of(r).ecn_marks_in, 0u);
}

/* RFC 3168 6.1.2, RFC 8511 3.1: of what was in flight before the ACK */
TCP_TEST(echo_with_the_last_ack_of_a_flight_reduces_the_window_as_any_other)
{
	accept_with_ecn(r);
	CHECK_EQ(app_lend(r, 10 * FULL, 1, 0), 0);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = 1 + 10 * FULL);
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	CHECK_EQ(info_of(r).ssthresh_bytes, 8500u);
	CHECK_GE(info_of(r).cwnd_bytes, 8500u);
	CHECK_LT(info_of(r).cwnd_bytes, 10 * FULL);
}

/* RFC 3168 6.1.2: as for a loss, once in a round trip; CWR on new data */
TCP_TEST(echo_reduces_the_window_once_in_a_round_trip)
{
	uint32_t before, after;

	accept_with_ecn(r);
	CHECK_EQ(app_lend(r, 100 * FULL, 1, 0), 0);
	before = info_of(r).cwnd_bytes;
	CHECK_EQ(bytes_sent(r), before);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = 1 + FULL);
	after = info_of(r).cwnd_bytes;
	CHECK_LT(after, before);
	CHECK_GE(after, before / 2);
	CHECK_EQ(after, info_of(r).ssthresh_bytes);
	CHECK_EQ(info_of(r).retransmits, 0u);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = 1 + 2 * FULL);
	CHECK_EQ(info_of(r).cwnd_bytes, after); /* nor does it grow */
	forget(r);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = 1 + before);
	CHECK_EQ(info_of(r).cwnd_bytes, after);
	CHECK_EQ(peek(r)->flags, ACK | CWR);
	next(r);
	CHECK_EQ(peek(r)->flags, ACK); /* once */
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = 1 + before + FULL);
	CHECK_LT(info_of(r).cwnd_bytes, after); /* a round trip later */
	CHECK_EQ(info_of(r).ecn_marks_out, 2u);
}

/* RFC 3168 6.1.2: the window is smaller, whatever the reason was */
TCP_TEST(reduction_for_a_loss_is_told_with_the_next_new_data)
{
	accept_with_ecn(r);
	CHECK_EQ(app_lend(r, 100 * FULL, 1, 0), 0);
	forget(r);
	for (unsigned i = 0; i < 3; i++)
		inject(r, .flags = ACK, .seq = 1, .ack = 1);
	while (waiting(r)) /* before it, and what was lost */
		CHECK_EQ(next(r)->flags & CWR, 0);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
	for (unsigned i = 0; i < 4; i++)
		inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(peek(r)->flags, ACK | CWR);
	CHECK_EQ(peek(r)->tos, ECT0);
	next(r);
	while (waiting(r))
		CHECK_EQ(next(r)->flags & CWR, 0); /* once */
}

/*
 * RFC 3168 6.1.5: what goes again after a timeout has no CWR, so the peer has
 * to say ECE until new data comes; that is old news, and slow start goes on
 */
TCP_TEST(echo_does_not_stop_slow_start_after_a_timeout)
{
	uint32_t una = 1, sent = FULL;

	accept_with_ecn(r);
	CHECK_EQ(app_lend(r, 10 * FULL, 1, 0), 0);
	forget(r);
	CHECK_NE(advance_to_segment(r, 2000000), UINT64_MAX);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 1u);
	CHECK_EQ(bytes_sent(r), FULL);
	for (unsigned rounds = 0; sent > 0; rounds++) {
		CHECK_LT(rounds, 5u); /* of 1, 2, 4 and the rest */
		advance_ms(r, RTT_MS);
		for (; sent > 0; sent -= FULL, una += FULL)
			inject(r, .flags = ACK | ECE, .seq = 1,
			       .ack = una + FULL);
		sent = bytes_sent(r);
	}
	CHECK_EQ(una, 1 + 10 * FULL);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 1u);
}

/* RFC 3168 6.1.1: who has sent a SYN without does not want it any more */
TCP_TEST(syn_that_comes_again_without_ecn_takes_it_back)
{
	listen_here(r, 4);
	inject(r, .flags = SYN | ECE | CWR, .mss = FULL);
	CHECK(sends(r, SYN | ACK | ECE, 0, 1, 0));
	inject(r, .flags = SYN, .mss = FULL);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(!info_of(r).ecn);
	app_send(r, 10, 0);
	CHECK_EQ(next(r)->tos, NOT_ECT);
}

/* RFC 9293 3.10.7.4, LAST-ACK: the record is gone, so nothing may react */
TCP_TEST(echo_on_the_ack_that_ends_a_connection_is_ignored)
{
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_CONGESTION, TOW_TCP_BBR),
		 0);
	inject(r, .flags = SYN | ECE | CWR, .mss = FULL);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	forget(r);
	inject(r, .flags = ACK | ECE, .seq = 2, .ack = 2);
	CHECK_EQ(waiting(r), 0u);
}

/* RFC 3168 6.1.5: a retransmission must not be ECN-capable */
TCP_TEST(only_new_data_is_ecn_capable)
{
	accept_with_ecn(r);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(peek(r)->tos, ECT0);
	forget(r);
	CHECK_NE(advance_to_segment(r, 3000000), UINT64_MAX);
	CHECK_EQ(peek(r)->bytes, 10u);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
	forget(r);
	two_segments(r, 1, 11);
	CHECK_EQ(peek(r)->bytes, 0u);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
	forget(r);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK_EQ(peek(r)->flags, FIN | ACK);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
}

/* RFC 3168 6.1.6: nobody can guess its number */
TCP_TEST(mark_on_a_window_probe_is_echoed)
{
	uint32_t seq = 1, window = 1;

	accept_with_ecn(r);
	while (window > 0) {
		uint32_t bytes = window < FULL ? window : FULL;

		inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = bytes);
		seq += bytes;
		advance_ms(r, 50);
		while (waiting(r))
			window = next(r)->window;
		CHECK_LT(seq, 10000000u);
	}
	inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = 1, .tos = CE);
	CHECK_EQ(peek(r)->flags, ACK | ECE);
	CHECK_EQ(peek(r)->ack, seq);
}

/* RFC 3168 6.1.6 */
TCP_TEST(window_probes_are_not_ecn_capable)
{
	accept_with_ecn(r);
	CHECK_EQ(app_send(r, FULL, 0), FULL);
	forget(r);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = 1 + FULL,
	       .zero_window = true); /* so CWR is due */
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_NE(advance_to_segment(r, 3000000), UINT64_MAX);
	CHECK_GE(peek(r)->bytes, 1u);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
	CHECK_EQ(peek(r)->flags, ACK);
}

/* --- AccECN, RFC 9768 --- */

/* RFC 9768 3.1.2, table 2, and 3.1.3: all that a SYN-ACK may say */
TCP_TEST(syn_ack_says_which_version_of_ecn_it_is)
{
	static const uint8_t accurate[] = { 0, 0, 1, 1, 1, 1, 1, 0 };
	static const uint8_t classic[] = { 0, 1, 0, 0, 0, 0, 0, 0 };

	for (unsigned n = 0; n < 8; n++) {
		if (r->tcp)
			tow_tcp_abort(r->tcp);
		poll_until_quiet(r);
		forget(r);
		r->peer_port++;
		ask_for_accurate(r);
		inject(r, .ae = n & 4,
		       .flags = SYN | ACK | (n & 2 ? CWR : 0) |
				(n & 1 ? ECE : 0),
		       .ack = 1, .mss = FULL);
		CHECK_EQ(info_of(r).ecn_accurate, accurate[n]);
		CHECK_EQ(info_of(r).ecn, accurate[n] || classic[n]);
		CHECK_EQ(info_of(r).ecn_marks_out, 0u); /* 3.2.2.2 */
	}
}

/* RFC 9768 3.2.2.1, table 3: the first ACK says how the SYN-ACK came; CE counts */
TCP_TEST(first_ack_says_how_the_syn_ack_was_marked)
{
	static const uint8_t says[] = { 2, 3, 4, 6 };

	for (uint8_t tos = 0; tos < 4; tos++) {
		if (r->tcp)
			tow_tcp_abort(r->tcp);
		poll_until_quiet(r);
		forget(r);
		r->peer_port++;
		ask_for_accurate(r);
		inject(r, .flags = SYN | ACK | CWR, .ack = 1, .mss = FULL,
		       .tos = tos);
		CHECK_EQ(ace(next(r)), says[tos]);
		CHECK_EQ(tow_tcp_send(r->tcp, r->stream, 10, 0), 10);
		poll_until_quiet(r);
		CHECK_EQ(ace(peek(r)), tos == CE ? 6u : 5u);
		CHECK_EQ(peek(r)->tos, ECT0);
	}
}

/* RFC 9768 3.1.2, table 2: and the SYN-ACK how the SYN came */
TCP_TEST(syn_ack_says_how_the_syn_was_marked)
{
	static const uint8_t says[] = { 2, 3, 4, 6 };

	r->expects_ae = true;
	listen_here(r, 8);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_ECN,
				  TOW_TCP_ECN_ACCURATE),
		 0);
	for (uint8_t tos = 0; tos < 4; tos++) {
		r->peer_port++;
		inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL,
		       .tos = tos);
		CHECK_EQ(ace(next(r)), says[tos]);
	}
}

/* RFC 9768 3.1.2: who does not do it answers as to a classic ECN-setup SYN */
TCP_TEST(accurate_syn_is_answered_by_classic_ecn_by_default)
{
	listen_here(r, 4);
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL);
	CHECK(sends(r, SYN | ACK | ECE, 0, 1, 0));
}

/* RFC 9768 3.1.4.1: asked once more, then not at all */
TCP_TEST(lost_accurate_syn_is_sent_once_more_and_then_without)
{
	ask_for_accurate(r);
	advance_ms(r, 1100);
	CHECK_EQ(ace(next(r)), 7u);
	advance_ms(r, 2100);
	CHECK_EQ(ace(peek(r)), 0u);
	CHECK(sends(r, SYN, 0, 0, 0));
}

/* RFC 9768 3.2.2: each marked packet counts, modulo eight */
TCP_TEST(marked_packets_are_counted_in_three_flags)
{
	uint32_t seq = 1;

	accept_accurate(r, 2);
	for (unsigned i = 1; i <= 12; i++, seq += FULL) {
		inject(r, ACE(5), .seq = seq, .ack = 1, .bytes = FULL,
		       .tos = CE);
		advance_ms(r, 50);
		CHECK_EQ(ace(peek(r)), (5 + i) % 8);
		CHECK_EQ(peek(r)->ack, seq + FULL);
		forget(r);
	}
	CHECK_EQ(info_of(r).ecn_marks_in, 12u);
}

/* RFC 9768 3.2.2.5: a count that grew reduces, once in a round trip */
TCP_TEST(count_that_grew_reduces_the_window_once_in_a_round_trip)
{
	uint32_t before, after;

	accept_accurate(r, 2);
	CHECK_EQ(app_lend(r, 100 * FULL, 1, 0), 0);
	before = info_of(r).cwnd_bytes;
	forget(r);
	inject(r, ACE(7), .seq = 1, .ack = 1 + FULL);
	after = info_of(r).cwnd_bytes;
	CHECK_LT(after, before);
	CHECK_EQ(info_of(r).ecn_marks_out, 2u);
	inject(r, ACE(1), .seq = 1, .ack = 1 + 2 * FULL); /* 9 modulo 8 */
	CHECK_GE(info_of(r).cwnd_bytes, after);
	CHECK_EQ(info_of(r).ecn_marks_out, 4u);
	/* RFC 9768 3.2.2.5: what comes late and says nothing new is no count */
	inject(r, ACE(7), .seq = 1, .ack = 1 + FULL);
	CHECK_EQ(info_of(r).ecn_marks_out, 4u);
}

/* RFC 9768 3.2.2.1, table 4: flags that are cleared on the way */
TCP_TEST(third_ack_without_a_count_ends_marking)
{
	accept_accurate(r, 0);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
	CHECK_EQ(ace(peek(r)), 5u); /* the other direction goes on */
}
