/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Towpath receives many flows, and one of the programs does not play along.
 *
 *	return   all borrow what arrives and return it: how it should be
 *	hold     the first one borrows all it can get, and returns nothing
 *	govern   the same, but it belongs to an owner: with a budget, a deadline
 *	         and a refuge; what is revoked it borrows again at once
 *	ignore   the first one does not even borrow
 *
 * What the first one gets is not counted, whatever it does: the figures are
 * those of its neighbours.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <tow/owner.h>
#include <tow/tcp.h>
#include "bench_stack.h"

#define EVENTS	    64
#define FLOWS_MAX   64
#define BUDGET	    (1u << 20)
#define DEADLINE_US 10000
#define REFUGE	    (8u << 20)

enum manner { RETURNS, HOLDS, IGNORES };

struct flow {
	struct tow_tcp *tcp;
	enum manner manner;
	uint64_t bytes; /* inside the window */
	bool over;
};

struct receiver {
	struct tow_host *host;
	struct meter meter;
	struct tow_listener *listener;
	struct tow_owner *owner; /* of the first flow; NULL: nobody's */
	void *refuge;
	struct flow flows[FLOWS_MAX];
	unsigned wanted, count, over;
	enum manner first;
};

static void end(struct receiver *receiver, struct flow *flow)
{
	if (!flow->over && flow->manner == RETURNS)
		receiver->over++;
	flow->over = true;
}

/* Borrow all there is. */
static void drain(struct receiver *receiver, struct flow *flow)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n = TOW_EAGAIN;

	while (!flow->over && flow->manner != IGNORES &&
	       (n = tow_tcp_borrow(flow->tcp, spans, TOW_SPANS_MAX)) > 0) {
		size_t bytes = 0;

		if (flow->manner == HOLDS)
			continue;
		for (int i = 0; i < n; i++)
			bytes += spans[i].len;
		tow_tcp_return(flow->tcp, bytes);
		meter_add(&receiver->meter, bytes, 1);
		if (receiver->meter.phase == METER_WINDOW)
			flow->bytes += bytes;
	}
	if (n != TOW_EAGAIN && n != TOW_ENOBUFS)
		end(receiver, flow);
}

static void take(struct receiver *receiver)
{
	struct tow_tcp *tcp;

	while (tow_tcp_accept(receiver->listener, &tcp) == 0) {
		struct flow *flow = &receiver->flows[receiver->count];

		if (receiver->count == receiver->wanted)
			bench_fail("a flow too many");
		flow->tcp = tcp;
		flow->manner = receiver->count == 0 ? receiver->first : RETURNS;
		tow_tcp_set_user(tcp, flow);
		if (receiver->count++ == 0 && receiver->owner &&
		    tow_tcp_set_owner(tcp, receiver->owner) < 0)
			bench_fail("no owner");
		drain(receiver, flow);
	}
}

static void run(struct receiver *receiver)
{
	unsigned counted = receiver->wanted - (receiver->first != RETURNS);
	struct tow_event events[EVENTS];

	while (receiver->over < counted) {
		int n = bench_stack_wait(receiver->host, events, EVENTS);

		for (int i = 0; i < n; i++) {
			if (events[i].type == TOW_EVENT_ACCEPT)
				take(receiver);
			else if (events[i].user)
				drain(receiver, events[i].user);
		}
	}
}

static void govern(struct receiver *receiver)
{
	struct tow_owner_config config = {
		.budget_bytes = BUDGET,
		.deadline_us = DEADLINE_US,
		.refuge = malloc(REFUGE),
		.refuge_bytes = REFUGE,
	};

	receiver->refuge = config.refuge;
	if (!config.refuge || tow_owner_open(tow_host_stack(receiver->host),
					     &config, &receiver->owner) < 0)
		bench_fail("no owner");
}

static void choose(struct receiver *receiver, const char *mode)
{
	receiver->first = RETURNS;
	if (strcmp(mode, "hold") == 0 || strcmp(mode, "govern") == 0)
		receiver->first = HOLDS;
	else if (strcmp(mode, "ignore") == 0)
		receiver->first = IGNORES;
	else if (strcmp(mode, "return") != 0)
		bench_fail("%s: no such mode", mode);
	if (strcmp(mode, "govern") == 0)
		govern(receiver);
}

static void start_listening(struct receiver *receiver,
			    const struct bench_args *args)
{
	struct tow_endpoint local = { .port = args->port };
	int error = tow_tcp_listen(tow_host_stack(receiver->host), &local,
				   FLOWS_MAX, &receiver->listener);

	if (error < 0)
		bench_fail("listen: %s", tow_strerror(error));
	bench_ready();
}

/* What the neighbour got that got least, beside an equal share. */
static double least_share(const struct receiver *receiver)
{
	uint64_t least = UINT64_MAX, all = 0;
	unsigned count = 0;

	for (unsigned i = 0; i < receiver->count; i++) {
		const struct flow *flow = &receiver->flows[i];

		if (flow->manner != RETURNS)
			continue;
		least = flow->bytes < least ? flow->bytes : least;
		all += flow->bytes;
		count++;
	}
	return all ? (double)least * count / (double)all : 0;
}

static void print(struct receiver *receiver)
{
	char more[BENCH_LEDGER_BYTES + 128];
	struct tow_owner_info info = { 0 };
	size_t at;

	if (receiver->owner)
		tow_owner_info(receiver->owner, &info);
	at = (size_t)snprintf(more, sizeof(more),
			      "\"least_share\":%.3f,\"revoked\":%" PRIu64 ",",
			      least_share(receiver), info.revoked);
	bench_stack_ledger(receiver->host, more + at, sizeof(more) - at);
	meter_print(&receiver->meter, more);
}

int main(int argc, char **argv)
{
	static struct receiver receiver;
	struct bench_args args;

	bench_args_parse(&args, argc, argv, "return|hold|govern|ignore");
	if (args.flows < 2 || args.flows > FLOWS_MAX)
		bench_fail("--flows 2 to %d", FLOWS_MAX);
	receiver.wanted = args.flows;
	meter_init(&receiver.meter, &args);
	receiver.host = bench_stack_open(&args);
	choose(&receiver, args.mode);
	start_listening(&receiver, &args);
	run(&receiver);
	meter_stop(&receiver.meter);
	print(&receiver);
	tow_listener_close(receiver.listener);
	if (receiver.owner)
		tow_owner_close(receiver.owner);
	for (unsigned i = receiver.owner ? 1 : 0; i < receiver.count; i++)
		tow_tcp_abort(receiver.flows[i].tcp);
	bench_stack_close(receiver.host);
	free(receiver.refuge);
	return 0;
}
