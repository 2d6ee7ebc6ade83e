/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack of a measuring program: opened with the default sizes, as a user
 * would; only what a benchmark of one flow has no use for is made smaller.
 */
#include "bench_stack.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define SPIN_NS   50000
#define REST_MS   100 /* longest sleep */
#define LEAVE_NS  2000000000ull

static uint64_t now_us(void)
{
	return bench_now_ns() / 1000;
}

/* Large pages where there are some: the pool is one large region. */
static void *take_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bench_fail("memory for the stack: %m");
	madvise(memory, bytes, MADV_HUGEPAGE);
	return memory;
}

static void attach(struct bench_stack *bench, const struct bench_args *args)
{
	char error[256] = "";
	struct tow_dev *dev;
	struct tow_addr addr;
	unsigned prefix_bits;
	int link;

	if (!args->dev || !args->local)
		bench_fail("--dev and --local are needed");
	if (tow_dev_open(&dev, args->dev, error, sizeof(error)) < 0)
		bench_fail("%s", error);
	link = tow_attach(bench->stack, dev);
	if (link < 0)
		bench_fail("attach: %s", tow_strerror(link));
	if (tow_cidr_parse(&addr, &prefix_bits, args->local) < 0 ||
	    tow_addr_add(bench->stack, link, &addr, prefix_bits) < 0)
		bench_fail("%s: not an address for the stack", args->local);
}

void bench_stack_open(struct bench_stack *bench, const struct bench_args *args)
{
	struct tow_config cfg;
	int error;

	tow_config_default(&cfg);
	if (getrandom(cfg.secret, sizeof(cfg.secret), 0) < 0)
		bench_fail("getrandom: %m");
	*bench = (struct bench_stack){ .memory_bytes = tow_need(&cfg) };
	bench->memory = take_memory(bench->memory_bytes);
	error = tow_open(&bench->stack, &cfg, bench->memory,
			 bench->memory_bytes);
	if (error < 0)
		bench_fail("open: %s", tow_strerror(error));
	attach(bench, args);
}

static int rest_ms(const struct bench_stack *bench)
{
	uint64_t deadline_us = tow_deadline(bench->stack);
	uint64_t now = now_us();

	if (deadline_us <= now)
		return 0;
	if (deadline_us - now >= REST_MS * 1000ull)
		return REST_MS;
	return (int)((deadline_us - now + 999) / 1000);
}

static void rest(struct bench_stack *bench)
{
	struct pollfd wait = {
		.fd = tow_wait_fd(bench->stack, 0),
		.events = POLLIN,
	};
	uint64_t now = bench_now_ns();

	if (bench->idle_since_ns == 0)
		bench->idle_since_ns = now;
	if (now - bench->idle_since_ns < SPIN_NS)
		return;
	poll(&wait, 1, rest_ms(bench));
	bench->idle_since_ns = 0;
}

int bench_stack_turn(struct bench_stack *bench, struct tow_event *events,
		     int max)
{
	int work = tow_poll(bench->stack, now_us());
	int count = tow_events(bench->stack, events, max);
	int i;

	if (work > 0 || count > 0)
		bench->idle_since_ns = 0;
	else
		rest(bench);
	for (i = 0; i < count; i++)
		if (events[i].type == TOW_EVENT_DEVICE)
			bench_fail("the device is gone");
	return count;
}

void bench_stack_close(struct bench_stack *bench)
{
	uint64_t until_ns = bench_now_ns() + LEAVE_NS;
	struct tow_event events[64];

	while (!tow_idle(bench->stack) && bench_now_ns() < until_ns)
		bench_stack_turn(bench, events, 64);
	tow_close(bench->stack);
	munmap(bench->memory, bench->memory_bytes);
}

static uint64_t sum(const uint64_t *values, size_t count)
{
	uint64_t all = 0;

	while (count > 0)
		all += values[--count];
	return all;
}

void bench_stack_ledger(const struct bench_stack *bench, char *out,
			size_t bytes)
{
	const struct tow_stats *stats = tow_stats(bench->stack);
	const struct tow_ledger *ledger = &stats->ledger;

	snprintf(out, bytes,
		 "\"lent_bytes\":%" PRIu64 ",\"copied_bytes\":%" PRIu64
		 ",\"touched_bytes\":%" PRIu64 ",\"retransmits\":%" PRIu64
		 ",\"drops\":%" PRIu64 ",\"segments_out\":%" PRIu64
		 ",\"segments_in\":%" PRIu64 ",",
		 ledger->tx_lent_bytes + ledger->rx_lent_bytes,
		 sum(ledger->copied_bytes, TOW_COPY_REASONS),
		 ledger->tx_touched_bytes + ledger->rx_touched_bytes,
		 stats->counters[TOW_COUNTER_TCP_RETRANS_SEGS],
		 sum(stats->drops, TOW_DROP_REASONS),
		 stats->counters[TOW_COUNTER_TCP_SEGS_OUT],
		 stats->counters[TOW_COUNTER_TCP_SEGS_IN]);
}

struct tow_endpoint bench_peer(const struct bench_args *args)
{
	uint8_t b[4];

	memcpy(b, &args->addr, sizeof(b));
	return (struct tow_endpoint){
		.addr = tow_addr_v4(b[0], b[1], b[2], b[3]),
		.port = args->port,
	};
}
