/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SHM_RING_H
#define SHM_RING_H

/*
 * The memory between two ends of a shm link: what lies where, who writes it,
 * and the only functions that read what the peer wrote.
 *
 * Each end makes two memory files. It alone writes them; the peer has them
 * mapped read only, and they are sealed so that neither end can change that,
 * or their length. So no word has two writers, and an end never looks at its
 * own shared words: what it knows, it keeps in struct shm_ring.
 *
 *	rings of one end                                   its arena
 *	+-------+----------+----------------+----------+   +-----------------+
 *	| words | returned | slots          | copies   |   | the program's   |
 *	+-------+----------+----------------+----------+   +-----------------+
 *	  |       |          |                ^               ^
 *	  |       |          +-- span --------+-- or span ----+
 *	  |       +-- references of the peer's that it may use again
 *	  +-- sent      frames put into the slots
 *	      received  frames taken out of the peer's slots
 *	      returned  references put into the ring beside
 *	      rest      odd: asleep, ring the bell
 *
 * Numbers count up for ever and wrap at 2^32; a ring's index is their low bits.
 *
 * A slot holds a frame: eight bytes that describe it, up to SHM_SPANS spans of
 * payload by reference, then its first bytes, at least the headers. A segment
 * of a byte with its headers and timestamps is one line of the cache.
 *
 *	| head | span | span | … | IP | TCP | a little payload     |
 *
 * A frame with spans has a reference, a number below SHM_REFS that the sender
 * chose. The receiver gives it back through its own ring `returned`, in any
 * order, and only then does the sender touch that memory again.
 *
 * The peer may write anything at any time. Each word is read once, by a
 * volatile or atomic load into a local, and checked there; what came from a
 * slot is used only from the copy.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tow/span.h>
#include "base/base.h"

#define SHM_REFS      4096  /* references that are out, at most */
#define SHM_SPANS     19    /* of payload, in a frame */
#define SHM_HEAD_MAX  240   /* bytes of a frame that may lie in its slot */
#define SHM_FRAME_MAX 65535 /* bytes of a frame: of an IP packet */
#define SHM_CHUNK     4096u
#define SHM_CHUNKS    8192 /* for payload that lies in no arena */
#define SHM_SLOTS_MIN 16
#define SHM_SLOTS_MAX 4096
#define SHM_NO_REF    0xffff
#define SHM_PAGE      4096u

struct shm_words {
	_Atomic uint32_t sent, received, returned, rest;
};

/* How a slot begins. */
struct shm_head {
	uint8_t head_bytes; /* of the frame, behind the spans */
	uint8_t span_count;
	uint8_t flags; /* TOW_BUF_CSUM_PARTIAL or 0 */
	uint8_t csum_start;
	uint8_t csum_offset;
	uint8_t zero;
	uint16_t ref; /* SHM_NO_REF without spans */
};
_Static_assert(sizeof(struct shm_head) == 8, "it is read in one load");

/*
 * Bytes [at, at + bytes) of the sender's copies and arena, which count as if
 * one lay behind the other.
 */
struct shm_span {
	uint64_t at, bytes;
};

#define SHM_SLOT_BYTES 512
struct shm_slot {
	uint64_t word[SHM_SLOT_BYTES / 8];
};

#define SHM_WORDS_AT	 0u
#define SHM_RETURNED_AT	 SHM_PAGE
#define SHM_SLOTS_AT	 (SHM_RETURNED_AT + SHM_REFS * 2)
#define SHM_COPIES_BYTES ((size_t)SHM_CHUNK * SHM_CHUNKS)

static inline size_t shm_copies_at(uint32_t slots)
{
	return SHM_SLOTS_AT + (size_t)slots * SHM_SLOT_BYTES;
}

static inline size_t shm_rings_bytes(uint32_t slots)
{
	return shm_copies_at(slots) + SHM_COPIES_BYTES;
}

static inline bool shm_slots_valid(uint32_t slots)
{
	return slots >= SHM_SLOTS_MIN && slots <= SHM_SLOTS_MAX &&
	       (slots & (slots - 1)) == 0;
}

/* One end's memory, as one of both ends has it mapped. */
struct shm_side {
	uint8_t *rings;	      /* the peer's must not be written */
	const uint8_t *arena; /* NULL: none */
	size_t arena_bytes;
	uint32_t slots;
};

struct shm_ring {
	struct shm_side ours, theirs;
	uint32_t sent, received, returned; /* by us */
	uint32_t published[3];		   /* what our words say of these */
	bool unrung; /* published, and no bell considered */
	uint32_t rest;
	uint32_t their_received;       /* as we know it */
	uint32_t their_returned_taken; /* out of their ring `returned` */
	uint32_t their_rest;	       /* for which the bell was rung */
};

/* A frame as it is put in, and as it is taken out. */
struct shm_frame {
	uint8_t head_bytes, span_count, flags, csum_start, csum_offset;
	uint16_t ref;
	uint32_t bytes; /* head and spans; not used by put */
	struct shm_span spans[SHM_SPANS];
};

enum shm_result {
	SHM_LIE = -1, /* the peer's memory says what cannot be */
	SHM_NONE,
	SHM_SOME,
};

/* Our memory is zero, or made so; the peer's is what it is. */
void shm_ring_init(struct shm_ring *ring, const struct shm_side *ours,
		   const struct shm_side *theirs);

/*
 * Is there a free slot for the next frame? Then shm_ring_slot() is where its
 * head of bytes goes, and shm_ring_put() writes the rest.
 */
enum shm_result shm_ring_room(struct shm_ring *ring);
uint8_t *shm_ring_slot(struct shm_ring *ring, unsigned span_count);
void shm_ring_put(struct shm_ring *ring, const struct shm_frame *frame);

/*
 * The next frame of the peer's, checked: what it says holds, and each span lies
 * within the peer's memory.
 * @head: room for SHM_HEAD_MAX bytes, a multiple of 8; gets the first bytes
 */
enum shm_result shm_ring_take(struct shm_ring *ring, struct shm_frame *frame,
			      uint8_t *head);

/* Where a span of the peer's lies here, after shm_ring_take(). */
const uint8_t *shm_ring_at(const struct shm_ring *ring, uint64_t at);

/* Tell the peer that it has a reference back. */
void shm_ring_return(struct shm_ring *ring, uint16_t ref);

/* The next reference that we have back; whether it was out, only we know. */
enum shm_result shm_ring_returned(struct shm_ring *ring, uint16_t *ref);

/* Show the peer what was put, taken and returned. */
void shm_ring_publish(struct shm_ring *ring);

/*
 * Something was published since the last call, the peer sleeps, and the bell
 * was not rung for that yet.
 */
bool shm_ring_must_ring(struct shm_ring *ring);

/*
 * Say that we sleep from now on. False: there is something to do, so we don't.
 */
bool shm_ring_sleep(struct shm_ring *ring);
void shm_ring_wake(struct shm_ring *ring);

/* Has the peer shown something that was not taken yet? */
bool shm_ring_has_work(const struct shm_ring *ring);

#endif
