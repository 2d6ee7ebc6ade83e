/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two programs at the ends of a TCP connection.
 *
 * Theory of operation: each end has habits, drawn when the flow is planned:
 * how large its writes and reads are, how often it lends rather than sends,
 * borrows rather than receives, holds on to what it borrowed, and rests; and
 * how it ends. It acts on events alone, as programs do: after TOW_EAGAIN it
 * waits for the event, so that an event that never comes shows as a stall.
 *
 * What it reads is compared with what the stream must hold, borrowed bytes in
 * place, once when they are borrowed and once more before they are returned.
 *
 * A flow whose ends are polite, over a network that lives, must not see any
 * error; flow->may_fail says that this one may.
 */
#include <string.h>
#include "base/base.h"
#include "sim_world.h"

#define STEPS_MAX     16 /* per call, so that others get their turn */
#define SPANS_ODD_MAX 12
#define RETRY_US      1000
#define CONNECT_PORT  20000 /* and up: for those that both connect */
#define GIVE_UP_US    30000000u
#define PATIENCE_US   2000000000u /* longer than any connection keeps trying */

static uint64_t throw_to(struct end *end, uint64_t max)
{
	return dice_up_to(&end->world->dice, max);
}

static bool hit(struct end *end, uint32_t ppm)
{
	return dice_hit(&end->world->dice, ppm);
}

static const char *end_name(const struct end *end)
{
	return end == &end->flow->a ? "client" : "server";
}

/* Plans. */

static enum ending draw_ending(struct dice *dice)
{
	uint64_t n = dice_up_to(dice, 99);

	return n < 75 ? END_SHUTDOWN : n < 90 ? END_CLOSE : END_ABORT;
}

static uint64_t at_least(uint64_t value, uint64_t least)
{
	return value < least ? least : value;
}

static void plan_habits(struct end *end, struct dice *dice)
{
	end->lend_ppm = (uint32_t)dice_up_to(dice, 4) * 250000;
	end->borrow_ppm = (uint32_t)dice_up_to(dice, 4) * 250000;
	end->more_ppm = dice_hit(dice, 300000) ? 500000 : 0;
	end->record_ppm = dice_hit(dice, 100000) ? 200000 : 0;
	end->urgent_ppm = dice_hit(dice, 100000) ? 100000 : 0;
	end->hold_ppm = dice_hit(dice, 300000) ? 700000 : 0;
	end->pause_ppm =
		dice_hit(dice, 400000) ? (uint32_t)dice_up_to(dice, 200000) : 0;
	end->pause_us_max = dice_scale(dice, 10, 500000);
}

static void plan_end(struct world *world, struct flow *flow, struct end *end)
{
	uint64_t most = world->profile->stream_bytes_max;
	struct dice *dice = &world->dice;

	end->subject = SUBJECT_END;
	end->world = world;
	end->flow = flow;
	end->key = dice_throw(dice);
	if (!dice_hit(dice, 100000))
		end->plan_bytes = dice_scale(dice, 1, most);
	end->write_max =
		at_least(dice_scale(dice, 1, 200000), end->plan_bytes / 200);
	end->read_max = at_least(dice_scale(dice, 1, 65536), most / 1000);
	end->ending = draw_ending(dice);
	end->writable = true;
	plan_habits(end, dice);
	posts_plan(end, dice);
}

static void plan_abort(struct end *end, struct dice *dice)
{
	end->abort_at_bytes = NEVER;
	if (end->ending == END_ABORT)
		end->abort_at_bytes = dice_up_to(
			dice, end->plan_bytes + end->peer->plan_bytes);
}

static void plan_addresses(struct flow *flow)
{
	flow->server.addr = flow->b.node->addr[flow->family];
	flow->server.port = SERVER_PORT;
	if (flow->relay.wanted) {
		flow->server.addr = flow->relay.node->addr[flow->family];
		flow->server.port = RELAY_PORT;
	}
	if (flow->is_signed)
		flow->server.port = SIGNED_PORT;
	if (!flow->both_connect)
		return;
	flow->client.addr = flow->a.node->addr[flow->family];
	flow->client.port = flow->server.port =
		(uint16_t)(CONNECT_PORT + flow->number);
}

static bool node_may_fail(const struct node *node)
{
	return node->vanish_us != NEVER || node->box_breaks || node->crowded;
}

void flow_plan(struct world *world, struct flow *flow, unsigned number)
{
	struct dice *dice = &world->dice;
	unsigned a = (unsigned)dice_up_to(dice, world->node_count - 1);
	unsigned b =
		(a + 1 + (unsigned)dice_up_to(dice, world->node_count - 2)) %
		world->node_count;

	flow->number = number;
	plan_end(world, flow, &flow->a);
	plan_end(world, flow, &flow->b);
	flow->a.peer = &flow->b;
	flow->b.peer = &flow->a;
	flow->a.node = &world->nodes[a];
	flow->b.node = &world->nodes[dice_hit(dice, 50000) ? a : b];
	plan_abort(&flow->a, dice);
	plan_abort(&flow->b, dice);
	flow->family = world->mtu >= 1280 && dice_hit(dice, 500000);
	flow->both_connect =
		flow->a.node != flow->b.node && dice_hit(dice, 100000);
	if (dice_hit(dice, 500000))
		flow->start_us = dice_up_to(dice, 100000);
	if (!flow->both_connect && dice_hit(dice, 250000))
		relay_plan(world, flow);
	flow->is_signed = signing_suits(world, flow);
	flow->may_fail =
		world->profile->deadly || node_may_fail(flow->a.node) ||
		node_may_fail(flow->b.node) ||
		(flow->relay.wanted && node_may_fail(flow->relay.node));
	plan_addresses(flow);
}

/* Endings. */

static void end_lost(struct end *end)
{
	end->tcp = NULL;
	end->done = true;
	end->held_count = 0;
	posts_closed(end);
}

void end_cut(struct end *end)
{
	end->shut = true;
	end_lost(end);
}

static void end_close(struct end *end)
{
	/* Before the handshake there is nothing that could be delivered; and
	 * what still comes is answered by a reset. */
	if (!end->connected || end->peer->plan_bytes > end->got_bytes ||
	    sleeper_delays(end->flow))
		end->flow->may_fail = true;
	end->shut = true;
	tow_tcp_close(end->tcp);
	end_lost(end);
}

static void end_abort(struct end *end)
{
	end->flow->may_fail = true;
	tow_tcp_abort(end->tcp);
	end_lost(end);
}

/* Nothing but what can be the reason in that network. */
bool flow_may_say(const struct flow *flow, int error)
{
	const struct profile *profile = flow->a.world->profile;

	if (!flow->may_fail)
		return false;
	switch (error) {
	case TOW_ECONNRESET:
	case TOW_ECONNREFUSED: /* by one who gave up before we heard of it */
	case TOW_ETIMEDOUT:
		return true;
	case TOW_EHOSTUNREACH: /* a next hop that did not answer */
		return profile->moves || profile->vanishes || profile->deadly ||
		       profile->weather;
	case TOW_EADDRNOTAVAIL:
		return profile->moves;
	case TOW_ENETUNREACH:
		return profile->moves || profile->vanishes;
	case TOW_ENETDOWN:
		return profile->vanishes;
	case TOW_ENOBUFS:
		return profile->tiny;
	default:
		return false;
	}
}

/* A call said that the connection is over. */
static void end_error(struct end *end, int64_t error)
{
	struct flow *flow = end->flow;

	end->error = (int)error;
	if (!flow_may_say(flow, end->error))
		world_fail(end->world, "flow %u: %s got an error: %s",
			   flow->number, end_name(end),
			   tow_strerror(end->error));
	tow_tcp_close(end->tcp);
	end_lost(end);
}

/* Writing. */

static void rest_until(struct end *end, uint64_t at_us)
{
	end->pause_until_us = at_us;
}

/* Returns: false when nothing was taken. */
static bool write_result(struct end *end, int64_t result, unsigned flags)
{
	if (result > 0) {
		end->sent_bytes += (uint64_t)result;
		end->node->accepted_bytes += (uint64_t)result;
		if (flags & TOW_TCP_URGENT)
			end->urgent_end = end->sent_bytes;
		return true;
	}
	if (result == TOW_EAGAIN)
		end->writable = false;
	else if (result == TOW_ENOBUFS)
		rest_until(end, world_now(end->world) + RETRY_US);
	else
		end_error(end, result);
	return false;
}

static void send_some(struct end *end, uint64_t bytes)
{
	uint8_t data[16384];
	unsigned flags;
	int64_t sent;

	if (bytes > sizeof(data))
		bytes = sizeof(data);
	payload_fill(end->key, end->sent_bytes, data, bytes);
	flags = end_draw_flags(end, bytes);
	sent = tow_tcp_send(end->tcp, data, bytes, flags);
	memset(data, 0xdb, bytes); /* a copy was promised */
	if (sent == 0 || sent > (int64_t)bytes)
		world_fail(end->world, "flow %u: send of %llu returned %lld",
			   end->flow->number, (unsigned long long)bytes,
			   (long long)sent);
	write_result(end, sent, flags);
}

/* Cut memory into spans of all lengths, some of none. */
static int cut_spans(struct end *end, const uint8_t *memory, uint64_t bytes,
		     struct tow_span *spans)
{
	unsigned most = hit(end, 50000) ? TOW_SPANS_MAX : SPANS_ODD_MAX;
	unsigned want = 1 + (unsigned)throw_to(end, most - 1);
	int count = 0;

	while (--want && bytes) {
		uint64_t n = throw_to(end, bytes / 2 + 1);

		if (n > bytes)
			n = bytes;
		spans[count].ptr = n ? memory : NULL;
		spans[count++].len = n;
		memory += n;
		bytes -= n;
	}
	spans[count].ptr = memory;
	spans[count++].len = bytes;
	return count;
}

static void lend_some(struct end *end, uint64_t bytes)
{
	struct world *world = end->world;
	unsigned odd = (unsigned)throw_to(end, 15);
	struct loan_record *loan =
		loan_new(world, bytes + odd, &end->flow->may_fail);
	struct tow_span spans[TOW_SPANS_MAX];
	unsigned flags;
	int count, result;

	if (!loan)
		return;
	payload_fill(end->key, end->sent_bytes, loan->memory + odd, bytes);
	count = cut_spans(end, loan->memory + odd, bytes, spans);
	flags = end_draw_flags(end, bytes);
	result = tow_tcp_lend(end->tcp, spans, count, loan->token, flags);
	if (result < 0)
		loan_cancel(world, loan);
	if (result == TOW_ENOBUFS) { /* of so many spans, never */
		send_some(end, bytes);
		return;
	}
	write_result(end, result < 0 ? result : (int64_t)bytes, flags);
}

static void write_some(struct end *end)
{
	uint64_t bytes = dice_scale(&end->world->dice, 1, end->write_max);
	uint64_t left = end->plan_bytes - end->sent_bytes;

	if (bytes > left)
		bytes = left;
	if (hit(end, end->lend_ppm))
		lend_some(end, bytes);
	else
		send_some(end, bytes);
}

/* Everything is queued: half-close, or be done with it. */
static void finish_writing(struct end *end)
{
	int result;

	if (end->ending == END_CLOSE) {
		end_close(end);
		return;
	}
	result = tow_tcp_shutdown(end->tcp);
	end->shut = true;
	if (result < 0)
		end_error(end, result);
}

/* Reading. */

static bool check_bytes(struct end *end, uint64_t position, const void *bytes,
			size_t count, const char *when)
{
	size_t right = payload_right(end->peer->key, position, bytes, count);

	if (right == count)
		return true;
	world_fail(end->world,
		   "flow %u: wrong byte to the %s at position %llu, %s",
		   end->flow->number, end_name(end),
		   (unsigned long long)(position + right), when);
	return false;
}

/* More than was sent cannot be; it would read past the plan's end. */
static bool check_total(struct end *end)
{
	if (end->got_bytes <= end->peer->sent_bytes)
		return true;
	world_fail(end->world, "flow %u: %s got %llu bytes of %llu",
		   end->flow->number, end_name(end),
		   (unsigned long long)end->got_bytes,
		   (unsigned long long)end->peer->sent_bytes);
	return false;
}

void end_saw_end(struct end *end)
{
	const struct end *peer = end->peer;

	end->eof = true;
	if (!peer->shut || end->got_bytes != peer->sent_bytes)
		world_fail(end->world,
			   "flow %u: %s saw the end after %llu bytes, but "
			   "%llu were sent and the peer %s finished",
			   end->flow->number, end_name(end),
			   (unsigned long long)end->got_bytes,
			   (unsigned long long)peer->sent_bytes,
			   peer->shut ? "has" : "has not");
}

/* Nothing to read, for one reason or another. */
static void read_nothing(struct end *end, int64_t result)
{
	if (result == 0)
		end_saw_end(end);
	else if (result == TOW_ENOBUFS)
		end->readable = false; /* until something is returned */
	else if (result != TOW_EAGAIN)
		end_error(end, result);
	else if (end->closed_event)
		world_fail(end->world, "flow %u: %s must wait after CLOSED",
			   end->flow->number, end_name(end));
	else
		end->readable = false;
}

static void recv_some(struct end *end)
{
	uint8_t data[65536];
	size_t room = 1 + throw_to(end, end->read_max - 1);
	int64_t n;

	if (room > sizeof(data))
		room = sizeof(data);
	n = tow_tcp_recv(end->tcp, data, room);
	if (n <= 0) {
		read_nothing(end, n);
		return;
	}
	if (!check_bytes(end, end->got_bytes, data, (size_t)n, "received"))
		return;
	end->got_bytes += (uint64_t)n;
	end->returned_bytes += (uint64_t)n;
	end->node->copied_out_bytes += (uint64_t)n;
	check_total(end);
}

/* The oldest borrowed bytes are still what they were? Then forget them. */
static void forget_held(struct end *end, size_t bytes)
{
	unsigned gone = 0;

	while (bytes && gone < end->held_count) {
		struct held *held = &end->held[gone];
		size_t n = bytes < held->span.len ? bytes : held->span.len;

		if (!check_bytes(end, held->position, held->span.ptr, n,
				 "changed while on loan"))
			return;
		held->span.ptr = (const uint8_t *)held->span.ptr + n;
		held->span.len -= n;
		held->position += n;
		bytes -= n;
		gone += held->span.len == 0;
	}
	end->held_count -= gone;
	memmove(end->held, end->held + gone,
		end->held_count * sizeof(end->held[0]));
}

static void return_some(struct end *end)
{
	size_t bytes = (size_t)(end->got_bytes - end->returned_bytes);

	if (bytes && hit(end, end->hold_ppm))
		bytes = 1 + (size_t)throw_to(end, bytes - 1);
	forget_held(end, bytes);
	tow_tcp_return(end->tcp, bytes);
	end->returned_bytes += bytes;
	end->node->returned_bytes += bytes;
}

static void hold(struct end *end, const struct tow_span *span)
{
	struct held *held = &end->held[end->held_count++];

	if (!check_bytes(end, end->got_bytes, span->ptr, span->len, "borrowed"))
		return;
	held->span = *span;
	held->position = end->got_bytes;
	end->got_bytes += span->len;
	end->node->borrowed_bytes += span->len;
}

static void borrow_some(struct end *end)
{
	struct tow_span spans[TOW_SPANS_MAX];
	unsigned room = HELD_MAX - end->held_count;
	unsigned max = 1 + (unsigned)throw_to(end, TOW_SPANS_MAX - 1);
	int n = tow_tcp_borrow(end->tcp, spans, (int)(max < room ? max : room));

	if (n == TOW_ENOBUFS) {
		return_some(end);
		return;
	}
	if (n <= 0) {
		read_nothing(end, n);
		return;
	}
	for (int i = 0; i < n && !end->world->failed; i++)
		hold(end, &spans[i]);
	if (check_total(end) && !hit(end, end->hold_ppm))
		return_some(end);
}

void end_got(struct end *end, const uint8_t *bytes, size_t count)
{
	if (!check_bytes(end, end->got_bytes, bytes, count, "posted"))
		return;
	end->got_bytes += count;
	end->returned_bytes += count;
	check_total(end);
}

/* From now on it waits for the events of what is posted. */
static void post_some(struct end *end)
{
	int result = posts_make(end);

	if (result == 0)
		end->readable = false;
	else if (result == TOW_ENOBUFS)
		recv_some(end);
	else
		end_error(end, result);
}

/* Ways to read take turns only when nothing is on loan, or posted. */
static void read_some(struct end *end)
{
	if (end->posts_out || (!end->held_count && hit(end, end->post_ppm)))
		post_some(end);
	else if (end->held_count == HELD_MAX)
		return_some(end);
	else if (end->held_count || hit(end, end->borrow_ppm))
		borrow_some(end);
	else
		recv_some(end);
}

/* One end. */

static void maybe_rest(struct end *end)
{
	if (hit(end, end->pause_ppm))
		rest_until(end, world_now(end->world) +
					throw_to(end, end->pause_us_max));
}

static void maybe_change_party(struct end *end)
{
	if (hit(end, 1000))
		end->party = party_of_tcp(end->world, end->node, end->tcp,
					  end->party);
}

/* What was on loan is unread again, and has to be borrowed once more. */
static void settle(struct end *end)
{
	if (!revocation_done(&end->revocation, end->world))
		return;
	end->got_bytes = end->returned_bytes;
	end->held_count = 0;
}

/* All of it may be read still; whoever sleeps leaves it, others may not. */
static void loans_end(struct end *end)
{
	for (unsigned i = 0; i < end->held_count; i++)
		if (!check_bytes(end, end->held[i].position,
				 end->held[i].span.ptr, end->held[i].span.len,
				 "about to be revoked"))
			return;
	revocation_told(&end->revocation, end->world);
	if (end->held_count && !sleeper_sleeps(end) && hit(end, 500000))
		return_some(end);
}

/* Returns: false when there is nothing to do until an event comes. */
static bool end_step(struct end *end)
{
	bool can_write = end->writable && end->sent_bytes < end->plan_bytes;
	bool can_read = end->readable && !end->eof;

	if (end->sent_bytes + end->got_bytes >= end->abort_at_bytes)
		end_abort(end);
	else if (can_write && (!can_read || throw_to(end, 1)))
		write_some(end);
	else if (can_read)
		read_some(end);
	else if (end->sent_bytes == end->plan_bytes && !end->shut)
		finish_writing(end);
	else if (end->posts_out && hit(end, 2000))
		posts_take_back(end);
	else if (end->eof && end->shut)
		end_close(end);
	else if (end->held_count)
		return_some(end);
	else
		return false;
	return true;
}

static uint64_t end_act(struct end *end)
{
	uint64_t now_us = world_now(end->world), sleep_us;

	settle(end);
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		if (!end->tcp || end->world->failed)
			return NEVER;
		sleep_us = sleeper_sleeps(end);
		if (sleep_us)
			return sleep_us;
		if (end->pause_until_us > now_us)
			return end->pause_until_us;
		if (!end_step(end))
			return NEVER;
		if (!end->tcp)
			return NEVER;
		end_change_options(end);
		maybe_change_party(end);
		maybe_rest(end);
	}
	return now_us;
}

void end_event(struct end *end, const struct tow_event *event)
{
	settle(end);
	if (event->type == TOW_EVENT_POST) {
		posts_event(end, event);
		return;
	}
	end->flow->stirred = true;
	if (event->object != end->tcp) {
		world_fail(end->world, "flow %u: event %d for a closed handle",
			   end->flow->number, (int)event->type);
		return;
	}
	switch (event->type) {
	case TOW_EVENT_CONNECTED:
		if (end->connected)
			world_fail(end->world, "flow %u: connected twice",
				   end->flow->number);
		end->connected = true;
		break;
	case TOW_EVENT_READABLE:
		end->readable = true;
		break;
	case TOW_EVENT_WRITABLE:
		end->writable = true;
		break;
	case TOW_EVENT_CLOSED:
		end->closed_event = true;
		end->readable = end->writable = true;
		break;
	case TOW_EVENT_REVOKE:
		loans_end(end);
		break;
	case TOW_EVENT_URGENT:
		end_saw_mark(end);
		break;
	default:
		world_fail(end->world, "flow %u: event %d for a connection",
			   end->flow->number, (int)event->type);
	}
}

/* Flows. */

static void end_begins(struct end *end, struct tow_tcp *tcp)
{
	end->tcp = tcp;
	end->had = true;
	tow_tcp_set_user(tcp, end);
	end->party = party_of_tcp(end->world, end->node, tcp, end->party);
	end_set_options(end);
}

static bool connect_end(struct end *end, const struct tow_endpoint *local,
			const struct tow_endpoint *remote)
{
	struct tow_tcp *tcp;
	int result = tow_tcp_connect(end->node->stack, local, remote, &tcp);

	if (result == 0) {
		end_begins(end, tcp);
		if (end->flow->is_signed)
			signing_begin(end);
		return true;
	}
	end->done = true;
	end->error = result;
	if (!flow_may_say(end->flow, result))
		world_fail(end->world, "flow %u: connect: %s",
			   end->flow->number, tow_strerror(result));
	return false;
}

static void flow_start(struct flow *flow)
{
	flow->started = true;
	flow->moved_us = world_now(flow->a.world);
	if (flow->both_connect) {
		connect_end(&flow->a, &flow->client, &flow->server);
		connect_end(&flow->b, &flow->server, &flow->client);
	} else if (connect_end(&flow->a, NULL, &flow->server)) {
		flow->client = tow_tcp_local(flow->a.tcp);
		flow->called_us = world_now(flow->a.world);
	}
}

/* As whom b's stack sees the one who connects. */
static const struct tow_endpoint *caller(const struct flow *flow)
{
	return flow->relay.wanted ? &flow->relay.client : &flow->client;
}

/*
 * The last that began is meant: one before it may have had the same port, and be
 * over without ever having arrived.
 */
static struct flow *flow_of(struct world *world, const struct node *node,
			    const struct tow_endpoint *remote)
{
	struct flow *found = NULL;

	for (unsigned i = 0; i < world->flow_count; i++) {
		struct flow *flow = &world->flows[i];

		if (flow->started && !flow->both_connect && !flow->b.had &&
		    !flow->done && flow->b.node == node &&
		    caller(flow)->port == remote->port &&
		    tow_addr_equal(&caller(flow)->addr, &remote->addr) &&
		    (!found || flow->called_us > found->called_us))
			found = flow;
	}
	return found;
}

/* A connection for the relay of some flow, or of one that was given up. */
static void accept_for_relay(struct world *world, struct node *node,
			     struct tow_tcp *tcp)
{
	for (unsigned i = 0; i < world->flow_count; i++)
		if (relay_takes(&world->flows[i], node, tcp))
			return;
	tow_tcp_abort(tcp);
}

void flow_accept(struct world *world, struct node *node,
		 struct tow_listener *listener)
{
	struct tow_tcp *tcp;
	int result;

	while ((result = tow_tcp_accept(listener, &tcp)) == 0) {
		struct tow_endpoint remote = tow_tcp_remote(tcp);
		struct flow *flow;

		if (listener == node->relays) {
			accept_for_relay(world, node, tcp);
			continue;
		}
		flow = flow_of(world, node, &remote);
		if (!flow) {
			tow_tcp_abort(tcp); /* its flow was given up */
			continue;
		}
		if (listener == node->listener)
			flow->b.party = node->listener_party;
		end_begins(&flow->b, tcp);
		flow->b.connected = flow->b.readable = true;
		flow->stirred = true;
	}
	if (result != TOW_EAGAIN)
		world_fail(world, "accept: %s", tow_strerror(result));
}

static uint64_t progress_of(const struct end *end)
{
	return end->sent_bytes + end->got_bytes + end->returned_bytes +
	       end->had + end->connected + end->eof + end->shut + end->done;
}

static void flow_give_up(struct flow *flow)
{
	if (flow->a.tcp)
		end_abort(&flow->a);
	if (flow->b.tcp)
		end_abort(&flow->b);
	relay_give_up(&flow->relay);
	flow->done = true;
}

/*
 * What it sent has to arrive, or time out (RFC 9293 3.8.3 R2); who only waits
 * for the peer, or for its window, may wait forever.
 */
static bool has_to_end(const struct end *end)
{
	struct tow_tcp_info info;

	if (!end->tcp)
		return false;
	tow_tcp_info(end->tcp, &info);
	return (info.queued_bytes > 0 && info.send_window_bytes > 0) ||
	       info.state < TOW_TCP_ESTABLISHED;
}

/* An end that waits for a peer that is no more would wait forever. */
static void check_progress(struct flow *flow)
{
	const struct profile *profile = flow->a.world->profile;
	uint64_t now_us = world_now(flow->a.world);
	uint64_t sum = progress_of(&flow->a) + progress_of(&flow->b);
	uint64_t still_us = now_us - flow->moved_us;

	if (sum != flow->moved_sum || sleeper_sleeps(&flow->a) ||
	    sleeper_sleeps(&flow->b)) {
		flow->moved_sum = sum;
		flow->moved_us = now_us;
		return;
	}
	if (flow->may_fail && still_us > GIVE_UP_US &&
	    (still_us > profile->stall_us || flow->a.done || flow->b.done) &&
	    !has_to_end(&flow->a) && !has_to_end(&flow->b))
		flow_give_up(flow);
	else if (still_us >
		 MAX(profile->stall_us, flow->may_fail ? PATIENCE_US : 0))
		world_fail(flow->a.world, "flow %u: stalled for %llu s",
			   flow->number,
			   (unsigned long long)still_us / 1000000);
}

/* Both ends are done, or one is and the other will never be. */
static bool is_over(const struct flow *flow)
{
	return flow->a.done &&
	       (flow->b.done || (!flow->b.had && flow->a.error)) &&
	       (!flow->relay.started || flow->relay.done);
}

static uint64_t sooner(uint64_t a_us, uint64_t b_us)
{
	return a_us < b_us ? a_us : b_us;
}

/* When to look whether it stalls. */
static uint64_t next_check_us(const struct flow *flow)
{
	const uint64_t after_us[] = { GIVE_UP_US,
				      flow->a.world->profile->stall_us,
				      PATIENCE_US };
	uint64_t now_us = world_now(flow->a.world), next_us = NEVER;

	for (unsigned i = 0; i < LENGTH(after_us); i++) {
		uint64_t at_us = flow->moved_us + after_us[i] + 1;

		if (at_us > now_us)
			next_us = sooner(next_us, at_us);
	}
	return next_us;
}

void flow_act(struct flow *flow)
{
	uint64_t a_us, b_us;

	flow->stirred = false;
	flow->next_us = flow->start_us;
	if (world_now(flow->a.world) < flow->start_us)
		return;
	if (!flow->started)
		flow_start(flow);
	a_us = end_act(&flow->a);
	b_us = end_act(&flow->b);
	relay_act(&flow->relay);
	check_progress(flow);
	flow->done |= is_over(flow);
	flow->next_us = sooner(sooner(a_us, b_us), next_check_us(flow));
}

static void end_report(const struct end *end, FILE *out)
{
	struct tow_tcp_info info;

	fprintf(out,
		"    %s: sent %llu of %llu, got %llu, on loan %llu, posts %u"
		"%s%s%s",
		end_name(end), (unsigned long long)end->sent_bytes,
		(unsigned long long)end->plan_bytes,
		(unsigned long long)end->got_bytes,
		(unsigned long long)(end->got_bytes - end->returned_bytes),
		end->posts_out, end->shut ? ", shut" : "",
		end->eof ? ", saw end" : "", end->done ? ", done" : "");
	if (end->error)
		fprintf(out, ", %s", tow_strerror(end->error));
	if (!end->tcp) {
		fputc('\n', out);
		return;
	}
	tow_tcp_info(end->tcp, &info);
	fprintf(out,
		"\n      %s, mss %u, cwnd %u, in flight %u, queued %llu, "
		"unread %llu, windows %u/%u, rto %u us, resent %u%s%s\n",
		tow_tcp_state_name(info.state), info.mss, info.cwnd_bytes,
		info.in_flight_bytes, (unsigned long long)info.queued_bytes,
		(unsigned long long)info.unread_bytes, info.send_window_bytes,
		info.recv_window_bytes, info.rto_us, info.retransmits,
		end->readable ? ", readable" : "",
		end->writable ? ", writable" : "");
}

void flow_report(const struct flow *flow, FILE *out)
{
	char client[TOW_ENDPOINT_TEXT_MAX], server[TOW_ENDPOINT_TEXT_MAX];

	if (!flow->started || flow->done)
		return;
	fprintf(out, "  flow %u: %s to %s%s%s\n", flow->number,
		tow_endpoint_format(&flow->client, client, sizeof(client)),
		tow_endpoint_format(&flow->server, server, sizeof(server)),
		flow->both_connect ? ", both connect" : "",
		flow->may_fail ? ", may fail" : "");
	end_report(&flow->a, out);
	end_report(&flow->b, out);
}
