/* SPDX-License-Identifier: BSD-2-Clause */
/* The timing wheel against a list of deadlines. */
#include <stdlib.h>
#include "base/random.h"
#include "base/wheel.h"
#include "test.h"

#define TIMERS 200
#define STEPS  20000
#define TURN   (UINT64_C(1) << 36) /* the horizon: 64^6 us */

static struct wheel wheel;
static struct timer timers[TIMERS];

static void start(uint64_t now_us)
{
	wheel_init(&wheel, now_us);
	for (unsigned i = 0; i < TIMERS; i++)
		timer_init(&timers[i], TIMER_TCP);
}

static uint64_t earliest(void)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < TIMERS; i++) {
		if (timers[i].armed)
			first = MIN(first, timers[i].deadline_us);
	}
	return first;
}

/* Everything that is due comes, in order, and nothing else does. */
static unsigned take_all(void)
{
	uint64_t last_us = 0;
	struct timer *timer;
	unsigned taken = 0;

	while ((timer = wheel_take(&wheel))) {
		CHECK(!timer->armed);
		CHECK_LE(timer->deadline_us, wheel.now_us);
		CHECK_GE(timer->deadline_us, last_us);
		last_us = timer->deadline_us;
		taken++;
	}
	CHECK_GT(earliest(), wheel.now_us);
	return taken;
}

static void check_bitmaps(void)
{
	for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
		for (unsigned s = 0; s < WHEEL_SLOTS; s++)
			CHECK_EQ(wheel.occupied[l] >> s & 1,
				 !list_empty(&wheel.slots[l][s]));
	}
}

static struct random seeded(uint8_t seed)
{
	uint8_t secret[32] = { seed };
	struct random random;

	random_init(&random, secret);
	return random;
}

/* Of any magnitude up to 2^@bits_max, so that each level gets its share. */
static uint64_t some_time(struct random *random, unsigned bits_max)
{
	return random_u64(random) >> (64 - 1 - random_below(random, bits_max));
}

static void run_random(uint64_t start_us, uint8_t seed, unsigned ahead_bits)
{
	struct random random = seeded(seed);
	struct timer *timer;

	start(start_us);
	for (unsigned step = 0; step < STEPS; step++) {
		timer = &timers[random_below(&random, TIMERS)];
		switch (random_below(&random, 4)) {
		case 0:
			timer_disarm(&wheel, timer);
			CHECK(!timer->armed);
			break;
		case 1:
		case 2:
			timer_arm(&wheel, timer,
				  wheel.now_us +
					  some_time(&random, ahead_bits));
			break;
		case 3:
			wheel_advance(&wheel,
				      wheel.now_us + some_time(&random,
							       ahead_bits - 6));
			take_all();
			break;
		}
		CHECK_LE(wheel_next(&wheel), earliest());
		if (step % 64 == 0)
			check_bitmaps();
	}
}

TEST(random_timers_fire_in_order_and_on_time)
{
	run_random(0, 1, 34);
}

TEST(random_timers_beyond_the_horizon_fire_on_time)
{
	run_random(12345, 2, 44);
}

TEST(random_timers_around_the_end_of_a_turn_fire_on_time)
{
	for (uint8_t seed = 3; seed < 13; seed++)
		run_random(7 * TURN - 1000, seed, 20);
}

static void check_fires_exactly(uint64_t now_us, uint64_t ahead_us)
{
	start(now_us);
	timer_arm(&wheel, &timers[0], now_us + ahead_us);
	wheel_advance(&wheel, now_us + ahead_us - 1);
	CHECK(wheel_take(&wheel) == NULL);
	CHECK_EQ(wheel_next(&wheel), now_us + ahead_us);
	wheel_advance(&wheel, now_us + ahead_us);
	CHECK(wheel_take(&wheel) == &timers[0]);
	CHECK(wheel_take(&wheel) == NULL);
	CHECK_EQ(wheel_next(&wheel), UINT64_MAX);
	check_bitmaps();
}

TEST(a_timer_fires_at_its_microsecond_across_level_borders)
{
	static const uint64_t offsets[] = { 0, 1, 2, 63, 64, 65 };

	for (unsigned bits = 0; bits <= 40; bits++) {
		for (unsigned i = 0; i < LENGTH(offsets); i++) {
			uint64_t edge = UINT64_C(1) << bits;
			uint64_t ahead = edge + offsets[i];

			check_fires_exactly(0, ahead);
			check_fires_exactly(edge - 1, ahead);
			check_fires_exactly(TURN - 1, ahead);
			check_fires_exactly(TURN + edge, ahead);
			if (ahead > 66)
				check_fires_exactly(edge, ahead - 66);
		}
	}
}

TEST(sleeping_until_next_each_time_arrives_in_a_few_steps)
{
	uint64_t deadline = 5 * TURN + 123456789;
	unsigned steps = 0;

	start(1000);
	timer_arm(&wheel, &timers[0], deadline);
	while (!wheel_take(&wheel)) {
		CHECK_GT(wheel_next(&wheel), wheel.now_us);
		CHECK_LE(wheel_next(&wheel), deadline);
		wheel_advance(&wheel, wheel_next(&wheel));
		steps++;
	}
	CHECK_EQ(wheel.now_us, deadline);
	CHECK_LE(steps, 6 + WHEEL_LEVELS);
}

TEST(a_huge_jump_makes_all_due_in_order)
{
	struct random random = seeded(20);

	start(99);
	for (unsigned i = 0; i < TIMERS; i++)
		timer_arm(&wheel, &timers[i], some_time(&random, 40));
	wheel_advance(&wheel, UINT64_C(1) << 60);
	CHECK_EQ(take_all(), TIMERS);
	check_bitmaps();
}

TEST(a_deadline_in_the_past_is_due_at_once)
{
	start(1000);
	timer_arm(&wheel, &timers[0], 1000);
	timer_arm(&wheel, &timers[1], 5);
	CHECK_EQ(wheel_next(&wheel), 1000);
	CHECK(wheel_take(&wheel) == &timers[0]);
	CHECK(wheel_take(&wheel) == &timers[1]);
}

TEST(arming_again_moves_the_timer)
{
	start(0);
	timer_arm(&wheel, &timers[0], 10);
	timer_arm(&wheel, &timers[0], 5000);
	wheel_advance(&wheel, 4999);
	CHECK(wheel_take(&wheel) == NULL);
	timer_arm(&wheel, &timers[0], 5000);
	wheel_advance(&wheel, 5000);
	timer_arm(&wheel, &timers[0], 6000); /* was due, is not any more */
	CHECK(wheel_take(&wheel) == NULL);
	wheel_advance(&wheel, 6000);
	CHECK(wheel_take(&wheel) == &timers[0]);
	check_bitmaps();
}

TEST(disarming_a_due_timer_takes_it_back)
{
	start(0);
	timer_arm(&wheel, &timers[0], 1);
	timer_arm(&wheel, &timers[1], 2);
	wheel_advance(&wheel, 10);
	timer_disarm(&wheel, &timers[0]);
	timer_disarm(&wheel, &timers[0]);
	CHECK(wheel_take(&wheel) == &timers[1]);
	CHECK(wheel_take(&wheel) == NULL);
}

TEST(never_is_a_deadline_too)
{
	start(0);
	timer_arm(&wheel, &timers[0], UINT64_MAX);
	wheel_advance(&wheel, 300 * TURN);
	CHECK(wheel_take(&wheel) == NULL);
	CHECK(timers[0].armed);
	timer_disarm(&wheel, &timers[0]);
	CHECK_EQ(wheel_next(&wheel), UINT64_MAX);
}

TEST(a_clock_that_stands_still_is_harmless)
{
	start(500);
	timer_arm(&wheel, &timers[0], 600);
	wheel_advance(&wheel, 500);
	wheel_advance(&wheel, 400);
	CHECK_EQ(wheel.now_us, 500);
	CHECK(wheel_take(&wheel) == NULL);
}
