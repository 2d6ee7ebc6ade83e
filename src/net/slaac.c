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
 * the next hash or other random bits. So is one that has an identifier which is
 * reserved, or that is ours already.
 *
 *	             made      REGEN_ADVANCE   preferred for  valid for
 *	temporary 1  |----------------|-----|- - - - - - - - -|
 *	temporary 2                   |-----------------|-----|- - - - - -
 */
#include "net/net_private.h"

#define HOUR_US		     (3600ull * AUTO_S)
#define TWO_HOURS_US	     (2 * HOUR_US) /* RFC 4862 5.5.3 (e) */
#define IDGEN_RETRIES	     3 /* RFC 7217 7; TEMP_IDGEN_RETRIES, too */
#define RETRANS_US	     (1 * AUTO_S) /* RFC 4861 10 */
#define TEMP_VALID_S	     (48 * 3600)  /* RFC 8981 3.8, and below */
#define TEMP_PREFERRED_S     (24 * 3600)
#define TEMP_PREFERRED_S_MIN 10		      /* or twice REGEN_ADVANCE */
#define DESYNC_MS_MAX	     (UINT32_MAX - 1) /* as many as can be drawn */
#define PREFIX_BITS	     64
#define PREFIXES_MAX	     8 /* of a link, that we make addresses of */

/* RFC 5453: the subnet's routers, the Ethernet block, subnet anycast. */
bool slaac_is_reserved(const uint8_t id[8])
{
	static const uint8_t routers[8];
	static const uint8_t ethernet[5] = { 2, 0, 0x5e, 0xff, 0xfe };
	static const uint8_t anycast[7] = { 0xfd, 0xff, 0xff, 0xff,
					    0xff, 0xff, 0xff };

	return memcmp(id, routers, sizeof(routers)) == 0 ||
	       memcmp(id, ethernet, sizeof(ethernet)) == 0 ||
	       (memcmp(id, anycast, sizeof(anycast)) == 0 && id[7] >= 0x80);
}

static const struct tow_autoconf_config *config_of(const struct net *net,
						   unsigned link)
{
	return &net->private->automatic.links[link].config;
}

/* RFC 7217 5, RFC 8981 3.3.1: not reserved, and not there already. */
static bool is_acceptable(struct net *net, unsigned link,
			  const struct tow_addr *addr)
{
	return !slaac_is_reserved(addr->b + 8) &&
	       !addr_find_on(net, link, addr) && !claim_find(net, link, addr);
}

/* RFC 7217 5: F(Prefix, Net_Iface, DAD_Counter, secret_key). */
static void hash_id(const struct net *net, unsigned link, unsigned counter,
		    struct tow_addr *addr)
{
	const struct auto_link *l = &net->private->automatic.links[link];
	uint8_t key[12] = { 0 };
	uint64_t hash;

	memcpy(key, addr->b, 8);
	wire_put16(key + 8, link);
	key[10] = (uint8_t)counter;
	hash = siphash24(&l->key, key, sizeof(key));
	wire_put32(addr->b + 8, (uint32_t)(hash >> 32));
	wire_put32(addr->b + 12, (uint32_t)hash);
}

/*
 * RFC 7217 5, 6: a hash that cannot be used counts as an attempt whose address
 * is taken. Returns: the counter that it has, above IDGEN_RETRIES without one.
 */
static unsigned make_stable(struct net *net, unsigned link, unsigned counter,
			    struct tow_addr *addr)
{
	for (; counter <= IDGEN_RETRIES; counter++) {
		hash_id(net, link, counter, addr);
		if (is_acceptable(net, link, addr))
			break;
	}
	return counter;
}

/* RFC 8981 3.3.1. */
static void make_random(struct net *net, unsigned link, struct tow_addr *addr)
{
	do {
		wire_put32(addr->b + 8, random_u32(&net->random));
		wire_put32(addr->b + 12, random_u32(&net->random));
	} while (!is_acceptable(net, link, addr));
}

static uint64_t after(const struct net *net, uint64_t us)
{
	return us == NEVER ? NEVER : net->now_us + us;
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

	wish.attempt = (uint8_t)make_stable(net, link, 0, &wish.addr);
	if (wish.attempt > IDGEN_RETRIES)
		return TOW_EEXIST;
	return claim_start(net, link, &wish);
}

/*
 * Temporary addresses: the variables of RFC 8981 3.8.
 */

static uint64_t temp_valid_us(const struct tow_autoconf_config *config)
{
	uint32_t told_s = config->temporary_valid_s;

	return (uint64_t)AUTO_S * (told_s ? told_s : TEMP_VALID_S);
}

static uint64_t temp_preferred_us(const struct tow_autoconf_config *config)
{
	uint32_t told_s = config->temporary_preferred_s;

	return (uint64_t)AUTO_S * (told_s ? told_s : TEMP_PREFERRED_S);
}

/* 2 s + TEMP_IDGEN_RETRIES * DupAddrDetectTransmits * RetransTimer. */
static uint64_t regen_advance_after_us(const struct tow_autoconf_config *config,
				       uint32_t retrans_us)
{
	if (config->dad_transmits == TOW_DAD_NONE)
		return 2 * AUTO_S;
	return 2 * AUTO_S + (uint64_t)IDGEN_RETRIES *
				    MAX(config->dad_transmits, 1) * retrans_us;
}

/* As routers have it now. */
static uint64_t regen_advance_us(const struct net *net, unsigned link)
{
	const struct auto_link *l = &net->private->automatic.links[link];

	return regen_advance_after_us(&l->config, l->retrans_us ? l->retrans_us
								: RETRANS_US);
}

static uint64_t temp_preferred_us_min(const struct tow_autoconf_config *config)
{
	return MAX(TEMP_PREFERRED_S_MIN * AUTO_S,
		   2 * regen_advance_after_us(config, RETRANS_US));
}

/* "MUST be smaller than TEMP_VALID_LIFETIME". */
int slaac_check(const struct tow_autoconf_config *config)
{
	unsigned i;

	if (temp_preferred_us(config) >= temp_valid_us(config) ||
	    temp_preferred_us(config) < temp_preferred_us_min(config) ||
	    config->rule_count > TOW_TEMPORARY_RULES_MAX)
		return TOW_EINVAL;
	for (i = 0; i < config->rule_count; i++)
		if (config->rules[i].prefix_bits > 128)
			return TOW_EINVAL;
	return 0;
}

/* Up to 0.4 * TEMP_PREFERRED_LIFETIME, and a successor has its time. */
static uint64_t draw_desync_us(struct net *net, unsigned link)
{
	uint64_t preferred_us = temp_preferred_us(config_of(net, link));
	uint64_t advance_us = regen_advance_us(net, link);
	uint64_t most_us = preferred_us / 5 * 2;

	if (preferred_us <= advance_us)
		return 0;
	most_us = MIN(most_us, preferred_us - advance_us - 1);
	most_us = MIN(most_us, DESYNC_MS_MAX * 1000ull);
	return random_below(&net->random, (uint32_t)(most_us / 1000) + 1) *
	       1000ull;
}

/* 3.7: what is said of a part of all prefixes counts more. */
static bool wants_temporary(const struct net *net, unsigned link,
			    const struct tow_addr *prefix)
{
	const struct tow_autoconf_config *config = config_of(net, link);
	const struct tow_temporary_rule *rule = config->rules;

	for (; rule < config->rules + config->rule_count; rule++)
		if (rule->prefix_bits <= PREFIX_BITS &&
		    addr_prefix_equal(&rule->prefix, prefix, rule->prefix_bits))
			return rule->temporary;
	return config->temporary;
}

/* RFC 8981 3.4, 4: not if it were over before it was checked. */
static void start_temporary(struct net *net, unsigned link,
			    const struct tow_addr *prefix,
			    uint64_t preferred_us, uint64_t valid_us)
{
	const struct tow_autoconf_config *config = config_of(net, link);
	uint64_t desync_us = draw_desync_us(net, link);
	struct claim_wish wish = {
		.addr = *prefix,
		.prefix_bits = PREFIX_BITS,
		.origin = TOW_ADDR_TEMPORARY,
		.desync_us = desync_us,
	};

	preferred_us = MIN(preferred_us, temp_preferred_us(config) - desync_us);
	if (preferred_us <= regen_advance_us(net, link))
		return;
	wish.preferred_until_us = after(net, preferred_us);
	wish.valid_until_us = after(net, MIN(valid_us, temp_valid_us(config)));
	make_random(net, link, &wish.addr);
	(void)claim_start(net, link, &wish); /* no room: then there is none */
}

static bool is_link_local(const struct claim *c, unsigned link)
{
	return c->state != CLAIM_FREE && c->link == link &&
	       c->origin == TOW_ADDR_LINK_LOCAL;
}

static bool has_room(const struct net *net, unsigned link)
{
	const struct net_auto *a = &net->private->automatic;
	const struct claim *c;

	for (c = a->claims; c < a->claims + a->claim_max; c++)
		if (c->state == CLAIM_FREE || is_link_local(c, link))
			return true;
	return false;
}

/*
 * RFC 4862 5.3, with RFC 7217; what the link had until now goes, but not for
 * nothing.
 */
int slaac_link_local(struct net *net, unsigned link)
{
	struct tow_addr prefix = { { 0xfe, 0x80 } };
	struct net_auto *a = &net->private->automatic;
	struct claim *c;
	uint32_t i;

	if (!has_room(net, link))
		return TOW_ENOBUFS;
	for (c = a->claims; c < a->claims + a->claim_max; c++)
		if (is_link_local(c, link))
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
	const struct tow_autoconf_config *config = config_of(net, c->link);
	uint64_t valid_left_us = auto_left_us(net, c->valid_until_us);

	if (valid_us > TWO_HOURS_US || valid_us > valid_left_us)
		c->valid_until_us = after(net, valid_us);
	else if (valid_left_us > TWO_HOURS_US)
		c->valid_until_us = after(net, TWO_HOURS_US);
	c->preferred_until_us = after(net, preferred_us);

	/* RFC 8981 3.4 (7): nor another one, as long as there is the prefix */
	if (c->origin != TOW_ADDR_TEMPORARY || c->state == CLAIM_REFUSED)
		return;
	/* RFC 8981 3.4: never longer than from when it was made */
	c->valid_until_us =
		MIN(c->valid_until_us, c->made_us + temp_valid_us(config));
	c->preferred_until_us =
		MIN(c->preferred_until_us,
		    c->made_us + temp_preferred_us(config) - c->desync_us);
	/* What was over has begun anew, and will need a successor again */
	if (c->preferred_until_us >
	    net->now_us + regen_advance_us(net, c->link))
		c->succeeded = false;
}

/* Is there no temporary address of the prefix for new flows, nor to be? */
static bool lacks_temporary(const struct net *net, unsigned link,
			    const struct tow_addr *prefix)
{
	const struct net_auto *a = &net->private->automatic;
	const struct claim *c;

	if (!wants_temporary(net, link, prefix))
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
		.desync_us = c->desync_us,
		.preferred_until_us = c->preferred_until_us,
		.valid_until_us = c->valid_until_us,
	};

	if (c->origin == TOW_ADDR_STATIC || c->origin == TOW_ADDR_DHCP ||
	    wish.attempt > IDGEN_RETRIES)
		return;
	if (c->origin == TOW_ADDR_TEMPORARY)
		make_random(net, c->link, &wish.addr);
	else
		wish.attempt = (uint8_t)make_stable(net, c->link, wish.attempt,
						    &wish.addr);
	if (wish.attempt > IDGEN_RETRIES)
		return;
	/* claim_start() is the random delay of RFC 7217 6, IDGEN_DELAY */
	c->state = CLAIM_FREE;
	(void)claim_start(net, c->link, &wish);
}

/* When a temporary address needs a successor (RFC 8981 3.5). */
uint64_t slaac_next(const struct net *net, const struct claim *c)
{
	uint64_t advance_us = regen_advance_us(net, c->link);

	if (c->origin != TOW_ADDR_TEMPORARY || c->state != CLAIM_HELD ||
	    c->succeeded || c->preferred_until_us == NEVER)
		return NEVER;
	return c->preferred_until_us > advance_us
		       ? c->preferred_until_us - advance_us
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
				auto_left_us(net, s->preferred_until_us),
				auto_left_us(net, s->valid_until_us));
}
