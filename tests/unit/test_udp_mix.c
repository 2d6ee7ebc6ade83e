/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that receives, borrows, returns, passes on and posts as it comes,
 * under budgets, deadlines, a refuge and a pool that runs short; over a device
 * that keeps what was sent as long as it likes.
 *
 *	near   gets numbered datagrams, single ones and trains
 *	far    sends on what is passed
 *
 * Each datagram is finished once, its bytes are right as long as it is on loan,
 * and in the end all is where it came from. SEEDS in the environment plays more
 * than the few of a check.
 */
#include <stdlib.h>
#include <string.h>
#include <tow/owner.h>
#include "dev/dice.h"
#include "stack/stack_private.h"
#include "stack_host.h"
#include "test.h"
#include "udp/udp_private.h"

#define PEER	    "192.0.2.2"
#define US	    "192.0.2.1"
#define SEEDS_USUAL 60
#define STEPS	    400
#define NUMBERS	    (STEPS * 8)
#define LOANS_MAX   256
#define REFUGE	    ((size_t)64 << 10)
#define SLOT	    700u
#define SLOTS	    4u
#define HOLD_MAX    240
#define LEAST	    4u /* bytes: the number */

/* A datagram on loan. */
struct loan_record {
	struct tow_span spans[TOW_BUF_SPANS];
	int count;
	uint32_t number;
};

static struct stack_host s;
static struct frame f;
static struct dice dice;
static struct tow_udp *near, *far;
static struct tow_owner *owner;
static uint8_t refuge[REFUGE] __attribute__((aligned(4096)));
static struct loan_record loans[LOANS_MAX];
static unsigned loan_count;
static uint8_t finished[NUMBERS];
static uint32_t sent, last; /* numbers; of the last that was delivered */
static uint8_t memory[SLOT * SLOTS];
static bool posted, told;
static uint8_t *held_chunks[HOLD_MAX];
static unsigned held_count;
static uint64_t revocations, passes, moves, slots_filled;

static uint8_t byte_of(uint32_t number, size_t at)
{
	if (at < LEAST)
		return (uint8_t)(number >> (8 * at));
	return (uint8_t)(number * 29 + at * 3 + at / 200);
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)dice_up_to(&dice, n - 1);
}

/* The number of a datagram, all of whose bytes are looked at. */
static uint32_t look(const struct tow_span *spans, int count)
{
	uint32_t number = 0;
	size_t at = 0;

	for (int i = 0; i < count; i++) {
		const uint8_t *p = spans[i].ptr;

		for (size_t k = 0; k < spans[i].len; k++, at++) {
			if (at < LEAST)
				number |= (uint32_t)p[k] << (8 * at);
			else
				CHECK_EQ(p[k], byte_of(number, at));
		}
	}
	CHECK_GE(at, LEAST);
	CHECK_LT(number, sent);
	return number;
}

static void finish(uint32_t number)
{
	CHECK(!finished[number]);
	finished[number] = 1;
}

static void check_loans(void)
{
	for (unsigned i = 0; i < loan_count; i++)
		CHECK_EQ(look(loans[i].spans, loans[i].count), loans[i].number);
}

static void forget_loans(unsigned n)
{
	loan_count -= n;
	memmove(loans, loans + n, loan_count * sizeof(loans[0]));
}

/* --- what happens */

static void set_up(uint64_t seed)
{
	struct tow_owner_config config = {
		.refuge = refuge,
		.refuge_bytes = REFUGE,
	};
	struct tow_endpoint local = endpoint("::", 7);
	struct tow_endpoint peer = endpoint(PEER, 1000);
	struct tow_config cfg;
	uint32_t caps = 0;

	dice.state = dice_mix(seed + 5);
	if (dice_hit(&dice, 500000))
		config.budget_bytes = dice_range(&dice, 1, 60000);
	if (dice_hit(&dice, 700000))
		config.deadline_us = dice_range(&dice, 1, 20000);
	if (dice_hit(&dice, 200000))
		config.refuge_bytes = 0;
	if (dice_hit(&dice, 500000))
		caps |= TOW_DEV_TX_CSUM;
	if (dice_hit(&dice, 500000))
		caps |= TOW_DEV_USO;
	stack_host_config(&cfg);
	cfg.recv_bytes = (uint32_t)dice_range(&dice, 20000, 400000);
	cfg.recv_bytes_max = cfg.recv_bytes;
	cfg.lend_bytes_min = below(2) ? 0 : 512;
	stack_host_open_with(&s, &cfg, caps);
	s.fake.keeps = true;
	CHECK_EQ(tow_udp_open(s.stack, &local, &near), 0);
	CHECK_EQ(tow_udp_connect(near, &peer), 0);
	local.port = 8;
	CHECK_EQ(tow_udp_open(s.stack, &local, &far), 0);
	CHECK_EQ(tow_owner_open(s.stack, &config, &owner), 0);
	CHECK_EQ(tow_udp_set_owner(near, owner), 0);
	memset(finished, 0, sizeof(finished));
	sent = last = 0;
	loan_count = held_count = 0;
	posted = told = false;
}

static void arrive(void)
{
	uint32_t each = (uint32_t)dice_range(&dice, LEAST, 1400);
	uint32_t count = below(3) ? 1 : 2 + below(5);
	struct fake_input *in;

	frame_begin(&f, PEER, US, NET_UDP);
	frame_udp(&f, 1000, 7);
	for (uint32_t i = 0; i < count; i++, sent++) {
		uint8_t data[1400];
		uint32_t n = each;

		if (count > 1 && i == count - 1)
			n = (uint32_t)dice_range(&dice, LEAST, each);
		for (uint32_t k = 0; k < n; k++)
			data[k] = byte_of(sent, k);
		frame_add(&f, data, n);
	}
	frame_end(&f);
	in = fake_dev_put(&s.fake, f.data, f.bytes,
			  below(2) ? TOW_BUF_CSUM_OK : 0);
	if (count > 1) {
		in->gso = TOW_GSO_UDP;
		in->gso_bytes = (uint16_t)each;
	}
}

static void borrow(void)
{
	struct loan_record *l = &loans[loan_count];

	if (loan_count == LOANS_MAX)
		return;
	l->count = tow_udp_borrow(near, l->spans, TOW_BUF_SPANS, NULL);
	if (l->count < 0) {
		CHECK(l->count == TOW_EAGAIN || l->count == TOW_ENOBUFS);
		return;
	}
	l->number = look(l->spans, l->count);
	CHECK(!finished[l->number]);
	CHECK(l->number >= last);
	last = l->number + 1;
	loan_count++;
}

static void receive(void)
{
	uint8_t data[1400];
	struct tow_span span = { data, 0 };
	int64_t n = tow_udp_recv(near, data, sizeof(data), NULL);

	if (n < 0) {
		CHECK_EQ(n, TOW_EAGAIN);
		return;
	}
	span.len = (size_t)n;
	finish(look(&span, 1));
}

static void give_back(void)
{
	unsigned n = loan_count ? 1 + below(loan_count) : 0;

	for (unsigned i = 0; i < n; i++)
		finish(loans[i].number);
	tow_udp_return(near, n);
	forget_loans(n);
}

static void pass(void)
{
	struct tow_udp_message where = { .peer = endpoint(PEER, 9) };
	int n;

	if (!loan_count)
		return;
	n = tow_udp_pass(far, near, &where, 1 + below(loan_count));
	for (int i = 0; i < n; i++)
		finish(loans[i].number);
	if (n > 0)
		forget_loans((unsigned)n);
	passes += n > 0;
}

static void post(void)
{
	struct tow_span span = { memory, sizeof(memory) };

	if (posted)
		return;
	CHECK_EQ(tow_udp_post(near, &span, SLOT, 0, 1), 0);
	posted = true;
}

static void take_slots(void)
{
	struct tow_udp_slot slot;

	while (tow_udp_posted(near, &slot, 1) == 1) {
		struct tow_span span = { memory + slot.offset, slot.bytes };

		finish(look(&span, 1));
		slots_filled++;
	}
}

/* The device runs short, or is as it was. */
static void squeeze(void)
{
	struct tow_pool *pool = &s.stack->net.rx_pool;
	unsigned want = below(3) ? 0 : below(HOLD_MAX);

	while (held_count > want)
		tow_chunk_give(pool, held_chunks[--held_count]);
	while (held_count < want && pool->chunks_left > 0)
		held_chunks[held_count++] = tow_chunk_take(pool);
}

static void take_events(void)
{
	struct tow_event e;

	while ((e = stack_host_event(&s)).type) {
		if (e.type == TOW_EVENT_REVOKE)
			told = true;
		if (e.type == TOW_EVENT_POST)
			posted = false;
	}
	take_slots();
}

static void poll_once(void)
{
	s.now_us += below(4000);
	tow_poll(s.stack, s.now_us);
	if (told) { /* what was on loan is unread again */
		last = 0;
		loan_count = 0;
		told = false;
		revocations++;
	}
	check_loans();
}

static void step(void)
{
	static void (*const acts[])(void) = { arrive,	 arrive, borrow,
					      borrow,	 borrow, receive,
					      give_back, pass,	 squeeze };

	acts[below(LENGTH(acts))]();
	if (below(40) == 0)
		post();
	if (posted && below(10) == 0)
		tow_udp_unpost(near);
	if (below(10) == 0)
		fake_dev_release_all(&s.fake);
	if (below(4) == 0)
		take_events();
	take_slots();
	if (below(3) == 0)
		poll_once();
}

static void tear_down(void)
{
	struct tow_pool *pool = &s.stack->net.rx_pool;

	moves += near->ledger.copied_bytes[TOW_COPY_RX_REVOKED] +
		 near->ledger.copied_bytes[TOW_COPY_RX_BUDGET];
	while (held_count > 0)
		tow_chunk_give(pool, held_chunks[--held_count]);
	if (below(2)) { /* nothing is left of what was counted */
		fake_dev_release_all(&s.fake);
		stack_host_poll(&s);
		tow_udp_return(near, near->borrowed);
		while (tow_udp_recv(near, memory, 1, NULL) >= 0)
			continue;
		stack_host_poll(&s);
		fake_dev_release_all(&s.fake);
		stack_host_poll(&s);
		CHECK_EQ(near->rx_cost, 0);
		CHECK_EQ(near->rx_bufs, 0);
		CHECK_EQ(near->borrower.lent, 0);
		CHECK_EQ(near->borrower.moved, 0);
		CHECK_EQ(s.stack->net.govern.lent, 0);
	}
	tow_owner_close(owner);
	tow_udp_close(far);
	s.fake.keeps = false;
	fake_dev_release_all(&s.fake);
	do
		stack_host_poll(&s);
	while (stack_host_event(&s).type);
	stack_host_close(&s);
}

TEST(no_datagram_is_wrong_or_finished_twice_whatever_the_program_does)
{
	const char *more = getenv("SEEDS");
	uint64_t seeds = more ? strtoull(more, NULL, 10) : SEEDS_USUAL;

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		set_up(seed);
		for (unsigned i = 0; i < STEPS; i++)
			step();
		tear_down();
	}
	/* What was not met was not tested. */
	CHECK_GT(revocations, 0);
	CHECK_GT(passes, 0);
	CHECK_GT(moves, 0);
	CHECK_GT(slots_filled, 0);
}
