/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The neighbour cache: which station a next hop is, and whether it is alive.
 * RFC 4861 7.2 and 7.3 for IPv6; IPv4 gets the same life with ARP as the
 * language (RFC 826, RFC 1122 2.3.2).
 *
 *	        packet to send            answer
 *	(none) ------------> INCOMPLETE --------> REACHABLE <-------+
 *	  |                      | 3 unanswered      | time         |
 *	  | heard of it          v                   v              |
 *	  +----------------------|---------------> STALE            | answer,
 *	                         v                   | used         | or a
 *	                      (none)                 v    5 s       | transport
 *	                         ^                 DELAY ----> PROBE  vouches
 *	                         |    3 unanswered               |
 *	                         +-------------------------------+
 *
 * An entry costs nothing while nobody sends: REACHABLE becomes STALE when it
 * is looked at after its time. Timers run in INCOMPLETE, DELAY and PROBE only.
 *
 * What an attacker on the link, or one far away who makes us answer to many
 * addresses of the link, can do is limited:
 *
 *  - No entry is made from an answer that nobody asked for. A request to us
 *    makes one (we are about to answer), but no better than STALE.
 *  - Entries that never were REACHABLE are unproven, and push out only each
 *    other once there are a quarter of the table. So a flood of addresses
 *    cannot evict the hosts that we talk to.
 *  - Asking everybody costs others: it is limited to so many per second, and
 *    for one address to one per RETRANS_TIMER.
 *  - A few datagrams wait for an answer; more, as of a program that opens many
 *    connections at once, only while half of all transmit buffers is left for
 *    what can be sent. The oldest goes first. A large one is many fragments:
 *    they wait only while a quarter of the buffers is left.
 */
#include "net/net_private.h"

#define RETRANS_US	1000000u  /* RFC 4861 10: RETRANS_TIMER */
#define REACHABLE_US	30000000u /* REACHABLE_TIME, times 0.5 to 1.5 */
#define DELAY_US	5000000u  /* DELAY_FIRST_PROBE_TIME */
#define MULTICAST_TRIES 3	  /* MAX_MULTICAST_SOLICIT */
#define UNICAST_TRIES	3	  /* MAX_UNICAST_SOLICIT */
#define WAITING_FEW	4	  /* datagrams for one neighbour, */
#define WAITING_MAX	64	  /* and while there are buffers in plenty */
#define WAITING_SHARE	2	  /* of the transmit buffers: plenty */
#define FRAGMENT_SHARE	4 /* of the transmit buffers; not for such that wait */
#define SOLICIT_BURST	128 /* questions to everybody at once, */
#define SOLICIT_PER_S	256 /* and per second */

static struct neighbour **bucket_of(struct net *net, unsigned link,
				    const struct tow_addr *addr)
{
	uint64_t hash = net_hash_on(net, link, addr);

	return &net->private->buckets[hash & net->private->bucket_mask];
}

static bool is_entry_of(const struct neighbour *n, unsigned link,
			const struct tow_addr *addr)
{
	return n->state != NEIGH_FREE && n->link == link &&
	       net_same(&n->addr, addr);
}

struct neighbour *neighbour_find(struct net *net, unsigned link,
				 const struct tow_addr *addr)
{
	struct neighbour *n = *bucket_of(net, link, addr);

	while (n && !is_entry_of(n, link, addr))
		n = n->hash_next;
	return n;
}

void neighbour_init(struct net *net, const struct tow_config *cfg)
{
	struct net_private *private = net->private;
	uint32_t i;

	list_init(&private->proven);
	list_init(&private->unproven);
	private->unproven_max = MAX(cfg->neighbour_max / 4, 1);
	for (i = cfg->neighbour_max; i-- > 0;) {
		list_init(&net->neighbours[i].age);
		timer_init(&net->neighbours[i].timer, TIMER_NET);
		net->neighbours[i].hash_next = private->free;
		private->free = &net->neighbours[i];
	}
}

/* Fragments of a datagram wait together: one alone is of no use. */
static bool are_of_one(const struct tow_buf *a, const struct tow_buf *b)
{
	return a->owner_kind == BUF_OWNER_FRAGMENT &&
	       b->owner_kind == BUF_OWNER_FRAGMENT && a->lender == b->lender;
}

static struct tow_buf *take_waiting(struct neighbour *n)
{
	struct tow_buf *buf = n->wait_first;

	if (!buf)
		return NULL;
	n->wait_first = buf->next;
	if (!buf->next || !are_of_one(buf, buf->next))
		n->waiting--;
	buf->next = NULL;
	return buf;
}

static void forget(struct net *net, struct neighbour *n)
{
	struct neighbour **at = bucket_of(net, n->link, &n->addr);

	while (*at != n)
		at = &(*at)->hash_next;
	*at = n->hash_next;
	if (!n->proven)
		net->private->unproven_count--;
	list_remove(&n->age);
	timer_disarm(&net->wheel, &n->timer);
	n->state = NEIGH_FREE;
	n->hash_next = net->private->free;
	net->private->free = n;
}

/* It can't wait, or no longer. */
static int refuse(struct net *net, struct tow_buf *buf)
{
	return net_refuse_output(net, buf, TOW_DROP_NEIGH_FULL, TOW_ENOBUFS);
}

/* Its place is needed. */
static void evict(struct net *net, struct neighbour *n)
{
	struct tow_buf *buf;

	while ((buf = take_waiting(n)) != NULL)
		refuse(net, buf);
	forget(net, n);
}

/* It did not answer: who sent to it is told. */
static void fail(struct net *net, struct neighbour *n)
{
	struct tow_buf *buf;

	while ((buf = take_waiting(n)) != NULL) {
		net_drop(net, TOW_DROP_NEIGH_FAILED);
		net_mark_unsent(buf, TOW_EHOSTUNREACH);
		icmp_report_unresolved(net, buf);
	}
	route_gateway_failed(net, n->link, &n->addr);
	forget(net, n);
}

static struct neighbour *oldest(struct list *list)
{
	return list_empty(list) ? NULL
				: CONTAINER(list->next, struct neighbour, age);
}

/* Room for one more entry; NULL only without any table. */
static struct neighbour *take_free(struct net *net)
{
	struct net_private *private = net->private;
	struct neighbour *victim;

	if (!private->free) {
		victim = private->unproven_count >= private->unproven_max
				 ? oldest(&private->unproven)
				 : oldest(&private->proven);
		if (!victim)
			victim = oldest(&private->unproven);
		if (!victim)
			return NULL;
		evict(net, victim);
	}
	victim = private->free;
	private->free = victim->hash_next;
	return victim;
}

static struct neighbour *make(struct net *net, unsigned link,
			      const struct tow_addr *addr)
{
	struct neighbour *n = take_free(net);
	struct neighbour **bucket;

	if (!n)
		return NULL;
	bucket = bucket_of(net, link, addr);
	n->addr = *addr;
	n->link = (uint16_t)link;
	n->state = NEIGH_INCOMPLETE;
	n->solicits = 0;
	n->proven = false;
	n->asking = false;
	n->hash_next = *bucket;
	*bucket = n;
	list_append(&net->private->unproven, &n->age);
	net->private->unproven_count++;
	return n;
}

/* Used just now: the last to be evicted. */
static void touch(struct net *net, struct neighbour *n)
{
	struct list *list =
		n->proven ? &net->private->proven : &net->private->unproven;

	if (LIKELY(list->prev == &n->age))
		return;
	list_remove(&n->age);
	list_append(list, &n->age);
}

/* What routers say about IPv6 on the link (RFC 4861 6.3.4); 0: nothing. */
static const struct auto_link *advertised(const struct net *net,
					  const struct neighbour *n)
{
	static const struct auto_link nothing;

	if (net_is_v4(&n->addr))
		return &nothing;
	return &net->private->automatic.links[n->link];
}

static uint32_t base_reachable_us(const struct net *net,
				  const struct neighbour *n)
{
	uint32_t us = advertised(net, n)->reachable_us;

	return us ? us : REACHABLE_US;
}

/* Draw REACHABLE_TIME anew, so that hosts do not fall into step (6.3.4). */
static uint64_t reachable_us(struct net *net, const struct neighbour *n)
{
	uint32_t base_us = base_reachable_us(net, n);

	return (uint64_t)base_us / 2 + random_below(&net->random, base_us);
}

static uint32_t retrans_us(const struct net *net, const struct neighbour *n)
{
	uint32_t us = advertised(net, n)->retrans_us;

	return us ? us : RETRANS_US;
}

static void set_reachable(struct net *net, struct neighbour *n)
{
	n->state = NEIGH_REACHABLE;
	n->reachable_until_us = net->now_us + reachable_us(net, n);
	n->solicits = 0;
	n->asking = false;
	timer_disarm(&net->wheel, &n->timer);
	route_gateway_lives(net, n->link, &n->addr);
	if (n->proven)
		return;
	n->proven = true;
	net->private->unproven_count--;
	list_remove(&n->age);
	list_append(&net->private->proven, &n->age);
}

static void set_stale(struct net *net, struct neighbour *n)
{
	n->state = NEIGH_STALE;
	n->solicits = 0;
	n->asking = false;
	timer_disarm(&net->wheel, &n->timer);
	route_gateway_lives(net, n->link, &n->addr);
}

/* Ask once; a question to everybody may have to wait for its turn. */
static void solicit(struct net *net, struct neighbour *n)
{
	struct net_link *link = &net->links[n->link];
	bool everybody = n->state == NEIGH_INCOMPLETE;

	n->asking = true;
	timer_arm(&net->wheel, &n->timer, net->now_us + retrans_us(net, n));
	if (everybody && !bucket_take(net, &net->private->solicits,
				      SOLICIT_BURST, SOLICIT_PER_S))
		return;
	n->solicits++;
	if (net_is_v4(&n->addr))
		arp_solicit(net, link, &n->addr, everybody ? NULL : n->mac);
	else
		nd_solicit(net, link, &n->addr, everybody ? NULL : n->mac,
			   n->waiting > 0 ? n->wait_first : NULL);
}

/* What sends nothing leaves buffers to what does. */
static bool may_wait(const struct net *net, const struct tow_buf *buf)
{
	const struct tow_pool *pool = &net->tx_pool;

	return buf->owner_kind != BUF_OWNER_FRAGMENT ||
	       pool->bufs_left > pool->bufs_total / FRAGMENT_SHARE;
}

static bool is_queue_full(const struct net *net, const struct neighbour *n)
{
	const struct tow_pool *pool = &net->tx_pool;

	if (n->waiting < WAITING_FEW)
		return false;
	return n->waiting == WAITING_MAX ||
	       pool->bufs_left <= pool->bufs_total / WAITING_SHARE;
}

static void drop_oldest(struct net *net, struct neighbour *n)
{
	uint8_t before = n->waiting;

	while (n->waiting == before)
		refuse(net, take_waiting(n));
}

/* RFC 4861 7.2.2: a small queue; when it overflows, the oldest goes. */
static int wait(struct net *net, struct neighbour *n, struct tow_buf *buf)
{
	bool more = n->waiting > 0 && are_of_one(n->wait_last, buf);

	if (!more && !may_wait(net, buf))
		return refuse(net, buf);
	if (!more && is_queue_full(net, n))
		drop_oldest(net, n);
	buf->next = NULL;
	if (n->waiting == 0)
		n->wait_first = buf;
	else
		n->wait_last->next = buf;
	n->wait_last = buf;
	n->waiting += !more;
	return 0;
}

static uint16_t type_of(const struct neighbour *n)
{
	return net_is_v4(&n->addr) ? ETH_IP4 : ETH_IP6;
}

static void send_waiting(struct net *net, struct neighbour *n)
{
	struct tow_buf *buf;

	while ((buf = take_waiting(n)) != NULL)
		link_output_to(net, &net->links[n->link], n->mac, type_of(n),
			       buf);
}

/* RFC 4861 7.3.3: the first packet after a while starts the verification. */
static void notice_use(struct net *net, struct neighbour *n)
{
	if (n->state == NEIGH_REACHABLE && net->now_us > n->reachable_until_us)
		set_stale(net, n);
	if (n->state == NEIGH_STALE) {
		n->state = NEIGH_DELAY;
		timer_arm(&net->wheel, &n->timer, net->now_us + DELAY_US);
	}
}

/* Send an IP packet to the path's next hop, as soon as that is known. */
int neighbour_output(struct net *net, struct net_path *path,
		     struct tow_buf *buf)
{
	unsigned link = path->link->number;
	struct neighbour *n = path->neighbour;
	int error;

	if (UNLIKELY(!n || !is_entry_of(n, link, &path->next_hop)))
		n = neighbour_find(net, link, &path->next_hop);
	if (UNLIKELY(!n))
		n = make(net, link, &path->next_hop);
	if (UNLIKELY(!n))
		return refuse(net, buf);
	path->neighbour = n;
	touch(net, n);
	if (UNLIKELY(n->state == NEIGH_INCOMPLETE)) {
		error = wait(net, n, buf);
		if (!n->asking)
			solicit(net, n);
		return error;
	}
	notice_use(net, n);
	return link_output_to(net, path->link, n->mac, type_of(n), buf);
}

/* Is it there? One question, without a packet that waits for the answer. */
void neighbour_probe(struct net *net, unsigned link,
		     const struct tow_addr *addr)
{
	struct neighbour *n = neighbour_find(net, link, addr);

	if (n)
		return; /* the answer will show */
	n = make(net, link, addr);
	if (!n)
		return;
	n->solicits = MULTICAST_TRIES - 1;
	solicit(net, n);
}

/*
 * A request told the station address of its sender (RFC 826 "merge flag",
 * RFC 4861 7.2.3). That it reaches us does not mean that we reach it: STALE.
 */
void neighbour_heard(struct net *net, unsigned link,
		     const struct tow_addr *addr,
		     const uint8_t mac[ETH_MAC_BYTES])
{
	struct neighbour *n = neighbour_find(net, link, addr);

	if (!n) {
		if (!route_is_on_link(net, link, addr))
			return;
		n = make(net, link, addr);
		if (!n)
			return;
	} else if (n->state != NEIGH_INCOMPLETE && eth_equal(n->mac, mac)) {
		return;
	}
	memcpy(n->mac, mac, ETH_MAC_BYTES);
	set_stale(net, n);
	if (n->waiting > 0) {
		notice_use(net, n);
		send_waiting(net, n);
	}
}

/* RFC 4861 7.2.5, what to do with an advertisement. Returns: it was taken. */
bool neighbour_answered(struct net *net, struct neighbour *n,
			const struct neighbour_news *news)
{
	bool differs;

	if (n->state == NEIGH_INCOMPLETE) {
		if (!news->mac)
			return false;
		memcpy(n->mac, news->mac, ETH_MAC_BYTES);
		if (news->solicited) {
			set_reachable(net, n);
		} else {
			set_stale(net, n);
			notice_use(net, n);
		}
		send_waiting(net, n);
		return true;
	}
	differs = news->mac && !eth_equal(n->mac, news->mac);
	if (differs && !news->override) {
		if (n->state == NEIGH_REACHABLE)
			set_stale(net, n);
		return false;
	}
	if (differs)
		memcpy(n->mac, news->mac, ETH_MAC_BYTES);
	if (news->solicited)
		set_reachable(net, n);
	else if (differs)
		set_stale(net, n);
	return true;
}

/* RFC 4861 7.3.1: progress of a connection proves it both ways. */
void net_confirm(struct net *net, struct net_path *path)
{
	struct neighbour *n = path->neighbour;

	if (!n || path->generation != net->generation || !path->link->dev ||
	    !is_entry_of(n, path->link->number, &path->next_hop))
		return;
	if (n->state == NEIGH_INCOMPLETE)
		return;
	/* Often enough is when half of the shortest time has passed */
	if (n->state == NEIGH_REACHABLE &&
	    n->reachable_until_us > net->now_us + base_reachable_us(net, n) / 4)
		return;
	set_reachable(net, n);
}

static void on_timer(struct net *net, struct neighbour *n)
{
	n->asking = false;
	switch (n->state) {
	case NEIGH_INCOMPLETE:
		if (n->solicits >= MULTICAST_TRIES)
			fail(net, n);
		else
			solicit(net, n);
		break;
	case NEIGH_DELAY:
		n->state = NEIGH_PROBE;
		n->solicits = 0;
		solicit(net, n);
		break;
	case NEIGH_PROBE:
		if (n->solicits >= UNICAST_TRIES)
			fail(net, n);
		else
			solicit(net, n);
		break;
	default:
		break;
	}
}

void neighbour_timer(struct net *net, struct timer *timer)
{
	on_timer(net, CONTAINER(timer, struct neighbour, timer));
}
