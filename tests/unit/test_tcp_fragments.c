/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP segments that come in IP fragments: put together, in whatever order, and
 * verified before the program sees a byte.
 */
#include "tcp_peer.h"

/* The last acknowledgement; all that are owed come out within this. */
static uint32_t last_ack(struct rig *r)
{
	uint32_t ack = 0;

	advance_ms(r, 500);
	while (waiting(r))
		ack = next(r)->ack;
	forget(r);
	return ack;
}

/* What arrived from relative sequence @from on is right, and acknowledged. */
static void check_taken(struct rig *r, uint32_t from, uint32_t bytes)
{
	CHECK_EQ(last_ack(r), from + bytes);
	CHECK_EQ(app_recv(r, bytes + 1), bytes);
}

/* RFC 1122 3.3.2: nobody cuts TCP on purpose, but routers may; in any order */
TCP_TEST(segment_in_ip_fragments_is_received_whole)
{
	static const unsigned in_order[] = { 0, 1, 2 };
	static const unsigned mixed[] = { 2, 0, 1 };
	/* RFC 7112: of IPv6 the first has all of the TCP header but options */
	uint16_t smallest = r->options.family == IPV4 ? 8 : 24;

	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 1400, .cut = 512,
	       .cut_order = in_order, .cut_count = 3);
	check_taken(r, 1, 1400);
	inject(r, .flags = ACK, .seq = 1401, .ack = 1, .bytes = 1400,
	       .cut = 512, .cut_order = mixed, .cut_count = 3);
	check_taken(r, 1401, 1400);
	inject(r, .flags = ACK, .seq = 2801, .ack = 1, .bytes = 1400,
	       .cut = smallest);
	check_taken(r, 2801, 1400);
	inject(r, .flags = ACK, .seq = 4201, .ack = 1, .bytes = 40000,
	       .cut = 1400);
	check_taken(r, 4201, 40000);
	inject(r, .flags = ACK, .seq = 44201, .ack = 1, .bytes = 100,
	       .cut = 24);
	check_taken(r, 44201, 100);
}

/* Behind a hole, put together, and then filled up; and it can be borrowed */
TCP_TEST(segment_in_ip_fragments_may_be_out_of_order)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1001, .ack = 1, .bytes = 1400,
	       .cut = 512);
	CHECK_EQ(last_ack(r), 1);
	CHECK_EQ(app_recv(r, 10), TOW_EAGAIN);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 1000, .cut = 400);
	CHECK_EQ(last_ack(r), 2401);
	CHECK_EQ(app_borrow(r), 2400);
}

/* What is missing, or wrong: the sum is looked at once all is there */
TCP_TEST(segment_in_ip_fragments_is_verified_before_it_is_visible)
{
	static const unsigned missing[] = { 0, 2 };
	uint64_t before = tow_stats(r->stack)->drops[TOW_DROP_TCP_CHECKSUM];

	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 1400, .cut = 512,
	       .cut_order = missing, .cut_count = 2);
	CHECK_EQ(app_recv(r, 10), TOW_EAGAIN);
	advance_ms(r, 61000); /* given up; the peer sends it again */
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 1400, .cut = 512,
	       .bad_checksum = true);
	CHECK_EQ(app_recv(r, 10), TOW_EAGAIN);
	CHECK_EQ(tow_stats(r->stack)->drops[TOW_DROP_TCP_CHECKSUM], before + 1);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 1400, .cut = 512);
	check_taken(r, 1, 1400);
}
