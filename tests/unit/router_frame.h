/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ROUTER_FRAME_H
#define ROUTER_FRAME_H

/*
 * Router advertisements, for tests:
 *
 *	advert_begin(&f, "fe80::2", 1800);
 *	advert_prefix(&f, "2001:db8:1::", 64, 0xc0, 7200, 3600);
 *	frame_end(&f);
 */
#include "frame.h"

/* From a router with hop limit 255, to all nodes; it says nothing more. */
void advert_begin(struct frame *f, const char *router, uint16_t lifetime_s);

/* Options, each appended. */
void advert_mac(struct frame *f, const uint8_t mac[6]);
void advert_prefix(struct frame *f, const char *prefix, uint8_t bits,
		   uint8_t flags, uint32_t valid_s, uint32_t preferred_s);
void advert_mtu(struct frame *f, uint32_t mtu);
void advert_route(struct frame *f, const char *prefix, uint8_t bits,
		  int preference, uint32_t lifetime_s);

/* RFC 8106: @servers ends with NULL; @names are as on the wire. */
void advert_servers(struct frame *f, uint32_t lifetime_s,
		    const char *const *servers);
void advert_domains(struct frame *f, uint32_t lifetime_s, const void *names,
		    uint32_t bytes);

#endif
