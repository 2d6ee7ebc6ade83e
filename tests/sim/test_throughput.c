/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long transfers take, in virtual time: a pipe is filled, whatever its
 * rate and length, windows grow to what the way needs, and a repaired loss
 * does not cost a timeout. All defaults, as a program gets them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include "sim_end.h"
#include "test.h"

#define PORT	9
#define MEGABIT 1000000u
#define HOUR_US 3600000000u

struct way {
	uint64_t bits_per_s;
	uint32_t delay_us; /* one way */
	uint32_t queue_bytes, loss_ppm;
	uint32_t caps_not; /* that devices do without */
	size_t bytes;
	enum tow_tcp_congestion congestion;
};

static struct tow_sim *sim;
static struct sim_end client, server;
static uint64_t timeouts;

static void open_end(struct sim_end *end, int segment, uint8_t number,
		     const struct way *way)
{
	struct tow_sim_port port;
	struct tow_config cfg;

	tow_config_default(&cfg);
	tow_sim_port_default(&port);
	port.caps &= ~way->caps_not;
	port.up.delay_us = way->delay_us;
	port.up.bits_per_s = way->bits_per_s;
	port.up.queue_bytes = way->queue_bytes;
	port.up.loss_ppm = way->loss_ppm;
	sim_end_open(end, sim, segment, number, &port, &cfg);
}

static size_t take(struct tow_tcp *tcp)
{
	struct tow_span spans[TOW_SPANS_MAX];
	size_t bytes = 0;
	int n;

	while ((n = tow_tcp_borrow(tcp, spans, TOW_SPANS_MAX)) > 0)
		for (int i = 0; i < n; i++)
			bytes += spans[i].len;
	CHECK_EQ(n, TOW_EAGAIN);
	tow_tcp_return(tcp, bytes);
	return bytes;
}

static void take_events(struct sim_end *end)
{
	struct tow_event events[16];

	while (tow_events(end->stack, events, 16) == 16)
		;
}

/* Returns: microseconds from connect to the last byte. */
static uint64_t transfer(const struct way *way)
{
	struct tow_endpoint at = { .port = PORT };
	struct tow_listener *listener;
	struct tow_tcp *sender, *receiver = NULL;
	struct tow_span loan = { calloc(1, way->bytes), way->bytes };
	uint64_t took_us;
	size_t got = 0;
	int segment;

	CHECK(loan.ptr);
	CHECK_EQ(tow_sim_open(&sim, 1), 0);
	segment = tow_sim_segment(sim);
	open_end(&client, segment, 1, way);
	open_end(&server, segment, 2, way);
	CHECK_EQ(tow_tcp_listen(server.stack, &at, 1, &listener), 0);
	at.addr = server.addr[0];
	CHECK_EQ(tow_tcp_connect(client.stack, NULL, &at, &sender), 0);
	CHECK_EQ(tow_tcp_set(sender, TOW_TCP_CONGESTION, way->congestion), 0);
	CHECK_EQ(tow_tcp_lend(sender, &loan, 1, 1, 0), 0);
	while (got < way->bytes) {
		CHECK(tow_sim_step(sim, HOUR_US));
		take_events(&client);
		take_events(&server);
		if (receiver || tow_tcp_accept(listener, &receiver) == 0)
			got += take(receiver);
	}
	took_us = tow_sim_now(sim);
	timeouts = tow_stats(client.stack)->counters[TOW_COUNTER_TCP_RTO];
	sim_end_close(&client, sim);
	sim_end_close(&server, sim);
	tow_sim_close(sim);
	free((void *)(uintptr_t)loan.ptr);
	return took_us;
}

/* How long the bytes take on the wire alone, with headers, and one way. */
static uint64_t ideal_us(const struct way *way)
{
	return way->bytes * 8 * 1514 / 1448 * 1000000 / way->bits_per_s +
	       way->delay_us;
}

/* In percent of the ideal time. */
static unsigned used_percent(const struct way *way)
{
	uint64_t took_us = transfer(way);
	unsigned percent = (unsigned)(took_us * 100 / ideal_us(way));

	printf("# %llu Mb/s, %u us, %zu KiB: %.3f s, %u %% of the ideal, "
	       "%llu timeouts\n",
	       (unsigned long long)way->bits_per_s / MEGABIT, way->delay_us,
	       way->bytes / 1024, (double)took_us / 1e6, percent,
	       (unsigned long long)timeouts);
	return percent;
}

TEST(local_network_is_filled)
{
	struct way way = { .bits_per_s = 1000 * MEGABIT,
			   .delay_us = 50,
			   .bytes = 32 << 20 };

	CHECK_LE(used_percent(&way), 110);
	way.caps_not = TOW_DEV_TSO4 | TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM;
	CHECK_LE(used_percent(&way), 110);
}

/* Receive windows grow from their first size to the product of both. */
TEST(long_pipe_is_filled_after_slow_start)
{
	struct way way = { .bits_per_s = 100 * MEGABIT,
			   .delay_us = 25000,
			   .bytes = 32 << 20 };

	CHECK_LE(used_percent(&way), 140);
	way.congestion = TOW_TCP_NEWRENO;
	CHECK_LE(used_percent(&way), 140);
}

/* A queue of one round trip: slow start overruns it once. */
TEST(overrun_queue_costs_no_timeout)
{
	struct way way = { .bits_per_s = 100 * MEGABIT,
			   .delay_us = 5000,
			   .queue_bytes = 125000,
			   .bytes = 32 << 20 };

	CHECK_LE(used_percent(&way), 130);
	CHECK_EQ(timeouts, 0);
	way.congestion = TOW_TCP_NEWRENO;
	CHECK_LE(used_percent(&way), 130);
	CHECK_EQ(timeouts, 0);
}

/* RFC 6675: one packet in a thousand is repaired within a round trip. */
TEST(rare_loss_on_a_short_way_costs_little)
{
	struct way way = { .bits_per_s = 100 * MEGABIT,
			   .delay_us = 500,
			   .loss_ppm = 1000,
			   .bytes = 16 << 20 };

	CHECK_LE(used_percent(&way), 150);
}
