/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Explicit congestion notification: agreement by SYN, marks that are echoed,
 * echoes that are answered.
 */
#include "tcp_peer.h"

enum { NOT_ECT = 0, ECT1 = 1, ECT0 = 2, CE = 3 };

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
	CHECK_EQ(info_of(r).retransmits, 0u);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = 1 + 2 * FULL);
	CHECK_GE(info_of(r).cwnd_bytes, after);
	after = info_of(r).cwnd_bytes;
	forget(r);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = 1 + before);
	CHECK_EQ(peek(r)->flags, ACK | CWR);
	next(r);
	CHECK_EQ(peek(r)->flags, ACK); /* once */
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	inject(r, .flags = ACK | ECE, .seq = 1, .ack = 1 + before + FULL);
	CHECK_LT(info_of(r).cwnd_bytes, after); /* a round trip later */
	CHECK_EQ(info_of(r).ecn_marks_out, 2u);
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

/* RFC 3168 6.1.6 */
TCP_TEST(window_probes_are_not_ecn_capable)
{
	accept_with_ecn(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .zero_window = true);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_NE(advance_to_segment(r, 3000000), UINT64_MAX);
	CHECK_GE(peek(r)->bytes, 1u);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
}
