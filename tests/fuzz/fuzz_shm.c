/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shm device against memory that a hostile peer writes: any bytes at any
 * time, in between what an honest one would do. The script's bytes say what
 * happens: rubbish into the words, slots and rings; frames that are nearly
 * right; polls, sends, gives, returns; the peer's end.
 *
 * The peer's memory is on the heap, so that AddressSanitizer sees a byte too
 * far. Whatever happens, each received span lies where it may, and in the end
 * every buffer and chunk is back.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "buf/pool.h"
#include "dev/shm.h"

#define SLOTS	    16u
#define ARENA_BYTES 65536u
#define BUFS	    64u
#define CHUNKS	    64u
#define CHUNK_BYTES 2048u
#define HELD	    32u
#define OUT_BYTES   65536u

static struct {
	const uint8_t *at, *end; /* of the script */
	struct shm *s;
	struct tow_pool pool;
	struct tow_ledger ledger;
	uint64_t found_empty;
	uint8_t *rings, *arena; /* the peer's */
	void *memory;		/* the pool's */
	int fd;			/* the peer's */
	uint32_t sent, returned;
	struct tow_buf *held[HELD];
	unsigned held_count;
	uint8_t seen; /* of received bytes, so that they are read */
} scene;

static uint8_t outside[OUT_BYTES];
static int lender;

static uint8_t take8(void)
{
	return scene.at < scene.end ? *scene.at++ : 0;
}

static uint32_t take32(void)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < 4; i++)
		value = value << 8 | take8();
	return value;
}

/* A number near one that matters, or any. */
static uint64_t take_number(uint64_t near)
{
	switch (take8() & 3) {
	case 0:
		return near;
	case 1:
		return near + (uint64_t)(int64_t)(int8_t)take8();
	case 2:
		return take32();
	default:
		return (uint64_t)take32() << 32 | take32();
	}
}

/* ---------------------------------------------------------------- the scene */

static void open_scene(void)
{
	struct tow_shm how;
	struct shm_side ours, theirs;
	struct shm_peer *peer = calloc(1, sizeof(*peer));
	int fds[2], error;

	tow_shm_default(&how);
	how.arena_bytes = ARENA_BYTES;
	how.ring_frames = SLOTS;
	error = shm_new(&scene.s, &how);
	ASSERT(!error && peer);
	error = shm_file_make(&scene.s->rings, "fuzz", shm_rings_bytes(SLOTS));
	ASSERT(!error);
	error = socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds);
	ASSERT(!error);
	scene.s->link.fd = fds[0];
	scene.fd = fds[1];
	scene.s->dev.pool = &scene.pool;
	scene.s->dev.ledger = &scene.ledger;
	memset(scene.rings, 0, shm_copies_at(SLOTS));

	ours = (struct shm_side){ scene.s->rings.base, scene.s->arena.base,
				  ARENA_BYTES, SLOTS };
	theirs = (struct shm_side){ scene.rings, scene.arena, ARENA_BYTES,
				    SLOTS };
	shm_ring_init(&peer->ring, &ours, &theirs);
	shm_begin(scene.s, peer);
	scene.sent = scene.returned = scene.held_count = 0;
}

static void end_loans(void)
{
	struct tow_buf *buf;

	while ((buf = pool_take_done(&scene.pool))) {
		if (buf->owner_kind == BUF_OWNER_DEVICE)
			scene.s->dev.ops->returned(&scene.s->dev, buf);
		pool_reclaim(buf);
	}
}

static void give(unsigned i)
{
	tow_buf_give(scene.held[i]);
	scene.held[i] = scene.held[--scene.held_count];
	end_loans();
}

static void close_scene(void)
{
	struct tow_buf *buf;

	while (scene.held_count)
		give(0);
	end_loans();
	scene.s->dev.ops->close(&scene.s->dev);
	while ((buf = pool_take_done(&scene.pool))) {
		ASSERT(buf->owner_kind == BUF_OWNER_TCP);
		pool_reclaim(buf);
	}
	if (scene.fd >= 0)
		close(scene.fd);
	ASSERT(scene.pool.bufs_left == BUFS);
	ASSERT(scene.pool.chunks_left == CHUNKS);
}

/* ---------------------------------------------------------------- the judge */

static bool within(const void *p, size_t bytes, const void *base, size_t all)
{
	uintptr_t at = (uintptr_t)p - (uintptr_t)base;

	return at < all && bytes <= all - at;
}

static void judge(const struct tow_buf *buf)
{
	uint32_t bytes = 0;

	for (unsigned i = 0; i < buf->span_count; i++) {
		const struct tow_span *span = &buf->spans[i];
		const uint8_t *p = span->ptr;

		ASSERT(span->len > 0);
		if (i == 0)
			ASSERT(within(p, span->len, buf->room, TOW_BUF_ROOM));
		else if (buf->owner_kind == BUF_OWNER_DEVICE)
			ASSERT(within(p, span->len,
				      scene.rings + shm_copies_at(SLOTS),
				      SHM_COPIES_BYTES) ||
			       within(p, span->len, scene.arena, ARENA_BYTES));
		else
			ASSERT(within(p, span->len, scene.pool.chunks,
				      CHUNKS * CHUNK_BYTES));
		scene.seen ^= p[0] ^ p[span->len - 1];
		bytes += (uint32_t)span->len;
	}
	ASSERT(bytes == buf->bytes && bytes <= SHM_FRAME_MAX);
	ASSERT(!(buf->flags & ~(TOW_BUF_CSUM_PARTIAL | TOW_BUF_TRUNCATED)));
	ASSERT(!(buf->flags & TOW_BUF_CSUM_PARTIAL) ||
	       buf->csum_start + buf->csum_offset + 2u <= buf->spans[0].len);
	ASSERT(buf_cost(buf) >= buf->bytes - buf->spans[0].len);
}

/* ---------------------------------------------------------------- the hands */

static void receive(void)
{
	unsigned room = HELD - scene.held_count;
	int n = scene.s->dev.ops->rx(&scene.s->dev,
				     scene.held + scene.held_count, room);

	ASSERT(n == TOW_ENETDOWN || (n >= 0 && (unsigned)n <= room));
	for (int i = 0; i < n; i++)
		judge(scene.held[scene.held_count++]);
}

static void transmit(void)
{
	struct tow_buf *buf = tow_buf_take(&scene.pool);
	uint8_t head = take8(), spans = take8() % 20;
	int n;

	if (!buf)
		return;
	tow_buf_set_head(buf, 0, head);
	buf->lender = &lender;
	buf->owner_kind = BUF_OWNER_TCP;
	if (take8() & 1) {
		buf->flags = TOW_BUF_CSUM_PARTIAL;
		buf->csum_start = take8();
		buf->csum_offset = take8();
	}
	while (spans-- > 0) {
		uint32_t how = take32();
		uint32_t at = how % OUT_BYTES, bytes = how >> 20;

		bytes = MIN(bytes, OUT_BYTES - at);
		buf_add_span(buf,
			     how & 1 << 16 ? scene.s->arena.base + at
					   : outside + at,
			     bytes);
	}
	n = scene.s->dev.ops->tx(&scene.s->dev, &buf, 1);
	ASSERT(n == TOW_ENETDOWN || n == 0 || n == 1);
	if (n != 1)
		tow_buf_give(buf);
}

/* A frame as an honest peer would make it, but for what the script changes. */
static void put_frame(void)
{
	uint8_t *slot = scene.rings + SHM_SLOTS_AT +
			scene.sent % SLOTS * SHM_SLOT_BYTES;
	struct shm_head head = { .head_bytes = 40 };
	uint8_t what = take8();

	head.span_count = (uint8_t)(what % 20);
	head.ref = head.span_count ? (uint16_t)(take8() % 64) : SHM_NO_REF;
	if (what & 0x80)
		head.head_bytes = take8();
	if (what & 0x40) {
		head.flags = take8();
		head.csum_start = take8();
		head.csum_offset = take8();
	}
	if (what & 0x20)
		head.ref = (uint16_t)take_number(SHM_REFS);
	memcpy(slot, &head, sizeof(head));
	for (unsigned i = 0; i < head.span_count; i++) {
		bool in_arena = take8() & 1;
		struct shm_span span;

		span.at = take_number(in_arena ? SHM_COPIES_BYTES + ARENA_BYTES
					       : SHM_COPIES_BYTES);
		span.bytes = take_number(100);
		if (in_arena && !(what & 0x10)) {
			span.at = SHM_COPIES_BYTES + span.at % 60000;
			span.bytes = 1 + span.bytes % 2000;
		}
		memcpy(slot + sizeof(head) + i * sizeof(span), &span,
		       sizeof(span));
	}
	scene.sent++;
	atomic_store((_Atomic uint32_t *)(void *)scene.rings, scene.sent);
}

/* The oldest reference of ours that is out, or any number. */
static void put_return(void)
{
	uint16_t *ring = (void *)(scene.rings + SHM_RETURNED_AT);
	uint16_t ref = take8();

	for (unsigned i = 0; i < 256; i++, ref = (ref + 1) % 256)
		if (scene.s->refs[ref].out)
			break;
	if (take8() == 1)
		ref = (uint16_t)take_number(SHM_REFS);
	ring[scene.returned++ % SHM_REFS] = ref;
	atomic_store((_Atomic uint32_t *)(void *)(scene.rings + 8),
		     scene.returned);
}

static void scribble(void)
{
	size_t all = shm_copies_at(SLOTS) - 8;
	size_t at = take8() & 1 ? take8() % 16 : take32() % all;
	uint64_t value = take_number(SHM_COPIES_BYTES);

	memcpy(scene.rings + at, &value, 1 + take8() % 8);
}

static void act(void)
{
	struct tow_dev *dev = &scene.s->dev;
	uint8_t what = take8();

	switch (what % 10) {
	case 0:
		scribble();
		break;
	case 1:
		put_frame();
		break;
	case 2:
		receive();
		break;
	case 3:
		if (scene.held_count)
			give(what / 10u % scene.held_count);
		break;
	case 4:
		transmit();
		break;
	case 5:
		dev->ops->flush(dev);
		end_loans();
		break;
	case 6:
		put_return();
		break;
	case 7:
		dev->now_us += UINT64_C(1) << what / 10;
		break;
	case 8: /* it took what we sent; or says something else */
		atomic_store((_Atomic uint32_t *)(void *)(scene.rings + 4),
			     scene.s->peer ? (uint32_t)take_number(
						     scene.s->peer->ring.sent)
					   : 0);
		break;
	case 9:
		if (what > 240 && scene.fd >= 0) {
			close(scene.fd);
			scene.fd = -1;
		} else if (scene.fd >= 0) {
			(void)!send(scene.fd, "", 1, MSG_DONTWAIT);
		}
		break;
	}
}

static bool open_memory(void)
{
	size_t need = pool_need(BUFS, CHUNKS, CHUNK_BYTES);

	need = (need + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES;
	scene.rings = calloc(1, shm_rings_bytes(SLOTS));
	scene.arena = calloc(1, ARENA_BYTES);
	scene.memory = aligned_alloc(CHUNK_BYTES, need);
	if (!scene.rings || !scene.arena || !scene.memory)
		return false;
	pool_init(&scene.pool, scene.memory, BUFS, CHUNKS, CHUNK_BYTES,
		  &scene.found_empty);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (!scene.memory && !open_memory())
		return 0;
	scene.at = data;
	scene.end = data + bytes;
	open_scene();
	while (scene.at < scene.end)
		act();
	close_scene();
	return 0;
}
