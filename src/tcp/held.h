/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HELD_H
#define HELD_H

/*
 * What the receiver notes in a buffer that it holds, in order or out of order:
 * see receive.c.
 */
#include "tcp/tcp_private.h"

struct held {
	struct tree_node node;
	struct seq seq;
	uint32_t cost;
	uint32_t placed; /* most bytes that the device put where they belong */
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

/* The receiver has done with a buffer. */
static inline void held_discard(struct tow_tcp *t, struct tow_buf *buf)
{
	t->receive.cost -= held(buf)->cost;
	tow_buf_give(buf);
}

#endif
