/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Router discovery: RFC 4861 6.3, RFC 4191, RFC 7559.
 *
 * We ask until a router has answered, less and less often:
 *
 *	start --0..1 s--> ask --4 s--> ask --8 s--> ask ... --3600 s--> ask ...
 *	                      any advertisement of a router ends it
 *
 * What advertisements say is kept as routes with an end: a default router is a
 * route to ::/0, a prefix that is on the link is one without a gateway. Of each
 * kind there is a limit, and when it is reached those that are known stay:
 * a flood of advertisements takes memory from nobody, and the router that
 * we use does not go by it.
 *
 * Of what whoever can send on the link could do with an advertisement, these
 * are not let pass: a hop limit below ours, that keeps packets from arriving
 * (CVE-2015-2922); an MTU below 1280, or above the link's; times of neighbour
 * discovery that make us ask without pause; lifetimes that end our addresses
 * (slaac.c). That it may be a router at all is not for us to know: RFC 6105's
 * guard in the switch is.
 */
#include "net/net_private.h"
#include "wire/wire_ip6.h"

#define MINUTE_US	 (60u * AUTO_S)
#define DELAY_US	 (1 * AUTO_S) /* MAX_RTR_SOLICITATION_DELAY */
#define IRT_US		 (4 * AUTO_S) /* RFC 7559 2 */
#define MRT_US		 (3600ull * AUTO_S)
#define REACHABLE_MS_MAX 3600000u /* RFC 4861 6.2.1 */
#define RETRANS_MS_MIN	 100u
#define RETRANS_MS_MAX	 60000u
#define OPTIONS_MAX	 256 /* in one advertisement */

static struct auto_link *state_of(struct net *net, unsigned link)
{
	return &net->private->automatic.links[link];
}

/*
 * Routes that were learned.
 */

static void unlearn(struct net *net, struct learned *r)
{
	route_remove(net, r->link, &r->dest, r->bits, &r->gateway);
	r->until_us = 0;
}

static bool is_default(const struct learned *r)
{
	return r->bits == 0;
}

static bool has_router(const struct net *net, unsigned link)
{
	const struct net_auto *a = &net->private->automatic;
	uint32_t i;

	for (i = 0; i < a->learned_max; i++)
		if (a->learned[i].until_us != 0 && a->learned[i].link == link &&
		    is_default(&a->learned[i]))
			return true;
	return false;
}

/*
 * RFC 4861 6.3.5: its time is over, or it says so itself; when it was the last
 * router others are asked for. Who comes and goes all the time does not make
 * us ask more often than we do at first.
 */
static void lose(struct net *net, struct learned *r)
{
	struct auto_link *l = state_of(net, r->link);
	uint64_t planned_us = MIN(l->solicit_us, net->now_us + IRT_US);

	unlearn(net, r);
	if (!is_default(r) || has_router(net, r->link))
		return;
	router_start(net, r->link);
	l->solicit_us = MAX(l->solicit_us, planned_us);
}

static struct learned *find(struct net *net, const struct learned *wanted)
{
	struct net_auto *a = &net->private->automatic;
	struct learned *r;

	for (r = a->learned; r < a->learned + a->learned_max; r++)
		if (r->until_us != 0 && r->link == wanted->link &&
		    r->bits == wanted->bits &&
		    net_same(&r->dest, &wanted->dest) &&
		    net_same(&r->gateway, &wanted->gateway))
			return r;
	return NULL;
}

/* Routes that may still be learned. */
uint32_t router_room(const struct net *net)
{
	const struct net_auto *a = &net->private->automatic;
	uint32_t i, room = 0;

	for (i = 0; i < a->learned_max; i++)
		room += a->learned[i].until_us == 0;
	return room;
}

/* Default routers have room of their own, and cannot take the others'. */
static struct learned *find_free(struct net *net, bool for_default)
{
	struct net_auto *a = &net->private->automatic;
	uint32_t max =
		for_default ? a->router_max : a->learned_max - a->router_max;
	struct learned *r, *free = NULL;
	uint32_t used = 0;

	for (r = a->learned; r < a->learned + a->learned_max; r++) {
		if (r->until_us == 0)
			free = r;
		else
			used += is_default(r) == for_default;
	}
	return used < max ? free : NULL;
}

static bool install(struct net *net, const struct learned *r)
{
	return route_add(net, r->link, &r->dest, r->bits, &r->gateway,
			 r->preference) == 0;
}

/* @wanted->until_us in the past: it is withdrawn. */
static void learn(struct net *net, const struct learned *wanted)
{
	struct learned *r = find(net, wanted);

	if (wanted->until_us <= net->now_us) {
		if (r)
			lose(net, r);
		return;
	}
	if (r && r->preference != wanted->preference)
		unlearn(net, r);
	if (r && r->until_us != 0) {
		r->until_us = wanted->until_us;
		return;
	}
	r = find_free(net, is_default(wanted));
	if (!r || !install(net, wanted))
		net_count(net, TOW_COUNTER_ROUTER_FULL);
	else
		*r = *wanted;
}

/*
 * RFC 4861 7.2.5: it says of itself that it is no router any more, to nowhere
 */
void router_is_host(struct net *net, unsigned link, const struct tow_addr *addr)
{
	struct net_auto *a = &net->private->automatic;
	struct learned *r;
	bool any = false;

	for (r = a->learned; r < a->learned + a->learned_max; r++) {
		if (r->until_us == 0 || r->link != link ||
		    !net_same(&r->gateway, addr))
			continue;
		lose(net, r);
		any = true;
	}
	if (any)
		auto_schedule(net);
}

/*
 * Asking.
 */

static void solicit(struct net *net, struct net_link *link)
{
	struct tow_addr dst = ip6_all_routers();
	const struct net_addr *own = addr_choose(net, link->number, &dst);
	bool known = own && own->link == link->number &&
		     addr_is_link_local(&own->addr);
	struct tow_addr src = known ? own->addr : tow_addr_any();
	struct tow_buf *buf = tow_buf_take(&net->tx_pool);
	struct wire_router_solicit *rs;
	struct wire_nd_mac *mac;
	uint8_t *at;

	if (!buf) {
		net_drop(net, TOW_DROP_NO_BUFFERS);
		return;
	}
	/* 4.1: no station if there is no address */
	at = buf_push(buf, sizeof(*rs) + (known ? sizeof(*mac) : 0));
	ASSERT(at);
	rs = (void *)at;
	memset(rs, 0, sizeof(*rs));
	rs->type = ICMP6_ROUTER_SOLICIT;
	if (known) {
		mac = (void *)(at + sizeof(*rs));
		mac->type = ND_SOURCE_MAC;
		mac->units = 1;
		memcpy(mac->mac, link->dev->mac, ETH_MAC_BYTES);
	}
	nd_send(net, link, buf, &src, &dst, NULL);
}

/* @us times 0.9 to 1.1. */
static uint64_t about(struct net *net, uint64_t us)
{
	uint32_t tenth_ms = (uint32_t)(us / 10 / 1000);

	return us - us / 10 +
	       1000ull * random_below(&net->random, 2 * tenth_ms + 1);
}

/* RFC 7559 2, which is RFC 8415 15 without an end. */
static void ask_again(struct net *net, struct net_link *link)
{
	struct auto_link *l = state_of(net, link->number);

	solicit(net, link);
	if (l->interval_us == 0)
		l->interval_us = about(net, IRT_US);
	else
		l->interval_us += about(net, l->interval_us);
	if (l->interval_us > MRT_US)
		l->interval_us = about(net, MRT_US);
	l->solicit_us = net->now_us + l->interval_us;
}

void router_start(struct net *net, unsigned link)
{
	struct auto_link *l = state_of(net, link);

	l->solicits = true;
	l->interval_us = 0;
	l->solicit_us = net->now_us + random_below(&net->random, DELAY_US);
}

void router_stop(struct net *net, unsigned link)
{
	struct net_auto *a = &net->private->automatic;
	struct learned *r;

	for (r = a->learned; r < a->learned + a->learned_max; r++)
		if (r->until_us != 0 && r->link == link)
			unlearn(net, r);
}

uint64_t router_next(const struct net *net)
{
	const struct net_auto *a = &net->private->automatic;
	uint64_t next_us = NEVER;
	uint32_t i;

	for (i = 0; i < a->learned_max; i++)
		if (a->learned[i].until_us != 0)
			next_us = MIN(next_us, a->learned[i].until_us);
	for (i = 0; i < net->link_count; i++)
		if (a->links[i].running && a->links[i].solicits)
			next_us = MIN(next_us, a->links[i].solicit_us);
	return next_us;
}

void router_due(struct net *net)
{
	struct net_auto *a = &net->private->automatic;
	struct learned *r;
	uint32_t i;

	for (r = a->learned; r < a->learned + a->learned_max; r++)
		if (r->until_us != 0 && r->until_us <= net->now_us)
			lose(net, r);
	for (i = 0; i < net->link_count; i++)
		if (a->links[i].running && a->links[i].solicits &&
		    a->links[i].solicit_us <= net->now_us)
			ask_again(net, &net->links[i]);
}

/*
 * Listening.
 */

struct advert {
	struct net *net;
	const struct net_packet *packet;
	unsigned link;
	struct dns_places dns;
	struct wire_router_advert header;
	struct learned router; /* the default one that it comes from */
};

/* 4.6.2, 6.3.4; the other half of it is slaac.c's. */
static void read_prefix(const struct advert *a, const void *option)
{
	const struct wire_nd_prefix *p = option;
	struct net *net = a->net;
	struct learned on_link = {
		.dest = wire_get_addr6(p->prefix),
		.link = (uint16_t)a->link,
		.bits = p->bits,
		.until_us = auto_until_us(net, wire_get32(p->valid_s)),
	};
	uint64_t valid_us = auto_until_us(net, wire_get32(p->valid_s));
	uint64_t preferred_us = auto_until_us(net, wire_get32(p->preferred_s));

	if (p->bits > 128 || net_is_v4(&on_link.dest) ||
	    ip6_is_multicast(&on_link.dest) ||
	    addr_is_link_local(&on_link.dest))
		return;
	route_mask(&on_link.dest, p->bits);
	/* A default route is not what a prefix is for */
	if (p->flags & ND_PREFIX_ON_LINK && p->bits > 0)
		learn(net, &on_link);
	/* RFC 4862 5.5.3 (c), (d): 64 bits are left for what we append */
	if (!(p->flags & ND_PREFIX_AUTONOMOUS) || p->bits != 64 ||
	    preferred_us > valid_us)
		return;
	slaac_prefix(net, a->link, &on_link.dest,
		     preferred_us == NEVER ? NEVER : preferred_us - net->now_us,
		     valid_us == NEVER ? NEVER : valid_us - net->now_us);
}

/* RFC 4191 2.3. Returns: it makes sense. */
static bool take_route(const struct advert *a, const void *option,
		       uint32_t bytes, struct learned *out)
{
	const struct wire_nd_route *o = option;

	*out = (struct learned){
		.gateway = a->packet->src,
		.link = (uint16_t)a->link,
		.bits = o->bits,
		.preference = nd_preference(o->flags),
		.until_us = auto_until_us(a->net, wire_get32(o->lifetime_s)),
	};

	if (bytes > sizeof(*o) || o->bits > (bytes - 8) * 8 ||
	    (o->flags >> 3 & 3) == 2)
		return false; /* the reserved preference: ignore the option */
	memcpy(out->dest.b, o->prefix, sizeof(o->prefix));
	route_mask(&out->dest, o->bits);
	return !net_is_v4(&out->dest) && !ip6_is_multicast(&out->dest) &&
	       !addr_is_link_local(&out->dest);
}

static void read_route(const struct advert *a, const void *option,
		       uint32_t bytes)
{
	struct learned route;

	if (take_route(a, option, bytes, &route) && !is_default(&route))
		learn(a->net, &route);
}

static void read_mtu(const struct advert *a, const void *option)
{
	const struct wire_nd_mtu *o = option;
	struct net_link *link = a->packet->link;
	uint32_t mtu = wire_get32(o->mtu);

	if (mtu < IP6_MTU_MIN || mtu > link->mtu || mtu == link->mtu6)
		return;
	link->mtu6 = mtu;
	a->net->generation++;
}

static void read_mac(const struct advert *a, const void *option)
{
	const struct wire_nd_mac *o = option;

	if (eth_is_unicast(o->mac))
		neighbour_heard(a->net, a->link, &a->packet->src, o->mac);
}

/*
 * One option of @bytes, at @at in the message. As much of it as most have is
 * in @option.
 */
typedef void read_option_fn(struct advert *a, const uint8_t *option,
			    uint32_t at, uint32_t bytes);

/*
 * RFC 4191 3.1: a route to ::/0 overrides what the header says of the router.
 * It is looked for first: followed one after the other, the two would be news
 * each time that they differ.
 */
static void find_default(struct advert *a, const uint8_t *option, uint32_t at,
			 uint32_t bytes)
{
	struct learned route;

	(void)at;
	if (option[0] == ND_ROUTE && take_route(a, option, bytes, &route) &&
	    is_default(&route))
		a->router = route;
}

static void read_option(struct advert *a, const uint8_t *option, uint32_t at,
			uint32_t bytes)
{
	switch (option[0]) {
	case ND_SOURCE_MAC:
		if (bytes == sizeof(struct wire_nd_mac))
			read_mac(a, option);
		break;
	case ND_PREFIX:
		if (bytes == sizeof(struct wire_nd_prefix))
			read_prefix(a, option);
		break;
	case ND_MTU:
		if (bytes == sizeof(struct wire_nd_mtu))
			read_mtu(a, option);
		break;
	case ND_ROUTE:
		read_route(a, option, bytes);
		break;
	case ND_RDNSS:
	case ND_DNSSL:
		dns_option(a->net, a->link, a->packet->buf, at, bytes, &a->dns);
		break;
	default:
		break; /* RFC 4861 4.6: others may know it */
	}
}

/*
 * @read: NULL to find out only whether all is well: one without a length spoils
 * the whole message (6.1.2), which must not be followed by halves.
 */
static bool walk_options(struct advert *a, read_option_fn *read)
{
	const struct tow_buf *buf = a->packet->buf;
	uint32_t at = sizeof(a->header), bytes;
	uint8_t option[sizeof(struct wire_nd_prefix)] = { 0 };
	unsigned count;

	for (count = 0; at < buf->bytes; at += bytes, count++) {
		if (tow_buf_read(buf, at, option, sizeof(option)) < 8)
			return false;
		bytes = option[1] * 8u;
		if (bytes == 0 || bytes > buf->bytes - at ||
		    count == OPTIONS_MAX)
			return false;
		if (read)
			read(a, option, at, bytes);
	}
	return true;
}

/* 6.1.2; the checksum was right. */
static bool is_valid(struct advert *a)
{
	return a->packet->ttl == ND_HOP_LIMIT &&
	       addr_is_link_local(&a->packet->src) &&
	       tow_buf_read(a->packet->buf, 0, &a->header, sizeof(a->header)) ==
		       sizeof(a->header) &&
	       a->header.code == 0 && walk_options(a, NULL);
}

static uint32_t clamp(uint32_t n, uint32_t least, uint32_t most)
{
	return MIN(MAX(n, least), most);
}

static void take_router(struct advert *a)
{
	uint16_t lifetime_s = wire_get16(a->header.lifetime_s);

	a->router = (struct learned){
		.gateway = a->packet->src,
		.link = (uint16_t)a->link,
		.preference = nd_preference(a->header.flags),
		.until_us = auto_until_us(a->net, lifetime_s),
	};
	walk_options(a, find_default);
}

/* 6.3.4: zero means that the router does not say. */
static void follow_header(const struct advert *a)
{
	const struct wire_router_advert *h = &a->header;
	struct auto_link *l = state_of(a->net, a->link);
	uint32_t reachable_ms = wire_get32(h->reachable_ms);
	uint32_t retrans_ms = wire_get32(h->retrans_ms);

	if (h->hop_limit >= a->net->ttl)
		a->packet->link->hop_limit = h->hop_limit;
	if (reachable_ms > 0)
		l->reachable_us = 1000 * clamp(reachable_ms, RETRANS_MS_MIN,
					       REACHABLE_MS_MAX);
	if (retrans_ms > 0)
		l->retrans_us = 1000 * clamp(retrans_ms, RETRANS_MS_MIN,
					     RETRANS_MS_MAX);
	learn(a->net, &a->router);
	/* RFC 7559 2.1; one is asked for all the same: RFC 4861 6.3.7 last */
	if (a->router.until_us > a->net->now_us && l->interval_us > 0)
		l->solicits = false;
}

enum net_verdict router_input(struct net *net, struct net_packet *packet)
{
	struct advert a = {
		.net = net,
		.packet = packet,
		.link = packet->link->number,
	};

	if (!state_of(net, a.link)->running)
		return net_refuse(net, packet->buf, TOW_DROP_ICMP_IGNORED);
	if (!is_valid(&a))
		return net_refuse(net, packet->buf, TOW_DROP_ND_BAD);
	net_count(net, TOW_COUNTER_ROUTER_ADVERTS);
	take_router(&a);
	follow_header(&a);
	walk_options(&a, read_option);
	auto_schedule(net);
	tow_buf_give(packet->buf);
	return NET_DONE;
}

/*
 * For the program.
 */

int net_autoconf_start(struct net *net, unsigned link,
		       const struct tow_autoconf_config *config)
{
	static const struct tow_autoconf_config none;
	struct net_link *device = net_link_at(net, link);
	struct auto_link *l;
	int error;

	if (!device || !net_has_ethernet(device) || device->mtu < IP6_MTU_MIN)
		return TOW_EINVAL;
	l = state_of(net, link);
	if (l->running)
		return TOW_EEXIST;
	if (!config)
		config = &none;
	error = slaac_check(config);
	if (error)
		return error;
	*l = (struct auto_link){ .config = *config, .changed = l->changed };
	if (memcmp(config->stable_key, none.stable_key,
		   sizeof(none.stable_key)) == 0)
		l->key = net->key;
	else
		memcpy(&l->key, config->stable_key, sizeof(l->key));
	error = slaac_link_local(net, link);
	if (error) {
		l->config = none;
		return error;
	}
	l->running = true;
	router_start(net, link);
	auto_schedule(net);
	return 0;
}

/* The link-local address stays: a link without one has no IPv6. */
void net_autoconf_stop(struct net *net, unsigned link)
{
	struct net_auto *a = &net->private->automatic;
	struct auto_link *l = state_of(net, link);
	struct claim *c;

	if (!l->running)
		return;
	l->running = false;
	for (c = a->claims; c < a->claims + a->claim_max; c++)
		if (c->state != CLAIM_FREE && c->link == link &&
		    (c->origin == TOW_ADDR_STABLE ||
		     c->origin == TOW_ADDR_TEMPORARY))
			claim_drop(net, c);
	router_stop(net, link);
	dns_forget(net, link);
	net->links[link].mtu6 = net->links[link].mtu;
	net->links[link].hop_limit = net->ttl;
	l->reachable_us = l->retrans_us = 0;
	net->generation++;
	auto_schedule(net);
}
