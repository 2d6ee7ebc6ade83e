/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Middleboxes, marks of congestion, and other paths: raw frames go in at one
 * port of the simulator and come out of the other one.
 *
 *	a (10.0.0.1:1000) --- wires [box] --- segment --- wires --- b
 */
#include <stdlib.h>
#include <string.h>
#include "base/csum.h"
#include "net2.h"

#define FRAME_MAX 1600
#define ACK	  0x10
#define SYN	  0x02

/* A segment of TCP, with as many bytes of options and of payload. */
struct segment {
	uint8_t frame[FRAME_MAX];
	unsigned bytes;
};

static void write_sums(struct segment *s)
{
	struct tow_addr src = tow_addr_v4(10, 0, 0, 1);
	struct tow_addr dst = tow_addr_v4(10, 0, 0, 2);
	uint16_t sum;

	put16(s->frame + 24, 0);
	sum = csum_finish(csum_bytes(0, s->frame + 14, 20));
	memcpy(s->frame + 24, &sum, 2);
	put16(s->frame + TCP_AT + 16, 0);
	sum = csum_finish(
		csum_bytes(csum_pseudo(&src, &dst, 6, s->bytes - TCP_AT),
			   s->frame + TCP_AT, s->bytes - TCP_AT));
	memcpy(s->frame + TCP_AT + 16, &sum, 2);
}

static struct segment *segment_new(const struct tow_dev *from,
				   const struct tow_dev *to, uint8_t flags,
				   const uint8_t *options,
				   unsigned option_bytes, unsigned payload)
{
	struct segment *s = calloc(1, sizeof(*s));

	CHECK(s);
	net2_write_headers(s->frame, from, to, option_bytes + payload);
	s->frame[46] = (uint8_t)((20 + option_bytes) / 4 << 4);
	s->frame[47] = flags;
	put32(s->frame + 42, 5000); /* acknowledgement */
	if (option_bytes)
		memcpy(s->frame + PAYLOAD_AT, options, option_bytes);
	net2_fill(s->frame + PAYLOAD_AT + option_bytes, payload);
	s->bytes = PAYLOAD_AT + option_bytes + payload;
	write_sums(s);
	return s;
}

static struct segment *receive_at(struct tow_dev *dev)
{
	struct segment *s;
	struct tow_buf *buf = NULL;

	if (dev->ops->rx(dev, &buf, 1) != 1)
		return NULL;
	s = calloc(1, sizeof(*s));
	CHECK(s);
	s->bytes = (unsigned)tow_buf_read(buf, 0, s->frame, FRAME_MAX);
	tow_buf_give(buf);
	return s;
}

/* From a to b and out of there, if it comes. Takes @s. */
static struct segment *through(struct net2 *net, struct tow_dev *from,
			       struct segment *s)
{
	CHECK_EQ(tow_sim_inject(from, s->frame, s->bytes), 0);
	free(s);
	net2_run(net, tow_sim_now(net->sim) + 100);
	return receive_at(from == net->a ? net->b : net->a);
}

static bool sums_are_right(const struct segment *s)
{
	return net2_sum_is_right(s->frame, s->bytes);
}

/* RFC 3168 5: a router sets CE where it would drop, if ECT is set. */
TEST(congestion_is_marked_on_packets_that_allow_it)
{
	for (unsigned ecn = 0; ecn < 4; ecn++) {
		struct net2 *net = net2_new();
		struct segment *s;

		net->how_a.up.mark_ppm = 1000000;
		net2_open(net, 1);
		s = segment_new(net->a, net->b, ACK, NULL, 0, 100);
		s->frame[15] = (uint8_t)(0x20 | ecn);
		write_sums(s);
		s = through(net, net->a, s);
		CHECK(s);
		CHECK_EQ(s->frame[15], 0x20 | (ecn ? 3 : 0));
		CHECK(sums_are_right(s));
		CHECK_EQ(net2_fate(net->a, TOW_SIM_MARKED),
			 ecn == 1 || ecn == 2);
		free(s);
		net2_close(net);
	}
}

TEST(long_queue_marks_what_waits_in_it)
{
	struct net2 *net = net2_new();
	struct segment *s;

	net->how_a.up.bits_per_s = 8000000;
	net->how_a.up.mark_bytes = 2000;
	net2_open(net, 1);
	s = segment_new(net->a, net->b, ACK, NULL, 0, 946);
	s->frame[15] = 2;
	write_sums(s);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(tow_sim_inject(net->a, s->frame, s->bytes), 0);
	free(s);
	net2_run(net, 100000);
	for (int i = 0; i < 5; i++) {
		s = receive_at(net->b);
		CHECK(s);
		CHECK_EQ(s->frame[15], i < 2 ? 2 : 3);
		free(s);
	}
	net2_close(net);
}

TEST(what_goes_another_path_may_overtake)
{
	struct net2 *net = net2_new();
	struct segment *s;

	net->how_a.up.delay_us = 10000;
	net2_open(net, 1);
	for (unsigned i = 0; i < 3; i++) {
		s = segment_new(net->a, net->b, ACK, NULL, 0, i);
		CHECK_EQ(tow_sim_inject(net->a, s->frame, s->bytes), 0);
		free(s);
		tow_sim_wire_up(net->a)->delay_us = 100;
		tow_sim_wire_up(net->a)->path = i;
	}
	net2_run(net, 100000);
	for (unsigned i = 0; i < 3; i++) {
		static const unsigned payload[] = { 2, 0, 1 };

		s = receive_at(net->b);
		CHECK(s);
		CHECK_EQ(s->bytes, PAYLOAD_AT + payload[i]);
		free(s);
	}
	net2_close(net);
}

static const uint8_t syn_options[24] = {
	2,  4, 0x05, 0xb4, 1, 3, 3, 7,		   /* MSS 1460, scale */
	4,  2, 8,    10,   1, 2, 3, 4, 0, 0, 0, 0, /* SACK, timestamps */
	34, 2, 1,    1,				   /* Fast Open */
};

TEST(options_become_padding)
{
	struct net2 *net = net2_new();
	struct segment *s;

	net->how_a.box.strip_up = TOW_SIM_STRIP_SACK_OK | TOW_SIM_STRIP_SCALE;
	net->how_a.box.mss_max = 1000;
	net2_open(net, 1);
	s = through(net, net->a,
		    segment_new(net->a, net->b, SYN, syn_options, 24, 0));
	CHECK(s);
	CHECK_EQ(get16(s->frame + PAYLOAD_AT + 2), 1000);
	CHECK_MEM(s->frame + PAYLOAD_AT + 4, "\1\1\1\1\1\1", 6);
	CHECK_MEM(s->frame + PAYLOAD_AT + 10, syn_options + 10, 14);
	CHECK(sums_are_right(s));
	free(s);
	s = through(net, net->b,
		    segment_new(net->b, net->a, SYN, syn_options, 24, 0));
	CHECK(s); /* the other way only the MSS */
	CHECK_MEM(s->frame + PAYLOAD_AT + 4, syn_options + 4, 20);
	free(s);
	net2_close(net);
}

TEST(young_options_go_where_old_ones_stay)
{
	struct net2 *net = net2_new();
	struct segment *s;

	net->how_a.box.strip_up = TOW_SIM_STRIP_OTHER;
	net2_open(net, 1);
	s = through(net, net->a,
		    segment_new(net->a, net->b, SYN, syn_options, 24, 0));
	CHECK(s);
	CHECK_MEM(s->frame + PAYLOAD_AT, syn_options, 20);
	CHECK_MEM(s->frame + PAYLOAD_AT + 20, "\1\1\1\1", 4);
	free(s);
	net2_close(net);
}

TEST(syn_is_refused_for_its_data_or_its_options)
{
	for (int data = 0; data < 2; data++) {
		struct net2 *net = net2_new();
		struct segment *s;

		net->how_a.box.syn_data_drop = data;
		net->how_a.box.syn_options_drop = !data;
		net2_open(net, 1);
		CHECK(!through(net, net->a,
			       segment_new(net->a, net->b, SYN, syn_options,
					   data ? 20 : 24, data ? 10 : 0)));
		CHECK_EQ(net2_fate(net->a, TOW_SIM_BOX_DROPPED), 1);
		s = through(net, net->a,
			    segment_new(net->a, net->b, SYN, syn_options,
					data ? 24 : 20, data ? 0 : 10));
		CHECK(s);
		free(s);
		net2_close(net);
	}
}

TEST(syn_loses_its_data_and_its_marks)
{
	struct net2 *net = net2_new();
	struct segment *s;

	net->how_a.box.syn_data_cut = true;
	net->how_a.box.no_ecn = true;
	net2_open(net, 1);
	s = segment_new(net->a, net->b, SYN | 0xc0, syn_options, 20, 10);
	s->frame[46] |= 1;
	write_sums(s);
	s = through(net, net->a, s);
	CHECK(s);
	CHECK_EQ(s->bytes, PAYLOAD_AT + 20);
	CHECK_EQ(get16(s->frame + 16), 60);
	CHECK_EQ(s->frame[46], 0xa0);
	CHECK_EQ(s->frame[47], SYN);
	CHECK(sums_are_right(s));
	free(s);
	net2_close(net);
}

/* RFC 2018 3: the classic fault is to forget the blocks. */
TEST(sequence_numbers_are_moved_and_moved_back)
{
	static const uint8_t sack[12] = { 1,	1, 5, 10, 0,	0,
					  0x20, 0, 0, 0,  0x30, 0 };

	for (int knows = 0; knows < 2; knows++) {
		struct net2 *net = net2_new();
		uint32_t moved = knows ? 0x1000 : 0;
		struct segment *s;

		net->how_a.box.sequence_shift = 0x1000;
		net->how_a.box.sequence_sack = knows;
		net2_open(net, 1);
		s = through(net, net->a,
			    segment_new(net->a, net->b, ACK, sack, 12, 10));
		CHECK(s);
		CHECK_EQ(get32(s->frame + 38), NET2_SEQUENCE + 0x1000);
		CHECK_EQ(get32(s->frame + 42), 5000);
		CHECK_EQ(get32(s->frame + PAYLOAD_AT + 4), 0x2000);
		CHECK(sums_are_right(s));
		free(s);
		s = through(net, net->b,
			    segment_new(net->b, net->a, ACK, sack, 12, 10));
		CHECK(s);
		CHECK_EQ(get32(s->frame + 38), NET2_SEQUENCE);
		CHECK_EQ(get32(s->frame + 42), 5000u - 0x1000);
		CHECK_EQ(get32(s->frame + PAYLOAD_AT + 4), 0x2000 - moved);
		CHECK_EQ(get32(s->frame + PAYLOAD_AT + 8), 0x3000 - moved);
		CHECK(sums_are_right(s));
		free(s);
		net2_close(net);
	}
}

TEST(windows_are_told_smaller_and_closed_for_a_while)
{
	struct net2 *net = net2_new();
	struct segment *s;

	net->how_a.box.window_shift = 1;
	net2_open(net, 1);
	s = through(net, net->b, segment_new(net->b, net->a, ACK, NULL, 0, 0));
	CHECK_EQ(get16(s->frame + 48), 0x7fff);
	free(s);
	tow_sim_box(net->a)->window_close_ppm = 1000000;
	tow_sim_box(net->a)->window_close_us = 1000;
	s = through(net, net->b, segment_new(net->b, net->a, ACK, NULL, 0, 0));
	CHECK_EQ(get16(s->frame + 48), 0);
	free(s);
	s = through(net, net->b, segment_new(net->b, net->a, SYN, NULL, 0, 0));
	CHECK_EQ(get16(s->frame + 48), 0xffff);
	free(s);
	tow_sim_box(net->a)->window_close_ppm = 0;
	net2_run(net, tow_sim_now(net->sim) + 2000);
	s = through(net, net->b, segment_new(net->b, net->a, ACK, NULL, 0, 0));
	CHECK_EQ(get16(s->frame + 48), 0x7fff);
	CHECK(sums_are_right(s));
	free(s);
	net2_close(net);
}

TEST(segment_is_split_in_two)
{
	struct net2 *net = net2_new();
	struct segment *s, *first, *second;
	unsigned at;

	net->how_a.box.split_ppm = 1000000;
	net2_open(net, 1);
	s = segment_new(net->a, net->b, ACK | 0x89, NULL, 0, 1000);
	first = through(net, net->a, s);
	second = receive_at(net->b);
	CHECK(first && second && !receive_at(net->b));
	at = first->bytes - PAYLOAD_AT;
	CHECK_EQ(at + second->bytes - PAYLOAD_AT, 1000);
	CHECK_EQ(get32(second->frame + 38), get32(first->frame + 38) + at);
	CHECK_EQ(first->frame[47], ACK | 0x80); /* CWR goes first, FIN last */
	CHECK_EQ(second->frame[47], ACK | 0x09);
	CHECK_EQ(get16(first->frame + 16), 40 + at);
	CHECK(sums_are_right(first) && sums_are_right(second));
	s = segment_new(net->a, net->b, ACK, NULL, 0, 1000);
	CHECK_MEM(first->frame + PAYLOAD_AT, s->frame + PAYLOAD_AT, at);
	CHECK_MEM(second->frame + PAYLOAD_AT, s->frame + PAYLOAD_AT + at,
		  1000 - at);
	free(s);
	free(first);
	free(second);
	net2_close(net);
}

/* Three small ones: two of them fit, the third goes alone when time is up. */
TEST(segments_are_joined)
{
	struct net2 *net = net2_new();
	struct segment *s;

	net->how_a.box.join_us = 500;
	net->how_a.box.join_bytes = 300;
	net2_open(net, 1);
	for (unsigned i = 0; i < 3; i++) {
		s = segment_new(net->a, net->b, ACK, NULL, 0, 100);
		put32(s->frame + 38, 1000 + 100 * i);
		put32(s->frame + 42, 5000 + i);
		memset(s->frame + PAYLOAD_AT, (int)i, 100);
		write_sums(s);
		CHECK_EQ(tow_sim_inject(net->a, s->frame, s->bytes), 0);
		free(s);
	}
	net2_run(net, 499);
	s = receive_at(net->b);
	CHECK(s && !receive_at(net->b));
	CHECK_EQ(s->bytes, PAYLOAD_AT + 200);
	CHECK_EQ(get32(s->frame + 38), 1000);
	CHECK_EQ(get32(s->frame + 42), 5001);
	CHECK_EQ(s->frame[PAYLOAD_AT + 99], 0);
	CHECK_EQ(s->frame[PAYLOAD_AT + 100], 1);
	CHECK(sums_are_right(s));
	free(s);
	net2_run(net, 1000);
	s = receive_at(net->b);
	CHECK(s);
	CHECK_EQ(s->bytes, PAYLOAD_AT + 100);
	CHECK_EQ(s->frame[PAYLOAD_AT], 2);
	free(s);
	CHECK_EQ(net2_fate(net->a, TOW_SIM_BOX_JOINED), 1);
	net2_close(net);
}

TEST(what_waits_to_be_joined_goes_with_the_simulator)
{
	struct net2 *net = net2_new();
	struct segment *s;

	net->how_a.box.join_us = 500;
	net->how_a.box.join_bytes = 1500;
	net2_open(net, 1);
	s = segment_new(net->a, net->b, ACK, NULL, 0, 100);
	CHECK_EQ(tow_sim_inject(net->a, s->frame, s->bytes), 0);
	free(s);
	net2_run(net, 10);
	CHECK(!receive_at(net->b));
	net2_close(net);
}

/* Or wrong bytes would get a right checksum. */
TEST(damaged_segment_passes_as_it_is)
{
	struct net2 *net = net2_new();
	struct segment *s, *copy;

	net->how_a.box.split_ppm = 1000000;
	net->how_a.box.sequence_shift = 77;
	net2_open(net, 1);
	s = segment_new(net->a, net->b, ACK, NULL, 0, 100);
	s->frame[PAYLOAD_AT + 7] ^= 1;
	copy = segment_new(net->a, net->b, ACK, NULL, 0, 100);
	*copy = *s;
	s = through(net, net->a, s);
	CHECK(s);
	CHECK_EQ(s->bytes, copy->bytes);
	CHECK_MEM(s->frame, copy->frame, s->bytes);
	free(s);
	free(copy);
	net2_close(net);
}

TEST(bleached_packets_have_no_marks)
{
	struct net2 *net = net2_new();
	struct segment *s;

	net->how_a.box.bleach = true;
	net2_open(net, 1);
	s = segment_new(net->a, net->b, ACK, NULL, 0, 100);
	s->frame[15] = 0x23;
	write_sums(s);
	s = through(net, net->a, s);
	CHECK(s);
	CHECK_EQ(s->frame[15], 0x20);
	CHECK(sums_are_right(s));
	free(s);
	net2_close(net);
}
