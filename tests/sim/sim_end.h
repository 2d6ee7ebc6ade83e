/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SIM_END_H
#define SIM_END_H

/*
 * One of the stacks of a simulated network: 10.0.0.N, fd00::N and what its MAC
 * address makes of fe80::, on a port of its own.
 */
#include <stdlib.h>
#include <string.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include "test.h"

struct sim_end {
	struct tow_stack *stack;
	struct tow_dev *dev;
	struct tow_addr addr[3]; /* IPv4, IPv6, link-local */
	void *memory;
};

/* RFC 4291 2.5.1 and 2.5.6: made from the MAC address */
static inline struct tow_addr sim_end_link_local(const uint8_t mac[6])
{
	const uint8_t b[16] = { 0xfe, 0x80,   0,	  0,	  0,	  0,
				0,    0,      mac[0] ^ 2, mac[1], mac[2], 0xff,
				0xfe, mac[3], mac[4],	  mac[5] };

	return tow_addr_v6(b);
}

/* The secret is made of @number; the rest of @config stays. */
static inline void sim_end_open(struct sim_end *end, struct tow_sim *sim,
				int segment, uint8_t number,
				const struct tow_sim_port *port,
				const struct tow_config *config)
{
	struct tow_config cfg = *config;
	uint8_t v6[16] = { 0xfd };
	size_t need;

	memset(cfg.secret, number, sizeof(cfg.secret));
	need = (tow_need(&cfg) + 63) / 64 * 64;
	end->memory = aligned_alloc(64, need);
	CHECK(end->memory);
	memset(end->memory, 0xa5, need);
	CHECK_EQ(tow_open(&end->stack, &cfg, end->memory, need), 0);
	CHECK_EQ(tow_sim_port_open(sim, segment, port, &end->dev), 0);
	CHECK_EQ(tow_attach(end->stack, end->dev), 0);
	v6[15] = number;
	end->addr[0] = tow_addr_v4(10, 0, 0, number);
	end->addr[1] = tow_addr_v6(v6);
	end->addr[2] = sim_end_link_local(end->dev->mac);
	CHECK_EQ(tow_addr_add(end->stack, 0, &end->addr[0], 24), 0);
	CHECK_EQ(tow_addr_add(end->stack, 0, &end->addr[1], 64), 0);
	CHECK_EQ(tow_sim_add(sim, end->stack), 0);
}

static inline void sim_end_close(struct sim_end *end, struct tow_sim *sim)
{
	CHECK(!tow_sim_stats(end->dev)->violation);
	tow_sim_remove(sim, end->stack);
	tow_close(end->stack);
	free(end->memory);
}

#endif
