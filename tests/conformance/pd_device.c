/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device of bare IP packets: what the stack sends waits to be read, what the
 * script sends waits to be received.
 *
 * It can neither sum nor cut, so each packet leaves as it would on a wire.
 */
#include <stdlib.h>
#include <string.h>
#include "conformance/pd.h"

struct fifo {
	struct pd_packet *first, **last;
};

struct pd_device {
	struct tow_dev dev; /* must come first */
	struct fifo out, in;
};

static void fifo_put(struct fifo *q, struct pd_packet *p)
{
	p->next = NULL;
	*q->last = p;
	q->last = &p->next;
}

static struct pd_packet *fifo_take(struct fifo *q)
{
	struct pd_packet *p = q->first;

	if (!p)
		return NULL;
	q->first = p->next;
	if (!q->first)
		q->last = &q->first;
	return p;
}

static void fifo_empty(struct fifo *q)
{
	struct pd_packet *p;

	while ((p = fifo_take(q)))
		free(p);
}

static struct pd_packet *packet_new(size_t bytes)
{
	struct pd_packet *p = calloc(1, sizeof(*p) + bytes);

	if (!p)
		pd_die("out of memory");
	p->bytes = bytes;
	return p;
}

/* Headers into the room, the rest into chunks: false when there are none. */
static bool fill(struct tow_dev *dev, struct tow_buf *buf,
		 const struct pd_packet *p)
{
	size_t at = MIN(p->bytes, TOW_BUF_HEADERS);

	memcpy(buf->room, p->data, at);
	tow_buf_set_head(buf, 0, (uint32_t)at);
	while (at < p->bytes) {
		uint8_t *chunk = tow_chunk_take(dev->pool);
		size_t part = MIN(p->bytes - at, tow_chunk_bytes(dev->pool));

		if (!chunk)
			return false;
		memcpy(chunk, p->data + at, part);
		tow_buf_add_chunk(buf, chunk, (uint32_t)part);
		at += part;
	}
	return true;
}

static int device_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct pd_device *d = (struct pd_device *)dev;
	unsigned got = 0;

	while (got < n && d->in.first) {
		struct tow_buf *buf = tow_buf_take(dev->pool);
		struct pd_packet *p;

		if (!buf)
			break;
		p = fifo_take(&d->in);
		if (fill(dev, buf, p))
			bufs[got++] = buf;
		else
			tow_buf_give(buf);
		free(p);
	}
	return (int)got;
}

static int device_tx(struct tow_dev *dev, struct tow_buf *const *bufs,
		     unsigned n)
{
	struct pd_device *d = (struct pd_device *)dev;

	for (unsigned i = 0; i < n; i++) {
		struct pd_packet *p = packet_new(bufs[i]->bytes);

		(void)tow_buf_read(bufs[i], 0, p->data, p->bytes);
		p->at_us = dev->now_us;
		p->epoch = pd_world.epoch;
		fifo_put(&d->out, p);
		tow_buf_give(bufs[i]);
	}
	return (int)n;
}

static int device_wait_fd(struct tow_dev *dev)
{
	(void)dev;
	return -1;
}

static void device_close(struct tow_dev *dev)
{
	struct pd_device *d = (struct pd_device *)dev;

	fifo_empty(&d->in);
	fifo_empty(&d->out);
	free(d);
}

static const struct tow_dev_ops device_ops = {
	.name = "packetdrill",
	.rx = device_rx,
	.tx = device_tx,
	.wait_fd = device_wait_fd,
	.close = device_close,
};

struct tow_dev *pd_device_open(struct pd_device **out, unsigned mtu)
{
	struct pd_device *d = calloc(1, sizeof(*d));

	if (!d)
		pd_die("out of memory");
	d->dev.ops = &device_ops;
	d->dev.caps = TOW_DEV_NO_LINK | TOW_DEV_SPLIT;
	d->dev.mtu = mtu;
	d->dev.spans_max = TOW_BUF_SPANS;
	d->dev.next_us = UINT64_MAX;
	d->in.last = &d->in.first;
	d->out.last = &d->out.first;
	*out = d;
	return &d->dev;
}

bool pd_device_inject(struct pd_device *d, const void *packet, size_t bytes)
{
	struct pd_packet *p = packet_new(bytes);

	memcpy(p->data, packet, bytes);
	fifo_put(&d->in, p);
	return true;
}

/* The next one that left, which is the caller's to free; or NULL. */
struct pd_packet *pd_device_take(struct pd_device *d)
{
	return fifo_take(&d->out);
}

const struct pd_packet *pd_device_peek(const struct pd_device *d)
{
	return d->out.first;
}
