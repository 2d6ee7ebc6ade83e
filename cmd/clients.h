/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLIENTS_H
#define CLIENTS_H

#include <tow/addr.h>
#include <tow/owner.h>
#include <tow/stack.h>

/*
 * Clients: an owner (tow/owner.h) for each address that connects, so that who
 * opens many connections and reads from none of them, or sends to where nobody
 * reads, has one share of the receive memory and not one for each.
 *
 * A client is an IPv4 address or an IPv6 network of 64 bits, which is what one
 * customer has; a link-local address is one alone, because all stations of a
 * link are in that network. The table is bounded: those that find no place in
 * it share one owner, the last. A place is free when its client has no
 * connection left.
 */
#define CLIENTS_MAX 256

struct client {
	struct tow_addr addr; /* of its network the first */
	struct tow_owner *owner;
};

struct clients {
	struct client places[CLIENTS_MAX];
	unsigned count; /* places that were ever used */
	struct tow_owner *rest;
};

/*
 * clients_open() - with owners that the stack's configuration has room for
 *
 * Each may have half of what the stack lends. They end with the stack.
 *
 * Returns: 0, TOW_ENOBUFS.
 */
int clients_open(struct clients *clients, struct tow_stack *stack,
		 const struct tow_config *config);

/* From now on the client at @addr answers for this connection. */
void clients_add(struct clients *clients, const struct tow_addr *addr,
		 struct tow_tcp *tcp);

/* The first address of the client's network; a link-local one itself. */
struct tow_addr client_net(const struct tow_addr *addr);

#endif
