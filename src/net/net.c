/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network layer's memory and start.
 *
 * All tables are laid out once, behind each other:
 *
 *	| private | links | addrs | routes | neighbours | buckets |
 *	| reassembly | path MTUs | automatic | groups |
 *
 * A link brings an IPv6 link-local address of its own, and each address a
 * route to its prefix, so there is room for those beside what the program
 * asked for. The pools, the clock and everything above are the stack's.
 */
#include "net/net_private.h"

#define TABLE_ALIGN 64

struct layout {
	size_t links, addrs, routes, neighbours, buckets, reassembly, pmtus;
	size_t claims, learned, auto_links, groups, end;
	uint32_t addr_max, route_max, bucket_count, learned_max;
};

static size_t place(size_t *end, size_t bytes)
{
	size_t at = *end;

	*end = (at + bytes + TABLE_ALIGN - 1) & ~(size_t)(TABLE_ALIGN - 1);
	return at;
}

static uint32_t power_of_two_above(uint32_t n)
{
	uint32_t power = 1;

	while (power < n && power < 1u << 30)
		power <<= 1;
	return power;
}

static struct layout lay_out(const struct tow_config *cfg)
{
	struct layout l;

	l.addr_max = cfg->addr_max + cfg->link_max;
	l.learned_max = cfg->router_max + cfg->prefix_max;
	l.route_max = cfg->route_max + l.addr_max + l.learned_max;
	l.bucket_count = power_of_two_above(cfg->neighbour_max);
	l.end = 0;
	place(&l.end, sizeof(struct net_private));
	l.links = place(&l.end, cfg->link_max * sizeof(struct net_link));
	l.addrs = place(&l.end, l.addr_max * sizeof(struct net_addr));
	l.routes = place(&l.end, l.route_max * sizeof(struct net_route));
	l.neighbours =
		place(&l.end, cfg->neighbour_max * sizeof(struct neighbour));
	l.buckets = place(&l.end, l.bucket_count * sizeof(struct neighbour *));
	l.reassembly = place(&l.end, reassembly_need(cfg));
	l.pmtus = place(&l.end, pmtu_need(cfg));
	l.claims = place(&l.end, l.addr_max * sizeof(struct claim));
	l.learned = place(&l.end, l.learned_max * sizeof(struct learned));
	l.auto_links = place(&l.end, cfg->link_max * sizeof(struct auto_link));
	l.groups = place(&l.end, group_need(cfg));
	return l;
}

size_t net_need(const struct tow_config *cfg)
{
	return lay_out(cfg).end;
}

static void init_tables(struct net *net, const struct tow_config *cfg,
			uint8_t *memory)
{
	struct layout l = lay_out(cfg);

	ASSERT(((uintptr_t)memory & (_Alignof(struct net_private) - 1)) == 0);
	memset(memory, 0, l.end);
	net->private = (void *)memory;
	net->links = (void *)(memory + l.links);
	net->link_count = 0;
	net->link_max = cfg->link_max;
	net->addrs = (void *)(memory + l.addrs);
	net->addr_count = 0;
	net->addr_max = l.addr_max;
	net->routes = (void *)(memory + l.routes);
	net->route_count = 0;
	net->route_max = l.route_max;
	net->neighbours = (void *)(memory + l.neighbours);
	net->neighbour_max = cfg->neighbour_max;
	net->private->buckets = (void *)(memory + l.buckets);
	net->private->bucket_mask = l.bucket_count - 1;
	net->private->automatic = (struct net_auto){
		.claims = (void *)(memory + l.claims),
		.claim_max = l.addr_max,
		.learned = (void *)(memory + l.learned),
		.learned_max = l.learned_max,
		.router_max = cfg->router_max,
		.links = (void *)(memory + l.auto_links),
	};
}

static void init_loopback(struct net *net)
{
	memset(&net->loop, 0, sizeof(net->loop));
	net->loop.number = NET_LINK_LOOP;
	net->loop.mtu = net->loop.mtu6 = 65535;
	net->loop.hop_limit = net->ttl;
	net->loop_first = NULL;
	net->loop_last = &net->loop_first;
	net->loop_count = 0;
}

void net_init(struct net *net, const struct tow_config *cfg, void *memory)
{
	net->now_us = 0;
	net->ttl = cfg->ttl ? cfg->ttl : 64;
	net->generation = 1; /* a path of zeros is out of date */
	memset(&net->stats, 0, sizeof(net->stats));
	wheel_init(&net->wheel, 0);
	random_init(&net->random, cfg->secret);
	net->key = random_key(&net->random);

	init_tables(net, cfg, memory);
	init_loopback(net);
	net->private->flow_key = random_key(&net->random);
	net->private->error_key = random_key(&net->random);
	net->private->neighbour_key = random_key(&net->random);
	neighbour_init(net, cfg);
	reassembly_init(net, cfg, (uint8_t *)memory + lay_out(cfg).reassembly);
	pmtu_init(net, cfg, (uint8_t *)memory + lay_out(cfg).pmtus);
	timer_init(&net->private->automatic.timer, TIMER_AUTO);
	timer_init(&net->private->route_timer, TIMER_ROUTE);
	group_init(net, cfg, (uint8_t *)memory + lay_out(cfg).groups);
}

void net_timer(struct net *net, struct timer *timer)
{
	switch ((enum timer_owner)timer->owner) {
	case TIMER_REASSEMBLY:
		reassembly_timer(net, timer);
		break;
	case TIMER_AUTO:
		auto_timer(net);
		break;
	case TIMER_ROUTE:
		net->generation++;
		break;
	case TIMER_GROUP_CHANGE:
	case TIMER_GROUP_ANSWER:
	case TIMER_GROUP_GENERAL:
		group_timer(net, timer);
		break;
	default:
		neighbour_timer(net, timer);
		break;
	}
}
