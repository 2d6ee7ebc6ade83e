/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hierarchical timing wheel: Varghese and Lauck, "Hashed and hierarchical
 * timing wheels", 1987, scheme 7.
 *
 * Read a time as digits of six bits. Level l is indexed by digit l. A timer
 * waits at the level of the highest digit in which its deadline differs from
 * now, in the slot that the deadline's digit names:
 *
 *	digit        5    4    3    2    1    0
 *	now          0    0    0    7   12   60
 *	deadline     0    0    0    7   40    3    level 1, slot 40
 *	deadline     0    0    0    9    0    0    level 2, slot 9
 *
 * So every occupied slot of a level lies behind the level's current digit, and
 * the slots of a level all come before those of the levels above it: the next
 * slot to open is the first one of the lowest level that has any, two bit
 * operations away. Advancing goes from occupied slot to occupied slot, however
 * far the clock jumps; opening a slot makes its timers due or moves them to a
 * lower level, at most WHEEL_LEVELS - 1 times in the life of a timer.
 *
 * The top level goes round: there a slot at or below the current digit belongs
 * to the next turn. A timer more than a turn away waits in the slot that its
 * digit names, like the others, and stays there turn after turn.
 *
 * Slots open in order of time, and the lowest slots are as fine as the clock;
 * that is why the due list is in order of deadline without being sorted.
 */
#include "base/wheel.h"

#define DIGIT_BITS 6
#define SLOT_DUE   UINT16_MAX /* in timer->slot: it is in the due list */

_Static_assert(WHEEL_SLOTS == 1 << DIGIT_BITS, "a slot per value of a digit");

static unsigned lowest_bit(uint64_t bits)
{
#if defined(__GNUC__)
	return (unsigned)__builtin_ctzll(bits);
#else
	unsigned n = 0;

	while (!(bits >> n & 1))
		n++;
	return n;
#endif
}

static unsigned digit(uint64_t time_us, unsigned level)
{
	return time_us >> (level * DIGIT_BITS) & (WHEEL_SLOTS - 1);
}

static unsigned highest_digit(uint64_t difference)
{
	unsigned level = 0;

	while (level < WHEEL_LEVELS - 1 &&
	       difference >> ((level + 1) * DIGIT_BITS))
		level++;
	return level;
}

void wheel_init(struct wheel *wheel, uint64_t now_us)
{
	unsigned level, slot;

	wheel->now_us = now_us;
	list_init(&wheel->due);
	for (level = 0; level < WHEEL_LEVELS; level++) {
		wheel->occupied[level] = 0;
		for (slot = 0; slot < WHEEL_SLOTS; slot++)
			list_init(&wheel->slots[level][slot]);
	}
}

void timer_init(struct timer *timer, enum timer_owner owner)
{
	list_init(&timer->link);
	timer->deadline_us = 0;
	timer->slot = SLOT_DUE;
	timer->armed = false;
	timer->owner = (uint8_t)owner;
}

static void put_in_due(struct wheel *wheel, struct timer *timer)
{
	timer->slot = SLOT_DUE;
	list_append(&wheel->due, &timer->link);
}

static void put_in_slot(struct wheel *wheel, struct timer *timer)
{
	unsigned level = highest_digit(timer->deadline_us ^ wheel->now_us);
	unsigned slot = digit(timer->deadline_us, level);

	timer->slot = (uint16_t)(level * WHEEL_SLOTS + slot);
	list_append(&wheel->slots[level][slot], &timer->link);
	wheel->occupied[level] |= UINT64_C(1) << slot;
}

static void put_in(struct wheel *wheel, struct timer *timer)
{
	if (timer->deadline_us <= wheel->now_us)
		put_in_due(wheel, timer);
	else
		put_in_slot(wheel, timer);
}

static void take_out(struct wheel *wheel, struct timer *timer)
{
	unsigned level = timer->slot / WHEEL_SLOTS;
	unsigned slot = timer->slot % WHEEL_SLOTS;

	list_remove(&timer->link);
	if (timer->slot != SLOT_DUE && list_empty(&wheel->slots[level][slot]))
		wheel->occupied[level] &= ~(UINT64_C(1) << slot);
}

void timer_arm(struct wheel *wheel, struct timer *timer, uint64_t deadline_us)
{
	if (timer->armed)
		take_out(wheel, timer);
	timer->armed = true;
	timer->deadline_us = MAX(deadline_us, wheel->now_us);
	put_in(wheel, timer);
}

void timer_disarm(struct wheel *wheel, struct timer *timer)
{
	if (!timer->armed)
		return;
	take_out(wheel, timer);
	timer->armed = false;
}

/* How many slots from the current one of @level to the next occupied: 1..64. */
static unsigned slots_ahead(const struct wheel *wheel, unsigned level)
{
	uint64_t bits = wheel->occupied[level];
	unsigned first = (digit(wheel->now_us, level) + 1) % WHEEL_SLOTS;

	if (first)
		bits = bits >> first | bits << (WHEEL_SLOTS - first);
	return lowest_bit(bits) + 1;
}

/* The time at which the next occupied slot opens, and its level. */
static uint64_t next_slot(const struct wheel *wheel, unsigned *level_out)
{
	unsigned level, shift;

	for (level = 0; level < WHEEL_LEVELS; level++) {
		if (!wheel->occupied[level])
			continue;
		*level_out = level;
		shift = level * DIGIT_BITS;
		return ((wheel->now_us >> shift) + slots_ahead(wheel, level))
		       << shift;
	}
	return UINT64_MAX;
}

/* Spread the timers of a slot that begins now. */
static void open_slot(struct wheel *wheel, unsigned level)
{
	unsigned slot = digit(wheel->now_us, level);
	struct list *waiting = &wheel->slots[level][slot];
	struct list opened;

	/*
	 * Taken off as a whole first: a deadline more than a turn away may go
	 * back into this very slot.
	 */
	list_add(waiting, &opened);
	list_remove(waiting);
	wheel->occupied[level] &= ~(UINT64_C(1) << slot);

	LIST_EACH (node, &opened) {
		list_remove(node);
		put_in(wheel, CONTAINER(node, struct timer, link));
	}
}

void wheel_advance(struct wheel *wheel, uint64_t now_us)
{
	uint64_t opens_us;
	unsigned level;

	while ((opens_us = next_slot(wheel, &level)) <= now_us &&
	       opens_us != UINT64_MAX) {
		wheel->now_us = opens_us;
		open_slot(wheel, level);
	}
	wheel->now_us = MAX(wheel->now_us, now_us);
}

struct timer *wheel_take(struct wheel *wheel)
{
	struct timer *timer;

	if (list_empty(&wheel->due))
		return NULL;
	timer = CONTAINER(wheel->due.next, struct timer, link);
	list_remove(&timer->link);
	timer->armed = false;
	return timer;
}

uint64_t wheel_next(const struct wheel *wheel)
{
	unsigned level;

	if (!list_empty(&wheel->due))
		return wheel->now_us;
	return next_slot(wheel, &level);
}
