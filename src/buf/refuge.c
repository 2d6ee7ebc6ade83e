/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A refuge is a pool like the others, so that what was moved there is a buffer
 * like the others. It has as many buffers as chunks. A few bytes go into the
 * room of a buffer and take no chunk at all.
 */
#include "buf/refuge.h"

bool refuge_init(struct tow_pool *refuge, void *memory, size_t bytes,
		 uint32_t chunk_bytes, uint64_t *empty_counter)
{
	size_t slack = (size_t)(0 - (uintptr_t)memory) & (chunk_bytes - 1);
	size_t each = pool_need(1, 1, chunk_bytes);
	size_t n = bytes > slack ? (bytes - slack) / each : 0;

	/* Its largest buffer must find a place in it. */
	if (n < TOW_BUF_SPANS)
		return false;
	n = MIN(n, UINT32_MAX / 2);
	pool_init(refuge, (uint8_t *)memory + slack, (uint32_t)n, (uint32_t)n,
		  chunk_bytes, empty_counter);
	return true;
}

static uint32_t chunks_for(const struct tow_pool *pool, uint32_t bytes)
{
	return (bytes + pool->chunk_bytes - 1) >> pool->chunk_shift;
}

bool refuge_fits(const struct tow_buf *buf, uint32_t bytes)
{
	const struct tow_pool *pool = buf->pool;
	uint32_t room = buf_room(buf);
	uint32_t chunks = bytes > room ? chunks_for(pool, bytes - room) : 0;

	return chunks <= pool->chunks_left &&
	       chunks + buf->span_count <= TOW_BUF_SPANS;
}

bool refuge_has(const struct tow_pool *refuge, uint32_t bytes)
{
	uint32_t chunks = bytes > TOW_BUF_ROOM ? chunks_for(refuge, bytes) : 0;

	return refuge->bufs_left > 0 && chunks <= refuge->chunks_left &&
	       chunks < TOW_BUF_SPANS;
}

struct tow_buf *refuge_take(struct tow_pool *refuge, uint32_t bytes)
{
	struct tow_buf *buf;

	if (!refuge_has(refuge, bytes))
		return NULL;
	buf = tow_buf_take(refuge);
	if (buf)
		tow_buf_set_head(buf, bytes > TOW_BUF_ROOM ? TOW_BUF_ROOM : 0,
				 0);
	return buf;
}

/* The next piece of memory for up to @most bytes; it becomes the buffer's. */
static uint8_t *extend(struct tow_buf *buf, size_t most, size_t *got)
{
	uint32_t room = buf_room(buf);
	uint8_t *chunk;

	if (room > 0) {
		*got = MIN(most, room);
		return buf_append(buf, (uint32_t)*got);
	}
	chunk = tow_chunk_take(buf->pool);
	ASSERT(chunk);
	*got = MIN(most, buf->pool->chunk_bytes);
	tow_buf_add_chunk(buf, chunk, (uint32_t)*got);
	return chunk;
}

void refuge_pour(struct tow_buf *buf, const struct tow_buf *from,
		 uint32_t offset, struct ledgers ledgers, enum tow_copy why)
{
	for (unsigned i = 0; i < from->span_count; i++) {
		const uint8_t *ptr = from->spans[i].ptr;
		size_t left = from->spans[i].len, n;

		n = MIN(left, offset);
		offset -= (uint32_t)n;
		for (ptr += n, left -= n; left > 0; ptr += n, left -= n) {
			uint8_t *to = extend(buf, left, &n);

			payload_copy(ledgers, why, to, ptr, n);
		}
	}
}
