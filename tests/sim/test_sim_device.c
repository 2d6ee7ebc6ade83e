/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulator's devices and wires, without a stack: frames go in by ops->tx
 * and come out by ops->rx, as a stack would do it.
 */
#include <stdlib.h>
#include <string.h>
#include <tow/sim.h>
#include "base/csum.h"
#include "buf/pool.h"
#include "test.h"

#define BUFS   64
#define CHUNKS 128
#define CHUNK  2048

/* Two ports on a segment, a pool for each. */
struct net2 {
	struct tow_sim *sim;
	struct tow_dev *a, *b;
	struct tow_sim_port how_a, how_b;
	struct tow_pool pool_a, pool_b;
	void *memory_a, *memory_b;
	uint64_t empty;
};

static void *open_pool(struct tow_pool *pool, uint64_t *empty)
{
	size_t need = pool_need(BUFS, CHUNKS, CHUNK);
	size_t whole = (need + CHUNK - 1) / CHUNK * CHUNK;
	void *memory = aligned_alloc(CHUNK, whole);

	CHECK(memory);
	pool_init(pool, memory, BUFS, CHUNKS, CHUNK, empty);
	return memory;
}

static struct net2 *net2_new(void)
{
	struct net2 *net = calloc(1, sizeof(*net));

	CHECK(net);
	tow_sim_port_default(&net->how_a);
	tow_sim_port_default(&net->how_b);
	net->how_a.margin = net->how_b.margin = 0;
	net->memory_a = open_pool(&net->pool_a, &net->empty);
	net->memory_b = open_pool(&net->pool_b, &net->empty);
	return net;
}

static void net2_open(struct net2 *net, uint64_t seed)
{
	int segment;

	CHECK_EQ(tow_sim_open(&net->sim, seed), 0);
	segment = tow_sim_segment(net->sim);
	CHECK_EQ(tow_sim_port_open(net->sim, segment, &net->how_a, &net->a), 0);
	CHECK_EQ(tow_sim_port_open(net->sim, segment, &net->how_b, &net->b), 0);
	net->a->pool = &net->pool_a;
	net->b->pool = &net->pool_b;
}

static void net2_free(struct net2 *net)
{
	free(net->memory_a);
	free(net->memory_b);
	free(net);
}

/* What a test took it must have given back, and so must the devices. */
static void net2_close(struct net2 *net)
{
	net->a->ops->close(net->a);
	net->b->ops->close(net->b);
	tow_sim_close(net->sim);
	CHECK_EQ(net->pool_a.bufs_left, BUFS);
	CHECK_EQ(net->pool_b.bufs_left, BUFS);
	CHECK_EQ(net->pool_a.chunks_left, CHUNKS);
	CHECK_EQ(net->pool_b.chunks_left, CHUNKS);
	net2_free(net);
}

/* Frames. */

static void put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void fill(uint8_t *out, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(i * 7 + (i >> 8));
}

enum { TCP_AT = 34, PAYLOAD_AT = 54 };

/* Ethernet, IPv4 and TCP headers for so much payload, partial checksum. */
static void write_headers(uint8_t *h, const struct tow_dev *from,
			  const struct tow_dev *to, unsigned payload)
{
	struct tow_addr src = tow_addr_v4(10, 0, 0, 1);
	struct tow_addr dst = tow_addr_v4(10, 0, 0, 2);
	uint16_t sum;

	memset(h, 0, PAYLOAD_AT);
	memcpy(h, to->mac, 6);
	memcpy(h + 6, from->mac, 6);
	put16(h + 12, 0x0800);
	h[14] = 0x45;
	put16(h + 16, 40 + payload);
	put16(h + 18, 0x1234); /* identification */
	h[20] = 0x40;	       /* do not fragment */
	h[22] = 64;
	h[23] = 6;
	memcpy(h + 26, src.b + 12, 4);
	memcpy(h + 30, dst.b + 12, 4);
	sum = csum_finish(csum_bytes(0, h + 14, 20));
	memcpy(h + 24, &sum, 2);
	put16(h + 34, 1000);
	put16(h + 36, 2000);
	put16(h + 40, 0x0100); /* sequence 256 */
	h[46] = 0x50;
	h[47] = 0x19; /* ACK, PSH, FIN */
	put16(h + 48, 0xffff);
	sum = (uint16_t)csum_fold(csum_pseudo(&src, &dst, 6, 20 + payload));
	memcpy(h + TCP_AT + 16, &sum, 2);
}

static struct tow_buf *frame_of(struct net2 *net, const uint8_t *payload,
				unsigned bytes)
{
	struct tow_buf *buf = tow_buf_take(&net->pool_a);

	CHECK(buf);
	tow_buf_set_head(buf, 2, PAYLOAD_AT);
	write_headers(buf->room + 2, net->a, net->b, bytes);
	if (bytes) {
		buf->spans[1].ptr = payload;
		buf->spans[1].len = bytes;
		buf->span_count = 2;
	}
	buf->bytes = PAYLOAD_AT + bytes;
	buf->flags = TOW_BUF_CSUM_PARTIAL;
	buf->header_bytes = PAYLOAD_AT;
	buf->csum_start = TCP_AT;
	buf->csum_offset = 16;
	return buf;
}

static void send(struct net2 *net, struct tow_buf *buf)
{
	CHECK_EQ(net->a->ops->tx(net->a, &buf, 1), 1);
	net->a->ops->flush(net->a);
}

static void run(struct net2 *net, uint64_t until_us)
{
	while (tow_sim_step(net->sim, until_us)) {
		net->a->ops->flush(net->a);
		net->b->ops->flush(net->b);
	}
}

static struct tow_buf *receive(struct net2 *net)
{
	struct tow_buf *buf = NULL;
	int n = net->b->ops->rx(net->b, &buf, 1);

	CHECK(n == 0 || n == 1);
	return n ? buf : NULL;
}

static uint64_t fate(const struct tow_dev *dev, enum tow_sim_fate fate)
{
	return tow_sim_stats(dev)->fates[fate];
}

static bool sum_is_right(const uint8_t *frame, unsigned bytes)
{
	struct tow_addr src = tow_addr_v4(10, 0, 0, 1);
	struct tow_addr dst = tow_addr_v4(10, 0, 0, 2);
	uint32_t sum = csum_pseudo(&src, &dst, 6, bytes - TCP_AT);

	return csum_finish(csum_bytes(0, frame + 14, 20)) == 0 &&
	       csum_finish(csum_bytes(sum, frame + TCP_AT, bytes - TCP_AT)) ==
		       0;
}

TEST(frame_arrives_with_its_bytes_and_a_finished_checksum)
{
	struct net2 *net = net2_new();
	uint8_t payload[1000], out[1500];
	struct tow_buf *buf;

	fill(payload, sizeof(payload));
	net2_open(net, 1);
	send(net, frame_of(net, payload, sizeof(payload)));
	run(net, 10);
	buf = receive(net);
	CHECK(buf);
	CHECK_EQ(buf->bytes, PAYLOAD_AT + 1000);
	CHECK_EQ(buf->spans[0].len, PAYLOAD_AT); /* split at the payload */
	CHECK_EQ(buf->flags, TOW_BUF_CSUM_OK);
	CHECK_EQ(tow_buf_read(buf, 0, out, sizeof(out)), PAYLOAD_AT + 1000);
	CHECK_MEM(out + PAYLOAD_AT, payload, sizeof(payload));
	CHECK(sum_is_right(out, PAYLOAD_AT + 1000));
	tow_buf_give(buf);
	CHECK_EQ(fate(net->a, TOW_SIM_VIOLATION), 0);
	net2_close(net);
}

TEST(every_layout_holds_the_same_bytes)
{
	uint8_t payload[1460], out[1514];

	fill(payload, sizeof(payload));
	for (uint32_t i = 0; i < 40; i++) {
		struct net2 *net = net2_new();
		struct tow_buf *buf;

		net->how_b.layout = (enum tow_sim_layout)(i % 4);
		net->how_b.layout_bytes = i * 6;
		if (i & 4)
			net->how_b.caps &= ~(uint32_t)TOW_DEV_SPLIT;
		net2_open(net, i);
		send(net, frame_of(net, payload, sizeof(payload)));
		run(net, 10);
		buf = receive(net);
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
	send(net, frame_of(net, payload, sizeof(payload)));
	CHECK_EQ(net->pool_a.bufs_left, BUFS - 1);
	CHECK_EQ(tow_sim_stats(net->a)->held, 1);
	memset(payload, 0xee, sizeof(payload)); /* a loan that ended early */
	run(net, 0);
	buf = receive(net);
	CHECK(buf);
	tow_buf_read(buf, PAYLOAD_AT, out, 100);
	CHECK_EQ(out[99], 0xee);
	tow_buf_give(buf);
	run(net, 50);
	CHECK_EQ(net->pool_a.bufs_left, BUFS);
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
		bufs[i] = tow_buf_ref(frame_of(net, NULL, 0));
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

	fill(payload, sizeof(payload));
	net2_open(net, 5);
	buf = frame_of(net, payload, sizeof(payload));
	buf->gso = TOW_GSO_TCP4;
	buf->gso_bytes = 1000;
	send(net, buf);
	run(net, 10);
	for (unsigned i = 0; i < 3; i++) {
		unsigned bytes = i < 2 ? 1000 : 500;

		buf = receive(net);
		CHECK(buf);
		CHECK_EQ(buf->bytes, PAYLOAD_AT + bytes);
		tow_buf_read(buf, 0, out, sizeof(out));
		CHECK_EQ(get16(out + 16), 40 + bytes);
		CHECK_EQ(get16(out + 18), 0x1234 + i);
		CHECK_EQ(get16(out + 40), 0x0100 + i * 1000);
		CHECK_EQ(out[47], i < 2 ? 0x10 : 0x19);
		CHECK(sum_is_right(out, buf->bytes));
		CHECK_MEM(out + PAYLOAD_AT, payload + i * 1000, bytes);
		tow_buf_give(buf);
	}
	CHECK(!receive(net));
	net2_close(net);
}

TEST(packets_of_one_flow_are_merged)
{
	for (int partial = 0; partial < 2; partial++) {
		struct net2 *net = net2_new();
		uint8_t payload[5000], out[6000];
		struct tow_buf *buf;

		fill(payload, sizeof(payload));
		net->how_b.caps |= TOW_DEV_LRO;
		net->how_b.rx_partial = partial;
		net2_open(net, 6);
		buf = frame_of(net, payload, sizeof(payload));
		buf->room[2 + 47] = 0x18; /* FIN is never merged */
		buf->gso = TOW_GSO_TCP4;
		buf->gso_bytes = 1400;
		send(net, buf);
		run(net, 10);
		buf = receive(net);
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
		CHECK(!receive(net));
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

		fill(payload, sizeof(payload));
		net->how_a.up.damage_ppm = 1000000;
		net2_open(net, seed);
		send(net, frame_of(net, payload, sizeof(payload)));
		CHECK_EQ(fate(net->a, TOW_SIM_DAMAGED), 1);
		run(net, 10);
		buf = receive(net);
		CHECK(buf);
		tow_buf_read(buf, 0, out, sizeof(out));
		CHECK(!sum_is_right(out, PAYLOAD_AT + 500));
		without_flag += buf->flags == 0;
		tow_buf_give(buf);
		net2_close(net);
	}
	CHECK_GT(without_flag, 45); /* the others hit the IP header alone */
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
		send(net, frame_of(net, NULL, 0));
		tow_sim_step(net->sim, tow_sim_now(net->sim) + 1);
		while ((buf = receive(net))) {
			got++;
			tow_buf_give(buf);
		}
	}
	run(net, UINT64_MAX - 1);
	while ((buf = receive(net))) {
		got++;
		tow_buf_give(buf);
	}
	CHECK_EQ(got, 10000 - fate(net->a, TOW_SIM_LOST) +
			      fate(net->a, TOW_SIM_DUPLICATED));
	CHECK_GT(fate(net->a, TOW_SIM_LOST), 900);
	CHECK_LT(fate(net->a, TOW_SIM_LOST), 1100);
	CHECK_GT(fate(net->a, TOW_SIM_DUPLICATED), 380);
	CHECK_GT(fate(net->a, TOW_SIM_REORDERED), 380);
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
		buf = frame_of(net, NULL, 0);
		memset(buf->room + 2, 0xff, 6);
		send(net, buf);
	}
	run(net, 10);
	while ((buf = receive(net))) {
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

		send(net, frame_of(net, NULL, 0));
		tow_sim_step(net->sim, 0);
		while ((buf = receive(net)))
			tow_buf_give(buf);
		lost = fate(net->a, TOW_SIM_BURST_LOST);
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
		send(net, frame_of(net, payload, sizeof(payload)));
	CHECK_EQ(fate(net->a, TOW_SIM_QUEUE_FULL), 3);
	run(net, 1153);
	CHECK(!receive(net));
	run(net, 1154);
	buf = receive(net);
	CHECK(buf);
	tow_buf_give(buf);
	run(net, 2207);
	CHECK(!receive(net));
	run(net, 2208);
	buf = receive(net);
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
			bufs[i] = frame_of(net, NULL, 0);
		CHECK_EQ(net->a->ops->tx(net->a, bufs, 6), 4);
		CHECK_EQ(net->a->ops->tx(net->a, bufs + 4, 2), 0);
		run(net, 100);
		CHECK_EQ(net->a->ops->tx(net->a, bufs + 4, 2), 2);
		run(net, 200);
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
		send(net, frame_of(net, NULL, 0));
	run(net, 10);
	for (; (buf = receive(net)); got++)
		tow_buf_give(buf);
	CHECK_EQ(got, 3);
	CHECK_EQ(fate(net->b, TOW_SIM_RING_FULL), 2);
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
	send(net, frame_of(net, payload, sizeof(payload)));
	run(net, 10);
	CHECK(!receive(net));
	CHECK_EQ(fate(net->a, TOW_SIM_TOO_LONG), 1);
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
		send(net, frame_of(net, NULL, 0));
	CHECK_EQ(net->a->ops->rx(net->a, &buf, 1), 0);
	CHECK_EQ(net->pool_a.bufs_left, BUFS - 4 - 5);
	CHECK_EQ(tow_sim_vanish(net->a, 10), 0);
	while (tow_sim_now(net->sim) < 10)
		tow_sim_step(net->sim, 10);
	buf = frame_of(net, NULL, 0);
	CHECK_EQ(net->a->ops->tx(net->a, &buf, 1), TOW_ENETDOWN);
	tow_buf_give(buf);
	CHECK_EQ(net->pool_a.bufs_left, BUFS);
	CHECK_EQ(net->a->ops->rx(net->a, &buf, 1), TOW_ENETDOWN);
	net2_close(net);
}

TEST(dry_pool_still_lets_small_frames_through)
{
	struct net2 *net = net2_new();
	uint8_t payload[1000] = { 0 };
	uint8_t *chunks[CHUNKS];
	struct tow_buf *bufs[BUFS], *buf;

	net->how_b.margin = 2;
	net2_open(net, 14);
	CHECK(!receive(net)); /* fills the margin */
	for (int i = 0; i < CHUNKS; i++)
		chunks[i] = tow_chunk_take(&net->pool_b);
	for (int i = 0; i < BUFS - 2; i++)
		bufs[i] = tow_buf_take(&net->pool_b);
	send(net, frame_of(net, NULL, 0));
	send(net, frame_of(net, payload, sizeof(payload)));
	send(net, frame_of(net, NULL, 0));
	run(net, 10);
	buf = receive(net);
	CHECK(buf);
	CHECK_EQ(buf->bytes, PAYLOAD_AT);
	CHECK_EQ(buf->flags, TOW_BUF_CSUM_OK);
	tow_buf_give(buf);
	buf = receive(net);
	CHECK(buf);
	CHECK(buf->flags & TOW_BUF_TRUNCATED);
	CHECK_GE(buf->bytes, 128);
	bufs[BUFS - 2] = buf;
	buf = receive(net);
	CHECK(buf);
	bufs[BUFS - 1] = buf;
	for (int i = 0; i < BUFS; i++)
		tow_buf_give(bufs[i]);
	for (int i = 0; i < CHUNKS; i++)
		tow_chunk_give(&net->pool_b, chunks[i]);
	net2_close(net);
}

static void check_violates(struct net2 *net, struct tow_buf *buf)
{
	uint64_t before = fate(net->a, TOW_SIM_VIOLATION);

	send(net, buf);
	run(net, tow_sim_now(net->sim) + 1);
	CHECK_EQ(fate(net->a, TOW_SIM_VIOLATION), before + 1);
	CHECK(tow_sim_stats(net->a)->violation);
	CHECK(!receive(net));
}

TEST(frames_against_the_contract_are_violations)
{
	struct net2 *net = net2_new();
	uint8_t payload[3000] = { 0 };
	struct tow_buf *buf;

	net->how_a.caps = TOW_DEV_TX_CSUM;
	net->how_a.spans_max = 4;
	net2_open(net, 15);
	buf = frame_of(net, payload, 100);
	buf->flags = 0; /* the checksum is not finished */
	check_violates(net, buf);
	buf = frame_of(net, payload, 2000);
	check_violates(net, buf); /* above the MTU */
	buf = frame_of(net, payload, 2000);
	buf->gso = TOW_GSO_TCP4;
	buf->gso_bytes = 1000;
	check_violates(net, buf); /* not offered */
	buf = frame_of(net, payload, 100);
	buf->bytes--;
	check_violates(net, buf);
	buf = frame_of(net, payload, 100);
	buf->room[2 + 24] ^=
		1; /* IPv4 header checksum; finished by the stack */
	buf->flags = 0;
	check_violates(net, buf);
	buf = frame_of(net, payload, 100);
	for (unsigned i = 0; i < 4; i++)
		buf->spans[buf->span_count++] = (struct tow_span){ payload, 0 };
	check_violates(net, buf);
	buf = frame_of(net, payload, 100);
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

	fill(payload, sizeof(payload));
	net->how_a.up = (struct tow_sim_wire){ .loss_ppm = 100000,
					       .duplicate_ppm = 100000,
					       .damage_ppm = 100000,
					       .reorder_ppm = 100000,
					       .reorder_us = 50,
					       .jitter_us = 10 };
	net->how_b.layout = TOW_SIM_LAYOUT_ODD;
	net2_open(net, seed);
	for (unsigned i = 0; i < 500; i++) {
		send(net, frame_of(net, payload, i));
		tow_sim_step(net->sim, i * 5);
		while ((buf = receive(net))) {
			size_t n = tow_buf_read(buf, 0, out, sizeof(out));

			digest = digest * 31 + buf->spans[0].len;
			for (size_t j = 0; j < n; j++)
				digest = digest * 31 + out[j];
			tow_buf_give(buf);
		}
	}
	run(net, 100000);
	while ((buf = receive(net)))
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
	send(net, frame_of(net, NULL, 0));
	tow_sim_close(net->sim);
	CHECK_EQ(net->a->ops->rx(net->a, &buf, 1), TOW_ENETDOWN);
	CHECK_EQ(net->pool_a.bufs_left, BUFS);
	net->a->ops->close(net->a);
	net->b->ops->close(net->b);
	net2_free(net);
}
