/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SEQ_H
#define SEQ_H

/*
 * TCP sequence numbers: RFC 9293 3.4. They are compared modulo 2^32, so they
 * are a type of their own that has no "<": the compiler refuses the classic
 * bug. Comparisons are right for numbers less than 2^31 apart.
 */
#include "base/base.h"

struct seq {
	uint32_t n;
};

static inline struct seq seq_of(uint32_t n)
{
	return (struct seq){ n };
}

static inline struct seq seq_add(struct seq s, uint32_t bytes)
{
	return (struct seq){ s.n + bytes };
}

static inline struct seq seq_sub(struct seq s, uint32_t bytes)
{
	return (struct seq){ s.n - bytes };
}

/* How far @a is ahead of @b; negative when it is behind. */
static inline int32_t seq_diff(struct seq a, struct seq b)
{
	return (int32_t)(a.n - b.n);
}

static inline bool seq_eq(struct seq a, struct seq b)
{
	return a.n == b.n;
}

static inline bool seq_before(struct seq a, struct seq b)
{
	return seq_diff(a, b) < 0;
}

static inline bool seq_after(struct seq a, struct seq b)
{
	return seq_diff(a, b) > 0;
}

/* @s in [@first, @end) */
static inline bool seq_within(struct seq s, struct seq first, struct seq end)
{
	return !seq_before(s, first) && seq_before(s, end);
}

static inline struct seq seq_max(struct seq a, struct seq b)
{
	return seq_before(a, b) ? b : a;
}

static inline struct seq seq_min(struct seq a, struct seq b)
{
	return seq_before(a, b) ? a : b;
}

#endif
