/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RANDOM_H
#define RANDOM_H

/*
 * Keyed hashing and random numbers, all grown from the secret that the program
 * passed in at open.
 *
 * siphash24() is for whatever a peer must not be able to predict or collide:
 * initial sequence numbers (RFC 6528), table hashes, cookies. siphash13() is
 * the faster variant for hash tables. random_u32() is ChaCha8 in counter mode:
 * its outputs tell nothing about each other.
 */
#include "base/base.h"

struct sip_key {
	uint64_t k0, k1;
};

uint64_t siphash24(const struct sip_key *key, const void *data, size_t bytes);
uint64_t siphash13(const struct sip_key *key, const void *data, size_t bytes);

struct random {
	uint32_t key[8];
	uint64_t block;
	uint32_t pool[16];
	unsigned left; /* words of the pool not used yet, at its end */
};

void random_init(struct random *random, const uint8_t secret[32]);
uint32_t random_u32(struct random *random);
uint64_t random_u64(struct random *random);
struct sip_key random_key(struct random *random);

/* Uniform in 0..bound-1, without bias; bound >= 1. */
uint32_t random_below(struct random *random, uint32_t bound);

#endif
