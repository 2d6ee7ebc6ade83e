/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SLICE_H
#define SLICE_H

/*
 * Some of the bytes that spans have, to be walked piece by piece. A piece is a
 * run of bytes that lie in one span.
 */
#include <tow/span.h>
#include "base/base.h"

struct slice {
	const struct tow_span *span; /* the next byte is in this one, */
	size_t skip;		     /* or behind it, so far from its start */
	size_t left;
};

/* The bytes [offset, offset + bytes); the spans have them. */
static inline struct slice slice(const struct tow_span *spans, size_t offset,
				 size_t bytes)
{
	struct slice at = { spans, offset, bytes };

	return at;
}

/*
 * Take the next piece, of at most @max bytes.
 *
 * Returns: false at the end, and when @max is 0.
 */
static inline bool next_piece(struct slice *at, size_t max,
			      struct tow_span *piece)
{
	if (max == 0 || at->left == 0)
		return false;
	while (at->skip >= at->span->len) {
		at->skip -= at->span->len;
		at->span++;
	}
	piece->ptr = (const uint8_t *)at->span->ptr + at->skip;
	piece->len = MIN(MIN(at->span->len - at->skip, at->left), max);
	at->skip += piece->len;
	at->left -= piece->len;
	return true;
}

#endif
