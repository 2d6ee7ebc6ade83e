/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ferry: a program between the two sockets of some datagrams.
 *
 *	sender ----> in [ ferry ] out ----> receiver
 *	              borrow --> pass, or copy, or drop
 *
 * Datagrams come one by one or as trains, and go on in the order in which they
 * came: passed, one or several with a call, or now and then copied and sent, or
 * returned and so lost. The receiver judges what arrives by the bytes alone,
 * so it makes no difference to it who was between.
 */
#include <string.h>
#include "base/base.h"
#include "sim_world.h"

#define FERRY_PORT	   6100
#define DATAGRAM_BYTES_MAX 65536

static bool hit(const struct ferry *ferry, uint32_t ppm)
{
	return dice_hit(&ferry->flow->world->dice, ppm);
}

void ferry_plan(struct datagrams *flow)
{
	struct dice *dice = &flow->world->dice;
	int family = tow_addr_is_v4(&flow->target.addr) ? 0 : 1;
	struct ferry *ferry = &flow->ferry;

	ferry->subject = SUBJECT_FERRY;
	ferry->flow = flow;
	ferry->wanted = true;
	ferry->node =
		&flow->world
			 ->nodes[dice_up_to(dice, flow->world->node_count - 1)];
	ferry->hold_ppm = dice_hit(dice, 500000) ? 500000 : 0;
	if (!flow->world->profile->perfect) { /* both lose some */
		ferry->copy_ppm = dice_hit(dice, 300000) ? 200000 : 0;
		ferry->drop_ppm = dice_hit(dice, 200000) ? 100000 : 0;
	}
	flow->target.addr = ferry->node->addr[family];
	flow->target.port = (uint16_t)(FERRY_PORT + flow->number);
}

int ferry_open(struct datagrams *flow)
{
	struct tow_endpoint any = { 0 };
	struct ferry *ferry = &flow->ferry;
	int result;

	if (!ferry->wanted)
		return 0;
	result = tow_udp_open(ferry->node->stack, &flow->target, &ferry->in);
	if (result == 0)
		result = tow_udp_open(ferry->node->stack, &any, &ferry->out);
	if (result == 0)
		result = tow_udp_connect(ferry->out, &flow->local);
	if (ferry->in) {
		tow_udp_set_user(ferry->in, ferry);
		ferry->party =
			party_of_udp(flow->world, ferry->node, ferry->in, NULL);
	}
	if (ferry->out)
		tow_udp_set_user(ferry->out, ferry);
	return result;
}

/* What was on loan is unread again. */
static void settle(struct ferry *ferry)
{
	if (revocation_done(&ferry->revocation, ferry->flow->world))
		ferry->held = 0;
}

void ferry_close(struct ferry *ferry)
{
	if (ferry->in)
		tow_udp_close(ferry->in);
	if (ferry->out)
		tow_udp_close(ferry->out);
	ferry->in = ferry->out = NULL;
	ferry->held = 0;
}

/* A call failed. What it was about stays where it is. */
static void note_error(struct ferry *ferry, int64_t error)
{
	if (error == TOW_EAGAIN)
		ferry->stuck = true;
	else if (!datagrams_may_say(ferry->flow, (int)error))
		world_fail(ferry->flow->world, "datagrams %u: ferry: %s",
			   ferry->flow->number, tow_strerror((int)error));
}

/* The oldest @count are no longer on loan. Returns: their bytes. */
static uint64_t forget(struct ferry *ferry, unsigned count)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += ferry->bytes[i];
	ferry->held -= count;
	memmove(ferry->bytes, ferry->bytes + count,
		ferry->held * sizeof(ferry->bytes[0]));
	return bytes;
}

static void drop(struct ferry *ferry, unsigned count)
{
	tow_udp_return(ferry->in, count);
	ferry->node->returned_bytes += forget(ferry, count);
}

/* Returns: false when there is nothing more to be had now. */
static bool borrow_one(struct ferry *ferry)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct tow_udp_message from;
	int n = tow_udp_borrow(ferry->in, spans, TOW_SPANS_MAX, &from);

	if (n == TOW_EAGAIN || n == TOW_ENOBUFS)
		return false; /* an event comes, or something is passed on */
	if (n < 0) {
		note_error(ferry, n);
		return true;
	}
	ferry->bytes[ferry->held++] = (uint32_t)from.bytes;
	ferry->node->borrowed_bytes += from.bytes;
	return true;
}

/* Returns: false when it has to wait. */
static bool pass_some(struct ferry *ferry)
{
	struct tow_udp_message where = { 0 };
	unsigned count = ferry->held;
	int n;

	if (hit(ferry, 300000))
		count = (unsigned)dice_range(&ferry->flow->world->dice, 1,
					     count);
	n = tow_udp_pass(ferry->out, ferry->in, &where, count);
	if (n > 0 && (unsigned)n <= count) {
		ferry->node->accepted_bytes += forget(ferry, (unsigned)n);
		return true;
	}
	if (n >= 0)
		world_fail(ferry->flow->world, "datagrams %u: %d of %u passed",
			   ferry->flow->number, n, count);
	else if (n != TOW_EBUSY) /* a train in which some were copied */
		note_error(ferry, n);
	if (!ferry->stuck)
		drop(ferry, 1);
	return !ferry->stuck;
}

/* As a program does that changes some of the bytes. */
static void copy_one(struct ferry *ferry)
{
	uint8_t data[DATAGRAM_BYTES_MAX];
	int64_t n = tow_udp_recv(ferry->in, data, sizeof(data), NULL);
	struct tow_span span = { data, n > 0 ? (size_t)n : 0 };
	struct tow_udp_message message = { .spans = &span, .span_count = 1 };

	if (n == TOW_EAGAIN)
		return;
	if (n < 0) {
		note_error(ferry, n);
		return;
	}
	ferry->node->copied_out_bytes += (uint64_t)n;
	n = tow_udp_send(ferry->out, &message, 1);
	if (n == 1)
		ferry->node->accepted_bytes += span.len;
	else
		note_error(ferry, n);
}

/* Returns: false when there is nothing to do until an event comes. */
static bool step(struct ferry *ferry)
{
	bool more = false;

	if (!ferry->held && hit(ferry, ferry->copy_ppm))
		copy_one(ferry);
	if (ferry->held < FERRIED_MAX)
		more = borrow_one(ferry);
	if (!ferry->held || (more && hit(ferry, ferry->hold_ppm)))
		return more;
	if (hit(ferry, ferry->drop_ppm)) {
		drop(ferry, 1);
		return true;
	}
	return pass_some(ferry);
}

void ferry_act(struct ferry *ferry)
{
	if (!ferry->in || !ferry->out)
		return;
	settle(ferry);
	while (!ferry->stuck && !ferry->flow->world->failed && step(ferry))
		continue;
}

void ferry_event(struct ferry *ferry, const struct tow_event *event)
{
	settle(ferry);
	ferry->flow->next_us = 0;
	if (event->object != ferry->in && event->object != ferry->out)
		world_fail(ferry->flow->world,
			   "datagrams %u: an event for a ferry that is closed",
			   ferry->flow->number);
	else if (event->type == TOW_EVENT_WRITABLE)
		ferry->stuck = false;
	else if (event->type == TOW_EVENT_REVOKE)
		revocation_told(&ferry->revocation, ferry->flow->world);
}
