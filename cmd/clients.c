/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who answers for which connection: see clients.h.
 *
 * All owners are opened at the start, so that none has to be closed, which
 * would abort its connections: a place that is free changes its address.
 */
#include "clients.h"

#include <string.h>
#include <tow/tcp.h>

#define LEND_SHARE 4 /* of the receive memory: half of what is lent */
#define NET_BYTES  8 /* of an IPv6 address: what one customer has */

int clients_open(struct clients *clients, struct tow_stack *stack,
		 const struct tow_config *config)
{
	struct tow_owner_config owner = {
		.budget_bytes = (uint64_t)config->rx_chunks *
				config->chunk_bytes / LEND_SHARE,
	};
	unsigned i;
	int error = tow_owner_open(stack, &owner, &clients->rest);

	for (i = 0; !error && i < CLIENTS_MAX; i++)
		error = tow_owner_open(stack, &owner,
				       &clients->places[i].owner);
	return error;
}

/* fe80::/10, RFC 4291 2.5.6 */
static bool is_link_local(const struct tow_addr *addr)
{
	return addr->b[0] == 0xfe && (addr->b[1] & 0xc0) == 0x80;
}

struct tow_addr client_net(const struct tow_addr *addr)
{
	struct tow_addr net = *addr;

	if (!tow_addr_is_v4(addr) && !is_link_local(addr))
		memset(net.b + NET_BYTES, 0, sizeof(net.b) - NET_BYTES);
	return net;
}

static bool is_free(const struct client *client)
{
	struct tow_owner_info info;

	tow_owner_info(client->owner, &info);
	return info.members == 0;
}

/* The place of a client, or else a free one; NULL: there is neither. */
static struct client *find(struct clients *clients, const struct tow_addr *net)
{
	struct client *free = NULL;
	unsigned i;

	for (i = 0; i < clients->count; i++) {
		struct client *client = &clients->places[i];

		if (tow_addr_equal(&client->addr, net))
			return client;
		if (!free && is_free(client))
			free = client;
	}
	if (!free && clients->count < CLIENTS_MAX)
		free = &clients->places[clients->count++];
	return free;
}

void clients_add(struct clients *clients, const struct tow_addr *addr,
		 struct tow_tcp *tcp)
{
	struct tow_addr net = client_net(addr);
	struct client *client = find(clients, &net);

	if (client)
		client->addr = net;
	/* Without a refuge nothing lies in one: it cannot be refused. */
	(void)tow_tcp_set_owner(tcp, client ? client->owner : clients->rest);
}
