/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two stacks in one process, a bad cable between them, and no time lost.
 *
 * A client lends a mebibyte to its stack; the cable loses every fiftieth
 * packet and reorders others; the server borrows what arrives and compares it.
 * Seconds of virtual time pass in a few milliseconds, and every run is the
 * same: this is how a protocol on top of Towpath is tested.
 *
 *	two-stacks [SEED [CAPTURE]]      then: tshark -r CAPTURE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include <tow/tcp.h>

#define BYTES	(1 << 20)
#define PORT	7
#define HOUR_US 3600000000u

struct end {
	struct tow_stack *stack;
	struct tow_addr addr;
	void *memory;
};

static struct tow_sim *sim;
static struct end client, server;
static uint8_t data[BYTES];

static void must(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "two-stacks: %s: %s\n", what, tow_strerror(result));
	exit(1);
}

/* A stack in memory of its own, plugged into the segment. */
static void open_end(struct end *end, int segment, uint8_t number)
{
	struct tow_sim_port port;
	struct tow_config cfg;
	struct tow_dev *dev;
	size_t need;

	tow_config_default(&cfg);
	memset(cfg.secret, number, sizeof(cfg.secret)); /* equal runs */
	need = (tow_need(&cfg) + 63) / 64 * 64;
	end->memory = aligned_alloc(64, need);
	must(end->memory ? 0 : TOW_ENOMEM, "memory");
	must(tow_open(&end->stack, &cfg, end->memory, need), "tow_open");

	tow_sim_port_default(&port);
	port.up.delay_us = 5000;
	port.up.bits_per_s = 100000000;
	port.up.loss_ppm = 20000;
	port.up.reorder_ppm = 10000;
	port.up.reorder_us = 2000;
	must(tow_sim_port_open(sim, segment, &port, &dev), "tow_sim_port_open");
	must(tow_attach(end->stack, dev), "tow_attach");
	end->addr = tow_addr_v4(192, 0, 2, number);
	must(tow_addr_add(end->stack, 0, &end->addr, 24), "tow_addr_add");
	must(tow_sim_add(sim, end->stack), "tow_sim_add");
}

static void close_end(struct end *end)
{
	tow_sim_remove(sim, end->stack);
	tow_close(end->stack);
	free(end->memory);
}

/* Look at what arrived, in place. Returns how many bytes that was. */
static size_t take(struct tow_tcp *tcp, size_t at)
{
	struct tow_span spans[TOW_SPANS_MAX];
	size_t bytes = 0;
	int n;

	while ((n = tow_tcp_borrow(tcp, spans, TOW_SPANS_MAX)) > 0)
		for (int i = 0; i < n; bytes += spans[i++].len)
			if (memcmp(spans[i].ptr, data + at + bytes,
				   spans[i].len))
				must(TOW_EIO, "compare");
	if (n != TOW_EAGAIN)
		must(n, "borrow");
	tow_tcp_return(tcp, bytes);
	return bytes;
}

/* One poll of both stacks, or time passes. Returns: is the loan back? */
static bool step(void)
{
	struct tow_event events[16];
	bool back = false;
	int n;

	if (!tow_sim_step(sim, HOUR_US))
		must(TOW_ETIMEDOUT, "waiting for an hour");
	n = tow_events(client.stack, events, 16);
	for (int i = 0; i < n; i++)
		back |= events[i].type == TOW_EVENT_LOAN;
	(void)!tow_events(server.stack, events, 16);
	return back;
}

static void transfer(void)
{
	struct tow_endpoint at = { server.addr, PORT, 0 };
	struct tow_span loan = { data, sizeof(data) };
	struct tow_tcp *sender, *receiver = NULL;
	struct tow_listener *listener;
	bool loan_is_back = false;
	size_t received = 0;

	must(tow_tcp_listen(server.stack, &at, 1, &listener), "listen");
	must(tow_tcp_connect(client.stack, NULL, &at, &sender), "connect");
	must(tow_tcp_lend(sender, &loan, 1, 1, 0), "lend");
	while (received < sizeof(data) || !loan_is_back) {
		loan_is_back |= step();
		if (receiver || tow_tcp_accept(listener, &receiver) == 0)
			received += take(receiver, received);
	}
	tow_tcp_close(sender);
	tow_tcp_close(receiver);
}

int main(int argc, char **argv)
{
	const struct tow_stats *stats;
	int segment;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	must(tow_sim_open(&sim, argc > 1 ? strtoull(argv[1], NULL, 10) : 1),
	     "tow_sim_open");
	if (argc > 2)
		must(tow_sim_capture(sim, argv[2]), argv[2]);
	segment = tow_sim_segment(sim);
	open_end(&client, segment, 1);
	open_end(&server, segment, 2);
	transfer();
	stats = tow_stats(client.stack);
	printf("%u bytes in %.3f s of virtual time, %llu of them lent, "
	       "%llu segments sent again\n",
	       BYTES, (double)tow_sim_now(sim) / 1e6,
	       (unsigned long long)stats->ledger.tx_lent_bytes,
	       (unsigned long long)
		       stats->counters[TOW_COUNTER_TCP_RETRANS_SEGS]);
	close_end(&client);
	close_end(&server);
	tow_sim_close(sim);
	return 0;
}
