/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RELAY_ENDS_H
#define RELAY_ENDS_H

/*
 * The two ends of examples/relay.c, both on the pair's other stack: a client
 * that sends and closes, and a target that counts what it gets.
 */
#include "example.h"

#define ENDS_BYTES (10u << 20)

static struct tow_listener *ends_listener;
static uint64_t ends_got;
static int ends_closed, ends_done;

static void ends_handle(const struct tow_event *event)
{
	struct tow_tcp *tcp = event->object;
	struct tow_span span;
	int n;

	if (event->type == TOW_EVENT_ACCEPT)
		must(tow_tcp_accept(ends_listener, &tcp), "accept");
	else if (event->type != TOW_EVENT_READABLE)
		return;
	while ((n = tow_tcp_borrow(tcp, &span, 1)) > 0) {
		ends_got += span.len;
		tow_tcp_return(tcp, span.len);
	}
	if (n != 0)
		return;
	tow_tcp_close(tcp);
	ends_closed++; /* the target first; then its end came to the client */
	ends_done = ends_closed == 2 && ends_got == ENDS_BYTES;
}

static void ends_try(struct pair *pair, void (*relay)(const struct tow_event *))
{
	static char data[ENDS_BYTES];
	struct tow_endpoint here = { tow_addr_any(), EXAMPLE_PORT + 1, 0 };
	struct tow_endpoint there = pair_server();
	struct tow_span loan = { data, sizeof(data) };
	struct tow_tcp *client;

	must(tow_tcp_listen(pair->client, &here, 1, &ends_listener), "listen");
	must(tow_tcp_connect(pair->client, NULL, &there, &client), "connect");
	must(tow_tcp_lend(client, &loan, 1, 1, 0), "lend");
	must(tow_tcp_shutdown(client), "shutdown");
	pair_run(pair, &ends_done, relay, ends_handle);
}

#endif
