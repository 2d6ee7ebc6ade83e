/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FRAGMENT_H
#define FRAGMENT_H

/*
 * Fragments of a frame, for tests: what is behind its IP header is cut.
 *
 *	fragment_cut(&part, &whole, 0x1234, 0, 16, true);
 */
#include "frame.h"

static inline uint32_t fragment_payload(const struct frame *whole)
{
	return whole->bytes - whole->transport;
}

/* @from and @bytes may be what no sender would make. */
void fragment_cut(struct frame *part, const struct frame *whole, uint32_t id,
		  uint32_t from, uint32_t bytes, bool more);

#endif
