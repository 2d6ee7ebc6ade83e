/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SHM_RIG_H
#define SHM_RIG_H

/*
 * A shm device under test, and a peer in the test's hands that does what it
 * likes with its own memory:
 *
 *	device -- rings, arena --> mapped here read only: r.ours
 *	device <-- rings, arena -- written here:          r.theirs
 *	       ---- socket ------- r.fd
 *
 *	shm_rig_open(&r);               the greeting is done
 *	shm_rig_frame(&r, 40, span, 1); a frame with a span, not shown yet
 *	shm_rig_words(&r)->sent = 1;    now it is
 *	CHECK_EQ(shm_rig_rx(&r), 1);
 */
#include <tow/dev.h>
#include <tow/error.h>
#include <tow/shm.h>
#include "buf/pool.h"
#include "dev/shm.h"

#define RIG_ARENA  (64u * 1024)
#define RIG_SLOTS  16u
#define RIG_BUFS   64
#define RIG_CHUNKS 64
#define RIG_CHUNK  2048

struct shm_rig_greeting {
	uint64_t magic;
	uint32_t version;
	uint32_t slots;
	uint64_t arena_bytes;
};

struct shm_rig {
	struct tow_dev *dev;
	struct tow_pool pool;
	struct tow_ledger ledger;
	uint64_t found_empty;
	void *memory;

	int fd; /* the peer's end of the socket */
	int rings_fd, arena_fd;
	uint8_t *rings, *arena; /* the peer's own */
	struct shm_side theirs; /* the device's memory, as the peer maps it */
	uint32_t sent, returned;

	struct tow_buf *got[64]; /* received and not given yet */
	unsigned got_count;
};

/* A device with a peer, or one that has not heard from it yet. */
void shm_rig_open(struct shm_rig *r);
void shm_rig_open_silent(struct shm_rig *r, const struct tow_shm *how);

/* Checks that every buffer and chunk is back; closes both ends. */
void shm_rig_close(struct shm_rig *r);

/* The peer's memory, and its hello. */
void shm_rig_make_memory(struct shm_rig *r, uint32_t slots, size_t arena_bytes);
struct shm_rig_greeting shm_rig_greeting(void);
void shm_rig_greet(struct shm_rig *r, const void *hello, size_t bytes,
		   const int *fds, unsigned count);
int shm_rig_memory(size_t bytes, int seals);
/* What the device said: maps its memory. */
void shm_rig_hear(struct shm_rig *r);

struct shm_words *shm_rig_words(struct shm_rig *r); /* the peer's */
const struct shm_words *
shm_rig_device_words(struct shm_rig *r); /* the device's */

/* Write the next slot of the peer's: @head bytes counting up, and spans. */
struct shm_head *shm_rig_frame(struct shm_rig *r, uint16_t ref,
			       uint8_t head_bytes, const struct shm_span *spans,
			       uint8_t span_count);
void shm_rig_show(struct shm_rig *r);
/* The device's slot number @n. */
const struct shm_head *shm_rig_slot(struct shm_rig *r, uint32_t n);
const struct shm_span *shm_rig_slot_span(struct shm_rig *r, uint32_t n,
					 unsigned i);
const uint8_t *shm_rig_slot_head(struct shm_rig *r, uint32_t n);
const uint8_t *shm_rig_at(struct shm_rig *r, uint64_t at);
/* The peer gives a reference of the device's back; shown at once. */
void shm_rig_return(struct shm_rig *r, uint16_t ref);

/* A poll of the device: rx, keep what came, flush, end loans. */
int shm_rig_rx(struct shm_rig *r);
void shm_rig_flush(struct shm_rig *r);
void shm_rig_end_loans(struct shm_rig *r);
void shm_rig_give(struct shm_rig *r, unsigned i);
void shm_rig_give_all(struct shm_rig *r);

/* A frame to send: @head bytes, then spans. It has a lender. */
struct tow_buf *shm_rig_buf(struct shm_rig *r, uint32_t head_bytes);
int shm_rig_tx(struct shm_rig *r, struct tow_buf *buf);

#endif
