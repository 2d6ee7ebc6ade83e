/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TCP echo server (RFC 862) that copies nothing: what it borrows on receive
 * it lends on transmit. The bytes stay where the device put them until the
 * peer has acknowledged the echo; then they are returned.
 *
 *	tcp-echo                                     tries itself
 *	tcp-echo tap 192.0.2.2/24 192.0.2.1/24       then: nc 192.0.2.2 7777
 *
 * Loans end in the order in which they were lent, and bytes are returned in
 * the order in which they were borrowed, so a count is all that has to be
 * kept. A peer that sends and never reads holds up nobody but itself: its
 * bytes on loan close its window.
 */
#include <string.h>
#include "example.h"

static struct tow_listener *listener;
static unsigned echoes; /* connections */

struct echo {
	struct tow_tcp *tcp;
	struct tow_span waiting; /* borrowed, not lent yet: no room to send */
	unsigned loans;		 /* not returned yet */
	int over;		 /* CLOSED was reported */
};

/* Borrowed bytes go with the handle, so the loans have to end before. */
static void free_if_over(struct echo *e)
{
	if (!e->over || e->loans)
		return;
	tow_tcp_close(e->tcp);
	free(e);
	echoes--;
}

/* The token says how much to return when the loan ends. */
static int lend(struct echo *e)
{
	int error = tow_tcp_lend(e->tcp, &e->waiting, 1, e->waiting.len, 0);

	if (error)
		return error;
	e->loans++;
	e->waiting.len = 0;
	return 0;
}

static void echo(struct echo *e)
{
	int n = 1;

	while (!e->over) {
		if (e->waiting.len == 0)
			n = tow_tcp_borrow(e->tcp, &e->waiting, 1);
		if (n == 0) /* the peer's FIN: answer it behind the last echo */
			(void)tow_tcp_shutdown(e->tcp);
		if (n <= 0 || lend(e) != 0)
			return; /* go on with the next event */
	}
}

static void begin(struct tow_tcp *tcp)
{
	struct echo *e = calloc(1, sizeof(*e));

	must_hold(e != NULL, "there is memory");
	e->tcp = tcp;
	echoes++;
	tow_tcp_set_user(tcp, e);
	echo(e);
}

static void end_loan(struct echo *e, uint64_t bytes)
{
	tow_tcp_return(e->tcp, bytes);
	e->loans--;
	free_if_over(e);
}

static void handle(const struct tow_event *event)
{
	struct echo *e = event->user;
	struct tow_tcp *tcp;

	switch (event->type) {
	case TOW_EVENT_ACCEPT:
		while (tow_tcp_accept(listener, &tcp) == 0)
			begin(tcp);
		break;
	case TOW_EVENT_READABLE:
	case TOW_EVENT_WRITABLE:
		echo(e);
		break;
	case TOW_EVENT_LOAN:
		end_loan(e, event->token);
		break;
	case TOW_EVENT_CLOSED:
		e->over = 1;
		free_if_over(e);
		break;
	default:
		break;
	}
}

static void listen_on(struct tow_stack *stack)
{
	struct tow_endpoint any = { tow_addr_any(), EXAMPLE_PORT, 0 };

	must(tow_tcp_listen(stack, &any, 128, &listener), "listen");
}

/* --- the client that tries it ----------------------------------------------
 */

static char data[4 << 20], answer[4 << 20];
static size_t received;
static int finished;

static void handle_client(const struct tow_event *event)
{
	int64_t n;

	if (event->type != TOW_EVENT_READABLE || received == sizeof(answer))
		return;
	while ((n = tow_tcp_recv(event->object, answer + received,
				 sizeof(answer) - received)) > 0)
		received += (size_t)n;
	if (received == sizeof(answer))
		must(tow_tcp_shutdown(event->object), "shutdown");
}

static void handle_server(const struct tow_event *event)
{
	handle(event);
	finished = received == sizeof(answer) && echoes == 0;
}

int main(int argc, char **argv)
{
	struct tow_span loan = { data, sizeof(data) };
	struct tow_endpoint to = pair_server();
	const struct tow_ledger *ledger;
	struct tow_tcp *client;
	struct pair pair;

	if (argc > 1) {
		struct tow_host *host = example_host(argc, argv);

		listen_on(tow_host_stack(host));
		host_run(host, handle);
	}
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 256);
	pair = pair_open();
	listen_on(pair.server);
	must(tow_tcp_connect(pair.client, NULL, &to, &client), "connect");
	must(tow_tcp_lend(client, &loan, 1, 1, 0), "lend");
	pair_run(&pair, &finished, handle_server, handle_client);
	must_hold(memcmp(data, answer, sizeof(data)) == 0, "it is the same");
	ledger = &tow_stats(pair.server)->ledger;
	must_hold(ledger->copied_bytes[TOW_COPY_TX_SEND] == 0, "no copy");
	tow_tcp_close(client);
	pair_close(&pair);
	return 0;
}
