/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relay: a program between the two ends of a flow.
 *
 *	a ---- near [ relay ] far ---- b
 *	        borrow --> pass, or send and return
 *
 * What comes in by one leg goes out by the other, in both directions: passed
 * whole or in parts, or now and then copied and returned, so that the bytes of
 * one received buffer end in different ways. An end of the stream is handed on
 * as such, an error as a reset; neither may lose or add a byte, which the ends
 * would see.
 */
#include <string.h>
#include "sim_world.h"

#define STEPS_MAX 16

static bool hit(const struct relay *relay, uint32_t ppm)
{
	return dice_hit(&relay->world->dice, ppm);
}

void relay_plan(struct world *world, struct flow *flow)
{
	struct relay *relay = &flow->relay;
	struct dice *dice = &world->dice;

	relay->wanted = true;
	relay->world = world;
	relay->flow = flow;
	relay->node = &world->nodes[dice_up_to(dice, world->node_count - 1)];
	relay->near.subject = relay->far.subject = SUBJECT_LEG;
	relay->near.relay = relay->far.relay = relay;
	relay->copy_ppm = dice_hit(dice, 500000) ? 200000 : 0;
	relay->part_ppm = dice_hit(dice, 500000) ? 500000 : 0;
	relay->hold_ppm = dice_hit(dice, 300000) ? 500000 : 0;
}

/* Ends. */

static void leg_close(struct leg *leg, bool hard)
{
	if (leg->tcp && hard)
		tow_tcp_abort(leg->tcp);
	else if (leg->tcp)
		tow_tcp_close(leg->tcp);
	leg->tcp = NULL;
	leg->held_count = 0;
}

/* What was on loan is unread again. */
static void settle(struct leg *leg)
{
	if (revocation_done(&leg->revocation, leg->relay->world))
		leg->held_count = 0;
}

static void relay_end(struct relay *relay, bool hard)
{
	relay->flow->may_fail |= sleeper_delays(relay->flow);
	leg_close(&relay->near, hard);
	leg_close(&relay->far, hard);
	relay->done = true;
}

/* An owner took a leg, or both; the other one goes with it. */
void relay_cut(struct relay *relay, const struct party *party)
{
	if (!relay->started || relay->done)
		return;
	if (relay->near.party != party && relay->far.party != party)
		return;
	if (relay->near.party == party)
		relay->near.tcp = NULL;
	if (relay->far.party == party)
		relay->far.tcp = NULL;
	relay_end(relay, true);
}

void relay_give_up(struct relay *relay)
{
	if (relay->started && !relay->done)
		relay_end(relay, true);
}

/* One leg broke: the other is reset, as if there were no relay. */
static void relay_error(struct relay *relay, int64_t error)
{
	if (!flow_may_say(relay->flow, (int)error))
		world_fail(relay->world, "flow %u: relay got an error: %s",
			   relay->flow->number, tow_strerror((int)error));
	relay_end(relay, true);
}

/* From one leg to the other. */

static size_t held_bytes(const struct leg *leg)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < leg->held_count; i++)
		bytes += leg->held[i].len;
	return bytes;
}

static void forget_held(struct leg *leg, size_t bytes)
{
	unsigned gone = 0;

	while (bytes) {
		struct tow_span *span = &leg->held[gone];
		size_t n = bytes < span->len ? bytes : span->len;

		span->ptr = (const uint8_t *)span->ptr + n;
		span->len -= n;
		bytes -= n;
		gone += span->len == 0;
	}
	leg->held_count -= gone;
	memmove(leg->held, leg->held + gone,
		leg->held_count * sizeof(leg->held[0]));
}

/* Returns: false when nothing was taken. */
static bool result_of(struct leg *from, struct leg *to, int64_t result)
{
	if (result > 0) {
		to->relay->node->accepted_bytes += (uint64_t)result;
		forget_held(from, (size_t)result);
		return true;
	}
	if (result == TOW_EAGAIN)
		to->writable = false;
	else
		relay_error(to->relay, result);
	return false;
}

static bool pass_some(struct leg *from, struct leg *to)
{
	size_t bytes = held_bytes(from);

	if (hit(from->relay, from->relay->part_ppm))
		bytes = 1 + dice_up_to(&from->relay->world->dice, bytes - 1);
	return result_of(from, to, tow_tcp_pass(to->tcp, from->tcp, bytes, 0));
}

/* Copied and returned, as a program does that changes some of the bytes. */
static bool copy_some(struct leg *from, struct leg *to)
{
	const struct tow_span *first = &from->held[0];
	int64_t n = tow_tcp_send(to->tcp, first->ptr, first->len, 0);

	if (n > 0) {
		tow_tcp_return(from->tcp, (size_t)n);
		from->relay->node->returned_bytes += (uint64_t)n;
	}
	return result_of(from, to, n);
}

static bool borrow_some(struct leg *from)
{
	unsigned room = HELD_MAX - from->held_count;
	struct tow_span *spans = &from->held[from->held_count];
	int n;

	if (room > TOW_SPANS_MAX)
		room = TOW_SPANS_MAX;
	n = tow_tcp_borrow(from->tcp, spans, (int)room);
	if (n < 0 && n != TOW_EAGAIN && n != TOW_ENOBUFS) {
		relay_error(from->relay, n);
		return false;
	}
	from->eof = n == 0;
	if (n <= 0) {
		from->readable = false;
		return false;
	}
	for (int i = 0; i < n; i++)
		from->relay->node->borrowed_bytes += spans[i].len;
	from->held_count += (unsigned)n;
	return true;
}

static void shut_down(struct leg *to)
{
	int result = tow_tcp_shutdown(to->tcp);

	to->shut = true;
	if (result < 0)
		relay_error(to->relay, result);
}

/* Returns: false when there is nothing to do until an event comes. */
static bool pump_step(struct leg *from, struct leg *to)
{
	struct relay *relay = from->relay;

	if (from->readable && from->held_count < HELD_MAX &&
	    (!from->held_count || hit(relay, relay->hold_ppm)))
		return borrow_some(from) || from->held_count || from->eof;
	if (from->held_count && to->writable)
		return hit(relay, relay->copy_ppm) ? copy_some(from, to)
						   : pass_some(from, to);
	if (from->eof && !from->held_count && !to->shut)
		shut_down(to);
	return false;
}

static void pump(struct leg *from, struct leg *to)
{
	struct relay *relay = from->relay;
	unsigned steps = 0;

	while (!relay->done && !relay->world->failed && steps < STEPS_MAX &&
	       pump_step(from, to))
		steps++;
	if (steps == STEPS_MAX)
		relay->flow->stirred = true;
}

void relay_act(struct relay *relay)
{
	if (!relay->started || relay->done)
		return;
	settle(&relay->near);
	settle(&relay->far);
	pump(&relay->near, &relay->far);
	pump(&relay->far, &relay->near);
	if (!relay->done && relay->near.shut && relay->far.shut)
		relay_end(relay, false);
}

/* Events. */

void leg_event(struct leg *leg, const struct tow_event *event)
{
	settle(leg);
	leg->relay->flow->stirred = true;
	if (event->object != leg->tcp)
		world_fail(leg->relay->world,
			   "flow %u: event %d for a closed leg",
			   leg->relay->flow->number, (int)event->type);
	leg->readable |= event->type == TOW_EVENT_READABLE ||
			 event->type == TOW_EVENT_CLOSED;
	leg->writable |= event->type == TOW_EVENT_WRITABLE ||
			 event->type == TOW_EVENT_CLOSED;
	if (event->type == TOW_EVENT_REVOKE)
		revocation_told(&leg->revocation, leg->relay->world);
}

static void leg_begin(struct leg *leg, struct tow_tcp *tcp)
{
	struct relay *relay = leg->relay;

	leg->tcp = tcp;
	leg->readable = leg->writable = true;
	tow_tcp_set_user(tcp, leg);
	leg->party = party_of_tcp(relay->world, relay->node, tcp, leg->party);
}

/* Nobody to connect to: the one who came is turned away. */
static void connect_far(struct relay *relay)
{
	int family = relay->world->mtu >= 1280 && hit(relay, 500000);
	struct tow_endpoint server = { .port = SERVER_PORT };
	struct tow_tcp *tcp;
	int result;

	server.addr = relay->flow->b.node->addr[family];
	result = tow_tcp_connect(relay->node->stack, NULL, &server, &tcp);
	if (result < 0) {
		relay->flow->may_fail |= result == TOW_ENOBUFS;
		relay_error(relay, result);
		return;
	}
	leg_begin(&relay->far, tcp);
	relay->client = tow_tcp_local(tcp);
	relay->flow->called_us = world_now(relay->world);
}

bool relay_takes(struct flow *flow, struct node *node, struct tow_tcp *tcp)
{
	struct relay *relay = &flow->relay;
	struct tow_endpoint remote = tow_tcp_remote(tcp);

	if (!relay->wanted || relay->node != node || relay->started ||
	    !flow->started || flow->done || flow->client.port != remote.port ||
	    !tow_addr_equal(&flow->client.addr, &remote.addr))
		return false;
	relay->started = true;
	flow->stirred = true;
	relay->near.party = node->relays_party;
	leg_begin(&relay->near, tcp);
	connect_far(relay);
	return true;
}
