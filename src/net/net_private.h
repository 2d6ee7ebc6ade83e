/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_PRIVATE_H
#define NET_PRIVATE_H

/*
 * The network layer inside. Each file has one object:
 *
 *	net.c         memory and start
 *	link.c        links: collecting frames for devices, Ethernet, loopback
 *	address.c     addresses of ours, kinds of addresses, choosing a source
 *	route.c       routes and paths
 *	neighbour.c   the cache of next hops, for ARP and ND alike
 *	arp.c nd.c    asking and answering
 *	ip_output.c   net_send(): the way down
 *	ip4_input.c ip6_input.c    the way up
 *	ip6_extension.c    the headers between IPv6 and a transport
 *	pmtu.c        what fits through to a destination
 *	reassembly.c    datagrams that came in fragments
 *	fragment.c ident.c    datagrams that leave in fragments
 *	group.c group_report.c     who listens to which groups, and telling it
 *	igmp.c mld.c  how that is told
 *	flow.c        of which flow is a frame that nobody checked yet?
 *	icmp_input.c  echo, and errors about packets of ours
 *	icmp_error.c  errors about packets of others, with their limits
 *	auto.c ...    addresses and routes that come and go: see auto.h
 */
#include <tow/stack.h>
#include "net/auto.h"
#include "net/net.h"
#include "wire/wire_eth.h"

#define NET_LOOP_FRAMES 256 /* that wait to be received by ourselves */

struct net_addr {
	struct tow_addr addr;
	uint16_t link;
	uint8_t prefix_bits;  /* of the 128, also for IPv4 */
	bool routed;	      /* brought a route to its prefix */
	bool deprecated;      /* not for new flows (RFC 4862 5.5.4) */
	bool temporary;	      /* RFC 8981 */
	bool claimed;	      /* there is a struct claim of it, too */
	uint64_t defended_us; /* against somebody who has it too; 0: never */
};

struct net_route {
	struct tow_addr dest;	 /* bits behind the prefix are zero */
	struct tow_addr gateway; /* any: the destination is on the link */
	uint16_t link;
	uint8_t prefix_bits; /* of the 128, also for IPv4 */
	int8_t preference;   /* among equals: RFC 4191 2.1 */
	uint64_t failed_us;  /* the gateway did not answer; 0: not known */
};

/* RFC 4861 7.3.2; ARP entries have the same life. */
enum neighbour_state {
	NEIGH_FREE,
	NEIGH_INCOMPLETE, /* asked, no answer yet: packets wait */
	NEIGH_REACHABLE,  /* known to answer, until reachable_until_us */
	NEIGH_STALE,	  /* was right once: used, but to be verified then */
	NEIGH_DELAY,	  /* used since: a transport may vouch for it */
	NEIGH_PROBE,	  /* being asked at the address we have */
};

struct neighbour {
	struct neighbour *hash_next; /* or the next free one */
	struct list age;	     /* in private->proven or ->unproven */
	struct timer timer;
	struct tow_addr addr;
	uint64_t reachable_until_us;
	struct tow_buf *wait_first, *wait_last;
	uint16_t link;
	uint8_t mac[ETH_MAC_BYTES];
	uint8_t state;	  /* enum neighbour_state */
	uint8_t solicits; /* sent in this state without an answer */
	uint8_t waiting;
	bool proven; /* has been REACHABLE: a real host */
	bool asking; /* RETRANS_TIMER runs: the next solicitation waits */
};

/*
 * A token bucket; one of zeros is full. How many tokens a full one holds is
 * drawn anew each time, so that an outsider who counts what comes out learns
 * nothing about what others took (CVE-2020-25705, "SAD DNS").
 */
struct net_bucket {
	uint64_t refilled_us;
	uint32_t spent, capacity;
};

#define NET_ERROR_BUCKETS 64 /* by destination; a collision shares one */

/* Where identification values come from: see ident.c. */
struct ident {
	struct sip_key key;
	uint32_t counter;
};

struct reassembly;
struct pmtu;

#define NET_GROUP_BUCKETS 64

struct net_group;
struct net_member;
struct group_querier;

struct net_private {
	struct reassembly *reassembly;
	struct ident ident4, ident6;
	uint32_t gateways_failed; /* routes by way of one */
	struct timer route_timer; /* may be asked again: see route.c */
	struct pmtu *pmtus;
	uint32_t pmtu_mask; /* of their sets */
	struct sip_key pmtu_key;
	uint64_t guessed_us; /* a minute of guesses began then */
	uint32_t guesses;    /* wrong ones, of the IDs of IPv4's UDP */
	struct sip_key neighbour_key, flow_key, error_key;
	struct neighbour **buckets;
	uint32_t bucket_mask;
	struct neighbour *free;
	struct list proven, unproven; /* least recently used first */
	uint32_t unproven_count, unproven_max;
	struct net_bucket solicits;
	struct net_bucket errors, errors_by_dest[NET_ERROR_BUCKETS];
	struct net_auto automatic;
	struct net_group *group_buckets[NET_GROUP_BUCKETS], *group_free;
	struct net_member *members, *member_free;
	uint32_t member_max, member_count; /* in use */
	struct group_querier *queriers;	   /* IPv4 and IPv6 of each link */
};

/* What a frame was addressed to, as its link header tells. */
struct net_frame {
	struct net_link *link;
	struct tow_buf *buf; /* spans[0] begins behind the link header */
	bool group;	     /* to a multicast or broadcast station address */
};

/* The buffer is given, the reason counted. */
static inline enum net_verdict net_refuse(struct net *net, struct tow_buf *buf,
					  enum tow_drop why)
{
	net_drop(net, why);
	tow_buf_give(buf);
	return NET_DONE;
}

/* On its way out it was to be lost; whoever lent the payload finds why. */
static inline void net_mark_unsent(struct tow_buf *buf, int error)
{
	if (!buf->error)
		buf->error = error;
}

/* The same as net_refuse() on the way out. Returns: @error. */
static inline int net_refuse_output(struct net *net, struct tow_buf *buf,
				    enum tow_drop why, int error)
{
	net_mark_unsent(buf, error);
	net_refuse(net, buf, why);
	return error;
}

static inline bool net_same(const struct tow_addr *a, const struct tow_addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* IPv4, mapped: the only form in which it exists here. */
static inline bool net_is_v4(const struct tow_addr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

static inline bool net_is_any(const struct tow_addr *a)
{
	static const struct tow_addr any;

	return net_same(a, &any);
}

static inline struct net_link *net_link_at(struct net *net, unsigned number)
{
	return number < net->link_count ? &net->links[number] : NULL;
}

static inline bool net_has_ethernet(const struct net_link *link)
{
	return link->dev && !(link->dev->caps & TOW_DEV_NO_LINK);
}

/* --- link.c */
int link_output(struct net *net, struct net_link *link, struct tow_buf *buf);
int link_output_to(struct net *net, struct net_link *link,
		   const uint8_t mac[ETH_MAC_BYTES], uint16_t type,
		   struct tow_buf *buf);

/* --- address.c */
unsigned addr_common_bits(const struct tow_addr *a, const struct tow_addr *b);
bool addr_is_loopback(const struct tow_addr *addr);
bool addr_is_group(const struct net *net, const struct tow_addr *addr);
bool addr_is_link_local(const struct tow_addr *addr);
bool addr_is_subnet_broadcast(const struct net *net,
			      const struct tow_addr *addr);
const struct net_addr *addr_find(const struct net *net,
				 const struct tow_addr *addr);
uint64_t net_hash_on(const struct net *net, unsigned link,
		     const struct tow_addr *addr);
const struct net_addr *addr_find_on(const struct net *net, unsigned link,
				    const struct tow_addr *addr);
bool addr_is_solicited_here(const struct net *net, unsigned link,
			    const struct tow_addr *group);
const struct net_addr *addr_choose(const struct net *net, unsigned link,
				   const struct tow_addr *dst);
int addr_add_link_local(struct net *net, struct net_link *link);
int addr_check(struct net *net, unsigned link, const struct tow_addr *addr,
	       unsigned bits);
int addr_add(struct net *net, unsigned link, const struct tow_addr *addr,
	     unsigned bits, bool routed);
struct net_addr *addr_of(struct net *net, unsigned link,
			 const struct tow_addr *addr);
void addr_remove(struct net *net, struct net_addr *own);

/* --- route.c */
const struct net_route *route_lookup(const struct net *net,
				     const struct tow_addr *dst);
void route_gateway_failed(struct net *net, unsigned link,
			  const struct tow_addr *gateway);
void route_gateway_lives(struct net *net, unsigned link,
			 const struct tow_addr *gateway);
bool route_is_on_link(const struct net *net, unsigned link,
		      const struct tow_addr *addr);
int route_add(struct net *net, unsigned link, const struct tow_addr *dest,
	      unsigned bits, const struct tow_addr *gateway, int8_t preference);
void route_mask(struct tow_addr *addr, unsigned bits);
void route_remove(struct net *net, unsigned link, const struct tow_addr *dest,
		  unsigned bits, const struct tow_addr *gateway);

/* --- neighbour.c */
void neighbour_init(struct net *net, const struct tow_config *cfg);
int neighbour_output(struct net *net, struct net_path *path,
		     struct tow_buf *buf);
struct neighbour *neighbour_find(struct net *net, unsigned link,
				 const struct tow_addr *addr);
void neighbour_heard(struct net *net, unsigned link,
		     const struct tow_addr *addr,
		     const uint8_t mac[ETH_MAC_BYTES]);
/* What an answer says; @mac is NULL if it carried none. */
struct neighbour_news {
	const uint8_t *mac;
	bool solicited, override;
};
void neighbour_probe(struct net *net, unsigned link,
		     const struct tow_addr *addr);
bool neighbour_answered(struct net *net, struct neighbour *n,
			const struct neighbour_news *news);
void neighbour_timer(struct net *net, struct timer *timer);

/* --- arp.c, nd.c: @mac is NULL to ask everybody */
void arp_solicit(struct net *net, struct net_link *link,
		 const struct tow_addr *target, const uint8_t *mac);
void arp_probe(struct net *net, struct net_link *link,
	       const struct tow_addr *target);
void arp_announce(struct net *net, struct net_link *link,
		  const struct tow_addr *own);
enum net_verdict arp_input(struct net *net, const struct net_frame *frame);
void nd_solicit(struct net *net, struct net_link *link,
		const struct tow_addr *target, const uint8_t *mac,
		const struct tow_buf *prompt);
void nd_send(struct net *net, struct net_link *link, struct tow_buf *buf,
	     const struct tow_addr *src, const struct tow_addr *dst,
	     const uint8_t *mac);
void nd_probe(struct net *net, struct net_link *link,
	      const struct tow_addr *target,
	      const uint8_t nonce[ND_NONCE_BYTES]);
enum net_verdict nd_input(struct net *net, struct net_packet *packet);

/* --- ip4_input.c, ip6_input.c */
enum net_verdict ip4_input(struct net *net, const struct net_frame *frame,
			   struct net_packet *packet, struct net_error *error);
enum net_verdict ip6_input(struct net *net, const struct net_frame *frame,
			   struct net_packet *packet, struct net_error *error);

/* --- ip_output.c */
int ip_output(struct net *net, struct net_path *path, struct tow_buf *buf);
uint32_t path_flow_label(struct net *net, struct net_path *path,
			 const struct tow_buf *buf, uint8_t protocol);

uint32_t flow_label(struct net *net, const struct tow_addr *src,
		    const struct tow_addr *dst, const uint8_t *transport,
		    uint8_t protocol);

/* --- pmtu.c */
size_t pmtu_need(const struct tow_config *cfg);
void pmtu_init(struct net *net, const struct tow_config *cfg, void *memory);
bool pmtu_cuts(const struct net *net, const struct tow_addr *dst);
bool pmtu_is_known(const struct net *net, const struct tow_addr *dst,
		   uint32_t told);

/* --- ident.c */
uint16_t ident4_next(struct net *net);
uint32_t ident6_next(struct net *net);

/* --- fragment.c: as net_send(), in fragments of at most @mtu bytes */
int fragment_send(struct net *net, struct net_path *path, struct tow_buf *buf,
		  uint8_t protocol, uint32_t mtu);
uint32_t fragment_count(const struct net *net, const struct net_path *path,
			const struct tow_buf *buf);

/* --- ip6_extension.c: to the transport; NET_PASS, or why not */
int ip6_walk(struct net *net, struct net_packet *packet);
bool ip6_leads_to_icmp_error(const struct tow_buf *buf, uint32_t at,
			     uint8_t next);

/* --- reassembly.c */
struct fragment {
	uint32_t id;
	uint32_t offset, bytes; /* in the datagram */
	uint32_t header_bytes;	/* in front, contiguous */
	bool more;		/* come behind it */
};
enum { REASSEMBLY_WAITS = -2 }; /* beside NET_PASS and an enum tow_drop */

size_t reassembly_need(const struct tow_config *cfg);
void reassembly_init(struct net *net, const struct tow_config *cfg,
		     void *memory);

/*
 * Add the fragment in packet->buf, whose bytes and offset were checked: it has
 * some and ends within 65536.
 *
 * Owns:    takes the buffer, unless it returns a reason to drop.
 * Returns: NET_PASS when the datagram is whole. Then packet is about that: its
 *          buffer's spans[0] is empty, and in front of it are network_bytes of
 *          fragment zero's headers.
 */
int reassembly_add(struct net *net, struct net_packet *packet,
		   const struct fragment *f);
void reassembly_timer(struct net *net, struct timer *timer);

/* --- group.c, group_report.c, igmp.c, mld.c; more in group.h */
size_t group_need(const struct tow_config *cfg);
void group_init(struct net *net, const struct tow_config *cfg, void *memory);
void group_queriers_init(struct net *net, struct net_link *link);
void group_timer(struct net *net, struct timer *timer);
void group_solicited(struct net *net, unsigned link,
		     const struct tow_addr *addr);
void group_solicited_now(struct net *net, unsigned link,
			 const struct tow_addr *addr);
void group_tell_again(struct net *net, unsigned link);
enum net_verdict igmp_input(struct net *net, struct net_packet *packet);
enum net_verdict mld_input(struct net *net, struct net_packet *packet);

/* --- icmp_input.c */
enum net_verdict icmp4_input(struct net *net, struct net_packet *packet,
			     struct net_error *error);
enum net_verdict icmp6_input(struct net *net, struct net_packet *packet,
			     struct net_error *error);

/* --- icmp_error.c */
struct icmp_fault {
	uint8_t type, code;
	bool about_groups; /* also about a packet to a group (RFC 4443 2.4) */
	uint32_t word;	   /* the second of the header: 0, or a pointer */
};
void icmp_report(struct net *net, const struct net_packet *packet,
		 const struct icmp_fault *fault);
void icmp_report_unresolved(struct net *net, struct tow_buf *buf);
bool bucket_take(struct net *net, struct net_bucket *bucket, uint32_t burst,
		 uint32_t per_s);

/* --- a step of checking: the packet goes on, or why it does not */
enum { NET_PASS = -1 }; /* else an enum tow_drop */

#endif
