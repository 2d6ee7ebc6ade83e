/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack of a measuring program.
 */
#include "bench_stack.h"

#include <inttypes.h>
#include <string.h>

#define LEAVE_NS   2000000000ull
#define TIMEOUT_US 1000000

struct tow_host *bench_stack_open(const struct bench_args *args)
{
	struct tow_host *host;
	int link;

	if (!args->dev || !args->local)
		bench_fail("--dev and --local are needed");
	if (tow_host_open(&host, NULL) < 0)
		bench_fail("the stack does not open");
	link = tow_host_attach(host, args->dev);
	if (link < 0 || tow_host_addr(host, link, args->local) < 0)
		bench_fail("%s", tow_host_error(host));
	return host;
}

static int run(struct tow_host *host, struct tow_event *events, int max,
	       int64_t timeout_us)
{
	int count = tow_host_wait(host, events, max, timeout_us);
	int i;

	for (i = 0; i < count; i++)
		if (events[i].type == TOW_EVENT_DEVICE)
			bench_fail("the device is gone");
	return count;
}

int bench_stack_wait(struct tow_host *host, struct tow_event *events, int max)
{
	return run(host, events, max, TIMEOUT_US);
}

int bench_stack_turn(struct tow_host *host, struct tow_event *events, int max)
{
	return run(host, events, max, 0);
}

void bench_stack_close(struct tow_host *host)
{
	uint64_t until_ns = bench_now_ns() + LEAVE_NS;
	struct tow_event events[64];

	/* The other end of a shm device may be gone by now. */
	while (!tow_idle(tow_host_stack(host)) && bench_now_ns() < until_ns)
		(void)!tow_host_wait(host, events, 64, 0);
	tow_host_close(host);
}

static uint64_t sum(const uint64_t *values, size_t count)
{
	uint64_t all = 0;

	while (count > 0)
		all += values[--count];
	return all;
}

void bench_stack_ledger(struct tow_host *host, char *out, size_t bytes)
{
	const struct tow_stats *stats = tow_stats(tow_host_stack(host));
	const struct tow_ledger *ledger = &stats->ledger;
	size_t at = 0;

	for (unsigned i = 0; i < TOW_COPY_REASONS && at < bytes; i++)
		if (ledger->copied_bytes[i])
			at += (size_t)snprintf(
				out + at, bytes - at,
				"\"copied_%s_bytes\":%" PRIu64 ",",
				tow_copy_name(i), ledger->copied_bytes[i]);
	if (at >= bytes)
		bench_fail("no room for the ledger");
	snprintf(out + at, bytes - at,
		 "\"lent_bytes\":%" PRIu64 ",\"placed_bytes\":%" PRIu64
		 ",\"copied_bytes\":%" PRIu64 ",\"touched_bytes\":%" PRIu64
		 ",\"retransmits\":%" PRIu64 ",\"timeouts\":%" PRIu64
		 ",\"drops\":%" PRIu64 ",\"segments_out\":%" PRIu64
		 ",\"segments_in\":%" PRIu64 ",",
		 ledger->tx_lent_bytes + ledger->rx_lent_bytes,
		 ledger->rx_placed_bytes,
		 sum(ledger->copied_bytes, TOW_COPY_REASONS),
		 ledger->tx_touched_bytes + ledger->rx_touched_bytes,
		 stats->counters[TOW_COUNTER_TCP_RETRANS_SEGS],
		 stats->counters[TOW_COUNTER_TCP_RTO],
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
