/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses that we make ourselves: of the link (RFC 4862 5.3) and of prefixes
 * that routers advertise (5.5).
 *
 * What stands behind the prefix is not the station's address, by which a host
 * could be followed from network to network, but
 *
 *	stable      a keyed hash of the prefix, the link and a counter of
 *	            attempts: the same whenever we come back (RFC 7217)
 *	temporary   random, and after a day something else (RFC 8981)
 *
 * An attempt that finds the address taken is followed by a few others, with
 * the next hash or other random bits.
 *
 *	             made      REGEN_ADVANCE   preferred for  valid for
 *	temporary 1  |----------------|-----|- - - - - - - - -|
 *	temporary 2                   |-----------------|-----|- - - - - -
 */
#include "net/net_private.h"

#define HOUR_US		  (3600ull * AUTO_S)
#define TWO_HOURS_US	  (2 * HOUR_US) /* RFC 4862 5.5.3 (e) */
#define IDGEN_RETRIES	  3	       /* RFC 7217 7; TEMP_IDGEN_RETRIES, too */
#define IDGEN_DELAY_US	  (1 * AUTO_S) /* RFC 7217 7 */
#define TEMP_VALID_US	  (48 * HOUR_US) /* RFC 8981 3.8, and below */
#define TEMP_PREFERRED_US (24 * HOUR_US)
#define DESYNC_S_MAX	  (24 * 3600 * 2 / 5)
/* 2 + TEMP_IDGEN_RETRIES * DupAddrDetectTransmits * RetransTimer, in seconds */
#define REGEN_ADVANCE_US (5 * AUTO_S)
#define PREFIX_BITS	 64
#define PREFIXES_MAX	 8 /* of a link, that we make addresses of */

/* RFC 5453: the subnet's routers, the Ethernet block, subnet anycast. */
static bool is_reserved(const uint8_t id[8])
{
	static const uint8_t routers[8];
	static const uint8_t ethernet[5] = { 2, 0, 0x5e, 0xff, 0xfe };
	static const uint8_t anycast[7] = { 0xfd, 0xff, 0xff, 0xff,
					    0xff, 0xff, 0xff };

	return memcmp(id, routers, sizeof(routers)) == 0 ||
	       memcmp(id, ethernet, sizeof(ethernet)) == 0 ||
	       (memcmp(id, anycast, sizeof(anycast)) == 0 && id[7] >= 0x80);
}

/* RFC 7217 5: F(Prefix, Net_Iface, DAD_Counter, secret_key). */
static void make_stable(struct net *net, unsigned link, unsigned counter,
			struct tow_addr *addr)
{
	const struct auto_link *l = &net->private->automatic.links[link];
	uint8_t key[12];
	uint64_t hash;

	memcpy(key, addr->b, 8);
	wire_put16(key + 8, link);
	key[10] = (uint8_t)counter;
	key[11] = 0;
	do {
		hash = siphash24(&l->key, key, sizeof(key));
		wire_put32(addr->b + 8, (uint32_t)(hash >> 32));
		wire_put32(addr->b + 12, (uint32_t)hash);
		key[11]++; /* a new hash, should it be a reserved one */
	} while (is_reserved(addr->b + 8));
}

/* RFC 8981 3.3.1. */
static void make_random(struct net *net, struct tow_addr *addr)
{
	do {
		wire_put32(addr->b + 8, random_u32(&net->random));
		wire_put32(addr->b + 12, random_u32(&net->random));
	} while (is_reserved(addr->b + 8));
}

static uint64_t after(const struct net *net, uint64_t us)
{
	return us == NEVER ? NEVER : net->now_us + us;
}

static uint64_t left_us(const struct net *net, uint64_t until_us)
{
	if (until_us == NEVER)
		return NEVER;
	return until_us > net->now_us ? until_us - net->now_us : 0;
}

static int start_stable(struct net *net, unsigned link,
			const struct tow_addr *prefix, uint64_t preferred_us,
			uint64_t valid_us)
{
	struct claim_wish wish = {
		.addr = *prefix,
		.prefix_bits = PREFIX_BITS,
		.origin = addr_is_link_local(prefix) ? TOW_ADDR_LINK_LOCAL
						     : TOW_ADDR_STABLE,
		.preferred_until_us = after(net, preferred_us),
		.valid_until_us = after(net, valid_us),
	};

	make_stable(net, link, 0, &wish.addr);
	return claim_start(net, link, &wish);
}

/* RFC 8981 3.4, 4: not if it were over before it was checked. */
static void start_temporary(struct net *net, unsigned link,
			    const struct tow_addr *prefix,
			    uint64_t preferred_us, uint64_t valid_us)
{
	uint64_t desync_us =
		random_below(&net->random, DESYNC_S_MAX) * (uint64_t)AUTO_S;
	struct claim_wish wish = {
		.addr = *prefix,
		.prefix_bits = PREFIX_BITS,
		.origin = TOW_ADDR_TEMPORARY,
		.desync_us = desync_us,
	};

	preferred_us = MIN(preferred_us, TEMP_PREFERRED_US - desync_us);
	if (preferred_us <= REGEN_ADVANCE_US)
		return;
	wish.preferred_until_us = after(net, preferred_us);
	wish.valid_until_us = after(net, MIN(valid_us, TEMP_VALID_US));
	make_random(net, &wish.addr);
	(void)claim_start(net, link, &wish); /* no room: then there is none */
}

/* RFC 4862 5.3, with RFC 7217; what the link had until now goes. */
int slaac_link_local(struct net *net, unsigned link)
{
	struct tow_addr prefix = { { 0xfe, 0x80 } };
	struct net_auto *a = &net->private->automatic;
	struct claim *c;
	uint32_t i;

	for (c = a->claims; c < a->claims + a->claim_max; c++)
		if (c->state != CLAIM_FREE && c->link == link &&
		    c->origin == TOW_ADDR_LINK_LOCAL)
			claim_drop(net, c);
	for (i = net->addr_count; i-- > 0;)
		if (net->addrs[i].link == link && !net->addrs[i].claimed &&
		    addr_is_link_local(&net->addrs[i].addr))
			addr_remove(net, &net->addrs[i]);
	return start_stable(net, link, &prefix, NEVER, NEVER);
}

static bool is_of_prefix(const struct claim *c, unsigned link,
			 const struct tow_addr *prefix)
{
	return c->state != CLAIM_FREE && c->link == link &&
	       (c->origin == TOW_ADDR_STABLE ||
		c->origin == TOW_ADDR_TEMPORARY) &&
	       addr_prefix_equal(&c->addr, prefix, PREFIX_BITS);
}

/*
 * RFC 4862 5.5.3 (e): whoever can send an advertisement could end our
 * addresses by a lifetime of 0. So less than two hours is not believed.
 */
static void refresh(struct net *net, struct claim *c, uint64_t preferred_us,
		    uint64_t valid_us)
{
	uint64_t valid_left_us = left_us(net, c->valid_until_us);

	if (valid_us > TWO_HOURS_US || valid_us > valid_left_us)
		c->valid_until_us = after(net, valid_us);
	else if (valid_left_us > TWO_HOURS_US)
		c->valid_until_us = after(net, TWO_HOURS_US);
	c->preferred_until_us = after(net, preferred_us);

	if (c->origin != TOW_ADDR_TEMPORARY)
		return;
	/* RFC 8981 3.4: never longer than from when it was made */
	c->valid_until_us = MIN(c->valid_until_us, c->made_us + TEMP_VALID_US);
	c->preferred_until_us =
		MIN(c->preferred_until_us,
		    c->made_us + TEMP_PREFERRED_US - c->desync_us);
	/* What was over has begun anew, and will need a successor again */
	if (c->preferred_until_us > net->now_us + REGEN_ADVANCE_US)
		c->succeeded = false;
}

/* Is there no temporary address of the prefix for new flows, nor to be? */
static bool lacks_temporary(const struct net *net, unsigned link,
			    const struct tow_addr *prefix)
{
	const struct net_auto *a = &net->private->automatic;
	const struct claim *c;

	if (!a->links[link].temporary)
		return false;
	for (c = a->claims; c < a->claims + a->claim_max; c++)
		if (c->origin == TOW_ADDR_TEMPORARY &&
		    is_of_prefix(c, link, prefix) &&
		    c->preferred_until_us > net->now_us)
			return false;
	return true;
}

/* An autonomous prefix (RFC 4862 5.5.3), for so long; NEVER is for ever. */
void slaac_prefix(struct net *net, unsigned link, const struct tow_addr *prefix,
		  uint64_t preferred_us, uint64_t valid_us)
{
	struct net_auto *a = &net->private->automatic;
	unsigned stable = 0;
	bool known = false;
	struct claim *c;

	for (c = a->claims; c < a->claims + a->claim_max; c++) {
		if (c->state != CLAIM_FREE && c->link == link)
			stable += c->origin == TOW_ADDR_STABLE;
		if (!is_of_prefix(c, link, prefix))
			continue;
		known = true;
		refresh(net, c, preferred_us, valid_us);
		claim_update(net, c);
	}
	if (valid_us == 0)
		return;
	if (!known &&
	    (stable >= PREFIXES_MAX ||
	     start_stable(net, link, prefix, preferred_us, valid_us) != 0)) {
		net_count(net, TOW_COUNTER_ROUTER_FULL);
		return;
	}
	/* Also later: a prefix may have been deprecated, and is no more */
	if (lacks_temporary(net, link, prefix))
		start_temporary(net, link, prefix, preferred_us, valid_us);
}

/* Somebody has it: another one, unless that was tried often enough. */
void slaac_refused(struct net *net, struct claim *c)
{
	struct claim_wish wish = {
		.addr = c->addr,
		.prefix_bits = c->prefix_bits,
		.origin = c->origin,
		.attempt = (uint8_t)(c->attempt + 1),
		.delay_us = IDGEN_DELAY_US,
		.desync_us = c->desync_us,
		.preferred_until_us = c->preferred_until_us,
		.valid_until_us = c->valid_until_us,
	};

	if (c->origin == TOW_ADDR_STATIC || c->origin == TOW_ADDR_DHCP ||
	    wish.attempt > IDGEN_RETRIES)
		return;
	if (c->origin == TOW_ADDR_TEMPORARY)
		make_random(net, &wish.addr);
	else
		make_stable(net, c->link, wish.attempt, &wish.addr);
	c->state = CLAIM_FREE;
	(void)claim_start(net, c->link, &wish);
}

/* When a temporary address needs a successor (RFC 8981 3.5). */
uint64_t slaac_next(const struct claim *c)
{
	if (c->origin != TOW_ADDR_TEMPORARY || c->state != CLAIM_HELD ||
	    c->succeeded || c->preferred_until_us == NEVER)
		return NEVER;
	return c->preferred_until_us > REGEN_ADVANCE_US
		       ? c->preferred_until_us - REGEN_ADVANCE_US
		       : 0;
}

/* Its successor lives as long as the stable address beside it, at most. */
void slaac_renew(struct net *net, struct claim *c)
{
	struct net_auto *a = &net->private->automatic;
	struct claim *s;

	c->succeeded = true;
	for (s = a->claims; s < a->claims + a->claim_max; s++)
		if (s->origin == TOW_ADDR_STABLE &&
		    is_of_prefix(s, c->link, &c->addr))
			break;
	if (s < a->claims + a->claim_max)
		start_temporary(net, c->link, &c->addr,
				left_us(net, s->preferred_until_us),
				left_us(net, s->valid_until_us));
}
