/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where buffers and chunks come from and go back to.
 *
 *	memory | chunk 0 | chunk 1 | ... | bufs[] | chunk_next[] |
 *	       ^ aligned to chunk_bytes
 *
 * Both kinds are handed out last in, first out, so that what is taken next is
 * likely still in the cache. Free buffers are linked by their own next field;
 * chunks by the table chunk_next, so that a free chunk, which a device may
 * have written last, is never read or written by us.
 *
 * A buffer and a chunk are always in one of these states:
 *
 *	buffer   free        in bufs_free, refs == 0, poisoned
 *	         taken       refs >= 1
 *	         done        in the done list, refs == 0, loans not ended yet
 *	chunk    free        in the chain from chunk_free, poisoned
 *	         loose       taken by a driver: chunk_next is CHUNK_LOOSE
 *	         owned       in the chain from its buffer's chunk_first
 */
#include "buf/pool.h"
#include "base/csum.h"
#include "buf/poison.h"

#define CHUNK_LOOSE (TOW_CHUNK_NONE - 1)

size_t pool_need(uint32_t bufs, uint32_t chunks, uint32_t chunk_bytes)
{
	uint64_t each = (uint64_t)chunk_bytes + sizeof(uint32_t);
	uint64_t need = (uint64_t)bufs * sizeof(struct tow_buf);

	if (chunks >= CHUNK_LOOSE || chunks > (SIZE_MAX / 2 - need) / each)
		return 0;
	return (size_t)(need + chunks * each);
}

static void free_buf(struct tow_pool *pool, struct tow_buf *buf)
{
	buf->next = pool->bufs_free;
	pool->bufs_free = buf;
	pool->bufs_left++;
	memory_poison(buf, sizeof(*buf));
}

static uint8_t *chunk_at(const struct tow_pool *pool, uint32_t index)
{
	return pool->chunks + ((size_t)index << pool->chunk_shift);
}

static uint32_t chunk_index(const struct tow_pool *pool, const uint8_t *chunk)
{
	size_t offset = (size_t)(chunk - pool->chunks);

	ASSERT(chunk >= pool->chunks &&
	       offset >> pool->chunk_shift < pool->chunks_total &&
	       (offset & (pool->chunk_bytes - 1)) == 0);
	return (uint32_t)(offset >> pool->chunk_shift);
}

static void free_chunk(struct tow_pool *pool, uint32_t index)
{
	pool->chunk_next[index] = pool->chunk_free;
	pool->chunk_free = index;
	pool->chunks_left++;
	memory_poison(chunk_at(pool, index), pool->chunk_bytes);
}

void pool_init(struct tow_pool *pool, void *memory, uint32_t bufs,
	       uint32_t chunks, uint32_t chunk_bytes, uint64_t *empty_counter)
{
	uint32_t i;

	ASSERT(chunk_bytes > 0 && (chunk_bytes & (chunk_bytes - 1)) == 0);
	ASSERT(chunk_bytes >= _Alignof(struct tow_buf));
	ASSERT(((uintptr_t)memory & (chunk_bytes - 1)) == 0);

	memory_unpoison(memory, pool_need(bufs, chunks, chunk_bytes));
	memset(pool, 0, sizeof(*pool));
	pool->chunk_bytes = chunk_bytes;
	while (chunk_bytes >> (pool->chunk_shift + 1))
		pool->chunk_shift++;
	pool->chunks_total = chunks;
	pool->chunk_free = TOW_CHUNK_NONE;
	pool->bufs_total = bufs;
	pool->done_tail = &pool->done;
	pool->empty_counter = empty_counter;
	pool->csum = csum_fastest();

	pool->chunks = memory;
	pool->bufs = (void *)chunk_at(pool, chunks);
	pool->chunk_next = (void *)&pool->bufs[bufs];
	for (i = chunks; i-- > 0;)
		free_chunk(pool, i);
	for (i = bufs; i-- > 0;) {
		pool->bufs[i].refs = 0;
		pool->bufs[i].pool = pool;
		free_buf(pool, &pool->bufs[i]);
	}
}

void pool_close(struct tow_pool *pool)
{
	memory_unpoison(pool->chunks,
			pool_need(pool->bufs_total, pool->chunks_total,
				  pool->chunk_bytes));
}

/*
 * Field by field: clearing the whole struct would write 700 bytes for a few
 * that are looked at. Spans above the first, the room and the notes keep what
 * they held before.
 */
static void reset(struct tow_buf *buf)
{
	buf->next = NULL;
	buf->refs = 1;
	buf->bytes = 0;
	buf->chunk_first = TOW_CHUNK_NONE;
	buf->chunks = 0;
	buf->span_count = 1;
	buf->flags = 0;
	buf->gso = TOW_GSO_NONE;
	buf->owner_kind = BUF_OWNER_NONE;
	buf->gso_bytes = 0;
	buf->header_bytes = 0;
	buf->csum_start = 0;
	buf->csum_offset = 0;
	buf->link = 0;
	buf->error = 0;
	buf->place = 0;
	buf->lender = NULL;
	buf->loan_first = NULL;
	buf->loan_start = 0;
	buf->loan_bytes = 0;
	buf->spans[0].ptr = buf->room + TOW_BUF_HEADERS;
	buf->spans[0].len = 0;
}

struct tow_buf *tow_buf_take(struct tow_pool *pool)
{
	struct tow_buf *buf = pool->bufs_free;

	if (UNLIKELY(!buf)) {
		++*pool->empty_counter;
		return NULL;
	}
	memory_unpoison(buf, sizeof(*buf));
	ASSERT(buf->refs == 0);
	pool->bufs_free = buf->next;
	pool->bufs_left--;
	reset(buf);
	return buf;
}

struct tow_buf *tow_buf_ref(struct tow_buf *buf)
{
	ASSERT(buf->refs > 0 && buf->refs < UINT32_MAX);
	buf->refs++;
	return buf;
}

static void put_in_done(struct tow_pool *pool, struct tow_buf *buf)
{
	buf->next = NULL;
	*pool->done_tail = buf;
	pool->done_tail = &buf->next;
}

void tow_buf_give(struct tow_buf *buf)
{
	ASSERT(buf->refs > 0); /* else it was given before */
	if (--buf->refs > 0)
		return;
	if (buf->lender)
		put_in_done(buf->pool, buf);
	else
		pool_reclaim(buf);
}

struct tow_buf *pool_take_done(struct tow_pool *pool)
{
	struct tow_buf *buf = pool->done;

	if (!buf)
		return NULL;
	pool->done = buf->next;
	if (!pool->done)
		pool->done_tail = &pool->done;
	buf->next = NULL;
	return buf;
}

void pool_drop_chunks(struct tow_buf *buf)
{
	struct tow_pool *pool = buf->pool;
	uint32_t index, next;

	for (index = buf->chunk_first; index != TOW_CHUNK_NONE; index = next) {
		next = pool->chunk_next[index];
		free_chunk(pool, index);
	}
	buf->chunk_first = TOW_CHUNK_NONE;
	buf->chunks = 0;
}

void pool_reclaim(struct tow_buf *buf)
{
	ASSERT(buf->refs == 0);
	pool_drop_chunks(buf);
	free_buf(buf->pool, buf);
}

uint8_t *tow_chunk_take(struct tow_pool *pool)
{
	uint32_t index = pool->chunk_free;

	if (UNLIKELY(index == TOW_CHUNK_NONE)) {
		++*pool->empty_counter;
		return NULL;
	}
	pool->chunk_free = pool->chunk_next[index];
	pool->chunk_next[index] = CHUNK_LOOSE;
	pool->chunks_left--;
	memory_unpoison(chunk_at(pool, index), pool->chunk_bytes);
	return chunk_at(pool, index);
}

void tow_chunk_give(struct tow_pool *pool, uint8_t *chunk)
{
	uint32_t index = chunk_index(pool, chunk);

	ASSERT(pool->chunk_next[index] == CHUNK_LOOSE);
	free_chunk(pool, index);
}

uint32_t tow_chunk_bytes(const struct tow_pool *pool)
{
	return pool->chunk_bytes;
}

void tow_buf_add_chunk(struct tow_buf *buf, uint8_t *chunk, uint32_t bytes)
{
	struct tow_pool *pool = buf->pool;
	uint32_t index = chunk_index(pool, chunk);

	ASSERT(pool->chunk_next[index] == CHUNK_LOOSE);
	ASSERT(bytes <= pool->chunk_bytes);
	pool->chunk_next[index] = buf->chunk_first;
	buf->chunk_first = index;
	buf->chunks++;
	buf_add_span(buf, chunk, bytes);
}
