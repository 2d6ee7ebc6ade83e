/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Received bytes that a device wrote into a posted buffer (buf->place): which
 * spans they are, and getting them out of there.
 *
 * What lies neither in the header room nor in a chunk of the pool is placed.
 * Getting it out is one copy into chunks, for whoever is not the one that the
 * memory was posted for, or finds no place for it in what is posted.
 */
#include "buf/pool.h"

static bool in_own_memory(const struct tow_buf *buf, const void *p)
{
	const struct tow_pool *pool = buf->pool;
	uintptr_t room = (uintptr_t)p - (uintptr_t)buf->room;
	uintptr_t chunks = (uintptr_t)p - (uintptr_t)pool->chunks;

	return room <= TOW_BUF_ROOM || chunks < (uintptr_t)pool->chunks_total
							<< pool->chunk_shift;
}

bool buf_span_is_placed(const struct tow_buf *buf, const struct tow_span *span)
{
	return buf->place && span->len && !in_own_memory(buf, span->ptr);
}

bool buf_has_placed(const struct tow_buf *buf, uint64_t offset)
{
	uint64_t end = 0;

	for (unsigned i = 0; buf->place && i < buf->span_count; i++) {
		end += buf->spans[i].len;
		if (end > offset && buf_span_is_placed(buf, &buf->spans[i]))
			return true;
	}
	return false;
}

/* Room for up to @want bytes behind the last, in a new chunk if need be. */
static uint8_t *make_room(struct tow_buf *buf, size_t want, uint32_t *bytes)
{
	uint32_t behind = buf_room(buf);
	uint8_t *chunk = NULL;

	if (behind) {
		*bytes = (uint32_t)MIN(want, behind);
		return buf_append(buf, *bytes);
	}
	if (buf->span_count < TOW_BUF_SPANS)
		chunk = tow_chunk_take(buf->pool);
	if (!chunk)
		return NULL;
	*bytes = (uint32_t)MIN(want, buf->pool->chunk_bytes);
	tow_buf_add_chunk(buf, chunk, *bytes);
	return chunk;
}

/* Append a copy of @span: pieces of small posts share chunks. */
static bool append_copy(struct tow_buf *buf, const struct tow_span *span,
			struct ledgers ledgers, enum tow_copy why)
{
	const uint8_t *from = span->ptr;
	size_t left = span->len;

	while (left) {
		uint32_t n;
		uint8_t *to = make_room(buf, left, &n);

		if (!to)
			return false;
		payload_copy(ledgers, why, to, from, n);
		from += n;
		left -= n;
	}
	return true;
}

bool buf_evacuate(struct tow_buf *buf, struct ledgers ledgers,
		  enum tow_copy why)
{
	struct tow_span spans[TOW_BUF_SPANS];
	unsigned count = buf->span_count;
	bool placed;

	if (!buf->place)
		return true;
	memcpy(spans, buf->spans, sizeof(spans));
	buf->span_count = 1;
	buf->bytes = (uint32_t)spans[0].len;
	for (unsigned i = 1; i < count; i++) {
		placed = buf_span_is_placed(buf, &spans[i]);
		if (placed && !append_copy(buf, &spans[i], ledgers, why))
			return false;
		if (!placed && buf->span_count == TOW_BUF_SPANS)
			return false;
		if (!placed)
			buf_add_span(buf, spans[i].ptr, (uint32_t)spans[i].len);
	}
	buf->place = 0;
	return true;
}

void buf_retarget(struct tow_buf *buf, const struct tow_span *spans,
		  unsigned count, uint64_t place)
{
	uint32_t bytes = buf->bytes;

	ASSERT(count < TOW_BUF_SPANS);
	pool_drop_chunks(buf);
	buf->spans[0].len = 0;
	buf->span_count = 1;
	buf->bytes = 0;
	buf->place = place;
	for (unsigned i = 0; i < count; i++)
		buf_add_span(buf, spans[i].ptr, (uint32_t)spans[i].len);
	ASSERT(buf->bytes == bytes);
}
