/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which socket a datagram is for, and which ports are free.
 *
 * Two hash tables with a secret key, so that nobody outside can choose ports
 * and addresses that all fall into one bucket:
 *
 *	connected   by local and remote endpoint; connected sockets
 *	bound       by the endpoint as opened; all sockets
 *
 * The most specific socket gets the datagram: a connected one, then one bound
 * to the address, then one bound to any address. A connected socket takes
 * nothing from others, though it keeps its port.
 *
 * Of sockets that share an endpoint the one with the highest weight for the
 * remote endpoint gets it ("rendezvous hashing"): a keyed hash of the endpoint
 * mixed with a random number of the socket. So a peer stays where it was when
 * others come and go, and cannot choose which one it loads.
 */
#include "udp/udp_private.h"

/*
 * RFC 6056 3.2: a large range. Below it lie the ports of services, which a
 * program may want to bind later.
 */
#define PORT_FIRST 32768u
#define PORT_COUNT 32768u
#define PORT_TRIES 64 /* random ones, before the range is walked */

static struct list *bucket(struct udp_host *udp, struct list *buckets,
			   const void *key, size_t bytes)
{
	uint64_t hash = siphash13(&udp->private->table_key, key, bytes);

	return &buckets[hash & udp->private->bucket_mask];
}

struct list *udp_bound_bucket(struct udp_host *udp,
			      const struct tow_endpoint *local)
{
	uint8_t key[18];

	memcpy(key, local->addr.b, 16);
	memcpy(key + 16, &local->port, 2);
	return bucket(udp, udp->private->bound, key, sizeof(key));
}

static struct list *connected_bucket(struct udp_host *udp,
				     const struct tow_endpoint *local,
				     const struct tow_endpoint *remote)
{
	uint8_t key[36];

	memcpy(key, local->addr.b, 16);
	memcpy(key + 16, remote->addr.b, 16);
	memcpy(key + 32, &local->port, 2);
	memcpy(key + 34, &remote->port, 2);
	return bucket(udp, udp->private->connected, key, sizeof(key));
}

/* A zone of 0 is "the only one that can be meant". */
bool udp_same_endpoint(const struct tow_endpoint *a,
		       const struct tow_endpoint *b)
{
	return a->port == b->port && tow_addr_equal(&a->addr, &b->addr) &&
	       (a->zone == b->zone || a->zone == 0 || b->zone == 0);
}

struct tow_udp *udp_find_bound(struct udp_host *udp,
			       const struct tow_endpoint *local)
{
	struct list *head = udp_bound_bucket(udp, local);
	struct tow_udp *s;

	LIST_EACH (node, head) {
		s = CONTAINER(node, struct tow_udp, bound_node);
		if (udp_same_endpoint(&s->bound, local))
			return s;
	}
	return NULL;
}

struct tow_udp *udp_find_connected(struct udp_host *udp,
				   const struct tow_endpoint *local,
				   const struct tow_endpoint *remote)
{
	struct list *head;
	struct tow_udp *s;

	if (udp->private->connected_count == 0)
		return NULL;
	head = connected_bucket(udp, local, remote);
	LIST_EACH (node, head) {
		s = CONTAINER(node, struct tow_udp, connected_node);
		if (udp_same_endpoint(&s->local, local) &&
		    udp_same_endpoint(&s->remote, remote))
			return s;
	}
	return NULL;
}

static uint64_t hash_remote(const struct udp_host *udp,
			    const struct tow_endpoint *remote)
{
	uint8_t key[18];

	memcpy(key, remote->addr.b, 16);
	memcpy(key + 16, &remote->port, 2);
	return siphash13(&udp->private->table_key, key, sizeof(key));
}

/* The finalizer of MurmurHash3: each bit of @x sways half of the result's. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
	x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
	return x ^ x >> 33;
}

static struct tow_udp *find_shared(struct udp_host *udp,
				   const struct tow_endpoint *local,
				   const struct tow_endpoint *remote)
{
	uint64_t hash = hash_remote(udp, remote), weight, heaviest = 0;
	struct tow_udp *best = NULL, *s;

	LIST_EACH (node, udp_bound_bucket(udp, local)) {
		s = CONTAINER(node, struct tow_udp, bound_node);
		if (s->connected || !udp_same_endpoint(&s->bound, local))
			continue;
		weight = mix(hash ^ s->share_seed);
		if (best && weight < heaviest)
			continue;
		best = s;
		heaviest = weight;
	}
	return best;
}

static struct tow_udp *find_open_to_all(struct udp_host *udp,
					const struct tow_endpoint *local,
					const struct tow_endpoint *remote)
{
	struct tow_udp *s = udp_find_bound(udp, local);

	if (s && UNLIKELY(s->shared))
		return find_shared(udp, local, remote);
	return s && !s->connected ? s : NULL;
}

struct tow_udp *udp_find(struct udp_host *udp, const struct tow_endpoint *local,
			 const struct tow_endpoint *remote)
{
	struct tow_endpoint any = { .port = local->port };
	struct tow_udp *s = udp_find_connected(udp, local, remote);

	if (!s)
		s = find_open_to_all(udp, local, remote);
	if (!s)
		s = find_open_to_all(udp, &any, remote);
	return s;
}

void udp_table_bind(struct tow_udp *s)
{
	list_add(udp_bound_bucket(s->host, &s->bound), &s->bound_node);
	s->host->private->ports_changed++;
}

void udp_table_unbind(struct tow_udp *s)
{
	list_remove(&s->bound_node);
	s->host->private->ports_changed++;
}

/* Another socket has the port, on whatever address. */
bool udp_port_is_shared(const struct tow_udp *s)
{
	const struct udp_host *udp = s->host;
	uint32_t i;

	for (i = 0; i < udp->socket_max; i++) {
		const struct tow_udp *other = &udp->sockets[i];

		if (other != s && other->open && !other->closed &&
		    other->bound.port == s->bound.port)
			return true;
	}
	return false;
}

void udp_table_connect(struct tow_udp *s)
{
	list_add(connected_bucket(s->host, &s->local, &s->remote),
		 &s->connected_node);
	s->host->private->connected_count++;
	s->connected = true;
}

void udp_table_disconnect(struct tow_udp *s)
{
	if (!s->connected)
		return;
	list_remove(&s->connected_node);
	s->host->private->connected_count--;
	s->connected = false;
}

/* Nobody has it, neither on this address nor on all. */
static bool is_free(struct udp_host *udp, const struct tow_addr *local,
		    uint32_t port)
{
	struct tow_endpoint own = { .addr = *local, .port = (uint16_t)port };
	struct tow_endpoint any = { .port = (uint16_t)port };

	return !udp_find_bound(udp, &own) && !udp_find_bound(udp, &any);
}

/* RFC 6056 3.3.2: random, so that nobody can guess it; 0 if all are taken. */
uint16_t udp_choose_port(struct udp_host *udp, const struct tow_addr *local)
{
	uint32_t i, at = 0;

	for (i = 0; i < PORT_TRIES; i++) {
		at = random_below(&udp->net->random, PORT_COUNT);
		if (is_free(udp, local, PORT_FIRST + at))
			return (uint16_t)(PORT_FIRST + at);
	}
	for (i = 1; i < PORT_COUNT; i++) {
		at = (at + 1) % PORT_COUNT;
		if (is_free(udp, local, PORT_FIRST + at))
			return (uint16_t)(PORT_FIRST + at);
	}
	return 0;
}
