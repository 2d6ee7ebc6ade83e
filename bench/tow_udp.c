/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Towpath sends or receives datagrams.
 *
 *	send     copies, --batch messages per call
 *	lend     the same in place
 *	train    in place, --batch datagrams per message, cut by the device (USO)
 *	borrow   receive and look at them in place
 *	recv     receive copies
 *
 * --block is the payload of a datagram.
 */
#include <string.h>
#include <tow/udp.h>
#include "bench_stack.h"

#define EVENTS	    64
#define BATCH_MAX   64
#define TRAIN_BYTES 65507u /* what fits one IPv4 datagram before cutting */
#define SILENCE_NS  1000000000ull

struct datagrams {
	struct tow_host *host;
	struct source source;
	struct meter meter;
	struct tow_udp *udp;
	size_t block_bytes;
	unsigned per_message; /* datagrams in a train */
	int messages;	      /* in a call */
	bool lend;
	struct tow_udp_message message[BATCH_MAX];
	struct tow_span span[BATCH_MAX];
};

/* --- Sending
 * ----------------------------------------------------------------*/

static void choose(struct datagrams *d, const struct bench_args *args)
{
	unsigned batch = args->batch ? args->batch : 1;
	bool train = strcmp(args->mode, "train") == 0;

	d->block_bytes = args->block_bytes;
	d->lend = train || strcmp(args->mode, "lend") == 0;
	d->per_message = 1;
	d->messages = (int)batch;
	if (train) {
		d->per_message = batch;
		if (batch * d->block_bytes > TRAIN_BYTES)
			d->per_message =
				(unsigned)(TRAIN_BYTES / d->block_bytes);
		d->messages = 1;
	}
}

static void fill(struct datagrams *d)
{
	size_t bytes = d->block_bytes * d->per_message;
	int i;

	for (i = 0; i < d->messages; i++) {
		d->span[i].ptr = source_next(&d->source, bytes);
		d->span[i].len = bytes;
		d->message[i] = (struct tow_udp_message){
			.spans = &d->span[i],
			.span_count = 1,
			.segment_bytes =
				(uint16_t)(d->per_message > 1 ? d->block_bytes
							      : 0),
		};
	}
}

/* Returns false when the queue is full for now. */
static bool send_batch(struct datagrams *d)
{
	uint64_t count;
	int taken;

	fill(d);
	taken = d->lend ? tow_udp_lend(d->udp, d->message, d->messages)
			: tow_udp_send(d->udp, d->message, d->messages);
	/* The receiver may be done and gone before we are: not an error. */
	if (taken == TOW_EAGAIN || taken == TOW_ENOBUFS ||
	    taken == TOW_ECONNREFUSED) {
		meter_add(&d->meter, 0, 0);
		return false;
	}
	if (taken < 0)
		bench_fail("send: %s", tow_strerror(taken));
	count = (uint64_t)taken * d->per_message;
	meter_add(&d->meter, count * d->block_bytes, count);
	return true;
}

static void send_all(struct datagrams *d, const struct bench_args *args)
{
	struct tow_endpoint peer = bench_peer(args);
	struct tow_event events[EVENTS];
	int error;

	source_open(&d->source, args);
	error = tow_udp_connect(d->udp, &peer);
	if (error < 0)
		bench_fail("connect: %s", tow_strerror(error));
	while (!meter_done(&d->meter)) {
		if (send_batch(d))
			bench_stack_turn(d->host, events, EVENTS);
		else
			bench_stack_wait(d->host, events, EVENTS);
	}
}

/* --- Receiving
 * --------------------------------------------------------------*/

/* Returns: bytes of the next datagram, or -1. */
static int64_t borrow_one(struct datagrams *d)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct tow_udp_message from;

	if (tow_udp_borrow(d->udp, spans, TOW_SPANS_MAX, &from) < 0)
		return -1;
	tow_udp_return(d->udp, 1);
	return (int64_t)from.bytes;
}

static int64_t recv_one(struct datagrams *d)
{
	static uint8_t buffer[65536];

	return tow_udp_recv(d->udp, buffer, sizeof(buffer), NULL);
}

static void receive_all(struct datagrams *d, bool borrow)
{
	uint64_t last_ns = bench_now_ns() + 10 * SILENCE_NS;
	struct tow_event events[EVENTS];
	int64_t bytes;

	bench_ready();
	while (!meter_done(&d->meter) && bench_now_ns() < last_ns) {
		uint64_t sum = 0, count = 0;

		bench_stack_wait(d->host, events, EVENTS);
		while ((bytes = borrow ? borrow_one(d) : recv_one(d)) >= 0) {
			sum += (uint64_t)bytes;
			count++;
		}
		if (count > 0) {
			meter_add(&d->meter, sum, count);
			last_ns = bench_now_ns() + SILENCE_NS;
		}
	}
	meter_stop(&d->meter);
}

int main(int argc, char **argv)
{
	static struct datagrams d;
	struct tow_endpoint local = { 0 };
	struct bench_args args;
	char ledger[BENCH_LEDGER_BYTES];
	bool receives;
	int error;

	bench_args_parse(&args, argc, argv, "send|lend|train|borrow|recv");
	receives = strcmp(args.mode, "borrow") == 0 ||
		   strcmp(args.mode, "recv") == 0;
	choose(&d, &args);
	meter_init(&d.meter, &args);
	d.host = bench_stack_open(&args);
	local.port = receives ? args.port : 0;
	error = tow_udp_open(tow_host_stack(d.host), &local, &d.udp);
	if (error < 0)
		bench_fail("udp: %s", tow_strerror(error));
	if (receives)
		receive_all(&d, strcmp(args.mode, "borrow") == 0);
	else
		send_all(&d, &args);
	bench_stack_ledger(d.host, ledger, sizeof(ledger));
	meter_print(&d.meter, ledger);
	tow_udp_close(d.udp);
	bench_stack_close(d.host);
	return 0;
}
