/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device of fuzz_input: a short ring of frames to receive, and a judge of
 * each frame that is sent, who also notes at which numbers connections are and
 * answers ARP and neighbour solicitations.
 */
#include "scene.h"

struct frame *frame_new(void)
{
	struct device *d = &scene.device;

	if (d->tail - d->head >= QUEUE)
		return NULL;
	return &d->queue[d->tail % QUEUE];
}

void frame_done(unsigned bytes)
{
	struct device *d = &scene.device;

	d->queue[d->tail % QUEUE].bytes = (uint16_t)bytes;
	d->tail++;
}

static void answer_arp(const uint8_t *request)
{
	struct frame *f = frame_new();

	if (!f || get16(request + 20) != 1 || !memcmp(request + 38, OUR_IP4, 4))
		return;
	memcpy(f->data, request + 6, 6);
	memcpy(f->data + 6, PEER_MAC, 6);
	memcpy(f->data + 12, request + 12, 8);
	put16(f->data + 20, 2);
	memcpy(f->data + 22, PEER_MAC, 6);
	memcpy(f->data + 28, request + 38, 4);
	memcpy(f->data + 32, request + 22, 10);
	frame_done(42);
}

static void answer_solicitation(const uint8_t *request)
{
	static const uint8_t none[16];
	const uint8_t *ip = request + ETH;
	struct frame *f = frame_new();
	uint8_t *out;

	if (!f || !memcmp(ip + 8, none, 16) || !memcmp(ip + 48, OUR_IP6, 16))
		return;
	memset(f->data, 0, ETH + 40 + 32);
	memcpy(f->data, OUR_MAC, 6);
	memcpy(f->data + 6, PEER_MAC, 6);
	put16(f->data + 12, 0x86dd);
	out = f->data + ETH;
	out[0] = 0x60;
	put16(out + 4, 32);
	out[6] = 58;
	out[7] = 255;
	memcpy(out + 8, ip + 48, 16);
	memcpy(out + 24, ip + 8, 16);
	out[40] = 136;
	out[44] = 0x60;
	memcpy(out + 48, ip + 48, 16);
	out[64] = 2;
	out[65] = 1;
	memcpy(out + 66, PEER_MAC, 6);
	put16(out + 42,
	      0xffff & ~sum_bytes(sum_pseudo(out, 58, 32), out + 40, 32));
	frame_done(ETH + 40 + 32);
}

static struct tuple *tuple_of(const uint8_t *tcp)
{
	unsigned remote = get16(tcp + 2) - 40000u;

	return &scene.tuples[remote < TUPLES ? remote : 0];
}

static void learn(const uint8_t *tcp, unsigned header, unsigned bytes)
{
	struct tuple *t = tuple_of(tcp);
	uint32_t end = get32(tcp + 4) + bytes - header;

	end += !!(tcp[13] & 1) + !!(tcp[13] & 2);
	if (tcp[13] & 4)
		return;
	if (tcp[13] & 2) {
		t->ours_next = end;
		t->ours_una = end;
		t->stamps = false;
	}
	if ((int32_t)(end - t->ours_next) > 0)
		t->ours_next = end;
	if (tcp[13] & 16)
		t->peer_next = get32(tcp + 8);
	for (unsigned i = 20; i + 10 <= header; i++)
		if (tcp[i] == 8 && tcp[i + 1] == 10) {
			t->ts = get32(tcp + i + 2);
			t->stamps = true;
			break;
		}
}

static void judge_tcp(const struct tow_buf *buf, const uint8_t *ip,
		      const uint8_t *tcp, unsigned bytes)
{
	unsigned header = (unsigned)(tcp[12] >> 4) * 4;
	uint32_t pseudo = sum_pseudo(ip, 6, bytes);

	ASSERT(bytes >= 20 && header >= 20 && header <= bytes);
	ASSERT((tcp[13] & 6) != 6);
	if (buf->flags & TOW_BUF_CSUM_PARTIAL) {
		ASSERT(scene.device.dev.caps & TOW_DEV_TX_CSUM);
		ASSERT(get16(tcp + 16) == pseudo);
	} else {
		ASSERT(sum_bytes(pseudo, tcp, bytes) == 0xffff);
	}
	learn(tcp, header, bytes);
}

/* Lengths, checksums and sizes of a frame that the stack sent. */
static void judge(const struct tow_buf *buf)
{
	static uint8_t data[ETH + 65536];
	const uint8_t *ip = data + ETH;
	size_t bytes = tow_buf_read(buf, 0, data, sizeof(data));
	bool v4 = get16(data + 12) == 0x0800;
	unsigned header = v4 ? (ip[0] & 15u) * 4 : 40;

	ASSERT(bytes == buf->bytes && bytes >= 42);
	ASSERT(buf->span_count <= scene.device.dev.spans_max);
	ASSERT(buf->gso || bytes - ETH <= scene.device.dev.mtu);
	if (bytes <= FRAME_MAX) {
		memcpy(scene.last_sent.data, data, bytes);
		scene.last_sent.bytes = (uint16_t)bytes;
	}
	if (get16(data + 12) == 0x0806) {
		if (!scene.device.mute)
			answer_arp(data);
		return;
	}
	ASSERT(v4 || get16(data + 12) == 0x86dd);
	ASSERT(bytes >= ETH + header);
	if (v4) {
		ASSERT(get16(ip + 2) == bytes - ETH && header >= 20);
		ASSERT(sum_bytes(0, ip, header) == 0xffff);
	} else {
		ASSERT(get16(ip + 4) == bytes - ETH - 40);
	}
	if (ip[v4 ? 9 : 6] == 6)
		judge_tcp(buf, ip, ip + header,
			  (unsigned)(bytes - ETH - header));
	else if (!v4 && ip[6] == 58 && ip[40] == 135 && !scene.device.mute)
		answer_solicitation(data);
}

static int device_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct device *d = (struct device *)dev;
	unsigned count = 0;

	if (d->gone)
		return TOW_ENETDOWN;
	for (; count < n && d->head != d->tail; d->head++) {
		struct frame *f = &d->queue[d->head % QUEUE];
		struct tow_buf *buf = tow_buf_take(dev->pool);
		unsigned at =
			f->bytes < TOW_BUF_HEADERS ? f->bytes : TOW_BUF_HEADERS;

		if (!buf)
			continue; /* the ring drops */
		memcpy(buf->room, f->data, at);
		tow_buf_set_head(buf, 0, at);
		while (at < f->bytes) {
			uint8_t *chunk = tow_chunk_take(dev->pool);
			unsigned piece = tow_chunk_bytes(dev->pool);

			if (!chunk) {
				buf->flags |= TOW_BUF_TRUNCATED;
				break;
			}
			if (piece > f->bytes - at)
				piece = f->bytes - at;
			memcpy(chunk, f->data + at, piece);
			tow_buf_add_chunk(buf, chunk, piece);
			at += piece;
		}
		bufs[count++] = buf;
	}
	return (int)count;
}

static int device_tx(struct tow_dev *dev, struct tow_buf *const *bufs,
		     unsigned n)
{
	struct device *d = (struct device *)dev;
	unsigned i;

	if (d->gone)
		return TOW_ENETDOWN;
	for (i = 0; i < n; i++) {
		if (d->full || (d->hold && d->held_count == HELD))
			break;
		judge(bufs[i]);
		if (d->hold)
			d->held[d->held_count++] = bufs[i];
		else
			tow_buf_give(bufs[i]);
	}
	return (int)i;
}

void give_held(unsigned count)
{
	struct device *d = &scene.device;

	while (count-- && d->held_count)
		tow_buf_give(d->held[--d->held_count]);
}

static void device_close(struct tow_dev *dev)
{
	(void)dev;
	give_held(HELD);
	scene.device.closed = true;
}

static const struct tow_dev_ops ops = {
	.name = "fuzz",
	.rx = device_rx,
	.tx = device_tx,
	.close = device_close,
};

void scene_device_init(uint32_t caps)
{
	static struct frame queue[QUEUE];

	scene.device = (struct device){
		.dev = { .ops = &ops,
			 .caps = caps,
			 .mtu = 1500,
			 .gso_bytes_max = caps & TOW_DEV_TSO4 ? 60000 : 0,
			 .spans_max = TOW_BUF_SPANS,
			 .mac = { 2, 0, 0, 0, 0, 1 },
			 .next_us = UINT64_MAX },
		.queue = queue,
	};
}
