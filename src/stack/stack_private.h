/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef STACK_PRIVATE_H
#define STACK_PRIVATE_H

#include <tow/stack.h>
#include "dhcp/dhcp_host.h"
#include "net/net.h"
#include "tcp/tcp_host.h"
#include "udp/udp_host.h"

struct tow_stack {
	struct net net;
	struct dhcp_host dhcp;
	struct udp_host udp;
	struct tcp_host tcp;
	struct tow_config cfg;
};

/*
 * Look at the frames of a batch that left bytes in posted buffers, before any
 * frame of it is received. Those that cannot be received become NULL.
 */
void stack_check_placed(struct tow_stack *stack, const struct net_link *link,
			struct tow_buf **bufs, int count);

#endif
