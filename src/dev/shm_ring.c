/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings in memory that is shared with a peer who may lie; see shm_ring.h.
 */
#include "dev/shm_ring.h"
#include <string.h>
#include <tow/buf.h>

enum { SENT, RECEIVED, RETURNED };

static struct shm_words *words(const struct shm_side *side)
{
	return (struct shm_words *)(void *)(side->rings + SHM_WORDS_AT);
}

static _Atomic uint16_t *returned_of(const struct shm_side *side, uint32_t n)
{
	_Atomic uint16_t *ring = (void *)(side->rings + SHM_RETURNED_AT);

	return &ring[n & (SHM_REFS - 1)];
}

static uint8_t *slot_of(const struct shm_side *side, uint32_t n)
{
	return side->rings + SHM_SLOTS_AT +
	       (size_t)(n & (side->slots - 1)) * SHM_SLOT_BYTES;
}

static uint32_t load(const _Atomic uint32_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

/* One load, whatever the compiler thinks of it. */
static uint64_t load8(const uint8_t *at)
{
	return *(const volatile uint64_t *)(const void *)at;
}

void shm_ring_init(struct shm_ring *ring, const struct shm_side *ours,
		   const struct shm_side *theirs)
{
	ASSERT(shm_slots_valid(ours->slots) && shm_slots_valid(theirs->slots));
	memset(ring, 0, sizeof(*ring));
	ring->ours = *ours;
	ring->theirs = *theirs;
}

/* ------------------------------------------------------------------- frames */

enum shm_result shm_ring_room(struct shm_ring *ring)
{
	uint32_t waiting, received;

	if (LIKELY(ring->sent - ring->their_received < ring->ours.slots))
		return SHM_SOME;
	received = load(&words(&ring->theirs)->received);
	waiting = ring->sent - received;
	if (waiting > ring->ours.slots)
		return SHM_LIE;
	ring->their_received = received;
	return waiting < ring->ours.slots ? SHM_SOME : SHM_NONE;
}

uint8_t *shm_ring_slot(struct shm_ring *ring, unsigned span_count)
{
	return slot_of(&ring->ours, ring->sent) + sizeof(struct shm_head) +
	       span_count * sizeof(struct shm_span);
}

void shm_ring_put(struct shm_ring *ring, const struct shm_frame *frame)
{
	uint8_t *slot = slot_of(&ring->ours, ring->sent);
	struct shm_head head = {
		.head_bytes = frame->head_bytes,
		.span_count = frame->span_count,
		.flags = frame->flags,
		.csum_start = frame->csum_start,
		.csum_offset = frame->csum_offset,
		.ref = frame->ref,
	};

	memcpy(slot, &head, sizeof(head));
	memcpy(slot + sizeof(head), frame->spans,
	       frame->span_count * sizeof(frame->spans[0]));
	ring->sent++;
}

/* Does the head make sense by itself? */
static bool check_head(const struct shm_head *head)
{
	size_t bytes = sizeof(*head) +
		       head->span_count * sizeof(struct shm_span) +
		       head->head_bytes;
	uint32_t csum_end = head->csum_start + head->csum_offset + 2u;

	if (head->span_count > SHM_SPANS || head->head_bytes > SHM_HEAD_MAX ||
	    bytes > SHM_SLOT_BYTES || head->head_bytes == 0)
		return false;
	if (head->flags & ~TOW_BUF_CSUM_PARTIAL)
		return false;
	if (head->flags && csum_end > head->head_bytes)
		return false;
	return head->span_count ? head->ref < SHM_REFS
				: head->ref == SHM_NO_REF;
}

static bool check_span(const struct shm_side *theirs,
		       const struct shm_span *span)
{
	uint64_t start = span->at, end = SHM_COPIES_BYTES;

	if (start >= SHM_COPIES_BYTES)
		end += theirs->arena_bytes;
	return span->bytes > 0 && start < end && span->bytes <= end - start;
}

static bool take_spans(const struct shm_ring *ring, struct shm_frame *frame,
		       const uint8_t *from)
{
	for (unsigned i = 0; i < frame->span_count; i++) {
		struct shm_span *span = &frame->spans[i];

		span->at = load8(from + i * sizeof(*span));
		span->bytes = load8(from + i * sizeof(*span) + 8);
		if (!check_span(&ring->theirs, span) ||
		    span->bytes > SHM_FRAME_MAX - frame->bytes)
			return false;
		frame->bytes += (uint32_t)span->bytes;
	}
	return true;
}

static void take_bytes(uint8_t *out, const uint8_t *from, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i += 8) {
		uint64_t word = load8(from + i);

		memcpy(out + i, &word, sizeof(word));
	}
}

enum shm_result shm_ring_take(struct shm_ring *ring, struct shm_frame *frame,
			      uint8_t *head_out)
{
	uint32_t waiting = load(&words(&ring->theirs)->sent) - ring->received;
	const uint8_t *slot = slot_of(&ring->theirs, ring->received);
	struct shm_head head;
	uint64_t word;

	if (waiting == 0)
		return SHM_NONE;
	if (waiting > ring->theirs.slots)
		return SHM_LIE;
	word = load8(slot);
	memcpy(&head, &word, sizeof(head));
	if (!check_head(&head))
		return SHM_LIE;
	frame->head_bytes = head.head_bytes;
	frame->span_count = head.span_count;
	frame->flags = head.flags;
	frame->csum_start = head.csum_start;
	frame->csum_offset = head.csum_offset;
	frame->ref = head.ref;
	frame->bytes = head.head_bytes;
	slot += sizeof(head);
	if (!take_spans(ring, frame, slot))
		return SHM_LIE;
	slot += head.span_count * sizeof(struct shm_span);
	take_bytes(head_out, slot, head.head_bytes);
	ring->received++;
	return SHM_SOME;
}

const uint8_t *shm_ring_at(const struct shm_ring *ring, uint64_t at)
{
	const struct shm_side *theirs = &ring->theirs;

	if (at < SHM_COPIES_BYTES)
		return theirs->rings + shm_copies_at(theirs->slots) + at;
	return theirs->arena + (at - SHM_COPIES_BYTES);
}

/* --------------------------------------------------------------- references */

/*
 * The ring has room for every reference there is, and each is in it once at
 * most as long as the peer keeps to what it was told. If not, it loses its own.
 */
void shm_ring_return(struct shm_ring *ring, uint16_t ref)
{
	atomic_store_explicit(returned_of(&ring->ours, ring->returned), ref,
			      memory_order_relaxed);
	ring->returned++;
}

enum shm_result shm_ring_returned(struct shm_ring *ring, uint16_t *ref)
{
	uint32_t waiting = load(&words(&ring->theirs)->returned) -
			   ring->their_returned_taken;
	const _Atomic uint16_t *at =
		returned_of(&ring->theirs, ring->their_returned_taken);

	if (waiting == 0)
		return SHM_NONE;
	if (waiting > SHM_REFS)
		return SHM_LIE;
	*ref = atomic_load_explicit(at, memory_order_relaxed);
	if (*ref >= SHM_REFS)
		return SHM_LIE;
	ring->their_returned_taken++;
	return SHM_SOME;
}

/* -------------------------------------------------------------- who may see */

static void show(struct shm_ring *ring, _Atomic uint32_t *word, unsigned which,
		 uint32_t value)
{
	if (ring->published[which] == value)
		return;
	ring->published[which] = value;
	ring->unrung = true;
	atomic_store_explicit(word, value, memory_order_release);
}

void shm_ring_publish(struct shm_ring *ring)
{
	struct shm_words *ours = words(&ring->ours);

	show(ring, &ours->received, RECEIVED, ring->received);
	show(ring, &ours->returned, RETURNED, ring->returned);
	show(ring, &ours->sent, SENT, ring->sent);
}

/*
 * The fence pairs with the one in shm_ring_sleep(): either the sleeper sees
 * what was published before, or we see that it sleeps.
 */
bool shm_ring_must_ring(struct shm_ring *ring)
{
	uint32_t rest;

	if (!ring->unrung)
		return false;
	ring->unrung = false;
	atomic_thread_fence(memory_order_seq_cst);
	rest = load(&words(&ring->theirs)->rest);
	if (rest % 2 == 0 || rest == ring->their_rest)
		return false;
	ring->their_rest = rest;
	return true;
}

bool shm_ring_has_work(const struct shm_ring *ring)
{
	const struct shm_words *theirs = words(&ring->theirs);
	bool full = ring->sent - ring->their_received >= ring->ours.slots;

	return load(&theirs->sent) != ring->received ||
	       load(&theirs->returned) != ring->their_returned_taken ||
	       (full && load(&theirs->received) != ring->their_received);
}

bool shm_ring_sleep(struct shm_ring *ring)
{
	ASSERT(ring->rest % 2 == 0);
	atomic_store_explicit(&words(&ring->ours)->rest, ++ring->rest,
			      memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (!shm_ring_has_work(ring))
		return true;
	shm_ring_wake(ring);
	return false;
}

void shm_ring_wake(struct shm_ring *ring)
{
	ASSERT(ring->rest % 2 == 1);
	atomic_store_explicit(&words(&ring->ours)->rest, ++ring->rest,
			      memory_order_relaxed);
}
