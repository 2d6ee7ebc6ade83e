/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault wrapper around a port that places: what is lost, corrupted, doubled
 * or held back keeps to the contract of tow/dev.h, and so does the rest.
 *
 *	a --------- segment --------- b, inside of fault
 */
#include <stdlib.h>
#include <string.h>
#include <tow/error.h>
#include "net2.h"

enum { CANARY = 0xc5, MARGIN = 64, POSTED = 65536, BYTES = 500, FRAMES = 120 };

static uint8_t memory[MARGIN + POSTED + MARGIN];
static uint8_t *const posted = memory + MARGIN;
static uint8_t stream[POSTED];

static struct net2 *open_net(const char *fault, uint64_t seed)
{
	struct net2 *net = net2_new();
	char error[256];

	net->how_b.caps = TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM | TOW_DEV_SPLIT |
			  TOW_DEV_PLACE;
	net->how_b.rx_partial = seed & 1;
	net2_open(net, seed);
	CHECK_EQ(tow_dev_wrap(&net->b, net->b, fault, error, sizeof(error)), 0);
	net->b->pool = &net->pool_b;
	net2_fill(stream, sizeof(stream));
	memset(memory, CANARY, sizeof(memory));
	return net;
}

static void close_net(struct net2 *net)
{
	for (size_t i = 0; i < MARGIN; i++) {
		CHECK_EQ(memory[i], CANARY);
		CHECK_EQ(memory[MARGIN + POSTED + i], CANARY);
	}
	net2_close(net);
}

static int arm_at(struct net2 *net, size_t at)
{
	struct tow_addr local = tow_addr_v4(10, 0, 0, 2);
	struct tow_addr remote = tow_addr_v4(10, 0, 0, 1);
	struct tow_span span = { posted + at, POSTED - at };
	struct tow_place place = {
		.token = 9,
		.local_port = 2000,
		.remote_port = 1000,
		.protocol = 6,
		.header_bytes = PAYLOAD_AT,
		.sequence = NET2_SEQUENCE + (uint32_t)at,
		.spans = &span,
		.span_count = 1,
		.bytes = POSTED - at,
	};

	memcpy(place.local, local.b, 16);
	memcpy(place.remote, remote.b, 16);
	return net->b->ops->place(net->b, &place);
}

static void send_segment(struct net2 *net, size_t at)
{
	struct tow_buf *buf = net2_frame(net, stream + at, BYTES);

	put16(buf->room + 2 + 40, NET2_SEQUENCE + (unsigned)at);
	buf->room[2 + 47] = 0x10;
	net2_send(net, buf);
}

struct seen {
	bool armed;
	size_t armed_at, next; /* where a foreseen frame has to lie */
	unsigned placed, foreseen, right, unknown, bad;
};

/* Returns: whether it is a packet that its receiver would take. */
static bool is_right(const struct tow_buf *buf, size_t *at)
{
	uint8_t frame[1500];
	size_t bytes = tow_buf_read(buf, 0, frame, sizeof(frame));

	*at = get16(frame + 40) - NET2_SEQUENCE;
	if (!(buf->flags & (TOW_BUF_CSUM_OK | TOW_BUF_CSUM_PARTIAL)) &&
	    !net2_sum_is_right(frame, (unsigned)bytes))
		return false;
	CHECK_MEM(frame + PAYLOAD_AT, stream + *at, BYTES);
	return true;
}

static void look(struct seen *seen, const struct tow_buf *buf)
{
	bool unknown = ((const uint8_t *)buf->spans[0].ptr)[14] >> 4 != 4;
	bool right = false;
	size_t at = 0;

	if (!unknown)
		right = is_right(buf, &at);
	seen->unknown += unknown;
	seen->right += right;
	seen->bad += !right && !unknown;
	if (!buf->place)
		return;
	CHECK(seen->armed);
	CHECK((const uint8_t *)buf->spans[1].ptr >= posted + seen->armed_at);
	seen->placed++;
	if (!(buf->flags & TOW_BUF_FORESEEN)) {
		seen->armed = false;
		return;
	}
	CHECK(right);
	CHECK_EQ(at, seen->next);
	CHECK(buf->spans[1].ptr == posted + at);
	seen->next += BYTES;
	seen->foreseen++;
}

static void receive_all(struct net2 *net, struct seen *seen)
{
	struct tow_buf *bufs[32];
	int n;

	while ((n = net->b->ops->rx(net->b, bufs, 32)) > 0) {
		for (int i = 0; i < n; i++) {
			look(seen, bufs[i]);
			tow_buf_give(bufs[i]);
		}
	}
	CHECK_EQ(n, 0);
}

/* Frames come by threes; the hint is armed again when it rests. */
static struct seen run(const char *fault, uint64_t seed)
{
	struct net2 *net = open_net(fault, seed);
	struct seen seen = { 0 };

	for (size_t i = 0; i < FRAMES; i++) {
		if (!seen.armed && i % 3 == 0) {
			CHECK_EQ(arm_at(net, i * BYTES), 0);
			seen.armed = true;
			seen.armed_at = seen.next = i * BYTES;
		}
		send_segment(net, i * BYTES);
		if (i % 3 != 2)
			continue;
		net2_run(net, tow_sim_now(net->sim) + 10);
		net->b->now_us = tow_sim_now(net->sim);
		receive_all(net, &seen);
	}
	for (int i = 0; i < 10; i++) {
		net2_run(net, tow_sim_now(net->sim) + 1000);
		net->b->now_us = tow_sim_now(net->sim);
		receive_all(net, &seen);
	}
	close_net(net);
	return seen;
}

TEST(without_faults_all_is_placed)
{
	struct seen seen = run("fault", 1);

	CHECK_EQ(seen.foreseen, FRAMES);
}

TEST(lost_frames_come_as_packets_of_nobody)
{
	for (uint64_t seed = 1; seed < 20; seed++) {
		struct seen seen = run("fault:loss=10%", seed);

		CHECK_GT(seen.unknown, 0);
		CHECK_LE(seen.right + seen.unknown, FRAMES);
		CHECK_GE(seen.foreseen, FRAMES / 2);
	}
}

TEST(corrupted_frames_lie_where_they_lie)
{
	unsigned bad = 0;

	for (uint64_t seed = 1; seed < 20; seed++) {
		struct seen seen = run("fault:corrupt=10%", seed);

		bad += seen.bad;
		CHECK_LE(seen.right + seen.unknown + seen.bad, FRAMES);
		CHECK_GE(seen.foreseen, FRAMES / 2);
	}
	CHECK_GT(bad, 100);
}

TEST(held_back_and_doubled_frames_come_as_copies)
{
	for (uint64_t seed = 1; seed < 20; seed++) {
		struct seen seen = run("fault:dup=10%,reorder=10%", seed);

		CHECK_GE(seen.right, FRAMES);
		CHECK_GT(seen.unknown, 0);
		CHECK_EQ(seen.bad, 0);
	}
}

TEST(where_every_frame_is_late_nothing_is_placed)
{
	struct net2 *net = open_net("fault:delay=1ms", 1);

	CHECK(!(net->b->caps & TOW_DEV_PLACE));
	close_net(net);
}

TEST(large_segments_are_left_whole_on_the_way_in_only)
{
	struct tow_dev *inside = NULL, *dev;
	struct net2 *net = net2_new();
	char error[256];

	net->how_b.caps |= TOW_DEV_LRO;
	net2_open(net, 1);
	CHECK_EQ(tow_dev_wrap(&net->b, net->b, "fault:dir=rx,large=on", error,
			      sizeof(error)),
		 0);
	CHECK(net->b->caps & TOW_DEV_LRO);
	CHECK_EQ(tow_sim_port_open(net->sim, 0, &net->how_b, &inside), 0);
	CHECK_EQ(tow_dev_wrap(&dev, inside, "fault:large=on", error,
			      sizeof(error)),
		 TOW_EINVAL);
	CHECK(strstr(error, "dir=rx"));
	net->b->pool = &net->pool_b;
	net2_close(net);
}
