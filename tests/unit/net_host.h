/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_HOST_H
#define NET_HOST_H

/*
 * A network layer with one fake device, for tests:
 *
 *	host 192.0.2.1/24, 2001:db8::1/64, fe80::ff:fe00:1 ---- the test
 *	     fake_mac                                           peer_mac
 */
#include <tow/stack.h>
#include "fake_dev.h"
#include "frame.h"
#include "net/net.h"

#define HOST_LINK_LOCAL "fe80::ff:fe00:1"

struct net_host {
	struct net net;
	struct fake_dev fake;
	struct net_link *link;
	struct net_packet packet; /* of the last NET_DELIVER */
	struct net_error error;	  /* of the last NET_ERROR */
	unsigned seen;		  /* frames that were looked at */
	void *memory, *pools;
};

void net_host_config(struct tow_config *cfg);
void net_host_open(struct net_host *h);
void net_host_open_with(struct net_host *h, const struct tow_config *cfg,
			uint32_t caps);

/* Checks that all buffers and chunks came back. */
void net_host_close(struct net_host *h);

/* Receive a frame; what is delivered lies in h->packet and must be given. */
enum net_verdict net_host_receive(struct net_host *h, const struct frame *f);

/* What is dropped for this reason and for no other, without an answer. */
void net_host_refuses(struct net_host *h, const struct frame *f,
		      enum tow_drop why);

/* Delivered as it should be; given back. */
void net_host_accepts(struct net_host *h, const struct frame *f);

/* Run timers for that long, flush, end loans. */
void net_host_run(struct net_host *h, uint64_t us);

/* Send a datagram with @bytes of payload; what net_send() returned. */
int net_host_send(struct net_host *h, const char *dst, uint32_t bytes);

/* The frames that the device has been given since the last look. */
unsigned net_host_sent(struct net_host *h);

/* The same; reports about groups are forgotten. */
unsigned net_host_sent_but_reports(struct net_host *h);
void net_host_read(struct net_host *h, unsigned index, struct frame *f);

/* Make the peer known, so that packets to it need not wait. */
void net_host_meet(struct net_host *h, const char *peer);

#endif
