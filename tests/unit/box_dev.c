/* SPDX-License-Identifier: BSD-2-Clause */
/* A device that is a box; see box_dev.h. */
#include <stdlib.h>
#include <string.h>
#include <tow/addr.h>
#include <tow/error.h>
#include "base/csum.h"
#include "box_dev.h"
#include "test.h"

struct tow_pool box_pool;
static uint64_t empty_count;
static void *pool_memory;

static struct box *box_of(struct tow_dev *dev)
{
	return CONTAINER(dev, struct box, dev);
}

static struct tow_buf *receive(struct box *box, const struct box_frame *frame)
{
	uint32_t head = MIN(frame->bytes, 66u), at = head;
	struct tow_buf *buf = tow_buf_take(box->dev.pool);

	if (!buf)
		return NULL;
	memcpy(buf->room + 2, frame->data, head);
	tow_buf_set_head(buf, 2, head);
	while (at < frame->bytes) {
		uint32_t n =
			MIN(frame->bytes - at, tow_chunk_bytes(box->dev.pool));
		uint8_t *chunk = tow_chunk_take(box->dev.pool);

		CHECK(chunk != NULL);
		memcpy(chunk, frame->data + at, n);
		tow_buf_add_chunk(buf, chunk, n);
		at += n;
	}
	buf->flags = frame->flags;
	buf->csum_start = frame->csum_start;
	buf->csum_offset = frame->csum_offset;
	return buf;
}

static int box_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct box *box = box_of(dev);
	unsigned got = 0;

	if (box->gone)
		return TOW_ENETDOWN;
	while (got < n && box->in_next < box->in_count) {
		bufs[got] = receive(box, &box->in[box->in_next]);
		if (!bufs[got])
			break;
		box->in_next++;
		got++;
	}
	return (int)got;
}

static int box_tx(struct tow_dev *dev, struct tow_buf *const *bufs, unsigned n)
{
	struct box *box = box_of(dev);
	unsigned sent;

	if (box->gone)
		return TOW_ENETDOWN;
	for (sent = 0; sent < MIN(n, box->takes_max); sent++) {
		struct box_frame *frame = &box->out[box->out_count++];

		CHECK(box->out_count <= BOX_FRAMES);
		frame->bytes = (uint32_t)tow_buf_read(
			bufs[sent], 0, frame->data, sizeof(frame->data));
		CHECK_EQ(frame->bytes, bufs[sent]->bytes);
		frame->flags = bufs[sent]->flags;
		frame->csum_start = bufs[sent]->csum_start;
		frame->csum_offset = bufs[sent]->csum_offset;
		frame->at_us = dev->now_us;
		tow_buf_give(bufs[sent]);
	}
	return (int)sent;
}

static int box_withdraw(struct tow_dev *dev, uint32_t caps)
{
	if (box_of(dev)->keeps_large)
		return TOW_EOPNOTSUPP;
	dev->caps &= ~caps;
	return 0;
}

static void box_close(struct tow_dev *dev)
{
	box_of(dev)->closed = true;
}

static const struct tow_dev_ops box_ops = {
	.name = "box",
	.rx = box_rx,
	.tx = box_tx,
	.close = box_close,
	.withdraw = box_withdraw,
};

void box_open(struct box *box, unsigned bufs, unsigned chunks,
	      unsigned chunk_bytes)
{
	size_t need = pool_need(bufs, chunks, chunk_bytes);

	need = (need + chunk_bytes - 1) / chunk_bytes * chunk_bytes;
	pool_memory = aligned_alloc(chunk_bytes, need);
	CHECK(pool_memory != NULL);
	pool_init(&box_pool, pool_memory, bufs, chunks, chunk_bytes,
		  &empty_count);
	*box = (struct box){ .takes_max = BOX_FRAMES };
	box->in = calloc(BOX_FRAMES, sizeof(*box->in));
	box->out = calloc(BOX_FRAMES, sizeof(*box->out));
	CHECK(box->in && box->out);
	box->dev.ops = &box_ops;
	box->dev.caps = TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM | TOW_DEV_TSO4 |
			TOW_DEV_TSO6 | TOW_DEV_USO | TOW_DEV_LRO;
	box->dev.mtu = 1500;
	box->dev.gso_bytes_max = 65000;
	box->dev.spans_max = TOW_BUF_SPANS;
	box->dev.next_us = UINT64_MAX;
	box->dev.pool = &box_pool;
}

void box_check_pool(void)
{
	CHECK_EQ(box_pool.bufs_left, box_pool.bufs_total);
	CHECK_EQ(box_pool.chunks_left, box_pool.chunks_total);
}

void box_free(struct box *box)
{
	box_check_pool();
	pool_close(&box_pool);
	free(pool_memory);
	free(box->in);
	free(box->out);
}

struct box_frame *box_put(struct box *box, const void *data, uint32_t bytes)
{
	struct box_frame *frame = &box->in[box->in_count++];

	CHECK(box->in_count <= BOX_FRAMES && bytes <= BOX_FRAME_BYTES);
	*frame = (struct box_frame){ .bytes = bytes };
	memcpy(frame->data, data, bytes);
	return frame;
}

struct tow_buf *box_frame(const uint8_t *frame, uint32_t bytes, uint32_t head)
{
	struct tow_buf *buf = tow_buf_take(&box_pool);

	CHECK(buf != NULL);
	memcpy(buf->room + TOW_BUF_HEADERS, frame, head);
	tow_buf_set_head(buf, TOW_BUF_HEADERS, head);
	if (bytes > head) {
		buf->spans[1].ptr = frame + head;
		buf->spans[1].len = bytes - head;
		buf->span_count = 2;
		buf->bytes = bytes;
	}
	return buf;
}

uint32_t box_make_udp(uint8_t *frame, uint32_t payload_bytes)
{
	static const uint8_t
		headers[42] = {
			2,    0, 0,	    0,		0,	   2,
			2,    0, 0,	    0,		0,	   1,
			8,    0, /* Ethernet
				  */
			0x45, 0, 0,	    0,		0,	   0,
			0x40, 0, 64,	    17,		0,	   0, /* IPv4 */
			192,  0, 2,	    1,		192,	   0,
			2,    2, 1000 >> 8, 1000 & 255, 2000 >> 8, 2000 & 255,
			0,    0, 0,	    0,
		};
	struct tow_addr src = tow_addr_v4(192, 0, 2, 1);
	struct tow_addr dst = tow_addr_v4(192, 0, 2, 2);
	uint32_t udp_bytes = 8 + payload_bytes, ip_bytes = 20 + udp_bytes;
	uint16_t sum;

	memcpy(frame, headers, sizeof(headers));
	frame[16] = (uint8_t)(ip_bytes >> 8);
	frame[17] = (uint8_t)ip_bytes;
	sum = csum_finish(csum_bytes(0, frame + 14, 20));
	memcpy(frame + 24, &sum, sizeof(sum));
	frame[38] = (uint8_t)(udp_bytes >> 8);
	frame[39] = (uint8_t)udp_bytes;
	sum = (uint16_t)csum_fold(csum_pseudo(&src, &dst, 17, udp_bytes));
	memcpy(frame + 40, &sum, sizeof(sum));
	for (uint32_t i = 0; i < payload_bytes; i++)
		frame[42 + i] = (uint8_t)i;
	return 14 + ip_bytes;
}

bool box_udp_is_right(const uint8_t *frame, uint32_t bytes)
{
	struct tow_addr src = tow_addr_v4(192, 0, 2, 1);
	struct tow_addr dst = tow_addr_v4(192, 0, 2, 2);
	uint32_t sum = csum_pseudo(&src, &dst, 17, bytes - 34);

	return !csum_finish(csum_bytes(0, frame + 14, 20)) &&
	       !csum_finish(csum_bytes(sum, frame + 34, bytes - 34));
}
