/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A UDP echo server (RFC 862): each datagram is borrowed where the device put
 * it and lent back to its sender from there. It is returned when the device
 * has sent it.
 *
 *	udp-echo                                     tries itself
 *	udp-echo tap 192.0.2.2/24 192.0.2.1/24       then: nc -u 192.0.2.2 7777
 *
 * Datagrams are returned oldest first, and a device may be done with them in
 * any order. So they are returned together, when all are done.
 */
#include <string.h>
#include "example.h"

#define LENT_MAX 64 /* then datagrams wait in the socket's buffer */

static struct tow_udp *udp;
static unsigned borrowed, lent;

/* What cannot be sent is dropped, as any network may. */
static void answer(struct tow_udp_message *message,
		   const struct tow_span *spans, int count)
{
	message->spans = spans;
	message->span_count = count;
	message->token = 1;
	if (tow_udp_lend(udp, message, 1) == 1)
		lent++;
}

static void return_all(void)
{
	if (lent > 0)
		return;
	tow_udp_return(udp, borrowed);
	borrowed = 0;
}

static void echo(void)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n = 0;

	while (borrowed < LENT_MAX && n >= 0) {
		struct tow_udp_message message = { 0 };

		/* peer: whence it came; local: which of our addresses */
		n = tow_udp_borrow(udp, spans, TOW_SPANS_MAX, &message);
		if (n < 0)
			break;
		borrowed++;
		answer(&message, spans, n);
	}
	return_all();
}

static void handle(const struct tow_event *event)
{
	if (event->type == TOW_EVENT_LOAN) {
		lent--;
		return_all();
	}
	if (borrowed == 0 || event->type == TOW_EVENT_READABLE)
		echo();
}

static void open_on(struct tow_stack *stack)
{
	struct tow_endpoint any = { tow_addr_any(), EXAMPLE_PORT, 0 };

	must(tow_udp_open(stack, &any, &udp), "open");
}

/* --- the client that tries it ----------------------------------------------
 */

#define ROUNDS 1000

static struct tow_udp *client;
static unsigned sent, received;
static int finished;

/* Some are lost on the way: the simulated network does that. */
static void send_next(void)
{
	char text[32];
	struct tow_span span = { text, sizeof(text) };
	struct tow_udp_message message = {
		.peer = pair_server(),
		.spans = &span,
		.span_count = 1,
	};

	memset(text, 0, sizeof(text));
	snprintf(text, sizeof(text), "datagram %u", sent++);
	(void)!tow_udp_send(client, &message, 1);
}

static void handle_client(const struct tow_event *event)
{
	struct tow_udp_message from;
	char text[64];

	if (event->type != TOW_EVENT_READABLE)
		return;
	while (tow_udp_recv(client, text, sizeof(text), &from) >= 0) {
		must_hold(from.bytes == 32 &&
				  strncmp(text, "datagram ", 9) == 0,
			  "the echo is what was sent");
		received++;
	}
}

static void try_itself(void)
{
	struct tow_endpoint any = { tow_addr_any(), 0, 0 };
	struct pair pair = pair_open();
	uint64_t end_us = 0;

	open_on(pair.server);
	must(tow_udp_open(pair.client, &any, &client), "client");
	while (sent < ROUNDS) {
		struct tow_event event;

		send_next();
		end_us += 10000;
		while (tow_sim_step(pair.sim, end_us)) {
			while (tow_events(pair.server, &event, 1) == 1)
				handle(&event);
			while (tow_events(pair.client, &event, 1) == 1)
				handle_client(&event);
		}
	}
	finished = received > ROUNDS * 98 / 100;
	must_hold(finished, "nearly all datagrams come back");
	tow_udp_close(udp);
	tow_udp_close(client);
	pair_close(&pair);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		struct tow_host *host = example_host(argc, argv);

		open_on(tow_host_stack(host));
		host_run(host, handle);
	}
	try_itself();
	return 0;
}
