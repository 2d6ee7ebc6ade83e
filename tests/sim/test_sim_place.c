/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulator's placement: what lands where, what is said about it, and that
 * the contract of tow/dev.h holds whatever the device does wrong.
 *
 *	memory  | canary | posted: one span, or several | canary |
 */
#include <stdlib.h>
#include <string.h>
#include <tow/error.h>
#include "base/csum.h"
#include "dev/dice.h"
#include "net2.h"

enum { CANARY = 0xc5, MARGIN = 256, POSTED = 16384, BYTES = 1000 };

static uint8_t memory[MARGIN + POSTED + MARGIN];
static uint8_t *const posted = memory + MARGIN;
static uint8_t stream[POSTED];

static struct net2 *open_net(struct net2 *net, uint64_t seed)
{
	net->how_b.caps |= TOW_DEV_PLACE;
	net2_open(net, seed);
	net2_fill(stream, sizeof(stream));
	memset(memory, CANARY, sizeof(memory));
	return net;
}

static void check_canaries(size_t used)
{
	for (size_t i = 0; i < MARGIN; i++)
		CHECK_EQ(memory[i], CANARY);
	for (size_t i = MARGIN + used; i < sizeof(memory); i++)
		CHECK_EQ(memory[i], CANARY);
}

static void close_net(struct net2 *net, size_t used)
{
	check_canaries(used);
	CHECK_EQ(net2_fate(net->b, TOW_SIM_VIOLATION), 0);
	net2_close(net);
}

static struct tow_place hint_for(const struct tow_span *spans, unsigned count)
{
	struct tow_addr local = tow_addr_v4(10, 0, 0, 2);
	struct tow_addr remote = tow_addr_v4(10, 0, 0, 1);
	struct tow_place place = {
		.token = 77,
		.local_port = 2000,
		.remote_port = 1000,
		.protocol = 6,
		.header_bytes = PAYLOAD_AT,
		.sequence = NET2_SEQUENCE,
		.spans = spans,
		.span_count = count,
	};

	memcpy(place.local, local.b, 16);
	memcpy(place.remote, remote.b, 16);
	for (unsigned i = 0; i < count; i++)
		place.bytes += spans[i].len;
	return place;
}

static int arm_at(struct net2 *net, size_t at)
{
	struct tow_span span = { posted + at, POSTED - at };
	struct tow_place place = hint_for(&span, 1);

	place.sequence += (uint32_t)at;
	return net->b->ops->place(net->b, &place);
}

static struct tow_buf *segment(struct net2 *net, size_t at, unsigned bytes)
{
	struct tow_buf *buf = net2_frame(net, stream + at, bytes);

	put32(buf->room + 2 + 38, NET2_SEQUENCE + (uint32_t)at);
	buf->room[2 + 47] = 0x10; /* ACK */
	return buf;
}

static void send_segment(struct net2 *net, size_t at, unsigned bytes)
{
	net2_send(net, segment(net, at, bytes));
}

static struct tow_buf *next(struct net2 *net)
{
	struct tow_buf *buf;

	net2_run(net, tow_sim_now(net->sim) + 10);
	buf = net2_receive(net);
	CHECK(buf);
	return buf;
}

static void expect(struct net2 *net, bool in_memory, bool foreseen)
{
	struct tow_buf *buf = next(net);

	CHECK_EQ(buf->place, in_memory ? 77 : 0);
	CHECK_EQ(!!(buf->flags & TOW_BUF_FORESEEN), foreseen);
	tow_buf_give(buf);
}

TEST(payload_of_a_flow_lands_in_a_row)
{
	struct net2 *net = open_net(net2_new(), 1);
	uint8_t frame[1500];
	struct tow_buf *buf;

	CHECK_EQ(arm_at(net, 0), 0);
	for (size_t i = 0; i < 3; i++) {
		send_segment(net, i * BYTES, BYTES);
		buf = next(net);
		CHECK_EQ(buf->place, 77);
		CHECK(buf->flags & TOW_BUF_FORESEEN);
		CHECK(buf->flags & TOW_BUF_CSUM_OK);
		CHECK_EQ(buf->span_count, 2);
		CHECK(buf->spans[1].ptr == posted + i * BYTES);
		CHECK_EQ(buf->spans[1].len, BYTES);
		CHECK_EQ(tow_buf_read(buf, 0, frame, sizeof(frame)), 1054);
		CHECK(net2_sum_is_right(frame, 1054));
		tow_buf_give(buf);
	}
	CHECK_MEM(posted, stream, 3 * BYTES);
	CHECK_EQ(net2_fate(net->b, TOW_SIM_PLACED), 3);
	close_net(net, 3 * BYTES);
}

TEST(payload_runs_over_several_spans_and_into_chunks)
{
	struct net2 *net = open_net(net2_new(), 2);
	struct tow_span spans[3] = { { posted, 10 },
				     { posted + 10, 1 },
				     { posted + 11, 600 } };
	struct tow_place place = hint_for(spans, 3);
	struct tow_buf *buf;

	CHECK_EQ(net->b->ops->place(net->b, &place), 0);
	send_segment(net, 0, BYTES);
	buf = next(net);
	CHECK(buf->flags & TOW_BUF_FORESEEN);
	CHECK_EQ(buf->span_count, 5);
	CHECK_EQ(buf->spans[3].len, 600);
	CHECK_MEM(buf->spans[4].ptr, stream + 611, 389);
	tow_buf_give(buf);
	send_segment(net, BYTES, BYTES); /* the spans are full */
	expect(net, false, false);
	CHECK_MEM(posted, stream, 611);
	close_net(net, 611);
}

TEST(merged_packets_are_placed_as_one)
{
	struct net2 *net = net2_new();
	struct tow_buf *buf;

	net->how_b.caps |= TOW_DEV_LRO;
	open_net(net, 3);
	CHECK_EQ(arm_at(net, 0), 0);
	buf = segment(net, 0, 5000);
	buf->gso = TOW_GSO_TCP4;
	buf->gso_bytes = 1400;
	net2_send(net, buf);
	buf = next(net);
	CHECK(buf->flags & TOW_BUF_FORESEEN);
	CHECK_EQ(buf->gso_bytes, 1400);
	CHECK_EQ(buf->spans[1].len, 5000);
	tow_buf_give(buf);
	CHECK_MEM(posted, stream, 5000);
	close_net(net, 5000);
}

TEST(after_a_hole_the_hint_rests_until_it_is_armed_again)
{
	struct net2 *net = open_net(net2_new(), 4);

	CHECK_EQ(arm_at(net, 0), 0);
	send_segment(net, BYTES, BYTES); /* the first one was lost */
	expect(net, true, false);
	CHECK_MEM(posted, stream + BYTES, BYTES);
	send_segment(net, 0, BYTES);
	expect(net, false, false);
	CHECK_EQ(arm_at(net, 2 * BYTES), 0);
	send_segment(net, 2 * BYTES, BYTES);
	expect(net, true, true);
	CHECK_EQ(net2_fate(net->b, TOW_SIM_MISPLACED), 1);
	close_net(net, 3 * BYTES);
}

TEST(an_acknowledgement_without_payload_changes_nothing)
{
	struct net2 *net = open_net(net2_new(), 5);

	CHECK_EQ(arm_at(net, 0), 0);
	send_segment(net, 0, 0);
	expect(net, false, false);
	send_segment(net, 0, BYTES);
	expect(net, true, true);
	close_net(net, BYTES);
}

/* 12 bytes of NOP, as if they were options that nobody expected */
TEST(headers_of_another_length_are_not_foreseen)
{
	struct net2 *net = open_net(net2_new(), 6);
	uint8_t nops_and_payload[12 + 100];
	struct tow_buf *buf;

	memset(nops_and_payload, 1, 12);
	memcpy(nops_and_payload + 12, stream, 100);
	CHECK_EQ(arm_at(net, 0), 0);
	buf = net2_frame(net, nops_and_payload, 112);
	buf->room[2 + 46] = 0x80; /* 32 bytes of header */
	net2_send(net, buf);
	buf = next(net);
	CHECK_EQ(buf->place, 77);
	CHECK(!(buf->flags & TOW_BUF_FORESEEN));
	CHECK(buf->flags & TOW_BUF_CSUM_OK);
	CHECK_EQ(buf->spans[0].len, PAYLOAD_AT);
	CHECK_MEM(posted + 12, stream, 100);
	tow_buf_give(buf);
	close_net(net, 112);
}

TEST(a_withdrawn_hint_leaves_memory_alone)
{
	struct net2 *net = open_net(net2_new(), 7);
	struct tow_place place = hint_for(NULL, 0);

	CHECK_EQ(arm_at(net, 0), 0);
	CHECK_EQ(net->b->ops->place(net->b, &place), 0);
	send_segment(net, 0, BYTES);
	expect(net, false, false);
	close_net(net, 0);
}

TEST(each_flow_has_memory_of_its_own)
{
	struct net2 *net = net2_new();
	struct tow_place place;
	struct tow_buf *buf;

	net->how_b.place.flows = 4;
	open_net(net, 8);
	for (unsigned i = 0; i < 5; i++) {
		struct tow_span span = { posted + i * BYTES, BYTES };

		place = hint_for(&span, 1);
		place.token = i + 1;
		place.remote_port = (uint16_t)(1000 + i);
		CHECK_EQ(net->b->ops->place(net->b, &place),
			 i < 4 ? 0 : TOW_EBUSY);
	}
	for (unsigned i = 0; i < 5; i++) {
		buf = segment(net, 0, BYTES);
		put16(buf->room + 2 + TCP_AT, 1000 + i);
		net2_send(net, buf);
		buf = next(net);
		CHECK_EQ(buf->place, i < 4 ? i + 1 : 0);
		tow_buf_give(buf);
		if (i < 4)
			CHECK_MEM(posted + i * BYTES, stream, BYTES);
	}
	close_net(net, 4 * BYTES);
}

enum { UDP_PAYLOAD_AT = 42, SLOT = 512 };

static struct tow_buf *datagram(struct net2 *net, const uint8_t *payload,
				unsigned bytes)
{
	struct tow_addr src = tow_addr_v4(10, 0, 0, 1);
	struct tow_addr dst = tow_addr_v4(10, 0, 0, 2);
	struct tow_buf *buf = net2_frame(net, payload, bytes);
	uint8_t *ip = buf->room + 2 + 14;
	uint16_t sum;

	buf->spans[0].len = UDP_PAYLOAD_AT;
	buf->bytes = UDP_PAYLOAD_AT + bytes;
	put16(ip + 2, 28 + bytes);
	ip[9] = 17;
	put16(ip + 10, 0);
	sum = csum_finish(csum_bytes(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
	put16(ip + 24, 8 + bytes);
	sum = (uint16_t)csum_fold(csum_pseudo(&src, &dst, 17, 8 + bytes));
	memcpy(ip + 26, &sum, 2);
	buf->header_bytes = UDP_PAYLOAD_AT;
	buf->csum_offset = 6;
	return buf;
}

static void arm_slots(struct net2 *net, uint16_t header_bytes)
{
	struct tow_span span = { posted, POSTED };
	struct tow_place place = hint_for(&span, 1);

	place.protocol = 17;
	place.header_bytes = UDP_PAYLOAD_AT + header_bytes;
	place.slot_bytes = SLOT;
	CHECK_EQ(net->b->ops->place(net->b, &place), 0);
}

/* Four bytes of each datagram are a header of the application's, as in TFTP. */
TEST(datagrams_land_in_slots)
{
	struct net2 *net = open_net(net2_new(), 9);

	arm_slots(net, 4);
	net2_send(net, datagram(net, stream, 4 + SLOT));
	expect(net, true, true);
	net2_send(net, datagram(net, stream + 600, 4 + 100)); /* a short one */
	expect(net, true, true);
	net2_send(net, datagram(net, stream + 1200, 4 + SLOT));
	expect(net, true, true);
	CHECK_MEM(posted, stream + 4, SLOT);
	CHECK_MEM(posted + SLOT, stream + 604, 100);
	CHECK_EQ(posted[SLOT + 100], CANARY);
	CHECK_MEM(posted + 2 * SLOT, stream + 1204, SLOT);
	net2_send(net, datagram(net, stream, 4 + SLOT + 1)); /* too long */
	expect(net, true, false);
	net2_send(net, datagram(net, stream, 4 + SLOT));
	expect(net, false, false);
	close_net(net, 4 * SLOT + 1);
}

static struct tow_buf *train(struct net2 *net, const uint8_t *payload,
			     unsigned bytes, uint16_t each_bytes)
{
	struct tow_buf *buf = datagram(net, payload, bytes);

	buf->gso = TOW_GSO_UDP;
	buf->gso_bytes = each_bytes;
	return buf;
}

TEST(datagrams_of_one_flow_become_a_train)
{
	struct net2 *net = net2_new();
	uint8_t frame[2000];
	struct tow_buf *buf;

	net->how_b.caps |= TOW_DEV_LRO;
	open_net(net, 9);
	net2_send(net, train(net, stream, 1500, 400));
	net2_send(net, datagram(net, stream, 400)); /* a short one ends it */
	buf = next(net);
	CHECK_EQ(buf->gso, TOW_GSO_UDP);
	CHECK_EQ(buf->gso_bytes, 400);
	CHECK_EQ(tow_buf_read(buf, 0, frame, sizeof(frame)), 42 + 1500);
	CHECK_EQ(get16(frame + 16), 28 + 1500);
	CHECK_EQ(get16(frame + 38), 8 + 1500);
	CHECK_EQ(csum_finish(csum_bytes(0, frame + 14, 20)), 0);
	CHECK_MEM(frame + 42, stream, 1500);
	tow_buf_give(buf);
	buf = next(net);
	CHECK_EQ(buf->gso, TOW_GSO_NONE);
	CHECK_EQ(buf->bytes, 42 + 400);
	tow_buf_give(buf);
	close_net(net, 0);
}

TEST(trains_land_in_slots)
{
	struct net2 *net = net2_new();

	net->how_b.caps |= TOW_DEV_LRO;
	open_net(net, 9);
	arm_slots(net, 0);
	net2_send(net, train(net, stream, 3 * SLOT + 100, SLOT));
	expect(net, true, true);
	net2_send(net, datagram(net, stream + 4 * SLOT, SLOT));
	expect(net, true, true);
	CHECK_MEM(posted, stream, 3 * SLOT + 100);
	CHECK_EQ(posted[3 * SLOT + 100], CANARY); /* the slot is taken */
	CHECK_MEM(posted + 4 * SLOT, stream + 4 * SLOT, SLOT);
	CHECK_EQ(net2_fate(net->b, TOW_SIM_MERGED), 3);
	net2_send(net, train(net, stream, 600, 300)); /* of half a slot */
	expect(net, true, false);
	close_net(net, 5 * SLOT + 600);
}

/* The headers of all but the first would lie in the slots. */
TEST(train_with_headers_of_the_applications_is_not_foreseen)
{
	struct net2 *net = net2_new();

	net->how_b.caps |= TOW_DEV_LRO;
	open_net(net, 9);
	arm_slots(net, 4);
	net2_send(net, train(net, stream, 2 * (SLOT + 4), SLOT + 4));
	expect(net, true, false);
	CHECK_MEM(posted, stream + 4, 2 * SLOT + 4);
	net2_send(net, datagram(net, stream, 4 + SLOT));
	expect(net, false, false);
	close_net(net, 2 * SLOT + 4);
}

TEST(hints_that_make_no_sense_are_violations)
{
	struct net2 *net = open_net(net2_new(), 10);
	struct tow_span span = { posted, POSTED };
	struct tow_place good = hint_for(&span, 1), bad[6];

	for (unsigned i = 0; i < 6; i++)
		bad[i] = good;
	bad[0].token = 0;
	bad[1].protocol = 1;
	bad[2].bytes--;
	bad[3].span_count = TOW_PLACE_SPANS + 1;
	bad[4].header_bytes = TOW_BUF_HEADERS + 1;
	bad[5].slot_bytes = 1;
	for (unsigned i = 0; i < 6; i++)
		CHECK_EQ(net->b->ops->place(net->b, &bad[i]), TOW_EOPNOTSUPP);
	CHECK_EQ(net->a->ops->place(net->a, &good), TOW_EOPNOTSUPP);
	CHECK_EQ(net2_fate(net->b, TOW_SIM_VIOLATION), 6);
	net2_close(net);
}

TEST(packets_in_another_queue_are_overtaken_and_come_in_the_end)
{
	struct net2 *net = open_net(net2_new(), 11);
	unsigned got = 0, placed = 0;
	struct tow_buf *buf;

	CHECK_EQ(arm_at(net, 0), 0);
	tow_sim_place(net->b)->moved_ppm = 1000000;
	for (unsigned i = 0; i < 10; i++)
		send_segment(net, i * BYTES, BYTES);
	net2_run(net, tow_sim_now(net->sim) + 10);
	CHECK_EQ(net->b->ops->rx(net->b, &buf, 0), 0);
	for (uint64_t end = 5000; tow_sim_now(net->sim) < end;) {
		for (; (buf = net2_receive(net)); got++) {
			placed += buf->place != 0;
			tow_buf_give(buf);
		}
		tow_sim_place(net->b)->moved_ppm = 0;
		CHECK(got == 10 || net->b->next_us != UINT64_MAX);
		net2_run(net, tow_sim_now(net->sim) + 100);
	}
	CHECK_EQ(got, 10);
	CHECK_LE(placed, 1); /* the first that overtook was not foreseen */
	CHECK_GE(net2_fate(net->b, TOW_SIM_HINT_MOVED), 1);
	close_net(net, BYTES);
}

/* Damage of any kind, and that the contract is kept. */

struct run {
	struct net2 *net;
	struct dice dice;
	size_t armed_at, next; /* where the hint began; what is sent next */
	bool armed;
	size_t foreseen_at; /* where the next foreseen frame has to lie */
	unsigned damaged;
};

/* In the posted memory only, and only while there is a hint. */
static void check_placed(struct run *run, const struct tow_buf *buf)
{
	uint8_t head[PAYLOAD_AT];
	const uint8_t *at = buf->spans[1].ptr;
	size_t stream_at;

	CHECK(run->armed);
	for (unsigned i = 1; i < buf->span_count && !buf->chunks; i++) {
		const uint8_t *ptr = buf->spans[i].ptr;

		CHECK(ptr >= posted + run->armed_at);
		CHECK(ptr + buf->spans[i].len <= posted + POSTED);
	}
	if (!(buf->flags & TOW_BUF_FORESEEN)) {
		run->armed = false;
		return;
	}
	CHECK_EQ(tow_buf_read(buf, 0, head, sizeof(head)), sizeof(head));
	stream_at = get32(head + 38) - NET2_SEQUENCE;
	CHECK(at == posted + stream_at);
	CHECK_EQ(stream_at, run->foreseen_at);
	CHECK_EQ(get16(head + 34), 1000);
	run->foreseen_at += buf->bytes - PAYLOAD_AT;
	if (memcmp(at, stream + stream_at, buf->spans[1].len) != 0) {
		CHECK(!(buf->flags & TOW_BUF_CSUM_OK));
		run->damaged++;
	}
}

static void arm_somewhere(struct run *run)
{
	size_t at = run->next + dice_up_to(&run->dice, 1) * BYTES;

	if (at >= POSTED)
		at = POSTED - 1;
	run->armed = arm_at(run->net, at) == 0;
	run->armed_at = run->foreseen_at = at;
}

static void send_something(struct run *run)
{
	unsigned bytes = (unsigned)dice_up_to(&run->dice, 1400);
	struct tow_buf *buf;

	if (run->next + bytes > POSTED)
		run->next = 0;
	buf = segment(run->net, run->next, bytes);
	if (dice_up_to(&run->dice, 9) == 0)
		put16(buf->room + 2 + TCP_AT, 999); /* another flow */
	else
		run->next += bytes;
	net2_send(run->net, buf);
}

static void run_seed(uint64_t seed, uint64_t fates[TOW_SIM_FATE_COUNT])
{
	struct run run = { .net = net2_new(), .dice = { seed } };
	struct net2 *net = run.net;
	unsigned got = 0;
	struct tow_buf *buf;

	net->how_b.place = (struct tow_sim_place){
		.busy_ppm = 50000,
		.refused_ppm = 50000,
		.late_ppm = 100000,
		.stale_ppm = 20000,
		.shape_ppm = 20000,
		.damage_ppm = 20000,
		.truncated_ppm = 20000,
		.withdrawn_ppm = 20000,
		.moved_ppm = 20000,
		.foreign_ppm = 200000,
	};
	net->how_a.up = (struct tow_sim_wire){ .loss_ppm = 10000,
					       .duplicate_ppm = 10000,
					       .reorder_ppm = 10000,
					       .reorder_us = 20 };
	open_net(net, seed);
	for (unsigned i = 0; i < 200; i++) {
		if (!run.armed || dice_up_to(&run.dice, 15) == 0)
			arm_somewhere(&run);
		send_something(&run);
		net2_run(net,
			 tow_sim_now(net->sim) + dice_up_to(&run.dice, 30));
		for (; (buf = net2_receive(net)); got++) {
			if (buf->place)
				check_placed(&run, buf);
			tow_buf_give(buf);
		}
	}
	for (; tow_sim_now(net->sim) < 100000; got++) {
		net2_run(net, tow_sim_now(net->sim) + 3000);
		while ((buf = net2_receive(net)))
			tow_buf_give(buf);
	}
	CHECK_EQ(net2_fate(net->b, TOW_SIM_RECEIVED),
		 200 - net2_fate(net->a, TOW_SIM_LOST) +
			 net2_fate(net->a, TOW_SIM_DUPLICATED));
	CHECK_LE(run.damaged, net2_fate(net->b, TOW_SIM_HINT_DAMAGED));
	for (unsigned i = 0; i < TOW_SIM_FATE_COUNT; i++)
		fates[i] += net2_fate(net->b, (enum tow_sim_fate)i);
	close_net(net, POSTED);
}

TEST(whatever_goes_wrong_the_contract_is_kept)
{
	uint64_t fates[TOW_SIM_FATE_COUNT] = { 0 };

	for (uint64_t seed = 0; seed < 100; seed++)
		run_seed(seed, fates);
	for (unsigned i = TOW_SIM_PLACED; i <= TOW_SIM_HINT_FOREIGN; i++)
		CHECK_GT(fates[i], 20); /* each of them happened */
}
