/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Towpath receives several flows in bulk, on each rung of its ladder.
 *
 *	place   posted buffers, four to a flow, posted again when they are full
 *	lend    look at the bytes where the device put them, give them back
 *	copy    tow_tcp_recv() into a buffer of the flow's
 *
 * Each flow has --block bytes of memory for place and copy, whose pages were
 * all touched before.
 */
#include <stdlib.h>
#include <string.h>
#include <tow/tcp.h>
#include "bench_stack.h"

#define EVENTS	  64
#define FLOWS_MAX 16
#define POSTS	  4

struct flow {
	struct tow_tcp *tcp;
	uint8_t *memory;
	bool over;
};

struct receiver {
	struct tow_host *host;
	struct meter meter;
	struct tow_listener *listener;
	struct flow flows[FLOWS_MAX];
	unsigned accepted, over, wanted;
	size_t block_bytes;
	uint64_t posted_bytes, placed_bytes; /* of the posts that came back */
	bool (*take)(struct receiver *receiver, struct flow *flow);
};

static void end_flow(struct receiver *receiver, struct flow *flow)
{
	receiver->over += !flow->over;
	flow->over = true;
}

/* Nothing now (false), or the end, or an error. */
static bool went_on(struct receiver *receiver, struct flow *flow,
		    int64_t result)
{
	if (result > 0)
		return true;
	if (result != TOW_EAGAIN)
		end_flow(receiver, flow);
	return false;
}

static bool borrow_some(struct receiver *receiver, struct flow *flow)
{
	struct tow_span spans[TOW_SPANS_MAX];
	size_t bytes = 0;
	int i, count;

	count = tow_tcp_borrow(flow->tcp, spans, TOW_SPANS_MAX);
	if (!went_on(receiver, flow, count))
		return false;
	for (i = 0; i < count; i++)
		bytes += spans[i].len;
	tow_tcp_return(flow->tcp, bytes);
	meter_add(&receiver->meter, bytes, 1);
	return true;
}

static bool copy_some(struct receiver *receiver, struct flow *flow)
{
	int64_t bytes = tow_tcp_recv(flow->tcp, flow->memory,
				     receiver->block_bytes / POSTS);

	if (!went_on(receiver, flow, bytes))
		return false;
	meter_add(&receiver->meter, (uint64_t)bytes, 1);
	return true;
}

/* @piece is which quarter of the flow's memory. */
static void post(struct receiver *receiver, struct flow *flow, uint64_t piece)
{
	size_t bytes = receiver->block_bytes / POSTS;
	struct tow_span span = { flow->memory + piece * bytes, bytes };

	if (tow_tcp_post(flow->tcp, &span, piece) < 0)
		end_flow(receiver, flow);
}

static void posted(struct receiver *receiver, const struct tow_event *event)
{
	struct flow *flow = event->user;

	receiver->posted_bytes += event->bytes;
	receiver->placed_bytes += event->placed_bytes;
	if (event->bytes)
		meter_add(&receiver->meter, event->bytes, 1);
	if (event->bytes < receiver->block_bytes / POSTS)
		end_flow(receiver, flow);
	else
		post(receiver, flow, event->token);
}

static void accept_flow(struct receiver *receiver)
{
	struct flow *flow = &receiver->flows[receiver->accepted];

	if (receiver->accepted == receiver->wanted ||
	    tow_tcp_accept(receiver->listener, &flow->tcp) < 0)
		bench_fail("accept failed");
	receiver->accepted++;
	flow->memory = malloc(receiver->block_bytes);
	if (!flow->memory)
		bench_fail("out of memory");
	memset(flow->memory, 1, receiver->block_bytes);
	tow_tcp_set_user(flow->tcp, flow);
	for (uint64_t i = 0; i < POSTS && !receiver->take; i++)
		post(receiver, flow, i);
}

static void handle(struct receiver *receiver, const struct tow_event *event)
{
	struct flow *flow = event->user;

	switch (event->type) {
	case TOW_EVENT_ACCEPT:
		accept_flow(receiver);
		break;
	case TOW_EVENT_POST:
		posted(receiver, event);
		break;
	case TOW_EVENT_READABLE:
	case TOW_EVENT_CLOSED:
		while (receiver->take && !flow->over &&
		       receiver->take(receiver, flow))
			;
		break;
	default:
		break;
	}
}

static void run(struct receiver *receiver)
{
	struct tow_event events[EVENTS];
	int i, count;

	while (!receiver->accepted || receiver->over < receiver->accepted) {
		count = bench_stack_wait(receiver->host, events, EVENTS);
		for (i = 0; i < count; i++)
			handle(receiver, &events[i]);
	}
}

static void start_listening(struct receiver *receiver,
			    const struct bench_args *args)
{
	struct tow_endpoint local = {
		.addr = tow_addr_any(),
		.port = args->port,
	};
	int error = tow_tcp_listen(tow_host_stack(receiver->host), &local,
				   FLOWS_MAX, &receiver->listener);

	if (error < 0)
		bench_fail("listen: %s", tow_strerror(error));
	bench_ready();
}

static void choose_mode(struct receiver *receiver,
			const struct bench_args *args)
{
	if (strcmp(args->mode, "lend") == 0)
		receiver->take = borrow_some;
	else if (strcmp(args->mode, "copy") == 0)
		receiver->take = copy_some;
	else if (strcmp(args->mode, "place") != 0)
		bench_fail("%s: no such mode", args->mode);
	if (args->flows > FLOWS_MAX || args->block_bytes < POSTS)
		bench_fail("--flows 1 to %d, --block from %d", FLOWS_MAX,
			   POSTS);
	receiver->wanted = args->flows;
	receiver->block_bytes = args->block_bytes;
}

static void print(struct receiver *receiver)
{
	char ledger[BENCH_LEDGER_BYTES], more[BENCH_LEDGER_BYTES + 128];

	bench_stack_ledger(receiver->host, ledger, sizeof(ledger));
	snprintf(more, sizeof(more),
		 "%s\"posted_bytes\":%llu,\"posts_placed_bytes\":%llu,", ledger,
		 (unsigned long long)receiver->posted_bytes,
		 (unsigned long long)receiver->placed_bytes);
	meter_print(&receiver->meter, more);
}

int main(int argc, char **argv)
{
	struct receiver receiver = { 0 };
	struct bench_args args;
	unsigned i;

	bench_args_parse(&args, argc, argv, "place|lend|copy");
	choose_mode(&receiver, &args);
	meter_init(&receiver.meter, &args);
	receiver.host = bench_stack_open(&args);
	start_listening(&receiver, &args);
	run(&receiver);
	meter_stop(&receiver.meter);
	print(&receiver);
	tow_listener_close(receiver.listener);
	for (i = 0; i < receiver.accepted; i++)
		tow_tcp_close(receiver.flows[i].tcp);
	bench_stack_close(receiver.host);
	for (i = 0; i < receiver.accepted; i++)
		free(receiver.flows[i].memory);
	return 0;
}
