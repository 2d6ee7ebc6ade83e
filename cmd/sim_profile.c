/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Profiles: what kinds of networks, devices and memories scenarios have.
 *
 * Theory of operation: a profile names the worst of everything; a scenario
 * draws its own worst below that, and half of the faults not at all, so that
 * each fault is met alone and in company. Devices differ within a scenario:
 * one end may cut large segments and verify checksums, the other do neither.
 */
#include <string.h>
#include "sim_world.h"

#define MS 1000u
#define S  1000000u

#define MEGABIT 1000000u
#define GIGABIT 1000000000u

#define MARK_PPM_MAX   100000u
#define MARK_BYTES_MAX 100000u

static const struct profile profiles[] = {
	{
		.name = "clean",
		.about = "nothing is ever lost; nothing may be sent twice",
		.worst = { .delay_us = 5 * MS, .jitter_us = 100 },
		.stream_bytes_max = 1 << 20,
		.flows_max = 20,
		.perfect = true,
		.stall_us = 10 * S,
	},
	{
		.name = "lossy",
		.about = "up to 5 % of the packets are lost",
		.worst = { .delay_us = 20 * MS,
			   .jitter_us = 1 * MS,
			   .loss_ppm = 50000 },
		.bits_per_s_min = 10 * MEGABIT,
		.bits_per_s_max = 10u * (uint64_t)GIGABIT,
		.queue_bytes_min = 50000,
		.stream_bytes_max = 300000,
		.flows_max = 20,
		.stall_us = 180 * S,
	},
	{
		.name = "reorder",
		.about = "packets overtake each other and arrive twice",
		.worst = { .delay_us = 20 * MS,
			   .jitter_us = 1 * MS,
			   .loss_ppm = 5000,
			   .duplicate_ppm = 50000,
			   .reorder_ppm = 200000,
			   .reorder_us = 30 * MS },
		.bits_per_s_min = 10 * MEGABIT,
		.bits_per_s_max = 10u * (uint64_t)GIGABIT,
		.queue_bytes_min = 50000,
		.stream_bytes_max = 300000,
		.flows_max = 20,
		.stall_us = 180 * S,
	},
	{
		.name = "bursty",
		.about = "losses come in rows",
		.worst = { .delay_us = 20 * MS,
			   .jitter_us = 1 * MS,
			   .burst_begin_ppm = 10000,
			   .burst_end_ppm = 300000,
			   .burst_loss_ppm = 800000 },
		.bits_per_s_min = 10 * MEGABIT,
		.bits_per_s_max = 10u * (uint64_t)GIGABIT,
		.queue_bytes_min = 30000,
		.stream_bytes_max = 300000,
		.flows_max = 20,
		.stall_us = 180 * S,
	},
	{
		.name = "hostile",
		.about = "all faults at once, odd devices, short queues",
		.worst = { .delay_us = 50 * MS,
			   .jitter_us = 20 * MS,
			   .loss_ppm = 150000,
			   .duplicate_ppm = 100000,
			   .damage_ppm = 100000,
			   .reorder_ppm = 200000,
			   .reorder_us = 50 * MS,
			   .burst_begin_ppm = 5000,
			   .burst_end_ppm = 300000,
			   .burst_loss_ppm = 900000 },
		.bits_per_s_min = 2 * MEGABIT,
		.bits_per_s_max = 10u * (uint64_t)GIGABIT,
		.queue_bytes_min = 8000,
		.stream_bytes_max = 100000,
		.flows_max = 12,
		.odd_links = true,
		.deadly = true,
		.stall_us = 600 * S,
	},
	{
		.name = "tiny",
		.about = "stacks with next to no memory",
		.worst = { .delay_us = 5 * MS,
			   .jitter_us = 100,
			   .loss_ppm = 5000 },
		.bits_per_s_min = 10 * MEGABIT,
		.bits_per_s_max = 1 * GIGABIT,
		.queue_bytes_min = 50000,
		.stream_bytes_max = 50000,
		.flows_max = 12,
		.tiny = true,
		.odd_links = true,
		.deadly = true,
		.stall_us = 600 * S,
	},
	{
		.name = "lfn",
		.about = "long fat pipes: large windows over long ways",
		.worst = { .delay_us = 150 * MS,
			   .jitter_us = 1 * MS,
			   .loss_ppm = 500 },
		.bits_per_s_min = 50 * MEGABIT,
		.bits_per_s_max = 1 * GIGABIT,
		.queue_bytes_min = 500000,
		.stream_bytes_max = 4 << 20,
		.flows_max = 3,
		.lfn = true,
		.stall_us = 180 * S,
	},
	{
		.name = "vanish",
		.about = "a device is torn out in the middle of it",
		.worst = { .delay_us = 10 * MS,
			   .jitter_us = 1 * MS,
			   .loss_ppm = 10000 },
		.bits_per_s_min = 10 * MEGABIT,
		.bits_per_s_max = 1 * GIGABIT,
		.queue_bytes_min = 50000,
		.stream_bytes_max = 300000,
		.flows_max = 12,
		.vanishes = true,
		.odd_links = true,
		.deadly = true,
		.stall_us = 180 * S,
	},
	{
		.name = "attacked",
		.about = "a blind attacker forges segments of connections",
		.worst = { .delay_us = 10 * MS,
			   .jitter_us = 1 * MS,
			   .loss_ppm = 2000 },
		.bits_per_s_min = 10 * MEGABIT,
		.bits_per_s_max = 1 * GIGABIT,
		.queue_bytes_min = 50000,
		.stream_bytes_max = 300000,
		.flows_max = 8,
		.attacked = true,
		.stall_us = 180 * S,
	},
	{
		.name = "path",
		.about = "the way changes while it is used: slower, narrower, "
			 "down",
		.worst = { .delay_us = 20 * MS,
			   .jitter_us = 1 * MS,
			   .loss_ppm = 5000,
			   .reorder_ppm = 20000,
			   .reorder_us = 10 * MS },
		.bits_per_s_min = 5 * MEGABIT,
		.bits_per_s_max = 1 * GIGABIT,
		.queue_bytes_min = 30000,
		.stream_bytes_max = 100000,
		.flows_max = 8,
		.weather = true,
		.light = true,
		.stall_us = 300 * S,
	},
	{
		.name = "boxes",
		.about = "middleboxes strip, rewrite, split, join and refuse",
		.worst = { .delay_us = 20 * MS,
			   .jitter_us = 1 * MS,
			   .loss_ppm = 10000,
			   .reorder_ppm = 20000,
			   .reorder_us = 10 * MS },
		.bits_per_s_min = 5 * MEGABIT,
		.bits_per_s_max = 1 * GIGABIT,
		.queue_bytes_min = 30000,
		.stream_bytes_max = 100000,
		.flows_max = 8,
		.weather = true,
		.boxed = true,
		.light = true,
		.stall_us = 300 * S,
	},
	{
		.name = "moving",
		.about = "addresses go, for a while or to another stack",
		.worst = { .delay_us = 10 * MS,
			   .jitter_us = 1 * MS,
			   .loss_ppm = 5000 },
		.bits_per_s_min = 5 * MEGABIT,
		.bits_per_s_max = 1 * GIGABIT,
		.queue_bytes_min = 30000,
		.stream_bytes_max = 100000,
		.flows_max = 8,
		.moves = true,
		.light = true,
		.stall_us = 1800 * S,
	},
	{
		.name = "mixed",
		.about = "each scenario is one of the others",
	},
};

#define PROFILES (sizeof(profiles) / sizeof(profiles[0]))

const struct profile *profile_at(unsigned i)
{
	return i < PROFILES ? &profiles[i] : NULL;
}

const struct profile *profile_find(const char *name)
{
	for (unsigned i = 0; i < PROFILES; i++)
		if (strcmp(profiles[i].name, name) == 0)
			return &profiles[i];
	return NULL;
}

const struct profile *profile_pick(const struct profile *profile,
				   struct dice *dice)
{
	if (profile->flows_max)
		return profile;
	return &profiles[dice_up_to(dice, PROFILES - 2)];
}

/* Memory. */

static uint32_t draw(struct world *world, uint32_t min, uint32_t max)
{
	return (uint32_t)dice_scale(&world->dice, min, max);
}

/* For small streams: scenarios of it begin sooner. */
static void light_memory(struct tow_config *cfg)
{
	cfg->rx_chunks /= 2;
	cfg->rx_bufs /= 2;
	cfg->tx_chunks /= 2;
	cfg->tx_bufs /= 2;
	cfg->loans = 1024;
	cfg->segments = 1024;
	cfg->recv_bytes_max /= 2;
}

/* Enough to work with, and little enough to be used up now and then. */
static void usual_memory(struct world *world, struct tow_config *cfg)
{
	bool lfn = world->profile->lfn;

	cfg->tcp_max = 64;
	cfg->udp_max = 16;
	cfg->chunk_bytes = 2048u << dice_up_to(&world->dice, 2);
	cfg->rx_chunks = (lfn ? 16u << 20 : 1u << 20) / cfg->chunk_bytes;
	cfg->rx_bufs = lfn ? 16384 : 1024;
	cfg->tx_chunks = (1u << 20) / cfg->chunk_bytes;
	cfg->tx_bufs = lfn ? 4096 : 512;
	cfg->loans = 4096;
	cfg->segments = lfn ? 16384 : 4096;
	cfg->recv_bytes = draw(world, 2048, lfn ? 1 << 20 : 128 << 10);
	cfg->recv_bytes_max = lfn ? 4 << 20 : 256 << 10;
	if (world->profile->light)
		light_memory(cfg);
	cfg->send_bytes = draw(world, 1024, lfn ? 4 << 20 : 256 << 10);
}

static void tiny_memory(struct world *world, struct tow_config *cfg)
{
	cfg->tcp_max = draw(world, 1, 16);
	cfg->udp_max = draw(world, 1, 8);
	cfg->chunk_bytes = 2048;
	cfg->rx_chunks = draw(world, 2, 64);
	cfg->rx_bufs = cfg->rx_chunks + draw(world, 8, 32);
	cfg->tx_chunks = draw(world, 1, 16);
	cfg->tx_bufs = draw(world, 2, 32);
	cfg->loans = draw(world, 1, 64);
	cfg->segments = draw(world, 1, 64);
	cfg->posts = draw(world, 1, 8);
	cfg->recv_bytes = draw(world, 1024, 16384);
	cfg->recv_bytes_max = draw(world, cfg->recv_bytes, 65536);
	cfg->send_bytes = draw(world, 512, 16384);
}

void profile_config(struct world *world, struct tow_config *cfg)
{
	struct dice *dice = &world->dice;

	tow_config_default(cfg);
	cfg->listener_max = 4;
	cfg->link_max = 1;
	cfg->addr_max = 8;
	cfg->route_max = 8;
	cfg->neighbour_max = 16;
	if (world->profile->tiny)
		tiny_memory(world, cfg);
	else
		usual_memory(world, cfg);
	if (dice_hit(dice, 500000))
		cfg->lend_bytes_min = draw(world, 1, 4096);
	for (unsigned i = 0; i < sizeof(cfg->secret); i++)
		cfg->secret[i] = (uint8_t)dice_throw(dice);
}

/* Devices. */

/* Half of the faults are not there at all. */
static uint32_t fault(struct dice *dice, uint32_t worst)
{
	bool there = dice_hit(dice, 500000);
	uint64_t value = dice_up_to(dice, worst);

	return there ? (uint32_t)value : 0;
}

static void draw_wire(struct world *world, struct tow_sim_wire *wire)
{
	const struct profile *profile = world->profile;
	const struct tow_sim_wire *worst = &profile->worst;
	struct dice *dice = &world->dice;

	wire->delay_us = (uint32_t)dice_up_to(dice, worst->delay_us);
	wire->jitter_us = fault(dice, worst->jitter_us);
	wire->loss_ppm = fault(dice, worst->loss_ppm);
	wire->duplicate_ppm = fault(dice, worst->duplicate_ppm);
	wire->damage_ppm = fault(dice, worst->damage_ppm);
	wire->reorder_ppm = fault(dice, worst->reorder_ppm);
	wire->reorder_us = (uint32_t)dice_up_to(dice, worst->reorder_us);
	wire->burst_begin_ppm = fault(dice, worst->burst_begin_ppm);
	wire->burst_end_ppm = worst->burst_end_ppm;
	wire->burst_loss_ppm = fault(dice, worst->burst_loss_ppm);
	wire->mark_ppm = fault(dice, MARK_PPM_MAX);
	wire->mark_bytes = fault(dice, MARK_BYTES_MAX);
	if (!profile->bits_per_s_max)
		return;
	wire->bits_per_s = dice_scale(dice, profile->bits_per_s_min,
				      profile->bits_per_s_max);
	wire->queue_bytes = (uint32_t)dice_scale(
		dice, profile->queue_bytes_min, 20u * profile->queue_bytes_min);
}

static void draw_caps(struct world *world, struct tow_sim_port *port)
{
	bool perfect = world->profile->perfect;
	struct dice *dice = &world->dice;

	port->caps = (uint32_t)dice_throw(dice) &
		     (TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM | TOW_DEV_TSO4 |
		      TOW_DEV_TSO6 | TOW_DEV_USO | TOW_DEV_LRO | TOW_DEV_SPLIT |
		      TOW_DEV_ASYNC_TX | TOW_DEV_PLACE);
	if (port->caps & TOW_DEV_LRO)
		port->caps |= TOW_DEV_RX_CSUM;
	port->rx_partial = dice_hit(dice, 300000);
	port->gso_bytes_max = (uint32_t)dice_scale(dice, 2000, 65000);
	/* A card that takes its time makes queues longer than a timeout. */
	port->fetch_us = (uint32_t)dice_up_to(dice, perfect ? 5 : 200);
	port->complete_us = (uint32_t)dice_up_to(dice, perfect ? 100 : 2 * MS);
}

/* What a device does wrong with hints; see struct tow_sim_place. */
static void draw_place(struct world *world, struct tow_sim_place *place)
{
	struct dice *dice = &world->dice;

	place->flows = (uint32_t)dice_up_to(dice, 4);
	if (world->profile->perfect)
		return; /* some of it loses packets */
	place->busy_ppm = fault(dice, 200000);
	place->refused_ppm = fault(dice, 50000);
	place->late_ppm = fault(dice, 300000);
	place->stale_ppm = fault(dice, 50000);
	place->shape_ppm = fault(dice, 50000);
	if (!world->profile->worst.damage_ppm) /* two flips may cancel out */
		place->damage_ppm = fault(dice, 50000);
	place->truncated_ppm = fault(dice, 50000);
	place->withdrawn_ppm = fault(dice, 50000);
	place->moved_ppm = fault(dice, 50000);
	place->foreign_ppm = fault(dice, 50000);
}

static void draw_odd_link(struct world *world, struct tow_sim_port *port)
{
	struct dice *dice = &world->dice;

	port->layout = (enum tow_sim_layout)dice_up_to(dice, 3);
	port->layout_bytes = (uint32_t)dice_up_to(dice, TOW_BUF_ROOM);
	port->spans_max = (uint32_t)dice_range(dice, 2, TOW_BUF_SPANS);
	port->tx_ring = (uint32_t)dice_scale(
		dice, world->profile->perfect ? 16 : 1, 256);
	if (!world->profile->perfect)
		port->rx_ring = (uint32_t)dice_scale(dice, 4, 512);
}

void profile_port(struct world *world, struct tow_sim_port *port)
{
	tow_sim_port_default(port);
	port->mtu = world->mtu;
	draw_caps(world, port);
	draw_place(world, &port->place);
	draw_wire(world,
		  dice_hit(&world->dice, 200000) ? &port->down : &port->up);
	if (world->profile->odd_links || dice_hit(&world->dice, 300000))
		draw_odd_link(world, port);
	if (world->profile->tiny)
		port->margin = 2;
}
