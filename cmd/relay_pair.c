/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP: two connections, and what flows between them.
 *
 * Theory of operation. A client's connection waits until a target's is there;
 * whoever does not answer, or not in time, is followed by the next. Then each
 * direction is pumped by itself:
 *
 *	client ---- near |  borrow, pass --> | far ---- target
 *	                 | <-- borrow, pass  |
 *
 * until the stack says that the one side has nothing more to read, or the other
 * side room for no more; an event goes on from there. What was passed counts
 * against the window of the side it came by, so a pump has no limit of its own.
 *
 * The end of a stream is passed on as the end of a stream, behind its last
 * byte; when both have ended, both connections are closed. A connection that
 * fails takes the other with it, by a reset: whoever sees the end of a stream
 * may rely on having seen all of it.
 *
 * With --copy bytes are received into a buffer and sent out of it.
 */
#include "relay.h"

#include <stdlib.h>
#include <string.h>

#define STASH_BYTES 65536

struct pair;

/* One of the two connections. */
struct side {
	struct pair *pair;
	struct tow_tcp *tcp; /* NULL: not yet, or no more */
	size_t on_loan;	     /* borrowed, not passed yet */
	uint64_t sent_bytes; /* that went out here */
	bool eof, shut;

	/* With --copy: received here, not sent yet. */
	uint8_t *stash;
	size_t stash_first, stash_end;
};

struct pair {
	struct list link; /* in relay->pairs or relay->dead */
	struct relay *relay;
	struct side near, far;
	struct target *target;
	uint32_t tried; /* of the targets, a bit each */
	bool connected, ended;
	uint64_t began_us;
	uint64_t since_us; /* of the attempt to connect, or the last progress */
	uint64_t mark;	   /* bytes acknowledged at since_us */
	struct tow_addr addr; /* of the client, who answers for both */
	char client[TOW_ENDPOINT_TEXT_MAX];
};

/* --- the end ----------------------------------------------------------------
 */

static void side_end(struct side *side, bool hard)
{
	if (side->tcp && hard)
		tow_tcp_abort(side->tcp);
	else if (side->tcp)
		tow_tcp_close(side->tcp);
	side->tcp = NULL;
	free(side->stash);
	side->stash = NULL;
}

static void pair_end(struct pair *pair, bool hard, const char *why)
{
	struct relay *relay = pair->relay;
	uint64_t bytes[2] = { pair->far.sent_bytes, pair->near.sent_bytes };

	pair->ended = true;
	side_end(&pair->near, hard);
	side_end(&pair->far, hard);
	relay->live_count--;
	relay->totals.to_target_bytes += bytes[0];
	relay->totals.to_client_bytes += bytes[1];
	relay_log(relay, pair->client, pair->target, bytes, pair->began_us,
		  why);
	list_remove(&pair->link);
	list_append(&relay->dead, &pair->link);
}

/* Somebody broke it off. */
static void pair_reset(struct pair *pair, const char *why)
{
	pair->relay->totals.reset++;
	pair_end(pair, true, why);
}

static const char *who_reset(const struct side *side)
{
	return side == &side->pair->near ? "client failed" : "target failed";
}

/* --- connecting -------------------------------------------------------------
 */

static void connect_next(struct pair *pair)
{
	struct relay *relay = pair->relay;
	int error;

	while ((pair->target = target_choose(relay, pair->tried))) {
		pair->tried |= target_bit(relay, pair->target);
		error = tow_tcp_connect(relay->stack, NULL,
					&pair->target->endpoint,
					&pair->far.tcp);
		if (!error) {
			tow_tcp_set_user(pair->far.tcp, &pair->far);
			clients_add(relay->clients, &pair->addr, pair->far.tcp);
			(void)tow_tcp_set(pair->far.tcp, TOW_TCP_NODELAY, 1);
			pair->since_us = relay->now_us;
			return;
		}
		pair->far.tcp = NULL;
		if (error == TOW_ENOBUFS || error == TOW_EADDRINUSE)
			break; /* it is not the target's fault */
		target_failed(relay, pair->target);
	}
	relay->totals.refused++;
	pair_end(pair, true, pair->target ? "out of connections" : "no target");
}

static void connect_failed(struct pair *pair)
{
	tow_tcp_abort(pair->far.tcp);
	pair->far.tcp = NULL;
	target_failed(pair->relay, pair->target);
	connect_next(pair);
}

static bool stash_new(struct side *side)
{
	if (side->pair->relay->settings.copy)
		side->stash = malloc(STASH_BYTES);
	return side->stash || !side->pair->relay->settings.copy;
}

static void pair_begin(struct relay *relay, struct tow_tcp *tcp)
{
	struct tow_endpoint client = tow_tcp_remote(tcp);
	struct pair *pair = calloc(1, sizeof(*pair));

	if (!pair) {
		tow_tcp_abort(tcp);
		return;
	}
	relay->totals.accepted++;
	relay->live_count++;
	pair->relay = relay;
	pair->near.pair = pair->far.pair = pair;
	pair->near.tcp = tcp;
	pair->began_us = relay->now_us;
	tow_endpoint_format(&client, pair->client, sizeof(pair->client));
	pair->addr = client.addr;
	clients_add(relay->clients, &pair->addr, tcp);
	tow_tcp_set_user(tcp, &pair->near);
	(void)tow_tcp_set(tcp, TOW_TCP_NODELAY, 1);
	list_init(&pair->link);
	list_append(&relay->pairs, &pair->link);
	if (stash_new(&pair->near) && stash_new(&pair->far))
		connect_next(pair);
	else
		pair_end(pair, true, "out of memory");
}

void pairs_accept(struct relay *relay)
{
	struct tow_tcp *tcp;

	relay->accept_waits = false;
	while (relay->listener) {
		if (relay->live_count >= relay->settings.connections_max) {
			relay->accept_waits = true;
			return;
		}
		if (tow_tcp_accept(relay->listener, &tcp) != 0)
			return;
		pair_begin(relay, tcp);
	}
}

/* --- pumping ----------------------------------------------------------------
 */

enum pumped {
	PUMP_ON,     /* there may be more */
	PUMP_WAIT,   /* for an event */
	PUMP_BROKEN, /* the pair has ended */
};

/* What a call on one side said instead of a number of bytes. */
static enum pumped judge(struct side *side, int64_t result)
{
	if (result == TOW_EAGAIN || result == TOW_ENOBUFS)
		return PUMP_WAIT;
	pair_reset(side->pair, who_reset(side));
	return PUMP_BROKEN;
}

/* Borrow all there is. Returns: PUMP_ON also at the end of the stream. */
static enum pumped borrow(struct side *from)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n = TOW_SPANS_MAX, i;

	while (n == TOW_SPANS_MAX && !from->eof) {
		n = tow_tcp_borrow(from->tcp, spans, TOW_SPANS_MAX);
		if (n < 0)
			return from->on_loan ? PUMP_ON : judge(from, n);
		from->eof = n == 0;
		for (i = 0; i < n; i++)
			from->on_loan += spans[i].len;
	}
	return PUMP_ON;
}

static enum pumped pass(struct side *from, struct side *to)
{
	enum pumped pumped = borrow(from);
	int64_t n;

	if (pumped != PUMP_ON || from->on_loan == 0)
		return pumped;
	n = tow_tcp_pass(to->tcp, from->tcp, from->on_loan, 0);
	if (n < 0)
		return judge(to, n);
	from->on_loan -= (size_t)n;
	to->sent_bytes += (uint64_t)n;
	return PUMP_ON;
}

static enum pumped copy(struct side *from, struct side *to)
{
	int64_t n;

	if (from->stash_first == from->stash_end) {
		n = tow_tcp_recv(from->tcp, from->stash, STASH_BYTES);
		if (n < 0)
			return judge(from, n);
		from->eof = n == 0;
		from->stash_first = 0;
		from->stash_end = (size_t)n;
	}
	if (from->eof)
		return PUMP_ON;
	n = tow_tcp_send(to->tcp, from->stash + from->stash_first,
			 from->stash_end - from->stash_first, 0);
	if (n < 0)
		return judge(to, n);
	from->stash_first += (size_t)n;
	to->sent_bytes += (uint64_t)n;
	return PUMP_ON;
}

static bool is_empty(const struct side *from)
{
	return from->on_loan == 0 && from->stash_first == from->stash_end;
}

/* One direction, as far as it goes. Returns: false when the pair ended. */
static bool pump(struct side *from, struct side *to)
{
	bool copies = from->pair->relay->settings.copy;
	enum pumped pumped = PUMP_ON;

	while (pumped == PUMP_ON && !to->shut) {
		pumped = copies ? copy(from, to) : pass(from, to);
		if (pumped != PUMP_ON || !from->eof || !is_empty(from))
			continue;
		to->shut = true;
		if (tow_tcp_shutdown(to->tcp) < 0) {
			pair_reset(to->pair, who_reset(to));
			return false;
		}
	}
	return pumped != PUMP_BROKEN;
}

static void pair_run(struct pair *pair)
{
	if (!pair->connected || pair->ended)
		return;
	if (!pump(&pair->near, &pair->far) || !pump(&pair->far, &pair->near))
		return;
	if (!pair->near.shut || !pair->far.shut)
		return;
	pair->relay->totals.done++;
	pair_end(pair, false, "done");
}

/* --- events -----------------------------------------------------------------
 */

/* Closed in the regular way, it may still have bytes to be read. */
static void side_closed(struct side *side, int status)
{
	struct pair *pair = side->pair;

	if (side == &pair->far && !pair->connected)
		connect_failed(pair);
	else if (status < 0)
		pair_reset(pair, who_reset(side));
	else
		pair_run(pair);
}

static void side_event(struct side *side, const struct tow_event *event)
{
	struct pair *pair = side->pair;

	if (event->object != side->tcp)
		return; /* closed by an event before this one */
	switch (event->type) {
	case TOW_EVENT_CONNECTED:
		pair->connected = true;
		pair->since_us = pair->relay->now_us;
		target_works(pair->target);
		pair_run(pair);
		break;
	case TOW_EVENT_CLOSED:
		side_closed(side, event->status);
		break;
	default:
		pair_run(pair);
	}
}

void pairs_event(struct relay *relay, const struct tow_event *event)
{
	if (event->type == TOW_EVENT_ACCEPT)
		pairs_accept(relay);
	else if (event->user)
		side_event(event->user, event);
}

/* --- time -------------------------------------------------------------------
 */

static uint64_t acked_bytes(const struct side *side)
{
	struct tow_tcp_info info;

	tow_tcp_info(side->tcp, &info);
	return side->sent_bytes - info.queued_bytes;
}

static void look_at(struct pair *pair)
{
	const struct relay_settings *settings = &pair->relay->settings;
	uint64_t now_us = pair->relay->now_us;
	uint64_t still_us = now_us - pair->since_us, mark;

	if (!pair->connected) {
		if (still_us >= settings->connect_timeout_us)
			connect_failed(pair);
		return;
	}
	mark = acked_bytes(&pair->near) + acked_bytes(&pair->far);
	if (mark != pair->mark) {
		pair->mark = mark;
		pair->since_us = now_us;
	} else if (settings->idle_timeout_us &&
		   still_us >= settings->idle_timeout_us) {
		pair->relay->totals.idle++;
		pair_end(pair, true, "idle");
	}
}

void pairs_tick(struct relay *relay)
{
	LIST_EACH (node, &relay->pairs)
		look_at(CONTAINER(node, struct pair, link));
	if (relay->accept_waits)
		pairs_accept(relay);
}

/* Those that wait for a target would have nothing to finish. */
void pairs_drain(struct relay *relay)
{
	if (relay->listener)
		tow_listener_close(relay->listener);
	relay->listener = NULL;
	LIST_EACH (node, &relay->pairs) {
		struct pair *pair = CONTAINER(node, struct pair, link);

		if (!pair->connected)
			pair_end(pair, true, "the relay ends");
	}
}

void pairs_end(struct relay *relay)
{
	pairs_drain(relay);
	LIST_EACH (node, &relay->pairs)
		pair_end(CONTAINER(node, struct pair, link), true,
			 "the relay ends");
}

void pairs_reap(struct relay *relay)
{
	bool freed = !list_empty(&relay->dead);

	LIST_EACH (node, &relay->dead) {
		list_remove(node);
		free(CONTAINER(node, struct pair, link));
	}
	if (freed && relay->accept_waits)
		pairs_accept(relay);
}
