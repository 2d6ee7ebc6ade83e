/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two ports of the simulator without a stack; see net2.h.
 */
#include <stdlib.h>
#include <string.h>
#include "base/csum.h"
#include "net2.h"

static void *open_pool(struct tow_pool *pool, uint64_t *empty)
{
	size_t need = pool_need(NET2_BUFS, NET2_CHUNKS, NET2_CHUNK);
	size_t whole = (need + NET2_CHUNK - 1) / NET2_CHUNK * NET2_CHUNK;
	void *memory = aligned_alloc(NET2_CHUNK, whole);

	CHECK(memory);
	pool_init(pool, memory, NET2_BUFS, NET2_CHUNKS, NET2_CHUNK, empty);
	return memory;
}

struct net2 *net2_new(void)
{
	struct net2 *net = calloc(1, sizeof(*net));

	CHECK(net);
	tow_sim_port_default(&net->how_a);
	tow_sim_port_default(&net->how_b);
	net->how_a.margin = net->how_b.margin = 0;
	net->memory_a = open_pool(&net->pool_a, &net->empty);
	net->memory_b = open_pool(&net->pool_b, &net->empty);
	return net;
}

void net2_open(struct net2 *net, uint64_t seed)
{
	int segment;

	CHECK_EQ(tow_sim_open(&net->sim, seed), 0);
	segment = tow_sim_segment(net->sim);
	CHECK_EQ(tow_sim_port_open(net->sim, segment, &net->how_a, &net->a), 0);
	CHECK_EQ(tow_sim_port_open(net->sim, segment, &net->how_b, &net->b), 0);
	net->a->pool = &net->pool_a;
	net->b->pool = &net->pool_b;
}

void net2_free(struct net2 *net)
{
	free(net->memory_a);
	free(net->memory_b);
	free(net);
}

void net2_close(struct net2 *net)
{
	net->a->ops->close(net->a);
	net->b->ops->close(net->b);
	tow_sim_close(net->sim);
	CHECK_EQ(net->pool_a.bufs_left, NET2_BUFS);
	CHECK_EQ(net->pool_b.bufs_left, NET2_BUFS);
	CHECK_EQ(net->pool_a.chunks_left, NET2_CHUNKS);
	CHECK_EQ(net->pool_b.chunks_left, NET2_CHUNKS);
	net2_free(net);
}

void net2_fill(uint8_t *out, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(i * 7 + (i >> 8));
}

void net2_write_headers(uint8_t *h, const struct tow_dev *from,
			const struct tow_dev *to, unsigned payload)
{
	struct tow_addr src = tow_addr_v4(10, 0, 0, 1);
	struct tow_addr dst = tow_addr_v4(10, 0, 0, 2);
	uint16_t sum;

	memset(h, 0, PAYLOAD_AT);
	memcpy(h, to->mac, 6);
	memcpy(h + 6, from->mac, 6);
	put16(h + 12, 0x0800);
	h[14] = 0x45;
	put16(h + 16, 40 + payload);
	put16(h + 18, 0x1234); /* identification */
	h[20] = 0x40;	       /* do not fragment */
	h[22] = 64;
	h[23] = 6;
	memcpy(h + 26, src.b + 12, 4);
	memcpy(h + 30, dst.b + 12, 4);
	sum = csum_finish(csum_bytes(0, h + 14, 20));
	memcpy(h + 24, &sum, 2);
	put16(h + 34, 1000);
	put16(h + 36, 2000);
	put16(h + 40, 0x0100); /* sequence 256 */
	h[46] = 0x50;
	h[47] = 0x19; /* ACK, PSH, FIN */
	put16(h + 48, 0xffff);
	sum = (uint16_t)csum_fold(csum_pseudo(&src, &dst, 6, 20 + payload));
	memcpy(h + TCP_AT + 16, &sum, 2);
}

struct tow_buf *net2_frame(struct net2 *net, const uint8_t *payload,
			   unsigned bytes)
{
	struct tow_buf *buf = tow_buf_take(&net->pool_a);

	CHECK(buf);
	tow_buf_set_head(buf, 2, PAYLOAD_AT);
	net2_write_headers(buf->room + 2, net->a, net->b, bytes);
	if (bytes) {
		buf->spans[1].ptr = payload;
		buf->spans[1].len = bytes;
		buf->span_count = 2;
	}
	buf->bytes = PAYLOAD_AT + bytes;
	buf->flags = TOW_BUF_CSUM_PARTIAL;
	buf->header_bytes = PAYLOAD_AT;
	buf->csum_start = TCP_AT;
	buf->csum_offset = 16;
	return buf;
}

void net2_send(struct net2 *net, struct tow_buf *buf)
{
	CHECK_EQ(net->a->ops->tx(net->a, &buf, 1), 1);
	net->a->ops->flush(net->a);
}

void net2_run(struct net2 *net, uint64_t until_us)
{
	while (tow_sim_step(net->sim, until_us)) {
		net->a->ops->flush(net->a);
		net->b->ops->flush(net->b);
	}
}

struct tow_buf *net2_receive(struct net2 *net)
{
	struct tow_buf *buf = NULL;
	int n = net->b->ops->rx(net->b, &buf, 1);

	CHECK(n == 0 || n == 1);
	return n ? buf : NULL;
}

uint64_t net2_fate(const struct tow_dev *dev, enum tow_sim_fate fate)
{
	return tow_sim_stats(dev)->fates[fate];
}

bool net2_sum_is_right(const uint8_t *frame, unsigned bytes)
{
	struct tow_addr src = tow_addr_v4(10, 0, 0, 1);
	struct tow_addr dst = tow_addr_v4(10, 0, 0, 2);
	uint32_t sum = csum_pseudo(&src, &dst, 6, bytes - TCP_AT);

	return csum_finish(csum_bytes(0, frame + 14, 20)) == 0 &&
	       csum_finish(csum_bytes(sum, frame + TCP_AT, bytes - TCP_AT)) ==
		       0;
}
