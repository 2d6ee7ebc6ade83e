/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GOVERN_H
#define GOVERN_H

/*
 * Lending, governed: who holds how much of the receive pool on loan, and what
 * is done about it. tow/owner.h says what a program sees.
 *
 *	struct govern        one in a stack: all loans, and the stack's budget
 *	  struct tow_owner     a group: budget, deadline, refuge
 *	    struct borrower      inside a connection or a socket
 *
 * A transport asks borrower_may() before it shows a buffer for the first time,
 * notes it with borrower_lend(), and says borrower_ended() when the last byte
 * of the buffer that is on loan was returned. How its buffers are chained is
 * its own business: what has to be done with them is asked for by its ops.
 */
#include <tow/owner.h>
#include <tow/stack.h>
#include "base/list.h"
#include "base/wheel.h"
#include "buf/pool.h"

struct borrower;

struct borrower_ops {
	/* True cost of all its buffers, wherever they are. */
	uint64_t (*held)(const struct borrower *b);
	/* It says each change of that by borrower_holds(). */
	bool has_window;
	/* When the oldest loan was made of those that are in the pool. */
	uint64_t (*oldest_us)(const struct borrower *b);
	/* Pend TOW_EVENT_REVOKE. When it is taken: govern_told(). */
	void (*tell)(struct borrower *b);
	/* End all loans now, and move what is in the pool to the refuge. */
	void (*revoke)(struct borrower *b);
	/* Move unread bytes to the refuge while govern_is_short(). */
	void (*relieve)(struct borrower *b);
	/* It was refused, and may borrow now: pend TOW_EVENT_READABLE. */
	void (*wake)(struct borrower *b);
	/* Abort or close it: borrower_leave() comes from there. */
	void (*abort)(struct borrower *b);
};

struct borrower {
	struct govern *govern;
	const struct borrower_ops *ops;
	struct tow_owner *owner; /* NULL: only the stack's budget counts */
	struct list member;	 /* in owner->lending or owner->idle */
	struct list waiting;	 /* in govern->waiting: told, or refused */
	uint32_t lent;		 /* true cost of what is on loan in the pool */
	uint32_t lent_max;	 /* its own budget; 0: none */
	uint32_t moved;		 /* true cost of what lies in the refuge */
	uint32_t wants;		 /* cost of what was refused; 0: nothing was */
	uint32_t wants_bytes;	 /* payload of it, for the refuge */
	uint16_t round;		 /* of relieve(), in which it had a turn */
	bool revoking;		 /* TOW_EVENT_REVOKE is pended or was taken */
	bool told;		 /* it was: the next poll ends all loans */
};

struct tow_owner {
	struct govern *govern;
	struct list lending, idle; /* members, with loans and without */
	struct timer timer;	   /* armed while something is on loan */
	uint64_t lent, lent_max, deadline_us;
	uint64_t held; /* by those members that have a window */
	uint64_t revoked;
	struct tow_pool refuge;
	uint64_t refuge_empty; /* takes that found nothing */
	uint32_t member_count;
	bool open, has_refuge;
};

struct govern {
	struct tow_pool *pool; /* of received buffers */
	struct wheel *wheel;
	struct tow_owner *owners;
	uint32_t owner_max;
	uint64_t lent, lent_max; /* true cost */
	uint32_t lent_bufs, lent_bufs_max;
	uint16_t round;	     /* until everybody had a turn, or all is well */
	uint64_t relieve_us; /* not before */
	struct list waiting; /* borrowers to be revoked, or to be woken */
};

size_t govern_need(const struct tow_config *cfg);
void govern_init(struct govern *g, struct tow_pool *pool, struct wheel *wheel,
		 const struct tow_config *cfg, void *memory);
void govern_close(struct govern *g);

/*
 * To be called at the start of a poll, when nobody reads: ends the loans of
 * whom was told, makes room in the pool, wakes who was refused.
 */
void govern_poll(struct govern *g);

/* govern_poll() has something to do. */
bool govern_waits(const struct govern *g);

/* A timer with TIMER_OWNER is due. */
void govern_timer(struct govern *g, struct timer *timer);

/* The pool has less left than it should have. */
bool govern_is_short(const struct govern *g);

/* TOW_EVENT_REVOKE of this borrower was taken. */
void govern_told(struct borrower *b);

void borrower_init(struct borrower *b, struct govern *g,
		   const struct borrower_ops *ops);
/* Returns: 0, TOW_EBUSY. */
int borrower_join(struct borrower *b, struct tow_owner *owner);
/* The handle is gone, and nothing of it is on loan or in the refuge. */
void borrower_leave(struct borrower *b);

bool borrower_may(const struct borrower *b, uint32_t cost);
void borrower_sort(struct borrower *b); /* something is on loan, or nothing */
void borrower_refuse(struct borrower *b, uint32_t cost, uint32_t bytes);

/* The first loan of a buffer. */
static inline void borrower_lend(struct borrower *b, uint32_t cost)
{
	struct govern *g = b->govern;
	struct tow_owner *o = b->owner;

	g->lent += cost;
	g->lent_bufs++;
	b->lent += cost;
	if (!o)
		return;
	o->lent += cost;
	if (b->lent == cost)
		borrower_sort(b);
}

/* Nothing of the buffer is on loan any more. */
static inline void borrower_ended(struct borrower *b, uint32_t cost)
{
	b->govern->lent -= cost;
	b->govern->lent_bufs--;
	b->lent -= cost;
	if (!b->owner)
		return;
	b->owner->lent -= cost;
	if (b->lent == 0)
		borrower_sort(b);
}

/* It holds so much more, or less. */
static inline void borrower_holds(struct borrower *b, int64_t more)
{
	if (b->owner)
		b->owner->held += (uint64_t)more;
}

/* What the other members of its owner that have a window hold of the pool. */
uint64_t borrower_others(const struct borrower *b);

/* Where it may move bytes to; NULL: nowhere. */
static inline struct tow_pool *borrower_refuge(const struct borrower *b)
{
	return b->owner && b->owner->has_refuge ? &b->owner->refuge : NULL;
}

/* The sums are right; test builds look after every poll. */
void govern_check(const struct govern *g);

#endif
