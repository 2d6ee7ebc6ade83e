/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams from one program to another.
 *
 * Theory of operation: each datagram begins with its number and its length;
 * the rest is a function of the number. So each that arrives can be judged
 * alone: it is right from the first to the last byte, and it came once unless
 * the network makes duplicates. Trains are sent as one message and must arrive
 * as the datagrams that they are made of.
 */
#include <string.h>
#include "base/base.h"
#include "sim_world.h"

#define HEADER_BYTES	  8u
#define MESSAGES_MAX	  4
#define MESSAGE_BYTES_MAX 65507u
#define TRAIN_MAX	  8u
#define NUMBER_SPACE	  65536u /* of a key's positions, for each datagram */
#define LINGER_US	  2000000
#define RETRY_US	  1000
#define UDP_PORT	  6000

static bool hit(struct datagrams *flow, uint32_t ppm)
{
	return dice_hit(&flow->world->dice, ppm);
}

static uint32_t draw(struct datagrams *flow, uint32_t min, uint32_t max)
{
	return (uint32_t)dice_range(&flow->world->dice, min, max);
}

/* A copy has to lie in what spans a frame has. */
static uint32_t frame_bytes_max(const struct node *node)
{
	return (node->how.spans_max - 1) * node->cfg.chunk_bytes;
}

/* The MTU says how long, and who sends it. */
static uint32_t datagram_bytes_max(const struct datagrams *flow)
{
	uint32_t bytes = flow->world->mtu - 48;

	bytes = MIN(bytes, frame_bytes_max(flow->from));
	if (flow->ferry.wanted)
		bytes = MIN(bytes, frame_bytes_max(flow->ferry.node));
	return bytes;
}

void datagrams_plan(struct world *world, struct datagrams *flow,
		    unsigned number)
{
	struct dice *dice = &world->dice;
	unsigned from = (unsigned)dice_up_to(dice, world->node_count - 1);
	unsigned to = (unsigned)dice_up_to(dice, world->node_count - 1);
	int family = world->mtu >= 1280 && dice_hit(dice, 500000);

	flow->subject = SUBJECT_DATAGRAMS;
	flow->world = world;
	flow->number = number;
	flow->from = &world->nodes[from];
	flow->to = &world->nodes[to];
	flow->local.addr = flow->to->addr[family];
	flow->local.port = (uint16_t)(UDP_PORT + number);
	flow->target = flow->local;
	if (dice_hit(dice, 400000))
		ferry_plan(flow);
	flow->key = dice_throw(dice);
	flow->plan = (unsigned)dice_scale(dice, 1, DATAGRAM_COUNT_MAX);
	flow->bytes_max = (uint32_t)dice_range(dice, HEADER_BYTES,
					       datagram_bytes_max(flow));
	flow->lend_ppm = (uint32_t)dice_up_to(dice, 4) * 250000;
	flow->borrow_ppm = (uint32_t)dice_up_to(dice, 4) * 250000;
	flow->train_ppm = dice_hit(dice, 500000) ? 300000 : 0;
	flow->whole_ppm = dice_hit(dice, 500000) ? 950000 : 0;
	flow->gap_us = dice_up_to(dice, 20000);
	flow->connected = dice_hit(dice, 500000);
	flow->hold_ppm = dice_hit(dice, 300000) ? 300000 : 0;
	flow->may_fail = !world->profile->perfect;
	if (dice_hit(dice, 500000))
		slots_plan(flow);
}

/* Sending. */

static void write_number(uint8_t *out, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		out[i] = (uint8_t)(value >> i * 8);
}

static uint32_t read_number(const uint8_t *in)
{
	return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 |
	       (uint32_t)in[3] << 24;
}

static void write_datagram(const struct datagrams *flow, uint32_t number,
			   uint8_t *out, uint32_t bytes)
{
	write_number(out, number);
	write_number(out + 4, bytes);
	payload_fill(flow->key, (uint64_t)number * NUMBER_SPACE,
		     out + HEADER_BYTES, bytes - HEADER_BYTES);
}

/* What one message is to hold: a datagram, or a train of them. */
struct cargo {
	uint32_t each_bytes, last_bytes;
	unsigned count;
};

static struct cargo draw_cargo(struct datagrams *flow, unsigned left)
{
	struct cargo cargo = { .count = 1 };
	unsigned most;

	cargo.each_bytes = draw(flow, HEADER_BYTES, flow->bytes_max);
	if (hit(flow, flow->whole_ppm))
		cargo.each_bytes = flow->bytes_max;
	cargo.last_bytes = cargo.each_bytes;
	most = MESSAGE_BYTES_MAX / cargo.each_bytes;
	if (most > TRAIN_MAX)
		most = TRAIN_MAX;
	if (left > 1 && hit(flow, flow->train_ppm)) {
		cargo.count = draw(flow, 2, most < left ? most : left);
		if (!hit(flow, flow->whole_ppm))
			cargo.last_bytes =
				draw(flow, HEADER_BYTES, cargo.each_bytes);
	}
	return cargo;
}

static uint32_t cargo_bytes(const struct cargo *cargo)
{
	return cargo->each_bytes * (cargo->count - 1) + cargo->last_bytes;
}

static void load(const struct datagrams *flow, const struct cargo *cargo,
		 uint32_t number, uint8_t *out)
{
	for (unsigned i = 0; i < cargo->count; i++)
		write_datagram(flow, number + i, out + i * cargo->each_bytes,
			       i + 1 < cargo->count ? cargo->each_bytes
						    : cargo->last_bytes);
}

/* A few messages on their way to the socket. */
struct shipment {
	struct tow_udp_message messages[MESSAGES_MAX];
	struct tow_span spans[MESSAGES_MAX][2];
	struct cargo cargo[MESSAGES_MAX];
	uint32_t loans[MESSAGES_MAX]; /* index of each */
	int count;
};

/* Two spans, so that none of it lies in one piece. */
static void fill_message(struct datagrams *flow, struct shipment *ship,
			 uint8_t *memory, uint32_t bytes)
{
	int i = ship->count;
	struct tow_udp_message *message = &ship->messages[i];
	uint32_t first = draw(flow, 0, bytes);

	memset(message, 0, sizeof(*message));
	if (!flow->connected)
		message->peer = flow->target;
	ship->spans[i][0] = (struct tow_span){ memory, first };
	ship->spans[i][1] = (struct tow_span){ memory + first, bytes - first };
	message->spans = ship->spans[i];
	message->span_count = 2;
	if (ship->cargo[i].count > 1)
		message->segment_bytes = (uint16_t)ship->cargo[i].each_bytes;
}

/* All payload is made in memory to be lent, and given back if it was not. */
static bool add_message(struct datagrams *flow, struct shipment *ship,
			uint32_t *number)
{
	struct world *world = flow->world;
	struct cargo cargo = draw_cargo(flow, flow->plan - *number);
	uint32_t bytes = cargo_bytes(&cargo);
	struct loan_record *loan = loan_new(world, bytes, &flow->may_fail);

	if (!loan)
		return false;
	loan->is_datagram = true;
	ship->cargo[ship->count] = cargo;
	load(flow, &cargo, *number, loan->memory);
	fill_message(flow, ship, loan->memory, bytes);
	ship->messages[ship->count].token = loan->token;
	ship->loans[ship->count] = (uint32_t)(loan - world->loans);
	ship->count++;
	*number += cargo.count;
	return true;
}

bool datagrams_may_say(const struct datagrams *flow, int error)
{
	if (error == TOW_EMSGSIZE)
		return weather_shrinks(flow->world);
	if (error == TOW_EADDRNOTAVAIL)
		return flow->world->profile->moves;
	return flow->may_fail &&
	       (error == TOW_ECONNREFUSED || error == TOW_EHOSTUNREACH ||
		error == TOW_ENETUNREACH || error == TOW_ENETDOWN ||
		error == TOW_ENOBUFS || error == TOW_ENOMEM);
}

static void sending_failed(struct datagrams *flow, int error)
{
	if (error == TOW_EAGAIN) {
		flow->writable = false;
		return;
	}
	if (error == TOW_EMSGSIZE)
		flow->bytes_max = HEADER_BYTES;
	if (!datagrams_may_say(flow, error))
		world_fail(flow->world, "datagrams %u: sending: %s",
			   flow->number, tow_strerror(error));
}

/* What was not lent is ours to overwrite; the stack said it made copies. */
static void settle(struct datagrams *flow, const struct shipment *ship,
		   int taken, bool lent)
{
	struct world *world = flow->world;

	for (int i = 0; i < ship->count; i++) {
		if (i < taken) {
			flow->sent += ship->cargo[i].count;
			flow->from->accepted_bytes +=
				cargo_bytes(&ship->cargo[i]);
		}
		if (i >= taken || !lent)
			loan_cancel(world, &world->loans[ship->loans[i]]);
	}
}

/* Returns: when to send again. */
static uint64_t send_batch(struct datagrams *flow)
{
	uint64_t now_us = world_now(flow->world);
	struct shipment ship = { .count = 0 };
	uint32_t number = flow->sent;
	unsigned want = draw(flow, 1, MESSAGES_MAX);
	bool lent = hit(flow, flow->lend_ppm);
	int taken;

	while (want-- && number < flow->plan)
		if (!add_message(flow, &ship, &number))
			break;
	if (!ship.count)
		return now_us + RETRY_US;
	taken = lent ? tow_udp_lend(flow->out, ship.messages, ship.count)
		     : tow_udp_send(flow->out, ship.messages, ship.count);
	settle(flow, &ship, taken, lent);
	if (taken == 0 || taken > ship.count)
		world_fail(flow->world, "datagrams %u: %d of %d were taken",
			   flow->number, taken, ship.count);
	if (taken > 0)
		return now_us + 1 + flow->gap_us;
	sending_failed(flow, taken);
	return now_us + RETRY_US;
}

/* Receiving. */

static bool may_come_twice(const struct datagrams *flow)
{
	const struct world *world = flow->world;
	uint64_t duplicates = 0;

	for (unsigned i = 0; i < world->node_count; i++)
		duplicates += tow_sim_stats(world->nodes[i].dev)
				      ->fates[TOW_SIM_DUPLICATED];
	return duplicates > 0;
}

static void wrong(const struct datagrams *flow, const char *how)
{
	world_fail(flow->world, "datagrams %u: %s", flow->number, how);
}

static void count_datagram(struct datagrams *flow, uint32_t number)
{
	if (flow->seen[number]++ && !may_come_twice(flow))
		wrong(flow, "one came twice, but nothing makes duplicates");
	flow->got += flow->seen[number] == 1;
}

void datagrams_judge(struct datagrams *flow, const uint8_t *data, size_t bytes)
{
	uint32_t number;

	if (bytes < HEADER_BYTES) {
		wrong(flow, "one is too short");
		return;
	}
	number = read_number(data);
	if (number >= flow->sent || read_number(data + 4) != bytes) {
		wrong(flow, "one has a wrong number or length");
		return;
	}
	if (payload_right(flow->key, (uint64_t)number * NUMBER_SPACE,
			  data + HEADER_BYTES,
			  bytes - HEADER_BYTES) != bytes - HEADER_BYTES) {
		wrong(flow, "one has wrong bytes");
		return;
	}
	count_datagram(flow, number);
	flow->last_number = number;
}

/* What was on loan is unread again: it was not got yet. */
static void rewind_loans(struct datagrams *flow)
{
	if (!revocation_done(&flow->revocation, flow->world))
		return;
	flow->held_bytes = 0;
	while (flow->held)
		flow->got -=
			--flow->seen[flow->held_numbers[--flow->held]] == 0;
}

static void return_held(struct datagrams *flow)
{
	tow_udp_return(flow->in, flow->held);
	flow->to->returned_bytes += flow->held_bytes;
	flow->held_bytes = 0;
	flow->held = 0;
}

static bool receiving_ended(struct datagrams *flow, int64_t result)
{
	if (result >= 0)
		return false;
	if (result == TOW_ENOBUFS && flow->held)
		return_held(flow);
	else if (result == TOW_EAGAIN || result == TOW_ENOBUFS)
		flow->readable = false;
	else if (!datagrams_may_say(flow, (int)result))
		wrong(flow, tow_strerror((int)result));
	return true;
}

static bool recv_one(struct datagrams *flow)
{
	uint8_t data[65536];
	struct tow_udp_message from;
	int64_t n = tow_udp_recv(flow->in, data, sizeof(data), &from);

	if (receiving_ended(flow, n))
		return false;
	flow->to->copied_out_bytes += (uint64_t)n;
	datagrams_judge(flow, data, (size_t)n);
	return true;
}

static bool borrow_one(struct datagrams *flow)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct tow_udp_message from;
	uint8_t data[65536];
	size_t bytes = 0;
	int n = tow_udp_borrow(flow->in, spans, TOW_SPANS_MAX, &from);

	if (n == TOW_ENOBUFS) {
		return_held(flow);
		return true;
	}
	if (receiving_ended(flow, n))
		return false;
	for (int i = 0; i < n; bytes += spans[i++].len)
		memcpy(data + bytes, spans[i].ptr, spans[i].len);
	if (bytes != from.bytes)
		wrong(flow, "the spans are not as long as the datagram");
	datagrams_judge(flow, data, bytes);
	flow->to->borrowed_bytes += bytes;
	flow->held_bytes += bytes;
	flow->held_numbers[flow->held++] = flow->last_number;
	if (flow->held == HELD_DATAGRAMS_MAX || hit(flow, 500000))
		return_held(flow);
	return true;
}

static void receive_all(struct datagrams *flow)
{
	while (flow->readable && !flow->world->failed)
		if (flow->held || hit(flow, flow->borrow_ppm)
			    ? !borrow_one(flow)
			    : !recv_one(flow))
			break;
	if (flow->held && !hit(flow, flow->hold_ppm))
		return_held(flow);
}

/* The flow as a whole. */

static bool open_sockets(struct datagrams *flow)
{
	struct tow_endpoint any = { 0 };
	struct tow_endpoint local = flow->local;
	int result;

	if (hit(flow, 500000))
		local.addr = tow_addr_any();
	result = tow_udp_open(flow->to->stack, &local, &flow->in);
	if (result == 0)
		result = tow_udp_open(flow->from->stack, &any, &flow->out);
	if (result == 0 && flow->connected)
		result = tow_udp_connect(flow->out, &flow->target);
	if (result == 0)
		result = ferry_open(flow);
	if (result == 0)
		result = slots_connect(flow);
	if (result < 0 && !datagrams_may_say(flow, result))
		wrong(flow, tow_strerror(result));
	if (flow->in) {
		tow_udp_set_user(flow->in, flow);
		flow->to_party =
			party_of_udp(flow->world, flow->to, flow->in, NULL);
	}
	if (flow->out) {
		tow_udp_set_user(flow->out, flow);
		flow->from_party =
			party_of_udp(flow->world, flow->from, flow->out, NULL);
	}
	flow->writable = flow->readable = true;
	return result == 0;
}

static void close_sockets(struct datagrams *flow)
{
	if (flow->in) {
		slots_take(flow);
		tow_udp_close(flow->in);
	}
	if (flow->out)
		tow_udp_close(flow->out);
	ferry_close(&flow->ferry);
	flow->in = flow->out = NULL;
	flow->done = true;
}

/* An owner is about to take some of the sockets; the others are closed. */
void datagrams_cut(struct datagrams *flow, const struct party *party)
{
	struct ferry *ferry = &flow->ferry;

	if (flow->done || (flow->to_party != party &&
			   flow->from_party != party && ferry->party != party))
		return;
	flow->may_fail = flow->cut = true;
	if (flow->in)
		slots_take(flow);
	if (flow->to_party == party)
		flow->in = NULL;
	if (flow->from_party == party)
		flow->out = NULL;
	if (ferry->party == party)
		ferry->in = NULL;
	close_sockets(flow);
}

void datagrams_event(struct datagrams *flow, const struct tow_event *event)
{
	rewind_loans(flow);
	flow->next_us = 0;
	if (event->type == TOW_EVENT_POST)
		slots_event(flow, event);
	else if (event->object != flow->in && event->object != flow->out)
		wrong(flow, "an event for a closed socket");
	else if (event->type == TOW_EVENT_READABLE)
		flow->readable = true;
	else if (event->type == TOW_EVENT_WRITABLE)
		flow->writable = true;
	else if (event->type == TOW_EVENT_REVOKE)
		revocation_told(&flow->revocation, flow->world);
	else if (event->type != TOW_EVENT_ERROR)
		wrong(flow, "an event that no socket has");
}

void datagrams_act(struct datagrams *flow)
{
	uint64_t now_us = world_now(flow->world);

	rewind_loans(flow);
	if (!flow->in && !open_sockets(flow)) {
		close_sockets(flow);
		return;
	}
	ferry_act(&flow->ferry);
	slots_act(flow);
	receive_all(flow);
	if (!flow->end_us)
		flow->end_us = now_us + flow->plan * flow->gap_us + LINGER_US;
	if (now_us >= flow->end_us) {
		close_sockets(flow);
		return;
	}
	flow->next_us = flow->end_us;
	if (flow->sent == flow->plan || !flow->writable)
		return;
	flow->next_us = send_batch(flow);
}
