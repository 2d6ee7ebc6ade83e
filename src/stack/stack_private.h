/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef STACK_PRIVATE_H
#define STACK_PRIVATE_H

#include <tow/stack.h>
#include "net/net.h"
#include "tcp/tcp_host.h"
#include "udp/udp_host.h"

struct tow_stack {
	struct net net;
	struct udp_host udp;
	struct tcp_host tcp;
	struct tow_config cfg;
};

#endif
