/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PIECE_H
#define PIECE_H

/*
 * Spans that are cut into frames: where the next one begins. A piece is a run
 * of bytes that lie in one span.
 */
#include <tow/span.h>
#include "base/base.h"

struct pieces {
	const struct tow_span *spans;
	unsigned count;

	unsigned span; /* the next byte is in this one, */
	size_t skip;   /* so far from its start */
	uint32_t done; /* bytes taken, from all of them */
};

/*
 * Take the next piece, of at most @max bytes.
 *
 * Returns: false at the end, and when @max is 0.
 */
static inline bool pieces_next(struct pieces *p, uint32_t max,
			       struct tow_span *piece)
{
	while (p->span < p->count && p->skip == p->spans[p->span].len) {
		p->span++;
		p->skip = 0;
	}
	if (max == 0 || p->span == p->count)
		return false;
	piece->ptr = (const uint8_t *)p->spans[p->span].ptr + p->skip;
	piece->len = MIN(p->spans[p->span].len - p->skip, max);
	p->skip += piece->len;
	p->done += (uint32_t)piece->len;
	return true;
}

#endif
