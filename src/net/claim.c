/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims: addresses that become ours if nobody else has them, and that are
 * ours for as long as they last.
 *
 *	                probes unanswered
 *	CHECKING ------------------------> HELD ---> its time is over: gone
 *	    |                               |
 *	    | an answer, or another         | a conflict that is not won
 *	    | one's probe                   v
 *	    +--------------------------> REFUSED
 *
 * IPv6 sends one solicitation for the address from nowhere, or as many as
 * autoconfiguration of the link was told, and waits RETRANS_TIMER for an answer
 * (RFC 4862 5.4). Each carries a nonce, so that one that the network sends back
 * to us is not taken for another node's (RFC 7527); then it asks again, until a
 * question has not come back. That we are in the address's solicited-node group
 * is told in front of the first (RFC 4862 5.4.2): switches would keep the
 * others' questions from us.
 *
 * IPv4 sends three ARP probes, and when it has the address two announcements
 * (RFC 5227 2.1 to 2.3), which are what people call gratuitous ARP.
 *
 * Who answers everything denies us every address: then an address is REFUSED,
 * after the few attempts that RFC 7217 and 8981 allow with another one, and
 * the program is told. Nothing is tried for ever.
 *
 * A conflict over an IPv4 address that we hold is answered by one announcement
 * each DEFEND_INTERVAL. A second one in that time ends it for an address
 * that can be had anew; one that the program gave is kept (RFC 5227 2.4 (b),
 * (c)). For IPv6 RFC 4862 5.4.4 asks for nothing: it is counted.
 */
#include "net/net_private.h"
#include "wire/wire_icmp.h"

/* RFC 5227 1.1 */
#define PROBE_WAIT_US	     (1 * AUTO_S) /* at random, before the first */
#define PROBE_NUM	     3
#define PROBE_MIN_US	     (1 * AUTO_S)
#define PROBE_MAX_US	     (2 * AUTO_S)
#define ANNOUNCE_WAIT_US     (2 * AUTO_S)
#define ANNOUNCE_NUM	     2
#define ANNOUNCE_INTERVAL_US (2 * AUTO_S)
#define DEFEND_INTERVAL_US   (10 * AUTO_S)

/* RFC 4862 5.1, RFC 4861 10 */
#define DAD_TRANSMITS	      1
#define SOLICITATION_DELAY_US (1 * AUTO_S)
#define RETRANS_US	      (1 * AUTO_S)
#define LOOPED_PROBES	      3 /* RFC 7527 4.1: MAX_MULTICAST_SOLICIT */

struct claim *claim_find(struct net *net, unsigned link,
			 const struct tow_addr *addr)
{
	struct net_auto *a = &net->private->automatic;
	struct claim *c;

	for (c = a->claims; c < a->claims + a->claim_max; c++)
		if (c->state != CLAIM_FREE && c->link == link &&
		    net_same(&c->addr, addr))
			return c;
	return NULL;
}

static struct claim *find_free(struct net *net)
{
	struct net_auto *a = &net->private->automatic;
	struct claim *c;

	for (c = a->claims; c < a->claims + a->claim_max; c++)
		if (c->state == CLAIM_FREE)
			return c;
	return NULL;
}

/* Addresses that have a place kept for them in net->addrs. */
uint32_t claims_checking(const struct net *net)
{
	const struct net_auto *a = &net->private->automatic;
	uint32_t i, count = 0;

	for (i = 0; i < a->claim_max; i++)
		count += a->claims[i].state == CLAIM_CHECKING;
	return count;
}

static bool is_advertised(uint8_t origin)
{
	return origin == TOW_ADDR_STABLE || origin == TOW_ADDR_TEMPORARY;
}

/*
 * Routers, or who plays one, get half of the table: what the program gives and
 * what a DHCP server leases finds the other half.
 */
static bool is_half_advertised(const struct net *net)
{
	const struct net_auto *a = &net->private->automatic;
	uint32_t i, count = 0;

	for (i = 0; i < a->claim_max; i++)
		count += a->claims[i].state != CLAIM_FREE &&
			 is_advertised(a->claims[i].origin);
	return count >= net->addr_max / 2;
}

static void forget(struct net *net, struct claim *c)
{
	struct net_addr *own = addr_of(net, c->link, &c->addr);

	if (c->state == CLAIM_HELD && own)
		addr_remove(net, own);
}

/* Given up, whatever it was. */
void claim_drop(struct net *net, struct claim *c)
{
	forget(net, c);
	c->state = CLAIM_FREE;
	group_solicited(net, c->link, &c->addr);
	auto_changed(net, c->link);
}

static void refuse(struct net *net, struct claim *c)
{
	forget(net, c);
	c->state = CLAIM_REFUSED;
	c->next_us = NEVER;
	group_solicited(net, c->link, &c->addr);
	auto_changed(net, c->link);
}

/* Somebody else has the address, or wants it. */
void claim_conflict(struct net *net, struct claim *c)
{
	net_count(net, TOW_COUNTER_ADDR_CONFLICTS);
	refuse(net, c);
	slaac_refused(net, c);
}

static bool is_routed(const struct claim *c)
{
	return (c->origin == TOW_ADDR_STATIC || c->origin == TOW_ADDR_DHCP) &&
	       !addr_is_link_local(&c->addr);
}

/* Its lifetimes may be others now, or over. */
void claim_update(struct net *net, struct claim *c)
{
	struct net_addr *own = addr_of(net, c->link, &c->addr);
	bool deprecated = c->preferred_until_us <= net->now_us;

	if (c->state != CLAIM_HELD || c->deprecated == deprecated)
		return;
	c->deprecated = deprecated;
	own->deprecated = deprecated;
	net->generation++; /* sources are chosen anew */
	auto_changed(net, c->link);
}

static void hold(struct net *net, struct claim *c)
{
	struct net_addr *own;

	if (addr_add(net, c->link, &c->addr, c->prefix_bits, is_routed(c))) {
		refuse(net, c); /* no room any more */
		return;
	}
	own = addr_of(net, c->link, &c->addr);
	own->claimed = true;
	own->temporary = c->origin == TOW_ADDR_TEMPORARY;
	c->state = CLAIM_HELD;
	c->sent = 0;
	c->next_us = NEVER;
	if (net_is_v4(&c->addr) && net_has_ethernet(&net->links[c->link]))
		c->next_us = net->now_us;
	if (addr_is_link_local(&c->addr) && !net_is_v4(&c->addr))
		group_tell_again(net, c->link);
	auto_changed(net, c->link);
	claim_update(net, c);
}

/* RFC 4862 5.1: how often it is asked for; 0: not at all. */
static uint8_t dad_transmits(const struct net *net, unsigned link)
{
	uint8_t told = net->private->automatic.links[link].config.dad_transmits;

	if (told == TOW_DAD_NONE)
		return 0;
	return told ? told : DAD_TRANSMITS;
}

int claim_start(struct net *net, unsigned link, const struct claim_wish *wish)
{
	bool v4 = net_is_v4(&wish->addr);
	int error = addr_check(net, link, &wish->addr, wish->prefix_bits);
	struct claim *c = find_free(net);

	if (error)
		return error;
	if (!c || (is_advertised(wish->origin) && is_half_advertised(net)))
		return TOW_ENOBUFS;
	*c = (struct claim){
		.addr = wish->addr,
		.link = (uint16_t)link,
		.prefix_bits = wish->prefix_bits,
		.state = CLAIM_CHECKING,
		.origin = wish->origin,
		.attempt = wish->attempt,
		.wanted = v4 ? PROBE_NUM : dad_transmits(net, link),
		.made_us = net->now_us,
		.desync_us = wish->desync_us,
		.preferred_until_us = wish->preferred_until_us,
		.valid_until_us = wish->valid_until_us,
	};
	/* Hosts that were switched on together do not ask together */
	c->next_us = net->now_us +
		     random_below(&net->random,
				  v4 ? PROBE_WAIT_US : SOLICITATION_DELAY_US);
	if (!net_has_ethernet(&net->links[link]) || c->wanted == 0)
		hold(net, c); /* there is nobody else, or nobody to be asked */
	auto_changed(net, link);
	auto_schedule(net);
	return 0;
}

/*
 * Steps, when their time has come.
 */

static void draw_nonce(struct net *net, struct claim *c)
{
	uint64_t nonce = random_u64(&net->random);

	memcpy(c->nonce, &nonce, sizeof(c->nonce));
}

static uint64_t retrans_us(const struct net *net, const struct claim *c)
{
	uint32_t advertised = net->private->automatic.links[c->link].retrans_us;

	return advertised ? advertised : RETRANS_US;
}

static void probe(struct net *net, struct claim *c)
{
	struct net_link *link = &net->links[c->link];

	c->sent++;
	if (!net_is_v4(&c->addr)) {
		group_solicited_now(net, c->link, &c->addr);
		draw_nonce(net, c);
		nd_probe(net, link, &c->addr, c->nonce);
		c->next_us = net->now_us + retrans_us(net, c);
		return;
	}
	arp_probe(net, link, &c->addr);
	c->next_us = net->now_us + ANNOUNCE_WAIT_US;
	if (c->sent < c->wanted)
		c->next_us =
			net->now_us + PROBE_MIN_US +
			random_below(&net->random, PROBE_MAX_US - PROBE_MIN_US);
}

static void announce(struct net *net, struct claim *c)
{
	arp_announce(net, &net->links[c->link], &c->addr);
	c->sent++;
	c->next_us = c->sent < ANNOUNCE_NUM ? net->now_us + ANNOUNCE_INTERVAL_US
					    : NEVER;
}

static void step(struct net *net, struct claim *c)
{
	if (c->state == CLAIM_CHECKING && c->sent < c->wanted)
		probe(net, c);
	else if (c->state == CLAIM_CHECKING)
		hold(net, c);
	else if (c->state == CLAIM_HELD)
		announce(net, c);
}

/* When something has to be done about it. */
uint64_t claim_next(const struct net *net, const struct claim *c)
{
	uint64_t next_us = MIN(c->next_us, c->valid_until_us);

	if (c->state == CLAIM_FREE)
		return NEVER;
	if (c->state == CLAIM_HELD && !c->deprecated)
		next_us = MIN(next_us, c->preferred_until_us);
	return MIN(next_us, slaac_next(net, c));
}

void claim_due(struct net *net, struct claim *c)
{
	if (c->valid_until_us <= net->now_us) {
		claim_drop(net, c);
		return;
	}
	claim_update(net, c);
	if (c->next_us <= net->now_us)
		step(net, c);
	if (c->state == CLAIM_HELD && c->next_us <= net->now_us)
		step(net, c); /* just held: announced at once */
	if (slaac_next(net, c) <= net->now_us)
		slaac_renew(net, c);
}

/*
 * What others say.
 */

/*
 * RFC 5227 2.1.1: while we probe, another one's use of the address is a
 * conflict, and so is another one's probe. Returns: it was about a claim.
 */
bool claim_heard_arp(struct net *net, unsigned link,
		     const struct tow_addr *sender,
		     const struct tow_addr *target, bool is_probe)
{
	struct claim *c = claim_find(net, link, is_probe ? target : sender);

	if (!c || c->state != CLAIM_CHECKING)
		return false;
	claim_conflict(net, c);
	auto_schedule(net);
	return true;
}

/*
 * RFC 4862 5.4.3: another node asks for the same address; unless it is our own
 * question that came back, RFC 7527 4.1.
 */
void claim_heard_solicit(struct net *net, struct claim *c, const uint8_t *nonce)
{
	if (nonce && c->sent > 0 &&
	    memcmp(nonce, c->nonce, sizeof(c->nonce)) == 0) {
		net_count(net, TOW_COUNTER_DAD_LOOPED);
		/* And it may do so for as long as it likes */
		c->sent = 1;
		c->wanted = MAX(c->wanted, 1 + LOOPED_PROBES);
		return;
	}
	claim_conflict(net, c);
	auto_schedule(net);
}

/* RFC 5227 2.4: somebody uses an IPv4 address of ours. */
void addr_conflict(struct net *net, unsigned link, const struct tow_addr *addr)
{
	struct net_addr *own = addr_of(net, link, addr);
	struct claim *c = claim_find(net, link, addr);

	net_count(net, TOW_COUNTER_ADDR_CONFLICTS);
	if (!own)
		return;
	if (own->defended_us == 0 ||
	    net->now_us - own->defended_us >= DEFEND_INTERVAL_US) {
		own->defended_us = net->now_us;
		arp_announce(net, &net->links[link], addr);
		return;
	}
	if (c && c->origin != TOW_ADDR_STATIC) {
		refuse(net, c);
		auto_schedule(net);
	}
}
