/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routes, and the paths that are made of them.
 *
 * The table is sorted, longest prefix first, so that the first match is the
 * right one. It is looked at when a path is made; whoever keeps the path does
 * not come back before net->generation says that something changed.
 *
 * A path is found in this order:
 *
 *	destination is ours            the loopback
 *	link-local, or a group         the link that the zone names; without a
 *	                               zone the only one, for groups the first
 *	anything else                  the longest prefix
 *
 * Several gateways for one prefix stand in for each other (RFC 1122 3.3.1.5,
 * RFC 4861 6.3.6): the first that is not known to be dead. The neighbour cache
 * says when one did not answer, and when it is heard of again. If all are dead
 * it is the turn of that which failed first, so that each is tried.
 *
 * With IPv6 routes to a larger net stand in, too (RFC 4191 3.2), and whoever
 * was passed over is asked once a minute whether it is back (3.5): not by a
 * timer for its own sake, but where a path is made that would go by it. The
 * timer here only has the paths that are in use made anew.
 */
#include "net/net_private.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"

#define V4_BITS_BEFORE 96
#define PROBE_US       60000000u /* RFC 4191 3.5: "one per minute" */

static bool covers(const struct net_route *route, const struct tow_addr *dst)
{
	return net_is_v4(&route->dest) == net_is_v4(dst) &&
	       addr_prefix_equal(&route->dest, dst, route->prefix_bits);
}

static bool is_same_net(const struct net_route *a, const struct net_route *b)
{
	return a->prefix_bits == b->prefix_bits && net_same(&a->dest, &b->dest);
}

/* Of routes to the same net, from @best on, the one whose gateway lives. */
static const struct net_route *live_one(const struct net *net,
					const struct net_route *best)
{
	const struct net_route *end = net->routes + net->route_count;
	const struct net_route *at;

	for (at = best + 1; at < end && at->prefix_bits == best->prefix_bits;
	     at++)
		if (at->failed_us < best->failed_us && is_same_net(at, best) &&
		    !net->links[at->link].gone)
			best = at;
	return best;
}

static bool leads_to(const struct net *net, const struct net_route *route,
		     const struct tow_addr *dst)
{
	return covers(route, dst) && !net->links[route->link].gone;
}

/* The gateway of @best, which is the best of all, does not answer. */
static const struct net_route *way_around(const struct net *net,
					  const struct net_route *best,
					  const struct tow_addr *dst)
{
	const struct net_route *end = net->routes + net->route_count;
	const struct net_route *at;

	if (net_is_v4(dst))
		return live_one(net, best);
	for (at = best + 1; at < end; at++)
		if (!at->failed_us && leads_to(net, at, dst))
			return at;
	return live_one(net, best);
}

const struct net_route *route_lookup(const struct net *net,
				     const struct tow_addr *dst)
{
	const struct net_route *end = net->routes + net->route_count;
	const struct net_route *route;

	for (route = net->routes; route < end; route++)
		if (leads_to(net, route, dst))
			return route->failed_us ? way_around(net, route, dst)
						: route;
	return NULL;
}

/*
 * Its next turn is a minute from now, whatever becomes of the question: the
 * neighbour cache may have to forget it.
 */
static void probe(struct net *net, unsigned link,
		  const struct tow_addr *gateway)
{
	struct net_route *end = net->routes + net->route_count, *at;

	for (at = net->routes; at < end; at++)
		if (at->failed_us && at->link == link &&
		    net_same(&at->gateway, gateway))
			at->failed_us = net->now_us;
	neighbour_probe(net, link, gateway);
}

/* RFC 4191 3.5: @chosen is taken; what would be if it answered? */
static void probe_better(struct net *net, const struct net_route *chosen,
			 const struct tow_addr *dst)
{
	const struct net_route *end = net->routes + net->route_count, *at;
	struct timer *timer = &net->private->route_timer;
	uint64_t due_us;

	for (at = net->routes; at < end; at++) {
		if (!at->failed_us || at == chosen || !leads_to(net, at, dst) ||
		    (at > chosen && !chosen->failed_us))
			continue;
		if (net->now_us - at->failed_us >= PROBE_US)
			probe(net, at->link, &at->gateway);
		due_us = at->failed_us + PROBE_US;
		if (!timer->armed || timer->deadline_us > due_us)
			timer_arm(&net->wheel, timer, due_us);
	}
}

static void mark_gateway(struct net *net, unsigned link,
			 const struct tow_addr *gateway, uint64_t failed_us)
{
	struct net_route *at = net->routes;
	uint32_t failed = 0, before = net->generation;

	for (; at < net->routes + net->route_count; at++) {
		if (at->link == link && net_same(&at->gateway, gateway) &&
		    at->failed_us != failed_us) {
			at->failed_us = failed_us;
			net->generation++;
		}
		failed += at->failed_us != 0;
	}
	net->private->gateways_failed = failed;
	/* Paths are made anew now, and say which question is the next one */
	if (net->generation != before)
		timer_disarm(&net->wheel, &net->private->route_timer);
}

void route_gateway_failed(struct net *net, unsigned link,
			  const struct tow_addr *gateway)
{
	mark_gateway(net, link, gateway, MAX(net->now_us, 1));
}

void route_gateway_lives(struct net *net, unsigned link,
			 const struct tow_addr *gateway)
{
	if (UNLIKELY(net->private->gateways_failed > 0))
		mark_gateway(net, link, gateway, 0);
}

/* Is the address that of a neighbour on this link? */
bool route_is_on_link(const struct net *net, unsigned link,
		      const struct tow_addr *addr)
{
	uint32_t i;

	if (addr_is_link_local(addr))
		return true;
	for (i = 0; i < net->route_count; i++)
		if (net->routes[i].link == link &&
		    (net_same(&net->routes[i].gateway, addr) ||
		     (net_is_any(&net->routes[i].gateway) &&
		      covers(&net->routes[i], addr))))
			return true;
	return false;
}

/* The bits behind the prefix become zero. */
void route_mask(struct tow_addr *addr, unsigned bits)
{
	for (; bits < 128; bits++)
		addr->b[bits / 8] &= (uint8_t) ~(0x80 >> bits % 8);
}

/*
 * @bits count from the front of the sixteen bytes in both families. Of equal
 * prefixes the preferred comes first, then the one that was added first.
 */
int route_add(struct net *net, unsigned link, const struct tow_addr *dest,
	      unsigned bits, const struct tow_addr *gateway, int8_t preference)
{
	struct net_route *at = net->routes;
	struct net_route *end = net->routes + net->route_count;

	if (net->route_count == net->route_max)
		return TOW_ENOBUFS;
	while (at < end &&
	       (at->prefix_bits > bits ||
		(at->prefix_bits == bits && at->preference >= preference)))
		at++;
	memmove(at + 1, at, (size_t)((uint8_t *)end - (uint8_t *)at));
	at->dest = *dest;
	route_mask(&at->dest, bits);
	at->preference = preference;
	at->failed_us = 0;
	at->gateway = *gateway;
	at->link = (uint16_t)link;
	at->prefix_bits = (uint8_t)bits;
	net->route_count++;
	net->generation++;
	return 0;
}

/* One that was added just so, if it is there. */
void route_remove(struct net *net, unsigned link, const struct tow_addr *dest,
		  unsigned bits, const struct tow_addr *gateway)
{
	struct net_route *end = net->routes + net->route_count, *at;
	struct tow_addr to = *dest;

	route_mask(&to, bits);
	for (at = net->routes; at < end; at++)
		if (at->link == link && at->prefix_bits == bits &&
		    net_same(&at->dest, &to) && net_same(&at->gateway, gateway))
			break;
	if (at == end)
		return;
	net->route_count--;
	for (end--; at < end; at++)
		at[0] = at[1];
	net->generation++;
}

/* "any" is also how people write 0.0.0.0/0: the gateway tells. */
static struct tow_addr destination(const struct tow_addr *dest,
				   const struct tow_addr *gateway)
{
	if (net_is_v4(gateway) && net_is_any(dest))
		return tow_addr_v4(0, 0, 0, 0);
	return *dest;
}

int net_route_add(struct net *net, unsigned link, const struct tow_addr *dest,
		  unsigned prefix_bits, const struct tow_addr *gateway)
{
	bool v4 = net_is_v4(gateway);
	struct tow_addr to = destination(dest, gateway);
	unsigned bits = prefix_bits;

	if (v4)
		bits += V4_BITS_BEFORE;
	if (prefix_bits > 128 || bits > 128 || !net_link_at(net, link))
		return TOW_EINVAL;
	if (v4 != net_is_v4(&to) || !net_is_unicast(net, gateway))
		return TOW_EINVAL;
	if (addr_is_loopback(gateway) || net_is_local(net, gateway))
		return TOW_EINVAL;
	/* Room stays for the routes of addresses that may still come */
	if (net->route_count + (net->addr_max - net->addr_count) +
		    router_room(net) >=
	    net->route_max)
		return TOW_ENOBUFS;
	return route_add(net, link, &to, bits, gateway, 0);
}

/* What net_route_add() added, with the same words. */
void net_route_remove(struct net *net, unsigned link,
		      const struct tow_addr *dest, unsigned prefix_bits,
		      const struct tow_addr *gateway)
{
	struct tow_addr to = destination(dest, gateway);
	unsigned bits = prefix_bits;

	if (net_is_v4(gateway))
		bits += V4_BITS_BEFORE;
	route_remove(net, link, &to, bits, gateway);
}

/* The link of a destination that has a meaning on its link only. */
static struct net_link *zone_link(struct net *net, uint16_t zone, bool group)
{
	struct net_link *link = NULL;

	if (zone > 0)
		link = net_link_at(net, zone - 1u);
	else if (net->link_count == 1 || (group && net->link_count > 0))
		link = &net->links[0];
	return link && !link->gone ? link : NULL;
}

static bool needs_zone(const struct net *net, const struct tow_addr *dst)
{
	return addr_is_link_local(dst) || addr_is_group(net, dst);
}

/* The route's link and next hop; 0 or TOW_ENETUNREACH. */
static int find_way(struct net *net, struct net_path *path)
{
	const struct net_route *route;

	path->next_hop = path->dst;
	if (addr_is_loopback(&path->dst) || addr_find(net, &path->dst)) {
		path->link = &net->loop;
		return 0;
	}
	route = route_lookup(net, &path->dst);
	if (UNLIKELY(net->private->gateways_failed > 0) && route &&
	    !net_is_v4(&path->dst))
		probe_better(net, route, &path->dst);
	if (needs_zone(net, &path->dst) &&
	    (path->zone || !route || addr_is_link_local(&path->dst))) {
		path->link = zone_link(net, path->zone,
				       addr_is_group(net, &path->dst));
		return path->link ? 0 : TOW_ENETUNREACH;
	}
	if (!route || (!net_is_unicast(net, &path->dst) &&
		       !addr_is_group(net, &path->dst)))
		return TOW_ENETUNREACH;
	path->link = &net->links[route->link];
	if (!net_is_any(&route->gateway) && !addr_is_group(net, &path->dst))
		path->next_hop = route->gateway;
	return 0;
}

/* May packets with this source of ours leave by the path's link? */
static bool may_be_source(const struct net *net, const struct net_path *path)
{
	const struct net_addr *own;

	if (net_is_v4(&path->src) != net_is_v4(&path->dst))
		return false;
	if (addr_is_loopback(&path->src))
		return !path->link->dev;
	own = addr_find(net, &path->src);
	if (!own)
		return false;
	return !path->link->dev || !addr_is_link_local(&path->src) ||
	       addr_find_on(net, path->link->number, &path->src);
}

static int find_source(struct net *net, struct net_path *path)
{
	const struct net_addr *own;

	if (!net_is_any(&path->src))
		return may_be_source(net, path) ? 0 : TOW_EADDRNOTAVAIL;
	if (!path->link->dev) {
		path->src = path->dst; /* RFC 6724 5, rule 1 */
		return 0;
	}
	own = addr_choose(net, path->link->number, &path->dst);
	if (!own)
		return TOW_ENETUNREACH;
	path->src = own->addr;
	return 0;
}

static int find(struct net *net, struct net_path *path)
{
	int error;

	if (net_is_any(&path->dst))
		return TOW_ENETUNREACH;
	error = find_way(net, path);
	if (error)
		return error;
	error = find_source(net, path);
	if (error)
		return error;
	path->neighbour = NULL;
	path->to_group = addr_is_group(net, &path->dst);
	path->mtu = net_is_v4(&path->dst) ? path->link->mtu : path->link->mtu6;
	path->generation = net->generation;
	return 0;
}

/* RFC 4007 6: as a packet that comes back will have it. */
static uint16_t zone_of(const struct net_path *path)
{
	if (!addr_is_link_local(&path->dst))
		return 0;
	return (uint16_t)(path->link->number + 1);
}

int net_path_find(struct net *net, const struct tow_addr *src,
		  const struct tow_addr *dst, uint16_t zone,
		  struct net_path *out)
{
	int error;

	memset(out, 0, sizeof(*out));
	out->src = *src;
	out->dst = *dst;
	out->zone = zone;
	error = find(net, out);
	if (error)
		return error;
	if (out->to_group)
		out->ttl = 1; /* RFC 1112 6.1 */
	else
		out->zone = zone_of(out);
	return 0;
}

/* The world changed: look the same path up again. */
int net_path_refresh(struct net *net, struct net_path *path)
{
	struct net_link *before = path->link;
	struct net_path now = *path;
	int error;

	if (path->generation == net->generation)
		return 0;
	error = find(net, &now);
	if (error)
		return before && before->gone ? TOW_ENETDOWN : error;
	*path = now;
	return 0;
}
