/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef UDP_HOST_H
#define UDP_HOST_H

/*
 * What the stack sees of UDP: RFC 768, RFC 8200 8.1, RFC 1122 4.1.
 */
#include <tow/event.h>
#include <tow/stack.h>
#include <tow/udp.h>
#include "net/net.h"

struct udp_host {
	struct net *net;
	struct tow_udp *sockets;
	uint32_t socket_max;
	struct list ready;   /* sockets with events that were not taken yet */
	struct list sending; /* sockets with datagrams queued */
	struct list blocked; /* sockets that were told TOW_EAGAIN */
	struct list landing; /* sockets whose hint has to be looked at */
	struct udp_private *private;
};

/*
 * Memory: the sockets, their table, a cache of paths, and loan records. A loan
 * needs one from tow_udp_lend() until its event was taken. There are as many
 * as tx_bufs, since each loan under way holds at least one buffer: cfg->loans
 * is TCP's alone. A filled slot of a posted buffer needs a record until the
 * program took it; there are as many as rx_bufs.
 */
size_t udp_need(const struct tow_config *cfg);
void udp_init(struct udp_host *udp, struct net *net,
	      const struct tow_config *cfg, void *memory);

/* A packet with protocol 17. Takes packet->buf. */
void udp_input(struct udp_host *udp, struct net_packet *packet);
void udp_error(struct udp_host *udp, const struct net_error *error);

/*
 * Hand queued datagrams to the network layer as far as it has room. To be
 * called in each poll: it also notices sockets that are writable again.
 *
 * Returns: how many frames were handed on.
 */
int udp_output(struct udp_host *udp);

/*
 * A sent buffer came back (buf->owner_kind says it was ours): end its loan.
 * The buffer stays the caller's, who reclaims it.
 */
void udp_sent(struct udp_host *udp, struct tow_buf *buf);

/* A received frame left bytes in memory that was posted to UDP. */
bool udp_placed(struct udp_host *udp, const struct tow_buf *buf,
		struct net_flow *flow);

/*
 * Let devices place what comes next, where that is wanted and they can. To be
 * called after a batch of frames was handed up, before a device is asked for
 * more.
 */
void udp_place_all(struct udp_host *udp);

int udp_events(struct udp_host *udp, struct tow_event *out, int max);
bool udp_idle(const struct udp_host *udp);

/* A socket that was told EAGAIN will be told WRITABLE by the next poll. */
bool udp_waits(const struct udp_host *udp);

/* The stack inside of which these live; src/stack defines it. */
struct udp_host *stack_udp(struct tow_stack *stack);

#endif
