/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a slot to a frame for the stack.
 *
 *	slot   | head | span | span | IP | TCP |
 *	                 |      |     '---------'--> room      copied once
 *	                 |      '------------------> spans[2]  the peer's memory
 *	                 '-------------------------> spans[1]
 *
 * The reference goes back when the stack has no use for the buffer any more;
 * at once if the payload was copied, because too much of the sender's was held
 * here, or if the pool is so dry that there is only a spare buffer: then the
 * payload is cut off, and only what lies in the slot gets through.
 */
#include <string.h>
#include "buf/copy.h"
#include "dev/shm.h"

#define ROOM_AT 16 /* where the frame lies in the room: IP is aligned */
_Static_assert(ROOM_AT + SHM_HEAD_MAX <= TOW_BUF_ROOM && SHM_HEAD_MAX % 8 == 0,
	       "a slot's bytes fit into the room");

/* Of the sender's, that may be held here before we copy. */
#define HELD_REFS_MAX	(SHM_REFS / 2)
#define HELD_CHUNKS_MAX (SHM_CHUNKS / 2)

/* What goes with a buffer that lies in the peer's memory. */
static uint64_t pack(uint16_t ref, uint32_t chunks)
{
	return (uint64_t)chunks << 16 | ref;
}

static void refill_spares(struct shm *s)
{
	while (s->spares < SHM_SPARES) {
		struct tow_buf *buf = tow_buf_take(s->dev.pool);

		if (!buf)
			break;
		s->spare[s->spares++] = buf;
	}
}

void shm_give_spares(struct shm *s)
{
	while (s->spares)
		tow_buf_give(s->spare[--s->spares]);
}

static bool mark_held(struct shm_peer *peer, uint16_t ref)
{
	uint64_t bit = UINT64_C(1) << ref % 64;

	if (peer->is_held[ref / 64] & bit)
		return false;
	peer->is_held[ref / 64] |= bit;
	return true;
}

/* How many of the sender's chunks for copies a frame keeps. */
static uint32_t chunks_kept(const struct shm_frame *frame)
{
	uint64_t last_chunk = UINT64_MAX;
	uint32_t chunks = 0;

	for (unsigned i = 0; i < frame->span_count; i++) {
		const struct shm_span *span = &frame->spans[i];
		uint64_t first = span->at / SHM_CHUNK;
		uint64_t last = (span->at + span->bytes - 1) / SHM_CHUNK;

		if (span->at >= SHM_COPIES_BYTES)
			continue;
		chunks += (uint32_t)(last - first) + (first != last_chunk);
		last_chunk = last;
	}
	return chunks;
}

/* The payload stays where it is. What it costs is whole chunks. */
static void point_at(struct shm *s, struct tow_buf *buf,
		     const struct shm_frame *frame, uint32_t chunks)
{
	struct shm_peer *peer = s->peer;
	uint32_t copied = 0;

	for (unsigned i = 0; i < frame->span_count; i++) {
		const struct shm_span *span = &frame->spans[i];

		tow_buf_add_foreign(buf, &s->dev,
				    shm_ring_at(&peer->ring, span->at),
				    (uint32_t)span->bytes);
		if (span->at < SHM_COPIES_BYTES)
			copied += (uint32_t)span->bytes;
	}
	if (chunks * SHM_CHUNK > copied)
		buf->loan_bytes += chunks * SHM_CHUNK - copied;
	buf->loan_first = peer;
	buf->loan_start = pack(frame->ref, chunks);
	peer->held++;
	peer->held_chunks += chunks;
}

/* Chunks for so many bytes, all or none. Returns how many. */
static unsigned take_chunks(struct shm *s, uint8_t **chunks, uint32_t bytes)
{
	uint32_t each = tow_chunk_bytes(s->dev.pool);
	unsigned wanted = (bytes + each - 1) / each, n = 0;

	if (wanted > TOW_BUF_SPANS - 1)
		return 0;
	for (; n < wanted; n++) {
		chunks[n] = tow_chunk_take(s->dev.pool);
		if (chunks[n])
			continue;
		while (n > 0)
			tow_chunk_give(s->dev.pool, chunks[--n]);
		return 0;
	}
	return n;
}

/* The payload moves into chunks of our own. False: there are none. */
static bool copy_out(struct shm *s, struct tow_buf *buf,
		     const struct shm_frame *frame)
{
	struct ledgers ledgers = { .stack = s->dev.ledger };
	uint32_t each = tow_chunk_bytes(s->dev.pool), filled = 0;
	uint8_t *chunks[TOW_BUF_SPANS];
	unsigned n = 0;

	if (!take_chunks(s, chunks, frame->bytes - frame->head_bytes))
		return false;
	for (unsigned i = 0; i < frame->span_count; i++) {
		const uint8_t *from =
			shm_ring_at(&s->peer->ring, frame->spans[i].at);
		uint32_t left = (uint32_t)frame->spans[i].bytes;

		while (left > 0) {
			uint32_t bytes = MIN(left, each - filled);

			payload_copy(ledgers, TOW_COPY_RX_BUDGET,
				     chunks[n] + filled, from, bytes);
			from += bytes;
			left -= bytes;
			filled += bytes;
			if (filled < each)
				continue;
			tow_buf_add_chunk(buf, chunks[n++], filled);
			filled = 0;
		}
	}
	if (filled)
		tow_buf_add_chunk(buf, chunks[n], filled);
	return true;
}

static bool too_much_is_held(const struct shm_peer *peer, uint32_t chunks)
{
	return peer->held >= HELD_REFS_MAX ||
	       peer->held_chunks + chunks > HELD_CHUNKS_MAX;
}

/* Returns: false when the reference is out already. */
static bool attach(struct shm *s, struct tow_buf *buf,
		   const struct shm_frame *frame, bool dry)
{
	struct shm_peer *peer = s->peer;
	uint32_t chunks = chunks_kept(frame);

	if (!mark_held(peer, frame->ref))
		return false;
	if (UNLIKELY(dry)) {
		buf->flags |= TOW_BUF_TRUNCATED;
	} else if (LIKELY(!too_much_is_held(peer, chunks)) ||
		   !copy_out(s, buf, frame)) {
		point_at(s, buf, frame, chunks);
		return true;
	}
	peer->is_held[frame->ref / 64] &= ~(UINT64_C(1) << frame->ref % 64);
	shm_ring_return(&peer->ring, frame->ref);
	return true;
}

/* The next frame, into *out. */
static enum shm_result receive_one(struct shm *s, struct tow_buf **out)
{
	struct tow_buf *buf = s->spare[s->spares - 1];
	bool dry = s->spares < SHM_SPARES;
	struct shm_frame frame;
	enum shm_result result =
		shm_ring_take(&s->peer->ring, &frame, buf->room + ROOM_AT);

	if (result != SHM_SOME)
		return result;
	tow_buf_set_head(buf, ROOM_AT, frame.head_bytes);
	if (frame.span_count && !attach(s, buf, &frame, dry))
		return SHM_LIE; /* the buffer is still a spare */
	if (frame.flags) {
		buf->flags |= frame.flags;
		buf->csum_start = frame.csum_start;
		buf->csum_offset = frame.csum_offset;
	}
	s->spares--;
	*out = buf;
	return SHM_SOME;
}

/* Returns: how many frames, of those before a lie. */
int shm_receive(struct shm *s, struct tow_buf **bufs, unsigned n)
{
	enum shm_result result;
	unsigned got = 0;

	s->starved = false;
	while (got < n && !s->lied) {
		refill_spares(s);
		if (!s->spares) {
			s->starved = shm_ring_has_work(&s->peer->ring);
			break;
		}
		result = receive_one(s, &bufs[got]);
		s->lied = result == SHM_LIE;
		if (result != SHM_SOME)
			break;
		got++;
	}
	return (int)got;
}

void shm_returned(struct tow_dev *dev, struct tow_buf *buf)
{
	struct shm *s = shm_of(dev);
	struct shm_peer *peer = buf->loan_first, **at;
	uint16_t ref = (uint16_t)buf->loan_start;

	peer->held--;
	peer->held_chunks -= (uint32_t)(buf->loan_start >> 16);
	peer->is_held[ref / 64] &= ~(UINT64_C(1) << ref % 64);
	if (!peer->over) {
		shm_ring_return(&peer->ring, ref);
		shm_show(s);
		return;
	}
	if (peer->held)
		return;
	for (at = &s->over; *at != peer; at = &(*at)->next)
		;
	*at = peer->next;
	shm_peer_free(peer);
}
