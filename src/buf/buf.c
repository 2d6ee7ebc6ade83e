/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A buffer's bytes: adding, reading, cutting and summing them.
 *
 * What holds for every buffer, and is kept here:
 *
 *  - spans[0] lies in the room, even when it is empty: then it marks the place
 *    in front of which the next header goes;
 *  - bytes is the sum of all spans' lengths;
 *  - spans that were emptied by cutting are taken out of the list. The chunks
 *    behind them stay owned until the buffer is given.
 *
 * Cutting moves no byte. Pulling copies header bytes only, as many as overlap
 * into the payload spans: payload is copied by payload_copy() alone.
 */
#include "base/csum.h"
#include "buf/pool.h"

static const uint8_t *head(const struct tow_buf *buf)
{
	return buf->spans[0].ptr;
}

/* Where spans[0] begins in the room; up to and with TOW_BUF_ROOM. */
static uint32_t head_offset(const struct tow_buf *buf)
{
	ASSERT(head(buf) >= buf->room && head(buf) <= buf->room + TOW_BUF_ROOM);
	return (uint32_t)(head(buf) - buf->room);
}

static bool in_room(const struct tow_buf *buf, const void *p)
{
	return (uintptr_t)p - (uintptr_t)buf->room < TOW_BUF_ROOM;
}

void tow_buf_set_head(struct tow_buf *buf, uint32_t offset, uint32_t bytes)
{
	ASSERT(buf->span_count == 1);
	ASSERT(offset <= TOW_BUF_ROOM && bytes <= TOW_BUF_ROOM - offset);
	buf->spans[0].ptr = buf->room + offset;
	buf->spans[0].len = bytes;
	buf->bytes = bytes;
}

void buf_add_span(struct tow_buf *buf, const void *ptr, uint32_t bytes)
{
	ASSERT(buf->span_count < TOW_BUF_SPANS);
	ASSERT(bytes <= UINT32_MAX - buf->bytes);
	if (bytes == 0)
		return;
	buf->spans[buf->span_count].ptr = ptr;
	buf->spans[buf->span_count].len = bytes;
	buf->span_count++;
	buf->bytes += bytes;
}

void tow_buf_add_placed(struct tow_buf *buf, void *ptr, uint32_t bytes,
			uint64_t place)
{
	ASSERT(place != 0);
	buf->place = place;
	buf_add_span(buf, ptr, bytes);
}

void tow_buf_add_foreign(struct tow_buf *buf, struct tow_dev *dev,
			 const void *ptr, uint32_t bytes)
{
	ASSERT(!buf->lender || buf->lender == dev);
	ASSERT(bytes <= UINT32_MAX - buf->loan_bytes);
	buf->lender = dev;
	buf->owner_kind = BUF_OWNER_DEVICE;
	buf->loan_bytes += bytes;
	buf_add_span(buf, ptr, bytes);
}

size_t tow_buf_read(const struct tow_buf *buf, size_t offset, void *out,
		    size_t bytes)
{
	const struct tow_span *span = buf->spans;
	const struct tow_span *end = span + buf->span_count;
	uint8_t *to = out;
	size_t n, done = 0;

	for (; span < end && done < bytes; span++) {
		if (offset >= span->len) {
			offset -= span->len;
			continue;
		}
		n = MIN(span->len - offset, bytes - done);
		memcpy(to + done, (const uint8_t *)span->ptr + offset, n);
		done += n;
		offset = 0;
	}
	return done;
}

/*
 * On receive loan_bytes is what the device lent. A frame that is on its way to
 * ourselves has it too, set by the transport that counts it already.
 */
uint32_t buf_cost(const struct tow_buf *buf)
{
	uint32_t lent =
		buf->owner_kind == BUF_OWNER_DEVICE ? buf->loan_bytes : 0;

	return (uint32_t)sizeof(*buf) + buf->chunks * buf->pool->chunk_bytes +
	       lent;
}

uint8_t *buf_push(struct tow_buf *buf, uint32_t bytes)
{
	uint32_t offset = head_offset(buf);

	if (bytes > offset)
		return NULL;
	buf->spans[0].ptr = buf->room + offset - bytes;
	buf->spans[0].len += bytes;
	buf->bytes += bytes;
	return buf->room + offset - bytes;
}

/* Free bytes behind a span, if it lies in the buffer's own memory. */
static size_t room_behind(const struct tow_buf *buf,
			  const struct tow_span *span)
{
	const struct tow_pool *pool = buf->pool;
	uintptr_t at = (uintptr_t)span->ptr - (uintptr_t)pool->chunks;
	size_t mask = pool->chunk_bytes - 1;

	if (span == buf->spans)
		return TOW_BUF_ROOM - head_offset(buf) - span->len;
	if (buf->chunks == 0 || at >= (uintptr_t)pool->chunks_total
						<< pool->chunk_shift)
		return 0; /* lent */
	return pool->chunk_bytes - ((at + span->len - 1) & mask) - 1;
}

uint32_t buf_room(const struct tow_buf *buf)
{
	return (uint32_t)room_behind(buf, &buf->spans[buf->span_count - 1]);
}

uint8_t *buf_append(struct tow_buf *buf, uint32_t bytes)
{
	struct tow_span *last = &buf->spans[buf->span_count - 1];
	size_t before = last->len;

	if (bytes > room_behind(buf, last))
		return NULL;
	last->len += bytes;
	buf->bytes += bytes;
	return (uint8_t *)(uintptr_t)last->ptr + before;
}

bool buf_compact(struct tow_buf *buf, struct ledgers ledgers, enum tow_copy why)
{
	struct tow_span *head = &buf->spans[0];
	uint8_t *to = (uint8_t *)(uintptr_t)head->ptr + head->len;

	ASSERT(buf->refs == 1);
	if (buf->chunks == 0 || buf->bytes - head->len > room_behind(buf, head))
		return false;
	for (unsigned i = 1; i < buf->span_count; i++) {
		payload_copy(ledgers, why, to, buf->spans[i].ptr,
			     buf->spans[i].len);
		to += buf->spans[i].len;
	}
	buf->span_count = 1;
	head->len = buf->bytes;
	pool_drop_chunks(buf);
	return true;
}

/* Cut @bytes off the front of the spans above the first. */
static void trim_payload_front(struct tow_buf *buf, size_t bytes)
{
	struct tow_span *first = &buf->spans[1];
	unsigned gone = 0, i;

	while (bytes > 0 && bytes >= first[gone].len) {
		ASSERT(gone + 1u < buf->span_count);
		bytes -= first[gone++].len;
	}
	if (bytes > 0) {
		ASSERT(gone + 1u < buf->span_count);
		first[gone].ptr = (const uint8_t *)first[gone].ptr + bytes;
		first[gone].len -= bytes;
	}
	if (gone == 0)
		return;
	buf->span_count = (uint8_t)(buf->span_count - gone);
	for (i = 1; i < buf->span_count; i++)
		buf->spans[i] = buf->spans[i + gone];
}

uint8_t *buf_pull(struct tow_buf *buf, uint32_t bytes)
{
	uint8_t *room = buf->room + head_offset(buf);
	size_t have = buf->spans[0].len;
	size_t n, missing;
	unsigned i;

	if (LIKELY(bytes <= have))
		return room;
	if (bytes > buf->bytes || bytes > TOW_BUF_ROOM - head_offset(buf))
		return NULL;

	missing = bytes - have;
	for (i = 1; missing > 0; i++, missing -= n, have += n) {
		n = MIN(buf->spans[i].len, missing);
		memmove(room + have, buf->spans[i].ptr, n);
	}
	trim_payload_front(buf, bytes - buf->spans[0].len);
	buf->spans[0].len = bytes;
	return room;
}

void buf_trim_front(struct tow_buf *buf, uint32_t bytes)
{
	size_t n = MIN(buf->spans[0].len, bytes);

	ASSERT(bytes <= buf->bytes);
	buf->bytes -= bytes;
	buf->spans[0].ptr = head(buf) + n;
	buf->spans[0].len -= n;
	trim_payload_front(buf, bytes - n);
}

void buf_trim_back(struct tow_buf *buf, uint32_t bytes)
{
	struct tow_span *last = &buf->spans[buf->span_count - 1];
	size_t left = bytes;

	ASSERT(bytes <= buf->bytes);
	buf->bytes -= bytes;
	while (last > buf->spans && left >= last->len) {
		left -= last->len;
		last--;
	}
	last->len -= left;
	buf->span_count = (uint8_t)(last - buf->spans + 1);
}

static uint32_t sum_span(const struct tow_pool *pool, const uint8_t *p,
			 size_t bytes)
{
	if (bytes < CSUM_SHORT)
		return csum_bytes(0, p, bytes);
	return pool->csum(0, p, bytes);
}

uint32_t buf_csum(const struct tow_buf *buf, uint32_t offset,
		  uint64_t *touched_bytes)
{
	const struct tow_span *span = buf->spans;
	const struct tow_span *end = span + buf->span_count;
	uint32_t sum = 0, piece;
	bool odd = false;
	const uint8_t *p;
	size_t n;

	for (; span < end; span++) {
		if (offset >= span->len) {
			offset -= (uint32_t)span->len;
			continue;
		}
		p = (const uint8_t *)span->ptr + offset;
		n = span->len - offset;
		offset = 0;

		piece = sum_span(buf->pool, p, n);
		sum = odd ? csum_add_odd(sum, piece) : csum_add(sum, piece);
		odd ^= n & 1;
		if (!in_room(buf, p))
			*touched_bytes += n;
	}
	return sum;
}
