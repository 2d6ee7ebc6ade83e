/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Relief of a pool that is short, with more borrowers than get a turn in one
 * poll; and what an owner's members hold together. What is done for each
 * through packets is in test_owner.c.
 */
#include <stdlib.h>
#include "buf/govern.h"
#include "buf/refuge.h"
#include "test.h"

#define CHUNK	 2048u
#define CHUNKS	 64u
#define STUCK	 20 /* more than have a turn in one poll */
#define PAUSE_US 1000

static struct tow_pool pool;
static struct wheel wheel;
static struct govern govern;
static struct tow_owner owners[1];
static struct borrower borrowers[STUCK + 1];
static unsigned turns[STUCK + 1];
static uint64_t empty;

/* Each has more than the next. */
static uint64_t held(const struct borrower *b)
{
	return 100000u - (uint64_t)(b - borrowers);
}

static void relieve(struct borrower *b)
{
	turns[b - borrowers]++;
}

static const struct borrower_ops ops = {
	.held = held,
	.relieve = relieve,
};

static const struct borrower_ops window_ops = {
	.held = held,
	.relieve = relieve,
	.has_window = true,
};

static void *open_pool(struct tow_pool *p, uint32_t n)
{
	size_t bytes = pool_need(n, n, CHUNK);
	void *memory =
		aligned_alloc(CHUNK, (bytes + CHUNK - 1) / CHUNK * CHUNK);

	CHECK(memory);
	pool_init(p, memory, n, n, CHUNK, &empty);
	return memory;
}

static void open_owner(struct tow_owner *owner)
{
	*owner = (struct tow_owner){
		.govern = &govern,
		.has_refuge = true,
		.open = true,
	};
	list_init(&owner->lending);
	list_init(&owner->idle);
	timer_init(&owner->timer, TIMER_OWNER);
}

/*
 * The greatest holders cannot be moved, their owner's refuge is full for
 * instance: then it is the turn of the others.
 */
TEST(holders_that_cannot_be_moved_do_not_keep_relief_from_the_others)
{
	struct tow_config cfg = { .owner_max = 1 };
	struct tow_owner *owner = &owners[0];
	uint8_t *taken[CHUNKS];
	void *memory[2];

	memory[0] = open_pool(&pool, CHUNKS);
	wheel_init(&wheel, 0);
	govern_init(&govern, &pool, &wheel, &cfg, owners);
	open_owner(owner);
	memory[1] = open_pool(&owner->refuge, TOW_BUF_SPANS);
	for (unsigned i = 0; i <= STUCK; i++) {
		borrower_init(&borrowers[i], &govern, &ops);
		CHECK_EQ(borrower_join(&borrowers[i], owner), 0);
	}
	for (unsigned i = 0; i < CHUNKS - 4; i++)
		taken[i] = tow_chunk_take(&pool);
	for (unsigned i = 0; i < 4; i++) {
		govern_poll(&govern);
		wheel_advance(&wheel, wheel.now_us + PAUSE_US);
	}
	for (unsigned i = 0; i <= STUCK; i++)
		CHECK_GT(turns[i], 0);
	CHECK_GE(turns[0], turns[STUCK]);

	for (unsigned i = 0; i < CHUNKS - 4; i++)
		tow_chunk_give(&pool, taken[i]);
	for (unsigned i = 0; i <= STUCK; i++)
		borrower_leave(&borrowers[i]);
	pool_close(&pool);
	pool_close(&owner->refuge);
	free(memory[0]);
	free(memory[1]);
}

/* A few bytes in the refuge lie in the room of a buffer, and in no chunk. */
TEST(what_others_hold_is_not_hidden_by_a_few_bytes_that_were_moved)
{
	struct tow_config cfg = { .owner_max = 1 };
	struct borrower *one = &borrowers[0], *other = &borrowers[1];
	struct tow_owner *owner = &owners[0];
	struct tow_buf *buf;
	void *memory[2];

	memory[0] = open_pool(&pool, CHUNKS);
	wheel_init(&wheel, 0);
	govern_init(&govern, &pool, &wheel, &cfg, owners);
	open_owner(owner);
	memory[1] = open_pool(&owner->refuge, TOW_BUF_SPANS);
	for (unsigned i = 0; i < 2; i++) {
		borrower_init(&borrowers[i], &govern, &window_ops);
		CHECK_EQ(borrower_join(&borrowers[i], owner), 0);
	}
	CHECK_EQ(borrower_others(one), held(other));
	buf = refuge_take(&owner->refuge, 1);
	one->moved = buf_cost(buf);
	CHECK_EQ(borrower_others(one), held(other));
	CHECK_EQ(borrower_others(other), held(one) - one->moved);

	tow_buf_give(buf);
	one->moved = 0;
	for (unsigned i = 0; i < 2; i++)
		borrower_leave(&borrowers[i]);
	pool_close(&pool);
	pool_close(&owner->refuge);
	free(memory[0]);
	free(memory[1]);
}
