/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Identification of datagrams that may be fragmented: RFC 6864, RFC 7739.
 *
 * Fragments of two datagrams must not be taken for one's, so values must not
 * come again soon; and nobody may learn from those that he sees which others
 * get, or how many there are: with that, connections have been counted,
 * scanned through third parties, and their fragments forged.
 *
 * So there is one counter, and what is sent is its value through a permutation
 * that only a secret key tells: a Feistel network of four rounds with SipHash
 * in them. All values are used once before one comes again, in an order that
 * says nothing; after a round there is a new key. No table of destinations is
 * needed, and none can be filled.
 */
#include "net/net_private.h"

#define ROUNDS 4

static uint32_t permute(const struct sip_key *key, uint32_t value,
			unsigned half_bits)
{
	uint32_t mask = (1u << half_bits) - 1, next, input[2];
	uint32_t left = value >> half_bits, right = value & mask;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		input[0] = right;
		input[1] = i;
		next = left ^ (siphash13(key, input, sizeof(input)) & mask);
		left = right;
		right = next;
	}
	return left << half_bits | right;
}

static uint32_t next_of(struct net *net, struct ident *ident,
			unsigned half_bits)
{
	if (ident->counter == 0) {
		ident->key = random_key(&net->random);
	}
	return permute(&ident->key, ident->counter, half_bits);
}

uint16_t ident4_next(struct net *net)
{
	struct ident *ident = &net->private->ident4;
	uint16_t id = (uint16_t)next_of(net, ident, 8);

	ident->counter = (ident->counter + 1) & 0xffff;
	return id;
}

uint32_t ident6_next(struct net *net)
{
	struct ident *ident = &net->private->ident6;
	uint32_t id = next_of(net, ident, 16);

	ident->counter++;
	return id;
}
