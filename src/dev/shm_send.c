/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a frame of the stack to a slot; and what is out, until it comes back.
 *
 *	spans[0]  headers    -> the slot
 *	spans[1]  in arena   -> a span                   the buffer is held
 *	spans[2]  elsewhere  -> copied to a chunk, span  the chunk is held
 *
 * A frame that is small and has nothing in the arena lies in its slot whole; it
 * has no reference. A frame of which there would be more spans than a slot has
 * room for, beside its headers, is copied whole.
 */
#include <string.h>
#include "buf/copy.h"
#include "dev/shm.h"

/* Copied whole, any frame fits: so many spans at most, and the longest head. */
#define COPIED_SPANS (SHM_FRAME_MAX / SHM_CHUNK + 1)
_Static_assert(sizeof(struct shm_head) +
			       COPIED_SPANS * sizeof(struct shm_span) +
			       SHM_HEAD_MAX <=
		       SHM_SLOT_BYTES,
	       "a frame that is copied whole fits into a slot");

void shm_send_init(struct shm *s)
{
	for (unsigned i = 0; i < SHM_REFS; i++)
		s->refs[i] = (struct shm_ref){
			.first_chunk = SHM_NO_REF,
			.next = i + 1 < SHM_REFS ? (uint16_t)(i + 1)
						 : SHM_NO_REF,
		};
	for (unsigned i = 0; i < SHM_CHUNKS; i++)
		s->chunk_next[i] =
			i + 1 < SHM_CHUNKS ? (uint16_t)(i + 1) : SHM_NO_REF;
	s->ref_free = s->chunk_free = 0;
	s->chunks_left = SHM_CHUNKS;
}

/* -------------------------------------------------------------- what is out */

static void release(struct shm *s, uint16_t number)
{
	struct shm_ref *ref = &s->refs[number];

	while (ref->first_chunk != SHM_NO_REF) {
		uint16_t chunk = ref->first_chunk;

		ref->first_chunk = s->chunk_next[chunk];
		s->chunk_next[chunk] = s->chunk_free;
		s->chunk_free = chunk;
		s->chunks_left++;
	}
	if (ref->buf)
		tow_buf_give(ref->buf);
	ref->buf = NULL;
	ref->out = false;
	ref->next = s->ref_free;
	s->ref_free = number;
}

bool shm_reap(struct shm *s)
{
	enum shm_result result;
	uint16_t number;

	for (;;) {
		result = shm_ring_returned(&s->peer->ring, &number);
		if (result != SHM_SOME)
			return result == SHM_NONE;
		if (!s->refs[number].out)
			return false; /* twice, or never sent */
		release(s, number);
		s->worked = true;
	}
}

void shm_give_all(struct shm *s)
{
	for (unsigned i = 0; i < SHM_REFS; i++)
		if (s->refs[i].out)
			release(s, (uint16_t)i);
}

/* ---------------------------------------------------------------- one frame */

/* How a frame goes over. */
struct plan {
	uint32_t head; /* bytes of spans[0] that lie in the slot */
	uint32_t payload, outside;
	unsigned spans; /* at most */
	bool whole;	/* in the slot */
	bool copy_all;
};

static bool is_inside(const struct shm *s, const struct tow_span *span)
{
	uintptr_t arena = (uintptr_t)s->dev.arena.ptr;
	uintptr_t at = (uintptr_t)span->ptr;

	return at >= arena && at - arena < s->dev.arena.len &&
	       span->len <= s->dev.arena.len - (at - arena);
}

static uint32_t chunks_for(uint32_t bytes)
{
	return (bytes + SHM_CHUNK - 1) / SHM_CHUNK;
}

static bool fits_slot(const struct plan *plan)
{
	size_t bytes = sizeof(struct shm_head) +
		       plan->spans * sizeof(struct shm_span) + plan->head;

	return plan->spans <= SHM_SPANS && bytes <= SHM_SLOT_BYTES;
}

static struct plan make_plan(const struct shm *s, const struct tow_buf *buf)
{
	struct plan plan = { 0 };

	plan.head = (uint32_t)MIN(buf->spans[0].len, (size_t)SHM_HEAD_MAX);
	plan.payload = buf->bytes - plan.head;
	plan.outside = plan.payload;
	for (unsigned i = 1; i < buf->span_count; i++) {
		if (is_inside(s, &buf->spans[i]))
			plan.outside -= (uint32_t)buf->spans[i].len;
	}
	plan.whole = plan.outside == plan.payload && buf->bytes <= SHM_HEAD_MAX;
	plan.spans = buf->span_count + chunks_for(plan.outside);
	if (!plan.whole && !fits_slot(&plan)) {
		plan.copy_all = true;
		plan.outside = plan.payload;
	}
	return plan;
}

static void copy(struct shm *s, void *out, const void *from, size_t bytes)
{
	payload_copy((struct ledgers){ .stack = s->dev.ledger },
		     TOW_COPY_TX_SHAPE, out, from, bytes);
}

/* Spans that follow each other are one, but not across the two memories. */
static void add_span(struct shm_frame *frame, uint64_t at, uint64_t bytes)
{
	if (frame->span_count && at != SHM_COPIES_BYTES) {
		struct shm_span *last = &frame->spans[frame->span_count - 1];

		if (last->at + last->bytes == at) {
			last->bytes += bytes;
			return;
		}
	}
	ASSERT(frame->span_count < SHM_SPANS);
	frame->spans[frame->span_count++] = (struct shm_span){ at, bytes };
}

/* Where copies of one frame go; chunks are taken as they fill. */
struct copies {
	struct shm_ref *ref;
	uint32_t room; /* left in the chunk that was taken last */
};

static uint64_t place_copy(struct shm *s, struct copies *to, uint32_t *bytes)
{
	uint16_t chunk;

	if (to->room == 0) {
		chunk = s->chunk_free;
		ASSERT(chunk != SHM_NO_REF);
		s->chunk_free = s->chunk_next[chunk];
		s->chunks_left--;
		s->chunk_next[chunk] = to->ref->first_chunk;
		to->ref->first_chunk = chunk;
		to->room = SHM_CHUNK;
	}
	*bytes = MIN(*bytes, to->room);
	to->room -= *bytes;
	return (uint64_t)to->ref->first_chunk * SHM_CHUNK + SHM_CHUNK -
	       to->room - *bytes;
}

static void copy_span(struct shm *s, struct copies *to, struct shm_frame *frame,
		      const uint8_t *from, uint32_t left)
{
	uint8_t *base = s->rings.base + shm_copies_at(s->how.ring_frames);

	while (left > 0) {
		uint32_t bytes = left;
		uint64_t at = place_copy(s, to, &bytes);

		copy(s, base + at, from, bytes);
		add_span(frame, at, bytes);
		from += bytes;
		left -= bytes;
	}
}

static void describe(struct shm_frame *frame, const struct tow_buf *buf,
		     uint32_t head)
{
	*frame = (struct shm_frame){ .head_bytes = (uint8_t)head,
				     .ref = SHM_NO_REF };
	if (!(buf->flags & TOW_BUF_CSUM_PARTIAL))
		return;
	frame->flags = TOW_BUF_CSUM_PARTIAL;
	frame->csum_start = (uint8_t)buf->csum_start;
	frame->csum_offset = (uint8_t)buf->csum_offset;
}

/* All of it in the slot. */
static void send_whole(struct shm *s, struct tow_buf *buf)
{
	struct shm_ring *ring = &s->peer->ring;
	uint8_t *out = shm_ring_slot(ring, 0);
	struct shm_frame frame;

	describe(&frame, buf, buf->bytes);
	memcpy(out, buf->spans[0].ptr, buf->spans[0].len);
	out += buf->spans[0].len;
	for (unsigned i = 1; i < buf->span_count; i++) {
		copy(s, out, buf->spans[i].ptr, buf->spans[i].len);
		out += buf->spans[i].len;
	}
	shm_ring_put(ring, &frame);
	tow_buf_give(buf);
}

static void send_spans(struct shm *s, struct tow_buf *buf,
		       const struct plan *plan)
{
	struct shm_ring *ring = &s->peer->ring;
	uint16_t number = s->ref_free;
	struct shm_ref *ref = &s->refs[number];
	struct copies copies = { .ref = ref };
	const uint8_t *head = buf->spans[0].ptr;
	struct shm_frame frame;

	describe(&frame, buf, plan->head);
	frame.ref = number;
	copy_span(s, &copies, &frame, head + plan->head,
		  (uint32_t)buf->spans[0].len - plan->head);
	for (unsigned i = 1; i < buf->span_count; i++) {
		const struct tow_span *span = &buf->spans[i];
		const uint8_t *arena = s->dev.arena.ptr;

		if (!plan->copy_all && is_inside(s, span)) {
			add_span(&frame,
				 SHM_COPIES_BYTES +
					 (uint64_t)((const uint8_t *)span->ptr -
						    arena),
				 span->len);
			ref->buf = buf;
		} else {
			copy_span(s, &copies, &frame, span->ptr,
				  (uint32_t)span->len);
		}
	}
	s->ref_free = ref->next;
	ref->out = true;
	memcpy(shm_ring_slot(ring, frame.span_count), head, plan->head);
	shm_ring_put(ring, &frame);
	if (!ref->buf)
		tow_buf_give(buf);
}

static bool has_room(const struct shm *s, const struct plan *plan)
{
	return plan->whole || (s->ref_free != SHM_NO_REF &&
			       s->chunks_left >= chunks_for(plan->outside));
}

/* Bytes that nobody could take are lost, and the peer would call it a lie. */
static bool is_sound(const struct tow_buf *buf)
{
	uint32_t csum_end = buf->csum_start + buf->csum_offset + 2u;

	if (buf->bytes > SHM_FRAME_MAX || buf->spans[0].len == 0)
		return false;
	return !(buf->flags & TOW_BUF_CSUM_PARTIAL) ||
	       (csum_end <= buf->spans[0].len && csum_end <= SHM_HEAD_MAX);
}

/* Takes the buffer if the result is SHM_SOME. */
static enum shm_result send_one(struct shm *s, struct tow_buf *buf)
{
	enum shm_result room = shm_ring_room(&s->peer->ring);
	struct plan plan;

	if (room != SHM_SOME)
		return room;
	if (!is_sound(buf)) {
		s->dev.tx_lost++;
		tow_buf_give(buf);
		return SHM_SOME;
	}
	plan = make_plan(s, buf);
	if (UNLIKELY(!has_room(s, &plan))) {
		if (!shm_reap(s))
			return SHM_LIE;
		if (!has_room(s, &plan))
			return SHM_NONE;
	}
	if (plan.whole)
		send_whole(s, buf);
	else
		send_spans(s, buf, &plan);
	return SHM_SOME;
}

/* Returns: how many were taken, until a lie was found. */
int shm_send(struct shm *s, struct tow_buf *const *bufs, unsigned n)
{
	enum shm_result result;
	unsigned sent;

	for (sent = 0; sent < n; sent++) {
		result = send_one(s, bufs[sent]);
		s->lied = result == SHM_LIE;
		if (result != SHM_SOME)
			break;
	}
	shm_ring_publish(&s->peer->ring);
	return (int)sent;
}
