/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One reader who stalls while the others go on.
 *
 * Theory of operation: in some scenarios one end stops doing anything once it
 * has got some bytes, with what it borrowed, and sleeps until all others are
 * done. They are judged as ever: one that makes no progress for so long as the
 * profile allows ends the scenario. So that it is the sleeper that is to blame,
 * it sleeps longer than that. Then it wakes up, and its own stream has to come
 * to its end as if nothing had been.
 */
#include "base/base.h"
#include "sim_world.h"

#define LOOK_US	      200000
#define AT_BYTES_MAX  100000
#define STALLS_ASLEEP 3 /* of the profile's stall_us, at the most */

void sleeper_plan(struct world *world)
{
	struct dice *dice = &world->dice;
	struct flow *flow;
	struct end *end;

	if (!dice_hit(dice, 200000) || world->profile->tiny)
		return;
	flow = &world->flows[dice_up_to(dice, world->flow_count - 1)];
	end = dice_hit(dice, 500000) ? &flow->a : &flow->b;
	world->sleeper.end = end;
	world->sleeper.at_bytes = dice_scale(dice, 1, AT_BYTES_MAX);
	if (dice_hit(dice, 500000)) { /* with all of it on loan */
		end->post_ppm = 0;
		end->borrow_ppm = end->hold_ppm = 1000000;
	}
}

static bool all_others_are_done(const struct world *world)
{
	const struct flow *own = world->sleeper.end->flow;

	for (unsigned i = 0; i < world->flow_count; i++)
		if (&world->flows[i] != own && !world->flows[i].done)
			return false;
	for (unsigned i = 0; i < world->datagrams_count; i++)
		if (!world->datagrams[i].done)
			return false;
	return true;
}

static void fall_asleep(struct world *world)
{
	uint64_t most_us = STALLS_ASLEEP * world->profile->stall_us;

	world->sleeper.until_us = world_now(world) + most_us;
	world->tally->sleepers++;
}

uint64_t sleeper_sleeps(const struct end *end)
{
	struct world *world = end->world;
	struct sleeper *sleeper = &world->sleeper;
	uint64_t now_us;

	if (end != sleeper->end || sleeper->awake || !end->tcp ||
	    (!sleeper->until_us && end->got_bytes < sleeper->at_bytes))
		return 0;
	now_us = world_now(world);
	if (!sleeper->until_us)
		fall_asleep(world);
	if (now_us < sleeper->until_us && !all_others_are_done(world))
		return now_us + LOOK_US;
	sleeper->awake = true;
	return 0;
}

bool sleeper_delays(const struct flow *flow)
{
	const struct sleeper *sleeper = &flow->a.world->sleeper;

	return (sleeper->end == &flow->a || sleeper->end == &flow->b) &&
	       !sleeper->awake;
}
