/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SLICE_H
#define SLICE_H

/*
 * Part of a buffer's payload, to be walked piece by piece.
 */
#include <tow/buf.h>
#include "base/base.h"

struct slice {
	const struct tow_span *span;
	size_t skip; /* in that span */
	size_t left;
};

/* The payload [offset, offset + bytes). */
static inline struct slice slice(const struct tow_buf *buf, size_t offset,
				 size_t bytes)
{
	struct slice at = { buf->spans, offset, bytes };

	return at;
}

static inline bool next_piece(struct slice *at, struct tow_span *piece)
{
	if (at->left == 0)
		return false;
	while (at->skip >= at->span->len) {
		at->skip -= at->span->len;
		at->span++;
	}
	piece->ptr = (const uint8_t *)at->span->ptr + at->skip;
	piece->len = MIN(at->span->len - at->skip, at->left);
	at->left -= piece->len;
	at->span++;
	at->skip = 0;
	return true;
}

#endif
