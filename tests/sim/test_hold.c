/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One of many receivers does not return what it borrows. How much of their rate
 * do the others keep, and does the device ever miss a buffer? In virtual time:
 *
 *	sender --- 10 Gb/s --- receiver, a ring of 8 MiB
 *	  |  64 connections, each with more to send than there is time  |
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tow/owner.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include <tow/udp.h>
#include "test.h"

#define PORT	  9
#define FLOWS	  64
#define LOAN	  ((size_t)1 << 30) /* the same zeros for all */
#define WARM_US	  100000u
#define WINDOW_US 150000u

enum manner { RETURNS, HOLDS, IGNORES };

struct flow {
	struct tow_tcp *tcp;
	enum manner manner;
	uint64_t bytes;
};

static struct tow_sim *sim;
static struct tow_stack *sender, *receiver;
static void *sender_memory, *receiver_memory;
static struct tow_listener *listener;
static struct tow_owner *owner;
static struct flow flows[FLOWS];
static unsigned count;

struct how {
	unsigned flows, bad; /* in all, and of these: the first ones */
	enum manner manner;  /* of the bad ones */
	struct tow_owner_config *owner; /* that they belong to */
};

static struct tow_stack *open_stack(int segment, uint8_t number,
				    uint32_t rx_chunks, void **memory)
{
	struct tow_addr addr = tow_addr_v4(10, 0, 0, number);
	struct tow_sim_port port;
	struct tow_config cfg;
	struct tow_stack *stack;
	struct tow_dev *dev;
	size_t need;

	tow_config_default(&cfg);
	memset(cfg.secret, number, sizeof(cfg.secret));
	cfg.rx_chunks = rx_chunks;
	cfg.rx_bufs = rx_chunks + rx_chunks / 2;
	need = (tow_need(&cfg) + 63) / 64 * 64;
	*memory = aligned_alloc(64, need);
	CHECK(*memory);
	CHECK_EQ(tow_open(&stack, &cfg, *memory, need), 0);
	tow_sim_port_default(&port);
	port.up.delay_us = 100;
	port.up.bits_per_s = 10000000000;
	CHECK_EQ(tow_sim_port_open(sim, segment, &port, &dev), 0);
	CHECK_EQ(tow_attach(stack, dev), 0);
	CHECK_EQ(tow_addr_add(stack, 0, &addr, 24), 0);
	CHECK_EQ(tow_sim_add(sim, stack), 0);
	return stack;
}

static void open_world(const struct how *how)
{
	struct tow_endpoint at = { .port = PORT };
	int segment;

	CHECK_EQ(tow_sim_open(&sim, 1), 0);
	segment = tow_sim_segment(sim);
	sender = open_stack(segment, 1, 8192, &sender_memory);
	receiver = open_stack(segment, 2, 2048, &receiver_memory);
	CHECK_EQ(tow_tcp_listen(receiver, &at, FLOWS, &listener), 0);
	owner = NULL;
	if (how->owner)
		CHECK_EQ(tow_owner_open(receiver, how->owner, &owner), 0);
	memset(flows, 0, sizeof(flows));
	count = 0;
}

static void close_world(void)
{
	tow_sim_remove(sim, sender);
	tow_sim_remove(sim, receiver);
	tow_close(sender);
	tow_close(receiver);
	free(sender_memory);
	free(receiver_memory);
	tow_sim_close(sim);
}

static void read_some(struct flow *flow)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n;

	while (flow->manner != IGNORES &&
	       (n = tow_tcp_borrow(flow->tcp, spans, TOW_SPANS_MAX)) > 0) {
		size_t bytes = 0;

		for (int i = 0; i < n; i++) {
			bytes += spans[i].len;
			CHECK_EQ(*(const uint8_t *)spans[i].ptr, 0);
		}
		if (flow->manner == HOLDS)
			continue;
		tow_tcp_return(flow->tcp, bytes);
		flow->bytes += bytes;
	}
}

static void accept_all(const struct how *how)
{
	struct tow_tcp *tcp;

	while (tow_tcp_accept(listener, &tcp) == 0) {
		struct flow *flow = &flows[count];

		flow->tcp = tcp;
		flow->manner = count < how->bad ? how->manner : RETURNS;
		if (count++ < how->bad && owner)
			CHECK_EQ(tow_tcp_set_owner(tcp, owner), 0);
		tow_tcp_set_user(tcp, flow);
		read_some(flow);
	}
}

static void act(const struct how *how)
{
	struct tow_event events[64];
	int n;

	while ((n = tow_events(sender, events, 64)) == 64)
		;
	while ((n = tow_events(receiver, events, 64)) > 0)
		for (int i = 0; i < n; i++) {
			if (events[i].type == TOW_EVENT_ACCEPT)
				accept_all(how);
			else if (events[i].user)
				read_some(events[i].user);
		}
}

static uint64_t all_bytes(void)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += flows[i].bytes;
	return bytes;
}

static void run_until(const struct how *how, uint64_t at_us)
{
	while (tow_sim_step(sim, at_us))
		act(how);
}

static void connect_all(const struct how *how, const struct tow_span *loan)
{
	struct tow_endpoint to = { tow_addr_v4(10, 0, 0, 2), PORT, 0 };
	struct tow_tcp *tcp;

	for (unsigned i = 0; i < how->flows; i++) {
		CHECK_EQ(tow_tcp_connect(sender, NULL, &to, &tcp), 0);
		CHECK_EQ(tow_tcp_lend(tcp, loan, 1, 1, 0), 0);
		if (i == 0) /* few SYNs may wait for the address */
			run_until(how, 10000);
	}
}

/* Returns: bytes a second, of those who return what they borrow. */
static double rate(const struct how *how)
{
	struct tow_span loan = {
		mmap(NULL, LOAN, PROT_READ,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
		LOAN,
	};
	const struct tow_stats *stats;
	uint64_t bytes;

	CHECK(loan.ptr != MAP_FAILED);
	open_world(how);
	connect_all(how, &loan);
	run_until(how, WARM_US);
	CHECK_EQ(count, how->flows);
	bytes = all_bytes();
	run_until(how, WARM_US + WINDOW_US);
	bytes = all_bytes() - bytes;
	stats = tow_stats(receiver);
	CHECK_EQ(stats->counters[TOW_COUNTER_NO_RX_BUFFERS], 0);
	CHECK_EQ(stats->drops[TOW_DROP_LINK_TRUNCATED], 0);
	close_world();
	munmap((void *)(uintptr_t)loan.ptr, LOAN);
	return (double)bytes * 1e6 / WINDOW_US;
}

static void compare(const char *what, const struct how *how)
{
	struct how alone = { .flows = how->flows - how->bad };
	double before = rate(&alone), after = rate(how);

	printf("# %s: %.1f of %.1f MB/s\n", what, after / 1e6, before / 1e6);
	CHECK_GT(before, 0);
	CHECK(after >= 0.95 * before);
}

TEST(one_that_never_returns_leaves_their_rate_to_the_others)
{
	struct how how = { .flows = FLOWS, .bad = 1, .manner = HOLDS };

	compare("one of 64 holds", &how);
}

TEST(one_that_never_reads_leaves_their_rate_to_the_others)
{
	struct how how = { .flows = FLOWS, .bad = 1, .manner = IGNORES };

	compare("one of 64 does not read", &how);
}

/* Its loans are revoked again and again, and it borrows at once again. */
TEST(one_that_is_governed_leaves_their_rate_to_the_others)
{
	struct tow_owner_config config = { .budget_bytes = 1 << 20,
					   .deadline_us = 10000,
					   .refuge_bytes = 4 << 20 };
	struct how how = {
		.flows = FLOWS, .bad = 1, .manner = HOLDS, .owner = &config
	};

	config.refuge = malloc(config.refuge_bytes);
	compare("one of 64 holds, governed", &how);
	free(config.refuge);
}

/* Half of them, of one client */
TEST(client_that_never_returns_leaves_their_rate_to_the_others)
{
	struct tow_owner_config config = { .budget_bytes = 1 << 20,
					   .deadline_us = 10000,
					   .refuge_bytes = 16 << 20 };
	struct how how = { .flows = FLOWS,
			   .bad = FLOWS / 2,
			   .manner = HOLDS,
			   .owner = &config };

	config.refuge = malloc(config.refuge_bytes);
	compare("32 of 64 hold, governed", &how);
	free(config.refuge);
}
