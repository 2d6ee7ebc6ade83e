/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Towpath receives one flow in bulk.
 *
 *	borrow   look at the bytes where the device put them, give them back
 *	copy     tow_tcp_recv() into a buffer that stays in the cache
 */
#include <stdlib.h>
#include <string.h>
#include <tow/tcp.h>
#include "bench_stack.h"

#define EVENTS 64

struct receiver {
	struct tow_host *host;
	struct meter meter;
	struct tow_listener *listener;
	struct tow_tcp *tcp;
	uint8_t *buffer; /* copy only */
	size_t buffer_bytes;
	bool over;
};

/* Nothing now (false), or the end, or an error. */
static bool went_on(struct receiver *receiver, int64_t result)
{
	if (result > 0)
		return true;
	if (result != TOW_EAGAIN)
		receiver->over = true;
	return false;
}

static bool borrow_some(struct receiver *receiver)
{
	struct tow_span spans[TOW_SPANS_MAX];
	size_t bytes = 0;
	int i, count;

	count = tow_tcp_borrow(receiver->tcp, spans, TOW_SPANS_MAX);
	if (!went_on(receiver, count))
		return false;
	for (i = 0; i < count; i++)
		bytes += spans[i].len;
	tow_tcp_return(receiver->tcp, bytes);
	meter_add(&receiver->meter, bytes, 1);
	return true;
}

static bool copy_some(struct receiver *receiver)
{
	int64_t bytes = tow_tcp_recv(receiver->tcp, receiver->buffer,
				     receiver->buffer_bytes);

	if (!went_on(receiver, bytes))
		return false;
	meter_add(&receiver->meter, (uint64_t)bytes, 1);
	return true;
}

static void drain(struct receiver *receiver)
{
	while (receiver->buffer ? copy_some(receiver) : borrow_some(receiver))
		;
}

static void run(struct receiver *receiver)
{
	struct tow_event events[EVENTS];
	int i, count;

	while (!receiver->over) {
		count = bench_stack_wait(receiver->host, events, EVENTS);
		for (i = 0; i < count; i++) {
			if (events[i].type == TOW_EVENT_ACCEPT &&
			    !receiver->tcp &&
			    tow_tcp_accept(receiver->listener, &receiver->tcp) <
				    0)
				bench_fail("accept failed");
		}
		if (count > 0 && receiver->tcp)
			drain(receiver);
	}
}

static void start_listening(struct receiver *receiver,
			    const struct bench_args *args)
{
	struct tow_endpoint local = {
		.addr = tow_addr_any(),
		.port = args->port,
	};
	int error = tow_tcp_listen(tow_host_stack(receiver->host), &local, 1,
				   &receiver->listener);

	if (error < 0)
		bench_fail("listen: %s", tow_strerror(error));
	bench_ready();
}

int main(int argc, char **argv)
{
	struct receiver receiver = { 0 };
	struct bench_args args;
	char ledger[BENCH_LEDGER_BYTES];

	bench_args_parse(&args, argc, argv, "borrow|copy");
	if (strcmp(args.mode, "copy") == 0) {
		receiver.buffer_bytes = args.block_bytes;
		receiver.buffer = malloc(args.block_bytes);
		if (!receiver.buffer)
			bench_fail("out of memory");
	} else if (strcmp(args.mode, "borrow") != 0) {
		bench_fail("%s: no such mode", args.mode);
	}
	meter_init(&receiver.meter, &args);
	receiver.host = bench_stack_open(&args);
	start_listening(&receiver, &args);
	run(&receiver);
	meter_stop(&receiver.meter);
	bench_stack_ledger(receiver.host, ledger, sizeof(ledger));
	meter_print(&receiver.meter, ledger);
	tow_listener_close(receiver.listener);
	tow_tcp_close(receiver.tcp);
	bench_stack_close(receiver.host);
	free(receiver.buffer);
	return 0;
}
