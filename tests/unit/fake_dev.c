/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_dev.h"
#include <stdlib.h>
#include <string.h>

const uint8_t fake_mac[6] = { 0x02, 0, 0, 0, 0, 0x01 };
const uint8_t peer_mac[6] = { 0x02, 0, 0, 0, 0, 0x02 };

static struct fake_dev *fake_of(struct tow_dev *dev)
{
	return (struct fake_dev *)dev;
}

/* The head goes into the room, the rest stays where it is. */
static struct tow_buf *lend_buf(struct fake_dev *fake, struct fake_input *in,
				uint32_t head)
{
	struct tow_buf *buf = tow_buf_take(fake->dev.pool);

	if (!buf)
		return NULL;
	tow_buf_set_head(buf, fake->room_offset, head);
	memcpy(buf->room + fake->room_offset, in->data, head);
	tow_buf_add_foreign(buf, &fake->dev, in->data + head, in->bytes - head);
	buf->loan_first = in->data;
	in->data = NULL;
	fake->lent++;
	buf->flags |= in->flags;
	return buf;
}

static void fake_returned(struct tow_dev *dev, struct tow_buf *buf)
{
	struct fake_dev *fake = fake_of(dev);

	if (buf->refs != 0 || buf->lender != dev || fake->lent == 0)
		abort();
	free(buf->loan_first);
	fake->lent--;
}

/* As a driver does: the head into the room, the rest into chunks. */
static struct tow_buf *make_buf(struct fake_dev *fake,
				const struct fake_input *in)
{
	struct tow_pool *pool = fake->dev.pool;
	uint32_t fill = tow_chunk_bytes(pool), at, n;
	struct tow_buf *buf = tow_buf_take(pool);
	uint8_t *chunk;

	if (!buf)
		return NULL;
	if (fake->chunk_fill)
		fill = fake->chunk_fill;
	at = in->bytes < fake->room_bytes ? in->bytes : fake->room_bytes;
	tow_buf_set_head(buf, fake->room_offset, at);
	memcpy(buf->room + fake->room_offset, in->data, at);
	for (; at < in->bytes; at += n) {
		n = in->bytes - at < fill ? in->bytes - at : fill;
		chunk = tow_chunk_take(pool);
		if (!chunk || buf->span_count == TOW_BUF_SPANS) {
			if (chunk)
				tow_chunk_give(pool, chunk);
			buf->flags |= TOW_BUF_TRUNCATED;
			break;
		}
		memcpy(chunk, in->data + at, n);
		tow_buf_add_chunk(buf, chunk, n);
	}
	buf->flags |= in->flags;
	buf->gso = in->gso;
	buf->gso_bytes = in->gso_bytes;
	return buf;
}

static int fake_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct fake_dev *fake = fake_of(dev);
	unsigned done = 0;

	if (fake->gone)
		return TOW_ENETDOWN;
	while (done < n && fake->input_first < fake->input_count) {
		struct fake_input *in = &fake->input[fake->input_first++];

		bufs[done] = fake->lends && in->bytes > fake->room_bytes
				     ? lend_buf(fake, in, fake->room_bytes)
				     : make_buf(fake, in);
		if (bufs[done])
			done++;
		free(in->data);
		in->data = NULL;
	}
	if (fake->input_first == fake->input_count)
		fake->input_first = fake->input_count = 0;
	return (int)done;
}

static void record(struct fake_dev *fake, struct tow_buf *buf)
{
	struct fake_frame *f = &fake->sent[fake->sent_count++];

	f->bytes = buf->bytes;
	f->flags = buf->flags;
	f->gso = buf->gso;
	f->gso_bytes = buf->gso_bytes;
	f->header_bytes = buf->header_bytes;
	f->csum_start = buf->csum_start;
	f->csum_offset = buf->csum_offset;
	f->span_count = buf->span_count;
	f->at_us = fake->dev.now_us;
	memcpy(f->spans, buf->spans, sizeof(f->spans));
	memcpy(f->headers, buf->spans[0].ptr, buf->spans[0].len);
	f->spans[0].ptr = f->headers;
	f->held = NULL;
	f->data = NULL;
	if (fake->blind)
		return;
	f->data = malloc(buf->bytes + 1);
	tow_buf_read(buf, 0, f->data, buf->bytes);
}

static int fake_tx(struct tow_dev *dev, struct tow_buf *const *bufs, unsigned n)
{
	struct fake_dev *fake = fake_of(dev);
	unsigned i;

	if (fake->gone)
		return TOW_ENETDOWN;
	for (i = 0; i < n && i < fake->takes_max; i++) {
		if (fake->sent_count == FAKE_FRAMES)
			break;
		record(fake, bufs[i]);
		if (fake->keeps)
			fake->sent[fake->sent_count - 1].held = bufs[i];
		else
			tow_buf_give(bufs[i]);
	}
	return (int)i;
}

static void fake_flush(struct tow_dev *dev)
{
	fake_of(dev)->flushes++;
}

static void fake_close(struct tow_dev *dev)
{
	struct fake_dev *fake = fake_of(dev);

	fake_dev_release_all(fake);
	fake_dev_clear(fake);
	fake->closed = true;
}

static const struct tow_dev_ops fake_ops = {
	.name = "fake",
	.rx = fake_rx,
	.tx = fake_tx,
	.flush = fake_flush,
	.returned = fake_returned,
	.close = fake_close,
};

void fake_dev_init(struct fake_dev *fake, uint32_t caps)
{
	uint32_t large = TOW_DEV_TSO4 | TOW_DEV_TSO6 | TOW_DEV_USO;

	memset(fake, 0, sizeof(*fake));
	fake->dev.ops = &fake_ops;
	fake->dev.caps = caps;
	fake->dev.mtu = 1500;
	fake->dev.gso_bytes_max = caps & large ? 65000 : 0;
	fake->dev.spans_max = 16;
	fake->dev.next_us = UINT64_MAX;
	memcpy(fake->dev.mac, fake_mac, 6);
	fake->room_bytes = TOW_BUF_HEADERS;
	fake->takes_max = FAKE_FRAMES;
}

struct fake_input *fake_dev_put(struct fake_dev *fake, const void *data,
				uint32_t bytes, uint8_t flags)
{
	struct fake_input *in = &fake->input[fake->input_count++];

	if (fake->input_count > FAKE_FRAMES)
		abort();
	in->data = malloc(bytes + 1);
	memcpy(in->data, data, bytes);
	in->bytes = bytes;
	in->flags = flags;
	in->gso = TOW_GSO_NONE;
	in->gso_bytes = 0;
	return in;
}

void fake_dev_release(struct fake_dev *fake, unsigned index)
{
	struct tow_buf *buf = fake->sent[index].held;

	fake->sent[index].held = NULL;
	if (buf)
		tow_buf_give(buf);
}

void fake_dev_release_all(struct fake_dev *fake)
{
	unsigned i;

	for (i = 0; i < fake->sent_count; i++)
		fake_dev_release(fake, i);
}

static void forget(struct fake_dev *fake, unsigned from, unsigned n)
{
	unsigned i;

	for (i = from; i < from + n; i++) {
		fake_dev_release(fake, i);
		free(fake->sent[i].data);
	}
	fake->sent_count -= n;
	for (i = from; i < fake->sent_count; i++) {
		fake->sent[i] = fake->sent[i + n];
		fake->sent[i].spans[0].ptr = fake->sent[i].headers;
	}
}

void fake_dev_forget(struct fake_dev *fake, unsigned n)
{
	forget(fake, 0, n);
}

void fake_dev_forget_one(struct fake_dev *fake, unsigned index)
{
	forget(fake, index, 1);
}

void fake_dev_clear(struct fake_dev *fake)
{
	unsigned i;

	fake_dev_forget(fake, fake->sent_count);
	for (i = fake->input_first; i < fake->input_count; i++)
		free(fake->input[i].data);
	fake->input_first = fake->input_count = 0;
}
