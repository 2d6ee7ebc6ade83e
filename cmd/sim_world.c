/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One scenario, from its seed to its verdict.
 *
 * Theory of operation: the seed's dice say how many stacks there are, what
 * their memory, devices and wires are like, and which programs run on them.
 * Then the simulator steps, events go to the programs, programs act, until all
 * of them are done. After that the stacks are left alone: their connections
 * have to run out by themselves, every loan has to come home, and every
 * buffer has to lie in its pool. Last, the books: what programs handed over
 * and took is what the ledgers say.
 *
 * Each scenario begins with the same bytes in the stacks' memory, so that one
 * repeats alone as it ran among others.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "sim_world.h"
#include "stack/stack_private.h"
#include "udp/udp_private.h"

#define RUN_US_MAX    7200000000u /* of virtual time for the programs */
#define DRAIN_US_MAX  7200000000u /* and for the stacks afterwards */
#define STILL_MAX     200000u	  /* steps without a tick of the clock */
#define IPV6_MTU_MIN  1280u	  /* RFC 8200 5 */
#define EVENTS	      64
#define MEMORY_BEGINS 0xa5

void world_fail(struct world *world, const char *format, ...)
{
	va_list args;

	if (world->failed)
		return;
	world->failed = true;
	va_start(args, format);
	vsnprintf(world->failure, sizeof(world->failure), format, args);
	va_end(args);
}

struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));

	if (world)
		signing_open(world);
	return world;
}

void world_free(struct world *world)
{
	for (unsigned i = 0; i < NODES_MAX; i++)
		free(world->nodes[i].memory);
	signing_close(world);
	free(world);
}

/* Building. */

static uint32_t draw_mtu(struct world *world)
{
	static const uint32_t usual[] = { 1500, 1500, 1500, 1280, 576, 9000 };

	if (dice_hit(&world->dice, 200000))
		return (uint32_t)dice_range(&world->dice, 576, 9000);
	return usual[dice_up_to(&world->dice, LENGTH(usual) - 1)];
}

static void plan(struct world *world, const struct profile *profile)
{
	struct dice *dice = &world->dice;

	world->profile = profile_pick(profile, dice);
	world->node_count = (unsigned)dice_range(dice, 2, NODES_MAX);
	world->flow_count =
		(unsigned)dice_scale(dice, 1, world->profile->flows_max);
	if (dice_hit(dice, 300000))
		world->datagrams_count =
			(unsigned)dice_range(dice, 1, DATAGRAMS_MAX);
	world->mtu = draw_mtu(world);
	weather_plan(world);
	signing_plan(world);
	world->attack_us = world->profile->attacked ? 0 : NEVER;
	world->abrupt_us = NEVER;
	if (dice_hit(dice, 20000))
		world->abrupt_us = dice_scale(dice, 1, 1000000);
}

static bool take_memory(struct node *node)
{
	size_t need = tow_need(&node->cfg);
	size_t whole = (need + 65535) / 65536 * 65536;

	if (need && whole > node->memory_bytes) {
		free(node->memory);
		node->memory = aligned_alloc(65536, whole);
		node->memory_bytes = node->memory ? whole : 0;
	}
	if (!need || !node->memory)
		return false;
	memset(node->memory, MEMORY_BEGINS, need);
	return true;
}

static void set_addresses(struct world *world, struct node *node, unsigned i)
{
	uint8_t v6[16] = { 0xfd, 0 };

	v6[15] = (uint8_t)(i + 1);
	node->addr[0] = tow_addr_v4(10, 0, 0, (uint8_t)(i + 1));
	node->addr[1] = tow_addr_v6(v6);
	if (tow_addr_add(node->stack, 0, &node->addr[0], 24) < 0)
		world_fail(world, "an IPv4 address was refused");
	if (world->mtu >= IPV6_MTU_MIN &&
	    tow_addr_add(node->stack, 0, &node->addr[1], 64) < 0)
		world_fail(world, "an IPv6 address was refused");
}

static void plan_vanishing(struct world *world, struct node *node)
{
	struct dice *dice = &world->dice;

	node->vanish_us = NEVER;
	if (!world->profile->vanishes || !dice_hit(dice, 500000))
		return;
	node->vanish_us = dice_scale(dice, 1, 3000000);
	if (tow_sim_vanish(node->dev, node->vanish_us) < 0)
		world_fail(world, "no memory");
}

static void node_open(struct world *world, struct node *node, unsigned i,
		      int segment)
{
	int result;

	profile_config(world, &node->cfg);
	signing_config(world, &node->cfg);
	profile_port(world, &node->how);
	node->box_breaks = world->profile->boxed &&
			   dice_hit(&world->dice, 700000) &&
			   box_draw(world, &node->how.box);
	if (!take_memory(node)) {
		world_fail(world, "a configuration was refused");
		return;
	}
	result = tow_open(&node->stack, &node->cfg, node->memory,
			  tow_need(&node->cfg));
	if (result < 0) {
		world_fail(world, "tow_open: %s", tow_strerror(result));
		return;
	}
	node->opened = true;
	if (tow_sim_port_open(world->sim, segment, &node->how, &node->dev) <
		    0 ||
	    tow_attach(node->stack, node->dev) < 0 ||
	    tow_sim_add(world->sim, node->stack) < 0) {
		world_fail(world, "a device was refused");
		return;
	}
	set_addresses(world, node, i);
	plan_vanishing(world, node);
}

static void node_listen(struct world *world, struct node *node)
{
	struct tow_endpoint local = { .port = SERVER_PORT };
	int backlog = listener_draw_backlog(world, node);
	int result;

	result = tow_tcp_listen(node->stack, &local, backlog, &node->listener);
	if (result == 0) {
		local.port = RELAY_PORT;
		result = tow_tcp_listen(node->stack, &local, backlog,
					&node->relays);
	}
	if (result == 0 && world->signing.wanted) {
		local.port = SIGNED_PORT;
		result = tow_tcp_listen(node->stack, &local, backlog,
					&node->signer);
		if (result == 0)
			result = signing_listen(world, node->signer);
	}
	if (result < 0) {
		world_fail(world, "listen: %s", tow_strerror(result));
		return;
	}
	listener_set_options(world, node->listener);
	listener_set_options(world, node->relays);
}

static bool build(struct world *world)
{
	int segment;

	if (tow_sim_open(&world->sim, dice_throw(&world->dice)) < 0)
		return false;
	if (world->capture && tow_sim_capture(world->sim, world->capture) < 0)
		world_fail(world, "cannot write %s", world->capture);
	segment = tow_sim_segment(world->sim);
	for (unsigned i = 0; i < world->node_count && !world->failed; i++)
		node_open(world, &world->nodes[i], i, segment);
	for (unsigned i = 0; i < world->node_count && !world->failed; i++)
		node_listen(world, &world->nodes[i]);
	for (unsigned i = 0; i < world->flow_count; i++)
		flow_plan(world, &world->flows[i], i);
	for (unsigned i = 0; i < world->datagrams_count; i++)
		datagrams_plan(world, &world->datagrams[i], i);
	if (!world->failed)
		parties_plan(world);
	sleeper_plan(world);
	return !world->failed;
}

/* Events. */

static void device_event(struct world *world, struct node *node)
{
	if (node->gone || world_now(world) < node->vanish_us)
		world_fail(world, "a device is said to be gone, but is not");
	node->gone = true;
}

static void subject_event(struct world *world, const struct tow_event *event)
{
	enum subject *subject = event->user;

	if (!subject)
		world_fail(world, "event %d for a handle that nobody has",
			   (int)event->type);
	else if (*subject == SUBJECT_END)
		end_event(event->user, event);
	else if (*subject == SUBJECT_LEG)
		leg_event(event->user, event);
	else if (*subject == SUBJECT_FERRY)
		ferry_event(event->user, event);
	else
		datagrams_event(event->user, event);
}

static void node_event(struct world *world, struct node *node,
		       const struct tow_event *event)
{
	switch (event->type) {
	case TOW_EVENT_LOAN:
		loan_returned(world, node, event->token, event->status);
		break;
	case TOW_EVENT_ACCEPT:
		flow_accept(world, node, event->object);
		break;
	case TOW_EVENT_DEVICE:
		device_event(world, node);
		break;
	default:
		subject_event(world, event);
	}
}

static void take_events(struct world *world)
{
	struct tow_event events[EVENTS];

	for (unsigned i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];
		int n;

		do {
			n = tow_events(node->stack, events, EVENTS);
			for (int j = 0; j < n && !world->failed; j++)
				node_event(world, node, &events[j]);
		} while (n == EVENTS && !world->failed);
	}
}

/* Running. */

/* Returns: when somebody wants to act next; NEVER: all are done. */
static uint64_t act(struct world *world)
{
	uint64_t now_us = world_now(world), next_us = NEVER;
	uint64_t party_us = parties_act(world);

	for (unsigned i = 0; i < world->flow_count; i++) {
		struct flow *flow = &world->flows[i];

		if (!flow->done && (flow->stirred || flow->next_us <= now_us))
			flow_act(flow);
		if (!flow->done && flow->next_us < next_us)
			next_us = flow->next_us;
	}
	for (unsigned i = 0; i < world->datagrams_count; i++) {
		struct datagrams *flow = &world->datagrams[i];

		if (!flow->done && flow->next_us <= now_us)
			datagrams_act(flow);
		if (!flow->done && flow->next_us < next_us)
			next_us = flow->next_us;
	}
	return next_us == NEVER ? NEVER : MIN(next_us, party_us);
}

/* A step of the network, and what follows from it. */
static void step(struct world *world, uint64_t until_us, uint32_t *still)
{
	uint64_t before_us = world_now(world);

	tow_sim_step(world->sim, MIN(until_us, weather_next(world)));
	world->polls++;
	take_events(world);
	world->tally->steps++;
	weather_act(world);
	*still = world_now(world) > before_us ? 0 : *still + 1;
	if (*still > STILL_MAX)
		world_fail(world, "time stands still: there is work without "
				  "end");
}

static void run(struct world *world)
{
	uint64_t next_us;
	uint32_t still = 0;

	while (!world->failed && world_now(world) < world->abrupt_us) {
		next_us = act(world);
		if (world->failed || next_us == NEVER)
			return;
		attacker_act(world);
		next_us = MIN(next_us, world->attack_us);
		step(world, next_us, &still);
		if (world_now(world) > RUN_US_MAX)
			world_fail(world, "programs did not come to an end");
	}
}

/* Checks. */

static bool pool_is_full(const struct tow_pool *pool, uint32_t elsewhere)
{
	return pool->bufs_left + elsewhere == pool->bufs_total &&
	       pool->chunks_left == pool->chunks_total;
}

/* Packets may wait for a next hop that does not answer. */
static bool pools_are_full(const struct node *node)
{
	const struct net *net = &node->stack->net;

	return pool_is_full(&net->rx_pool, tow_sim_stats(node->dev)->spare) &&
	       pool_is_full(&net->tx_pool, 0);
}

static bool all_idle(const struct world *world)
{
	for (unsigned i = 0; i < world->node_count; i++) {
		const struct tow_sim_stats *port =
			tow_sim_stats(world->nodes[i].dev);

		if (!tow_idle(world->nodes[i].stack) ||
		    !pools_are_full(&world->nodes[i]) ||
		    port->held != port->spare)
			return false;
	}
	return world->loans_out == 0 && world->posts_out == 0;
}

static void check_pool(struct world *world, unsigned number, const char *name,
		       const struct tow_pool *pool, uint32_t elsewhere)
{
	if (pool->bufs_left + elsewhere != pool->bufs_total)
		world_fail(world,
			   "stack %u: %s pool has %u of %u buffers, "
			   "%u are with the device",
			   number, name, pool->bufs_left, pool->bufs_total,
			   elsewhere);
	if (pool->chunks_left != pool->chunks_total)
		world_fail(world, "stack %u: %s pool has %u of %u chunks",
			   number, name, pool->chunks_left, pool->chunks_total);
}

static void check_memory(struct world *world, unsigned number)
{
	const struct node *node = &world->nodes[number];
	const struct tow_stack *stack = node->stack;

	check_pool(world, number, "receive", &stack->net.rx_pool,
		   tow_sim_stats(node->dev)->spare);
	check_pool(world, number, "transmit", &stack->net.tx_pool, 0);
	if (stack->tcp.loans_live || stack->tcp.sents_live ||
	    stack->tcp.connections_live)
		world_fail(world,
			   "stack %u: %u loans, %u segments and %u "
			   "connections are not free",
			   number, stack->tcp.loans_live, stack->tcp.sents_live,
			   stack->tcp.connections_live);
	if (stack->udp.private->loans_out || stack->net.govern.lent)
		world_fail(world,
			   "stack %u: %u loans of datagrams are not free, and "
			   "%llu bytes are on loan to programs",
			   number, stack->udp.private->loans_out,
			   (unsigned long long)stack->net.govern.lent);
}

static void say_who_is_left(struct world *world)
{
	for (unsigned i = 0; i < world->node_count; i++)
		if (!tow_idle(world->nodes[i].stack))
			world_fail(world,
				   "stack %u is not idle after %llu s, with "
				   "nobody using it",
				   i,
				   (unsigned long long)DRAIN_US_MAX / 1000000);
	if (world->loans_out)
		world_fail(world, "%u loans never came back", world->loans_out);
	if (world->posts_out)
		world_fail(world, "%u posts never came back", world->posts_out);
	for (unsigned i = 0; i < world->node_count; i++)
		check_memory(world, i);
	world_fail(world, "a device holds on to buffers");
}

/* Connections run out, loans come home, without anybody's help. */
static void drain(struct world *world)
{
	uint64_t end_us = world_now(world) + DRAIN_US_MAX;
	uint32_t still = 0;

	do {
		if (world_now(world) >= end_us)
			say_who_is_left(world);
		else
			step(world, end_us, &still);
	} while (!world->failed && !all_idle(world));
}

/* Of memory to send from. */
static bool was_short(const struct node *node)
{
	const uint64_t *counters = tow_stats(node->stack)->counters;

	return counters[TOW_COUNTER_NO_TX_BUFFERS] ||
	       counters[TOW_COUNTER_NO_LOANS];
}

static void check_ledger(struct world *world, unsigned number)
{
	const struct node *node = &world->nodes[number];
	const struct tow_ledger *ledger = &tow_stats(node->stack)->ledger;
	uint64_t tx = ledger->tx_lent_bytes + ledger->passed_bytes;
	uint64_t twice = 0;

	for (unsigned i = 0; i < TOW_COPY_RX_FIRST; i++)
		tx += ledger->copied_bytes[i];
	/* Lent, and then cut into fragments for a path that shrank. */
	if (weather_shrinks(world))
		twice = ledger->copied_bytes[TOW_COPY_TX_SHAPE];
	/* Out of memory, a message may have been copied in vain. */
	if (tx < node->accepted_bytes ||
	    (tx > node->accepted_bytes + twice && !was_short(node)))
		world_fail(world,
			   "stack %u: the ledger has %llu bytes sent, "
			   "programs %llu",
			   number, (unsigned long long)tx,
			   (unsigned long long)node->accepted_bytes);
	if (ledger->copied_bytes[TOW_COPY_RX_RECV] != node->copied_out_bytes)
		world_fail(world,
			   "stack %u: the ledger has %llu bytes copied "
			   "out, programs %llu",
			   number,
			   (unsigned long long)
				   ledger->copied_bytes[TOW_COPY_RX_RECV],
			   (unsigned long long)node->copied_out_bytes);
	if (ledger->rx_placed_bytes < node->placed_bytes)
		world_fail(world,
			   "stack %u: the ledger has %llu bytes placed, events "
			   "%llu",
			   number, (unsigned long long)ledger->rx_placed_bytes,
			   (unsigned long long)node->placed_bytes);
	if (ledger->rx_lent_bytes < node->returned_bytes ||
	    ledger->rx_lent_bytes > node->borrowed_bytes)
		world_fail(world,
			   "stack %u: the ledger has %llu bytes lent, "
			   "programs borrowed %llu, returned %llu",
			   number, (unsigned long long)ledger->rx_lent_bytes,
			   (unsigned long long)node->borrowed_bytes,
			   (unsigned long long)node->returned_bytes);
}

static void check_contract(struct world *world, unsigned number)
{
	const struct tow_sim_stats *port =
		tow_sim_stats(world->nodes[number].dev);

	if (port->violation)
		world_fail(world, "stack %u gave its device %s (%llu times)",
			   number, port->violation,
			   (unsigned long long)port->fates[TOW_SIM_VIOLATION]);
}

static uint64_t counter_sum(const struct world *world, enum tow_counter counter)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < world->node_count; i++)
		sum += tow_stats(world->nodes[i].stack)->counters[counter];
	return sum;
}

static uint64_t fate_sum(const struct world *world, enum tow_sim_fate fate)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < world->node_count; i++)
		sum += tow_sim_stats(world->nodes[i].dev)->fates[fate];
	return sum;
}

static uint64_t drop_sum(const struct world *world, enum tow_drop drop)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < world->node_count; i++)
		sum += tow_stats(world->nodes[i].stack)->drops[drop];
	return sum;
}

/* Where nothing is lost and nothing runs short, nothing is sent again. */
static void check_perfection(struct world *world)
{
	uint64_t resent = counter_sum(world, TOW_COUNTER_TCP_RETRANS_SEGS);
	uint64_t timeouts = counter_sum(world, TOW_COUNTER_TCP_RTO);
	uint64_t recoveries = counter_sum(world, TOW_COUNTER_TCP_FAST_RECOVERY);
	uint64_t allowed;

	/* What probes a closed window may have to be sent again. */
	allowed = counter_sum(world, TOW_COUNTER_TCP_PROBES);
	/* RFC 8985 7.2: and for silence, which may be that of a delayed ACK. */
	allowed += counter_sum(world, TOW_COUNTER_TCP_TAIL_PROBES);
	/* RFC 9293 3.5: two SYNs that cross are each sent again with an ACK. */
	for (unsigned i = 0; i < world->flow_count; i++)
		allowed += world->flows[i].both_connect ? 2 : 0;
	if (!world->profile->perfect || fate_sum(world, TOW_SIM_TRUNCATED) ||
	    counter_sum(world, TOW_COUNTER_NO_RX_BUFFERS) ||
	    counter_sum(world, TOW_COUNTER_NO_TX_BUFFERS) ||
	    counter_sum(world, TOW_COUNTER_NO_SEGMENTS) ||
	    drop_sum(world, TOW_DROP_NEIGH_FULL) ||
	    drop_sum(world, TOW_DROP_DEV_FULL) ||
	    drop_sum(world, TOW_DROP_TCP_BACKLOG) ||
	    drop_sum(world, TOW_DROP_NO_BUFFERS))
		return;
	if (resent > allowed || timeouts || recoveries)
		world_fail(world,
			   "%llu segments were sent again, %llu timers "
			   "expired, %llu recoveries, but nothing was lost",
			   (unsigned long long)resent,
			   (unsigned long long)timeouts,
			   (unsigned long long)recoveries);
}

/* Design rule 8: no drop without a counter. */
static void check_datagrams(struct world *world)
{
	uint64_t dropped = fate_sum(world, TOW_SIM_TRUNCATED);

	if (!world->profile->perfect)
		return;
	for (unsigned i = 0; i < TOW_DROP_REASONS; i++)
		dropped += drop_sum(world, (enum tow_drop)i);
	for (unsigned i = 0; i < world->datagrams_count && !dropped; i++)
		if (!world->datagrams[i].cut &&
		    world->datagrams[i].got != world->datagrams[i].sent)
			world_fail(world,
				   "datagrams %u: %u of %u arrived, "
				   "but no drop was counted",
				   i, world->datagrams[i].got,
				   world->datagrams[i].sent);
}

static void check(struct world *world)
{
	parties_check(world);
	for (unsigned i = 0; i < world->node_count; i++) {
		check_contract(world, i);
		check_memory(world, i);
		check_ledger(world, i);
	}
	check_perfection(world);
	check_datagrams(world);
}

/* The end. */

static void add_to_tally(struct world *world)
{
	struct tally *tally = world->tally;

	for (unsigned i = 0; i < world->flow_count; i++) {
		const struct flow *flow = &world->flows[i];

		tally->connections += flow->started;
		tally->failed_connections += flow->a.error || flow->b.error;
		tally->stream_bytes += flow->a.got_bytes + flow->b.got_bytes;
	}
	for (unsigned i = 0; i < world->datagrams_count; i++)
		tally->datagrams += world->datagrams[i].got;
	for (unsigned i = 0; i < TOW_SIM_FATE_COUNT; i++)
		tally->fates[i] += fate_sum(world, (enum tow_sim_fate)i);
	tally->retransmits += counter_sum(world, TOW_COUNTER_TCP_RETRANS_SEGS);
	tally->timeouts += counter_sum(world, TOW_COUNTER_TCP_RTO);
	tally->fast_recoveries +=
		counter_sum(world, TOW_COUNTER_TCP_FAST_RECOVERY);
	tally->virtual_us += world_now(world);
}

/* What was dropped where: a failure mostly begins with one of these. */
static void report_drops(const struct world *world, FILE *report)
{
	for (unsigned i = 0; i < world->node_count; i++) {
		const struct tow_stats *stats =
			tow_stats(world->nodes[i].stack);
		const char *between = "";

		fprintf(report, "  stack %u dropped:", i + 1);
		for (unsigned r = 0; r < TOW_DROP_REASONS; r++) {
			if (!stats->drops[r])
				continue;
			fprintf(report, "%s %s %llu", between, tow_drop_name(r),
				(unsigned long long)stats->drops[r]);
			between = ",";
		}
		fprintf(report, "%s\n", *between ? "" : " nothing");
	}
}

static void report_state(const struct world *world, FILE *report)
{
	fprintf(report, "  at %llu.%06llu s, profile %s, %u stacks, mtu %u\n",
		(unsigned long long)world_now(world) / 1000000,
		(unsigned long long)world_now(world) % 1000000,
		world->profile->name, world->node_count, world->mtu);
	for (unsigned i = 0; i < world->node_count; i++)
		if (world->nodes[i].dev)
			box_report(tow_sim_box(world->nodes[i].dev), i + 1,
				   report);
	report_drops(world, report);
	for (unsigned i = 0; i < world->flow_count; i++)
		flow_report(&world->flows[i], report);
}

static void take_down(struct world *world)
{
	for (unsigned i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];

		if (!node->opened)
			continue;
		tow_sim_remove(world->sim, node->stack);
		tow_close(node->stack);
	}
	if (world->sim)
		tow_sim_close(world->sim);
	parties_free(world);
	for (unsigned i = 0; i < world->datagrams_count; i++)
		slots_free(&world->datagrams[i]);
	for (unsigned i = 0; i < world->flow_count; i++) {
		posts_free(&world->flows[i].a);
		posts_free(&world->flows[i].b);
	}
	loans_free(world);
}

/* Forget the last scenario, but keep the memory. */
static void reset(struct world *world)
{
	struct signing signing = world->signing;
	void *memory[NODES_MAX];
	size_t bytes[NODES_MAX];

	for (unsigned i = 0; i < NODES_MAX; i++) {
		memory[i] = world->nodes[i].memory;
		bytes[i] = world->nodes[i].memory_bytes;
	}
	memset(world, 0, sizeof(*world));
	world->signing = signing;
	for (unsigned i = 0; i < NODES_MAX; i++) {
		world->nodes[i].memory = memory[i];
		world->nodes[i].memory_bytes = bytes[i];
	}
}

bool world_run(struct world *world, uint64_t seed,
	       const struct profile *profile, const char *capture,
	       struct tally *tally, FILE *report)
{
	reset(world);
	world->seed = seed;
	world->dice.state = dice_mix(seed + 1);
	world->tally = tally;
	world->capture = capture;
	plan(world, profile);
	if (build(world)) {
		run(world);
		if (!world->failed && world_now(world) < world->abrupt_us) {
			drain(world);
			if (!world->failed)
				check(world);
		}
		add_to_tally(world);
		if (world->failed)
			report_state(world, report);
	}
	take_down(world);
	return !world->failed;
}
