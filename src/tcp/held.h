/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HELD_H
#define HELD_H

/*
 * What the receiver notes in a buffer that it holds, in order or out of order:
 * see receive.c; and what of it is on loan or in the refuge: see revoke.c.
 */
#include "tcp/tcp_private.h"

struct held {
	union {
		struct tree_node node; /* out of order: in the tree of holes */
		struct {	       /* in order */
			union {
				uint64_t lent_us; /* when it was first lent
						   * from; 0: not on loan */
				struct list link; /* in receive.passed */
			};
			struct tow_tcp *owner; /* who has it there, if any */
			uint32_t sum_bytes;    /* that have this sum; or 0 */
			uint16_t sum;
		};
	};
	struct seq seq;
	uint32_t cost;
	uint32_t placed; /* most bytes that the device put where they belong */
	uint16_t loans;	 /* in send queues, that refer to it */
};
_Static_assert(sizeof(struct held) <= sizeof(((struct tow_buf *)0)->notes),
	       "the notes of a buffer have room for the receiver's");

#define RATIO_ONE   256
#define RATIO_FIRST 128 /* before anything is known of the peer's segments */

static inline struct held *held(struct tow_buf *buf)
{
	return (struct held *)(void *)buf->notes;
}

static inline struct seq held_end(struct tow_buf *buf)
{
	return seq_add(held(buf)->seq, buf->bytes);
}

static inline void held_cost_grew(struct tow_tcp *t, int64_t more)
{
	t->receive.cost += (uint32_t)more;
	borrower_holds(&t->borrower, more);
}

static inline void held_cost_fell(struct tow_tcp *t, uint32_t less)
{
	held_cost_grew(t, -(int64_t)less);
}

static inline void held_begin(struct tow_tcp *t, struct tow_buf *buf)
{
	held(buf)->cost = buf_cost(buf);
	held_cost_grew(t, held(buf)->cost);
}

/* From now on it is in order: in the list. */
static inline void held_join(struct tow_buf *buf)
{
	held(buf)->lent_us = 0;
	held(buf)->owner = NULL;
}

/* It lies in plain memory, and is not on loan as far as budgets go. */
static inline bool held_is_moved(const struct tow_tcp *t,
				 const struct tow_buf *buf)
{
	return UNLIKELY(t->borrower.moved > 0) &&
	       buf->pool == borrower_refuge(&t->borrower);
}

/* Nothing of it is on loan any more. */
static inline void held_loan_ended(struct tow_tcp *t, struct tow_buf *buf)
{
	if (!held(buf)->lent_us)
		return;
	held(buf)->lent_us = 0;
	borrower_ended(&t->borrower, held(buf)->cost);
}

/* The receiver has done with a buffer that is not in the list. */
static inline void held_discard(struct tow_tcp *t, struct tow_buf *buf)
{
	held_cost_fell(t, held(buf)->cost);
	tow_buf_give(buf);
}

/*
 * The same with one that is. If it is on its way out again, the cost stays
 * until it is there.
 */
static inline void held_release(struct tow_tcp *t, struct tow_buf *buf)
{
	held_loan_ended(t, buf);
	if (held(buf)->loans)
		pass_keep(t, buf);
	else
		held_cost_fell(t, held(buf)->cost);
	if (held_is_moved(t, buf))
		t->borrower.moved -= held(buf)->cost;
	tow_buf_give(buf);
}

#endif
