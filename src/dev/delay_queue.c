/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames that wait for their time; see delay_queue.h.
 */
#include <stdlib.h>
#include "dev/delay_queue.h"

bool delay_init(struct delay_queue *queue, unsigned max)
{
	*queue = (struct delay_queue){ .max = max };
	queue->heap = calloc(max, sizeof(*queue->heap));
	return queue->heap != NULL;
}

void delay_free(struct delay_queue *queue)
{
	for (unsigned i = 0; i < queue->count; i++)
		tow_buf_give(queue->heap[i].buf);
	free(queue->heap);
}

static bool is_before(const struct delayed *a, const struct delayed *b)
{
	if (a->due_us != b->due_us)
		return a->due_us < b->due_us;
	return a->order < b->order;
}

void delay_put(struct delay_queue *queue, struct tow_buf *buf, uint64_t due_us)
{
	struct delayed new = { due_us, queue->order++, buf };
	unsigned at = queue->count++;

	ASSERT(at < queue->max);
	while (at) {
		unsigned up = (at - 1) / 2;

		if (!is_before(&new, &queue->heap[up]))
			break;
		queue->heap[at] = queue->heap[up];
		at = up;
	}
	queue->heap[at] = new;
}

struct tow_buf *delay_take(struct delay_queue *queue, uint64_t now_us)
{
	struct delayed last;
	struct tow_buf *buf;
	unsigned at = 0;

	if (!queue->count || queue->heap[0].due_us > now_us)
		return NULL;
	buf = queue->heap[0].buf;
	last = queue->heap[--queue->count];
	for (;;) {
		unsigned down = 2 * at + 1;

		if (down >= queue->count)
			break;
		if (down + 1 < queue->count &&
		    is_before(&queue->heap[down + 1], &queue->heap[down]))
			down++;
		if (!is_before(&queue->heap[down], &last))
			break;
		queue->heap[at] = queue->heap[down];
		at = down;
	}
	queue->heap[at] = last;
	return buf;
}
