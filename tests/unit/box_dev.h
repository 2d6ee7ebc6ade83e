/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOX_DEV_H
#define BOX_DEV_H

/*
 * A device that is a box: the test puts frames in to be received, and finds
 * what was sent. For the tests of whatever stands around or beside a device.
 */
#include <tow/dev.h>
#include "buf/pool.h"

#define BOX_FRAMES	512
#define BOX_FRAME_BYTES 2048

struct box_frame {
	uint32_t bytes;
	uint8_t flags;
	uint16_t csum_start, csum_offset;
	uint64_t at_us; /* when it was sent */
	uint8_t data[BOX_FRAME_BYTES];
};

struct box {
	struct tow_dev dev;
	struct box_frame *in, *out; /* BOX_FRAMES each */
	unsigned in_count, in_next, out_count;
	unsigned takes_max; /* frames that one call of tx takes */
	bool gone, closed, keeps_large;
};

/* A pool of its own, and a box that takes from it. */
extern struct tow_pool box_pool;
void box_open(struct box *box, unsigned bufs, unsigned chunks,
	      unsigned chunk_bytes);

/* Checks that everything came back to the pool. */
void box_check_pool(void);
void box_free(struct box *box);

/* A frame to be received. */
struct box_frame *box_put(struct box *box, const void *data, uint32_t bytes);

/*
 * A frame to be sent whose payload, from @head bytes on, stays in @frame's
 * memory as lent payload does.
 */
struct tow_buf *box_frame(const uint8_t *frame, uint32_t bytes, uint32_t head);

/*
 * A UDP datagram over IPv4 from 192.0.2.1:1000 to 192.0.2.2:2000 with @payload
 * bytes that count up; the checksum field holds the pseudo header's sum.
 * Returns the frame's length.
 */
uint32_t box_make_udp(uint8_t *frame, uint32_t payload_bytes);

/* Is the frame's UDP checksum, and that of its IPv4 header, right? */
bool box_udp_is_right(const uint8_t *frame, uint32_t bytes);

#endif
