/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_H
#define NET_H

/*
 * The network layer: links, addresses, routes, neighbours, IP and ICMP of both
 * families. Transports see paths on the way down and packets on the way up,
 * and never an IP header.
 *
 *	transport --- net_path_find(), net_send() ---> ip, neighbour, link queue
 *	transport <-- net_receive(): NET_DELIVER ----- link, ip, icmp
 *
 * It calls nothing above itself: net_receive() says by its verdict what the
 * stack has to hand to a transport.
 */
#include <tow/addr.h>
#include <tow/autoconf.h>
#include <tow/dev.h>
#include <tow/error.h>
#include <tow/group.h>
#include <tow/ledger.h>
#include <tow/place.h>
#include "base/random.h"
#include "base/wheel.h"
#include "buf/govern.h"
#include "buf/pool.h"

#define NET_TX_BATCH 64 /* frames collected before the device is called */

enum net_protocol {
	NET_ICMP = 1,
	NET_IGMP = 2,
	NET_TCP = 6,
	NET_UDP = 17,
	NET_ICMP6 = 58,
};

/* One attached device, or the loopback inside of the stack (dev is NULL). */
struct net_link {
	struct tow_dev *dev;
	uint16_t number; /* as tow_attach() gave it; the loopback has LOOP */
	bool gone;
	bool gone_reported;	 /* by an event */
	bool connections_failed; /* that went by this link */
	uint32_t mtu, mtu6; /* IP bytes; of IPv6 maybe less (RFC 4861 6.3.4) */
	uint8_t hop_limit;  /* of IPv6, unless the path has one */
	unsigned tx_count;
	struct tow_buf *tx[NET_TX_BATCH];
};
#define NET_LINK_LOOP UINT16_MAX

struct net_addr;
struct net_group;
struct net_route;
struct neighbour;

struct net {
	uint64_t now_us;
	struct wheel wheel;
	struct random random;
	struct sip_key key; /* for tables; transports derive their own */
	struct tow_pool rx_pool, tx_pool;
	struct govern govern; /* who may hold what of rx_pool on loan */
	struct tow_stats stats;
	uint8_t ttl; /* of packets sent */

	struct net_link loop;
	struct tow_buf *loop_first, **loop_last; /* sent to ourselves */
	uint32_t loop_count;

	struct net_link *links;
	uint32_t link_count, link_max;
	struct net_addr *addrs;
	uint32_t addr_count, addr_max;
	struct net_route *routes;
	uint32_t route_count, route_max;
	struct neighbour *neighbours;
	uint32_t neighbour_max;
	uint32_t generation;	 /* changes with addresses, routes, links */
	uint64_t pmtus_until_us; /* the last entry of pmtu.c is forgotten, */
	uint64_t pmtus_cut_until_us; /* the last that is below the floor */

	struct net_private *private; /* what only src/net looks at */
};

/*
 * A way to a destination, kept by whoever sends there often. It is looked up
 * again by net_send() itself when the generation changed.
 */
struct net_path {
	struct net_link *link;
	struct neighbour *neighbour; /* a hint; checked before use */
	struct tow_addr src, dst, next_hop;
	uint32_t mtu; /* IP bytes that the link takes: see net_path_mtu() */
	uint32_t generation;
	uint32_t flow_label : 20; /* or UDP's ID; 0 until the first packet */
	bool to_group : 1; /* multicast or broadcast: nobody to resolve */
	bool whole : 1;	   /* DF, whatever is known of the path */
	bool searched : 1; /* its MTU is: by who sends there, RFC 8899 */
	uint16_t zone;
	uint8_t ttl, tos; /* 0: the stack's, 0 */
};

/*
 * A packet for a transport: buf's spans[0] begins at the transport header. The
 * IP header is still in the room in front of it.
 */
struct net_packet {
	struct net_link *link;
	struct tow_buf *buf;
	struct tow_addr src, dst;
	uint8_t protocol;
	uint8_t ttl, tos;
	uint16_t network_bytes; /* IP header and options in front of spans[0] */
	uint16_t zone;		/* of a link-local source */
	bool csum_ok;		/* verified by the device, or never on a wire */
	bool group;		/* to a multicast or broadcast address */
	bool fragmented;	/* IPv6: it has a fragment header */
	uint64_t touched_bytes; /* the transport read, for its checksum */
};

/* Both ends of a flow, as seen from here. */
struct net_flow {
	struct tow_addr local, remote;
	uint16_t local_port, remote_port;
	uint8_t protocol; /* enum net_protocol */
};

/* An ICMP error about a packet that we sent. */
struct net_error {
	struct tow_endpoint local, remote;
	uint8_t protocol;
	bool hard; /* ends a connection attempt: RFC 1122 4.2.3.9, RFC 5461 */
	bool sequence_known;
	uint32_t sequence; /* TCP: of the packet in question */
	int error;	   /* TOW_E* */
	uint32_t mtu;	   /* of the next hop, if it was too big; else 0 */
	struct tow_addr offender; /* who says so */
	uint8_t type, code;	  /* of the message */
};

enum net_verdict {
	NET_DONE,    /* consumed; the buffer is gone */
	NET_DELIVER, /* packet is filled in and owns the buffer */
	NET_ERROR,   /* error is filled in; the buffer is gone */
};

struct tow_config;

/*
 * Memory for the tables; net_init() carves them out of @memory, aligned to 64
 * bytes. It leaves the pools and govern alone: the stack makes them, before or
 * after, but before the first packet. The clock starts at 0; the stack sets
 * now_us and advances the wheel.
 */
size_t net_need(const struct tow_config *cfg);
void net_init(struct net *net, const struct tow_config *cfg, void *memory);

/*
 * Takes the device, which stays the stack's to close. Its IPv6 link-local
 * address is there at once. Returns the link's number or TOW_ENOBUFS.
 */
int net_link_add(struct net *net, struct tow_dev *dev);

/* The device said TOW_ENETDOWN at rx; at tx the link notices by itself. */
void net_link_gone(struct net *net, struct net_link *link);
int net_addr_add(struct net *net, unsigned link, const struct tow_addr *addr,
		 unsigned prefix_bits);
int net_addr_claim(struct net *net, unsigned link, const struct tow_addr *addr,
		   unsigned prefix_bits);
int net_addr_remove(struct net *net, unsigned link,
		    const struct tow_addr *addr);
int net_addr_list(const struct net *net, unsigned link,
		  struct tow_addr_info *out, int max);

/*
 * For the DHCP client: an address with an end, checked; @bits of 32. Of an
 * address that did not come by net_addr_lease() the others know nothing: they
 * leave it alone, and its state is 0.
 */
int net_addr_lease(struct net *net, unsigned link, const struct tow_addr *addr,
		   unsigned prefix_bits, uint64_t until_us);
void net_addr_prolong(struct net *net, unsigned link,
		      const struct tow_addr *addr, uint64_t until_us);
void net_addr_unlease(struct net *net, unsigned link,
		      const struct tow_addr *addr);
enum tow_addr_state net_lease_state(struct net *net, unsigned link,
				    const struct tow_addr *addr);

/* A number that is another one when a state of an address is. */
uint32_t net_addr_changes(const struct net *net);

/* Something that tow_addr_list() shows is otherwise; asking forgets it. */
bool net_addrs_changed(struct net *net, unsigned link);

/* Routers configure IPv6 on the link: tow/autoconf.h. */
int net_autoconf_start(struct net *net, unsigned link,
		       const struct tow_autoconf_config *config);
void net_autoconf_stop(struct net *net, unsigned link);
int net_dns_servers(const struct net *net, unsigned link,
		    struct tow_dns_server *out, int max);
int net_dns_domains(const struct net *net, unsigned link,
		    struct tow_dns_domain *out, int max);
void net_dns_changed(struct net *net, unsigned link); /* by a DHCP server */
int net_route_add(struct net *net, unsigned link, const struct tow_addr *dest,
		  unsigned prefix_bits, const struct tow_addr *gateway);
void net_route_remove(struct net *net, unsigned link,
		      const struct tow_addr *dest, unsigned prefix_bits,
		      const struct tow_addr *gateway);
bool net_is_local(const struct net *net, const struct tow_addr *addr);

/* The first @bits of the 128, also of IPv4. */
bool addr_prefix_equal(const struct tow_addr *a, const struct tow_addr *b,
		       unsigned bits);

/* Unicast: neither unspecified, multicast nor broadcast. */
bool net_is_unicast(const struct net *net, const struct tow_addr *addr);

/*
 * Groups that a socket of a transport, @owner, listens to: as tow_udp_listen().
 * What arrives for a group that nobody listens to is dropped on the way up;
 * for whom of the owners a datagram is, net_hears() says. Of groups that every
 * host is in nobody need be a member.
 */
int net_listen(struct net *net, const void *owner, unsigned link,
	       const struct tow_addr *group, enum tow_filter mode,
	       const struct tow_addr *sources, unsigned count);
void net_listen_end(struct net *net, const void *owner);
bool net_is_member(const struct net *net, unsigned link,
		   const struct tow_addr *group);

/* The group with its members, looked up once for all owners; or NULL. */
const struct net_group *net_group_of(const struct net *net, unsigned link,
				     const struct tow_addr *group);
enum net_heard {
	NET_NO_MEMBER,
	NET_HEARS,
	NET_FILTERS, /* a member, but it does not want this source */
};
enum net_heard net_hears(const struct net_group *group, const void *owner,
			 const struct tow_addr *src);

/* 224.0.0.1, ff02::1 and the like. */
bool net_is_everybody(const struct tow_addr *group);

/* Not broadcast. */
bool net_is_multicast(const struct tow_addr *addr);

/*
 * @src: the source address wanted, or any: chosen for the destination
 * (RFC 6724 for IPv6, the outgoing link's for IPv4).
 *
 * Returns: 0, TOW_ENETUNREACH, TOW_EADDRNOTAVAIL (@src is not ours).
 */
int net_path_find(struct net *net, const struct tow_addr *src,
		  const struct tow_addr *dst, uint16_t zone,
		  struct net_path *out);

/*
 * Look the same path up again, if the world changed since. net_send() does it
 * by itself; who builds frames for a certain device asks before.
 *
 * Returns: 0, or TOW_ENETDOWN, TOW_ENETUNREACH; the path is as it was then.
 */
int net_path_refresh(struct net *net, struct net_path *path);

/*
 * Can this frame shape go out as it is? What the path's device does: caps of
 * enum tow_dev_cap. The loopback does everything.
 */
static inline uint32_t net_path_caps(const struct net_path *path)
{
	return path->link->dev ? path->link->dev->caps : ~0u;
}

/*
 * IP bytes that the path takes, as far as ICMP said (pmtu.c). The transport
 * that an error was about says so by net_path_shrunk(), when it has no doubt.
 */
uint32_t pmtu_of(const struct net *net, const struct net_path *path);

static inline uint32_t net_path_mtu(const struct net *net,
				    const struct net_path *path)
{
	return net->now_us < net->pmtus_until_us && !path->searched
		       ? pmtu_of(net, path)
		       : path->mtu;
}

/* Returns: that was news. */
bool net_path_shrunk(struct net *net, const struct tow_addr *dst,
		     uint32_t told);

/*
 * Send one packet: puts the IP and link headers in front of the transport
 * header in spans[0], resolves the next hop (waiting packets are queued with
 * a limit), and queues the frame for its device.
 *
 * What is larger than the path takes leaves in fragments, unless it is TCP.
 *
 * With TOW_BUF_CSUM_PARTIAL set, csum_offset says where the checksum lies in
 * the transport header; csum_start and header_bytes are filled in here.
 *
 * Owns:    takes the buffer, whatever happens.
 * Returns: 0, or why the packet was dropped (counted).
 */
int net_send(struct net *net, struct net_path *path, struct tow_buf *buf,
	     uint8_t protocol);

/*
 * The last reference of a buffer with BUF_OWNER_FRAGMENT was given: it lets go
 * of the datagram that it is a part of.
 */
void net_fragment_sent(struct tow_buf *fragment);

/*
 * To everybody on the link, 255.255.255.255, from @src, which may be 0.0.0.0:
 * for who has no address yet. Takes the buffer.
 */
int net_broadcast(struct net *net, struct net_link *link,
		  const struct tow_addr *src, struct tow_buf *buf,
		  uint8_t protocol);

/*
 * Frames that the path's queue takes before it must drop; for back-pressure.
 * A batch that is full goes to the device at once, so this is 0 only when the
 * device's own ring is full too: then wait for the next poll.
 */
unsigned net_send_room(const struct net *net, const struct net_path *path);

/*
 * The same for one datagram of UDP or ICMP, with all fragments that it becomes:
 * one that is missing makes the others useless. What is collected goes to the
 * device, if that makes room. More fragments than a batch are believed to fit
 * when it is empty.
 */
bool net_has_room(struct net *net, const struct net_path *path,
		  const struct tow_buf *datagram);

/* Hand the collected frames of all links to their devices, and flush them. */
void net_flush(struct net *net);

/*
 * A frame from a link. Takes the buffer. Only TCP and UDP are delivered; what
 * else may come is answered or dropped here.
 */
enum net_verdict net_receive(struct net *net, struct net_link *link,
			     struct tow_buf *buf, struct net_packet *packet,
			     struct net_error *error);

/* Does a frame that was not looked at yet say that it is of this flow? */
bool net_frame_is_of(const struct net_link *link, const struct tow_buf *buf,
		     const struct net_flow *flow);

/*
 * Hints for placement (struct tow_place), whichever transport gives them:
 * hint.c. A token names protocol, record and generation; hint_give() fills in
 * the flow, and @place has the rest; hint_enter() changes a state and counts.
 *
 * A trial is how a flow has fared with its hints: how many packets were placed
 * rightly, and a pause after too few were (hint_judge(), to be called now and
 * then) or the device said no (hint_refused()).
 */
struct hint_trial {
	uint32_t hits, misses; /* since they were looked at */
	uint32_t pause_us;     /* the last for misses; 0 after a good time */
	uint64_t until_us;     /* no hint before then, */
	uint8_t why;	       /* enum tow_placement: why */
};

struct hint_patience {
	uint32_t miss_share; /* misses: at most one of so many */
	uint32_t pause_us_min, pause_us_max;
};

struct net_flow hint_flow(const struct tow_endpoint *local,
			  const struct tow_endpoint *remote, uint8_t protocol);
uint64_t hint_token(enum net_protocol protocol, uint32_t generation,
		    uint32_t index);
bool hint_may_be(const struct net_link *link);
uint16_t hint_header_bytes(const struct net_link *link,
			   const struct net_flow *flow, uint32_t transport);
int hint_give(struct net *net, struct net_link *link,
	      const struct net_flow *flow, struct tow_place *place);
void hint_withdraw(struct net *net, struct net_link *link,
		   const struct net_flow *flow);
void hint_judge(struct hint_trial *trial, const struct hint_patience *patience,
		uint64_t now_us);
void hint_refused(struct hint_trial *trial, int error, uint64_t until_us);
void hint_enter(struct net *net, uint8_t *state, enum tow_placement next);

/* The next packet sent to ourselves, or NULL. */
struct tow_buf *net_loop_take(struct net *net);

/*
 * Answer a packet with an ICMP error, if the rules and the rate limit allow
 * (RFC 1122 3.2.2, RFC 4443 2.4). The packet stays with the caller, and must
 * be as it was delivered: its transport header still in spans[0].
 */
enum net_unreachable {
	NET_UNREACHABLE_PORT,
	NET_UNREACHABLE_PROTOCOL,
};
void net_unreachable(struct net *net, const struct net_packet *packet,
		     enum net_unreachable why);

/* A timer of this layer is due: TIMER_NET, TIMER_REASSEMBLY, ... */
void net_timer(struct net *net, struct timer *timer);

/* The peer behind a path is known to be alive (RFC 4861 7.3.1). */
void net_confirm(struct net *net, struct net_path *path);

static inline void net_drop(struct net *net, enum tow_drop why)
{
	net->stats.drops[why]++;
}

static inline void net_count(struct net *net, enum tow_counter what)
{
	net->stats.counters[what]++;
}

#endif
