/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DICE_H
#define DICE_H

/*
 * Chance that can be repeated: numbers that grow from a seed and look random.
 * For simulations and tests only; whoever knows one number knows all others.
 *
 * SplitMix64 (Steele, Lea and Flood, 2014): any state is good, and a throw is
 * a few instructions. Parts of a simulation have dice of their own, so that
 * a fault that is turned on here changes nothing there.
 */
#include <stdbool.h>
#include <stdint.h>

struct dice {
	uint64_t state;
};

static inline uint64_t dice_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline uint64_t dice_throw(struct dice *dice)
{
	return dice_mix(dice->state += 0x9e3779b97f4a7c15u);
}

/* 0..max, near enough to uniform for small ranges; without max no throw. */
static inline uint64_t dice_up_to(struct dice *dice, uint64_t max)
{
	return max ? dice_throw(dice) % (max + 1) : 0;
}

/* min..max */
static inline uint64_t dice_range(struct dice *dice, uint64_t min, uint64_t max)
{
	return min + dice_up_to(dice, max - min);
}

/* min..max with all orders of magnitude alike; min >= 1 */
static inline uint64_t dice_scale(struct dice *dice, uint64_t min, uint64_t max)
{
	unsigned halvings = 0;
	uint64_t top, bottom;

	while (max >> (halvings + 1) >= min)
		halvings++;
	top = max >> dice_up_to(dice, halvings);
	bottom = top / 2 > min ? top / 2 : min;
	return dice_range(dice, bottom, top);
}

/* A chance in parts per million; without one no throw. */
static inline bool dice_hit(struct dice *dice, uint32_t ppm)
{
	return ppm && dice_throw(dice) % 1000000 < ppm;
}

#endif
