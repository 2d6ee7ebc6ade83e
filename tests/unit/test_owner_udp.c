/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lending of datagrams that cannot be abused: budgets, deadlines, revocation.
 * See test_owner.c for the same with streams, where owners are tested as such.
 */
#include <stdlib.h>
#include <string.h>
#include <tow/owner.h>
#include "stack_host.h"
#include "test.h"
#include "wire/wire_udp.h"

#define DEADLINE_US 10000u
#define COST	    (2048u + sizeof(struct tow_buf)) /* of one with a chunk */

static struct stack_host s;
static struct frame f;
static struct tow_udp_message from;
static struct tow_udp *udp;
static struct tow_owner *owner;
static uint8_t *refuge;
static uint8_t payload[70000], out[70000];

static void begin(uint64_t budget, uint64_t deadline_us, size_t refuge_bytes)
{
	struct tow_owner_config config = {
		.budget_bytes = budget,
		.deadline_us = deadline_us,
		.refuge_bytes = refuge_bytes,
	};
	struct tow_endpoint local = endpoint("::", 7);

	stack_host_open(&s, 0);
	CHECK_EQ(tow_udp_open(s.stack, &local, &udp), 0);
	refuge = config.refuge = refuge_bytes ? malloc(refuge_bytes) : NULL;
	CHECK_EQ(tow_owner_open(s.stack, &config, &owner), 0);
	CHECK_EQ(tow_udp_set_owner(udp, owner), 0);
}

/* Takes the socket along. */
static void end(void)
{
	tow_owner_close(owner);
	free(refuge);
	stack_host_close(&s);
}

static struct tow_owner_info info(void)
{
	struct tow_owner_info i;

	tow_owner_info(owner, &i);
	return i;
}

static uint64_t copied(enum tow_copy why)
{
	return tow_udp_ledger(udp)->copied_bytes[why];
}

/* Of @bytes, which also say what is in it. */
static void arrive_at(uint16_t port, uint32_t bytes)
{
	frame_begin(&f, "192.0.2.2", "192.0.2.1", NET_UDP);
	frame_udp(&f, 1000, port);
	frame_fill(&f, bytes);
	frame_end(&f);
	memcpy(payload, frame_transport(&f) + UDP_BYTES, bytes);
	stack_host_receive(&s, &f);
}

static void arrive(uint32_t bytes)
{
	arrive_at(7, bytes);
}

/* Three datagrams that a device merged: 500, 500 and @last bytes. */
static void arrive_train(uint32_t last)
{
	struct fake_input *in;

	frame_begin(&f, "192.0.2.2", "192.0.2.1", NET_UDP);
	frame_udp(&f, 1000, 7);
	frame_fill(&f, 1000 + last);
	frame_end(&f);
	memcpy(payload, frame_transport(&f) + UDP_BYTES, 1000 + last);
	in = fake_dev_put(&s.fake, f.data, f.bytes, TOW_BUF_CSUM_OK);
	in->gso = TOW_GSO_UDP;
	in->gso_bytes = 500;
	stack_host_poll(&s);
}

static int borrow(void)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n = tow_udp_borrow(udp, spans, TOW_SPANS_MAX, &from);
	size_t at = 0;

	for (int i = 0; i < n; i++) {
		memcpy(out + at, spans[i].ptr, spans[i].len);
		at += spans[i].len;
	}
	if (n >= 0)
		CHECK_EQ(at, from.bytes);
	return n;
}

static bool next_is_revoke(void)
{
	struct tow_event e;

	while ((e = stack_host_event(&s)).type) {
		if (e.type == TOW_EVENT_REVOKE) {
			CHECK_EQ(e.object, (void *)udp);
			return true;
		}
	}
	return false;
}

static void poll_at(uint64_t us_later)
{
	s.now_us += us_later;
	tow_poll(s.stack, s.now_us);
}

static void revoke(void)
{
	poll_at(DEADLINE_US + 2 * 1024); /* it is kept in ticks of about 1 ms */
	CHECK(next_is_revoke());
	poll_at(0);
}

TEST(borrowed_datagrams_become_unread_again)
{
	begin(0, DEADLINE_US, 1 << 20);
	for (uint32_t i = 1; i <= 4; i++)
		arrive(i * 300);
	for (uint32_t i = 1; i <= 3; i++)
		CHECK_GT(borrow(), 0);
	CHECK_GE(info().lent_bytes, 2 * COST);
	poll_at(DEADLINE_US / 2);
	CHECK(!next_is_revoke());
	tow_udp_return(udp, 1);
	revoke();
	CHECK_EQ(info().lent_bytes, 0);
	CHECK_EQ(info().revoked, 1);
	CHECK_EQ(copied(TOW_COPY_RX_REVOKED), 600 + 900);
	for (uint32_t i = 2; i <= 4; i++) {
		CHECK_GT(borrow(), 0);
		CHECK_EQ(from.bytes, i * 300);
		CHECK_EQ(from.peer.port, 1000);
	}
	CHECK_MEM(out, payload, 1200);
	CHECK_EQ(borrow(), TOW_EAGAIN);
	tow_udp_return(udp, 3);
	CHECK_EQ(info().refuge_used_bytes, 0);
	end();
}

/* tow/ledger.h: a byte is read once, however often it is borrowed */
TEST(what_is_borrowed_again_is_counted_once)
{
	begin(0, DEADLINE_US, 1 << 20);
	arrive(900);
	arrive_train(50);
	for (int i = 0; i < 3; i++)
		CHECK_GT(borrow(), 0);
	revoke();
	CHECK_EQ(tow_udp_ledger(udp)->rx_lent_bytes, 0);
	for (int i = 0; i < 4; i++)
		CHECK_GT(borrow(), 0);
	tow_udp_return(udp, 4);
	CHECK_EQ(tow_udp_ledger(udp)->rx_lent_bytes, 900 + 1050);
	CHECK_EQ(tow_stats(s.stack)->ledger.rx_lent_bytes, 900 + 1050);
	end();
}

/* A train, returned in part, borrowed in part, unread in part */
TEST(train_is_found_again_from_what_was_not_returned)
{
	begin(0, DEADLINE_US, 1 << 20);
	arrive_train(50);
	CHECK_GT(borrow(), 0);
	CHECK_GT(borrow(), 0);
	tow_udp_return(udp, 1);
	revoke();
	CHECK_EQ(copied(TOW_COPY_RX_REVOKED), 550);
	CHECK_GT(borrow(), 0);
	CHECK_EQ(from.bytes, 500);
	CHECK_MEM(out, payload + 500, 500);
	CHECK_GT(borrow(), 0);
	CHECK_EQ(from.bytes, 50);
	CHECK_MEM(out, payload + 1000, 50);
	CHECK_EQ(borrow(), TOW_EAGAIN);
	tow_udp_return(udp, 2);

	arrive_train(500); /* all of it on loan */
	for (int i = 0; i < 3; i++)
		CHECK_GT(borrow(), 0);
	revoke();
	CHECK_EQ(copied(TOW_COPY_RX_REVOKED), 550 + 1500);
	for (int i = 0; i < 3; i++) {
		CHECK_GT(borrow(), 0);
		CHECK_MEM(out, payload + i * 500, 500);
	}
	end();
}

/* Nobody knows which ones of a train are out: they are lost, no others are */
TEST(train_that_was_received_between_loans_loses_them)
{
	begin(0, DEADLINE_US, 1 << 20);
	arrive_train(500);
	CHECK_GT(borrow(), 0);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 500);
	arrive(700);
	revoke();
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_FULL), 1);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 500);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 700);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), TOW_EAGAIN);
	end();
}

TEST(revocation_without_a_refuge_copies_no_datagram)
{
	begin(0, DEADLINE_US, 0);
	arrive(900);
	arrive(0);
	CHECK_GT(borrow(), 0);
	CHECK_EQ(borrow(), 0);
	revoke();
	CHECK_EQ(copied(TOW_COPY_RX_REVOKED), 0);
	CHECK_EQ(info().lent_bytes, 0);
	CHECK_GT(borrow(), 0);
	CHECK_EQ(from.bytes, 900);
	CHECK_EQ(borrow(), 0);
	end();
}

TEST(datagrams_over_budget_are_lent_from_the_refuge)
{
	begin(2 * COST, 0, 1 << 20);
	for (uint32_t i = 1; i <= 5; i++)
		arrive(i * 250);
	for (uint32_t i = 1; i <= 5; i++) {
		CHECK_GT(borrow(), 0);
		CHECK_EQ(from.bytes, i * 250);
		CHECK_LE(info().lent_bytes, 2 * COST);
	}
	CHECK_MEM(out, payload, 1250);
	CHECK_EQ(copied(TOW_COPY_RX_BUDGET), 750 + 1000 + 1250);
	tow_udp_return(udp, 5);
	CHECK_EQ(info().refuge_used_bytes, 0);
	CHECK_EQ(info().lent_bytes, 0);
	end();
}

TEST(without_a_refuge_datagrams_wait_for_a_return)
{
	struct tow_event e;

	begin(2 * COST, 0, 0);
	for (uint32_t i = 1; i <= 5; i++)
		arrive(i * 250);
	CHECK_GT(borrow(), 0);
	CHECK_GT(borrow(), 0);
	CHECK_EQ(borrow(), TOW_ENOBUFS);
	while (stack_host_event(&s).type)
		;
	poll_at(0);
	CHECK_EQ(stack_host_event(&s).type, 0);
	tow_udp_return(udp, 1);
	CHECK_LE(tow_deadline(s.stack), s.now_us);
	poll_at(0);
	e = stack_host_event(&s);
	CHECK_EQ(e.type, TOW_EVENT_READABLE);
	CHECK_GT(borrow(), 0);
	CHECK_EQ(from.bytes, 750);
	CHECK_EQ(borrow(), TOW_ENOBUFS);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 1000);
	end();
}

/* tow/udp.h TOW_UDP_LEND_BYTES, within its owner's */
TEST(socket_has_a_budget_of_its_own)
{
	int64_t value;

	begin(4 * COST, 0, 0);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_LEND_BYTES, 2 * COST), 0);
	CHECK_EQ(tow_udp_get(udp, TOW_UDP_LEND_BYTES, &value), 0);
	CHECK_EQ(value, 2 * COST);
	for (uint32_t i = 1; i <= 5; i++)
		arrive(i * 250);
	CHECK_GT(borrow(), 0);
	CHECK_GT(borrow(), 0);
	CHECK_EQ(borrow(), TOW_ENOBUFS);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_LEND_BYTES, 0), 0);
	CHECK_GT(borrow(), 0);
	CHECK_GT(borrow(), 0);
	CHECK_EQ(borrow(), TOW_ENOBUFS);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_LEND_BYTES, -1), TOW_EINVAL);
	end();
}

/* tow/owner.h TOW_EBUSY; and a socket that is closed leaves */
TEST(socket_changes_its_owner_when_the_refuge_has_nothing_of_it)
{
	begin(1, DEADLINE_US, 1 << 20);
	arrive(900);
	arrive(900);
	CHECK_GT(borrow(), 0);
	CHECK_GT(borrow(), 0);
	CHECK_EQ(tow_udp_set_owner(udp, NULL), TOW_EBUSY);
	tow_udp_return(udp, 2);
	CHECK_EQ(tow_udp_set_owner(udp, NULL), 0);
	CHECK_EQ(info().members, 0);
	CHECK_EQ(tow_udp_set_owner(udp, owner), 0);
	arrive(900);
	arrive(900);
	CHECK_GT(borrow(), 0);
	CHECK_GT(borrow(), 0);
	CHECK_GT(info().refuge_used_bytes, 0);
	tow_udp_close(udp);
	CHECK_EQ(info().members, 0);
	CHECK_EQ(info().lent_bytes, 0);
	CHECK_EQ(info().refuge_used_bytes, 0);
	end();
}

/* What was posted for comes out of the refuge, too */
TEST(moved_datagrams_are_copied_into_a_post)
{
	struct tow_endpoint peer = endpoint("192.0.2.2", 1000);
	struct tow_span memory = { out, 2000 };

	begin(0, DEADLINE_US, 1 << 20);
	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
	arrive(1000);
	CHECK_GT(borrow(), 0);
	revoke();
	CHECK_EQ(tow_udp_post(udp, &memory, 1000, 0, 1), 0);
	CHECK_MEM(out, payload, 1000);
	CHECK_EQ(info().refuge_used_bytes, 0);
	end();
}

/* Few bytes in a chunk: of who has many of them they move out of it */
TEST(small_datagrams_on_loan_do_not_pin_a_chunk_each)
{
	begin(0, 0, 0);
	s.fake.room_bytes = 42;
	for (uint32_t i = 0; i < 60; i++) {
		arrive(100 + i);
		CHECK_GT(borrow(), 0);
		CHECK_EQ(from.bytes, 100 + i);
		CHECK_MEM(out, payload, 100 + i);
	}
	CHECK_GT(copied(TOW_COPY_RX_COMPACT), 0);
	CHECK_LE(info().lent_bytes, 30 * COST);
	tow_udp_return(udp, 60);
	end();
}

/* Small ones are in the rooms of buffers, and there are not many of those */
TEST(datagrams_on_loan_leave_buffers_for_others)
{
	struct tow_endpoint local = endpoint("::", 8);
	struct tow_udp *first;

	begin(0, 0, 0);
	for (int i = 0; i < 250; i++) {
		arrive(10);
		(void)borrow();
	}
	first = udp;
	CHECK_EQ(tow_udp_open(s.stack, &local, &udp), 0);
	CHECK_EQ(tow_udp_set_owner(udp, owner), 0);
	for (int i = 0; i < 250; i++) {
		arrive_at(8, 10);
		(void)borrow();
	}
	CHECK_EQ(borrow(), TOW_ENOBUFS);
	CHECK_LE(info().lent_bytes, 128 * sizeof(struct tow_buf));
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_LINK_TRUNCATED), 0);
	tow_udp_close(first);
	end();
}
