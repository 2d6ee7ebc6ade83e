/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_BUF_H
#define TOW_BUF_H

#include <stdbool.h>
#include <stdint.h>
#include <tow/mark.h>
#include <tow/span.h>

/*
 * Buffer: one frame on its way through the stack.
 *
 * A buffer owns header room; its frame is a list of spans. The first span is
 * the headers, in the room. The others are payload, wherever that lies: in
 * the application's memory (a loan), or in chunks that the buffer owns.
 *
 *      struct tow_buf
 *     +--------------------+
 *     | spans[0] ----------+--> room: |   free   | eth | ip | tcp |
 *     | spans[1] ----------+--> application memory, page cache, chunk ...
 *     | spans[2] ----------+--> ...
 *     | chunks             |    given back together with the buffer
 *     +--------------------+
 *
 * On transmit the stack writes the headers and points the payload spans at
 * loans; a driver gathers the spans to the wire. On receive a driver reads a
 * frame so that its first TOW_BUF_HEADERS bytes or so land in the room and
 * the rest in chunks. Where exactly it splits does not matter for being right:
 * payload bytes that land in the room become a span that points there, and
 * headers that run over into a chunk are pulled up.
 *
 * Owner: take gives a buffer with one reference; each ref needs a give of its
 * own; the last give returns the buffer and its chunks to the pool, and tells
 * whoever lent the payload that no device refers to it any more.
 *
 * Threads: all buffers of a pool belong to the thread that polls its stack.
 */
#define TOW_BUF_SPANS	20  /* headers, 64 KiB in 4 KiB chunks, slack */
#define TOW_BUF_ROOM	256 /* bytes of header room */
#define TOW_BUF_HEADERS 128 /* most header bytes of a frame that we send */
#define TOW_CHUNK_NONE	UINT32_MAX

enum tow_buf_flag {
	/*
	 * tx: the transport checksum field holds the sum of the pseudo header;
	 *     the device finishes it from csum_start on.
	 * rx: the same, from a sender on this machine: the bytes never were on
	 *     a wire that could have damaged them; they count as verified.
	 */
	TOW_BUF_CSUM_PARTIAL = 1 << 0,
	/* rx: the device verified the transport checksum */
	TOW_BUF_CSUM_OK = 1 << 1,
	/* rx: the frame did not fit; the rest of its payload is lost */
	TOW_BUF_TRUNCATED = 1 << 2,
	/* rx: the device took it for what its placement hint foresaw */
	TOW_BUF_FORESEEN = 1 << 3,
};

/* Large segments: what the device has to cut (tx) or has merged (rx). */
enum tow_gso {
	TOW_GSO_NONE,
	TOW_GSO_TCP4,
	TOW_GSO_TCP6,
	TOW_GSO_UDP, /* USO: every datagram gso_bytes long, the last may be less
		      */
};

struct tow_dev;
struct tow_pool;
struct tow_loan_ref;

struct tow_buf {
	struct tow_buf *next; /* whoever owns the buffer may queue it by this */
	struct tow_pool *pool;
	uint32_t refs;
	uint32_t bytes;	      /* of all spans together */
	uint32_t chunk_first; /* TOW_CHUNK_NONE: owns no chunk */
	uint16_t chunks;
	uint8_t span_count;
	uint8_t flags; /* enum tow_buf_flag */
	uint8_t gso;   /* enum tow_gso */
	uint8_t owner_kind;
	uint16_t gso_bytes;    /* payload per packet on the wire */
	uint16_t header_bytes; /* tx: Ethernet to transport, all headers */
	uint16_t csum_start;   /* from the start of the frame */
	uint16_t csum_offset;  /* of the checksum field, from csum_start */
	uint16_t link;	       /* rx: number of the interface it came in by */
	int error; /* tx: TOW_E*, why it will not be sent; 0: it may be */

	/*
	 * rx: the hint under which the device wrote some of its bytes into a
	 * posted buffer (struct tow_place); 0: none.
	 */
	uint64_t place;

	/*
	 * Who is told when the buffer is given back. Only who set it may look:
	 * tx, the transport; rx, the driver by tow_buf_add_foreign(), which
	 * may keep what it likes in loan_first and loan_start.
	 */
	void *lender;
	void *loan_first;
	uint64_t loan_start;
	uint32_t loan_bytes;

	uint64_t notes[6]; /* rx: of the layer that holds the buffer now */

	struct tow_span spans[TOW_BUF_SPANS];
	uint8_t room[TOW_BUF_ROOM];
};

TOW_BEGIN
/*
 * tow_buf_take() - an empty buffer
 *
 * spans[0] is empty and lies TOW_BUF_HEADERS bytes into the room, so that
 * headers can be put in front of it.
 *
 * Owns:    the caller, until its tow_buf_give().
 * Returns: NULL when the pool is used up; that was counted.
 * Cost:    O(1), no allocation.
 */
TOW_API struct tow_buf *tow_buf_take(struct tow_pool *pool) TOW_MUST_USE;

/* One more holder of the same buffer; it needs its own tow_buf_give(). */
TOW_API struct tow_buf *tow_buf_ref(struct tow_buf *buf);

/* One holder less. Cannot fail. */
TOW_API void tow_buf_give(struct tow_buf *buf);

/*
 * tow_chunk_take() - memory for received payload
 *
 * Every chunk of a pool is tow_chunk_bytes() long, a power of two, aligned to
 * it, and lies in the memory region given at tow_open().
 *
 * Owns:    the caller, until tow_chunk_give() or tow_buf_add_chunk().
 * Returns: NULL when the pool is used up.
 */
TOW_API uint8_t *tow_chunk_take(struct tow_pool *pool) TOW_MUST_USE;
TOW_API void tow_chunk_give(struct tow_pool *pool, uint8_t *chunk);
TOW_API uint32_t tow_chunk_bytes(const struct tow_pool *pool);

/*
 * tow_buf_add_chunk() - append received bytes that lie in a chunk
 * @chunk: from tow_chunk_take() of the same pool
 * @bytes: how many of its first bytes belong to the frame
 *
 * Owns:    takes the chunk.
 * The buffer must have a span left: at most TOW_BUF_SPANS - 1 chunks.
 */
TOW_API void tow_buf_add_chunk(struct tow_buf *buf, uint8_t *chunk,
			       uint32_t bytes);

/*
 * tow_buf_add_placed() - append received bytes that lie in a posted buffer
 * @ptr:   where the device put them, inside a span of the hint
 * @place: the hint's token, not 0
 *
 * Owns:    nothing changes: the memory is the application's, with the stack.
 * The buffer must have a span left.
 */
TOW_API void tow_buf_add_placed(struct tow_buf *buf, void *ptr, uint32_t bytes,
				uint64_t place);

/*
 * tow_buf_add_foreign() - append received bytes that lie in the device's memory
 * @dev: the driver's own, whose operation `returned` is called for the buffer
 *       after its last tow_buf_give()
 * @ptr: memory that stays as it is and readable until then
 *
 * Owns:    the device lends the memory. It counts against receive windows and
 *          limits like memory of the pool.
 * The buffer must have a span left, and all that is foreign in it is of one
 * device.
 */
TOW_API void tow_buf_add_foreign(struct tow_buf *buf, struct tow_dev *dev,
				 const void *ptr, uint32_t bytes);

/*
 * tow_buf_set_head() - say that the frame's first bytes lie in the room
 * @offset, @bytes: where in buf->room; offset + bytes <= TOW_BUF_ROOM
 *
 * Must come before the first chunk.
 */
TOW_API void tow_buf_set_head(struct tow_buf *buf, uint32_t offset,
			      uint32_t bytes);

/*
 * tow_buf_read() - gather bytes of a frame into plain memory
 *
 * For drivers and wrappers that need a linear frame (a capture file, a device
 * without scatter/gather). Not for payload on its way to an application.
 *
 * Returns: how many bytes, less than @bytes only at the frame's end.
 */
TOW_API size_t tow_buf_read(const struct tow_buf *buf, size_t offset, void *out,
			    size_t bytes);
TOW_END

#endif
