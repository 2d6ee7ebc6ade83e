/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two stacks and a shm link between them: streams and datagrams, by reference
 * and copied; loans that outlive the peer; wrappers around the link.
 *
 *	stack 0  192.0.2.1 ==== shm ==== 192.0.2.2  stack 1
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/error.h>
#include <tow/host.h>
#include <tow/shm.h>
#include <tow/tcp.h>
#include <tow/udp.h>
#include "base/base.h"
#include "dev/shm.h"
#include "stack/stack_private.h"
#include "test.h"

#define PORT	    7
#define BYTES	    (32u << 20)
#define BLOCK_BYTES (256u << 10)

static struct tow_dev *ends[2];
static struct tow_host *hosts[2];
static struct tow_tcp *tcp[2];
static uint8_t *arenas[2];
static size_t arena_bytes;
static uint64_t loans_back[2];
static int loan_status, closed_status[2];
static bool device_gone[2];

static struct tow_stack *stack(unsigned i)
{
	return tow_host_stack(hosts[i]);
}

static const struct tow_ledger *ledger(unsigned i)
{
	return &tow_stats(stack(i))->ledger;
}

static void fill(uint8_t *out, size_t bytes, uint32_t seed)
{
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1664525 + 1013904223;
		out[i] = (uint8_t)(seed >> 24);
	}
}

static void take_event(unsigned i, const struct tow_event *event)
{
	switch (event->type) {
	case TOW_EVENT_LOAN:
		loans_back[i]++;
		loan_status = event->status;
		break;
	case TOW_EVENT_CLOSED:
		closed_status[i] = event->status;
		break;
	case TOW_EVENT_DEVICE:
		device_gone[i] = true;
		break;
	default:
		break;
	}
}

static void turn(void)
{
	struct tow_event events[16];

	for (unsigned i = 0; i < 2; i++) {
		int n = hosts[i] ? tow_host_wait(hosts[i], events, 16, 0) : 0;

		for (int j = 0; j < n; j++)
			take_event(i, &events[j]);
	}
}

static void open_host(unsigned i, const char *wrapper)
{
	char error[200];

	arenas[i] = tow_shm_arena(ends[i], &arena_bytes);
	if (wrapper) {
		CHECK_EQ(tow_dev_wrap(&ends[i], ends[i], wrapper, error,
				      sizeof(error)),
			 0);
		CHECK(tow_shm_arena(ends[i], &arena_bytes) == arenas[i]);
	}
	CHECK_EQ(tow_host_open(&hosts[i], NULL), 0);
	CHECK_EQ(tow_host_attach_dev(hosts[i], ends[i]), 0);
	CHECK_EQ(
		tow_host_addr(hosts[i], 0, i ? "192.0.2.2/24" : "192.0.2.1/24"),
		0);
}

static void open_both(const char *wrapper, const struct tow_shm *how)
{
	CHECK_EQ(tow_shm_pair(ends, how), 0);
	open_host(0, wrapper);
	open_host(1, NULL);
	fill(arenas[0], arena_bytes, 1);
	fill(arenas[1], arena_bytes, 2);
}

static void close_both(void)
{
	for (unsigned i = 0; i < 2; i++)
		if (hosts[i])
			tow_host_close(hosts[i]);
}

static void connect_both(void)
{
	struct tow_endpoint at = { tow_addr_v4(192, 0, 2, 2), PORT, 0 };
	struct tow_listener *listener;

	CHECK_EQ(tow_tcp_listen(stack(1), &at, 1, &listener), 0);
	CHECK_EQ(tow_tcp_connect(stack(0), NULL, &at, &tcp[0]), 0);
	while (tow_tcp_accept(listener, &tcp[1]))
		turn();
	tow_listener_close(listener);
}

/* Lend from @memory, a block at a time and round and round. */
struct lender {
	const uint8_t *memory;
	uint64_t lent, loans;
};

static void lend_more(unsigned i, struct lender *l)
{
	while (l->lent < BYTES && l->loans - loans_back[i] < 16) {
		struct tow_span span = {
			l->memory + l->lent % (16 * BLOCK_BYTES), BLOCK_BYTES
		};
		int result = tow_tcp_lend(tcp[i], &span, 1, l->loans + 1, 0);

		if (result == TOW_EAGAIN || result == TOW_ENOBUFS)
			return;
		CHECK_EQ(result, 0);
		l->lent += BLOCK_BYTES;
		l->loans++;
	}
}

/* What arrives is compared with what @memory has there. */
static uint64_t borrow_more(unsigned i, const uint8_t *memory, uint64_t at)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n = tow_tcp_borrow(tcp[i], spans, TOW_SPANS_MAX);
	size_t bytes = 0;

	if (n == TOW_EAGAIN)
		return 0;
	CHECK_GT(n, 0);
	for (int j = 0; j < n; j++) {
		const uint8_t *p = spans[j].ptr;
		size_t left = spans[j].len;

		while (left > 0) {
			size_t from = (at + bytes) % (16 * BLOCK_BYTES);
			size_t piece = MIN(left, 16 * BLOCK_BYTES - from);

			CHECK_MEM(p, memory + from, piece);
			bytes += piece;
			p += piece;
			left -= piece;
		}
	}
	tow_tcp_return(tcp[i], bytes);
	return bytes;
}

static void transfer_both_ways(const uint8_t *const memory[2])
{
	struct lender lenders[2] = { { .memory = memory[0] },
				     { .memory = memory[1] } };
	uint64_t got[2] = { 0, 0 };

	while (got[0] < BYTES || got[1] < BYTES ||
	       loans_back[0] < lenders[0].loans ||
	       loans_back[1] < lenders[1].loans) {
		for (unsigned i = 0; i < 2; i++) {
			lend_more(i, &lenders[i]);
			got[i] += borrow_more(i, memory[!i], got[i]);
		}
		turn();
	}
}

static uint64_t copied(unsigned i)
{
	uint64_t all = 0;

	for (unsigned reason = 0; reason < TOW_COPY_REASONS; reason++)
		all += ledger(i)->copied_bytes[reason];
	return all;
}

/* The evidence: nobody copied or touched a byte, from end to end. */
TEST(lent_from_the_arena_nothing_is_copied_at_either_end)
{
	const uint8_t *memory[2];

	open_both(NULL, NULL);
	connect_both();
	memory[0] = arenas[0];
	memory[1] = arenas[1];
	transfer_both_ways(memory);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(copied(i), 0);
		CHECK_EQ(ledger(i)->tx_lent_bytes, BYTES);
		CHECK_EQ(ledger(i)->rx_lent_bytes, BYTES);
		CHECK_EQ(ledger(i)->tx_touched_bytes, 0);
		CHECK_EQ(ledger(i)->rx_touched_bytes, 0);
	}
	close_both();
}

TEST(lent_from_elsewhere_it_is_copied_once)
{
	static uint8_t memory[2][16 * BLOCK_BYTES];
	const uint8_t *both[2] = { memory[0], memory[1] };

	fill(memory[0], sizeof(memory[0]), 3);
	fill(memory[1], sizeof(memory[1]), 4);
	open_both(NULL, NULL);
	connect_both();
	transfer_both_ways(both);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_GE(ledger(i)->copied_bytes[TOW_COPY_TX_SHAPE], BYTES);
		CHECK_EQ(copied(i), ledger(i)->copied_bytes[TOW_COPY_TX_SHAPE]);
	}
	close_both();
}

TEST(packets_of_1500_bytes_cross_as_well)
{
	const uint8_t *memory[2];
	struct tow_shm how;

	tow_shm_default(&how);
	how.mtu = 1500;
	how.ring_frames = 16;
	open_both(NULL, &how);
	connect_both();
	memory[0] = arenas[0];
	memory[1] = arenas[1];
	transfer_both_ways(memory);
	CHECK_EQ(copied(0) + copied(1), 0);
	close_both();
}

TEST(a_lossy_wrapper_around_a_link_loses_no_byte_of_a_stream)
{
	const uint8_t *memory[2];

	open_both("fault:loss=1%,reorder=1%,dup=1%,gap=100us", NULL);
	connect_both();
	memory[0] = arenas[0];
	memory[1] = arenas[1];
	transfer_both_ways(memory);
	CHECK_EQ(loan_status, 0);
	close_both();
}

TEST(a_capture_around_a_link_gives_back_what_was_lent)
{
	const uint8_t *memory[2];

	open_both("pcap:file=/dev/null,snap=64", NULL);
	connect_both();
	memory[0] = arenas[0];
	memory[1] = arenas[1];
	transfer_both_ways(memory);
	CHECK_EQ(copied(0) + copied(1), 0);
	close_both();
}

TEST(a_datagram_is_lent_borrowed_and_its_loan_ends_by_the_return)
{
	struct tow_endpoint to = { tow_addr_v4(192, 0, 2, 2), PORT, 0 };
	struct tow_endpoint any = { tow_addr_any(), 0, 0 };
	struct tow_span spans[TOW_SPANS_MAX], loan;
	struct tow_udp_message message = {
		.peer = to, .spans = &loan, .span_count = 1, .token = 9
	};
	struct tow_udp *from, *at;

	open_both(NULL, NULL);
	CHECK_EQ(tow_udp_open(stack(0), &any, &from), 0);
	CHECK_EQ(tow_udp_open(stack(1), &to, &at), 0);
	loan = (struct tow_span){ arenas[0] + 1000, 60000 };
	CHECK_EQ(tow_udp_lend(from, &message, 1), 1);
	for (unsigned i = 0; i < 50; i++)
		turn();
	CHECK_EQ(tow_udp_borrow(at, spans, TOW_SPANS_MAX, NULL), 1);
	CHECK_EQ(spans[0].len, 60000);
	CHECK_MEM(spans[0].ptr, arenas[0] + 1000, 60000);
	CHECK_EQ(loans_back[0], 0); /* it is being looked at */
	tow_udp_return(at, 1);
	for (unsigned i = 0; i < 50; i++)
		turn();
	CHECK_EQ(loans_back[0], 1);
	CHECK_EQ(copied(0) + copied(1), 0);
	close_both();
}

/* ----------------------------------------------------------- one end leaves */

/* 0 has lent, 1 has borrowed and keeps it. */
static struct tow_span lend_and_keep(void)
{
	struct tow_span span = { arenas[0], BLOCK_BYTES }, kept[TOW_SPANS_MAX];
	int n;

	CHECK_EQ(tow_tcp_lend(tcp[0], &span, 1, 1, 0), 0);
	do
		turn();
	while ((n = tow_tcp_borrow(tcp[1], kept, TOW_SPANS_MAX)) == TOW_EAGAIN);
	CHECK_GT(n, 0);
	for (unsigned i = 0; i < 100; i++)
		turn();
	CHECK_EQ(loans_back[0], 0);
	return kept[0];
}

static void turn_until_gone(unsigned i)
{
	uint64_t end_us = tow_host_clock_us() + 5000000;

	while (!device_gone[i] && tow_host_clock_us() < end_us)
		turn();
	CHECK(device_gone[i]);
	for (unsigned j = 0; j < 10; j++)
		turn();
}

TEST(when_the_borrower_leaves_the_lender_has_its_memory_again)
{
	open_both(NULL, NULL);
	connect_both();
	lend_and_keep();
	tow_host_close(hosts[1]);
	hosts[1] = NULL;
	turn_until_gone(0);
	CHECK_EQ(loans_back[0], 1);
	CHECK_EQ(loan_status, TOW_ENETDOWN);
	CHECK_EQ(closed_status[0], TOW_ENETDOWN);
	close_both();
}

TEST(when_the_lender_leaves_what_is_borrowed_stays_readable)
{
	static uint8_t before[BLOCK_BYTES];
	struct tow_span kept;

	open_both(NULL, NULL);
	connect_both();
	memcpy(before, arenas[0], sizeof(before));
	kept = lend_and_keep();
	tow_host_close(hosts[0]);
	hosts[0] = NULL;
	turn_until_gone(1);
	CHECK_EQ(closed_status[1], TOW_ENETDOWN);
	CHECK_MEM(kept.ptr, before, MIN(kept.len, sizeof(before)));
	tow_tcp_abort(tcp[1]);
	turn();
	CHECK(shm_of(ends[1])->over == NULL);
	CHECK_EQ(stack(1)->net.rx_pool.bufs_left + SHM_SPARES,
		 stack(1)->net.rx_pool.bufs_total);
	close_both();
}

TEST(a_reset_gives_back_what_is_on_its_way)
{
	open_both(NULL, NULL);
	connect_both();
	lend_and_keep();
	tow_tcp_abort(tcp[1]);
	for (unsigned i = 0; i < 100; i++)
		turn();
	CHECK_EQ(loans_back[0], 1);
	CHECK_EQ(loan_status, TOW_ECONNRESET);
	CHECK(!device_gone[0] && !device_gone[1]);
	close_both();
}

/* The FIN is in the ring, and is found there. */
TEST(an_end_that_leaves_right_after_its_last_bytes_has_sent_them)
{
	uint8_t out[10];
	int64_t got;

	open_both(NULL, NULL);
	connect_both();
	CHECK_EQ(tow_tcp_send(tcp[0], "goodbye", 7, 0), 7);
	tow_tcp_close(tcp[0]);
	tow_poll(stack(0), tow_host_clock_us());
	tow_host_close(hosts[0]);
	hosts[0] = NULL;
	turn_until_gone(1);
	got = tow_tcp_recv(tcp[1], out, sizeof(out));
	CHECK_EQ(got, 7);
	CHECK_MEM(out, "goodbye", 7);
	close_both();
}

/* A reader that never reads; its neighbour is not stopped. */
TEST(a_connection_that_is_not_read_leaves_the_link_to_the_others)
{
	struct tow_span all = { NULL, 0 };
	uint64_t got = 0, end_us;
	struct tow_tcp *stalled;

	open_both(NULL, NULL);
	connect_both();
	stalled = tcp[0];
	all = (struct tow_span){ arenas[0], arena_bytes };
	for (unsigned i = 0; i < 100; i++) {
		(void)!tow_tcp_lend(stalled, &all, 1, 1000 + i, 0);
		turn();
	}
	connect_both();
	end_us = tow_host_clock_us() + 10000000;
	for (uint64_t lent = 0; got < 4 * BLOCK_BYTES;) {
		struct tow_span span = { arenas[0] + got, BLOCK_BYTES };

		if (lent <= got && !tow_tcp_lend(tcp[0], &span, 1, 1, 0))
			lent += BLOCK_BYTES;
		turn();
		got += borrow_more(1, arenas[0], got);
		CHECK_LT(tow_host_clock_us(), end_us);
	}
	close_both();
}
