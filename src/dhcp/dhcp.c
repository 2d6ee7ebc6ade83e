/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DHCP client: RFC 2131 4.4, with the check of RFC 5227 in between.
 *
 *	INIT --wait--> SELECTING --offer--> REQUESTING --ack--> CHECKING
 *	  ^                                     | nak,             | it is free
 *	  |                                     | silence          v
 *	  +<------------------------------------+<--decline--    BOUND <--+
 *	  ^                                                      | T1     | ack
 *	  |           the lease is over                          v        |
 *	  +<-- REBINDING (all servers) <---T2--- RENEWING (ours) +--------+
 *
 * The first offer that makes sense is taken. Answers are asked for by
 * broadcast, as long as we have no address to receive another one at. A new
 * xid is drawn for each exchange from the stack's randomness, so that somebody
 * who does not see our questions cannot answer them; who does see them could be
 * any server.
 *
 * What a hostile or broken server can make us do is ask again, and not more
 * often than the waits here let us: each failure doubles the next wait up to
 * 64 s, a conflict counts as RFC 2131 3.1 (5) says.
 */
#include "dhcp/dhcp_private.h"
#include <tow/stack.h>
#include "wire/wire_udp.h"

#define START_US      (1 * DHCP_S) /* at random; RFC 2131 4.4.1 has 1 to 10 */
#define FIRST_RETRY_S 4		   /* RFC 2131 4.1: doubled, plus or minus 1 */
#define LAST_RETRY_S  64
#define REQUESTS_MAX  4		    /* then another offer is looked for */
#define RENEW_US_MIN  (60 * DHCP_S) /* RFC 2131 4.4.5 */
#define DECLINED_US   (10 * DHCP_S) /* RFC 2131 3.1 (5) */
#define CONFLICTS_MAX 10	    /* RFC 5227 1.1: MAX_CONFLICTS, */
#define CONFLICTED_US (60 * DHCP_S) /* RATE_LIMIT_INTERVAL */
#define FUZZ	      64	    /* part of T1 and T2 that is random */
#define FAIL_DOUBLES  6		    /* up to 64 s */
#define RELEASING_US  (DHCP_S / 5)
#define NEVER	      UINT64_MAX

static unsigned link_of(const struct dhcp_host *dhcp,
			const struct dhcp_client *c)
{
	return (unsigned)(c - dhcp->clients);
}

static bool holds_address(const struct dhcp_client *c)
{
	return c->state == DHCP_BOUND || c->state == DHCP_RENEWING ||
	       c->state == DHCP_REBINDING;
}

static void wake_at(struct dhcp_host *dhcp, struct dhcp_client *c,
		    uint64_t at_us)
{
	if (at_us == NEVER)
		timer_disarm(&dhcp->net->wheel, &c->timer);
	else
		timer_arm(&dhcp->net->wheel, &c->timer, at_us);
}

/* RFC 2131 4.1: 4, 8, 16, 32, 64 s, each plus or minus one. */
static void wake_to_retry(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	uint64_t s =
		MIN((uint64_t)FIRST_RETRY_S << MIN(c->tries, 8), LAST_RETRY_S);

	c->tries = (uint8_t)MIN(c->tries + 1, UINT8_MAX);
	wake_at(dhcp, c,
		dhcp->net->now_us + (s - 1) * DHCP_S +
			random_below(&dhcp->net->random, 2 * DHCP_S));
}

/* --- what a lease brings, and takes along -------------------------------- */

static void remove_route(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	struct tow_addr any = tow_addr_v4(0, 0, 0, 0);

	if (c->routed)
		net_route_remove(dhcp->net, link_of(dhcp, c), &any, 0,
				 &c->lease.router);
	c->routed = false;
}

static void add_route(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	struct tow_addr any = tow_addr_v4(0, 0, 0, 0);

	if (c->routed || tow_addr_is_any(&c->lease.router))
		return;
	c->routed = net_route_add(dhcp->net, link_of(dhcp, c), &any, 0,
				  &c->lease.router) == 0;
}

static void remove_all(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	remove_route(dhcp, c);
	/* Of an offer there is none yet, whatever address it names */
	net_addr_unlease(dhcp->net, link_of(dhcp, c), &c->lease.addr);
}

/* RFC 2131 4.4.5: "with some random fuzz", earlier. */
static uint64_t fuzzy_us(struct dhcp_host *dhcp, uint32_t after_s)
{
	uint64_t us = after_s * DHCP_S;

	return us -
	       random_below(&dhcp->net->random, after_s / FUZZ + 1) * DHCP_S;
}

static void set_times(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	uint64_t from_us = c->requested_us;

	c->t1_us = c->t2_us = c->end_us = NEVER;
	if (c->lease.lease_s == DHCP_FOREVER_S)
		return;
	c->t2_us = from_us + fuzzy_us(dhcp, c->lease.t2_s);
	c->t1_us = MIN(from_us + fuzzy_us(dhcp, c->lease.t1_s), c->t2_us);
	c->end_us = from_us + c->lease.lease_s * DHCP_S;
}

/* --- states ----------------------------------------------------------------
 */

static void enter_init(struct dhcp_host *dhcp, struct dhcp_client *c,
		       uint64_t wait_us)
{
	remove_all(dhcp, c);
	/* The address may have gone before, and that been told */
	if (holds_address(c))
		net_dns_changed(dhcp->net, link_of(dhcp, c));
	c->state = DHCP_INIT;
	c->lease = (struct dhcp_lease){ .lease_s = 0 };
	wake_at(dhcp, c, dhcp->net->now_us + wait_us);
}

/* 1, 2, 4, ... s after so many failures in a row. */
static void fail(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	uint64_t s = 1ull << MIN(c->failures, FAIL_DOUBLES);

	c->failures = (uint8_t)MIN(c->failures + 1, UINT8_MAX);
	enter_init(dhcp, c,
		   s * DHCP_S + random_below(&dhcp->net->random, DHCP_S));
}

static void discover(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	c->discovered_us = dhcp->net->now_us;
	dhcp_send(dhcp, link_of(dhcp, c), DHCP_DISCOVER);
	wake_to_retry(dhcp, c);
}

static void enter_selecting(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	c->state = DHCP_SELECTING;
	c->xid = random_u32(&dhcp->net->random);
	c->started_us = dhcp->net->now_us;
	c->tries = 0;
	discover(dhcp, c);
}

static void enter_requesting(struct dhcp_host *dhcp, struct dhcp_client *c,
			     const struct dhcp_lease *offer)
{
	c->state = DHCP_REQUESTING;
	c->lease = *offer;
	c->tries = 0;
	c->requested_us = dhcp->net->now_us;
	dhcp_send(dhcp, link_of(dhcp, c), DHCP_REQUEST);
	wake_to_retry(dhcp, c);
}

/*
 * RFC 2131 3.1 (5): the server hears of it, and we wait. Who has whatever we
 * are offered has us try once a minute (RFC 5227 2.1.1).
 */
static void decline(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	c->state = DHCP_CHECKING;
	dhcp_send(dhcp, link_of(dhcp, c), DHCP_DECLINE);
	c->conflicts = (uint8_t)MIN(c->conflicts + 1, CONFLICTS_MAX);
	enter_init(dhcp, c,
		   c->conflicts < CONFLICTS_MAX ? DECLINED_US : CONFLICTED_US);
}

static void enter_bound(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	c->state = DHCP_BOUND;
	c->failures = 0;
	add_route(dhcp, c);
	wake_at(dhcp, c, c->t1_us);
}

static void enter_checking(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	c->state = DHCP_CHECKING;
	set_times(dhcp, c);
	if (net_addr_lease(dhcp->net, link_of(dhcp, c), &c->lease.addr,
			   c->lease.mask_bits, c->end_us) != 0) {
		/* No address for a host, ours already, no room: nobody has it,
		 * which is all that a decline could say */
		fail(dhcp, c);
		return;
	}
	wake_at(dhcp, c, c->end_us);
}

static void enter_renewing(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	c->state = DHCP_RENEWING;
	c->xid = random_u32(&dhcp->net->random);
	c->started_us = dhcp->net->now_us;
}

/* RFC 2131 4.4.5: at half of the time that is left, but not each minute. */
static void ask_until(struct dhcp_host *dhcp, struct dhcp_client *c,
		      uint64_t until_us)
{
	uint64_t now_us = dhcp->net->now_us;
	uint64_t wait_us = MAX((until_us - now_us) / 2, RENEW_US_MIN);

	c->requested_us = now_us;
	dhcp_send(dhcp, link_of(dhcp, c), DHCP_REQUEST);
	wake_at(dhcp, c, MIN(now_us + wait_us, until_us));
}

/* --- time ------------------------------------------------------------------
 */

static void retry_request(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	if (c->tries >= REQUESTS_MAX) {
		fail(dhcp, c);
		return;
	}
	dhcp_send(dhcp, link_of(dhcp, c), DHCP_REQUEST);
	wake_to_retry(dhcp, c);
}

static void keep_lease(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	uint64_t now_us = dhcp->net->now_us;

	if (now_us >= c->end_us) {
		fail(dhcp, c);
		return;
	}
	if (c->state == DHCP_BOUND)
		enter_renewing(dhcp, c);
	if (c->state == DHCP_RENEWING && now_us >= c->t2_us)
		c->state = DHCP_REBINDING;
	ask_until(dhcp, c, c->state == DHCP_RENEWING ? c->t2_us : c->end_us);
}

static void finish_release(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	remove_all(dhcp, c);
	c->state = DHCP_STOPPED;
	dhcp->running--;
	timer_disarm(&dhcp->net->wheel, &c->timer);
}

void dhcp_timer(struct dhcp_host *dhcp, struct timer *timer)
{
	struct dhcp_client *c = CONTAINER(timer, struct dhcp_client, timer);

	switch ((enum dhcp_state)c->state) {
	case DHCP_STOPPED:
		break;
	case DHCP_INIT:
		enter_selecting(dhcp, c);
		break;
	case DHCP_SELECTING:
		discover(dhcp, c);
		break;
	case DHCP_REQUESTING:
		retry_request(dhcp, c);
		break;
	case DHCP_CHECKING:
		fail(dhcp, c); /* the lease ended before the check */
		break;
	case DHCP_BOUND:
	case DHCP_RENEWING:
	case DHCP_REBINDING:
		keep_lease(dhcp, c);
		break;
	case DHCP_RELEASING:
		finish_release(dhcp, c);
		break;
	}
}

/* --- what became of the address -------------------------------------------
 */

static void look_at_address(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	enum tow_addr_state state;

	if (c->state != DHCP_CHECKING && !holds_address(c))
		return;
	state = net_lease_state(dhcp->net, link_of(dhcp, c), &c->lease.addr);
	if (state == TOW_ADDR_DUPLICATE)
		decline(dhcp, c);
	else if (state == 0)
		fail(dhcp, c); /* its time is over, or the program took it */
	else if (state != TOW_ADDR_TENTATIVE && c->state == DHCP_CHECKING)
		enter_bound(dhcp, c);
}

void dhcp_poll(struct dhcp_host *dhcp)
{
	uint32_t i;

	if (LIKELY(dhcp->running == 0) ||
	    dhcp->seen == net_addr_changes(dhcp->net))
		return;
	dhcp->seen = net_addr_changes(dhcp->net);
	for (i = 0; i < dhcp->net->link_count; i++)
		look_at_address(dhcp, &dhcp->clients[i]);
}

/* --- answers ---------------------------------------------------------------
 */

static bool names_other_servers(const struct dhcp_lease *a,
				const struct dhcp_lease *b)
{
	return a->dns_count != b->dns_count ||
	       memcmp(a->dns, b->dns, a->dns_count * sizeof(a->dns[0])) != 0;
}

static void granted(struct dhcp_host *dhcp, struct dhcp_client *c,
		    const struct dhcp_lease *lease)
{
	if (!tow_addr_equal(&lease->addr, &c->lease.addr))
		return;
	if (c->state == DHCP_REQUESTING) {
		c->lease = *lease;
		enter_checking(dhcp, c);
		return;
	}
	if (!tow_addr_equal(&lease->router, &c->lease.router))
		remove_route(dhcp, c);
	c->conflicts = 0;
	if (names_other_servers(lease, &c->lease))
		net_dns_changed(dhcp->net, link_of(dhcp, c));
	c->lease = *lease;
	set_times(dhcp, c);
	net_addr_prolong(dhcp->net, link_of(dhcp, c), &lease->addr, c->end_us);
	enter_bound(dhcp, c);
}

static void refused(struct dhcp_host *dhcp, struct dhcp_client *c)
{
	net_count(dhcp->net, TOW_COUNTER_DHCP_NAKS);
	fail(dhcp, c);
}

/* RFC 2131 figure 5: what an answer means in which state. */
static void answer(struct dhcp_host *dhcp, struct dhcp_client *c,
		   const struct dhcp_reply *reply)
{
	bool from_ours = tow_addr_equal(&reply->lease.server, &c->lease.server);

	switch ((enum dhcp_state)c->state) {
	case DHCP_SELECTING:
		if (reply->type == DHCP_OFFER)
			enter_requesting(dhcp, c, &reply->lease);
		break;
	case DHCP_REQUESTING:
	case DHCP_RENEWING:
		if (!from_ours)
			break;
		if (reply->type == DHCP_ACK)
			granted(dhcp, c, &reply->lease);
		else if (reply->type == DHCP_NAK)
			refused(dhcp, c);
		break;
	case DHCP_REBINDING:
		if (reply->type == DHCP_ACK)
			granted(dhcp, c, &reply->lease);
		else if (reply->type == DHCP_NAK)
			refused(dhcp, c);
		break;
	default:
		break; /* nothing was asked */
	}
}

bool dhcp_input(struct dhcp_host *dhcp, struct net_packet *packet)
{
	const struct net_link *link = packet->link;
	struct dhcp_reply reply;
	const struct wire_udp *udp;
	struct dhcp_client *c;

	udp = (const void *)buf_pull(packet->buf, UDP_BYTES);
	if (!udp || !link->dev || link->number >= dhcp->client_max ||
	    !tow_addr_is_v4(&packet->src) ||
	    wire_get16(udp->dst_port) != DHCP_CLIENT_PORT ||
	    wire_get16(udp->src_port) != DHCP_SERVER_PORT)
		return false;
	c = &dhcp->clients[link->number];
	if (c->state == DHCP_STOPPED)
		return false;
	if (dhcp_read(dhcp, packet, c, &reply))
		answer(dhcp, c, &reply);
	else
		net_drop(dhcp->net, TOW_DROP_DHCP_BAD);
	tow_buf_give(packet->buf);
	return true;
}

/* --- for the stack ---------------------------------------------------------
 */

size_t dhcp_need(const struct tow_config *cfg)
{
	return cfg->link_max * sizeof(struct dhcp_client);
}

void dhcp_init(struct dhcp_host *dhcp, struct net *net,
	       const struct tow_config *cfg, void *memory)
{
	uint32_t i;

	*dhcp = (struct dhcp_host){
		.net = net,
		.clients = memory,
		.client_max = cfg->link_max,
	};
	for (i = 0; i < cfg->link_max; i++) {
		dhcp->clients[i] =
			(struct dhcp_client){ .state = DHCP_STOPPED };
		timer_init(&dhcp->clients[i].timer, TIMER_DHCP);
	}
}

int dhcp_start(struct dhcp_host *dhcp, unsigned link)
{
	const struct net_link *device = &dhcp->net->links[link];
	struct dhcp_client *c = &dhcp->clients[link];

	if (device->dev->caps & TOW_DEV_NO_LINK)
		return TOW_EINVAL;
	if (c->state == DHCP_RELEASING)
		finish_release(dhcp, c);
	if (c->state != DHCP_STOPPED)
		return TOW_EEXIST;
	dhcp->running++;
	c->failures = 0;
	c->conflicts = 0;
	c->routed = false;
	c->lease = (struct dhcp_lease){ .lease_s = 0 };
	enter_init(dhcp, c, random_below(&dhcp->net->random, START_US));
	return 0;
}

/* RFC 2131 4.4.6. */
void dhcp_stop(struct dhcp_host *dhcp, unsigned link)
{
	struct dhcp_client *c = &dhcp->clients[link];

	if (c->state == DHCP_STOPPED || c->state == DHCP_RELEASING)
		return;
	if (!holds_address(c)) {
		finish_release(dhcp, c);
		return;
	}
	c->state = DHCP_RELEASING;
	c->xid = random_u32(&dhcp->net->random);
	dhcp_send(dhcp, link, DHCP_RELEASE);
	wake_at(dhcp, c, dhcp->net->now_us + RELEASING_US);
}

bool dhcp_idle(const struct dhcp_host *dhcp)
{
	uint32_t i;

	if (LIKELY(dhcp->running == 0))
		return true;
	for (i = 0; i < dhcp->client_max; i++)
		if (dhcp->clients[i].state == DHCP_RELEASING)
			return false;
	return true;
}

void dhcp_info(const struct dhcp_host *dhcp, unsigned link,
	       struct tow_dhcp_info *out)
{
	const struct dhcp_client *c = &dhcp->clients[link];

	*out = (struct tow_dhcp_info){
		.running =
			c->state != DHCP_STOPPED && c->state != DHCP_RELEASING,
		.bound = holds_address(c),
	};
	if (!out->bound)
		return;
	out->addr = c->lease.addr;
	out->prefix_bits = c->lease.mask_bits;
	out->server = c->lease.server;
	out->router = c->lease.router;
	out->dns_count = c->lease.dns_count;
	memcpy(out->dns, c->lease.dns, sizeof(out->dns));
	out->left_us = TOW_FOREVER;
	if (c->end_us != NEVER)
		out->left_us = c->end_us - MIN(c->end_us, dhcp->net->now_us);
}
