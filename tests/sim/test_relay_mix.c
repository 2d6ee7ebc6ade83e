/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relay whose near side has a device that places, and which sends the stream
 * on in every way that there is, while anybody may break off:
 *
 *	source --- bad cable --- near | relay | far --- bad cable --- sink
 *
 *	post   -> placed -> the block is lent on    -> posted again
 *	borrow -> half of it is copied and returned
 *	       -> half of it is passed on
 *
 * The same memory is a device's on both sides in turn. What arrives is the
 * stream, byte by byte; a block that is lent keeps its bytes until the loan
 * ends, and nothing outside of what is posted is written; each post and loan
 * ends once, also when the sink resets while bytes are in flight to it, or the
 * source while they come. When all is over every stack has all of its buffers.
 * SEEDS in the environment plays more than the few of a check.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include "dev/dice.h"
#include "stack/stack_private.h"
#include "test.h"

#define SEEDS_USUAL 100
#define BYTES	    400000u
#define BLOCKS	    6u
#define BLOCK_BYTES 24000u
#define CANARIES    64u
#define CANARY	    0xb7
#define OURS	    0x3e /* in memory that was taken back by closing */
#define PORT	    9
#define FAULT_PPM   20000
#define STEP_US	    500u
#define STEPS_MAX   4000000u

enum breaker { NOBODY, SINK, SOURCE, BREAKERS };
enum state { IDLE, POSTED, READY, LENT, TAKEN_BACK };
enum node_name { AT_SOURCE, AT_RELAY, AT_SINK, NODES };

struct node {
	struct tow_stack *stack;
	struct tow_dev *dev;
	struct tow_addr addr;
	void *memory;
};

struct block {
	uint8_t memory[CANARIES + BLOCK_BYTES + CANARIES];
	enum state state;
	size_t bytes;	    /* posted; then filled */
	uint64_t stream_at; /* of its first byte */
};

static struct tow_sim *sim;
static struct node nodes[NODES];
static struct dice dice;
static uint8_t stream[BYTES];
static struct tow_listener *relay_door, *sink_door;
static struct tow_tcp *out, *near, *far, *in; /* NULL: not yet, or closed */

static enum breaker breaker;
static uint64_t break_at; /* so many bytes have arrived at the sink */
static uint64_t arrived, sent_on;
static bool sent_back, relay_ended, sink_ended;

/* The relay. */
static struct block blocks[BLOCKS];
static unsigned post_next, ready_next; /* blocks go round in order */
static unsigned posts_out, loans_out;
static bool posts_on, eof;
static bool connected; /* the far side: a close before ends it */
static struct tow_span held[TOW_SPANS_MAX];
static unsigned held_count;

static struct {
	uint64_t placed, lent, returned, passed;
	unsigned resets, resets_in_flight, whole;
} all;

/* --- the network */

static uint32_t chance(void)
{
	return dice_hit(&dice, 500000) ? (uint32_t)dice_up_to(&dice, FAULT_PPM)
				       : 0;
}

static void open_node(unsigned number, int segment)
{
	struct node *node = &nodes[number];
	struct tow_sim_port port;
	struct tow_config cfg;
	size_t need;

	tow_config_default(&cfg);
	cfg.tcp_max = 8;
	cfg.chunk_bytes = 2048;
	cfg.rx_chunks = cfg.rx_bufs = cfg.tx_chunks = cfg.tx_bufs = 1024;
	memset(cfg.secret, (int)number + 1, sizeof(cfg.secret));
	need = (tow_need(&cfg) + 63) / 64 * 64;
	node->memory = aligned_alloc(64, need);
	CHECK_EQ(tow_open(&node->stack, &cfg, node->memory, need), 0);
	tow_sim_port_default(&port);
	port.caps = (uint32_t)dice_throw(&dice) &
		    (TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM | TOW_DEV_TSO4 |
		     TOW_DEV_LRO | TOW_DEV_SPLIT | TOW_DEV_ASYNC_TX);
	if (port.caps & TOW_DEV_LRO)
		port.caps |= TOW_DEV_RX_CSUM;
	if (number == AT_RELAY)
		port.caps |= TOW_DEV_PLACE | TOW_DEV_SPLIT;
	port.gso_bytes_max = 30000;
	port.complete_us = 300;
	port.up.delay_us = 100;
	port.up.loss_ppm = chance();
	port.up.reorder_ppm = chance();
	port.up.reorder_us = 500;
	port.up.duplicate_ppm = chance();
	CHECK_EQ(tow_sim_port_open(sim, segment, &port, &node->dev), 0);
	CHECK_GE(tow_attach(node->stack, node->dev), 0);
	node->addr = tow_addr_v4(10, 0, 0, (uint8_t)(number + 1));
	CHECK_EQ(tow_addr_add(node->stack, 0, &node->addr, 24), 0);
	CHECK_EQ(tow_sim_add(sim, node->stack), 0);
}

static void set_up(uint64_t seed)
{
	struct tow_endpoint any = { .port = PORT };
	struct tow_endpoint to = { .port = PORT };
	struct tow_span loan = { stream, BYTES };
	int segment;

	dice.state = dice_mix(seed + 4711);
	CHECK_EQ(tow_sim_open(&sim, seed), 0);
	segment = tow_sim_segment(sim);
	for (unsigned i = 0; i < NODES; i++)
		open_node(i, segment);
	to.addr = nodes[AT_RELAY].addr;
	breaker = (enum breaker)dice_up_to(&dice, BREAKERS - 1);
	break_at = dice_range(&dice, 1, BYTES * 9 / 10);
	memset(blocks, CANARY, sizeof(blocks));
	for (unsigned i = 0; i < BLOCKS; i++)
		blocks[i].state = IDLE;
	arrived = sent_on = 0;
	post_next = ready_next = posts_out = loans_out = held_count = 0;
	sent_back = relay_ended = sink_ended = eof = connected = false;
	posts_on = true;
	near = far = in = NULL;
	CHECK_EQ(tow_tcp_listen(nodes[AT_RELAY].stack, &any, 1, &relay_door),
		 0);
	CHECK_EQ(tow_tcp_listen(nodes[AT_SINK].stack, &any, 1, &sink_door), 0);
	CHECK_EQ(tow_tcp_connect(nodes[AT_SOURCE].stack, NULL, &to, &out), 0);
	CHECK_EQ(tow_tcp_lend(out, &loan, 1, 1, 0), 0);
	CHECK_EQ(tow_tcp_shutdown(out), 0);
}

/* --- the relay: blocks */

static uint8_t *memory_of(struct block *block)
{
	return block->memory + CANARIES;
}

static void check_canaries(const struct block *block)
{
	const uint8_t *behind = block->memory + CANARIES + BLOCK_BYTES;

	for (unsigned i = 0; i < CANARIES; i++) {
		CHECK_EQ(block->memory[i], CANARY);
		CHECK_EQ(behind[i], CANARY);
	}
}

/* Memory that was posted is ours when the handle is closed: it stays as is. */
static void take_memory_back(void)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		if (blocks[i].state != POSTED)
			continue;
		blocks[i].state = TAKEN_BACK;
		memset(memory_of(&blocks[i]), OURS, BLOCK_BYTES);
	}
}

static void end_relay(bool hard)
{
	void (*end)(struct tow_tcp *) = hard ? tow_tcp_abort : tow_tcp_close;

	if (near)
		end(near);
	if (far)
		end(far);
	near = far = NULL;
	held_count = 0;
	relay_ended = true;
	take_memory_back();
}

static bool is_in_flight(void)
{
	return posts_out + loans_out + held_count > 0;
}

/* One of the two broke: the other is told by a reset, or a FIN. */
static void leg_failed(void)
{
	CHECK_NE(breaker, NOBODY);
	if (relay_ended)
		return;
	all.resets++;
	all.resets_in_flight += is_in_flight();
	end_relay(dice_hit(&dice, 700000));
}

static void post_blocks(void)
{
	while (near && posts_on && !eof && blocks[post_next].state == IDLE) {
		struct block *block = &blocks[post_next];
		struct tow_span span = { memory_of(block), 0 };
		int error;

		span.len = dice_range(&dice, 1, BLOCK_BYTES);
		error = tow_tcp_post(near, &span, post_next);
		if (error == TOW_EBUSY)
			return; /* what is on loan comes first */
		if (error) {
			leg_failed();
			return;
		}
		block->state = POSTED;
		block->bytes = span.len;
		posts_out++;
		post_next = (post_next + 1) % BLOCKS;
	}
}

static void post_event(const struct tow_event *event)
{
	struct block *block = &blocks[event->token];
	bool is_short = event->bytes < block->bytes;

	posts_out--;
	check_canaries(block);
	if (block->state == TAKEN_BACK) {
		for (unsigned i = 0; i < BLOCK_BYTES; i++)
			CHECK_EQ(memory_of(block)[i], OURS);
		block->state = IDLE;
		return;
	}
	CHECK_EQ(block->state, POSTED);
	CHECK_LE(event->bytes, block->bytes);
	block->state = READY;
	block->bytes = event->bytes;
	all.placed += event->placed_bytes;
	eof |= is_short && event->status == 0;
	if (event->status && event->status != TOW_ECONNABORTED)
		leg_failed();
}

/* In the order of posting. Returns: false when the far side takes no more. */
static bool lend_ready(void)
{
	while (far && blocks[ready_next].state == READY) {
		struct block *block = &blocks[ready_next];
		struct tow_span span = { memory_of(block), block->bytes };
		int error = 0;

		CHECK_LE(sent_on + block->bytes, BYTES);
		CHECK_MEM(span.ptr, stream + sent_on, block->bytes);
		if (block->bytes)
			error = tow_tcp_lend(far, &span, 1, ready_next, 0);
		if (error == TOW_EAGAIN)
			return false;
		if (error) {
			leg_failed();
			return false;
		}
		block->state = block->bytes ? LENT : IDLE;
		loans_out += block->bytes > 0;
		block->stream_at = sent_on;
		sent_on += block->bytes;
		all.lent += block->bytes;
		ready_next = (ready_next + 1) % BLOCKS;
	}
	return true;
}

static void loan_event(const struct tow_event *event)
{
	struct block *block = &blocks[event->token];

	CHECK_EQ(block->state, LENT);
	CHECK(event->status == 0 || breaker != NOBODY);
	CHECK_MEM(memory_of(block), stream + block->stream_at, block->bytes);
	check_canaries(block);
	block->state = IDLE;
	loans_out--;
}

/* --- the relay: what is borrowed */

static void borrow_some(void)
{
	int n = tow_tcp_borrow(near, held,
			       (int)dice_range(&dice, 1, TOW_SPANS_MAX));

	if (n == 0)
		eof = true;
	else if (n < 0 && n != TOW_EAGAIN && n != TOW_EBUSY)
		leg_failed();
	else if (n > 0)
		held_count = (unsigned)n;
}

static void drop_held(size_t bytes)
{
	unsigned gone = 0;

	sent_on += bytes;
	while (bytes) {
		struct tow_span *span = &held[gone];
		size_t n = bytes < span->len ? bytes : span->len;

		span->ptr = (const uint8_t *)span->ptr + n;
		span->len -= n;
		bytes -= n;
		gone += span->len == 0;
	}
	held_count -= gone;
	memmove(held, held + gone, held_count * sizeof(held[0]));
}

/* Half of it is copied and returned, the other half passed. */
static bool move_held(void)
{
	size_t bytes = (held[0].len + 1) / 2;
	bool pass = dice_hit(&dice, 500000);
	int64_t n;

	CHECK_MEM(held[0].ptr, stream + sent_on, held[0].len);
	n = pass ? tow_tcp_pass(far, near, bytes, 0)
		 : tow_tcp_send(far, held[0].ptr, bytes, 0);
	if (n == TOW_EAGAIN)
		return false;
	if (n < 0) {
		leg_failed();
		return false;
	}
	if (!pass)
		tow_tcp_return(near, (size_t)n);
	*(pass ? &all.passed : &all.returned) += (uint64_t)n;
	drop_held((size_t)n);
	return true;
}

static void act_borrowing(void)
{
	for (unsigned i = 0; i < 8 && near && far; i++) {
		if (!held_count && !eof)
			borrow_some();
		if (!held_count || !far || !move_held())
			return;
	}
}

static void act_relay(void)
{
	if (!near || !far || !lend_ready())
		return;
	if (dice_hit(&dice, 50000)) {
		posts_on = !posts_on;
		if (!posts_on && dice_hit(&dice, 500000))
			tow_tcp_unpost(near);
	}
	if (posts_on && !held_count)
		post_blocks();
	else if (!posts_out && blocks[ready_next].state != READY)
		act_borrowing();
	if (far && connected && eof && !posts_out && !held_count &&
	    blocks[ready_next].state != READY) {
		CHECK_EQ(sent_on, BYTES);
		end_relay(false);
	}
}

/* --- the ends */

static void act_sink(void)
{
	static uint8_t got[50000];
	int64_t n = TOW_EAGAIN;

	while (in && (n = tow_tcp_recv(in, got, sizeof(got))) > 0) {
		CHECK_LE(arrived + (uint64_t)n, BYTES);
		CHECK_MEM(got, stream + arrived, (size_t)n);
		arrived += (uint64_t)n;
		if (breaker == SINK && arrived >= break_at) {
			tow_tcp_abort(in);
			in = NULL;
			sink_ended = true;
		}
	}
	if (!in || n == TOW_EAGAIN)
		return;
	CHECK(n == 0 || breaker != NOBODY);
	CHECK(breaker != NOBODY || arrived == BYTES);
	all.whole += arrived == BYTES;
	tow_tcp_close(in);
	in = NULL;
	sink_ended = true;
}

static void act_source(void)
{
	if (out && breaker == SOURCE && arrived >= break_at) {
		tow_tcp_abort(out);
		out = NULL;
	}
	if (out && sent_back) {
		tow_tcp_close(out);
		out = NULL;
	}
}

/* --- events */

static void connect_far(void)
{
	struct tow_endpoint to = { nodes[AT_SINK].addr, PORT, 0 };

	CHECK_EQ(tow_tcp_accept(relay_door, &near), 0);
	CHECK_EQ(tow_tcp_connect(nodes[AT_RELAY].stack, NULL, &to, &far), 0);
}

static void relay_event(const struct tow_event *event)
{
	if (event->type == TOW_EVENT_ACCEPT)
		connect_far();
	else if (event->type == TOW_EVENT_CONNECTED)
		connected = true;
	else if (event->type == TOW_EVENT_POST)
		post_event(event);
	else if (event->type == TOW_EVENT_LOAN)
		loan_event(event);
	else if (event->type == TOW_EVENT_CLOSED && event->status)
		leg_failed();
}

static void end_event(unsigned node, const struct tow_event *event)
{
	if (event->type == TOW_EVENT_ACCEPT)
		CHECK_EQ(tow_tcp_accept(sink_door, &in), 0);
	if (event->type == TOW_EVENT_LOAN) {
		CHECK_EQ(node, AT_SOURCE);
		CHECK(!sent_back);
		sent_back = true;
	}
}

static void take_events(void)
{
	struct tow_event event;

	for (unsigned i = 0; i < NODES; i++) {
		while (tow_events(nodes[i].stack, &event, 1) == 1) {
			if (i == AT_RELAY)
				relay_event(&event);
			else
				end_event(i, &event);
		}
	}
}

/* --- the end */

static bool pool_is_full(const struct tow_pool *pool, uint32_t elsewhere)
{
	return pool->bufs_left + elsewhere == pool->bufs_total &&
	       pool->chunks_left == pool->chunks_total;
}

static bool all_is_back(void)
{
	for (unsigned i = 0; i < NODES; i++) {
		const struct net *net = &nodes[i].stack->net;
		uint32_t spare = tow_sim_stats(nodes[i].dev)->spare;

		if (!tow_idle(nodes[i].stack) ||
		    !pool_is_full(&net->rx_pool, spare) ||
		    !pool_is_full(&net->tx_pool, 0))
			return false;
	}
	return !posts_out && !loans_out && sent_back;
}

static bool is_over(void)
{
	return relay_ended && !out && !in && (sink_ended || breaker != NOBODY);
}

static void tear_down(void)
{
	const struct tow_sim_stats *port = tow_sim_stats(nodes[AT_RELAY].dev);

	CHECK_EQ(port->fates[TOW_SIM_VIOLATION], 0);
	for (unsigned i = 0; i < NODES; i++) {
		tow_sim_remove(sim, nodes[i].stack);
		tow_close(nodes[i].stack);
		free(nodes[i].memory);
	}
	tow_sim_close(sim);
}

static void say_stuck(uint64_t seed)
{
	printf("# seed %llu is stuck: breaker %d at %llu, arrived %llu, sent "
	       "on %llu, posts %u, loans %u, held %u, ends %d %d %d %d, %d\n",
	       (unsigned long long)seed, breaker, (unsigned long long)break_at,
	       (unsigned long long)arrived, (unsigned long long)sent_on,
	       posts_out, loans_out, held_count, !!out, !!near, !!far, !!in,
	       all_is_back());
	for (unsigned i = 0; i < BLOCKS; i++)
		printf("# block %u: %d, %zu bytes\n", i, blocks[i].state,
		       blocks[i].bytes);
}

static void play(uint64_t seed)
{
	unsigned steps = 0;

	set_up(seed);
	for (; !is_over() || !all_is_back(); steps++) {
		if (steps == STEPS_MAX)
			say_stuck(seed);
		CHECK_LT(steps, STEPS_MAX);
		(void)tow_sim_step(sim, tow_sim_now(sim) + STEP_US);
		take_events();
		act_relay();
		act_sink();
		act_source();
	}
	tear_down();
}

TEST(placed_lent_on_passed_returned_and_broken_off)
{
	const char *more = getenv("SEEDS");
	uint64_t seeds = more ? strtoull(more, NULL, 10) : SEEDS_USUAL;

	for (uint64_t i = 0; i < BYTES; i++)
		stream[i] = (uint8_t)(i * 31 + i / 251);
	for (uint64_t seed = 1; seed <= seeds; seed++)
		play(seed);
	printf("# placed %llu, lent on %llu, returned %llu, passed %llu; %u of "
	       "%u resets in flight, %u whole\n",
	       (unsigned long long)all.placed, (unsigned long long)all.lent,
	       (unsigned long long)all.returned, (unsigned long long)all.passed,
	       all.resets_in_flight, all.resets, all.whole);
	CHECK_GT(all.placed, all.lent / 2);
	CHECK_GT(all.returned, seeds * 10000);
	CHECK_GT(all.passed, seeds * 10000);
	CHECK_GT(all.resets_in_flight, seeds / 4);
	CHECK_GT(all.whole, seeds / 4);
}
