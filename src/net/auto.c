/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses and routes that come and go: their one timer, and what a program
 * sees of them.
 *
 * The tables are small, so the timer's next deadline is the least of all that
 * is in them, found by walking them after each change. What is due is walked
 * to in the same way.
 */
#include "net/net_private.h"

#define V4_BITS_BEFORE 96
#define INFINITE_S     UINT32_MAX

void auto_changed(struct net *net, unsigned link)
{
	net->private->automatic.links[link].changed = true;
	net->private->automatic.changes++;
}

void auto_schedule(struct net *net)
{
	struct net_auto *a = &net->private->automatic;
	uint64_t next_us = NEVER;
	uint32_t i;

	for (i = 0; i < a->claim_max; i++)
		next_us = MIN(next_us, claim_next(net, &a->claims[i]));
	next_us = MIN(next_us, router_next(net));
	next_us = MIN(next_us, dns_next(net));
	if (next_us == NEVER)
		timer_disarm(&net->wheel, &a->timer);
	else if (!a->timer.armed || a->timer.deadline_us != next_us)
		timer_arm(&net->wheel, &a->timer, next_us);
}

void auto_timer(struct net *net)
{
	struct net_auto *a = &net->private->automatic;
	uint32_t i;

	for (i = 0; i < a->claim_max; i++)
		if (claim_next(net, &a->claims[i]) <= net->now_us)
			claim_due(net, &a->claims[i]);
	router_due(net);
	dns_due(net);
	auto_schedule(net);
}

/* A lifetime as messages have it. */
uint64_t auto_until_us(const struct net *net, uint32_t lifetime_s)
{
	if (lifetime_s == INFINITE_S)
		return NEVER;
	return net->now_us + (uint64_t)lifetime_s * AUTO_S;
}

_Static_assert(NEVER == TOW_FOREVER, "programs read the same");

/* How long that is from now on. */
uint64_t auto_left_us(const struct net *net, uint64_t until_us)
{
	if (until_us == NEVER)
		return NEVER;
	return until_us > net->now_us ? until_us - net->now_us : 0;
}

/*
 * For the program.
 */

int net_addr_claim(struct net *net, unsigned link, const struct tow_addr *addr,
		   unsigned prefix_bits)
{
	struct claim_wish wish = {
		.addr = *addr,
		.origin = TOW_ADDR_STATIC,
		.preferred_until_us = NEVER,
		.valid_until_us = NEVER,
	};

	if (prefix_bits > (net_is_v4(addr) ? 32u : 128u))
		return TOW_EINVAL;
	wish.prefix_bits =
		(uint8_t)(net_is_v4(addr) ? prefix_bits + V4_BITS_BEFORE
					  : prefix_bits);
	return claim_start(net, link, &wish);
}

int net_addr_remove(struct net *net, unsigned link, const struct tow_addr *addr)
{
	struct claim *c = claim_find(net, link, addr);
	struct net_addr *own = addr_of(net, link, addr);

	if (c)
		claim_drop(net, c);
	else if (own)
		addr_remove(net, own);
	else
		return TOW_EADDRNOTAVAIL;
	auto_schedule(net);
	return 0;
}

int net_addr_lease(struct net *net, unsigned link, const struct tow_addr *addr,
		   unsigned prefix_bits, uint64_t until_us)
{
	struct claim_wish wish = {
		.addr = *addr,
		.prefix_bits = (uint8_t)(prefix_bits + V4_BITS_BEFORE),
		.origin = TOW_ADDR_DHCP,
		.preferred_until_us = until_us,
		.valid_until_us = until_us,
	};

	return claim_start(net, link, &wish);
}

/* Not an address that the program gave, and a server only speaks of. */
static struct claim *find_lease(struct net *net, unsigned link,
				const struct tow_addr *addr)
{
	struct claim *c = claim_find(net, link, addr);

	return c && c->origin == TOW_ADDR_DHCP ? c : NULL;
}

void net_addr_unlease(struct net *net, unsigned link,
		      const struct tow_addr *addr)
{
	struct claim *c = find_lease(net, link, addr);

	if (!c)
		return;
	claim_drop(net, c);
	auto_schedule(net);
}

void net_addr_prolong(struct net *net, unsigned link,
		      const struct tow_addr *addr, uint64_t until_us)
{
	struct claim *c = find_lease(net, link, addr);

	if (!c)
		return;
	c->preferred_until_us = c->valid_until_us = until_us;
	claim_update(net, c);
	auto_schedule(net);
}

uint32_t net_addr_changes(const struct net *net)
{
	return net->private->automatic.changes;
}

static uint8_t bits_shown(const struct tow_addr *addr, uint8_t bits)
{
	return net_is_v4(addr) ? (uint8_t)(bits - V4_BITS_BEFORE) : bits;
}

static enum tow_addr_state state_shown(const struct net *net,
				       const struct claim *c)
{
	if (c->state == CLAIM_CHECKING)
		return TOW_ADDR_TENTATIVE;
	if (c->state == CLAIM_REFUSED)
		return TOW_ADDR_DUPLICATE;
	return c->preferred_until_us > net->now_us ? TOW_ADDR_PREFERRED
						   : TOW_ADDR_DEPRECATED;
}

enum tow_addr_state net_lease_state(struct net *net, unsigned link,
				    const struct tow_addr *addr)
{
	const struct claim *c = find_lease(net, link, addr);

	return c ? state_shown(net, c) : 0;
}

static struct tow_addr_info show_claim(const struct net *net,
				       const struct claim *c)
{
	return (struct tow_addr_info){
		.addr = c->addr,
		.prefix_bits = bits_shown(&c->addr, c->prefix_bits),
		.state = state_shown(net, c),
		.origin = c->origin,
		.preferred_us = auto_left_us(net, c->preferred_until_us),
		.valid_us = auto_left_us(net, c->valid_until_us),
	};
}

static struct tow_addr_info show_given(const struct net_addr *own)
{
	return (struct tow_addr_info){
		.addr = own->addr,
		.prefix_bits = bits_shown(&own->addr, own->prefix_bits),
		.state = TOW_ADDR_PREFERRED,
		.origin = addr_is_link_local(&own->addr) ? TOW_ADDR_LINK_LOCAL
							 : TOW_ADDR_STATIC,
		.preferred_us = TOW_FOREVER,
		.valid_us = TOW_FOREVER,
	};
}

int net_addr_list(const struct net *net, unsigned link,
		  struct tow_addr_info *out, int max)
{
	const struct net_auto *a = &net->private->automatic;
	int count = 0;
	uint32_t i;

	for (i = 0; i < net->addr_count; i++) {
		if (net->addrs[i].link != link || net->addrs[i].claimed)
			continue;
		if (count++ < max)
			out[count - 1] = show_given(&net->addrs[i]);
	}
	for (i = 0; i < a->claim_max; i++) {
		if (a->claims[i].state == CLAIM_FREE ||
		    a->claims[i].link != link)
			continue;
		if (count++ < max)
			out[count - 1] = show_claim(net, &a->claims[i]);
	}
	return count;
}

bool net_addrs_changed(struct net *net, unsigned link)
{
	struct auto_link *l = &net->private->automatic.links[link];
	bool changed = l->changed;

	l->changed = false;
	return changed;
}
