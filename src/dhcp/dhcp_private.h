/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DHCP_PRIVATE_H
#define DHCP_PRIVATE_H

/*
 * The DHCP client inside:
 *
 *	dhcp.c          the states of RFC 2131 4.4, and what leads from one to
 *	                another
 *	dhcp_message.c  messages: writing ours, reading a server's
 */
#include "dhcp/dhcp_host.h"
#include "wire/wire_dhcp.h"

#define DHCP_S 1000000ull /* in microseconds */

/* RFC 2131 4.4, figure 5; the check of RFC 5227 has a state of its own. */
enum dhcp_state {
	DHCP_STOPPED,
	DHCP_INIT, /* waits before it asks */
	DHCP_SELECTING,
	DHCP_REQUESTING,
	DHCP_CHECKING, /* granted; is it free? */
	DHCP_BOUND,
	DHCP_RENEWING,
	DHCP_REBINDING,
	DHCP_RELEASING, /* the release may still wait for its next hop */
};

/* What a server says, checked for sense. */
struct dhcp_lease {
	struct tow_addr addr, server;
	struct tow_addr router; /* any: none */
	struct tow_addr dns[TOW_DHCP_DNS_MAX];
	uint8_t dns_count;
	uint8_t mask_bits;	      /* of 32 */
	uint32_t lease_s, t1_s, t2_s; /* DHCP_FOREVER_S: no end */
};

struct dhcp_reply {
	uint8_t type; /* enum dhcp_type */
	struct dhcp_lease lease;
};

struct dhcp_client {
	struct timer timer;
	uint8_t state;	   /* enum dhcp_state */
	uint8_t tries;	   /* of the message that is being sent */
	uint8_t failures;  /* since there was a lease */
	uint8_t conflicts; /* over leases, since one was renewed */
	bool routed;	   /* by lease.router */
	uint32_t xid;
	uint64_t started_us;
	uint64_t discovered_us;	 /* when the last DISCOVER was sent */
	uint64_t requested_us;	 /* a lease counts from then on */
	struct dhcp_lease lease; /* offered, requested, held */
	uint64_t t1_us, t2_us, end_us;
};

/* --- dhcp_message.c */
void dhcp_send(struct dhcp_host *dhcp, unsigned link, enum dhcp_type type);
bool dhcp_read(struct dhcp_host *dhcp, const struct net_packet *packet,
	       const struct dhcp_client *c, struct dhcp_reply *out);

#endif
