/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FRAME_H
#define FRAME_H

/*
 * Whole frames in plain memory: for wrappers that look at a frame or change
 * it. They work on copies, because a frame's payload is lent memory.
 */
#include <tow/buf.h>
#include "base/base.h"

#define FRAME_ETH_BYTES 14

/* 64 KiB of IP packet behind Ethernet and a VLAN tag. */
#define FRAME_BYTES_MAX (FRAME_ETH_BYTES + 4 + 65535)

/*
 * Finish what TOW_BUF_CSUM_PARTIAL leaves to the device, in a copy of @buf's
 * whole frame. Nothing is done if the frame is not partial.
 */
void frame_finish_csum(const struct tow_buf *buf, uint8_t *frame,
		       size_t frame_bytes);

/* The ECN field of an IP packet in a frame whose first @bytes are there; 0: none */
unsigned frame_ecn(const uint8_t *frame, size_t bytes);

/* Another one, in a frame that has one. A checksum that was wrong stays so. */
void frame_set_ecn(uint8_t *frame, unsigned ecn);

/*
 * A buffer with the frame in memory of the pool's own, as a driver without
 * offloads would have received it.
 * @spans_max: most spans it may have
 *
 * Owns:    the caller.
 * Returns: NULL when the pool is dry or the frame needs more spans.
 */
struct tow_buf *frame_make(struct tow_pool *pool, const uint8_t *frame,
			   size_t frame_bytes, unsigned spans_max);

#endif
