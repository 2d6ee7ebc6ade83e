/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The option of AccECN, RFC 9768 3.2.3: counts of bytes by their marks; and how
 * they and the count of packets in the header keep each other right.
 */
#include "tcp_accecn.h"
#include <string.h>

#define ACCECN0 172 /* EE0B, ECEB, EE1B */
#define ACCECN1 174 /* EE1B, ECEB, EE0B */

/* The next segment has this option; it is not taken. */
static bool has_option(struct rig *r, unsigned kind, unsigned fields,
		       uint32_t a, uint32_t b, uint32_t c)
{
	const struct segment *s = peek(r);
	uint32_t want[3] = { a, b, c };

	return s->ecn_kind == kind && s->ecn_fields == fields &&
	       !memcmp(s->ecn, want, fields * sizeof(want[0]));
}

/* Data from the peer, ECN bits as said, and time for a delayed ACK. */
static void data(struct rig *r, uint32_t seq, uint8_t tos)
{
	inject(r, ACE(5), .seq = seq, .ack = 1, .bytes = FULL, .tos = tos);
	advance_ms(r, 50);
}

/* An ACK of the peer's for our bytes up to @n full segments. */
#define ack_of(r, n, count, ...) \
	inject(r, ACE(count), .seq = 1, .ack = 1 + (n)*FULL, __VA_ARGS__)

/* A server's connection with so many full segments queued. */
static void accept_and_send(struct rig *r, uint32_t segments)
{
	accept_accurate(r, 2);
	CHECK_EQ(app_lend(r, segments * FULL, 1, 0), 0);
	forget(r);
}

/* RFC 9768 3.2.1, 3.2.3.2.1: the counters do not begin at zero */
TCP_TEST(syn_ack_has_the_option)
{
	listen_for_accurate(r);
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL,
	       .sack_ok = true, .ts = true, .has_wscale = true);
	CHECK(has_option(r, ACCECN0, 3, 1, 0, 1));
	CHECK_EQ(next(r)->flags, SYN | ACK | CWR);
}

/* RFC 9768 3.2.3.2.1: the first ACK, and the first data, but no SYN */
TCP_TEST(client_opens_with_the_option)
{
	ask_for_accurate(r);
	inject(r, .flags = SYN | ACK | CWR, .ack = 1, .mss = FULL);
	CHECK(has_option(r, ACCECN0, 1, 1, 0, 0));
	CHECK_EQ(next(r)->bytes, 0u);
	CHECK_EQ(app_send(r, 100, 0), 100u);
	CHECK(has_option(r, ACCECN0, 1, 1, 0, 0));
	CHECK_EQ(next(r)->bytes, 100u);
	inject(r, ACE(5), .seq = 1, .ack = 101);
	CHECK_EQ(app_send(r, 100, 0), 100u);
	CHECK_EQ(next(r)->ecn_kind, 0u);
}

/* RFC 9768 3.2.2.1: what the SYN-ACK was like is said by an ACK without data */
TCP_TEST(queued_data_of_a_client_follows_a_bare_ack)
{
	ask_for_accurate(r);
	CHECK_EQ(app_send(r, 100, 0), 100u);
	inject(r, .flags = SYN | ACK | CWR, .ack = 1, .mss = FULL, .tos = CE);
	CHECK_EQ(ace(peek(r)), 6u);
	CHECK(sends(r, ACK | CWR, 1, 1, 0));
	CHECK_EQ(ace(peek(r)), 6u); /* a count now: one mark */
	CHECK(sends(r, ACK | CWR, 1, 1, 100));
}

/* RFC 9768 3.2.3.3: each counter that moved, in the order that is shorter */
TCP_TEST(option_has_the_counters_that_moved)
{
	accept_accurate(r, 2);
	data(r, 1, ECT0);
	CHECK(has_option(r, ACCECN0, 1, 1001, 0, 0));
	forget(r);
	data(r, 1001, CE);
	CHECK(has_option(r, ACCECN0, 2, 1001, 1000, 0));
	forget(r);
	data(r, 2001, ECT0); /* what ever moved stays */
	CHECK(has_option(r, ACCECN0, 2, 2001, 1000, 0));
	forget(r);
	data(r, 3001, ECT1);
	CHECK(has_option(r, ACCECN0, 3, 2001, 1000, 1001));
	forget(r);
	CHECK_EQ(info_of(r).ect0_bytes_in, 2000u);
	CHECK_EQ(info_of(r).ce_bytes_in, 1000u);
	CHECK_EQ(info_of(r).ect1_bytes_in, 1000u);
}

/* RFC 9768 3.2.3: order 1 is for those who send ECT(1) */
TCP_TEST(order_is_the_one_with_fewer_fields)
{
	accept_accurate(r, 2);
	data(r, 1, ECT1);
	CHECK(has_option(r, ACCECN1, 1, 1001, 0, 0));
	forget(r);
	data(r, 1001, CE);
	CHECK(has_option(r, ACCECN1, 2, 1001, 1000, 0));
	forget(r);
}

/* RFC 9768 3.2.3.3: on each ACK after a counter moved, and on no other */
TCP_TEST(option_is_left_out_when_nothing_moved)
{
	accept_accurate(r, 2);
	data(r, 1, NOT_ECT);
	CHECK_EQ(next(r)->ecn_kind, 0u);
	data(r, 1001, ECT0);
	CHECK_EQ(next(r)->ecn_kind, ACCECN0);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(next(r)->ecn_kind, 0u);
	inject(r, ACE(5), .seq = 2001, .ack = 11, .tos = ECT0);
	CHECK_EQ(waiting(r), 0u); /* no payload, no count */
	CHECK_EQ(info_of(r).ect0_bytes_in, 1000u);
}

/* RFC 9768 3.2.3: a counter that is larger than its field */
TCP_TEST(counters_go_round_at_24_bits)
{
	uint32_t seq = 1;

	accept_accurate(r, 2);
	for (unsigned i = 0; i < 420; i++, seq += 40000) {
		inject(r, ACE(5), .seq = seq, .ack = 1, .bytes = 40000,
		       .tos = ECT0);
		CHECK_EQ(app_recv(r, 40000), 40000);
		forget(r);
	}
	data(r, seq, ECT0);
	CHECK(has_option(r, ACCECN0, 1, (16801000u + 1) & 0xffffff, 0, 0));
	CHECK_EQ(info_of(r).ect0_bytes_in, 16801000u);
	forget(r);
}

/* Timestamps and SACK on, three holes, of which the last just came. */
static void three_holes(struct rig *r, uint8_t tos)
{
	listen_for_accurate(r);
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL,
	       .sack_ok = true, .ts = true);
	forget(r);
	inject(r, ACE(2), .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	for (unsigned i = 0; i < 3; i++) {
		forget(r);
		inject(r, ACE(5), .seq = 1001 + 2000 * i, .ack = 1,
		       .bytes = FULL, .tos = tos);
	}
}

/* RFC 9768 3.2.3.3: two SACK blocks go first, a third does not */
TCP_TEST(option_has_its_place_beside_timestamps_and_two_blocks)
{
	three_holes(r, ECT0);
	CHECK(peek(r)->ts);
	CHECK_EQ(peek(r)->sacks, 2u);
	CHECK(has_option(r, ACCECN0, 1, 3001, 0, 0));
	forget(r);
	inject(r, ACE(5), .seq = 7001, .ack = 1, .bytes = FULL, .tos = CE);
	CHECK_EQ(peek(r)->sacks, 2u);
	CHECK(has_option(r, ACCECN0, 2, 3001, 1000, 0));
	forget(r);
}

/* RFC 9768 3.2.3.3: where it does not fit it is left out, and goes later */
TCP_TEST(option_that_does_not_fit_is_told_later)
{
	three_holes(r, ECT1);
	CHECK(has_option(r, ACCECN1, 1, 3001, 0, 0));
	forget(r);
	inject(r, ACE(5), .seq = 7001, .ack = 1, .bytes = FULL, .tos = ECT0,
	       .later = true);
	inject(r, ACE(5), .seq = 9001, .ack = 1, .bytes = FULL, .tos = ECT1);
	CHECK_EQ(peek(r)->ecn_kind, 0u); /* three fields beside two blocks */
	CHECK_EQ(peek(r)->sacks, 3u);
	forget(r);
	for (unsigned i = 0; i < 5; i++)
		inject(r, ACE(5), .seq = 1 + 2000 * i, .ack = 1, .bytes = FULL,
		       .later = i < 4);
	CHECK(has_option(r, ACCECN0, 3, 1001, 0, 4001));
	CHECK_EQ(peek(r)->sacks, 0u);
	forget(r);
}

/* RFC 9293 3.7.1: the option takes its room from the payload */
TCP_TEST(full_segment_with_the_option_fits_the_path)
{
	uint32_t most;

	listen_for_accurate(r);
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = 9000);
	forget(r);
	inject(r, ACE(2), .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	most = info_of(r).mss;
	inject(r, ACE(5), .seq = 1, .ack = 1, .bytes = FULL, .tos = ECT0,
	       .later = true);
	CHECK_EQ(app_lend(r, 5 * most, 1, 0), 0);
	CHECK(has_option(r, ACCECN0, 1, 1001, 0, 0));
	CHECK_EQ(next(r)->bytes, most - 8);
	forget(r);
}

/* RFC 9768 3.2.3.1: whatever the order and the length */
TCP_TEST(options_of_the_peer_are_read)
{
	accept_and_send(r, 40);
	ack_of(r, 1, 5, .ecn_kind = ACCECN0, .ecn_fields = 1, .ecn = { 1001 });
	CHECK_EQ(info_of(r).ect0_bytes_out, 1000u);
	CHECK(info_of(r).ecn_option);
	ack_of(r, 2, 6, .ecn_kind = ACCECN1, .ecn_fields = 3,
	       .ecn = { 1, 1000, 1001 });
	CHECK_EQ(info_of(r).ect0_bytes_out, 1000u);
	CHECK_EQ(info_of(r).ce_bytes_out, 1000u);
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	ack_of(r, 3, 6, .ecn_kind = ACCECN1, .ecn_fields = 1, .ecn = { 1001 });
	CHECK_EQ(info_of(r).ect1_bytes_out, 1000u);
	ack_of(r, 4, 6, .ecn_kind = ACCECN0);
	/* 3.2.3: three fields and a rest that is not understood yet */
	inject(r, ACE(6), .seq = 1, .ack = 1 + 5 * FULL,
	       .options = (uint8_t[]){ ACCECN0, 13, 0, 0x0b, 0xb9, 0, 3, 0xe8,
				       0, 3, 0xe9, 7, 7 },
	       .option_bytes = 13);
	CHECK_EQ(info_of(r).ect0_bytes_out, 3000u);
	/* late: what was acknowledged before says nothing */
	ack_of(r, 4, 6, .ecn_kind = ACCECN0, .ecn_fields = 1, .ecn = { 2001 });
	CHECK_EQ(info_of(r).ect0_bytes_out, 3000u);
	forget(r);
}

/* RFC 9768 3.2.3.2.4: something on the path clears it */
TCP_TEST(option_that_begins_with_zeros_is_never_believed)
{
	ask_for_accurate(r);
	inject(r, .flags = SYN | ACK | CWR, .ack = 1, .mss = FULL,
	       .ecn_kind = ACCECN0, .ecn_fields = 3);
	CHECK_EQ(app_lend(r, 40 * FULL, 1, 0), 0);
	ack_of(r, 2, 5, .ecn_kind = ACCECN0, .ecn_fields = 2,
	       .ecn = { 2001, 9000 });
	CHECK(!info_of(r).ecn_option);
	CHECK_EQ(info_of(r).ce_bytes_out, 0u);
	CHECK_EQ(info_of(r).ecn_marks_out, 0u);
	ack_of(r, 3, 6, .ecn_kind = ACCECN0, .ecn_fields = 2,
	       .ecn = { 2001, 10000 });
	ack_of(r, 12, 6, .ecn_kind = ACCECN0, .ecn_fields = 2,
	       .ecn = { 11001, 10000 });
	CHECK_EQ(info_of(r).ecn_marks_out,
		 9u); /* by the flags, at their safest */
	forget(r);
}

/* RFC 9768 3.2.2.5.2: eight marks look like none, but bytes tell */
TCP_TEST(marks_that_went_round_are_seen_by_their_bytes)
{
	uint32_t before;

	accept_and_send(r, 40);
	before = info_of(r).cwnd_bytes;
	ack_of(r, 8, 5, .ecn_kind = ACCECN0, .ecn_fields = 2,
	       .ecn = { 1, 8000 });
	CHECK_EQ(info_of(r).ecn_marks_out, 8u);
	CHECK_LT(info_of(r).cwnd_bytes, before);
	forget(r);
	ack_of(r, 10, 6, .ecn_kind = ACCECN0, .ecn_fields = 2,
	       .ecn = { 1001, 9000 });
	CHECK_EQ(info_of(r).ecn_marks_out, 9u);
	CHECK_EQ(peek(r)->tos, ECT0);
	forget(r);
}

/*
 * A peer without the option, whose ACKs are for @most packets or fewer, if two
 * of those had a mark (3.2.2.5.1) or no more are on their way. Of the packets
 * one in @mark_in has a mark, of the ACKs one in @lose_in is lost.
 */
struct thin {
	unsigned most, mark_in, lose_in; /* 0: none */
};

static bool one_in(uint32_t *random, unsigned n)
{
	*random = *random * 1103515245u + 12345;
	return n && (*random >> 16) % n == 0;
}

/* From segment @from to @to. Returns: how many marks there were. */
static unsigned acks_thinly(struct rig *r, unsigned from, unsigned to,
			    struct thin p)
{
	unsigned marks = 0, told = 0, since = 0, last;
	uint32_t random = 12345;

	for (unsigned n = from + 1; n <= to; n++) {
		struct tow_tcp_info info = info_of(r);

		last = (unsigned)(info.acked_bytes + info.in_flight_bytes) /
		       FULL;
		last = last < to ? last : to;
		marks += one_in(&random, p.mark_in);
		since++;
		if (since < p.most && marks - told < 2 && n < last)
			continue;
		told = marks;
		since = 0;
		if (one_in(&random, p.lose_in) && n < last)
			continue;
		ack_of(r, n, 5 + marks);
		forget(r);
	}
	return marks;
}

/* A connection with a window that was opened by 500 segments without a mark. */
static void accept_and_open(struct rig *r, uint32_t segments)
{
	listen_for_accurate(r);
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL,
	       .has_wscale = true, .wscale = 7);
	inject(r, ACE(2), .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_lend(r, segments * FULL, 1, 0), 0);
	forget(r);
	acks_thinly(r, 0, 500, (struct thin){ 2, 0, 0 });
}

/*
 * RFC 9768 3.2.2.5.2, A.2.1: where few have marks, an ACK is not for many of
 * them
 */
TCP_TEST(count_alone_is_true_where_marks_are_rare)
{
	unsigned marks;

	accept_and_open(r, 2000);
	acks_thinly(r, 500, 700, (struct thin){ 20, 0, 0 });
	marks = acks_thinly(r, 700, 2000, (struct thin){ 20, 40, 0 });
	CHECK_GE(marks, 20u);
	CHECK_EQ(info_of(r).ecn_marks_out, marks);
}

/* RFC 9768 3.2.2.5.2: without bytes, no round where there was no mark lately */
TCP_TEST(count_alone_is_taken_for_what_is_likely)
{
	accept_and_send(r, 80);
	ack_of(r, 8, 5);
	CHECK_EQ(info_of(r).ecn_marks_out, 0u);
	ack_of(r, 9, 6);
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	ack_of(r, 17, 6); /* in the same round trip: the safest */
	CHECK_EQ(info_of(r).ecn_marks_out, 9u);
	ack_of(r, 18, 6);
	ack_of(r, 27, 0); /* 2 of 9: no other number is possible */
	CHECK_EQ(info_of(r).ecn_marks_out, 11u);
	ack_of(r, 37, 2); /* 2 of 10, or 10 */
	CHECK_EQ(info_of(r).ecn_marks_out, 21u);
	forget(r);
}

/*
 * RFC 9768 3.2.2.5.2: marks that went round in ACKs that were lost are counted
 */
TCP_TEST(count_alone_misses_nothing_where_acks_are_lost)
{
	unsigned marks;

	accept_and_open(r, 1000);
	marks = acks_thinly(r, 500, 1000, (struct thin){ 2, 2, 2 });
	CHECK_GE(info_of(r).ecn_marks_out, marks);
	CHECK_LE(info_of(r).ecn_marks_out, 500u);
	CHECK_EQ((info_of(r).ecn_marks_out - marks) % 8, 0u);
}

/* RFC 9768 3.2.2.5.2: packets may be smaller than we take them for */
TCP_TEST(count_of_more_marks_than_packets_is_believed)
{
	accept_and_send(r, 40);
	ack_of(r, 2, 0);
	CHECK_EQ(info_of(r).ecn_marks_out, 3u);
	forget(r);
}

/* RFC 9768 3.2.3.2.5: marked bytes without a marked packet cannot be */
TCP_TEST(marked_bytes_without_marked_packets_end_marking)
{
	accept_and_send(r, 40);
	ack_of(r, 2, 5, .ecn_kind = ACCECN0, .ecn_fields = 2,
	       .ecn = { 1001, 1000 });
	CHECK_EQ(peek(r)->bytes, FULL);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
	forget(r);
	ack_of(r, 3, 6); /* but what the peer says is heard */
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	forget(r);
}

/* RFC 9768 3.2.2.3: our SYN was not ECN-capable, and came as if it were */
TCP_TEST(syn_that_was_meddled_with_ends_marking)
{
	ask_for_accurate(r);
	inject(r, .flags = SYN | ACK, .ae = true, .ack = 1, .mss = FULL);
	CHECK(info_of(r).ecn_accurate);
	forget(r);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
	forget(r);
}

/* RFC 9768 3.2.2.1, table 4, and 3.2.2.3: the same of our SYN-ACK */
TCP_TEST(mark_on_the_syn_ack_counts_and_ends_marking)
{
	accept_accurate(r, 6);
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	CHECK_EQ(app_lend(r, 5 * FULL, 1, 0), 0);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
	forget(r);
	ack_of(r, 1, 6);
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	forget(r);
}

/* RFC 9768 3.2.2.1: an ACK with data is a count, not how the SYN-ACK came */
TCP_TEST(first_ack_with_data_is_a_count)
{
	listen_for_accurate(r);
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL);
	forget(r);
	inject(r, ACE(6), .seq = 1, .ack = 1, .bytes = 10);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_lend(r, 5 * FULL, 1, 0), 0);
	forget(r);
	CHECK_EQ(info_of(r).ecn_marks_out, 0u);
	inject(r, ACE(6), .seq = 11, .ack = 1 + FULL);
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	forget(r);
}

/* Past the ACKs that are not delayed; the last is one of two segments. */
static uint32_t past_quick_acks(struct rig *r)
{
	uint32_t seq = 1;

	for (unsigned i = 0; i < 40; i++, seq += FULL)
		inject(r, ACE(5), .seq = seq, .ack = 1, .bytes = FULL,
		       .tos = ECT0);
	advance_ms(r, 50);
	forget(r);
	inject(r, ACE(5), .seq = seq, .ack = 1, .bytes = FULL, .tos = ECT0);
	CHECK_EQ(waiting(r), 0u); /* delayed */
	advance_ms(r, 50);
	forget(r);
	return seq + FULL;
}

/* RFC 9768 3.2.2.5.1: a mark on data after none is told at once */
TCP_TEST(first_mark_in_a_row_is_answered_at_once)
{
	uint32_t seq;

	accept_accurate(r, 2);
	seq = past_quick_acks(r);
	inject(r, ACE(5), .seq = seq, .ack = 1, .bytes = 10, .tos = CE);
	CHECK_EQ(ace(peek(r)), 6u);
	CHECK_EQ(next(r)->ack, seq + 10);
	inject(r, ACE(5), .seq = seq + 10, .ack = 1, .bytes = 10, .tos = CE);
	CHECK_EQ(waiting(r), 0u);
	inject(r, ACE(5), .seq = seq + 20, .ack = 1, .bytes = 10, .tos = CE);
	CHECK_EQ(ace(peek(r)), 0u); /* each second one, however small */
	CHECK_EQ(next(r)->ack, seq + 30);
}

/* RFC 9768 3.2.2.2, 3.2.2.5.1: ACKs count, and each third mark on them is told */
TCP_TEST(marks_on_bare_acks_are_counted)
{
	accept_accurate(r, 2);
	for (unsigned i = 1; i <= 2; i++) {
		inject(r, ACE(5), .seq = 1, .ack = 1, .tos = CE);
		CHECK_EQ(waiting(r), 0u);
		CHECK_EQ(info_of(r).ecn_marks_in, i);
	}
	inject(r, ACE(5), .seq = 1, .ack = 1, .tos = CE);
	CHECK_EQ(ace(peek(r)), 0u);
	CHECK(sends(r, ACK, 1, 1, 0));
	CHECK_EQ(info_of(r).ce_bytes_in, 0u);
	/* out of the window, it may be anybody's */
	inject(r, ACE(5), .seq = 0x40000000, .ack = 1, .bytes = 10, .tos = CE);
	forget(r);
	CHECK_EQ(info_of(r).ecn_marks_in, 3u);
}

/* An ACK of the peer's that came with a mark, where three holes are open. */
static void marked_acks(struct rig *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		inject(r, ACE(5), .seq = 1, .ack = 1, .tos = CE);
}

/* RFC 9768 3.2.2.5.1: so that the peer does not take it for a duplicate */
TCP_TEST(ack_of_acks_has_no_sack_blocks)
{
	three_holes(r, ECT0);
	forget(r);
	marked_acks(r, 3);
	CHECK_EQ(ace(peek(r)), 0u);
	CHECK_EQ(peek(r)->sacks, 0u);
	CHECK(sends(r, ACK, 1, 1, 0));
	/* Data that came twice in between: a reason to say what is missing */
	marked_acks(r, 2);
	CHECK_EQ(waiting(r), 0u);
	inject(r, ACE(5), .seq = 1001, .ack = 1, .bytes = FULL, .later = true);
	marked_acks(r, 1);
	CHECK_EQ(ace(peek(r)), 3u);
	CHECK_GE(peek(r)->sacks, 2u);
	forget(r);
	/* So is data that fills a hole. */
	marked_acks(r, 2);
	inject(r, ACE(5), .seq = 1, .ack = 1, .bytes = FULL, .tos = CE,
	       .later = true);
	marked_acks(r, 1);
	CHECK_EQ(peek(r)->ack, 2001u);
	CHECK_EQ(peek(r)->sacks, 2u);
	forget(r);
}

/* RFC 9768 3.2.3.2.2: data that is lost with the option goes again without */
TCP_TEST(option_is_given_up_when_data_is_lost_with_it)
{
	accept_accurate(r, 2);
	for (unsigned i = 0; i < 2; i++) {
		inject(r, ACE(5), .seq = 1 + i * FULL, .ack = 1 + 10 * i,
		       .bytes = FULL, .tos = ECT0, .later = true);
		CHECK_EQ(app_send(r, 10, 0), 10u);
		CHECK_EQ(peek(r)->bytes, 10u);
		CHECK_EQ(peek(r)->ecn_kind, ACCECN0);
		forget(r);
		CHECK_NE(advance_to_segment(r, 3000000), UINT64_MAX);
		CHECK_EQ(peek(r)->bytes, 10u);
		CHECK_EQ(peek(r)->ecn_kind, 0u);
		forget(r);
		inject(r, ACE(5), .seq = 1 + (i + 1) * FULL,
		       .ack = 11 + 10 * i);
		forget(r);
	}
	data(r, 1 + 2 * FULL, CE);
	CHECK_EQ(ace(peek(r)), 6u);
	CHECK_EQ(peek(r)->ecn_kind, 0u); /* no more */
	forget(r);
}

/* RFC 9768 3.2.3.2.2: a loss now and then is congestion */
TCP_TEST(option_that_arrived_in_between_is_kept)
{
	accept_accurate(r, 2);
	for (unsigned i = 0; i < 5; i++) {
		inject(r, ACE(5), .seq = 1 + i * FULL, .ack = 1 + 10 * i,
		       .bytes = FULL, .tos = ECT0, .later = true);
		CHECK_EQ(app_send(r, 10, 0), 10u);
		CHECK_EQ(peek(r)->ecn_kind, ACCECN0);
		if (i % 2)
			advance_ms(r, 1000);
		forget(r);
		inject(r, ACE(5), .seq = 1 + (i + 1) * FULL,
		       .ack = 11 + 10 * i);
		forget(r);
	}
}

/* RFC 9768 3.2.3.2.2, 3.1.5: what may be in the way is left out by and by */
TCP_TEST(syn_ack_that_is_lost_goes_again_without_the_option)
{
	listen_for_accurate(r);
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL);
	CHECK_EQ(next(r)->ecn_kind, ACCECN0);
	advance_ms(r, 1100);
	CHECK_EQ(peek(r)->ecn_kind, 0u);
	CHECK_EQ(ace(next(r)), 2u);
	advance_ms(r, 2100);
	CHECK_EQ(ace(next(r)), 0u);
	inject(r, ACE(2), .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(info_of(r).ecn_accurate);
	inject(r, ACE(5), .seq = 1, .ack = 1, .bytes = FULL, .tos = CE);
	CHECK_EQ(peek(r)->ecn_kind, 0u);
	CHECK_EQ(ace(next(r)), 6u);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(next(r)->tos, NOT_ECT);
}

/* RFC 9768 3.1.5: the latest SYN is told of, and one without flags is a sign */
TCP_TEST(syn_ack_says_how_the_latest_syn_came)
{
	listen_for_accurate(r);
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL);
	CHECK_EQ(ace(next(r)), 2u);
	inject(r, .flags = SYN, .mss = FULL, .tos = ECT0);
	CHECK_EQ(peek(r)->ecn_kind, 0u);
	CHECK_EQ(ace(next(r)), 4u);
	inject(r, ACE(2), .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(info_of(r).ecn_accurate);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(next(r)->tos, NOT_ECT);
}

/* RFC 9768 3.1.5: nobody could tell which of the two it is to be */
TCP_TEST(syns_that_ask_for_different_versions_end_in_a_reset)
{
	listen_for_accurate(r);
	for (unsigned first = 0; first < 2; first++) {
		r->peer_port++;
		inject(r, .flags = SYN | ECE | CWR, .ae = first, .mss = FULL);
		forget(r);
		inject(r, .flags = SYN | ECE | CWR, .ae = !first, .mss = FULL);
		CHECK_EQ(next(r)->flags, RST | ACK);
	}
}

/*
 * RFC 9768 3.1.1, 3.1.2, 3.1.3: who asks for nothing gets nothing; so that the
 * rest of the flags can mean something one day, they ask for it
 */
TCP_TEST(other_flags_on_a_syn_ask_for_accecn_too)
{
	r->expects_ae = true;
	listen_here(r, 8);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_ECN,
				  TOW_TCP_ECN_ACCURATE),
		 0);
	for (unsigned n = 0; n < 8; n++) {
		static const uint8_t answer[] = { 0, 2, 2, 1, 2, 2, 2, 2 };

		r->peer_port++;
		inject(r, .ae = n & 4,
		       .flags = SYN | (n & 2 ? CWR : 0) | (n & 1 ? ECE : 0),
		       .mss = FULL);
		CHECK_EQ(ace(next(r)), answer[n]);
	}
}

/* RFC 9768 3.1.5: whatever the peer asks for the next time */
TCP_TEST(handshake_that_began_without_ecn_goes_on_without)
{
	listen_for_accurate(r);
	inject(r, .flags = SYN, .mss = FULL);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL);
	CHECK_EQ(ace(peek(r)), 0u);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(!info_of(r).ecn);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(peek(r)->tos, NOT_ECT);
	forget(r);
}

/*
 * RFC 9768 3.1.2, 3.2.2: SYNs that cross agree, and flags of a SYN-ACK are no
 * count, also if it acknowledges data that went with our SYN
 */
TCP_TEST(accecn_is_agreed_on_in_a_simultaneous_open)
{
	struct tow_endpoint local = { r->us, r->our_port, 0 };
	struct tow_endpoint remote = { r->peer, r->peer_port, 0 };

	r->expects_ae = true;
	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_ECN, TOW_TCP_ECN_ACCURATE), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_FAST_OPEN, 1), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_FAST_OPEN_HOW,
			     TOW_TCP_FAST_OPEN_NO_COOKIE),
		 0);
	CHECK_EQ(app_send(r, 100, 0), 100u);
	CHECK_EQ(next(r)->bytes, 100u);
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL);
	CHECK_EQ(ace(peek(r)), 2u);
	CHECK_EQ(next(r)->flags, SYN | ACK | CWR);
	inject(r, .flags = SYN | ACK | CWR, .ack = 101, .mss = FULL);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK(info_of(r).ecn_accurate);
	CHECK_EQ(info_of(r).ecn_marks_out, 0u);
	forget(r);
	CHECK_EQ(app_send(r, 2 * FULL, 0), 2 * FULL);
	CHECK_EQ(peek(r)->tos, ECT0);
	inject(r, ACE(6), .seq = 1, .ack = 101 + 2 * FULL);
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	forget(r);
}

/* RFC 9768 3.2.2.1: the ACK of a SYN-ACK that came again says it again */
TCP_TEST(syn_ack_that_comes_again_is_told_of_again)
{
	ask_for_accurate(r);
	inject(r, .flags = SYN | ACK | CWR, .ack = 1, .mss = FULL);
	CHECK_EQ(ace(next(r)), 2u);
	for (unsigned i = 0; i < 2; i++) { /* its mark counts once */
		inject(r, .flags = SYN | ACK | CWR, .ack = 1, .mss = FULL,
		       .tos = CE);
		CHECK_EQ(peek(r)->ecn_kind, 0u); /* was that in the way? */
		CHECK_EQ(ace(next(r)), 6u);
	}
	CHECK_EQ(info_of(r).ecn_marks_in, 1u);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(ace(next(r)), 6u);
}

/* RFC 9768 3.3.4: a device that cuts would change the count */
TCP_TEST(segment_whose_count_has_cwr_is_not_cut_by_the_device)
{
	struct rig_options o = r->options;

	o.caps |= TOW_DEV_TSO4 | TOW_DEV_TSO6 | TOW_DEV_TX_CSUM;
	o.gso_bytes_max = 65536;
	rig_reopen(r, &o);
	accept_accurate(r, 2);
	CHECK_EQ(app_lend(r, 4 * FULL, 1, 0), 0);
	CHECK_EQ(next(r)->bytes, 4 * FULL);
	inject(r, ACE(5), .seq = 1, .ack = 1 + 4 * FULL, .bytes = FULL,
	       .tos = CE);
	forget(r);
	CHECK_EQ(app_lend(r, 4 * FULL, 2, 0), 0);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(ace(peek(r)), 6u);
		CHECK_EQ(next(r)->bytes, FULL);
	}
}

/* tow/stack.h: the flags count all the same */
TCP_TEST(connection_without_a_record_has_no_option)
{
	struct rig_options o = r->options;

	o.cfg.accecn = 0;
	rig_reopen(r, &o);
	accept_accurate(r, 2);
	CHECK_EQ(counter(r, TOW_COUNTER_NO_ACCECN), 1u);
	data(r, 1, CE);
	CHECK_EQ(peek(r)->ecn_kind, 0u);
	CHECK_EQ(ace(next(r)), 6u);
	CHECK_EQ(app_lend(r, 5 * FULL, 1, 0), 0);
	forget(r);
	inject(r, ACE(6), .seq = 1001, .ack = 1 + FULL, .ecn_kind = ACCECN0,
	       .ecn_fields = 2, .ecn = { 1, 1000 });
	CHECK_EQ(info_of(r).ecn_marks_out, 1u);
	CHECK(!info_of(r).ecn_option);
	forget(r);
}

/* A connection with one record for all, marks both ways, up to TIME-WAIT. */
static void count_until_time_wait(struct rig *r)
{
	struct rig_options o = r->options;

	o.cfg.accecn = 1;
	rig_reopen(r, &o);
	accept_and_send(r, 2);
	inject(r, ACE(6), .seq = 1, .ack = 1 + 2 * FULL, .bytes = FULL,
	       .tos = CE, .ecn_kind = ACCECN0, .ecn_fields = 2,
	       .ecn = { 1001, 1000 });
	CHECK_EQ(app_recv(r, FULL), FULL);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	inject(r, ACE(6), .seq = 1 + FULL, .ack = 2 + 2 * FULL);
	inject(r, .ae = true, .flags = FIN | ACK | CWR, .seq = 1 + FULL,
	       .ack = 2 + 2 * FULL, .bytes = 10, .tos = ECT0);
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
	forget(r);
}

static void check_counts(struct rig *r)
{
	CHECK_EQ(info_of(r).ce_bytes_in, FULL);
	CHECK_EQ(info_of(r).ect0_bytes_in, 10u);
	CHECK_EQ(info_of(r).ce_bytes_out, FULL);
	CHECK_EQ(info_of(r).ect0_bytes_out, FULL);
	CHECK(info_of(r).ecn_option);
}

/* Another one of the same peer; is there a record for it? */
static bool has_record(struct rig *r)
{
	uint64_t none = counter(r, TOW_COUNTER_NO_ACCECN);

	r->tcp = NULL;
	r->peer_port++;
	inject(r, .flags = SYN | ECE | CWR, .ae = true, .mss = FULL);
	inject(r, ACE(2), .seq = 1, .ack = 1);
	forget(r);
	return counter(r, TOW_COUNTER_NO_ACCECN) == none;
}

/* tow/tcp.h: what was counted can be read as long as the program has it */
TCP_TEST(counts_of_bytes_can_be_read_after_the_end)
{
	count_until_time_wait(r);
	check_counts(r);
	advance_ms(r, 200000);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	check_counts(r);
}

/* tow/stack.h accecn: in TIME-WAIT nobody asks any more */
TCP_TEST(record_is_free_when_the_program_closes_in_time_wait)
{
	count_until_time_wait(r);
	tow_tcp_close(r->tcp);
	CHECK(has_record(r));
}

TCP_TEST(record_is_free_when_a_closed_connection_comes_to_time_wait)
{
	struct rig_options o = r->options;

	o.cfg.accecn = 1;
	rig_reopen(r, &o);
	accept_accurate(r, 2);
	tow_tcp_close(r->tcp);
	poll_until_quiet(r);
	inject(r, ACE(5), .seq = 1, .ack = 2);
	inject(r, .ae = true, .flags = FIN | ACK | ECE, .seq = 1, .ack = 2);
	CHECK(has_record(r));
}
