/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_AUTOCONF_H
#define TOW_AUTOCONF_H

#include <stdbool.h>
#include <stdint.h>
#include <tow/addr.h>
#include <tow/mark.h>

struct tow_stack;

/*
 * Addresses that come and go: checked for whether somebody else has them,
 * learned from routers or a DHCP server, and given up when their time is over.
 *
 *	tow_addr_add()                the program knows better; used at once
 *	tow_addr_claim()     ---+
 *	tow_autoconf_start() ---+---> TENTATIVE ---> PREFERRED ---> DEPRECATED
 *	tow_dhcp_start()     ---+        |  somebody has it  |         | time
 *	                                 v                   v         v over
 *	                             DUPLICATE <---------- lost      (gone)
 *
 * An address is ours from PREFERRED on: packets to it are received, and
 * sockets can be bound to it. New flows avoid one that is DEPRECATED
 * (RFC 6724 5), old ones may end in peace. Whenever the addresses of a link
 * have changed a TOW_EVENT_ADDRESS says so, and tow_addr_list() says how. It
 * also says that there are other servers of names, see tow_dns_servers().
 *
 * How many there can be is addr_max, router_max and prefix_max of struct
 * tow_config; what is beyond that is ignored, and counted. Addresses of
 * advertised prefixes, temporary ones too, take half of the room at most.
 */
enum tow_addr_state {
	TOW_ADDR_TENTATIVE = 1, /* being checked: not ours yet */
	TOW_ADDR_PREFERRED,
	TOW_ADDR_DEPRECATED, /* ours, but not for new flows */
	TOW_ADDR_DUPLICATE,  /* somebody else has it: not ours */
};

enum tow_addr_origin {
	TOW_ADDR_STATIC = 1, /* tow_addr_add(), tow_addr_claim() */
	TOW_ADDR_LINK_LOCAL,
	TOW_ADDR_STABLE,    /* of an advertised prefix, always the same */
	TOW_ADDR_TEMPORARY, /* of an advertised prefix, for a day or two */
	TOW_ADDR_DHCP,
};

#define TOW_FOREVER UINT64_MAX

struct tow_addr_info {
	struct tow_addr addr;
	uint8_t prefix_bits; /* of 32 or 128 */
	enum tow_addr_state state;
	enum tow_addr_origin origin;
	uint64_t preferred_us; /* from now on; 0, or TOW_FOREVER */
	uint64_t valid_us;
};

#define TOW_TEMPORARY_RULES_MAX 4
#define TOW_DAD_NONE		255

/* Whether prefixes within @prefix have temporary addresses. */
struct tow_temporary_rule {
	struct tow_addr prefix;
	uint8_t prefix_bits; /* of 128 */
	bool temporary;
};

struct tow_autoconf_config {
	/*
	 * RFC 8981: beside the stable address of each prefix one that is made
	 * anew each day, and preferred for what begins here.
	 */
	bool temporary;
	/*
	 * RFC 8981 3.8: for how long it is preferred, at most, and valid; 0: a
	 * day, two days. To have another one in time takes ten seconds, or with
	 * n dad_transmits 4 + 6 n if that is more: preferred must not be less,
	 * and has to be less than valid.
	 */
	uint32_t temporary_preferred_s, temporary_valid_s;
	/* RFC 8981 3.7: the first rule that covers a prefix is what counts */
	struct tow_temporary_rule rules[TOW_TEMPORARY_RULES_MAX];
	uint8_t rule_count;
	/*
	 * RFC 4862 5.1, DupAddrDetectTransmits: how often an IPv6 address is
	 * asked for before it is used, a second each. 0: once; TOW_DAD_NONE:
	 * not at all.
	 */
	uint8_t dad_transmits;
	/*
	 * RFC 7217: stable addresses are a keyed hash of the prefix and the
	 * link's number. The same key makes the same addresses on the same
	 * network; all zeros: a key that lives as long as the stack does.
	 */
	uint8_t stable_key[16];
};

#define TOW_DHCP_DNS_MAX 3

struct tow_dhcp_info {
	bool running;
	bool bound;	      /* the rest is said only then */
	struct tow_addr addr; /* of ours */
	uint8_t prefix_bits;  /* of 32 */
	struct tow_addr server;
	struct tow_addr router; /* any: none was told */
	struct tow_addr dns[TOW_DHCP_DNS_MAX];
	uint8_t dns_count;
	uint64_t left_us; /* of the lease; or TOW_FOREVER */
};

#define TOW_DNS_MAX	 4   /* that are kept of what routers of a link say */
#define TOW_DNS_NAME_MAX 254 /* bytes of a domain's text, with a 0 behind */

/* Who answers questions about names. */
struct tow_dns_server {
	struct tow_addr addr; /* a link-local one is one of the same link */
	bool by_dhcp;	      /* and not by router advertisements */
	uint64_t valid_us;    /* from now on; or TOW_FOREVER */
};

/* Where names of one word may be found. */
struct tow_dns_domain {
	char name[TOW_DNS_NAME_MAX]; /* "example.com" */
	uint64_t valid_us;	     /* from now on; or TOW_FOREVER */
};

TOW_BEGIN
/*
 * tow_addr_claim() - an address of this stack, if nobody else has it
 * @link, @prefix_bits: as for tow_addr_add()
 *
 * IPv6: duplicate address detection (RFC 4862 5.4, RFC 7527), one to two
 * seconds, or as dad_transmits of the link's autoconfiguration has it. IPv4:
 * probes, and then announcements (RFC 5227 2), four to seven seconds.
 * TOW_EVENT_ADDRESS tells when it is over. On a link without Ethernet there is
 * nobody to ask: the address is ours at once.
 *
 * Returns: 0, TOW_EINVAL, TOW_EEXIST, TOW_ENOBUFS; as tow_addr_add().
 */
TOW_API int tow_addr_claim(struct tow_stack *stack, int link,
			   const struct tow_addr *addr,
			   unsigned prefix_bits) TOW_MUST_USE;

/*
 * tow_addr_remove() - give an address up, whatever it came from
 *
 * Connections from it cannot send any more, and time out.
 *
 * Returns: 0, TOW_EINVAL (no such link), TOW_EADDRNOTAVAIL (not there).
 */
TOW_API int tow_addr_remove(struct tow_stack *stack, int link,
			    const struct tow_addr *addr);

/*
 * tow_addr_list() - the addresses of a link, also those being checked
 * @out: room for @max
 *
 * Returns: how many there are, also if that is more than @max; TOW_EINVAL.
 */
TOW_API int tow_addr_list(const struct tow_stack *stack, int link,
			  struct tow_addr_info *out, int max);

/*
 * tow_autoconf_start() - let routers configure IPv6 on a link
 * @config: NULL for one of zeros
 *
 * The link gets a new link-local address (RFC 7217), checked this time.
 * Routers are asked (RFC 4861 6.3.7, RFC 7559) until one has answered, and
 * what they advertise is followed: default routers with their preferences and
 * more specific routes (RFC 4191), prefixes on the link, prefixes to make
 * addresses of (RFC 4862), the MTU, the hop limit, the times of neighbour
 * discovery, servers of names (RFC 8106).
 *
 * A link that is another network now, because the machine went somewhere else,
 * is for the program to notice: tow_autoconf_stop() and this again take all
 * back that was learned, and make other temporary addresses (RFC 8981 3.6).
 *
 * Returns: 0, TOW_EINVAL (no such link, none with Ethernet, an MTU below 1280,
 *          or lifetimes or rules that make no sense), TOW_EEXIST (it runs),
 *          TOW_ENOBUFS.
 */
TOW_API int
tow_autoconf_start(struct tow_stack *stack, int link,
		   const struct tow_autoconf_config *config) TOW_MUST_USE;

/* Routes, addresses and servers of names that came from it go away. */
TOW_API void tow_autoconf_stop(struct tow_stack *stack, int link);

/*
 * tow_dhcp_start() - get an IPv4 address from a DHCP server (RFC 2131)
 *
 * The first offer that makes sense is taken, and the address checked before it
 * is used (RFC 5227); TOW_EVENT_ADDRESS tells. It brings the route to its
 * subnet and a default route. The lease is renewed in time; when it is over,
 * the address is, and a server is looked for again, for as long as it takes.
 * An address that somebody else has is declined.
 *
 * Returns: 0, TOW_EINVAL (no such link, or none with Ethernet), TOW_EEXIST (it
 *          runs).
 */
TOW_API int tow_dhcp_start(struct tow_stack *stack, int link) TOW_MUST_USE;

/*
 * tow_dhcp_stop() - give the address back
 *
 * The server is told so; until that is out, for a moment, tow_idle() says no.
 */
TOW_API void tow_dhcp_stop(struct tow_stack *stack, int link);

/* Returns: 0, TOW_EINVAL. */
TOW_API int tow_dhcp_info(const struct tow_stack *stack, int link,
			  struct tow_dhcp_info *out);

/*
 * tow_dns_servers() - servers of names that a link was told
 * @out: room for @max
 *
 * By DHCP, and then by routers (RFC 8106), where autoconfiguration runs: each
 * in the order in which they are to be asked. The stack asks none of them. When
 * there are others TOW_EVENT_ADDRESS says so.
 *
 * Returns: how many there are, also if that is more than @max; TOW_EINVAL.
 */
TOW_API int tow_dns_servers(const struct tow_stack *stack, int link,
			    struct tow_dns_server *out, int max);

/*
 * tow_dns_domains() - domains to look names up in, as routers told them
 * @out: room for @max
 *
 * In small letters, without a dot at the end; of letters, digits, underscores,
 * and hyphens between them, whatever the router sent.
 *
 * Returns: as tow_dns_servers().
 */
TOW_API int tow_dns_domains(const struct tow_stack *stack, int link,
			    struct tow_dns_domain *out, int max);
TOW_END

#endif
