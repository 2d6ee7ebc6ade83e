/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams into posted buffers.
 *
 * Theory of operation: the receiver of some flows connects to the sender and
 * posts memory for what comes. Memory begins and ends with canaries, and all of
 * it holds one value. Each record that is taken is judged like a datagram that
 * was read: its header and its slot together are right from the first to the
 * last byte, and the rest of the slot is zeros. When a post comes back, what no
 * datagram filled holds that value still, or zeros, so no byte of anybody else
 * is there; and the event says the same as the records did.
 */
#include <stdlib.h>
#include <string.h>
#include "sim_world.h"

#define CANARY_BYTES 64u
#define CANARY	     0xc9
#define SLOT_COUNT   24u
#define RECORDS	     8

static uint32_t draw(struct datagrams *flow, uint32_t min, uint32_t max)
{
	return (uint32_t)dice_range(&flow->world->dice, min, max);
}

static void wrong(const struct datagrams *flow, const char *how)
{
	world_fail(flow->world, "datagrams %u: %s", flow->number, how);
}

void slots_plan(struct datagrams *flow)
{
	struct dice *dice = &flow->world->dice;

	flow->posts_max = (unsigned)dice_up_to(dice, SLOT_POSTS_MAX);
	flow->header_bytes =
		dice_hit(dice, 500000)
			? (uint32_t)dice_up_to(dice, TOW_UDP_HEADER_MAX)
			: 0;
	flow->slot_bytes = flow->bytes_max;
	/* As a program has it that knows what comes: header and slot. */
	if (flow->whole_ppm && flow->header_bytes < flow->bytes_max)
		flow->slot_bytes -= flow->header_bytes;
	else if (dice_hit(dice, 500000))
		flow->slot_bytes =
			(uint32_t)dice_range(dice, 1, flow->bytes_max);
}

/* Placement needs a flow: both ends know each other. */
int slots_connect(struct datagrams *flow)
{
	const struct ferry *ferry = &flow->ferry;
	struct tow_endpoint peer =
		tow_udp_local(ferry->wanted ? ferry->out : flow->out);
	int family = tow_addr_is_v4(&flow->target.addr) ? 0 : 1;

	if (!flow->posts_max)
		return 0;
	peer.addr = (ferry->wanted ? ferry->node : flow->from)->addr[family];
	return tow_udp_connect(flow->in, &peer);
}

static struct slot_post *find_post(struct datagrams *flow, uint64_t token)
{
	for (unsigned i = 0; i < SLOT_POSTS_MAX; i++)
		if (flow->posts[i].memory && flow->posts[i].token == token)
			return &flow->posts[i];
	return NULL;
}

static bool make_post(struct datagrams *flow, struct slot_post *post)
{
	uint32_t count = draw(flow, 1, SLOT_COUNT);
	uint32_t behind = draw(flow, 0, flow->slot_bytes - 1);
	struct tow_span span;
	int result;

	*post = (struct slot_post){ .token = ++flow->post_token };
	post->bytes = (size_t)count * flow->slot_bytes;
	post->whole = 2 * CANARY_BYTES + post->bytes + behind;
	post->memory = malloc(post->whole);
	if (!post->memory)
		return false;
	memset(post->memory, CANARY, post->whole);
	span.ptr = post->memory + CANARY_BYTES;
	span.len = post->bytes + behind;
	result = tow_udp_post(flow->in, &span, flow->slot_bytes,
			      flow->header_bytes, post->token);
	if (result == 0) {
		flow->world->posts_out++;
		return true;
	}
	free(post->memory);
	post->memory = NULL;
	if (result != TOW_ENOBUFS)
		wrong(flow, tow_strerror(result));
	return false;
}

static void judge_slot(struct datagrams *flow, const struct tow_udp_slot *slot)
{
	struct slot_post *post = find_post(flow, slot->token);
	uint8_t data[65536];
	const uint8_t *at;

	if (!post || slot->offset != post->filled ||
	    slot->offset + flow->slot_bytes > post->bytes ||
	    slot->bytes > flow->slot_bytes) {
		wrong(flow, "a slot that is not the next one");
		return;
	}
	at = post->memory + CANARY_BYTES + slot->offset;
	memcpy(data, slot->header, flow->header_bytes);
	memcpy(data + flow->header_bytes, at, slot->bytes);
	datagrams_judge(flow, data, flow->header_bytes + slot->bytes);
	for (uint32_t i = slot->bytes; i < flow->slot_bytes; i++)
		if (at[i])
			wrong(flow, "a byte behind a short datagram");
	post->end = slot->offset + slot->bytes;
	post->filled += flow->slot_bytes;
	post->placed_bytes += slot->placed ? slot->bytes : 0;
	post->copied |= !slot->placed;
	flow->to->copied_out_bytes += flow->header_bytes;
}

void slots_take(struct datagrams *flow)
{
	struct tow_udp_slot slots[RECORDS];
	int n;

	if (!flow->posts_max)
		return;
	do {
		n = tow_udp_posted(flow->in, slots, RECORDS);
		for (int i = 0; i < n && !flow->world->failed; i++)
			judge_slot(flow, &slots[i]);
	} while (n == RECORDS);
}

void slots_act(struct datagrams *flow)
{
	slots_take(flow);
	for (unsigned i = 0; i < flow->posts_max; i++)
		if (!flow->posts[i].memory &&
		    dice_hit(&flow->world->dice, 700000))
			(void)make_post(flow, &flow->posts[i]);
	if (flow->posts_max && dice_hit(&flow->world->dice, 20000))
		tow_udp_unpost(flow->in);
}

static void check_memory(struct datagrams *flow, const struct slot_post *post)
{
	size_t first = CANARY_BYTES + post->filled;
	size_t end = CANARY_BYTES + post->bytes;

	for (size_t i = 0; i < post->whole; i++) {
		uint8_t byte = post->memory[i];

		if ((i < CANARY_BYTES || i >= end) && byte != CANARY)
			wrong(flow, "a byte outside of the slots");
		if (i >= first && i < end && byte && byte != CANARY)
			wrong(flow, "a byte that is nobody's, in a slot");
	}
}

void slots_event(struct datagrams *flow, const struct tow_event *event)
{
	struct slot_post *post = find_post(flow, event->token);

	if (flow->in)
		slots_take(flow);
	if (!post) {
		wrong(flow, "a post came back twice");
		return;
	}
	check_memory(flow, post);
	if (event->bytes != post->end ||
	    event->placed_bytes != post->placed_bytes ||
	    !event->copied_why != !post->copied)
		wrong(flow, "a post's event differs from its records");
	if (event->status !=
	    (post->filled == post->bytes ? 0 : TOW_ECONNABORTED))
		wrong(flow, "a post's status");
	flow->world->posts_out--;
	free(post->memory);
	post->memory = NULL;
}

void slots_free(struct datagrams *flow)
{
	for (unsigned i = 0; i < SLOT_POSTS_MAX; i++)
		free(flow->posts[i].memory);
}
