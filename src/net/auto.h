/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef AUTO_H
#define AUTO_H

/*
 * Addresses and routes that come and go by themselves. All tables are small
 * and of fixed size, and are walked: by one timer (auto_timer()) that is armed
 * for whatever comes first, and by messages that change them.
 *
 *	auto.c      memory, the timer, what the program sees
 *	claim.c     is an address free? (RFC 4862 5.4, RFC 5227); its lifetimes
 *	slaac.c     addresses of prefixes (RFC 4862 5.5, 7217, 8981)
 *	router.c    asking routers, and what they advertise (RFC 4861 6.3)
 *	dns.c       servers of names among that (RFC 8106)
 */
#include <tow/autoconf.h>
#include "net/net.h"
#include "wire/wire_icmp.h"

#define AUTO_S 1000000u /* in microseconds */
#define NEVER  UINT64_MAX

enum claim_state {
	CLAIM_FREE,
	CLAIM_CHECKING, /* not ours yet */
	CLAIM_HELD,	/* in net->addrs, too */
	CLAIM_REFUSED,	/* somebody else has it */
};

/* An address that was not simply given to us. */
struct claim {
	struct tow_addr addr;
	uint16_t link;
	uint8_t prefix_bits; /* of the 128, also for IPv4 */
	uint8_t state;	     /* enum claim_state */
	uint8_t origin;	     /* enum tow_addr_origin */
	uint8_t sent;	     /* probes; when it is held, announcements */
	uint8_t wanted;	     /* probes until it is ours */
	uint8_t attempt;     /* DAD_Counter of RFC 7217, or of 8981's retries */
	bool deprecated;     /* of one that is held */
	bool succeeded;	     /* a younger temporary address was made */
	uint8_t nonce[ND_NONCE_BYTES]; /* of the last probe (RFC 7527) */
	uint64_t next_us;	       /* of checking and announcing */
	uint64_t made_us;
	uint64_t desync_us; /* RFC 8981 3.8, of a temporary address */
	uint64_t preferred_until_us, valid_until_us; /* or NEVER */
};

/*
 * What advertisements say about the way: a default router is one to ::/0, a
 * prefix on the link is one without a gateway.
 */
struct learned {
	struct tow_addr dest, gateway;
	uint64_t until_us; /* 0: free */
	uint16_t link;
	uint8_t bits;
	int8_t preference; /* RFC 4191 2.1: -1, 0, 1 */
};

#define DNS_KEY_BYTES TOW_DNS_NAME_MAX

/* What is advertised about names (RFC 8106 6.1). */
struct dns_entry {
	uint64_t until_us;
	uint8_t key[DNS_KEY_BYTES]; /* an address, or text; zeros behind */
};

struct dns_list {
	struct dns_entry
		entries[TOW_DNS_MAX]; /* the first is to be preferred */
	uint8_t count;
};

/* What one message has said of a list. */
struct dns_place {
	uint8_t next; /* where what it says next belongs */
	uint8_t said; /* a bit for each entry */
};
_Static_assert(TOW_DNS_MAX <= 8, "bits of dns_place.said");

struct dns_places {
	struct dns_place server, domain;
};

/* What runs on one link. */
struct auto_link {
	bool running;
	bool solicits; /* nobody has answered yet */
	bool changed;  /* there is a TOW_EVENT_ADDRESS to be told */
	struct tow_autoconf_config config;
	struct sip_key key; /* RFC 7217 */
	uint64_t solicit_us;
	uint64_t interval_us; /* RFC 7559: what came before the next one */
	uint32_t reachable_us, retrans_us; /* 0: the default */
	struct dns_list dns_servers, dns_domains;
};

struct net_auto {
	struct timer timer;
	struct claim *claims;
	uint32_t claim_max;
	struct learned *learned;
	uint32_t learned_max, router_max;
	struct auto_link *links;
	uint32_t changes; /* of any link's addresses */
};

/* --- auto.c */
void auto_schedule(struct net *net); /* after any change of a time */
void auto_changed(struct net *net, unsigned link);
void auto_timer(struct net *net);
uint64_t auto_until_us(const struct net *net, uint32_t lifetime_s);
uint64_t auto_left_us(const struct net *net, uint64_t until_us);

/* --- claim.c */
struct claim_wish {
	struct tow_addr addr;
	uint8_t prefix_bits; /* of the 128 */
	uint8_t origin;
	uint8_t attempt;
	uint64_t desync_us;
	uint64_t preferred_until_us, valid_until_us;
};
int claim_start(struct net *net, unsigned link, const struct claim_wish *wish);
struct claim *claim_find(struct net *net, unsigned link,
			 const struct tow_addr *addr);
void claim_drop(struct net *net, struct claim *c);
uint32_t claims_checking(const struct net *net);
void claim_conflict(struct net *net, struct claim *c);
uint64_t claim_next(const struct net *net, const struct claim *c);
void claim_update(struct net *net, struct claim *c);
void claim_due(struct net *net, struct claim *c);
bool claim_heard_arp(struct net *net, unsigned link,
		     const struct tow_addr *sender,
		     const struct tow_addr *target, bool probe);
void claim_heard_solicit(struct net *net, struct claim *c,
			 const uint8_t *nonce);
void addr_conflict(struct net *net, unsigned link, const struct tow_addr *addr);

/* --- slaac.c */
int slaac_check(const struct tow_autoconf_config *config);
bool slaac_is_reserved(const uint8_t id[8]);
int slaac_link_local(struct net *net, unsigned link);
void slaac_prefix(struct net *net, unsigned link, const struct tow_addr *prefix,
		  uint64_t preferred_us, uint64_t valid_us);
void slaac_refused(struct net *net, struct claim *c);
uint64_t slaac_next(const struct net *net, const struct claim *c);
void slaac_renew(struct net *net, struct claim *c);

/* --- router.c */
uint64_t router_next(const struct net *net);
void router_due(struct net *net);
uint32_t router_room(const struct net *net);
void router_start(struct net *net, unsigned link);
void router_stop(struct net *net, unsigned link);
void router_is_host(struct net *net, unsigned link,
		    const struct tow_addr *addr);
enum net_verdict router_input(struct net *net, struct net_packet *packet);

/* --- dns.c */
uint64_t dns_next(const struct net *net);
void dns_due(struct net *net);
void dns_forget(struct net *net, unsigned link);
void dns_option(struct net *net, unsigned link, const struct tow_buf *buf,
		uint32_t at, uint32_t bytes, struct dns_places *places);

#endif
