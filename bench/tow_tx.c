/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Towpath sends one flow in bulk.
 *
 *	lend   blocks of the mapped source, in place
 *	copy   the same blocks through tow_tcp_send()
 */
#include <string.h>
#include <tow/tcp.h>
#include "bench_stack.h"

#define EVENTS	  64
#define FINISH_NS 10000000000ull

struct sender {
	struct tow_host *host;
	struct source source;
	struct meter meter;
	struct tow_tcp *tcp;
	size_t block_bytes;
	bool connected;
	uint64_t loans_out;
	uint64_t loans_back;
};

/* Full, for now: an event says when to go on. */
static bool full(int64_t result)
{
	if (result == TOW_EAGAIN || result == TOW_ENOBUFS)
		return true;
	if (result < 0)
		bench_fail("send: %s", tow_strerror((int)result));
	return false;
}

static bool lend_block(struct sender *sender)
{
	size_t at = sender->source.at;
	struct tow_span span = {
		source_next(&sender->source, sender->block_bytes),
		sender->block_bytes,
	};

	if (full(tow_tcp_lend(sender->tcp, &span, 1, ++sender->loans_out, 0))) {
		sender->source.at = at;
		sender->loans_out--;
		return false;
	}
	meter_add(&sender->meter, sender->block_bytes, 1);
	return true;
}

static bool copy_block(struct sender *sender)
{
	size_t at = sender->source.at;
	const uint8_t *block =
		source_next(&sender->source, sender->block_bytes);
	int64_t sent = tow_tcp_send(sender->tcp, block, sender->block_bytes, 0);

	if (full(sent)) {
		sender->source.at = at;
		return false;
	}
	sender->source.at =
		(size_t)(block - sender->source.base) + (size_t)sent;
	meter_add(&sender->meter, (uint64_t)sent, 1);
	return true;
}

static void take_events(struct sender *sender, const struct tow_event *events,
			int count)
{
	int i;

	for (i = 0; i < count; i++) {
		if (events[i].type == TOW_EVENT_CONNECTED)
			sender->connected = true;
		if (events[i].type == TOW_EVENT_LOAN)
			sender->loans_back++;
		if (events[i].type == TOW_EVENT_CLOSED)
			bench_fail("connection: %s",
				   tow_strerror(events[i].status));
	}
}

static void choose_congestion(struct tow_tcp *tcp, const char *name)
{
	static const char *const names[] = {
		[TOW_TCP_CUBIC] = "cubic",
		[TOW_TCP_NEWRENO] = "newreno",
		[TOW_TCP_BBR] = "bbr",
	};

	for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
		if (strcmp(name, names[i]) == 0 &&
		    tow_tcp_set(tcp, TOW_TCP_CONGESTION, i) == 0)
			return;
	bench_fail("--congestion %s: refused", name);
}

static void run(struct sender *sender, bool lend)
{
	struct tow_event events[EVENTS];

	while (!meter_done(&sender->meter)) {
		while (sender->connected && !meter_done(&sender->meter) &&
		       (lend ? lend_block(sender) : copy_block(sender)))
			;
		take_events(sender, events,
			    bench_stack_wait(sender->host, events, EVENTS));
	}
}

/* A slow path takes longer for what is queued than bench_stack_close() does. */
static void finish(struct sender *sender)
{
	uint64_t until_ns = bench_now_ns() + FINISH_NS;
	struct tow_event events[EVENTS];

	while (sender->loans_back < sender->loans_out &&
	       bench_now_ns() < until_ns)
		take_events(sender, events,
			    bench_stack_wait(sender->host, events, EVENTS));
}

int main(int argc, char **argv)
{
	struct sender sender = { 0 };
	struct bench_args args;
	struct tow_endpoint peer;
	char ledger[BENCH_LEDGER_BYTES];
	bool lend;
	int error;

	bench_args_parse(&args, argc, argv, "lend|copy");
	lend = strcmp(args.mode, "lend") == 0;
	if (!lend && strcmp(args.mode, "copy") != 0)
		bench_fail("%s: no such mode", args.mode);
	meter_init(&sender.meter, &args);
	source_open(&sender.source, &args);
	sender.block_bytes = args.block_bytes;
	sender.host = bench_stack_open(&args);
	peer = bench_peer(&args);
	error = tow_tcp_connect(tow_host_stack(sender.host), NULL, &peer,
				&sender.tcp);
	if (error < 0)
		bench_fail("connect: %s", tow_strerror(error));
	if (args.queue_bytes && tow_tcp_set(sender.tcp, TOW_TCP_SEND_BYTES,
					    (int64_t)args.queue_bytes) < 0)
		bench_fail("--queue %zu: refused", args.queue_bytes);
	if (args.congestion)
		choose_congestion(sender.tcp, args.congestion);
	run(&sender, lend);
	bench_stack_ledger(sender.host, ledger, sizeof(ledger));
	meter_print(&sender.meter, ledger);
	finish(&sender);
	tow_tcp_close(sender.tcp);
	bench_stack_close(sender.host);
	return 0;
}
