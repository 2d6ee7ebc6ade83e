/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulator's devices and wires, without a stack: frames go in by ops->tx
 * and come out by ops->rx, as a stack would do it.
 */
#include <stdlib.h>
#include <string.h>
#include "base/csum.h"
#include "net2.h"

TEST(frame_arrives_with_its_bytes_and_a_finished_checksum)
{
	struct net2 *net = net2_new();
	uint8_t payload[1000], out[1500];
	struct tow_buf *buf;

	net2_fill(payload, sizeof(payload));
	net2_open(net, 1);
	net2_send(net, net2_frame(net, payload, sizeof(payload)));
	net2_run(net, 10);
	buf = net2_receive(net);
	CHECK(buf);
	CHECK_EQ(buf->bytes, PAYLOAD_AT + 1000);
	CHECK_EQ(buf->spans[0].len, PAYLOAD_AT); /* split at the payload */
	CHECK_EQ(buf->flags, TOW_BUF_CSUM_OK);
	CHECK_EQ(tow_buf_read(buf, 0, out, sizeof(out)), PAYLOAD_AT + 1000);
	CHECK_MEM(out + PAYLOAD_AT, payload, sizeof(payload));
	CHECK(net2_sum_is_right(out, PAYLOAD_AT + 1000));
	tow_buf_give(buf);
	CHECK_EQ(net2_fate(net->a, TOW_SIM_VIOLATION), 0);
	net2_close(net);
}

TEST(every_layout_holds_the_same_bytes)
{
	uint8_t payload[1460], out[1514];

	net2_fill(payload, sizeof(payload));
	for (uint32_t i = 0; i < 40; i++) {
		struct net2 *net = net2_new();
		struct tow_buf *buf;

		net->how_b.layout = (enum tow_sim_layout)(i % 4);
		net->how_b.layout_bytes = i * 6;
		if (i & 4)
			net->how_b.caps &= ~(uint32_t)TOW_DEV_SPLIT;
		net2_open(net, i);
		net2_send(net, net2_frame(net, payload, sizeof(payload)));
		net2_run(net, 10);
		buf = net2_receive(net);
		CHECK(buf);
		CHECK_EQ(tow_buf_read(buf, 0, out, sizeof(out)), sizeof(out));
		CHECK_MEM(out + PAYLOAD_AT, payload, sizeof(payload));
		tow_buf_give(buf);
		net2_close(net);
	}
}

TEST(asynchronous_device_sends_what_memory_holds_when_it_looks)
{
	struct net2 *net = net2_new();
	uint8_t payload[100] = { 0 }, out[200];
	struct tow_buf *buf;

	net->how_a.caps |= TOW_DEV_ASYNC_TX;
	net->how_a.fetch_us = 0;
	net->how_a.complete_us = 50;
	net2_open(net, 3);
	net2_send(net, net2_frame(net, payload, sizeof(payload)));
	CHECK_EQ(net->pool_a.bufs_left, NET2_BUFS - 1);
	CHECK_EQ(tow_sim_stats(net->a)->held, 1);
	memset(payload, 0xee, sizeof(payload)); /* a loan that ended early */
	net2_run(net, 0);
	buf = net2_receive(net);
	CHECK(buf);
	tow_buf_read(buf, PAYLOAD_AT, out, 100);
	CHECK_EQ(out[99], 0xee);
	tow_buf_give(buf);
	net2_run(net, 50);
	CHECK_EQ(net->pool_a.bufs_left, NET2_BUFS);
	CHECK_EQ(tow_sim_stats(net->a)->held, 0);
	net2_close(net);
}

TEST(completions_come_out_of_order)
{
	struct net2 *net = net2_new();
	struct tow_buf *bufs[16];
	bool overtaken = false;

	net->how_a.caps |= TOW_DEV_ASYNC_TX;
	net->how_a.complete_us = 1000;
	net2_open(net, 4);
	for (int i = 0; i < 16; i++)
		bufs[i] = tow_buf_ref(net2_frame(net, NULL, 0));
	CHECK_EQ(net->a->ops->tx(net->a, bufs, 16), 16);
	while (tow_sim_step(net->sim, 1000)) {
		net->a->ops->flush(net->a);
		for (int i = 0; i + 1 < 16; i++)
			overtaken |= bufs[i]->refs > bufs[i + 1]->refs;
	}
	CHECK(overtaken);
	for (int i = 0; i < 16; i++)
		tow_buf_give(bufs[i]);
	net2_close(net);
}

/* RFC 9293 3.7: pieces of a large segment have headers of their own */
TEST(large_segment_is_cut_into_right_packets)
{
	struct net2 *net = net2_new();
	uint8_t payload[2500], out[1500];
	struct tow_buf *buf;

	net2_fill(payload, sizeof(payload));
	net2_open(net, 5);
	buf = net2_frame(net, payload, sizeof(payload));
	buf->gso = TOW_GSO_TCP4;
	buf->gso_bytes = 1000;
	net2_send(net, buf);
	net2_run(net, 10);
	for (unsigned i = 0; i < 3; i++) {
		unsigned bytes = i < 2 ? 1000 : 500;

		buf = net2_receive(net);
		CHECK(buf);
		CHECK_EQ(buf->bytes, PAYLOAD_AT + bytes);
		tow_buf_read(buf, 0, out, sizeof(out));
		CHECK_EQ(get16(out + 16), 40 + bytes);
		CHECK_EQ(get16(out + 18), 0x1234 + i);
		CHECK_EQ(get16(out + 40), 0x0100 + i * 1000);
		CHECK_EQ(out[47], i < 2 ? 0x10 : 0x19);
		CHECK(net2_sum_is_right(out, buf->bytes));
		CHECK_MEM(out + PAYLOAD_AT, payload + i * 1000, bytes);
		tow_buf_give(buf);
	}
	CHECK(!net2_receive(net));
	net2_close(net);
}

TEST(packets_of_one_flow_are_merged)
{
	for (int partial = 0; partial < 2; partial++) {
		struct net2 *net = net2_new();
		uint8_t payload[5000], out[6000];
		struct tow_buf *buf;

		net2_fill(payload, sizeof(payload));
		net->how_b.caps |= TOW_DEV_LRO;
		net->how_b.rx_partial = partial;
		net2_open(net, 6);
		buf = net2_frame(net, payload, sizeof(payload));
		buf->room[2 + 47] = 0x18; /* FIN is never merged */
		buf->gso = TOW_GSO_TCP4;
		buf->gso_bytes = 1400;
		net2_send(net, buf);
		net2_run(net, 10);
		buf = net2_receive(net);
		CHECK(buf);
		CHECK_EQ(buf->bytes, PAYLOAD_AT + 5000);
		CHECK_EQ(buf->gso, TOW_GSO_TCP4);
		CHECK_EQ(buf->gso_bytes, 1400);
		CHECK_EQ(buf->flags,
			 partial ? TOW_BUF_CSUM_PARTIAL : TOW_BUF_CSUM_OK);
		tow_buf_read(buf, 0, out, sizeof(out));
		CHECK_EQ(get16(out + 16), 5040);
		CHECK_EQ(out[47], 0x18);
		CHECK_MEM(out + PAYLOAD_AT, payload, sizeof(payload));
		CHECK_EQ(csum_finish(csum_bytes(0, out + 14, 20)), 0);
		tow_buf_give(buf);
		CHECK(!net2_receive(net));
		net2_close(net);
	}
}

TEST(damaged_packet_is_not_vouched_for)
{
	unsigned without_flag = 0;

	for (uint64_t seed = 0; seed < 50; seed++) {
		struct net2 *net = net2_new();
		uint8_t payload[500], out[600];
		struct tow_buf *buf;

		net2_fill(payload, sizeof(payload));
		net->how_a.up.damage_ppm = 1000000;
		net2_open(net, seed);
		net2_send(net, net2_frame(net, payload, sizeof(payload)));
		CHECK_EQ(net2_fate(net->a, TOW_SIM_DAMAGED), 1);
		net2_run(net, 10);
		buf = net2_receive(net);
		CHECK(buf);
		tow_buf_read(buf, 0, out, sizeof(out));
		CHECK(!net2_sum_is_right(out, PAYLOAD_AT + 500));
		without_flag += buf->flags == 0;
		tow_buf_give(buf);
		net2_close(net);
	}
	CHECK_GT(without_flag, 45); /* the others hit the IP header alone */
}

/* Two runs of flipped bits could undo each other for the checksum. */
TEST(packet_is_damaged_once_on_its_way)
{
	struct net2 *net = net2_new();

	net->how_a.up.damage_ppm = 1000000;
	net->how_b.down.damage_ppm = 1000000;
	net2_open(net, 1);
	for (unsigned i = 1; i <= 20; i++) {
		net2_send(net, net2_frame(net, NULL, 0));
		net2_run(net, 10);
		tow_buf_give(net2_receive(net));
		CHECK_EQ(net2_fate(net->a, TOW_SIM_DAMAGED), i);
		CHECK_EQ(net2_fate(net->b, TOW_SIM_DAMAGED), 0);
	}
	net2_close(net);
}

TEST(loss_duplication_and_reordering_happen_at_their_rates)
{
	struct net2 *net = net2_new();
	unsigned got = 0;
	struct tow_buf *buf;

	net->how_a.up = (struct tow_sim_wire){ .loss_ppm = 100000,
					       .duplicate_ppm = 50000,
					       .reorder_ppm = 50000,
					       .reorder_us = 100,
					       .delay_us = 20 };
	net2_open(net, 7);
	for (int i = 0; i < 10000; i++) {
		net2_send(net, net2_frame(net, NULL, 0));
		tow_sim_step(net->sim, tow_sim_now(net->sim) + 1);
		while ((buf = net2_receive(net))) {
			got++;
			tow_buf_give(buf);
		}
	}
	net2_run(net, UINT64_MAX - 1);
	while ((buf = net2_receive(net))) {
		got++;
		tow_buf_give(buf);
	}
	CHECK_EQ(got, 10000 - net2_fate(net->a, TOW_SIM_LOST) +
			      net2_fate(net->a, TOW_SIM_DUPLICATED));
	CHECK_GT(net2_fate(net->a, TOW_SIM_LOST), 900);
	CHECK_LT(net2_fate(net->a, TOW_SIM_LOST), 1100);
	CHECK_GT(net2_fate(net->a, TOW_SIM_DUPLICATED), 380);
	CHECK_GT(net2_fate(net->a, TOW_SIM_REORDERED), 380);
	net2_close(net);
}

/* A switch sends a broadcast out of every port, and each may wait there. */
TEST(broadcasts_and_duplicates_wait_in_several_rings)
{
	struct net2 *net = net2_new();
	unsigned got = 0;
	struct tow_dev *c;
	struct tow_buf *buf;

	net->how_a.up.duplicate_ppm = 1000000;
	net2_open(net, 17);
	CHECK_EQ(tow_sim_port_open(net->sim, 0, &net->how_b, &c), 0);
	c->pool = &net->pool_b;
	for (int i = 0; i < 20; i++) {
		buf = net2_frame(net, NULL, 0);
		memset(buf->room + 2, 0xff, 6);
		net2_send(net, buf);
	}
	net2_run(net, 10);
	while ((buf = net2_receive(net))) {
		got++;
		tow_buf_give(buf);
	}
	CHECK_EQ(got, 40);
	for (got = 0; c->ops->rx(c, &buf, 1) == 1; got++)
		tow_buf_give(buf);
	CHECK_EQ(got, 40);
	c->ops->close(c);
	net2_close(net);
}

TEST(bursts_lose_packets_in_rows)
{
	struct net2 *net = net2_new();
	uint64_t lost = 0, rows = 0, was = 0;
	bool in_row = false;

	net->how_a.up = (struct tow_sim_wire){ .burst_begin_ppm = 10000,
					       .burst_end_ppm = 200000,
					       .burst_loss_ppm = 1000000 };
	net2_open(net, 8);
	for (int i = 0; i < 20000; i++) {
		struct tow_buf *buf;

		net2_send(net, net2_frame(net, NULL, 0));
		tow_sim_step(net->sim, 0);
		while ((buf = net2_receive(net)))
			tow_buf_give(buf);
		lost = net2_fate(net->a, TOW_SIM_BURST_LOST);
		rows += lost > was && !in_row;
		in_row = lost > was;
		was = lost;
	}
	CHECK_GT(rows, 100);
	CHECK_GT(lost, rows * 4); /* a row is five long on average */
	CHECK_LT(lost, rows * 6);
	net2_close(net);
}

/* 1054 bytes at 8 Mb/s take 1054 us */
TEST(wire_takes_its_time_and_its_queue_has_an_end)
{
	struct net2 *net = net2_new();
	uint8_t payload[1000] = { 0 };
	struct tow_buf *buf;

	net->how_a.up = (struct tow_sim_wire){ .bits_per_s = 8000000,
					       .delay_us = 100,
					       .queue_bytes = 2200 };
	net2_open(net, 9);
	for (int i = 0; i < 5; i++)
		net2_send(net, net2_frame(net, payload, sizeof(payload)));
	CHECK_EQ(net2_fate(net->a, TOW_SIM_QUEUE_FULL), 3);
	net2_run(net, 1153);
	CHECK(!net2_receive(net));
	net2_run(net, 1154);
	buf = net2_receive(net);
	CHECK(buf);
	tow_buf_give(buf);
	net2_run(net, 2207);
	CHECK(!net2_receive(net));
	net2_run(net, 2208);
	buf = net2_receive(net);
	CHECK(buf);
	tow_buf_give(buf);
	net2_close(net);
}

TEST(full_ring_takes_a_prefix)
{
	for (int async = 0; async < 2; async++) {
		struct net2 *net = net2_new();
		struct tow_buf *bufs[6];

		net->how_a.tx_ring = 4;
		net->how_a.caps |= async ? TOW_DEV_ASYNC_TX : 0;
		net->how_a.up.bits_per_s = 1000000000;
		net2_open(net, 10);
		for (int i = 0; i < 6; i++)
			bufs[i] = net2_frame(net, NULL, 0);
		CHECK_EQ(net->a->ops->tx(net->a, bufs, 6), 4);
		CHECK_EQ(net->a->ops->tx(net->a, bufs + 4, 2), 0);
		net2_run(net, 100);
		CHECK_EQ(net->a->ops->tx(net->a, bufs + 4, 2), 2);
		net2_run(net, 200);
		net2_close(net);
	}
}

TEST(overfull_receive_ring_drops)
{
	struct net2 *net = net2_new();
	unsigned got = 0;
	struct tow_buf *buf;

	net->how_b.rx_ring = 3;
	net2_open(net, 11);
	for (int i = 0; i < 5; i++)
		net2_send(net, net2_frame(net, NULL, 0));
	net2_run(net, 10);
	for (; (buf = net2_receive(net)); got++)
		tow_buf_give(buf);
	CHECK_EQ(got, 3);
	CHECK_EQ(net2_fate(net->b, TOW_SIM_RING_FULL), 2);
	net2_close(net);
}

/* RFC 1191 4 */
TEST(too_long_packet_is_dropped_and_its_sender_told)
{
	struct net2 *net = net2_new();
	uint8_t payload[1000] = { 0 }, out[700];
	struct tow_buf *buf = NULL;

	net->how_a.up.mtu = 900;
	net->how_a.up.mtu_told = true;
	net2_open(net, 12);
	net2_send(net, net2_frame(net, payload, sizeof(payload)));
	net2_run(net, 10);
	CHECK(!net2_receive(net));
	CHECK_EQ(net2_fate(net->a, TOW_SIM_TOO_LONG), 1);
	CHECK_EQ(net->a->ops->rx(net->a, &buf, 1), 1);
	tow_buf_read(buf, 0, out, sizeof(out));
	CHECK_EQ(out[23], 1); /* ICMP */
	CHECK_EQ(out[34], 3);
	CHECK_EQ(out[35], 4);
	CHECK_EQ(get16(out + 40), 900);
	CHECK_EQ(out[42 + 9], 6); /* quotes the TCP packet */
	tow_buf_give(buf);
	net2_close(net);
}

TEST(vanished_device_gives_everything_back)
{
	struct net2 *net = net2_new();
	struct tow_buf *buf;

	net->how_a.caps |= TOW_DEV_ASYNC_TX;
	net->how_a.complete_us = 1000000;
	net->how_a.margin = net->how_b.margin = 5;
	net2_open(net, 13);
	for (int i = 0; i < 4; i++)
		net2_send(net, net2_frame(net, NULL, 0));
	CHECK_EQ(net->a->ops->rx(net->a, &buf, 1), 0);
	CHECK_EQ(net->pool_a.bufs_left, NET2_BUFS - 4 - 5);
	CHECK_EQ(tow_sim_vanish(net->a, 10), 0);
	while (tow_sim_now(net->sim) < 10)
		tow_sim_step(net->sim, 10);
	buf = net2_frame(net, NULL, 0);
	CHECK_EQ(net->a->ops->tx(net->a, &buf, 1), TOW_ENETDOWN);
	tow_buf_give(buf);
	CHECK_EQ(net->pool_a.bufs_left, NET2_BUFS);
	CHECK_EQ(net->a->ops->rx(net->a, &buf, 1), TOW_ENETDOWN);
	net2_close(net);
}

TEST(dry_pool_still_lets_small_frames_through)
{
	struct net2 *net = net2_new();
	uint8_t payload[1000] = { 0 };
	uint8_t *chunks[NET2_CHUNKS];
	struct tow_buf *bufs[NET2_BUFS], *buf;

	net->how_b.margin = 2;
	net2_open(net, 14);
	CHECK(!net2_receive(net)); /* fills the margin */
	for (int i = 0; i < NET2_CHUNKS; i++)
		chunks[i] = tow_chunk_take(&net->pool_b);
	for (int i = 0; i < NET2_BUFS - 2; i++)
		bufs[i] = tow_buf_take(&net->pool_b);
	net2_send(net, net2_frame(net, NULL, 0));
	net2_send(net, net2_frame(net, payload, sizeof(payload)));
	net2_send(net, net2_frame(net, NULL, 0));
	net2_run(net, 10);
	buf = net2_receive(net);
	CHECK(buf);
	CHECK_EQ(buf->bytes, PAYLOAD_AT);
	CHECK_EQ(buf->flags, TOW_BUF_CSUM_OK);
	tow_buf_give(buf);
	buf = net2_receive(net);
	CHECK(buf);
	CHECK(buf->flags & TOW_BUF_TRUNCATED);
	CHECK_GE(buf->bytes, 128);
	bufs[NET2_BUFS - 2] = buf;
	buf = net2_receive(net);
	CHECK(buf);
	bufs[NET2_BUFS - 1] = buf;
	for (int i = 0; i < NET2_BUFS; i++)
		tow_buf_give(bufs[i]);
	for (int i = 0; i < NET2_CHUNKS; i++)
		tow_chunk_give(&net->pool_b, chunks[i]);
	net2_close(net);
}

static void check_violates(struct net2 *net, struct tow_buf *buf)
{
	uint64_t before = net2_fate(net->a, TOW_SIM_VIOLATION);

	net2_send(net, buf);
	net2_run(net, tow_sim_now(net->sim) + 1);
	CHECK_EQ(net2_fate(net->a, TOW_SIM_VIOLATION), before + 1);
	CHECK(tow_sim_stats(net->a)->violation);
	CHECK(!net2_receive(net));
}

TEST(frames_against_the_contract_are_violations)
{
	struct net2 *net = net2_new();
	uint8_t payload[3000] = { 0 };
	struct tow_buf *buf;

	net->how_a.caps = TOW_DEV_TX_CSUM;
	net->how_a.spans_max = 4;
	net2_open(net, 15);
	buf = net2_frame(net, payload, 100);
	buf->flags = 0; /* the checksum is not finished */
	check_violates(net, buf);
	buf = net2_frame(net, payload, 2000);
	check_violates(net, buf); /* above the MTU */
	buf = net2_frame(net, payload, 2000);
	buf->gso = TOW_GSO_TCP4;
	buf->gso_bytes = 1000;
	check_violates(net, buf); /* not offered */
	buf = net2_frame(net, payload, 100);
	buf->bytes--;
	check_violates(net, buf);
	buf = net2_frame(net, payload, 100);
	buf->room[2 + 24] ^=
		1; /* IPv4 header checksum; finished by the stack */
	buf->flags = 0;
	check_violates(net, buf);
	buf = net2_frame(net, payload, 100);
	for (unsigned i = 0; i < 4; i++)
		buf->spans[buf->span_count++] = (struct tow_span){ payload, 0 };
	check_violates(net, buf);
	buf = net2_frame(net, payload, 100);
	buf->room[2 + 6] ^= 4; /* another's address */
	check_violates(net, buf);
	net2_close(net);
}

static uint64_t digest_of_run(uint64_t seed)
{
	struct net2 *net = net2_new();
	uint64_t digest = 0;
	uint8_t payload[700], out[1514];
	struct tow_buf *buf;

	net2_fill(payload, sizeof(payload));
	net->how_a.up = (struct tow_sim_wire){ .loss_ppm = 100000,
					       .duplicate_ppm = 100000,
					       .damage_ppm = 100000,
					       .reorder_ppm = 100000,
					       .reorder_us = 50,
					       .jitter_us = 10 };
	net->how_b.layout = TOW_SIM_LAYOUT_ODD;
	net2_open(net, seed);
	for (unsigned i = 0; i < 500; i++) {
		net2_send(net, net2_frame(net, payload, i));
		tow_sim_step(net->sim, i * 5);
		while ((buf = net2_receive(net))) {
			size_t n = tow_buf_read(buf, 0, out, sizeof(out));

			digest = digest * 31 + buf->spans[0].len;
			for (size_t j = 0; j < n; j++)
				digest = digest * 31 + out[j];
			tow_buf_give(buf);
		}
	}
	net2_run(net, 100000);
	while ((buf = net2_receive(net)))
		tow_buf_give(buf);
	net2_close(net);
	return digest;
}

TEST(equal_seeds_make_equal_runs)
{
	CHECK_EQ(digest_of_run(1), digest_of_run(1));
	CHECK_NE(digest_of_run(1), digest_of_run(2));
}

TEST(devices_outlive_their_simulator)
{
	struct net2 *net = net2_new();
	struct tow_buf *buf;

	net->how_a.caps |= TOW_DEV_ASYNC_TX;
	net->how_a.complete_us = 100;
	net2_open(net, 16);
	net2_send(net, net2_frame(net, NULL, 0));
	tow_sim_close(net->sim);
	CHECK_EQ(net->a->ops->rx(net->a, &buf, 1), TOW_ENETDOWN);
	CHECK_EQ(net->pool_a.bufs_left, NET2_BUFS);
	net->a->ops->close(net->a);
	net->b->ops->close(net->b);
	net2_free(net);
}
