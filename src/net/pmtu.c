/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path MTUs: what is known to fit through to a destination, if that is less
 * than its link takes. RFC 1191, RFC 8201, RFC 5927 7.
 *
 * Routers say it by ICMP, which anybody can forge. So an entry is made only
 * from an error that proved to be about a packet of ours: TCP knows by its
 * sequence number, a connected UDP socket by its addresses and ports, and
 * any UDP by the flow label of the packet quoted, in IPv4 by its ID, which is a
 * secret of that flow.
 * An error never raises anything, and nothing goes below a floor. A path of
 * IPv4 that is said to be below it has packets without DF: routers may cut them
 * then (RFC 1191 3), and a lie makes nobody send tiny ones.
 *
 * A path may get better: an entry is forgotten after ten minutes, and tried
 * anew. Entries are in sets of four, by a hash of the destination; a new one
 * takes the place of that which would be forgotten next.
 */
#include "net/net_private.h"
#include "wire/wire_ip6.h"

#define EXPIRES_US (600u * 1000000u) /* RFC 1191 6.3, RFC 8201 5.3 */
#define V4_MIN	   552		     /* RFC 5927 7.2; RFC 791 has 68 */
#define V6_MIN	   IP6_MTU_MIN
#define WAYS	   4 /* entries of a set */

struct pmtu {
	struct tow_addr dst;
	uint64_t until_us; /* the future: in use */
	uint32_t mtu;
	bool cuts; /* it is below the floor: without DF */
};

static uint32_t sets_of(const struct tow_config *cfg)
{
	uint32_t sets = 1;

	while (sets < 1u << 20 && sets * WAYS < cfg->neighbour_max)
		sets <<= 1;
	return sets;
}

size_t pmtu_need(const struct tow_config *cfg)
{
	return (size_t)sets_of(cfg) * WAYS * sizeof(struct pmtu);
}

void pmtu_init(struct net *net, const struct tow_config *cfg, void *memory)
{
	net->private->pmtus = memory;
	net->private->pmtu_mask = sets_of(cfg) - 1;
	net->private->pmtu_key = random_key(&net->random);
	net->private->guesses = 0;
	net->pmtus_until_us = net->pmtus_cut_until_us = 0;
}

static struct pmtu *set_of(const struct net *net, const struct tow_addr *dst)
{
	uint64_t hash = siphash13(&net->private->pmtu_key, dst->b, 16);

	return net->private->pmtus + (hash & net->private->pmtu_mask) * WAYS;
}

static struct pmtu *find(const struct net *net, const struct tow_addr *dst)
{
	struct pmtu *p = set_of(net, dst), *end = p + WAYS;

	for (; p < end; p++)
		if (p->until_us > net->now_us && net_same(&p->dst, dst))
			return p;
	return NULL;
}

/* A free one, or that which would be free next. */
static struct pmtu *make(const struct net *net, const struct tow_addr *dst)
{
	struct pmtu *p = set_of(net, dst), *end = p + WAYS, *least = p;

	for (; p < end; p++)
		if (p->until_us < least->until_us)
			least = p;
	least->dst = *dst;
	return least;
}

uint32_t pmtu_of(const struct net *net, const struct net_path *path)
{
	const struct pmtu *p = find(net, &path->dst);

	return p ? MIN(p->mtu, path->mtu) : path->mtu;
}

bool pmtu_cuts(const struct net *net, const struct tow_addr *dst)
{
	const struct pmtu *p = find(net, dst);

	return p && p->cuts;
}

static uint32_t believed(const struct tow_addr *dst, uint32_t told)
{
	return MAX(told, net_is_v4(dst) ? V4_MIN : V6_MIN);
}

static bool is_below(const struct tow_addr *dst, uint32_t told)
{
	return net_is_v4(dst) && told < V4_MIN;
}

static bool says_nothing_new(const struct pmtu *p, const struct tow_addr *dst,
			     uint32_t told)
{
	return p && believed(dst, told) >= p->mtu &&
	       is_below(dst, told) <= p->cuts;
}

bool pmtu_is_known(const struct net *net, const struct tow_addr *dst,
		   uint32_t told)
{
	return says_nothing_new(find(net, dst), dst, told);
}

bool net_path_shrunk(struct net *net, const struct tow_addr *dst, uint32_t told)
{
	struct pmtu *p = find(net, dst);

	if (says_nothing_new(p, dst, told))
		return false;
	if (!p)
		p = make(net, dst);
	p->mtu = believed(dst, told);
	p->cuts = is_below(dst, told);
	p->until_us = net->now_us + EXPIRES_US;
	net->pmtus_until_us = p->until_us;
	if (p->cuts)
		net->pmtus_cut_until_us = p->until_us;
	return true;
}
