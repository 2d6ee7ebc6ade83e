/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FRAME_H
#define FRAME_H

/*
 * Frames as a peer would send them, for tests. A frame is begun, filled and
 * ended; then its lengths and checksums are right, and the test may break what
 * it likes.
 *
 *	frame_begin(&f, "192.0.2.2", "192.0.2.1", NET_UDP);
 *	frame_udp(&f, 1000, 7);
 *	frame_add(&f, "hello", 5);
 *	frame_end(&f);
 *	frame_ip(&f)[8] = 1; frame_sum_ip(&f);     TTL 1
 *
 * The station addresses are peer_mac and fake_mac, or that of the group.
 */
#include <tow/addr.h>
#include "fake_dev.h"
#include "net/net.h"

struct frame {
	uint8_t data[66000];
	uint32_t bytes;
	uint32_t ip, transport; /* offsets; transport 0: there is none */
	uint8_t protocol;	/* of the transport */
	struct tow_addr src, dst;
};

struct tow_addr address(const char *text);
struct tow_endpoint endpoint(const char *text, uint16_t port);

/* Ethernet and IP headers of the addresses' family. */
void frame_begin(struct frame *f, const char *src, const char *dst,
		 uint8_t next);
void frame_add(struct frame *f, const void *data, uint32_t bytes);
void frame_fill(struct frame *f, uint32_t bytes); /* counting up from 0 */

/* Options; the IPv4 header grows by a multiple of 4. Before anything else. */
void frame_ip4_options(struct frame *f, const void *data, uint32_t bytes);

void frame_udp(struct frame *f, uint16_t src_port, uint16_t dst_port);
void frame_icmp(struct frame *f, uint8_t type, uint8_t code, uint32_t rest);

/* Neighbour discovery, from @src with hop limit 255; @mac may be NULL. */
void frame_solicit(struct frame *f, const char *src, const char *dst,
		   const char *target, const uint8_t *mac);
void frame_advert(struct frame *f, const char *src, const char *dst,
		  uint8_t flags, const char *target, const uint8_t *mac);

void frame_arp(struct frame *f, uint16_t operation, const uint8_t *sender_mac,
	       const char *sender, const char *target);

/* Lengths and checksums; again after a change. */
void frame_end(struct frame *f);
void frame_sum_ip(struct frame *f);
void frame_sum_transport(struct frame *f);

/* The first byte of a header; for a frame that was sent, of its payload. */
static inline uint8_t *frame_ip(struct frame *f)
{
	return f->data + f->ip;
}

static inline uint8_t *frame_transport(struct frame *f)
{
	return f->data + f->transport;
}

/* Read back a frame that we sent; checks that all sums are right. */
void frame_read(struct frame *f, const struct fake_frame *sent);

#endif
