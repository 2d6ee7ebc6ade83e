/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UDP: a flow is a client and the socket that speaks for it to a target.
 *
 *	client A --+                      +-- flow A: port 40001 --- target 1
 *	           +--- near, port 53 ----+
 *	client B --+                      +-- flow B: port 40002 --- target 2
 *
 * Theory of operation. Datagrams are borrowed from the socket that clients send
 * to as long as they are of one client, and passed on together, so that a train
 * that arrived in one piece leaves in one. What cannot leave is dropped, and
 * counted, as on any wire.
 *
 * A flow that was silent for the idle timeout ends. The table has a limit; when
 * it is full, a new client takes the place of the one that was silent longest,
 * if that was some seconds. A target whose port is closed is known by the ICMP
 * error: it rests, and the client's next datagram finds another.
 */
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_MAX 64	  /* datagrams passed in one go */
#define COPY_BYTES  65536 /* no datagram is longer */

struct flow {
	struct list link;   /* in relay->flows or relay->dead */
	struct list bucket; /* in one of relay->buckets */
	struct relay *relay;
	struct tow_udp *far; /* connected to the target; NULL once ended */
	struct target *target;
	struct tow_endpoint client;
	struct tow_addr local; /* of ours, to which the client sends */
	bool answered;
	uint64_t began_us, used_us;
	uint64_t bytes[2]; /* to the target, to the client */
};

int flows_open(struct relay *relay)
{
	uint32_t buckets = 64, i;

	while (buckets < relay->settings.connections_max)
		buckets *= 2;
	relay->buckets = malloc(buckets * sizeof(*relay->buckets));
	if (!relay->buckets)
		return -ENOMEM;
	for (i = 0; i < buckets; i++)
		list_init(&relay->buckets[i]);
	relay->bucket_mask = buckets - 1;
	return 0;
}

/* --- the table --------------------------------------------------------------
 */

/* Clients choose their ports: this spreads them well enough. */
static struct list *bucket_of(struct relay *relay,
			      const struct tow_endpoint *client)
{
	uint32_t hash = client->port * 2654435761u;
	unsigned i;

	for (i = 0; i < sizeof(client->addr.b); i++)
		hash = (hash ^ client->addr.b[i]) * 16777619u;
	return &relay->buckets[(hash ^ hash >> 15) & relay->bucket_mask];
}

static struct flow *find_flow(struct relay *relay,
			      const struct tow_endpoint *client)
{
	struct list *bucket = bucket_of(relay, client);

	LIST_EACH (node, bucket) {
		struct flow *flow = CONTAINER(node, struct flow, bucket);

		if (flow->client.port == client->port &&
		    flow->client.zone == client->zone &&
		    tow_addr_equal(&flow->client.addr, &client->addr))
			return flow;
	}
	return NULL;
}

static void flow_end(struct flow *flow, const char *why)
{
	struct relay *relay = flow->relay;
	char client[TOW_ENDPOINT_TEXT_MAX];

	tow_udp_close(flow->far);
	flow->far = NULL;
	list_remove(&flow->bucket);
	list_remove(&flow->link);
	list_append(&relay->dead, &flow->link);
	relay->live_count--;
	tow_endpoint_format(&flow->client, client, sizeof(client));
	relay_log(relay, client, flow->target, flow->bytes, flow->began_us,
		  why);
}

static bool make_room(struct relay *relay)
{
	struct flow *oldest;

	if (relay->live_count < relay->settings.connections_max)
		return true;
	oldest = CONTAINER(relay->flows.next, struct flow, link);
	if (relay->now_us - oldest->used_us < RELAY_GRACE_US)
		return false;
	flow_end(oldest, "made room");
	return true;
}

static int open_far(struct flow *flow)
{
	struct tow_endpoint any = { .addr = tow_addr_any() };
	int error;

	error = tow_udp_open(flow->relay->stack, &any, &flow->far);
	if (error)
		return error;
	tow_udp_set_user(flow->far, flow);
	error = tow_udp_connect(flow->far, &flow->target->endpoint);
	if (error)
		tow_udp_close(flow->far);
	return error;
}

/* A target, and a socket for it; NULL: there is none that can be reached. */
static struct target *find_target(struct flow *flow)
{
	struct relay *relay = flow->relay;
	uint32_t tried = 0;

	while ((flow->target = target_choose(relay, tried))) {
		tried |= target_bit(relay, flow->target);
		if (open_far(flow) == 0)
			break;
		target_failed(relay, flow->target);
	}
	return flow->target;
}

static struct flow *new_flow(struct relay *relay,
			     const struct tow_udp_message *first)
{
	struct flow *flow = NULL;

	if (!relay->draining && make_room(relay))
		flow = calloc(1, sizeof(*flow));
	if (!flow)
		return NULL;
	flow->relay = relay;
	flow->client = first->peer;
	flow->local = first->local;
	flow->began_us = flow->used_us = relay->now_us;
	if (!find_target(flow)) {
		relay->totals.refused++;
		free(flow);
		return NULL;
	}
	relay->totals.accepted++;
	relay->live_count++;
	list_init(&flow->link);
	list_init(&flow->bucket);
	list_append(&relay->flows, &flow->link);
	list_append(bucket_of(relay, &flow->client), &flow->bucket);
	return flow;
}

static void flow_used(struct flow *flow)
{
	flow->used_us = flow->relay->now_us;
	list_remove(&flow->link);
	list_append(&flow->relay->flows, &flow->link);
}

/* --- datagrams --------------------------------------------------------------
 */

/* Pass the @count oldest on loan from @from; what cannot go is dropped. */
static void pass(struct relay *relay, struct tow_udp *to, struct tow_udp *from,
		 const struct tow_udp_message *where, unsigned count)
{
	int n;

	while (count > 0) {
		n = tow_udp_pass(to, from, where, count);
		if (n < 0) {
			n = 1;
			relay->totals.dropped_datagrams++;
			tow_udp_return(from, 1);
		}
		count -= (unsigned)n;
	}
}

/* What is on loan goes to whom it belongs; a client without flow has none. */
static void flush(struct relay *relay)
{
	static const struct tow_udp_message connected;
	unsigned count = relay->pending_count;

	relay->pending_count = 0;
	if (relay->pending && relay->pending->far) {
		pass(relay, relay->pending->far, relay->near, &connected,
		     count);
	} else {
		tow_udp_return(relay->near, count);
		relay->totals.dropped_datagrams += count;
	}
}

static void add_pending(struct relay *relay, struct flow *flow)
{
	if (relay->pending != flow || relay->pending_count == PENDING_MAX) {
		/* The newest stays on loan behind those that go. */
		flush(relay);
		relay->pending = flow;
	}
	relay->pending_count++;
}

static void from_clients(struct relay *relay)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct tow_udp_message message;
	struct flow *flow;

	while (tow_udp_borrow(relay->near, spans, TOW_SPANS_MAX, &message) >=
	       0) {
		flow = find_flow(relay, &message.peer);
		if (!flow)
			flow = new_flow(relay, &message);
		if (flow) {
			flow->bytes[0] += message.bytes;
			relay->totals.to_target_bytes += message.bytes;
			flow_used(flow);
		}
		add_pending(relay, flow);
	}
	flush(relay);
	relay->pending = NULL;
}

static void from_target(struct flow *flow)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct tow_udp_message message, where = {
		.peer = flow->client,
		.local = flow->local,
	};
	struct relay *relay = flow->relay;
	unsigned count = 0;

	while (tow_udp_borrow(flow->far, spans, TOW_SPANS_MAX, &message) >= 0) {
		flow->bytes[1] += message.bytes;
		relay->totals.to_client_bytes += message.bytes;
		if (++count == PENDING_MAX) {
			pass(relay, relay->near, flow->far, &where, count);
			count = 0;
		}
	}
	pass(relay, relay->near, flow->far, &where, count);
	if (!flow->answered)
		target_works(flow->target);
	flow->answered = true;
	flow_used(flow);
}

/* --- with a copy, to compare ------------------------------------------------
 */

static uint8_t copied[COPY_BYTES];

static void send_copy(struct relay *relay, struct tow_udp *to,
		      struct tow_udp_message *where, int64_t bytes)
{
	struct tow_span span = { copied, (size_t)bytes };

	where->spans = &span;
	where->span_count = 1;
	if (tow_udp_send(to, where, 1) != 1)
		relay->totals.dropped_datagrams++;
}

static void copy_from_clients(struct relay *relay)
{
	struct tow_udp_message message, connected = { 0 };
	struct flow *flow;
	int64_t n;

	while ((n = tow_udp_recv(relay->near, copied, sizeof(copied),
				 &message)) >= 0) {
		flow = find_flow(relay, &message.peer);
		if (!flow)
			flow = new_flow(relay, &message);
		if (!flow) {
			relay->totals.dropped_datagrams++;
			continue;
		}
		flow->bytes[0] += (uint64_t)n;
		relay->totals.to_target_bytes += (uint64_t)n;
		flow_used(flow);
		send_copy(relay, flow->far, &connected, n);
	}
}

static void copy_from_target(struct flow *flow)
{
	struct tow_udp_message where = {
		.peer = flow->client,
		.local = flow->local,
	};
	int64_t n;

	while ((n = tow_udp_recv(flow->far, copied, sizeof(copied), NULL)) >=
	       0) {
		flow->bytes[1] += (uint64_t)n;
		flow->relay->totals.to_client_bytes += (uint64_t)n;
		send_copy(flow->relay, flow->relay->near, &where, n);
	}
	target_works(flow->target);
	flow_used(flow);
}

/* --- events, time -----------------------------------------------------------
 */

static void on_error(struct flow *flow)
{
	target_failed(flow->relay, flow->target);
	flow_end(flow, "target failed");
}

void flows_event(struct relay *relay, const struct tow_event *event)
{
	struct flow *flow = event->user;
	bool copies = relay->settings.copy;

	if (!flow && event->type == TOW_EVENT_READABLE && relay->near) {
		copies ? copy_from_clients(relay) : from_clients(relay);
	} else if (flow && flow->far) {
		if (event->type == TOW_EVENT_ERROR)
			on_error(flow);
		else if (event->type == TOW_EVENT_READABLE)
			copies ? copy_from_target(flow) : from_target(flow);
	}
}

void flows_tick(struct relay *relay)
{
	uint64_t idle_us = relay->settings.idle_timeout_us;

	while (idle_us && !list_empty(&relay->flows)) {
		struct flow *flow =
			CONTAINER(relay->flows.next, struct flow, link);

		if (relay->now_us - flow->used_us < idle_us)
			return;
		relay->totals.idle++;
		flow_end(flow, "idle");
	}
}

void flows_end(struct relay *relay)
{
	LIST_EACH (node, &relay->flows)
		flow_end(CONTAINER(node, struct flow, link), "the relay ends");
	if (relay->near)
		tow_udp_close(relay->near);
	relay->near = NULL;
}

void flows_reap(struct relay *relay)
{
	LIST_EACH (node, &relay->dead) {
		list_remove(node);
		free(CONTAINER(node, struct flow, link));
	}
}

void flows_close(struct relay *relay)
{
	flows_reap(relay);
	free(relay->buckets);
}
