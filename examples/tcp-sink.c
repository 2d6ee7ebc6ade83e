/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TCP server that takes everything and keeps nothing, as inetd's discard
 * (RFC 863): received bytes are looked at where the device put them, and given
 * back. Nothing is copied.
 *
 *	tcp-sink                                     tries itself
 *	tcp-sink tap 192.0.2.2/24 192.0.2.1/24       then: nc 192.0.2.2 7777
 */
#include "example.h"

static struct tow_listener *listener;
static uint64_t received;
static int finished;

/* Borrow until there is nothing more; return what was borrowed. */
static void drain(struct tow_tcp *tcp)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n;

	while ((n = tow_tcp_borrow(tcp, spans, TOW_SPANS_MAX)) > 0) {
		size_t bytes = 0;

		for (int i = 0; i < n; i++)
			bytes += spans[i].len; /* and look at spans[i].ptr */
		received += bytes;
		tow_tcp_return(tcp, bytes);
	}
	if (n == TOW_EAGAIN)
		return;
	/* 0: the peer sent FIN. Else: why the connection is over. */
	if (n < 0)
		fprintf(stderr, "tcp-sink: %s\n", tow_strerror(n));
	tow_tcp_close(tcp);
	finished = 1;
}

static void handle(const struct tow_event *event)
{
	struct tow_tcp *tcp;

	if (event->type == TOW_EVENT_ACCEPT) {
		while (tow_tcp_accept(listener, &tcp) == 0)
			drain(tcp);
	} else if (event->type == TOW_EVENT_READABLE ||
		   event->type == TOW_EVENT_CLOSED) {
		drain(event->object);
	}
}

static void listen_on(struct tow_stack *stack)
{
	struct tow_endpoint any = { tow_addr_any(), EXAMPLE_PORT, 0 };

	must(tow_tcp_listen(stack, &any, 128, &listener), "listen");
}

/* --- the client that tries it ----------------------------------------------
 */

static char data[10 << 20];

static void handle_client(const struct tow_event *event)
{
	if (event->type != TOW_EVENT_LOAN)
		return;
	must(event->status, "the loan"); /* everything was acknowledged */
}

int main(int argc, char **argv)
{
	struct tow_span loan = { data, sizeof(data) };
	struct tow_endpoint to = pair_server();
	struct tow_tcp *client;
	struct pair pair;

	if (argc > 1) {
		struct tow_host *host = example_host(argc, argv);

		listen_on(tow_host_stack(host));
		host_run(host, handle);
	}
	pair = pair_open();
	listen_on(pair.server);
	must(tow_tcp_connect(pair.client, NULL, &to, &client), "connect");
	must(tow_tcp_lend(client, &loan, 1, 1, 0), "lend");
	must(tow_tcp_shutdown(client), "shutdown");
	pair_run(&pair, &finished, handle, handle_client);
	must_hold(received == sizeof(data), "all bytes arrived");
	must_hold(tow_stats(pair.server)->ledger.rx_lent_bytes == received,
		  "all of them were lent, none copied");
	tow_tcp_close(client);
	pair_close(&pair);
	return 0;
}
