/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FAKE_DEV_H
#define FAKE_DEV_H

/*
 * A device under the test's thumb: it receives what the test puts in, keeps
 * what was sent for the test to look at, and behaves as badly as told.
 *
 *	struct fake_dev fake;
 *	fake_dev_init(&fake, TOW_DEV_TX_CSUM);
 *	tow_attach(stack, &fake.dev);
 *	fake_dev_put(&fake, frame, bytes, 0);
 *	tow_poll(stack, now_us);
 *	CHECK_EQ(fake.sent_count, 1);
 *	CHECK_EQ(fake.sent[0].bytes, 60);
 *
 * Frames that were sent are kept by their spans as the stack gave them, and as
 * plain bytes. With blind set the payload is never looked at, so it may lie in
 * memory that cannot be read.
 */
#include <tow/dev.h>
#include <tow/error.h>
#include "buf/pool.h"

#define FAKE_FRAMES 1024

struct fake_frame {
	uint8_t *data; /* all bytes in one piece; NULL if blind */
	uint32_t bytes;
	uint8_t flags, gso, span_count;
	uint16_t gso_bytes, header_bytes, csum_start, csum_offset;
	struct tow_span spans[TOW_BUF_SPANS]; /* spans[0] points into headers */
	uint8_t headers[TOW_BUF_ROOM];
	struct tow_buf *held; /* with keeps: until fake_dev_release() */
	uint64_t at_us;
};

struct fake_input {
	uint8_t *data;
	uint32_t bytes;
	uint8_t flags, gso;
	uint16_t gso_bytes;
};

struct fake_dev {
	struct tow_dev dev;
	struct fake_frame sent[FAKE_FRAMES];
	unsigned sent_count;
	struct fake_input input[FAKE_FRAMES];
	unsigned input_first, input_count;

	/* How it behaves; to be changed at any time. */
	unsigned room_offset; /* where frames begin in the header room */
	unsigned room_bytes;  /* of a frame that land there at most */
	unsigned chunk_fill;  /* bytes per chunk at most; 0: all of it */
	unsigned takes_max;   /* frames that one tx takes */
	bool keeps;	      /* completes only by fake_dev_release() */
	bool lends;	      /* payload received stays in its own memory */
	bool blind;	      /* looks at spans, never at payload */
	bool gone;
	bool closed;
	unsigned flushes;
	unsigned lent; /* frames received whose memory has not come back */
};

extern const uint8_t fake_mac[6]; /* of the device */
extern const uint8_t peer_mac[6]; /* of the station at the other end */

/* MTU 1500, 16 spans, fake_mac; gso_bytes_max 65000 if the caps want one. */
void fake_dev_init(struct fake_dev *fake, uint32_t caps);

/* A frame to be received; @flags of enum tow_buf_flag. Copied. */
struct fake_input *fake_dev_put(struct fake_dev *fake, const void *data,
				uint32_t bytes, uint8_t flags);

/* Give back what was kept: one frame, or all. */
void fake_dev_release(struct fake_dev *fake, unsigned index);
void fake_dev_release_all(struct fake_dev *fake);

/* Forget the first @n frames that were sent; kept ones are given back. */
void fake_dev_forget(struct fake_dev *fake, unsigned n);
void fake_dev_forget_one(struct fake_dev *fake, unsigned index);

/* Forget what was sent, and what was put in. */
void fake_dev_clear(struct fake_dev *fake);

#endif
