/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When routers are told what an interface listens to: RFC 3376 5 and 7.2,
 * RFC 3810 6 and 8.2. IGMP and MLD differ in how, not in when.
 *
 *	what is wanted changed   a report at the next poll, and again, as often
 *	                         as the robustness variable says, each after a
 *	                         random part of a second
 *	a query                  a report after a random part of the time that
 *	                         the query allows, so that not all hosts speak
 *	                         at once; further queries only make it earlier
 *
 * Where a router speaks an older version, so do we until it was silent for
 * long: no sources, one report for each group, which others may make for us.
 *
 * A source that comes and goes while its coming is still being told is told
 * anew with what is true then. When more changed than can be noted, or the mode
 * did, the filter is told as a whole. Nothing a query says makes us keep more
 * than GROUP_SOURCES, send more than one answer to many, or sooner than asked.
 */
#include "net/group.h"

#define ROBUSTNESS	  2	/* RFC 3376 8.1 */
#define QUERY_INTERVAL_S  125	/* 8.2 */
#define QUERY_RESPONSE_MS 10000 /* 8.3 */
#define UNSOLICITED_MS	  1000	/* 8.11 */
#define UNSOLICITED_V2_MS 10000 /* RFC 2236 8.10, RFC 2710 7.10 */
#define REPORT_BYTES	  1200	/* of a message, where the MTU allows it */
#define HEADER_BYTES	  48	/* of IPv6 with Router Alert; IPv4 has fewer */

static uint64_t random_us(struct net *net, uint32_t max_ms)
{
	if (max_ms == 0)
		return 0;
	return (uint64_t)random_below(&net->random, max_ms) * 1000 +
	       random_below(&net->random, 1000);
}

static struct group_querier *querier_of(const struct net *net, unsigned link,
					bool v4)
{
	return &net->private->queriers[link * 2 + !v4];
}

void group_queriers_init(struct net *net, struct net_link *link)
{
	for (int v4 = 0; v4 < 2; v4++) {
		struct group_querier *q = querier_of(net, link->number, v4);

		timer_init(&q->timer, TIMER_GROUP_GENERAL);
		q->link = link->number;
		q->v4 = v4;
		q->robustness = ROBUSTNESS;
		q->interval_s = QUERY_INTERVAL_S;
	}
}

/* RFC 3376 7.2.1: the oldest that was heard not long ago. */
static unsigned version_of(const struct net *net, const struct group_querier *q)
{
	if (net->now_us < q->v1_until_us)
		return 1;
	return net->now_us < q->v2_until_us ? 2 : 3;
}

/* RFC 3376 5, RFC 3810 6: those that everybody is in are not told. */
static bool is_told(const struct tow_addr *group)
{
	if (net_is_v4(group))
		return !ip4_is_all_hosts(group);
	return !ip6_is_all_nodes(group) && ip6_group_scope(group) > 1;
}

/* ------------------------------------------------------------------ messages
 */

static void output(struct net *net, unsigned link, const struct tow_addr *dst,
		   struct tow_buf *buf)
{
	net_count(net, TOW_COUNTER_GROUP_REPORTS);
	if (net_is_v4(dst))
		igmp_output(net, &net->links[link], dst, buf);
	else
		mld_output(net, &net->links[link], dst, buf);
}

/* 224.0.0.22, ff02::16: RFC 3376 4.2.14, RFC 3810 5.2.14. */
static struct tow_addr all_routers_v3(bool v4)
{
	static const struct tow_addr v6 = { { 0xff, 2, [15] = 0x16 } };

	return v4 ? tow_addr_v4(224, 0, 0, 22) : v6;
}

/* 224.0.0.2, ff02::2, where those who leave say so: RFC 2236 9, RFC 2710 3. */
static struct tow_addr all_routers(bool v4)
{
	static const struct tow_addr v6 = { { 0xff, 2, [15] = 2 } };

	return v4 ? tow_addr_v4(224, 0, 0, 2) : v6;
}

/* A report or a leave in the manner of IGMPv1, IGMPv2 or MLDv1. */
static void send_old(struct net *net, struct net_group *g, bool leave)
{
	bool v4 = net_is_v4(&g->addr);
	struct tow_addr dst = leave ? all_routers(v4) : g->addr;
	struct tow_buf *buf = tow_buf_take(&net->tx_pool);
	bool v1 = version_of(net, querier_of(net, g->link, v4)) == 1;
	uint8_t *p;

	if (!buf) {
		net_drop(net, TOW_DROP_NO_BUFFERS);
		return;
	}
	p = buf_push(buf, v4 ? IGMP_BYTES : MLD_BYTES);
	ASSERT(p);
	memset(p, 0, v4 ? IGMP_BYTES : MLD_BYTES);
	if (v4) {
		p[0] = leave ? IGMP_LEAVE
		       : v1  ? IGMP_REPORT_V1
			     : IGMP_REPORT_V2;
		wire_put_addr4(((struct wire_igmp *)p)->group, &g->addr);
	} else {
		p[0] = leave ? MLD_DONE : MLD_REPORT_V1;
		wire_put_addr6(((struct wire_mld *)p)->group, &g->addr);
	}
	g->last_reporter = !leave;
	output(net, g->link, &dst, buf);
}

/* A report that grows, and goes when it is full. */
struct report {
	struct net *net;
	uint8_t *chunk; /* NULL: nothing in it yet */
	uint32_t bytes, records;
	uint16_t link;
	bool v4;
};

static void flush(struct report *r)
{
	struct tow_addr dst = all_routers_v3(r->v4);
	struct wire_group_report *header = (void *)r->chunk;
	struct tow_buf *buf;

	if (!r->chunk)
		return;
	memset(header, 0, sizeof(*header));
	header->type = r->v4 ? (uint8_t)IGMP_REPORT_V3 : (uint8_t)MLD_REPORT_V2;
	wire_put16(header->records, r->records);
	buf = tow_buf_take(&r->net->tx_pool);
	if (buf) {
		tow_buf_add_chunk(buf, r->chunk, r->bytes);
		output(r->net, r->link, &dst, buf);
	} else {
		net_drop(r->net, TOW_DROP_NO_BUFFERS);
		tow_chunk_give(&r->net->tx_pool, r->chunk);
	}
	r->chunk = NULL;
}

static uint32_t message_max(const struct report *r)
{
	const struct net_link *link = &r->net->links[r->link];
	uint32_t mtu = r->v4 ? link->mtu : link->mtu6;

	return MIN(REPORT_BYTES, mtu - MIN(mtu, HEADER_BYTES));
}

/* Room for a record of @bytes; false when there is no memory. */
static bool make_room(struct report *r, uint32_t bytes)
{
	if (r->chunk && r->bytes + bytes > message_max(r))
		flush(r);
	if (r->chunk)
		return true;
	r->chunk = tow_chunk_take(&r->net->tx_pool);
	r->bytes = sizeof(struct wire_group_report);
	r->records = 0;
	if (!r->chunk)
		net_drop(r->net, TOW_DROP_NO_BUFFERS);
	return r->chunk;
}

static void put_address(struct report *r, const struct tow_addr *addr)
{
	if (r->v4)
		wire_put_addr4(r->chunk + r->bytes, addr);
	else
		wire_put_addr6(r->chunk + r->bytes, addr);
	r->bytes += r->v4 ? 4 : 16;
}

static void add_record(struct report *r, enum group_record_type type,
		       const struct tow_addr *group,
		       const struct group_sources *sources)
{
	uint32_t each = r->v4 ? 4 : 16, i;
	struct wire_group_record *record;

	if (!make_room(r,
		       (uint32_t)sizeof(*record) + each * (1 + sources->count)))
		return;
	record = (void *)(r->chunk + r->bytes);
	record->type = (uint8_t)type;
	record->aux_words = 0;
	wire_put16(record->sources, sources->count);
	r->bytes += sizeof(*record);
	r->records++;
	put_address(r, group);
	for (i = 0; i < sources->count; i++)
		put_address(r, &sources->at[i]);
}

static struct report report_for(struct net *net, unsigned link, bool v4)
{
	struct report r = { .net = net, .link = (uint16_t)link, .v4 = v4 };

	return r;
}

/* ------------------------------------------------- state changes, RFC 3376 5.1
 */

static void note_change(struct net_group *g, const struct tow_addr *source,
			bool allow, uint8_t times)
{
	uint32_t i;

	if (g->mode_left > 0)
		return; /* all of it is told */
	for (i = 0; i < g->change_count; i++)
		if (net_same(&g->changes[i].source, source))
			break;
	if (i == GROUP_SOURCES) {
		g->mode_left = times;
		g->change_count = 0;
		return;
	}
	if (i == g->change_count)
		g->change_count++;
	g->changes[i].source = *source;
	g->changes[i].allow = allow;
	g->changes[i].left = times;
}

/* Sources that are in @these and not in @others came, or went. */
static void note_changes(struct net_group *g, const struct group_sources *these,
			 const struct group_sources *others, bool allow,
			 uint8_t times)
{
	uint32_t i;

	for (i = 0; i < these->count; i++)
		if (!sources_have(others, &these->at[i]))
			note_change(g, &these->at[i], allow, times);
}

static bool has_news(const struct net_group *g)
{
	return g->mode_left > 0 || g->change_count > 0;
}

static bool wants_nothing(const struct group_filter *filter)
{
	return filter->mode == TOW_FILTER_INCLUDE && filter->sources.count == 0;
}

/*
 * Not only sources came or went. Older versions know of joining and leaving
 * only, be it for some sources or for all.
 */
static bool is_told_whole(const struct net_group *g,
			  const struct group_filter *before, unsigned version)
{
	return before->mode != g->filter.mode ||
	       (version < 3 &&
		wants_nothing(before) != wants_nothing(&g->filter));
}

/* What the interface wants of the group was @before, and now is g->filter. */
void group_changed(struct net *net, struct net_group *g,
		   const struct group_filter *before)
{
	const struct group_querier *q =
		querier_of(net, g->link, net_is_v4(&g->addr));
	bool include = g->filter.mode == TOW_FILTER_INCLUDE;
	uint8_t times = q->robustness;

	if (!is_told(&g->addr))
		return;
	if (is_told_whole(g, before, version_of(net, q))) {
		g->mode_left = times;
		g->change_count = 0;
	} else {
		note_changes(g, &g->filter.sources, &before->sources, include,
			     times);
		note_changes(g, &before->sources, &g->filter.sources, !include,
			     times);
	}
	if (has_news(g))
		timer_arm(&net->wheel, &g->change_timer, net->now_us);
}

static struct group_sources changed_sources(const struct net_group *g,
					    bool allow)
{
	struct group_sources list = { 0 };
	uint32_t i;

	for (i = 0; i < g->change_count; i++)
		if (g->changes[i].allow == allow)
			list.at[list.count++] = g->changes[i].source;
	return list;
}

static void count_down(struct net_group *g)
{
	uint32_t i, kept = 0;

	if (g->mode_left > 0) {
		g->mode_left--;
		return;
	}
	for (i = 0; i < g->change_count; i++)
		if (--g->changes[i].left > 0)
			g->changes[kept++] = g->changes[i];
	g->change_count = kept;
}

static void tell_change(struct net *net, const struct net_group *g)
{
	struct report r = report_for(net, g->link, net_is_v4(&g->addr));
	struct group_sources list;

	if (g->mode_left > 0) {
		add_record(&r,
			   g->filter.mode == TOW_FILTER_INCLUDE
				   ? GROUP_TO_INCLUDE
				   : GROUP_TO_EXCLUDE,
			   &g->addr, &g->filter.sources);
		flush(&r);
		return;
	}
	list = changed_sources(g, true);
	if (list.count > 0)
		add_record(&r, GROUP_ALLOW_NEW, &g->addr, &list);
	list = changed_sources(g, false);
	if (list.count > 0)
		add_record(&r, GROUP_BLOCK_OLD, &g->addr, &list);
	flush(&r);
}

/* IGMPv2 3, MLDv1 4: joining is told again, leaving once, sources never. */
static void tell_change_old(struct net *net, struct net_group *g,
			    unsigned version)
{
	if (group_is_wanted(g) && g->mode_left > 0)
		send_old(net, g, false);
	else if (!group_is_wanted(g) && version == 2 && g->last_reporter)
		send_old(net, g, true);
	if (!group_is_wanted(g))
		g->mode_left = 0;
	g->change_count = 0;
}

static void change_due(struct net *net, struct net_group *g)
{
	const struct group_querier *q =
		querier_of(net, g->link, net_is_v4(&g->addr));
	unsigned version = version_of(net, q);

	if (version == 3)
		tell_change(net, g);
	else
		tell_change_old(net, g, version);
	count_down(g);
	if (has_news(g))
		timer_arm(&net->wheel, &g->change_timer,
			  net->now_us +
				  random_us(net, version == 3
							 ? UNSOLICITED_MS
							 : UNSOLICITED_V2_MS));
	else
		group_free_if_done(net, g);
}

/* What changed is not left to the next poll. */
void group_tell_now(struct net *net, struct net_group *g)
{
	if (!has_news(g))
		return;
	timer_disarm(&net->wheel, &g->change_timer);
	change_due(net, g);
}

/* ------------------------------------------------------- answers, RFC 3376 5.2
 */

/* What of the sources that were asked about is wanted. */
static struct group_sources wanted_of(const struct net_group *g)
{
	struct group_sources list = { 0 };
	uint32_t i;

	for (i = 0; i < g->asked.count; i++)
		if (group_filter_passes(&g->filter, &g->asked.at[i]))
			list.at[list.count++] = g->asked.at[i];
	return list;
}

static void add_current(struct report *r, const struct net_group *g)
{
	if (group_is_wanted(g) && is_told(&g->addr))
		add_record(r,
			   g->filter.mode == TOW_FILTER_INCLUDE
				   ? GROUP_IS_INCLUDE
				   : GROUP_IS_EXCLUDE,
			   &g->addr, &g->filter.sources);
}

static void answer_due(struct net *net, struct net_group *g)
{
	bool v4 = net_is_v4(&g->addr);
	struct report r = report_for(net, g->link, v4);
	struct group_sources wanted;

	if (version_of(net, querier_of(net, g->link, v4)) < 3) {
		if (group_is_wanted(g))
			send_old(net, g, false);
		return;
	}
	wanted = wanted_of(g);
	if (g->asked.count == 0)
		add_current(&r, g);
	else if (wanted.count > 0)
		add_record(&r, GROUP_IS_INCLUDE, &g->addr, &wanted);
	g->asked.count = 0;
	flush(&r);
}

static bool is_of(const struct net_group *g, const struct group_querier *q)
{
	return g->link == q->link && net_is_v4(&g->addr) == q->v4;
}

#define EACH_GROUP(net, g)                                                 \
	for (uint32_t bucket_ = 0; bucket_ < NET_GROUP_BUCKETS; bucket_++) \
		for (struct net_group * next_,                             \
		     *g = (net)->private->group_buckets[bucket_];          \
		     g && (next_ = g->next, true); g = next_)

static void general_due(struct net *net, const struct group_querier *q)
{
	struct report r = report_for(net, q->link, q->v4);

	EACH_GROUP(net, g)
	if (is_of(g, q))
		add_current(&r, g);
	flush(&r);
}

static void make_earlier(struct net *net, struct timer *timer, uint64_t at_us)
{
	if (!timer->armed || timer->deadline_us > at_us)
		timer_arm(&net->wheel, timer, at_us);
}

/*
 * 5.2: what is told sooner anyway needs no answer of its own; sources are only
 * noted while all that waits is about sources.
 */
static void ask_one(struct net *net, const struct group_querier *q,
		    struct net_group *g, const struct group_query *query)
{
	uint64_t at_us = net->now_us + random_us(net, query->max_ms);
	bool waits = g->answer_timer.armed;
	bool fits = query->sources.count > 0 && (!waits || g->asked.count > 0);
	uint32_t i;

	if (q->timer.armed && q->timer.deadline_us <= at_us)
		return;
	if (!waits)
		g->asked.count = 0;
	for (i = 0; fits && i < query->sources.count; i++)
		fits = sources_add(&g->asked, &query->sources.at[i]);
	if (!fits)
		g->asked.count = 0;
	make_earlier(net, &g->answer_timer, at_us);
}

static void ask_all(struct net *net, struct group_querier *q,
		    const struct group_query *query)
{
	if (version_of(net, q) == 3) {
		make_earlier(net, &q->timer,
			     net->now_us + random_us(net, query->max_ms));
		return;
	}
	EACH_GROUP(net, g)
	if (is_of(g, q) && group_is_wanted(g) && is_told(&g->addr))
		ask_one(net, q, g, query);
}

/*
 * RFC 3590 4, RFC 3810 5.2.13: reports came from nowhere as long as the link had
 * no address of its own that is known to be free; now they have a source.
 */
void group_tell_again(struct net *net, unsigned link)
{
	const struct group_querier *q = querier_of(net, link, false);

	EACH_GROUP(net, g)
	{
		if (!is_of(g, q) || !group_is_wanted(g) || !is_told(&g->addr))
			continue;
		g->mode_left = q->robustness;
		g->change_count = 0;
		timer_arm(&net->wheel, &g->change_timer, net->now_us);
	}
}

/* RFC 3376 7.2.1: what was to be said in the other version is not said. */
static void forget_pending(struct net *net, struct group_querier *q)
{
	timer_disarm(&net->wheel, &q->timer);
	EACH_GROUP(net, g)
	{
		if (!is_of(g, q))
			continue;
		timer_disarm(&net->wheel, &g->answer_timer);
		timer_disarm(&net->wheel, &g->change_timer);
		g->mode_left = 0;
		g->change_count = 0;
		group_free_if_done(net, g);
	}
}

/* 8.12; RFC 3810 9.12. */
static void heed_version(struct net *net, struct group_querier *q,
			 const struct group_query *query)
{
	unsigned before = version_of(net, q);
	uint64_t until_us =
		net->now_us + ((uint64_t)q->robustness * q->interval_s * 1000 +
			       QUERY_RESPONSE_MS) *
				      1000;

	if (query->version == 1)
		q->v1_until_us = until_us;
	else if (query->version == 2)
		q->v2_until_us = until_us;
	if (version_of(net, q) != before)
		forget_pending(net, q);
}

/* 4.1.6, 4.1.7: the querier's numbers become ours; 0 says nothing. */
static void heed_numbers(struct group_querier *q,
			 const struct group_query *query)
{
	if (query->version < 3)
		return;
	q->robustness = query->robustness ? query->robustness : ROBUSTNESS;
	q->interval_s =
		query->interval_s ? query->interval_s : QUERY_INTERVAL_S;
}

void group_asked(struct net *net, const struct net_link *link, bool v4,
		 const struct group_query *query)
{
	struct group_querier *q = querier_of(net, link->number, v4);
	struct net_group *g;

	net_count(net, TOW_COUNTER_GROUP_QUERIES);
	heed_numbers(q, query);
	/* RFC 3376 7.2.1: of IGMPv2 only a general query counts */
	if (query->version == 1 || net_is_any(&query->group) || !v4)
		heed_version(net, q, query);
	if (net_is_any(&query->group)) {
		ask_all(net, q, query);
		return;
	}
	g = group_find(net, link->number, &query->group);
	if (g && group_is_wanted(g) && is_told(&g->addr))
		ask_one(net, q, g, query);
}

/* RFC 2236 3, RFC 2710 4: another host reported the group: that will do. */
void group_overheard(struct net *net, const struct net_link *link,
		     const struct tow_addr *addr)
{
	struct net_group *g = group_find(net, link->number, addr);

	if (!g || version_of(net, querier_of(net, link->number,
					     net_is_v4(addr))) == 3)
		return;
	timer_disarm(&net->wheel, &g->answer_timer);
	if (group_is_wanted(g)) {
		timer_disarm(&net->wheel, &g->change_timer);
		g->mode_left = 0;
		g->change_count = 0;
	}
	g->last_reporter = false;
}

void group_timer(struct net *net, struct timer *timer)
{
	if (timer->owner == TIMER_GROUP_CHANGE)
		change_due(net,
			   CONTAINER(timer, struct net_group, change_timer));
	else if (timer->owner == TIMER_GROUP_ANSWER)
		answer_due(net,
			   CONTAINER(timer, struct net_group, answer_timer));
	else
		general_due(net, CONTAINER(timer, struct group_querier, timer));
}
