/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What becomes of the network while it is used.
 *
 * Theory of operation: a scenario has a few moments at which something changes:
 * packets go another way, slower or faster, and overtake those on the old one;
 * links carry less, and say so or do not; queues begin to mark, links to lose;
 * a link is down for some seconds; a middlebox appears, or goes. Each change is
 * drawn when it comes. An address may go, too: for a while, for good, or to
 * another stack, and connections that had it come to an end, or go on when it
 * is back.
 *
 * A change that breaks TCP, for want of an address or by a box that a
 * connection does not know from its handshake, makes flows of that stack ones
 * that may fail.
 */
#include <tow/autoconf.h>
#include "base/base.h"
#include "sim_world.h"

#define CHANGES_MAX	 4
#define CHANGE_US_MAX	 3000000u /* from one to the next */
#define MTU_US_MAX	 200000u  /* where that is all that changes */
#define DOWN_US_MAX	 10000000u
#define GONE_US_MAX	 30000000u
#define CERTAIN_PPM	 1000000u
#define IPV6_MTU_MIN	 1280u /* RFC 8200 5 */
#define IPV4_MTU_MIN	 576u
#define FIRST_IPV4_BYTES 24 /* the prefixes of sim_world.c */
#define FIRST_IPV6_BYTES 64

static uint32_t mtu_least(const struct world *world)
{
	return world->mtu >= IPV6_MTU_MIN ? IPV6_MTU_MIN : IPV4_MTU_MIN;
}

void weather_plan(struct world *world)
{
	struct weather *weather = &world->weather;
	struct dice *dice = &world->dice;

	weather->next_us = weather->back_us = NEVER;
	if (world->profile->perfect)
		return;
	if (world->profile->weather || world->profile->moves) {
		weather->left = (unsigned)dice_range(dice, 1, CHANGES_MAX);
		weather->next_us = dice_scale(dice, 1, CHANGE_US_MAX);
	} else if (world->mtu != mtu_least(world) && dice_hit(dice, 100000)) {
		weather->left = 1;
		weather->next_us = dice_up_to(dice, MTU_US_MAX);
	}
	weather->shrinks = weather->next_us != NEVER;
	weather->hides_mtu = world->profile->weather && dice_hit(dice, 400000);
}

bool weather_hides_mtu(const struct world *world)
{
	return world->weather.hides_mtu;
}

bool weather_shrinks(const struct world *world)
{
	return world->weather.shrinks;
}

/* Wires. */

static struct node *draw_node(struct world *world)
{
	return &world->nodes[dice_up_to(&world->dice, world->node_count - 1)];
}

static void change_path(struct world *world, struct node *node)
{
	struct tow_sim_wire *wires[] = { tow_sim_wire_up(node->dev),
					 tow_sim_wire_down(node->dev) };
	const struct tow_sim_wire *worst = &world->profile->worst;
	struct dice *dice = &world->dice;

	for (unsigned i = 0; i < LENGTH(wires); i++) {
		wires[i]->path++;
		wires[i]->delay_us =
			(uint32_t)dice_up_to(dice, 2 * worst->delay_us);
		wires[i]->jitter_us =
			(uint32_t)dice_up_to(dice, worst->jitter_us);
		if (wires[i]->bits_per_s)
			wires[i]->bits_per_s =
				dice_scale(dice, world->profile->bits_per_s_min,
					   world->profile->bits_per_s_max);
	}
}

/* All links, or one of them. */
static void change_mtu(struct world *world, struct node *node)
{
	struct dice *dice = &world->dice;
	bool all = dice_hit(dice, 500000);
	uint32_t mtu = (uint32_t)dice_range(dice, mtu_least(world), world->mtu);

	for (unsigned i = 0; i < world->node_count; i++) {
		struct tow_sim_wire *up = tow_sim_wire_up(world->nodes[i].dev);

		if (!all && &world->nodes[i] != node)
			continue;
		up->mtu = mtu;
		up->mtu_told = !world->weather.hides_mtu;
	}
}

static void change_marks(struct world *world, struct node *node)
{
	struct tow_sim_wire *up = tow_sim_wire_up(node->dev);
	struct dice *dice = &world->dice;

	up->mark_ppm = (uint32_t)dice_scale(dice, 1, 500000);
	up->mark_bytes = (uint32_t)dice_scale(dice, 1, 100000);
}

static void change_loss(struct world *world, struct node *node)
{
	struct tow_sim_wire *down = tow_sim_wire_down(node->dev);

	down->loss_ppm = (uint32_t)dice_up_to(&world->dice, 50000);
}

/* Down, and up again. */

static void link_down(struct world *world, struct node *node)
{
	struct weather *weather = &world->weather;
	struct tow_sim_wire *up = tow_sim_wire_up(node->dev);

	if (weather->back_us != NEVER)
		return;
	weather->back_us =
		world_now(world) + dice_scale(&world->dice, 1, DOWN_US_MAX);
	weather->node = node;
	weather->loss_ppm = up->loss_ppm;
	up->loss_ppm = CERTAIN_PPM;
}

static void link_back(struct world *world)
{
	struct weather *weather = &world->weather;

	tow_sim_wire_up(weather->node->dev)->loss_ppm = weather->loss_ppm;
}

/* Addresses. */

bool flow_touches(const struct flow *flow, const struct node *node)
{
	return flow->a.node == node || flow->b.node == node ||
	       (flow->relay.wanted && flow->relay.node == node);
}

static void flows_may_fail(struct world *world, const struct node *node)
{
	for (unsigned i = 0; i < world->flow_count; i++)
		if (flow_touches(&world->flows[i], node))
			world->flows[i].may_fail = true;
}

static void address_add(struct world *world, struct node *node,
			const struct tow_addr *addr, int family)
{
	int result = tow_addr_add(node->stack, 0, addr,
				  family ? FIRST_IPV6_BYTES : FIRST_IPV4_BYTES);

	if (result < 0)
		world_fail(world, "an address to come back: %s",
			   tow_strerror(result));
}

static void address_remove(struct world *world, struct node *node,
			   const struct tow_addr *addr)
{
	int result = tow_addr_remove(node->stack, 0, addr);

	if (result < 0)
		world_fail(world, "an address to go: %s", tow_strerror(result));
}

static void address_goes(struct world *world, struct node *node)
{
	struct weather *weather = &world->weather;
	struct dice *dice = &world->dice;

	if (weather->back_us != NEVER)
		return;
	weather->family = world->mtu >= IPV6_MTU_MIN && dice_hit(dice, 500000);
	weather->moves = true;
	weather->node = node;
	weather->host = NULL;
	weather->back_us = world_now(world) + dice_scale(dice, 1, GONE_US_MAX);
	flows_may_fail(world, node);
	address_remove(world, node, &node->addr[weather->family]);
	if (!dice_hit(dice, 300000))
		return;
	weather->host = draw_node(world);
	if (weather->host == node) {
		weather->host = NULL;
		return;
	}
	flows_may_fail(world, weather->host); /* may connect from it */
	address_add(world, weather->host, &node->addr[weather->family],
		    weather->family);
}

static void address_back(struct world *world)
{
	struct weather *weather = &world->weather;
	const struct tow_addr *addr = &weather->node->addr[weather->family];

	weather->moves = false;
	if (weather->host)
		address_remove(world, weather->host, addr);
	address_add(world, weather->node, addr, weather->family);
}

/* Changes. */

static void change_box(struct world *world, struct node *node)
{
	struct tow_sim_box *box = tow_sim_box(node->dev);

	if (dice_hit(&world->dice, 300000)) {
		box_draw_harmless(world, box);
		return;
	}
	(void)box_draw(world, box);
	flows_may_fail(world, node);
}

static void change(struct world *world)
{
	const struct profile *profile = world->profile;
	struct node *node = draw_node(world);
	uint64_t what = dice_up_to(&world->dice, 99);

	if (profile->moves && what < 70)
		address_goes(world, node);
	else if (!profile->weather)
		change_mtu(world, node);
	else if (profile->boxed && what < 40)
		change_box(world, node);
	else if (what < 50)
		change_path(world, node);
	else if (what < 65)
		change_mtu(world, node);
	else if (what < 75)
		change_marks(world, node);
	else if (what < 85)
		change_loss(world, node);
	else
		link_down(world, node);
}

static void come_back(struct world *world)
{
	struct weather *weather = &world->weather;

	weather->back_us = NEVER;
	if (weather->moves)
		address_back(world);
	else
		link_back(world);
}

uint64_t weather_next(const struct world *world)
{
	return MIN(world->weather.next_us, world->weather.back_us);
}

void weather_act(struct world *world)
{
	struct weather *weather = &world->weather;
	uint64_t now_us = world_now(world);

	if (weather->back_us <= now_us)
		come_back(world);
	if (weather->next_us > now_us)
		return;
	change(world);
	weather->left--;
	weather->next_us = NEVER;
	if (weather->left)
		weather->next_us =
			now_us + dice_scale(&world->dice, 1, CHANGE_US_MAX);
}
