/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SipHash (Aumasson and Bernstein, 2012) with 2+4 and 1+3 rounds, and a
 * random generator out of ChaCha (Bernstein, 2008) with 8 rounds.
 *
 * The generator is the plain keystream: block n of ChaCha8 under the secret
 * as key, with n as the 64-bit counter and a nonce of zero. Two stacks with
 * the same secret draw the same numbers, which the simulator relies on.
 */
#include "base/random.h"

#define CHACHA_ROUNDS 8

/* Composed of bytes, so that it means the same on every machine. */
static uint32_t load_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static uint64_t load_le64(const uint8_t *p)
{
	return load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

static uint32_t rotate32(uint32_t x, unsigned bits)
{
	return x << bits | x >> (32 - bits);
}

static uint64_t rotate64(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotate64(s->v1, 13);
	s->v1 ^= s->v0;
	s->v0 = rotate64(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate64(s->v3, 16);
	s->v3 ^= s->v2;
	s->v0 += s->v3;
	s->v3 = rotate64(s->v3, 21);
	s->v3 ^= s->v0;
	s->v2 += s->v1;
	s->v1 = rotate64(s->v1, 17);
	s->v1 ^= s->v2;
	s->v2 = rotate64(s->v2, 32);
}

static inline void sip_rounds(struct sip *s, unsigned rounds)
{
	while (rounds-- > 0)
		sip_round(s);
}

static inline void sip_word(struct sip *s, uint64_t word, unsigned rounds)
{
	s->v3 ^= word;
	sip_rounds(s, rounds);
	s->v0 ^= word;
}

/* The last word: what is left of the input, its length in the top byte. */
static uint64_t sip_tail(const uint8_t *p, size_t bytes)
{
	uint64_t word = (uint64_t)bytes << 56;
	size_t i;

	for (i = 0; i < bytes % 8; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

static inline uint64_t siphash(const struct sip_key *key, const uint8_t *p,
			       size_t bytes, unsigned rounds, unsigned finish)
{
	const uint8_t *end = p + (bytes - bytes % 8);
	struct sip s = {
		.v0 = key->k0 ^ UINT64_C(0x736f6d6570736575),
		.v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d),
		.v2 = key->k0 ^ UINT64_C(0x6c7967656e657261),
		.v3 = key->k1 ^ UINT64_C(0x7465646279746573),
	};

	for (; p < end; p += 8)
		sip_word(&s, load_le64(p), rounds);
	sip_word(&s, sip_tail(p, bytes), rounds);
	s.v2 ^= 0xff;
	sip_rounds(&s, finish);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash24(const struct sip_key *key, const void *data, size_t bytes)
{
	return siphash(key, data, bytes, 2, 4);
}

uint64_t siphash13(const struct sip_key *key, const void *data, size_t bytes)
{
	return siphash(key, data, bytes, 1, 3);
}

static inline void quarter_round(uint32_t *x, int a, int b, int c, int d)
{
	x[a] += x[b];
	x[d] = rotate32(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotate32(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotate32(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotate32(x[b] ^ x[c], 7);
}

static inline void double_round(uint32_t x[16])
{
	quarter_round(x, 0, 4, 8, 12);
	quarter_round(x, 1, 5, 9, 13);
	quarter_round(x, 2, 6, 10, 14);
	quarter_round(x, 3, 7, 11, 15);
	quarter_round(x, 0, 5, 10, 15);
	quarter_round(x, 1, 6, 11, 12);
	quarter_round(x, 2, 7, 8, 13);
	quarter_round(x, 3, 4, 9, 14);
}

/* Make the next block of the keystream. */
static void refill(struct random *random)
{
	uint32_t input[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	uint32_t *pool = random->pool;
	unsigned i;

	memcpy(&input[4], random->key, sizeof(random->key));
	input[12] = (uint32_t)random->block;
	input[13] = (uint32_t)(random->block >> 32);
	random->block++;

	memcpy(pool, input, sizeof(input));
	for (i = 0; i < CHACHA_ROUNDS; i += 2)
		double_round(pool);
	for (i = 0; i < LENGTH(input); i++)
		pool[i] += input[i];
	random->left = LENGTH(random->pool);
}

void random_init(struct random *random, const uint8_t secret[32])
{
	unsigned i;

	memset(random, 0, sizeof(*random));
	for (i = 0; i < LENGTH(random->key); i++)
		random->key[i] = load_le32(secret + 4 * i);
}

uint32_t random_u32(struct random *random)
{
	if (random->left == 0)
		refill(random);
	return random->pool[LENGTH(random->pool) - random->left--];
}

uint64_t random_u64(struct random *random)
{
	uint64_t low = random_u32(random);

	return low | (uint64_t)random_u32(random) << 32;
}

struct sip_key random_key(struct random *random)
{
	struct sip_key key;

	key.k0 = random_u64(random);
	key.k1 = random_u64(random);
	return key;
}

/*
 * Lemire, "Fast random integer generation in an interval", 2019: the high half
 * of a product is uniform once the few low halves that make it uneven, fewer
 * than @bound of 2^32, are drawn again.
 */
uint32_t random_below(struct random *random, uint32_t bound)
{
	uint64_t product;
	uint32_t uneven;

	ASSERT(bound > 0);
	uneven = (0u - bound) % bound;
	do {
		product = (uint64_t)random_u32(random) * bound;
	} while ((uint32_t)product < uneven);
	return (uint32_t)(product >> 32);
}
