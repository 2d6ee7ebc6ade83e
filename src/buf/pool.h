/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef POOL_H
#define POOL_H

/*
 * Pools: where buffers and chunks come from and go back to.
 *
 * A stack has two, so that received payload nobody reads cannot stop it from
 * sending, nor the other way round. Each holds a number of buffers and of
 * chunks, fixed at open. Free memory is poisoned under ASan.
 *
 * A buffer that was lent payload (buf->lender) is not free when its last
 * reference is given: it goes onto the pool's @done list first, from where
 * the stack takes it to end the loans. So giving a buffer is safe at any
 * depth, in any driver. On transmit the lender is a transport, on receive it
 * is the device whose memory the payload lies in.
 */
#include <tow/buf.h>
#include <tow/ledger.h>
#include "base/base.h"
#include "base/csum.h"
#include "buf/copy.h"

/* In buf->owner_kind: whose lender, loan_first, … a buffer carries. */
enum buf_owner {
	BUF_OWNER_NONE,
	BUF_OWNER_TCP,
	BUF_OWNER_UDP,
	BUF_OWNER_FRAGMENT, /* the lender is the whole, a struct tow_buf */
	BUF_OWNER_DEVICE,   /* received: the lender is a struct tow_dev */
};

struct tow_pool {
	struct tow_buf *bufs_free;
	struct tow_buf *done, **done_tail;
	struct tow_buf *bufs;
	uint8_t *chunks;
	uint32_t *chunk_next; /* by chunk: the next one of the same buffer or of
			       * the free list, TOW_CHUNK_NONE at the end */
	uint32_t chunk_bytes; /* 1 << chunk_shift */
	uint32_t chunk_shift;
	uint32_t chunks_total, chunks_left, chunk_free;
	uint32_t bufs_total, bufs_left;
	uint64_t *empty_counter; /* counts each take that found nothing */
	csum_run *csum;		 /* the fastest for payload on this processor */
};

/* Bytes of memory for pool_init(); 0 if that is more than there can be. */
size_t pool_need(uint32_t bufs, uint32_t chunks, uint32_t chunk_bytes);

/*
 * Lays the pool out in @memory, pool_need() bytes, aligned to chunk_bytes. The
 * pool points into itself: it must not be moved afterwards.
 */
void pool_init(struct tow_pool *pool, void *memory, uint32_t bufs,
	       uint32_t chunks, uint32_t chunk_bytes, uint64_t *empty_counter);

/* Lifts the poison, so that the memory's owner may use it for other things. */
void pool_close(struct tow_pool *pool);

/* The next buffer whose loans must be ended, or NULL; then pool_reclaim(). */
struct tow_buf *pool_take_done(struct tow_pool *pool);
void pool_reclaim(struct tow_buf *buf);

/* Give back the chunks that a buffer owns, but not the buffer. */
void pool_drop_chunks(struct tow_buf *buf);

/*
 * Memory that holding this buffer keeps from others: it, whole chunks, and
 * what a device lent for it.
 */
uint32_t buf_cost(const struct tow_buf *buf);

/*
 * Append payload that lies at @ptr, memory that the buffer does not own. Does
 * nothing for no bytes; the buffer must have a span left.
 */
void buf_add_span(struct tow_buf *buf, const void *ptr, uint32_t bytes);

/* Room in front of spans[0]; the new first byte. NULL if there is none. */
uint8_t *buf_push(struct tow_buf *buf, uint32_t bytes);

/*
 * The frame's first @bytes, contiguous in the room: what overlaps into the
 * payload spans is pulled up. NULL if the frame is shorter, or the room.
 */
uint8_t *buf_pull(struct tow_buf *buf, uint32_t bytes);

/* How many bytes buf_append() has room for. */
uint32_t buf_room(const struct tow_buf *buf);

/*
 * Room for @bytes right behind the last byte, which they then belong to: in
 * the header room, or in the buffer's own chunk. NULL if it is not there.
 */
uint8_t *buf_append(struct tow_buf *buf, uint32_t bytes);

/*
 * Move few bytes into the buffer's room, so that its chunks go back. False:
 * they do not fit, or there are no chunks; then nothing has changed.
 */
bool buf_compact(struct tow_buf *buf, struct ledgers ledgers,
		 enum tow_copy why);

/* Cut bytes off the front or the back; at most all of them. */
void buf_trim_front(struct tow_buf *buf, uint32_t bytes);
void buf_trim_back(struct tow_buf *buf, uint32_t bytes);

/*
 * Placed: in a posted buffer, where the device put it; see placed.c. Of a
 * buffer, any of its bytes from @offset on.
 */
bool buf_span_is_placed(const struct tow_buf *buf, const struct tow_span *span);
bool buf_has_placed(const struct tow_buf *buf, uint64_t offset);

/*
 * Copy what is placed into chunks. False for want of chunks or spans: then the
 * buffer holds the bytes up to there, and should be given.
 */
bool buf_evacuate(struct tow_buf *buf, struct ledgers ledgers,
		  enum tow_copy why);

/* The same bytes lie in these spans now, posted memory; chunks go back. */
void buf_retarget(struct tow_buf *buf, const struct tow_span *spans,
		  unsigned count, uint64_t place);

/* Sum of the frame's bytes from @offset on (not touched: the room's part). */
uint32_t buf_csum(const struct tow_buf *buf, uint32_t offset,
		  uint64_t *touched_bytes);

#endif
