/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole frames in plain memory; see frame.h.
 */
#include <string.h>
#include "base/csum.h"
#include "dev/frame.h"
#include "wire/wire_eth.h"
#include "wire/wire_ip4.h"

#define HEAD_AT		18 /* aligns the IP header behind Ethernet */
#define UDP_CSUM_OFFSET 6
#define IP4_SUM_AT	10

void frame_finish_csum(const struct tow_buf *buf, uint8_t *frame,
		       size_t frame_bytes)
{
	size_t start = buf->csum_start, field = start + buf->csum_offset;
	uint16_t csum;

	if (!(buf->flags & TOW_BUF_CSUM_PARTIAL) || field + 2 > frame_bytes)
		return;
	csum = csum_finish(csum_bytes(0, frame + start, frame_bytes - start));
	/* RFC 768: zero would say that there is no checksum. */
	if (!csum && buf->csum_offset == UDP_CSUM_OFFSET)
		csum = 0xffff;
	memcpy(frame + field, &csum, sizeof(csum));
}

unsigned frame_ecn(const uint8_t *frame, size_t bytes)
{
	const uint8_t *ip = frame + FRAME_ETH_BYTES;

	if (bytes < FRAME_ETH_BYTES + IP4_BYTES)
		return 0;
	switch (wire_get16(frame + 12)) {
	case ETH_IP4:
		return ip[1] & 3u;
	case ETH_IP6:
		return ip[1] >> 4 & 3u;
	default:
		return 0;
	}
}

/* RFC 1624: the sum of IPv4's header changes with it, also if it is not right. */
void frame_set_ecn(uint8_t *frame, unsigned ecn)
{
	uint8_t *ip = frame + FRAME_ETH_BYTES;
	uint32_t old = wire_get16(ip), sum;

	if (wire_get16(frame + 12) == ETH_IP6) {
		ip[1] = (uint8_t)((ip[1] & ~0x30u) | ecn << 4);
		return;
	}
	ip[1] = (uint8_t)((ip[1] & ~3u) | ecn);
	sum = (uint16_t)~wire_get16(ip + IP4_SUM_AT);
	sum += (uint16_t)~old + wire_get16(ip);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	wire_put16(ip + IP4_SUM_AT, sum);
}

static bool add_copy(struct tow_buf *buf, const uint8_t *from, size_t bytes)
{
	size_t chunk_bytes = tow_chunk_bytes(buf->pool);

	while (bytes) {
		size_t n = MIN(bytes, chunk_bytes);
		uint8_t *chunk = tow_chunk_take(buf->pool);

		if (!chunk)
			return false;
		memcpy(chunk, from, n);
		tow_buf_add_chunk(buf, chunk, (uint32_t)n);
		from += n;
		bytes -= n;
	}
	return true;
}

struct tow_buf *frame_make(struct tow_pool *pool, const uint8_t *frame,
			   size_t frame_bytes, unsigned spans_max)
{
	size_t head = MIN(frame_bytes, (size_t)TOW_BUF_HEADERS);
	size_t chunk_bytes = tow_chunk_bytes(pool);
	struct tow_buf *buf;

	if (1 + (frame_bytes - head + chunk_bytes - 1) / chunk_bytes >
	    MIN(spans_max, (unsigned)TOW_BUF_SPANS))
		return NULL;
	buf = tow_buf_take(pool);
	if (!buf)
		return NULL;
	memcpy(buf->room + HEAD_AT, frame, head);
	tow_buf_set_head(buf, HEAD_AT, (uint32_t)head);
	if (add_copy(buf, frame + head, frame_bytes - head))
		return buf;
	tow_buf_give(buf);
	return NULL;
}
