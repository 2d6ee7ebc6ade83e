/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Budgets, deadlines, and what is done when the pool runs short.
 *
 *	program   borrow ---------- take event ----- borrow again
 *	             |                ^   |             ^
 *	stack     [lent]--deadline--->|   +--[told]--poll: revoked, woken
 *
 * Three rules keep the device's ring from starving, whatever borrowers do:
 *
 *  - Loans never hold more than half of the pool, or what the program chose,
 *    but not more than three quarters: lent_max, lent_bufs_max.
 *    A borrower that has something on loan may take more only up to what is
 *    left of that above a reserve, so none of them has it all to itself. Who
 *    has nothing may always have one buffer: it is in the pool already, and
 *    would be so unread.
 *  - What is unread and not on loan is what the receive windows let in, and
 *    those leave an eighth of the pool alone, and besides as much as the
 *    connection holds, or all connections of its owner (src/tcp/receive.c).
 *  - When less than that eighth is left all the same, the greatest holders that
 *    have a refuge are moved there, one by one, until a quarter is free: their
 *    unread bytes at once, their loans after they were told.
 *
 * So nothing here has to end a connection or to break a promise made to a
 * peer, also when there is no refuge or it is full: a loan that cannot be moved
 * stays within the budgets, or becomes unread again where it is.
 */
#include "buf/govern.h"
#include "buf/refuge.h"

#define RESERVE_SHARE 8	   /* of the pool: less is short */
#define RELIEF_SHARE  4	   /* of the pool: that much is free afterwards */
#define LENT_SHARE    2	   /* of the pool, that may be on loan */
#define GREEDY_SHARE  4	   /* of lent_max, left to who has nothing yet */
#define TURNS_MAX     8	   /* borrowers to be relieved in one poll */
#define STEP_SHARE    8	   /* of a deadline: how exactly it is kept */
#define PAUSE_US      1000 /* when there was not enough to be moved */

size_t govern_need(const struct tow_config *cfg)
{
	return cfg->owner_max * sizeof(struct tow_owner);
}

void govern_init(struct govern *g, struct tow_pool *pool, struct wheel *wheel,
		 const struct tow_config *cfg, void *memory)
{
	uint64_t all = (uint64_t)pool->chunks_total << pool->chunk_shift;
	uint64_t most = all - all / RELIEF_SHARE;

	*g = (struct govern){
		.pool = pool,
		.wheel = wheel,
		.owners = memory,
		.owner_max = cfg->owner_max,
		.lent_max = cfg->lend_bytes_max ? MIN(cfg->lend_bytes_max, most)
						: all / LENT_SHARE,
		.lent_bufs_max = pool->bufs_total / LENT_SHARE,
		.round = 1, /* a borrower begins with 0: it had no turn */
	};
	list_init(&g->waiting);
	memset(memory, 0, cfg->owner_max * sizeof(struct tow_owner));
}

void govern_close(struct govern *g)
{
	for (uint32_t i = 0; i < g->owner_max; i++) {
		if (g->owners[i].open && g->owners[i].has_refuge)
			pool_close(&g->owners[i].refuge);
	}
}

/* ---------------------------------------------------------------- borrowers */

void borrower_init(struct borrower *b, struct govern *g,
		   const struct borrower_ops *ops)
{
	*b = (struct borrower){ .govern = g, .ops = ops };
	list_init(&b->member);
	list_init(&b->waiting);
}

/* A member has its first loan, or has returned the last one. */
void borrower_sort(struct borrower *b)
{
	struct wheel *wheel = b->govern->wheel;
	struct tow_owner *o = b->owner;

	list_remove(&b->member);
	list_append(b->lent ? &o->lending : &o->idle, &b->member);
	if (b->lent == 0)
		b->revoking = b->told;
	else if (o->deadline_us && !o->timer.armed)
		timer_arm(wheel, &o->timer, wheel->now_us + o->deadline_us);
}

static uint64_t windowed(const struct borrower *b)
{
	return b->ops->has_window ? b->ops->held(b) : 0;
}

static void leave_owner(struct borrower *b)
{
	if (!b->owner)
		return;
	ASSERT(b->moved == 0);
	b->owner->lent -= b->lent;
	b->owner->held -= windowed(b);
	b->owner->member_count--;
	b->owner = NULL;
	list_remove(&b->member);
}

int borrower_join(struct borrower *b, struct tow_owner *owner)
{
	if (owner == b->owner)
		return 0;
	if (b->moved)
		return TOW_EBUSY;
	leave_owner(b);
	if (!owner)
		return 0;
	ASSERT(owner->open && owner->govern == b->govern);
	b->owner = owner;
	owner->member_count++;
	owner->lent += b->lent;
	owner->held += windowed(b);
	borrower_sort(b);
	return 0;
}

void borrower_leave(struct borrower *b)
{
	ASSERT(b->lent == 0);
	leave_owner(b);
	list_remove(&b->waiting);
}

/* As costs are counted: buffers, and the chunks that belong to them. */
static uint64_t refuge_used(const struct tow_owner *o)
{
	const struct tow_pool *pool = &o->refuge;
	uint64_t chunks = pool->chunks_total - pool->chunks_left;
	uint64_t bufs = pool->bufs_total - pool->bufs_left;

	return (chunks << pool->chunk_shift) + bufs * sizeof(struct tow_buf);
}

uint64_t borrower_others(const struct borrower *b)
{
	const struct tow_owner *o = b->owner;
	uint64_t held, moved = 0;

	if (LIKELY(!o))
		return 0;
	held = o->held - windowed(b);
	if (o->has_refuge) /* UDP's are among them: no more than an estimate */
		moved = refuge_used(o) - b->moved;
	return held > moved ? held - moved : 0;
}

/* One buffer is always allowed, however large it is. */
static bool is_within(uint64_t has, uint32_t cost, uint64_t max)
{
	return has == 0 || has + cost <= max;
}

bool borrower_may(const struct borrower *b, uint32_t cost)
{
	const struct govern *g = b->govern;
	uint64_t left = g->lent_max > g->lent ? g->lent_max - g->lent : 0;
	uint64_t reserve = g->lent_max / GREEDY_SHARE, has = b->lent;

	if (!is_within(g->lent, cost, g->lent_max) ||
	    g->lent_bufs >= g->lent_bufs_max)
		return false;
	if (b->owner && b->owner->lent_max &&
	    !is_within(b->owner->lent, cost, b->owner->lent_max))
		return false;
	if (has == 0)
		return true;
	has += cost;
	return (b->lent_max == 0 || has <= b->lent_max) && left > reserve &&
	       has <= left - reserve;
}

static void wait_for_poll(struct borrower *b)
{
	if (list_empty(&b->waiting))
		list_append(&b->govern->waiting, &b->waiting);
}

void borrower_refuse(struct borrower *b, uint32_t cost, uint32_t bytes)
{
	b->wants = cost;
	b->wants_bytes = bytes;
	wait_for_poll(b);
}

static bool may_wake(const struct borrower *b)
{
	const struct tow_pool *refuge = borrower_refuge(b);

	return b->wants && (b->lent == 0 || borrower_may(b, b->wants) ||
			    (refuge && refuge_has(refuge, b->wants_bytes)));
}

/* --------------------------------------------------------------- revocation */

static void tell(struct borrower *b)
{
	b->revoking = true;
	b->ops->tell(b);
}

void govern_told(struct borrower *b)
{
	b->told = true;
	wait_for_poll(b);
}

static void revoke(struct borrower *b)
{
	b->told = b->revoking = false;
	if (b->owner)
		b->owner->revoked++;
	b->ops->revoke(b);
}

static void revoke_told(struct govern *g)
{
	LIST_EACH (node, &g->waiting) {
		struct borrower *b = CONTAINER(node, struct borrower, waiting);

		if (b->told)
			revoke(b);
	}
}

static void wake_refused(struct govern *g)
{
	LIST_EACH (node, &g->waiting) {
		struct borrower *b = CONTAINER(node, struct borrower, waiting);

		if (may_wake(b)) {
			b->wants = 0;
			b->ops->wake(b);
		}
		if (b->wants == 0)
			list_remove(&b->waiting);
	}
}

/*
 * Who has loans that are too old; and when the next ones will be. Not each of
 * many by a timer of its own: they may be late by a part of the deadline.
 */
void govern_timer(struct govern *g, struct timer *timer)
{
	struct tow_owner *o = CONTAINER(timer, struct tow_owner, timer);
	uint64_t now_us = g->wheel->now_us;
	uint64_t next_us = now_us + o->deadline_us;

	LIST_EACH (node, &o->lending) {
		struct borrower *b = CONTAINER(node, struct borrower, member);
		uint64_t due_us = b->ops->oldest_us(b) + o->deadline_us;

		if (b->revoking)
			continue;
		if (due_us <= now_us)
			tell(b);
		else
			next_us = MIN(next_us, due_us);
	}
	if (!list_empty(&o->lending))
		timer_arm(g->wheel, timer,
			  MAX(next_us, now_us + o->deadline_us / STEP_SHARE));
}

/* ----------------------------------------------------- a pool that runs short
 */

static bool has_left(const struct tow_pool *pool, uint32_t share)
{
	return pool->chunks_left >= pool->chunks_total / share &&
	       pool->bufs_left >= pool->bufs_total / share;
}

bool govern_is_short(const struct govern *g)
{
	return !has_left(g->pool, RELIEF_SHARE);
}

/* What moving it would give back; not what it was told about already. */
static uint64_t gain(const struct borrower *b)
{
	uint64_t held = b->ops->held(b) - b->moved;

	return b->revoking ? held - b->lent : held;
}

static struct borrower *greater(struct list *members, uint16_t round,
				struct borrower *best)
{
	LIST_EACH (node, members) {
		struct borrower *b = CONTAINER(node, struct borrower, member);

		if (b->round != round && gain(b) > (best ? gain(best) : 0))
			best = b;
	}
	return best;
}

static struct borrower *greatest(const struct govern *g)
{
	struct borrower *best = NULL;

	for (uint32_t i = 0; i < g->owner_max; i++) {
		struct tow_owner *o = &g->owners[i];

		if (!o->open || !o->has_refuge || !o->refuge.bufs_left)
			continue;
		best = greater(&o->lending, g->round, best);
		best = greater(&o->idle, g->round, best);
	}
	return best;
}

/* The greatest holders may have nothing that can be moved: all get a turn. */
static void relieve(struct govern *g)
{
	struct borrower *b = NULL;

	for (int i = 0; i < TURNS_MAX && govern_is_short(g); i++) {
		b = greatest(g);
		if (!b)
			break;
		b->round = g->round;
		b->ops->relieve(b);
		if (b->lent && !b->revoking && govern_is_short(g))
			tell(b);
	}
	if (govern_is_short(g))
		g->relieve_us = g->wheel->now_us + PAUSE_US;
	if (!b || !govern_is_short(g))
		g->round++;
}

void govern_poll(struct govern *g)
{
	revoke_told(g);
	if (UNLIKELY(!has_left(g->pool, RESERVE_SHARE)) &&
	    g->wheel->now_us >= g->relieve_us)
		relieve(g);
	wake_refused(g);
}

bool govern_waits(const struct govern *g)
{
	LIST_EACH (node, &g->waiting) {
		struct borrower *b = CONTAINER(node, struct borrower, waiting);

		if (b->told || may_wake(b))
			return true;
	}
	return false;
}

/* --------------------------------------------------------------- invariants */

struct sums {
	uint64_t lent, held, moved;
	uint32_t members;
};

static void check_members(const struct tow_owner *o, const struct list *list,
			  struct sums *sums)
{
	LIST_EACH (node, list) {
		struct borrower *b = CONTAINER(node, struct borrower, member);

		ASSERT(b->owner == o);
		ASSERT((b->lent > 0) == (list == &o->lending));
		sums->lent += b->lent;
		sums->held += windowed(b);
		sums->moved += b->moved;
		sums->members++;
	}
}

static void check_owner(const struct tow_owner *o)
{
	struct sums sums = { 0 };

	check_members(o, &o->lending, &sums);
	check_members(o, &o->idle, &sums);
	ASSERT(sums.lent == o->lent && sums.members == o->member_count);
	ASSERT(sums.held == o->held);
	ASSERT(o->has_refuge || sums.moved == 0);
	ASSERT(!o->deadline_us || list_empty(&o->lending) || o->timer.armed);
}

void govern_check(const struct govern *g)
{
	uint64_t lent = 0;

	for (uint32_t i = 0; i < g->owner_max; i++) {
		if (!g->owners[i].open)
			continue;
		check_owner(&g->owners[i]);
		lent += g->owners[i].lent;
	}
	ASSERT(lent <= g->lent);
}
