/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who listens to which groups: RFC 3376 2 and 3, RFC 3810 3 and 4.
 *
 * A socket says for a group on a link from whom it wants datagrams: from these
 * sources only, or from all but these. What the interface wants is made of what
 * its sockets want (3.2):
 *
 *	all INCLUDE      the union of their sources
 *	some EXCLUDE     all but those that each of these excludes and none of
 *	                 the others includes
 *
 * An address is in its solicited-node group, all sources of it: switches that
 * listen in keep neighbour solicitations from whoever does not say so (RFC 4861
 * 7.2.1, RFC 4541 3). Such groups need no socket, and have room of their own.
 *
 * Both tables are bounded by tow_config.group_max, and for those groups as many
 * more as there may be addresses. Who would make the union of sources longer
 * than a record can hold is refused, and would be while others EXCLUDE, too:
 * these may leave, and that cannot fail (3.2). The IP layer takes what is to a
 * group that somebody listens to; which sockets get it their filters say.
 */
#include "net/group.h"

/* ------------------------------------------------------------- source lists
 */

bool sources_have(const struct group_sources *list,
		  const struct tow_addr *source)
{
	uint32_t i;

	for (i = 0; i < list->count; i++)
		if (net_same(&list->at[i], source))
			return true;
	return false;
}

/* False when there is no room. */
bool sources_add(struct group_sources *list, const struct tow_addr *source)
{
	if (sources_have(list, source))
		return true;
	if (list->count == GROUP_SOURCES)
		return false;
	list->at[list->count++] = *source;
	return true;
}

bool group_filter_passes(const struct group_filter *filter,
			 const struct tow_addr *src)
{
	return sources_have(&filter->sources, src) ==
	       (filter->mode == TOW_FILTER_INCLUDE);
}

/* ----------------------------------------------------------------- merging
 */

/* Of those that INCLUDE. Returns: there is room. */
static bool unite(const struct net_group *g, struct group_sources *to)
{
	const struct net_member *m;
	uint32_t i;

	for (m = g->members; m; m = m->next) {
		if (m->filter.mode == TOW_FILTER_EXCLUDE)
			continue;
		for (i = 0; i < m->filter.sources.count; i++)
			if (!sources_add(to, &m->filter.sources.at[i]))
				return false;
	}
	return true;
}

/* Does each socket keep it out? */
static bool nobody_wants(const struct net_group *g,
			 const struct tow_addr *source)
{
	const struct net_member *m;

	for (m = g->members; m; m = m->next)
		if (group_filter_passes(&m->filter, source))
			return false;
	return true;
}

static void intersect(const struct net_group *g,
		      const struct group_sources *excluded,
		      struct group_filter *to)
{
	uint32_t i;

	to->mode = TOW_FILTER_EXCLUDE;
	for (i = 0; i < excluded->count; i++)
		if (nobody_wants(g, &excluded->at[i]))
			sources_add(&to->sources, &excluded->at[i]);
}

/* What the interface wants now. */
static void merge(struct net *net, struct net_group *g)
{
	struct group_filter before = g->filter;
	const struct net_member *m = g->members;
	bool fits = true; /* net_listen() looked */

	g->filter.mode = TOW_FILTER_INCLUDE;
	g->filter.sources.count = 0;
	while (m && m->filter.mode == TOW_FILTER_INCLUDE)
		m = m->next;
	if (g->solicited)
		g->filter.mode = TOW_FILTER_EXCLUDE;
	else if (m)
		intersect(g, &m->filter.sources, &g->filter);
	else
		fits = unite(g, &g->filter.sources);
	ASSERT(fits);
	group_changed(net, g, &before);
}

/* ------------------------------------------------------------------- tables
 */

static struct net_group **bucket(const struct net *net, unsigned link,
				 const struct tow_addr *addr)
{
	uint64_t hash = net_hash_on(net, link, addr);

	return &net->private->group_buckets[hash % NET_GROUP_BUCKETS];
}

struct net_group *group_find(const struct net *net, unsigned link,
			     const struct tow_addr *addr)
{
	struct net_group *g = *bucket(net, link, addr);

	while (g && (g->link != link || !net_same(&g->addr, addr)))
		g = g->next;
	return g;
}

static void group_free(struct net *net, struct net_group *g)
{
	struct net_group **at = bucket(net, g->link, &g->addr);

	timer_disarm(&net->wheel, &g->change_timer);
	timer_disarm(&net->wheel, &g->answer_timer);
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	g->next = net->private->group_free;
	net->private->group_free = g;
}

/* Nobody listens, and the routers know it. */
void group_free_if_done(struct net *net, struct net_group *g)
{
	if (!group_is_wanted(g) && !g->change_timer.armed)
		group_free(net, g);
}

/* One whose end is still being told gives way. */
static void reclaim(struct net *net)
{
	struct net_group *g;
	uint32_t i;

	for (i = 0; i < NET_GROUP_BUCKETS; i++) {
		for (g = net->private->group_buckets[i]; g; g = g->next) {
			if (!group_is_wanted(g)) {
				group_free(net, g);
				return;
			}
		}
	}
}

static struct net_group *group_take(struct net *net, unsigned link,
				    const struct tow_addr *addr)
{
	struct net_group **at = bucket(net, link, addr), *g;

	if (!net->private->group_free)
		reclaim(net);
	g = net->private->group_free;
	if (!g)
		return NULL;
	net->private->group_free = g->next;
	memset(g, 0, sizeof(*g));
	timer_init(&g->change_timer, TIMER_GROUP_CHANGE);
	timer_init(&g->answer_timer, TIMER_GROUP_ANSWER);
	g->addr = *addr;
	g->link = (uint16_t)link;
	g->filter.mode = TOW_FILTER_INCLUDE;
	g->next = *at;
	*at = g;
	return g;
}

static struct net_member *member_find(const struct net_group *g,
				      const void *owner)
{
	struct net_member *m;

	for (m = g ? g->members : NULL; m; m = m->next)
		if (m->owner == owner)
			return m;
	return NULL;
}

static void member_free(struct net *net, struct net_member *m)
{
	struct net_group *g = m->group;
	struct net_member **at = &g->members;

	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	m->owner = NULL;
	m->next = net->private->member_free;
	net->private->member_free = m;
	net->private->member_count--;
	merge(net, g);
	group_free_if_done(net, g);
}

static struct net_member *member_take(struct net *net, const void *owner,
				      unsigned link,
				      const struct tow_addr *addr)
{
	struct net_group *g = group_find(net, link, addr);
	struct net_member *m = net->private->member_free;

	if (!m)
		return NULL;
	if (!g)
		g = group_take(net, link, addr);
	if (!g)
		return NULL;
	net->private->member_free = m->next;
	net->private->member_count++;
	m->owner = owner;
	m->group = g;
	m->filter.mode = TOW_FILTER_INCLUDE;
	m->filter.sources.count = 0;
	m->next = g->members;
	g->members = m;
	return m;
}

/* ----------------------------------------------------------------- requests
 */

static bool are_sources(const struct net *net, const struct tow_addr *group,
			const struct tow_addr *sources, unsigned count)
{
	unsigned i;

	if (count > TOW_SOURCES_MAX)
		return false;
	for (i = 0; i < count; i++)
		if (net_is_v4(&sources[i]) != net_is_v4(group) ||
		    !net_is_unicast(net, &sources[i]))
			return false;
	return true;
}

/* Returns: what all want together still fits. */
static bool set_filter(struct net_member *m, enum tow_filter mode,
		       const struct tow_addr *sources, unsigned count)
{
	struct group_filter before = m->filter;
	struct group_sources all = { .count = 0 };
	unsigned i;

	m->filter.mode = mode;
	m->filter.sources.count = 0;
	for (i = 0; i < count; i++)
		sources_add(&m->filter.sources, &sources[i]);
	if (unite(m->group, &all))
		return true;
	m->filter = before;
	return false;
}

int net_listen(struct net *net, const void *owner, unsigned link,
	       const struct tow_addr *group, enum tow_filter mode,
	       const struct tow_addr *sources, unsigned count)
{
	struct net_member *m;
	bool known;

	if (!net_link_at(net, link) || !net_is_multicast(group) ||
	    !are_sources(net, group, sources, count))
		return TOW_EINVAL;
	m = member_find(group_find(net, link, group), owner);
	if (mode == TOW_FILTER_INCLUDE && count == 0) {
		if (m)
			member_free(net, m);
		return 0;
	}
	known = m;
	if (!m)
		m = member_take(net, owner, link, group);
	if (!m)
		return TOW_ENOBUFS;
	if (!set_filter(m, mode, sources, count)) {
		if (!known)
			member_free(net, m);
		return TOW_ENOBUFS;
	}
	merge(net, m->group);
	return 0;
}

void net_listen_end(struct net *net, const void *owner)
{
	uint32_t i;

	if (net->private->member_count == 0)
		return;
	for (i = 0; i < net->private->member_max; i++)
		if (net->private->members[i].owner == owner)
			member_free(net, &net->private->members[i]);
}

bool net_is_member(const struct net *net, unsigned link,
		   const struct tow_addr *group)
{
	const struct net_group *g = group_find(net, link, group);

	return g && g->members;
}

const struct net_group *net_group_of(const struct net *net, unsigned link,
				     const struct tow_addr *group)
{
	return group_find(net, link, group);
}

enum net_heard net_hears(const struct net_group *group, const void *owner,
			 const struct tow_addr *src)
{
	const struct net_member *m = member_find(group, owner);

	if (!m)
		return NET_NO_MEMBER;
	return group_filter_passes(&m->filter, src) ? NET_HEARS : NET_FILTERS;
}

/* ---------------------------------------------------- solicited-node groups
 */

/*
 * An address came, went, or is about to be asked for. Several may be in the
 * same group, so what is true now is looked up.
 */
void group_solicited(struct net *net, unsigned link,
		     const struct tow_addr *addr)
{
	struct tow_addr group = ip6_solicited_node(addr);
	struct net_group *g;
	bool wanted;

	if (net_is_v4(addr) || !net_has_ethernet(&net->links[link]))
		return;
	wanted = addr_is_solicited_here(net, link, &group);
	g = group_find(net, link, &group);
	if (wanted == (g && g->solicited))
		return;
	if (!g)
		g = group_take(net, link, &group);
	ASSERT(g);
	g->solicited = wanted;
	merge(net, g);
	group_free_if_done(net, g);
}

/* The same, and the routers hear of it at once. */
void group_solicited_now(struct net *net, unsigned link,
			 const struct tow_addr *addr)
{
	struct tow_addr group = ip6_solicited_node(addr);
	struct net_group *g;

	group_solicited(net, link, addr);
	g = group_find(net, link, &group);
	if (g)
		group_tell_now(net, g);
}

/* ------------------------------------------------------------------- memory
 */

/*
 * Those of the sockets, and one for each address that there can be: also one
 * that is being checked has its place, see addr_check().
 */
static uint32_t groups_of(const struct tow_config *cfg)
{
	return cfg->group_max + cfg->addr_max + cfg->link_max;
}

size_t group_need(const struct tow_config *cfg)
{
	return (size_t)cfg->link_max * 2 * sizeof(struct group_querier) +
	       (size_t)groups_of(cfg) * sizeof(struct net_group) +
	       (size_t)cfg->group_max * sizeof(struct net_member);
}

void group_init(struct net *net, const struct tow_config *cfg, void *memory)
{
	struct net_private *p = net->private;
	struct net_group *groups;
	uint32_t i;

	p->queriers = memory;
	groups = (void *)(p->queriers + (size_t)cfg->link_max * 2);
	p->members = (void *)(groups + groups_of(cfg));
	p->member_max = cfg->group_max;
	for (i = groups_of(cfg); i-- > 0;) {
		groups[i].next = p->group_free;
		p->group_free = &groups[i];
	}
	for (i = cfg->group_max; i-- > 0;) {
		p->members[i].next = p->member_free;
		p->member_free = &p->members[i];
	}
}
