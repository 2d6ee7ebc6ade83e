/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GROUP_H
#define GROUP_H

/*
 * Multicast groups inside of src/net: whom the sockets listen to, what that
 * makes of an interface (group.c), when the routers are told (group_report.c),
 * and how (igmp.c, mld.c).
 *
 *	members      one for each socket and group on a link
 *	   |
 *	   |         solicited: of an address on the link (RFC 4861 7.2.1)
 *	   | merged: RFC 3376 3.2
 *	   v
 *	net_group    one for each group on a link
 *	   | changes, answers to queries
 *	   v
 *	igmp, mld    reports
 */
#include "net/net_private.h"
#include "wire/wire_igmp.h"

#define GROUP_SOURCES TOW_SOURCES_MAX /* of all sockets, and of a query */

struct group_sources {
	uint32_t count;
	struct tow_addr at[GROUP_SOURCES];
};

/* INCLUDE of no sources: nothing is wanted. */
struct group_filter {
	enum tow_filter mode;
	struct group_sources sources;
};

/* What one socket said about one group on one link. */
struct net_member {
	struct net_member *next; /* of the same group, or the next free one */
	const void *owner;	 /* NULL: free */
	struct net_group *group;
	struct group_filter filter;
};

/* A source that came or went, and how often the routers still hear of it. */
struct group_change {
	struct tow_addr source;
	uint8_t left;
	bool allow;
};

struct net_group {
	struct net_group *next; /* with the same hash, or the next free one */
	struct net_member *members;
	struct tow_addr addr;
	uint16_t link;
	bool solicited; /* an address of ours wants it */
	struct group_filter filter;

	/* State changes that are told: RFC 3376 5.1. */
	struct timer change_timer;
	uint8_t mode_left; /* how often the filter's mode is still told */
	uint32_t change_count;
	struct group_change changes[GROUP_SOURCES];

	/* A query about this group that waits for its answer: 5.2. */
	struct timer answer_timer;
	struct group_sources asked; /* none: all */

	bool last_reporter; /* IGMPv2, MLDv1: RFC 2236 3 */
};

/* What is known of the routers of one family on a link. */
struct group_querier {
	struct timer timer; /* a general query waits for its answer */
	uint64_t v1_until_us, v2_until_us; /* an older one is present */
	uint32_t interval_s;
	uint16_t link;
	uint8_t robustness;
	bool v4;
};

struct group_query {
	struct tow_addr group; /* any: all of them */
	unsigned version;      /* as IGMP counts: 1, 2 or 3; MLDv1 is 2 */
	uint32_t max_ms;
	uint32_t interval_s;	      /* version 3 */
	uint8_t robustness;	      /* the same; 0: not said */
	struct group_sources sources; /* none, or too many: all */
};

/* Else it is only told of, until that is done. */
static inline bool group_is_wanted(const struct net_group *g)
{
	return g->members || g->solicited;
}

/* --- group.c */
struct net_group *group_find(const struct net *net, unsigned link,
			     const struct tow_addr *addr);
void group_free_if_done(struct net *net, struct net_group *g);
bool group_filter_passes(const struct group_filter *filter,
			 const struct tow_addr *src);
bool sources_have(const struct group_sources *list,
		  const struct tow_addr *source);
bool sources_add(struct group_sources *list, const struct tow_addr *source);

/* --- group_report.c */
void group_changed(struct net *net, struct net_group *g,
		   const struct group_filter *before);
void group_asked(struct net *net, const struct net_link *link, bool v4,
		 const struct group_query *query);
void group_overheard(struct net *net, const struct net_link *link,
		     const struct tow_addr *addr);
void group_tell_now(struct net *net, struct net_group *g);
void group_queriers_init(struct net *net, struct net_link *link);

/* --- igmp.c, mld.c: both take the buffer, whose payload is the message */
void igmp_output(struct net *net, struct net_link *link,
		 const struct tow_addr *dst, struct tow_buf *buf);
void mld_output(struct net *net, struct net_link *link,
		const struct tow_addr *dst, struct tow_buf *buf);

#endif
