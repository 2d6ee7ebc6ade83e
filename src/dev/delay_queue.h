/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DELAY_QUEUE_H
#define DELAY_QUEUE_H

/*
 * Frames that wait for their time: a binary heap by time, and among equal
 * times by the order in which they came. Fixed size, no allocation after init.
 */
#include <tow/buf.h>
#include "base/base.h"

struct delayed {
	uint64_t due_us;
	uint64_t order;
	struct tow_buf *buf;
};

struct delay_queue {
	struct delayed *heap;
	unsigned count, max;
	uint64_t order;
};

/* Returns: false when there is no memory. */
bool delay_init(struct delay_queue *queue, unsigned max);
void delay_free(struct delay_queue *queue); /* gives the frames back */

static inline unsigned delay_room(const struct delay_queue *queue)
{
	return queue->max - queue->count;
}

/* When the next frame is due; UINT64_MAX when none waits. */
static inline uint64_t delay_next_us(const struct delay_queue *queue)
{
	return queue->count ? queue->heap[0].due_us : UINT64_MAX;
}

/* There must be room. */
void delay_put(struct delay_queue *queue, struct tow_buf *buf, uint64_t due_us);

/* The next frame whose time has come, or NULL. */
struct tow_buf *delay_take(struct delay_queue *queue, uint64_t now_us);

#endif
