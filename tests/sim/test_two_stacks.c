/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two stacks in one process, and two networks of them: nobody knows of the
 * others, and the same seed makes the same run to the last byte of a capture.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include <tow/udp.h>
#include "sim_end.h"
#include "test.h"

#define BYTES 200000u
#define PORT  9

/* A network of two, with a transfer from one to the other. */
struct network {
	struct tow_sim *sim;
	struct sim_end a, b;
	struct tow_listener *listener;
	struct tow_tcp *sender, *receiver;
	size_t received;
	int loans_back;
};

static uint8_t data[BYTES];

static void network_open(struct network *net, uint64_t seed,
			 const char *capture)
{
	struct tow_sim_port port;
	struct tow_config cfg;
	int segment;

	tow_config_default(&cfg);
	cfg.tcp_max = 8;
	cfg.rx_chunks = 512;
	cfg.rx_bufs = 600;
	memset(net, 0, sizeof(*net));
	for (size_t i = 0; i < BYTES; i++)
		data[i] = (uint8_t)(i * 13 + (i >> 8));
	CHECK_EQ(tow_sim_open(&net->sim, seed), 0);
	if (capture)
		CHECK_EQ(tow_sim_capture(net->sim, capture), 0);
	segment = tow_sim_segment(net->sim);
	tow_sim_port_default(&port);
	port.up.delay_us = 2000;
	port.up.bits_per_s = 50000000;
	port.up.loss_ppm = 20000;
	port.up.reorder_ppm = 20000;
	port.up.reorder_us = 3000;
	sim_end_open(&net->a, net->sim, segment, 1, &port, &cfg);
	sim_end_open(&net->b, net->sim, segment, 2, &port, &cfg);
}

static void begin(struct network *net, int family)
{
	struct tow_endpoint any = { .port = PORT };
	struct tow_endpoint to = { net->b.addr[family], PORT, 0 };
	struct tow_span loan = { data, BYTES };

	CHECK_EQ(tow_tcp_listen(net->b.stack, &any, 1, &net->listener), 0);
	CHECK_EQ(tow_tcp_connect(net->a.stack, NULL, &to, &net->sender), 0);
	CHECK_EQ(tow_tcp_lend(net->sender, &loan, 1, 5, 0), 0);
}

static void take_bytes(struct network *net)
{
	struct tow_span spans[TOW_SPANS_MAX];
	size_t bytes = 0;
	int n;

	while ((n = tow_tcp_borrow(net->receiver, spans, TOW_SPANS_MAX)) > 0)
		for (int i = 0; i < n; bytes += spans[i++].len)
			CHECK_MEM(spans[i].ptr, data + net->received + bytes,
				  spans[i].len);
	CHECK_EQ(n, TOW_EAGAIN);
	tow_tcp_return(net->receiver, bytes);
	net->received += bytes;
}

/* Returns: is everything there, and the loan back? */
static bool step(struct network *net)
{
	struct tow_event events[16];
	int n;

	CHECK(tow_sim_step(net->sim, 3600000000u));
	n = tow_events(net->a.stack, events, 16);
	for (int i = 0; i < n; i++) {
		if (events[i].type != TOW_EVENT_LOAN)
			continue;
		CHECK_EQ(events[i].token, 5);
		CHECK_EQ(events[i].status, 0);
		net->loans_back++;
	}
	(void)!tow_events(net->b.stack, events, 16);
	if (net->receiver || tow_tcp_accept(net->listener, &net->receiver) == 0)
		take_bytes(net);
	return net->received == BYTES && net->loans_back == 1;
}

static void network_close(struct network *net)
{
	sim_end_close(&net->a, net->sim);
	sim_end_close(&net->b, net->sim);
	tow_sim_close(net->sim);
}

static void transfer(int family)
{
	static struct network net;

	network_open(&net, 1, NULL);
	begin(&net, family);
	while (!step(&net))
		;
	CHECK_EQ(tow_stats(net.a.stack)->ledger.tx_lent_bytes, BYTES);
	CHECK_EQ(tow_stats(net.b.stack)->ledger.rx_lent_bytes, BYTES);
	network_close(&net);
}

TEST(bytes_cross_from_stack_to_stack_over_ipv4)
{
	transfer(0);
}

TEST(bytes_cross_from_stack_to_stack_over_ipv6)
{
	transfer(1);
}

/* RFC 4007: with one link there is only one zone that can be meant */
TEST(bytes_cross_from_stack_to_stack_over_link_local_addresses)
{
	transfer(2);
}

/* Virtual time at the end is a digest of all that happened. */
static uint64_t run_alone(uint64_t seed)
{
	static struct network net;
	uint64_t end_us;

	network_open(&net, seed, NULL);
	begin(&net, 0);
	while (!step(&net))
		;
	end_us = tow_sim_now(net.sim);
	network_close(&net);
	return end_us;
}

TEST(two_networks_in_one_process_do_not_know_of_each_other)
{
	static struct network one, two;
	uint64_t one_us = run_alone(1), two_us = run_alone(2);
	bool one_done = false, two_done = false;

	CHECK_NE(one_us, two_us);
	network_open(&one, 1, NULL);
	network_open(&two, 2, NULL);
	begin(&one, 0);
	begin(&two, 0);
	while (!one_done || !two_done) {
		if (!one_done)
			one_done = step(&one);
		if (!two_done)
			two_done = step(&two);
	}
	CHECK_EQ(tow_sim_now(one.sim), one_us);
	CHECK_EQ(tow_sim_now(two.sim), two_us);
	network_close(&one);
	network_close(&two);
}

static size_t capture_of_run(uint64_t seed, const char *path, uint8_t *out,
			     size_t room)
{
	static struct network net;
	size_t bytes;
	FILE *file;

	network_open(&net, seed, path);
	begin(&net, 1);
	while (!step(&net))
		;
	network_close(&net);
	file = fopen(path, "rb");
	CHECK(file);
	bytes = fread(out, 1, room, file);
	fclose(file);
	unlink(path);
	CHECK_LT(bytes, room);
	return bytes;
}

TEST(equal_seeds_make_equal_captures)
{
	enum { ROOM = 1 << 20 };
	uint8_t *first = malloc(ROOM), *second = malloc(ROOM);
	char path[64];
	size_t bytes;

	CHECK(first && second);
	snprintf(path, sizeof(path), "/tmp/two-stacks-%d.pcapng",
		 (int)getpid());
	bytes = capture_of_run(3, path, first, ROOM);
	CHECK_GT(bytes, BYTES);
	CHECK_EQ(capture_of_run(3, path, second, ROOM), bytes);
	CHECK_MEM(first, second, bytes);
	free(first);
	free(second);
}

TEST(capture_that_cannot_be_written_is_an_error)
{
	struct tow_sim *sim;

	CHECK_EQ(tow_sim_open(&sim, 1), 0);
	CHECK_EQ(tow_sim_capture(sim, "/nowhere/file.pcapng"), TOW_ENOENT);
	tow_sim_close(sim);
}

TEST(clock_stops_where_it_was_told_to)
{
	static struct network net;

	network_open(&net, 1, NULL);
	while (tow_sim_step(net.sim, 12345))
		CHECK(tow_sim_now(net.sim) <= 12345);
	CHECK_EQ(tow_sim_now(net.sim), 12345);
	CHECK_GT(tow_sim_next(net.sim), 12345);
	network_close(&net);
}

/* Loans that are still out end with tow_close(), without events. */
TEST(stacks_close_in_the_middle_of_a_transfer)
{
	for (unsigned steps = 1; steps < 200; steps += 7) {
		static struct network net;

		network_open(&net, steps, NULL);
		begin(&net, 0);
		for (unsigned i = 0; i < steps; i++)
			step(&net);
		network_close(&net);
	}
}

/* Loopback inside of one stack: a device sees reports of groups only. */
TEST(stack_talks_to_itself)
{
	static struct network net;
	struct tow_endpoint here = { .port = PORT };
	struct tow_span loan = { data, BYTES };
	const struct tow_stats *stats;

	network_open(&net, 1, NULL);
	here.addr = net.a.addr[0];
	CHECK_EQ(tow_tcp_listen(net.a.stack, &here, 1, &net.listener), 0);
	CHECK_EQ(tow_tcp_connect(net.a.stack, NULL, &here, &net.sender), 0);
	CHECK_EQ(tow_tcp_lend(net.sender, &loan, 1, 5, 0), 0);
	while (!step(&net))
		;
	stats = tow_stats(net.a.stack);
	CHECK_EQ(tow_sim_stats(net.a.dev)->fates[TOW_SIM_SENT],
		 stats->counters[TOW_COUNTER_GROUP_REPORTS]);
	network_close(&net);
}

/* RFC 4987 3.6: a clock may begin at 0. */
TEST(cookie_is_known_when_the_clock_shows_nothing)
{
	static struct network net;
	struct tow_endpoint here = { .port = PORT };

	network_open(&net, 1, NULL);
	here.addr = net.a.addr[0];
	CHECK_EQ(tow_tcp_listen(net.a.stack, &here, 1, &net.listener), 0);
	CHECK_EQ(tow_listener_set(net.listener, TOW_TCP_SYN_COOKIES,
				  TOW_TCP_COOKIES_ALWAYS),
		 0);
	CHECK_EQ(tow_tcp_connect(net.a.stack, NULL, &here, &net.sender), 0);
	for (int i = 0; i < 10; i++)
		(void)tow_poll(net.a.stack, 0);
	CHECK_EQ(tow_tcp_accept(net.listener, &net.receiver), 0);
	network_close(&net);
}
