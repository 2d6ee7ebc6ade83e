/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_STACK_H
#define BENCH_STACK_H

#include <tow/event.h>
#include <tow/stack.h>
#include "bench.h"

/*
 * A stack on a device for a measuring program, and its loop.
 *
 * Waiting is the same as in peers/raw_tap.c: 50 us awake, then asleep until
 * the device or a timer has something.
 */
struct bench_stack {
	struct tow_stack *stack;
	void *memory;
	size_t memory_bytes;
	uint64_t idle_since_ns; /* 0: not idle */
};

void bench_stack_open(struct bench_stack *bench, const struct bench_args *args);

/*
 * Poll once and take events; rest when there was neither work nor an event.
 * A device that is gone ends the program.
 */
int bench_stack_turn(struct bench_stack *bench, struct tow_event *events,
		     int max);

/* Let everything queued go out, at most two seconds long; close the stack. */
void bench_stack_close(struct bench_stack *bench);

/*
 * What the ledger says, as text for meter_print(): lent, copied and touched
 * bytes, retransmissions, drops.
 */
void bench_stack_ledger(const struct bench_stack *bench, char *out,
			size_t bytes);

struct tow_endpoint bench_peer(const struct bench_args *args);

#endif
