/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What TCP and UDP share of placement: naming a flow and a hint to a device,
 * what it may say to that, whether it is worth it, and the account of it all.
 *
 * When there should be a hint, and where it points to, is the transports'
 * own: src/tcp/place.c, src/udp/udp_place.c.
 */
#include "net/net_private.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"

#define TOKEN_PROTOCOL	 56
#define TOKEN_GENERATION 32
#define GENERATION_MASK	 0xffffffu
#define TRIAL_PACKETS	 64 /* between two looks at hits and misses */

uint64_t hint_token(enum net_protocol protocol, uint32_t generation,
		    uint32_t index)
{
	generation &= GENERATION_MASK;
	return (uint64_t)protocol << TOKEN_PROTOCOL |
	       (uint64_t)generation << TOKEN_GENERATION | index;
}

struct net_flow hint_flow(const struct tow_endpoint *local,
			  const struct tow_endpoint *remote, uint8_t protocol)
{
	return (struct net_flow){
		.local = local->addr,
		.remote = remote->addr,
		.local_port = local->port,
		.remote_port = remote->port,
		.protocol = protocol,
	};
}

bool hint_may_be(const struct net_link *link)
{
	return link->dev && !link->gone && link->dev->caps & TOW_DEV_PLACE &&
	       link->dev->ops->place;
}

uint16_t hint_header_bytes(const struct net_link *link,
			   const struct net_flow *flow, uint32_t transport)
{
	uint32_t bytes = net_has_ethernet(link) ? ETH_BYTES : 0;

	bytes += tow_addr_is_v4(&flow->remote) ? IP4_BYTES : IP6_BYTES;
	return (uint16_t)(bytes + transport);
}

int hint_give(struct net *net, struct net_link *link,
	      const struct net_flow *flow, struct tow_place *place)
{
	if (!hint_may_be(link))
		return TOW_EOPNOTSUPP;
	memcpy(place->local, flow->local.b, sizeof(place->local));
	memcpy(place->remote, flow->remote.b, sizeof(place->remote));
	place->local_port = flow->local_port;
	place->remote_port = flow->remote_port;
	place->protocol = flow->protocol;
	link->dev->now_us = net->now_us;
	return link->dev->ops->place(link->dev, place);
}

void hint_withdraw(struct net *net, struct net_link *link,
		   const struct net_flow *flow)
{
	struct tow_place none = { 0 };

	(void)hint_give(net, link, flow, &none);
}

static enum tow_placement refusal(int error)
{
	switch (error) {
	case TOW_EBUSY:
		return TOW_PLACEMENT_BUSY;
	case TOW_EEXIST:
		return TOW_PLACEMENT_SHARED;
	default:
		return TOW_PLACEMENT_REFUSED;
	}
}

/* What the device said no to is not asked for again at once. */
void hint_refused(struct hint_trial *trial, int error, uint64_t until_us)
{
	trial->why = (uint8_t)refusal(error);
	trial->until_us = until_us;
}

/* After a bad time each pause is twice as long as the one before. */
static void pause_for_misses(struct hint_trial *trial,
			     const struct hint_patience *patience,
			     uint64_t now_us)
{
	trial->pause_us = MIN(MAX(2 * trial->pause_us, patience->pause_us_min),
			      patience->pause_us_max);
	trial->until_us = now_us + trial->pause_us;
	trial->why = TOW_PLACEMENT_MISSES;
}

/* Each so many packets. Misses cost more than a copy: see bench/run place. */
void hint_judge(struct hint_trial *trial, const struct hint_patience *patience,
		uint64_t now_us)
{
	uint32_t seen = trial->hits + trial->misses;

	if (seen < TRIAL_PACKETS)
		return;
	if (trial->misses > seen / patience->miss_share)
		pause_for_misses(trial, patience, now_us);
	else
		trial->pause_us = 0;
	trial->hits = trial->misses = 0;
}

static const enum tow_counter counters[TOW_PLACEMENT_KINDS] = {
	[TOW_PLACEMENT_ARMED] = TOW_COUNTER_PLACE_ARMED,
	[TOW_PLACEMENT_DEVICE] = TOW_COUNTER_PLACE_DEVICE,
	[TOW_PLACEMENT_REFUSED] = TOW_COUNTER_PLACE_REFUSED,
	[TOW_PLACEMENT_BUSY] = TOW_COUNTER_PLACE_BUSY,
	[TOW_PLACEMENT_SHARED] = TOW_COUNTER_PLACE_SHARED,
	[TOW_PLACEMENT_MISSES] = TOW_COUNTER_PLACE_PAUSED,
};

void hint_enter(struct net *net, uint8_t *state, enum tow_placement next)
{
	if (*state == next)
		return;
	*state = (uint8_t)next;
	if (counters[next])
		net_count(net, counters[next]);
}
