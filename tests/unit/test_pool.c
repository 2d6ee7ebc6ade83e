/* SPDX-License-Identifier: BSD-2-Clause */
/* Pools and buffers: who owns what, and where the bytes are. */
#include <stdlib.h>
#include <string.h>
#include <tow/dev.h>
#include "base/random.h"
#include "buf/pool.h"
#include "test.h"

#define BUFS	    6
#define CHUNKS	    12
#define CHUNK_BYTES 2048

static struct tow_pool pool;
static uint64_t found_empty;
static void *pool_memory;

static void open_pool(void)
{
	size_t need = pool_need(BUFS, CHUNKS, CHUNK_BYTES);

	need = (need + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES;
	pool_memory = aligned_alloc(CHUNK_BYTES, need);
	CHECK(pool_memory != NULL);
	memset(pool_memory, 0xa5, need);
	found_empty = 0;
	pool_init(&pool, pool_memory, BUFS, CHUNKS, CHUNK_BYTES, &found_empty);
}

/* Everything has come back, and the memory can go. */
static void close_pool(void)
{
	CHECK_EQ(pool.bufs_left, BUFS);
	CHECK_EQ(pool.chunks_left, CHUNKS);
	CHECK(pool.done == NULL);
	pool_close(&pool);
	free(pool_memory);
}

TEST(an_empty_buffer_has_room_for_headers)
{
	struct tow_buf *buf;

	open_pool();
	buf = tow_buf_take(&pool);
	CHECK_EQ(buf->refs, 1);
	CHECK_EQ(buf->bytes, 0);
	CHECK_EQ(buf->span_count, 1);
	CHECK_EQ(buf->chunk_first, TOW_CHUNK_NONE);
	CHECK(buf->spans[0].ptr == buf->room + TOW_BUF_HEADERS);
	CHECK(buf->lender == NULL && buf->next == NULL && buf->pool == &pool);
	tow_buf_give(buf);
	close_pool();
}

TEST(a_pool_runs_dry_counts_it_and_fills_again)
{
	struct tow_buf *bufs[BUFS];
	uint8_t *chunks[CHUNKS];
	unsigned i;

	open_pool();
	for (unsigned round = 0; round < 3; round++) {
		for (i = 0; i < BUFS; i++)
			CHECK((bufs[i] = tow_buf_take(&pool)) != NULL);
		CHECK(tow_buf_take(&pool) == NULL);
		CHECK_EQ(found_empty, 2 * round + 1);
		for (i = 0; i < CHUNKS; i++) {
			CHECK((chunks[i] = tow_chunk_take(&pool)) != NULL);
			CHECK_EQ((uintptr_t)chunks[i] % CHUNK_BYTES, 0);
			memset(chunks[i], (int)i, CHUNK_BYTES);
		}
		CHECK(tow_chunk_take(&pool) == NULL);
		CHECK_EQ(found_empty, 2 * round + 2);
		CHECK_EQ(pool.bufs_left + pool.chunks_left, 0);
		for (i = 0; i < BUFS; i++)
			tow_buf_give(bufs[i]);
		for (i = 0; i < CHUNKS; i++) {
			CHECK_EQ(chunks[i][CHUNK_BYTES - 1], i);
			tow_chunk_give(&pool, chunks[i]);
		}
	}
	close_pool();
}

TEST(a_pool_of_no_chunks_still_has_buffers)
{
	size_t need = pool_need(2, 0, 2048);
	void *memory = aligned_alloc(2048, 4096);
	struct tow_buf *buf;

	CHECK_LE(need, 4096);
	pool_init(&pool, memory, 2, 0, 2048, &found_empty);
	buf = tow_buf_take(&pool);
	CHECK(buf != NULL);
	CHECK(tow_chunk_take(&pool) == NULL);
	tow_buf_give(buf);
	pool_close(&pool);
	free(memory);
}

TEST(need_that_no_machine_has_is_zero)
{
	CHECK_EQ(pool_need(0, UINT32_MAX, 2048), 0);
	CHECK_EQ(pool_need(0, UINT32_MAX - 1, 2048), 0);
	CHECK_GT(pool_need(1, 1, 2048), 2048 + sizeof(struct tow_buf));
}

TEST(a_buffer_goes_with_the_last_of_its_references)
{
	struct tow_buf *buf;

	open_pool();
	buf = tow_buf_take(&pool);
	tow_buf_add_chunk(buf, tow_chunk_take(&pool), 10);
	CHECK(tow_buf_ref(buf) == buf);
	tow_buf_ref(buf);
	tow_buf_give(buf);
	tow_buf_give(buf);
	CHECK_EQ(pool.bufs_left, BUFS - 1);
	CHECK_EQ(pool.chunks_left, CHUNKS - 1);
	tow_buf_give(buf);
	close_pool();
}

/* A loan ends no sooner than the last device lets go of the buffer. */
TEST(a_buffer_with_a_lender_waits_in_the_done_list)
{
	struct tow_buf *a, *b, *c;
	int lender;

	open_pool();
	a = tow_buf_take(&pool);
	b = tow_buf_take(&pool);
	c = tow_buf_take(&pool);
	a->lender = b->lender = &lender;
	a->loan_bytes = 77;
	tow_buf_add_chunk(b, tow_chunk_take(&pool), 5);

	tow_buf_ref(a);
	tow_buf_give(a);
	CHECK(pool_take_done(&pool) == NULL);
	tow_buf_give(b);
	tow_buf_give(c);
	tow_buf_give(a);
	CHECK_EQ(pool.bufs_left, BUFS - 2);
	CHECK_EQ(pool.chunks_left, CHUNKS - 1);

	CHECK(pool_take_done(&pool) == b);
	CHECK(pool_take_done(&pool) == a);
	CHECK(pool_take_done(&pool) == NULL);
	CHECK_EQ(a->loan_bytes, 77);
	pool_reclaim(a);
	tow_buf_ref(c = tow_buf_take(&pool)); /* the list goes on working */
	c->lender = &lender;
	tow_buf_give(c);
	tow_buf_give(c);
	CHECK(pool_take_done(&pool) == c);
	CHECK_EQ(c->refs, 0);
	pool_reclaim(c);
	pool_reclaim(b);
	close_pool();
}

TEST(foreign_memory_costs_what_was_lent_and_goes_back_to_the_device)
{
	static uint8_t memory[3000];
	struct tow_dev dev, other;
	struct tow_buf *buf;

	open_pool();
	buf = tow_buf_take(&pool);
	tow_buf_set_head(buf, 10, 54);
	tow_buf_add_chunk(buf, tow_chunk_take(&pool), 6);
	tow_buf_add_foreign(buf, &dev, memory, 1000);
	tow_buf_add_foreign(buf, &dev, memory + 2000, 1000);
	CHECK_EQ(buf->bytes, 2060);
	CHECK_EQ(buf->span_count, 4);
	CHECK(buf->spans[3].ptr == memory + 2000);
	CHECK_EQ(buf_cost(buf), sizeof(*buf) + CHUNK_BYTES + 2000);
	CHECK_PANICS(tow_buf_add_foreign(buf, &other, memory, 1));

	buf_trim_front(buf, 1500); /* it keeps the memory all the same */
	CHECK_EQ(buf_cost(buf), sizeof(*buf) + CHUNK_BYTES + 2000);
	tow_buf_ref(buf);
	tow_buf_give(buf);
	CHECK(pool_take_done(&pool) == NULL);
	tow_buf_give(buf);
	CHECK(pool_take_done(&pool) == buf);
	CHECK_EQ(buf->owner_kind, BUF_OWNER_DEVICE);
	CHECK(buf->lender == &dev);
	pool_reclaim(buf);
	close_pool();
}

/* What is not its own, a buffer does not write to. */
TEST(nothing_is_appended_behind_foreign_memory)
{
	static uint8_t memory[CHUNK_BYTES];
	struct tow_buf *buf;
	struct tow_dev dev;

	open_pool();
	buf = tow_buf_take(&pool);
	tow_buf_add_chunk(buf, tow_chunk_take(&pool), 6);
	tow_buf_add_foreign(buf, &dev, memory, 100);
	CHECK(buf_append(buf, 1) == NULL);
	tow_buf_give(buf);
	pool_reclaim(pool_take_done(&pool));
	close_pool();
}

TEST(a_taken_buffer_remembers_nothing)
{
	struct tow_buf *buf;

	open_pool();
	buf = tow_buf_take(&pool);
	buf->flags = buf->gso = buf->owner_kind = 0xff;
	buf->gso_bytes = buf->header_bytes = buf->csum_start = 99;
	buf->csum_offset = buf->link = 99;
	buf->loan_first = buf;
	buf->loan_start = buf->loan_bytes = 99;
	tow_buf_set_head(buf, 0, TOW_BUF_ROOM);
	tow_buf_give(buf);
	buf = tow_buf_take(&pool);
	CHECK_EQ(buf->flags | buf->gso | buf->owner_kind | buf->gso_bytes |
			 buf->header_bytes | buf->csum_start |
			 buf->csum_offset | buf->link | buf->bytes |
			 buf->spans[0].len,
		 0);
	CHECK(buf->loan_first == NULL);
	CHECK_EQ(buf->loan_start + buf->loan_bytes, 0);
	tow_buf_give(buf);
	close_pool();
}

TEST(giving_twice_is_a_breach_of_contract)
{
	static uint64_t outside[CHUNK_BYTES / 8];
	struct tow_buf *buf;
	uint8_t *chunk;
	int lender;

	open_pool();
	buf = tow_buf_take(&pool);
	buf->lender = &lender;
	tow_buf_give(buf);
	CHECK_PANICS(tow_buf_give(buf));
	CHECK_PANICS(tow_buf_ref(buf));
	pool_reclaim(pool_take_done(&pool));

	chunk = tow_chunk_take(&pool);
	CHECK_PANICS(tow_chunk_give(&pool, chunk + 1));
	CHECK_PANICS(tow_chunk_give(&pool, chunk + CHUNKS * CHUNK_BYTES));
	CHECK_PANICS(tow_chunk_give(&pool, (uint8_t *)outside));
	tow_chunk_give(&pool, chunk);
	CHECK_PANICS(tow_chunk_give(&pool, chunk));

	chunk = tow_chunk_take(&pool);
	buf = tow_buf_take(&pool);
	tow_buf_add_chunk(buf, chunk, 1);
	CHECK_PANICS(tow_chunk_give(&pool, chunk));
	CHECK_PANICS(tow_buf_add_chunk(buf, chunk, 1));
	tow_buf_give(buf);
	close_pool();
}

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif

#ifdef ASAN
#include <sanitizer/asan_interface.h>

TEST(free_memory_is_off_limits)
{
	struct tow_buf *buf;
	uint8_t *chunk;

	open_pool();
	buf = tow_buf_take(&pool);
	chunk = tow_chunk_take(&pool);
	CHECK(!__asan_region_is_poisoned(buf, sizeof(*buf)));
	CHECK(!__asan_region_is_poisoned(chunk, CHUNK_BYTES));
	tow_buf_add_chunk(buf, chunk, 3);
	tow_buf_give(buf);
	CHECK(__asan_address_is_poisoned(&buf->refs));
	CHECK(__asan_address_is_poisoned(&buf->room[TOW_BUF_ROOM - 1]));
	CHECK(__asan_address_is_poisoned(chunk));
	CHECK(__asan_address_is_poisoned(chunk + CHUNK_BYTES - 1));
	pool_close(&pool);
	CHECK(!__asan_region_is_poisoned(pool_memory,
					 pool_need(BUFS, CHUNKS, CHUNK_BYTES)));
	free(pool_memory);
}
#endif

/*
 * A frame with known bytes: @head of them in the room from @offset on, then
 * chunks with the lengths that follow, up to a 0.
 */
static uint8_t frame[4 * CHUNK_BYTES + TOW_BUF_ROOM];

static struct tow_buf *make_frame(uint32_t offset, uint32_t head,
				  const uint32_t *chunk_bytes)
{
	struct tow_buf *buf = tow_buf_take(&pool);
	uint32_t at = head;
	uint8_t *chunk;

	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + i / 256 + 1);
	memcpy(buf->room + offset, frame, head);
	tow_buf_set_head(buf, offset, head);
	for (; *chunk_bytes; at += *chunk_bytes++) {
		chunk = tow_chunk_take(&pool);
		memcpy(chunk, frame + at, *chunk_bytes);
		tow_buf_add_chunk(buf, chunk, *chunk_bytes);
	}
	CHECK_EQ(buf->bytes, at);
	return buf;
}

/* The buffer holds frame[from, to), and its books are right. */
static void check_holds(const struct tow_buf *buf, size_t from, size_t to)
{
	uint8_t out[sizeof(frame) + 1];
	const uint8_t *head = buf->spans[0].ptr;
	size_t sum = 0;

	CHECK_EQ(buf->bytes, to - from);
	CHECK_EQ(tow_buf_read(buf, 0, out, sizeof(out)), to - from);
	CHECK_MEM(out, frame + from, to - from);
	CHECK(head >= buf->room && head <= buf->room + TOW_BUF_ROOM);
	CHECK_GE(buf->span_count, 1);
	for (unsigned i = 0; i < buf->span_count; i++) {
		sum += buf->spans[i].len;
		CHECK(i == 0 || buf->spans[i].len > 0);
	}
	CHECK_EQ(sum, buf->bytes);
}

static const uint32_t three[] = { 100, 33, 50, 0 };
#define HEAD  40
#define WHOLE (HEAD + 100 + 33 + 50)

TEST(bytes_are_read_from_any_offset_across_spans)
{
	struct tow_buf *buf;
	uint8_t out[WHOLE];

	open_pool();
	buf = make_frame(10, HEAD, three);
	for (size_t offset = 0; offset <= WHOLE + 2; offset++) {
		for (size_t n = 0; n <= WHOLE; n += 13) {
			size_t most = offset < WHOLE ? WHOLE - offset : 0;

			CHECK_EQ(tow_buf_read(buf, offset, out, n),
				 MIN(n, most));
			CHECK_MEM(out, frame + MIN(offset, (size_t)WHOLE),
				  MIN(n, most));
		}
	}
	tow_buf_give(buf);
	close_pool();
}

TEST(trimming_the_front_crosses_spans)
{
	struct tow_buf *buf;

	open_pool();
	for (uint32_t n = 0; n <= WHOLE; n++) {
		buf = make_frame(10, HEAD, three);
		buf_trim_front(buf, n);
		check_holds(buf, n, WHOLE);
		buf_trim_front(buf, (WHOLE - n) / 2);
		check_holds(buf, n + (WHOLE - n) / 2, WHOLE);
		CHECK_EQ(buf_cost(buf), sizeof(*buf) + 3 * CHUNK_BYTES);
		tow_buf_give(buf);
	}
	close_pool();
}

TEST(trimming_the_back_crosses_spans)
{
	struct tow_buf *buf;

	open_pool();
	for (uint32_t n = 0; n <= WHOLE; n++) {
		buf = make_frame(0, HEAD, three);
		buf_trim_back(buf, n);
		check_holds(buf, 0, WHOLE - n);
		buf_trim_front(buf, (WHOLE - n) / 2);
		check_holds(buf, (WHOLE - n) / 2, WHOLE - n);
		buf_trim_back(buf, buf->bytes);
		CHECK_EQ(buf->bytes, 0);
		CHECK_EQ(buf->span_count, 1);
		tow_buf_give(buf);
	}
	close_pool();
}

TEST(trimming_more_than_there_is_is_a_breach_of_contract)
{
	struct tow_buf *buf;

	open_pool();
	buf = make_frame(0, HEAD, three);
	CHECK_PANICS(buf_trim_front(buf, WHOLE + 1));
	CHECK_PANICS(buf_trim_back(buf, WHOLE + 1));
	tow_buf_give(buf);
	close_pool();
}

TEST(pulling_brings_headers_into_the_room)
{
	struct tow_buf *buf;
	uint8_t *head;

	open_pool();
	for (uint32_t n = 0; n <= WHOLE + 1; n++) {
		buf = make_frame(3, HEAD, three);
		head = buf_pull(buf, n);
		if (n <= WHOLE) {
			CHECK(head == buf->room + 3);
			CHECK_GE(buf->spans[0].len, n);
			CHECK_MEM(head, frame, n);
		} else {
			CHECK(head == NULL);
		}
		check_holds(buf, 0, WHOLE);
		tow_buf_give(buf);
	}
	close_pool();
}

TEST(pulling_stops_at_the_end_of_the_room)
{
	static const uint32_t one[] = { 200, 0 };
	struct tow_buf *buf;

	open_pool();
	buf = make_frame(200, 20, one);
	CHECK(buf_pull(buf, TOW_BUF_ROOM - 200 + 1) == NULL);
	check_holds(buf, 0, 220);
	CHECK(buf_pull(buf, TOW_BUF_ROOM - 200) != NULL);
	check_holds(buf, 0, 220);

	/* Past the last byte of the room, it still is one past the head. */
	buf_trim_front(buf, 100);
	check_holds(buf, 100, 220);
	CHECK(buf_pull(buf, 0) != NULL);
	CHECK(buf_pull(buf, 1) == NULL);
	tow_buf_give(buf);
	close_pool();
}

TEST(all_of_a_frame_without_a_head_can_be_pulled)
{
	static const uint32_t one[] = { 60, 0 };
	struct tow_buf *buf;

	open_pool();
	buf = make_frame(0, 0, one);
	CHECK(buf_pull(buf, 60) == buf->room);
	check_holds(buf, 0, 60);
	CHECK_EQ(buf->span_count, 1);
	tow_buf_give(buf);
	close_pool();
}

/* A device split the frame late: payload in the room, as a span of its own. */
TEST(pulling_from_a_span_in_the_room_moves_it_up)
{
	struct tow_buf *buf;

	open_pool();
	for (uint32_t gap = 0; gap < 4; gap++) {
		buf = make_frame(0, 20, (const uint32_t[]){ 0 });
		memcpy(buf->room + 20 + gap, frame + 20, 60);
		buf_add_span(buf, buf->room + 20 + gap, 60);
		check_holds(buf, 0, 80);
		CHECK(buf_pull(buf, 50) == buf->room);
		check_holds(buf, 0, 80);
		tow_buf_give(buf);
	}
	close_pool();
}

TEST(pushing_grows_towards_the_front_of_the_room)
{
	struct tow_buf *buf;
	uint8_t *p;

	open_pool();
	buf = tow_buf_take(&pool);
	p = buf_push(buf, 20);
	CHECK(p == buf->room + TOW_BUF_HEADERS - 20);
	p = buf_push(buf, TOW_BUF_HEADERS - 20);
	CHECK(p == buf->room);
	CHECK_EQ(buf->bytes, TOW_BUF_HEADERS);
	CHECK(buf_push(buf, 1) == NULL);
	CHECK_EQ(buf->bytes, TOW_BUF_HEADERS);
	tow_buf_give(buf);
	close_pool();
}

TEST(what_was_trimmed_from_the_room_can_be_pushed_again)
{
	struct tow_buf *buf;

	open_pool();
	buf = make_frame(10, HEAD, three);
	buf_trim_front(buf, HEAD);
	CHECK(buf_push(buf, HEAD) == buf->room + 10);
	check_holds(buf, 0, WHOLE);
	tow_buf_give(buf);
	close_pool();
}

/* Behind the last byte there is room up to the end of what the buffer owns. */
TEST(bytes_are_appended_in_the_room_or_the_last_chunk)
{
	struct tow_buf *buf;
	uint8_t *chunk;

	open_pool();
	buf = tow_buf_take(&pool);
	tow_buf_set_head(buf, 10, 40);
	CHECK(buf_append(buf, 6) == buf->room + 50);
	CHECK_EQ(buf->spans[0].len, 46);
	CHECK(buf_append(buf, TOW_BUF_ROOM - 55) == NULL);
	chunk = tow_chunk_take(&pool);
	tow_buf_add_chunk(buf, chunk, 100);
	CHECK(buf_append(buf, CHUNK_BYTES - 100) == chunk + 100);
	CHECK_EQ(buf->bytes, 46 + CHUNK_BYTES);
	CHECK(buf_append(buf, 1) == NULL);
	buf_trim_back(buf, 5);
	CHECK(buf_append(buf, 5) == chunk + CHUNK_BYTES - 5);
	tow_buf_give(buf);
	close_pool();
}

/* Memory that others own has no room, though it may lie in a chunk. */
TEST(nothing_is_appended_to_lent_bytes)
{
	struct tow_buf *buf;
	uint8_t *chunk;

	open_pool();
	chunk = tow_chunk_take(&pool);
	buf = tow_buf_take(&pool);
	buf_add_span(buf, chunk, 100);
	CHECK(buf_append(buf, 1) == NULL);
	tow_buf_give(buf);
	tow_chunk_give(&pool, chunk);
	close_pool();
}

TEST(a_head_outside_of_the_room_is_a_breach_of_contract)
{
	struct tow_buf *buf;

	open_pool();
	buf = tow_buf_take(&pool);
	CHECK_PANICS(tow_buf_set_head(buf, TOW_BUF_ROOM, 1));
	CHECK_PANICS(tow_buf_set_head(buf, 1, UINT32_MAX));
	CHECK_PANICS(tow_buf_set_head(buf, UINT32_MAX, 1));
	tow_buf_set_head(buf, TOW_BUF_ROOM, 0);
	tow_buf_give(buf);
	close_pool();
}

TEST(spans_are_limited_and_empty_ones_are_left_out)
{
	struct tow_buf *buf;
	char byte = 1;

	open_pool();
	buf = tow_buf_take(&pool);
	buf_add_span(buf, NULL, 0);
	CHECK_EQ(buf->span_count, 1);
	for (unsigned i = 1; i < TOW_BUF_SPANS; i++)
		buf_add_span(buf, &byte, 1);
	CHECK_EQ(buf->bytes, TOW_BUF_SPANS - 1);
	CHECK_PANICS(buf_add_span(buf, &byte, 1));
	tow_buf_give(buf);
	close_pool();
}

/* A chunk that no byte landed in still goes back with its buffer. */
TEST(an_empty_chunk_is_owned_too)
{
	struct tow_buf *buf;

	open_pool();
	buf = tow_buf_take(&pool);
	tow_buf_add_chunk(buf, tow_chunk_take(&pool), 0);
	CHECK_EQ(buf->span_count, 1);
	CHECK_EQ(buf->chunks, 1);
	tow_buf_give(buf);
	close_pool();
}

TEST(sums_do_not_depend_on_how_a_frame_is_split)
{
	static const uint32_t odd[] = { 1, 333, 2, 1001, 7, 0 };
	const uint32_t whole = 41 + 1 + 333 + 2 + 1001 + 7;
	struct tow_buf *buf;
	uint64_t touched;
	uint32_t sum;

	open_pool();
	buf = make_frame(5, 41, odd);
	for (uint32_t offset = 0; offset <= whole + 1; offset++) {
		uint32_t left = offset < whole ? whole - offset : 0;

		touched = 0;
		sum = buf_csum(buf, offset, &touched);
		CHECK_EQ(csum_finish(sum),
			 csum_finish(csum_bytes(0, frame + MIN(offset, whole),
						left)));
		CHECK_EQ(touched, MIN(left, whole - 41));
	}
	tow_buf_give(buf);
	close_pool();
}

/* Random cuts and pulls; the frame is always what is left of it. */
TEST(random_cuts_and_pulls_keep_the_bytes)
{
	uint8_t secret[32] = { 42 };
	struct random random;
	struct tow_buf *buf;
	uint32_t from, to, n;

	random_init(&random, secret);
	open_pool();
	for (unsigned round = 0; round < 2000; round++) {
		uint32_t chunks[4] = { random_below(&random, CHUNK_BYTES) + 1,
				       random_below(&random, 100) + 1,
				       random_below(&random, 3) };
		uint32_t offset = random_below(&random, TOW_BUF_ROOM + 1);
		uint32_t head =
			random_below(&random, TOW_BUF_ROOM - offset + 1);

		buf = make_frame(offset, head, chunks);
		from = 0;
		to = buf->bytes;
		for (unsigned step = 0; step < 10; step++) {
			n = random_below(&random, (to - from) / 3 + 2);
			n = MIN(n, to - from);
			switch (random_below(&random, 3)) {
			case 0:
				buf_trim_front(buf, n);
				from += n;
				break;
			case 1:
				buf_trim_back(buf, n);
				to -= n;
				break;
			case 2:
				buf_pull(buf, n);
				break;
			}
			check_holds(buf, from, to);
		}
		tow_buf_give(buf);
	}
	close_pool();
}
