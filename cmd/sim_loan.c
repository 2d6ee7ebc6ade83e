/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that is lent, and the bytes in it.
 *
 * Theory of operation: each loan is an allocation of its own, so that a
 * sanitizer sees who reads past its end or after its return. When its token
 * comes back the memory is overwritten at once and freed: whoever still
 * refers to it sends wrong bytes, and the reader at the other end finds them.
 *
 * A token is the loan's number and a check that only this scenario's dice
 * know. One that was never given out, or comes back twice, is noticed.
 */
#include <stdlib.h>
#include <string.h>
#include "sim_world.h"

#define OVERWRITTEN 0xdb

/* Eight bytes of a stream. */
static uint64_t payload_word(uint64_t key, uint64_t index)
{
	return dice_mix(key + index * 0x9e3779b97f4a7c15u);
}

static uint8_t payload_byte(uint64_t key, uint64_t position)
{
	return (uint8_t)(payload_word(key, position / 8) >> position % 8 * 8);
}

void payload_fill(uint64_t key, uint64_t position, uint8_t *out, size_t bytes)
{
	for (; bytes && position % 8; bytes--)
		*out++ = payload_byte(key, position++);
	for (; bytes >= 8; bytes -= 8, position += 8, out += 8) {
		uint64_t word = payload_word(key, position / 8);

		for (unsigned i = 0; i < 8; i++)
			out[i] = (uint8_t)(word >> i * 8);
	}
	while (bytes--)
		*out++ = payload_byte(key, position++);
}

size_t payload_right(uint64_t key, uint64_t position, const uint8_t *bytes,
		     size_t count)
{
	uint8_t expected[512];

	for (size_t at = 0; at < count; at += sizeof(expected)) {
		size_t n = count - at;

		if (n > sizeof(expected))
			n = sizeof(expected);
		payload_fill(key, position + at, expected, n);
		if (memcmp(bytes + at, expected, n) == 0)
			continue;
		while (bytes[at] == payload_byte(key, position + at))
			at++;
		return at;
	}
	return count;
}

static bool make_room(struct world *world)
{
	uint32_t room = world->loan_room ? world->loan_room * 2 : 256;
	struct loan_record *grown;

	if (world->loan_count < world->loan_room)
		return true;
	grown = realloc(world->loans, room * sizeof(*grown));
	if (!grown)
		return false;
	world->loans = grown;
	world->loan_room = room;
	return true;
}

static uint64_t token_of(const struct world *world, uint32_t index)
{
	return (dice_mix(world->seed + index) & 0xffffffff00000000u) | index;
}

struct loan_record *loan_new(struct world *world, size_t bytes,
			     const bool *may_fail)
{
	struct loan_record *loan;

	if (!make_room(world))
		return NULL;
	loan = &world->loans[world->loan_count];
	loan->memory = malloc(bytes);
	if (!loan->memory)
		return NULL;
	loan->bytes = bytes;
	loan->token = token_of(world, world->loan_count);
	loan->may_fail = may_fail;
	loan->is_datagram = false;
	world->loan_count++;
	world->loans_out++;
	return loan;
}

static void loan_end(struct world *world, struct loan_record *loan)
{
	memset(loan->memory, OVERWRITTEN, loan->bytes);
	free(loan->memory);
	loan->memory = NULL;
	world->loans_out--;
}

void loan_cancel(struct world *world, struct loan_record *loan)
{
	loan_end(world, loan);
}

static struct loan_record *loan_of(struct world *world, uint64_t token)
{
	uint32_t index = (uint32_t)token;

	if (index >= world->loan_count || world->loans[index].token != token)
		return NULL;
	return &world->loans[index];
}

/* Few may wait for a neighbour's address: others push them out. */
static bool may_end_so(const struct loan_record *loan, const struct node *node,
		       int status)
{
	return status == 0 || *loan->may_fail ||
	       (loan->is_datagram && status == TOW_ENOBUFS &&
		tow_stats(node->stack)->drops[TOW_DROP_NEIGH_FULL] > 0);
}

void loan_returned(struct world *world, const struct node *node, uint64_t token,
		   int status)
{
	struct loan_record *loan = loan_of(world, token);

	if (!loan)
		world_fail(world, "a token came back that was never lent: %llx",
			   (unsigned long long)token);
	else if (!loan->memory)
		world_fail(world, "loan %u ended twice", (uint32_t)token);
	else if (!may_end_so(loan, node, status))
		world_fail(world, "loan %u ended with: %s", (uint32_t)token,
			   tow_strerror(status));
	if (loan && loan->memory)
		loan_end(world, loan);
}

void loans_free(struct world *world)
{
	for (uint32_t i = 0; i < world->loan_count; i++)
		free(world->loans[i].memory);
	free(world->loans);
}
