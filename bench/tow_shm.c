/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Towpath over shared memory, to another process of ours.
 *
 *	lend   blocks out of the arena, by reference; tow_rx takes them
 *	pong   one byte comes and goes back, spinning
 *	ping   one byte there and back, spinning
 */
#include <string.h>
#include <tow/shm.h>
#include <tow/tcp.h>
#include "bench_stack.h"
#include "trips.h"

#define EVENTS 64

struct end {
	struct tow_host *host;
	struct tow_stack *stack;
	struct meter meter;
	struct tow_tcp *tcp;
	uint8_t *arena;
	size_t arena_bytes;
};

static void open_end(struct end *end, const struct bench_args *args)
{
	struct tow_dev *dev;
	char error[256];
	int link;

	if (!args->dev || !args->local)
		bench_fail("--dev and --local are needed");
	if (tow_dev_open(&dev, args->dev, error, sizeof(error)) < 0)
		bench_fail("%s", error);
	end->arena = tow_shm_arena(dev, &end->arena_bytes);
	if (!end->arena)
		bench_fail("%s: has no arena", args->dev);
	if (tow_host_open(&end->host, NULL) < 0)
		bench_fail("the stack does not open");
	link = tow_host_attach_dev(end->host, dev);
	if (link < 0 || tow_host_addr(end->host, link, args->local) < 0)
		bench_fail("%s", tow_host_error(end->host));
	end->stack = tow_host_stack(end->host);
}

static void must(int64_t result, const char *what)
{
	if (result < 0)
		bench_fail("%s: %s", what, tow_strerror((int)result));
}

static void connect_to(struct end *end, const struct bench_args *args)
{
	struct tow_endpoint peer = bench_peer(args);
	struct tow_event events[EVENTS];
	bool connected = false;

	must(tow_tcp_connect(end->stack, NULL, &peer, &end->tcp), "connect");
	while (!connected) {
		int count = bench_stack_wait(end->host, events, EVENTS);

		for (int i = 0; i < count; i++) {
			if (events[i].type == TOW_EVENT_CLOSED)
				must(events[i].status, "connect");
			connected |= events[i].type == TOW_EVENT_CONNECTED;
		}
	}
	must(tow_tcp_set(end->tcp, TOW_TCP_NODELAY, 1), "NODELAY");
}

static void accept_one(struct end *end, const struct bench_args *args)
{
	struct tow_endpoint local = { .addr = tow_addr_any(),
				      .port = args->port };
	struct tow_event events[EVENTS];
	struct tow_listener *listener;

	must(tow_tcp_listen(end->stack, &local, 1, &listener), "listen");
	bench_ready();
	while (tow_tcp_accept(listener, &end->tcp) < 0)
		bench_stack_wait(end->host, events, EVENTS);
	tow_listener_close(listener);
	must(tow_tcp_set(end->tcp, TOW_TCP_NODELAY, 1), "NODELAY");
}

/* ------------------------------------------------------------------ in bulk */

static void lend_all(struct end *end, const struct bench_args *args)
{
	size_t at = 0, bytes = args->block_bytes;
	struct tow_event events[EVENTS];
	uint64_t loans = 0;

	if (end->arena_bytes < bytes)
		bench_fail("a block is longer than the arena");
	while (!meter_done(&end->meter)) {
		struct tow_span span = { end->arena + at, bytes };
		int result = tow_tcp_lend(end->tcp, &span, 1, ++loans, 0);

		if (result == TOW_EAGAIN || result == TOW_ENOBUFS) {
			loans--;
			bench_stack_wait(end->host, events, EVENTS);
			continue;
		}
		must(result, "lend");
		meter_add(&end->meter, bytes, 1);
		at += bytes;
		if (end->arena_bytes - at < bytes)
			at = 0;
	}
}

/* The arena's pages are there, and not all the same. */
static void fill(struct end *end)
{
	for (size_t i = 0; i < end->arena_bytes; i += 64)
		end->arena[i] = (uint8_t)(i >> 6);
}

/* ----------------------------------------------------------------- spinning */

static bool take_byte(struct end *end)
{
	struct tow_event events[EVENTS];
	int64_t got;
	char byte;

	while ((got = tow_tcp_recv(end->tcp, &byte, 1)) == TOW_EAGAIN) {
		if (tow_poll(end->stack, tow_host_clock_us()))
			(void)!tow_events(end->stack, events, EVENTS);
	}
	return got == 1;
}

/* It leaves with the next poll, which is in take_byte(). */
static void put_byte(struct end *end)
{
	must(tow_tcp_send(end->tcp, "", 1, 0), "send");
}

static void ping(struct end *end, struct trips *trips)
{
	while (!meter_done(&end->meter)) {
		trips_sent(trips);
		put_byte(end);
		if (!take_byte(end))
			bench_fail("the other end is gone");
		trips_received(trips);
	}
}

static void pong(struct end *end)
{
	while (take_byte(end)) {
		put_byte(end);
		meter_add(&end->meter, 1, 1);
	}
	meter_stop(&end->meter);
}

int main(int argc, char **argv)
{
	struct end end = { 0 };
	struct bench_args args;
	char text[128 + 512] = "";
	struct trips trips;

	bench_args_parse(&args, argc, argv, "lend|ping|pong");
	meter_init(&end.meter, &args);
	open_end(&end, &args);
	if (strcmp(args.mode, "pong") == 0) {
		accept_one(&end, &args);
		pong(&end);
	} else if (strcmp(args.mode, "ping") == 0) {
		trips_init(&trips, &end.meter);
		connect_to(&end, &args);
		ping(&end, &trips);
		trips_text(&trips, text, sizeof(text));
	} else if (strcmp(args.mode, "lend") == 0) {
		fill(&end);
		connect_to(&end, &args);
		if (args.queue_bytes)
			must(tow_tcp_set(end.tcp, TOW_TCP_SEND_BYTES,
					 (int64_t)args.queue_bytes),
			     "--queue");
		lend_all(&end, &args);
	} else {
		bench_fail("%s: no such mode", args.mode);
	}
	bench_stack_ledger(end.host, text + strlen(text),
			   sizeof(text) - strlen(text));
	meter_print(&end.meter, text);
	tow_tcp_close(end.tcp);
	bench_stack_close(end.host);
	return 0;
}
