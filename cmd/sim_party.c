/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owners of what programs borrow: budgets, deadlines, and sudden ends.
 *
 * Theory of operation: some scenarios have parties, each an owner of one stack
 * with a budget, a deadline and a refuge, any of which may be missing. Who
 * connects, is accepted or opens a socket there belongs to one of them by
 * chance, and changes now and then. What is on loan is told to be over, and
 * taken back by the next poll; the program then has to find the same bytes
 * again, from the first that it did not return.
 *
 *	loans   |####|####|   REVOKE    poll    |....|....|  READABLE
 *	          read: right ---^       ^--- forgotten, borrowed again
 *
 * Some parties are closed in the middle of everything. Their handles are gone
 * at that moment, and so is the refuge: it is overwritten, and has to stay so.
 */
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "sim_world.h"

#define REFUGE_CHUNKS_MIN 32 /* tow/owner.h */
#define REFUGE_TIMES_MAX  8
#define OVERWRITTEN	  0xdb
#define CLOSE_US_MAX	  2000000

static void draw_refuge(struct world *world, const struct node *node,
			struct tow_owner_config *config)
{
	struct dice *dice = &world->dice;

	if (!dice_hit(dice, 600000))
		return;
	config->refuge_bytes = (size_t)REFUGE_CHUNKS_MIN *
				       node->cfg.chunk_bytes *
				       dice_range(dice, 1, REFUGE_TIMES_MAX) +
			       dice_up_to(dice, 4096);
	config->refuge = malloc(config->refuge_bytes);
	if (!config->refuge)
		config->refuge_bytes = 0;
}

static void open_party(struct world *world, struct party *party)
{
	struct dice *dice = &world->dice;
	struct tow_owner_config config = { 0 };
	int result;

	party->node = &world->nodes[dice_up_to(dice, world->node_count - 1)];
	if (dice_hit(dice, 500000))
		config.budget_bytes = dice_scale(dice, 1, 1 << 20);
	if (dice_hit(dice, 600000))
		config.deadline_us = dice_scale(dice, 5000, 2000000);
	draw_refuge(world, party->node, &config);
	party->close_us = NEVER;
	if (dice_hit(dice, 400000))
		party->close_us = dice_scale(dice, 1, CLOSE_US_MAX);
	party->refuge = config.refuge;
	party->refuge_bytes = config.refuge_bytes;
	result = tow_owner_open(party->node->stack, &config, &party->owner);
	if (result < 0)
		world_fail(world, "an owner: %s", tow_strerror(result));
}

/* Before anybody connects: all who come belong to it. */
static void take_listeners(struct world *world, struct party *party)
{
	struct node *node = party->node;

	if (dice_hit(&world->dice, 300000)) {
		tow_listener_set_owner(node->listener, party->owner);
		node->listener_party = party;
	}
	if (dice_hit(&world->dice, 300000)) {
		tow_listener_set_owner(node->relays, party->owner);
		node->relays_party = party;
	}
}

void parties_plan(struct world *world)
{
	if (!dice_hit(&world->dice, 500000))
		return;
	world->party_count = (unsigned)dice_range(&world->dice, 1, PARTIES_MAX);
	for (unsigned i = 0; i < world->party_count && !world->failed; i++) {
		open_party(world, &world->parties[i]);
		if (!world->failed)
			take_listeners(world, &world->parties[i]);
	}
}

/* Joining. */

/* One of the node's, or NULL for none. */
static struct party *draw_party(struct world *world, const struct node *node)
{
	struct party *party;

	if (!world->party_count)
		return NULL;
	party = &world->parties[dice_up_to(&world->dice,
					   world->party_count - 1)];
	return party->node == node && party->owner ? party : NULL;
}

static struct party *joined(struct world *world, int result,
			    struct party *wanted, struct party *now)
{
	if (result == 0)
		return wanted;
	if (result != TOW_EBUSY || !now || !now->refuge)
		world_fail(world, "a change of owner: %s",
			   tow_strerror(result));
	return now;
}

static struct tow_owner *owner_of(const struct party *party)
{
	return party ? party->owner : NULL;
}

struct party *party_of_tcp(struct world *world, struct node *node,
			   struct tow_tcp *tcp, struct party *now)
{
	struct party *wanted = draw_party(world, node);

	return joined(world, tow_tcp_set_owner(tcp, owner_of(wanted)), wanted,
		      now);
}

struct party *party_of_udp(struct world *world, struct node *node,
			   struct tow_udp *udp, struct party *now)
{
	struct party *wanted = draw_party(world, node);

	return joined(world, tow_udp_set_owner(udp, owner_of(wanted)), wanted,
		      now);
}

/* Revocation. */

void revocation_told(struct revocation *revocation, const struct world *world)
{
	revocation->at_poll = world->polls + 1;
}

bool revocation_done(struct revocation *revocation, const struct world *world)
{
	if (!revocation->at_poll || world->polls < revocation->at_poll)
		return false;
	revocation->at_poll = 0;
	return true;
}

/* The end of a party. */

/* Also of connections whose handle was closed: they may be under way still. */
static bool is_hit(const struct flow *flow, const struct party *party)
{
	const struct node *node = party->node;
	const struct relay *relay = &flow->relay;

	return flow->a.party == party || flow->b.party == party ||
	       relay->near.party == party || relay->far.party == party ||
	       (!flow->b.had && flow->b.node == node &&
		node->listener_party == party) ||
	       (relay->wanted && !relay->started && relay->node == node &&
		node->relays_party == party);
}

static void cut_flow(struct flow *flow, const struct party *party)
{
	if (flow->a.tcp && flow->a.party == party)
		end_cut(&flow->a);
	if (flow->b.tcp && flow->b.party == party)
		end_cut(&flow->b);
	relay_cut(&flow->relay, party);
	flow->stirred = true;
}

static void forget_party(struct party *party)
{
	struct node *node = party->node;

	if (party->refuge)
		memset(party->refuge, OVERWRITTEN, party->refuge_bytes);
	party->owner = NULL;
	if (node->listener_party == party)
		node->listener_party = NULL;
	if (node->relays_party == party)
		node->relays_party = NULL;
}

static void count_revoked(struct world *world, const struct party *party)
{
	struct tow_owner_info info;

	tow_owner_info(party->owner, &info);
	world->tally->revoked += info.revoked;
}

static void close_party(struct world *world, struct party *party)
{
	count_revoked(world, party);
	world->tally->owners_ended++;
	for (unsigned i = 0; i < world->datagrams_count; i++)
		datagrams_cut(&world->datagrams[i], party);
	tow_owner_close(party->owner);
	for (unsigned i = 0; i < world->flow_count; i++) {
		struct flow *flow = &world->flows[i];

		flow->may_fail |= is_hit(flow, party);
		cut_flow(flow, party);
	}
	forget_party(party);
}

uint64_t parties_act(struct world *world)
{
	uint64_t next_us = NEVER;

	for (unsigned i = 0; i < world->party_count; i++) {
		struct party *party = &world->parties[i];

		if (party->owner && party->close_us <= world_now(world))
			close_party(world, party);
		if (party->owner)
			next_us = MIN(next_us, party->close_us);
	}
	return next_us;
}

/* Checks. */

static void check_owner(struct world *world, const struct party *party)
{
	struct tow_owner_info info;

	tow_owner_info(party->owner, &info);
	if (info.lent_bytes || info.refuge_used_bytes || info.members)
		world_fail(world,
			   "an owner has %llu bytes lent, %llu in its refuge, "
			   "%u members in the end",
			   (unsigned long long)info.lent_bytes,
			   (unsigned long long)info.refuge_used_bytes,
			   info.members);
}

static void check_refuge(struct world *world, const struct party *party)
{
	for (size_t i = 0; i < party->refuge_bytes; i++)
		if (party->refuge[i] != OVERWRITTEN) {
			world_fail(world, "a refuge was written to after its "
					  "owner was closed");
			return;
		}
}

void parties_check(struct world *world)
{
	for (unsigned i = 0; i < world->party_count; i++) {
		struct party *party = &world->parties[i];

		if (party->owner) {
			check_owner(world, party);
			count_revoked(world, party);
		} else {
			check_refuge(world, party);
		}
	}
}

void parties_free(struct world *world)
{
	for (unsigned i = 0; i < world->party_count; i++)
		free(world->parties[i].refuge);
}
