/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DHCP_HOST_H
#define DHCP_HOST_H

/*
 * What the stack sees of the DHCP client: RFC 2131, one client for each link.
 */
#include <tow/autoconf.h>
#include "net/net.h"

struct dhcp_client;

struct dhcp_host {
	struct net *net;
	struct dhcp_client *clients; /* by the link's number */
	uint32_t client_max;
	uint32_t running; /* clients; 0: nothing costs anything */
	uint32_t seen;	  /* net_addr_changes() when they looked last */
};

struct tow_config;

size_t dhcp_need(const struct tow_config *cfg);
void dhcp_init(struct dhcp_host *dhcp, struct net *net,
	       const struct tow_config *cfg, void *memory);

int dhcp_start(struct dhcp_host *dhcp, unsigned link);
void dhcp_stop(struct dhcp_host *dhcp, unsigned link);
void dhcp_info(const struct dhcp_host *dhcp, unsigned link,
	       struct tow_dhcp_info *out);

/*
 * A packet with protocol 17. Returns: it was for a client, and packet->buf is
 * taken.
 */
bool dhcp_input(struct dhcp_host *dhcp, struct net_packet *packet);

/* Has an address been refused or lost? To be called in each poll. */
void dhcp_poll(struct dhcp_host *dhcp);

/* A timer with TIMER_DHCP is due. */
void dhcp_timer(struct dhcp_host *dhcp, struct timer *timer);

/* No release is on its way out. */
bool dhcp_idle(const struct dhcp_host *dhcp);

#endif
