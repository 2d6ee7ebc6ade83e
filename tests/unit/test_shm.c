/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shm device: how frames cross, what is lent and until when, and how it
 * waits. What a hostile peer does is in test_shm_lies.c.
 */
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "shm_rig.h"
#include "test.h"

static struct shm_rig r;

static struct shm_span arena_span(uint64_t at, uint64_t bytes)
{
	return (struct shm_span){ SHM_COPIES_BYTES + at, bytes };
}

/* ------------------------------------------------------------------ receive */

TEST(a_frame_without_payload_comes_in_the_header_room)
{
	struct shm_head *head;

	shm_rig_open(&r);
	head = shm_rig_frame(&r, SHM_NO_REF, 52, NULL, 0);
	head->flags = TOW_BUF_CSUM_PARTIAL;
	head->csum_start = 20;
	head->csum_offset = 16;
	CHECK_EQ(shm_rig_rx(&r), 0); /* not shown yet */
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	CHECK_EQ(r.got[0]->bytes, 52);
	CHECK_EQ(r.got[0]->span_count, 1);
	CHECK_EQ(((const uint8_t *)r.got[0]->spans[0].ptr)[51], 52);
	CHECK_EQ((uintptr_t)r.got[0]->spans[0].ptr % 4, 0);
	CHECK_EQ(r.got[0]->flags, TOW_BUF_CSUM_PARTIAL);
	CHECK_EQ(r.got[0]->csum_start, 20);
	CHECK_EQ(r.got[0]->csum_offset, 16);
	CHECK(r.got[0]->lender == NULL);
	shm_rig_flush(&r);
	CHECK_EQ(shm_rig_device_words(&r)->received, 1);
	shm_rig_close(&r);
}

TEST(payload_by_reference_is_not_copied_and_goes_back_once)
{
	struct shm_span spans[] = { arena_span(5000, 3000), arena_span(9, 1) };
	uint8_t out[3001];

	shm_rig_open(&r);
	shm_rig_frame(&r, 77, 40, spans, 2);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	CHECK_EQ(r.got[0]->bytes, 3041);
	CHECK_EQ(tow_buf_read(r.got[0], 40, out, sizeof(out)), 3001);
	CHECK_MEM(out, r.arena + 5000, 3000);
	CHECK_EQ(out[3000], r.arena[9]);
	r.arena[9] ^= 0xff; /* it is the peer's own memory */
	tow_buf_read(r.got[0], 3040, out, 1);
	CHECK_EQ(out[0], r.arena[9]);
	CHECK_EQ(buf_cost(r.got[0]), sizeof(struct tow_buf) + 3001);
	CHECK_EQ(r.pool.chunks_left, RIG_CHUNKS);

	shm_rig_flush(&r);
	CHECK_EQ(shm_rig_device_words(&r)->returned, 0);
	shm_rig_give(&r, 0);
	shm_rig_end_loans(&r);
	CHECK_EQ(shm_rig_device_words(&r)->returned, 1);
	CHECK_EQ(((uint16_t *)(void *)(r.theirs.rings + SHM_RETURNED_AT))[0],
		 77);
	shm_rig_frame(&r, 77, 40, spans, 2); /* the number may be used again */
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	shm_rig_close(&r);
}

TEST(copies_of_the_senders_cost_whole_chunks)
{
	struct shm_span spans[] = { { 100, 50 },
				    { 150, 1 },
				    { 3 * SHM_CHUNK - 10, 20 } };

	shm_rig_open(&r);
	shm_rig_frame(&r, 0, 40, spans, 3);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	CHECK_EQ(r.got[0]->bytes, 40 + 71);
	CHECK_EQ(buf_cost(r.got[0]), sizeof(struct tow_buf) + 3 * SHM_CHUNK);
	CHECK_EQ(shm_of(r.dev)->peer->held_chunks, 3);
	shm_rig_give(&r, 0);
	shm_rig_end_loans(&r);
	CHECK_EQ(shm_of(r.dev)->peer->held_chunks, 0);
	shm_rig_close(&r);
}

/* The ring goes round many times. */
TEST(slots_are_used_again_when_they_were_taken)
{
	shm_rig_open(&r);
	for (unsigned i = 0; i < 10; i++) {
		for (unsigned j = 0; j < RIG_SLOTS; j++)
			shm_rig_frame(&r, SHM_NO_REF, (uint8_t)(20 + i + j),
				      NULL, 0);
		shm_rig_show(&r);
		CHECK_EQ(shm_rig_rx(&r), RIG_SLOTS);
		for (unsigned j = 0; j < RIG_SLOTS; j++)
			CHECK_EQ(r.got[j]->bytes, 20 + i + j);
		shm_rig_give_all(&r);
	}
	shm_rig_close(&r);
}

/* One slow program must not stop the peer's other connections. */
TEST(when_half_of_the_senders_memory_is_held_the_rest_is_copied)
{
	struct shm_span span = { 0, 16 * SHM_CHUNK };
	struct shm_peer *peer;
	uint8_t out[5000];

	shm_rig_open(&r);
	peer = shm_of(r.dev)->peer;
	peer->held_chunks = SHM_CHUNKS / 2 - 16;
	span.at = 64 * SHM_CHUNK;
	span.bytes = 16 * SHM_CHUNK - 40 - 1;
	shm_rig_frame(&r, 1, 40, &span, 1);
	span.bytes = 5000;
	for (unsigned i = 0; i < 5000; i++)
		r.rings[shm_copies_at(RIG_SLOTS) + span.at + i] = (uint8_t)i;
	shm_rig_frame(&r, 2, 40, &span, 1);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 2);
	CHECK_EQ(r.ledger.copied_bytes[TOW_COPY_RX_BUDGET], 5000);
	CHECK_EQ(r.got[1]->chunks, 3);
	CHECK(r.got[1]->lender == NULL);
	CHECK_EQ(tow_buf_read(r.got[1], 40, out, sizeof(out)), 5000);
	CHECK_MEM(out, r.rings + shm_copies_at(RIG_SLOTS) + span.at, 5000);
	shm_rig_flush(&r);
	CHECK_EQ(shm_rig_device_words(&r)->returned, 1);

	peer->held_chunks = 0;
	peer->held = SHM_REFS / 2;
	span = arena_span(0, 3000);
	shm_rig_frame(&r, 3, 40, &span, 1);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	CHECK_EQ(r.ledger.copied_bytes[TOW_COPY_RX_BUDGET], 8000);
	peer->held = 1;
	peer->held_chunks = 16;
	shm_rig_close(&r);
}

/* An acknowledgement gets through when there is no buffer but the spares. */
TEST(a_dry_pool_receives_what_lies_in_slots)
{
	struct shm_span span = arena_span(0, 3000);
	struct tow_buf *taken[RIG_BUFS];
	unsigned n = 0;

	shm_rig_open(&r); /* the spares are taken */
	while ((taken[n] = tow_buf_take(&r.pool)))
		n++;
	shm_rig_frame(&r, SHM_NO_REF, 40, NULL, 0);
	shm_rig_frame(&r, 1, 40, &span, 1);
	shm_rig_frame(&r, SHM_NO_REF, 41, NULL, 0);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 3);
	CHECK_EQ(r.got[0]->flags, 0);
	CHECK_EQ(r.got[1]->flags, TOW_BUF_TRUNCATED);
	CHECK_EQ(r.got[1]->bytes, 40);
	CHECK_EQ(r.got[2]->bytes, 41);
	shm_rig_flush(&r);
	CHECK_EQ(shm_rig_device_words(&r)->returned, 1); /* at once */

	for (unsigned i = 0; i < SHM_SPARES; i++)
		shm_rig_frame(&r, SHM_NO_REF, 40, NULL, 0);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), SHM_SPARES - 3);
	CHECK_EQ(shm_rig_rx(&r),
		 0);	   /* the rest waits, and is not asked for in */
	shm_rig_flush(&r); /* a loop */
	shm_rig_flush(&r);
	CHECK_GT(r.dev->next_us, r.dev->now_us);
	while (n > 0)
		tow_buf_give(taken[--n]);
	CHECK_EQ(shm_rig_rx(&r), 3);
	shm_rig_close(&r);
}

/* ----------------------------------------------------------------- transmit */

static uint8_t outside[65536];

static void fill_outside(void)
{
	for (unsigned i = 0; i < sizeof(outside); i++)
		outside[i] = (uint8_t)(i * 13 + i / 256);
}

/* What the frame in the device's slot @n says, in one piece. */
static uint32_t read_slot(uint32_t n, uint8_t *out)
{
	const struct shm_head *head = shm_rig_slot(&r, n);
	uint32_t bytes = head->head_bytes;

	memcpy(out, shm_rig_slot_head(&r, n), bytes);
	for (unsigned i = 0; i < head->span_count; i++) {
		const struct shm_span *span = shm_rig_slot_span(&r, n, i);

		memcpy(out + bytes, shm_rig_at(&r, span->at), span->bytes);
		bytes += (uint32_t)span->bytes;
	}
	return bytes;
}

/* The slot holds the buffer's bytes; @buf must still be there. */
static void check_slot(uint32_t n, const struct tow_buf *buf)
{
	static uint8_t a[70000], b[70000];
	uint32_t bytes = (uint32_t)tow_buf_read(buf, 0, a, sizeof(a));

	CHECK_EQ(bytes, buf->bytes);
	CHECK_EQ(read_slot(n, b), bytes);
	CHECK_MEM(a, b, bytes);
}

static bool is_back(struct tow_buf *buf)
{
	return pool_take_done(&r.pool) == buf;
}

TEST(a_small_frame_lies_in_its_slot_and_is_back_at_once)
{
	struct tow_buf *buf;

	fill_outside();
	shm_rig_open(&r);
	buf = tow_buf_ref(shm_rig_buf(&r, 52));
	buf->flags = TOW_BUF_CSUM_PARTIAL;
	buf->csum_start = 20;
	buf->csum_offset = 16;
	buf_add_span(buf, outside + 3, 100);
	CHECK_EQ(shm_rig_tx(&r, buf), 1);
	CHECK_EQ(buf->refs, 1);
	CHECK_EQ(shm_rig_device_words(&r)->sent, 1);
	CHECK_EQ(shm_rig_slot(&r, 0)->ref, SHM_NO_REF);
	CHECK_EQ(shm_rig_slot(&r, 0)->flags, TOW_BUF_CSUM_PARTIAL);
	CHECK_EQ(shm_rig_slot(&r, 0)->csum_start, 20);
	CHECK_EQ(shm_rig_slot(&r, 0)->csum_offset, 16);
	check_slot(0, buf);
	CHECK_EQ(r.ledger.copied_bytes[TOW_COPY_TX_SHAPE], 100);
	tow_buf_give(buf);
	shm_rig_close(&r);
}

TEST(payload_in_the_arena_is_held_until_the_peer_returns_it)
{
	struct tow_buf *buf;
	uint8_t *arena;
	size_t bytes;

	shm_rig_open(&r);
	arena = tow_shm_arena(r.dev, &bytes);
	CHECK_EQ(bytes, RIG_ARENA);
	CHECK_EQ((uintptr_t)arena % 4096, 0);
	memset(arena, 7, bytes);
	buf = shm_rig_buf(&r, 52);
	buf_add_span(buf, arena + 5, 1); /* however small */
	buf_add_span(buf, arena + 100, RIG_ARENA - 100 - 2000);
	CHECK_EQ(shm_rig_tx(&r, buf), 1);
	CHECK_EQ(shm_rig_slot(&r, 0)->span_count, 2);
	CHECK_EQ(shm_rig_slot_span(&r, 0, 0)->at, SHM_COPIES_BYTES + 5);
	check_slot(0, buf);
	CHECK_EQ(r.ledger.copied_bytes[TOW_COPY_TX_SHAPE], 0);
	shm_rig_flush(&r);
	CHECK_EQ(buf->refs, 1);
	shm_rig_return(&r, shm_rig_slot(&r, 0)->ref);
	r.dev->ops->flush(r.dev);
	CHECK(is_back(buf));
	pool_reclaim(buf);
	shm_rig_close(&r);
}

TEST(payload_elsewhere_is_copied_and_only_the_copy_is_out)
{
	struct tow_buf *buf;
	uint32_t left;

	fill_outside();
	shm_rig_open(&r);
	left = shm_of(r.dev)->chunks_left;
	buf = tow_buf_ref(shm_rig_buf(&r, 52));
	buf_add_span(buf, outside, 10000);
	buf_add_span(buf, outside + 20000, 5000);
	CHECK_EQ(shm_rig_tx(&r, buf), 1);
	CHECK_EQ(buf->refs, 1);
	check_slot(0, buf);
	CHECK_EQ(r.ledger.copied_bytes[TOW_COPY_TX_SHAPE], 15000);
	CHECK_EQ(shm_of(r.dev)->chunks_left, left - 4);
	shm_rig_return(&r, shm_rig_slot(&r, 0)->ref);
	shm_rig_flush(&r);
	CHECK_EQ(shm_of(r.dev)->chunks_left, left);
	tow_buf_give(buf);
	shm_rig_close(&r);
}

TEST(a_frame_may_mix_arena_and_other_memory)
{
	struct tow_buf *buf;
	uint8_t *arena;
	size_t bytes;

	fill_outside();
	shm_rig_open(&r);
	arena = tow_shm_arena(r.dev, &bytes);
	for (unsigned i = 0; i < bytes; i++)
		arena[i] = (uint8_t)(i * 3);
	buf = shm_rig_buf(&r, 52);
	buf_add_span(buf, outside, 1000);
	buf_add_span(buf, arena, 2000);
	buf_add_span(buf, outside + 1000, 9000);
	buf_add_span(buf, arena + bytes - 1, 1);
	CHECK_EQ(shm_rig_tx(&r, buf), 1);
	check_slot(0, buf);
	CHECK_EQ(r.ledger.copied_bytes[TOW_COPY_TX_SHAPE], 10000);
	CHECK_EQ(buf->refs, 1);
	shm_rig_return(&r, shm_rig_slot(&r, 0)->ref);
	shm_rig_flush(&r);
	shm_rig_close(&r);
}

/* A span that only begins or ends in the arena is no span of it. */
TEST(what_reaches_over_the_arenas_edge_is_copied)
{
	struct tow_buf *buf;
	uint8_t *arena;
	size_t bytes;

	shm_rig_open(&r);
	arena = tow_shm_arena(r.dev, &bytes);
	r.dev->arena.len -= 4096; /* as if it ended there */
	buf = tow_buf_ref(shm_rig_buf(&r, 52));
	buf_add_span(buf, arena + bytes - 4096 - 100, 400);
	CHECK_EQ(shm_rig_tx(&r, buf), 1);
	CHECK_EQ(r.ledger.copied_bytes[TOW_COPY_TX_SHAPE], 400);
	check_slot(0, buf);
	tow_buf_give(buf);
	shm_rig_close(&r);
}

TEST(a_frame_of_too_many_pieces_is_copied_whole)
{
	struct tow_buf *buf;
	uint8_t *arena;
	size_t bytes;

	fill_outside();
	shm_rig_open(&r);
	arena = tow_shm_arena(r.dev, &bytes);
	memset(arena, 9, bytes);
	buf = tow_buf_ref(shm_rig_buf(&r, 52));
	for (unsigned i = 0; i < 19; i++)
		buf_add_span(buf, (i % 2 ? arena : outside) + i * 3400, 3300);
	CHECK_EQ(shm_rig_tx(&r, buf), 1);
	check_slot(0, buf);
	CHECK_EQ(r.ledger.copied_bytes[TOW_COPY_TX_SHAPE], 19 * 3300);
	CHECK_EQ(buf->refs, 1);
	tow_buf_give(buf);
	shm_rig_close(&r);
}

/* The longest head leaves room for fewer spans than a slot has otherwise. */
TEST(long_headers_and_many_spans_stay_within_their_slot)
{
	const struct shm_head *head;
	struct tow_buf *buf;
	uint8_t *arena;
	size_t bytes;

	shm_rig_open(&r);
	arena = tow_shm_arena(r.dev, &bytes);
	memset(arena, 9, bytes);
	for (unsigned spans = 14; spans < TOW_BUF_SPANS; spans++) {
		buf = shm_rig_buf(&r, SHM_HEAD_MAX);
		for (unsigned i = 0; i < spans; i++)
			buf_add_span(buf, arena + i * 3000, 2000);
		CHECK_EQ(shm_rig_tx(&r, tow_buf_ref(buf)), 1);
		head = shm_rig_slot(&r, spans - 14);
		CHECK_LE(sizeof(*head) +
				 head->span_count * sizeof(struct shm_span) +
				 head->head_bytes,
			 SHM_SLOT_BYTES);
		check_slot(spans - 14, buf);
		tow_buf_give(buf);
	}
	shm_rig_close(&r);
}

/* An echo answers in the buffer that the request came in by. */
TEST(headers_that_fill_the_room_are_sent_all_the_same)
{
	struct tow_buf *buf;

	shm_rig_open(&r);
	buf = tow_buf_ref(shm_rig_buf(&r, TOW_BUF_ROOM));
	CHECK_EQ(shm_rig_tx(&r, buf), 1);
	check_slot(0, buf);
	tow_buf_give(buf);
	shm_rig_close(&r);
}

TEST(a_full_ring_takes_no_more_until_the_peer_took_some)
{
	struct tow_buf *buf;

	shm_rig_open(&r);
	for (unsigned i = 0; i < RIG_SLOTS; i++)
		CHECK_EQ(shm_rig_tx(&r, shm_rig_buf(&r, 52)), 1);
	shm_rig_end_loans(&r);
	buf = shm_rig_buf(&r, 52);
	CHECK_EQ(shm_rig_tx(&r, buf), 0);
	shm_rig_words(&r)->received = 1;
	CHECK_EQ(shm_rig_tx(&r, buf), 1);
	shm_rig_close(&r);
}

TEST(without_chunks_for_copies_a_frame_waits)
{
	struct tow_buf *buf;
	unsigned sent = 0;

	shm_rig_open(&r);
	shm_of(r.dev)->chunks_left = 20; /* as if the others were out */
	for (;; sent++) {
		buf = shm_rig_buf(&r, 52);
		buf_add_span(buf, outside, 30000);
		if (shm_rig_tx(&r, buf) == 0)
			break;
	}
	CHECK_EQ(sent, 2);
	shm_rig_return(&r, shm_rig_slot(&r, 0)->ref);
	CHECK_EQ(shm_rig_tx(&r, buf), 1); /* it looks for what came back */
	shm_rig_end_loans(&r);
	shm_rig_close(&r);
}

/* ------------------------------------------------------------------ waiting */

static bool is_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Poll until the device says that it sleeps. */
static void fall_asleep(void)
{
	for (unsigned i = 0; i < 1000; i++) {
		r.dev->now_us += 10;
		CHECK_EQ(shm_rig_rx(&r), 0);
		shm_rig_flush(&r);
		if (r.dev->next_us == UINT64_MAX)
			break;
	}
	CHECK_EQ(shm_rig_device_words(&r)->rest % 2, 1);
}

TEST(it_asks_to_be_polled_at_once_until_it_sleeps)
{
	shm_rig_open(&r);
	shm_rig_flush(&r);
	CHECK_EQ(r.dev->next_us, r.dev->now_us);
	CHECK_EQ(shm_rig_device_words(&r)->rest, 0);
	fall_asleep();
	shm_rig_frame(&r, SHM_NO_REF, 40, NULL, 0);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	CHECK_EQ(shm_rig_device_words(&r)->rest, 2); /* awake */
	shm_rig_flush(&r);
	CHECK_EQ(r.dev->next_us, r.dev->now_us);
	shm_rig_close(&r);
}

TEST(the_bell_wakes_the_descriptor_and_is_emptied)
{
	int fd;

	shm_rig_open(&r);
	fd = r.dev->ops->wait_fd(r.dev);
	fall_asleep();
	CHECK(!is_ready(fd));
	CHECK_EQ(write(r.fd, "", 1), 1);
	CHECK(is_ready(fd));
	r.dev->now_us += 100;
	CHECK_EQ(shm_rig_rx(&r), 0);
	CHECK(!is_ready(fd));
	shm_rig_close(&r);
}

/* It rings once for each sleep: what comes after this bell rings again. */
TEST(who_was_rung_and_found_nothing_falls_asleep_anew)
{
	uint32_t rest;

	shm_rig_open(&r);
	fall_asleep();
	rest = shm_rig_device_words(&r)->rest;
	CHECK_EQ(write(r.fd, "", 1), 1);
	fall_asleep();
	CHECK_EQ(shm_rig_device_words(&r)->rest, rest + 2);
	shm_rig_close(&r);
}

/* What is published between the look and the sleep is not slept over. */
TEST(it_does_not_sleep_over_a_frame)
{
	shm_rig_open(&r);
	shm_rig_flush(&r);
	r.dev->now_us += 1000;
	CHECK_EQ(shm_rig_rx(&r), 0);
	shm_rig_frame(&r, SHM_NO_REF, 40, NULL, 0);
	shm_rig_show(&r);
	shm_rig_flush(&r);
	CHECK_EQ(r.dev->next_us, r.dev->now_us);
	CHECK_EQ(shm_rig_device_words(&r)->rest % 2, 0);
	shm_rig_close(&r);
}

TEST(a_sleeping_peer_is_rung_once_for_each_time_it_sleeps)
{
	shm_rig_open(&r);
	CHECK_EQ(shm_rig_tx(&r, shm_rig_buf(&r, 52)), 1);
	CHECK_EQ(r.dev->next_us, r.dev->now_us); /* flush is still to come */
	shm_rig_flush(&r);
	CHECK(!is_ready(r.fd)); /* it is awake */
	shm_rig_words(&r)->rest = 1;
	CHECK_EQ(shm_rig_tx(&r, shm_rig_buf(&r, 52)), 1);
	shm_rig_flush(&r);
	CHECK_EQ(shm_rig_tx(&r, shm_rig_buf(&r, 52)), 1);
	shm_rig_flush(&r);
	CHECK(is_ready(r.fd));
	CHECK_EQ(read(r.fd, outside, 10), 1);
	CHECK(!is_ready(r.fd));
	shm_rig_words(&r)->rest = 3;
	shm_rig_flush(&r);
	CHECK(!is_ready(r.fd)); /* nothing new */
	CHECK_EQ(shm_rig_tx(&r, shm_rig_buf(&r, 52)), 1);
	shm_rig_flush(&r);
	CHECK(is_ready(r.fd));
	shm_rig_close(&r);
}

/* The sender sleeps until its loans come back. */
TEST(returning_a_reference_rings_too)
{
	struct shm_span span = arena_span(0, 3000);

	shm_rig_open(&r);
	shm_rig_frame(&r, 1, 40, &span, 1);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	shm_rig_flush(&r);
	shm_rig_words(&r)->rest = 1;
	shm_rig_give(&r, 0);
	shm_rig_end_loans(&r);
	CHECK(is_ready(r.fd));
	shm_rig_close(&r);
}

/* ---------------------------------------------------------- pairs and texts */

TEST(both_ends_of_a_pair_are_up_at_once)
{
	struct tow_dev *ends[2];
	size_t bytes;

	CHECK_EQ(tow_shm_pair(ends, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		CHECK(shm_of(ends[i])->peer != NULL);
		CHECK_EQ(ends[i]->mtu, 65535);
		CHECK(tow_shm_arena(ends[i], &bytes) != NULL);
		CHECK_EQ(bytes, 64 << 20);
	}
	ends[0]->ops->close(ends[0]);
	ends[1]->ops->close(ends[1]);
}

TEST(wishes_that_make_no_sense_are_refused)
{
	struct tow_shm how;
	struct tow_dev *ends[2];

	tow_shm_default(&how);
	how.ring_frames = 100;
	CHECK_EQ(tow_shm_pair(ends, &how), TOW_EINVAL);
	tow_shm_default(&how);
	how.mtu = 500;
	CHECK_EQ(tow_shm_pair(ends, &how), TOW_EINVAL);
	tow_shm_default(&how);
	how.arena_bytes = SIZE_MAX - 5;
	CHECK_EQ(tow_shm_pair(ends, &how), TOW_EINVAL);
}

TEST(an_end_that_is_pinned_to_one_of_many_processors_spins)
{
	struct tow_shm free, pinned;
	cpu_set_t one;

	tow_shm_default(&free);
	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
	tow_shm_default(&pinned);
	CHECK_EQ(pinned.spin_us, free.spin_us);
	CHECK_EQ(pinned.spin_us > 0, sysconf(_SC_NPROCESSORS_ONLN) > 1);
}

TEST(an_end_may_have_no_arena)
{
	struct tow_shm how;
	struct tow_dev *ends[2];
	size_t bytes = 1;

	tow_shm_default(&how);
	how.arena_bytes = 0;
	CHECK_EQ(tow_shm_pair(ends, &how), 0);
	CHECK(tow_shm_arena(ends[0], &bytes) == NULL);
	CHECK_EQ(bytes, 0);
	ends[0]->ops->close(ends[0]);
	ends[1]->ops->close(ends[1]);
}

static char folder[] = "/tmp/tow-shm-XXXXXX";
static char text[200], message[400];

static int open_text(struct tow_dev **dev, const char *options)
{
	snprintf(text, sizeof(text), "shm:path=%s/s%s", folder, options);
	return tow_dev_open(dev, text, message, sizeof(message));
}

/* Both ends look until each has its peer. */
static void meet(struct tow_dev *a, struct tow_dev *b)
{
	struct tow_buf *none;

	for (unsigned i = 0; i < 3; i++) {
		a->now_us += 100;
		b->now_us += 100;
		CHECK_EQ(a->ops->rx(a, &none, 0), 0);
		CHECK_EQ(b->ops->rx(b, &none, 0), 0);
	}
	CHECK(shm_of(a)->peer != NULL && shm_of(b)->peer != NULL);
}

static bool exists(void)
{
	snprintf(text, sizeof(text), "%s/s", folder);
	return access(text, F_OK) == 0;
}

static void end_texts(void)
{
	snprintf(text, sizeof(text), "%s/s", folder);
	(void)!unlink(text);
	CHECK_EQ(rmdir(folder), 0);
}

TEST(the_first_of_two_listens_and_the_name_goes_when_they_met)
{
	struct tow_dev *a, *b, *c;

	CHECK(mkdtemp(folder) != NULL);
	CHECK_EQ(open_text(&a, ""), 0);
	CHECK(exists());
	CHECK(is_ready(a->ops->wait_fd(a)) == false);
	CHECK_EQ(open_text(&b, ""), 0);
	CHECK(is_ready(a->ops->wait_fd(a)));
	meet(a, b);
	CHECK(!exists());
	CHECK_EQ(open_text(&c, ",role=connect"), TOW_ENOENT);
	CHECK(strstr(message, "start the other end first") != NULL);
	a->ops->close(a);
	b->ops->close(b);
	end_texts();
}

TEST(a_name_that_a_dead_end_left_is_taken_over)
{
	struct tow_dev *a, *b;

	CHECK(mkdtemp(folder) != NULL);
	CHECK_EQ(open_text(&a, ",role=listen"), 0);
	shm_of(a)->link.name.sun_path[0] = '\0'; /* as if it were killed */
	a->ops->close(a);
	CHECK(exists());
	CHECK_EQ(open_text(&b, ",role=connect"), TOW_ENOENT);
	CHECK_EQ(open_text(&a, ",role=listen"), 0);
	CHECK_EQ(open_text(&b, ",role=listen"), TOW_EADDRINUSE);
	CHECK_EQ(open_text(&b, ",role=connect"), 0);
	meet(a, b);
	a->ops->close(a);
	b->ops->close(b);
	end_texts();
}

/* connect(2) says ECONNREFUSED of such a file, too */
TEST(a_file_that_is_no_socket_is_left_alone)
{
	static const char *const roles[] = { ",role=listen", ",role=either" };
	char name[128], got[32];
	struct tow_dev *dev;
	FILE *file;

	CHECK(mkdtemp(folder) != NULL);
	snprintf(name, sizeof(name), "%s/s", folder);
	file = fopen(name, "w");
	CHECK(file && fputs("keep me", file) >= 0 && fclose(file) == 0);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(open_text(&dev, roles[i]), TOW_EADDRINUSE);
		CHECK(strstr(message, "choose another path") != NULL);
		file = fopen(name, "r");
		CHECK(file && fgets(got, sizeof(got), file));
		fclose(file);
		CHECK_STR(got, "keep me");
	}
	end_texts();
}

TEST(an_end_that_stays_meets_the_next_peer)
{
	struct tow_buf *none;
	struct tow_dev *a, *b;

	CHECK(mkdtemp(folder) != NULL);
	CHECK_EQ(open_text(&a, ",role=listen,stay=on"), 0);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(open_text(&b, ",role=connect"), 0);
		meet(a, b);
		CHECK(exists());
		b->ops->close(b);
		a->now_us += 20000;
		CHECK_EQ(a->ops->rx(a, &none, 0), 0);
		CHECK(shm_of(a)->peer == NULL);
	}
	a->ops->close(a);
	CHECK(!exists());
	end_texts();
}

static void look(struct tow_dev *dev, uint64_t after_us)
{
	struct tow_buf *none;

	dev->now_us += after_us;
	CHECK_EQ(dev->ops->rx(dev, &none, 0), 0);
}

/* The host's loop must not spin for somebody who cannot come in yet. */
TEST(who_waits_at_the_door_wakes_nobody_until_it_is_free)
{
	struct tow_dev *a, *b, *c;

	CHECK(mkdtemp(folder) != NULL);
	CHECK_EQ(open_text(&a, ",role=listen,stay=on"), 0);
	CHECK_EQ(open_text(&b, ",role=connect"), 0);
	meet(a, b);
	CHECK_EQ(open_text(&c, ",role=connect"), 0);
	CHECK(!is_ready(a->ops->wait_fd(a)));
	b->ops->close(b);
	look(a, 20000);
	CHECK(is_ready(a->ops->wait_fd(a)));
	meet(a, c);
	c->ops->close(c);
	look(a, 20000);
	CHECK_EQ(a->next_us, a->now_us);
	look(a, 1);
	CHECK_EQ(a->next_us, UINT64_MAX); /* it sleeps: nobody is there */
	CHECK(!is_ready(a->ops->wait_fd(a)));
	a->ops->close(a);
	end_texts();
}

TEST(a_second_at_the_door_while_the_first_is_silent_wakes_nobody)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct tow_dev *a, *c;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	CHECK(mkdtemp(folder) != NULL);
	CHECK_EQ(open_text(&a, ",role=listen"), 0);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/s", folder);
	CHECK_EQ(connect(fd, (const void *)&name, sizeof(name)), 0);
	look(a, 1);
	CHECK_EQ(open_text(&c, ",role=connect"), 0);
	CHECK(!is_ready(a->ops->wait_fd(a)));
	CHECK_GT(a->next_us, a->now_us);
	look(a, 1000001); /* that was long enough */
	CHECK(is_ready(a->ops->wait_fd(a)));
	meet(a, c);
	a->ops->close(a);
	c->ops->close(c);
	close(fd);
	end_texts();
}

/* Without a descriptor to accept by: tried again, but not at once. */
TEST(a_door_that_cannot_be_opened_is_tried_again_in_time)
{
	struct rlimit before, none;
	struct tow_dev *a, *b;

	CHECK(mkdtemp(folder) != NULL);
	CHECK_EQ(open_text(&a, ",role=listen,stay=on"), 0);
	CHECK_EQ(open_text(&b, ",role=connect"), 0);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	look(a, 1);
	CHECK(shm_of(a)->link.fd < 0);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
	CHECK(!is_ready(a->ops->wait_fd(a)));
	CHECK_EQ(a->next_us, a->now_us + 100000);
	look(a, 50000);
	CHECK(shm_of(a)->link.fd < 0);
	CHECK_EQ(a->next_us, a->now_us + 50000);
	look(a, 50000);
	meet(a, b);
	b->ops->close(b);
	look(a, 20000);
	look(a, 1);
	CHECK_EQ(a->next_us, UINT64_MAX);
	CHECK_EQ(open_text(&b, ",role=connect"), 0);
	CHECK(is_ready(a->ops->wait_fd(a)));
	meet(a, b);
	a->ops->close(a);
	b->ops->close(b);
	end_texts();
}

TEST(a_text_that_makes_no_sense_says_why)
{
	struct tow_dev *dev;

	CHECK_EQ(tow_dev_open(&dev, "shm", message, sizeof(message)),
		 TOW_EINVAL);
	CHECK(strstr(message, "path=FILE") != NULL);
	CHECK_EQ(tow_dev_open(&dev, "shm:path=/x,ring=17", message,
			      sizeof(message)),
		 TOW_EINVAL);
	CHECK(strstr(message, "power of two") != NULL);
	CHECK_EQ(tow_dev_open(&dev, "shm:path=/proc/none/s,role=listen",
			      message, sizeof(message)),
		 TOW_ENOENT);
}
